"""Layer 2: plots as PNG bytes, in one restrained style, legible to colour-blind readers and on paper.

Drawn with Matplotlib's object interface: no pyplot, no global figure, no setting that outlives a call. Pictures have
twice the pixels of the page they stand on (`page.Figure`). Colours are of Okabe and Ito's palette (Color Universal
Design, 2008) where there are few series.
"""

from loopline.plots.classes import class_counts_png, confusion_png, label_shares_png, reliability_png
from loopline.plots.curves import learning_curves_png
from loopline.plots.drawing import BLUE, GREEN, INK, LINE, PURPLE, QUIET, SERIES, VERMILLION, Canvas, drawing, evenly
from loopline.plots.projection import class_map_png, value_map_png
from loopline.plots.samples import distributions_png, drift_tests_png, embedding_png
from loopline.plots.sheet import SheetPicture, picture_sheet
from loopline.plots.values import predicted_true_png, residuals_png

__all__ = [
    "BLUE",
    "GREEN",
    "INK",
    "LINE",
    "PURPLE",
    "QUIET",
    "SERIES",
    "VERMILLION",
    "Canvas",
    "SheetPicture",
    "class_counts_png",
    "class_map_png",
    "confusion_png",
    "distributions_png",
    "drawing",
    "drift_tests_png",
    "embedding_png",
    "evenly",
    "label_shares_png",
    "learning_curves_png",
    "picture_sheet",
    "predicted_true_png",
    "reliability_png",
    "residuals_png",
    "value_map_png",
]
