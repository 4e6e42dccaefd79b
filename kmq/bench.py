"""kmq beside other k-means programs: the same samples, start and stopping rule, then time."""

import json
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from math import inf
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from kmq.competitors import COMPETITORS, Competitor, Fit, Problem

if TYPE_CHECKING:
    from rich.table import Table

    from kmq.image import Image

__all__ = ["BenchResult", "BenchRow", "run"]

_SEED = 44
# Where one fit takes longer than this, fewer of them tell enough; seconds.
_LONG = 2.0
# Of centres in 8-bit units: what programs in double precision may differ by.
_SAME = 1e-6

# A fit, the times of the fits that count, and the time of the first, in seconds.
_Timed = tuple[Fit, list[float], float]


@dataclass(frozen=True)
class BenchRow:
    """One competitor on one problem.

    Attributes
    ----------
    k : int
        Clusters.
    competitor : str
        A key of `COMPETITORS`.
    seconds : float
        Median wall time of a fit, the first one not counted.
    fits : int
        How many fits that is the median of.
    ratio : float
        That time over kmq's.
    first_seconds : float
        Wall time of the first fit, which loads or compiles what is needed.
    iterations : int
        Iterations run.
    cost : float
        Squared distance to the nearest centre, summed over the features, mean over the samples,
        computed for all competitors alike.
    parity : str
        ``same`` where centres and iterations are kmq's, else how far the cost is from kmq's.
    """

    k: int
    competitor: str
    seconds: float
    fits: int
    ratio: float
    first_seconds: float
    iterations: int
    cost: float
    parity: str


@dataclass(frozen=True)
class BenchResult:
    """What `run` measured.

    Attributes
    ----------
    rows : list of BenchRow
        By k, kmq last.
    samples, colors : int
        Pixels of the picture, and how many distinct colours they have.
    setting : dict
        Machine, cores, threads, versions and date.
    """

    rows: list[BenchRow]
    samples: int
    colors: int
    setting: dict[str, Any]

    def to_json(self) -> str:
        """The whole result as JSON."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)

    def table(self) -> "Table":
        """The rows as a table for the terminal."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table(
            caption=self.caption(),
            caption_justify="left",
            box=SIMPLE_HEAD,
            pad_edge=False,
            collapse_padding=True,
        )
        # Where the terminal is narrow, words are folded and figures stay whole.
        for name in ("k", "competitor", "time", "ratio", "iter.", "cost", "result"):
            words = name in ("competitor", "result")
            justify: Literal["left", "right"] = "left" if words else "right"
            table.add_column(name, justify=justify, no_wrap=not words, overflow="fold")
        for before, row in zip([None, *self.rows], self.rows, strict=False):
            if before is not None and before.k != row.k:
                table.add_section()
            cells = (
                str(row.k),
                row.competitor,
                in_seconds(row.seconds),
                f"{row.ratio:.3g}×",  # noqa: RUF001
                str(row.iterations),
                f"{row.cost:.2f}",
                row.parity,
            )
            table.add_row(*cells, style="bold" if row.competitor == "kmq" else None)
        return table

    def caption(self) -> str:
        """What was measured, on what."""
        versions = ", ".join(f"{name} {text}" for name, text in self.setting["versions"].items())
        rules = {row.competitor: COMPETITORS[row.competitor].rule for row in self.rows}
        notes = "".join(f" {name}: {rule}." for name, rule in rules.items() if rule)
        return (
            f"{self.samples:,} pixels of {self.colors:,} colours. Median time of a warm fit, and "
            "its ratio to that of kmq; the same start and stopping rule for all; cost is squared "
            f"error per pixel, summed over the channels.{notes} {self.setting['cores']} cores of "
            f"{self.setting['machine']}, "
            f"Python {self.setting['python']}, {versions}, {self.setting['date']}."
        )


def run(
    img: "Image | None" = None,
    k_values: Iterable[int] = (8, 16, 32),
    *,
    competitors: Sequence[str] | None = None,
    repeats: int = 5,
    slow: bool = False,
    progress: Callable[[str], None] | None = None,
) -> BenchResult:
    """Time k-means of a picture's pixels with kmq and whatever else is installed.

    Every competitor gets the same pixels, the same drawn start, off the grid of whole numbers so
    that no distance is a tie, and stops where the centres together move by less than 0.01 or
    after 100 iterations. Programs that cannot stop so run as many iterations as kmq did.

    Parameters
    ----------
    img : Image, optional
        The picture; by default a photo that comes with scikit-learn, of 273,280 pixels.
    k_values : iterable of int
        Numbers of clusters.
    competitors : sequence of str, optional
        Names in `COMPETITORS`; by default those that are installed. kmq takes part always.
    repeats : int
        Fits whose median counts, after a first one; fewer where a fit takes seconds.
    slow : bool
        Whether those that take seconds a fit are among the default.
    progress : callable, optional
        Told in a few words what is being timed.

    Returns
    -------
    BenchResult

    Raises
    ------
    ValueError
        If a competitor is unknown or not installed, or the pixels are fewer than k.
    """
    names = _chosen(competitors, slow)
    pixels = _sample_photo() if img is None else img.rgb_vector
    colors = len(np.unique(pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)))
    rows: list[BenchRow] = []
    for k in k_values:
        problem = _problem(pixels, k)
        timed: dict[str, _Timed] = {}
        for name in ["kmq", *names]:
            if progress is not None:
                progress(f"k = {k}: {name}")
            same = problem
            if COMPETITORS[name].rule:
                same = replace(problem, max_iter=timed["kmq"][0].iterations)
            timed[name] = _timed(COMPETITORS[name], same, repeats)
        rows += [_row(k, name, timed, pixels) for name in [*names, "kmq"]]
    return BenchResult(rows, len(pixels), colors, setting([*names, "kmq"]))


