"""One server for all faults that do not end it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import Lab, running_lab

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """All of this folder is for ``make soak`` once it runs in full."""
    if config.getoption("--soak"):
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.soak)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A server with quick workers, which cuts slow clients within seconds."""
    folder = tmp_path_factory.mktemp("lab") / "data"
    limits = {
        "header-timeout-s": 3, "write-timeout-s": 3, "max-queue-per-token": 1000,
        "max-streams-per-token": 100,
    }  # fmt: skip
    with running_lab(folder, 0.0, **limits) as lab:
        yield lab
