import numpy as np
import pytest

from kmq import image
from kmq.engine import dither as engine
from kmq.palette import Palette

METHODS = ["floyd-steinberg", "atkinson", "sierra", "bayer"]
TAPS = {
    "floyd-steinberg": ({(0, 1): 7, (1, -1): 3, (1, 0): 5, (1, 1): 1}, 16),
    "atkinson": (
        {(0, 1): 1, (0, 2): 1, (1, -1): 1, (1, 0): 1, (1, 1): 1, (2, 0): 1},
        8,
    ),
    "sierra": (
        {(0, 1): 5, (0, 2): 3}
        | {(1, dx): share for dx, share in zip(range(-2, 3), (2, 4, 5, 4, 2), strict=True)}
        | {(2, -1): 2, (2, 0): 3, (2, 1): 2},
        32,
    ),
}


def naive(pixels, palette, method, strength, serpentine):
    """Error diffusion as the textbooks write it, in float64."""
    taps, divisor = TAPS[method]
    height, width, _ = pixels.shape
    wanted = pixels.astype(float)
    out = np.empty((height, width), int)
    for y in range(height):
        back = serpentine and y % 2
        for x in range(width)[:: -1 if back else 1]:
            value = np.clip(wanted[y, x], 0, 255)
            sq = ((np.floor(value + 0.5) - palette.astype(int)) ** 2).sum(axis=1)
            out[y, x] = sq.argmin()
            error = value - palette[out[y, x]]
            for (dy, dx), share in taps.items():
                to = x + (-dx if back else dx)
                if y + dy < height and 0 <= to < width:
                    wanted[y + dy, to] += error * share / divisor * strength
    return out


