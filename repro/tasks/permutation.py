"""A keyed pseudo-random permutation of 0..size-1, so that a huge set of questions has one fixed shuffled order.

Four Feistel rounds on the smallest even number of bits that holds `size`, walked until the value falls inside the range
(Black and Rogaway, 2002). It is the same on every platform and needs no memory; it is not meant for secrecy.
"""

from __future__ import annotations

from hashlib import blake2b


def permute(index: int, size: int, key: str) -> int:
    """The place of `index` in the permutation of range(size) that `key` names."""
    if not 0 <= index < size:
        raise ValueError(f"index {index} is outside range({size})")
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    width = (half + 7) // 8
    salt = key.encode()
    while True:
        left, right = index >> half, index & mask
        for turn in range(4):
            digest = blake2b(bytes([turn]) + right.to_bytes(width, "big") + salt, digest_size=width).digest()
            left, right = right, left ^ (int.from_bytes(digest, "big") & mask)
        index = left << half | right
        if index < size:
            return index
