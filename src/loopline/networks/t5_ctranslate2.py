"""A T5 network as the files of a CTranslate2 model, which translates on a CPU several times as fast, without torch.

CTranslate2's own converter reads a checkpoint folder of `transformers` with its tokenizer; here a network in memory and
a list of pieces are enough.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import ctranslate2
import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import InputError
from loopline.networks.t5 import END_ID, PAD_ID, T5, UNKNOWN_ID

Weights = Mapping[str, NDArray[np.float32]]
# Beyond it all distances are alike; transformers' default, which no T5 changes.
_MAX_DISTANCE = 128


Quantization = Literal["float32", "int8"]


def ctranslate2_files(network: T5, pieces: Sequence[str], *, quantization: Quantization) -> dict[str, bytes]:
    """`model.bin`, `config.json` and `shared_vocabulary.json` by name; `pieces` are the tokenizer's, in their order.

    With `int8`, weights of matrices are whole numbers with one scale per row. Raises `InputError` where the network's
    vocabulary has another size.
    """
    # Copies: quantizing works in place, and would reach into the network.
    weights = {name: value.detach().cpu().float().numpy().copy() for name, value in network.model.state_dict().items()}
    if len(weights["shared.weight"]) != len(pieces):
        raise InputError(f"{len(pieces)} pieces for a network of {len(weights['shared.weight'])}; expected as many.")
    spec = _spec(network, weights)
    spec.register_source_vocabulary(list(pieces))
    spec.register_target_vocabulary(list(pieces))
    spec.config.bos_token = spec.config.decoder_start_token = pieces[PAD_ID]
    spec.config.eos_token, spec.config.unk_token = pieces[END_ID], pieces[UNKNOWN_ID]
    spec.validate()
    spec.optimize(quantization=quantization)
    with tempfile.TemporaryDirectory() as folder:
        spec.save(folder)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def _spec(network: T5, weights: Weights) -> Any:
    config = network.config
    spec = ctranslate2.specs.TransformerSpec.from_config(
        (config.encoder_layers, config.decoder_layers),
        config.num_heads,
        pre_norm=True,
        activation=ctranslate2.specs.Activation.RELU,
        relative_attention_bias=True,
        rms_norm=True,
    )
    _set_stack(spec.encoder, spec.encoder.embeddings[0], weights, "encoder")
    _set_stack(spec.decoder, spec.decoder.embeddings, weights, "decoder")
    spec.decoder.projection.weight = weights["shared.weight"]
    # T5 makes up for its large embeddings where these also score the outputs.
    spec.decoder.scale_outputs = config.width**-0.5
    return spec


def _set_stack(spec: Any, embeddings: Any, weights: Weights, stack: str) -> None:
    embeddings.weight = weights["shared.weight"]
    spec.scale_embeddings = False
    spec.layer_norm.gamma = weights[f"{stack}.final_layer_norm.weight"]
    bias = weights[f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
    for number, layer in enumerate(spec.layer):
        block = f"{stack}.block.{number}.layer"
        _set_attention(layer.self_attention, weights, f"{block}.0", kind="SelfAttention")
        # One table for all layers of a stack.
        layer.self_attention.relative_attention_bias = bias
        layer.self_attention.relative_attention_max_distance = np.int32(_MAX_DISTANCE)
        if stack == "decoder":
            _set_attention(layer.attention, weights, f"{block}.1", kind="EncDecAttention")
        last = f"{block}.{2 if stack == 'decoder' else 1}"
        layer.ffn.linear_0.weight = weights[f"{last}.DenseReluDense.wi.weight"]
        layer.ffn.linear_1.weight = weights[f"{last}.DenseReluDense.wo.weight"]
        layer.ffn.layer_norm.gamma = weights[f"{last}.layer_norm.weight"]


def _set_attention(
    spec: Any, weights: Weights, layer: str, *, kind: Literal["SelfAttention", "EncDecAttention"]
) -> None:
    query, key, value, output = (weights[f"{layer}.{kind}.{name}.weight"] for name in "qkvo")
    # T5 does not scale its scores.
    spec.queries_scale = 1.0
    if kind == "SelfAttention":
        spec.linear[0].weight = np.concatenate([query, key, value])
    else:
        spec.linear[0].weight = query
        spec.linear[1].weight = np.concatenate([key, value])
    spec.linear[-1].weight = output
    spec.layer_norm.gamma = weights[f"{layer}.layer_norm.weight"]
