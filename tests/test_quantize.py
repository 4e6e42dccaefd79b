import subprocess
import sys

import numpy as np
import pytest

from kmq import colorspace, image, metrics


@pytest.fixture
def see_through(gradient):
    """`gradient` with a transparent, a half transparent and an opaque third."""
    alpha = np.full((36, 50), 255, np.uint8)
    alpha[:12] = 0
    alpha[12:24] = np.linspace(1, 254, 50).astype(np.uint8)
    return image.Image(gradient.rgb_matrix, alpha=alpha)


@pytest.mark.parametrize("space", colorspace.SPACES)
def test_each_space_is_best_in_its_own_terms(gradient, space):
    fits = {name: image.quantize_image(gradient, 12, space=name) for name in colorspace.SPACES}

    def error(picture):
        difference = colorspace.from_rgb(gradient.rgb_matrix, space) - colorspace.from_rgb(
            picture.rgb_matrix, space
        )
        return (difference**2).sum()

    own = error(fits[space])
    assert own <= 1.03 * min(map(error, fits.values()))
    # What rounding to bytes costs in this space is a few per cent of the error.
    assert fits[space].inertia == pytest.approx(own, rel=0.05)


def test_pinned_colours_stay(gradient):
    picture = image.quantize_image(gradient, 6, pinned=["#ff00ff", "#000"])
    rows = picture.palette.tolist()
    assert [255, 0, 255] in rows
    assert [0, 0, 0] in rows
    assert len(rows) == 6
    assert picture.counts[rows.index([255, 0, 255])] >= 0
    free = image.quantize_image(gradient, 6)
    assert picture.cost > free.cost
    only = image.quantize_image(gradient, 2, pinned=["#ff00ff", "#000"])
    assert sorted(only.palette.tolist()) == [[0, 0, 0], [255, 0, 255]]
    with pytest.raises(ValueError, match="3 colours are pinned, and the palette has room for 2"):
        image.quantize_image(gradient, 2, pinned=["#ff00ff", "#000", "#fff"])


def test_pinned_colours_stay_where_all_are_kept():
    img = image.Image(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    picture = image.quantize_image(img, 3, pinned=["#ffffff"])
    assert picture.palette.tolist() == [[1, 2, 3], [4, 5, 6], [255, 255, 255]]
    assert picture.counts.tolist() == [1, 1, 0]
    assert picture.cost == 0


@pytest.mark.parametrize("alpha", ["keep", "matte", "threshold"])
@pytest.mark.parametrize("dither", ["none", "sierra"])
def test_transparent_pixels_have_one_entry_and_no_part(see_through, tmp_path, alpha, dither):
    picture = image.quantize_image(see_through, 9, alpha=alpha, dither=dither)
    assert picture.palette_alpha[-1] == 0
    assert (picture.palette_alpha[:-1] > 0).all()
    assert len(picture.palette) == 9
    hidden = see_through.alpha < {"keep": 1, "matte": 1, "threshold": 128}[alpha]
    assert np.array_equal(picture.indices == 8, hidden)
    assert picture.counts[-1] == hidden.sum()
    assert picture.counts.sum() == hidden.size
    other = see_through.rgb_matrix.copy()
    other[hidden] = 77
    again = image.quantize_image(
        image.Image(other, alpha=see_through.alpha), 9, alpha=alpha, dither=dither
    )
    assert np.array_equal(again.indices, picture.indices)
    assert np.array_equal(again.palette, picture.palette)

    opaque = picture.alpha[24:]
    assert (opaque == 255).all()
    if alpha == "keep":
        assert np.abs(picture.alpha[12:24].astype(int) - see_through.alpha[12:24]).mean() < 40
    else:
        assert set(np.unique(picture.alpha)) == {0, 255}
    picture.save(tmp_path / "picture.png")
    read = image.load_image(tmp_path / "picture.png", alpha="keep")
    assert np.array_equal(read.alpha, picture.alpha)
    assert np.array_equal(read.rgb_matrix, picture.rgb_matrix)


def test_dithering_keeps_to_colours_where_none_of_them_is_opaque(rng):
    pixels = rng.integers(0, 40, (32, 32, 3), np.uint8)
    pixels[:, :16, 0] += 200
    pixels[:, 16:, 1] += 200
    alpha = np.full((32, 32), 255, np.uint8)
    # The cluster of greens is of opaque and translucent pixels, that of reds is opaque.
    alpha[::2, 16:] = 235
    img = image.Image(pixels, alpha=alpha)
    plain = image.quantize_image(img, 2, random_state=0)
    assert sorted(plain.palette_alpha) == [245, 255]
    for dither in ("floyd-steinberg", "bayer"):
        picture = image.quantize_image(img, 2, random_state=0, dither=dither)
        assert (picture.rgb_matrix[:, 16:, 1] > 150).all()
        assert picture.cost < 2 * plain.cost


def test_matte_lays_partial_opacity_on_its_ground():
    img = image.Image(
        np.array([[[0, 100, 255], [7, 7, 7]]], np.uint8), alpha=np.array([[51, 0]], np.uint8)
    )
    picture = image.quantize_image(img, 4, alpha="matte", matte=(255, 255, 255))
    assert picture.palette.tolist() == [[204, 224, 255], [0, 0, 0]]
    assert picture.palette_alpha.tolist() == [255, 0]


def test_nothing_to_see(tmp_path):
    img = image.Image(np.zeros((3, 2, 3), np.uint8), alpha=np.zeros((3, 2), np.uint8))
    picture = image.quantize_image(img, 5, dither="atkinson")
    assert (len(picture.palette), picture.cost, picture.distinct) == (1, 0, 0)
    picture.save(tmp_path / "nothing.gif")
    assert not image.load_image(tmp_path / "nothing.gif", alpha="keep").alpha.any()


def test_one_entry_cannot_show_and_hide(see_through):
    with pytest.raises(ValueError, match="k must be at least 2"):
        image.quantize_image(see_through, 1)
    with pytest.raises(ValueError, match="alpha must be one of"):
        image.quantize_image(see_through, 4, alpha="drop")


def test_psnr_target_is_met_and_one_colour_less_misses_it(gradient):
    picture = image.quantize_image(gradient, min_psnr=28)
    assert picture.psnr >= 28
    assert image.quantize_image(gradient, len(picture.palette) - 1).psnr < 28


def test_colour_difference_target_is_met_and_one_colour_less_misses_it(gradient):
    def mean_difference(picture):
        return metrics.compare(gradient.rgb_matrix, picture.rgb_matrix).delta_e_mean

    picture = image.quantize_image(gradient, max_delta_e=4)
    assert mean_difference(picture) <= 4
    assert mean_difference(image.quantize_image(gradient, len(picture.palette) - 1)) > 4


def test_missed_target_still_has_a_picture(gradient):
    with pytest.raises(image.TargetMissedError, match="3 colours do not reach") as caught:
        image.quantize_image(gradient, 3, min_psnr=60)
    assert len(caught.value.picture.palette) == 3
    with pytest.raises(TypeError, match="give k, or a target"):
        image.quantize_image(gradient)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"space": "hsv"}, "space must be one of"),
        ({"init": "best"}, "init must be"),
        ({"n_init": 0}, "n_init must be"),
    ],
)
def test_bad_arguments_are_refused(gradient, argument, message):
    with pytest.raises(ValueError, match=message):
        image.quantize_image(gradient, 4, **argument)


@pytest.mark.parametrize("k", [2, 16, 100])
def test_start_is_no_worse_than_plus_plus(gradient, k):
    ours = image.quantize_image(gradient, k)
    theirs = [
        image.quantize_image(gradient, k, seed, init="k-means++").inertia for seed in range(5)
    ]
    assert ours.inertia <= np.mean(theirs)
    again = image.quantize_image(gradient, k, 99)
    assert np.array_equal(ours.palette, again.palette)


def test_colours_that_cannot_be_told_apart_in_a_start():
    line = np.zeros((1, 600, 3), np.uint8)
    line[0, :, 0] = np.arange(600) % 256
    picture = image.quantize_image(image.Image(line), 255)
    assert len(picture.palette) in {254, 255}
    assert picture.cost < 0.02


def test_quantizing_needs_no_scikit_learn():
    code = (
        "import sys, numpy as np; from kmq.image import Image, quantize_image;"
        "quantize_image(Image(np.arange(300, dtype=np.uint8).reshape(10, 10, 3)), 4);"
        "print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "sklearn" not in loaded
    assert "PIL" not in loaded
