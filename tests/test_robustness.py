"""Whatever the process around a fit does, the fit ends with the same bits.

Each case runs in a process of its own and prints a digest of its fits. All share one cache of
compiled kernels, but for the cases that are about the cache.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# What the cases fit: float64 on several threads, float32, 8-bit colours with a weight, and many
# features.
WORK = """
import hashlib

import numpy as np


def digest(kinds=4):
    from kmq import KMeans

    rng = np.random.default_rng(0)
    X = rng.random((30_000, 3))
    total = hashlib.sha256()
    for samples, weight in (
        (X, None),
        (X.astype(np.float32), None),
        ((255 * X).astype(np.uint8), rng.integers(1, 9, len(X))),
        (rng.random((16_000, 160), dtype=np.float32), None),
    )[:kinds]:
        k = 50 if samples.dtype == np.uint8 else 8
        km = KMeans(k, max_iter=15, random_state=1).fit(samples, sample_weight=weight)
        for result in (km.labels_, km.cluster_centers_, km.inertia_history_, km.predict(samples)):
            total.update(np.ascontiguousarray(result).tobytes())
    return total.hexdigest()
"""
PLAIN = "from work import digest; print(digest())"
# For the cases that compile again: a few kernels that compile soon.
LIGHT = """
import numpy as np
from kmq.kernels import cells, dense
X = np.random.default_rng(0).random((99, 3))
labels, sums, counts = np.zeros(99, np.int32), np.zeros((2, 3)), np.zeros(2)
dense.accumulate(X, np.ones(99), labels, 0, 99, sums, counts)
spread = np.zeros(4096, np.uint32)
cells.spread_bits(3, spread)
print(hash(sums.tobytes() + counts.tobytes() + spread.tobytes()))
"""


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Start a case: code, then what its environment differs in (None takes a variable away)."""
    folder = tmp_path_factory.mktemp("robust")
    (folder / "work.py").write_text(WORK)
    cache = folder / "cache"

    def begin(code, root=ROOT, **changes):
        paths = {
            "PYTHONPATH": f"{root}{os.pathsep}{folder}",
            "KMQ_CACHE_DIR": str(cache),
            "PYTHONHASHSEED": "0",
        }
        env = {k: v for k, v in (os.environ | paths | changes).items() if v is not None}
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code],
            env=env,
            cwd=folder,  # where no other kmq lies
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    begin.cache = cache
    return begin


@pytest.fixture(scope="module")
def bare(start, bare_root):
    """Start a case with a copy of kmq of which nothing was compiled when it was installed."""

    def begin(code, **changes):
        return start(code, bare_root, **changes)

    begin.root = bare_root
    return begin


@pytest.fixture(scope="module")
def light(bare, output, tmp_path_factory):
    """What an undisturbed run of `LIGHT` prints, and the cache that it leaves."""
    cache = tmp_path_factory.mktemp("light")
    (expected,) = output(bare(LIGHT, KMQ_CACHE_DIR=str(cache)))
    return expected, cache


@pytest.fixture(scope="module")
def output(ended):
    """Wait for a case that must end well; the words that it printed."""

    def read(process):
        out, err = ended(process)
        assert process.returncode == 0, err
        # Where nothing was compiled when kmq was installed, compiling is told of.
        assert all(line.startswith("kmq: compil") for line in err.splitlines()), err
        return out.split()

    return read


@pytest.fixture(scope="module")
def warmed(start, output):
    """The kernels there are after `warmup`, the digest of an undisturbed run, kernels it used."""
    output(start("import kmq; kmq.warmup()"))
    code = PLAIN + "; from kmq.kernels.notice import _Progress; print(_Progress.kernels)"
    expected, compiled = output(start(code))
    return expected, int(compiled)


@pytest.fixture(scope="module")
def plain(warmed):
    return warmed[0]


def test_eight_threads_fit_at_once(start, plain, output):
    code = """
from concurrent.futures import ThreadPoolExecutor
from work import digest
with ThreadPoolExecutor(8) as pool:
    print(*pool.map(digest, [4] * 8))
"""
    assert output(start(code)) == [plain] * 8


def test_the_first_fit_of_a_process_shares_its_work(start, warmed, output):
    """Whatever two threads load first, they do not load it at once."""
    code = """
import numpy as np
from kmq import KMeans
X = np.random.default_rng(0).random((1_000_000, 3))
print(KMeans(8, max_iter=2, random_state=0).fit(X).n_iter_)
"""
    # One alone may be lucky.
    assert [output(process) for process in [start(code) for _ in range(4)]] == [["2"]] * 4


