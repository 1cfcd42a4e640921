"""From single requests to steps, the knee and the promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from loopline.core.errors import StateError
from loopline.core.records import LoadStep, LoadTest, SloResult, utc_now
from loopline.loadtest.plan import Plan, Slo
from loopline.loadtest.running import Sample

# The first moments of a step belong to the one before.
_SETTLE_SHARE, _SETTLE_MOST_S = 0.2, 1.0
# Of the highest rate.
_KNEE_SHARE = 0.9
_FOUND: Mapping[str, Callable[[LoadStep], float]] = {
    "p50": lambda step: step.p50_ms,
    "p95": lambda step: step.p95_ms,
    "p99": lambda step: step.p99_ms,
    "max": lambda step: step.max_ms,
    "errors": lambda step: step.error_share,
    "rate": lambda step: step.rate_per_s,
}


def summarize(samples: Sequence[Sample], plan: Plan, slos: Sequence[Slo], *, model: str, bundle: str) -> LoadTest:
    """The record of a load test; raises `StateError` where nothing was asked in a step."""
    steps = tuple(_step(samples, plan, index) for index in range(len(plan.steps)))
    return LoadTest(
        url=plan.url,
        model=model,
        bundle=bundle,
        num_inputs=len(plan.requests),
        offered_rate=plan.rate_per_s,
        steps=steps,
        knee_users=knee(steps),
        slos=tuple(judge(slo, steps[-1]) for slo in slos),
        created_at=utc_now(),
    )


def knee(steps: Sequence[LoadStep]) -> int:
    """The fewest users that reach nine tenths of the highest rate of right answers."""
    peak = max(step.rate_per_s for step in steps)
    return min(step.users for step in steps if step.rate_per_s >= _KNEE_SHARE * peak)


def judge(slo: Slo, step: LoadStep) -> SloResult:
    """Whether a step kept a promise; a latency is not kept where nothing was answered right."""
    found = _FOUND[slo.metric](step)
    if slo.metric == "rate":
        is_kept = found >= slo.limit
    else:
        is_kept = found <= slo.limit and (slo.metric == "errors" or step.rate_per_s > 0)
    return SloResult(metric=slo.metric, limit=slo.limit, found=found, is_kept=is_kept)


def _step(samples: Sequence[Sample], plan: Plan, index: int) -> LoadStep:
    begin_s = index * plan.step_s
    settle_s = min(_SETTLE_SHARE * plan.step_s, _SETTLE_MOST_S)
    chosen = [sample for sample in samples if begin_s + settle_s <= sample.at_s < begin_s + plan.step_s]
    if not chosen:
        raise StateError(
            f"no request ended in the {plan.step_s:g} s with {plan.steps[index]} users; expected at least one.",
            next_command="loopline loadtest … --duration with more seconds",
        )
    right = np.array([sample.latency_ms for sample in chosen if not sample.problem])
    seconds = plan.step_s - settle_s
    p50, p95, p99, most = np.percentile(right, [50, 95, 99, 100]) if len(right) else (0.0, 0.0, 0.0, 0.0)
    return LoadStep(
        users=plan.steps[index],
        seconds=seconds,
        num_requests=len(chosen),
        rate_per_s=len(right) / seconds,
        p50_ms=float(p50),
        p95_ms=float(p95),
        p99_ms=float(p99),
        max_ms=float(most),
        errors=dict(Counter(sample.problem for sample in chosen if sample.problem)),
    )
