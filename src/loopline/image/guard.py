"""The guard over a build's context: what an engine would be sent is looked at before it is sent.

Whatever lies in the context can end in a layer, and whoever has the image has the layer. So secrets, samples of
confidential snapshots, git's history, data and large files are refused, each with the line that keeps it out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from loopline.core.errors import GateRefused
from loopline.core.records.image import ContextProblem

# What `loopline image` puts there itself: pins, the bundle, Loopline's wheel.
PREPARED = ".image"
MAX_FILE_BYTES = 50_000_000
_MAX_TEXT_BYTES = 2_000_000
# Folders by which git's history and data are known, at any depth.
_HISTORY = {".git", ".hg", ".svn"}
_DATA = {"data", "datasets", "workspace", "mlruns", "mlartifacts", "wandb", ".dvc"}
_DATA_SUFFIXES = {".ckpt", ".pt", ".pth", ".parquet", ".h5", ".db", ".sqlite"}

# The credentials of a file: path and text to (line, what it is in words).
SecretSearch = Callable[[str, str], Iterable[tuple[int, str]]]
# Those of the files that hold samples of confidential snapshots.
SampleSearch = Callable[[Sequence[Path]], Iterable[Path]]


def context_files(folder: Path, *, dockerfile: str) -> list[str]:
    """The paths, from the folder, of every file that an engine would be sent: all but what is ignored.

    `DOCKERFILE.dockerignore` comes before `.dockerignore`, as it does for BuildKit.
    """
    from docker.utils.build import exclude_paths

    ignore = next(
        (path for path in (folder / f"{dockerfile}.dockerignore", folder / ".dockerignore") if path.is_file()), None
    )
    patterns = [] if ignore is None else ignore.read_text(encoding="utf-8").splitlines()
    # An empty pattern would be the folder itself.
    patterns = [line.strip() for line in patterns if line.strip() and not line.startswith("#")]
    listed = exclude_paths(str(folder), patterns, dockerfile=dockerfile)
    return sorted(PurePosixPath(Path(path)).as_posix() for path in listed if (folder / path).is_file())


def find_problems(
    folder: Path, files: Sequence[str], *, secrets: SecretSearch, samples: SampleSearch
) -> list[ContextProblem]:
    """Everything among the files that must not go into an image; a folder full of it is one problem."""
    found: dict[str, ContextProblem] = {}
    rest = []
    for path in files:
        if PurePosixPath(path).parts[0] == PREPARED:
            continue
        problem = _by_place(path) or _by_size(path, (folder / path).stat().st_size)
        if problem is None:
            rest.append(path)
        else:
            found.setdefault(problem.path, problem)
    problems = [*found.values(), *_secrets(folder, rest, secrets)]
    for holder in samples([folder / name for name in files]):
        name = holder.relative_to(folder).as_posix()
        sentence = "holds samples of a confidential snapshot"
        problems.append(ContextProblem(kind="confidential", path=name, sentence=sentence, ignore_line=name))
    return sorted(problems, key=lambda problem: (problem.kind, problem.path))


def refuse(problems: Sequence[ContextProblem]) -> None:
    """Raises `GateRefused` with each problem and the lines for `.dockerignore`, where there are problems."""
    if not problems:
        return
    shown = "; ".join(f"'{problem.path}' {problem.sentence}" for problem in problems[:8])
    more = f"; and {len(problems) - 8} more" if len(problems) > 8 else ""
    lines = "\\n".join(dict.fromkeys(problem.ignore_line for problem in problems))
    raise GateRefused(
        f"the build's context holds what must not leave this machine: {shown}{more}. Nothing was built.",
        next_command=f"printf '{lines}\\n' >> .dockerignore",
    )


def _by_place(path: str) -> ContextProblem | None:
    """A file of git's history, or of a folder or kind that holds data; the outermost such folder is named."""
    parts = PurePosixPath(path).parts
    for depth, part in enumerate(parts[:-1], 1):
        place = "/".join(parts[:depth]) + "/"
        if part in _HISTORY:
            sentence = "is the history, with everything that was ever committed"
            return ContextProblem(kind="history", path=place, sentence=sentence, ignore_line=f"**/{part}")
        # `src/NAME/data/` is code about data.
        if part in _DATA and parts[0] != "src":
            return ContextProblem(kind="data", path=place, sentence="is data or results", ignore_line=place[:-1])
    if (suffix := PurePosixPath(path).suffix) in _DATA_SUFFIXES:
        sentence = "is data or a checkpoint"
        return ContextProblem(kind="data", path=path, sentence=sentence, ignore_line=f"**/*{suffix}")
    return None


def _by_size(path: str, num_bytes: int) -> ContextProblem | None:
    if num_bytes <= MAX_FILE_BYTES:
        return None
    sentence = f"has {num_bytes / 1e6:,.0f} MB, more than {MAX_FILE_BYTES / 1e6:.0f}"
    return ContextProblem(kind="large", path=path, sentence=sentence, ignore_line=path)


def _secrets(folder: Path, files: Sequence[str], search: SecretSearch) -> Iterator[ContextProblem]:
    for path in files:
        if (folder / path).stat().st_size > _MAX_TEXT_BYTES:
            continue
        text = (folder / path).read_bytes().decode("utf-8", errors="replace")
        if "\0" not in text and (first := next(iter(search(path, text)), None)) is not None:
            line, what = first
            sentence = f"holds {what} in line {line}"
            yield ContextProblem(kind="secret", path=path, sentence=sentence, ignore_line=path)
