"""NumPy that does not warn of what is too large, as kernels do not either."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np

Result = TypeVar("Result")


def quiet(function: Callable[..., Result]) -> Callable[..., Result]:
    """Keep NumPy from warning in a function. Its threads have to be kept from it one by one."""

    @wraps(function)
    def quietly(*args: Any, **kwargs: Any) -> Result:
        with np.errstate(over="ignore", invalid="ignore"):
            return function(*args, **kwargs)

    return quietly
