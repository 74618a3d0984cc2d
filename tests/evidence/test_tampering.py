"""Every change of a signed bundle and of a record is refused, with the name of the file; harmless ones are accepted."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.records.canonical import canonical_bytes
from tests.evidence.conftest import Signed
from tests.evidence.helpers import command
from tests.evidence.mutations import Mutation, byte_mutations, encoding_mutations, field_mutations
from tests.unit.records.helpers import other_key, pem_of

needs_keys = pytest.mark.needs("cryptography")

SUBJECTS = ("record.json", "evidence.json", "summary.md", "report.html")
SIGNATURES = ("statement.dsse.json", "statement.sigstore.json")
STATEMENT = "statement.json"
#: Fields of signatures that are no part of what is signed, and that only help to find the key (DSSE: "hints").
HINTS = (".keyid", ".hint")
#: The one of them that a reader may take for the signer's name.
NAMES_A_KEY = "another text at verificationMaterial.publicKey.hint"
#: Further signatures by whomever, and logs that no reader here asks.
HARMLESS = (
    "an element twice at signatures",
    "an element twice at dsseEnvelope.signatures",
    "renamed at verificationMaterial.tlogEntries",
    "missing at verificationMaterial.tlogEntries",
)

Copied = Callable[[Path], Path]


def all_mutations(folder: Path, name: str) -> Iterator[Mutation]:
    yield from byte_mutations(folder, name)
    if name.endswith(".json"):
        yield from field_mutations(folder, name)
    if name.endswith(".json") and name not in SIGNATURES:
        yield from encoding_mutations(folder, name)


def is_harmless(mutation: Mutation) -> bool:
    """Return whether a file with the signature still says the same.

    DSSE signs the payload alone: white space, order, further fields and the hint at the key are the envelope's own. One
    of the two forms of the signature is enough.
    """
    if mutation.file not in SIGNATURES:
        return False
    is_gone = mutation.name in ("missing", "in capitals")
    is_more = mutation.name in ("a byte more", "a byte before") or mutation.name.startswith("a key more at ")
    is_hint = mutation.name.endswith(HINTS) and mutation.name != NAMES_A_KEY
    return is_gone or is_more or is_hint or mutation.name.startswith(HARMLESS)


def records_of(folder: Path) -> list[str]:
    """Return the names of the records in a bundle, and of their arrays."""
    return sorted(path.relative_to(folder).as_posix() for path in (folder / "records").iterdir())


@needs_keys
@pytest.mark.parametrize("number", range(4))
def test_every_change_of_a_record_in_a_bundle_is_refused_with_its_name(
    signed: Signed, copied: Copied, number: int
) -> None:
    names = records_of(signed.folder)
    assert len(names) == 4  # of three tests, and the arrays of one
    check_changes(signed, copied, names[number], list(byte_mutations(signed.folder, names[number])))


@needs_keys
@pytest.mark.parametrize("name", [*SUBJECTS, STATEMENT, *SIGNATURES])
def test_every_change_of_a_file_is_refused_with_its_name(signed: Signed, copied: Copied, name: str) -> None:
    check_changes(signed, copied, name, list(all_mutations(signed.folder, name)))


def check_changes(signed: Signed, copied: Copied, name: str, mutations: list[Mutation]) -> None:
    wrong, refused = {}, 0
    for mutation in mutations:
        folder = copied(signed.folder)
        mutation.apply(folder)
        status, output = command("verify", folder, "--key", signed.public)
        # If the statement's entry of a file was changed, the message may be about that file.
        is_told = mutation.file in output or (name == STATEMENT and "subject" in mutation.name)
        if (status != 0) if is_harmless(mutation) else not (status == 1 and is_told and "not verified" in output):
            wrong[mutation.name] = (status, output.strip()[:200])
        refused += status == 1
        shutil.rmtree(folder)
    assert not wrong, json.dumps(wrong, indent=1)
    assert refused >= 15


def swap(folder: Path, one: str, other: str) -> None:
    (folder / one).rename(folder / "kept")
    (folder / other).rename(folder / one)
    (folder / "kept").rename(folder / other)


@needs_keys
@pytest.mark.parametrize(("one", "other"), itertools.combinations((*SUBJECTS, STATEMENT, *SIGNATURES), 2))
def test_two_files_in_each_others_place_are_refused(signed: Signed, copied: Copied, one: str, other: str) -> None:
    folder = copied(signed.folder)
    swap(folder, one, other)
    status, output = command("verify", folder, "--key", signed.public)
    assert status == 1
    assert one in output or other in output


@needs_keys
@pytest.mark.parametrize("names", [(name,) for name in (*SUBJECTS, STATEMENT)] + [SIGNATURES, (STATEMENT, *SIGNATURES)])
def test_files_of_another_signed_bundle_are_refused(signed: Signed, copied: Copied, names: tuple[str, ...]) -> None:
    folder = copied(signed.folder)
    for name in names:
        shutil.copy(signed.folder.parent / "other" / name, folder / name)
    status, output = command("verify", folder, "--key", signed.public)
    assert status == 1
    assert any(name in output for name in (*SUBJECTS, *names))


def change_envelope(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    for name in SIGNATURES:
        document = json.loads((folder / name).read_bytes())
        change(document.get("dsseEnvelope", document))
        (folder / name).write_text(json.dumps(document), encoding="utf-8")


def sign_again(folder: Path) -> None:
    for name in SIGNATURES:
        (folder / name).unlink()
    (folder.parent / "theirs.pem").write_bytes(pem_of(other_key())[0])
    assert command("sign", folder, "--key", folder.parent / "theirs.pem")[0] == 0


def sign_other_content(folder: Path) -> None:
    """Change the evidence and the digest of it, and sign that with another key."""
    redigest(folder, "evidence.json", lambda document: document["circumstances"].update(host="another"))
    sign_again(folder)


FORGED: dict[str, Callable[[Path], object]] = {
    "no signature": lambda folder: [(folder / name).unlink() for name in SIGNATURES],
    "signed by another key": sign_again,
    "other content, signed by another key": sign_other_content,
    "another payload type": lambda folder: change_envelope(folder, lambda e: e.update(payloadType="text/plain")),
    "no signatures in the envelope": lambda folder: change_envelope(folder, lambda e: e.update(signatures=[])),
    "an empty signature": lambda folder: change_envelope(folder, lambda e: e["signatures"][0].update(sig="")),
    "a payload in base64 for URLs": lambda folder: change_envelope(
        folder, lambda e: e.update(payload=e["payload"] + "-_")
    ),
    "one form by another key": lambda folder: sign_one(folder, SIGNATURES[0]),
    "the other form by another key": lambda folder: sign_one(folder, SIGNATURES[1]),
    "evidence with its digest": lambda folder: redigest(
        folder, "evidence.json", lambda document: document["circumstances"].update(host="another")
    ),
}


def sign_one(folder: Path, name: str) -> None:
    kept = {each: (folder / each).read_bytes() for each in SIGNATURES if each != name}
    sign_again(folder)
    for each, data in kept.items():
        (folder / each).write_bytes(data)


@needs_keys
@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_signature_is_refused_with_the_name_of_the_file(signed: Signed, copied: Copied, kind: str) -> None:
    folder = copied(signed.folder)
    FORGED[kind](folder)
    status, output = command("verify", folder, "--key", signed.public)
    assert status == 1
    assert any(name in output for name in (*SUBJECTS, STATEMENT, *SIGNATURES)), output


def redigest(folder: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a document, and its digest in the statement, as somebody does who has no key."""
    document = json.loads((folder / name).read_bytes())
    change(document)
    (folder / name).write_bytes(canonical_bytes(document))
    statement = json.loads((folder / STATEMENT).read_bytes())
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    predicate = statement["predicate"]
    for entry in (*statement["subject"], *predicate["configuration"], *predicate.get("resolvedDependencies", ())):
        if entry.get("name") == name:
            entry["digest"]["sha256"] = digest
    (folder / STATEMENT).write_bytes(canonical_bytes(statement))


