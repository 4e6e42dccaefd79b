"""What comparing by bounds is told of the centres, and knows of the samples."""

from typing import NamedTuple

import numpy as np


class Plan(NamedTuple):
    """One set of centres, sorted by group.

    centers     (k, d)        float    of the dtype of the samples, in their own order
    wide        (k, d)        float64  the same
    shift       (d,)          float    a point amid the samples, of their dtype
    scale                     float    what distances are multiplied by, of that dtype
    packed      (b, d, BLOCK) float32  centres less the shift, scaled, by group, in blocks
    halves      (k,)          float32  half their squared norms
    names       (k,)          int32    their indices in `centers`
    groups      (g + 1,)      int64    where each group begins
    panels      (p + 1,)      int64    the groups at which each panel begins
    group_of    (k,)          int32    group of each centre, in their own order
    now                       int64    slot of these centres among those remembered
    center_way  (s, k)        float32  at least how far each is from where it was, for each slot
    group_way   (s, g)        float32  the largest of these in each group
    way         (s,)          float32  the largest of these
    tighten                   bool     whether to try the distance to a sample's own centre first
    """

    centers: np.ndarray
    wide: np.ndarray
    shift: np.ndarray
    scale: np.floating
    packed: np.ndarray
    halves: np.ndarray
    names: np.ndarray
    groups: np.ndarray
    panels: np.ndarray
    group_of: np.ndarray
    now: int
    center_way: np.ndarray
    group_way: np.ndarray
    way: np.ndarray
    tighten: bool


class Bounds(NamedTuple):
    """What is known of each sample.

    labels  (n,)   int32    nearest centre, -1 before the first assignment
    before  (n,)   int32    the label before
    upper   (n,)   float32  at least the distance to its own centre, when that was found
    lower   (n, g) float32  at most the distance to any other centre of a group
    least   (n,)   float32  the least of these
    slots   (n, 2) uint8    of the centres that `upper` and `lower` are about
    """

    labels: np.ndarray
    before: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    least: np.ndarray
    slots: np.ndarray
