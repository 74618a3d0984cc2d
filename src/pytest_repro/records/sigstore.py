"""A DSSE envelope as a Sigstore bundle v0.3, the form that cosign and the sigstore libraries read, and back.

It is signed with a plain key and has neither a certificate of an identity, nor an entry in a transparency log, nor a
time. Those need Sigstore's services. A reader that demands them rejects the bundle, rightly.
"""

from __future__ import annotations

import base64
from typing import Any

from pytest_repro.errors import RecordError

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def wrap_envelope(envelope: dict[str, Any]) -> dict[str, Any]:
    """Return the bundle of an envelope with one signature.

    The hint is the sha256 of the key in DER form, as protobuf-specs recommends (RFC 6962), in base64.
    """
    (signature,) = envelope["signatures"]
    hint = base64.b64encode(bytes.fromhex(signature["keyid"])).decode()
    return {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
        "dsseEnvelope": envelope,
    }


def unwrap_envelope(bundle: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the envelope in a bundle that is not trusted, without a check of its signature.

    Raises
    ------
    RecordError
        If it is of another version, signed by a certificate, or has no envelope.
    """
    if bundle.get("mediaType") != MEDIA_TYPE:
        raise RecordError(f"{name} is not a Sigstore bundle v0.3 but {str(bundle.get('mediaType'))[:80]!r}")
    material, envelope = bundle.get("verificationMaterial"), bundle.get("dsseEnvelope")
    if not isinstance(material, dict) or not isinstance(material.get("publicKey"), dict):
        raise RecordError(f"{name} was not signed with a plain key: check it with cosign")
    if not isinstance(envelope, dict) or "messageSignature" in bundle:
        raise RecordError(f"{name} has no envelope of a statement")
    return envelope
