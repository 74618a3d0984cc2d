"""UMAP: an embedding of the handwritten digits, without a seed and with one."""

import pytest
from sklearn.datasets import load_digits

umap = pytest.importorskip("umap")


@pytest.fixture(scope="module")
def digits():
    return load_digits().data[:500]


@pytest.mark.reproducible(runs=5)
def test_embedding_without_a_seed(digits):
    reducer = umap.UMAP(n_epochs=50, n_jobs=2)
    return {"embedding": reducer.fit_transform(digits)}


@pytest.mark.reproducible(runs=3, across={"threads": [1, 2]})
def test_embedding_repaired(repro, digits):
    reducer = umap.UMAP(n_epochs=50, n_jobs=1, random_state=repro.seed)
    return {"embedding": reducer.fit_transform(digits)}
