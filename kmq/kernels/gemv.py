"""Products of float32 rows with weights, added up in the orders of OpenBLAS.

Its ``sgemv`` for x86-64 adds up 4096 samples at a time; of the rows it takes four together, then
two, then the one that is left, each with other vectors (kernel/x86_64/sgemv_t_4.c of OpenBLAS
0.3). Whoever relies on it must compare first: another processor or another BLAS may add up
otherwise.
"""

from typing import Any

import numpy as np
from numba.core import types
from numba.extending import intrinsic

from kmq.kernels.jit import empty, fma, kernel
from kmq.kernels.vectors import Code

BLOCK = 4096
# Orders: eight running sums with fused multiply-adds, four and eight with separate ones.
FUSED, FOUR, EIGHT = range(3)
# What these come to where all weights are 1.
PLAIN = {FUSED: 3, FOUR: 4, EIGHT: 3}
_PLAIN_EIGHT, _PLAIN_FOUR = PLAIN[EIGHT], PLAIN[FOUR]
_LANES = 8
# Blocks at a time, so that no addition waits for the one before.
STRIPS = 4


def _add_strips(strips: int, order: int) -> Any:
    """Build the intrinsic that goes on with the running sums of some blocks."""
    width = 4 if order in (FOUR, _PLAIN_FOUR) else _LANES

    def add(typingctx: Any, values: Any, weight: Any, first: Any, length: Any, lanes: Any) -> Any:
        """Add weight · value to running sums, a lane each.

        values  (n,)    float32  values
        weight  (n,)    float32  weights
        first   int64            first sample of the first block
        length  int64            samples of each block to add, a multiple of the width
        lanes   (>=strips, 16) float32  inout: running sums of each block, and what these come to
                                        when added up after each step
        """

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            code = Code(context, builder, signature, args)
            begins = [code.add(args[2], strip * BLOCK) for strip in range(strips)]

            def add_to(total: Any, begin: Any, at: Any) -> Any:
                x = code.load(0, begin, at, lanes=width)
                if order in (_PLAIN_FOUR, _PLAIN_EIGHT):
                    return builder.fadd(total, x)
                w = code.load(1, begin, at, lanes=width)
                if order == FUSED:
                    return code.fma(x, w, total)
                return code.add_product(total, x, w, fused=False)

            def step(at: Any, carried: list[Any]) -> list[Any]:
                after = []
                for begin, total, climb in zip(begins, carried[::2], carried[1::2], strict=True):
                    total = add_to(total, begin, at)
                    after += [total, builder.fadd(climb, total)]
                return after

            places = [part * _LANES for part in range(2 * strips)]
            carried = [code.load(4, place, lanes=width) for place in places]
            carried = code.loop(0, args[3], width, carried, step)
            for place, value in zip(places, carried, strict=True):
                code.store(value, 4, place)
            return context.get_dummy_value()

        return types.void(values, weight, types.int64, types.int64, lanes), codegen

    return intrinsic(add)


_fused_strips, _fused_strip = (_add_strips(strips, FUSED) for strips in (STRIPS, 1))
_four_strips, _four_strip = (_add_strips(strips, FOUR) for strips in (STRIPS, 1))
_eight_strips, _eight_strip = (_add_strips(strips, EIGHT) for strips in (STRIPS, 1))
_plain_eights, _plain_eight = (_add_strips(strips, _PLAIN_EIGHT) for strips in (STRIPS, 1))
_plain_fours, _plain_four = (_add_strips(strips, _PLAIN_FOUR) for strips in (STRIPS, 1))


@kernel
def _add_four_blocks(values, weight, order, first, lanes):
    """Add up four whole blocks."""
    if order == _PLAIN_EIGHT:
        _plain_eights(values, weight, first, BLOCK, lanes)
    elif order == _PLAIN_FOUR:
        _plain_fours(values, weight, first, BLOCK, lanes)
    elif order == FUSED:
        _fused_strips(values, weight, first, BLOCK, lanes)
    elif order == FOUR:
        _four_strips(values, weight, first, BLOCK, lanes)
    else:
        _eight_strips(values, weight, first, BLOCK, lanes)


