"""The operator's commands: ``moedsr serve`` and ``moedsr token``. They load no torch."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Literal, TextIO

import platformdirs
import rich.console
import rich.table
import tyro

from moedsr_core import command_line
from moedsr_core.backend.access.limits import Limits
from moedsr_core.backend.access.tokens import DATABASE, TokenStore
from moedsr_core.choices import check_number
from moedsr_core.errors import InputError
from moedsr_core.predict_options import DEVICE

DEFAULT_DATA = Path(platformdirs.user_data_dir("moedsr", appauthor=False)) / "server"
DEFAULT_PORT = 8642


@dataclass(frozen=True, kw_only=True)
class Serve(Limits):
    """Compute for others: serve predictions over HTTP to holders of a token."""

    data_dir: Path = DEFAULT_DATA
    """Folder of tokens, jobs and results, on a local disk; one server uses it at a time."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all of this computer's."""
    port: int = DEFAULT_PORT
    """Port to listen on; 0 takes a free one."""
    tls_cert: Path | None = None
    """PEM file of the certificate, followed by those of its issuers."""
    tls_key: Path | None = None
    """PEM file of its private key; both are read again when they are renewed."""
    devices: tuple[str, ...] = ("auto",)
    """Where to compute: a worker for each of auto, cpu, mps, cuda:N; auto takes every GPU."""
    ray: str | None = None
    """Compute on the Ray cluster at this address, HOST:PORT, or auto for this computer's. A worker
    runs on each GPU, or on each processor where there is none; --devices cpu or cuda says which."""
    ray_cpus: int = 1
    """With --ray: processors, and threads, of each worker."""
    ray_workers: int | None = None
    """With --ray: workers at most."""
    no_token: bool = False
    """Serve every program on this computer without a token."""
    insecure_no_tls: bool = False
    """Send tokens and structures in the clear, on a network that is encrypted itself."""
    insecure_no_tokens: bool = False
    """With --no-token: serve whoever reaches the address, on a network of friends."""
    proxy: str | None = None
    """Addresses of reverse proxies, separated by commas, that tell who the client is."""
    expire_after_days: float = 7.0
    """Age at which a result is removed [days]."""
    keep_gb: float = 10.0
    """Size of all results above which the oldest are removed [GB]."""
    log_format: Literal["text", "json"] = "text"
    """Form of the log on standard error: for people, or a JSON object a line."""

    def __post_init__(self) -> None:
        """Leave values alone while flags are read, so that unknown flags are refused first."""

    def __call__(self) -> None:
        """Serve until told to end."""
        self.check()
        try:
            from moedsr_core.backend.serve import serve
        except ModuleNotFoundError as error:
            raise InputError(
                f"a server needs the package {error.name}, which is not installed; "
                'install moedsr with it, in the project\'s folder: pip install ".[server]"'
            ) from error
        serve(self)

    def check(self) -> None:
        """Judge the values.

        Raises:
            InputError: If one is not right.
        """
        self.limits()
        check_number("port", self.port, 0, 65_535, whole=True)
        check_number("expire-after-days", self.expire_after_days, 0.01, 36_500)
        check_number("keep-gb", self.keep_gb, 0.001, 1e6)
        if (self.tls_cert is None) is not (self.tls_key is None):
            raise InputError("TLS needs both --tls-cert and --tls-key, got one of them")
        if self.insecure_no_tokens and not self.no_token:
            raise InputError("--insecure-no-tokens goes with --no-token; give both, or neither")
        if not self.devices:
            raise InputError("--devices needs at least one, such as auto")
        for device in self.devices:
            if not DEVICE.fullmatch(device):
                raise InputError(
                    f"--devices are auto, cpu, mps, cuda or cuda:N, got {device!r}; choose of these"
                )
        self._check_cluster()

    def _check_cluster(self) -> None:
        check_number("ray-cpus", self.ray_cpus, 1, 1024, whole=True)
        if self.ray_workers is not None:
            check_number("ray-workers", self.ray_workers, 1, 10_000, whole=True)
        if self.ray is None and (self.ray_cpus, self.ray_workers) != (1, None):
            raise InputError("--ray-cpus and --ray-workers go with --ray; give its address as well")
        if self.ray is not None and self.devices not in (("auto",), ("cpu",), ("cuda",)):
            raise InputError(
                f"with --ray, --devices must be auto, cpu or cuda, got {' '.join(self.devices)}; "
                "Ray gives each worker its GPU"
            )

    def limits(self) -> Limits:
        """How much one client may ask for.

        Raises:
            InputError: If a limit is not right.
        """
        return Limits(**{field.name: getattr(self, field.name) for field in fields(Limits)})


