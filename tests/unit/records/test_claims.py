"""No digest and no figure that a record claims is believed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pytest_repro.capturing import capture_tree, digest
from pytest_repro.cli import main
from pytest_repro.errors import RecordError
from pytest_repro.model import TolerancePolicy
from pytest_repro.records.checking import check_record
from pytest_repro.records.files import read_record
from pytest_repro.records.inspecting import diff_records, has_arrays
from tests.unit.records.helpers import FACTS, forge, write

VALUE = {"w": np.arange(6.0), "loss": 0.5}


def entry(document, path):
    return next(each for each in document["artifacts"] if each["path"] == path)


def lie_about_a_value(document):
    entry(document, "loss")["value"] = {"kind": "float", "text": "0x1.8p+9"}


def lie_about_figures(document):
    entry(document, "w")["figures"]["mean"] = "0x1.0p+0"


def lie_about_samples(document):
    samples = entry(document, "w")["samples"]
    samples[0] = "0"


def take_anothers_digest(document):
    document["digest"] = f"sha256:{1:064x}"


@pytest.mark.parametrize("inline_bytes", [10**6, 0])
def test_a_value_that_is_not_the_one_that_was_digested_is_refused_by_every_reader(tmp_path, inline_bytes):
    artifacts = capture_tree(VALUE)
    path = write(tmp_path, artifacts, inline_bytes=inline_bytes)
    honest = read_record(write(tmp_path / "honest", artifacts))
    forge(path, lie_about_a_value)
    for payload in [None, *tmp_path.glob("*.safetensors")]:  # with the arrays, and without them
        if payload is not None:
            payload.unlink()
        stored = read_record(path)
        for read in (
            lambda stored=stored: has_arrays(stored),
            lambda stored=stored: diff_records(honest, stored),
            lambda stored=stored: diff_records(stored, honest),
            lambda stored=stored: check_record(
                stored, artifacts, digest(artifacts), seed=7, facts=FACTS, policy=TolerancePolicy()
            ),
        ):
            with pytest.raises(RecordError, match="'loss' does not match the digest"):
                read()


@pytest.mark.parametrize("change", [lie_about_figures, lie_about_samples])
def test_figures_and_samples_of_other_arrays_are_refused(tmp_path, change, capsys):
    path = write(tmp_path, VALUE)
    forge(path, change)
    with pytest.raises(RecordError, match=r"figures of its artifact 'w' are not those of its array"):
        has_arrays(read_record(path))
    assert main(["show", str(path)]) == 2
    assert "edited" in capsys.readouterr().err


@pytest.mark.parametrize("change", [{"dtype": "float32"}, {"shape": [3, 2]}])
def test_a_dtype_or_a_shape_that_is_not_that_of_the_results_is_refused_without_the_arrays(tmp_path, change):
    artifacts = capture_tree(VALUE)
    path = write(tmp_path, artifacts, inline_bytes=0)
    facts = {"seed": 7, "facts": FACTS, "policy": TolerancePolicy()}
    assert check_record(read_record(path), artifacts, digest(artifacts), **facts).comparison.verdict
    forge(path, lambda document: entry(document, "w").update(change))
    with pytest.raises(RecordError, match="'w' has another dtype or shape than its digest"):
        check_record(read_record(path), artifacts, digest(artifacts), **facts)


def test_an_inline_payload_is_read_also_where_the_digests_are_equal(tmp_path):
    artifacts = capture_tree(VALUE)
    path = write(tmp_path, artifacts)
    forge(path, lambda document: document["payload"].update(base64="AAAA"))
    with pytest.raises(RecordError, match="inline payload does not match"):
        check_record(read_record(path), artifacts, digest(artifacts), seed=7, facts=FACTS, policy=TolerancePolicy())


def test_the_digests_of_the_artifacts_must_give_that_of_all(tmp_path):
    path = write(tmp_path, VALUE)
    forge(path, take_anothers_digest)
    with pytest.raises(RecordError, match="together do not match its digest"):
        read_record(path)


def test_the_digest_of_all_needs_no_arrays(tmp_path):
    path = write(tmp_path, VALUE, inline_bytes=0)
    for payload in tmp_path.glob("*.safetensors"):
        payload.unlink()
    other = write(tmp_path / "other", {**VALUE, "w": np.arange(6.0) + 1}, inline_bytes=0)
    claimed = json.loads(other.read_bytes())["digest"]
    forge(path, lambda document: document.update(digest=claimed))
    with pytest.raises(RecordError, match="together do not match its digest"):
        read_record(path)
