"""k-means++ draws what scikit-learn draws, whatever keeps its potential."""

import numpy as np
import pytest
from sklearn.cluster import kmeans_plusplus as sklearn_plusplus
from threadpoolctl import threadpool_limits

from kmq.engine import gemv, seeding
from kmq.engine.cell_seeding import cell_finder
from kmq.engine.potentials import DoublePotential, SinglePotential
from kmq.engine.rounds import open_book
from kmq.engine.sketch_seeding import sketch_finder
from kmq.engine.table import Table
from kmq.engine.tile_seeding import tile_finder
from kmq.kernels import draws
from kmq.kernels.gemv import EIGHT, FOUR, FUSED

FINDERS = [cell_finder, sketch_finder, tile_finder]
MODULES = ("rounds", "tile_seeding", "sketch_seeding")


def read_only(array):
    array = np.ascontiguousarray(array).view()
    array.flags.writeable = False
    return array


def make_potential(make, X, trials, weight=None, mean=None):
    """The potential of samples that a finder looks for."""
    table = Table(read_only(X), weight)
    mean = np.zeros(X.shape[1], X.dtype) if mean is None else mean
    kind = SinglePotential if X.dtype == np.float32 else DoublePotential
    return kind(make, table, mean, trials)


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
    ours = seeding.kmeans_plusplus(Table(X), 25, np.random.RandomState(7))
    # scikit-learn's estimator seeds on samples less their mean.
    theirs = sklearn_plusplus(X - X.mean(axis=0), 25, random_state=np.random.RandomState(7))[1]
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("make", FINDERS)
@pytest.mark.parametrize("trials", [1, 3, 21])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_each_round_follows_the_definition(make, trials, offset, rng):
    X = read_only(samples(5000, 3, "blobs") + offset)
    weight = read_only(rng.integers(0, 4, len(X)).astype(float))
    potential = make_potential(make, X, trials, weight)
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


@pytest.mark.parametrize("make", FINDERS)
def test_duplicates_leave_nothing_to_draw(make):
    X = read_only(np.tile([[0.0, 0.0], [3.0, 4.0]], (100, 1)))
    potential = make_potential(make, X, 2)
    potential.start(0)
    assert potential.add_best(potential.draw(np.array([0.3, 0.9]))) % 2 == 1
    assert set(potential.draw(np.array([0.0, 0.5]))) <= set(range(200))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [2, 9, 40])
def test_any_number_of_threads_draws_the_same(d, dtype, monkeypatch):
    X = read_only(samples(60_000, d, "blobs").astype(dtype))
    starts = []
    for threads in (1, 3):
        for module in MODULES:
            monkeypatch.setattr(f"kmq.engine.{module}.n_threads", lambda threads=threads: threads)
        rng = np.random.RandomState(3)
        starts.append(seeding.kmeans_plusplus(Table(X), 40, rng))
    np.testing.assert_array_equal(*starts)


@pytest.mark.parametrize("make", FINDERS)
@pytest.mark.parametrize("trials", [1, 3, 21])
@pytest.mark.parametrize("kind", ["blobs", "offset", "tight"])
def test_each_round_follows_the_definition_in_single_precision(make, trials, kind, rng):
    X = samples(5000, 3, "blobs")
    if kind == "offset":
        X += 1e3
    elif kind == "tight":  # candidates of one blob differ by less than a sum is rounded
        X = rng.uniform(-10, 10, (40, 3))[rng.integers(40, size=5000)] + 1e-5 * X
    X = X.astype(np.float32)
    mean = X.mean(axis=0)
    weight = rng.integers(0, 4, len(X)).astype(np.float32)
    potential = make_potential(make, X, trials, weight, mean)
    potential.start(17)
    shifted = (X - mean).astype(float)
    sq_closest = ((shifted - shifted[17]) ** 2).sum(axis=1).astype(np.float32)
    total = sq_closest @ weight
    for _ in range(60):
        uniform = rng.random(trials)
        reached = np.cumsum(weight * sq_closest)
        expected = np.minimum(np.searchsorted(reached, uniform * total), len(X) - 1)
        drawn = potential.draw(uniform)
        np.testing.assert_array_equal(drawn, expected)
        best = potential.add_best(drawn)
        lowered = [
            np.minimum(sq_closest, ((shifted - shifted[c]) ** 2).sum(axis=1).astype(np.float32))
            for c in drawn
        ]
        left = np.array(lowered) @ weight[:, np.newaxis]
        assert best == drawn[np.argmin(left)]
        total = left[np.argmin(left)]
        sq_closest = lowered[int(np.argmin(left))]
        np.testing.assert_array_equal(potential._book.sq_closest[: len(X)], sq_closest)


