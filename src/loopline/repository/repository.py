"""`Repository`: a project's files, read and never run, and what is in them, parsed when asked for.

Nothing in the repository is executed, imported or fetched; links are not followed; a file that cannot be read or parsed
is noted in `unreadable` with the reason and is absent from the views.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TypeVar

from loopline.core.errors import InputError
from loopline.repository import commands, roles
from loopline.repository.commands import Command
from loopline.repository.configs import Config, ConfigProblem, is_config, parse_config
from loopline.repository.dependencies import Dependency, by_name, declarations, declares
from loopline.repository.dockerfiles import Dockerfile, is_dockerfile, parse_dockerfile
from loopline.repository.git import Git, find_git
from loopline.repository.history import History, PastFile, read_history, read_past_files
from loopline.repository.makefile import Target, parse_makefile
from loopline.repository.notebooks import notebook_code
from loopline.repository.python import PythonModule
from loopline.repository.sources import CommittedTree, File, Folder, Memory, Source, WorkTree
from loopline.repository.syntax import Function
from loopline.repository.text import decode
from loopline.repository.workflows import Workflow, is_workflow, read_workflow

T = TypeVar("T")
_MAKEFILE = re.compile(r"(^|/)(gnu)?makefile(\.[^/]+)?$|\.mk$", re.IGNORECASE)
MAX_TEXT_BYTES = 8 << 20
MAX_KEPT_CHARACTERS = 64 << 20
# A larger configuration file is data.
MAX_CONFIG_BYTES = 1 << 20


class Parsed(Mapping[str, T]):
    """Paths to what is in the files, each parsed when it is first asked for; what cannot be parsed is not in it."""

    def __init__(self, paths: Sequence[str], parse: Callable[[str], T | None]) -> None:
        self._paths = dict.fromkeys(paths)
        self._parse = parse
        self._found: dict[str, T | None] = {}

    def __getitem__(self, path: str) -> T:
        if path not in self._found:
            self._found[path] = self._parse(path) if path in self._paths else None
        value = self._found[path]
        if value is None:
            raise KeyError(path)
        return value

    def __iter__(self) -> Iterator[str]:
        return (path for path in self._paths if path in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Repository:
    """A project's files. `open_repository` opens one from the disk, `read_texts` makes one of texts."""

    def __init__(
        self,
        name: str,
        source: Source,
        *,
        git: Git | None = None,
        history: History | None = None,
        past: Sequence[PastFile] = (),
    ) -> None:
        self.name = name
        # What the files are, in words: tracked files, the newest commit's, every file of a folder.
        self.what = source.what
        self.unreadable: dict[str, str] = {}
        self._source = source
        self._git = git
        self._history = history
        self._past = past
        self._texts: dict[str, str | None] = {}
        self._num_kept = 0

    @cached_property
    def files(self) -> Mapping[str, File]:
        """Every file by its path, in the order of paths."""
        return {file.path: file for file in sorted(self._source.list_files(), key=lambda file: file.path)}

    @cached_property
    def own_paths(self) -> Sequence[str]:
        """The paths that are the project's own live work: not vendored, generated, given up or handed out.

        Nor below a folder with a template's questions: that is what other projects will do.
        """
        templates = tuple(folder for path in self.files if (folder := roles.template_folder(path)))
        return [
            path
            for path, file in self.files.items()
            if file.kind in ("regular", "executable") and roles.is_own(path) and not path.startswith(templates)
        ]

    def text(self, path: str) -> str | None:
        """A file's text with `\\n` line ends; None where it is absent, binary, too large or unreadable."""
        if path not in self._texts:
            text = self._read_text(path) if path in self.files else None
            self._num_kept += len(text or "")
            if self._num_kept > MAX_KEPT_CHARACTERS:  # whoever asks for one of the old ones again reads it again
                self._texts.clear()
                self._num_kept = len(text or "")
            self._texts[path] = text
        return self._texts[path]

    def data(self, path: str) -> bytes | None:
        """A file's bytes; None where it is absent or unreadable. Not kept, whatever the size."""
        return self._source.read(path) if path in self.files else None

    @cached_property
    def python(self) -> Mapping[str, PythonModule]:
        """The project's own Python files, tests included."""
        return Parsed([path for path in self.own_paths if path.endswith(".py")], self._parse_python)

    @cached_property
    def definitions(self) -> Mapping[str, tuple[PythonModule, Function]]:
        """The functions and methods of the project's own modules by their full names, as `shop.model.Net.forward`."""
        return {
            f"{module.dotted}.{function.name}": (module, function)
            for module in self.python.values()
            for function in module.functions
        }

    @cached_property
    def _definitions_by_last(self) -> Mapping[str, Sequence[str]]:
        """The full names of all definitions by their last parts."""
        found: dict[str, list[str]] = {}
        for full in self.definitions:
            found.setdefault(full.rpartition(".")[2], []).append(full)
        return found

    @cached_property
    def names_read(self) -> frozenset[str]:
        """The last parts of all names that the project's own code reads and its settings hold, tests left out."""
        own = (module for path, module in self.python.items() if not roles.is_test(path))
        found = {name.rpartition(".")[2] for module in (*own, *self.notebooks.values()) for name in module.references}
        for path, config in self.configs.items():
            if not path.endswith((".lock", ".json")):
                found |= {re.split(r"[.:]", value)[-1] for _, value in config.walk() if isinstance(value, str)}
        return frozenset(found)

    def find_definition(self, name: str) -> tuple[PythonModule, Function] | None:
        """The function that a full name calls, however the project's root is spelled in the import; None if not own."""
        name = name.replace("()", "").removeprefix("src.")
        if name in self.definitions:
            return self.definitions[name]
        last = name.rpartition(".")[2]
        alike = [full for full in self._definitions_by_last.get(last, ()) if full.endswith(f".{name}")]
        return self.definitions[alike[0]] if len(alike) == 1 and last != name else None

    @cached_property
    def notebooks(self) -> Mapping[str, PythonModule]:
        """The code cells of the project's own notebooks, a module for each; outputs are not looked at."""
        return Parsed([path for path in self.own_paths if path.endswith(".ipynb")], self._parse_notebook)

    @cached_property
    def configs(self) -> Mapping[str, Config]:
        """The project's own YAML, TOML, INI and JSON files."""
        return Parsed([path for path in self.own_paths if is_config(path) and self._is_small(path)], self._parse_config)

    @cached_property
    def dockerfiles(self) -> Mapping[str, Dockerfile]:
        """The project's own Dockerfiles."""
        paths = [path for path in self.own_paths if is_dockerfile(path)]
        return Parsed(paths, lambda path: self._parse(path, parse_dockerfile))

    @cached_property
    def workflows(self) -> Mapping[str, Workflow]:
        """The workflows that GitHub runs."""

        def read(path: str) -> Workflow | None:
            config = self.configs.get(path)
            return None if config is None else read_workflow(config)

        return Parsed([path for path in self.own_paths if is_workflow(path)], read)

    @cached_property
    def makefile_targets(self) -> Sequence[Target]:
        """The targets of all Makefiles."""
        paths = [path for path in self.own_paths if _MAKEFILE.search(path)]
        return [target for path in paths for target in parse_makefile(path, self.text(path) or "")]

    @cached_property
    def commands(self) -> Sequence[Command]:
        """Every command that the project runs somewhere: workflows, targets, tasks, images, scripts, cloud builds."""
        found: list[Command] = []
        for workflow in self.workflows.values():
            found += commands.in_workflow(workflow)
        for target in self.makefile_targets:
            found += commands.in_target(target)
        for dockerfile in self.dockerfiles.values():
            found += commands.in_dockerfile(dockerfile)
        for path in self.own_paths:
            if path.endswith((".sh", ".bash", ".ps1", ".bat")):
                found += commands.in_script(path, self.text(path) or "")
        for module in self.python.values():
            found += commands.in_tasks(module)
        for path, config in self.configs.items():
            is_hooks = PurePosixPath(path).name.startswith(".pre-commit-config")
            found += commands.in_hooks(config) if is_hooks else commands.in_config(config)
        return found

    @cached_property
    def declared(self) -> Sequence[Dependency]:
        """Every declaration of a dependency, locks included."""
        return [
            dependency
            for path in self.own_paths
            if declares(path)
            for dependency in declarations(
                path, text=self.text(path), config=self.configs.get(path), module=self.python.get(path)
            )
        ]

    @cached_property
    def requirement_files(self) -> Sequence[str]:
        """The files that declare dependencies, locks left out."""
        return list(dict.fromkeys(dependency.path for dependency in self.declared if dependency.role != "lock"))

    @cached_property
    def dependencies(self) -> Mapping[str, tuple[Dependency, ...]]:
        """The declarations by the distribution's normalised name (`scikit-learn`), locks left out."""
        return by_name(dependency for dependency in self.declared if dependency.role != "lock")

    @cached_property
    def locked(self) -> Mapping[str, tuple[Dependency, ...]]:
        """What locks hold, by the distribution's normalised name."""
        return by_name(dependency for dependency in self.declared if dependency.role == "lock")

    @cached_property
    def history(self) -> History:
        """What the commits tell; empty without git."""
        if self._history is not None:
            return self._history
        return History() if self._git is None else read_history(self._git)

    @cached_property
    def commit(self) -> str | None:
        """The newest commit; None without git, or before the first."""
        answer = self._git.output("rev-parse", "--verify", "HEAD^{commit}") if self._git else None
        return answer.decode().strip() if answer else None

    @cached_property
    def is_changed(self) -> bool:
        """Whether tracked files differ from the newest commit."""
        if self._git is None or self.commit is None or self._git.work_tree is None:
            return False
        return self._git.differs_from_head()

    def past_files(self) -> Iterator[PastFile]:
        """Every text in the history of any branch that the newest commit lacks, oldest first."""
        return iter(self._past) if self._git is None else read_past_files(self._git)

    def _is_small(self, path: str) -> bool:
        return (self.files[path].num_bytes or 0) <= MAX_CONFIG_BYTES

    def _read_text(self, path: str) -> str | None:
        file = self.files[path]
        if file.kind in ("link", "submodule"):
            return None
        if file.num_bytes is not None and file.num_bytes > MAX_TEXT_BYTES:
            self.unreadable[path] = f"larger than {MAX_TEXT_BYTES >> 20} MiB"
            return None
        data = None if file.num_bytes is None else self._source.read(path)
        if data is None:
            self.unreadable[path] = "its content is missing"
            return None
        return decode(data)

    def _parse(self, path: str, parse: Callable[[str, str], T | None]) -> T | None:
        text = self.text(path)
        return None if text is None else parse(path, text)

    def _parse_python(self, path: str) -> PythonModule | None:
        return self._parse(path, self._module)

    def _parse_notebook(self, path: str) -> PythonModule | None:
        text = self.text(path)
        if text is None:
            return None
        try:
            code = notebook_code(text)
        except (ValueError, RecursionError) as error:
            self.unreadable[path] = f"no notebook: {error}"
            return None
        return self._module(path, code)

    def _module(self, path: str, text: str) -> PythonModule | None:
        try:
            with warnings.catch_warnings():  # what the compiler thinks of somebody's escapes
                warnings.simplefilter("ignore")
                return PythonModule(path, ast.parse(text), text=text)
        except SyntaxError as error:
            self.unreadable[path] = f"no Python: {error.msg}" + (f" on line {error.lineno}" if error.lineno else "")
        except (ValueError, RecursionError, MemoryError) as error:
            self.unreadable[path] = f"no Python that can be parsed: {error or 'nested too deeply'}"
        return None

    def _parse_config(self, path: str) -> Config | None:
        try:
            return self._parse(path, parse_config)
        except ConfigProblem as error:
            self.unreadable[path] = str(error)
            return None


def open_repository(path: str | Path) -> Repository:
    """Opens the repository that a folder is or lies in.

    In a git work tree: the tracked files as they lie on the disk. In a bare repository or a git directory: the tree of
    the newest commit. Anywhere else, or where git tracks nothing in the folder: every file. Raises `InputError` for
    what is no folder.
    """
    root = Path(path).resolve()
    if not root.is_dir():
        raise InputError(f"'{path}' is no folder; expected a project's folder or a git repository.")
    git = find_git(root)
    if git is not None and git.work_tree is None:
        name = root.parent.name if root.name == ".git" else root.name.removesuffix(".git")
        return Repository(name, CommittedTree(git), git=git)
    if git is not None and git.work_tree is not None and git.tracks(root):
        return Repository(git.work_tree.name, WorkTree(git, git.work_tree), git=git)
    return Repository(root.name, Folder(root))


def read_texts(
    texts: Mapping[str, str],
    *,
    name: str = "example",
    history: History | None = None,
    past: Sequence[PastFile] = (),
) -> Repository:
    """A repository of made-up files, present and past, which a rule's example or a test is."""
    return Repository(name, Memory(texts), history=history, past=past)
