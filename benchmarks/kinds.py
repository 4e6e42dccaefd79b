"""Samples of the kinds that people have, of any number, to compare clusterings on."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_sample_image, make_blobs
from sklearn.decomposition import PCA
from sklearn.preprocessing import (
    MinMaxScaler,
    StandardScaler,
    normalize,
    quantile_transform,
    scale,
)

Kind = Callable[[np.random.Generator, int], NDArray]


def _decimals(places: int) -> Kind:
    """Measurements of three quantities, with some decimal places."""
    return lambda rng, n: rng.normal(0, 2, (n, 3)).round(places)


def _counts(rng: np.random.Generator, n: int) -> NDArray:
    """Counts of six things."""
    return rng.poisson(rng.gamma(2, 2, (n, 6)))


def _log_counts(rng: np.random.Generator, n: int) -> NDArray:
    return np.log1p(_counts(rng, n))


def _places(rng: np.random.Generator, n: int) -> NDArray:
    """Latitude and longitude to eleven metres, around some towns."""
    towns = rng.uniform((36, -10), (60, 30), (20, 2))
    return (towns[rng.integers(20, size=n)] + rng.normal(0, 0.3, (n, 2))).round(4)


def _times(rng: np.random.Generator, n: int) -> NDArray:
    """Seconds since 1970 and durations."""
    return np.column_stack([1.7e9 + rng.integers(0, 86_400 * 30, n), rng.exponential(300, n)])


def _prices(rng: np.random.Generator, n: int) -> NDArray:
    return rng.lognormal(3, 1, (n, 4)).round(2)


def _one_hot(rng: np.random.Generator, n: int) -> NDArray:
    """Categories, one column each, with two measurements."""
    return np.column_stack([np.eye(7)[rng.integers(7, size=n)], rng.normal(0, 1, (n, 2))])


def _ranks(rng: np.random.Generator, n: int) -> NDArray:
    return rng.normal(size=(n, 3)).argsort(axis=0).argsort(axis=0)


def _quantiles(rng: np.random.Generator, n: int) -> NDArray:
    return quantile_transform(
        rng.lognormal(0, 1, (n, 4)), n_quantiles=min(n, 1000), subsample=None, copy=False
    )


def _scores(rng: np.random.Generator, n: int) -> NDArray:
    """Five principal components of fifty correlated features."""
    X = make_blobs(n, 10, centers=6, random_state=int(rng.integers(1 << 30)))[0]
    X = X @ rng.normal(size=(10, 50)) + rng.normal(size=(n, 50))
    return PCA(5, svd_solver="full").fit_transform(X)


def _embeddings(rng: np.random.Generator, n: int) -> NDArray:
    """Unit vectors, some of them twice, and some of zeros."""
    X = normalize(
        rng.normal(size=(n, 64)) + 2 * rng.normal(size=(12, 64))[rng.integers(12, size=n)]
    )
    X[rng.choice(n, n // 100 + 1, replace=False)] = 0
    X[rng.choice(n, n // 20, replace=False)] = X[rng.choice(n, n // 20, replace=False)]
    return X


def _texts(rng: np.random.Generator, n: int) -> NDArray:
    """Latent semantics of short texts, rows normalised, some of them empty."""
    X = rng.normal(size=(n, 50)) * 0.9 ** np.arange(50)
    X[rng.choice(n, 15, replace=False)] = 0
    return normalize(X)


def _shades(rng: np.random.Generator, n: int) -> NDArray:
    """Pixels of a photo, 0 to 255."""
    pixels = load_sample_image("china.jpg").reshape(-1, 3)
    return pixels[rng.choice(len(pixels), n, replace=False)]


def _zero_inflated(rng: np.random.Generator, n: int) -> NDArray:
    return np.where(rng.random((n, 5)) < 0.6, 0.0, rng.gamma(2, 1, (n, 5)).round(1))


def _constant_columns(rng: np.random.Generator, n: int) -> NDArray:
    """Standardised, but for columns that are all alike."""
    return scale(np.column_stack([rng.normal(0, 1, (n, 4)).round(2), np.full((n, 2), 7.0)]))


def _blobs(rng: np.random.Generator, n: int) -> NDArray:
    return make_blobs(n, 8, centers=8, random_state=int(rng.integers(1 << 30)))[0]


def _copies(rng: np.random.Generator, n: int) -> NDArray:
    """Each sample five times."""
    return rng.permutation(rng.normal(size=(-(-n // 5), 6)).repeat(5, axis=0)[:n])


KINDS: dict[str, Kind] = {
    "1 decimal": _decimals(1),
    "2 decimals": _decimals(2),
    "3 decimals": _decimals(3),
    "4 decimals": _decimals(4),
    "percentages": lambda rng, n: (100 * rng.beta(2, 5, (n, 4))).round(1),
    "ratings 1 to 5": lambda rng, n: rng.integers(1, 6, (n, 8)),
    "counts": _counts,
    "log counts": _log_counts,
    "places": _places,
    "timestamps": _times,
    "prices": _prices,
    "one-hot": _one_hot,
    "ranks": _ranks,
    "quantiles": _quantiles,
    "principal components": _scores,
    "embeddings": _embeddings,
    "text vectors": _texts,
    "pixels": _shades,
    "pixels / 255": lambda rng, n: _shades(rng, n) / 255,
    "pixels, standardised": lambda rng, n: scale(_shades(rng, n).astype(float)),
    "whole numbers, min-max": lambda rng, n: MinMaxScaler().fit_transform(
        rng.binomial(15, 0.4, (n, 16))
    ),
    "thirds": lambda rng, n: rng.integers(0, 30, (n, 4)) / 3,
    "binary": lambda rng, n: (rng.random((n, 12)) < 0.4).astype(float),
    "zero-inflated": _zero_inflated,
    "heavy tails": lambda rng, n: rng.standard_t(2, (n, 4)),
    "constant columns": _constant_columns,
    "blobs": _blobs,
    "copies": _copies,
    "noise": lambda rng, n: rng.random((n, 3)),
    "noise, standardised": lambda rng, n: StandardScaler().fit_transform(rng.normal(size=(n, 16))),
    "wide noise": lambda rng, n: rng.normal(size=(n, 128)),
}
