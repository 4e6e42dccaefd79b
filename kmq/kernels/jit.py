"""The compile policy: how every kernel of kmq is compiled and where the result is kept.

Kernels are serial and release the GIL; `kmq.engine.threads` runs one call per range of blocks
on threads of its own. That leaves Numba's threading layers out of the game, and with them the
aborts of `workqueue` under concurrent fits, the death of forked children under GNU OpenMP and
the longer compile and load times of parallel kernels.
"""

import hashlib
import logging
import os
import pickle
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
import platformdirs
from numba.core import caching
from numba.core.serialize import dumps
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


def cache_is_writable() -> bool:
    """Whether compiled kernels can be kept."""
    try:
        cache_dir().mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=cache_dir()).close()
    except OSError:
        return False
    return True


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


class _SealedFiles:
    """One file for each kernel, signature, processor and version of the sources.

    Numba's own index can pair a signature with another one's code where two processes fill a
    cold cache at once (numba#4807), or with outdated code where one dies between two writes,
    and nothing tells a damaged file from a whole one (numba#10434). Here the name says what
    must be inside, and a digest that it is.
    """

    def __init__(self, folder: Path, base: str, stamp: str) -> None:
        self._folder = folder
        self._base = base
        self._stamp = stamp

    def _path(self, key: Any) -> Path:
        """Where the code for a key is kept."""
        name = hashlib.sha256(repr((self._stamp, key)).encode()).hexdigest()[:32]
        return self._folder / f"{self._base}-{name}.kernel"

    def load(self, key: Any) -> Any:
        """Return the code for a key, or None where there is none that is whole."""
        try:
            sealed = self._path(key).read_bytes()
        except OSError:
            return None
        digest, code = sealed[:32], sealed[32:]
        return pickle.loads(code) if hashlib.sha256(code).digest() == digest else None

    def save(self, key: Any, data: Any) -> None:
        """Keep the code for a key; readers see all of it or nothing."""
        code = dumps(data)
        path = self._path(key)
        with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
            file.write(hashlib.sha256(code).digest() + code)
        try:
            os.replace(file.name, path)
        except OSError:
            os.unlink(file.name)
            raise

    def flush(self) -> None:
        """Drop the code of all keys."""
        for path in self._folder.glob(f"{self._base}-*.kernel"):
            path.unlink(missing_ok=True)


@cache
def _tell_of_compiling() -> None:
    """Say why the process seems to hang: the first time, for some seconds, it compiles."""
    if cache_is_writable():
        after = "later runs will not need to"
    else:
        after = f"so will later runs, as nothing can be kept in {cache_dir()} (KMQ_CACHE_DIR)"
    logging.getLogger("kmq").info("compiling for this machine; %s", after)


class _ForgivingCache(caching.FunctionCache):
    """A cache that may be read-only, damaged or missing: then we compile.

    No state of a cache is worth losing a fit for.
    """

    _impl_class = _PrivateImpl

    def __init__(self, py_func: Callable[..., Any]) -> None:
        super().__init__(py_func)
        files = _SealedFiles(cache_dir(), self._impl.filename_base, _sources_stamp())
        self._cache_file: Any = files

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        found = None
        with suppress(Exception):
            found = super().load_overload(sig, target_context)
        if found is None:
            _tell_of_compiling()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(Exception):
            super().save_overload(sig, data)


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
