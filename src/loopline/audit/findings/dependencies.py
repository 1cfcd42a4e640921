"""Rules about dependencies: declared and used, used and declared, and in which version."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import PurePosixPath

from packaging.utils import canonicalize_name

from loopline.audit.rule import FindingRule
from loopline.audit.traces import code
from loopline.core.records.audit import Evidence
from loopline.repository import Dependency, PythonModule, Repository

CATEGORY = "Dependencies"
# Distributions whose import name is another, by their normalised name.
IMPORT_NAMES: dict[str, tuple[str, ...]] = {
    "attrs": ("attr", "attrs"),
    "beautifulsoup4": ("bs4",),
    "biopython": ("Bio",),
    "dvc-gs": ("dvc_gs",),
    "efficientnet-pytorch": ("efficientnet_pytorch",),
    "faiss-cpu": ("faiss",),
    "gitpython": ("git",),
    "google-api-python-client": ("googleapiclient",),
    "hydra-core": ("hydra",),
    "imbalanced-learn": ("imblearn",),
    "lightning": ("lightning", "pytorch_lightning"),
    "markdown-it-py": ("markdown_it",),
    "mkdocs-material": ("material",),
    "onnxruntime-gpu": ("onnxruntime",),
    "opencv-contrib-python": ("cv2",),
    "opencv-python": ("cv2",),
    "opencv-python-headless": ("cv2",),
    "pillow": ("PIL",),
    "pillow-simd": ("PIL",),
    "protobuf": ("google",),
    "psycopg2-binary": ("psycopg2",),
    "pyjwt": ("jwt",),
    "pymupdf": ("fitz", "pymupdf"),
    "pyserial": ("serial",),
    "python-dateutil": ("dateutil",),
    "python-dotenv": ("dotenv",),
    "python-multipart": ("multipart", "python_multipart"),
    "pytorch-lightning": ("pytorch_lightning", "lightning"),
    "pyyaml": ("yaml",),
    "ruamel-yaml": ("ruamel",),
    "scikit-image": ("skimage",),
    "scikit-learn": ("sklearn",),
    "segmentation-models-pytorch": ("segmentation_models_pytorch",),
    "sentence-transformers": ("sentence_transformers",),
    "tensorflow-cpu": ("tensorflow",),
    "torch-geometric": ("torch_geometric",),
    "umap-learn": ("umap",),
}
# Used without an import: tools, plug-ins, servers, formats of a library that is imported.
_WITHOUT_IMPORT = re.compile(
    r"^(pip|setuptools|wheel|build|twine|hatch\w*|flit\w*|poetry\w*|uv|tox\w*|nox|pre-commit|prek|ruff|black|isort|flake8|"
    r"pylint|pydocstyle|mypy|pyright|ty|bandit|coverage|codecov|pytest|interrogate|vulture|deptry|"
    r"invoke|make|cookiecutter|copier|commitizen|bump\w*|sphinx|mkdocs|furo|myst-parser|"
    r"jupyter\w*|notebook|ipykernel|ipython|ipywidgets|nbconvert|nbformat|"
    r"dvc|uvicorn|gunicorn|hypercorn|httptools|uvloop|python-multipart|httpx|email-validator|"
    r"hydra-.*|openpyxl|xlrd|pyarrow|fastparquet|tables|h5py|lxml|html5lib|sentencepiece|protobuf|accelerate|bitsandbytes|"
    r"safetensors|einops|torchvision|torchaudio|torchtext|nvidia-.*|triton|cuda.*|google-cloud-.*|google-.*|gcsfs|s3fs|"
    r"fsspec|kaleido|tensorboard\w*|psycopg\w*|pymysql|locust|onnx\w*|numpy|scipy|tzdata|psutil|snakeviz|"
    r"torch-tb-profiler|line-profiler|rich|colorlog|types-.*|.*-stubs|pytest-.*|mkdocs-.*|mkdocstrings.*|sphinx.*|dvc-.*|"
    r"jupyter-.*|flake8-.*|python|evidently|bentoml|streamlit|gradio|prometheus.*|pydantic\w*|tokenizers|markdown|"
    # Conda brings what is no Python at all.
    r"tk|xz|zlib|readline|openssl|sqlite|ncurses|bzip2|ca-certificates|certifi|lib.*|ld-impl.*|mkl.*|blas|intel-openmp|"
    r"vc|vs\d.*|ucrt|cudatoolkit|cudnn|ffmpeg|git|git-lfs|gsutil|gcloud)$"
)
# What installs the others; its version changes nothing about a result.
_INSTALLERS = re.compile(r"(pip|setuptools|setuptools-scm|wheel|conda|uv|build)$")
# What comes with another distribution as a part of its interface.
BROUGHT: dict[str, tuple[str, ...]] = {
    "fastapi": ("pydantic", "starlette"),
    "dvc-gs": ("google.cloud.storage", "gcsfs"),
    "gcsfs": ("google.cloud.storage",),
    "google-cloud-aiplatform": ("google.cloud.storage", "google.cloud.bigquery"),
    "hydra-core": ("omegaconf",),
    "lightning": ("torch", "torchmetrics", "lightning_utilities"),
    "matplotlib": ("numpy", "pil"),
    "mlflow": ("pandas", "numpy"),
    "pandas": ("numpy",),
    "pytorch-lightning": ("torch", "torchmetrics", "lightning_utilities"),
    "scikit-learn": ("numpy", "scipy", "joblib"),
    "timm": ("torch", "torchvision", "huggingface_hub", "safetensors"),
    "torchvision": ("torch", "numpy", "pil"),
    "transformers": ("numpy", "huggingface_hub", "tokenizers", "safetensors"),
}
# A longer list of exact versions was written by `pip freeze` and names what others need.
_MAX_BY_HAND = 40


def _check_pins(repository: Repository) -> Iterator[Evidence]:
    """Dependencies without any version, where no lock gives them one; one finding a file."""
    project = repository.configs.get("pyproject.toml")
    own = canonicalize_name(str(project.get("project", "name"))) if project is not None else ""
    for path in repository.requirement_files:
        runtime = [item for item in repository.declared if item.path == path and item.role == "runtime"]
        # An extra that takes in other extras names its own project.
        runtime = [item for item in runtime if item.name != own]
        runtime = [item for item in runtime if not _INSTALLERS.match(item.name)]
        pinned = {item.name for item in runtime if item.specifier} | repository.locked.keys()
        free: dict[str, Dependency] = {}
        for item in runtime:
            if item.name not in pinned:
                free.setdefault(item.name, item)
        if free:
            names = ", ".join(f"`{name}`" for name in list(free)[:3]) + (", …" if len(free) > 3 else "")
            sentence = (
                f"{len(free)} of {len({item.name for item in runtime})} dependencies may have any version: {names}."
            )
            yield Evidence(path=path, line=next(iter(free.values())).line, sentence=sentence)


def _check_unused(repository: Repository) -> Iterator[Evidence]:
    """A declared dependency that no code imports, no configuration names and no command runs."""
    imported = {name.lower() for name in _imported(repository)}
    named = " ".join(command.text for command in repository.commands).lower() + _configured(repository)
    for name, declared in repository.dependencies.items():
        first = declared[0]
        if first.role != "runtime" or _WITHOUT_IMPORT.match(name) or _is_frozen(repository, first):
            continue
        names = _import_names(name)
        if not names & imported and not any(re.search(rf"\b{re.escape(word)}\b", named) for word in {name, *names}):
            yield Evidence(path=first.path, line=first.line, sentence=f"`{name}` is declared and never imported.")


def _check_missing(repository: Repository) -> Iterator[Evidence]:
    """An imported package that neither the standard library, the project, nor a declaration brings."""
    if not repository.requirement_files:
        return
    names = (*repository.dependencies, *repository.locked)
    declared = {word for name in names for word in (*_import_names(name), *BROUGHT.get(name, ()))}
    own = {PurePosixPath(part).stem.lower() for path in repository.files for part in PurePosixPath(path).parts}
    known = declared | own | {name.lower() for name in sys.stdlib_module_names} | {"__future__", "pkg_resources"}
    seen = set()
    for module in code(repository):
        for item in module.imports:
            name = _package(item.name)
            if name.lower() in known or name in seen or not name:
                continue
            is_relative = isinstance(item.node, ast.ImportFrom) and item.node.level > 0
            if is_relative or _is_optional(module, item.node):
                continue
            seen.add(name)
            yield module.evidence(item.line, f"`{name}` is imported, and no file declares it.")


def _package(name: str) -> str:
    """What has to be installed for an import, as it is imported; the parts of `google.cloud` are packages each."""
    parts = name.split(".")
    if parts[:2] != ["google", "cloud"] or len(parts) == 2:
        return parts[0]
    return ".".join((*parts[:2], re.sub(r"_v\d\w*$", "", parts[2])))


def _imported(repository: Repository) -> set[str]:
    """The first parts of all imported names, tests and notebooks included."""
    modules = [*repository.python.values(), *repository.notebooks.values()]
    return {item.name.partition(".")[0] for module in modules for item in module.imports}


def _import_names(distribution: str) -> set[str]:
    """The names, in lower case, under which a distribution may be imported."""
    name = canonicalize_name(distribution)
    plain = name.replace("-", "_")
    if name.startswith("google-cloud-"):
        part = plain.removeprefix("google_cloud_")
        return {f"google.cloud.{part}", f"google.cloud.{part.replace('_', '')}"}
    known = IMPORT_NAMES.get(name, ())
    guesses = {
        plain,
        plain.removeprefix("python_"),
        plain.removesuffix("_python"),
        plain.removeprefix("py"),
        name.split("-")[0],
    }
    return {word.lower() for word in (known or guesses)}


def _is_frozen(repository: Repository, dependency: Dependency) -> bool:
    same = [item for item in repository.declared if item.path == dependency.path]
    return len(same) > _MAX_BY_HAND and sum(item.is_pinned for item in same) > 0.6 * len(same)


def _configured(repository: Repository) -> str:
    """The texts of configuration in which a package may be named, as `_target_: torchmetrics.Accuracy`."""
    texts = []
    for path, config in repository.configs.items():
        if path not in repository.requirement_files and not path.endswith((".lock", ".json")):
            texts += [value for _, value in config.walk() if isinstance(value, str)]
    return " ".join(texts).lower()


def _is_optional(module: PythonModule, node: ast.AST) -> bool:
    """An import that the code can do without: in a `try`, or below a test."""
    return any(isinstance(parent, ast.Try | ast.If) for parent in module.parents(node))


_CODE = "import numpy\n\nprint(numpy.zeros(3))\n"

RULES: tuple[FindingRule, ...] = (
    FindingRule(
        id="unpinned-dependency",
        category=CATEGORY,
        title="Dependencies may have any version",
        looks_for="Declared dependencies without a version where no lock gives them one.",
        why="The same commit installs other code next month, and stops working or changes its results.",
        fix="Keep a lock in the repository, or give each dependency a range.",
        severity="warning",
        good={"requirements.txt": "numpy==2.1.0\n", "a.py": _CODE},
        bad={"requirements.txt": "numpy\n", "a.py": _CODE},
        check=_check_pins,
    ),
    FindingRule(
        id="unused-dependency",
        category=CATEGORY,
        title="A dependency is not used",
        looks_for="Declared packages that no code imports, no configuration names and no command runs; tools, plug-ins "
        "and frozen lists of everything are left out.",
        why="Every image and every environment carries it, with its own dependencies and their faults.",
        fix="Remove it, or move it to the development dependencies.",
        severity="note",
        good={"requirements.txt": "numpy==2.1.0\n", "a.py": _CODE},
        bad={"requirements.txt": "numpy==2.1.0\nseaborn==0.13.2\n", "a.py": _CODE},
        check=_check_unused,
    ),
    FindingRule(
        id="undeclared-import",
        category=CATEGORY,
        title="An import is missing from the requirements",
        looks_for="Imports that are neither Python's own, nor the project's, nor declared, nor in a lock; those in a "
        "`try` or below a test are left out.",
        why="The project runs where somebody installed the package by hand, and nowhere else.",
        fix="Declare it.",
        severity="warning",
        good={"requirements.txt": "numpy==2.1.0\n", "a.py": _CODE},
        bad={"requirements.txt": "numpy==2.1.0\n", "a.py": f"import seaborn\n{_CODE}"},
        check=_check_missing,
    ),
)
