import json
import struct

import numpy as np
import pytest
from PIL import Image as pillow

from kmq import image
from kmq.palette import Palette, as_colors

COLORS = ["#102030", "#ff8000", "#00ff7f"]
KINDS = ["txt", "hex", "json", "css", "gpl", "ase", "act", "png"]


@pytest.fixture
def three():
    return Palette(COLORS, [5, 90, 5], name="three")


def test_colours_are_taken_in_any_form():
    wanted = [[16, 32, 48], [255, 128, 0]]
    for form in (
        ["#102030", "#ff8000"],
        ["102030", "FF8000"],
        wanted,
        np.array(wanted, float) + 0.3,
        np.array(wanted, np.uint8),
        Palette(wanted),
    ):
        assert as_colors(form).tolist() == wanted
    assert as_colors(["#fa0"]).tolist() == [[255, 170, 0]]


@pytest.mark.parametrize(
    "colors", [[], ["red"], ["#12345"], [[0, 0, 256]], [[0, 0]], [[0, 0, np.nan]]]
)
def test_what_is_no_palette_is_refused(colors):
    with pytest.raises(ValueError, match="colour"):
        Palette(colors)


@pytest.mark.parametrize("counts", [[1, 2], [1, 2, -1]])
def test_counts_must_fit(counts):
    with pytest.raises(ValueError, match="counts"):
        Palette(COLORS, counts)


def test_views(three):
    assert three.hex == COLORS
    assert three.fractions.tolist() == [0.05, 0.9, 0.05]
    assert Palette(COLORS).fractions is None
    assert list(three)[1] == (255, 128, 0)
    assert np.asarray(three).shape == (3, 3)
    assert repr(three) == "<Palette of 3: #102030 #ff8000 #00ff7f>"
    assert 'title="#ff8000 90.0%"' in three._repr_html_()
    assert three == Palette(COLORS, [5, 90, 5])
    assert three != Palette(COLORS)


def test_orders(three):
    assert three.sorted().hex == ["#ff8000", "#102030", "#00ff7f"]
    assert three.sorted().counts.tolist() == [90, 5, 5]
    assert three.sorted("luminance").hex == ["#102030", "#ff8000", "#00ff7f"]
    rainbow = ["#808080", "#ff0000", "#ffff00", "#00ff00", "#00ffff", "#0000ff", "#ff00ff"]
    assert Palette(rainbow[::-1]).sorted("hue").hex == rainbow
    with pytest.raises(ValueError, match="without counts"):
        Palette(COLORS).sorted("population")
    with pytest.raises(ValueError, match="by must be one of"):
        three.sorted("mood")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 3, 256])
def test_files_give_back_the_colours(tmp_path, rng, kind, k):
    colors = rng.choice(2**24, k, replace=False)
    palette = Palette([f"{color:06x}" for color in colors], rng.integers(1, 99, k))
    path = tmp_path / f"palette.{kind}"
    palette.save(path)
    assert Palette.from_file(path).hex == palette.hex


def test_json_keeps_everything(tmp_path, three):
    path = tmp_path / "palette.json"
    three.save(path)
    document = json.loads(path.read_text())
    assert document["schema"] == "kmq.palette/1"
    assert document["colors"][1] == {
        "hex": "#ff8000",
        "rgb": [255, 128, 0],
        "count": 90,
        "fraction": 0.9,
    }
    again = Palette.from_file(path)
    assert again == three
    assert again.name == "three"
    path.write_text('["#102030", [1, 2, 3]]')
    with pytest.raises(image.ImageReadError):
        Palette.from_file(path)


def test_files_look_as_their_readers_expect(tmp_path, three):
    written = {}
    for kind in ("gpl", "css", "act", "ase"):
        three.save(tmp_path / f"p.{kind}")
        written[kind] = (tmp_path / f"p.{kind}").read_bytes()
    assert written["gpl"].startswith(b"GIMP Palette\nName: three\nColumns: 8\n#\n 16  32  48\t")
    assert written["css"].decode().splitlines()[1] == "  --color-1: #102030;"
    assert len(written["act"]) == 772
    assert struct.unpack(">HH", written["act"][-4:]) == (3, 0xFFFF)
    assert written["ase"][:12] == b"ASEF" + struct.pack(">HHI", 1, 0, 3)


def test_swatch_is_in_proportion_or_even(tmp_path, three):
    path = tmp_path / "swatch.png"
    three.save(path)
    with pillow.open(path) as swatch:
        assert (swatch.size, swatch.mode) == ((800, 100), "P")
        assert np.abs(np.bincount(np.array(swatch)[0]) - [40, 720, 40]).max() <= 1
    three.save(path, proportional=False)
    with pillow.open(path) as swatch:
        assert sorted(np.bincount(np.array(swatch)[0])) == [266, 267, 267]


