"""The differences between two environments: their order, and which of them may change bits."""

from __future__ import annotations

import copy

import pytest

from pytest_repro.axes import BUILT_IN_NAMES
from pytest_repro.records.checking import choose_tier
from pytest_repro.records.differences import WEIGHTS, describe_circumstance, document_of, find_differences

FACTS = {
    "environment": {
        "python": {"implementation": "CPython", "version": "3.11.9", "free_threaded": False},
        "platform": {"system": "linux", "machine": "x86_64", "libc": "glibc 2.36", "byte_order": "little"},
        "cpu": {"model": "EPYC", "instruction_sets": ["avx2", "fma"], "cores": 4},
        "packages": {
            "numpy": {"version": "2.4.0", "record": "sha256:a", "numerical": True},
            "scikit-learn": {"version": "1.9", "record": "sha256:b", "numerical": True},
            "mine": {"version": "1.0", "record": "sha256:m", "numerical": False, "local": True},
            "sphinx": {"version": "8.0", "record": "sha256:c", "numerical": False},
        },
        "lock_files": {"uv.lock": "sha256:1"},
        "thread_pools": [{"internal_api": "openblas", "architecture": "Haswell", "num_threads": 4}],
        "accelerators": [],
        "variables": {"OMP_NUM_THREADS": "4"},
        "container": {"unavailable": "not declared"},
        "hash_seed": "random",
        "locale": {"all": "C", "encoding": "UTF-8"},
        "timezone": {"names": ["UTC", "UTC"], "offset_s": 0},
        "package_files": {"changed": {}, "unchecked": {}},
    },
    "variables_read": {"LR": "sha256:1"},
    "code": {"commit": "c1", "tree": "t1", "diff": None, "submodules": {}},
    "data": {"train": {"sha256": "d1"}},
    "config": {"config": {"lr": "0x1p-3"}},
    "settings": {"torch.num_threads": 4, "numpy.print_options": {"precision": 8}},
    "condition": {"threads": 1},
    "policy": {"tolerance": [["*", "no difference"]]},
}  # fmt: skip


def changed(*path_and_value):
    *path, value = path_and_value
    facts = copy.deepcopy(FACTS)
    place = facts
    for key in path[:-1]:
        place = place[key]
    if value is None:
        place.pop(path[-1])
    else:
        place[path[-1]] = value
    return facts


E = "environment"
#: A change, the part that is listed, whether it may change bits, and the axis that could confirm it here.
CASES = [
    ((E, "accelerators", [{"name": "H100", "driver": "1"}]), "accelerators", True, "device"),
    ((E, "packages", "numpy", "version", "2.5"), "package that computes", True, "python=numpy==2.4.0"),
    ((E, "packages", "numpy", "record", "sha256:z"), "package that computes", True, ""),
    ((E, "packages", "numpy", None), "package on one side only", True, "python=numpy==2.4.0"),
    (
        (E, "packages", "scikit-learn", "version", "2"),
        "package that requires one that computes",
        True,
        "python=scikit-learn==1.9",
    ),
    ((E, "packages", "sphinx", "version", "9"), "other package", False, ""),
    ((E, "packages", "new", {"version": "1", "record": None, "numerical": False}), "other package", False, ""),
    ((E, "packages", "mine", "version", "1.1"), "project", False, ""),
    ((E, "packages", "mine", "record", "sha256:y"), "project", False, ""),
    ((E, "thread_pools", 0, "architecture", "SkylakeX"), "BLAS or OpenMP", True, "isa"),
    ((E, "thread_pools", 0, "num_threads", 8), "threads", True, "threads=8:4"),
    ((E, "thread_pools", {"unavailable": "no threadpoolctl"}), "BLAS or OpenMP", True, "isa"),
    ((E, "cpu", "instruction_sets", ["avx2", "avx512f", "fma"]), "instruction sets", True, "isa"),
    ((E, "cpu", "model", "Xeon"), "processor", True, "isa"),
    ((E, "platform", "libc", "glibc 2.40"), "C library", True, "isa"),
    ((E, "platform", "machine", "aarch64"), "platform", True, ""),
    ((E, "python", "version", "3.12.1"), "python", True, "python=python3.11"),
    ((E, "variables", "OMP_NUM_THREADS", "8"), "variable", True, "threads"),
    ((E, "variables", "ATEN_CPU_CAPABILITY", "default"), "variable", True, "isa"),
    ((E, "hash_seed", "0"), "hash seed", False, "hash_seed"),
    ((E, "locale", "all", "de_DE"), "locale", False, "locale"),
    ((E, "timezone", "offset_s", 3600), "time zone", False, "timezone"),
    ((E, "package_files", "changed", {"numpy": {"numpy/a.py": "sha256:1"}}), "files of a package", True, ""),
    ((E, "packages", "mine", "code", {"commit": "c2", "diff": None}), "project", False, ""),
    (("variables_read", "LR", "sha256:2"), "variable that the test read", False, ""),
    ((E, "container", {"digest": "sha256:f"}), "container", False, ""),
    ((E, "lock_files", "uv.lock", "sha256:2"), "lock file", False, ""),
    (("code", "diff", "sha256:9"), "code", False, ""),
    (("data", "train", {"sha256": "d2"}), "data", False, ""),
    (("data", "test", {"sha256": "d2"}), "data", False, ""),
    (("config", "config", {"lr": "0x1p-4"}), "config", False, ""),
    (("settings", "torch.num_threads", 8), "setting", True, "threads=8:4"),
    (("condition", "threads", 2), "condition", True, ""),
    (("policy", "tolerance", [["*", "rtol=10"]]), "tolerance", False, ""),
]


@pytest.mark.parametrize(("change", "part", "changes_bits", "axis"), CASES, ids=lambda v: str(v)[:60])
def test_each_difference_is_listed_and_may_change_bits_or_not(change, part, changes_bits, axis):
    (found,) = find_differences(FACTS, changed(*change))
    assert found.part == part
    assert found.changes_bits is changes_bits
    confirm = f"--repro-across={axis}" if axis.partition("=")[0] in BUILT_IN_NAMES else None
    assert found.confirm == confirm
    assert describe_circumstance(found).startswith(part)
    assert " -> " in describe_circumstance(found)
    assert choose_tier([found])[0] == ("tolerance" if changes_bits else "bits")
    assert choose_tier([found], demands_bits=True)[0] == "bits"


@pytest.mark.parametrize(
    "change",
    [
        (E, "cpu", "cores", 64),
        ("settings", "numpy.print_options", {"precision": 4}),
        ("settings", "jax.enable_x64", True),
        ("settings", "torch.num_threads", None),
        (E, "container", {"unavailable": "another reason"}),
    ],
    ids=str,
)
def test_a_fact_without_effect_or_unknown_on_both_sides_is_not_a_difference(change):
    assert find_differences(FACTS, changed(*change)) == []


def test_a_difference_that_reads_like_another_one_is_listed_once():
    pools = [{"internal_api": "openblas", "prefix": name, "num_threads": 2} for name in ("numpy", "scipy")]
    here = [{**pool, "num_threads": 1} for pool in pools]
    sides = (changed(E, "thread_pools", side) for side in (pools, here))
    assert [d.part for d in find_differences(*sides)] == ["threads"]


def test_what_the_test_tolerates_now_is_told_beside_what_it_did():
    (found,) = find_differences(FACTS, changed("policy", "tolerance", [["w*", "rtol=10"], ["*", "no difference"]]))
    assert describe_circumstance(found) == "tolerance: no difference -> w*: rtol=10, no difference"


def test_digests_are_shortened_and_the_same_file_with_other_bytes_is_told_apart():
    sides = ({"numpy": {"numpy/a.py": f"sha256:{digit * 64}"}} for digit in "12")
    first, second = (changed(E, "package_files", "changed", side) for side in sides)
    (found,) = find_differences(first, second)
    told = "files of a package numpy: changed: numpy/a.py (111111111111) -> changed: numpy/a.py (222222222222)"
    assert describe_circumstance(found) == told
    (found,) = find_differences(FACTS, changed("variables_read", "LR", f"sha256:{'3' * 64}"))
    assert describe_circumstance(found) == "variable that the test read LR: sha256:1 -> sha256:333333333333"


