"""A bundle's in-toto statement, its signature as a DSSE envelope and as a Sigstore bundle, and the check of both.

Statement v1 with the test-result v0.1 predicate and no extra field: consumers reject what they do not know.
Signatures need the ``cryptography`` package (``pip install pytest-repro[evidence]``).
"""

from __future__ import annotations

import base64
import hashlib
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_repro.errors import MissingExtraError, RecordError
from pytest_repro.model import JSON
from pytest_repro.records.canonical import canonical_bytes, parse_object

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
SIGSTORE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
STATEMENT, ENVELOPE, SIGSTORE = "statement.json", "statement.dsse.json", "statement.sigstore.json"
#: One signature in two forms: each has readers that do not understand the other.
SIGNATURES = (ENVELOPE, SIGSTORE)
MAX_FILE_BYTES = 256 * 2**20


def make_statement(files: Mapping[str, bytes], verdicts: Mapping[str, Sequence[str]], *, is_good: bool = True) -> JSON:
    """Return the statement of a session's result about the files that contain it.

    Parameters
    ----------
    files : mapping
        Name -> content; each becomes a subject.
    verdicts : mapping
        ``passed``, ``warned``, ``failed`` -> node ids.
    is_good : bool
        Whether the session came to its end, and pytest ended with success.
    """
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": _sha256(files[name])}} for name in sorted(files)],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "result": judge_session(verdicts, is_good=is_good),
            "configuration": [{"name": "record.json", "digest": {"sha256": _sha256(files["record.json"])}}],
            "passedTests": [*verdicts["passed"]],
            "warnedTests": [*verdicts["warned"]],
            "failedTests": [*verdicts["failed"]],
        },
    }


def judge_session(verdicts: Mapping[str, Sequence[str]], *, is_good: bool = True) -> str:
    """Return PASSED, WARNED or FAILED, the latter also for a session in which no test ran, or that is not good."""
    if not is_good or verdicts["failed"] or not any(verdicts.values()):
        return "FAILED"
    return "WARNED" if verdicts["warned"] else "PASSED"


def sign_bundle(directory: Path, key: bytes, password: bytes | None = None) -> dict[str, bytes]:
    """Check that a bundle is complete and unchanged, and sign its statement.

    Parameters
    ----------
    key : bytes
        PEM of an ECDSA P-256 or Ed25519 private key.

    Returns
    -------
    dict of str -> bytes
        The files to write next to the statement, by name.

    Raises
    ------
    RecordError
        If the bundle is incomplete or changed, or the key is of another kind or cannot be read.
    """
    check_files(directory)
    payload = read_bundle_file(directory, STATEMENT)
    private = _load_private(key, password)
    signature = _sign(private, _pre_authentication_encoding(payload))
    envelope: dict[str, Any] = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": _key_id(private.public_key()), "sig": base64.b64encode(signature).decode()}],
    }
    return {ENVELOPE: canonical_bytes(envelope), SIGSTORE: canonical_bytes(wrap_envelope(envelope))}


def find_signatures(directory: Path) -> list[str]:
    """Return the names of a bundle's files with a signature."""
    return [name for name in SIGNATURES if (directory / name).is_symlink() or (directory / name).exists()]


def check_files(directory: Path) -> dict[str, Any]:
    """Return a bundle's statement, after checking that every file that it names is there and unchanged.

    Raises
    ------
    RecordError
        Naming the first file that is missing or changed.
    """
    statement = _parse_statement(read_bundle_file(directory, STATEMENT))
    for subject in statement["subject"]:
        name, expected = subject["name"], subject["digest"]["sha256"]
        if _sha256(read_bundle_file(directory, name)) != expected:
            raise RecordError(f"{name} does not match the digest in the statement: it was changed")
    return statement


def check_signature(directory: Path, key: bytes) -> str:
    """Check that each signature is by a public key (PEM) and signs this statement, and return the key's id.

    Raises
    ------
    RecordError
        If a signature is missing or by another key, or the statement was changed afterwards.
    """
    names = find_signatures(directory)
    if not names:
        raise RecordError(f"the bundle is not signed ({ENVELOPE} is missing): sign it with `pytest-repro sign`")
    public = load_public_key(key)
    for name in names:
        payload, signatures = _parse_envelope(read_bundle_file(directory, name), name)
        message = _pre_authentication_encoding(payload)
        if not any(_is_signature(public, signature, message) for signature in signatures):
            raise RecordError(f"no signature in {name} is by this key")
        if payload != read_bundle_file(directory, STATEMENT):
            raise RecordError(f"{STATEMENT} differs from the statement that {name} signs: it was changed")
    return _key_id(public)


def read_bundle_file(directory: Path, name: str) -> bytes:
    """Read one file of a bundle, by a plain name.

    Raises
    ------
    RecordError
        If it would be outside the directory, is a link or a device, is too large or cannot be read.
    """
    if Path(name).name != name or name in ("", ".", "..") or "\\" in name or "\0" in name:
        raise RecordError(f"{name[:60]!r} is not a file name of a bundle")
    path = directory / name
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_FILE_BYTES:
            raise RecordError(f"{name} must be a regular file of at most {MAX_FILE_BYTES:,} bytes")
        return path.read_bytes()
    except OSError as error:
        raise RecordError(f"{name} cannot be read: {error.strerror or type(error).__name__}") from None


