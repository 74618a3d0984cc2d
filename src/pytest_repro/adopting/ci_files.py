"""The texts of CI files, with a quick job for each push and a nightly one that varies all axes on several machines."""

from __future__ import annotations

from pathlib import Path

GITHUB, GITLAB, GITLAB_PART = ".github/workflows/reproducibility.yml", ".gitlab-ci.yml", ".gitlab/reproducibility.yml"
#: Versions of Python that the nightly jobs compare.
PYTHONS = ("3.12", "3.13")

#: The first words of each file.
SIGNATURE = "# Written by `pytest-repro init`."

_QUICK = "pytest -m reproducible --repro-json=repro.json"
_NIGHTLY = "pytest -m reproducible --repro-across=all --repro-collect=collected/{label}"
_MERGE = "pytest-repro merge collected/*/ --markdown=merge.md --html=merge.html"

_GITHUB = """\
# Written by `pytest-repro init`.
# On each push: repeat. At night: vary everything, on each machine of the matrix, and compare.
name: reproducibility
on:
  push:
  pull_request:
  schedule:
    - cron: "17 3 * * *"
  workflow_dispatch:
permissions:
  contents: read
jobs:
  quick:
    if: github.event_name == 'push' || github.event_name == 'pull_request'
    runs-on: ubuntu-latest
    timeout-minutes: 30
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "{first}"
      - run: {install}
      - run: {quick}
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: repro
          path: repro.json
  nightly:
    if: github.event_name == 'schedule' || github.event_name == 'workflow_dispatch'
    strategy:
      fail-fast: false
      matrix:
        os: [ubuntu-latest, ubuntu-24.04-arm]
        python: [{pythons}]
    runs-on: ${{{{ matrix.os }}}}
    timeout-minutes: 120
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: ${{{{ matrix.python }}}}
      - run: {install}
      - run: {nightly}
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: collected-${{{{ matrix.os }}}}-${{{{ matrix.python }}}}
          path: collected
  merge:
    needs: nightly
    if: always() && needs.nightly.result != 'skipped'
    runs-on: ubuntu-latest
    timeout-minutes: 15
    steps:
      - uses: actions/setup-python@v5
        with:
          python-version: "{first}"
      - run: pip install pytest-repro
      - uses: actions/download-artifact@v4
        with:
          path: collected
          merge-multiple: true
      - run: {merge}
      - run: cat merge.md >> "$GITHUB_STEP_SUMMARY"
        if: always()
"""
_GITLAB = """\
# Written by `pytest-repro init`.
# On each push: repeat. In a scheduled pipeline: vary everything, with each Python, and compare.
stages: [test, merge]

reproducibility-quick:
  stage: test
  image: python:{first}
  rules:
    - if: $CI_PIPELINE_SOURCE != "schedule"
  script:
    - {install}
    - {quick}
  artifacts:
    when: always
    paths: [repro.json]

reproducibility-nightly:
  stage: test
  image: python:$PYTHON
  rules:
    - if: $CI_PIPELINE_SOURCE == "schedule"
  parallel:
    matrix:
      - PYTHON: [{pythons}]
  script:
    - {install}
    - {nightly}
  artifacts:
    when: always
    paths: [collected]

reproducibility-merge:
  stage: merge
  image: python:{first}
  rules:
    - if: $CI_PIPELINE_SOURCE == "schedule"
      when: always
  script:
    - pip install pytest-repro
    - {merge}
  artifacts:
    when: always
    paths: [merge.md, merge.html]
"""


def find_install_command(root: Path) -> str:
    """Return the command that installs the project with what the tests need."""
    project = ""
    if ((root / "pyproject.toml").exists() and "[project]" in _read(root / "pyproject.toml")) or (
        root / "setup.py"
    ).exists():
        project = "-e . "
    elif (root / "requirements.txt").exists():
        project = "-r requirements.txt "
    return f"pip install {project}pytest 'pytest-repro[threads]'"


def write_github(root: Path) -> str:
    """Return the workflow for GitHub Actions."""
    label = "${{ matrix.os }}-python-${{ matrix.python }}"
    return _fill(_GITHUB, root, label)


def write_gitlab(root: Path) -> str:
    """Return the jobs for GitLab CI."""
    return _fill(_GITLAB, root, "python-$PYTHON")


def _fill(template: str, root: Path, label: str) -> str:
    return template.format(
        first=PYTHONS[0],
        pythons=", ".join(f'"{each}"' for each in PYTHONS),
        install=find_install_command(root),
        quick=_QUICK,
        nightly=_NIGHTLY.format(label=label),
        merge=_MERGE,
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
