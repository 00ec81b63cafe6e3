"""Trajectories become stores, whatever happens to some of them or to the run."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import warnings
import zipfile
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import mdtraj
import numpy as np
import pytest
from flaky_server import Site, cut, serving
from moving_protein import helix, pdb_text

from moedsr_core.data.frame_surface import SurfaceConfig
from moedsr_core.data.plan import FrameConfig, Plan
from moedsr_core.data.pools import RayPool, local_pool
from moedsr_core.data.prepare import Result, load_posed, prepare
from moedsr_core.data.store import open_store
from moedsr_core.data.trajectory_files import find_trajectories, proteins_in
from moedsr_core.errors import BackendError, InputError
from scripts.prepare_atlas import main, with_address

ROOT = Path(__file__).resolve().parents[1]
STEP_PS = 10.0
STRETCH = 4.5
QUICK = SurfaceConfig(points=200, spacing=2.0)


def motion(frames: int, seed: int, stretch: float = 1.0) -> np.ndarray:
    """A helix that trembles and tumbles, and is ``stretch`` times as long in its last frame."""
    rng = np.random.default_rng(seed)
    coords = helix(4).coords + rng.normal(0, 0.2, (frames, len(helix(4)), 3))
    coords[-1, :, 2] *= stretch
    return coords + rng.normal(0, 3, (frames, 1, 3))


def write(home: Path, topology: str, files: dict[str, np.ndarray]) -> None:
    home.mkdir(parents=True)
    (home / topology).write_text(pdb_text(helix(4)), encoding="utf-8")
    names = mdtraj.load_topology(str(home / topology))
    for file, coords in files.items():
        frames = mdtraj.Trajectory(coords / 10, names, time=STEP_PS * np.arange(len(coords)))
        frames.save_xtc(str(home / file))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Proteins of all layouts, and some that cannot be used."""
    folder = tmp_path_factory.mktemp("data")
    write(folder / "1abc_A", "1abc_A.pdb", {f"1abc_A_R{k}.xtc": motion(5, k) for k in (1, 2)})
    write(folder / "2abc_B", "2abc_B.pdb", {"2abc_B_prod_R1_fit.xtc": motion(2, 3)})
    write(folder / "plain", "top.pdb", {"traj.xtc": motion(3, 4)})
    write(folder / "leaves", "top.pdb", {"traj.xtc": motion(3, 5, stretch=STRETCH)})
    write(folder / "short", "top.pdb", {"traj.xtc": motion(40, 6)})
    whole = (folder / "short" / "traj.xtc").read_bytes()
    (folder / "short" / "traj.xtc").write_bytes(whole[: len(whole) // 2 + 13])
    (folder / "empty").mkdir()
    return folder


class Watching:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.frames: list[str] = []
        self.failures: dict[str, str] = {}
        self.made: dict[str, int] = {}

    def planned(self, label: str, frames: int) -> None:
        self.made.setdefault(label, 0)

    def measured(self, label: str) -> None:
        self.frames.append(label)

    def finished(self, path: Path, frames: int, seconds: float) -> None:
        self.made[path.stem] = frames

    def failed(self, label: str, reason: str) -> None:
        self.failures[label] = reason


def run(
    data: Path, out: Path, names: list[str], watching: Watching | None = None, **options: Any
) -> Result:
    plan = Plan(names=names, data=data, out=out, **{"surfaces": QUICK, **options})
    with ThreadPoolExecutor(1) as pool:
        return prepare(plan, pool, 1, watching or Watching())


def datasets(path: Path) -> dict[str, bytes]:
    with h5py.File(path) as file:
        return {k: file[k][:].tobytes() for k in ("points", "normals", "coords", "lags_ps")}


# ---- layouts and frames -------------------------------------------------------------------


def test_every_layout_is_found_and_replicates_stay_apart(data):
    found = {name: find_trajectories(data / name) for name in ("1abc_A", "2abc_B", "plain")}
    assert [files.label for files in found["1abc_A"]] == ["1abc_A_R1", "1abc_A_R2"]
    assert [files.label for files in found["2abc_B"]] == ["2abc_B_R1"]
    assert found["2abc_B"][0].trajectory.name == "2abc_B_prod_R1_fit.xtc"
    assert [(files.label, files.replicate) for files in found["plain"]] == [("plain", None)]
    assert [files.label for files in find_trajectories(data / "1abc_A", ["R2"])] == ["1abc_A_R2"]
    assert proteins_in(data) == ["1abc_A", "2abc_B", "leaves", "plain", "short"]


def test_what_is_not_there_is_refused(data, tmp_path):
    with pytest.raises(InputError, match=r"replicates R1, R2, not R3"):
        find_trajectories(data / "1abc_A", ["R1", "R3"])
    with pytest.raises(InputError, match="neither"):
        find_trajectories(data / "empty")
    with pytest.raises(InputError, match="there is no folder"):
        proteins_in(tmp_path / "none")
    with pytest.raises(InputError, match="no folder in"):
        proteins_in(data / "empty")


def test_a_store_holds_the_trajectory_in_the_pose_of_its_first_frame(data, tmp_path):
    result = run(data, tmp_path, ["1abc_A"])
    assert result.failures == {}
    assert {path.name for path in tmp_path.iterdir()} == {"1abc_A_R1.h5", "1abc_A_R2.h5"}
    with open_store(tmp_path / "1abc_A_R2.h5") as store:
        assert (store.name, store.replicate, len(store)) == ("1abc_A", "R2", 5)
        assert np.allclose(store.lags_ps, STEP_PS * np.arange(5))
        assert np.allclose(store.coords(0), store.structure.coords, atol=1e-4)
        for k in range(5):
            truth = motion(5, 2)[k]
            pairs = np.linalg.norm(truth[:, None] - truth[None], axis=2)
            kept = store.coords(k)
            assert np.allclose(np.linalg.norm(kept[:, None] - kept[None], axis=2), pairs, atol=0.03)
            assert np.abs(kept.mean(axis=0)).max() < 0.6
            gap = np.linalg.norm(store.scale * store.surface(k)[0][:, None] - kept[None], axis=2)
            assert gap.min(axis=1).max() < 4.5
            assert 1.4 < gap.min() < 1.75
        assert store.recipe["trajectory"] == "1abc_A_R2.xtc"
        size = (data / "1abc_A" / "1abc_A_R2.xtc").stat().st_size
        assert store.recipe["trajectory_bytes"] == size


@pytest.mark.parametrize(
    ("frames", "lags"),
    [
        (FrameConfig(), range(5)),
        (FrameConfig(frames=3), [0, 2, 4]),
        (FrameConfig(stride=2), [0, 2, 4]),
        (FrameConfig(stride=3), [0, 3]),
    ],
)
def test_frames_are_thinned_evenly(data, frames, lags):
    files = find_trajectories(data / "1abc_A")[0]
    posed = load_posed(files, None, frames, QUICK)
    assert np.allclose(posed.lags_ps, STEP_PS * np.array(lags))
    assert len(posed.coords) == len(lags)


def test_by_default_a_hundred_frames_are_taken():
    assert FrameConfig().most == 100
    assert FrameConfig(stride=3).most is None
    with pytest.raises(InputError, match="not both"):
        FrameConfig(frames=5, stride=3)


# ---- failures -----------------------------------------------------------------------------


def test_those_that_fail_say_why_and_the_others_go_on(data, tmp_path):
    watching = Watching()
    names = ["leaves", "short", "empty", "plain", "2abc_B"]
    result = run(data, tmp_path, names, watching)
    assert {path.name for path in tmp_path.iterdir()} == {"plain.h5", "2abc_B_R1.h5"}
    assert set(result.failures) == {"leaves", "short", "empty"}
    assert result.failures == watching.failures
    assert "leaves Ω" in result.failures["leaves"]
    assert "traj.xtc" in result.failures["short"]
    assert all("\n" not in reason for reason in result.failures.values())


def test_a_full_disk_fails_that_store_and_the_next_run_goes_on(data, tmp_path, monkeypatch):
    from moedsr_core.data import journal

    whole, writes = journal.write_all, []

    def full_from_the_second_frame_on(file: Any, content: bytes) -> None:
        writes.append(len(content))
        if len(writes) > 2:  # the head is the first
            file.write(content[:100])
            raise OSError(28, "No space left on device")
        whole(file, content)

    with monkeypatch.context() as patch:
        patch.setattr(journal, "write_all", full_from_the_second_frame_on)
        result = run(data, tmp_path, ["plain"])
    assert "No space left on device" in result.failures["plain"]
    assert [path.name for path in tmp_path.iterdir()] == ["plain.h5.part"]
    watching = Watching()
    assert run(data, tmp_path, ["plain"], watching).failures == {}
    assert len(watching.frames) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["plain.h5"]


def test_a_surface_that_cannot_be_made_is_one_failure(data, tmp_path, monkeypatch):
    from moedsr_core.data import prepare as module

    def odd(*_: object) -> None:
        raise IndexError("odd frame")

    monkeypatch.setattr(module, "frame_surface", odd)
    result = run(data, tmp_path, ["plain"])
    assert result.failures == {"plain": "odd failed with IndexError: odd frame"}


class Dying(Executor):
    """A pool whose processes were ended from outside."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(BrokenExecutor("died"))
        return future


def test_a_pool_that_died_ends_the_run_with_one_sentence(data, tmp_path):
    plan = Plan(names=["plain"], data=data, out=tmp_path, surfaces=QUICK)
    with pytest.raises(BackendError, match="the same command goes on"):
        prepare(plan, Dying(), 1, Watching())


# ---- going on -----------------------------------------------------------------------------


def test_what_is_done_is_not_done_again_and_other_options_are_refused(data, tmp_path):
    run(data, tmp_path, ["plain"])
    before = (tmp_path / "plain.h5").stat().st_mtime_ns
    watching = Watching()
    assert run(data, tmp_path, ["plain"], watching).failures == {}
    assert watching.frames == []
    assert (tmp_path / "plain.h5").stat().st_mtime_ns == before
    other = run(data, tmp_path, ["plain"], surfaces=SurfaceConfig(points=100, spacing=2.0))
    assert "points 200, not 100" in other.failures["plain"]


def command(data: Path, out: Path, *more: str) -> list[str]:
    return [
        "--data", str(data), "--out", str(out), "--jobs", "1", "--points", "200",
        "--spacing", "2.0", "--names", "1abc_A", *more,
    ]  # fmt: skip


# The command, killed where a store has three of its five frames.
KILLED = """
import os, signal, sys
from moedsr_core.data.store_writer import StoreWriter
from scripts.prepare_atlas import main
append = StoreWriter.append
def last(self, *frame):
    append(self, *frame)
    if len(self.missing) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
StoreWriter.append = last
main(sys.argv[1:])
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
def test_a_killed_command_goes_on_and_ends_with_the_same_stores(data, tmp_path):
    words = [sys.executable, "-c", KILLED, *command(data, tmp_path / "killed")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run(
        words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert killed.returncode == -signal.SIGKILL, killed.stdout
    assert list((tmp_path / "killed").glob("1abc_A_R?.h5.part"))
    assert not list((tmp_path / "killed").glob("*.h5"))
    watching = Watching()
    assert run(data, tmp_path / "killed", ["1abc_A"], watching).failures == {}
    assert 2 <= len(watching.frames) <= 7
    run(data, tmp_path / "calm", ["1abc_A"])
    for name in ("1abc_A_R1.h5", "1abc_A_R2.h5"):
        assert datasets(tmp_path / "killed" / name) == datasets(tmp_path / "calm" / name)


# ---- the command --------------------------------------------------------------------------


def test_the_command_prepares_in_processes_and_says_size_and_failures(data, tmp_path, capsys):
    assert main(command(data, tmp_path, "plain", "leaves", "--offline")) == 1
    said = capsys.readouterr()
    size = sum(path.stat().st_size for path in tmp_path.glob("*.h5")) / 1e6
    assert f"3 stores, {size:.1f} MB" in said.out
    assert "1 failed:\n  leaves: leaves leaves Ω" in said.out
    assert "4 of 4 done" in said.err
    run(data, tmp_path / "threads", ["plain"])
    assert datasets(tmp_path / "plain.h5") == datasets(tmp_path / "threads" / "plain.h5")


def test_a_command_that_cannot_begin_ends_with_two(data, tmp_path, capsys):
    assert main(["--data", str(tmp_path / "none"), "--out", str(tmp_path / "o")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    assert main(["--data", str(data), "--names", "../x", "--out", str(tmp_path / "o")]) == 2
    assert "names of folders" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
    with pytest.raises(SystemExit):
        main(["--nmaes", "x"])


def test_proteins_are_downloaded_prepared_and_discarded(data, tmp_path, capsys):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted((data / "1abc_A").iterdir()):
            archive.write(path, path.name)
    place = "/database/ATLAS/1abc_A/1abc_A_analysis.zip"
    with serving(Site(files={place: content.getvalue()}, troubles=[cut(100)])) as site:
        web = ["--atlas.base", site.base, "--atlas.web.pause", "0", "--atlas.web.first-wait", "0"]
        words = command(tmp_path / "raw", tmp_path / "out", "9zzz_Z", "--discard", *web)
        assert main(words) == 1
    run(data, tmp_path / "local", ["1abc_A"])
    for name in ("1abc_A_R1.h5", "1abc_A_R2.h5"):
        assert datasets(tmp_path / "out" / name) == datasets(tmp_path / "local" / name)
    assert list((tmp_path / "raw").iterdir()) == []
    assert "9zzz_Z: " in capsys.readouterr().out


def test_a_run_that_ends_early_stops_its_download(data, tmp_path):
    waiting, stopped = threading.Event(), threading.Event()

    class DyingLater(Dying):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            error = BrokenExecutor("died")
            threading.Thread(
                target=lambda: waiting.wait(10) and future.set_exception(error)
            ).start()
            return future

    def fetch(name: str, stop: threading.Event) -> None:
        if name == "waits":
            waiting.set()
            if stop.wait(10):
                stopped.set()

    plan = Plan(names=["plain", "waits"], data=data, out=tmp_path, surfaces=QUICK)
    with pytest.raises(BackendError):
        prepare(plan, DyingLater(), 1, Watching(), fetch=fetch)
    assert stopped.is_set()


# ---- clusters -----------------------------------------------------------------------------


def test_ray_without_an_address_is_the_cluster_of_this_machine():
    assert with_address(["--ray"]) == ["--ray", "auto"]
    assert with_address(["--ray", "--jobs", "2"]) == ["--ray", "auto", "--jobs", "2"]
    assert with_address(["--ray", "h:1", "--jobs", "2"]) == ["--ray", "h:1", "--jobs", "2"]


def test_without_ray_installed_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BackendError, match=r"install moedsr\[cluster\]"):
        RayPool()


@pytest.mark.soak  # a second cluster of one computer may hang beside that of another test
def test_a_local_ray_cluster_makes_the_same_stores(data, tmp_path):
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray leaves sockets and processes to be collected
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        try:
            with RayPool() as pool:
                assert pool.jobs == 2
                plan = Plan(names=["plain", "leaves"], data=data, out=tmp_path, surfaces=QUICK)
                result = prepare(plan, pool, pool.jobs, Watching())
        finally:
            ray.shutdown()
    assert "leaves Ω" in result.failures["leaves"]
    run(data, tmp_path / "threads", ["plain"])
    assert datasets(tmp_path / "plain.h5") == datasets(tmp_path / "threads" / "plain.h5")


@pytest.mark.parametrize("address", ["auto", "127.0.0.1:1", "ray://127.0.0.1:1", "nowhere"])
def test_no_cluster_is_one_sentence(address, monkeypatch, tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))  # where a cluster of this machine is noted
    with pytest.raises(BackendError, match="no Ray cluster answers at"):
        RayPool(address)


def test_less_than_one_process_is_refused():
    with pytest.raises(InputError, match="jobs must be 1 or more"):
        local_pool(0)
