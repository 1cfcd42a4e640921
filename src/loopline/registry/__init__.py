"""The model registry: MLflow's, over the workspace's SQLite file or a server; names, versions, aliases, and a gate."""

from loopline.registry.history import history
from loopline.registry.listing import models
from loopline.registry.promotion import alias_holder, promote, rollback
from loopline.registry.registration import register

__all__ = ["alias_holder", "history", "models", "promote", "register", "rollback"]
