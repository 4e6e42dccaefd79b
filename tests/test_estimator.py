"""What `KMeans` promises beyond scikit-learn's own suite: its attributes, laws and manners."""

import gc
import pickle
import re
import weakref

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.base import clone
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kmq import KMeans, clusters_cost, kmeans_plusplus, reference

NUMBER = r"\d+(?:\.\d+(?:e-\d+)?)?"

kinds = pytest.mark.parametrize("kind", ["float64", "float32", "wide", "grid", "colors", "many"])


def samples(kind):
    rng = np.random.default_rng(7)
    return {
        "float64": lambda: rng.random((3000, 3)),
        "float32": lambda: rng.random((3000, 3), dtype=np.float32),
        "wide": lambda: rng.random((1200, 70)),
        "grid": lambda: rng.integers(0, 5, (2000, 3)).astype(float),
        "colors": lambda: rng.integers(0, 40, (20_000, 3)).astype(np.uint8),
        "many": lambda: rng.random((50_000, 2)),
    }[kind]()


@kinds
@pytest.mark.parametrize("params", [{}, {"max_iter": 1}, {"max_iter": 4, "tol": 0}, {"tol": 0.1}])
@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_labels_are_what_predict_says(kind, params):
    X = samples(kind)
    km = KMeans(12, random_state=0, **params).fit(X)
    np.testing.assert_array_equal(km.labels_, km.predict(X))
    assert km.labels_.dtype == np.int32
    assert km.n_iter_ == km.iterations <= km.max_iter


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_labels_are_what_predict_says_with_fewer_distinct_samples_than_clusters():
    X = np.random.default_rng(0).integers(0, 3, (400, 2))
    for seed in range(5):
        km = KMeans(14, random_state=seed).fit(X)
        np.testing.assert_array_equal(km.labels_, km.predict(X))
        assert km.inertia_ == 0


@kinds
def test_labels_and_inertia_are_those_of_the_specification(kind):
    X = samples(kind)
    km = KMeans(12, random_state=0).fit(X)
    expected = reference.inertia(X, None, km.cluster_centers_, km.labels_)
    np.testing.assert_allclose(km.inertia_, expected, rtol=1e-12)
    np.testing.assert_allclose(km.score(X), -expected, rtol=1e-12)
    nearest = reference.assign(X, km.cluster_centers_)
    if kind != "float32":
        np.testing.assert_array_equal(km.labels_, nearest)
    best = reference.inertia(X, None, km.cluster_centers_, nearest)
    np.testing.assert_allclose(expected, best, rtol=1e-6 if kind == "float32" else 1e-12)


@kinds
def test_the_history_of_inertia_never_rises(kind):
    X = samples(kind)
    km = KMeans(12, random_state=1, tol=0).fit(X)
    assert km.inertia_history_.shape == (km.n_iter_,)
    assert km.inertia_history_.dtype == np.float64
    slack = 1e-5 if kind == "float32" else 1e-12
    assert (np.diff(km.inertia_history_) <= slack * km.inertia_history_[1:]).all()
    assert km.inertia_ <= km.inertia_history_[-1] * (1 + slack)


def test_callback_sees_each_iteration_with_its_own_centres():
    X = samples("float64")
    seen = []
    km = KMeans(5, n_init=2, init="random", random_state=0)
    km.fit(X, callback=lambda *state: seen.append(state))
    numbers = [iteration for iteration, _, _ in seen]
    second = numbers.index(0, 1)
    assert numbers == [*range(second), *range(len(numbers) - second)]
    for _, inertia, centers in seen:
        labels = reference.assign(X, centers)
        np.testing.assert_allclose(inertia, reference.inertia(X, None, centers, labels))
    assert any(np.array_equal(km.inertia_history_, h) for h in _histories(seen, second))


def _histories(seen, second):
    inertias = [inertia for _, inertia, _ in seen]
    return inertias[:second], inertias[second:]


def test_callback_cannot_alter_the_fit():
    X = samples("float64")

    def vandal(iteration, inertia, centers):
        centers[:] = 0

    disturbed = KMeans(5, random_state=0).fit(X, callback=vandal)
    np.testing.assert_array_equal(disturbed.labels_, KMeans(5, random_state=0).fit(X).labels_)


