"""Sets of labels that grow together (union-find, Tarjan 1975)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Groups:
    """Labels from 0, each in a set of its own at first."""

    def __init__(self, count: int) -> None:
        self._above = list(range(count))

    def find(self, label: int) -> int:
        """The least label of its set."""
        while self._above[label] != label:
            self._above[label] = self._above[self._above[label]]
            label = self._above[label]
        return label

    def join(self, one: int, other: int) -> None:
        """Make one set of two."""
        low, high = sorted((self.find(one), self.find(other)))
        self._above[high] = low

    def least(self) -> NDArray[np.int32]:
        """``find`` of every label, int32."""
        return np.array([self.find(label) for label in range(len(self._above))], np.int32)

    def numbers(self) -> NDArray[np.int32]:
        """The number of every label's set, int32 from 0 without holes, in the order of the least labels."""
        return np.unique(self.least(), return_inverse=True)[1].astype(np.int32)
