"""`optimize`: tries the recipes on a bundle, measures what comes out, and keeps the fastest that loses little."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from loopline.bundle import read_file
from loopline.core.errors import GateRefused, LooplineError, MissingExtra, StateError, UnknownName
from loopline.core.records import Candidate, Derivation, Optimization, PairedComparison, Speed, utc_now
from loopline.core.tables import load
from loopline.optimization.measuring import measure_speeds
from loopline.optimization.workbench import Draft, OptimizeSettings, Result, Workbench
from loopline.predictor import Predicted, Predictor, PredictorLike, open_predictor
from loopline.predictor.choosing import choose_engine

PARENT = "as-it-is"
# Recipes by name. Those that change the network come first; those that round its numbers are tried on all that the gate
# let through; compiled ones are measured only. Recipes of one network, then those of a translator.
RECIPES = {
    "fusion": "loopline.optimization.fusion:fuse",
    "fast-decode": "loopline.optimization.decoding:decode_faster",
    "input-86": "loopline.optimization.shrinking:shrink_to_86",
    "input-71": "loopline.optimization.shrinking:shrink_to_71",
    "pruned": "loopline.optimization.smaller_networks:prune",
    "distilled": "loopline.optimization.smaller_networks:distil",
    "int8": "loopline.optimization.quantization:quantize",
    "int8-mixed": "loopline.optimization.quantization:quantize_mixed",
    "float16": "loopline.optimization.halving:halve",
    "bfloat16": "loopline.optimization.halving:halve_exponents_kept",
    "torch-compile": "loopline.optimization.compiling:compile_lazily",
    "torch-aot": "loopline.optimization.compiling:compile_ahead",
    "ctranslate2-int8": "loopline.optimization.translating:requantize",
}
_SHRUNK = ("input-86", "input-71")
_LEARNT = ("pruned", "distilled")
_ROUNDED = ("int8", "int8-mixed", "float16", "bfloat16")
_COMPILED = ("torch-compile", "torch-aot")
_OF_A_TRANSLATOR = ("ctranslate2-int8",)
# Raw examples that speeds are measured on, over and over.
_NUM_MEASURED = 64
_ENGINE_TRIAL_S = 0.3


@dataclass
class _Tried:
    """A candidate on its way: what was made, and what it answers."""

    name: str
    note: str
    # Other than `measured` where nothing was made.
    status: Literal["measured", "skipped", "failed"] = "measured"
    engine: str | None = None
    prepare_s: float = 0.0
    draft: Draft | None = None
    predictor: PredictorLike | None = None
    predicted: Predicted | None = None
    comparison: PairedComparison | None = None
    score: float | None = None

    def is_within(self, max_drop: float) -> bool:
        """Whether it loses at most so much."""
        return self.comparison is not None and -self.comparison.in_points(self.comparison.difference) <= max_drop

    def candidate(self, speeds: Mapping[str, Speed], *, max_drop: float) -> Candidate:
        """The record, with the speed that was measured last."""
        files = {} if self.predictor is None else self.predictor.bundle.files
        return Candidate(
            recipe=self.name,
            status=self.status,
            note=self.note,
            fits_bundle=not self.name.startswith(_COMPILED),
            engine=self.engine,
            num_bytes=sum(entry.num_bytes for path, entry in files.items() if _is_of_graph(path)) if files else None,
            score=self.score,
            comparison=self.comparison,
            speed=speeds.get(self.name),
            is_allowed=self.is_within(max_drop),
            prepare_s=self.prepare_s,
        )


@dataclass
class _Trial:
    """One `optimize`: the bench, what is allowed, and the candidates so far."""

    bench: Workbench
    settings: OptimizeSettings
    # Where bundles lie that are only to be measured.
    folder: Path
    tried: list[_Tried] = field(default_factory=list)

    def wanted(self, names: tuple[str, ...]) -> Iterator[str]:
        """Those of the recipes that the settings ask for."""
        yield from (name for name in names if not self.settings.recipes or name in self.settings.recipes)

    def attempt_all(self, recipes: tuple[str, ...], base: Draft) -> list[Draft]:
        """Those drafts of the recipes, as far as the settings ask for them, that the gate lets through."""
        drafts = [self.attempt(recipe, base) for recipe in self.wanted(recipes)]
        return [draft for draft in drafts if draft is not None]

    def attempt(self, recipe: str, base: Draft) -> Draft | None:
        """Makes a draft and judges it; returns it where the gate lets it through."""
        start = time.perf_counter()
        name = "-then-".join((*base.recipes, recipe))
        try:
            draft: Draft = load(RECIPES[recipe])(base, self.bench, self.settings)
            folder = self.bench.seal(draft, self.folder)
            # A graph in whole numbers is the faster in one engine here, and in another one there.
            trial_s = min(_ENGINE_TRIAL_S, self.settings.round_s)
            choice = choose_engine(folder, num_threads=1, seconds=trial_s)
            draft = replace(draft, engine=choice.engine)
            predictor = open_predictor(folder, num_threads=1, engine=choice.engine)
        except LooplineError as error:
            self.leave_out(name, error)
            return None
        tried = _Tried(name, draft.note, engine=draft.engine, prepare_s=time.perf_counter() - start, draft=draft)
        self.judge(tried, predictor)
        return draft if tried.is_within(self.settings.max_drop) else None

    def judge(self, tried: _Tried, predictor: PredictorLike) -> None:
        """Adds what the predictor answers to the whole split, against the parent."""
        tried.predictor = predictor
        tried.predicted = self.bench.predict(predictor)
        tried.comparison = self.bench.compare(tried.predicted)
        tried.score = self.bench.score(tried.predicted)
        tried.engine = tried.engine or predictor.bundle.runtime.engine
        self.tried.append(tried)

    def leave_out(self, name: str, error: LooplineError) -> None:
        """Notes why a recipe gave nothing: it does not apply here, or it failed."""
        is_no_failure = isinstance(error, StateError | MissingExtra)
        self.tried.append(_Tried(name, str(error), status="skipped" if is_no_failure else "failed"))


def optimize(bench: Workbench, settings: OptimizeSettings, *, bundles: Path) -> Optimization:
    """Tries every recipe that the settings ask for, measures all, and writes the chosen one as a bundle into `bundles`.

    Accuracy is that of the whole split, paired with the parent's; the gate looks at the drop itself, because the
    interval of some hundred examples is wider than any gate. The fastest of those that lose at most `max_drop` is
    chosen, where it is more than `min_speedup` times as fast as the parent. Raises `UnknownName` for a recipe.
    """
    unknown = [name for name in settings.recipes if name not in RECIPES]
    if unknown:
        raise UnknownName("recipe", unknown[0], RECIPES)
    with tempfile.TemporaryDirectory() as folder:
        trial = _Trial(bench, settings, Path(folder))
        trial.judge(_Tried(PARENT, "the bundle that was given"), bench.parent)
        if isinstance(bench.parent, Predictor):
            _try_graphs(trial, bench.parent)
        else:
            _try_translators(trial)
        speeds = _measured(trial)
        candidates = _with_front([each.candidate(speeds, max_drop=settings.max_drop) for each in trial.tried])
        chosen = choose(candidates, min_speedup=settings.min_speedup)
        digest = None if chosen is None else _write(trial, chosen, bundles)
    bundle = bench.parent.bundle
    comparison = candidates[0].comparison
    if comparison is None:
        raise AssertionError("the parent was compared with itself")
    return Optimization(
        name=bundle.name,
        parent=bundle.digest,
        dataset=bundle.dataset,
        split=bench.split,
        num_examples=comparison.num_examples,
        max_drop=settings.max_drop,
        candidates=tuple(candidates),
        chosen=None if chosen is None else chosen.recipe,
        bundle=digest,
        machine=machine(),
        num_threads=settings.threads,
        created_at=utc_now(),
    )


def choose(candidates: Sequence[Candidate], *, min_speedup: float) -> Candidate | None:
    """The fastest that is allowed, can travel in a bundle and is fast enough; the first is the parent."""
    able = [each for each in candidates[1:] if each.is_allowed and each.fits_bundle and _speedup(each) > min_speedup]
    return max(able, key=_speedup, default=None)


def refusal(optimization: Optimization) -> GateRefused:
    """Why nothing was chosen, with the candidate that came closest."""
    measured = [each for each in optimization.candidates[1:] if each.status == "measured" and each.fits_bundle]
    if not measured:
        words = "no recipe applies to it"
        words += "".join(f"; '{each.recipe}' {each.status}: {each.note}" for each in optimization.candidates[1:2])
    else:
        closest = min(measured, key=lambda each: (each.drop, -_speedup(each)))
        words = f"the closest, '{closest.recipe}', loses {closest.drop:+.2f} at {_speedup(closest):.2f} times the speed"
    return GateRefused(
        f"bundle '{optimization.name}' has no faster form that loses at most {optimization.max_drop:g}: {words}.",
        next_command=f"loopline optimize {optimization.parent[:12]} --max-drop {2 * optimization.max_drop or 1:g}",
    )


def machine() -> str:
    """This machine in words: its processor and how many there are."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{next(iter(names), platform.processor() or platform.machine())}, {os.cpu_count()} cores"


