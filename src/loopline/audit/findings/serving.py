"""Rules about services: what a request waits for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from loopline.audit.findings.places import LOADERS, calls_in, calls_through, own_definition
from loopline.audit.rule import FindingRule
from loopline.audit.traces import code, plain, routes, stem
from loopline.core.records.audit import Evidence
from loopline.repository import Call, Function, PythonModule, Repository

CATEGORY = "Serving"
_BLOCKING = re.compile(
    r"^(time\.sleep|requests\.(get|post|put|delete|patch|head|request)|urllib\.request\.urlopen|os\.system|"
    r"subprocess\.(run|call|check_call|check_output)|shutil\.copyfileobj|pandas\.read_\w+)$"
)
_COMPUTES = ("torch.no_grad", "torch.inference_mode")
_KEPT = re.compile(r"(^|\.)(lru_cache|cache|cached|st\.cache_resource|alru_cache)$")


def _check_loading(repository: Repository) -> Iterator[Evidence]:
    seen = set()
    for module, handler in routes(repository):
        found = next(_loading(repository, module, handler, steps=3), None)
        if found is not None and found[1].node not in seen:
            seen.add(found[1].node)
            name = handler.name.rpartition(".")[2]
            sentence = f"`{plain(found[1].name)}` runs in every request that `{name}` answers."
            yield found[0].evidence(found[1].line, sentence)


def _loading(
    repository: Repository, module: PythonModule, function: Function, *, steps: int
) -> Iterator[tuple[PythonModule, Call]]:
    """The calls that load a model each time the function runs, through the project's own functions too."""
    if any(_KEPT.search(decorator) for decorator in function.decorators) or _answers_from_memory(function):
        return
    for call in calls_in(module, function.node):
        if _is_guarded(module, call.node):
            continue
        if LOADERS.search(call.name) and not _is_data(module, call):
            yield module, call
        elif steps and (own := own_definition(repository, module, call)) and own[1].node is not function.node:
            yield from _loading(repository, *own, steps=steps - 1)


def _answers_from_memory(function: Function) -> bool:
    """Whether it returns early with what it has kept, as `if key in CACHE: return CACHE[key]`."""
    return any(
        isinstance(node, ast.If)
        and re.search(r"(?<!not )\bin\b|is not None", ast.unparse(node.test))
        and isinstance(node.body[-1], ast.Return)
        and isinstance(node.body[-1].value, ast.Subscript | ast.Name | ast.Attribute)
        for node in function.node.body
    )


def _is_data(module: PythonModule, call: Call) -> bool:
    """Whether a call that reads data as well as models does the former: by its module's name, or by its result's."""
    if call.name not in ("pickle.load", "torch.load", "joblib.load"):
        return False
    parent = next(module.parents(call.node), None)
    result = ast.unparse(parent.targets[0]) if isinstance(parent, ast.Assign) else ""
    return "data" in f"{stem(module.path)} {result}".lower()


def _is_guarded(module: PythonModule, node: ast.AST) -> bool:
    """Whether it runs only where nothing is there yet, as in `if model is None`."""
    return any(
        isinstance(parent, ast.If) and re.search(r"\bis None\b|\bnot\b|not in", ast.unparse(parent.test))
        for parent in module.parents(node)
    )


def _check_blocking(repository: Repository) -> Iterator[Evidence]:
    """The first thing in each asynchronous function that keeps the event loop from everything else."""
    handlers = {function.node for _, function in routes(repository)}
    for module in code(repository):
        for function in module.functions:
            # What runs once, before the first request, keeps nobody waiting.
            is_start = re.search(r"asynccontextmanager|on_event|startup|lifespan", " ".join(function.decorators))
            if not function.is_async or is_start:
                continue
            for call in calls_in(module, function.node):
                # What stands in a function inside, or is awaited, may well run somewhere else.
                if call.inside != function.name or any(isinstance(p, ast.Await) for p in module.parents(call.node)):
                    continue
                computes = function.node in handlers and _computes(repository, module, call)
                if _BLOCKING.match(call.name) or computes:
                    what = "computes" if computes and not LOADERS.search(call.name) else "waits"
                    yield module.evidence(
                        call.line, f"`{function.name}` is asynchronous and {what} in `{ast.unparse(call.node.func)}`."
                    )
                    break


def _computes(repository: Repository, module: PythonModule, call: Call) -> bool:
    """Whether a call loads or asks a model, by itself or in the project's own functions."""
    if _is_model(call):
        return True
    own = own_definition(repository, module, call)
    if own is None or own[1].is_async or any(_KEPT.search(decorator) for decorator in own[1].decorators):
        return False
    return any(_is_model(inner) for _, inner in calls_through(repository, own[0], own[1].node, steps=2))


def _is_model(call: Call) -> bool:
    """Loading one, calling what was loaded, or switching gradients off, which is done to predict."""
    return call.name in _COMPUTES or bool(LOADERS.search(call.name.removesuffix("()")))


_GOOD_SERVICE = """\
import torch
from fastapi import FastAPI

app = FastAPI()
model = torch.jit.load("model.pt")


@app.post("/predict")
def predict(values: list[float]) -> float:
    with torch.inference_mode():
        return float(model(torch.tensor(values)))
"""

RULES: tuple[FindingRule, ...] = (
    FindingRule(
        id="model-loaded-in-handler",
        category=CATEGORY,
        title="A request handler loads the model",
        looks_for="Calls that load a model in a route's function, or in own functions that it calls, unless the result "
        "is kept: a cache, a test for None.",
        why="Every request waits for the disk, and two at once hold the model twice in memory.",
        fix="Load the model once, when the service starts.",
        severity="warning",
        good={"app.py": _GOOD_SERVICE},
        bad={
            "app.py": "import torch\nfrom fastapi import FastAPI\n\napp = FastAPI()\n\n\ndef get_model():\n"
            '    return torch.load("model.pt", weights_only=False)\n\n\n@app.post("/predict")\n'
            "def predict(values: list[float]) -> float:\n    return float(get_model()(torch.tensor(values)))\n"
        },
        check=_check_loading,
    ),
    FindingRule(
        id="blocking-in-async",
        category=CATEGORY,
        title="An asynchronous function blocks",
        looks_for="Inference, loading of models, `time.sleep`, `requests`, subprocesses directly in an `async def`.",
        why="One event loop serves all connections: while one request computes, health checks and everybody else wait.",
        fix="Write `def`, which the framework runs in a thread, or hand the work to a thread or a queue.",
        severity="warning",
        good={"app.py": _GOOD_SERVICE},
        bad={"app.py": _GOOD_SERVICE.replace("def predict", "async def predict")},
        check=_check_blocking,
    ),
)
