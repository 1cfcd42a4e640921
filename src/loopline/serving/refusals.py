"""What the server says instead of an answer; every refusal has one shape, whatever refused."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from loopline.core.errors import InvalidExample
from loopline.serving.schemas import ErrorBody, ErrorDetail

# What a caller can do about a code of its own.
LOOK_AT_DOCS = "GET /docs lists the routes and what they take"
# Queues move and engines recover in less; a second is the header's smallest unit.
_SOON = {"Retry-After": "1"}
# The rest of the request is not worth reading.
_CLOSE = {"Connection": "close"}


class Refusal(Exception):
    """An HTTP error with a code for programs, a sentence for people, and what to do next."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        next_step: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.next_step = next_step
        # Beyond the usual ones.
        self.headers = dict(headers or {})

    def body(self, request_id: str) -> ErrorBody:
        """The body of the response."""
        return ErrorBody(
            error=ErrorDetail(code=self.code, message=self.message, next=self.next_step), request_id=request_id
        )


def queue_full(max_queue_size: int) -> Refusal:
    """429: more is waiting than the server accepts."""
    return Refusal(
        429,
        "queue_full",
        f"{max_queue_size} examples are waiting already, which is the limit.",
        next_step="try again after the time in Retry-After",
        headers=_SOON,
    )


def timed_out(timeout_s: float) -> Refusal:
    """504: the answer took too long."""
    return Refusal(
        504, "timed_out", f"no answer within {timeout_s:g} s.", next_step="try again, or raise --request-timeout-s"
    )


def not_ready(reason: str) -> Refusal:
    """503: the model cannot be trusted at the moment."""
    return Refusal(
        503,
        "not_ready",
        f"the model does not predict at the moment: {reason}",
        next_step="GET /readyz",
        headers=_SOON,
    )


def body_too_large(max_body_bytes: int, *, close: bool = False) -> Refusal:
    """413: more bytes than the server reads; `close` ends the connection with the answer."""
    return Refusal(
        413,
        "body_too_large",
        f"the body is larger than {max_body_bytes:,} bytes, which is the limit.",
        next_step="send less at once",
        headers=_CLOSE if close else None,
    )


def body_too_slow(timeout_s: float) -> Refusal:
    """408: the body did not come in time."""
    sentence = f"the body did not arrive within {timeout_s:g} s."
    return Refusal(408, "body_too_slow", sentence, next_step="send it again", headers=_CLOSE)


def body_cut_off() -> Refusal:
    """400: the client went away in the middle."""
    return Refusal(400, "body_cut_off", "the connection ended before the body did.", headers=_CLOSE)


def client_gone() -> Refusal:
    """499, as nginx counts it: the client went away before its answer came."""
    return Refusal(499, "client_gone", "the connection ended before the answer came.", headers=_CLOSE)


def no_http() -> Refusal:
    """400: bytes that are no request."""
    return Refusal(400, "malformed_request", "that is no HTTP request.", headers=_CLOSE)


def head_too_slow(timeout_s: float) -> Refusal:
    """408: the line and the headers of a request did not come in time."""
    sentence = f"the head of the request did not arrive within {timeout_s:g} s."
    return Refusal(408, "head_too_slow", sentence, next_step="send it again", headers=_CLOSE)


def head_too_large(max_overhead_bytes: int) -> Refusal:
    """431: a request whose headers, or whatever stands beside its body, do not end."""
    sentence = f"the request has more than {max_overhead_bytes:,} bytes beside its body, which is the limit."
    return Refusal(431, "head_too_large", sentence, headers=_CLOSE)


def wrong_type(given: str, expected: str) -> Refusal:
    """415: a body of a kind that the route does not read."""
    shown = f"'{given[:100]}'" if given else "none"
    return Refusal(415, "wrong_content_type", f"content type {shown} given; expected {expected}.")


def invalid(message: str, *, code: str = "invalid_request") -> Refusal:
    """422: understood, and wrong."""
    return Refusal(422, code, message, next_step=LOOK_AT_DOCS)


def no_example(error: InvalidExample, advice: str) -> Refusal:
    """422: a file, numbers or a text that cannot become an input of the model."""
    return Refusal(422, "invalid_example", error.message, next_step=error.next_command or advice)


def no_key() -> Refusal:
    """401: a server with keys, and a request with none of them."""
    return Refusal(
        401,
        "no_key",
        "the request brings no API key that this server takes.",
        next_step="send the header Authorization: Bearer KEY",
        headers={"WWW-Authenticate": "Bearer"},
    )


def too_often(wait_s: int) -> Refusal:
    """429: more requests than the key may make."""
    return Refusal(
        429,
        "rate_limited",
        "the API key made all requests that it may make at once.",
        next_step="try again after the time in Retry-After",
        headers={"Retry-After": str(wait_s)},
    )


def memory_full(max_pending_bytes: int) -> Refusal:
    """429: more is being read and predicted at once than the server holds in memory."""
    return Refusal(
        429,
        "memory_full",
        f"requests of {max_pending_bytes:,} bytes are in work already, which is the limit.",
        next_step="try again after the time in Retry-After",
        headers=_SOON,
    )


def log_away(reason: str) -> Refusal:
    """503: feedback that can be kept nowhere at the moment."""
    return Refusal(503, "log_unavailable", reason, next_step="send it again later", headers=_SOON)


def no_such_answer(request_id: str) -> Refusal:
    """404: feedback to something that this model never answered."""
    return Refusal(
        404,
        "unknown_request_id",
        f"no answer has the request id '{request_id[:128]}'.",
        next_step="send the request_id of an answer of POST /predict",
    )


def too_many_examples(num_given: int, num_allowed: int) -> Refusal:
    """413: more examples in one request than the server takes."""
    sentence = f"{num_given:,} texts given; expected at most {num_allowed:,} in one request."
    return Refusal(413, "too_many_examples", sentence, next_step="send less at once")


def text_too_long(num_chars: int, max_text_chars: int) -> Refusal:
    """413: a text that would keep the engine from everybody else."""
    sentence = f"a text of {num_chars:,} characters given; expected at most {max_text_chars:,}."
    return Refusal(413, "text_too_long", sentence, next_step="send it in parts")


def url_too_long(max_url_bytes: int) -> Refusal:
    """414: an address that holds more than an address should."""
    sentence = f"the address is longer than {max_url_bytes:,} bytes, which is the limit."
    return Refusal(414, "url_too_long", sentence, next_step="send the text to POST /predict")


def unexpected() -> Refusal:
    """500: a defect of ours."""
    return Refusal(
        500,
        "unexpected",
        "the server has a defect; the request's id finds it in the server's log.",
        next_step="report it with the request id",
    )


def of_status(status: int, path: str, method: str) -> Refusal:
    """What the framework itself refuses: an unknown path, a wrong method."""
    if status == HTTPStatus.NOT_FOUND:
        return Refusal(404, "not_found", f"there is nothing at '{path[:200]}'.", next_step=LOOK_AT_DOCS)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return Refusal(405, "method_not_allowed", f"'{path[:200]}' does not take {method}.", next_step=LOOK_AT_DOCS)
    phrase = HTTPStatus(status).phrase
    return Refusal(status, phrase.lower().replace(" ", "_"), f"{phrase.lower()}.", next_step=LOOK_AT_DOCS)
