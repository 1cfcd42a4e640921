"""Batches are functions of (seed, epoch, batch): the same in any process, in any order, after any restart."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from loopline.core.workspace import Workspace
from loopline.snapshots import open_snapshot
from loopline.training.augment import NUM_DRAWS, AugmentConfig, sides
from loopline.training.batches import Batch, Batches, BatchKey, Loader, Shuffle
from loopline.transforms import build_pipeline, image_steps

Make = Callable[..., Batches]
# The side of one example that no flip changes.
ASIDE = np.zeros(1, dtype=np.int64)


@pytest.fixture
def make(digits: Workspace) -> Make:
    """Makes training batches of the digits."""
    pipeline = build_pipeline(image_steps(height=16, width=16, mode="L", mean=[0.5], std=[0.25]))

    def batches(
        *,
        seed: int = 3,
        batch_size: int = 64,
        max_examples: int | None = None,
        split: str = "train",
        shift_px: int = 2,
    ) -> Batches:
        shuffle = Shuffle(seed, AugmentConfig(flip=True, shift_px=shift_px)) if split == "train" else None
        reader = open_snapshot("digits", digits).split(split)
        return Batches(
            reader, pipeline, digits.cache, batch_size=batch_size, max_examples=max_examples, shuffle=shuffle
        )

    return batches


def _equal(a: Batch | Sequence[torch.Tensor], b: Batch) -> bool:
    return torch.equal(a[0], b.x_N) and torch.equal(a[1], b.targets_N)


def test_a_batch_is_made_again_from_its_key(make: Make) -> None:
    """In another object, after other epochs, after pickling: equal bits. Seed, epoch and batch all matter."""
    first, key = make(), BatchKey(2, 1)
    expected = first[key]
    again = pickle.loads(pickle.dumps(make()))  # noqa: S301 - our own bytes
    _ = again[BatchKey(0, 0)]
    assert _equal(again[key], expected)
    for other in (make(seed=4)[key], first[BatchKey(3, 1)], first[BatchKey(2, 0)]):
        assert not _equal(other, expected)


def test_an_epoch_holds_every_example_once(make: Make) -> None:
    """Shuffled, and all but the last incomplete batch."""
    batches = make(batch_size=10)
    assert len(batches) == batches.num_examples // 10
    seen = torch.cat([batches[BatchKey(0, index)].targets_N for index in range(len(batches))])
    assert len(seen) == 10 * len(batches)
    counts = torch.bincount(seen, minlength=10)
    everything = torch.bincount(torch.tensor(batches._targets), minlength=10)
    assert (everything - counts >= 0).all()


def test_validation_batches_are_plain_and_complete(make: Make) -> None:
    """In the split's order, the last one smaller, the same in every epoch."""
    batches = make(split="validation", batch_size=32)
    parts = [batches[BatchKey(0, index)] for index in range(len(batches))]
    assert sum(len(part.targets_N) for part in parts) == batches.num_examples
    assert len(parts[-1].targets_N) < 32
    assert _equal(parts[0], batches[BatchKey(5, 0)])


def test_max_examples_takes_effect(make: Make) -> None:
    """Only so many examples; a batch is never larger than what there is."""
    assert len(make(max_examples=30)) == 1
    assert len(make(max_examples=30)[BatchKey(0, 0)].targets_N) == 30


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")  # torch forks its workers
def test_loader_goes_on_where_its_state_says(make: Make, num_workers: int) -> None:
    """Worker processes and a restart in mid-epoch change no bit, and the next epoch begins at its beginning."""
    whole = Loader(make(), num_workers=0)
    whole.sampler.set_epoch(1)
    expected = list(whole)
    begun = Loader(make(), num_workers=num_workers)
    begun.sampler.set_epoch(1)
    iterator = iter(begun)
    for batch in expected[:2]:
        assert _equal(next(iterator), batch)
    state = begun.state_dict()
    assert state == {"epoch": 1, "done": 2}
    resumed = Loader(make(), num_workers=num_workers)
    resumed.load_state_dict(state)
    resumed.sampler.set_epoch(1)
    rest = list(resumed)
    assert len(rest) == len(expected) - 2
    assert all(map(_equal, rest, expected[2:]))
    resumed.sampler.set_epoch(2)
    assert len(list(resumed)) == len(expected)


