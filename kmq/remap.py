"""From pixels to their distinct visible colours, and from a palette back to a picture."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from kmq.clock import now
from kmq.image import Image, IndexedImage, in_words

if TYPE_CHECKING:
    from kmq.engine.colors import ColorSet
    from kmq.engine.dither import Dither

Alpha = Literal["keep", "matte", "threshold"]
OPAQUE = 255
_HALF = 128
_ROWS = 1 << 16


@dataclass(frozen=True)
class Dithering:
    """How to dither; see `kmq.quantize.quantize_image`."""

    method: "Dither" = "none"
    strength: float = 1.0
    serpentine: bool = True

    def __post_init__(self) -> None:
        methods = ("none", "floyd-steinberg", "atkinson", "sierra", "bayer")
        if self.method not in methods:
            raise ValueError(f"dither must be one of {', '.join(methods)}, got {self.method!r}")
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength must lie between 0 and 1, got {self.strength}")


class VisibleColors:
    """The pixels of a picture that can be seen, as distinct colours.

    Parameters
    ----------
    img : Image
        The picture.
    alpha : {'keep', 'matte', 'threshold'}
        What becomes of partial opacity.
    matte : (red, green, blue)
        The ground of ``alpha='matte'``.

    Attributes
    ----------
    shown : (H, W) bool or None
        Pixels that are not fully transparent; None where all are.
    colors : ColorSet
        Their distinct colours, of red, green and blue, and of opacity where some is partial.
    """

    def __init__(self, img: Image, alpha: Alpha, matte: tuple[int, int, int]) -> None:
        from kmq.engine.colors import distinct_colors

        if alpha not in get_args(Alpha):
            raise ValueError(f"alpha must be one of {', '.join(get_args(Alpha))}, got {alpha!r}")
        if img.rgb_vector.size == 0:
            raise ValueError("the image has no pixels")
        self._img = img
        self._pixels = img.rgb_matrix
        self.shown: NDArray[np.bool_] | None = None
        opacity = img.alpha
        if opacity is not None:
            if alpha == "threshold":
                opacity = np.where(opacity >= _HALF, np.uint8(OPAQUE), np.uint8(0))
            elif alpha == "matte":
                self._pixels = _on_ground(self._pixels, opacity, matte)
                opacity = np.where(opacity > 0, np.uint8(OPAQUE), np.uint8(0))
            if not opacity.all():
                self.shown = opacity > 0
            if ((opacity > 0) & (opacity < OPAQUE)).any():
                self._pixels = np.dstack([self._pixels, opacity])
        self.colors: ColorSet = distinct_colors(self._visible(self._pixels), return_index=False)

    def _visible(self, values: NDArray) -> NDArray:
        """What belongs to the visible pixels, in a row."""
        if self.shown is None:
            return values.reshape(-1, *values.shape[2:])
        return values[self.shown]

    def picture(
        self,
        palette: NDArray[np.uint8],
        labels: NDArray[np.integer],
        dithering: Dithering,
        *,
        start: float,
        **details: Any,
    ) -> IndexedImage:
        """Paint the picture with a palette, and one entry more where not all pixels are shown.

        Parameters
        ----------
        palette : (k, 4) uint8
            Red, green, blue and opacity; at least one colour if any pixel is visible.
        labels : (m,) integer
            Row of `palette` of every distinct colour, if not dithered.
        dithering : Dithering
            How to dither.
        start : float
            When the work began, by `kmq.clock.now`.
        **details
            ``inertia``, ``n_iter`` and ``note`` of the `IndexedImage`.

        Returns
        -------
        IndexedImage
        """
        n_entries = len(palette) + (self.shown is not None)
        dtype = np.min_scalar_type(max(n_entries - 1, 0))
        visible = self._visible(self._pixels)
        dithered = dithering.method != "none" and len(visible) > 0
        flat = self.colors.look_up(visible, labels.astype(dtype))
        if self.shown is None:
            indices = flat.reshape(self._pixels.shape[:2])
        else:
            indices = np.full(self._pixels.shape[:2], n_entries - 1, dtype)
            indices[self.shown] = flat
        if dithered:
            self._dither(palette, indices, dithering)
        seconds = now() - start
        if dithered:
            cost = self._cost(palette, indices)
            counts = np.bincount(indices.ravel(), minlength=n_entries)
        else:
            cost = weighted_cost(self.colors.colors, palette[labels], self.colors.counts)
            # Counting 17 million indices would take 38 ms.
            counts = np.bincount(labels, self.colors.counts, n_entries).astype(np.int64)
            if self.shown is not None:
                counts[-1] = self.shown.size - len(visible)
        if self.shown is not None:
            palette = np.vstack([palette, np.zeros((1, 4), np.uint8)])
        opacity = np.ascontiguousarray(palette[:, 3])
        return IndexedImage(
            np.ascontiguousarray(palette[:, :3]),
            indices,
            counts=counts,
            cost=cost,
            seconds=seconds,
            distinct=len(self.colors.colors),
            title=in_words(len(palette)),
            palette_alpha=None if (opacity == OPAQUE).all() else opacity,
            icc_profile=self._img.icc_profile,
            **details,
        )

    def _dither(
        self, palette: NDArray[np.uint8], indices: NDArray[np.unsignedinteger], how: Dithering
    ) -> None:
        """Replace the indices of opaque pixels by dithered ones.

        Colours are chosen among those that are opaque and those, not quite so, that some opaque
        pixels had before: where clusters mix both, few others may be left.
        """
        from kmq.engine.dither import dither

        shown = self.shown
        usable = palette[:, 3] == OPAQUE
        if self._pixels.shape[2] == 4:
            shown = self._pixels[..., 3] == OPAQUE
            usable[indices[shown]] = True
        rows = np.flatnonzero(usable)
        if len(rows) == 0:
            return
        chosen = dither(
            self._pixels[..., :3],
            palette[rows, :3],
            how.method,
            strength=how.strength,
            serpentine=how.serpentine,
            shown=shown,
        )
        chosen = rows.astype(indices.dtype)[chosen]
        if shown is None:
            indices[:] = chosen
        else:
            indices[shown] = chosen[shown]

    def _cost(self, palette: NDArray[np.uint8], indices: NDArray[np.unsignedinteger]) -> float:
        """Mean squared error of the visible pixels."""
        pixels, rows = self._visible(self._pixels), self._visible(indices)
        total = 0.0
        for start in range(0, len(rows), _ROWS):
            part = slice(start, start + _ROWS)
            total += float(sq_errors(pixels[part], palette[rows[part]]).sum())
        return total / len(rows)


def sq_errors(colors: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Squared error of colours, of partial opacity where they have four channels.

    Parameters
    ----------
    colors : (n, 3) or (n, 4) uint8
        sRGB and opacity.
    others : (n, 4) uint8
        What they are compared with.

    Returns
    -------
    (n,) float64
        Summed over red, green and blue; with opacity, of these times opacity, and of opacity.
    """
    if colors.shape[1] == 3:
        difference = colors.astype(np.float64) - others[:, :3]
    else:
        difference = _weighed(colors) - _weighed(others)
    return np.einsum("ij,ij->i", difference, difference)


def weighted_cost(
    colors: NDArray[np.uint8], others: NDArray[np.uint8], counts: NDArray[np.int64]
) -> float:
    """Mean squared error of colours with numbers of pixels; 0 where there are none."""
    total = counts.sum()
    return float(sq_errors(colors, others) @ counts / total) if total else 0.0


def with_opacity(colors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colours of four channels, (n, 4), opaque where these were three."""
    if colors.shape[1] == 4:
        return colors
    return np.column_stack([colors, np.full(len(colors), OPAQUE, np.uint8)])


def _weighed(rgba: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Colours times their opacity, and opacity."""
    wide = rgba.astype(np.float64)
    wide[:, :3] *= wide[:, 3:] / OPAQUE
    return wide


def _on_ground(
    pixels: NDArray[np.uint8], opacity: NDArray[np.uint8], matte: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """Lay pixels of partial opacity on a ground."""
    ground = np.asarray(matte)
    if ground.shape != (3,) or not ((ground >= 0) & (ground <= OPAQUE)).all():
        raise ValueError(f"matte must be three values from 0 to {OPAQUE}, got {matte!r}")
    share = opacity[..., np.newaxis] / OPAQUE
    return np.rint(pixels * share + ground * (1 - share)).astype(np.uint8)
