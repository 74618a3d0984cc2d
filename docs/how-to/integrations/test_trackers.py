import mlflow
import numpy as np
import wandb

from pytest_repro import examine
from pytest_repro.integrations.mlflow import MlflowLogger
from pytest_repro.integrations.verdicts import log_verdict
from pytest_repro.integrations.wandb import WandbLogger


def train(seed):
    return np.random.default_rng(seed).normal(size=3)


def test_log_to_weights_and_biases(tmp_path):
    with wandb.init(mode="offline", project="digits", dir=tmp_path) as run:
        values = log_verdict(examine(train), WandbLogger(run))
    assert values["verdict"] == "identical"


def test_log_to_mlflow(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    with mlflow.start_run() as run:
        log_verdict(examine(train), MlflowLogger())
    assert mlflow.get_run(run.info.run_id).data.tags["repro-report.verdict"] == "identical"
