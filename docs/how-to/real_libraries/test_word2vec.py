"""gensim: vectors of words from a small corpus, by four workers and by one, across hash seeds."""

import random

import pytest

gensim_models = pytest.importorskip("gensim.models")


def make_sentences(seed=0):
    random_ = random.Random(seed)
    topics = [[f"{topic}{i}" for i in range(200)] for topic in ("river", "market", "engine")]
    return [random_.choices(random_.choice(topics), k=20) for _ in range(3000)]


def train(sentences, **options):
    model = gensim_models.Word2Vec(sentences, vector_size=32, epochs=2, min_count=1, **options)
    return model.wv


@pytest.mark.reproducible(runs=3)
def test_vectors_of_four_workers(repro):
    vectors = train(make_sentences(), workers=4, seed=repro.seed)
    return {"vectors": vectors.vectors}


@pytest.mark.reproducible(across={"hash_seed": [0, 1]})
def test_vectors_across_hashes(repro):
    vectors = train(make_sentences(), workers=1, seed=repro.seed)
    return {"vectors": vectors.vectors}


def find_words(sentences):
    return {word for sentence in sentences for word in sentence}


def train_on_vocabulary(words, seed):
    sentences = make_sentences()
    model = gensim_models.Word2Vec(vector_size=32, epochs=2, min_count=1, workers=1, seed=seed)
    model.build_vocab([[word] for word in words])
    model.train(sentences, total_examples=len(sentences), epochs=2)
    return {"first words": " ".join(model.wv.index_to_key[:5]), "vectors": model.wv.vectors}


@pytest.mark.reproducible(across={"hash_seed": [0, 1]})
def test_vocabulary_of_a_set(repro):
    return train_on_vocabulary(find_words(make_sentences()), repro.seed)


@pytest.mark.reproducible(runs=3)
def test_vectors_repaired(repro):
    vectors = train(make_sentences(), workers=1, seed=repro.seed)
    return {"vectors": vectors.vectors}


@pytest.mark.reproducible(across={"hash_seed": [0, 1]})
def test_vocabulary_repaired(repro):
    return train_on_vocabulary(sorted(find_words(make_sentences())), repro.seed)
