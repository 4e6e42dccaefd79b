"""The compile policy: how every kernel of kmq is compiled.

Kernels are serial and release the GIL; `kmq.engine.threads` runs one call per range of blocks
on threads of its own. That leaves Numba's threading layers out of the game, and with them the
aborts of `workqueue` under concurrent fits, the death of forked children under GNU OpenMP and
the longer compile and load times of parallel kernels.

Compiling is what a new machine waits for, so only what Python calls becomes machine code. A kernel
that another one calls is handed over as Numba lowers it: without wrappers, without machine code,
without an entry in the cache. It is inlined and optimised where it is used. That, scratch without
Numba's texts for errors (`empty`, `zeros`), and to keep the garbage collector away meanwhile, take
compiling from 34 s to 15 for the first fit of 100,000 x 8 float32 on a Zen 3. To leave out LLVM's
passes over single functions as well would save a tenth more, and made such fits 1.2 times as slow.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numba
from numba.core import cgutils, compiler, types
from numba.core.codegen import JITCodeLibrary
from numba.core.imputils import impl_ret_new_ref
from numba.core.registry import CPUDispatcher
from numba.extending import intrinsic

from kmq.clock import waiting
from kmq.kernels.cache import KernelCache, explain
from kmq.kernels.notice import compiling

# Never with fastmath: it deletes NaN checks, and lets a distance differ from itself.
_ALIGNED = 64
_OPTIONS = {"nopython": True, "nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}


class _NoEnvironments:
    """A code generator's place to put environments, for code that is never run by itself."""

    def set_env(self, name: str, env: Any) -> None:
        """Put nothing anywhere."""


class _InlineLibrary(JITCodeLibrary):
    """Code that only becomes part of other code."""

    codegen: Any = _NoEnvironments()

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """Return 0: there is no machine code."""
        return 0


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Keep the collector from looking through Numba's objects: a tenth of the time otherwise."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class _InlineCompiler(compiler.Compiler):
    """Numba's compiler up to code that callers inline."""

    _library: type[JITCodeLibrary] = _InlineLibrary

    def compile_extra(self, function: Any) -> Any:
        """Compile a function."""
        self.state.library = self._library(self.state.targetctx.codegen(), function.__qualname__)
        self.state.library.enable_object_caching()
        return super().compile_extra(function)


class _Compiler(_InlineCompiler):
    """Numba's compiler, which tells of itself."""

    _library = JITCodeLibrary

    def compile_extra(self, function: Any) -> Any:
        """Compile a function."""
        with compiling(explain), _no_garbage_collection():
            return super().compile_extra(function)


class _Kernel(CPUDispatcher):
    """A kernel: machine code to Python, source to other kernels."""

    def __init__(self, function: Callable[..., Any]) -> None:
        options = _OPTIONS | {"no_cpython_wrapper": True}
        self._inline: Any = CPUDispatcher(
            function, targetoptions=options, pipeline_class=_InlineCompiler
        )
        super().__init__(function, targetoptions=_OPTIONS, pipeline_class=_Compiler)
        self._cache = KernelCache(function)

    @property
    def _type(self) -> Any:
        """What Numba takes a kernel for where another one calls it."""
        return self._inline._type

    @_type.setter
    def _type(self, own: Any) -> None:
        pass

    @property
    def _numba_type_(self) -> Any:
        return self._inline._type

    def compile(self, signature: Any) -> Any:
        """Load the code for a signature, or compile it."""
        with waiting():
            return super().compile(signature)


def _missing(function: Callable[..., Any]) -> Callable[..., Any]:
    """What stands for a kernel where Numba is told not to compile."""

    def refuse(*args: Any) -> None:
        raise RuntimeError(
            f"kmq's kernels only run compiled, and NUMBA_DISABLE_JIT is set: {function.__name__} "
            "was asked for; kmq.reference.KMeans is plain NumPy"
        )

    return refuse


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` on first call: serial, without the GIL, kept in kmq's cache."""
    config: Any = numba.config
    return _missing(function) if config.DISABLE_JIT else _Kernel(function)


def _allocated(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """An array whose shape is the first argument, and its bytes."""
    # Takes a tenth of a second, which only compiling should.
    from numba.np.arrayobj import populate_array

    kind, (shape_type, _), (shape, _) = signature.return_type, signature.args, args
    counts = cgutils.unpack_tuple(builder, shape) if kind.ndim > 1 else [shape]
    counts_types = list(shape_type) if kind.ndim > 1 else [shape_type]
    counts = [
        context.cast(builder, count, own, types.intp)
        for count, own in zip(counts, counts_types, strict=True)
    ]
    itemsize = context.get_constant(
        types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype))
    )
    strides: list[Any] = []
    stride = itemsize
    for count in reversed(counts):
        strides.insert(0, stride)
        stride = builder.mul(stride, count)
    meminfo = context.nrt.meminfo_alloc_aligned(builder, stride, _ALIGNED)
    array = context.make_array(kind)(context, builder)
    data = builder.bitcast(
        context.nrt.meminfo_data(builder, meminfo), context.get_data_type(kind.dtype).as_pointer()
    )
    populate_array(
        array, data=data, shape=counts, strides=strides, itemsize=itemsize, meminfo=meminfo
    )
    return array, data, stride


def _array_of(shape: Any, dtype: Any) -> Any:
    """The type of a C-ordered array of a shape and dtype."""
    return types.Array(dtype.dtype, len(shape) if isinstance(shape, types.BaseTuple) else 1, "C")


def _empty(typingctx: Any, shape: Any, dtype: Any) -> Any:
    """As `numpy.empty`. That of Numba brings seconds of compiling for the errors it may raise."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array, _, _ = _allocated(context, builder, signature, args)
        return impl_ret_new_ref(context, builder, signature.return_type, array._getvalue())

    return _array_of(shape, dtype)(shape, dtype), codegen


def _zeros(typingctx: Any, shape: Any, dtype: Any) -> Any:
    """As `numpy.zeros`; see `_empty`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array, data, size = _allocated(context, builder, signature, args)
        cgutils.memset(builder, data, size, 0)
        return impl_ret_new_ref(context, builder, signature.return_type, array._getvalue())

    return _array_of(shape, dtype)(shape, dtype), codegen


empty: Any = intrinsic(_empty)
zeros: Any = intrinsic(_zeros)


def _popcount(typingctx: Any, value: Any) -> Any:
    """Count of the bits set in a 64-bit word (LLVM's ``ctpop``)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return value(value), codegen


popcount: Any = intrinsic(_popcount)


def _fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c`` with one rounding (LLVM's ``fma``)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    return a(a, b, c), codegen


fma: Any = intrinsic(_fma)
