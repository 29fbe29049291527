"""What inputs name: every recording once, in an order that stays, and nothing lost on the way."""

from __future__ import annotations

import csv
import os
import stat
import tarfile
import time
import tracemalloc
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.archive import trees
from engine.archive.items import Item, Opener
from engine.archive.place import Folder
from engine.archive.plan import Plan, make_shards, write_plan
from engine.archive.scan import scan
from engine.archive.settings import ArchiveSettings
from engine.errors import AudioError, ConfigError
from engine.scan import AUDIO_SUFFIXES, find_audio
from tests.archive.containers_written import tarred, zipped

ODD_NAMES = [
    "new\nline.wav",
    "quote'\".wav",
    "🦜 é.wav",
    "comma,semi;.wav",
    " .wav",
    "a::b.wav",
    "back\\slash.wav",
]
NOT_UNICODE = os.fsdecode(b"caf\xe9\xff.wav")


IN_LIBRARY = ["b.wav", "a.FLAC", "notes.txt", "deep/er/c.mp3", "deep/d.ogg", ".h.wav", ".trash/e.wav"]


@pytest.fixture
def library(tmp_path):
    folder = tmp_path / "library"
    for name in [*IN_LIBRARY, "deep/._d.ogg"]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


WANTED = ["a.FLAC", "b.wav", "deep/d.ogg", "deep/er/c.mp3"]


def uris(*inputs, **options):
    return [item.uri for item in scan(inputs, **options)]


def below(folder, found):
    return [name.removeprefix(f"{folder}/") for name in found]


def refusal(*inputs, error=AudioError, **options):
    with pytest.raises(error) as caught:
        uris(*inputs, **options)
    message = str(caught.value)
    assert message.startswith("expected ")
    assert "\n" not in message
    return message


def opening(uri):
    with Opener() as opener:
        try:
            with opener.open(Item(uri)) as (source, _):
                return Path(source).read_bytes() if isinstance(source, str) else source.read()
        except AudioError as error:
            return error


# Folders and files


def test_a_folder(library):
    items = list(scan([library]))
    assert [item.uri for item in items] == [str(library / name) for name in WANTED]
    for item in items:
        status = Path(item.uri).stat()
        assert (item.size, item.modified) == (status.st_size, status.st_mtime)


def test_a_folder_gives_what_tagging_it_gives(library):
    for k in range(30):
        (library / f"deep{k * 7 % 30}.wav").touch()
        (library / f"deep{k}").mkdir()
        (library / f"deep{k}" / "x.wav").touch()
    assert uris(library) == [str(path) for path in find_audio([library])]


def test_the_order_does_not_depend_on_the_file_system(library, monkeypatch):
    before = uris(library)
    real = os.scandir

    class Reversed:
        def __init__(self, folder):
            with real(folder) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "scandir", Reversed)
    assert uris(library) == before


def test_a_named_file_is_taken_whatever_its_name(library):
    assert uris(library / "notes.txt", library / ".h.wav") == [str(library / "notes.txt"), str(library / ".h.wav")]


def test_paths_become_absolute(library, monkeypatch):
    monkeypatch.chdir(library)
    assert uris("deep", "b.wav", "../library/a.FLAC", "*.txt") == [
        *(str(library / name) for name in ("deep/d.ogg", "deep/er/c.mp3", "b.wav")),
        f"{library}/../library/a.FLAC",
        str(library / "notes.txt"),
    ]


def test_every_suffix_counts_in_either_case(tmp_path):
    for suffix in AUDIO_SUFFIXES:
        (tmp_path / f"x{suffix}").touch()
        (tmp_path / f"y{suffix.upper()}").touch()
    assert len(uris(tmp_path)) == 2 * len(AUDIO_SUFFIXES)


