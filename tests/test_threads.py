"""Threads: every block once, errors come through, and no number of threads shows in a result."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from kmq import KMeans
from kmq.engine.threads import begin, n_threads, run_blocks, single_blas_thread


@pytest.fixture
def on_cores(monkeypatch):
    """Pretend that the process may run on so many cores."""
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)

    def pretend(cores):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
        monkeypatch.setattr("kmq.engine.cores.quota", lambda: float("inf"))
        # OpenMP believes in as many as there are.
        monkeypatch.delitem(sys.modules, "sklearn.utils._openmp_helpers", raising=False)
        assert n_threads() == cores

    return pretend


@given(
    n_blocks=st.integers(1, 200),
    threads=st.integers(1, 9),
    grain=st.integers(1, 50),
)
def test_every_block_is_done_once(n_blocks, threads, grain):
    done = np.zeros(n_blocks, int)
    workers = set()

    def task(worker, start, stop):
        workers.add(worker)
        done[start:stop] += 1

    run_blocks(task, n_blocks, threads, grain)
    assert (done == 1).all()
    assert workers <= set(range(threads))


@pytest.mark.parametrize("where", ["caller", "helper"])
def test_an_error_comes_through(where):
    caller = threading.get_ident()
    both = threading.Barrier(2)

    def task(worker, start, stop):
        if start < 2:
            both.wait(timeout=900)
        if (threading.get_ident() == caller) == (where == "caller"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_blocks(task, 8, 2)


@pytest.mark.parametrize("cores", [1, 2])
def test_what_was_begun_is_done_once(cores, on_cores):
    on_cores(cores)
    calls = []
    assert begin(lambda: calls.append(1) or 5)() == 5
    assert calls == [1]
    with pytest.raises(ZeroDivisionError):
        begin(lambda: 1 // 0)()


def test_what_was_begun_is_not_waited_for_where_nobody_can_begin(on_cores):
    on_cores(2)
    hold = threading.Event()
    held = [begin(hold.wait) for _ in range(20)]  # more than there are threads
    try:
        result = begin(lambda: 5)
        assert (result(), result()) == (5, 5)
    finally:
        hold.set()
    assert all(result() for result in held)


def test_fits_inside_fits_never_wait_for_one_another():
    """The pool is full of tasks that want the pool."""
    total = []

    def outer(worker, start, stop):
        run_blocks(lambda worker, start, stop: total.append(stop - start), 8, 4)

    run_blocks(outer, 16, 4)
    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(run_blocks, outer, 16, 4) for _ in range(8)]:
            future.result(timeout=900)
    assert sum(total) % 8 == 0


@pytest.mark.parametrize("name", ["NUMBA_NUM_THREADS", "OMP_NUM_THREADS"])
@pytest.mark.parametrize(
    ("value", "expected"), [("1", 1), ("3", 3), ("64", 4), ("2,1", 2), ("", 4), ("x", 4), ("0", 4)]
)
def test_the_environment_can_only_lower_the_number(monkeypatch, on_cores, name, value, expected):
    on_cores(4)
    monkeypatch.setenv(name, value)
    assert n_threads() == expected


def test_blas_is_restored():
    def blas():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before = blas()
    with single_blas_thread():
        assert set(blas()) == {1}
    assert blas() == before


KINDS = {
    "float64": lambda rng: rng.random((40_000, 3)),
    "float32": lambda rng: rng.random((40_000, 3), dtype=np.float32),
    "middling": lambda rng: rng.random((9000, 20)),
    "wide": lambda rng: rng.random((9000, 150)),
    "wide float32": lambda rng: rng.random((9000, 150), dtype=np.float32),
    "colors": lambda rng: rng.integers(0, 256, (120_000, 3)).astype(np.uint8),
}


@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_threads_gives_the_same_bits(on_cores, kind):
    X = KINDS[kind](np.random.default_rng(3))
    weight = np.random.default_rng(4).integers(1, 5, len(X))
    results = []
    for cores in (1, 2, 3, 7, 16):
        on_cores(cores)
        km = KMeans(16, random_state=0, max_iter=8, tol=0).fit(X, sample_weight=weight)
        results.append((km, km.predict(X)))
    (first, first_labels), *others = results
    for km, labels in others:
        np.testing.assert_array_equal(km.labels_, first.labels_)
        np.testing.assert_array_equal(labels, first_labels)
        np.testing.assert_array_equal(km.cluster_centers_, first.cluster_centers_)
        np.testing.assert_array_equal(km.inertia_history_, first.inertia_history_)
        assert km.inertia_ == first.inertia_


@pytest.mark.parametrize("which", [None, "openmp"])
def test_limits_of_threadpoolctl_are_heard(which, monkeypatch):
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    before = n_threads()
    with threadpool_limits(1, user_api=which):
        assert n_threads() == 1
    assert n_threads() == before
    with threadpool_limits(1, user_api="blas"):
        assert n_threads() == before
