import subprocess
import sys

import numpy as np
import pytest
from PIL import Image as pillow

from kmq import image
from kmq.model import KMeans


def test_image_holds_a_matrix_and_a_view_of_its_pixels(rng):
    matrix = rng.integers(0, 256, (4, 6, 3), np.uint8)
    img = image.Image(matrix, title="six by four")
    assert img.shape == (4, 6, 3)
    assert np.shares_memory(img.rgb_vector, img.rgb_matrix)
    assert img.rgb_vector.tolist() == [list(pixel) for row in matrix.tolist() for pixel in row]
    assert repr(img) == "<Image 'six by four' 6x4>"
    img.title = ""
    assert repr(img) == "<Image 6x4>"


def test_image_is_contiguous(rng):
    matrix = rng.integers(0, 256, (3, 6, 4), np.uint8).T
    img = image.Image(matrix)
    assert img.rgb_matrix.flags.c_contiguous
    assert np.array_equal(img.rgb_matrix, matrix)


@pytest.mark.parametrize(
    "matrix", [np.zeros((2, 2, 3)), np.zeros((2, 2), np.uint8), np.zeros((2, 2, 4), np.uint8)]
)
def test_image_refuses_other_arrays(matrix):
    with pytest.raises(ValueError, match=r"rgb_matrix must be an \(H, W, 3\) array of uint8"):
        image.Image(matrix)


def test_rgb_vector_to_image_rounds():
    vector = [[0.4, 0.6, 254.6], [-0.4, 255.4, 127.2]]
    img = image.rgb_vector_to_image(vector, (1, 2, 3))
    assert img.rgb_matrix.tolist() == [[[0, 1, 255], [0, 255, 127]]]
    assert image.rgb_vector_to_image(vector, (2, 1)).shape == (2, 1, 3)


@pytest.mark.parametrize("value", [-1, 256, np.nan])
def test_rgb_vector_to_image_refuses_values_outside_a_byte(value):
    with pytest.raises(ValueError, match="between 0 and 255"):
        image.rgb_vector_to_image([[0, value, 0]], (1, 1, 3))


@pytest.mark.parametrize("shape", [(2, 2, 3), (1, 2, 4), (6, 1)])
def test_rgb_vector_to_image_refuses_another_size(shape):
    with pytest.raises(ValueError, match="do not fill"):
        image.rgb_vector_to_image(np.zeros((2, 3)), shape)


@pytest.mark.parametrize("k", [1, 2, 7, 40, 300])
def test_quantized_image_is_consistent(gradient, k):
    before = gradient.rgb_matrix.copy()
    picture = image.quantize_image(gradient, k, random_state=3)
    assert np.array_equal(gradient.rgb_matrix, before)

    assert picture.palette.dtype == np.uint8
    assert picture.palette.shape == (k, 3)
    assert picture.indices.dtype == (np.uint8 if k <= 256 else np.uint16)
    assert picture.indices.shape == gradient.shape[:2]
    assert picture.counts.tolist() == np.bincount(picture.indices.ravel()).tolist()
    order = [
        (-count, *colour)
        for count, colour in zip(picture.counts, picture.palette.tolist(), strict=True)
    ]
    assert order == sorted(order)
    assert np.array_equal(picture.rgb_matrix, picture.palette[picture.indices])
    assert np.array_equal(picture.rgb_vector, picture.rgb_matrix.reshape(-1, 3))
    assert picture.shape == gradient.shape
    assert picture.distinct == len(np.unique(gradient.rgb_vector, axis=0))
    assert picture.note is None
    assert picture.n_iter >= 1
    assert picture.seconds > 0

    error = gradient.rgb_matrix.astype(float) - picture.rgb_matrix
    assert picture.cost == pytest.approx((error**2).sum() / (36 * 50), rel=1e-12)
    assert picture.psnr == pytest.approx(10 * np.log10(255**2 / (error**2).mean()), rel=1e-12)
    # Rounding moves each channel of a centre by at most a half.
    assert picture.inertia <= picture.cost * error.size / 3 <= picture.inertia + 0.75 * 36 * 50


def test_quantized_image_is_the_k_means_of_all_pixels(gradient):
    start = gradient.rgb_vector[[10, 400, 900, 1500, 1700]].astype(float)
    picture = image.quantize_image(gradient, 5, init=start, tol=0)
    kmeans = KMeans(5, init=start, n_init=1, tol=0).fit(gradient.rgb_vector)
    assert picture.n_iter == kmeans.n_iter_
    assert picture.inertia == pytest.approx(kmeans.inertia_, rel=1e-9)
    rounded = np.rint(kmeans.cluster_centers_)[kmeans.labels_]
    assert np.array_equal(picture.rgb_vector, rounded)