def _try_graphs(trial: _Trial, parent: Predictor) -> None:
    start = Draft(recipes=(), graph=_float32_graph(parent), preprocess=parent.bundle.preprocess)
    trial.attempt_all(("fusion",), start)
    (base,) = trial.attempt_all(("fast-decode",), start) or (start,)
    shrunk = trial.attempt_all(_SHRUNK, base)
    # What learns starts from the smallest input that is still good enough: it learns that much faster.
    learnt = trial.attempt_all(_LEARNT, (base, *shrunk)[-1])
    for draft in (base, *shrunk, *learnt):
        trial.attempt_all(_ROUNDED, draft)
    for recipe in trial.wanted(_COMPILED):
        began = time.perf_counter()
        try:
            predictor = load(RECIPES[recipe])(trial.bench)
        except LooplineError as error:
            trial.leave_out(recipe, error)
            continue
        tried = _Tried(recipe, "measured only", engine="torch", prepare_s=time.perf_counter() - began)
        trial.judge(tried, predictor)


def _float32_graph(parent: Predictor) -> bytes:
    """What recipes start from; raises `StateError` where the bundle holds none, because it was optimized already."""
    path = parent.bundle.graphs.get("float32")
    if path is None:
        raise StateError(
            f"bundle '{parent.folder}' holds no float32 graph that recipes could start from.",
            next_command=f"loopline optimize {(parent.bundle.parent or 'BUNDLE')[:12]}",
        )
    return read_file(parent.folder, parent.bundle, path)


