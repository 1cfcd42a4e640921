"""Rules about container images: what gets into them, and who runs them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from loopline.audit.rule import FindingRule
from loopline.core.records.audit import Evidence
from loopline.repository import Instruction, Repository

CATEGORY = "Containers"
_SECRET_FILE = re.compile(
    r"(^|/)(\.env|\.netrc|kaggle\.json|id_(rsa|ed25519)|[^/]*(credential|service[_-]?account|secret)[^/]*|"
    r"([^/]*[_-])?keys?\.json|[^/]+\.pem)$",
    re.IGNORECASE,
)
_SECRET_NAME = re.compile(r"(API_?KEY|TOKEN|SECRET|PASSWORD|PASSWD|ACCESS_KEY|CREDENTIALS?_JSON)\s*[= ]", re.IGNORECASE)
_ROOT = re.compile(r"^(root|0)(:|$)", re.IGNORECASE)


def _check_secrets(repository: Repository) -> Iterator[Evidence]:
    for dockerfile in repository.dockerfiles.values():
        for instruction in dockerfile.of("COPY", "ADD"):
            copied = next((word for word in _sources(instruction) if _SECRET_FILE.search(word)), None)
            if copied is not None:
                sentence = f"`{copied}` becomes a layer of the image."
                yield Evidence(path=dockerfile.path, line=instruction.line, sentence=sentence)
        for instruction in dockerfile.of("ENV"):
            match = _SECRET_NAME.search(f"{instruction.text} ")
            if match and not re.search(r"=\s*[\"']{2}|_FILE", instruction.text):
                sentence = f"A variable of the image, `{match[1]}`, keeps a secret."
                yield Evidence(path=dockerfile.path, line=instruction.line, sentence=sentence)


def _sources(instruction: Instruction) -> list[str]:
    """What is copied: the words but for options and the last. From another stage nothing comes from the repository."""
    words = [word.strip("\"'[],") for word in instruction.text.split()]
    if any(word.startswith("--from") for word in words):
        return []
    return [word for word in words if not word.startswith("--")][:-1]


def _check_root(repository: Repository) -> Iterator[Evidence]:
    """A service whose image never leaves root; images that only train end by themselves."""
    for dockerfile in repository.dockerfiles.values():
        stages = dockerfile.of("FROM")
        served = dockerfile.of("EXPOSE") or re.search(
            r"uvicorn|gunicorn|fastapi|flask|streamlit|bentoml|gradio",
            " ".join(instruction.text for instruction in dockerfile.of("CMD", "ENTRYPOINT")),
        )
        if not stages or not served:
            continue
        users = [user for user in dockerfile.of("USER") if user.line > stages[-1].line]
        inherits = re.search(r"nonroot|distroless", stages[-1].text)
        if not inherits and (not users or _ROOT.match(users[-1].text.strip())):
            yield Evidence(path=dockerfile.path, line=stages[-1].line, sentence="The image's service runs as root.")


RULES: tuple[FindingRule, ...] = (
    FindingRule(
        id="secret-in-image",
        category=CATEGORY,
        title="An image holds a secret",
        looks_for="`COPY` and `ADD` of key files and `.env`, `ENV` of keys, tokens and passwords.",
        why="Layers are never deleted: whoever can pull the image can read all of them.",
        fix="Pass it when the container starts, or use `RUN --mount=type=secret` while building.",
        severity="error",
        good={"Dockerfile": "FROM python:3.12\nCOPY src src\nRUN --mount=type=secret,id=key python -m shop.fetch\n"},
        bad={"Dockerfile": "FROM python:3.12\nCOPY .env service-account.json /app/\n"},
        check=_check_secrets,
    ),
    FindingRule(
        id="image-as-root",
        category=CATEGORY,
        title="A service runs as root",
        looks_for="Images that serve and whose last stage has no `USER`, or `USER root`.",
        why="Who breaks into the service owns the container, and is a step closer to its host.",
        fix="Add a user, and `USER` before `CMD`.",
        severity="note",
        good={"Dockerfile": "FROM python:3.12\nRUN useradd shop\nUSER shop\nCMD uvicorn shop.app:app\n"},
        bad={"Dockerfile": "FROM python:3.12\nCMD uvicorn shop.app:app\n"},
        check=_check_root,
    ),
)
