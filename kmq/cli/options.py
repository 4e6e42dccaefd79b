"""Options that several commands share, and what their texts mean."""

import re
from enum import StrEnum
from typing import Annotated

import typer

_OUTPUT, _COLORS, _RUN = "Output", "Colours", "Running"


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
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|DIR|-",
        help="Where to write: a file, a folder, or - for stdout. By default beside IN, with "
        "-kmq added to the name.",
        rich_help_panel=_OUTPUT,
        show_default=False,
    ),
]
Format = Annotated[
    PictureFormat | None,
    typer.Option(
        "--format",
        help="Kind of picture to write; by default what FILE's name says, and otherwise PNG, "
        "while GIF and WebP stay what they are.",
        rich_help_panel=_OUTPUT,
        show_default=False,
    ),
]
Force = Annotated[
    bool,
    typer.Option("--force", "-f", help="Replace files that exist.", rich_help_panel=_OUTPUT),
]
SkipIfLarger = Annotated[
    bool,
    typer.Option(
        "--skip-if-larger",
        help="Write nothing where the file would not be smaller than IN (exit code 98).",
        rich_help_panel=_OUTPUT,
    ),
]
KeepProfile = Annotated[
    bool,
    typer.Option(
        "--keep-profile",
        help="Leave colours in the picture's own ICC profile and copy that, where they would "
        "be converted to sRGB.",
        rich_help_panel=_OUTPUT,
    ),
]
Still = Annotated[
    bool,
    typer.Option(
        "--still", help="Of an animation, take the first frame only.", rich_help_panel=_OUTPUT
    ),
]
Colors = Annotated[
    int | None,
    typer.Option(
        "--colors",
        "-k",
        min=1,
        help="Number of colours: 16 by default; with a target the most, 256 by default.",
        rich_help_panel=_COLORS,
        show_default=False,
    ),
]
InSpace = Annotated[
    Space,
    typer.Option(
        "--space",
        help="Colour space in which the squared error is minimised.",
        rich_help_panel=_COLORS,
    ),
]
Pins = Annotated[
    list[str] | None,
    typer.Option(
        "--pin",
        metavar="#RRGGBB",
        help="A colour that stays in the palette as it is; may be given again.",
        rich_help_panel=_COLORS,
        show_default=False,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        min=0,
        max=2**32 - 1,
        help="Seed of the start; the same gives the same.",
        rich_help_panel=_COLORS,
    ),
]
Starts = Annotated[
    int,
    typer.Option(
        "--starts",
        min=1,
        help="Starts of k-means, of which the best counts.",
        rich_help_panel=_COLORS,
    ),
]
Dithered = Annotated[
    Dither,
    typer.Option("--dither", "-d", help="How to dither.", rich_help_panel=_COLORS),
]
Strength = Annotated[
    float,
    typer.Option(
        "--strength", min=0.0, max=1.0, help="Strength of dithering.", rich_help_panel=_COLORS
    ),
]
Serpentine = Annotated[
    bool,
    typer.Option(
        "--serpentine/--raster",
        help="Dither odd rows from right to left, or all from left to right.",
        rich_help_panel=_COLORS,
    ),
]
Matte = Annotated[
    str,
    typer.Option(
        "--matte",
        metavar="#RRGGBB",
        help="The ground that --alpha matte lays partial opacity on.",
        rich_help_panel=_COLORS,
    ),
]
Recursive = Annotated[
    bool,
    typer.Option(
        "--recursive", "-r", help="Look into the folders of folders.", rich_help_panel=_RUN
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        help="Pictures to work on at once; as many as there are cores by default.",
        rich_help_panel=_RUN,
        show_default=False,
    ),
]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        "--max-pixels",
        min=0,
        help="Refuse pictures of more pixels, 0 for none; Pillow's limit against decompression "
        "bombs by default.",
        rich_help_panel=_RUN,
        show_default=False,
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print what was done as JSON.", rich_help_panel=_RUN)
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say only what fails.", rich_help_panel=_RUN)
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Say more of every picture.", rich_help_panel=_RUN),
]

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
