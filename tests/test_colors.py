"""Distinct colours of pixels: `kmq.engine.colors`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmq.engine.colors import distinct_colors


def morton(color: np.ndarray) -> int:
    """Interleave the bits of a colour's channels, the first channel highest."""
    d = len(color)
    return sum(
        (int(color[f]) >> bit & 1) << (bit * d + d - 1 - f) for f in range(d) for bit in range(8)
    )


@st.composite
def pixel_arrays(draw: st.DrawFn) -> np.ndarray:
    d = draw(st.integers(1, 4))
    n = draw(st.integers(1, 300))
    high = draw(st.sampled_from([0, 1, 7, 255]))
    seed = draw(st.integers(0, 2**32 - 1))
    pixels = np.random.default_rng(seed).integers(0, high, (n, d), np.uint8, endpoint=True)
    return 255 - pixels if draw(st.booleans()) else pixels


@settings(deadline=None, max_examples=60)
@given(pixel_arrays())
def test_equals_numpy_unique(pixels: np.ndarray) -> None:
    colors, counts = np.unique(pixels, axis=0, return_counts=True)
    found = distinct_colors(pixels)
    order = np.lexsort(found.colors.T[::-1])
    np.testing.assert_array_equal(found.colors[order], colors)
    np.testing.assert_array_equal(found.counts[order], counts)
    np.testing.assert_array_equal(found.colors[found.index], pixels)
    codes = [morton(color) for color in found.colors]
    assert codes == sorted(codes)


@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_large_arrays_are_shared_out_between_threads(d: int, rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 40, (200_001, d), np.uint8)
    found = distinct_colors(pixels)
    np.testing.assert_array_equal(found.colors[found.index], pixels)
    np.testing.assert_array_equal(np.bincount(found.index), found.counts)
    without = distinct_colors(pixels, return_index=False)
    assert without.index is None
    np.testing.assert_array_equal(without.colors, found.colors)
    np.testing.assert_array_equal(without.counts, found.counts)


def test_any_order_of_pixels_gives_the_same_colors(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (50_000, 3), np.uint8)
    found, shuffled = distinct_colors(pixels), distinct_colors(rng.permutation(pixels))
    np.testing.assert_array_equal(found.colors, shuffled.colors)
    np.testing.assert_array_equal(found.counts, shuffled.counts)


def test_strided_and_read_only_pixels(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 9, (4_000, 3), np.uint8)
    frozen = pixels.copy()
    frozen.flags.writeable = False
    expected = distinct_colors(pixels)
    for other in (frozen, np.asfortranarray(pixels), np.repeat(pixels, 2, axis=0)[::2]):
        np.testing.assert_array_equal(distinct_colors(other).index, expected.index)


def test_spread_gives_each_pixel_the_value_of_its_color(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 12, (150_000, 3), np.uint8)
    found = distinct_colors(pixels)
    values = rng.integers(0, 1000, len(found.colors)).astype(np.int32)
    np.testing.assert_array_equal(found.spread(values), values[found.index])


@pytest.mark.parametrize("d", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_look_up_needs_no_index(d: int, dtype: type, rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 30, (150_000, d), np.uint8)
    found = distinct_colors(pixels, return_index=False)
    values = rng.integers(0, 200, len(found.colors)).astype(dtype)
    looked_up = found.look_up(pixels, values)
    assert looked_up.dtype == dtype
    np.testing.assert_array_equal(looked_up, values[distinct_colors(pixels).index])
