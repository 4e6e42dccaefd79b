"""What is solved: samples, first centres and the tutorial's stopping rule."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
FLOWER = ROOT / "img" / "flower.jpg"
TUTORIAL = ROOT.parent / "shared" / "seed" / "flower.jpg"
SEED = 44


@dataclass(frozen=True, eq=False)
class Problem:
    """Samples to cluster and the centres every competitor starts from.

    The fit ends when the Frobenius norm of the centres' movement falls below `tol`, or after
    `max_iter` iterations.
    """

    X: NDArray
    start: NDArray[np.float64]
    tol: float = 1e-2
    max_iter: int = 100

    @property
    def relative_tol(self) -> float:
        """The same rule in scikit-learn's terms: a square, relative to the mean variance."""
        return self.tol**2 / float(np.var(self.X, axis=0).mean())


@cache
def pixels(path: Path) -> NDArray[np.uint8]:
    """All pixels of an image, as the tutorial hands them to its model."""
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).reshape(-1, 3)


@cache
def own_flower(k: int) -> Problem:
    """The project's picture and a start that no two correct programs can tell apart.

    Drawn pixels alone leave many pixels at exactly the same distance from two centres, and
    tools that compute distances in another way break those ties in another way. Off the
    integer grid there are none, so all must arrive at the same centres.
    """
    X, rng = pixels(FLOWER), np.random.default_rng(SEED)
    start = rng.choice(X, size=k, replace=False).astype(np.float64)
    return Problem(X, start + rng.uniform(-0.5, 0.5, start.shape))


@cache
def tutorial_flower(k: int) -> Problem:
    """The tutorial's picture and exactly its start, ties and all."""
    X = pixels(TUTORIAL)
    start = np.random.default_rng(SEED).choice(X, size=k, replace=False)
    return Problem(X, start.astype(np.float64))
