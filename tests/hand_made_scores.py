"""Evaluations written by hand, for tests of the tables."""

from __future__ import annotations

import json

from moedsr_core.reports.moe_trials import Contest, Trial


def scored(iou, static=0.5, mean_shape=0.9, omega=20.0, spacing=1.0, compared=(1, 2)) -> dict:
    """What an evaluation of one trajectory says, as far as tables read it."""
    values = {"static": static, "mean_shape": mean_shape, "typical": iou, "drawn": 0.1}
    return {
        "ensemble": {"name": "alone", "compared": list(compared)},
        "options": {"spacing": spacing, "omega": "fitted", "distances": "surface"},
        "omega_A": omega,
        "scores": {
            who: {"iou": {"mean": value}, "gap_closed": 0.0 if who == "static" else value}
            for who, value in values.items()
        },
    }


def trial(**proteins) -> Trial:
    """IoU of each protein, or a whole evaluation of it."""
    return Trial(
        source="by hand",
        evaluations={k: v if isinstance(v, dict) else scored(v) for k, v in proteins.items()},
    )


def contest(**models) -> Contest:
    """Trials by label."""
    return Contest({label: tuple(trials) for label, trials in models.items()})


def write_scores(path, **proteins) -> str:
    path.write_text(json.dumps(trial(**proteins).evaluations), encoding="utf-8")
    return str(path)
