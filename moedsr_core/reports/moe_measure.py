"""From trained models and trajectories to the trials of a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from moedsr_core.data.ensemble import Ensemble
from moedsr_core.data.splits import load_part, protein_of, read_split
from moedsr_core.devices import choose_device
from moedsr_core.errors import InputError
from moedsr_core.evaluation.evaluate import evaluate
from moedsr_core.evaluation.options import EvaluateOptions
from moedsr_core.files import whole_file, writing
from moedsr_core.models.registry import LoadedModel, load_model
from moedsr_core.reports.moe_trials import Trial
from moedsr_core.structure import Structure
from moedsr_core.training.run_folder import run_of

Labelled = dict[str, list[str]]
"""Trials by the label of their model, as they were given."""
Tell = Callable[[str, int, int], None]
"""Called with what is done, the steps done and the steps in all."""


def labelled(models: Sequence[str]) -> Labelled:
    """Trials by label, from ``LABEL=TRIAL,TRIAL`` for every model.

    Raises:
        InputError: If there is none, one has no label, or two have the same.
    """
    found: Labelled = {}
    for model in models:
        label, equals, trials = model.partition("=")
        if not equals or not label or not all(trials.split(",")):
            raise InputError(f"--models takes LABEL=TRIAL,TRIAL for every model, got {model!r}")
        if label in found:
            raise InputError(f"the label {label} is given twice; join its trials by commas")
        found[label] = trials.split(",")
    if not found:
        raise InputError("a table needs models; give --models LABEL=TRIAL,TRIAL")
    return found


def is_scores(trial: str) -> bool:
    """Whether a trial is a file of scores, measured already."""
    return trial.endswith(".json")


def load_trial(trial: str, device: str = "cpu") -> LoadedModel:
    """Model of a run folder, of a folder with weights, or by name.

    Raises:
        InputError: If there are no weights.
    """
    run, weights = Path(trial), Path(trial) / "weights"
    if (run / "config.json").is_file() and not weights.is_dir():
        raise InputError(
            f"the training in {run} has not ended; go on with it first, or give "
            f"{run / 'best' / 'weights'} for the best so far"
        )
    return load_model(weights if weights.is_dir() else trial, choose_device(device))


def read_ensembles(
    data: Sequence[Path], split: Path, parts: Sequence[str], **options: int
) -> dict[str, Ensemble]:
    """Trajectories of some parts of a split.

    Raises:
        InputError: If there is no folder, nothing in the parts, or a trajectory cannot be used.
    """
    if not data:
        raise InputError("models are measured on trajectories; give --data")
    read, found = read_split(split), dict[str, Ensemble]()
    for part in parts:
        found |= load_part(read, part, data, **options)
    if not found:
        raise InputError(f"{split} lists nothing under {', '.join(parts)}; choose another part")
    return found


def input_structures(ensembles: Mapping[str, Ensemble]) -> dict[str, Structure]:
    """First frame of every protein, of its first replicate."""
    found: dict[str, Structure] = {}
    for name, ensemble in ensembles.items():
        found.setdefault(protein_of(name), ensemble.structure)
    return found


def refuse_trained_on(loaded: LoadedModel, ensembles: Mapping[str, Ensemble]) -> None:
    """See that a model is measured on proteins it never saw, where its run folder tells.

    Raises:
        InputError: If it was trained on one of them.
    """
    run = run_of(loaded.info.folder)
    if run is None or not (path := run / "split.json").is_file():
        return
    seen = {entry["name"] for entry in json.loads(path.read_text(encoding="utf-8"))["train"]}
    both = sorted(seen & {protein_of(name) for name in ensembles} | seen & set(ensembles))
    if both:
        raise InputError(
            f"{run} was trained on {both[0]}, which is among the proteins to measure; "
            "give the split it was trained with, or --part train to measure just these"
        )


def measure(
    loaded: LoadedModel,
    ensembles: Mapping[str, Ensemble],
    options: EvaluateOptions,
    tell: Tell = lambda what, done, total: None,
    jobs: int = 1,
) -> Trial:
    """Scores of one model on all proteins.

    Args:
        loaded: The model.
        ensembles: Trajectories by name.
        options: How to measure.
        tell: Told of every step; may raise to stop.
        jobs: Processes side by side; 0 means one for each processor.
    """
    scores = {}
    for done, ensemble in enumerate(ensembles.values()):
        title = f"{ensemble.name} ({done + 1} of {len(ensembles)})"

        def step(stage: str, steps: int, total: int, title: str = title) -> None:
            tell(f"{title}: {stage}", steps, total)

        scores[ensemble.name] = evaluate(ensemble, loaded, options, step, jobs).to_dict()
    return Trial(source=str(loaded.info.folder), evaluations=scores)


def write_trial(trial: Trial, path: Path) -> None:
    """Keep scores as :func:`moe_trials.read_trial` reads them.

    Raises:
        InputError: If the file cannot be written.
    """
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(json.dumps(trial.evaluations, indent=1, allow_nan=False).encode())
