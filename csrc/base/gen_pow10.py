"""Writes num_pow10.c: the powers of ten of num_pow10.h, computed with integers.

With --check it writes nothing, and exits with 1 when the file is not up to date.
"""

import sys
from pathlib import Path

MIN, MAX = -342, 324
TARGET = Path(__file__).with_name("num_pow10.c")
HEAD = """\
/* num_pow10.c: the 128 leading bits of the powers of ten (contract in num_pow10.h).
 *
 * Written by gen_pow10.py; not edited by hand.
 */
#include "base/num_pow10.h"

const tbx_pow10 tbx_pow10_table[TBX_POW10_MAX - TBX_POW10_MIN + 1] = {
"""


def leading_bits(k: int) -> int:
    """floor(10**k / 2**e) with the e that makes it 128 bits long."""
    exact = 10**k if k >= 0 else 10**-k
    if k >= 0:
        shift = exact.bit_length() - 128
        return exact >> shift if shift > 0 else exact << -shift
    return (1 << 127 + exact.bit_length()) // exact


def table() -> str:
    lines = []
    for k in range(MIN, MAX + 1):
        bits = leading_bits(k)
        high, low = divmod(bits, 1 << 64)
        exponent = k * 217706 >> 16  # tbx_log2_pow10
        # What the users of the table rely on.
        assert bits.bit_length() == 128
        assert low != 2**64 - 1
        assert (exponent >= 0) == (k >= 0)
        is_exact = k >= 0 and (10**k << 127) % (1 << exponent) == 0
        assert is_exact == (0 <= k <= 55)  # tbx_pow10_is_exact
        if k >= 0:
            assert 1 << exponent <= 10**k < 2 << exponent
        else:
            assert 10**-k <= 1 << -exponent < 2 * 10**-k
        lines.append(f"    {{UINT64_C(0x{high:016x}), UINT64_C(0x{low:016x})}}, /* 1e{k} */\n")
    return HEAD + "".join(lines) + "};\n"


def main() -> int:
    text = table()
    if sys.argv[1:] == ["--check"]:
        if TARGET.read_text() == text:
            return 0
        print(f"{TARGET} is not what gen_pow10.py writes", file=sys.stderr)
        return 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