@dataclass(frozen=True, kw_only=True)
class CreateToken:
    """Make a token, and show it: this once, for only its hash is kept."""

    name: tyro.conf.Positional[str]
    """Who it is for; jobs are kept under this name, which is never given to another."""
    data_dir: Path = DEFAULT_DATA
    """Folder of the server."""
    scope: str = "jobs"
    """What it is good for: jobs, or metrics (health and metrics only)."""
    days: float | None = None
    """How long it is valid [days]; until revoked by default."""
    out: Path | None = None
    """New file of mode 0600 to write it to, instead of showing it."""
    replace: bool = False
    """Give the name a new token in place of its old one; the jobs stay with the name."""

    def __call__(self) -> None:
        """Make and show it."""
        if self.out is None:
            print(self._create())
            print("moedsr: this is shown once; hand it over in private", file=sys.stderr)
            return
        with _private_file(self.out) as file:
            file.write(self._create() + "\n")
        print(f"the token of {self.name}, in {self.out}")

    def _create(self) -> str:
        with TokenStore(self.data_dir) as store:
            return store.create(self.name, scope=self.scope, days=self.days, replace=self.replace)


@dataclass(frozen=True, kw_only=True)
class ListTokens:
    """List the tokens of a server."""

    data_dir: Path = DEFAULT_DATA
    """Folder of the server."""
    json: bool = False
    """Print JSON instead of a table."""

    def __call__(self) -> None:
        """List them."""
        now = time.time()
        with _existing(self.data_dir) as store:
            infos = store.infos()
        if self.json:
            print(json.dumps([{**asdict(info), "state": info.state(now)} for info in infos]))
            return
        table = rich.table.Table("name", "state", "scope", "created", "expires", "last used")
        for info in infos:
            times = (info.created, info.expires, info.last_used)
            table.add_row(info.name, info.state(now), info.scope, *map(_minute, times))
        rich.console.Console().print(table)


@dataclass(frozen=True, kw_only=True)
class RevokeToken:
    """End a token at once, also for streams that run with it; its unfinished jobs are cancelled."""

    name: tyro.conf.Positional[str]
    """Whose."""
    data_dir: Path = DEFAULT_DATA
    """Folder of the server."""

    def __call__(self) -> None:
        """Revoke it."""
        with _existing(self.data_dir) as store:
            store.revoke(self.name)
        print(f"the token of {self.name} is revoked")


TokenCommand = (
    Annotated[CreateToken, tyro.conf.subcommand("create")]
    | Annotated[ListTokens, tyro.conf.subcommand("list")]
    | Annotated[RevokeToken, tyro.conf.subcommand("revoke")]
)


@tyro.conf.configure(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
@dataclass(frozen=True, kw_only=True)
class Token:
    """Say who may use a server: create, list or revoke tokens, also while it runs."""

    command: TokenCommand
    """What to do."""

    def __call__(self) -> None:
        """Do it."""
        self.command()


Operate = (
    Annotated[Serve, tyro.conf.subcommand("serve")]
    | Annotated[Token, tyro.conf.subcommand("token")]
)


def main(argv: Sequence[str]) -> int:
    """Run one of the operator's commands; returns the exit code."""
    return command_line.run(Operate, argv)


def _existing(folder: Path) -> TokenStore:
    if not (folder / DATABASE).is_file():
        raise InputError(
            f"there is no server's folder {folder}; name it with --data-dir, or make its first "
            "token with: moedsr token create NAME"
        )
    return TokenStore(folder)


@contextmanager
def _private_file(path: Path) -> Iterator[TextIO]:
    """A new file that only its owner may read; gone again where it could not be filled."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise InputError(
            f"could not make the file {path} ({error.strerror or error}); choose a new one"
        ) from error
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            yield file
    except BaseException:
        path.unlink()
        raise


def _minute(seconds: float | None) -> str:
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
