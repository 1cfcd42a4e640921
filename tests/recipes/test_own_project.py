"""A stranger's fifth recipe: one short module and a few settings take a new kind of data around the whole loop.

The project is in `tones/`, as `docs/own.md` shows it; here it is walked by the commands.
"""

from __future__ import annotations

import io
import json
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import loopline.data as loopline_data
from loopline.cli.entry import cli
from loopline.core.errors import InputError, UnknownName
from loopline.training.compose import compose

PROJECT = Path(__file__).parent / "tones"
EXTENSIONS = (
    "source.wav=tones:list_wavs",
    "transform.decode_wav=tones:DecodeWav",
    "input.wav=tones:WavInput",
    "network.tone=tones:ToneConfig",
)


def tone(frequency_hz: float, seed: int) -> bytes:
    """A WAV file of a fifth of a second: a tone of some phase and strength, in noise."""
    generator = np.random.default_rng(seed)
    time_s_T = np.arange(1600) / 8000
    x_T = generator.uniform(0.3, 0.8) * np.sin(2 * np.pi * (frequency_hz * time_s_T + generator.uniform()))
    x_T += 0.05 * generator.normal(size=len(x_T))
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes((32767 * np.clip(x_T, -1, 1)).astype("<i2").tobytes())
    return buffer.getvalue()


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A folder per class, `low` and `high`, with 90 recordings each."""
    folder = tmp_path / "recordings"
    for name, frequency_hz in (("low", 300.0), ("high", 1500.0)):
        (folder / name).mkdir(parents=True)
        for index in range(90):
            (folder / name / f"{index}.wav").write_bytes(tone(frequency_hz * (1 + index / 400), seed=index))
    return folder


def test_the_module_is_short() -> None:
    """What a new kind of data costs: less than 60 lines of code."""
    lines = (PROJECT / "tones.py").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.strip()]) < 60


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> None:
    """The project's folder is the current one, and its names are known."""
    monkeypatch.chdir(PROJECT)
    monkeypatch.syspath_prepend(str(PROJECT))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("LOOPLINE_EXTEND", " ".join(EXTENSIONS))


def loopline(*arguments: str) -> str:
    """What a command prints, in this process; a command that fails fails the test with what it said."""
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, (done.exception, done.output)
    return done.stdout


@pytest.mark.usefixtures("project")
def test_a_project_of_ones_own_goes_around_the_loop(recordings: Path) -> None:
    """Snapshot, train, evaluate, export, register, promote, predict: every command knows the project's names."""
    loopline("data", "snapshot", f"wav:{recordings}", "--name", "tones")
    run = json.loads(loopline("train", "recipe=tones", "tracking=none", "--config-dir", "conf", "--json"))
    assert run["metrics"]["validation/accuracy"] > 0.9
    evaluation = json.loads(loopline("evaluate", "latest", "--json"))
    assert evaluation["metrics"]["accuracy"]["value"] > 0.9
    loopline("export", "latest")
    loopline("register", "latest", "--name", "tones")
    loopline("promote", "tones@1", "champion")
    answer = json.loads(loopline("predict", "tones@champion", str(recordings / "high" / "7.wav"), "--json"))
    assert answer["label"] == "high"


@pytest.mark.usefixtures("project")
def test_without_its_names_the_project_is_refused_with_a_sentence(
    recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is imported because a file says so: where the owner names no module, the name is unknown."""
    monkeypatch.delenv("LOOPLINE_EXTEND")
    with pytest.raises(InputError, match=r"source 'wav:.*' does not exist"):
        loopline_data.snapshot(f"wav:{recordings}", name="tones")
    with pytest.raises(UnknownName, match="input 'wav' does not exist"):
        compose(["recipe=tones"], config_dir=PROJECT / "conf")
