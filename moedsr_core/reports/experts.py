"""Who goes to which expert, and whether an expert's proteins are alike (MoE-DSR, Table 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float

from moedsr_core.chemistry import AMINO_ACIDS, CAPS
from moedsr_core.choices import check_choice, check_number
from moedsr_core.data.identity import IdentityRule, Match
from moedsr_core.errors import InputError
from moedsr_core.model_field import on_device
from moedsr_core.models.anchored import AnchoredMoEDSR
from moedsr_core.models.inputs import protein_input
from moedsr_core.models.moedsr import MoEDSR
from moedsr_core.models.registry import LoadedModel
from moedsr_core.structure import Structure

_LETTERS = dict(zip(AMINO_ACIDS, "ARNDCQEGHILKMFPSTWYV", strict=True))
UNKNOWN_LETTER = "X"
ASSIGNMENTS = {
    "first": "the expert with the largest gate",
    "all": "every expert with a gate above zero, of which a protein has N_K",
}
"""Which expert a protein belongs to, which the paper does not say."""


@dataclass(frozen=True, kw_only=True)
class ExpertOptions:
    """How proteins are assigned, and what chance is."""

    assign: str = "first"
    """``first``: the expert with the largest gate; ``all``: each of the N_K that are used. The
    paper speaks of the systems "assigned to each expert", and each goes to two."""
    shuffles: int = 1000
    """Random assignments with as many proteins to each expert, for what chance gives."""
    seed: int = 0
    """Of the shuffles, and of the surface points that the router sees."""

    def __post_init__(self) -> None:
        """Refuse values of the wrong kind or range."""
        check_choice("assign", self.assign, ASSIGNMENTS)
        check_number("shuffles", self.shuffles, 1, 1_000_000, whole=True)
        check_number("seed", self.seed, 0, 2**63 - 1, whole=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Routing:
    """Gates of one model on many proteins."""

    model: str
    """Label of the model."""
    proteins: tuple[str, ...]
    """Names."""
    gates: Float[np.ndarray, "proteins experts"]
    """Weight of each expert, without noise; rows sum to one."""

    def members(self, assign: str) -> Bool[np.ndarray, "proteins experts"]:
        """Which proteins belong to which expert."""
        if assign == "all":
            return self.gates > 0
        first = self.gates.argmax(axis=1)
        return first[:, None] == np.arange(self.gates.shape[1])


def sequence(structure: Structure) -> str:
    """One-letter sequence of all chains in a row; X for what is no amino acid, nothing for caps."""
    _, first = np.unique(structure.residue_index, return_index=True)
    kinds = structure.residue_kinds
    names = structure.residue_names[first]
    return "".join(
        _LETTERS[AMINO_ACIDS[kind]] if kind < len(AMINO_ACIDS) else UNKNOWN_LETTER
        for kind, name in zip(kinds, names, strict=True)
        if str(name).strip().upper() not in CAPS
    )


def refuse_without_experts(loaded: LoadedModel) -> None:
    """See that a model has a router.

    Raises:
        InputError: If it has none.
    """
    if not isinstance(loaded.model, (MoEDSR, AnchoredMoEDSR)):
        raise InputError(
            f"{loaded.info.name} is a {loaded.info.architecture} model, which has no experts; "
            "give weights of moedsr or moedsr-anchored"
        )


@torch.no_grad()
def gate_of(loaded: LoadedModel, structure: Structure, seed: int = 0) -> Float[np.ndarray, " n"]:
    """Weight of each expert for one protein, from its input structure.

    Raises:
        InputError: If the model has no router.
    """
    refuse_without_experts(loaded)
    model = cast("MoEDSR | AnchoredMoEDSR", loaded.model)
    protein, _ = protein_input(structure, scale=loaded.scale, seed=seed)
    _, descriptor = model.router(on_device(protein, next(model.parameters()).device))
    return np.asarray(model.gate(descriptor).cpu().numpy(), np.float64)


@dataclass(frozen=True, eq=False)
class Likeness:
    """Sequence identity of every pair of proteins, symmetric, the diagonal unset.

    Attributes:
        aligned: Identity of the best alignment, however short and unsure; NaN where MMseqs2 finds
            none at all.
        related: Whether an alignment is long and sure enough to count.
    """

    aligned: Float[np.ndarray, "n n"]
    related: Bool[np.ndarray, "n n"]


def likeness(names: Sequence[str], matches: Sequence[Match], rule: IdentityRule) -> Likeness:
    """Matrices of the alignments of :func:`identity.align_all`; the surest of a pair is taken."""
    place = {name: k for k, name in enumerate(names)}
    aligned = np.full((len(names), len(names)), np.nan)
    related = np.zeros(aligned.shape, bool)
    for match in sorted(matches, key=lambda match: -match.evalue):
        a, b = place[match.first], place[match.second]
        aligned[a, b] = aligned[b, a] = match.identity
        related[a, b] = related[b, a] = match.counts(rule)
    return Likeness(aligned, related)


@dataclass(frozen=True)
class Alike:
    """How alike the proteins of some pairs are.

    Attributes:
        pairs: How many pairs.
        identity: Mean identity over the pairs that MMseqs2 aligns at all; NaN where it aligns none.
        aligned: Of them, how many are.
        related: Share of all pairs whose alignment counts; NaN without pairs.
        related_identity: Mean identity over those.
    """

    pairs: int
    identity: float
    aligned: int
    related: float
    related_identity: float


def alike(found: Likeness, pairs: Bool[np.ndarray, "n n"]) -> Alike:
    """Statistics of the pairs marked above the diagonal."""
    chosen = np.triu(pairs, 1)
    count, related = int(chosen.sum()), chosen & found.related
    seen = chosen & np.isfinite(found.aligned)
    return Alike(
        pairs=count,
        identity=_mean(found.aligned[seen]),
        aligned=int(seen.sum()),
        related=float(related.sum() / count) if count else float("nan"),
        related_identity=_mean(found.aligned[related]),
    )


def together(members: Bool[np.ndarray, "n experts"]) -> Bool[np.ndarray, "n n"]:
    """Which proteins share an expert."""
    counts = members.astype(np.int64)
    return np.asarray(counts @ counts.T > 0)


@dataclass(frozen=True)
class Chance:
    """What random assignments of the same sizes give.

    Attributes:
        mean: Mean over the shuffles.
        p: Share of all assignments, ours among them, that reach at least our value.
    """

    mean: float
    p: float


def chance(
    found: Likeness, members: Bool[np.ndarray, "n experts"], options: ExpertOptions
) -> dict[str, Chance]:
    """Permutation test of ``identity`` and ``related`` within experts, one-sided."""
    ours = alike(found, together(members))
    rng = np.random.default_rng(options.seed)
    drawn = [alike(found, together(rng.permutation(members))) for _ in range(options.shuffles)]
    return {
        name: _chance(getattr(ours, name), np.array([getattr(one, name) for one in drawn]))
        for name in ("identity", "related")
    }


def _chance(ours: float, drawn: Float[np.ndarray, " shuffles"]) -> Chance:
    known = drawn[np.isfinite(drawn)]
    if not np.isfinite(ours) or len(known) == 0:
        return Chance(float("nan"), float("nan"))
    reached = int((known >= ours - 1e-12).sum())
    return Chance(float(known.mean()), (1 + reached) / (1 + len(known)))


def _mean(values: Float[np.ndarray, " n"]) -> float:
    return float(values.mean()) if len(values) else float("nan")
