"""Dithering: error diffusion in bands, and an ordered pattern.

A pixel of error diffusion waits for the error of its neighbour, some hundred cycles away. So a
picture is cut into bands, and several bands are run in step: what one waits for is another's
time to work. A band begins some rows above its first, to have errors to start with. Lines are
kept in the order in which they are scanned.

Floyd and Steinberg (1976), Proc. SID 17; Atkinson's filter of the first Macintosh; Sierra's
three-row filter (1989). Ordered dithering: Bayer (1973), IEEE ICC.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from kmq.kernels.jit import empty, kernel, zeros
from kmq.kernels.nearest import find, learn, write_search
from kmq.kernels.vectors import FLOAT, INT, LANES, SIZE, Code, constant, every, vector

# A pixel is a vector of this many floats: red, green, blue, and whether it is shown.
WIDE = 4
# The most lines that are run in step.
IN_STEP = 8
FEW = 4
# Pixels of a vector.
_FOUR = LANES // WIDE
# Mark of a pixel that is shown.
_SHOWN = 2.0
# Rows of errors that are kept, and columns more on either side, of which vectors may read.
_ROWS = 3
_MARGIN = 8
_BYTE = ir.IntType(8)


def _diffuse_lines(
    typingctx: Any,
    like: Any,
    known: Any,
    tiles: Any,
    following: Any,
    rows: Any,
    errors: Any,
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
    known, tiles, following, rows   of a grid
    errors   (m,)      float32      inout: pixels with the errors from above, and whether they are
                                    shown; then what was wanted less what was chosen, and zero
    starts   (n,)      int64        where in this each line begins
    across   int64                  pixels of each line that are done
    shares   (2,)      float32      share of an error that the next pixel and the one after get
    carried  (n, 2, 4) float32      inout: errors for the next pixel and the one after
    chosen   (n, w)    int32        out: rows of the palette; where this ends early, of the pixels
                                    at which it did, what `find` says of them
    Returns how many pixels of each line are done.
    """
    n_lines = len(like)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = Code(context, builder, signature, args)

        lowest, highest = every(FLOAT, 0.0, WIDE), every(FLOAT, 255.0, WIDE)

        def packed(value: Any) -> Any:
            """The colour that a pixel rounds to, in one number."""
            whole = builder.fptosi(builder.fadd(value, every(FLOAT, 0.5, WIDE)), vector(INT, WIDE))
            bytes_ = code.pick(builder.bitcast(whole, vector(_BYTE)), range(0, LANES, WIDE))
            return builder.bitcast(bytes_, INT)

        share_next, share_after = (code.splat(code.scalar(8, place), WIDE) for place in range(2))
        width = code.length(10, 1)
        lines = range(n_lines)
        begins = [code.pointer(5, code.scalar(6, line)) for line in lines]
        ends = [code.pointer(10, code.mul(width, line)) for line in lines]
        before = [code.load(9, WIDE * place, lanes=WIDE) for place in range(2 * n_lines)]
        start = builder.block
        head, body, commit, unknown, done = (
            builder.append_basic_block(name)
            for name in ("head", "body", "commit", "unknown", "done")
        )
        builder.branch(head)
        builder.position_at_end(head)
        phis = []
        for value in [args[7], *before]:
            phi = builder.phi(value.type)
            phi.add_incoming(value, start)
            phis.append(phi)
        at, now, after = phis[0], phis[1::2], phis[2::2]
        builder.cbranch(builder.icmp_signed("<", at, width), body, done)

        builder.position_at_end(body)
        places = [builder.gep(begin, [code.mul(at, WIDE)]) for begin in begins]
        targets = [builder.gep(end, [at]) for end in ends]
        wanted = [code.load_from(place, WIDE) for place in places]
        sums = [builder.fadd(*both) for both in zip(wanted, now, strict=True)]
        values = [code.lower(code.higher(value, lowest), highest) for value in sums]
        found, missing = write_search(code, range(1, 4), [packed(value) for value in values])
        builder.cbranch(missing, unknown, commit)

        builder.position_at_end(unknown)
        for place, target in zip(found, targets, strict=True):
            builder.store(place, target)
        builder.branch(done)

        builder.position_at_end(commit)
        ahead = [code.add(at, 1)]
        for line in lines:
            place = builder.zext(found[line], SIZE)
            row = code.scalar(4, place)
            row = builder.zext(row, INT) if row.type.width < INT.width else row
            builder.store(row, targets[line])
            chosen_bytes = builder.bitcast(code.pointer(2, place), _BYTE.as_pointer())
            color = builder.uitofp(code.load_from(chosen_bytes, WIDE), vector(FLOAT, WIDE))
            shown = builder.fcmp_ordered(
                ">", code.pick(wanted[line], [3] * WIDE), constant(FLOAT, (0.0, 0.0, 0.0, _SHOWN))
            )
            error = builder.select(
                shown, builder.fsub(values[line], color), every(FLOAT, 0.0, WIDE)
            )
            code.store_to(error, places[line])
            ahead.append(builder.fadd(after[line], builder.fmul(share_next, error)))
            ahead.append(builder.fmul(share_after, error))
        for phi, value in zip(phis, ahead, strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(head)

        builder.position_at_end(done)
        for place, value in enumerate(phis[1:]):
            code.store(value, 9, WIDE * place)
        return at

    return (
        types.int64(
            like, known, tiles, following, rows, errors, starts, across, shares, carried, chosen
        ),
        codegen,
    )


_diffuse: Any = intrinsic(_diffuse_lines)


def _read_pixels(
    typingctx: Any, pixels: Any, shown: Any, pixel: Any, forth: Any, errors: Any, at: Any
) -> Any:
    """Take four pixels of bytes as floats, and whether they are shown.

    pixels  (n,)     uint8    channels of all pixels; those of six are read
    shown   (n / 3,) bool     whether they are shown
    pixel   int64             the first of the four
    forth   bool              whether they go from left to right
    errors  (m,)     float32  out: pixels
    at      int64             where in this they go
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = Code(context, builder, signature, args)
        channels = code.load(0, code.mul(args[2], 3))
        marks = builder.mul(code.load(1, args[2], lanes=_FOUR), every(_BYTE, int(_SHOWN), _FOUR))
        marks = code.pick(marks, [lane % _FOUR for lane in range(LANES)])

        def floats(order: Iterable[int]) -> Any:
            lanes = [lane for i in order for lane in (3 * i, 3 * i + 1, 3 * i + 2, LANES + i)]
            both = builder.shuffle_vector(channels, marks, constant(INT, lanes))
            return builder.uitofp(both, vector(FLOAT))

        one_way, other_way = floats(range(_FOUR)), floats(reversed(range(_FOUR)))
        code.store(builder.select(args[3], one_way, other_way), 4, args[5])
        return context.get_dummy_value()

    int64 = types.int64
    return types.void(pixels, shown, int64, types.boolean, errors, int64), codegen


_read_four: Any = intrinsic(_read_pixels)


def _adder(turned: bool) -> Any:
    """Build the intrinsic for rows scanned the same way, or turned: one to, the other fro."""
    step = -1 if turned else 1
    order = [WIDE * i + f for i in range(_FOUR)[::step] for f in range(WIDE)]

    def add_errors(
        typingctx: Any, errors: Any, to: Any, above: Any, width: Any, taps: Any, line: Any
    ) -> Any:
        """Add to a row of pixels what a row above passes on.

        errors  (n,)   float32  inout: pixels, and three more; errors of the row above
        to      int64           where in this the first pixel is
        above   int64           where the one above it is
        width   int64           how many pixels there are
        taps    (3, 5) float32  as for `diffuse`
        line    int64           by how many rows the other is above
        """

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            code = Code(context, builder, signature, args)
            shares = [code.splat(code.scalar(4, code.mul(args[5], 5), tap)) for tap in range(5)]

            def four(x: Any, _: list[Any]) -> list[Any]:
                place = code.pointer(0, args[1], code.mul(x, WIDE))
                total = code.load_from(place)
                for tap, share in enumerate(shares):
                    # The last of four pixels is the first of those above it where rows are turned.
                    first = 2 - tap - (_FOUR - 1 if turned else 0)
                    source = code.add(args[2], code.mul(x, step * WIDE), WIDE * first)
                    error = code.pick(code.load(0, source), order)
                    total = code.add_product(total, share, error, fused=False)
                code.store_to(total, place)
                return []

            code.loop(0, args[3], _FOUR, [], four)
            return context.get_dummy_value()

        int64 = types.int64
        return types.void(errors, int64, int64, int64, taps, int64), codegen

    return intrinsic(add_errors)


_add_along: Any = _adder(False)
_add_turned: Any = _adder(True)


@kernel
def _prepare_line(pixels, shown, taps, y, forth, errors, line):
    """Take a row of pixels in the order of the scan, and add what the two rows above pass on.

    pixels  (h, w, 3)            uint8    the picture
    shown   (h, w)               bool     pixels to dither
    taps    (3, 5)               float32  as for `diffuse`
    y                                     the row
    forth   (3,)                 bool     whether rows were scanned from left to right, this one
                                          and those above it
    errors  (3 (w + margins) 4,) float32  inout: errors of the rows above, the n-th row at n % 3;
                                          out: pixels, and whether they are shown
    line                                  number of this row
    """
    height, width, _ = pixels.shape
    size = WIDE * (width + 2 * _MARGIN)
    begin = np.int64(line % _ROWS * size + WIDE * _MARGIN)
    channels, marks = pixels.reshape(-1), shown.reshape(-1)
    # Four pixels are read as sixteen bytes, which must not reach beyond the last row.
    whole = max(min(width, (height - y) * width - 2), 0) // _FOUR * _FOUR
    along = forth[0]
    for x in range(0, whole, _FOUR):
        to = begin + WIDE * (x if along else width - _FOUR - x)
        _read_four(channels, marks, np.int64(y * width + x), along, errors, to)
    for x in range(whole, width):
        to = begin + WIDE * (x if along else width - 1 - x)
        for f in range(3):
            errors[to + f] = np.float32(pixels[y, x, f])
        errors[to + 3] = np.float32(_SHOWN if shown[y, x] else 0.0)
    for back in range(1, _ROWS):
        above = np.int64((line - back) % _ROWS * size + WIDE * _MARGIN)
        if forth[back] != along:
            above += WIDE * (width - 1)
            _add_turned(errors, begin, above, np.int64(width), taps, np.int64(back))
        elif taps[back, 0] or taps[back, 1] or taps[back, 2] or taps[back, 3] or taps[back, 4]:
            _add_along(errors, begin, above, np.int64(width), taps, np.int64(back))
    errors[begin + WIDE * width : begin + WIDE * (width + _FOUR)] = 0


@kernel
def _put_line(chosen, forth, shown, indices):
    """Put rows of the palette where their pixels are.

    chosen   (w,) int32  rows of the palette, in the order of the scan
    forth                whether that is from left to right
    shown    (w,) bool   pixels to dither
    indices  (w,) int32  out: rows of the palette; 0 where a pixel is not shown
    """
    for i in range(len(chosen)):
        x = i if forth else len(chosen) - 1 - i
        indices[x] = chosen[i] * shown[x]


@kernel
def _run_lines(like, grid, errors, starts, shares, chosen):
    """Choose the colours of some lines.

    like    n zeros           a tuple: its length is the number of lines
    grid    Grid              inout
    errors  (m,)     float32  inout: as for `_diffuse_lines`
    starts  (n,)     int64    where in this each line begins
    shares  (2,)     float32  share of an error that the next pixel and the one after get
    chosen  (n, w)   int32    out: rows of the palette
    """
    known, tiles, following, rows = grid.known, grid.tiles, grid.following, grid.rows
    carried = zeros((len(like), 2, WIDE), np.float32)
    across = 0
    while True:
        across = _diffuse(
            like, known, tiles, following, rows, errors, starts, across, shares, carried, chosen
        )
        if across == chosen.shape[1]:
            return
        for line in range(len(like)):
            if chosen[line, across] < 0:
                learn(grid, np.int64(chosen[line, across]))


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
    size = WIDE * (width + 2 * _MARGIN)
    # Where there is no line, one of pixels that are not shown stands in.
    errors = zeros((n_bands + 1) * _ROWS * size, np.float32)
    starts = empty(IN_STEP, np.int64)
    which = empty(IN_STEP, np.int64)
    forth = empty((n_bands, _ROWS), np.bool_)
    chosen = empty((IN_STEP, width), np.int32)
    shares = taps[0, 3:]
    most_lines = 0
    for b in range(n_bands):
        most_lines = max(most_lines, bands[b, 2] - bands[b, 0])
    for line in range(most_lines):
        n_lines = 0
        starts[:] = n_bands * _ROWS * size
        for b in range(n_bands):
            y = bands[b, 0] + line
            if y >= bands[b, 2]:
                continue
            for back in range(_ROWS):
                forth[b, back] = not (backwards and (y - back) % 2)
            own = errors[b * _ROWS * size : (b + 1) * _ROWS * size]
            _prepare_line(pixels, shown, taps, y, forth[b], own, line)
            starts[n_lines] = (b * _ROWS + line % _ROWS) * size + WIDE * _MARGIN
            which[n_lines] = b
            n_lines += 1
        if n_lines == 1:
            _run_lines((0,), grid, errors, starts, shares, chosen[:1])
        elif n_lines <= FEW:
            _run_lines((0, 0, 0, 0), grid, errors, starts, shares, chosen[:FEW])
        else:
            _run_lines((0, 0, 0, 0, 0, 0, 0, 0), grid, errors, starts, shares, chosen)
        for i in range(n_lines):
            b = which[i]
            y = bands[b, 0] + line
            if y >= bands[b, 1]:
                _put_line(chosen[i], forth[b, 0], shown[y], indices[y])


@kernel
def order(pixels, shown, offsets, start, stop, grid, indices):
    """Dither rows of a picture with a pattern that repeats.

    pixels   (h, w, 3) uint8    the picture
    shown    (h, w)    bool     pixels to dither
    offsets  (s, w)    int32    what is added to all channels of a pixel; the rows repeat
    start, stop                 the rows
    grid     Grid               inout
    indices  (h, w)    int32    out: rows of the palette, of the pixels shown
    """
    known, tiles, following = grid.known, grid.tiles, grid.following
    rows = grid.rows.reshape(-1)
    width = pixels.shape[1]
    colors = empty(width, np.int32)
    for y in range(start, stop):
        channels, pattern = pixels[y].reshape(-1), offsets[y % len(offsets)]
        # In a loop of its own, which becomes vectors.
        for x in range(width):
            offset = pattern[x]
            red = min(max(np.int32(channels[3 * x]) + offset, 0), 255)
            green = min(max(np.int32(channels[3 * x + 1]) + offset, 0), 255)
            blue = min(max(np.int32(channels[3 * x + 2]) + offset, 0), 255)
            colors[x] = red | green << 8 | blue << 16
        for x in range(width):
            if shown[y, x]:
                place = find(known, tiles, following, colors[x])
                if place < 0:
                    learn(grid, np.int64(place))
                    place = find(known, tiles, following, colors[x])
                indices[y, x] = rows[np.uint64(place)]
