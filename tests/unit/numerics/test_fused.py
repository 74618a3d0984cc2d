"""The compiled kernel gives the figures of the general path, and passes blocks that it cannot measure to NumPy."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_repro.model import Tolerance
from pytest_repro.numerics import compare_arrays, fused
from pytest_repro.numerics.kinds import kind_of
from pytest_repro.numerics.statistics import Tally

compiled = pytest.mark.skipif(not fused.is_compiled(), reason="the kernel is not compiled, or PYTEST_REPRO_PURE is set")

#: name: (carrier, bits of fraction, code of infinity)
FORMATS = {
    "float32": (np.uint32, 23, 0x7F800000),
    "float64": (np.uint64, 52, 0x7FF0000000000000),
    "bfloat16": (np.uint16, 7, 0x7F80),
}
CHUNK_BYTES = 8192
BOUNDS = [
    Tolerance(),
    Tolerance(max_ulp=3),
    Tolerance(max_ulp=2**70),
    Tolerance(rtol=2e-7),
    Tolerance(atol=1e-9),
    Tolerance(max_ulp=2, rtol=1e-3, atol=1e-30),
    Tolerance(max_ulp=1, norm=1e-6),
]


def general(actual: np.ndarray, expected: np.ndarray, dtype: str, bound: Tolerance):
    """Measure by the general path, with every sum of squares in float64."""
    kind = kind_of(dtype, expected.dtype)
    tally = Tally(kind, dataclasses.replace(bound, norm=bound.norm or 1.0))
    with np.errstate(all="ignore"):
        tally.add_expected(expected.reshape(-1))
        tally.add_block(0, actual.reshape(-1), expected.reshape(-1))
        return tally.finish(expected.shape)


def assert_alike(found, wanted, *, norm: float = 1e-12) -> None:
    rest = {"norm_rel": None, "max_expected": None}
    assert dataclasses.replace(found, **rest) == dataclasses.replace(wanted, **rest)
    if wanted.norm_rel is None:
        assert found.norm_rel is None
    else:
        assert found.norm_rel == pytest.approx(wanted.norm_rel, rel=norm, abs=0)
    if found.max_expected is not None:
        assert found.max_expected == wanted.max_expected


def check(actual: np.ndarray, expected: np.ndarray, dtype: str, bounds=BOUNDS) -> None:
    carrier, _, infinity = FORMATS[dtype]
    magnitude = carrier(np.iinfo(carrier).max >> 1)
    is_finite = all(((side & magnitude) < infinity).all() for side in (actual, expected))
    # Blocks passed to NumPy may be summed in float32, unless a `norm` bound is given.
    rough = dtype != "float64" and not is_finite
    for bound in bounds:
        found = compare_arrays(actual, expected, dtype=dtype, bound=bound)
        norm = 1e-5 if rough and bound.norm is None else 1e-12
        assert_alike(found, general(actual, expected, dtype, bound), norm=norm)


def numbers(dtype: str, size: int, rng: np.random.Generator, scale: str) -> np.ndarray:
    """Return codes of finite numbers of both signs."""
    carrier, mantissa, infinity = FORMATS[dtype]
    one = infinity // 2 >> mantissa << mantissa
    low, high = {
        "plain": (one - (4 << mantissa), one + (2 << mantissa)),
        "any": (0, infinity),
        "subnormal": (0, 1 << mantissa),
        "large": (infinity - (2 << mantissa), infinity),
        "few": (one, one + 3),
    }[scale]
    codes = rng.integers(low, high, size, dtype=np.uint64)
    codes[rng.random(size) < 0.1] = 0
    codes |= rng.integers(0, 2, size, dtype=np.uint64) << np.uint64(8 * np.dtype(carrier).itemsize - 1)
    return codes.astype(carrier)


def moved(codes: np.ndarray, infinity: int, reach: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return codes some steps away that are finite too."""
    top = codes.dtype.type(1) << codes.dtype.type(8 * codes.itemsize - 1)
    magnitudes, signs = (codes & ~top).astype(object), codes & top
    steps = rng.integers(-reach, reach + 1, codes.size) * (rng.random(codes.size) < share)
    return np.clip(magnitudes + steps, 0, infinity - 1).astype(codes.dtype) | signs


