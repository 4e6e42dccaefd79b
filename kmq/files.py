"""Picture files: any kind in as 8-bit RGB, indexed PNG out. Pillow stops here.

Importing this module costs nothing: NumPy and Pillow come with the first file.
"""

import os
import secrets
import shutil
import struct
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as PillowImage

StrPath = str | os.PathLike[str]


class ImageError(OSError):
    """An image could not be read or written; the message is one line that names the file."""


class ImageReadError(ImageError):
    """The file is not an image, is damaged, or may not be read."""


class ImageNotFoundError(ImageReadError, FileNotFoundError):
    """There is no such file."""


class ImageWriteError(ImageError):
    """The file cannot be written."""


class OutputExistsError(ImageWriteError, FileExistsError):
    """The file is there already and was not to be replaced."""


def read_rgb(path: StrPath | BinaryIO) -> "NDArray[np.uint8]":
    """Decode a picture of any kind that Pillow reads; `kmq.image.load_image` says how.

    Parameters
    ----------
    path : str, path or binary file
        The picture. Need not be seekable.

    Returns
    -------
    (H, W, 3) uint8 array

    Raises
    ------
    ImageReadError
        If the file is not an image or is damaged; `ImageNotFoundError` if there is none.
    """
    name = _name(path)
    try:
        if isinstance(path, str | os.PathLike):
            with open(path, "rb") as file:
                return _decode(file)
        return _decode(path)
    except FileNotFoundError as error:
        raise ImageNotFoundError(f"cannot read {name}: no such file") from error
    except MemoryError:
        raise
    # A decoder given hostile bytes raises whatever its parsing stumbles over: SyntaxError,
    # struct.error, IndexError and more.
    except Exception as error:
        raise ImageReadError(f"cannot read {name}: {_reason(error)}") from error


def encode_png(palette: "NDArray[np.uint8]", indices: "NDArray[np.unsignedinteger]") -> bytes:
    """Encode as PNG: indexed at 1, 2, 4 or 8 bits, truecolour above 256 colours.

    Parameters
    ----------
    palette : (k, 3) uint8 array
        Red, green and blue of each colour.
    indices : (H, W) unsigned integer array
        Row of `palette` of every pixel; uint8 up to 256 colours.

    Returns
    -------
    bytes
    """
    from PIL import Image as pillow

    if len(palette) > 256:
        picture = pillow.fromarray(palette[indices])
    else:
        picture = pillow.fromarray(indices)
        # Pillow then writes the fewest bits that hold a palette of this length.
        picture.putpalette(palette.tobytes())
    buffer = BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def check_output(path: StrPath, *, overwrite: bool) -> None:
    """Raise now what `write_whole` would raise after the work is done.

    Parameters
    ----------
    path : str or path
        The file to be written as PNG.
    overwrite : bool
        Whether a file that is there already may be replaced.

    Raises
    ------
    ImageWriteError
        If the name has another format's ending, is a folder's, or its folder does not exist;
        `OutputExistsError` if the file exists and may not be replaced.
    """
    path = Path(path)
    problem = f"cannot write {_name(path)}: "
    if path.is_dir():
        raise ImageWriteError(problem + "it is a folder")
    if path.suffix.lower() not in {"", ".png"}:
        raise ImageWriteError(problem + "only PNG is written, so the name must end in .png")
    if not path.parent.is_dir():
        raise ImageWriteError(problem + "its folder does not exist")
    if path.is_file() and not overwrite:
        raise OutputExistsError(f"{_name(path)} exists and was left as it is")


def write_whole(path: StrPath, data: bytes) -> None:
    """Write a file so that it appears complete or not at all.

    The data go into another file of the same folder, which is then renamed. A device or a pipe is
    written to, not replaced; of a symbolic link the target is replaced.

    Parameters
    ----------
    path : str or path
        The file to write or replace.
    data : bytes
        Its content.

    Raises
    ------
    ImageWriteError
        If the file cannot be written.
    """
    target = Path(os.path.realpath(path))
    scratch = target.with_name(f".kmq-{secrets.token_hex(8)}.tmp")
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(data)
            return
        try:
            with open(scratch, "xb") as file:
                file.write(data)
            if target.exists():
                shutil.copymode(target, scratch)
            os.replace(scratch, target)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ImageWriteError(f"cannot write {_name(path)}: {_reason(error)}") from error


def _decode(file: BinaryIO) -> "NDArray[np.uint8]":
    """Decode an open file into (H, W, 3) uint8."""
    import numpy as np
    from PIL import Image as pillow

    with pillow.open(file) as opened:
        opened.load()
        picture = _upright(opened)
        if picture.mode == "I" or picture.mode == "F" or picture.mode.startswith("I;16"):
            return np.repeat(_grey_bytes(picture, opened.format)[..., None], 3, axis=2)
        if picture.has_transparency_data:
            layer = picture.convert("RGBA")
            picture = pillow.new("RGB", layer.size, "white")
            picture.paste(layer, mask=layer)
        return np.array(picture.convert("RGB"))


def _upright(picture: "PillowImage") -> "PillowImage":
    """Apply the EXIF orientation; unreadable EXIF says nothing about the pixels and is ignored."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(picture)
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, struct.error):
        return picture


def _grey_bytes(picture: "PillowImage", file_format: str | None) -> "NDArray[np.uint8]":
    """Scale grey values of more than 8 bits to 0–255, transparent ones to white."""
    import numpy as np

    values = np.asarray(picture).astype(np.float64)
    finite = np.where(np.isfinite(values), values, 0.0)
    low, high = float(finite.min()), float(finite.max())
    if picture.mode.startswith("I;16") or (picture.mode == "I" and file_format in {"PNG", "PPM"}):
        low, high = 0.0, 65535.0
    elif low >= 0:
        full_scales = (1.0, 255.0, 65535.0) if picture.mode == "F" else (255.0, 65535.0)
        fitting = [scale for scale in full_scales if high <= scale]
        if fitting:
            low, high = 0.0, fitting[0]
    grey = np.rint((finite - low) * (255.0 / ((high - low) or 1.0))).astype(np.uint8)
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return grey


def _name(path: StrPath | BinaryIO) -> str:
    """Name a file for a message of one line."""
    name = path if isinstance(path, str | os.PathLike) else getattr(path, "name", "the image")
    text = os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else str(name)
    return text if text.isprintable() and text else repr(text)


def _reason(error: Exception) -> str:
    """Say what went wrong in a few words on one line."""
    from PIL import Image as pillow
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not an image, or of a kind that Pillow cannot read"
    if isinstance(error, pillow.DecompressionBombError):
        return "more pixels than Pillow's limit against decompression bombs allows"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    return "truncated or damaged (" + " ".join(str(error).split()) + ")"
