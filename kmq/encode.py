"""Pictures of few colours as bytes of a file: indexed where the format can, at the fewest bits.

Importing this module costs nothing: NumPy and Pillow come with the first picture.
"""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kmq.files import WHITE, ImageWriteError, StrPath, in_brief, name_of

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    from kmq.image import IndexedImage

# Formats whose files can hold a palette and single bytes into it.
_INDEXED = {"PNG", "GIF", "TIFF", "BMP", "PCX", "TGA", "IM"}
_INDEXED_ALPHA = {"PNG", "GIF"}
_ALPHA = {"PNG", "GIF", "WEBP", "TIFF", "TGA", "ICO", "ICNS", "JPEG2000", "AVIF", "DDS", "SGI"}
_DEFAULTS: dict[str, dict[str, Any]] = {
    # Lossy coding would bring back thousands of colours.
    "WEBP": {"lossless": True, "quality": 100, "method": 4},
    "TIFF": {"compression": "tiff_adobe_deflate"},
    "JPEG": {"quality": 95, "subsampling": 0},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}
# Formats that change pixels, so that a picture in them has more colours than its palette.
LOSSY = {"JPEG", "MPO", "AVIF", "ICNS"}
_THRESHOLD = 128
# Pixels a side that formats can count.
_LONGEST = {"JPEG": 65500, "WEBP": 16383, "GIF": 65535, "ICO": 256}


def format_of(path: StrPath) -> str:
    """Name of the format, as Pillow calls it, that the ending of a file's name stands for.

    Parameters
    ----------
    path : str or path
        No ending stands for PNG.

    Raises
    ------
    ImageWriteError
        If Pillow writes no format with this ending.
    """
    from PIL import Image as pillow

    ending = Path(path).suffix.lower()
    if ending in {"", ".png", ".apng"}:
        return "PNG"
    name = pillow.registered_extensions().get(ending)
    if name is None or name not in pillow.SAVE:
        raise ImageWriteError(f"cannot write {name_of(path)}: no format is written as {ending}")
    return name


def to_pillow(picture: "IndexedImage", file_format: str = "PNG") -> "PillowImage":
    """Make a Pillow picture of the richest mode that a format can hold, no richer than needed.

    Indexed where the format has palettes; else RGB or RGBA. Where a format has no transparency
    the picture is laid on white; in GIF, where it is all or nothing, opacities below 128 are
    nothing.

    Parameters
    ----------
    picture : IndexedImage
        The picture.
    file_format : str
        As Pillow calls it.

    Returns
    -------
    PIL.Image.Image
    """
    import numpy as np
    from PIL import Image as pillow

    alpha = picture.palette_alpha
    wanted = _INDEXED if alpha is None else _INDEXED_ALPHA
    if file_format in wanted and len(picture.palette) <= 256:
        indices, palette = picture.indices, picture.palette
        transparency: bytes | int | None = None if alpha is None else alpha.tobytes()
        if alpha is not None and file_format == "GIF":
            hidden = np.flatnonzero(alpha < _THRESHOLD)
            transparency = None
            if len(hidden):
                row = np.arange(len(palette), dtype=np.uint8)
                row[hidden] = transparency = int(hidden[0])
                indices = row[indices]
        result = pillow.fromarray(indices)
        # Pillow then writes the fewest bits that hold a palette of this length.
        result.putpalette(palette.tobytes())
        if transparency is not None:
            result.info["transparency"] = transparency
        return result
    if alpha is None:
        return pillow.fromarray(picture.rgb_matrix)
    layer = pillow.fromarray(np.column_stack([picture.palette, alpha])[picture.indices])
    if file_format in _ALPHA:
        return layer
    ground = pillow.new("RGB", layer.size, WHITE)
    ground.paste(layer, mask=layer)
    return ground


def check_fits(picture: "IndexedImage", file_format: str) -> None:
    """Refuse a picture that has more pixels a side, or more colours, than a format can hold."""
    if file_format == "GIF" and len(picture.palette) > 256:
        raise ImageWriteError(
            f"GIF holds at most 256 colours, and this picture has {len(picture.palette)}"
        )
    height, width, _ = picture.shape
    longest = _LONGEST.get(file_format)
    if longest is not None and max(height, width) > longest:
        raise ImageWriteError(
            f"{file_format} holds at most {longest} pixels a side, "
            f"and this picture is {width} x {height}"
        )


def encode(picture: "IndexedImage", file_format: str = "PNG", **options: Any) -> bytes:
    """Encode a picture.

    Parameters
    ----------
    picture : IndexedImage
        The picture.
    file_format : str
        As Pillow calls it. PNG, GIF, TIFF and BMP are indexed, PNG at 1, 2, 4 or 8 bits;
        WebP is lossless. Above 256 colours, and in other formats, pixels are full colour.
    **options
        For Pillow's `save`, over the defaults of kmq.

    Returns
    -------
    bytes

    Raises
    ------
    ImageWriteError
        If the format cannot hold the picture.
    """
    check_fits(picture, file_format)
    pillow = to_pillow(picture, file_format)
    options = {**_DEFAULTS.get(file_format, {}), **options}
    if file_format == "ICO":
        # Pillow would add smaller sizes, of other colours.
        options.setdefault("sizes", [pillow.size])
    if picture.icc_profile is not None:
        options.setdefault("icc_profile", picture.icc_profile)
    buffer = BytesIO()
    try:
        pillow.save(buffer, format=file_format, **options)
    except (OSError, ValueError, KeyError, TypeError, SystemError) as error:
        raise ImageWriteError(f"cannot write as {file_format}: {in_brief(error)}") from error
    return buffer.getvalue()
