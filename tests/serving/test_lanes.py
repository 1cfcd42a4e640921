"""A server follows its alias while requests come, and lets challengers see some: nothing fails, nothing is mixed up."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from loopline.core.errors import ConfigError, StateError
from loopline.prediction_log import open_log
from loopline.predictor import PredictorLike, open_predictor
from loopline.serving import ServeSettings, build_app
from loopline.serving.lane import Bundles
from loopline.serving.traffic import is_drawn, parse_split
from loopline.serving.watch import is_alias
from loopline.testing import make_bundle

CHAMPION, CHALLENGER = "shapes@champion", "shapes@challenger"


@pytest.fixture(scope="session")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the same labels, with other weights; read only."""
    return make_bundle(tmp_path_factory.mktemp("other"), seed=5)


class Registry:
    """What aliases point to, as a test likes it; bundles are opened as a server opens them."""

    def __init__(self, **folders: Path) -> None:
        self.folders: dict[str, Path] = {f"shapes@{alias}": folder for alias, folder in folders.items()}
        self.wrap: Callable[[PredictorLike], PredictorLike] = lambda predictor: predictor
        self.is_away = False

    def find(self, reference: str) -> Path:
        if self.is_away:
            raise StateError("the registry does not answer.")
        return self.folders[reference]

    def bundles(self) -> Bundles:
        return Bundles(self.find, lambda folder: self.wrap(open_predictor(folder, num_threads=1)))


@pytest.fixture
def following(predictor: PredictorLike, tmp_path: Path) -> Callable[..., Any]:
    """`with following(registry, option=…) as http`: a server of `shapes@champion` that looks every 20 ms."""

    @contextmanager
    def start(registry: Registry, first: PredictorLike = predictor, **settings: Any) -> Iterator[TestClient]:
        given = ServeSettings(**{"watch_interval_s": 0.02, **settings})
        with open_log(tmp_path / "log.db") as log:
            app = build_app(first, given, model=CHAMPION, log=log, bundles=registry.bundles())
            with TestClient(app, raise_server_exceptions=False) as http:
                yield http

    return start


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.01)


