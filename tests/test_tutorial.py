"""The tutorial's own lines, with ``kmq`` for ``src`` and without ``%time``."""

import re
from pathlib import Path
from time import time

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.cluster import KMeans as SklearnKMeans

from kmq import image, model

ROOT = Path(__file__).parents[1]


def test_tutorial_on_our_own_picture(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)

    img = image.load_image("img/flower.jpg")
    img.title = "Original Image"
    assert isinstance(image.display_images(img), Figure)
    assert img.rgb_matrix.shape == (417, 640, 3)
    assert img.rgb_vector.shape == (266880, 3)
    image.plot_rgb_vector(img.rgb_vector, title="Feature vectors $$ X $$")

    k8_means = model.KMeans(n_clusters=8, random_state=44)
    assert k8_means.fit(img.rgb_vector) is k8_means
    assert 1 <= k8_means.iterations <= 300
    assert k8_means.labels_.shape == (266880,)
    k8_colors = np.uint8(k8_means.cluster_centers_)
    assert k8_colors.shape == (8, 3)
    image.plot_rgb_vector(k8_colors, alpha=1, s=100, title="8-means centroids")
    k8_rgb_vector = k8_colors[k8_means.labels_]
    k8_image = image.rgb_vector_to_image(k8_rgb_vector, img.shape)
    k8_image.title = "8-mean Image"
    image.display_images(k8_image)

    def quantize_image(img: image.Image, k: int, random_state: int):
        kmeans = model.KMeans(n_clusters=k, random_state=random_state)

        # Training
        print("[Training]")
        kmeans.fit(img.rgb_vector)
        print(f"Iterations: {kmeans.iterations}")

        # Results
        print("\n[Results]")
        centroids = np.uint8(kmeans.cluster_centers_)
        print(f"{k}-means centroids:")
        image.plot_rgb_vector(centroids, alpha=1, s=100, title=f"{k}-means centroids")

        quantized_img = image.rgb_vector_to_image(centroids[kmeans.labels_], img.shape)
        quantized_img.title = f"{k}-mean image"

        print("Quantized image:")
        image.display_images(quantized_img)

        return quantized_img

    k16_image = quantize_image(img, k=16, random_state=44)
    k32_image = quantize_image(img, k=32, random_state=44)
    figure = image.display_images(k8_image, k16_image, k32_image, figsize=(20, 15))
    assert [axes.get_title() for axes in figure.axes] == [
        "8-mean Image",
        "16-mean image",
        "32-mean image",
    ]
    assert "16-means centroids:\nQuantized image:" in capsys.readouterr().out
    errors = []
    for k, quantized in ((8, k8_image), (16, k16_image), (32, k32_image)):
        assert len(np.unique(quantized.rgb_vector, axis=0)) <= k
        errors.append(np.mean((img.rgb_vector - quantized.rgb_vector.astype(float)) ** 2))
    assert errors == sorted(errors, reverse=True)

    assert len(np.unique(img.rgb_vector, axis=0)) >= 25000

    def clusters_cost(X, centroids, labels):
        cost = 0
        for j in range(len(centroids)):
            cluster = X[np.where(labels == j)]
            distance = np.linalg.norm(cluster - centroids[j]) ** 2
            cost += np.sum(distance)
        return cost

    def record_k_metrics(img: image.Image, k_values: list[int], random_state: int):
        # Train the model for each k
        execution_time_list = []
        clusters_cost_list = []
        for k in k_values:
            kmeans = SklearnKMeans(n_clusters=k, random_state=random_state, n_init=5)
            # Execution time
            start_time = time()
            kmeans.fit(img.rgb_vector)
            end_time = time()
            execution_time_list.append(end_time - start_time)
            # Clusters cost
            centroids = np.uint8(kmeans.cluster_centers_)
            cost = clusters_cost(img.rgb_vector, centroids, kmeans.labels_)
            clusters_cost_list.append(cost)

        return clusters_cost_list, execution_time_list

    k_values = list(range(2, 5, 2))
    clusters_cost_list, execution_time_list = record_k_metrics(img, k_values, random_state=44)
    model.plot_k_metrics(k_values, clusters_cost_list, execution_time_list)

    # The tutorial's cost agrees with ours where its bytes do not overflow.
    centroids, labels = k8_means.cluster_centers_, k8_means.labels_
    cost = model.clusters_cost(img.rgb_vector, centroids, labels)
    assert cost == pytest.approx(clusters_cost(img.rgb_vector, centroids, labels), rel=1e-9)
    assert cost == pytest.approx(k8_means.inertia_, rel=1e-9)

    ours, _ = model.record_k_metrics(img, k_values, random_state=44)
    for k, cost in zip(k_values, ours, strict=True):
        reference = SklearnKMeans(n_clusters=k, random_state=44, n_init=5).fit(img.rgb_vector)
        assert cost == pytest.approx(reference.inertia_, rel=1e-9)


def test_tutorial_as_published(shared_dir, tmp_path, monkeypatch):
    (page,) = (shared_dir / "seed").glob("*.txt")
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / "flower.jpg").symlink_to(shared_dir / "seed" / "flower.jpg")
    monkeypatch.chdir(tmp_path)

    text = page.read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    assert code.count("%time ") == 2
    code = code.replace("%time ", "").replace("from src import", "from kmq import")
    # The tutorial goes up to k = 64, which takes scikit-learn half a minute.
    code = code.replace("range(2, 65, 2)", "range(2, 5, 2)")

    names: dict = {}
    exec(compile(code, str(page), "exec"), names)
    assert names["img"].rgb_matrix.shape == (417, 640, 3)
    assert len(np.unique(names["img"].rgb_vector, axis=0)) == 25786
    assert names["k8_means"].labels_.shape == (266880,)
    assert names["k32_image"].shape == (417, 640, 3)
    assert len(names["clusters_cost_list"]) == 2

    picture = image.quantize_image(names["img"], 16, random_state=44)
    assert picture.distinct == 25786
