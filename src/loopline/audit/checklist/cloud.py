"""Items about the cloud: training there, serving there, and being told when it goes wrong."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from loopline.audit.rule import ItemRule, Judgement, cannot_be_seen, done, not_found, partial
from loopline.audit.traces import MOST_EVIDENCE, called, code, named, running, shown, uses
from loopline.core.records.audit import Evidence
from loopline.repository import Repository, is_test

THEME = "Cloud"
_SUBMITS = (
    r"gcloud (beta |alpha )?(ai custom-jobs|ai-platform jobs submit|ai hp-tuning-jobs|"
    r"compute instances create|batch jobs submit|"
    r"compute ssh|run jobs (deploy|create|execute))|sky launch|ray submit"
)
_JOBS = (
    "google.cloud.aiplatform.CustomJob",
    "google.cloud.aiplatform.CustomContainerTrainingJob",
    "google.cloud.aiplatform.CustomTrainingJob",
    "google.cloud.aiplatform.CustomJob.from_local_script",
    "google.cloud.aiplatform.PipelineJob",
    "sagemaker.pytorch.PyTorch",
)
_DEPLOYS = (
    r"gcloud (beta |alpha )?(run deploy|run services (update|replace)|functions deploy|app deploy|"
    r"ai endpoints deploy-model|"
    r"ai models upload|container clusters create)|kubectl apply|helm (install|upgrade)|firebase deploy|terraform apply"
)
_DEPLOY_ACTIONS = re.compile(
    r"google-github-actions/deploy-(cloudrun|cloud-functions|appengine)|azure/webapps-deploy|"
    r"aws-actions/amazon-ecs-deploy",
    re.IGNORECASE,
)
# A service's own address; angle brackets, dots or "your" stand where a name should.
_SERVICE = re.compile(
    r"https?://(?!\S*(?:<|\.\.\.|your|example|xxx|\{|"
    r"hash))[a-z0-9][a-z0-9-]*(?:\.[a-z0-9-]+)*\.(?:run\.app|cloudfunctions\.net|appspot\.com)"
    r"(?![\w.])",
    re.IGNORECASE,
)
# What sends requests.
_ASKING = ("requests", "httpx", "aiohttp", "urllib.request", "locust", "websockets")
_READ_FOR_ADDRESSES = (
    ".md",
    ".py",
    ".yaml",
    ".yml",
    ".toml",
    ".js",
    ".ts",
    ".tsx",
    ".html",
    ".sh",
    ".txt",
    ".rst",
    ".json",
    ".env",
    ".ipynb",
    "Makefile",
    "dockerfile",
)
_MAX_ADDRESS_BYTES = 300_000
_POLICIES = r"gcloud (alpha |beta )?(monitoring (policies|dashboards|channels|uptime)|logging metrics)|.*ops-agent"


def _check_project(repository: Repository) -> Judgement:
    pattern = re.compile(r"\b(?:[a-z0-9-]+-docker\.pkg\.dev|(?:eu\.|us\.)?gcr\.io)/([a-z][a-z0-9-]{4,})/")
    for command in repository.commands:
        if match := pattern.search(command.text):
            return cannot_be_seen(command.evidence(f"Names the project `{match[1]}`."))
    return cannot_be_seen()


def _check_training(repository: Repository) -> Judgement:
    """A job that is described or submitted; a path into a bucket alone only hints at one."""
    found = []
    for path, config in repository.configs.items():
        for place, value in config.walk():
            if place[-1] in ("workerPoolSpecs", "worker_pool_specs", "trainingInput") and value:
                found.append(Evidence(path=path, line=config.line(*place), sentence="Describes a job for the cloud."))
    found += running(repository.commands, _SUBMITS)
    found += called(code(repository), *_JOBS)
    if found:
        return done(*found[:MOST_EVIDENCE])
    hints = [
        command.evidence(f"Reads a bucket: `{shown(command.text)}`.")
        for command in repository.commands
        if re.search(r"/gcs/|gcsfuse", command.text)
    ]
    for module in code(repository):
        hints += [
            module.evidence(node, "Names a path into a bucket.")
            for node in module.live(ast.Constant)
            if isinstance(node.value, str) and re.match(r"/gcs/\w", node.value)
        ]
    return partial(*hints[:1]) if hints else cannot_be_seen()


def _check_deployment(repository: Repository) -> Judgement:
    found = [*deployments(repository), *addresses(repository)]
    if found:
        return done(*found[:MOST_EVIDENCE])
    ports = running(repository.commands, r".*\$\{?PORT")
    return partial(*ports[:1]) if ports else not_found()


def deployments(repository: Repository) -> Iterator[Evidence]:
    """The steps that deploy, and the sources that a cloud runs as they are."""
    yield from running(repository.commands, _DEPLOYS)
    for workflow in repository.workflows.values():
        for step in workflow.steps:
            if _DEPLOY_ACTIONS.search(step.uses):
                yield workflow.evidence(step.line, f"`{step.uses}` deploys.")
    yield from uses(code(repository), "functions_framework")
    for path in named(repository, r"(^|/)[^/]*(cloud|gcp|gcloud)[_-]?functions?[^/]*/(.+/)?main\.py$"):
        yield Evidence(path=path, sentence="The source of a cloud function.")
    for path, config in repository.configs.items():
        if str(config.get("apiVersion") or "").startswith("serving.knative.dev"):
            yield Evidence(path=path, sentence="Describes a Cloud Run service.")


def addresses(repository: Repository) -> Iterator[Evidence]:
    """Where the project names the address of a service of its own; in tests, where it is asked, no example."""
    for path in repository.own_paths:
        size = repository.files[path].num_bytes or 0
        if not path.endswith(_READ_FOR_ADDRESSES) or size > _MAX_ADDRESS_BYTES:
            continue
        if is_test(path) and not uses((repository.python[path],) if path in repository.python else (), *_ASKING):
            continue
        for number, line in enumerate((repository.text(path) or "").splitlines(), 1):
            if _SERVICE.search(line):
                yield Evidence(path=path, line=number, sentence="Names the address of a running service.")
                break


def _check_monitoring(repository: Repository) -> Judgement:
    found = [
        *running(repository.commands, _POLICIES),
        *uses(code(repository), "google.cloud.monitoring_v3", "google.cloud.monitoring"),
    ]
    found += _monitoring_files(
        repository,
        r"google_monitoring_dashboard|RunMonitoring|run-gmp-sidecar|ops-agent|opentelemetry-collector|PodMonitoring",
    )
    found += uses(
        code(repository),
        "opentelemetry.exporter.cloud_monitoring",
        "google.cloud.monitoring_dashboard",
    )
    if found:
        return done(*found[:MOST_EVIDENCE])
    return cannot_be_seen() if _is_deployed(repository) else not_found()


def _check_alerts(repository: Repository) -> Judgement:
    found = [*running(repository.commands, r"gcloud (alpha |beta )?monitoring (policies|channels)")]
    found += uses(
        code(repository),
        "google.cloud.monitoring_v3.AlertPolicy",
        "google.cloud.monitoring_v3.AlertPolicyServiceClient",
    )
    found += _monitoring_files(
        repository, r"google_monitoring_alert_policy|alertPolic|notificationChannels|alert_rules|alerting_rules"
    )
    if found:
        return done(*found[:MOST_EVIDENCE])
    return cannot_be_seen() if _is_deployed(repository) else not_found()


def _monitoring_files(repository: Repository, pattern: str) -> list[Evidence]:
    """Descriptions of monitoring: of Terraform, of Cloud Run's sidecars, of policies as files."""
    found = []
    for path in repository.own_paths:
        if (
            not path.endswith((".tf", ".yaml", ".yml", ".json"))
            or (repository.files[path].num_bytes or 0) > _MAX_ADDRESS_BYTES
        ):
            continue
        text = repository.text(path) or ""
        if match := re.search(pattern, text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Evidence(path=path, line=line, sentence=f"Describes `{match[0]}`."))
    return found


