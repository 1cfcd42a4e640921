"""A bundle that is to be deployed, an order for it, and tools whose edges are recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.recorded_google import PROJECT, REGION

from loopline.bundle import read_bundle
from loopline.core.records import CloudSettings, Deployment, ModelBundle, utc_now
from loopline.deployment import Order
from loopline.testing import make_bundle

IMAGE = f"{REGION}-docker.pkg.dev/{PROJECT}/loopline/shapes:0123456789ab"


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of three shapes; read only."""
    return make_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="session")
def bundle(bundle_folder: Path) -> ModelBundle:
    """Its record."""
    return read_bundle(bundle_folder)


@pytest.fixture
def settings() -> CloudSettings:
    """A project, with a secret and limits of its own."""
    service = {"secrets": {"LABEL_TOKEN": "token"}, "max_instances": 3}
    return CloudSettings.model_validate({"project": PROJECT, "bucket": "potato-models", "service": service})


@pytest.fixture
def order(bundle: ModelBundle, bundle_folder: Path, settings: CloudSettings) -> Order:
    """The bundle as the service `shapes`."""
    ray = "loopline.serving.on_ray:application"
    return Order("shapes", "tiny@champion", bundle, bundle_folder, IMAGE, settings, ray_application=ray)


def deployed(order: Order, **changes: Any) -> Deployment:
    """What is remembered of a deployment of that order."""
    facts: dict[str, Any] = {
        "name": order.name,
        "target": "cloudrun",
        "model": order.model,
        "bundle_digest": order.bundle.digest,
        "image": order.image,
        "status": "serving",
        "settings": order.settings,
        "deployed_at": utc_now(),
    }
    return Deployment.model_validate({**facts, **changes})


class RecordedCommands:
    """Commands as recorded answers: the words that a command begins with to what it prints, or an error to raise."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = answers
        self.lines: list[str] = []

    def __call__(self, words: Any) -> str:
        """Answers like `run_command`."""
        line = " ".join(words)
        self.lines.append(line)
        for part, answer in self.answers.items():
            if part in line:
                if isinstance(answer, Exception):
                    raise answer
                return str(answer)
        return ""

    @contextmanager
    def forward(self, name: str, namespace: str, port: int) -> Iterator[str]:
        """Answers like `forward_port`."""
        self.lines.append(f"forward {name} {namespace} {port}")
        yield "http://127.0.0.1:1"
