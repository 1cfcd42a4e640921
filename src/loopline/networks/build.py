"""From a name and parameters, or from a run's folder, to a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from loopline.core.errors import IntegrityError, StateError
from loopline.core.records import Run, Signature
from loopline.core.store import read_record
from loopline.core.tables import resolve
from loopline.core.validation import validated
from loopline.networks.network import Network, NetworkConfig

NETWORKS = {
    "indices": "loopline.networks.indices:IndicesConfig",
    "cnn": "loopline.networks.cnn:CnnConfig",
    "cnn3": "loopline.networks.cnn3:Cnn3Config",
    "mlp": "loopline.networks.mlp:MlpConfig",
    "resnet": "loopline.networks.resnet:ResnetConfig",
    "t5": "loopline.networks.t5:T5Config",
    "timm": "loopline.networks.timm:TimmConfig",
    "vit": "loopline.networks.vit:VitConfig",
}
# The training module keeps its network, and the running mean of its weights where there is one, under these attributes,
# and so in every key of its checkpoints; the mean is what was evaluated.
_PREFIXES = ("average.", "network.")


def network_config(name: str, config: Mapping[str, Any]) -> NetworkConfig:
    """The checked configuration; raises `UnknownName` for the network and `ConfigError` for a parameter."""
    kind: type[NetworkConfig] = resolve(NETWORKS, name, kind="network")
    return validated(kind, {**config, "name": name}, where="model")


def build_network(name: str, config: Mapping[str, Any], *, input_shape: tuple[int, ...], num_outputs: int) -> Network:
    """A freshly initialised network; raises as `network_config` does."""
    return network_config(name, config).build(input_shape=input_shape, num_outputs=num_outputs)


def load_checkpoint(run_folder: Path, *, which: Literal["best", "last"] = "best") -> Network:
    """The network of a training run, with the weights of its best or last checkpoint, in evaluation mode, on the CPU.

    Only tensors and plain values are read; a pickle that would run code is refused. Raises `StateError` where the run
    has not saved this checkpoint yet and `IntegrityError` where its file is damaged or of another network.
    """
    run = read_record(Run, run_folder / "run.json")
    signature = read_record(Signature, run_folder / "signature.json")
    path = run_folder / "checkpoints" / f"{which}.ckpt"
    if not path.exists():
        raise StateError(
            f"run '{run.run_id}' ({run.status}) has no {which} checkpoint.",
            next_command=f"loopline runs show {run.run_id}",
        )
    model = run.config["model"]
    network = build_network(model["name"], model, input_shape=signature.input_shape, num_outputs=signature.num_outputs)
    state = read_checkpoint(path)["state_dict"]
    prefix = next((prefix for prefix in _PREFIXES if any(key.startswith(prefix) for key in state)), "")
    weights = {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise IntegrityError(f"checkpoint '{path}' is not of the network that run.json describes: {error}") from error
    return network.eval()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint file holds, tensors on the CPU; raises `IntegrityError` where it is damaged or holds code."""
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:
        raise IntegrityError(f"'{path}' cannot be read as a checkpoint: {_first_line(error)}") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise IntegrityError(f"'{path}' holds no 'state_dict'; expected a checkpoint of a training run.")
    return checkpoint


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
