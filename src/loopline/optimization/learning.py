"""A network learns to answer as another one does, on the training split.

Source: Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, arXiv:1503.02531.

N examples of a batch, K outputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from loopline.core.progress import bar
from loopline.networks import Network
from loopline.networks.inference import network_outputs
from loopline.transforms import Pipeline

BATCH = 32
# Soft answers tell more than labels do: at this temperature the wrong labels' order shows.
_TEMPERATURE = 2.0
# The labels themselves have the rest of the loss.
_TEACHER_SHARE = 0.7
_WARMUP_SHARE = 0.1


@dataclass(frozen=True)
class Lesson:
    """What is learnt from: the training split, decoded, and what the teacher answers to it."""

    pipeline: Pipeline
    inputs_N: NDArray[Any]
    targets_N: NDArray[Any]
    # One array as they are, and one of their mirror images where training showed these, too.
    answers: tuple[NDArray[np.float32], ...]
    is_classification: bool


def prepare_lesson(
    teacher: Network, pipeline: Pipeline, inputs_N: NDArray[Any], targets_N: NDArray[Any], *, is_mirrored: bool
) -> Lesson:
    """Asks the teacher once for all; labels are whole numbers."""
    is_classification = np.issubdtype(np.asarray(targets_N).dtype, np.integer)
    answers = []
    for mirrored in (False, True) if is_mirrored else (False,):
        parts = []
        for start in range(0, len(inputs_N), BATCH):
            x_N = pipeline.collate(_turned(inputs_N[start : start + BATCH], mirrored))
            parts.append(network_outputs(teacher, x_N)["logits"])
        answers.append(np.concatenate(parts))
    return Lesson(pipeline, inputs_N, np.asarray(targets_N), tuple(answers), is_classification)


def learn(student: Network, lesson: Lesson, *, epochs: int, lr: float, seed: int) -> float:
    """Trains the student in place with AdamW, a warm-up and a cosine; returns the mean loss of the last epoch.

    The same seed gives the same weights. The student is left in evaluation mode.
    """
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(student.parameters(), lr=lr, weight_decay=0.01)
    num_batches = math.ceil(len(lesson.inputs_N) / BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _warm_cosine(epochs * num_batches))
    losses: list[float] = []
    student.train()
    with bar("Learning", total=epochs * num_batches) as advance:
        for _ in range(epochs):
            losses = []
            for x_N, answers_NK, targets_N in _batches(lesson, generator):
                loss = _loss(student(x_N)[0], answers_NK, targets_N, is_classification=lesson.is_classification)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # torch's own
                nn.utils.clip_grad_norm_(student.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                losses.append(float(loss.detach()))
                advance(1)
    student.eval()
    return float(np.mean(losses))


def first_batches(lesson: Lesson, num_batches: int, *, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Some batches of a lesson: inputs, the teacher's answers, targets."""
    batches = _batches(lesson, np.random.default_rng(seed))
    return (batch for _, batch in zip(range(num_batches), batches, strict=False))


def lesson_loss(student: Network, lesson: Lesson, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """What the student is to make small."""
    x_N, answers_NK, targets_N = batch
    return _loss(student(x_N)[0], answers_NK, targets_N, is_classification=lesson.is_classification)


def _batches(lesson: Lesson, generator: np.random.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The lesson in an order of its own; batches of one would stop batch normalization, and are left out."""
    order = generator.permutation(len(lesson.inputs_N))
    for start in range(0, len(order), BATCH):
        chosen = np.sort(order[start : start + BATCH])
        if len(chosen) < 2:
            continue
        side = int(generator.integers(len(lesson.answers)))
        x_N = lesson.pipeline.collate(_turned(lesson.inputs_N[chosen], bool(side)))
        answers_NK, targets_N = lesson.answers[side][chosen], lesson.targets_N[chosen]
        yield torch.from_numpy(x_N), torch.from_numpy(answers_NK), torch.from_numpy(targets_N)


def _turned(x_NHWC: NDArray[Any], mirrored: bool) -> NDArray[Any]:
    return np.ascontiguousarray(x_NHWC[:, :, ::-1]) if mirrored else np.asarray(x_NHWC)


def _loss(outputs_NK: Tensor, answers_NK: Tensor, targets_N: Tensor, *, is_classification: bool) -> Tensor:
    if not is_classification:
        # In the network's own units, which the targets are not in.
        return functional.mse_loss(outputs_NK, answers_NK)
    soft = functional.kl_div(
        functional.log_softmax(outputs_NK / _TEMPERATURE, dim=1),
        functional.log_softmax(answers_NK / _TEMPERATURE, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    hard = functional.cross_entropy(outputs_NK, targets_N)
    return _TEACHER_SHARE * _TEMPERATURE**2 * soft + (1 - _TEACHER_SHARE) * hard


def _warm_cosine(num_steps: int) -> Any:
    warmup = max(1, round(_WARMUP_SHARE * num_steps))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, num_steps - warmup))))

    return factor
