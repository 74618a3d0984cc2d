"""Strict reading of a page as a browser would, and documents to make pages of."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from pytest_repro.model.reported import ReportedTest, decode_session
from pytest_repro.records.evidence import Context
from pytest_repro.reporting.html import render_report

VOID = frozenset({"meta", "link", "br"})
#: In the order of the document, as a screen reader lists them.
HEADINGS = ("h1", "h2", "h3", "h4")


class Page(HTMLParser):
    """A parsed page, whose tags must nest.

    Attributes
    ----------
    elements : list of (tag, attributes, tags around it)
    texts : list of (tag, text)
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), (tag, attrs)
        self.elements.append((tag, dict(attrs), tuple(self._open)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), tuple(self._open)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open[-1] if self._open else "", data))

    @property
    def text(self) -> str:
        """All visible text, without script and style."""
        return "".join(text for tag, text in self.texts if tag not in ("script", "style"))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of every element of a kind."""
        return [attributes for name, attributes, _ in self.elements if name == tag]

    @property
    def ids(self) -> list[str]:
        """Every id, in order."""
        return [str(attributes["id"]) for _, attributes, _ in self.elements if "id" in attributes]

    @property
    def linked(self) -> list[str]:
        """The ids to which the navigation leads, in order."""
        return [str(a["href"]).removeprefix("#") for tag, a, around in self.elements if tag == "a" and "nav" in around]

    @property
    def headings(self) -> list[int]:
        """The levels of the headings, in order."""
        return [HEADINGS.index(tag) + 1 for tag, _, _ in self.elements if tag in HEADINGS]


def difference(**changed: Any) -> dict[str, Any]:
    """Return the figures of one artifact, as the JSON report has them."""
    return {
        "artifact": "weights/fc.weight",
        "kind": "values",
        "dtype": "float32",
        "shape": [4, 25],
        "elements": 100,
        "differing": 90,
        "over": 90,
        "max_ulp": 5000,
        "max_abs": 1.25e-3,
        "max_rel": 2.5e-2,
        "norm_rel": 3.5e-3,
        "first_index": [0, 1],
        "expected": "0.5",
        "actual": "0.50125",
        "allowed": "max_ulp=4",
        "minimum": "max_ulp=5000 (or atol=0.0013)",
        "ulp_histogram": [0, 1, 0, 9, 80],
        **changed,
    }


def run(index: int = 1, **changed: Any) -> dict[str, Any]:
    """Return a run."""
    found = {"index": index, "condition": {}, "outcome": "passed", "duration_s": 0.25, "digest": f"sha256:{index:064x}"}
    return {**found, "reason": "", "settings": {"numpy.errstate": {"over": "warn"}}, **changed}


def case(nodeid: str = "tests/test_a.py::test_it", verdict: str = "identical", **changed: Any) -> dict[str, Any]:
    """Return one test's result."""
    return {
        "nodeid": nodeid,
        "verdict": verdict,
        "seed": 42,
        "engine": "in_process",
        "runs": [run(1), run(2)],
        "divergences": [],
        "divergences_left_out": 0,
        "largest_tolerated": None,
        "compared": {"artifacts": 3, "elements": 300},
        "matrix": {},
        "record": None,
        "reason": "",
        "notes": [],
        "repeat_command": f"pytest {nodeid} --repro-seed=0",
        "diagnosis": None,
        "steps": [],
        **changed,
    }


def series(differing: dict[int, float], captured: int = 10, **changed: Any) -> dict[str, Any]:
    """Return one value over steps, which differs at some."""
    points = [
        {"step": n, "kind": "values" if n in differing else "identical", "max_ulp": 1 if n in differing else 0,
         "max_abs": differing.get(n, 0.0), "norm_rel": differing.get(n, 0.0), "within": n not in differing}
        for n in range(captured)
    ]  # fmt: skip
    found = {"run": 2, "name": "loss", "captured": captured, "differing": len(differing)}
    return {**found, "first_differing": min(differing), "points": points, "left_out": 0, **changed}


def full_case(text: str = "plain") -> dict[str, Any]:
    """Return a failing test with every part, and `text` wherever a user or a file may bring text."""
    return case(
        text,
        "diverged",
        runs=[
            run(1, settings={text: {text: [text, None]}}),
            run(2, condition={text: text}, reason=text, outcome=text, digest=text),
        ],
        divergences=[{"run": 2, "axis": text, "axes": [text], **difference(**_texts(text))}],
        divergences_left_out=7,
        largest_tolerated=difference(**_texts(text)),
        matrix={text: "diverged", "cwd": "not_varied"},
        reason=f"{text}\n{text}",
        notes=[text],
        repeat_command=text,
        engine=text,
        steps=[series({3: 1e-6, 4: 1e-5}, name=text)],
        diagnosis={
            "causes": [
                {"code": text, "axis": text, "confidence": text, "evidence": text, "fix": text,
                 "location": {"file": text, "line": 41}}
            ],
            "first_divergence": {
                **dict.fromkeys(("file", "function", "name", "module", "op"), text), "line": 41, "step": 3
            },
            "ruled_out": [text],
            "seconds": 1.5,
            "complete": True,
        },
        record={
            "status": text,
            "path": text,
            "reason": text,
            "replaced": text,
            "verdict": "diverged",
            "tier": text,
            "tier_reason": text,
            "differences": [{**difference(**_texts(text)), "within": False}],
            "circumstances": [
                {"part": text, "name": text, "recorded": {text: [text]}, "here": {"unavailable": text}, "weight": 86,
                 "changes_bits": True, "confirm": text}
            ],
        },
    )  # fmt: skip


def _texts(text: str) -> dict[str, str]:
    return dict.fromkeys(("artifact", "dtype", "expected", "actual", "allowed", "minimum"), text)


def document(*tests: dict[str, Any]) -> dict[str, Any]:
    """Return the document that holds these results."""
    return {"schema_version": 1, "tests": [*tests]}


def read(*tests: dict[str, Any]) -> tuple[ReportedTest, ...]:
    """Return the results that such a document holds."""
    return decode_session(document(*tests)).tests


def render(found: dict[str, Any], context: Context | None = None) -> str:
    """Return the page of a document."""
    return render_report(decode_session(found), context)