def test_loader_draws_nothing_from_the_global_generator(make: Make) -> None:
    """Iterating leaves torch's generator as it was: dropout does not depend on how often a loader was restarted."""
    before = torch.get_rng_state()
    list(Loader(make(), num_workers=0))
    assert torch.equal(torch.get_rng_state(), before)


def test_flip_mirrors() -> None:
    """A side with the first bit mirrors; without a shift nothing else happens."""
    x_NHWC = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4, 1)
    draws = np.full((2, NUM_DRAWS), 0.5)
    out = AugmentConfig(flip=True).apply(x_NHWC, draws, sides_N=np.array([2, 1]), epoch=0)
    assert np.array_equal(out[0], x_NHWC[0])
    assert np.array_equal(out[1], x_NHWC[1, :, ::-1])


def test_every_example_is_seen_from_all_sides_in_turn() -> None:
    """Mirrored in every second epoch, upside down in two of four; the first side is drawn by the seed."""
    sides_EN = np.stack([sides(1000, seed=1, epoch=epoch) for epoch in range(8)])
    assert np.array_equal(sides_EN[1:] & 1, 1 - (sides_EN[:-1] & 1))
    assert (np.sort(sides_EN[:4], axis=0) == np.arange(4)[:, None]).all()
    assert np.array_equal(sides_EN[:4], sides_EN[4:])
    assert np.bincount(sides_EN[0]).min() > 200
    assert not np.array_equal(sides_EN[0], sides(1000, seed=2, epoch=0))


def test_batches_turn_the_examples_that_their_sides_say(make: Make) -> None:
    """Two epochs show each example once as it is and once mirrored, wherever it stands in their orders."""
    batches = make(batch_size=8, shift_px=0)
    seen: dict[bytes, int] = {}
    for epoch in range(2):
        for index in range(len(batches)):
            for x_CHW in batches[BatchKey(epoch, index)].x_N:
                for side, each_CHW in enumerate((x_CHW, x_CHW.flip(2))):
                    key = each_CHW.contiguous().numpy().tobytes()
                    seen[key] = seen.get(key, 0) | 1 << side
    # From both epochs together: what was shown, and what was its mirror image.
    shown_both_ways = sum(sides_seen == 3 for sides_seen in seen.values())
    assert shown_both_ways > 1.8 * (batches.num_examples - 16)


def test_shift_moves_and_repeats_the_edge() -> None:
    """The smallest and largest draws move by `shift_px` each way; nothing new comes in but the edge."""
    x_NHWC = np.arange(1 * 4 * 4, dtype=np.uint8).reshape(1, 4, 4, 1)
    config = AugmentConfig(shift_px=1)
    down = config.apply(x_NHWC, np.array([[0.0, 0.5]]), sides_N=ASIDE, epoch=0)
    assert np.array_equal(down[0, 1:], x_NHWC[0, :3])
    assert np.array_equal(down[0, 0], x_NHWC[0, 0])
    left = config.apply(x_NHWC, np.array([[0.5, 0.999]]), sides_N=ASIDE, epoch=0)
    assert np.array_equal(left[0, :, :3], x_NHWC[0, :, 1:])


def test_a_window_is_a_part_at_full_size() -> None:
    """The smallest and largest draws give the corners; later epochs see the whole picture."""
    x_NHWC = np.arange(1 * 4 * 4, dtype=np.uint8).reshape(1, 4, 4, 1)
    config = AugmentConfig(window_px=2, window_epochs=3)
    corner = config.apply(x_NHWC, np.array([[0.0, 0.999]]), sides_N=ASIDE, epoch=2)
    assert np.array_equal(corner[0], x_NHWC[0, :2, 2:])
    assert config.apply(x_NHWC, np.array([[0.0, 0.999]]), sides_N=ASIDE, epoch=3) is x_NHWC


