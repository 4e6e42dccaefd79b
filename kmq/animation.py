"""Animations: GIF, WebP and APNG in and out, with one palette for all frames."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from kmq.files import (
    WHITE,
    ImageWriteError,
    StrPath,
    check_output,
    decode,
    in_brief,
    name_of,
    opened,
    write_whole,
)
from kmq.image import Image, IndexedImage

if TYPE_CHECKING:
    from kmq.engine.dither import Dither
    from kmq.palette import Palette
    from kmq.remap import Alpha

_DEFAULT_MS = 100.0
_FORMATS = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG", ".apng": "PNG"}


@dataclass(frozen=True)
class Frame:
    """One picture of an animation.

    Attributes
    ----------
    image : Image
        The picture as it is seen, put together with what stays from earlier frames.
    duration : float
        How long it stays, in milliseconds.
    """

    image: Image
    duration: float


@dataclass(frozen=True)
class Animation:
    """Pictures of few colours that share a palette, and their times.

    Attributes
    ----------
    frames : sequence of IndexedImage
        The pictures, of one size.
    durations : sequence of float
        How long each stays, in milliseconds.
    loop : int
        How often they are shown; 0 is for ever.
    """

    frames: Sequence[IndexedImage]
    durations: Sequence[float]
    loop: int = 0

    def save(
        self, path: StrPath | BinaryIO, *, overwrite: bool = True, file_format: str | None = None
    ) -> None:
        """Write the animation as GIF, lossless WebP or APNG.

        Parameters
        ----------
        path : str, path or binary file
            A name that ends in ``.gif``, ``.webp``, ``.png`` or ``.apng``, or a file open for
            writing.
        overwrite : bool
            Whether a file that is there already may be replaced.
        file_format : {'GIF', 'WEBP', 'PNG'}, optional
            In place of what the name says; GIF for an open file by default.

        Raises
        ------
        ImageWriteError
            If the file cannot be written, or its format holds no animation;
            `OutputExistsError` if it is there and `overwrite` is false.
        """
        if not isinstance(path, str | os.PathLike):
            path.write(self._encode(file_format or "GIF"))
            return
        check_output(path, overwrite=overwrite)
        file_format = file_format or _FORMATS.get(Path(path).suffix.lower())
        if file_format is None:
            raise ImageWriteError(
                f"cannot write {name_of(path)}: an animation is written as "
                ".gif, .webp, .png or .apng"
            )
        write_whole(path, self._encode(file_format))

    def _encode(self, file_format: str) -> bytes:
        """Encode all frames."""
        from io import BytesIO

        from kmq.encode import check_fits, to_pillow

        # Frames with transparent pixels have an entry more.
        check_fits(max(self.frames, key=lambda frame: len(frame.palette)), file_format)
        first, *rest = (to_pillow(frame, file_format) for frame in self.frames)
        options: dict[str, Any] = {"loop": self.loop}
        if file_format == "WEBP":
            options |= {"lossless": True, "quality": 100}
        elif file_format == "GIF":
            # Pillow would renumber the palette of each frame, and write one with each.
            options |= {"optimize": False}
            options |= {"disposal": 2} if self.frames[0].palette_alpha is not None else {}
            if self.loop:
                # GIF counts the repetitions after the first showing; once is no entry at all.
                options["loop"] = self.loop - 1
                if self.loop == 1:
                    del options["loop"]
        buffer = BytesIO()
        try:
            first.save(
                buffer,
                file_format,
                save_all=True,
                append_images=rest,
                duration=[round(duration) for duration in self.durations],
                **options,
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ImageWriteError(f"cannot write as {file_format}: {in_brief(error)}") from error
        return buffer.getvalue()


def read_frames(path: StrPath) -> Iterator[Frame]:
    """Read the frames of an animation one at a time; a still picture is one frame.

    Parameters
    ----------
    path : str or path
        GIF, WebP, APNG or any other kind that Pillow reads.

    Yields
    ------
    Frame
        With opacity where there is any.

    Raises
    ------
    ImageReadError
        If the file is not an image or is damaged; `ImageNotFoundError` if there is none.
    """
    with opened(path) as picture:
        for number in range(getattr(picture, "n_frames", 1)):
            picture.seek(number)
            picture.load()
            read = decode(picture, alpha="keep")
            duration = float(picture.info.get("duration") or _DEFAULT_MS)
            yield Frame(Image(read.rgb, alpha=read.alpha), duration)


def frame_count(path: StrPath) -> int:
    """Number of frames of a picture file, 1 where it is not animated.

    Parameters
    ----------
    path : str or path
        The file.

    Raises
    ------
    ImageReadError
        If the file is not an image or is damaged; `ImageNotFoundError` if there is none.
    """
    with opened(path) as picture:
        return int(getattr(picture, "n_frames", 1))


def quantize_animation(
    path: StrPath,
    k: int | None = None,
    random_state: int | np.random.RandomState | None = None,
    *,
    palette: "Palette | None" = None,
    dither: "Dither" = "none",
    strength: float = 1.0,
    serpentine: bool = True,
    alpha: "Alpha" = "threshold",
    matte: tuple[int, int, int] = WHITE,
    **options: Any,
) -> Animation:
    """Reduce an animation to one palette of `k` colours: the k-means of all its frames.

    The file is read twice, for the colours and for the frames; of these only the indices are
    kept.

    Parameters
    ----------
    path : str or path
        The animation.
    k : int, optional
        Colours wanted, the entry for transparent pixels among them. With a target (``min_psnr``,
        ``max_delta_e``), which holds for all frames together, the most that may be used.
    random_state : int, RandomState or None
        Seed of the start.
    palette : Palette, optional
        A palette to use in place of a fitted one.
    dither, strength, serpentine, alpha, matte
        As for `Palette.apply`.
    **options
        As for `kmq.quantize.fit_palette`.

    Returns
    -------
    Animation

    Raises
    ------
    ValueError
        If an argument is out of bounds, or no pixel is visible; `kmq.TargetMissedError` if `k`
        colours do not reach the target.
    ImageReadError
        If the file cannot be read.
    """
    from kmq.quantize import fit_palette

    if palette is None:
        colors = (frame.image for frame in read_frames(path))
        palette = fit_palette(colors, k, random_state, alpha=alpha, matte=matte, **options)
    frames, durations = [], []
    for frame in read_frames(path):
        frames.append(
            palette.apply(
                frame.image,
                dither=dither,
                strength=strength,
                serpentine=serpentine,
                alpha=alpha,
                matte=matte,
            )
        )
        durations.append(frame.duration)
    return Animation(frames, durations, _loop(path))


def _loop(path: StrPath) -> int:
    """How often an animation is shown; 0 is for ever."""
    with opened(path) as picture:
        loop = picture.info.get("loop")
        if picture.format == "GIF":
            return 1 if loop is None else int(loop) + 1 if loop else 0
        return int(loop or 0)
