import io

import numpy as np
import pytest
from matplotlib import pyplot as plt

from kmq import model, profile
from kmq.model import KMeans


def test_record_k_metrics_is_cost_and_time_of_each_fit(gradient):
    k_values = range(1, 8, 3)
    costs, times = profile.record_k_metrics(gradient, k_values, 44)
    for k, cost in zip(k_values, costs, strict=True):
        kmeans = KMeans(k, n_init=5, random_state=44).fit(gradient.rgb_vector)
        assert cost == pytest.approx(kmeans.inertia_, rel=1e-9)
    assert len(times) == 3
    assert all(isinstance(value, float) for value in costs + times)
    assert min(times) > 0


def test_record_k_metrics_keeps_the_best_of_its_starts(gradient):
    one, many = (profile.record_k_metrics(gradient, [9], 1, n_init=n)[0] for n in (1, 20))
    assert many < one


def test_record_k_metrics_takes_an_iterator_and_an_empty_one(gradient):
    assert len(profile.record_k_metrics(gradient, iter([2, 3]), 0)[0]) == 2
    assert profile.record_k_metrics(gradient, [], 0) == ([], [])


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


def test_plot_k_metrics_refuses_lists_of_other_lengths():
    with pytest.raises(ValueError, match="equally long, got 2, 1 and 2"):
        profile.plot_k_metrics([1, 2], [1.0], [1.0, 2.0])


def test_model_offers_the_tutorials_names():
    assert model.record_k_metrics is profile.record_k_metrics
    assert model.plot_k_metrics is profile.plot_k_metrics
