"""What MoE-DSR varies one thing at a time: router backbones, the number of experts, the encoding.

A study knows its variants as settings of a model's configuration, so it can say how each is trained
and see that weights are what their label says, and differ in nothing else.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moedsr_core.choices import check_choice, check_number
from moedsr_core.errors import InputError
from moedsr_core.models.config import config_to_dict
from moedsr_core.models.moedsr import PAPER_RANGES
from moedsr_core.models.registry import LoadedModel
from moedsr_core.models.router.backbones.choice import BACKBONES
from moedsr_core.models.router.router import QMPNN_NAME
from moedsr_core.reports.moe_tables import Heading
from moedsr_core.training.presets import PRESETS, preset_from_json
from moedsr_core.training.run_folder import run_of

Settings = Mapping[str, Any]
"""Values by dotted path in a model's configuration."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """Variants of one model."""

    heading: Heading
    """What stands around its table."""
    variants: Mapping[str, Settings]
    """Settings of each variant by label, the fields the same for all."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Dotted paths that the variants differ in."""
        return tuple(next(iter(self.variants.values())))

    def settings(self, label: str) -> Settings:
        """Settings of one variant.

        Raises:
            InputError: If there is no such variant.
        """
        if label not in self.variants:
            raise InputError(
                f"{self.heading.variable} must be one of {', '.join(self.variants)}, got {label!r}"
            )
        return self.variants[label]


def _printed(iou: float, chamfer: float, consistency: float) -> dict[str, float]:
    return {"iou": iou, "chamfer_paper": chamfer, "nc_abs": consistency}


_PAPER_POINTCNN = _printed(0.6680, 0.0053, 0.6213)
_PAPER_FULL = _printed(0.7028, 0.0039, 0.6723)
_ELSEWHERE = (
    "The paper's numbers are of other proteins, frames that are not superposed, and perhaps of the "
    "signed normal consistency: compare differences between rows, not rows with them."
)

BACKBONE_STUDY = Study(
    heading=Heading(
        name="backbones",
        title="Router backbones (MoE-DSR, Table 4)",
        variable="backbone",
        notes=(
            _ELSEWHERE,
            "The paper's one row PointCNN cites another network, Pointwise CNN; it stands beside "
            "both.",
        ),
        paper={
            QMPNN_NAME: _PAPER_FULL,
            "pointnet2": _printed(0.6656, 0.0055, 0.6188),
            "pointcnn": _PAPER_POINTCNN,
            "pointwisecnn": _PAPER_POINTCNN,
            "pointtransformer": _printed(0.6749, 0.0047, 0.6453),
            "pointmlp": _printed(0.6857, 0.0042, 0.6519),
            "dmasif": _printed(0.6923, 0.0040, 0.6560),
        },
    ),
    variants={name: {"router.backbone": name} for name in (QMPNN_NAME, *BACKBONES)},
)

ENCODING_STUDY = Study(
    heading=Heading(
        name="encoding",
        title="Ψ against plain coordinates (MoE-DSR, Ablation Studies)",
        variable="expert",
        notes=(
            _ELSEWHERE,
            'The paper replaces Ψ(x) by x and elsewhere calls the expert before Ψ "a naive MLP": '
            "`coordinates` keeps DSR's network, `naive` has neither skip connection nor a sphere "
            "for a start; the paper's number stands beside both.",
        ),
        paper={
            "spherical": _PAPER_FULL,
            "coordinates": {"iou": 0.6884},
            "naive": {"iou": 0.6884},
        },
    ),
    variants={
        "spherical": {"expert.encoding": "spherical", "expert.kind": "implicit"},
        "coordinates": {"expert.encoding": "coordinates", "expert.kind": "implicit"},
        "naive": {"expert.encoding": "coordinates", "expert.kind": "naive"},
    },
)


