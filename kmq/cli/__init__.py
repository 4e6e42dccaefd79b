"""The ``kmq`` command: reads arguments, calls the rooms below, prints.

Data go to stdout, words to stderr. Heavy modules are imported inside the commands, so that help
and usage errors come at once.
"""

from kmq.cli import inspect, measure, pictures, report, swatches, warmup  # noqa: F401
from kmq.cli.app import app, run

__all__ = ["app", "run"]

# The order of the help.
_NAMES = (
    "quantize",
    "palette",
    "remap",
    "report",
    "profile",
    "compare",
    "info",
    "bench",
    "warmup",
)
app.registered_commands.sort(key=lambda command: _NAMES.index(command.name or ""))
