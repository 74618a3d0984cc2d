"""Bundles of evidence: read, signed and checked by other software, and rejected if anything was changed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess

import pytest

from pytest_repro.cli import main
from pytest_repro.errors import RecordError
from pytest_repro.records import attestation, envelope
from pytest_repro.records.attestation import STATEMENT, check_files, check_signature, make_statement, sign_bundle
from pytest_repro.records.bundle import read_bundle
from pytest_repro.records.bundle_files import BundleFiles
from pytest_repro.records.canonical import canonical_bytes
from pytest_repro.records.envelope import ENVELOPE, SIGSTORE, find_signer
from pytest_repro.records.evidence import write_bundle
from pytest_repro.reporting.markdown import markdown_text
from tests.unit.records.helpers import a_test, make_files, other_key, pem_of, sign

SKIPPED = {"index": 1, "condition": {}, "outcome": "skipped", "duration_s": 0.0, "digest": None, "settings": {}}


def check_all(bundle, public):
    check_files(bundle)
    check_signature(bundle, public)


def test_in_totos_own_package_reads_the_statement(bundle):
    package = pytest.importorskip("in_toto_attestation.v1.statement_pb2")
    from google.protobuf import json_format

    predicate = pytest.importorskip("in_toto_attestation.predicates.test_result.v0.test_result_pb2")
    document = json.loads((bundle / STATEMENT).read_bytes())
    statement = json_format.ParseDict(document, package.Statement())
    assert {subject.name for subject in statement.subject} == {
        "record.json",
        "evidence.json",
        "summary.md",
        "report.html",
    }
    result = json_format.ParseDict(document["predicate"], predicate.TestResult())  # rejects unknown fields
    assert (result.result, list(result.passed_tests)) == ("PASSED", ["test_a.py::test_fit"])


@pytest.mark.parametrize(
    ("tests", "result"),
    [
        ([a_test()], "PASSED"),
        ([a_test(), a_test("b", "within_tolerance")], "WARNED"),
        ([a_test(), a_test("b", "diverged"), a_test("c", "within_tolerance")], "FAILED"),
        ([a_test("b", "inconclusive")], "FAILED"),
        ([a_test("b", "error")], "FAILED"),
        ([a_test(), a_test("b", "inconclusive", runs=[SKIPPED])], "PASSED"),
        ([a_test("b", "inconclusive", runs=[SKIPPED])], "FAILED"),
        ([], "FAILED"),
    ],
)
def test_the_result_is_the_worst_one_and_no_test_at_all_fails(tests, result):
    predicate = json.loads(make_files(*tests)[STATEMENT])["predicate"]
    assert predicate["result"] == result
    names = [name for key in ("passedTests", "warnedTests", "failedTests") for name in predicate[key]]
    assert sorted(names) == sorted(t["nodeid"] for t in tests if t["runs"][0]["outcome"] == "passed")


def test_a_signature_is_verified_only_by_its_key(bundle, keys):
    private, public = keys
    sign(bundle, private)
    assert len(check_signature(bundle, public)) == 64
    with pytest.raises(RecordError, match="by this key"):
        check_signature(bundle, pem_of(other_key())[1])


def test_securesystemslib_verifies_the_envelope(bundle, keys):
    dsse = pytest.importorskip("securesystemslib.dsse")
    signer = pytest.importorskip("securesystemslib.signer")
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    private, public = keys
    sign(bundle, private)
    document = json.loads((bundle / ENVELOPE).read_bytes())
    key = signer.SSlibKey.from_crypto(load_pem_public_key(public), keyid=document["signatures"][0]["keyid"])
    envelope = dsse.Envelope.from_dict(document)
    assert envelope.verify([key], 1)
    envelope.payload += b" "
    with pytest.raises(Exception, match=r"(?i)accepted signatures|verif"):
        envelope.verify([key], 1)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_verifies_the_signature_of_a_key_that_it_made(bundle, tmp_path):
    pytest.importorskip("cryptography")
    for command in (
        ["ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", "k.pem"],
        ["ec", "-in", "k.pem", "-pubout", "-out", "p.pem"],
    ):
        subprocess.run(["openssl", *command], cwd=tmp_path, check=True, capture_output=True)
    sign(bundle, (tmp_path / "k.pem").read_bytes())
    document = json.loads((bundle / ENVELOPE).read_bytes())
    payload, kind = base64.b64decode(document["payload"]), document["payloadType"].encode()
    (tmp_path / "message").write_bytes(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
    (tmp_path / "signature").write_bytes(base64.b64decode(document["signatures"][0]["sig"]))
    command = ["openssl", "dgst", "-sha256", "-verify", "p.pem", "-signature", "signature", "message"]
    assert b"Verified OK" in subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout


@pytest.mark.parametrize("name", [ENVELOPE, SIGSTORE])
def test_either_form_of_the_signature_is_enough(bundle, keys, name):
    private, public = keys
    sign(bundle, private)
    (bundle / name).unlink()
    check_all(bundle, public)
    (bundle / (SIGSTORE if name == ENVELOPE else ENVELOPE)).unlink()
    with pytest.raises(RecordError, match="is not signed"):
        check_all(bundle, public)


@pytest.mark.parametrize("name", [ENVELOPE, SIGSTORE])
def test_two_forms_that_disagree_are_rejected(bundle, keys, name):
    private, public = keys
    sign(bundle, private)
    (bundle / name).write_bytes(sign_bundle(bundle, pem_of(other_key())[0])[name])
    with pytest.raises(RecordError, match=f"no signature in {name} is by this key"):
        check_all(bundle, public)


@pytest.mark.parametrize("name", ["record.json", "evidence.json", "summary.md", STATEMENT, ENVELOPE, SIGSTORE])
def test_no_changed_or_missing_file_passes(bundle, keys, name):
    private, public = keys
    sign(bundle, private)
    whole = (bundle / name).read_bytes()
    for changed in (whole[:-1], whole.replace(b"test_fit", b"test_fat", 1), whole.replace(b"a", b"b", 1), b"", None):
        if changed == whole:
            continue
        if changed is None and name in (ENVELOPE, SIGSTORE):
            continue  # The other form is there.
        if changed is None:
            (bundle / name).unlink()
        else:
            (bundle / name).write_bytes(changed)
        with pytest.raises(RecordError):
            check_all(bundle, public)
        (bundle / name).write_bytes(whole)
    check_all(bundle, public)


def test_a_changed_bundle_is_not_signed(bundle, keys):
    (bundle / "summary.md").write_text("all is well")
    with pytest.raises(RecordError, match=r"summary\.md does not match the digest in statement\.json"):
        sign_bundle(bundle, keys[0])


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "..", "", "a/b", "a\\b", "a\0"])
def test_a_statement_cannot_name_a_file_outside_its_directory(bundle, name):
    (bundle.parent / "secret").write_text("x")
    with pytest.raises(RecordError, match="is not a file name of a bundle"):
        BundleFiles(bundle).read(name)
    statement = make_statement({"record.json": b"x", name: b"x"}, {"passed": ["a"], "warned": [], "failed": []})
    (bundle / STATEMENT).write_bytes(canonical_bytes(statement))
    with pytest.raises(RecordError):
        check_files(bundle)


def test_a_link_in_a_bundle_is_not_followed(bundle):
    (bundle / "summary.md").rename(bundle.parent / "moved")
    (bundle / "summary.md").symlink_to(bundle.parent / "moved")
    with pytest.raises(RecordError, match="must be a regular file"):
        check_files(bundle)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "{" * 99, '{"_type":1,"_type":2}', '{"_type":"https://in-toto.io/Statement/v1"}']
)
def test_a_statement_or_envelope_of_another_form_is_rejected(bundle, keys, text):
    sign(bundle, keys[0])
    for name in (SIGSTORE, ENVELOPE, STATEMENT):
        (bundle / name).write_text(text)
        with pytest.raises(RecordError):
            check_all(bundle, keys[1])


def test_keys_of_other_kinds_and_broken_ones_are_rejected(bundle):
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    for key in (ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)):
        private, public = pem_of(key)
        with pytest.raises(RecordError, match="P-256 or an Ed25519"):
            sign_bundle(bundle, private)
        with pytest.raises(RecordError):
            check_signature(bundle, public)
    with pytest.raises(RecordError, match="private key cannot be read"):
        sign_bundle(bundle, b"no key")


#: Object identifiers of the curves in a key.
P256, ED25519 = bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06032b6570")


def test_keys_of_an_unknown_curve_are_rejected(bundle, keys):
    def spoil(pem):
        lines = pem.splitlines()
        der = base64.b64decode(b"".join(lines[1:-1]))
        for kind in (P256, ED25519):
            der = der.replace(kind, kind[:-1] + b"\x7f")
        return b"\n".join([lines[0], base64.b64encode(der), lines[-1], b""])

    sign(bundle, keys[0])
    with pytest.raises(RecordError, match="public key cannot be read"):
        check_signature(bundle, spoil(keys[1]))
    with pytest.raises(RecordError, match="private key cannot be read"):
        sign_bundle(bundle, spoil(keys[0]))


def test_writing_a_bundle_again_removes_the_old_signature(bundle, keys):
    sign(bundle, keys[0])
    write_bundle(bundle, make_files(a_test(verdict="diverged")))
    assert not (bundle / ENVELOPE).exists()
    assert not (bundle / SIGSTORE).exists()
    check_files(bundle)


def test_the_record_of_a_session_has_no_circumstances():
    one, two = (make_files(a_test(), circumstances={"host": host}) for host in ("a", "b"))
    assert one["record.json"] == two["record.json"]
    assert one["evidence.json"] != two["evidence.json"]


def test_a_name_made_of_markup_stays_text():
    name = "test_a.py::t[<script>|`x`|[a](b)\n# h\x1b[31m]"
    text = make_files(a_test(name))["summary.md"].decode()
    assert "<script>" not in text.replace("\\<", "")
    assert "\x1b" not in text
    (row,) = (line for line in text.splitlines() if "script" in line)
    assert row.replace("\\|", "").count("|") == 5
    assert markdown_text("a_b*c") == "a\\_b\\*c"


def test_the_command_signs_and_verifies_with_exit_codes(bundle, keys, tmp_path, capsys):
    (tmp_path / "k.pem").write_bytes(keys[0])
    (tmp_path / "p.pem").write_bytes(keys[1])
    verify = ["verify", str(bundle), "--key", str(tmp_path / "p.pem")]
    assert main(verify) == 1
    assert "is not signed" in capsys.readouterr().out
    assert main(["sign", str(bundle), "--key", str(tmp_path / "k.pem")]) == 0
    assert main(verify) == 0
    capsys.readouterr()
    assert main([*verify, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["whole"], document["result"], len(document["signed_by"])) == (True, "PASSED", 64)
    (bundle / "summary.md").write_text("all is well")
    assert main(["verify", str(bundle)]) == 1
    assert main(["verify", str(tmp_path / "none")]) == 2
    assert main(["sign", str(bundle), "--key", str(tmp_path / "none.pem")]) == 2
    # A broken key says nothing about the bundle: it could not be checked.
    (tmp_path / "broken.pem").write_bytes(b"-----BEGIN PUBLIC KEY-----")
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ([str(bundle), "--key", str(tmp_path / "broken.pem")], "public key cannot be read"),
        ([str(bundle), "--key", str(tmp_path / "k.pem")], "this is the private key, which signs"),
        ([str(bundle), "--key", str(tmp_path / "none.pem")], "none.pem does not exist"),
        ([str(tmp_path / "k.pem")], "k.pem is a file; name the directory of the bundle"),
        ([str(tmp_path / "empty")], "empty is not a bundle of evidence: it has no statement.json"),
    ):
        assert main(["verify", *arguments]) == 2
        assert message in capsys.readouterr().err


def test_another_key_that_a_signature_names_or_that_signed_too_is_told(bundle, keys, tmp_path, capsys):
    (tmp_path / "p.pem").write_bytes(keys[1])
    for name, data in sign_bundle(bundle, keys[0]).items():
        (bundle / name).write_bytes(data)
    verify = ["verify", str(bundle), "--key", str(tmp_path / "p.pem")]
    envelope = json.loads((bundle / ENVELOPE).read_bytes())
    envelope["signatures"].append({"keyid": "x", "sig": "AAAA"})
    (bundle / ENVELOPE).write_text(json.dumps(envelope))
    assert main(verify) == 0
    assert f"not checked, since another key made it: 1 more signature in {ENVELOPE}" in capsys.readouterr().out
    document = json.loads((bundle / SIGSTORE).read_bytes())
    document["verificationMaterial"]["publicKey"]["hint"] = "x"
    (bundle / SIGSTORE).write_text(json.dumps(document))
    assert main(verify) == 1
    assert f"{SIGSTORE} names another key than the one that signed it" in capsys.readouterr().out


def test_a_statement_that_was_changed_is_told_before_the_files_that_it_names(bundle, keys, tmp_path, capsys):
    (tmp_path / "p.pem").write_bytes(keys[1])
    for name, data in sign_bundle(bundle, keys[0]).items():
        (bundle / name).write_bytes(data)
    document = json.loads((bundle / STATEMENT).read_bytes())
    document["subject"][0]["digest"]["sha256"] = "0" * 64
    (bundle / STATEMENT).write_text(json.dumps(document))
    assert main(["verify", str(bundle), "--key", str(tmp_path / "p.pem")]) == 1
    assert "statement.json differs from the statement that" in capsys.readouterr().out


def test_a_statement_of_too_many_files_is_rejected_before_one_is_opened(bundle, monkeypatch):
    statement = json.loads((bundle / STATEMENT).read_bytes())
    digest = {"sha256": "0" * 64}
    statement["subject"] = [{"name": f"{n}", "digest": digest} for n in range(attestation.MAX_SUBJECTS + 1)]
    (bundle / STATEMENT).write_bytes(canonical_bytes(statement))
    monkeypatch.setattr(BundleFiles, "digest", lambda self, name: pytest.fail("a file was opened"))
    with pytest.raises(RecordError, match=r"^statement\.json names 100,001 files; at most 100,000 are read"):
        check_files(bundle)


def test_a_statement_that_names_a_file_twice_is_rejected(bundle):
    """Each name costs the reader a file's content: a short statement could name a large file without end."""
    statement = json.loads((bundle / STATEMENT).read_bytes())
    statement["subject"].append(statement["subject"][0])
    (bundle / STATEMENT).write_bytes(canonical_bytes(statement))
    with pytest.raises(RecordError, match="names a file twice"):
        check_files(bundle)


