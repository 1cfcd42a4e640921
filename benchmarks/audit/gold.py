"""How often the audit is right: its verdicts against hand-checked truth, per item, and against teams' own ticks.

    python benchmarks/audit/gold.py CORPUS.json FOLDER [--ticks] [--item ID] [--repository PART]

CORPUS.json holds labels of public repositories (`repos`, each with `repo`, `gold` and `checklist`). FOLDER holds them,
each as `OWNER+NAME/repo` or `NAME`; those that are not there are skipped. Precision and recall are those of "done".
`--ticks` compares with the ticks of every repository instead, which are noisy, and lists where they differ.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loopline.audit.checklist import ITEMS
from loopline.repository import Repository, open_repository


def main() -> None:
    """Prints a line for each difference, then each item's counts, then precision and recall."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ticks", action="store_true", help="Compare with ticks instead of hand-checked truth.")
    parser.add_argument("--item", action="append", help="Only this item; may be given several times.")
    parser.add_argument("--repository", default="", help="Only repositories with this in their name.")
    options = parser.parse_args()
    counts: dict[str, Counter[str]] = {}
    for labels in json.loads(options.corpus.read_text(encoding="utf-8"))["repos"]:
        truth = ticked(labels) if options.ticks else checked(labels)
        place = find(options.folder, labels["repo"])
        if not truth or place is None or options.repository not in labels["repo"]:
            continue
        for item, is_done, verdict, why in judged(open_repository(place), truth, options.item):
            kind = ("true" if is_done == (verdict == "done") else "false") + (
                " done" if verdict == "done" else " other"
            )
            counts.setdefault(item, Counter())[kind] += 1
            if kind.startswith("false"):
                print(f"{labels['repo']:50} {item:18} {truth[item]:12} {verdict:15} {why}")
    report(counts)


def checked(labels: dict[str, Any]) -> dict[str, str]:
    """The hand-checked truth of each item."""
    return {item: gold["truth"] for item, gold in (labels["gold"] or {}).items()}


def ticked(labels: dict[str, Any]) -> dict[str, str]:
    """What the team ticked, in the words of the truth."""
    items = (labels["checklist"] or {}).get("items", [])
    return {item["id"]: "done" if item["ticked"] else "not_done" for item in items}


def find(folder: Path, name: str) -> Path | None:
    """The repository's folder, however it is laid out."""
    owner, _, short = name.partition("/")
    places = (folder / f"{owner}+{short}" / "repo", folder / f"{owner}+{short}", folder / short)
    return next((place for place in places if place.is_dir()), None)


def judged(
    repository: Repository, truth: dict[str, str], wanted: list[str] | None
) -> Iterator[tuple[str, bool, str, str]]:
    """Each known item: whether it is truly done, the verdict, and the first evidence."""
    for rule in ITEMS:
        if rule.id in truth and rule.is_checkable and (wanted is None or rule.id in wanted):
            judgement = rule.check(repository)
            first = judgement.evidence[0] if judgement.evidence else None
            why = "" if first is None else f"{first.path or ''}:{first.line or ''} {first.sentence}"
            yield rule.id, truth[rule.id] == "done", judgement.verdict, why


def report(counts: dict[str, Counter[str]]) -> None:
    """Counts of each item, and precision and recall over all."""
    total = sum(counts.values(), Counter[str]())
    print(f"\n{'item':18} {'done, right':>12} {'done, wrong':>12} {'missed':>8} {'other, right':>13}")
    for item, kinds in [*counts.items(), ("all", total)]:
        print(
            f"{item:18} {kinds['true done']:12} {kinds['false done']:12} {kinds['false other']:8} "
            f"{kinds['true other']:13}"
        )
    for name, wrong in (("precision", total["false done"]), ("recall", total["false other"])):
        right = total["true done"]
        print(f"{name}: {right / max(right + wrong, 1):.3f}")


if __name__ == "__main__":
    main()
