"""Which job is next: owners take turns, and each owner's jobs keep their order."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class _Waiting:
    position: int
    id: str = field(compare=False)


class FairQueue:
    """Jobs that wait. Whose turn was longest ago comes first; not safe for several threads."""

    def __init__(self) -> None:
        self._lines: dict[str, list[_Waiting]] = {}  # in the order of their turns

    def __len__(self) -> int:
        """Number of jobs that wait."""
        return sum(map(len, self._lines.values()))

    def add(self, job_id: str, owner: str, position: int, *, again: bool = False) -> None:
        """Let a job wait.

        Args:
            job_id: The job.
            owner: Whose it is.
            position: Its place in the order of arrival.
            again: Whether it had its turn already, and lost it through no fault of its owner, who
                is next then.
        """
        line = self._lines.setdefault(owner, [])
        insort(line, _Waiting(position, job_id))
        if again:
            self._lines = {owner: line, **self._lines}

    def take(self, accepts: Callable[[str], bool] = lambda job_id: True) -> str | None:
        """Take out the next job that is accepted; its owner is then the last to have a turn."""
        for owner, line in self._lines.items():
            for waiting in line:
                if accepts(waiting.id):
                    line.remove(waiting)
                    del self._lines[owner]
                    if line:
                        self._lines[owner] = line
                    return waiting.id
        return None

    def remove(self, job_id: str) -> bool:
        """Take out a job; returns whether it waited."""
        for owner, line in self._lines.items():
            for waiting in line:
                if waiting.id == job_id:
                    line.remove(waiting)
                    if not line:
                        del self._lines[owner]
                    return True
        return False

    def waiting_of(self, owner: str) -> int:
        """Number of jobs of one owner that wait."""
        return len(self._lines.get(owner, ()))

    def places(self) -> dict[str, int]:
        """How many jobs are taken before each, if no more come and all are accepted."""
        turns = [
            (turn, rank, waiting.id)
            for rank, line in enumerate(self._lines.values())
            for turn, waiting in enumerate(line)
        ]
        return {job_id: place for place, (_, _, job_id) in enumerate(sorted(turns))}
