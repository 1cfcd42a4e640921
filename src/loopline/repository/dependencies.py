"""What a project says that it depends on, and where: requirements, `pyproject.toml`, conda, setuptools, locks."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from loopline.repository.configs import Config, at
from loopline.repository.python import PythonModule

Role = Literal["runtime", "development", "lock"]
_REQUIREMENTS = re.compile(
    r"(^|/)([\w.-]*requirements?[\w.-]*\.(txt|in)|requirements/[\w.-]+\.(txt|in))$", re.IGNORECASE
)
_DEVELOPMENT = re.compile(r"dev|test|lint|docs?|ci\b", re.IGNORECASE)
_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "conda-lock.yml", "pylock.toml")
_CONFIGS = ("pyproject.toml", "setup.cfg", "Pipfile")
_CONDA = re.compile(r"(^|/)(conda[\w.-]*|environment[\w.-]*|env[\w-]*)\.ya?ml$", re.IGNORECASE)


@dataclass(frozen=True)
class Dependency:
    """One declaration: the distribution's normalised name, the versions it allows (empty: any), and where it stands."""

    name: str
    specifier: str
    path: str
    line: int | None
    role: Role

    @property
    def is_pinned(self) -> bool:
        return bool(re.match(r"(===?[^*]+$|@)", self.specifier))


def declares(path: str) -> bool:
    """Whether a file is named as one that declares dependencies or locks them."""
    name = PurePosixPath(path).name
    return bool(name in (*_LOCKS, *_CONFIGS, "setup.py") or _REQUIREMENTS.search(path) or _CONDA.search(path))


def declarations(
    path: str, *, text: str | None, config: Config | None, module: PythonModule | None
) -> Iterator[Dependency]:
    """Every declaration in one such file, of which the text and, by its kind, the parsed views are given."""
    if _REQUIREMENTS.search(path):
        yield from _in_requirements(path, text or "")
    elif PurePosixPath(path).name in _LOCKS:
        yield from _in_lock(path, text or "")
    elif module is not None:
        yield from _in_setup(module)
    elif config is not None:
        yield from _in_config(config, PurePosixPath(path).name)


def _in_requirements(path: str, text: str) -> Iterator[Dependency]:
    role: Role = "development" if _DEVELOPMENT.search(PurePosixPath(path).name) else "runtime"
    for number, line in enumerate(text.splitlines(), 1):
        if dependency := _from_line(line, path, number, role):
            yield dependency


def _from_line(line: str, path: str, number: int | None, role: Role) -> Dependency | None:
    """The dependency on a line of a requirements file; None for options, comments and what is no requirement."""
    line = re.sub(r"(^|\s)#.*|\s--hash=\S+|\\$", "", line).strip()
    if not line:
        return None
    if match := re.match(r"(?:-e\s+|--editable[= ])?(?:git\+|https?://)\S*?(?:#egg=([\w.-]+))", line):
        return Dependency(canonicalize_name(match[1]), "@", path, number, role)
    if line.startswith(("-", ".", "/")):
        return None
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        match = re.match(r"([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*([=<>!~]=?[^;]*)?$", line.partition(";")[0].strip())
        return None if match is None else Dependency(canonicalize_name(match[1]), match[2] or "", path, number, role)
    specifier = "@" if requirement.url else str(requirement.specifier)
    return Dependency(canonicalize_name(requirement.name), specifier, path, number, role)


def _in_config(config: Config, name: str) -> Iterator[Dependency]:
    if name == "pyproject.toml":
        yield from _in_pyproject(config)
    elif name == "setup.cfg":
        options = at(config.value, "options") or {}
        extras = at(config.value, "options.extras_require") or {}
        yield from _from_texts(config, str(options.get("install_requires") or "").splitlines(), "runtime", "options")
        for key, lines in extras.items():
            yield from _from_texts(config, str(lines or "").splitlines(), _role(key), "options.extras_require", key)
    elif name == "Pipfile":
        yield from _from_table(config, "runtime", "packages")
        yield from _from_table(config, "development", "dev-packages")
    else:
        yield from _in_conda(config)


