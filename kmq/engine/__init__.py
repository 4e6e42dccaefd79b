"""Arrays in, result out: the loop, its steps, the starts and the threads.

Knows neither scikit-learn nor Pillow nor Matplotlib, and validates nothing.
"""
