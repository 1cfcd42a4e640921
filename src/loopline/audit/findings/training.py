"""Rules about training and inference: gradients, modes, seeds, devices, and data that must stay unseen."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from loopline.audit.findings.places import calls_in, calls_through, function_or_module, innermost_loop, last_names
from loopline.audit.rule import FindingRule
from loopline.audit.traces import code, code_and_notebooks, plain
from loopline.core.records.audit import Evidence
from loopline.repository import Call, PythonModule, Repository

CATEGORY = "Training"
_ZEROES = ("zero_grad",)
_FITS = re.compile(r"(^|\.)(backward|manual_backward|fit|train_on_batch)$")
_SEEDS = re.compile(
    r"(^|\.)(manual_seed|manual_seed_all|seed_everything|set_seed|set_random_seed|fix_random_seeds?|seed_all)$|"
    r"^(random|numpy\.random)\.seed$"
)
_ANSWERS = ("argmax", "softmax", "sigmoid", "topk", "log_softmax")
_NO_GRADIENTS = ("torch.no_grad", "torch.inference_mode", "torch.set_grad_enabled", "torch.autograd.no_grad")
_LOADS_WEIGHTS = ("load_state_dict", "load_from_checkpoint")
_TEST_NAME = re.compile(r"^(x_|y_)?tests?($|_|set|data|loader)|_test(_?(set|data|loader|dl|ds))?$", re.IGNORECASE)
_BEST = re.compile(r"best|(^|_)(min|max)_", re.IGNORECASE)
_TEST_SCORE = re.compile(r"^test_?(loss|acc\w*|score|f1|error|auc|metric)", re.IGNORECASE)


def _check_zero_grad(repository: Repository) -> Iterator[Evidence]:
    """Where gradients flow and the optimizer steps in one loop, that loop makes them zero, too."""
    for module in code_and_notebooks(repository):
        clears = [call.node for call in module.calls if call.method in _ZEROES]
        for call in module.calls:
            loop = innermost_loop(module, call.node) if call.method == "backward" else None
            if loop is None:
                continue
            inside = [other for _, other in calls_through(repository, module, loop)]
            steps = any(other.method == "step" and not other.node.args for other in calls_in(module, loop))
            if not steps or any(other.method in _ZEROES for other in inside) or _sets_gradients(loop):
                continue
            around = set(ast.walk(function_or_module(module, call.node)))
            outside = any(node in around for node in clears)
            what = "is called outside of the loop alone" if outside else "is missing"
            yield module.evidence(call.line, f"`zero_grad` {what}, so gradients of all batches add up.")


def _sets_gradients(loop: ast.AST) -> bool:
    """Whether the loop sets gradients by hand, or steps through something of its own that may clear them."""
    stores = (node for node in ast.walk(loop) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store))
    return any(node.attr == "grad" for node in stores)


def _inference_modules(repository: Repository) -> Iterator[tuple[PythonModule, Call]]:
    """The modules that load weights and turn outputs into answers, and do not train; with the call that loads."""
    for module in code(repository):
        loads = next((call for call in module.calls if call.method in _LOADS_WEIGHTS), None)
        answers = any(call.method in _ANSWERS for call in module.calls)
        trains = any(_FITS.search(call.name) or _is_trainer(call) for call in module.calls)
        if loads is not None and answers and not trains:
            yield module, loads


def _is_trainer(call: Call) -> bool:
    # Lightning's trainer switches modes itself.
    return bool(re.search(r"(^|\.)Trainer$", call.name))


def _check_eval(repository: Repository) -> Iterator[Evidence]:
    for module, loads in _inference_modules(repository):
        switched = any(call.method == "eval" and "." in call.name for call in module.calls)
        off = any(call.method == "train" and call.arguments[:1] == (False,) for call in module.calls)
        # What `from_pretrained` made is in the mode of inference already.
        if not switched and not off and "from_pretrained" not in loads.name:
            yield module.evidence(loads.line, f"`{plain(loads.name)}` loads a model that is never put into `eval()`.")


def _check_no_grad(repository: Repository) -> Iterator[Evidence]:
    for module, loads in _inference_modules(repository):
        if not module.uses(*_NO_GRADIENTS):
            yield module.evidence(loads.line, "The model predicts with gradients: no `no_grad`, no `inference_mode`.")


def _check_test_data(repository: Repository) -> Iterator[Evidence]:
    """Data called test that is fitted to, validated on while training, or that chooses the best model."""
    for module in code_and_notebooks(repository):
        for call in module.calls:
            names = [*last_names(call.node.args), *last_names([keyword.value for keyword in call.node.keywords])]
            name = next((name for name in names if _TEST_NAME.search(name)), None)
            if call.method in ("fit", "fit_transform", "partial_fit") and name is not None:
                yield module.evidence(call.line, f"`{plain(call.name)}` is given `{name}`.")
            if call.method.endswith("Trainer"):
                given = [word.value for word in call.node.keywords if word.arg in ("eval_dataset", "eval_set")]
                if (held := next(filter(_TEST_NAME.search, last_names(given)), None)) is not None:
                    yield module.evidence(call.line, f"`{plain(call.name)}` validates on `{held}` while it trains.")
            monitor = call.argument("monitor")
            if isinstance(monitor, str) and monitor.startswith("test"):
                yield module.evidence(call.line, f"`{plain(call.name)}` watches `{monitor}`.")
        for node in module.live(ast.Compare) if "test" in module.text else ():
            sides = list(_words(node))
            if any(map(_TEST_SCORE.search, sides)) and any(map(_BEST.search, sides)):
                yield module.evidence(node, f"`{ast.unparse(node)[:60]}` chooses by test data.")


def _words(node: ast.AST) -> Iterator[str]:
    """The names and texts in an expression: of `metrics["best_loss"]` both."""
    for part in ast.walk(node):
        match part:
            case ast.Name(id=word) | ast.Attribute(attr=word) | ast.Constant(value=str(word)):
                yield word


def _check_seed(repository: Repository) -> Iterator[Evidence]:
    """Training somewhere in the package, and nothing seeded anywhere in it; a notebook's seed is the notebook's."""
    modules = [*code(repository)]
    if any(_SEEDS.search(call.name) for module in modules for call in module.calls):
        return
    # A seed as an argument: of a trainer, a split, a generator, a configuration.
    if any(re.search(r"seed|random_state", keyword) for m in modules for c in m.calls for keyword in c.keywords):
        return
    for module in code(repository):
        trains = next((call for call in module.calls if _FITS.search(call.name) and _is_torch(module)), None)
        if trains is not None:
            yield module.evidence(
                trains.line, "Training starts from other random numbers each time; nothing is seeded."
            )
            return


def _is_torch(module: PythonModule) -> bool:
    return bool(module.imports_of("torch", "lightning", "pytorch_lightning", "transformers"))


def _check_devices(repository: Repository) -> Iterator[Evidence]:
    """A device by its number, unless the same expression asks whether there is one."""
    for module in code(repository):
        for node in module.live(ast.Constant):
            if not isinstance(node.value, str) or not re.fullmatch(r"cuda:\d", node.value):
                continue
            if not any(isinstance(parent, ast.IfExp | ast.If | ast.Compare) for parent in module.parents(node)):
                yield module.evidence(node, f"`{node.value}` is written into the code.")
        for call in module.calls:
            number = call.argument("device", 0)
            chosen = next((value for key, value in call.keywords.items() if key in ("devices", "gpus")), None)
            if isinstance(chosen, list) and any(isinstance(one, int) and one > 0 for one in chosen):
                yield module.evidence(call.line, f"The devices {chosen} are written into the code.")
            if call.method == "cuda" and isinstance(number, int):
                yield module.evidence(call.line, f"`.cuda({number})` is written into the code.")
        for assignment in module.live(ast.Assign):
            is_set = "CUDA_VISIBLE_DEVICES" in ast.unparse(assignment.targets[0])
            if is_set and isinstance(module.constant(assignment.value), str):
                yield module.evidence(assignment, "The code chooses the visible devices itself.")


_LOOP = """\
import torch

