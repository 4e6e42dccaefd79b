"""Pixels: whole fits against scikit-learn on the same 8-bit array, and from a file to indices."""

from statistics import median
from time import perf_counter

import numpy as np
import pytest

from . import isolated, ties
from .conftest import timed
from .problems import BRYGGEN, PHOTOS, off_grid, pixels

KS = (8, 16, 32, 64, 256)
SEEDED = {"random_state": 0}

photos = pytest.mark.parametrize("photo", PHOTOS)
ks = pytest.mark.parametrize("k", KS)


def photo_pixels(photo):
    if not PHOTOS[photo].exists():
        pytest.skip("the photos of ../shared are not on this machine")
    return pixels(PHOTOS[photo])


@pytest.mark.grid
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@ks
@photos
def test_lloyd(benchmark, duel, photo, k):
    benchmark.group = f"{photo}, k={k:3d}, from one start to strict convergence"
    X = photo_pixels(photo)
    compete(benchmark, duel, X, photo, k, init=off_grid(X, k), n_init=1, max_iter=300, tol=0)


@pytest.mark.grid
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@ks
@photos
def test_seeded(benchmark, duel, photo, k):
    benchmark.group = f"{photo}, k={k:3d}, default parameters"
    compete(benchmark, duel, photo_pixels(photo), photo, k, **SEEDED)


def compete(benchmark, duel, X, photo, k, **parameters):
    """Race, and hold the results to be the same or to have parted at a tie."""
    km, rival = duel(X, k, **parameters)
    parity = ties.describe(km, rival, X, **parameters)
    benchmark.extra_info.update(photo=photo, parity=parity)
    assert parity != "differ"
    assert km.inertia_ == pytest.approx(rival.inertia_, rel=2e-2)


@pytest.mark.grid
@pytest.mark.skipif(not BRYGGEN.exists(), reason="the photos of ../shared are not on this machine")
def test_from_file_to_indices(benchmark):
    from PIL import Image

    from kmq import KMeans

    def decode():
        with Image.open(BRYGGEN) as picture:
            return np.asarray(picture.convert("RGB"))

    benchmark.group = "a JPEG of 17 Mpixel to 256 colours, decoding apart"
    decode_s, picture = timed(decode, rounds=5)
    X = picture.reshape(-1, 3)
    stages = {}

    def work():
        begun = perf_counter()

        def lap(stage):
            nonlocal begun
            now = perf_counter()
            stages.setdefault(stage, []).append(now - begun)
            begun = now

        return isolated.index_pixels(X, lap, n_clusters=256, random_state=0)

    work()
    stages.clear()
    inertia = benchmark.pedantic(work, rounds=5)
    fit_s, km = timed(lambda: KMeans(256, random_state=0).fit(X), rounds=5)
    benchmark.extra_info.update(
        k=256,
        n=len(X),
        decode_s=decode_s,
        stages={stage: median(times) for stage, times in stages.items()},
        fit_s=fit_s,
        inertia=inertia,
    )
    assert inertia == pytest.approx(km.inertia_, rel=2e-2)
