"""Odd, damaged and hostile pictures: a correct result, or one line and the right exit code."""

import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image as pillow

from kmq.cli import run
from kmq.image import load_image

SHAPE = (24, 32)


@pytest.fixture
def rgb(rng):
    """A picture of three colours, none of its eight rotations equal to another."""
    matrix = np.full((*SHAPE, 3), (250, 10, 20), np.uint8)
    matrix[:10, :14] = (10, 200, 30)
    matrix[18:, 4:9] = (5, 60, 220)
    return matrix


def quantized(path, tmp_path, *options):
    """Exit code, and the pixels of what was written, if anything."""
    out = tmp_path / "out" / "result.png"
    out.parent.mkdir(exist_ok=True)
    code = run(["quantize", *options, "-k", "8", "-o", str(out), "-f", "-q", "--", str(path)])
    written = [entry.name for entry in out.parent.iterdir()]
    if code:
        assert written == []
        return code, None
    assert written == ["result.png"]
    image = load_image(out, alpha="keep")
    out.unlink()
    return code, image


def only_line(capsys):
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("kmq: error: ")
    return line


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (65535, 1), (1, 65535)])
def test_odd_sizes(size, tmp_path):
    path = tmp_path / "in.png"
    pillow.linear_gradient("L").convert("RGB").resize(size).save(path)
    code, image = quantized(path, tmp_path)
    assert code == 0
    assert image.shape == (size[1], size[0], 3)


@pytest.mark.parametrize(("ending", "most"), [("jpg", 65500), ("webp", 16383)])
def test_more_pixels_a_side_than_a_format_holds_is_6(tmp_path, capfd, ending, most):
    source = tmp_path / "in.png"
    pillow.new("RGB", (65535, 1), (9, 8, 7)).save(source)
    out = tmp_path / f"out.{ending}"
    assert run(["quantize", str(source), "-k", "2", "-q", "-o", str(out)]) == 6
    line = only_line(capfd)
    assert f"holds at most {most} pixels a side, and this picture is 65535 x 1" in line
    assert not out.exists()


def test_one_colour(tmp_path):
    path = tmp_path / "in.png"
    pillow.new("RGB", (9, 4), (7, 8, 9)).save(path)
    _, image = quantized(path, tmp_path)
    assert (image.rgb_matrix == (7, 8, 9)).all()


def test_fully_transparent(tmp_path, capsys):
    path = tmp_path / "in.png"
    pillow.new("RGBA", (9, 4)).save(path)
    _, image = quantized(path, tmp_path)
    assert (image.alpha == 0).all()
    assert run(["palette", str(path)]) == 1
    assert "no visible pixel" in only_line(capsys)
    assert run(["info", str(path)]) == 0
    assert "100.0% of the pixels transparent" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
