"""Rules about data: what is committed, in which order it is read, where it lies, and how it is scaled."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from loopline.audit.findings.places import calls_in, function_or_module
from loopline.audit.rule import FindingRule
from loopline.audit.traces import code, code_and_notebooks, plain, routes
from loopline.core.records.audit import Evidence
from loopline.repository import Call, PythonModule, Repository, is_test, is_vendored

CATEGORY = "Data"
_DATA = re.compile(
    r"\.(csv|tsv|parquet|feather|arrow|npy|npz|h5|hdf5|zip|tar|t?gz|bz2|7z|rar|pkl|pickle|pt|jsonl|wav|mp3|mp4|tiff?)$",
    re.IGNORECASE,
)
_PICTURE = re.compile(r"\.(jpe?g|png|bmp|tiff?|gif|webp|wav|mp3|flac|ogg|txt|npy|json)$", re.IGNORECASE)
_MODEL = re.compile(r"\.(pt|pth|ckpt|onnx|keras|safetensors|joblib|tflite|pb|mar|h5|pkl|pickle|bin)$", re.IGNORECASE)
_IN_DATA = re.compile(r"(^|/)(data|datasets?|raw|processed|images)/", re.IGNORECASE)
_IN_MODELS = re.compile(
    r"(^|/)(models?|checkpoints?|weights|artifacts|lightning_logs|wandb|outputs)/|model|weights", re.IGNORECASE
)
_MIN_DATA_BYTES, _MIN_MODEL_BYTES, _MIN_PICTURES = 1_000_000, 100_000, 100
_LISTS = re.compile(r"^(os\.(listdir|scandir)|glob\.i?glob)$|\.(iterdir|rglob)$|^pathlib\.Path\(\)\.glob$")
# What the order does not matter to.
_ORDERLESS = {
    "sorted",
    "len",
    "set",
    "frozenset",
    "any",
    "all",
    "max",
    "min",
    "sum",
    "Counter",
    "natsorted",
    "next",
    "print",
}
_READS_DATA = re.compile(r"data|preprocess|train|corpus|loader", re.IGNORECASE)
_ABSOLUTE = re.compile(r"^(/(home|Users)/[\w.-]+/|/(root|scratch|zhome)/|/mnt/[a-z]/|[A-Za-z]:[\\/]+[\w.-]+[\\/])")
_NORMALIZES = re.compile(r"(^|\.)(Normalize|normalize|StandardScaler|MinMaxScaler)(\(\))?$")
_SAVES = re.compile(
    r"^(torch|numpy)\.save(z|z_compressed)?$|\.(to_csv|to_parquet|to_pickle)$|^joblib\.dump$|^pickle\.dump$"
)
_PREPARES = re.compile(r"data|prepare|preprocess|process|make|features", re.IGNORECASE)
_PREDICTS = re.compile(r"predict|infer|evaluat|serv|visuali[sz]", re.IGNORECASE)
_SIZES = ("Resize", "CenterCrop", "RandomResizedCrop")


def _check_data(repository: Repository) -> Iterator[Evidence]:
    """Large files of data, and folders of many small ones; many large ones in a folder are one finding."""
    large: defaultdict[str, dict[str, int]] = defaultdict(dict)
    small: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for path, file in repository.files.items():
        size, folder = file.num_bytes or 0, PurePosixPath(path).parent.as_posix()
        if file.kind not in ("regular", "executable") or is_vendored(path) or is_test(path):
            continue
        if _DATA.search(path) and size >= _MIN_DATA_BYTES and not _is_model(path):
            large[folder][path] = size
        elif _PICTURE.search(path) and _IN_DATA.search(path):
            small[folder][path] = size
    for folder, sizes in large.items():
        if len(sizes) <= 3:
            for path, size in sizes.items():
                yield Evidence(path=path, sentence=f"{size / 1e6:,.1f} MB of data are in the repository.")
        else:
            yield _folder_of_data(folder, sizes)
    yield from (_folder_of_data(folder, sizes) for folder, sizes in small.items() if len(sizes) >= _MIN_PICTURES)


def _folder_of_data(folder: str, sizes: dict[str, int]) -> Evidence:
    megabytes = sum(sizes.values()) / 1e6
    return Evidence(path=folder, sentence=f"{len(sizes):,} files of data, {megabytes:,.1f} MB, are in the repository.")


def _check_models(repository: Repository) -> Iterator[Evidence]:
    for path, file in repository.files.items():
        size = file.num_bytes or 0
        is_file = file.kind in ("regular", "executable") and not is_test(path) and not is_vendored(path)
        if is_file and size >= _MIN_MODEL_BYTES and _is_model(path):
            yield Evidence(path=path, sentence=f"A model of {size / 1e6:,.1f} MB is in the repository.")


def _is_model(path: str) -> bool:
    """A file of weights: by a suffix that nothing else has, or by one that data has, too, where models lie."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in (".pth", ".ckpt", ".onnx", ".keras", ".safetensors", ".tflite", ".mar"):
        return True
    return bool(_MODEL.search(path) and _IN_MODELS.search(path) and not _IN_DATA.search(path))


