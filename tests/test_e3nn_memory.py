"""What e3nn remembers is what it would write anew."""

from __future__ import annotations

import pytest
import torch
from e3nn.math import _normalize_activation
from e3nn.o3 import _linear
from e3nn.o3._tensor_product import _tensor_product
from e3nn_memory import remembering
from equivariance import synthetic_protein

from moedsr_core.models.router.router import Router, RouterConfig

SMALL = RouterConfig(
    phi_s=2, phi_r=4, phi_p=4, zeta=4, gamma=1.0, max_neighbours=6, l_max=1, layers=1
)


def built() -> tuple[Router, torch.Tensor]:
    """A router from one seed, and the state of the random numbers after it."""
    torch.manual_seed(0)
    return Router(SMALL), torch.get_rng_state()


@pytest.fixture
def written_anew(monkeypatch) -> tuple[Router, torch.Tensor]:
    """The same router, for which nothing is remembered."""
    with monkeypatch.context() as patch:
        for holder, name in (
            (_linear, "_codegen_linear"),
            (_normalize_activation, "moment"),
        ):
            patch.setattr(holder, name, getattr(holder, name).__wrapped__)
        for name in ("_CODEGEN_PROVIDERS_LEFT_RIGHT", "_CODEGEN_PROVIDERS_RIGHT"):
            plain = [provider.__wrapped__ for provider in getattr(_tensor_product, name)]
            patch.setattr(_tensor_product, name, plain)
        return built()


def test_a_remembered_router_is_the_one_that_is_written_anew(written_anew):
    expected, state = written_anew
    protein = synthetic_protein(n_points=40, n_residues=8)
    for _ in range(2):
        router, found = built()
        assert torch.equal(found, state)
        assert router.state_dict().keys() == expected.state_dict().keys()
        for got, wanted in zip(router(protein), expected(protein), strict=True):
            assert torch.equal(got, wanted)


def test_routers_do_not_share_what_is_remembered():
    protein = synthetic_protein(n_points=40, n_residues=8)
    first, second = built()[0], built()[0]
    expected = second(protein)[1]
    first.double()
    assert torch.equal(second(protein)[1], expected)
    assert torch.equal(built()[0](protein)[1], expected)


def test_other_arguments_and_another_precision_are_not_mixed_up(double_precision):
    calls = []
    call = remembering(lambda *a, **k: calls.append((a, k)) or [len(calls)])
    assert [call(1), call(2), call(1, n=1), call(1)] == [[1], [2], [3], [1]]
    call(1).append(0)
    torch.set_default_dtype(torch.float32)
    assert (call(1), len(calls)) == ([4], 4)
    torch.set_default_dtype(torch.float64)
    assert call(1) == [1]
