from __future__ import annotations

from pathlib import Path

import pytest

from pytest_repro.diagnosis.batch_statistics import find_longest, find_reduced, find_statistic, is_crossed
from tests.unit.diagnosis.helpers import events_of


@pytest.mark.parametrize(
    "statement",
    [
        "x = (rows - rows.mean(axis=0)) / rows.std(axis=0)",
        "x = rows / np.max(rows, 0)",
        "x = frame.rank(pct=True)",
        "x = StandardScaler().fit_transform(rows)",
        "x = scipy.stats.zscore(rows)",
        "x = rows - rows.mean(dim=0, keepdim=True)",
        "x = rows / rows.max()",
        "return (frame - frame.mean(axis='index')) / 2",
        "if rows.mean(0).any():\n        pass",
    ],
)
def test_a_statistic_over_the_rows_is_found(tmp_path: Path, statement: str) -> None:
    found = find_statistic(events_of(tmp_path, "x = rows @ weights", statement))
    assert found is not None
    assert found.line == 3


@pytest.mark.parametrize(
    "statement",
    [
        "x = rows - rows.mean(axis=1, keepdims=True)",
        "x = np.max(rows, 1)",
        "x = rows.softmax(dim=-1)",
        "x = rows.sum(axis=0)",
        "x = max(lengths)",
        "x = rows.mean(axis)",
        "x = torch.nn.functional.layer_norm(rows, (2,))",
        "x = (",
    ],
)
def test_a_statistic_within_each_row_does_not_count(tmp_path: Path, statement: str) -> None:
    assert find_statistic(events_of(tmp_path, statement)) is None


def test_a_loss_is_not_a_statistic_that_rows_are_computed_with(tmp_path: Path) -> None:
    assert find_statistic(events_of(tmp_path, "loss = ((x - y) ** 2).mean()", gives="0.25")) is None
    assert find_statistic(events_of(tmp_path, "x = x - x.mean()")) is not None


@pytest.mark.parametrize(
    ("statement", "gives", "is_found"),
    [
        ("width = max(group)", "8", True),
        ("width = max(len(row) for row in rows)", "8", True),
        ("width = max(group)", "0.8", False),
        ("width = max(low, high)", "8", False),
        ("width = rows.max()", "8", False),
    ],
)
def test_the_longest_row_is_the_largest_of_several_integers(
    tmp_path: Path, statement: str, gives: str, is_found: bool
) -> None:
    assert (find_longest(events_of(tmp_path, statement, gives=gives)) is not None) is is_found


@pytest.mark.parametrize(
    ("texts", "sizes", "expected"),
    [
        (("Tensor float64 (32, 32): 1, 2", "Tensor float64 (8, 8): 1, 2"), (32, 8), True),
        (("ndarray float64 (8, 8): 1", "ndarray float64 (20, 20): 1, 2"), (8, 64), True),  # 20 rows are all there are
        (("ndarray float64 (1, 1): 1", "ndarray float64 (20, 20): 1, 2"), (1, 64), True),
        (("Tensor float64 (12, 12): 1, 2", "Tensor float64 (7, 7): 1, 2"), (32, 8), False),  # as long as the longest
        (("Tensor float64 (32, 5): 1, 2", "Tensor float64 (8, 5): 1, 2"), (32, 8), False),
        (("Tensor float64 (8, 8): 1, 2", "Tensor float64 (8, 8): 1, 3"), (32, 8), False),
        (("float: 1", "float: 2"), (32, 8), False),
    ],
)
def test_rows_that_are_compared_with_each_other_are_recognised_by_the_shape(
    tmp_path: Path, texts: tuple[str, str], sizes: tuple[int, int], expected: bool
) -> None:
    one, other = (events_of(tmp_path, "x = a @ b.T", gives=text)[0] for text in texts)
    assert is_crossed(one, other, sizes) is expected


@pytest.mark.parametrize(
    ("statement", "is_found"),
    [
        ("scores.append((logits[j] - logits.logsumexp(0)).item())", True),
        ("x = torch.softmax(logits, dim=0)[j]", True),
        ("x = np.exp(logits) / np.exp(logits).sum(axis=0)", True),
        ("x = logits.softmax(-1)", False),
        ("x = other.softmax(0)", False),
        ("x = logits.tanh()", False),
    ],
)
def test_a_reduction_over_an_array_as_long_as_the_batch_is_found(
    tmp_path: Path, statement: str, is_found: bool
) -> None:
    statements = ["other = 1", "logits = row @ pool.T", statement]
    whole, parts = (events_of(tmp_path, *statements, gives=f"Tensor float64 ({size},): 1, 2") for size in (24, 8))
    for event in (whole[1], parts[1]):
        event.changes["logits"] = event.changes.pop("x")
    pairs = list(zip(whole, parts, strict=True))
    found = find_reduced(pairs, (24, 8))
    assert (found is not None and found.line == 4) is is_found
    assert find_reduced(pairs, (24, 6)) is None
    assert find_reduced(list(zip(whole, whole, strict=True)), (24, 8)) is None
