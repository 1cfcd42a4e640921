"""`CloudSettings`: where a project's models go, as `[tool.loopline.cloud]` of its `pyproject.toml` says."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from loopline.core.records.record import Name, Record

# What a container may be called in every place that it goes to (RFC 1123).
HostName = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]{0,47}[a-z0-9])?$")]
TargetName = Literal["cloudrun", "vertex-endpoint", "kubernetes", "compose"]
PlaceName = Literal["vertex", "vm", "kubernetes"]
# Processors that images are built for.
Platform = Literal["linux/amd64", "linux/arm64"]


class ServiceSettings(Record):
    """One running server: its size, its limits, who may ask it."""

    memory_mib: int = Field(1024, ge=128)
    num_cpus: float = Field(1.0, gt=0)
    port: int = Field(8080, ge=1, le=65_535)
    # Requests that one instance answers at once.
    max_concurrency: int = Field(16, ge=1)
    min_instances: int = Field(0, ge=0)
    max_instances: int = Field(2, ge=1)
    timeout_s: int = Field(60, ge=1, le=3600)
    # Of a Vertex endpoint.
    machine: str = "n1-standard-2"
    # Environment variable to the name of the secret that holds its value.
    secrets: dict[str, str] = {}
    # Anyone may ask; otherwise only who has the role run.invoker.
    public: bool = False
    # Of Kubernetes.
    namespace: HostName = "default"
    # What runs the serving image in Kubernetes: a Deployment, or a RayService of KubeRay.
    workload: Literal["deployment", "rayservice"] = "deployment"

    @model_validator(mode="after")
    def _instances_agree(self) -> Self:
        if self.min_instances > self.max_instances:
            raise ValueError(f"min_instances is {self.min_instances}; expected at most max_instances")
        return self


class JobSettings(Record):
    """One machine that trains: its kind, and when it stops by itself."""

    machine: str = "n1-standard-4"
    # A card such as `nvidia-tesla-t4`; None for none.
    accelerator: str | None = None
    num_accelerators: int = Field(1, ge=1)
    disk_gb: int = Field(100, ge=20)
    # Cheaper, and taken away at any moment: the run goes on from its checkpoint on another machine.
    spot: bool = False
    max_hours: float = Field(4.0, gt=0)
    # Without a new checkpoint or metric for so long, the machine stops.
    max_idle_minutes: float = Field(30.0, gt=0)
    # Machines that are started again after a spot machine was taken away.
    max_restarts: int = Field(3, ge=0)


class CloudSettings(Record):
    """What every target needs; None where a command says what is missing."""

    project: str | None = None
    region: str = "europe-west1"
    # Of a single machine; None for the region's zone `b`.
    zone: str | None = None
    # Artifact Registry's, for images.
    repository: HostName = "loopline"
    # Without `gs://`.
    bucket: str | None = None
    # Who builds images, and who runs them; the part before `@` or a whole address.
    build_account: str = "loopline-build"
    run_account: str = "loopline-run"
    # `owner/name` of the repository whose workflows deploy without a key.
    github_repository: str | None = None
    platform: Platform = "linux/amd64"
    # For everything that is deployed, a month.
    budget_usd: float | None = Field(None, gt=0)
    service: ServiceSettings = ServiceSettings()
    job: JobSettings = JobSettings()

    @property
    def machine_zone(self) -> str:
        return self.zone or f"{self.region}-b"

    def account(self, name: str) -> str:
        """The whole address of a service account of the project."""
        return name if "@" in name else f"{name}@{self.project}.iam.gserviceaccount.com"

    def image(self, name: Name, tag: str) -> str:
        """The address of an image in the project's registry."""
        return f"{self.region}-docker.pkg.dev/{self.project}/{self.repository}/{name}:{tag}"
