"""Names in full, constants followed, dead code left out."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopline.repository import DYNAMIC, PythonModule, read_texts


def module(text: str, path: str = "src/leaves/train.py") -> PythonModule:
    """The parsed module of a text."""
    return read_texts({path: text}).python[path]


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("import torch\ntorch.load('a')", "torch.load"),
        ("import torch as t\nt.load('a')", "torch.load"),
        ("import torch.utils.data\ntorch.utils.data.DataLoader(1)", "torch.utils.data.DataLoader"),
        ("import torch.utils.data as tud\ntud.DataLoader(1)", "torch.utils.data.DataLoader"),
        ("from torch import nn\nnn.Linear(1)", "torch.nn.Linear"),
        ("from torch.nn import Linear as L\nL(1)", "torch.nn.Linear"),
        ("from . import model\nmodel.Net(1)", "leaves.model.Net"),
        ("from .model import Net\nNet(1)", "leaves.model.Net"),
        ("from ..shop import till\ntill(1)", "shop.till"),
        ("print(1)", "print"),
        ("from fastai.vision.all import *\nvision_learner(1)", "fastai.vision.all.vision_learner"),
        ("from fastai.vision.all import *\nprint(1)", "print"),
        ("import torch\nload = torch.load\nload(1)", "torch.load"),
        ("def load(): pass\nload(1)", "leaves.train.load"),
        ("class Net: pass\nNet(1)", "leaves.train.Net"),
        ("def f(model):\n    model.eval(1)", "?.eval"),
        ("x[0].backward(1)", "?.backward"),
        ("try:\n    import wandb\nexcept ImportError:\n    wandb = None\nwandb.log(1)", "wandb.log"),
        ("for model in models:\n    model.fit(1)", "?.fit"),
    ],
)
def test_calls_are_known_by_their_full_names(code: str, name: str) -> None:
    """Whatever the import is called here."""
    assert module(code).calls[-1].name == name


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("from fastapi import FastAPI\napp = FastAPI()\napp.get('/')", "fastapi.FastAPI().get"),
        ("import wandb\nrun: object = wandb.init()\nrun.log(1)", "wandb.init().log"),
        ("import wandb\nwith wandb.init() as run:\n    run.log(1)", "wandb.init().log"),
        ("import wandb\nif (run := wandb.init()):\n    run.log(1)", "wandb.init().log"),
        ("import a, b\nx, y = a.A(), b.B()\ny.go(1)", "b.B().go"),
        ("import a, b\nx = a.A()\nx = b.B()\nx.go(1)", "b.B().go"),
        (
            (
                "from a import A\nclass N:\n    def __init__(self):\n        self.t = A()\n    def f(self):\n"
                "        self.t.fit(1)"
            ),
            "a.A().fit",
        ),
        ("class N:\n    def a(self): pass\n    def f(self):\n        self.a(1)", "leaves.train.N.a"),
        ("class N:\n    def f(self):\n        self.unknown(1)", "?.unknown"),
        ("def f(self):\n    self.unknown(1)", "?.unknown"),
        ("import a\nasync def f():\n    x = await a.open()\n    x.read(1)", "a.open().read"),
        ("from a import Box\nBox[int](1)", "a.Box"),
        ("x = x\nx.go(1)", "?.go"),
    ],
)
def test_methods_are_known_by_what_made_their_object(code: str, name: str) -> None:
    """Through variables, `with`, attributes of `self`; the latest assignment before the call counts."""
    assert module(code).calls[-1].name == name


@pytest.mark.parametrize(
    "dead",
    [
        "if False:\n    wandb.log(1)",
        "if not True:\n    wandb.log(1)",
        "while 0:\n    wandb.log(1)",
        "if True:\n    pass\nelse:\n    wandb.log(1)",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import wandb.sdk\n    wandb.log(1)",
        "def f():\n    return 1\n    wandb.log(1)",
        "for x in y:\n    continue\n    wandb.log(1)",
        "'''\nwandb.log(1)\n'''",
        "# wandb.log(1)",
    ],
)
def test_dead_code_is_left_out(dead: str) -> None:
    """What can never run is not there."""
    parsed = module(f"import wandb\n{dead}\n")
    assert not [call for call in parsed.calls if call.name.startswith("wandb")]
    assert parsed.uses("wandb") == []
    assert len(parsed.imports_of("wandb")) == 1


def test_live_branches_stay() -> None:
    """The other side of a dead branch, and a loop that may end."""
    parsed = module(
        "import wandb\nif 0:\n    pass\nelse:\n    wandb.log(1)\nwhile True:\n    wandb.log(2)\nelse:\n  "
        "  wandb.log(3)\n"
    )
    assert [call.arguments[0] for call in parsed.calls_of("wandb.log")] == [1, 2, 3]


def test_arguments_are_constants_where_they_can_be() -> None:
    """Names of constants are followed, everything else is dynamic."""
    call = module("import a\nN = 4\nK = [1, -2, {'x': N}]\na.f(N, K, g(), *rest, b='s', c=N + 1, **more)").calls[0]
    assert call.arguments == (4, [1, -2, {"x": 4}], DYNAMIC)
    assert call.keywords == {"b": "s", "c": DYNAMIC}
    assert call.argument("b") == "s"
    assert call.argument("other", 0) == 4
    assert call.argument("other", 9, "default") == "default"
    assert repr(DYNAMIC) == "DYNAMIC"
    assert module("def f(n):\n    g(n)").calls[0].arguments == (DYNAMIC,)
    assert module("x = x\ng(x)").calls[0].arguments == (DYNAMIC,)
    assert module("g(-y, unknown)").calls[0].arguments == (DYNAMIC, DYNAMIC)


def test_functions_and_classes_carry_decorators_and_bases() -> None:
    """By full names, nested ones with what encloses them."""
    parsed = module(
        "import hydra\nimport lightning as L\nfrom fastapi import FastAPI\napp = FastAPI()\n"
        "@hydra.main(version_base=None)\ndef main(cfg): pass\n"
        "@app.get('/')\nasync def root():\n    def inner(): pass\n"
        "class Net(L.LightningModule):\n    def forward(self):\n        print(1)\n"
    )
    assert [(item.name, item.decorators, item.is_async) for item in parsed.functions] == [
        ("main", ("hydra.main",), False),
        ("root", ("fastapi.FastAPI().get",), True),
        ("root.inner", (), False),
        ("Net.forward", (), False),
    ]
    assert [(item.name, item.bases) for item in parsed.classes] == [("Net", ("lightning.LightningModule",))]
    assert parsed.calls[-1].inside == "Net.forward"
    assert parsed.calls[-1].method == "print"
    assert isinstance(next(parsed.parents(parsed.calls[-1].node)), ast.Expr)


def test_references_are_uses_and_imports_are_none() -> None:
    """A package's name does not stand for another that begins with it."""
    parsed = module("import torch, torchvision, wandb\nx = torch.nn.Module\ntorchvision.ops.nms\n")
    assert parsed.uses("torch") == [2]
    assert parsed.uses("wandb") == []
    assert parsed.references["torch.nn.Module"] == (2,)


