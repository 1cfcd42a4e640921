"""A real classifier of digits made faster: every recipe, the gate, the new bundle, and what the report says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import loopline
from loopline import loop
from loopline.bundle import find_bundle, folder_name, read_bundle
from loopline.cli.entry import main
from loopline.core.errors import GateRefused, StateError, UnknownName
from loopline.core.records import ModelBundle, Optimization
from loopline.core.store import read_record
from loopline.core.workspace import Workspace
from loopline.delivery import optimization_folder, optimize
from loopline.optimization import OptimizeSettings
from loopline.optimization.shrinking import smaller_steps
from loopline.optimization.smaller_networks import student_config
from loopline.predictor import open_predictor
from loopline.predictor.engine import allowed_engines
from loopline.transforms import image_steps

# What is faster on a busy machine in some milliseconds is chance: anything is fast enough.
QUICK = {"min_speedup": 0.0, "rounds": 1, "round_s": 0.02, "num_calibration": 16, "epochs": 1, "student_epochs": 1}
WITHOUT_A_COMPILER = ("fusion", "input-71", "pruned", "distilled", "int8", "int8-mixed", "float16")
TRAINING = (
    "recipe=fashion",
    "data.name=digits",
    "tracking=none",
    "input.height=16",
    "input.width=16",
    "data.augment.flip=false",
    "model.width=16",
    "trainer.max_epochs=8",
    "data.batch_size=32",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, digits_folder: Path) -> Workspace:
    """A workspace with a trained classifier of digits and its bundle."""
    place = Workspace(tmp_path_factory.mktemp("optimized") / "workspace")
    loopline.data.snapshot(digits_folder, name="digits", workspace=place)
    loop.export(loop.train(TRAINING, workspace=place), name="digits", workspace=place)
    return place


@pytest.fixture(scope="module")
def parent(place: Workspace) -> ModelBundle:
    """The bundle as it was exported."""
    return read_bundle(next(place.bundles.glob("digits-*")))


@pytest.fixture(scope="module")
def optimized(place: Workspace, parent: ModelBundle) -> Optimization:
    """All recipes but the compiled ones, each allowed whatever it loses."""
    settings = OptimizeSettings(max_drop=100, recipes=WITHOUT_A_COMPILER, **QUICK)
    return optimize(parent, settings, workspace=place)


def test_every_recipe_was_tried(optimized: Optimization) -> None:
    """Each has a row, alone and, where it rounds numbers, after those that change the network."""
    found = {candidate.recipe: candidate for candidate in optimized.candidates}
    assert optimized.candidates[0].recipe == "as-it-is"
    assert optimized.candidates[0].drop == 0
    measured = {name for name, candidate in found.items() if candidate.status == "measured"}
    smallest = "input-71"
    assert measured >= {smallest, "int8", "int8-mixed", f"{smallest}-then-int8"}
    # What learns starts from the smallest input, and is rounded afterwards.
    assert measured >= {f"{smallest}-then-{recipe}" for recipe in ("pruned", "distilled", "pruned-then-int8")}
    assert not [each for each in optimized.candidates if each.status == "failed"]
    sizes = {name: candidate.num_bytes or 0 for name, candidate in found.items()}
    assert sizes["int8"] < 0.5 * sizes["as-it-is"]
    assert any(candidate.is_pareto for candidate in optimized.candidates)


def test_notes_say_what_was_done(optimized: Optimization) -> None:
    """How many layers, which stayed in float32, how large the input is, how many weights are left."""
    notes = {candidate.recipe: candidate.note for candidate in optimized.candidates}
    assert "layers in int8, ranges from 16 training examples" in notes["int8"]
    assert "in float32: " in notes["int8-mixed"]
    assert notes["input-71"] == "input 1 × 12 × 12"
    assert "of the weights, 1 epochs to a loss of" in notes["input-71-then-pruned"]
    assert "width 8" in notes["input-71-then-distilled"]


def test_the_new_bundle_tells_where_it_comes_from(
    optimized: Optimization, parent: ModelBundle, place: Workspace
) -> None:
    """Its parent, its recipe, the paired comparison; every claim of it holds, parity with the parent among them."""
    bundle = read_bundle(find_bundle(optimized.bundle or "", place))
    assert bundle.parent == parent.digest
    assert bundle.derivation is not None
    assert bundle.derivation.recipe == optimized.chosen
    assert bundle.derivation.comparison.num_examples == optimized.num_examples
    assert bundle.metrics.keys() == {"validation/accuracy"}
    checks = loop.verify_bundle(bundle, workspace=place)
    assert all(check.passed for check in checks), checks
    assert f"its parent {parent.digest[:12]}" in checks[-1].found
    evaluation = loop.evaluate(bundle, split="validation", workspace=place)
    assert evaluation.metrics["accuracy"].value == pytest.approx(bundle.metrics["validation/accuracy"])
    card = (place.bundles / folder_name(bundle) / "card.md").read_text(encoding="utf-8")
    assert f"bundle `{parent.digest[:12]}`" in card


def test_what_was_optimized_starts_from_its_parent(place: Workspace, parent: ModelBundle, tmp_path: Path) -> None:
    """An int8 graph is no beginning; a float32 one is."""

    def optimized_by(recipe: str, of: ModelBundle) -> ModelBundle:
        settings = OptimizeSettings(max_drop=100, recipes=(recipe,), **QUICK)
        found = optimize(of, settings, output=tmp_path, workspace=place)
        return read_bundle(find_bundle(found.bundle or "", place))

    decoded, rounded = optimized_by("fast-decode", parent), optimized_by("int8", parent)
    assert optimized_by("input-71", decoded).parent == decoded.digest
    with pytest.raises(StateError, match="holds no float32 graph") as refused:
        optimized_by("input-71", rounded)
    assert refused.value.next_command == f"loopline optimize {parent.digest[:12]}"


def test_the_report_is_written(optimized: Optimization, place: Workspace) -> None:
    """The record, the plot, and a page with a row per candidate."""
    folder = optimization_folder(optimized, place)
    assert read_record(Optimization, folder / "optimization.json").parent == optimized.parent
    page = (folder / "optimization.html").read_text(encoding="utf-8")
    for candidate in optimized.candidates:
        assert candidate.recipe in page
    assert 'src="data:image/png;base64,' in page


def test_the_gate_refuses(place: Workspace, parent: ModelBundle, capsys: pytest.CaptureFixture[str]) -> None:
    """A network that learnt for one epoch loses more than nothing; the report is there all the same."""
    words = ["--recipes", "distilled", "--student", "width=2", "--student-epochs", "1", "--max-drop", "0"]
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(place.root), "optimize", parent.digest[:12], *words, "--rounds", "1"])
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert "has no faster form that loses at most 0: the closest, 'distilled', loses +" in error
    assert "--max-drop 1" in error


def test_the_command_prints_the_table(
    place: Workspace, parent: ModelBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row per candidate, where the page is, and the command to type next."""
    words = ["--recipes", "input-71", "--max-drop", "100", "--min-speedup", "0", "--rounds", "1"]
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(place.root), "optimize", parent.digest[:12], *words, "--output", str(tmp_path / "report")])
    assert ended.value.code in (0, None)
    printed = capsys.readouterr().out
    assert "input-71" in printed
    assert "next: loopline register" in printed
    assert (tmp_path / "report" / "optimization.html").exists()


