"""Compiling ahead of time, in processes beside one another.

It runs where kmq is being built, too: nothing here knows more than `[build-system]` in
pyproject.toml asks for, so neither scikit-learn nor Pillow.
"""

import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryFile
from threading import Thread
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from kmq.engine.cores import n_cores
from kmq.kernels import cache

Fit = Callable[[], Any]
# Called with the jobs done, of how many, the kernels these need, and the seconds gone by.
OnProgress = Callable[[int, int, int, float], None]

_K = 8
# More would compile the same things side by side.
_MOST_WORKERS = 4


def _fit(X: NDArray, start: NDArray | None = None, k: int = _K) -> None:
    """Fit and predict."""
    from kmq.engine.lloyd import lloyd
    from kmq.engine.samples import choose_samples

    X = X.view()
    X.flags.writeable = False
    samples = choose_samples(X, None)
    samples.foresee_variance()
    if start is None:
        start = samples.plus_plus(k, np.random.RandomState(0))
    tol = 1e-9 * float(samples.mean_variance())
    fit = lloyd(samples.step(k), start, max_iter=2, tol=tol, follow=samples.mean())
    samples.spread(fit.labels)
    again = choose_samples(X, None)
    step = again.step(k)
    step.relabel(fit.centers)
    again.spread(step.labels)


def _fit_shape(n: int, d: int, dtype: DTypeLike) -> None:
    """Fit samples of a shape in all ways that usual ones are."""
    real = (99 * np.random.RandomState(0).uniform(size=(n, d))).astype(dtype)
    _fit(real)
    # Starts of whole numbers are where samples can be equally near to two centres.
    _fit(real, np.rint(real[:_K]))
    # Candidates that are alike are where single precision looks closer.
    _fit(np.resize(real[:9], real.shape))


def _pixels(n: int, channels: int) -> NDArray[np.uint8]:
    """Pixels of random colours."""
    return np.random.RandomState(0).randint(0, 256, (n, channels)).astype(np.uint8)


def _palette(height: int, width: int) -> None:
    """Find the palette of a picture, and give every pixel its index, dithered or not."""
    from kmq.engine.colors import distinct_colors
    from kmq.engine.dither import dither, map_to_palette
    from kmq.engine.palette_fit import PaletteSamples, fit_palette

    pixels = _pixels(height * width, 3)
    found = distinct_colors(pixels)
    fit = fit_palette(
        PaletteSamples(found.colors, found.colors, found.counts),
        16,
        init="auto",
        n_init=1,
        max_iter=2,
        tol=1e-9,
        rng=np.random.RandomState(0),
        pinned=np.empty((0, 3)),
    )
    palette = np.rint(fit.centers).astype(np.uint8)
    found.look_up(pixels, map_to_palette(found.colors, palette).astype(np.uint8))
    dither(pixels.reshape(height, width, 3), palette, "floyd-steinberg")


# What each of several processes does next, the longest first: samples of few features and many,
# few samples and many, each of another way to fit.
JOBS: list[Fit] = [
    *(
        partial(_fit_shape, n, d, dtype)
        for n, d in ((1 << 14, 160), (1 << 14, 32), (1 << 17, 3), (1 << 15, 8))
        for dtype in (np.float32, np.float64)
    ),
    partial(_palette, 120, 100),
    # Icons: their colours are counted otherwise.
    partial(_palette, 40, 40),
    # Many clusters are where sums of runs of pixels are lowered instead of made again.
    lambda: _fit(_pixels(1 << 17, 3), k=50),
    *(
        partial(_fit_shape, n, d, dtype)
        for n, d in ((1 << 17, 2), (1 << 15, 3), (1 << 12, 3))
        for dtype in (np.float32, np.float64)
    ),
    lambda: _fit(_pixels(12_000, 3)),
]


def _work() -> None:
    """Do the jobs whose numbers stdin tells; say of each, on stdout, which kernels it needed."""
    logging.getLogger("kmq").setLevel(logging.WARNING)
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        cache.used.clear()
        JOBS[int(line)]()
        print(json.dumps(sorted(cache.used)), flush=True)


class _Workers:
    """Processes that do the jobs, and what they say of each."""

    def __init__(self, number: int) -> None:
        self.heard: SimpleQueue[list[str] | BaseException] = SimpleQueue()
        self._jobs = iter(range(len(JOBS)))
        self._processes: list[subprocess.Popen] = []
        self._stopped = False
        for _ in range(number):
            Thread(target=self._lead, daemon=True).start()

    def _lead(self) -> None:
        """Give one process one job after the other; the process finds kmq where this one did."""
        root = str(Path(__file__).parents[2])
        paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        try:
            with TemporaryFile("w+") as errors:
                process = subprocess.Popen(
                    [sys.executable, "-m", "kmq.engine.warmup"],
                    env=os.environ | {"PYTHONPATH": paths},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                )
                self._processes.append(process)
                if self._stopped:
                    process.kill()
                self._hand_out(process)
                if process.wait() and not self._stopped:
                    errors.seek(0)
                    reason = errors.read().strip().rpartition("\n")[2]
                    raise RuntimeError(f"compiling ahead of time failed: {reason}")
        except BaseException as error:
            self.heard.put(error)

    def _hand_out(self, process: subprocess.Popen) -> None:
        """Let a process do jobs until there are none left, or it has ended."""
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdout, suppress(BrokenPipeError), process.stdin:
            for number in self._jobs:
                print(number, file=process.stdin, flush=True)
                answer = process.stdout.readline()
                if not answer:
                    return
                self.heard.put(json.loads(answer))

    def stop(self) -> None:
        """End all processes that still run."""
        self._stopped = True
        for process in self._processes:
            process.kill()


def warm(on_progress: OnProgress | None = None) -> None:
    """Compile what usual fits need, where it has not been compiled yet.

    Parameters
    ----------
    on_progress : callable, optional
        Called after each fit with the fits done, the number of all, the kernels that these
        needed so far, and seconds.

    Raises
    ------
    RuntimeError
        If a process that compiles fails.
    """
    if cache.is_warm():
        return
    begun = perf_counter()
    needed: set[str] = set()
    if cache.writable_dir() is None or not sys.executable:
        # Nothing can be handed from one process to another.
        for done, job in enumerate(JOBS, 1):
            job()
            if on_progress is not None:
                on_progress(done, len(JOBS), len(cache.used), perf_counter() - begun)
        return
    workers = _Workers(min(n_cores(), _MOST_WORKERS))
    try:
        for done in range(1, len(JOBS) + 1):
            said = workers.heard.get()
            if isinstance(said, BaseException):
                raise said
            needed.update(said)
            if on_progress is not None:
                on_progress(done, len(JOBS), len(needed), perf_counter() - begun)
    finally:
        workers.stop()
    cache.note_warm(needed)


if __name__ == "__main__":
    _work()
