"""From saved benchmarks to the README's tables."""

import json

from benchmarks import report

SETTING = {
    "machine": "a processor",
    "cores": 2,
    "threads": {"kmq": 2},
    "python": "3.12.1",
    "versions": {"kmq": "0.1.0", "numpy": "2.0.0"},
    "date": "2030-01-02",
    "held": True,
}


def flower(name, k, seconds, **more):
    info = {"competitor": name, "k": k, "n": 1000, "iterations": 9, "inertia": 5000.0}
    return {
        "name": f"test_flower[{name}-{k}]",
        "fullname": f"benchmarks/test_pictures.py::test_flower[{name}-{k}]",
        "group": "flower",
        "stats": {"median": seconds, "rounds": 7},
        "extra_info": info | SETTING | {"first_call_s": 0.5} | more,
    }


def save(path, date, *runs):
    path.write_text(json.dumps({"datetime": date, "benchmarks": runs}))


def runs_of(folder):
    old = [flower(name, 8, 9.0) for name in ("numpy", "scikit-learn", "kmq")]
    new = [flower("numpy", 8, 2.0), flower("scikit-learn", 8, 0.005), flower("kmq", 8, 0.01)]
    save(folder / "new.json", "2030-01-02", *new)
    save(folder / "old.json", "2030-01-01", *old)
    return report.merged([folder / "new.json", folder / "old.json"])


def test_the_newest_run_counts_and_losses_are_bold(tmp_path):
    readme = "before\n<!-- table: flower -->\nold\n<!-- /table -->\nafter"
    renewed = report.rewrite(readme, runs_of(tmp_path))
    row = "| 8 | 9 | 5.00 | 2.00 s (200×) | 5 ms (**0.5×**) | 10 ms | 500 ms |"  # noqa: RUF001
    assert row in renewed.splitlines()
    assert renewed.startswith("before\n<!-- table: flower -->\n\n| k |")
    assert renewed.endswith("kmq 0.1.0, numpy 2.0.0, 2030-01-02.\n\n<!-- /table -->\nafter")
    assert report.rewrite(renewed, runs_of(tmp_path)) == renewed


def test_a_benchmark_that_failed_does_not_count(tmp_path):
    save(tmp_path / "a.json", "2030-01-01", flower("kmq", 8, 1.0))
    save(tmp_path / "b.json", "2030-01-02", flower("kmq", 8, 2.0, held=False))
    (run,) = report.merged([tmp_path / "a.json", tmp_path / "b.json"])
    assert run["stats"]["median"] == 1.0


def test_tables_without_results_stay(tmp_path):
    readme = "<!-- table: sweep -->\nkept\n<!-- /table -->"
    assert report.rewrite(readme, runs_of(tmp_path)) == readme


def test_the_figure_is_drawn(tmp_path):
    report.figures.time_against_k(
        [
            flower(name, k, seconds * k)
            for name, seconds in {"numpy": 1, "scikit-learn": 0.1, "kmq": 0.01}.items()
            for k in (8, 16)
        ],
        tmp_path / "figure.png",
    )
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_every_table_of_the_readme_is_known():
    names = set(report.TABLES)
    text = (report.ROOT / "README.md").read_text(encoding="utf-8")
    assert {part.split(" -->")[0] for part in text.split("<!-- table: ")[1:]} == names
