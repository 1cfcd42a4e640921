"""FastAPI as a tutorial writes it: the handler computes in the event loop, one request at a time per process."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI, UploadFile
from model import Model

app = FastAPI()
model = Model()


@app.post("/predict")
async def predict(file: UploadFile) -> dict[str, object]:
    """The five likeliest labels."""
    return model.predict_raw(await file.read())


if __name__ == "__main__":
    uvicorn.run("fastapi_async:app", port=int(sys.argv[1]), workers=int(sys.argv[2]), log_level="warning")
