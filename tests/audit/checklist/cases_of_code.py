"""Close cases in the code of a project: its structure, data, quality, containers, experiments and tests."""

from __future__ import annotations

from loopline.core.records.audit import Verdict

OWN = {
    "src/leaves/__init__.py": "",
    "src/leaves/data.py": "class Leaves: pass\ntransform = 1\n",
    "src/leaves/model.py": "",
}
WORKFLOW = "on: push\njobs:\n  t:\n    runs-on: x\n    steps:\n      - run: {}\n"
BUCKET = {"src/leaves/train.py": "from google.cloud import storage\nstorage.Client()\n"}
SCRIPT = {"src/data/make_dataset.py": "import torch\ntorch.save(1, 'x')\n"}
TRAINER = "from transformers import TrainingArguments\nTrainingArguments({})\n"
TEST = "from leaves.data import Leaves\n\n{}\n"
SWEEP = "method: bayes\nparameters:\n  lr: {min: 0, max: 1}\n"

CODE: list[tuple[str, Verdict, dict[str, str]]] = [
    # Structure and environment.
    ("cookiecutter", "partial", {"src/leaves/model.py": "", "tests/test_model.py": ""}),
    ("env", "done", {"Makefile": "env:\n\tconda create --name leaves\n"}),
    ("env", "partial", {"requirements.txt": "torch\n"}),
    ("arch_diagram", "done", {"docs/architecture.svg": "<svg/>"}),
    ("arch_diagram", "done", {"README.md": "```mermaid\ngraph TD\n```\n"}),
    ("arch_diagram", "not found", {"reports/figures/overview.png": ""}),
    ("arch_diagram", "done", {"r.md": "**Include the overall architecture of your system**\n\n<img src='x.png'>\n"}),
    (
        "arch_diagram",
        "not found",
        {"r.md": "* [x] architectural diagram\n\n> ![a](overall architecture)\n\n# Next\n\n![b](b.png)\n"},
    ),
    # Data.
    ("data_script", "partial", {"src/data/make_dataset.py": "import torch\ntorch.save(1, 'x')\n"}),
    (
        "data_script",
        "partial",
        {"src/leaves/utils/download.py": "import requests\ndef get():\n    requests.get('x')\n"},
    ),
    ("data_script", "done", {"src/data/make_dataset.py": "import datasets\ndatasets.load_dataset('x')\n"}),
    (
        "data_script",
        "done",
        SCRIPT | {"Makefile": "data:\n\tgsutil cp gs://x data\n\tpython src/data/make_dataset.py\n"},
    ),
    ("data_script", "partial", SCRIPT | {"Dockerfile": "RUN curl x | sh\nCMD python src/data/make_dataset.py\n"}),
    ("data_vc", "partial", {".dvc/config": "['remote \"a\"']\nurl = gs://a\n"}),
    ("data_vc", "done", {".gitattributes": "*.csv filter=lfs\n"}),
    (
        "gcp_bucket",
        "partial",
        BUCKET
        | {
            "README.md": (
                "* [x] Create a data storage in GCP Bucket and link this with your data version control setup\n"
            )
        },
    ),
    ("gcp_bucket", "done", BUCKET | {"README.md": "* [x] Create a data storage on `gcp` for you data\n"}),
    ("gcp_bucket", "partial", {"a.sh": "gsutil cp x gs://leaves/x\n"}),
    (
        "wf_data",
        "not found",
        {
            ".github/workflows/a.yaml": WORKFLOW.format("pytest").replace(
                "on: push", "on: {push: {paths: ['!data/**']}}"
            )
        },
    ),
    # Quality.
    ("pep8", "partial", {".flake8": "[flake8]\n"}),
    (
        "logging",
        "partial",
        {"src/data.py": "import logging\nlogging.getLogger(__name__).info('making final data set from raw data')\n"},
    ),
    ("logging", "done", {"src/a.py": "from leaves.logs import logger\nlogger.info('x')\n"}),
    ("logging", "done", {"src/a.py": "from loguru import logger\nlogger.success('x')\n"}),
    ("logging", "not found", {"tests/test_a.py": "import logging\nlogging.info('x')\n"}),
    ("cli", "done", {"src/a.py": "import argparse\nargparse.ArgumentParser().parse_args()\n"}),
    ("cli", "done", {"pyproject.toml": "[project.scripts]\nleaves = 'leaves:main'\n"}),
    ("cli", "not found", {"src/a.py": "import click\n@click.command()\ndef main(path):\n    print(path)\n"}),
    ("cli", "not found", {"reports/report.py": "import click\n@click.command()\ndef main(): pass\n"}),
    ("precommit", "partial", {".pre-commit-config.yaml": "repos: []\n"}),
    # Containers.
    ("dockerfiles", "partial", {"Dockerfile": "FROM python\nCMD python\n"}),
    (
        "docker_trigger",
        "partial",
        {
            "cloudbuild.yaml": (
                "steps:\n- name: gcr.io/cloud-builders/docker\n  args: [build, -t, 'gcr.io/<project-id>/x', .]\n"
            )
        },
    ),
    ("docker_trigger", "partial", {"cloudbuild.yaml": "steps: [{name: x}]\nimages: [y]\n"}),
    (
        "docker_trigger",
        "done",
        {".github/workflows/a.yaml": WORKFLOW.replace("run: {}", "uses: docker/build-push-action@v6")},
    ),
    # Experiments.
    ("wandb", "done", {"src/a.py": TRAINER.format("report_to='wandb' if x else 'none'")}),
    ("wandb", "not found", {"src/a.py": TRAINER.format("report_to='none'")}),
    ("wandb", "done", {"src/a.py": TRAINER.format("**cfg.train"), "conf/a.yaml": "report_to: wandb\n"}),
    ("wandb", "done", {"src/a.py": TRAINER.format("report_to=cfg['to']"), "conf/a.yaml": "report_to: [wandb]\n"}),
    ("wandb", "not found", {"src/a.py": TRAINER.format("report_to='none'"), "conf/a.yaml": "report_to: wandb\n"}),
    ("wandb", "partial", {"src/a.py": "import wandb\n\ndef never():\n    wandb.log({})\n"}),
    ("wandb", "done", {"src/a.py": "import wandb\n\n@task\ndef train():\n    wandb.log({})\n"}),
    ("config_files", "partial", {"configs/train.yaml": "lr: 1\n", "src/train.py": "lr = 1\n"}),
    ("config_files", "not found", {"configs/sweep.yaml": SWEEP, "src/train.py": "import yaml\nyaml.safe_load('x')\n"}),
    (
        "config_files",
        "done",
        {
            "src/conf/default.yaml": "lr: 1\n",
            "src/train.py": "import wandb\n\ndef f(path='src/conf/default.yaml'):\n    wandb.init(config=path)\n",
        },
    ),
    (
        "model_train",
        "done",
        {"src/train.py": "from ultralytics import YOLO\nmodel = YOLO('x')\nmodel.train(data='y')\n"},
    ),
    (
        "config_files",
        "done",
        {"conf/a.yaml": "lr: 1\n", "src/a.py": "import hydra\n@hydra.main('../conf')\ndef f(c): fit(c)\n"},
    ),
    (
        "config_files",
        "done",
        {"configs/a.json": '{"lr": 1}', "src/a.py": "import json\nc = json.load(open('configs/a.json'))\n"},
    ),
    (
        "config_files",
        "partial",
        {"configs/a.json": '{"lr": 1}', "src/a.py": "import json\nc = json.load(open('labels'))\n"},
    ),
    (
        "config_files",
        "done",
        {
            "config.yaml": "lr: 1\n",
            "src/a.py": "from pydantic_settings import BaseSettings\nclass S(BaseSettings):\n    p = 'config.yaml'\n",
        },
    ),
    ("gcp_train", "partial", {"src/a.py": "data = '/gcs/leaves/data'\n"}),
    ("gcp_train", "done", {"configs/a.yaml": "workerPoolSpecs:\n  replicaCount: 1\n"}),
    ("deploy_cloud", "done", {"gcloud_functions/main.py": "def predict(request): pass\n"}),
    ("deploy_cloud", "done", {"service.yaml": "apiVersion: serving.knative.dev/v1\n"}),
    ("gcp_project", "cannot be seen", {"a.sh": "docker push gcr.io/leaves-123/x\n"}),
    ("wandb", "not found", {"src/a.py": "import wandb\nif False:\n    wandb.log(1)\n"}),
    ("profiling", "done", {"src/train.py": "import lightning as L\nL.Trainer(profiler='simple')\n"}),
    ("profiling", "not found", {"src/train.py": "import lightning as L\nL.Trainer(profiler=None)\n"}),
    ("profiling", "done", {"conf/trainer.yaml": "trainer:\n  profiler: simple\n"}),
    ("wandb", "partial", {"a.ipynb": '{"cells": [{"cell_type": "code", "source": "import wandb\\nwandb.log(1)"}]}'}),
    ("wandb", "done", {"conf/logger.yaml": "_target_: lightning.pytorch.loggers.WandbLogger\n"}),
    (
        "wandb",
        "done",
        {"src/a.py": "from transformers import TrainingArguments\nTrainingArguments(report_to='wandb')\n"},
    ),
    ("sweep", "partial", {"sweep.yaml": SWEEP}),
    ("sweep", "done", {"conf/a.yaml": "hydra:\n  sweeper:\n    params:\n      lr: 1,2\n"}),
    ("lightning", "done", {"conf/trainer.yaml": "_target_: pytorch_lightning.Trainer\n"}),
    # Tests.
    (
        "tests_data",
        "partial",
        OWN | {"tests/test_data.py": "from leaves.data import transform\ndef test_it():\n    assert transform(1)\n"},
    ),
    (
        "tests_data",
        "partial",
        OWN
        | {
            "tests/test_data.py": (
                "import pytest\nfrom leaves.data import Leaves\n@pytest.mark.skip(reason='x')\ndef "
                "test_it():\n    assert Leaves()\n"
            )
        },
    ),
    (
        "tests_data",
        "done",
        {"tests/test_data.py": "import torch\ndef test_it():\n    assert torch.load('data/processed/train.pt')\n"},
    ),
    (
        "tests_data",
        "partial",
        OWN | {"tests/test_data.py": "from leaves.data import Leaves\ndef test_it():\n    Leaves()\n"},
    ),
    (
        "tests_data",
        "done",
        OWN
        | {
            "tests/test_a.py": (
                "import pytest\nfrom leaves.data import Leaves\n@pytest.fixture\ndef data():\n    return "
                "Leaves()\ndef test_it(data):\n    assert data\n"
            )
        },
    ),
    (
        "tests_data",
        "not found",
        OWN | {"tests/test_api.py": "from leaves.api import app\ndef test_invalid_data():\n    assert app\n"},
    ),
    (
        "tests_model",
        "not found",
        OWN | {"tests/test_data.py": "from leaves.data import train_data\ndef test_it():\n    assert train_data()\n"},
    ),
    (
        "tests_data",
        "done",
        OWN | {"tests/test_it.py": TEST.format("def look():\n    assert len(Leaves())\n\ndef test_all():\n    look()")},
    ),
    (
        "tests_data",
        "done",
        OWN
        | {
            "tests/test_it.py": TEST.format(
                "def test_it():\n    if not Leaves():\n        raise AssertionError('none')"
            )
        },
    ),
    (
        "tests_data",
        "partial",
        OWN | {"tests/test_it.py": TEST.format("def test_it():\n    if not Leaves():\n        raise ValueError")},
    ),
    ("coverage", "partial", {"codecov.yml": "comment: false\n"}),
    ("coverage", "done", {"pyproject.toml": "[tool.pytest.ini_options]\naddopts = '--cov=src'\n"}),
    ("coverage", "done", {".coverage": "x"}),
    (
        "api_tests",
        "partial",
        {
            "tests/integration/test_api.py": (
                "from fastapi.testclient import TestClient\ndef test_it():\n    assert TestClient(app).get('/')\n"
            ),
            ".github/workflows/a.yaml": WORKFLOW.format("pytest tests/unit"),
        },
    ),
    ("load_test", "not found", {"src/download_test.py": "import requests\nrequests.get('x')\n"}),
    ("load_test", "done", {"load_tests/run.js": "import http from 'k6/http'\n"}),
]
