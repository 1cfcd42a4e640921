"""Items about serving: the service, its front page, its formats, its metrics, and what it does with what it saw."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from loopline.audit.rule import ItemRule, Judgement, done, not_found, partial
from loopline.audit.traces import (
    MOST_EVIDENCE,
    called,
    code,
    is_reached,
    methods,
    named,
    plain,
    reads,
    routes,
    running,
    uses,
)
from loopline.core.records.audit import Evidence
from loopline.repository import PythonModule, Repository

THEME = "Serving"
_INFERS = re.compile(
    r"model|predict|infer|classif|generat|session|pipeline|forward|translat|segment|detect|answer|"
    r"recommend|network|caption|search|embed",
    re.IGNORECASE,
)
_SPECIAL = (
    "onnxruntime",
    "bentoml",
    "torch.onnx",
    "onnx",
    "tensorrt",
    "openvino",
    "litserve",
    "tritonclient",
    "optimum.onnxruntime",
)
# What people fill in or press on a page.
_CONTROL = re.compile(r"<(form|input|textarea|button|select)\b", re.IGNORECASE)
_FRONTENDS = (
    "streamlit",
    "gradio",
    "dash",
    "nicegui",
    "reflex",
    "panel",
    "chainlit",
    "solara",
    "taipy",
    "shiny",
    "flet",
)


def _check_fastapi(repository: Repository) -> Judgement:
    apps = called(code(repository), "fastapi.FastAPI", "fastapi.APIRouter", "litserve.LitServer")
    if not apps:
        others = uses(code(repository), "flask", "bentoml")
        return partial(*others[:1]) if others else not_found()
    for module, function in routes(repository):
        names = " ".join(reads(repository, module, function))
        if _INFERS.search(names) or _INFERS.search(function.name):
            return done(apps[0], module.evidence(function.line, f"`{function.name}` answers with the model."))
    return partial(apps[0])


def _check_torchserve(repository: Repository) -> Judgement:
    """Commands, also in instructions for people, archives, handlers."""
    found = [
        *running(repository.commands, r"torchserve|torch-model-archiver"),
        *uses(code(repository), "ts.torch_handler", "ts.context"),
    ]
    found += [
        Evidence(path=path, sentence="An archive for TorchServe.") for path in repository.files if path.endswith(".mar")
    ]
    for path in named(repository, r"\.(txt|md|rst|sh)$"):
        if not re.search(r"(^|/)(report|checklist|todo|readme)", path, re.IGNORECASE) or path.endswith(".sh"):
            for number, line in enumerate((repository.text(path) or "").splitlines(), 1):
                if re.match(r"[\W\d]*(torchserve --start|torch-model-archiver --)", line):
                    found.append(Evidence(path=path, line=number, sentence="Starts TorchServe."))
    return done(*found[:MOST_EVIDENCE]) if found else not_found()


def _check_special(repository: Repository) -> Judgement:
    found = uses(code(repository), *_SPECIAL)
    found += tuple(
        module.evidence(call.line, f"`{plain(call.name)}` exports the model.")
        for module, call in methods(code(repository), "to_onnx")
    )
    reached = [evidence for evidence in found if is_reached(repository, evidence)]
    if reached:
        return done(*reached[:MOST_EVIDENCE])
    begun = found or uses(repository.notebooks.values(), *_SPECIAL)
    return partial(*begun[:1]) if begun else not_found()


def _check_frontend(repository: Repository) -> Judgement:
    found = [*uses(code(repository), *_FRONTENDS)]
    found += uses(
        code(repository),
        "fastapi.templating.Jinja2Templates",
        "fastapi.staticfiles.StaticFiles",
        "flask.render_template",
        "starlette.staticfiles.StaticFiles",
        "starlette.templating.Jinja2Templates",
    )
    for path, config in repository.configs.items():
        wanted = (
            {**(config.get("dependencies") or {}), **(config.get("devDependencies") or {})}
            if path.endswith("package.json") and isinstance(config.get("dependencies"), dict)
            else {}
        )
        if wanted.keys() & {"react", "vue", "svelte", "next", "@angular/core", "preact", "solid-js"}:
            found.append(Evidence(path=path, sentence="A page in JavaScript."))
    pages = [
        path
        for path in named(repository, r"\.html$")
        if not re.search(
            r"(^|/)(reports?|docs?|figures|coverage|htmlcov|notebooks)/|report|drift|plot", path, re.IGNORECASE
        )
    ]
    found += [
        Evidence(path=path, sentence="A page of the service.")
        for path in pages
        if re.search(r"<(form|input|script|button)", repository.text(path) or "")
    ]
    for module in dict.fromkeys(module for module, _ in routes(repository)):
        found += _pages_in_code(module)
    return done(*found[:MOST_EVIDENCE]) if found else not_found()


def _pages_in_code(module: PythonModule) -> Iterator[Evidence]:
    """The pages with something to fill in that a service holds as text in its own code."""
    for node in module.live(ast.Constant):
        is_used = not isinstance(next(module.parents(node), None), ast.Expr)  # no docstring
        if is_used and isinstance(node.value, str) and _CONTROL.search(node.value):
            yield module.evidence(node, "A page that the service writes itself.")


API = """from fastapi import FastAPI
from prometheus_client import Counter
from leaves.model import load

