"""The nearest of many centres for sixteen samples at once, by fused arithmetic.

A product and its sum round once where the processor can, in half the time of
`kmq.kernels.simd.scan_tile`: the caller compares again where that rounding could decide.
"""

from typing import Any

import llvmlite.binding as llvm
from numba.core import types
from numba.extending import intrinsic

from kmq.kernels.vectors import FLOAT, INT, LANES, SIZE, Code, every

# Centres at a time: as many as registers hold the sums of, and enough to hide the latency of an
# addition. 20,000 x 16, k = 26 on a Zen 5: 4.5 ns a sample with thirteen, 5.8 with eight; kept to
# AVX2, 10 with four and 34 with eight.
_AT_ONCE = (8, 13) if llvm.get_host_cpu_features().get("avx512f") else (3, 4)


def n_places(k: int) -> int:
    """Places for `k` centres: the fewest in whole groups."""
    return min(-(-k // group) * group for group in _AT_ONCE)


def _scan_fused(typingctx: Any, tile: Any, centers: Any, labels: Any, near: Any) -> Any:
    """Nearest centre of sixteen samples of any number of features.

    tile     (d, 16) float32  samples, one row a feature
    centers  (m, d)  float32  centres, filled up with infinity to `n_places`
    labels   (16,)   uint32   out: the nearest
    near     (2, 16) float32  out: squared distances to it, and to the second nearest
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = Code(context, builder, signature, args)
        places, d = code.length(1, 0), code.length(1, 1)
        zero, infinite = every(FLOAT, 0.0), every(FLOAT, float("inf"))
        start = [infinite, infinite, every(INT, 0)]

        def scan(group: int) -> None:
            def compare(first: Any, nearest: list[Any]) -> list[Any]:
                rows = [code.mul(code.add(first, j), d) for j in range(group)]

                def add(f: Any, sums: list[Any]) -> list[Any]:
                    x = code.load(0, code.mul(f, LANES))
                    after = []
                    for row, total in zip(rows, sums, strict=True):
                        difference = builder.fsub(x, code.splat(code.scalar(1, row, f)))
                        after.append(code.add_product(total, difference, difference))
                    return after

                least, second, name = nearest
                sums = code.loop(0, d, 1, [zero] * group, add)
                for j, sq in enumerate(sums):
                    nearer = builder.fcmp_ordered("<", sq, least)
                    second = code.lower(builder.select(nearer, least, sq), second)
                    least = builder.select(nearer, sq, least)
                    index = builder.trunc(code.add(first, j), INT)
                    name = builder.select(nearer, code.splat(index), name)
                return [least, second, name]

            least, second, name = code.loop(0, places, group, start, compare)
            code.store(least, 3)
            code.store(second, 3, LANES)
            code.store(name, 2)

        few, many = _AT_ONCE
        whole = builder.icmp_unsigned("==", builder.urem(places, SIZE(many)), SIZE(0))
        with builder.if_else(whole) as (then, otherwise):
            with then:
                scan(many)
            with otherwise:
                scan(few)
        return context.get_dummy_value()

    return types.void(tile, centers, labels, near), codegen


scan_fused: Any = intrinsic(_scan_fused)
