"""What a session keeps of one surface: plain text, with a digest of all of it.

A record is a dict of texts, so PyMOL can pickle it in every one of its ways and nothing in it is
ever unpickled here. Bytes are written as text.py says.

    object   its object in PyMOL
    mark     the mark that the object bears in this file
    about    JSON: frames planned, colouring, smoothing, summary, job, molecule and where it was
             last seen
    values   npz without pickle, as text: values at the points of the first frame (``at_NAME``),
             the atoms that were sent (``of_NAME``), the triangle strips (``strips_NAME``), and
             which of those points is nearest to vertices of other meshes (``near_NAME``)
    frames   list of texts, see frames.py
    digest   SHA-256 of about, values and frames
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np

from ..atoms import Atoms, Molecule
from ..coloring import Coloring
from ..errors import UserError
from ..follow import Hold
from ..labels import Label, read_label
from ..smoothing import Smoothing
from ..surface import Surface
from .frames import (
    StoredFrames,
    frame_texts,
    pack_nearest,
    pack_strips,
    strips_of,
    unpack_nearest,
    unpack_strips,
)
from .text import as_text, from_text, to_text

_AT, _OF, _STRIPS, _NEAR = "at_", "of_", "strips_", "near_"
_SENT = tuple(
    field.name for field in fields(Atoms) if field.name not in {f.name for f in fields(Molecule)}
)


def write_record(surface: Surface, name: str, mark: str) -> dict[str, Any]:
    """Record of a surface.

    Args:
        surface: The surface.
        name: Its object in the session.
        mark: The object's mark there.

    Raises:
        ValueError: If a frame holds numbers that are not finite.
    """
    atoms = surface.atoms
    about = {
        "planned": surface.planned,
        "coloring": asdict(surface.coloring),
        "smoothing": asdict(surface.smoothing),
        "summary": surface.summary,
        "job": surface.job,
        "label": asdict(_label(surface)),
        "hold": surface.hold.plain() if surface.hold else None,
    }
    values = {f"{_AT}{name}": array for name, array in surface.attributes.items()}
    if isinstance(atoms, Atoms):
        values |= {f"{_OF}{name}": getattr(atoms, name) for name in _SENT}
    stored = surface.stored
    strips = pack_strips(stored.strips if stored else strips_of(surface.frames))
    values |= {f"{_STRIPS}{name}": array for name, array in strips.items()}
    near = pack_nearest(surface.nearest)
    values |= {f"{_NEAR}{name}": array for name, array in near.items()}
    record = {
        "object": name,
        "mark": mark,
        "about": json.dumps(about),
        "values": _packed(values),
        "frames": stored.texts if stored else frame_texts(surface.frames),
    }
    return {**record, "digest": _digest(record)}


def read_record(record: dict[str, Any], name: str) -> Surface:
    """The surface of a record, with all its frames still to be read.

    Args:
        record: As it stands in the session.
        name: Its object in PyMOL now.

    Raises:
        UserError: If it is damaged.
    """
    try:
        return _read(record, name)
    except UserError:
        raise
    except Exception as error:  # a damaged record can fail in any way
        raise UserError(_damaged(name, str(error) or type(error).__name__)) from error


def _read(kept: dict[str, Any], name: str) -> Surface:
    record = {
        **kept,
        "values": as_text(kept["values"]),
        "frames": [as_text(text) for text in kept["frames"]],
    }
    if record["digest"] != _digest(record):
        raise UserError(_damaged(name, "its digest is another"))
    about, values = json.loads(record["about"]), _unpacked(record["values"])
    label = read_label(about["label"])
    molecule = label.molecule()
    sent = _named(values, _OF)
    strips = unpack_strips(_named(values, _STRIPS))
    if sent:
        molecule = Atoms(**{**vars(molecule), **sent})
    how = about["coloring"]
    surface = Surface(
        name=name,
        atoms=molecule,
        coloring=Coloring(**{**how, "stops": tuple(map(tuple, how["stops"]))}),
        smoothing=Smoothing(**about["smoothing"]),
        planned=int(about["planned"]),
        summary=dict(about["summary"]),
        job=str(about["job"]),
        label=label if about["job"] else None,
        hold=Hold.read(about["hold"]) if about["hold"] else None,
        stored=StoredFrames(record["frames"], strips),
    )
    surface.read_next()
    surface.add_attributes(_named(values, _AT))
    surface.nearest = unpack_nearest(_named(values, _NEAR), len(surface.frames[0].vertices))
    return surface


def _named(values: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name[len(prefix) :]: part for name, part in values.items() if name.startswith(prefix)}


def _damaged(name: str, why: str) -> str:
    return (
        f"what the session keeps of '{name}' is damaged ({why}); its first surface is shown, and "
        "moedsr_jobs lists predictions that can be fetched again"
    )


def _label(surface: Surface) -> Label:
    """Which molecule it is of, as its objects are called now."""
    label = surface.label or Label.of(
        surface.atoms, backend="local", selection="", surface=surface.name, frames=surface.planned
    )
    return replace(label, object_name=surface.atoms.object_name, surface=surface.name)


def _digest(record: dict[str, Any]) -> str:
    found = hashlib.sha256()
    for text in (record["about"], record["values"], *record["frames"]):
        found.update(f"{len(text)}\n{text}".encode())
    return found.hexdigest()


def _packed(arrays: dict[str, np.ndarray]) -> str:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return to_text(buffer.getvalue())


def _unpacked(text: str) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(from_text(text)), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
