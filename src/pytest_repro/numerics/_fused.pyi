"""Interface of the compiled kernel, which only `fused.py` calls."""

from typing_extensions import Buffer

VERSION: int

def measure(
    actual: Buffer,
    expected: Buffer,
    format: str,
    start: int,
    stop: int,
    max_ulp: int,
    rtol: float,
    atol: float,
    /,
) -> tuple[int, float, float, tuple[int, int, int, int, int, float, float, float, tuple[int, ...]] | None]:
    """Measure the elements from `start` to `stop` of two aligned buffers of codes, without writing to either.

    Parameters
    ----------
    format : {"float32", "float64", "bfloat16"}
    max_ulp : int
        At most 64 bits. 0 means not given, as does an `rtol` or `atol` of 0.

    Returns
    -------
    end : int
        Less than `stop` if the chunk that begins there holds a NaN, an infinity or an inexact sum: nothing of that
        chunk is counted. `start` if flush-to-zero is on.
    expected_squares, max_expected : float
        Sum of the squares and largest magnitude of the baseline up to `end`.
    figures : tuple or None
        (differing, over, first, max_ulp, worst, max_abs, max_rel, difference_squares, counts by bit length), with
        positions from the start of the buffers. None if nothing differs.

    Raises
    ------
    ValueError
        If the format is unknown, the buffers differ in length or are not aligned, or the range exceeds them.
    """
