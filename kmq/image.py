"""Pictures as arrays, and pictures of few colours.

NumPy is all that importing this costs: Pillow, Numba and Matplotlib are imported by what needs
them.
"""

import base64
import html
import os
from functools import cached_property
from math import inf, log10
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from kmq.encode import encode, format_of
from kmq.files import (
    WHITE,
    AlphaIn,
    ColorProfileWarning,
    IccIn,
    ImageError,
    ImageNotFoundError,
    ImageReadError,
    ImageWriteError,
    OutputExistsError,
    StrPath,
    check_output,
    read_picture,
    write_whole,
)
from kmq.plots import display_image, display_images, plot_rgb_vector

if TYPE_CHECKING:
    from kmq.palette import Palette

__all__ = [
    "ColorProfileWarning",
    "Image",
    "ImageError",
    "ImageNotFoundError",
    "ImageReadError",
    "ImageWriteError",
    "IndexedImage",
    "OutputExistsError",
    "Palette",
    "TargetMissedError",  # noqa: F822
    "display_image",
    "display_images",
    "fit_palette",  # noqa: F822
    "load_image",
    "plot_rgb_vector",
    "quantize_image",  # noqa: F822
    "rgb_vector_to_image",
]

_LATER = {
    "Palette": "kmq.palette",
    "TargetMissedError": "kmq.quantize",
    "fit_palette": "kmq.quantize",
    "quantize_image": "kmq.quantize",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Image:
    """A picture of 8-bit RGB pixels.

    Parameters
    ----------
    rgb_matrix : (H, W, 3) uint8 array
        Red, green and blue of every pixel, 0 to 255. Kept as it is if C-contiguous, else copied.
    title : str
        What stands above the picture when it is displayed; may be changed at any time.
    alpha : (H, W) uint8 array or None
        Opacity of every pixel, where not all are opaque.
    icc_profile : bytes or None
        Colour profile of the pixels, where these are not sRGB.

    Raises
    ------
    ValueError
        If `rgb_matrix` or `alpha` has another shape or type.
    """

    title: str
    icc_profile: bytes | None

    def __init__(
        self,
        rgb_matrix: NDArray[np.uint8],
        title: str = "",
        *,
        alpha: NDArray[np.uint8] | None = None,
        icc_profile: bytes | None = None,
    ) -> None:
        matrix = np.asarray(rgb_matrix)
        if matrix.dtype != np.uint8 or matrix.ndim != 3 or matrix.shape[2] != 3:
            raise ValueError(
                "rgb_matrix must be an (H, W, 3) array of uint8, "
                f"got shape {matrix.shape} and type {matrix.dtype}"
            )
        if alpha is not None and (alpha.dtype != np.uint8 or alpha.shape != matrix.shape[:2]):
            raise ValueError(
                f"alpha must be an array of uint8 and of shape {matrix.shape[:2]}, "
                f"got shape {alpha.shape} and type {alpha.dtype}"
            )
        self._rgb_matrix = np.ascontiguousarray(matrix)
        self._alpha = alpha
        self.title = title
        self.icc_profile = icc_profile

    @property
    def rgb_matrix(self) -> NDArray[np.uint8]:
        """Red, green and blue of every pixel: (H, W, 3) uint8, C-contiguous."""
        return self._rgb_matrix

    @property
    def rgb_vector(self) -> NDArray[np.uint8]:
        """The pixels row after row, (H·W, 3) uint8: a view of `rgb_matrix`, the feature matrix."""
        return self.rgb_matrix.reshape(-1, 3)

    @property
    def alpha(self) -> NDArray[np.uint8] | None:
        """Opacity of every pixel, (H, W) uint8; None where all are opaque."""
        return self._alpha

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, and the number of channels, which is 3."""
        height, width, _ = self.rgb_matrix.shape
        return height, width, 3

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.rgb_matrix, dtype, copy=copy)

    def __repr__(self) -> str:
        return f"<{self._description()}>"

    def _description(self) -> str:
        """Class, title, width and height."""
        title = f" {self.title!r}" if self.title else ""
        return f"{type(self).__name__}{title} {self.shape[1]}x{self.shape[0]}"


class IndexedImage(Image):
    """A picture of few colours: a palette and, for every pixel, a row of it.

    `quantize_image` and `Palette.apply` make these. `rgb_matrix` is put together on first use
    and is read-only, because palette and indices are what the picture is.

    Attributes
    ----------
    palette : (k, 3) uint8 array
        The colours, sRGB. `quantize_image` puts those with most pixels first, equally frequent
        ones by red, green, blue; an entry for transparent pixels comes last.
    palette_alpha : (k,) uint8 array or None
        Opacity of the colours, where not all are opaque.
    indices : (H, W) unsigned integer array
        Row of `palette` of every pixel: uint8 up to 256 colours, uint16 above.
    counts : (k,) int64 array
        Pixels of each colour.
    cost : float
        Squared error, in sRGB whatever the space of the fit, summed over the three channels,
        mean over the pixels that are not fully transparent, of the picture as it is: with its
        palette rounded to whole numbers, and dithered where it is. Where partial opacity was
        kept, of the colours times their opacity, and the opacity's own error is added.
    inertia : float
        Sum over the pixels of the squared distance to the k-means centres, before rounding and
        dithering, in the units of the space of the fit.
    n_iter : int
        Iterations of k-means; 0 where all colours were kept or the palette was given.
    seconds : float
        Wall time from pixels to palette and indices. The first call of a process also loads the
        compiled kernels.
    distinct : int
        Distinct colours of the original, fully transparent pixels left out.
    note : str or None
        A few words, where the palette has fewer colours than were asked for.
    """

    def __init__(
        self,
        palette: NDArray[np.uint8],
        indices: NDArray[np.unsignedinteger],
        *,
        counts: NDArray[np.int64],
        cost: float,
        inertia: float,
        n_iter: int,
        seconds: float,
        distinct: int,
        note: str | None = None,
        title: str = "",
        palette_alpha: NDArray[np.uint8] | None = None,
        icc_profile: bytes | None = None,
    ) -> None:
        self.palette = palette
        self.palette_alpha = palette_alpha
        self.indices = indices
        self.counts = counts
        self.cost = cost
        self.inertia = inertia
        self.n_iter = n_iter
        self.seconds = seconds
        self.distinct = distinct
        self.note = note
        self.title = title
        self.icc_profile = icc_profile

    @cached_property
    def _rgb_matrix(self) -> NDArray[np.uint8]:  # type: ignore[override]
        """Every pixel's colour, looked up once."""
        matrix = self.palette[self.indices]
        matrix.flags.writeable = False
        return matrix

    @property
    def alpha(self) -> NDArray[np.uint8] | None:
        """Opacity of every pixel, (H, W) uint8; None where all are opaque."""
        return None if self.palette_alpha is None else self.palette_alpha[self.indices]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, and the number of channels, which is 3."""
        height, width = self.indices.shape
        return height, width, 3

    @property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio in dB, 10 log₁₀(255² / (cost / 3)); infinite without error."""
        return 10 * log10(255**2 * 3 / self.cost) if self.cost else inf

    @property
    def colors(self) -> "Palette":
        """The palette with its counts, as a `Palette`; the entry for transparency left out."""
        from kmq.palette import Palette

        shown = slice(None) if self.palette_alpha is None else self.palette_alpha > 0
        return Palette(self.palette[shown], self.counts[shown], name=self.title)

    def _description(self) -> str:
        """Class, title, size, colours and PSNR."""
        return f"{super()._description()}, {in_words(len(self.palette))}, PSNR {self.psnr:.2f} dB"

    def _repr_png_(self) -> bytes:
        return encode(self)

    def _repr_html_(self) -> str:
        data = base64.b64encode(encode(self)).decode()
        text = html.escape(self._description())
        return (
            f'<figure style="margin:0"><img src="data:image/png;base64,{data}" alt="{text}" '
            f'style="max-width:100%"/>{self.colors._repr_html_()}'
            f"<figcaption>{text}</figcaption></figure>"
        )

    def save(
        self,
        path: StrPath | BinaryIO,
        *,
        overwrite: bool = True,
        file_format: str | None = None,
        **options: Any,
    ) -> None:
        """Write the picture: indexed at the fewest bits, or in any format that Pillow writes.

        PNG is indexed at 1, 2, 4 or 8 bits; GIF, TIFF and BMP are indexed; WebP is lossless.
        Above 256 colours, and in other formats, pixels are full colour, and GIF is refused. Of a
        format without transparency the ground is white; GIF knows no partial opacity, and makes
        pixels below 128 transparent.

        The file appears whole or not at all: it is written under another name in the same folder
        and then renamed.

        Parameters
        ----------
        path : str, path or binary file
            A name, whose ending says the format (PNG where it has none), or a file open for
            writing.
        overwrite : bool
            Whether a file that is there already may be replaced.
        file_format : str or None
            The format, as Pillow calls it, in place of what the name says; PNG for an open file
            by default.
        **options
            For Pillow's ``save``.

        Raises
        ------
        ImageWriteError
            If the file cannot be written, or its format cannot hold the picture;
            `OutputExistsError` if it is there and `overwrite` is false.
        """
        if not isinstance(path, str | os.PathLike):
            path.write(encode(self, file_format or "PNG", **options))
            return
        check_output(path, overwrite=overwrite)
        write_whole(path, encode(self, file_format or format_of(path), **options))


def load_image(
    path: StrPath | BinaryIO,
    *,
    alpha: AlphaIn = "matte",
    matte: tuple[int, int, int] = WHITE,
    icc: IccIn = "convert",
) -> Image:
    """Read a picture of any kind that Pillow reads, as 8-bit sRGB.

    The EXIF orientation is applied; 16-bit samples are scaled to 8 bits; of an animation the
    first frame is taken. Grey values without a nominal range (32-bit integers and floats) are
    understood as 0–1 (floats only), 0–255 or 0–65535, the first of these that holds them all,
    and otherwise are stretched from their least to their greatest.

    Parameters
    ----------
    path : str, path or binary file
        The picture. Need not be seekable.
    alpha : {'matte', 'keep'}
        Whether transparency is laid on `matte` or kept as ``Image.alpha``.
    matte : (red, green, blue)
        The ground, 0 to 255; white by default.
    icc : {'convert', 'keep'}
        Whether colours are converted to sRGB by the file's profile, if it has one, or left as
        they are, with the profile kept as ``Image.icc_profile``. Profiles of other than RGB
        colours are converted always.

    Returns
    -------
    Image

    Raises
    ------
    ImageReadError
        If the file is not an image or is damaged; `ImageNotFoundError` if there is none.

    Warns
    -----
    ColorProfileWarning
        If the profile is damaged or does not fit the picture; it is then ignored.
    """
    read = read_picture(path, alpha=alpha, matte=matte, icc=icc)
    return Image(read.rgb, alpha=read.alpha, icc_profile=read.icc_profile)


def rgb_vector_to_image(rgb_vector: ArrayLike, image_shape: tuple[int, ...]) -> Image:
    """Make a picture of a list of pixels.

    Parameters
    ----------
    rgb_vector : (H·W, 3) array-like
        Pixels row after row, 0 to 255; floats are rounded to the nearest whole number.
    image_shape : tuple of int
        ``(H, W, 3)``, or ``(H, W)``.

    Returns
    -------
    Image

    Raises
    ------
    ValueError
        If the sizes do not match, or a value is outside 0–255 when rounded, or is not a number.
    """
    vector = np.asarray(rgb_vector)
    height, width = image_shape[:2]
    if vector.shape != (height * width, 3) or image_shape[2:] not in {(), (3,)}:
        raise ValueError(f"pixels of shape {vector.shape} do not fill an image of {image_shape}")
    if vector.dtype != np.uint8:
        vector = np.rint(vector)
        if not np.all((vector >= 0) & (vector <= 255)):
            raise ValueError("values of pixels must lie between 0 and 255")
        vector = vector.astype(np.uint8)
    return Image(vector.reshape(height, width, 3))


def in_words(count: int) -> str:
    """Say a number of colours in words."""
    return f"{count} colour" + ("s" if count != 1 else "")
