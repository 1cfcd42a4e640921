"""Close cases of single rules: what is no finding although it looks like one, and the other way round."""

from __future__ import annotations

import pytest

from loopline.audit.findings import FINDINGS
from loopline.repository import read_texts

RULES = {rule.id: rule for rule in FINDINGS}
ROUTE = "from fastapi import FastAPI\n\napp = FastAPI()\n\n\n@app.post('/p')\n"
LOOP = "def f(model, opt, loader):\n    for x in loader:\n        loss = model(x)\n        loss.backward()\n"


def found(rule: str, **files: str) -> list[str]:
    """The sentences of a rule on made-up files; `a__b_py` stands for `a/b.py`."""
    texts = {name.replace("__", "/").replace("_py", ".py"): text for name, text in files.items()}
    return [evidence.sentence for evidence in RULES[rule].check(read_texts(texts))]


def test_gradients_may_be_cleared_in_many_ways() -> None:
    """Accumulation, clearing by hand, and a loop that takes no step are no findings; clearing outside is one."""
    step = "        opt.step()\n"
    assert found("zero-grad", a_py=LOOP) == []
    assert found("zero-grad", a_py=LOOP + step + "        if x:\n            opt.zero_grad()\n") == []
    assert found("zero-grad", a_py=LOOP + step + "        model.weight.grad = None\n") == []
    own = LOOP.replace("loss = model(x)", "loss = forward(model, x)") + step
    forward = "\n\ndef forward(model, x):\n    {}\n    return model(x)\n"
    assert found("zero-grad", a_py=own + forward.format("model.zero_grad()")) == []
    assert len(found("zero-grad", a_py=own + forward.format("pass"))) == 1
    outside = LOOP.replace("    for", "    opt.zero_grad()\n    for") + step
    assert found("zero-grad", a_py=outside) == [
        "`zero_grad` is called outside of the loop alone, so gradients of all batches add up."
    ]


def test_inference_modes() -> None:
    """A module that trains, uses Lightning's trainer, or loads what is in that mode already, needs no `eval()`."""
    head = "import torch\nfrom shop import Net\n\nmodel = Net()\nmodel.load_state_dict(torch.load('a'))\n"
    assert len(found("eval-mode", a_py=f"{head}print(model(1).argmax())\n")) == 1
    assert found("eval-mode", a_py=f"{head}model.train(False)\nprint(model(1).argmax())\n") == []
    assert found("eval-mode", a_py=f"{head}model(1).argmax().backward()\n") == []
    assert found("eval-mode", a_py=f"{head}import lightning\nlightning.Trainer().predict(model).argmax()\n") == []
    loaded = head.replace("Net()", "Net.from_pretrained('a')")
    assert found("eval-mode", a_py=f"{loaded}print(model(1).argmax())\n") == []
    assert len(found("no-grad", a_py=f"{loaded}print(model(1).argmax())\n")) == 1


def test_test_data_that_chooses() -> None:
    """A monitor of a test metric and a best model by a test score are choices; testing at the end is none."""
    assert found("test-data-in-training", a_py="c = ModelCheckpoint(monitor='test_loss')\n") != []
    assert found("test-data-in-training", a_py="if test_acc > best_acc:\n    best_acc = test_acc\n") != []
    assert found("test-data-in-training", a_py="scaler.fit_transform(X_test)\n") != []
    assert found("test-data-in-training", a_py="if float(kept['best']) > test_loss:\n    save()\n") != []
    assert found("test-data-in-training", a_py="Trainer(model, eval_dataset=test_set)\n") == [
        "`Trainer` validates on `test_set` while it trains."
    ]
    assert found("test-data-in-training", a_py="Trainer(model, eval_dataset=val_set)\n") == []
    assert found("test-data-in-training", a_py="scaler.transform(X_test)\ntrainer.test(m, test_loader)\n") == []