def _is_deployed(repository: Repository) -> bool:
    return any(True for _ in deployments(repository)) or any(True for _ in addresses(repository))


_DEPLOY = (
    "steps:\n- name: gcr.io/cloud-builders/gcloud\n  args: [run, deploy, leaves, --image, "
    "europe-docker.pkg.dev/leaves-1/api]\n"
)
_SPEC = "workerPoolSpecs:\n  machineSpec:\n    machineType: n1-standard-8\n  replicaCount: 1\n"

RULES = (
    ItemRule(
        id="gcp_project",
        theme=THEME,
        asks="There is a project in the cloud, and everybody is in it.",
        wording=r"create a new project on",
        looks_for="Nothing certain: the name of a project in an image's name is shown.",
        why="One bill, one place for rights.",
        fix="Invite the team in the console.",
        good={"README.md": ""},
        bad={"README.md": ""},
        is_checkable=False,
        check=_check_project,
    ),
    ItemRule(
        id="gcp_train",
        theme=THEME,
        asks="The model trains in the cloud.",
        wording=r"get your model training (on|in)",
        looks_for="A description of a job (`workerPoolSpecs`), a command or a call that submits one; a path into a "
        "bucket "
        "is partial, a machine that somebody started by hand cannot be seen.",
        why="A job that is written down can be started again, by anybody.",
        fix="Describe the job in a file and submit it with `gcloud ai custom-jobs create --config`.",
        good={"configs/vertex.yaml": _SPEC},
        bad={"train.dockerfile": "FROM python:3.12\nCMD python train.py --data /gcs/leaves/data\n"},
        check=_check_training,
    ),
    ItemRule(
        id="deploy_cloud",
        theme=THEME,
        asks="The model is served in the cloud.",
        wording=r"deploy(ed)? your model (in|using) .*gcp",
        looks_for="A step that deploys, the source of a cloud function, or the address of a running service.",
        why="A model that nobody can reach helps nobody.",
        fix="gcloud run deploy, from a cloudbuild.yaml or a workflow.",
        good={"cloudbuild.yaml": _DEPLOY},
        bad={"README.md": "We will serve it at https://<service>.run.app\n"},
        check=_check_deployment,
    ),
    ItemRule(
        id="cloud_monitoring",
        theme=THEME,
        asks="The cloud watches the service.",
        wording=r"setup cloud monitoring",
        looks_for="Monitoring as code: dashboards, collectors, clients of the cloud's monitoring. What was clicked "
        "in a "
        "console cannot be seen.",
        why="Watching that is written down survives the account of who set it up.",
        fix="Describe the collector or the dashboard in a file.",
        good={"src/leaves/api.py": "from google.cloud import monitoring_v3\n\nmonitoring_v3.MetricServiceClient()\n"},
        bad={"requirements.txt": "google-cloud-monitoring\n"},
        check=_check_monitoring,
    ),
    ItemRule(
        id="alerts",
        theme=THEME,
        asks="Somebody is told when the service goes wrong.",
        wording=r"alert systems?",
        looks_for=(
            "An alert policy as code: Terraform, a file, a command. What was clicked in a console cannot be seen."
        ),
        why="Users tell late, and most tell nobody.",
        fix="gcloud alpha monitoring policies create --policy-from-file.",
        good={"monitoring/alerts.tf": 'resource "google_monitoring_alert_policy" "errors" {}\n'},
        bad={"README.md": "We set alerts.\n"},
        check=_check_alerts,
    ),
)
