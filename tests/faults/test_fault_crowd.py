"""Many clients at once, and one of them greedy."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from statistics import mean

from backend_support import wait_until
from lab import Lab

log = logging.getLogger("faults")


def test_a_crowd_is_answered_and_nobody_waits_for_the_greedy(lab, count):
    clients, greedy, modest = count(10, 50), count(24, 100), count(4, 25)
    owners = ["greedy", "b", "c", "d", "e"]
    blocker = lab.client("blocker").create(model="waits")
    wait_until(lambda: lab.client("blocker").state(blocker)["state"] == "running", "it blocks")
    with ThreadPoolExecutor(clients) as crowd:
        jobs = {}
        for owner in owners:
            wanted = [owner] * (greedy if owner == "greedy" else modest)
            jobs[owner] = list(crowd.map(lambda one: lab.client(one).create(frames=1), wanted))
        assert lab.client()("GET", "/health").json()["queue"]["waiting"] == greedy + 4 * modest
        everybody = threading.Barrier(clients + 1)
        shares = [[] for _ in range(clients)]
        in_turn = sorted((k, owner) for owner in owners for k in range(len(jobs[owner])))
        for place, (k, owner) in enumerate(in_turn):
            shares[place % clients].append((owner, jobs[owner][k]))

        def follow(share: list[tuple[str, str]]) -> list[str]:
            first, *others = [(lab.client(owner), job) for owner, job in share]
            with first[0].stream(first[1]) as records:
                next(records)
                everybody.wait(120)
                states = [[head for head, _ in records][-1]["state"]]
            return states + [client.end(job)["state"] for client, job in others]

        followed = [crowd.submit(follow, share) for share in shares]
        everybody.wait(120)
        assert lab.client("blocker")("POST", f"/jobs/{blocker}/cancel").status_code == 200
        states = [state for one in followed for state in one.result(timeout=250)]
    assert states == ["done"] * (greedy + 4 * modest)
    places = mean_places(lab, owners, modest)
    log.info("mean places in the order of completion: %s", places)
    assert max(places.values()) - min(places.values()) < len(owners)  # all in one round of turns
    for owner in owners:
        for job in jobs[owner]:
            assert lab.client(owner)("DELETE", f"/jobs/{job}").status_code == 204
    assert lab.client("blocker")("DELETE", f"/jobs/{blocker}").status_code == 204


def mean_places(lab: Lab, owners: list[str], most: int) -> dict[str, float]:
    """Mean place of each owner's first jobs in the order in which jobs ended."""
    rows = lab.rows("SELECT owner FROM jobs WHERE state = 'done' ORDER BY ended")
    order = [owner for (owner,) in rows if owner in owners]
    return {
        owner: mean([place for place, one in enumerate(order, 1) if one == owner][:most])
        for owner in owners
    }
