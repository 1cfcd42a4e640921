"""A run that stopped, wherever, ends as one that did not: same weights, same figures, to the last bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from loopline.core.errors import ConfigError, IntegrityError, StateError
from loopline.core.records import Run
from loopline.core.stopping import StopRequest
from loopline.core.store import lock
from loopline.core.workspace import Workspace
from loopline.runs import find_run, list_runs
from loopline.training import train, verify_resume
from loopline.training.resume_proof import weights_digest


def _digest(run: Run, workspace: Workspace) -> str:
    return weights_digest(workspace.runs / run.run_id / "checkpoints" / "last.ckpt")


def _lines(run: Run, workspace: Workspace) -> str:
    return (workspace.runs / run.run_id / "metrics.jsonl").read_text(encoding="utf-8")


StopAt = Callable[[int], None]
Overrides = tuple[str, ...]


# Steps 5, 10 and 15 end epochs.
@pytest.mark.parametrize("step", [1, 2, 4, 5, 6, 9])
def test_stopped_run_ends_as_one_left_alone(digits: Workspace, quick: Overrides, stop_at: StopAt, step: int) -> None:
    """Stopped in the first step, in mid-epoch, at an epoch's end: weights, figures and every logged line are equal."""
    alone = train(quick, workspace=digits)
    stop_at(step)
    with pytest.raises(KeyboardInterrupt):
        train(quick, workspace=digits)
    stopped = find_run("latest", digits)
    assert stopped.status == "interrupted"
    assert stopped.num_steps < alone.num_steps
    stop_at(10_000)
    resumed = train(resume=stopped.run_id, workspace=digits)
    assert (resumed.run_id, resumed.num_resumes, resumed.num_steps) == (stopped.run_id, 1, alone.num_steps)
    assert resumed.metrics == alone.metrics
    assert _lines(resumed, digits) == _lines(alone, digits)
    assert _digest(resumed, digits) == _digest(alone, digits)


def test_stopped_at_every_step(digits: Workspace, quick: Overrides, stop_at: StopAt) -> None:
    """A run that is stopped and resumed again and again takes as many steps and ends in the same bits."""
    alone = train(quick, workspace=digits)
    stop_at(3)
    with pytest.raises(KeyboardInterrupt):
        train(quick, workspace=digits)
    run_id = find_run("latest", digits).run_id
    for _ in range(20):
        try:
            resumed = train(resume=run_id, workspace=digits)
            break
        except KeyboardInterrupt:
            stop_at(3)
    assert resumed.num_resumes > 3
    assert resumed.metrics == alone.metrics
    assert _digest(resumed, digits) == _digest(alone, digits)


def test_early_stop_holds_after_a_resume(digits: Workspace, quick: Overrides) -> None:
    """A run that early stopping ended, and that died before it could say so, trains no further epoch when resumed."""
    impatient = (*quick, "trainer.max_epochs=9", "monitor.patience=1", "monitor.min_delta=1")
    run = train(impatient, workspace=digits)
    assert run.num_steps == 10
    _forget_the_end(run, digits)
    resumed = train(resume=run.run_id, workspace=digits)
    assert resumed.num_steps == 10
    assert resumed.metrics == run.metrics


def test_death_after_the_last_step_loses_nothing(digits: Workspace, quick: Overrides) -> None:
    """A run that died between its last checkpoint and its last word is completed by a resume, with its figures."""
    run = train(quick, workspace=digits)
    digest = _digest(run, digits)
    _forget_the_end(run, digits)
    resumed = train(resume=run.run_id, workspace=digits)
    assert resumed.status == "completed"
    assert resumed.metrics == run.metrics
    assert _digest(resumed, digits) == digest


def _forget_the_end(run: Run, workspace: Workspace) -> None:
    path = workspace.runs / run.run_id / "run.json"
    ended = run.model_copy(update={"status": "running", "ended_at": None, "metrics": {}, "artifacts": ()})
    path.write_text(ended.model_dump_json(), encoding="utf-8")
    assert find_run(run.run_id, workspace).status == "interrupted"


