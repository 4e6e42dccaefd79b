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

from kmq.kernels.jit import fma, kernel
from kmq.kernels.vectors import Code

BLOCK = 4096
# Orders: eight running sums with fused multiply-adds, four and eight with separate ones.
FUSED, FOUR, EIGHT = range(3)
# What these come to where all weights are 1.
PLAIN = {FUSED: 3, FOUR: 4, EIGHT: 3}
_PLAIN_EIGHT, _PLAIN_FOUR = PLAIN[EIGHT], PLAIN[FOUR]
# The most roundings of a product in a block.
STEPS = {FUSED: BLOCK // 8 + 4, FOUR: BLOCK // 4 + 4, EIGHT: BLOCK // 8 + 5}
_LANES = 8
# Blocks at a time, so that no addition waits for the one before.
_STRIPS = 4


def _add_strips(strips: int, order: int) -> Any:
    """Build the intrinsic that goes on with the running sums of some blocks."""
    width = 4 if order in (FOUR, _PLAIN_FOUR) else _LANES

    def add(typingctx: Any, values: Any, weight: Any, first: Any, length: Any, lanes: Any) -> Any:
        """Add weight · value to running sums, a lane each.

        values  (n,)    float32  values
        weight  (n,)    float32  weights
        first   int64            first sample of the first block
        length  int64            samples of each block to add, a multiple of the width
        lanes   (>=strips, 8) float32  inout: running sums of each block
        """

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            code = Code(context, builder, signature, args)
            begins = [code.add(args[2], strip * BLOCK) for strip in range(strips)]

            def step(at: Any, sums: list[Any]) -> list[Any]:
                after = []
                for begin, total in zip(begins, sums, strict=True):
                    x = code.load(0, begin, at, lanes=width)
                    if order in (_PLAIN_FOUR, _PLAIN_EIGHT):
                        after.append(builder.fadd(total, x))
                        continue
                    w = code.load(1, begin, at, lanes=width)
                    if order == FUSED:
                        after.append(code.fma(x, w, total))
                    else:
                        after.append(code.add_product(total, x, w, fused=False))
                return after

            sums = [code.load(4, strip * _LANES, lanes=width) for strip in range(strips)]
            for strip, total in enumerate(code.loop(0, args[3], width, sums, step)):
                code.store(total, 4, strip * _LANES)
            return context.get_dummy_value()

        return types.void(values, weight, types.int64, types.int64, lanes), codegen

    return intrinsic(add)


_fused_strips, _fused_strip = (_add_strips(strips, FUSED) for strips in (_STRIPS, 1))
_four_strips, _four_strip = (_add_strips(strips, FOUR) for strips in (_STRIPS, 1))
_eight_strips, _eight_strip = (_add_strips(strips, EIGHT) for strips in (_STRIPS, 1))
_plain_eights, _plain_eight = (_add_strips(strips, _PLAIN_EIGHT) for strips in (_STRIPS, 1))
_plain_fours, _plain_four = (_add_strips(strips, _PLAIN_FOUR) for strips in (_STRIPS, 1))


@kernel
def add_up_blocks(values, weight, order, parts):
    """Add up weight · value in blocks.

    values  (n,) float32  values
    weight  (n,) float32  weights
    order                 in which of the orders; a plain one reads no weights
    parts   (b,) float32  out: sums of the blocks, without the last n % 4 samples
    """
    whole = values.shape[0] // 4 * 4
    lanes = np.empty((_STRIPS, _LANES), np.float32)
    b = 0
    while b < parts.shape[0]:
        first = b * BLOCK
        lanes[:] = 0
        strips = 1
        if first + _STRIPS * BLOCK <= whole:
            strips = _STRIPS
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
        else:
            length = min(BLOCK, whole - first)
            odd = length % (4 if order in (FOUR, _PLAIN_FOUR) else _LANES)
            for i in range(odd):
                lanes[0, i] = values[first + i] * weight[first + i]
            if order == _PLAIN_EIGHT:
                _plain_eight(values, weight, first + odd, length - odd, lanes)
            elif order == _PLAIN_FOUR:
                _plain_four(values, weight, first + odd, length - odd, lanes)
            elif order == FUSED:
                _fused_strip(values, weight, first + odd, length - odd, lanes)
            elif order == FOUR:
                _four_strip(values, weight, first + odd, length - odd, lanes)
            else:
                _eight_strip(values, weight, first + odd, length - odd, lanes)
        for strip in range(strips):
            sums = lanes[strip]
            for lane in range(4):
                sums[lane] += sums[lane + 4]
            parts[b + strip] = (sums[0] + sums[1]) + (sums[2] + sums[3])
        b += strips


@kernel
def join_blocks(values, weight, parts, fused_rest):
    """Sum of weight · value from that of its blocks, and of the samples that are in none.

    values      (n,) float32  values
    weight      (n,) float32  weights
    parts       (b,) float32  sums of the blocks
    fused_rest  bool          whether products of the last n % 4 samples are not rounded
    """
    n = values.shape[0]
    total = np.float32(0)
    for b in range(parts.shape[0]):
        total += parts[b]
    first = n // 4 * 4
    if n - first == 1 and fused_rest:
        return fma(values[first], weight[first], total)
    if n - first == 1:
        return total + values[first] * weight[first]
    if n > first:
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
    return total
