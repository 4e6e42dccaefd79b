"""Dithering: error diffusion in bands, and an ordered pattern.

A pixel of error diffusion waits for the error of its neighbour, some hundred cycles away. So a
picture is cut into bands, and several bands are run in step: what one waits for is another's
time to work. A band begins some rows above its first, to have errors to start with.

Floyd and Steinberg (1976), Proc. SID 17; Atkinson's filter of the first Macintosh; Sierra's
three-row filter (1989). Ordered dithering: Bayer (1973), IEEE ICC.
"""

import numpy as np

from kmq.kernels.jit import kernel
from kmq.kernels.nearest import find, learn


@kernel
def _prepare_row(pixels, taps, step, y, errors, wanted):
    """Add to a row of pixels what the two rows above pass on.

    pixels  (h, w, 3)    uint8    the picture
    taps    (3, 5)       float32  as for `diffuse`
    step    (3,)         int64    direction in which each row of `errors` was scanned
    y                             the row
    errors  (3, 3w + 12) float32  errors of this row and those above, row y at y % 3, with two
                                  columns more on either side
    wanted  (3w,)        float32  out: the row with the errors from above
    """
    n = wanted.shape[0]
    row = pixels[y].reshape(n)
    for i in range(n):
        wanted[i] = np.float32(row[i])
    for line in range(1, 3):
        source = (y - line) % 3
        for column in range(5):
            share = taps[line, column]
            if share != 0:
                shift = 6 - 3 * step[source] * (column - 2)
                above = errors[source, shift : shift + n]
                for i in range(n):
                    wanted[i] += share * above[i]


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
    palette, _, cells, tiles, rows, _ = grid
    n_bands = bands.shape[0]
    width = pixels.shape[1]
    errors = np.zeros((n_bands, 3, 3 * width + 12), np.float32)
    wanted = np.empty((n_bands, 3 * width), np.float32)
    step = np.ones((n_bands, 3), np.int64)
    lines = np.empty((n_bands, 5), np.int64)
    carried = np.empty((n_bands, 6), np.float32)
    share_near, share_far = taps[0, 3], taps[0, 4]
    zero, full, half = np.float32(0), np.float32(255), np.float32(0.5)
    one, two = np.uint64(1), np.uint64(2)
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
            lines[n_lines] = (b, y, y % 3, first, np.int64(y >= bands[b, 1]))
            carried[n_lines] = 0
            n_lines += 1
        for across in range(width):
            for i in range(n_lines):
                u, v, own = np.uint64(lines[i, 0]), np.uint64(lines[i, 1]), np.uint64(lines[i, 2])
                x = np.uint64(abs(lines[i, 3] - np.int64(across)))
                at = np.uint64(3) * x
                red = min(max(wanted[u, at] + carried[i, 0], zero), full)
                green = min(max(wanted[u, at + one] + carried[i, 1], zero), full)
                blue = min(max(wanted[u, at + two] + carried[i, 2], zero), full)
                if shown[v, x]:
                    whole_red = np.float32(np.int32(red + half))
                    whole_green = np.float32(np.int32(green + half))
                    whole_blue = np.float32(np.int32(blue + half))
                    row = find(cells, tiles, rows, whole_red, whole_green, whole_blue)
                    if row < 0:
                        learn(grid, whole_red, whole_green, whole_blue)
                        row = find(cells, tiles, rows, whole_red, whole_green, whole_blue)
                    if lines[i, 4]:
                        indices[v, x] = row
                    red -= palette[np.uint32(row), 0]
                    green -= palette[np.uint32(row), 1]
                    blue -= palette[np.uint32(row), 2]
                else:
                    red = green = blue = zero
                to = at + np.uint64(6)
                errors[u, own, to] = red
                errors[u, own, to + one] = green
                errors[u, own, to + two] = blue
                carried[i, 0] = carried[i, 3] + share_near * red
                carried[i, 1] = carried[i, 4] + share_near * green
                carried[i, 2] = carried[i, 5] + share_near * blue
                carried[i, 3] = share_far * red
                carried[i, 4] = share_far * green
                carried[i, 5] = share_far * blue


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
    _, _, cells, tiles, rows, _ = grid
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
