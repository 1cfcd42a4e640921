"""`python -m loopline.serving.probe`: exits with 0 where the server in this container is ready. A health check."""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping

from loopline.serving.settings import variables

_TIMEOUT_S = 2.0


def is_ready(environment: Mapping[str, str]) -> bool:
    """Asks `/readyz` of the port that a server with this environment listens on."""
    port = next((environment[name] for name in variables("port") if environment.get(name)), "8000")
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_ready(os.environ) else 1)
