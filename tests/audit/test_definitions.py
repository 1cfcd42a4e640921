"""The hook and the action that other projects use: what they run exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click

from loopline.cli.audit import audit
from loopline.repository.configs import parse_config

ROOT = Path(__file__).parent.parent.parent


def read(name: str) -> object:
    """The file's value."""
    config = parse_config(name, (ROOT / name).read_text(encoding="utf-8"))
    assert config is not None
    return config.value


def parsed(words: list[str]) -> click.Context:
    """The command's context with these words; raises where an option or a value does not exist."""
    return audit.make_context("audit", words)


def test_hooks_run_commands_that_exist() -> None:
    """Each hook is the audit with options that it has."""
    hooks = read(".pre-commit-hooks.yaml")
    assert isinstance(hooks, list)
    assert [hook["id"] for hook in hooks] == ["loopline-audit", "loopline-secrets"]
    for hook in hooks:
        program, command, *words = shlex.split(hook["entry"]) + hook.get("args", [])
        assert (program, command) == ("loopline", "audit")
        assert parsed(words).params["fail_on"] == "error"
    assert parsed(shlex.split(hooks[1]["entry"])[2:]).params["only"] == ("secrets",)


def test_the_action_runs_a_command_that_exists() -> None:
    """Every option of the action's script is one of the audit's, and no input is pasted into a script."""
    action = read("action.yml")
    assert isinstance(action, dict)
    scripts = [step.get("run", "") for step in action["runs"]["steps"]]
    known = {name for parameter in audit.params for name in parameter.opts}
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", scripts[-1]))
    assert {"--fail-on", "--only", "--sarif", "--markdown", "--badge"} == options
    assert options <= known
    assert not any("${{" in script for script in scripts)
    assert {"path", "fail-on", "only"} <= set(action["inputs"])
