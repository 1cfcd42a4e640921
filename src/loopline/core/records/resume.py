"""`ResumeProof`: a run left alone against one that was killed and resumed."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from loopline.core.records.record import Digest, Record


class ResumeProof(Record):
    """What `verify-resume` saw; equal means to the last bit, in the weights and in every metric."""

    schema_version: Literal[1] = 1
    seed: int
    num_steps: int = Field(ge=1)
    # The step in which SIGKILL came, and the one that the resumed run started from.
    killed_at_step: int = Field(ge=1)
    resumed_from_step: int = Field(ge=0)
    alone_run_id: str
    resumed_run_id: str
    alone_weights_digest: Digest
    resumed_weights_digest: Digest
    metrics_equal: bool
    equal: bool

    @model_validator(mode="after")
    def _verdict_agrees(self) -> Self:
        same = self.alone_weights_digest == self.resumed_weights_digest and self.metrics_equal
        if self.equal != same:
            raise ValueError("the verdict differs from the digests and metrics")
        return self
