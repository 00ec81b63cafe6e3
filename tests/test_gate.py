from __future__ import annotations

import pytest
import torch

from moedsr_core.errors import InputError
from moedsr_core.models.router.gate import Gate


@pytest.fixture
def gate():
    torch.manual_seed(0)
    return Gate(32, 8, 2).eval()


@pytest.mark.parametrize("training", [False, True])
def test_gates_sum_to_one_with_exactly_the_selected_number_at_work(gate, training):
    weights = gate.train(training)(torch.randn(100, 32))
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(100))
    assert ((weights > 0).sum(dim=1) == 2).all()
    assert (weights >= 0).all()


def test_the_gate_is_the_softmax_of_all_but_the_top_set_to_minus_infinity(gate):
    h = torch.randn(20, 32)
    logits = h @ gate.choice.weight.T
    kept = logits >= logits.sort(dim=1).values[:, -2:-1]
    expected = torch.softmax(logits.masked_fill(~kept, -torch.inf), dim=1)
    torch.testing.assert_close(gate(h), expected)


def test_a_batch_is_gated_as_its_members_are(gate):
    h = torch.randn(3, 5, 32)
    torch.testing.assert_close(gate(h)[1, 2], gate(h[1, 2]))


def test_noise_is_drawn_in_training_only(gate):
    h = torch.randn(50, 32)
    assert torch.equal(gate(h), gate(h))
    gate.train()
    assert not torch.equal(gate(h), gate(h))


def test_noise_comes_from_the_default_generator(gate):
    h = torch.randn(50, 32)
    gate.train()
    torch.manual_seed(5)
    first = gate(h)
    torch.manual_seed(5)
    assert torch.equal(gate(h), first)


def test_noise_has_the_learned_width(gate):
    """With h that gives logits 0 and noise width w, the top expert's odds against the second
    are the gap of two normal order statistics times w."""
    gate.train()
    torch.nn.init.zeros_(gate.choice.weight)
    h = torch.ones(20000, 32)
    gaps = []
    for level in (0.1, 1.0):
        torch.nn.init.constant_(gate.noise.weight, level)
        top = gate(h).detach().topk(2, dim=1).values
        gaps.append(float((top[:, 0] / top[:, 1]).log().median()))
    width = torch.nn.functional.softplus(torch.tensor([3.2, 32.0]))
    assert gaps[1] / gaps[0] == pytest.approx(float(width[1] / width[0]), rel=0.05)


def test_both_gate_matrices_learn_in_training(gate):
    gate.train()
    (gate(torch.randn(50, 32)) * torch.arange(8.0)).sum().backward()
    assert gate.choice.weight.grad.abs().max() > 0
    assert gate.noise.weight.grad.abs().max() > 0


def test_gate_gradients_agree_with_finite_differences():
    torch.manual_seed(0)
    gate = Gate(6, 4, 2).double().eval()
    h = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(gate, (h,))


def test_a_single_selected_expert_has_all_the_weight():
    weights = Gate(8, 4, 1).eval()(torch.randn(10, 8))
    assert torch.equal(weights.max(dim=1).values, torch.ones(10))


@pytest.mark.parametrize("selected", [0, 5])
def test_a_gate_refuses_to_select_more_experts_than_there_are(selected):
    with pytest.raises(InputError, match=f"all 4 experts, got {selected}"):
        Gate(8, 4, selected)
