"""Turn saved benchmarks into tables and figures: ``python -m benchmarks.report *.json``.

The README's table ``flower`` stands between ``<!-- table: flower -->`` and
``<!-- /table -->``; `TABLES` says of which benchmarks it is made. Of a benchmark that several
files hold, the newest counts; those that failed do not, for they compare different results.
Tables and figures without results stay as they are.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from . import figures, tables
from .problems import ROOT

Run = dict[str, Any]

TABLES: dict[str, tuple[tuple[str, ...], Callable[[list[Run]], str]]] = {
    "headline": (("test_lloyd", "test_seeded", "test_from_file_to_indices"), tables.headline),
    "flower": (("test_flower",), tables.pictures),
    "tutorial": (("test_tutorial_flower",), tables.pictures),
    "sweep": (("test_sweep",), tables.sweep),
    "colors": (("test_lloyd", "test_seeded"), tables.colors),
    "file": (("test_from_file_to_indices",), tables.file_to_indices),
    "general": (("test_whole_fit", "test_iterations"), tables.general),
    "rivals": (("test_rivals",), tables.rivals),
    "threads": (("test_threads",), tables.threads),
    "tools": (("test_quantize",), tables.tools),
    "dither": (("test_dither",), tables.dither),
    "folder": (("test_folder",), tables.folder),
    "startup": (("test_fresh_process", "test_very_first_fit", "test_tiny_data"), tables.startup),
    "memory": (("test_memory", "test_memory_of_defaults"), tables.memory),
    "slopes": (("test_slope",), tables.slopes),
}
FIGURES: dict[str, tuple[tuple[str, ...], Callable[[list[Run], Path], None]]] = {
    "time_against_k.png": (("test_flower",), figures.time_against_k),
    "photos.png": (("test_lloyd", "test_seeded"), figures.photos),
    "general.png": (("test_whole_fit", "test_iterations"), figures.general),
    "growth.png": (("test_slope",), figures.growth),
}


def merged(paths: Iterable[Path]) -> list[Run]:
    """Benchmarks of several files, of each the newest run."""
    found: dict[str, tuple[str, Run]] = {}
    for path in paths:
        saved = json.loads(Path(path).read_text(encoding="utf-8"))
        for run in saved["benchmarks"]:
            if not run["extra_info"]["held"]:
                continue
            name = run["fullname"]
            if name not in found or found[name][0] < saved["datetime"]:
                found[name] = saved["datetime"], run
    return [run for _, run in found.values()]


def chosen(runs: list[Run], tests: tuple[str, ...]) -> list[Run]:
    """Runs of some tests."""
    return [run for run in runs if run["name"].partition("[")[0] in tests]


def rewrite(readme: str, runs: list[Run]) -> str:
    """Return the README's text with every table renewed for which there are results."""

    def renew(match: re.Match) -> str:
        tests, make = TABLES[match["name"]]
        some = chosen(runs, tests)
        if not some:
            return match[0]
        return f"{match['open']}\n\n{make(some)}\n\n{match['close']}"

    marked = r"(?P<open><!-- table: (?P<name>\w+) -->).*?(?P<close><!-- /table -->)"
    return re.sub(marked, renew, readme, flags=re.DOTALL)


def main(paths: Iterable[str]) -> None:
    """Renew tables and figures from files of saved benchmarks."""
    runs = merged(map(Path, paths))
    readme = ROOT / "README.md"
    readme.write_text(rewrite(readme.read_text(encoding="utf-8"), runs), encoding="utf-8")
    for name, (tests, draw) in FIGURES.items():
        some = chosen(runs, tests)
        if some:
            draw(some, ROOT / "img" / name)


if __name__ == "__main__":
    main(sys.argv[1:])
