"""A real network, real digits, and the bundle of the two."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from loopline.core.records import DatasetRef, TransformStep
from loopline.export import BundleFacts, export_bundle
from loopline.networks import Network, build_network
from loopline.transforms import image_steps

LABELS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FreshNetwork = Callable[[str], Network]


@pytest.fixture(scope="session")
def steps() -> tuple[TransformStep, ...]:
    """The preprocess of the digits."""
    return image_steps(height=16, width=16, mode="L", mean=[0.3], std=[0.35])


@pytest.fixture(scope="session")
def facts() -> BundleFacts:
    """What is known about the network besides its numbers."""
    return BundleFacts(
        name="digits",
        run_id="20261121-120000-digits-abcd",
        dataset=DatasetRef(name="digits", version="d" * 64),
        label_names=LABELS,
        licence="BSD-3-Clause",
        created_at=datetime(2026, 11, 21, 12, tzinfo=UTC),
        metrics={"validation/accuracy": 0.125},
        held_out_split="validation",
    )


@pytest.fixture(scope="session")
def fresh_network() -> FreshNetwork:
    """Makes a small network by name, with weights and batch statistics of its own, always the same."""

    def make(name: str) -> Network:
        torch.manual_seed(0)
        network = build_network(name, {"width": 8}, input_shape=(1, 16, 16), num_outputs=len(LABELS))
        # A pass in training mode moves the batch statistics away from 0 and 1, so that leaving them out would show.
        network.train()(torch.randn(64, 1, 16, 16))
        return network.eval()

    return make


@pytest.fixture(scope="session")
def network(fresh_network: FreshNetwork) -> Network:
    """The network of the bundle `exported`; no test may change it."""
    return fresh_network("cnn")


@pytest.fixture(scope="session")
def raws(digits_folder: Path) -> list[bytes]:
    """150 real handwritten digits, as PNG files."""
    return [path.read_bytes() for path in sorted(digits_folder.glob("*/*.png"))[::2]][:150]


@pytest.fixture(scope="session")
def exported(
    network: Network,
    facts: BundleFacts,
    steps: tuple[TransformStep, ...],
    raws: list[bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The bundle of the network; no test may change it."""
    bundles = tmp_path_factory.mktemp("bundles")
    return export_bundle(network, facts, preprocess=steps, held_out_raws=raws, bundles=bundles)
