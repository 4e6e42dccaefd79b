"""Pixels to rows of a palette: the nearest colour, or dithered."""

from functools import cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from kmq.engine.threads import n_threads, run_blocks
from kmq.kernels import dither as kernels
from kmq.kernels.dither import FEW, IN_STEP
from kmq.kernels.nearest import CELLS, FAR, GROUPS, TILE, Grid, map_colors
from kmq.kernels.sieve import CHUNK
from kmq.kernels.simd import LANES

Dither = Literal["none", "floyd-steinberg", "atkinson", "sierra", "bayer"]
DITHERS: tuple[Dither, ...] = get_args(Dither)

# Rows of a band of error diffusion, rows before its first in which it gathers errors, and bands
# run in step: four hide most of the wait for the error of the neighbour, eight all of it.
_BAND_ROWS = 128
_WARM_ROWS = 8
_COLORS = 1 << 12
_MOST_TILES = CELLS
_ROWS = 64
# Pairs of colours whose distances are computed at once, to bound memory.
_PAIRS = 1 << 20

_TAPS = {
    "floyd-steinberg": ((0, 0, 0, 7, 0), (0, 3, 5, 1, 0), (0, 0, 0, 0, 0), 16),
    "atkinson": ((0, 0, 0, 1, 1), (0, 1, 1, 1, 0), (0, 0, 1, 0, 0), 8),
    "sierra": ((0, 0, 0, 5, 3), (2, 4, 5, 4, 2), (0, 2, 3, 2, 0), 32),
}


