"""Training from the command line: presets, configuration files, refusals, and real data."""

from __future__ import annotations

from dataclasses import replace

import pytest
from safetensors.torch import load_file
from small_training import SMALL

from moedsr_core.errors import InputError
from moedsr_core.models.registry import load_model
from moedsr_core.training.presets import PRESETS, preset_from_json, preset_to_json
from moedsr_core.training.run_folder import read_log
from scripts import train as command

TINY = {
    "dsr": [
        "--model.mlp.layers", "2", "--model.mlp.width", "24", "--model.latent-size", "4",
        "--surfaces.points", "50", "--surfaces.validation-points", "100", "--frames.first", "3",
        "--frames.stride", "2",
    ],
    "moedsr-anchored": [
        "--samples.n-frames", "3", "--samples.n-references", "1", "--samples.n-points", "200",
        "--samples.n-surface-points", "40", "--motion.points", "50", "--motion.frames", "2",
    ],
}  # fmt: skip


@pytest.fixture(autouse=True)
def threads_stay(monkeypatch):
    monkeypatch.setattr(command.torch, "set_num_threads", lambda n: None)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_printed_configuration_is_read_back_as_it_was(preset, tmp_path, capsys):
    assert command.main([preset, "--run.seed", "5", "--print-config"]) == 0
    text = capsys.readouterr().out
    (tmp_path / "config.json").write_text(text)
    default = PRESETS[preset].config()
    expected = replace(default, run=replace(default.run, seed=5))
    assert preset_from_json(preset, tmp_path / "config.json") == expected
    assert preset_to_json(preset, expected) == text.strip()
    small = SMALL[preset]
    (tmp_path / "small.json").write_text(preset_to_json(preset, small))
    assert preset_from_json(preset, tmp_path / "small.json") == small


def test_the_command_line_goes_before_the_file_and_the_file_before_the_preset(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"optimizer": {"learning_rate": 0.5, "clip": 2}, "run": {"seed": 3}}')
    preset, arguments = command.parse(["dsr", "--config", str(path), "--run.seed", "4"])
    config = arguments.train
    assert preset == "dsr"
    assert (config.run.seed, config.optimizer.learning_rate, config.optimizer.clip) == (4, 0.5, 2)
    assert config.run.epochs == 4000
    assert config.optimizer.code_learning_rate == 1e-3


def test_presets_are_what_the_papers_say():
    dsr = PRESETS["dsr"].config()
    assert (dsr.run.epochs, dsr.optimizer.schedule.halve_epochs) == (4000, 200)
    assert (dsr.optimizer.kind, dsr.surfaces.points, dsr.surfaces.batch) == ("adam", 0, 1)
    assert (dsr.frames.time, dsr.frames.scale) == ("frame", "data")
    moedsr = PRESETS["moedsr"].config()
    assert (moedsr.frames.time, moedsr.frames.scale) == ("lag", "protein")
    assert moedsr.surfaces.validate_on == "proteins"


def test_without_a_preset_the_anchored_model_is_trained():
    preset, arguments = command.parse(["--out", "x"])
    assert preset == "moedsr-anchored"
    assert arguments.train == PRESETS[preset].config()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"run": {"sead": 3}}', "unknown key 'run.sead'"),
        ('{"modle": {}}', "unknown key 'modle'"),
        ('{"preset": "moedsr"}', "configures 'moedsr', not 'dsr'"),
        ('{"run": {"seed": "three"}}', "run.seed must be of type int"),
        ('{"run": 3}', "configuration 'run' must be an object"),
        ("{", "is not a configuration file"),
        ("[1]", "is not a configuration file"),
    ],
)
def test_a_configuration_file_that_means_something_else_is_refused(tmp_path, text, said):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        preset_from_json("dsr", path)


def test_a_misspelt_flag_is_refused_by_every_preset(capsys):
    for preset in PRESETS:
        with pytest.raises(SystemExit) as caught:
            command.main([preset, "--run.sead", "3"])
        assert caught.value.code == 2
    assert "sead" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["moe"], "unknown preset 'moe'; choose from dsr, moedsr, moedsr-anchored"),
        (["dsr"], "give --data"),
        (["dsr", "--data", "nowhere"], "nowhere"),
        (["dsr", "--data", "nowhere", "--split", "no.json"], "is not a split file"),
        (["dsr", "--config", "no.json"], "is not a configuration file"),
        (["dsr", "--data", ".", "--device", "tpu"], "device must be"),
    ],
)
def test_what_cannot_be_trained_ends_with_one_sentence_and_no_folder(
    tmp_path, monkeypatch, capsys, argv, said
):
    monkeypatch.chdir(tmp_path)
    assert command.main(argv) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("preset", TINY)
def test_a_real_trajectory_is_trained_on_from_the_command_line(preset, tmp_path, data_dir, capsys):
    argv = [
        preset, "--data", str(data_dir / "protein_md"), "--names", "dpdp",
        "--out", str(tmp_path / "run"), "--run.steps", "2", "--run.log-every", "1", *TINY[preset],
    ]  # fmt: skip
    assert command.main(argv) == 0
    assert len(read_log(tmp_path / "run" / "log.csv")) == 2
    assert load_model(tmp_path / "run" / "weights").info.architecture == preset
    before = load_file(tmp_path / "run" / "last" / "model.safetensors")
    assert command.main([*argv, "--run.seed", "1"]) == 2
    assert "another configuration" in " ".join(capsys.readouterr().err.split())
    after = load_file(tmp_path / "run" / "last" / "model.safetensors")
    assert all((before[name] == after[name]).all() for name in before)


def test_a_stopped_training_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "run_training", stop)
    (tmp_path / "split.json").write_text('{"train": [], "validation": [], "test": []}')
    argv = ["dsr", "--data", str(tmp_path), "--split", str(tmp_path / "split.json")]
    assert command.main(argv) == 130
    assert "goes on from the last checkpoint" in capsys.readouterr().err
