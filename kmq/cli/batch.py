"""Doing the same with many pictures: side by side, with a progress bar, whatever fails."""

import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from kmq.cli.sources import Source
from kmq.cli.talk import CommandError, Talk, code_of, collected_notes, fail, sentence_of
from kmq.engine.cores import n_cores
from kmq.engine.threads import positive_int

if TYPE_CHECKING:
    from collections.abc import Iterator

Done = TypeVar("Done")
# What hostile or odd pictures raise; anything else is a fault of kmq, and its traceback is due.
EXPECTED = (CommandError, OSError, ValueError, MemoryError)


@dataclass
class Outcome(Generic[Done]):
    """What became of one picture: `done`, or an `error` and its exit code."""

    source: Source
    done: Done | None = None
    error: str | None = None
    code: int = 0
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of_error(cls, source: Source, error: Exception) -> "Outcome[Done]":
        """A failure."""
        return cls(source, error=sentence_of(error), code=code_of(error))

    @property
    def skipped(self) -> bool:
        """Whether it was left out as wished."""
        return self.code == CommandError.NOT_SMALLER

    def as_json(self) -> dict[str, Any]:
        """What JSON says of a failure."""
        return {"input": self.source.name, "error": self.error, "code": self.code}


@dataclass
class Batch(Generic[Done]):
    """What became of many pictures, in the order in which they were given."""

    outcomes: list[Outcome[Done]]
    interrupted: bool = False

    @property
    def code(self) -> int:
        """Exit code of the whole."""
        if self.interrupted:
            return 130
        if len(self.outcomes) == 1:
            return self.outcomes[0].code
        failed = sum(outcome.code != 0 and not outcome.skipped for outcome in self.outcomes)
        if failed:
            return CommandError.FAILED if failed == len(self.outcomes) else CommandError.SOME
        skipped = [outcome.skipped for outcome in self.outcomes]
        return CommandError.NOT_SMALLER if all(skipped) else 0


def attempt(source: Source, work: Callable[[], Done]) -> Outcome[Done]:
    """Do what may fail with one picture."""
    try:
        return Outcome(source, done=work(), notes=collected_notes())
    except EXPECTED as error:
        collected_notes()
        return Outcome.of_error(source, error)


def run_batch(
    sources: Sequence[Source],
    work: Callable[[int, threading.Event], Done],
    talk: Talk,
    *,
    jobs: int | None,
    verb: str,
    tell: Callable[[Outcome[Done]], None],
) -> Batch[Done]:
    """Work on pictures side by side, in threads: decoding, fitting and encoding let others run.

    Parameters
    ----------
    sources : sequence of Source
        The pictures.
    work : callable
        Given the number of a picture and an event that is set when the batch is to stop, before
        anything more is written.
    talk : Talk
        How much is said.
    jobs : int or None
        Pictures to work on at once; one for each core by default.
    verb : str
        What the progress bar says is done.
    tell : callable
        Told of each success as it comes; failures are told here.

    Returns
    -------
    Batch
        Without the pictures that were not done when it was interrupted.
    """
    stop = threading.Event()
    outcomes: dict[int, Outcome[Done]] = {}
    interrupted = False

    def finished(number: int, outcome: Outcome[Done]) -> None:
        outcomes[number] = outcome
        for note in outcome.notes:
            name = f"{outcome.source.shown}: " if len(sources) > 1 else ""
            talk.note(name + note)
        if outcome.error is None:
            tell(outcome)
        else:
            tell_failure(outcome, talk)

    if len(sources) == 1:
        finished(0, attempt(sources[0], lambda: work(0, stop)))
        return Batch([outcomes[0]])
    at_once = min(jobs or n_cores(), len(sources))
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="picture")
    with progress(verb, len(sources), talk) as advance, _shared_cores(at_once):
        futures: dict[Future[Outcome[Done]], int] = {}
        try:
            for number, source in enumerate(sources):
                task = _task(work, number, stop)
                futures[pool.submit(attempt, source, task)] = number
            for future in as_completed(futures):
                finished(futures[future], future.result())
                advance()
        except KeyboardInterrupt:
            interrupted = True
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
        if interrupted:
            for future, number in futures.items():
                if number not in outcomes and future.done() and not future.cancelled():
                    outcome = future.result()
                    if outcome.done is not None:
                        finished(number, outcome)
    return Batch([outcomes[number] for number in sorted(outcomes)], interrupted)


def tell_failure(outcome: Outcome[Any], talk: Talk) -> None:
    """Say on one line why a picture was not done."""
    if outcome.skipped:
        talk.note(str(outcome.error))
    else:
        fail(str(outcome.error), outcome.code)


def _task(
    work: Callable[[int, threading.Event], Done], number: int, stop: threading.Event
) -> Callable[[], Done]:
    """Work on one picture, with its number in it."""
    return lambda: work(number, stop)


def stop_here(stop: threading.Event) -> None:
    """Leave a picture before it is written, where the batch was interrupted meanwhile."""
    if stop.is_set():
        raise CommandError("interrupted", 130)


@contextmanager
def _shared_cores(at_once: int) -> "Iterator[None]":
    """Give each of several fits its share of the cores.

    Threads of one fit wait for each other within compiled code: two fits of two threads each on
    two cores take longer than one after the other.
    """
    name = "OMP_NUM_THREADS"
    before = os.environ.get(name)
    share = max(1, n_cores() // at_once)
    os.environ[name] = str(min(share, positive_int(before) or share))
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextmanager
def progress(verb: str, total: int, talk: Talk) -> "Iterator[Callable[[], None]]":
    """Show a progress bar on a terminal, and nothing off it; yields what to call at each step."""
    if talk.quiet or total < 2 or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(verb, total=total)
        yield lambda: bar.advance(task)
