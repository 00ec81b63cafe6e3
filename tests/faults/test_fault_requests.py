"""Requests that were damaged at random, in their bodies and in their heads."""

from __future__ import annotations

import random
import socket

import pytest
from bad_bodies import bad_body
from harmless import judge, leaves_nothing
from lab import Lab
from routes import ROUTES, filled


def test_damaged_bodies_are_refused_or_read(lab, count):
    client = lab.client()
    with leaves_nothing(lab):
        for number in range(count(60, 5000)):
            kind, body = bad_body(number)
            answer = client("POST", "/jobs", data=body)
            judge(answer.status_code, answer.content)
            assert answer.status_code in (201, 422), (number, kind, answer.text)


_PIECES = (b"\0", b"%00", b"\r\n", b" ", b"..%2f", b"%ff", b"-", b"\xff", b"A" * 9000)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_damaged_requests_are_answered_or_cut(lab, method, path, count):
    rng = random.Random(f"{method} {path}")
    with leaves_nothing(lab) as job:
        whole = _request(lab, method, path if method == "DELETE" else filled(path, job))
        for _ in range(count(5, 1000)):
            sent = _damaged(rng, whole)
            answer = _exchange(lab, sent)
            assert b"Traceback" not in answer and b"HTTP/1.1 5" not in answer, sent


def _request(lab: Lab, method: str, path: str) -> bytes:
    body = bad_body(0)[1]
    lines = [
        f"{method} {path}?from=0 HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {lab.token('ann')}",
        "Idempotency-Key: a",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _damaged(rng: random.Random, whole: bytes) -> bytes:
    """A request with some bytes of its head changed, left out, or repeated."""
    sent, head = bytearray(whole), whole.index(b"\r\n\r\n")
    line = whole.index(b" HTTP/1.1")  # where most is made of what comes
    for _ in range(rng.choice((1, 1, 2, 5))):
        place = rng.randrange(min(len(sent), rng.choice((line, line, head))))
        length = rng.choice((1, 1, 4, 20))
        copied = bytes(sent[place : place + 40])
        piece = rng.choice((rng.randbytes(length), b"9" * length, copied, *_PIECES))
        sent[place : place + rng.choice((0, length))] = piece
    return bytes(sent[: rng.randrange(1, len(sent))]) if rng.random() < 0.1 else bytes(sent)


def _exchange(lab: Lab, sent: bytes) -> bytes:
    """What comes back until the server has answered or closed; nothing more is sent."""
    with socket.create_connection(("127.0.0.1", lab.port), timeout=60) as client:
        got = b""
        try:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            while piece := client.recv(65536):
                got += piece
        except ConnectionError:
            pass
        return got
