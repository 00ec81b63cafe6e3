"""Small models of every architecture, and evaluations made by hand, for tests of the evaluation."""

from __future__ import annotations

import numpy as np
import torch
from synthetic_chain import stir

from moedsr_core.evaluation.conventions import SHAPE_METRICS
from moedsr_core.evaluation.options import EvaluateOptions
from moedsr_core.evaluation.result import Evaluation
from moedsr_core.frame import TimeMap
from moedsr_core.models.anchored import AnchoredMoEDSR
from moedsr_core.models.anchored_config import AnchoredConfig
from moedsr_core.models.dsr import DSR, DSRConfig
from moedsr_core.models.experts.implicit import ImplicitConfig
from moedsr_core.models.moedsr import ExpertConfig, MoEDSR, MoEDSRConfig
from moedsr_core.models.registry import LoadedModel, load_model, save_model
from moedsr_core.models.router.router import RouterConfig

ROUTER = RouterConfig(
    phi_s=4, phi_r=4, phi_p=4, zeta=4, gamma=1.0, l_max=1, layers=1, max_points=64
)
MLP = ImplicitConfig(layers=2, width=24, radius=0.5)
ANCHORED = AnchoredConfig(
    router=ROUTER, n_experts=2, width=8, depth=1, local_channels=8, neighbours=4
)
MODELS = {
    "moedsr-anchored": lambda: AnchoredMoEDSR(ANCHORED),
    "moedsr": lambda: MoEDSR(
        MoEDSRConfig(
            router=ROUTER, n_experts=2, expert=ExpertConfig(phi_z=6, mlp=MLP), paper_ranges=False
        )
    ),
    "dsr": lambda: DSR(DSRConfig(latent_size=6, mlp=MLP)),
}


def loaded(folder, model=None, *, push=0.0, kind="moedsr-anchored", span_ps=1e5) -> LoadedModel:
    """A model saved and read back, as the evaluation gets it."""
    torch.manual_seed(0)
    model = model or MODELS[kind]()
    if push:
        stir(model, push)
    save_model(
        folder / kind, model, architecture=kind, summary="of a test", time=TimeMap(span_ps=span_ps)
    )
    return load_model(folder / kind)


def made_up(name: str, static: float, typical: float, frames: int = 2) -> Evaluation:
    """An evaluation in which every shape metric of a contender has one value at every frame."""
    values = {"static": static, "typical": typical}
    return Evaluation(
        name=name,
        model="made-up",
        architecture="dsr",
        options=EvaluateOptions(frames=frames),
        omega_A=20.0,
        atoms=10,
        residues=2,
        frames_in_trajectory=frames + 1,
        chosen=np.arange(1, frames + 1),
        lags_ps=10.0 * np.arange(1, frames + 1),
        times=np.linspace(0.0, 1.0, frames),
        frames={w: {m: np.full(frames, v) for m in SHAPE_METRICS} for w, v in values.items()},
        motion={"static": {"gap_closed": 0.0}, "typical": {"gap_closed": float("nan")}},
        frame0_iou=1.0,
        exposed=np.array([0, 1]),
        residue_rmsf={"true": np.ones(2), "predicted": np.ones(2)},
        autocorrelation={"true": np.ones(2), "drawn": np.ones(2)},
        seconds={"total": 1.0},
    )
