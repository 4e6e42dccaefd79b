"""Quantizers of images on the Kodak photos: decoded picture in, palette and indices out.

Cost is squared error summed over the channels, mean over the pixels, without dithering, and is
compared photo by photo with that of libimagequant at its best (speed 1). One round is all photos,
one after another.
"""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from . import isolated
from .problems import ROOT, SHARED

KODAK = SHARED / "data" / "kodak"
ROUNDS = 3

pytestmark = [
    pytest.mark.grid,
    pytest.mark.skipif(not KODAK.is_dir(), reason="the Kodak photos are not on this machine"),
]


@pytest.fixture(scope="module")
def photos():
    """Every photo as kmq and as Pillow hold it."""
    from PIL import Image as pillow

    from kmq.image import load_image

    paths = sorted(KODAK.glob("*.png"))
    return [(load_image(path), pillow.open(path).convert("RGB")) for path in paths]


def kmq(img, _, k):
    from kmq.image import quantize_image

    picture = quantize_image(img, k)
    return picture.palette, picture.indices


def kmq_plus_plus(img, _, k):
    from kmq.image import quantize_image

    picture = quantize_image(img, k, 0, init="k-means++")
    return picture.palette, picture.indices


def _libimagequant(picture, k, speed):
    library = pytest.importorskip("libimagequant")
    attributes = library.Attr()
    attributes.speed, attributes.max_colors = speed, k
    image = attributes.create_rgba(picture.convert("RGBA").tobytes(), *picture.size, 0)
    result = image.quantize(attributes)
    result.dithering_level = 0
    indices = np.frombuffer(bytes(result.remap_image(image)), np.uint8)
    palette = np.array([(c.r, c.g, c.b) for c in result.get_palette()], np.uint8)
    return palette, indices.reshape(picture.height, picture.width)


def libimagequant_1(_, picture, k):
    return _libimagequant(picture, k, 1)


def libimagequant_4(_, picture, k):
    return _libimagequant(picture, k, 4)


def pillow_median_cut(_, picture, k):
    reduced = picture.quantize(k, kmeans=5)
    return np.array(reduced.getpalette("RGB"), np.uint8).reshape(-1, 3), np.array(reduced)


TOOLS = {
    "kmq": kmq,
    "kmq, k-means++": kmq_plus_plus,
    "libimagequant, speed 1": libimagequant_1,
    "libimagequant, speed 4": libimagequant_4,
    "Pillow, median cut and k-means": pillow_median_cut,
}

# Half a second a photo: one round tells enough.
SLOW = {"Pillow, median cut and k-means"}


def cost(img, palette, indices):
    difference = img.rgb_matrix.astype(np.int64) - palette[indices]
    return float((difference**2).sum() / indices.size)


@pytest.fixture(scope="module")
def costs(photos):
    """Cost of every photo by tool and number of colours, found once."""
    found = {}

    def of(name, k):
        if (name, k) not in found:
            tool = TOOLS[name]
            found[name, k] = np.array(
                [cost(img, *tool(img, picture, k)) for img, picture in photos]
            )
        return found[name, k]

    return of


@pytest.mark.parametrize("k", [16, 64, 256])
@pytest.mark.parametrize("name", TOOLS)
def test_quantize(benchmark, photos, costs, name, k):
    benchmark.group = f"24 Kodak photos, k={k:3d}"
    ratio = costs(name, k) / costs("libimagequant, speed 1", k)
    tool = TOOLS[name]

    def all_photos():
        for img, picture in photos:
            tool(img, picture, k)

    benchmark.pedantic(all_photos, rounds=1 if name in SLOW else ROUNDS)
    benchmark.extra_info.update(
        competitor=name,
        k=k,
        photos=len(photos),
        cost_against_libimagequant_1=float(np.exp(np.log(ratio).mean())),
        worst_cost_against_libimagequant_1=float(ratio.max()),
    )
    if name == "kmq":
        assert np.exp(np.log(ratio).mean()) <= 0.95
        assert ratio.max() < 1
        assert (costs(name, k) < costs("Pillow, median cut and k-means", k)).all()


@pytest.mark.parametrize("method", ["floyd-steinberg", "atkinson", "sierra", "bayer"])
def test_dither(benchmark, photos, monkeypatch, method):
    """One thread, 256 colours: what dithering costs a pixel."""
    from kmq.engine import dither as engine

    benchmark.group = "dithering 24 Kodak photos to 256 colours, one thread"
    monkeypatch.setattr(engine, "n_threads", lambda: 1)
    work = [(img.rgb_matrix, kmq(img, None, 256)[0]) for img, _ in photos]

    def all_photos():
        for pixels, palette in work:
            engine.dither(pixels, palette, method)

    benchmark.pedantic(all_photos, rounds=ROUNDS, warmup_rounds=1)
    pixels = sum(len(img.rgb_vector) for img, _ in photos)
    benchmark.extra_info.update(competitor=method, pixels=pixels)
    if benchmark.stats is not None:
        benchmark.extra_info["ns_a_pixel"] = 1e9 * benchmark.stats.stats.median / pixels


IN_ONE_PROCESS = """
from pathlib import Path
from kmq.image import load_image
from kmq.quantize import quantize_image

paths, out = sorted(Path(sys.argv[1]).iterdir()), Path(sys.argv[2])

def one(path):
    quantize_image(load_image(path, alpha="keep"), 16).save(out / path.name)

one(paths[0])
start = perf_counter()
for path in paths:
    one(path)
"""
AS_COMMAND = """
from kmq.cli import run

start = perf_counter()
assert run(["quantize", sys.argv[1], "-k", "16", "-q", "-o", sys.argv[2], *sys.argv[3:]]) == 0
"""
FOLDER = {
    "decode, fit and encode in one process": (IN_ONE_PROCESS, []),
    "kmq quantize": (AS_COMMAND, []),
    "kmq quantize --jobs 1": (AS_COMMAND, ["--jobs", "1"]),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A hundred photos."""
    folder = tmp_path_factory.mktemp("photos")
    paths = sorted(KODAK.glob("*.png"))
    for number in range(100):
        shutil.copyfile(paths[number % len(paths)], folder / f"{number:03}.png")
    return folder


@pytest.mark.skipif(not isolated.can_measure(), reason="this system does not tell peak memory")
@pytest.mark.parametrize("name", FOLDER)
def test_folder(benchmark, folder, tmp_path, name):
    """Time a photo of a hundred and the most memory, each way in a process of its own."""
    benchmark.group = "100 Kodak photos, k=16, from files to files"
    script, options = FOLDER[name]
    imports = "import json, sys\nfrom time import perf_counter\n"
    # What `resource` tells would be the most of this process, where that is more.
    memory = "from benchmarks.isolated import resident\npeak = resident('VmHWM')"
    script = f"{imports}{script}\ntook = perf_counter() - start\n{memory}\n"
    script += "print(json.dumps([took, peak]))"
    seconds, peaks = [], []

    def whole():
        out = tmp_path / str(len(seconds))
        out.mkdir()
        line = [sys.executable, "-c", script, str(folder), str(out), *options]
        done = subprocess.run(line, cwd=ROOT, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout)
        assert len(list(out.iterdir())) == 100
        seconds.append(found[0])
        peaks.append(found[1])

    benchmark.pedantic(whole, rounds=ROUNDS)
    benchmark.extra_info.update(
        competitor=name,
        ms_a_photo=10 * float(np.median(seconds)),
        peak_rss_mb=max(peaks) / 1e6,
    )
