import csv
import io
import json
import sys

import numpy as np
import pytest
from matplotlib import pyplot as plt

from kmq import curves, model, profile, reference
from kmq.model import KMeans


def test_record_k_metrics_is_cost_and_time_of_each_fit(gradient):
    k_values = range(1, 8, 3)
    costs, times = profile.record_k_metrics(gradient, k_values, 44)
    for k, cost in zip(k_values, costs, strict=True):
        kmeans = KMeans(k, n_init=5, random_state=44).fit(gradient.rgb_vector)
        assert cost == kmeans.inertia_
    assert len(times) == 3
    assert all(isinstance(value, float) for value in costs + times)
    assert min(times) > 0


def test_a_sweep_of_many_pixels_counts_their_colours_once(rng, monkeypatch):
    from kmq.engine import color_samples
    from kmq.image import Image

    img = Image(rng.integers(0, 20, (90, 100, 3)).astype(np.uint8))
    counted = []
    distinct_colors = color_samples.distinct_colors
    monkeypatch.setattr(
        color_samples, "distinct_colors", lambda *args: counted.append(1) or distinct_colors(*args)
    )
    recorded = profile.profile_k(img, [2, 5, 9], 7, n_init=2, repeats=2)
    assert len(counted) == 2  # once to warm up, once for all fits
    for row in recorded.rows:
        kmeans = KMeans(row.k, n_init=2, random_state=7).fit(img.rgb_vector)
        assert (row.cost, row.iterations) == (kmeans.inertia_, kmeans.n_iter_)


def test_record_k_metrics_keeps_the_best_of_its_starts(gradient):
    one, many = (profile.record_k_metrics(gradient, [9], 1, n_init=n)[0] for n in (1, 20))
    assert many < one


def test_record_k_metrics_takes_an_iterator_and_an_empty_one(gradient):
    assert len(profile.record_k_metrics(gradient, iter([2, 3]), 0)[0]) == 2
    assert profile.record_k_metrics(gradient, [], 0) == ([], [])


def test_rows_hold_times_iterations_and_quality(gradient):
    recorded = profile.profile_k(gradient, [3, 300], 0, n_init=1, repeats=3)
    few, many = recorded.rows
    assert few.least_seconds <= few.seconds <= few.most_seconds
    centers = KMeans(3, n_init=1, random_state=0).fit(gradient.rgb_vector).cluster_centers_
    shown = np.rint(centers)[reference.assign(gradient.rgb_vector, np.rint(centers))]
    error = np.square(gradient.rgb_vector - shown).mean()
    assert few.psnr == pytest.approx(10 * np.log10(255**2 / error))
    assert 0 < few.png_bytes < gradient.rgb_vector.size
    assert many.psnr > few.psnr
    assert many.png_bytes is None
    with pytest.raises(ValueError, match="repeats must be at least 1, got 0"):
        profile.profile_k(gradient, [2], repeats=0)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_profile_becomes_csv_json_and_a_frame(gradient, tmp_path):
    recorded = profile.profile_k(gradient, [2, 3, 600], 0, n_init=1, repeats=1)
    rows = list(csv.DictReader(io.StringIO(recorded.to_csv(tmp_path / "k.csv"))))
    assert (tmp_path / "k.csv").read_text() == recorded.to_csv()
    assert [int(row["k"]) for row in rows] == recorded.k_values == [2, 3, 600]
    assert [float(row["cost"]) for row in rows] == recorded.costs
    assert rows[2]["png_bytes"] == ""
    content = json.loads(recorded.to_json(tmp_path / "k.json"))
    assert json.loads((tmp_path / "k.json").read_text()) == content
    assert content["name"] == "kmq"
    assert content["rows"][1]["seconds"] == recorded.seconds[1]
    frame = recorded.to_frame()
    assert frame["cost"].tolist() == recorded.costs
    assert list(frame.columns) == list(rows[0])


def test_a_frame_needs_pandas(gradient, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError):
        profile.profile_k(gradient, [], 0).to_frame()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_lossless_picture_is_valid_json(gradient):
    recorded = profile.profile_k(gradient, [700], 0, n_init=1, repeats=1, name="all of them")
    assert recorded.rows[0].psnr == np.inf
    assert json.loads(recorded.to_json())["rows"][0]["psnr"] is None


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_any_estimator_can_be_profiled(gradient):
    from sklearn.cluster import KMeans as Rival
    from sklearn.cluster import MiniBatchKMeans

    ours = profile.profile_k(gradient, [3, 6], 4, n_init=2)
    theirs = profile.profile_k(gradient, [3, 6], 4, n_init=2, estimator=Rival)
    assert (ours.name, theirs.name) == ("kmq", "sklearn.KMeans")
    assert ours.costs == pytest.approx(theirs.costs, rel=1e-9)
    assert [row.iterations for row in ours.rows] == [row.iterations for row in theirs.rows]
    batches = MiniBatchKMeans(random_state=1, n_init=1)
    assert profile.profile_k(gradient, [4], estimator=batches).rows[0].cost > 0
    assert batches.n_clusters == 8
    plain = profile.profile_k(
        gradient, [3], estimator=lambda k: reference.KMeans(k, random_state=2), name="NumPy"
    )
    fitted = reference.KMeans(3, random_state=2).fit(gradient.rgb_vector)
    cost = reference.inertia(gradient.rgb_vector, None, fitted.cluster_centers_, fitted.labels_)
    assert plain.costs == pytest.approx([cost])
    assert plain.rows[0].iterations == fitted.iterations
    figure = profile.plot_profiles(ours, theirs, plain)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "kmq",
        "sklearn.KMeans",
        "NumPy",
    ]


