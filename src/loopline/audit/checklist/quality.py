"""Items about the code's quality: style, types, hooks, logging, a command line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from loopline.audit.findings.secrets import secrets_in_tree
from loopline.audit.rule import ItemRule, Judgement, done, not_found, partial
from loopline.audit.traces import MOST_EVIDENCE, code, named, plain, running
from loopline.core.records.audit import Evidence
from loopline.core.store import digest_bytes
from loopline.repository import Call, PythonModule, Repository

THEME = "Code quality"
LINTERS = r"ruff|flake8|pylint|pycodestyle|black|isort|pyflakes|autopep8|yapf|pre-commit run|prek run"
_SETTINGS = (("tool", "ruff"), ("tool", "black"), ("tool", "pylint"), ("tool", "isort"), ("tool", "flake8"))
_SHARE_ANNOTATED = 0.25
_SHARE_DOCUMENTED = 0.2
_LOG_METHODS = ("debug", "info", "warning", "warn", "error", "exception", "critical", "log", "success", "trace")
_LOGGERS = re.compile(r"(loguru\.logger|logging|structlog(\.\w+)*(\(\))?|absl\.logging)(\.\w+\(\))*\.(?P<method>\w+)")
# What templates of projects bring along; a project that logs nothing else does not log.
_STUBS = re.compile(r"making final data set from raw data")
_PARSERS = (
    "argparse.ArgumentParser",
    "typer.Typer",
    "typer.run",
    "fire.Fire",
    "docopt.docopt",
    "absl.app.run",
    "tyro.cli",
    "simple_parsing.ArgumentParser",
    "jsonargparse.CLI",
    "jsonargparse.ArgumentParser",
    "lightning.pytorch.cli.LightningCLI",
    "pytorch_lightning.cli.LightningCLI",
    "transformers.HfArgumentParser",
)


def _check_style(repository: Repository) -> Judgement:
    run = running(repository.commands, LINTERS)
    if run:
        return done(*run)
    settings = [
        Evidence(path=path, line=config.line(*place), sentence=f"Settings of {place[-1]}; nothing runs it.")
        for path, config in repository.configs.items()
        for place in _SETTINGS
        if config.get(*place) is not None
    ]
    settings += [
        Evidence(path=path, sentence="Settings; nothing runs it.")
        for path in named(repository, r"(^|/)(\.flake8|ruff\.toml|\.pylintrc)$")
    ]
    return partial(*settings[:MOST_EVIDENCE]) if settings else not_found()


def _check_types(repository: Repository) -> Judgement:
    functions = [function.node for module in code(repository) for function in module.functions]
    if not functions:
        return not_found()
    annotated = sum(_is_annotated(node) for node in functions) / len(functions)
    documented = sum(bool(ast.get_docstring(node)) for node in functions) / len(functions)
    evidence = Evidence(
        sentence=f"Of {len(functions)} functions {annotated:.0%} have types, {documented:.0%} a docstring."
    )
    if annotated >= _SHARE_ANNOTATED and documented >= _SHARE_DOCUMENTED:
        return done(evidence)
    return partial(evidence) if annotated + documented > 0.1 else not_found(evidence)


def _is_annotated(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    own = [
        argument
        for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        if argument.arg not in ("self", "cls")
    ]
    typed = sum(argument.annotation is not None for argument in own)
    return typed == len(own) if own else node.returns is not None


def _check_hooks(repository: Repository) -> Judgement:
    hooks = [command for command in repository.commands if command.origin == "hook"]
    if hooks:
        return done(hooks[0].evidence(f"{len(hooks)} hooks run before a commit."))
    found = named(repository, r"(^|/)(\.pre-commit-config\.ya?ml|lefthook\.ya?ml|\.husky/[\w-]+)$")
    husky = [path for path in found if "pre-commit-config" not in path]
    if husky:
        return done(Evidence(path=husky[0], sentence="Hooks run before a commit."))
    return partial(Evidence(path=found[0], sentence="No hook is listed.")) if found else not_found()


def _check_logging(repository: Repository) -> Judgement:
    events: list[Evidence] = []
    stubs: list[Evidence] = []
    for module in code(repository):
        for call in module.calls:
            match = _LOGGERS.fullmatch(call.name)
            if match is None or match["method"] not in _LOG_METHODS:
                continue
            text = str(call.arguments[0]) if call.arguments else ""
            found = stubs if _STUBS.search(text) else events
            found.append(module.evidence(call.line, f"Logs with `{plain(call.name)}`."))
    events += [evidence for module in code(repository) for evidence in _passed_loggers(module)]
    if events:
        return done(*events[:MOST_EVIDENCE])
    return partial(*stubs[:1]) if stubs else not_found()


def _passed_loggers(module: PythonModule) -> list[Evidence]:
    """Events of a logger that comes from the project's own modules: `from shop.logs import logger`."""
    return [
        module.evidence(call.line, f"Logs with `{plain(call.name)}`.")
        for call in module.calls
        if call.method in _LOG_METHODS
        and re.search(r"(^|[._])(log|logger|_logger|LOGGER)(\(\))?\.\w+$", call.name)
        and not re.match(r"(\?|torch|wandb|math|numpy)\.", call.name)
    ]