def setting(names: Iterable[str] = ("scikit-learn",)) -> dict[str, Any]:
    """Machine, cores, threads, versions and date, as a record of a measurement quotes them."""
    from threadpoolctl import threadpool_info

    from kmq import __version__
    from kmq.engine.cores import n_cores
    from kmq.engine.threads import n_threads

    packages = ["numpy", "numba", *(COMPETITORS[name].package for name in names)]
    return {
        "machine": _processor(),
        "cores": n_cores(),
        "threads": {"kmq": n_threads()}
        | {pool["internal_api"]: pool["num_threads"] for pool in threadpool_info()},
        "python": platform.python_version(),
        "versions": {"kmq": __version__} | {name: version(name) for name in packages},
        "date": datetime.now(UTC).date().isoformat(),
    }


def same_centers(fit: Fit, other: Fit) -> bool:
    """Whether two fits took as many iterations to the same centres."""
    close = np.allclose(fit.centers, other.centers, rtol=0, atol=_SAME)
    return fit.iterations == other.iterations and close


def in_seconds(seconds: float) -> str:
    """A time in three digits and the unit that suits it."""
    # What would be rounded to a thousand of a unit is one of the next.
    if seconds >= 0.9995:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 0.9995e-3 else f"{seconds * 1e6:.3g} µs"


def _chosen(competitors: Sequence[str] | None, slow: bool) -> list[str]:
    """Names of the competitors beside kmq."""
    if competitors is None:
        return [
            name
            for name, other in COMPETITORS.items()
            if name != "kmq" and other.installed and (slow or not other.slow)
        ]
    for name in competitors:
        if name not in COMPETITORS:
            raise ValueError(f"competitors must be among {', '.join(COMPETITORS)}, got {name!r}")
        if not COMPETITORS[name].installed:
            raise ValueError(f"{name} needs the package {COMPETITORS[name].package}")
    return [name for name in competitors if name != "kmq"]


def _problem(pixels: NDArray[np.uint8], k: int) -> Problem:
    """Drawn pixels to start from, moved off the grid of whole numbers."""
    if not 1 <= k <= len(pixels):
        raise ValueError(f"k must lie between 1 and the number of pixels, {len(pixels)}, got {k}")
    rng = np.random.default_rng(_SEED)
    start = rng.choice(pixels, size=k, replace=False).astype(np.float64)
    return Problem(pixels, start + rng.uniform(-0.5, 0.5, start.shape))


def _timed(
    competitor: Competitor, problem: Problem, repeats: int
) -> tuple[Fit, list[float], float]:
    """A fit, the times of fits that count, and the time of the first."""
    begun = perf_counter()
    fit = competitor.fit(problem)
    first = perf_counter() - begun
    if competitor.slow:
        return fit, [first], first
    times: list[float] = []
    while len(times) < repeats and (len(times) < 1 or sum(times) < _LONG):
        begun = perf_counter()
        fit = competitor.fit(problem)
        times.append(perf_counter() - begun)
    return fit, times, first


def _row(
    k: int,
    name: str,
    timed: dict[str, _Timed],
    pixels: NDArray[np.uint8],
) -> BenchRow:
    """Compare one competitor's fit with kmq's."""
    (fit, times, first), (ours, our_times, _) = timed[name], timed["kmq"]
    cost, our_cost = (_cost(pixels, which.centers) for which in (fit, ours))
    change = cost / our_cost - 1 if our_cost else inf
    parity = "same" if same_centers(fit, ours) else f"cost {change:+.2%}"
    seconds = median(times)
    ratio = seconds / median(our_times)
    return BenchRow(k, name, seconds, len(times), ratio, first, fit.iterations, cost, parity)


def _cost(pixels: NDArray[np.uint8], centers: NDArray) -> float:
    """Mean squared distance to the nearest centre."""
    from kmq.reference import assign, inertia

    colors, counts = np.unique(pixels, axis=0, return_counts=True)
    return inertia(colors, counts, centers, assign(colors, centers)) / len(pixels)


def _sample_photo() -> NDArray[np.uint8]:
    """Pixels of a photo that comes with scikit-learn."""
    from sklearn.datasets import load_sample_image

    return np.ascontiguousarray(load_sample_image("china.jpg").reshape(-1, 3))


def _processor() -> str:
    """Name of the processor, as far as the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
