"""Every change of a record and of its arrays is refused by `show`, by `diff` and by ``--repro-verify``."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_repro.records.canonical import canonical_bytes
from pytest_repro.records.record import _own_digest
from tests.evidence.helpers import command, run_pytest
from tests.evidence.mutations import Mutation, byte_mutations, changed_documents, encoding_mutations, field_mutations

Copied = Callable[[Path], Path]
#: Places of a record that say nothing about its results. A signature shows who edits them and the record's digest.
CIRCUMSTANCES = (
    "code", "condition", "config", "data", "environment", "policy", "seed", "settings", "test", "updates", "version",
)  # fmt: skip


def find_record(folder: Path, test: str) -> Path:
    (path,) = folder.glob(f"*{test}*.json")
    return path


@pytest.mark.parametrize("test", ["test_small", "test_large"])
def test_every_change_of_a_record_is_refused_with_its_name(written: Path, copied: Copied, test: str) -> None:
    whole = written / "records"
    name = find_record(whole, test).name
    wrong = {}
    for mutation in (*byte_mutations(whole, name), *field_mutations(whole, name), *encoding_mutations(whole, name)):
        folder = copied(whole)
        mutation.apply(folder)
        for arguments in (
            ("show", folder / name),
            ("diff", whole / name, folder / name),
            ("diff", folder / name, whole / name),
        ):
            status, output = command(*arguments)
            if is_other_encoding(mutation):
                if status != 0:
                    wrong[f"{mutation.name}, {arguments[0]}"] = (status, output.strip()[:200])
            elif status == 0 or name not in output:
                wrong[f"{mutation.name}, {arguments[0]}"] = (status, output.strip()[:200])
        shutil.rmtree(folder)
    assert not wrong, json.dumps(wrong, indent=1)


def is_other_encoding(mutation: Mutation) -> bool:
    """Return whether a record still holds the same document: git or an editor may end or indent its lines otherwise."""
    return mutation.name in ("indented", "in another order", "with spaces", "a byte more", "a byte before")


def test_every_change_of_the_arrays_is_refused_with_the_name_of_the_record(written: Path, copied: Copied) -> None:
    whole = written / "records"
    record = find_record(whole, "test_large").name
    (arrays,) = (path.name for path in whole.glob("*.safetensors"))
    wrong = {}
    for mutation in byte_mutations(whole, arrays):
        folder = copied(whole)
        mutation.apply(folder)
        for arguments in (("show", folder / record), ("diff", whole / record, folder / record)):
            status, output = command(*arguments)
            # DVC or git-lfs may store them elsewhere.
            is_told = arrays in output or (arguments[0] == "show" and "arrays    are not here" in output)
            if (status == 0 and mutation.name not in ("missing", "in capitals")) or not is_told:
                wrong[f"{mutation.name}, {arguments[0]}"] = (status, output.strip()[:200])
        shutil.rmtree(folder)
    assert not wrong, json.dumps(wrong, indent=1)


def forge_all(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield changed records whose digest of themselves is right, as somebody makes them who knows the format."""
    document = json.loads(path.read_bytes())
    del document["sha256"]
    for place, kind, changed in changed_documents(document):
        if place[0] not in CIRCUMSTANCES:
            yield f"{kind} at {'.'.join(map(str, place))}", canonical_bytes({**changed, "sha256": _own_digest(changed)})


#: Further notes about an artifact that no reader takes for its content.
NOTES = re.compile(r".* at artifacts\.\d+(\.(figures|samples)(\..*)?)?|.* at payload")


@pytest.mark.parametrize("test", ["test_small", "test_large"])
def test_forged_results_are_refused_though_the_digest_of_the_record_is_right(
    written: Path, copied: Copied, test: str
) -> None:
    whole = written / "records"
    path = find_record(whole, test)
    wrong = {}
    folder = copied(whole)
    for kind, data in forge_all(path):
        (folder / path.name).write_bytes(data)
        for arguments in (("show", folder / path.name), ("diff", path, folder / path.name)):
            status, output = command(*arguments)
            if (status == 0 or path.name not in output) and not NOTES.fullmatch(kind):
                wrong[f"{kind}, {arguments[0]}"] = (status, output.strip()[:200])
    assert not wrong, json.dumps(wrong, indent=1)


VERIFIED = """
    import numpy as np
    import pytest

    @pytest.mark.reproducible
    @pytest.mark.parametrize("number", range({count}))
    def test_it(number):
        return {{"loss": 0.5, "w": np.arange(6.0).reshape(2, 3)}}
"""


def test_a_session_verifies_no_changed_record(tmp_path: Path) -> None:
    run_pytest(tmp_path, "--repro-record=first", source=VERIFIED.format(count=1))
    (first,) = (tmp_path / "first").glob("*.json")
    bytewise = [mutation for mutation in byte_mutations(first.parent, first.name) if not is_other_encoding(mutation)]
    forged = [(kind, data) for kind, data in forge_all(first) if not NOTES.fullmatch(kind)]
    count = len(bytewise) + len(forged) + 1
    run_pytest(tmp_path, "--repro-record=records", source=VERIFIED.format(count=count))
    records = tmp_path / "records"
    names = {number: path.name for number in range(count) for path in records.glob(f"*test_it-{number}-*.json")}
    assert len(names) == count
    for number, mutation in enumerate(bytewise):
        each = next(m for m in byte_mutations(records, names[number]) if m.name == mutation.name)
        each.apply(records)
    for number in range(len(forged)):
        path = records / names[len(bytewise) + number]
        path.write_bytes([data for kind, data in forge_all(path) if not NOTES.fullmatch(kind)][number])
    output = run_pytest(
        tmp_path, "--repro-verify=records", "-rA", "--tb=line", source=VERIFIED.format(count=count), check=False
    )
    passed = sorted(int(number) for number in re.findall(r"^PASSED test_it.py::test_it\[(\d+)\]", output, re.MULTILINE))
    kinds = [mutation.name for mutation in bytewise] + [kind for kind, _ in forged] + ["unchanged"]
    assert [kinds[number] for number in passed if kinds[number] != "unchanged"] == []
    assert len(passed) == 1
    # Of one that is missing, the name is that of the test; DVC may have it.
    unnamed = [kinds[n] for n, name in names.items() if name not in output and kinds[n] not in ("unchanged", "missing")]
    assert unnamed == ["in capitals"]
