"""README and documentation say what is so: outputs as printed today, decisions in five parts, a schema that fits."""

from __future__ import annotations

import ast
import inspect
import json
import re
from pathlib import Path

import pytest

from pytest_repro.engines.current import Repro
from tools import outputs, picture

ROOT = Path(__file__).parents[2]
DECISIONS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("docs/outputs/*.*")])


def skeleton(text: str) -> list[str]:
    """Reduce an output to its words: figures, times, rulers and spacing go."""
    text = re.sub(r"[-+]?\d[\d.,]*(e[-+]?\d+)?%?", "#", text)
    return [line for line in (" ".join(re.sub(r"[=_-]{3,}", " ", line).split()) for line in text.splitlines()) if line]


@pytest.mark.parametrize("name", sorted(outputs.SHOWN))
def test_the_output_that_is_shown_is_what_the_plugin_prints(name, tmp_path):
    shown = (ROOT / "docs" / "outputs" / f"{name}.txt").read_text(encoding="utf-8")
    assert skeleton(shown) == skeleton(outputs.without_colours(outputs.run(name, tmp_path))), (
        "run python tools/outputs.py"
    )


def test_the_skeleton_keeps_words_and_drops_figures():
    assert skeleton("run 2 of 3\n=====\n  w  1.5e-03 9,999") == ["run # of #", "w # #"]
    assert skeleton("identical") != skeleton("diverged")


def test_readme_shows_the_code_that_is_kept_beside_the_tutorial_and_a_picture_of_its_output():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert (outputs.CODE / "test_train.py").read_text(encoding="utf-8").strip() in text
    (shown,) = re.findall(r"<picture>.*?</picture>", text, re.DOTALL)
    assert "prefers-color-scheme: dark" in shown
    paths = re.findall(r'src(?:set)?="([^"]+)"', shown)
    assert paths == [f"docs/outputs/first-test-{theme}.svg" for theme in ("dark", "light")]
    assert [path for path in paths if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("theme", sorted(picture.THEMES))
def test_the_picture_of_an_output_has_its_text(theme):
    svg = (picture.OUTPUTS / f"{picture.NAME}-{theme}.svg").read_text(encoding="utf-8")
    stored = (picture.OUTPUTS / f"{picture.NAME}.txt").read_text(encoding="utf-8")
    assert outputs.without_colours(picture.read_output()) == stored
    assert " ".join(picture.read_text(svg)).split() == stored.split()  # a long line goes on in the next
    assert "http" not in svg.replace("http://www.w3.org/", "").replace("https://www.textualize.io", "")


@pytest.mark.parametrize("theme", sorted(picture.THEMES))
def test_the_picture_is_what_the_tool_draws(theme):
    pytest.importorskip("rich")
    stored = (picture.OUTPUTS / f"{picture.NAME}-{theme}.svg").read_text(encoding="utf-8")
    assert picture.draw(picture.read_output(), theme) == stored, "run python tools/picture.py"


@pytest.mark.parametrize("command", ["python3 -m pip install tox && tox -e demo", "python3 -m pip install tox && tox"])
def test_readme_gives_the_two_commands(command):
    assert f"```console\n{command}\n```" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_environment_that_contributing_names_exists():
    named = re.findall(r"tox -e ([\w,-]+)", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    assert [e for group in named for e in group.split(",") if f"[testenv:{e}]" not in tox] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)).replace("/", "-"))
def test_no_page_holds_a_path_of_some_machine(path):
    assert re.findall(r"(?<![\w.])/(?:tmp|root|home|work|Users|private)\b\S*", path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", DECISIONS, ids=lambda p: p.stem)
def test_a_decision_has_its_five_parts(path):
    text = path.read_text(encoding="utf-8")
    parts = [heading.lower() for heading in re.findall(r"^## (\w+)", text, re.MULTILINE)]
    assert [part.replace("confirmed", "confirmation") for part in parts] == [
        "context",
        "options",
        "outcome",
        "consequences",
        "confirmation",
    ]
    assert text.startswith(f"# {path.name[:4]}: ")
    assert re.search(r"^Status: (accepted|superseded by \d{4})$", text, re.MULTILINE)


def test_no_two_decisions_have_one_number():
    numbers = [path.name[:4] for path in DECISIONS]
    assert len(numbers) >= 5
    assert len(set(numbers)) == len(numbers)


def test_the_tutorial_ends_with_the_output_of_its_job():
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load((outputs.CODE / "tests.yml").read_text(encoding="utf-8"))
    commands = [step["run"] for step in workflow["jobs"]["tests"]["steps"] if "run" in step]
    file, *arguments = outputs.SHOWN["ci"]
    assert commands[-1].split() == ["pytest", outputs.NAMES[file], *arguments]
    page = (ROOT / "docs" / "tutorial" / "first-test.md").read_text(encoding="utf-8")
    assert page.index("code/tests.yml") < page.index("outputs/ci.txt")
    assert " 1 passed" in (ROOT / "docs" / "outputs" / "ci.txt").read_text(encoding="utf-8")


WORKFLOWS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
]


