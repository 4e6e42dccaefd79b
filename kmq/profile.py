"""Cost, time and quality of k-means against k."""

import csv
import inspect
import io
import json
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from kmq.clock import now
from kmq.curves import find_knee, plot_k_metrics, plot_profiles
from kmq.encode import encode
from kmq.files import StrPath
from kmq.image import Image

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.random import RandomState
    from numpy.typing import NDArray

__all__ = [
    "KProfile",
    "KRow",
    "find_knee",
    "plot_k_metrics",
    "plot_profiles",
    "profile_k",
    "record_k_metrics",
]

_MOST_INDEXED = 256


@dataclass(frozen=True)
class KRow:
    """One number of clusters.

    Attributes
    ----------
    k : int
        Clusters.
    cost : float
        Squared distances of all pixels to their centres, summed. The centres are as fitted, not
        rounded.
    seconds : float
        Median wall time of a fit, all its starts together.
    least_seconds, most_seconds : float
        The extremes of the same.
    iterations : int
        Of the start that was kept.
    psnr : float or None
        In dB, of the picture in the colours found, rounded to whole numbers; infinite without
        error, None where not asked for.
    png_bytes : int or None
        Size of that picture as indexed PNG, None above 256 colours or where not asked for.
    """

    k: int
    cost: float
    seconds: float
    least_seconds: float
    most_seconds: float
    iterations: int
    psnr: float | None = None
    png_bytes: int | None = None


_COLUMNS = tuple(KRow.__dataclass_fields__)


@dataclass(frozen=True)
class KProfile:
    """What `profile_k` recorded, a row for each k.

    Attributes
    ----------
    name : str
        Whose fits these are.
    rows : list of KRow
        In the order of the numbers of clusters that were asked for.
    """

    name: str
    rows: list[KRow] = field(default_factory=list)

    @property
    def k_values(self) -> list[int]:
        """Numbers of clusters."""
        return [row.k for row in self.rows]

    @property
    def costs(self) -> list[float]:
        """Cost for each k."""
        return [row.cost for row in self.rows]

    @property
    def seconds(self) -> list[float]:
        """Median time for each k."""
        return [row.seconds for row in self.rows]

    @property
    def knee(self) -> int | None:
        """The k at which cost bends; see `find_knee`."""
        return find_knee(self.k_values, self.costs)

    def to_csv(self, path: StrPath | None = None) -> str:
        """Return the rows as CSV under their names, and write them to `path` where one is given."""
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in self.rows)
        return _written(buffer.getvalue(), path)

    def to_json(self, path: StrPath | None = None) -> str:
        """Return name, knee and rows as JSON, and write them to `path` where one is given.

        An infinite PSNR, which JSON cannot say, is null.
        """
        rows = [asdict(row) for row in self.rows]
        for row in rows:
            if row["psnr"] is not None and not np.isfinite(row["psnr"]):
                row["psnr"] = None
        content = {"name": self.name, "knee": self.knee, "rows": rows}
        return _written(json.dumps(content, indent=2, allow_nan=False) + "\n", path)

    def to_frame(self) -> "pd.DataFrame":
        """Return the rows as a pandas frame.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows], columns=list(_COLUMNS))

    def plot(self, *, log: bool = False, figsize: tuple[float, float] = (10, 4)) -> "Figure":
        """Draw cost and time against k; see `plot_profiles`."""
        return plot_profiles(self, log=log, figsize=figsize)


def profile_k(
    img: Image,
    k_values: Iterable[int],
    random_state: "int | RandomState | None" = None,
    *,
    n_init: int = 5,
    repeats: int = 3,
    estimator: Any = None,
    name: str | None = None,
    pictures: bool = True,
    progress: bool = False,
) -> KProfile:
    """Fit the pixels of a picture for each of several numbers of clusters.

    A fit before the first, not counted, loads the compiled kernels. kmq counts the colours of the
    picture once for all fits; the time that took is added to that of each fit, so that a row
    says what a fit alone takes.

    Parameters
    ----------
    img : Image
        The picture; its opacity plays no part.
    k_values : iterable of int
        Numbers of clusters.
    random_state : int, RandomState or None
        Seed of every fit.
    n_init : int
        Starts of every fit, of which the best counts.
    repeats : int
        Fits of the same k, of whose times the median counts.
    estimator : optional
        Who fits in place of `kmq.KMeans`: a class that takes scikit-learn's ``n_clusters``,
        ``n_init`` and ``random_state``; an estimator, of which each fit gets a copy with its
        ``n_clusters``; or a function of k that makes an unfitted model. Models need
        ``cluster_centers_``, ``labels_`` and ``n_iter_`` or ``iterations`` once fitted.
    name : str, optional
        What the record and its plot call the estimator; by default its module and class.
    pictures : bool
        Whether the picture is drawn in the colours found, for PSNR and PNG size. Not timed.
    progress : bool
        Whether to show a bar on stderr.

    Returns
    -------
    KProfile

    Raises
    ------
    ValueError
        If `repeats` is below 1, or a number of clusters does not suit the picture.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    sweep = _Sweep(img, estimator, n_init, random_state)
    profile = KProfile(name or sweep.name)
    for k in _shown(k_values, f"fitting with {profile.name}", progress):
        profile.rows.append(sweep.row(k, repeats, pictures))
    return profile


