"""For kopf's own command: `kopf run -A -m egress_operator.runtime.handlers` starts the operator.

It does the same as `egressctl run`, with the environment's settings, and on uvloop, which kopf uses
where it is installed. But the process is kopf's and takes more memory and time: it imports the
`kubernetes` library (`slim.py`), remembers each object (`NoMemories` is not given to it), and the
garbage collector keeps Python's thresholds (`collection.py`).

Whoever serves single namespaces gives them to kopf too (`-n`); the liveness probe is kopf's flag
`-L`.
"""

import logging
import os

import kopf

from egress_operator.runtime.log import set_up_log
from egress_operator.runtime.settings import Settings, SettingsError, build_settings, find_unknown
from egress_operator.runtime.shell import EXIT_LIMIT_S, Shell, register

logger = logging.getLogger(__name__)


class _KopfRunShell(Shell):
    """Under `kopf run`: settings are the environment's, and a failed start ends the process."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.exit_limit = EXIT_LIMIT_S

    async def start(self, settings: kopf.OperatorSettings, **_: object) -> None:
        set_up_log(self.settings.log_format, self.settings.log_level)
        for name in find_unknown(os.environ):
            logger.warning("%s is no setting and has no effect", name)
        try:
            await super().start(settings)
        except kopf.PermanentError:
            logger.critical(self.fatal)
            os._exit(1)


def _read_environment() -> Settings:
    try:
        return build_settings(os.environ)
    except SettingsError as error:
        raise SystemExit(f"egress-operator: {error}") from None


register(_KopfRunShell(_read_environment()), kopf.get_default_registry())
