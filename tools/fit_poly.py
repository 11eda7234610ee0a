"""Fit the polynomials of csrc/kernels/poly.h and print them as its C lines.

    python tools/fit_poly.py

Needs mpmath. Each polynomial is the best one in the maximum norm, weighted by what its error does to
the function's result; then its coefficients are rounded to the type they are stored in, lowest
first, the others being fitted again after each rounding.
"""

import struct

from mpmath import cos, coth, exp, expm1, frexp, ldexp, log, lu_solve, matrix, mp, mpf, nint, pi, sqrt, tanh

mp.prec = 240
POINTS = 800  # of the grid on which a fit is made
SPLIT = mpf(1)  # |x| where the exact tanh changes from its near to its far form
HALF_LN2 = log(mpf(2)) / 2
REDUCED = HALF_LN2 / 2 * (1 + mpf(2) ** -20)  # |v| after argument reduction, and what rounding adds
# |w| of the fast tanh, whose n = 0 reaches 61/256 further
SHIFTED = 2 * HALF_LN2 * (mpf(189) / 256) * (1 + mpf(2) ** -20)


def levelled(points, values, weights, degree):
    """Coefficients whose weighted error at degree + 2 points has one size and alternating signs."""
    n = degree + 1
    system, right = matrix(n + 1, n + 1), matrix(n + 1, 1)
    for i, x in enumerate(points):
        for j in range(n):
            system[i, j] = x**j
        system[i, n] = (-1) ** i / weights[i]
        right[i] = values[i]
    solution = lu_solve(system, right)
    return list(solution)[:n]


def evaluate(coefficients, x):
    """The polynomial's value at x, lowest coefficient first."""
    result = mpf(0)
    for c in reversed(coefficients):
        result = result * x + c
    return result


def minimax(grid, values, weights, degree):
    """Best weighted approximation on the grid, by exchange of one point at a time."""
    last = len(grid) - 1
    chosen = [last * i // (degree + 1) for i in range(degree + 2)]
    while True:
        c = levelled([grid[i] for i in chosen], [values[i] for i in chosen], [weights[i] for i in chosen], degree)
        error = [w * (y - evaluate(c, x)) for x, y, w in zip(grid, values, weights)]
        worst = max(range(len(grid)), key=lambda i: abs(error[i]))
        level = max(abs(error[i]) for i in chosen)
        if abs(error[worst]) <= level * (1 + mpf(2) ** -20):
            return c
        same = [i for i in range(len(chosen)) if error[chosen[i]] * error[worst] > 0]
        before = [i for i in range(len(chosen)) if chosen[i] < worst]
        if not before and 0 not in same:
            chosen = [worst, *chosen[:-1]]
        elif len(before) == len(chosen) and len(chosen) - 1 not in same:
            chosen = [*chosen[1:], worst]
        else:  # a neighbour of the same sign gives way
            left = len(before) - 1
            chosen[left if left in same else left + 1] = worst


def rounded(x, bits):
    """x to `bits` significant bits, half to even."""
    mantissa, exponent = frexp(x)
    return ldexp(nint(ldexp(mantissa, bits)), exponent - bits)


def fit(function, weight, low, high, count, bits):
    """`count` coefficients of `bits` bits for function on [low, high], and their weighted error."""
    middle, radius = (low + high) / 2, (high - low) / 2
    grid = [middle - radius * cos(pi * (2 * i + 1) / (2 * POINTS)) for i in range(POINTS)]
    values, weights = [function(x) for x in grid], [weight(x) for x in grid]
    fixed = []
    for k in range(count):
        rest = [(y - evaluate(fixed, x)) / x**k for x, y in zip(grid, values)]
        c = minimax(grid, rest, [w * abs(x) ** k for x, w in zip(grid, weights)], count - 1 - k)
        fixed.append(rounded(c[0], bits))
    error = max(w * abs(y - evaluate(fixed, x)) for x, y, w in zip(grid, values, weights))
    return fixed, error * 2**bits


def steep(z):
    """a(z) of tanh(w / 2) = w / a(w^2)."""
    w = sqrt(z)
    return w * coth(w / 2)


def near(z):
    """D(z) of tanh x = x - x^3 / D(x^2)."""
    x = sqrt(z)
    return x**3 / (x - tanh(x))


def near_weight(z):
    """Relative error of tanh x for an error of 1 in D."""
    x = sqrt(z)
    return (x - tanh(x)) ** 2 / x**3 / tanh(x)


def growth(v):
    """q(v) of (e^(2v) - 1) / 2 = v + v^2 q(v)."""
    return (expm1(2 * v) / 2 - v) / v**2


def far_weight(v):
    """Relative error of tanh x = 1 - 2 / (1 + e^2x), x >= SPLIT, x = v + n ln2 / 2, for 1 in q."""
    worst = mpf(0)
    for n in range(1, 8):
        x = v + n * HALF_LN2
        if x >= SPLIT:
            t = exp(2 * x)
            worst = max(worst, 2 * t / (1 + t) ** 2 / tanh(x))
    return worst * 2 * v**2 * exp(-2 * v)


def show(name, kind, coefficients, error):
    """The C definition of a table."""
    bits, letter = (24, "f") if kind == "float" else (53, "")
    print(f"/* error {float(error):.2g} * 2^-{bits} */")
    print(f"static const {kind} {name}[] = {{")
    for c in coefficients:
        print(f"    {hexadecimal(c, bits)}{letter},")
    print("};")


def hexadecimal(x, bits):
    """A hexadecimal literal without superfluous zeros."""
    value = float(x)
    assert value == x and (bits == 53 or struct.unpack("f", struct.pack("f", value))[0] == value)
    mantissa, exponent = value.hex().split("p")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}p{exponent}"


def main():
    """Print every table of poly.h."""
    tiny = mpf(2) ** -40
    for name, kind, function, weight, low, high, count in (
        ("qrnn_coth", "float", steep, lambda z: 1 / steep(z), tiny, SHIFTED**2, 3),
        ("qrnn_exact_near", "double", near, near_weight, tiny, SPLIT**2, 9),
        ("qrnn_exact_far", "double", growth, far_weight, -REDUCED, REDUCED, 11),
    ):
        show(name, kind, *fit(function, weight, low, high, count, 24 if kind == "float" else 53))


if __name__ == "__main__":
    main()
