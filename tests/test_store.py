"""Stores give back what was put in, within stated errors, and survive kills at any moment."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from store_content import POINTS, SCALE, content, info, molecule

from moedsr_core.data.journal import Journal
from moedsr_core.data.store import StoreWriter, SurfaceStore, is_finished, open_store
from moedsr_core.data.store_writer import part_of
from moedsr_core.errors import InputError

ROOT = Path(__file__).resolve().parents[1]


def make(path: Path, frames: int = 4, order: list[int] | None = None) -> Path:
    with StoreWriter(path, info(frames), POINTS) as writer:
        for k in order or range(frames):
            writer.append(k, *content(k))
        return writer.finish()


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("store") / "chain_R2.h5")


# ---- what is read -------------------------------------------------------------------------


def test_points_come_back_within_half_a_unit_in_the_last_place_of_float16(made):
    with open_store(made) as store:
        for k in range(len(store)):
            points, _ = store.surface(k)
            error = np.abs(points - content(k)[0])
            assert points.dtype == np.float32
            assert error.max() <= 2.0**-12
            assert error.max() * SCALE < 0.008


def test_normals_come_back_as_unit_vectors_turned_by_less_than_half_a_degree(made):
    with open_store(made) as store:
        for k in range(len(store)):
            _, normals = store.surface(k)
            sine = np.linalg.norm(np.cross(normals, content(k)[1]), axis=1)
            assert normals.dtype == np.float32
            assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)
            assert np.degrees(np.arcsin(sine)).max() < 0.4
            assert ((normals * content(k)[1]).sum(axis=1) > 0).all()


def test_everything_else_comes_back_as_it_was(made):
    with open_store(made) as store:
        wanted, atoms = info(), molecule()
        assert (store.name, store.replicate, store.scale) == ("chain", "R2", SCALE)
        assert store.lags_ps.dtype == np.float64
        assert np.array_equal(store.lags_ps, wanted.lags_ps)
        assert store.frames == len(store) == 4
        assert store.recipe == wanted.recipe
        assert {"moedsr", "numpy", "h5py"} <= set(store.versions)
        for field in ("coords", "elements", "atom_names", "residue_names", "residue_ids",
                      "chain_ids", "residue_index"):  # fmt: skip
            assert np.array_equal(getattr(store.structure, field), getattr(atoms, field)), field
        assert np.allclose(store.coords(3), content(3)[2], atol=1e-5)


def test_a_store_without_replicates_says_none(tmp_path):
    with StoreWriter(tmp_path / "a.h5", info(1, replicate=None), POINTS) as writer:
        writer.append(0, *content(0))
        writer.finish()
    assert open_store(tmp_path / "a.h5").replicate is None


def test_a_store_opens_anew_in_another_process(made):
    with open_store(made) as store:
        copy = pickle.loads(pickle.dumps(store))
        assert copy._file is not store._file
        assert np.array_equal(copy.surface(2)[0], store.surface(2)[0])
        copy.close()


def test_frames_are_read_one_chunk_each(made):
    with h5py.File(made) as file:
        for name in ("points", "normals", "coords"):
            assert file[name].chunks == (1, *file[name].shape[1:])
        assert (file["points"].dtype, file["normals"].dtype) == (np.float16, np.int8)


@pytest.mark.parametrize("k", [-1, 4])
def test_a_frame_that_is_not_there_is_refused(made, k):
    with open_store(made) as store, pytest.raises(InputError, match=r"frames 0 to 3, not"):
        store.surface(k)


# ---- what is refused ----------------------------------------------------------------------


def spoil(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "empty":
        data = bytearray()
    elif how == "cut short":
        data = data[: len(data) // 2]
    elif how == "not HDF5":
        data = bytearray(b"name,seqres\n" * 50)
    path.write_bytes(bytes(data))
    if how == "foreign HDF5":
        path.unlink()
        with h5py.File(path, "w") as file:
            file["x"] = np.zeros(3)
    if how in ("no frames", "newer", "other frames"):
        with h5py.File(path, "r+") as file:
            if how == "no frames":
                del file["normals"]
            elif how == "newer":
                file.attrs["format_number"] = 99
            else:
                del file["coords"]
                file["coords"] = np.zeros((2, 20, 3), np.float32)


@pytest.mark.parametrize(
    "how",
    ["empty", "cut short", "not HDF5", "foreign HDF5", "no frames", "newer", "other frames"],
)
def test_a_damaged_or_foreign_file_is_refused_in_one_sentence(made, tmp_path, how):
    path = tmp_path / "x.h5"
    path.write_bytes(made.read_bytes())
    open_store(path).close()
    spoil(path, how)
    with pytest.raises(InputError) as caught:
        open_store(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError):
        is_finished(path, info().recipe)


@pytest.mark.parametrize("name", ["points", "normals", "coords"])
def test_a_flipped_bit_in_a_frame_is_noticed(made, tmp_path, name):
    path = tmp_path / "x.h5"
    path.write_bytes(made.read_bytes())
    with h5py.File(path) as file:
        place = file[name].id.get_chunk_info(2).byte_offset + 100
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))
    with open_store(path) as store:
        store.surface(1), store.coords(1)
        with pytest.raises(InputError, match="damaged"):
            store.surface(2), store.coords(2)


def test_a_missing_store_is_refused(tmp_path):
    with pytest.raises(InputError, match="there is no store"):
        SurfaceStore(tmp_path / "none.h5")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda p, n, c: (p[1:], n[1:], c), "points of frame 0 must be"),
        (lambda p, n, c: (p, n, c * np.nan), "coords of frame 0 must be"),
        (lambda p, n, c: (p + 0.2, n, c), "leaves Ω"),
        (lambda p, n, c: (p, 2 * n, c), "unit vectors"),
    ],
)
def test_a_frame_that_makes_no_sense_is_refused_and_leaves_no_trace(tmp_path, change, reason):
    with StoreWriter(tmp_path / "a.h5", info(1), POINTS) as writer:
        with pytest.raises(InputError, match=reason):
            writer.append(0, *change(*content(0)))
        assert writer.missing == [0]
        with pytest.raises(InputError, match="lacks 1 frame;"):
            writer.finish()
        writer.append(0, *content(0))
        with pytest.raises(InputError, match="each frame once"):
            writer.append(0, *content(0))
    assert not (tmp_path / "a.h5").exists()


# ---- going on -----------------------------------------------------------------------------


def datasets(path: Path) -> dict[str, bytes]:
    with h5py.File(path) as file:
        return {name: file[name][:].tobytes() for name in ("points", "normals", "coords")}


def test_frames_may_come_in_any_order(made, tmp_path):
    assert datasets(make(tmp_path / "a.h5", order=[3, 0, 2, 1])) == datasets(made)


def test_nothing_but_the_store_is_left(made):
    assert [path.name for path in made.parent.iterdir()] == [made.name]


def test_a_store_is_only_gone_on_with_under_the_same_recipe(tmp_path):
    path = tmp_path / "a.h5"
    with StoreWriter(path, info(), POINTS) as writer:
        writer.append(1, *content(1))
    changed = {"surfaces": {"points": POINTS, "seed": 7}}
    with pytest.raises(InputError, match="seed 0, not 7"):
        StoreWriter(path, info(**changed), POINTS)
    with StoreWriter(path, info(), POINTS) as writer:
        assert writer.missing == [0, 2, 3]
        for k in writer.missing:
            writer.append(k, *content(k))
        writer.finish()
    assert is_finished(path, info().recipe)
    with pytest.raises(InputError, match="seed 0, not 7"):
        is_finished(path, info(**changed).recipe)


def test_a_foreign_file_under_the_name_of_the_unfinished_store_is_left_alone(tmp_path):
    path = tmp_path / "a.h5"
    part_of(path).write_text("my thesis", encoding="utf-8")
    with pytest.raises(InputError, match="not ours"):
        StoreWriter(path, info(), POINTS)
    assert part_of(path).read_text(encoding="utf-8") == "my thesis"


def test_two_writers_cannot_work_on_one_store(tmp_path):
    code = (
        "import sys; from pathlib import Path; from moedsr_core.data.journal import Journal\n"
        "Journal(Path(sys.argv[1]), {}, 8)\n"
    )
    with Journal(tmp_path / "a", {}, 8) as journal:
        journal.append(0, b"8 bytes.")
        done = run_python(code, str(tmp_path / "a"))
        assert "another run is working on" in done.stderr
        assert done.returncode == 1
    assert run_python(code, str(tmp_path / "a")).returncode == 0


@pytest.mark.parametrize("cut", [1, 5, 12])
def test_a_torn_last_record_is_written_over_and_the_others_stay(tmp_path, cut):
    path = tmp_path / "a"
    with Journal(path, {"a": 1}, 8) as journal:
        for k in range(3):
            journal.append(k, bytes([k] * 8))
    path.write_bytes(path.read_bytes()[:-cut])
    with Journal(path, {"a": 1}, 8) as journal:
        assert [k in journal for k in range(3)] == [True, True, False]
        journal.append(2, b"new one.")
    with Journal(path, {"a": 1}, 8) as journal:
        assert [journal.read(k) for k in range(3)] == [bytes(8), bytes([1] * 8), b"new one."]


def test_a_record_that_a_power_cut_left_unwritten_is_not_taken_for_one(tmp_path):
    path = tmp_path / "a"
    with Journal(path, {}, 8) as journal:
        journal.append(0, b"a frame.")
        journal.append(1, b"another.")
    path.write_bytes(path.read_bytes()[:-16] + bytes(16))
    with Journal(path, {}, 8) as journal:
        assert [k in journal for k in range(2)] == [True, False]
        assert journal.read(0) == b"a frame."


@pytest.mark.parametrize("length", [0, 1, 20, 40])
def test_a_torn_head_is_written_anew(tmp_path, length):
    path = tmp_path / "a"
    Journal(path, {"a": 1}, 8).close()
    head = path.read_bytes()
    path.write_bytes(head[:length])
    Journal(path, {"a": 1}, 8).close()
    assert path.read_bytes() == head


def test_a_full_disk_is_one_sentence_and_the_frames_before_it_stay(tmp_path):
    resource = pytest.importorskip("resource", reason="no limits on file sizes on this system")
    path = tmp_path / "a.h5"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with StoreWriter(path, info(), POINTS) as writer:
            writer.append(0, *content(0))
            room = part_of(path).stat().st_size + 1000
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
            with pytest.raises(InputError, match=r"could not write .*a\.h5\.part"):
                writer.append(1, *content(1))
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert writer.missing == [1, 2, 3]
            for k in writer.missing:
                writer.append(k, *content(k))
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
            with pytest.raises(InputError, match=r"could not write .*a\.h5"):
                writer.finish()
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert [p.name for p in tmp_path.iterdir()] == ["a.h5.part"]
            writer.finish()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert len(open_store(path)) == 4


# ---- kills --------------------------------------------------------------------------------

WRITER = """
import signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from store_content import POINTS, content, info
from moedsr_core.data.store import StoreWriter
frames = int(sys.argv[3])
with StoreWriter(Path(sys.argv[1]), info(frames), POINTS) as writer:
    print("began", *writer.missing, flush=True)
    for k in writer.missing:
        writer.append(k, *content(k))
        print("done", k, flush=True)
    if sys.argv[4:]:
        signal.setitimer(signal.ITIMER_PROF, float(sys.argv[4]))  # its signal kills
    print("gathering", flush=True)
    writer.finish()
