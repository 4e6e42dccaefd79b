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
from numba.core import cgutils, types
from numba.extending import intrinsic

from kmq.kernels.jit import kernel
from kmq.kernels.nearest import find, find_row, learn

# A pixel is a vector of this many floats: red, green, blue and a zero.
WIDE = 4
# The most lines that are run in step.
IN_STEP = 8
FEW = 4
# Mark of a pixel that is shown: rounds to zero.
SHOWN = np.float32(0.25)


def _diffuse_lines(
    typingctx: Any,
    like: Any,
    cells: Any,
    tiles: Any,
    rows: Any,
    palette: Any,
    lines: Any,
    starts: Any,
    across: Any,
    shares: Any,
    carried: Any,
    chosen: Any,
) -> Any:
    """Choose the colours of pixels of several lines in turn, and keep their errors.

    What is carried from pixel to pixel stays in registers: loaded from memory, it would be held
    back for the store of another line just before, which processors take for one to the same place.

    like     n zeros                a tuple: its length is the number of lines
    cells, tiles, rows, palette     of a grid
    lines    (m, 4)    float32      inout: pixels with the errors from above, and whether they are
                                    shown; then what was wanted less what was chosen, and zero
    starts   (n, 2)    int64        of each line, its first pixel and the step to the next
    across   int64                  pixels of each line that are done
    shares   (2,)      float32      share of an error that the next pixel and the one after get
    carried  (n, 2, 4) float32      inout: errors for the next pixel and the one after
    chosen   (w, 8)    int32        out: rows of the palette; where this ends early, of the pixels
                                    at which it did, the complement of the cell where that is
                                    not yet known
    Returns how many pixels of each line are done.
    """
    n_lines = len(like)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        size, number, real = ir.IntType(64), ir.IntType(32), ir.FloatType()
        ints, reals = ir.VectorType(number, WIDE), ir.VectorType(real, WIDE)
        arrays = {
            place: context.make_array(kind)(context, builder, args[place])
            for place, kind in enumerate(signature.args)
            if isinstance(kind, types.Array)
        }

        def pixels(array: int) -> Any:
            return builder.bitcast(arrays[array].data, reals.as_pointer())

        def constant(kind: Any, *lanes: Any) -> Any:
            return ir.Constant(kind, lanes if len(lanes) == WIDE else lanes * WIDE)

        def splat(value: Any, lane: int) -> Any:
            return builder.shuffle_vector(value, value, constant(ints, lane))

        def bounded(value: Any) -> Any:
            """Between 0 and 255."""
            for comparison, limit in ((">", 0.0), ("<", 255.0)):
                limits = constant(reals, limit)
                within = builder.fcmp_ordered(comparison, value, limits)
                value = builder.select(within, value, limits)
            return value

        def found_for(value: Any) -> Any:
            """Row of the colour nearest to what a pixel rounds to."""
            whole = builder.fptosi(builder.fadd(value, constant(reals, 0.5)), ints)
            return find_row(context, builder, signature.args[1:4], args[1:4], whole)

        def share(place: int) -> Any:
            value = builder.load(builder.gep(arrays[8].data, [size(place)]))
            lane = builder.insert_element(ir.Constant(reals, ir.Undefined), value, number(0))
            return splat(lane, 0)

        share_next, share_after = share(0), share(1)
        width = builder.extract_value(arrays[10].shape, 0)
        at, steps, before = [], [], [args[7]]
        for line in range(n_lines):
            first, step = (
                builder.load(builder.gep(arrays[6].data, [size(2 * line + part)]))
                for part in range(2)
            )
            steps.append(builder.mul(step, size(4 * WIDE)))
            first = builder.add(first, builder.mul(args[7], step))
            before.append(builder.gep(pixels(5), [first]))
            for part in range(2):
                place = builder.gep(pixels(9), [size(2 * line + part)])
                before.append(builder.load(place, align=4))
        start = builder.block
        head, body, commit, unknown, done = (
            builder.append_basic_block(name)
            for name in ("head", "body", "commit", "unknown", "done")
        )
        builder.branch(head)
        builder.position_at_end(head)
        carried_on = []
        for value in before:
            phi = builder.phi(value.type)
            phi.add_incoming(value, start)
            carried_on.append(phi)
        done_so_far = carried_on[0]
        at, now, after = (carried_on[1 + part :: 3] for part in range(3))
        builder.cbranch(builder.icmp_signed("<", done_so_far, width), body, done)

        builder.position_at_end(body)
        wanted = [builder.load(place, align=4) for place in at]
        values = [bounded(builder.fadd(*both)) for both in zip(wanted, now, strict=True)]
        found = [found_for(value) for value in values]
        least = found[0]
        for row in found[1:]:
            least = builder.or_(least, row)
        targets = [
            builder.add(builder.mul(done_so_far, size(IN_STEP)), size(line))
            for line in range(n_lines)
        ]
        builder.cbranch(builder.icmp_signed("<", least, number(0)), unknown, commit)

        builder.position_at_end(unknown)
        for row, target in zip(found, targets, strict=True):
            builder.store(row, builder.gep(arrays[10].data, [target]))
        builder.branch(done)

        builder.position_at_end(commit)
        ahead = [builder.add(done_so_far, size(1))]
        for line in range(n_lines):
            row = found[line]
            builder.store(row, builder.gep(arrays[10].data, [targets[line]]))
            color = builder.load(builder.gep(pixels(4), [builder.zext(row, size)]), align=4)
            shown = builder.fcmp_ordered(
                ">", splat(wanted[line], 3), constant(reals, 0.0, 0.0, 0.0, 1.0)
            )
            error = builder.fsub(values[line], color)
            error = builder.select(shown, error, constant(reals, 0.0))
            builder.store(error, at[line], align=4)
            byte = builder.gep(builder.bitcast(at[line], cgutils.voidptr_t), [steps[line]])
            ahead.append(builder.bitcast(byte, reals.as_pointer()))
            ahead.append(builder.fadd(after[line], builder.fmul(share_next, error)))
            ahead.append(builder.fmul(share_after, error))
        for phi, value in zip(carried_on, ahead, strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(head)

        builder.position_at_end(done)
        for line in range(n_lines):
            for part, value in enumerate((now[line], after[line])):
                place = builder.gep(pixels(9), [size(2 * line + part)])
                builder.store(value, place, align=4)
        return done_so_far

    return (
        types.int64(
            like, cells, tiles, rows, palette, lines, starts, across, shares, carried, chosen
        ),
        codegen,
    )


_diffuse: Any = intrinsic(_diffuse_lines)


def _read_pixel(typingctx: Any, pixels: Any, place: Any, shown: Any, lines: Any, at: Any) -> Any:
    """Take a pixel of bytes as a vector of floats.

    pixels  (n,)   uint8    channels of all pixels; one more than the pixel's is read
    place   int64           the pixel's first channel
    shown   float32         what goes with it
    lines   (m, 4) float32  out: pixels
    at      int64           which of them
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        ints, reals = (ir.VectorType(kind, WIDE) for kind in (ir.IntType(8), ir.FloatType()))
        source, target = (
            context.make_array(signature.args[array])(context, builder, args[array]).data
            for array in (0, 3)
        )
        place = builder.bitcast(builder.gep(source, [args[1]]), ints.as_pointer())
        value = builder.uitofp(builder.load(place, align=1), reals)
        value = builder.insert_element(value, args[2], ir.IntType(32)(3))
        to = builder.gep(builder.bitcast(target, reals.as_pointer()), [args[4]])
        builder.store(value, to, align=4)
        return context.get_dummy_value()

    return types.void(pixels, types.int64, types.float32, lines, types.int64), codegen


_read: Any = intrinsic(_read_pixel)


@kernel
def _prepare_row(pixels, shown, taps, step, y, errors):
    """Add to a row of pixels what the two rows above pass on.

    pixels  (h, w, 3)    uint8    the picture
    shown   (h, w)       bool     pixels to dither
    taps    (3, 5)       float32  as for `diffuse`
    step    (3,)         int64    direction in which each row of `errors` was scanned
    y                             the row
    errors  (3, w+4, 4)  float32  inout: errors of the two rows above, row y at y % 3, with two
                                  columns more on either side; out: in their row, the pixels with
                                  the errors from above, and whether they are shown
    """
    width = pixels.shape[1]
    row = errors[y % 3]
    channels = pixels.reshape(-1)
    for x in range(width - 1):
        place = 3 * (y * width + x)
        _read(channels, place, SHOWN if shown[y, x] else np.float32(0), row, x + 2)
    # After the last there may be nothing to read.
    for f in range(3):
        row[width + 1, f] = np.float32(pixels[y, width - 1, f])
    row[width + 1, 3] = SHOWN if shown[y, width - 1] else np.float32(0)
    total = row.reshape(WIDE * (width + 4))[2 * WIDE : WIDE * (width + 2)]
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
def _put_row(chosen, line, step, shown, indices):
    """Put rows of the palette where their pixels are.

    chosen   (w, 8) int32  rows of the palette, in the order of the scan
    line     int64         which of the lines
    step     int64         1 from left to right, -1 from right to left
    shown    (w,)   bool   pixels to dither
    indices  (w,)   int32  out: rows of the palette; 0 where a pixel is not shown
    """
    width = chosen.shape[0]
    if step == 1:
        for x in range(width):
            indices[x] = chosen[x, line] * shown[x]
    else:
        for x in range(width):
            indices[x] = chosen[width - 1 - x, line] * shown[x]


@kernel
def _run_lines(like, grid, errors, starts, shares, chosen):
    """Choose the colours of some lines.

    like    n zeros            a tuple: its length is the number of lines
    grid    Grid               inout
    errors  (m, 4)    float32  inout: as `lines` of `_diffuse_lines`
    starts  (n, 2)    int64    of each line, its first pixel and the step to the next
    shares  (2,)      float32  share of an error that the next pixel and the one after get
    chosen  (w, 8)    int32    out: rows of the palette
    """
    palette, _, cells, tiles, rows, _, _, _, _, _, _, _ = grid
    carried = np.zeros((len(like), 2, WIDE), np.float32)
    across = 0
    while True:
        across = _diffuse(
            like, cells, tiles, rows, palette, errors, starts, across, shares, carried, chosen
        )
        if across == chosen.shape[0]:
            return
        for line in range(len(like)):
            if chosen[across, line] < 0:
                learn(grid, np.int64(~chosen[across, line]))


@kernel
def diffuse(pixels, shown, taps, backwards, bands, grid, indices):
    """Dither bands of a picture by error diffusion.

    pixels     (h, w, 3) uint8    the picture
    shown      (h, w)    bool     pixels to dither; others pass no error on
    taps       (3, 5)    float32  share of a pixel's error for this row and the two below, from two
                                  columns before to two after; nothing up to the pixel itself
    backwards  bool               whether odd rows are scanned from right to left
    bands      (b, 3)    int64    of each band: the row to begin with, the first and past the last;
                                  eight at most
    grid       Grid               inout
    indices    (h, w)    int32    out: rows of the palette, of the pixels shown in the bands
    """
    n_bands = bands.shape[0]
    width = pixels.shape[1]
    errors = np.zeros((n_bands + 1, 3, width + 4, WIDE), np.float32)
    every_error = errors.reshape((n_bands + 1) * 3 * (width + 4), WIDE)
    step = np.ones((n_bands, 3), np.int64)
    ys = np.empty(IN_STEP, np.int64)
    # Where there is no line, one pixel that is not shown stands in again and again.
    nowhere = np.int64(n_bands * 3 * (width + 4))
    starts = np.empty((IN_STEP, 2), np.int64)
    chosen = np.empty((width, IN_STEP), np.int32)
    shares = taps[0, 3:].copy()
    for line in range((bands[:, 2] - bands[:, 0]).max()):
        n_lines = 0
        for b in range(n_bands):
            y = bands[b, 0] + line
            if y >= bands[b, 2]:
                continue
            forth = not (backwards and y % 2)
            step[b, y % 3] = 1 if forth else -1
            _prepare_row(pixels, shown, taps, step[b], y, errors[b])
            first = np.int64(0 if forth else width - 1)
            starts[n_lines, 0] = (b * 3 + y % 3) * (width + 4) + 2 + first
            starts[n_lines, 1] = step[b, y % 3]
            ys[n_lines] = y if y >= bands[b, 1] else -1
            n_lines += 1
        starts[n_lines:, 0] = nowhere
        starts[n_lines:, 1] = 0
        if n_lines == 1:
            _run_lines((0,), grid, every_error, starts, shares, chosen)
        elif n_lines <= FEW:
            _run_lines((0, 0, 0, 0), grid, every_error, starts, shares, chosen)
        else:
            _run_lines((0, 0, 0, 0, 0, 0, 0, 0), grid, every_error, starts, shares, chosen)
        for i in range(n_lines):
            if ys[i] >= 0:
                _put_row(chosen, i, starts[i, 1], shown[ys[i]], indices[ys[i]])


@kernel
def order(pixels, shown, offsets, start, stop, grid, indices):
    """Dither rows of a picture with a pattern that repeats.

    pixels   (h, w, 3) uint8    the picture
    shown    (h, w)    bool     pixels to dither
    offsets  (s, s)    int64    what is added to all channels of a pixel; s a power of two
    start, stop                 the rows
    grid     Grid               inout
    indices  (h, w)    int32    out: rows of the palette, of the pixels shown
    """
    _, _, cells, tiles, rows, _, _, _, _, _, _, _ = grid
    last = offsets.shape[0] - 1
    for y in range(start, stop):
        for x in range(pixels.shape[1]):
            if shown[y, x]:
                offset = offsets[y & last, x & last]
                red = min(max(np.int64(pixels[y, x, 0]) + offset, 0), 255)
                green = min(max(np.int64(pixels[y, x, 1]) + offset, 0), 255)
                blue = min(max(np.int64(pixels[y, x, 2]) + offset, 0), 255)
                row = find(cells, tiles, rows, red, green, blue)
                if row < 0:
                    learn(grid, np.int64(~row))
                    row = find(cells, tiles, rows, red, green, blue)
                indices[y, x] = row
