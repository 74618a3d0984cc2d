"""scikit-learn: KMeans and PCA across numbers of threads."""

import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from pytest_repro import Axis


def cluster(seed):
    model = KMeans(n_clusters=10, n_init=2, random_state=seed).fit(load_digits().data)
    return {"centers": model.cluster_centers_, "labels": model.labels_}


def decompose(data, seed):
    model = PCA(n_components=10, svd_solver="randomized", random_state=seed).fit(data)
    return {"components": model.components_, "variance": model.explained_variance_}


@pytest.mark.reproducible(across={"threads": [1, 2, 3]})
def test_clusters(repro):
    return cluster(repro.seed)


@pytest.mark.reproducible(across={"threads": [1, 2, 3]})
def test_components(repro):
    return decompose(repro.rng.normal(size=(2000, 200)), repro.seed)


@pytest.mark.reproducible(across={"threads": [1, 2, 3]})
def test_clusters_repaired(repro):
    with threadpool_limits(1):
        return cluster(repro.seed)


@pytest.mark.reproducible(across={"threads": Axis([1, 2, 3], norm=1e-12)})
def test_components_within_rounding(repro):
    return decompose(repro.rng.normal(size=(2000, 200)), repro.seed)
