"""``kmq info`` and ``kmq compare``: what pictures are, and how far apart two are."""

from typing import Annotated, Any

import typer

from kmq.cli import options as opt
from kmq.cli.app import command, examples
from kmq.cli.batch import Batch, Outcome, attempt, tell_failure
from kmq.cli.sources import Source, find_sources
from kmq.cli.talk import Talk, as_decibels, as_size, print_json, print_table
from kmq.cli.work import read_image


@command("info", epilog=examples("kmq info photo.jpg", "kmq info photos/ --json", "kmq info"))
def info(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IN",
            help="Pictures, folders of them, patterns, or - for stdin; without any, the versions "
            "that a report of a problem should quote are printed.",
            show_default=False,
        ),
    ] = None,
    recursive: opt.Recursive = False,
    max_pixels: opt.MaxPixels = None,
    as_json: opt.AsJson = False,
) -> int:
    """Tell of pictures: format, size, colours, transparency, frames."""
    if not sources:
        _print_versions(as_json)
        return 0
    opt.limit_input(max_pixels)
    outcomes: list[Outcome[dict[str, Any]]] = []
    for source in find_sources(sources, recursive=recursive):
        outcome = attempt(source, lambda source=source: _facts(source))  # type: ignore[misc]
        outcomes.append(outcome)
        if outcome.done is None:
            tell_failure(outcome, Talk())
        elif not as_json:
            _print_facts(outcome.done, first=len(outcomes) == 1)
    if as_json:
        pictures = [outcome.done or outcome.as_json() for outcome in outcomes]
        print_json("kmq.info/1", {"pictures": pictures})
    return Batch(outcomes).code


def _print_versions(as_json: bool) -> None:
    """Print what runs here."""
    from kmq.about import show_versions

    if not as_json:
        show_versions()
        return
    from contextlib import redirect_stdout
    from io import StringIO

    lines = StringIO()
    with redirect_stdout(lines):
        show_versions()
    pairs = (line.split(": ", 1) for line in lines.getvalue().splitlines())
    print_json("kmq.versions/1", {"versions": {name.strip(): value for name, value in pairs}})


def _facts(source: Source) -> dict[str, Any]:
    """What a file holds, and the distinct colours of its first frame."""
    from kmq.files import opened
    from kmq.remap import VisibleColors

    with opened(source.open()) as picture:
        palette = picture.getpalette("RGB") if picture.mode == "P" else None
        facts: dict[str, Any] = {
            "input": source.name,
            "format": picture.format,
            "mode": picture.mode,
            "frames": int(getattr(picture, "n_frames", 1)),
            "orientation": int(picture.getexif().get(0x0112, 1)),
            "icc_profile": bool(picture.info.get("icc_profile")),
            "palette_entries": None if palette is None else len(palette) // 3,
            "bytes": source.size,
        }
    image = read_image(source)
    alpha = image.alpha
    colors = VisibleColors(image, "threshold", (255, 255, 255)).colors.colors
    facts |= {
        "width": image.shape[1],
        "height": image.shape[0],
        "colors": len(colors),
        "transparent": 0.0 if alpha is None else float((alpha == 0).mean()),
        "translucent": 0.0 if alpha is None else float(((alpha > 0) & (alpha < 255)).mean()),
    }
    return facts


def _print_facts(facts: dict[str, Any], *, first: bool) -> None:
    """Print what a file holds, for people."""
    rows = {
        "format": f"{facts['format']}, mode {facts['mode']}",
        "size": f"{facts['width']} x {facts['height']}",
        "distinct colours": str(facts["colors"]),
    }
    if facts["bytes"] is not None:
        rows["bytes"] = f"{facts['bytes']} ({as_size(facts['bytes'])})"
    if facts["palette_entries"] is not None:
        rows["palette"] = f"{facts['palette_entries']} entries"
    if facts["frames"] > 1:
        rows["frames"] = str(facts["frames"])
    if facts["transparent"] or facts["translucent"]:
        rows["transparency"] = (
            f"{facts['transparent']:.1%} of the pixels transparent, "
            f"{facts['translucent']:.1%} translucent"
        )
    if facts["orientation"] != 1:
        rows["EXIF orientation"] = f"{facts['orientation']}, applied"
    if facts["icc_profile"]:
        rows["colour profile"] = "ICC, converted to sRGB"
    source = Source(facts["input"], "")
    if not first:
        print()
    print(source.shown)
    print_table(rows)


@command(
    "compare",
    epilog=examples("kmq compare photo.jpg photo.png", "kmq compare photo.jpg photo.png --json"),
)
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="The original, or - for stdin.")],
    second: Annotated[str, typer.Argument(metavar="B", help="What it became, of the same size.")],
    max_pixels: opt.MaxPixels = None,
    as_json: opt.AsJson = False,
) -> None:
    """Tell how far two pictures are apart: PSNR, SSIM, CIEDE2000 and bytes.

    Transparency is laid on white. SSIM is of luma. ΔE2000 is the mean over the pixels and the
    95th percentile.
    """
    from kmq.image import load_image
    from kmq.metrics import compare as measure

    opt.limit_input(max_pixels)
    pair = [Source(name, name) for name in (first, second)]
    if first == second == "-":
        raise opt.bad("only one of two pictures can come from stdin", "A B")
    matrices = [load_image(source.open()).rgb_matrix for source in pair]
    found = measure(*matrices)
    sizes = [source.size for source in pair]
    if as_json:
        print_json(
            "kmq.compare/1",
            {
                "inputs": [first, second],
                "cost": found.cost,
                "psnr": found.psnr,
                "ssim": found.ssim,
                "delta_e_mean": found.delta_e_mean,
                "delta_e_p95": found.delta_e_p95,
                "bytes": sizes,
            },
        )
        return
    rows = {
        "cost": f"{found.cost:.3f}",
        "PSNR": as_decibels(found.psnr),
        "SSIM": f"{found.ssim:.5f}",
        "ΔE2000 mean": f"{found.delta_e_mean:.3f}",
        "ΔE2000 p95": f"{found.delta_e_p95:.3f}",
    }
    before, after = sizes
    if before and after is not None:
        rows["bytes"] = f"{before} → {after} ({after / before:.1%})"
    print_table(rows)