def test_a_picture_is_a_palette(tmp_path, picture):
    path = tmp_path / "picture.gif"
    picture.save(path)
    assert Palette.from_file(path).hex == picture.colors.hex
    pillow.fromarray(picture.rgb_matrix).save(tmp_path / "full.png")
    assert Palette.from_file(tmp_path / "full.png") == picture.colors


@pytest.mark.parametrize("kind", ["txt", "json", "css", "gpl", "ase", "act", "png"])
def test_damaged_files_are_refused_in_one_line(tmp_path, kind, three):
    path = tmp_path / f"palette.{kind}"
    three.save(path)
    data = path.read_bytes()
    for broken in (b"", b"\xff\xfe nothing of the sort", data[: len(data) * 2 // 3]):
        path.write_bytes(broken)
        # Part of a list of lines is a list of lines.
        if broken == data[: len(data) * 2 // 3] and kind in {"txt", "css", "gpl"}:
            assert len(Palette.from_file(path)) <= len(three)
            continue
        with pytest.raises(image.ImageReadError) as caught:
            Palette.from_file(path)
        assert str(caught.value).startswith(f"cannot read {path}: ")
        assert "\n" not in str(caught.value)
    with pytest.raises(image.ImageNotFoundError):
        Palette.from_file(tmp_path / f"none.{kind}")


def test_save_refuses(tmp_path, three):
    with pytest.raises(image.ImageWriteError, match="its ending must be one of"):
        three.save(tmp_path / "palette.doc")
    with pytest.raises(image.ImageWriteError, match="at most 256"):
        Palette(np.zeros((257, 3))).save(tmp_path / "palette.act")
    (tmp_path / "p.gpl").touch()
    with pytest.raises(image.OutputExistsError):
        three.save(tmp_path / "p.gpl", overwrite=False)


def test_apply_maps_each_pixel_to_the_nearest(gradient, rng):
    palette = Palette(rng.integers(0, 256, (40, 3)))
    applied = palette.apply(gradient)
    assert np.array_equal(applied.palette, palette.colors)
    wide = gradient.rgb_vector.astype(int)
    sq = ((wide[:, None] - palette.colors.astype(int)) ** 2).sum(axis=2)
    assert np.array_equal(applied.indices.ravel(), sq.argmin(axis=1))
    assert applied.cost == pytest.approx(sq.min(axis=1).mean())
    assert applied.counts.tolist() == np.bincount(applied.indices.ravel(), minlength=40).tolist()
    with pytest.raises(ValueError, match="opaque"):
        palette.apply(gradient, alpha="keep")


def test_one_palette_for_many_is_that_of_all_pixels(tmp_path, gradient, rng):
    other = image.Image(rng.integers(0, 256, (20, 50, 3), np.uint8))
    path = tmp_path / "other.png"
    pillow.fromarray(other.rgb_matrix).save(path)
    together = image.Image(np.vstack([gradient.rgb_matrix, other.rgb_matrix]))
    whole = image.quantize_image(together, 8)
    palette = image.fit_palette(iter([gradient, path]), 8)
    assert palette == whole.colors
    with pytest.raises(ValueError, match="no visible pixel"):
        image.fit_palette([], 8)


def test_one_palette_for_many_leaves_room_for_transparency(gradient, rng):
    alpha = np.full((36, 50), 255, np.uint8)
    alpha[:9] = 0
    alpha[9:12] = 200
    cut_out = image.Image(gradient.rgb_matrix, alpha=alpha)
    other = image.Image(rng.integers(0, 256, (20, 50, 3), np.uint8))
    palette = image.fit_palette([other, cut_out], 8)
    assert len(palette) == 7
    assert len(palette.apply(cut_out).palette) == 8
    assert len(image.fit_palette([other, cut_out], 8, reserve=False)) == 8
    seen = np.vstack([other.rgb_vector, cut_out.rgb_matrix[9:].reshape(-1, 3)])
    whole = image.quantize_image(image.Image(seen[np.newaxis]), 7)
    assert np.array_equal(palette.colors, whole.palette)
    with pytest.raises(ValueError, match="at least 2"):
        image.fit_palette([cut_out], 1)
    with pytest.raises(ValueError, match="opaque"):
        image.fit_palette([cut_out], 8, alpha="keep")


def test_one_palette_for_many_is_fitted_to_what_is_seen(gradient):
    faint = image.Image(gradient.rgb_matrix, alpha=np.full((36, 50), 140, np.uint8))
    laid = np.rint(gradient.rgb_matrix * (140 / 255) + 255 * (115 / 255)).astype(np.uint8)
    palette = image.fit_palette([faint], 8, alpha="matte")
    assert np.array_equal(palette.colors, image.quantize_image(image.Image(laid), 8).palette)


def test_a_target_that_many_pictures_miss(gradient):
    with pytest.raises(image.TargetMissedError, match="3 colours do not reach") as missed:
        image.fit_palette([gradient], 3, min_psnr=60)
    assert missed.value.picture is None
