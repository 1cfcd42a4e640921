"""What a user may say about a snapshot beyond its source, name and task."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from loopline.core.errors import ConfigError


@dataclass(frozen=True)
class Columns:
    """Which columns of a table mean what; None where the source's own default is meant.

    `input` holds paths of pictures (default `path`), or texts where the task is translation; several columns, with
    commas between them, hold numbers. `target` holds labels, values or texts (default `label`); `split`, `id`
    and `group` are optional.
    """

    input: str | None = None
    target: str | None = None
    split: str | None = None
    id: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Options:
    """How a snapshot is made. Shares are parts of the train split, 0 to 1; 0 carves nothing.

    A share is used only where the source brings no split of that name.
    """

    licence: str = "unknown"
    confidential: bool = False
    # Leave out files that cannot be read, listing them in the manifest, instead of refusing the whole source.
    skip_broken: bool = False
    validation_share: float = 0.1
    test_share: float = 0.1
    columns: Columns = field(default_factory=Columns)
    # A regular expression that finds in each id the group it belongs to; all of a group stand in one split.
    group_pattern: str | None = None

    def __post_init__(self) -> None:
        for name, share in (("validation_share", self.validation_share), ("test_share", self.test_share)):
            if not 0 <= share < 1:
                raise ConfigError(f"{name} {share} given; expected at least 0 and less than 1.")
        if self.validation_share + self.test_share >= 1:
            raise ConfigError(
                f"validation_share {self.validation_share} and test_share {self.test_share} leave no train split."
            )
        try:
            re.compile(self.group_pattern or "")
        except re.error as error:
            raise ConfigError(f"group_pattern '{self.group_pattern}' is no regular expression: {error}.") from None
