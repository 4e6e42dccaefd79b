"""The clock that stands still while compiled code is made."""

import pytest

from kmq import clock


@pytest.fixture
def passing(monkeypatch):
    """Pretend that time passes as told."""
    passed = [0.0]
    monkeypatch.setattr(clock, "perf_counter", lambda: passed[0])
    monkeypatch.setattr(clock, "_waited", 0.0)

    def wait(seconds):
        passed[0] += seconds

    return wait


def test_waiting_takes_no_time(passing):
    start = clock.now()
    passing(2)
    with clock.waiting():
        passing(10)
        with clock.waiting():  # a kernel that asks for another one
            passing(5)
        passing(1)
    passing(0.5)
    assert clock.now() - start == 2.5


def test_a_wait_that_fails_ends(passing):
    start = clock.now()

    def fail():
        with clock.waiting():
            passing(3)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    passing(1)
    assert clock.now() - start == 1


def test_seconds_are_of_the_work(passing, gradient, monkeypatch):
    """Whatever compiling takes, a picture's seconds leave it out."""
    from kmq.engine import palette_fit
    from kmq.image import quantize_image

    fit = palette_fit.fit_palette

    def slow(*args, **more):
        with clock.waiting():
            passing(100)
        passing(2)
        return fit(*args, **more)

    monkeypatch.setattr(palette_fit, "fit_palette", slow)
    assert quantize_image(gradient, 4, random_state=0).seconds == 2
