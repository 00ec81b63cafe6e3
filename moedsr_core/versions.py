"""What a result depends on beside its configuration."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import moedsr_core


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Versions of moedsr and of installed packages; ``unknown`` where one tells none."""
    found = {"moedsr": moedsr_core.__version__}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
