"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jaxtyping import _import_hook

pytest.register_assert_rewrite("backend_support", "structure_files")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
# Bytecode of modules with type checks would be read by child processes, which have none.
sys.dont_write_bytecode = True
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


def _code(loader: _import_hook._JaxtypingLoader, name: str) -> types.CodeType:
    """Code with type checks, of no cached file: what is imported meanwhile keeps to its own."""
    path = loader.get_filename(name)
    return loader.source_to_code(loader.get_data(path), path)


_import_hook._JaxtypingLoader.get_code = _code
del _import_hook._JaxtypingLoader.exec_module  # for which all imports within have no cached file


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--soak`` runs the fault suite in full."""
    parser.addoption("--soak", action="store_true", help="run the fault suite in full")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """``make soak`` runs what it makes longer."""
    if config.getoption("--soak"):
        for item in items:
            if "count" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.soak)


@pytest.fixture(scope="session")
def count(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """How many of something: few in ``make test``, all in ``make soak``."""
    full = request.config.getoption("--soak")
    return lambda few, all_of_them: all_of_them if full else few


@pytest.fixture(scope="session", autouse=True)
def _own_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the plugin out of the settings and jobs of whoever runs the tests."""
    for name in ("MOEDSR_CONFIG_DIR", "MOEDSR_JOBS_DIR"):
        os.environ[name] = str(tmp_path_factory.mktemp(name.lower()))


def pytest_collection_finish() -> None:
    """Where tests build models or measure surfaces, let that be quick."""
    if "e3nn" in sys.modules:
        import e3nn_memory

        e3nn_memory.remember()
    if "moedsr_core.surface.ses" in sys.modules:
        import surface_memory

        surface_memory.remember()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of molecular-dynamics data beside the checkout; skips where it is absent."""
    path = Path(
        os.environ.get("MOEDSR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
    )
    if not path.is_dir():
        pytest.skip(f"no molecular-dynamics data at {path}; set MOEDSR_DATA to its folder")
    return path


@pytest.fixture
def double_precision() -> Iterator[None]:
    """Torch makes float64 numbers, the same ones in every test."""
    import torch

    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)
