"""What a result depends on, as one hash: equal requests need to be computed once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from moedsr_core import __version__
from moedsr_core.backend.wire.records import PROTOCOL
from moedsr_core.structure import Structure

_NAMES = ("elements", "atom_names", "residue_names", "residue_ids", "chain_ids")
_OF_A_SURFACE = ("spacing", "surface")
"""The only options that a ``surface`` job looks at."""


def content_hash(structure: Structure) -> str:
    """Hash of all atoms."""
    digest = hashlib.sha256()
    for array in (structure.coords.astype("<f8"), structure.residue_index.astype("<i8")):
        digest.update(f"{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    for name in _NAMES:
        digest.update(json.dumps(getattr(structure, name).tolist()).encode())
    return digest.hexdigest()


def job_key(kind: str, resolved: Mapping[str, Any], content: str) -> str:
    """Hash of everything that the result depends on.

    Args:
        kind: ``predict`` or ``surface``.
        resolved: What a worker made of the options: ``options`` without a gap, ``device`` and the
            ``digest`` of the model's files.
        content: :func:`content_hash` of the structure.
    """
    options = {k: v for k, v in resolved["options"].items() if k != "device"}
    facts = {"protocol": PROTOCOL, "version": __version__, "kind": kind, "content": content}
    if kind == "surface":
        facts["options"] = {name: options[name] for name in _OF_A_SURFACE}
    else:
        device = str(resolved["device"]).partition(":")[0]
        facts |= {"options": options, "device": device, "model": resolved["digest"]}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
