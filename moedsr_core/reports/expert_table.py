"""MoE-DSR Table 3 as files: every protein's experts, and how alike an expert's proteins are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moedsr_core.errors import InputError
from moedsr_core.report import NOTHING, Report, Row, figure, markdown_table, png, shown
from moedsr_core.reports.experts import (
    Alike,
    ExpertOptions,
    Likeness,
    Routing,
    alike,
    chance,
    together,
)

_NOTES = """\
`identity` is the mean over pairs that MMseqs2 aligns at all, with an expectation value of at most
10: short alignments of unrelated proteins are among them, and reach 40 % by chance. `related` is
the share of pairs whose alignment is no chance. `apart` are pairs without a common expert; `chance`
is the mean over random assignments with as many proteins to each expert, and p the share of those
that reach what the router does."""


def expert_report(routings: Sequence[Routing], found: Likeness, options: ExpertOptions) -> Report:
    """Table of one or several models on the same proteins.

    Raises:
        InputError: If there is no model, or they were routed on different proteins.
    """
    if not routings or any(one.proteins != routings[0].proteins for one in routings):
        raise InputError("a table of experts needs models routed on the same proteins")
    identity = [row for one in routings for row in _identity_rows(one, found, options)]
    parts = [_section(one, identity, options) for one in routings]
    title = "# Who goes to which expert (MoE-DSR, Table 3)"
    return Report(
        name="experts",
        tables={
            "experts": [row for one in routings for row in _protein_rows(one)],
            "experts_identity": identity,
        },
        markdown="\n\n".join([title, *parts, _NOTES]),
        pictures={"experts": _picture(routings)},
    )


def _protein_rows(routing: Routing) -> list[Row]:
    """The expert and its gate, then the one after it."""
    rows = []
    for name, gate in zip(routing.proteins, routing.gates, strict=True):
        order = np.argsort(-gate, kind="stable")
        used = [k for k in order.tolist() if gate[k] > 0]
        rows.append(
            {
                "model": routing.model, "protein": name, "expert": used[0] + 1,
                "gate": float(gate[used[0]]), "others": " ".join(str(k + 1) for k in used[1:]),
            }
        )  # fmt: skip
    return rows


def _identity_rows(routing: Routing, found: Likeness, options: ExpertOptions) -> list[Row]:
    members = routing.members(options.assign)
    rows = []
    for k, mine in enumerate(members.T):
        pairs = mine[:, None] & mine[None, :]
        rows.append(_row(routing.model, str(k + 1), int(mine.sum()), alike(found, pairs)))
    within = together(members)
    total = len(members)
    rows.append(_row(routing.model, "within", total, alike(found, within)))
    rows.append(_row(routing.model, "apart", total, alike(found, ~within)))
    by_chance = chance(found, members, options)
    rows[-2]["identity_p"], rows[-2]["related_p"] = (
        by_chance[name].p for name in ("identity", "related")
    )
    drawn = Alike(
        rows[-2]["pairs"], by_chance["identity"].mean, 0, by_chance["related"].mean, float("nan")
    )
    rows.append(_row(routing.model, "chance", total, drawn))
    return rows


def _row(model: str, expert: str, proteins: int, one: Alike) -> Row:
    nothing = float("nan")
    return {
        "model": model, "expert": expert, "proteins": proteins, "pairs": one.pairs,
        "identity": one.identity, "related": one.related,
        "related_identity": one.related_identity, "identity_p": nothing, "related_p": nothing,
    }  # fmt: skip


def _section(routing: Routing, identity: Sequence[Row], options: ExpertOptions) -> str:
    members = routing.members(options.assign)
    lists = {
        str(k + 1): ", ".join(n for n, m in zip(routing.proteins, mine, strict=True) if m)
        for k, mine in enumerate(members.T)
    }
    lines = [
        [
            row["expert"], lists.get(row["expert"]) or NOTHING,
            str(row["proteins"]), str(row["pairs"]),
            _percent(row["identity"], row["identity_p"]),
            _percent(row["related"], row["related_p"]),
            _percent(row["related_identity"]),
        ]
        for row in identity
        if row["model"] == routing.model
    ]  # fmt: skip
    header = ["expert", "proteins", "number", "pairs", "identity", "related", "their identity"]
    return f"## {routing.model}\n\n" + markdown_table(header, lines)


def _percent(value: float, p: float = float("nan")) -> str:
    text = f"{100 * value:.1f} %" if np.isfinite(value) else NOTHING
    return text + (f" (p {shown(p, style='.3f')})" if np.isfinite(p) else "")


def _picture(routings: Sequence[Routing]) -> bytes:
    """PNG of the gates of every protein, those of one expert side by side."""
    count = len(routings[0].proteins)
    drawn = figure(2.5 + 3.0 * len(routings), 1.8 + min(0.22 * count, 40.0))
    panels = np.atleast_1d(drawn.subplots(1, len(routings)))
    for axes, one in zip(panels, routings, strict=True):
        order = np.lexsort((-one.gates.max(axis=1), one.gates.argmax(axis=1)))
        image = axes.imshow(one.gates[order], vmin=0, vmax=1, cmap="viridis", aspect="auto")
        axes.set_yticks(range(count), [one.proteins[k] for k in order], fontsize=7)
        axes.set_xticks(range(one.gates.shape[1]), range(1, one.gates.shape[1] + 1))
        axes.set_xlabel("expert")
        axes.set_title(one.model)
    drawn.colorbar(image, ax=panels, label="gate")
    return png(drawn)
