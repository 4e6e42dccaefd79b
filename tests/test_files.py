import io
import os
import stat
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow
from PIL import ImageCms

from kmq import image
from kmq.files import limit_pixels

PICTURE = Path(__file__).parents[1] / "img" / "flower.jpg"


def encoded(picture, file_format, **options):
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    buffer.seek(0)
    return buffer


class Unseekable:
    """A stream that can be read, and says nothing of where it stands."""

    def read(self, size=-1):
        return b""


def test_a_stream_that_cannot_be_looked_at_is_unreadable_like_any_other():
    closed = io.BytesIO(b"gone")
    closed.close()
    for stream in (closed, Unseekable()):
        with pytest.raises(image.ImageReadError, match="cannot read"):
            image.load_image(stream)


@pytest.mark.parametrize(
    ("mode", "file_format", "colour", "expected"),
    [
        ("1", "PNG", 1, (255, 255, 255)),
        ("L", "PNG", 77, (77, 77, 77)),
        ("LA", "PNG", (77, 255), (77, 77, 77)),
        ("LA", "PNG", (77, 0), (255, 255, 255)),
        ("RGB", "PNG", (1, 2, 3), (1, 2, 3)),
        ("RGBA", "PNG", (1, 2, 3, 255), (1, 2, 3)),
        ("RGBA", "PNG", (1, 2, 3, 0), (255, 255, 255)),
        ("RGBA", "PNG", (0, 100, 255, 51), (204, 224, 255)),
        ("RGBA", "WEBP", (1, 2, 3, 0), (255, 255, 255)),
        ("CMYK", "TIFF", (255, 0, 0, 0), (0, 255, 255)),
        ("CMYK", "JPEG", (0, 0, 0, 0), (255, 255, 255)),
        ("I;16", "PNG", 65535, (255, 255, 255)),
        ("I;16", "PNG", 32896, (128, 128, 128)),
        ("I;16", "TIFF", 257, (1, 1, 1)),
        ("I", "TIFF", 200, (200, 200, 200)),
        ("F", "TIFF", 0.5, (128, 128, 128)),
        ("F", "TIFF", 200.4, (200, 200, 200)),
    ],
)
def test_load_every_mode_as_rgb(mode, file_format, colour, expected):
    img = image.load_image(encoded(pillow.new(mode, (3, 2), colour), file_format))
    assert img.shape == (2, 3, 3)
    assert img.rgb_matrix.dtype == np.uint8
    assert img.rgb_matrix.flags.writeable
    assert {tuple(pixel) for pixel in img.rgb_vector.tolist()} == {expected}


def test_load_sixteen_bits_scaled_to_the_nearest(rng):
    grey = rng.integers(0, 65536, (9, 7)).astype(np.uint16)
    loaded = image.load_image(encoded(pillow.fromarray(grey), "PNG")).rgb_matrix
    assert np.array_equal(loaded[..., 0], np.rint(grey / 257))


def test_load_stretches_grey_values_without_a_range():
    grey = np.array([[-5.0, 0.0, np.nan, 5.0]], np.float32)
    loaded = image.load_image(encoded(pillow.fromarray(grey), "TIFF")).rgb_matrix
    assert loaded[0, :, 0].tolist() == [0, 128, 128, 255]


def test_load_transparent_palette_entry_and_transparent_grey_on_white():
    picture = pillow.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.putpixel((1, 0), 1)
    loaded = image.load_image(encoded(picture, "PNG", transparency=0))
    assert loaded.rgb_matrix.tolist() == [[[255, 255, 255], [40, 50, 60]]]

    grey = pillow.fromarray(np.array([[514, 1028]], np.uint16))
    loaded = image.load_image(encoded(grey, "PNG", transparency=514))
    assert loaded.rgb_matrix[0, :, 0].tolist() == [255, 4]


def test_load_lab():
    white = ImageCms.createProfile("sRGB")
    to_lab = ImageCms.buildTransform(white, ImageCms.createProfile("LAB"), "RGB", "LAB")
    picture = ImageCms.applyTransform(pillow.new("RGB", (2, 2), (200, 100, 50)), to_lab)
    loaded = image.load_image(encoded(picture, "TIFF")).rgb_matrix
    assert np.abs(loaded.astype(int) - (200, 100, 50)).max() <= 2


