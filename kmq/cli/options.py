"""Options that several commands share, and what their texts mean."""

import logging
import re
from collections.abc import Callable
from enum import StrEnum
from math import isfinite
from typing import Annotated, Any

import typer

OUTPUT, COLORS, RUN = "Output", "Colours", "Running"


class Dither(StrEnum):
    """Ways of dithering."""

    none = "none"
    floyd_steinberg = "floyd-steinberg"
    atkinson = "atkinson"
    sierra = "sierra"
    bayer = "bayer"


class Space(StrEnum):
    """Spaces in which the error is minimised."""

    rgb = "rgb"
    linear = "linear"
    lab = "lab"
    oklab = "oklab"


class Alpha(StrEnum):
    """What becomes of partial opacity."""

    keep = "keep"
    matte = "matte"
    threshold = "threshold"


class PlainAlpha(StrEnum):
    """What becomes of partial opacity where the palette is given."""

    threshold = "threshold"
    matte = "matte"


class PictureFormat(StrEnum):
    """Formats of pictures, by the ending of their files."""

    png = "png"
    gif = "gif"
    webp = "webp"
    tiff = "tiff"
    bmp = "bmp"


def option(panel: str, text: str, *names: str, **more: Any) -> Any:
    """An option in one of the help's panels; `more` as for `typer.Option`."""
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


def within(least: float, most: float) -> Callable[[float | None], float | None]:
    """Check of a number; a range that typer knows of would be spelt out in the help."""

    def check(value: float | None) -> float | None:
        if value is not None and not least <= value <= most:
            bounds = f"between {least} and {most}" if isfinite(most) else f"at or above {least}"
            raise typer.BadParameter(f"{value} does not lie {bounds}")
        return value

    return check


Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="IN",
        help="Pictures of any kind that Pillow reads, folders of them, patterns such as "
        "'*.jpg', or - for stdin.",
        show_default=False,
    ),
]
Input = Annotated[str, typer.Argument(metavar="IN", help="A picture, or - for stdin.")]

_WHERE = (
    "Where to write: a file, a folder, or - for stdout. By default beside IN, with -kmq added to "
    "the name."
)
_FORMAT = (
    "Kind of picture to write: png, gif, webp, tiff or bmp; by default what FILE's name says, and "
    "otherwise png, while gif and webp stay what they are."
)
_SKIP = "Write nothing where the file would not be smaller than IN (exit code 98)."
_PROFILE = (
    "Leave colours in the picture's own ICC profile and copy that, where they would be converted "
    "to sRGB."
)
Output = Annotated[str | None, option(OUTPUT, _WHERE, "--output", "-o", metavar="FILE|DIR|-")]
Format = Annotated[PictureFormat | None, option(OUTPUT, _FORMAT, "--format", metavar="KIND")]
Force = Annotated[bool, option(OUTPUT, "Replace files that exist.", "--force", "-f")]
SkipIfLarger = Annotated[bool, option(OUTPUT, _SKIP, "--skip-if-larger")]
KeepProfile = Annotated[bool, option(OUTPUT, _PROFILE, "--keep-profile")]
Still = Annotated[bool, option(OUTPUT, "Of an animation, take the first frame only.", "--still")]

_K = "Number of colours: 16 by default; with a target the most, 256 by default."
_SPACE = "Colour space in which the squared error is minimised: rgb, linear, lab or oklab."
_PIN = "A colour that stays in the palette as it is; may be given again."
_SEED = "Seed of the start; the same gives the same."
_STARTS = "Starts of k-means, of which the best counts."
_DITHER = "How to dither: none, floyd-steinberg, atkinson, sierra or bayer."
_STRENGTH = "Strength of dithering, 0 to 1."
_RASTER = "Dither every row from left to right, where odd ones would go back."
_MATTE = "The ground that --alpha matte lays partial opacity on."
Colors = Annotated[int | None, option(COLORS, _K, "--colors", "-k", metavar="N", min=1)]
InSpace = Annotated[Space, option(COLORS, _SPACE, "--space", metavar="NAME")]
Pins = Annotated[list[str] | None, option(COLORS, _PIN, "--pin", metavar="#RRGGBB")]
Seed = Annotated[int, option(COLORS, _SEED, "--seed", metavar="N", callback=within(0, 2**32 - 1))]
Starts = Annotated[int, option(COLORS, _STARTS, "--starts", metavar="N", min=1)]
Dithered = Annotated[Dither, option(COLORS, _DITHER, "--dither", "-d", metavar="HOW")]
Strength = Annotated[
    float, option(COLORS, _STRENGTH, "--strength", metavar="X", callback=within(0, 1))
]
Raster = Annotated[bool, option(COLORS, _RASTER, "--raster")]
Matte = Annotated[str, option(COLORS, _MATTE, "--matte", metavar="#RRGGBB")]

_JOBS = "Pictures to work on at once; as many as there are cores by default."
_MOST = (
    "Refuse pictures of more pixels, 0 for none; Pillow's limit against decompression bombs by "
    "default."
)
Recursive = Annotated[bool, option(RUN, "Look into the folders of folders.", "--recursive", "-r")]
Jobs = Annotated[int | None, option(RUN, _JOBS, "--jobs", "-j", metavar="N", min=1)]
MaxPixels = Annotated[int | None, option(RUN, _MOST, "--max-pixels", metavar="N", min=0)]
AsJson = Annotated[bool, option(RUN, "Print what was done as JSON.", "--json")]


def _hush(quiet: bool) -> bool:
    """Have nothing logged that is no warning."""
    if quiet:
        logging.getLogger("kmq").setLevel(logging.WARNING)
    return quiet


Quiet = Annotated[bool, option(RUN, "Say only what fails.", "--quiet", "-q", callback=_hush)]
Verbose = Annotated[bool, option(RUN, "Say more of every picture.", "--verbose", "-v")]

_COLOR = re.compile(r"#?(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{3})")


def bad(message: str, option: str) -> typer.BadParameter:
    """A usage error of an option."""
    return typer.BadParameter(message, param_hint=f"'{option}'")


def checked_color(text: str, option: str) -> str:
    """A colour such as ``#ff8000``, ``f80`` or the like."""
    if not _COLOR.fullmatch(text):
        raise bad(f"{text!r} is not a colour such as #ff8000", option)
    return text


def rgb_of(text: str, option: str) -> tuple[int, int, int]:
    """Red, green and blue of ``#rrggbb`` or ``#rgb``."""
    digits = checked_color(text, option).removeprefix("#")
    if len(digits) == 3:
        digits = "".join(digit * 2 for digit in digits)
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def numbers_of_colors(text: str) -> list[int]:
    """Numbers such as ``8,16,32``, and ranges such as ``2:64:2`` with both ends in them."""
    numbers: set[int] = set()
    for part in text.split(","):
        bounds = part.strip().split(":")
        if not 1 <= len(bounds) <= 3 or not all(re.fullmatch(r"\d{1,6}", b) for b in bounds):
            raise bad(f"{part!r} is neither a number nor a range such as 2:64:2", "-k")
        first, last, step = map(int, [bounds[0], *bounds[-1:], "1"] if len(bounds) < 3 else bounds)
        if not 1 <= first <= last or step < 1:
            raise bad(f"{part!r} holds no number of colours", "-k")
        numbers.update(range(first, last + 1, step))
    return sorted(numbers)


def limit_input(max_pixels: int | None) -> None:
    """Set the limit against decompression bombs, where one was asked for."""
    if max_pixels is not None:
        from kmq.files import limit_pixels

        # Pillow refuses what is above twice its limit.
        limit_pixels(-(-max_pixels // 2) or None)
