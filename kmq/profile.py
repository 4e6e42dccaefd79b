"""Cost and time of k-means against k."""

from collections.abc import Iterable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

from kmq.image import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.random import RandomState

__all__ = ["plot_k_metrics", "record_k_metrics"]

# Of Okabe and Ito's palette (2008), the pair that every kind of colour blindness tells apart.
_BLUE = "#0072B2"
_VERMILION = "#D55E00"


def record_k_metrics(
    img: Image,
    k_values: Iterable[int],
    random_state: "int | RandomState | None" = None,
    *,
    n_init: int = 5,
) -> tuple[list[float], list[float]]:
    """Fit the pixels of a picture once for each k, and record cost and time.

    Parameters
    ----------
    img : Image
        The picture.
    k_values : iterable of int
        Numbers of clusters.
    random_state : int, RandomState or None
        Seed of every fit.
    n_init : int
        Starts of every fit, of which the best counts.

    Returns
    -------
    clusters_cost_list : list of float
        For each k the squared distances of all pixels to their centres, summed. The centres are
        as fitted, not rounded.
    execution_time_list : list of float
        For each k the wall time of ``fit`` in seconds, all starts together. A fit before the
        first, not counted, loads the compiled kernels.
    """
    from kmq.model import KMeans, clusters_cost

    clusters_cost_list: list[float] = []
    execution_time_list: list[float] = []
    for k in k_values:
        if not clusters_cost_list:
            KMeans(k, n_init=1, max_iter=2, random_state=random_state).fit(img.rgb_vector)
        kmeans = KMeans(k, n_init=n_init, random_state=random_state)
        start = perf_counter()
        kmeans.fit(img.rgb_vector)
        execution_time_list.append(perf_counter() - start)
        cost = clusters_cost(img.rgb_vector, kmeans.cluster_centers_, kmeans.labels_)
        clusters_cost_list.append(float(cost))
    return clusters_cost_list, execution_time_list


def plot_k_metrics(
    k_values: Sequence[int],
    clusters_cost_list: Sequence[float],
    execution_time_list: Sequence[float],
    figsize: tuple[float, float] = (10, 4),
) -> "Figure":
    """Draw cost (left axis) and time (right axis) against k.

    Parameters
    ----------
    k_values : sequence of int
        Numbers of clusters.
    clusters_cost_list, execution_time_list : sequence of float
        For each k the summed squared distances and the seconds, as `record_k_metrics` returns
        them.
    figsize : (width, height)
        In inches.

    Returns
    -------
    matplotlib.figure.Figure
        Already shown where the Matplotlib backend can show it.

    Raises
    ------
    ValueError
        If the three are not equally long.
    """
    if not len(k_values) == len(clusters_cost_list) == len(execution_time_list):
        raise ValueError(
            "k_values, clusters_cost_list and execution_time_list must be equally long, got "
            f"{len(k_values)}, {len(clusters_cost_list)} and {len(execution_time_list)}"
        )
    from matplotlib.ticker import EngFormatter, MaxNLocator

    from kmq.plots import new_figure, show_figure

    figure = new_figure(figsize)
    cost_axes = figure.subplots()
    time_axes = cost_axes.twinx()
    series = (
        (cost_axes, clusters_cost_list, _BLUE, "o-", "left", "cost (sum of squared distances)", ""),
        (time_axes, execution_time_list, _VERMILION, "s--", "right", "time of fit", "s"),
    )
    for axes, values, hue, style, side, label, unit in series:
        axes.plot(k_values, values, style, color=hue, markersize=4, linewidth=1.5)
        axes.set_ylabel(label, color=hue)
        axes.tick_params(axis="y", colors=hue)
        axes.yaxis.set_major_formatter(EngFormatter(unit))
        axes.set_ylim(bottom=0)
        axes.spines[["top", "left", "right"]].set_visible(False)
        axes.spines[side].set(visible=True, color=hue)
    cost_axes.set(xlabel="k (clusters)", title="Cost and execution time against k")
    cost_axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    cost_axes.grid(axis="x", color="0.9")
    return show_figure(figure)
