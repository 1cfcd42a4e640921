"""The docs are executed: what they show runs, what they name exists, and what exists is named."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from loopline.cli.commands import COMMANDS
from loopline.cli.entry import cli

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    """The fenced code blocks of a page that are marked with a language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def shown_commands() -> list[tuple[str, str]]:
    """Every `$ loopline …` line of every console block, with its page; continued lines are joined."""
    found = []
    for page in PAGES:
        for block in blocks(page, "console"):
            lines = block.replace("\\\n", " ").splitlines()
            found += [(page.name, line[2:]) for line in lines if line.startswith("$ loopline ")]
    return found


def problem_of(line: str) -> str | None:
    """Why a shown command line does not exist, or None: the commands and options are looked up, nothing is run."""
    words = shlex.split(line.split(" | ", maxsplit=1)[0].split(" > ", maxsplit=1)[0], comments=True)[1:]
    command: click.Command = cli
    while words:
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        word = words.pop(0).split("=")[0]
        if word.startswith("--") or re.fullmatch("-[a-zA-Z]", word):
            if word not in known | {"--help", "-h"}:
                return f"'{command.name}' has no option {word}"
        elif isinstance(command, click.Group):
            if previous_takes_value(command, line, word):
                continue
            child = command.get_command(click.Context(command), word)
            if child is None:
                return f"'{command.name}' has no command {word}"
            command = child
    return None


def previous_takes_value(group: click.Group, line: str, word: str) -> bool:
    """True where a word is the value of an option of the group, as FOLDER in `loopline --home FOLDER train`."""
    words = shlex.split(line, comments=True)
    before = words[words.index(word) - 1]
    return any(
        isinstance(parameter, click.Option) and not parameter.is_flag and before in parameter.opts
        for parameter in group.params
    )


@pytest.mark.parametrize(("page", "line"), shown_commands(), ids=lambda value: value)
def test_every_shown_command_exists(page: str, line: str) -> None:
    """Each command that a page shows exists, with each option it is shown with."""
    assert problem_of(line) is None, f"{page}: {line}"


def test_a_shown_command_that_does_not_exist_is_found() -> None:
    """The check above can fail."""
    assert problem_of("loopline --home FOLDER models --nonsense") == "'models' has no option --nonsense"
    assert problem_of("loopline trian") == "'cli' has no command trian"
    assert problem_of("loopline data gte fashion") == "'data' has no command gte"


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_every_command_is_shown_on_a_page(name: str) -> None:
    """Each command of the table stands on a page that somebody wrote, not only in the generated reference."""
    written = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert re.search(rf"\bloopline( --home \S+)? {name}\b", written), f"no page shows 'loopline {name}'"


def test_every_page_can_be_found() -> None:
    """Each page of the docs stands in the table of contents."""
    listed = set("\n".join(re.findall(r"```{toctree}\n(.*?)```", (DOCS / "index.md").read_text(), re.DOTALL)).split())
    assert {page.stem for page in DOCS.glob("*.md")} - {"index"} <= listed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    """Each relative link and picture of a page points at a file of the repository."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)", text)
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert missing == []


@pytest.mark.slow
@pytest.mark.timeout(900)  # an epoch of 60,000 images and all that follows: over a minute on two idle cores
def test_the_readme_runs(
    workspace: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Python of the README goes around the loop, on the data set that it names."""
    from loopline.core.errors import LooplineError
    from loopline.data import get

    try:
        get("fashion")
    except LooplineError as error:
        pytest.skip(f"Fashion-MNIST cannot be had here: {error.message}")
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    for block in blocks(ROOT / "README.md", "python"):
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - running the README is the purpose
    accuracy = float(capsys.readouterr().out.split()[-2])
    assert accuracy > 0.8