def _check_order(repository: Repository) -> Iterator[Evidence]:
    """Listings in the order of the file system, in code that reads data."""
    for module in code(repository):
        if not _READS_DATA.search(module.path):
            continue
        for call in module.calls:
            if _LISTS.search(call.name) and not _is_order_lost_or_made(module, call):
                yield module.evidence(call.line, f"`{plain(call.name)}` gives files in the order of the file system.")


def _is_order_lost_or_made(module: PythonModule, call: Call) -> bool:
    """Whether the files are sorted, in the same expression or function, or used as a set."""
    around = function_or_module(module, call.node)
    if around is not module.tree and re.search(r"\bsorted\(|\.sort\(", ast.unparse(around)):
        return True
    for parent in module.parents(call.node):
        is_orderless = isinstance(parent, ast.Call) and module.resolve(parent.func).rpartition(".")[2] in _ORDERLESS
        if is_orderless or isinstance(parent, ast.Compare | ast.SetComp | ast.DictComp):
            return True
        if isinstance(parent, ast.For):
            return _is_each_alone(parent)
        if isinstance(parent, ast.Assign):
            return _is_name_orderless(ast.unparse(parent.targets[0]), around)
        if isinstance(parent, ast.stmt):
            return False
    return False


def _is_name_orderless(name: str, around: ast.AST) -> bool:
    """Whether a list of files is sorted or only counted where it is used, or each file is dealt with by itself."""
    word = rf"{re.escape(name)}\b"
    loops = [node for node in ast.walk(around) if isinstance(node, ast.For)]
    loops = [loop for loop in loops if re.search(rf"\b{word}", ast.unparse(loop.iter))]
    used = re.search(rf"sorted\({word}|\b{word}\.sort\(|len\({word}", ast.unparse(around))
    return bool(used) or (bool(loops) and all(map(_is_each_alone, loops)))


def _is_each_alone(loop: ast.For) -> bool:
    """Whether a loop does something to each file by itself: removes it, or writes another for it; gathers nothing."""
    text = ast.unparse(loop)
    gathers = re.search(r"\.(append|extend|add|update)\(|\+=(?! 1\b)|\benumerate\(|\[\w+\] =", text)
    return (
        bool(re.search(r"unlink|remove|rmtree|copy|move|rename|print|save|imwrite|write|to_\w+\(", text))
        and not gathers
    )


def _check_paths(repository: Repository) -> Iterator[Evidence]:
    """The first absolute path of each file of code or configuration."""
    for module in code_and_notebooks(repository):
        nodes = (node for node in module.live(ast.Constant) if isinstance(node.value, str))
        found = next((node for node in nodes if _ABSOLUTE.match(str(node.value))), None)
        if found is not None:
            yield module.evidence(found, "A path of one machine is written into the code.")
    for path, config in repository.configs.items():
        if path.startswith((".", "tests/")) or path.endswith((".json", ".lock")):
            continue
        for place, value in config.walk():
            if isinstance(value, str) and _ABSOLUTE.match(value):
                yield Evidence(path=path, line=config.line(*place), sentence="A path of one machine is configured.")
                break


