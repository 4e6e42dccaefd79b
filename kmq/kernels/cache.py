"""Where compiled kernels are kept, and how they come back.

Three places are searched: the user's cache folder, a private folder under the temporary directory
where that one cannot be written, and what was compiled when kmq was installed (`BUILT`). Numba's
own index can pair a signature with another one's code where two processes fill a cold cache at
once (numba#4807), or with outdated code where one dies between two writes, and nothing tells a
damaged file from a whole one (numba#10434). Here a file's name says what must be inside, and a
digest that it is.
"""

import hashlib
import json
import os
import pickle
import platform
import re
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
import platformdirs
from numba.core.compiler import compile_result
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys
from numba.core.serialize import dumps

from kmq import __version__

_KERNELS = Path(__file__).parent
# What `kmq.kernels.build` compiles goes here, inside the installed package.
BUILT = _KERNELS / "built"
_IMPORTED = re.compile(rb"^(?:from|import) (kmq\.kernels(?:\.\w+)+)", re.MULTILINE)
# Files that say nothing about what the compiler makes of a kernel.
_ASIDE = {_KERNELS / "cache.py", _KERNELS / "notice.py"}
# Another version of a kernel's code is cleared away when it is so old: two checkouts at work
# share a folder.
_OUTDATED_SECONDS = 7 * 86_400

# Names of the files that this process has read or written: what a warm-up says is needed.
used: set[str] = set()

# Processors for which code is shipped: what Numba is told to compile for, and the features that
# a machine must have to run it.
_AVX2 = "avx avx2 bmi bmi2 cx16 f16c fma lzcnt movbe popcnt sse4.2 ssse3 xsave"
_LEVELS = {
    "x86_64": ("x86-64-v3", frozenset(_AVX2.split())),
    "amd64": ("x86-64-v3", frozenset(_AVX2.split())),
    "aarch64": ("generic", frozenset[str]()),
    "arm64": ("generic", frozenset[str]()),
}
# Vectors twice as wide: code of the level would run there, but only half as fast as its own.
_WIDER = "avx512f"


def level() -> tuple[str, frozenset[str]] | None:
    """The processor that code is shipped for on this architecture, and the features it has."""
    return _LEVELS.get(platform.machine().lower())


def level_for(has: frozenset[str]) -> str | None:
    """The level whose code serves a processor of some features; None where only its own does."""
    shipped = level()
    serves = shipped is not None and shipped[1] <= has and _WIDER not in has
    return shipped[0] if shipped is not None and serves else None


def _processors(codegen: Any) -> list[tuple[str, str, str]]:
    """Processors whose code is used here: the one Numba compiles for, then that of a level."""
    own = codegen.magic_tuple()
    shipped = level_for(_features(codegen))
    return [own] if shipped is None else [own, (own[0], shipped, "")]


def _digest_of(*parts: Any) -> str:
    """A name for a combination of things."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def _features(codegen: Any) -> frozenset[str]:
    """Features of the processor that Numba compiles for."""
    return frozenset(f[1:] for f in codegen.magic_tuple()[2].split(",") if f.startswith("+"))


@cache
def _version() -> str:
    """Folder of what these versions of kmq, Numba and Python compile."""
    return f"{__version__}-numba-{numba.__version__}-{sys.implementation.cache_tag}"


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
    return base / _version()


def _can_write(folder: Path) -> bool:
    """Whether files can be made in a folder, which is made where it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _temporary_dir() -> Path | None:
    """A folder under the temporary directory that nobody else can write, None where none can be.

    What lies in it is executed, so it must be the user's own, whoever made it.
    """
    uid = os.getuid() if hasattr(os, "getuid") else "own"
    base = Path(tempfile.gettempdir()) / f"kmq-{uid}"
    try:
        with suppress(FileExistsError):
            base.mkdir(mode=0o700)
        found = base.lstat()
    except OSError:
        return None
    private = not found.st_mode & 0o077 and found.st_uid == uid if uid != "own" else True
    folder = base / _version()
    return folder if stat.S_ISDIR(found.st_mode) and private and _can_write(folder) else None


@cache
def _places(wanted: Path) -> tuple[Path | None, tuple[Path, ...]]:
    """Where to write, None where nothing can be kept, and where to read, for a `cache_dir`."""
    built = BUILT / _version()
    if _can_write(wanted):
        return wanted, (wanted, built)
    temporary = _temporary_dir()
    return temporary, (wanted, *([temporary] if temporary else []), built)


def writable_dir() -> Path | None:
    """Folder in which compiled kernels are kept, None where nothing can be."""
    return _places(cache_dir())[0]


def explain() -> str:
    """Say in a few words what becomes of compiled code."""
    wanted, writable = cache_dir(), writable_dir()
    if writable == wanted:
        return "later runs will not need to"
    if writable is not None:
        return f"kept in {writable}, as {wanted} cannot be written"
    return f"so will later runs, as nothing can be kept in {wanted} (KMQ_CACHE_DIR)"


@cache
def stamp(path: Path) -> str:
    """Hash of a source file and of all files of kernels that it imports, directly or not."""
    digest = hashlib.sha256()
    known, pending = {path, *_ASIDE}, [path]
    for source in pending:
        text = source.read_bytes()
        digest.update(text)
        for name in sorted(set(_IMPORTED.findall(text))):
            place = _KERNELS.joinpath(*name.decode().split(".")[2:])
            imported = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
            if imported not in known:
                known.add(imported)
                pending.append(imported)
    return digest.hexdigest()[:16]


