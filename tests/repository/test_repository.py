"""A repository's files come from the work tree, a commit or a folder; whatever lies there is survived and never run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tests.repository.conftest import Commit, git, write

from loopline.core.errors import InputError
from loopline.repository import open_repository, read_texts

STRANGE: dict[str, str | bytes] = {
    "with space.py": "x = 1\n",
    "naïve/ünï.py": "y = 2\n",
    "bom.txt": "\ufeffhello\r\nworld\r".encode(),
    "utf16.txt": "\ufeffhello".encode("utf-16-le"),
    "unmarked.txt": "hello there".encode("utf-16-be"),
    "latin.txt": "caf\xe9".encode("latin-1"),
    "binary.bin": bytes(range(256)),
    "broken_mark.txt": b"\xff\xfe\x00\xd8",
}
TEXTS = {
    "with space.py": "x = 1\n",
    "naïve/ünï.py": "y = 2\n",
    "bom.txt": "hello\nworld\n",
    "utf16.txt": "hello",
    "unmarked.txt": "hello there",
    "latin.txt": "café",
    "binary.bin": None,
    "broken_mark.txt": None,
}


def test_every_encoding_and_name_is_read_from_every_source(root: Path, commit: Commit, tmp_path: Path) -> None:
    """A work tree, the git directory alone and a plain folder give the same texts."""
    commit(STRANGE)
    plain = tmp_path / "plain"
    shutil.copytree(root, plain, ignore=shutil.ignore_patterns(".git"))
    for place in (root, root / ".git", plain):
        repository = open_repository(place)
        assert {path: repository.text(path) for path in repository.files} == TEXTS, place
        assert repository.data("binary.bin") == bytes(range(256))
    assert open_repository(root).name == "leaves"
    assert "work tree" in open_repository(root).what
    assert "without git" in open_repository(plain).what


def test_a_bare_repository_is_its_newest_commit(root: Path, commit: Commit, tmp_path: Path) -> None:
    """Contents come from the objects, and a file of the work tree that is not committed does not count."""
    commit({"a.py": "one = 1\n"})
    bare = tmp_path / "bare.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(root), str(bare))
    repository = open_repository(bare)
    assert list(repository.files) == ["a.py"]
    assert repository.text("a.py") == "one = 1\n"
    assert repository.name == "bare"
    assert repository.what == "the tree of the newest commit"
    assert repository.is_changed is False
    assert repository.commit == git(root, "rev-parse", "HEAD").strip()


def test_only_tracked_files_count_and_changes_are_told(root: Path, commit: Commit) -> None:
    """An ignored file is none of the project's; contents are those on the disk."""
    commit({"a.py": "one = 1\n", ".gitignore": "secret.txt\n", "gone.py": ""})
    write(root, {"secret.txt": "token", "a.py": "one = 2\n"})
    (root / "gone.py").unlink()
    repository = open_repository(root)
    assert list(repository.files) == [".gitignore", "a.py"]
    assert repository.text("a.py") == "one = 2\n"
    assert repository.text("secret.txt") is None
    assert repository.data("secret.txt") is None
    assert repository.is_changed
    git(root, "checkout", "--quiet", ".")
    assert not open_repository(root).is_changed


def test_links_submodules_and_executables_are_told_apart(root: Path, commit: Commit, tmp_path: Path) -> None:
    """Links are not followed, not even a folder on the way to a file."""
    outside = tmp_path / "outside"
    write(outside, {"secret.py": "key = 1\n"})
    commit({"run.sh": "echo\n", "folder/secret.py": "mine = 1\n"})
    (root / "run.sh").chmod(0o755)
    (root / "loop").symlink_to("loop")
    (root / "leak.py").symlink_to(outside / "secret.py")
    git(root, "add", "run.sh", "loop", "leak.py")
    git(root, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},vendored_module")
    git(root, "commit", "--quiet", "--message", "Links")
    (root / "folder" / "secret.py").unlink()
    (root / "folder").rmdir()
    (root / "folder").symlink_to(outside)
    repository = open_repository(root)
    kinds = {path: file.kind for path, file in repository.files.items()}
    assert kinds["run.sh"] == "executable"
    assert kinds["loop"] == kinds["leak.py"] == "link"
    assert kinds["vendored_module"] == "submodule"
    assert [repository.text(path) for path in ("loop", "leak.py", "vendored_module", "folder/secret.py")] == [None] * 4
    assert repository.unreadable == {"folder/secret.py": "its content is missing"}


