"""leidenalg: the communities of a random graph."""

import random

import numpy as np
import pytest

igraph = pytest.importorskip("igraph")
leidenalg = pytest.importorskip("leidenalg")


def make_graph(seed):
    random.seed(seed)  # igraph draws from Python's generator
    return igraph.Graph.Erdos_Renyi(n=1000, m=4000)


@pytest.mark.reproducible(across={"clock": [0, 3600]})
def test_communities_without_a_seed(repro):
    graph = make_graph(repro.seed)
    partition = leidenalg.find_partition(graph, leidenalg.ModularityVertexPartition)
    return {"membership": np.array(partition.membership), "modularity": partition.modularity}


@pytest.mark.reproducible(runs=5)
def test_communities_repaired(repro):
    graph = make_graph(repro.seed)
    partition = leidenalg.find_partition(graph, leidenalg.ModularityVertexPartition, seed=repro.seed % 2**31)
    return {"membership": np.array(partition.membership), "modularity": partition.modularity}
