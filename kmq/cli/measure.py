"""``kmq profile`` and ``kmq bench``: cost and time against k, and beside other programs."""

import os
import sys
from dataclasses import asdict
from io import BytesIO
from typing import TYPE_CHECKING, Annotated

import typer

from kmq.cli import options as opt
from kmq.cli.app import command, examples
from kmq.cli.batch import progress
from kmq.cli.sources import Source
from kmq.cli.talk import Talk, print_columns, print_json, say
from kmq.cli.work import Writing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kmq.profile import KProfile

_PLOTS = (".png", ".svg", ".pdf", ".jpg", ".webp")


@command(
    "profile",
    epilog=examples(
        "kmq profile photo.jpg -k 2:64:2 --plot curve.png",
        "kmq profile photo.jpg -k 8,16,32 --json",
    ),
)
def profile(
    source: opt.Input,
    k: Annotated[
        str,
        opt.option(
            opt.COLORS,
            "Numbers of clusters, and ranges such as 2:64:2, both ends included.",
            "--clusters",
            "-k",
            metavar="K,K…",
        ),
    ] = "2:64:2",
    plot: Annotated[
        str | None,
        opt.option(
            opt.OUTPUT,
            "Draw the curves: .png, .svg, .pdf, .jpg or .webp.",
            "--plot",
            metavar="FILE",
        ),
    ] = None,
    seed: opt.Seed = 0,
    starts: Annotated[
        int,
        opt.option(
            opt.COLORS,
            "Starts of each fit, of which the best counts.",
            "--starts",
            metavar="N",
            min=1,
        ),
    ] = 5,
    repeats: Annotated[
        int,
        opt.option(
            opt.RUN,
            "Fits of each k, of whose times the median counts.",
            "--repeats",
            metavar="N",
            min=1,
        ),
    ] = 3,
    log: Annotated[
        bool,
        opt.option(opt.OUTPUT, "Draw on logarithmic axes.", "--log"),
    ] = False,
    force: opt.Force = False,
    max_pixels: opt.MaxPixels = None,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
) -> None:
    """Record cost and time of k-means on a picture's pixels, against the number of clusters.

    Cost: squared distances of all pixels to their centres, summed; the centres are as fitted.
    PSNR and bytes: of the picture in those colours, as indexed PNG. Seconds: of one fit, all its
    starts together, without reading the picture.
    """
    numbers = opt.numbers_of_colors(k)
    opt.limit_input(max_pixels)
    writing = Writing(force)
    if plot is not None:
        if os.path.splitext(plot)[1].lower() not in _PLOTS:
            raise opt.bad(f"{plot!r} must end in one of {', '.join(_PLOTS)}", "--plot")
        writing.check(plot)
    from kmq.image import load_image
    from kmq.profile import profile_k

    talk = Talk(quiet)
    image = load_image(Source(source, source).open())

    def steps() -> "Iterator[int]":
        with progress("fitting", len(numbers), talk) as advance:
            for number in numbers:
                yield number
                advance()

    found = profile_k(image, steps(), seed, n_init=starts, repeats=repeats)
    if plot is not None:
        _draw(plot, writing, found, log)
    if as_json:
        how = {"input": source, "seed": seed, "starts": starts, "repeats": repeats}
        rows = [asdict(row) for row in found.rows]
        print_json("kmq.profile/1", {**how, "knee": found.knee, "rows": rows})
        return
    print_columns(
        ("k", "cost", "PSNR", "iterations", "seconds", "PNG bytes"),
        [
            (
                str(row.k),
                f"{row.cost:.6g}",
                f"{row.psnr:.2f}",
                str(row.iterations),
                f"{row.seconds:.4f}",
                "-" if row.png_bytes is None else str(row.png_bytes),
            )
            for row in found.rows
        ],
    )
    if len(numbers) > 2:
        knee = found.knee
        talk.note(
            "the curve has no knee" if knee is None else f"the curve has its knee at k = {knee}"
        )


def _draw(path: str, writing: Writing, found: "KProfile", log: bool) -> None:
    """Draw cost and time against k into a file."""
    import matplotlib

    matplotlib.use("agg")
    buffer = BytesIO()
    kind = os.path.splitext(path)[1].lower().removeprefix(".")
    found.plot(log=log).savefig(buffer, format=kind, dpi=150)
    writing.write(path, buffer.getvalue())


@command(
    "bench", epilog=examples("kmq bench", "kmq bench photo.jpg -k 16,64 --slow", "kmq bench --json")
)
def bench(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="IN",
            help="A picture, or - for stdin; by default a photo that comes with scikit-learn.",
            show_default=False,
        ),
    ] = None,
    k: Annotated[
        str,
        opt.option(
            opt.COLORS,
            "Numbers of clusters, and ranges such as 4:16:4.",
            "--clusters",
            "-k",
            metavar="K,K…",
        ),
    ] = "8,16,32",
    repeats: Annotated[
        int,
        opt.option(
            opt.RUN, "Fits whose median counts, after a first one.", "--repeats", metavar="N", min=1
        ),
    ] = 5,
    slow: Annotated[
        bool, opt.option(opt.RUN, "Time programs too that take seconds a fit.", "--slow")
    ] = False,
    max_pixels: opt.MaxPixels = None,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
) -> None:
    """Time k-means beside whatever other programs are installed, on this machine.

    All get the same pixels, start and stopping rule, and the table says whose result is the same.
    """
    numbers = opt.numbers_of_colors(k)
    opt.limit_input(max_pixels)
    from kmq.bench import run

    image = None
    if source is not None:
        from kmq.image import load_image

        image = load_image(Source(source, source).open())
    tell = None if quiet or not sys.stderr.isatty() else say
    found = run(image, numbers, repeats=repeats, slow=slow, progress=tell)
    if as_json:
        print_json("kmq.bench/1", {"input": source, **asdict(found)})
        return
    from rich.console import Console

    Console().print(found.table())
