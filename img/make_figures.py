"""Make the README's figures from ``flower.jpg``, with nothing but kmq's public functions.

``quantized.png`` shows the picture beside its quantizations, ``colors.png`` its colours and the
centroids in the RGB cube, ``k_metrics.png`` cost and time against k.
"""

import argparse
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D

import kmq

HERE = Path(__file__).parent
DPI = 160
SEED = 44
SHOWN_K = (8, 16, 32)
CLOUD_K = 16
SWEPT_K = range(2, 65, 2)
INK = "#2b2f33"
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": "#dfe2e5",
    "grid.linewidth": 0.6,
    "figure.facecolor": "white",
}


def _figure_quantized(img: kmq.Image) -> Figure:
    """Draw the picture and its quantizations, each of its pixels one pixel of the figure."""
    quantized = [kmq.quantize_image(img, k, random_state=SEED) for k in SHOWN_K]
    captions = [f"original: {quantized[0].distinct:,} colours", *(f"k = {k}" for k in SHOWN_K)]
    height, width = img.rgb_matrix.shape[:2]
    gap, title = 24, 48
    total_width, total_height = 2 * width + 3 * gap, 2 * (height + title) + 3 * gap // 2
    fig = plt.figure(figsize=(total_width / DPI, total_height / DPI), dpi=DPI)
    for i, (caption, picture) in enumerate(zip(captions, [img, *quantized], strict=True)):
        left = gap + (i % 2) * (width + gap)
        bottom = gap + (1 - i // 2) * (height + title + gap // 2)
        ax = fig.add_axes(
            (left / total_width, bottom / total_height, width / total_width, height / total_height)
        )
        ax.imshow(picture.rgb_matrix, interpolation="none")
        ax.set_title(caption, pad=6)
        ax.set_axis_off()
    return fig


def _figure_colors(img: kmq.Image) -> Figure:
    """Draw the picture's colours and the centroids that stand for them."""
    quantized = kmq.quantize_image(img, CLOUD_K, random_state=SEED)
    colors = np.unique(img.rgb_vector, axis=0)
    sizes = 6_000 * quantized.counts / quantized.counts.sum()
    fig = plt.figure(figsize=(10, 4.5), dpi=DPI)
    cloud = _rgb_cube(fig, 1, f"{len(colors):,} colours")
    cloud.scatter(*colors.T, c=colors / 255, s=2.5, alpha=1, depthshade=False, linewidths=0)
    palette = _rgb_cube(fig, 2, f"{CLOUD_K} centroids, area by number of pixels")
    palette.scatter(
        *quantized.palette.T,
        c=quantized.palette / 255,
        s=sizes,
        depthshade=False,
        edgecolors="white",
        linewidths=1,
    )
    fig.subplots_adjust(left=0.0, right=0.96, bottom=-0.01, top=0.98, wspace=0.04)
    return fig


def _rgb_cube(fig: Figure, position: int, title: str) -> Axes3D:
    """Return empty axes of the RGB cube in the left or right half of a figure."""
    ax = fig.add_subplot(1, 2, position, projection="3d")
    for name, axis in zip(("red", "green", "blue"), (ax.xaxis, ax.yaxis, ax.zaxis), strict=True):
        axis.set_label_text(name)
        axis.labelpad = -1
        axis.set_ticks([64, 128, 192])
        axis.set_pane_color("#f6f7f8")
        axis.line.set_color("#b9bec4")
    ax.set(xlim=(0, 255), ylim=(0, 255), zlim=(0, 255))
    ax.tick_params(labelsize=8, pad=0)
    ax.view_init(elev=20, azim=-58)
    ax.zaxis.labelpad = 5
    ax.set_box_aspect((1, 1, 0.82), zoom=0.95)
    ax.set_title(title, loc="center", y=0.96)
    return ax


def _figure_k_metrics(img: kmq.Image) -> Figure:
    """Draw cost and time against k."""
    costs, seconds = kmq.record_k_metrics(img, list(SWEPT_K), random_state=SEED)
    return kmq.plot_k_metrics(list(SWEPT_K), costs, seconds, figsize=(10, 4))


def _save(fig: Figure, path: Path) -> None:
    """Write a figure as PNG and say how large it came out."""
    fig.savefig(path, dpi=DPI, pil_kwargs={"optimize": True})
    plt.close(fig)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Make the figures that were asked for."""
    figures = {
        "quantized": _figure_quantized,
        "colors": _figure_colors,
        "k_metrics": _figure_k_metrics,
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(figures)}: all")
    parser.add_argument("-o", "--folder", type=Path, default=HERE, help="default: %(default)s")
    options = parser.parse_args()
    unknown = set(options.names) - set(figures)
    if unknown:
        parser.error(f"no such figure: {', '.join(sorted(unknown))}")
    img = kmq.load_image(HERE / "flower.jpg")
    with plt.rc_context(STYLE):
        for name in options.names or figures:
            _save(figures[name](img), options.folder / f"{name}.png")


if __name__ == "__main__":
    main()
