"""Every compiled function of kmq, one family a file; NumPy and Numba only."""

# Whatever kernel a thread asks for first, Numba is loaded whole before any other thread goes on:
# two that enter it by different modules find it half loaded.
import numba  # noqa: F401
