"""Embeddings in the plane: t-SNE. N examples, M of them shown, D numbers of an embedding.

Source: van der Maaten and Hinton, Visualizing Data using t-SNE, JMLR 2008, in scikit-learn's Barnes-Hut form.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# These take two seconds of one core, and show as much as more would.
MOST_POINTS = 1000
_LEAST_POINTS = 10
# Neighbours that count; the method needs more points than that.
_PERPLEXITY = 30.0
_NUM_STEPS = 500


class Projection(NamedTuple):
    """Where some examples lie in the plane, and which examples they are."""

    points_M2: NDArray[np.float32]
    chosen_M: NDArray[np.int64]


def project(embedding_ND: NDArray[np.float32], *, seed: int = 0) -> Projection | None:
    """Lays at most 1,000 examples out in the plane so that neighbours stay neighbours; repeatable by its seed.

    None where there is nothing to lay out: fewer than ten examples, or embeddings that do not differ.
    """
    from sklearn.manifold import TSNE

    rng = np.random.default_rng(seed)
    chosen_M = np.sort(rng.choice(len(embedding_ND), min(len(embedding_ND), MOST_POINTS), replace=False))
    x_MD = np.asarray(embedding_ND, dtype=np.float64)[chosen_M]
    x_MD = x_MD[:, x_MD.std(axis=0) > 0]
    if len(x_MD) < _LEAST_POINTS or x_MD.shape[1] == 0:
        return None
    if x_MD.shape[1] == 1:
        # The start from two principal components needs a second direction.
        x_MD = np.concatenate([x_MD, np.zeros_like(x_MD)], axis=1)
    tsne = TSNE(
        n_components=2,
        perplexity=min(_PERPLEXITY, (len(x_MD) - 1) / 3),
        init="pca",
        learning_rate="auto",
        max_iter=_NUM_STEPS,
        random_state=seed,
        n_jobs=1,
    )
    return Projection(tsne.fit_transform(x_MD.astype(np.float32)), chosen_M)
