"""The nearest colour of a palette, through a grid of cells learned on the way.

The cube of colours is cut into 32 x 32 x 32 cells. For each the palette is sieved once, by
Kanungo's filter: with m the middle of the cell and h its half side, a colour z is nearer than the
colour z* nearest to m nowhere in the cell if |z - m|² - |z* - m|² > 2 h |z - z*|₁. What is left,
one to sixteen of 256 as a rule, is kept in a tile of one cache line, so that finding the nearest
is a dozen vector instructions with no branch to mispredict; of more, further tiles are chained.

The cells of a chunk of 4 x 4 x 4 are learned together: what can be nearest somewhere in the chunk
is sieved from the palette, and for each cell from that.

Kanungo, T. et al. (2002). An efficient k-means clustering algorithm. IEEE Trans. Pattern Anal.
Mach. Intell. 24(7).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from kmq.kernels.jit import kernel, popcount
from kmq.kernels.sieve import CHUNK, HALF, bounds, rivals_of
from kmq.kernels.simd import select_within
from kmq.kernels.vectors import INT, SIZE, Code, constant, every, vector

TILE = 16
_LANE_BITS = 4
CELLS = 1 << 15
# Cells that become known together: four in a row of blues.
GROUPS = CELLS // 4
# Mark of the first colour in a tile that another tile follows.
_MORE = 1 << 24
# Where no colour is.
FAR = 1e6
_BIT = ir.IntType(1)
_SHORTS = vector(ir.IntType(16), 2 * TILE)


class Grid(NamedTuple):
    """What has been learned of the cells so far.

    packed    (k,)      int32    the colours: red + 256 green + 65536 blue
    channels  (3, >=k)  float32  the same, one row a channel, then `FAR` up to whole sixteens
    known     (8192,)   uint8    of four cells each, whether they are known
    tiles     (t, 16)   int32    packed candidates, in the order of the palette; one of them fills
                                 the rest; the first 32768 are those of the cells
    rows      (t, 16)   integer  their rows in the palette
    following (t,)      int32    of tiles that are marked in their first colour, the next tile
    used      (1,)      int64    tiles in use; where there is no more room, all are forgotten
    nearby    (3, >=k)  float32  scratch: colours that can be nearest in a chunk
    lowest    (>=k,)    float32  scratch: bounds of the colours
    near      (>=k,)    int32    scratch: their rows in the palette
    masks     (k,)      uint64   scratch: in which cells of the chunk they can be nearest
    owners    (64,)     int32    scratch: the one nearest to the middle of each cell, packed
    counts    (64,)     int64    scratch: candidates of each cell so far
    begins    (64,)     int64    scratch: where in the tiles its next one goes, less that number
    """

    packed: np.ndarray
    channels: np.ndarray
    known: np.ndarray
    tiles: np.ndarray
    rows: np.ndarray
    following: np.ndarray
    used: np.ndarray
    nearby: np.ndarray
    lowest: np.ndarray
    near: np.ndarray
    masks: np.ndarray
    owners: np.ndarray
    counts: np.ndarray
    begins: np.ndarray


def write_search(code: Code, arrays: Sequence[int], colors: Sequence[Any]) -> tuple[list, Any]:
    """Write the search for the nearest of several colours into an intrinsic.

    Squared distances times 16 plus their lanes: the least of these keys is the nearest colour,
    ties to the first. The factor comes from channels times 4, which are had for nothing. Colours
    take each step together, so that a processor finds work among those that need not wait.

    Parameters
    ----------
    code : Code
        Of the intrinsic.
    arrays : sequence of int
        Which of its arguments are ``known``, ``tiles`` and ``following`` of a grid.
    colors : sequence of int32 values
        Red + 256 green + 65536 blue, and anything above.

    Returns
    -------
    places : list of int32 values
        Where in the tiles the nearest are; less than zero, the complement of where the tile of
        the cell begins, in one not yet known.
    missing : int1 value
        Whether there is such a one.
    """
    builder = code.builder
    known, tiles, following = arrays
    tables = _Tables(code, tiles)
    starts = [_start(builder, color) for color in colors]
    offsets = [builder.zext(start, SIZE) for start in starts]
    pixels = [
        [builder.bitcast(code.splat(half), _SHORTS) for half in _halves(builder, color)]
        for color in colors
    ]
    states = [code.scalar(known, builder.lshr(offset, SIZE(_LANE_BITS + 2))) for offset in offsets]
    # What is in the tile of a cell not yet known is anything.
    sure = [
        builder.icmp_unsigned(">", state, tables.mark(offset))
        for state, offset in zip(states, offsets, strict=True)
    ]
    keys = tables.least_keys(offsets, pixels)
    missing = cgutils.alloca_once_value(builder, _BIT(0))
    places = []
    for offset, key in zip(offsets, keys, strict=True):
        slot = cgutils.alloca_once(builder, INT)
        builder.store(tables.place(offset, key), slot)
        places.append(slot)
    all_sure = sure[0]
    for one in sure[1:]:
        all_sure = builder.and_(all_sure, one)
    with builder.if_then(builder.not_(all_sure), likely=False):
        for i, slot in enumerate(places):
            with builder.if_then(builder.not_(sure[i])):
                is_unknown = builder.icmp_unsigned("==", states[i], states[i].type(0))
                with builder.if_else(is_unknown) as (unknown, several):
                    with unknown:
                        builder.store(builder.not_(starts[i]), slot)
                        builder.store(_BIT(1), missing)
                    with several:
                        tables.follow(following, offsets[i], pixels[i], keys[i], slot)
    return [builder.load(slot) for slot in places], builder.load(missing)


def _bits(builder: ir.IRBuilder, color: Any, shift: int, mask: int) -> Any:
    """Some of the bits of a colour, moved to the left, or to the right if less than zero."""
    moved = builder.shl(color, INT(shift)) if shift > 0 else builder.lshr(color, INT(-shift))
    return builder.and_(moved, INT(mask))


def _start(builder: ir.IRBuilder, color: Any) -> Any:
    """Where the tile of the cell of a colour begins."""
    red, green, blue = (
        _bits(builder, color, shift, 31 << place) for shift, place in ((11, 14), (-2, 9), (-15, 4))
    )
    return builder.or_(builder.or_(red, green), blue)


def _halves(builder: ir.IRBuilder, color: Any) -> list[Any]:
    """Red and blue of a colour times 4, sixteen bits each, and green and zero."""
    return [_bits(builder, color, 2, 0x3FC03FC), _bits(builder, color, -6, 0x3FC)]


class _Tables:
    """Writes what is done with the tiles of a grid."""

    def __init__(self, code: Code, tiles: int) -> None:
        self._code = code
        self._tiles = tiles

    def mark(self, offset: Any) -> Any:
        """Whether another tile follows."""
        builder = self._code.builder
        first = self._code.scalar(self._tiles, offset)
        return builder.trunc(builder.lshr(first, INT(24)), ir.IntType(8))

    def place(self, offset: Any, key: Any) -> Any:
        """Where in the tiles the candidate of a key is."""
        builder = self._code.builder
        return builder.or_(builder.trunc(offset, INT), builder.and_(key, INT(TILE - 1)))

    def least_keys(self, offsets: list[Any], pixels: list[list[Any]]) -> list[Any]:
        """Keys of the nearest in some tiles."""
        code = self._code
        builder = code.builder
        shorts = [
            [
                builder.bitcast(builder.and_(half, every(INT, mask)), _SHORTS)
                for half, mask in (
                    (builder.shl(candidates, every(INT, 2)), 0x3FC03FC),
                    (builder.lshr(candidates, every(INT, 6)), 0x3FC),
                )
            ]
            for candidates in (code.load(self._tiles, offset) for offset in offsets)
        ]
        keys = []
        for candidates, pixel in zip(shorts, pixels, strict=True):
            total = None
            for half, own in zip(candidates, pixel, strict=True):
                wide = builder.sext(builder.sub(half, own), vector(INT, 2 * TILE))
                squares = builder.mul(wide, wide)
                even, odd = (code.pick(squares, range(part, 2 * TILE, 2)) for part in range(2))
                pairs = builder.add(even, odd)
                total = pairs if total is None else builder.add(total, pairs)
            keys.append(builder.or_(total, constant(INT, range(TILE))))
        width = TILE // 2
        while width:
            others = [code.pick(key, range(width, 2 * width)) for key in keys]
            halves = [code.pick(key, range(width)) for key in keys]
            keys = [
                builder.select(builder.icmp_unsigned("<", *both), *both)
                for both in zip(halves, others, strict=True)
            ]
            width //= 2
        return [builder.extract_element(key, INT(0)) for key in keys]

    def follow(self, following: int, offset: Any, pixel: list[Any], key: Any, place: Any) -> None:
        """Search the tiles that follow one, and put where the nearest of all is."""
        code = self._code
        builder = code.builder
        best = cgutils.alloca_once(builder, INT)
        last = cgutils.alloca_once(builder, SIZE)
        builder.store(key, best)
        builder.store(offset, last)
        again, done = (builder.append_basic_block(name) for name in ("again", "done"))
        builder.branch(again)
        builder.position_at_end(again)
        number = code.scalar(following, builder.lshr(builder.load(last), SIZE(_LANE_BITS)))
        offset = code.mul(builder.zext(number, SIZE), TILE)
        builder.store(offset, last)
        (key,) = self.least_keys([offset], [pixel])
        distances = (builder.lshr(value, INT(_LANE_BITS)) for value in (key, builder.load(best)))
        with builder.if_then(builder.icmp_unsigned("<", *distances)):
            builder.store(key, best)
            builder.store(self.place(offset, key), place)
        follows = self.mark(offset)
        builder.cbranch(builder.icmp_unsigned("!=", follows, follows.type(0)), again, done)
        builder.position_at_end(done)


def _find(typingctx: Any, known: Any, tiles: Any, following: Any, color: Any) -> Any:
    """Where in the tiles of a grid the nearest to a colour is, ties to the lowest row.

    An intrinsic, because a compiled function that is handed the arrays counts references to them,
    at several times the cost of the search.

    known, tiles, following  of a grid
    color  int32             red + 256 green + 65536 blue
    Returns the place; less than zero, the complement of where the tile of the cell begins, in one
    not yet known.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = Code(context, builder, signature, args)
        (place,), _ = write_search(code, range(3), [args[3]])
        return place

    return types.int32(known, tiles, following, types.int32), codegen


