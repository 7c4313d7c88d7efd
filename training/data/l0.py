"""L0 gradient smoothing (Xu, Lu, Xu, Jia 2011): keeps a picture's strong edges and makes all between them flat.

OpenCV has it (``cv2.ximgproc.l0Smooth``) and the shipped recipe uses that, but its gradients stop at the picture's
edge while its solver wraps round it, so colours of opposite edges run into each other; it also overwrites its source
when that is float32. Here both gradients and solver mirror at the edge, which makes the sub-problem diagonal under the
cosine transform instead of the paper's Fourier transform.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, idctn

BETA_MAX = 1e5
"""The coupling at which the paper stops."""


def smooth(picture: NDArray[Any], strength: float, kappa: float = 2.0) -> NDArray[np.float32]:
    """Minimise ``sum (S - I)^2 + strength * (pixels whose gradient is not zero)`` by half-quadratic splitting.

    Args:
        picture: HxWxC in [0, 1].
        strength: the paper's lambda; 0.02 by default there, more leaves fewer edges.
        kappa: growth of the coupling per round; smaller is slower and closer.

    Returns:
        HxWxC float32, about in [0, 1]; the mean of every channel is that of the picture.

    Raises:
        ValueError: strength or kappa would never end.
    """
    if strength <= 0 or kappa <= 1:
        raise ValueError(f"strength {strength} must be over 0 and kappa {kappa} over 1")
    s = np.asarray(picture, np.float32)
    h, w, _ = s.shape
    # Eigenvalues of the second difference with mirrored ends, on rows and on columns.
    rows, columns = (2 - 2 * np.cos(np.pi * np.arange(n) / n) for n in (h, w))
    laplacian = (rows[:, None] + columns[None]).astype(np.float32)[..., None]
    start = dctn(s, axes=(0, 1))
    beta = 2 * strength
    while beta < BETA_MAX:
        across, down = np.diff(s, axis=1), np.diff(s, axis=0)
        size = np.zeros((h, w, 1), np.float32)
        size[:, :-1] += (across**2).sum(-1, keepdims=True)
        size[:-1] += (down**2).sum(-1, keepdims=True)
        edge = size >= strength / beta
        across *= edge[:, :-1]
        down *= edge[:-1]
        # The adjoint of the differences, applied to the gradients that stay.
        back = np.zeros_like(s)
        back[:, :-1] -= across
        back[:, 1:] += across
        back[:-1] -= down
        back[1:] += down
        pull = dctn(back, axes=(0, 1))
        # Differences sum to nothing; what rounding leaves there would shift all colours once beta is large.
        pull[0, 0] = 0
        s = idctn((start + beta * pull) / (1 + beta * laplacian), axes=(0, 1))
        beta *= kappa
    return np.asarray(s, np.float32)