def _check_twice(repository: Repository) -> Iterator[Evidence]:
    """Data normalised before it is saved, and normalised again by what trains on it."""
    prepared, again = [], []
    serving = {module.path for module, _ in routes(repository)}
    for module in code(repository):
        if not re.search(r"[Nn]ormali|std|Scaler", module.text):
            continue
        if _PREPARES.search(module.path):
            prepared += [(module, node) for node in _shared_and_saved(module)]
        for function in module.functions:
            site = next(iter(_normalising(module, function.node)), None)
            if site is None or module.path in serving:
                continue
            saves = any(_SAVES.search(call.name) for call in calls_in(module, function.node))
            is_training = function.name.rpartition(".")[2] in ("__getitem__", "forward", "training_step", "setup")
            if saves and _PREPARES.search(module.path):
                prepared.append((module, site))
            elif _reads_pictures(module, function.node):  # which nobody has normalised yet
                continue
            elif (is_training or re.search(r"train", module.path)) and not _PREDICTS.search(module.path):
                again.append((module, site))
    if prepared:
        first = f"{prepared[0][0].path}:{getattr(prepared[0][1], 'lineno', 1)}"
        for module, site in again:
            yield module.evidence(site, f"Normalises data that `{first}` has normalised before saving them.")


def _shared_and_saved(module: PythonModule) -> Iterator[ast.AST]:
    """The transforms outside of functions that normalise, where a function names one of them and saves."""
    for node in module.live(ast.Assign):
        if module.enclosing(node) or not isinstance(node.targets[0], ast.Name):
            continue
        name, site = node.targets[0].id, next(iter(_normalising(module, node)), None)
        savers = (f for f in module.functions if any(_SAVES.search(call.name) for call in calls_in(module, f.node)))
        if site is not None and any(
            isinstance(part, ast.Name) and part.id == name for saver in savers for part in ast.walk(saver.node)
        ):
            yield site


def _reads_pictures(module: PythonModule, function: ast.AST) -> bool:
    return any(
        call.method in ("ToTensor", "PILToTensor", "ToImage", "ToTensorV2") for call in calls_in(module, function)
    )


def _normalising(module: PythonModule, function: ast.AST) -> Iterator[ast.AST]:
    """`Normalize(…)`, scalers, and `(x - mean) / std`."""
    for call in calls_in(module, function):
        if _NORMALIZES.search(call.name) and not call.name.startswith("torch.nn.functional"):
            yield call.node
    for node in ast.walk(function):
        match node:
            case ast.BinOp(op=ast.Div(), left=ast.BinOp(op=ast.Sub()), right=right) if "std" in ast.unparse(right):
                yield node


def _check_skew(repository: Repository) -> Iterator[Evidence]:
    """Constants of the same transform that serving and training share nowhere."""
    serving_paths = {module.path for module, _ in routes(repository)}
    if not serving_paths:
        return
    in_serving: list[tuple[PythonModule, Call, str, Any]] = []
    in_training: defaultdict[str, set[str]] = defaultdict(set)
    for module in code(repository):
        for name, value, call in _transforms(module):
            if module.path in serving_paths:
                in_serving.append((module, call, name, value))
            else:
                in_training[name].add(str(value))
    others = [found for found in in_serving if in_training[found[2]] and str(found[3]) not in in_training[found[2]]]
    for module, call, name, value in others:
        known = ", ".join(sorted(in_training[name])[:2])
        yield module.evidence(call.line, f"Serving uses `{name}` with {value}, training with {known}.")
    is_bare = in_serving and not any(name == "Normalize" for _, _, name, _ in in_serving)
    if is_bare and in_training["Normalize"] and not others:
        module, call, _, _ = in_serving[0]
        yield module.evidence(call.line, "Serving transforms pictures without the `Normalize` of training.")


def _transforms(module: PythonModule) -> Iterator[tuple[str, Any, Call]]:
    """The transforms of torchvision whose constants are known: name, constants, call."""
    for call in module.calls_of("torchvision.transforms.", "torchvision.transforms.v2."):
        values = [*call.arguments, *(call.keywords[key] for key in ("mean", "std", "size") if key in call.keywords)]
        if call.method in (*_SIZES, "Normalize") and values and "DYNAMIC" not in repr(values):
            name = "Normalize" if call.method == "Normalize" else "Resize"
            yield name, values[:2] if name == "Normalize" else _size(values[0]), call


def _size(value: Any) -> Any:
    """A size as height and width."""
    return [value, value] if isinstance(value, int) else value