class KernelCache:
    """The compiled code of one kernel: what Numba's dispatcher asks, and hands over, by signature.

    No state of a cache is worth losing a fit for: what cannot be read is compiled again, and what
    cannot be kept is used.

    Parameters
    ----------
    function : callable
        The kernel before compiling.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        code = function.__code__
        self._name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
        self._source = Path(code.co_filename)
        # Kernels may be told apart by what a factory closed over.
        self._variant = (code.co_code, [c.cell_contents for c in function.__closure__ or ()])

    @property
    def cache_path(self) -> str:
        """Folder of the files."""
        return str(cache_dir())

    def _files(self, signature: Any, codegen: Any) -> Iterator[str]:
        """Names of the files that hold code for a signature, the best first."""
        for processor in _processors(codegen):
            name = _digest_of(str(signature), processor, self._variant)
            yield f"{self._name}-{stamp(self._source)}-{name}.kernel"

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Return the code for a signature, or None where there is none that is whole."""
        with suppress(Exception):
            # Makes ready what compiled code calls, which nothing else does where all is loaded. To
            # have Numba load what it compiles with (`refresh`) would take a third of a second.
            rtsys.initialize(target_context)
            codegen = target_context.codegen()
            for name in self._files(signature, codegen):
                for folder in _places(cache_dir())[1]:
                    found = _unsealed(folder / name)
                    if found is not None:
                        result = _rebuilt(target_context, found)
                        used.add(name)
                        return result
        return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep the code for a signature; readers see all of it or nothing."""
        folder = writable_dir()
        if folder is None:
            return
        with suppress(Exception):
            name = next(self._files(signature, result.library.codegen))
            code = dumps(_reduced(result))
            write(folder / name, hashlib.sha256(code).digest() + code)
            used.add(name)
            self._clear_outdated(folder)

    def _clear_outdated(self, folder: Path) -> None:
        """Take away what an earlier version of the sources left a while ago."""
        before = time.time() - _OUTDATED_SECONDS
        for path in folder.glob(f"{self._name}-*.kernel"):
            current = path.name.startswith(f"{self._name}-{stamp(self._source)}-")
            if not current and path.stat().st_mtime < before:
                path.unlink(missing_ok=True)


def _markers() -> Iterator[str]:
    """Names of the file that lists what a warm-up compiles of these sources, the best first."""
    stamps = [stamp(path) for path in sorted({*_KERNELS.rglob("*.py")} - _ASIDE)]
    for processor in _processors(cpu_target.target_context.codegen()):
        yield f"warm-{_digest_of(stamps, processor)}.json"


def is_warm() -> bool:
    """Whether everything is there that a warm-up once found to be needed."""
    folders = _places(cache_dir())[1]
    for marker in _markers():
        for folder in folders:
            with suppress(OSError, ValueError):
                names = json.loads((folder / marker).read_text())
                if all(any((place / name).exists() for place in folders) for name in names):
                    return True
    return False


def note_warm(names: set[str]) -> None:
    """Remember the files that a warm-up needed."""
    folder = writable_dir()
    if folder is not None:
        with suppress(OSError):
            write(folder / next(_markers()), json.dumps(sorted(names)).encode())


def write(path: Path, content: bytes) -> None:
    """Put a file in its place, whole, whatever happens meanwhile."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(content)
            file.close()
            os.replace(temporary, path)
        except BaseException:
            file.close()
            temporary.unlink(missing_ok=True)
            raise


def _unsealed(path: Path) -> Any:
    """What a file holds, or None where there is none that is whole."""
    try:
        sealed = path.read_bytes()
    except OSError:
        return None
    digest, code = sealed[:32], sealed[32:]
    return pickle.loads(code) if hashlib.sha256(code).digest() == digest else None


def _reduced(result: Any) -> tuple[Any, ...]:
    """What is kept of a compilation: machine code, and what calling it takes.

    Numba keeps bitcode beside it, for callers to inline, and the types of all variables. Other
    kernels see a kernel's source (`kmq.kernels.jit`), and a third of loading goes into that.
    """
    library, described = result.library, result.fndesc
    described.typemap = described.calltypes = None
    envs = tuple(result._find_referenced_environments())
    code = library._get_compiled_object()
    return library.name, code, described, result.environment, result.signature, envs


def _rebuilt(target_context: Any, kept: tuple[Any, ...]) -> Any:
    """The compilation of which `_reduced` kept something, ready to be called."""
    name, code, described, environment, signature, envs = kept
    codegen = target_context.codegen()
    library = codegen.create_library(name)
    library.enable_object_caching()
    library._set_compiled_object(code)
    library._finalize_final_module()
    codegen._engine._defined_symbols.add(described.llvm_cpython_wrapper_name)
    entry = target_context.get_executable(library, described, environment)
    for env in envs:
        codegen.set_env(env.env_name, env)
    return compile_result(
        typing_context=target_context.typing_context,
        target_context=target_context,
        entry_point=entry,
        signature=signature,
        objectmode=False,
        lifted=(),
        fndesc=described,
        library=library,
        environment=environment,
        reload_init=(),
        referenced_envs=envs,
    )
