"""Items about tests: of data, of the model, of the service; how much they cover; how it stands under load."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

from loopline.audit.rule import ItemRule, Judgement, done, not_found, partial
from loopline.audit.traces import (
    MOST_EVIDENCE,
    ci_commands,
    named,
    running,
    stem,
    test_functions,
    tests,
    uses,
)
from loopline.core.records.audit import Evidence
from loopline.repository import Command, Function, PythonModule, Repository, parts

THEME = "Tests"
_DATA = re.compile(
    r"^(?!.*model).*(data|loader|preproc|process|download|tokeni|collat|corpus|split|vocab|feature|image_folder)",
    re.IGNORECASE,
)
_MODEL = re.compile(
    r"^(?!.*(data|loader|_set\b)).*(model|net\b|network|train|predict|classif|regress|encod|decod|forward|lightning|"
    r"transformer|cnn|rnn|lstm|unet|resnet|gan\b|infer|loss|learner|detector|embed)",
    re.IGNORECASE,
)
# A test that opens the data's own files, or builds objects from settings, reaches them without an import.
_OPENS = re.compile(
    r"(^|\.)(torch\.load|open|load_dataset|load_from_disk|read_csv|read_parquet|numpy\.load|listdir|glob|iglob|exists|"
    r"is_file|pickle\.load|scandir|hydra\.utils\.instantiate|ImageFolder)$"
)
_NOT_OWN = {"tests", "test", "conftest", "setup", "torch", "numpy", "pytest", "transformers", "datasets", "typing"}
# A single transform is no test of the data that training sees.
_ONLY_TRANSFORM = re.compile(r"(^|\.)_?(\w+_)?transforms?(\(\))?$", re.IGNORECASE)
_RUNS_TESTS = r"pytest|py\.test|coverage run.*(pytest|unittest|-m test)|unittest|tox|nox|slipcover.*pytest"
_CLIENTS = (
    "fastapi.testclient.TestClient",
    "starlette.testclient.TestClient",
    "httpx.Client",
    "httpx.AsyncClient",
    "flask.Flask().test_client",
    "litserve.test",
    "requests.get",
    "requests.post",
    "httpx.get",
    "httpx.post",
)
_LOADS = ("locust.HttpUser", "locust.FastHttpUser", "locust.contrib.fasthttp.FastHttpUser", "locust.User")


def _check_data(repository: Repository) -> Judgement:
    return _check_subject(repository, _DATA, ignored=_ONLY_TRANSFORM)


def _check_model(repository: Repository) -> Judgement:
    return _check_subject(repository, _MODEL, ignored=re.compile(r"$^"))


def _check_subject(repository: Repository, subject: re.Pattern[str], *, ignored: re.Pattern[str]) -> Judgement:
    """Tests that assert something, and reach the project's own code about the subject, or its files."""
    found: list[Evidence] = []
    begun: list[Evidence] = []
    roots = own_roots(repository)
    for module in sorted(tests(repository), key=lambda module: not subject.search(stem(module.path))):
        is_named = bool(subject.search(stem(module.path)))
        around = {name for name in module.references if _root(name) in roots}
        for function in module.functions:
            if not function.name.rpartition(".")[2].startswith("test"):
                continue
            steps = list(_steps(module, function))
            names = {name for step in steps for name in module.names_in(step.node)}
            names |= _through_fixtures(module, function)
            own = {name for name in names if _root(name) in roots}
            about = {name for name in own if _is_about(name, subject)}
            if not about and not (is_named and (own or around or _opens_files(names))):
                continue
            is_whole = any(_asserts(module, step) for step in steps) and function in test_functions(module)
            is_whole = is_whole and (not about or not all(ignored.search(name.partition("()")[0]) for name in about))
            (found if is_whole else begun).append(module.evidence(function.line, f"Tests it: `{function.name}`."))
    if found:
        return done(*found[:MOST_EVIDENCE])
    return partial(*begun[:1]) if begun else not_found()


def own_roots(repository: Repository) -> set[str]:
    """The first parts of the names under which tests import the project's own code."""
    roots = {module.dotted.partition(".")[0] for module in repository.python.values()} | {"src"}
    roots |= {stem(path) for path in repository.python}
    return roots - _NOT_OWN


def _root(name: str) -> str:
    return name.partition(".")[0].removesuffix("()")


def _through_fixtures(module: PythonModule, function: Function) -> set[str]:
    """What the module's fixtures read that the test takes as parameters, and what is set up before it."""
    wanted = {argument.arg for argument in function.node.args.args} | {"setUp", "setup_method", "setUpClass"}
    return {
        name
        for other in module.functions
        if other.name.rpartition(".")[2] in wanted
        for name in module.names_in(other.node)
    }


