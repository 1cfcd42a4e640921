"""Sweeps: a space of configurations, searched by trials that are runs; killed and taken up again at any moment.

What a trial is, the loop decides: it gives a `Describe` (what judges a configuration) and a `Launcher`.
"""

from loopline.sweep.launching import Describe, Launcher, LiveTrial, Objective, Progress
from loopline.sweep.page import ranked, short, sweep_page
from loopline.sweep.processes import TrialProcesses
from loopline.sweep.searching import (
    continued,
    find_sweep,
    first_trial,
    list_sweeps,
    page_path,
    plan_sweep,
    run_sweep,
    write_page,
)
from loopline.sweep.space import describe, split_overrides
from loopline.sweep.wandb_file import WandbSweep, read_wandb_file

__all__ = [
    "Describe",
    "Launcher",
    "LiveTrial",
    "Objective",
    "Progress",
    "TrialProcesses",
    "WandbSweep",
    "continued",
    "describe",
    "find_sweep",
    "first_trial",
    "list_sweeps",
    "page_path",
    "plan_sweep",
    "ranked",
    "read_wandb_file",
    "run_sweep",
    "short",
    "split_overrides",
    "sweep_page",
    "write_page",
]
