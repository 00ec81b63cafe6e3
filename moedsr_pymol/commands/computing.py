"""Commands about who computes."""

from __future__ import annotations

from pathlib import Path

from pymol import cmd

from ..arguments import given, is_quiet, unquoted
from ..backends import BACKENDS, backend_named, backend_names
from ..connection import local_state, remote_state, set_up
from ..errors import UserError
from ..local_backend import check_python
from ..servers import RemoteBackend, find_server, forget_server, is_address
from ..settings import save_settings
from ..window import outside
from .common import one_sentence

ACTIONS = ("status", "stop", "forget")


def moedsr_models(backend="", quiet=1, *, _self=cmd):
    """
    DESCRIPTION

        "moedsr_models" lists the models that moedsr_predict can use.

    USAGE

        moedsr_models [ backend ]

    ARGUMENTS

        backend = string: as in moedsr_predict

    EXAMPLE

        moedsr_models

    SEE ALSO

        moedsr_predict, moedsr_backend
    """
    with one_sentence():
        models = outside(lambda: backend_named(str(backend)).client().models(), _self)
        if not is_quiet(quiet):
            for model in models:
                mark = "*" if model.get("default") else " "
                print(f" {mark} {model.get('name')}: {model.get('summary')}{_reach(model)}")
        return models


def _reach(model) -> str:
    """How far a model sees, as ``; reaches 100 ns``; nothing where it knows no time."""
    span = model.get("span_ps") or 0
    for size, unit in ((1e6, "us"), (1e3, "ns"), (1.0, "ps")):
        if span >= size:
            return f"; reaches {span / size:g} {unit}"
    return ""


def moedsr_backend(
    action="status", python="", token_file="", ca_file="", name="", quiet=1, *, _self=cmd
):
    """
    DESCRIPTION

        "moedsr_backend" shows and chooses who computes: a process on this
        computer, which PyMOL starts and ends, or a server elsewhere. A server
        is asked before it is chosen; the choice is kept for later sessions.

    USAGE

        moedsr_backend [ action ]
        moedsr_backend https://host:port [, token_file=file [, ca_file=file
            [, name=word ]]]
        moedsr_backend python=path

    ARGUMENTS

        action = status: show the one that is used, and ask it {default}
            local: use this computer, and start the process now
            https://host:port: use that server
            remote, or a server's name: use a server that is known already
            stop: end the process on this computer; the next command that needs
                it starts it again, and its jobs go on
            forget: forget the server called name, and its token

        token_file = string: file whose first line is the server's token. It is
            copied to the system's keyring, or else to a file that only you can
            read; neither PyMOL's settings nor its sessions ever hold it

        ca_file = string: certificate to trust, where the system does not know
            the server's (PEM)

        name = string: a short name for the server

        python = string: interpreter that moedsr is installed in, remembered for
            all sessions; auto forgets it

    EXAMPLE

        moedsr_backend https://gpu.lab.example:8642, token_file=~/token, name=lab
        moedsr_predict 1ubq
        moedsr_backend local
        moedsr_backend python=/opt/miniforge3/envs/moedsr/bin/python

    SEE ALSO

        moedsr_predict, moedsr_jobs, moedsr_fetch, moedsr_models
    """
    with one_sentence():
        word = str(action).strip()
        if given(python):
            outside(lambda: _use_python(unquoted(python)), _self)
        files = {"token_file": _path(token_file), "ca_file": _path(ca_file)}
        state = outside(lambda: _act(word, str(name).strip(), files), _self)
        if not is_quiet(quiet):
            for key, value in state.items():
                print(f" {key}: {value}")
        return state


def _use_python(path) -> None:
    save_settings(python="" if path == "auto" else check_python(path))
    BACKENDS["local"].stop()


def _path(value) -> str:
    return str(Path(unquoted(value)).expanduser().absolute()) if given(value) else ""


def _act(word, name, files) -> dict:
    """Do what the action says; returns what is to be shown."""
    if is_address(word):
        return set_up(word, name, **files)
    if any(files.values()) or (name and word != "forget"):
        raise UserError(
            "token_file, ca_file and name belong to a server's address, as in 'moedsr_backend "
            "https://host:port, token_file=FILE'"
        )
    if word == "forget":
        return _forget(name)
    if word == "stop":
        BACKENDS["local"].stop()
        return local_state(BACKENDS["local"])
    if word.lower() not in ("status", *BACKENDS) and find_server(word) is None:
        choices = ", ".join(dict.fromkeys([*ACTIONS, *backend_names()]))
        raise UserError(f"action must be one of {choices} or https://host:port, got '{word}'")
    backend = backend_named("" if word == "status" else word)
    if isinstance(backend, RemoteBackend):
        state = remote_state(backend)
        if word != "status":
            save_settings(backend=backend.name)
        return state
    if word != "status":
        save_settings(backend="")
        backend.client()
    return local_state(BACKENDS["local"])


def _forget(name) -> dict:
    server = find_server(name) if name else None
    if server is None:
        raise UserError(
            f"name must be one of {', '.join(backend_names()[1:]) or 'the known servers (none)'}, "
            f"got '{name}'"
        )
    forget_server(server)
    return {"forgotten": server.url}
