"""History in counts, without names; and the contents that only history holds."""

from __future__ import annotations

from pathlib import Path

from tests.repository.conftest import Commit, git

from loopline.repository import open_repository


def test_history_is_counted(root: Path, commit: Commit) -> None:
    """Commits, addresses in any case, merges, pull requests, branches by their short names."""
    commit({"a.py": "1\n"})
    git(root, "checkout", "--quiet", "-b", "feature")
    commit({"b.py": "2\n"})
    git(root, "checkout", "--quiet", "main")
    git(root, "commit", "--quiet", "--allow-empty", "--author", "L <LEAF@example.com>", "-m", "Add leaves (#3)")
    git(root, "commit", "--quiet", "--allow-empty", "--author", "T <tree@example.com>", "-m", "Mention #3")
    git(root, "merge", "--quiet", "--no-ff", "-m", "Merge pull request #4 from tree/feature", "feature")
    git(root, "update-ref", "refs/remotes/origin/gh-pages", "HEAD")
    git(root, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/gh-pages")
    history = open_repository(root).history
    assert (history.num_commits, history.num_authors, history.num_merges, history.num_pull_requests) == (5, 2, 1, 2)
    assert history.branches == ("feature", "gh-pages", "main")
    assert history.first_at is not None
    assert history.last_at is not None
    assert history.first_at <= history.last_at


def test_past_files_are_what_the_newest_commit_lacks(root: Path, commit: Commit) -> None:
    """Each content once, with the path and the commit that wrote it; what was only renamed is not past."""
    commit({"key.txt": "secret", "kept.txt": "kept", "large.txt": "x" * (2 << 20), "binary.bin": b"\0\1"})
    first = git(root, "rev-parse", "HEAD").strip()
    commit({"key.txt": "none", "copy.txt": "secret2"})
    git(root, "mv", "kept.txt", "renamed.txt")
    git(root, "rm", "--quiet", "large.txt", "binary.bin", "copy.txt")
    commit({})
    found = list(open_repository(root).past_files())
    assert [(file.path, file.text) for file in found] == [("key.txt", "secret"), ("copy.txt", "secret2")]
    assert found[0].commit == first
