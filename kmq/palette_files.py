"""Files of palettes: how each kind is written and read.

GIMP's .gpl is a line of text a colour. Adobe's .act is a table of 256 colours, and two numbers
where fewer count; .ase is a sequence of named blocks, big-endian, with colours as floats.
"""

import json
import re
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from kmq.files import ImageReadError, ImageWriteError, StrPath, decode, name_of, opened
from kmq.palette import Palette

SCHEMA = "kmq.palette/1"
_ACT_COLORS = 256
_ASE_HEAD = b"ASEF"
_ASE_COLOR = 1
_SWATCH = (800, 100)
_MOST_PICTURE_COLORS = 1 << 16


def encode_palette(palette: Palette, path: StrPath, *, proportional: bool) -> bytes:
    """Encode a palette as the ending of a name says; see `Palette.save`."""
    ending = Path(path).suffix.lower()
    if ending == ".png":
        return _write_swatch(palette, proportional)
    if ending not in WRITERS:
        kinds = ", ".join([*WRITERS, ".png"])
        raise ImageWriteError(f"cannot write {name_of(path)}: its ending must be one of {kinds}")
    return WRITERS[ending](palette)


def _write_hex(palette: Palette) -> bytes:
    """One colour a line."""
    return "".join(f"{color}\n" for color in palette.hex).encode()


def _read_hex(data: bytes) -> Palette:
    """One colour a line, what follows it and comments after ``;`` or ``//`` aside."""
    lines = (re.split(r";|//", line)[0].split() for line in data.decode().splitlines())
    return Palette([words[0] for words in lines if words])


def _write_json(palette: Palette) -> bytes:
    """Colours with counts and fractions, as a versioned object."""
    fractions = palette.fractions
    colors = []
    for row, (name, rgb) in enumerate(zip(palette.hex, palette, strict=True)):
        entry: dict[str, object] = {"hex": name, "rgb": list(rgb)}
        if palette.counts is not None:
            entry["count"] = int(palette.counts[row])
        if fractions is not None:
            entry["fraction"] = float(fractions[row])
        colors.append(entry)
    document = {"schema": SCHEMA, "name": palette.name, "colors": colors}
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _read_json(data: bytes) -> Palette:
    """What `_write_json` writes, or a plain list of hexadecimal strings or triples."""
    document = json.loads(data)
    name = ""
    if isinstance(document, dict):
        name, document = str(document.get("name", "")), document["colors"]
    rows = [entry if isinstance(entry, dict) else {"color": entry} for entry in document]
    colors: list[Any] = [row.get("color", row.get("hex", row.get("rgb"))) for row in rows]
    counts: list[Any] = [row.get("count") for row in rows]
    return Palette(colors, None if None in counts else counts, name=name)


def _write_css(palette: Palette) -> bytes:
    """Custom properties of the root element."""
    lines = [f"  --color-{number}: {color};" for number, color in enumerate(palette.hex, 1)]
    return "\n".join([":root {", *lines, "}", ""]).encode()


def _read_css(data: bytes) -> Palette:
    """Every custom property whose value is a colour in hexadecimal digits."""
    pattern = r"--[\w-]+\s*:\s*(#(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{3}))\s*(?=[;}])"
    return Palette(re.findall(pattern, data.decode()))


def _write_gpl(palette: Palette) -> bytes:
    """GIMP's palette."""
    name = " ".join(palette.name.split()) or "kmq"
    lines = [
        f"{red:3d} {green:3d} {blue:3d}\t{color}"
        for (red, green, blue), color in zip(palette, palette.hex, strict=True)
    ]
    return "\n".join(["GIMP Palette", f"Name: {name}", "Columns: 8", "#", *lines, ""]).encode()


def _read_gpl(data: bytes) -> Palette:
    """GIMP's palette."""
    first, *lines = data.decode().splitlines()
    if first.strip() != "GIMP Palette":
        raise ValueError("the first line is not GIMP Palette")
    name = ""
    colors = []
    for line in lines:
        if line.startswith("Name:"):
            name = line[5:].strip()
        elif match := re.match(r"\s*(\d+)\s+(\d+)\s+(\d+)", line):
            colors.append([int(value) for value in match.groups()])
    return Palette(colors, name=name)


def _write_act(palette: Palette) -> bytes:
    """Adobe's colour table, with the number of colours and no transparent one."""
    if len(palette) > _ACT_COLORS:
        raise ImageWriteError(f"an .act file holds at most {_ACT_COLORS} colours")
    table = palette.colors.tobytes().ljust(3 * _ACT_COLORS, b"\0")
    return table + struct.pack(">HH", len(palette), 0xFFFF)