def test_devices() -> None:
    """Numbers of devices in calls and in the environment; the first one where there is any is a default."""
    assert len(found("device-number", a_py="import os\nos.environ['CUDA_VISIBLE_DEVICES'] = '1'\nmodel.cuda(1)\n")) == 2
    assert found("device-number", a_py="model.cuda()\nTrainer(devices=2)\nTrainer(devices=[0])\n") == []
    assert len(found("device-number", a_py="Trainer(devices=[6])\n")) == 1


def test_seeds() -> None:
    """A seed as an argument counts; training that never happens needs none."""
    train = "import torch\nfrom lightning import Trainer\nTrainer().fit(1)\n"
    assert len(found("no-seed", a_py=train)) == 1
    assert found("no-seed", a_py=train + "split(x, random_state=3)\n") == []
    notebook = '{"cells": [{"cell_type": "code", "source": ["import torch\\n", "torch.manual_seed(0)"]}]}'
    assert len(list(RULES["no-seed"].check(read_texts({"a.py": train, "b.ipynb": notebook})))) == 1
    assert found("no-seed", a_py="import torch\n") == []


def test_models_that_are_kept_are_no_work_of_a_request() -> None:
    """A cache, a test for None, and a start-up hook load once; a function of the project's own is followed."""
    load = "import torch\nimport functools\n\n\n{}def get():\n    return torch.load('a')\n\n\n"
    handler = ROUTE + "def p(x: int):\n    return get()(x)\n"
    assert found("model-loaded-in-handler", a_py=load.format("") + handler) == [
        "`torch.load` runs in every request that `p` answers."
    ]
    assert found("model-loaded-in-handler", a_py=load.format("@functools.cache\n") + handler) == []
    remembered = load.format("").replace("    return", "    if key in MODELS:\n        return MODELS[key]\n    return")
    assert found("model-loaded-in-handler", a_py=remembered + handler) == []
    once = load.format("") + "model = get()\n\n" + ROUTE + "def p(x: int):\n    return model(x)\n"
    assert found("model-loaded-in-handler", a_py=once) == []
    data = load.format("").replace("return torch.load('a')", "data = torch.load('a')\n    return data")
    assert found("model-loaded-in-handler", a_py=data + handler) == []
    net = "import torch\n\n\nclass Net:\n    def __init__(self):\n        self.net = torch.load('a')\n\n\n"
    assert len(found("model-loaded-in-handler", a_py=f"{net}{ROUTE}def p(x: int):\n    return Net()(x)\n")) == 1
    guarded = ROUTE + "def p(x: int):\n    if model is None:\n        import joblib\n        joblib.load('a')\n"
    assert found("model-loaded-in-handler", a_py=guarded) == []


def test_waiting_that_blocks_nobody() -> None:
    """Work in a thread, awaited work and work before the first request are no findings."""
    head = f"import time\nimport asyncio\nimport contextlib\n{ROUTE}async def p(x: int):\n"
    assert found("blocking-in-async", a_py=f"{head}    time.sleep(1)\n") == [
        "`p` is asynchronous and waits in `time.sleep`."
    ]
    predict = f"import torch\n\n\ndef predict(x):\n    with torch.no_grad():\n        return x\n\n\n{ROUTE}"
    assert found("blocking-in-async", a_py=f"{predict}async def p(x: int):\n    return predict(x)\n") == [
        "`p` is asynchronous and computes in `predict`."
    ]
    assert found("blocking-in-async", a_py=f"{predict}def p(x: int):\n    return predict(x)\n") == []
    loaded = f"from transformers import AutoModel\n\nmodel = AutoModel.from_pretrained('a')\n{ROUTE}"
    assert len(found("blocking-in-async", a_py=f"{loaded}async def p(x: int):\n    return model(x)\n")) == 1
    assert found("blocking-in-async", a_py=f"{head}    await asyncio.to_thread(time.sleep, 1)\n") == []
    assert found("blocking-in-async", a_py=f"{head}    def f():\n        time.sleep(1)\n    return f\n") == []
    start = "@contextlib.asynccontextmanager\nasync def start(app):\n    time.sleep(1)\n"
    start = f"import time\nimport contextlib\n\n\n{start}"
    assert found("blocking-in-async", a_py=start) == []


