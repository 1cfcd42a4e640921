"""Items about configuration: experiments described in files, and Hydra that loads them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from loopline.audit.rule import ItemRule, Judgement, done, not_found, partial
from loopline.audit.traces import MOST_EVIDENCE, called, code, plain
from loopline.core.records.audit import Evidence
from loopline.repository import Config, PythonModule, Repository

THEME = "Configuration"
_LOADERS = (
    "yaml.safe_load",
    "yaml.load",
    "yaml.full_load",
    "omegaconf.OmegaConf.load",
    "hydra.initialize",
    "hydra.compose",
    "hydra.initialize_config_dir",
    "tomllib.load",
    "tomli.load",
    "toml.load",
    "configparser.ConfigParser",
    "json.load",
    "json.loads",
    "ruamel.yaml.YAML",
    "confuse.Configuration",
    "dynaconf.Dynaconf",
    "omegaconf.OmegaConf.from_cli",
    "lightning.pytorch.cli.LightningCLI",
    "pytorch_lightning.cli.LightningCLI",
    "omegaconf.OmegaConf.structured",
    "hydra.experimental.compose",
)
_CONFIG_PATH = re.compile(
    r"(^|/)[^/]*(conf|config|params|hparams|hyperparam|experiment|settings)[^/]*(/.+)?\.(ya?ml|toml|json|ini|cfg)$",
    re.IGNORECASE,
)
_NO_EXPERIMENT = re.compile(
    r"(^|/)\.|(^|/)(mkdocs|cloudbuild|docker|codecov|mypy|setup\.cfg|pyproject|package|tsconfig|vertex|dependabot|"
    r"pre-?commit|logging|docs?/|frontend/|node_modules|sweep|renovate|components|vercel|firebase)",
    re.IGNORECASE,
)
_HYDRA = (
    "hydra.main",
    "hydra.compose",
    "hydra.initialize",
    "hydra.initialize_config_dir",
    "hydra.initialize_config_module",
    "hydra.experimental.compose",
    "hydra.experimental.initialize",
    "hydra_zen.zen",
    "hydra_zen.launch",
)


def _check_configs(repository: Repository) -> Judgement:
    """Files with an experiment's settings, and code that reads some; job and sweep descriptions are neither."""
    files = [path for path in repository.configs if _CONFIG_PATH.search(path) and not _NO_EXPERIMENT.search(path)]
    files = [path for path in files if is_experiment(repository.configs[path])]
    readers = [e for module in code(repository) for e in _readers(module)]
    named = _files_named_in_code(repository)
    known = [
        path
        for path in repository.configs
        if PurePosixPath(path).name in named and is_experiment(repository.configs[path])
    ]
    known = [
        path
        for path in known
        if path.endswith((".yaml", ".yml", ".toml", ".ini", ".json")) and not path.startswith(".")
    ]
    evidence = [Evidence(path=path, sentence="Settings of experiments.") for path in dict.fromkeys([*files, *known])]
    if evidence and readers:
        return done(*evidence[:2], *readers[:1])
    return partial(*evidence[:2]) if files else not_found()


def is_experiment(config: Config) -> bool:
    """Whether a file can hold an experiment's settings: no job of a cloud, no sweep, no build, nothing empty."""
    value = config.value
    if not isinstance(value, Mapping) or not value:
        return False
    if value.keys() & {"workerPoolSpecs", "steps", "services", "jobs", "repos", "apiVersion", "on"}:
        return False
    return not is_sweep(value)


def is_sweep(value: Any) -> bool:
    """Whether a mapping describes a sweep of W&B: how to search, and in what."""
    return isinstance(value, Mapping) and "method" in value and isinstance(value.get("parameters"), Mapping)


def _readers(module: PythonModule) -> Iterator[Evidence]:
    for call in module.calls:
        if call.name in _LOADERS and not (call.name.startswith("json.") and not _mentions_config(call.node)):
            yield module.evidence(call.line, f"`{plain(call.name)}` reads settings.")
        elif call.name == "hydra.main" and (
            call.argument("config_path", 0) is not None or call.argument("config_name", 1) is not None
        ):
            yield module.evidence(call.line, "`hydra.main` reads settings.")
    for item in module.classes:
        if "pydantic_settings.BaseSettings" in item.bases and "yaml" in module.text:
            yield module.evidence(item.line, f"`{item.name}` reads settings.")
    for call in module.calls_of("wandb.init"):  # a path is read as a file
        given = [keyword.value for keyword in call.node.keywords if keyword.arg == "config"]
        if given and re.search(r"\.ya?ml", module.text) and not isinstance(module.origin(given[0]), ast.Dict):
            yield module.evidence(call.line, "`wandb.init` reads settings.")


def _mentions_config(node: ast.AST) -> bool:
    text = ast.unparse(node).lower()
    return "config" in text or "params" in text or "cfg" in text


def _files_named_in_code(repository: Repository) -> set[str]:
    found = set()
    for module in code(repository):
        for node in module.live(ast.Constant):
            value = node.value
            if isinstance(value, str) and len(value) < 200 and re.search(r"\.(ya?ml|toml|json|ini)$", value):
                found.add(PurePosixPath(value.replace("\\", "/")).name)
    return found


def _check_hydra(repository: Repository) -> Judgement:
    found = called(code(repository), *_HYDRA)
    found += tuple(
        module.evidence(function.line, f"`{function.name}` is a `hydra.main`.")
        for module in code(repository)
        for function in module.functions
        if "hydra.main" in function.decorators
    )
    return done(*found[:MOST_EVIDENCE]) if found else not_found()


_TRAIN = "import torch\nimport yaml\n\ndef train():\n    settings = yaml.safe_load(open('configs/train.yaml'))\n"

RULES = (
    ItemRule(
        id="config_files",
        theme=THEME,
        asks="Experiments are described in configuration files.",
        wording=r"configurations? files? for your experiments",
        looks_for="A file of settings, and live code that reads settings from files. Descriptions of cloud jobs and of "
        "sweeps are none; files that nothing reads are partial.",
        why="A number in the code is a number that nobody can repeat an experiment with.",
        fix="Move the settings of training into configs/ and read them with Hydra or OmegaConf.",
        good={"configs/train.yaml": "lr: 0.1\n", "src/leaves/train.py": _TRAIN},
        bad={"configs/vertex.yaml": "workerPoolSpecs:\n  machineSpec: {}\n", "src/leaves/train.py": "lr = 0.1\n"},
        check=_check_configs,
    ),
    ItemRule(
        id="hydra",
        theme=THEME,
        asks="Hydra loads the configuration.",
        wording=r"hydra",
        looks_for="`hydra.main` or the compose API in live code; OmegaConf alone is not.",
        why="Every run has its settings beside its results, and any can be changed from the command line.",
        fix="@hydra.main(config_path='configs', config_name='train', version_base=None).",
        good={
            "src/leaves/train.py": (
                "import hydra\n\n@hydra.main(config_path='conf', config_name='train')\ndef main(cfg):\n    pass\n"
            )
        },
        bad={
            "src/leaves/train.py": (
                "from omegaconf import OmegaConf\n\n# @hydra.main()\ncfg = OmegaConf.load('conf/train.yaml')\n"
            )
        },
        check=_check_hydra,
    ),
)
