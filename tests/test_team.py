"""Where the helpers of a team run."""

import os
import threading
import time

import numpy as np
import pytest

from kmq.engine import team as team_module
from kmq.engine.pool import submit
from kmq.engine.team import Team, _current_core
from kmq.kernels.team import DONE, LEAVE, LIMIT, take_work

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs a system that places threads, and two cores",
)


@pytest.fixture
def worked(wait_until):
    """Let a helper do one piece of work; where it ran, what it was kept to and left with."""
    current = _current_core()
    seen = {}
    done = threading.Event()

    def work_off(leads, board, tally):
        if threading.current_thread() is not threading.main_thread():
            seen["cores"], seen["core"] = os.sched_getaffinity(0), current()
            seen["thread"] = threading.get_native_id()
            done.set()

    def run(allowed):
        before = os.sched_getaffinity(0)
        submit(1, int).result()  # a thread that is made now may run where this one may
        os.sched_setaffinity(0, allowed)
        try:
            team = Team(work_off, (), np.zeros((2, 1), np.int64))
            assert done.wait(10)
            wait_until(lambda: team._away[0])
        finally:
            os.sched_setaffinity(0, before)
        seen["after"] = os.sched_getaffinity(seen["thread"])
        return seen

    return run


def test_helper_keeps_off_the_core_of_its_leader(worked):
    before = os.sched_getaffinity(0)
    seen = worked(before)
    assert len(seen["cores"]) == len(before) - 1
    assert seen["core"] in seen["cores"]
    assert seen["after"] == before


def test_helper_runs_anywhere_where_its_leader_has_one_core(worked):
    before = os.sched_getaffinity(0)
    seen = worked({min(before)})
    assert seen["cores"] == seen["after"] == before


def test_helpers_leave_a_team_that_is_gone(wait_until):
    def work_off(leads, board, tally):
        while board[LEAVE] == 0:
            time.sleep(0.001)

    team = Team(work_off, (), np.zeros((2, 1), np.int64))
    away = team._away
    assert away == [False]
    del team
    wait_until(lambda: away[0])


def test_a_team_of_helpers_without_cores_makes_do_with_fewer(monkeypatch):
    """A helper that sits on its chunk stands for one whose core is taken."""
    monkeypatch.setattr(team_module, "_Crowd", type("Crowd", (), {"most": 0, "until": 0.0}))
    claimed = threading.Event()
    begun = time.perf_counter()

    def work_off(leads, board, tally):
        if leads:
            claimed.wait()
        elif take_work(board, leads) >= 0:
            claimed.set()
            # Longer than the leader has worked, on whatever machine.
            time.sleep(0.1 + 3 * (time.perf_counter() - begun))
            board[DONE] += 1

    team = Team(work_off, (), np.zeros((9, 1), np.int64))
    assert team._n_called() == 8
    team.work(1)
    assert team._board[DONE] == team._board[LIMIT] == 1
    assert team._n_called() == 2
    team_module._Crowd.until = 0.0
    assert team._n_called() == 8
