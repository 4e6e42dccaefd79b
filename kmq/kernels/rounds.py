"""Rounds of k-means++, as a team of threads works them off: its orders, and what all finders share.

What compares candidates with samples differs by their number of features, and lies in families
of its own. The sums are kept by rows, in any family alike.
"""

from typing import NamedTuple

import numpy as np

from kmq.kernels.draws import renew_double, renew_single
from kmq.kernels.gemv import add_up_blocks
from kmq.kernels.jit import kernel

# What there is to do. A finder's own: make the first point the first centre; compare all points;
# lower `sq_closest`, or copies of it, as would candidates that are chosen.
START, COMPARE, LOWER, MARK = range(4)
# The book's: bring the sums of stretches up to date; copy `sq_closest` for candidates that are
# chosen; add up these copies, or for one of them `sq_closest` itself.
RENEW, COPY, SUM_COPIES, SUM = range(4, 8)
# Places in the head of orders.
TASK, CHOSEN, BOOKS = range(3)


class Orders(NamedTuple):
    """What a team is to do next; written by the leader, but for what is marked as out.

    head    (3,)   int64    the task; the number of candidates chosen; whether losses are booked,
                            or else stretches called stale
    chosen  (t,)   int64    numbers of candidates
    points  (p, d) float64  candidates, less the mean already; p ≥ t
    gains   (b, t) float64  out: by how much each lowers the potential, in each block
    """

    head: np.ndarray
    chosen: np.ndarray
    points: np.ndarray
    gains: np.ndarray


class Copies(NamedTuple):
    """Copies of `sq_closest` in float32, a row for each candidate, to be added up as BLAS does.

    rows    (t, n) float32  squared distances to the closest centre, were a candidate one
    orders  (t,)   int64    in which order the row of each candidate is added up; none if unknown
    parts   (t, p) float32  out: sums of blocks, by place among those chosen
    climbs  (t, g) float64  out: sums of all that was rounded on the way
    """

    rows: np.ndarray
    orders: np.ndarray
    parts: np.ndarray
    climbs: np.ndarray


@kernel
def share_of(whole, block, n_blocks):
    """First and last of what a block has of a whole, as even as can be."""
    return whole * block // n_blocks, whole * (block + 1) // n_blocks


@kernel
def keep_book(orders, book, copies, block):
    """Do a block of a task that is the book's.

    orders         `Orders`
    book           inout: `Book`
    copies         inout: `Copies`; None in float64
    block          number of the block, of as many as there are of gains
    """
    task = orders.head[TASK]
    n_blocks = orders.gains.shape[0]
    if copies is None:
        first, last = share_of(book.stale.shape[0], block, n_blocks)
        renew_double(book, first, last)
    elif task == RENEW:
        first, last = share_of(book.stale.shape[0], block, n_blocks)
        renew_single(book, first, last)
    elif task == COPY:
        first, last = share_of(copies.rows.shape[1], block, n_blocks)
        for place in range(orders.head[CHOSEN]):
            copy = copies.rows[place]
            for i in range(first, last):
                copy[i] = book.sq_closest[i]
    else:
        first, last = share_of(copies.climbs.shape[1], block, n_blocks)
        for place in range(orders.head[CHOSEN]):
            values = copies.rows[place] if task == SUM_COPIES else book.sq_closest
            add_up_blocks(
                values,
                book.weight,
                copies.orders[orders.chosen[place]],
                first,
                last,
                copies.parts[place],
                copies.climbs[place],
            )
