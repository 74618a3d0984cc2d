"""The published schema accepts every written record and rejects wrong ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pytest_repro.model import Artifacts, Leaf
from tests.unit.records.helpers import write

SCHEMA = json.loads((Path(__file__).parents[3] / "docs/schemas/record-1.schema.json").read_text(encoding="utf-8"))


@pytest.fixture
def validator():
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    return jsonschema.Draft202012Validator(SCHEMA)


ODD = Artifacts(
    {"a\udcff": Leaf("value", "\ud800", "str", "str"), "l": Leaf("array", np.ones(3, "g"), "ndarray", "g", (3,))}
)


@pytest.mark.parametrize("value", [None, 1.5, {"z": np.zeros((0, 3)), "c": 1j, "n": None, "b": b"x"}, ODD], ids=str)
@pytest.mark.parametrize("inline_bytes", [0, 2**20])
def test_the_schema_accepts_every_record(tmp_path, validator, value, inline_bytes):
    updates = [{"reason": "torch 3", "replaced": "sha256:" + "0" * 64}]
    document = json.loads(write(tmp_path, value, inline_bytes=inline_bytes, updates=updates).read_bytes())
    assert [error.message for error in validator.iter_errors(document)] == []


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (["version"], "2.0"),
        (["seed"], 2**32),
        (["digest"], "md5:1"),
        (["artifacts", 0, "digest"], ""),
        (["artifacts", 0, "form"], "pickle"),
        (["payload", "path"], "../x.safetensors"),
        (["environment"], None),
        (["updates"], [{"reason": "", "replaced": "sha256:" + "0" * 64}]),
    ],
    ids=lambda v: str(v[-1]) if isinstance(v, list) else "",
)
def test_the_schema_rejects_wrong_records(tmp_path, validator, keys, value):
    document = json.loads(write(tmp_path, inline_bytes=0).read_bytes())
    place = document
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    assert not validator.is_valid(document)
