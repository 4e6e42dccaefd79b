"""What the command says, on stderr, and the exit codes of what goes wrong."""

import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite, log10
from textwrap import wrap
from typing import Any, TextIO

from kmq import __version__
from kmq.files import ImageReadError, ImageWriteError, OutputExistsError

# Columns of a terminal below which wrapping a value makes it no easier to read.
_NARROWEST = 10


class CommandError(Exception):
    """A command cannot go on, for a reason with an exit code of its own."""

    FAILED, USAGE, SOME, UNREADABLE, EXISTS, UNWRITABLE = 1, 2, 3, 4, 5, 6
    NOT_SMALLER, MISSED = 98, 99

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Talk:
    """How much is said: `quiet` leaves errors only, `verbose` adds each of many pictures, and
    the palette of a single one.
    """

    quiet: bool = False
    verbose: bool = False

    def note(self, message: str) -> None:
        """Say what is worth knowing and no error."""
        if not self.quiet:
            say(f"note: {message}")

    def table(self, rows: Mapping[str, str]) -> None:
        """Print names and values below one another on stderr."""
        if not self.quiet:
            print_table(rows, sys.stderr)


def print_table(rows: Mapping[str, str], file: TextIO | None = None) -> None:
    """Print names and values below one another, on stdout by default.

    On a terminal, values that are too long go on below their beginning.
    """
    file = file or sys.stdout
    width = max(map(len, rows))
    room = os.get_terminal_size(file.fileno()).columns - width - 2 if file.isatty() else 0
    below = "\n" + " " * (width + 2)
    for name, value in rows.items():
        lines = wrap(value, room, break_on_hyphens=False) if room > _NARROWEST else [value]
        print(f"{name:<{width}}  {below.join(lines)}", file=file)


def print_columns(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout, its columns flush right."""
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    for row in (names, *rows):
        print("  ".join(f"{text:>{width}}" for text, width in zip(row, widths, strict=True)))


def say(message: str) -> None:
    """Print one line to stderr."""
    print(f"kmq: {' '.join(message.split())}", file=sys.stderr)


def drop_stdout() -> None:
    """Let what stdout cannot take, and all that is still to come, go nowhere."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(message: str, code: int) -> int:
    """Say on one line what went wrong; return the exit code."""
    say(f"error: {message}")
    return code


def code_of(error: BaseException) -> int:
    """Exit code of what went wrong with one picture."""
    if isinstance(error, CommandError):
        return error.code
    if isinstance(error, OutputExistsError):
        return CommandError.EXISTS
    if isinstance(error, ImageReadError):
        return CommandError.UNREADABLE
    if isinstance(error, ImageWriteError):
        return CommandError.UNWRITABLE
    return CommandError.FAILED


def sentence_of(error: BaseException) -> str:
    """What went wrong, in words."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    if isinstance(error, OutputExistsError):
        return f"{error}; --force replaces it"
    return str(error)


def print_json(schema: str, content: Mapping[str, Any]) -> None:
    """Print a document on stdout, its schema and the version of kmq first.

    What JSON has no numbers for, such as the PSNR of equal pictures, is null.
    """
    document = {"schema": schema, "kmq": __version__, **content}
    print(json.dumps(_finite(document), allow_nan=False))


def _finite(value: Any) -> Any:
    """The same with null in place of infinite numbers and of what is not a number."""
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value


_heard = threading.local()


def collect_note(message: str) -> None:
    """Keep a warning until the picture that this thread works on is done."""
    _heard.notes = [*getattr(_heard, "notes", []), message]


def collected_notes() -> list[str]:
    """What `collect_note` kept on this thread, once."""
    notes: list[str] = getattr(_heard, "notes", [])
    _heard.notes = []
    return notes


def as_decibels(psnr: float) -> str:
    """A PSNR for people."""
    return f"{psnr:.2f} dB" if isfinite(psnr) else "infinite"


def as_size(n_bytes: int) -> str:
    """A number of bytes for people."""
    if n_bytes < 1000:
        return f"{n_bytes} B"
    thousands = min(3, int(log10(n_bytes) / 3 + 1e-9))
    return f"{n_bytes / 1000**thousands:.3g} {' kMG'[thousands]}B"
