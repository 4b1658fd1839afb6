"""The client's side of a WebSocket, as far as a request needs it (RFC 6455)."""

import http.client
import secrets
import socket
import struct
from typing import IO

HEADERS = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
PATH = "/ws"
"""Where the servers outside answer them."""
SWITCHING = 101
FRAMES = 3
"""How many texts are sent, each after the answer to the last."""
TEXT, FINAL, MASKED = 1, 0x80, 0x80
SHORT, MEDIUM = 125, 126


def talk(channel: socket.socket, answer: http.client.HTTPResponse, text: str) -> str:
    """Send numbered texts after the switch and return the last answer.

    Raises ConnectionError when the other side ends before that.
    """
    found = ""
    for number in range(1, FRAMES + 1):
        channel.sendall(build_frame(f"{text}{number}"))
        found = read_text(answer.fp)
    return found


def build_frame(text: str) -> bytes:
    """Build a masked text frame of at most 125 bytes."""
    payload, mask = text.encode(), secrets.token_bytes(4)
    if len(payload) > SHORT:
        raise ValueError(f"{len(payload)} bytes are too many for one frame")
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    return bytes([FINAL | TEXT, MASKED | len(payload)]) + mask + masked


def read_text(stream: IO[bytes]) -> str:
    """Read one text frame of at most 64 KiB; whatever else comes is an end."""
    kind, length = _read(stream, 2)
    if length == MEDIUM:
        (length,) = struct.unpack(">H", _read(stream, 2))
    if kind != FINAL | TEXT:
        raise ConnectionResetError(f"a frame {kind:#x} came instead of a text")
    return _read(stream, length).decode()


def _read(stream: IO[bytes], size: int) -> bytes:
    found = stream.read(size)
    if len(found) < size:
        raise ConnectionResetError("the WebSocket was closed")
    return found