@pytest.mark.parametrize("kind", ["plain", "halves", "tiny", "growing", "zeros"])
def test_draws_of_single_precision_are_those_of_a_running_sum(kind, rng):
    """Changes between rounds, and shares that are rounded at a tie, among them."""
    n = 9001
    sq_closest = rng.random(n).astype(np.float32)
    weight = rng.integers(0, 3, n).astype(np.float32)
    if kind == "halves":  # from sums of 2^23 on, every other share is half a unit
        sq_closest = np.where(rng.random(n) < 0.5, 0.5, 4096.0).astype(np.float32)
    elif kind == "tiny":
        sq_closest *= np.float32(1e-30)
    elif kind == "growing":
        sq_closest = np.geomspace(1e-12, 1e20, n).astype(np.float32)
    elif kind == "zeros":
        sq_closest[: n // 2] = 0
    book = open_book(weight)
    own = book.sq_closest[:n]
    own[:] = sq_closest
    sq_closest = own
    for turn in range(20):
        reached = np.cumsum(weight * sq_closest)
        # Sums that are reached exactly are where a unit more or less would show.
        targets = np.sort(np.concatenate([reached[rng.integers(n, size=40)], [2 * reached[-1]]]))
        drawn = np.empty(len(targets), np.intp)
        if turn % 2:  # grids may be foreseen, or mistaken
            draws.guess_grids(book, np.float32(rng.choice([0, 0.2, 1, 30])) * reached[-1])
            draws.renew_single(book, 0, len(book.stale))
        draws.draw_single(book, targets.astype(float), drawn)
        expected = np.minimum(np.searchsorted(reached, targets), n - 1)
        np.testing.assert_array_equal(drawn, expected)
        lose(weight, sq_closest, rng.integers(n, size=900), book, turn)


def test_most_grids_are_foreseen(rng):
    """Those that are mistaken make no draw wrong, but slow."""
    weight = np.ones(200_000, np.float32)
    book = open_book(weight)
    own = book.sq_closest[: len(weight)]
    own[:] = rng.random(len(own))
    for factor in (1, 0.6, 0.1):  # as after each of the first centres
        own *= np.float32(factor)
        book.stale[:] = 1
        total = own.sum()
        draws.guess_grids(book, total)
        foreseen = book.grid.copy()
        draws.draw_single(book, np.array([2.0 * total]), np.empty(1, np.intp))
        assert np.count_nonzero(foreseen != book.grid) < len(book.grid) / 20


def test_a_running_sum_of_single_precision_may_overflow():
    sq_closest, weight = np.full(9000, np.inf, np.float32), np.ones(9000, np.float32)
    sq_closest[: draws.STRETCH] = 0
    sq_closest[0] = 2e38
    book = open_book(weight)
    book.sq_closest[:9000] = sq_closest
    drawn = np.empty(2, np.intp)
    targets = np.array([1e38, np.inf])
    draws.draw_single(book, targets, drawn)
    np.testing.assert_array_equal(drawn, [0, draws.STRETCH])


def drawing_from(sq_closest, weight):
    """A potential to draw from, and its squared distances, which are the test's own."""
    table = Table(read_only(np.zeros((len(weight), 1))), weight)
    kept = DoublePotential(lambda *_: None, table, np.zeros(1), 3)
    own = kept._book.sq_closest[: len(weight)]
    own[:] = sq_closest
    return kept, own


def test_draws_of_double_precision_add_up_what_changed(rng):
    weight = rng.random(3000)
    kept, sq_closest = drawing_from(rng.random(3000), weight)
    for turn in range(60):
        uniform = rng.random(9)
        reached = np.cumsum(weight * sq_closest)
        expected = np.searchsorted(reached, uniform * reached[-1])
        np.testing.assert_array_equal(kept.draw(uniform), expected)
        np.testing.assert_allclose(kept._book.sums.cumsum(), reached[ends(3000)], rtol=1e-13)
        lose(weight, sq_closest, rng.integers(3000, size=900), kept._book, turn)


def test_what_stretches_lose_adds_up_the_same_in_any_order(rng):
    n = 3000
    weight, start = rng.random(n), rng.random(n)
    rows, totals = rng.permutation(n)[:2000], []
    for order in (rows, rows[::-1], rng.permutation(rows)):
        kept, sq_closest = drawing_from(start, weight)
        kept.draw(np.array([0.5]))
        lose(weight, sq_closest, order, kept._book, 1)
        kept.draw(np.array([0.5]))
        totals.append(kept._book.sums.copy())
    np.testing.assert_array_equal(totals[0], totals[1])
    np.testing.assert_array_equal(totals[0], totals[2])


def test_a_stretch_next_to_overflow_is_drawn_from(rng):
    weight, sq_closest = np.ones(1000), rng.random(1000)
    sq_closest[300] = 1.5 * 2.0**1023
    kept, sq_closest = drawing_from(sq_closest, weight)
    np.testing.assert_array_equal(kept.draw(np.array([0.2, 0.9])), [300, 300])
    before, sq_closest[300] = sq_closest[300], 0.25
    book = kept._book
    draws.book_loss(before, 0.25, 300 // draws.STRETCH, book.stale, book.grid, book.fallen[0])
    kept.draw(np.array([0.5]))
    assert kept._book.sums.sum() == pytest.approx(sq_closest.sum())


def test_threads_that_come_later_find_no_book_of_their_own(monkeypatch):
    counts = iter([1] + [3] * 99)
    for module in MODULES:
        monkeypatch.setattr(f"kmq.engine.{module}.n_threads", lambda: next(counts))
    X = samples(200_000, 2, "noise").astype(np.float32)
    potential = make_potential(cell_finder, X, 6)
    assert len(potential._book.fallen) == 1
    seeding.pick(potential, 5, 60, 6, np.random.RandomState(3))
    assert len(potential._finder._team._tallies) == 1


def test_a_stretch_that_loses_everything_holds_nothing(rng):
    weight = rng.random(1000)
    kept, sq_closest = drawing_from(rng.random(1000), weight)
    kept.draw(np.array([0.5]))
    for row in range(draws.STRETCH, 2 * draws.STRETCH):
        before, sq_closest[row] = weight[row] * sq_closest[row], 0.0
        draws.book_loss(before, 0.0, 1, kept._book.stale, kept._book.grid, kept._book.fallen[0])
    kept.draw(np.array([0.5]))
    assert kept._book.sums[1] == 0.0


@pytest.mark.parametrize(
    ("dtype", "trials"), [(np.float32, 5), (np.float32, 6), (np.float32, 8), (np.float64, 6)]
)
def test_any_number_of_threads_books_the_same(dtype, trials, monkeypatch):
    X = read_only(samples(200_000, 2, "noise").astype(dtype))
    states = []
    for threads in (1, 3):
        for module in MODULES:
            monkeypatch.setattr(f"kmq.engine.{module}.n_threads", lambda threads=threads: threads)
        potential = seeding._choose_potential(Table(X), True, trials)
        rng = np.random.RandomState(3)
        picked = seeding.pick(potential, 5, 80, trials, rng)
        potential.draw(rng.uniform(size=trials))
        states.append((picked, potential._book.sums.copy()))
    np.testing.assert_array_equal(states[0][0], states[1][0])
    np.testing.assert_array_equal(states[0][1], states[1][1])


def ends(n):
    """Last samples of stretches."""
    return np.minimum(np.arange(1, -(-n // draws.STRETCH) + 1) * draws.STRETCH, n) - 1


def lose(weight, sq_closest, rows, book, turn):
    """Lower some squared distances: in most turns booked, else the stretches are stale."""
    for row in rows:
        before = weight[row] * sq_closest[row]
        sq_closest[row] *= sq_closest.dtype.type(0.3)
        if turn % 3:
            now, b = weight[row] * sq_closest[row], row // draws.STRETCH
            draws.book_loss(before, now, b, book.stale, book.grid, book.fallen[0])
        else:
            book.stale[row // draws.STRETCH] = 1


@pytest.mark.parametrize(("n", "d"), [(9001, 2), (9000, 6), (20_000, 16), (8500, 40)])
def test_same_start_as_scikit_learn_in_single_precision(n, d):
    X = read_only(samples(n, d, "noise").astype(np.float32))
    mean = X.mean(axis=0)
    rng = np.random.RandomState(7)
    ours = seeding.kmeans_plusplus(Table(X), 60, rng, centered=True)
    theirs = sklearn_plusplus(X - mean, 60, random_state=np.random.RandomState(7))[1]
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("make", FINDERS)
@pytest.mark.parametrize("trials", [2, 7, 9])
def test_blas_adds_up_where_its_order_is_not_known(make, trials, monkeypatch):
    X = samples(20_000, 3, "noise").astype(np.float32)
    starts = []
    for known in (True, False):
        if not known:
            for name in ("_prove", "_prove_once"):
                monkeypatch.setattr(gemv, name, lambda n_rows, n: None)
        potential = make_potential(make, X, trials)
        starts.append(seeding.pick(potential, 5, 300, trials, np.random.RandomState(3)))
    np.testing.assert_array_equal(*starts)


def test_few_candidates_need_a_sum_in_single_precision(monkeypatch):
    """More than one would make no fit wrong, but slow."""
    made = []
    alone = SinglePotential._lowest
    monkeypatch.setattr(
        SinglePotential,
        "_lowest",
        lambda self, some: made.append(some) or alone(self, some),
    )
    X = samples(50_000, 2, "noise").astype(np.float32)
    potential = make_potential(cell_finder, X, 6)
    seeding.pick(potential, 5, 100, 6, np.random.RandomState(3))
    if not potential._sums.proven:
        pytest.skip("the BLAS of this process adds up in no order that is known")
    assert sum(map(len, made)) < 6


@pytest.mark.parametrize("make", FINDERS)
@pytest.mark.parametrize("tight", [False, True])  # whether one candidate needs a sum, or several
def test_each_candidate_is_added_up_in_its_own_order(make, tight, monkeypatch, rng):
    """As BLAS takes the first rows otherwise than the last, on some processors."""
    ways = [(FOUR, False), (FUSED, False), (EIGHT, False)]
    monkeypatch.setattr(gemv, "_prove_once", lambda n_rows, n: ways)
    X = samples(20_000, 3, "noise")
    if tight:
        X = X[rng.integers(99, size=len(X))] + 1e-5 * X
    X = X.astype(np.float32)
    weight = rng.random(len(X), np.float32)
    potential = make_potential(make, X, len(ways), weight)
    potential.start(5)
    picked = set()
    for _ in range(60):
        candidates = potential.draw(rng.random(len(ways)))
        best = list(candidates).index(potential.add_best(candidates))
        if np.count_nonzero(candidates == candidates[best]) == 1:
            total = gemv._sum(potential._book.sq_closest, weight, *ways[best])
            assert potential._total == np.float32(total)
            picked.add(best)
    assert picked == {0, 1, 2}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["noise", "blobs", "outliers", "offset", "scales", "tiny", "grid"])
def test_a_sketch_leaves_out_nothing_that_comes_closer(kind, dtype, rng):
    X = samples(3001, 21, "noise" if kind != "blobs" else "blobs")
    if kind == "outliers":
        X[rng.integers(len(X), size=9)] *= 1e9
    elif kind == "offset":
        X += 1e5
    elif kind == "scales":
        X *= np.geomspace(1e-6, 1e6, 21)
    elif kind == "tiny":
        X *= 1e-15
    elif kind == "grid":
        X = np.rint(4 * X)
    X = read_only(X.astype(dtype))
    weight = np.ones(len(X))
    potential = make_potential(sketch_finder, X, 5)
    potential.start(5)
    wide = X.astype(float)
    sq_closest = ((wide - wide[5]) ** 2).sum(axis=1)
    for _ in range(40):
        candidates = rng.integers(len(X), size=5)
        left = plain_potentials(wide, weight, sq_closest, candidates)
        best = potential.add_best(candidates)
        assert left[list(candidates).index(best)] == pytest.approx(left.min(), rel=1e-6)
        sq_closest = np.minimum(sq_closest, ((wide - wide[best]) ** 2).sum(axis=1))
        np.testing.assert_allclose(potential._book.sq_closest[: len(X)], sq_closest, rtol=1e-6)


@pytest.mark.parametrize("trials", range(1, 9))
def test_threads_of_blas_add_up_as_one_does(trials, rng):
    """What single precision relies on where it keeps BLAS to one thread."""
    sq_dist = rng.random((trials, 200_000)).astype(np.float32)
    weight = np.ones((200_000, 1), np.float32)
    with threadpool_limits(1):
        alone = sq_dist @ weight
    for threads in (2, 3, 8):
        with threadpool_limits(threads):
            np.testing.assert_array_equal(sq_dist @ weight, alone)
