"""The page of a sweep: what came out, which keys mattered, and the command that trains each trial again."""

from __future__ import annotations

from loopline.core.records import Sweep, Trial
from loopline.page import (
    Block,
    Code,
    Figure,
    Figures,
    KeyFigure,
    KeyFigures,
    Section,
    Table,
    Text,
    Verdict,
    render_page,
)
from loopline.plots.trials import epochs_png, history_png, importance_png, parallel_png, slices_png
from loopline.sweep.space import describe

_DIRECTIONS = {"max": "higher is better", "min": "lower is better"}


def sweep_page(sweep: Sweep) -> str:
    """The whole sweep as one HTML page; also of a sweep that goes on."""
    settings = sweep.settings
    lead = (
        f"{sweep.num_finished} of {sweep.num_trials} trials, judged by {sweep.metric}: "
        f"{_DIRECTIONS[sweep.direction]}, and the value of a trial is that of its best epoch."
    )
    sections = [Section("", _head(sweep))]
    if any(trial.value is not None for trial in sweep.trials):
        sections += _pictures(sweep)
    sections += [
        Section("Space", (_space_rows(sweep),)),
        Section("Trials", (_trial_rows(sweep),)),
        Section("Commands", _commands(sweep)),
    ]
    facts = (
        ("sweep", sweep.name),
        ("overrides", " ".join(sweep.overrides) or "none"),
        ("sampler", f"{settings.sampler}, seed {settings.seed}"),
        ("pruning", f"{settings.pruning.name}, from epoch {settings.pruning.warmup_epochs}"),
        ("workers", str(settings.num_workers)),
        ("began", f"{sweep.created_at:%Y-%m-%d %H:%M:%S} UTC"),
    )
    return render_page(f"Sweep {sweep.name}", sections, lead=lead, facts=facts)


def _head(sweep: Sweep) -> tuple[Block, ...]:
    best = sweep.best
    if best is None or best.value is None:
        return (Verdict("neutral", "No trial is completed yet."),)
    counts = {status: sum(trial.status == status for trial in sweep.trials) for status in ("pruned", "failed")}
    seconds = sum(trial.duration_s or 0.0 for trial in sweep.trials)
    figures = (
        KeyFigure(sweep.metric, f"{best.value:.4f}", f"trial {best.number}, epoch {best.epochs.index(best.value) + 1}"),
        KeyFigure("trials", f"{sweep.num_finished}", f"{counts['pruned']} pruned, {counts['failed']} failed"),
        KeyFigure("time in trials", f"{seconds / 60:.1f} min", f"{sweep.settings.num_workers} at a time"),
    )
    return KeyFigures(figures), Code(sweep.command(best))


def _pictures(sweep: Sweep) -> list[Section]:
    history = Figure(
        history_png(sweep),
        alt=f"{sweep.metric} of every trial in the order of trials, with the best so far.",
        caption="Every trial in the order in which they began. A cross is a trial that was pruned.",
    )
    epochs = Figure(
        epochs_png(sweep),
        alt=f"{sweep.metric} of every trial after each epoch.",
        caption="Every trial epoch by epoch. A pruned trial ends where it was stopped.",
    )
    parallel = Figure(
        parallel_png(sweep),
        alt="Parallel coordinates: one line per trial through its parameters to its value.",
        caption="A line is a trial, from its parameters to its value. The darker, the better.",
    )
    slices = Figure(
        slices_png(sweep),
        alt="The value of every trial against each of its parameters.",
        caption="A dot is a trial: its parameter and its value. The darker, the later; a cross is a pruned one.",
    )
    importance: Block = Text("Importance is measured from four completed trials on.")
    if sweep.importance:
        shares = Figure(
            importance_png(sweep),
            alt="Bars: the share of the metric's variation that each key explains.",
            caption="PED-ANOVA over the completed trials: what a key explains within the ranges that were searched.",
        )
        importance = Figures((shares,))
    return [
        Section("History", (Figures((history,)), Figures((epochs,)))),
        Section("Importance", (importance,)),
        Section("Where the good points lie", (Figures((parallel,)), Figures((slices,)))),
    ]


def _space_rows(sweep: Sweep) -> Table:
    rows = tuple(
        (key, describe(dimension), f"{sweep.importance[key]:.2f}" if key in sweep.importance else "–")
        for key, dimension in sweep.space.items()
    )
    return Table("What differs between trials", ("key", "values", "importance"), rows)


def _trial_rows(sweep: Sweep) -> Table:
    rows = tuple(
        (
            str(trial.number),
            trial.status,
            "–" if trial.value is None else f"{trial.value:.4f}",
            *(short(trial.params.get(key, "–")) for key in sweep.space),
            str(len(trial.epochs)),
            "–" if trial.duration_s is None else f"{trial.duration_s:.1f}",
            trial.run_id,
        )
        for trial in ranked(sweep)
    )
    columns = ("trial", "status", sweep.metric, *sweep.space, "epochs", "seconds", "run")
    return Table("Every trial, the best first", columns, rows)


def _commands(sweep: Sweep) -> tuple[Block, ...]:
    text = Text("Each line trains a trial again, on its own: equal configurations on equal data give equal weights.")
    lines = []
    for trial in ranked(sweep):
        value = "" if trial.value is None else f": {trial.value:.4f}"
        lines.append(f"# trial {trial.number}, {trial.status}{value}")
        lines += [f"# {trial.error}"] if trial.error else []
        lines.append(sweep.command(trial))
    return text, Code("\n".join(lines))


def ranked(sweep: Sweep) -> list[Trial]:
    """The completed trials, the best first, then those that were pruned, still run, or failed."""
    order = ("completed", "pruned", "running", "failed")
    sign = 1 if sweep.direction == "min" else -1
    return sorted(sweep.trials, key=lambda trial: (order.index(trial.status), sign * (trial.value or 0.0)))


def short(text: str) -> str:
    """A sampled text for reading: fractions with four digits."""
    try:
        return f"{float(text):.4g}" if "." in text or "e" in text else text
    except ValueError:
        return text
