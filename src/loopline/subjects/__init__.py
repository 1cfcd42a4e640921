"""What several stages are asked about (a run, a bundle, a snapshot): found by reference and opened to one shape."""

from loopline.subjects.opening import Subject, open_subject
from loopline.subjects.parity import parity_check
from loopline.subjects.references import bundle_folder, find_run_if_here, open_dataset

__all__ = ["Subject", "bundle_folder", "find_run_if_here", "open_dataset", "open_subject", "parity_check"]
