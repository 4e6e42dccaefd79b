"""``kmq quantize`` and ``kmq remap``: pictures in, pictures of few colours out."""

from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Annotated, Any

from kmq.cli import options as opt
from kmq.cli.app import command, examples
from kmq.cli.job import Job
from kmq.cli.sources import Source
from kmq.cli.talk import CommandError, Talk
from kmq.cli.work import Reduce, ReduceAnimation, Writing, read_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kmq.animation import Animation
    from kmq.files import IccIn
    from kmq.image import Image, IndexedImage
    from kmq.palette import Palette

_MOST_INDEXED = 256


@dataclass(frozen=True)
class _Laying:
    """How colours are laid on pictures, once they are found."""

    dither: str
    strength: float
    serpentine: bool
    alpha: str
    matte: tuple[int, int, int]

    def for_palette(self) -> dict[str, Any]:
        """The same for a palette that is given, whose colours are opaque."""
        return {**vars(self), "alpha": "threshold" if self.alpha == "keep" else self.alpha}


@contextmanager
def _missing(shown: str) -> "Iterator[None]":
    """Give a target that is missed its exit code, and the name of what misses it."""
    from kmq.quantize import TargetMissedError

    try:
        yield
    except TargetMissedError as error:
        message = f"{shown}: {error}; nothing was written"
        raise CommandError(message, CommandError.MISSED) from error


