"""How far one picture is from another: squared error, PSNR, SSIM and CIEDE2000."""

from dataclasses import dataclass
from math import inf, log10

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kmq.colorspace import from_rgb

# Pairs of colours whose differences are computed at once, to bound the memory of temporaries.
_PAIRS = 1 << 16
# Pixels that are looked at together, to bound that of whole pictures.
_TOGETHER = 1 << 20
# Half the side of the window of SSIM.
_REACH = 5


@dataclass(frozen=True)
class Comparison:
    """How far a picture is from its original.

    Attributes
    ----------
    cost : float
        Squared error summed over red, green and blue, mean over the pixels.
    psnr : float
        Peak signal-to-noise ratio in dB, 10 log₁₀(255² / (cost / 3)); infinite without error.
    ssim : float
        Mean structural similarity of luma, at most 1.
    delta_e_mean, delta_e_p95 : float
        Mean over the pixels, and 95th percentile, of the CIEDE2000 colour difference.
    """

    cost: float
    psnr: float
    ssim: float
    delta_e_mean: float
    delta_e_p95: float


def compare(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Comparison:
    """Compare two pictures of one size.

    Parameters
    ----------
    first, second : (H, W, 3) uint8 array
        sRGB.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If the sizes differ, or there are no pixels.
    """
    if first.shape != second.shape:
        sizes = (f"{shape[1]}x{shape[0]}" for shape in (first.shape, second.shape))
        raise ValueError(f"the pictures differ in size: {' and '.join(sizes)}")
    if first.size == 0:
        raise ValueError("the pictures have no pixels")
    mean, p95 = delta_e_summary(first.reshape(-1, 3), second.reshape(-1, 3))
    error = mean_squared_error(first, second)
    return Comparison(error, psnr(error), ssim(first, second), mean, p95)


def mean_squared_error(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Squared error summed over the last axis, mean over the others, exact until divided.

    Parameters
    ----------
    first, second : (..., 3) uint8 array
        sRGB.
    """
    total = 0
    for row, other in zip(
        first.reshape(len(first), -1), second.reshape(len(first), -1), strict=True
    ):
        difference = row.astype(np.int64) - other
        total += int(difference @ difference)
    return total * first.shape[-1] / first.size


def psnr(cost: float) -> float:
    """Peak signal-to-noise ratio in dB of a squared error summed over three channels."""
    return 10 * log10(255**2 * 3 / cost) if cost else inf


def ssim(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Mean structural similarity of the luma of two pictures.

    Wang, Bovik, Sheikh and Simoncelli (2004), IEEE Trans. Image Process. 13(4): a Gaussian
    window of standard deviation 1.5 cut at 11x11, K1 = 0.01, K2 = 0.03; luma by Rec. 601. A
    picture smaller than the window is mirrored at its edges.

    Parameters
    ----------
    first, second : (H, W, 3) uint8 array
        sRGB.

    Returns
    -------
    float
        1 where they are equal.
    """
    rows, columns = first.shape[:2]
    if min(rows, columns) <= 2 * _REACH:
        return float(_similarity(first, second).mean())
    total = 0.0
    inner = slice(_REACH, columns - _REACH)
    together = max(1, _TOGETHER // columns)
    for start in range(_REACH, rows - _REACH, together):
        stop = min(start + together, rows - _REACH)
        band = slice(start - _REACH, stop + _REACH)
        total += float(_similarity(first[band], second[band])[_REACH:-_REACH, inner].sum())
    return total / ((rows - 2 * _REACH) * (columns - 2 * _REACH))


def _similarity(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Structural similarity of the luma around each pixel, (H, W)."""
    from scipy.ndimage import gaussian_filter

    weights = np.array([0.299, 0.587, 0.114])
    x, y = first @ weights, second @ weights

    def blur(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return gaussian_filter(values, 1.5, radius=_REACH, mode="reflect")

    mean_x, mean_y = blur(x), blur(y)
    variance_x = blur(x * x) - mean_x**2
    variance_y = blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    )


def delta_e_summary(
    first: NDArray[np.uint8],
    second: NDArray[np.uint8],
    weight: NDArray[np.int64] | None = None,
) -> tuple[float, float]:
    """Mean and 95th percentile of the CIEDE2000 difference between pairs of colours.

    Parameters
    ----------
    first, second : (n, 3) uint8 array
        sRGB.
    weight : (n,) int64 array or None
        Pixels of each pair, 1 by default.

    Returns
    -------
    mean, p95 : float
        The percentile is the least difference that at least 95 % of the pixels do not exceed.
    """
    n = len(first)
    weight = np.ones(n, np.int64) if weight is None else weight
    of_all = int(weight.sum())
    total, seen = 0.0, 0
    # The highest values so far, ascending: the percentile can be none below them.
    values, counts = np.empty(0), np.empty(0, np.int64)
    for start in range(0, n, _TOGETHER):
        some = slice(start, start + _TOGETHER)
        new, new_counts = _differences(first[some], second[some], weight[some])
        total += float(new @ new_counts)
        seen += int(new_counts.sum())
        values, counts = np.concatenate([values, new]), np.concatenate([counts, new_counts])
        order = np.argsort(values)
        values, counts = values[order], counts[order]
        above = counts.sum() - np.cumsum(counts)
        least = np.searchsorted(of_all - above, 0.95 * of_all)
        values, counts = values[least:], counts[least:]
    return total / seen, float(values[0])


def _differences(
    first: NDArray[np.uint8], second: NDArray[np.uint8], weight: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """CIEDE2000 differences of the distinct pairs, and what each of these weighs."""
    shifts = np.array([40, 32, 24, 16, 8, 0], np.uint64)
    pairs = np.zeros(len(first), np.uint64)
    for channel, shift in zip((*first.T, *second.T), shifts, strict=True):
        pairs |= channel.astype(np.uint64) << shift
    pairs, place = np.unique(pairs, return_inverse=True)
    counts = np.zeros(len(pairs), np.int64)
    np.add.at(counts, place, weight)
    values = np.empty(len(pairs))
    for start in range(0, len(pairs), _PAIRS):
        some = slice(start, start + _PAIRS)
        both = (pairs[some, np.newaxis] >> shifts).astype(np.uint8)
        values[some] = delta_e(from_rgb(both[:, :3], "lab"), from_rgb(both[:, 3:], "lab"))
    return values, counts


def delta_e(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """CIEDE2000 colour difference of pairs of CIE L*a*b* colours.

    Sharma, Wu and Dalal (2005), *The CIEDE2000 color-difference formula*, Color Research and
    Application 30(1), with all weights 1.

    Parameters
    ----------
    first, second : (..., 3) array-like
        L*, a* and b*.

    Returns
    -------
    (...) float64 array
    """
    l1, a1, b1 = np.moveaxis(np.asarray(first, np.float64), -1, 0)
    l2, a2, b2 = np.moveaxis(np.asarray(second, np.float64), -1, 0)
    mean_c7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    stretch = 1.5 - 0.5 * np.sqrt(mean_c7 / (mean_c7 + 25.0**7))
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    grey = c1 * c2 == 0

    turn = h2 - h1
    turn = np.where(turn > 180, turn - 360, np.where(turn < -180, turn + 360, turn))
    delta_h = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(np.where(grey, 0, turn)) / 2)
    total = h1 + h2
    around = np.where(total < 360, total + 360, total - 360) / 2
    hue = np.where(grey, total, np.where(np.abs(h1 - h2) <= 180, total / 2, around))

    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2
    t = (
        1
        - 0.17 * np.cos(np.radians(hue - 30))
        + 0.24 * np.cos(np.radians(2 * hue))
        + 0.32 * np.cos(np.radians(3 * hue + 6))
        - 0.20 * np.cos(np.radians(4 * hue - 63))
    )
    s_l = 1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2)
    s_c = 1 + 0.045 * mean_c
    s_h = 1 + 0.015 * mean_c * t
    twist = np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2)))
    rotation = -np.sin(twist) * 2 * np.sqrt(mean_c**7 / (mean_c**7 + 25.0**7))
    lightness, chroma, tint = (l2 - l1) / s_l, (c2 - c1) / s_c, delta_h / s_h
    return np.sqrt(lightness**2 + chroma**2 + tint**2 + rotation * chroma * tint)
