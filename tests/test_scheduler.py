"""Whose job is next."""

from __future__ import annotations

from moedsr_core.backend.scheduler import FairQueue


def queue_of(*jobs: tuple[str, str]) -> FairQueue:
    queue = FairQueue()
    for position, (job, owner) in enumerate(jobs):
        queue.add(job, owner, position)
    return queue


def drain(queue: FairQueue) -> list[str]:
    return list(iter(queue.take, None))


def test_owners_take_turns_and_each_owners_jobs_keep_their_order():
    queue = queue_of(("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("c1", "c"), ("b2", "b"))
    assert drain(queue) == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert len(queue) == 0


def test_places_are_the_order_in_which_jobs_are_taken():
    queue = queue_of(("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a"), ("b2", "b"))
    queue.take()
    places = queue.places()
    assert drain(queue) == sorted(places, key=places.__getitem__)
    assert sorted(places.values()) == [0, 1, 2, 3]


def test_two_hundred_jobs_of_one_owner_do_not_delay_another_by_more_than_one():
    queue = queue_of(*[(f"a{k}", "a") for k in range(200)], ("b", "b"))
    assert queue.places()["b"] == 1


def test_a_job_that_lost_its_turn_is_next_at_its_old_place():
    queue = queue_of(("a1", "a"), ("a2", "a"), ("b1", "b"))
    lost = queue.take()
    queue.add(lost, "a", 0, again=True)
    assert drain(queue) == ["a1", "b1", "a2"]


def test_a_job_that_is_not_accepted_waits_and_lets_others_pass():
    queue = queue_of(("gpu", "a"), ("cpu", "a"), ("b1", "b"))
    assert queue.take(lambda job: job != "gpu") == "cpu"
    assert queue.take(lambda job: False) is None
    assert drain(queue) == ["b1", "gpu"]


def test_a_removed_job_is_not_taken():
    queue = queue_of(("a1", "a"), ("b1", "b"))
    assert queue.remove("a1") and not queue.remove("a1")
    assert drain(queue) == ["b1"]
    assert queue.waiting_of("a") == 0
