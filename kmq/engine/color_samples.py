"""8-bit pixels as what a fit works on: their distinct colours."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kmq.engine import seeding
from kmq.engine.color_seeding import pick_colors
from kmq.engine.color_step import ColorCells, ColorStep
from kmq.engine.colors import ColorSet, distinct_colors
from kmq.engine.steps import Step


class ColorSamples:
    """Pixels of 8 bits, as their distinct colours.

    Parameters
    ----------
    pixels : (n, d) uint8
        Pixels of 1 to 4 channels, C order.
    weight : (n,) float64, optional
        Whole weights of a total below `MOST_WEIGHT`; 1 for each by default.
    shared : bool, default=False
        Whether several fits work on these samples. Else labels are spread once, and in place.
    """

    def __init__(
        self, pixels: NDArray[np.uint8], weight: NDArray | None = None, shared: bool = False
    ) -> None:
        self._shared = shared
        self._pixels = pixels
        self._weight = weight
        found = distinct_colors(pixels)
        if weight is None:
            self.cells = ColorCells(found)
            return
        whole = weight.astype(np.int64)
        assert found.index is not None
        counts = np.zeros(len(found.colors), np.int64)
        np.add.at(counts, found.index, whole)
        sorted_set = len(found.colors) == len(pixels) and (found.colors == pixels).all()
        index = None if sorted_set else found.index
        self.cells = ColorCells(
            ColorSet(found.colors, counts, index), None if sorted_set else whole
        )

    def __len__(self) -> int:
        return len(self._pixels)

    @property
    def dtype(self) -> np.dtype:
        """See `Samples`."""
        return np.dtype(np.float64)

    @cached_property
    def floats(self) -> NDArray[np.float64]:
        """See `Samples`."""
        floats = self._pixels.astype(np.float64)
        floats.flags.writeable = False
        return floats

    @cached_property
    def weight(self) -> NDArray[np.float64]:
        """See `Samples`."""
        return np.broadcast_to(1.0, len(self)) if self._weight is None else self._weight

    def mean(self) -> NDArray[np.float64]:
        """See `Samples`."""
        return self.cells.mean()

    def foresee_variance(self) -> None:
        """See `Samples`: of colours it takes no time."""

    def mean_variance(self) -> float:
        """See `Samples`."""
        return self.cells.mean_variance()

    def step(self, k: int) -> Step:
        """See `Samples`."""
        return ColorStep(self.cells, k)

    def plus_plus(self, k: int, rng: np.random.RandomState) -> NDArray:
        """See `Samples`."""
        picked = pick_colors(self.cells, self.weight, self._weight is None, k, rng)
        return self._pixels[picked].astype(np.float64)

    def random(self, k: int, rng: np.random.RandomState) -> NDArray:
        """See `Samples`."""
        return self._pixels[seeding.random_rows(self.weight, k, rng)].astype(np.float64)

    def spread(self, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        """See `Samples`."""
        colors = self.cells.colors
        return labels if colors.index is None else colors.spread(labels, last=not self._shared)