def test_patterns(library):
    assert below(library, uris(f"{library}/*.*")) == ["a.FLAC", "b.wav", "notes.txt"]
    assert below(library, uris(f"{library}/**/*.ogg")) == ["deep/d.ogg"]
    assert below(library, uris(f"{library}/de?p")) == ["deep/d.ogg", "deep/er/c.mp3"]
    (library / "take[1].wav").touch()
    assert below(library, uris(f"{library}/take[1].wav")) == ["take[1].wav"]


def test_a_pattern_in_a_folder_that_looks_like_one(tmp_path, monkeypatch):
    folder = tmp_path / "[2023]"
    folder.mkdir()
    (folder / "a.wav").touch()
    monkeypatch.chdir(folder)
    assert uris("*.wav") == [str(folder / "a.wav")]


def test_inputs_that_give_nothing(library):
    (library / "empty").mkdir()
    assert "got none; name another folder" in refusal(library / "b.wav", library / "empty")
    assert "got none; check the pattern" in refusal(f"{library}/*.aiff")
    assert "does not exist" in refusal(library / "missing.wav")
    assert "does not exist" in refusal(library / "b.wav" / "below.wav")
    assert "null" in refusal("a\0b")
    assert "write ['a.wav']" in refusal_of("a.wav")
    assert "write ['a']" in refusal_of(Path("a"))


def refusal_of(inputs):
    with pytest.raises(ConfigError) as caught:
        list(scan(inputs))
    return str(caught.value)


def test_nothing_is_found_before_it_is_asked_for(library):
    found = scan([library, "/missing"])
    assert next(found).uri == str(library / "a.FLAC")
    with pytest.raises(AudioError):
        list(found)


# The same file twice


def test_a_file_named_twice_is_one_item(library, monkeypatch):
    monkeypatch.chdir(library)
    for inputs in (["b.wav", "./b.wav", "deep/../b.wav", library / "b.wav"], ["b.wav", "b.wav"]):
        assert len(uris(*inputs)) == 1
    assert uris("deep/er", library, "deep") == [
        str(library / name) for name in ("deep/er/c.mp3", "a.FLAC", "b.wav", "deep/d.ogg")
    ]


def test_copies_are_items_of_their_own(library):
    (library / "copy.wav").write_bytes((library / "b.wav").read_bytes())
    assert len(uris(library)) == 5


@pytest.fixture
def link(tmp_path):
    try:
        (tmp_path / "probe").symlink_to(tmp_path)
    except OSError:
        pytest.skip("no links here")
    (tmp_path / "probe").unlink()
    return lambda path, target: path.symlink_to(target)


def test_links_to_files(library, link):
    link(library / "z.wav", library / "b.wav")
    assert below(library, uris(library)) == WANTED
    link(library / "broken.wav", library / "nothing.wav")
    assert below(library, uris(library)) == ["a.FLAC", "b.wav", "broken.wav", *WANTED[2:]]
    assert isinstance(opening(str(library / "broken.wav")), AudioError)
    link(library / "self.wav", library / "self.wav")
    assert str(library / "self.wav") in uris(library)


def test_links_to_folders_are_followed_once(library, link, tmp_path):
    outside = tmp_path / "other disk"
    outside.mkdir()
    (outside / "far.wav").touch()
    link(library / "disk", outside)
    link(library / "loop", library)
    link(library / "deep" / "up", library)
    link(outside / "back", library / "deep")
    assert below(library, uris(library)) == ["a.FLAC", "b.wav", "deep/d.ogg", "deep/er/c.mp3", "disk/far.wav"]


def test_many_links_do_not_multiply_the_work(tmp_path, link):
    for k in range(30):
        (tmp_path / f"{k:02}").mkdir()
        (tmp_path / f"{k:02}" / "x.wav").touch()
    for k in range(29):
        link(tmp_path / f"{k:02}" / "l", tmp_path / f"{k + 1:02}")
        link(tmp_path / f"{k:02}" / "r", tmp_path / f"{k + 1:02}")
    assert len(uris(tmp_path)) == 30


# What cannot be listed


