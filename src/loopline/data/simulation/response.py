"""How maize answers nitrogen: leaf chlorophyll and leaf area as functions of what the crop can take up.

Both follow the law of diminishing returns (Mitscherlich, Das Gesetz des Minimums und das Gesetz des abnehmenden
Bodenertrages, Landwirtschaftliche Jahrbücher 38, 1909, 537-552): each further kilogram closes the same share of what is
still missing to the largest value. Maize's yield answers nitrogen by curves of this family, linear first and flat
later (Cerrato and Blackmer, Comparison of Models for Describing Corn Yield Response to Nitrogen Fertilizer, Agronomy
Journal 82, 1990, 138-143), and so do its leaves' chlorophyll (Schepers, Francis, Vigil and Below, Comparison of Corn
Leaf Nitrogen Concentration and Chlorophyll Meter Readings, Communications in Soil Science and Plant Analysis 23, 1992,
2173-2187) and, through growth, its leaf area; the two together tell a crop's nitrogen status better than either
(Houlès, Guérif and Mary, Elaboration of a nitrogen nutrition indicator for winter wheat based on leaf area index and
chlorophyll content for making nitrogen recommendations, European Journal of Agronomy 27, 2007, 1-11).

The sources give the shape; the constants below are ours, chosen inside what they and their like report.
"""

from __future__ import annotations

import math

# In µg/cm²: from pale, starved leaves to the dark ones of a crop that lacks nothing.
CHLOROPHYLL_MIN, CHLOROPHYLL_MAX = 18.0, 72.0
# In m² of leaf per m² of ground along a row at full growth.
LEAF_AREA_MIN, LEAF_AREA_MAX = 1.6, 4.8
# Share of the missing rest that a kilogram per hectare closes. Leaf area grows first and is full first.
CHLOROPHYLL_PER_KG, LEAF_AREA_PER_KG = 0.0040, 0.0090


def leaf_chlorophyll(supply_kg_ha: float) -> float:
    """Chlorophyll a and b of a leaf in µg/cm², from soil's and fertilizer's nitrogen together in kg/ha."""
    return CHLOROPHYLL_MIN + (CHLOROPHYLL_MAX - CHLOROPHYLL_MIN) * _mitscherlich(supply_kg_ha, CHLOROPHYLL_PER_KG)


def leaf_area(supply_kg_ha: float) -> float:
    """Leaf area index along a row at full growth in m²/m², from soil's and fertilizer's nitrogen together in kg/ha."""
    return LEAF_AREA_MIN + (LEAF_AREA_MAX - LEAF_AREA_MIN) * _mitscherlich(supply_kg_ha, LEAF_AREA_PER_KG)


def _mitscherlich(supply_kg_ha: float, per_kg: float) -> float:
    return 1.0 - math.exp(-per_kg * supply_kg_ha)