@pytest.mark.parametrize("text", WORKFLOWS)
def test_a_workflow_that_is_shown_is_whole_and_names_options_that_exist(text):
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load(text)
    # YAML 1.1 reads the key `on` as true.
    assert {"name", True, "jobs"} <= set(workflow)
    plugin = (ROOT / "src" / "pytest_repro" / "plugin.py").read_text(encoding="utf-8")
    for job in workflow["jobs"].values():
        assert {"runs-on", "steps"} <= set(job)
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            for option in re.findall(r"--(repro-[a-z-]+)", step.get("run", "")):
                assert f'"{option.replace("-", "_")}"' in plugin, option


def test_the_commands_of_parity_without_a_gpu_record_and_verify(pytester):
    page = (ROOT / "docs" / "how-to" / "cpu-gpu-parity.md").read_text(encoding="utf-8")
    block = next(b for b in re.findall(r"```console\n(.*?)```", page, re.DOTALL) if "cpu:1" in b)
    recording, verifying = (line.removeprefix("$ pytest ").split() for line in block.strip().splitlines())
    folder = pytester.mkdir("tests") / "parity"
    folder.mkdir()
    (folder / "test_forward.py").write_text(PARITY, encoding="utf-8")
    first = pytester.runpytest_subprocess("-pno:randomly", *recording)
    assert first.ret == 0
    first.stdout.fnmatch_lines(["records: 1 recorded"])
    again = pytester.runpytest_subprocess("-pno:randomly", *verifying)
    assert again.ret == 0
    again.stdout.fnmatch_lines(
        ["records: 1 verified", "compared with records: 1 by tolerance", "*(condition device: cpu:1 -> none)"]
    )
    (folder / "test_forward.py").write_text(PARITY.replace("1.5", "1.6"), encoding="utf-8")
    assert pytester.runpytest_subprocess("-pno:randomly", "--no-repro-diagnose", *verifying).ret == 1


PARITY = """
import numpy as np, pytest
from pytest_repro import Axis

@pytest.mark.reproducible(norm=1e-5, across={"device": Axis(["cpu", "cuda"], auto=True)})
def test_forward(repro):
    x = repro.place(np.linspace(0, 1.5, 32, dtype=np.float32))
    return {"logits": np.exp(x)}
"""

SCHEMA = json.loads((ROOT / "docs" / "schemas" / "repro-json-1.schema.json").read_text(encoding="utf-8"))

EVERY_VERDICT = """
import numpy as np, pytest
from pytest_repro import Tolerance

runs = iter(range(1000))

@pytest.mark.reproducible(runs=3)
def test_identical(): return {"a": np.arange(4.0), "b": [1, "x", None, 2**70]}

@pytest.mark.reproducible(max_ulp=1000)
def test_within(): return np.nextafter(np.float32(1), np.float32(2)) * np.float32(1 + 1e-6 * (next(runs) % 3))

@pytest.mark.reproducible
def test_values(): return {"f": np.full(3, float(next(runs))), "i": 2**60 + next(runs), "s": str(next(runs))}

@pytest.mark.reproducible
def test_not_finite(): return np.array([np.nan, np.inf, 1.0])[next(runs) % 2 :][:2]

@pytest.mark.reproducible
def test_structure(repro):
    return {"a": [0] * repro.run, f"k{repro.run}": np.zeros(repro.run), "t": repro.run == 1 or "x"}

@pytest.mark.reproducible
def test_nothing(): pass

@pytest.mark.reproducible
def test_skipped(): pytest.skip("why")

@pytest.mark.reproducible
def test_skips_later(repro):
    if repro.run == 2: pytest.skip("why")
    return 1

@pytest.mark.reproducible
def test_error(): raise RuntimeError("by itself")

@pytest.mark.reproducible(seed_control=True)
def test_seed_ignored(): return 1
"""


@pytest.fixture
def validator():
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    return jsonschema.Draft202012Validator(SCHEMA)


