"""node2vec: random walks over a graph, and Word2Vec over the walks."""

import networkx as nx
import pytest

node2vec = pytest.importorskip("node2vec")


def embed(graph, **options):
    walks = node2vec.Node2Vec(graph, dimensions=16, walk_length=10, num_walks=10, quiet=True, **options)
    model = walks.fit(window=5, min_count=1, seed=1, workers=1)
    return {"vectors": model.wv[[str(node) for node in graph]]}


@pytest.mark.reproducible
def test_embedding_of_two_workers(repro):
    graph = nx.karate_club_graph()
    return embed(graph, workers=2, seed=repro.seed)


@pytest.mark.reproducible(runs=3)
def test_embedding_repaired(repro):
    graph = nx.karate_club_graph()
    return embed(graph, workers=1, seed=repro.seed)
