"""Networks: a closed table of them, building one from its configuration, loading one from a run's checkpoint.

Every network's `forward(x_NCHW)` returns `(logits_NK, embedding_ND)` with D at most 128, so that evaluation, serving
and drift detection can rely on both.
"""

from loopline.networks.build import NETWORKS, build_network, load_checkpoint, read_checkpoint
from loopline.networks.network import Network, NetworkConfig

__all__ = ["NETWORKS", "Network", "NetworkConfig", "build_network", "load_checkpoint", "read_checkpoint"]
