"""Who is not let in, on every route there is; and whose jobs they are not."""

from __future__ import annotations

import pytest
import requests
from backend_support import Client, wait_until
from lab import Lab
from routes import JOB_ROUTES, ROUTES, filled

from moedsr_core.backend.access.tokens import TokenStore

WRONG = {
    "none": {},
    "empty": {"Authorization": "Bearer "},
    "wrong": {"Authorization": "Bearer moedsr_wrong"},
    "not ascii": {"Authorization": "Bearer {valid}é"},
    "longer": {"Authorization": "Bearer {valid}x"},
    "shorter": {"Authorization": "Bearer {valid:.20}"},
    "twice": {"Authorization": "Bearer {valid} {valid}"},
    "another scheme": {"Authorization": "Basic {valid}"},
    "another header": {"X-Token": "{valid}"},
    "cookie": {"Cookie": "Authorization=Bearer {valid}"},
    "revoked": {"Authorization": "Bearer {revoked}"},
    "expired": {"Authorization": "Bearer {expired}"},
    "hash": {"Authorization": "Bearer {hash}"},
}


@pytest.fixture(scope="module")
def secrets(lab) -> dict[str, str]:
    """Tokens that were good once, and what is kept of one that is good."""
    lab.token("gone")
    with TokenStore(lab.folder) as store:
        expired = store.create("late", days=1e-6)
        (kept,) = store._db.execute("SELECT hex(hash) FROM tokens WHERE name = 'ann'").fetchone()
        wait_until(lambda: store.find(expired) is None, "the token has expired")
    return {
        "valid": lab.token("ann"), "revoked": lab.revoke("gone"), "expired": expired, "hash": kept,
    }  # fmt: skip


@pytest.fixture(scope="module")
def job(lab) -> str:
    """A finished job of ann's."""
    client = lab.client()
    job = client.create(frames=2)
    assert client.end(job)["state"] == "done"
    yield job
    assert client.state(job)["state"] == "done"  # nobody has cancelled or deleted it
    client("DELETE", f"/jobs/{job}")


def ask(lab: Lab, method: str, path: str, headers: dict[str, str]) -> requests.Response:
    return requests.request(method, lab.url + path, headers=headers, timeout=60, stream=True)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_gets_in_without_a_valid_token(lab, secrets, job, method, path):
    for kind, headers in WRONG.items():
        sent = {k: v.format(**secrets).encode("latin-1", "replace") for k, v in headers.items()}
        with ask(lab, method, filled(path, job), sent) as answer:
            assert answer.status_code == 401, kind
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            assert method == "HEAD" or list(answer.json()) == ["detail"]
            assert job not in answer.text and secrets["valid"] not in answer.text


@pytest.mark.parametrize(("method", "path"), JOB_ROUTES)
def test_another_owners_job_is_answered_as_one_that_never_was(lab, job, method, path):
    eve, never = {"Authorization": f"Bearer {lab.token('eve')}"}, "0123456789abcdef"
    for query in ("", "?from=1", "?from=x", "?from=999"):
        theirs = ask(lab, method, filled(path, job) + query, eve)
        unknown = ask(lab, method, filled(path, never) + query, eve)
        assert theirs.status_code == unknown.status_code
        assert theirs.status_code == (422 if query == "?from=x" and "stream" in path else 404)
        assert theirs.text.replace(job, never) == unknown.text
        varying = {"content-length", "date"}
        assert {k: v for k, v in theirs.headers.items() if k not in varying} == {
            k: v for k, v in unknown.headers.items() if k not in varying
        }


def test_lists_and_numbers_tell_nothing_of_others(lab, job):
    eve = lab.client("eve")
    assert eve("GET", "/jobs").json() == []
    for path in ("/metrics", "/health", "/models", "/openapi.json"):
        text = eve("GET", path).text
        assert job not in text and "ann" not in text.split('"')


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_a_token_that_ends_in_mid_stream_ends_the_stream(lab, end):
    owner = f"short-{end}"
    with TokenStore(lab.folder) as store:
        secret = store.create(owner, days=None if end == "revoked" else 3.0 / 86_400)
        client = Client(lab.port, secret)
        path = f"/jobs/{client.create(model='waits')}"
        with client("GET", f"{path}/stream", stream=True) as stream:
            pieces = stream.iter_content(1 << 16)
            next(pieces)
            if end == "revoked":
                store.revoke(owner)
            with pytest.raises(requests.exceptions.ChunkedEncodingError):  # no end of a whole one
                list(pieces)
        assert client("GET", path).status_code == 401
        heir = Client(lab.port, store.create(owner, replace=True))
    assert heir("GET", path).json()["state"] == "running"
    assert heir("DELETE", path).status_code == 204
