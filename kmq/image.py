"""Pictures as arrays: loading them, reducing them to few colours.

Numba and scikit-learn are imported only by the function that needs them.
"""

import os
from functools import cached_property
from math import inf, log10
from operator import index
from time import perf_counter
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kmq.files import (
    ImageError,
    ImageNotFoundError,
    ImageReadError,
    ImageWriteError,
    OutputExistsError,
    StrPath,
    check_output,
    encode_png,
    read_rgb,
    write_whole,
)
from kmq.plots import display_image, display_images, plot_rgb_vector

__all__ = [
    "Image",
    "ImageError",
    "ImageNotFoundError",
    "ImageReadError",
    "ImageWriteError",
    "IndexedImage",
    "OutputExistsError",
    "display_image",
    "display_images",
    "load_image",
    "plot_rgb_vector",
    "quantize_image",
    "rgb_vector_to_image",
]


class Image:
    """A picture of 8-bit RGB pixels.

    Parameters
    ----------
    rgb_matrix : (H, W, 3) uint8 array
        Red, green and blue of every pixel, 0 to 255. Kept as it is if C-contiguous, else copied.
    title : str
        What stands above the picture when it is displayed; may be changed at any time.

    Raises
    ------
    ValueError
        If `rgb_matrix` has another shape or type.
    """

    title: str

    def __init__(self, rgb_matrix: NDArray[np.uint8], title: str = "") -> None:
        matrix = np.asarray(rgb_matrix)
        if matrix.dtype != np.uint8 or matrix.ndim != 3 or matrix.shape[2] != 3:
            raise ValueError(
                "rgb_matrix must be an (H, W, 3) array of uint8, "
                f"got shape {matrix.shape} and type {matrix.dtype}"
            )
        self._rgb_matrix = np.ascontiguousarray(matrix)
        self.title = title

    @property
    def rgb_matrix(self) -> NDArray[np.uint8]:
        """Red, green and blue of every pixel: (H, W, 3) uint8, C-contiguous."""
        return self._rgb_matrix

    @property
    def rgb_vector(self) -> NDArray[np.uint8]:
        """The pixels row after row, (H·W, 3) uint8: a view of `rgb_matrix`, the feature matrix."""
        return self.rgb_matrix.reshape(-1, 3)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, and the number of channels, which is 3."""
        height, width, _ = self.rgb_matrix.shape
        return height, width, 3

    def __repr__(self) -> str:
        return f"<{self._description()}>"

    def _description(self) -> str:
        """Class, title, width and height."""
        title = f" {self.title!r}" if self.title else ""
        return f"{type(self).__name__}{title} {self.shape[1]}x{self.shape[0]}"


class IndexedImage(Image):
    """A picture of few colours: a palette and, for every pixel, a row of it.

    `quantize_image` makes these. `rgb_matrix` is put together on first use and is read-only,
    because palette and indices are what the picture is.

    Attributes
    ----------
    palette : (k, 3) uint8 array
        The colours, those with most pixels first; equally frequent ones by red, green, blue.
    indices : (H, W) unsigned integer array
        Row of `palette` of every pixel: uint8 up to 256 colours, uint16 above.
    counts : (k,) int64 array
        Pixels of each colour.
    cost : float
        Squared error summed over the three channels, mean over the pixels, of the picture as it
        is: with its palette rounded to whole numbers.
    inertia : float
        Sum over the pixels of the squared distance to the k-means centres, before rounding.
    n_iter : int
        Iterations of k-means; 0 where all colours were kept.
    seconds : float
        Wall time from pixels to palette and indices. The first call of a process also loads the
        compiled kernels.
    distinct : int
        Distinct colours of the original.
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
    ) -> None:
        self.palette = palette
        self.indices = indices
        self.counts = counts
        self.cost = cost
        self.inertia = inertia
        self.n_iter = n_iter
        self.seconds = seconds
        self.distinct = distinct
        self.note = note
        self.title = title

    @cached_property
    def _rgb_matrix(self) -> NDArray[np.uint8]:  # type: ignore[override]
        """Every pixel's colour, looked up once."""
        matrix = self.palette[self.indices]
        matrix.flags.writeable = False
        return matrix

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, and the number of channels, which is 3."""
        height, width = self.indices.shape
        return height, width, 3

    @property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio in dB, 10 log₁₀(255² / (cost / 3)); infinite without error."""
        return 10 * log10(255**2 * 3 / self.cost) if self.cost else inf

    def _description(self) -> str:
        """Class, title, size, colours and PSNR."""
        return f"{super()._description()}, {_colors(len(self.palette))}, PSNR {self.psnr:.2f} dB"

    def save(self, path: StrPath | BinaryIO, *, overwrite: bool = True) -> None:
        """Write PNG: indexed at 1, 2, 4 or 8 bits, whichever is enough; truecolour above 256.

        The file appears whole or not at all: it is written under another name in the same folder
        and then renamed.

        Parameters
        ----------
        path : str, path or binary file
            A name that ends in ``.png`` or has no ending, or a file open for writing.
        overwrite : bool
            Whether a file that is there already may be replaced.

        Raises
        ------
        ImageWriteError
            If the file cannot be written; `OutputExistsError` if it is there and `overwrite` is
            false.
        """
        if not isinstance(path, str | os.PathLike):
            path.write(encode_png(self.palette, self.indices))
            return
        check_output(path, overwrite=overwrite)
        write_whole(path, encode_png(self.palette, self.indices))


