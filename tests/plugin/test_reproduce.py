"""`pytest-repro reproduce`: a recorded result redone from its commit, packages, data and seeds."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import pytest_repro
from pytest_repro.capturing.environment import is_recorded_variable
from pytest_repro.cli import main
from pytest_repro.environments.made import FOLDER_VARIABLE, EnvironmentStore, Request
from pytest_repro.records.documents import EVIDENCE, RECORD, read_session
from pytest_repro.records.evidence import PAGE, SUMMARY, make_bundle, write_bundle
from pytest_repro.reporting.evidence_texts import TEXTS
from tests.plugin.helpers import is_installed

Captured, Patch = pytest.CaptureFixture[str], pytest.MonkeyPatch
#: The packages of the environment in which the toy project is recorded.
PACKAGES = ("iniconfig", "numpy", "packaging", "pluggy", "pygments", "pytest", "setuptools")
REPRODUCED, DIFFERS, ERROR, INCOMPLETE = 0, 1, 2, 3
TEST = """
import os
import time
from pathlib import Path

import numpy as np
import pytest

OUTSIDE = Path({outside!r})

def number():
    return float((OUTSIDE / "number").read_text())

@pytest.mark.reproducible
def test_fit(repro):
    repro.config({{"rate": 0.25}})
    return {{"drawn": repro.rng.normal(size=20), "rate": 0.25}}

@pytest.mark.reproducible
def test_number():
    if (OUTSIDE / "slow").exists():
        (OUTSIDE / "began").touch()
        time.sleep(60)
    return {{"number": np.array([1.0, number()])}}

@pytest.mark.reproducible(rtol=1e-6)
def test_noise():
    return {{"number": number() + time.time_ns() % 1000 * 1e-12}}

@pytest.mark.reproducible
def test_skipped():
    if (OUTSIDE / "skip").exists():
        pytest.skip("asked for")
    return 1

@pytest.mark.reproducible
def test_data(repro):
    repro.data("numbers", "data/numbers.csv")
    return np.loadtxt("data/numbers.csv")

@pytest.mark.reproducible
def test_variable():
    return {{"token": "SOME_TOKEN" in os.environ, "threads": os.environ.get("OMP_NUM_THREADS")}}
