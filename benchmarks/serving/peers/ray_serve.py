"""Ray Serve with batches, one replica per core."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

import ray
from model import Model
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=int(sys.argv[2]), ray_actor_options={"num_cpus": 1}, max_ongoing_requests=128)
class Pictures:
    """Predicts one file, together with those that came at the same time."""

    def __init__(self) -> None:
        self.model = Model()

    @serve.batch(max_batch_size=16, batch_wait_timeout_s=0.005)
    async def predict(self, raws: Sequence[bytes]) -> list[dict[str, object]]:
        """The five likeliest labels of each."""
        return self.model.predict([self.model.decode(raw) for raw in raws])

    async def __call__(self, request: Request) -> dict[str, object]:
        async with request.form() as form:
            raw = await form["file"].read()
        answer: dict[str, object] = await self.predict(raw)
        return answer


if __name__ == "__main__":
    ray.init(num_cpus=int(sys.argv[2]), include_dashboard=False, logging_level="ERROR")
    serve.start(http_options={"port": int(sys.argv[1])})
    serve.run(Pictures.bind(), route_prefix="/predict")
    signal.pause()
