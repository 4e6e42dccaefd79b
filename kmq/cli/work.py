"""What `quantize` and `remap` do with one picture: read, reduce, encode, write, describe."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from kmq.cli.batch import stop_here
from kmq.cli.sources import STANDARD, Source
from kmq.cli.talk import (
    CommandError,
    as_decibels,
    as_size,
    code_of,
    collect_note,
    drop_stdout,
    sentence_of,
)
from kmq.encode import LOSSY, encode, format_of
from kmq.files import ImageWriteError, check_output, in_brief, name_of, opened, write_whole

if TYPE_CHECKING:
    from kmq.animation import Animation
    from kmq.files import IccIn
    from kmq.image import Image, IndexedImage

_ANIMATED = {"GIF", "WEBP", "PNG"}
_PAGED = {*_ANIMATED, "TIFF"}


@dataclass(frozen=True)
class Writing:
    """How outputs are written.

    Attributes
    ----------
    force : bool
        Whether files that exist are replaced.
    skip_if_larger : bool
        Whether an output is left out that would not be smaller than the input.
    file_format : str or None
        The format that was asked for, as Pillow calls it.
    still : bool
        Whether the first frame of an animation is enough.
    make_folders : bool
        Whether folders of outputs are made.
    """

    force: bool = False
    skip_if_larger: bool = False
    file_format: str | None = None
    still: bool = False
    make_folders: bool = False

    def format_for(self, output: str) -> str:
        """Name of the format of an output, as Pillow calls it."""
        if self.file_format is not None:
            return self.file_format
        if output == STANDARD:
            return "PNG"
        return format_of(output)

    def check(self, output: str) -> None:
        """Raise now what writing would raise after the work is done."""
        if output == STANDARD:
            return
        folder = os.path.dirname(output) or "."
        if self.make_folders and not os.path.exists(folder):
            return
        check_output(output, overwrite=self.force)

    def write(self, output: str, data: bytes) -> None:
        """Write a file whole, or to stdout."""
        if output == STANDARD:
            write_stdout(data)
            return
        if self.make_folders:
            make_folder(os.path.dirname(output))
        check_output(output, overwrite=self.force)
        write_whole(output, data)


@dataclass(frozen=True)
class Written:
    """A picture that was reduced and written.

    Attributes
    ----------
    summary : dict
        What JSON says of it. ``seconds`` are of finding the colours, without reading and writing.
    """

    summary: dict[str, Any]

    @property
    def is_larger(self) -> bool:
        """Whether the file is larger than what was read."""
        before = self.summary["bytes_in"]
        return before is not None and self.summary["bytes_out"] > before

    def table(self, *, palette: bool = False) -> dict[str, str]:
        """What people are told of it, with the colours if wished."""
        facts = self.summary
        size = f"{facts['width']} x {facts['height']}"
        if facts["frames"] > 1:
            size += f", {facts['frames']} frames"
        seen, transparent = self.colors
        before = "" if facts["distinct"] is None else f"{facts['distinct']} → "
        rows = {
            "size": size,
            "distinct colours": f"{before}{seen}{' and transparency' if transparent else ''}",
            "cost": f"{facts['cost']:.2f}",
            "PSNR": as_decibels(facts["psnr"]),
        }
        # There are none where the palette was given or all colours were kept.
        if facts["iterations"]:
            rows["iterations"] = str(facts["iterations"])
        rows |= {"bytes": self.bytes, "seconds": f"{facts['seconds']:.3f}"}
        if palette:
            rows["palette"] = " ".join(facts["palette"])
        return rows

    @property
    def colors(self) -> tuple[int, bool]:
        """Number of colours that pixels have, and whether some pixels are transparent."""
        pairs = zip(self.summary["palette"], self.summary["counts"], strict=True)
        used = [color for color, count in pairs if count]
        seen = [color for color in used if color[7:] != "00"]
        return len(seen), len(seen) < len(used)

    @property
    def bytes(self) -> str:
        """Bytes before and after."""
        before, after = self.summary["bytes_in"], self.summary["bytes_out"]
        if before is None:
            return as_size(after)
        return f"{as_size(before)} → {as_size(after)} ({after / before:.0%})"

    def line(self) -> str:
        """One line of a batch."""
        from kmq.image import in_words

        return f"{name_of(self.summary['output'])}: {in_words(self.colors[0])}, {self.bytes}"


Reduce = Callable[[Source], "IndexedImage"]
ReduceAnimation = Callable[[Source], "Animation"]


def reduce_picture(
    source: Source,
    output: str,
    reduce: Reduce,
    reduce_animation: ReduceAnimation,
    writing: Writing,
    stop: threading.Event,
) -> Written:
    """Read a picture, reduce it and write it, all frames of it where it is an animation.

    Parameters
    ----------
    source : Source
        What to read.
    output : str
        The file to write; ``-`` is stdout.
    reduce, reduce_animation : callable
        Read a source as a picture, or as an animation, and make it one of few colours.
    writing : Writing
        How to write.
    stop : Event
        Set when nothing more is to be written.

    Returns
    -------
    Written
    """
    stop_here(stop)
    writing.check(output)
    file_format = writing.format_for(output)
    n_frames = 1 if writing.still else frame_count(source)
    moving = n_frames > 1 and file_format in _ANIMATED
    if n_frames > 1 and not moving:
        collect_note(f"of {n_frames} frames the first was taken: {file_format} holds one")
    with _named(source):
        if moving:
            data, facts = _animation(source, reduce_animation, file_format)
        else:
            data, facts = _still(source, reduce, file_format)
    before = source.size
    if writing.skip_if_larger and before is not None and len(data) >= before:
        raise CommandError(
            f"{source.shown} was left out: {as_size(len(data))} is not smaller than "
            f"{as_size(before)}",
            CommandError.NOT_SMALLER,
        )
    stop_here(stop)
    writing.write(output, data)
    if file_format in LOSSY:
        collect_note(f"{file_format} is lossy: the file holds more colours than the palette")
    elif len(facts["palette"]) > 256:
        collect_note("an indexed file holds 256 colours; the pixels are stored in full colour")
    names = {"input": source.name, "output": output, "format": file_format}
    return Written({**names, **facts, "bytes_in": before, "bytes_out": len(data)})


@contextmanager
def _named(source: Source) -> Iterator[None]:
    """Put the picture's name before errors of what does not know it: fitting and encoding."""
    try:
        yield
    except (ImageWriteError, MemoryError, ValueError) as error:
        raise CommandError(f"{source.shown}: {sentence_of(error)}", code_of(error)) from error


def read_image(source: Source, icc: "IccIn" = "convert") -> "Image":
    """Read a picture with its transparency."""
    from kmq.image import load_image

    return load_image(source.open(), alpha="keep", icc=icc)


def frame_count(source: Source) -> int:
    """Number of frames of an animation; 1 for a still, and for kinds whose pages are no frames."""
    with opened(source.open()) as picture:
        count = int(getattr(picture, "n_frames", 1)) if picture.format in _PAGED else 1
        if count > 1 and picture.format not in _ANIMATED:
            collect_note(f"of {count} pages the first was taken")
            return 1
        return count


def _still(source: Source, reduce: Reduce, file_format: str) -> tuple[bytes, dict[str, Any]]:
    """Read, reduce and encode one picture."""
    picture = reduce(source)
    if picture.note:
        collect_note(picture.note)
    return encode(picture, file_format), _described(picture, 1)


def _animation(
    source: Source, reduce: ReduceAnimation, file_format: str
) -> tuple[bytes, dict[str, Any]]:
    """Read, reduce and encode an animation."""
    from io import BytesIO

    from kmq.metrics import psnr

    animation = reduce(source)
    frames = animation.frames
    buffer = BytesIO()
    animation.save(buffer, file_format=file_format)
    # Frames without transparent pixels lack the entry for them.
    facts = _described(max(frames, key=lambda frame: len(frame.palette)), len(frames))
    columns = zip_longest(*(frame.counts.tolist() for frame in frames), fillvalue=0)
    facts["counts"] = [sum(column) for column in columns]
    # A frame of which more is transparent counts less.
    visible = [frame.indices.size - _hidden(frame) for frame in frames]
    errors = (frame.cost * pixels for frame, pixels in zip(frames, visible, strict=True))
    facts["cost"] = sum(errors) / max(sum(visible), 1)
    facts["psnr"] = psnr(facts["cost"])
    facts["distinct"] = facts["iterations"] = None
    facts["seconds"] = sum(frame.seconds for frame in frames)
    return buffer.getvalue(), facts


def _hidden(picture: "IndexedImage") -> int:
    """Number of fully transparent pixels."""
    opacity = picture.palette_alpha
    return 0 if opacity is None else int(picture.counts[opacity == 0].sum())


def _described(picture: "IndexedImage", n_frames: int) -> dict[str, Any]:
    """What JSON says of a picture of few colours."""
    height, width, _ = picture.shape
    colors = [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in picture.palette.tolist()]
    if picture.palette_alpha is not None:
        pairs = zip(colors, picture.palette_alpha.tolist(), strict=True)
        colors = [color if alpha == 255 else f"{color}{alpha:02x}" for color, alpha in pairs]
    return {
        "width": width,
        "height": height,
        "frames": n_frames,
        "distinct": picture.distinct,
        "palette": colors,
        "counts": picture.counts.tolist(),
        "cost": picture.cost,
        "psnr": picture.psnr,
        "iterations": picture.n_iter,
        "seconds": picture.seconds,
    }


def make_folder(folder: str) -> None:
    """Make a folder, and those that it lies in."""
    try:
        os.makedirs(folder or ".", exist_ok=True)
    except OSError as error:
        raise ImageWriteError(f"cannot write into {name_of(folder)}: {in_brief(error)}") from error


def write_stdout(data: bytes) -> None:
    """Write bytes to stdout."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        drop_stdout()  # else what is still in its buffer fails once more at the end
        raise ImageWriteError(f"cannot write stdout: {in_brief(error)}") from error