@kernel
def _add_block(values, weight, order, first, length, lanes):
    """Add up one block; what is no whole vector comes first."""
    odd = length % (4 if order in (FOUR, _PLAIN_FOUR) else _LANES)
    for i in range(odd):
        lanes[0, i] = values[first + i] * weight[first + i]
    first, length = first + odd, length - odd
    if order == _PLAIN_EIGHT:
        _plain_eight(values, weight, first, length, lanes)
    elif order == _PLAIN_FOUR:
        _plain_four(values, weight, first, length, lanes)
    elif order == FUSED:
        _fused_strip(values, weight, first, length, lanes)
    elif order == FOUR:
        _four_strip(values, weight, first, length, lanes)
    else:
        _eight_strip(values, weight, first, length, lanes)


@kernel
def add_up_blocks(values, weight, order, start, stop, parts, climbs):
    """Add up weight · value in blocks, four of them a group.

    values (≥n,) float32  values
    weight  (n,) float32  weights
    order                 in which of the orders; a plain one reads no weights
    start, stop           the groups to add up
    parts   (b,) float32  out: sums of the blocks, without the last n % 4 samples
    climbs  (g,) float64  out: sums of all that was rounded on the way in each group, were nothing
                          negative
    """
    whole = weight.shape[0] // 4 * 4
    lanes = empty((STRIPS, 2 * _LANES), np.float32)
    for group in range(start, stop):
        b, stop_at = group * STRIPS, min((group + 1) * STRIPS, parts.shape[0])
        strips = STRIPS if (group + 1) * STRIPS * BLOCK <= whole else 1
        climb = 0.0
        while b < stop_at:
            first = b * BLOCK
            lanes[:] = 0
            if strips == STRIPS:
                _add_four_blocks(values, weight, order, first, lanes)
            else:
                _add_block(values, weight, order, first, min(BLOCK, whole - first), lanes)
            for strip in range(strips):
                sums = lanes[strip]
                for lane in range(_LANES):
                    climb += sums[_LANES + lane]
                for lane in range(4):
                    sums[lane] += sums[lane + 4]
                parts[b + strip] = (sums[0] + sums[1]) + (sums[2] + sums[3])
                # Three additions across the lanes, the products, and the first of an odd block.
                climb += 5.0 * parts[b + strip]
            b += strips
        climbs[group] = climb


@kernel
def join_blocks(values, weight, parts, climbs, fused_rest):
    """Sum of weight · value from that of its blocks, and of the samples that are in none.

    values     (≥n,) float32  values
    weight      (n,) float32  weights
    parts       (b,) float32  sums of the blocks
    climbs      (g,) float64  sums of all that was rounded on the way there
    fused_rest  bool          whether products of the last n % 4 samples are not rounded
    Returns the sum, and the sum of all that was rounded on the way, were nothing negative.
    """
    n = weight.shape[0]
    total = np.float32(0)
    climb = 0.0
    for group in range(climbs.shape[0]):
        climb += climbs[group]
    for b in range(parts.shape[0]):
        total += parts[b]
        climb += total
    first = n // 4 * 4
    if n - first == 1 and fused_rest:
        total = fma(values[first], weight[first], total)
    elif n - first == 1:
        total += values[first] * weight[first]
    elif n > first:
        rest = values[first + 1] * weight[first + 1]
        if fused_rest:
            rest = fma(values[first], weight[first], rest)
        else:
            rest += values[first] * weight[first]
        for i in range(first + 2, n):
            if fused_rest:
                rest = fma(values[i], weight[i], rest)
            else:
                rest += values[i] * weight[i]
        total += rest
    return total, climb + 6.0 * total
