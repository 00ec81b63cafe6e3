"""Predictions that another computer makes: the shell's side of a server."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import rich.console
import rich.table
import tyro
from scipy.spatial import cKDTree

from moedsr_core import command_line
from moedsr_core.backend.client import (
    Address,
    BackendClient,
    Follower,
    Needs,
    RefusedError,
    UserError,
    Ways,
    checked_health,
    read_token,
    stage_of,
)
from moedsr_core.backend.client import BackendError as UnusableError
from moedsr_core.backend.wire.records import PROTOCOL
from moedsr_core.errors import BackendError, CancelledError, InputError
from moedsr_core.files import whole_folder
from moedsr_core.mesh_trajectory import MeshTrajectory, load_trajectory
from moedsr_core.predict_options import PredictOptions
from moedsr_core.prediction_files import progress, refuse_foreign, said_of, write_prediction
from moedsr_core.structure import Structure, polymer_heavy_atoms

_WAYS = Ways(token_file="--token-file ", ca_file="--ca-file ")
_NEEDS = Needs(program="this moedsr", protocols=(PROTOCOL, PROTOCOL), versions=("0.1.0", "0.2.0"))
_LOCAL_ONLY = ("n_points",)
"""Options that a server does not take."""
_BAD_INPUT = (400, 413, 422)
_SHELL = os.environ.get
Tell = Callable[..., None]
"""Is told the stage, the frames done, and how many there will be."""


@dataclass(frozen=True, kw_only=True)
class Remote:
    """Where a server is."""

    backend: str = ""
    """Address of the server, https://host:port; MOEDSR_BACKEND by default."""
    token_file: Path | None = None
    """File whose first line is the token; MOEDSR_TOKEN_FILE by default."""
    ca_file: Path | None = None
    """Certificate to trust where the system does not know it; MOEDSR_CA_FILE by default."""

    def client(self) -> BackendClient:
        """A connection, after a look at who answers.

        Raises:
            InputError: If no address is known.
            UserError: If the server cannot be used.
        """
        url = self.backend or _SHELL("MOEDSR_BACKEND", "")
        if not url:
            raise InputError("name a server with --backend https://host:port, or MOEDSR_BACKEND")
        token_file = str(self.token_file or _SHELL("MOEDSR_TOKEN_FILE", ""))
        ca_file = str(self.ca_file or _SHELL("MOEDSR_CA_FILE", ""))
        token = read_token(token_file) if token_file else ""
        client = BackendClient(Address(url, token, ca_file, _WAYS))
        checked_health(client, _NEEDS)
        return client


@contextmanager
def own_errors() -> Iterator[None]:
    """Turn the client's errors into the core's.

    Raises:
        InputError: Where the server refuses the input, or an argument is wrong.
        BackendError: Where it cannot be used.
    """
    try:
        yield
    except RefusedError as error:
        raise (InputError if error.status in _BAD_INPUT else BackendError)(str(error)) from error
    except UnusableError as error:
        raise BackendError(str(error)) from error
    except UserError as error:
        raise InputError(str(error)) from error


def predict_remotely(
    structure: Structure, options: PredictOptions, remote: Remote, folder: Path, tell: Tell
) -> MeshTrajectory:
    """Have a server predict a structure. Its polymer's heavy atoms are sent, nothing else.

    Args:
        structure: The input.
        options: What to predict; the device is the server's choice unless it is named.
        remote: The server.
        folder: Where the result is put while it is read.
        tell: Is told how it goes.

    Returns:
        What :func:`moedsr_core.predict.predict` returns, its ``atom`` an index into ``structure``.

    Raises:
        InputError: If the server refuses it, or does not take one of the options.
        BackendError: If the server cannot be used, or the job fails.
        CancelledError: If somebody cancels the job; or on Ctrl-C, which leaves it running.
    """
    sent = _sent_options(options)
    polymer = polymer_heavy_atoms(structure)
    with own_errors():
        client = remote.client()
        job = client.create(_arrays(polymer), sent)
        try:
            trajectory = fetch_result(client, job, folder, tell, options.frames)
        except KeyboardInterrupt:
            raise CancelledError(
                f"stopped waiting; 'moedsr fetch {job}' gets the prediction, 'moedsr cancel {job}' "
                "stops it"
            ) from None
    places = cKDTree(structure.coords).query(polymer.coords)[1]
    return replace(trajectory, atom=places[trajectory.atom].astype(np.int32))


