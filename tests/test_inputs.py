"""Samples in every form that people have them in give the same fit, and come back unharmed."""

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest

from kmq import KMeans

PLAIN = np.random.default_rng(5).integers(0, 200, (600, 3)).astype(float)


def fit(X, **weights):
    km = KMeans(5, random_state=0).fit(X, **weights)
    np.testing.assert_array_equal(km.labels_, km.predict(X))
    return km


def assert_same(ours, plain):
    np.testing.assert_array_equal(ours.labels_, plain.labels_)
    np.testing.assert_array_equal(ours.cluster_centers_, plain.cluster_centers_)
    np.testing.assert_array_equal(ours.inertia_history_, plain.inertia_history_)


def read_only(X, folder):
    X = X.copy()
    X.flags.writeable = False
    return X


def memory_mapped(X, folder):
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r")


def joblib_memory_mapped(X, folder):
    joblib.dump(X, folder / "X.joblib")
    return joblib.load(folder / "X.joblib", mmap_mode="r")


def strided(X, folder):
    return np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3]


def reversed_twice(X, folder):
    return X[::-1].copy()[::-1]


def swapped_bytes(X, folder):
    return X.astype(X.dtype.newbyteorder())


def unaligned(X, folder):
    buffer = np.zeros(X.nbytes + 1, np.uint8)[1:]
    view = buffer.view(X.dtype).reshape(X.shape)
    view[:] = X
    return view


FORMS = {
    "read-only": read_only,
    "memory-mapped": memory_mapped,
    "joblib memory map": joblib_memory_mapped,
    "Fortran order": lambda X, _: np.asfortranarray(X),
    "strided": strided,
    "reversed": reversed_twice,
    "other byte order": swapped_bytes,
    "unaligned": unaligned,
    "list": lambda X, _: X.tolist(),
    "pandas": lambda X, _: pd.DataFrame(X, columns=["a", "b", "c"]),
    "pandas mixed": lambda X, _: pd.DataFrame(X).astype({0: int, 1: np.float32}),
    "pandas nullable": lambda X, _: pd.DataFrame(X.astype(int)).astype("Int64"),
    "polars": lambda X, _: pl.DataFrame(X, schema=["a", "b", "c"]),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_form_makes_no_difference(form, tmp_path):
    X = FORMS[form](PLAIN, tmp_path)
    before = np.array(X, copy=True)
    assert_same(fit(X), fit(PLAIN))
    np.testing.assert_array_equal(np.array(X), before)


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int16, np.int32, np.int64, np.uint64, np.float16, object]
)
def test_whole_numbers_of_any_dtype_are_float64(dtype):
    ours = fit(PLAIN.astype(dtype))
    assert ours.cluster_centers_.dtype == np.float64
    assert_same(ours, fit(PLAIN))


def test_bool_is_float64():
    X = PLAIN > 100
    assert_same(fit(X), fit(X.astype(float)))


def test_float32_stays():
    X = PLAIN.astype(np.float32)
    km = fit(X)
    assert km.cluster_centers_.dtype == np.float32
    assert km.transform(X).dtype == np.float32
    np.testing.assert_array_equal(km.predict(PLAIN), km.labels_)


@pytest.mark.parametrize("form", ["read-only", "strided", "list", "memory-mapped"])
def test_weights_in_any_form(form, tmp_path):
    weight = np.random.default_rng(2).random((600, 1))
    given = FORMS[form](weight, tmp_path)
    given = [row[0] for row in given] if form == "list" else given[:, 0]
    assert_same(fit(PLAIN, sample_weight=given), fit(PLAIN, sample_weight=weight[:, 0]))


def test_starts_in_any_form():
    plain = KMeans(5, init=PLAIN[:5]).fit(PLAIN)
    start = pd.DataFrame(PLAIN[:5].astype(int))
    before = start.copy()
    assert_same(KMeans(5, init=start).fit(PLAIN), plain)
    assert_same(KMeans(5, init=PLAIN[:5].tolist()).fit(PLAIN), plain)
    assert_same(KMeans(5, init=np.asfortranarray(PLAIN[:5])).fit(PLAIN), plain)
    pd.testing.assert_frame_equal(start, before)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([[1.0, np.nan], [2.0, 3.0]], "Input X contains NaN"),
        ([[1.0, np.inf], [2.0, 3.0]], "Input X contains infinity"),
        ([1.0, 2.0], "Expected 2D array"),
        (np.empty((0, 3)), "minimum of 1 is required"),
        (np.empty((3, 0)), "minimum of 1 is required"),
        ([["a", "b"], ["c", "d"]], "could not convert string to float"),
        (np.array([[1j], [2j]]), "Complex data not supported"),
    ],
)
def test_what_cannot_be_clustered_is_refused(X, message):
    with pytest.raises(ValueError, match=message):
        KMeans(1).fit(X)


@pytest.mark.parametrize("copy_x", [True, False])
def test_the_callers_array_is_never_written(copy_x):
    X = PLAIN.copy()
    KMeans(4, copy_x=copy_x, random_state=0).fit(X)
    np.testing.assert_array_equal(X, PLAIN)


@pytest.mark.parametrize(("n", "d", "k"), [(1, 1, 1), (1, 5, 1), (7, 1, 7), (5, 3, 5), (2, 40, 2)])
def test_the_smallest_fits(n, d, k):
    X = np.random.default_rng(0).random((n, d))
    km = KMeans(k, random_state=0).fit(X)
    assert km.inertia_ == pytest.approx(0, abs=1e-20) or k < n
    assert sorted(km.labels_) == list(range(k))
    assert_same(km, KMeans(k, random_state=0).fit(np.asfortranarray(X)))
