"""How many cores this process may use: affinity, and the quotas of control groups.

A container with a quota of two cores on a machine of 64 sees 64; threads beyond its quota take
turns, and each turn makes all others wait.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from math import ceil
from pathlib import Path


def n_cores() -> int:
    """Number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    return max(1, ceil(min(allowed, quota())))


@cache
def quota(root: Path = Path("/")) -> float:
    """Cores' worth of time that control groups (Linux, versions 1 and 2) leave; infinite without.

    The least quota of the process's group and all groups above it, looked up once.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` lie.
    """
    found = float("inf")
    with suppress(OSError, ValueError):
        for kind, group in _groups(root):
            for mounted, top in _mounts(root, kind):
                for folder in _folders(mounted, top, group):
                    found = min(found, _limit(folder))
    return found


def _groups(root: Path) -> Iterator[tuple[str, str]]:
    """Kinds and names of the groups that this process is in, and that may limit its time."""
    for line in (root / "proc/self/cgroup").read_text().splitlines():
        _, controllers, group = line.split(":", 2)
        if not controllers:
            yield "cgroup2", group
        elif "cpu" in controllers.split(","):
            yield "cgroup", group


def _mounts(root: Path, kind: str) -> Iterator[tuple[Path, str]]:
    """Where groups of a kind can be looked up, and the group that lies at the top there."""
    for line in (root / "proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        system, _, options = after.split(" ", 2)
        _, _, _, top, mounted, *_ = before.split(" ")
        of_time = "cpu" in options.rpartition(" ")[2].split(",")
        if system == kind and (kind == "cgroup2" or of_time):
            yield root / mounted.lstrip("/"), top


def _folders(mounted: Path, top: str, group: str) -> Iterator[Path]:
    """A group's folder and those above it, as far as they can be seen."""
    inside = group.removeprefix(top.rstrip("/")).strip("/")
    folder = mounted / inside
    if not folder.is_dir():  # a name outside of this container
        folder = mounted
    yield folder
    while folder != mounted:
        folder = folder.parent
        yield folder


def _limit(folder: Path) -> float:
    """Cores' worth of time that a group may use."""
    with suppress(OSError):  # version 2
        most, period = (folder / "cpu.max").read_text().split()
        return float("inf") if most == "max" else int(most) / int(period)
    with suppress(OSError):
        most = (folder / "cpu.cfs_quota_us").read_text()
        period = (folder / "cpu.cfs_period_us").read_text()
        return int(most) / int(period) if int(most) > 0 else float("inf")
    return float("inf")
