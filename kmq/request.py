"""How to fit a palette: what the public functions are asked for, checked once."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from operator import index
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kmq.colorspace import Space
from kmq.palette import as_colors
from kmq.remap import with_opacity


@dataclass(frozen=True)
class Request:
    """How to fit, as for `quantize_image`."""

    init: Any = "auto"
    n_init: int | str = "auto"
    max_iter: int = 300
    tol: float = 1e-4
    space: Space = "rgb"
    pinned: ArrayLike | Iterable[str] | None = None
    random_state: int | np.random.RandomState | None = None

    def __post_init__(self) -> None:
        if self.space not in get_args(Space):
            raise ValueError(
                f"space must be one of {', '.join(get_args(Space))}, got {self.space!r}"
            )
        if isinstance(self.init, str) and self.init not in {"auto", "k-means++", "random"}:
            raise ValueError(f"init must be auto, k-means++, random or an array, got {self.init!r}")
        if self.n_init != "auto" and index(self.n_init) < 1:  # type: ignore[arg-type]
            raise ValueError(f"n_init must be at least 1, got {self.n_init}")
        if index(self.max_iter) < 1:
            raise ValueError(f"max_iter must be at least 1, got {self.max_iter}")
        if not self.tol >= 0:
            raise ValueError(f"tol must not be negative, got {self.tol}")

    def start(self, k: int) -> str | NDArray[np.float64]:
        """The start for `k` colours: its name, or centres."""
        if isinstance(self.init, str):
            return self.init
        centers = np.asarray(self.init, np.float64)
        if centers.shape != (k, 3):
            raise ValueError(f"init must be of shape ({k}, 3), got {centers.shape}")
        if not np.isfinite(centers).all():
            raise ValueError("init holds NaN or infinity")
        return centers

    @property
    def starts(self) -> int:
        """Number of starts."""
        return 1 if self.n_init == "auto" else int(self.n_init)

    @cached_property
    def fixed(self) -> NDArray[np.uint8]:
        """(p, 4) pinned colours, opaque."""
        colors = as_colors([] if self.pinned is None else self.pinned)
        return with_opacity(colors)

    def rng(self) -> np.random.RandomState:
        """A source of randomness; without a seed it is that of seed 0."""
        seed = self.random_state
        if isinstance(seed, np.random.RandomState):
            return seed
        return np.random.RandomState(0 if seed is None else seed)
