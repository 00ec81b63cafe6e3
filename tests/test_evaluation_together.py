"""An evaluation in several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from evaluated import loaded
from synthetic_chain import swelling

from moedsr_core.errors import BackendError, InputError
from moedsr_core.evaluation.evaluate import evaluate
from moedsr_core.evaluation.options import EvaluateOptions
from moedsr_core.evaluation.together import FEW_FRAMES, frame_pool, in_order


def test_processes_side_by_side_give_the_same_numbers(tmp_path):
    options = EvaluateOptions(frames=FEW_FRAMES, draws=2, spacing=2.0)
    moving, model = swelling(FEW_FRAMES + 1, n_residues=4), loaded(tmp_path, push=0.01)
    alone, together = (evaluate(moving, model, options, jobs=jobs) for jobs in (1, 2))
    assert alone.to_dict() | {"seconds": 0} == together.to_dict() | {"seconds": 0}


def test_results_come_in_order_while_only_a_few_are_under_way():
    taken = []

    def tasks():
        for k in range(40):
            taken.append(k)
            yield (k,)

    with ThreadPoolExecutor(2) as pool:
        for k, result in enumerate(in_order(pool, abs, tasks())):
            assert result == k and len(taken) <= k + 6
    assert taken == list(range(40))


def test_processes_are_started_only_where_they_save_time():
    for jobs, frames in ((1, 100), (0, FEW_FRAMES - 1)):
        with frame_pool(jobs, frames) as pool:
            assert pool is None


def test_a_process_that_is_ended_is_one_sentence():
    with (
        frame_pool(2, FEW_FRAMES) as pool,
        pytest.raises(BackendError, match=r"was ended, perhaps for want of memory; try fewer --j"),
    ):
        list(in_order(pool, os._exit, [(9,)]))


def test_a_number_of_processes_that_cannot_be_is_refused():
    with pytest.raises(InputError, match="jobs must be"), frame_pool(-1, 100):
        pass


def test_processes_that_measure_frames_load_no_network():
    script = Path(__file__).parents[1] / "scripts" / "evaluate.py"
    code = (
        f"import runpy, sys; runpy.run_path({str(script)!r}, run_name='__mp_main__'); "
        "import moedsr_core.evaluation.truth, moedsr_core.evaluation.shape, moedsr_core.compare; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
