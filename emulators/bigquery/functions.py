"""Functions of SQL.

https://cloud.google.com/bigquery/docs/reference/standard-sql/hash_functions#farm_fingerprint
"""

from bqemulator.sql import builtin_udfs

_MASK = (1 << 64) - 1
_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F


def _fetch(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def _rotate(value: int, bits: int) -> int:
    value &= _MASK
    return (value >> bits | value << (64 - bits)) & _MASK


def _mix(value: int) -> int:
    value &= _MASK
    return value ^ value >> 47


def _hash_16(u: int, v: int, multiplier: int) -> int:
    a = _mix((u ^ v) * multiplier)
    b = _mix((v ^ a) * multiplier)
    return b * multiplier & _MASK


def _weak_32(data: bytes, at: int, a: int, b: int) -> tuple[int, int]:
    w, x, y, z = (_fetch(data, at + offset) for offset in (0, 8, 16, 24))
    a = (a + w) & _MASK
    b = _rotate(b + a + z, 21)
    c = a
    a = (a + x + y) & _MASK
    b = (b + _rotate(a, 44)) & _MASK
    return (a + z) & _MASK, (b + c) & _MASK


def fingerprint_long(data: bytes) -> int:
    """FarmHash's Fingerprint64 of more than 64 bytes, unsigned; bqemulator's is wrong.

    https://github.com/google/farmhash/blob/master/src/farmhash.cc (farmhashna::Hash64)
    """
    x, y = 81, (81 * _K1 + 113) & _MASK
    z = _mix(y * _K2 + 113) * _K2 & _MASK
    v = w = (0, 0)
    x = (x * _K2 + _fetch(data, 0)) & _MASK
    rest = (len(data) - 1) & 63
    end = len(data) - 1 - rest
    for at in range(0, end, 64):
        x = _rotate(x + y + v[0] + _fetch(data, at + 8), 37) * _K1 & _MASK
        y = _rotate(y + v[1] + _fetch(data, at + 48), 42) * _K1 & _MASK
        x ^= w[1]
        y = (y + v[0] + _fetch(data, at + 40)) & _MASK
        z = _rotate(z + w[0], 33) * _K1 & _MASK
        v = _weak_32(data, at, v[1] * _K1, x + w[0])
        w = _weak_32(data, at + 32, z + w[1], y + _fetch(data, at + 16))
        z, x = x, z
    multiplier = (_K1 + ((z & 0xFF) << 1)) & _MASK
    at = len(data) - 64
    w = ((w[0] + rest) & _MASK, w[1])
    v = ((v[0] + w[0]) & _MASK, v[1])
    w = ((w[0] + v[0]) & _MASK, w[1])
    x = _rotate(x + y + v[0] + _fetch(data, at + 8), 37) * multiplier & _MASK
    y = _rotate(y + v[1] + _fetch(data, at + 48), 42) * multiplier & _MASK
    x ^= w[1] * 9 & _MASK
    y = (y + v[0] * 9 + _fetch(data, at + 40)) & _MASK
    z = _rotate(z + w[0], 33) * multiplier & _MASK
    v = _weak_32(data, at, v[1] * multiplier, x + w[0])
    w = _weak_32(data, at + 32, z + w[1], y + _fetch(data, at + 16))
    z, x = x, z
    first = (_hash_16(v[0], w[0], multiplier) + _mix(y) * _K0 + z) & _MASK
    return _hash_16(first, (_hash_16(v[1], w[1], multiplier) + x) & _MASK, multiplier)


def install() -> None:
    """Correct functions."""
    builtin_udfs._fh_hash_len_long = fingerprint_long
