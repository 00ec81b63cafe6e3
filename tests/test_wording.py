"""Words that messages share, and the messages that count."""

from __future__ import annotations

import errno

import pytest

from moedsr_core.prediction_files import _PlainProgress
from moedsr_core.wording import counted, reason


@pytest.mark.parametrize(
    ("n", "words", "said"),
    [
        (0, ("frame",), "0 frames"),
        (1, ("frame",), "1 frame"),
        (2, ("frame",), "2 frames"),
        (1, ("trajectory", "trajectories"), "1 trajectory"),
        (3, ("trajectory", "trajectories"), "3 trajectories"),
    ],
)
def test_nouns_follow_their_number(n, words, said):
    assert counted(n, *words) == said


def test_a_reason_is_one_line_without_the_number_of_an_error(tmp_path):
    with pytest.raises(OSError) as missing:
        (tmp_path / "nothing").read_text()
    assert reason(missing.value) == "no such file or directory"
    assert reason(OSError(errno.ENOSPC, "No space left on device")) == "no space left on device"
    assert reason(OSError("odd\n  file")) == "odd file"
    assert reason(KeyError("config")) == "'config' is missing"
    assert reason(ValueError("x" * 999)) == "x" * 200


@pytest.mark.parametrize(("frames", "said"), [(1, "1 of 1 frame\n"), (3, "3 of 3 frames\n")])
def test_progress_of_one_frame_is_of_one_frame(frames, said, capsys):
    _PlainProgress(frames)("frames", frames)
    assert capsys.readouterr().err == f"frames: {said}"
