"""Cloud Run's side of its documented protocol, for one service: it keeps what it is sent and says how it does."""

from __future__ import annotations

import copy
from typing import Any

from tests.recorded_google import PROJECT, Reply, Request, refusal

_SERVICES = rf"europe-west1-run\.googleapis\.com/apis/serving\.knative\.dev/v1/namespaces/{PROJECT}/services"


class CloudRunService:
    """The service `shapes`; `breaks` is a revision name's part that never becomes ready."""

    def __init__(self, *, breaks: str | None = None) -> None:
        self.live: dict[str, Any] | None = None
        self.breaks = breaks
        self.writes: list[dict[str, Any]] = []
        self.is_public = False

    def answers(self) -> dict[str, Reply]:
        """What it answers, by request."""
        policy = rf"POST run\.googleapis\.com/v1/projects/{PROJECT}/locations/[^/]+/services/shapes:setIamPolicy"
        return {
            rf"GET {_SERVICES}/shapes": lambda _: self.live or refusal(404, "NOT_FOUND", "not found"),
            rf"POST {_SERVICES}": self._write,
            rf"PUT {_SERVICES}/shapes": self._write,
            rf"DELETE {_SERVICES}/shapes": self._delete,
            policy: self._open,
        }

    def traffic(self) -> dict[str, int]:
        """Revision to percent, as it serves now."""
        assert self.live is not None
        return {part["revisionName"]: part["percent"] for part in self.live["status"]["traffic"] if part["percent"]}

    def _write(self, asked: Request) -> dict[str, Any]:
        body: dict[str, Any] = copy.deepcopy(asked.body)
        self.writes.append(body)
        generation = 1 if self.live is None else self.live["metadata"]["generation"] + 1
        revision = body["spec"]["template"]["metadata"]["name"]
        before = [] if self.live is None else self.live["status"]["traffic"]
        broken = self.breaks is not None and self.breaks in str(body["spec"]["template"])
        condition = {"type": "Ready", "status": "False" if broken else "True"}
        if broken:
            condition["message"] = f"Revision '{revision}' is not ready: the container failed to start on PORT=8080."
        traffic = [
            {**part, **({"url": f"https://{part['tag']}---shapes.run.app"} if "tag" in part else {})}
            for part in body["spec"]["traffic"]
        ]
        body["metadata"]["generation"] = generation
        body["status"] = {
            "observedGeneration": generation,
            "conditions": [condition],
            "url": "https://shapes.run.app",
            "latestReadyRevisionName": revision,
            # Traffic moves only to what is ready.
            "traffic": before if broken else traffic,
        }
        self.live = body
        return body

    def _delete(self, _: Request) -> dict[str, Any]:
        self.live = None
        return {}

    def _open(self, asked: Request) -> dict[str, Any]:
        self.is_public = asked.body["policy"]["bindings"][0]["members"] == ["allUsers"]
        return {}
