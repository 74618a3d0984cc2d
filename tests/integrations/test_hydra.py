"""Configurations that real Hydra composes."""

from __future__ import annotations

import pytest

from pytest_repro import Verdict, examine
from pytest_repro.capturing import capture_tree
from pytest_repro.capturing.config import describe_config, list_missing
from pytest_repro.errors import ReproWarning, UnsupportedTypeError, UsageError
from tests.integrations.helpers import begin
from tests.unit.capturing.helpers import differing

omegaconf = pytest.importorskip("omegaconf")
create = omegaconf.OmegaConf.create


class TestCompose:
    """A folder of configurations, composed."""

    @pytest.fixture(autouse=True)
    def library(self):
        pytest.importorskip("hydra")
        from pytest_repro.integrations.hydra import compose_config

        self.compose = compose_config

    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "model").mkdir()
        (tmp_path / "train.yaml").write_text("defaults: [model: small, _self_]\nlr: 0.1\nrate: ${lr}\nneeded: ???\n")
        (tmp_path / "model" / "small.yaml").write_text("size: 4\n")
        (tmp_path / "model" / "large.yaml").write_text("size: 64\n")
        return tmp_path

    def test_it_is_recorded_with_its_overrides_and_returned(self, folder):
        repro, run = begin()
        config = self.compose(repro, folder, "train", ["model=large", "lr=0.5", "needed=1"], name="hydra")
        assert config.model.size == 64
        assert run.inputs["config"] == {"hydra": {"model": {"size": 64}, "lr": 0.5, "rate": 0.5, "needed": 1}}

    def test_a_second_run_composes_anew(self, folder):
        found = examine(lambda repro: {"config": self.compose(repro, folder, "train", ["needed=1"])})
        assert found.verdict is Verdict.IDENTICAL
        assert found.result.runs[1].inputs == found.result.runs[0].inputs

    def test_another_value_in_one_run_is_found_at_its_leaf(self, folder):
        def run(repro):
            return {"config": self.compose(repro, folder, "train", [f"lr={repro.run}", "needed=1"])}

        found = examine(run)
        assert found.verdict is Verdict.DIVERGED
        assert "config/lr" in found.message
        assert "config/rate" in found.message
        assert "config/model" not in found.message

    def test_a_missing_value_is_reported(self, folder):
        repro, run = begin()
        with pytest.warns(ReproWarning, match=r"config\.needed is missing \(\?\?\?\)"):
            self.compose(repro, folder, "train")
        assert run.inputs["config"]["config"]["needed"] == "???"

    def test_an_override_that_hydra_refuses_is_an_error_with_its_words(self, folder):
        with pytest.raises(UsageError, match=r"(?s)cannot compose 'train'.*model"):
            self.compose(begin()[0], folder, "train", ["model=huge"])

    def test_a_folder_that_does_not_exist_is_named(self, folder):
        with pytest.raises(UsageError, match="absent"):
            self.compose(begin()[0], folder / "absent", "train")

    def test_it_is_refused_where_hydra_is_in_use(self, folder):
        hydra = pytest.importorskip("hydra")
        with (
            hydra.initialize_config_dir(str(folder), version_base=None),
            pytest.raises(UsageError, match="already initialised"),
        ):
            self.compose(begin()[0], folder, "train")


def test_interpolations_are_compared_by_what_they_resolve_to():
    one, other = create({"a": 1, "b": "${a}"}), create({"a": 1, "b": 1})
    assert differing(capture_tree(one), capture_tree(other)) == []
    assert differing(capture_tree(one), capture_tree(create({"a": 2, "b": "${a}"}))) == ["a", "b"]


def test_lists_and_nested_nodes_are_compared_leaf_by_leaf():
    one, other = (create({"layers": [{"size": 4}, {"size": size}], "none": None}) for size in (8, 16))
    assert differing(capture_tree({"c": one}), capture_tree({"c": other})) == ["c/layers/1/size"]


@pytest.mark.parametrize("node", [{"a": "???"}, {"a": "${b}", "b": "???"}, ["???"]])
def test_a_missing_value_is_listed_as_not_compared(node):
    found = capture_tree({"c": create(node)})
    assert {entry.name.rpartition("/")[0] for entry in found.not_compared} == {"c"}
    assert "missing (???)" in found.not_compared[0].reason


@pytest.mark.parametrize("given", [1, None, "???x", "text"])
def test_a_value_that_only_one_run_gave_is_a_difference(given):
    one, other = create({"a": "???"}), create({"a": given})
    assert differing(capture_tree({"c": one}), capture_tree({"c": other})) == ["c/a"]


def test_a_node_that_is_none_or_missing_itself():
    class_ = omegaconf.DictConfig
    none, missing, empty = class_(None), class_("???"), class_({})
    found = [capture_tree({"c": value}) for value in (none, missing, empty)]
    assert [len(each.not_compared) for each in found] == [0, 1, 0]
    assert all(differing(found[i], found[j]) == ["c"] for i, j in ((0, 1), (0, 2), (1, 2)))


def test_an_interpolation_that_cannot_be_resolved_is_refused_with_its_key():
    with pytest.raises(UnsupportedTypeError, match=r"'a' cannot be resolved: .*nowhere"):
        capture_tree({"c": create({"a": "${nowhere}"})})
    with pytest.raises(UsageError, match=r"config\.m\.a cannot be resolved: .*nowhere"):
        describe_config(create({"m": {"a": "${nowhere}"}}))


def test_a_node_inside_of_other_hyperparameters_is_resolved():
    assert describe_config({"x": create({"a": 1, "b": "${a}"})}) == {"x": {"a": 1, "b": 1}}
    assert describe_config(create([1, "${0}"])) == [1, 1]


def test_missing_values_are_listed_by_their_place():
    given = {"x": create({"a": "???", "b": [1, "???"]}), "y": create({"password": "???"})}
    assert list_missing(given) == ["config.x.a", "config.x.b[1]", "config.y.password"]
    assert list_missing(create([1, "${0}"])) == []


def test_a_structured_configuration_keeps_its_class():
    from dataclasses import dataclass

    @dataclass
    class Options:
        size: int = 4

    one = capture_tree({"c": omegaconf.OmegaConf.structured(Options)})
    assert one.leaves["c/size"].data == 4
    assert differing(one, capture_tree({"c": create({"size": 4})})) == ["c"]
