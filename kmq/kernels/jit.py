"""The compile policy: how every kernel of kmq is compiled and where the result is kept.

Kernels are serial and release the GIL; `kmq.engine.threads` runs one call per range of blocks
on threads of its own. That leaves Numba's threading layers out of the game, and with them the
aborts of `workqueue` under concurrent fits, the death of forked children under GNU OpenMP and
the longer compile and load times of parallel kernels.
"""

import hashlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
import platformdirs
from numba.core import caching
from numba.extending import intrinsic

from kmq import __version__

_SOURCES = Path(__file__).parent


def cache_dir() -> Path:
    """Folder of the compiled kernels, keyed by the versions that made them.

    ``KMQ_CACHE_DIR`` names it outright; else it lies in ``NUMBA_CACHE_DIR``; else in the
    user's cache folder, which outlives upgrades of kmq and needs no writable site-packages.
    """
    own = os.environ.get("KMQ_CACHE_DIR")
    general = os.environ.get("NUMBA_CACHE_DIR")
    if own:
        base = Path(own)
    elif general:
        base = Path(general) / "kmq"
    else:
        base = platformdirs.user_cache_path("kmq", appauthor=False)
    tag = sys.implementation.cache_tag
    return base / f"{__version__}-numba-{numba.__version__}-{tag}"


@cache
def _sources_stamp() -> str:
    """Hash of all kernel sources: an edit in any of them outdates every cached kernel."""
    digest = hashlib.sha256()
    for path in sorted(_SOURCES.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class _PrivateLocator(caching._CacheLocator):
    """Places the cache of a kernel in `cache_dir`."""

    def __init__(self, py_func: Callable[..., Any]) -> None:
        self._name = py_func.__module__

    def get_cache_path(self) -> str:
        return str(cache_dir())

    def get_source_stamp(self) -> str:
        return _sources_stamp()

    def get_disambiguator(self) -> str:
        return self._name

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> "_PrivateLocator":
        return cls(py_func)


class _PrivateImpl(caching.CompileResultCacheImpl):
    _locator_classes = [_PrivateLocator]  # type: ignore[list-item]  # noqa: RUF012


class _ForgivingCache(caching.FunctionCache):
    """A cache that can be read-only, truncated, garbage or missing: then we compile again.

    Numba lets each of these end in a traceback (numba#10434, numba#4807); no state of a cache
    is worth losing a fit for.
    """

    _impl_class = _PrivateImpl

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:
            self._forget()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception:
            self._forget()

    def _forget(self) -> None:
        """Drop an index that cannot be trusted, so that the next save starts afresh."""
        with suppress(OSError):
            os.unlink(self._cache_file._index_path)


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` on first call: serial, without the GIL, kept in the private cache.

    Never with fastmath: it deletes NaN checks, and lets a distance differ from itself.
    """
    compiled = numba.njit(nogil=True, error_model="numpy")(function)
    if hasattr(compiled, "_cache"):  # absent under NUMBA_DISABLE_JIT
        compiled._cache = _ForgivingCache(function)
    return compiled


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
