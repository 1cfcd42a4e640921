"""LitServe with batches, one inference worker per core."""

# Without annotations as text: LitServe looks at what `decode_request` takes to know what it shall pass on.
import sys
from collections.abc import Sequence
from typing import Any

import litserve
from fastapi import Request
from model import Model


class Api(litserve.LitAPI):
    """Decodes each request and predicts what came together."""

    def setup(self, device: str) -> None:
        self.model = Model()

    def decode_request(self, request: Request) -> Any:
        # For a form, it passes the form.
        return self.model.decode(request["file"].file.read())

    def batch(self, inputs: Sequence[Any]) -> Sequence[Any]:
        return inputs

    def predict(self, x: Sequence[Any]) -> list[dict[str, object]]:
        return self.model.predict(x)

    def unbatch(self, output: list[dict[str, object]]) -> list[dict[str, object]]:
        return output

    def encode_response(self, output: dict[str, object]) -> dict[str, object]:
        return output


if __name__ == "__main__":
    server = litserve.LitServer(
        Api(max_batch_size=16, batch_timeout=0.005), accelerator="cpu", workers_per_device=int(sys.argv[2]), timeout=60
    )
    server.run(port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
