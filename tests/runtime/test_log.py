"""Logs as text and as JSON; what libraries say is kept in bounds."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from egress_operator.runtime.log import MESSAGE_LIMIT, set_up_log


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Give a stream, and put the loggers back afterwards."""
    root = logging.getLogger()
    names = ("kopf", "kopf.objects", "aiohttp", "aiohttp.access", "asyncio")
    levels = {name: logging.getLogger(name).level for name in names}
    before = (list(root.handlers), root.level)
    yield io.StringIO()
    root.handlers[:], root.level = before
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_a_text_line_leads_with_the_policy(stream: io.StringIO) -> None:
    set_up_log("text", "info", stream)
    fields = {"namespace": "shop", "policy": "payments", "generation": 3, "reason": "Applied"}
    logging.getLogger("egress_operator.test").info("applied", extra=fields)
    line = stream.getvalue()
    assert line[8:] == " INFO    shop/payments: applied (generation=3 reason=Applied)\n"


def test_a_line_about_a_gateway_names_it(stream: io.StringIO) -> None:
    set_up_log("text", "info", stream)
    fields = {"gateway": "shared", "generation": 3, "reason": "Accepted"}
    logging.getLogger("egress_operator.test").info("the gateway is valid", extra=fields)
    expected = (
        " INFO    EgressGateway shared: the gateway is valid (generation=3 reason=Accepted)\n"
    )
    assert stream.getvalue()[8:] == expected
    set_up_log("json", "info", stream)
    logging.getLogger("egress_operator.test").info("the gateway is valid", extra=fields)
    assert json.loads(stream.getvalue().splitlines()[1])["gateway"] == "shared"


def test_a_json_line_has_the_fields_and_nothing_unknown(stream: io.StringIO) -> None:
    set_up_log("json", "info", stream)
    fields = {"namespace": "shop", "policy": "payments", "generation": 3, "token": "secret"}
    logging.getLogger("egress_operator.test").warning("two\nlines", extra=fields)
    text = stream.getvalue()
    assert text.count("\n") == 1
    line = json.loads(text)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "egress_operator.test",
        "message": "two\nlines",
        "namespace": "shop",
        "policy": "payments",
        "generation": 3,
    }


def test_auto_is_json_where_no_terminal_is(stream: io.StringIO) -> None:
    set_up_log("auto", "info", stream)
    logging.getLogger("egress_operator.test").info("hello")
    assert json.loads(stream.getvalue())["message"] == "hello"


def test_control_characters_cannot_forge_a_line(stream: io.StringIO) -> None:
    set_up_log("text", "info", stream)
    logging.getLogger("egress_operator.test").info("first\n12:00:00 ERROR   forged\x1b[31m")
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


def test_long_messages_are_cut(stream: io.StringIO) -> None:
    set_up_log("text", "info", stream)
    logging.getLogger("egress_operator.test").info("x" * 10_000)
    assert len(stream.getvalue()) < MESSAGE_LIMIT + 100


@pytest.mark.parametrize("level", ["debug", "info"])
def test_debug_output_of_kopf_is_never_let_through(stream: io.StringIO, level: str) -> None:
    set_up_log("text", level, stream)
    logging.getLogger("kopf.objects").debug("Handling cycle: %r", {"spec": "secret"})
    logging.getLogger("kopf.objects").info("Handler 'policy' succeeded.")
    logging.getLogger("kopf._core.reactor").debug("secret")
    assert stream.getvalue() == ""


def test_what_kopf_says_of_requests_is_left_to_our_own_watches(stream: io.StringIO) -> None:
    set_up_log("text", "info", stream)
    logger = logging.getLogger("kopf._cogs.clients.api")
    for attempt in range(1, 30):
        logger.error(
            "Request attempt #%d failed; will retry: GET https://10.0.0.1/apis/x?watch=true -> %r",
            attempt,
            OSError("refused"),
        )
    assert stream.getvalue() == ""


def test_tracebacks_of_kopf_are_left_out(stream: io.StringIO) -> None:
    set_up_log("text", "info", stream)
    logging.getLogger("kopf._cogs.aiokits").error(
        "Health reporter has failed", exc_info=OSError("port taken")
    )
    assert stream.getvalue().count("\n") == 1
