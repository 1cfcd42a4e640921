"""Items about data: how it comes, how its versions are kept, what happens when it changes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from loopline.audit.rule import ItemRule, Judgement, done, not_found, partial
from loopline.audit.traces import MOST_EVIDENCE, code, named, shown, stem, uses
from loopline.core.records.audit import Evidence
from loopline.repository import PythonModule, Repository, at

THEME = "Data"
_MAKES_DATA = re.compile(
    r"(make|get|build|create|prepare|download|load|process|preprocess|clean|fetch|generate)?_?(data|dataset|datasets)?"
)
_DATA_MODULE = re.compile(r"data(?!modul)|preprocess|^(get|fetch|load)_", re.IGNORECASE)
# What fetches data from elsewhere in the code, where nobody looks for it.
_FETCHING_MODULE = re.compile(r"data|download|fetch", re.IGNORECASE)
_ACQUIRES = re.compile(
    r"^(kagglehub|kaggle|gdown|wget|urllib\.request|requests\.get|httpx\.get|huggingface_hub|datasets\.load_dataset|"
    r"sklearn\.datasets\.fetch_|torchvision\.datasets\.|torchtext\.datasets|torchaudio\.datasets|tensorflow_datasets|"
    r"opendatasets|git\.Repo|google\.cloud\.storage|gcsfs|boto3|s3fs|yfinance|openml|torch_geometric\.datasets|"
    r"roboflow|quickdraw|medmnist|ucimlrepo|pooch)"
)
_FETCHES = r"gsutil .*\b(cp|rsync)|gcloud storage (cp|rsync)|kaggle (datasets|competitions) download|wget|curl|gdown"
_SAVES = re.compile(
    r"(^|\.)(save|to_csv|to_parquet|to_pickle|to_json|save_to_disk|savez?|savez_compressed|dump|write|"
    r"imwrite|copy2?|move|"
    r"copyfile|copytree|extract|extractall|imsave|save_image|write_text|write_bytes|to_file|to_feather|to_hdf)$"
)
_BUCKET = re.compile(r"gs://[^\s\"'<{$]|/gcs/|storage\.googleapis\.com/")
_LINKS = re.compile(r"link (this|it) with your data version control", re.IGNORECASE)
_DATA_PATH = re.compile(r"^(\./|\*\*/)?(data|datasets?)(/|$|\*)|\.dvc\b|\bdvc\.(lock|yaml)$", re.IGNORECASE)


def _check_script(repository: Repository) -> Judgement:
    """Data code that others can call: it fetches the data, or turns what is there into what training reads."""
    whole: list[Evidence] = []
    scripts: list[Evidence] = []
    for module in code(repository):
        is_named = _is_data_module(module)
        if not is_named and not _FETCHING_MODULE.search(module.path):
            continue
        acquired = next((call for call in module.calls if _ACQUIRES.match(call.name)), None)
        saved = next((call for call in module.calls if _SAVES.search(call.name)), None)
        for call, what in ((acquired, "Fetches data"), (saved, "Writes what it made of the data")):
            if call is not None:
                # A script that fetches is what is asked; one that turns local files is no more than begun.
                is_whole = is_named and (bool(call.inside) or call is acquired)
                found = whole if is_whole else scripts
                found.append(module.evidence(call.line, f"{what}: `{call.name.replace('()', '').removeprefix('?.')}`."))
    if whole:
        return done(*whole[:MOST_EVIDENCE])
    if fed := list(_fed_scripts(repository, {evidence.path for evidence in scripts})):
        return done(*fed[:1], *scripts[: MOST_EVIDENCE - 1])
    return partial(*scripts[:MOST_EVIDENCE]) if scripts else not_found()


def _fed_scripts(repository: Repository, scripts: set[str | None]) -> Iterator[Evidence]:
    """Where a target, a task or a shell script fetches data and then runs a script for it."""
    fetching: set[tuple[str, str]] = set()
    for command in repository.commands:
        place = (command.path, command.called)
        if command.runs(_FETCHES) and command.origin != "dockerfile":
            fetching.add(place)
        elif place in fetching and any(path and path in command.text for path in scripts):
            yield command.evidence("Fetches the data, and runs the script that prepares it.")


def _is_data_module(module: PythonModule) -> bool:
    """A module that is called for the data, or lies in a folder of that name."""
    return bool(_DATA_MODULE.search(stem(module.path)) or re.search(r"(^|/)(data|datasets?)/[^/]+$", module.path))


def _check_versions(repository: Repository) -> Judgement:
    remotes = list(dvc_remotes(repository))
    tracked = named(repository, r"\.dvc$|(^|/)dvc\.(yaml|lock)$")
    large = [
        path
        for path in repository.files
        if path.endswith(".gitattributes") and "filter=lfs" in (repository.text(path) or "")
    ]
    evidence = [evidence for evidence, _ in remotes[:1]]
    evidence += [Evidence(path=path, sentence="A version of data, kept by DVC.") for path in tracked[:2]]
    if remotes and tracked:
        return done(*evidence)
    if large:
        return done(Evidence(path=large[0], sentence="Git LFS keeps versions of large files."))
    return partial(*evidence) if evidence else not_found()


def dvc_remotes(repository: Repository) -> Iterator[tuple[Evidence, str]]:
    """The remotes of DVC's configuration: evidence, and where each points to."""
    for path in repository.files:
        if not re.search(r"(^|/)\.dvc/config$", path):
            continue
        for number, line in enumerate((repository.text(path) or "").splitlines(), 1):
            if match := re.match(r"\s*url\s*=\s*(\S+)", line):
                kind = re.sub(r"(?<=://).*", "…", match[1])
                yield Evidence(path=path, line=number, sentence=f"DVC has a remote, {kind}"), match[1]


def _check_bucket(repository: Repository) -> Judgement:
    """A bucket that data versions are pushed to; where the team's own list asks for no more, any bucket in use."""
    linked = [evidence for evidence, url in dvc_remotes(repository) if url.startswith(("gs://", "gcs://"))]
    if linked:
        return done(*linked[:1])
    used = list(_buckets_in_use(repository))[:MOST_EVIDENCE]
    lists = [repository.text(path) or "" for path in repository.own_paths if path.lower().endswith(".md")]
    asked = [text for text in lists if re.search(r"data storage (on|in) `?gcp", text, re.IGNORECASE)]
    if used and asked and not any(_LINKS.search(text) for text in asked):
        return done(*used)
    return partial(*used) if used else not_found()


def _buckets_in_use(repository: Repository) -> Iterator[Evidence]:
    yield from uses(code(repository), "google.cloud.storage", "gcsfs")
    for command in repository.commands:
        if _BUCKET.search(command.text) or command.runs(r"gcsfuse|gsutil|gcloud storage"):
            yield command.evidence(f"Uses a bucket: `{shown(command.text)}`.")
    for module in code(repository):
        for node in module.live(ast.Constant):
            if isinstance(node.value, str) and _BUCKET.match(node.value):
                yield module.evidence(node, "Names a bucket.")


def _check_workflow(repository: Repository) -> Judgement:
    for path, workflow in repository.workflows.items():
        for event in ("push", "pull_request", "pull_request_target"):
            paths = at(workflow.events.get(event), "paths")
            for pattern in paths if isinstance(paths, list) else []:
                if (
                    _DATA_PATH.search(str(pattern))
                    and not str(pattern).startswith("!")
                    and any(True for _ in workflow.steps)
                ):
                    return done(Evidence(path=path, sentence=f"Starts on `{event}` where `{pattern}` changes."))
    return not_found()


_DATA_WORKFLOW = """on:
  push:
    paths: ["data/**", "*.dvc"]
jobs:
  check:
    runs-on: ubuntu-latest
    steps:
      - run: pytest tests/test_data.py
"""

RULES = (
    ItemRule(
        id="data_script",
        theme=THEME,
        asks="A script fetches the data and prepares it.",
        wording=r"fill out the .*(make_dataset|data)\.py|downloads whatever data",
        looks_for="A data module that downloads, or has a function that writes what it made of the data; a script that "
        "turns local files and cannot be called from elsewhere is partial, unless what runs it downloads first.",
        why="Data that somebody prepared by hand cannot be had again.",
        fix="Write one function that goes from nothing to the files that training reads.",
        good={"src/leaves/data.py": "import kagglehub\n\ndef download():\n    kagglehub.dataset_download('a/b')\n"},
        bad={"src/leaves/data.py": "from torch.utils.data import Dataset\n\nclass Leaves(Dataset):\n    pass\n"},
        check=_check_script,
    ),
    ItemRule(
        id="data_vc",
        theme=THEME,
        asks="Versions of the data are kept.",
        wording=r"version control for your data",
        looks_for="A remote in `.dvc/config` and at least one `*.dvc` file or `dvc.yaml`; or Git LFS. One without the "
        "other is partial.",
        why="A model is made of code and data; with one of the two one cannot go back.",
        fix="dvc init, dvc remote add, dvc add data, dvc push.",
        good={".dvc/config": "['remote \"store\"']\n    url = gs://leaves\n", "data.dvc": "outs:\n- path: data\n"},
        bad={".dvc/tmp/btime": "", "requirements.txt": "dvc\n"},
        check=_check_versions,
    ),
    ItemRule(
        id="wf_data",
        theme=THEME,
        asks="A workflow starts when the data changes.",
        wording=r"triggers when data changes",
        looks_for="A path filter on data or on `*.dvc` in a workflow's push or pull request.",
        why="New data can break what code did not.",
        fix="Add `paths: ['data/**', '**.dvc']` to a workflow that checks the data.",
        good={".github/workflows/data.yaml": _DATA_WORKFLOW},
        bad={".github/workflows/data.yaml": _DATA_WORKFLOW.replace('["data/**", "*.dvc"]', '["src/**"]')},
        check=_check_workflow,
    ),
    ItemRule(
        id="gcp_bucket",
        theme=THEME,
        asks="The data lies in a bucket, to which versions are pushed.",
        wording=r"create a data storage",
        looks_for="A `gs://` remote in `.dvc/config`. A bucket that code or commands use without it is partial, "
        "unless the "
        "project's own checklist asks for no link to data versions.",
        why="A bucket that data versions do not know holds whatever was copied last.",
        fix="dvc remote add -d store gs://NAME.",
        good={".dvc/config": "['remote \"store\"']\n    url = gs://leaves\n", "data.dvc": "outs:\n- path: data\n"},
        bad={"src/leaves/train.py": "from google.cloud import storage\n\nclient = storage.Client()\n"},
        check=_check_bucket,
    ),
)