def test_what_differs_and_is_not_tolerated_is_not_called_a_match():
    (found,) = find_differences(FACTS, changed(E, "hash_seed", "0"))
    assert choose_tier([found])[1].startswith("nothing differs that loosens the comparison")
    assert choose_tier([])[1].startswith("the environment matches in everything")


def test_the_same_code_in_another_commit_is_not_a_difference():
    facts = changed("code", "commit", "c2")
    assert find_differences(FACTS, facts) == []
    facts["code"]["tree"] = "t2"
    assert [d.part for d in find_differences(FACTS, facts)] == ["code"]


def test_a_package_that_changed_comes_before_one_that_is_on_one_side_only():
    facts = changed(E, "packages", "numpy", "version", "2.5")
    facts[E]["packages"]["jax"] = {"version": "0.10", "record": None, "numerical": True}
    assert [d.name for d in find_differences(FACTS, facts)] == ["numpy", "jax"]


def test_kernels_come_before_a_docs_package_and_data_before_both():
    facts = changed(E, "packages", "sphinx", "version", "9")
    facts[E]["cpu"]["instruction_sets"] = []
    facts["data"] = {}
    assert [d.part for d in find_differences(FACTS, facts)] == ["data", "instruction sets", "other package"]


def test_facts_that_were_never_collected_differ_from_those_that_were():
    found = find_differences({**FACTS, "environment": {}}, FACTS)
    assert choose_tier(found)[0] == "tolerance"
    assert find_differences({}, {}) == []


def test_every_part_has_a_weight_of_its_own():
    assert sorted(WEIGHTS.values(), reverse=True) == list(WEIGHTS.values())
    assert len(set(WEIGHTS.values())) == len(WEIGHTS)


def test_the_one_of_many_settings_that_differs_is_named_in_decimal():
    settings = {f"setting {n}": n for n in range(50)}
    one = {"config": {**settings, "optimizer": {"lr": 0.1, "betas": [0.9, 0.99]}}}
    other = {"config": {**settings, "optimizer": {"lr": 0.2, "betas": [0.9, 0.99]}, "new": None}}
    recorded, here = document_of({"config": one}), document_of({"config": other})
    found = find_differences(recorded, here)
    assert [describe_circumstance(difference) for difference in found] == ["config config.optimizer.lr: 0.1 -> 0.2"]
    other["config"]["optimizer"]["betas"] = [0.9, 0.98]
    other["config"]["new"] = True
    names = [difference.name for difference in find_differences(recorded, document_of({"config": other}))]
    assert names == ["config.new", "config.optimizer.betas", "config.optimizer.lr"]


def test_a_file_of_settings_is_named_by_its_setting_or_if_none_differs_by_its_digest():
    def of_file(sha256, **content):
        return document_of({"config": {"config": {"file": "run.json", "sha256": sha256, "content": content}}})

    found = find_differences(of_file("aa", lr=0.1), of_file("bb", lr=0.2))
    assert [(difference.name, difference.here) for difference in found] == [("config.lr", (0.2).hex())]
    found = find_differences(of_file("aa", lr=0.1), of_file("bb", lr=0.1))
    assert [difference.name for difference in found] == ["config.sha256"]
    yaml = [{"config": {"config": {"file": "run.yaml", "sha256": name}}} for name in ("aa", "bb")]
    assert [difference.name for difference in find_differences(*yaml)] == ["config.sha256"]


@pytest.mark.parametrize("odd", ["text", 3, None, ["a"], {"content": 3}])
def test_settings_of_another_form_are_one_difference(odd):
    found = find_differences({"config": {"config": {"lr": 1}}}, {"config": {"config": odd}})
    assert {difference.part for difference in found} == {"config"}
    assert found
