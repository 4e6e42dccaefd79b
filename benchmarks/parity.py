"""Survey: how often `KMeans(k, random_state=s)` ends as scikit-learn's, on the data people have.

Run with ``python -m benchmarks.parity``; ``--most 20000`` leaves larger tables out. A fit counts as
equal where labels and iterations are, and centres and inertia agree to 1e-9 (float64) or 1e-4
(float32) of the data's size. Labels may differ of samples that lie between two final centres to
within the rounding of scikit-learn's arithmetic: such fits are counted apart as well.
scikit-learn is compared with itself on one thread by the same rule. Of each miss it is told in
which iteration labels part.

Where there are fewer distinct samples than clusters, scikit-learn parks the empty clusters on the
sample with the largest rounding noise, which its number of threads decides. The centres of empty
clusters are not compared.
"""

import argparse
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_iris,
    load_sample_image,
    load_wine,
    make_blobs,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale
from threadpoolctl import threadpool_limits

from kmq import KMeans

from .kinds import KINDS
from .problems import ROOT, pixels

SHARED = ROOT.parent / "shared" / "data"
# Samples, numbers of clusters and seeds.
SIZES = {150: ((8,), 4), 2000: ((8, 20), 2), 20_000: ((20,), 2), 200_000: ((20,), 1)}
DTYPES = (np.float64, np.float32)


@dataclass(frozen=True, eq=False)
class Case:
    """One fit: samples, parameters and weights."""

    group: str
    X: NDArray
    params: dict[str, Any]
    weight: NDArray | None = None
    seed: int = 0

    def fit(self, estimator: type, **changes: Any) -> Any:
        """Fit a class that has scikit-learn's parameters."""
        params = {"random_state": self.seed} | self.params | changes
        return estimator(**params).fit(self.X, sample_weight=self.weight)

    @property
    def precision(self) -> str:
        """Precision that the fit is worked out in."""
        return "float32" if self.X.dtype == np.float32 else "float64"

    @property
    def size(self) -> int:
        """Size class: the most samples of it."""
        return next((most for most in SIZES if len(self.X) <= most), max(SIZES))


def kinds() -> Iterator[Case]:
    """Every kind of data in every size and both precisions."""
    for (n, (ks, n_seeds)), (name, make) in product(SIZES.items(), KINDS.items()):
        for seed in range(n_seeds):
            X = np.asarray(make(np.random.default_rng(seed), n), np.float64)
            for k, dtype in product(ks, DTYPES):
                yield Case(name, X.astype(dtype), {"n_clusters": k}, seed=seed)


def small_tables() -> Iterator[Case]:
    """The tables that scikit-learn brings, as they are and standardised."""
    tables = {
        "iris": load_iris().data,
        "wine": load_wine().data,
        "breast cancer": load_breast_cancer().data,
        "digits": load_digits().data,
        "digits / 16": load_digits().data / 16,
    }
    for (name, X), k, seed, dtype in product(tables.items(), (8, 20), range(4), DTYPES):
        yield Case(name, X.astype(dtype), {"n_clusters": k}, seed=seed)
        if "/" not in name:
            X = scale(X)
            yield Case(f"{name}, standardised", X.astype(dtype), {"n_clusters": k}, seed=seed)


def starts() -> Iterator[Case]:
    """Every kind of start, restart and weight, on blobs and on decimals."""
    for seed, decimals in product(range(4), (16, 1)):
        rng = np.random.default_rng(seed)
        X = make_blobs(1500, 5, centers=9, cluster_std=3, random_state=seed)[0].round(decimals)
        k = 9
        for init in ("k-means++", "random"):
            for n_init in (1, 4):
                yield Case("starts", X, _params(k, init, n_init=n_init), seed=seed)
        yield Case("starts", X, _params(k, X[:k], n_init=1), seed=seed)
        yield Case("starts", X, _params(k, first_rows, n_init=2), seed=seed)
        yield Case("starts", X, _params(k, algorithm="elkan"), seed=seed)
        yield Case("starts", X, _params(1), seed=seed)
        for weight in (rng.random(1500), rng.integers(0, 3, 1500).astype(float)):
            yield Case("weights", X, _params(k), weight, seed)
            yield Case("weights", X, _params(k, "random", n_init=2), weight, seed)


def _params(k: int, init: Any = "k-means++", **more: Any) -> dict[str, Any]:
    """Parameters of a fit."""
    return {"n_clusters": k, "init": init} | more


def first_rows(X: NDArray, k: int, random_state: Any) -> NDArray:
    """A start made of samples, as a callable may give it."""
    return X[random_state.permutation(len(X))[:k]]


def tables() -> Iterator[Case]:
    """Tables of files beside the checkout, where these are there."""
    for name, k in {"s1": 15, "birch_rg1": 100, "letter_recognition": 26, "dim128": 16}.items():
        path = SHARED / "tables" / f"{name}.txt"
        if path.exists():
            d = int(path.read_text().split(maxsplit=2)[1])
            X = np.loadtxt(path, skiprows=1)[:, :d]
            low, high = X.min(axis=0), X.max(axis=0)
            for seed, dtype in product(range(3), DTYPES):
                yield Case(name, X.astype(dtype), {"n_clusters": k}, seed=seed)
                scaled = ((X - low) / (high - low)).astype(dtype)
                yield Case(f"{name}, min-max", scaled, {"n_clusters": k}, seed=seed)


