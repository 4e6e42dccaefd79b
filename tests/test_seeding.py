"""k-means++ draws what scikit-learn draws, whatever keeps its potential."""

import numpy as np
import pytest
from sklearn.cluster import kmeans_plusplus as sklearn_plusplus

from kmq.engine import potentials, seeding
from kmq.engine.cell_seeding import CellPotential
from kmq.engine.potentials import PrunedPotential


def read_only(array):
    array = np.ascontiguousarray(array).view()
    array.flags.writeable = False
    return array


def samples(n, d, kind, seed=0):
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return rng.random((n, d))
    middles = rng.uniform(-10, 10, (12, d))
    return middles[rng.integers(12, size=n)] + rng.standard_normal((n, d))


def plain_potentials(X, weight, sq_closest, candidates):
    """Potential that each candidate would leave, in NumPy."""
    lowered = [np.minimum(sq_closest, ((X - X[c]) ** 2).sum(axis=1)) for c in candidates]
    return np.array([weight @ sq for sq in lowered])


@pytest.mark.parametrize("kind", ["noise", "blobs"])
@pytest.mark.parametrize(("n", "d"), [(9000, 1), (9001, 2), (20_000, 4), (9000, 5), (8500, 40)])
def test_same_start_as_scikit_learn(n, d, kind):
    X = read_only(samples(n, d, kind))
    ours = seeding.kmeans_plusplus(X, 25, np.ones(n), np.random.RandomState(7))
    # scikit-learn's estimator seeds on samples less their mean.
    theirs = sklearn_plusplus(X - X.mean(axis=0), 25, random_state=np.random.RandomState(7))[1]
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("make", [CellPotential, lambda *args: PrunedPotential(*args, np.zeros(3))])
@pytest.mark.parametrize("trials", [1, 3, 21])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_each_round_follows_the_definition(make, trials, offset, rng):
    X = read_only(samples(5000, 3, "blobs") + offset)
    weight = read_only(rng.integers(0, 4, len(X)).astype(float))
    potential = make(X, weight)
    potential.start(17)
    sq_closest = ((X - X[17]) ** 2).sum(axis=1)
    for _ in range(30):
        uniform = rng.random(trials)
        drawn = potential.draw(uniform)
        reached = np.cumsum(weight * sq_closest)
        expected = np.searchsorted(reached, uniform * reached[-1])
        np.testing.assert_array_equal(drawn, expected)
        best = potential.add_best(drawn)
        left = plain_potentials(X, weight, sq_closest, drawn)
        assert left[list(drawn).index(best)] == pytest.approx(left.min(), rel=1e-12)
        sq_closest = np.minimum(sq_closest, ((X - X[best]) ** 2).sum(axis=1))


@pytest.mark.parametrize("make", [CellPotential, lambda *args: PrunedPotential(*args, np.zeros(2))])
def test_duplicates_leave_nothing_to_draw(make):
    X = read_only(np.tile([[0.0, 0.0], [3.0, 4.0]], (100, 1)))
    potential = make(X, np.ones(200))
    potential.start(0)
    assert potential.add_best(potential.draw(np.array([0.3, 0.9]))) % 2 == 1
    assert set(potential.draw(np.array([0.0, 0.5]))) <= set(range(200))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [2, 9, 40])
def test_any_number_of_threads_draws_the_same(d, dtype, monkeypatch):
    X = read_only(samples(60_000, d, "blobs").astype(dtype))
    starts = []
    for threads in (1, 3):
        monkeypatch.setattr(potentials, "n_threads", lambda threads=threads: threads)
        monkeypatch.setattr("kmq.engine.cell_seeding.n_threads", lambda threads=threads: threads)
        rng = np.random.RandomState(3)
        starts.append(seeding.kmeans_plusplus(X, 12, np.ones(len(X), dtype), rng))
    np.testing.assert_array_equal(*starts)
