"""Laws of the loop, whatever the step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmq import reference
from kmq.engine.lloyd import lloyd
from kmq.engine.samples import choose_samples

quick = settings(deadline=None, max_examples=60)


@st.composite
def problems(draw):
    """Samples, weights and a start; on a grid half the time, with the awkward sizes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.sampled_from([1, 2, 5, 64, 257, 1023, 1025, 2100]))
    d = draw(st.sampled_from([1, 3, 20]))
    k = draw(st.integers(1, min(n, 9)))
    grid = draw(st.booleans())
    X = rng.integers(0, 5, (n, d)).astype(float) if grid else rng.normal(size=(n, d))
    weight = draw(st.sampled_from([np.ones(n), rng.integers(1, 4, n).astype(float)]))
    # A start far off leaves clusters empty, which the loop must fill.
    start = X[rng.choice(n, k, replace=False)] + draw(st.sampled_from([0.0, 50.0]))
    return X, weight, start


def fit(X, weight, start, max_iter=100, tol=0.0, **options):
    samples = choose_samples(_read_only(X), _read_only(weight))
    return lloyd(samples.step(len(start)), start.copy(), max_iter=max_iter, tol=tol, **options)


def _read_only(array):
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


@quick
@given(problems())
def test_inertia_never_rises(problem):
    X, weight, start = problem
    result = fit(X, weight, start)
    history = [*result.inertia_history, result.inertia]
    assert (np.diff(history) <= 1e-12 * history[0] + 1e-25).all()  # a mean rounds, too


@quick
@given(problems(), st.integers(1, 5))
def test_each_label_is_an_argmin(problem, max_iter):
    X, weight, start = problem
    result = fit(X, weight, start, max_iter)
    expected = reference.assign(X, result.centers)
    chosen = ((X - result.centers[result.labels]) ** 2).sum(axis=1)
    nearest = ((X - result.centers[expected]) ** 2).sum(axis=1)
    np.testing.assert_allclose(chosen, nearest, rtol=1e-12, atol=1e-25)
    np.testing.assert_allclose(
        result.inertia, reference.inertia(X, weight, result.centers, result.labels), rtol=1e-12
    )


@quick
@given(problems())
def test_a_converged_fit_stays_where_it_is(problem):
    X, weight, start = problem
    result = fit(X, weight, start, max_iter=1000)
    if not result.strict or result.shift > 0 or len(np.unique(result.labels)) < len(start):
        return  # an empty cluster has gone to another sample, or may
    again = fit(X, weight, result.centers)
    np.testing.assert_allclose(again.centers, result.centers, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(again.inertia, result.inertia, rtol=1e-12, atol=1e-25)


@quick
@given(problems())
def test_centres_are_the_means_of_their_samples(problem):
    X, weight, start = problem
    result = fit(X, weight, start, max_iter=1000)
    # A cluster that was empty in the last iteration sits on a sample, and takes others after it.
    if not result.strict or result.shift > 0:
        return
    sums, counts = reference.update(X, weight, result.labels, len(start))
    if (counts == 0).any():
        return
    np.testing.assert_allclose(result.centers, sums / counts[:, np.newaxis], rtol=1e-12, atol=1e-12)


def test_weights_of_three_are_three_copies():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(700, 4))
    once, thrice = np.ones(2100), np.full(700, 3.0)
    weighted, copied = fit(X, thrice, X[:5]), fit(np.repeat(X, 3, axis=0), once, X[:5])
    np.testing.assert_array_equal(np.repeat(weighted.labels, 3), copied.labels)
    np.testing.assert_allclose(weighted.inertia, copied.inertia, rtol=1e-12)
    assert len(weighted.inertia_history) == len(copied.inertia_history)


def test_any_order_of_samples():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(3000, 3))
    order = rng.permutation(3000)
    plain, shuffled = fit(X, np.ones(3000), X[:7]), fit(X[order], np.ones(3000), X[:7])
    np.testing.assert_array_equal(plain.labels[order], shuffled.labels)
    np.testing.assert_allclose(plain.centers, shuffled.centers, rtol=1e-12, atol=1e-14)


def test_an_empty_cluster_gets_the_farthest_sample():
    X = np.array([[0.0], [1.0], [2.0], [100.0], [104.0]])
    result = fit(X, np.ones(5), np.array([[0.0], [90.0], [1e6]]), max_iter=1)
    np.testing.assert_array_equal(result.centers, [[1.0], [100.0], [104.0]])
    np.testing.assert_array_equal(result.labels, [0, 0, 0, 1, 2])


def test_clusters_beyond_the_distinct_samples_stay_empty():
    X = np.repeat(np.array([[0.0], [1.0]]), 4, axis=0)
    result = fit(X, np.ones(8), np.array([[0.0], [1.0], [1.0]]))
    assert result.inertia == 0
    np.testing.assert_array_equal(result.labels, [0] * 4 + [1] * 4)


def test_the_tolerance_is_of_squared_movement():
    # The centres move by 3 and 4 in the first iteration, hence by 25 squared, and then rest.
    X, start = np.array([[3.0], [104.0]]), np.array([[0.0], [100.0]])
    assert len(fit(X, np.ones(2), start, tol=25.0).inertia_history) == 1
    assert len(fit(X, np.ones(2), start, tol=24.9).inertia_history) == 2
    assert fit(X, np.ones(2), start, tol=24.9).strict


def test_what_a_callback_raises_ends_the_loop():
    X = np.random.default_rng(2).normal(size=(500, 3))
    seen = []

    def stop(iteration, inertia, centers):
        seen.append(iteration)
        if iteration == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(X, np.ones(500), X[:6], on_iteration=stop)
    assert seen == [0, 1]
