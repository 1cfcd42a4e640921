"""What answers before any framework is asked: the service, the door of those who bring keys, and the short way."""

from __future__ import annotations

from loopline.serving.direct import Direct
from loopline.serving.gate import Door
from loopline.serving.keys import read_keys
from loopline.serving.rate_limit import RateLimit
from loopline.serving.service import Service


class Front:
    """One server's, in one process; between `start` and `close` it answers."""

    def __init__(self, service: Service) -> None:
        """Raises `ConfigError` for keys that are none."""
        self.service = service
        settings = service.settings
        keys = read_keys(settings.api_key, settings.api_key_file)
        rate_per_s = settings.rate_limit_per_s
        self._limit = RateLimit(rate_per_s, len(keys.names), folder=service.worker.folder) if rate_per_s else None
        # Where there are keys, it decides about every request.
        self.door = Door(keys, self._limit) if keys else None
        self.direct = Direct(service, door=self.door)

    async def start(self) -> None:
        """Starts the threads and predicts the reference inputs; call it inside the running loop."""
        await self.service.start()

    async def close(self) -> None:
        """Answers what was accepted, then writes the log to its end."""
        await self.service.close()
        if self._limit is not None:
            self._limit.close()