def test_half_written_checkpoint_is_not_seen(digits: Workspace, quick: Overrides, stop_at: StopAt) -> None:
    """A save that a kill cut off leaves a temporary file beside the last whole checkpoint, which is what counts."""
    alone = train(quick, workspace=digits)
    stop_at(7)
    with pytest.raises(KeyboardInterrupt):
        train(quick, workspace=digits)
    run = find_run("latest", digits)
    folder = digits.runs / run.run_id
    (folder / "checkpoints" / ".last.ckpt.0123456789ab.tmp").write_bytes(b"cut off")
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 8, "train/ba')
    stop_at(10_000)
    resumed = train(resume=run.run_id, workspace=digits)
    assert _digest(resumed, digits) == _digest(alone, digits)
    assert _lines(resumed, digits) == _lines(alone, digits)


def test_checkpoints_hold_no_code(digits: Workspace, quick: Overrides) -> None:
    """Both checkpoints load with torch's restricted reader; the last one holds all state, the best one weights."""
    run = train((*quick, "trainer.max_epochs=1"), workspace=digits)
    folder = digits.runs / run.run_id / "checkpoints"
    last = torch.load(folder / "last.ckpt", weights_only=True)
    best = torch.load(folder / "best.ckpt", weights_only=True)
    assert {"optimizer_states", "lr_schedulers", "loops", "callbacks", "metrics"} <= last.keys()
    assert "optimizer_states" not in best
    assert last["global_step"] == run.num_steps


def test_completed_run_cannot_be_resumed(digits: Workspace, quick: Overrides) -> None:
    """Its learning rate has come to its end; a longer training is another run."""
    run = train((*quick, "trainer.max_epochs=1"), workspace=digits)
    with pytest.raises(StateError, match="is completed"):
        train(resume=run.run_id, workspace=digits)


def test_resume_refuses_another_configuration(digits: Workspace, quick: Overrides, stop_at: StopAt) -> None:
    """Overrides may be repeated with --resume, not changed: the sentence names what differs."""
    stop_at(2)
    with pytest.raises(KeyboardInterrupt):
        train(quick, workspace=digits)
    stop_at(10_000)
    with pytest.raises(StateError, match=r"optimizer.lr was 0.02 and is 0.5\."):
        train((*quick, "optimizer.lr=0.5"), resume="latest", workspace=digits)
    assert train(quick, resume="latest", workspace=digits).status == "completed"


def test_resume_reads_the_version_it_began_with(
    digits: Workspace, quick: Overrides, digits_folder: Path, stop_at: StopAt
) -> None:
    """A dataset that has a newer version by now is read in the old one; one whose old version is gone is refused."""
    import loopline.data

    alone = train(quick, workspace=digits)
    stop_at(2)
    with pytest.raises(KeyboardInterrupt):
        train(quick, workspace=digits)
    stop_at(10_000)
    run = find_run("latest", digits)
    options = loopline.data.Options(validation_share=0.3)
    newer = loopline.data.snapshot(digits_folder, name="digits", options=options, workspace=digits)
    assert newer.version != run.dataset.version
    resumed = train(resume=run.run_id, workspace=digits)
    assert resumed.dataset == alone.dataset
    assert _digest(resumed, digits) == _digest(alone, digits)


