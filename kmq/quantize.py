"""Reducing pictures to few colours: one picture, or many to one palette."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kmq.clock import now
from kmq.colorspace import RANGE, Space, from_rgb, to_rgb
from kmq.files import WHITE, StrPath
from kmq.image import Image, IndexedImage, in_words, load_image
from kmq.metrics import delta_e_summary, psnr
from kmq.palette import Palette, check_laid
from kmq.remap import OPAQUE, Alpha, Dithering, VisibleColors, weighted_cost, with_opacity
from kmq.request import Request

if TYPE_CHECKING:
    from kmq.engine.colors import ColorSet
    from kmq.engine.dither import Dither
    from kmq.engine.palette_fit import PaletteSamples

_MOST_COLORS = 256
# Opaque pixels that share a centre with a few nearly opaque ones stay opaque.
_NEARLY_OPAQUE = 250
_NO_ROOM = "k must be at least 2 where some pixels are transparent and some not"


class TargetMissedError(ValueError):
    """No number of colours up to the limit reaches the quality asked for.

    Attributes
    ----------
    picture : IndexedImage or None
        The picture with as many colours as were allowed; None where a palette for many was wanted.
    """

    def __init__(self, message: str, picture: IndexedImage | None = None) -> None:
        super().__init__(message)
        self.picture = picture


@dataclass(frozen=True)
class _Found:
    """A palette of red, green, blue and opacity, and each distinct colour's row of it."""

    palette: NDArray[np.uint8]
    labels: NDArray[np.intp]
    inertia: float
    n_iter: int
    note: str | None