def sweep_study(counts: Sequence[int]) -> Study:
    """The number of experts N_E (MoE-DSR, Fig. 3), which the paper draws and does not print.

    Raises:
        InputError: If there are no numbers, or one is not positive.
    """
    if not counts or min(counts) < 1:
        raise InputError(f"a sweep needs numbers of experts of at least 1, got {list(counts)}")
    return Study(
        heading=Heading(
            name="sweep", title="Number of experts (MoE-DSR, Fig. 3)", variable="experts",
            numeric=True,
        ),
        variants={str(n): {"n_experts": n} for n in sorted(set(counts))},
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """How the variants of a study are to be trained."""

    preset: str = "moedsr"
    """What is varied: moedsr, or moedsr-anchored where it has the setting."""
    config: Path | None = None
    """JSON file with the configuration that the variants share; by default the preset."""
    stores: Path | None = None
    """Folder with prepared surfaces to train on, where that is not DATA; a table needs the
    trajectories in any case."""
    runs: Path = Path("runs")
    """Folder of the run folders."""
    trials: int = 3
    """Trainings of each variant, from the seeds 0, 1 …; three in the paper."""

    def __post_init__(self) -> None:
        """Refuse a plan of nothing."""
        check_choice("preset", self.preset, PRESETS)
        check_number("trials", self.trials, 1, 1000, whole=True)

    def run(self, study: Study, label: str, seed: int) -> Path:
        """Run folder of one training; all studies share those of the unchanged model."""
        settings = study.settings(label)
        base = _flat(config_to_dict(self._base().model))
        missing = [path for path in settings if path not in base]
        if missing:
            raise InputError(f"{self.preset} has no {missing[0]}; choose the preset moedsr")
        same = all(base[path] == value for path, value in settings.items())
        variant = [] if same else [f"{study.heading.variable}-{label}"]
        return self.runs / "-".join([self.preset, *variant, str(seed)])

    def command(
        self,
        study: Study,
        label: str,
        seed: int,
        data: Sequence[str],
        split: Sequence[str] = (),
    ) -> str:
        """What to type for one training; ``split`` are the flags that name the split, if any."""
        data = [self.stores.as_posix()] if self.stores else data
        words = ["python", "scripts/train.py", self.preset, "--data", *data, *split]
        words += ["--config", self.config.as_posix()] if self.config else []
        for path, value in study.settings(label).items():
            words += [f"--model.{path.replace('_', '-')}", str(value)]
            if self.preset == "moedsr" and value not in PAPER_RANGES.get(path, (value,)):
                words.append("--model.no-paper-ranges")
        words += ["--run.seed", str(seed), "--out", self.run(study, label, seed).as_posix()]
        return shlex.join(words)

    def models(self, study: Study, label: str) -> str:
        """All trainings of a variant, as ``--models`` takes them."""
        runs = (self.run(study, label, seed).as_posix() for seed in range(self.trials))
        return f"{label}={','.join(runs)}"

    def _base(self) -> Any:
        if self.config is not None:
            return preset_from_json(self.preset, self.config)
        return PRESETS[self.preset].config()


def commands(
    study: Study,
    plan: TrainingPlan,
    data: Sequence[str],
    split: Sequence[str] = (),
    labels: Sequence[str] = (),
) -> list[str]:
    """Every training that a study needs, then the command that makes its table.

    Args:
        study: What is compared.
        plan: How it is trained.
        data: Folders of the trajectories.
        split: Flags that name the split, for both scripts.
        labels: Variants wanted; by default all.

    Raises:
        InputError: If a label is unknown, or the preset lacks what the study varies.
    """
    wanted = list(labels or study.variants)
    lines = [
        plan.command(study, label, seed, data, split)
        for label in wanted
        for seed in range(plan.trials)
    ]
    words = ["python", "scripts/moe_tables.py", study.heading.name, "--data", *data, *split]
    words += ["--models", *(plan.models(study, label) for label in wanted)]
    return [*lines, shlex.join(words)]


@dataclass(frozen=True)
class Description:
    """Everything that decided a model's weights but its seed.

    Attributes:
        folder: Of the weights.
        settings: Values by dotted path; those of the training where the weights lie in their run
            folder.
    """

    folder: Path
    settings: Settings


def describe(loaded: LoadedModel) -> Description:
    """Description of a model."""
    folder = loaded.info.folder
    settings = {**_flat(config_to_dict(loaded.model.config)), "preset": loaded.info.architecture}
    run = run_of(folder)
    if run is not None:
        training = _flat(json.loads((run / "config.json").read_text(encoding="utf-8")))
        settings |= {key: v for key, v in training.items() if not key.startswith("model.")}
        if (run / "split.json").is_file():
            split = hashlib.sha256((run / "split.json").read_bytes()).hexdigest()
            settings["hash of split.json"] = split[:12]
        settings["trained to its end"] = folder == run / "weights"
    settings.pop("run.seed", None)
    return Description(folder, settings)


def check_variants(study: Study, models: Mapping[str, Sequence[Description]]) -> None:
    """See that models are what their labels say and differ in nothing else.

    Raises:
        InputError: If not, naming the first difference.
    """
    for label, group in models.items():
        settings = study.settings(label)
        for one in group:
            _check_label(one, label, settings)
    everyone = [one for group in models.values() for one in group]
    for other in everyone[1:]:
        _check_alike(everyone[0], other, study)


def _check_alike(first: Description, other: Description, study: Study) -> None:
    for key in sorted(first.settings.keys() & other.settings.keys() - set(study.fields)):
        if first.settings[key] != other.settings[key]:
            raise InputError(
                f"{first.folder} has {key} {first.settings[key]} and {other.folder} has "
                f"{other.settings[key]}, so that their difference would not be that of "
                f"{study.heading.variable} alone; train both alike"
            )


def _check_label(one: Description, label: str, settings: Settings) -> None:
    for path, value in settings.items():
        if one.settings.get(path) != value:
            raise InputError(
                f"{one.folder} is labelled {label} and has {path} {one.settings.get(path)}, not "
                f"{value}; label it by what it is"
            )


def _flat(nested: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{key}.")
        else:
            flat[before + key] = value
    return flat
