"""`ServeSettings`: every option of the server, declared once; the command line and the docs are generated from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self, get_origin

from pydantic import Field, model_validator

from loopline.core.errors import UnknownName
from loopline.core.records import Record

ENVIRONMENT_PREFIX = "LOOPLINE_SERVE_"
# How platforms tell a container of a setting: Vertex AI by the names with AIP, Cloud Run and others by PORT.
PLATFORM_VARIABLES = {
    "port": ("AIP_HTTP_PORT", "PORT"),
    "health_route": ("AIP_HEALTH_ROUTE",),
    "predict_route": ("AIP_PREDICT_ROUTE",),
}
_ROUTE = r"^/[\w.:/-]+$"


class ServeSettings(Record):
    """How a server listens, batches, limits and logs; units are in the names."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 for every interface.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one and prints it.")
    health_route: str | None = Field(None, pattern=_ROUTE, description="A second path of /readyz, as a platform wants.")
    predict_route: str | None = Field(
        None, pattern=_ROUTE, description='A path for {"instances": […]}, answered by {"predictions": […]}.'
    )
    max_batch_size: int = Field(32, ge=1, le=4096, description="Most examples that the engine predicts at once.")
    max_queue_delay_ms: float = Field(
        0.0,
        ge=0,
        le=10_000,
        description="Longest that an example waits for others that are being decoded, to fill a batch.",
    )
    max_queue_size: int = Field(
        1024, ge=1, description="Most examples that are accepted and not answered yet; more are refused with 429."
    )
    request_timeout_s: float = Field(30.0, gt=0, description="Longest that a request may take before it gets 504.")
    max_body_bytes: int = Field(20_000_000, ge=1, description="Largest body of a request; a larger one gets 413.")
    max_pending_bytes: int = Field(
        256_000_000, ge=1, description="Most bytes of bodies in work at once; more are refused with 429."
    )
    max_text_chars: int = Field(10_000, ge=1, description="Longest text in characters; a longer one gets 413.")
    max_batch_examples: int = Field(64, ge=1, description="Most examples in one request.")
    num_probabilities: int = Field(0, ge=0, description="Likeliest labels that an answer lists; 0 lists all.")
    num_workers: int = Field(0, ge=0, le=1024, description="Processes that answer; 0 for one per core.")
    num_threads: int = Field(
        0, ge=0, description="Threads of each process's engine; 0 shares the cores between the processes."
    )
    engine: str | None = Field(
        None,
        min_length=1,
        description="Engine instead of the bundle's own (onnxruntime, openvino, onnxruntime-cuda, tensorrt); "
        "auto takes the quickest after a second with each.",
    )
    num_decode_threads: int = Field(
        0, ge=0, description="Threads of each process that decode; 0 for one per core, and none where it has one core."
    )
    verify_interval_s: float = Field(
        5.0, gt=0, description="Time between two tries to predict the reference inputs while the server is not ready."
    )
    shutdown_timeout_s: float = Field(60.0, gt=0, description="Longest that shutting down waits for open requests.")
    ui: bool = Field(False, description="Serve a page at /ui to ask the model: pictures, bands, numbers or text.")
    open: bool = Field(False, description="Open the page in a browser once the server answers; needs the page.")
    shadow: str | None = Field(None, description="Challenger that sees a share of the requests, and answers nobody.")
    shadow_rate: float = Field(0.1, gt=0, le=1, description="Share of the requests that the shadow sees.")
    split: str | None = Field(None, description="Challenger that answers a share of the requests: MODEL=SHARE.")
    watch_interval_s: float = Field(
        2.0, ge=0, description="Time between two looks at what an alias points to; 0 looks once, at the start."
    )
    api_key: tuple[str, ...] = Field(
        (), description="NAME:SHA256 of a key that callers need, from `loopline api-key`; repeatable."
    )
    api_key_file: Path | None = Field(None, description="File with such keys, one a line.")
    rate_limit_per_s: float = Field(
        0.0, ge=0, le=1_000_000, description="Requests per second that each API key may make; 0 for any number."
    )
    cors_origin: tuple[str, ...] = Field(
        (), description="Origin whose pages may ask this server from a browser, as https://example.org; repeatable."
    )
    docs: bool = Field(True, description="Serve /docs and /openapi.json.")
    metrics: bool = Field(True, description="Serve /metrics.")
    log: str | None = Field(
        None, description="The prediction log: a file, or postgresql://HOST/DATABASE; none for the workspace's."
    )
    log_inputs: bool = Field(False, description="Keep the raw inputs in the prediction log, not only their digests.")
    log_buffer_rows: int = Field(
        10_000, ge=1, description="Most predictions that wait for the log's disk; more are dropped and counted."
    )
    log_spool_rows: int = Field(
        1_000_000, ge=1, description="Most predictions that wait on this machine's disk for a database that is away."
    )
    access_log: bool = Field(
        False, description="Write one JSON line per request to standard error, without its payload."
    )

    @model_validator(mode="after")
    def _there_is_a_page_to_open(self) -> Self:
        if self.open and not self.ui:
            raise ValueError("there is no page to open; expected ui, too")
        return self

    @model_validator(mode="after")
    def _limits_have_keys(self) -> Self:
        if self.rate_limit_per_s and not self.api_key and self.api_key_file is None:
            raise ValueError("rate_limit_per_s is a limit per API key; expected api_key or api_key_file, too")
        return self

    @model_validator(mode="after")
    def _bodies_fit(self) -> Self:
        if self.max_pending_bytes < self.max_body_bytes:
            raise ValueError("max_pending_bytes is less than max_body_bytes; expected room for one body at least")
        return self


def variables(setting: str) -> tuple[str, ...]:
    """The environment variables that a setting is read from; the first that is set holds."""
    return (f"{ENVIRONMENT_PREFIX}{setting.upper()}", *PLATFORM_VARIABLES.get(setting, ()))


def check_environment(names: Iterable[str]) -> None:
    """Raises `UnknownName` for a variable that begins as the settings' do and is none of them."""
    known = [f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in ServeSettings.model_fields]
    for name in names:
        if name.startswith(ENVIRONMENT_PREFIX) and name not in known:
            raise UnknownName("environment variable", name, known, next_command="loopline serve --help")


def read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings that an environment names, to be validated; several values stand with spaces between them.

    Raises what `check_environment` raises.
    """
    check_environment(environment)
    found: dict[str, Any] = {}
    for name, field in ServeSettings.model_fields.items():
        text = next((environment[key] for key in variables(name) if environment.get(key)), None)
        if text is not None:
            found[name] = tuple(text.split()) if get_origin(field.annotation) is tuple else text
    return found
