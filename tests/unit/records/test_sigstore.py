"""The Sigstore bundle of a signature: read by sigstore's own software, rejected if it is of another kind."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_repro.errors import RecordError
from pytest_repro.records.attestation import STATEMENT, check_signature
from pytest_repro.records.envelope import SIGSTORE, unwrap_envelope
from tests.unit.records.helpers import other_key, pem_of, sign

#: Checks a bundle as sigstore-js does: form, then the signature by a key that is found by its hint.
PROGRAM = """
const fs = require('fs'), crypto = require('crypto');
const { bundleFromJSON, isBundleWithDsseEnvelope } = require('@sigstore/bundle');
const { Verifier, toSignedEntity, toTrustMaterial } = require('@sigstore/verify');
const [path, keyPath] = process.argv.slice(2);
const bundle = bundleFromJSON(JSON.parse(fs.readFileSync(path)));
const der = crypto.createPublicKey(fs.readFileSync(keyPath)).export({ type: 'spki', format: 'der' });
const hint = crypto.createHash('sha256').update(der).digest('base64');
const root = { certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] };
const trusted = toTrustMaterial(root, { [hint]: { rawBytes: der } });
// Neither a time nor a log is claimed.
const options = { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 };
new Verifier(trusted, options).verify(toSignedEntity(bundle));
if (!isBundleWithDsseEnvelope(bundle)) throw new Error('no envelope');
process.stdout.write(bundle.content.dsseEnvelope.payload);
"""


def find_modules() -> str:
    """Return the folder in which Node finds sigstore's packages, or skip the test."""
    folder = os.environ.get("NODE_PATH", "")
    if shutil.which("node") is None or not (Path(folder) / "@sigstore" / "verify").is_dir() or not folder:
        pytest.skip("needs Node with @sigstore/verify and @sigstore/bundle where NODE_PATH says (npm install)")
    return folder


def check_with_node(bundle, public, folder):
    (folder / "check.js").write_text(PROGRAM, encoding="utf-8")
    (folder / "public.pem").write_bytes(public)
    command = ["node", str(folder / "check.js"), str(bundle / SIGSTORE), str(folder / "public.pem")]
    return subprocess.run(command, capture_output=True, timeout=60, check=False)


def test_sigstores_own_library_verifies_the_bundle(bundle, keys, tmp_path):
    find_modules()
    private, public = keys
    sign(bundle, private)
    found = check_with_node(bundle, public, tmp_path)
    assert found.returncode == 0, found.stderr.decode()
    assert found.stdout == (bundle / STATEMENT).read_bytes()
    assert check_with_node(bundle, pem_of(other_key())[1], tmp_path).returncode != 0
    changed = json.loads((bundle / SIGSTORE).read_bytes())
    payload = base64.b64decode(changed["dsseEnvelope"]["payload"]).replace(b"PASSED", b"FAILED")
    changed["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    (bundle / SIGSTORE).write_text(json.dumps(changed))
    found = check_with_node(bundle, public, tmp_path)
    assert found.returncode != 0
    assert b"signature" in found.stderr.lower()


def test_the_hint_is_the_sha256_of_the_key(bundle, keys):
    import hashlib

    from cryptography.hazmat.primitives import serialization as s

    private, public = keys
    sign(bundle, private)
    document = json.loads((bundle / SIGSTORE).read_bytes())
    der = s.load_pem_public_key(public).public_bytes(s.Encoding.DER, s.PublicFormat.SubjectPublicKeyInfo)
    hint = document["verificationMaterial"]["publicKey"]["hint"]
    assert base64.b64decode(hint) == hashlib.sha256(der).digest()
    assert set(document) == {"mediaType", "verificationMaterial", "dsseEnvelope"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mediaType": "application/vnd.dev.sigstore.bundle.v0.4+json"}, "is not a Sigstore bundle v0.3"),
        ({"mediaType": None}, "is not a Sigstore bundle v0.3"),
        ({"verificationMaterial": {"certificate": {"rawBytes": ""}}}, "not signed with a plain key"),
        ({"verificationMaterial": None}, "not signed with a plain key"),
        ({"dsseEnvelope": None}, "has no envelope"),
        ({"dsseEnvelope": [1]}, "has no envelope"),
        ({"messageSignature": {}}, "has no envelope"),
        ({"dsseEnvelope": {}}, "has no DSSE envelope"),
    ],
    ids=str,
)
def test_a_bundle_of_another_kind_is_rejected(bundle, keys, change, message):
    private, public = keys
    sign(bundle, private)
    document = {**json.loads((bundle / SIGSTORE).read_bytes()), **change}
    (bundle / SIGSTORE).write_text(json.dumps(document))
    with pytest.raises(RecordError, match=message):
        check_signature(bundle, public)


def test_unwrapping_a_wrapped_envelope_returns_it(bundle, keys):
    sign(bundle, keys[0])
    document = json.loads((bundle / SIGSTORE).read_bytes())
    assert unwrap_envelope(document, SIGSTORE) == document["dsseEnvelope"]
