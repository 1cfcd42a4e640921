"""`verify_resume`: the proof that a run killed with SIGKILL and resumed ends as one left alone, to the last bit."""

from __future__ import annotations

import hashlib
import json
import random
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from loopline.core import store
from loopline.core.errors import StateError
from loopline.core.progress import bar
from loopline.core.records import ResumeProof, Run
from loopline.core.workspace import Workspace
from loopline.networks import read_checkpoint
from loopline.runs import METRICS_FILE, RUN_FILE
from loopline.training.compose import compose

_POLL_S = 0.002


def verify_resume(
    overrides: Sequence[str] = (), *, workspace: Workspace | None = None, seed: int | None = None
) -> ResumeProof:
    """Trains three times in processes of their own: left alone, killed at a random step, resumed; compares both ends.

    `seed` chooses the step (default: another one each time; the record tells it). The runs stay in the workspace, named
    `proof-…`, without a tracker. Raises `ConfigError` for wrong overrides and `StateError` where a process fails.
    """
    workspace = workspace or Workspace.default()
    compose(overrides)  # a wrong one is said here, not in another process's output
    seed = secrets.randbelow(2**32) if seed is None else seed
    token = secrets.token_hex(3)
    with bar("verify-resume: alone, killed, resumed", total=3) as advance:
        alone = _train(workspace, _named(overrides, f"proof-{token}-alone"))
        advance(1)
        # Not in the last tenth: the process must not be done before the signal arrives.
        kill_at = random.Random(seed).randint(1, max(1, alone.num_steps * 9 // 10))  # noqa: S311 - no secret
        name = f"proof-{token}-killed"
        frequent = (f"checkpoint.every_n_steps={max(1, alone.num_steps // 10)}", "trainer.log_every_n_steps=1")
        killed_at, folder = _train_and_kill(workspace, (*_named(overrides, name), *frequent), name, kill_at)
        last = folder / "checkpoints" / "last.ckpt"
        resumed_from = int(read_checkpoint(last)["global_step"]) if last.exists() else 0
        advance(1)
        resumed = _train(workspace, ("--resume", folder.name))
        advance(1)
    digests = [weights_digest(workspace.runs / run.run_id / "checkpoints" / "last.ckpt") for run in (alone, resumed)]
    return ResumeProof(
        seed=seed,
        num_steps=alone.num_steps,
        killed_at_step=killed_at,
        resumed_from_step=resumed_from,
        alone_run_id=alone.run_id,
        resumed_run_id=resumed.run_id,
        alone_weights_digest=digests[0],
        resumed_weights_digest=digests[1],
        metrics_equal=alone.metrics == resumed.metrics,
        equal=digests[0] == digests[1] and alone.metrics == resumed.metrics,
    )


def weights_digest(checkpoint: Path) -> str:
    """SHA-256 of a checkpoint's weights: names, types, shapes and bytes, in the order of names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(read_checkpoint(checkpoint)["state_dict"].items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _named(overrides: Sequence[str], name: str) -> tuple[str, ...]:
    return (*overrides, f"name={name}", "tracking=none")


def _command(workspace: Workspace, arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-P", "-m", "loopline", "--home", str(workspace.root), "train", "--json", *arguments]


def _train(workspace: Workspace, arguments: Sequence[str]) -> Run:
    done = subprocess.run(_command(workspace, arguments), capture_output=True, text=True, check=False)  # noqa: S603 - us
    if done.returncode:
        raise StateError(f"the training process ended with code {done.returncode}: {done.stderr.strip()[-500:]}")
    return Run.model_validate_json(done.stdout)


def _train_and_kill(workspace: Workspace, arguments: Sequence[str], name: str, kill_at: int) -> tuple[int, Path]:
    """Kills the process once it has logged step `kill_at`; the last step that it logged, and its run's folder."""
    process = subprocess.Popen(_command(workspace, arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # noqa: S603 - us
    try:
        while process.poll() is None:
            folder = _folder(workspace, name)
            if folder is not None and _last_step(folder) >= kill_at:
                break
            time.sleep(_POLL_S)
        process.kill()
        _, error = process.communicate()
    finally:
        process.kill()
    folder = _folder(workspace, name)
    if folder is None or store.read_record(Run, folder / RUN_FILE).status != "running":
        raise StateError(
            f"the training process ended before it could be killed in step {kill_at}: {error.decode().strip()[-500:]}"
        )
    return _last_step(folder), folder


def _folder(workspace: Workspace, name: str) -> Path | None:
    return next((file.parent for file in workspace.runs.glob(f"*-{name}-*/{RUN_FILE}")), None)


def _last_step(folder: Path) -> int:
    path = folder / METRICS_FILE
    # The last line may be half written.
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    return int(json.loads(lines[-1])["step"]) if lines else 0
