"""From an HTTP answer to JSON, or to an `ApiError` that is safe to log. Pure."""

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import orjson

from egress_operator.engine.failure import ApiError

RETRY_AFTER_MAX = 300.0
"""Seconds. A server that asks for more is asked again after this."""
_MESSAGE_MAX = 256


def cut_message(text: str, secret: str = "") -> str:
    """One printable line of at most 256 characters, without `secret`."""
    if secret:
        text = text.replace(secret, "***")
    line = "".join(char if char.isprintable() else " " for char in text[: 4 * _MESSAGE_MAX])
    line = " ".join(line.split())
    return line if len(line) <= _MESSAGE_MAX else line[: _MESSAGE_MAX - 1] + "…"


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by the Retry-After header; None when absent or garbage.

    A date is taken relative to the answer's own Date header, so that clocks need not agree; without
    one, to this machine's clock. In the past means 0.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), RETRY_AFTER_MAX)
    moment = _parse_date(value)
    if moment is None:
        return None
    now = _parse_date(headers.get("Date", ""))
    return min(max(moment - (time.time() if now is None else now), 0.0), RETRY_AFTER_MAX)


def _parse_date(value: str) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def parse_object(body: bytes) -> dict[str, Any]:
    """Decode the body of a successful answer. ApiError 0 `Undecodable` if it is no JSON object."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise ApiError(0, "Undecodable", f"the answer is not a JSON object ({len(body)} bytes)")
    return value


def build_error(status: int, headers: Mapping[str, str], body: bytes, secret: str = "") -> ApiError:
    """Make the error of an answer that is not 2xx. A body that is no Status is not quoted."""
    retry_after = parse_retry_after(headers)
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict) or answer.get("kind") != "Status":
        kind = headers.get("Content-Type", "no content type")
        note = f"the answer is no Status ({cut_message(kind)[:40]}, {len(body)} bytes)"
        return ApiError(status, _get_phrase(status), note, retry_after)
    details = answer.get("details")
    details = details if isinstance(details, dict) else {}
    if retry_after is None:
        wish = details.get("retryAfterSeconds")
        if isinstance(wish, int) and wish > 0:
            retry_after = min(float(wish), RETRY_AFTER_MAX)
    reason = cut_message(str(answer.get("reason") or ""), secret)[:64] or _get_phrase(status)
    message = cut_message(str(answer.get("message") or ""), secret)
    return ApiError(status, reason, message, retry_after, _read_subject(details))


def _read_subject(details: Mapping[str, Any]) -> str:
    plural, group, name = (str(details.get(word) or "") for word in ("kind", "group", "name"))
    label = f"{plural}.{group}" if group else plural
    return f"{label}/{name}" if plural and name else ""


def _get_phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase.title().replace(" ", "")
    except ValueError:
        return "Unknown"