class _Problem:
    """Distinct colours of visible pixels, to be fitted with any number of clusters."""

    def __init__(
        self, colors: NDArray[np.uint8], counts: NDArray[np.int64], request: Request
    ) -> None:
        self.colors = colors
        self.counts = counts
        self._request = request

    @cached_property
    def _samples(self) -> "PaletteSamples":
        """The colours as the engine wants them, made once."""
        from kmq.engine.palette_fit import PaletteSamples

        rgb = np.ascontiguousarray(self.colors[:, :3])
        return PaletteSamples(rgb, self._features(self.colors), self.counts)

    def _features(self, colors: NDArray[np.uint8]) -> NDArray:
        """What distances are measured between: bytes where possible."""
        space = self._request.space
        rgb = np.ascontiguousarray(colors[:, :3])
        if self.colors.shape[1] == 3:
            return rgb if space == "rgb" else from_rgb(rgb, space)
        share = colors[:, 3:] / OPAQUE
        return np.hstack([from_rgb(rgb, space) * share, RANGE[space] * share])

    def _rounded(self, centers: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Centres as bytes of red, green, blue and opacity."""
        space = self._request.space
        if self.colors.shape[1] == 3:
            return with_opacity(to_rgb(centers, space))
        share = np.clip(centers[:, 3:] / RANGE[space], 1 / OPAQUE, 1)
        opacity = np.rint(OPAQUE * share).astype(np.uint8)
        opacity[opacity >= _NEARLY_OPAQUE] = OPAQUE
        return np.hstack([to_rgb(centers[:, :3] / share, space), opacity])

    def fit(self, k: int) -> _Found:
        """Find a palette of at most `k` colours."""
        from kmq.engine.palette_fit import fit_palette as fit

        request, fixed = self._request, self._request.fixed
        distinct = len(self.colors)
        note: str | None = None
        if len(fixed) > k:
            raise ValueError(f"{len(fixed)} colours are pinned, and the palette has room for {k}")
        if k >= distinct:
            everything = np.concatenate([with_opacity(self.colors), fixed])
            if k >= len(_unique(everything)[0]):
                if k > distinct:
                    note = f"the image has only {in_words(distinct)}; all are kept"
                return self._ordered(everything, np.arange(distinct), 0.0, 0, note)
        result = fit(
            self._samples,
            k,
            init=request.start(k),
            n_init=request.starts,
            max_iter=request.max_iter,
            tol=request.tol,
            rng=request.rng(),
            pinned=self._features(fixed).astype(np.float64),
        )
        palette = self._rounded(result.centers)
        palette[k - len(fixed) :] = fixed
        kept = len(_unique(palette)[0])
        if kept < k:
            note = f"the {k} centres round to {in_words(kept)}"
        return self._ordered(palette, result.labels, result.inertia, result.n_iter, note)

    def _ordered(
        self,
        palette: NDArray[np.uint8],
        labels: NDArray[np.integer],
        inertia: float,
        n_iter: int,
        note: str | None,
    ) -> _Found:
        """Merge equal colours, drop those without pixels unless pinned, most pixels first."""
        codes, first, row = _unique(palette)
        labels = row[labels]
        counts = np.bincount(labels, weights=self.counts, minlength=len(codes))
        kept = (counts > 0) | np.isin(codes, _unique(self._request.fixed)[0])
        order = np.argsort(-counts, kind="stable")
        order = order[kept[order]]
        rank = np.zeros(len(codes), np.intp)
        rank[order] = np.arange(len(order))
        return _Found(palette[first[order]], rank[labels], inertia, n_iter, note)

    def search(
        self,
        most: int,
        min_psnr: float | None,
        max_delta_e: float | None,
        *,
        nearest: bool = False,
    ) -> _Found | None:
        """Find the least number of colours that reaches a quality, by bisection.

        With `nearest`, it is that of colours laid on pixels as `Palette.apply` does.
        """

        def good(found: _Found) -> bool:
            labels: NDArray[np.integer] = found.labels
            if nearest:
                from kmq.engine.dither import map_to_palette

                labels = map_to_palette(self.colors, found.palette[:, :3])
            chosen = found.palette[labels]
            if min_psnr is not None:
                cost = weighted_cost(self.colors, chosen, self.counts)
                if psnr(cost) < min_psnr:
                    return False
            if max_delta_e is None:
                return True
            mean, _ = delta_e_summary(self.colors[:, :3], chosen[:, :3], self.counts)
            return mean <= max_delta_e

        best = self.fit(most)
        if not good(best):
            return None
        low, high = max(0, len(self._request.fixed) - 1), len(best.palette)
        while high - low > 1:
            k = (low + high) // 2
            found = self.fit(k)
            if good(found):
                high, best = k, found
            else:
                low = k
        return best


def _unique(palette: NDArray[np.uint8]) -> tuple[NDArray, NDArray[np.intp], NDArray[np.intp]]:
    """Codes of the distinct colours, ascending, a row of each, and the code of each row."""
    codes = palette.astype(np.uint32) @ np.array([1 << 24, 1 << 16, 1 << 8, 1], np.uint32)
    return np.unique(codes, return_index=True, return_inverse=True)


def quantize_image(
    img: Image,
    k: int | None = None,
    random_state: int | np.random.RandomState | None = None,
    *,
    init: Any = "auto",
    n_init: int | str = "auto",
    max_iter: int = 300,
    tol: float = 1e-5,
    space: Space = "rgb",
    dither: "Dither" = "none",
    strength: float = 1.0,
    serpentine: bool = True,
    pinned: ArrayLike | Iterable[str] | None = None,
    alpha: Alpha = "keep",
    matte: tuple[int, int, int] = WHITE,
    min_psnr: float | None = None,
    max_delta_e: float | None = None,
) -> IndexedImage:
    """Reduce a picture to `k` colours: the k-means of all its pixels, nothing sampled.

    The work is done on the distinct colours, weighted by their numbers of pixels. Pixels that
    are fully transparent have no part in it: one entry of the palette, the last, is theirs.

    Parameters
    ----------
    img : Image
        The picture; it is not altered.
    k : int, optional
        Colours wanted, at least 1, the entry for transparent pixels among them. A picture that
        has no more keeps all of its own; centres that round to the same colour (rare) become one.
        With a target, the most that may be used: 256 by default.
    random_state : int, RandomState or None
        Seed of the start: the same seed gives the same palette, and None is seed 0.
    init : {'auto', 'k-means++', 'random'} or (k, 3) array
        How to start. ``'auto'`` is the start of the best palettes for the time; ``'k-means++'``
        draws as kmq.KMeans does on weighted colours; an array is in the units of `space`.
    n_init : 'auto' or int
        Number of starts, of which the one with the lowest inertia is kept; 1 by default.
    max_iter, tol
        As in `kmq.KMeans`.
    space : {'rgb', 'linear', 'lab', 'oklab'}
        Space in which the squared error is minimised: sRGB values as they are, linear light,
        CIE L*a*b* or Oklab. ``inertia`` is in its units; ``palette``, ``cost`` and ``psnr`` are
        in sRGB always, so that results can be compared.
    dither : {'none', 'floyd-steinberg', 'atkinson', 'sierra', 'bayer'}
        How to dither, once the palette is found; in sRGB. Pixels of partial opacity are not
        dithered.
    strength : float
        Share of the error that is passed on, or of the pattern's amplitude, 0 to 1.
    serpentine : bool
        Whether error diffusion scans odd rows from right to left.
    pinned : (p, 3) array-like or hex strings, optional
        Colours that stay in the palette as they are, `k` of them at most.
    alpha : {'keep', 'matte', 'threshold'}
        What becomes of partial opacity: fitted as a fourth channel, with colours weighed by it;
        laid on `matte`; or opaque from 128, transparent below.
    matte : (red, green, blue)
        The ground of ``alpha='matte'``, 0 to 255.
    min_psnr : float, optional
        A target: the smallest number of colours with this PSNR in dB, before dithering.
    max_delta_e : float, optional
        A target: the smallest number of colours with this mean CIEDE2000 difference, before
        dithering, transparency aside.

    Returns
    -------
    IndexedImage
        The picture, with its palette, its error and how it was found.

    Raises
    ------
    ValueError
        If an argument is out of bounds or the picture has no pixels; `TargetMissedError` if `k`
        colours do not reach the target.

    Notes
    -----
    A target is met by bisection: the number of colours found meets it and the next lower one does
    not. k-means finds local optima, so that quality is not strictly monotone in the number of
    colours: now and then an even smaller number would meet the target too.
    """
    start = now()
    target = min_psnr is not None or max_delta_e is not None
    k = _checked_k(k, target)
    dithering = Dithering(dither, strength, serpentine)
    request = Request(init, n_init, max_iter, tol, space, pinned, random_state)
    visible = VisibleColors(img, alpha, matte)
    problem = _Problem(visible.colors.colors, visible.colors.counts, request)
    room = k - (visible.shown is not None)
    missed = False
    if len(problem.colors) == 0:
        found = _Found(np.empty((0, 4), np.uint8), np.empty(0, np.intp), 0.0, 0, None)
    elif room == 0:
        raise ValueError(_NO_ROOM)
    elif target:
        best = problem.search(room, min_psnr, max_delta_e)
        missed = best is None
        found = best or problem.fit(room)
    else:
        found = problem.fit(room)
    picture = visible.picture(
        found.palette,
        found.labels,
        dithering,
        start=start,
        inertia=found.inertia,
        n_iter=found.n_iter,
        note=None if target else found.note,
    )
    if missed:
        raise TargetMissedError(f"{in_words(k)} do not reach the target", picture)
    return picture


def fit_palette(
    images: Iterable[Image | StrPath],
    k: int | None = None,
    random_state: int | np.random.RandomState | None = None,
    *,
    init: Any = "auto",
    n_init: int | str = "auto",
    max_iter: int = 300,
    tol: float = 1e-5,
    space: Space = "rgb",
    pinned: ArrayLike | Iterable[str] | None = None,
    alpha: Alpha = "threshold",
    matte: tuple[int, int, int] = WHITE,
    reserve: bool = True,
    min_psnr: float | None = None,
    max_delta_e: float | None = None,
) -> Palette:
    """Fit one palette to many pictures: the k-means of all their pixels together.

    Only the distinct colours of the pictures so far are kept, with their numbers of pixels, and
    one picture at a time. Every pixel counts the same, so that a larger picture counts more.

    Parameters
    ----------
    images : iterable of Image, str or path
        The pictures; files are read one at a time.
    k : int, optional
        Colours wanted, at least 1. With a target, the most that may be used: 256 by default.
    random_state, init, n_init, max_iter, tol, space, pinned
        As for `quantize_image`.
    alpha, matte
        As for `Palette.apply`: which pixels are seen, and as what colours.
    reserve : bool
        Whether `k` counts the entry that `Palette.apply` adds for transparent pixels: where some
        picture has any, the palette is then one of ``k - 1`` colours.
    min_psnr, max_delta_e : float, optional
        Targets, as for `quantize_image`, for the pixels of all pictures together, each in the
        colour of the palette that is nearest in sRGB.

    Returns
    -------
    Palette
        Most pixels first.

    Raises
    ------
    ValueError
        If an argument is out of bounds, or no pixel is visible; `TargetMissedError` if `k`
        colours do not reach the target.
    ImageReadError
        If a file cannot be read.
    """
    from kmq.engine.palette_fit import merge_colors

    target = min_psnr is not None or max_delta_e is not None
    k = _checked_k(k, target)
    request = Request(init, n_init, max_iter, tol, space, pinned, random_state)
    check_laid(alpha)
    merged: ColorSet | None = None
    transparent = False
    for item in images:
        img = item if isinstance(item, Image) else load_image(item, alpha="keep")
        visible = VisibleColors(img, alpha, matte)
        transparent |= visible.shown is not None
        merged = merge_colors([visible.colors] if merged is None else [merged, visible.colors])
    if merged is None or len(merged.colors) == 0:
        raise ValueError("there is no visible pixel to fit a palette to")
    room = k - (transparent and reserve)
    if room == 0:
        raise ValueError(_NO_ROOM)
    problem = _Problem(merged.colors, merged.counts, request)
    found = problem.search(room, min_psnr, max_delta_e, nearest=True) if target else None
    if target and found is None:
        raise TargetMissedError(f"{in_words(k)} do not reach the target")
    found = found or problem.fit(room)
    counts = np.bincount(found.labels, weights=merged.counts, minlength=len(found.palette))
    return Palette(found.palette[:, :3], counts.astype(np.int64))


def _checked_k(k: int | None, target: bool) -> int:
    """Number of colours asked for, or allowed."""
    if k is None:
        if not target:
            raise TypeError("give k, or a target: min_psnr or max_delta_e")
        return _MOST_COLORS
    k = index(k)
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    return k