def test_pictures_are_decoded_no_larger_than_needed(place: Workspace, parent: ModelBundle) -> None:
    """The same graph behind a quicker preprocess, which is the new bundle's own."""
    found = optimize(parent, OptimizeSettings(max_drop=100, recipes=("fast-decode",), **QUICK), workspace=place)
    bundle = read_bundle(find_bundle(found.bundle or "", place))
    decode, resize, *_ = bundle.preprocess
    assert decode.params["shrink_to"] == [16, 16]
    assert resize.params["kernel"] == "simd"
    assert bundle.files["graph.onnx"] == parent.files["graph.onnx"]


def test_an_unknown_recipe_is_told(place: Workspace, parent: ModelBundle) -> None:
    """With those that there are."""
    with pytest.raises(UnknownName, match="Did you mean 'int8'"):
        optimize(parent, OptimizeSettings(recipes=("int9",)), workspace=place)


def test_float16_needs_its_instructions(place: Workspace, parent: ModelBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Skipped where the processor has none; measured where it says that it has."""
    settings = OptimizeSettings(max_drop=100, recipes=("float16",), **QUICK)
    monkeypatch.setattr("loopline.optimization.halving.processor_flags", frozenset)
    with pytest.raises(GateRefused, match="no recipe applies to it"):
        optimize(parent, settings, workspace=place)
    monkeypatch.setattr("loopline.optimization.halving.processor_flags", lambda: frozenset({"avx512_fp16"}))
    found = optimize(parent, settings, workspace=place)
    assert found.candidates[-1].num_bytes == pytest.approx(0.5 * (found.candidates[0].num_bytes or 0), rel=0.2)
    assert read_bundle(find_bundle(found.bundle or "", place)).graphs.keys() == {"float16"}


def test_bfloat16_is_the_engines_doing(place: Workspace, parent: ModelBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle says that OpenVINO computes it so, and no other engine opens it."""
    pytest.importorskip("openvino")
    settings = OptimizeSettings(max_drop=100, recipes=("bfloat16",), **QUICK)
    monkeypatch.setattr("loopline.optimization.halving.processor_flags", lambda: frozenset({"amx_bf16"}))
    found = optimize(parent, settings, workspace=place)
    folder = find_bundle(found.bundle or "", place)
    bundle = read_bundle(folder)
    assert (bundle.runtime.engine, set(bundle.graphs)) == ("openvino", {"bfloat16"})
    assert allowed_engines(bundle) == ("openvino",)
    with pytest.raises(UnknownName, match="it has: openvino"):
        open_predictor(folder, engine="onnxruntime")


@pytest.mark.slow
# PyTorch's compiler uses what PyTorch advises against.
@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*treespec, LeafSpec.* is deprecated:FutureWarning")
@pytest.mark.parametrize("recipe", ["torch-compile", "torch-aot"])
def test_compiled_networks_are_measured_only(place: Workspace, parent: ModelBundle, recipe: str) -> None:
    """They answer as the bundle does, and travel in none."""
    with pytest.raises(GateRefused, match="no recipe applies to it"):
        optimize(parent, OptimizeSettings(recipes=(recipe,), **QUICK), workspace=place)
    record = place.reports / f"optimization-{parent.digest[:12]}" / "optimization.json"
    compiled = read_record(Optimization, record).candidates[-1]
    assert (compiled.recipe, compiled.status, compiled.engine) == (recipe, "measured", "torch")
    assert compiled.drop == 0


def test_sizes_are_scaled_and_nothing_else() -> None:
    """Heights and widths, to multiples of four; normalization stays."""
    steps = image_steps(height=224, width=160, mode="RGB", mean=[0.5] * 3, std=[0.5] * 3)
    smaller = smaller_steps(steps, 5 / 7)
    assert (smaller[1].params["height"], smaller[1].params["width"]) == (160, 116)
    assert (smaller[0], smaller[2]) == (steps[0], steps[2])


def test_a_student_is_half_as_wide_or_as_told() -> None:
    """A network without a width needs to be told."""
    assert student_config({"name": "resnet", "width": 32, "depth": 1}, {})["width"] == 16
    assert student_config({"name": "resnet", "width": 32}, {"width": "4"})["width"] == "4"
    with pytest.raises(StateError, match="has no width to halve"):
        student_config({"name": "timm", "architecture": "x"}, {})


def test_the_most_sensitive_layers_stay() -> None:
    """Those that make half of all losses; never all of them."""
    from loopline.optimization.quantization import fallback_layers

    assert fallback_layers({"a": 0.1, "b": 0.6, "c": 0.3}) == ("b",)
    assert fallback_layers({"a": 1.0, "b": 0.0}) == ("a",)
    assert fallback_layers(dict.fromkeys("abcd", 0.25)) == ("a", "b")


def test_speeds_are_ratios_within_a_round(place: Workspace, parent: ModelBundle) -> None:
    """The parent against itself is about 1, by each number of threads; every rate lies between its ends."""
    from loopline.optimization.measuring import measure_speeds
    from loopline.testing import make_png

    predictor = loop.load(parent, workspace=place)
    raws = [make_png(height=16, width=16, seed=seed) for seed in range(4)]
    for num_threads in (1, 2):
        speeds = measure_speeds(
            {"one": predictor, "two": predictor}, raws, rounds=3, round_s=0.05, num_threads=num_threads
        )
        assert speeds["one"].speedup == speeds["one"].speedup_low == 1
        assert speeds["two"].rate_low <= speeds["two"].rate_per_s <= speeds["two"].rate_high
        assert np.isfinite([speeds["two"].latency_ms, speeds["two"].graph_ms or 0]).all()
