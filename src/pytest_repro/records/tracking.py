"""A bundle of evidence in MLflow: verdicts and digests as tags of a run or a model's version, the files as artifacts.

It needs MLflow's client (``pip install pytest-repro[mlflow]``) and a server.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_repro.errors import MissingExtraError, ReproError
from pytest_repro.model.redaction import redact
from pytest_repro.records.attestation import STATEMENT, check_signature
from pytest_repro.records.bundle import Bundle, read_bundle
from pytest_repro.records.bundle_files import BundleFiles
from pytest_repro.records.files import record_path

PREFIX = "repro."
FOLDER = "repro-evidence"
#: Tests that get tags; the artifacts have all of them.
MAX_TESTS = 100


@dataclass(frozen=True, slots=True)
class Target:
    """Target of a bundle: a run, a new run of an experiment, or a version in the model registry."""

    run_id: str | None = None
    experiment: str | None = None
    model: str | None = None
    version: str | None = None


class TrackingError(ReproError):
    """The tracking server cannot be reached, or has no such run, experiment or version.

    Common causes: MLFLOW_TRACKING_URI is not set, the id is of another server, the credentials are missing.
    """


def log_bundle(
    directory: Path, target: Target, *, key: bytes | None = None, tracking_uri: str | None = None
) -> dict[str, Any]:
    """Check a bundle and log it in place of what was logged under these names before.

    Parameters
    ----------
    key : bytes, optional
        PEM of the public key that must have signed it.
    tracking_uri : str, optional
        MLflow's own default without it (``MLFLOW_TRACKING_URI``).

    Returns
    -------
    dict
        ``run_id``, ``model``, ``version``, ``artifacts`` (where they are; None where the version has no run), ``tags``.

    Raises
    ------
    RecordError
        If the bundle is incomplete or changed, or not signed by the key. Nothing was logged.
    TrackingError
        If the server reports an error.
    """
    with tempfile.TemporaryDirectory() as folder:
        # A copy, so that the files that are uploaded are those that were checked.
        copy = Path(folder)
        source, files = BundleFiles(directory), BundleFiles(copy)
        for name in read_bundle(source).files:
            (copy / name).parent.mkdir(exist_ok=True)
            (copy / name).write_bytes(source.read(name))
        bundle = read_bundle(files)
        signed_by = check_signature(files, key) if key is not None else None
        digest = files.digest(STATEMENT)
        tags = make_tags(bundle, digest, signed_by)
        client, failure = _connect(tracking_uri)
        printed = io.StringIO()
        try:
            # The client prints the run's address, which may hold a password. The command's own output may be JSON.
            with contextlib.redirect_stdout(printed):
                return _log(client, target, copy, f"{FOLDER}/{digest[:12]}", tags)
        except (failure, OSError) as error:
            raise TrackingError(f"MLflow: {redact(str(error))[:500]}") from None
        finally:
            sys.stderr.write(redact(printed.getvalue()))


def make_tags(bundle: Bundle, statement_digest: str, signed_by: str | None) -> dict[str, str]:
    """Return the tags, those of failed tests first if there are too many."""
    counts = Counter(bundle.verdicts.values())
    tags = {
        "result": bundle.result,
        "verdicts": ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())) or "no tests",
        "statement": f"sha256:{statement_digest}",
        "signed_by": signed_by or "not checked",
        "audit": bundle.audit or "none",
        "commit": (bundle.commit or "unknown")[:100],
    }
    ordered = sorted(bundle.verdicts, key=lambda test: bool(bundle.verdicts[test]))
    for test in ordered[:MAX_TESTS]:
        # Named like the records' files: a node id has characters that a tag must not have.
        name = record_path(Path(), test).stem
        tags[f"verdict/{name}"] = bundle.verdicts[test].value
        if test in bundle.digests:
            tags[f"digest/{name}"] = bundle.digests[test]
    if len(ordered) > MAX_TESTS:
        tags["tests_left_out"] = str(len(ordered) - MAX_TESTS)
    return {PREFIX + name: value for name, value in tags.items()}


def _connect(tracking_uri: str | None) -> tuple[Any, type[Exception]]:
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise MissingExtraError("logging to MLflow needs its client: pip install pytest-repro[mlflow]") from None
    try:
        return MlflowClient(tracking_uri), MlflowException
    except MlflowException as error:
        raise TrackingError(f"MLflow: {redact(str(error))[:500]}") from None


def _log(client: Any, target: Target, folder: Path, where: str, tags: dict[str, str]) -> dict[str, Any]:
    run_id, is_new = target.run_id, False
    if target.model is not None:
        found = client.get_model_version(target.model, target.version)
        run_id = found.run_id or None
        replace_tags(
            found.tags,
            tags,
            lambda name: client.delete_model_version_tag(target.model, target.version, name),
            lambda name, value: client.set_model_version_tag(target.model, target.version, name, value),
        )
    elif run_id is None:
        run_id, is_new = _start_run(client, str(target.experiment)), True
    if run_id is not None:
        run = client.get_run(run_id)
        client.log_artifacts(run_id, str(folder), where)
        if target.model is None:
            replace_tags(
                run.data.tags,
                tags,
                lambda name: client.delete_tag(run_id, name),
                lambda name, value: client.set_tag(run_id, name, value),
            )
    if is_new:
        client.set_terminated(run_id)
    return {
        "run_id": run_id,
        "model": target.model,
        "version": target.version,
        "artifacts": where if run_id is not None else None,
        "tags": tags,
    }


def _start_run(client: Any, name: str) -> str:
    experiment = client.get_experiment_by_name(name)
    experiment_id = client.create_experiment(name) if experiment is None else experiment.experiment_id
    return str(client.create_run(experiment_id, run_name="pytest-repro evidence").info.run_id)


def replace_tags(
    old: Mapping[str, str],
    new: Mapping[str, str],
    delete: Callable[[str], object],
    put: Callable[[str, str], object],
    *,
    prefix: str = PREFIX,
) -> None:
    """Set tags after removing the older ones with this prefix, so that none of their verdicts remains."""
    for name in old:
        if name.startswith(prefix):
            delete(name)
    for name, value in new.items():
        put(name, value)
