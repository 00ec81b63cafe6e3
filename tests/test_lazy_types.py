"""The core's functions are checked as they are called."""

from __future__ import annotations

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from lazy_types import checked

from moedsr_core.structure import from_arrays


def test_a_wrong_shape_and_a_wrong_type_are_refused_each_time():
    for wrong in (np.zeros((2, 4)), [[0.0, 0.0, 0.0]], np.zeros((2, 4))):
        with pytest.raises(TypeCheckError, match="coords"):
            from_arrays(wrong)
    assert len(from_arrays(np.zeros((2, 3)))) == 2


def test_a_wrong_result_is_refused():
    @checked
    def half(n: int) -> int:
        return n / 2

    with pytest.raises(Exception, match="return"):
        half(3)
