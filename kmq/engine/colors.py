"""Pixels as a weighted set of distinct colours."""

from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kmq.engine.threads import n_threads, run_blocks
from kmq.kernels import histogram

# Pixels a block: large enough to hide a call, small enough to share out.
_ROWS = 1 << 13
_MOST_BITMAP_CHANNELS = 3
_LARGEST_BITMAP = (1 << 8 * _MOST_BITMAP_CHANNELS) // 64
# From this many colours on, a second thread gains.
_THREADED_COLORS = 50_000


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
    places : (bitmap, ranks) or None
        What finds the row of a colour of up to three channels where there is no index; see
        `kmq.kernels.histogram`.
    """

    colors: NDArray[np.uint8]
    counts: NDArray[np.int64]
    index: NDArray[np.int32] | None
    places: tuple[NDArray[np.uint64], NDArray[np.int32]] | None = None

    def spread(self, values: NDArray[np.int32], last: bool = False) -> NDArray[np.int32]:
        """Give every pixel the value of its colour.

        Parameters
        ----------
        values : (m,) int32
            A value for each distinct colour.
        last : bool, default=False
            Whether nobody will ask for the index again, so that the values may take its place.

        Returns
        -------
        (n,) int32
        """
        assert self.index is not None
        index = self.index
        out = index if last else np.empty(len(index), np.int32)

        def task(worker: int, first: int, last: int) -> None:
            start, stop = first * _ROWS, min(last * _ROWS, len(index))
            histogram.gather(values, index, start, stop, out)

        n_blocks = -(-len(index) // _ROWS)
        run_blocks(task, n_blocks, n_threads(), grain=4)
        return out

    def look_up(self, pixels: NDArray[np.uint8], values: NDArray) -> NDArray:
        """Give every pixel the value of its colour, without an index.

        Parameters
        ----------
        pixels : (n, d) uint8
            Pixels of these colours, of no others.
        values : (m,) array
            A value for each distinct colour.

        Returns
        -------
        (n,) array
            Of the dtype of `values`.
        """
        pixels = _frozen(pixels)
        n, d = pixels.shape
        spread = morton_bits(d)
        if self.places is None:
            codes, wanted = _codes(self.colors, spread), _codes(pixels, spread)
            return values[np.searchsorted(codes, wanted)]
        bitmap, ranks = self.places
        out = np.empty(n, values.dtype)
        values = _frozen(values)

        def task(worker: int, first: int, last: int) -> None:
            start, stop = first * _ROWS, min(last * _ROWS, n)
            histogram.look_up(pixels, spread, bitmap, ranks, values, start, stop, out)

        run_blocks(task, -(-n // _ROWS), n_threads(), grain=4)
        return out


def _frozen(array: NDArray) -> NDArray:
    """View of an array in C order that kernels see as read-only."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def _codes(pixels: NDArray[np.uint8], spread: tuple[NDArray[np.uint32], ...]) -> NDArray[np.uint32]:
    """(n,) Morton codes of pixels."""
    codes = spread[0][pixels[:, 0]]
    for f in range(1, len(spread)):
        codes |= spread[f][pixels[:, f]]
    return codes


@cache
def morton_bits(d: int) -> tuple[NDArray[np.uint32], ...]:
    """Places of the bits of each value of each of `d` channels, the first channel highest."""
    values = np.arange(256, dtype=np.uint32)
    tables = tuple(np.zeros(256, np.uint32) for _ in range(d))
    for f, table in enumerate(tables):
        for bit in range(8):
            table |= ((values >> bit) & 1) << np.uint32(bit * d + (d - 1 - f))
    return tables


@cache
def _decoded_bits(d: int) -> tuple[NDArray[np.uint8], ...]:
    """Each channel of the lowest 6 bits of a Morton code, of the next 9 and of the 9 above."""
    codes = np.arange(512)
    tables = tuple(np.zeros((3, 512), np.uint8) for _ in range(d))
    for part, lowest in enumerate((0, 6, 15)):
        for bit in range(min(9, 8 * d - lowest)):
            place, channel = divmod(bit + lowest, d)
            tables[d - 1 - channel][part] |= ((codes >> bit & 1) << place).astype(np.uint8)
    return tables


