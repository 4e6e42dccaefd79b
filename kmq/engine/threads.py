"""How work is spread over cores, and when it must not be.

A kernel call releases the GIL, so plain threads run kernels side by side. Work is cut into
blocks whose number depends on the shapes alone; which thread runs a block never shows in the
result.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from threading import Lock
from typing import Any, TypeVar

from kmq.engine.cores import n_cores
from kmq.engine.pool import submit

T = TypeVar("T")

_blas_lock = Lock()
_blas_users = 0
_blas_limit: Any = None


def _forget_fits() -> None:
    """Undo in a forked child what its parent's fits did, which did not come along."""
    global _blas_lock, _blas_users
    if _blas_users:
        _blas_limit.restore_original_limits()
    _blas_lock, _blas_users = Lock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_fits)


def positive_int(text: str | None) -> int | None:
    """The number in an environment variable, or None where it holds none."""
    try:
        value = int((text or "").split(",")[0])
    except ValueError:
        return None
    return value if value > 0 else None


def n_threads() -> int:
    """Number of threads that a fit started now would use.

    The smallest of: cores this process may use (`kmq.engine.cores`), ``NUMBA_NUM_THREADS`` and
    ``OMP_NUM_THREADS`` (which joblib and Dask set for their workers), what ``threadpoolctl``
    leaves OpenMP in the calling thread, and the caller's ``numba.set_num_threads``. None of them
    is ever written.
    """
    limits = [n_cores()]
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        limit = positive_int(os.environ.get(name))
        if limit is not None:
            limits.append(limit)
    # scikit-learn knows what OpenMP was told last; where it is not loaded, nobody was told.
    openmp = sys.modules.get("sklearn.utils._openmp_helpers")
    if openmp is not None:
        limits.append(openmp._openmp_effective_n_threads(only_physical_cores=False))
    # Asking Numba starts its threading layer; a mask can only have been set once that runs.
    layer = sys.modules.get("numba.np.ufunc.parallel")
    if layer is not None and layer._is_initialized:
        limits.append(layer.get_num_threads())
    return max(1, min(limits))


def begin(function: Callable[[], T]) -> Callable[[], T]:
    """Let another thread, where there is one, call a function; what is returned gives its result.

    If it has not begun when that is asked for, the asking thread calls it.
    """
    helper = submit(1, function) if n_threads() > 1 else None
    if helper is None:
        return function
    return lambda: function() if helper.cancel() else helper.result()


def run_blocks(
    task: Callable[[int, int, int], None], n_blocks: int, threads: int, grain: int = 1
) -> None:
    """Call ``task(worker, start, stop)`` until the blocks ``0 … n_blocks`` are done.

    The calling thread works too, and does everything itself where the pool is busy or cannot
    be had, so that fits inside fits, or many at once, never wait for one another.

    Parameters
    ----------
    task : callable
        Given the worker's number, ``0 … threads - 1``, and a half-open range of blocks.
    n_blocks : int
        Number of blocks.
    threads : int
        The most threads to use.
    grain : int, default=1
        The fewest blocks worth a call.
    """
    threads = min(threads, -(-n_blocks // grain))
    if threads <= 1:
        task(0, 0, n_blocks)
        return
    chunk = max(grain, -(-n_blocks // (threads * 4)))
    starts = count(0, chunk)
    stopped = False

    def drain(worker: int) -> None:
        for start in starts:
            if start >= n_blocks or stopped:
                return
            task(worker, start, min(start + chunk, n_blocks))

    helpers = [submit(threads - 1, drain, worker) for worker in range(1, threads)]
    try:
        drain(0)
    except BaseException:
        stopped = True
        raise
    finally:
        # One that has not begun would find nothing left to do.
        running = [helper for helper in helpers if helper is not None and not helper.cancel()]
        for helper in running:
            helper.result()


@cache
def _blas() -> Any:
    """The BLAS libraries of this process, found once: looking takes milliseconds."""
    import numpy as np  # noqa: F401  # brings the one that is called
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


@contextmanager
def single_blas_thread() -> Iterator[None]:
    """Keep BLAS to one thread a call while our own threads call it; the last fit restores it."""
    global _blas_users, _blas_limit
    with _blas_lock:
        if _blas_users == 0:
            _blas_limit = _blas().limit(limits=1)
        _blas_users += 1
    try:
        yield
    finally:
        with _blas_lock:
            _blas_users -= 1
            if _blas_users == 0:
                _blas_limit.restore_original_limits()
