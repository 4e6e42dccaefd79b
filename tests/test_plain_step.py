"""The step in NumPy gives the bits of the compiled one, and does without it."""

import json
import subprocess
import sys

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


@given(data=st.data())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_whole_fits_are_those_of_brute_force_to_the_bit(data):
    n, d = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 12))
    k = data.draw(st.integers(1, min(n, 9)))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    scale = data.draw(st.sampled_from([1.0, 1 / 3, 1e-30, 1e30, 1e300]))
    # Few values, so that true ties, duplicates and empty clusters abound.
    X = data.draw(hnp.arrays(np.float64, (n, d), elements=st.integers(-3, 3).map(float)))
    weight = data.draw(hnp.arrays(np.float64, n, elements=st.integers(1, 9).map(float))) / 7
    with np.errstate(over="ignore"):
        X = read_only((X * scale).astype(dtype))
    if not np.isfinite(X).all():
        return
    with np.errstate(over="ignore", invalid="ignore"):
        plain, dense = (
            lloyd(make(X, read_only(weight), k), X[:k].copy(), max_iter=9, tol=0, follow_ties=True)
            for make in (PlainStep, DenseStep)
        )
    np.testing.assert_array_equal(plain.labels, dense.labels)
    np.testing.assert_array_equal(plain.centers, dense.centers)
    np.testing.assert_array_equal(plain.inertia_history, dense.inertia_history)
    np.testing.assert_equal(plain.inertia, dense.inertia)
    assert plain.labels.dtype == dense.labels.dtype
    assert plain.n_iter == dense.n_iter
    assert plain.strict == dense.strict


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


def test_patience_ends(monkeypatch):
    monkeypatch.delitem(sys.modules, "kmq.kernels.jit")
    monkeypatch.setattr(plain_step, "_spent", 0.0)
    assert plain_step.pays()
    monkeypatch.setattr(plain_step, "_spent", 1.0)
    assert not plain_step.pays()