def _is_about(name: str, subject: re.Pattern[str]) -> bool:
    """Judged by the parts after the project's own name, which may be about anything."""
    parts = [part for part in name.replace("()", "").split(".") if part != "src"]
    return any(subject.search(part) for part in (parts[1:] or parts))


def _opens_files(names: Iterable[str]) -> bool:
    return any(_OPENS.search(name) for name in names)


def _steps(module: PythonModule, function: Function) -> Iterator[Function]:
    """A test, and the functions of its own module that it calls, directly or through each other."""
    own = {f"{module.dotted}.{other.name}": other for other in module.functions}
    seen, queue = {function.node}, [function]
    while queue:
        current = queue.pop()
        yield current
        for name in module.names_in(current.node) & own.keys():
            if own[name].node not in seen:
                seen.add(own[name].node)
                queue.append(own[name])


def _asserts(module: PythonModule, function: Function) -> bool:
    for node in ast.walk(function.node):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if module.resolve(raised) == "AssertionError":
                return True
        if isinstance(node, ast.Call):
            name = module.resolve(node.func).rpartition(".")[2]
            if name.startswith("assert") or name in ("raises", "warns", "fail", "check", "equal", "is_true"):
                return True
    return False


def _check_coverage(repository: Repository) -> Judgement:
    found = list(running(repository.commands, r"coverage (run|report|xml|html)|(pytest|py\.test).*--cov|slipcover"))
    found += [
        Evidence(path=path, line=config.line(*place), sentence="pytest measures coverage.")
        for path, config in repository.configs.items()
        for place in (("tool", "pytest", "ini_options", "addopts"), ("pytest", "addopts"), ("tool:pytest", "addopts"))
        if "--cov" in str(config.get(*place) or "")
    ]
    found += [
        Evidence(path=path, sentence="A measured coverage.")
        for path in repository.files
        if re.search(r"(^|/)(\.coverage|coverage\.(xml|json)|htmlcov/index\.html|lcov\.info)$", path)
    ]
    if found:
        return done(*found[:MOST_EVIDENCE])
    settings = named(repository, r"(^|/)(\.?codecov\.ya?ml|\.coveragerc)$")
    settings += tuple(path for path, config in repository.configs.items() if config.get("tool", "coverage"))
    return partial(Evidence(path=settings[0], sentence="Settings; nothing measures.")) if settings else not_found()


def _check_api(repository: Repository) -> Judgement:
    found = []
    for module in tests(repository):
        if not uses([module], *_CLIENTS) or uses([module], "locust"):
            continue
        found += [
            (module, function)
            for function in test_functions(module)
            if _asserts(module, function) and _calls_service(module, function)
        ]
    if not found:
        return not_found()
    run = [command for command in ci_commands(repository) if command.runs(_RUNS_TESTS)]
    covered = [(m, f) for m, f in found if any(runs_test(command, m.path) for command in run)]
    evidence = [m.evidence(f.line, f"Calls the service: `{f.name}`.") for m, f in (covered or found)[:2]]
    if covered:
        return done(*evidence, run[0].evidence("CI runs it."))
    return partial(*evidence)


def _calls_service(module: PythonModule, function: Function) -> bool:
    return any(
        isinstance(node, ast.Call)
        and re.search(r"\.(get|post|put|delete|patch|request|websocket_connect)$", module.resolve(node.func))
        for node in ast.walk(function.node)
    )


def runs_test(command: Command, path: str) -> bool:
    """Whether a command that runs tests runs those of a file: all there are, or a path that holds it."""
    for part in parts(command.text):
        words = [word.strip("'\"") for word in part.split()[1:]]
        ignored = [word.partition("=")[2] for word in words if word.startswith("--ignore=")]
        if any(path.startswith(other.rstrip("/")) for other in ignored if other):
            continue
        wanted = [
            word.partition("::")[0]
            for word in words
            if re.match(r"(\./)?[\w./*-]*tests?[\w./*-]*$", word) and not word.startswith("-")
        ]
        wanted = [
            word.removeprefix("./").rstrip("/").partition("*")[0]
            for word in wanted
            if word not in ("pytest", "unittest")
        ]
        if not wanted or any(path.startswith(word) for word in wanted):
            return True
    return False


