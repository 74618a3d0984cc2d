"""Records written and read as files: bit for bit, atomically, without trust."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_repro.capturing import capture_tree, digest
from pytest_repro.comparing import compare_artifacts
from pytest_repro.errors import PayloadAbsentError, RecordError, ReproError
from pytest_repro.model import Artifacts, Leaf, Verdict
from pytest_repro.records import payload, record
from pytest_repro.records.files import read_record, record_path
from tests.unit.records.helpers import FACTS, NODEID, forge, load, results, write

BOTH = pytest.mark.parametrize("inline_bytes", [0, 2**20], ids=["in a file", "inline"])


@BOTH
def test_every_bit_is_restored_from_any_layout(tmp_path, inline_bytes):
    path = write(tmp_path, inline_bytes=inline_bytes)
    back = load(path)
    expected = capture_tree(results())
    assert compare_artifacts(back, expected).verdict is Verdict.IDENTICAL
    assert digest(back) == digest(expected) == read_record(path, nodeid=NODEID).record.digest
    assert len(list(tmp_path.iterdir())) == (1 if inline_bytes else 2)


def test_bfloat16_float8_and_texts_with_stray_bytes_are_restored(tmp_path):
    leaves = {
        "b": Leaf("array", np.array([0x3F80, 0x7FC1], np.uint16), "Tensor", "bfloat16", (2,), (("device", "cpu"),)),
        "f8": Leaf("array", np.arange(256, dtype=np.uint8), "Tensor", "float8_e4m3fn", (256,)),
        "long": Leaf("array", np.array([1, 3], np.longdouble) / 3, "ndarray", "longdouble", (2,)),
        "a\udcff": Leaf("array", np.ones(2), "ndarray", "float64", (2,)),
        "__metadata__": Leaf("array", np.zeros(2), "ndarray", "float64", (2,)),
        "artifact-0": Leaf("array", np.full(2, 5.0), "ndarray", "float64", (2,)),
        "nan": Leaf("value", float("nan"), "float", "float"),
    }
    artifacts = Artifacts(leaves)
    assert digest(load(write(tmp_path, artifacts))) == digest(artifacts)


def test_the_library_of_safetensors_reads_the_payload(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    write(tmp_path, inline_bytes=0)
    (payload,) = tmp_path.glob("*.safetensors")
    np.testing.assert_array_equal(library.load_file(payload)["weights/strided"], results()["weights"]["strided"])


def test_writing_twice_gives_the_same_bytes(tmp_path):
    files = []
    for name in ("one", "two"):
        write(tmp_path / name, inline_bytes=0)
        files.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert files[0] == files[1]
    assert os.uname().nodename.encode() not in b"".join(files[0].values())


def test_the_manifest_is_canonical_json_with_figures_and_samples(tmp_path):
    data = write(tmp_path).read_bytes()
    assert data == json.dumps(json.loads(data), ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    entry = next(e for e in json.loads(data)["artifacts"] if e["path"] == "weights/w")
    assert entry["figures"]["count"] == 48
    assert len(entry["samples"]) == 48
    assert entry["samples"][0] == results()["weights"]["w"][0, 0].tobytes()[::-1].hex()


def test_tests_whose_names_differ_in_odd_characters_have_different_records(tmp_path):
    names = [
        "a.py::t[a/b]",
        "a.py::t[a-b]",
        "a.py::t[a b]",
        "A.py::t[a-b]",
        "../../etc/passwd",
        "x" * 5000,
        "::",
        "é",
        "ü",
    ]
    paths = [record_path(tmp_path, name) for name in names]
    assert len({str(path).lower() for path in paths}) == len(names)
    assert all(path.parent == tmp_path and len(path.name) < 130 and not path.name.startswith(".") for path in paths)
    write(tmp_path, 1.0, nodeid=names[4])
    assert [path.parent for path in tmp_path.rglob("*.json")] == [tmp_path]


def test_a_missing_record_is_a_file_not_found_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_record(record_path(tmp_path, NODEID))


def test_a_record_of_another_test_is_rejected_with_both_names(tmp_path):
    path = write(tmp_path, nodeid="test_a.py::test_other")
    path.rename(record_path(tmp_path, NODEID))
    with pytest.raises(RecordError, match=r"of another test, 'test_a\.py::test_other', not of"):
        read_record(record_path(tmp_path, NODEID), nodeid=NODEID)


@pytest.mark.parametrize("inline_bytes", [0, 2**20], ids=["in a file", "inline"])
def test_every_flipped_bit_and_every_cut_is_detected(tmp_path, inline_bytes):
    path = write(tmp_path, {"w": np.arange(12.0), "x": 1.5}, inline_bytes=inline_bytes)
    expected = digest(load(path))
    rng = np.random.default_rng(0)
    for target in list(tmp_path.iterdir()):
        whole = target.read_bytes()
        for place in rng.integers(0, len(whole) * 8, 150):
            damaged = bytearray(whole)
            damaged[place // 8] ^= 1 << (place % 8)
            target.write_bytes(damaged)
            with pytest.raises(RecordError):
                assert digest(load(path)) != expected
        for length in [0, 1, 7, 8, len(whole) // 2, len(whole) - 1]:
            target.write_bytes(whole[:length])
            with pytest.raises(RecordError):
                load(path)
        target.write_bytes(whole)
    assert digest(load(path)) == expected


def _set(*keys_and_value):
    *keys, value = keys_and_value

    def change(document):
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_set("version", "2.0"), "format version 2.0, this release reads 1.x"),
        (_set("version", 1), "its version must be text such as '1.0', got '1'"),
        (_set("format", "else"), "not a record of pytest-repro"),
        (_set("seed", -1), "seed"),
        (_set("seed", "1"), "'seed' is missing or not of type int"),
        (_set("digest", "sha256:0"), "seed or its digest is malformed"),
        (_set("artifacts", {}), "'artifacts' is missing or not of type list"),
        (_set("artifacts", 0, 1), "must be an object with a path"),
        (_set("artifacts", 1, "path", {"utf8": "zz"}), "path must be text"),
        (_set("artifacts", 1, "path", {"utf9": "00"}), "path must be text"),
        (_set("artifacts", 1, "path", 5), "path must be text, got '5'"),
        (_set("artifacts", 1, "digest", None), "digest of its artifact .* is malformed"),
        (_set("artifacts", 2, "shape", [2**40, 2**12]), "manifest says"),
        (_set("artifacts", 2, "stored", "O"), "is not a dtype"),
        (_set("artifacts", 2, "tensor", "weights/strided"), "manifest says|belongs to another artifact"),
        (_set("artifacts", 2, "traits", [["a", "b"]]), "does not match the digest in the record"),
        (_set("artifacts", -1, "value", {"kind": "str", "text": "other"}), "does not match the digest in the record"),
        (lambda d: d["artifacts"].pop(), "one was added or removed"),
        (lambda d: d["artifacts"].append(d["artifacts"][-1]), "occurs twice"),
        (_set("payload", None), "is missing, or belongs to another artifact"),
        (_set("payload", "kind", "http"), "of an unknown kind"),
        (_set("payload", "base64", "!"), "is not base64"),
        (_set("payload", "base64", "\x80"), "is not base64"),
        (_set("payload", "size", 3), "damaged"),
        (_set("updates", [1]), "no reason"),
        (_set("environment", []), "'environment' is missing or not of type dict"),
    ],
)  # fmt: skip
def test_a_forged_record_is_rejected_even_if_its_own_digest_matches(tmp_path, change, reason):
    path = write(tmp_path)
    forge(path, change)
    with pytest.raises(RecordError, match=reason):
        load(path)


@pytest.mark.parametrize(
    "name",
    ["../secret.safetensors", "/etc/passwd", "a/b.safetensors", "..", "", ".hidden.safetensors", "x.json", 5,
     "a\0.safetensors", "C:\\a.safetensors", "a\n.safetensors"],
)  # fmt: skip
def test_a_payload_outside_the_directory_is_never_opened(tmp_path, name):
    inside = tmp_path / "records"
    path = write(inside, inline_bytes=0)
    (payload,) = inside.glob("*.safetensors")
    shutil.copy(payload, tmp_path / "secret.safetensors")
    forge(path, _set("payload", "path", name))
    with pytest.raises(RecordError, match="is not the name of a file next to the record"):
        load(path)


def test_symbolic_links_are_not_followed(tmp_path):
    path = write(tmp_path / "records", inline_bytes=0)
    (payload,) = (tmp_path / "records").glob("*.safetensors")
    for target in (payload, path):
        moved = tmp_path / target.name
        target.rename(moved)
        target.symlink_to(moved)
        with pytest.raises(RecordError, match="must be a regular file"):
            load(path)
        target.unlink()
        moved.rename(target)
    load(path)


def test_writing_replaces_a_symbolic_link_and_not_its_target(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "records").mkdir()
    record_path(tmp_path / "records", NODEID).symlink_to(victim)
    path = write(tmp_path / "records")
    assert victim.read_text() == "mine"
    assert not path.is_symlink()


def test_a_fifo_or_a_directory_in_its_place_is_rejected_without_reading(tmp_path):
    path = record_path(tmp_path, NODEID)
    os.mkfifo(path)
    with pytest.raises(RecordError, match="must be a regular file"):
        read_record(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(RecordError, match="must be a regular file"):
        read_record(path)


class Trap:
    def __reduce__(self):
        return (os.system, ("touch trapped",))


def test_a_pickle_or_a_zip_in_disguise_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = record_path(tmp_path, NODEID)
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(RecordError, match="zip archive or a pickle"):
        read_record(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Trap()))
    with pytest.raises(RecordError, match="zip archive or a pickle"):
        read_record(path)
    assert not (tmp_path / "trapped").exists()


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12345\n"


def test_the_message_about_an_unfetched_pointer_says_how_to_fetch_it(tmp_path):
    path = write(tmp_path, inline_bytes=0)
    (payload,) = tmp_path.glob("*.safetensors")
    payload.write_text(LFS)
    with pytest.raises(PayloadAbsentError, match="git lfs pull"):
        load(path)
    payload.unlink()
    with pytest.raises(PayloadAbsentError, match="fetch it, or record the test again"):
        load(path)
    payload.with_name(f"{payload.name}.dvc").write_text("outs:\n- md5: 0\n")
    with pytest.raises(PayloadAbsentError, match="dvc pull"):
        load(path)
    path.write_text(LFS)
    with pytest.raises(RecordError, match="git lfs pull"):
        load(path)


def test_another_payload_in_its_place_is_rejected(tmp_path):
    path = write(tmp_path, inline_bytes=0)
    (payload,) = tmp_path.glob("*.safetensors")
    other = write(tmp_path / "other", {"w": np.zeros(3)}, inline_bytes=0)
    shutil.copy(next(other.parent.glob("*.safetensors")), payload)
    with pytest.raises(RecordError, match="does not match the digest in the record"):
        load(path)


def test_a_directory_that_cannot_be_written_is_an_error_of_the_record(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot write the record"):
        write(tmp_path / "file" / "records")


CHILD = textwrap.dedent("""
    import resource, sys
    from pathlib import Path
    import numpy as np
    from pytest_repro.errors import RecordError
    from tests.unit.records.helpers import write
    directory, limit = Path(sys.argv[1]), int(sys.argv[2])
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    value = 1
    while True:
        value += 1
        try:
            write(directory, {"w": np.full(200_000, float(value))})
        except RecordError as error:
            sys.exit(str(error))
        print(value, flush=True)
