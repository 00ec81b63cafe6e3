"""Clients that want more than their share of memory or time, while others are served."""

from __future__ import annotations

import logging
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest
from backend_support import DEADLINE_S, wait_until
from lab import Lab
from test_wire import body_of, members_of, zipped

log = logging.getLogger("faults")
MB = 1 << 20
BOUND = 350 * MB
"""Most memory beyond what the server had before."""


@pytest.fixture(autouse=True)
def _others_are_served(lab):
    """An honest client's jobs are done during the attack, and memory stays bounded."""
    ended, served = threading.Event(), []

    def honest() -> None:
        client = lab.client()
        while not ended.is_set() or not served:
            job = client.create(frames=2)
            served.append(client.end(job)["state"])
            client("DELETE", f"/jobs/{job}")
            ended.wait(0.2)

    before = lab.memory()
    lab.forget_peak()
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(honest)
        yield served
        ended.set()
        work.result(timeout=DEADLINE_S)
    assert set(served) == {"done"}
    log.info("memory was %d MB, and %d MB at most", before // MB, lab.memory(peak=True) // MB)
    assert lab.memory(peak=True) - before < BOUND
    assert lab.process.poll() is None


def bomb(size: int, lie: bool) -> bytes:
    """A small body that unpacks to many bytes, and may say that it does not."""
    body = zipped({**members_of(body_of()), "coords.npy": bytes(size)})
    return body.replace(struct.pack("<I", size), struct.pack("<I", 144)) if lie else body


@pytest.mark.parametrize("lie", [False, True], ids=["honest", "lying"])
@pytest.mark.parametrize("size", [60 * MB, 1000 * MB])
def test_zip_bombs_are_refused(lab, size, lie, count):
    body = bomb(size if count(0, 1) else size // 14, lie)
    with ThreadPoolExecutor(count(2, 20)) as pool:
        answers = [pool.submit(send_once, lab, body) for _ in range(count(2, 40))]
        assert {answer.result() for answer in answers} == {422}


def send_once(lab: Lab, body: bytes) -> int:
    return lab.client("eve")("POST", "/jobs", data=body).status_code


def head(lab: Lab, *lines: str) -> bytes:
    first = ("POST /v1/jobs HTTP/1.1", "Host: x", f"Authorization: Bearer {lab.token('eve')}")
    return "\r\n".join((*first, *lines)).encode() + b"\r\n\r\n"


def send_for_ever(lab: Lab, begin: bytes, piece: bytes, pause_s: float) -> tuple[bytes, int]:
    """Send until the server ends it; what it answered, and how many bytes it took."""
    with socket.create_connection(("127.0.0.1", lab.port), timeout=DEADLINE_S) as client:
        got, sent = b"", 0
        with suppress(ConnectionError):
            client.sendall(begin)
            while True:
                client.settimeout(pause_s)
                with suppress(TimeoutError):
                    got += client.recv(65536)
                    if got:
                        break
                client.settimeout(DEADLINE_S)
                client.sendall(piece)
                sent += len(piece)
        with suppress(ConnectionError):
            client.settimeout(DEADLINE_S)
            while more := client.recv(65536):
                got += more
        return got, sent


def test_ten_gigabytes_are_refused_at_once(lab, count):
    begin = head(lab, "Content-Length: 10737418240")
    for _ in range(count(1, 20)):
        answer, sent = send_for_ever(lab, begin, b"x" * MB, DEADLINE_S)
        assert answer.startswith(b"HTTP/1.1 413 ") and sent == 0


def test_a_chunked_body_without_end_is_cut(lab, count):
    piece = b"100000\r\n" + b"x" * MB + b"\r\n"
    with ThreadPoolExecutor(count(1, 8)) as pool:
        begin = head(lab, "Transfer-Encoding: chunked")
        ends = [pool.submit(send_for_ever, lab, begin, piece, 0.001) for _ in range(count(1, 16))]
        for end in ends:
            answer, sent = end.result()
            assert answer.startswith(b"HTTP/1.1 413 ") and sent < 64 * MB


@pytest.mark.parametrize(
    "begin", [b"", b"GET /v1/health HTTP/1.1\r\nX-A: "], ids=["first line", "header"]
)
def test_headers_that_dribble_in_are_cut_while_others_are_served(
    lab, begin, count, _others_are_served
):
    loris = count(5, 200)
    with ThreadPoolExecutor(loris) as pool:
        ends = [pool.submit(send_for_ever, lab, begin, b"x", 0.2) for _ in range(loris)]
        served = len(_others_are_served)
        for end in ends:
            assert end.result()[0].startswith(b"HTTP/1.1 408 ")
    assert len(_others_are_served) > served


@pytest.mark.soak
def test_bodies_that_dribble_in_are_cut(lab):
    begin = head(lab, "Content-Length: 1000000")
    with ThreadPoolExecutor(50) as pool:
        ends = [pool.submit(send_for_ever, lab, begin, b"x" * 100, 0.5) for _ in range(50)]
        for end in ends:
            assert end.result()[0].startswith(b"HTTP/1.1 408 ")


def test_readers_that_do_not_read_are_cut(lab, count):
    ask = b"GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\n"
    ask += f"Authorization: Bearer {lab.token('eve')}\r\n\r\n".encode()
    known = lab.log.count("reason=reader")
    with ExitStack() as readers:
        for _ in range(count(2, 8)):
            client = readers.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", lab.port))
            client.sendall(1000 * ask)  # more than fits into any buffer on the way
        cut = known + count(2, 8)
        wait_until(lambda: lab.log.count("reason=reader") == cut, "all readers are cut")
