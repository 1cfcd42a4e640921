"""The architecture that files show, as a diagram: stages from left to right, in each a box for every part found."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from html import escape

from loopline.report.evidence import Sources, place

_BOX_WIDTH, _BOX_HEIGHT, _GAP, _MARGIN, _HEAD = 220, 62, 16, 24, 40
_INK, _QUIET, _LINE, _PAPER, _ACCENT = "#1c1f23", "#5b636d", "#c3c9d0", "#ffffff", "#0b62a8"
# What stands in such a folder shows a part as well, but is none of the system.
_ASIDE = re.compile(r"(?:benchmarks?|examples?|docs|notebooks)/")
# A stage, and the audit's items that show a part of it with the part's name.
_STAGES = (
    ("Develop", (("precommit", "Hooks"), ("cookiecutter", "Repository"), ("config_files", "Configuration"))),
    ("Data", (("data_script", "Data script"), ("data_vc", "Data versions"), ("gcp_bucket", "Bucket"))),
    (
        "Train",
        (
            ("model_train", "Training"),
            ("lightning", "Lightning"),
            ("wandb", "Tracking"),
            ("gcp_train", "Cloud training"),
        ),
    ),
    ("Check", (("ci", "Continuous integration"), ("tests_model", "Tests"), ("docker_trigger", "Image builds"))),
    (
        "Serve",
        (
            ("fastapi", "API"),
            ("onnx_bentoml", "Model server"),
            ("deploy_cloud", "Deployment"),
            ("frontend", "Frontend"),
        ),
    ),
    (
        "Watch",
        (
            ("metrics", "Metrics"),
            ("drift", "Drift"),
            ("io_collection", "Logged requests"),
            ("cloud_monitoring", "Monitoring"),
        ),
    ),
)


@dataclass(frozen=True)
class Box:
    """One part of the system: its name, what it is, and where that stands."""

    name: str
    detail: str
    source: str


@dataclass(frozen=True)
class Stage:
    """Parts side by side in the flow."""

    name: str
    boxes: tuple[Box, ...]


@dataclass(frozen=True)
class Diagram:
    """Stages in the order of the flow; drawn twice from one layout."""

    stages: tuple[Stage, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        most = max((len(stage.boxes) for stage in self.stages), default=1)
        width = 2 * _MARGIN + len(self.stages) * _BOX_WIDTH + max(0, len(self.stages) - 1) * 2 * _GAP
        return max(width, 320), 2 * _MARGIN + _HEAD + most * _BOX_HEIGHT + (most - 1) * _GAP

    def corners(self) -> list[tuple[int, int, Box]]:
        """Where each box has its upper left corner."""
        return [
            (_left(column), _MARGIN + _HEAD + row * (_BOX_HEIGHT + _GAP), box)
            for column, stage in enumerate(self.stages)
            for row, box in enumerate(stage.boxes)
        ]

    def svg(self) -> str:
        """The diagram as SVG, its text as text."""
        width, height = self.size
        names = escape(", then ".join(stage.name for stage in self.stages))
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"',
            ' role="img" font-family="sans-serif">',
            f"<title>Architecture: {names}</title>",
            f'<rect width="{width}" height="{height}" fill="{_PAPER}"/>',
        ]
        for column, stage in enumerate(self.stages):
            left = _left(column)
            parts.append(_svg_text(left, _MARGIN + 18, stage.name, size=16, fill=_ACCENT))
            if column:
                parts.append(_svg_text(left - 2 * _GAP + 4, _MARGIN + 18, "→", size=16, fill=_QUIET))
        for left, top, box in self.corners():
            frame = f'width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="8" fill="{_PAPER}" stroke="{_LINE}"'
            parts += [
                f'<g><title>{escape(box.detail)}</title><rect x="{left}" y="{top}" {frame}/>',
                _svg_text(left + 12, top + 26, box.name, size=14, fill=_INK),
                _svg_text(left + 12, top + 46, _short(box.source), size=11, fill=_QUIET),
                "</g>",
            ]
        return "".join([*parts, "</svg>\n"])

    def png(self) -> bytes:
        """The same as PNG, at twice the size."""
        from PIL import Image, ImageDraw, ImageFont

        width, height = self.size
        image = Image.new("RGB", (2 * width, 2 * height), _PAPER)
        draw = ImageDraw.Draw(image)
        fonts = {size: ImageFont.load_default(2 * size) for size in (11, 14, 16)}
        for column, stage in enumerate(self.stages):
            left = _left(column)
            draw.text((2 * left, 2 * _MARGIN), _plain(stage.name), fill=_ACCENT, font=fonts[16])
            if column:
                middle, end = 2 * (_MARGIN + 11), 2 * (left - 8)
                draw.line((end - 44, middle, end - 12, middle), fill=_QUIET, width=3)
                draw.polygon(((end - 12, middle - 8), (end - 2, middle), (end - 12, middle + 8)), fill=_QUIET)
        for left, top, box in self.corners():
            corner = (2 * left, 2 * top, 2 * (left + _BOX_WIDTH), 2 * (top + _BOX_HEIGHT))
            draw.rounded_rectangle(corner, radius=16, fill=_PAPER, outline=_LINE, width=2)
            draw.text((2 * left + 24, 2 * top + 22), _plain(box.name), fill=_INK, font=fonts[14])
            draw.text((2 * left + 24, 2 * top + 70), _plain(_short(box.source)), fill=_QUIET, font=fonts[11])
        buffer = io.BytesIO()
        image.save(buffer, "PNG", optimize=True)
        return buffer.getvalue()


def diagram_of(sources: Sources) -> Diagram:
    """The diagram of what the audit found done; without an audit, of nothing."""
    known = {item.item: item for item in (sources.audit.items if sources.audit else ())}
    stages = []
    for name, parts in _STAGES:
        boxes = []
        for item_id, part in parts:
            item = known.get(item_id)
            if item is not None and item.verdict == "done":
                # `min` keeps the order: the first that is no benchmark or example.
                shown = min(item.evidence, key=lambda evidence: bool(_ASIDE.match(evidence.path or "")))
                boxes.append(Box(part, shown.sentence.rstrip("."), place(shown)))
        if boxes:
            stages.append(Stage(name, tuple(boxes)))
    return Diagram(tuple(stages))


def _svg_text(left: int, top: int, text: str, *, size: int, fill: str) -> str:
    weight = ' font-weight="bold"' if size > 11 else ""
    return f'<text x="{left}" y="{top}" fill="{fill}" font-size="{size}"{weight}>{escape(text)}</text>'


def _left(column: int) -> int:
    return _MARGIN + column * (_BOX_WIDTH + 2 * _GAP)


def _short(text: str) -> str:
    return text if len(text) <= 34 else f"…{text[-33:]}"


def _plain(text: str) -> str:
    """Pillow's own font has Latin letters only."""
    return text.replace("…", "...").encode("latin-1", "replace").decode("latin-1")