def test_a_missing_object_is_noted(root: Path, commit: Commit) -> None:
    """A partial copy lists blobs that it does not hold."""
    commit({"a.py": "one = 1\n", "b.py": "two = 2\n"})
    digest = git(root, "rev-parse", "HEAD:a.py").strip()
    blob = root / ".git" / "objects" / digest[:2] / digest[2:]
    blob.chmod(0o644)
    blob.unlink()
    repository = open_repository(root / ".git")
    assert repository.text("a.py") is None
    assert repository.text("b.py") == "two = 2\n"
    assert repository.unreadable == {"a.py": "its content is missing"}
    assert list(repository.python) == ["b.py"]


def test_nothing_that_a_repository_configures_is_run(root: Path, commit: Commit) -> None:
    """Monitors, hooks, filters, pagers, signature checkers and attributes of a hostile repository stay off."""
    commit({"a.py": "one = 1\n", ".gitattributes": "* filter=evil diff=evil\n"})
    trap = root / "trap.sh"
    trap.write_text("#!/bin/sh\ntouch '" + str(root / "sprung") + "'\ncat\n", encoding="utf-8")
    trap.chmod(0o755)
    hooks = root / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-index-change", "fsmonitor-watchman", "reference-transaction"):
        shutil.copy(trap, hooks / name)
    settings = {
        "core.fsmonitor": trap,
        "core.pager": trap,
        "core.sshCommand": trap,
        "filter.evil.clean": trap,
        "filter.evil.process": trap,
        "filter.evil.required": "true",
        "diff.evil.textconv": trap,
        "diff.external": trap,
        "gpg.program": trap,
        "log.showSignature": "true",
        "remote.origin.promisor": "true",
        "remote.origin.url": f"ext::{trap}",
    }
    for key, value in settings.items():
        git(root, "config", key, str(value))
    os.utime(root / "a.py", (1, 1))
    repository = open_repository(root)
    assert repository.text("a.py") == "one = 1\n"
    assert repository.history.num_commits == 1
    assert list(repository.past_files()) == []
    assert repository.is_changed is False
    assert open_repository(root / ".git").text("a.py") == "one = 1\n"
    assert not (root / "sprung").exists()


def test_a_folder_inside_a_work_tree_stands_for_it(root: Path, commit: Commit, tmp_path: Path) -> None:
    """One that git tracks nothing of is a folder of its own."""
    commit({"src/a.py": "one = 1\n"})
    write(root, {"loose/b.py": "two = 2\n"})
    assert list(open_repository(root / "src").files) == ["src/a.py"]
    assert list(open_repository(root / "loose").files) == ["b.py"]


def test_before_the_first_commit_the_index_is_read(root: Path) -> None:
    """There is no commit to name, and no history."""
    write(root, {"a.py": "one = 1\n"})
    git(root, "add", "a.py")
    repository = open_repository(root)
    assert list(repository.files) == ["a.py"]
    assert repository.commit is None
    assert repository.is_changed is False
    assert repository.history.num_commits == 0
    assert list(repository.past_files()) == []


def test_a_plain_folder_leaves_out_environments(tmp_path: Path) -> None:
    """Environments, caches and what packages brought along are nobody's work."""
    write(
        tmp_path,
        {
            "a.py": "",
            ".venv/lib/x.py": "",
            "my_env/pyvenv.cfg": "",
            "my_env/y.py": "",
            "node_modules/z.js": "",
            "__pycache__/a.pyc": b"\0",
        },
    )
    (tmp_path / "again").symlink_to(tmp_path)
    repository = open_repository(tmp_path)
    assert {path: file.kind for path, file in repository.files.items()} == {"a.py": "regular", "again": "link"}


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    """The sentence says what was expected."""
    with pytest.raises(InputError, match="is no folder; expected a project's folder or a git repository"):
        open_repository(tmp_path / "nowhere")


