"""Simulated plots: the same from the same seed, plausible spectra, and harder for indices than for pictures."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tifffile

from loopline.core.errors import ConfigError, StateError
from loopline.core.workspace import Workspace
from loopline.data import Options, get, snapshot
from loopline.data.simulation import LEVELS_KG_HA, SimulatedPlot, simulate_plots, write_plots
from loopline.data.simulation.canopy import CAMERA, Leaf, Light, canopy_reflectance
from loopline.data.simulation.response import leaf_area, leaf_chlorophyll
from loopline.transforms.bands import DecodeBands

_ALL_TRAIN = Options(validation_share=0, test_share=0)
LIGHT = Light(sun_zenith_deg=40, leaf_angle_deg=57, soil_dryness=0.5, soil_brightness=1.0)


@pytest.fixture(scope="module")
def plots() -> list[SimulatedPlot]:
    """40 plots in 10 fields."""
    return list(simulate_plots(40, num_fields=10, seed=3))


def ndvi(x_HWC: np.ndarray) -> float:
    """The mean index of a picture."""
    red_HW, nir_HW = x_HWC[..., 1], x_HWC[..., 3]
    return float(((nir_HW - red_HW) / (nir_HW + red_HW)).mean())


def test_responses_rise_and_level_off() -> None:
    for response, at_most in ((leaf_chlorophyll, 72), (leaf_area, 4.8)):
        values = [response(supply) for supply in (0, 100, 200, 300, 3000)]
        steps = [after - before for before, after in pairwise(values[:4])]
        assert steps[0] > steps[1] > steps[2] > 0
        assert values[-1] == pytest.approx(at_most, rel=1e-3)


def test_spectra_are_those_of_plants_above_soil() -> None:
    bare_C, thin_C, dense_C = canopy_reflectance(Leaf(1.5, 50), LIGHT, [0, 1, 5])
    assert (np.diff(bare_C) > 0).all(), "soil rises with the wavelength"
    assert dense_C[1] < thin_C[1] < bare_C[1], "leaves swallow red"
    assert dense_C[3] > thin_C[3] > bare_C[3], "and give back near infrared"
    pale_C, dark_C = (canopy_reflectance(Leaf(1.5, content), LIGHT, [4])[0] for content in (25, 60))
    assert pale_C[2] > 1.2 * dark_C[2], "chlorophyll shows in the red edge"
    assert pale_C[3] == pytest.approx(dark_C[3], rel=0.03), "and not in near infrared"


def test_ndvi_saturates_where_leaf_area_goes_on() -> None:
    spectra_LC = canopy_reflectance(Leaf(1.5, 50), LIGHT, [1, 2, 4, 6])
    index_L = (spectra_LC[:, 3] - spectra_LC[:, 1]) / (spectra_LC[:, 3] + spectra_LC[:, 1])
    assert index_L[1] - index_L[0] > 4 * (index_L[3] - index_L[2])


def test_a_seed_gives_the_same_plots_however_many_are_made(plots: list[SimulatedPlot]) -> None:
    again = list(simulate_plots(12, num_fields=10, seed=3))
    for first, second in zip(plots, again, strict=False):
        np.testing.assert_array_equal(first.x_HWC, second.x_HWC)
    other = next(simulate_plots(10, num_fields=10, seed=4))
    assert not np.array_equal(plots[0].x_HWC, other.x_HWC)


def test_every_field_has_every_level(plots: list[SimulatedPlot]) -> None:
    found = {(plot.field, plot.nitrogen_kg_ha) for plot in plots}
    assert found == {(f"field_{number:02d}", level) for number in range(10) for level in LEVELS_KG_HA}
    for plot in plots:
        assert plot.x_HWC.shape == (160, 106, 4)
        assert 0 <= plot.x_HWC.min() < 0.1
        assert 0.2 < plot.x_HWC.max() <= 1


def test_nitrogen_greens_plots_and_fields_hide_it(plots: list[SimulatedPlot]) -> None:
    """The index rises with nitrogen in each field, but two levels of different fields overlap."""
    index = {(plot.field, plot.nitrogen_kg_ha): ndvi(plot.x_HWC) for plot in plots}
    fields = sorted({plot.field for plot in plots})
    assert sum(index[field, 300] > index[field, 0] for field in fields) == 10
    assert min(index[field, 300] for field in fields) < max(index[field, 100] for field in fields)


@pytest.mark.parametrize("multiband", [False, True])
def test_files_are_named_as_a_campaign_names_them(tmp_path: Path, workspace: Workspace, multiband: bool) -> None:
    folder = tmp_path / "plots"
    num_files = write_plots(folder, 4, num_fields=2, seed=0, dtype="float32", multiband=multiband)
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.tif"))
    assert num_files == len(paths) == (4 if multiband else 16)
    assert paths[0] == ("field_00/plot_0000_zero.tif" if multiband else "field_00/plot_0000_zero_green.tif")
    x = tifffile.imread(folder / paths[0])
    expected_HWC = next(simulate_plots(4, num_fields=2, seed=0)).x_HWC.astype(np.float32)
    np.testing.assert_array_equal(x, expected_HWC.transpose(2, 0, 1) if multiband else expected_HWC[..., 0])
    manifest = snapshot(f"plots:{folder}", name="plots", task="regression", workspace=workspace, options=_ALL_TRAIN)
    assert (manifest.input_shape, manifest.splits["train"].num_examples) == ((160, 106, 4), 4)
    with pytest.raises(StateError, match="is no empty folder"):
        write_plots(folder, 4, num_fields=2, seed=0)


def test_whole_numbers_are_reflectance_to_the_last_but_four_digits(plots: list[SimulatedPlot]) -> None:
    samples_CHW: np.ndarray = plots[0].samples("uint16")
    assert samples_CHW.dtype == np.uint16
    np.testing.assert_allclose(samples_CHW.astype(np.float64) / 65535, plots[0].x_HWC.transpose(2, 0, 1), atol=1e-5)


@pytest.mark.parametrize(("plots", "fields", "seed"), [(3, 4, 0), (0, 0, 0), (4, 2, -1)])
def test_numbers_out_of_range_are_refused(plots: int, fields: int, seed: int) -> None:
    with pytest.raises(ConfigError, match=f"{plots} plots in {fields} fields with seed {seed} given"):
        next(simulate_plots(plots, num_fields=fields, seed=seed))


def test_the_catalogue_has_120_to_train_on_and_40_to_validate_on(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Any pictures do: what is looked at is how plots and fields are dealt.
    monkeypatch.setattr("loopline.data.simulation.plots.render", _noise)
    manifest = get("nitrogen", workspace=workspace)
    assert {name: split.num_examples for name, split in manifest.splits.items()} == {
        "train": 120,
        "validation": 40,
        "test": 40,
    }
    assert (manifest.task, manifest.input_shape, manifest.confidential) == ("regression", (160, 106, 4), False)
    assert manifest.statistics is not None
    assert len(manifest.statistics.mean) == len(CAMERA)
    assert get("nitrogen", workspace=workspace) == manifest
    assert DecodeBands(bands=tuple(CAMERA)).shape == (None, None, 4)


def _noise(_field: object, _plot: object, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0.1, 0.5, (160, 106, 4))
