"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("backend_support")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


@pytest.fixture(scope="session", autouse=True)
def _own_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the plugin out of the settings and jobs of whoever runs the tests."""
    for name in ("MOEDSR_CONFIG_DIR", "MOEDSR_JOBS_DIR"):
        os.environ[name] = str(tmp_path_factory.mktemp(name.lower()))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of molecular-dynamics data beside the checkout; skips where it is absent."""
    path = Path(
        os.environ.get("MOEDSR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
    )
    if not path.is_dir():
        pytest.skip(f"no molecular-dynamics data at {path}; set MOEDSR_DATA to its folder")
    return path


@pytest.fixture(autouse=True, scope="session")
def _own_jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the jobs of servers that tests start out of the user's own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOEDSR_JOBS_DIR", str(tmp_path_factory.mktemp("jobs")))
        yield
