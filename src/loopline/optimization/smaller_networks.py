"""Recipes `pruned` and `distilled`: a network with less to compute, which learns what the parent answers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from loopline.core.errors import StateError
from loopline.networks import Network, build_network
from loopline.networks.build import network_config
from loopline.optimization.learning import Lesson, first_batches, learn, lesson_loss, prepare_lesson
from loopline.optimization.workbench import EXACT_TOLERANCE, Draft, OptimizeSettings, Workbench
from loopline.transforms import Pipeline, build_pipeline

# Batches that the channels' importance is taken from.
_NUM_IMPORTANCE = 8
# A network that knows the answers already only mends what pruning broke; one that knows nothing takes larger steps.
_RECOVERY_LR, _STUDENT_LR = 1e-3, 3e-3
# Channels in groups of it fill the registers of a processor.
_ROUND_TO = 8


def prune(draft: Draft, bench: Workbench, settings: OptimizeSettings) -> Draft:
    """Removes whole channels inside the network, the least important ones, and lets the rest learn again for a while.

    Importance is the change of the loss that a first-order expansion expects (Molchanov et al., CVPR 2019); which
    channels hang together is worked out by Torch-Pruning (Fang et al., DepGraph, CVPR 2023). The features that the
    head reads keep their number. Raises `StateError` where the run is not here or no channel can go.
    """
    pipeline = build_pipeline(draft.preprocess)
    network = bench.network()
    lesson = _lesson(bench, pipeline)
    before = _num_parameters(network)
    remove_channels(network, lesson, share=settings.pruned_share, seed=settings.seed)
    if _num_parameters(network) == before:
        raise StateError("no channel of the network can go: all of them reach the head or stand in groups too small.")
    loss = learn(network, lesson, epochs=settings.epochs, lr=_RECOVERY_LR, seed=settings.seed)
    note = f"{_num_parameters(network) / before:.0%} of the weights, {settings.epochs} epochs to a loss of {loss:.3f}"
    return _draft(draft, "pruned", bench.export(network, pipeline), pipeline, note)


def distil(draft: Draft, bench: Workbench, settings: OptimizeSettings) -> Draft:
    """A smaller network learns from random weights what the parent answers.

    It is the run's own with what `settings.student` changes; without that, half as wide. Raises `StateError` where the
    run is not here or its network has no width, and `ConfigError` for a key that it does not have.
    """
    pipeline = build_pipeline(draft.preprocess)
    lesson = _lesson(bench, pipeline)
    model = student_config(bench.model, settings.student)
    torch.manual_seed(settings.seed)
    num_outputs = lesson.answers[0].shape[1]
    student = build_network(model["name"], model, input_shape=pipeline.input_shape, num_outputs=num_outputs)
    config = network_config(model["name"], model)
    config.start(student, input_shape=pipeline.input_shape, num_outputs=num_outputs)
    loss = learn(student, lesson, epochs=settings.student_epochs, lr=_STUDENT_LR, seed=settings.seed)
    changed = ", ".join(f"{key} {value}" for key, value in model.items() if bench.model.get(key) != value)
    note = f"{changed}; {_num_parameters(student):,} weights, {settings.student_epochs} epochs to a loss of {loss:.3f}"
    return _draft(draft, "distilled", bench.export(student, pipeline), pipeline, note)


def student_config(model: Any, changes: dict[str, str]) -> dict[str, Any]:
    """The configuration of a smaller network: the run's with `changes`, or half its width."""
    if changes:
        return {**model, **changes}
    if not isinstance(model.get("width"), int):
        raise StateError(
            f"network '{model['name']}' has no width to halve; a smaller one must be named.",
            next_command="loopline optimize BUNDLE --student KEY=VALUE, as architecture=mobilenetv3_small_100",
        )
    return {**model, "width": max(1, model["width"] // 2)}


def remove_channels(network: Network, lesson: Lesson, *, share: float, seed: int) -> None:
    """Takes that share of the channels out of every layer that does not feed the head, in place.

    Raises `StateError` for a network whose channels cannot be told apart.
    """
    import torch_pruning

    example = torch.zeros(1, *lesson.pipeline.input_shape)
    for batch in first_batches(lesson, _NUM_IMPORTANCE, seed=seed):
        lesson_loss(network, lesson, batch).backward()  # type: ignore[no-untyped-call]  # torch's own
    try:
        pruner = torch_pruning.pruner.BasePruner(
            network,
            example,
            importance=torch_pruning.importance.GroupTaylorImportance(),
            pruning_ratio=share,
            ignored_layers=_before_head(network, example),
            round_to=_ROUND_TO,
        )
        pruner.step()
        network.zero_grad()
        with torch.inference_mode():
            network(example)
    except (RuntimeError, ValueError, IndexError, AttributeError, AssertionError) as error:
        # Whatever the library meets in a network that is not made of convolutions one after the other.
        raise StateError(f"the network cannot be pruned: {(str(error).splitlines() or [''])[0]}") from error


def _before_head(network: Network, example: Tensor) -> list[nn.Module]:
    """The head, everything that is no convolution, and the layers whose channels the head reads."""
    import torch_pruning

    head = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    graph = torch_pruning.DependencyGraph().build_dependency(network, example)
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    groups = graph.get_all_groups(ignored_layers=[head], root_module_types=[nn.Conv2d])
    touched = [{item.dep.target.module for item in group} for group in groups]
    feeding = {layer for layer in layers for group in touched if layer in group and head in group}
    others = [module for module in network.modules() if isinstance(module, nn.Linear)]
    return [*others, *feeding]


def _lesson(bench: Workbench, pipeline: Pipeline) -> Lesson:
    inputs_N, targets_N = bench.training_inputs(pipeline), bench.training_targets()
    return prepare_lesson(bench.network(), pipeline, inputs_N, targets_N, is_mirrored=bench.is_mirrored)


def _draft(draft: Draft, recipe: str, graph: bytes, pipeline: Pipeline, note: str) -> Draft:
    return Draft((*draft.recipes, recipe), graph, pipeline.steps, note=note, tolerance=EXACT_TOLERANCE)


def _num_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
