"""Distinct colours of 8-bit pixels, by one bit for every possible colour.

A colour's place in the bitmap is its Morton code: the bits of its channels interleaved, so that
colours near each other in the bitmap are near each other in space. Counting the bits before a
colour ranks it, hence the distinct colours come out sorted, and every pixel finds its row,
without a sort or a hash. For three channels the bitmap is 2 MiB.

Loops over pixels count from 0 over a slice: an index that starts anywhere would be looked at for
being negative at every pixel, which took a third of the time.
"""

import numpy as np

from kmq.kernels.jit import kernel, popcount

# Words a page: 4,096 colours, a cube of sixteen values a channel where there are three.
PAGE = 64


@kernel
def mark(pixels, spread, start, stop, bitmap, pages, codes):
    """Set the bit of every colour that occurs, and keep the pixels' codes where there is room.

    pixels  (n, d)  uint8           pixels, C order
    spread  d arrays (256,) uint32  Morton bits of each value of each channel
    start, stop                     the pixels to look at
    bitmap  (b,)    uint64          inout: one bit for each possible colour
    pages   (p,)    bool            inout: which pages of the bitmap have bits
    codes   (n,)    int32           out: Morton code of each pixel; nothing where empty
    """
    # Skipping a pixel equal to the one before cost four times what it saved: photos make that
    # branch a coin toss.
    some = pixels[start:stop]
    kept = codes[start:stop]
    wanted = kept.shape[0] > 0
    for i in range(some.shape[0]):
        pixel = some[i]
        code = spread[0][pixel[0]]
        for f in range(1, len(spread)):
            code |= spread[f][pixel[f]]
        bitmap[code >> np.uint32(6)] |= np.uint64(1) << np.uint64(code & np.uint32(63))
        pages[code >> np.uint32(12)] = True
        if wanted:
            kept[i] = code


@kernel
def join(bitmap, pages, other, other_pages):
    """Move the bits of another bitmap here, which leaves that one blank.

    bitmap, other       (b,) uint64  inout: one bit for each possible colour
    pages, other_pages  (p,) bool    inout: which pages have bits
    """
    for page in range(pages.shape[0]):
        if other_pages[page]:
            pages[page] = True
            for word in range(page * PAGE, min((page + 1) * PAGE, bitmap.shape[0])):
                bitmap[word] |= other[word]
                other[word] = 0
            other_pages[page] = False


@kernel
def wipe(bitmap, pages):
    """Leave a bitmap blank.

    bitmap  (b,) uint64  inout: one bit for each possible colour
    pages   (p,) bool    inout: which pages have bits
    """
    for page in range(pages.shape[0]):
        if pages[page]:
            bitmap[page * PAGE : (page + 1) * PAGE] = 0
            pages[page] = False


@kernel
def rank(bitmap, pages, ranks):
    """Count the colours before each word of the bitmap.

    bitmap  (b,) uint64  one bit for each possible colour
    pages   (p,) bool    which pages of the bitmap have bits
    ranks   (b,) int32   out: number of bits set in all words before, where a page has bits
    Returns the number of distinct colours.
    """
    total = np.int32(0)
    for page in range(pages.shape[0]):
        if not pages[page]:
            continue
        for word in range(page * PAGE, min((page + 1) * PAGE, bitmap.shape[0])):
            ranks[word] = total
            total += np.int32(popcount(bitmap[word]))
    return total


@kernel
def unpack(bitmap, pages, ranks, decoded, start, stop, colors):
    """Write the colours whose bits are set, in Morton order.

    bitmap   (b,)    uint64           one bit for each possible colour
    pages    (p,)    bool             which pages of the bitmap have bits
    ranks    (b,)    int32            number of bits set in all words before
    decoded  d arrays (3, 512) uint8  each channel of the lowest 6 bits of a code, of the 9 bits
                                      above these, and of the 9 above those
    start, stop                       the pages to unpack
    colors   (m, d)  uint8            out: the distinct colours
    """
    for page in range(start, stop):
        if not pages[page]:
            continue
        for word in range(page * PAGE, min((page + 1) * PAGE, bitmap.shape[0])):
            row = ranks[word]
            bits = bitmap[word]
            while bits:
                rest = bits & (bits - np.uint64(1))
                code = popcount((bits ^ rest) - np.uint64(1))
                for f in range(len(decoded)):
                    part = decoded[f]
                    colors[row, f] = part[0, code] | part[1, word & 511] | part[2, word >> 9]
                row += 1
                bits = rest


@kernel
def count(pixels, spread, bitmap, ranks, start, stop, counts):
    """Count the pixels of each colour.

    pixels  (n, d)  uint8               pixels, C order
    spread  d arrays (256,) uint32      Morton bits of each value of each channel
    bitmap  (b,)    uint64              one bit for each possible colour
    ranks   (b,)    int32               number of bits set in all words before
    start, stop                         the pixels to count
    counts  (m,)    int                 inout: pixels of each colour
    """
    some = pixels[start:stop]
    for i in range(some.shape[0]):
        pixel = some[i]
        code = spread[0][pixel[0]]
        for f in range(1, len(spread)):
            code |= spread[f][pixel[f]]
        word = code >> np.uint32(6)
        below = (np.uint64(1) << np.uint64(code & np.uint32(63))) - np.uint64(1)
        counts[np.uint32(ranks[word]) + np.uint32(popcount(bitmap[word] & below))] += 1


@kernel
def count_codes(bitmap, ranks, start, stop, counts, index):
    """Count the pixels of each colour by their codes, and put each pixel's row in its place.

    bitmap  (b,)    uint64              one bit for each possible colour
    ranks   (b,)    int32               number of bits set in all words before
    start, stop                         the pixels to count
    counts  (m,)    int                 inout: pixels of each colour
    index   (n,)    int32               inout: Morton code of each pixel; then row of its colour
    """
    some = index[start:stop]
    for i in range(some.shape[0]):
        code = np.uint32(some[i])
        word = code >> np.uint32(6)
        below = (np.uint64(1) << np.uint64(code & np.uint32(63))) - np.uint64(1)
        row = np.uint32(ranks[word]) + np.uint32(popcount(bitmap[word] & below))
        counts[row] += 1
        some[i] = row


@kernel
def gather(values, index, start, stop, out):
    """Look up the value of each pixel's colour.

    values  (m,) int32  a value for each distinct colour
    index   (n,) int32  row of each pixel's colour
    start, stop         the pixels to look up
    out     (n,) int32  out: the values; may be `index` itself
    """
    some, found = index[start:stop], out[start:stop]
    for i in range(some.shape[0]):
        found[i] = values[np.uint32(some[i])]


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
    some, found = pixels[start:stop], out[start:stop]
    for i in range(some.shape[0]):
        pixel = some[i]
        code = spread[0][pixel[0]]
        for f in range(1, len(spread)):
            code |= spread[f][pixel[f]]
        word = code >> np.uint32(6)
        below = (np.uint64(1) << np.uint64(code & np.uint32(63))) - np.uint64(1)
        found[i] = values[np.uint32(ranks[word]) + np.uint32(popcount(bitmap[word] & below))]
