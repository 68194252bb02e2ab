"""The error function, which NumPy lacks."""

from __future__ import annotations

from typing import Any

import numpy as np

# W. J. Cody, "Rational Chebyshev approximations for the error function", Mathematics of Computation 23 (1969):
# x P(x^2) / Q(x^2) near 0, and 1 - exp(-x^2) R(x) / S(x) further out. Highest powers first.
P = (1.85777706184603153e-1, 3.16112374387056560e0, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3)
Q = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3)
R = (
    *(2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e1, 2.98635138197400131e2),
    *(8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3),
)
S = (
    *(1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3),
    *(3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
)
NEAR = 0.46875
FAR = 6.0  # from here on it is 1 to the last digit


def error_function(x: np.ndarray, out: np.ndarray | None = None) -> Any:
    """erf(x), within a few units of the last digit."""
    if x.dtype == np.float16:
        return np.positive(error_function(x.astype(np.float32)).astype(np.float16), out=out)
    if x.dtype.kind != "f":
        x = x.astype(np.float64)
    size = np.abs(x)
    near = np.minimum(size, NEAR)
    far = np.minimum(size, FAR)
    square = near * near
    inner = near * (_polynomial(P, square) / _polynomial(Q, square))
    outer = 1 - np.exp(far * far * -1.0) * (_polynomial(R, far) / _polynomial(S, far))
    return np.copysign(np.where(size > NEAR, outer, inner), x, out=out)


def _polynomial(coefficients: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    value = x * coefficients[0]
    for c in coefficients[1:-1]:
        value = (value + c) * x
    return value + coefficients[-1]
