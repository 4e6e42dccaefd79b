import io
import sys

import numpy as np
import pytest

from kmq import image


def open_figures():
    from matplotlib import pyplot as plt

    return plt.get_fignums()


def test_display_images_side_by_side(gradient, picture):
    gradient.title = "before $x_1$"
    figure = image.display_images(gradient, picture, figsize=(6, 2))
    assert figure.get_size_inches().tolist() == [6, 2]
    assert [axes.get_title() for axes in figure.axes] == ["before $x_1$", "4 colours"]
    for axes, img in zip(figure.axes, (gradient, picture), strict=True):
        assert np.array_equal(axes.images[0].get_array(), img.rgb_matrix)
        assert not axes.axison
    figure.savefig(io.BytesIO())
    assert open_figures() == []


def test_display_image_is_one_of_them(gradient):
    assert len(image.display_image(gradient, figsize=(3, 2)).axes) == 1
    with pytest.raises(ValueError, match="at least one image"):
        image.display_images()


def test_plot_rgb_vector(gradient):
    figure = image.plot_rgb_vector(gradient.rgb_vector, title="Feature vectors $$ X $$")
    axes = figure.axes[0]
    assert axes.get_title() == "Feature vectors $X$"
    figure.savefig(io.BytesIO())
    points = np.column_stack(axes.collections[0]._offsets3d)
    distinct = np.unique(gradient.rgb_vector, axis=0)
    assert np.array_equal(np.unique(points, axis=0), distinct)
    assert len(points) == len(distinct)
    drawn = np.unique(axes.collections[0].get_facecolor(), axis=0)
    assert np.allclose(drawn[:, :3] * 255, distinct)
    assert set(drawn[:, 3]) == {0.6}
    assert open_figures() == []


def test_plot_rgb_vector_of_centres(rng):
    centres = np.append(rng.uniform(0, 255, (7, 3)), [[255.01, -0.01, 3]], axis=0)
    figure = image.plot_rgb_vector(centres, figsize=(4, 4), alpha=1, s=100)
    assert len(figure.axes[0].collections[0]._offsets3d[0]) == 8
    figure.savefig(io.BytesIO())
    with pytest.raises(ValueError, match=r"shape \(n, 3\), got \(3,\)"):
        image.plot_rgb_vector([1, 2, 3])


def test_figures_are_shown_where_they_can_be(gradient, monkeypatch):
    from matplotlib import pyplot as plt
    from matplotlib.backend_bases import FigureManagerBase
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    shown = []

    class Window(FigureManagerBase):
        @classmethod
        def pyplot_show(cls, *, block=None):
            shown.append(plt.get_fignums())

    class Canvas(FigureCanvasAgg):
        manager_class = Window

    backend = type(sys)("window_backend")
    backend.FigureCanvas, backend.FigureManager = Canvas, Window
    monkeypatch.setitem(sys.modules, "window_backend", backend)
    plt.switch_backend("module://window_backend")
    try:
        figure = image.display_images(gradient)
        assert shown == [[figure.number]]
    finally:
        plt.close("all")
        plt.switch_backend("agg")


def test_a_notebook_draws_a_figure_once(gradient, monkeypatch):
    from matplotlib import pyplot as plt

    shown = []
    monkeypatch.setattr(plt, "get_backend", lambda: "inline")
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.get_fignums()))
    figure = image.display_images(gradient)
    plt.close(figure)
    assert shown == [[figure.number]]
    figure._ipython_display_()
    assert not hasattr(figure, "_ipython_display_")
