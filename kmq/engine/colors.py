"""Pixels as a weighted set of distinct colours."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ColorSet:
    """The distinct colours of some pixels.

    Attributes
    ----------
    colors : (m, d) uint8
        Distinct colours, in Morton order.
    counts : (m,) int64
        Number of pixels of each colour.
    index : (n,) int32 or None
        Row of `colors` of each pixel, where asked for.
    """

    colors: NDArray[np.uint8]
    counts: NDArray[np.int64]
    index: NDArray[np.int32] | None


def distinct_colors(pixels: NDArray[np.uint8], return_index: bool = True) -> ColorSet:
    """Find the distinct colours of pixels, and how often each occurs.

    Parameters
    ----------
    pixels : (n, d) uint8
        Pixels of 1 to 4 channels.
    return_index : bool, default=True
        Whether to return each pixel's row of the colours too.

    Returns
    -------
    ColorSet
    """
    colors, index, counts = np.unique(pixels, axis=0, return_inverse=True, return_counts=True)
    return ColorSet(colors, counts, index.astype(np.int32) if return_index else None)