@pytest.mark.parametrize("name", [ENVELOPE, SIGSTORE])
def test_an_envelope_of_too_many_signatures_is_rejected_before_one_is_checked(bundle, keys, name, monkeypatch):
    sign(bundle, keys[0])
    document = json.loads((bundle / name).read_bytes())
    inner = document if name == ENVELOPE else document["dsseEnvelope"]
    inner["signatures"] *= envelope.MAX_SIGNATURES
    (bundle / name).write_bytes(canonical_bytes(document))
    check_signature(bundle, keys[1])
    inner["signatures"].append(inner["signatures"][0])
    (bundle / name).write_bytes(canonical_bytes(document))
    monkeypatch.setattr(envelope, "_is_signature", lambda *args: name != ENVELOPE and pytest.fail("one was checked"))
    with pytest.raises(RecordError, match=f"{name} has 101 signatures; at most 100 are read"):
        find_signer((bundle / name).read_bytes(), name, keys[1])


def test_an_envelope_without_the_keys_id_is_checked_by_the_key(bundle, keys):
    """DSSE leaves the id to the signer. securesystemslib's own reader rejects such an envelope (docs/adr/0036)."""
    dsse = pytest.importorskip("securesystemslib.dsse")
    sign(bundle, keys[0])
    document = json.loads((bundle / ENVELOPE).read_bytes())
    del document["signatures"][0]["keyid"]
    (bundle / ENVELOPE).write_bytes(canonical_bytes(document))
    assert check_signature(bundle, keys[1])
    with pytest.raises(KeyError, match="keyid"):
        dsse.Envelope.from_dict(document)


def test_each_file_of_a_bundle_is_opened_once(bundle, keys, monkeypatch):
    sign(bundle, keys[0])
    opened = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, *args: opened.append(os.path.basename(path)) or real(path, *args))  # noqa: PTH119
    files = BundleFiles(bundle)
    read_bundle(files)
    check_signature(files, keys[1])
    assert sorted(opened) == sorted(path.name for path in bundle.iterdir())


def test_a_file_that_changes_between_its_digest_and_its_use_is_rejected(bundle):
    files = BundleFiles(bundle)
    files.digest("summary.md")
    (bundle / "summary.md").write_text("another")
    with pytest.raises(RecordError, match=r"summary\.md was changed while the bundle was read"):
        files.read("summary.md")
