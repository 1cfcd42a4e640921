"""`DatasetManifest`: what a snapshot holds, addressed by its content."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from loopline.core.records.record import Digest, Name, Record, Time

Task = Literal["classification", "regression", "translation"]
# What an example is: `image`, `bands`, `text`, `values`, or a kind that a project's own decoder names.
InputKind = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]


class Shard(Record):
    """One Parquet file of a split: columns `id` (string), `input` (bytes or string) and `target`.

    `digest` is that of the file's bytes, `rows_digest` that of its (input digest, id, target) triples: the rows tell
    whether a shard can be reused, whichever version of Parquet's writer made the file.
    """

    path: str
    digest: Digest
    rows_digest: Digest
    num_bytes: int = Field(ge=0)
    num_examples: int = Field(ge=1)


class Split(Record):
    """The examples of one split; its digest is that of its sorted (input digest, id, target) triples."""

    num_examples: int = Field(ge=1)
    digest: Digest
    class_counts: tuple[int, ...] = ()
    shards: tuple[Shard, ...]

    @model_validator(mode="after")
    def _counts_agree(self) -> Self:
        if sum(shard.num_examples for shard in self.shards) != self.num_examples:
            raise ValueError("the shards' num_examples do not sum to the split's")
        if self.class_counts and sum(self.class_counts) != self.num_examples:
            raise ValueError("the class counts do not sum to num_examples")
        return self


class ChannelStatistics(Record):
    """Per-channel mean and standard deviation of the train split: of pictures in units of full scale (0 to 1)."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class SkippedFile(Record):
    """A source file that is not in the snapshot, and why."""

    path: str
    reason: str


class Duplicate(Record):
    """One input content that stands in more than one split, with the ids that carry it (as `split/id`)."""

    digest: Digest
    ids: tuple[str, ...] = Field(min_length=2)


class DatasetManifest(Record):
    """A snapshot: a dataset's content at one moment; `version` is the digest of task, features, labels and splits."""

    schema_version: Literal[1] = 1
    name: Name
    version: Digest
    task: Task
    input_kind: InputKind
    # Axes of one decoded input before any transform, where all share them: (height, width, channels) of pictures.
    input_shape: tuple[int, ...] | None = None
    label_names: tuple[str, ...] = ()
    splits: dict[Name, Split] = Field(min_length=1)
    statistics: ChannelStatistics | None = None
    source: str
    licence: str
    parent: Digest | None = None
    confidential: bool = False
    skipped: tuple[SkippedFile, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    created_at: Time

    @model_validator(mode="after")
    def _labels_agree(self) -> Self:
        if self.task == "classification":
            if not self.label_names:
                raise ValueError("a classification snapshot needs label names")
            for name, split in self.splits.items():
                if len(split.class_counts) != len(self.label_names):
                    raise ValueError(f"split '{name}' counts {len(split.class_counts)} classes, not every label name")
        return self


class SnapshotCheck(Record):
    """What `verify` read and found to be the bytes that were written."""

    name: Name
    version: Digest
    num_shards: int = Field(ge=1)
    num_examples: int = Field(ge=1)
    num_bytes: int = Field(ge=0)


class SplitDiff(Record):
    """Ids of one split that differ: new, gone, with other bytes, or with the same bytes and another target."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    relabelled: tuple[str, ...] = ()


class SnapshotDiff(Record):
    """What turns one snapshot into another, split by split; splits without a difference are left out."""

    # References as `name@version`.
    before: str
    after: str
    labels_added: tuple[str, ...] = ()
    labels_removed: tuple[str, ...] = ()
    splits: dict[Name, SplitDiff] = {}
