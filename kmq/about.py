"""What runs here, and compiling it ahead of time."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kmq.engine.warmup import OnProgress

_LIBRARIES = ("numpy", "numba", "llvmlite", "scipy", "scikit-learn", "pillow", "matplotlib")


def show_versions() -> None:
    """Print the versions, threads and folders that a report of a problem should quote."""
    from kmq import __version__
    from kmq.engine.threads import n_threads
    from kmq.kernels.cache import cache_dir, writable_dir

    folder = cache_dir()
    kept = writable_dir()
    remark = "" if kept == folder else f" (not writable: {kept or 'no cache'})"
    rows = {
        "kmq": __version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        **{name: _version(name) for name in _LIBRARIES},
        "threads": str(n_threads()),
        "threading layer": "none of Numba's: serial kernels on threads of kmq's own",
        "cache folder": f"{folder}{remark}",
        **{
            name: os.environ[name]
            for name in ("KMQ_CACHE_DIR", "NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS")
            if name in os.environ
        },
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:>{width}}: {value}")


def warmup(on_progress: "OnProgress | None" = None) -> None:
    """Compile the kernels of the usual fits ahead of time, into the cache.

    Covers float64 and float32 samples of two, three, some and many features, few samples and many,
    8-bit pixels, and pictures, dithered or not. A later fit, in this process or another, then
    starts without compiling. Compiles in as many processes as there are cores, four at most.

    Takes half a minute where nothing is compiled yet, and less than a second where all is: after
    an installation on this kind of processor, or an earlier warm-up.

    Parameters
    ----------
    on_progress : callable, optional
        Called as ``on_progress(done, total, kernels, seconds)`` after each of `total` small fits
        that are run for it, with the number of kernels that these needed so far.

    Raises
    ------
    RuntimeError
        If a process that compiles fails; the text says how.
    """
    from kmq.engine.warmup import warm

    warm(on_progress)


def _version(name: str) -> str:
    """Version of an installed library."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
