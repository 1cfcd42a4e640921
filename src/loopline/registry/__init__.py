"""The model registry: MLflow's, over the workspace's SQLite file; names, versions, aliases, and a gate."""

from loopline.registry.promotion import promote, rollback
from loopline.registry.registration import register

__all__ = ["promote", "register", "rollback"]
