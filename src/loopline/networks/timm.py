"""Any architecture of `timm`, by its name there, from random or pretrained weights.

N examples, C channels, H height, W width, F features, K outputs, D embedding.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from loopline.core.errors import ConfigError, InputError, UnknownName, missing_extra
from loopline.core.tables import resolve
from loopline.networks.network import MAX_EMBEDDING, Network, NetworkConfig, PretrainedInput
from loopline.networks.pretrained import read_weights, refuse_strangers
from loopline.networks.torchvision_guard import let_torchvision_import

if TYPE_CHECKING:
    from types import ModuleType

# Packages that carry weights, by the architecture that these belong to.
PACKAGES = {"tf_efficientnet_lite0": "loopline.networks.pretrained:efficientnet_lite0"}


class TimmConfig(NetworkConfig):
    """`architecture` is a name of timm's, with a tag where it has one: `convnext_nano.in12k_ft_in1k`.

    The head is replaced by one for the classes at hand.
    """

    name: Literal["timm"] = "timm"
    architecture: str = Field(min_length=1)
    # `none`: random. `hub`: from the Hugging Face hub, as timm names them. `package`: out of an installed package (see
    # PACKAGES). Anything else: a .pth or .safetensors file with timm's names.
    weights: str = Field(default="none", min_length=1)
    # Share of the features that is dropped before the head while training.
    dropout: float = Field(default=0.0, ge=0, lt=1)
    # Probability that a residual block is skipped while training (stochastic depth), where the architecture has it.
    drop_path: float = Field(default=0.0, ge=0, lt=1)

    def build(self, *, input_shape: tuple[int, ...], num_outputs: int) -> TimmNetwork:
        if len(input_shape) != 3:
            raise ConfigError(f"network 'timm' takes pictures; examples of {len(input_shape)} axes given.")
        return TimmNetwork(self._create(input_shape, num_outputs, None))

    def start(self, network: Network, *, input_shape: tuple[int, ...], num_outputs: int) -> None:
        """Loads the pretrained weights; the head is always a new one.

        Raises `InputError` where they cannot be had and `ConfigError` where they are of another architecture.
        """
        if self.weights == "none":
            return
        given = {} if self.weights == "hub" else {"state_dict": self._given_weights()}
        donor = self._create(input_shape, num_outputs, given)
        network.get_submodule("body").load_state_dict(donor.state_dict())
        assert isinstance(network, TimmNetwork)  # noqa: S101 - `build` returned it
        # As torch does: some architectures begin with a head whose logits are far from zero, which a training from
        # random weights forgets and fine-tuning does not.
        network.head.reset_parameters()

    def pretrained_input(self) -> PretrainedInput:
        """What timm's record of the weights says: size, mean, standard deviation, filter, crop."""
        timm = _timm()
        _refuse_unknown(timm, self.architecture)
        record = timm.get_pretrained_cfg(self.architecture)
        if record is None:
            raise InputError(
                f"timm has no record of weights for '{self.architecture}'; give the input's size and mean."
            )
        _, height, width = record.input_size
        return PretrainedInput(height, width, record.mean, record.std, record.interpolation, record.crop_pct)

    def _create(self, input_shape: tuple[int, ...], num_outputs: int, overlay: dict[str, Any] | None) -> nn.Module:
        """The architecture; with weights where `overlay` says what to change in timm's record of them."""
        timm = _timm()
        _refuse_unknown(timm, self.architecture)
        record = timm.get_pretrained_cfg(self.architecture)
        options: dict[str, Any] = {"num_classes": num_outputs, "in_chans": input_shape[0], "drop_rate": self.dropout}
        if self.drop_path:
            options["drop_path_rate"] = self.drop_path
        if record is not None and record.fixed_input_size and tuple(record.input_size[1:]) != input_shape[1:]:
            options["img_size"] = input_shape[1:]
        try:
            body: nn.Module = timm.create_model(
                self.architecture, pretrained=overlay is not None, pretrained_cfg_overlay=overlay or None, **options
            )
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            # A hub that is not reached, and an architecture without weights, without this option, or for other sizes.
            raise InputError(
                f"timm cannot make '{self.architecture}' with weights '{self.weights}': {_first_line(error)}",
                next_command="loopline train … model.weights=none, or the path of a file",
            ) from error
        return body

    def _given_weights(self) -> dict[str, Tensor]:
        if self.weights == "package":
            weights: dict[str, Tensor] = resolve(
                PACKAGES, self.architecture, kind="architecture with packaged weights"
            )()
        else:
            weights = read_weights(Path(self.weights))
        whole: nn.Module = _timm().create_model(self.architecture)
        refuse_strangers(weights, whole, self.architecture, self.weights)
        return weights


class TimmNetwork(Network):
    """A timm model whose logits come from all its features, with a narrow view of these beside them.

    The embedding is the features, or, where they are more than 128, their projection on 128 fixed random orthonormal
    directions: logits lose nothing, nothing more is to be learnt, and distances between examples, which drift detection
    compares, stay nearly what they were (Johnson and Lindenstrauss, 1984).
    """

    projection_FD: Tensor | None

    def __init__(self, body: Any) -> None:
        super().__init__()
        # Any: timm's models have methods that torch's do not.
        self.body: Any
        self.body = body
        head = body.get_classifier()
        if not isinstance(head, nn.Linear):
            raise ConfigError(f"{type(body).__name__} ends in {type(head).__name__}; expected one linear layer.")
        projection_FD = None
        if head.in_features > MAX_EMBEDDING:
            # A generator of its own: the same directions for every run, and no draw of the global one.
            noise_FD = torch.randn(head.in_features, MAX_EMBEDDING, generator=torch.Generator().manual_seed(0))
            projection_FD = torch.linalg.qr(noise_FD).Q.contiguous()
        self.register_buffer("projection_FD", projection_FD)

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        features_NF = self.body.forward_head(self.body.forward_features(x_NCHW), pre_logits=True)
        embedding_ND = features_NF if self.projection_FD is None else features_NF @ self.projection_FD
        return self.head(features_NF), embedding_ND

    @property
    def head(self) -> nn.Linear:
        """The classifier, wherever the architecture keeps it."""
        head: nn.Linear = self.body.get_classifier()
        return head

    def layers(self) -> list[list[nn.Parameter]]:
        """timm's own coarse grouping, stem and stages or blocks; the classifier is a layer of its own."""
        from timm.models import group_parameters

        head = list(self.head.parameters())
        groups = group_parameters(self.body, self.body.group_matcher(coarse=True), return_values=True)
        of_head = {id(parameter) for parameter in head}
        below = [[parameter for parameter in groups[i] if id(parameter) not in of_head] for i in sorted(groups)]
        return [*(layer for layer in below if layer), head]


def _timm() -> ModuleType:
    let_torchvision_import()
    try:
        import timm
    except ModuleNotFoundError as error:
        raise missing_extra(error) or error from error
    return timm


def _refuse_unknown(timm: ModuleType, architecture: str) -> None:
    name, _, tag = architecture.partition(".")
    if not timm.is_model(name):
        raise UnknownName("architecture", name, timm.list_models(), of="timm")
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{name}.*")]
    if tag and tag not in tags:
        raise UnknownName("tag", tag, tags, of=f"timm's architecture '{name}'")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
