"""Plots of maize as a drone's four-band camera sees them, simulated: the nitrogen recipe's data are not public.

Nitrogen sets leaf chlorophyll and leaf area (`response`), field and flight everything else (`conditions`), a radiative
transfer model the reflectance (`canopy`), and the picture puts rows, soil, shade, light and noise together (`scene`).
"""

from loopline.data.simulation.plots import LEVELS_KG_HA, SimulatedPlot, simulate_plots, write_plots

__all__ = ["LEVELS_KG_HA", "SimulatedPlot", "simulate_plots", "write_plots"]