@compiled
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_every_figure_matches_the_general_path(data):
    dtype = data.draw(st.sampled_from(sorted(FORMATS)), "dtype")
    carrier, mantissa, infinity = FORMATS[dtype]
    chunk = CHUNK_BYTES // np.dtype(carrier).itemsize
    size = data.draw(st.sampled_from([1, 2, 15, 31, 64, chunk - 1, chunk, chunk + 1, 2 * chunk + 17]), "size")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32), "seed"))
    expected = numbers(dtype, size, rng, data.draw(st.sampled_from(["plain", "any", "subnormal", "large", "few"])))
    reach = data.draw(st.sampled_from([1, 4, 1 << (mantissa - 1), 1 << mantissa]), "reach")
    actual = moved(expected, infinity, reach, data.draw(st.sampled_from([0.001, 0.3, 1.0]), "share"), rng)
    top = 1 << (8 * expected.itemsize - 1)
    specials = [0, top, infinity, top | infinity, infinity + 1, infinity - 1, top | (infinity - 1), 1, top | 1]
    for side in (actual, expected):
        for code in data.draw(st.lists(st.sampled_from(specials), max_size=4)):
            side[rng.integers(size)] = code
    if data.draw(st.booleans(), "signs"):
        actual[rng.random(size) < 0.01] ^= carrier(top)
    check(actual, expected, dtype, [data.draw(st.sampled_from(BOUNDS))])


@compiled
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_codes_give_the_figures_of_the_general_path(data):
    dtype = data.draw(st.sampled_from(sorted(FORMATS)))
    carrier = FORMATS[dtype][0]
    codes = st.lists(st.integers(0, int(np.iinfo(carrier).max)), min_size=1, max_size=40)
    left = data.draw(codes)
    right = data.draw(st.lists(st.sampled_from(left) | st.integers(0, int(np.iinfo(carrier).max)), min_size=len(left)))
    check(np.array(left, carrier), np.array(right[: len(left)], carrier), dtype)


@compiled
@pytest.mark.parametrize("dtype", FORMATS)
def test_the_largest_ratio_is_found_among_many_equal_ones(dtype):
    # With 8 bits of fraction the largest ratio occurs many times in each chunk, and a larger one must not be missed.
    carrier, _, infinity = FORMATS[dtype]
    rng = np.random.default_rng(11)
    for _ in range(20):
        expected = numbers(dtype, 20_000, rng, "plain")
        expected[expected & ~(carrier(1) << carrier(8 * expected.itemsize - 1)) == 0] = 1
        actual = moved(expected, infinity, int(rng.integers(1, 60)), 1.0, rng)
        check(actual, expected, dtype, [Tolerance()])


