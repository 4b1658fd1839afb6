"""The operator beside a clock on the wall that a test sets: the seconds stand in a file."""

import os
import sys
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self

from egress_operator.cli.main import main
from egress_operator.runtime import operator

SHIFT = "EGRESS_TEST_SHIFT"
"""The environment variable that names the file."""


class ShiftedDatetime(datetime):
    """`datetime`, but for what it says of the present."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        """Tell the time of day, set forward or back."""
        return super().now(tz) + timedelta(seconds=float(Path(os.environ[SHIFT]).read_text()))


if __name__ == "__main__":
    operator.datetime = ShiftedDatetime  # type: ignore[attr-defined]
    sys.argv.append("run")
    main()