def record_k_metrics(
    img: Image,
    k_values: Iterable[int],
    random_state: "int | RandomState | None" = None,
    *,
    n_init: int = 5,
    estimator: Any = None,
    progress: bool = False,
) -> tuple[list[float], list[float]]:
    """Fit the pixels of a picture once for each k, and record cost and time.

    Parameters
    ----------
    img, k_values, random_state, n_init, estimator, progress
        As for `profile_k`.

    Returns
    -------
    clusters_cost_list : list of float
        For each k the squared distances of all pixels to their centres, summed. The centres are
        as fitted, not rounded.
    execution_time_list : list of float
        For each k the wall time of a fit in seconds, all starts together.
    """
    recorded = profile_k(
        img,
        k_values,
        random_state,
        n_init=n_init,
        repeats=1,
        estimator=estimator,
        pictures=False,
        progress=progress,
    )
    return recorded.costs, recorded.seconds


class _Sweep:
    """Fits of one picture by one kind of model, which share what does not depend on k."""

    def __init__(
        self, img: Image, estimator: Any, n_init: int, random_state: "int | RandomState | None"
    ) -> None:
        self._img = img
        self._estimator = estimator
        self._parameters = {"n_init": n_init, "random_state": random_state}
        self._warm = False
        self._shared_seconds = 0.0

    @property
    def name(self) -> str:
        """Package and class of the model."""
        if self._estimator is None:
            return "kmq"
        made_by = self._estimator if callable(self._estimator) else type(self._estimator)
        return f"{made_by.__module__.partition('.')[0]}.{made_by.__name__}"

    @cached_property
    def _kmeans(self) -> Any:
        """`KMeans` that counts the picture's colours once, before the first fit."""
        from kmq.checks import read_only
        from kmq.engine.samples import choose_samples
        from kmq.model import KMeans

        pixels = self._img.rgb_vector
        KMeans(1, max_iter=1).fit(pixels)
        begun = now()
        samples = choose_samples(read_only(pixels), None, shared=True)
        self._shared_seconds = now() - begun

        class Sweeping(KMeans):
            """`KMeans` of the same pixels always."""

            def _samples(self, X: "NDArray", weight: "NDArray | None") -> Any:
                return samples

        return Sweeping

    def _model(self, k: int, **parameters: Any) -> Any:
        """An unfitted model of `k` clusters."""
        estimator = self._kmeans if self._estimator is None else self._estimator
        if inspect.isclass(estimator):
            make: Any = estimator
            return make(n_clusters=k, **{**self._parameters, **parameters})
        if hasattr(estimator, "set_params"):
            from sklearn.base import clone

            return clone(estimator).set_params(n_clusters=k)
        return estimator(k)

    def row(self, k: int, repeats: int, pictures: bool) -> KRow:
        """Fit, measure and look at the result."""
        pixels = self._img.rgb_vector
        if not self._warm:
            self._warm = True
            self._warm_up(k)
        times = []
        for _ in range(repeats):
            model = self._model(k)
            begun = now()
            model.fit(pixels)
            times.append(now() - begun + self._shared_seconds)
        centers = np.asarray(model.cluster_centers_, np.float64)
        iterations = int(model.n_iter_ if hasattr(model, "n_iter_") else model.iterations)
        quality = self._quality(centers) if pictures else (None, None)
        return KRow(
            k, self._cost(model), median(times), min(times), max(times), iterations, *quality
        )

    def _warm_up(self, k: int) -> None:
        """Make a short fit that loads what the others will need, where one can be made."""
        if self._estimator is None or inspect.isclass(self._estimator):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._model(k, n_init=1, max_iter=2, random_state=0).fit(self._img.rgb_vector)

    def _cost(self, model: Any) -> float:
        """Inertia as the model says it, or that of its labels."""
        if hasattr(model, "inertia_"):
            return float(model.inertia_)
        from kmq.model import clusters_cost

        return clusters_cost(self._img.rgb_vector, model.cluster_centers_, model.labels_)

    def _quality(self, centers: "NDArray[np.float64]") -> tuple[float, int | None]:
        """PSNR and PNG size of the picture in the nearest of the rounded centres."""
        from kmq.palette import Palette

        rounded = np.clip(np.rint(centers), 0, 255).astype(np.uint8)
        palette = Palette(np.unique(rounded, axis=0))
        opaque = Image(self._img.rgb_matrix)
        picture = palette.apply(opaque)
        indexed = len(palette) <= _MOST_INDEXED
        return picture.psnr, len(encode(picture)) if indexed else None


def _shown(k_values: Iterable[int], text: str, progress: bool) -> Iterable[int]:
    """The numbers of clusters, with a bar on stderr where it is wanted."""
    if not progress:
        return k_values
    from rich.console import Console
    from rich.progress import track

    return track(k_values, text, console=Console(stderr=True))


def _written(text: str, path: StrPath | None) -> str:
    """The text, also in a file where one is named."""
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text
