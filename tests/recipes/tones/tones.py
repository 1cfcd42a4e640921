"""A project of one's own: telling a low tone from a high one. All that Loopline does not bring is in this file."""

import io
import wave
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from torch import Tensor, nn

from loopline.core.errors import InvalidExample
from loopline.core.records import TransformStep
from loopline.data.sources.folder import list_folder
from loopline.networks import Network, NetworkConfig
from loopline.training.inputs import InputConfig
from loopline.transforms import Decode


class DecodeWav(Decode):
    input_kind: ClassVar[str] = "audio"
    dtype: ClassVar[type[np.generic]] = np.float32
    num_samples: int

    @property
    def shape(self):
        return (self.num_samples, 1)

    def __call__(self, raw):
        try:
            with wave.open(io.BytesIO(raw)) as file:
                x_T = np.frombuffer(file.readframes(self.num_samples), "<i2") / np.float32(32768)
        except (wave.Error, EOFError, ValueError) as error:
            raise InvalidExample(f"this is no WAV file: {error}.") from error
        return np.pad(x_T, (0, self.num_samples - len(x_T))).astype(np.float32)[:, None]


class WavInput(InputConfig):
    name: Literal["wav"] = "wav"
    input_kind: ClassVar[str] = "audio"

    def steps(self, manifest):
        return (TransformStep(name="decode_wav", params={"num_samples": manifest.input_shape[0]}),)


class ToneConfig(NetworkConfig):
    name: Literal["tone"] = "tone"
    width: int = 8

    def build(self, *, input_shape, num_outputs):
        return Tone(self.width, num_outputs)


class Tone(Network):
    def __init__(self, width, num_outputs):
        super().__init__()
        self.filters, self.head = nn.Conv1d(1, width, 64, stride=16), nn.Linear(width, num_outputs)

    def forward(self, x_NTC: Tensor):
        embedding_ND = self.filters(x_NTC.transpose(1, 2)).abs().mean(dim=2)
        return self.head(embedding_ND), embedding_ND


def list_wavs(source, *, task, columns):
    decode = TransformStep(name="decode_wav", params={"num_samples": 1600})
    return replace(list_folder(source, task=task, columns=columns), input_kind="audio", decode=decode)
