"""The plan: how recordings are divided, and the manifest as what was written, or a sentence."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.archive.items import Item
from engine.archive.place import Folder
from engine.archive.plan import TYPICAL_BYTES, Plan, make_shards, write_plan
from engine.errors import ArchiveError, ConfigError

NAMES = ("a.wav", 'b "quoted"\n.wav', "c🦜.wav", "d\udcff.wav")


@given(
    sizes=st.lists(st.none() | st.integers(0, 3 * TYPICAL_BYTES), max_size=30),
    max_bytes=st.integers(1, 5 * TYPICAL_BYTES),
    max_items=st.integers(1, 5),
)
def test_shards_hold_every_item_once_in_order_and_are_as_full_as_they_may_be(sizes, max_bytes, max_items):
    items = [Item(f"{i}.wav", size) for i, size in enumerate(sizes)]
    shards = list(make_shards(items, first_index=3, first_file=40, max_bytes=max_bytes, max_items=max_items))
    assert [item for shard in shards for item in shard.items] == items
    assert [shard.index for shard in shards] == list(range(3, 3 + len(shards)))
    weights = [[TYPICAL_BYTES if item.size is None else item.size for item in shard.items] for shard in shards]
    first = 40
    for i, shard in enumerate(shards):
        assert shard.first == first
        first += len(shard.items)
        assert 1 <= len(shard.items) <= max_items
        assert len(shard.items) == 1 or sum(weights[i]) <= max_bytes
        if i + 1 < len(shards):
            assert len(shard.items) == max_items or sum(weights[i]) + weights[i + 1][0] > max_bytes


def written(path, settings, n_shards=3):
    items = [Item(f"{i} {name}", size=i, modified=1.5e9 + i / 7) for i in range(n_shards) for name in NAMES]
    shards = tuple(make_shards(items, max_items=len(NAMES)))
    return write_plan(Folder(path.parent), settings, "tiny", shards), shards


def test_a_manifest_gives_back_what_was_written(tmp_path, settings):
    plan, shards = written(tmp_path / "manifest.jsonl", settings)
    assert tuple(plan) == shards
    assert [plan[index] for index in (2, 0, 1)] == [shards[index] for index in (2, 0, 1)]
    assert (plan.settings, plan.model, plan.n_items, plan.sizes) == (settings, "tiny", 12, (4, 4, 4))


def test_the_fingerprint_changes_with_every_part_of_a_shard(settings):
    (shard,) = make_shards([Item("a.wav", 1, 2.0), Item("b.wav", 3, 4.0)])
    others = [
        *make_shards([Item("a.wav", 1, 2.0)]),
        *make_shards([Item("b.wav", 3, 4.0), Item("a.wav", 1, 2.0)]),
        *make_shards([Item("a.wav", 1, 2.0), Item("b.wav", 4, 4.0)]),
        *make_shards([Item("a.wav", 1, 2.0), Item("b.wav", 3, 4.5)]),
        *make_shards(shard.items, first_index=1),
        *make_shards(shard.items, first_file=1),
    ]
    assert len({each.fingerprint(settings) for each in [shard, *others]}) == 1 + len(others)


def test_no_manifest(tmp_path):
    with pytest.raises(ConfigError, match=r"expected an archive, found no manifest at .*run engine archive run first"):
        Plan(tmp_path / "manifest.jsonl")


def test_a_manifest_of_another_version(tmp_path, settings):
    path = tmp_path / "manifest.jsonl"
    written(path, settings)
    path.write_bytes(path.read_bytes().replace(b'"version": 2', b'"version": 1', 1))
    with pytest.raises(ConfigError, match=r"manifest of version 2, got version 1"):
        Plan(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [],
        lambda lines: lines[1:],
        lambda lines: [lines[0], lines[2]],
        lambda lines: [*lines[:2], lines[2][:20]],
        lambda lines: [lines[0], b"[]\n"],
        lambda lines: [b"7\n", *lines[1:]],
        lambda lines: [lines[0], b"\xff\n"],
        lambda lines: [lines[0], json.dumps({"shard": 0, "first": 0, "items": [[1, 2, 3, 4]]}).encode() + b"\n"],
    ],
    ids=["empty", "header", "shard lost", "cut", "no object", "no header", "no text", "no item"],
)
def test_a_damaged_manifest_is_refused(tmp_path, settings, damage):
    path = tmp_path / "manifest.jsonl"
    written(path, settings)
    path.write_bytes(b"".join(damage(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(ConfigError, match=r"expected the manifest of an archive at .*, it is damaged: .*start anew"):
        Plan(path)


def test_a_plan_that_ends_in_an_error_leaves_nothing(tmp_path, settings):
    def shards():
        yield from make_shards([Item("a.wav")])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_plan(Folder(tmp_path), settings, "tiny", shards())
    assert list(tmp_path.iterdir()) == []


def test_a_plan_that_cannot_be_written(tmp_path, settings):
    with pytest.raises(ArchiveError, match=r"expected to write .*absent, got No such file.*; make room or"):
        write_plan(Folder(tmp_path / "absent"), settings, "tiny", [])
