"""Bundles in a real MLflow server, with SQLite, on loopback."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from pytest_repro.cli import main
from pytest_repro.errors import RecordError
from pytest_repro.records import tracking
from pytest_repro.records.bundle import read_bundle
from pytest_repro.records.evidence import write_bundle
from pytest_repro.records.files import record_path
from pytest_repro.records.tracking import MAX_TESTS, Target, TrackingError, log_bundle, make_tags
from tests.unit.records.helpers import a_test, make_files, other_key, pem_of, sign

MIXED = [a_test("t.py::a[<x>:1]"), a_test("t.py::b", "diverged"), a_test("t.py::c", "within_tolerance")]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Yield the address of a server, whose processes end with the tests."""
    if any(importlib.util.find_spec(name) is None for name in ("mlflow", "sqlalchemy", "flask")):
        pytest.skip("needs mlflow with its server")
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stores = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files")]
    address = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command = [sys.executable, "-m", "mlflow", "server", *address, *stores]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for(f"http://127.0.0.1:{port}/health", process, folder / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, 9)
            process.wait()


def wait_for(address, process, log):
    for _ in range(600):
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the server did not start: {log.read_text()[-2000:]}")


@pytest.fixture
def client(server, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.tracking import MlflowClient

    return MlflowClient(server)


@pytest.fixture
def mixed(tmp_path):
    write_bundle(tmp_path / "mixed", make_files(*MIXED))
    return tmp_path / "mixed"


def own_tags(tags):
    return {name: value for name, value in tags.items() if name.startswith("repro.")}


def test_a_new_run_of_an_experiment_has_verdicts_digests_and_every_file(server, client, mixed, keys, tmp_path):
    sign(mixed, keys[0])
    name = f"experiment {secrets.token_hex(4)}"
    for _ in range(2):  # the experiment is created once
        logged = log_bundle(mixed, Target(experiment=name), key=keys[1], tracking_uri=server)
    run = client.get_run(logged["run_id"])
    tags = own_tags(run.data.tags)
    assert tags == logged["tags"]
    assert tags["repro.result"] == "FAILED"
    assert tags["repro.verdicts"] == "1 diverged, 1 identical, 1 within_tolerance"
    stem = record_path(tmp_path, "t.py::b").stem
    assert tags[f"repro.verdict/{stem}"] == "diverged"
    assert tags[f"repro.digest/{stem}"] == f"sha256:{1:064x}"
    assert re.fullmatch("[0-9a-f]{64}", tags["repro.signed_by"])
    assert run.info.status == "FINISHED"
    (tmp_path / "back").mkdir()
    back = Path(client.download_artifacts(logged["run_id"], logged["artifacts"], str(tmp_path / "back")))
    assert {p.name: p.read_bytes() for p in back.iterdir()} == {p.name: p.read_bytes() for p in mixed.iterdir()}
    assert read_bundle(back).result == "FAILED"


def test_a_second_bundle_leaves_no_verdict_of_the_first(server, client, bundle, mixed):
    experiment = client.create_experiment(f"experiment {secrets.token_hex(4)}")
    run_id = client.create_run(experiment).info.run_id
    client.set_tag(run_id, "mine", "stays")
    log_bundle(mixed, Target(run_id=run_id), tracking_uri=server)
    logged = log_bundle(bundle, Target(run_id=run_id), tracking_uri=server)
    tags = client.get_run(run_id).data.tags
    assert own_tags(tags) == logged["tags"]
    assert (tags["repro.result"], tags["repro.signed_by"], tags["mine"]) == ("PASSED", "not checked", "stays")
    # A run that was not started here is not ended here.
    assert client.get_run(run_id).info.status == "RUNNING"


@pytest.mark.parametrize("has_run", [True, False])
def test_a_version_of_a_model_has_the_tags_and_its_run_the_files(server, client, bundle, has_run):
    name = f"model-{secrets.token_hex(4)}"
    client.create_registered_model(name)
    experiment = client.create_experiment(f"experiment {secrets.token_hex(4)}")
    run_id = client.create_run(experiment).info.run_id if has_run else None
    version = client.create_model_version(name, "s3://bucket/model", run_id).version
    logged = log_bundle(bundle, Target(model=name, version=str(version)), tracking_uri=server)
    assert own_tags(client.get_model_version(name, version).tags) == logged["tags"]
    assert (logged["artifacts"] is not None) == has_run
    if has_run:
        paths = {entry.path.rpartition("/")[2] for entry in client.list_artifacts(run_id, logged["artifacts"])}
        assert paths == {path.name for path in bundle.iterdir()}


@pytest.mark.parametrize(
    "target", [Target(run_id="0" * 32), Target(model="none", version="1"), Target(run_id="../../x")], ids=str
)
def test_an_unknown_run_or_model_is_a_tracking_error(server, client, bundle, target):
    with pytest.raises(TrackingError, match="MLflow: "):
        log_bundle(bundle, target, tracking_uri=server)


def test_a_missing_server_is_a_tracking_error(client, bundle):
    with pytest.raises(TrackingError, match="MLflow: "):
        log_bundle(bundle, Target(experiment="e"), tracking_uri="http://127.0.0.1:9")


def test_a_bundle_that_was_changed_or_signed_by_another_is_not_logged(server, client, bundle, keys):
    experiment = client.create_experiment(f"experiment {secrets.token_hex(4)}")
    run_id = client.create_run(experiment).info.run_id
    sign(bundle, keys[0])
    with pytest.raises(RecordError, match="by this key"):
        log_bundle(bundle, Target(run_id=run_id), key=pem_of(other_key())[1], tracking_uri=server)
    (bundle / "summary.md").write_text("all is well")
    with pytest.raises(RecordError, match=r"summary\.md does not match the digest in statement\.json"):
        log_bundle(bundle, Target(run_id=run_id), tracking_uri=server)
    assert own_tags(client.get_run(run_id).data.tags) == {}
    assert client.list_artifacts(run_id) == []


def test_the_command_logs_and_names_the_run(server, client, bundle, capsys):
    arguments = ["log-mlflow", str(bundle), "--experiment", "command", "--tracking-uri", server]
    assert main([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert client.get_run(document["run_id"]).data.tags["repro.result"] == "PASSED"
    (bundle / "summary.md").write_text("all is well")
    assert main(arguments) == 1
    assert "not logged: summary.md does not match the digest in statement.json" in capsys.readouterr().out
    assert main(["log-mlflow", str(bundle.parent / "none"), *arguments[2:]]) == 2


def test_a_model_requires_its_version(bundle, capsys):
    assert main(["log-mlflow", str(bundle), "--model", "m"]) == 2
    assert "--model and --version require each other" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["log-mlflow", str(bundle)])


def test_without_the_client_the_message_names_the_extra(bundle, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    monkeypatch.setitem(sys.modules, "mlflow.exceptions", None)
    assert main(["log-mlflow", str(bundle), "--experiment", "e"]) == 2
    assert "pip install pytest-repro[mlflow]" in capsys.readouterr().err


def test_failed_tests_come_first_if_there_are_too_many(tmp_path):
    tests = [a_test(f"t.py::t{n}") for n in range(MAX_TESTS)] + [a_test("t.py::bad", "diverged")]
    write_bundle(tmp_path, make_files(*tests))
    tags = make_tags(read_bundle(tmp_path), "0" * 64, None)
    assert tags["repro.tests_left_out"] == "1"
    assert sum(name.startswith("repro.verdict/") for name in tags) == MAX_TESTS
    assert tags[f"repro.verdict/{record_path(tmp_path, 't.py::bad').stem}"] == "diverged"
    assert all(re.fullmatch(r"[/\w.\- :]{1,250}", name) and len(value) <= 5000 for name, value in tags.items())


def test_what_the_client_prints_and_raises_has_no_password(bundle, monkeypatch, capsys):
    class Client:
        def get_run(self, run_id):
            print(f"View run {run_id} at http://user:PLANTED-1@mlflow.example/runs")
            raise OSError("no answer from http://user:PLANTED-2@mlflow.example")

    monkeypatch.setattr(tracking, "_connect", lambda _: (Client(), LookupError))
    with pytest.raises(TrackingError, match=r"MLflow: no answer from http://\[hidden\]@mlflow") as raised:
        log_bundle(bundle, Target(run_id="0" * 32))
    output = capsys.readouterr()
    assert "View run" in output.err
    assert "PLANTED" not in output.out + output.err + str(raised.value)
