"""Picture files in: any kind that Pillow reads, as 8-bit samples; and how files are written.

Importing this module costs nothing: NumPy and Pillow come with the first file.
"""

import errno
import os
import secrets
import shutil
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as PillowImage

StrPath = str | os.PathLike[str]
AlphaIn = Literal["matte", "keep"]
IccIn = Literal["convert", "keep"]
WHITE = (255, 255, 255)


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


class ColorProfileWarning(UserWarning):
    """A colour profile could not be used, so the samples were taken as they are."""


@dataclass(frozen=True)
class Decoded:
    """A picture as it was read.

    Attributes
    ----------
    rgb : (H, W, 3) uint8 array
        Red, green and blue.
    alpha : (H, W) uint8 array or None
        Opacity, where it was to be kept and is not 255 throughout.
    icc_profile : bytes or None
        The colour profile that `rgb` still needs, where it was to be kept.
    """

    rgb: "NDArray[np.uint8]"
    alpha: "NDArray[np.uint8] | None" = None
    icc_profile: bytes | None = None


def limit_pixels(most: int | None) -> None:
    """Set Pillow's limit against decompression bombs, for the whole process.

    Parameters
    ----------
    most : int or None
        Pixels above which Pillow warns; it refuses twice as many. None lifts the limit.
    """
    from PIL import Image as pillow

    pillow.MAX_IMAGE_PIXELS = most


def read_picture(
    path: StrPath | BinaryIO,
    *,
    alpha: AlphaIn = "matte",
    matte: tuple[int, int, int] = WHITE,
    icc: IccIn = "convert",
) -> Decoded:
    """Decode a picture of any kind that Pillow reads; `kmq.image.load_image` says how.

    Parameters
    ----------
    path : str, path or binary file
        The picture. Need not be seekable.
    alpha : {'matte', 'keep'}
        Whether transparency is laid on `matte` or kept.
    matte : (red, green, blue)
        0 to 255.
    icc : {'convert', 'keep'}
        Whether colours are converted to sRGB or left with their profile.

    Returns
    -------
    Decoded

    Raises
    ------
    ImageReadError
        If the file is not an image or is damaged; `ImageNotFoundError` if there is none.
    """
    with opened(path) as picture:
        picture.load()
        return decode(picture, alpha=alpha, matte=matte, icc=icc)


@contextmanager
def opened(path: StrPath | BinaryIO) -> "Iterator[PillowImage]":
    """Open a picture with Pillow; what goes wrong then is an `ImageReadError` that names it."""
    from PIL import Image as pillow

    name = name_of(path)
    try:
        if isinstance(path, str | os.PathLike):
            with open(path, "rb") as file, pillow.open(file) as picture:
                yield picture
        else:
            with pillow.open(path) as picture:
                yield picture
    except FileNotFoundError as error:
        raise ImageNotFoundError(f"cannot read {name}: no such file") from error
    except MemoryError:
        raise
    # A decoder given hostile bytes raises whatever its parsing stumbles over: SyntaxError,
    # struct.error, IndexError and more.
    except Exception as error:
        reason = "it is empty" if _is_empty(path) else reason_of(error)
        raise ImageReadError(f"cannot read {name}: {reason}") from error


def _is_empty(path: StrPath | BinaryIO) -> bool:
    """Whether a file has no bytes; of a device, a pipe or what is gone that is not known."""
    # Asked while another error is told: no second one may take its place.
    with suppress(Exception):
        if isinstance(path, str | os.PathLike):
            return os.path.isfile(path) and os.path.getsize(path) == 0
        return path.seekable() and path.seek(0, os.SEEK_END) == 0
    return False


def check_output(path: StrPath, *, overwrite: bool) -> None:
    """Raise now what `write_whole` would raise after the work is done.

    Parameters
    ----------
    path : str or path
        The file to be written.
    overwrite : bool
        Whether a file that is there already may be replaced.

    Raises
    ------
    ImageWriteError
        If the name is a folder's, or its folder does not exist; `OutputExistsError` if the file
        exists and may not be replaced.
    """
    path = Path(path)
    problem = f"cannot write {name_of(path)}: "
    if path.is_dir():
        raise ImageWriteError(problem + "it is a folder")
    if not path.parent.is_dir():
        raise ImageWriteError(problem + "its folder does not exist")
    if path.is_file() and not overwrite:
        raise OutputExistsError(f"{name_of(path)} exists and was left as it is")


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
        if target.is_symlink():  # one that leads to itself: what it leads to would be there now
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
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
        raise ImageWriteError(f"cannot write {name_of(path)}: {in_brief(error)}") from error


