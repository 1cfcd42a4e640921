"""Scaffold: a project that a team owns, from a template; later improvements come into it without losing edits."""

from __future__ import annotations

from loopline.scaffold.copying import copy_template, update_from_template
from loopline.scaffold.releases import template_repository

__all__ = ["copy_template", "template_repository", "update_from_template"]
