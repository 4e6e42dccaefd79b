"""Dithering: error diffusion in bands, and an ordered pattern.

A pixel of error diffusion waits for the error of its neighbour, some hundred cycles away. So a
picture is cut into bands, and several bands are run in step: what one waits for is another's
time to work. A band begins some rows above its first, to have errors to start with.

Floyd and Steinberg (1976), Proc. SID 17; Atkinson's filter of the first Macintosh; Sierra's
three-row filter (1989). Ordered dithering: Bayer (1973), IEEE ICC.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from kmq.kernels.jit import kernel
from kmq.kernels.nearest import find, find_row, learn

# A pixel is a vector of this many floats: red, green, blue and a zero.
WIDE = 4


def _diffuse_pixel(
    typingctx: Any,
    cells: Any,
    tiles: Any,
    rows: Any,
    palette: Any,
    wanted: Any,
    at: Any,
    errors: Any,
    to: Any,
    carried: Any,
    i: Any,
) -> Any:
    """Choose the colour of one pixel, and keep its error.

    cells, tiles, rows, palette    of a grid
    wanted   (n, 4)    float32     pixels with the errors from above
    at       int64                 the pixel
    errors   (m, 4)    float32     out: what was wanted less what was chosen
    to       int64                 where that goes
    carried  (b, 4, 4) float32     inout: error from the neighbours for this pixel, for the next
                                   one, and the shares of an error that these get
    i        int64                 row of `carried`
    Returns the row of the palette; -1 in a cell not yet known, and then nothing is done.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        size, number, real = ir.IntType(64), ir.IntType(32), ir.FloatType()
        ints, reals = ir.VectorType(number, WIDE), ir.VectorType(real, WIDE)

        def pixel(array: int, *offsets: Any) -> Any:
            """Pointer to a pixel of an argument, at a sum of offsets in pixels."""
            data = context.make_array(signature.args[array])(context, builder, args[array]).data
            total = size(0)
            for offset in offsets:
                total = builder.add(total, offset)
            place = builder.gep(data, [builder.mul(total, size(WIDE))])
            return builder.bitcast(place, reals.as_pointer())

        def bounded(value: Any) -> Any:
            """Between 0 and 255."""
            for comparison, limit in ((">", 0.0), ("<", 255.0)):
                limits = ir.Constant(reals, [limit] * WIDE)
                within = builder.fcmp_ordered(comparison, value, limits)
                value = builder.select(within, value, limits)
            return value

        row_start = builder.mul(args[9], size(4))
        places = [pixel(8, row_start, size(part)) for part in range(4)]
        now, next_one, share_now, share_next = (builder.load(p, align=4) for p in places)
        value = bounded(builder.fadd(builder.load(pixel(4, args[5]), align=4), now))
        half = ir.Constant(reals, [0.5] * WIDE)
        whole = builder.fptosi(builder.fadd(value, half), ints)
        color = builder.sitofp(whole, reals)
        row = find_row(
            context,
            builder,
            signature,
            args,
            [builder.extract_element(color, number(f)) for f in range(3)],
            [builder.extract_element(whole, number(f)) for f in range(3)],
        )
        with builder.if_then(builder.icmp_signed(">=", row, number(0)), likely=True):
            chosen = builder.load(pixel(3, builder.zext(row, size)), align=4)
            error = builder.fsub(value, chosen)
            builder.store(error, pixel(6, args[7]), align=4)
            passed = builder.fadd(next_one, builder.fmul(share_now, error))
            builder.store(passed, places[0], align=4)
            builder.store(builder.fmul(share_next, error), places[1], align=4)
        return row

    return types.int32(cells, tiles, rows, palette, wanted, at, errors, to, carried, i), codegen


_diffuse_one: Any = intrinsic(_diffuse_pixel)


@kernel
def _whole(value):
    """Round to a whole number from 0 to 255 as `_diffuse_pixel` does.

    value  float32
    """
    bounded = min(max(value, np.float32(0)), np.float32(255))
    return np.float32(np.int32(bounded + np.float32(0.5)))


@kernel
def _prepare_row(pixels, taps, step, y, errors, wanted):
    """Add to a row of pixels what the two rows above pass on.

    pixels  (h, w, 3)    uint8    the picture
    taps    (3, 5)       float32  as for `diffuse`
    step    (3,)         int64    direction in which each row of `errors` was scanned
    y                             the row
    errors  (3, w+4, 4)  float32  errors of this row and those above, row y at y % 3, with two
                                  columns more on either side
    wanted  (w, 4)       float32  out: the row with the errors from above
    """
    width = wanted.shape[0]
    for x in range(width):
        for f in range(3):
            wanted[x, f] = np.float32(pixels[y, x, f])
    total = wanted.reshape(WIDE * width)
    for line in range(1, 3):
        source = (y - line) % 3
        flat = errors[source].reshape(WIDE * (width + 4))
        for column in range(5):
            share = taps[line, column]
            if share != 0:
                shift = WIDE * (2 - step[source] * (column - 2))
                above = flat[shift : shift + WIDE * width]
                for i in range(WIDE * width):
                    total[i] += share * above[i]


