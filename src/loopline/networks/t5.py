"""T5: an encoder and a decoder with relative positions, through `transformers`.

N pairs of texts, S source tokens, T target tokens, V pieces of the vocabulary, D embedding.

Source: Raffel et al., Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer, JMLR 2020.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from loopline.core.errors import ConfigError, InputError, missing_extra
from loopline.networks.network import MAX_EMBEDDING, Network, NetworkConfig
from loopline.networks.torchvision_guard import let_torchvision_import

# T5's padding, which also begins every translation, and its end and unknown marks; the tokenizer's must be the same.
PAD_ID, END_ID, UNKNOWN_ID = range(3)
# The projection of the embedding is drawn from this, so that it is the same in every run.
_PROJECTION_SEED = 0


class T5Config(NetworkConfig):
    """T5 as published (tied embeddings, ReLU), of any size; the vocabulary is the tokenizer's.

    `weights` starts from a checkpoint of the Hugging Face hub (`google-t5/t5-small`) or of a local folder, whose size
    the other parameters must state.
    """

    name: Literal["t5"] = "t5"
    width: int = Field(default=192, ge=8, le=4096)
    num_heads: int = Field(default=6, ge=1)
    feed_forward: int = Field(default=768, ge=8)
    encoder_layers: int = Field(default=3, ge=1, le=48)
    decoder_layers: int = Field(default=2, ge=1, le=48)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    weights: str | None = None

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} is no multiple of num_heads {self.num_heads}")
        return self

    def build(self, *, input_shape: tuple[int, ...], num_outputs: int) -> T5:
        return T5(self, num_pieces=num_outputs)

    def start(self, network: Network, *, input_shape: tuple[int, ...], num_outputs: int) -> None:
        if self.weights is not None and isinstance(network, T5):
            _load(network, self.weights, num_pieces=num_outputs)


class T5(Network):
    """Two texts as padded ids go in; logits of the target's tokens and an embedding of the source come out."""

    projection_WD: Tensor

    def __init__(self, config: T5Config, *, num_pieces: int) -> None:
        super().__init__()
        library = _transformers()
        self.config = config
        self.model = library.T5ForConditionalGeneration(
            library.T5Config(
                vocab_size=num_pieces,
                d_model=config.width,
                d_kv=config.width // config.num_heads,
                num_heads=config.num_heads,
                d_ff=config.feed_forward,
                num_layers=config.encoder_layers,
                num_decoder_layers=config.decoder_layers,
                dropout_rate=config.dropout,
                decoder_start_token_id=PAD_ID,
                # As quick on a CPU as torch's fused one, which the exporter of graphs stumbles over.
                attn_implementation="eager",
            )
        )
        self.register_buffer("projection_WD", _projection(config.width))

    def forward(self, source_NS: Tensor, target_NT: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]  # a pair
        """Ids of both texts, padded with 0, to `(logits_NTV, embedding_ND)`: each target token by those before it."""
        encoder = self.model.get_encoder()
        mask_NS = (source_NS != PAD_ID).long()
        states_NSW = encoder(input_ids=source_NS, attention_mask=mask_NS).last_hidden_state
        decoded = self.model(
            encoder_outputs=(states_NSW,),
            attention_mask=mask_NS,
            decoder_input_ids=nn.functional.pad(target_NT[:, :-1], (1, 0), value=PAD_ID),
            use_cache=False,
        )
        return decoded.logits, self._embedding(states_NSW, mask_NS)

    def embed(self, source_NS: Tensor) -> Tensor:
        """Ids of texts, padded with 0, to their embedding_ND: the mean of the encoder's states, projected to 128."""
        mask_NS = (source_NS != PAD_ID).long()
        states_NSW = self.model.get_encoder()(input_ids=source_NS, attention_mask=mask_NS).last_hidden_state
        return self._embedding(states_NSW, mask_NS)

    @torch.inference_mode()
    def translate(
        self, source_NS: Tensor, *, beam_size: int, length_penalty: float, max_length: int
    ) -> list[list[int]]:
        """Translations by the beam search of `transformers`, without marks: the slow reference for other engines."""
        found_NT = self.model.generate(
            input_ids=source_NS,
            attention_mask=(source_NS != PAD_ID).long(),
            num_beams=beam_size,
            length_penalty=length_penalty,
            max_new_tokens=max_length,
            do_sample=False,
            early_stopping=beam_size > 1,
        )
        return [[index for index in row if index not in (PAD_ID, END_ID)] for row in found_NT.tolist()]

    def layers(self) -> list[list[nn.Parameter]]:
        blocks = [*self.model.encoder.block, *self.model.decoder.block]
        return [list(self.model.shared.parameters()), *(list(block.parameters()) for block in blocks)]

    def _embedding(self, states_NSW: Tensor, mask_NS: Tensor) -> Tensor:
        weights_NS1 = mask_NS.to(states_NSW.dtype).unsqueeze(-1)
        mean_NW = (states_NSW * weights_NS1).sum(dim=1) / weights_NS1.sum(dim=1)
        embedding_ND: Tensor = mean_NW @ self.projection_WD
        return embedding_ND


