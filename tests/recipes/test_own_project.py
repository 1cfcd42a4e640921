"""A stranger's fifth recipe: one short module and a few settings take a new kind of data around the whole loop.

The project is in `tones/`, as `docs/own.md` shows it; here it is walked by the commands, in processes of their own.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import urllib.request
import wave
from pathlib import Path

import numpy as np
import pytest

PROJECT = Path(__file__).parent / "tones"
EXTENSIONS = (
    "source.wav=tones:list_wavs",
    "transform.decode_wav=tones:DecodeWav",
    "input.wav=tones:WavInput",
    "network.tone=tones:ToneConfig",
)
SETTINGS = ("name=tones", "data.name=tones", "input=wav", "model=tone", "trainer.max_epochs=8", "data.batch_size=16")


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


def test_a_project_of_ones_own_goes_around_the_loop(recordings: Path, tmp_path: Path) -> None:
    """Snapshot, train, evaluate, export, register, promote, predict, serve, drift."""
    environment = {**os.environ, "LOOPLINE_EXTEND": " ".join(EXTENSIONS), "PYTHONDONTWRITEBYTECODE": "1"}

    def loopline(*arguments: str) -> str:
        command = [sys.executable, "-m", "loopline", "--home", str(tmp_path / "home"), *arguments]
        done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    loopline("data", "snapshot", f"wav:{recordings}", "--name", "tones")
    conf = ["--config-dir", str(PROJECT / "conf")]
    run = json.loads(loopline("train", "recipe=tones", *conf, "--json"))
    assert run["metrics"]["validation/accuracy"] > 0.9
    evaluation = json.loads(loopline("evaluate", "latest", "--json"))
    assert evaluation["metrics"]["accuracy"]["value"] > 0.9
    loopline("export", "latest")
    loopline("register", "latest", "--name", "tones")
    loopline("promote", "tones@1", "champion")
    answer = json.loads(loopline("predict", "tones@champion", str(recordings / "high" / "7.wav"), "--json"))
    assert answer["label"] == "high"
