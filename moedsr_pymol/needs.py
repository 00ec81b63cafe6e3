"""Which servers this plugin works with, from its manifest."""

from __future__ import annotations

from .manifest import load_manifest
from .remote import Needs


def plugin_needs() -> Needs:
    """Versions of the wire protocol and of the core."""
    protocol, core = load_manifest()["protocol"], load_manifest()["core_versions"]
    return Needs(
        program="this plugin",
        protocols=(protocol["minimum"], protocol["maximum"]),
        versions=(core["minimum"], core["below"]),
    )
