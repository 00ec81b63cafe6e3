"""Tokens: what is kept of them, and when they are valid."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
import subprocess
import sys

import pytest

from moedsr_core.backend.access import tokens
from moedsr_core.backend.access.tokens import OneToken, TokenStore
from moedsr_core.errors import BackendError, InputError


class Clock:
    """Unix seconds that pass when told to."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    kept = TokenStore(tmp_path / "data", clock)
    yield kept
    kept.close()


def test_a_token_is_256_random_bits_that_open_the_gate_under_its_name(store):
    secret = store.create("ann")
    assert secret.startswith("moedsr_") and len(secret) >= len("moedsr_") + 256 / 6
    holder = store.find(secret)
    assert (holder.owner, holder.scope) == ("ann", "jobs")
    assert store.create("bob") != secret


@pytest.mark.parametrize("wrong", ["", "moedsr_", "ann", "x" * 50, "ü\udcff"])
def test_nothing_else_opens_it(store, wrong):
    secret = store.create("ann")
    assert store.find(wrong) is None
    assert store.find(secret[:-1]) is None
    assert store.find(secret + "x") is None
    assert store.find(hashlib.sha256(secret.encode()).hexdigest()) is None


def test_only_a_hash_is_kept(store):
    secret = store.create("ann")
    store.close()
    files = [p.read_bytes() for p in store.path.parent.iterdir()]
    assert any(hashlib.sha256(secret.encode()).digest() in content for content in files)
    assert not any(secret.encode()[7:] in content for content in files)


def test_every_hash_is_compared_in_constant_time_whether_or_not_one_fits(store, monkeypatch):
    secrets = [store.create(name) for name in ("ann", "bob", "eve")]
    compared = []
    real = tokens.hmac.compare_digest
    monkeypatch.setattr(
        tokens.hmac, "compare_digest", lambda a, b: compared.append(a) or real(a, b)
    )
    store.find(secrets[0])
    store.find("wrong")
    assert len(compared) == 6


@pytest.mark.parametrize("name", ["", " ann", "a/b", "a\n", "ü", "x" * 65, "-ann", "local"])
def test_names_that_are_none_are_refused(store, name):
    with pytest.raises(InputError, match="name"):
        store.create(name)
    assert store.list() == []


def test_a_name_stays_taken_even_when_revoked_since_it_owns_jobs(store):
    store.create("ann")
    store.revoke("ann")
    with pytest.raises(InputError, match="--replace"):
        store.create("ann")


def test_replacing_hands_the_name_to_a_new_token_and_ends_the_old(store):
    old = store.create("ann")
    before = store.find(old)
    new = store.create("ann", replace=True)
    assert store.find(old) is None
    assert store.find(new).owner == "ann"
    assert store.live({before.id, store.find(new).id}) == {store.find(new).id}


def test_a_revoked_token_is_refused_at_once_by_whoever_has_the_folder_open(store, clock):
    secret = store.create("ann")
    other = TokenStore(store.path.parent, clock)
    holder = other.find(secret)
    store.revoke("ann")
    assert other.find(secret) is None
    assert other.live({holder.id}) == set()
    other.close()
    assert [info.state(clock.now) for info in store.list()] == ["revoked"]


def test_an_expired_token_is_refused_from_its_second_on(store, clock):
    secret = store.create("ann", days=2)
    holder = store.find(secret)
    clock.now += 2 * 86_400 - 1
    assert store.live({holder.id}) == {holder.id}
    clock.now += 1
    assert store.find(secret) is None and store.live({holder.id}) == set()
    assert not store.has_valid()
    assert [info.state(clock.now) for info in store.list()] == ["expired"]


@pytest.mark.parametrize("days", [0, -1, 1e9, float("nan")])
def test_lives_that_make_no_sense_are_refused(store, days):
    with pytest.raises(InputError, match="days"):
        store.create("ann", days=days)


def test_unknown_scopes_are_refused(store):
    with pytest.raises(InputError, match="jobs, metrics"):
        store.create("ann", scope="root")


@pytest.mark.parametrize("revoked", [False, True])
def test_revoking_what_is_not_there_is_refused(store, revoked):
    if revoked:
        store.create("ann")
        store.revoke("ann")
    with pytest.raises(InputError, match=r"revoked already|none yet"):
        store.revoke("ann")


def test_the_last_use_is_kept_to_the_minute(store, clock):
    secret = store.create("ann")
    assert store.list()[0].last_used is None
    store.find(secret)
    first = clock.now
    clock.now += 59
    store.find(secret)
    assert store.list()[0].last_used == first
    clock.now += 1
    store.find(secret)
    assert store.list()[0].last_used == first + 60


def test_a_busy_database_does_not_keep_a_token_from_its_use(store):
    secret = store.create("ann")
    writer = sqlite3.connect(store.path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert store.find(secret).owner == "ann"
    assert store.list()[0].last_used is None
    writer.execute("ROLLBACK")
    writer.close()


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps rights in another way")
def test_the_data_folder_is_for_its_owner_alone(store):
    store.create("ann")
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    for path in store.path.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_is_no_database_is_refused_in_a_sentence(tmp_path):
    (tmp_path / tokens.DATABASE).write_bytes(b"something else entirely" * 100)
    with pytest.raises(BackendError, match="not a database"):
        TokenStore(tmp_path)


def test_a_folder_that_cannot_be_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="--data-dir"):
        TokenStore(tmp_path / "file" / "data")


def test_two_processes_make_tokens_of_the_same_name_once(tmp_path):
    code = (
        "import sys, pathlib; from moedsr_core.backend.access.tokens import TokenStore\n"
        "store = TokenStore(pathlib.Path(sys.argv[1]))\n"
        "made = 0\n"
        "for k in range(20):\n"
        "    try: store.create(f'name{k}'); made += 1\n"
        "    except ValueError: pass\n"
        "print(made)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sum(int(process.communicate(timeout=60)[0]) for process in both) == 20


def test_one_token_opens_for_the_program_that_made_it():
    keys = OneToken("secret of a parent")
    assert keys.find("secret of a parent").owner == "local"
    assert keys.find("secret of another") is None
    assert keys.live({0}) == {0}