ANOTHER = f"sha256:{5:064x}"
CONTRADICTIONS: dict[str, tuple[str, Callable[[Any], object]]] = {
    "a verdict": ("evidence.json", lambda d: d["verdicts"].update({first(d["verdicts"]): "diverged"})),
    "a test's verdict": ("evidence.json", lambda d: d["tests"][0].update(verdict="within_tolerance")),
    "a verdict in both places": (
        "evidence.json",
        lambda d: (
            d["tests"][0].update(verdict="diverged"),
            d["verdicts"].update({d["tests"][0]["nodeid"]: "diverged"}),
        ),
    ),
    "a test less in the evidence": ("evidence.json", lambda d: d["verdicts"].pop(d["tests"].pop()["nodeid"])),
    "a test more in the evidence": (
        "evidence.json",
        lambda d: d["tests"].append({**d["tests"][0], "nodeid": "t.py::x"}),
    ),
    "a test less in the record": ("record.json", lambda d: d["tests"].pop()),
    "a test's name in the record": ("record.json", lambda d: d["tests"][0].update(test="t.py::x")),
    "a seed in the record": ("record.json", lambda d: d["tests"][0].update(seed=99)),
    "a seed in the evidence": ("evidence.json", lambda d: d["tests"][0].update(seed=99)),
    "a digest in the record": ("record.json", lambda d: d["tests"][0]["digests"].__setitem__(0, ANOTHER)),
    "the digest of a second run": (
        "record.json",
        lambda d: d["tests"][0]["digests"].__setitem__(1, ANOTHER),
    ),
    "a run's digest in the evidence": (
        "evidence.json",
        lambda d: d["tests"][0]["runs"][0].update(digest=ANOTHER),
    ),
    "a run less": ("evidence.json", lambda d: d["tests"][0]["runs"].pop()),
    "a run less in the record": ("record.json", lambda d: d["tests"][0]["digests"].pop()),
    "a condition": ("record.json", lambda d: d["tests"][0]["conditions"].__setitem__(1, {"threads": 2})),
    "an unfinished session": ("evidence.json", lambda d: d.update(is_finished=False)),
    "pytest's own outcome": ("evidence.json", lambda d: d["pytest"].update(failed=1, exit_status=1)),
    "the format": ("evidence.json", lambda d: d.update(format="pytest-repro session record")),
    "the version": ("record.json", lambda d: d.update(version="2.0")),
}


