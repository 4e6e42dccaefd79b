"""Make the README's figures from ``flower.jpg``.

``quantized.png`` shows the picture beside its quantizations, ``colors.png`` its colours and the
centroids in the RGB cube, ``k_metrics.png`` cost and time against k, ``cells.png`` the cells that
an iteration looks at in place of pixels.
"""

import argparse
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from mpl_toolkits.mplot3d import Axes3D

import kmq
from kmq.engine.colors import distinct_colors
from kmq.kernels.colors import CELL

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
    recorded = kmq.profile.profile_k(img, SWEPT_K, SEED, repeats=5, pictures=False)
    return recorded.plot(figsize=(10, 4))


def _figure_cells(img: kmq.Image) -> Figure:
    """Draw the cells of colours of two channels, and who owns them at the end of a fit."""
    pixels = np.ascontiguousarray(img.rgb_vector[:, ::2])
    found = distinct_colors(pixels)
    colors = found.colors.astype(float)
    centers = kmq.KMeans(CLOUD_K, random_state=SEED).fit(pixels).cluster_centers_
    owners = np.square(colors[:, None] - centers).sum(axis=2).argmin(axis=1)
    # Without its two greys, which stand for shared cells here.
    hues = plt.get_cmap("tab20")(np.delete(np.arange(20), [14, 15])[:CLOUD_K])
    fig, (whole, part) = plt.subplots(1, 2, figsize=(10, 5), layout="constrained")
    starts = range(0, len(colors), CELL)
    boxes = [
        (colors[i : i + CELL].min(axis=0), np.ptp(colors[i : i + CELL], axis=0)) for i in starts
    ]
    shared = [len(set(owners[i : i + CELL])) > 1 for i in starts]
    # Where the curve through the colours jumps, a cell spans a gap: small ones are drawn over it.
    for i in np.argsort([-(width + 1) * (height + 1) for _, (width, height) in boxes]):
        (low, (width, height)), hue = boxes[i], hues[owners[i * CELL]]
        for ax in (whole, part):
            box = Rectangle(low - 0.5, width + 1, height + 1)
            box.set(facecolor="#d5d8dc" if shared[i] else hue, edgecolor="white")
            box.set_linewidth(0.3 if ax is whole else 1)
            ax.add_patch(box)
    for ax, size in ((whole, 28), (part, 90)):
        ax.scatter(*centers.T, s=size, color="white", edgecolor=INK, linewidth=1.2, zorder=3)
        ax.set(xlabel="red", ylabel="blue", aspect="equal")
    part.scatter(*colors.T, s=3, color=INK, linewidths=0, zorder=2)
    middle = centers[np.argsort(np.square(centers - colors.mean(axis=0)).sum(axis=1))[0]]
    left, bottom = middle - 28
    view = Rectangle((left, bottom), 56, 56, fill=False, edgecolor=INK, linewidth=1.2, zorder=4)
    whole.add_patch(view)
    whole.set(xlim=(-4, 260), ylim=(-4, 260))
    part.set(xlim=(left, left + 56), ylim=(bottom, bottom + 56))
    whole.set_title(f"{len(pixels):,} pixels, {len(colors):,} colours, {len(boxes):,} cells")
    part.set_title(f"grey: the {sum(shared):,} cells whose colours have several owners")
    return fig


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
        "cells": _figure_cells,
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
