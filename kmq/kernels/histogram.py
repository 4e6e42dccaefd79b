"""Distinct colours of 8-bit pixels, by one bit for every possible colour.

A colour's place in the bitmap is its Morton code: the bits of its channels interleaved, so that
colours near each other in the bitmap are near each other in space. Counting the bits before a
colour ranks it, hence the distinct colours come out sorted, and every pixel finds its row,
without a sort or a hash. For three channels the bitmap is 2 MiB.
"""

import numpy as np

from kmq.kernels.jit import kernel, popcount


@kernel
def mark(pixels, spread, start, stop, bitmap):
    """Set the bit of every colour that occurs.

    pixels  (n, d)  uint8               pixels, C order
    spread  d arrays (256,) uint32  Morton bits of each value of each channel
    start, stop                         the pixels to look at
    bitmap  (b,)    uint64              inout: one bit for each possible colour
    """
    # Skipping a pixel equal to the one before cost four times what it saved: photos make that
    # branch a coin toss.
    for i in range(start, stop):
        pixel = pixels[i]
        code = spread[0][pixel[0]]
        for f in range(1, len(spread)):
            code |= spread[f][pixel[f]]
        bitmap[code >> np.uint32(6)] |= np.uint64(1) << np.uint64(code & np.uint32(63))


@kernel
def rank(bitmap, ranks):
    """Count the colours before each word of the bitmap.

    bitmap  (b,) uint64  one bit for each possible colour
    ranks   (b,) int32   out: number of bits set in all words before
    Returns the number of distinct colours.
    """
    total = np.int32(0)
    for word in range(bitmap.shape[0]):
        ranks[word] = total
        total += np.int32(popcount(bitmap[word]))
    return total


@kernel
def unpack(bitmap, decoded, colors):
    """Write the colours whose bits are set, in Morton order.

    bitmap   (b,)         uint64  one bit for each possible colour
    decoded  (3, 512, d)  uint8   channels of the lowest 6 bits of a code, of the 9 bits above
                                  these, and of the 9 above those
    colors   (m, d)       uint8   out: the distinct colours
    """
    d = colors.shape[1]
    row = 0
    for word in range(bitmap.shape[0]):
        bits = bitmap[word]
        while bits:
            rest = bits & (bits - np.uint64(1))
            code = popcount((bits ^ rest) - np.uint64(1))
            for f in range(d):
                colors[row, f] = (
                    decoded[0, code, f] | decoded[1, word & 511, f] | decoded[2, word >> 9, f]
                )
            row += 1
            bits = rest


@kernel
def count(pixels, spread, bitmap, ranks, start, stop, counts, index):
    """Count the pixels of each colour, and write each pixel's row where there is room.

    pixels  (n, d)  uint8               pixels, C order
    spread  d arrays (256,) uint32  Morton bits of each value of each channel
    bitmap  (b,)    uint64              one bit for each possible colour
    ranks   (b,)    int32               number of bits set in all words before
    start, stop                         the pixels to count
    counts  (m,)    int64               inout: pixels of each colour
    index   (n,)    int32               out: row of each pixel's colour; nothing where empty
    """
    wanted = index.shape[0] > 0
    for i in range(start, stop):
        pixel = pixels[i]
        code = spread[0][pixel[0]]
        for f in range(1, len(spread)):
            code |= spread[f][pixel[f]]
        word = code >> np.uint32(6)
        below = (np.uint64(1) << np.uint64(code & np.uint32(63))) - np.uint64(1)
        row = np.uint32(ranks[word]) + np.uint32(popcount(bitmap[word] & below))
        counts[row] += 1
        if wanted:
            index[i] = row


@kernel
def gather(values, index, start, stop, out):
    """Look up the value of each pixel's colour.

    values  (m,) int32  a value for each distinct colour
    index   (n,) int32  row of each pixel's colour
    start, stop         the pixels to look up
    out     (n,) int32  out: the values
    """
    for i in range(start, stop):
        out[i] = values[np.uint32(index[i])]


@kernel
def look_up(pixels, spread, bitmap, ranks, values, start, stop, out):
    """Look up the value of each pixel's colour, without an index.

    pixels  (n, d)  uint8               pixels, C order, of colours that all have their bit
    spread  d arrays (256,) uint32      Morton bits of each value of each channel
    bitmap  (b,)    uint64              one bit for each possible colour
    ranks   (b,)    int32               number of bits set in all words before
    values  (m,)    any                 a value for each distinct colour
    start, stop                         the pixels to look up
    out     (n,)    any                 out: the values
    """
    for i in range(start, stop):
        pixel = pixels[i]
        code = spread[0][pixel[0]]
        for f in range(1, len(spread)):
            code |= spread[f][pixel[f]]
        word = code >> np.uint32(6)
        below = (np.uint64(1) << np.uint64(code & np.uint32(63))) - np.uint64(1)
        out[i] = values[np.uint32(ranks[word]) + np.uint32(popcount(bitmap[word] & below))]
