"""Records say what differs, what was looked at, and what was not recorded."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.model.redaction import hidden_digest
from tests.plugin.helpers import unwrap

SET = """
    import pytest
    @pytest.mark.reproducible
    def test_it(): return list({f"name {n}" for n in range(20)})
"""
VARIABLES = """
    import os, pytest
    AT_IMPORT = os.environ.get("MODEL_SIZE", "1")
    @pytest.mark.reproducible
    def test_it():
        os.environ["WRITTEN"] = "1"
        return float(AT_IMPORT) + float(os.getenv("LEARNING_RATE", "0")) + len(os.environ.get("MY_API_KEY", ""))
    def test_other():
        assert os.environ.get("OF_ANOTHER_TEST") is None
"""


def run(pytester: pytest.Pytester, *options: str) -> tuple[int, str]:
    """Return the exit status and the output with whole failures, each finding in one line of it."""
    whole = "-overbosity_assertions=1"
    result = pytester.runpytest_subprocess("-p", "no:randomly", "--no-repro-diagnose", whole, *options)
    return int(result.ret), unwrap(result.stdout.str())


def record(pytester: pytest.Pytester) -> dict[str, Any]:
    (path,) = (pytester.path / "records").glob("*.json")
    document: dict[str, Any] = json.loads(path.read_text())
    return document


@pytest.fixture
def unhashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)


@pytest.mark.usefixtures("unhashed")
def test_two_random_hash_seeds_are_not_taken_for_the_same_environment(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SET)
    assert run(pytester, "--repro-record=records")[0] == 0
    assert record(pytester)["environment"]["hash_seed"] == "random"
    status, text = run(pytester, "--repro-verify=records")
    assert status == 1
    assert "unknown the hash seed, which was random each time (vary it with --repro-across=hash_seed)" in text
    assert "unknown services, the clock and other files that the test reads" in text


@pytest.mark.usefixtures("unhashed")
def test_another_hash_seed_is_named_with_the_axis_that_confirms_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(SET)
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    run(pytester, "--repro-record=records")
    monkeypatch.setenv("PYTHONHASHSEED", "2")
    status, text = run(pytester, "--repro-verify=records")
    assert status == 1
    assert "differs hash seed: 1 -> 2 (confirm with --repro-across=hash_seed)" in text
    assert "matches in everything" not in text
    assert "unknown" not in text.partition("differs hash seed")[0].partition("Run 1 differs from the record")[2]


@pytest.mark.usefixtures("unhashed")
def test_a_record_has_the_hash_seed_of_the_process_that_made_the_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SET)
    run(pytester, "--repro-record=records", "--repro-isolate")
    assert record(pytester)["environment"]["hash_seed"] == "1"


@pytest.mark.parametrize("options", [(), ("--repro-isolate",)])
def test_variables_that_the_tests_code_reads_are_recorded_by_name_and_compared(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    pytester.makepyfile(VARIABLES)
    monkeypatch.setenv("MODEL_SIZE", "1")
    monkeypatch.setenv("LEARNING_RATE", "2")
    monkeypatch.setenv("MY_API_KEY", "PLANTED-VALUE")
    run(pytester, "--repro-record=records", *options)
    found = record(pytester)["variables_read"]
    assert sorted(found) == ["LEARNING_RATE", "MODEL_SIZE", "MY_API_KEY"]
    assert found["MY_API_KEY"] == "[hidden]"
    # Slow to guess from, and salted with the name: equal values of two variables have two digests.
    assert {name: found[name] for name in ("LEARNING_RATE", "MODEL_SIZE")} == {
        "LEARNING_RATE": hidden_digest("LEARNING_RATE", "2"),
        "MODEL_SIZE": hidden_digest("MODEL_SIZE", "1"),
    }
    monkeypatch.setenv("LEARNING_RATE", "3")
    status, text = run(pytester, "--repro-verify=records", *options)
    assert status == 1
    assert "differs variable that the test read LEARNING_RATE: [hidden: pbkdf2-sha256 " in text
    assert "MODEL_SIZE" not in text


def test_a_file_of_a_package_that_was_edited_is_named(pytester: pytest.Pytester, tmp_path: Path) -> None:
    import base64
    import hashlib

    site = tmp_path / "site"
    (site / "tinygrad").mkdir(parents=True)
    (site / "tinygrad-1.dist-info").mkdir()
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"VALUE = 1.0\n").digest()).decode().rstrip("=")
    (site / "tinygrad" / "__init__.py").write_text("VALUE = 1.0\n")
    (site / "tinygrad-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: tinygrad\nVersion: 1\n")
    (site / "tinygrad-1.dist-info" / "RECORD").write_text(f"tinygrad/__init__.py,sha256={digest},12\n")
    pytester.makepyfile("import pytest, tinygrad\n@pytest.mark.reproducible\ndef test_it(): return tinygrad.VALUE")
    os.environ["PYTHONPATH"] = str(site)  # pytester restores the environment
    assert run(pytester, "--repro-record=records")[0] == 0
    (site / "tinygrad" / "__init__.py").write_text("VALUE = 2.0\n")
    status, text = run(pytester, "--repro-verify=records")
    assert status == 1
    assert "differs files of a package tinygrad: as installed -> changed: tinygrad/__init__.py (" in text
    run(pytester, "--repro-record=records", "--repro-update", "--repro-reason=edited")
    (site / "tinygrad" / "__init__.py").write_text("VALUE = 3.0\n")
    text = run(pytester, "--repro-verify=records")[1]
    first, second = re.findall(r"changed: tinygrad/__init__.py \((\w{12})\)", text)[:2]
    assert first != second