@compiled
@pytest.mark.parametrize("dtype", FORMATS)
def test_a_ratio_that_is_larger_by_the_smallest_amount_is_found(dtype):
    # Ratios d / e of integers below 2**(m+1), for numbers of one binade. The first chunk has the smaller ratio.
    carrier, mantissa, infinity = FORMATS[dtype]
    chunk, least = CHUNK_BYTES // np.dtype(carrier).itemsize, 1 << mantissa
    if dtype == "bfloat16":
        ratios = {d / e: (d, e) for e in range(128, 256) for d in range(1, min(64, 255 - e) + 1)}
        ordered = sorted(ratios)
        closest = sorted(itertools.pairwise(ordered), key=lambda pair: pair[1] / pair[0])[:200]
        pairs = [(ratios[smaller], ratios[larger]) for smaller, larger in closest]
    else:
        starts = [least, least + 1, least + least // 3, 2 * least - 2000]
        gap = 1 if dtype == "float32" else 4  # a smaller gap would round to the same quotient
        pairs = [((d, e + gap), (d, e)) for d in (1, 3, 1000) for e in starts]
    one = infinity // 2 >> mantissa << mantissa
    for (d, e), (larger_d, larger_e) in pairs:
        expected = np.repeat(np.array([one + e - least, one + larger_e - least], carrier), chunk)
        actual = expected + np.repeat(np.array([d, larger_d], carrier), chunk)
        assert compare_arrays(actual, expected, dtype=dtype).max_rel == larger_d / larger_e > d / e


@compiled
def test_every_bfloat16_and_its_neighbours_give_the_figures_of_the_general_path():
    codes = np.array([c for c in range(1 << 16) if c & 0x7FFF < 0x7F80], np.uint16)
    np.random.default_rng(3).shuffle(codes)
    for reach in (1, 2, 63, 64, 65, 1000):
        check(moved(codes, 0x7F80, reach, 1.0, np.random.default_rng(reach)), codes, "bfloat16", [Tolerance()])


@compiled
@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("special", ["nan", "infinity", "nan in both"])
def test_only_chunks_that_are_not_finite_are_passed_to_numpy(dtype, special, monkeypatch):
    infinity = FORMATS[dtype][2]
    rng = np.random.default_rng(4)
    expected = numbers(dtype, 600_000, rng, "plain")
    actual = moved(expected, infinity, 4, 1.0, rng)
    actual[[200_001, 599_999]] = infinity + (special != "infinity")
    if special == "nan in both":
        expected[200_001] = actual[200_001]
    calls = []
    measure = fused._measure
    monkeypatch.setattr(fused, "_measure", lambda *a: calls.append(measure(*a)) or calls[-1])
    check(actual, expected, dtype, [Tolerance(max_ulp=2)])
    ends = [end for end, *_ in calls]
    assert len(ends) >= 2, "the kernel must continue after the chunk"
    assert 200_001 - CHUNK_BYTES < ends[0] <= 200_001


@compiled
def test_sums_that_exceed_float64_are_passed_to_numpy():
    rng = np.random.default_rng(5)
    for scale in (1e-170, 1e-310, 1e160, 1e300):
        expected = (rng.standard_normal(5_000) * scale).view(np.uint64)
        actual = moved(expected, FORMATS["float64"][2], 5, 0.5, rng)
        check(actual, expected, "float64")
    top = np.full(3_000, np.finfo(np.float64).max)
    check((-top).view(np.uint64), top.view(np.uint64), "float64")


@compiled
def test_a_sum_of_zeros_does_not_replace_a_tiny_sum():
    expected = np.zeros(200_000)
    expected[:10] = 1e-200
    actual = expected * 3
    actual[150_000] = -0.0
    check(actual.view(np.uint64), expected.view(np.uint64), "float64")


@compiled
@pytest.mark.parametrize("dtype", FORMATS)
def test_the_first_of_several_signed_zeros_is_the_worst_place(dtype):
    carrier, _, infinity = FORMATS[dtype]
    expected = np.array([infinity // 2, 0, infinity // 2, 0], carrier)
    actual = expected.copy()
    actual[[1, 3]] = 1 << (8 * expected.itemsize - 1)
    check(actual, expected, dtype)
    found = compare_arrays(actual, expected, dtype=dtype)
    assert (found.worst_index, found.max_ulp, found.ulp_histogram, found.over) == ((1,), 0, (2,), 2)


@compiled
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_views_of_any_layout_give_the_same_figures(dtype, tmp_path):
    rng = np.random.default_rng(6)
    infinity = FORMATS[dtype][2]
    codes = numbers(dtype, 60_000, rng, "plain")
    pair = [moved(codes, infinity, 4, 0.5, rng).view(dtype), codes.view(dtype)]
    wanted = compare_arrays(*pair)
    raw = [np.frombuffer(b"x" + side.tobytes(), np.uint8)[1:].view(f"{dtype}") for side in pair]
    assert not raw[0].flags.aligned
    strided = [np.repeat(side, 3)[::3] for side in pair]
    swapped = [side.astype(side.dtype.newbyteorder()) for side in pair]
    mapped = []
    for i, side in enumerate(pair):
        side.tofile(tmp_path / f"{i}")
        mapped.append(np.memmap(tmp_path / f"{i}", dtype=dtype, mode="r"))
    reversed_twice = [side[::-1].copy()[::-1] for side in pair]
    for form in (raw, strided, swapped, mapped, reversed_twice):
        assert_alike(compare_arrays(*form), wanted)
    shaped = [side.reshape(200, 300) for side in pair]
    at = np.unravel_index(wanted.first_index[0], (200, 300))
    assert compare_arrays(*shaped).first_index == at
    turned = compare_arrays(*(np.asfortranarray(side) for side in shaped))
    assert (turned.first_index, turned.differing, turned.max_ulp) == (at, wanted.differing, wanted.max_ulp)


@compiled
def test_inputs_are_only_read():
    pair = [np.arange(1, 9_000, dtype=np.float32), np.arange(1, 9_000, dtype=np.float32) * np.float32(1.0000002)]
    copies = [side.copy() for side in pair]
    for side in pair:
        side.flags.writeable = False
    assert compare_arrays(*pair).differing
    assert all(side.tobytes() == copy.tobytes() for side, copy in zip(pair, copies, strict=True))


@compiled
def test_invalid_arguments_are_rejected():
    from pytest_repro.numerics import _fused

    good = np.zeros(10, np.float32)
    with pytest.raises(ValueError, match="no kernel for float16"):
        _fused.measure(good, good, "float16", 0, 10, 0, 0.0, 0.0)
    with pytest.raises(ValueError, match="one length"):
        _fused.measure(good, good[:9], "float32", 0, 9, 0, 0.0, 0.0)
    for start, stop in [(-1, 3), (3, 2), (0, 11)]:
        with pytest.raises(ValueError, match="range"):
            _fused.measure(good, good, "float32", start, stop, 0, 0.0, 0.0)
    odd = np.zeros(41, np.uint8)[1:]
    with pytest.raises(ValueError, match="aligned"):
        _fused.measure(odd, odd, "float32", 0, 10, 0, 0.0, 0.0)
    with pytest.raises((ValueError, BufferError)):
        _fused.measure(good[::2], good[::2], "float32", 0, 5, 0, 0.0, 0.0)
    assert _fused.measure(good, good, "float32", 2, 2, 0, 0.0, 0.0) == (2, 0.0, 0.0, None)


@compiled
@pytest.mark.parametrize("dtype", FORMATS)
def test_with_flush_to_zero_the_kernel_measures_nothing_and_the_figures_are_the_same(dtype):
    torch = pytest.importorskip("torch")
    from pytest_repro.numerics import _fused

    rng = np.random.default_rng(8)
    expected = numbers(dtype, 20_000, rng, "subnormal")
    actual = moved(expected, FORMATS[dtype][2], 5, 0.5, rng)
    wanted = [general(actual, expected, dtype, bound) for bound in BOUNDS]
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormal numbers to zero")
    try:
        assert _fused.measure(actual, expected, dtype, 0, expected.size, 0, 0.0, 0.0)[::3] == (0, None)
        found = [compare_arrays(actual, expected, dtype=dtype, bound=bound) for bound in BOUNDS]
    finally:
        torch.set_flush_denormal(False)
    for one, other in zip(found, wanted, strict=True):
        assert_alike(one, other, norm=1e-5)


@compiled
@pytest.mark.parametrize("dtype", FORMATS)
def test_with_and_without_the_kernel_the_figures_of_a_large_array_match(dtype, monkeypatch):
    rng = np.random.default_rng(9)
    expected = numbers(dtype, 3_000_000, rng, "plain")
    actual = expected.copy()
    actual[1_500_000:] = moved(expected[1_500_000:], FORMATS[dtype][2], 4, 0.9, rng)
    found = compare_arrays(actual, expected, dtype=dtype, bound=Tolerance(max_ulp=2))
    monkeypatch.setattr(fused, "_measure", None)
    wanted = compare_arrays(actual, expected, dtype=dtype, bound=Tolerance(max_ulp=2))
    rest = {"norm_rel": None, "max_rel": None}
    assert dataclasses.replace(found, **rest) == dataclasses.replace(wanted, **rest)
    assert (found.norm_rel, found.max_rel) == (pytest.approx(wanted.norm_rel, rel=1e-5), pytest.approx(wanted.max_rel))


def test_the_source_has_the_version_that_its_caller_expects():
    # In the checkout, because an installed package does not contain the source.
    source = Path(__file__).parents[3] / "src" / "pytest_repro" / "numerics" / "_fused.c"
    assert re.findall(r"^#define VERSION (\d+)$", source.read_text(encoding="utf-8"), re.M) == [str(fused._VERSION)]


@compiled
def test_a_shared_object_of_another_version_is_not_used(monkeypatch):
    from pytest_repro.numerics import _fused

    assert fused._load() is _fused.measure
    monkeypatch.setattr(_fused, "VERSION", fused._VERSION + 1)
    assert fused._load() is None


@pytest.mark.parametrize("value", ["1", "true"])
def test_numpy_is_used_if_the_kernel_is_switched_off(value):
    code = (
        "import numpy as np, sys\n"
        "from pytest_repro.numerics import compare_arrays, fused\n"
        "found = compare_arrays(np.float32([1, 2]), np.float32([1, 3]))\n"
        "print(fused.is_compiled(), 'pytest_repro.numerics._fused' in sys.modules, found.differing, found.max_abs)"
    )
    environment = {**os.environ, "PYTEST_REPRO_PURE": value}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "1", "1.0"]
