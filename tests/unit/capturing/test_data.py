"""Digests of the data and hyperparameters that a test names, and declared digests."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
from enum import Enum
from pathlib import Path

import numpy as np
import pytest

from pytest_repro.capturing.budget import is_unavailable
from pytest_repro.capturing.config import describe_config
from pytest_repro.capturing.data import describe_data
from pytest_repro.engines.current import CurrentRun, Repro
from pytest_repro.errors import CaptureError, DataError, UsageError


def digest_of(value, **options):
    return describe_data("x", value, **options)["sha256"]


def test_a_file_has_its_plain_sha256(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"1,2\n")
    expected = hashlib.sha256(b"1,2\n").hexdigest()
    assert describe_data("x", path) == {"kind": "file", "size": 4, "files": 1, "sha256": expected}
    assert describe_data("x", str(path), declared=f"sha256:{expected}")["declared_by"] == ["the test"]


def test_a_declared_digest_that_does_not_match_fails_with_both(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"1,2\n")
    with pytest.raises(DataError, match=f"{hashlib.sha256(path.read_bytes()).hexdigest()}, but sha256:00 is declared"):
        describe_data("train", path, declared="sha256:00")
    with pytest.raises(DataError, match="a file's or a directory's content, not a value's"):
        describe_data("train", [1], declared="00")


def test_a_file_that_changes_is_read_again(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"1")
    os.utime(path, (1, 1))
    first = digest_of(path)
    assert digest_of(path) == first
    path.write_bytes(b"2")
    os.utime(path, (1, 1))
    assert digest_of(path) != first


def test_a_directory_is_digested_by_names_and_contents(tmp_path):
    seen = set()
    for name, text in [("a", "1"), ("a", "2"), ("b", "1"), ("sub/a", "1")]:
        folder = tmp_path / f"d{len(seen)}"
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(text)
        seen.add(digest_of(folder))
    assert len(seen) == 4
    shutil.copytree(tmp_path / "d3", tmp_path / "copy")
    assert digest_of(tmp_path / "copy") in seen


def test_links_out_of_a_directory_are_rejected_by_name(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "loop").symlink_to(tmp_path)
    with pytest.raises(DataError, match="loop is a link to a directory"):
        describe_data("x", tmp_path / "d")
    (tmp_path / "d" / "loop").unlink()
    os.mkfifo(tmp_path / "d" / "pipe")
    with pytest.raises(DataError, match="pipe is not a file"):
        describe_data("x", tmp_path / "d")


def test_a_missing_path_is_reported_with_the_current_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f"no such file or directory; the current directory is {tmp_path}"):
        describe_data("x", "missing.csv")


def test_a_git_lfs_pointer_is_rejected(tmp_path):
    (tmp_path / "a").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n")
    with pytest.raises(DataError, match="git lfs pull"):
        describe_data("x", tmp_path / "a")


#: As DVC 3.6x wrote them for these files.
DIRECTORY_DVC = "outs:\n- md5: bae14bfaf5181117cb5793150a683b38.dir\n  size: 6\n  nfiles: 3\n  hash: md5\n  path: d\n"
FILE_DVC = "outs:\n- md5: 764efa883dda1e11db47671c4a3bbd9e\n  size: 3\n  hash: md5\n  path: f.csv\n"
LOCK = """schema: '2.0'
stages:
  train:
    cmd: cp f.csv out.csv
    deps:
    - path: f.csv
      hash: md5
      md5: 00000000000000000000000000000000
      size: 3
    outs:
    - path: out.csv
      hash: md5
      md5: 764efa883dda1e11db47671c4a3bbd9e
      size: 3
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "d" / "sub").mkdir(parents=True)
    for name, text in {
        "d/b.txt": "a\n",
        "d/é z.txt": "x\n",
        "d/sub/q": "1\n",
        "f.csv": "hi\n",
        "out.csv": "hi\n",
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "d.dvc").write_text(DIRECTORY_DVC)
    (tmp_path / "f.csv.dvc").write_text(FILE_DVC)
    (tmp_path / "dvc.lock").write_text(LOCK)
    return tmp_path


