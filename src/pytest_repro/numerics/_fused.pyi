"""What the compiled loops take and give; `fused.py` is their only caller."""

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
    """Measure the elements from `start` to `stop` of two aligned buffers of codes; nothing is written to.

    Parameters
    ----------
    format : {"float32", "float64", "bfloat16"}
    max_ulp : int
        At most 64 bits; 0 means not given, as does an `rtol` or `atol` of 0.

    Returns
    -------
    end : int
        Before `stop` where a NaN, an infinity or an inexact sum follows in the chunk that begins there, of which
        nothing was taken in; `start` where flush-to-zero is on.
    expected_squares, max_expected : float
        Sum of the squares and largest magnitude of the baseline up to `end`.
    figures : tuple or None
        (differing, over, first, max_ulp, worst, max_abs, max_rel, difference_squares, counts by bit length), places
        from the start of the buffers; None if nothing differs.

    Raises
    ------
    ValueError
        If the format is another, the buffers differ in length or are not aligned, or the range leaves them.
    """