def ask(http: TestClient, picture: bytes, **headers: str) -> dict[str, Any]:
    response = http.post("/predict", files={"file": ("a.png", picture)}, headers=headers)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def series(http: TestClient, name: str) -> float:
    lines = http.get("/metrics").text.splitlines()
    return float(next(line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")))


def test_a_promotion_takes_over_between_two_answers(
    following: Any, bundle_folder: Path, other_folder: Path, picture: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Under load no request fails, and every answer is that of the bundle whose digest it carries."""
    registry = Registry(champion=bundle_folder)
    opened = [open_predictor(folder, num_threads=1) for folder in (bundle_folder, other_folder)]
    expected = {each.bundle.digest: each.predict_raw([picture])[0].outputs.max() for each in opened}
    old, new = (each.bundle.digest for each in opened)
    answers: list[dict[str, Any]] = []
    may_end = threading.Event()

    def work() -> None:
        while not may_end.is_set():
            answers.append(ask(http, picture))

    with following(registry) as http:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: len(answers) > 20)
        registry.folders[CHAMPION] = other_folder
        until(lambda: answers[-1]["bundle_digest"] == new)
        count = len(answers)
        until(lambda: len(answers) > count + 20)
        may_end.set()
        for thread in threads:
            thread.join()
        model = http.get("/model").json()
        assert series(http, f'loopline_model_info{{bundle="{new}",model="{CHAMPION}"}}') == 1
        assert series(http, f'loopline_model_info{{bundle="{old}",model="{CHAMPION}"}}') == 0
        assert series(http, 'loopline_bundle_switches_total{outcome="switched"}') == 1
        assert series(http, "loopline_ready") == 1
    assert model["bundle_digest"] == new
    assert {answer["bundle_digest"] for answer in answers} == {old, new}
    for answer in answers:
        assert answer["confidence"] == pytest.approx(expected[answer["bundle_digest"]], abs=1e-5)
    assert f"{CHAMPION} is bundle {new[:12]} now; it was {old[:12]}." in caplog.text


def test_what_the_old_bundle_still_owes_is_counted(
    following: Any, breakable: Any, bundle_folder: Path, other_folder: Path, picture: bytes
) -> None:
    """The queue's depth, until it has answered; whoever asks in between need not wait for that."""
    registry = Registry(champion=bundle_folder)
    depth = "loopline_queue_depth"
    with following(registry, breakable) as http, ThreadPoolExecutor() as pool:
        old = http.get("/model").json()["bundle_digest"]
        breakable.may_go_on.clear()
        held = pool.submit(ask, http, picture)
        until(lambda: series(http, depth) == 1)
        registry.folders[CHAMPION] = other_folder
        until(lambda: http.get("/model").json()["bundle_digest"] != old)
        assert ask(http, picture)["bundle_digest"] != old
        assert series(http, depth) == 1
        breakable.may_go_on.set()
        assert held.result()["bundle_digest"] == old
        until(lambda: series(http, depth) == 0)


def test_a_bundle_that_fails_its_proof_is_refused(
    following: Any, bundle_folder: Path, other_folder: Path, picture: bytes, tmp_path: Path
) -> None:
    """The old one goes on, `/readyz` and a metric say so; a good promotion ends it."""
    broken = tmp_path / "broken"
    shutil.copytree(other_folder, broken)
    graph = next(broken.rglob("*.onnx"))
    graph.write_bytes(graph.read_bytes()[:-1] + b"\0")
    registry = Registry(champion=bundle_folder)
    with following(registry) as http:
        before = ask(http, picture)
        registry.folders[CHAMPION] = broken
        until(lambda: http.get("/readyz").json()["note"] is not None)
        time.sleep(0.1)
        ready = http.get("/readyz")
        assert ready.status_code == 200
        assert f"{CHAMPION} points to bundle" in ready.json()["note"]
        assert "which was refused" in ready.json()["note"]
        # Once, however often it is looked at.
        assert series(http, 'loopline_bundle_switches_total{outcome="refused"}') == 1
        assert ask(http, picture)["bundle_digest"] == before["bundle_digest"]
        registry.folders[CHAMPION] = other_folder
        until(lambda: http.get("/readyz").json()["note"] is None)
        assert ask(http, picture)["bundle_digest"] != before["bundle_digest"]


def test_another_question_is_not_answered(
    following: Any, bundle_folder: Path, value_folder: Path, picture: bytes
) -> None:
    """A promotion to a bundle of another task would break every client."""
    registry = Registry(champion=bundle_folder)
    with following(registry) as http:
        registry.folders[CHAMPION] = value_folder
        until(lambda: http.get("/readyz").json()["note"] is not None)
        note = http.get("/readyz").json()["note"]
        assert "has task regression" in note
        assert "this server has task classification" in note
        ask(http, picture)


def test_a_registry_that_is_away_changes_nothing(
    following: Any, bundle_folder: Path, picture: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry(champion=bundle_folder)
    with following(registry) as http:
        registry.is_away = True
        until(lambda: "cannot be looked up" in caplog.text)
        time.sleep(0.1)
        ask(http, picture)
        assert http.get("/readyz").json()["note"] is None
    assert len([record for record in caplog.records if "cannot be looked up" in record.message]) == 1


def test_only_aliases_are_watched(tmp_path: Path) -> None:
    folder = tmp_path / "odd@name"
    folder.mkdir()
    assert is_alias("shapes@champion")
    assert not any(is_alias(name) for name in ("shapes@3", "0123456789ab", str(folder)))


def test_a_split_is_answered_by_the_challenger(
    following: Any, bundle_folder: Path, other_folder: Path, picture: bytes, tmp_path: Path
) -> None:
    """Just the requests that are drawn, under its alias; feedback finds them."""
    registry = Registry(champion=bundle_folder, challenger=other_folder)
    ids = [f"request-{index}" for index in range(60)]
    with following(registry, split=f"{CHALLENGER}=0.3") as http:
        models = {name: ask(http, picture, **{"X-Request-ID": name})["model"] for name in ids}
        drawn = {name for name in ids if is_drawn(name, 0.3, by="split")}
        said = [http.post("/feedback", json={"request_id": name, "label": "cross"}).status_code for name in ids[:10]]
    assert {name for name, model in models.items() if model == CHALLENGER} == drawn
    assert 5 < len(drawn) < 35
    assert said == [200] * 10
    with open_log(tmp_path / "log.db") as log:
        assert {row.request_id for row in log.read(model=CHALLENGER)} == drawn
        assert len(log.read()) == len(ids)


def test_a_shadow_answers_nobody(
    following: Any, bundle_folder: Path, other_folder: Path, picture: bytes, tmp_path: Path
) -> None:
    """It is logged beside the answer under the same request id; feedback labels both."""
    registry = Registry(champion=bundle_folder, challenger=other_folder)
    ids = [f"request-{index}" for index in range(40)]
    drawn = {name for name in ids if is_drawn(name, 0.5, by="shadow")}
    with following(registry, shadow=CHALLENGER, shadow_rate=0.5) as http:
        models = {ask(http, picture, **{"X-Request-ID": name})["model"] for name in ids}
        until(lambda: series(http, 'loopline_shadowed_total{outcome="answered"}') == len(drawn))
        one = sorted(drawn)[0]
        assert http.post("/feedback", json={"request_id": one, "label": "cross"}).status_code == 200
    assert models == {CHAMPION}
    with open_log(tmp_path / "log.db") as log:
        rows = log.read(model=CHALLENGER)
        assert {row.request_id for row in rows} == drawn
        assert [row.request_id for row in log.read() if row.label == "cross"] == [one, one]


def test_a_challenger_that_breaks_harms_nobody(
    following: Any, bundle_folder: Path, other_folder: Path, picture: bytes, breakable: Any
) -> None:
    """Its failures are counted; once it does not work it is shown nothing and is given no requests."""

    def wrap(predictor: PredictorLike) -> PredictorLike:
        breakable.inner = predictor
        breakable.__post_init__()
        breakable.is_broken = False
        wrapped: PredictorLike = breakable
        return wrapped

    registry = Registry(champion=bundle_folder, challenger=other_folder)
    registry.wrap = wrap
    options = {"shadow": CHALLENGER, "shadow_rate": 1.0, "split": f"{CHALLENGER}=0.5", "verify_interval_s": 30}
    with following(registry, **options) as http:
        by_champion = next(name for name in map(str, range(100)) if not is_drawn(name, 0.5, by="split"))
        by_challenger = next(name for name in map(str, range(100)) if is_drawn(name, 0.5, by="split"))
        assert ask(http, picture, **{"X-Request-ID": by_challenger})["model"] == CHALLENGER
        assert series(http, "loopline_challenger_ready") == 1
        breakable.is_broken = True
        assert ask(http, picture, **{"X-Request-ID": by_champion})["model"] == CHAMPION
        until(lambda: series(http, 'loopline_shadowed_total{outcome="failed"}') == 1)
        assert series(http, "loopline_challenger_ready") == 0
        assert series(http, "loopline_ready") == 1
        assert ask(http, picture, **{"X-Request-ID": by_challenger})["model"] == CHAMPION
        assert series(http, 'loopline_shadowed_total{outcome="dropped"}') == 1


def test_a_challenger_that_cannot_be_one_is_refused(
    predictor: PredictorLike, value_folder: Path, bundle_folder: Path, tmp_path: Path
) -> None:
    """Without a registry, the champion itself, another task; said before anything is served."""
    registry = Registry(champion=bundle_folder, values=value_folder)
    cases: list[tuple[dict[str, Any], Bundles | None, str]] = [
        ({"shadow": CHALLENGER}, None, "expected another model of a registry"),
        ({"shadow": CHAMPION}, registry.bundles(), "expected another model of a registry"),
        ({"split": "shapes@values=0.1"}, registry.bundles(), "has task regression"),
    ]
    with open_log(tmp_path / "log.db") as log:
        for settings, bundles, words in cases:
            with pytest.raises(ConfigError, match=words):
                build_app(predictor, ServeSettings(**settings), model=CHAMPION, log=log, bundles=bundles)


@pytest.mark.parametrize("text", ["shapes@challenger", "=0.1", "shapes@challenger=2", "shapes@challenger=0", "a=b"])
def test_a_split_names_a_model_and_a_share(text: str) -> None:
    with pytest.raises(ConfigError, match="expected MODEL=SHARE"):
        parse_split(text)


def test_draws_keep_to_their_share() -> None:
    """And are independent: who is split off says nothing about who is shown."""
    ids = [f"id-{index}" for index in range(20_000)]
    split = {name for name in ids if is_drawn(name, 0.2, by="split")}
    shadow = {name for name in ids if is_drawn(name, 0.2, by="shadow")}
    assert len(split) == pytest.approx(4000, rel=0.05)
    assert len(split & shadow) == pytest.approx(800, rel=0.15)
