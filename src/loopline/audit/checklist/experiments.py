"""Items about experiments: what trains, what is profiled and tracked, what is searched."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from loopline.audit.checklist.configuration import is_sweep
from loopline.audit.rule import ItemRule, Judgement, done, not_found, partial
from loopline.audit.traces import (
    MOST_EVIDENCE,
    called,
    code,
    code_and_notebooks,
    is_reached,
    methods,
    plain,
    running,
    stem,
    targets,
    uses,
)
from loopline.core.records.audit import Evidence
from loopline.repository import Call, PythonModule, Repository

THEME = "Experiments"
LIGHTNING = ("lightning", "pytorch_lightning", "lightning_fabric", "lightning.pytorch")
_NETWORKS = ("torch.nn.Module", "torch.nn.Sequential()", "keras.Model", "tensorflow.keras.Model", "flax.linen.Module")
_READY_MADE = re.compile(
    r"^(timm\.create_model|torchvision\.models\.\w+|torch\.hub\.load|transformers\.(Auto\w*|\w+For\w+|"
    r"\w+Model)(\.from_\w+)?|"
    r"segmentation_models_pytorch\.\w+|ultralytics\.YOLO|diffusers\.\w+|sklearn\.(ensemble|linear_model|"
    r"svm|neural_network|"
    r"cluster|neighbors|tree)\.\w+|xgboost\.\w+|lightgbm\.\w+|catboost\.\w+|tensorflow\.keras\.\w*|keras\.Sequential|"
    r"sentence_transformers\.\w+|torch\.nn\.Sequential|torch_geometric\.nn\.\w+|fastai\.\w+(\.\w+)*|"
    r"monai\.networks\.\w+(\.\w+)*)$"
)
_TRAINERS = re.compile(
    r"(Trainer|YOLO)\(\)\.(fit|train)$|(xgboost|lightgbm)\.train$|\.(fit|fit_one_cycle|fine_tune|train_model)$"
)
_PROFILERS = (
    "torch.profiler",
    "torch.autograd.profiler",
    "cProfile",
    "profile",
    "pstats",
    "line_profiler",
    "memory_profiler",
    "pyinstrument",
    "yappi",
    "scalene",
    "torch.utils.bottleneck",
    "viztracer",
    "torch.utils.benchmark",
    "tracemalloc",
)
_WANDB_LOGGERS = (
    "pytorch_lightning.loggers.WandbLogger",
    "lightning.pytorch.loggers.WandbLogger",
    "lightning_fabric.loggers.WandbLogger",
    "pytorch_lightning.loggers.wandb.WandbLogger",
    "lightning.pytorch.loggers.wandb.WandbLogger",
    "wandb.integration",
    "transformers.integrations.WandbCallback",
    "fastai.callback.wandb.WandbCallback",
)
# What the settings of a trainer are called in Transformers and in what is built on it.
_ARGUMENTS = "TrainingArguments"
_SEARCHES = (
    "optuna.create_study",
    "optuna.load_study",
    "wandb.agent",
    "ray.tune.run",
    "ray.tune.Tuner",
    "hyperopt.fmin",
    "keras_tuner.",
    "skopt.gp_minimize",
    "ax.optimize",
    "sklearn.model_selection.GridSearchCV",
    "sklearn.model_selection.RandomizedSearchCV",
    "wandb.sweep",
    "nni.get_next_parameter",
    "syne_tune.Tuner",
)


def _check_training(repository: Repository) -> Judgement:
    networks = [e for module in code(repository) for e in _networks(module)]
    trainings = [e for module in code(repository) for e in _trainings(module)]
    if networks and trainings:
        return done(*networks[:2], *trainings[:2])
    return partial(*networks[:1], *trainings[:1]) if networks or trainings else not_found()


def _networks(module: PythonModule) -> Iterator[Evidence]:
    for item in module.classes:
        if any(base in _NETWORKS or base.endswith(("LightningModule", "nn.Module")) for base in item.bases):
            yield module.evidence(item.line, f"The model `{item.name}`.")
    for call in module.calls:
        if _READY_MADE.match(call.name):
            yield module.evidence(call.line, f"A model by `{plain(call.name)}`.")


def _trainings(module: PythonModule) -> Iterator[Evidence]:
    steps = {call.method for call in module.calls}
    for call in module.calls:
        if (call.method == "backward" and "step" in steps) or _TRAINERS.search(call.name):
            yield module.evidence(call.line, f"Training by `{plain(call.name)}`.")
    if re.match(r"train|.*_train(ing)?$", stem(module.path)):  # a method of its own, whose result is kept
        for call in module.calls_of("torch.save", "joblib.dump", "pickle.dump", "numpy.save", "subprocess.run"):
            yield module.evidence(call.line, f"Training, whose result `{plain(call.name)}` keeps.")


def _check_profiling(repository: Repository) -> Judgement:
    found = [*uses(code_and_notebooks(repository), *_PROFILERS), *targets(repository, *_lightning("profilers"))]
    for module, call in methods(code_and_notebooks(repository), "Trainer"):
        if call.argument("profiler") not in (None, False, "null", "None"):
            found.append(module.evidence(call.line, f"`{plain(call.name)}` is given a profiler."))
    found += uses(code_and_notebooks(repository), *_lightning("profilers"), *_lightning("profiler"))
    found += [
        Evidence(path=path, line=config.line(*place), sentence=f"The trainer is given the profiler {value}.")
        for path, config in repository.configs.items()
        for place, value in config.walk()
        if place[-1] == "profiler" and value in ("simple", "advanced", "pytorch", "xla")
    ]
    found += running(
        repository.commands,
        r"(python3? )?-?m?\s?cProfile|py-spy|scalene|kernprof|mprof|pyinstrument|nsys|snakeviz|python3? -m cProfile.*",
    )
    return done(*found[:MOST_EVIDENCE]) if found else not_found()


def _lightning(part: str) -> tuple[str, ...]:
    return tuple(f"{package}.{part}" for package in LIGHTNING)


def _check_wandb(repository: Repository) -> Judgement:
    """Something is logged, or a logger is handed to a trainer."""
    found = [
        *called(
            code(repository),
            "wandb.log",
            "wandb.init",
            "wandb.watch",
            "wandb.init().log",
            "wandb.log_artifact",
            "wandb.run.log",
        )
    ]
    found += [*uses(code(repository), *_WANDB_LOGGERS), *targets(repository, *_WANDB_LOGGERS)]
    found += _reports(repository)
    found = [evidence for evidence in found if is_reached(repository, evidence)]
    if found:
        return done(*found[:MOST_EVIDENCE])
    notebooks = uses(repository.notebooks.values(), "wandb")
    others = uses(code(repository), "wandb")
    return partial(*notebooks[:1], *others[:1]) if notebooks or others else not_found()


def _reports(repository: Repository) -> Iterator[Evidence]:
    """Where Transformers' trainer, or one made like it, is told to report to W&B: in code, or by its settings."""
    arguments = [
        (module, call) for module in code(repository) for call in module.calls if call.method.endswith(_ARGUMENTS)
    ]
    for module, call in arguments:
        told = next((keyword.value for keyword in call.node.keywords if keyword.arg == "report_to"), None)
        parts = [] if told is None else [*ast.walk(told), *ast.walk(module.origin(told))]
        if any(isinstance(part, ast.Constant) and part.value == "wandb" for part in parts):
            yield module.evidence(call.line, "The trainer reports to W&B.")
    if any(_comes_from_settings(call) for _, call in arguments):
        for path, config in repository.configs.items():
            for place, value in config.walk():
                if place[-1] == "report_to" and "wandb" in str(value):
                    yield Evidence(path=path, line=config.line(*place), sentence="The trainer reports to W&B.")


