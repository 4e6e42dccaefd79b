"""What runs here, and compiling it ahead of time."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

_LIBRARIES = ("numpy", "numba", "llvmlite", "scipy", "scikit-learn", "pillow", "matplotlib")


def show_versions() -> None:
    """Print the versions, threads and folders that a report of a problem should quote."""
    from kmq import __version__
    from kmq.engine.threads import n_threads
    from kmq.kernels.jit import cache_dir, cache_is_writable

    folder = cache_dir()
    rows = {
        "kmq": __version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        **{name: _version(name) for name in _LIBRARIES},
        "threads": str(n_threads()),
        "threading layer": "none of Numba's: serial kernels on threads of kmq's own",
        "cache folder": f"{folder}{'' if cache_is_writable() else ' (not writable: no cache)'}",
        **{
            name: os.environ[name]
            for name in ("KMQ_CACHE_DIR", "NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS")
            if name in os.environ
        },
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:>{width}}: {value}")


def warmup() -> None:
    """Compile the kernels of the usual fits ahead of time, into the cache.

    Covers float64, float32 and 8-bit samples of few and of many features, weighted or not. A
    later fit, in this process or another, then starts without compiling. Takes some seconds
    the first time, and a fraction of a second where the cache is warm.
    """
    import warnings

    import numpy as np

    from kmq.model import KMeans

    rng = np.random.RandomState(0)
    n = 1 << 14  # past the sizes that are left to plain NumPy
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for dtype in (np.float64, np.float32, np.uint8):
            for d in (2, 3, 32):
                X = (255 * rng.uniform(size=(n, d))).astype(dtype)
                KMeans(4, max_iter=2, random_state=0).fit(X).predict(X)


def _version(name: str) -> str:
    """Version of an installed library."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
