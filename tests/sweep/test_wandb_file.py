"""Sweep files of Weights & Biases: one of each method means what W&B says it means, and what cannot is refused."""

from __future__ import annotations

import math
import re
from pathlib import Path
from textwrap import dedent

import pytest

from loopline.core.errors import ConfigError, InputError, UnknownName
from loopline.core.records import Choice, FloatRange, IntRange, Pruning
from loopline.sweep import read_wandb_file, split_overrides

BAYES = """
program: train.py
project: animals
command: [python, train.py, "${args}"]
method: bayes
metric: {name: validation/loss, goal: minimize}
run_cap: 12
parameters:
  optimizer.lr: {distribution: log_uniform_values, min: 1e-4, max: 0.1}
  model:
    parameters:
      width: {values: [16, 32, 64]}
      dropout: {min: 0.0, max: 0.5}
  trainer.max_epochs: {value: 5}
early_terminate: {type: hyperband, min_iter: 3, eta: 2}
"""


def written(tmp_path: Path, text: str) -> Path:
    """A file with that text."""
    path = tmp_path / "sweep.yaml"
    path.write_text(dedent(text), encoding="utf-8")
    return path


def test_a_bayes_file(tmp_path: Path) -> None:
    """Space, fixed values, metric, goal, cap and early termination; the rest is named."""
    found = read_wandb_file(written(tmp_path, BAYES))
    assert found.overrides == ("trainer.max_epochs=5", "monitor.metric=validation/loss")
    _, space = split_overrides((), found.space)
    assert space == {
        "model.dropout": FloatRange(low=0, high=0.5),
        "model.width": Choice(values=("16", "32", "64")),
        "optimizer.lr": FloatRange(low=1e-4, high=0.1, log=True),
    }
    assert found.settings == {
        "sampler": "tpe",
        "num_trials": 12,
        "goal": "min",
        "pruning": Pruning(name="asha", warmup_epochs=3, factor=2),
    }
    assert found.not_used == ("program", "command", "project")


def test_a_grid_file(tmp_path: Path) -> None:
    """No metric, no cap, no early end: those of the task, the whole grid, no pruning."""
    found = read_wandb_file(
        written(tmp_path, "method: grid\nparameters: {model: {values: [cnn, resnet]}, seed: {values: [3]}}")
    )
    assert found == (("seed=3",), ("model=cnn,resnet",), {"sampler": "grid", "pruning": Pruning(name="none")}, ())


def test_a_random_file_maximizes(tmp_path: Path) -> None:
    """`goal: maximize`, and brackets counted back from the last epoch."""
    text = """
        method: random
        metric: {name: validation/accuracy, goal: maximize}
        parameters: {seed: {min: 0, max: 9}}
        early_terminate: {type: hyperband, max_iter: 27, s: 2}
    """
    found = read_wandb_file(written(tmp_path, text))
    assert (found.settings["sampler"], found.settings["goal"]) == ("random", "max")
    assert found.settings["pruning"] == Pruning(name="asha", warmup_epochs=3, factor=3)


@pytest.mark.parametrize(
    ("parameter", "meaning"),
    [
        ("{min: 1, max: 8}", IntRange(low=1, high=8)),
        ("{min: 1, max: 8.5}", FloatRange(low=1, high=8.5)),
        ("{distribution: uniform, min: 1, max: 8}", FloatRange(low=1, high=8)),
        ("{distribution: int_uniform, min: 1, max: 8}", IntRange(low=1, high=8)),
        ("{distribution: q_uniform, min: 0, max: 64, q: 16}", IntRange(low=0, high=64, step=16)),
        ("{distribution: q_uniform, min: 0.0, max: 0.5, q: 0.1}", FloatRange(low=0, high=0.5, step=0.1)),
        (
            "{distribution: log_uniform, min: -9.0, max: -2.0}",
            FloatRange(low=math.exp(-9), high=math.exp(-2), log=True),
        ),
        ("{distribution: q_log_uniform_values, min: 1, max: 64}", IntRange(low=1, high=64, log=True)),
        ("{values: [a b, null, true, 0.5]}", Choice(values=("'a b'", "null", "True", "0.5"))),
        ("{values: [[1, 2], [3]]}", Choice(values=("[1,2]", "[3]"))),
        ("{distribution: categorical, values: [1e-3, 1e-2]}", Choice(values=("0.001", "0.01"))),
    ],
)
def test_distributions(tmp_path: Path, parameter: str, meaning: object) -> None:
    """Each of W&B's distributions that has a counterpart arrives as that."""
    found = read_wandb_file(written(tmp_path, f"method: random\nparameters:\n  key: {parameter}"))
    _, space = split_overrides((), found.space)
    assert space == {"key": meaning}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("method: anneal\nparameters: {a: {value: 1}}", "method: 'anneal' given; input should be 'grid', 'random' or"),
        ("method: grid", "key 'parameters' is missing."),
        ("method: grid\nparametres: {}\nparameters: {a: {value: 1}}", "unknown key 'parametres'; known here: "),
        ("method: grid\nparameters: {a: 3}", "parameters.a: 3 given; expected value, values, or min and max."),
        ("method: grid\nparameters: {a: {valeus: [1]}}", "unknown key 'parameters.a.valeus'; known here: "),
        ("method: grid\nparameters: {a: {values: []}}", "parameters.a: no values given; expected a list of them."),
        (
            "method: random\nparameters: {a: {min: 1}}",
            "parameters.a: uniform without min and max given; expected both.",
        ),
        (
            "method: random\nparameters: {a: {distribution: normal}}",
            "distribution 'normal' of parameters.a does not exist; it has: categorical, constant",
        ),
        (
            "method: random\nparameters: {a: {distribution: q_log_uniform_values, min: 1, max: 8, q: 2}}",
            "parameters.a.q: 2 given; expected 1, the only step of a logarithmic range.",
        ),
        (
            "method: grid\nparameters: {a: {value: 1}}\nearly_terminate: {type: hyperband}",
            "early_terminate: hyperband without min_iter and max_iter given; expected one of both.",
        ),
        (
            "method: grid\nparameters: {a: {value: 1}}\nmetric: {name: b, target: 1}",
            "unknown key 'metric.target'; known here: goal, name.",
        ),
        ("- a\n- b", "holds no keys; expected method, metric and parameters."),
        ("a: [", "is no YAML: "),
    ],
)
def test_what_has_no_counterpart_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    """Nothing that would change the search is passed over."""
    with pytest.raises((ConfigError, InputError, UnknownName), match=re.escape(sentence)):
        read_wandb_file(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """As every path that does not exist."""
    with pytest.raises(InputError, match=re.escape("none.yaml' does not exist; expected a W&B sweep file")):
        read_wandb_file(tmp_path / "none.yaml")
