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
from types import SimpleNamespace

import numpy as np

from pytest_repro.capturing import capture_tree, read_artifacts, write_artifacts
from pytest_repro.capturing.config import describe_config
from pytest_repro.capturing.data import describe_data
from pytest_repro.diagnosis.trace_reading import load_trace
from pytest_repro.engines.job import RESULT_NAME, ChildAnswer, read_answer
from pytest_repro.equivalences.processes import TaskReport
from pytest_repro.errors import ReproError, StoreError
from pytest_repro.model.known import KnownFinding, format_known, read_known
from pytest_repro.records.attestation import STATEMENT, check_signature, sign_bundle
from pytest_repro.records.audit import judge_report
from pytest_repro.records.bundle import read_bundle
from pytest_repro.records.canonical import as_document, canonical_bytes, parse_strictly
from pytest_repro.records.differences import find_differences
from pytest_repro.records.envelope import read_key
from pytest_repro.records.evidence import write_bundle
from pytest_repro.records.files import read_record, write_record
from pytest_repro.records.inspecting import has_arrays, record_to_json
from pytest_repro.records.payload import Tensors
from pytest_repro.reporting.explanation import explain_tests, find_diverged
from pytest_repro.reporting.html import render_report
from pytest_repro.reporting.json_report import read_report
from pytest_repro.reporting.record_text import describe_record
from pytest_repro.session.auditing import AuditSettings, read_imported
from pytest_repro.session.diagnosis_memory import DiagnosisMemory
from pytest_repro.tracing.trace_file import TraceError
from tests.unit.records.helpers import a_test, make_files, other_key, pem_of
from tests.unit.reporting.html.reading import document, full_case

FACTS = {"environment": {"python": {"version": "3.11.9"}}, "settings": {"torch.num_threads": 2}}
INSTALLED = {"numpy": "2.4.6", "torch": "2.13.0"}


@dataclass(frozen=True)
class Reader:
    """Function that reads bytes as one file and raises only errors of pytest-repro, with the bytes of a sound file.

    `path` is the file, and `reread` reads whatever is there. Both are None for a reader of bytes.
    """

    sound: bytes
    read: Callable[[bytes], object]
    path: Path | None = None
    reread: Callable[[], object] | None = None


def _of_file(path: Path, sound: bytes, reread: Callable[[], object]) -> Reader:
    def read(data: bytes) -> object:
        path.write_bytes(data)
        return reread()

    return Reader(sound, read, path, reread)


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
        "bundle": _bundle_file(folder / "bundle"),
        "audit report": Reader(_report(), lambda data: judge_report(data, "", INSTALLED).describe()),
        "json": Reader(b'{"a":[1,{"b":"c"}]}', parse_strictly),
        "forged record": _forged_record(folder / "forged"),
        "forged payload": _forged_payload(folder / "forged_payload"),
        "public key": _public_key(folder / "key"),
        "report": _json_report(folder / "report"),
        "known findings": _known_findings(folder / "known.json"),
        "dvc file": _dvc_file(folder / "dvc"),
        "array store": _store(folder / "store", "manifest.json"),
        "data of an array store": _store(folder / "arrays", "arrays-*.bin"),
        "answer of a child": _answer(folder / "answer"),
        "answer of an equivalence": _equivalence_answer(folder / "equivalence"),
        "data": _data(folder / "data"),
        "trace": _trace(folder / "trace.jsonl"),
        "findings of a diagnosis": _findings(folder / "findings"),
        "imported audit report": _audit_file(folder / "audit.json"),
        "key file": _key_file(folder / "key_file"),
        "settings as JSON": _settings(folder / "config.json", b'{"lr":0.1,"layers":[3,4],"name":"x"}'),
        "settings as TOML": _settings(folder / "config.toml", b'lr = 0.1\nlayers = [3, 4]\n[data]\nwhen = "x"\n'),
    }


def _known_findings(path: Path) -> Reader:
    path.parent.mkdir(parents=True, exist_ok=True)
    finding = KnownFinding("t.py::a", "diverged", ("w",), 0, ("rng.os_entropy",), "ticket 1", "2027-01-01")
    return _of_file(path, format_known([finding]).encode(), lambda: format_known(read_known(path)))


def _record(folder: Path, inline_bytes: int) -> Reader:
    artifacts = capture_tree({"w": np.arange(12.0).reshape(3, 4), "n": 3, "t": "x", "b": b"y", "z": 1j})
    path = write_record(folder, "test_a.py::test_fit", 7, artifacts, FACTS, inline_bytes=inline_bytes)

    return _of_file(path, path.read_bytes(), lambda: read_record(path, nodeid="test_a.py::test_fit").load())


def _payload(folder: Path) -> Reader:
    _record(folder, inline_bytes=0)
    (manifest,) = folder.glob("*.json")
    (path,) = folder.glob("*.safetensors")

    return _of_file(path, path.read_bytes(), lambda: read_record(manifest).load())


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

    def read() -> object:
        session = read_report(path)
        return render_report(session), explain_tests(find_diverged(session.tests, None))

    facts = {"environment": {"cpu": {"model": "m"}, "packages": {"a": {"version": "1", "numerical": True}}}, "code": {}}
    found = {**document(full_case()), **facts}
    found["tests"][0]["diagnosis"]["rows"] = [
        {"file": "a.py", "line": 3, "function": "f", "source": "x = 1", "expected": "1", "actual": "2", "differs": True}
    ]
    return _of_file(path, json.dumps(found).encode(), read)


