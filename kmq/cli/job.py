"""Pictures, the files that they become, and how that is done and told."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

from kmq.cli import options as opt
from kmq.cli.batch import EXPECTED, Batch, Outcome, progress, run_batch, tell_failure
from kmq.cli.sources import (
    STANDARD,
    SUFFIX,
    Source,
    check_stdout,
    find_sources,
    name_outputs,
)
from kmq.cli.talk import (
    CommandError,
    Talk,
    as_size,
    code_of,
    collected_notes,
    fail,
    print_json,
    say,
    sentence_of,
)
from kmq.cli.work import (
    Reduce,
    ReduceAnimation,
    Writing,
    Written,
    frame_count,
    read_image,
    reduce_picture,
)

if TYPE_CHECKING:
    from kmq.image import Image
    from kmq.palette import Palette


class Job:
    """What ``quantize`` and ``remap`` were asked to do.

    Parameters
    ----------
    names : sequence of str
        Files, folders, patterns, ``-``.
    output : str or None
        A file, a folder, ``-``, or None for places beside the pictures.
    writing : Writing
        How outputs are written.
    talk : Talk
        How much is said.
    schema : str
        Name and version of what JSON says.
    recursive : bool
        Whether folders within folders are searched.
    jobs : int or None
        Pictures to work on at once.
    max_pixels : int or None
        Limit of the pictures' sizes.
    as_json : bool
        Whether what was done is printed as JSON.

    Raises
    ------
    typer.BadParameter
        If the arguments do not go together.
    """

    def __init__(
        self,
        names: Sequence[str],
        output: str | None,
        writing: Writing,
        talk: Talk,
        *,
        schema: str,
        recursive: bool,
        jobs: int | None,
        max_pixels: int | None,
        as_json: bool,
    ) -> None:
        self._start = perf_counter()
        opt.limit_input(max_pixels)
        beside = SUFFIX if output is None else None
        self._sources = find_sources(names, recursive=recursive, apart_from=output, without=beside)
        ending = None if writing.file_format is None else f".{writing.file_format.lower()}"
        self._outputs = name_outputs(self._sources, output, ending)
        if self._outputs == [STANDARD]:
            if as_json:
                raise opt.bad("stdout is where --json prints", "-o")
            check_stdout()
        folders = output is not None and self._outputs != [output]
        self._writing = replace(writing, make_folders=folders)
        self._talk = talk
        self._schema = schema
        self._jobs = jobs
        self._as_json = as_json

    def run(self, reduce: Reduce, reduce_animation: ReduceAnimation) -> int:
        """Reduce, write and tell of every picture.

        Parameters
        ----------
        reduce, reduce_animation : callable
            Read a source as a picture, or as an animation, and make it one of few colours.

        Returns
        -------
        int
            The exit code.
        """
        return self._finish(self._batch(reduce, reduce_animation, {}))

    def run_shared(
        self,
        fit: "Callable[[Iterator[Image]], Palette]",
        ways: "Callable[[Palette], tuple[Reduce, ReduceAnimation]]",
    ) -> int:
        """Find one palette for all pictures, and lay it on each.

        Parameters
        ----------
        fit : callable
            Makes a palette of pictures that come one at a time.
        ways : callable
            Makes of a palette what `run` wants.

        Returns
        -------
        int
            The exit code.
        """
        failed: dict[int, Outcome[Written]] = {}

        def images() -> "Iterator[Image]":
            with progress("reading", len(self._sources), self._talk) as advance:
                for number, source in enumerate(self._sources):
                    try:
                        yield from self._images(source)
                    except EXPECTED as error:
                        failed[number] = Outcome.of_error(source, error)
                        tell_failure(failed[number], self._talk)
                    # Laying the palette on the picture will say the same again.
                    collected_notes()
                    advance()

        try:
            palette = fit(images())
        except (CommandError, ValueError) as error:
            outcomes = [
                failed.get(number) or Outcome.of_error(source, error)
                for number, source in enumerate(self._sources)
            ]
            if len(failed) == len(self._sources):
                return self._finish(Batch(outcomes))
            code = fail(sentence_of(error), code_of(error))
            self._finish(Batch(outcomes))
            return code
        return self._finish(self._batch(*ways(palette), failed))

    def _images(self, source: Source) -> "Iterator[Image]":
        """The picture of a source, or the frames of its animation."""
        if self._writing.still or frame_count(source) == 1:
            yield read_image(source)
            return
        from kmq.animation import read_frames

        for frame in read_frames(source.open()):
            yield frame.image

    def _batch(
        self, reduce: Reduce, animated: ReduceAnimation, failed: dict[int, Outcome[Written]]
    ) -> Batch[Written]:
        """Reduce and write the pictures that did not fail before."""
        numbers = [number for number in range(len(self._sources)) if number not in failed]

        def work(place: int, stop: threading.Event) -> Written:
            number = numbers[place]
            return reduce_picture(
                self._sources[number],
                self._outputs[number],
                reduce,
                animated,
                self._writing,
                stop,
            )

        sources = [self._sources[number] for number in numbers]
        batch = run_batch(
            sources, work, self._talk, jobs=self._jobs, verb="quantizing", tell=self._tell
        )
        if failed:
            outcomes = [*failed.values(), *batch.outcomes]
            outcomes.sort(key=lambda outcome: self._sources.index(outcome.source))
            batch = Batch(outcomes, batch.interrupted)
        return batch

    def _tell(self, outcome: Outcome[Written]) -> None:
        """Tell of a picture as it is done."""
        written = outcome.done
        if written is None:
            return
        if len(self._sources) == 1:
            self._talk.table(written.table(palette=self._talk.verbose))
        elif self._talk.verbose and not self._talk.quiet:
            say(written.line())
        if not self._as_json:
            # Of ten thousand pictures, the palettes would take hundreds of megabytes.
            del written.summary["palette"], written.summary["counts"]

    def _sum_up(self, batch: Batch[Written]) -> None:
        """Tell of all pictures together."""
        if self._talk.quiet:
            return
        done = [outcome.done for outcome in batch.outcomes if outcome.done is not None]
        parts = [f"{len(done)} of {len(self._sources)} pictures"]
        before = sum(written.summary["bytes_in"] or 0 for written in done)
        after = sum(written.summary["bytes_out"] for written in done)
        if before:
            parts.append(f"{as_size(before)} → {as_size(after)} ({after / before:.0%})")
        larger = sum(written.is_larger for written in done)
        if larger:
            parts.append(f"{larger} larger than before")
        skipped = sum(outcome.skipped for outcome in batch.outcomes)
        if skipped:
            parts.append(f"{skipped} not smaller")
        say(f"{', '.join(parts)}, {perf_counter() - self._start:.1f} s")

    def _finish(self, batch: Batch[Written]) -> int:
        """Tell of all pictures, and print JSON where it was asked for; returns the exit code."""
        if len(self._sources) > 1:
            self._sum_up(batch)
        if self._as_json:
            pictures = [
                outcome.as_json()
                if outcome.done is None
                else {**outcome.done.summary, "notes": outcome.notes}
                for outcome in batch.outcomes
            ]
            print_json(self._schema, {"interrupted": batch.interrupted, "pictures": pictures})
        return batch.code
