"""Verdicts in real trackers: MLflow's file store, Weights & Biases offline."""

from __future__ import annotations

import itertools
import json

import pytest

from pytest_repro import examine
from pytest_repro.errors import UsageError
from pytest_repro.integrations.verdicts import log_verdict


def diverging():
    numbers = itertools.count()
    return examine(lambda: next(numbers))


class TestMlflow:
    """A file store in a folder."""

    @pytest.fixture(autouse=True)
    def library(self, tmp_path, monkeypatch):
        monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        self.mlflow = pytest.importorskip("mlflow")
        from pytest_repro.integrations.mlflow import MlflowLogger

        self.logger = MlflowLogger
        self.mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
        yield
        self.mlflow.end_run()
        self.mlflow.set_tracking_uri(None)

    def tags(self, run):
        found = self.mlflow.get_run(run.info.run_id).data.tags
        return {key: value for key, value in found.items() if not key.startswith("mlflow.")}

    def test_the_active_run_gets_tags_and_the_report(self):
        with self.mlflow.start_run() as run:
            log_verdict(diverging(), self.logger())
        tags = self.tags(run)
        assert (tags["repro-report.verdict"], tags["repro-report.passed"]) == ("diverged", "false")
        path = self.mlflow.MlflowClient().download_artifacts(run.info.run_id, "repro-report/repro.json")
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            assert json.load(file)["tests"][0]["verdict"] == "diverged"

    def test_a_later_report_leaves_no_verdict_of_the_one_before(self):
        with self.mlflow.start_run() as run:
            self.mlflow.set_tag("repro.result", "PASSED")  # of a bundle of evidence
            log_verdict(diverging(), self.logger())
            log_verdict(examine(lambda: 1), self.logger(run.info.run_id))
        tags = self.tags(run)
        assert "diverged" not in tags.values()
        assert (tags["repro-report.verdict"], tags["repro.result"]) == ("identical", "PASSED")

    def test_without_a_run_it_says_what_to_do(self):
        with pytest.raises(UsageError, match="pass run_id"):
            self.logger()


class TestWandb:
    """An offline run, which needs no server."""

    @pytest.fixture(autouse=True)
    def library(self, monkeypatch):
        monkeypatch.setenv("WANDB_MODE", "offline")
        monkeypatch.setenv("WANDB_SILENT", "true")
        self.wandb = pytest.importorskip("wandb")
        from pytest_repro.integrations.wandb import WandbLogger

        self.logger = WandbLogger

    def test_a_later_report_replaces_the_values_of_the_one_before(self, tmp_path):
        with self.wandb.init(project="p", dir=tmp_path) as run:
            run.summary["loss"] = 0.5
            log_verdict(diverging(), self.logger(run))
            assert run.summary["repro/verdict"] == "diverged"
            before = {key for key in run.summary.keys() if key.startswith("repro/test/")}  # noqa: SIM118
            assert {key.rpartition("/")[2] for key in before} == {"verdict", "nodeid", "seed"}
            log_verdict(examine(max_of_one), self.logger())  # the run in progress
            found = {key: run.summary[key] for key in run.summary.keys()}  # noqa: SIM118
        assert (found["repro/verdict"], found["repro/passed"], found["loss"]) == ("identical", True, 0.5)
        assert not before & set(found)
        assert "diverged" not in found.values()
        (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
        assert b"repro/verdict" in file.read_bytes()
        assert b"repro-report" in file.read_bytes()

    def test_without_a_run_it_says_what_to_do(self):
        with pytest.raises(UsageError, match=r"within `with wandb.init"):
            self.logger()


def max_of_one():
    return max(1, 0)