def test_windows_of_several_sizes_share_their_epochs() -> None:
    """Each size has its share, in order; then come whole pictures. Without epochs to share they are refused."""
    x_NHWC = np.zeros((1, 8, 8, 1), dtype=np.uint8)
    config = AugmentConfig(window_px=(4, 6), window_epochs=5)
    seen = [config.apply(x_NHWC, np.zeros((1, NUM_DRAWS)), sides_N=ASIDE, epoch=epoch).shape[1] for epoch in range(7)]
    assert seen == [4, 4, 4, 6, 6, 8, 8]
    for wrong in ({"window_px": (4, 6)}, {"window_px": (4, 6), "window_epochs": 1}, {"window_px": ()}):
        with pytest.raises(ValidationError, match="expected one size or more, and an epoch for each"):
            AugmentConfig(**wrong)


def test_no_augmentation_copies_nothing() -> None:
    """The default leaves images as they are."""
    x_NHWC = np.zeros((1, 4, 4, 3), dtype=np.uint8)
    assert AugmentConfig().apply(x_NHWC, np.zeros((1, NUM_DRAWS)), sides_N=ASIDE, epoch=0) is x_NHWC


def test_a_balanced_epoch_holds_every_class_equally(digits: Workspace, make: Make) -> None:
    """As many examples as ever, drawn with replacement: a class with a tenth of the examples comes as often."""
    pipeline = build_pipeline(image_steps(height=16, width=16, mode="L", mean=[0.5], std=[0.25]))
    split = open_snapshot("digits", digits).split("train")
    shuffle = Shuffle(3, AugmentConfig(), balanced=True)
    batches = Batches(split, pipeline, digits.cache, batch_size=50, shuffle=shuffle)
    # All but a tenth of the digit 0 become digit 1.
    targets = np.where((split.targets == 0) & (np.arange(len(split)) % 10 > 0), 1, split.targets)
    batches._targets = targets
    seen = [batches[BatchKey(epoch, index)] for epoch in range(12) for index in range(len(batches))]
    assert len(batches) == len(make(batch_size=50))
    shares = torch.bincount(torch.cat([batch.targets_N for batch in seen]), minlength=10) / (len(seen) * 50)
    assert float(shares.min()) > 0.07
    assert float(shares.max()) < 0.13
    assert _equal(seen[0], batches[BatchKey(0, 0)])


def test_mixed_batches_say_with_what(digits: Workspace) -> None:
    """The others' labels are those of the batch moved on by one; what is kept is a share of the pixels' values."""
    pipeline = build_pipeline(image_steps(height=16, width=16, mode="L", mean=[0.5], std=[0.25]))
    split = open_snapshot("digits", digits).split("train")

    def batch(augment: AugmentConfig) -> Batch:
        batches = Batches(split, pipeline, digits.cache, batch_size=50, shuffle=Shuffle(3, augment))
        return batches[BatchKey(1, 2)]

    plain, mixed = batch(AugmentConfig()), batch(AugmentConfig(mixup=0.5))
    assert torch.equal(plain.targets_N, mixed.targets_N)
    assert plain.others_N is None
    assert plain.kept == 1.0
    assert mixed.others_N is not None
    assert torch.equal(mixed.others_N, plain.targets_N.roll(1))
    expected = mixed.kept * plain.x_N + (1 - mixed.kept) * plain.x_N.roll(1, 0)
    torch.testing.assert_close(mixed.x_N, expected)


def test_small_crops_make_small_batches(digits: Workspace) -> None:
    """`crop_px` is the size that the network trains on."""
    pipeline = build_pipeline(image_steps(height=16, width=16, mode="L", mean=[0.5], std=[0.25]))
    shuffle = Shuffle(3, AugmentConfig(crop_px=12, crop_area=0.5))
    split = open_snapshot("digits", digits).split("train")
    batches = Batches(split, pipeline, digits.cache, batch_size=8, shuffle=shuffle)
    assert batches[BatchKey(0, 0)].x_N.shape == (8, 1, 12, 12)
