"""Turn saved benchmarks into the README's tables: ``python -m benchmarks.report results.json``.

A table called ``flower`` stands in the README between ``<!-- table: flower -->`` and
``<!-- /table -->`` and shows the benchmark ``test_flower``.
"""

import json
import re
import sys
from pathlib import Path

from .competitors import COMPETITORS
from .problems import ROOT


def table(results, name):
    """Return the table of one benchmark in Markdown, or None where it was not run."""
    runs = {
        (run["extra_info"]["k"], run["extra_info"]["competitor"]): run
        for run in results["benchmarks"]
        if run["name"].partition("[")[0] == f"test_{name}"
    }
    if not runs:
        return None
    names = [competitor for competitor in COMPETITORS if any(competitor in key for key in runs)]
    head = ["k", "iterations", "cost per pixel", *names]
    lines = [head, ["---:"] * len(head)]
    for k in sorted({k for k, _ in runs}):
        row = {competitor: runs[k, competitor] for competitor in names}
        ours = row["kmq"]["extra_info"]
        cost = f"{ours['inertia'] / ours['n']:.2f}"
        times = {competitor: run["stats"]["median"] for competitor, run in row.items()}
        cells = [_cell(times[competitor], times["kmq"]) for competitor in names]
        lines.append([str(k), str(ours["iterations"]), cost, *cells])
    body = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{body}\n\n{_caption(results, runs)}"


def rewrite(readme, results):
    """Return the README's text with every table renewed for which there are results."""

    def renew(match):
        new = table(results, match["name"])
        return match[0] if new is None else f"{match['open']}\n\n{new}\n\n{match['close']}"

    marked = r"(?P<open><!-- table: (?P<name>\w+) -->).*?(?P<close><!-- /table -->)"
    return re.sub(marked, renew, readme, flags=re.DOTALL)


def _cell(seconds, ours):
    """Return a time, and how many times it is that of kmq."""
    time = f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.0f} ms"
    return time if seconds == ours else f"{time} ({seconds / ours:.3g}×)"  # noqa: RUF001


def _caption(results, runs):
    """Return what was measured where, when and with which versions."""
    machine, some = results["machine_info"], runs[next(key for key in runs if "kmq" in key)]
    info = some["extra_info"]
    rounds = {name: run["stats"]["rounds"] for (_, name), run in runs.items()}
    counted = ", ".join(f"{name} {count}" for name, count in rounds.items())
    versions = ", ".join(f"{name} {text}" for name, text in info["versions"].items())
    return (
        f"Median time of one fit (fits timed: {counted}; warm, compile time apart) on all "
        f"{info['n']:,} pixels, and in brackets how many times that of kmq. "
        f"{info['cores']} cores of {machine['cpu'].get('brand_raw', machine['machine'])}, "
        f"Python {machine['python_version']}, {versions}, {results['datetime'][:10]}."
    )


def main(path):
    """Renew the README's tables from one file of saved benchmarks."""
    readme = ROOT / "README.md"
    results = json.loads(Path(path).read_text())
    readme.write_text(rewrite(readme.read_text(encoding="utf-8"), results), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
