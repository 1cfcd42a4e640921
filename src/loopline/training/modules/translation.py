"""Training on pairs of texts: cross-entropy of the target's tokens; BLEU and chrF of what the network translates.

N pairs, S source and T target tokens, V pieces.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy

from loopline.core.errors import ConfigError, InvalidExample
from loopline.core.records import TransformStep
from loopline.core.store import write_text
from loopline.networks import Network
from loopline.networks.t5 import PAD_ID, T5
from loopline.networks.t5_ctranslate2 import ctranslate2_files
from loopline.predictor.ctranslate2 import TranslationEngine
from loopline.text_metrics import corpus_bleu, corpus_chrf
from loopline.training.batches import Batch, Loader
from loopline.training.job import Job
from loopline.training.metrics_log import MetricsLog
from loopline.training.modules.module import TrainingModule, parameters
from loopline.training.tasks.translation import TranslationConfig
from loopline.training.token_batches import TokenBatches, tokenize_step
from loopline.transforms.text import BeamSearch, Ids

SIGNATURE_FILE = "sacrebleu.txt"


class Translation(TrainingModule):
    """Trains a network on pairs of texts."""

    network: T5

    def __init__(self, network: Network, job: Job, *, num_steps: int, log: MetricsLog) -> None:
        if not isinstance(network, T5):
            raise ConfigError(
                f"model '{job.config.model.name}' given for translation; expected one that takes two texts.",
                next_command="loopline train recipe=translation …",
            )
        super().__init__(network, job, num_steps=num_steps, log=log)
        self._task = parameters(job, TranslationConfig)
        self._decoder = tokenize_step(job.pipeline)
        split = job.snapshot.split(job.config.data.validation_split)
        num_examples = min(split.num_examples, job.config.data.max_examples or split.num_examples)
        self._raws = split.raw_many(range(num_examples))
        self._references = [str(text) for text in split.targets[:num_examples]]

    @staticmethod
    def num_outputs(job: Job) -> int:
        return tokenize_step(job.pipeline).tokenizer.num_pieces

    @staticmethod
    def postprocess(job: Job) -> tuple[TransformStep, ...]:
        task = parameters(job, TranslationConfig)
        params = {"beam_size": task.beam_size, "length_penalty": task.length_penalty, "max_ratio": task.max_ratio}
        return (TransformStep(name="beam_search", params=params),)

    @staticmethod
    def loaders(job: Job) -> tuple[Loader, Loader]:
        data, cache = job.config.data, job.workspace.cache
        if data.sampler != "shuffled":
            raise ConfigError(f"data.sampler={data.sampler} given; texts have no classes to balance.")
        if job.share.num_ranks > 1:
            # Batches hold about as many tokens each, not as many pairs: there are no equal parts.
            raise ConfigError(f"trainer.devices={job.share.num_ranks} given; texts are trained on one device.")
        train, validation = job.snapshot.split(data.train_split), job.snapshot.split(data.validation_split)
        size, limit = data.batch_size, data.max_examples
        training = TokenBatches(train, job.pipeline, cache, max_tokens=size, max_examples=limit, seed=job.config.seed)
        checking = TokenBatches(validation, job.pipeline, cache, max_tokens=2 * size, max_examples=limit)
        return Loader(training, num_workers=data.num_workers), Loader(checking, num_workers=data.num_workers)

    def loss(self, batch: Batch, *, training: bool) -> tuple[Tensor, Tensor]:
        logits_NTV, _ = self.network(batch.x_N, batch.targets_N)
        smoothing = self._task.label_smoothing if training else 0.0
        loss = cross_entropy(
            logits_NTV.flatten(0, 1), batch.targets_N.flatten(), ignore_index=PAD_ID, label_smoothing=smoothing
        )
        return loss, logits_NTV

    def sums(self, outputs_NK: Tensor, batch: Batch) -> dict[str, float]:
        return {}

    def num_counted(self, batch: Batch) -> int:
        return int((batch.targets_N != PAD_ID).sum())

    def on_validation_epoch_end(self) -> None:
        # Before the weights are exchanged back, where a mean of them is what is measured.
        hypotheses = self._translations()
        bleu, bleu_signature = corpus_bleu(hypotheses, self._references)
        chrf, chrf_signature = corpus_chrf(hypotheses, self._references)
        self.measured = {"bleu": bleu, "chrf": chrf}
        write_text(self._log.path.with_name(SIGNATURE_FILE), f"BLEU|{bleu_signature}\nchrF|{chrf_signature}\n")
        super().on_validation_epoch_end()

    def _translations(self) -> list[str]:
        """The validation split in the network's words, segment by segment as a server translates."""
        tokenizer = self._decoder.tokenizer
        files = ctranslate2_files(self.network, tokenizer.pieces, quantization="float32")
        engine = TranslationEngine(files, tokenizer, num_threads=1)
        texts = [self._segments(raw) for raw in self._raws]
        search = BeamSearch(beam_size=self._task.validation_beam_size, max_ratio=self._task.max_ratio)
        found = iter(engine.translate([segment.tolist() for text in texts for segment in text], search))
        return [" ".join(tokenizer.decode(next(found).ids) for _ in text) for text in texts]

    def _segments(self, raw: bytes) -> list[Ids]:
        try:
            return [segment for segment in self._decoder.segments(self._decoder(raw)) if len(segment) > 1]
        except InvalidExample:
            return []  # scored as an empty translation
