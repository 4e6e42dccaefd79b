"""The ``kmq`` command: reads arguments, calls the rooms below, prints.

Data go to stdout, words to stderr. Heavy modules are imported inside the commands, so that help
and usage errors come at once.
"""

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kmq import __version__
from kmq.files import ImageReadError, ImageWriteError, OutputExistsError, check_output

if TYPE_CHECKING:
    from kmq.image import IndexedImage

FAILED, USAGE, UNREADABLE, EXISTS, UNWRITABLE, INTERRUPTED = 1, 2, 4, 5, 6, 130

# Typer brings click along under changing names; the order of its classes has stayed the same.
_ClickError: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    arguments : sequence of str or None
        What follows the program's name; ``sys.argv`` has it by default.

    Returns
    -------
    int
        0 done, 1 failed, 2 usage, 4 unreadable input, 5 output exists, 6 output cannot be
        written, 130 interrupted.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of oddities in files that it reads all the same.
            warnings.filterwarnings("ignore", module=r"PIL\.")
            code = app(arguments, prog_name="kmq", standalone_mode=False) or 0
    except _ClickError as error:
        reason = error.format_message().rstrip(".")  # type: ignore[attr-defined]
        return _fail(f"{reason} (see kmq --help)", USAGE)
    except OutputExistsError as error:
        return _fail(f"{error}; --force replaces it", EXISTS)
    except ImageReadError as error:
        return _fail(str(error), UNREADABLE)
    except ImageWriteError as error:
        return _fail(str(error), UNWRITABLE)
    except MemoryError:
        return _fail("not enough memory", FAILED)
    except typer.Abort:  # what older releases of Typer make of Ctrl-C; later ones return 130
        code = INTERRUPTED
    return _fail("interrupted", code) if code == INTERRUPTED else code


def _version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        typer.echo(f"kmq {__version__}")
        raise typer.Exit


@app.callback(
    invoke_without_command=True,
    epilog="[bold]Example[/bold]\n\nkmq quantize photo.jpg -k 16 -o photo.png",
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


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    "kmq quantize photo.jpg -k 16 -o photo.png\n\n"
    "kmq quantize photo.jpg -k 64 --seed 3 --force -o photo.png"
)
def quantize(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="A picture of any kind that Pillow reads.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="The PNG file to write.")
    ],
    k: Annotated[int, typer.Option("--colors", "-k", min=1, help="Number of colours.")] = 16,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Seed of the start; the same gives the same.")
    ] = 0,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace OUT if it exists.")] = False,
) -> None:
    """Reduce a picture to k colours, those of exact k-means, and write it as indexed PNG.

    Cost: squared error summed over the channels, mean over the pixels.
    Seconds: of finding the colours, without reading and writing.
    """
    check_output(output, overwrite=force)
    from kmq.image import load_image, quantize_image

    picture = quantize_image(load_image(source), k, random_state=seed)
    picture.save(output, overwrite=force)
    if picture.note:
        _say(f"note: {picture.note}")
    _print_summary(picture)


def _print_summary(picture: "IndexedImage") -> None:
    """Print what quantizing did as a small table on stderr."""
    from rich.console import Console
    from rich.table import Table

    height, width, _ = picture.shape
    table = Table.grid(padding=(0, 2))
    for name, value in {
        "size": f"{width} x {height}",
        "distinct colours": f"{picture.distinct} → {len(picture.palette)}",
        "cost": f"{picture.cost:.2f}",
        "PSNR": f"{picture.psnr:.2f} dB",
        "iterations": str(picture.n_iter),
        "seconds": f"{picture.seconds:.3f}",
    }.items():
        table.add_row(name, value)
    Console(stderr=True).print(table, highlight=False)


def _fail(message: str, code: int) -> int:
    """Say on one line what went wrong; return the exit code."""
    _say("error: " + " ".join(message.split()))
    return code


def _say(message: str) -> None:
    """Print one line to stderr."""
    print(f"kmq: {message}", file=sys.stderr)
