"""Where compiled kernels are kept, and under which names."""

import ast
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from numba import float64, int64

from kmq.engine import warmup
from kmq.kernels import cache, cells, dense

KERNELS = Path(cache.__file__).parent
# They say nothing about what the compiler makes of a kernel.
ASIDE = {KERNELS / "cache.py", KERNELS / "notice.py"}


def imported(path):
    """Files of kernels that a file imports, directly or not, as Python's own parser sees them."""
    found, pending = set(), [path]
    while pending:
        for node in ast.walk(ast.parse(pending.pop().read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kmq.kernels."):
                file = KERNELS / f"{node.module.split('.')[2]}.py"
                if file not in found:
                    found.add(file)
                    pending.append(file)
    return found - ASIDE


@pytest.mark.parametrize(
    "path", sorted({*KERNELS.glob("*.py")} - ASIDE), ids=lambda path: path.stem
)
def test_a_stamp_hangs_on_all_that_a_file_imports(path, monkeypatch):
    read = []
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: read.append(self) or real(self))
    assert len(cache.stamp.__wrapped__(path)) == 16
    assert set(read) == imported(path) | {path}


def codegen(cpu, flags):
    return SimpleNamespace(magic_tuple=lambda: ("triple", cpu, flags))


def test_code_for_a_level_is_taken_where_all_its_features_are(monkeypatch):
    monkeypatch.setattr(cache.platform, "machine", lambda: "x86_64")
    name, needed = cache.level()
    flags = ",".join(f"+{feature}" for feature in sorted(needed))
    own = ("triple", "zen", flags + ",-avx512f")
    assert cache._processors(codegen(*own[1:])) == [own, ("triple", name, "")]
    wide = ("triple", "wide", flags + ",+avx512f")  # its own code is faster
    assert cache._processors(codegen(*wide[1:])) == [wide]
    less = flags.replace("+fma", "-fma")
    assert cache._processors(codegen("old", less)) == [("triple", "old", less)]
    monkeypatch.setattr(cache.platform, "machine", lambda: "riscv64")
    assert cache._processors(codegen(*own[1:])) == [own]


def test_names_tell_signatures_processors_and_kernels_apart():
    files = set()
    for kernel in (dense.inertia, dense.accumulate, cells.spread_bits):
        for signature in ((int64,), (float64,)):
            for cpu in ("a", "b"):
                kept = cache.KernelCache(kernel.py_func)
                files.add(next(kept._files(signature, codegen(cpu, ""))))
    assert len(files) == 12


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A cache folder of its own, without shipped code."""
    monkeypatch.setenv("KMQ_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cache, "BUILT", tmp_path / "built")
    return cache.cache_dir()


def test_a_cache_is_warm_while_all_is_there_that_a_warmup_needed(folder):
    assert not cache.is_warm()
    for name in ("a.kernel", "b.kernel"):
        (folder / name).touch()
    cache.note_warm({"a.kernel", "b.kernel"})
    assert cache.is_warm()
    (folder / "b.kernel").unlink()
    assert not cache.is_warm()


def test_a_warmup_tells_how_far_it_is(folder, monkeypatch):
    jobs = [lambda: None] * 3
    monkeypatch.setattr(warmup, "JOBS", jobs)
    monkeypatch.setattr(cache, "writable_dir", lambda: None)
    seen = []
    warmup.warm(lambda *figures: seen.append(figures[:2]))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_warmup_whose_process_fails_says_why(folder, monkeypatch):
    monkeypatch.setattr(warmup.sys, "executable", "/bin/false")
    popen = warmup.subprocess.Popen
    monkeypatch.setattr(
        warmup.subprocess,
        "Popen",
        lambda command, **more: popen(
            ["sh", "-c", "read number; echo no room >&2; exit 1"], **more
        ),
    )
    with pytest.raises(RuntimeError, match="compiling ahead of time failed: no room"):
        warmup.warm()
    assert not cache.is_warm()


def test_the_command_warms_up(capsys, monkeypatch):
    from kmq.cli import run

    def warm(on_progress):
        for done in range(1, 4):
            on_progress(done, 3, 10 * done, 0.5 * done)

    monkeypatch.setattr(warmup, "warm", warm)
    assert run(["warmup", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["kernels"] == 30
    assert told["seconds"] == 1.5
    assert run(["warmup"]) == 0
    assert "30 kernels are in" in capsys.readouterr().err
    monkeypatch.setattr(warmup, "warm", lambda on_progress: None)
    assert run(["warmup"]) == 0
    assert "nothing to compile" in capsys.readouterr().err
    assert run(["warmup", "--quiet"]) == 0
    assert capsys.readouterr().err == ""
