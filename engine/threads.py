"""How many threads this process should use: the CPUs it may run on, not those the machine has."""

from __future__ import annotations

import math
import os
from pathlib import Path

from engine.errors import ConfigError


def resolve_threads(threads: int | None) -> int:
    """Return ``threads``, or ``available_cpus()`` for None; ConfigError unless it is a positive whole number."""
    if threads is None:
        return available_cpus()
    if type(threads) is not int or threads < 1:
        raise ConfigError(f"expected a positive number of threads or None, got {threads!r}; None takes all CPUs")
    return threads


def available_cpus() -> int:
    """Return the number of CPUs this process may use: its affinity, and the quota of its control group rounded up."""
    # Not every system has affinities.
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    quota = cgroup_quota(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    return allowed if math.isinf(quota) else max(1, min(allowed, math.ceil(quota)))


def cgroup_quota(membership: Path, mount: Path) -> float:
    """Return the CPUs that the tightest control group above this process grants; infinity where none limits it.

    Parameters
    ----------
    membership : Path
        Lists the process's control groups, one ``id:controllers:path`` a line: /proc/self/cgroup.
    mount : Path
        Where the control groups are mounted: /sys/fs/cgroup.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        # Not Linux, or no control groups: nothing limits the process.
        return math.inf
    quota = math.inf
    for line in lines:
        _, controllers, path = line.split(":", 2)
        # Version 2 has one tree and names no controllers; version 1 has one tree per controller.
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = mount / "cpu" if controllers else mount
        # Inside a container the path may be the host's: then only the root of the mount exists, and is ours.
        group = root / path.strip("/")
        for folder in (group, *group.parents):
            quota = min(quota, _quota_of(folder))
            if folder == root:
                break
    return quota


def _quota_of(group: Path) -> float:
    try:
        if (group / "cpu.max").is_file():
            granted, period = (group / "cpu.max").read_text().split()
        else:
            granted = (group / "cpu.cfs_quota_us").read_text().strip()
            period = (group / "cpu.cfs_period_us").read_text().strip()
    except OSError:
        return math.inf
    return math.inf if granted in ("max", "-1") else int(granted) / int(period)
