"""A network's outputs as arrays: the slow, exact reference that exports and evaluations are held against.

N examples, C channels, H height, W width, K classes, D embedding.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

# Activations of a batch live in memory together.
_BATCH = 256


def network_outputs(
    network: nn.Module, x_NCHW: NDArray[np.float32], *, head: str = "logits"
) -> dict[str, NDArray[np.float32]]:
    """The outputs of a batch, in evaluation mode, on the device that holds the weights.

    By name: `head` (N, K), as `loopline.transforms.outputs.HEADS` calls it for a task, and `embedding` (N, D).
    """
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    batches: list[tuple[NDArray[np.float32], ...]] = []
    try:
        with torch.inference_mode():
            for start in range(0, len(x_NCHW), _BATCH):
                outputs = network(torch.from_numpy(x_NCHW[start : start + _BATCH]).to(device))
                batches.append(tuple(output.float().cpu().numpy() for output in outputs))
    finally:
        network.train(was_training)
    return {name: np.concatenate([batch[index] for batch in batches]) for index, name in enumerate((head, "embedding"))}