def test_progress_goes_to_stderr(gradient, capsys):
    profile.profile_k(gradient, [2, 3], 0, n_init=1, pictures=False, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "fitting with kmq" in err


def test_a_knee_is_found_where_there_is_one():
    k_values = [2, 4, 6, 8, 10, 12]
    assert profile.find_knee(k_values, [100, 60, 12, 10, 8, 6]) == 6
    wiggle = [12, 9.9, 8, 6.1, 4, 2]
    for costs in ([12, 10, 8, 6, 4, 2], [2, 4, 6, 8, 10, 12], [100, 98, 94, 86, 70, 30], wiggle):
        assert profile.find_knee(k_values, costs) is None
    assert profile.find_knee([2, 4], [9, 1]) is None


def test_plot_k_metrics_has_an_axis_for_cost_and_one_for_time():
    k_values, costs, times = [2, 4, 8], [9e8, 2e8, 1e8], [0.02, 0.03, 0.08]
    figure = profile.plot_k_metrics(k_values, costs, times)
    assert figure.get_size_inches().tolist() == [10, 4]
    figure.savefig(io.BytesIO())
    cost_axes, time_axes = figure.axes
    for axes, values in ((cost_axes, costs), (time_axes, times)):
        (line,) = axes.lines
        assert line.get_xdata().tolist() == k_values
        assert np.array_equal(line.get_ydata(), values)
        assert line.get_color() == axes.yaxis.label.get_color()
        assert axes.get_ylim()[0] == 0
    assert cost_axes.lines[0].get_color() != time_axes.lines[0].get_color()
    assert cost_axes.get_xlabel().startswith("k")
    assert "cost" in cost_axes.get_ylabel()
    assert "time" in time_axes.get_ylabel()
    assert any(text.get_text().endswith(" ms") for text in time_axes.get_yticklabels())
    assert plt.get_fignums() == []


def test_the_plot_marks_the_knee_or_says_that_there_is_none():
    bent, straight = [100, 60, 12, 10, 8, 6], [12, 10, 8, 6, 4, 2]
    k_values, times = range(2, 13, 2), [1.0] * 6
    cost_axes, time_axes = profile.plot_k_metrics(k_values, bent, times).axes
    # Text of the cost's axes would lie below the curve of times.
    assert len(cost_axes.texts) == 0
    (knee,) = time_axes.texts
    assert (knee.get_text(), knee.xy, knee.xycoords) == (
        "knee at k = 6",
        (6, 12),
        cost_axes.transData,
    )
    cost_axes, time_axes = profile.plot_k_metrics(k_values, straight, times).axes
    assert len(time_axes.texts) == 0
    assert cost_axes.get_title("right") == "no knee"


def test_the_axis_of_one_k_has_that_tick_alone():
    figure = profile.plot_k_metrics([8], [100.0], [1.0])
    figure.savefig(io.BytesIO())
    low, high = figure.axes[0].get_xlim()
    assert [tick for tick in figure.axes[0].get_xticks() if low <= tick <= high] == [8]


def test_logarithmic_axes_have_whole_k():
    figure = profile.plot_k_metrics(
        [2, 4, 8, 64], [9e8, 2e8, 1e8, 1e7], [0.02, 0.03, 0.08, 1], log=True
    )
    figure.savefig(io.BytesIO())
    assert {axes.get_yscale() for axes in figure.axes} == {"log"}
    shown = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert {"2", "4", "64"} <= set(shown)


def test_repeats_are_drawn_as_bars():
    rows = [profile.KRow(k, 10 / k, 2.0, 1.0, 4.0, 3) for k in (2, 3, 4)]
    figure = profile.KProfile("kmq", rows).plot()
    bars = figure.axes[1].collections[0].get_segments()
    assert np.array_equal(bars[0], [[2, 1], [2, 4]])
    assert len(bars) == 3
    with pytest.raises(ValueError, match="at least one profile"):
        curves.plot_profiles()


def test_plot_k_metrics_refuses_lists_of_other_lengths():
    with pytest.raises(ValueError, match="equally long, got 2, 1 and 2"):
        profile.plot_k_metrics([1, 2], [1.0], [1.0, 2.0])


def test_model_offers_the_tutorials_names():
    assert model.record_k_metrics is profile.record_k_metrics
    assert model.plot_k_metrics is profile.plot_k_metrics
