"""``kmq warmup``: compiling ahead of time."""

from typing import Any

from kmq.cli import options as opt
from kmq.cli.app import command, examples
from kmq.cli.batch import progress
from kmq.cli.talk import Talk, print_json, say


@command("warmup", epilog=examples("kmq warmup", "kmq warmup --json"))
def warmup(as_json: opt.AsJson = False, quiet: opt.Quiet = False) -> None:
    """Compile ahead of time what fits and pictures need.

    There is nothing to do where kmq was installed on this kind of processor, or warmed up before.
    Else it takes half a minute, once: in an image of a container, run it when that is built.
    """
    from kmq.about import warmup as warm
    from kmq.engine.warmup import JOBS
    from kmq.kernels.cache import writable_dir

    talk = Talk(quiet)
    figures: dict[str, Any] = {"kernels": 0, "seconds": 0.0}
    with progress("compiling", len(JOBS), talk) as advance:

        def on_progress(done: int, total: int, kernels: int, seconds: float) -> None:
            figures.update(kernels=kernels, seconds=round(seconds, 3))
            advance()

        warm(on_progress)
    folder = writable_dir()
    if as_json:
        place = None if folder is None else str(folder)
        print_json("kmq.warmup/1", {**figures, "folder": place})
    elif not quiet:
        if not figures["kernels"]:
            say("nothing to compile: it is all there")
        elif folder is None:
            say("nothing can be kept on this machine; see kmq info")
        else:
            seconds = f"{figures['seconds']:.0f} s"
            say(f"{figures['kernels']} kernels are in {folder}, after {seconds}")
