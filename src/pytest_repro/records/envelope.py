"""A signed payload as a DSSE envelope and as a Sigstore bundle, which have different readers.

Signatures need the ``securesystemslib`` package (``pip install pytest-repro[evidence]``). Its reader of envelopes is
not used: it rejects those without the key's id, which DSSE allows (docs/adr/0036).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_repro.errors import MissingExtraError, RecordError, StoreError
from pytest_repro.model.reading import read_file
from pytest_repro.records.canonical import canonical_bytes, parse_object

PAYLOAD_TYPE = "application/vnd.in-toto+json"
SIGSTORE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
ENVELOPE, SIGSTORE = "statement.dsse.json", "statement.sigstore.json"
#: One signature in two forms: each has readers that do not understand the other.
SIGNATURES = (ENVELOPE, SIGSTORE)
#: Signatures of one envelope. Each costs a check of the whole payload.
MAX_SIGNATURES = 100
#: Largest file of a key [bytes]. One in PEM has some 300.
MAX_KEY_BYTES = 64 * 1024


def sign_payload(payload: bytes, key: bytes, password: bytes | None = None) -> dict[str, bytes]:
    """Sign a payload, and return the files with its signature by name.

    Parameters
    ----------
    key : bytes
        PEM of an ECDSA P-256 or Ed25519 private key.

    Raises
    ------
    RecordError
        If the key is of another kind or cannot be read.
    """
    dsse, signer = _library()
    private = _load_private(key, password)
    public = signer.SSlibKey.from_crypto(private.public_key(), keyid=_key_id(private.public_key()))
    envelope = dsse.Envelope(payload, PAYLOAD_TYPE, {})
    envelope.sign(signer.CryptoSigner(private, public))
    document = envelope.to_dict()
    return {ENVELOPE: canonical_bytes(document), SIGSTORE: canonical_bytes(wrap_envelope(document))}


def find_signer(data: bytes, name: str, key: bytes) -> tuple[bytes, str]:
    """Return the payload of a file that is not trusted, and the id of the public key (PEM) that signed it.

    Raises
    ------
    RecordError
        If the file has no envelope, or no signature by this key.
    """
    dsse, signer = _library()
    public = load_public_key(key)
    payload, signatures = _parse_envelope(data, name)
    known = signer.SSlibKey.from_crypto(public, keyid=_key_id(public))
    message = dsse.Envelope(payload, PAYLOAD_TYPE, {}).pae()
    if not any(_is_signature(known, signer.Signature(known.keyid, found.hex()), message) for found in signatures):
        raise RecordError(f"no signature in {name} is by this key")
    if name == SIGSTORE:
        hint = parse_object(data, name)["verificationMaterial"]["publicKey"].get("hint")
        if hint is not None and hint != _hint(known.keyid):
            raise RecordError(f"{name} names another key than the one that signed it (verificationMaterial.publicKey)")
    return payload, known.keyid


def count_others(data: bytes, name: str, key: bytes) -> int:
    """Count the signatures in a file that are not by this public key (PEM). Whether they are valid is not known."""
    dsse, signer = _library()
    public = load_public_key(key)
    payload, signatures = _parse_envelope(data, name)
    known = signer.SSlibKey.from_crypto(public, keyid=_key_id(public))
    message = dsse.Envelope(payload, PAYLOAD_TYPE, {}).pae()
    return sum(not _is_signature(known, signer.Signature(known.keyid, found.hex()), message) for found in signatures)


def _is_signature(key: Any, signature: Any, message: bytes) -> bool:
    from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError

    try:
        key.verify_signature(signature, message)
    except (UnverifiedSignatureError, VerificationError):
        return False
    return True


def _parse_envelope(data: bytes, name: str) -> tuple[bytes, list[bytes]]:
    document = parse_object(data, name)
    if name == SIGSTORE:
        document = unwrap_envelope(document, name)
    try:
        if document["payloadType"] != PAYLOAD_TYPE:
            raise RecordError(f"{name} signs a payload of another type")
        signatures = document["signatures"]
        if len(signatures) > MAX_SIGNATURES:
            raise RecordError(f"{name} has {len(signatures):,} signatures; at most {MAX_SIGNATURES} are read")
        payload = base64.b64decode(document["payload"], validate=True)
        return payload, [base64.b64decode(entry["sig"], validate=True) for entry in signatures]
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{name} has no DSSE envelope: {error}") from None


def wrap_envelope(envelope: dict[str, Any]) -> dict[str, Any]:
    """Return the Sigstore bundle v0.3 of an envelope, the form that cosign and the sigstore libraries read.

    It is signed with a plain key and has neither a certificate of an identity, nor an entry in a transparency log, nor
    a time. Those need Sigstore's services. A reader that demands them rejects the bundle, rightly. The hint is the
    sha256 of the key in DER form, as protobuf-specs recommends (RFC 6962), in base64.
    """
    (signature,) = envelope["signatures"]
    hint = _hint(signature["keyid"])
    return {
        "mediaType": SIGSTORE_TYPE,
        "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
        "dsseEnvelope": envelope,
    }


def _hint(key_id: str) -> str:
    return base64.b64encode(bytes.fromhex(key_id)).decode()


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


def _library() -> tuple[Any, Any]:
    """Return securesystemslib's modules for envelopes and for keys."""
    try:
        import cryptography  # noqa: F401  # which the library does without until it needs it
        from securesystemslib import dsse, signer
    except ImportError:
        raise MissingExtraError(
            "signatures need the packages securesystemslib and cryptography: pip install pytest-repro[evidence]"
        ) from None
    return dsse, signer


def _load_private(key: bytes, password: bytes | None) -> Any:
    _library()
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return _load("private", lambda: load_pem_private_key(key, password))


def read_key(path: Path) -> bytes:
    """Return the content of a key's file.

    Raises
    ------
    RecordError
        If it is no regular file, or too large for a key.
    OSError
        If it does not exist, or cannot be read.
    """
    try:
        return read_file(path, max_bytes=MAX_KEY_BYTES, advice="name the PEM file of the key", follows_links=True)
    except StoreError as error:
        raise RecordError(f"the key {path}: {error}") from None
    except FileNotFoundError:
        raise RecordError(f"the key {path} does not exist") from None


def load_public_key(key: bytes) -> Any:
    """Return a public key (PEM) of a kind that signs bundles.

    Raises
    ------
    RecordError
        If it is of another kind or cannot be read.
    """
    _library()
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if b"PRIVATE KEY-----" in key:
        raise RecordError("this is the private key, which signs; name the public key, and keep the private one secret")

    return _load("public", lambda: load_pem_public_key(key))


def _load(what: str, load: Callable[[], Any]) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    try:
        key = load()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise RecordError(f"the {what} key cannot be read: {str(error)[:100]}") from None
    is_ec = isinstance(key, (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey)) and key.curve.name == "secp256r1"
    if not is_ec and not isinstance(key, (ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey)):
        raise RecordError("the key must be an ECDSA key on P-256 or an Ed25519 key")
    return key


def _key_id(public: Any) -> str:
    """Return the sha256 of the public key's DER form."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
