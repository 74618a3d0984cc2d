"""Readers return what was written or raise an error of pytest-repro, in bounded time and memory, for any file."""

from __future__ import annotations

import io
import json
import os
import socket
import zipfile

import pytest

pytest.importorskip("hypothesis")
pytest.importorskip("cryptography")
import tracemalloc

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pytest_repro.errors import ReproError
from pytest_repro.model import reading
from tests.properties.readers import make_readers

NAMES = (
    "record", "payload of a record", "tensors", "statement", "envelope", "sigstore", "evidence", "session record",
    "audit report", "json", "forged record", "forged payload", "public key", "report", "dvc file",
    "settings as JSON", "settings as TOML", "bundle", "array store", "data of an array store", "answer of a child",
    "answer of an equivalence", "data", "findings of a diagnosis", "known findings", "imported audit report",
    "key file", "trace",
)  # fmt: skip
#: Files protected by a digest or a signature, of which no change may be accepted.
GUARDED = ("record", "payload of a record", "statement", "bundle")
#: Files that are not JSON.
BINARY = (
    "tensors", "payload of a record", "forged payload", "public key", "dvc file", "settings as TOML", "bundle",
    "data of an array store", "data", "key file", "trace",
)  # fmt: skip

EXAMPLES = settings(
    max_examples=25, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    return make_readers(tmp_path_factory.mktemp("readers"))


def test_every_reader_is_tested(readers):
    assert set(readers) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_sound_file_is_read(readers, name):
    reader = readers[name]
    assert reader.read(reader.sound) is not None


def attempt(reader, data):
    """Return whether the data was accepted. An exception other than ReproError fails the test."""
    try:
        reader.read(data)
        return True
    except ReproError as error:
        text = str(error)
    assert 0 < len(text) < 5000
    return False


@st.composite
def damaged(draw, data):
    """Draw a damaged file: cut short, with bits flipped, or with a part repeated, dropped or replaced."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(changed)))
        length = draw(st.integers(1, 40))
        kind = draw(st.sampled_from(["cut", "flip", "drop", "repeat", "put"]))
        if kind == "cut":
            del changed[start:]
        elif kind == "flip" and start < len(changed):
            changed[start] ^= 1 << draw(st.integers(0, 7))
        elif kind == "drop":
            del changed[start : start + length]
        elif kind == "repeat":
            changed[start:start] = changed[start : start + length]
        else:
            changed[start : start + length] = draw(st.binary(max_size=40))
    return bytes(changed)


@pytest.mark.parametrize("name", NAMES)
@EXAMPLES
@given(choice=st.data())
def test_a_damaged_file_raises_only_repro_errors(readers, name, choice):
    reader = readers[name]
    data = choice.draw(damaged(reader.sound))
    assume(data != reader.sound)
    was_accepted = attempt(reader, data)
    assert not (was_accepted and name in GUARDED)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8)
    | st.sampled_from(["../x", "/etc/passwd", "\x00", "\ud800", "sha256:" + "0" * 64, "99.0", "inline", "array"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def places_of(document, place=()):
    """Yield the path of every value in a document."""
    yield place
    inner = list(enumerate(document)) if isinstance(document, list) else []
    for key, value in document.items() if isinstance(document, dict) else inner:
        yield from places_of(value, (*place, key))


def put(document, place, value):
    if not place:
        return value
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return document


@pytest.mark.parametrize("name", [name for name in NAMES if name not in BINARY])
@EXAMPLES
@given(choice=st.data())
def test_another_value_anywhere_raises_only_repro_errors(readers, name, choice):
    document = json.loads(readers[name].sound)
    place = choice.draw(st.sampled_from(sorted(places_of(document), key=str)))
    changed = put(document, place, choice.draw(json_values))
    if name == "record" and isinstance(changed, dict):
        changed = sealed(changed)
    attempt(readers[name], json.dumps(changed).encode("utf-8", "surrogatepass"))


def sealed(document):
    """Replace a record's own digest by the right one, if the document can be written."""
    from pytest_repro.records.record import _own_digest

    document.pop("sha256", None)
    try:
        return {**document, "sha256": _own_digest(document)}
    except ReproError:
        return document


@pytest.mark.parametrize("name", ["tensors"])
@EXAMPLES
@given(choice=st.data())
def test_another_header_of_tensors_raises_only_repro_errors(readers, name, choice):
    sound = readers[name].sound
    length = int.from_bytes(sound[:8], "little")
    header = json.loads(sound[8 : 8 + length])
    place = choice.draw(st.sampled_from(sorted(places_of(header), key=str)))
    numbers = st.integers(-5, 2**63) | st.lists(st.sampled_from([0, 1, 3, 2**31, 2**62, 2**63]), max_size=70)
    text = json.dumps(put(header, place, choice.draw(json_values | numbers))).encode("utf-8", "surrogatepass")
    attempt(readers[name], len(text).to_bytes(8, "little") + text + sound[8 + length :])


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.pkl", b"cos\nsystem\n(S'touch was-run'\ntR.")
    return file.getvalue()


HOSTILE = {
    "nothing": b"",
    "a pickle that runs a command": b"cos\nsystem\n(S'touch was-run'\ntR.",
    "a pickle of protocol 4": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0dtouch was-run\x85R.",
    "a zip archive": zipped(),
    "deep lists": b"[" * 20_000,
    "deep objects": b'{"a":' * 20_000,
    "deep and closed": b"[" * 2000 + b"]" * 2000,
    "a key twice": b'{"format":1,"format":2}',
    "a number of 100,000 digits": b'{"seed":' + b"9" * 10**5 + b"}",
    "a number beyond floats": b'{"seed":1e999999}',
    "NaN": b'{"seed":NaN}',
    "no UTF-8": b'{"a":"\xff\xfe"}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "a header of 2**63 bytes": (2**63).to_bytes(8, "little") + b"{}",
    "a git-lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "another version": b'{"format":"pytest-repro record","version":"2.0"}',
    "HTML": b"<script>alert(1)</script>",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_rejected_in_bounded_memory_and_nothing_runs(readers, name, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tracemalloc.start()
    try:
        was_accepted = attempt(readers[name], HOSTILE[kind])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # A report of pip-audit is never rejected, since an invalid one never gives "clean". A file that DVC did not write
    # declares nothing, and one that the diagnosis did not write rules nothing out. A trace may be cut off in its first
    # line. Data may hold anything. Settings
    # files may hold anything that the parsers of Python accept.
    allowed = {
        "audit report": HOSTILE, "imported audit report": HOSTILE, "json": ("another version",), "dvc file": HOSTILE,
        "findings of a diagnosis": HOSTILE, "data": HOSTILE, "trace": HOSTILE,
        "settings as TOML": ("nothing",),
        "settings as JSON": ("another version", "a key twice", "a number beyond floats", "NaN", "UTF-16"),
    }  # fmt: skip
    assert not was_accepted or kind in allowed.get(name, ())
    assert peak < 20 * 2**20
    assert list(tmp_path.iterdir()) == []


def test_shapes_that_exceed_the_file_are_rejected(readers):
    for shape in ([2**40, 2**40], [2**62, 4], [2**31] * 5, [0] * 66, [-1, -12], [True, 12]):
        header = json.dumps({"w": {"dtype": "F64", "shape": shape, "data_offsets": [0, 96]}}).encode()
        data = len(header).to_bytes(8, "little") + header + bytes(96)
        assert not attempt(readers["tensors"], data)


#: Readers that have an answer where there is no file: nothing is declared, ruled out or audited, or no child answered.
ANSWERS_WITHOUT_A_FILE = ("dvc file", "findings of a diagnosis", "imported audit report", "answer of a child")
#: Files that users name, which may be links. Their own links in a bundle, in records or between processes are refused.
FOLLOWED = (
    "report", "known findings", "dvc file", "settings as JSON", "settings as TOML", "data", "imported audit report",
    "key file",
)  # fmt: skip
#: Readers of bytes, and those whose file is sealed by another one before it is read.
WITHOUT_A_FILE = (
    "tensors", "audit report", "json", "public key", "evidence", "session record", "forged record", "forged payload",
)  # fmt: skip
WITH_FILES = [name for name in NAMES if name not in WITHOUT_A_FILE]
#: One of the two forms of a signature suffices.
OPTIONAL = ("envelope", "sigstore")
SPECIAL = {
    "a FIFO": lambda path: os.mkfifo(path),
    "a socket": lambda path: make_socket(path),
    "a directory": lambda path: path.mkdir(),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to nothing": lambda path: path.symlink_to(path.with_name("nothing")),
    "a link to itself": lambda path: path.symlink_to(path),
    "nothing": lambda path: None,
}


def make_socket(path):
    folder, here = os.open(path.parent, os.O_RDONLY), os.open(".", os.O_RDONLY)
    try:
        os.fchdir(folder)  # the address of a socket has at most 107 bytes
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.fchdir(here)
        os.close(here)
        os.close(folder)


@pytest.fixture
def placed(readers, request):
    """Return a reader of a file, which the test may replace."""
    reader = readers[request.param]
    reader.read(reader.sound)  # writes the file, and what belongs to it
    yield request.param, reader
    if reader.path.is_dir() and not reader.path.is_symlink():
        reader.path.rmdir()
    else:
        reader.path.unlink(missing_ok=True)
    reader.path.write_bytes(reader.sound)


def read_again(reader):
    """Return the message with which a reader rejects what is there now, which must be one printable line, or None."""
    try:
        reader.reread()
    except (ReproError, OSError) as error:
        text = str(error)
        assert text.isprintable(), text
        return text
    return None


@pytest.mark.skipif(os.name != "posix", reason="links and pipes")
@pytest.mark.parametrize("placed", WITH_FILES, indirect=True)
@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_regular_file_is_refused_and_not_waited_for(placed, kind, monkeypatch):
    name, reader = placed
    reader.path.unlink()
    SPECIAL[kind](reader.path)
    waiting = note_openings(reader.path, monkeypatch)
    message = read_again(reader)
    is_fine = (name, kind) == ("data", "a directory") or (name in OPTIONAL and kind == "nothing")
    assert message is not None or name in ANSWERS_WITHOUT_A_FILE or is_fine
    assert waiting == []


def note_openings(path, monkeypatch):
    """Return a list of the calls that open the file, and that would wait for the other end of a FIFO."""
    found = []
    real = os.open

    def noting(name, flags, *args, **kwargs):
        if os.fspath(name) == str(path) and not flags & os.O_NONBLOCK:
            found.append(flags)
        return real(name, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", noting)
    return found


@pytest.mark.skipif(os.name != "posix", reason="links")
@pytest.mark.parametrize("placed", WITH_FILES, indirect=True)
def test_a_link_is_followed_only_where_a_user_names_the_file(placed, tmp_path):
    name, reader = placed
    reader.path.unlink()
    target = tmp_path / reader.path.name
    target.write_bytes(reader.sound)
    reader.path.symlink_to(target)
    message = read_again(reader)
    assert (message is None) == (name in (*FOLLOWED, "findings of a diagnosis"))


@pytest.mark.parametrize(
    "placed", [name for name in WITH_FILES if name not in ("data of an array store", "trace")], indirect=True
)
@pytest.mark.parametrize("change", ["grows", "shrinks", "is written to"])
def test_a_file_that_changes_while_it_is_read_is_refused(placed, change, monkeypatch):
    """Not what is mapped, or read line by line: the process that wrote it has ended."""
    name, reader = placed
    real = reading.OpenedFile._check_unchanged
    checked = []

    def check(self, missing):
        if os.fstat(self._file.fileno()).st_ino == reader.path.stat().st_ino:
            checked.append(name)
            if change == "grows":
                with reader.path.open("ab") as file:
                    file.write(b" ")
            elif change == "shrinks":
                os.truncate(reader.path, 1)
            else:
                os.utime(reader.path, ns=(1, 1))
        real(self, missing)

    monkeypatch.setattr(reading.OpenedFile, "_check_unchanged", check)
    message = read_again(reader)
    assert checked
    if name not in ANSWERS_WITHOUT_A_FILE or name == "answer of a child":
        assert "it was changed while it was read" in message


@pytest.mark.skipif(os.name != "posix", reason="files with holes")
@pytest.mark.parametrize(
    "placed", [n for n in WITH_FILES if n not in ("data", "data of an array store")], indirect=True
)
def test_a_file_beyond_its_bound_is_not_read(placed, monkeypatch):
    """A terabyte of holes costs nothing to make."""
    name, reader = placed
    os.truncate(reader.path, 2**40)
    for method in ("iterate", "read_into"):
        real = getattr(reading.OpenedFile, method)

        def read(self, *args, real=real):
            assert os.fstat(self._file.fileno()).st_ino != reader.path.stat().st_ino, "it was read"
            return real(self, *args)

        monkeypatch.setattr(reading.OpenedFile, method, read)
    message = read_again(reader)
    assert name in ANSWERS_WITHOUT_A_FILE or "at most" in message or "does not match the digest" in message
