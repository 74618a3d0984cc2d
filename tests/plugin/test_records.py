"""Records: made, verified and updated, without ever claiming more than they show."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

import pytest

# Imported before any session in this process, which would otherwise import them again.
import pytest_repro.reporting.record_text  # noqa: F401
from pytest_repro.capturing.environment import describe_environment
from pytest_repro.errors import RecordError
from pytest_repro.model import JSON
from pytest_repro.model.reported import decode_session, encode_session
from pytest_repro.session import recording
from tests.plugin.helpers import Session, Sessions
from tests.unit.records.helpers import forge

SOURCE = """
    from pathlib import Path
    import numpy as np
    import pytest

    FACTOR = float(Path("factor").read_text()) if Path("factor").exists() else 1.0

    @pytest.mark.reproducible(max_ulp=4)
    def test_fit(repro):
        repro.config({"lr": 0.1, "steps": 10})
        return {"w": repro.rng.standard_normal(20000) * FACTOR, "accuracy": 0.5}

    @pytest.mark.reproducible
    def test_other():
        return "constant"
"""
ONE_ULP = repr(1 + 2**-52)


def records(sessions: Sessions, directory: str = "records") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((sessions.folder / directory).iterdir())}


def manifest(sessions: Sessions, name: str, directory: str = "records") -> Path:
    (path,) = (sessions.folder / directory).glob(f"*{name}-*.json")
    return path


def change_environment(sessions: Sessions, name: str = "test_fit") -> None:
    """Change a record as if an older NumPy had made it."""

    def change(document: dict) -> None:
        document["environment"]["packages"]["numpy"]["version"] = "1.0.0"

    forge(manifest(sessions, name), change)


@pytest.fixture(autouse=True)
def environment_collected_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Collect the real environment, which takes a second, once for all sessions of this process."""
    monkeypatch.setattr(recording, "describe_environment", lambda root: collect_environment())


@functools.cache
def collect_environment() -> dict[str, JSON]:
    return describe_environment(Path("/"))


@pytest.fixture
def recorded(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> Sessions:
    monkeypatch.chdir(sessions.folder)
    session = sessions.run(SOURCE, "--repro-record=records")
    assert (session.exitcode, {r["record"]["status"] for r in session.report["tests"]}) == (0, {"recorded"})
    return sessions


def factor(sessions: Sessions, value: str) -> None:
    (sessions.folder / "factor").write_text(value)


def test_recorded_results_are_verified_bit_for_bit(recorded: Sessions) -> None:
    session = recorded.run(None, "--repro-verify=records")
    assert session.verdicts == {"test_fit": "identical", "test_other": "identical"}
    entry = session.test("test_fit")["record"]
    assert (entry["status"], entry["verdict"], entry["tier"]) == ("verified", "identical", "bits")
    assert entry["path"] == f"records/{manifest(recorded, 'test_fit').name}"
    assert (entry["differences"], entry["circumstances"]) == ([], [])
    assert "records: 2 verified" in session.text
    assert "compared with records: 2 bit for bit" in session.text


def test_recording_again_writes_the_same_bytes_here_and_elsewhere(recorded: Sessions) -> None:
    before = records(recorded)
    stamps = {path: path.stat().st_mtime_ns for path in (recorded.folder / "records").iterdir()}
    session = recorded.run(None, "--repro-record=records")
    assert {test["record"]["status"] for test in session.report["tests"]} == {"unchanged"}
    assert stamps == {path: path.stat().st_mtime_ns for path in (recorded.folder / "records").iterdir()}
    recorded.run(None, "--repro-record=again")
    assert records(recorded, "again") == before
    assert any(name.endswith(".safetensors") for name in before)


def test_the_message_of_a_difference_has_record_tier_figures_and_the_next_step(recorded: Sessions) -> None:
    factor(recorded, "1.5")
    session = recorded.run(None, "--repro-verify=records")
    assert session.verdicts == {"test_fit": "diverged", "test_other": "identical"}
    entry = session.test("test_fit")["record"]
    assert (entry["status"], entry["verdict"], entry["tier"]) == ("differs", "diverged", "bits")
    assert [(d["artifact"], d["within"], d["differing"]) for d in entry["differences"]] == [("w", False, 20000)]
    for line in (
        f"Run 1 differs from the record {manifest(recorded, 'test_fit').name} (seed ",
        "tier    bits: the environment matches in everything that can change bits",
        "same    environment, code, data and configuration, as far as they are recorded",
        "--repro-seed=0 --repro-verify=records",
        "1 of 2 artifacts differs by more than allowed",
    ):
        assert line in session.text


def test_the_tolerance_is_for_another_environment_and_not_for_this_one(recorded: Sessions) -> None:
    factor(recorded, ONE_ULP)
    assert recorded.run(None, "--repro-verify=records").verdicts["test_fit"] == "diverged"
    change_environment(recorded)
    session = recorded.run(None, "--repro-verify=records")
    assert session.verdicts["test_fit"] == "within_tolerance"
    entry = session.test("test_fit")["record"]
    assert entry["tier"] == "tolerance"
    assert "numpy: 1.0.0 -> " in entry["tier_reason"]
    assert entry["circumstances"][0]["name"] == "numpy"
    assert "compared with records: 1 bit for bit, 1 by tolerance" in session.text
    assert "  not bit for bit: the environment differs in what can change bits" in session.text
    factor(recorded, "1.5")
    assert recorded.run(None, "--repro-verify=records").verdicts["test_fit"] == "diverged"


@pytest.mark.needs("jsonschema")
def test_the_published_schema_fits_a_report_with_records(recorded: Sessions) -> None:
    import jsonschema

    path = Path(__file__).parents[2] / "docs" / "schemas" / "repro-json-1.schema.json"
    validator = jsonschema.Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))
    change_environment(recorded)
    factor(recorded, ONE_ULP)
    manifest(recorded, "test_other").unlink()
    for options in (["--repro-verify=records"], ["--repro-record=records", "--repro-update", "--repro-reason=x"]):
        report = recorded.run(None, *options).report
        assert [error.message for error in validator.iter_errors(report)] == []
        assert encode_session(decode_session(report)) == report
        report["tests"][0]["record"]["status"] = "fine"
        assert not validator.is_valid(report)


