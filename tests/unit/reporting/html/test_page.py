"""The page as a whole: well formed, in order, closed to the network, escaped, bounded, with correct statements."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from pathlib import Path

import pytest

import pytest_repro.reporting.html.page as page_module
from pytest_repro.errors import StoreError
from pytest_repro.records.audit import Audit
from pytest_repro.records.evidence import Context
from tests.unit.reporting.html.reading import Page, case, difference, document, full_case, render, run

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)><!--]]>&lt;\u202e\x00\ud800\x1b[31m</table></style>"
TAGS = frozenset(
    re.findall(
        r"\w+",
        "html head meta title link style body a header nav main section article details summary figure figcaption "
        "h1 h2 h3 h4 p ul ol li dl dt dd div span strong bdi code table caption thead tbody tr th td "
        "svg desc line rect circle path polyline text script",
    )
)
FACTS = {
    "environment": {
        "python": {"version": "3.11.2"},
        "packages": {"numpy": {"version": "2.4.0", "record": "sha256:ab", "numerical": True}, "six": {"version": "1"}},
        "accelerators": {"unavailable": "no torch"},
    },
    "code": {"commit": "abc123"},
}


def every_case() -> list[dict[str, object]]:
    """Return a test of each verdict."""
    return [
        case("t.py::same"),
        case("t.py::close", "within_tolerance", largest_tolerated=difference(max_ulp=3)),
        full_case("t.py::differs"),
        case("t.py::nothing", "inconclusive", reason="nothing was compared"),
        case("t.py::broke", "error", runs=[run(1, outcome="failed", digest=None)]),
    ]


@pytest.fixture
def page() -> Page:
    return Page(render({**document(*every_case()), **FACTS}, Context({"host": "h"}, "bundle")))  # type: ignore[arg-type]


def test_headings_descend_by_one_and_there_is_one_first(page: Page) -> None:
    levels = page.headings
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_ids_are_unique_and_every_reference_has_its_target(page: Page) -> None:
    ids = page.ids
    assert len(set(ids)) == len(ids) > 20
    references = [str(a["href"]).removeprefix("#") for a in page.all("a")]
    for _, attributes, _ in page.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            references += str(attributes.get(name) or "").split()
    assert set(references) <= set(ids)


def test_the_navigation_leads_to_every_section_in_order(page: Page) -> None:
    assertion = {"test": "t.py::same", "assertion": "assert_close", "verdict": "diverged", "message": "", "count": 1}
    audited = document(case("t.py::same")) | {"assertions": [assertion]}
    for each in (page, Page(render(audited, Context(audit=Audit(3)))), Page(render(document()))):
        assert each.linked == [attributes["id"] for attributes in each.all("section")]
    assert "assertions" in Page(render(audited)).linked


def test_every_table_has_a_caption_and_headings_with_a_scope(page: Page) -> None:
    assert len(page.all("table")) == len(page.all("caption")) > 8
    assert {attributes.get("scope") for attributes in page.all("th")} == {"col", "row"}
    around = {tags[-1] for tag, _, tags in page.elements if tag == "table"}
    assert around == {"div"}
    regions = [attributes for attributes in page.all("div") if attributes.get("class") == "scroll"]
    assert all(region["tabindex"] == "0" and region["role"] == "group" for region in regions)


def test_every_figure_has_a_name_a_description_and_a_table(page: Page) -> None:
    drawings = page.all("svg")
    assert len(drawings) == 5
    for drawing in drawings:
        assert drawing["role"] == "img"
        assert {str(drawing["aria-labelledby"]), str(drawing["aria-describedby"])} <= set(page.ids)
        assert str(drawing["aria-labelledby"]).replace("-title", "-table") in page.ids


def test_there_are_landmarks_and_a_language(page: Page) -> None:
    assert page.all("html") == [{"lang": "en"}]
    assert [len(page.all(tag)) for tag in ("header", "nav", "main")] == [1, 1, 1]
    sections = [a.get("aria-labelledby") for a in page.all("section")]
    assert None not in sections
    names = [text for _, text in page.texts if text.startswith(("Why", "Record"))]
    assert len(sections) < 8 <= len(sections) + len(names), "equal landmarks cannot be distinguished"


def test_the_policy_admits_this_style_and_this_script_and_nothing_from_elsewhere() -> None:
    text = render(document(case()))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src &#x27;none&#x27;")
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src &#x27;sha256-{digest}&#x27;" in policy
    assert text.index("Content-Security-Policy") < text.index("<style>")
    assert not re.findall(r"(?:https?:)?//[a-z]", re.sub(r"(?s)<script>.*?</script>", "", text))
    assert not re.findall(r"@import|url\(", text)


def test_no_element_has_a_style_or_a_handler_of_its_own(page: Page) -> None:
    names = {name for _, attributes, _ in page.elements for name in attributes}
    assert "style" not in names
    assert not [name for name in names if name.startswith("on")]


def test_hostile_text_everywhere_stays_text() -> None:
    context = Context({HOSTILE: HOSTILE, "command": HOSTILE}, HOSTILE, limitations=(HOSTILE,))
    tests = document(full_case(HOSTILE), case(HOSTILE, "error", reason=HOSTILE))
    text = render({**tests, **facts_of(HOSTILE)}, context)
    page = Page(text)
    assert {tag for tag, _, _ in page.elements} <= TAGS
    assert len(page.all("script")) == 1
    assert not page.all("img")
    plain = Page(
        render(
            {**document(full_case("x"), case("x", "error", reason="x")), **facts_of("x")},
            Context({"x": "x", "command": "x"}, "x", limitations=("x",)),
        )
    )
    assert {name for _, attributes, _ in page.elements for name in attributes} == {
        name for _, attributes, _ in plain.elements for name in attributes
    }
    assert [tag for tag, _, _ in page.elements] == [tag for tag, _, _ in plain.elements]
    text.encode("utf-8")
    assert not re.findall("[\x00-\x08\x0b-\x1f\x7f\u202e\ud800-\udfff]", text)
    assert "<script>alert(1)</script><img src=x" in page.text
    assert r"\u202e\x00\ud800\x1b[31m" in page.text


def facts_of(text: str) -> dict[str, object]:
    """Return an environment and a state of the code with `text` wherever a machine or a file may bring text."""
    packages = {text: {"version": text, "record": text, "numerical": True}, "b": text}
    environment = {text: text, "packages": packages, "cpu": {text: [text]}, "container": {"unavailable": text}}
    return {"environment": environment, "code": {"commit": text, "changed": [text]}}


def test_a_report_without_an_environment_says_so() -> None:
    unknown = "the JSON report that this page was made from does not have it"
    assert unknown in Page(render(document(case()))).text
    assert unknown not in Page(render({**document(case()), **FACTS})).text


@pytest.mark.parametrize("name", ["environment", "code"])
@pytest.mark.parametrize("value", ["text", [1], 3, True], ids=str)
def test_an_environment_that_is_not_an_object_is_rejected_by_name(name: str, value: object) -> None:
    with pytest.raises(StoreError, match=f"^{name} must be an object, got"):
        render({**document(case()), **FACTS, name: value})


def test_an_environment_of_any_form_is_shown_within_bounds() -> None:
    odd = {
        "packages": {f"p{n}": {"numerical": True, "version": n} for n in range(999)},
        "cpu": [1, None],
        "python": 3.5,
    }
    many = {f"collector {n}": "x" * 10**5 for n in range(999)}
    text = render({**document(case()), "environment": {**odd, **many}, "code": {}})
    assert len(text) < 200_000
    assert "799 more packages are not shown here" in Page(text).text


def test_every_test_is_listed_failing_ones_first(page: Page) -> None:
    names = [text for tag, text in page.texts if tag == "bdi" and re.fullmatch(r"t\.py::\w+", text)]
    of_sections = [attributes["id"] for attributes in page.all("article")]
    assert list(dict.fromkeys(names)) == ["t.py::differs", "t.py::broke", "t.py::nothing", "t.py::close", "t.py::same"]
    assert of_sections == ["t1", "t2", "t3", "t4", "t5"]
    assert [a["data-verdict"] for a in page.all("tr") if "data-verdict" in a] == [
        "diverged",
        "error",
        "inconclusive",
        "within_tolerance",
        "identical",
    ]


def test_every_figure_of_a_difference_is_shown(page: Page) -> None:
    for figure in ("5,000", "0.00125", "0.025", "0.0035", "90 of 100", "(4, 25)", "(0, 1)"):
        assert figure in page.text
    text = Page(render(document(case("t", "diverged", divergences=[{"run": 2, **difference()}])))).text
    for figure in ("float32", "0.50125", "max_ulp=4", "max_ulp=5000 (or atol=0.0013)"):
        assert figure in text


def test_the_claims_and_the_limits_of_the_report_are_on_it(page: Page) -> None:
    claim = "2 matching runs are weak evidence: a fault that shows in up to 95 % of runs could still be missed"
    assert claim in " ".join(page.text.split())
    assert "What this report cannot show" in page.text
    assert "not that the runs took place" in page.text
    assert "pytest-repro verify bundle --key public.pem" in page.text
    assert "python" in page.text
    assert "unknown (no torch)" in page.text
    assert "1 more packages are not shown here; record.json has them." in page.text


def test_one_run_that_was_compared_with_a_record_claims_nothing_about_repeats() -> None:
    assert "could still be missed" not in render(document(case(runs=[run(1)])))


def test_the_findings_of_an_audit_are_listed() -> None:
    audit = Audit(3, unaudited={"a<b>": "absent from the report", "own": "absent from the report"})
    page = render(document(case("t.py::same")), Context(audit=audit))
    assert "PARTIAL: 1 of 3 packages audited, 0 with advisories" in page
    assert "not audited: absent from the report: a&lt;b&gt;, own" in page
    assert 'href="#audit"' in page
    audit.found = {"six 1": [f"CVE-{number}" for number in range(600)]}
    page = render(document(case("t.py::same")), Context(audit=audit))
    assert "more lines are not shown here; evidence.json has them." in page
    assert "Audit of the installed packages" not in render(document(case("t.py::same")))


def test_no_test_at_all_is_not_called_a_success() -> None:
    page = Page(render(document()))
    assert "shows nothing" in page.text
    assert "identical" not in page.text.lower()


def test_tests_beyond_the_limits_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "MAX_TESTS", 3)
    monkeypatch.setattr(page_module, "MAX_SECTIONS", 2)
    tests = [case(f"t.py::n{n}", matrix={"cwd": "identical"}) for n in range(5)]
    text = Page(render(document(*tests))).text
    assert "2 more tests (2 identical) are not shown here; the JSON report has them." in text
    assert "3 more tests have no section and are not shown here" in text
    assert "2 more tests are not shown here" in text
    assert "5 reproducible tests:" in text


def test_a_test_with_thousands_of_artifacts_and_runs_is_cut_and_the_rest_counted() -> None:
    many = [{"run": 2, **difference(artifact=f"a/{n}")} for n in range(3000)]
    runs = [run(n) for n in range(1, 1001)]
    one = case("t", "diverged", divergences=many, divergences_left_out=9, runs=runs, notes=["note"] * 30)
    text = render(document(one))
    assert len(text) < 400_000
    shown = Page(text).text
    assert "2,900 more artifacts of its runs are not shown here" in shown
    assert "9 more are not in the JSON report either" in shown
    assert "950 more runs are not shown here" in shown
    assert "10 more notes are not shown here" in shown
    assert "histograms are not shown here" in shown


def test_thousands_of_failing_tests_share_the_page() -> None:
    many = [{"run": 2, **difference(artifact=f"a/{n}")} for n in range(20)]
    text = render(document(*(case(f"t.py::n{n}", "diverged", divergences=many) for n in range(450))))
    assert len(text) < 8_000_000
    assert "5 more artifacts of its runs are not shown here" in text
    assert "50 more tests have no section" in Page(text).text


def test_a_very_long_name_is_cut_and_its_length_added() -> None:
    text = render(document(case("t.py::" + "x" * 1_000_000)))
    assert len(text) < 60_000
    assert "1,000,006 characters in all" in text


def test_endless_nesting_does_not_exhaust_the_stack() -> None:
    deep: object = "x"
    for _ in range(900):
        deep = [deep]
    assert "..." in Page(render(document(case(runs=[run(1), run(2, condition={"a": deep})])))).text


def test_a_document_of_another_form_is_rejected() -> None:
    with pytest.raises(StoreError):
        render({"schema_version": 1, "tests": [3]})


def test_colours_reach_the_contrast_that_text_needs() -> None:
    style = (Path(page_module.__file__).parent / "report.css").read_text(encoding="utf-8")
    schemes = [
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    ]
    assert len(schemes) == 2
    for scheme in schemes:
        pairs = [(front, back) for front in ("text", "quiet", "link") for back in ("page", "panel")]
        pairs += [(name, f"{name}-back") for name in ("bad", "doubt", "near", "good")]
        for front, back in pairs:
            assert contrast(scheme[front], scheme[back]) >= 4.5, (front, back)
        for line in ("bar", "c0", "c1", "c2", "c3"):
            assert contrast(scheme[line], scheme["page"]) >= 3, line


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as WCAG 2 defines it."""
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
