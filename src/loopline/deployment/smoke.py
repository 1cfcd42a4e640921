"""Does what answers at an address answer as the bundle does? Its own reference inputs, asked over the network.

A health check says that a process lives. This says that the right model lives in it, reads its inputs as training did,
and computes on that processor what it computed on this one.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loopline.bundle import read_bundle, read_reference
from loopline.core.errors import InputError, SkewError, StateError
from loopline.core.form import file_form
from loopline.core.records import ModelBundle
from loopline.predictor import Answer, open_predictor
from loopline.predictor.answer import LabelAnswer, ValueAnswer

# Asks for one prediction of raw bytes; gives the answer's JSON.
Ask = Callable[[bytes], Mapping[str, Any]]
# Where a key of the server's lies that is asked; never on the command line.
API_KEY_VARIABLE = "LOOPLINE_API_KEY"
_CLOSED = (401, 403)
_TIMEOUT_S = 60
# Another processor rounds otherwise; a wrong model or a wrong resize is off by hundreds of times as much.
_TOLERANCE = 1e-2


@dataclass(frozen=True)
class Smoke:
    """How many reference inputs were asked, and how far the worst answer was off."""

    bundle: ModelBundle
    num_inputs: int
    max_abs_error: float


def smoke(ask: Ask, bundle_folder: Path, *, num_inputs: int | None = None) -> Smoke:
    """Asks for `num_inputs` of a bundle's reference inputs (default: all) and compares with the bundle opened here.

    Raises `SkewError` where an answer is another one, and whatever `ask` raises.
    """
    bundle = read_bundle(bundle_folder)
    raws, _ = read_reference(bundle_folder, bundle)
    raws = raws[:num_inputs]
    expected = open_predictor(bundle_folder, num_threads=1).predict_raw(raws)
    worst = 0.0
    for index, (raw, answer) in enumerate(zip(raws, expected, strict=True)):
        worst = max(worst, check_smoke(ask(raw), answer, bundle=bundle, index=index))
    return Smoke(bundle, len(raws), worst)


def check_smoke(given: Mapping[str, Any], expected: Answer, *, bundle: ModelBundle, index: int) -> float:
    """How far one answer is from what it should be; raises `SkewError` where that is too far, or another model's."""
    digest = given.get("bundle_digest")
    if digest != bundle.digest:
        raise SkewError(f"bundle {str(digest)[:12]} answers there; expected {bundle.digest[:12]}.")
    if isinstance(expected, LabelAnswer):
        named = given["probabilities"]
        pairs = [(named.get(name), value) for name, value in zip(bundle.label_names, expected.outputs, strict=True)]
        # A server may list the likeliest labels only.
        error = max(abs(float(found) - float(wanted)) for found, wanted in pairs if found is not None)
        scale = 1.0
    elif isinstance(expected, ValueAnswer):
        error = abs(float(given["value"]) - expected.value)
        scale = max(1.0, abs(expected.value))
    else:
        error, scale = float(given["text"] != expected.predicted), 1.0
    if error > _TOLERANCE * scale:
        raise SkewError(
            f"reference input {index} is answered with {_shown(given)}; expected {expected.predicted}, and outputs "
            f"within {_TOLERANCE * scale:g} (they are off by {error:.3g})."
        )
    return error


def http_ask(url: str, bundle: ModelBundle, *, token: str | None = None, api_key: str | None = None) -> Ask:
    """What asks a server of ours at `url`: with a token where its platform lets in only some, a key where it does.

    Raises `InputError` for an address that is none of http, and `StateError` where the server refuses or is gone.
    """
    if not url.startswith(("http://", "https://")):
        raise InputError(f"address '{url}' given; expected http://… or https://….")

    # Two headers, because a platform looks at the first and takes it away.
    shown = {} if token is None else {"Authorization": f"Bearer {token}"}
    if api_key is not None:
        shown["X-API-Key"] = api_key

    def ask(raw: bytes) -> Mapping[str, Any]:
        body, kind = _body(raw, bundle)
        headers = {"Content-Type": kind, **shown}
        request = urllib.request.Request(f"{url.rstrip('/')}/predict", data=body, headers=headers)  # noqa: S310 - http only, above
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310 - as above
                answer: Mapping[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            said = error.read(500).decode("utf-8", errors="replace")
            # 401 and 403: of the server's own gate, or of the platform before it.
            fix = f"export {API_KEY_VARIABLE}=…" if error.code in _CLOSED and "key" in said.lower() else None
            raise StateError(f"{url} answered a reference input with {error.code}: {said}", next_command=fix) from None
        except (urllib.error.URLError, TimeoutError) as error:
            raise StateError(f"{url} does not answer: {getattr(error, 'reason', error)}.") from None
        return answer

    return ask


def instance(raw: bytes, bundle: ModelBundle) -> dict[str, Any]:
    """A raw example in the JSON of an envelope; raises `StateError` for kinds that only travel as files."""
    import base64

    if bundle.input_kind == "image":
        return {"image": base64.b64encode(raw).decode()}
    if bundle.input_kind == "text":
        return {"text": raw.decode()}
    raise StateError(f"examples of kind '{bundle.input_kind}' travel as files, which an envelope does not carry.")


def _body(raw: bytes, bundle: ModelBundle) -> tuple[bytes, str]:
    """The body of /predict and its type: JSON for a text, a file for everything else."""
    if bundle.input_kind == "text":
        return json.dumps({"text": raw.decode()}).encode(), "application/json"
    return file_form(raw, filename="reference")


def _shown(given: Mapping[str, Any]) -> str:
    return next((str(given[key]) for key in ("label", "value", "text") if key in given), "something else")