def decode(
    picture: "PillowImage",
    *,
    alpha: AlphaIn = "matte",
    matte: tuple[int, int, int] = WHITE,
    icc: IccIn = "convert",
) -> Decoded:
    """Turn a loaded picture into 8-bit samples; parameters as for `read_picture`."""
    import numpy as np
    from PIL import Image as pillow

    profile = picture.info.get("icc_profile")
    file_format = picture.format
    picture = _upright(picture)
    if picture.mode == "I" or picture.mode == "F" or picture.mode.startswith("I;16"):
        grey, opaque = _grey_bytes(picture, file_format)
        rgb = np.repeat(grey[..., None], 3, axis=2)
        if opaque.all():
            return Decoded(rgb)
        if alpha == "keep":
            return Decoded(rgb, np.where(opaque, np.uint8(255), np.uint8(0)))
        rgb[~opaque] = matte
        return Decoded(rgb)
    if profile and not (icc == "keep" and profile[16:20] == b"RGB "):
        picture, profile = _to_srgb(picture, profile), None
    if not picture.has_transparency_data:
        return Decoded(np.array(_in_mode(picture, "RGB")), None, profile)
    layer = _in_mode(picture, "RGBA")
    if alpha == "keep":
        rgba = np.array(layer)
        opacity = np.ascontiguousarray(rgba[..., 3])
        rgb = np.ascontiguousarray(rgba[..., :3])
        return Decoded(rgb, None if opacity.all() and opacity.min() == 255 else opacity, profile)
    ground = pillow.new("RGB", layer.size, matte)
    ground.paste(layer, mask=layer)
    return Decoded(np.array(ground), None, profile)


def _in_mode(picture: "PillowImage", mode: str) -> "PillowImage":
    """The picture in a mode; not a copy where it is in that already, as Pillow would make."""
    return picture if picture.mode == mode else picture.convert(mode)


def _to_srgb(picture: "PillowImage", profile: bytes) -> "PillowImage":
    """Convert to sRGB by a colour profile, alpha aside; warn where the profile is of no use."""
    from io import BytesIO

    from PIL import ImageCms

    original, grey = picture, picture.mode in {"L", "LA"}
    layer = None
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        layer = rgba.getchannel("A")
        picture = picture.convert("L") if grey else rgba.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return original
        if picture.mode not in {"L", "RGB", "CMYK", "LAB"}:
            picture = picture.convert("RGB")
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(picture, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        warnings.warn(
            f"the colour profile was ignored: {' '.join(str(error).split())}",
            ColorProfileWarning,
            stacklevel=2,
        )
        converted = None
    if converted is None:
        converted = picture.convert("RGB")
    if layer is not None:
        converted.putalpha(layer)
    return converted


def _upright(picture: "PillowImage") -> "PillowImage":
    """Apply the EXIF orientation; unreadable EXIF says nothing about the pixels and is ignored."""
    from PIL import ExifTags, ImageOps

    try:
        # Pillow's function copies what it does not turn.
        turned = picture.getexif().get(ExifTags.Base.Orientation, 1) != 1
        return ImageOps.exif_transpose(picture) if turned else picture
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, struct.error):
        return picture


def _grey_bytes(
    picture: "PillowImage", file_format: str | None
) -> "tuple[NDArray[np.uint8], NDArray[np.bool_]]":
    """Scale grey values of more than 8 bits to 0–255; with them, which are not transparent."""
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
    opaque = values != transparent if isinstance(transparent, int) else np.ones(grey.shape, bool)
    return grey, opaque


def name_of(path: StrPath | BinaryIO) -> str:
    """Name a file for a message of one line."""
    name = path if isinstance(path, str | os.PathLike) else getattr(path, "name", "the image")
    text = os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else str(name)
    return text if text.isprintable() and text else repr(text)


def reason_of(error: Exception) -> str:
    """Say why a file cannot be read, in a few words on one line."""
    from PIL import Image as pillow
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not an image, or of a kind that Pillow cannot read"
    if isinstance(error, pillow.DecompressionBombError):
        return "more pixels than Pillow's limit against decompression bombs allows"
    if isinstance(error, OSError) and error.strerror:
        return in_brief(error)
    return f"truncated or damaged ({in_brief(error)})"


def in_brief(error: Exception) -> str:
    """What an error says, on one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    return " ".join(str(error).split())
