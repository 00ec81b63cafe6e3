"""What the scripts say when something goes wrong."""

from __future__ import annotations

import pytest

from moedsr_core.errors import BackendError, InputError
from moedsr_core.terminal import exit_code


def failing(error):
    def work(console):
        raise error

    return work


@pytest.mark.parametrize(("error", "code"), [(InputError, 2), (BackendError, 3)])
def test_a_failure_is_one_line_to_the_letter(error, code, capsys):
    said = f'install it with pip install "moedsr[train]"; see {"a/long/path/" * 20}'
    assert exit_code(failing(error(said)), "stopped") == code
    assert capsys.readouterr().err == f"{said}\n"


def test_ctrl_c_says_what_was_kept(capsys):
    assert exit_code(failing(KeyboardInterrupt()), "stopped; nothing was kept") == 130
    assert capsys.readouterr().err == "stopped; nothing was kept\n"


def test_a_code_of_the_work_is_passed_on():
    assert exit_code(lambda console: None, "") == 0
    assert exit_code(lambda console: 1, "") == 1