def _sent_options(options: PredictOptions) -> dict[str, Any]:
    usual = {field.name: field.default for field in fields(PredictOptions)}
    for name in _LOCAL_ONLY:
        if getattr(options, name) != usual[name]:
            raise InputError(
                f"a server does not take {name}, got {getattr(options, name)}; leave it out"
            )
    chosen = {k: v for k, v in asdict(options).items() if v != usual[k]}
    return {"kind": "predict", "frames": options.frames, **chosen}


def _arrays(polymer: Structure) -> dict[str, np.ndarray]:
    names = ("coords", "elements", "atom_names", "residue_names", "residue_ids", "chain_ids")
    return {name: getattr(polymer, name) for name in (*names, "residue_index")}


def fetch_result(
    client: BackendClient, job: str, folder: Path, tell: Tell, frames: int
) -> MeshTrajectory:
    """Wait for a job's end, and read its result.

    Args:
        client: Its server.
        job: Its id.
        folder: Where the result is put while it is read.
        tell: Is told how it goes.
        frames: Frames that it makes.

    Raises:
        BackendError: If it failed.
        CancelledError: If it was cancelled.
        UserError: If the server cannot be used any more.
    """
    done = 0

    def away(reason: str, waited: float) -> None:
        tell("waiting for the server", done, frames)

    for record in Follower(client.again, job, away, start=frames).records():
        if record.kind == "progress":
            done = record.fields.get("frames_done") or 0
            tell(stage_of(record.fields), done, frames)
        elif record.kind == "end":
            _refuse_unfinished(job, record.fields)
    tell("fetching the result", frames, frames)
    path = folder / f"{job}.npz"
    try:
        with path.open("w+b") as file:
            client.result(job, file)
        return load_trajectory(path)
    finally:
        path.unlink(missing_ok=True)


def _refuse_unfinished(job: str, end: dict[str, Any]) -> None:
    state, reason = end.get("state"), end.get("error")
    if state == "cancelled" and not reason:
        raise CancelledError(f"job {job} was cancelled; nothing was kept")
    if state != "done":
        ended = "was cancelled" if state == "cancelled" else "failed"
        raise BackendError(f"job {job} {ended}: {reason or 'the server gave no reason'}")


@dataclass(frozen=True, kw_only=True)
class Jobs(Remote):
    """List your predictions on a server."""

    json: bool = False
    """Print JSON instead of a table."""

    def __call__(self) -> None:
        """List them."""
        with own_errors():
            rows = self.client().jobs()
        if self.json:
            print(json.dumps(rows, indent=1))
            return
        table = rich.table.Table("job", "state", "frames", "age", "seconds")
        for row in rows:
            frames = f"{row.get('frames_done')}/{row.get('frames')}"
            age, seconds = (f"{row.get(key) or 0.0:.0f} s" for key in ("age_s", "seconds"))
            table.add_row(str(row.get("id")), str(row.get("state")), frames, age, seconds)
        rich.console.Console().print(table)


@dataclass(frozen=True, kw_only=True)
class Fetch(Remote):
    """Get a prediction from a server, and write it as predict does; waits for one that runs."""

    job: tyro.conf.Positional[str]
    """Its id, as jobs shows it."""
    out: Path = Path("moedsr_prediction")
    """Folder for trajectory.npz, frames/ and summary.json."""
    format: Literal["ply", "obj", "glb"] = "ply"
    """Kind of the files in frames/."""
    overwrite: bool = False
    """Write into a folder that holds other things; files of the same names are replaced."""

    def __call__(self) -> None:
        """Wait and write."""
        refuse_foreign(self.out, self.overwrite)
        with own_errors():
            client = self.client()
            frames = int(client.status(self.job).get("frames") or 1)
            with whole_folder(self.out) as folder, progress(frames) as tell:
                trajectory = fetch_result(client, self.job, folder, tell, frames)
                summary = write_prediction(trajectory, folder, self.format, {"job": self.job})
        print(said_of(summary, self.out))


@dataclass(frozen=True, kw_only=True)
class Cancel(Remote):
    """Stop a prediction on a server; its finished frames stay there."""

    job: tyro.conf.Positional[str]
    """Its id, as jobs shows it."""

    def __call__(self) -> None:
        """Stop it."""
        with own_errors():
            said = self.client().cancel(self.job)
        print(said)


Command = (
    Annotated[Jobs, tyro.conf.subcommand("jobs")]
    | Annotated[Fetch, tyro.conf.subcommand("fetch")]
    | Annotated[Cancel, tyro.conf.subcommand("cancel")]
)


def main(argv: Sequence[str]) -> int:
    """Run ``moedsr jobs``, ``fetch`` or ``cancel``, which need no torch; returns the exit code."""
    return command_line.run(Command, argv)