@pytest.mark.parametrize(("name", "by"), [("d", "d.dvc"), ("f.csv", "f.csv.dvc"), ("out.csv", "dvc.lock")])
def test_data_must_match_the_digest_that_dvc_declares(project, name, by):
    assert describe_data("x", project / name)["declared_by"] == [by]
    changed = project / name / "b.txt" if name == "d" else project / name
    changed.write_text("other\n")
    with pytest.raises(DataError, match=f"{by} declares"):
        describe_data("x", project / name)


def test_a_missing_file_that_dvc_declares_needs_dvc_pull(project):
    (project / "f.csv").unlink()
    # DVC takes the path of the file itself, relative to the current directory.
    with pytest.raises(DataError, match=rf"`dvc pull {re.escape(str(project / 'f.csv'))}`"):
        describe_data("x", project / "f.csv")
    (project / "out.csv").unlink()
    with pytest.raises(DataError, match=rf"`dvc pull {re.escape(str(project / 'out.csv'))}`"):
        describe_data("x", project / "out.csv")


def test_a_digest_of_dvc_2_or_under_a_dvcignore_proves_nothing_by_differing(project):
    (project / "f.csv.dvc").write_text(FILE_DVC.replace("  hash: md5\n", ""))
    (project / "f.csv").write_text("hi\r\n")
    assert "declared_by" not in describe_data("x", project / "f.csv")
    (project / "d" / "extra").write_text("ignored by DVC")
    (project / ".dvcignore").write_text("# comment\nextra\n")
    assert "declared_by" not in describe_data("x", project / "d")


@pytest.mark.parametrize(
    "text", ["", "outs: {", "outs:\n- path: f.csv\n", "\0", "outs:\n- md5: zz\n  path: f.csv\n", "- - -"]
)
def test_a_file_of_dvc_with_another_structure_declares_nothing(project, text):
    (project / "f.csv.dvc").write_text(text)
    assert "declared_by" not in describe_data("x", project / "f.csv")


@pytest.mark.skipif(shutil.which("dvc") is None, reason="DVC is not installed")
def test_digests_match_those_of_dvc_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for number in range(5):
        (tmp_path / "data" / f"ü{number}.bin").write_bytes(bytes([number]) * 1000)
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"], ["dvc", "add", "-q", "data"]):
        subprocess.run(command, check=True)
    assert describe_data("x", "data")["declared_by"] == ["data.dvc"]
    (tmp_path / "data" / "ü0.bin").write_bytes(b"changed")
    with pytest.raises(DataError, match=r"data\.dvc declares"):
        describe_data("x", "data")


def test_arrays_and_frames_are_digested_by_their_bits():
    one = np.arange(6.0)
    assert describe_data("x", one)["kind"] == "ndarray"
    assert digest_of(one) == digest_of(one.copy()) != digest_of(one.astype(np.float32))
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    assert digest_of(frame) == digest_of(frame.copy()) != digest_of(frame[["b", "a"]])


class Dataset:
    """Map-style, with a transform that draws."""

    def __init__(self, count, offset=0.0, delay_s=0.0):
        self.count, self.offset, self.delay_s = count, offset, delay_s

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if self.delay_s:
            import time

            time.sleep(self.delay_s)
        return np.full(3, index + self.offset) + np.random.rand() + random.random()


def test_a_dataset_is_digested_by_its_items_without_drawing_from_the_tests_generators():
    np.random.seed(3)
    random.seed(3)
    before = np.random.get_state()[1].tolist(), random.getstate()
    found = describe_data("x", Dataset(5))
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before
    assert (found["kind"], found["items"]) == ("Dataset", 5)
    np.random.rand()
    assert digest_of(Dataset(5)) == found["sha256"]
    assert len({found["sha256"], digest_of(Dataset(4)), digest_of(Dataset(5, 1e-9))}) == 3


