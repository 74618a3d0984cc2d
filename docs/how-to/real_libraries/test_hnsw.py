"""hnswlib: an index of vectors that is built by several threads."""

import numpy as np
import pytest

hnswlib = pytest.importorskip("hnswlib")


def neighbours(vectors, queries, num_threads):
    index = hnswlib.Index(space="l2", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), ef_construction=50, M=8, random_seed=100)
    index.add_items(vectors, num_threads=num_threads)
    index.set_ef(20)
    labels, distances = index.knn_query(queries, k=10, num_threads=1)
    return {"labels": labels, "distances": distances}


@pytest.mark.reproducible(runs=3)
def test_index_of_four_threads(repro):
    vectors = repro.rng.normal(size=(5000, 32)).astype(np.float32)
    queries = repro.rng.normal(size=(200, 32)).astype(np.float32)
    return neighbours(vectors, queries, num_threads=4)


@pytest.mark.reproducible(runs=5)
def test_index_repaired(repro):
    vectors = repro.rng.normal(size=(5000, 32)).astype(np.float32)
    queries = repro.rng.normal(size=(200, 32)).astype(np.float32)
    return neighbours(vectors, queries, num_threads=1)