_HOME = "/" + "home/anna/shop/data"
_TRANSFORM = "from torchvision import transforms\n\nT = transforms.Normalize([{0}, {0}, {0}], [0.2, 0.2, 0.2])\n"
_APP = """\
from fastapi import FastAPI
{}
app = FastAPI()


@app.post('/predict')
def predict(x: str):
    return T(x)
"""
_MAKE = "import torch\n\n\ndef main(x):\n{}    torch.save(x, 'data/processed/x.pt')\n"

RULES: tuple[FindingRule, ...] = (
    FindingRule(
        id="committed-data",
        category=CATEGORY,
        title="Data are committed",
        looks_for=f"Data files of {_MIN_DATA_BYTES // 10**6} MB and more, folders of {_MIN_PICTURES} pictures.",
        why="Git keeps every version of every file for ever, and every clone carries them.",
        fix="Keep data in a store with versions (DVC, snapshots, a bucket), and their digest in git.",
        severity="warning",
        good={"data/raw.csv.dvc": "outs:\n- md5: 0\n  path: raw.csv\n"},
        bad={"data/raw.csv": "1,2,3,4\n" * 130_000},
        check=_check_data,
    ),
    FindingRule(
        id="committed-model",
        category=CATEGORY,
        title="A model is committed",
        looks_for=f"Files of weights of {_MIN_MODEL_BYTES // 1000} kB and more, but for those of tests.",
        why="Nobody can tell which code and data made it, and each training adds another to every clone.",
        fix="Keep models in a registry or a bucket, and what made them beside them.",
        severity="warning",
        good={"models/README.md": "Models are in the registry.\n"},
        bad={"models/best.ckpt": "x" * 200_000},
        check=_check_models,
    ),
    FindingRule(
        id="unsorted-listing",
        category=CATEGORY,
        title="Data come in the order of the file system",
        looks_for="`os.listdir`, `glob` and `iterdir` without `sorted` in code that reads data.",
        why="The order differs between machines, so the same seed gives other splits and other batches.",
        fix="Put `sorted(…)` around the listing.",
        severity="warning",
        good={"src/data.py": "import os\n\nfiles = [name for name in sorted(os.listdir('data'))]\n"},
        bad={"src/data.py": "import os\n\nfiles = [name for name in os.listdir('data')]\n"},
        check=_check_order,
    ),
    FindingRule(
        id="absolute-path",
        category=CATEGORY,
        title="A path of one machine",
        looks_for="Texts in code and configuration that begin with a home folder, a drive or a scratch space.",
        why="The code runs on one machine, for one person.",
        fix="Make the path relative to the project, or a setting.",
        severity="warning",
        good={"src/data.py": "from pathlib import Path\n\nROOT = Path('data')\n"},
        bad={"src/data.py": f"from pathlib import Path\n\nROOT = Path('{_HOME}')\n"},
        check=_check_paths,
    ),
    FindingRule(
        id="normalised-twice",
        category=CATEGORY,
        title="Data are normalised twice",
        looks_for="A function that normalises and saves data, and training code that normalises what it reads.",
        why="The second time spreads what is spread already; a served picture goes through it only once.",
        fix="Normalise in one place, and let training, evaluation and serving call that.",
        severity="warning",
        good={
            "src/make.py": _MAKE.format(""),
            "src/train.py": "def forward(x):\n    return (x - x.mean()) / x.std()\n",
        },
        bad={
            "src/make.py": _MAKE.format("    x = (x - x.mean()) / x.std()\n"),
            "src/train.py": "def forward(x):\n    return (x - x.mean()) / x.std()\n",
        },
        check=_check_twice,
    ),
    FindingRule(
        id="serving-skew",
        category=CATEGORY,
        title="Serving prepares inputs otherwise than training",
        looks_for="Sizes, means and deviations of transforms in a service that no training code has.",
        why="The model answers about pictures that it never saw in training; nothing fails, answers just get worse.",
        fix="Import the transform of training in the service, or keep its constants with the model.",
        severity="error",
        good={"src/train.py": _TRANSFORM.format(0.5), "src/app.py": _APP.format("from train import T\n")},
        bad={"src/train.py": _TRANSFORM.format(0.5), "src/app.py": _APP.format(_TRANSFORM.format(0.4))},
        check=_check_skew,
    ),
)