@command(
    "quantize",
    epilog=examples(
        "kmq quantize photo.jpg -k 16 -o photo.png",
        "kmq quantize photos/ 'more/*.jpg' -k 64 -o small/ --jobs 4",
        "kmq quantize photo.png --min-psnr 35 -d floyd-steinberg --strength 0.7 -o out.png",
        "kmq quantize frames/*.png --shared-palette -k 32 -o out/",
        "kmq quantize film.gif --max-delta-e 2 -o small.gif",
        "curl -s https://example.org/a.jpg | kmq quantize - -k 8 > a.png",
    ),
)
def quantize(
    sources: opt.Inputs,
    k: opt.Colors = None,
    output: opt.Output = None,
    min_psnr: Annotated[
        float | None,
        opt.option(
            opt.COLORS,
            "A target: the fewest colours with this PSNR, before dithering; of an animation, "
            "or with --shared-palette, of all frames or pictures together.",
            "--min-psnr",
            metavar="DB",
            callback=opt.within(0, inf),
        ),
    ] = None,
    max_delta_e: Annotated[
        float | None,
        opt.option(
            opt.COLORS,
            "A target: the fewest colours with this mean CIEDE2000 difference, likewise.",
            "--max-delta-e",
            metavar="ΔE",
            callback=opt.within(0, inf),
        ),
    ] = None,
    space: opt.InSpace = opt.Space.rgb,
    dither: opt.Dithered = opt.Dither.none,
    strength: opt.Strength = 1.0,
    raster: opt.Raster = False,
    pin: opt.Pins = None,
    shared_palette: Annotated[
        bool,
        opt.option(opt.COLORS, "Find one palette for all pictures together.", "--shared-palette"),
    ] = False,
    alpha: Annotated[
        opt.Alpha,
        opt.option(
            opt.COLORS,
            "Partial opacity: keep it, lay it on --matte, or threshold it to all or nothing.",
            "--alpha",
            metavar="HOW",
        ),
    ] = opt.Alpha.keep,
    matte: opt.Matte = "#ffffff",
    seed: opt.Seed = 0,
    starts: opt.Starts = 1,
    force: opt.Force = False,
    skip_if_larger: opt.SkipIfLarger = False,
    file_format: opt.Format = None,
    still: opt.Still = False,
    keep_profile: opt.KeepProfile = False,
    recursive: opt.Recursive = False,
    jobs: opt.Jobs = None,
    max_pixels: opt.MaxPixels = None,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> int:
    """Reduce pictures to k colours, those of exact k-means, and write them indexed.

    Animations (GIF, WebP, APNG) get one palette for all frames, and stay animated where the
    format written can hold that.

    Cost: squared error summed over red, green and blue, mean over the pixels. Seconds: of finding
    the colours, without reading and writing.
    """
    target = min_psnr is not None or max_delta_e is not None
    pins = [opt.checked_color(text, "--pin") for text in pin or []]
    k = k or (_MOST_INDEXED if target else 16)
    if len(pins) > k:
        raise opt.bad(f"{len(pins)} colours do not fit into a palette of {k}", "--pin")
    laying = _Laying(dither, strength, not raster, alpha, opt.rgb_of(matte, "--matte"))
    fitting: dict[str, Any] = {
        "random_state": seed,
        "n_init": starts,
        "space": space.value,
        "pinned": pins,
        "min_psnr": min_psnr,
        "max_delta_e": max_delta_e,
    }
    icc: IccIn = "keep" if keep_profile else "convert"

    def one(source: Source) -> "IndexedImage":
        from kmq.quantize import quantize_image

        with _missing(source.shown):
            return quantize_image(read_image(source, icc), k, **vars(laying), **fitting)

    def animated(source: Source) -> "Animation":
        from kmq.animation import quantize_animation

        with _missing(source.shown):
            return quantize_animation(source.open(), k, **laying.for_palette(), **fitting)

    job = Job(
        sources,
        output,
        Writing(force, skip_if_larger, file_format and file_format.upper(), still),
        Talk(quiet, verbose),
        schema="kmq.quantize/1",
        recursive=recursive,
        jobs=jobs,
        max_pixels=max_pixels,
        as_json=as_json,
    )
    if not shared_palette:
        return job.run(one, animated)
    how = laying.for_palette()
    seen = {"alpha": how["alpha"], "matte": how["matte"]}

    def together(images: "Iterator[Image]") -> "Palette":
        from kmq.quantize import fit_palette

        with _missing("all pictures together"):
            return fit_palette(images, k, **fitting, **seen)

    return job.run_shared(together, lambda palette: _with_palette(palette, laying))


@command(
    "remap",
    epilog=examples(
        "kmq remap photo.jpg --palette colors.gpl -o photo.png",
        "kmq remap photos/ --palette brand.hex -d atkinson -o branded/",
        "kmq remap photo.jpg --palette other.png --json > what.json",
    ),
)
def remap(
    sources: opt.Inputs,
    palette: Annotated[
        str,
        opt.option(
            opt.COLORS,
            "Hexadecimal text (.hex, .txt), .json, .css, .gpl, .ase, .act, or a picture.",
            "--palette",
            "-p",
            metavar="FILE",
        ),
    ],
    output: opt.Output = None,
    dither: opt.Dithered = opt.Dither.none,
    strength: opt.Strength = 1.0,
    raster: opt.Raster = False,
    alpha: Annotated[
        opt.PlainAlpha,
        opt.option(
            opt.COLORS,
            "Partial opacity: threshold it to all or nothing, or lay it on --matte.",
            "--alpha",
            metavar="HOW",
        ),
    ] = opt.PlainAlpha.threshold,
    matte: opt.Matte = "#ffffff",
    force: opt.Force = False,
    skip_if_larger: opt.SkipIfLarger = False,
    file_format: opt.Format = None,
    still: opt.Still = False,
    recursive: opt.Recursive = False,
    jobs: opt.Jobs = None,
    max_pixels: opt.MaxPixels = None,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> int:
    """Map pictures to the colours of a palette, each pixel to the nearest."""
    laying = _Laying(dither, strength, not raster, alpha, opt.rgb_of(matte, "--matte"))
    job = Job(
        sources,
        output,
        Writing(force, skip_if_larger, file_format and file_format.upper(), still),
        Talk(quiet, verbose),
        schema="kmq.remap/1",
        recursive=recursive,
        jobs=jobs,
        max_pixels=max_pixels,
        as_json=as_json,
    )
    from kmq.palette import Palette

    return job.run(*_with_palette(Palette.from_file(palette), laying))


def _with_palette(palette: "Palette", laying: _Laying) -> tuple[Reduce, ReduceAnimation]:
    """Ways of laying one palette on a picture and on an animation."""

    def one(source: Source) -> "IndexedImage":
        return palette.apply(read_image(source), **laying.for_palette())

    def animated(source: Source) -> "Animation":
        from kmq.animation import quantize_animation

        k = len(palette)
        return quantize_animation(source.open(), k, palette=palette, **laying.for_palette())

    return one, animated
