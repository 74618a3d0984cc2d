import numpy as np

rng = np.random.default_rng(0)


def test_noise_is_small():
    noise = rng.normal(scale=0.01, size=100)
    signal = np.sin(np.linspace(0, 6, 100))
    assert abs((signal + noise).mean() - signal.mean()) < 0.01


def test_global_generator():
    sample = np.random.normal(size=100)
    assert sample.std() > 0.5