UPRIGHT = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_load_applies_exif_orientation(orientation, file_format, rng):
    stored = rng.integers(0, 256, (4, 6, 3), np.uint8)
    exif = pillow.Exif()
    exif[0x0112] = orientation
    loaded = image.load_image(encoded(pillow.fromarray(stored), file_format, exif=exif))
    assert np.array_equal(loaded.rgb_matrix, UPRIGHT[orientation](stored))


def test_load_ignores_unreadable_exif():
    file = encoded(pillow.new("RGB", (3, 2)), "JPEG", exif=b"Exif\0\0no tags at all")
    assert image.load_image(file).shape == (2, 3, 3)


def test_load_from_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    data = encoded(pillow.new("RGB", (3, 2), (9, 8, 7)), "PNG").getvalue()
    writer = threading.Thread(target=pipe.write_bytes, args=(data,))
    writer.start()
    assert image.load_image(pipe).rgb_matrix[0, 0].tolist() == [9, 8, 7]
    writer.join()


def test_load_says_what_is_wrong_in_one_line(tmp_path):
    text = tmp_path / "text.png"
    text.write_text("no picture")
    empty = tmp_path / "empty.png"
    empty.touch()
    cases = {
        tmp_path / "none.png": "no such file",
        tmp_path: "is a directory",
        text: "not an image",
        empty: "it is empty",
    }
    for path, reason in cases.items():
        with pytest.raises(image.ImageReadError) as caught:
            image.load_image(path)
        assert str(caught.value).startswith(f"cannot read {path}: {reason}")
    with pytest.raises(FileNotFoundError):
        image.load_image(tmp_path / "none.png")
    with pytest.raises(image.ImageReadError, match=r"^cannot read 'a\\nb.png': no such file$"):
        image.load_image("a\nb.png")


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "GIF", "TIFF", "BMP"])
def test_load_truncated_at_every_tenth_raises_or_reads(file_format, rng):
    data = encoded(
        pillow.fromarray(rng.integers(0, 256, (40, 30, 3), np.uint8)), file_format
    ).getvalue()
    refused = 0
    for tenth in range(10):
        try:
            img = image.load_image(io.BytesIO(data[: len(data) * tenth // 10]))
        except image.ImageReadError:
            refused += 1
        else:
            assert img.shape == (40, 30, 3)
    assert refused >= 9


def test_load_respects_pillows_limit(monkeypatch):
    monkeypatch.setattr(pillow, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(image.ImageReadError, match="limit against decompression bombs"):
        image.load_image(encoded(pillow.new("RGB", (50, 50)), "PNG"))


def test_load_keeps_running_out_of_memory_apart(monkeypatch):
    def fail(file):
        raise MemoryError

    monkeypatch.setattr(pillow, "open", fail)
    with pytest.raises(MemoryError):
        image.load_image(PICTURE)


def png_header(data):
    """Bit depth, colour type and palette length of a PNG file."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    depth, colour_type = data[24:26]
    at = data.find(b"PLTE")
    colours = struct.unpack(">I", data[at - 4 : at])[0] // 3 if at >= 0 else 0
    return depth, colour_type, colours


@pytest.mark.parametrize(
    ("k", "depth"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 4), (16, 4), (17, 8), (256, 8)]
)
def test_save_indexed_at_the_smallest_depth(gradient, tmp_path, k, depth):
    picture = image.quantize_image(gradient, k, random_state=0)
    path = tmp_path / "picture.png"
    picture.save(path)
    assert png_header(path.read_bytes()) == (depth, 3, k)
    with pillow.open(path) as stored:
        assert np.array_equal(np.array(stored), picture.indices)
    assert np.array_equal(image.load_image(path).rgb_matrix, picture.rgb_matrix)


def test_save_truecolour_above_256(gradient, tmp_path):
    picture = image.quantize_image(gradient, 257, random_state=0)
    path = tmp_path / "picture.png"
    picture.save(path)
    assert png_header(path.read_bytes()) == (8, 2, 0)
    assert np.array_equal(image.load_image(path).rgb_matrix, picture.rgb_matrix)


def test_save_to_an_open_file(picture):
    buffer = io.BytesIO()
    picture.save(buffer)
    buffer.seek(0)
    assert np.array_equal(image.load_image(buffer).rgb_matrix, picture.rgb_matrix)


def test_save_replaces_only_if_allowed(picture, tmp_path):
    path = tmp_path / "picture.png"
    path.write_text("precious")
    with pytest.raises(image.OutputExistsError, match="exists and was left as it is"):
        picture.save(path, overwrite=False)
    assert path.read_text() == "precious"
    path.chmod(0o640)
    picture.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert image.load_image(path).shape == picture.shape


def test_save_gives_the_usual_permissions(picture, tmp_path):
    path, usual = tmp_path / "picture.png", tmp_path / "usual"
    usual.touch()
    picture.save(path)
    assert path.stat().st_mode == usual.stat().st_mode


def test_save_leaves_nothing_partial(picture, tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    path.write_text("precious")

    def full_disk(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(image.ImageWriteError, match=r"picture\.png: no space left on device$"):
        picture.save(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["picture.png"]
    assert path.read_text() == "precious"


def test_save_through_a_link_and_to_a_device(picture, tmp_path):
    target, link = tmp_path / "target.png", tmp_path / "link.png"
    target.touch()
    link.symlink_to(target)
    picture.save(link)
    assert link.is_symlink()
    assert image.load_image(target).shape == picture.shape

    picture.save("/dev/null", overwrite=False)
    assert Path("/dev/null").is_char_device()


def test_save_refuses_what_it_cannot_write(picture, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "loop.png").symlink_to("loop.png")
    cases = {
        tmp_path: "it is a folder",
        tmp_path / "loop.png": "too many levels of symbolic links",
        tmp_path / "none" / "picture.png": "its folder does not exist",
        tmp_path / "file" / "picture.png": "its folder does not exist",
        tmp_path / "picture.txt": "no format is written as .txt",
    }
    for path, reason in cases.items():
        with pytest.raises(image.ImageWriteError) as caught:
            picture.save(path)
        assert str(caught.value).startswith(f"cannot write {path}: ")
        assert reason in str(caught.value)


def wide_gamut():
    """The bytes of a colour profile whose primaries are not those of sRGB: BGR order of sRGB."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.find(b"rXYZ"), profile.find(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    start = profile.find(b"s\0R\0G\0B\0")
    while start >= 0:
        profile[start : start + 8] = b"S\0w\0a\0p\0"
        start = profile.find(b"s\0R\0G\0B\0")
    return bytes(profile).replace(b"sRGB built-in", b"Swap built-in")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_load_converts_colours_to_srgb_or_keeps_their_profile(mode):
    picture = pillow.new("RGBA", (3, 2), (200, 50, 20, 128)).convert(mode)
    profile = wide_gamut()
    converted = image.load_image(encoded(picture, "PNG", icc_profile=profile), alpha="keep")
    assert np.abs(converted.rgb_matrix.astype(int) - [20, 50, 200]).max() <= 3
    assert converted.icc_profile is None
    kept = image.load_image(encoded(picture, "PNG", icc_profile=profile), alpha="keep", icc="keep")
    assert kept.icc_profile == profile
    assert np.abs(kept.rgb_matrix.astype(int) - [200, 50, 20]).max() <= 3
    if mode == "RGBA":
        assert (converted.alpha == 128).all()
        assert (kept.alpha == 128).all()

    reduced = image.quantize_image(kept, 4)
    buffer = io.BytesIO()
    reduced.save(buffer)
    buffer.seek(0)
    assert image.load_image(buffer, icc="keep").icc_profile == profile


def test_load_leaves_srgb_as_it_is(rng):
    pixels = rng.integers(0, 256, (5, 6, 3), np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    loaded = image.load_image(encoded(pillow.fromarray(pixels), "PNG", icc_profile=profile))
    assert np.array_equal(loaded.rgb_matrix, pixels)


def test_load_warns_of_a_damaged_profile(rng):
    pixels = rng.integers(0, 256, (5, 6, 3), np.uint8)
    file = encoded(pillow.fromarray(pixels), "PNG", icc_profile=b"no profile at all")
    with pytest.warns(image.ColorProfileWarning, match="was ignored"):
        loaded = image.load_image(file)
    assert np.array_equal(loaded.rgb_matrix, pixels)


def test_load_keeps_opacity_only_where_there_is_some():
    assert (
        image.load_image(encoded(pillow.new("RGBA", (3, 2), (1, 2, 3, 255)), "PNG")).alpha is None
    )
    full = encoded(pillow.new("RGBA", (3, 2), (1, 2, 3, 255)), "PNG")
    assert image.load_image(full, alpha="keep").alpha is None
    half = image.load_image(encoded(pillow.new("LA", (3, 2), (9, 77)), "PNG"), alpha="keep")
    assert half.alpha.tolist() == [[77] * 3] * 2
    assert half.rgb_matrix[0, 0].tolist() == [9, 9, 9]
    grey = pillow.fromarray(np.array([[514, 1028]], np.uint16))
    read = image.load_image(encoded(grey, "PNG", transparency=514), alpha="keep")
    assert read.alpha.tolist() == [[0, 255]]
    matted = image.load_image(
        encoded(pillow.new("RGBA", (1, 1), (0, 0, 0, 0)), "PNG"), matte=(1, 2, 3)
    )
    assert matted.rgb_matrix.tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize(
    ("ending", "mode"),
    [
        ("png", "P"),
        ("gif", "P"),
        ("tif", "P"),
        ("bmp", "P"),
        ("webp", "RGB"),
        ("ppm", "RGB"),
        ("tga", "P"),
    ],
)
def test_save_in_other_formats_without_loss(picture, tmp_path, ending, mode):
    path = tmp_path / f"picture.{ending}"
    picture.save(path)
    with pillow.open(path) as stored:
        assert stored.mode == mode
    assert np.array_equal(image.load_image(path).rgb_matrix, picture.rgb_matrix)


def test_save_with_options_and_by_format(picture, tmp_path):
    picture.save(tmp_path / "good.jpg", quality=95)
    picture.save(tmp_path / "poor.jpg", quality=10)
    assert (tmp_path / "good.jpg").stat().st_size > (tmp_path / "poor.jpg").stat().st_size
    picture.save(tmp_path / "picture.data", file_format="GIF")
    assert (tmp_path / "picture.data").read_bytes()[:3] == b"GIF"
    with pytest.raises(image.ImageWriteError, match="cannot write as JPEG"):
        picture.save(tmp_path / "bad.jpg", quality="splendid")
    assert not (tmp_path / "bad.jpg").exists()


def test_save_refuses_too_many_colours_for_gif(gradient, tmp_path):
    picture = image.quantize_image(gradient, 300, random_state=0)
    with pytest.raises(image.ImageWriteError, match="at most 256 colours"):
        picture.save(tmp_path / "picture.gif")


def test_notebooks_are_shown_the_picture(picture):
    assert picture._repr_png_()[:4] == b"\x89PNG"
    assert 'src="data:image/png;base64,' in picture._repr_html_()
    assert "50x36, 4 colours" in picture._repr_html_()
    assert np.array_equal(np.asarray(picture), picture.rgb_matrix)
    assert np.asarray(picture, np.float32).dtype == np.float32


def test_limit_against_decompression_bombs_can_be_raised(monkeypatch):
    monkeypatch.setattr(pillow, "MAX_IMAGE_PIXELS", 10)
    data = encoded(pillow.new("RGB", (50, 50)), "PNG")
    with pytest.raises(image.ImageReadError, match="limit against decompression bombs"):
        image.load_image(data)
    data.seek(0)
    limit_pixels(3000)
    assert image.load_image(data).shape == (50, 50, 3)
