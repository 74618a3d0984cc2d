"""Records, bundles and keys for the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from pytest_repro.capturing import capture_tree
from pytest_repro.model import Artifacts
from pytest_repro.model.reported import decode_session
from pytest_repro.records.attestation import sign_bundle
from pytest_repro.records.evidence import Context, make_bundle
from pytest_repro.records.files import StoredRecord, read_record, write_record
from pytest_repro.records.record import _own_digest
from pytest_repro.reporting.evidence_texts import TEXTS

NODEID = "tests/test_train.py::test_fit[0.1-adam]"
FACTS: dict[str, Any] = {"environment": {"python": {"version": "3.11.9"}}, "settings": {"torch.num_threads": 2}}


def results() -> dict[str, Any]:
    """Return a training's results, some in shapes that a careless writer corrupts."""
    rng = np.random.default_rng(0)
    return {
        "weights": {"w": rng.standard_normal((8, 6), np.float32), "strided": rng.standard_normal((6, 9))[::2, ::-2]},
        "fortran": np.asfortranarray(rng.standard_normal((4, 3))),
        "swapped": rng.standard_normal(3).astype(">f4"),
        "accuracy": 0.91,
        "steps": 2**70,
        "name": "müller 😀",
    }


def write(directory: Path, value: Any = None, nodeid: str = NODEID, facts: Any = FACTS, **options: Any) -> Path:
    """Record a value, by default :func:`results`."""
    artifacts = value if isinstance(value, Artifacts) else capture_tree(results() if value is None else value)
    return write_record(directory, nodeid, 7, artifacts, facts, **options)


def load(path: Path) -> Artifacts:
    return read_record(path).load()


def stored(path: Path) -> StoredRecord:
    return read_record(path)


def forge(path: Path, change: Any) -> None:
    """Change a record as an attacker would, who corrects its own digest."""
    document = json.loads(path.read_bytes())
    del document["sha256"]
    change(document)
    path.write_bytes(json.dumps({**document, "sha256": _own_digest(document)}, ensure_ascii=False).encode())


def make_files(*tests: dict[str, Any], **context: Any) -> dict[str, bytes]:
    """Return the files of a bundle with these tests and this context."""
    facts = {"environment": {"python": {"version": "3.11.9"}}, "code": {"commit": "c0ffee"}}
    session = decode_session({"schema_version": 1, "tests": [*tests], **facts})
    return make_bundle(session, Context(**{"circumstances": {"host": "h"}, **context}), TEXTS)


def a_test(nodeid: str = "test_a.py::test_fit", verdict: str = "identical", **more: Any) -> dict[str, Any]:
    """Return a test's entry of the JSON report."""
    digest = f"sha256:{1:064x}"
    run = {"index": 1, "condition": {}, "outcome": "passed", "duration_s": 0.25, "digest": digest, "settings": {}}
    base = {"nodeid": nodeid, "verdict": verdict, "seed": 1, "runs": [run], "divergences": [], "reason": ""}
    return {**base, **more}


def other_key() -> Any:
    """Return a key that signed nothing."""
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def pem_of(key: Any) -> tuple[bytes, bytes]:
    """Return a key's private and public form."""
    from cryptography.hazmat.primitives import serialization as s

    private = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    return private, key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)


def sign(bundle: Path, private: bytes) -> None:
    """Sign a bundle as the command does."""
    for name, data in sign_bundle(bundle, private).items():
        (bundle / name).write_bytes(data)
