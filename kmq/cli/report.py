"""``kmq report``: a picture and its palettes as one page."""

import os
from typing import Annotated

from kmq.cli import options as opt
from kmq.cli.app import command, examples
from kmq.cli.sources import STANDARD, Source
from kmq.cli.talk import Talk
from kmq.cli.work import Writing, read_image


@command(
    "report",
    epilog=examples(
        "kmq report photo.jpg -k 8,16,32 -o report.html",
        "kmq report photo.jpg -k 4:64:4 -d atkinson -o report.html",
    ),
)
def report(
    source: opt.Input,
    k: Annotated[
        str,
        opt.option(
            opt.COLORS,
            "Numbers of colours, and ranges such as 4:16:4.",
            "--colors",
            "-k",
            metavar="K,K…",
        ),
    ] = "8,16,32",
    output: Annotated[
        str | None,
        opt.option(
            opt.OUTPUT,
            "The page to write; by default IN's name with .html, beside it.",
            "--output",
            "-o",
            metavar="FILE|-",
        ),
    ] = None,
    space: opt.InSpace = opt.Space.rgb,
    dither: opt.Dithered = opt.Dither.none,
    strength: opt.Strength = 1.0,
    seed: opt.Seed = 0,
    starts: opt.Starts = 1,
    force: opt.Force = False,
    max_pixels: opt.MaxPixels = None,
    quiet: opt.Quiet = False,
) -> None:
    """Compare palettes of a picture in a page for the browser that needs no network.

    For each k: a slider between before and after, the colours with their shares, the colours in
    space, and cost, time and bytes.
    """
    numbers = opt.numbers_of_colors(k)
    origin = Source(source, os.path.basename(source))
    if output is None:
        output = STANDARD if origin.is_standard else os.path.splitext(source)[0] + ".html"
    opt.limit_input(max_pixels)
    writing = Writing(force)
    writing.check(output)
    from kmq.report import make_report

    page = make_report(
        read_image(origin),
        numbers,
        seed,
        name=os.path.basename(origin.shown),
        n_bytes=origin.size,
        space=space.value,
        dither=dither.value,
        strength=strength,
        n_init=starts,
    )
    writing.write(output, page.encode())
    if output != STANDARD:
        several = "s" if len(numbers) > 1 else ""
        Talk(quiet).note(f"{output}: {len(numbers)} palette{several} of {origin.shown}")
