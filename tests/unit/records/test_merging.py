"""Collections compared: each cell by its rule, groups by their bits, and never a verdict that was not shown."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_repro.errors import RecordError, UsageError
from pytest_repro.model import Tolerance, TolerancePolicy
from pytest_repro.model.reported import Omission
from pytest_repro.records.collection import Uncollected
from pytest_repro.records.merging import MAX_OMISSIONS
from tests.unit.records.folders import Test, collect, environment, forge, kinds, merge

NAME = "t.py::test"
W = np.linspace(0, 1, 50)
CLOSE = W * (1 + 1e-9)
FAR = W + 0.5
LOOSE = TolerancePolicy.of(Tolerance(rtol=1e-6))
HASWELL = environment(blas="Haswell")


def two(tmp_path, one, other, there=None, **options):
    a = collect(tmp_path / "a", {NAME: one})
    b = collect(tmp_path / "b", {NAME: other}, there, **options)
    return merge(a, b)


def test_equal_results_are_identical_whatever_the_environment(tmp_path):
    merged = two(tmp_path, Test({"w": W}), Test({"w": W}), HASWELL)
    assert kinds(merged) == ["identical", "identical"]
    assert merged.is_same
    assert (merged.groups, merged.common, merged.splits) == ((("a", "b"),), 1, ())


def test_other_bits_in_an_environment_that_is_the_same_diverge_whatever_the_tolerance(tmp_path):
    merged = two(tmp_path, Test({"w": W}, policy=LOOSE), Test({"w": CLOSE}, policy=LOOSE))
    (test,) = merged.tests
    assert kinds(merged) == ["identical", "diverged"]
    assert (test.cells[1].tier, test.cells[1].differences[0].artifact) == ("bits", "w")
    assert not merged.is_same


@pytest.mark.parametrize(
    ("value", "policy", "kind"),
    [
        (CLOSE, LOOSE, "within_tolerance"),
        (FAR, LOOSE, "diverged"),
        (CLOSE, TolerancePolicy(), "diverged"),
        (W[:40], LOOSE, "diverged"),
        (W.astype(np.float32), LOOSE, "diverged"),
    ],
)
def test_in_another_environment_the_tolerance_of_the_test_decides(tmp_path, value, policy, kind):
    merged = two(tmp_path, Test({"w": W}, policy=policy), Test({"w": value}, policy=policy), HASWELL)
    assert kinds(merged) == ["identical", kind]
    cell = merged.tests[0].cells[1]
    assert (cell.tier, "BLAS or OpenMP" in cell.tier_reason) == ("tolerance", True)
    assert merged.is_same == (kind == "within_tolerance")


def test_the_marker_demands_bits_in_any_environment(tmp_path):
    tests = [Test({"w": value}, policy=LOOSE, tier="bits") for value in (W, CLOSE)]
    assert kinds(two(tmp_path, *tests, HASWELL)) == ["identical", "diverged"]


@pytest.mark.parametrize(
    ("other", "word"),
    [
        ({"seed": 8}, "another seed (8, not 7)"),
        ({"config": {"config": {"lr": 0.2}}}, "other hyperparameters"),
        ({"data": {"train": {"sha256": "2"}}}, "other data"),
        ({"condition": {"threads": 2}}, "other condition"),
        ({"policy": LOOSE}, "other tolerance"),
        ({"tier": "bits"}, "other tolerance"),
    ],
)
@pytest.mark.parametrize("value", [W, FAR])
def test_the_answer_to_another_question_is_never_identical(tmp_path, other, word, value):
    base = {"config": {"config": {"lr": 0.1}}, "data": {"train": {"sha256": "1"}}, "condition": {"threads": 1}}
    merged = two(tmp_path, Test({"w": W}, **base), Test({"w": value}, **{**base, **other}))
    assert kinds(merged) == ["identical", "not_comparable"]
    assert merged.tests[0].cells[1].reason == f"{word}, compared with a"
    assert (merged.is_same, merged.splits) == (False, ())
    assert len(merged.groups) == 2


@pytest.mark.parametrize("status", ["inconclusive", "failed", "skipped", "xfailed", "unstable", "no_values"])
def test_an_environment_without_a_result_is_never_identical(tmp_path, status):
    merged = two(tmp_path, Test({"w": W}), Test(status=status, reason="why", verdict="inconclusive"))
    assert kinds(merged) == ["identical", status]
    assert (merged.tests[0].cells[1].reason, merged.is_same) == ("why", False)
    assert [(each.results, each.without) for each in merged.environments] == [(1, 0), (0, 1)]


@pytest.mark.parametrize("status", ["skipped", "xfailed"])
def test_a_test_that_is_skipped_everywhere_is_told_and_is_no_difference(tmp_path, status):
    skipped = {NAME: Test({"w": W}), "t.py::gpu": Test(status=status, reason="no GPU")}
    merged = merge(*(collect(tmp_path / name, skipped) for name in "ab"))
    assert kinds(merged, "t.py::gpu") == [status, status]
    assert merged.is_same
    only = {"t.py::gpu": Test(status=status, reason="no GPU")}
    assert not merge(*(collect(tmp_path / "only" / name, only) for name in "ab")).is_same


def test_runs_that_differ_within_the_tolerance_are_not_called_identical(tmp_path):
    tests = [Test({"w": W}, policy=LOOSE), Test({"w": W}, policy=LOOSE, verdict="within_tolerance")]
    merged = two(tmp_path, *tests)
    assert kinds(merged) == ["identical", "within_tolerance"]
    assert "own runs differ" in merged.tests[0].cells[1].reason


def test_a_split_of_runs_that_differ_themselves_is_not_explained(tmp_path):
    tests = [Test({"w": W}, policy=LOOSE), Test({"w": CLOSE}, policy=LOOSE, verdict="within_tolerance")]
    merged = two(tmp_path, *tests, HASWELL)
    assert kinds(merged) == ["identical", "within_tolerance"]
    (split,) = merged.splits
    assert (split.explanations, "by chance" in split.unexplained) == ((), True)


@pytest.mark.parametrize("lacking", [0, 1])
def test_without_arrays_a_difference_is_told_and_not_measured(tmp_path, lacking):
    tests = [Test({"w": value}, keeps=number != lacking) for number, value in enumerate((W, CLOSE))]
    merged = two(tmp_path, *tests, HASWELL)
    assert kinds(merged) == ["identical", "not_measured"]
    assert merged.tests[0].cells[1].reason == f"differs, not measured: {'ab'[lacking]} kept no arrays"
    assert not merged.is_same
    assert len(merged.splits) == 1


def test_without_arrays_equal_digests_are_enough(tmp_path):
    assert kinds(two(tmp_path, *[Test({"w": W}, keeps=False)] * 2, HASWELL)) == ["identical", "identical"]


def test_arrays_that_were_not_uploaded_are_noted_and_leave_a_difference_unmeasured(tmp_path):
    tests = [Test({"w": value}, inline_bytes=0) for value in (W, CLOSE)]
    folders = [collect(tmp_path / name, {NAME: test}) for name, test in zip("ab", tests, strict=True)]
    next(folders[1].glob("*.safetensors")).unlink()
    merged = merge(*folders)
    assert kinds(merged) == ["identical", "not_measured"]
    assert "b: the arrays of 1 test are not in the folder" in merged.notes


@pytest.mark.parametrize("order", ["abcd", "abdc", "bacd", "dcba"])
def test_arrays_of_any_environment_with_the_same_result_measure_a_difference(tmp_path, order):
    results = {"a": (W, False), "b": (W, True), "c": (CLOSE, False), "d": (CLOSE, True)}
    folders = {
        name: collect(
            tmp_path / name, {NAME: Test({"w": value}, keeps=keeps, policy=LOOSE)}, HASWELL if value is CLOSE else None
        )
        for name, (value, keeps) in results.items()
    }
    merged = merge(*(folders[name] for name in order), baseline="a")
    found = dict(zip(order, kinds(merged), strict=True))
    assert found == {"a": "identical", "b": "identical", "c": "within_tolerance", "d": "within_tolerance"}


def test_each_environment_without_arrays_is_named_by_its_own_label(tmp_path):
    results = {"a": Test({"w": W}), "b": Test({"w": CLOSE}, keeps=False), "c": Test({"w": CLOSE}, keeps=False)}
    folders = [collect(tmp_path / name, {NAME: test}) for name, test in results.items()]
    cells = merge(*folders, baseline="a").tests[0].cells
    assert [cell.reason for cell in cells[1:]] == [f"differs, not measured: {label} kept no arrays" for label in "bc"]


def test_an_artifact_that_one_side_lacks_diverges_in_any_tolerance(tmp_path):
    merged = two(tmp_path, Test({"w": W, "b": 1.0}, policy=LOOSE), Test({"w": W}, policy=LOOSE), HASWELL)
    assert kinds(merged) == ["identical", "diverged"]
    assert [(d.artifact, d.kind) for d in merged.tests[0].cells[1].differences] == [("b", "missing")]


def test_what_was_not_compared_is_listed(tmp_path):
    left = Omission("model.lock", "lock", "holds no result")
    merged = two(tmp_path, Test({"w": W}), Test({"w": W}, not_compared=[left]))
    assert merged.tests[0].not_compared == (left,)


def test_what_was_not_compared_beyond_a_bound_is_counted(tmp_path):
    left = [Omission(f"model.lock{n}", "lock", "holds no result") for n in range(MAX_OMISSIONS + 3)]
    merged = two(tmp_path, Test({"w": W}), Test({"w": W}, not_compared=left, not_compared_left_out=5))
    (test,) = merged.tests
    assert (len(test.not_compared), test.not_compared_left_out) == (MAX_OMISSIONS, 3 + 5)


def test_a_tolerance_whose_glob_matches_nothing_is_not_a_pass(tmp_path):
    policy = TolerancePolicy.of({"wieghts/*": Tolerance(rtol=1.0)})
    merged = two(tmp_path, Test({"w": W}, policy=policy), Test({"w": CLOSE}, policy=policy), HASWELL)
    assert kinds(merged) == ["identical", "not_measured"]
    assert "matches no artifact" in merged.tests[0].cells[1].reason


def test_a_tolerance_by_a_reference_is_not_judged(tmp_path):
    policy = TolerancePolicy.of(Tolerance.auto(reference=[1.0]))
    merged = two(tmp_path, Test({"w": W}, policy=policy), Test({"w": CLOSE}, policy=policy), HASWELL)
    assert kinds(merged) == ["identical", "not_measured"]
    assert "which no record holds" in merged.tests[0].cells[1].reason


def test_missing_tests_are_told_apart_by_their_reason(tmp_path):
    names = ["t.py::ran", "t.py::left", "t.py::late", "u.py::broken", "v/w.py::skipped[1]", "x.py::gone"]
    a = collect(tmp_path / "a", {name: Test({"w": W}) for name in names})
    b = collect(
        tmp_path / "b",
        {"t.py::ran": Test({"w": W})},
        selected=["t.py::ran", "t.py::late"],
        deselected=["t.py::left"],
        uncollected=[Uncollected("u.py", "failed", "No module named 'torch'"), Uncollected("v", "skipped", "no GPU")],
    )
    merged = merge(a, b)
    found = {test.nodeid: (test.cells[1].kind, test.cells[1].reason) for test in merged.tests}
    assert found == {
        "t.py::ran": ("identical", ""),
        "t.py::left": ("deselected", "deselected there (by -m, -k or --deselect)"),
        "t.py::late": ("not_run", "the session ended before it"),
        "u.py::broken": ("not_collected", "u.py could not be collected: No module named 'torch'"),
        "v/w.py::skipped[1]": ("not_collected", "v was skipped as a whole: no GPU"),
        "x.py::gone": ("missing", "no such reproducible test there"),
    }
    assert not merged.is_same


def test_a_test_that_no_session_came_to_is_not_run_everywhere(tmp_path):
    tests = {NAME: Test({"w": W})}
    folders = [collect(tmp_path / name, tests, selected=["t.py::late", NAME]) for name in "ab"]
    assert kinds(merge(*folders), "t.py::late") == ["not_run", "not_run"]


def test_a_test_that_all_deselect_is_no_row(tmp_path):
    folders = [collect(tmp_path / name, {NAME: Test({"w": W})}, deselected=["t.py::slow"]) for name in "ab"]
    assert [test.nodeid for test in merge(*folders).tests] == [NAME]


def test_an_unfinished_folder_is_never_the_same(tmp_path):
    merged = two(tmp_path, Test({"w": W}), Test({"w": W}), is_finished=False)
    assert kinds(merged) == ["identical", "identical"]
    assert not merged.is_same
    assert any(note.startswith("b is unfinished") for note in merged.notes)


def test_the_baseline_is_the_first_of_the_largest_group_unless_it_is_given(tmp_path):
    values = {"a": FAR, "b": W, "c": W, "d": CLOSE}
    folders = [collect(tmp_path / name, {NAME: Test({"w": value}, policy=LOOSE)}) for name, value in values.items()]
    merged = merge(*folders)
    assert (merged.baseline, merged.baseline_reason) == ("b", "the first of the largest group (2 of 4 environments)")
    assert merged.groups == (("b", "c"), ("a",), ("d",))
    assert kinds(merged) == ["diverged", "identical", "identical", "diverged"]
    assert merge(*folders, baseline="d").baseline_reason == "as given by --baseline"
    assert kinds(merge(*folders, baseline="a")) == ["identical", "diverged", "diverged", "diverged"]
    with pytest.raises(UsageError, match="'z' is none of the environments: a, b, c, d"):
        merge(*folders, baseline="z")


def test_a_test_without_a_result_in_the_baseline_is_compared_with_its_own_largest_group(tmp_path):
    skipped = Test(status="skipped", reason="no GPU")
    values = {"a": skipped, "b": Test({"w": FAR}), "c": Test({"w": W}), "d": Test({"w": W})}
    common = {"t.py::other": Test(1.0)}
    merged = merge(*(collect(tmp_path / name, {NAME: test, **common}) for name, test in values.items()))
    assert merged.baseline == "a"
    assert merged.tests[0].baseline == "c"
    assert kinds(merged) == ["skipped", "diverged", "identical", "identical"]


def test_a_tolerance_joins_no_groups(tmp_path):
    steps = [W + step * 0.4e-6 for step in range(3)]
    policy = TolerancePolicy.of(Tolerance(atol=0.5e-6))
    libcs = [environment(libc=f"glibc 2.{number}") for number in range(3)]
    folders = [
        collect(tmp_path / name, {NAME: Test({"w": value}, policy=policy)}, there)
        for name, value, there in zip("abc", steps, libcs, strict=True)
    ]
    # a is close to b, and b to c, while a and c are too far apart: what is close depends on the baseline.
    assert kinds(merge(*folders, baseline="b")) == ["within_tolerance", "identical", "within_tolerance"]
    merged = merge(*folders, baseline="a")
    assert kinds(merged) == ["identical", "within_tolerance", "diverged"]
    assert len(merged.groups) == 3


def test_tests_with_one_split_are_told_once_with_what_explains_it(tmp_path):
    names = [f"t.py::test_{n}" for n in range(5)]
    there = {"a": environment(), "b": environment(), "c": HASWELL}
    folders = []
    for label, given in there.items():
        values = [FAR if label == "c" and n < 3 else W for n in range(5)]
        tests = {name: Test({"w": value}) for name, value in zip(names, values, strict=True)}
        folders.append(collect(tmp_path / label, tests, given))
    merged = merge(*folders)
    (split,) = merged.splits
    assert (split.groups, split.tests) == ((("a", "b"), ("c",)), tuple(names[:3]))
    ((fact,),) = [each.facts for each in split.explanations]
    assert (fact.part, fact.values, fact.changes_bits) == (
        "BLAS or OpenMP",
        (("openblas SkylakeX",), ("openblas Haswell",)),
        True,
    )
    assert split.commands == ("pytest t.py::test_0 --repro-across=isa",)


def test_environments_that_are_recorded_alike_and_differ_are_not_explained(tmp_path):
    merged = two(tmp_path, Test({"w": W}), Test({"w": FAR}))
    (split,) = merged.splits
    assert split.explanations == ()
    assert "No recorded difference explains it. a and b are recorded alike and have other results." in split.unexplained
    assert "Not compared: the hash seed" in split.unexplained
    assert "a, b are one environment by all that can change bits and is recorded: they are repeats" in merged.notes


BAD = {
    "one label": (lambda d: d.update(label="a"), r"a and \S*b have one label, 'a'"),
    "a version": (lambda d: d.update(plugin="9.9"), r"several versions of pytest-repro: 0.1.0 \(a\); 9.9 \(b\)"),
    "a commit": (
        lambda d: d["code"].update(commit="d" * 40, tree="e" * 40),
        r"of different code: commit cccccccccc \(a\); commit dddddddddd \(b\)",
    ),
    "a change": (
        lambda d: d["code"].update(diff="sha256:1", changed=["m.py"], changed_count=1),
        r"commit cccccccccc \(a\); commit cccccccccc with changes in m.py \(b\)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_folders_that_do_not_belong_together_are_refused_by_name(tmp_path, case):
    change, message = BAD[case]
    a, b = (collect(tmp_path / name, {NAME: Test(status="skipped", reason="x")}) for name in "ab")
    merge(a, b)
    forge(b, change)
    with pytest.raises(RecordError, match=message):
        merge(a, b)


def test_all_reasons_against_a_merge_are_told_at_once(tmp_path):
    a, b = (collect(tmp_path / name, {NAME: Test(status="skipped", reason="x")}) for name in "ab")
    forge(b, lambda d: (BAD["a version"][0](d), BAD["a commit"][0](d)))
    with pytest.raises(RecordError, match=r"(?s)several versions.*different code"):
        merge(a, b)


def test_two_commits_with_the_same_files_are_one_code(tmp_path):
    a, b = (collect(tmp_path / name, {NAME: Test(status="skipped", reason="x")}) for name in "ab")
    forge(b, lambda d: d["code"].update(commit="d" * 40))
    merge(a, b)


def test_unknown_code_is_noted(tmp_path):
    a, b = (collect(tmp_path / name, {NAME: Test(status="skipped", reason="x")}) for name in "ab")
    forge(b, lambda d: d.update(code={"unavailable": "not in a git repository"}))
    assert any("code is unknown for b (not in a git repository)" in note for note in merge(a, b).notes)


def test_a_single_folder_is_not_merged(tmp_path):
    with pytest.raises(RecordError, match="at least two"):
        merge(collect(tmp_path / "a", {NAME: Test(1.0)}))
