"""The model card: what a bundle says about itself to a person, made from its record alone.

After Mitchell et al., Model Cards for Model Reporting, FAT* 2019: what it is, what it was trained and measured on, and
what it must not be asked.
"""

from __future__ import annotations

from loopline.core.records import ModelBundle


def model_card(bundle: ModelBundle) -> str:
    """The card as Markdown; every line states a fact of the record."""
    given = bundle.inputs[0]
    shape = " × ".join("any" if length is None else str(length) for length in given.shape[1:])
    metrics = [f"| {name} | {value:.4f} |" for name, value in sorted(bundle.metrics.items())]
    steps = [f"{number}. `{step.name}` {_params(step.params)}" for number, step in enumerate(bundle.preprocess, 1)]
    lines = [
        f"# {bundle.name}",
        "",
        _what_it_does(bundle),
        "",
        f"- Made by run `{bundle.run_id}`, {bundle.created_at:%Y-%m-%d %H:%M} UTC",
        f"- Trained on snapshot `{bundle.dataset.name}@{bundle.dataset.version[:12]}`",
        f"- Licence of the data: {bundle.licence}",
        f"- Input of the network: {shape} ({' × '.join(given.axes[1:])}), {given.dtype}",
        "",
        "## Measured",
        "",
        *(["| metric | value |", "|---|---|", *metrics] if metrics else ["The run recorded no metric."]),
        "",
        "## What happens to an example first",
        "",
        *steps,
        "",
        "## Meant for",
        "",
        f"Examples ({bundle.input_kind}) like those of snapshot `{bundle.dataset.name}`. No other use was measured.",
        "",
        "## Limits",
        "",
        *_limits(bundle),
        "- Examples unlike the snapshot's are outside of what was measured; `loopline drift` tells when they come.",
        "",
        "## Proof",
        "",
        *_parity(bundle),
        f"- Whoever opens the bundle predicts {bundle.reference.num_inputs} raw reference inputs first.",
        *(
            ["- Those inputs are made up, because the dataset is confidential."]
            if bundle.reference.is_simulated
            else []
        ),
        "",
    ]
    return "\n".join(lines)


def _parity(bundle: ModelBundle) -> list[str]:
    error = f"{bundle.parity.max_abs_error:.2g} (tolerance {bundle.parity.tolerance:.2g})."
    if bundle.parent is None:
        words = f"- The graph reproduced its checkpoint on {bundle.parity.num_inputs} inputs: outputs differ by at most"
        return [words, f"  {error}"]
    lines = [
        f"- Made of bundle `{bundle.parent[:12]}`; outputs on {bundle.parity.num_inputs} inputs differ by at most",
        f"  {error}",
    ]
    if (derivation := bundle.derivation) is not None:
        comparison = derivation.comparison
        low, middle, high = (
            comparison.in_points(each) for each in (comparison.low, comparison.difference, comparison.high)
        )
        lines += [
            f"- By recipe `{derivation.recipe}`, against that on split `{derivation.split}`: {middle:+.2f}",
            f"  {comparison.unit} ({low:+.2f} to {high:+.2f}), {derivation.speedup:.2f} times as fast on",
            f"  {derivation.machine}.",
        ]
    return lines


def _what_it_does(bundle: ModelBundle) -> str:
    if bundle.task == "classification":
        names = ", ".join(bundle.label_names)
        return f"Classification of {bundle.input_kind} inputs into {len(bundle.label_names)} labels: {names}."
    unit = f" in {bundle.unit}" if bundle.unit else ""
    return f"{bundle.task.capitalize()} from {bundle.input_kind} inputs{unit}."


def _limits(bundle: ModelBundle) -> list[str]:
    if bundle.task == "classification":
        return [
            "- Every example gets one of the labels above, also one that shows none of them.",
            "- Probabilities are the network's own; how far they can be trusted is in the calibration plot of",
            "  `loopline evaluate`.",
        ]
    for step in bundle.postprocess:
        if step.name == "interval":
            return [
                f"- The interval is ± {step.params['radius']:.4g} around the value, so that it holds the truth in",
                f"  {step.params['coverage']:.0%} of the cases like those of split `{bundle.reference.drift_split}`;",
                "  on examples from elsewhere it may hold it less often.",
            ]
    return []


def _params(params: dict[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in sorted(params.items()))
