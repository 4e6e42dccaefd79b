"""The step in NumPy gives the bits of the compiled one, and does without it."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kmq import KMeans
from kmq.engine import plain_step
from kmq.engine.dense import DenseStep
from kmq.engine.lloyd import lloyd
from kmq.engine.plain_step import PlainStep
from kmq.engine.steps import choose_step
from kmq.engine.table import Table

ALONE = """
import json, sys
import numpy as np
from kmq import KMeans
X = np.random.default_rng(0).normal(size=({n}, 3))
km = KMeans(4, random_state=0, max_iter=50).fit(X)
told = [km.inertia_, km.n_iter_, km.labels_.tolist(), km.cluster_centers_.tolist()]
told += [km.predict(X).tolist(), km.score(X), "numba" in sys.modules]
print(json.dumps(told))
"""


def read_only(array):
    array = np.ascontiguousarray(array).view()
    array.flags.writeable = False
    return array


def told(call):
    """What a call returns, and of what it warns."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        result = call()
    return result, [str(warning.message) for warning in heard]


def drawn(data, n, d):
    """Samples with few values, so that true ties, duplicates and empty clusters abound."""
    return data.draw(hnp.arrays(np.float64, (n, d), elements=st.integers(-3, 3).map(float)))


@given(data=st.data())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_whole_fits_are_those_of_brute_force_to_the_bit(data):
    n, d = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 40))
    k = data.draw(st.integers(1, min(n, 9)))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    scale = data.draw(st.sampled_from([1.0, 1 / 3, 1e-30, 1e19, 1e154, 1e300]))
    weight = data.draw(hnp.arrays(np.float64, n, elements=st.integers(0, 9).map(float))) / 7
    if not weight.any():
        return
    with np.errstate(over="ignore"):
        X = read_only((drawn(data, n, d) * scale).astype(dtype))
    if not np.isfinite(X).all():
        return
    with np.errstate(over="ignore"):
        mean = X.mean(axis=0)
    (plain, heard), (dense, expected) = (
        told(
            lambda make=make: lloyd(
                make(X, read_only(weight), k), X[:k].copy(), max_iter=9, tol=0, follow=mean
            )
        )
        for make in (PlainStep, DenseStep)
    )
    np.testing.assert_array_equal(plain.labels, dense.labels)
    np.testing.assert_array_equal(plain.centers, dense.centers)
    np.testing.assert_array_equal(plain.inertia_history, dense.inertia_history)
    np.testing.assert_equal(plain.inertia, dense.inertia)
    assert plain.labels.dtype == dense.labels.dtype
    assert plain.n_iter == dense.n_iter
    assert plain.strict == dense.strict
    assert heard == expected


@given(data=st.data())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_labels_are_those_of_brute_force_for_fewer_samples_than_centres(data):
    n, d, k = (data.draw(st.integers(1, most)) for most in (3, 40, 9))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    X = read_only((drawn(data, n, d) / 3).astype(dtype))
    # Shuffled features are as far from a sample of equal ones, but for rounding.
    order = np.random.default_rng(0)
    centers = order.permuted(np.tile(drawn(data, 1, d) / 7, (k, 1)), axis=1).astype(dtype)
    steps = [make(X, read_only(np.ones(n)), k) for make in (PlainStep, DenseStep)]
    for step in steps:
        step.assign(centers)
    plain, dense = steps
    np.testing.assert_array_equal(plain.labels, dense.labels)
    assert plain.assigned_inertia() == dense.assigned_inertia()
    assert plain.inertia(centers) == dense.inertia(centers)


@pytest.mark.parametrize(("n", "loaded"), [(300, False), (9000, True)])
def test_a_small_fit_loads_no_compiled_code(n, loaded):
    code = ALONE.format(n=n)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    inertia, n_iter, labels, centers, predicted, score, numba = json.loads(done.stdout)
    X = np.random.default_rng(0).normal(size=(n, 3))
    km = KMeans(4, random_state=0, max_iter=50).fit(X)
    assert numba == loaded
    assert inertia == km.inertia_
    assert n_iter == km.n_iter_
    np.testing.assert_array_equal(labels, km.labels_)
    np.testing.assert_array_equal(centers, km.cluster_centers_)
    np.testing.assert_array_equal(predicted, km.predict(X))
    assert score == km.score(X)


@pytest.mark.parametrize(
    ("n", "d", "k", "expected"),
    [
        (2047, 3, 8, PlainStep),
        (2048, 3, 8, DenseStep),
        (4000, 1, 8, DenseStep),
        (1000, 10, 5, PlainStep),
        (1000, 10, 6, DenseStep),
    ],
)
def test_the_choice(n, d, k, expected, monkeypatch, rng):
    monkeypatch.delitem(sys.modules, "kmq.kernels.jit")
    monkeypatch.setattr(plain_step, "_spent", 0.0)
    assert type(choose_step(Table(read_only(rng.random((n, d)))), k)) is expected


def test_patience_ends(monkeypatch, rng):
    monkeypatch.delitem(sys.modules, "kmq.kernels.jit")
    monkeypatch.setattr(plain_step, "_spent", 0.0)
    table = Table(read_only(rng.random((500, 3))))
    X = table.X
    step = choose_step(table, 8)
    assert type(step) is PlainStep
    step.assign(X[:8])
    once = plain_step._spent
    step.assign(X[8:16])
    assert 0 < once < plain_step._spent
    monkeypatch.setattr(plain_step, "_PATIENCE", once)
    assert type(choose_step(table, 8)) is DenseStep
