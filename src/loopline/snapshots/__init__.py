"""Reading snapshots: finding one by name, its splits through memory maps, its decoded inputs from a cache.

Snapshots are written by `loopline.data`; everyone else reads them here, without torch.
"""

from loopline.snapshots.decoded import decoded_inputs
from loopline.snapshots.reader import Snapshot, SplitReader
from loopline.snapshots.references import find_snapshot, list_snapshots, open_snapshot

__all__ = ["Snapshot", "SplitReader", "decoded_inputs", "find_snapshot", "list_snapshots", "open_snapshot"]
