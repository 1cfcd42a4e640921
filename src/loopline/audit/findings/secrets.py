"""Rules about committed secrets, one for each kind, in the tree and in what history keeps. Values are never shown."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from weakref import WeakKeyDictionary

from loopline.audit.findings.credentials import Credential, Kind, find_credentials
from loopline.audit.rule import FindingRule
from loopline.core.records.audit import Evidence
from loopline.core.store import digest_bytes
from loopline.repository import PastFile, Repository

CATEGORY = "Secrets"
# One look through all files serves every rule; it is forgotten with the repository.
_IN_TREE: WeakKeyDictionary[Repository, tuple[tuple[str, Credential], ...]] = WeakKeyDictionary()


def secrets_in_tree(repository: Repository) -> tuple[tuple[str, Credential], ...]:
    """Every credential in the files as they are now, with its path; a vendored or generated file can hold one, too."""
    if repository not in _IN_TREE:
        _IN_TREE[repository] = tuple(
            (path, found) for path in repository.files for found in find_credentials(path, repository.text(path) or "")
        )
    return _IN_TREE[repository]


def _check_tree(repository: Repository, *, kind: Kind) -> Iterator[Evidence]:
    """Each value once in a file, where it stands first there."""
    seen = set()
    for path, found in sorted(secrets_in_tree(repository), key=lambda item: (item[0], item[1].line)):
        if found.kind == kind and (path, found.digest) not in seen:
            seen.add((path, found.digest))
            yield Evidence(path=path, line=found.line, sentence=_sentence(found))


def _check_history(repository: Repository) -> Iterator[Evidence]:
    """Each value once, in the commit that brought it; what still is in the tree is a finding of its own.

    Of each version only the lines are looked at that it adds: a lock of a megabyte changes a few of them at a time.
    """
    known = {found.digest for _, found in secrets_in_tree(repository)}
    seen: dict[str, set[int]] = {}
    for past in repository.past_files():
        if past.path not in seen:
            seen[past.path] = set(map(hash, (repository.text(past.path) or "").split("\n")))
        added = _added(past.text, seen[past.path])
        if next(find_credentials(past.path, added), None) is None:
            continue
        for found in find_credentials(past.path, past.text):
            if found.digest not in known:
                known.add(found.digest)
                sentence = f"{_sentence(found)} No file holds it any more, but every clone has it."
                yield Evidence(path=past.path, line=found.line, sentence=sentence, commit=past.commit)


def _added(text: str, seen: set[int]) -> str:
    """The lines that were not seen yet, each with the two above it, which say what a value is; then all are seen."""
    lines = text.split("\n")
    hashes = list(map(hash, lines))
    new = [number for number, value in enumerate(hashes) if value not in seen]
    seen.update(hashes)
    kept = sorted({place for number in new for place in range(max(number - 2, 0), number + 1)})
    return "\n".join(lines[place] for place in kept)


def _sentence(found: Credential) -> str:
    return f"{found.what[0].upper()}{found.what[1:]} of {found.num_characters} characters; its value is not shown."


def _made_up(num_characters: int, alphabet: str = "0123456789abcdef") -> str:
    """A value that looks random and opens nothing. Examples are made when they are read, so no file holds one."""
    digits = int(digest_bytes(b"made up") * 4, 16)
    return "".join(alphabet[digits // len(alphabet) ** index % len(alphabet)] for index in range(num_characters))


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_UUID = "-".join(_made_up(length) for length in (8, 4, 4, 4, 12))
_PEM = f"-----BEGIN {'PRIVATE'} KEY-----\n{_made_up(120, _LETTERS)}\n-----END {'PRIVATE'} KEY-----\n"
_ACCOUNT = '{{"type": "service_account", "project_id": "shop", "private_key": "{}"}}'
_REVOKE = "Revoke it where it was issued, make a new one, and read that from the environment or a secret store."
_WHY = "Whoever can read the repository, or any clone and fork of it, can act in its owner's name."


def _kind_rule(
    name: str, kind: Kind, title: str, looks_for: str, *, bad: dict[str, str], good: dict[str, str]
) -> FindingRule:
    return FindingRule(
        id=name,
        category=CATEGORY,
        title=title,
        looks_for=looks_for,
        why=_WHY,
        fix=_REVOKE,
        severity="error",
        bad=bad,
        good=good,
        check=partial(_check_tree, kind=kind),
    )


RULES: tuple[FindingRule, ...] = (
    _kind_rule(
        "wandb-key",
        "wandb",
        "A W&B API key is committed",
        "Forty hexadecimal digits that code, configuration or a command hands to W&B, and keys of the new form "
        "(`wandb_v1_…`). Commits in the metadata of runs and digests are not keys.",
        bad={"Dockerfile": f"FROM python:3.12\nENV WANDB_API_KEY={_made_up(40)}\n"},
        good={"wandb/run-1/files/wandb-metadata.json": f'{{"git": {{"commit": "{_made_up(40)}"}}}}\n'},
    ),
    _kind_rule(
        "cloud-key",
        "cloud",
        "A cloud's key is committed",
        "Key files of Google service accounts, access keys of AWS, API keys of Google, storage keys of Azure.",
        bad={"gcp.json": _ACCOUNT.format(_PEM.replace("\n", "\\n"))},
        good={"gcp.json": _ACCOUNT.format("<your private key>")},
    ),
    _kind_rule(
        "private-key",
        "private key",
        "A private key is committed",
        "PEM blocks of private keys with their body.",
        bad={"deploy/id_server": _PEM},
        good={"deploy/README.md": f"The file starts with `-----BEGIN {'PRIVATE'} KEY-----`.\n"},
    ),
    _kind_rule(
        "kaggle-key",
        "kaggle",
        "A Kaggle key is committed",
        "`kaggle.json`, `KAGGLE_KEY` and tokens of the new form (`KGAT_…`).",
        bad={".kaggle/kaggle.json": f'{{"username": "somebody", "key": "{_made_up(32)}"}}\n'},
        good={"data/raw.dvc": f"# from kaggle\nouts:\n- md5: {_made_up(32)}\n  path: raw\n"},
    ),
    _kind_rule(
        "codecov-token",
        "codecov",
        "A Codecov token is committed",
        "A UUID that is handed to Codecov.",
        bad={
            ".github/workflows/tests.yml": f"steps:\n- uses: codecov/codecov-action@v5\n  with:\n    token: {_UUID}\n"
        },
        good={
            ".github/workflows/tests.yml": "steps:\n- uses: codecov/codecov-action@v5\n  with:\n"
            "    token: ${{ secrets.CODECOV_TOKEN }}\n"
        },
    ),
    _kind_rule(
        "service-token",
        "service",
        "A token of a service is committed",
        "Tokens with a prefix of their service: GitHub, GitLab, Hugging Face, OpenAI, Slack, Stripe, package indexes.",
        bad={"publish.py": f'TOKEN = "{"gh" + "p_" + _made_up(36, _LETTERS)}"\n'},
        good={"publish.py": 'import os\n\nTOKEN = os.environ["GITHUB_TOKEN"]\n'},
    ),
    _kind_rule(
        "password-in-address",
        "address",
        "An address holds a password",
        "`scheme://user:password@host`, unless the password is a word of examples.",
        bad={"config.yaml": f"tracking: https://anna:{_made_up(14, _LETTERS)}@mlflow.shop.example\n"},
        good={"config.yaml": "tracking: https://user:password@mlflow.shop.example\n"},
    ),
    _kind_rule(
        "secret-value",
        "value",
        "A value looks like a secret",
        "A value of high entropy after a name such as `api_key`, `secret` or `password`; no words, paths, placeholders "
        "or tokens of a language model.",
        bad={"settings.py": f'api_key = "{_made_up(32, _LETTERS)}"\n'},
        good={"settings.py": 'api_key = "your-api-key-goes-here-2024"\npad_token = "<pad>"\n'},
    ),
    FindingRule(
        id="secret-in-history",
        category=CATEGORY,
        title="A secret is in the history",
        looks_for="The same kinds in every file that a commit of any branch wrote and the newest commit lacks.",
        why="Removing a file removes nothing from the commits before; scanners read those first.",
        fix=f"{_REVOKE} Rewriting the history helps only together with that.",
        severity="error",
        bad={"Dockerfile": "FROM python:3.12\n"},
        bad_past=(PastFile("Dockerfile", _made_up(40), f"FROM python:3.12\nRUN wandb login {_made_up(40)}\n"),),
        good={"Dockerfile": "FROM python:3.12\n"},
        check=_check_history,
    ),
)
