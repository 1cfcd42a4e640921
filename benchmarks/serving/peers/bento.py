"""BentoML, one worker process per core: `bentoml serve bento:Pictures`."""

from __future__ import annotations

import os
from pathlib import Path

import bentoml
from model import Model


@bentoml.service(workers=int(os.environ["WORKERS"]), traffic={"timeout": 60, "max_concurrency": 1024})
class Pictures:
    """Predicts one file."""

    def __init__(self) -> None:
        self.model = Model()

    @bentoml.api
    def predict(self, file: Path) -> dict[str, object]:
        """The five likeliest labels."""
        return self.model.predict_raw(file.read_bytes())
