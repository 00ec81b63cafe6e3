"""What a frame weighs on the wire: plain npz, the same deflated, and the compact record.

Run: ``python benchmarks/wire.py [trajectory.npz …]``, with files that ``moedsr predict`` wrote;
without one, a bumpy ball that turns into another stands in. Seconds are processor time.
"""

from __future__ import annotations

import gzip
import io
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from pymol_support import ball  # noqa: E402

from moedsr_core.backend.wire.frames import decode, encode  # noqa: E402
from moedsr_core.mesh_trajectory import Frame, load_trajectory  # noqa: E402
from moedsr_core.surface.mesh import vertex_normals  # noqa: E402


@dataclass(frozen=True)
class Measured:
    """Means over the frames of a trajectory.

    Attributes:
        plain: Bytes of a frame as npz of float32 and int32, faces where they changed.
        gzipped: Bytes of that after gzip, level 6.
        compact: Bytes of a compact record.
        renewed: Bytes of those that bring new faces.
        kept: Bytes of those that do not; 0 where there is none.
        gzip_ms: Time to gzip a frame [ms].
        encode_ms: Time to write a record.
        decode_ms: Time to read it.
        moved: Furthest that a vertex moved [Å].
        turned: Furthest that a normal turned, and the mean [degrees].
    """

    plain: float
    gzipped: float
    compact: float
    renewed: float
    kept: float
    gzip_ms: float
    encode_ms: float
    decode_ms: float
    moved: float
    turned: tuple[float, float]


def measure(frames: Sequence[Frame]) -> Measured:
    """Send frames in three ways."""
    known = [k > 0 and frame.faces is frames[k - 1].faces for k, frame in enumerate(frames)]
    plain = [npz(frame, not same) for frame, same in zip(frames, known, strict=True)]
    records, read = [], []
    built = time.process_time()
    gzipped = [len(gzip.compress(data, 6)) for data in plain]
    zipped = time.process_time()
    state = None
    for frame in frames:
        data, state = encode(vars(frame), state)
        records.append(data)
    encoded = time.process_time()
    held = None
    for data in records:
        arrays, held = decode(data, held)
        read.append(arrays)
    decoded = time.process_time()
    sizes = np.array([len(data) for data in records])
    renewed = ~np.array(known)
    angles = np.concatenate(
        [_angles(a.normals, b["normals"]) for a, b in zip(frames, read, strict=True)]
    )
    return Measured(
        plain=float(np.mean([len(data) for data in plain])),
        gzipped=float(np.mean(gzipped)),
        compact=float(sizes.mean()),
        renewed=float(sizes[renewed].mean()),
        kept=float(sizes[~renewed].mean()) if not renewed.all() else 0.0,
        gzip_ms=1e3 * (zipped - built) / len(frames),
        encode_ms=1e3 * (encoded - zipped) / len(frames),
        decode_ms=1e3 * (decoded - encoded) / len(frames),
        moved=max(
            float(np.linalg.norm(a.vertices.astype(float) - b["vertices"], axis=1).max())
            for a, b in zip(frames, read, strict=True)
        ),
        turned=(float(angles.max()), float(angles.mean())),
    )


def npz(frame: Frame, with_faces: bool) -> bytes:
    """A frame as the first protocol sent it."""
    names = ("vertices", "normals", "displacement") + ("faces",) * with_faces
    buffer = io.BytesIO()
    np.savez(buffer, **{name: getattr(frame, name) for name in names})  # type: ignore[arg-type]
    return buffer.getvalue()


def turning(count: int = 10, size: int = 40) -> tuple[Frame, ...]:
    """A ball whose bumps travel, with new faces halfway."""
    frames = []
    for k in range(count):
        if k in (0, count // 2):
            vertices, faces = ball(size + k, size)
        moved = (20.0 + np.sin(5 * vertices[:, :1] + 0.2 * k)) * vertices
        moved = moved.astype(np.float32)
        change = np.linalg.norm(moved, axis=1) - np.float32(20.0)
        faces = np.asarray(faces, np.int32) if k in (0, count // 2) else frames[-1].faces
        frames.append(Frame(moved, faces, vertex_normals(moved, faces), change))
    return tuple(frames)


def _angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((a.astype(float) * b).sum(axis=1), -1.0, 1.0)))


def main(paths: Sequence[str]) -> None:
    """Print a table, one row per trajectory."""
    print(f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}")
    columns = (
        "trajectory", "frames (new faces)", "vertices", "npz, kB", "gzip, kB", "compact, kB",
        "new faces, kB", "same faces, kB", "gzip, ms", "encode, ms", "decode, ms", "moved, Å",
        "turned at most, °", "mean, °",
    )  # fmt: skip
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    movies = {Path(path).parent.name: load_trajectory(path).frames for path in paths}
    for name, frames in (movies or {"ball": turning()}).items():
        print("| " + " | ".join(_row(name, frames)) + " |")


def _row(name: str, frames: Sequence[Frame]) -> list[str]:
    m = measure(frames)
    topologies = len({id(frame.faces) for frame in frames})
    sizes = (m.plain, m.gzipped, m.compact, m.renewed, m.kept)
    times = (m.gzip_ms, m.encode_ms, m.decode_ms)
    return [
        name,
        f"{len(frames)} ({topologies})",
        str(len(frames[-1].vertices)),
        *(f"{size / 1e3:.1f}" for size in sizes),
        *(f"{milliseconds:.0f}" for milliseconds in times),
        f"{m.moved:.4f}",
        *(f"{angle:.2f}" for angle in m.turned),
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