def first(mapping: dict[str, Any]) -> str:
    return next(iter(mapping))


@pytest.mark.parametrize("kind", CONTRADICTIONS)
def test_files_that_contradict_each_other_are_refused_without_a_key(written: Path, copied: Copied, kind: str) -> None:
    folder = copied(written / "bundle")
    for name in SIGNATURES:
        (folder / name).unlink(missing_ok=True)
    name, change = CONTRADICTIONS[kind]
    redigest(folder, name, change)
    status, output = command("verify", folder)
    assert "not verified" in output
    assert status == 1
    assert any(each in output for each in ("evidence.json", "record.json"))


@needs_keys
def test_the_modes_times_and_place_of_a_bundle_may_change(signed: Signed, copied: Copied) -> None:
    folder = copied(signed.folder)
    folder = folder.rename(folder.with_name("ä folder"))
    for path in folder.iterdir():
        path.chmod(0o444)
        os.utime(path, (1, 1))
    status, output = command("verify", folder, "--key", signed.public)
    assert status == 0, output


@needs_keys
@pytest.mark.parametrize("name", ["extra.txt", "records/extra.json", "Record.json"])
def test_a_file_that_nobody_signed_is_told_and_refused_if_the_reader_is_strict(
    signed: Signed, copied: Copied, name: str
) -> None:
    folder = copied(signed.folder)
    (folder / name).write_text("{}")
    status, output = command("verify", folder, "--key", signed.public)
    assert status == 0
    assert name in output
    status, output = command("verify", folder, "--key", signed.public, "--strict")
    assert status == 1
    assert name in output


@needs_keys
def test_without_a_key_a_whole_bundle_has_a_status_of_its_own(signed: Signed) -> None:
    statuses = {command("verify", signed.folder)[0], command("verify", signed.folder, "--key", signed.public)[0]}
    assert len(statuses - {1, 2}) == 2


@needs_keys
def test_the_table_has_at_least_100_changes(signed: Signed) -> None:
    names = (*SUBJECTS, STATEMENT, *SIGNATURES)
    kinds = [(name, mutation.name) for name in names for mutation in all_mutations(signed.folder, name)]
    assert len(set(kinds)) == len(kinds) >= 100
