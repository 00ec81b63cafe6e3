"""Certificates, addresses, and what a server must have to listen on one."""

from __future__ import annotations

import datetime
import os
import re
import shutil
import ssl

import pytest
import requests
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from moedsr_core.backend.access.binding import Exposure, is_loopback, listen, resolve
from moedsr_core.backend.access.front import Access
from moedsr_core.backend.access.tls import Certificate
from moedsr_core.errors import BackendError, InputError
from tests.served import served


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def pair(authority, tmp_path):
    return written(authority.issue_cert("localhost"), tmp_path)


def written(leaf: trustme.LeafCert, folder, name="server"):
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    cert.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    key.touch(mode=0o600)
    key.write_bytes(leaf.private_key_pem.bytes())
    return cert, key


def test_a_good_pair_serves_whoever_trusts_its_issuer(pair, authority):
    certificate = Certificate(*pair)
    assert certificate.concerns() == []
    with served(Access(keys=None), context=certificate.context) as server:
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(server.url + "/v1/health", timeout=30)
        with authority.cert_pem.tempfile() as trusted:
            answer = requests.get(server.url + "/v1/health", verify=trusted, timeout=30)
        assert answer.json() == {"name": "moedsr"}
    assert certificate.context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("which", [0, 1], ids=["certificate", "key"])
@pytest.mark.parametrize("how", ["missing", "folder", "text", "empty"])
def test_files_that_cannot_be_used_are_named(pair, which, how):
    path = pair[which]
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how != "missing":
        path.write_text("hello" * (how == "text"))
    with pytest.raises(InputError) as refused:
        Certificate(*pair)
    assert str(path) in str(refused.value)
    assert str(refused.value).count("\n") == 0


def test_a_key_of_another_certificate_is_refused(pair, authority, tmp_path):
    other = written(authority.issue_cert("localhost"), tmp_path, "other")
    with pytest.raises(InputError, match="does not belong to"):
        Certificate(pair[0], other[1])


def test_an_encrypted_key_is_refused_without_asking_for_its_password(pair):
    key = load_pem_private_key(pair[1].read_bytes(), None)
    pair[1].write_bytes(
        key.private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"secret")
        )
    )
    with pytest.raises(InputError, match="encrypted"):
        Certificate(*pair)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_key_that_may_not_be_read_is_named(pair):
    pair[1].chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        Certificate(*pair)


@pytest.mark.parametrize(
    ("days", "said"), [(-1, "has expired"), (5, "ends in [45] days"), (60, None)]
)
def test_certificates_that_end_are_said(authority, tmp_path, days, said):
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days, hours=1)
    begin = end - datetime.timedelta(days=300)
    leaf = authority.issue_cert("localhost", not_before=begin, not_after=end)
    concerns = Certificate(*written(leaf, tmp_path)).concerns()
    if said is None:
        assert concerns == []
    else:
        assert len(concerns) == 1
        assert re.search(said, concerns[0])


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps rights in another way")
def test_a_key_that_everybody_may_read_is_said(pair):
    pair[1].chmod(0o644)
    assert "chmod 600" in Certificate(*pair).concerns()[0]


def test_a_renewed_pair_is_used_and_a_broken_one_is_not(pair, authority, tmp_path):
    certificate = Certificate(*pair)
    assert not certificate.refresh()
    other = trustme.CA()
    for new, old in zip(written(other.issue_cert("localhost"), tmp_path, "new"), pair, strict=True):
        shutil.copy(new, old)
        os.utime(old, ns=(1, 1))
    assert certificate.refresh()
    with served(Access(keys=None), context=certificate.context) as server:
        pair[0].write_text("broken")
        assert not certificate.refresh()
        with other.cert_pem.tempfile() as trusted:
            assert requests.get(server.url + "/v1/health", verify=trusted, timeout=30).ok


def exposure(**facts) -> Exposure:
    return Exposure(**{"loopback": False, "tls": True, "tokens": True, **facts})


def concerns(of: Exposure, no_tls=False, no_tokens=False) -> list[str]:
    return of.concerns(insecure_no_tls=no_tls, insecure_no_tokens=no_tokens)


def test_on_loopback_anything_goes():
    assert concerns(exposure(loopback=True, tls=False, tokens=False)) == []


def test_beyond_loopback_both_are_needed():
    assert concerns(exposure()) == []
    with pytest.raises(InputError, match="needs tokens"):
        concerns(exposure(tokens=False))
    with pytest.raises(InputError, match="needs TLS"):
        concerns(exposure(tls=False))
    with pytest.raises(InputError, match="needs TLS"):
        concerns(exposure(tokens=False, tls=False), no_tokens=True)
    with pytest.raises(InputError, match="needs tokens"):
        concerns(exposure(tokens=False, tls=False), no_tls=True)


def test_what_is_insecure_and_asked_for_is_said_loudly():
    said = concerns(exposure(tokens=False, tls=False), no_tls=True, no_tokens=True)
    assert [line.split(":")[0] for line in said] == ["NO TOKENS", "NO TLS"]


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True),
        ("0.0.0.0", False), ("::", False), ("192.0.2.1", False), ("2001:db8::1", False),
    ],
)  # fmt: skip
def test_loopback_is_told_from_other_addresses(host, loopback):
    assert is_loopback(resolve(host)) is loopback


@pytest.mark.parametrize("host", ["", "no such host", "300.1.1.1", "x" * 300])
def test_hosts_that_are_none_are_refused(host):
    with pytest.raises(InputError, match="there is no host"):
        resolve(host)


def test_a_port_in_use_is_said():
    with listen("127.0.0.1", 0) as first, pytest.raises(BackendError, match="--port"):
        listen("127.0.0.1", first.getsockname()[1])


def test_an_address_of_another_computer_is_said():
    with pytest.raises(BackendError, match="--host"):
        listen("192.0.2.1", 0)