"""


@dataclass
class Made:
    """An environment with few packages, and a folder under which it finds the plugin."""

    python: str
    plugin: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("environments")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(folder))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        # The request that a reproduction makes as well, so that it finds this environment.
        python = EnvironmentStore().make(
            Request("toy", tuple(f"{name}=={version(name)}" for name in PACKAGES if is_installed(name)))
        )
        plugin = tmp_path_factory.mktemp("plugin")
        (plugin / "pytest_repro").symlink_to(Path(str(pytest_repro.__file__)).parent)
        add_metadata(plugin, "pytest-repro", version("pytest-repro"))
        yield Made(str(python), plugin)


def add_metadata(folder: Path, name: str, release: str) -> None:
    place = folder / f"{name.replace('-', '_')}-{release}.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {release}\n")


@dataclass
class Toy:
    """A project in a repository, with what lies outside of it."""

    root: Path
    outside: Path
    made: Made

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.root), "-c", "user.name=n", "-c", "user.email=n@n", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-qm", "state")

    def record(self, *arguments: str, path: Path | None = None, **variables: str) -> Path:
        """Record tests, and return the bundle."""
        out = self.outside / "out"
        search = os.pathsep.join(map(str, [*([path] if path else []), self.made.plugin]))
        command = [self.made.python, "-m", "pytest", "-p", "pytest_repro.plugin", "-p", "no:cacheprovider"]
        options = [f"--repro-record={out}/records", f"--repro-evidence={out}/bundle"]
        environment = {
            **os.environ, "PYTHONPATH": search, "PYTHONDONTWRITEBYTECODE": "1", **variables,
        }  # fmt: skip
        words = [*command, *options, *arguments]
        done = subprocess.run(words, cwd=self.root, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return out / "bundle"

    def reproduce(self, evidence: Path, *arguments: str) -> int:
        return main(["reproduce", str(evidence), "--repo", str(self.root), *arguments])


@pytest.fixture
def toy(made: Made, tmp_path: Path, monkeypatch: Patch) -> Toy:
    root, outside, temporary = tmp_path / "project", tmp_path / "outside", tmp_path / "temporary"
    for folder in (root, outside, temporary):
        folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setenv("TMPDIR", str(temporary))
    for name in ("PYTEST_ADDOPTS", "PYTHONPATH", "SOME_TOKEN", *filter(is_recorded_variable, os.environ)):
        monkeypatch.delenv(name, raising=False)
    return make_toy(root, outside, made)


def make_toy(root: Path, outside: Path, made: Made) -> Toy:
    (outside / "number").write_text("2.5")
    (root / "test_it.py").write_text(TEST.format(outside=str(outside)))
    (root / "data").mkdir()
    (root / "data" / "numbers.csv").write_text("1\n2\n")
    (root / ".gitignore").write_text("ignored/\n")
    found = Toy(root, outside, made)
    found.git("init", "-q")
    found.commit()
    return found


@pytest.fixture(scope="module")
def recorded(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """A project with a bundle of one test."""
    folders = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("outside")
    found = make_toy(*folders, made)
    found.record("-k", "fit")
    return found


@pytest.fixture
def forged(recorded: Toy, tmp_path: Path) -> Path:
    """A copy of that bundle, to be changed."""
    return Path(shutil.copytree(recorded.outside / "out" / "bundle", tmp_path / "bundle"))


def forge(bundle: Path, change: Callable[[Any, Any], tuple[Any, Any]], **attached: bytes) -> None:
    """Write a bundle that is consistent in itself, as whoever can write one can."""
    files = {path.name: path.read_bytes() for path in bundle.iterdir() if path.is_file()}
    session, context = change(*read_session(files[RECORD], files[EVIDENCE]))
    own = {RECORD, EVIDENCE, SUMMARY, PAGE, "statement.json"}
    more = {name: data for name, data in files.items() if name not in own} | attached
    more |= {f"records/{path.name}": path.read_bytes() for path in (bundle / "records").iterdir()}
    write_bundle(bundle, make_bundle(session, context, TEXTS, attached=more))


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_same_result_is_reproduced_and_its_bundle_names_the_first(
    toy: Toy, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = toy.record(OMP_NUM_THREADS="1")
    monkeypatch.setenv("SOME_TOKEN", "of the user")
    assert toy.reproduce(bundle, "--test=test_it.py::test_fit", "--test=test_it.py::test_variable") == 0
    text = capsys.readouterr().out
    assert text.startswith("REPRODUCED (bits): 2 of 2 tests reproduced")
    # The machine may have set further ones.
    assert re.search(r"same    the variables? .*OMP_NUM_THREADS", text)
    own = bundle.with_name("bundle-reproduced")

    digest = hashlib.sha256((bundle / "statement.json").read_bytes()).hexdigest()
    assert read(own / EVIDENCE)["reproduces"] == {"name": "statement.json", "sha256": digest}
    named = {"name": "reproduces/statement.json", "digest": {"sha256": digest}}
    assert named in read(own / "statement.json")["predicate"]["configuration"]
    document = read(own / "reproduction.json")
    assert (document["outcome"], document["reproduces"]["sha256"]) == ("REPRODUCED (bits)", digest)
    assert f"reproduces: statement.json (sha256 {digest})" in (own / "summary.md").read_text()
    assert main(["verify", str(own)]) == 3
    # Nothing is left, neither here nor in the repository.
    assert toy.git("worktree", "list").count("\n") == 1
    assert not (toy.root / ".git" / "worktrees").exists()
    assert toy.git("status", "--porcelain") == ""
    assert [*(toy.outside.parent / "temporary").iterdir()] == []
    # The second bundle can be reproduced as the first could.
    assert toy.reproduce(own, "--output", str(toy.outside / "third")) == 0


def test_another_number_is_not_reproduced(toy: Toy, capsys: Captured) -> None:
    bundle = toy.record("-k", "fit or number")
    (toy.outside / "number").write_text("2.75")
    assert toy.reproduce(bundle) == DIFFERS
    text = capsys.readouterr().out
    assert text.startswith("NOT REPRODUCED: 1 of 2 tests reproduced")
    assert "1 of 2 elements differ, by up to 0.25" in " ".join(text.split())
    assert read(bundle.with_name("bundle-reproduced") / "statement.json")["predicate"]["result"] == "FAILED"


def test_a_result_within_its_tolerance_is_reproduced_within_it(toy: Toy, capsys: Captured) -> None:
    bundle = toy.record("-k", "noise")
    assert toy.reproduce(bundle) == REPRODUCED
    assert capsys.readouterr().out.startswith("REPRODUCED (tolerance): 1 of 1 test")


def test_changes_of_the_code_are_missing_without_a_patch_and_applied_with_one(toy: Toy, capsys: Captured) -> None:
    source = toy.root / "test_it.py"
    source.write_text(source.read_text().replace("size=20", "size=21") + "\nimport helper\n")
    (toy.root / "helper.py").write_text("one = 1\n")
    bundle = toy.record("-k", "fit")
    assert toy.reproduce(bundle) == INCOMPLETE
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith("INCOMPLETE: 0 of 1 test")
    assert "missing the changes of the code since its commit (helper.py, test_it.py)" in text
    assert not bundle.with_name("bundle-reproduced").exists()
    shutil.rmtree(bundle.parent)
    bundle = toy.record("-k", "fit", "--repro-evidence-patch")
    toy.git("stash", "-qu")
    assert toy.reproduce(bundle) == REPRODUCED
    assert "2 changed files, by the digest of the changes" in " ".join(capsys.readouterr().out.split())


def test_an_untracked_file_that_no_test_used_is_told_and_not_needed(toy: Toy, capsys: Captured) -> None:
    (toy.root / "notes.txt").write_text("idea")
    (toy.root / "test_it.py").write_text((toy.root / "test_it.py").read_text() + "\nmore = 1\n")
    bundle = toy.record("-k", "fit", "--repro-evidence-patch")
    assert toy.reproduce(bundle) == REPRODUCED
    assert "differs untracked and not seen in use: notes.txt" in " ".join(capsys.readouterr().out.split())


def test_a_release_that_no_index_has_is_named(toy: Toy, capsys: Captured, tmp_path: Path) -> None:
    add_metadata(tmp_path / "more", "iniconfig", "99.0.1")
    bundle = toy.record("-k", "fit", path=tmp_path / "more")
    assert toy.reproduce(bundle) == INCOMPLETE
    assert "missing the package iniconfig==99.0.1: pip finds no such release" in " ".join(
        capsys.readouterr().out.split()
    )


def test_a_tampered_bundle_is_refused(recorded: Toy, forged: Path, capsys: Captured) -> None:
    text = (forged / EVIDENCE).read_text()
    (forged / EVIDENCE).write_text(text.replace('"is_finished":true', '"is_finished":false'))
    assert recorded.reproduce(forged) == ERROR
    assert "evidence.json does not match the digest" in capsys.readouterr().err


def test_a_dry_run_lists_what_would_be_done_and_does_nothing(
    toy: Toy, capsys: Captured, monkeypatch: Patch, tmp_path: Path
) -> None:
    bundle = toy.record("-k", "fit or data", OMP_NUM_THREADS="1")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "none"))
    assert toy.reproduce(bundle, "--dry-run") == 0
    text = " ".join(capsys.readouterr().out.split())
    commit = toy.git("rev-parse", "HEAD")[:12]
    for part in (
        f"check out the commit {commit}",
        f"numpy=={version('numpy')}",
        "OMP_NUM_THREADS=1",
        "run test_it.py::test_fit",
        "numbers (file, 4 bytes)",
        "Reproducing runs the recorded code, as pytest does.",
    ):
        assert part in text, part
    assert not bundle.with_name("bundle-reproduced").exists()
    assert not (tmp_path / "none").exists()
    assert not (toy.root / ".git" / "worktrees").exists()


@pytest.mark.parametrize("left", ["as it was", "changed", "removed"])
def test_data_that_git_ignores_is_taken_from_this_disk_by_its_digest(toy: Toy, capsys: Captured, left: str) -> None:
    source = toy.root / "test_it.py"
    source.write_text(source.read_text().replace("data/numbers.csv", "ignored/numbers.csv"))
    toy.commit()
    data = toy.root / "ignored" / "numbers.csv"
    data.parent.mkdir()
    data.write_text("3\n4\n")
    bundle = toy.record("-k", "data")
    if left == "removed":
        data.unlink()
    elif left == "changed":
        data.write_text("3\n5\n")
    expected = REPRODUCED if left == "as it was" else INCOMPLETE
    assert toy.reproduce(bundle, "--json") == expected
    pillar = json.loads(capsys.readouterr().out)["pillars"]["data"]
    assert (pillar["same"], bool(pillar["missing"])) == ((["numbers"], False) if not expected else ([], True))


def test_data_elsewhere_that_changed_is_told(toy: Toy, capsys: Captured) -> None:
    source, data = toy.root / "test_it.py", toy.outside / "numbers.csv"
    source.write_text(source.read_text().replace("data/numbers.csv", str(data)))
    toy.commit()
    data.write_text("3\n4\n")
    bundle = toy.record("-k", "data")
    data.write_text("3\n5\n")
    assert toy.reproduce(bundle) == INCOMPLETE
    assert "missing numbers: recorded with the digest" in " ".join(capsys.readouterr().out.split())


def test_a_test_that_was_skipped_is_not_reproduced(toy: Toy, capsys: Captured) -> None:
    bundle = toy.record("-k", "skipped or fit")
    (toy.outside / "skip").touch()
    assert toy.reproduce(bundle) == INCOMPLETE
    assert "INCOMPLETE: 1 of 2 tests" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["record", "folder"])
def test_records_alone_are_reproduced(toy: Toy, kind: str) -> None:
    bundle = toy.record("-k", "fit or number")
    records = bundle.parent / "records"
    place = records if kind == "folder" else next(records.glob("*fit*.json"))
    shutil.rmtree(bundle)
    output = toy.outside / "new"
    assert toy.reproduce(place, "--output", str(output)) == REPRODUCED
    assert len(read(output / "reproduction.json")["tests"]) == (2 if kind == "folder" else 1)


def test_code_from_elsewhere_that_is_not_the_recorded_one_is_incomplete(toy: Toy, capsys: Captured) -> None:
    elsewhere = toy.outside / "library"
    elsewhere.mkdir()
    (elsewhere / "helper.py").write_text("one = 1\n")
    source = toy.root / "test_it.py"
    source.write_text(f"import sys\nsys.path.insert(0, {str(elsewhere)!r})\nimport helper\n" + source.read_text())
    toy.commit()
    bundle = toy.record("-k", "fit")
    assert toy.reproduce(bundle) == REPRODUCED
    (elsewhere / "helper.py").write_text("one = 1.0\n")
    assert toy.reproduce(bundle) == INCOMPLETE
    assert "helper.py" in capsys.readouterr().out


def test_a_local_package_is_imported_from_the_checkout(toy: Toy, tmp_path: Path) -> None:
    package = toy.root / "src" / "toylib"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("SIZE = 20\n")
    (toy.root / "pyproject.toml").write_text('[project]\nname = "toy-lib"\nversion = "1"\n')
    source = toy.root / "test_it.py"
    source.write_text("from toylib import SIZE\n" + source.read_text().replace("size=20", "size=SIZE"))
    toy.commit()
    add_metadata(tmp_path / "more", "toy-lib", "1")
    url = {"url": toy.root.as_uri(), "dir_info": {"editable": True}}
    (tmp_path / "more" / "toy_lib-1.dist-info" / "direct_url.json").write_text(json.dumps(url))
    (tmp_path / "more" / "toylib").symlink_to(package)
    bundle = toy.record("-k", "fit", path=tmp_path / "more")
    # The user's own checkout has moved on.
    (package / "__init__.py").write_text("SIZE = 30\n")
    assert toy.reproduce(bundle) == REPRODUCED


def test_of_two_projects_in_a_repository_the_recorded_one_is_run(toy: Toy) -> None:
    part = toy.root / "part"
    part.mkdir()
    (part / "pytest.ini").write_text("[pytest]\n")
    text = (toy.root / "test_it.py").read_text()
    (part / "test_it.py").write_text(text.replace("size=20", "size=30"))
    toy.commit()
    bundle = toy.record("-k", "fit", "--rootdir=part", "part")
    assert [*read(bundle / EVIDENCE)["verdicts"]] == ["test_it.py::test_fit"]
    assert toy.reproduce(bundle) == REPRODUCED


def test_a_repository_is_cloned_from_its_address(toy: Toy, capsys: Captured) -> None:
    bundle = toy.record("-k", "fit")
    assert main(["reproduce", str(bundle), "--repo", toy.root.as_uri()]) == REPRODUCED
    other = toy.outside / "other"
    subprocess.run(["git", "init", "-q", str(other)], check=True)
    assert main(["reproduce", str(bundle), "--repo", str(other)]) == INCOMPLETE
    assert "does not have it" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("prefix", ["", "env EXTRA=1"])
def test_a_named_environment_runs_the_tests(toy: Toy, capsys: Captured, prefix: str) -> None:
    bundle = toy.record("-k", "fit or variable", OMP_NUM_THREADS="1")
    command = f'command = "{prefix}"\n' if prefix else ""
    text = f"[tool.pytest_repro.environments.box]\n{command}python = {toy.made.python!r}\n"
    (toy.root / "pyproject.toml").write_text(text)
    assert toy.reproduce(bundle, "--environment", "box") == REPRODUCED
    (toy.root / "pyproject.toml").unlink()
    assert toy.reproduce(bundle, "--environment", "box") == ERROR
    assert "no environment is named 'box'" in capsys.readouterr().err


@pytest.mark.parametrize("nodeid", ["-pevil::test", "@file::test", "../test_it.py::test_fit", "/tmp/test_it.py::test"])
def test_a_hostile_node_id_is_refused(recorded: Toy, forged: Path, capsys: Captured, nodeid: str) -> None:

    def change(session: Any, context: Any) -> tuple[Any, Any]:
        tests = tuple(replace(test, nodeid=nodeid, record=None) for test in session.tests)
        return replace(session, tests=tests), context

    forge(forged, change)
    assert recorded.reproduce(forged) == ERROR
    assert "is no node id of a test" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PATH", "PYTHONPATH", "PYTEST_ADDOPTS"])
def test_a_hostile_variable_is_refused(recorded: Toy, forged: Path, capsys: Captured, name: str) -> None:

    def change(session: Any, context: Any) -> tuple[Any, Any]:
        return replace(session, environment={**session.environment, "variables": {name: "/evil.so"}}), context

    forge(forged, change)
    assert recorded.reproduce(forged) == ERROR
    assert name in capsys.readouterr().err


@pytest.mark.parametrize(
    "name, release", [("numpy", "1 --index-url=http://evil"), ("-r evil", "1"), ("numpy @ http://evil/x.whl", "1")]
)
def test_a_hostile_package_is_refused(recorded: Toy, forged: Path, capsys: Captured, name: str, release: str) -> None:

    def change(session: Any, context: Any) -> tuple[Any, Any]:
        return replace(session, environment={**session.environment, "packages": {name: {"version": release}}}), context

    forge(forged, change)
    assert recorded.reproduce(forged) == ERROR
    assert "no name and version of a release" in capsys.readouterr().err


def make_patch(name: str, mode: str, line: str) -> bytes:
    lines = (
        f"diff --git a/{name} b/{name}",
        f"new file mode {mode}",
        "--- /dev/null",
        f"+++ b/{name}",
        "@@ -0,0 +1 @@",
    )
    return "\n".join([*lines, f"+{line}", "\\ No newline at end of file", ""]).encode()


REFUSALS = {"parent": "outside of the checkout", "git": "outside of the checkout", "link": "a link out of the checkout"}
PATCHES = {
    "parent": make_patch("../evil", "100644", "x"),
    "git": make_patch(".git/hooks/post-checkout", "100755", "x"),
    "link": make_patch("link", "120000", "/etc"),
}


@pytest.mark.parametrize("kind", PATCHES)
def test_a_patch_that_escapes_is_refused(
    recorded: Toy,
    forged: Path,
    tmp_path: Path,
    monkeypatch: Patch,
    capsys: Captured,
    kind: str,
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))

    def change(session: Any, context: Any) -> tuple[Any, Any]:
        return replace(session, code={**session.code, "dirty": True, "diff": "sha256:" + "0" * 64}), context

    forge(forged, change, **{"changes.patch": PATCHES[kind]})
    assert recorded.reproduce(forged) == ERROR
    assert REFUSALS[kind] in capsys.readouterr().err
    assert [*(tmp_path / "temporary").iterdir()] == []
    assert not (recorded.root / ".git" / "worktrees").exists()


@pytest.mark.parametrize(
    "state", [{"dirty": True, "diff": "sha256:" + "0" * 64}, {"tree": "0" * 40}, {"submodules": {"lib": "0" * 40}}]
)
def test_a_checkout_that_is_not_the_recorded_code_is_not_run(
    recorded: Toy, forged: Path, capsys: Captured, state: dict[str, Any]
) -> None:
    def change(session: Any, context: Any) -> tuple[Any, Any]:
        return replace(session, code={**session.code, **state}), context

    forge(forged, change, **{"changes.patch": make_patch("more.py", "100644", "1")})
    assert recorded.reproduce(forged) == INCOMPLETE
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith("INCOMPLETE")
    assert "none was written, since no test ran" in text


def test_a_commit_that_is_none_is_refused(recorded: Toy, forged: Path, capsys: Captured) -> None:

    def change(session: Any, context: Any) -> tuple[Any, Any]:
        return replace(session, code={**session.code, "commit": "--upload-pack=evil"}), context

    forge(forged, change)
    assert recorded.reproduce(forged) == ERROR
    assert "40 hexadecimal digits" in capsys.readouterr().err


def test_the_evidence_itself_is_never_overwritten(recorded: Toy, forged: Path, capsys: Captured) -> None:
    assert recorded.reproduce(forged, "--output", str(forged)) == ERROR
    assert "another folder" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_of_one_that_was_stopped(toy: Toy, number: signal.Signals) -> None:
    bundle = toy.record("-k", "number")
    (toy.outside / "slow").touch()
    program = "import sys; from pytest_repro.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "reproduce", str(bundle), "--repo", str(toy.root)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (toy.outside / "began").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    assert process.wait(60) != 0
    assert (toy.outside / "began").exists()
    assert [*(toy.outside.parent / "temporary").iterdir()] == []
    assert not (toy.root / ".git" / "worktrees").exists()