""")


def spawn(tmp_path, limit):
    arguments = [sys.executable, "-c", CHILD, str(tmp_path), str(limit)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_a_full_disk_leaves_the_old_record_intact(tmp_path):
    # A limit on a file's size replaces the full disk: both raise OSError in the middle of a write.
    write(tmp_path, {"w": np.full(200_000, 1.0)})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    child = spawn(tmp_path, 100_000)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 1
    assert "cannot write the record" in errors
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_process_killed_while_writing_leaves_one_complete_record(tmp_path):
    write(tmp_path, {"w": np.full(200_000, 1.0)})
    for delay_s in (0.0, 0.003, 0.01, 0.02):
        child = spawn(tmp_path, 0)
        child.stdout.readline()
        time.sleep(delay_s)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        child.stderr.close()
        data = load(record_path(tmp_path, NODEID)).leaves["w"].data
        assert (data == data[0]).all()


BASE: dict[str, bytes] = {}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_reader_accepts_or_rejects_every_sequence_of_bytes(tmp_path, data):
    if "name" not in BASE:
        path = write(tmp_path / "base", {"w": np.arange(40.0), "v": [1, "x"]}, inline_bytes=0)
        name = next(path.parent.glob("*.safetensors")).name.encode()
        BASE.update({p.suffix: p.read_bytes() for p in path.parent.iterdir()} | {"name": name})
    path, payload = tmp_path / "r.json", tmp_path / BASE["name"].decode()
    path.write_bytes(BASE[".json"])
    payload.write_bytes(BASE[".safetensors"])
    target = data.draw(st.sampled_from([path, payload]))
    content = bytearray(target.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(place, min(len(content), place + 20)))
        content[place:end] = data.draw(
            st.binary(max_size=20) | st.sampled_from([b"{", b'"', b"[" * 50, b"1e9", b":null,"])
        )
    target.write_bytes(content)
    try:
        back = load(path)
    except ReproError:
        return
    assert content == BASE[target.suffix] or digest(back) == read_record(path).record.digest


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_reader_does_not_crash_on_any_document_with_a_matching_digest(tmp_path, data):
    path = tmp_path / "record.json"
    if "forged" not in BASE:
        BASE["forged"] = write(tmp_path, {"w": np.arange(4.0), "v": 1}).read_bytes()
    path.write_bytes(BASE["forged"])
    scalars = st.none() | st.booleans() | st.integers(-3, 2**52) | st.text(max_size=4) | st.just([]) | st.just({})

    def change(document):
        place = document
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = data.draw(st.sampled_from(keys))
            inner = place[key]
            if not isinstance(inner, (dict, list)) or not inner or data.draw(st.booleans()):
                place[key] = data.draw(scalars)
                return
            place = inner

    try:
        forge(path, change)
    except ReproError:  # a lone surrogate
        return
    with contextlib.suppress(ReproError):
        load(path)


def test_facts_are_kept_as_documents(tmp_path):
    assert read_record(write(tmp_path)).record.facts["environment"] == FACTS["environment"]


def test_a_record_of_too_many_artifacts_is_neither_read_nor_written(tmp_path, monkeypatch):
    path = write(tmp_path, inline_bytes=0)
    count = len(read_record(path).record.entries)
    monkeypatch.setattr(record, "MAX_ARTIFACTS", count)
    read_record(path)
    monkeypatch.setattr(record, "MAX_ARTIFACTS", count - 1)
    bound = f"artifacts; at most {count - 1} are read: split the test, or return one array instead of many numbers"
    with pytest.raises(RecordError, match=f"it has {count} {bound}"):
        read_record(path)
    before = path.read_bytes()
    with pytest.raises(RecordError, match=bound):
        write(tmp_path, capture_tree({f"w{n}": n for n in range(count)}))
    assert path.read_bytes() == before


def test_a_payload_that_does_not_fit_into_memory_is_not_read(tmp_path, monkeypatch):
    path = write(tmp_path, inline_bytes=0)
    monkeypatch.setattr(payload, "read_free_kib", lambda: 0)
    with pytest.raises(RecordError, match="do not fit into the 0 bytes of free memory"):
        load(path)


def test_a_payload_is_opened_once(tmp_path, monkeypatch):
    path = write(tmp_path, {"w": np.zeros(1000)}, inline_bytes=0)
    opened = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda name, *args: opened.append(str(name)) or real(name, *args))
    load(path)
    assert sorted(opened) == sorted(str(path) for path in tmp_path.iterdir())
