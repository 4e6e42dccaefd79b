"""Vector code inside intrinsics, where LLVM makes none of plain loops.

It must not reorder a sum or a minimum without fast-math, and does not keep a running nearest of
sixteen samples in registers over all rivals. Vectors of sixteen lanes say outright what to do,
for any processor: LLVM splits them into as many registers as it takes.

Arrays are C-ordered; their shapes are the caller's promise.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

LANES = 16
SIZE = ir.IntType(64)
INT = ir.IntType(32)
FLOAT = ir.FloatType()
# What lets LLVM round a product and its sum once.
_FUSED = ("contract",)


def vector(scalar: ir.Type, lanes: int = LANES) -> ir.VectorType:
    """So many lanes of a type."""
    return ir.VectorType(scalar, lanes)


def constant(scalar: ir.Type, lanes: Iterable[float]) -> ir.Constant:
    """A vector of numbers."""
    values = list(lanes)
    return ir.Constant(vector(scalar, len(values)), values)


def every(scalar: ir.Type, value: float, lanes: int = LANES) -> ir.Constant:
    """A vector of copies of a number."""
    return constant(scalar, [value] * lanes)


class Code:
    """Writes the code of one intrinsic, whose arguments go by their places.

    Offsets into an array are counted in its elements, and summed; an offset, a term or a factor
    is a 64-bit value or a Python number.

    Parameters
    ----------
    context, builder, signature, args
        What Numba hands to the code generator of the intrinsic.
    """

    def __init__(self, context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> None:
        self.builder = builder
        self._arrays = {
            place: context.make_array(kind)(context, builder, value)
            for place, (kind, value) in enumerate(zip(signature.args, args, strict=True))
            if isinstance(kind, types.Array)
        }

    def length(self, array: int, axis: int) -> Any:
        """Length of an axis of an argument."""
        return self.builder.extract_value(self._arrays[array].shape, axis)

    def add(self, *terms: Any) -> Any:
        """Sum of sizes."""
        total = SIZE(0)
        for term in terms:
            total = self.builder.add(total, _size(term))
        return total

    def mul(self, a: Any, b: Any) -> Any:
        """Product of two sizes."""
        return self.builder.mul(_size(a), _size(b))

    def pointer(self, array: int, *offsets: Any) -> Any:
        """Pointer to an element of an argument."""
        return self.builder.gep(self._arrays[array].data, [self.add(*offsets)])

    def scalar(self, array: int, *offsets: Any) -> Any:
        """One element of an argument."""
        return self.builder.load(self.pointer(array, *offsets))

    def load(self, array: int, *offsets: Any, lanes: int = LANES) -> Any:
        """A vector of elements of an argument, of any alignment."""
        return self.load_from(self.pointer(array, *offsets), lanes)

    def load_from(self, pointer: Any, lanes: int = LANES) -> Any:
        """A vector of what a pointer points to, of any alignment."""
        kind = vector(pointer.type.pointee, lanes)
        return self.builder.load(self.builder.bitcast(pointer, kind.as_pointer()), align=1)

    def store(self, value: Any, array: int, *offsets: Any) -> None:
        """Write a vector to elements of an argument, of any alignment."""
        self.store_to(value, self.pointer(array, *offsets))

    def store_to(self, value: Any, pointer: Any) -> None:
        """Write a vector to where a pointer points, of any alignment."""
        target = self.builder.bitcast(pointer, value.type.as_pointer())
        self.builder.store(value, target, align=1)

    def pick(self, value: Any, lanes: Sequence[int]) -> Any:
        """A vector of some lanes of another."""
        return self.builder.shuffle_vector(value, value, constant(INT, lanes))

    def splat(self, value: Any, lanes: int = LANES) -> Any:
        """Copies of a scalar."""
        undefined = ir.Constant(vector(value.type), ir.Undefined)
        return self.pick(self.builder.insert_element(undefined, value, INT(0)), [0] * lanes)

    def lower(self, a: Any, b: Any) -> Any:
        """The smaller of two vectors of floats, lane by lane; b where they do not compare."""
        return self.builder.select(self.builder.fcmp_ordered("<", a, b), a, b)

    def higher(self, a: Any, b: Any) -> Any:
        """The larger of two vectors of floats, lane by lane; b where they do not compare."""
        return self.builder.select(self.builder.fcmp_ordered(">", a, b), a, b)

    def add_product(self, total: Any, a: Any, b: Any, *, fused: bool = True) -> Any:
        """``total + a * b``, fused where that is asked for and the processor can."""
        flags = _FUSED if fused else ()
        return self.builder.fadd(total, self.builder.fmul(a, b, flags=flags), flags=flags)

    def sq_distance(self, a: Sequence[Any], b: Iterable[Any], *, fused: bool = False) -> Any:
        """Sum of the squared differences of pairs of vectors, in their order."""
        total = None
        for x, y in zip(a, b, strict=True):
            difference = self.builder.fsub(x, y)
            if total is None:
                total = self.builder.fmul(difference, difference)
            else:
                total = self.add_product(total, difference, difference, fused=fused)
        return total

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """``a * b + c`` of vectors of floats, rounded once on any processor."""
        return self._call(f"llvm.fma.{_suffix(a)}", a.type, a, b, c)

    def absolute(self, value: Any) -> Any:
        """Absolute values of a vector of floats."""
        return self._call(f"llvm.fabs.{_suffix(value)}", value.type, value)

    def extreme(self, value: Any, comparison: str) -> Any:
        """The least (``<``) or largest (``>``) lane of a vector of floats, folding it in halves."""
        builder, width = self.builder, value.type.count // 2
        while width:
            other = self.pick(value, [lane ^ width for lane in range(value.type.count)])
            nearer = builder.fcmp_ordered(comparison, value, other)
            value = builder.select(nearer, value, other)
            width //= 2
        return builder.extract_element(value, INT(0))

    def least(self, value: Any) -> Any:
        """The least lane of a vector of integers without sign."""
        kind = value.type.element
        return self._call(f"llvm.vector.reduce.umin.v{value.type.count}i{kind.width}", kind, value)

    def _call(self, name: str, result: Any, *values: Any) -> Any:
        """What a function of LLVM returns for some values."""
        kind = ir.FunctionType(result, [value.type for value in values])
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, values)

    def loop(
        self,
        start: Any,
        stop: Any,
        step: int,
        carried: Iterable[Any],
        body: Callable[[Any, list[Any]], Iterable[Any]],
    ) -> list[Any]:
        """Loop ``body(i, carried) -> carried`` for i = start, start + step, … below stop."""
        builder = self.builder
        before = builder.block
        head, inside, done = (builder.append_basic_block(name) for name in ("head", "body", "done"))
        builder.branch(head)
        builder.position_at_end(head)
        index = builder.phi(SIZE)
        index.add_incoming(_size(start), before)
        values = []
        for value in carried:
            phi = builder.phi(value.type)
            phi.add_incoming(value, before)
            values.append(phi)
        builder.cbranch(builder.icmp_signed("<", index, _size(stop)), inside, done)
        builder.position_at_end(inside)
        after = body(index, values)
        index.add_incoming(builder.add(index, SIZE(step)), builder.block)
        for phi, value in zip(values, after, strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(head)
        builder.position_at_end(done)
        return values


def _suffix(value: Any) -> str:
    """How names of LLVM's functions say that they are for such a vector."""
    return f"v{value.type.count}{value.type.element.intrinsic_name}"


def _size(value: Any) -> Any:
    """A number as a 64-bit value."""
    return SIZE(value) if isinstance(value, int) else value
