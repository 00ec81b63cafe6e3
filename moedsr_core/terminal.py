"""How the scripts speak: a bar for progress, one sentence for a failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from moedsr_core.errors import CancelledError, MoedsrError


def exit_code(work: Callable[[Console], int | None], stopped: str) -> int:
    """Run a script's work and say in one sentence what went wrong.

    Args:
        work: Is given the console on standard error; what it returns is the exit code, None for 0.
        stopped: What to say after Ctrl-C.
    """
    console = Console(stderr=True)
    try:
        return work(console) or 0
    except MoedsrError as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return error.exit_code
    except KeyboardInterrupt:
        console.print(stopped)
        return CancelledError.exit_code


def outcome(made: str, failures: Mapping[str, str]) -> str:
    """What was made, and below it what failed and why."""
    if not failures:
        return made
    failed = [f"  {label}: {reason}" for label, reason in failures.items()]
    return "\n".join([made, f"{len(failures)} failed:", *failed])


def progress(console: Console) -> Progress:
    """A bar for each task: what is done, how many of how many, and the time left."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console,
    )  # fmt: skip