def test_large_files_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text over the limit is not read, and a large configuration is data."""
    monkeypatch.setattr("loopline.repository.repository.MAX_TEXT_BYTES", 1 << 20)
    monkeypatch.setattr("loopline.repository.repository.MAX_CONFIG_BYTES", 10)
    repository = read_texts({"large.txt": "x" * (1 << 21), "data.json": '{"numbers": [1, 2, 3]}', "small.json": "{}"})
    assert repository.text("large.txt") is None
    assert repository.unreadable == {"large.txt": "larger than 1 MiB"}
    assert list(repository.configs) == ["small.json"]


def test_texts_are_kept_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository of data does not fill the memory; what was forgotten is read again."""
    monkeypatch.setattr("loopline.repository.repository.MAX_KEPT_CHARACTERS", 25)
    repository = read_texts({f"{name}.txt": name * 10 for name in "abcd"})
    assert [repository.text(path) for path in (*repository.files, "a.txt")] == [name * 10 for name in "abcda"]
    assert sum(len(text or "") for text in repository._texts.values()) <= 25


def test_a_template_for_other_projects_is_no_work_of_this_one() -> None:
    """Where it lies in a folder; a repository that is a template is read as it stands."""
    files = {"shop/train.py": "x = 1\n", "kit/project/Makefile": "test:\n\tpytest\n", "kit/project/a.py": "y = 2\n"}
    for questions in ("copier.yml", "copier.yaml", "cookiecutter.json"):
        repository = read_texts({**files, f"kit/{questions}": "{}\n"})
        assert (list(repository.python), repository.makefile_targets) == (["shop/train.py"], [])
    assert list(read_texts({**files, "copier.yml": "{}\n"}).python) == ["kit/project/a.py", "shop/train.py"]


def test_views_hold_the_projects_own_live_files_only() -> None:
    """Vendored, generated and given-up files, and the script that a course hands out, are no work of the project."""
    code = "import torch\n"
    repository = read_texts(
        {
            "src/leaves/model.py": code,
            "tests/test_model.py": code,
            "src/old/model.py": code,
            "deprecated/train.py": code,
            "model_old.py": code,
            "third_party/x.py": code,
            "build/lib/y.py": code,
            "wandb/run-2024/files/z.py": code,
            "reports/report.py": code,
            ".hydra/config.yaml": "a: 1\n",
            "broken.py": "def (:\n",
            "zero.py": "x = '\0'\n",  # binary
            "notes.ipynb": '{"cells": [{"cell_type": "code", "source": ["%pip install x\\n", "import wandb\\n"]},'
            ' {"cell_type": "code", "source": "not python("}, {"cell_type": "markdown", "source": "import no"},'
            ' {"cell_type": "code", "source": "%%bash\\nls"}]}',
            "third_format.ipynb": '{"worksheets": [{"cells": [{"cell_type": "code", "input": "import torch"}]}]}',
            "bad.ipynb": "[]",
            "worse.ipynb": "{",
        }
    )
    assert list(repository.python) == ["src/leaves/model.py", "tests/test_model.py"]
    assert [item.name for module in repository.notebooks.values() for item in module.imports] == ["wandb", "torch"]
    assert "src/old/model.py" not in repository.python
    with pytest.raises(KeyError):
        repository.python["src/old/model.py"]
    assert len(repository.configs) == 0
    assert set(repository.unreadable) == {"broken.py", "bad.ipynb", "worse.ipynb"}
    assert repository.unreadable["broken.py"] == "no Python: invalid syntax on line 1"


def test_code_that_is_nested_too_deeply_is_noted() -> None:
    """The parser's own limit is a reason, not a crash."""
    repository = read_texts({"deep.py": f"x = {'(' * 5000}{')' * 5000}\n", "wide.py": f"x = {'1 + ' * 20000}1\n"})
    assert len(repository.python) == 0
    assert set(repository.unreadable) == {"deep.py", "wide.py"}


def test_functions_are_found_however_their_module_is_imported() -> None:
    """`src.` in front, the folder's own name, or the module's name alone, as a script sees it."""
    repository = read_texts(
        {"src/leaves/model.py": "class Net:\n    def forward(self):\n        pass\n\ndef load():\n    pass\n"}
    )
    for name in ("leaves.model.load", "src.leaves.model.load", "model.load"):
        found = repository.find_definition(name)
        assert found is not None, name
        assert found[1].name == "load"
    method = repository.find_definition("leaves.model.Net().forward")
    assert method is not None
    assert method[1].line == 2
    assert repository.find_definition("torch.load") is None
    assert repository.find_definition("load") is None
