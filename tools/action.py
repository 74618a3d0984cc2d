"""The steps of the GitHub Action in action.yml.

Inputs come as variables, and every command is a list of arguments: no text of a caller or of a pull request reaches a
shell.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: GitHub refuses a longer comment [characters].
MAX_COMMENT = 65_000
#: A label names a folder and an artifact.
MAX_LABEL = 64
_COMMENTS = """
query($owner: String!, $name: String!, $number: Int!, $endCursor: String) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) {
      comments(first: 100, after: $endCursor) {
        pageInfo { hasNextPage endCursor }
        nodes { databaseId viewerDidAuthor body }
      }
    }
  }
}
"""


def prepare() -> int:
    """Check the mode, and write the outputs `label`, `out` and `pip-cache`."""
    mode = os.environ["INPUT_MODE"]
    if mode not in ("run", "merge"):
        return _fail(f"mode is {mode!r}; it must be run or merge")
    label = make_label(os.environ["INPUT_LABEL"])
    if not label:
        return _fail("label has no letter or digit")
    out = Path(tempfile.mkdtemp(prefix="pytest-repro-", dir=os.environ.get("RUNNER_TEMP"))).as_posix()
    cache = _output([sys.executable, "-m", "pip", "cache", "dir"]).strip()
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
        file.write(f"label={label}\nout={out}\npip-cache={cache}\n")
    return 0


def make_label(text: str) -> str:
    """Return a text as a label: letters, digits, dots, underscores and hyphens."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", text)[:MAX_LABEL].strip("-.")


def install() -> int:
    """Install what the caller names, and pytest-repro, in one call of pip: their requirements have to fit together."""
    wanted = [*shlex.split(os.environ["INPUT_INSTALL"]), *shlex.split(os.environ["INPUT_PACKAGE"])]
    return _call([sys.executable, "-m", "pip", "install", *wanted])


def run() -> int:
    """Run pytest, and return its exit status."""
    out = Path(os.environ["REPRO_OUT"])
    reports = [f"--repro-json={out / 'report.json'}", f"--repro-html={out / 'report.html'}"]
    if os.environ["INPUT_COLLECT"] == "true":
        reports.append(f"--repro-collect={out / 'collection' / os.environ['REPRO_LABEL']}")
    # The step `annotate` writes the summary, with the matrix in it.
    environment = {name: text for name, text in os.environ.items() if name != "GITHUB_STEP_SUMMARY"}
    command = [sys.executable, "-m", "pytest", *shlex.split(os.environ["INPUT_OPTIONS"]), *reports]
    return _call(command, environment)


def merge() -> int:
    """Compare the collections, of which none may be missing, and return the exit status of `pytest-repro merge`."""
    out = Path(os.environ["REPRO_OUT"])
    folders = sorted(path for path in (out / "collections").glob("*") if path.is_dir())
    expected = os.environ["INPUT_EXPECTED"].strip()
    if expected and (not expected.isdecimal() or int(expected) != len(folders)):
        names = ", ".join(path.name for path in folders) or "none"
        return _fail(f"{len(folders)} collections were uploaded and {expected} are expected: {names}")
    if len(folders) < 2:
        return _fail(f"{len(folders)} collections were uploaded, and a comparison needs 2: jobs need `collect: true`")
    files = [
        f"--{kind}={out / f'report.{end}'}" for kind, end in (("html", "html"), ("json", "json"), ("markdown", "md"))
    ]
    return _call([*_COMMAND, "merge", *map(str, folders), *files])


def annotate() -> int:
    """Write annotations, and the summary of the job."""
    summary = Path(os.environ["GITHUB_STEP_SUMMARY"])
    text = _render()
    if text is None:
        return _fail("there is no report to show: the step before ended without one")
    with summary.open("a", encoding="utf-8") as file:
        file.write(text)
    if os.environ["INPUT_MODE"] == "merge":
        return 0
    report = str(Path(os.environ["REPRO_OUT"]) / "report.json")
    return _call([*_COMMAND, "annotate", report, f"--root={os.environ['INPUT_ROOT']}"])


def comment() -> int:
    """Write the comment of this label in the pull request, or update it. A token without the right is a warning."""
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    number = (event.get("pull_request") or {}).get("number")
    if not isinstance(number, int):
        print("::notice title=pytest-repro::no comment, since this is not a run for a pull request")
        return 0
    text = _render()
    if text is None:
        return _fail("there is no report to show: the step before ended without one")
    mark = f"<!-- pytest-repro {os.environ['INPUT_MODE']} {os.environ['REPRO_LABEL']} -->"
    body = cut_lines(f"{mark}\n{text}", MAX_COMMENT)
    repository = os.environ["GITHUB_REPOSITORY"]
    try:
        known = find_comment(repository, number, mark)
        place = f"issues/{number}/comments" if known is None else f"issues/comments/{known}"
        method = "POST" if known is None else "PATCH"
        command = ["gh", "api", "--method", method, f"repos/{repository}/{place}", "--input", "-"]
        _output(command, json.dumps({"body": body}))
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        reason = getattr(error, "stderr", "") or str(error)
        print(f"::warning title=pytest-repro::{_escape(_EXPLAIN_TOKEN + reason.strip()[:500])}")
    return 0


_EXPLAIN_TOKEN = (
    "the comment was not written. The job needs `permissions: pull-requests: write`, which a pull request from a fork "
    "never has. gh says: "
)
_COMMAND = (sys.executable, "-m", "pytest_repro.cli")


def find_comment(repository: str, number: int, mark: str) -> int | None:
    """Return the comment that begins with a mark and was written with this token: others may copy the mark."""
    owner, _, name = repository.partition("/")
    command = ["gh", "api", "graphql", "--paginate", "--slurp", "-f", f"query={_COMMENTS}"]
    command += ["-f", f"owner={owner}", "-f", f"name={name}", "-F", f"number={number}"]
    for page in json.loads(_output(command)):
        for node in page["data"]["repository"]["pullRequest"]["comments"]["nodes"]:
            if node["viewerDidAuthor"] and node["body"].startswith(mark):
                return int(node["databaseId"])
    return None


def cut_lines(text: str, limit: int) -> str:
    """Return a text of at most `limit` characters, cut at the end of a line, which says so."""
    if len(text) <= limit:
        return text
    note = "\n\nCut here: the report, among the artifacts of the job, has the rest.\n"
    return text[: text.rfind("\n", 0, limit - len(note))] + note


def _render() -> str | None:
    """Return the results as Markdown, or None if there is no report."""
    out = Path(os.environ["REPRO_OUT"])
    page = out / "report.md"
    if os.environ["INPUT_MODE"] == "run":
        report = out / "report.json"
        if not report.is_file():
            return None
        _output([*_COMMAND, "annotate", str(report), "--format=markdown", f"--output={page}"])
    return page.read_text(encoding="utf-8") if page.is_file() else None


def _call(command: list[str], environment: Mapping[str, str] | None = None) -> int:
    sys.stdout.flush()
    return subprocess.run(command, env=environment, check=False).returncode


def _output(command: list[str] | tuple[Any, ...], given: str = "") -> str:
    return subprocess.run(command, input=given, capture_output=True, text=True, encoding="utf-8", check=True).stdout


def _fail(text: str) -> int:
    print(f"::error title=pytest-repro::{_escape(text)}")
    return 1


def _escape(text: str) -> str:
    """Escape the message of a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


STEPS = {each.__name__: each for each in (prepare, install, run, merge, annotate, comment)}

if __name__ == "__main__":
    sys.exit(STEPS[sys.argv[1]]())
