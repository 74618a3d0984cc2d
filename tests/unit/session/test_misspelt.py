from __future__ import annotations

import pytest

from pytest_repro.session.misspelt import is_misspelling


@pytest.mark.parametrize(
    "name",
    [
        "reproducable",
        "reproducibl",
        "repro",
        "Reproducible",
        "reproduceable",
        "repoducible",
        "reproduce",
        "producible",
        "reproducibility",
        "REPRO",
    ],
)
def test_a_name_close_to_reproducible_is_meant_to_be_it(name: str) -> None:
    assert is_misspelling(name)


@pytest.mark.parametrize(
    "name",
    [
        "reproducible",
        "irreproducible",
        "unreproducable",
        "not_reproducible",
        "reproducible_on_gpu",
        "reprocess",
        "reproducer",
        "repeat",
        "report",
        "product",
        "producer",
        "production",
        "slow",
        "parametrize",
    ],
)
def test_a_word_of_its_own_is_no_misspelling(name: str) -> None:
    assert not is_misspelling(name)
