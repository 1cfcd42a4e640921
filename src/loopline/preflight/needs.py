"""What each target needs, as tables: APIs, your permissions, and those of the accounts that act for you.

Permissions and the roles that carry them: https://cloud.google.com/iam/docs/roles-permissions
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# What the questions themselves need.
_ASKING = ("cloudresourcemanager", "cloudbilling", "iam", "policytroubleshooter")
_STORING = ("artifactregistry", "cloudbuild", "storage")
APIS: Mapping[str, tuple[str, ...]] = {
    "cloudrun": (*_ASKING, *_STORING, "run", "logging"),
    "vertex-endpoint": (*_ASKING, *_STORING, "aiplatform", "logging"),
    "vertex": (*_ASKING, *_STORING, "aiplatform", "logging"),
    "vm": (*_ASKING, *_STORING, "compute"),
}

# Permission to the least predefined role that carries it.
_STORING_YOU = {
    "artifactregistry.repositories.uploadArtifacts": "roles/artifactregistry.writer",
    "cloudbuild.builds.create": "roles/cloudbuild.builds.editor",
}
YOUR_PERMISSIONS: Mapping[str, Mapping[str, str]] = {
    "cloudrun": {
        **_STORING_YOU,
        "run.services.create": "roles/run.developer",
        "run.services.get": "roles/run.developer",
        "run.services.update": "roles/run.developer",
        "logging.logEntries.list": "roles/logging.viewer",
    },
    "vertex-endpoint": {
        **_STORING_YOU,
        "aiplatform.models.upload": "roles/aiplatform.user",
        "aiplatform.endpoints.create": "roles/aiplatform.user",
        "aiplatform.endpoints.deploy": "roles/aiplatform.user",
        "logging.logEntries.list": "roles/logging.viewer",
    },
    "vertex": {
        **_STORING_YOU,
        "aiplatform.customJobs.create": "roles/aiplatform.user",
        "aiplatform.customJobs.get": "roles/aiplatform.user",
        "aiplatform.customJobs.cancel": "roles/aiplatform.user",
        "logging.logEntries.list": "roles/logging.viewer",
    },
    "vm": {
        **_STORING_YOU,
        "compute.instances.create": "roles/compute.instanceAdmin.v1",
        "compute.instances.delete": "roles/compute.instanceAdmin.v1",
        "compute.instances.getSerialPortOutput": "roles/compute.instanceAdmin.v1",
    },
}
# Only where anybody may ask the service.
PUBLIC_PERMISSION = ("run.services.setIamPolicy", "roles/run.admin")


@dataclass(frozen=True)
class Grant:
    """An account, what it must be allowed on which thing, the least role that allows it, and why.

    `account` is `build`, `run` or the name of a service agent; `on` is `project`, `repository` or `bucket`.
    """

    account: str
    permission: str
    on: str
    role: str
    why: str


# Google's own accounts, which pull images for the services: `service-NUMBER@…`.
RUN_AGENT = "serverless-robot-prod.iam.gserviceaccount.com"
VERTEX_AGENT = "gcp-sa-aiplatform.iam.gserviceaccount.com"
VERTEX_JOB_AGENT = "gcp-sa-aiplatform-cc.iam.gserviceaccount.com"

_PULL, _READER = "artifactregistry.repositories.downloadArtifacts", "roles/artifactregistry.reader"
_BUILDING = (
    Grant(
        "build",
        "artifactregistry.repositories.uploadArtifacts",
        "repository",
        "roles/artifactregistry.writer",
        "The build pushes the image with its own account, not with yours.",
    ),
    Grant(
        "build",
        "logging.logEntries.create",
        "project",
        "roles/logging.logWriter",
        "A build that may not write its log fails without one.",
    ),
)
_TRAINING = (
    Grant("run", "storage.objects.get", "bucket", "roles/storage.objectAdmin", "The job reads its data there."),
    Grant("run", "storage.objects.create", "bucket", "roles/storage.objectAdmin", "Checkpoints go there."),
    Grant("run", "storage.objects.delete", "bucket", "roles/storage.objectAdmin", "A newer checkpoint replaces one."),
)
GRANTS: Mapping[str, tuple[Grant, ...]] = {
    "cloudrun": (*_BUILDING, Grant(RUN_AGENT, _PULL, "repository", _READER, "Cloud Run pulls the image with it.")),
    "vertex-endpoint": (
        *_BUILDING,
        Grant(VERTEX_AGENT, _PULL, "repository", _READER, "Vertex pulls the image with it."),
        Grant("run", "storage.objects.get", "bucket", "roles/storage.objectViewer", "The model lies in the bucket."),
    ),
    "vertex": (
        *_BUILDING,
        Grant(VERTEX_JOB_AGENT, _PULL, "repository", _READER, "Vertex pulls the image with it."),
        *_TRAINING,
    ),
    "vm": (
        *_BUILDING,
        Grant("run", _PULL, "repository", _READER, "The machine pulls the image with its own account."),
        Grant(
            "run",
            "compute.instances.delete",
            "project",
            "roles/compute.instanceAdmin.v1",
            "The machine deletes itself when the training is over, even where your laptop is closed.",
        ),
        *_TRAINING,
    ),
}
