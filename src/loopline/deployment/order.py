"""What a target is given, and what it gives back."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loopline.core.errors import StateError
from loopline.core.records import CloudSettings, Deployment, ModelBundle, Step
from loopline.core.store import digest_json
from loopline.core.workspace import HOME_VARIABLE
from loopline.google import Google

# Everything that we make carries it, so that `loopline cost` finds it again.
LABEL = "loopline"
# Where a server writes its predictions; an address holds a password, so it comes from a secret.
LOG_VARIABLE = "LOOPLINE_SERVE_LOG"
# The digests of the keys that callers need.
KEYS_VARIABLE = "LOOPLINE_SERVE_API_KEY"
_SHOWN_LINES = 15


@dataclass(frozen=True)
class Order:
    """One deployment: which bundle, as which image, under which name, with how much of the traffic."""

    name: str
    model: str
    bundle: ModelBundle
    bundle_folder: Path
    # A whole address, as an engine pushes and a platform pulls it.
    image: str
    settings: CloudSettings
    share_percent: int = 100
    # What this name serves now, as the last deployment left it.
    before: Deployment | None = None
    # What Ray Serve imports in the image, by who knows the serving room.
    ray_application: str = ""

    @property
    def labels(self) -> dict[str, str]:
        """Google's labels: lower case letters, digits, dashes."""
        return {LABEL: "deployment", f"{LABEL}-bundle": self.bundle.digest[:12], f"{LABEL}-name": self.name}

    @property
    def has_keys(self) -> bool:
        """Whether callers need a key; who scrapes metrics is one of them."""
        return KEYS_VARIABLE in self.settings.service.secrets

    @property
    def environment(self) -> dict[str, str]:
        """What the server is told beside its port."""
        service = self.settings.service
        return {
            "LOOPLINE_SERVE_MAX_QUEUE_SIZE": str(max(64, 4 * service.max_concurrency)),
            # Said, because a container sees all processors of its machine.
            "LOOPLINE_SERVE_NUM_WORKERS": str(max(1, int(service.num_cpus))),
            "LOOPLINE_SERVE_REQUEST_TIMEOUT_S": str(service.timeout_s),
            # Rows that wait for a database wait where a container may write.
            HOME_VARIABLE: "/tmp/workspace",  # noqa: S108 - of the container
        }


@dataclass(frozen=True)
class Outcome:
    """What serves after a deployment, by the target's own names."""

    url: str | None
    revision: str
    previous_revision: str | None = None


# Asks an address for the reference inputs of a bundle; raises `SkewError` where it answers otherwise.
Prove = Callable[[str], None]


def run_command(words: Sequence[str]) -> str:
    """What a command prints; raises `StateError` with its last words where it fails or is not installed."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - words of ours
    except FileNotFoundError:
        raise StateError(f"'{words[0]}' is not installed, and it is what does this.") from None
    if done.returncode != 0:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-_SHOWN_LINES:])
        raise StateError(f"'{words[0]}' ended with {done.returncode}: {said}", next_command=" ".join(words))
    return done.stdout


@contextmanager
def forward_port(name: str, namespace: str, port: int) -> Iterator[str]:
    """`kubectl port-forward` to a free port of this machine, for as long as the context lasts; yields the address."""
    words = ["kubectl", f"--namespace={namespace}", "port-forward", name, f":{port}", "--address=127.0.0.1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:  # noqa: S603 - words of ours
        try:
            # `Forwarding from 127.0.0.1:43117 -> 8080`
            line = "" if process.stdout is None else process.stdout.readline()
            match = re.search(r"127\.0\.0\.1:(\d+)", line)
            if match is None:
                raise StateError(f"no port could be forwarded to {name}: {line.strip()}", next_command=" ".join(words))
            yield f"http://127.0.0.1:{match[1]}"
        finally:
            process.terminate()


@dataclass(frozen=True)
class Tools:
    """The edges of this process: clouds, commands, the clock. Tests bring their own."""

    google: Callable[[], Google]
    run: Callable[[Sequence[str]], str] = run_command
    # To a workload, in a namespace, on a port: an address of this machine.
    forward: Callable[[str, str, int], AbstractContextManager[str]] = forward_port
    # Told what happens, a line at a time.
    say: Callable[[str], None] = print
    sleep: Callable[[float], None] = time.sleep
    # The longest that a roll-out is waited for.
    patience_s: float = 600.0
    poll_s: float = 5.0


# The step that every target has.
PROOF = Step(title="reproduce the bundle's reference inputs", kind="check", text="loopline smoke")


def nothing_before(deployment: Deployment) -> StateError:
    """Why there is nothing to go back to."""
    return StateError(
        f"nothing served '{deployment.name}' before this one.", next_command=f"loopline deploy status {deployment.name}"
    )


def name_of(name: str, template: Mapping[str, Any]) -> str:
    """A revision's name, by what it is made of: the same again is the same revision."""
    return f"{name}-{digest_json(template)[:10]}"


def poll(tools: Tools, what: str, look: Callable[[], Any]) -> Any:
    """What `look` returns once it is not None; raises `StateError` when patience ends."""
    waited_s = 0.0
    while (found := look()) is None:
        if waited_s >= tools.patience_s:
            raise StateError(f"{what} did not come to an end within {tools.patience_s:.0f} s.")
        tools.sleep(tools.poll_s)
        waited_s += tools.poll_s
    return found
