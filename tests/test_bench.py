import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from kmq import bench
from kmq.competitors import COMPETITORS, Competitor, Fit, Problem
from kmq.image import Image


def test_all_rows_are_of_the_same_clustering(gradient):
    told = []
    found = bench.run(
        gradient, [3, 5], competitors=["scikit-learn", "numpy"], repeats=2, progress=told.append
    )
    assert [(row.k, row.competitor) for row in found.rows] == [
        (k, name) for k in (3, 5) for name in ("scikit-learn", "numpy", "kmq")
    ]
    assert {row.parity for row in found.rows} == {"same"}
    assert [row.fits for row in found.rows] == [2, 1, 2] * 2
    for row in found.rows:
        ours = next(other for other in found.rows[2::3] if other.k == row.k)
        assert row.ratio == pytest.approx(row.seconds / ours.seconds)
        assert row.iterations == ours.iterations
    assert found.samples == len(gradient.rgb_vector)
    assert found.colors == len(np.unique(gradient.rgb_vector, axis=0))
    assert told[:2] == ["k = 3: kmq", "k = 3: scikit-learn"]
    versions = json.loads(found.to_json())["setting"]["versions"]
    assert {"kmq", "numpy", "scikit-learn"} <= set(versions)


def test_a_competitor_that_ends_elsewhere_shows_by_how_much(gradient, monkeypatch):
    scikit_learn = COMPETITORS["scikit-learn"]

    def short(problem):
        return scikit_learn.fit(replace(problem, max_iter=1))

    monkeypatch.setitem(
        COMPETITORS, "hasty", Competitor(short, "scikit-learn", "one iteration", slow=True)
    )
    found = bench.run(gradient, [4], competitors=["hasty"], repeats=1)
    hasty, ours = found.rows
    assert hasty.cost > ours.cost
    assert hasty.parity == f"cost {hasty.cost / ours.cost - 1:+.2%}"
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(found.table())
    text = console.export_text()
    assert hasty.parity in text
    assert "hasty: one iteration." in text


def test_a_picture_of_one_colour(gradient):
    plain = Image(np.full_like(gradient.rgb_matrix, 9))
    found = bench.run(plain, [1], competitors=["scikit-learn"], repeats=1)
    assert {(row.cost, row.parity) for row in found.rows} == {(0.0, "same")}
    fits = {name: (Fit(np.full((1, 3), at), 1), [1.0], 1.0) for name, at in (("kmq", 9), ("x", 8))}
    assert bench._row(1, "x", fits, plain.rgb_vector).parity == "cost +inf%"


def test_a_narrow_terminal_folds_words_and_no_figure():
    row = bench.BenchRow(256, "scikit-learn-intelex", 0.0123, 5, 123.4, 1.0, 100, 12345.67, "same")
    versions = {"scikit-learn-intelex": "2026.2"}
    setting = {"versions": versions, "cores": 2, "machine": "x", "python": "3.12", "date": "today"}
    console = Console(width=50, record=True, file=io.StringIO())
    console.print(bench.BenchResult([row], 1000, 900, setting).table())
    text = console.export_text()
    assert "…" not in text
    for figure in ("256", "12.3 ms", "123×", "100", "12345.67"):  # noqa: RUF001
        assert figure in text


def test_competitors_that_cannot_be_had_are_named(gradient, monkeypatch):
    with pytest.raises(ValueError, match=r"competitors must be among numpy, .* got 'fast'"):
        bench.run(gradient, competitors=["fast"])
    monkeypatch.setitem(COMPETITORS, "absent", Competitor(lambda problem: None, "no-such-package"))
    with pytest.raises(ValueError, match="absent needs the package no-such-package"):
        bench.run(gradient, competitors=["absent"])
    assert "absent" not in bench._chosen(None, slow=True)
    assert "numpy" not in bench._chosen(None, slow=False)
    with pytest.raises(ValueError, match="k must lie between 1 and the number of pixels"):
        bench.run(gradient, [10_000], competitors=[])


def test_the_stopping_rule_is_the_same_in_both_tongues():
    X = np.array([[0.0, 0.0], [2.0, 4.0]])
    assert Problem(X, X, tol=0.5).relative_tol == pytest.approx(0.25 / 2.5)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (12.345, "12.3 s"),
        (9.996, "10.0 s"),
        (1.234, "1.23 s"),
        (0.9996, "1.00 s"),
        (0.9994, "999 ms"),
        (0.01234, "12.3 ms"),
        (9.996e-4, "1 ms"),
        (4.5678e-5, "45.7 µs"),
    ],
)
def test_times_have_three_digits(seconds, text):
    assert bench.in_seconds(seconds) == text