def test_the_schema_fits_a_report_with_every_verdict_and_many_kinds(pytester, validator):
    pytester.makepyfile(EVERY_VERDICT)
    # Long enough for some diagnoses to end, and for others to be cut off.
    pytester.runpytest_subprocess("--repro-json=report.json", "--repro-diagnose-budget=2", "-p", "no:randomly")
    text = (pytester.path / "report.json").read_text(encoding="utf-8")
    report = json.loads(text, parse_constant=lambda name: pytest.fail(f"bare {name} in the report"))
    assert [error.message for error in validator.iter_errors(report)] == []
    verdicts = {t["nodeid"].rpartition("::")[2]: t["verdict"] for t in report["tests"]}
    assert set(verdicts.values()) == set(SCHEMA["$defs"]["test"]["properties"]["verdict"]["enum"])
    kinds = {d["kind"] for t in report["tests"] for d in t["divergences"]}
    assert {"values", "missing", "extra"} <= kinds


def test_the_schema_fits_the_report_that_the_documentation_shows(validator):
    report = json.loads((ROOT / "docs" / "outputs" / "first-test.json").read_text(encoding="utf-8"))
    assert [error.message for error in validator.iter_errors(report)] == []
    assert report["tests"][0]["verdict"] == "diverged"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["schema_version"], 2),
        (["tests", 0, "verdict"], "passed"),
        (["tests", 0, "seed"], -1),
        (["tests", 0, "runs", 0, "index"], 0),
        (["tests", 0, "divergences", 0, "kind"], "other"),
        (["tests", 0, "divergences", 0, "max_ulp"], 2**60),
        (["tests", 0, "divergences", 0, "max_abs"], "large"),
        (["tests", 0, "divergences", 0, "run"], 0),
    ],
    ids=lambda v: str(v[-1]) if isinstance(v, list) else "",
)
def test_the_schema_refuses_what_is_wrong(path, value, validator):
    report = json.loads((ROOT / "docs" / "outputs" / "first-test.json").read_text(encoding="utf-8"))
    place = report
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert not validator.is_valid(report)


FIELD = re.compile(r"`(evidence\.json|record\.json|test record)#([\w.]+)`")
SCHEMAS = {"evidence.json": "evidence-1", "record.json": "session-record-1", "test record": "record-1"}


def test_every_field_that_the_page_of_requirements_names_is_in_a_published_schema():
    text = (ROOT / "docs" / "explanation" / "requirements.md").read_text(encoding="utf-8")
    fields = FIELD.findall(text)
    assert len(fields) > 30
    for file, field in fields:
        schema = json.loads((ROOT / f"docs/schemas/{SCHEMAS[file]}.schema.json").read_text(encoding="utf-8"))
        place = schema
        for name in field.split("."):
            place = resolved(schema, place)["properties"][name]
    assert len(re.findall(r"`[^`]*#[^`]*`", text)) == len(fields) + 1  # the one that explains the notation


def resolved(schema, place):
    """Follow references and arrays to the object that has the properties."""
    while "properties" not in place:
        place = schema["$defs"][place["$ref"].rpartition("/")[2]] if "$ref" in place else place["items"]
    return place


def test_the_page_of_requirements_says_supports_and_never_complies():
    text = (ROOT / "docs" / "explanation" / "requirements.md").read_text(encoding="utf-8")
    assert re.findall(r"[^.]*\bcompl(?:y|ies|iant|iance)\b", text) == [" It never shows that a system\ncomplies"]


def test_methods_of_the_fixture_take_the_arguments_that_are_documented() -> None:
    table = (ROOT / "docs" / "reference" / "options.md").read_text("utf-8")
    found = re.findall(r"^\| `\.((\w+)\(([^`]*)\))` \|", table, re.MULTILINE)
    assert {"config", "data", "capture", "step"} <= {name for _, name, _ in found}
    for text, name, arguments in found:
        (function,) = ast.parse(f"def {name}(self, {arguments}): pass").body
        assert isinstance(function, ast.FunctionDef)
        of = function.args
        kinds = inspect.signature(getattr(Repro, name)).parameters.values()
        by_place = [each.name for each in kinds if each.kind is each.POSITIONAL_OR_KEYWORD]
        by_name = [each.name for each in kinds if each.kind is each.KEYWORD_ONLY]
        rest = [each.name for each in kinds if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
        documented = [each.arg for each in (of.vararg, of.kwarg) if each is not None]
        where = f".{text} in docs/reference/options.md"
        assert ([each.arg for each in of.args], [each.arg for each in of.kwonlyargs]) == (by_place, by_name), where
        assert documented == rest, where
