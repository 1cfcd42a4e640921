"""What a cluster imports that is told what to serve by a file: built as Ray Serve builds it, and asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from loopline.bundle import read_bundle
from loopline.cloud import rollouts
from loopline.core.errors import ConfigError, LooplineError
from loopline.core.records import CloudSettings
from loopline.deployment import Order
from loopline.deployment.files import read_yaml
from loopline.deployment.ray import ray_service
from loopline.serving.settings import read_environment
from loopline.storage import open_place, push_folder

pytest.importorskip("ray", reason="replicas on a cluster need the extra 'ray'")

pytestmark = pytest.mark.filterwarnings("default")

IMPORT_PATH = "loopline.serving.on_ray:application"


def built(**args: Any) -> Any:
    """The application as Ray Serve's own two functions import and build it; unbound, for there is no cluster."""
    from ray._common.utils import import_attr
    from ray.serve._private.api import call_user_app_builder_with_args_if_necessary

    return call_user_app_builder_with_args_if_necessary(import_attr(IMPORT_PATH), args)


def replica(application: Any) -> Any:
    """One replica of it, from arguments that travelled as they do to a node."""
    from ray import cloudpickle

    from loopline.serving.on_ray import Replica

    bound = application._bound_deployment
    args, kwargs = cloudpickle.loads(cloudpickle.dumps((bound.init_args, bound.init_kwargs)))  # type: ignore[no-untyped-call]  # Ray's own
    return Replica(*args, **kwargs)


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_it_serves_the_bundle_that_its_arguments_name(scheme: str, bundle_folder: Path, tmp_path: Path) -> None:
    """A folder of the image, or an address in a store; the settings' own limits hold."""
    bundle = f"{scheme}{bundle_folder}"
    if scheme:
        bundle = f"file://{tmp_path}/store/tiny"
        push_folder(bundle_folder, open_place(bundle))
    settings = {"log": str(tmp_path / "log.db"), "docs": False}
    application = built(bundle=bundle, model="tiny@champion", settings=settings)
    deployment = application._bound_deployment
    assert deployment.name == "loopline"
    # It closes what it opened when it goes.
    one = replica(application)
    with TestClient(one.__serve_build_asgi_app__()) as client:
        told = client.get("/model").json()
        assert (told["model"], told["bundle_digest"]) == ("tiny@champion", read_bundle(bundle_folder).digest)
        assert client.get("/readyz").status_code == 200
        assert client.get("/docs").status_code == 404


def test_ray_serve_takes_what_a_ray_service_tells_it(bundle_folder: Path) -> None:
    """By Ray's own model of a Serve configuration; what is named there exists, and scales as the settings say."""
    from ray.serve.schema import ServeDeploySchema

    from loopline.serving import on_ray

    service = {"workload": "rayservice", "max_instances": 3}
    order = Order(
        "shapes",
        "tiny@champion",
        read_bundle(bundle_folder),
        bundle_folder,
        "shapes:1",
        CloudSettings.model_validate({"service": service}),
        ray_application=rollouts._RAY_APPLICATION,
    )
    told = read_yaml(ray_service(order)["spec"]["serveConfigV2"])[0]
    application = ServeDeploySchema.model_validate(told).applications[0]
    replicas = application.deployments[0]
    assert replicas.model_dump()["autoscaling_config"]["max_replicas"] == 3
    assert application.args == {"bundle": "/srv/model", "model": "tiny@champion"}
    assert (replicas.name, application.import_path) == (on_ray.APPLICATION, IMPORT_PATH)


def test_settings_come_from_the_environment_too(
    bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a cluster keeps its secrets; arguments hold over it, and a misspelt one is no setting."""
    monkeypatch.setenv("LOOPLINE_SERVE_LOG", str(tmp_path / "log.db"))
    monkeypatch.setenv("LOOPLINE_SERVE_MAX_QUEUE_SIZE", "7")
    assert built(bundle=str(bundle_folder), model="m")._bound_deployment.max_ongoing_requests == 8
    given = built(bundle=str(bundle_folder), model="m", settings={"max_queue_size": 9})
    assert given._bound_deployment.max_ongoing_requests == 10
    monkeypatch.setenv("LOOPLINE_SERVE_MAX_QUEU_SIZE", "7")
    with pytest.raises(LooplineError, match="LOOPLINE_SERVE_MAX_QUEUE_SIZE"):
        built(bundle=str(bundle_folder), model="m")


def test_what_it_cannot_be_told_is_refused(bundle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown argument, no log, a challenger: when it is built, and in a sentence."""
    monkeypatch.delenv("LOOPLINE_SERVE_LOG", raising=False)
    with pytest.raises(ConfigError, match=r"unknown key 'args\.bundel'"):
        built(bundle="b", model="m", bundel="b")
    with pytest.raises(ConfigError, match="no prediction log is named"):
        built(bundle=str(bundle_folder), model="m")
    with pytest.raises(ConfigError, match="a cluster serves one bundle"):
        built(bundle=str(bundle_folder), model="m", settings={"log": "/tmp/x.db", "shadow": "other@x"})  # noqa: S108 - never opened


def test_several_values_stand_with_spaces_between_them() -> None:
    """As on the command line."""
    digest = "0" * 64
    found = read_environment({"LOOPLINE_SERVE_API_KEY": f"a:{digest} b:{digest}", "PORT": "9", "HOME": "/x"})
    assert found == {"api_key": (f"a:{digest}", f"b:{digest}"), "port": "9"}