@pytest.mark.parametrize(
    ("torch", "count"),
    [("torch==2.4.0", 1), ("torch==2.5.1+cu121", 1), ("torch>=2", 1), ("torch>=2.6", 0), ("torch", 0), ("", 0)],
)
def test_torch_load_depends_on_the_version(torch: str, count: int) -> None:
    """Without `weights_only`, a torch before 2.6 unpickles; a newer one does not."""
    texts = {"a.py": "import torch\n\ntorch.load('a')\n", "requirements.txt": torch}
    assert len(list(RULES["unsafe-torch-load"].check(read_texts(texts)))) == count


def test_yaml_loaders() -> None:
    """The safe loader makes no objects; a constant that is evaluated is the author's own."""
    text = "import yaml\nyaml.load(x, Loader=yaml.SafeLoader)\nyaml.safe_load(x)\neval('1 + 1')\n"
    assert found("eval-on-configuration", a_py=text) == []
    assert found("eval-on-configuration", a_py="import yaml\nyaml.load(x, Loader=yaml.BaseLoader)\n") == []
    assert found("eval-on-configuration", a_py="import yaml\nyaml.load(x, yaml.Loader)\n") != []


def test_listings_whose_order_is_made_or_does_not_matter() -> None:
    """Sorted later, counted, compared, copied: no findings; and code that reads no data is not looked at."""
    for use in (
        "files = os.listdir('a')\nfiles.sort()\n",
        "n = len(os.listdir('a'))\n",
        "ok = 'x' in os.listdir('a')\n",
        "for f in os.listdir('a'):\n    os.remove(f)\n",
        "files = os.listdir('a')\nfor f in tqdm(files):\n    read(f).save(f)\n",
        "for f in os.listdir('a'):\n    shutil.copy(f, 'b')\n    count += 1\n",
        "def f():\n    found = list(Path('a').glob('*'))\n    return sorted(found)\n",
    ):
        assert found("unsorted-listing", src__data_py=f"import os\nfrom pathlib import Path\n{use}") == [], use
    assert found("unsorted-listing", src__data_py="import os\nfor f in os.listdir('a'):\n    use(f)\n") != []
    gathered = "import os\nfor f in os.listdir('a'):\n    all.append(f)\n    copy(f)\n"
    assert found("unsorted-listing", src__data_py=gathered) != []
    assert found("unsorted-listing", src__page_py="import os\nfiles = os.listdir('a')\n") == []


def test_serving_skew_of_sizes_and_of_what_is_left_out() -> None:
    """Another size, and pictures without the normalisation of training, are skew."""
    train = (
        "from torchvision import transforms as T\nt = T.Compose([T.Resize((224, 224)), T.Normalize([0.5], [0.5])])\n"
    )
    serve = f"from torchvision import transforms as T\n{ROUTE}def p(x: int):\n    return T.Resize({{}})(x)\n"
    assert found("serving-skew", train_py=train, app_py=serve.format("28")) == [
        "Serving uses `Resize` with [28, 28], training with [224, 224].",
    ]
    assert len(found("serving-skew", train_py=train, app_py=serve.format("224"))) == 1
    assert found("serving-skew", train_py=train) == []


def test_normalising_what_was_saved_normalised() -> None:
    """A transform that the saving function shares counts; training that reads pictures normalises them first."""
    normalize = "transforms.Normalize([0.5], [0.5])"
    head = f"import torch\nfrom torchvision import transforms\n\nt = {normalize}\n"
    saved = head + "\n\ndef save(x, t):\n    torch.save(t(x), 'x.pt')\n"
    train = "from torchvision import transforms\n\n\ndef train():\n    return transforms.Compose([{}])\n"
    assert len(found("normalised-twice", data_py=saved, train_py=train.format(normalize))) == 1
    pictures = train.format(f"transforms.ToTensor(), {normalize}")
    assert found("normalised-twice", data_py=saved, train_py=pictures) == []
    unused = head + "\n\ndef save(x):\n    torch.save(x, 'x.pt')\n"
    assert found("normalised-twice", data_py=unused, train_py=train.format(normalize)) == []


def test_many_files_of_data_are_one_finding() -> None:
    """Four large files in a folder, or a hundred small ones, are one finding of the folder."""
    large = {f"data/{index}.npz": "x" * 1_000_001 for index in range(4)}
    small = {f"data/cats/{index}.png": "x" for index in range(100)}
    sentences = [evidence.sentence for evidence in RULES["committed-data"].check(read_texts(large | small))]
    assert sentences == [
        "4 files of data, 4.0 MB, are in the repository.",
        "100 files of data, 0.0 MB, are in the repository.",
    ]


def test_images() -> None:
    """A stage's own files, empty variables and images that only train are no findings; a user that is root is one."""

    def look(rule: str, text: str) -> int:
        return len(list(RULES[rule].check(read_texts({"Dockerfile": f"FROM python:3.12\n{text}"}))))

    assert look("secret-in-image", "COPY --from=build /.env /x\nENV API_KEY=''\n") == 0
    assert look("secret-in-image", "ARG KEY\nENV API_KEY=$KEY\n") == 1
    assert look("image-as-root", "CMD python train.py\n") == 0
    assert look("image-as-root", "EXPOSE 80\nUSER root\nCMD uvicorn a:app\n") == 1


def test_loose_dependencies_are_counted_once() -> None:
    """A package with and without its extra is one, a version anywhere in the file is one, installers do not count."""
    texts = {"requirements.txt": "dvc\ndvc[gs]\nclick==8.1\nclick\nsetuptools\n"}
    assert [evidence.sentence for evidence in RULES["unpinned-dependency"].check(read_texts(texts))] == [
        "1 of 2 dependencies may have any version: `dvc`."
    ]


def test_parts_of_google_cloud_are_packages_each() -> None:
    """`google.cloud` is no package; its parts have versions in their names, and some come with DVC."""
    code = "from google.cloud import storage, run_v2, aiplatform, secretmanager\n"
    declared = "dvc-gs==3\ngoogle-cloud-run==0.1\ngoogle-cloud-secret-manager==2\nprotobuf==4\n"
    texts = {"a.py": code, "requirements.txt": declared}
    assert [evidence.sentence for evidence in RULES["undeclared-import"].check(read_texts(texts))] == [
        "`google.cloud.aiplatform` is imported, and no file declares it."
    ]


def test_dependencies_by_other_names() -> None:
    """What is imported under another name, run as a command, or brought by another package is used and declared."""
    texts = {
        "requirements.txt": "scikit-learn==1.7\nhydra-core==1.3\nkedro==1.0\n",
        "a.py": "import sklearn\nimport hydra\nimport omegaconf\nimport os\nimport b\n"
        "try:\n    import cupy\nexcept ImportError:\n    cupy = None\n",
        "b.py": "",
        "Makefile": "run:\n\tkedro run\n",
    }
    repository = read_texts(texts)
    assert list(RULES["unused-dependency"].check(repository)) == []
    assert list(RULES["undeclared-import"].check(repository)) == []
    frozen = "\n".join(f"package-{index}==1.{index}" for index in range(50))
    assert found("unused-dependency", requirements_txt="") == []
    assert list(RULES["unused-dependency"].check(read_texts({"requirements.txt": frozen}))) == []


def test_an_extra_that_names_its_own_project_is_no_loose_dependency() -> None:
    """`all = ["shop[train]"]` has no version and needs none."""
    text = '[project]\nname = "shop"\n[project.optional-dependencies]\nall = ["shop[train]", "numpy>=2"]\n'
    assert list(RULES["unpinned-dependency"].check(read_texts({"pyproject.toml": text}))) == []


def test_paths_of_one_machine_in_configuration() -> None:
    """Absolute paths are found in configuration, with their line; a container's own folders are none."""
    home = "/" + "home/anna/data"
    repository = read_texts({"conf/a.yaml": f"out: /app/data\ndata: {home}\n"})
    assert [evidence.line for evidence in RULES["absolute-path"].check(repository)] == [2]
