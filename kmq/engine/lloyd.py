"""The loop of k-means, written once for every step.

Lloyd, S. (1982). Least squares quantization in PCM. IEEE Trans. Inf. Theory 28(2).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kmq.engine.steps import Step, sq_way
from kmq.engine.ties import TieRule

Callback = Callable[[int, float, NDArray], None]


@dataclass(frozen=True)
class Fit:
    """One finished run of the loop.

    Attributes
    ----------
    labels : (n,) int32
        Nearest of `centers` for each sample or distinct colour, ties to the lowest.
    centers : (k, d)
        Centres, of the dtype of the start.
    inertia : float
        Weighted squared distances of the samples to their centres.
    n_filled : int
        Clusters that have samples.
    n_iter : int
        Iterations run.
    inertia_history : (n_iter,) float64
        Inertia of each iteration's labels and of the centres that gave them.
    strict : bool
        True if the run ended because no label changed.
    shift : float
        Squared movement of all centres in the last iteration.
    """

    labels: NDArray[np.int32]
    centers: NDArray
    inertia: float
    n_filled: int
    n_iter: int
    inertia_history: NDArray[np.float64]
    strict: bool
    shift: float


def lloyd(
    step: Step,
    centers: NDArray,
    *,
    max_iter: int,
    tol: float,
    follow: NDArray | None = None,
    on_iteration: Callback | None = None,
) -> Fit:
    """Run k-means from `centers` until labels stand still, centres do, or `max_iter` is reached.

    Parameters
    ----------
    step : Step
        How an iteration is done: a new one for each run.
    centers : (k, d) float32 or float64
        The start.
    max_iter : int
        The most iterations.
    tol : float
        Stop when the squared movement of all centres is at most this, in squared units of X.
    follow : (d,), optional
        Mean of the samples, where near-ties of the first assignment are to fall as in
        scikit-learn, whose rounding decides them; else, and later, true ties fall to the lowest
        index.
    on_iteration : callable, optional
        Given each iteration's number, inertia and centres.

    Returns
    -------
    Fit
    """
    history: list[float] = []
    strict = False
    shift = np.inf
    for iteration in range(max_iter):
        ties = TieRule.of(centers, follow) if iteration == 0 and follow is not None else None
        changed = step.assign(centers, ties)
        history.append(step.assigned_inertia())
        if on_iteration is not None:
            on_iteration(iteration, history[-1], centers.copy())
        centers, shift = step.means(centers) or _fill_empty(step, centers)
        if not changed:
            strict = True
            break
        if shift <= tol:
            break
    # The same labels give the same centres, unless an empty cluster went to another sample.
    if not strict or shift > 0:
        step.relabel(centers)
    # Before labels are taken: a step that keeps a team lets it go then.
    inertia = step.inertia(centers)
    return Fit(
        step.labels,
        centers,
        inertia,
        step.n_filled(),
        len(history),
        np.array(history),
        strict,
        shift,
    )


def _fill_empty(step: Step, centers: NDArray) -> tuple[NDArray, float]:
    """Centres of clusters of which some are empty, and how far they moved, as `Step.means`.

    One that stays empty goes where the heaviest one is.
    """
    sums, counts = _relocate_empty(step, centers, step.sums, step.counts)
    filled = counts > 0
    moved = np.empty_like(centers)
    moved[filled] = sums[filled] / counts[filled, np.newaxis]
    moved[~filled] = moved[np.argmax(counts)]
    if step.pinned:
        moved[-step.pinned :] = centers[-step.pinned :]
    return moved, sq_way(centers, moved)


def _relocate_empty(
    step: Step, centers: NDArray, sums: NDArray, counts: NDArray
) -> tuple[NDArray, NDArray]:
    """Give each empty cluster one of the samples farthest from their centres, as scikit-learn."""
    sq_dist = step.sq_distances(centers)
    if sq_dist.max() == 0:  # fewer distinct samples than clusters: nowhere to go
        return sums, counts
    sums, counts = sums.astype(np.float64), counts.astype(np.float64)
    empty = np.flatnonzero(counts == 0)
    # The order in which argpartition leaves the farthest is part of the contract.
    farthest = np.argpartition(sq_dist, -len(empty))[: -len(empty) - 1 : -1]
    for j, i in zip(empty, farthest, strict=True):
        row, weight, owner = step.sample(int(i))
        moment = weight * row.astype(np.float64)
        sums[owner] -= moment
        sums[j] = moment
        counts[owner] -= weight
        counts[j] = weight
    return sums, counts