def test_a_marker_can_require_identical_bits_in_any_environment(recorded: Sessions) -> None:
    change_environment(recorded)
    factor(recorded, ONE_ULP)
    session = recorded.run(SOURCE.replace("max_ulp=4", "max_ulp=4, tier='bits'"), "--repro-verify=records")
    assert session.verdicts["test_fit"] == "diverged"
    assert "tier    bits: the marker says tier='bits'" in session.text
    factor(recorded, "1")
    assert recorded.run(None, "--repro-verify=records").verdicts["test_fit"] == "identical"


def test_an_unknown_tier_is_rejected_at_collection(sessions: Sessions) -> None:
    session = sessions.run("import pytest\n@pytest.mark.reproducible(tier='bit')\ndef test_a(): return 1\n")
    assert "tier must be 'auto' or 'bits', got 'bit'" in session.text


def test_a_missing_record_fails_with_the_command_that_makes_it(recorded: Sessions) -> None:
    manifest(recorded, "test_other").unlink()
    session = recorded.run(None, "--repro-verify=records")
    assert session.outcomes == {"passed": 1, "failed": 1}
    assert session.verdicts["test_other"] == "inconclusive"
    reason = session.test("test_other")["reason"]
    command = reason.partition("make it with: pytest ")[2]
    assert command.startswith("test_it.py::test_other")
    assert command.endswith("--repro-record=records")
    assert recorded.run(None, *command.split()).exitcode == 0
    assert recorded.run(None, "--repro-verify=records").outcomes == {"passed": 2}


def test_no_record_is_overwritten_without_a_reason(recorded: Sessions) -> None:
    before = records(recorded)
    factor(recorded, "1.5")
    session = recorded.run(None, "--repro-record=records")
    assert session.verdicts == {"test_fit": "error", "test_other": "identical"}
    assert "has other results and was not changed" in session.text
    assert records(recorded) == before
    for options in (["--repro-update"], ["--repro-update", "--repro-reason= "], ["--repro-reason=because"]):
        refused = recorded.run(None, "--repro-record=records", *options)
        assert refused.exitcode == 4
    assert records(recorded) == before


def test_an_update_shows_the_differences_keeps_the_reason_and_leaves_other_records(recorded: Sessions) -> None:
    before = records(recorded)
    factor(recorded, "1.5")
    session = recorded.run(None, "--repro-record=records", "--repro-update", "--repro-reason=lr was raised")
    assert session.exitcode == 0
    assert {test["record"]["status"] for test in session.report["tests"]} == {"updated", "unchanged"}
    assert "overwritten: records/" in session.text
    assert "20000/20000 100%" in session.text
    document = json.loads(manifest(recorded, "test_fit").read_bytes())
    replaced = json.loads(before[manifest(recorded, "test_fit").name])["digest"]
    assert document["updates"] == [{"reason": "lr was raised", "replaced": replaced}]
    kept = {name: data for name, data in before.items() if "test_fit" not in name or name.endswith(".safetensors")}
    assert kept.items() <= records(recorded).items()
    assert recorded.run(None, "--repro-verify=records").outcomes == {"passed": 2}


