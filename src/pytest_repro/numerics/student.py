"""Student's t distribution, so that a verdict does not depend on whether SciPy is installed."""

from __future__ import annotations

import math

_EPSILON = 1e-16
_TINY = 1e-300
_MAX_TERMS = 10_000


def t_survival(t: float, freedom: float) -> float:
    """Return P(T > t) for `freedom` degrees of freedom."""
    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    tail = 0.5 * regularized_beta(freedom / (freedom + t * t), freedom / 2, 0.5)
    return tail if t > 0 else 1.0 - tail


def t_quantile(probability: float, freedom: float) -> float:
    """Return t with P(T <= t) = probability, for a probability in (0, 1)."""
    if probability < 0.5:
        return -t_quantile(1 - probability, freedom)
    low, high = 0.0, 1.0
    while t_survival(high, freedom) > 1 - probability:
        low, high = high, 2 * high
    while high - low > 1e-13 * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if t_survival(middle, freedom) > 1 - probability else (low, middle)
    return high


def regularized_beta(x: float, a: float, b: float) -> float:
    """Return the regularized incomplete beta function I_x(a, b).

    Notes
    -----
    Continued fraction (DLMF 8.17.22) by Lentz's method; mirrored where it converges slowly (DLMF 8.17.4).
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1.0 - regularized_beta(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    return front / (a * _continued_fraction(x, a, b))


def _continued_fraction(x: float, a: float, b: float) -> float:
    value = c = 1.0
    d = 0.0
    for term in range(1, _MAX_TERMS):
        m = term // 2
        if term % 2:
            numerator = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            numerator = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1.0 / (1.0 + numerator * d or _TINY)
        c = 1.0 + numerator / c or _TINY
        value *= c * d
        if abs(c * d - 1.0) < _EPSILON * 10:
            return value
    raise ArithmeticError(f"the incomplete beta function did not converge at x={x!r}, a={a!r}, b={b!r}")
