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

    Covers float64 and float32 samples of two, three, some and many features, few samples and many,
    8-bit pixels, and pictures, dithered or not. A later fit, in this process or another, then
    starts without compiling.
    Takes half a minute the first time, and a second where the cache is warm.
    """
    import warnings

    import numpy as np

    from kmq.image import Image, quantize_image
    from kmq.model import KMeans

    rng = np.random.RandomState(0)
    floats = (np.float64, np.float32)
    usual = (
        (1 << 12, 3, floats),
        (1 << 15, 3, floats),
        (1 << 17, 3, (*floats, np.uint8)),
        (1 << 17, 2, floats),
        (1 << 15, 8, floats),
        (1 << 14, 32, floats),
        (1 << 14, 160, floats),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n, d, dtypes in usual:
            real = 99 * rng.uniform(size=(n, d))
            for dtype in dtypes:
                X = real.astype(dtype)
                # Starts of whole numbers are where samples can be equally near to two centres.
                for init in ("k-means++", np.rint(real[:8])):
                    KMeans(8, init=init, max_iter=2, random_state=0).fit(X).predict(X)
                # Candidates that are alike are where single precision looks closer.
                KMeans(8, max_iter=2, random_state=0).fit(np.resize(X[:9], X.shape))
        pixels = rng.randint(0, 256, (120, 100, 3)).astype(np.uint8)
        KMeans(16, max_iter=2, random_state=0).fit(pixels.reshape(-1, 3)).predict(pixels[0])
        quantize_image(Image(pixels), 16, max_iter=2, dither="floyd-steinberg")


def _version(name: str) -> str:
    """Version of an installed library."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
