"""Items about speed: loading data in several processes, training on several devices, smaller and compiled models."""

from __future__ import annotations

import re
from itertools import islice
from typing import Any

from loopline.audit.checklist.workers import find_workers
from loopline.audit.rule import ItemRule, Judgement, done, not_found, partial
from loopline.audit.traces import (
    MOST_EVIDENCE,
    called,
    code_and_notebooks,
    methods,
    plain,
    running,
    targets,
    uses,
)
from loopline.core.records.audit import Evidence
from loopline.repository import DYNAMIC, Repository

THEME = "Scaling"
_PROCESSES = (
    "torch.distributed.init_process_group",
    "torch.nn.parallel.DistributedDataParallel",
    "torch.nn.DataParallel",
    "deepspeed.initialize",
    "torch.nn.parallel.DataParallel",
    "torch.distributed.fsdp.FullyShardedDataParallel",
    "horovod.torch.init",
    "apex.parallel.DistributedDataParallel",
    "ray.train.torch.TorchTrainer",
    "torch.multiprocessing.spawn",
    "torch.distributed.pipelining.pipeline",
)
_STRATEGIES = re.compile(r"ddp|fsdp|deepspeed|dp$|horovod", re.IGNORECASE)
_SMALLER = (
    "torch.quantization",
    "torch.ao.quantization",
    "torch.ao.pruning",
    "torch.nn.utils.prune",
    "torch.nn.quantized",
    "bitsandbytes",
    "onnxruntime.quantization",
    "optimum.quanto",
    "optimum.onnxruntime",
    "torchao",
    "quanto",
    "auto_gptq",
    "neural_compressor",
    "transformers.BitsAndBytesConfig",
    "torch.backends.quantized",
    "torch.quantize_per_tensor",
    "torch_pruning",
    "nncf",
)
_COMPILED = ("torch.compile", "torch_tensorrt.compile", "torch._dynamo.optimize", "openvino.compile_model")
# Made to be served without Python; faster or not.
_TORCHSCRIPT = ("torch.jit.script", "torch.jit.trace", "torch.export.export", "torch.jit.freeze")


def _check_loading(repository: Repository) -> Judgement:
    found = list(islice(find_workers(repository), MOST_EVIDENCE))
    return done(*found) if found else not_found()


def _check_training(repository: Repository) -> Judgement:
    """Several processes or devices; a strategy for one device is partial."""
    found = [*called(code_and_notebooks(repository), *_PROCESSES)]
    found += running(
        repository.commands,
        (
            r"torchrun\b.*|(python3? -m )?torch\.distributed\.(launch|run)|accelerate launch .*(--multi_gpu|"
            r"--num_processes[= ]([2-9]|\d\d))|deepspeed "
        ),
    )
    begun = []
    for module, call in methods(code_and_notebooks(repository), "Trainer"):
        devices = [call.argument(key) for key in ("devices", "gpus", "num_nodes", "num_processes")]
        several = any(_counts_several(value) for value in devices)
        strategy = call.argument("strategy") or call.argument("accelerator")
        is_parallel = isinstance(strategy, str) and bool(_STRATEGIES.search(strategy))
        if several or (is_parallel and any(value in (-1, "-1", "auto") or value is DYNAMIC for value in devices)):
            found.append(module.evidence(call.line, "The trainer is given several devices."))
        elif is_parallel:
            begun.append(module.evidence(call.line, f"The strategy {strategy}, for one device."))
    for path, config in repository.configs.items():
        for place, value in config.walk():
            if place[-1] in ("devices", "gpus", "num_nodes") and _counts_several(value) and _is_trainer(path, place):
                found.append(Evidence(path=path, line=config.line(*place), sentence=f"`{place[-1]}` is {value}."))
    if found:
        return done(*found[:MOST_EVIDENCE])
    return partial(*begun[:1]) if begun else not_found()


def _counts_several(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) > 1
    return isinstance(value, int) and not isinstance(value, bool) and value > 1


def _is_trainer(path: str, place: tuple[str | int, ...]) -> bool:
    return bool(re.search(r"train|conf", path, re.IGNORECASE)) and "services" not in place and "deploy" not in place


def _check_smaller(repository: Repository) -> Judgement:
    """Quantization, pruning or compilation; TorchScript alone is a way to pack a model, and partial."""
    modules = list(code_and_notebooks(repository))
    found = [*uses(modules, *_SMALLER), *called(modules, *_COMPILED), *targets(repository, *_SMALLER, *_COMPILED)]
    found += [
        module.evidence(call.line, "Loads the model in few bits.")
        for module in modules
        for call in module.calls
        if call.argument("load_in_8bit") is True or call.argument("load_in_4bit") is True
    ]
    if found:
        return done(*found[:MOST_EVIDENCE])
    packed = list(called(modules, *_TORCHSCRIPT))
    packed += [
        module.evidence(call.line, f"`{plain(call.name)}` packs the model.")
        for module, call in methods(modules, "to_torchscript")
    ]
    return partial(*packed[:1]) if packed else not_found()


_LOADER = "from torch.utils.data import DataLoader\n\ndef load(data):\n    return DataLoader(data, num_workers={})\n"

RULES = (
    ItemRule(
        id="dist_data",
        theme=THEME,
        asks="Several processes load the data.",
        wording=r"distributed data ?loading",
        looks_for=(
            "A DataLoader whose number of workers is above 0 in effect: a constant, a default, a setting, the cores."
        ),
        why="A device that waits for data is paid for nothing.",
        fix="DataLoader(…, num_workers=4, persistent_workers=True).",
        good={"src/leaves/data.py": _LOADER.format(4)},
        bad={"src/leaves/data.py": _LOADER.format(0)},
        check=_check_loading,
    ),
    ItemRule(
        id="dist_train",
        theme=THEME,
        asks="Training runs on several devices.",
        wording=r"distributed (model )?training",
        looks_for="Processes set up, a data-parallel wrapper, or a trainer with more than one device; a strategy "
        "for one "
        "device is partial.",
        why="Some models do not fit in a night otherwise.",
        fix="Trainer(devices=2, strategy='ddp').",
        good={"src/leaves/train.py": "import lightning as L\n\nL.Trainer(devices=2, strategy='ddp')\n"},
        bad={"src/leaves/train.py": "import lightning as L\n\nL.Trainer(devices=1, strategy='ddp')\n"},
        check=_check_training,
    ),
    ItemRule(
        id="quant",
        theme=THEME,
        asks="The model was made smaller or faster: quantized, compiled, pruned.",
        wording=r"quantization",
        looks_for="Live use of quantization, pruning or torch.compile; TorchScript alone is partial.",
        why="Serving is paid by the millisecond.",
        fix="torch.compile(model), or quantize the exported graph.",
        good={"src/leaves/model.py": "import torch\n\ndef smaller(model):\n    return torch.compile(model)\n"},
        bad={"src/leaves/model.py": "import torch\n\ndef smaller(model):\n    return model.half()\n"},
        check=_check_smaller,
    ),
)
