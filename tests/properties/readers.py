"""Readers of files that somebody else may have written, with a sound file for each. Also used by the fuzzer."""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from pytest_repro.capturing import capture_tree
from pytest_repro.capturing.config import describe_config
from pytest_repro.capturing.data import describe_data
from pytest_repro.errors import ReproError
from pytest_repro.records.attestation import STATEMENT, check_signature, sign_bundle
from pytest_repro.records.audit import judge_report
from pytest_repro.records.bundle import read_bundle
from pytest_repro.records.canonical import as_document, canonical_bytes, parse_strictly
from pytest_repro.records.differences import find_differences
from pytest_repro.records.evidence import write_bundle
from pytest_repro.records.files import read_record, write_record
from pytest_repro.records.inspecting import has_arrays, record_to_json
from pytest_repro.records.payload import Tensors
from pytest_repro.reporting.explanation import explain_tests, find_diverged
from pytest_repro.reporting.html import render_report
from pytest_repro.reporting.json_report import read_report
from pytest_repro.reporting.record_text import describe_record
from tests.unit.records.helpers import a_test, make_files, other_key, pem_of
from tests.unit.reporting.html.reading import document, full_case

FACTS = {"environment": {"python": {"version": "3.11.9"}}, "settings": {"torch.num_threads": 2}}
INSTALLED = {"numpy": "2.4.6", "torch": "2.13.0"}


@dataclass(frozen=True)
class Reader:
    """Function that reads bytes as one file and raises only errors of pytest-repro, with the bytes of a sound file."""

    sound: bytes
    read: Callable[[bytes], object]


def make_readers(folder: Path) -> dict[str, Reader]:
    """Return all readers by name. Each writes the bytes to a file in `folder` and reads it as a command would."""
    return {
        "record": _record(folder / "record", inline_bytes=2**20),
        "payload of a record": _payload(folder / "payload"),
        "tensors": _tensors(folder / "tensors"),
        "statement": _bundle(folder / "statement", STATEMENT),
        "envelope": _bundle(folder / "envelope", "statement.dsse.json"),
        "sigstore": _bundle(folder / "sigstore", "statement.sigstore.json"),
        "evidence": _forged(folder / "evidence", "evidence.json"),
        "session record": _forged(folder / "session", "record.json"),
        "audit report": Reader(_report(), lambda data: judge_report(data, "", INSTALLED).describe()),
        "json": Reader(b'{"a":[1,{"b":"c"}]}', parse_strictly),
        "forged record": _forged_record(folder / "forged"),
        "forged payload": _forged_payload(folder / "forged_payload"),
        "public key": _public_key(folder / "key"),
        "report": _json_report(folder / "report"),
        "dvc file": _dvc_file(folder / "dvc"),
        "settings as JSON": _settings(folder / "config.json", b'{"lr":0.1,"layers":[3,4],"name":"x"}'),
        "settings as TOML": _settings(folder / "config.toml", b'lr = 0.1\nlayers = [3, 4]\n[data]\nwhen = "x"\n'),
    }


def _record(folder: Path, inline_bytes: int) -> Reader:
    artifacts = capture_tree({"w": np.arange(12.0).reshape(3, 4), "n": 3, "t": "x", "b": b"y", "z": 1j})
    path = write_record(folder, "test_a.py::test_fit", 7, artifacts, FACTS, inline_bytes=inline_bytes)

    def read(data: bytes) -> object:
        path.write_bytes(data)
        return read_record(path, nodeid="test_a.py::test_fit").load()

    return Reader(path.read_bytes(), read)


def _payload(folder: Path) -> Reader:
    _record(folder, inline_bytes=0)
    (manifest,) = folder.glob("*.json")
    (path,) = folder.glob("*.safetensors")

    def read(data: bytes) -> object:
        path.write_bytes(data)
        return read_record(manifest).load()

    return Reader(path.read_bytes(), read)


def _forged_record(folder: Path) -> Reader:
    """Return a reader of records whose own digest was forged, so that changes reach the code after its check."""
    sound = _record(folder, inline_bytes=2**20).sound
    (path,) = folder.glob("*.json")

    def read(data: bytes) -> object:
        path.write_bytes(_sealed(data))
        stored = read_record(path)
        document = {**record_to_json(stored.record), "arrays_are_here": has_arrays(stored)}
        return describe_record(document), find_differences(stored.record.facts, FACTS)

    return Reader(sound, read)