print("finished", flush=True)
"""


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, encoding="utf-8"
    )


def start_writer(path: Path, frames: int, *kill_after: str) -> subprocess.Popen[str]:
    """Write the missing frames; killed so many seconds [of its own work] into the gathering."""
    tests = str(Path(__file__).parent)
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), tests, str(frames), *kill_after],
        cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip


def read_until(process: subprocess.Popen[str], word: str, count: int = 1) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    while sum(line.startswith(word) for line in lines) < count:
        line = process.stdout.readline()
        if not line:
            break
        lines.append(line.strip())
    return lines


def kill(process: subprocess.Popen[str]) -> list[str]:
    """Kill without warning; returns what it had said before."""
    process.kill()
    rest, _ = process.communicate()
    return rest.splitlines()


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX; torn records are tested above")
def test_a_writer_killed_at_random_moments_loses_at_most_the_frame_in_hand(tmp_path, count):
    frames, path, chance = 400, tmp_path / "a.h5", random.Random(1)
    promised: set[int] = set()
    for kills in range(count(2, 8)):
        process = start_writer(path, frames)
        lines = read_until(process, "began")
        missing = set(map(int, lines[0].split()[1:]))
        assert not missing & promised
        assert frames - len(missing) <= len(promised) + kills
        lines += read_until(process, "done", chance.randrange(1, 70))
        time.sleep(chance.uniform(0, 0.004))
        lines += kill(process)
        assert process.returncode == -signal.SIGKILL
        promised |= {int(line.split()[1]) for line in lines if line.startswith("done")}
    assert 5 < len(promised) < frames
    gather_under_fire(path, frames, chance)
    assert datasets(path) == datasets(make(tmp_path / "b" / "a.h5", frames))
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["a.h5"]


def gather_under_fire(path: Path, frames: int, chance: random.Random) -> None:
    """Kill a writer while it gathers its frames, then let it end."""
    process = start_writer(path, frames, str(chance.uniform(0.001, 0.03)))
    lines = process.communicate()[0].splitlines()
    assert (lines[-1], process.returncode) == ("gathering", -signal.SIGPROF)
    assert not path.exists()
    process = start_writer(path, frames)
    assert read_until(process, "finished")[-1] == "finished"
    process.communicate()
    assert process.returncode == 0
