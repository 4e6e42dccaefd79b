"""Which pictures a command is to work on, and what their outputs are called."""

import glob
import io
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from kmq.cli.options import bad
from kmq.files import ImageReadError, in_brief, name_of

STANDARD = "-"
SUFFIX = "-kmq"
# Formats that hold animations as well as stills, and therefore stay what they are.
_KEPT = {".gif", ".webp"}


@dataclass(frozen=True)
class Source:
    """One picture to read.

    Attributes
    ----------
    name : str
        Its path as it was given or found; ``-`` is stdin.
    below : str
        Its path below the folder in which it was found, for the output's name.
    """

    name: str
    below: str

    @property
    def is_standard(self) -> bool:
        """Whether it comes from stdin."""
        return self.name == STANDARD

    @property
    def shown(self) -> str:
        """What messages call it."""
        return "stdin" if self.is_standard else name_of(self.name)

    @cached_property
    def _is_piped(self) -> bool:
        """Whether it can be read only once: stdin, a pipe with a name, a socket."""
        if self.is_standard:
            return True
        try:
            mode = os.stat(self.name).st_mode
        except OSError:  # told when it is opened
            return False
        return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)

    @cached_property
    def _piped(self) -> bytes:
        """What a pipe holds, read once: a picture may be needed twice."""
        if not self.is_standard:
            try:
                return Path(self.name).read_bytes()
            except OSError as error:
                reason = in_brief(error)
                raise ImageReadError(f"cannot read {self.shown}: {reason}") from error
        if sys.stdin.isatty():
            raise ImageReadError("cannot read stdin: it is a terminal, and nothing is piped in")
        return sys.stdin.buffer.read()

    def open(self) -> Any:
        """A path, or a binary file, to read the picture from, as often as wanted."""
        _hush_libtiff()
        if not self.is_standard and os.path.isdir(self.name):
            raise ImageReadError(f"cannot read {self.shown}: a folder that holds no pictures")
        if self._is_piped:
            file = io.BytesIO(self._piped)
            file.name = self.shown
            return file
        return self.name

    @property
    def size(self) -> int | None:
        """Bytes of the file; None where there is none."""
        if self._is_piped:
            return len(self._piped)
        return os.path.getsize(self.name) if os.path.isfile(self.name) else None


@cache
def _hush_libtiff() -> None:
    """Keep libtiff from words of its own on stderr: the error that Pillow raises is told."""
    import ctypes

    from PIL import _imaging

    # Found only where Pillow is linked with libtiff, and symbols of what it is linked with show.
    with suppress(OSError, AttributeError):
        set_handler = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
        set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
        set_handler(None)


def find_sources(
    names: Sequence[str],
    *,
    recursive: bool = False,
    apart_from: str | None = None,
    without: str | None = None,
) -> list[Source]:
    """Find the pictures that arguments stand for.

    Parameters
    ----------
    names : sequence of str
        Files, folders, patterns, or ``-``. A name that is none of these is kept: reading it
        will say what is wrong.
    recursive : bool
        Whether folders within folders are searched.
    apart_from : str, optional
        A folder that is not searched: that of the outputs.
    without : str, optional
        Files of folders whose names end in this, before the dot, are left out: earlier outputs.

    Returns
    -------
    list of Source
        In the order of `names`, within one by name; each file once.
    """
    found: dict[str, Source] = {}
    for name in names:
        for source in _expanded(name, recursive, apart_from, without):
            key = name if source.is_standard else os.path.abspath(source.name)
            found.setdefault(key, source)
    return list(found.values())


def _expanded(
    name: str, recursive: bool, apart_from: str | None, without: str | None
) -> Iterator[Source]:
    """The pictures that one argument stands for, itself if none."""
    if name == STANDARD:
        yield Source(name, name)
        return
    matches = [name]
    if not os.path.lexists(name) and glob.has_magic(name):
        matches = sorted(glob.glob(name, recursive=True)) or [name]
    for match in matches:
        inside = []
        if os.path.isdir(match):
            inside = [
                source
                for source in _in_folder(match, recursive, apart_from)
                if without is None or not Path(source.name).stem.endswith(without)
            ]
        yield from inside or [Source(match, os.path.basename(match))]


def _in_folder(folder: str, recursive: bool, apart_from: str | None) -> Iterator[Source]:
    """The pictures of a folder, by the endings of their names; hidden ones are left alone."""
    from PIL import Image as pillow

    endings = pillow.registered_extensions()
    readable = {ending for ending, name in endings.items() if name in pillow.OPEN}
    # Documents that Pillow knows, but that are no pictures to people.
    readable -= {".pdf", ".eps", ".ps", ".mpg", ".mpeg"}
    skipped = None if apart_from is None else os.path.realpath(apart_from)
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(
            inner
            for inner in folders
            if recursive
            and not inner.startswith(".")
            and os.path.realpath(os.path.join(place, inner)) != skipped
        )
        for file in sorted(files):
            path = os.path.join(place, file)
            ending = os.path.splitext(file)[1].lower()
            if not file.startswith(".") and ending in readable and os.path.isfile(path):
                yield Source(path, os.path.relpath(path, folder))


def name_outputs(sources: Sequence[Source], output: str | None, ending: str | None) -> list[str]:
    """Name the file that each picture is written to.

    Parameters
    ----------
    sources : sequence of Source
        The pictures.
    output : str or None
        A file, a folder, ``-`` for stdout, or None for a place beside each picture.
    ending : str or None
        The ending of the outputs, where the format was asked for.

    Returns
    -------
    list of str
        One for each source.

    Raises
    ------
    typer.BadParameter
        If several would be written to one file.
    """
    several = len(sources) != 1 or sources[0].below != os.path.basename(sources[0].name)
    if output is None and any(source.is_standard for source in sources):
        if several:
            raise bad("where stdin is one of several pictures, name a folder", "-o")
        output = STANDARD
    if output == STANDARD:
        if len(sources) != 1:
            raise bad(f"stdout holds one picture, not {len(sources)}", "-o")
        return [STANDARD]
    if output is not None and not several and not _is_folder(output):
        return [output]
    if output is not None and os.path.exists(output) and not os.path.isdir(output):
        raise bad(f"{name_of(output)} is no folder, which several pictures need", "-o")
    names: dict[str, Source] = {}
    for source in sources:
        below = Path("stdin" if source.is_standard else source.below)
        kept = below.suffix.lower() if below.suffix.lower() in _KEPT else ".png"
        file = f"{below.stem}{'' if output is not None else SUFFIX}{ending or kept}"
        folder = Path(source.name).parent if output is None else Path(output, below.parent)
        name = str(folder / file)
        other = names.setdefault(name, source)
        if other is not source:
            raise bad(f"{other.shown} and {source.shown} would both become {name_of(name)}", "-o")
    return list(names)


def _is_folder(output: str) -> bool:
    """Whether a name is a folder's, there already or by its last character."""
    return os.path.isdir(output) or output.endswith(("/", os.sep))


def check_stdout() -> None:
    """Refuse to write a picture to a terminal."""
    if sys.stdout.isatty():
        raise bad("stdout is a terminal; name a file, or redirect it", "-o")