def test_truncated_at_every_tenth_byte(kind, rgb, tmp_path, capsys):
    buffer = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 40, rgb.shape, np.uint8)
    pillow.fromarray(rgb // 2 + noise).save(buffer, kind)
    data = buffer.getvalue()
    path = tmp_path / "in"
    n_refused = 0
    stops = range(0, len(data), max(10, len(data) // 400 * 10))
    for stop in stops:
        path.write_bytes(data[:stop])
        code, image = quantized(path, tmp_path)
        if code:
            assert code == 4
            assert "cannot read" in only_line(capsys)
            n_refused += 1
        else:
            assert image.shape == (*SHAPE, 3)
    assert n_refused >= 0.8 * len(stops)


def test_a_damaged_tiff_is_one_line(rng, tmp_path):
    """libtiff writes to the file descriptor, of which only another process tells for sure."""
    pillow.fromarray(rng.integers(0, 255, (60, 60, 3), np.uint8)).save(
        tmp_path / "whole.tif", compression="tiff_lzw"
    )
    damaged = bytearray((tmp_path / "whole.tif").read_bytes())
    damaged[200:260] = b"\xff" * 60
    (tmp_path / "damaged.tif").write_bytes(damaged)
    done = subprocess.run(
        [sys.executable, "-m", "kmq", "quantize", "damaged.tif", "-k", "4", "-o", "out.png"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 4
    (line,) = done.stderr.splitlines()
    assert line.startswith("kmq: error: cannot read damaged.tif: ")
    assert not (tmp_path / "out.png").exists()


def test_a_wrong_ending_does_not_matter(rgb, tmp_path):
    path = tmp_path / "in.jpg"
    pillow.fromarray(rgb).save(path, "PNG")
    _, image = quantized(path, tmp_path)
    assert np.array_equal(image.rgb_matrix, rgb)


def bomb(width, height):
    """A PNG whose header promises more than its few bytes hold."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def test_decompression_bombs(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pillow, "MAX_IMAGE_PIXELS", pillow.MAX_IMAGE_PIXELS)
    path = tmp_path / "in.png"
    path.write_bytes(bomb(30_000, 30_000))
    assert quantized(path, tmp_path)[0] == 4
    assert "decompression bombs" in only_line(capsys)


def test_the_limit_can_be_moved(rgb, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pillow, "MAX_IMAGE_PIXELS", 100)
    path = tmp_path / "in.png"
    pillow.fromarray(rgb).save(path)
    assert quantized(path, tmp_path)[0] == 4
    n_pixels = rgb.size // 3
    command = ["quantize", str(path), "-f", "-o", str(tmp_path / "out.png")]
    for most, code in ((n_pixels, 0), (0, 0), (n_pixels - 2, 4)):
        assert run([*command, "--max-pixels", str(most)]) == code
    capsys.readouterr()


def test_sixteen_bits(tmp_path):
    path = tmp_path / "in.png"
    values = np.linspace(0, 65535, 24).round().astype(np.uint16).reshape(4, 6)
    pillow.fromarray(values).save(path)
    with pillow.open(path) as stored:
        assert stored.mode.startswith("I")
    code, image = quantized(path, tmp_path)
    assert code == 0
    assert np.abs(image.rgb_matrix[..., 0].astype(int) - values // 257).max() < 30


def test_cmyk(tmp_path):
    path = tmp_path / "in.tif"
    pillow.new("CMYK", (5, 4), (0, 255, 255, 0)).save(path)
    _, image = quantized(path, tmp_path)
    assert (image.rgb_matrix == (255, 0, 0)).all()


def test_a_palette_with_transparency(tmp_path):
    path = tmp_path / "in.png"
    picture = pillow.new("P", (6, 5), 1)
    picture.putpalette([9, 9, 9, 200, 100, 50])
    picture.paste(0, (0, 0, 3, 5))
    picture.save(path, transparency=0)
    _, image = quantized(path, tmp_path)
    assert (image.alpha[:, :3] == 0).all()
    assert (image.alpha[:, 3:] == 255).all()
    assert (image.rgb_matrix[:, 3:] == (200, 100, 50)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotations(orientation, rgb, tmp_path):
    # What a viewer has to do to the stored pixels, by the EXIF standard.
    turned = {
        1: rgb,
        2: rgb[:, ::-1],
        3: rgb[::-1, ::-1],
        4: rgb[::-1],
        5: rgb.transpose(1, 0, 2),
        6: np.rot90(rgb, -1),
        7: rgb.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(rgb),
    }[orientation]
    path = tmp_path / "in.png"
    exif = pillow.Exif()
    exif[0x0112] = orientation
    pillow.fromarray(rgb).save(path, exif=exif)
    _, image = quantized(path, tmp_path)
    assert np.array_equal(image.rgb_matrix, turned)


def test_pages_are_no_frames(rgb, tmp_path, capsys):
    path = tmp_path / "in.tif"
    pages = [pillow.fromarray(rgb), pillow.fromarray(rgb // 2)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    out = tmp_path / "out.png"
    assert run(["quantize", str(path), "-o", str(out)]) == 0
    assert "note: of 2 pages the first was taken\n" in capsys.readouterr().err
    assert np.array_equal(load_image(out).rgb_matrix, rgb)
    assert run(["quantize", str(path), "-f", "--still", "-o", str(out)]) == 0
    assert "pages" not in capsys.readouterr().err


@pytest.mark.parametrize("several", [False, True])
def test_errors_of_fitting_and_encoding_name_the_picture(several, rgb, tmp_path, capsys):
    path, out = tmp_path / "holes.png", tmp_path / "out"
    opacity = np.zeros((*SHAPE, 1), np.uint8)
    opacity[:5] = 255
    pillow.fromarray(np.dstack([rgb, opacity])).save(path)
    other = tmp_path / "long.png"
    pillow.new("RGB", (16384, 1)).save(other)
    for source, options, code, reason in (
        (path, ["-k", "1"], 1, "k must be at least 2"),
        (other, ["--format", "webp"], 6, "WEBP holds at most"),
    ):
        sources = [str(source), str(tmp_path / "none.png")] if several else [str(source)]
        assert run(["quantize", *sources, "-q", *options, "-o", f"{out}/"]) == (
            1 if several else code
        )
        lines = capsys.readouterr().err.splitlines()
        assert any(line.startswith(f"kmq: error: {source}: {reason}") for line in lines)


def test_zero_bytes_and_folders(tmp_path, capsys):
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    for name in ("empty.png", "folder.png"):
        assert quantized(tmp_path / name, tmp_path)[0] == 4
        assert name in only_line(capsys)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="this system has no such device")
def test_a_device_without_end_is_no_picture(tmp_path, capsys):
    assert run(["quantize", "/dev/zero", "-o", str(tmp_path / "x.png")]) == 4
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a Unix thing")
@pytest.mark.parametrize("command", ["quantize", "palette", "info", "report"])
def test_pipes_with_names(rgb, tmp_path, command):
    source, out = tmp_path / "in", tmp_path / "out"
    buffer = io.BytesIO()
    pillow.fromarray(rgb).save(buffer, "PNG")
    os.mkfifo(source)
    output = {"quantize": ["-q", "-o", str(out)], "report": ["-q", "-o", str(out)]}
    line = [sys.executable, "-m", "kmq", command, str(source), *output.get(command, [])]
    with subprocess.Popen(line, stdout=subprocess.PIPE) as process:
        source.write_bytes(buffer.getvalue())
        assert process.wait(60) == 0
    if command == "quantize":
        assert np.array_equal(load_image(out).rgb_matrix, rgb)
        assert out.is_file()


@pytest.mark.parametrize("name", ["-dash.png", "-", "größe 図.png", "a\nb.png", "*.png", "[x].png"])
def test_odd_names(name, rgb, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pillow.fromarray(rgb).save(tmp_path / name, "PNG")
    given = "./-" if name == "-" else name
    assert run(["quantize", "-o", "out/", "-q", "--", given]) == 0
    (out,) = (tmp_path / "out").iterdir()
    assert np.array_equal(load_image(out).rgb_matrix, rgb)
    assert run(["quantize", "-o", "out/", "--", given]) == 5
    only_line(capsys)


def test_names_that_are_no_text(rgb, tmp_path, capsys):
    path = os.fsencode(tmp_path) + b"/\xff.png"
    with open(path, "wb") as file:
        pillow.fromarray(rgb).save(file, "PNG")
    out = os.fsdecode(os.fsencode(tmp_path) + b"/\xfe.png")
    assert run(["quantize", os.fsdecode(path), "-o", out, "--json"]) == 0
    assert run(["quantize", os.fsdecode(path), "-o", out, "-q"]) == 5
    capsys.readouterr()
    assert np.array_equal(load_image(out).rgb_matrix, rgb)


def test_a_damaged_palette_file_is_4(rgb, tmp_path, capsys):
    path, colors = tmp_path / "in.png", tmp_path / "colors.ase"
    pillow.fromarray(rgb).save(path)
    colors.write_bytes(b"ASEF\0\1")
    assert run(["remap", str(path), "-p", str(colors), "-o", str(tmp_path / "out.png")]) == 4
    assert "colors.ase" in only_line(capsys)
    assert run(["palette", str(colors)]) == 4
    only_line(capsys)


def test_an_output_below_a_file_is_6(rgb, tmp_path, capsys):
    path = tmp_path / "in.png"
    pillow.fromarray(rgb).save(path)
    assert run(["quantize", str(path), "-o", f"{path}/out/"]) == 6
    only_line(capsys)


def test_more_colours_than_gif_holds_is_6(rng, tmp_path, capsys):
    path, out = tmp_path / "in.png", tmp_path / "out.gif"
    pillow.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    assert run(["quantize", str(path), "-k", "300", "-o", str(out)]) == 6
    assert "at most 256" in capsys.readouterr().err
    assert not out.exists()
