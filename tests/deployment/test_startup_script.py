"""The script of a machine, really run: Google as a server of this test, programs of the machine as recorders."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.deployment.test_jobs import a_job

from loopline.deployment.job_places import startup_script

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="machines have curl; this one has not")

TOKEN_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"  # noqa: S105 - a path


class Cloud(ThreadingHTTPServer):
    """The metadata server and the API that deletes machines; remembers who asked for what."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str | None]] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Cloud

    def do_GET(self) -> None:
        """The token, as documented: compact JSON, only for who says that the server is meant."""
        self._answer(200 if self.headers["Metadata-Flavor"] == "Google" and self.path == TOKEN_PATH else 403)

    def do_DELETE(self) -> None:
        """An operation's name."""
        self._answer(200)

    def _answer(self, status: int) -> None:
        self.server.asked.append((self.command, self.path, self.headers["Authorization"]))
        token = {"access_token": "of-the-machine", "expires_in": 3599, "token_type": "Bearer"}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(token, separators=(",", ":")).encode())

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """Listening on loopback."""
    with Cloud() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("accelerator", "code"), [(None, 0), ("nvidia-tesla-t4", 0), (None, 3)])
def test_a_machine_works_tells_and_deletes_itself(
    accelerator: str | None, code: int, cloud: Cloud, tmp_path: Path
) -> None:
    """Whatever its work ends with; with a card its driver is there, and every word of the job arrives as it was."""
    job = a_job("gs://potato-models/jobs/1", accelerator=accelerator)
    job = job.model_copy(update={"overrides": ("name=it's", "data.name=a b")})
    address = f"http://127.0.0.1:{cloud.server_address[1]}"
    text = startup_script(job)
    for there, here in {
        "http://metadata.google.internal": address,
        "https://compute.googleapis.com": address,
        "/dev/ttyS0": str(tmp_path / "serial"),
        "HOME=/home/loopline": f"HOME={tmp_path}/home",
    }.items():
        assert there in text
        text = text.replace(there, here)
    script = tmp_path / "startup.sh"
    script.write_text(text)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("docker", "docker-credential-gcr", "cos-extensions", "mount", "chown"):
        says = f"echo epoch 1; exit {code}" if name == "docker" else "exit 0"
        (programs / name).write_text(
            f'#!/bin/sh\nprintf "%s|" {name} "$@" >> {tmp_path}/ran\necho >> {tmp_path}/ran\n{says}\n'
        )
        (programs / name).chmod(0o755)
    subprocess.run(["bash", str(script)], env={"PATH": f"{programs}:/usr/bin:/bin"}, check=False, timeout=60)
    machine = "/compute/v1/projects/potato-lab/zones/europe-west1-b/instances/loopline-20261121-120000-ab12-0"
    assert cloud.asked == [("GET", TOKEN_PATH, None), ("DELETE", machine, "Bearer of-the-machine")]
    assert (tmp_path / "serial").read_text() == "loopline: epoch 1\n"
    ran = (tmp_path / "ran").read_text().splitlines()
    assert "docker-credential-gcr|configure-docker|--registries=europe-west1-docker.pkg.dev|" in ran
    assert ran[-1].endswith(f"{job.image}|job|work|gs://potato-models/jobs/1|name=it's|data.name=a b|")
    assert ("cos-extensions|install|gpu|" in ran) == (accelerator is not None)
    assert ("--device|/dev/nvidia0" in ran[-1]) == (accelerator is not None)
