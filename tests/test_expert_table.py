"""Who goes to which expert, and whether an expert's proteins are alike."""

from __future__ import annotations

import csv
import io
import itertools
import shutil

import numpy as np
import pytest
import torch
from evaluated import loaded
from synthetic_chain import chain

from moedsr_core.data.identity import IdentityRule, Match, align_all
from moedsr_core.errors import InputError
from moedsr_core.models.inputs import protein_input
from moedsr_core.report import csv_text
from moedsr_core.reports.expert_table import expert_report
from moedsr_core.reports.experts import (
    ExpertOptions,
    Routing,
    alike,
    chance,
    gate_of,
    likeness,
    sequence,
    together,
)
from moedsr_core.structure import from_arrays

pytest.importorskip("matplotlib")
RULE = IdentityRule()
NAMES = tuple(f"p{k}" for k in range(8))
FAMILIES = np.arange(8) // 4


def family_matches() -> list[Match]:
    """Two families of four: 90 % identity within, chance alignments of 30 % across."""
    return [
        Match(0.9, 1.0, 1e-30, a, b) if FAMILIES[i] == FAMILIES[j] else Match(0.3, 0.1, 5.0, a, b)
        for (i, a), (j, b) in itertools.combinations(enumerate(NAMES), 2)
    ]


def one_hot(experts, n_experts=4):
    return np.eye(n_experts)[np.asarray(experts)]


@pytest.fixture(scope="module")
def families():
    return likeness(NAMES, family_matches(), RULE)


@pytest.mark.parametrize("kind", ["moedsr", "moedsr-anchored"])
def test_the_gate_is_the_models_own_and_does_not_turn_with_the_protein(kind, tmp_path):
    model, structure = loaded(tmp_path, push=0.3, kind=kind), chain(8)
    gate = gate_of(model, structure)
    assert gate.sum() == pytest.approx(1.0)
    with torch.no_grad():
        code = model.model.encode(protein_input(structure)[0])
    np.testing.assert_allclose(gate, code.gate.numpy(), atol=1e-6)
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    turned = structure.with_coords(structure.coords @ turn.T + 7.0)
    np.testing.assert_allclose(gate_of(model, turned), gate, atol=1e-4)


def test_a_model_without_experts_is_refused(tmp_path):
    with pytest.raises(InputError, match="dsr model, which has no experts"):
        gate_of(loaded(tmp_path, kind="dsr"), chain(4))


def test_a_sequence_has_a_letter_for_every_residue_and_none_for_caps():
    names = ["ACE", "ALA", "HID", "MSE", "TRP", "ZZZ", "NME"]
    structure = from_arrays(
        np.arange(21.0).reshape(7, 3), atom_names=["C", *["CA"] * 5, "N"], residue_names=names,
        residue_ids=[str(k) for k in range(7)], chain_ids=["A"] * 7,
    )  # fmt: skip
    assert sequence(structure) == "AHMWX"


def test_likeness_is_symmetric_and_the_surer_alignment_of_a_pair_counts():
    names = ("a", "b", "c")
    matches = [Match(0.9, 0.1, 5.0, "a", "b"), Match(0.5, 1.0, 1e-9, "a", "b")]
    found = likeness(names, matches, RULE)
    assert found.aligned[0, 1] == found.aligned[1, 0] == 0.5
    assert found.related[0, 1]
    assert np.isnan(found.aligned[0, 2])
    assert not found.related[:, 2].any()


def test_identity_within_families_is_theirs_and_across_is_chances(families):
    same = FAMILIES[:, None] == FAMILIES[None, :]
    within, across = alike(families, same), alike(families, ~same)
    assert (within.pairs, within.related) == (12, 1.0)
    assert within.identity == pytest.approx(0.9)
    assert (across.pairs, across.related) == (16, 0.0)
    assert across.identity == pytest.approx(0.3)
    assert np.isnan(across.related_identity)


def test_a_router_that_knows_families_beats_chance_and_one_that_mixes_them_does_not(families):
    options = ExpertOptions(shuffles=400)
    sorted_out = chance(families, one_hot(FAMILIES) > 0, options)
    mixed = chance(families, one_hot(np.arange(8) % 2) > 0, options)
    # 2 of the 70 ways to part eight into fours are the families
    assert sorted_out["identity"].p == pytest.approx(2 / 70, abs=0.02)
    assert sorted_out["identity"].p == sorted_out["related"].p
    assert mixed["identity"].p > 0.9
    # a random half shares an expert with 3 of 7 others, of whom 3 of 7 are family
    assert mixed["related"].mean == pytest.approx(3 / 7, abs=0.02)


def test_two_experts_of_a_protein_both_count_only_if_asked():
    gates = np.array([[0.7, 0.3, 0.0], [0.0, 0.6, 0.4], [0.9, 0.0, 0.1]])
    routing = Routing(model="m", proteins=("a", "b", "c"), gates=gates)
    first, everyone = routing.members("first"), routing.members("all")
    assert first.argmax(axis=1).tolist() == [0, 1, 0]
    assert first.sum() == 3
    assert everyone.sum() == 6
    assert together(first)[0].tolist() == [True, False, True]
    assert together(everyone).all()


def read(report, table):
    return list(csv.DictReader(io.StringIO(csv_text(report.tables[table]))))


def test_the_table_lists_each_protein_once_and_agrees_with_the_statistics(families):
    experts = np.array([0, 0, 0, 0, 2, 2, 2, 1])
    routing = Routing(model="m-0", proteins=NAMES, gates=one_hot(experts))
    report = expert_report([routing], families, ExpertOptions(shuffles=50))
    proteins = read(report, "experts")
    assert [int(row["expert"]) - 1 for row in proteins] == experts.tolist()
    rows = {row["expert"]: row for row in read(report, "experts_identity")}
    assert [rows[str(k)]["proteins"] for k in (1, 2, 3, 4)] == ["4", "1", "3", "0"]
    assert [rows[str(k)]["pairs"] for k in (1, 2, 3, 4)] == ["6", "0", "3", "0"]
    assert float(rows["within"]["identity"]) == pytest.approx(0.9)
    assert int(rows["within"]["pairs"]) + int(rows["apart"]["pairs"]) == 28
    assert rows["4"]["identity"] == ""
    assert "| 1 | p0, p1, p2, p3 | 4 | 6 | 90.0 % | 100.0 % | 90.0 % |" in report.markdown
    assert report.pictures["experts"].startswith(b"\x89PNG")


def test_models_on_different_proteins_share_no_table(families):
    gates = one_hot([0, 1])
    pairs = ("a", "b"), ("c", "d")
    routings = [Routing(model="m", proteins=names, gates=gates) for names in pairs]
    with pytest.raises(InputError, match="same proteins"):
        expert_report(routings, families, ExpertOptions())


@pytest.mark.exe
@pytest.mark.skipif(shutil.which("mmseqs") is None, reason="needs MMseqs2")
def test_real_alignments_tell_relatives_from_strangers():
    rng = np.random.default_rng(0)
    one, other = ("".join(rng.choice(list("ARNDCQEGHILKMFPSTWYV"), 120)) for _ in range(2))
    texts = {"a": one, "b": one[:100], "c": other}
    found = likeness(list(texts), align_all(texts), RULE)
    assert found.related.tolist() == [
        [False, True, False], [True, False, False], [False, False, False],
    ]  # fmt: skip
    assert found.aligned[0, 1] == pytest.approx(1.0, abs=0.15)