class _Marks(NamedTuple):
    """A bitmap of colours: see `kmq.kernels.histogram`.

    Fresh memory costs a photo more than the marking: the system hands it out page by page. So
    blank bitmaps are kept for the next photo, one for each thread.
    """

    bitmap: NDArray[np.uint64]
    pages: NDArray[np.bool_]
    ranks: NDArray[np.int32]

    @classmethod
    def blank(cls, d: int) -> "_Marks":
        """A bitmap without bits for colours of `d` channels."""
        words = max(1, (1 << 8 * d) // 64)
        if d == _MOST_BITMAP_CHANNELS:
            with suppress(IndexError):
                return _spare.pop()
        n_pages = -(-words // histogram.PAGE)
        return cls(
            np.zeros(words, np.uint64), np.zeros(n_pages, np.bool_), np.empty(words, np.int32)
        )

    def hand_back(self) -> None:
        """Keep this bitmap, blank again, for the next photo."""
        if len(self.bitmap) == _LARGEST_BITMAP and len(_spare) < n_threads():
            _spare.append(self)


_spare: list[_Marks] = []


@cache
def _keep_freed_memory() -> None:
    """Let the allocator keep up to 16 MiB of what a fit frees for the next one.

    Until glibc has seen a large block freed, it returns memory to the system whenever it can;
    the thousand page faults of getting it back took a third of the time of a photo's fit.
    """
    np.empty(8 << 20, np.uint8)


def distinct_colors(pixels: NDArray[np.uint8], return_index: bool = True) -> ColorSet:
    """Find the distinct colours of pixels, and how often each occurs.

    Extra memory for up to three channels: 3 MiB a thread for bitmaps, kept for the next call,
    8 bytes a distinct colour and thread, and 4 bytes a pixel for the index where asked for. Four
    channels are sorted, at 30 bytes a pixel.

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
    _keep_freed_memory()
    pixels = _frozen(pixels)
    n, d = pixels.shape
    spread = morton_bits(d)
    if d > _MOST_BITMAP_CHANNELS:
        return _sorted_colors(pixels, spread, return_index)

    n_blocks = -(-n // _ROWS)
    threads = max(1, min(n_threads(), n_blocks // 2))
    marks = [_Marks.blank(d) for _ in range(threads)]
    # First of codes, then of rows: to look colours up by codes takes half as long.
    index = np.empty(n if return_index else 0, np.int32)

    def mark(worker: int, first: int, last: int) -> None:
        bitmap, pages, _ = marks[worker]
        start, stop = first * _ROWS, min(last * _ROWS, n)
        histogram.mark(pixels, spread, start, stop, bitmap, pages, index)

    run_blocks(mark, n_blocks, threads)
    bitmap, pages, ranks = marks[0]
    for other in marks[1:]:
        histogram.join(bitmap, pages, other.bitmap, other.pages)
        other.hand_back()
    m = histogram.rank(bitmap, pages, ranks)
    colors = np.empty((m, d), np.uint8)

    def unpack(worker: int, start: int, stop: int) -> None:
        histogram.unpack(bitmap, pages, ranks, _decoded_bits(d), start, stop, colors)

    run_blocks(unpack, len(pages), threads if m >= _THREADED_COLORS else 1)
    counts = np.zeros((threads, m), np.int64)

    def count(worker: int, first: int, last: int) -> None:
        start, stop = first * _ROWS, min(last * _ROWS, n)
        if return_index:
            histogram.count_codes(bitmap, ranks, start, stop, counts[worker], index)
        else:
            histogram.count(pixels, spread, bitmap, ranks, start, stop, counts[worker])

    run_blocks(count, n_blocks, threads)
    total = counts.sum(axis=0)
    if not return_index:
        return ColorSet(colors, total, None, (bitmap, ranks))
    histogram.wipe(bitmap, pages)
    marks[0].hand_back()
    return ColorSet(colors, total, index)


def _sorted_colors(
    pixels: NDArray[np.uint8], spread: tuple[NDArray[np.uint32], ...], return_index: bool
) -> ColorSet:
    """Distinct colours of pixels whose bitmap would be too large, by sorting their codes."""
    codes = _codes(pixels, spread)
    if return_index:
        _, first, index, counts = np.unique(
            codes, return_index=True, return_inverse=True, return_counts=True
        )
        return ColorSet(pixels[first], counts.astype(np.int64), index.astype(np.int32))
    _, first, counts = np.unique(codes, return_index=True, return_counts=True)
    return ColorSet(pixels[first], counts.astype(np.int64), None)
