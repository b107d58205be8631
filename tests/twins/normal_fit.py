"""The rational function of crossmargin.pricing.normal, fitted anew by the Remez algorithm in 70 digits."""

from __future__ import annotations

from mpmath import cos, erfc, exp, lu_solve, matrix, mp, mpf, pi, sqrt

END = mpf(40)
CENTRE = mpf(2)


def scaled_tail(x: mpf) -> mpf:
    return exp(x * x / 2) * erfc(x / sqrt(mpf(2))) / 2


def at(coefficients: list[mpf], x: mpf) -> mpf:
    value = mpf(0)
    for coefficient in reversed(coefficients):
        value = value * x + coefficient
    return value


def chebyshev_points(count: int) -> list[mpf]:
    """Points on [0, END], dense at both ends after the map x = c (1 + t)/(1 - t)."""
    top = (END - CENTRE) / (END + CENTRE)
    places = [(top + 1) * (1 - cos(pi * i / (count - 1))) / 2 - 1 for i in range(count)]
    return [CENTRE * (1 + t) / (1 - t) for t in places]


def level(points: list[mpf], above: int, below: int) -> tuple[list[mpf], list[mpf]]:
    """Numerator and denominator whose relative error alternates, at one height, over the points."""
    unknowns = above + below + 2
    height, denominator = mpf(0), [mpf(1)] + [mpf(0)] * below
    while True:
        system, right = matrix(unknowns, unknowns), matrix(unknowns, 1)
        for row, x in enumerate(points):
            sign = (-1) ** row
            weight = scaled_tail(x) * (1 + sign * height)
            for power in range(above + 1):
                system[row, power] = x**power
            for power in range(1, below + 1):
                system[row, above + power] = -weight * x**power
            system[row, unknowns - 1] = -scaled_tail(x) * sign * at(denominator, x)
            right[row] = weight
        solution = list(lu_solve(system, right))
        numerator, denominator = solution[: above + 1], [mpf(1), *solution[above + 1 : -1]]
        height += solution[-1]
        if abs(solution[-1]) <= abs(height) * mpf(10) ** -8:
            return numerator, denominator


def extremes(numerator: list[mpf], denominator: list[mpf], count: int) -> list[tuple[mpf, mpf]]:
    """Where the relative error is greatest between two changes of its sign, and that error."""
    found: list[tuple[mpf, mpf]] = []
    for x in chebyshev_points(20 * count):
        error = at(numerator, x) / at(denominator, x) / scaled_tail(x) - 1
        if found and (error > 0) == (found[-1][1] > 0):
            found[-1] = max(found[-1], (x, error), key=lambda pair: abs(pair[1]))
        else:
            found.append((x, error))
    return found


def fit(above: int = 9, below: int = 10) -> tuple[list[mpf], list[mpf], mpf]:
    """Numerator, denominator (lowest power first) and greatest relative error."""
    with mp.workdps(70):
        points = chebyshev_points(above + below + 2)
        while True:
            numerator, denominator = level(points, above, below)
            peaks = extremes(numerator, denominator, len(points))
            heights = [abs(error) for _, error in peaks]
            if max(heights) < mpf("1.02") * min(heights):
                return numerator, denominator, max(heights)
            points = [x for x, _ in peaks]
