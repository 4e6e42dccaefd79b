"""Sums of float32 rows are those of the BLAS of this process, where its order is known."""

import numpy as np
import pytest

from kmq.engine import gemv
from kmq.kernels import gemv as kernels
from kmq.kernels.gemv import BLOCK


def product(rows, weight):
    return (rows @ weight[:, np.newaxis])[:, 0]


def add_up(sums, weight, values, row):
    """Sum of values as that of a row, and how far off it is at most."""
    kernels.add_up_blocks(
        values, weight, sums.orders[row], 0, sums.climbs.shape[1], sums.parts[0], sums.climbs[0]
    )
    return sums.join(values, row, 0)


@pytest.mark.parametrize("n", [8193, 20_000, 50_003, 300_002])
@pytest.mark.parametrize("n_rows", range(2, 11))
@pytest.mark.parametrize("weighted", [True, False])
def test_sums_are_those_of_a_product(weighted, n_rows, n, rng):
    rows, weight = rng.random((n_rows, n), np.float32), rng.random(n, np.float32)
    if not weighted:
        weight[:] = 1
    sums = gemv.RowSums(weight, n_rows, not weighted)
    if not sums.proven:
        pytest.skip("the BLAS of this process adds up in no order that is known")
    found = [add_up(sums, weight, row, i)[0] for i, row in enumerate(rows)]
    np.testing.assert_array_equal(found, product(rows, weight))


@pytest.mark.parametrize("orders", [(0, 1), (1, 0), (2, 1), (1, 2), (0, 0)])
@pytest.mark.parametrize("kind", ["first", "last", "noise"])
@pytest.mark.parametrize("weighted", [True, False])
def test_no_sum_is_farther_off_than_said(weighted, kind, orders, rng, monkeypatch):
    """In its own order or that of another row, of these values or of smaller ones."""
    n = 5 * BLOCK + 77
    values = rng.random(n, np.float32)
    if kind != "noise":  # where the first hold nearly all, each addition rounds as much as it can
        values = np.full(n, 1.06, np.float32)
        values[[0, BLOCK] if kind == "first" else -1] = 2.0**20
    weight = rng.random(n, np.float32) if weighted else np.ones(n, np.float32)
    monkeypatch.setattr(gemv, "_prove_once", lambda n_rows, n: [(order, False) for order in orders])
    sums = gemv.RowSums(weight, 2, not weighted)
    _, bound = add_up(sums, weight, values, 0)
    for some in (values, values * (rng.random(n) < 0.9).astype(np.float32)):
        exact = (weight.astype(float) * some).sum()
        for row in (0, 1):
            off = abs(float(add_up(sums, weight, some, row)[0]) - exact)
            assert off <= bound
            assert kind != "first" or weighted or off > bound / 8


@pytest.mark.parametrize("n_rows", range(2, 9))
def test_the_order_does_not_hang_on_the_number_of_samples(n_rows):
    """One that is taken for another by chance would show."""
    proven = [gemv._prove(n_rows, 8192 + rest) for rest in (*range(0, 4096, 119), 1900, 1660)]
    if None in proven:
        pytest.skip("the BLAS of this process adds up in no order that is known")
    assert len({tuple(order for order, _ in ways) for ways in proven}) == 1


@pytest.mark.parametrize("rest", [0, 1, 2, 3])
def test_the_last_samples_are_added_up_as_blas_does(rest, rng):
    """Where these weigh most, it shows whether their products are rounded."""
    n = 8192 + rest
    weight = rng.random(n, np.float32)
    weight[-3:] *= 5000
    for n_rows in range(2, 9):
        sums = gemv.RowSums(weight, n_rows, False)
        if not sums.proven:
            pytest.skip("the BLAS of this process adds up in no order that is known")
        for _ in range(20):
            rows = rng.random((n_rows, n), np.float32)
            found = [add_up(sums, weight, row, i)[0] for i, row in enumerate(rows)]
            np.testing.assert_array_equal(found, product(rows, weight))


@pytest.mark.parametrize("rest", [0, 1, 4, 15])
@pytest.mark.parametrize("altered", range(3))
def test_another_order_is_not_taken_for_a_known_one(rest, altered, monkeypatch):
    """Even where only its last bit differs, now and then."""
    known = gemv._sum

    def otherwise(values, weight, order, fused_rest):
        total = known(values, weight, order, fused_rest)
        if order == altered and values[3] > 0:
            total = np.nextafter(np.float32(total), np.float32(np.inf))
        return total

    before = gemv._prove(7, 9000 + rest)
    monkeypatch.setattr(gemv, "_sum", otherwise)
    after = gemv._prove(7, 9000 + rest)
    assert (
        after is None if before and altered in {order for order, _ in before} else after == before
    )


def test_where_nothing_differs_nothing_is_proven(monkeypatch):
    monkeypatch.setattr(gemv, "_sum", lambda values, weight, order, fused_rest: Always())
    assert gemv._prove(2, 8192) is None


class Always:
    """Equal to all."""

    def __eq__(self, other):
        return True

    __hash__ = None
