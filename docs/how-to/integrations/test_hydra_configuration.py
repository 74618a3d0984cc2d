from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from pytest_repro.integrations.hydra import compose_config

CONFIGURATIONS = Path(__file__).parent / "conf"


def train(config, rng):
    weights = np.zeros(config.model.size)
    for _ in range(config.trainer.steps):
        weights -= config.optimizer.lr * rng.normal(size=config.model.size)
    return weights


@pytest.mark.reproducible
@pytest.mark.parametrize("overrides", [[], ["model=large", "optimizer.lr=0.5"]], ids=["default", "large"])
def test_training(repro, overrides):
    config = compose_config(repro, CONFIGURATIONS, "train", overrides)
    return {"weights": train(config, repro.rng), "config": config}


@pytest.mark.reproducible
def test_a_configuration_is_compared_leaf_by_leaf():
    return OmegaConf.create({"model": {"size": 4, "hidden": "${model.size}"}, "layers": [1, 2]})
