"""Trains the recipe translation on Multi30k and writes BLEU over minutes.

    python benchmarks/translation/run.py --corpus ../shared/data/multi30k_en_de.tar --home /tmp/translation
    python benchmarks/translation/run.py --resume …the same arguments…     another sitting: goes on where it stopped
    python benchmarks/translation/run.py --protocol published …      for a GPU; `pip install --group benchmarks` first

`results/PROTOCOL.json` holds the curve of validation BLEU over minutes of training, all sittings together (drawn in
`PROTOCOL.png`), and BLEU of the bundle on test 2016. `raw`, the default, is raw text with sacreBLEU's own tokenizer,
and beside it the same translations ignoring case. `published` is that of Wu et al., Good for Misconceived Reasons, ACL
2021: text cut by Moses' tokenizer and lower-cased before everything else, 10,000 byte pairs, Transformer-Tiny, 8,000
updates of 4,096 tokens, the mean of the last ten checkpoints, five beams, BLEU of the words as they stand; only the
network's inside is T5's. The figures of the two are not comparable.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import tarfile
import threading
import time
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Protocol:
    """What is trained for how long, and whether on words cut and lower-cased beforehand."""

    epochs: int
    is_tokenized: bool
    overrides: tuple[str, ...]


SHARED = (
    "recipe=translation",
    "name=multi30k",
    "data.name=multi30k",
    "tracking=none",
    "model.width=128",
    "model.num_heads=4",
    "checkpoint.every_n_steps=100",
)
PROTOCOLS = {
    "raw": Protocol(20, is_tokenized=False, overrides=(*SHARED, "data.batch_size=1500", "model.feed_forward=512")),
    "published": Protocol(
        80,
        is_tokenized=True,
        overrides=(
            *SHARED,
            "data.batch_size=4096",
            "input.algorithm=bpe",
            "input.num_pieces=10000",
            "model.feed_forward=256",
            "model.encoder_layers=4",
            "model.decoder_layers=4",
            "model.dropout=0.3",
            "optimizer.lr=0.005",
            "scheduler=inverse_sqrt",
            "scheduler.warmup=0.25",
            "trainer.average_epochs=10",
            "task.beam_size=5",
        ),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="multi30k_en_de.tar")
    parser.add_argument("--home", type=Path, required=True, help="workspace")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="raw")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args()
    protocol = PROTOCOLS[given.protocol]
    workspace = Workspace(given.home)
    log = given.home / "sittings.json"
    sittings = json.loads(log.read_text()) if given.resume and log.exists() else []
    if not given.resume:
        snapshot(given.corpus, workspace, is_tokenized=protocol.is_tokenized)
    overrides = () if given.resume else (*protocol.overrides, f"trainer.max_epochs={given.epochs or protocol.epochs}")
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
    found = {**measured(run, workspace, is_tokenized=protocol.is_tokenized), "sittings": sittings}
    (RESULTS / f"{given.protocol}.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    plot([point for sitting in sittings for point in sitting["curve"]], RESULTS / f"{given.protocol}.png")
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


def snapshot(corpus: Path, workspace: Workspace, *, is_tokenized: bool) -> None:
    """The snapshot `multi30k`, with the splits that the archive brings."""
    folder = workspace.root / "raw"
    with tarfile.open(corpus) as archive:
        archive.extractall(folder, filter="data")
    if is_tokenized:
        tokenize(folder)
    options = Options(columns=Columns(input="en", target="de"), licence="CC BY-NC-SA 4.0")
    loopline.data.snapshot(
        f"parallel:{folder}", name="multi30k", task="translation", options=options, workspace=workspace
    )


def tokenize(folder: Path) -> None:
    """Cuts every file's lines into words as Moses does, and lower-cases them."""
    from sacremoses import MosesTokenizer  # type: ignore[import-not-found] # in no extra: only this protocol needs it

    for path in folder.glob("*.gz"):
        moses = MosesTokenizer(lang=path.suffixes[-2][1:])
        lines = gzip.decompress(path.read_bytes()).decode().splitlines()
        cut = [moses.tokenize(line.lower(), return_str=True, escape=False) for line in lines]
        path.write_bytes(gzip.compress("".join(f"{line}\n" for line in cut).encode()))


def measured(run: Run, workspace: Workspace, *, is_tokenized: bool) -> dict[str, object]:
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
        bleu, signature = corpus_bleu(texts, references, is_tokenized=is_tokenized)
        lowered, lowered_signature = corpus_bleu(texts, references, lowercase=True, is_tokenized=is_tokenized)
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
