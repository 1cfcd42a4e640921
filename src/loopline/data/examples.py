"""The usable examples of a source, and everything the manifest says about them.

N examples, K classes, C channels (red, green, blue, or one grey).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import InputError
from loopline.core.records import ChannelStatistics, Duplicate, Task
from loopline.data.arrays import shared_shape
from loopline.data.checks import Inspection
from loopline.data.listing import Listing
from loopline.data.shards import Rows, sort_rows


@dataclass(frozen=True)
class Examples:
    """Usable examples in columns: their places in the source, ids, targets as numbers or texts, and inspection."""

    sources_N: NDArray[np.int64]
    ids: list[str]
    targets_N: NDArray[Any]
    label_names: tuple[str, ...]
    given_splits: list[str]
    groups: list[str]
    inspection: Inspection

    def sorted_rows(self, member_N: NDArray[np.bool_]) -> Rows:
        """The member examples as a split's sorted rows."""
        return sort_rows(
            np.flatnonzero(member_N),
            sources=self.sources_N,
            digests=self.inspection.digests_N32,
            ids=self.ids,
            targets=self.targets_N,
        )


def unusable_rows(listing: Listing, task: Task) -> dict[int, str]:
    """Rows whose id or target cannot be stored, with the reason."""
    reasons: dict[int, str] = {}
    for row, (example_id, target) in enumerate(zip(listing.ids, listing.targets, strict=True)):
        if "\0" in example_id or "\0" in target:
            reasons[row] = "the id or target holds a NUL character."
        elif not target:
            reasons[row] = "the target is empty."
    if task == "regression":
        for row, target in enumerate(listing.targets):
            if row not in reasons and not _is_finite(target):
                reasons[row] = f"the target '{target}' is no finite number."
    return reasons


def with_groups(listing: Listing, pattern: str | None) -> Listing:
    """The listing with the groups that the pattern finds in its ids: its first bracket, or all that it matches.

    Raises `InputError` for an id that it does not match.
    """
    if pattern is None:
        return listing
    found = [re.search(pattern, example_id) for example_id in listing.ids]
    if missing := [example_id for example_id, match in zip(listing.ids, found, strict=True) if match is None]:
        raise InputError(f"group_pattern '{pattern}' matches nothing in id '{missing[0]}' ({len(missing)} such ids).")
    return replace(listing, groups=[match[1 if match.re.groups else 0] for match in found if match is not None])


def odd_sizes(listing: Listing, inspection: Inspection) -> dict[int, str]:
    """Plots of another size than most, with the reason; none where no size is that of more than half of them.

    Pictures and other kinds may differ in size: a transform makes them equal.
    """
    if listing.input_kind != "bands" or not inspection.arrays:
        return {}
    shapes = {row: facts.shape for row, facts in inspection.arrays.items()}
    (usual, count), *_ = Counter(shapes.values()).most_common(1)
    if 2 * count <= len(shapes):
        return {}
    return {
        row: f"the plot is {shape[1]}×{shape[0]} pixels; {count} of {len(shapes)} are {usual[1]}×{usual[0]}."
        for row, shape in shapes.items()
        if shape != usual
    }


def gather(listing: Listing, task: Task, inspection: Inspection, rows_N: NDArray[np.int64]) -> Examples:
    """The given usable rows of a source; raises `InputError` for classification with fewer than two classes."""
    rows = rows_N.tolist()
    texts = [listing.targets[row] for row in rows]
    label_names: tuple[str, ...] = ()
    targets_N: NDArray[Any]
    if task == "classification":
        label_names = listing.label_names or tuple(sorted(set(texts)))
        if len(label_names) < 2:
            raise InputError(
                f"{listing.source} has one class only, '{label_names[0]}'; classification needs at least two."
            )
        indices = {label: index for index, label in enumerate(label_names)}
        targets_N = np.fromiter((indices[text] for text in texts), dtype=np.int64, count=len(texts))
    elif task == "regression":
        targets_N = np.array([float(text) for text in texts], dtype=np.float32)
    else:
        targets_N = np.array(texts, dtype=object)
    return Examples(
        rows_N,
        [listing.ids[row] for row in rows],
        targets_N,
        label_names,
        [listing.splits[row] for row in rows],
        [listing.groups[row] for row in rows] if listing.groups else [],
        inspection.take(rows_N),
    )


def check_ids(splits: Mapping[str, Rows]) -> None:
    """Raises `InputError` where an id stands twice in one split: nobody could say which example it means."""
    for split, rows in splits.items():
        if len(set(rows.ids)) < len(rows.ids):
            twice = [example_id for example_id, count in Counter(rows.ids).items() if count > 1]
            raise InputError(
                f"id '{twice[0]}' stands more than once in split '{split}' ({len(twice)} such ids); expected unique "
                "ids: name a column that has them.",
                next_command="loopline data snapshot … --column id=COLUMN",
            )


def find_duplicates(splits: Mapping[str, Rows]) -> tuple[Duplicate, ...]:
    """Inputs with equal bytes that stand in more than one split, by digest."""
    seen: set[str] = set()
    shared: set[str] = set()
    for rows in splits.values():
        own = set(rows.hex_digests)
        shared |= seen & own
        seen |= own
    ids: dict[str, list[str]] = {digest: [] for digest in sorted(shared)}
    if shared:
        for split, rows in splits.items():
            for digest, example_id in zip(rows.hex_digests, rows.ids, strict=True):
                if digest in shared:
                    ids[digest].append(f"{split}/{example_id}")
    return tuple(Duplicate(digest=digest, ids=tuple(carriers)) for digest, carriers in ids.items())


def count_channels(inspection: Inspection) -> int:
    """1 where every picture is grey, otherwise 3."""
    return int(inspection.shapes_N3[:, 2].max())


def input_shape(inspection: Inspection) -> tuple[int, ...] | None:
    """The axes that all inputs share, for pictures (H, W, C) with the C of `count_channels`; None where they differ."""
    if inspection.arrays:
        return shared_shape(list(inspection.arrays.values()))
    if not inspection.shapes_N3.any():
        return None
    sizes_N2 = inspection.shapes_N3[:, :2]
    if not (sizes_N2 == sizes_N2[0]).all():
        return None
    return (int(sizes_N2[0, 0]), int(sizes_N2[0, 1]), count_channels(inspection))


def channel_statistics(inspection: Inspection, num_channels: int) -> ChannelStatistics:
    """Mean and standard deviation over all pixels of the inspected pictures, per channel, in units of full scale.

    From exact integer sums, so that neither order nor platform changes a digit.
    """
    num_pixels = int((inspection.shapes_N3[:, 0] * inspection.shapes_N3[:, 1]).sum())
    sums = inspection.sums_N3.sum(axis=0).tolist()[:num_channels]
    squares = inspection.squares_N3.sum(axis=0).tolist()[:num_channels]
    variances = [
        (num_pixels * square - total**2) / (255 * num_pixels) ** 2 for total, square in zip(sums, squares, strict=True)
    ]
    return ChannelStatistics(
        mean=tuple(total / (255 * num_pixels) for total in sums),
        std=tuple(math.sqrt(variance) for variance in variances),
    )


def _is_finite(text: str) -> bool:
    try:
        # What float32, in which it is stored, can hold; NaN compares false.
        return abs(float(text)) <= float(np.finfo(np.float32).max)
    except ValueError:
        return False
