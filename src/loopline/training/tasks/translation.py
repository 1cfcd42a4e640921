"""Translation: one text into another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from loopline.core.errors import ConfigError
from loopline.core.records import Task, TransformStep
from loopline.networks import Network
from loopline.training.batches import Loader
from loopline.training.tasks.task import Direction, TaskConfig

if TYPE_CHECKING:
    from loopline.training.job import Job
    from loopline.training.metrics_log import MetricsLog
    from loopline.training.modules.module import TrainingModule


class TranslationConfig(TaskConfig):
    """One text into another, learnt from pairs.

    `data.batch_size` counts tokens: of the longer side of a batch, padding included. The validation split is translated
    after every epoch and scored by sacreBLEU; the loss is the mean over tokens, in nats.
    """

    name: Literal["translation"] = "translation"
    task: ClassVar[Task] = "translation"
    metrics: ClassVar[Mapping[str, Direction]] = {"loss": "min", "bleu": "max", "chrf": "max"}
    primary_metric: ClassVar[str] = "bleu"
    # Share of each token that is spread over all pieces.
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    # Hypotheses that are followed while training is validated; 1 is greedy, and quick.
    validation_beam_size: int = Field(default=1, ge=1, le=32)
    # As the bundle will search; see `loopline.transforms.text.BeamSearch`.
    beam_size: int = Field(default=4, ge=1, le=32)
    length_penalty: float = Field(default=1.0, ge=0)
    max_ratio: float = Field(default=2.0, gt=0)

    def num_outputs(self, job: Job) -> int:
        from loopline.training.token_batches import tokenize_step

        return tokenize_step(job.pipeline).tokenizer.num_pieces

    def postprocess(self, job: Job) -> tuple[TransformStep, ...]:
        params = {"beam_size": self.beam_size, "length_penalty": self.length_penalty, "max_ratio": self.max_ratio}
        return (TransformStep(name="beam_search", params=params),)

    def module(self, network: Network, job: Job, *, num_steps: int, log: MetricsLog) -> TrainingModule:
        from loopline.networks.t5 import T5
        from loopline.training.modules.translation import Translation

        if not isinstance(network, T5):
            raise ConfigError(
                f"model '{job.config.model.name}' given for translation; expected one that takes two texts.",
                next_command="loopline train recipe=translation …",
            )
        return Translation(network, self, job, num_steps=num_steps, log=log)

    def loaders(self, job: Job) -> tuple[Loader, Loader]:
        from loopline.training.token_batches import TokenBatches

        data, cache = job.config.data, job.workspace.cache
        if data.sampler != "shuffled":
            raise ConfigError(f"data.sampler={data.sampler} given; texts have no classes to balance.")
        train, validation = job.snapshot.split(data.train_split), job.snapshot.split(data.validation_split)
        size, limit = data.batch_size, data.max_examples
        training = TokenBatches(train, job.pipeline, cache, max_tokens=size, max_examples=limit, seed=job.config.seed)
        checking = TokenBatches(validation, job.pipeline, cache, max_tokens=2 * size, max_examples=limit)
        return Loader(training, num_workers=data.num_workers), Loader(checking, num_workers=data.num_workers)