def test_run_in_use_cannot_be_resumed(digits: Workspace, quick: Overrides, stop_at: StopAt) -> None:
    """A second process is refused while the first one lives."""
    stop_at(2)
    with pytest.raises(KeyboardInterrupt):
        train(quick, workspace=digits)
    run = find_run("latest", digits)
    with (
        lock(digits.runs / run.run_id / "run.lock", holder="the test"),
        pytest.raises(StateError, match="is in use by another process"),
    ):
        train(resume=run.run_id, workspace=digits)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_a_run_between_steps(digits: Workspace, quick: Overrides, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM: the run is interrupted, has an end, its last step is saved, and handlers are given back."""
    before = signal.getsignal(number)

    def send_when_it_trains() -> None:
        for _ in range(3000):
            if any(path.stat().st_size for path in digits.runs.glob("*/metrics.jsonl")):
                break
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send_when_it_trains)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        train((*quick, "trainer.max_epochs=2000", "checkpoint.every_n_steps=100000"), workspace=digits)
    thread.join()
    run = find_run("latest", digits)
    assert run.status == "interrupted"
    assert run.ended_at is not None
    saved = torch.load(digits.runs / run.run_id / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == run.num_steps > 0
    assert signal.getsignal(number) is before


def test_signals_are_left_alone_in_other_threads(digits: Workspace, quick: Overrides) -> None:
    """Training in a thread works; only the main thread may hear signals."""
    done: list[Run] = []
    thread = threading.Thread(target=lambda: done.append(train((*quick, "trainer.max_epochs=1"), workspace=digits)))
    thread.start()
    thread.join()
    assert done[0].status == "completed"


def test_impatient_request_ends_at_once() -> None:
    """Before training begins, and when asked twice, a signal raises on the spot."""
    request = StopRequest()
    with pytest.raises(KeyboardInterrupt):
        request.receive(signal.SIGINT, None)
    request.deferred = True
    request.receive(signal.SIGINT, None)
    assert request.requested
    with pytest.raises(KeyboardInterrupt):
        request.receive(signal.SIGINT, None)


def test_verify_resume_kills_resumes_and_compares(digits: Workspace, quick: Overrides) -> None:
    """SIGKILL in mid-epoch, with a worker process, dropout and augmentation: equal to the last bit."""
    overrides = (*quick, "data.num_workers=1", "trainer.max_epochs=4", "data.augment.flip=true")
    proof = verify_resume(overrides, workspace=digits, seed=4)
    assert proof.equal
    assert proof.alone_weights_digest == proof.resumed_weights_digest
    assert 0 < proof.killed_at_step < proof.num_steps == 20
    assert proof.resumed_from_step <= proof.killed_at_step
    runs = {run.run_id: run for run in list_runs(digits)}
    assert runs[proof.resumed_run_id].num_resumes == 1
    assert runs[proof.alone_run_id].num_resumes == 0


def test_verify_resume_refuses_wrong_overrides(digits: Workspace, quick: Overrides) -> None:
    """Before any process is started."""
    with pytest.raises(ConfigError, match="unknown key"):
        verify_resume((*quick, "modle.width=3"), workspace=digits)
    assert list_runs(digits) == []


def test_verify_resume_passes_on_what_a_process_says(digits: Workspace, quick: Overrides) -> None:
    """A training that fails is reported with its own sentence."""
    with pytest.raises(StateError, match="snapshot 'nothing' does not exist"):
        verify_resume((*quick, "data.name=nothing"), workspace=digits)


def test_killed_run_is_listed_as_interrupted(digits: Workspace, quick: Overrides) -> None:
    """SIGKILL leaves no word in run.json; the free lock tells."""
    command = [sys.executable, "-m", "loopline", "--home", str(digits.root), "train", *quick, "trainer.max_epochs=2000"]
    process = subprocess.Popen(command)
    try:
        for _ in range(3000):
            if any(digits.runs.glob("*/metrics.jsonl")):
                break
            time.sleep(0.01)
        assert find_run("latest", digits).status == "running"
        with pytest.raises(StateError, match="is in use by another process"):
            train(resume="latest", workspace=digits)
    finally:
        process.kill()
        process.wait()
    assert find_run("latest", digits).status == "interrupted"


def test_damaged_checkpoint_is_an_error_not_a_start_from_scratch(
    digits: Workspace, quick: Overrides, stop_at: StopAt
) -> None:
    """A last.ckpt that cannot be read is said; nothing is trained over it."""
    stop_at(3)
    with pytest.raises(KeyboardInterrupt):
        train(quick, workspace=digits)
    run = find_run("latest", digits)
    (digits.runs / run.run_id / "checkpoints" / "last.ckpt").write_bytes(b"not a checkpoint")
    stop_at(10_000)
    with pytest.raises(IntegrityError, match=r"last\.ckpt"):
        train(resume=run.run_id, workspace=digits)
