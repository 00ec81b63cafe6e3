"""What a run folder keeps, and what it refuses."""

from __future__ import annotations

import json
import platform

import pytest
import torch

import moedsr_core
from moedsr_core import files
from moedsr_core.errors import InputError
from moedsr_core.training import run_folder
from moedsr_core.training.run_folder import RunFolder, read_log
from moedsr_core.training.world import World

CONFIG = {"preset": "dsr", "run": {"seed": 0}}
SPLIT = {"train": [{"name": "a"}], "validation": []}


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    made = RunFolder(tmp_path / "run")
    made.claim(CONFIG, SPLIT, World())
    return made


def log(folder: RunFolder, step: int = 0):
    return folder.log(step, ("loss",), ("iou",), World())


def test_a_folder_keeps_configuration_split_and_versions(folder):
    assert json.loads((folder.path / "config.json").read_text()) == CONFIG
    assert json.loads((folder.path / "split.json").read_text()) == SPLIT
    (first,) = json.loads((folder.path / "versions.json").read_text())
    assert first["python"] == platform.python_version()
    assert first["torch"] == torch.__version__
    assert first["moedsr"] == moedsr_core.__version__
    assert first["processes"] == 1
    folder.claim(CONFIG, SPLIT, World())
    assert len(json.loads((folder.path / "versions.json").read_text())) == 2


@pytest.mark.parametrize(
    ("config", "split", "what"),
    [({**CONFIG, "preset": "moedsr"}, SPLIT, "configuration"), (CONFIG, {"train": []}, "split")],
)
def test_a_folder_of_another_run_is_refused_and_left_alone(folder, config, split, what):
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    with pytest.raises(InputError, match=f"holds a run of another {what}"):
        folder.claim(config, split, World())
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == before


@pytest.mark.parametrize("text", ["", "{", "\x00"])
def test_a_damaged_configuration_is_refused(folder, text):
    (folder.path / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json cannot be read"):
        folder.claim(CONFIG, SPLIT, World())


def test_only_the_first_process_writes(tmp_path):
    folder = RunFolder(tmp_path / "run")

    class Second(World):
        def wait(self) -> None:
            pass

    second = Second(rank=1, size=2)
    folder.claim(CONFIG, SPLIT, second)
    folder.log(0, ("loss",), (), second).write({"step": 1, "loss": 0.0})
    assert not folder.path.exists()


def test_lines_after_the_checkpoint_are_taken_back_torn_ones_too(folder):
    lines = log(folder)
    for step in (1, 2, 3):
        lines.write({"step": step, "loss": step / 2, "seconds": 0.0, "seconds_left": 0.0})
    with (folder.path / "log.csv").open("a") as file:
        file.write("4,0.0,0.")
    assert [row["step"] for row in read_log(folder.path / "log.csv")] == ["1", "2", "3"]
    log(folder, 2).write({"step": 3, "loss": 9.0, "val_iou": 0.5})
    rows = read_log(folder.path / "log.csv")
    assert [(row["step"], row["loss"], row["val_iou"]) for row in rows] == [
        ("1", "0.5", ""), ("2", "1.0", ""), ("3", "9.0", "0.5"),
    ]  # fmt: skip


def test_a_full_disk_leaves_no_half_written_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(InputError, match="No space left on device; choose another place"):
        folder.claim(CONFIG, SPLIT, World())
    assert list(folder.path.iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="could not write"):
        RunFolder(tmp_path / "file" / "run").claim(CONFIG, SPLIT, World())


def test_tensorboard_that_is_not_installed_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    folder = RunFolder(tmp_path, tensorboard=True)
    with pytest.raises(InputError, match=r"pip install \"moedsr\[train\]\""):
        log(folder)


def test_an_installed_package_states_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr(run_folder.moedsr_core, "__file__", str(tmp_path / "core" / "x.py"))
    assert run_folder.versions()["commit"] == ""
