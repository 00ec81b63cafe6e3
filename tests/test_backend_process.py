"""The backend as a real process, of its own and as a child."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from backend_support import DEADLINE_S, MODULE, TOKEN, Client, answers, start_child, wait_until

from moedsr_core.backend import parent_access, server
from moedsr_core.errors import BackendError, InputError


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_only_loopback_is_served(host):
    with pytest.raises(InputError, match="loopback only"):
        server.listen(host, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_loopback_is_served_by_any_of_its_names(host):
    assert server.loopback_address(host).startswith("127.")


def test_a_token_must_be_long_enough():
    with pytest.raises(InputError, match="at least 16 plain characters"):
        parent_access.read_token(b"short\n", "standard input")
    assert parent_access.read_token(b"0123456789abcdef\r\n", "standard input") == "0123456789abcdef"


def test_a_child_answers_its_handshake_leaves_ctrl_c_to_its_parent_and_ends_with_its_input(
    tmp_path,
):
    child = start_child(tmp_path)
    with child:
        child.stdin.write(f"{TOKEN}\n".encode())
        child.stdin.flush()
        answer = json.loads(child.stdout.readline())
        assert answer == {"port": answer["port"], "pid": child.pid, "protocol": 2}
        health = Client(answer["port"])("GET", "/health")
        assert health.status_code == 200 and health.json()["pid"] == child.pid
        assert (tmp_path / "moedsr.sqlite").is_file()
        if os.name == "posix":
            child.send_signal(signal.SIGINT)
            time.sleep(0.3)
        assert answers(Client(answer["port"]))
        began = time.monotonic()
        child.stdin.close()
        assert child.wait(DEADLINE_S) == 0
        assert time.monotonic() - began < server._GRACE_S + 5
        assert child.stdout.read() == b""
        log = child.stderr.read().decode()
    assert TOKEN not in log and "Traceback" not in log


def test_a_server_dies_with_a_parent_that_is_killed(tmp_path):
    parent_code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen({[*MODULE, '--parent-pipe', '--port', '0']!r},"
        " stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)\n"
        f"child.stdin.write({f'{TOKEN}{os.linesep}'.encode()!r}); child.stdin.flush()\n"
        "sys.stdout.buffer.write(child.stdout.readline()); sys.stdout.flush()\n"
        "time.sleep(600)\n"
    )
    environment = {**os.environ, server.DATA_VARIABLE: str(tmp_path)}
    parent = subprocess.Popen(
        [sys.executable, "-c", parent_code], stdout=subprocess.PIPE, env=environment
    )
    with parent:
        client = Client(json.loads(parent.stdout.readline())["port"])
        assert client("GET", "/jobs").status_code == 200
        parent.kill()
        wait_until(lambda: not answers(client), "the server is gone")


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_a_server_of_its_own_ends_in_order_with_ctrl_c(tmp_path):
    token_file, folder = tmp_path / "token", tmp_path / "jobs"
    token_file.write_text(f"{TOKEN}\n")
    command = [*MODULE, "--port", "0", "--token-file", str(token_file), "--data", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        client = Client(json.loads(process.stdout.readline())["port"])
        assert client("GET", "/jobs").json() == []
        process.send_signal(signal.SIGINT)
        log = process.communicate(timeout=DEADLINE_S)[1]
    assert (process.returncode, log) == (0, b"")
    assert list((folder / "jobs").iterdir()) == []


@pytest.mark.parametrize("given", [b"", b"\n", b"short\n"])
def test_a_child_without_a_token_says_so_and_ends(tmp_path, given):
    child = start_child(tmp_path)
    output, log = child.communicate(given, timeout=DEADLINE_S)
    assert (child.returncode, output) == (InputError.exit_code, b"")
    assert b"standard input must begin with a line that holds the token" in log
    assert b"Traceback" not in log


def test_a_taken_port_is_one_sentence_and_exit_code_3(tmp_path, caplog):
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN)
    with server.listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        run = subprocess.run(
            [*MODULE, "--port", port, "--token-file", str(token_file)],
            capture_output=True, timeout=DEADLINE_S,
        )  # fmt: skip
    assert (run.returncode, run.stdout) == (BackendError.exit_code, b"")
    sentence = run.stderr.decode().strip()
    assert len(sentence.splitlines()) == 1
    assert f"could not listen on 127.0.0.1 port {port}" in sentence and TOKEN not in sentence


def test_a_host_in_the_network_is_refused_by_the_command(tmp_path):
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN)
    run = subprocess.run(
        [*MODULE, "--host", "0.0.0.0", "--port", "0", "--token-file", str(token_file)],
        capture_output=True, timeout=DEADLINE_S,
    )  # fmt: skip
    assert run.returncode == InputError.exit_code
    assert b"loopback only" in run.stderr and b"Traceback" not in run.stderr