@pytest.mark.parametrize("k", [1, 2, 15, 16, 17, 64, 300])
def test_nearest_is_exact_with_ties_to_the_lowest(rng, k):
    palette = rng.integers(0, 256, (k, 3), np.uint8)
    palette[k // 2 :] = palette[: k - k // 2]
    colors = np.vstack([rng.integers(0, 256, (5000, 3), np.uint8), palette])
    sq = ((colors[:, None].astype(int) - palette) ** 2).sum(axis=2)
    assert np.array_equal(engine.map_to_palette(colors, palette), sq.argmin(axis=1))


def test_nearest_is_exact_where_a_cell_has_many_candidates(rng):
    palette = rng.integers(96, 104, (400, 3), np.uint8)
    colors = rng.integers(64, 136, (5000, 3), np.uint8)
    sq = ((colors[:, None].astype(int) - palette) ** 2).sum(axis=2)
    assert np.array_equal(engine.map_to_palette(colors, palette), sq.argmin(axis=1))


def test_lines_in_step_find_room_for_all_their_cells(monkeypatch):
    palette = np.full((1_700, 3), 128, np.uint8)
    palette[-1, 0] = 127
    corners = [(200, 60, 60), (60, 200, 60), (60, 60, 200), (200, 200, 60), (200, 60, 200)]
    pixels = np.empty((1_280, 4, 3), np.uint8)
    for band in range(10):
        pixels[band * 128 : (band + 1) * 128] = corners[band % 5]
    found = []
    for threads in (1, 2):
        monkeypatch.setattr(engine, "n_threads", lambda threads=threads: threads)
        found.append(engine.dither(pixels, palette, "sierra"))
    assert found[0].any()
    np.testing.assert_array_equal(*found)


def test_nearest_forgets_cells_when_there_is_no_more_room(rng, monkeypatch):
    monkeypatch.setattr(engine, "_MOST_TILES", 4)
    palette = np.repeat(rng.integers(0, 256, (40, 3), np.uint8), 40, axis=0)
    colors = rng.integers(0, 256, (3000, 3), np.uint8)
    sq = ((colors[:, None].astype(int) - palette) ** 2).sum(axis=2)
    assert np.array_equal(engine.map_to_palette(colors, palette), sq.argmin(axis=1))


@pytest.mark.parametrize("bands", [1, 2, 3, 5, 8, 9])
def test_lines_run_in_step_are_those_run_alone(rng, monkeypatch, bands):
    pixels = rng.integers(0, 256, (128 * bands, 9, 3), np.uint8)
    shown = rng.random(pixels.shape[:2]) < 0.8
    palette = rng.integers(0, 256, (40, 3), np.uint8)
    together = engine.dither(pixels, palette, "sierra", shown=shown)
    monkeypatch.setattr(engine, "_MOST_TILES", 4)
    monkeypatch.setattr(engine, "IN_STEP", 1)
    assert np.array_equal(engine.dither(pixels, palette, "sierra", shown=shown), together)


@pytest.mark.parametrize("method", TAPS)
@pytest.mark.parametrize("serpentine", [True, False])
@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_diffusion_is_the_textbooks(rng, method, serpentine, strength):
    pixels = np.clip(
        np.mgrid[0:24, 0:31].sum(axis=0)[..., None] * (3, 4, 2) + rng.integers(0, 9, (24, 31, 3)),
        0,
        255,
    ).astype(np.uint8)
    palette = rng.integers(0, 256, (12, 3), np.uint8)
    ours = engine.dither(pixels, palette, method, strength=strength, serpentine=serpentine)
    theirs = naive(pixels, palette, method, strength, serpentine)
    # float32 and float64 round apart once in a long while, and go on differing from there.
    assert (ours == theirs).mean() > 0.98
    assert np.array_equal(ours[:6], theirs[:6])


@pytest.mark.parametrize("width", [1, 2, 3, 5, 6, 7, 8])
@pytest.mark.parametrize("serpentine", [True, False])
def test_diffusion_is_the_textbooks_at_any_width(rng, width, serpentine):
    pixels = rng.integers(0, 256, (9, width, 3), np.uint8)
    palette = rng.integers(0, 256, (5, 3), np.uint8)
    for method in TAPS:
        ours = engine.dither(pixels, palette, method, serpentine=serpentine)
        assert np.array_equal(ours, naive(pixels, palette, method, 1.0, serpentine))


def test_diffusion_is_the_textbooks_where_cells_have_many_candidates(rng):
    palette = rng.integers(96, 112, (600, 3), np.uint8)
    pixels = rng.integers(92, 116, (12, 13, 3), np.uint8)
    ours = engine.dither(pixels, palette, "atkinson")
    theirs = naive(pixels, palette, "atkinson", 1.0, True)
    assert np.array_equal(ours, theirs)


def test_what_lies_beyond_a_picture_changes_nothing(rng):
    memory = rng.integers(0, 256, (12, 10, 3), np.uint8)
    palette = rng.integers(0, 256, (9, 3), np.uint8)
    for method in METHODS:
        whole = engine.dither(memory[:7].copy(), palette, method)
        assert np.array_equal(engine.dither(memory[:7], palette, method), whole)


@pytest.mark.parametrize("method", METHODS)
def test_dithering_keeps_the_mean_of_a_flat_ground(method):
    grey = image.Image(np.full((200, 64, 3), 90, np.uint8))
    dithered = Palette(["#000", "#fff"]).apply(grey, dither=method)
    assert np.abs(dithered.rgb_matrix.mean() - 90) < (30 if method == "atkinson" else 2)
    assert Palette(["#000", "#fff"]).apply(grey).rgb_matrix.max() == 0


@pytest.mark.parametrize("method", METHODS)
def test_no_strength_is_no_dithering(gradient, method):
    palette = Palette(image.quantize_image(gradient, 6).palette)
    plain = palette.apply(gradient)
    still = palette.apply(gradient, dither=method, strength=0)
    dithered = palette.apply(gradient, dither=method)
    assert np.array_equal(plain.rgb_matrix, still.rgb_matrix)
    assert not np.array_equal(plain.rgb_matrix, dithered.rgb_matrix)
    assert dithered.cost >= plain.cost
    error = gradient.rgb_matrix.astype(float) - dithered.rgb_matrix
    assert dithered.cost == pytest.approx((error**2).sum() / error[..., 0].size)


@pytest.mark.parametrize("method", ["floyd-steinberg", "bayer"])
def test_dithering_is_the_same_for_any_number_of_threads(rng, monkeypatch, method):
    pixels = rng.integers(0, 256, (1300, 16, 3), np.uint8)
    palette = rng.integers(0, 256, (20, 3), np.uint8)
    results = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(engine, "n_threads", lambda threads=threads: threads)
        results.append(engine.dither(pixels, palette, method))
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_hidden_pixels_pass_no_error_on():
    pixels = np.full((6, 8, 3), 100, np.uint8)
    shown = np.ones((6, 8), bool)
    shown[:, 3] = False
    loud = pixels.copy()
    loud[:, 3] = 255
    palette = np.array([[0, 0, 0], [255, 255, 255]], np.uint8)
    results = [engine.dither(p, palette, "sierra", shown=shown) for p in (pixels, loud)]
    assert np.array_equal(results[0], results[1])
    assert not results[0][:, 3].any()


def test_bad_arguments_are_refused(gradient):
    with pytest.raises(ValueError, match="dither must be one of"):
        image.quantize_image(gradient, 4, dither="random")
    with pytest.raises(ValueError, match="strength must lie between"):
        image.quantize_image(gradient, 4, dither="bayer", strength=1.5)