def photos() -> Iterator[Case]:
    """All pixels of photos, as 8-bit integers and scaled."""
    for name, k, seed in product(("china.jpg", "flower.jpg"), (8, 64), range(2)):
        X = load_sample_image(name).reshape(-1, 3)
        yield Case("photos", X, {"n_clusters": k}, seed=seed)
        for dtype in DTYPES:
            yield Case("photos / 255", (X / 255).astype(dtype), {"n_clusters": k}, seed=seed)
    for path in sorted(SHARED.glob("kodak/*.png")):
        yield Case("photos", pixels(path), {"n_clusters": 16})


def equal(case: Case, ours: Any, theirs: Any) -> str:
    """Say how two fits are equal: "yes", "but for ties", or "no"."""
    single = case.X.dtype == np.float32
    rtol = 1e-4 if single else 1e-9
    size = float(np.abs(case.X).max())
    eps = np.finfo(np.float32 if single else np.float64).eps
    noise = case.X.size * (4 * eps * size) ** 2
    used = np.unique(ours.labels_)
    if not (
        ours.n_iter_ == theirs.n_iter_
        and np.allclose(
            ours.cluster_centers_[used], theirs.cluster_centers_[used], rtol, rtol * size
        )
        and np.isclose(ours.inertia_, theirs.inertia_, rtol, noise)
    ):
        return "no"
    parted = np.flatnonzero(ours.labels_ != theirs.labels_)
    if len(parted) == 0:
        return "yes"
    return "but for ties" if _excess(case, ours, theirs, parted) <= 1 else "no"


def parting(case: Case) -> int:
    """The iteration in which labels part, 0 where they do in none."""
    first, last = 1, 300

    def parted(iterations: int) -> bool:
        ours, theirs = (
            case.fit(cls, max_iter=iterations, tol=0) for cls in (KMeans, SklearnKMeans)
        )
        return equal(case, ours, theirs) == "no"

    if not parted(last):
        return 0
    # Fits that parted stay so, but for rare exceptions.
    while first < last:
        middle = (first + last) // 2
        if parted(middle):
            last = middle
        else:
            first = middle + 1
    return first


def _excess(case: Case, ours: Any, theirs: Any, parted: NDArray) -> float:
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


@dataclass(frozen=True)
class Result:
    """What one fit came to."""

    case: Case
    verdict: str
    to_itself: str
    parted: int


def examine(case: Case) -> Result:
    """Fit a case with both, and with scikit-learn on one thread."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        ours, theirs = case.fit(KMeans), case.fit(SklearnKMeans)
        with threadpool_limits(1):
            alone = case.fit(SklearnKMeans)
        verdict = equal(case, ours, theirs)
        parted = parting(case) if verdict == "no" else -1
        return Result(case, verdict, equal(case, alone, theirs), parted)


def table(title: str, groups: dict[tuple[str, ...], list[Result]]) -> str:
    """Rates of groups of fits, as a table in Markdown."""
    lines = [
        f"| {title} | fits | equal | of these but for final ties | scikit-learn to itself |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for names, results in groups.items():
        same = Counter(result.verdict for result in results)
        itself = sum(result.to_itself != "no" for result in results)
        rate = 1 - same["no"] / len(results)
        lines.append(
            f"| {' | '.join(names)} | {len(results)} | {rate:.1%} | {same['but for ties']} "
            f"| {itself / len(results):.1%} |"
        )
    return "\n".join(lines)


def grouped(results: list[Result], by_kind: bool) -> dict[tuple[str, ...], list[Result]]:
    """Results by precision and size, or by kind and precision."""
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        case = result.case
        size = f"up to {case.size:,}" if case.size < max(SIZES) else "more"
        names = (case.group, case.precision) if by_kind else (case.precision, size)
        groups.setdefault(names, []).append(result)
    return groups if by_kind else dict(sorted(groups.items(), key=lambda pair: pair[0][0]))


def main() -> None:
    """Print the rates by kind, precision and size, and where fits part."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.parity", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--most", type=int, default=max(SIZES), metavar="N", help="leave out more")
    parser.add_argument("--kind", action="append", metavar="NAME", help="only this kind of data")
    chosen = parser.parse_args()
    cases = [
        case
        for source in (small_tables, starts, kinds, tables, photos)
        for case in source()
        if len(case.X) <= chosen.most and (chosen.kind is None or case.group in chosen.kind)
    ]
    if not cases:
        parser.error(f"no data of --kind {chosen.kind} with --most {chosen.most}")
    results = []
    for case in track(cases, "Fitting"):
        result = examine(case)
        results.append(result)
        if result.verdict == "no":
            n, d = case.X.shape
            part = f"iteration {result.parted}" if result.parted else "none, only in the end"
            print(
                f"parts: {case.group}, {n:,} x {d} {case.precision}, k = "
                f"{case.params['n_clusters']}, seed {case.seed}: {part}; scikit-learn "
                f"{'parts from' if result.to_itself == 'no' else 'equals'} itself",
                flush=True,
            )
    print("\n" + table("kind | precision", grouped(results, by_kind=True)))
    print("\n" + table("precision | samples", grouped(results, by_kind=False)))


if __name__ == "__main__":
    main()