def test_origins_and_loops_are_told() -> None:
    """What a name was assigned, and whether it runs through several values."""
    parsed = module("n = cores()\nfor i in range(3):\n    f(n, i, m)\n")
    n, i, m = parsed.calls_of("leaves.train.f", "f")[0].node.args
    assert ast.unparse(parsed.origin(n)) == "cores()"
    assert parsed.origin(m) is m
    assert [parsed.is_looped(node) for node in (n, i)] == [False, True]


SCAFFOLD = """
import logging
from pathlib import Path

import click
from torch.utils.data import Dataset

class Leaves(Dataset):
    def __init__(self, path):
        self.path = path

    def preprocess(self, folder):
        'To be written.'

@click.command()
def main(path):
    logger = logging.getLogger(__name__)
    logger.info("making the data")
    Leaves(path).preprocess(Path(path))

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    main()
"""


def test_a_scaffold_does_nothing_yet() -> None:
    """What a template brings along is told from what somebody wrote into it."""
    assert module(SCAFFOLD).is_scaffold
    assert not module(SCAFFOLD + "    shutil.copy(1, 2)\n").is_scaffold
    assert not module(SCAFFOLD.replace("'To be written.'", "return folder + 1")).is_scaffold
    assert not module("lr = 0.1\n").is_scaffold


def test_a_notebooks_lines_are_no_places() -> None:
    """Evidence in a notebook names the file alone."""
    repository = read_texts({"a.ipynb": '{"cells": [{"cell_type": "code", "source": "import torch\\ntorch.load(1)"}]}'})
    notebook = repository.notebooks["a.ipynb"]
    assert notebook.is_notebook
    assert notebook.evidence(notebook.calls[0].node, "Loads.").line is None
    assert module("f()").evidence(module("f()").calls[0].node, "Calls.").line == 1


@given(st.text(alphabet="abfi ()=:\n\t.,'\"[]{}*@#\\0123456789", max_size=60))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_no_text_raises(text: str) -> None:
    """Any text is parsed or noted."""
    repository = read_texts({"a.py": text})
    for parsed in repository.python.values():
        assert parsed.calls is not None
        assert parsed.references is not None
