"""Folders in `gs://`, `s3://` and `file://`: sent and fetched in parallel, resumable, every byte checked."""

from loopline.storage.copying import Copied, pull_folder, push_folder, read_listing
from loopline.storage.place import Place, open_place

__all__ = ["Copied", "Place", "open_place", "pull_folder", "push_folder", "read_listing"]
