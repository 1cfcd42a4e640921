"""The model card: what a bundle says about itself to a person, made from its record alone.

After Mitchell et al., Model Cards for Model Reporting, FAT* 2019: what it is, what it was trained and measured on, and
what it must not be asked.
"""

from __future__ import annotations

from loopline.core.records import ModelBundle


def model_card(bundle: ModelBundle) -> str:
    """The card as Markdown; every line states a fact of the record."""
    image = bundle.inputs[0]
    shape = " × ".join("any" if length is None else str(length) for length in image.shape[1:])
    metrics = [f"| {name} | {value:.4f} |" for name, value in sorted(bundle.metrics.items())]
    steps = [f"{number}. `{step.name}` {_params(step.params)}" for number, step in enumerate(bundle.preprocess, 1)]
    lines = [
        f"# {bundle.name}",
        "",
        f"Image classification into {len(bundle.label_names)} labels: {', '.join(bundle.label_names)}.",
        "",
        f"- Made by run `{bundle.run_id}`, {bundle.created_at:%Y-%m-%d %H:%M} UTC",
        f"- Trained on snapshot `{bundle.dataset.name}@{bundle.dataset.version[:12]}`",
        f"- Licence of the data: {bundle.licence}",
        f"- Input of the network: {shape} (channels × height × width), {image.dtype}",
        "",
        "## Measured",
        "",
        *(["| metric | value |", "|---|---|", *metrics] if metrics else ["The run recorded no metric."]),
        "",
        "## What happens to a picture first",
        "",
        *steps,
        "",
        "## Meant for",
        "",
        f"Telling these labels apart on pictures like those of snapshot `{bundle.dataset.name}`.",
        "No other use was measured.",
        "",
        "## Limits",
        "",
        "- Every picture gets one of the labels above, also one that shows none of them.",
        "- Probabilities are the network's own; how far they can be trusted is in the calibration plot of",
        "  `loopline evaluate`.",
        "- Pictures unlike the snapshot's are outside of what was measured; `loopline drift` tells when they come.",
        "",
        "## Proof",
        "",
        f"- The graph reproduced its checkpoint on {bundle.parity.num_inputs} inputs: outputs differ by at most",
        f"  {bundle.parity.max_abs_error:.2g} (tolerance {bundle.parity.tolerance:.2g}).",
        f"- Whoever opens the bundle predicts {bundle.reference.num_inputs} raw reference inputs first.",
        "",
    ]
    return "\n".join(lines)


def _params(params: dict[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in sorted(params.items()))
