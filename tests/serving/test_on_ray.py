"""Replicas on a real Ray cluster of two nodes on this machine; one node is killed while it is asked."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loopline.bundle import read_bundle
from loopline.core.errors import ConfigError, InputError
from loopline.prediction_log import open_log
from loopline.serving.scaling import RaySettings
from loopline.serving.settings import ServeSettings

pytest.importorskip("ray", reason="replicas on a cluster need the extra 'ray'")

# Ray's own threads and sockets, some of which it leaves to the end of the process.
pytestmark = pytest.mark.filterwarnings("default")


def unused_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def ask(port: int) -> tuple[int, dict[str, Any]]:
    """One prediction over HTTP: status and answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        body = json.dumps({"pixels": [[0] * 28] * 28})
        connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        data = response.read()
        return response.status, json.loads(data) if response.status == 200 else {}
    finally:
        connection.close()


def test_what_a_cluster_cannot_do_is_refused(bundle_folder: Path, tmp_path: Path) -> None:
    """A port that nobody knows, a log that would stay on the nodes, a challenger; before Ray is started."""
    from loopline.serving.on_ray import deploy

    log = tmp_path / "log.db"
    with pytest.raises(InputError, match="Ray's proxy needs to know its port"):
        deploy(bundle_folder, ServeSettings(port=0), RaySettings(), model="tiny", log_path=log)
    with pytest.raises(ConfigError, match="expected one by its URL"):
        deploy(bundle_folder, ServeSettings(), RaySettings(ray_address="auto"), model="tiny", log_path=log)
    with pytest.raises(ConfigError, match="a cluster serves one bundle"):
        deploy(bundle_folder, ServeSettings(shadow="other@x"), RaySettings(), model="tiny", log_path=log)


def test_replicas_have_a_range() -> None:
    """The fewest are not more than the most."""
    with pytest.raises(ValueError, match="min_replicas 3 is more than max_replicas 2"):
        RaySettings(min_replicas=3, max_replicas=2)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes with a core each, the head among them, as processes of this machine."""
    import ray
    from ray import serve
    from ray.cluster_utils import Cluster

    # Ten seconds each, where a test would wait for them.
    for place in ("HANDLE", "REPLICA"):
        monkeypatch.setenv(f"RAY_SERVE_{place}_AUTOSCALING_METRIC_PUSH_INTERVAL_S", "1")
    # Without what nobody here looks at: each is a process that takes seconds to start.
    without = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **without})
    other = found.add_node(num_cpus=1)
    ray.init(address=found.address, log_to_driver=False)
    try:
        yield found, other
    finally:
        serve.shutdown()  # type: ignore[no-untyped-call]  # Ray's own
        ray.shutdown()
        found.shutdown()  # type: ignore[no-untyped-call]  # Ray's own


@pytest.mark.slow
@pytest.mark.timeout(540)
def test_a_node_dies_and_the_rest_answer(cluster: Any, bundle_folder: Path, tmp_path: Path) -> None:
    """The load gets a second replica, on the other node; that node is killed, and answers go on until a signal."""
    from loopline.serving.on_ray import deploy, wait_for_signal

    ray_cluster, other = cluster
    port, log_path = unused_port(), tmp_path / "predictions.db"
    scaling = RaySettings(min_replicas=1, max_replicas=2, target_requests=1)
    settings = ServeSettings(port=port, num_threads=1)
    url = deploy(bundle_folder, settings, scaling, model="tiny", log_path=log_path)
    assert url == f"http://127.0.0.1:{port}"
    digest = read_bundle(bundle_folder).digest
    statuses: Counter[int] = Counter()
    digests: set[str] = set()
    may_end = threading.Event()

    def keep_asking() -> None:
        while not may_end.is_set():
            status, answer = ask(port)
            statuses[status] += 1
            if status == 200:
                digests.add(answer["bundle_digest"])

    askers = [threading.Thread(target=keep_asking) for _ in range(4)]
    for asker in askers:
        asker.start()
    try:
        _wait_for(lambda: num_running() == 2)
        ray_cluster.remove_node(other, allow_graceful=False)
        before = statuses[200]
        _wait_for(lambda: statuses[200] >= before + 200)
    finally:
        may_end.set()
        for asker in askers:
            asker.join()
    assert digests == {digest}
    # Those that were in work on the node that died, one per asker, and those sent to it before Ray knew.
    num_lost = sum(count for status, count in statuses.items() if status != 200)
    assert num_lost <= 0.2 * sum(statuses.values()), statuses
    with open_log(log_path, must_exist=True) as log:
        assert len(log.read()) >= 200
    try:
        # Ray's own handler would abort the process.
        wait_for_signal(lambda: os.kill(os.getpid(), signal.SIGTERM))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def num_running() -> int:
    """The replicas that answer."""
    from ray import serve

    # Spelled as an enumeration, and sometimes as its text.
    states: Any = serve.status().applications["loopline"].deployments["loopline"].replica_states
    return int(states.get("RUNNING", 0))


def _wait_for(condition: Any) -> None:
    end_s = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < end_s, "the replicas did not answer in time"
        time.sleep(0.1)