@pytest.mark.parametrize("init", ["k-means++", "random"])
def test_quantized_image_follows_its_seed(gradient, init):
    first, again, other = (
        image.quantize_image(gradient, 9, seed, init=init).palette for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("k", "note"), [(3, None), (4, "the image has only 3 colours; all are kept")]
)
def test_quantize_keeps_all_colours_if_k_allows(k, note):
    matrix = np.array([[[9, 9, 9], [1, 2, 3], [9, 9, 9], [0, 0, 255]]], np.uint8)
    picture = image.quantize_image(image.Image(matrix), k)
    assert picture.palette.tolist() == [[9, 9, 9], [0, 0, 255], [1, 2, 3]]
    assert picture.counts.tolist() == [2, 1, 1]
    assert np.array_equal(picture.rgb_matrix, matrix)
    assert (picture.cost, picture.inertia, picture.psnr) == (0, 0, np.inf)
    assert (picture.n_iter, picture.distinct, picture.note) == (0, 3, note)


def test_quantize_rounds_centres():
    matrix = np.array([[[1, 0, 0], [2, 0, 0], [2, 0, 0], [9, 9, 9]]], np.uint8)
    picture = image.quantize_image(image.Image(matrix), 2, random_state=0)
    assert picture.palette.tolist() == [[2, 0, 0], [9, 9, 9]]
    assert picture.cost == 1 / 4
    assert picture.inertia == pytest.approx(2 / 3)


def test_quantize_merges_centres_that_round_to_the_same():
    matrix = np.array([[[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]], np.uint8)
    start = np.array([[0, 0, 0], [1 / 3, 1 / 3, 1 / 3]])
    picture = image.quantize_image(image.Image(matrix), 2, init=start)
    assert picture.palette.tolist() == [[0, 0, 0]]
    assert picture.counts.tolist() == [4]
    assert picture.note == "the 2 centres round to 1 colour"


def test_quantize_refuses(gradient):
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        image.quantize_image(gradient, 0)
    with pytest.raises(TypeError):
        image.quantize_image(gradient, 2.5)
    with pytest.raises(ValueError, match="no pixels"):
        image.quantize_image(image.Image(np.zeros((0, 4, 3), np.uint8)), 2)


def test_indexed_image_repr(gradient):
    picture = image.quantize_image(gradient, 4, random_state=0)
    assert (
        repr(picture) == f"<IndexedImage '4 colours' 50x36, 4 colours, PSNR {picture.psnr:.2f} dB>"
    )
    with pytest.raises(ValueError, match="read-only"):
        picture.rgb_matrix[0, 0] = 0


def test_import_is_light():
    heavy = {"PIL", "matplotlib", "numba", "sklearn", "scipy"}
    code = "import sys, kmq.image, kmq.profile; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert heavy.isdisjoint(loaded)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"max_iter": 0}, "max_iter must be at least 1, got 0"),
        ({"tol": -1}, "tol must not be negative, got -1"),
        ({"init": np.zeros((1, 3))}, r"init must be of shape \(2, 3\), got \(1, 3\)"),
        ({"init": np.full((2, 3), np.nan)}, "init holds NaN"),
    ],
)
def test_wrong_ways_to_fit_are_named(wrong, words):
    pixels = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    with pytest.raises(ValueError, match=words):
        image.quantize_image(image.Image(pixels), 2, **wrong)


def test_an_icon_has_the_picture_alone(picture, tmp_path):
    picture.save(tmp_path / "picture.ico")
    with pillow.open(tmp_path / "picture.ico") as stored:
        assert stored.info["sizes"] == {(50, 36)}
        assert np.array_equal(np.asarray(stored.convert("RGB")), picture.rgb_matrix)
    wide = image.quantize_image(image.Image(np.zeros((1, 257, 3), np.uint8)), 1)
    with pytest.raises(image.ImageWriteError, match="ICO holds at most 256 pixels a side"):
        wide.save(tmp_path / "wide.ico")


@pytest.mark.parametrize("channels", [3, 4])
def test_an_upright_picture_is_not_copied_by_pillow(channels, rng, tmp_path, monkeypatch):
    pixels = rng.integers(0, 256, (5, 4, channels), np.uint8)
    pillow.fromarray(pixels).save(tmp_path / "picture.png")
    monkeypatch.setattr(pillow.Image, "copy", lambda picture: pytest.fail("copied"))
    loaded = image.load_image(tmp_path / "picture.png", alpha="keep")
    assert np.array_equal(loaded.rgb_matrix, pixels[..., :3])
    assert loaded.rgb_matrix.flags.writeable
