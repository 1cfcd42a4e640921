"""How much faster `loopline optimize` makes the classifier of clothing photos, and what that costs on the test split.

    python benchmarks/optimize/run.py --photos clothing_photos.tar
    python benchmarks/optimize/run.py --home WORKSPACE --bundle clothing-b3d15509e914

The first trains the recipe `food` on the photos (half an hour on one core) and exports it; the second takes a
bundle that is there, with its run and its data. Then all recipes are tried at a gate of 0.5 points on the validation
split, and the chosen bundle is judged beside its parent on the test split, where there is one: it chose nothing. Writes
`results/latest.json` and the plot. Goal: at least 2.2 times the float32 throughput at a drop of at most 0.5 points.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import loopline
from loopline import loop
from loopline.bundle import find_bundle, read_bundle
from loopline.core.records import ModelBundle, Optimization
from loopline.core.workspace import Workspace
from loopline.delivery import optimization_folder, optimize
from loopline.optimization import OptimizeSettings
from loopline.optimization.page import COLUMNS, rows
from loopline.subjects.references import open_dataset

RESULTS = Path(__file__).parent / "results"
GOAL_SPEEDUP, MAX_DROP = 2.2, 0.5
TEST = "test"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="archive or folder of the photos, to train on")
    parser.add_argument("--home", type=Path, help="workspace folder (default as the command's)")
    parser.add_argument("--bundle", default="latest", help="the bundle to optimize, without --photos (default latest)")
    parser.add_argument("--recipes", default="", help="only these, by comma (default all)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds in which speeds are compared (default 7)")
    options = parser.parse_args()
    workspace = Workspace(options.home) if options.home else Workspace.default()
    parent = (
        trained(options.photos, workspace) if options.photos else read_bundle(find_bundle(options.bundle, workspace))
    )
    recipes = tuple(filter(None, options.recipes.split(",")))
    settings = OptimizeSettings(max_drop=MAX_DROP, recipes=recipes, rounds=options.rounds)
    found = optimize(parent, settings, workspace=workspace)
    show(found)
    test = on_test(parent, found, workspace)
    RESULTS.mkdir(exist_ok=True)
    record = {"optimization": found.model_dump(mode="json"), "test": test}
    (RESULTS / "latest.json").write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    shutil.copyfile(optimization_folder(found, workspace) / "tradeoff.png", RESULTS / "tradeoff.png")
    return 0 if reached(found) else 1


def trained(photos: Path, workspace: Workspace) -> ModelBundle:
    """The recipe `food` on the photos, exported."""
    if photos.suffix == ".tar":
        folder = Path(tempfile.mkdtemp(prefix="photos-"))
        shutil.unpack_archive(photos, folder, filter="data")
        photos = folder
    loopline.data.snapshot(photos, name="clothing", workspace=workspace)
    run = loop.train(["recipe=food", "data.name=clothing"], workspace=workspace)
    return loop.export(run, name="clothing", workspace=workspace)


def show(found: Optimization) -> None:
    """Every candidate on a line."""
    print(f"{found.name} on {found.machine}, {found.num_examples} examples of split {found.split}\n")
    cells = [COLUMNS, *rows(found)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(COLUMNS))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for candidate in found.candidates:
        if candidate.status != "measured":
            print(f"{candidate.recipe}: {candidate.status}: {candidate.note}")


def on_test(parent: ModelBundle, found: Optimization, workspace: Workspace) -> dict[str, float] | None:
    """Accuracy of both on the test split, which had no part in the choice; None where the data have no such split."""
    if TEST not in open_dataset(parent.dataset, workspace).manifest.splits:
        print(f"\nthe data have no split '{TEST}': whether the choice holds beyond {found.split} is not known")
        return None
    bundles = {"parent": parent.digest, "chosen": found.bundle or parent.digest}
    test = {
        name: loop.evaluate(str(find_bundle(digest, workspace)), workspace=workspace).metrics["accuracy"].value
        for name, digest in bundles.items()
    }
    print(f"\ntest split: parent {test['parent']:.4f}, '{found.chosen}' {test['chosen']:.4f}")
    return test


def reached(found: Optimization) -> bool:
    """True where the goal is reached, which is printed."""
    chosen = next(each for each in found.candidates if each.recipe == found.chosen)
    speedup = chosen.speed.speedup if chosen.speed else 0.0
    verdict = "reached" if speedup >= GOAL_SPEEDUP else "not reached"
    print(f"goal: {GOAL_SPEEDUP} times at {MAX_DROP} points: {verdict} with {speedup:.2f} times at {chosen.drop:.2f}")
    return speedup >= GOAL_SPEEDUP


if __name__ == "__main__":
    sys.exit(main())