def _check_command_line(repository: Repository) -> Judgement:
    found = [
        module.evidence(call.line, f"A command line with `{plain(call.name)}`.")
        for module in code(repository)
        for call in _parsers(module)
    ]
    if found:
        return done(*found[:MOST_EVIDENCE])
    tasks = [
        command for command in repository.commands if command.origin in ("task", "makefile") and "/" not in command.path
    ]
    entry = next(
        (c for c in repository.configs.values() if c.path.endswith("pyproject.toml") and c.get("project", "scripts")),
        None,
    )
    if entry is not None:
        return done(
            Evidence(path=entry.path, line=entry.line("project", "scripts"), sentence="Commands of the package.")
        )
    return (
        partial(tasks[0].evidence("Tasks run the code; the code itself takes no arguments.")) if tasks else not_found()
    )


def _parsers(module: PythonModule) -> Iterator[Call]:
    """Parsers that come to work: one of argparse reads arguments somewhere in its module, or in another one."""
    for call in module.calls:
        if call.name in _PARSERS or (call.name.startswith("click.") and call.method in ("command", "group")):
            yield call


def _check_secrets(repository: Repository) -> Judgement:
    found = secrets_in_tree(repository)
    if found:
        places = dict.fromkeys((path, credential.line, credential.what) for path, credential in found)
        return not_found(*(Evidence(path=path, line=line, sentence=f"Holds {what}.") for path, line, what in places))
    return done(Evidence(sentence=f"None of {len(repository.files):,} files holds a credential."))


_HOOKS = (
    "repos:\n  - repo: https://github.com/astral-sh/ruff-pre-commit\n    rev: v0.14.0\n    hooks:\n      - id: ruff\n"
)

RULES = (
    ItemRule(
        id="pep8",
        theme=THEME,
        asks="The code keeps to one style.",
        wording=r"pep8|good coding practices",
        looks_for="A linter or formatter that some command, hook or workflow runs; settings alone are partial.",
        why="Differences in style hide differences in meaning.",
        fix="Run `ruff check` and `ruff format` in a hook and in CI.",
        good={"Makefile": "lint:\n\truff check src\n"},
        bad={"pyproject.toml": "[tool.ruff]\nline-length = 100\n"},
        check=_check_style,
    ),
    ItemRule(
        id="typing_docs",
        theme=THEME,
        asks="Functions have types, and what matters is documented.",
        wording=r"code typing",
        looks_for=(
            f"At least {_SHARE_ANNOTATED:.0%} of the functions with types for all parameters, and "
            f"{_SHARE_DOCUMENTED:.0%} with a docstring."
        ),
        why="Types are documentation that a program checks.",
        fix="Annotate public functions first, and let mypy run in CI.",
        good={"src/leaves/model.py": 'def area(x: float) -> float:\n    """The area of a leaf."""\n    return x**2\n'},
        bad={"src/leaves/model.py": "def area(width):\n    return width**2\n"},
        check=_check_types,
    ),
    ItemRule(
        id="precommit",
        theme=THEME,
        asks="Hooks look at a change before it is committed.",
        wording=r"pre-?commit",
        looks_for="A `.pre-commit-config.yaml` with at least one hook.",
        why="A mistake that is not committed needs no second commit.",
        fix="Add .pre-commit-config.yaml and run `pre-commit install`.",
        good={".pre-commit-config.yaml": _HOOKS},
        bad={"requirements_dev.txt": "pre-commit\n"},
        check=_check_hooks,
    ),
    ItemRule(
        id="logging",
        theme=THEME,
        asks="Events are logged.",
        wording=r"use logging to log|important events",
        looks_for="Calls of logging or loguru in the project's code; what a template brought along is partial, "
        "print is "
        "nothing.",
        why="What a server printed at night is gone in the morning, and has no level and no time.",
        fix="logger = logging.getLogger(__name__), and logger.info instead of print.",
        good={
            "src/leaves/train.py": "import logging\n\nlog = logging.getLogger()\n\ndef f():\n    fit(log.info('go'))\n"
        },
        bad={"src/leaves/train.py": "import logging\n\ndef train():\n    print('go')\n"},
        check=_check_logging,
    ),
    ItemRule(
        id="cli",
        theme=THEME,
        asks="The code has a command line.",
        wording=r"command line interface",
        looks_for="A parser of arguments in the project's code (argparse, click, typer, fire), or commands of the "
        "package; "
        "tasks alone are partial.",
        why="What is a parameter need not be edited into the code.",
        fix="typer.run(train).",
        good={"src/leaves/train.py": "import typer\n\ndef train(rate: float):\n    fit(rate)\n\ntyper.run(train)\n"},
        bad={
            "tasks.py": "from invoke import task\n\n@task\ndef train(ctx):\n    ctx.run('python src/leaves/train.py')\n"
        },
        check=_check_command_line,
    ),
    ItemRule(
        id="secrets_clean",
        theme=THEME,
        asks="No credential lies in the files.",
        wording=None,
        looks_for="Nothing in any file that a rule for secrets would find; history is left to the findings.",
        why="Whoever can read the repository can act in the owner's name.",
        fix="Revoke the credential, and read a new one from the environment.",
        good={"Dockerfile": "FROM python:3.12\nENV WANDB_PROJECT=leaves\n"},
        # Made when it is read, so that no file holds it.
        bad={"Dockerfile": f"FROM python:3.12\nENV WANDB_API_KEY={digest_bytes(b'leaves')[:40]}\n"},
        check=_check_secrets,
    ),
)