def _check_load(repository: Repository) -> Judgement:
    found = [
        module.evidence(item.line, f"`{item.name}` loads the service.")
        for module in repository.python.values()
        for item in module.classes
        if any(base in _LOADS for base in item.bases)
    ]
    found += [
        Evidence(path=path, sentence="A script of k6 or Artillery.")
        for path in named(repository, r"\.(js|ts|ya?ml)$")
        if re.search(r"from ['\"]k6|^\s*artillery:|^config:\s*\n\s+target:", repository.text(path) or "", re.M)
    ]
    found += running(repository.commands, r"locust|k6 run|hey|wrk|ab -|artillery|vegeta|oha|siege|bombardier")
    found += _threaded(repository)
    if found:
        return done(*found[:MOST_EVIDENCE])
    return not_found()


def _threaded(repository: Repository) -> Iterator[Evidence]:
    """A script of the project's own that is called a load test and sends requests."""
    for path in named(repository, r"(^|[/_-])(load|stress)[_-]?(tests?|testing|perf\w*)([/_-].*)?\.py$"):
        module = repository.python.get(path)
        if module is not None and uses([module], "requests", "httpx", "aiohttp"):
            yield module.evidence(1, "A script that sends many requests.")


_TEST_DATA = "from leaves.data import Leaves\n\ndef test_length():\n    assert len(Leaves()) == 10\n"
_TEST_MODEL = "from leaves.model import Net\n\ndef test_shape():\n    assert Net()(1).shape == (1, 10)\n"
_TEST_API = """from fastapi.testclient import TestClient
from leaves.api import app

client = TestClient(app)

def test_root():
    assert client.get('/').status_code == 200
"""
_CI = "on: push\njobs:\n  test:\n    runs-on: ubuntu-latest\n    steps:\n      - run: pytest tests\n"
_OWN = {
    "src/leaves/__init__.py": "",
    "src/leaves/data.py": "class Leaves:\n    pass\n",
    "src/leaves/model.py": "class Net:\n    pass\n",
}

RULES = (
    ItemRule(
        id="tests_data",
        theme=THEME,
        asks="Data code has unit tests.",
        wording=r"unit tests related to the data",
        looks_for="A live test that asserts something about the project's own data code, or opens the data's "
        "files; one "
        "of a transform alone is partial.",
        why="A wrong label is learnt as well as a right one.",
        fix="Assert sizes, shapes and labels of the datasets.",
        good=_OWN | {"tests/test_data.py": _TEST_DATA},
        bad=_OWN | {"tests/test_data.py": f'"""\n{_TEST_DATA}"""\n'},
        check=_check_data,
    ),
    ItemRule(
        id="tests_model",
        theme=THEME,
        asks="Model and training have unit tests.",
        wording=r"unit tests related to model",
        looks_for="A live test that asserts something about the project's own model or training.",
        why="A network of the wrong shape often trains all the same.",
        fix="Assert the shape of the output, and that one step lowers the loss.",
        good=_OWN | {"tests/test_model.py": _TEST_MODEL},
        bad=_OWN | {"tests/test_model.py": "def test_shape():\n    assert True\n"},
        check=_check_model,
    ),
    ItemRule(
        id="coverage",
        theme=THEME,
        asks="The tests' coverage is measured.",
        wording=r"calculate the (code )?coverage",
        looks_for="A command of CI, a task or a Makefile that measures it, or a measured coverage in the repository; "
        "settings alone are partial, a dependency is nothing.",
        why="What no test runs may do anything.",
        fix="pytest --cov=src.",
        good={"Makefile": "test:\n\tcoverage run -m pytest tests\n"},
        bad={"requirements.txt": "coverage\n"},
        check=_check_coverage,
    ),
    ItemRule(
        id="api_tests",
        theme=THEME,
        asks="The service has tests, and CI runs them.",
        wording=r"api tests",
        looks_for="A test that calls the service through a client, and a workflow that runs it; without it is partial.",
        why="A client notices a changed answer later than a test.",
        fix="TestClient(app) in tests, pytest in a workflow.",
        good={"tests/test_api.py": _TEST_API, ".github/workflows/tests.yaml": _CI},
        bad={"tests/test_api.py": _TEST_API},
        check=_check_api,
    ),
    ItemRule(
        id="load_test",
        theme=THEME,
        asks="The service has been tested under load.",
        wording=r"load test",
        looks_for="A user of locust, a script of k6 or Artillery, or a command that sends load.",
        why="How many requests a server stands is known before or after it falls.",
        fix="Write a locustfile.py.",
        good={"tests/locustfile.py": "from locust import HttpUser\n\nclass Visitor(HttpUser):\n    pass\n"},
        bad={"requirements_dev.txt": "locust\n"},
        check=_check_load,
    ),
)