def _forged_payload(folder: Path) -> Reader:
    """Return a reader of payloads whose digest in the record was forged."""
    manifest = json.loads(_record(folder, inline_bytes=2**20).sound)
    (path,) = folder.glob("*.json")

    def read(data: bytes) -> object:
        payload = {
            "base64": base64.b64encode(data).decode(),
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        forged = {**manifest, "payload": {**manifest["payload"], **payload}}
        path.write_bytes(_sealed(json.dumps(forged).encode()))
        return read_record(path).load()

    return Reader(base64.b64decode(manifest["payload"]["base64"]), read)


def _sealed(data: bytes) -> bytes:
    """Replace a record's own digest by the right one, if the data is a JSON document."""
    try:
        document = json.loads(data)
        del document["sha256"]
        sealed = {**document, "sha256": hashlib.sha256(canonical_bytes(document)).hexdigest()}
        return json.dumps(sealed).encode()
    except (ReproError, KeyError, TypeError, ValueError, RecursionError):
        return data


def _public_key(folder: Path) -> Reader:
    bundle = _bundle(folder, STATEMENT)
    (folder / STATEMENT).write_bytes(bundle.sound)
    return Reader(_keys()[1], lambda data: check_signature(folder, data))


def _json_report(folder: Path) -> Reader:
    folder.mkdir(parents=True)
    path = folder / "report.json"

    def read(data: bytes) -> object:
        path.write_bytes(data)
        session = read_report(path)
        return render_report(session), explain_tests(find_diverged(session.tests, None))

    facts = {"environment": {"cpu": {"model": "m"}, "packages": {"a": {"version": "1", "numerical": True}}}, "code": {}}
    found = {**document(full_case()), **facts}
    found["tests"][0]["diagnosis"]["rows"] = [
        {"file": "a.py", "line": 3, "function": "f", "source": "x = 1", "expected": "1", "actual": "2", "differs": True}
    ]
    return Reader(json.dumps(found).encode(), read)


def _dvc_file(folder: Path) -> Reader:
    folder.mkdir(parents=True)
    (folder / "data.csv").write_bytes(b"1,2\n")
    md5 = hashlib.md5(b"1,2\n", usedforsecurity=False).hexdigest()

    def read(data: bytes) -> object:
        (folder / "data.csv.dvc").write_bytes(data)
        return describe_data("data", folder / "data.csv")

    return Reader(f"outs:\n- md5: {md5}\n  size: 4\n  hash: md5\n  path: data.csv\n".encode(), read)


def _settings(path: Path, sound: bytes) -> Reader:
    def read(data: bytes) -> object:
        path.write_bytes(data)
        return as_document(describe_config(path))

    return Reader(sound, read)


def _tensors(folder: Path) -> Reader:
    """Return the reader of a payload's tensors without the check of its digest, which would reject every damage."""
    _record(folder, inline_bytes=0)
    (path,) = folder.glob("*.safetensors")
    dtype = np.dtype("<f8")

    def read(data: bytes) -> object:
        tensors = Tensors(np.frombuffer(data, np.uint8), "the payload")
        return [tensors.read(name, dtype, (3, 4)).sum() for name in tensors.names if name == "w"]

    return Reader(path.read_bytes(), read)


@cache
def _keys() -> tuple[bytes, bytes]:
    return pem_of(other_key())


def _bundle(folder: Path, name: str) -> Reader:
    write_bundle(folder, make_files(a_test()))
    private, public = _keys()
    for file, data in sign_bundle(folder, private).items():
        (folder / file).write_bytes(data)

    def read(data: bytes) -> object:
        (folder / name).write_bytes(data)
        return read_bundle(folder), check_signature(folder, public)

    return Reader((folder / name).read_bytes(), read)


def _forged(folder: Path, name: str) -> Reader:
    """Return a reader of a document whose digest in the statement was forged."""
    write_bundle(folder, make_files(a_test()))
    statement = json.loads((folder / STATEMENT).read_bytes())

    def read(data: bytes) -> object:
        (folder / name).write_bytes(data)
        for subject in statement["subject"]:
            if subject["name"] == name:
                subject["digest"]["sha256"] = hashlib.sha256(data).hexdigest()
        (folder / STATEMENT).write_text(json.dumps(statement), encoding="utf-8")
        return read_bundle(folder)

    return Reader((folder / name).read_bytes(), read)


def _report() -> bytes:
    entries: list[dict[str, object]] = [{"name": n, "version": v, "vulns": []} for n, v in INSTALLED.items()]
    entries.append({"name": "other", "skip_reason": "not found"})
    advisory = {"id": "PYSEC-1", "fix_versions": ["3"], "aliases": []}
    entries.append({"name": "numpy", "version": "2.4.6", "vulns": [advisory]})
    return json.dumps({"dependencies": entries, "fixes": []}).encode()


def make_temporary_readers() -> dict[str, Reader]:
    """Return the readers with a directory that exists until the process ends, for the fuzzer."""
    return make_readers(Path(tempfile.mkdtemp(prefix="pytest-repro-fuzz-")))
