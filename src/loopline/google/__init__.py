"""Google Cloud through its official REST client: one way to ask, one way in which it refuses."""

from loopline.google.client import Google, Identity, open_google
from loopline.google.refusals import ApiRefused, NoCredentials

__all__ = ["ApiRefused", "Google", "Identity", "NoCredentials", "open_google"]
