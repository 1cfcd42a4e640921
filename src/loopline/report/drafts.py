"""What evidence can say to a question: one small function for each topic, and the table of topics."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from loopline.report.coverage import percent_covered
from loopline.report.evidence import Draft, Picture, Sentence, Sources, listed, number
from loopline.repository import is_test

_COVERAGE_FILES = ("coverage.json", "coverage.xml", "reports/coverage.json", "reports/coverage.xml")
_INSTALLS = (
    ("uv.lock", "uv sync"),
    ("poetry.lock", "poetry install"),
    ("pdm.lock", "pdm install"),
    ("Pipfile.lock", "pipenv sync"),
    ("environment.yml", "conda env create -f environment.yml"),
    ("environment.yaml", "conda env create -f environment.yaml"),
    ("requirements.txt", "python -m venv .venv && .venv/bin/pip install -r requirements.txt"),
    ("pyproject.toml", "python -m venv .venv && .venv/bin/pip install -e ."),
)
_EVENTS = {
    "push": "a push",
    "pull_request": "a pull request",
    "schedule": "a schedule",
    "workflow_dispatch": "a person",
}


def environment(sources: Sources) -> Draft:
    """Declared and locked dependencies, and the commands that make a copy."""
    repository = sources.repository
    by_file = Counter(declared.path for declared in repository.declared if declared.role != "lock")
    found = [
        Sentence(f"`{path}` declares {number(count, 'package')}.", (path,)) for path, count in by_file.most_common(4)
    ]
    locks = list(dict.fromkeys(item.path for item in repository.declared if item.role == "lock"))
    found += [
        Sentence(f"`{path}` locks {len(repository.locked)} packages to exact versions.", (path,)) for path in locks[:1]
    ]
    install = next(((name, command) for name, command in _INSTALLS if name in repository.files), None)
    if install:
        found.append(
            Sentence(
                f"A copy of the environment is made by `{install[1]}` in a clone of the repository.", (install[0],)
            )
        )
    return Draft(tuple(found), still_open="Does this work on a new machine? Who tried it?")


def structure(sources: Sources) -> Draft:
    """The largest folders and what is in them."""
    paths = [PurePosixPath(path) for path in sources.repository.own_paths]
    if not paths:
        return Draft(())
    tops = Counter(path.parts[0] for path in paths if len(path.parts) > 1 and not path.parts[0].startswith("."))
    found = [Sentence(f"The repository has {number(len(paths), 'file')} of its own.", ("git ls-files",))]
    for folder, count in tops.most_common(6):
        kinds = Counter(path.suffix or path.name for path in paths if path.parts[0] == folder)
        kind = listed(f"`{name}`" for name, _ in kinds.most_common(2))
        found.append(Sentence(f"`{folder}/` holds {number(count, 'file')}, mostly {kind}.", (folder,)))
    return Draft((*found, *sources.said("cookiecutter")), still_open="Which folders did you add or remove, and why?")


def quality(sources: Sources) -> Draft:
    """Rules for code and where they are enforced."""
    return Draft(
        tuple(sources.said("pep8", "typing_docs", "precommit", "ci_lint", "docs")),
        still_open="Why do such rules matter in a larger project?",
    )


def tests(sources: Sources) -> Draft:
    """Test functions, counted, by file."""
    counts = {
        path: sum(function.name.rpartition(".")[2].startswith("test") for function in module.functions)
        for path, module in sources.repository.python.items()
        if is_test(path)
    }
    counts = {path: count for path, count in counts.items() if count}
    if not counts:
        return Draft((), still_open="Are there tests? No test function was found in the files.")
    found = [
        Sentence(
            f"The project has {number(sum(counts.values()), 'test function')} in {number(len(counts), 'file')}.",
            tuple(counts)[:3],
        )
    ]
    for path, count in sorted(counts.items(), key=lambda item: -item[1])[:4]:
        subject = PurePosixPath(path).stem.removeprefix("test_").removesuffix("_test").replace("_", " ")
        found.append(Sentence(f"{number(count, 'test').capitalize()} of {subject}.", (path,)))
    return Draft(
        (*found, *sources.said("tests_data", "tests_model", "api_tests")), still_open="Which part is least tested?"
    )


def coverage(sources: Sources) -> Draft:
    """The figure that was measured just now, where somebody asked for it, else of a report that lies in the project."""
    percent = next(((value, name) for name in _COVERAGE_FILES if (value := _percent(sources, name)) is not None), None)
    measured = sources.coverage
    if measured is not None:
        percent = (measured.percent, measured.command)
    found = [] if percent is None else [Sentence(f"The tests cover {percent[0]:.0f}% of the lines.", (percent[1],))]
    if measured is not None and not measured.all_passed:
        found.append(Sentence("Some of the tests failed while this was measured.", (measured.command,)))
    still_open = "Would you trust code with full coverage?"
    if percent is None:
        still_open = f"What is the coverage? `loopline report fill --coverage` runs the tests. {still_open}"
    return Draft((*found, *sources.said("coverage")), still_open=still_open)


def _percent(sources: Sources, name: str) -> float | None:
    path = sources.root / name
    if path.is_symlink() or not path.is_file() or path.stat().st_size > 32 << 20:
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    if name.endswith(".xml"):
        match = re.search(r"<coverage\b[^>]*\bline-rate=\"([\d.]{1,8})\"", text)
        return 100 * float(match[1]) if match and match[1].count(".") < 2 else None
    return percent_covered(text)


def branches(sources: Sources) -> Draft:
    """Commits, branches and merges."""
    history = sources.repository.history
    if not history.num_commits:
        return Draft((), still_open="Is the project in git?")
    found = [
        Sentence(
            f"The history has {number(history.num_commits, 'commit')} by {number(history.num_authors, 'author')}"
            f" and {number(history.num_merges, 'merge')}.",
            ("git log",),
        ),
        Sentence(
            f"{number(history.num_pull_requests, 'commit').capitalize()} of it came through pull requests.",
            ("git log",),
        ),
        Sentence(
            f"There are {len(history.branches)} branches: {listed(history.branches)}."
            if len(history.branches) > 1
            else "There is one branch.",
            ("git branch -a",),
        ),
    ]
    return Draft(tuple(found), still_open="How did branches and pull requests help you?")


def data(sources: Sources) -> Draft:
    """How data is fetched, stored and versioned."""
    return Draft(
        tuple(sources.said("data_vc", "gcp_bucket", "data_script", "wf_data")),
        still_open="What did versions of the data improve?",
    )


def integration(sources: Sources) -> Draft:
    """Workflows, what starts them, on what they run, and what they keep."""
    found = []
    for path, workflow in list(sources.repository.workflows.items())[:8]:
        events = listed(_EVENTS.get(event, f"`{event}`") for event in workflow.events)
        jobs = listed(f"`{job.name}`" for job in workflow.jobs)
        found.append(Sentence(f"`{PurePosixPath(path).name}` runs {jobs}, started by {events}.", (path,)))
    return Draft(
        (*found, *sources.said("ci_matrix", "ci_cache", "ci_lint", "coverage")),
        still_open="Link to one run. What did it catch?",
    )


def configuration(sources: Sources) -> Draft:
    """Where configuration is read, and a command."""
    found = sources.said("config_files", "hydra", "cli")
    command = next(_training_commands(sources), None)
    if command:
        found.append(Sentence(f"An experiment is run by `{command[0]}`.", (command[1],)))
    return Draft(tuple(found), still_open="Which values did you vary?")


def _training_commands(sources: Sources) -> Iterator[tuple[str, str]]:
    for command in sources.repository.commands:
        if re.search(r"\btrain\w*\b", command.text) and len(command.text) < 120 and "\n" not in command.text:
            yield command.text.strip(), f"{command.path}:{command.line}" if command.line else command.path
    for path, module in sources.repository.python.items():
        decorators = [name for function in module.functions for name in function.decorators]
        if "train" in path and any(re.search(r"hydra\.main|command$", name) for name in decorators):
            yield f"python {path}", path


def reproducibility(sources: Sources) -> Draft:
    """Seeds, locks and configuration."""
    calls = re.compile(r"(seed_everything|manual_seed|random\.seed|set_seed)$")
    seeds = [
        f"{path}:{call.line}"
        for path, module in sources.repository.python.items()
        for call in module.calls
        if calls.search(call.name)
    ]
    found = [Sentence(f"The random seed is set in {number(len(seeds), 'place')}.", tuple(seeds[:3]))] if seeds else []
    return Draft(
        (*found, *sources.said("config_files", "data_vc", "dockerfiles", "wandb")),
        still_open="Did anybody repeat an experiment, and was the result the same?",
    )


def tracking(sources: Sources) -> Draft:
    """The tracker, what is logged, and curves from the stores that lie in the project."""
    from loopline.report.results.curves import metric_curves

    logged = sorted(
        {
            str(value)
            for module in sources.repository.python.values()
            for call in module.calls
            if call.method in ("log", "log_metric", "add_scalar") and call.arguments
            for value in [call.arguments[0]]
            if isinstance(value, str) and re.fullmatch(r"[\w/. -]{2,40}", value)
        }
    )
    found = sources.said("wandb", "sweep", "lightning")
    if logged:
        found.append(Sentence(f"The code logs {listed(f'`{name}`' for name in logged)}.", ("calls of log",)))
    sentences, pictures = metric_curves(sources.root, sources.loose_files)
    return Draft(
        (*found, *sentences), tuple(pictures), still_open="Why do these metrics matter? What did you learn from them?"
    )


def docker(sources: Sources) -> Draft:
    """Images and how they are built and run."""
    found = []
    for path, dockerfile in list(sources.repository.dockerfiles.items())[:5]:
        name = (
            re.sub(r"[^a-z0-9]+", "-", path.lower().replace("dockerfiles/", "").replace("dockerfile", "")).strip("-")
            or "app"
        )
        base = next((item.text.split()[0] for item in dockerfile.of("FROM") if item.text.split()), "an unknown image")
        ports = [item.text.split()[0] for item in dockerfile.of("EXPOSE") if item.text.split()]
        port = f" -p {ports[0]}:{ports[0]}" if ports and ports[0].isdigit() else ""
        found.append(
            Sentence(
                f"`{path}` builds on `{base}`: `docker build -f {path} -t {name} .`, then"
                f" `docker run --rm{port} {name}`.",
                (path,),
            )
        )
    return Draft((*found, *sources.said("docker_trigger")), still_open="What did you use the images for?")


def architecture(sources: Sources) -> Draft:
    """A diagram of what was found, and its boxes as sentences."""
    from loopline.report.diagram import diagram_of

    diagram = diagram_of(sources)
    sentences = [
        Sentence(f"{box.name}: {box.detail}.", (box.source,)) for stage in diagram.stages for box in stage.boxes
    ]
    if not sentences:
        return Draft((), still_open="Which parts does the system have?")
    files = ((".svg", diagram.svg().encode()), (".png", diagram.png()))
    alt = "Architecture: " + ", then ".join(stage.name.lower() for stage in diagram.stages)
    picture = Picture("architecture", alt, files)
    return Draft(
        tuple(sentences), (picture,), still_open="Explain in your own words what happens from a commit to a prediction."
    )


def profiling(sources: Sources) -> Draft:
    """What profiles in the project show, and what the audit found."""
    from loopline.report.results.profiles import profile_sentences

    found = profile_sentences(sources.root, sources.loose_files)
    asked = "What did you change after it?" if found else "What did the profile show?"
    return Draft((*found, *sources.said("profiling", "logging")), still_open=f"{asked} How did you find bugs?")


def load(sources: Sources) -> Draft:
    """What load tests measured, and what the audit found about tests of the API."""
    from loopline.report.results.load_tests import load_test_sentences

    found = load_test_sentences(sources.root, sources.loose_files)
    asked = "On which machine?" if found else "How many requests per second did the service answer?"
    return Draft((*found, *sources.said("api_tests", "load_test")), still_open=asked)


def monitoring(sources: Sources) -> Draft:
    """What drift reports found, and what the audit found about monitoring."""
    from loopline.report.results.drift_reports import drift_sentences

    found = drift_sentences(sources.root, sources.loose_files)
    items = ("drift", "drift_api", "io_collection", "metrics", "mon_system", "mon_perf", "cloud_monitoring")
    return Draft((*found, *sources.said(*items)), still_open="What did monitoring tell you?")


def nothing(_: Sources) -> Draft:
    """What no file can know stays a question."""
    return Draft(())


def from_audit(*items: str, still_open: str) -> Callable[[Sources], Draft]:
    """A draft of nothing but what the audit found for these items."""

    def draft(sources: Sources) -> Draft:
        return Draft(tuple(sources.said(*items)), still_open=still_open)

    return draft


class Topic(NamedTuple):
    """What a question is about: how its text is known, in lower case, and what drafts an answer."""

    name: str
    wording: str
    draft: Callable[[Sources], Draft]


# In this order; the first that fits is a question's.
TOPICS = (
    Topic("credits", r"\bcredits\b|cost", nothing),
    Topic("people", r"contribut|struggle|hardest|members? (?:of|in) the group|group number", nothing),
    Topic("architecture", r"architecture of", architecture),
    Topic("environment", r"manage\w* (?:your )?dependencies|copy of your environment", environment),
    Topic("structure", r"structure of (?:your|the) (?:code|repository)", structure),
    Topic("quality", r"rules for code quality", quality),
    Topic("coverage", r"code coverage", coverage),
    Topic("load", r"(?:load|unit) testing.*api|test the api|under load", load),
    Topic("tests", r"how many tests", tests),
    Topic("branches", r"branches and pull requests?", branches),
    Topic("integration", r"continu\w+ integration", integration),
    Topic("data", r"\bdvc\b|data versioned", data),
    Topic("configuration", r"configure experiments", configuration),
    Topic("reproducibility", r"reproducib|can be repeated", reproducibility),
    Topic("tracking", r"w&b|experiment tracking", tracking),
    Topic("docker", r"\bdocker\b.*(?:containerized|use|dockerfile)", docker),
    Topic("profiling", r"\bprofile\b", profiling),
    Topic(
        "training",
        r"train your model in|virtual machines|compute engine",
        from_audit("gcp_train", "dist_train", still_open="Which machines did you use, and why?"),
    ),
    Topic(
        "services",
        r"(?:gcp|cloud) services",
        from_audit(
            "gcp_bucket",
            "gcp_train",
            "docker_trigger",
            "deploy_cloud",
            "cloud_monitoring",
            still_open="What else did you use in the cloud?",
        ),
    ),
    Topic("monitoring", r"monitor", monitoring),
    Topic(
        "deployment",
        r"deploy",
        from_audit("deploy_cloud", "fastapi", "torchserve", still_open="How is the service invoked?"),
    ),
    Topic(
        "api",
        r"\bapi for your model",
        from_audit(
            "fastapi", "onnx_bentoml", "torchserve", "quant", still_open="What does the API offer beyond predictions?"
        ),
    ),
    Topic(
        "extras",
        r"anything (?:extra|that no other)",
        from_audit("frontend", "docs", "docs_published", "drift_api", still_open="Why did you build it?"),
    ),
)
