"""Prints vectors for test_num.c; Python's own int and float are the oracle.

A line is a kind, 16 hexadecimal digits and a text, with tabs between:
  u, i   an unsigned or signed integer and its digits
  f      a double and its repr
  t      the double that a text stands for
"""

import math
import random
import struct
from collections.abc import Iterator
from fractions import Fraction

rng = random.Random(20250911)


def from_bits(bits: int) -> float:
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


def to_bits(value: float) -> int:
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def integers() -> Iterator[tuple[str, int, str]]:
    edges = {10**n + d for n in range(20) for d in (-1, 0, 1)}
    edges |= {2**n + d for n in range(65) for d in (-1, 0, 1)}
    edges |= {rng.getrandbits(rng.randint(1, 64)) for _ in range(5000)}
    for value in sorted(edges):
        for signed in (value, -value):
            if -(2**63) <= signed < 2**63:
                yield "i", signed % 2**64, str(signed)
        if 0 <= value < 2**64:
            yield "u", value, str(value)


def doubles() -> Iterator[float]:
    yield from (0.0, -0.0, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308)
    seeds = [math.ldexp(1.0, n) for n in range(-1074, 1024)]
    seeds += [float(f"1e{n}") for n in range(-323, 309)]
    seeds += [float(f"9.5e{n}") for n in range(-323, 308)]
    for value in seeds:
        yield from (value, -value, math.nextafter(value, 0), math.nextafter(value, math.inf))
    for _ in range(20000):
        yield from_bits(rng.getrandbits(64))
        yield from_bits(rng.getrandbits(rng.randint(1, 52)))
        yield rng.random()
        yield float(rng.getrandbits(rng.randint(1, 64)))
        yield round(rng.uniform(-1000, 1000), rng.randint(0, 6))


def decimal_digits(value: Fraction) -> tuple[str, int]:
    """All digits of a number whose denominator is a power of two, and their exponent of ten."""
    places = value.denominator.bit_length() - 1
    return str(value.numerator * 5**places), -places


def middles() -> Iterator[str]:
    """Texts at, just below and just above the middle between two doubles."""
    picks = [0, 1, 2, 2**52 - 1, 2**52, to_bits(1.0), to_bits(2.0**53), 0x7FEFFFFFFFFFFFFF]
    picks += [rng.getrandbits(rng.randint(1, 52)) for _ in range(100)]
    picks += [rng.randint(0, 0x7FEFFFFFFFFFFFFF) for _ in range(200)]
    picks += [to_bits(rng.uniform(0, 1e22)) for _ in range(200)]
    for bits in picks:
        low = Fraction(from_bits(bits))
        high = from_bits(bits + 1)
        middle = (low + (Fraction(high) if math.isfinite(high) else Fraction(2**1024))) / 2
        digits, exponent = decimal_digits(middle)
        yield f"{digits}e{exponent}"
        yield f"{digits[0]}.{digits[1:]}0e{exponent + len(digits) - 1}"
        for extra in (1, 30, 800, 1200):
            yield f"{digits}{'0' * extra}1e{exponent - extra - 1}"
            yield f"{int(digits) - 1}{'9' * extra}e{exponent - extra}"
        for keep in (18, 19, 20, 21, 100, 767, 768, 769, 770, 771):
            if keep < len(digits):
                yield f"{digits[:keep]}e{exponent + len(digits) - keep}"
                yield f"{int(digits[:keep]) + 1}E{exponent + len(digits) - keep:+}"


def texts() -> Iterator[str]:
    yield from middles()
    yield from ("0e99999999999999999999", "1e99999999999999999999", "-1e99999999999999999999")
    yield from ("1e-99999999999999999999", "0.0", "-0", "-0.0e5", "0" + "." + "0" * 900 + "e9")
    for n in (300, 5000):
        yield f"0.{'0' * n}1e{n}"
        yield f"0.{'0' * n}123456789012345678901234567890e{n}"
        yield f"1{'0' * n}e-{n}"
        yield f"{'9' * n}e{1 - n}"
        yield f"{'9' * n}e{308 - n}"
        yield f"{'9' * n}e{309 - n}"
        yield f"0.{'9' * n}"
    yield from ("1.7976931348623158e308", "1.7976931348623159e308", "-1.8e308", "1e309")
    yield from ("2.4703282292062327e-324", "2.4703282292062328e-324", "2.4703282292062328e-325")
    for n in range(-345, 312):
        for digit in range(1, 10):
            yield f"{digit}e{n}"
    for _ in range(10000):
        yield str(rng.getrandbits(rng.randint(1, 200)))
        whole, part = rng.getrandbits(rng.randint(1, 80)), rng.getrandbits(rng.randint(1, 90))
        yield f"{whole}.{part}e{rng.randint(-360, 320)}"
        yield f"-{rng.getrandbits(64)}E{rng.randint(-345, 310):+}"


def main() -> None:
    for kind, bits, text in integers():
        print(kind, f"{bits:016x}", text, sep="\t")
    for value in doubles():
        if math.isfinite(value):
            print("f", f"{to_bits(value):016x}", repr(value), sep="\t")
    for text in texts():
        print("t", f"{to_bits(float(text)):016x}", text, sep="\t")


if __name__ == "__main__":
    main()
