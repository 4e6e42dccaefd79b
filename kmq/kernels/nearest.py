"""The nearest colour of a palette, through a grid of cells learned on the way.

The cube of colours is cut into 32 x 32 x 32 cells. For each the palette is sieved once, by
Kanungo's filter: with m the middle of the cell and h its half side, a colour z is nearer than the
colour z* nearest to m nowhere in the cell if |z - m|² - |z* - m|² > 2 h |z - z*|₁. The few that
are left, one to four of 256 as a rule, are kept in a tile of sixteen, two cache lines, so that
finding the nearest is a dozen vector instructions with no branch to mispredict.

The cells of a chunk of 4 x 4 x 4 are learned together: what can be nearest somewhere in the chunk
is sieved from the palette, and for each cell from that.

Kanungo, T. et al. (2002). An efficient k-means clustering algorithm. IEEE Trans. Pattern Anal.
Mach. Intell. 24(7).
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from kmq.kernels.jit import kernel, popcount
from kmq.kernels.sieve import CHUNK, HALF, bounds, rivals_of
from kmq.kernels.simd import select_within

TILE = 16
_LANE_BITS = 4
# Where among the numbers of a tile that of the cell's tiles stands.
NUMBER = 3 * TILE // 4
CELLS = 1 << 15
# Where no colour is.
FAR = 1e6


class Grid(NamedTuple):
    """What has been learned of the cells so far.

    palette  (k, 4)       float32  the colours, whole numbers, and a zero
    channels (3, >=k)     float32  the same, one row a channel, then `FAR` up to whole sixteens
    cells    (32768,)     int32    tile of each cell; less than zero, of the first of several; 0
                                   where not yet known
    tiles    (t, 128)     uint8    of sixteen candidates: red and green of each, blue of each;
                                   the last one repeats; the first tile is none
    rows     (t, 32)      int32    the same memory: their rows in the palette, ascending, from 16
                                   on; at 12, how many tiles the cell has
    alone    (k,)         int32    tile of each colour where it is the only candidate; 0 if none
    used     (1,)         int64    tiles in use; where there is no more room, all are forgotten
    nearby   (3, >=k)     float32  scratch: colours that can be nearest in a chunk
    lowest   (>=k,)       float32  scratch: bounds of the colours
    near     (>=k,)       int32    scratch: their rows in the palette
    masks    (k,)         uint64   scratch: in which cells of the chunk they can be nearest
    lists    (k, 64)      int32    scratch: what can be nearest in each of its cells
    """

    palette: np.ndarray
    channels: np.ndarray
    cells: np.ndarray
    tiles: np.ndarray
    rows: np.ndarray
    alone: np.ndarray
    used: np.ndarray
    nearby: np.ndarray
    lowest: np.ndarray
    near: np.ndarray
    masks: np.ndarray
    lists: np.ndarray


def find_row(context: Any, builder: Any, kinds: Any, arrays: Any, color: Any) -> Any:
    """Write the search for the nearest colour into another intrinsic.

    Squared distances times 16 plus their lanes: the least of these keys is the nearest colour,
    ties to the first.

    Parameters
    ----------
    context, builder
        Of the intrinsic.
    kinds, arrays : list
        Types and values of its arguments ``cells``, ``tiles`` and ``rows``, of a grid.
    color : vector of four int32
        Red, green, blue and zero.

    Returns
    -------
    int32 value
        The row of the palette; less than zero, the complement of the cell, in one not yet known.
    """
    size, number, short = ir.IntType(64), ir.IntType(32), ir.IntType(16)
    ints, shorts = ir.VectorType(number, TILE), ir.VectorType(short, 2 * TILE)
    cells, tiles, rows = (
        context.make_array(kind)(context, builder, value).data
        for kind, value in zip(kinds, arrays, strict=True)
    )

    def places(*lanes: int) -> Any:
        return ir.Constant(ir.VectorType(number, len(lanes)), lanes)

    sides = builder.lshr(color, places(3, 3, 3, 3))
    sides = builder.shl(sides, places(10, 5, 0, 0))
    cell = builder.extract_element(sides, number(0))
    for f in range(1, 3):
        cell = builder.or_(cell, builder.extract_element(sides, number(f)))
    halves = builder.bitcast(color, ir.VectorType(short, 8))
    both = [
        builder.shuffle_vector(halves, halves, places(*[4 * half, 4 * half + 2] * TILE))
        for half in range(2)
    ]
    first = builder.load(builder.gep(cells, [builder.zext(cell, size)]))
    least = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(number, [ints]), f"llvm.vector.reduce.umin.v{TILE}i32"
    )
    even, odd = (places(*range(part, 2 * TILE, 2)) for part in range(2))

    def compared(tile: Any) -> Any:
        """Key of the nearest in a tile."""
        total = None
        for half in range(2):
            lanes = ir.VectorType(ir.IntType(8), TILE * (2 - half))
            offset = builder.add(builder.mul(tile, size(8 * TILE)), size(2 * TILE * half))
            place = builder.bitcast(builder.gep(tiles, [offset]), lanes.as_pointer())
            colors = builder.load(place, align=1)
            if half == 0:
                colors = builder.zext(colors, shorts)
            else:
                colors = builder.bitcast(builder.zext(colors, ints), shorts)
            difference = builder.sub(colors, both[half])
            wide = builder.sext(difference, ir.VectorType(number, 2 * TILE))
            squares = builder.mul(wide, wide)
            pair = builder.add(
                builder.shuffle_vector(squares, squares, even),
                builder.shuffle_vector(squares, squares, odd),
            )
            total = pair if total is None else builder.add(total, pair)
        keys = builder.or_(builder.shl(total, places(*[_LANE_BITS] * TILE)), places(*range(TILE)))
        return builder.call(least, [keys])

    def row_of(tile: Any, key: Any) -> Any:
        lane = builder.zext(builder.and_(key, number(TILE - 1)), size)
        place = builder.add(builder.mul(tile, size(2 * TILE)), lane)
        return builder.load(builder.gep(rows, [builder.add(place, size(TILE))]))

    tile = builder.zext(first, size)
    found = cgutils.alloca_once(builder, number)
    builder.store(builder.not_(cell), found)
    single = builder.icmp_signed(">", first, number(0))
    with builder.if_else(single, likely=True) as (only, several):
        with only:
            builder.store(row_of(tile, compared(tile)), found)
        with several, builder.if_then(builder.icmp_signed("<", first, number(0))):
            tile = builder.zext(builder.neg(first), size)
            place = builder.add(builder.mul(tile, size(2 * TILE)), size(NUMBER))
            n_tiles = builder.zext(builder.load(builder.gep(rows, [place])), size)
            best = cgutils.alloca_once(builder, number)
            builder.store(number(2**31 - 1), best)
            with cgutils.for_range(builder, n_tiles) as loop:
                one = builder.add(tile, loop.index)
                key = compared(one)
                distances = (
                    builder.lshr(value, number(_LANE_BITS)) for value in (key, builder.load(best))
                )
                with builder.if_then(builder.icmp_unsigned("<", *distances)):
                    builder.store(key, best)
                    builder.store(row_of(one, key), found)
    return builder.load(found)


def _find(
    typingctx: Any, cells: Any, tiles: Any, rows: Any, red: Any, green: Any, blue: Any
) -> Any:
    """Row of the palette nearest to a colour, ties to the lowest.

    An intrinsic, because a compiled function that is handed the arrays counts references to them,
    at several times the cost of the search.

    cells, tiles, rows         of a grid
    red, green, blue  int64    a colour, 0 to 255
    Returns the row; less than zero, the complement of the cell, in one not yet known.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        number = ir.IntType(32)
        color = ir.Constant(ir.VectorType(number, 4), [0] * 4)
        for f in range(3):
            color = builder.insert_element(color, builder.trunc(args[3 + f], number), number(f))
        return find_row(context, builder, signature.args[:3], args[:3], color)

    channels = [types.int64] * 3
    return types.int32(cells, tiles, rows, *channels), codegen


