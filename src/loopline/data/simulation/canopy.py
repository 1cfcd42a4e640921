"""Reflectance of maize above soil in a drone camera's bands, by the radiative transfer model PROSAIL.

PROSPECT-D turns what a leaf holds into its reflectance (Féret, Gitelson, Noble and Jacquemoud, PROSPECT-D: Towards
modeling leaf optical properties through a complete lifecycle, Remote Sensing of Environment 193, 2017, 204-215); 4SAIL
turns a layer of such leaves above soil into a canopy's (Verhoef, Jia, Xiao and Su, Unified Optical-Thermal Four-Stream
Radiative Transfer Theory for Homogeneous Vegetation Canopies, IEEE Transactions on Geoscience and Remote Sensing 45,
2007, 1808-1822). A review: Jacquemoud and others, PROSPECT + SAIL models: A review of use for vegetation
characterization, Remote Sensing of Environment 113, 2009, S56-S66.

L leaf areas, C bands, W wavelengths (400 to 2500 nm in steps of 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

# Name to centre and full width at half maximum in nm: those of a Parrot Sequoia.
CAMERA = {"green": (550, 40), "red": (660, 40), "red_edge": (735, 10), "nir": (790, 40)}
_WAVELENGTHS_W = np.arange(400, 2501)


@dataclass(frozen=True)
class Leaf:
    """What a leaf holds, as PROSPECT-D takes it."""

    # Layers of cells, a number without unit: maize has about 1.5.
    structure: float
    chlorophyll_ug_cm2: float
    # Water as a thickness, and dry matter by area.
    water_cm: float = 0.015
    dry_matter_g_cm2: float = 0.005


@dataclass(frozen=True)
class Light:
    """Where the sun stands and how leaves and soil meet it."""

    sun_zenith_deg: float
    leaf_angle_deg: float
    # Of PROSAIL's dry soil spectrum in its mixture with the wet one, 0 to 1, and what the mixture is multiplied with.
    soil_dryness: float
    soil_brightness: float


def canopy_reflectance(leaf: Leaf, light: Light, leaf_areas: Sequence[float]) -> NDArray[np.float64]:
    """Reflectance (L, C), seen from above, of closed canopies of the given leaf area indices; 0 is bare soil."""
    import prosail

    _, reflectance_W, transmittance_W = prosail.run_prospect(
        leaf.structure,
        leaf.chlorophyll_ug_cm2,
        # Carotenoids rise and fall with chlorophyll, about 1 to 5.
        leaf.chlorophyll_ug_cm2 / 5,
        0.0,
        leaf.water_cm,
        leaf.dry_matter_g_cm2,
        prospect_version="D",
    )
    soil = {"rsoil": light.soil_brightness, "psoil": light.soil_dryness}
    spectra_LW = [
        prosail.run_sail(
            reflectance_W,
            transmittance_W,
            # The model divides by it.
            max(area, 1e-6),
            light.leaf_angle_deg,
            # Size of leaves by height of canopy, for the hot spot.
            0.1,
            light.sun_zenith_deg,
            0.0,
            0.0,
            typelidf=2,
            **soil,
        )
        for area in leaf_areas
    ]
    reflectance_LC: NDArray[np.float64] = np.array(spectra_LW) @ _responses()
    return reflectance_LC


@cache
def _responses() -> NDArray[np.float64]:
    """(W, C): what each wavelength weighs in each band, Gaussian, summing to 1."""
    columns = []
    for centre_nm, width_nm in CAMERA.values():
        # From full width at half maximum to standard deviation.
        weights_W = np.exp(-0.5 * ((_WAVELENGTHS_W - centre_nm) / (width_nm / 2.3548)) ** 2)
        columns.append(weights_W / weights_W.sum())
    return np.stack(columns, axis=1)
