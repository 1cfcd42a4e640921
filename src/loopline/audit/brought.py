"""What Loopline does for a project that runs its commands: a project need not import what the command brings.

`loopline train` in a Makefile trains with Lightning as surely as an `import lightning` in a module that a Makefile
runs. A command counts where something runs it: a target, a workflow, an image. What no command of Loopline does stands
in no row.
"""

from __future__ import annotations

from loopline.audit.rule import Judgement, done
from loopline.audit.traces import MOST_EVIDENCE, ci_commands
from loopline.repository import Command, Repository

# What counts only where a workflow runs it.
_IN_WORKFLOWS = {"docker_built", "docker_trigger"}
# Item to what must run for it, each a regular expression of a command from its start on, and what that does.
_SERVES = r"loopline (serve|ui|image serve|run)"
_TRAINS = r"loopline train"
_BROUGHT = {
    "data_script": ((r"loopline data snapshot",), "makes a snapshot of the data, under the digest of its content"),
    "config_files": ((r"loopline (train|sweep)\b.*--config-dir",), "reads the project's settings"),
    "hydra": ((_TRAINS,), "composes its configuration with Hydra"),
    "cli": ((_TRAINS,), "takes the project's settings as arguments"),
    "docker_built": ((r"loopline image",), "builds the image"),
    "docker_trigger": ((r"loopline image",), "builds the image"),
    "model_train": ((_TRAINS,), "trains the network that its configuration names"),
    "wandb": ((r"loopline (train|sweep)\b.*tracking=wandb",), "logs to Weights & Biases"),
    "sweep": ((r"loopline sweep",), "searches a space of settings"),
    "optuna": ((r"loopline sweep",), "searches with Optuna"),
    "lightning": ((_TRAINS,), "trains with Lightning"),
    "dist_train": ((r"loopline train\b.*trainer\.devices=([2-9]|\d\d|-1|auto)",), "trains on several devices"),
    "dist_data": ((r"loopline train\b.*data\.num_workers=[1-9]",), "loads the data in several processes"),
    "fastapi": ((_SERVES,), "answers by FastAPI with the model"),
    "torchserve": ((r"loopline serve",), "serves the exported graph, in the place of a server like TorchServe"),
    "onnx_bentoml": ((_SERVES,), "answers by ONNX Runtime"),
    "frontend": ((r"loopline (ui|serve\b.*--ui)",), "has a page to ask the model"),
    "metrics": ((_SERVES,), "tells Prometheus of itself at /metrics"),
    "mon_system": ((_SERVES,), "tells Prometheus of itself at /metrics"),
    "io_collection": ((_SERVES,), "keeps every answer in the prediction log"),
    "drift": ((r"loopline drift",), "compares the prediction log with the training data"),
    "mon_perf": ((_SERVES, r"loopline drift"), "watches what the model answers"),
}


def brought(repository: Repository, item: str) -> Judgement | None:
    """Done, where commands of Loopline do what the item asks and something runs all of them; otherwise None."""
    patterns, does = _BROUGHT.get(item, ((), ""))
    evidence = []
    for pattern in patterns:
        # `.venv/bin/loopline` is Loopline, too.
        wanted = rf"(\S*/)?{pattern}"
        running = next((command for command in _commands(repository, item) if command.runs(wanted)), None)
        if running is None:
            return None
        evidence.append(running.evidence(f"Loopline's command {does}."))
    return done(*evidence[:MOST_EVIDENCE]) if evidence else None


def _commands(repository: Repository, item: str) -> list[Command]:
    commands = ci_commands(repository) if item in _IN_WORKFLOWS else repository.commands
    return [command for command in commands if "loopline" in command.text]
