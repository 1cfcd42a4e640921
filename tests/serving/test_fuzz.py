"""Every route of a real server, driven by its own description: no 5xx, and no answer that is not described."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

Server = Callable[..., AbstractContextManager[Any]]

# What hypothesis learnt elsewhere does not decide what is tested here.
FUZZ = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
# A description can say that a body is a file, but not that it is a picture; nor which lists are as long as the model's.
EXCLUDED = [positive_data_acceptance]


def fuzz(url: str) -> set[str]:
    """Sends what fits the description and what does not to every route; the routes."""
    schema: Any = schemathesis.openapi.from_url(f"{url}/openapi.json")
    seen = set()
    for result in schema.get_all_operations():
        operation = result.ok()
        seen.add(f"{operation.method.upper()} {operation.path}")
        for mode in GenerationMode:

            @FUZZ
            @given(case=operation.as_strategy(generation_mode=mode))
            def call(case: Any) -> None:
                case.call_and_validate(excluded_checks=EXCLUDED)

            # Nothing can be wrong about a request that holds nothing.
            with contextlib.suppress(Unsatisfiable):
                call()
    return seen


def test_every_route_of_a_picture_model(server: Server) -> None:
    with server("--num-workers", "1", "--max-batch-examples", "4") as process:
        seen = fuzz(process.url)
        assert process.popen.poll() is None
    assert {"POST /predict", "POST /predict/batch", "POST /feedback", "GET /model", "GET /metrics"} <= seen


def test_every_route_of_a_translator(shouting_server: Server) -> None:
    with shouting_server() as process:
        assert "GET /translate/{text}" in fuzz(process.url.removesuffix("/ui/"))
