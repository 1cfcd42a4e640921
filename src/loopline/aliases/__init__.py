"""Who is `fashion@champion`? Reads MLflow's registry without MLflow, because serving has none.

The `registry` stage writes through MLflow's own client; this room reads what it wrote, from the SQLite file
(`database`) or over HTTP from a server (`server`). A test holds both against MLflow's client after every action.
"""

from loopline.aliases.reference import DEFAULT_ALIAS, check_name, parse_reference
from loopline.aliases.resolve import (
    bundle_folder,
    list_versions,
    model_folder,
    model_tags,
    registry_uri,
    resolve_version,
    shown_uri,
)
from loopline.aliases.row import BUNDLE_FOLDER, TAG_PREFIX

__all__ = [
    "BUNDLE_FOLDER",
    "DEFAULT_ALIAS",
    "TAG_PREFIX",
    "bundle_folder",
    "check_name",
    "list_versions",
    "model_folder",
    "model_tags",
    "parse_reference",
    "registry_uri",
    "resolve_version",
    "shown_uri",
]
