"""What requests leave in the log and in the numbers, and what they do not."""

from __future__ import annotations

import json
import logging
import re

import pytest

from moedsr_core.backend.access.front import Access
from moedsr_core.backend.access.logs import FIELDS, JsonLines, TextLines, log_event
from moedsr_core.backend.access.metrics import Metrics
from moedsr_core.backend.access.tokens import TokenStore
from tests.served import LinesHeard, bearer, call, served


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    kept = TokenStore(tmp_path_factory.mktemp("watch") / "data")
    yield kept
    kept.close()


@pytest.fixture(scope="module")
def server(store):
    with served(Access(keys=store)) as running:
        yield running


@pytest.fixture(scope="module")
def ann(store):
    return bearer(store.create("ann"))


@pytest.fixture
def heard():
    handler, root = LinesHeard(JsonLines()), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler
    root.removeHandler(handler)
    root.setLevel(before)


def test_a_failure_is_one_sentence_without_its_values(server, ann, heard):
    answer = call(server, "GET", "/v1/broken", ann)
    assert answer.status_code == 500
    assert answer.json() == {
        "detail": "internal error: ZeroDivisionError; the backend's log has more"
    }
    lines = [json.loads(line) for line in heard.lines]
    failure = next(line for line in lines if line["level"] == "error" and "at" in line)
    assert failure["error"] == "ZeroDivisionError"
    assert failure["at"][-1].endswith(" broken")
    heard.wait_for('"request"', 1)
    assert "GLY" not in "".join(heard.lines) and "12.345" not in "".join(heard.lines)


def test_every_request_leaves_one_line_without_its_token_or_path(server, store, heard):
    secret = store.create("liner")
    for count, (path, headers) in enumerate(
        [
            ("/v1/jobs", bearer(secret)),
            (f"/v1/jobs/{secret}/stream?x={secret}", {}),
            (f"/{secret}", bearer(secret)),
        ],
        start=1,
    ):
        call(server, "GET", path, headers)
        found = heard.wait_for('"request"', count)
    lines = [json.loads(line) for line in found]
    first = lines[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert (first["level"], first["event"], first["owner"]) == ("info", "request", "liner")
    assert (first["method"], first["route"], first["status"]) == ("GET", "/v1/jobs", 200)
    assert first["ms"] >= 0 and first["client"] == "127.0.0.1"
    assert [line["status"] for line in lines] == [200, 401, 404]
    assert secret not in "".join(heard.lines)


def test_a_line_holds_known_fields_only_and_no_token_of_others():
    record = logging.LogRecord(
        "x", logging.INFO, "", 0, "Bearer %s, %s", ("abc", "moedsr_" + "x" * 43), None
    )
    record.fields = {"event": "job\nended", "owner": "ann", "coords": [1.5], "status": 200}
    line = json.loads(JsonLines().format(record))
    assert set(line) == {"time", "level", "event", "owner", "status", "message"}
    assert line["event"] == "job ended"
    assert "abc" not in line["message"] and "xxx" not in line["message"]
    text = TextLines().format(record)
    assert "owner=ann status=200" in text and "\n" not in text and "coords" not in text


def test_an_event_is_logged_with_what_is_known(heard):
    log_event("job ended", owner="ann", job="0" * 16, state="done", ms=1.5, kind=None)
    line = json.loads(heard.lines[-1])
    assert {k: line[k] for k in ("event", "owner", "job", "state", "ms")} == {
        "event": "job ended", "owner": "ann", "job": "0" * 16, "state": "done", "ms": 1.5,
    }  # fmt: skip
    assert set(line) <= {"time", "level", *FIELDS}


class Jobs:
    """A source of numbers."""

    def count_states(self) -> dict[str, int]:
        return {"queued": 3, "done": 2}

    def disk_bytes(self) -> int:
        return 4096


def test_the_numbers_tell_of_requests_and_jobs_but_not_of_owners(store):
    metrics = Metrics()
    metrics.watch(Jobs())
    metrics.note_job_start(waited=0.2)
    metrics.note_job_end(kind="predict", state="done", seconds=3.0)
    metrics.frames.inc(100)
    secret = store.create("numbered")
    with served(Access(keys=store, metrics=metrics)) as server:
        call(server, "POST", "/v1/jobs", bearer(secret), data=b"x" * 1000)
        call(server, "BREW", "/v1/jobs", bearer(secret))
        call(server, "GET", "/v1/jobs")
    text = metrics.text().decode()
    for line in (
        'moedsr_requests_total{method="POST",route="/v1/jobs",status="200"} 1.0',
        'moedsr_requests_total{method="other",route="/v1/jobs",status="405"} 1.0',
        'moedsr_requests_total{method="GET",route="unmatched",status="401"} 1.0',
        'moedsr_transferred_bytes_total{direction="received"} 1000.0',
        'moedsr_jobs{state="queued"} 3.0', 'moedsr_jobs{state="failed"} 0.0',
        "moedsr_queue_length 3.0", "moedsr_disk_bytes 4096.0", "moedsr_frames_total 100.0",
        'moedsr_job_seconds_count{kind="predict",state="done"} 1.0',
        "moedsr_job_wait_seconds_count 1.0",
    ):  # fmt: skip
        assert line in text.splitlines()
    assert "numbered" not in text
