"""Batches shrink until they fit, and what comes out does not show it."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from moving_protein import GrowingModel, growing, helix
from small_anchored import SMALL, near, untrained

from moedsr_core import device_memory
from moedsr_core.device_memory import LEAST_ROWS, FittingBatches, is_out_of_memory, memory_errors
from moedsr_core.errors import MoedsrError
from moedsr_core.model_field import ModelField
from moedsr_core.models.inputs import protein_input
from moedsr_core.predict import Prediction, PredictOptions, predict

CPU = torch.device("cpu")
OPTIONS = PredictOptions(frames=2, device="cpu", latent="typical", n_points=200)


def out_of_memory() -> Exception:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


class Crowded(GrowingModel):
    """Has no memory for more than so many points at once."""

    def __init__(self, prepares: int, evaluates: int) -> None:
        super().__init__()
        self.prepares, self.evaluates = prepares, evaluates
        self.refused = 0

    def prepare(self, code, x):
        self._allow(len(x), self.prepares)
        return super().prepare(code, x)

    def evaluate(self, code, prepared, t, z):
        self._allow(len(prepared["start"]), self.evaluates)
        return super().evaluate(code, prepared, t, z)

    def _allow(self, n, most):
        if n > most:
            self.refused += 1
            raise out_of_memory()


def test_a_prediction_that_runs_out_of_memory_goes_on_in_smaller_batches():
    crowded = Crowded(300, 500)
    whole = predict(helix(), OPTIONS, loaded=growing())
    pieces = predict(helix(), OPTIONS, loaded=growing(crowded))
    assert crowded.refused >= 2
    for a, b in zip(whole.frames, pieces.frames, strict=True):
        assert np.array_equal(a.vertices, b.vertices) and np.array_equal(a.faces, b.faces)


def test_a_batch_that_failed_is_halved_and_no_larger_one_is_tried_again():
    tried = []

    def work(rows):
        tried.append(rows.stop - rows.start)
        if tried[-1] > 300:
            raise out_of_memory()
        return rows

    batches = FittingBatches(CPU, 1024)
    parts = batches.run(work, 600)
    assert tried == [600, 512, 256, 256, 88]
    assert [(part.start, part.stop) for part in parts] == [(0, 256), (256, 512), (512, 600)]
    tried.clear()
    batches.run(work, 100)
    assert tried == [100]


def test_no_memory_at_all_is_one_sentence():
    with pytest.raises(MoedsrError, match=r"^the memory of cpu does not hold .* fewer atoms$"):
        predict(helix(), OPTIONS, loaded=growing(Crowded(LEAST_ROWS - 1, 10**9)))


def test_a_protein_that_cannot_be_encoded_is_one_sentence(monkeypatch):
    def full(protein):
        raise RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)")

    model = GrowingModel()
    monkeypatch.setattr(model, "encode", full)
    with pytest.raises(MoedsrError, match="the memory of cpu does not hold"):
        next(Prediction(helix(), OPTIONS, growing(model)).frames())


def test_the_cache_is_freed_once_the_error_is_gone(monkeypatch):
    alive = []

    def work(rows):
        if rows.stop - rows.start > 64:
            raise out_of_memory()
        return rows

    monkeypatch.setattr(device_memory, "free_cache", lambda device: alive.append(sys.exc_info()[1]))
    FittingBatches(CPU, 128).run(work, 100)
    assert alive == [None]


@pytest.mark.parametrize(
    "error",
    [
        out_of_memory(),
        MemoryError(),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB, other: 1.2 GB)"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
    ],
)
def test_every_device_says_it_in_its_own_words(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("memory")]
)
def test_other_errors_pass(error):
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)), memory_errors(CPU):
        raise error
    with pytest.raises(type(error)):
        FittingBatches(CPU, 128).run(lambda rows: (_ for _ in ()).throw(error), 200)


def test_batches_follow_the_free_memory_of_a_gpu(monkeypatch):
    """A pretended device of 64,000 bytes free whose rows take ten bytes each."""
    card, sizes = torch.device("cuda", 0), []
    for name, value in {
        "mem_get_info": (64_000, 10**9), "memory_allocated": 0, "memory_reserved": 0,
        "reset_peak_memory_stats": None,
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 10 * sizes[-1])
    batches = FittingBatches(card, 16_384)
    batches.run(lambda rows: sizes.append(rows.stop - rows.start) or rows, 10_000)
    assert sizes == [2048, 3200, 3200, 1552]


def test_rows_come_out_the_same_to_the_bit_whatever_the_batch():
    protein, _ = protein_input(helix(20), n_points=300)
    model = untrained(replace(SMALL, width=32))
    with torch.no_grad():
        code = model.encode(protein)
    path = model.latent_path(1, torch.Generator().manual_seed(0))
    points = near(protein, n=1003).numpy() * protein.scale
    answers = []
    for largest in (1024, 512, 192, 64):
        field = ModelField(model, code, np.array([0.5]), path)
        field._preparing = field._evaluating = FittingBatches(CPU, largest)
        answers.append(field.values(field.prepare(points), 0.5))
    assert np.abs(answers[0]).max() > 0.1
    assert all(np.array_equal(answers[0], other) for other in answers)
