"""Tables as files: what is in them, and that all are there or none."""

from __future__ import annotations

import errno
import math
from pathlib import Path

import numpy as np
import pytest

from moedsr_core.errors import InputError
from moedsr_core.report import Report, csv_text, figure, markdown_table, png, shown

ROWS = [{"who": "a, b", "n": 3, "value": 1 / 3}, {"who": "c", "n": 4, "value": math.nan}]


def report(**changed):
    known = {"name": "made", "tables": {"one": ROWS, "two": ROWS[:1]}, "markdown": "# Made\n\n"}
    return Report(**{**known, "pictures": {"one": b"picture"}, **changed})


def test_every_table_text_and_picture_is_a_file(tmp_path):
    report().write(tmp_path)
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == {
        "one.csv": b'who,n,value\n"a, b",3,0.333333\nc,4,\n',
        "two.csv": b'who,n,value\n"a, b",3,0.333333\n',
        "made.md": b"# Made\n",
        "one.png": b"picture",
    }


def test_what_stood_in_the_folder_stays_where_no_file_has_its_name(tmp_path):
    for name in ("one.csv", "notes.txt"):
        (tmp_path / name).write_text("old", encoding="utf-8")
    report().write(tmp_path)
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "old"
    assert (tmp_path / "one.csv").read_text(encoding="utf-8").startswith("who")


def test_a_full_disk_leaves_no_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match=r"could not write .*No space left on device"):
        report().write(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("rows", "said"),
    [([], "the table x needs at least one row"), ([{"a": 1}, {"b": 1}], "all have the columns")],
)
def test_rows_of_different_columns_make_no_table(rows, said):
    with pytest.raises(InputError, match=said):
        report(tables={"x": rows})


def test_numbers_of_numpy_are_written_like_pythons():
    rows = [{"a": np.float32(0.5), "b": np.int64(7), "c": np.float64("inf"), "d": True}]
    assert csv_text(rows) == "a,b,c,d\n0.5,7,,True\n"


def test_cells_are_shown_with_their_deviation_where_there_is_one():
    assert shown(0.5, 0.25, ".2f") == "0.50 ± 0.25"
    assert shown(0.5) == "0.5000"
    assert shown(math.nan, 0.1) == "-"
    assert markdown_table(["a|b"], [["c"]]) == "| a\\|b |\n|---|\n| c |"


def test_a_picture_is_a_png_of_the_size_asked_for():
    pytest.importorskip("matplotlib")
    image = png(figure(2, 1))
    assert image.startswith(b"\x89PNG")
    assert [int.from_bytes(image[k : k + 4], "big") for k in (16, 20)] == [240, 120]
