"""Any number of simulated plots: in memory, as the TIFF files that a real campaign hands over, or as a source.

H height, W width, C bands.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import ConfigError, StateError
from loopline.core.progress import bar
from loopline.core.records import TransformStep
from loopline.core.store import write_bytes
from loopline.data.listing import Computed, Listing
from loopline.data.simulation.canopy import CAMERA
from loopline.data.simulation.conditions import Field, Plot, picture_generator
from loopline.data.simulation.scene import render
from loopline.transforms.bands import encode_bands

LEVELS_KG_HA = (0, 100, 200, 300)
# 12 fields with 120 plots to train on, 4 with 40 to validate on, 4 with 40 to test on, by the shares of the catalogue.
_NUM_PLOTS, _NUM_FIELDS = 200, 20
_FULL_SCALE = 65535
Dtype = Literal["uint16", "float32"]


@dataclass(frozen=True)
class SimulatedPlot:
    """One plot: its id (`field_03/plot_0063_100kg`), its level of nitrogen, and x_HWC reflectance, 0 to 1."""

    plot_id: str
    field: str
    nitrogen_kg_ha: int
    x_HWC: NDArray[np.float64]

    def samples(self, dtype: Dtype) -> NDArray[np.generic]:
        """(C, H, W) as a file holds them: float32 reflectance, or uint16 of which 65535 is 1."""
        x_CHW = self.x_HWC.transpose(2, 0, 1)
        return x_CHW.astype(np.float32) if dtype == "float32" else np.rint(x_CHW * _FULL_SCALE).astype(np.uint16)


def simulate_plots(num_plots: int, *, num_fields: int, seed: int) -> Iterator[SimulatedPlot]:
    """The plots in order, dealt to the fields in turn, so that each field has every level about equally often.

    A plot depends on the seed, its number and its field's alone. Takes about 20 ms a plot on one core. Raises
    `ConfigError` for numbers out of range.
    """
    if not 1 <= num_fields <= num_plots or seed < 0:
        raise ConfigError(
            f"{num_plots} plots in {num_fields} fields with seed {seed} given; expected at least one plot a field and "
            "a seed of 0 or more."
        )
    fields = [Field.draw(seed, number) for number in range(num_fields)]
    for number in range(num_plots):
        turn, place = divmod(number, num_fields)
        level = LEVELS_KG_HA[turn % len(LEVELS_KG_HA)]
        plot = Plot.draw(seed, number, fields[place], level)
        word = f"{level}kg" if level else "zero"
        field = f"field_{place:02d}"
        x_HWC = render(fields[place], plot, picture_generator(seed, number))
        yield SimulatedPlot(f"{field}/plot_{number:04d}_{word}", field, level, x_HWC)


def write_plots(
    folder: Path, num_plots: int, *, num_fields: int, seed: int, dtype: Dtype = "uint16", multiband: bool = False
) -> int:
    """Writes a TIFF file per band and plot (or, with `multiband`, per plot) into a new folder; returns how many.

    Files are named `FOLDER/field_03/plot_0063_100kg_red_edge.tif`. Raises `StateError` where the folder is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StateError(f"'{folder}' exists and is no empty folder; expected a new one.")
    num_files = 0
    with bar("simulating", total=num_plots) as advance:
        for plot in simulate_plots(num_plots, num_fields=num_fields, seed=seed):
            samples_CHW = plot.samples(dtype)
            pictures = (
                {f"{plot.plot_id}.tif": samples_CHW}
                if multiband
                else {
                    f"{plot.plot_id}_{band}.tif": samples_CHW[channel : channel + 1]
                    for channel, band in enumerate(CAMERA)
                }
            )
            for name, each_CHW in pictures.items():
                write_bytes(folder / name, encode_bands(each_CHW))
            num_files += len(pictures)
            advance(1)
    return num_files


def list_nitrogen() -> Listing:
    """The default set: 200 plots in 20 fields with seed 0, as uint16 multi-band TIFF files; fields are groups."""
    with bar("simulating", total=_NUM_PLOTS) as advance:
        plots = []
        for plot in simulate_plots(_NUM_PLOTS, num_fields=_NUM_FIELDS, seed=0):
            plots.append((plot, encode_bands(plot.samples("uint16"))))
            advance(1)
    raws = [raw for _, raw in plots]
    return Listing(
        inputs=Computed(len(raws), raws.__getitem__),
        ids=[plot.plot_id for plot, _ in plots],
        targets=[str(plot.nitrogen_kg_ha) for plot, _ in plots],
        splits=[""] * len(raws),
        groups=[plot.field for plot, _ in plots],
        source=f"simulated by PROSAIL: {_NUM_PLOTS} plots in {_NUM_FIELDS} fields, seed 0",
        input_kind="bands",
        decode=TransformStep(name="decode_bands", params={"bands": list(CAMERA)}),
    )
