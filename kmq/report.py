"""A picture and its palettes as one page for the browser, which needs no network.

The page's markup, style and script lie in ``kmq/page``.
"""

import base64
import html
import json
import re
from collections.abc import Iterable
from importlib.resources import files
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from kmq import __version__
from kmq.encode import encode
from kmq.image import Image, IndexedImage
from kmq.metrics import delta_e_summary
from kmq.quantize import quantize_image
from kmq.remap import OPAQUE, VisibleColors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kmq.colorspace import Space
    from kmq.engine.dither import Dither

# Longest side of the pictures in a page: what is larger would take megabytes.
_SIDE = 1600
# Points of the cloud that every browser turns smoothly.
_POINTS = 5000


def make_report(
    img: Image,
    k_values: Iterable[int],
    random_state: int = 0,
    *,
    name: str = "",
    n_bytes: int | None = None,
    space: "Space" = "rgb",
    dither: "Dither" = "none",
    strength: float = 1.0,
    n_init: int = 1,
) -> str:
    """Make a page that compares palettes of a picture.

    Parameters
    ----------
    img : Image
        The picture.
    k_values : iterable of int
        Numbers of colours, at least one.
    random_state : int
        Seed of every fit.
    name : str
        What the page calls the picture.
    n_bytes : int or None
        Size of the picture's file, where known.
    space, dither, strength, n_init
        As for `kmq.quantize.quantize_image`.

    Returns
    -------
    str
        HTML, complete in itself: style, script and pictures are in it. Every figure is of the
        whole picture as an indexed PNG; pictures of more than 1600 pixels are shown smaller.

    Raises
    ------
    ValueError
        If an argument is out of bounds, or `k_values` is empty.
    """
    numbers = sorted(set(k_values))
    if not numbers:
        raise ValueError("a report needs at least one number of colours")
    # The first fits of a process load the compiled kernels, which is no part of their time.
    for k in {numbers[0], numbers[-1]}:
        quantize_image(img, k, random_state, max_iter=1, space=space, dither=dither)
    fits = []
    for k in numbers:
        picture = quantize_image(
            img, k, random_state, space=space, dither=dither, strength=strength, n_init=n_init
        )
        fits.append(_fit(img, picture, k))
    height, width, _ = img.shape
    colors = VisibleColors(img, "threshold", (255, 255, 255)).colors
    shown = _shown_size(img)
    data: dict[str, Any] = {
        "name": name,
        "kmq": __version__,
        "width": width,
        "height": height,
        "shown": None if shown == (width, height) else shown,
        "distinct": len(colors.colors),
        "bytes": n_bytes,
        "space": space,
        "dither": dither,
        "seed": random_state,
        "picture": _data_url(_encoded(img)),
        "cloud": _cloud(colors.colors, colors.counts),
        "fits": fits,
    }
    parts = {name: (files("kmq") / "page" / name).read_text("utf-8") for name in _PARTS}
    page = parts["report.html"]
    # Within a script element, "<" may be the start of its end.
    content = {
        "TITLE": html.escape(f"{name or 'A picture'} in few colours"),
        "STYLE": parts["report.css"],
        "SCRIPT": parts["report.js"],
        "DATA": json.dumps(data).replace("<", "\\u003c"),
    }
    return re.sub("@(TITLE|STYLE|SCRIPT|DATA)@", lambda place: content[place[1]], page)


_PARTS = ("report.html", "report.css", "report.js")


def _fit(img: Image, picture: IndexedImage, k: int) -> dict[str, Any]:
    """What the page says of one palette, and the picture in its colours."""
    data = encode(picture)
    opacity = picture.palette_alpha
    shown = np.ones(len(picture.palette), bool) if opacity is None else opacity > 0
    visible = shown[picture.indices]
    mean = p95 = 0.0
    if visible.any():
        mean, p95 = delta_e_summary(img.rgb_matrix[visible], picture.rgb_matrix[visible])
    total = max(int(picture.counts[shown].sum()), 1)
    return {
        "k": k,
        "colors": [
            {"hex": f"#{bytes(color).hex()}", "share": count / total}
            for color, count in zip(
                picture.palette[shown], picture.counts[shown].tolist(), strict=True
            )
        ],
        "cost": picture.cost,
        "psnr": picture.psnr if picture.cost else None,
        "delta_e_mean": mean,
        "delta_e_p95": p95,
        "iterations": picture.n_iter,
        "seconds": picture.seconds,
        "bytes": len(data),
        "note": picture.note,
        "picture": _data_url(data if _shown_size(img) == _size(img) else _encoded(picture)),
    }


def _size(img: Image) -> tuple[int, int]:
    """Width and height."""
    height, width, _ = img.shape
    return width, height


def _shown_size(img: Image) -> tuple[int, int]:
    """Width and height in the page."""
    width, height = _size(img)
    scale = min(1.0, _SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _encoded(img: Image) -> bytes:
    """A picture as PNG, as large as the page shows it."""
    from PIL import Image as pillow

    picture = pillow.fromarray(img.rgb_matrix)
    if img.alpha is not None:
        picture.putalpha(pillow.fromarray(img.alpha))
    if picture.size != _shown_size(img):
        picture = picture.resize(_shown_size(img), pillow.Resampling.BOX)
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _data_url(png: bytes) -> str:
    """A PNG within an address."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _cloud(colors: "NDArray[np.uint8]", counts: "NDArray[np.int64]") -> dict[str, Any]:
    """Some of the distinct colours, evenly along the Morton curve, and their shares of pixels."""
    chosen = np.linspace(0, len(colors) - 1, min(_POINTS, len(colors))).astype(int)
    share = counts[chosen] / max(counts.max(initial=0), 1)
    # The area of a point tells of its pixels, on a scale of 256 steps.
    weight = np.rint(OPAQUE * np.cbrt(share)).astype(np.uint8)
    packed = np.column_stack([colors[chosen, :3], weight])
    return {"points": base64.b64encode(packed.tobytes()).decode(), "of": len(colors)}