def _try_translators(trial: _Trial) -> None:
    for recipe in trial.wanted(_OF_A_TRANSLATOR):
        began = time.perf_counter()
        try:
            predictor = open_predictor(load(RECIPES[recipe])(trial.bench, trial.folder), num_threads=1)
        except LooplineError as error:
            trial.leave_out(recipe, error)
            continue
        trial.judge(_Tried(recipe, "weights of 8 bits", prepare_s=time.perf_counter() - began), predictor)


def _measured(trial: _Trial) -> dict[str, Speed]:
    return measure_speeds(
        {tried.name: tried.predictor for tried in trial.tried if tried.predictor is not None},
        trial.bench.raws(_NUM_MEASURED),
        rounds=trial.settings.rounds,
        round_s=trial.settings.round_s,
        num_threads=trial.settings.threads,
    )


def _with_front(candidates: list[Candidate]) -> list[Candidate]:
    """The candidates, with those marked that no other beats in both accuracy and speed."""
    measured = [each for each in candidates if each.status == "measured"]

    def is_beaten(one: Candidate) -> bool:
        return any(
            other.drop <= one.drop
            and _speedup(other) >= _speedup(one)
            and (other.drop, _speedup(other)) != (one.drop, _speedup(one))
            for other in measured
        )

    return [
        each.model_copy(update={"is_pareto": each.status == "measured" and not is_beaten(each)}) for each in candidates
    ]


def _write(trial: _Trial, chosen: Candidate, bundles: Path) -> str:
    tried = next(each for each in trial.tried if each.name == chosen.recipe)
    if chosen.comparison is None or chosen.score is None or tried.predicted is None:
        raise AssertionError("what was chosen was measured")
    derivation = Derivation(
        recipe=chosen.recipe,
        split=trial.bench.split,
        comparison=chosen.comparison,
        max_drop=trial.settings.max_drop,
        speedup=_speedup(chosen),
        machine=machine(),
    )
    result = Result(derivation, chosen.score, tried.predicted)
    if tried.draft is None:
        folder = trial.bench.requantize(bundles, result=result)
    else:
        folder = trial.bench.seal(tried.draft, bundles, result=result)
    return open_predictor(folder).bundle.digest


def _speedup(candidate: Candidate) -> float:
    return 0.0 if candidate.speed is None else candidate.speed.speedup


def _is_of_graph(path: str) -> bool:
    """True for the files of a bundle that an engine opens."""
    return path.endswith((".onnx", ".bin"))
