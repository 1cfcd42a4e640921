"""What a repository's history tells: commits, authors as numbers, branches, merges; and files that are gone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from loopline.repository.git import Git, Objects
from loopline.repository.text import decode

_MAX_PAST_BYTES = 1 << 20


@dataclass(frozen=True)
class History:
    """Counts of the newest commit's history. Authors stay numbers; names and addresses are never kept."""

    num_commits: int = 0
    num_authors: int = 0
    num_merges: int = 0
    # Merges and squashes whose message names a pull request.
    num_pull_requests: int = 0
    branches: tuple[str, ...] = ()
    first_at: datetime | None = None
    last_at: datetime | None = None


@dataclass(frozen=True)
class PastFile:
    """A file's content as a commit wrote it, which is not what the newest commit has."""

    path: str
    commit: str
    text: str


def read_history(git: Git) -> History:
    """The history that leads to the newest commit, and all branches there are, remote ones by their short name."""
    num_merges = num_pull_requests = 0
    authors: set[str] = set()
    times: list[int] = []
    for line in git.lines("log", "--format=%ct%x00%P%x00%ae%x00%s", "HEAD"):
        time, parents, address, subject = [*line.split("\0"), "", "", ""][:4]
        times.append(int(time))
        authors.add(address.lower())
        num_merges += " " in parents
        num_pull_requests += bool(re.match(r"Merge pull request #\d+|Merge branch .* into |.*\(#\d+\)$", subject))
    names = git.output("for-each-ref", "--format=%(refname)", "refs/heads", "refs/remotes") or b""
    branches = {re.sub(r"^refs/(heads|remotes/[^/]+)/", "", name) for name in names.decode("utf-8", "replace").split()}
    return History(
        num_commits=len(times),
        num_authors=len(authors),
        num_merges=num_merges,
        num_pull_requests=num_pull_requests,
        branches=tuple(sorted(branches - {"HEAD"})),
        first_at=datetime.fromtimestamp(min(times), UTC) if times else None,
        last_at=datetime.fromtimestamp(max(times), UTC) if times else None,
    )


def read_past_files(git: Git, *, max_bytes: int = _MAX_PAST_BYTES) -> Iterator[PastFile]:
    """Every text that a commit of any branch wrote and the newest commit lacks, oldest first, each content once.

    Files over `max_bytes` and binary ones are left out.
    """
    present = {record.split(" ")[2].partition("\t")[0] for record in git.records("ls-tree", "-r", "-z", "HEAD")}
    places: dict[str, tuple[str, str]] = {}
    commit = ""
    for line in git.lines("log", "--all", "--reverse", "-m", "--raw", "--no-abbrev", "--no-renames", "--format=%H"):
        if not line.startswith(":"):
            commit = line or commit
            continue
        description, _, path = line.partition("\t")
        mode, digest = description.split(" ")[1], description.split(" ")[3]
        if mode in ("100644", "100755") and digest not in present:
            places.setdefault(digest, (path, commit))
    sizes = git.sizes(list(places))
    objects = Objects(git)
    try:
        for digest, (path, commit) in places.items():
            size = sizes.get(digest)
            if size is None or size > max_bytes:
                continue
            text = decode(objects.read(digest) or b"")
            if text is not None:
                yield PastFile(path, commit, text)
    finally:
        objects.close()