def _fill_tile(typingctx: Any, tiles: Any, tile: Any, color: Any) -> Any:
    """Fill a tile of a grid with a colour.

    tiles  (t, 16) int32  out: of a grid
    tile   int64          which of them
    color  int32          the colour, packed
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = Code(context, builder, signature, args)
        code.store(code.splat(args[2]), 0, code.mul(args[1], TILE))
        return context.get_dummy_value()

    return types.void(tiles, types.int64, types.int32), codegen


find: Any = intrinsic(_find)
_fill: Any = intrinsic(_fill_tile)


@kernel
def learn(grid, place):
    """Find the candidates of a cell, and of all cells of its chunk.

    grid   Grid   inout
    place  int64  the complement of where the tile of the cell begins
    """
    (
        packed,
        channels,
        known,
        tiles,
        rows,
        following,
        used,
        nearby,
        lowest,
        near,
        masks,
        owners,
        counts,
        begins,
    ) = grid
    cell = ~place >> _LANE_BITS
    if known[cell >> 2]:
        return
    k = np.int64(packed.shape[0])
    red, green, blue = cell >> 12 << 2, (cell >> 7 & 7) << 2, (cell >> 2 & 7) << 2
    half = np.float32(15.5)
    r, g, b = np.float32(8 * red), np.float32(8 * green), np.float32(8 * blue)
    limit = bounds(channels, k, r + half, g + half, b + half, half, lowest)
    n_near, _ = select_within(lowest, k, limit, near)
    for f in range(3):
        for j in range(n_near):
            nearby[f, j] = channels[f, near[j]]
    half = np.float32(HALF)
    rivals_of(nearby, n_near, r + half, g + half, b + half, masks, owners)
    if used[0] + CHUNK * ((n_near - 1) // TILE) > tiles.shape[0]:
        known[:] = 0
        used[0] = CELLS
    for part in range(CHUNK):
        own = (red + (part >> 4)) << 10 | (green + (part >> 2 & 3)) << 5 | blue + (part & 3)
        known[own >> 2] = 1
        begins[part] = own << _LANE_BITS
        counts[part] = 0
        _fill(tiles, np.int64(own), owners[part])
    places, place_rows = tiles.reshape(-1), rows.reshape(-1)
    for j in range(n_near):
        row = near[j]
        color = packed[row]
        left = masks[j]
        while left != 0:
            part = popcount((left - np.uint64(1)) & ~left)
            left &= left - np.uint64(1)
            count = counts[part]
            if count > 0 and count & TILE - 1 == 0:
                own = (begins[part] + count - 1) >> _LANE_BITS
                tiles[own, 0] |= _MORE
                following[own] = used[0]
                _fill(tiles, used[0], color)
                begins[part] = (used[0] << _LANE_BITS) - count
                used[0] += 1
            place = np.uint64(begins[part] + count)
            places[place] = color
            place_rows[place] = row
            counts[part] = count + 1


@kernel
def map_colors(colors, start, stop, grid, indices):
    """Find the nearest colour of the palette for each of some colours.

    colors   (n, 3) uint8  colours
    start, stop            which of them
    grid     Grid          inout
    indices  (n,)   int32  out: rows of the palette
    """
    known, tiles, following = grid.known, grid.tiles, grid.following
    rows = grid.rows.reshape(-1)
    for i in range(start, stop):
        red, green, blue = np.int32(colors[i, 0]), np.int32(colors[i, 1]), np.int32(colors[i, 2])
        color = np.int32(red | green << 8 | blue << 16)
        place = find(known, tiles, following, color)
        if place < 0:
            learn(grid, np.int64(place))
            place = find(known, tiles, following, color)
        indices[i] = rows[np.uint64(place)]
