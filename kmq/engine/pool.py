"""Threads that stay, and the calls that are made on them.

`concurrent.futures` would do but for two things. A Ctrl-C at the wrong moment leaves locks held
that are written in Python: later fits run on one thread then, and the process hangs at its end.
And it takes 6 microseconds to hand over a call, 2 are possible, and whole fits take some hundred.
"""

import atexit
import os
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Call(Generic[T]):
    """A call that is made once, by whichever thread claims it first.

    Parameters
    ----------
    function : callable
        What to call.
    *args
        With what.
    """

    _result: T
    _error: BaseException | None = None
    _cancelled = False

    def __init__(self, function: Callable[..., T], *args: Any) -> None:
        self._function = function
        self._args = args
        self._claim = Lock()
        self._pending = Lock()
        self._pending.acquire()

    def cancel(self) -> bool:
        """Keep others from making the call; False where one has begun already."""
        if self._claim.acquire(blocking=False):
            self._cancelled = True
        return self._cancelled

    def make(self) -> None:
        """Make the call, unless it was made or cancelled."""
        if not self._claim.acquire(blocking=False):
            return
        try:
            self._result = self._function(*self._args)
        except BaseException as error:
            # Less this frame, which would keep the call.
            self._error = error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
        finally:
            del self._function, self._args
            self._pending.release()

    def result(self) -> T:
        """Wait for a call that has begun; what it returned, or raise what it raised."""
        with self._pending:
            pass
        if self._error is not None:
            raise self._error
        return self._result


_calls: SimpleQueue[Call[Any] | None] = SimpleQueue()
_threads: list[Thread] = []
_hiring = Lock()


def submit(size: int, function: Callable[..., T], *args: Any) -> Call[T] | None:
    """Call a function on one of the shared threads, `size` or more; None where none can be had."""
    with _hiring:
        while len(_threads) < size:
            thread = Thread(target=_serve, args=(_calls,), name=f"kmq-{len(_threads)}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # there are too many, or the interpreter is shutting down
                break
            _threads.append(thread)
        if not _threads:
            return None
    call = Call(function, *args)
    _calls.put(call)
    return call


def _serve(calls: SimpleQueue[Call[Any] | None]) -> None:
    """Make calls as they come, up to the first that is None, which is for all threads."""
    while (call := calls.get()) is not None:
        call.make()
        del call  # else what it works on would be kept until the next one comes
    calls.put(None)


@atexit.register
def _close() -> None:
    """Let the threads end before the interpreter takes away what they work on."""
    _calls.put(None)
    for thread in _threads:
        thread.join()


def _forget() -> None:
    """Let a forked child make threads of its own."""
    global _calls, _hiring
    _calls, _hiring = SimpleQueue(), Lock()
    _threads.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
