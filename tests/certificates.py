"""Certificates for servers on loopback, made by openssl; tests skip where that is absent."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

_CA = """
[ca]
default_ca = own
[own]
database = index.txt
serial = serial.txt
new_certs_dir = .
default_md = sha256
policy = any
copy_extensions = copy
x509_extensions = server
[any]
commonName = supplied
[server]
basicConstraints = critical, CA:TRUE
"""


@dataclass(frozen=True)
class Certificate:
    """A certificate that vouches for itself, and its key, as PEM files."""

    file: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """What a server needs to show it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key)
        return context


def make_certificate(folder: Path, name: str = "IP:127.0.0.1") -> Certificate:
    """A certificate for a name, valid for a day."""
    made = Certificate(folder / "cert.pem", folder / "key.pem")
    _openssl(
        folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
        "/CN=moedsr test", "-addext", f"subjectAltName={name}", "-keyout", "key.pem", "-out",
        "cert.pem",
    )  # fmt: skip
    return made


def make_expired(folder: Path) -> Certificate:
    """A certificate whose time was over long ago."""
    (folder / "ca.cnf").write_text(_CA)
    (folder / "index.txt").write_text("")
    (folder / "serial.txt").write_text("01\n")
    _openssl(
        folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=moedsr test", "-addext",
        "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "request.pem",
    )  # fmt: skip
    _openssl(
        folder, "ca", "-batch", "-config", "ca.cnf", "-selfsign", "-keyfile", "key.pem", "-in",
        "request.pem", "-out", "cert.pem", "-notext", "-startdate", "20200101000000Z", "-enddate",
        "20200201000000Z",
    )  # fmt: skip
    return Certificate(folder / "cert.pem", folder / "key.pem")


def _openssl(folder: Path, *arguments: str) -> None:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed, so there are no certificates to try")
    done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
