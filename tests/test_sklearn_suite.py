"""scikit-learn's own tests, from the installed wheel, with kmq's `KMeans` in place of its own."""

import importlib.util
from types import ModuleType

import numpy as np
import pytest
import sklearn.cluster
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_get_feature_names_out_error,
    check_global_output_transform_pandas,
    check_global_set_output_transform_polars,
    check_param_validation,
    check_set_output_transform,
    check_set_output_transform_pandas,
    check_set_output_transform_polars,
    check_transformer_get_feature_names_out,
    check_transformer_get_feature_names_out_pandas,
    parametrize_with_checks,
)

from kmq import KMeans, kmeans_plusplus

# What scikit-learn expects of its own KMeans too: a weight of w draws other candidates in
# k-means++ than w copies do, so one seed leads to different starts.
EXPECTED_TO_FAIL = {
    "check_sample_weight_equivalence_on_dense_data": "weights and copies draw different starts",
    "check_sample_weight_equivalence_on_sparse_data": "weights and copies draw different starts",
}


def swapped_suite() -> ModuleType:
    """A second copy of scikit-learn's test module, whose imports find kmq's names.

    The parameter lists of its tests hold the class, so it must be there before they are built.
    """
    origin = importlib.util.find_spec("sklearn.cluster.tests.test_k_means").origin
    spec = importlib.util.spec_from_file_location("test_k_means_on_kmq", origin)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sklearn.cluster, "KMeans", KMeans)
        patch.setattr(sklearn.cluster, "kmeans_plusplus", kmeans_plusplus)
        spec.loader.exec_module(module)
    return module


suite = swapped_suite()
globals().update({name: test for name, test in vars(suite).items() if name.startswith("test_")})


@pytest.fixture(params=[42])
def global_random_seed(request):
    """The seed that scikit-learn's own test runs use by default."""
    return request.param


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def global_dtype(request):
    return request.param


def test_the_suite_runs_on_kmq():
    assert suite.KMeans is KMeans
    assert suite.kmeans_plusplus is kmeans_plusplus
    assert len([name for name in globals() if name.startswith("test_")]) > 50


# The checks warn on purpose, and scikit-learn runs them with the same words silenced.
@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
@parametrize_with_checks([KMeans()], expected_failed_checks=lambda _: EXPECTED_TO_FAIL)
def test_estimator_checks(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore:X .*feature names")
@pytest.mark.parametrize(
    "check",
    [
        check_dataframe_column_names_consistency,
        check_get_feature_names_out_error,
        check_global_output_transform_pandas,
        check_global_set_output_transform_polars,
        check_param_validation,
        check_set_output_transform,
        check_set_output_transform_pandas,
        check_set_output_transform_polars,
        check_transformer_get_feature_names_out,
        check_transformer_get_feature_names_out_pandas,
        # From scikit-learn 1.9 on.
        *filter(None, [getattr(estimator_checks, "check_all_zero_sample_weights_error", None)]),
    ],
    ids=lambda check: check.__name__,
)
def test_common_checks(check):
    check("KMeans", KMeans())