torch.manual_seed(0)


def train(model, optimizer, loader):
    for x, y in loader:
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
"""
_PREDICT = """\
import torch
from shop.model import Net


def predict(x):
    model = Net()
    model.load_state_dict(torch.load("model.pt", weights_only=True))
    model.eval()
    with torch.inference_mode():
        return model(x).argmax()
"""

RULES: tuple[FindingRule, ...] = (
    FindingRule(
        id="zero-grad",
        category=CATEGORY,
        title="Gradients are not cleared in the loop",
        looks_for="A loop with `backward()` and `step()` without `zero_grad()` in it or in what it calls.",
        why="Each step then follows the sum of all gradients so far: training gets slow or diverges, without an error.",
        fix="Call `optimizer.zero_grad()` in the loop, before `backward()`.",
        severity="error",
        good={"train.py": _LOOP},
        bad={"train.py": _LOOP.replace("        optimizer.zero_grad()\n", "")},
        check=_check_zero_grad,
    ),
    FindingRule(
        id="eval-mode",
        category=CATEGORY,
        title="A model predicts in training mode",
        looks_for="Modules that load weights, predict, do not train, and never call `eval()`.",
        why="Dropout goes on dropping and batch normalization on learning, so answers change from call to call.",
        fix="Call `model.eval()` after loading.",
        severity="error",
        good={"predict.py": _PREDICT},
        bad={"predict.py": _PREDICT.replace("    model.eval()\n", "")},
        check=_check_eval,
    ),
    FindingRule(
        id="no-grad",
        category=CATEGORY,
        title="A model predicts with gradients",
        looks_for="Modules that load weights, predict, do not train, and never switch gradients off.",
        why="Every activation is kept for a backward pass that never comes: memory and time for nothing.",
        fix="Predict in `with torch.inference_mode():`.",
        severity="warning",
        good={"predict.py": _PREDICT},
        bad={"predict.py": _PREDICT.replace("torch.inference_mode()", "open('log')")},
        check=_check_no_grad,
    ),
    FindingRule(
        id="test-data-in-training",
        category=CATEGORY,
        title="Test data takes part in training or selection",
        looks_for="`fit` that is given data called test, a trainer that validates on them, a monitor of a test metric, "
        "a best model by a test score.",
        why="What was chosen by the test data looks better on them than on anything else; nothing is left to tell.",
        fix="Split off validation data for choices; look at the test data once, at the end.",
        severity="error",
        good={"train.py": "trainer.fit(model, train_loader, val_loader)\ntrainer.test(model, test_loader)\n"},
        bad={"train.py": "trainer.fit(model, train_loader, test_loader)\n"},
        check=_check_test_data,
    ),
    FindingRule(
        id="no-seed",
        category=CATEGORY,
        title="Nothing is seeded",
        looks_for="Training with torch, and no call or argument that sets a seed in the whole project.",
        why="Two runs of the same code differ, and nobody can tell a better idea from better luck.",
        fix="Call `torch.manual_seed` or `seed_everything` with a configured seed before anything is drawn.",
        severity="warning",
        good={"train.py": _LOOP},
        bad={"train.py": _LOOP.replace("torch.manual_seed(0)\n", "")},
        check=_check_seed,
    ),
    FindingRule(
        id="device-number",
        category=CATEGORY,
        title="A device's number is written into the code",
        looks_for="`cuda:1`, `.cuda(1)`, `devices=[1]`, `CUDA_VISIBLE_DEVICES` set by code.",
        why="The next machine has another number of devices, or none.",
        fix="Take the device from the configuration, or from what there is.",
        severity="note",
        good={"a.py": 'import torch\n\ndevice = "cuda:0" if torch.cuda.is_available() else "cpu"\n'},
        bad={"a.py": 'import torch\n\ndevice = torch.device("cuda:1")\n'},
        check=_check_devices,
    ),
)
