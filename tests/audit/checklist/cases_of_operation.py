"""Close cases in how a project is run: its workflows, cloud, service, monitoring, scale and documentation."""

from __future__ import annotations

from loopline.core.records.audit import Verdict

WORKFLOW = "on: push\njobs:\n  t:\n    runs-on: x\n    steps:\n      - run: {}\n"
ROUTE = (
    "from fastapi import FastAPI\nfrom leaves.model import keep\napp = FastAPI()\n\n@app.post('/predict')\n"
    "def predict(x):\n    return keep(x)\n"
)
LOADER = "from torch.utils.data import DataLoader\n{}\nDataLoader(data, num_workers={})\n"
FORM = "from fastapi import FastAPI\napp = FastAPI()\n\n@app.get('/')\ndef page():\n    {}\n"

OPERATION: list[tuple[str, Verdict, dict[str, str]]] = [
    # Continuous integration.
    (
        "ci",
        "partial",
        {".github/workflows/a.yaml": WORKFLOW.format("pytest").replace("on: push", "on: workflow_dispatch")},
    ),
    ("ci", "done", {".gitlab-ci.yml": "test:\n  script: pytest\n"}),
    ("ci", "not found", {".github/workflows/a.yaml": WORKFLOW.format("echo hello")}),
    (
        "ci_lint",
        "done",
        {
            ".github/workflows/a.yaml": WORKFLOW.format("tox -e lint"),
            "tox.ini": "[testenv:lint]\ncommands = flake8 src\n",
        },
    ),
    ("ci_lint", "done", {".github/workflows/a.yaml": WORKFLOW.replace("run: {}", "uses: chartboost/ruff-action@v1")}),
    (
        "ci_matrix",
        "not found",
        {
            ".github/workflows/a.yaml": WORKFLOW.format("x").replace(
                "steps:", "strategy: {matrix: {service: [a, b]}}\n    steps:"
            )
        },
    ),
    (
        "ci_matrix",
        "done",
        {
            ".github/workflows/a.yaml": WORKFLOW.format("x").replace(
                "steps:", "strategy: {matrix: {include: [{python: '3.11'}, {python: '3.12'}, 5]}}\n    steps:"
            )
        },
    ),
    (
        "wf_data",
        "not found",
        {
            ".github/workflows/a.yaml": WORKFLOW.format("pytest").replace(
                "on: push", "on: {push: {paths: [src/data/**]}}"
            )
        },
    ),
    ("ci_cache_matrix", "partial", {".github/workflows/a.yaml": WORKFLOW.replace("run: {}", "uses: actions/cache@v4")}),
    (
        "wf_registry",
        "partial",
        {".github/workflows/a.yaml": WORKFLOW.format("x").replace("on: push", "on: {push: {paths: ['models/**']}}")},
    ),
    # Cloud.
    ("gcp_train", "done", {"a.sh": "gcloud ai custom-jobs create --config x\n"}),
    ("gcp_train", "cannot be seen", {"src/train.py": "x = 1\n"}),
    ("deploy_cloud", "done", {"README.md": "https://leaves-abc123-ew.a.run.app/docs\n"}),
    (
        "deploy_cloud",
        "done",
        {".github/workflows/a.yaml": WORKFLOW.replace("run: {}", "uses: google-github-actions/deploy-cloudrun@v2")},
    ),
    ("deploy_cloud", "not found", {"tests/test_rules.py": "TEXT = 'https://leaves-abc123-ew.a.run.app/docs'\n"}),
    (
        "deploy_cloud",
        "done",
        {"load_tests/ask.py": "import requests\nrequests.get('https://leaves-abc123-ew.a.run.app/health')\n"},
    ),
    ("gcp_train", "partial", {"src/train.py": "torch.load('/gcs/leaves/data.pt')\n"}),
    ("gcp_train", "cannot be seen", {"src/rules.py": "import re\nre.compile('/gcs/|gcsfuse')\n"}),
    (
        "deploy_cloud",
        "not found",
        {"README.md": "https://your-service.run.app https://x-<hash>-ew.a.run.app https://a-...run.app\n"},
    ),
    ("deploy_cloud", "partial", {"Dockerfile": "FROM x\nCMD uvicorn app:app --port $PORT\n"}),
    ("cloud_monitoring", "cannot be seen", {"a.sh": "gcloud run deploy x\n"}),
    ("alerts", "cannot be seen", {"a.sh": "gcloud run deploy x\n"}),
    # Serving and monitoring.
    ("fastapi", "partial", {"app.py": "from flask import Flask\napp = Flask(__name__)\n"}),
    ("torchserve", "done", {"models/instructions.txt": "1. torchserve --start --model-store x\n"}),
    ("onnx_bentoml", "done", {"src/a.py": "def f(model):\n    model.to_onnx('x')\nf(1)\n"}),
    ("onnx_bentoml", "partial", {"src/a.py": "def f(model):\n    model.to_onnx('x')\n"}),
    (
        "onnx_bentoml",
        "done",
        {
            "src/a.py": "def f(model):\n    model.to_onnx('x')\n",
            "pyproject.toml": "[project.scripts]\nexport = 'a:f'\n",
        },
    ),
    ("frontend", "done", {"app/package.json": '{"dependencies": {"react": "1"}}'}),
    ("frontend", "not found", {"reports/drift.html": "<script></script>"}),
    ("frontend", "done", {"src/a.py": FORM.format("return '<form><input name=x></form>'")}),
    ("frontend", "not found", {"src/a.py": FORM.format("'''Answers with a <form>.'''")}),
    ("frontend", "not found", {"src/a.py": "text = '<form></form>'\n"}),
    ("drift", "done", {"src/drift.py": "from scipy.stats import ks_2samp\ndef check(a, b):\n    ks_2samp(a, b)\n"}),
    (
        "drift",
        "not found",
        {"src/stats.py": "from scipy.stats import ks_2samp\ndef check(a, b):\n    ks_2samp(a, b)\n"},
    ),
    (
        "io_collection",
        "done",
        {
            "src/leaves/api.py": ROUTE,
            "src/leaves/model.py": "import json\ndef keep(x):\n    json.dump(x, open('x', 'w'))\n",
        },
    ),
    (
        "io_collection",
        "not found",
        {"src/leaves/api.py": ROUTE, "src/leaves/model.py": "def keep(x):\n    open('upload', 'wb').write(x)\n"},
    ),
    ("mon_system", "cannot be seen", {"a.sh": "gcloud run deploy x\n"}),
    # Scaling.
    ("dist_data", "done", {"src/a.py": LOADER.format("import os", "os.cpu_count()")}),
    ("dist_data", "done", {"src/a.py": LOADER.format("import multiprocessing as m\ncores = m.cpu_count()", "cores")}),
    ("dist_data", "done", {"src/a.py": LOADER.format("import torch", "torch.get_num_threads()")}),
    ("dist_data", "done", {"src/a.py": "import timm\ntimm.data.create_loader(data, num_workers=2)\n"}),
    (
        "dist_data",
        "done",
        {
            "src/leaves/cores.py": "import os\n\ndef count():\n    return os.cpu_count() - 1\n",
            "src/a.py": LOADER.format("from leaves import cores", "cores.count()"),
        },
    ),
    ("dist_data", "done", {"src/a.py": LOADER.format("for i in range(4):\n    pass", "i")}),
    ("dist_data", "done", {"src/a.py": LOADER.format("", "cfg.num_workers"), "conf/a.yaml": "num_workers: 4\n"}),
    ("dist_data", "not found", {"src/a.py": LOADER.format("", "cfg.num_workers"), "conf/a.yaml": "num_workers: 0\n"}),
    ("dist_data", "done", {"src/a.py": LOADER.format("p.add_argument('-j', '--workers', default=2)", "args.workers")}),
    (
        "dist_data",
        "not found",
        {
            "src/a.py": (
                "from torch.utils.data import DataLoader\ndef f(num_workers=0):\n    DataLoader(d, "
                "num_workers=num_workers)\n"
            )
        },
    ),
    (
        "dist_data",
        "done",
        {
            "src/a.py": (
                "from torch.utils.data import DataLoader\ndef f(*, num_workers=2):\n    DataLoader(d, "
                "num_workers=num_workers)\n"
            )
        },
    ),
    (
        "dist_data",
        "done",
        {
            "src/a.py": (
                "from torch.utils.data import DataLoader\nclass C:\n    n_workers: int = Field(default=3)\n"
                "DataLoader(d, num_workers=C.n_workers)\n"
            )
        },
    ),
    (
        "dist_data",
        "done",
        {"src/a.py": "from torch.utils.data import DataLoader\nmore = {'num_workers': 3}\nDataLoader(d, **more)\n"},
    ),
    ("dist_data", "done", {"conf/a.yaml": "_target_: leaves.Data\nnum_workers: 2\n"}),
    ("dist_data", "done", {"src/a.py": LOADER.format("f(num_workers=2)", "x.num_workers")}),
    ("dist_train", "done", {"conf/trainer.yaml": "devices: 2\n"}),
    ("dist_train", "done", {"src/a.py": "import lightning as L\nL.Trainer(devices=-1, strategy='ddp')\n"}),
    ("dist_train", "done", {"a.sh": "torchrun --nproc_per_node 2 train.py\n"}),
    ("quant", "partial", {"src/a.py": "import torch\ntorch.jit.script(model)\n"}),
    (
        "quant",
        "done",
        {"src/a.py": "from transformers import AutoModel\nAutoModel.from_pretrained('x', load_in_8bit=True)\n"},
    ),
    # Documentation.
    (
        "docs",
        "not found",
        {
            "docs/getting-started.rst": "Getting started\n====\n\nThis is where you describe "
            + "how to get set up " * 20
        },
    ),
    ("docs_published", "partial", {"tasks.py": "def docs(ctx):\n    ctx.run('mkdocs gh-deploy')\n"}),
]
