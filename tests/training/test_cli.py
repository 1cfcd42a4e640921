"""`loopline train`, `verify-resume` and `runs`: thin, and readable by people and programs."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from loopline.cli.entry import cli, main
from loopline.core.records import Run
from loopline.core.workspace import Workspace
from loopline.runs import find_run
from loopline.training.compose import compose

Overrides = tuple[str, ...]


def _invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments), catch_exceptions=False)


def test_dry_run_prints_the_configuration_and_trains_nothing(workspace: Workspace) -> None:
    """YAML on standard output; no folder is made."""
    done = _invoke("train", "recipe=fashion", "model.width=8", "--dry-run")
    assert done.exit_code == 0
    assert "width: 8" in done.stdout
    assert not workspace.root.exists()


def test_train_and_runs(digits: Workspace, quick: Overrides) -> None:
    """A run is trained, listed, shown and compared; `--json` prints records."""
    short = (*quick, "trainer.max_epochs=1")
    assert _invoke("runs").stdout.endswith("next: loopline train recipe=fashion\n")
    first = Run.model_validate_json(_invoke("train", *short, "--json").stdout)
    done = _invoke("train", *short, "seed=1")
    second = find_run("latest", digits)
    assert f"next: loopline evaluate {second.run_id}" in done.stdout
    listing = _invoke("runs").stdout
    assert listing.index(second.run_id) < listing.index(first.run_id)
    assert f"accuracy {second.metrics['validation/accuracy']:.4f}" in listing
    assert [row["run_id"] for row in json.loads(_invoke("runs", "--json").stdout)] == [second.run_id, first.run_id]
    shown = _invoke("runs", "show", first.run_id).stdout
    assert first.dataset.version in shown
    assert "checkpoints/best.ckpt" in shown
    assert Run.model_validate_json(_invoke("runs", "show", "--json").stdout) == second
    compared = _invoke("runs", "compare", first.run_id, second.run_id).stdout
    assert "config.seed" in compared
    assert "config.model.width" not in compared
    assert "same configuration" in _invoke("runs", "compare", first.run_id, first.run_id).stdout


def test_interrupted_run_says_how_to_go_on(
    digits: Workspace, quick: Overrides, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 130, and the command that resumes it."""

    def press_ctrl_c(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("loopline.training.fitting.fit", press_ctrl_c)
    with pytest.raises(SystemExit) as ended:
        main(["train", *quick])
    assert ended.value.code == 130
    assert "next: loopline train --resume latest" in capsys.readouterr().err
    monkeypatch.undo()
    assert (
        f"next: loopline train --resume {find_run('latest', digits).run_id}"
        in _invoke("--home", str(digits.root), "runs", "show").stdout
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "recipe=fashio"], "Did you mean 'fashion'?"),
        (["train", "recipe=fashion", "trainer.max_epoch=3"], "Did you mean 'trainer.max_epochs'?"),
        (["train", "--resume", "nothing"], "run 'nothing' does not exist"),
        (["runs", "show", "nothing"], "run 'nothing' does not exist"),
        (["train", "recipe=fashion"], "next: loopline data get fashion"),
    ],
)
def test_mistakes_are_sentences(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str], workspace: Workspace
) -> None:
    """Exit code 1, a sentence and the next command, no traceback."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert "next: " in error
    assert "Traceback" not in error


@pytest.mark.parametrize("equal", [True, False])
def test_verify_resume_prints_and_exits_by_its_verdict(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, equal: bool
) -> None:
    """0 where both ends are equal, 1 where they differ (the proof itself is tested with its room)."""
    from loopline.core.records import ResumeProof

    proof = ResumeProof(
        seed=1,
        num_steps=20,
        killed_at_step=7,
        resumed_from_step=6,
        alone_run_id="alone",
        resumed_run_id="killed",
        alone_weights_digest="0" * 64,
        resumed_weights_digest=("0" if equal else "1") * 64,
        metrics_equal=True,
        equal=equal,
    )
    monkeypatch.setattr("loopline.loop.verify_resume", lambda *_arguments, **_options: proof)
    done = _invoke("verify-resume", "recipe=fashion")
    assert done.exit_code == (0 if equal else 1)
    assert "killed at step 7 of 20 (seed 1), resumed from step 6" in done.stdout
    assert ("equal;" if equal else "DIFFERENT;") in done.stdout
    assert ResumeProof.model_validate_json(_invoke("verify-resume", "--json").stdout) == proof


def test_the_public_function_composes_the_same(digits: Workspace, quick: Overrides) -> None:
    """What `--dry-run` shows is what a run keeps."""
    run = Run.model_validate_json(_invoke("train", *quick, "trainer.max_epochs=1", "--json").stdout)
    assert run.config == compose((*quick, "trainer.max_epochs=1")).model_dump(mode="json")
