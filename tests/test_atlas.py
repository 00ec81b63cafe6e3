"""Downloads from ATLAS arrive whole and right, or not at all, however badly a server behaves."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import stat
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from flaky_server import Handler, Site, busy, cut, other, serving

from moedsr_core.data.atlas import RECORD, AtlasConfig, download, read_names, release
from moedsr_core.data.claim import claim
from moedsr_core.data.safe_zip import DamagedZipError, unpack
from moedsr_core.data.web_file import WebConfig, WebFile
from moedsr_core.errors import CancelledError, InputError

NAME = "1abc_A"
PLACE = f"/database/ATLAS/{NAME}/{NAME}_analysis.zip"
CHUNK = 1 << 16
"""Bytes that are read at once; less than that is not kept when a connection breaks."""
NOISE = np.random.default_rng(0).bytes(300_000)
QUICK = WebConfig(retries=3, first_wait=0.01, longest_wait=1.5, pause=0.0, timeout=5.0)


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


MEMBERS = {
    f"{NAME}.pdb": b"ATOM\n",
    f"{NAME}_R1.xtc": NOISE,
    f"{NAME}_R2.xtc": NOISE[::-1],
    f"{NAME}_R1.tpr": b"not wanted",
    "README.txt": b"not wanted",
}
ZIP = packed(MEMBERS)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site(files={PLACE: ZIP}, headers={"ETag": '"v1"'})) as running:
        yield running


def config(site: Site, **web: float) -> AtlasConfig:
    return AtlasConfig(base=site.base, web=WebConfig(**{**QUICK.__dict__, **web}))


def assert_arrived(folder: Path) -> None:
    home = folder / NAME
    assert {path.name for path in folder.iterdir()} == {NAME}
    assert {path.name for path in home.iterdir()} == {
        f"{NAME}.pdb", f"{NAME}_R1.xtc", f"{NAME}_R2.xtc", RECORD,
    }  # fmt: skip
    assert (home / f"{NAME}_R1.xtc").read_bytes() == NOISE
    assert json.loads((home / RECORD).read_text(encoding="utf-8"))["bytes"] == len(ZIP)


def ranges(site: Site) -> list[str | None]:
    return [asked for _, asked in site.asked]


# ---- a server in trouble ------------------------------------------------------------------


def test_a_good_server_is_asked_once_and_what_is_there_not_again(site, tmp_path):
    seen: list[tuple[int, int | None]] = []
    for _ in range(2):
        download(NAME, tmp_path, config(site), lambda _, here, whole: seen.append((here, whole)))
    assert_arrived(tmp_path)
    assert len(site.asked) == 1
    assert seen[-1] == (len(ZIP), len(ZIP))
    assert [here for here, _ in seen] == sorted(here for here, _ in seen)


def test_a_broken_connection_is_taken_up_where_it_broke(site, tmp_path):
    site.troubles = [cut(2 * CHUNK), cut(3 * CHUNK)]
    download(NAME, tmp_path, config(site))
    assert_arrived(tmp_path)
    assert ranges(site) == [None, f"bytes={2 * CHUNK}-", f"bytes={5 * CHUNK}-"]


def test_a_download_that_ended_is_taken_up_by_the_next_run(site, tmp_path):
    site.troubles = [cut(CHUNK)] + 4 * [busy(503)]
    with pytest.raises(InputError, match="503; what has arrived is kept"):
        download(NAME, tmp_path, config(site))
    assert not (tmp_path / NAME).exists()
    download(NAME, tmp_path, config(site))
    assert_arrived(tmp_path)
    assert ranges(site)[-1] == f"bytes={CHUNK}-"


def test_a_file_that_changed_in_between_is_begun_anew(site, tmp_path):
    site.files[PLACE] = packed({**MEMBERS, f"{NAME}_R1.xtc": b"old" + NOISE})
    site.troubles = [cut(CHUNK)] + 4 * [busy(503)]
    with pytest.raises(InputError):
        download(NAME, tmp_path, config(site))
    site.files[PLACE], site.headers["ETag"] = ZIP, '"v2"'
    before, site.troubles = len(site.asked), []
    download(NAME, tmp_path, config(site))
    assert_arrived(tmp_path)
    assert len(site.asked) == before + 1  # the condition (If-Range) saves asking twice


def test_a_file_is_downloaded_by_one_run_at_a_time(site, tmp_path):
    site.troubles = [cut(CHUNK)] + 3 * [busy(503)]
    with pytest.raises(InputError, match="503"):
        download(NAME, tmp_path, config(site))
    with (tmp_path / f".{NAME}_analysis.zip").open("ab") as file:
        assert claim(file)
        with pytest.raises(InputError, match="another run is downloading"):
            download(NAME, tmp_path, config(site))
    download(NAME, tmp_path, config(site))
    assert_arrived(tmp_path)


def test_what_another_run_has_added_meanwhile_is_not_written_into(site, tmp_path):
    part = tmp_path / f".{NAME}_analysis.zip"

    def grow(_: Handler, __: bytes) -> bool:
        part.write_bytes(part.read_bytes() + b"more")
        return False

    site.troubles = [cut(CHUNK), grow]
    with pytest.raises(InputError, match="another run is downloading"):
        download(NAME, tmp_path, config(site))
    assert part.stat().st_size == CHUNK + 4


def test_a_server_that_ignores_ranges_is_read_from_the_beginning(site, tmp_path):
    site.ranges, site.troubles = False, [cut(CHUNK)]
    download(NAME, tmp_path, config(site))
    assert_arrived(tmp_path)
    assert ranges(site) == [None, f"bytes={CHUNK}-"]


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_busy_server_is_asked_again_after_the_time_it_names(site, tmp_path, code):
    site.troubles = [busy(code, Retry_After="1")]
    start = time.monotonic()
    download(NAME, tmp_path, config(site))
    assert time.monotonic() - start >= 1.0
    assert_arrived(tmp_path)


def test_a_server_that_asks_for_too_long_a_wait_is_left_alone(site, tmp_path):
    site.troubles = [busy(429, Retry_After="Fri, 31 Dec 2100 23:59:59 GMT")]
    with pytest.raises(InputError, match="asks to come back in"):
        download(NAME, tmp_path, config(site))
    assert len(site.asked) == 1


def test_waits_double_and_end(site, tmp_path):
    site.troubles = 10 * [busy(503)]
    start = time.monotonic()
    with pytest.raises(InputError, match="could not be had"):
        download(NAME, tmp_path, config(site, first_wait=0.05))
    assert time.monotonic() - start >= 0.05 + 0.1 + 0.2
    assert len(site.asked) == QUICK.retries + 1


def test_a_silent_server_is_given_up_with_one_sentence(tmp_path):
    with serving(Site()) as site:
        base = site.base
    gone = AtlasConfig(base=base, web=WebConfig(retries=1, first_wait=0.01))
    with pytest.raises(InputError, match="no connection to the server"):
        download(NAME, tmp_path, gone)


def test_an_unknown_protein_is_refused_at_once(site, tmp_path):
    with pytest.raises(InputError, match="404"):
        download("9xyz_B", tmp_path, config(site))
    assert len(site.asked) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../../etc", "1abc", "1abc_A/..", "1abc_A?x=1", ""])
def test_a_name_that_is_none_is_never_asked_for(site, tmp_path, name):
    with pytest.raises(InputError, match="names are like"):
        download(name, tmp_path / "deep", config(site))
    assert site.asked == []


# ---- wrong content ------------------------------------------------------------------------


def test_a_truncated_file_of_unknown_size_is_found_out_by_the_zip_file_itself(site, tmp_path):
    site.sizes, site.troubles = False, [cut(len(ZIP) - 100)]
    download(NAME, tmp_path, config(site))
    assert_arrived(tmp_path)
    assert ranges(site) == [None, None]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"<!DOCTYPE html><title>Sorry</title>", "a web page"),
        (b'{"detail": "sorry"}', "a message"),
        (ZIP[:200_000] + bytes(10) + ZIP[200_010:], "a damaged zip file"),
        (packed({"README.txt": b"nothing else"}), f"lacks {NAME}.pdb"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence_and_nothing_is_kept(site, tmp_path, content, what):
    site.files[PLACE] = content
    with pytest.raises(InputError, match=what):
        download(NAME, tmp_path, config(site))
    assert list(tmp_path.iterdir()) == []


def digest(name: str, data: bytes) -> str:
    return base64.b64encode(hashlib.new(name, data).digest()).decode()


@pytest.mark.parametrize(
    "header",
    [
        lambda data: ("Content-MD5", digest("md5", data)),
        lambda data: ("Digest", f"SHA-256={digest('sha256', data)}"),
        lambda data: ("Repr-Digest", f"sha-512=:{digest('sha512', data)}:"),
        lambda data: ("Content-Digest", f"sha-256=:{digest('sha256', data)}:"),
    ],
)
def test_a_checksum_that_the_server_gives_must_hold(site, tmp_path, header):
    fine = dict([header(ZIP)])
    site.headers |= fine
    site.troubles = [cut(CHUNK), other(ZIP[:-1] + b"x")]
    download(NAME, tmp_path, config(site))
    assert_arrived(tmp_path)
    site.headers |= dict([header(b"something else")])
    with pytest.raises(InputError, match="damaged on the server"):
        download(NAME, tmp_path / "second", config(site))
    assert list((tmp_path / "second").iterdir()) == []


# ---- stopping, pace, disk -----------------------------------------------------------------


def test_a_stopped_download_keeps_what_has_arrived(site, tmp_path):
    stop = threading.Event()
    with pytest.raises(CancelledError):
        download(NAME, tmp_path, config(site), lambda *_: stop.set(), stop)
    kept = (tmp_path / f".{NAME}_analysis.zip").stat().st_size
    assert 0 < kept < len(ZIP)
    download(NAME, tmp_path, config(site))
    assert_arrived(tmp_path)
    assert ranges(site)[-1] == f"bytes={kept}-"


def test_the_rate_stays_below_its_limit(site, tmp_path):
    start = time.monotonic()
    download(NAME, tmp_path, config(site, megabytes_per_second=0.8))
    assert len(ZIP) / (time.monotonic() - start) < 0.8e6
    assert_arrived(tmp_path)


def test_a_full_disk_is_one_sentence(site, tmp_path):
    resource = pytest.importorskip("resource", reason="no limits on file sizes on this system")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(InputError, match="could not write"):
            download(NAME, tmp_path, config(site))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    download(NAME, tmp_path, config(site))
    assert_arrived(tmp_path)
    assert ranges(site)[-1] == "bytes=100000-"


def test_only_what_was_downloaded_is_ever_removed(site, tmp_path):
    download(NAME, tmp_path, config(site))
    own = tmp_path / "2abc_A"
    own.mkdir()
    (own / "2abc_A.pdb").write_bytes(b"mine")
    release(NAME, tmp_path)
    release("2abc_A", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["2abc_A"]


def test_both_addresses_of_the_service_are_as_published():
    assert AtlasConfig().url("16pk_A") == (
        "https://www.dsimb.inserm.fr/ATLAS/database/ATLAS/16pk_A/16pk_A_analysis.zip"
    )
    assert AtlasConfig(place="api", kind="protein").url("16pk_A") == (
        "https://www.dsimb.inserm.fr/ATLAS/api/ATLAS/protein/16pk_A"
    )


@pytest.mark.parametrize("wrong", [{"kind": "total"}, {"place": "ftp"}, {"base": "file:///etc"}])
def test_what_is_not_offered_is_refused(wrong):
    with pytest.raises(InputError):
        AtlasConfig(**wrong)


def test_marks_of_another_file_are_not_trusted(site, tmp_path):
    path = tmp_path / "x.zip"
    path.write_bytes(b"left over")
    WebFile(site.base + PLACE, path, QUICK).fetch()
    assert path.read_bytes() == ZIP
    assert ranges(site) == [None]


# ---- zip files of strangers ---------------------------------------------------------------


def with_link() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        link = zipfile.ZipInfo("a.xtc")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (packed({"../a.xtc": b"x"}), "leads out"),
        (packed({"b/../../a.xtc": b"x"}), "leads out"),
        (packed({"/etc/a.xtc": b"x"}), "leads out"),
        (packed({"C:/a.xtc": b"x"}), "leads out"),
        (packed({"..\\a.xtc": b"x"}), "leads out"),
        (with_link(), "leads out of its folder, is a link"),
        (packed({"a.xtc": bytes(100_000_000)}), "which no trajectory does"),
        (packed({"a.xtc": b"x", "b/a.xtc": b"y"}), "more than once"),
    ],
)
def test_a_hostile_zip_file_is_refused_and_nothing_unpacked(tmp_path, content, reason):
    path = tmp_path / "in" / "z.zip"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason):
        unpack(path, tmp_path / "out" / "home", lambda name: True)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["z.zip"]


def test_any_damage_to_a_zip_file_is_seen_or_harmless(tmp_path):
    content = packed({"a.xtc": NOISE[:3000], "b.pdb": b"ATOM" * 50})
    path, rng = tmp_path / "z.zip", np.random.default_rng(0)
    seen = 0
    for trial in range(150):
        data = bytearray(content)
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(data))
        home = tmp_path / str(trial)
        try:
            names = unpack(path, home, lambda name: name == "a.xtc")
        except InputError:
            seen += 1
            assert not home.exists()
        else:
            assert all((home / name).read_bytes() == NOISE[:3000] for name in names)
    assert seen > 75


def test_what_is_no_zip_file_is_told_apart(tmp_path):
    (tmp_path / "z.zip").write_bytes(b"PK no")
    with pytest.raises(DamagedZipError):
        unpack(tmp_path / "z.zip", tmp_path / "out", lambda name: True)


# ---- lists --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "text", "names"),
    [
        ("a.txt", "# mine\n1abc_A\n\n2abc_B # twice\n1abc_A\n", {"1abc_A": None, "2abc_B": None}),
        ("a.csv", "seqres,name\nGSH,1abc_A\nMK,2abc_B\n", {"1abc_A": None, "2abc_B": None}),
        ("a.csv", "\ufeffname,seqres\r\n1abc_A,GSH\r\n", {"1abc_A": None}),
        (
            "a.json",
            '{"train": [{"name": "x", "spacing_ps": 5}],'
            ' "validation": [], "test": [{"name": "y"}]}',
            {"x": 5, "y": None},
        ),
    ],
)
def test_lists_of_names_are_read_in_every_form(tmp_path, file, text, names):
    (tmp_path / file).write_text(text, encoding="utf-8")
    assert read_names(tmp_path / file) == names


def test_the_published_list_names_1390_proteins(data_dir):
    names = read_names(data_dir / "splits" / "atlas.csv")
    assert len(names) == 1390
    assert "6irx_A" in names


@pytest.mark.parametrize("content", [b"", b"# only\n", b"\xff\xfe\x00"])
def test_a_list_that_names_nothing_is_refused(tmp_path, content):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(InputError):
        read_names(tmp_path / "a.txt")
