"""From a bundle's folder to the predictor of its task."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from loopline.bundle import read_bundle
from loopline.core.errors import EXTRA_OF_PACKAGE, MissingExtra, StateError, UnknownName
from loopline.core.records import ModelBundle
from loopline.core.tables import resolve
from loopline.predictor.answer import PredictorLike
from loopline.predictor.engine import allowed_engines

PREDICTORS = {
    "classification": "loopline.predictor.predictor:Predictor",
    "regression": "loopline.predictor.predictor:Predictor",
    "translation": "loopline.predictor.translation:TranslationPredictor",
}


def open_predictor(
    folder: Path, *, num_threads: int = 0, engine: str | None = None, verify: bool = True
) -> PredictorLike:
    """Opens the bundle in `folder`: checks every byte, loads its graphs, and predicts the raw reference inputs.

    `num_threads` is the engine's (0: one per core), `engine` another one than the bundle's own. Raises `IntegrityError`
    for a changed bundle, `SkewError` for one that does not reproduce its reference predictions, `StateError` for an
    engine that is too old, `UnknownName` for one that does not read this bundle.
    """
    bundle = read_bundle(folder)
    own = bundle.runtime.engine
    if engine is not None and engine not in allowed_engines(bundle):
        raise UnknownName("engine", engine, allowed_engines(bundle), of=f"bundle '{bundle.name}'")
    if engine in (None, own):
        _check_runtime(bundle)
    # Only where there is a choice; a task's own predictor may have none.
    chosen = {} if engine in (None, own) else {"engine": engine}
    predictor: PredictorLike = resolve(PREDICTORS, bundle.task, kind="task").open(
        folder, bundle, num_threads=num_threads, **chosen
    )
    if verify:
        predictor.verify()
    return predictor


def _check_runtime(bundle: ModelBundle) -> None:
    engine, least = bundle.runtime.engine, bundle.runtime.minimum_version
    try:
        installed = version(engine)
    except PackageNotFoundError:
        raise MissingExtra(engine, EXTRA_OF_PACKAGE.get(engine, "serve")) from None
    if _numbers(installed) < _numbers(least):
        raise StateError(
            f"{engine} {installed} is installed; this bundle expects {least} or newer.",
            next_command=f"pip install '{engine}>={least}'",
        )


def _numbers(text: str) -> tuple[int, ...]:
    """`1.22.0` as numbers that compare; what follows the third is a build's own affair."""
    return tuple(int(part) for part in text.split(".")[:3] if part.isdigit())
