"""A bundle of evidence, and keys of both kinds that can sign it."""

from __future__ import annotations

import pytest

from pytest_repro.records.evidence import write_bundle
from tests.unit.records.helpers import a_test, make_files, pem_of


@pytest.fixture
def bundle(tmp_path):
    directory = tmp_path / "bundle"
    write_bundle(directory, make_files(a_test()))
    return directory


@pytest.fixture(params=["p256", "ed25519"])
def keys(request):
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    key = ec.generate_private_key(ec.SECP256R1()) if request.param == "p256" else ed25519.Ed25519PrivateKey.generate()
    return pem_of(key)
