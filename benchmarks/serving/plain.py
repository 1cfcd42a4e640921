"""The peer: the handler that a FastAPI tutorial writes, with the same decoder, transforms, engine and threads.

    python benchmarks/serving/plain.py BUNDLE PORT

One process; the handler decodes and predicts in the event loop, one request at a time. No batching, no log, no limits.
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, UploadFile

from loopline.predictor import open_predictor

predictor = open_predictor(Path(sys.argv[1]), num_threads=1)
app = FastAPI()


@app.post("/predict")
async def predict(file: UploadFile) -> dict[str, object]:
    """The likeliest label and every label's probability."""
    (answer,) = predictor.predict_raw([await file.read()])
    probabilities = dict(zip(predictor.output_names, answer.outputs.tolist(), strict=True))
    return {"label": answer.predicted, "probabilities": probabilities}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[2]), log_level="warning", access_log=False)
