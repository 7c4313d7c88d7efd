"""Finds near-duplicates among millions of pictures: multi-index hashing over 64-bit perceptual hashes.

Two hashes that differ in at most d of 64 bits differ in at most d // 3 bits in one of three bands of 21 or 22 bits
(Norouzi, Punjani and Fleet, "Fast search in Hamming space with multi-index hashing", 2012). So each band is a sorted
list of keys, and a hash is looked up under its own key and under those that differ in so few bits. With d = 5 that is
66 look-ups by bisection, and a million hashes leave about 30 candidates each to be counted in full, where comparing all
pairs would count 500,000 and a BK-tree visits a good part of its nodes. What is found is exact, not approximate.

Sorted lists do not grow; so there are several, each at least twice as long as the next, merged as numbers are carried
in binary. A hash costs 8 bytes, its number 8, and each band 12.
"""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]

BANDS = ((0, 22), (22, 21), (43, 21))
"""First bit and number of bits of each band."""
CANDIDATES = 1 << 22
"""Pairs counted at a time."""
_ONES = np.array([bin(i).count("1") for i in range(1 << 16)], np.uint8)


def distance(a: Hashes, b: Hashes) -> NDArray[np.uint8]:
    """Number of bits in which hashes differ, elementwise; 1-D arrays of one length."""
    return np.asarray(_ONES[np.ascontiguousarray(a ^ b).view(np.uint16).reshape(-1, 4)].sum(1, dtype=np.uint8))


def _keys(hashes: Hashes, band: tuple[int, int]) -> NDArray[np.uint32]:
    return np.asarray((hashes >> np.uint64(band[0])) & np.uint64((1 << band[1]) - 1), np.uint32)


def _flips(bits: int, most: int) -> NDArray[np.uint32]:
    """All numbers of so many bits of which at most ``most`` are set."""
    return np.array([sum(1 << b for b in c) for n in range(most + 1) for c in combinations(range(bits), n)], np.uint32)


class _Sorted:
    """Hashes that do not change, with their bands sorted."""

    def __init__(self, hashes: Hashes, ids: Indices) -> None:
        self.hashes, self.ids = hashes, ids
        self._bands = []
        for band in BANDS:
            keys = _keys(hashes, band)
            order = np.argsort(keys, kind="stable")
            self._bands.append((keys[order], order))

    def near(self, wanted: Hashes, bits: int) -> list[tuple[Indices, Indices]]:
        """Pairs of indices (into ``wanted``, into the list) of hashes that differ in at most so many bits."""
        found = []
        for band, (keys, order) in zip(BANDS, self._bands, strict=True):
            own = _keys(wanted, band)
            for flip in _flips(band[1], bits // len(BANDS)):
                low = np.searchsorted(keys, own ^ flip)
                count = np.searchsorted(keys, own ^ flip, side="right") - low
                for part in _parts(count):
                    ask = np.repeat(np.arange(len(wanted))[part], count[part])
                    first = np.repeat(low[part] - np.cumsum(count[part]) + count[part], count[part])
                    have = order[first + np.arange(len(ask))]
                    close = distance(wanted[ask], self.hashes[have]) <= bits
                    if close.any():
                        found.append((ask[close], have[close]))
        return found


def _parts(count: Indices) -> list[slice]:
    """Cut a list of counts where their sum has passed ``CANDIDATES``; parts without any are left out."""
    total = np.cumsum(count)
    if not len(total) or not total[-1]:
        return []
    cuts = np.searchsorted(total, np.arange(CANDIDATES, int(total[-1]) + CANDIDATES, CANDIDATES)) + 1
    edges = sorted({0, *(int(min(c, len(count))) for c in cuts), len(count)})
    return [slice(a, b) for a, b in pairwise(edges)]


class HashIndex:
    """A growing collection of perceptual hashes that can be asked for the ones nearby."""

    def __init__(self) -> None:
        self._lists: list[_Sorted] = []

    def add(self, hashes: Hashes, ids: Indices) -> None:
        """Add hashes under numbers of one's own; 1-D arrays of one length."""
        while self._lists and len(self._lists[-1].ids) < 2 * len(ids):
            last = self._lists.pop()
            hashes, ids = np.concatenate([last.hashes, hashes]), np.concatenate([last.ids, ids])
        if len(ids):
            self._lists.append(_Sorted(hashes, ids))

    def near(self, wanted: Hashes, bits: int) -> list[tuple[int, int]]:
        """Find what is near.

        Args:
            wanted: hashes, 1-D.
            bits: most bits in which they may differ, in [0, 11].

        Returns:
            Sorted pairs (index into ``wanted``, number of a hash in the collection), each once.
        """
        pairs: set[tuple[int, int]] = set()
        for part in self._lists:
            for ask, have in part.near(wanted, bits):
                pairs.update(zip(ask.tolist(), part.ids[have].tolist(), strict=True))
        return sorted(pairs)
