"""One walk around the whole loop, the same for every recipe: only the data, the settings and the question differ."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi.testclient import TestClient

from loopline import loop
from loopline.core.records import DriftReport, Evaluation, ModelBundle, ModelVersion, Run
from loopline.core.workspace import Workspace
from loopline.prediction_log import open_log
from loopline.predictor import Answer
from loopline.serving import ServeSettings, build_app
from loopline.snapshots import open_snapshot

# Enough for drift to judge.
_NUM_ASKED = 40


@dataclass
class Walked:
    """What each stage gave."""

    run: Run
    evaluation: Evaluation
    judged_bundle: Evaluation
    bundle: ModelBundle
    version: ModelVersion
    # In process, and over HTTP: of the same examples.
    own: Sequence[Answer]
    served: list[dict[str, Any]]
    page: str
    drift: DriftReport
    raws: list[bytes] = field(repr=False)


Walk = Callable[..., Walked]


@pytest.fixture
def walk(workspace: Workspace) -> Walk:
    """`walk("name", [overrides])`: trains on the snapshot `name`, then every stage up to drift."""

    def around(name: str, overrides: Sequence[str], *, split: str = "test") -> Walked:
        run = loop.train([f"data.name={name}", "tracking=none", *overrides], workspace=workspace)
        evaluation = loop.evaluate(run, split=split, workspace=workspace)
        bundle = loop.export(run, name=name, workspace=workspace)
        assert all(check.passed for check in loop.verify_bundle(bundle, workspace=workspace))
        judged_bundle = loop.evaluate(bundle, split=split, workspace=workspace)
        loop.register(bundle, name=name, workspace=workspace)
        version = loop.promote(f"{name}@1", "champion", workspace=workspace)
        predictor = loop.load(f"{name}@champion", workspace=workspace)
        examples = open_snapshot(name, workspace).split(split)
        raws = examples.raw_many([index % len(examples) for index in range(_NUM_ASKED)])
        with open_log(workspace.prediction_log) as log:
            app = build_app(predictor, ServeSettings(ui=True), model=f"{name}@champion", log=log)
            with TestClient(app) as client:
                served = [_asked(client, bundle.input_kind, raw) for raw in raws]
                page = client.get("/ui/").text
        return Walked(
            run=run,
            evaluation=evaluation,
            judged_bundle=judged_bundle,
            bundle=bundle,
            version=version,
            own=predictor.predict_raw(raws),
            served=served,
            page=page,
            drift=loop.drift(f"{name}@champion", workspace=workspace),
            raws=raws,
        )

    return around


def _asked(client: TestClient, input_kind: str, raw: bytes) -> dict[str, Any]:
    if input_kind == "text":
        response = client.post("/predict", json={"text": raw.decode()})
    elif input_kind == "values":
        response = client.post("/predict", json={"values": json.loads(raw)})
    else:
        response = client.post("/predict", files={"file": ("example", raw)})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer
