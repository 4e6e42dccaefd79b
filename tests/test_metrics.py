import numpy as np
import pytest

from kmq import colorspace, metrics

# Sharma, Wu and Dalal (2005), table 1: pairs 1-6, 7-16 (hue about 0 and 360), 17-20, 21-34.
SHARMA = """
50 2.6772 -79.7751 50 0 -82.7485 2.0425
50 3.1571 -77.2803 50 0 -82.7485 2.8615
50 2.8361 -74.0200 50 0 -82.7485 3.4412
50 -1.3802 -84.2814 50 0 -82.7485 1.0000
50 -1.1848 -84.8006 50 0 -82.7485 1.0000
50 -0.9009 -85.5211 50 0 -82.7485 1.0000
50 0 0 50 -1 2 2.3669
50 -1 2 50 0 0 2.3669
50 2.4900 -0.0010 50 -2.4900 0.0009 7.1792
50 2.4900 -0.0010 50 -2.4900 0.0010 7.1792
50 2.4900 -0.0010 50 -2.4900 0.0011 7.2195
50 2.4900 -0.0010 50 -2.4900 0.0012 7.2195
50 -0.0010 2.4900 50 0.0009 -2.4900 4.8045
50 -0.0010 2.4900 50 0.0010 -2.4900 4.8045
50 -0.0010 2.4900 50 0.0011 -2.4900 4.7461
50 2.5 0 50 0 -2.5 4.3065
50 2.5 0 73 25 -18 27.1492
50 2.5 0 61 -5 29 22.8977
50 2.5 0 56 -27 -3 31.9030
50 2.5 0 58 24 15 19.4535
50 2.5 0 50 3.1736 0.5854 1.0000
50 2.5 0 50 3.2972 0 1.0000
50 2.5 0 50 1.8634 0.5757 1.0000
50 2.5 0 50 3.2592 0.3350 1.0000
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""


def test_delta_e_of_the_published_pairs():
    pairs = np.array([line.split() for line in SHARMA.split("\n") if line], float)
    assert len(pairs) == 34
    first, second, published = pairs[:, :3], pairs[:, 3:6], pairs[:, 6]
    np.testing.assert_allclose(metrics.delta_e(first, second), published, atol=5.1e-5)
    np.testing.assert_allclose(metrics.delta_e(second, first), published, atol=5.1e-5)


def test_summary_counts_every_pixel(rng):
    first, second = rng.integers(0, 256, (2, 400, 3), np.uint8)
    lab = [colorspace.from_rgb(rgb, "lab") for rgb in (first, second)]
    each = np.repeat(metrics.delta_e(*lab), 2)
    mean, p95 = metrics.delta_e_summary(np.repeat(first, 2, 0), np.repeat(second, 2, 0))
    assert mean == pytest.approx(each.mean())
    assert p95 == np.sort(each)[int(np.ceil(0.95 * 800)) - 1]
    weighted = metrics.delta_e_summary(first, second, np.full(400, 2))
    assert weighted == pytest.approx((mean, p95))


def test_metrics_are_the_same_in_parts(rng, monkeypatch):
    first = rng.integers(0, 246, (60, 30, 3), np.uint8)
    second = first + rng.integers(0, 10, first.shape, np.uint8)
    whole = metrics.compare(first, second)
    assert whole.ssim == pytest.approx(metrics._similarity(first, second)[5:-5, 5:-5].mean())
    monkeypatch.setattr(metrics, "_TOGETHER", 210)
    parts = metrics.compare(first, second)
    assert parts.delta_e_p95 == whole.delta_e_p95
    assert parts.delta_e_mean == pytest.approx(whole.delta_e_mean, rel=1e-14)
    assert parts.ssim == pytest.approx(whole.ssim, rel=1e-13)
    rows = [first.reshape(-1, 3), second.reshape(-1, 3)]
    weight = rng.integers(0, 1000, len(rows[0]))
    summary = metrics.delta_e_summary(*rows, weight)
    monkeypatch.undo()
    assert summary == pytest.approx(metrics.delta_e_summary(*rows, weight), rel=1e-14)


def test_comparison(rng):
    first = rng.integers(0, 246, (20, 30, 3), np.uint8)
    same = metrics.compare(first, first)
    assert (same.cost, same.psnr, same.ssim, same.delta_e_mean) == (0, np.inf, 1, 0)
    brighter = metrics.compare(first, first + np.uint8(10))
    assert brighter.cost == 300
    assert brighter.psnr == pytest.approx(10 * np.log10(255**2 / 100))
    noise = metrics.compare(first, rng.permutation(first.reshape(-1, 3)).reshape(first.shape))
    assert noise.ssim < 0.2 < 0.9 < brighter.ssim < 1
    assert metrics.ssim(first[:2, :2], first[:2, :2]) == 1
    with pytest.raises(ValueError, match="differ in size: 30x20 and 30x10"):
        metrics.compare(first, first[:10])
    with pytest.raises(ValueError, match="no pixels"):
        metrics.compare(first[:0], first[:0])


@pytest.mark.parametrize("space", colorspace.SPACES)
def test_every_colour_space_gives_back_all_bytes(rng, space):
    rgb = np.vstack([rng.integers(0, 256, (5000, 3)), np.repeat(np.arange(256), 3).reshape(-1, 3)])
    rgb = rgb.astype(np.uint8)
    assert np.array_equal(colorspace.to_rgb(colorspace.from_rgb(rgb, space), space), rgb)


def test_known_colours():
    red = np.array([255, 0, 0], np.uint8)
    grey = np.array([119, 119, 119], np.uint8)
    np.testing.assert_allclose(colorspace.from_rgb(red, "lab"), [53.24, 80.09, 67.20], atol=0.01)
    oklab = colorspace.from_rgb(red, "oklab")
    np.testing.assert_allclose(oklab, [0.628, 0.2249, 0.1258], atol=1e-4)
    np.testing.assert_allclose(colorspace.from_rgb(grey, "lab"), [50.03, 0, 0], atol=0.01)
    assert colorspace.to_rgb([2.0, -1.0, 0.5], "linear").tolist() == [255, 0, 188]
    for convert in (colorspace.from_rgb, colorspace.to_rgb):
        with pytest.raises(ValueError, match="space must be one of"):
            convert(red, "hsv")
