"""Every compiled function of kmq, one family a file; NumPy and Numba only."""