def _in_pyproject(config: Config) -> Iterator[Dependency]:
    yield from _from_texts(config, config.get("project", "dependencies"), "runtime", "project", "dependencies")
    for place in (("project", "optional-dependencies"), ("dependency-groups",)):
        groups = config.get(*place)
        for key, lines in groups.items() if isinstance(groups, Mapping) else ():
            role: Role = "development" if place[0] == "dependency-groups" else _role(key)
            yield from _from_texts(config, lines, role, *place, key)
    poetry = ("tool", "poetry")
    yield from _from_table(config, "runtime", *poetry, "dependencies")
    yield from _from_table(config, "development", *poetry, "dev-dependencies")
    groups = config.get(*poetry, "group")
    for key in groups if isinstance(groups, Mapping) else ():
        yield from _from_table(config, _role(key), *poetry, "group", key, "dependencies")
    yield from _from_texts(config, config.get("tool", "uv", "dev-dependencies"), "development", "tool", "uv")


def _in_conda(config: Config) -> Iterator[Dependency]:
    """`environment.yml`: conda's own spelling (`numpy=1.26=build`), and a list under `pip`."""
    entries = config.get("dependencies")
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        line = config.line("dependencies", index)
        if isinstance(entry, str):
            if match := re.match(r"([A-Za-z0-9_][\w.-]*)\s*([=<>!~].*)?$", entry.rpartition("::")[2]):
                version = re.sub(r"^=(?!=)", "==", (match[2] or "").strip())
                specifier = re.sub(r"(==[^=]+)=.*", r"\1", version)
                yield Dependency(canonicalize_name(match[1]), specifier, config.path, line, "runtime")
        elif isinstance(entry, Mapping) and isinstance(entry.get("pip"), list):
            yield from _from_texts(config, entry["pip"], "runtime", "dependencies", index, "pip")


def _in_lock(path: str, text: str) -> Iterator[Dependency]:
    """Names and versions of a lock, by the two lines that every entry of every kind has."""
    if path.endswith("Pipfile.lock"):
        pattern = r'"([A-Za-z0-9_.-]+)":\s*\{[^{}]*?"version":\s*"==([^"]+)"'
    else:
        pattern = r'name\s*[=:]\s*"?([A-Za-z0-9_.-]+)"?\s*\n\s*version\s*[=:]\s*"?([^"\s]+)'
    for match in re.finditer(pattern, text):
        yield Dependency(canonicalize_name(match[1]), f"=={match[2]}", path, None, "lock")


def _in_setup(module: PythonModule) -> Iterator[Dependency]:
    for call in module.calls_of("setuptools.setup", "distutils.core.setup"):
        for keyword in call.node.keywords:
            if keyword.arg not in ("install_requires", "extras_require", "tests_require"):
                continue
            role: Role = "runtime" if keyword.arg == "install_requires" else "development"
            for node in ast.walk(keyword.value):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    dependency = _from_line(node.value, module.path, node.lineno, role)
                    if dependency is not None:
                        yield dependency


def _from_texts(config: Config, lines: Any, role: Role, *place: str | int) -> Iterator[Dependency]:
    for index, line in enumerate(lines if isinstance(lines, list) else []):
        if isinstance(line, str) and (dependency := _from_line(line, config.path, config.line(*place, index), role)):
            yield dependency


def _from_table(config: Config, role: Role, *place: str) -> Iterator[Dependency]:
    """Poetry's and Pipfile's tables: `name = "^1.2"` or `name = {version = …}`."""
    table = config.get(*place)
    for name, wanted in table.items() if isinstance(table, Mapping) else ():
        version = wanted.get("version") if isinstance(wanted, Mapping) else wanted
        if name.lower() == "python":
            continue
        specifier = "" if version in ("*", None) else str(version)
        pinned = f"=={specifier}" if re.fullmatch(r"\d[\w.]*", specifier) else specifier
        yield Dependency(canonicalize_name(name), pinned, config.path, config.line(*place, name), role)


def _role(name: str) -> Role:
    return "development" if _DEVELOPMENT.search(name) else "runtime"


def by_name(dependencies: Iterable[Dependency]) -> dict[str, tuple[Dependency, ...]]:
    """The declarations under each distribution's normalised name."""
    found: dict[str, list[Dependency]] = {}
    for dependency in dependencies:
        found.setdefault(dependency.name, []).append(dependency)
    return {name: tuple(items) for name, items in found.items()}
