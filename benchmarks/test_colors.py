"""Pixels: whole fits against scikit-learn on the same 8-bit array, and from a file to indices."""

import pytest

from . import ties
from .problems import PHOTOS, drawn, pixels

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
    benchmark.group = f"{photo}, k={k:3d}, from drawn pixels to strict convergence"
    X = photo_pixels(photo)
    compete(benchmark, duel, X, photo, k, init=drawn(X, k), n_init=1, max_iter=300, tol=0)


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
