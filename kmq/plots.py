"""Drawing pictures and colours. Matplotlib comes with the first figure."""

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kmq.image import Image


def display_image(img: "Image", figsize: tuple[float, float] = (10, 5)) -> "Figure":
    """Draw one picture; see `display_images`."""
    return display_images(img, figsize=figsize)


def display_images(*images: "Image", figsize: tuple[float, float] = (10, 5)) -> "Figure":
    """Draw pictures side by side under their titles.

    Parameters
    ----------
    *images : Image
        At least one.
    figsize : (width, height)
        In inches.

    Returns
    -------
    matplotlib.figure.Figure
        Already shown where the Matplotlib backend can show it.

    Raises
    ------
    ValueError
        If there is no image.
    """
    if not images:
        raise ValueError("display_images needs at least one image")
    figure = new_figure(figsize)
    for axes, img in zip(figure.subplots(1, len(images), squeeze=False)[0], images, strict=True):
        axes.imshow(img.rgb_matrix)
        axes.set_title(_math(img.title))
        axes.set_axis_off()
    return show_figure(figure)


def plot_rgb_vector(
    rgb_vector: ArrayLike,
    figsize: tuple[float, float] = (10, 5),
    title: str | None = None,
    alpha: float = 0.6,
    s: float = 4,
) -> "Figure":
    """Draw colours as points of the RGB cube, each in its own colour.

    Parameters
    ----------
    rgb_vector : (n, 3) array-like
        Red, green and blue, 0 to 255. Of whole numbers each distinct colour is drawn once.
    figsize : (width, height)
        In inches.
    title : str or None
        May hold mathematics between ``$`` or ``$$``.
    alpha : float
        Opacity of the points, 0 to 1.
    s : float
        Area of a point, in square points of typography.

    Returns
    -------
    matplotlib.figure.Figure
        Already shown where the Matplotlib backend can show it.

    Raises
    ------
    ValueError
        If `rgb_vector` has another shape.
    """
    points = np.asarray(rgb_vector)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"rgb_vector must be of shape (n, 3), got {points.shape}")
    if points.dtype == np.uint8:
        from kmq.engine.colors import distinct_colors

        points = distinct_colors(np.ascontiguousarray(points), return_index=False).colors
    figure = new_figure(figsize)
    axes: Any = figure.add_subplot(projection="3d")
    # Large points are given an outline, without which a white one is lost on the white page.
    outline = {"edgecolors": "0.35", "linewidths": 0.5} if s >= 20 else {"linewidths": 0}
    colors = np.clip(points / 255.0, 0.0, 1.0)
    axes.scatter(*points.T, c=colors, alpha=alpha, s=s, depthshade=False, **outline)
    axes.set_title(_math(title or ""))
    for axis, name in zip(
        (axes.xaxis, axes.yaxis, axes.zaxis), ("red", "green", "blue"), strict=True
    ):
        axis.set_label_text(name)
        axis.set_ticks((0, 85, 170, 255))
        # White and pale yellow points would be lost on Matplotlib's near-white walls.
        axis.set_pane_color("0.86")
    axes.set(xlim=(0, 255), ylim=(0, 255), zlim=(0, 255))
    axes.zaxis.labelpad = 8
    axes.set_box_aspect((1, 1, 1), zoom=0.9)
    return show_figure(figure)


def new_figure(figsize: tuple[float, float]) -> "Figure":
    """Start an empty figure, `figsize` in inches."""
    from matplotlib import pyplot as plt

    return plt.figure(figsize=figsize, layout="constrained")


def show_figure(figure: "Figure") -> "Figure":
    """Show a figure where the backend can, let pyplot forget it elsewhere, and return it."""
    from matplotlib import pyplot as plt
    from matplotlib.backend_bases import FigureManagerBase

    in_notebook = "inline" in plt.get_backend()
    if in_notebook or type(figure.canvas).manager_class is not FigureManagerBase:
        plt.show()
    else:
        plt.close(figure)
    if in_notebook:
        # A cell that ends with the call would draw the returned figure once more: skip that once.
        hook = "_ipython_display_"
        setattr(figure, hook, lambda: delattr(figure, hook))
    return figure


def _math(title: str) -> str:
    """Write the display mathematics of Markdown, ``$$ k $$``, as Matplotlib knows it, ``$k$``."""
    return re.sub(r"\$\$\s*(.*?)\s*\$\$", r"$\1$", title)
