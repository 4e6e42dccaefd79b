"""Palettes: colours with their counts, in files, in order, and laid on pictures."""

import os
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from kmq.clock import now
from kmq.files import (
    WHITE,
    ImageNotFoundError,
    ImageReadError,
    StrPath,
    check_output,
    name_of,
    reason_of,
    write_whole,
)

if TYPE_CHECKING:
    from kmq.engine.dither import Dither
    from kmq.image import Image, IndexedImage
    from kmq.remap import Alpha

SortKey = Literal["population", "luminance", "hue"]
_HEX = re.compile(r"#?([0-9a-fA-F]{6}|[0-9a-fA-F]{3})")


class Palette:
    """Colours, and how many pixels have each.

    Parameters
    ----------
    colors : (k, 3) array-like, or strings such as ``"#ff8000"``
        sRGB, 0 to 255; at least one.
    counts : (k,) array-like of int, optional
        Pixels of each colour, where known.
    name : str
        What the files that have room for a name call it.

    Attributes
    ----------
    colors : (k, 3) uint8 array
    counts : (k,) int64 array or None
    name : str

    Raises
    ------
    ValueError
        If these are no colours, or not as many counts.
    """

    def __init__(
        self,
        colors: ArrayLike | Iterable[str],
        counts: ArrayLike | None = None,
        *,
        name: str = "",
    ) -> None:
        self.colors = as_colors(colors)
        if len(self.colors) == 0:
            raise ValueError("a palette has at least one colour")
        self.counts: NDArray[np.int64] | None = None
        if counts is not None:
            self.counts = np.asarray(counts, np.int64)
            if self.counts.shape != (len(self.colors),) or self.counts.min() < 0:
                raise ValueError("counts must be one whole number, not negative, for each colour")
        self.name = name

    @property
    def fractions(self) -> NDArray[np.float64] | None:
        """Share of the pixels of each colour, (k,); None where counts are not known or zero."""
        if self.counts is None or not self.counts.any():
            return None
        return self.counts / self.counts.sum()

    @property
    def hex(self) -> list[str]:
        """The colours as ``#rrggbb``."""
        return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in self.colors.tolist()]

    def __len__(self) -> int:
        return len(self.colors)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        return (tuple(color) for color in self.colors.tolist())

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.colors, dtype, copy=copy)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Palette):
            return NotImplemented
        return np.array_equal(self.colors, other.colors) and (
            np.array_equal(self.counts, other.counts)
            if self.counts is not None and other.counts is not None
            else self.counts is other.counts
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = self.hex[:8] + ["…"] * (len(self) > 8)
        return f"<Palette of {len(self)}: {' '.join(shown)}>"

    def _repr_html_(self) -> str:
        fractions = self.fractions
        cells = []
        for row, color in enumerate(self.hex):
            share = "" if fractions is None else f" {fractions[row]:.1%}"
            width = 1.0 if fractions is None else max(float(fractions[row]), 0.004)
            cells.append(
                f'<span title="{color}{share}" style="background:{color};flex:{width:.4f}"></span>'
            )
        return f'<div style="display:flex;height:2.5em;max-width:40em">{"".join(cells)}</div>'

    def sorted(self, by: SortKey = "population") -> "Palette":
        """Put the colours in order.

        Parameters
        ----------
        by : {'population', 'luminance', 'hue'}
            Most pixels first; darkest first, by CIE luminance; or around the circle of Oklab's
            hues from red, greys (chroma below 0.02) first and by luminance.

        Returns
        -------
        Palette
            Equals keep their order.

        Raises
        ------
        ValueError
            If there is no such order, or counts would be needed and are not known.
        """
        from kmq.colorspace import from_rgb

        if by == "population":
            if self.counts is None:
                raise ValueError("a palette without counts cannot be sorted by population")
            order = np.argsort(-self.counts, kind="stable")
        elif by == "luminance":
            light = from_rgb(self.colors, "linear") @ (0.2126, 0.7152, 0.0722)
            order = np.argsort(light, kind="stable")
        elif by == "hue":
            lightness, a, b = from_rgb(self.colors, "oklab").T
            grey = np.hypot(a, b) < 0.02
            hue = np.where(grey, -1.0, np.arctan2(b, a) % (2 * np.pi))
            order = np.lexsort([lightness, hue])
        else:
            raise ValueError(f"by must be one of {', '.join(get_args(SortKey))}, got {by!r}")
        counts = None if self.counts is None else self.counts[order]
        return Palette(self.colors[order], counts, name=self.name)

    def apply(
        self,
        img: "Image",
        *,
        dither: "Dither" = "none",
        strength: float = 1.0,
        serpentine: bool = True,
        alpha: "Alpha" = "threshold",
        matte: tuple[int, int, int] = WHITE,
    ) -> "IndexedImage":
        """Map a picture to the colours of this palette, each pixel to the nearest in sRGB.

        Parameters
        ----------
        img : Image
            The picture; it is not altered.
        dither, strength, serpentine
            As for `kmq.image.quantize_image`.
        alpha : {'threshold', 'matte'}
            Whether opacity from 128 is taken as full and less as none, or partial opacity is laid
            on `matte`. Transparent pixels get an entry of their own after the others.
        matte : (red, green, blue)
            The ground, 0 to 255.

        Returns
        -------
        IndexedImage
            Its palette is this one, in this order, whether or not all of it is used.

        Raises
        ------
        ValueError
            If an argument is out of bounds or the picture has no pixels.
        """
        from kmq.engine.dither import map_to_palette
        from kmq.remap import Dithering, VisibleColors, with_opacity

        start = now()
        check_laid(alpha)
        dithering = Dithering(dither, strength, serpentine)
        visible = VisibleColors(img, alpha, matte)
        labels = map_to_palette(visible.colors.colors, self.colors)
        difference = visible.colors.colors.astype(np.int64) - self.colors[labels]
        inertia = float((difference**2).sum(axis=1) @ visible.colors.counts)
        return visible.picture(
            with_opacity(self.colors),
            labels,
            dithering,
            start=start,
            inertia=inertia,
            n_iter=0,
            note=None,
        )

    @classmethod
    def from_file(cls, path: StrPath) -> "Palette":
        """Read a palette.

        Parameters
        ----------
        path : str or path
            By its ending: hexadecimal text (``.txt``, ``.hex``), ``.json``, ``.css``, GIMP's
            ``.gpl``, Adobe's ``.ase`` and ``.act``; else a picture, whose palette it is if it has
            one, and whose distinct colours otherwise, most pixels first.

        Returns
        -------
        Palette

        Raises
        ------
        ImageReadError
            If the file is damaged or holds no colours; `ImageNotFoundError` if there is none.
        """
        from kmq.palette_files import READERS, read_swatch

        reader = READERS.get(os.path.splitext(path)[1].lower())
        if reader is None:
            return read_swatch(path)
        try:
            with open(path, "rb") as file:
                return reader(file.read())
        except FileNotFoundError as error:
            raise ImageNotFoundError(f"cannot read {name_of(path)}: no such file") from error
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ImageReadError(f"cannot read {name_of(path)}: {reason_of(error)}") from error

    def save(self, path: StrPath, *, overwrite: bool = True, proportional: bool = True) -> None:
        """Write the palette.

        Parameters
        ----------
        path : str or path
            By its ending: hexadecimal text (``.txt``, ``.hex``), ``.json``, ``.css`` (custom
            properties), GIMP's ``.gpl``, Adobe's ``.ase`` and ``.act``, or a swatch in ``.png``.
        overwrite : bool
            Whether a file that is there already may be replaced.
        proportional : bool
            Whether a swatch gives each colour its share of the width, where counts are known.

        Raises
        ------
        ImageWriteError
            If the file cannot be written or its kind cannot hold the palette;
            `OutputExistsError` if it is there and `overwrite` is false.
        """
        from kmq.palette_files import encode_palette

        check_output(path, overwrite=overwrite)
        write_whole(path, encode_palette(self, path, proportional=proportional))


def check_laid(alpha: str) -> None:
    """Refuse to keep partial opacity where colours of a palette are laid on pixels."""
    if alpha == "keep":
        raise ValueError("the colours of a palette are opaque: alpha must be threshold or matte")


def as_colors(colors: ArrayLike | Iterable[str]) -> NDArray[np.uint8]:
    """Take colours as (n, 3) uint8, from numbers 0 to 255 or strings of hexadecimal digits."""
    items: Any = colors
    if not isinstance(colors, np.ndarray | Palette):
        items = list(colors)  # type: ignore[arg-type]
        if items and all(isinstance(item, str) for item in items):
            return np.array([_of_hex(item) for item in items], np.uint8)
    values = np.asarray(items)
    if values.size == 0:
        return np.empty((0, 3), np.uint8)
    if values.ndim != 2 or values.shape[1] != 3 or values.dtype.kind not in "iuf":
        raise ValueError(f"colours must be of shape (n, 3), got {values.shape}")
    whole = np.rint(values)
    if not np.all((whole >= 0) & (whole <= 255)):
        raise ValueError("colours must lie between 0 and 255")
    return np.ascontiguousarray(whole.astype(np.uint8))


def _of_hex(text: str) -> tuple[int, int, int]:
    """Red, green and blue of ``#rrggbb`` or ``#rgb``."""
    match = _HEX.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a colour such as #ff8000")
    digits = match[1] if len(match[1]) == 6 else "".join(digit * 2 for digit in match[1])
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue
