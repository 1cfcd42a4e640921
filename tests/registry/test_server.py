"""The same registry behind MLflow's own server: its application in a process, its REST API, its artifacts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from loopline.aliases import bundle_folder, list_versions, resolve_version, server, shown_uri
from loopline.bundle import read_bundle
from loopline.core.errors import InputError, IntegrityError, StateError
from loopline.core.records import ModelVersion
from loopline.core.workspace import Workspace
from loopline.registry import history, promote, register, rollback
from loopline.registry.client import registry_client
from loopline.testing import make_png

# MLflow's application without the command `mlflow server`, which takes twice as long to start.
SERVER = """
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server
from mlflow.server import app

class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

with make_server("127.0.0.1", 0, app, server_class=Server) as server:
    print(server.server_port, flush=True)
    server.serve_forever()
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[str]:
    """MLflow's own application in a process, over a fresh database, with the artifacts that it hands out."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copyfile(empty_database, folder / "mlflow.db")
    options = {
        # What `mlflow server --backend-store-uri --artifacts-destination` hands to the application.
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder / 'mlflow.db'}",
        "_MLFLOW_SERVER_REGISTRY_STORE": f"sqlite:///{folder / 'mlflow.db'}",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder / "artifacts"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-c", SERVER], env=os.environ | options, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port, (folder / "log").read_text()
        yield f"http://127.0.0.1:{port}"
        process.kill()


@pytest.fixture
def remote(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace whose registry is the server."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    return Workspace(tmp_path / "remote")


def test_a_server_is_a_registry_like_any_other(remote: Workspace, bundles: list[Path]) -> None:
    """Register, promote, force, roll back: the answers over REST are those of MLflow's client."""
    for folder in bundles[:2]:
        register(folder, name="digits", workspace=remote)
    assert register(bundles[0], name="digits", workspace=remote).number == 1
    promote("digits@1", workspace=remote)
    promote("digits@2", workspace=remote, force_reason="test")
    assert resolve_version("digits@champion", remote).number == 2
    assert rollback("digits", workspace=remote).number == 1
    assert [move.to_number for move in history("digits", workspace=remote)["champion"]] == [1, 2, 1]
    with registry_client(remote) as client:
        theirs = [client.get_model_version("digits", number) for number in "12"]
    ours = list_versions(remote, name="digits")
    assert [(version.number, version.aliases) for version in ours] == [(1, ("champion",)), (2, ())]
    assert [version.source for version in ours] == [f"{row.source}/bundle" for row in theirs]
    assert not remote.tracking_db.exists()


def test_another_machine_downloads_the_bundle_once(
    remote: Workspace, bundles: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A workspace that never saw the bundle gets it from the server, checked file by file, and keeps it."""
    version = register(bundles[2], name="far", workspace=remote)
    assert version.source.startswith("mlflow-artifacts:/")
    elsewhere = Workspace(tmp_path / "elsewhere")
    folder = bundle_folder(resolve_version("far@1", elsewhere), elsewhere)
    assert folder.parent == elsewhere.cache / "registry"
    assert read_bundle(folder) == read_bundle(bundles[2])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert bundle_folder(version, elsewhere) == folder


def test_mlflow_loads_from_the_server(remote: Workspace, bundles: list[Path]) -> None:
    """What was uploaded is a whole model folder, which any client of the server can open."""
    import mlflow.pyfunc
    import pandas as pd  # type: ignore[import-untyped] # has no stubs here

    register(bundles[3], name="loaded", workspace=remote)
    model = mlflow.pyfunc.load_model("models:/loaded/1")
    frame = model.predict(pd.DataFrame({"image": [make_png(height=8, width=8)]}))
    assert frame.shape == (1, 4)


def test_the_version_belongs_to_the_tracked_run_if_the_server_knows_it(remote: Workspace, bundles: list[Path]) -> None:
    """Else a run is made that holds the artifacts, and is finished."""
    with registry_client(remote) as client:
        run_id = client.create_run(client.create_experiment("training")).info.run_id
    register(bundles[0], name="tracked", workspace=remote, tracker_run_id=run_id)
    register(bundles[1], name="tracked", workspace=remote, tracker_run_id="0123456789abcdef0123456789abcdef")
    with registry_client(remote) as client:
        assert client.get_model_version("tracked", "1").run_id == run_id
        made = client.get_run(client.get_model_version("tracked", "2").run_id or "")
        assert (made.info.status, made.info.run_name) == ("FINISHED", "tiny made-for-tests")


def test_long_lists_come_in_pages(remote: Workspace, bundles: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """With one row a page, all rows still come."""
    for folder in bundles[:3]:
        register(folder, name="paged", workspace=remote)
    whole = list_versions(remote)
    monkeypatch.setattr(server, "_PAGE_ROWS", 1)
    assert list_versions(remote) == whole
    assert [version.number for version in list_versions(remote, name="paged")] == [1, 2, 3]


Answer = Callable[[BaseHTTPRequestHandler], tuple[int, bytes]]


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Answer]]:
    """A server that answers whatever `stub["answer"]` says, for what MLflow's own does not do on demand."""
    answers: dict[str, Answer] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers["answer"](self)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{httpd.server_port}")
        yield answers
        httpd.shutdown()
        thread.join()


def test_credentials_are_sent_as_mlflow_sends_them(
    stub: dict[str, Answer], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token or a name with a password from MLflow's variables; a refusal names what to set and tells neither."""
    stub["answer"] = lambda request: (
        (HTTPStatus.OK, b"{}") if request.headers["Authorization"] in ("Bearer t0ken", "Basic YW5uOnBhc3M=")
        else (HTTPStatus.UNAUTHORIZED, b"")
    )  # fmt: skip
    with pytest.raises(StateError, match="refused: 401 Unauthorized") as caught:
        list_versions(workspace)
    assert caught.value.next_command == "export MLFLOW_TRACKING_TOKEN=…"
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wr0ng")
    with pytest.raises(StateError) as caught:
        list_versions(workspace)
    assert "wr0ng" not in str(caught.value)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pass")
    assert list_versions(workspace) == []
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    assert list_versions(workspace) == []


def test_credentials_in_the_address_are_used_and_never_shown(
    stub: dict[str, Answer], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`http://ann:pass@host` is understood, as MLflow does; no message repeats it."""
    stub["answer"] = lambda request: (
        (HTTPStatus.OK, b"{}")
        if request.headers["Authorization"] == "Basic YW5uOnBhc3M="
        else (HTTPStatus.FORBIDDEN, b"")
    )
    port = os.environ["MLFLOW_TRACKING_URI"].rpartition(":")[2]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:p%61ss@127.0.0.1:{port}")
    assert list_versions(workspace) == []
    assert shown_uri(workspace) == f"http://127.0.0.1:{port}"
    for stranger, refusal in ((f"eve:s3cret@127.0.0.1:{port}", "403 Forbidden"), ("eve:s3cret@127.0.0.1:9", "refused")):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{stranger}")
        with pytest.raises(StateError, match=refusal) as caught:
            list_versions(workspace)
        assert "s3cret" not in str(caught.value)


def test_a_server_that_is_not_there_is_named(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence with the address and what to look at, at once."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9/")
    with pytest.raises(StateError, match=r"the registry at http://127\.0\.0\.1:9 does not answer: .*refused"):
        list_versions(workspace)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b'{"next_page_token": 3}',
        b'{"registered_models": 3}',
        b'{"registered_models": [], "model_versions": [{"a": 1}]}',
    ],
)
def test_a_server_that_is_no_registry_is_refused(stub: dict[str, Answer], workspace: Workspace, body: bytes) -> None:
    """Whatever answers with something else is no registry of MLflow."""
    stub["answer"] = lambda _: (HTTPStatus.OK, body)
    with pytest.raises(IntegrityError, match="did not answer as a registry of MLflow 3 does"):
        list_versions(workspace)


@pytest.mark.parametrize(
    ("file", "change", "expected"),
    [
        ("card.md", lambda data: data[:-1] + b"!", r"card\.md' was changed: its SHA-256"),
        ("card.md", lambda data: data + b"!", r"card\.md' has more than the [0-9,]+ bytes expected"),
        ("bundle.json", lambda _: b"{}", r"bundle\.json' is no valid bundle"),
    ],
)
def test_a_download_that_differs_leaves_nothing(
    stub: dict[str, Answer],
    workspace: Workspace,
    bundles: list[Path],
    file: str,
    change: Callable[[bytes], bytes],
    expected: str,
) -> None:
    """Every file is held to the record of the bundle, and a refused one is not kept."""

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, bytes]:
        name = request.path.rsplit("/", 1)[1]
        data = (bundles[0] / name).read_bytes()
        return HTTPStatus.OK, change(data) if name == file else data

    stub["answer"] = answer
    with pytest.raises(IntegrityError, match=expected):
        bundle_folder(_version("mlflow-artifacts:/1/run/artifacts/model/bundle"), workspace)
    assert [path.name for path in (workspace.cache / "registry").iterdir() if path.is_dir()] == []


def test_only_what_the_server_hands_out_is_downloaded(workspace: Workspace) -> None:
    """An artifact store of another kind is named, with the option that makes the server hand it out."""
    with pytest.raises(InputError, match="the bundle lies at 'mlflow-artifacts://other/1/bundle'"):
        bundle_folder(_version("mlflow-artifacts://other/1/bundle"), workspace)
    with pytest.raises(IntegrityError, match="the bundle of digits@1 is gone from 's3:/bucket/bundle'"):
        bundle_folder(_version("s3://bucket/bundle"), workspace)


def _version(source: str) -> ModelVersion:
    return ModelVersion.model_validate(
        {"name": "digits", "number": 1, "bundle_digest": "0" * 64, "source": source, "created_at": "2026-01-01T00:00Z"}
    )
