"""Items about documentation: pages that say something, and where they can be read."""

from __future__ import annotations

import re

from loopline.audit.rule import ItemRule, Judgement, done, not_found, partial
from loopline.audit.traces import MOST_EVIDENCE, ci_commands, named
from loopline.core.records.audit import Evidence
from loopline.repository import Repository

THEME = "Documentation"
_PAGES = r"^(docs?|documentation)/(.+/)?[^/]+\.(md|rst)$|^mkdocs/.+\.md$"
# A template's pages say that there is documentation, and no more.
_MIN_WORDS = 60
_STUB = re.compile(
    r"this is where you describe|welcome to .{0,60}'s documentation|the makefile contains the central entry points|"
    r"documentation built with|using mkdocs|getting started\W+=+\W+this is|building locally|"
    r"a template for|contents:\s*\.\. toctree",
    re.IGNORECASE | re.DOTALL,
)
_PUBLISHES = (
    r"mkdocs gh-deploy|mike deploy|ghp-import|sphinx-.*gh-pages|git push .*gh-pages|quarto publish|jupyter-book .*gh"
)
_PUBLISH_ACTIONS = re.compile(
    r"actions/deploy-pages|peaceiris/actions-gh-pages|JamesIves/github-pages-deploy|"
    r"mhausenblas/mkdocs-deploy|readthedocs",
    re.IGNORECASE,
)


def _check_pages(repository: Repository) -> Judgement:
    written: list[Evidence] = []
    stubs: list[Evidence] = []
    for path in named(repository, _PAGES):
        words = _own_words(repository.text(path) or "")
        if re.search(r"(^|/)(todo|checklist)", path, re.IGNORECASE) or "[ ]" in (repository.text(path) or ""):
            continue
        found = written if words >= _MIN_WORDS else stubs
        found.append(Evidence(path=path, sentence=f"A page of {words} words."))
    if written:
        return done(*written[:MOST_EVIDENCE])
    return not_found(*stubs[:1])


def _own_words(text: str) -> int:
    """The words that somebody wrote: none where the page is a template's, whole directives left out."""
    plain = re.sub(
        r"^\s*(:::|\.\. |:\w+:).*$", " ", re.sub(r"```.*?```", " ", text, flags=re.DOTALL), flags=re.MULTILINE
    )
    if _STUB.search(text) and len(plain.split()) < 5 * _MIN_WORDS:
        return 0
    return len(re.findall(r"[A-Za-z]{2,}", plain))


def _check_published(repository: Repository) -> Judgement:
    found = []
    for workflow in repository.workflows.values():
        found += [
            workflow.evidence(step.line, f"`{step.uses}` publishes pages.")
            for step in workflow.steps
            if _PUBLISH_ACTIONS.search(step.uses)
        ]
    found += [command.evidence("Publishes pages.") for command in ci_commands(repository) if command.runs(_PUBLISHES)]
    if "gh-pages" in repository.history.branches:
        found.append(Evidence(sentence="There is a branch `gh-pages`."))
    found += [
        Evidence(path=path, sentence="Read the Docs builds pages.")
        for path in named(repository, r"^\.readthedocs\.ya?ml$")
    ]
    if found:
        return done(*found[:MOST_EVIDENCE])
    by_hand = [
        command.evidence("Publishes pages when somebody runs it.")
        for command in repository.commands
        if command.runs(_PUBLISHES)
    ]
    return partial(*by_hand[:1]) if by_hand else not_found()


_PAGE = "# Leaves\n\n" + "Photographs of leaves are sorted by the kind of tree that they fell from. " * 10 + "\n"
_DOCS = "on: push\njobs:\n  docs:\n    runs-on: ubuntu-latest\n    steps:\n      - run: mkdocs gh-deploy --force\n"

RULES = (
    ItemRule(
        id="docs",
        theme=THEME,
        asks="There are pages of documentation.",
        wording=r"write some documentation",
        looks_for=f"A page under docs/ with at least {_MIN_WORDS} words that no template brought along.",
        why="Who comes after asks the pages first, and then you.",
        fix="Say how to install it, how to train, how to serve.",
        good={"docs/index.md": _PAGE},
        bad={"docs/index.md": "# Documentation\n\nDocumentation for leaves\n"},
        check=_check_pages,
    ),
    ItemRule(
        id="docs_published",
        theme=THEME,
        asks="The documentation can be read on the web.",
        wording=r"publish the documentation",
        looks_for="A workflow that publishes pages, a branch `gh-pages`, Read the Docs; a command that somebody "
        "must run "
        "is partial.",
        why="Pages that must be built first are not read.",
        fix="Run `mkdocs gh-deploy --force` in a workflow.",
        good={".github/workflows/docs.yaml": _DOCS},
        bad={"docs/index.md": _PAGE},
        check=_check_published,
    ),
)
