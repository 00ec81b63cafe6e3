"""Polymers that enclose no molecule are refused before a prediction."""

from __future__ import annotations

import numpy as np
import pytest
from moving_protein import growing, helix

from moedsr_core.errors import InputError
from moedsr_core.predict import Prediction, PredictOptions
from moedsr_core.structure import check_complete


def test_a_whole_chain_passes():
    check_complete(helix(8))


def test_a_trace_of_alpha_carbons_is_refused():
    chain = helix(8)
    with pytest.raises(InputError, match="got 8 in 8 residues; rebuild"):
        check_complete(chain.select(chain.atom_names == "CA"))


def test_a_backbone_alone_passes_and_less_does_not():
    chain = helix(8)
    check_complete(chain.select(chain.atom_names != "CB"))
    with pytest.raises(InputError, match="all heavy atoms"):
        check_complete(chain.select(np.isin(chain.atom_names, ["N", "CA", "C"])))


def test_atoms_at_one_place_are_refused():
    chain = helix(8)
    with pytest.raises(InputError, match="got 40 of 40 that lie on another one"):
        check_complete(chain.with_coords(0 * chain.coords))


def test_a_single_pair_at_one_place_in_a_long_chain_passes():
    chain = helix(40)
    coords = chain.coords.copy()
    coords[0] = coords[1]
    check_complete(chain.with_coords(coords))


def test_a_prediction_refuses_a_trace():
    chain = helix(8)
    with pytest.raises(InputError, match="rebuild"):
        Prediction(chain.select(chain.atom_names == "CA"), PredictOptions(device="cpu"), growing())
