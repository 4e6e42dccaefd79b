"""``kmq profile``: cost and time against k."""

import os
from io import BytesIO
from typing import TYPE_CHECKING, Annotated

import typer

from kmq.cli import options as opt
from kmq.cli.app import app, examples
from kmq.cli.batch import progress
from kmq.cli.sources import Source
from kmq.cli.talk import Talk, print_columns, print_json
from kmq.cli.work import Writing

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLOTS = (".png", ".svg", ".pdf", ".jpg", ".webp")


@app.command(
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
        typer.Option(
            "--clusters",
            "-k",
            metavar="K,K…",
            help="Numbers of clusters, and ranges such as 2:64:2, both ends included.",
        ),
    ] = "2:64:2",
    plot: Annotated[
        str | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Draw the curves: .png, .svg, .pdf, .jpg or .webp.",
            rich_help_panel="Output",
            show_default=False,
        ),
    ] = None,
    seed: opt.Seed = 0,
    starts: Annotated[
        int, typer.Option("--starts", min=1, help="Starts of each fit, of which the best counts.")
    ] = 5,
    force: opt.Force = False,
    max_pixels: opt.MaxPixels = None,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
) -> None:
    """Record cost and time of k-means on a picture's pixels, against the number of clusters.

    Cost: squared distances of all pixels to their centres, summed; the centres are as fitted.
    Seconds: of one fit, all its starts together, without reading the picture.
    """
    numbers = opt.numbers_of_colors(k)
    opt.limit_input(max_pixels)
    writing = Writing(force)
    if plot is not None:
        if os.path.splitext(plot)[1].lower() not in _PLOTS:
            raise opt.bad(f"{plot!r} must end in one of {', '.join(_PLOTS)}", "--plot")
        writing.check(plot)
    from kmq.image import load_image
    from kmq.metrics import psnr
    from kmq.profile import record_k_metrics

    image = load_image(Source(source, source).open())

    def steps() -> "Iterator[int]":
        with progress("fitting", len(numbers), Talk(quiet)) as advance:
            for number in numbers:
                yield number
                advance()

    costs, times = record_k_metrics(image, steps(), seed, n_init=starts)
    n_pixels = len(image.rgb_vector)
    rows = [
        {"k": number, "cost": cost, "psnr": psnr(cost / n_pixels), "seconds": seconds}
        for number, cost, seconds in zip(numbers, costs, times, strict=True)
    ]
    if plot is not None:
        _draw(plot, writing, numbers, costs, times)
    if as_json:
        print_json("kmq.profile/1", {"input": source, "starts": starts, "seed": seed, "rows": rows})
        return
    print_columns(
        ("k", "cost", "PSNR", "seconds"),
        [
            (str(row["k"]), f"{row['cost']:.6g}", f"{row['psnr']:.2f}", f"{row['seconds']:.4f}")
            for row in rows
        ],
    )


def _draw(
    path: str, writing: Writing, numbers: list[int], costs: list[float], times: list[float]
) -> None:
    """Draw cost and time against k into a file."""
    import matplotlib

    matplotlib.use("agg")
    from kmq.profile import plot_k_metrics

    buffer = BytesIO()
    figure = plot_k_metrics(numbers, costs, times)
    figure.savefig(buffer, format=os.path.splitext(path)[1].lower().removeprefix("."), dpi=150)
    writing.write(path, buffer.getvalue())