def test_parameters_are_checked_at_every_fit():
    """Also where they equal right ones of another type, or of another class."""

    class Mixin:
        def __init_subclass__(cls):
            """Tell no other class."""

    class Strict(Mixin, KMeans):
        _parameter_constraints = KMeans._parameter_constraints | {"n_clusters": [None]}

    X = samples("float64")
    model = KMeans(4, init=X[:4], n_init=1, max_iter=2, random_state=0).fit(X)
    for wrong in ({"n_clusters": 4.0}, {"max_iter": 2.0}, {"tol": -1.0}, {"init": 4}):
        with pytest.raises(ValueError, match=f"'{next(iter(wrong))}' parameter of KMeans must be"):
            clone(model).set_params(**wrong).fit(X)
        model.fit(X)
    with pytest.raises(ValueError, match="'n_clusters' parameter of Strict must be"):
        Strict(**model.get_params()).fit(X)


def test_a_class_that_was_fitted_can_go():
    X, large = samples("float64"), np.zeros(3)

    class Local(KMeans):
        kept = large

    fitted = Local(3, random_state=0).fit(X)
    gone = weakref.ref(large)
    assert fitted.get_params() == Local(3, random_state=0).get_params()
    del fitted, Local, large
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("ending", [KeyboardInterrupt, ZeroDivisionError])
def test_a_fit_that_ends_early_leaves_nothing_fitted(ending):
    X = samples("float64")
    km = KMeans(5, random_state=0).fit(X)

    def stop(iteration, inertia, centers):
        if iteration == 2:
            raise ending

    with pytest.raises(ending):
        km.fit(X[:, :2], callback=stop)
    with pytest.raises(NotFittedError):
        km.predict(X)
    assert not hasattr(km, "inertia_history_")


def test_a_negative_weight_is_named():
    X = samples("float64")
    weight = np.ones(len(X))
    weight[17] = -0.5
    for use in (KMeans(3).fit, KMeans(3).fit(X).score):
        with pytest.raises(ValueError, match=r"sample 17 has weight -0\.5"):
            use(X, sample_weight=weight)
    with pytest.raises(ValueError, match="sample 17"):
        kmeans_plusplus(X, 3, sample_weight=weight)


def test_weights_are_copies():
    rng = np.random.default_rng(3)
    X, weight = rng.random((500, 3)), rng.integers(1, 4, 500)
    start = X[:6]
    weighted = KMeans(6, init=start, tol=0).fit(X, sample_weight=weight)
    copied = KMeans(6, init=start, tol=0).fit(np.repeat(X, weight, axis=0))
    np.testing.assert_allclose(weighted.cluster_centers_, copied.cluster_centers_, rtol=1e-12)
    np.testing.assert_allclose(weighted.inertia_, copied.inertia_, rtol=1e-12)
    np.testing.assert_array_equal(np.repeat(weighted.labels_, weight), copied.labels_)


