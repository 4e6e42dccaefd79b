"""Seed for seed: how often `KMeans(k, random_state=s)` equals scikit-learn's, and why not.

Run with ``python -m benchmarks.parity``. A fit matches where labels and iterations are equal and
centres and inertia agree to 1e-9 (float64) or 1e-4 (float32) of the data's size. Each miss is
traced to the first iteration whose labels part, and called a rounding tie if every sample that
parted lies between two centres to within the rounding of scikit-learn's own arithmetic.

Where there are fewer distinct samples than clusters, scikit-learn parks the empty clusters on the
sample with the largest rounding noise, which its number of threads decides. The centres of empty
clusters are not compared.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.datasets import load_sample_image, make_blobs
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from kmq import KMeans

from .problems import ROOT, pixels

SHARED = ROOT.parent / "shared" / "data"


@dataclass(frozen=True, eq=False)
class Case:
    """One fit: samples, parameters and weights."""

    group: str
    name: str
    X: NDArray
    params: dict[str, Any]
    weight: NDArray | None = None
    seed: int = 0

    def fit(self, estimator: type, **changes: Any) -> Any:
        """Fit a class that has scikit-learn's parameters."""
        params = {"random_state": self.seed} | self.params | changes
        return estimator(**params).fit(self.X, sample_weight=self.weight)


@dataclass
class Tally:
    """What one group of fits came to."""

    fits: int = 0
    matches: int = 0
    misses: list[str] = field(default_factory=list)
    self_matches: int = 0


def generated() -> Iterator[Case]:
    """Blobs, uniform noise and duplicates, in the dtypes that people have."""
    blobs = [(150, 4, 3), (1000, 8, 8), (5000, 2, 15), (2000, 30, 10), (20_000, 3, 32)]
    noise = [(500, 1, 5), (1000, 2, 20), (3000, 16, 25), (2000, 64, 8), (20_000, 3, 50)]
    for (n, d, k), seed in product(blobs, range(6)):
        X = make_blobs(n, d, centers=k, random_state=seed)[0]
        for dtype in (np.float64, np.float32):
            yield Case("blobs", f"{n}x{d}", X.astype(dtype), {"n_clusters": k}, seed=seed)
    for (n, d, k), seed in product(noise, range(6)):
        X = np.random.default_rng(seed).random((n, d))
        for dtype in (np.float64, np.float32):
            yield Case("noise", f"{n}x{d}", X.astype(dtype), {"n_clusters": k}, seed=seed)
    for (n, d, levels, k), seed in product(
        [(500, 2, 3, 12), (2000, 3, 6, 12), (500, 8, 2, 7), (300, 1, 40, 9)], range(6)
    ):
        X = np.random.default_rng(seed).integers(0, levels, (n, d))
        yield Case("duplicates", f"{n}x{d}", X, {"n_clusters": k}, seed=seed)


