"""The section of one test: it has everything that is known of it, and nothing else."""

from __future__ import annotations

from typing import Any

from tests.unit.reporting.html.reading import Page, case, difference, document, render, run, series


def shown(**changed: Any) -> str:
    """Return the words of a page with one diverged test."""
    return " ".join(Page(render(document(case("t", "diverged", **changed)))).text.split())


def diagnosis(**changed: Any) -> dict[str, Any]:
    found = {"code": "hash.str_hashseed", "axis": "hash_seed", "confidence": "probed", "location": None}
    causes = [{**found, "evidence": "3 of 3 probes", "fix": "sort it"}]
    return {"causes": causes, "first_divergence": None, "ruled_out": [], "seconds": 0.0, "complete": False, **changed}


def test_a_cause_has_its_evidence_and_its_fix() -> None:
    text = shown(diagnosis=diagnosis(ruled_out=["cwd", "serial"]))
    for part in (
        "hash.str_hashseed",
        "3 of 3 probes",
        "sort it",
        "Ruled out, since they change nothing: cwd, task order",
    ):
        assert part in text
    assert "not complete" in text
    assert "The first value that differs" not in text


def test_how_a_cause_was_shown_is_in_words_and_an_unknown_word_is_kept() -> None:
    cause = {"code": "a.b", "axis": None, "location": None, "evidence": "e", "fix": "f"}
    found = {"first_divergence": None, "ruled_out": [], "seconds": 0, "complete": True}
    for word, said in (("seen", "a call on the way to the value"), ("guessed", "guessed")):
        test = case("t", "diverged", diagnosis={**found, "causes": [{**cause, "confidence": word}]})
        assert f"shown by{said}" in Page(render(document(test))).text


def test_every_section_of_a_test_is_named_by_its_heading() -> None:
    page = Page(render(document(case("t.py::one"), case("t.py::two"))))
    assert [a["aria-labelledby"] for a in page.all("article")] == [a["id"] for a in page.all("h3")]


def test_the_place_of_the_first_divergence_has_all_that_is_known_of_it() -> None:
    place = {
        "file": "train.py",
        "line": 41,
        "function": "fit",
        "name": "order",
        "step": 3,
        "module": None,
        "op": "aten::add",
    }
    text = shown(diagnosis=diagnosis(first_divergence=place, seconds=2.5, complete=True))
    assert "The first value that differs: train.py:41 in fit, name order, step 3, op aten::add" in text
    assert "The search took 2.5 s and is complete." in text
    assert "module" not in text


def test_an_unknown_part_is_absent() -> None:
    text = shown()
    assert "Why" not in text
    assert "Record" not in text
    assert "Divergence over steps" not in text


def test_the_engine_and_the_condition_of_each_run_are_in_it() -> None:
    runs = [run(1), run(2, condition={"threads": 3, "hash_seed": "1"})]
    text = shown(runs=runs, engine="fork")
    assert "2, in forked processes" in text
    assert "threads=3, hash_seed=1" in text


def test_a_failed_verification_lists_the_circumstances_in_their_order() -> None:
    circumstances = [
        {"part": "package that computes", "name": "numpy", "recorded": "2.3.0", "here": "2.4.0", "weight": 86,
         "changes_bits": True, "confirm": "--repro-across=python"},
        {"part": "other package", "name": "docs", "recorded": None, "here": "1", "weight": 8, "changes_bits": False,
         "confirm": None},
    ]  # fmt: skip
    record = {"status": "differs", "path": "records/t.json", "verdict": "diverged", "tier": "tolerance"}
    record |= {"tier_reason": "numpy differs", "differences": [{**difference(), "within": False}]}
    text = shown(record={**record, "circumstances": circumstances})
    assert text.index("2.3.0") < text.index("2.4.0") < text.index("other package")
    for part in ("records/t.json", "tolerance: numpy differs", "--repro-across=python", "differ from the record"):
        assert part in text


def test_steps_that_differ_in_bits_without_a_distance_are_not_called_identical() -> None:
    text = shown(steps=[series({3: 0.0, 4: 1e-3})])
    assert "Run 2 differs first at step 3, and at 2 of 10 steps captured." in text
    assert "in bits without a distance" in text
    assert "in bits without a distance" not in shown(steps=[series({4: 1e-3})])


def test_points_above_the_scale_and_steps_not_drawn_are_mentioned() -> None:
    given = series({3: 1e-3}, left_out=5)
    given["points"][3] |= {"norm_rel": None, "max_abs": None, "kind": "shape"}
    text = shown(steps=[given])
    assert "A point above the scale has no figure" in text
    assert "The last 5 steps are not drawn." in text


def test_a_tolerated_difference_is_marked_as_such() -> None:
    page = Page(render(document(case("t", "within_tolerance", largest_tolerated=difference()))))
    assert "The largest difference that a tolerance admitted" in page.text
    assert "values (allowed)" in page.text
