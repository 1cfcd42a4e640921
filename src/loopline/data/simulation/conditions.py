"""What differs from field to field and from plot to plot: everything that is not nitrogen.

Every number comes from a counter-based generator keyed by (seed, field or plot): a plot looks the same whether 10 or
10,000 are made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loopline.data.simulation.response import leaf_area, leaf_chlorophyll

_FIELDS, _PLOTS, _PICTURES = range(3)


@dataclass(frozen=True)
class Field:
    """What all plots of a field share: soil, cultivar, sowing, growth."""

    # Taken up without any fertilizer.
    soil_supply_kg_ha: float
    soil_dryness: float
    soil_brightness: float
    row_spacing_m: float
    leaf_angle_deg: float
    leaf_structure: float
    # Of full growth; scales leaf area and the width of rows, not chlorophyll.
    growth: float

    @classmethod
    def draw(cls, seed: int, number: int) -> Field:
        """The field of that number."""
        rng = _generator(seed, _FIELDS, number)
        return cls(
            soil_supply_kg_ha=rng.uniform(25, 40),
            soil_dryness=rng.uniform(0.1, 0.9),
            soil_brightness=rng.uniform(0.5, 1.4),
            row_spacing_m=rng.uniform(0.70, 0.80),
            leaf_angle_deg=rng.uniform(48, 64),
            leaf_structure=rng.uniform(1.45, 1.6),
            growth=rng.uniform(0.4, 1.0),
        )


@dataclass(frozen=True)
class Plot:
    """One plot on the day of its flight: what grows there, and how it was seen."""

    nitrogen_kg_ha: float
    chlorophyll_ug_cm2: float
    # Along the middle of a row.
    leaf_area: float
    # Of the spacing, that a row covers.
    row_width: float
    row_angle_deg: float
    # Where the first row stands, in spacings.
    row_offset: float
    pixel_m: float
    sun_zenith_deg: float
    # What the calibrated reflectance is multiplied with: by light that changed since the panel was photographed.
    gain: float
    # The light's change across the plot, as a share from one end to the other, and its direction.
    gradient: float
    gradient_deg: float
    # Of the field's, for the top soil dries unevenly.
    soil_dryness: float
    soil_brightness: float

    @classmethod
    def draw(cls, seed: int, number: int, field: Field, nitrogen_kg_ha: float) -> Plot:
        """The plot of that number in a field, at a level of nitrogen."""
        rng = _generator(seed, _PLOTS, number)
        supply_kg_ha = nitrogen_kg_ha + field.soil_supply_kg_ha
        # Stands differ although they were treated alike.
        stand = float(np.exp(rng.normal(0, 0.10)))
        area = leaf_area(supply_kg_ha) * field.growth * stand
        return cls(
            nitrogen_kg_ha=nitrogen_kg_ha,
            chlorophyll_ug_cm2=leaf_chlorophyll(supply_kg_ha) * float(np.exp(rng.normal(0, 0.03))),
            leaf_area=area,
            row_width=float(np.clip(0.25 + 0.13 * area + rng.normal(0, 0.04), 0.25, 0.95)),
            row_angle_deg=rng.uniform(-8, 8),
            row_offset=rng.uniform(),
            pixel_m=rng.uniform(0.026, 0.034),
            sun_zenith_deg=rng.uniform(25, 55),
            gain=float(np.exp(rng.normal(0, 0.12))),
            gradient=rng.uniform(0, 0.25),
            gradient_deg=rng.uniform(0, 360),
            soil_dryness=float(np.clip(field.soil_dryness + rng.normal(0, 0.1), 0, 1)),
            soil_brightness=field.soil_brightness * float(np.exp(rng.normal(0, 0.08))),
        )


def picture_generator(seed: int, number: int) -> np.random.Generator:
    """The generator of a plot's texture and noise."""
    return _generator(seed, _PICTURES, number)


def _generator(seed: int, kind: int, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, (kind << 32) + number]))