def test_a_folder_inside_that_cannot_be_listed_is_an_item_that_says_so(library, monkeypatch):
    real = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("deep/er"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    (library / "z.wav").touch()
    assert below(library, uris(library)) == ["a.FLAC", "b.wav", "deep/d.ogg", "deep/er", "z.wav"]
    assert "Permission denied" in refusal(library / "deep" / "er")
    assert below(library, uris(library, exclude=["er"])) == ["a.FLAC", "b.wav", "deep/d.ogg", "z.wav"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is forbidden here")
def test_a_folder_without_permission(library):
    (library / "deep").chmod(0)
    try:
        assert below(library, uris(library)) == ["a.FLAC", "b.wav", "deep"]
        assert "Permission denied" in str(opening(str(library / "deep")))
    finally:
        (library / "deep").chmod(stat.S_IRWXU)


def test_a_folder_that_vanishes_meanwhile(library):
    found = scan([library])
    assert next(found).uri == str(library / "a.FLAC")
    for name in ("deep/er/c.mp3", "deep/d.ogg", "deep/._d.ogg"):
        (library / name).unlink()
    (library / "deep" / "er").rmdir()
    (library / "deep").rmdir()
    assert below(library, [item.uri for item in found]) == ["b.wav", "deep"]


# Include and exclude


def test_include_and_exclude(library):
    assert below(library, uris(library, include=["*.WAV", "deep/er/*"])) == ["b.wav", "deep/er/c.mp3"]
    assert below(library, uris(library, exclude=["deep"])) == ["a.FLAC", "b.wav"]
    assert below(library, uris(library, exclude=["deep/*.mp3", "a.*"])) == ["b.wav", "deep/d.ogg"]
    assert below(library, uris(library, include=["*.mp3", "*.wav"], exclude=["b.*"])) == ["deep/er/c.mp3"]
    assert below(library, uris(library, include=["[ab].*"])) == ["a.FLAC", "b.wav"]
    assert uris(library, include=["library/*"]) == []
    assert uris(library / "b.wav", library / "a.FLAC", exclude=["b*"]) == [str(library / "a.FLAC")]


def test_patterns_that_are_no_list(library):
    assert "write include=['*.wav']" in refusal(library, error=ConfigError, include="*.wav")


# Lists


def test_a_list_in_csv(library):
    listed = library / "deep" / "list.csv"
    rows = ["d.ogg", "er/c.mp3", str(library / "b.wav"), "missing.wav", "d.ogg", "../b.wav"]
    with listed.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("label", "path"), *(("x", row) for row in rows)])
    items = list(scan([listed]))
    assert [item.uri for item in items] == [
        *(str(library / name) for name in ("deep/d.ogg", "deep/er/c.mp3", "b.wav", "deep/missing.wav"))
    ]
    assert [item.size for item in items] == [10, 13, 5, None]
    assert uris(listed, include=["er/*"]) == [str(library / "deep/er/c.mp3")]


def test_a_list_of_places_elsewhere(library, memory):
    memory.pipe("/x/a.wav", b"a")
    zipped(library / "a.zip", {"m.wav": b"m"})
    rows = [
        "memory://x/a.wav",
        "zip://m.wav::a.zip",
        f"zip://m.wav::{library / 'a.zip'}",
        "zip://n.wav::memory://n.zip",
    ]
    (library / "list.csv").write_text("\ufeffpath\n" + "\n".join(rows))
    expected = [rows[0], rows[2], rows[3]]
    assert uris(library / "list.csv", library / "a.zip") == expected
    assert [opening(uri) for uri in expected[:2]] == [b"a", b"m"]
    (library / "list.csv").write_text("path\ns3://key:secret@bucket/a.wav\n")
    assert "without a password" in refusal(library / "list.csv", error=ConfigError)


def test_lists_in_an_object_store(memory, library):
    memory.pipe("/set/list.csv", b"path\na.wav\nsub/b.wav\n" + os.fsencode(library / "b.wav") + b"\n")
    assert uris("memory://set/list.csv") == ["memory://set/a.wav", "memory://set/sub/b.wav", str(library / "b.wav")]


