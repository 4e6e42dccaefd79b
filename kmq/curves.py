"""Drawing cost and time against k. Matplotlib comes with the first figure."""

import warnings
from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kmq.plots import new_figure, show_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kmq.profile import KProfile

# Of Okabe and Ito's palette (2008), the pair that every kind of colour blindness tells apart.
_BLUE = "#0072B2"
_VERMILION = "#D55E00"
_INK = "0.35"
_LEAST_SAG = 0.1
# Hue says which axis; these say whose curve.
_MARKS: tuple[tuple[Any, str], ...] = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"))


class _Curves(NamedTuple):
    """One estimator's curves; `extremes` of the times of each k where there were repeats."""

    name: str
    k_values: Sequence[int]
    costs: Sequence[float]
    seconds: Sequence[float]
    extremes: tuple[Sequence[float], Sequence[float]] | None = None


def find_knee(k_values: Sequence[int], costs: Sequence[float]) -> int | None:
    """Find the k at which a curve of costs bends, by Kneedle.

    Parameters
    ----------
    k_values : sequence of int
        Numbers of clusters, ascending.
    costs : sequence of float
        Cost of each.

    Returns
    -------
    int or None
        None where the curve has no knee: fewer than three points, a cost that does not fall or
        falls ever faster, or one that at the knee is not a tenth of its whole fall below the
        straight line from end to end.

    References
    ----------
    .. [1] Satopää, V., Albrecht, J., Irwin, D. and Raghavan, B. (2011). Finding a "Kneedle" in a
       haystack. ICDCS Workshops.
    """
    if len(k_values) < 3 or not costs[0] > costs[-1]:
        return None
    from kneed import KneeLocator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is no knee, which None says
        found = KneeLocator(k_values, costs, curve="convex", direction="decreasing").knee
    if found is None:
        return None
    # Kneedle finds one in any wiggle of a straight line, and at the ends of a concave curve.
    straight = np.interp(found, (k_values[0], k_values[-1]), (costs[0], costs[-1]))
    sag = straight - costs[list(k_values).index(found)]
    return int(found) if sag >= _LEAST_SAG * (costs[0] - costs[-1]) else None


def plot_k_metrics(
    k_values: Sequence[int],
    clusters_cost_list: Sequence[float],
    execution_time_list: Sequence[float],
    figsize: tuple[float, float] = (10, 4),
    *,
    log: bool = False,
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
    log : bool
        Whether all axes are logarithmic.

    Returns
    -------
    matplotlib.figure.Figure
        Already shown where the Matplotlib backend can show it. The knee of the cost is marked
        where there is one, as `find_knee` finds it.

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
    return _draw([_Curves("", k_values, clusters_cost_list, execution_time_list)], log, figsize)


def plot_profiles(
    *profiles: "KProfile", log: bool = False, figsize: tuple[float, float] = (10, 4)
) -> "Figure":
    """Draw what one estimator or several recorded: cost (left axis) and time (right axis).

    Parameters
    ----------
    *profiles : KProfile
        At least one. Bars span the least and the most of repeated times.
    log : bool
        Whether all axes are logarithmic.
    figsize : (width, height)
        In inches.

    Returns
    -------
    matplotlib.figure.Figure
        Already shown where the Matplotlib backend can show it. The knee of the first profile's
        cost is marked where there is one.

    Raises
    ------
    ValueError
        If there is no profile.
    """
    if not profiles:
        raise ValueError("plot_profiles needs at least one profile")
    curves = []
    for profile in profiles:
        least = [row.least_seconds for row in profile.rows]
        most = [row.most_seconds for row in profile.rows]
        extremes = None if least == most else (least, most)
        curves.append(
            _Curves(profile.name, profile.k_values, profile.costs, profile.seconds, extremes)
        )
    return _draw(curves, log, figsize)


def _draw(curves: list[_Curves], log: bool, figsize: tuple[float, float]) -> "Figure":
    """Draw curves on twin axes, each axis in a hue of its own."""
    from matplotlib.lines import Line2D

    figure = new_figure(figsize)
    cost_axes = figure.subplots()
    time_axes = cost_axes.twinx()
    for one, (dashes, marker) in zip(curves, cycle(_MARKS), strict=False):
        # Two axes and two hues: alone, the time is dashed too, for prints without colour.
        mark: dict[str, Any] = {"marker": marker, "markersize": 4, "linewidth": 1.5}
        late = _MARKS[1] if len(curves) == 1 else (dashes, marker)
        cost_axes.plot(one.k_values, one.costs, color=_BLUE, linestyle=dashes, **mark)
        mark["marker"] = late[1]
        time_axes.plot(one.k_values, one.seconds, color=_VERMILION, linestyle=late[0], **mark)
        if one.extremes is not None:
            time_axes.vlines(one.k_values, *one.extremes, color=_VERMILION, linewidth=1)
    _style(cost_axes, _BLUE, "left", "cost (sum of squared distances)", "", log)
    _style(time_axes, _VERMILION, "right", "time of fit", "s", log)
    title = "Cost and execution time against k"
    cost_axes.set(xlabel="k (clusters)", title=title)
    _style_k(cost_axes, log)
    # Both axes' curves are below what is drawn on the later one.
    _mark_knee(cost_axes, time_axes, curves[0])
    if len(curves) > 1:
        handles = [
            Line2D(
                [], [], color=_INK, linestyle=dashes, marker=marker, markersize=4, label=one.name
            )
            for one, (dashes, marker) in zip(curves, cycle(_MARKS), strict=False)
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return show_figure(figure)


def _style(axes: "Axes", hue: str, side: Any, label: str, unit: str, log: bool) -> None:
    """Give an axis its hue, its label and ticks with SI prefixes."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    axes.set_ylabel(label, color=hue)
    axes.tick_params(axis="y", which="both", colors=hue)
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(EngFormatter(unit))
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines[side].set(visible=True, color=hue)


def _style_k(axes: "Axes", log: bool) -> None:
    """Give the axis of k whole numbers, powers of two where it is logarithmic."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

    axes.grid(axis="x", color="0.9")
    if log:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(LogLocator(2))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _mark_knee(axes: "Axes", top: "Axes", curves: _Curves) -> None:
    """Point from the top axes at the knee of the cost, or say that there is none."""
    knee = find_knee(curves.k_values, curves.costs)
    style: dict[str, Any] = {"color": _INK, "fontsize": "small"}
    if knee is None:
        if len(curves.k_values) >= 3:
            axes.set_title("no knee", loc="right", **style)
        return
    place = (knee, np.asarray(curves.costs)[list(curves.k_values).index(knee)])
    top.annotate(
        f"knee at k = {knee}",
        place,
        xycoords=axes.transData,
        xytext=(18, 26),
        textcoords="offset points",
        arrowprops={"arrowstyle": "->", "color": _INK},
        bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none"},
        zorder=3,
        **style,
    )
