"""FastAPI with a plain function as handler, which it calls in its pool of threads."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI, UploadFile
from model import Model

app = FastAPI()
model = Model()


@app.post("/predict")
def predict(file: UploadFile) -> dict[str, object]:
    """The five likeliest labels."""
    return model.predict_raw(file.file.read())


if __name__ == "__main__":
    uvicorn.run("fastapi_threads:app", port=int(sys.argv[1]), workers=int(sys.argv[2]), log_level="warning")