def _dvc_file(folder: Path) -> Reader:
    folder.mkdir(parents=True)
    (folder / "data.csv").write_bytes(b"1,2\n")
    md5 = hashlib.md5(b"1,2\n", usedforsecurity=False).hexdigest()

    sound = f"outs:\n- md5: {md5}\n  size: 4\n  hash: md5\n  path: data.csv\n".encode()
    return _of_file(folder / "data.csv.dvc", sound, lambda: describe_data("data", folder / "data.csv"))


def _settings(path: Path, sound: bytes) -> Reader:
    return _of_file(path, sound, lambda: as_document(describe_config(path)))


def _tensors(folder: Path) -> Reader:
    """Return the reader of a payload's tensors without the check of its digest, which would reject every damage."""
    _record(folder, inline_bytes=0)
    (path,) = folder.glob("*.safetensors")
    dtype = np.dtype("<f8")

    def read(data: bytes) -> object:
        tensors = Tensors(np.frombuffer(data, np.uint8), "the payload")
        return [tensors.read(name, dtype, (3, 4)).sum() for name in tensors.names if name == "w"]

    return Reader(path.read_bytes(), read)


def _bundle_file(folder: Path) -> Reader:
    """Return a reader of a file in a bundle that is no document."""
    write_bundle(folder, make_files(a_test()))
    path = folder / "summary.md"
    return _of_file(path, path.read_bytes(), lambda: read_bundle(folder))


def _store(folder: Path, pattern: str) -> Reader:
    write_artifacts(capture_tree({"w": np.arange(12.0), "b": np.zeros((3, 1)), "t": "x"}), folder)
    (path,) = folder.glob(pattern)
    return _of_file(path, path.read_bytes(), lambda: read_artifacts(folder))


def _answer(folder: Path) -> Reader:
    folder.mkdir(parents=True)
    ChildAnswer("n", "passed").write(folder)
    path = folder / RESULT_NAME
    return _of_file(path, path.read_bytes(), lambda: read_answer(folder, "n"))


def _equivalence_answer(folder: Path) -> Reader:
    folder.mkdir(parents=True)
    report = TaskReport(folder, {"a": 1})
    report.finish()
    path = folder / "answer.json"

    def read() -> object:
        report.read_answer("it", "it ended")
        return report.facts

    return _of_file(path, path.read_bytes(), read)


def _data(folder: Path) -> Reader:
    folder.mkdir(parents=True)
    path = folder / "data.bin"
    return _of_file(path, b"data", lambda: describe_data("data", path))


def _trace(path: Path) -> Reader:
    function, statement = ["c", 0, "a.py", "f", 1], ["r", 0, 0, ["x"], False]
    events = [["v", 1], function, statement, ["f", 0, None, 0, 0, 0, 1, None, [], ""], ["s", 0, 1, 2, 3, []], ["e", []]]
    sound = "".join(json.dumps(event) + "\n" for event in events).encode()

    def read() -> object:
        try:
            return load_trace(path)
        except TraceError as error:
            raise StoreError(str(error)) from None

    return _of_file(path, sound, read)


class _Cache:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def mkdir(self, name: str) -> Path:
        (self._folder / name).mkdir(parents=True, exist_ok=True)
        return self._folder / name


def _findings(folder: Path) -> Reader:
    memory = DiagnosisMemory(SimpleNamespace(cache=_Cache(folder)))  # type: ignore[arg-type]
    path = folder / "pytest_repro" / "diagnosis.json"
    path.parent.mkdir(parents=True)
    sound = json.dumps({"test_a.py::test_fit": {"code": "0", "ruled_out": ["clock"]}}).encode()
    return _of_file(path, sound, lambda: memory.recall("test_a.py::test_fit"))


def _audit_file(path: Path) -> Reader:
    settings = AuditSettings(1.0, path)

    def read() -> object:
        source, data, why = read_imported(settings)
        return source, judge_report(data, why, INSTALLED).describe()

    return _of_file(path, _report(), read)


def _key_file(folder: Path) -> Reader:
    write_bundle(folder, make_files(a_test()))
    for file, data in sign_bundle(folder, _keys()[0]).items():
        (folder / file).write_bytes(data)
    path = folder / "key.pem"
    return _of_file(path, _keys()[1], lambda: check_signature(folder, read_key(path)))


@cache
def _keys() -> tuple[bytes, bytes]:
    return pem_of(other_key())


def _bundle(folder: Path, name: str) -> Reader:
    write_bundle(folder, make_files(a_test()))
    private, public = _keys()
    for file, data in sign_bundle(folder, private).items():
        (folder / file).write_bytes(data)

    path = folder / name
    return _of_file(path, path.read_bytes(), lambda: (read_bundle(folder), check_signature(folder, public)))


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
