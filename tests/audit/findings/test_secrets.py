"""Secrets: every spelling is found, look-alikes are not, and no value is ever shown."""

from __future__ import annotations

import random
import string
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopline.audit.findings import FINDINGS
from loopline.audit.findings.credentials import HIDDEN, find_credentials, hide_credentials
from loopline.audit.findings.secrets import secrets_in_tree
from loopline.repository import open_repository, read_texts


def made_up(num_characters: int, alphabet: str = "0123456789abcdef", *, seed: int = 1) -> str:
    """A value that opens nothing, made at run time so that no file holds it."""
    return "".join(random.Random(seed).choices(alphabet, k=num_characters))  # noqa: S311 - nothing is kept secret


LETTERS = string.ascii_letters + string.digits
KEY = made_up(40)
SHORT = made_up(32)
UUID = f"{made_up(8)}-{made_up(4)}-{made_up(4)}-{made_up(4)}-{made_up(12)}"


@pytest.mark.parametrize(
    ("kind", "path", "text"),
    [
        ("wandb", "train.py", f'import wandb\nwandb.login(key="{KEY}")\n'),
        ("wandb", "train.py", f"import wandb\nwandb.login(\n    key='{KEY}',\n)\n"),
        ("wandb", "train.py", f'import os\nos.environ["WANDB_API_KEY"] = "{KEY}"\n'),
        ("wandb", "run.sh", f"wandb login --relogin {KEY}\n"),
        ("wandb", ".env", f"WANDB_API_KEY={KEY}\n"),
        ("wandb", "vertex.yaml", f"env:\n  - name: WANDB_API_KEY\n    value: {KEY}\n"),
        ("wandb", "Dockerfile", f"ENV WANDB_API_KEY local-{KEY}\n"),
        ("wandb", "notes.ipynb", f'["import wandb\\n", "wandb.login(key=\\"{KEY}\\")"]'),
        ("wandb", "train.py", f'k = "{"wandb_v1_" + made_up(77, LETTERS)}"\n'),
        ("kaggle", "kaggle.json", f'{{"username":"a","key":"{SHORT}"}}'),
        ("kaggle", ".env", f"KAGGLE_USERNAME=somebody\nKAGGLE_KEY={SHORT}\n"),
        ("codecov", "codecov.yml", f"codecov:\n  token: {UUID}\n"),
        ("codecov", "ci.sh", f"bash codecov.sh -t {UUID}\n"),
        ("service", "a.py", f'x = "{"hf_" + made_up(34, string.ascii_letters)}"'),
        ("cloud", "a.py", f'x = "{"AIza" + made_up(35, LETTERS)}"'),
        ("address", "a.py", f'x = "postgresql://shop:{made_up(16, LETTERS)}@db.shop.io/x"'),
        ("value", "a.py", f'DAGSHUB_TOKEN = "{KEY}"'),
        ("value", "a.yaml", f"client_secret: {made_up(30, LETTERS)}"),
    ],
)
def test_a_secret_is_found_however_it_is_written(kind: str, path: str, text: str) -> None:
    """Each spelling is one secret of its kind."""
    assert [found.kind for found in find_credentials(path, text)] == [kind]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("wandb/run-1/files/wandb-metadata.json", f'{{"git": {{"remote": "x", "commit": "{KEY}"}}}}'),
        ("wandb/debug.log", f"wandb: setting env: commit {KEY}"),
        ("uv.lock", f'{{ url = "x/wandb-0.2.whl", hash = "sha256:{made_up(64)}" }}\n<<<<<<< HEAD\n>>>>>>> {KEY}\n'),
        ("requirements.txt", f"wandb @ git+https://github.com/wandb/wandb@{KEY}\n"),
        ("data.dvc", f"# kaggle token\nouts:\n- md5: {SHORT}.dir\n"),
        ("a.ipynb", f'{{"id": "{SHORT}", "metadata": {{"token": null}}}}'),
        (".github/workflows/a.yml", f"- uses: actions/checkout@{KEY}\n  with:\n    token: ${{{{ secrets.TOKEN }}}}\n"),
        ("a.py", 'pad_token = "[PAD]"\nmax_new_tokens = 12345678901234567890\n'),
        ("a.py", 'api_key = os.environ["A_LONG_NAME_OF_A_KEY_2024"]\n'),
        ("a.yaml", "secret_name: projects/shop-401218/secrets/wandb-key/versions/1\n"),
        ("a.py", f'api_key = "{"x" * 40}"\nwandb_key = "{"0" * 40}"\n'),
        ("page.html", f'<html><script>key: "{"AIza" + made_up(35, LETTERS)}"</script>'),
        ("a.yaml", "uri: postgresql://user:password@localhost:5432/x\nb: https://user:${TOKEN}@shop.io\n"),
    ],
)
def test_a_look_alike_is_not_flagged(path: str, text: str) -> None:
    """Commits, digests, ids of cells, references to secret stores and placeholders are no secrets."""
    assert [found.what for found in find_credentials(path, text)] == []


def test_no_finding_shows_a_value() -> None:
    """Neither the sentence of a finding nor the text that hiding gives holds any part of the key."""
    text = f"RUN wandb login {KEY}\n"
    repository = read_texts({"Dockerfile": text})
    sentences = [evidence.sentence for rule in FINDINGS for evidence in rule.check(repository)]
    # Not `KEY in …`: a failing assertion would print it.
    shown = [KEY[start : start + 6] for start in range(35) if any(KEY[start : start + 6] in line for line in sentences)]
    assert sentences
    assert shown == []
    assert hide_credentials(text) == f"RUN wandb login {HIDDEN}\n"


def test_a_secret_that_was_removed_is_found_in_the_history(tmp_path: Path) -> None:
    """A key that a commit took out is found with the commit that brought it; one that is still there only once."""

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "-q")
    kept = f'{{"username":"a","key":"{SHORT}"}}'
    (tmp_path / "kaggle.json").write_text(kept)
    (tmp_path / "run.sh").write_text(f"wandb login {KEY}\n")
    git("add", ".")
    git("commit", "-qm", "one")
    first = git("rev-parse", "HEAD")
    (tmp_path / "run.sh").write_text("wandb login\n")
    (tmp_path / "kaggle.json").write_text(kept + "\n")
    git("commit", "-qam", "two")
    (tmp_path / "run.sh").write_text("set -e\nwandb login\n")
    git("commit", "-qam", "three")
    (tmp_path / "run.sh").write_text(f"set -e\nwandb login\n# {KEY[::-1]}\n")  # what that is, the line above says
    git("commit", "-qam", "four")
    fourth = git("rev-parse", "HEAD")
    (tmp_path / "run.sh").write_text("set -e\n")
    git("commit", "-qam", "five")
    repository = open_repository(tmp_path)
    rules = {rule.id: rule for rule in FINDINGS}
    found = list(rules["secret-in-history"].check(repository))
    assert [(evidence.path, evidence.line, evidence.commit) for evidence in found] == [
        ("run.sh", 1, first),
        ("run.sh", 3, fourth),
    ]
    assert [evidence.path for evidence in rules["kaggle-key"].check(repository)] == ["kaggle.json"]
    assert [path for path, _ in secrets_in_tree(repository)] == ["kaggle.json"]


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_no_text_makes_the_search_raise(text: str) -> None:
    """Whatever a file holds, also letters that get longer in lower case, the search ends and hides what it finds."""
    hidden = hide_credentials(f"İ{text}\nwandb login {KEY}")
    assert hidden.endswith(HIDDEN)
