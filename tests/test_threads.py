from __future__ import annotations

import math
import os

import pytest

from engine.errors import ConfigError
from engine.threads import available_cpus, cgroup_quota, resolve_threads


@pytest.fixture
def groups(tmp_path):
    """A /proc/self/cgroup and a /sys/fs/cgroup made of files."""

    def make(membership, files):
        (tmp_path / "cgroup").write_text(membership)
        for name, text in files.items():
            (tmp_path / "mount" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "mount" / name).write_text(text)
        return cgroup_quota(tmp_path / "cgroup", tmp_path / "mount")

    return make


def test_version_2_takes_the_tightest_group_above(groups):
    files = {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "150000 100000\n", "cpu.max": "800000 100000\n"}
    assert groups("0::/a/b\n", files) == 1.5


def test_version_2_inside_a_container_sees_its_own_group_as_the_root(groups):
    assert groups("0::/docker/0123\n", {"cpu.max": "200000 100000\n"}) == 2


def test_version_1_reads_quota_and_period(groups):
    files = {
        "cpu/a/cpu.cfs_quota_us": "50000\n",
        "cpu/a/cpu.cfs_period_us": "100000\n",
        "memory/a/cpu.max": "1 100000\n",
    }
    assert groups("5:memory:/a\n4:cpu,cpuacct:/a\n", files) == 0.5


@pytest.mark.parametrize(
    "files", [{}, {"cpu.max": "max 100000\n"}, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}]
)
def test_no_limit_is_infinite(groups, files):
    assert groups("4:cpu:/\n0::/\n", files) == math.inf


def test_no_control_groups_is_infinite(tmp_path):
    assert cgroup_quota(tmp_path / "absent", tmp_path) == math.inf


def test_quota_is_rounded_up_and_never_above_the_affinity(monkeypatch):
    allowed = available_cpus() if not hasattr(os, "sched_getaffinity") else len(os.sched_getaffinity(0))
    for quota, expected in ((0.1, 1), (1.5, min(2, allowed)), (10_000, allowed), (math.inf, allowed)):
        monkeypatch.setattr("engine.threads.cgroup_quota", lambda *_, quota=quota: quota)
        assert available_cpus() == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinities")
def test_affinity_is_respected():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert resolve_threads(None) == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize("threads", [0, -1, 1.0, "2", True])
def test_threads_must_be_a_positive_number(threads):
    with pytest.raises(ConfigError, match="positive number of threads"):
        resolve_threads(threads)


def test_given_threads_are_kept():
    assert resolve_threads(3) == 3
