from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from moedsr_core.errors import InputError
from moedsr_core.files import whole_folder


def test_a_folder_that_exists_is_written_from_within_for_it_may_be_a_disk(tmp_path):
    with whole_folder(tmp_path) as draft:
        assert draft.parent == tmp_path
        (draft / "a").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_new_folder_is_unseen_until_it_is_whole(tmp_path):
    with whole_folder(tmp_path / "out") as draft:
        (draft / "a").write_text("new")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "a").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_fails_leaves_an_existing_folder_as_it_was(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(InputError, match="no space"), whole_folder(tmp_path) as draft:
        (draft / "a").write_text("new")
        raise OSError(28, "no space")
    assert (tmp_path / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


WRITER = """
import sys, time, types
from moedsr_core import __main__
from moedsr_core.files import whole_folder
def work(argv=None):
    try:
        with whole_folder(sys.argv[1]) as draft:
            print("writing", flush=True)
            time.sleep(60)
    except KeyboardInterrupt:
        return 130
sys.modules["moedsr_core.cli"] = types.SimpleNamespace(main=work)  # the command's loads torch
sys.exit(__main__.main())
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM that can be caught")
def test_a_request_to_terminate_leaves_no_scratch_folder(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "out")], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"writing\n"
    assert any(tmp_path.iterdir())
    child.send_signal(signal.SIGTERM)
    assert child.wait(50) == 130
    assert not any(tmp_path.iterdir())
    child.stdout.close()
