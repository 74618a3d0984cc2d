"""Check that a release says one version everywhere, and write its notes and its conda-forge recipe.

pyproject.toml has the version. Everything else is checked against it, or read from it when it is needed.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECIPE = Path("conda.recipe") / "recipe.yaml"
#: From where conda-forge takes the source of a release.
SDIST = "https://pypi.org/packages/source/p/pytest-repro/pytest_repro-${{ version }}.tar.gz"
_HEADING = re.compile(r"^## (?P<version>\d\S*) \((?P<date>[^)]+)\)$", re.MULTILINE)
_LOCAL_SOURCE = re.compile(r"^  path: \.\.\n", re.MULTILINE)


def read_version(root: Path = ROOT) -> str:
    """Return the version in pyproject.toml."""
    version: str = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return version


def read_section(root: Path = ROOT) -> tuple[str, str, str]:
    """Return version, date and text of the newest section of CHANGELOG.md."""
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = [*_HEADING.finditer(text)]
    if not headings:
        raise SystemExit("CHANGELOG.md has no section such as `## 0.1.0 (2026-12-01)`")
    end = headings[1].start() if len(headings) > 1 else len(text)
    return headings[0]["version"], headings[0]["date"], text[headings[0].end() : end].strip()


def find_problems(root: Path = ROOT, *, tag: str | None = None) -> list[str]:
    """Return what contradicts the version in pyproject.toml.

    Parameters
    ----------
    root : Path
        A checkout.
    tag : str or None
        The tag of the release. With it, the changelog must have the day of the release too.
    """
    version = read_version(root)
    recipe = (root / RECIPE).read_text(encoding="utf-8")
    named = re.findall(r'^  version: "(.+)"$', recipe, re.MULTILINE)
    problems = [] if named == [version] else [f"{RECIPE.as_posix()} has version {named}, pyproject.toml has {version}"]
    newest, date, text = read_section(root)
    if newest != version:
        problems.append(f"CHANGELOG.md begins with {newest}, pyproject.toml has {version}")
    if not text:
        problems.append(f"the section {newest} of CHANGELOG.md is empty")
    if tag is None:
        return problems
    if tag != f"v{version}":
        problems.append(f"the tag is {tag}, pyproject.toml has {version}: the tag must be v{version}")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", date):
        problems.append(f"CHANGELOG.md says `{newest} ({date})`: put the day of the release there, as in (2026-12-01)")
    fragments = [path.name for path in (root / "changelog.d").glob("*.md") if path.name != "README.md"]
    if fragments:
        problems.append(f"changelog.d/ still has {len(fragments)} fragments (CONTRIBUTING.md, Release)")
    return problems


def make_recipe(sdist: Path, root: Path = ROOT) -> str:
    """Return the recipe with the released source in place of the checkout, as conda-forge demands it."""
    digest = hashlib.sha256(sdist.read_bytes()).hexdigest()
    expected = f"pytest_repro-{read_version(root)}.tar.gz"
    if sdist.name != expected:
        raise SystemExit(f"{sdist.name} is not the source of this version, {expected}")
    recipe = (root / RECIPE).read_text(encoding="utf-8")
    text, count = _LOCAL_SOURCE.subn(f"  url: {SDIST}\n  sha256: {digest}\n", recipe)
    if count != 1:
        raise SystemExit(f"{RECIPE.as_posix()} has no line `  path: ..` to replace")
    return text


def main(argv: list[str] | None = None) -> int:
    """Run a subcommand; exit status 1 if something contradicts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="compare the versions")
    check.add_argument("--tag", help="the tag of the release, such as v0.1.0")
    commands.add_parser("notes", help="print the newest section of the changelog")
    recipe = commands.add_parser("recipe", help="print the recipe for conda-forge")
    recipe.add_argument("sdist", type=Path, help="the released source, dist/pytest_repro-X.Y.Z.tar.gz")
    options = parser.parse_args(argv)
    if options.command == "notes":
        print(read_section()[2])
    elif options.command == "recipe":
        sys.stdout.write(make_recipe(options.sdist))
    else:
        problems = find_problems(tag=options.tag)
        print("\n".join(problems) or f"version {read_version()} everywhere")
        return 1 if problems else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
