"""Folders of band files as snapshots: what makes a plot, what is wrong with one, and which field it stands in."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from loopline.core.errors import ConfigError, InputError
from loopline.core.records import DatasetManifest
from loopline.core.workspace import Workspace
from loopline.data import Columns, Options, snapshot, verify
from loopline.data.sources.plots import list_plots
from loopline.snapshots import open_snapshot
from loopline.transforms.bands import DecodeBands, encode_bands

BANDS = ("green", "red", "red_edge", "nir")
SIZE = (12, 10)
# Enough fields for every split.
OPTIONS = Options(validation_share=0.2, test_share=0.2, group_pattern=r"field_\d+")


def write_plot(
    folder: Path, name: str, *, seed: int, bands: tuple[str, ...] = BANDS, size: tuple[int, int] = SIZE
) -> None:
    """A file per band of random reflectance."""
    samples_CHW = np.random.default_rng(seed).integers(3000, 30_000, (len(bands), *size), dtype=np.uint16)
    folder.mkdir(parents=True, exist_ok=True)
    for band, samples_HW in zip(bands, samples_CHW, strict=True):
        (folder / f"{name}_{band}.tif").write_bytes(encode_bands(samples_HW[np.newaxis]))


@pytest.fixture
def plots(tmp_path: Path) -> Path:
    """Five fields with four plots each, a plot per level."""
    for field in range(5):
        for number, level in enumerate(("zero", "100kg", "200kg", "300kg")):
            write_plot(tmp_path / "plots" / f"field_{field}", f"plot_{number}_{level}", seed=10 * field + number)
    return tmp_path / "plots"


def make(plots: Path, workspace: Workspace, options: Options = OPTIONS) -> DatasetManifest:
    """The snapshot `plots`."""
    return snapshot(f"plots:{plots}", name="plots", task="regression", options=options, workspace=workspace)


def fields_of(workspace: Workspace, split: str) -> set[str]:
    """The fields that stand in a split."""
    return {example_id.partition("/")[0] for example_id in open_snapshot("plots", workspace).split(split).ids}


def test_four_files_make_a_plot_with_its_level(plots: Path, workspace: Workspace) -> None:
    manifest = make(plots, workspace)
    assert (manifest.task, manifest.input_kind, manifest.input_shape) == ("regression", "bands", (12, 10, 4))
    assert verify("plots", workspace=workspace).num_examples == 20
    split = open_snapshot("plots", workspace).split("train")
    decode = DecodeBands(bands=BANDS)
    for index, (example_id, target) in enumerate(zip(split.ids, split.targets, strict=True)):
        level = re.search(r"_(zero|\d+)(kg)?$", example_id)
        assert level is not None
        assert target == (0 if level[1] == "zero" else float(level[1]))
        files = [(f"x_{band}.tif", (plots / f"{example_id}_{band}.tif").read_bytes()) for band in BANDS]
        assert split.raw(index) == decode.join(files)


def test_statistics_are_those_of_the_train_plots_per_band(plots: Path, workspace: Workspace) -> None:
    statistics = make(plots, workspace).statistics
    split = open_snapshot("plots", workspace).split("train")
    decode = DecodeBands(bands=BANDS)
    x_NHWC = np.stack([decode(split.raw(index)) for index in range(split.num_examples)]).astype(np.float64)
    assert statistics is not None
    np.testing.assert_allclose(statistics.mean, x_NHWC.mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(statistics.std, x_NHWC.std(axis=(0, 1, 2)), rtol=1e-5)


def test_no_field_stands_in_two_splits(plots: Path, workspace: Workspace) -> None:
    make(plots, workspace)
    found = [fields_of(workspace, split) for split in ("train", "validation", "test")]
    assert [len(fields) for fields in found] == [3, 1, 1]
    assert len(set.union(*found)) == 5


def test_a_table_names_multiband_files_levels_and_fields(tmp_path: Path, workspace: Workspace) -> None:
    rows = ["file,kg,field"]
    for number in range(20):
        samples_CHW = np.random.default_rng(number).integers(0, 30_000, (4, *SIZE), dtype=np.uint16)
        (tmp_path / f"{number}.tiff").write_bytes(encode_bands(samples_CHW))
        rows.append(f"{number}.tiff,{12.5 * number},f{number % 5}")
    (tmp_path / "plots.csv").write_text("\n".join(rows))
    columns = Columns(input="file", target="kg", group="field")
    options = Options(validation_share=0.2, test_share=0.2, columns=columns)
    manifest = snapshot(tmp_path / "plots.csv", name="plots", task="regression", options=options, workspace=workspace)
    assert (manifest.input_kind, manifest.input_shape) == ("bands", (12, 10, 4))
    split = open_snapshot("plots", workspace).split("test")
    assert len({int(example_id.removesuffix(".tiff")) % 5 for example_id in split.ids}) == 1
    assert dict(zip(split.ids, split.targets.tolist(), strict=True)) == {
        example_id: 12.5 * int(example_id.removesuffix(".tiff")) for example_id in split.ids
    }


def test_multiband_files_and_split_folders_in_a_folder(tmp_path: Path, workspace: Workspace) -> None:
    for number, split in enumerate(("train", "train", "validation", "test")):
        samples_CHW = np.random.default_rng(number).random((5, *SIZE)).astype(np.float32)
        (tmp_path / "p" / split / "100kg").mkdir(parents=True, exist_ok=True)
        (tmp_path / "p" / split / "100kg" / f"{number}.tif").write_bytes(encode_bands(0.9 * samples_CHW))
    listing = list_plots(str(tmp_path / "p"), task="regression", columns=Columns())
    assert listing.decode is not None
    assert listing.decode.params["bands"] == [f"band_{number}" for number in range(1, 6)]
    assert (listing.splits, listing.targets) == (["test", "train", "train", "validation"], ["100"] * 4)
    assert listing.ids[0] == "100kg/3"
    manifest = make(tmp_path / "p", workspace, Options())
    assert manifest.splits["train"].num_examples == 2


def test_what_is_wrong_is_reported_per_plot(plots: Path, workspace: Workspace) -> None:
    (plots / "field_0" / "plot_0_zero_nir.tif").unlink()
    write_plot(plots / "field_1", "plot_0_zero", seed=77, size=(12, 11))
    write_plot(plots / "field_2", "plot_0", seed=78)
    dark_HW = np.full((1, *SIZE), 0.2, dtype=np.float32)
    for band in BANDS:
        (plots / "field_3" / f"plot_0_zero_{band}.tif").write_bytes(encode_bands(dark_HW))
    broken_HW = dark_HW.copy()
    broken_HW[0, 5] = np.nan
    (plots / "field_3" / "plot_0_zero_red.tif").write_bytes(encode_bands(broken_HW))
    (plots / "field_4" / "plot_0_zero_red.tif").write_bytes(encode_bands(np.full((1, *SIZE), 65535, np.uint16)))
    with pytest.raises(InputError, match=r"5 of 21 files of plots in folder .* cannot be used"):
        make(plots, workspace)
    manifest = make(plots, workspace, Options(skip_broken=True, validation_share=0, test_share=0))
    assert {file.path: file.reason for file in manifest.skipped} == {
        "field_0/plot_0_zero": "band nir missing; expected green, red, red_edge, nir.",
        "field_1/plot_0_zero": "the plot is 11×12 pixels; 16 of 17 are 10×12.",
        "field_2/plot_0": "no name tells the level; expected 'zero', or a number before 'kg'.",
        "field_3/plot_0_zero": "10 of 120 pixels of band red are NaN or infinite.",
        "field_4/plot_0_zero": "100.0% of the pixels of band red are saturated; expected at most 1.0%.",
    }
    assert manifest.splits["train"].num_examples == 16


def test_plots_of_many_sizes_are_not_odd(plots: Path, workspace: Workspace) -> None:
    for field in range(5):
        for number, level in enumerate(("zero", "100kg", "200kg", "300kg")):
            write_plot(plots / f"field_{field}", f"plot_{number}_{level}", seed=field, size=(12 + field, 10 + number))
    assert make(plots, workspace).input_shape is None


def test_a_folder_that_holds_no_plots_is_refused(tmp_path: Path, plots: Path, workspace: Workspace) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no \.tif or \.tiff file"):
        make(tmp_path / "empty", workspace)
    (tmp_path / "empty" / "1_100kg.tif").write_bytes(b"II*\0")
    with pytest.raises(InputError, match="none of the TIFF files can be read"):
        make(tmp_path / "empty", workspace)
    with pytest.raises(InputError, match="expected regression or classification, and no column names"):
        list_plots(str(plots), task="regression", columns=Columns(target="kg"))


def test_levels_may_be_classes(plots: Path, workspace: Workspace) -> None:
    manifest = snapshot(f"plots:{plots}", name="plots", options=OPTIONS, workspace=workspace)
    assert manifest.label_names == ("0", "100", "200", "300")


@pytest.mark.parametrize(
    ("pattern", "kind", "sentence"),
    [
        ("field_(", ConfigError, r"group_pattern 'field_\(' is no regular expression"),
        (
            r"farm_\d",
            InputError,
            r"group_pattern 'farm_\\d' matches nothing in id 'field_0/plot_0_zero' \(20 such ids\)",
        ),
    ],
)
def test_a_wrong_pattern_is_named(
    plots: Path, workspace: Workspace, pattern: str, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        make(plots, workspace, Options(group_pattern=pattern))


def test_a_group_that_the_source_splits_is_refused(tmp_path: Path, workspace: Workspace) -> None:
    for number, split in enumerate(("train", "train", "test")):
        write_plot(tmp_path / "p" / split, f"field_{number % 2}_plot_{number}_100kg", seed=number)
    with pytest.raises(InputError, match="group 'field_0' stands in the splits test and train"):
        make(tmp_path / "p", workspace, Options(validation_share=0, group_pattern=r"field_\d+"))
