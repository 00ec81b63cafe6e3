"""What configures the anchored model."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from small_anchored import SMALL

from moedsr_core.errors import InputError
from moedsr_core.models.anchored_config import AnchoredConfig
from moedsr_core.models.config import config_from_dict, config_to_dict


@pytest.mark.parametrize(
    "nonsense",
    [
        {"width": 0}, {"depth": 0}, {"local_channels": -1}, {"neighbours": 0}, {"phi_z": 0},
        {"n_experts": 0}, {"reach": 0.0}, {"rise": -0.1}, {"motion_length": math.nan},
        {"largest_offset": 0.0}, {"phi_z": 18}, {"lattice_spacing": 0.0}, {"memory": 0.0},
        {"typical_share": -0.1}, {"kept_share": 1.1}, {"drift_length": 0.0},
        {"own_amplitude": -1.0}, {"largest_displacement": 0.0}, {"phi_sh": 4}, {"time_modes": 1},
        {"n_selected": 0}, {"n_selected": 5},
    ],
)  # fmt: skip
def test_configuration_refuses_nonsense(nonsense):
    (name,) = nonsense
    with pytest.raises(InputError, match=name):
        AnchoredConfig(**nonsense)


def test_configuration_survives_json():
    config = replace(SMALL, rise=0.07, n_experts=6, typical_share=0.25)
    data = json.loads(json.dumps(config_to_dict(config)))
    assert config_from_dict(AnchoredConfig, data) == config
    assert config_from_dict(AnchoredConfig, {}) == AnchoredConfig()


def test_a_misspelt_key_is_refused():
    with pytest.raises(InputError, match="n_expert'"):
        config_from_dict(AnchoredConfig, {"n_expert": 4})
