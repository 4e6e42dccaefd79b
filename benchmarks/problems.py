"""What is solved: samples, first centres and the tutorial's stopping rule."""

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kmq.competitors import Problem

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
FLOWER = ROOT / "img" / "flower.jpg"
TUTORIAL = SHARED / "seed" / "flower.jpg"
BRYGGEN = SHARED / "data" / "photos" / "Bryggen.jpg"
PHOTOS = {
    "flower": TUTORIAL,
    **{
        f"kodim{number:02d}": SHARED / "data" / "kodak" / f"{number:02d}.png"
        for number in range(1, 25)
    },
}
SEED = 44
# How far a start is moved off the samples it is made of, in standard deviations.
OFF_GRID = 1e-3


@cache
def pixels(path: Path) -> NDArray[np.uint8]:
    """All pixels of an image, as the tutorial hands them to its model."""
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).reshape(-1, 3)


def drawn(X: NDArray, k: int) -> NDArray[np.float64]:
    """The start of the tutorial: different samples, drawn at random."""
    return np.random.default_rng(SEED).choice(X, size=k, replace=False).astype(np.float64)


def off_grid(X: NDArray, k: int) -> NDArray[np.float64]:
    """A start that no two correct programs can tell apart.

    Drawn pixels alone leave many pixels at exactly the same distance from two centres, and
    tools that compute distances in another way break those ties in another way. Off the
    integer grid there are none, so all must arrive at the same centres.
    """
    rng = np.random.default_rng(SEED)
    start = rng.choice(X, size=k, replace=False).astype(np.float64)
    return start + rng.uniform(-0.5, 0.5, start.shape)


def nudged(X: NDArray, k: int, seed: int = SEED) -> NDArray:
    """A start off the grid for samples of any scale, of their dtype.

    Letter recognition, for one, is whole numbers, where centres on samples tie.
    """
    rng = np.random.default_rng(seed)
    start = rng.choice(X, size=k, replace=False).astype(np.float64)
    moved = OFF_GRID * X.std(axis=0, dtype=np.float64) * rng.standard_normal(start.shape)
    return (start + moved).astype(X.dtype)


@cache
def own_flower(k: int) -> Problem:
    """The project's picture."""
    X = pixels(FLOWER)
    return Problem(X, off_grid(X, k))


@cache
def tutorial_flower(k: int) -> Problem:
    """The tutorial's picture and exactly its start, ties and all."""
    X = pixels(TUTORIAL)
    return Problem(X, drawn(X, k))
