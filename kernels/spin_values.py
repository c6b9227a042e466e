"""What the spins compute with, and what must come out: closed forms, and exact steps of 16-bit arithmetic.

Values differ from lane to lane and use all bits of their format, since equal operands switch fewer transistors; and
they stay of the order of 1 however long the loop runs, so that no launch is like none other.

* fp32, fp64: v <- (v x + y) w + y, which is v <- r v + c with r = x w, a little above -1: the n-th value is
  f + r^n (v0 - f) with f = c / (1 - r), and rounding errors are forgotten over 2^20 pairs of steps.
* fp16, bf16: the same, rounded after each step. There are 65536 values, so a pair of steps is a table, and n pairs are
  the table applied to itself log2(n) times: the result is known to the last bit.
* int32: v <- (v x + y) w + y modulo 2^32, by squaring the affine map. Exact.
* exp2: v <- 2^(x - v), twice. For x > 1.9715 its steps settle on two values in turn, each the other's successor, and
  forget errors; the float64 iteration settles on the same. So the result tells of the last steps only.
* tensor_*: see :func:`tiles`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[np.generic]

# Relative to the size of what is compared. fp32 and fp64 as fma_spin, whose loop is the same. 2^x is approximate.
TOLERANCE = {"fp32": 2.0**-6, "fp64": 2.0**-35, "fp16": 0.0, "bf16": 0.0, "int32": 0.0, "exp2": 2.0**-14}
_SETS = 16  # of constants of a 16-bit format: each has a table of its own
_SETTLED = 1 << 13  # pairs of steps after which the exponentials have long settled
_BITS = {"bf16": 8, "fp16": 11, "fp8_e4m3": 4}  # significant bits


def lanes(pipe: str, count: int, seed: int) -> tuple[Array, Array, Array, Array]:
    """x, w, y and the first v of ``count`` lanes; bf16 as the float32 of its values."""
    random = np.random.default_rng(seed)
    if pipe == "int32":
        x, w, y, v = (random.integers(-(2**31), 2**31, count, dtype=np.int32) for _ in range(4))
        return x | 1, w | 1, y, v  # odd: a step can be undone, so that nothing is forgotten
    kind = {"fp32": np.float32, "fp64": np.float64, "fp16": np.float16}.get(pipe, np.float32)
    if pipe == "exp2":
        x = random.uniform(2.2, 2.8, count).astype(kind)
        return x, x, np.zeros(count, kind), random.uniform(0.5, 1.5, count).astype(kind)
    sixteen = pipe in ("fp16", "bf16")
    sets = min(_SETS, count) if sixteen else count
    x64, y64 = random.uniform(1.2, 1.4, sets), random.uniform(0.1, 0.2, sets)
    v64 = random.uniform(0.5, 1.5, count)
    if not sixteen:
        x = x64.astype(kind)
        w = (-(1 - 2.0**-20) / x.astype(np.float64)).astype(kind)
        return x, w, y64.astype(kind), v64.astype(kind)
    x64, y64, v64 = (rounded(z, pipe) for z in (x64, y64, v64))
    w64 = rounded(-1 / x64, pipe)
    unit = 2.0 ** -_BITS[pipe]
    w64 = np.where(np.abs(x64 * w64) > 1, w64 + unit, w64)  # towards 0: values must not grow
    x, w, y = (np.resize(z, count).astype(kind) for z in (x64, w64, y64))
    return x, w, y, v64.astype(kind)


def rounded(values: npt.NDArray[np.float64], pipe: str) -> npt.NDArray[np.float64]:
    """float64 rounded to fp16 or bf16, to nearest even, in one step."""
    if pipe == "fp16":
        with np.errstate(over="ignore"):
            return np.asarray(values.astype(np.float16), np.float64)
    mantissa, exponent = np.frexp(values)
    return np.asarray(np.ldexp(np.rint(np.ldexp(mantissa, 8)), exponent - 8), np.float64)


def expected(pipe: str, operands: tuple[Array, Array, Array, Array], pairs: int) -> npt.NDArray[np.float64]:
    """The values of all lanes after ``pairs`` pairs of steps."""
    x, w, y, v = operands
    if pipe == "int32":
        return _affine(x, w, y, v, pairs)
    if pipe in ("fp16", "bf16"):
        return _table(pipe, operands, pairs)
    x64, w64, y64, v64 = (z.astype(np.float64) for z in operands)
    if pipe == "exp2":
        for _ in range(min(pairs, _SETTLED)):
            v64 = np.exp2(w64 - np.exp2(x64 - v64))
        return v64
    r = x64 * w64
    fixed = (y64 * w64 + y64) / (1 - r)
    power = np.exp(pairs * np.log(-r)) * (-1.0) ** (pairs % 2)
    return np.asarray(fixed + power * (v64 - fixed))


def _affine(x: Array, w: Array, y: Array, v: Array, pairs: int) -> npt.NDArray[np.float64]:
    """v -> v m + a, ``pairs`` times, modulo 2^32, as the signed values."""
    low = np.uint64(0xFFFFFFFF)
    x64, w64, y64, out = (z.astype(np.int64).astype(np.uint64) & low for z in (x, w, y, v))
    m, a = (x64 * w64) & low, (y64 * w64 + y64) & low
    while pairs:
        if pairs & 1:
            out = (out * m + a) & low
        a = (a * m + a) & low
        m = (m * m) & low
        pairs >>= 1
    return out.astype(np.uint32).view(np.int32).astype(np.float64)


def _table(pipe: str, operands: tuple[Array, Array, Array, Array], pairs: int) -> npt.NDArray[np.float64]:
    patterns = np.arange(1 << 16, dtype=np.uint32)
    wide = patterns.astype(np.uint16).view(np.float16) if pipe == "fp16" else (patterns << 16).view(np.float32)
    with np.errstate(invalid="ignore"):  # infinities and NaN are patterns, too
        every = wide.astype(np.float64)
    x, w, y, v = (z.astype(np.float64) for z in operands)
    out = np.empty_like(v)
    sets = min(_SETS, len(v))
    for index in range(sets):
        with np.errstate(all="ignore"):
            # products of 11 bits, and the sums of values of like size, are exact in float64
            step = rounded(rounded(every * x[index] + y[index], pipe) * w[index] + y[index], pipe)
            table = _pattern(step, pipe)
        at, left = _pattern(v[index::sets], pipe), pairs
        while left:
            if left & 1:
                at = table[at]
            table = table[table]
            left >>= 1
        out[index::sets] = every[at]
    return out


def _pattern(values: npt.NDArray[np.float64], pipe: str) -> npt.NDArray[np.uint32]:
    if pipe == "fp16":
        return values.astype(np.float16).view(np.uint16).astype(np.uint32)
    return np.asarray(values.astype(np.float32).view(np.uint32) >> 16, np.uint32)


def tiles(dtype: str, m: int, n: int, k: int, seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """A (m, k) and B (n, k), transposed, of a tensor spin as float64 that ``dtype`` holds exactly.

    Values of both signs whose size is 1 to 2 (int8: 1 to 127), all bits of the mantissa in use. With the halves
    A = [L, L] and B = [R, -R + e], A B = L e: one unit in the last place times L's first column. Sums of products of
    such values need fewer bits than the accumulators of fp32 have, but for fp16.
    """
    random = np.random.default_rng(seed)
    half = k // 2

    def draw(rows: int) -> npt.NDArray[np.float64]:
        sign = random.choice([-1.0, 1.0], (rows, half))
        if dtype == "int8":
            return sign * random.integers(1, 128, (rows, half))
        steps = 1 << (_BITS[dtype] - 1)
        return sign * (1 + random.integers(0, steps, (rows, half)) / steps)

    left, right = draw(m), draw(n)
    right[:, 0], unit = (1.5, 2.0 ** (1 - _BITS[dtype])) if dtype != "int8" else (64.0, 1.0)
    other = -right
    other[:, 0] += unit
    return np.concatenate([left, left], 1), np.concatenate([right, other], 1)


def spun(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], rounds: int, products: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What a tensor spin leaves, (m, n), and the root of the sum of the squared terms of one of its products.

    A round adds ``products`` times A B and turns the sign: after an even number of rounds 0 is left, after an odd one
    -products A B; one product more is added at the end.
    """
    one = a @ b.T
    return one * (1 - products * (rounds % 2)), np.sqrt(np.square(a) @ np.square(b).T)
