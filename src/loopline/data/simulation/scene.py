"""A plot seen from above: rows of maize on soil, lit unevenly, taken by a camera that blurs and makes noise.

H height, W width, C bands, L leaf areas of the look-up.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from loopline.data.simulation.canopy import Leaf, Light, canopy_reflectance
from loopline.data.simulation.conditions import Field, Plot

HEIGHT, WIDTH = 160, 106
Picture = NDArray[np.float64]

# PROSAIL takes milliseconds a spectrum: a plot has a few, and every pixel lies between two of them.
_LEAF_AREAS_L = np.array([0.0, 0.4, 0.9, 1.6, 2.6, 4.0, 6.5])
# The camera's noise as reflectance: of the light's own counting, and of reading it out.
_SHOT, _READ = 0.018, 0.003
# Skylight that reaches soil in the full shade of a row.
_SKYLIGHT = 0.35


def render(field: Field, plot: Plot, rng: np.random.Generator) -> Picture:
    """The plot's reflectance x_HWC in the order of `CAMERA`, with all that disturbs it; about 0 to 1."""
    across_HW = _across(field, plot)
    area_HW = _leaf_area(plot, across_HW, rng)
    x_HWC = _reflectance(field, plot, area_HW)
    x_HWC *= _soil_and_shade(plot, across_HW, area_HW, rng)[:, :, np.newaxis]
    # Leaves stand at all angles: each patch is a little brighter or darker, in every band alike.
    x_HWC *= np.exp(0.12 * rng.normal(size=(HEIGHT, WIDTH)))[:, :, np.newaxis]
    x_HWC *= (plot.gain * _gradient(plot))[:, :, np.newaxis]
    x_HWC = _blur(x_HWC)
    sigma_HWC = np.sqrt((_SHOT**2) * np.abs(x_HWC) + _READ**2)
    noisy_HWC: Picture = np.clip(x_HWC + sigma_HWC * rng.normal(size=x_HWC.shape), 0, 1)
    return noisy_HWC


def _across(field: Field, plot: Plot) -> Picture:
    """(H, W): distance to the middle of the nearest row in spacings, -0.5 to 0.5; rows run along the height."""
    y_HW, x_HW = np.mgrid[:HEIGHT, :WIDTH] * plot.pixel_m
    angle = math.radians(plot.row_angle_deg)
    rows_HW = (x_HW * math.cos(angle) + y_HW * math.sin(angle)) / field.row_spacing_m + plot.row_offset
    across_HW: Picture = rows_HW - np.round(rows_HW)
    return across_HW


def _leaf_area(plot: Plot, across_HW: Picture, rng: np.random.Generator) -> Picture:
    """(H, W): leaf area above each pixel: highest in the middle of a row, none beyond its width."""
    # Plants of a row differ, and so does how far they reach.
    reach_HW = plot.row_width * np.exp(0.15 * _smooth(rng, cells=(20, 13)))
    profile_HW = np.clip(1 - (2 * across_HW / reach_HW) ** 2, 0, 1)
    area_HW = plot.leaf_area * profile_HW * np.exp(0.2 * _smooth(rng, cells=(27, 18)))
    capped_HW: Picture = np.minimum(area_HW, _LEAF_AREAS_L[-1])
    return capped_HW


def _reflectance(field: Field, plot: Plot, area_HW: Picture) -> Picture:
    """x_HWC: each pixel as an endless canopy of its leaf area, between the look-up's."""
    leaf = Leaf(structure=field.leaf_structure, chlorophyll_ug_cm2=plot.chlorophyll_ug_cm2)
    light = Light(
        sun_zenith_deg=plot.sun_zenith_deg,
        leaf_angle_deg=field.leaf_angle_deg,
        soil_dryness=plot.soil_dryness,
        soil_brightness=plot.soil_brightness,
    )
    spectra_LC = canopy_reflectance(leaf, light, _LEAF_AREAS_L.tolist())
    return np.stack([np.interp(area_HW, _LEAF_AREAS_L, spectrum_L) for spectrum_L in spectra_LC.T], axis=2)


def _soil_and_shade(plot: Plot, across_HW: Picture, area_HW: Picture, rng: np.random.Generator) -> Picture:
    """(H, W): what bare soil is multiplied with: clods, and the shade of the row on one side; 1 under a canopy."""
    clods_HW = np.exp(0.15 * _smooth(rng, cells=(53, 35)))
    # The lower the sun, the farther a row's shade reaches beyond it.
    length = 0.5 * plot.row_width + 0.25 * math.tan(math.radians(plot.sun_zenith_deg))
    shade_HW = np.where((across_HW > 0) & (across_HW < length), _SKYLIGHT, 1.0)
    bare_HW = np.exp(-2 * area_HW)
    seen_HW: Picture = 1 + bare_HW * (clods_HW * shade_HW - 1)
    return seen_HW


def _gradient(plot: Plot) -> Picture:
    """(H, W): the light across the plot, with mean 1."""
    y_HW, x_HW = np.mgrid[:HEIGHT, :WIDTH]
    angle = math.radians(plot.gradient_deg)
    ramp_HW = (y_HW / (HEIGHT - 1) - 0.5) * math.cos(angle) + (x_HW / (WIDTH - 1) - 0.5) * math.sin(angle)
    light_HW: Picture = 1 + plot.gradient * ramp_HW
    return light_HW


def _smooth(rng: np.random.Generator, *, cells: tuple[int, int]) -> Picture:
    """(H, W): noise of standard deviation about 1 whose grain is the picture's size by `cells` (along H, along W)."""
    coarse = Image.fromarray(rng.normal(size=cells).astype(np.float32))
    return np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), dtype=np.float64)


def _blur(x_HWC: Picture) -> Picture:
    """The lens: a kernel of 1-2-1 along both axes, a quarter of a pixel's light in each neighbour's."""
    for axis in (0, 1):
        padded = np.pad(x_HWC, [(1, 1) if each == axis else (0, 0) for each in range(3)], mode="edge")
        size = x_HWC.shape[axis]
        before, here, after = (padded.take(range(start, start + size), axis=axis) for start in range(3))
        x_HWC = 0.25 * before + 0.5 * here + 0.25 * after
    return x_HWC
