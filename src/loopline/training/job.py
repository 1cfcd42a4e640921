"""`Job`: what a run computes from, opened and checked before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from loopline.core.errors import ConfigError
from loopline.core.records import DatasetRef, Signature, TransformStep
from loopline.core.workspace import Workspace
from loopline.snapshots import Snapshot
from loopline.training.batches import Share
from loopline.training.config import TrainConfig
from loopline.transforms import Pipeline, build_pipeline


@dataclass(frozen=True)
class Job:
    """A configuration with its snapshot, its preprocess, and the files that this names."""

    config: TrainConfig
    snapshot: Snapshot
    pipeline: Pipeline
    files: Mapping[str, bytes]
    workspace: Workspace
    # What this process does of it, where several train one network.
    share: Share

    @property
    def dataset(self) -> DatasetRef:
        """The snapshot, in its very version."""
        return DatasetRef(name=self.snapshot.manifest.name, version=self.snapshot.manifest.version)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """What the network takes, without the batch axis; empty where examples differ in length."""
        return () if self.pipeline.decoder.is_ragged else self.pipeline.input_shape

    def signature(self, *, num_outputs: int, postprocess: tuple[TransformStep, ...]) -> Signature:
        """What surrounds the network, as the run's folder keeps it; the task's module knows the two."""
        manifest = self.snapshot.manifest
        return Signature(
            task=manifest.task,
            input_kind=manifest.input_kind,
            dataset=self.dataset,
            preprocess=self.pipeline.steps,
            postprocess=postprocess,
            input_shape=self.input_shape,
            num_outputs=num_outputs,
            label_names=manifest.label_names,
            unit=getattr(self.config.task, "unit", None),
            files=tuple(sorted(self.files)),
        )


def open_job(config: TrainConfig, snapshot: Snapshot, workspace: Workspace, *, share: Share | None = None) -> Job:
    """Checks that configuration and data fit; the preprocess takes its statistics and files from the snapshot."""
    manifest, data = snapshot.manifest, config.data
    if (manifest.task, manifest.input_kind) != (config.task.task, config.input.input_kind):
        raise ConfigError(
            f"snapshot '{manifest.name}' holds {manifest.input_kind} inputs for {manifest.task}; expected "
            f"{config.input.input_kind} inputs for {config.task.task}.",
            next_command=f"loopline data show {manifest.name}",
        )
    for name in (data.train_split, data.validation_split):
        snapshot.split(name)
    files = config.input.files(snapshot, workspace.cache)
    pipeline = build_pipeline(config.input.steps(manifest), files)
    data.augment.refuse_unfit(pipeline)
    return Job(config, snapshot, pipeline, files, workspace, share or Share(0, config.trainer.devices))
