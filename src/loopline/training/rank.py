"""`python -m loopline.training.rank WORKSPACE RUN_ID NUM_RANKS`: one rank of a run that another process holds."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from loopline.core.records import Run
from loopline.core.stopping import StopRequest
from loopline.core.store import read_record
from loopline.core.workspace import Workspace
from loopline.runs import RUN_FILE
from loopline.snapshots import find_snapshot, open_snapshot
from loopline.training.batches import Share
from loopline.training.config import checked
from loopline.training.fitting import fit
from loopline.training.job import open_job
from loopline.training.metrics_log import NoLog
from loopline.training.ranks import READY, share_cores


def main() -> None:
    """Trains as the rank that the variable LOCAL_RANK names; writes nothing."""
    root, run_id, num_ranks = sys.argv[1:]
    # Ctrl-C reaches every process of a terminal; rank 0 decides when all of them stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    workspace = Workspace(Path(root))
    folder = workspace.runs / run_id
    record = read_record(Run, folder / RUN_FILE)
    config = checked(record.config)
    snapshot = open_snapshot(f"{find_snapshot(config.data.name, workspace)}@{record.dataset.version}", workspace)
    share = Share(int(os.environ["LOCAL_RANK"]), int(num_ranks))
    job = open_job(config, snapshot, workspace, share=share)
    share_cores(share.num_ranks)
    os.write(sys.stdout.fileno(), READY)
    # Nobody reads what libraries may print from here on.
    with Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())
    fit(folder, job, NoLog(folder), StopRequest())


if __name__ == "__main__":
    main()
