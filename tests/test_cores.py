"""How many cores there are: affinity, quotas of control groups, and systems that tell neither."""

import os
from math import inf

import pytest

from kmq.engine import cores

V2 = "36 25 0:31 {top} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "39 30 0:34 {top} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
OTHER = (
    "40 30 0:35 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n25 1 8:1 / / rw - ext4 x y\n"
)


@pytest.fixture
def system(tmp_path):
    """Pretend a system's files."""

    def make(groups, mounts, limits):
        files = {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts, **limits}
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return make


def v1_limit(folder, most, period=100_000):
    base = f"sys/fs/cgroup/cpu,cpuacct{folder}"
    return {f"{base}/cpu.cfs_quota_us": f"{most}\n", f"{base}/cpu.cfs_period_us": f"{period}\n"}


CASES = {
    "version 2, in a container": (
        "0::/\n",
        V2.format(top="/"),
        {"sys/fs/cgroup/cpu.max": "150000 100000\n"},
        1.5,
    ),
    "version 2, the least of a group and those above it": (
        "0::/a/b\n",
        V2.format(top="/"),
        {
            "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n",
            "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
        },
        2,
    ),
    "version 2, none": (
        "0::/a\n",
        V2.format(top="/"),
        {"sys/fs/cgroup/a/cpu.max": "max 100000\n"},
        inf,
    ),
    "version 2, a name from outside": (
        "0::/docker/1234\n",
        V2.format(top="/"),
        {"sys/fs/cgroup/cpu.max": "50000 100000\n"},
        0.5,
    ),
    "version 1, in a container": (
        "4:cpu,cpuacct:/docker/1234\n3:memory:/docker/1234\n",
        V1.format(top="/docker/1234") + OTHER,
        v1_limit("", 300_000),
        3,
    ),
    "version 1, a group": (
        "4:cpu,cpuacct:/a\n",
        V1.format(top="/") + OTHER,
        v1_limit("/a", 25_000, 50_000) | v1_limit("", -1),
        0.5,
    ),
    "version 1, none": ("4:cpu,cpuacct:/\n", V1.format(top="/"), v1_limit("", -1), inf),
    "nonsense": ("?", "?", {}, inf),
}


@pytest.mark.parametrize("case", CASES)
def test_quota(case, system):
    *files, expected = CASES[case]
    assert cores.quota(system(*files)) == expected


def test_a_system_without_control_groups(tmp_path):
    assert cores.quota(tmp_path) == inf


@pytest.mark.parametrize(("quota", "expected"), [(0.2, 1), (1.0, 1), (1.2, 2), (64, 5), (inf, 5)])
def test_cores_are_the_least_of_affinity_and_quota(quota, expected, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(5)), raising=False)
    monkeypatch.setattr(cores, "quota", lambda: quota)
    assert cores.n_cores() == expected


def test_cores_where_no_affinity_is_told(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.setattr(cores, "quota", lambda: inf)
    assert cores.n_cores() == 3