def _read_act(data: bytes) -> Palette:
    """Adobe's colour table."""
    if len(data) not in {3 * _ACT_COLORS, 3 * _ACT_COLORS + 4}:
        raise ValueError(f"a colour table has 768 or 772 bytes, not {len(data)}")
    count = _ACT_COLORS
    if len(data) > 3 * _ACT_COLORS:
        count = struct.unpack_from(">H", data, 3 * _ACT_COLORS)[0] or _ACT_COLORS
    return Palette(np.frombuffer(data, np.uint8, 3 * _ACT_COLORS).reshape(-1, 3)[:count])


def _write_ase(palette: Palette) -> bytes:
    """Adobe's swatch exchange: a block for each colour, global swatches in RGB."""
    blocks = []
    for name, color in zip(palette.hex, palette.colors, strict=True):
        text = (name + "\0").encode("utf-16-be")
        body = struct.pack(">H", len(name) + 1) + text + b"RGB "
        body += struct.pack(">fffH", *(color / 255.0), 0)
        blocks.append(struct.pack(">HI", _ASE_COLOR, len(body)) + body)
    return _ASE_HEAD + struct.pack(">HHI", 1, 0, len(blocks)) + b"".join(blocks)


def _read_ase(data: bytes) -> Palette:
    """Adobe's swatch exchange: its colours in RGB and grey, groups ignored."""
    if data[:4] != _ASE_HEAD or len(data) < 12:
        raise ValueError("not an Adobe swatch exchange file")
    colors = []
    at = 12
    for _ in range(struct.unpack_from(">I", data, 8)[0]):
        if at + 6 > len(data):
            raise ValueError("the file ends before its last block")
        kind, size = struct.unpack_from(">HI", data, at)
        body = data[at + 6 : at + 6 + size]
        at += 6 + size
        if kind != _ASE_COLOR:
            continue
        if len(body) < size or len(body) < 2:
            raise ValueError("the file ends inside a block")
        place = 2 + 2 * struct.unpack_from(">H", body)[0]
        model = body[place : place + 4]
        n_values = {b"RGB ": 3, b"Gray": 1}.get(model)
        if n_values is None:
            raise ValueError(f"colours of model {model!r} cannot be read, only RGB and grey")
        if len(body) < place + 4 + 4 * n_values:
            raise ValueError("the file ends inside a block")
        values = struct.unpack_from(f">{n_values}f", body, place + 4)
        colors.append([255 * value for value in (values * 3)[:3]])
    return Palette(colors)


def _write_swatch(palette: Palette, proportional: bool) -> bytes:
    """A strip of the colours as indexed PNG, each of one column at least."""
    from PIL import Image as pillow

    width, height = max(_SWATCH[0], len(palette)), _SWATCH[1]
    shares = palette.fractions if proportional else None
    if shares is None:
        shares = np.full(len(palette), 1 / len(palette))
    widths = 1 + np.floor(shares * (width - len(palette))).astype(int)
    short = width - widths.sum()
    # Whole columns: those that rounding took most from get one back.
    widths[np.argsort(widths - shares * width, kind="stable")[:short]] += 1
    row = np.repeat(np.arange(len(palette)), widths)
    buffer = BytesIO()
    if len(palette) <= 256:
        picture = pillow.fromarray(np.tile(row.astype(np.uint8), (height, 1)))
        picture.putpalette(palette.colors.tobytes())
    else:
        picture = pillow.fromarray(np.tile(palette.colors[row], (height, 1, 1)))
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def read_swatch(path: StrPath) -> Palette:
    """Colours of a picture: its palette, or all that it has; see `Palette.from_file`."""
    from kmq.engine.colors import distinct_colors

    with opened(path) as picture:
        picture.load()
        if picture.mode == "P":
            indices = np.asarray(picture).ravel()
            table = np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
            table = table[: max(int(indices.max()) + 1, 1)]
            return Palette(table, np.bincount(indices, minlength=len(table)))
        rgb = decode(picture).rgb
    found = distinct_colors(rgb.reshape(-1, 3), return_index=False)
    if len(found.colors) > _MOST_PICTURE_COLORS:
        raise ImageReadError(
            f"cannot read {name_of(path)}: {len(found.colors)} colours are no palette"
        )
    return Palette(found.colors, found.counts).sorted("population")


READERS: dict[str, Callable[[bytes], Palette]] = {
    ".txt": _read_hex,
    ".hex": _read_hex,
    ".json": _read_json,
    ".css": _read_css,
    ".gpl": _read_gpl,
    ".ase": _read_ase,
    ".act": _read_act,
}
WRITERS: dict[str, Callable[[Palette], bytes]] = {
    ".txt": _write_hex,
    ".hex": _write_hex,
    ".json": _write_json,
    ".css": _write_css,
    ".gpl": _write_gpl,
    ".ase": _write_ase,
    ".act": _write_act,
}