def _comes_from_settings(call: Call) -> bool:
    """Whether a call is given all of a mapping, or what a mapping or an object holds as `report_to`."""
    return any(
        keyword.arg is None or (keyword.arg == "report_to" and isinstance(keyword.value, ast.Subscript | ast.Attribute))
        for keyword in call.node.keywords
    )


def _check_sweep(repository: Repository) -> Judgement:
    """A search that runs: in code, by Hydra's sweepers, or W&B's agent with code that logs to it."""
    found = list(called(code_and_notebooks(repository), *_SEARCHES))
    files = []
    for path, config in repository.configs.items():
        if is_sweep(config.value):
            files.append(Evidence(path=path, sentence="Describes a sweep of W&B."))
        for place, value in config.walk():
            if place[-1] == "params" and "sweeper" in place and value:
                found.append(
                    Evidence(path=path, line=config.line(*place), sentence="Hydra sweeps over these parameters.")
                )
    found += running(repository.commands, r".*(--multirun|wandb sweep|wandb agent)")
    if (
        files
        and (uses(code(repository), "wandb") or targets(repository, *_WANDB_LOGGERS))
        and _takes_settings(repository)
    ):
        found += files
    if found:
        return done(*found[:MOST_EVIDENCE])
    return partial(*files[:1]) if files else not_found()


def _takes_settings(repository: Repository) -> bool:
    """Whether anything hands an agent's parameters to training: its run's configuration, a command line, Hydra."""
    for module in code(repository):
        names = {call.name for call in module.calls}
        if "wandb.config" in module.references or "wandb.init" in names or "hydra.main" in names:
            return True
        if names & {"argparse.ArgumentParser", "click.command", "typer.Typer", "typer.run"}:
            return True
    return False


