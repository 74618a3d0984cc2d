"""Changes of files, generated over every byte position of interest and every field of a document."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Fields of one document that are changed: the first of each place, since lists repeat one form.
MAX_FIELDS = 120


@dataclass(frozen=True)
class Mutation:
    """A change of one file of a directory.

    Attributes
    ----------
    file : str
        A message about the change must have this name.
    apply : callable
        Makes the change in a copy of the directory.
    """

    name: str
    file: str
    apply: Callable[[Path], object]


def byte_mutations(directory: Path, name: str) -> Iterator[Mutation]:
    """Yield changes that need no knowledge of a file's format, and of its place in the directory."""
    data, upper = (directory / name).read_bytes(), (directory / name).name.upper()
    middle = len(data) // 2
    contents = {
        "first bit": bytes([data[0] ^ 1]) + data[1:],
        "middle bit": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "last bit": data[:-1] + bytes([data[-1] ^ 1]),
        "a byte more": data + b"\n",
        "a byte before": b" " + data,
        "a byte order mark": b"\xef\xbb\xbf" + data,
        "a NUL in it": data[:middle] + b"\0" + data[middle:],
        "a byte less": data[:-1],
        "cut in half": data[:middle],
        "empty": b"",
        "twice": data + data,
    }
    for kind, content in contents.items():
        yield Mutation(kind, name, lambda folder, content=content: (folder / name).write_bytes(content))
    yield Mutation("missing", name, lambda folder: (folder / name).unlink())
    yield Mutation("in capitals", name, lambda folder: (folder / name).rename((folder / name).with_name(upper)))
    yield Mutation("a link to itself elsewhere", name, lambda folder: _link(folder, name))
    yield Mutation("a link to nothing", name, lambda folder: _replace(folder / name).symlink_to("nothing"))
    yield Mutation("a directory", name, lambda folder: _replace(folder / name).mkdir())
    if hasattr(os, "mkfifo"):
        yield Mutation("a FIFO", name, lambda folder: os.mkfifo(_replace(folder / name)))


def _replace(path: Path) -> Path:
    path.unlink()
    return path


def _link(folder: Path, name: str) -> None:
    elsewhere = folder.parent / f"{folder.name}-elsewhere"
    (folder / name).rename(elsewhere)
    (folder / name).symlink_to(elsewhere)


def encoding_mutations(directory: Path, name: str) -> Iterator[Mutation]:
    """Yield other encodings of one and the same document."""
    document = json.loads((directory / name).read_bytes())
    texts = {
        "indented": json.dumps(document, indent=1),
        "in another order": json.dumps({key: document[key] for key in reversed(document)}, separators=(",", ":")),
        "with spaces": json.dumps(document),
    }
    for kind, text in texts.items():
        yield Mutation(kind, name, lambda folder, text=text: (folder / name).write_text(text, encoding="utf-8"))


def field_mutations(directory: Path, name: str) -> Iterator[Mutation]:
    """Yield changes of the fields of a document: other values, missing, doubled, added and renamed ones."""
    document = json.loads((directory / name).read_bytes())
    for path, kind, changed in changed_documents(document):
        text = json.dumps(changed, separators=(",", ":"), ensure_ascii=False)
        where = f"{kind} at {'.'.join(map(str, path))}"
        yield Mutation(where, name, lambda folder, text=text: (folder / name).write_text(text, encoding="utf-8"))
    key = next(iter(document))
    doubled = f'{{"{key}":null,{json.dumps(document)[1:]}'
    yield Mutation("a key twice", name, lambda folder: (folder / name).write_text(doubled, encoding="utf-8"))


def changed_documents(document: Any) -> Iterator[tuple[tuple[Any, ...], str, Any]]:
    """Yield place, kind of change, and the changed copy, for each field once."""
    seen = set()
    for path, value in walk(document):
        form = tuple("#" if isinstance(part, int) else part for part in path)
        if form in seen or len(seen) >= MAX_FIELDS:
            continue
        seen.add(form)
        for kind, change in _changes_of(value):
            changed = copy.deepcopy(document)
            parent = changed
            for part in path[:-1]:
                parent = parent[part]
            if change(parent, path[-1]):
                yield path, kind, changed


def walk(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield every place in a document, with its value."""
    if path:
        yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from walk(item, (*path, key))


def _changes_of(value: Any) -> Iterator[tuple[str, Callable[[Any, Any], bool]]]:
    def put(new: Any) -> Callable[[Any, Any], bool]:
        def change(parent: Any, key: Any) -> bool:
            parent[key] = new
            return True

        return change

    def drop(parent: Any, key: Any) -> bool:
        del parent[key]
        return True

    def rename(parent: Any, key: Any) -> bool:
        if not isinstance(parent, dict):
            return False
        parent[f"{key}_"] = parent.pop(key)
        return True

    if isinstance(value, bool):
        yield "the opposite", put(not value)
    elif isinstance(value, int):
        yield "one more", put(value + 1)
    elif isinstance(value, str):
        yield "another text", put(_another(value))
    elif isinstance(value, list) and value:
        yield "an element twice", put([*value, value[0]])
        yield "an element less", put(value[1:])
    elif value is None:
        yield "a value", put("x")
    elif isinstance(value, dict):
        yield "a key more", put({**value, "added": "x"})
    yield "missing", drop
    yield "renamed", rename


def _another(text: str) -> str:
    """Return a text of the same form: another digest, number, verdict or word."""
    others = {"PASSED": "FAILED", "FAILED": "PASSED", "identical": "diverged", "diverged": "identical"}
    if text in others:
        return others[text]
    last = text[-1:]
    return text[:-1] + ("1" if last != "1" else "2") if last.isdigit() or last in "abcdef" else f"{text}x"