def _grid(palette: NDArray[np.uint8], lines: int = FEW) -> Grid:
    """A grid of which no cell is known yet, with room for what some lines need at once."""
    k = len(palette)
    room = -(-k // LANES) * LANES
    channels = np.full((3, room), FAR, np.float32)
    channels[:, :k] = palette.T
    # Each tile in a cache line; pages of those that are never used are never touched.
    size = 4 * TILE
    n_tiles = CELLS + max(_MOST_TILES, lines * CHUNK * ((k - 1) // TILE))
    memory = np.empty(size * (n_tiles + 1), np.uint8)
    start = -memory.ctypes.data % size
    tiles = memory[start : start + size * n_tiles].view(np.int32).reshape(n_tiles, TILE)
    wide = palette.astype(np.int32)
    return Grid(
        wide @ np.array([1, 1 << 8, 1 << 16], np.int32),
        channels,
        np.zeros(GROUPS, np.uint8),
        tiles,
        np.empty((n_tiles, TILE), np.uint8 if k <= 256 else np.int32),
        np.empty(n_tiles, np.int32),
        np.full(1, CELLS),
        np.empty((3, room), np.float32),
        np.empty(room, np.float32),
        np.empty(room, np.int32),
        np.empty(k, np.uint64),
        np.empty(CHUNK, np.int32),
        np.empty(CHUNK, np.int64),
        np.empty(CHUNK, np.int64),
    )


def map_to_palette(colors: NDArray[np.uint8], palette: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Find the nearest colour of a palette for each of some colours, ties to the lowest.

    Parameters
    ----------
    colors : (n, 3) uint8
        Colours.
    palette : (k, 3) uint8
        At least one colour.

    Returns
    -------
    (n,) int32
        Rows of the palette.
    """
    colors = np.ascontiguousarray(colors).view()
    colors.flags.writeable = False
    rows = np.empty(len(colors), np.int32)
    n_blocks = -(-len(colors) // _COLORS)
    threads = max(1, min(n_threads(), n_blocks // 8))
    grids = [_grid(palette) for _ in range(threads)]

    def task(worker: int, first: int, last: int) -> None:
        map_colors(colors, first * _COLORS, min(last * _COLORS, len(colors)), grids[worker], rows)

    run_blocks(task, n_blocks, threads)
    return rows


def dither(
    pixels: NDArray[np.uint8],
    palette: NDArray[np.uint8],
    method: Dither,
    *,
    strength: float = 1.0,
    serpentine: bool = True,
    shown: NDArray[np.bool_] | None = None,
) -> NDArray[np.int32]:
    """Map a picture to a palette with dithering.

    Memory: 4 MiB a thread for the grid, of which only what is used is touched, and 48 bytes a
    column and band in work.

    Parameters
    ----------
    pixels : (h, w, 3) uint8
        The picture.
    palette : (k, 3) uint8
        At least one colour.
    method : {'floyd-steinberg', 'atkinson', 'sierra', 'bayer'}
        How to dither.
    strength : float
        Share of the error that is passed on, or of the pattern's amplitude, 0 to 1.
    serpentine : bool
        Whether error diffusion scans odd rows from right to left.
    shown : (h, w) bool, optional
        Pixels to dither, all by default. Others pass no error on.

    Returns
    -------
    (h, w) int32
        Rows of the palette; 0 where a pixel is not shown.
    """
    height, width, _ = pixels.shape
    pixels = np.ascontiguousarray(pixels).view()
    pixels.flags.writeable = False
    shown = np.ones((height, width), bool) if shown is None else np.ascontiguousarray(shown)
    indices = np.zeros((height, width), np.int32)
    if method == "bayer":
        offsets = np.rint(strength * _amplitude(palette) * _bayer()).astype(np.int32)
        offsets = np.tile(offsets, -(-width // len(offsets)))[:, :width].copy()
        n_blocks = -(-height // _ROWS)
        threads = max(1, min(n_threads(), n_blocks))
        grids = [_grid(palette) for _ in range(threads)]

        def pattern(worker: int, first: int, last: int) -> None:
            start, stop = first * _ROWS, min(last * _ROWS, height)
            kernels.order(pixels, shown, offsets, start, stop, grids[worker], indices)

        run_blocks(pattern, n_blocks, threads)
        return indices

    *rows, divisor = _TAPS[method]
    taps = (np.array(rows) * (strength / divisor)).astype(np.float32)
    bands = _bands(height)
    together = min(IN_STEP, max(FEW, -(-len(bands) // n_threads())))
    n_blocks = -(-len(bands) // together)
    threads = max(1, min(n_threads(), n_blocks))
    grids = [_grid(palette, FEW if together <= FEW else IN_STEP) for _ in range(threads)]

    def diffusion(worker: int, first: int, last: int) -> None:
        for block in range(first, last):
            some = bands[block * together : (block + 1) * together]
            kernels.diffuse(pixels, shown, taps, serpentine, some, grids[worker], indices)

    run_blocks(diffusion, n_blocks, threads)
    return indices


def _bands(height: int) -> NDArray[np.int64]:
    """Of each band: the row to begin with, the first, and the one past the last."""
    edges = np.linspace(0, height, max(1, height // _BAND_ROWS) + 1).astype(np.int64)
    return np.column_stack([np.maximum(edges[:-1] - _WARM_ROWS, 0), edges[:-1], edges[1:]])


@cache
def _bayer() -> NDArray[np.float64]:
    """Bayer's 8 x 8 pattern, between -1/2 and 1/2."""
    pattern = np.zeros((1, 1))
    for _ in range(3):
        pattern = np.block([[4 * pattern, 4 * pattern + 2], [4 * pattern + 3, 4 * pattern + 1]])
    return (pattern + 0.5) / 64 - 0.5


def _amplitude(palette: NDArray[np.uint8]) -> float:
    """How far apart neighbours in a palette are in a channel, on average."""
    wide = palette.astype(np.float64)
    if len(wide) == 1:
        return 0.0
    sq = np.square(wide).sum(axis=1)
    nearest = np.empty(len(wide))
    together = max(1, _PAIRS // len(wide))
    for start in range(0, len(wide), together):
        some = slice(start, start + together)
        # Of whole numbers, this is exact.
        apart = sq[some, np.newaxis] + sq - 2 * (wide[some] @ wide.T)
        rows = np.arange(len(apart))
        apart[rows, start + rows] = np.inf
        nearest[some] = apart.min(axis=1)
    return float(np.sqrt(nearest / 3).mean())