find: Any = intrinsic(_find)


@kernel
def learn(grid, cell):
    """Find the candidates of a cell, and of all cells of its chunk.

    grid  Grid   inout
    cell  int64  the cell
    """
    palette, channels, cells, tiles, rows, alone, used, nearby, lowest, near, masks, lists = grid
    k = np.int64(palette.shape[0])
    red, green, blue = cell >> 12 << 2, (cell >> 7 & 7) << 2, (cell >> 2 & 7) << 2
    half = np.float32(15.5)
    r, g, b = np.float32(8 * red), np.float32(8 * green), np.float32(8 * blue)
    limit = bounds(channels, k, r + half, g + half, b + half, half, lowest)
    n_near, _ = select_within(lowest, k, limit, near)
    for f in range(3):
        for j in range(n_near):
            nearby[f, j] = channels[f, near[j]]
    half = np.float32(HALF)
    rivals_of(nearby, n_near, r + half, g + half, b + half, masks)
    counts = np.zeros(CHUNK, np.int64)
    for j in range(n_near):
        left = masks[j]
        while left != 0:
            lowest_bit = left & (~left + np.uint64(1))
            part = popcount(lowest_bit - np.uint64(1))
            lists[counts[part], part] = near[j]
            counts[part] += 1
            left ^= lowest_bit
    if used[0] + CHUNK * ((n_near + TILE - 1) // TILE) > tiles.shape[0]:
        cells[:] = 0
        alone[:] = 0
        used[0] = 1
    for part in range(CHUNK):
        own = (red + (part >> 4)) << 10 | (green + (part >> 2 & 3)) << 5 | blue + (part & 3)
        count, row = counts[part], lists[0, part]
        if count == 1 and alone[row] > 0:
            cells[own] = alone[row]
            continue
        first = used[0]
        if count == 1:
            alone[row] = first
        needed = (count + TILE - 1) // TILE
        cells[own] = first if needed == 1 else -first
        rows[first, NUMBER] = needed
        used[0] += needed
        for tile in range(needed):
            for lane in range(TILE):
                place = np.uint64(min(tile * TILE + lane, count - 1))
                own_row = np.uint64(lists[place, np.uint64(part)])
                to = np.uint64(first + tile)
                tiles[to, 2 * lane] = np.uint8(palette[own_row, 0])
                tiles[to, 2 * lane + 1] = np.uint8(palette[own_row, 1])
                tiles[to, 2 * TILE + lane] = np.uint8(palette[own_row, 2])
                rows[to, TILE + lane] = np.int32(own_row)


@kernel
def map_colors(colors, start, stop, grid, indices):
    """Find the nearest colour of the palette for each of some colours.

    colors   (n, 3) uint8  colours
    start, stop            which of them
    grid     Grid          inout
    indices  (n,)   int32  out: rows of the palette
    """
    cells, tiles, rows = grid.cells, grid.tiles, grid.rows
    for i in range(start, stop):
        red, green, blue = np.int64(colors[i, 0]), np.int64(colors[i, 1]), np.int64(colors[i, 2])
        row = find(cells, tiles, rows, red, green, blue)
        if row < 0:
            learn(grid, np.int64(~row))
            row = find(cells, tiles, rows, red, green, blue)
        indices[i] = row
