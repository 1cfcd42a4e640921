"""What a fresh interpreter loads: start-up is behaviour."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

import pytest

# Prints the top-level modules that a statement loads, beyond the standard library and what was there before it: tools
# such as coverage come in through site-packages before any line of ours.
PROBE = """
import json, sys
before = set(sys.modules)
{statement}
loaded = {{name.partition(".")[0] for name in set(sys.modules) - before}} - sys.stdlib_module_names
print(json.dumps(sorted(loaded)))
"""
NOT_IN_A_SERVER = {
    "torch", "torchvision", "lightning", "pytorch_lightning", "hydra", "omegaconf", "mlflow", "optuna",
    "pandas", "scipy", "matplotlib", "sklearn", "wandb", "datasets", "pyarrow",
}  # fmt: skip


def third_party_modules(statement: str) -> set[str]:
    """The packages that are neither ours nor Python's and that a statement loads in a fresh interpreter."""
    program = PROBE.format(statement=statement)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1])) - {"loopline"}


def test_importing_loopline_loads_nothing_but_python() -> None:
    """`import loopline` loads no third-party package."""
    assert third_party_modules("import loopline") == set()


def test_help_loads_nothing_but_click() -> None:
    """The help of the whole command line needs one library."""
    statement = """
from loopline.cli.entry import cli
cli.main(["--help"], standalone_mode=False)
"""
    assert third_party_modules(statement) == {"click"}


def test_help_tells_how_long_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    """`loopline --help` works in a fresh process; its median time is printed, for no test may depend on a clock."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "loopline", "--help"], capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - start)
        assert "Take a PyTorch model around the whole loop" in done.stdout
    with capsys.disabled():
        print(f" [loopline --help: median {statistics.median(seconds):.2f} s of 5] ", end="")


def test_a_server_answers_before_its_framework_is_imported() -> None:
    """What predicts and says that it is ready needs no web framework, whose import takes a third of a start."""
    modules = third_party_modules("import loopline.serving.server, loopline.cli.serve")
    assert "uvicorn" in modules
    assert modules & {"fastapi", "starlette"} == set()


def test_an_engine_brings_no_telemetry() -> None:
    """OpenVINO comes without its converter and that one's telemetry; whoever wants the converter can import it."""
    assert "openvino_telemetry" not in third_party_modules("import loopline.predictor.openvino")
    both = "import loopline.predictor.openvino; from openvino.tools.ovc import convert_model"
    assert "openvino_telemetry" in third_party_modules(both)


def test_a_mistake_is_said_before_lightning_is_imported() -> None:
    """That takes longer than everything else that a mistyped training needs."""
    statement = """
import contextlib
import loopline
from loopline.core.errors import LooplineError
with contextlib.suppress(LooplineError):
    loopline.train(["recipe=fashion", "optimizer.learning=3"])
"""
    modules = third_party_modules(statement)
    assert {"torch", "hydra"} <= modules
    assert modules & {"lightning", "torchmetrics", "torchvision"} == set()


@pytest.mark.parametrize(
    "statement",
    [
        "import loopline.serving",
        "from loopline.serving import build_app",
        "import loopline.predictor, loopline.bundle, loopline.aliases, loopline.prediction_log",
        "from loopline.cli.serve import serve, ui",
        "from loopline.cli.predict import predict",
    ],
)
def test_a_server_loads_nothing_of_training(statement: str) -> None:
    """What serves a model loads none of the libraries that train, track or plot it."""
    assert third_party_modules(statement) & NOT_IN_A_SERVER == set()


@pytest.mark.parametrize(
    "module", ["transforms", "bundle", "predictor", "snapshots", "runs", "aliases", "metrics", "core.store"]
)
def test_shared_rooms_load_nothing_of_training(module: str) -> None:
    """A room that serving shares with training may not bring torch in, nor any of its companions."""
    companions = NOT_IN_A_SERVER - {"pyarrow", "scipy"}  # snapshots read Parquet, metrics may use SciPy
    assert third_party_modules(f"import loopline.{module}") & companions == set()
