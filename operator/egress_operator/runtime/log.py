"""Logs: one line per outcome, as text for people or as JSON for collectors.

Fields are passed as `extra` and come from a closed list, so that a body or a token cannot slip in.
kopf logs through the standard library too: its lines take the same form, and its DEBUG output
(whole bodies) is never let through.
"""

import logging
import re
import sys
import time
from typing import TextIO

FIELDS = ("namespace", "policy", "gateway", "host", "generation", "reason", "result")
"""What a line may carry beside its message, in this order."""
MESSAGE_LIMIT = 1024
_TOLD = ("Request attempt #", "Activity 'start' failed")
"""Lines of kopf: that a request fails (the operator's own watches say so), and that a start fails
(whoever runs kopf says so)."""


def set_up_log(form: str, level: str, stream: TextIO | None = None) -> None:
    """Make the root logger write to `stream` (standard error) as `text`, `json` or `auto`.

    `auto` is text on a terminal and JSON elsewhere. Handlers of an earlier call, and kopf's own,
    are replaced.
    """
    target = stream or sys.stderr
    handler: logging.Handler = logging.StreamHandler(target)
    as_text = form == "text" or (form == "auto" and target.isatty())
    handler.setFormatter(_TextFormatter() if as_text else _build_json_formatter())
    handler.addFilter(_CutFilter())
    handler.addFilter(_LibraryFilter())
    root = logging.getLogger()
    for old in list(root.handlers):
        if isinstance(old, logging.StreamHandler):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # At DEBUG kopf and aiohttp print whole objects and every request.
    for library in ("kopf", "aiohttp", "asyncio"):
        logging.getLogger(library).setLevel(max(logging.INFO, root.level))
    # kopf.objects says "Handler 'x' succeeded" at INFO for each event.
    logging.getLogger("kopf.objects").setLevel(max(logging.WARNING, root.level))
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""What could end a line, or move a terminal's cursor."""


class _TextFormatter(logging.Formatter):
    """`12:00:00 INFO shop/payments: message (reason=Programmed generation=3)`."""

    default_msec_format = "%s.%03d"

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        where = str(fields.pop("namespace", ""))
        if "policy" in fields:
            where = f"{where}/{fields.pop('policy')}"
        elif "gateway" in fields:
            where = f"EgressGateway {fields.pop('gateway')}"
        elif "host" in fields:
            where = f"{where} {fields.pop('host')}".strip()
        text = f"{clock} {record.levelname:<7} {where + ': ' if where else ''}{record.getMessage()}"
        if fields:
            text += " (" + " ".join(f"{name}={value}" for name, value in fields.items()) + ")"
        text = _CONTROL.sub(lambda match: repr(match[0])[1:-1], text)
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def _build_json_formatter() -> logging.Formatter:
    # Imported here: the library costs 10 ms that text logs need not pay.
    from pythonjsonlogger.json import JsonFormatter  # noqa: PLC0415 - see above

    class Formatter(JsonFormatter):
        def add_fields(
            self,
            log_data: dict[str, object],
            record: logging.LogRecord,
            message_dict: dict[str, object],
        ) -> None:
            del message_dict
            log_data["time"] = (
                time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
                + f".{int(record.msecs):03d}Z"
            )
            log_data["level"] = record.levelname.lower()
            log_data["logger"] = record.name
            log_data["message"] = record.getMessage()
            for name in FIELDS:
                if hasattr(record, name):
                    log_data[name] = getattr(record, name)
            if record.exc_info:
                log_data["exception"] = self.formatException(record.exc_info)

    return Formatter()


class _CutFilter(logging.Filter):
    """Cuts long messages: a server's answer may quote a whole object."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if len(message) > MESSAGE_LIMIT:
            record.msg, record.args = message[:MESSAGE_LIMIT] + "…", None
        return True


class _LibraryFilter(logging.Filter):
    """Leaves out what kopf says of what the operator says itself."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == "asyncio":
            # Tasks that kopf forgets when it ends; it has told of the first one itself.
            return "/kopf/" not in record.getMessage()
        if not record.name.startswith("kopf"):
            return True
        if record.levelno < logging.CRITICAL and not logging.getLogger().isEnabledFor(
            logging.DEBUG
        ):
            # Its tracebacks show kopf's inside; the message names the error.
            record.exc_info = None
        return record.levelno >= logging.WARNING and not record.getMessage().startswith(_TOLD)