app = FastAPI()
requests = Counter('requests', 'Requests.')

@app.post('/predict')
def predict(width: float):
    label = load().predict(width)
    with open('predictions.csv', 'a') as file:
        file.write(f'{width},{label}')
    return {'label': label}
"""
EMPTY_API = (
    "from fastapi import FastAPI\n\napp = FastAPI()\n\n@app.get('/')\ndef root():\n    return {'status': 'ok'}\n"
)

RULES = (
    ItemRule(
        id="fastapi",
        theme=THEME,
        asks="A FastAPI application answers with the model.",
        wording=r"fastapi application",
        looks_for="An application with a route that predicts; one without is partial, and so is another framework.",
        why="A service is what others can use without our code.",
        fix="Add a route that takes an input and returns the model's answer.",
        good={"src/leaves/api.py": API},
        bad={"src/leaves/api.py": EMPTY_API},
        check=_check_fastapi,
    ),
    ItemRule(
        id="torchserve",
        theme=THEME,
        asks="A server made for models serves it locally, as TorchServe does.",
        wording=r"torchserve",
        looks_for="A command that starts TorchServe or archives for it, a handler, an archive; or `loopline serve`.",
        why="A server that exists need not be written.",
        fix="torch-model-archiver, torchserve --start; or loopline serve.",
        good={"serve.sh": "torchserve --start --model-store models\n"},
        bad={"requirements.txt": "torchserve\n"},
        check=_check_torchserve,
    ),
    ItemRule(
        id="onnx_bentoml",
        theme=THEME,
        asks="The model is served by what is made for models: ONNX or BentoML.",
        wording=r"specialized ml-deployment|onnx or bentoml",
        looks_for="Live use of ONNX, onnxruntime, BentoML or the like; in a function that nothing calls it is partial.",
        why="A graph without Python is smaller, and often several times faster.",
        fix="torch.onnx.export, onnxruntime.InferenceSession.",
        good={"src/leaves/api.py": "import onnxruntime\n\nsession = onnxruntime.InferenceSession('model.onnx')\n"},
        bad={"requirements.txt": "onnxruntime\n", "src/leaves/api.py": "import onnxruntime\n"},
        check=_check_special,
    ),
    ItemRule(
        id="frontend",
        theme=THEME,
        asks="People can use the service without commands.",
        wording=r"frontend for your api",
        looks_for="Streamlit, Gradio or the like in live code, or a page of the service's own.",
        why="Most users have no terminal.",
        fix="A Streamlit page that sends requests to the API.",
        good={"src/leaves/page.py": "import streamlit as st\n\nst.title('Leaves')\n"},
        bad={"requirements.txt": "streamlit\n"},
        check=_check_frontend,
    ),
)