def load_image(path: StrPath | BinaryIO) -> Image:
    """Read a picture of any kind that Pillow reads, as 8-bit RGB.

    The EXIF orientation is applied; transparency is laid on white; 16-bit samples are scaled to
    8 bits; of an animation the first frame is taken. Grey values without a nominal range (32-bit
    integers and floats) are understood as 0–1 (floats only), 0–255 or 0–65535, the first of these
    that holds them all, and otherwise are stretched from their least to their greatest.

    Parameters
    ----------
    path : str, path or binary file
        The picture. Need not be seekable.

    Returns
    -------
    Image

    Raises
    ------
    ImageReadError
        If the file is not an image or is damaged; `ImageNotFoundError` if there is none.
    """
    return Image(read_rgb(path))


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


def quantize_image(
    img: Image,
    k: int,
    random_state: int | np.random.RandomState | None = None,
    *,
    init: Any = "k-means++",
    n_init: int | str = "auto",
    max_iter: int = 300,
    tol: float = 1e-4,
) -> IndexedImage:
    """Reduce a picture to `k` colours: the k-means of all its pixels, nothing sampled.

    The work is done on the distinct colours, weighted by their numbers of pixels.

    Parameters
    ----------
    img : Image
        The picture; it is not altered.
    k : int
        Colours wanted, at least 1. A picture that has no more keeps all of its own; centres that
        round to the same colour (rare) become one.
    random_state : int, RandomState or None
        Seed of the start: the same seed gives the same palette.
    init, n_init, max_iter, tol
        As in `kmq.KMeans`.

    Returns
    -------
    IndexedImage
        The picture, with its palette, its error and how it was found.

    Raises
    ------
    ValueError
        If `k` is less than 1 or the picture has no pixels.
    """
    k = index(k)
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    if img.rgb_vector.size == 0:
        raise ValueError("the image has no pixels")

    from kmq.engine.colors import distinct_colors
    from kmq.model import KMeans

    start = perf_counter()
    found = distinct_colors(img.rgb_vector)
    distinct = len(found.colors)
    if k < distinct:
        kmeans = KMeans(
            k, init=init, n_init=n_init, max_iter=max_iter, tol=tol, random_state=random_state
        ).fit(found.colors, sample_weight=found.counts)
        centers, labels = kmeans.cluster_centers_, kmeans.labels_
        inertia, n_iter = float(kmeans.inertia_), int(kmeans.n_iter_)
    else:
        centers, labels = found.colors, np.arange(distinct)
        inertia, n_iter = 0.0, 0
    palette, labels, counts = _palette_by_population(centers, labels, found.counts)
    indices = labels[found.index].reshape(img.shape[:2])
    seconds = perf_counter() - start

    error = found.colors.astype(np.int64) - palette[labels]
    note = None
    if k > distinct:
        note = f"the image has only {_colors(distinct)}; all are kept"
    elif len(palette) < k:
        note = f"the {k} centres round to {_colors(len(palette))}"
    return IndexedImage(
        palette,
        indices,
        counts=counts,
        cost=int((error**2).sum(axis=1) @ found.counts) / indices.size,
        inertia=inertia,
        n_iter=n_iter,
        seconds=seconds,
        distinct=distinct,
        note=note,
        title=_colors(len(palette)),
    )


def _palette_by_population(
    centers: NDArray[Any], labels: NDArray[Any], weight: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.unsignedinteger], NDArray[np.int64]]:
    """Round centres to a palette, most pixels first; with it each sample's row, and row counts."""
    palette, row = np.unique(np.rint(centers).astype(np.uint8), axis=0, return_inverse=True)
    labels = row.reshape(-1)[labels]
    counts = np.bincount(labels, weights=weight, minlength=len(palette)).astype(np.int64)
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    rank = np.empty(len(palette), np.min_scalar_type(len(order) - 1))
    rank[order] = np.arange(len(order))
    return palette[order], rank[labels], counts[order]


def _colors(count: int) -> str:
    """Say a number of colours in words."""
    return f"{count} colour" + ("s" if count != 1 else "")