@kernel
def diffuse(pixels, shown, taps, backwards, bands, grid, indices):
    """Dither bands of a picture by error diffusion.

    pixels     (h, w, 3) uint8    the picture
    shown      (h, w)    bool     pixels to dither; others pass no error on
    taps       (3, 5)    float32  share of a pixel's error for this row and the two below, from two
                                  columns before to two after; nothing up to the pixel itself
    backwards  bool               whether odd rows are scanned from right to left
    bands      (b, 3)    int64    of each band: the row to begin with, the first and past the last
    grid       Grid               inout
    indices    (h, w)    int32    out: rows of the palette, of the pixels shown in the bands
    """
    palette, _, cells, tiles, rows, _, _, _ = grid
    n_bands = bands.shape[0]
    width = pixels.shape[1]
    errors = np.zeros((n_bands, 3, width + 4, WIDE), np.float32)
    every_error = errors.reshape(n_bands * 3 * (width + 4), WIDE)
    wanted = np.zeros((n_bands, width, WIDE), np.float32)
    every_wanted = wanted.reshape(n_bands * width, WIDE)
    every_index, every_shown = indices.reshape(-1), shown.reshape(-1)
    step = np.ones((n_bands, 3), np.int64)
    lines = np.empty((n_bands, 5), np.int64)
    carried = np.zeros((n_bands, 4, WIDE), np.float32)
    carried[:, 2] = taps[0, 3]
    carried[:, 3] = taps[0, 4]
    for line in range((bands[:, 2] - bands[:, 0]).max()):
        n_lines = 0
        for b in range(n_bands):
            y = bands[b, 0] + line
            if y >= bands[b, 2]:
                continue
            forth = not (backwards and y % 2)
            step[b, y % 3] = 1 if forth else -1
            _prepare_row(pixels, taps, step[b], y, errors[b], wanted[b])
            first = np.int64(0 if forth else width - 1)
            own = (b * 3 + y % 3) * (width + 4) + 2
            # Where the line begins in each array, its direction, and whether it is in the band.
            lines[n_lines] = (
                b * width + first,
                own + first,
                y * width + first,
                step[b, y % 3],
                np.int64(y >= bands[b, 1]),
            )
            carried[n_lines, :2] = 0
            n_lines += 1
        for across in range(width):
            for i in range(n_lines):
                move = lines[i, 3] * across
                at, to = lines[i, 0] + move, lines[i, 1] + move
                pixel = np.uint64(lines[i, 2] + move)
                if not every_shown[pixel]:
                    every_error[to] = 0
                    carried[i, 0] = carried[i, 1]
                    carried[i, 1] = 0
                    continue
                row = _diffuse_one(
                    cells, tiles, rows, palette, every_wanted, at, every_error, to, carried, i
                )
                if row < 0:
                    value = every_wanted[at] + carried[i, 0]
                    learn(grid, _whole(value[0]), _whole(value[1]), _whole(value[2]))
                    row = _diffuse_one(
                        cells, tiles, rows, palette, every_wanted, at, every_error, to, carried, i
                    )
                if lines[i, 4]:
                    every_index[pixel] = row


@kernel
def order(pixels, shown, offsets, start, stop, grid, indices):
    """Dither rows of a picture with a pattern that repeats.

    pixels   (h, w, 3) uint8    the picture
    shown    (h, w)    bool     pixels to dither
    offsets  (s, s)    float32  what is added to all channels of a pixel, whole numbers
    start, stop                 the rows
    grid     Grid               inout
    indices  (h, w)    int32    out: rows of the palette, of the pixels shown
    """
    _, _, cells, tiles, rows, _, _, _ = grid
    side = offsets.shape[0]
    zero, full = np.float32(0), np.float32(255)
    for y in range(start, stop):
        for x in range(pixels.shape[1]):
            if shown[y, x]:
                offset = offsets[y % side, x % side]
                red = min(max(np.float32(pixels[y, x, 0]) + offset, zero), full)
                green = min(max(np.float32(pixels[y, x, 1]) + offset, zero), full)
                blue = min(max(np.float32(pixels[y, x, 2]) + offset, zero), full)
                row = find(cells, tiles, rows, red, green, blue)
                if row < 0:
                    learn(grid, red, green, blue)
                    row = find(cells, tiles, rows, red, green, blue)
                indices[y, x] = row
