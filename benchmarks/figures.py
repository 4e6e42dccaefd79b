"""Figures of saved benchmarks, drawn into ``img/``."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullFormatter

from .tables import info_by, setting, test_of

Run = dict[str, Any]
INK = "#2b2f33"
GREY = "#8a9097"
# Okabe and Ito (2008), told apart by every kind of colour blindness.
HUES = {"kmq": "#0072B2", "scikit-learn": "#D55E00", "numpy": "#009E73"}
MARKS = {"kmq": "o", "scikit-learn": "s", "numpy": "^"}
STYLE = {
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": "#dfe2e5",
    "grid.linewidth": 0.6,
}


def time_against_k(runs: list[Run], path: Path) -> None:
    """Draw the time of one fit of the project's picture against k."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
        for name in HUES:
            found = {
                run["extra_info"]["k"]: run["stats"]["median"]
                for run in runs
                if run["extra_info"]["competitor"] == name
            }
            ks = sorted(found)
            _line(axes, ks, [found[k] for k in ks], name)
            axes.annotate(
                name,
                (ks[-1], found[ks[-1]]),
                xytext=(8, 0),
                textcoords="offset points",
                va="center",
                color=HUES[name],
            )
        _log(axes, "k (clusters)", "time of one fit", "s")
        axes.set_xticks(ks, map(str, ks))
        axes.set_title("img/flower.jpg: same pixels, start and stopping rule, same centres found")
        _save(figure, path, runs)


def photos(runs: list[Run], path: Path) -> None:
    """Draw how many times as long scikit-learn takes, a dot for each photo."""
    with plt.rc_context(STYLE):
        figure, both = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
        for axes, test, title in zip(
            both,
            ("test_lloyd", "test_seeded"),
            ("same start, to strict convergence", "default parameters, seeding included"),
            strict=True,
        ):
            found = info_by(runs, test, "k", "photo")
            ks = sorted({k for k, _ in found})
            for i, k in enumerate(ks):
                ratios = np.array(
                    [info["ratio"] for (other, _), info in found.items() if other == k]
                )
                spread = np.linspace(-0.16, 0.16, len(ratios)) if len(ratios) > 1 else [0]
                axes.plot(
                    i + np.sort(spread), np.sort(ratios), "o", ms=4, color=HUES["kmq"], alpha=0.6
                )
                mean = np.exp(np.log(ratios).mean())
                axes.plot([i - 0.28, i + 0.28], [mean, mean], color=INK, lw=1.5)
                axes.annotate(
                    f"{mean:.0f}", (i + 0.32, mean), va="center", fontsize="small", color=INK
                )
            _parity(axes)
            axes.set_xticks(range(len(ks)), map(str, ks))
            axes.set(title=title, xlabel="k (clusters)", xlim=(-0.5, len(ks) - 0.3))
        both[0].set_ylabel("time of scikit-learn over kmq")
        _save(figure, path, runs, "A dot is a photo, a line the geometric mean.")


def general(runs: list[Run], path: Path) -> None:
    """Draw how many times as long scikit-learn takes on general data, losses below 1."""
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(1, 3, figsize=(11, 4), sharey=True, layout="constrained")
        for axes, part, label in zip(
            panels, (0, 1, 2), ("n (samples)", "d (features)", "k (clusters)"), strict=True
        ):
            for test, marker, hue in (
                ("test_whole_fit", "o", HUES["kmq"]),
                ("test_iterations", "s", HUES["scikit-learn"]),
            ):
                some = [run for run in runs if test_of(run) == test]
                xs = [_shape(run)[part] for run in some]
                ratios = [run["extra_info"]["ratio"] for run in some]
                name = "defaults" if test == "test_whole_fit" else "10 iterations"
                axes.plot(xs, ratios, marker, color=hue, alpha=0.65, ms=5, label=name)
            _parity(axes)
            axes.set_xscale("log")
            axes.set_xlabel(label)
        panels[0].set_ylabel("time of scikit-learn over kmq")
        panels[1].legend(frameon=False, loc="upper right")
        _save(figure, path, runs, "General data, float64 and float32; below 1 kmq lost.")


def growth(runs: list[Run], path: Path) -> None:
    """Draw time against everything that it grows with."""
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(2, 3, figsize=(11, 6.4), layout="constrained")
        for axes, run in zip(grid.flat, runs, strict=False):
            info = run["extra_info"]
            for name in ("scikit-learn", "kmq"):
                _line(axes, info["x"], info["seconds"][name], name)
                slope = np.polyfit(np.log(info["x"]), np.log(info["seconds"][name]), 1)
                fitted = np.exp(np.polyval(slope, np.log(info["x"])))
                label = f"{name}, slope {info['slopes'][name]:.2f}"
                axes.plot(info["x"], fitted, ":", color=HUES[name], lw=1, label=label)
            _log(axes, info["axis"], "", "s")
            whole = info["axis"] == "pixels"
            axes.set_ylabel("time of a fit" if whole else "time of an iteration")
            axes.set_xticks(info["x"][::2], [_short(x) for x in info["x"][::2]])
            axes.minorticks_off()
            axes.legend(frameon=False, fontsize="small")
        _save(figure, path, runs, "Dotted: power laws fitted to the times.")


def _short(number: float) -> str:
    """A number in three digits with its SI prefix."""
    return EngFormatter(places=None, sep="")(float(f"{number:.3g}"))


def _line(axes: Axes, xs: list, ys: list, name: str) -> None:
    """Draw one competitor's times."""
    axes.plot(xs, ys, color=HUES[name], marker=MARKS[name], ms=5, lw=1.6)


def _log(axes: Axes, xlabel: str, ylabel: str, unit: str) -> None:
    """Make both axes logarithmic."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator())
    axes.yaxis.set_major_formatter(EngFormatter(unit))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(axis="y")


def _parity(axes: Axes) -> None:
    """Make ratios logarithmic and draw the line at which both are as fast."""
    axes.set_yscale("log")
    axes.axhline(1, color=INK, lw=1)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))  # noqa: RUF001
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y")


def _shape(run: Run) -> tuple[int, int, int]:
    """The n, d and k of a run on general data, from its name."""
    shape, k = run["name"].partition("[")[2].partition("-k")[::2]
    n, d = shape.rpartition("-")[2].split("x")
    return int(n), int(d), int(k.partition("-")[0])


def _save(figure: Figure, path: Path, runs: list[Run], note: str = "") -> None:
    """Write a figure with what was measured where and when below it."""
    caption = f"{note} {setting(runs)}".strip()
    figure.supxlabel(caption, fontsize=7.5, color=GREY, x=0.01, ha="left", wrap=True)
    figure.savefig(path, dpi=160, pil_kwargs={"optimize": True})
    plt.close(figure)
