"""k-means of weighted colours, for palettes: a good start, pinned colours, any colour space."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kmq.engine import seeding
from kmq.engine.color_step import ColorCells, ColorStep
from kmq.engine.colors import ColorSet, morton_bits
from kmq.engine.lloyd import Fit, lloyd
from kmq.engine.samples import FloatSamples
from kmq.engine.steps import Step, means_of
from kmq.engine.ties import TieRule


@dataclass(frozen=True)
class PaletteFit:
    """A palette before it is rounded.

    Attributes
    ----------
    centers : (k, d) float64 array
        Centres, in the units of the samples.
    labels : (m,) int32 array
        Centre of each distinct colour.
    inertia : float
        Weighted squared distances of the colours to their centres.
    n_iter : int
        Iterations of the start that was kept.
    """

    centers: NDArray[np.float64]
    labels: NDArray[np.int32]
    inertia: float
    n_iter: int


class PinnedStep:
    """A step whose last centres stay where they are.

    Parameters
    ----------
    step : Step
        What does the work.
    pinned : int
        How many centres.
    """

    def __init__(self, step: Step, pinned: int) -> None:
        self._step = step
        self.pinned = pinned
        self.mean = step.mean
        self.relabel = step.relabel
        self.assigned_inertia = step.assigned_inertia
        self.inertia = step.inertia
        self.n_filled = step.n_filled
        self.sq_distances = step.sq_distances
        self.sample = step.sample

    @property
    def labels(self) -> NDArray[np.int32]:
        """See `Step`."""
        return self._step.labels

    @property
    def sums(self) -> NDArray:
        """See `Step`."""
        return self._step.sums

    @property
    def counts(self) -> NDArray:
        """See `Step`; a pinned cluster never counts as empty."""
        counts = self._step.counts.astype(np.float64)
        counts[-self.pinned :] = np.maximum(counts[-self.pinned :], 1.0)
        return counts

    def means(self, centers: NDArray) -> tuple[NDArray, float] | None:
        """See `Step`."""
        return means_of(self.sums, self.counts, centers, self.pinned)

    def assign(self, centers: NDArray, ties: TieRule | None = None) -> bool:
        """See `Step`."""
        return self._step.assign(centers, ties)


def merge_colors(sets: list[ColorSet]) -> ColorSet:
    """Merge sets of distinct colours of three channels into one, exactly.

    Parameters
    ----------
    sets : list of ColorSet
        At least one.

    Returns
    -------
    ColorSet
        In Morton order, without an index.
    """
    colors = np.concatenate([part.colors for part in sets])
    counts = np.concatenate([part.counts for part in sets])
    _, first, inverse = np.unique(morton_codes(colors), return_index=True, return_inverse=True)
    merged = np.zeros(len(first), np.int64)
    np.add.at(merged, inverse, counts)
    return ColorSet(colors[first], merged, None)


def morton_codes(rgb: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """(n,) Morton codes of colours of three channels."""
    red, green, blue = morton_bits(3)
    return red[rgb[:, 0]] | green[rgb[:, 1]] | blue[rgb[:, 2]]


class PaletteSamples:
    """Distinct colours with their pixels, prepared once for fits of any number of clusters.

    Parameters
    ----------
    rgb : (m, 3) uint8 array
        Distinct colours in sRGB, in Morton order.
    colors : (m, d) uint8 or float64 array
        What distances are measured between: the same, or coordinates in another space.
    counts : (m,) int64 array
        Pixels of each.
    """

    def __init__(self, rgb: NDArray[np.uint8], colors: NDArray, counts: NDArray[np.int64]) -> None:
        self._rgb = rgb
        self._colors = colors
        self._counts = counts
        self._cells: ColorCells | None = None
        if colors.dtype == np.uint8:
            self._cells = ColorCells(ColorSet(colors, counts, None))
            self.floats = self._cells.floats
        else:
            self.floats = np.ascontiguousarray(colors, np.float64)
            self.floats.flags.writeable = False
        self.weight = counts.astype(np.float64)
        self.weight.flags.writeable = False

    def step(self, k: int) -> Step:
        """Return the fastest step for `k` clusters."""
        if self._cells is not None:
            return ColorStep(self._cells, k)
        return FloatSamples(self.floats, self.weight).step(k)

    def mean_variance(self) -> float:
        """Mean variance of the channels, whatever the colours weigh."""
        if self._cells is not None:
            return self._cells.mean_variance()
        return float(FloatSamples(self.floats).mean_variance())

    def start(self, k: int, init: str, rng: np.random.RandomState) -> NDArray[np.float64]:
        """(k, d) centres to start from."""
        if init == "random":
            return self.floats[seeding.random_rows(self.weight, k, rng)]
        if init == "auto" and self.floats.shape[1] == 3:
            from kmq.engine.palette_start import good_start

            centers = good_start(morton_codes(self._rgb), self._colors, self._counts, k)
            if centers is not None:
                return centers
        return self._plus_plus(k, rng)

    def _plus_plus(self, k: int, rng: np.random.RandomState) -> NDArray[np.float64]:
        """(k, d) colours picked by k-means++."""
        if self._cells is None:
            return FloatSamples(self.floats, self.weight).plus_plus(k, rng)
        from kmq.engine.color_seeding import pick_colors

        return self.floats[pick_colors(self._cells, self.weight, False, k, rng)]


def fit_palette(
    samples: PaletteSamples,
    k: int,
    *,
    init: str | NDArray,
    n_init: int,
    max_iter: int,
    tol: float,
    rng: np.random.RandomState,
    pinned: NDArray[np.float64],
) -> PaletteFit:
    """Fit `k` centres, the last of them pinned where some are.

    Parameters
    ----------
    samples : PaletteSamples
        The colours.
    k : int
        Number of centres, at most that of the colours.
    init : {'auto', 'k-means++', 'random'} or (k, d) array
        How to start.
    n_init : int
        Number of starts, of which the one with the lowest inertia is kept.
    max_iter : int
        The most iterations of one start.
    tol : float
        As for `kmq.KMeans`.
    rng : numpy.random.RandomState
        Source of randomness.
    pinned : (p, d) array
        Centres that stay, `k` of them at most.

    Returns
    -------
    PaletteFit
    """
    free = k - len(pinned)
    scaled = samples.mean_variance() * tol
    best: Fit | None = None
    for _ in range(n_init):
        centers = np.empty((k, samples.floats.shape[1]))
        if not isinstance(init, str):
            centers[:] = init
        elif free:
            centers[:free] = samples.start(free, init, rng)
        centers[free:] = pinned
        step: Step = samples.step(k)
        if free < k:
            step = PinnedStep(step, len(pinned))
        fit = lloyd(step, centers, max_iter=max_iter, tol=scaled)
        if best is None or fit.inertia < best.inertia:
            best = fit
    assert best is not None
    return PaletteFit(best.centers, best.labels, float(best.inertia), best.n_iter)
