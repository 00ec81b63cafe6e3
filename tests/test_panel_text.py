"""What the panel writes and says: commands, advice, numbers."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from pymol_support import call, open_pymol

from moedsr_pymol import MENU
from moedsr_pymol.errors import BackendError, UserError
from moedsr_pymol.panel.advice import advise, sentence
from moedsr_pymol.panel.emit import command, path_text, selection_text, word_text
from moedsr_pymol.panel.order import PredictOrder
from moedsr_pymol.panel.scale import tick_text, ticks
from moedsr_pymol.settings import jobs_dir
from moedsr_pymol.wording import age, duration, shortened, size

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def arguments():
    """What PyMOL's own parser makes of a line's arguments."""
    with open_pymol("") as cmd:
        got: list[tuple] = []

        def probe(a="", b="", c="", quiet=1, *, _self=None):
            got.append((a, b, c))

        cmd.extend("probe", probe)

        def read(line: str) -> tuple:
            cmd.do(line, echo=0)
            return got.pop()

        yield read


@pytest.mark.parametrize(
    "text",
    ["prot", "prot and resi 1+2", "(resi 1,2) or b > 3", "b=3", "/prot//A/10/CA", "(a) or (b)"],
)
def test_pymol_reads_a_selection_as_one_argument(arguments, text):
    first, second, _ = arguments(command("probe", selection_text(text), b="x"))
    assert first.strip("()").replace(" ", "") == text.strip("()").replace(" ", "")
    assert second == "x"


@pytest.mark.parametrize("text", ["", "a; quit", "(a", "a)"])
def test_what_is_no_selection_is_refused(text):
    with pytest.raises(UserError):
        selection_text(text)


@pytest.mark.parametrize("name", ["/tmp/plain.csv", "/tmp/a b.csv", "/tmp/a, b(1);c=d.csv"])
def test_pymol_reads_a_file_as_one_argument(arguments, name):
    from moedsr_pymol.arguments import unquoted

    assert unquoted(arguments(command("probe", "x", c=path_text(name)))[2]) == name


def test_a_name_that_no_quotes_can_hold_is_refused():
    with pytest.raises(UserError, match="another name"):
        path_text("/tmp/\"it's, so.csv")


@pytest.mark.parametrize("text", ["a; delete all", "a, b", "a=b", "a(b", "a[b", '"a'])
def test_a_field_gives_no_second_argument_or_command(text):
    for field in ("name", "duration"):
        with pytest.raises(UserError, match=f"the {field} must be words without"):
            PredictOrder("prot", **{field: text}).line()
    assert word_text("the address", " https://[::1]:80 ") == "https://[::1]:80"


def test_an_order_leaves_out_what_is_usual():
    assert PredictOrder("prot").line() == "moedsr_predict prot, frames=100"
    order = PredictOrder(
        "prot and chain A", frames=5, state=2, model="m", spacing=0.5, mesh="marching_cubes",
        seed=3, duration="1 ns", level=1.4, backend="lab", name="s", color="chain",
    )  # fmt: skip
    assert order.line() == (
        "moedsr_predict (prot and chain A), frames=5, name=s, model=m, state=2, spacing=0.5, "
        "mesh=marching_cubes, color=chain, seed=3, duration=1 ns, level=1.4, backend=lab"
    )


def test_without_a_window_the_panel_refuses_with_one_sentence():
    from pymol import CmdException

    with open_pymol("") as cmd, pytest.raises(CmdException, match="needs PyMOL's window"):
        call(cmd, "moedsr_panel")


def test_the_menu_opens_the_panel_first():
    assert MENU[0] == ("Panel", "moedsr_panel")


ADVICE = {
    "no Python that holds moedsr was found; type 'moedsr_install'": "install",
    "https://a:1 does not accept this token, which is wrong, has expired or was": "settings",
    "https://a:1 wants a token and has got none; ask its keeper for one": "settings",
    "nobody listens at https://a:1 (connection refused); check the port": "jobs",
    "https://a:1 has stopped answering; check": "jobs",
    "what answers at https://a:1 is not a moedsr server (HTTP 200, text/html)": "settings",
    "the certificate of https://a:1 has expired; ask the server's keeper": "settings",
    "https://a:1 speaks protocol 3, this plugin 2; update this plugin": "settings",
    "the disk of https://a:1 is full (no space); delete old jobs": "jobs",
    "'prot' holds 60,000 polymer atoms, at most 50,000 are predicted": "predict",
    "'x' holds no protein or nucleic acid in state 1; select a polymer": "predict",
    "'organic' holds no atoms; select part of a molecule": "",
    "'x' is neither an object nor a selection; type 'get_names'": "predict",
    "the backend ended in mid-job (killed) and the job with it; run": "predict",
}


@pytest.mark.parametrize(("said", "tab"), ADVICE.items())
def test_known_failures_have_advice_and_a_place_to_follow_it(said, tab):
    advice = advise(BackendError(said))
    assert (advice.tab, advice.known) == (tab, True)
    assert advice.title != "That did not work"
    assert advice.text.endswith((".", "'."))


def test_advice_names_the_python_that_is_none():
    said = "'/bin/ls' does not hold moedsr_core; type 'moedsr_install'"
    advice = advise(BackendError(said))
    assert advice.title == "That Python does not hold the part that computes"
    assert advice.text.startswith("'/bin/ls' is no Python, or lacks")
    assert advice.tab == "settings"


def test_other_sentences_are_said_as_they_are_and_surprises_with_details():
    assert advise(UserError("frames must be whole")).text == "Frames must be whole."
    assert not advise(ZeroDivisionError("division by zero")).known


def test_every_sentence_of_the_clients_failures_has_advice():
    """The failures of the network are written in one folder, so none is forgotten."""
    folder = ROOT / "moedsr_core/backend/client"
    sentences = [said for name in ("explain.py", "fit.py") for said in written(folder / name)]
    assert len(sentences) > 15
    unknown = [s for s in sentences if advise(BackendError(s)).title == "That did not work"]
    assert unknown == []


def written(module: Path) -> list[str]:
    """Sentences with a cure that a module writes about an address."""
    found = []
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "x" for part in node.values]
            text = "".join(parts)
            if "; " in text:
                found.append(text)
    return found


def test_numbers_along_an_axis_are_round_and_few():
    assert ticks(0.0, 1.0, 5) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert ticks(14_700.0, 15_510.0, 6) == [14800.0, 15000.0, 15200.0, 15400.0]
    assert ticks(-0.03, 0.02, 4) == pytest.approx([-0.02, 0.0, 0.02])
    assert len(ticks(3.0, 3.0, 4)) == 1
    assert ticks(0.9, 3.1, 6, least=1.0) == [1.0, 2.0, 3.0]
    assert tick_text(1234.5, 0.5) == "1\N{THIN SPACE}234.5"
    assert tick_text(20.0, 10.0) == "20"


def test_times_and_sizes_in_words():
    assert [age(s) for s in (5, 90, 7200, 2e5)] == ["5 s", "2 min", "2 h", "2 d"]
    assert [duration(s) for s in (5, 150, 7200)] == ["5 s", "2 min", "2.0 h"]
    assert [size(b) for b in (12, 1.2e6, 12e6, 3e9)] == ["12 B", "1.2 MB", "12 MB", "3.0 GB"]
    assert [shortened("abcdef", n) for n in (6, 4)] == ["abcdef", "abc…"]
    assert sentence("no way") == "No way."


def test_results_lie_where_the_core_keeps_them(monkeypatch):
    import platformdirs

    monkeypatch.delenv("MOEDSR_JOBS_DIR", raising=False)
    assert jobs_dir() == Path(platformdirs.user_data_dir("moedsr", appauthor=False)) / "jobs"
    monkeypatch.setenv("MOEDSR_JOBS_DIR", "/elsewhere")
    assert jobs_dir() == Path("/elsewhere")