def test_records_of_deselected_or_removed_tests_are_not_touched(recorded: Sessions) -> None:
    before = records(recorded)
    factor(recorded, "1.5")
    recorded.run(None, "-k", "other", "--repro-record=records", "--repro-update", "--repro-reason=x")
    recorded.run("def test_nothing(): pass", "--repro-record=records", "--repro-update", "--repro-reason=x")
    assert records(recorded) == before


@pytest.mark.needs("xdist")
def test_workers_of_xdist_write_the_same_records_and_verify_them(recorded: Sessions) -> None:
    # In a process of its own as the workers are: a record holds the settings of every framework that is loaded.
    assert recorded.run(None, "--repro-record=alone", apart=True).exitcode == 0
    session = recorded.run(None, "--repro-record=spread", "-n2", plugins=("xdist",))
    assert session.exitcode == 0
    assert records(recorded, "spread") == records(recorded, "alone")
    session = recorded.run(None, "--repro-verify=spread", "-n2", plugins=("xdist",))
    assert session.verdicts == {"test_fit": "identical", "test_other": "identical"}
    assert "records: 2 verified" in session.text


ISOLATED = """
    import os
    from pathlib import Path
    import numpy as np
    import pytest

    @pytest.mark.reproducible(across=["hash_seed"])
    def test_apart(repro):
        repro.data("train", Path("train.csv"))
        repro.config({"pid matters": False})
        return np.arange(3.0) + float(Path("train.csv").read_text())
"""


def test_runs_in_child_processes_are_recorded_and_verified(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sessions.folder)
    (sessions.folder / "train.csv").write_text("1")
    assert sessions.run(ISOLATED, "--repro-record=records", apart=True).exitcode == 0
    document = json.loads(manifest(sessions, "test_apart").read_bytes())
    assert document["data"]["train"]["kind"] == "file"
    assert document["config"] == {"config": {"pid matters": False}}
    assert document["condition"] == {"hash_seed": document["condition"]["hash_seed"]}
    assert sessions.run(None, "--repro-verify=records", apart=True).outcomes == {"passed": 1}
    (sessions.folder / "train.csv").write_text("2")
    session = sessions.run(None, "--repro-verify=records", apart=True)
    assert session.verdicts == {"test_apart": "diverged"}
    first = session.test("test_apart")["record"]["circumstances"][0]
    assert (first["part"], first["name"]) == ("data", "train")
    assert "differs data train: sha256:" in session.text


def test_a_single_run_is_compared_with_the_record_and_never_passes_without_results(recorded: Sessions) -> None:
    assert recorded.run(None, "--repro-verify=records", "--repro-runs=1").outcomes == {"passed": 2}
    factor(recorded, "1.5")
    assert recorded.run(None, "--repro-verify=records", "--repro-runs=1").outcomes == {"passed": 1, "failed": 1}
    silent = SOURCE.replace('return "constant"', "pass").replace("return {", "return {} and {")
    session = recorded.run(silent, "--repro-verify=records", "--repro-runs=1")
    assert session.verdicts == {"test_fit": "inconclusive", "test_other": "inconclusive"}


def test_a_result_without_elements_is_neither_recorded_nor_verified(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sessions.folder)
    source = "import numpy, pytest\n@pytest.mark.reproducible\ndef test_a(): return numpy.zeros(0)\n"
    assert sessions.run(source, "--repro-record=records").verdicts == {"test_a": "inconclusive"}
    assert not (sessions.folder / "records").exists()


def test_a_test_whose_runs_differ_is_not_recorded(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sessions.folder)
    source = (
        "import itertools, pytest\nc = itertools.count()\n@pytest.mark.reproducible\ndef test_a(): return next(c)\n"
    )
    session = sessions.run(source, "--repro-record=records")
    assert session.test("test_a")["record"]["status"] == "not_recorded"
    assert "the runs among themselves are diverged" in session.text
    assert not (sessions.folder / "records").exists()