@pytest.mark.parametrize("backend", ["threading", "loky", "multiprocessing"])
def test_joblib(start, plain, backend, output):
    code = f"""
from joblib import Parallel, delayed
from work import digest
digest()
print(*Parallel(n_jobs=2, backend={backend!r})(delayed(digest)() for _ in range(3)))
"""
    assert output(start(code)) == [plain] * 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_forked_after_a_fit(start, plain, output):
    code = """
import os
from work import digest
print(digest(), flush=True)
child = os.fork()
if child == 0:
    print(digest(), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(digest())
"""
    assert output(start(code)) == [plain] * 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_forked_during_a_fit_has_all_threads_of_blas(start, output):
    code = """
import os
from threadpoolctl import threadpool_info
from kmq.engine.threads import single_blas_thread
def blas():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
with single_blas_thread():
    pass
before = blas()
with single_blas_thread():
    child = os.fork()
    if child == 0:
        print(blas() == before, flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    print(set(blas()) == {1})
"""
    assert output(start(code)) == ["True"] * 2


def test_threads_of_blas_are_not_ours(start, plain, output):
    code = """
import scipy.linalg
from threadpoolctl import threadpool_info, threadpool_limits
from work import digest
def blas():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
before = blas()
print(digest(), blas() == before)
with threadpool_limits(1, "blas"):
    print(digest(), set(blas()) == {1})
"""
    assert output(start(code)) == [plain, "True"] * 2


def test_workqueue_with_two_threads(start, plain, output):
    code = """
from concurrent.futures import ThreadPoolExecutor
import numba
numba.set_num_threads(1)
from work import digest
with ThreadPoolExecutor(2) as pool:
    print(*pool.map(digest, [4] * 2))
"""
    assert output(start(code, NUMBA_THREADING_LAYER="workqueue")) == [plain] * 2


