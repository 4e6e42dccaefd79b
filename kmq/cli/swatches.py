"""``kmq palette``: the colours of pictures, for other programs."""

import os
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kmq.cli import options as opt
from kmq.cli.app import command, examples
from kmq.cli.sources import STANDARD, Source, check_stdout, find_sources
from kmq.cli.work import Writing, frame_count, read_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kmq.image import Image
    from kmq.palette import Palette


class PaletteFormat(StrEnum):
    """Kinds of palette files, by their endings."""

    hex = "hex"
    json = "json"
    css = "css"
    gpl = "gpl"
    ase = "ase"
    act = "act"
    png = "png"


class Order(StrEnum):
    """Orders of colours."""

    population = "population"
    luminance = "luminance"
    hue = "hue"


FILES = (".hex", ".txt", ".json", ".css", ".gpl", ".ase", ".act")
_BINARY = {"ase", "act", "png"}


@command(
    "palette",
    epilog=examples(
        "kmq palette photo.jpg -k 8",
        "kmq palette photos/*.jpg -k 32 --sort hue -o palette.gpl",
        "kmq palette photo.jpg --format css > colors.css",
        "kmq palette colors.gpl -o colors.ase",
    ),
)
def palette(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="IN",
            help="Pictures, folders of them, patterns, or - for stdin, which get one palette "
            "together; or one palette file, to convert.",
            show_default=False,
        ),
    ],
    k: Annotated[
        int,
        opt.option(opt.COLORS, "Number of colours.", "--colors", "-k", metavar="N", min=1),
    ] = 16,
    output: Annotated[
        str,
        opt.option(
            opt.OUTPUT,
            "Where to write: .hex, .txt, .json, .css, .gpl, .ase, .act or a swatch in .png; "
            "- is stdout.",
            "--output",
            "-o",
            metavar="FILE|-",
        ),
    ] = STANDARD,
    file_format: Annotated[
        PaletteFormat | None,
        opt.option(
            opt.OUTPUT,
            "Kind of palette for stdout: hex, json, css, gpl, ase, act or png; by default each "
            "colour's share beside it.",
            "--format",
            metavar="KIND",
        ),
    ] = None,
    sort: Annotated[
        Order | None,
        opt.option(
            opt.COLORS,
            "By population, most pixels first (the default, except for palette files), by "
            "luminance, darkest first, or by hue.",
            "--sort",
            metavar="HOW",
        ),
    ] = None,
    space: opt.InSpace = opt.Space.rgb,
    pin: opt.Pins = None,
    seed: opt.Seed = 0,
    starts: opt.Starts = 1,
    even: Annotated[
        bool,
        opt.option(opt.OUTPUT, "Give all colours of a swatch one width.", "--even"),
    ] = False,
    force: opt.Force = False,
    recursive: opt.Recursive = False,
    max_pixels: opt.MaxPixels = None,
    as_json: Annotated[
        bool, opt.option(opt.OUTPUT, "The same as --format json.", "--json")
    ] = False,
) -> None:
    """Find the colours of pictures, all together, and how many pixels each has."""
    pins = [opt.checked_color(text, "--pin") for text in pin or []]
    if len(pins) > k:
        raise opt.bad(f"{len(pins)} colours do not fit into a palette of {k}", "--pin")
    opt.limit_input(max_pixels)
    if as_json:
        if output != STANDARD or file_format not in (None, PaletteFormat.json):
            raise opt.bad("it is a format of its own, and for stdout", "--json")
        file_format = PaletteFormat.json
    if output != STANDARD and file_format is not None:
        output_kind = os.path.splitext(output)[1].lower().removeprefix(".")
        if output_kind != file_format:
            raise opt.bad(f"{file_format} is not what the name {output} says", "--format")
    if output == STANDARD and file_format in _BINARY:
        check_stdout()
    writing = Writing(force)
    writing.check(output)
    found = _converted(sources)
    if found is None:
        from kmq.quantize import fit_palette

        pictures = _images(find_sources(sources, recursive=recursive))
        how: dict[str, Any] = {"n_init": starts, "space": space.value, "pinned": pins}
        found = fit_palette(pictures, k, seed, reserve=False, **how)
    if sort is not None:
        found = found.sorted(sort.value)
    if output == STANDARD and file_format is None:
        _print_colors(found)
        return
    from kmq.palette_files import encode_palette

    name = f"stdout.{file_format}" if output == STANDARD else output
    writing.write(output, encode_palette(found, name, proportional=not even))


def _converted(names: "Sequence[str]") -> "Palette | None":
    """The palette of a palette file, where that is what was given."""
    if len(names) != 1 or os.path.splitext(names[0])[1].lower() not in FILES:
        return None
    from kmq.palette import Palette

    return Palette.from_file(names[0])


def _images(sources: "Sequence[Source]") -> "Iterator[Image]":
    """Every picture, and every frame of an animation, one at a time."""
    from kmq.animation import read_frames

    for source in sources:
        if frame_count(source) == 1:
            yield read_image(source)
        else:
            yield from (frame.image for frame in read_frames(source.open()))


def _print_colors(palette: "Palette") -> None:
    """Print a colour a line with its share, where known, and a patch of it on a terminal."""
    shares = palette.fractions
    lines = [
        color if shares is None else f"{color}  {shares[row]:7.2%}"
        for row, color in enumerate(palette.hex)
    ]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.text import Text

        console = Console()
        if console.color_system is not None and not console.no_color:
            for color, line in zip(palette.hex, lines, strict=True):
                console.print(Text.assemble(("      ", f"on {color}"), "  ", line))
            return
    print("\n".join(lines))
