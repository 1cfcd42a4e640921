"""Items about the environment: who comes after can have the same packages."""

from __future__ import annotations

from loopline.audit.rule import ItemRule, Judgement, done, not_found, partial
from loopline.audit.traces import named
from loopline.core.records.audit import Evidence
from loopline.repository import Repository

THEME = "Environment"
_ENVIRONMENT_FILES = (
    r"(^|/)((conda[\w.-]*|environment[\w.-]*|env)\.ya?ml|uv\.lock|poetry\.lock|pdm\.lock|pixi\.(toml|"
    r"lock)|Pipfile(\.lock)?|"
    r"conda-lock\.yml|\.python-version|devcontainer\.json|flake\.nix)$"
)
_CREATES = (
    r"(conda|mamba|micromamba) (env )?create|(python3? -m )?venv |virtualenv |uv venv|uv sync|poetry install|"
    r"pipenv install"
)


def _check_environment(repository: Repository) -> Judgement:
    files = [
        Evidence(path=path, sentence="Describes the environment.") for path in named(repository, _ENVIRONMENT_FILES)
    ]
    made = [command.evidence("Makes the environment.") for command in repository.commands if command.runs(_CREATES)]
    if files or made:
        return done(*files[:2], *made[:1])
    if repository.requirement_files:
        path = repository.requirement_files[0]
        return partial(
            Evidence(path=path, sentence="Lists packages; nothing says which Python, or makes an environment.")
        )
    return not_found()


def _check_requirements(repository: Repository) -> Judgement:
    if not repository.dependencies:
        empty = named(repository, r"(^|/)requirements[\w.-]*\.txt$")
        return not_found(*(Evidence(path=path, sentence="Lists nothing.") for path in empty[:1]))
    evidence = []
    for path in repository.requirement_files[:3]:
        num_lines = sum(1 for item in repository.declared if item.path == path)
        evidence.append(Evidence(path=path, sentence=f"Lists {num_lines} packages."))
    return done(*evidence)


RULES = (
    ItemRule(
        id="env",
        theme=THEME,
        asks="The project has an environment of its own.",
        wording=r"dedicated environment",
        looks_for="A file that describes one (conda, uv, Poetry, Pipenv, devcontainer), or a command that makes one.",
        why="Packages of other projects hide what is missing, and change under one's feet.",
        fix="uv init and uv sync, or an environment.yml with the version of Python.",
        good={"environment.yml": "name: leaves\ndependencies:\n  - python=3.12\n"},
        bad={"requirements.txt": "torch==2.8.0\n"},
        check=_check_environment,
    ),
    ItemRule(
        id="requirements",
        theme=THEME,
        asks="The packages that the project needs are listed.",
        wording=r"requirements(_dev)?\.txt|requirements.*file with whatever dependencies",
        looks_for=(
            "A requirements file, pyproject.toml, environment.yml, setup.py or Pipfile with at least one package."
        ),
        why="Whoever installs the project must not guess.",
        fix="List what the code imports, with versions.",
        good={"requirements.txt": "torch==2.8.0\n"},
        bad={"requirements.txt": "# to do\n"},
        check=_check_requirements,
    ),
)