def starts() -> Iterator[Case]:
    """Every kind of start, restart and weight."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        X = make_blobs(1500, 5, centers=9, cluster_std=3, random_state=seed)[0]
        k = 9
        for init in ("k-means++", "random"):
            for n_init in (1, 4):
                yield Case("starts", init, X, _params(k, init, n_init=n_init), seed=seed)
        yield Case("starts", "array", X, _params(k, X[:k], n_init=1), seed=seed)
        yield Case("starts", "callable", X, _params(k, first_rows, n_init=2), seed=seed)
        yield Case("starts", "elkan", X, _params(k, algorithm="elkan"), seed=seed)
        yield Case("starts", "one cluster", X, _params(1), seed=seed)
        for weight in (rng.random(1500), rng.integers(0, 3, 1500).astype(float)):
            yield Case("weights", "k-means++", X, _params(k), weight, seed)
            yield Case("weights", "random", X, _params(k, "random", n_init=2), weight, seed)


def _params(k: int, init: Any = "k-means++", **more: Any) -> dict[str, Any]:
    """Parameters of a fit."""
    return {"n_clusters": k, "init": init} | more


def first_rows(X: NDArray, k: int, random_state: Any) -> NDArray:
    """A start made of samples, as a callable may give it."""
    return X[random_state.permutation(len(X))[:k]]


def tables() -> Iterator[Case]:
    """The tables of ../shared, as they are and in single precision."""
    for name, k in {"s1": 15, "birch_rg1": 100, "letter_recognition": 26, "dim128": 16}.items():
        path = SHARED / "tables" / f"{name}.txt"
        if path.exists():
            d = int(path.read_text().split(maxsplit=2)[1])
            X = np.loadtxt(path, skiprows=1)[:, :d]
            for seed in range(4):
                for dtype in (np.float64, np.float32):
                    yield Case("tables", name, X.astype(dtype), {"n_clusters": k}, seed=seed)


def photos() -> Iterator[Case]:
    """All pixels of real photos, as 8-bit integers."""
    pictures = {
        name: load_sample_image(name).reshape(-1, 3) for name in ("china.jpg", "flower.jpg")
    }
    for name, k, seed in product(pictures, (8, 16, 64), range(3)):
        yield Case("photos", name, pictures[name], {"n_clusters": k}, seed=seed)
    for path in sorted(SHARED.glob("kodak/*.png")):
        for k, seed in product((8, 32), range(2)):
            yield Case("photos", path.name, pixels(path), {"n_clusters": k}, seed=seed)


def matches(case: Case, ours: Any, theirs: Any) -> bool:
    """Whether two fits are the same."""
    single = case.X.dtype == np.float32
    rtol = 1e-4 if single else 1e-9
    size = float(np.abs(case.X).max())
    eps = np.finfo(np.float32 if single else np.float64).eps
    noise = case.X.size * (4 * eps * size) ** 2
    used = np.unique(ours.labels_)
    return bool(
        np.array_equal(ours.labels_, theirs.labels_)
        and ours.n_iter_ == theirs.n_iter_
        and np.allclose(
            ours.cluster_centers_[used], theirs.cluster_centers_[used], rtol, rtol * size
        )
        and np.isclose(ours.inertia_, theirs.inertia_, rtol, noise)
    )


def explain(case: Case) -> str:
    """Find the first iteration whose labels part, and how far from a tie the samples were."""
    for iterations in range(1, 301):
        short = {"max_iter": iterations, "tol": 0}
        ours, theirs = case.fit(KMeans, **short), case.fit(SklearnKMeans, **short)
        parted = np.flatnonzero(ours.labels_ != theirs.labels_)
        if len(parted):
            excess = _gap_over_rounding(case, ours, theirs, parted)
            verdict = "rounding tie" if excess <= 1 else "NOT A TIE"
            return (
                f"iteration {iterations}, {len(parted)} sample(s), "
                f"gap {excess:.2g} of what rounding allows: {verdict}"
            )
    return "labels never part: UNEXPLAINED"


def _gap_over_rounding(case: Case, ours: Any, theirs: Any, parted: NDArray) -> float:
    """Largest difference of squared distances, in units of what rounding can bring about."""
    X = np.asarray(case.X, np.float64)
    mean = X.mean(axis=0)
    x, centers = X[parted] - mean, ours.cluster_centers_.astype(np.float64) - mean
    moved = np.linalg.norm(centers - (theirs.cluster_centers_ - mean), axis=1).max()
    near, other = centers[ours.labels_[parted]], centers[theirs.labels_[parted]]
    sq_near, sq_other = ((x - near) ** 2).sum(axis=1), ((x - other) ** 2).sum(axis=1)
    dtype = case.X.dtype if case.X.dtype == np.float32 else np.dtype(np.float64)
    size = np.linalg.norm(x, axis=1) + np.linalg.norm(centers, axis=1).max()
    # |c|² - 2xc rounds once per feature and twice more, on either side of the comparison; the
    # centres that entered it differed by their own rounding.
    rounding = 2 * (X.shape[1] + 2) * np.finfo(dtype).eps * size**2
    return float(((sq_other - sq_near) / (rounding + 4 * np.sqrt(sq_other) * moved)).max())


def measure(cases: Iterator[Case], report: Callable[[str], None]) -> dict[tuple[str, str], Tally]:
    """Fit every case with both, and say why where they differ."""
    tallies: dict[tuple[str, str], Tally] = {}
    for case in cases:
        tally = tallies.setdefault((case.group, case.X.dtype.name), Tally())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            ours, theirs = case.fit(KMeans), case.fit(SklearnKMeans)
            with threadpool_limits(1):
                alone = case.fit(SklearnKMeans)
            tally.fits += 1
            tally.self_matches += matches(case, alone, theirs)
            if matches(case, ours, theirs):
                tally.matches += 1
                continue
            k = case.params["n_clusters"]
            miss = f"{case.name} {case.X.dtype} k={k} seed={case.seed}: {explain(case)}"
        tally.misses.append(miss)
        report(f"miss: {case.group} {miss}")
    return tallies


def main() -> None:
    """Print the rate of each group, and every miss with its reason."""

    def cases() -> Iterator[Case]:
        for source in (generated, starts, tables, photos):
            yield from source()

    tallies = measure(cases(), print)
    print(f"\n{'group':12} {'dtype':8} {'fits':>5} {'equal':>6} {'scikit-learn to itself':>23}")
    for (group, dtype), tally in tallies.items():
        print(
            f"{group:12} {dtype:8} {tally.fits:5} {tally.matches / tally.fits:6.1%} "
            f"{tally.self_matches / tally.fits:23.1%}"
        )
    fits = sum(tally.fits for tally in tallies.values())
    equal = sum(tally.matches for tally in tallies.values())
    print(f"{equal} of {fits} fits equal ({equal / fits:.1%})")


if __name__ == "__main__":
    main()