def checkpoint_file(weights: str, name: str) -> Path:
    """A file of a checkpoint: of the folder `weights`, or of the hub's repository of that name.

    Raises `InputError` where it cannot be had.
    """
    if Path(weights).is_dir():
        path = Path(weights) / name
        if not path.is_file():
            raise InputError(f"folder '{weights}' has no '{name}'; expected a T5 checkpoint of transformers.")
        return path
    library = _transformers()
    try:
        found = library.utils.cached_file(weights, name)
    except OSError as error:
        reason = str(error).split("\n")[0].rstrip(".")
        raise InputError(
            f"'{name}' of checkpoint '{weights}' cannot be had: {reason}.",
            next_command="give a local folder, or train from a configuration: model.weights=null",
        ) from error
    return Path(found)


def _load(network: T5, weights: str, *, num_pieces: int) -> None:
    """Fills the network with a checkpoint's weights; rows of the embedding beyond the tokenizer's pieces are left out.

    Raises `ConfigError` where the checkpoint is of another size.
    """
    checkpoint_file(weights, "config.json")  # one that cannot be had is said in our words
    model = _transformers().T5ForConditionalGeneration.from_pretrained(weights)
    given, config = model.config, network.config
    pairs = {
        "width": (config.width, given.d_model),
        "num_heads": (config.num_heads, given.num_heads),
        "feed_forward": (config.feed_forward, given.d_ff),
        "encoder_layers": (config.encoder_layers, given.num_layers),
        "decoder_layers": (config.decoder_layers, given.num_decoder_layers),
        "width / num_heads": (config.width // config.num_heads, given.d_kv),
    }
    wrong = [f"{key} {ours}, the checkpoint {theirs}" for key, (ours, theirs) in pairs.items() if ours != theirs]
    if given.is_gated_act or not given.scale_decoder_outputs:
        wrong.append("T5 as first published, the checkpoint is T5 1.1")
    if given.vocab_size < num_pieces:
        wrong.append(f"{num_pieces} pieces, the checkpoint {given.vocab_size}")
    if wrong:
        raise ConfigError(f"model.weights '{weights}' given: the model has {'; '.join(wrong)}.")
    model.resize_token_embeddings(num_pieces)
    network.model.load_state_dict(model.state_dict())


def _projection(width: int) -> Tensor:
    """A fixed orthonormal map from the encoder's width to at most 128, which nearly keeps distances.

    Source: Johnson and Lindenstrauss, 1984. A narrow encoder's mean stays as it is.
    """
    if width <= MAX_EMBEDDING:
        return torch.eye(width)
    generator = torch.Generator().manual_seed(_PROJECTION_SEED)
    square_WW: Tensor = torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64))[0]
    return square_WW[:, :MAX_EMBEDDING].to(torch.float32).contiguous()


def _transformers() -> Any:
    # It imports torchvision where that is installed.
    let_torchvision_import()
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise missing_extra(error) or error from error
    return transformers
