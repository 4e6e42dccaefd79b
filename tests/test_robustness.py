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
        km = KMeans(8, max_iter=15, random_state=1).fit(samples, sample_weight=weight)
        for result in (km.labels_, km.cluster_centers_, km.inertia_history_, km.predict(samples)):
            total.update(np.ascontiguousarray(result).tobytes())
    return total.hexdigest()
"""
PLAIN = "from work import digest; print(digest())"
# For the cases that compile again: one kind of samples has kernels enough.
LIGHT = "from work import digest; print(digest(1))"


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Start a case: code, then what its environment differs in (None takes a variable away)."""
    folder = tmp_path_factory.mktemp("robust")
    (folder / "work.py").write_text(WORK)
    cache = folder / "cache"

    def begin(code, **changes):
        paths = {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", "KMQ_CACHE_DIR": str(cache)}
        env = {k: v for k, v in (os.environ | paths | changes).items() if v is not None}
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    begin.cache = cache
    return begin


def ended(process):
    """Wait for a case that must end well; the lines that it printed."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert not err
    return out.split()


def kernels(start):
    return {path.name for path in start.cache.rglob("*.kernel")}


@pytest.fixture(scope="module")
def warmed(start):
    """The kernels that `warmup` compiles, the digest of an undisturbed run, the kernels then."""
    ended(start("import kmq; kmq.warmup()"))
    before = kernels(start)
    (expected,) = ended(start(PLAIN))
    return before, expected, kernels(start)


@pytest.fixture(scope="module")
def plain(warmed):
    return warmed[1]


@pytest.fixture(scope="module")
def light(start, plain):
    """The digest of an undisturbed run of the first kind of samples alone."""
    (expected,) = ended(start(LIGHT))
    return expected


def test_eight_threads_fit_at_once(start, plain):
    code = """
from concurrent.futures import ThreadPoolExecutor
from work import digest
with ThreadPoolExecutor(8) as pool:
    print(*pool.map(digest, [4] * 8))
"""
    assert ended(start(code)) == [plain] * 8


def test_the_first_fit_of_a_process_shares_its_work(start, warmed):
    """Whatever two threads load first, they do not load it at once."""
    code = """
import numpy as np
from kmq import KMeans
X = np.random.default_rng(0).random((1_000_000, 3))
print(KMeans(8, max_iter=2, random_state=0).fit(X).n_iter_)
"""
    # One alone may be lucky.
    assert [ended(process) for process in [start(code) for _ in range(4)]] == [["2"]] * 4


@pytest.mark.parametrize("backend", ["threading", "loky", "multiprocessing"])
def test_joblib(start, plain, backend):
    code = f"""
from joblib import Parallel, delayed
from work import digest
digest()
print(*Parallel(n_jobs=2, backend={backend!r})(delayed(digest)() for _ in range(3)))
"""
    assert ended(start(code)) == [plain] * 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_forked_after_a_fit(start, plain):
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
    assert ended(start(code)) == [plain] * 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_forked_during_a_fit_has_all_threads_of_blas(start):
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
    assert ended(start(code)) == ["True"] * 2


def test_threads_of_blas_are_not_ours(start, plain):
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
    assert ended(start(code)) == [plain, "True"] * 2


def test_workqueue_with_two_threads(start, plain):
    code = """
from concurrent.futures import ThreadPoolExecutor
import numba
numba.set_num_threads(1)
from work import digest
with ThreadPoolExecutor(2) as pool:
    print(*pool.map(digest, [4] * 2))
"""
    assert ended(start(code, NUMBA_THREADING_LAYER="workqueue")) == [plain] * 2


def test_two_processes_fill_one_cold_cache(start, light, tmp_path):
    cold = str(tmp_path / "cold")
    both = [start(LIGHT, KMQ_CACHE_DIR=cold) for _ in range(2)]
    assert [ended(process) for process in both] == [[light]] * 2
    assert ended(start(LIGHT, KMQ_CACHE_DIR=cold)) == [light]
    assert not list(Path(cold).rglob("tmp*"))


def test_compiling_is_told_once(start, tmp_path):
    code = """
import logging, sys
logging.basicConfig(stream=sys.stdout, format="%(name)s-%(message)s", level=logging.INFO)
import numpy as np
from kmq.kernels import dense
for weight in (np.ones(3), np.ones(3, np.float32)):
    dense.weighted_total(weight, weight, 0, 3)
"""
    cold = str(tmp_path / "cold")
    first, second = (" ".join(ended(start(code, KMQ_CACHE_DIR=cold))) for _ in range(2))
    assert first.count("kmq-compiling") == 1
    assert second == ""
    nowhere = " ".join(ended(start(code, KMQ_CACHE_DIR="/dev/null/below")))
    assert "nothing can be kept in /dev/null/below" in nowhere


def test_no_folder_can_be_written(start, light, tmp_path):
    """Not even root can make a folder in a file or in a device; site-packages is never written."""
    file = tmp_path / "file"
    file.touch()
    changes = {
        "HOME": "/dev/null",
        "XDG_CACHE_HOME": str(file / "below"),
        "KMQ_CACHE_DIR": None,
        "NUMBA_CACHE_DIR": None,
    }
    before = set((ROOT / "kmq").rglob("*"))
    tell = "import kmq; kmq.show_versions();" + LIGHT
    lines = ended(start(tell, **changes, PYTHONDONTWRITEBYTECODE="1"))
    assert lines[-1] == light
    assert "no cache)" in " ".join(lines)
    assert set((ROOT / "kmq").rglob("*")) == before


def truncated(content):
    return content[: len(content) // 2]


def garbled(content):
    return bytes(255 - byte for byte in content)


def half_blank(content):
    """What a power cut leaves: a file of the right size whose second half was never written."""
    half = len(content) // 2
    return content[:half] + bytes(len(content) - half)


@pytest.mark.parametrize("damage", [truncated, garbled, half_blank])
def test_damaged_cache(start, light, tmp_path, damage):
    cache = tmp_path / "damaged"
    shutil.copytree(start.cache, cache)
    whole = {path: path.read_bytes() for path in cache.rglob("*.kernel")}
    for path, content in whole.items():
        path.write_bytes(damage(content))
    assert ended(start(LIGHT, KMQ_CACHE_DIR=str(cache))) == [light]
    assert any(path.stat().st_size == len(content) for path, content in whole.items())


@pytest.mark.parametrize(
    "limit", [{"NUMBA_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "1,2"}]
)
def test_fewer_threads(start, plain, limit):
    code = "from kmq.engine.threads import n_threads; print(n_threads());" + PLAIN
    assert ended(start(code, **limit)) == ["1", plain]


def test_the_callers_number_of_threads_is_kept(start, plain):
    code = """
import numba
numba.set_num_threads(1)
from work import digest
from kmq.engine.threads import n_threads
print(n_threads(), digest(), numba.get_num_threads())
"""
    assert ended(start(code)) == ["1", plain, "1"]


def test_without_a_compiler(start):
    """Kernels as plain Python: slow, but the same algorithm and nothing that only Numba allows."""
    code = """
import numpy as np
from kmq import KMeans
X = np.random.default_rng(0).random((60, 2))
print(KMeans(3, random_state=0).fit(X).n_iter_)
"""
    assert ended(start(code, NUMBA_DISABLE_JIT="1")) == ended(start(code))


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
def test_ctrl_c_ends_a_fit_and_leaves_it_unfitted(start, plain):
    process = start(LONG_FIT)
    assert process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
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
def test_ctrl_c_at_any_moment_leaves_threads_that_work_and_end(start, plain):
    process = start(INTERRUPTS)
    # Where one is heard inside a destructor, Python tells of it, and goes on.
    out, err = process.communicate(timeout=60)
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


def test_a_process_ends_whatever_threads_were_hired(start):
    """Some in spite of a Ctrl-C, so that the pool does not know them; some while it closes."""
    assert ended(start(HIRING)) == ["interrupted"] * 3 + ["0", "5"]


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


def test_a_team_does_not_wait_for_a_helper_that_failed(start):
    assert ended(start(FAILING)) == ["no", "room"]


def test_import_alone_loads_nothing_heavy(start):
    code = """
import sys
import kmq
print(*{name.partition(".")[0] for name in sys.modules} & {
    "numba", "llvmlite", "sklearn", "scipy", "matplotlib", "PIL", "numpy"
})
"""
    assert ended(start(code)) == []


def test_the_class_alone_loads_no_compiler(start):
    code = """
import sys
from kmq import KMeans
print(*{name.partition(".")[0] for name in sys.modules} & {"numba", "llvmlite", "matplotlib"})
"""
    assert ended(start(code)) == []


def test_warmup_leaves_nothing_to_compile(warmed):
    before, _, after = warmed
    assert before
    assert after == before