def _check_lightning(repository: Repository) -> Judgement:
    packages = (*LIGHTNING,)
    found = [*uses(code(repository), *packages), *targets(repository, *packages)]
    if found:
        return done(*found[:MOST_EVIDENCE])
    notebooks = uses(repository.notebooks.values(), *packages)
    return partial(*notebooks[:1]) if notebooks else not_found()


def _check_optuna(repository: Repository) -> Judgement:
    found = called(code_and_notebooks(repository), "optuna.create_study", "optuna.load_study")
    return done(*found) if found else not_found()


_SWEEP = "program: src/leaves/train.py\nmethod: bayes\nparameters:\n  lr:\n    min: 0.0001\n    max: 0.1\n"

RULES = (
    ItemRule(
        id="model_train",
        theme=THEME,
        asks="There is a model, and training that runs.",
        wording=r"model file and a training script|training procedure",
        looks_for="A class of a network or a ready-made model, and a training loop or a trainer that is started.",
        why="Everything else stands on this.",
        fix="Write model.py and train.py.",
        good={
            "src/leaves/model.py": "from torch import nn\n\nclass Net(nn.Module):\n    pass\n",
            "src/leaves/train.py": "def train(loss, optimizer):\n    loss.backward()\n    optimizer.step()\n",
        },
        bad={"src/leaves/model.py": "from torch import nn\n\nclass Net(nn.Module):\n    pass\n"},
        check=_check_training,
    ),
    ItemRule(
        id="profiling",
        theme=THEME,
        asks="The code has been profiled.",
        wording=r"profiling",
        looks_for="A profiler in live code, a trainer that is given one, or a command that runs one.",
        why="What one believes to be slow rarely is.",
        fix="Trainer(profiler='simple'), or torch.profiler around a few steps.",
        good={"src/leaves/profile.py": "import torch\n\nwith torch.profiler.profile() as p:\n    pass\n"},
        bad={"requirements.txt": "snakeviz\n", "src/leaves/train.py": "import cProfile\n"},
        check=_check_profiling,
    ),
    ItemRule(
        id="wandb",
        theme=THEME,
        asks="Training's progress is logged with Weights & Biases.",
        wording=r"(use|using) (wandb|weights)",
        looks_for="Live calls of `wandb`, its logger handed to a trainer, or a trainer told to report to it; code that "
        "nothing calls is partial, a dependency or a sweep file nothing.",
        why="A curve that is stored can be compared with next month's.",
        fix="wandb.init and wandb.log, or WandbLogger.",
        good={"src/leaves/train.py": "import wandb\n\nwandb.init(project='leaves')\nwandb.log({'loss': 1.0})\n"},
        bad={"src/leaves/train.py": "import wandb\n\n# wandb.init()\n", "requirements.txt": "wandb\n"},
        check=_check_wandb,
    ),
    ItemRule(
        id="sweep",
        theme=THEME,
        asks="Hyperparameters are searched for.",
        wording=r"hyperparameter optimization sweep",
        looks_for="A search in live code, Hydra's sweeper with parameters, or a W&B sweep whose training logs to "
        "it and "
        "takes its parameters; a file alone is partial.",
        why="Settings that were tried by hand are the ones that came to mind.",
        fix="Describe the search, and read its parameters in training.",
        good={"sweep.yaml": _SWEEP, "src/leaves/train.py": "import wandb\n\nwandb.init()\nlr = wandb.config.lr\n"},
        bad={"sweep.yaml": _SWEEP, "src/leaves/train.py": "lr = 0.1\n"},
        check=_check_sweep,
    ),
    ItemRule(
        id="lightning",
        theme=THEME,
        asks="PyTorch Lightning holds the training loop.",
        wording=r"lightning",
        looks_for="Live use of `lightning` or `pytorch_lightning`, or a `_target_` from it.",
        why="A loop that others test need not be tested again.",
        fix="Derive the model from LightningModule.",
        good={"src/leaves/model.py": "import lightning as L\n\nclass Net(L.LightningModule):\n    pass\n"},
        bad={"requirements.txt": "lightning\n", "src/leaves/model.py": "import lightning as L\n"},
        check=_check_lightning,
    ),
    ItemRule(
        id="optuna",
        theme=THEME,
        asks="Optuna searches for hyperparameters.",
        wording=r"used optuna",
        looks_for="A study that live code creates.",
        why="As for any search.",
        fix="optuna.create_study().optimize(objective).",
        good={"src/leaves/search.py": "import optuna\n\noptuna.create_study().optimize(len)\n"},
        bad={"requirements.txt": "optuna\n"},
        check=_check_optuna,
    ),
)