def _parse_statement(data: bytes) -> dict[str, Any]:
    document = parse_object(data, STATEMENT)
    subjects = document.get("subject")
    is_ours = document.get("_type") == STATEMENT_TYPE and document.get("predicateType") == PREDICATE_TYPE
    is_ours &= isinstance(document.get("predicate"), dict) and isinstance(document["predicate"].get("result"), str)
    if not is_ours or not isinstance(subjects, list) or not subjects or not all(map(_is_subject, subjects)):
        raise RecordError(f"{STATEMENT} is not an in-toto statement of a test result")
    return document


def _is_subject(subject: Any) -> bool:
    digest = subject.get("digest") if isinstance(subject, dict) else None
    return isinstance(digest, dict) and isinstance(subject.get("name"), str) and isinstance(digest.get("sha256"), str)


def _parse_envelope(data: bytes, name: str) -> tuple[bytes, list[bytes]]:
    document = parse_object(data, name)
    if name == SIGSTORE:
        document = unwrap_envelope(document, name)
    try:
        if document["payloadType"] != PAYLOAD_TYPE:
            raise RecordError(f"{name} signs a payload of another type")
        payload = base64.b64decode(document["payload"], validate=True)
        return payload, [base64.b64decode(entry["sig"], validate=True) for entry in document["signatures"]]
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{name} has no DSSE envelope: {error}") from None


def wrap_envelope(envelope: dict[str, Any]) -> dict[str, Any]:
    """Return the Sigstore bundle v0.3 of an envelope, the form that cosign and the sigstore libraries read.

    It is signed with a plain key and has neither a certificate of an identity, nor an entry in a transparency log, nor
    a time. Those need Sigstore's services. A reader that demands them rejects the bundle, rightly. The hint is the
    sha256 of the key in DER form, as protobuf-specs recommends (RFC 6962), in base64.
    """
    (signature,) = envelope["signatures"]
    hint = base64.b64encode(bytes.fromhex(signature["keyid"])).decode()
    return {
        "mediaType": SIGSTORE_TYPE,
        "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
        "dsseEnvelope": envelope,
    }


def unwrap_envelope(bundle: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the envelope in a Sigstore bundle that is not trusted, without a check of its signature.

    Raises
    ------
    RecordError
        If it is of another version, signed by a certificate, or has no envelope.
    """
    if bundle.get("mediaType") != SIGSTORE_TYPE:
        raise RecordError(f"{name} is not a Sigstore bundle v0.3 but {str(bundle.get('mediaType'))[:80]!r}")
    material, envelope = bundle.get("verificationMaterial"), bundle.get("dsseEnvelope")
    if not isinstance(material, dict) or not isinstance(material.get("publicKey"), dict):
        raise RecordError(f"{name} was not signed with a plain key: check it with cosign")
    if not isinstance(envelope, dict) or "messageSignature" in bundle:
        raise RecordError(f"{name} has no envelope of a statement")
    return envelope


def _pre_authentication_encoding(payload: bytes) -> bytes:
    """Return the bytes that DSSE v1 signs: type and payload, each preceded by its length."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _cryptography() -> Any:
    try:
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    except ImportError:
        raise MissingExtraError(
            "signatures need the cryptography package: pip install pytest-repro[evidence]"
        ) from None
    return hashes, serialization, ec, ed25519


def _load_private(key: bytes, password: bytes | None) -> Any:
    _, serialization, ec, ed25519 = _cryptography()
    kinds = ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey
    return _load("private", lambda: serialization.load_pem_private_key(key, password), kinds)


def load_public_key(key: bytes) -> Any:
    """Return a public key (PEM) of a kind that signs bundles.

    Raises
    ------
    RecordError
        If it is of another kind or cannot be read.
    """
    _, serialization, ec, ed25519 = _cryptography()
    kinds = ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey
    return _load("public", lambda: serialization.load_pem_public_key(key), kinds)


def _load(what: str, load: Callable[[], Any], kinds: tuple[Any, ...]) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        key = load()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise RecordError(f"the {what} key cannot be read: {str(error)[:100]}") from None
    if not isinstance(key, kinds) or getattr(getattr(key, "curve", None), "name", "secp256r1") != "secp256r1":
        raise RecordError("the key must be an ECDSA key on P-256 or an Ed25519 key")
    return key


def _sign(private: Any, message: bytes) -> bytes:
    hashes, _, ec, ed25519 = _cryptography()
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return bytes(private.sign(message))
    return bytes(private.sign(message, ec.ECDSA(hashes.SHA256())))


def _is_signature(public: Any, signature: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    hashes, _, ec, ed25519 = _cryptography()
    try:
        if isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(signature, message)
        else:
            public.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _key_id(public: Any) -> str:
    """Return the sha256 of the public key's DER form."""
    _, serialization, _, _ = _cryptography()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return _sha256(public.public_bytes(serialization.Encoding.DER, form))
