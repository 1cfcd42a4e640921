"""Trains the recipe translation on Multi30k and writes BLEU on raw text over minutes.

    python benchmarks/translation/run.py --corpus ../shared/data/multi30k_en_de.tar --home /tmp/translation
    python benchmarks/translation/run.py --resume …the same arguments…     another sitting: goes on where it stopped

`results/raw.json` holds the curve of validation BLEU over minutes of training, all sittings together (drawn in
`bleu_over_minutes.png`), and BLEU of the bundle on test 2016: raw text with sacreBLEU's own tokenizer, and beside it
the same translations ignoring case. The figure of Wu et al., 2021, is of tokenised, lower-cased text with another
vocabulary: not comparable to either.
"""

from __future__ import annotations

import argparse
import json
import os
import tarfile
import threading
import time
from pathlib import Path

from matplotlib.figure import Figure

import loopline.data
from loopline import loop
from loopline.bundle import folder_name
from loopline.core.records import Run
from loopline.core.workspace import Workspace
from loopline.data import Columns, Options
from loopline.predictor.translation import TranslationPredictor
from loopline.runs import find_run
from loopline.snapshots import open_snapshot
from loopline.text_metrics import corpus_bleu, corpus_chrf

RESULTS = Path(__file__).parent / "results"
OVERRIDES = (
    "recipe=translation",
    "name=multi30k",
    "data.name=multi30k",
    "tracking=none",
    "data.batch_size=1500",
    "model.width=128",
    "model.num_heads=4",
    "model.feed_forward=512",
    "checkpoint.every_n_steps=100",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="multi30k_en_de.tar")
    parser.add_argument("--home", type=Path, required=True, help="workspace")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args()
    workspace = Workspace(given.home)
    log = given.home / "sittings.json"
    sittings = json.loads(log.read_text()) if given.resume and log.exists() else []
    if not given.resume:
        snapshot(given.corpus, workspace)
    overrides = () if given.resume else (*OVERRIDES, f"trainer.max_epochs={given.epochs}")
    resume = find_run("latest", workspace).run_id if given.resume else None
    watch = Watch(workspace, before=sum(sitting["minutes"] for sitting in sittings))
    watch.start()
    cpu = os.times()
    try:
        run = loop.train(overrides, resume=resume, workspace=workspace)
    finally:
        watch.ended.set()
        watch.join()
        used = os.times()
        cpu_minutes = (used.user + used.system - cpu.user - cpu.system) / 60
        sittings.append({"minutes": watch.minutes - watch.before, "cpu_minutes": cpu_minutes, "curve": watch.curve})
        log.write_text(json.dumps(sittings))
    RESULTS.mkdir(exist_ok=True)
    found = {**measured(run, workspace), "sittings": sittings}
    (RESULTS / "raw.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    plot([point for sitting in sittings for point in sitting["curve"]], RESULTS / "bleu_over_minutes.png")
    print(json.dumps({key: value for key, value in found.items() if key != "sittings"}, indent=2))


class Watch(threading.Thread):
    """Notes at which minute of training each epoch's figures came."""

    def __init__(self, workspace: Workspace, *, before: float) -> None:
        super().__init__(daemon=True)
        self.before = before
        self.ended = threading.Event()
        self.curve: list[dict[str, float]] = []
        self._runs = workspace.runs
        self._start = time.monotonic()
        self._begun = time.time()

    @property
    def minutes(self) -> float:
        """Minutes of training so far, those of earlier sittings included."""
        return self.before + (time.monotonic() - self._start) / 60

    def run(self) -> None:
        while not self.ended.wait(1.0):
            files = [path for path in self._runs.glob("*/metrics.jsonl") if path.stat().st_mtime > self._begun]
            # The last line may be half written.
            lines = files[0].read_text(encoding="utf-8").split("\n")[:-1] if files else []
            points = [json.loads(line) for line in lines if "validation/bleu" in line]
            known = {point["step"] for point in self.curve}
            if points and points[-1]["step"] not in known:
                self.curve.append({"minutes": self.minutes, **points[-1]})


def snapshot(corpus: Path, workspace: Workspace) -> None:
    """The snapshot `multi30k`, with the splits that the archive brings."""
    folder = workspace.root / "raw"
    with tarfile.open(corpus) as archive:
        archive.extractall(folder, filter="data")
    options = Options(columns=Columns(input="en", target="de"), licence="CC BY-NC-SA 4.0")
    loopline.data.snapshot(
        f"parallel:{folder}", name="multi30k", task="translation", options=options, workspace=workspace
    )


def measured(run: Run, workspace: Workspace) -> dict[str, object]:
    """BLEU and chrF of both graphs of the bundle on test 2016, with the signatures and the sentences per second."""
    bundle = loop.export(run, name="multi30k", workspace=workspace)
    test = open_snapshot("multi30k", workspace).split("test")
    raws, references = test.raw_many(range(len(test))), [str(text) for text in test.targets]
    found: dict[str, object] = {"run": run.run_id, "steps": run.num_steps, "bundle": dict(bundle.metrics)}
    folder = workspace.bundles / folder_name(bundle)
    for role in ("float32", "int8"):
        if role not in bundle.graphs:
            continue
        predictor = TranslationPredictor.open(folder, bundle, role=role)
        start = time.perf_counter()
        texts = [answer.text for answer in predictor.predict_raw(raws)]
        seconds = time.perf_counter() - start
        bleu, signature = corpus_bleu(texts, references)
        lowered, lowered_signature = corpus_bleu(texts, references, lowercase=True)
        found[role] = {
            "bleu": bleu,
            "signature": signature,
            "chrf": corpus_chrf(texts, references)[0],
            "bleu_lowercase": lowered,
            "signature_lowercase": lowered_signature,
            "sentences_per_s": len(texts) / seconds,
        }
    return found


def plot(curve: list[dict[str, float]], path: Path) -> None:
    """BLEU of the validation split over the minutes of training."""
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([point["minutes"] for point in curve], [point["validation/bleu"] for point in curve], marker="o")
    axes.set(xlabel="minutes of training", ylabel="BLEU on validation, one beam", xlim=(0, None), ylim=(0, None))
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
