"""`loopline` and `python -m loopline`."""

from __future__ import annotations

from loopline.cli.entry import main

if __name__ == "__main__":
    main()
