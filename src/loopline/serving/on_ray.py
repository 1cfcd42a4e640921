"""The same application as replicas on a Ray cluster, as many as the load asks for. The only module that knows Ray.

`deploy` sends the bundle to every node through Ray's object store, as bytes that each replica checks again: nodes need
Loopline installed, and no folder in common. `application` is what a cluster imports that is told what to serve by a
file, as KubeRay's RayService; its replicas fetch the bundle themselves.
"""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import ray
from fastapi import FastAPI
from ray import serve

from loopline.bundle import BUNDLE_FILE, read_bundle
from loopline.core.errors import ConfigError, InputError, StateError
from loopline.core.records import Record
from loopline.core.store import write_bytes
from loopline.core.validation import validated
from loopline.prediction_log import open_log_to_write
from loopline.predictor import open_predictor
from loopline.serving.app import build_app
from loopline.serving.scaling import RaySettings
from loopline.serving.settings import ServeSettings, read_environment
from loopline.storage import open_place, pull_folder

APPLICATION = "loopline"
# How long requests must ask for another replica, and the time whose mean asks. Ray's own, half a minute each, leave a
# burst to the replicas that are there.
_UPSCALE_DELAY_S, _LOOK_BACK_S = 5.0, 15.0


class Replica:
    """One process of the application, on whichever node Ray starts it."""

    def __init__(
        self, files: Mapping[str, bytes], settings: ServeSettings, *, model: str, num_threads: int, log_place: str
    ) -> None:
        """Lays the bundle's files into a folder of its own and opens them as any server does."""
        self._opened = ExitStack()
        folder = Path(self._opened.enter_context(tempfile.TemporaryDirectory(prefix="loopline-replica-")))
        for name, data in files.items():
            write_bytes(folder / "bundle" / name, data)
        predictor = open_predictor(folder / "bundle", num_threads=num_threads)
        # Rows that wait for a database outlive the replica: the next one on this node sends them.
        spool_folder = Path(tempfile.gettempdir()) / "loopline-spool"
        spool_folder.mkdir(exist_ok=True)
        log = self._opened.enter_context(
            open_log_to_write(log_place, spool_folder=spool_folder, max_spool_rows=settings.log_spool_rows)
        )
        self._app = build_app(predictor, settings, model=model, log=log)

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Asked by Ray, once."""
        return self._app

    async def check_health(self) -> None:
        """Asked by Ray, again and again; a replica that does not predict its reference inputs is replaced."""
        if not self._app.state.service.readiness.is_ready:
            raise StateError("the replica does not reproduce its reference predictions.")

    def __del__(self) -> None:
        self._opened.close()


def deploy(folder: Path, settings: ServeSettings, scaling: RaySettings, *, model: str, log_path: Path) -> str:
    """Starts or replaces the application on the cluster and returns its address, once it answers.

    Replicas are replaced one after the other, so that running it again with another bundle loses no request. Raises
    `ConfigError` for a prediction log that would stay on the nodes, and what `read_bundle` raises.
    """
    _check(settings, scaling)
    files = _read_files(folder)
    if not ray.is_initialized():
        ray.init(address=scaling.ray_address, log_to_driver=False, logging_level=logging.WARNING)
    serve.start(proxy_location="HeadOnly", http_options={"host": settings.host, "port": settings.port})
    bound = _replicas(settings, scaling).bind(
        _Files(partial(_sent_files, ray.put(files))),
        settings,
        model=model,
        num_threads=settings.num_threads or scaling.cores_per_replica,
        log_place=settings.log or str(log_path.absolute()),
    )
    serve.run(bound, name=APPLICATION, route_prefix="/")
    return f"http://{settings.host}:{settings.port}"


class ApplicationArguments(Record):
    """What an application that Ray Serve imports is told: `args` of a Serve configuration file."""

    # A folder on every node, as of an image or a volume, or an address: gs://…, s3://…, file:///….
    bundle: str
    # By which callers know it.
    model: str
    # Of the server; what is not given is read from the environment, where secrets belong.
    settings: dict[str, Any] = {}


def application(args: Mapping[str, Any]) -> serve.Application:
    """What Ray Serve builds for the import path `loopline.serving.on_ray:application`; see `ApplicationArguments`.

    How many replicas there are, and on how many cores, is said beside it, for the deployment `loopline`. Raises
    `ConfigError` for arguments that are wrong, for a challenger, and where no log is named: nodes keep nothing.
    """
    given = validated(ApplicationArguments, args, where="args")
    settings = validated(ServeSettings, {**read_environment(os.environ), **given.settings}, where="args.settings")
    _check(settings, RaySettings())
    if settings.log is None:
        raise ConfigError(
            "no prediction log is named; expected settings.log or the variable LOOPLINE_SERVE_LOG, as "
            "postgresql://HOST/DATABASE."
        )
    return _replicas(settings, RaySettings()).bind(
        _Files(partial(_stored_files, given.bundle)),
        settings,
        model=given.model,
        num_threads=settings.num_threads or 1,
        log_place=settings.log,
    )


def _replicas(settings: ServeSettings, scaling: RaySettings) -> serve.Deployment:
    """Replicas that a cluster may start and stop; a Serve configuration file may change how many."""
    return serve.deployment(
        name=APPLICATION,
        ray_actor_options={"num_cpus": scaling.cores_per_replica},
        autoscaling_config={
            "min_replicas": scaling.min_replicas,
            "max_replicas": scaling.max_replicas,
            "target_ongoing_requests": scaling.target_requests,
            "upscale_delay_s": _UPSCALE_DELAY_S,
            "look_back_period_s": _LOOK_BACK_S,
        },
        # Ours refuses with 429 what is too much; Ray only has to hand over more than that.
        max_ongoing_requests=settings.max_queue_size + 1,
        health_check_period_s=settings.verify_interval_s,
        graceful_shutdown_timeout_s=settings.shutdown_timeout_s,
    )(serve.ingress()(Replica))


def serve_on_ray(folder: Path, settings: ServeSettings, scaling: RaySettings, *, model: str, log_path: Path) -> None:
    """Deploys the application, prints its address, and takes it away again on SIGTERM or SIGINT.

    On a cluster that was running before (`scaling.ray_address`), the application goes on without this process, until
    `ray.serve.delete` or `serve shutdown` ends it.
    """
    url = deploy(folder, settings, scaling, model=model, log_path=log_path)
    if scaling.ray_address is not None:
        print(f"serving {model} at {url}", flush=True)
        return
    wait_for_signal(lambda: print(f"serving {model} at {url}", flush=True))
    serve.shutdown()  # type: ignore[no-untyped-call]  # Ray's own
    ray.shutdown()


def wait_for_signal(on_ready: Callable[[], None]) -> None:
    """Calls `on_ready` and returns at SIGTERM or SIGINT; after Ray was started, which ends the process at the first."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    on_ready()
    stop.wait()


class _Files(Mapping[str, bytes]):
    """A bundle's files by their names; fetched by the replica that looks into them first."""

    def __init__(self, fetch: Callable[[], Mapping[str, bytes]]) -> None:
        self._fetch = fetch
        self._files: Mapping[str, bytes] | None = None

    def __getitem__(self, name: str) -> bytes:
        return self._fetched()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fetched())

    def __len__(self) -> int:
        return len(self._fetched())

    def __reduce__(self) -> tuple[Any, ...]:
        return (_Files, (self._fetch,))

    def _fetched(self) -> Mapping[str, bytes]:
        if self._files is None:
            self._files = self._fetch()
        return self._files


def _read_files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in (*read_bundle(folder).files, BUNDLE_FILE)}


def _sent_files(reference: Any) -> Mapping[str, bytes]:
    found: Mapping[str, bytes] = ray.get(reference)
    return found


def _stored_files(place: str) -> dict[str, bytes]:
    """The files of a bundle that lies in a folder of this node, or at an address."""
    if "://" not in place:
        return _read_files(Path(place))
    with tempfile.TemporaryDirectory(prefix="loopline-bundle-") as folder:
        pull_folder(open_place(place), Path(folder))
        return _read_files(Path(folder))


def _check(settings: ServeSettings, scaling: RaySettings) -> None:
    if settings.port == 0:
        raise InputError("port 0 given; Ray's proxy needs to know its port, as --port 8000.")
    if scaling.ray_address is not None and not (settings.log or "").startswith("postgresql://"):
        raise ConfigError(
            "replicas on other machines cannot write a prediction log on this one; expected one by its URL.",
            next_command="loopline serve MODEL --on ray --log postgresql://HOST/DATABASE",
        )
    if settings.shadow is not None or settings.split is not None:
        raise ConfigError("a cluster serves one bundle; shadow and split need a server on one machine.")