def test_a_torch_dataset_is_digested_by_its_items():
    torch = pytest.importorskip("torch")
    from torch.utils.data import TensorDataset

    one, two = (TensorDataset(torch.arange(6.0).reshape(3, 2) + offset, torch.arange(3)) for offset in (0, 1))
    assert digest_of(one) != digest_of(two)
    assert describe_data("x", one)["items"] == 3


def test_digesting_stops_when_its_time_is_over(tmp_path):
    assert is_unavailable(describe_data("x", Dataset(10_000, delay_s=0.01), budget_s=0.05))
    (tmp_path / "a").write_bytes(bytes(3 << 20))
    assert is_unavailable(describe_data("x", tmp_path / "a", budget_s=0))


def test_a_value_without_a_digest_is_rejected_by_its_type():
    with pytest.raises(DataError, match="Give a path, arrays"):
        describe_data("x", iter([1]))
    with pytest.raises(DataError, match="item 0"):
        describe_data("x", type("D", (), {"__len__": lambda s: 1, "__getitem__": lambda s, i: object()})())


class Kind(Enum):
    ADAM = 1


@dataclasses.dataclass
class Config:
    lr: float = 0.1
    kind: Kind = Kind.ADAM
    path: Path = Path("a/b")
    tags: frozenset = frozenset({"b", "a"})
    loss: object = max


def test_hyperparameters_become_plain_values():
    expected = {"lr": 0.1, "kind": "Kind.ADAM", "path": "a/b", "tags": ["a", "b"], "loss": "builtins.max"}
    assert describe_config(Config()) == expected
    assert describe_config(argparse.Namespace(n=np.float32(0.5), inner=Config())) == {"n": 0.5, "inner": expected}
    assert describe_config({"a": (1, None, True)}) == {"a": [1, None, True]}


def test_a_file_of_settings_has_digest_and_content(tmp_path):
    for name, text in {"c.json": '{"lr": 1}', "c.toml": "lr = 1\n"}.items():
        (tmp_path / name).write_text(text)
        found = describe_config(tmp_path / name)
        assert (found["file"], found["content"]) == (name, {"lr": 1})
        assert found["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    (tmp_path / "c.yaml").write_text("lr: 1\n")
    assert set(describe_config(str(tmp_path / "c.yaml"))) == {"file", "sha256"}


def test_an_omegaconf_node_is_resolved():
    omegaconf = pytest.importorskip("omegaconf")
    assert describe_config(omegaconf.OmegaConf.create({"a": 1, "b": "${a}"})) == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": {"b": [object()]}}, r"config\.a\.b\[0\] is a object"),
        ({"f": lambda: 0}, r"config\.f is a function"),
        (5, "got int"),
    ],
)
def test_a_value_without_a_plain_form_is_rejected_by_its_place(value, where):
    with pytest.raises(UsageError, match=where):
        describe_config(value)


def test_settings_that_contain_themselves_or_cannot_be_read_are_rejected(tmp_path):
    loop = {}
    loop["a"] = loop
    with pytest.raises(UsageError, match="contains itself"):
        describe_config(loop)
    (tmp_path / "c.json").write_text("{")
    for path in (tmp_path / "c.json", tmp_path / "missing.toml"):
        with pytest.raises(UsageError, match="cannot read it"):
            describe_config(path)


def test_the_fixture_keeps_named_data_and_returns_it(tmp_path):
    (tmp_path / "a.csv").write_text("1")
    run = CurrentRun(1, 0)
    repro = Repro(run)
    config = {"lr": 0.1}
    assert repro.data("train", str(tmp_path / "a.csv")) == tmp_path / "a.csv"
    assert repro.config(config) is config
    assert run.inputs["config"] == {"config": {"lr": 0.1}}
    assert run.inputs["data"]["train"]["kind"] == "file"
    assert json.dumps(run.inputs)
    with pytest.raises(CaptureError, match="'train' is already used in this run"):
        repro.data("train", [1])
    with pytest.raises(CaptureError, match="non-empty str"):
        repro.data("", [1])
