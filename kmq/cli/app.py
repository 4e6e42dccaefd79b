"""The command's frame: its exit codes, and what becomes of everything that goes wrong."""

import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from kmq import __version__
from kmq.cli.talk import CommandError, code_of, collect_note, drop_stdout, fail, say, sentence_of
from kmq.files import ImageError

Function = TypeVar("Function", bound=Callable[..., Any])
INTERRUPTED = 130

# Typer brings click along under changing names; the order of its classes has stayed the same.
_ClickError: type[Exception] = typer.BadParameter.__mro__[2]

_CODES = """[bold]Exit codes[/bold]
 0  done                  5  output exists
 1  all failed            6  cannot write
 2  usage                98  not smaller
 3  some failed          99  target missed
 4  unreadable input    130  interrupted"""


def _without_types(params: list[Any]) -> list[Any]:
    """Give flags no type in the help: narrow terminals have no room for it beside their names."""
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
    return params


class _Command(TyperCommand):
    """A command whose help is fit for narrow terminals."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types(super().get_params(ctx))


class _Group(TyperGroup):
    """The same for the frame of the commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types(super().get_params(ctx))


app = typer.Typer(
    cls=_Group,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def command(name: str, epilog: str) -> Callable[[Function], Function]:
    """Make a function a command, its docstring the help, with lines as long as the terminal's."""

    def register(function: Function) -> Function:
        parts = (function.__doc__ or "").split("\n\n")
        text = "\n\n".join(" ".join(part.split()) for part in parts)
        return app.command(name, cls=_Command, help=text, epilog=epilog)(function)

    return register


def examples(*lines: str) -> str:
    """Epilogue of a command's help."""
    return "\n".join(["[bold]Examples[/bold]", *lines])


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    arguments : sequence of str or None
        What follows the program's name; ``sys.argv`` has it by default.

    Returns
    -------
    int
        0 done, 1 all failed, 2 usage, 3 some failed, 4 unreadable input, 5 output exists,
        6 output cannot be written, 98 not smaller, 99 target missed, 130 interrupted.
    """
    try:
        with warnings.catch_warnings(), _log_said():
            # Pillow warns of oddities in files that it reads all the same.
            warnings.filterwarnings("ignore", module=r"PIL\.")
            warnings.filterwarnings("always", module=r"kmq\.")
            warnings.showwarning = _show_warning
            code = app(arguments, prog_name="kmq", standalone_mode=False) or 0
        sys.stdout.flush()
    except _ClickError as error:
        reason = error.format_message().rstrip(".")  # type: ignore[attr-defined]
        return fail(f"{reason} (see kmq --help)", CommandError.USAGE)
    except (CommandError, ImageError, ValueError, MemoryError) as error:
        return fail(sentence_of(error), code_of(error))
    except OSError as error:
        return _stdout_failed(error)
    except SystemExit as leaving:
        # Typer's way of dealing with a stdout that nobody reads any more.
        if isinstance(leaving.__context__, BrokenPipeError):
            return _stdout_failed(leaving.__context__)
        raise
    except (KeyboardInterrupt, typer.Abort):  # the latter: what older releases make of Ctrl-C
        code = INTERRUPTED
    return fail("interrupted", code) if code == INTERRUPTED else code


def _stdout_failed(error: OSError) -> int:
    """Drop what stdout cannot take; return the exit code. A reader that has enough is no news."""
    drop_stdout()
    if isinstance(error, BrokenPipeError):
        return CommandError.UNWRITABLE
    from kmq.files import in_brief

    return fail(f"cannot write: {in_brief(error)}", CommandError.UNWRITABLE)


class _Said(logging.Handler):
    """Says what the rooms below log."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


@contextmanager
def _log_said() -> Iterator[None]:
    """Let a person who waits read what the rooms below log, unless `--quiet` keeps it from them."""
    logger = logging.getLogger("kmq")
    handler, level = _Said(), logger.level
    if sys.stderr.isatty():
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _show_warning(message: Warning | str, *details: Any, **more: Any) -> None:
    """Take a warning of the rooms below as a note on the picture at hand."""
    collect_note(str(message))


def _version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        typer.echo(f"kmq {__version__}")
        raise typer.Exit


@app.callback(
    invoke_without_command=True,
    epilog=examples(
        "kmq quantize photo.jpg -k 16 -o photo.png",
        "kmq quantize photos/ -k 64 -o small/",
        "kmq palette photo.jpg -k 8",
        "kmq report photo.jpg -k 8,16,32 -o report.html",
    )
    + "\n\n"
    + _CODES,
)
def kmq(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    """Exact k-means for images."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