@pytest.mark.parametrize("kind", [pa.string(), pa.binary(), pa.large_string()])
def test_a_list_in_parquet(library, kind):
    names = ["b.wav", "deep/d.ogg"]
    values = [name.encode() for name in names] if kind == pa.binary() else names
    pq.write_table(pa.table({"path": pa.array(values, kind), "n": [1, 2]}), library / "list.parquet")
    assert uris(library / "list.parquet") == [str(library / name) for name in names]


def test_lists_that_are_none(library):
    path = library / "list.csv"
    for content, message in [
        (b"", "expected a column 'path'"),
        (b"file;path\na.wav;b.wav\n", "expected a column 'path'"),
        (b"path\n\na.wav\n''\n\"\"\n", "got '' in row 3"),
        (b"label,path\nx\n", "got None in row 1"),
        (b"path\n" + b"x" * 200_000, "expected a CSV file"),
    ]:
        path.write_bytes(content)
        assert message in refusal(path)
    path = library / "list.parquet"
    path.write_bytes(b"PAR1 nothing more")
    assert "expected a Parquet file" in refusal(path)
    pq.write_table(pa.table({"file": ["a.wav"]}), path)
    assert "got ['file']" in refusal(path)
    pq.write_table(pa.table({"path": ["a.wav", None]}), path)
    assert "got None in row 2" in refusal(path)
    pq.write_table(pa.table({"path": [1, 2]}), path)
    assert "got 1 in row 1" in refusal(path)


# Containers


MEMBERS = {
    "z.wav": b"z",
    "day/b.wav": b"b",
    "day/a.txt": b"t",
    "day/.a.wav": b"h",
    "__MACOSX/day/._b.wav": b"m",
    "a.ogg": b"a",
}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_the_members_of_a_container(tmp_path, kind, monkeypatch):
    path = (zipped if kind == "zip" else tarred)(tmp_path / f"x.{kind}", MEMBERS)
    monkeypatch.chdir(tmp_path)

    def names(*inputs, **options):
        return [uri.removeprefix(f"{kind}://").removesuffix(f"::{path}") for uri in uris(*inputs, **options)]

    whole = ["z.wav", "day/b.wav", "a.ogg"]
    for given in (path, f"x.{kind}", f"{kind}://{path}", f"{kind}://::{path}", f"{kind}://x.{kind}", f"*.{kind}"):
        assert names(given) == whole
    assert names(f"{kind}://day::{path}") == names(f"{kind}://day/::{path}") == ["day/b.wav"]
    assert names(f"{kind}://day/a.txt::{path}") == ["day/a.txt"]
    assert names(f"{kind}://*.wav::{path}") == ["z.wav", "day/b.wav"]
    assert names(path, include=["day/*"]) == ["day/b.wav"]
    assert names(f"{kind}://day::{path}", include=["day/*"]) == []
    assert names(path, exclude=["*.ogg"]) == whole[:2]
    assert names(path, f"{kind}://day/b.wav::{path}", f"x.{kind}") == whole
    for missing in ("none.wav", "da", "*.aiff", "day/none/"):
        assert "got none; check the name" in refusal(f"{kind}://{missing}::{path}")
    assert [opening(uri) for uri in uris(path)] == [b"z", b"b", b"a"]
    assert [item.size for item in scan([path])] == [1, 1, 1]
    assert {item.modified for item in scan([path])} == {None if kind == "zip" else 1_500_000_000.0}


def test_containers_inside_folders_are_left_to_be_named(tmp_path):
    zipped(tmp_path / "x.zip", MEMBERS)
    (tmp_path / "a.wav").touch()
    assert uris(tmp_path) == [str(tmp_path / "a.wav")]


