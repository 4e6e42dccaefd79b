"""Every compiled function of kmq, one family a file; NumPy and Numba only."""

from kmq.clock import waiting

# Whatever kernel a thread asks for first, Numba is loaded whole before any other thread goes on:
# two that enter it by different modules find it half loaded.
with waiting():
    import numba  # noqa: F401