def test_a_test_whose_runs_differ_within_its_tolerance_is_compared_by_that(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sessions.folder)
    source = """
        import itertools, pytest
        calls = itertools.count()

        @pytest.mark.reproducible(max_ulp=4)
        def test_a(): return 1.0 + (next(calls) % 2) * 2**-52
    """
    assert sessions.run(source, "--repro-record=records").verdicts == {"test_a": "within_tolerance"}
    session = sessions.run(source.replace("(next", "(1 + next"), "--repro-verify=records")
    assert session.verdicts == {"test_a": "within_tolerance"}
    assert session.test("test_a")["record"]["tier_reason"] == "the test's own runs differ within its tolerance"


def spoil_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def spoil_version(path: Path) -> None:
    forge(path, lambda document: document.update(version="2.0"))


def spoil_other_test(path: Path) -> None:
    forge(path, lambda document: document.update(test="test_it.py::test_else"))


def spoil_link(path: Path) -> None:
    target = path.with_name("moved")
    path.rename(target)
    path.symlink_to(target)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_truncate, "it is not JSON"),
        (spoil_version, "format version 2.0, this release reads 1.x"),
        (spoil_other_test, "is the record of another test, 'test_it.py::test_else'"),
        (spoil_link, "it must be a regular file"),
    ],
)
def test_a_record_that_cannot_be_trusted_is_an_error_with_its_reason(recorded: Sessions, spoil, reason: str) -> None:
    spoil(manifest(recorded, "test_other"))
    for option in ("--repro-verify=records", "--repro-record=records"):
        session = recorded.run(None, option)
        assert session.verdicts == {"test_fit": "identical", "test_other": "error"}
        assert reason in session.text
    updated = recorded.run(None, "--repro-record=records", "--repro-update", "--repro-reason=it was broken")
    assert updated.exitcode == 0
    assert recorded.run(None, "--repro-verify=records").outcomes == {"passed": 2}


def test_a_record_without_its_arrays_passes_equal_bits_and_is_inconclusive_about_others(recorded: Sessions) -> None:
    (payload,) = (recorded.folder / "records").glob("*.safetensors")
    payload.unlink()
    payload.with_name(f"{payload.name}.dvc").write_text("outs:\n")
    assert recorded.run(None, "--repro-verify=records").outcomes == {"passed": 2}
    factor(recorded, ONE_ULP)
    change_environment(recorded)
    session = recorded.run(None, "--repro-verify=records")
    assert session.verdicts["test_fit"] == "inconclusive"
    reason = session.test("test_fit")["reason"]
    assert "the results differ from the record (w)" in reason
    assert "dvc pull" in reason


def test_another_seed_gives_no_verdict(recorded: Sessions) -> None:
    session = recorded.run(None, "--repro-verify=records", "--repro-seed=5")
    assert set(session.verdicts.values()) == {"inconclusive"}
    assert "use the same seed" in session.text


def test_a_strict_xfail_expects_a_difference_from_the_record(recorded: Sessions) -> None:
    factor(recorded, "1.5")
    source = SOURCE.replace(
        "    @pytest.mark.reproducible(max_ulp=4)",
        "    @pytest.mark.xfail(strict=True)\n    @pytest.mark.reproducible(max_ulp=4)",
    )
    session = recorded.run(source, "--repro-verify=records")
    assert session.outcomes == {"xfailed": 1, "passed": 1}