def test_four_processes_fill_one_cold_cache(bare, output, light, tmp_path):
    cold = str(tmp_path / "cold")
    both = [bare(LIGHT, KMQ_CACHE_DIR=cold) for _ in range(4)]
    assert [output(process) for process in both] == [[light[0]]] * 4
    assert output(bare(LIGHT, KMQ_CACHE_DIR=cold)) == [light[0]]
    assert not list(Path(cold).rglob("tmp*"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends processes in another way")
def test_a_process_is_killed_while_it_compiles(bare, output, ended, light, tmp_path):
    cold = str(tmp_path / "cold")
    process = bare("print(flush=True);" + LIGHT, KMQ_CACHE_DIR=cold)
    process.stderr.readline()  # it has begun to compile
    process.kill()
    ended(process)
    assert output(bare(LIGHT, KMQ_CACHE_DIR=cold)) == [light[0]]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limits of file sizes")
def test_the_disk_is_full(bare, output, light, tmp_path):
    cold = str(tmp_path / "cold")
    full = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
"""
    changes = {"KMQ_CACHE_DIR": cold, "PYTHONDONTWRITEBYTECODE": "1"}
    assert output(bare(full + LIGHT, **changes)) == [light[0]]
    assert not [path for path in Path(cold).rglob("*") if path.is_file()]


def told(process, ended):
    out, err = ended(process)
    assert process.returncode == 0, err
    return out, err


def test_compiling_is_told_once(bare, ended, tmp_path):
    cold = str(tmp_path / "cold")
    _, err = told(bare(LIGHT, KMQ_CACHE_DIR=cold), ended)
    assert err.splitlines()[0] == ("kmq: compiling for this machine; later runs will not need to")
    assert err.count("compiling") == 1
    assert told(bare(LIGHT, KMQ_CACHE_DIR=cold), ended)[1] == ""


def test_compiling_is_logged_where_somebody_reads_the_log(bare, ended, tmp_path):
    code = """
import logging, sys
logging.basicConfig(stream=sys.stdout, format="%(name)s-%(message)s", level=logging.INFO)
"""
    out, err = told(bare(code + LIGHT, KMQ_CACHE_DIR=str(tmp_path / "one")), ended)
    assert out.startswith("kmq-compiling for this machine")
    assert err == ""
    code = "import logging; logging.getLogger('kmq').setLevel(logging.WARNING)"
    out, err = told(bare(code + LIGHT, KMQ_CACHE_DIR=str(tmp_path / "two")), ended)
    assert "compiling" not in out + err


def test_a_folder_that_cannot_be_written_has_a_private_one_stand_in(bare, ended, light, tmp_path):
    """Not even root can make a folder in a file; site-packages is never written."""
    file = tmp_path / "file"
    file.touch()
    changes = {
        "HOME": "/dev/null",
        "XDG_CACHE_HOME": str(file / "below"),
        "KMQ_CACHE_DIR": None,
        "NUMBA_CACHE_DIR": None,
        "TMPDIR": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    before = set((bare.root / "kmq").rglob("*"))
    out, err = told(bare(LIGHT, **changes), ended)
    assert out.split() == [light[0]]
    (private,) = tmp_path.glob("kmq-*")
    assert f"kept in {private}" in err
    assert not private.stat().st_mode & 0o077
    assert told(bare(LIGHT, **changes), ended) == (out, "")
    assert set((bare.root / "kmq").rglob("*")) == before


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="this system has no owners of files")
@pytest.mark.parametrize("trap", ["open to others", "a link", "a file"])
def test_no_code_comes_from_a_folder_of_others(trap, bare, ended, light, tmp_path):
    place = tmp_path / f"kmq-{os.getuid()}"
    if trap == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        place.symlink_to(tmp_path / "elsewhere")
    elif trap == "a file":
        place.touch()
    else:
        place.mkdir()
        place.chmod(0o777)
    changes = {"KMQ_CACHE_DIR": "/dev/null/below", "TMPDIR": str(tmp_path)}
    out, err = told(bare("import kmq; kmq.show_versions();" + LIGHT, **changes), ended)
    assert out.split()[-1] == light[0]
    assert "no cache)" in out
    assert "nothing can be kept in /dev/null/below" in err
    assert not list(tmp_path.rglob("*.kernel"))


def truncated(content):
    return content[: len(content) // 2]


def garbled(content):
    return bytes(255 - byte for byte in content)


def half_blank(content):
    """What a power cut leaves: a file of the right size whose second half was never written."""
    half = len(content) // 2
    return content[:half] + bytes(len(content) - half)


@pytest.mark.parametrize("damage", [truncated, garbled, half_blank])
def test_damaged_cache(bare, output, light, tmp_path, damage):
    expected, cache = light
    whole = {path.name: path.read_bytes() for path in cache.rglob("*.kernel")}
    assert len(whole) == 2
    damaged = tmp_path / "damaged"
    shutil.copytree(cache, damaged)
    for path in damaged.rglob("*.kernel"):
        path.write_bytes(damage(whole[path.name]))
    assert output(bare(LIGHT, KMQ_CACHE_DIR=str(damaged))) == [expected]
    for path in damaged.rglob("*.kernel"):
        assert path.read_bytes() != damage(whole[path.name])


def test_code_of_older_sources_is_neither_used_nor_kept(bare, output, light, tmp_path):
    expected, cache = light
    root = tmp_path / "edited"
    shutil.copytree(bare.root, root)
    shutil.copytree(cache, tmp_path / "cache")
    with (root / "kmq" / "kernels" / "dense.py").open("a") as file:
        file.write("# an edit\n")
    before = {path.name for path in (tmp_path / "cache").rglob("*.kernel")}
    for path in (tmp_path / "cache").rglob("*.kernel"):
        os.utime(path, (0, 0))
    changes = {"PYTHONPATH": str(root), "KMQ_CACHE_DIR": str(tmp_path / "cache")}
    assert output(bare(LIGHT, **changes)) == [expected]
    after = {path.name for path in (tmp_path / "cache").rglob("*.kernel")}
    # The kernels of the other file are as they were.
    assert {name.split("-")[0] for name in before - after} == {"dense.accumulate"}
    assert {name.split("-")[0] for name in after - before} == {"dense.accumulate"}
    assert len(after) == 2


def test_code_that_was_shipped_is_found(bare, output, light, tmp_path):
    """Under the name of another processor that has all that it needs, too."""
    expected, cache = light
    root = tmp_path / "root"
    shutil.copytree(bare.root, root)
    shutil.copytree(cache, root / "kmq" / "kernels" / "built")
    empty = tmp_path / "empty"
    changes = {"PYTHONPATH": str(root), "KMQ_CACHE_DIR": str(empty)}
    assert output(bare(LIGHT, **changes)) == [expected]
    assert not list(empty.rglob("*.kernel"))


@pytest.mark.parametrize(
    "limit", [{"NUMBA_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "1,2"}]
)
def test_fewer_threads(start, plain, limit, output):
    code = "from kmq.engine.threads import n_threads; print(n_threads());" + PLAIN
    assert output(start(code, **limit)) == ["1", plain]


def test_the_callers_number_of_threads_is_kept(start, plain, output):
    code = """
import numba
numba.set_num_threads(1)
from work import digest
from kmq.engine.threads import n_threads
print(n_threads(), digest(), numba.get_num_threads())
"""
    assert output(start(code)) == ["1", plain, "1"]


def test_what_is_compiled_ahead_needs_what_a_build_has_and_no_more(start, output):
    code = f"""
import sys, tomllib
names = tomllib.load(open({str(ROOT / "pyproject.toml")!r}, "rb"))
asked = {{word.split(">")[0] for word in names["build-system"]["requires"]}}
for word in names["project"]["dependencies"]:
    name = word.split(">")[0]
    if name not in asked:
        sys.modules[{{"pillow": "PIL", "scikit-learn": "sklearn"}}.get(name, name)] = None
from kmq.engine.warmup import JOBS
for job in JOBS:
    job()
print("sklearn" in asked, len(JOBS) > 10)
"""
    assert output(start(code)) == ["False", "True"]


def test_without_a_compiler(start, output):
    """Kernels as plain Python: slow, but the same algorithm and nothing that only Numba allows."""
    code = """
import numpy as np
from kmq import KMeans
X = np.random.default_rng(0).random((60, 2))
print(KMeans(3, random_state=0).fit(X).n_iter_)
"""
    assert output(start(code, NUMBA_DISABLE_JIT="1")) == output(start(code))


LONG_FIT = """
import numpy as np
from kmq import KMeans
X = np.random.default_rng(0).random((100_000, 8))
km = KMeans(100, init="random", n_init=10_000, tol=0, max_iter=100_000, random_state=0)
def ready(iteration, inertia, centers):
    print("running", flush=True) if iteration == 3 else None
try:
    km.fit(X, callback=ready)
except KeyboardInterrupt:
    print("interrupted", hasattr(km, "cluster_centers_"))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_ends_a_fit_and_leaves_it_unfitted(start, plain, ended):
    process = start(LONG_FIT)
    assert process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGINT)
    out, err = ended(process)
    assert process.returncode == 0, err
    assert out.split()[-2:] == ["interrupted", "False"]


INTERRUPTS = """
import signal
from time import perf_counter
import numpy as np
from kmq import KMeans
from kmq.engine.pool import submit
X = np.random.default_rng(0).random((20_000, 8))
km = KMeans(8, max_iter=3, random_state=0)
took = np.inf
for _ in range(9):
    begun = perf_counter()
    expected = km.fit(X).inertia_
    took = min(took, perf_counter() - begun)
signal.signal(signal.SIGALRM, signal.default_int_handler)
heard = 0
for delay in np.linspace(1e-4, took, 1000):
    try:
        signal.setitimer(signal.ITIMER_REAL, delay)
        km.fit(X)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        heard += 1
print(heard > 0, km.fit(X).inertia_ == expected, submit(1, int).result())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no timers that send signals")
def test_ctrl_c_at_any_moment_leaves_threads_that_work_and_end(start, plain, ended):
    process = start(INTERRUPTS)
    # Where one is heard inside a destructor, Python tells of it, and goes on.
    out, err = ended(process)
    assert process.returncode == 0, err
    assert out.split() == ["True", "True", "0"]


HIRING = """
import threading
from kmq.engine import pool
begin = threading.Thread.start
def start(thread):
    begin(thread)
    raise KeyboardInterrupt
threading.Thread.start = start
for _ in range(3):
    try:
        pool.submit(1, int)
    except KeyboardInterrupt:
        print("interrupted")
threading.Thread.start = begin
print(pool.submit(1, int).result(), threading.active_count(), flush=True)
def hire():
    for size in range(2, 200):
        pool.submit(size, int)
threading.Thread(target=hire, daemon=True).start()
"""


def test_a_process_ends_whatever_threads_were_hired(start, output):
    """Some in spite of a Ctrl-C, so that the pool does not know them; some while it closes."""
    assert output(start(HIRING)) == ["interrupted"] * 3 + ["0", "5"]


FAILING = """
import threading
import numpy as np
from kmq.engine.team import Team
from kmq.kernels.team import await_work, take_work
claimed = threading.Event()
def work_off(leads, board, tally):
    if leads:
        claimed.wait()
        await_work(board, leads)
    elif take_work(board, leads) >= 0:
        claimed.set()
        raise MemoryError("no room")
team = Team(work_off, (), np.zeros((2, 1), np.int64))
try:
    team.work(1)
except MemoryError as error:
    print(*error.args)
"""


def test_a_team_does_not_wait_for_a_helper_that_failed(start, output):
    assert output(start(FAILING)) == ["no", "room"]


def test_import_alone_loads_nothing_heavy(start, output):
    code = """
import sys
import kmq
print(*{name.partition(".")[0] for name in sys.modules} & {
    "numba", "llvmlite", "sklearn", "scipy", "matplotlib", "PIL", "numpy"
})
"""
    assert output(start(code)) == []


def test_the_class_alone_loads_no_compiler(start, output):
    code = """
import sys
from kmq import KMeans
print(*{name.partition(".")[0] for name in sys.modules} & {"numba", "llvmlite", "matplotlib"})
"""
    assert output(start(code)) == []


def test_warmup_leaves_nothing_to_compile(warmed):
    assert warmed[1] == 0