@pytest.mark.parametrize("container", [sp.csr_matrix, sp.csr_array, sp.csc_array, sp.coo_array])
def test_sparse_samples_are_left_to_scikit_learn_and_it_shows(container):
    rng = np.random.default_rng(0)
    dense = rng.random((300, 20)) * (rng.random((300, 20)) < 0.2)
    X = container(dense)
    ours, theirs = (cls(4, random_state=0).fit(X) for cls in (KMeans, SklearnKMeans))
    assert ours.backend_ == "scikit-learn"
    for name in ("labels_", "cluster_centers_", "inertia_", "n_iter_"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    np.testing.assert_array_equal(ours.predict(X), ours.labels_)
    np.testing.assert_array_equal(ours.predict(dense), ours.labels_)
    np.testing.assert_allclose(ours.transform(X), theirs.transform(X))
    weight = rng.random(300)
    np.testing.assert_allclose(ours.score(X, None, weight), theirs.score(X, None, weight))
    assert not hasattr(ours, "inertia_history_")
    with pytest.raises(ValueError, match="callback"):
        ours.fit(X, callback=print)

    ours.fit(dense)
    assert ours.backend_ == "kmq"
    np.testing.assert_array_equal(ours.predict(X), ours.labels_)
    np.testing.assert_array_equal(
        kmeans_plusplus(X, 4, random_state=0)[1], kmeans_plusplus(dense, 4, random_state=0)[1]
    )


def test_clone_and_pickle():
    X = samples("float64")
    km = KMeans(4, random_state=3, max_iter=20).fit(X)
    assert clone(km).get_params() == km.get_params()
    assert not hasattr(clone(km), "labels_")
    again = pickle.loads(pickle.dumps(km))
    np.testing.assert_array_equal(again.predict(X), km.labels_)
    np.testing.assert_array_equal(again.inertia_history_, km.inertia_history_)


def test_pipeline_and_grid_search():
    X = samples("float64")
    pipeline = make_pipeline(StandardScaler(), KMeans(3, random_state=0))
    weight = np.ones(len(X))
    labels = pipeline.fit_predict(X, kmeans__sample_weight=weight)
    np.testing.assert_array_equal(labels, pipeline.predict(X))
    search = GridSearchCV(pipeline, {"kmeans__n_clusters": [2, 3, 5]}, cv=3).fit(X)
    assert search.best_params_ == {"kmeans__n_clusters": 5}


def test_metadata_routing_carries_weights():
    X = samples("float64")
    weight = np.random.default_rng(1).random(len(X))
    with sklearn.config_context(enable_metadata_routing=True):
        km = KMeans(3, random_state=0).set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, km).fit(X, sample_weight=weight)
    direct = KMeans(3, random_state=0).fit(StandardScaler().fit_transform(X), sample_weight=weight)
    np.testing.assert_array_equal(pipeline[-1].labels_, direct.labels_)


def test_verbose_says_what_scikit_learn_says(capsys):
    X = samples("grid")
    texts = []
    for cls in (KMeans, SklearnKMeans):
        for tol in (0, 0.05):
            cls(6, random_state=0, verbose=1, tol=tol).fit(X)
        texts.append(capsys.readouterr().out.splitlines())
    for ours, theirs in zip(*texts, strict=True):
        assert re.sub(NUMBER, "#", ours) == re.sub(NUMBER, "#", theirs)
        for number, expected in zip(*(re.findall(NUMBER, t) for t in (ours, theirs)), strict=True):
            np.testing.assert_allclose(float(number), float(expected), rtol=1e-9)


def test_clusters_cost_is_the_sum_of_squares():
    X = samples("colors")
    km = KMeans(6, random_state=0).fit(X)
    cost = clusters_cost(X, km.cluster_centers_, km.labels_)
    np.testing.assert_allclose(cost, km.inertia_, rtol=1e-12)


def test_inertia_is_exact_far_from_the_origin():
    """The expanded form |x|² - 2xc + |c|² has no digit left here."""
    X = np.array([[0.0], [1.0], [10.0], [12.0]]) + 2.0**40
    km = KMeans(2, init=X[[0, 3]]).fit(X)
    assert km.inertia_ == 2.5
    np.testing.assert_array_equal(km.labels_, [0, 0, 1, 1])


def test_the_variance_is_worked_out_once(monkeypatch, rng):
    counted = []
    monkeypatch.setattr(
        "kmq.engine.table.mean_variance", lambda X, mean: counted.append(1) or X.var(axis=0).mean()
    )
    for n in (3000, 300_000):
        counted.clear()
        KMeans(3, init="random", n_init=4, max_iter=2, random_state=0).fit(rng.random((n, 2)))
        assert len(counted) == 1


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize(
    ("n", "d"), [(500, 3), (300_000, 2), (20_000, 3), (70_000, 8), (16_000, 40), (5000, 160)]
)
def test_a_fit_keeps_nothing_in_memory(n, d, threads, dtype, rng, monkeypatch, wait_until):
    """Nor leaves it to the garbage collector, which does not know how large arrays are."""
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    X = rng.random((n, d)).astype(dtype)
    model = KMeans(5, max_iter=3, random_state=0)
    model.fit(X.copy())  # a compiler that runs leaves much, arguments among it, to the collector
    gc.collect()
    gc.disable()
    try:
        model.fit(X)
        samples = weakref.ref(X)
        del X
        # A helper lets go when it sees that it is dismissed.
        wait_until(lambda: samples() is None)
    finally:
        gc.enable()