def test_the_ini_file_makes_every_run_compare_from_any_directory(
    recorded: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    (recorded.folder / "sub").mkdir()
    monkeypatch.chdir(recorded.folder / "sub")
    session = recorded.run(None, str(recorded.folder), ini="repro_verify = records")
    assert {test["record"]["status"] for test in session.report["tests"]} == {"verified"}
    again = recorded.run(None, "--repro-record=new", str(recorded.folder))
    assert {test["record"]["status"] for test in again.report["tests"]} == {"recorded"}
    assert (recorded.folder / "sub" / "new").is_dir()
    updated = recorded.run(None, str(recorded.folder), "--repro-update", "--repro-reason=x")
    assert {test["record"]["status"] for test in updated.report["tests"]} == {"unchanged"}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--repro-record=a", "--repro-verify=a"], "exclude each other"),
        (["--repro-record=a", "--repro-update"], "give the reason with --repro-reason"),
        (["--repro-record=a", "--repro-reason=x"], "add --repro-update"),
        (["--repro-update", "--repro-reason=x"], "--repro-update needs the directory of the records"),
        (["--repro-record=a", "--repro-update", f"--repro-reason={'x' * 1001}"], "1,000 are enough"),
        (["--repro-verify=test_it.py"], "is not a directory"),
        (["--repro-record="], "need a directory"),
    ],
)
def test_options_that_contradict_each_other_are_rejected(
    sessions: Sessions, options: list[str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sessions.folder)
    session = sessions.run("def test_a(): pass", *options)
    assert session.exitcode == 4
    assert reason in str(session.run.stderr.str())


@pytest.mark.needs("hypothesis")
def test_the_summary_says_that_examples_of_given_have_no_record(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sessions.folder)
    source = """
        import pytest
        from hypothesis import given, settings, strategies as st

        @pytest.mark.reproducible
        @settings(max_examples=10)
        @given(st.integers())
        def test_a(repro, x): repro.capture("x", x)
    """
    for option in ("--repro-record=records", "--repro-verify=records"):
        session: Session = sessions.run(source, option, plugins=("hypothesis",))
        assert session.outcomes == {"passed": 1}
        assert session.test("test_a")["record"]["status"] == "none"
        # Never in silence.
        assert "the examples of @given are different ones each time" in session.text
        assert "(test_it.py::test_a)" in session.text
    assert not (sessions.folder / "records").exists()
    # A single run is compared with nothing.
    session = sessions.run(None, "--repro-verify=records", "--repro-runs=1", plugins=("hypothesis",))
    assert (session.exitcode, session.verdicts) == (1, {"test_a": "inconclusive"})


WITH_RESULTS = """
    import pytest
    from hypothesis import given, strategies as st

    @pytest.mark.reproducible
    def test_a(repro): repro.capture("x", 1)

    def test_b(): return 1
"""
WITHOUT_RESULTS = """
    import pytest
    from hypothesis import given, settings, strategies as st

    @pytest.mark.reproducible
    @settings(max_examples=10)
    @given(st.integers())
    def test_a(repro, x): repro.capture("x", x)

    def test_b(): pass
"""


@pytest.mark.needs("hypothesis")
def test_a_test_that_has_a_record_and_no_longer_any_results_does_not_pass(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sessions.folder)
    assert sessions.run(WITH_RESULTS, "--repro-record=records", "--repro-all", plugins=("hypothesis",)).exitcode == 0
    session = sessions.run(WITHOUT_RESULTS, "--repro-verify=records", "--repro-all", plugins=("hypothesis",))
    assert session.verdicts == {"test_a": "inconclusive", "test_b": "inconclusive"}
    assert session.exitcode == 1
    assert "there is a record of this test" in session.text


def test_an_update_shows_the_differences_before_it_writes(recorded: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    before = records(recorded)
    factor(recorded, "1.5")

    def fail(*arguments: object) -> None:
        raise RecordError("the disk is full")

    monkeypatch.setattr("pytest_repro.session.recording.write_record", fail)
    session = recorded.run(None, "--repro-record=records", "--repro-update", "--repro-reason=lr was raised")
    assert session.verdicts["test_fit"] == "error"
    assert records(recorded) == before
    lines = session.text.splitlines()
    (number,) = (n for n, line in enumerate(lines) if line.startswith("overwriting "))
    assert "(lr was raised); the new results differ from the recorded ones:" in lines[number]
    assert "20000/20000 100%" in "\n".join(lines[number : number + 6])


def test_a_full_or_forbidden_directory_fails_the_test_and_not_the_session(recorded: Sessions) -> None:
    shutil.rmtree(recorded.folder / "records")
    (recorded.folder / "records").mkdir()
    (recorded.folder / "records" / manifest_name(recorded)).mkdir()
    session = recorded.run(None, "--repro-record=records")
    assert session.verdicts == {"test_fit": "error", "test_other": "identical"}


def manifest_name(sessions: Sessions) -> str:
    sessions.run(None, "--repro-record=elsewhere")
    return manifest(sessions, "test_fit", "elsewhere").name


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("repro.data('train', 'nowhere.csv')", "no such file"),
        ("repro.data('train', 'test_it.py', sha256='0' * 64)", f"but {'0' * 64} is declared"),
        ("repro.config({'lr': object()})", "config.lr is a object"),
        ("repro.config('nowhere.json')", "cannot read it"),
    ],
)
def test_an_error_in_data_or_settings_is_shown_at_the_line_of_the_test(
    sessions: Sessions, call: str, message: str
) -> None:
    text = sessions.run(
        f"import pytest\n\n@pytest.mark.reproducible\ndef test_it(repro):\n    {call}\n    return 1\n"
    ).text
    assert message in text
    assert f">       {call}" in text or f">   {call}" in text
    assert not [line for line in text.splitlines() if line.startswith(">") and call not in line], text
