"""Addresses of servers, and tokens in files."""

from __future__ import annotations

import sys

import pytest

from moedsr_core.backend.client import (
    Address,
    UserError,
    read_token,
)


@pytest.mark.parametrize(
    ("url", "more", "sentence"),
    [
        ("gpu.example:8642", {}, "an address is written https://host:port, got 'gpu.example:8642'"),
        ("ftp://gpu.example", {}, "an address is written"),
        ("https://", {}, "an address is written"),
        ("https://gpu.example:99999", {}, "an address is written"),
        ("https://me:secret@gpu.example", {}, "holds no user and password"),
        ("http://gpu.example", {"token": "t"}, "is not encrypted, so everybody .* read the token"),
        ("https://gpu.example", {"token": "a\nb"}, "plain characters on one line"),
        ("https://gpu.example", {"ca_file": "/no/such"}, "no file of certificates at '/no/such'"),
        ("https://gpu.example", {"ca_file": __file__}, "holds no certificate that can be read"),
    ],
)
def test_an_address_that_cannot_work_is_refused_before_anything_is_sent(url, more, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        Address(url, **more)
    assert "secret" not in str(error.value)


def test_an_address_is_written_one_way_and_hides_its_token():
    address = Address(" https://GPU.example:8642/v1/ ", "topsecret")
    assert address.url == "https://gpu.example:8642" and address.port == 8642
    assert "topsecret" not in f"{address} {address!r}"
    assert Address("http://[::1]:1", "t").is_loopback and Address("http://localhost", "t").token


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_a_token_that_others_can_read_is_refused_with_the_cure(tmp_path):
    file = tmp_path / "token"
    file.write_text("abcdefgh\nsecond line\n")
    file.chmod(0o640)
    with pytest.raises(UserError, match=f"chmod 600 {file}"):
        read_token(str(file))
    file.chmod(0o600)
    assert read_token(str(file)) == "abcdefgh"


@pytest.mark.parametrize("content", [b"", b"two words\n", "Schlüssel\n".encode(), b"\n"])
def test_a_file_that_holds_no_token_is_refused(tmp_path, content):
    file = tmp_path / "token"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(UserError, match=r"first line of .* must be a token"):
        read_token(str(file))
    with pytest.raises(UserError, match=r"cannot be read .*No such file"):
        read_token(str(tmp_path / "none"))