def test_containers_that_are_not_there(tmp_path):
    assert "does not exist" in refusal(tmp_path / "x.zip")
    assert "which is none" in refusal(f"zip://{tmp_path}/x.zip")
    assert "which is none" in refusal(f"tar://{tmp_path}")
    (tmp_path / "a::b.zip").touch()
    assert "without '::' in its name" in refusal(tmp_path / "a::b.zip", error=ConfigError)


def test_a_damaged_container_does_not_hide_the_others(tmp_path):
    good = tarred(tmp_path / "good.tar", {"a.wav": b"a"})
    cut = tarred(tmp_path / "cut.tar", {f"{k}.wav": bytes(5000) for k in range(5)})
    cut.write_bytes(cut.read_bytes()[:14_000])
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK")
    found = uris(cut, broken, good)
    assert found == [
        *(f"tar://{k}.wav::{cut}" for k in range(3)),
        f"tar://::{cut}",
        f"zip://::{broken}",
        f"tar://a.wav::{good}",
    ]
    results = [opening(uri) for uri in found]
    assert [isinstance(result, AudioError) for result in results] == [False, False, True, True, True, False]
    assert "not a zip file" in str(results[4])


def test_links_in_containers(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as file:
        for name, kind in [("a.wav", tarfile.REGTYPE), ("hard.wav", tarfile.LNKTYPE), ("soft.wav", tarfile.SYMTYPE)]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "a.wav"
            file.addfile(info)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr("a.wav", b"a")
        info = zipfile.ZipInfo("soft.wav")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(info, "a.wav")
        file.mkdir("folder.wav")
    assert uris(tmp_path / "x.tar") == [f"tar://a.wav::{tmp_path}/x.tar"]
    assert uris(tmp_path / "x.zip") == [f"zip://a.wav::{tmp_path}/x.zip"]


# Object stores


@pytest.fixture
def bucket(memory):
    for name in IN_LIBRARY:
        memory.pipe(f"/bucket/{name}", name.encode())
    return "memory://bucket"


def test_an_object_store(bucket):
    items = list(scan([bucket]))
    assert [item.uri for item in items] == [f"{bucket}/{name}" for name in WANTED]
    assert [item.size for item in items] == [len(name) for name in WANTED]
    assert all(abs(item.modified - time.time()) < 100 for item in items)
    assert [opening(item.uri) for item in items] == [name.encode() for name in WANTED]
    assert uris(f"{bucket}/", bucket, f"{bucket}/b.wav") == [item.uri for item in items]


def test_patterns_and_errors_of_an_object_store(bucket):
    assert uris(f"{bucket}/*.wav", f"{bucket}/de*") == [f"{bucket}/{name}" for name in (".h.wav", "b.wav", *WANTED[2:])]
    assert below(bucket, uris(bucket, exclude=["deep"])) == WANTED[:2]
    assert "does not exist" in refusal(f"{bucket}/missing")
    assert "got none; check the pattern" in refusal(f"{bucket}/*.aiff")


def test_a_local_folder_as_a_store(library):
    assert uris(f"file://{library}") == [f"file://{library}/{name}" for name in WANTED]


def test_containers_in_an_object_store(memory, tmp_path):
    memory.pipe("/bucket/x.zip", zipped(tmp_path / "x.zip", MEMBERS).read_bytes())
    memory.pipe("/bucket/x.tar.gz", tarred(tmp_path / "x.tar.gz", MEMBERS, "w:gz").read_bytes())
    for kind, name in (("zip", "x.zip"), ("tar", "x.tar.gz")):
        for given in (f"memory://bucket/{name}", f"{kind}://memory://bucket/{name}"):
            found = uris(given)
            assert found == [f"{kind}://{member}::memory://bucket/{name}" for member in ("z.wav", "day/b.wav", "a.ogg")]
            assert [opening(uri) for uri in found] == [b"z", b"b", b"a"]


def test_a_prefix_that_may_not_be_listed(bucket, memory, monkeypatch):
    real = memory.ls

    def ls(path, **options):
        if "deep" in path:
            raise PermissionError("AccessDenied")
        return real(path, **options)

    monkeypatch.setattr(trees, "filesystem", lambda url: (memory, url))
    monkeypatch.setattr(memory, "ls", ls)
    assert uris(bucket) == [f"{bucket}/a.FLAC", f"{bucket}/b.wav", f"{bucket}/deep"]
    assert "AccessDenied" in refusal(f"{bucket}/deep")
    assert isinstance(opening(f"{bucket}/deep"), AudioError)


def test_urls_that_are_refused():
    assert "without a password" in refusal("s3://key:secret@bucket", error=ConfigError)
    assert "expected a path, zip://, tar:// or one of" in refusal("https://example.org/a.wav", error=ConfigError)


# Names


def odd_names(folder):
    folder.mkdir()
    for name in [*ODD_NAMES, NOT_UNICODE]:
        try:
            (folder / name).write_bytes(b"x")
        except OSError:
            continue  # this file system takes only Unicode names
    return sorted(os.listdir(folder))  # noqa: PTH208


def test_odd_names_survive_from_the_scan_to_the_tables(tmp_path):
    folder = tmp_path / "odd"
    names = odd_names(folder)
    assert len(names) >= len(ODD_NAMES)
    items = list(scan([folder]))
    assert [item.uri for item in items] == [f"{folder}/{name}" for name in names]
    settings = ArchiveSettings(
        model="m", model_sha256="0", card_sha256="0", labels=("a",), embedding_size=None, sample_rate=8000, window=1,
        hop=1, channel=None, time_pattern=None,
    )  # fmt: skip
    write_plan(Folder(tmp_path), settings, "m", make_shards(items))
    plan = Plan(tmp_path / "manifest.jsonl")
    assert [item for shard in plan for item in shard.items] == items
    assert all(opening(item.uri) == b"x" for item in plan[0].items)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_odd_names_in_containers(tmp_path, kind):
    names = [*ODD_NAMES, NOT_UNICODE] if kind == "tar" else ODD_NAMES
    path = (zipped if kind == "zip" else tarred)(
        tmp_path / f"🦜\n.{kind}", {name: name.encode("utf-8", "replace") for name in names}
    )
    found = uris(path)
    assert found == [f"{kind}://{name}::{path}" for name in names]
    assert [opening(uri) for uri in found] == [name.encode("utf-8", "replace") for name in names]


def test_odd_names_in_lists(tmp_path):
    folder = tmp_path / "odd"
    names = odd_names(folder)
    with (folder / "list.csv").open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        csv.writer(file).writerows([["path"], *([name] for name in names)])
    pq.write_table(pa.table({"path": [os.fsencode(name) for name in names]}), folder / "list.parquet")
    for listed in ("list.csv", "list.parquet"):
        items = list(scan([folder / listed]))
        assert [item.uri for item in items] == [f"{folder}/{name}" for name in names]
        assert {item.size for item in items} == {1}


# Size


def test_scanning_takes_little_memory(tmp_path):
    for k in range(20):
        (tmp_path / str(k)).mkdir()
        for name in range(250):
            (tmp_path / str(k) / f"{name}.wav").touch()
    tracemalloc.start()
    n_items = sum(1 for _ in scan([tmp_path]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert n_items == 5000
    # A digest and its place in a set for each, and one folder's names: 0.1 kB; the items would take four times that.
    assert peak < 5000 * 250


@pytest.mark.slow
def test_a_hundred_thousand_files_in_one_folder(tmp_path):
    for k in range(100_000):
        (tmp_path / f"{k:06}.wav").touch()
    tracemalloc.start()
    first = next(scan([tmp_path]))
    assert first.uri.endswith("000000.wav")
    assert tracemalloc.get_traced_memory()[1] < 100_000 * 250
    tracemalloc.stop()
    began = time.perf_counter()
    assert sum(1 for _ in scan([tmp_path])) == 100_000
    assert time.perf_counter() - began < 60
