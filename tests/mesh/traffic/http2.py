"""HTTP/2 in plain text: frames, and a program that makes one gRPC call with prior knowledge.

The program `python http2.py HOST PORT UID TEXT` runs inside a workload's namespace as an ordinary
user and prints a JSON object: what came back. It needs the standard library only.

Header blocks are written without compression and never read: what is asked of HTTP/2 here is that
requests and answers pass, not what their headers are.
"""

import encodings.idna  # noqa: F401 - loaded while the files can still be read
import json
import os
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, GOAWAY = 0, 1, 4, 6, 7
ACK = END_STREAM = 1
END_HEADERS = 4
STATUS_200 = b"\x88"
METHOD_POST, SCHEME_HTTP = b"\x83", b"\x86"
PATH_NAME, AUTHORITY_NAME = 4, 1
TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Frame:
    """One frame as it came."""

    type: int
    flags: int
    stream: int
    payload: bytes


def build_frame(type_: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Build a frame (RFC 9113, 4.1). Pure."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", type_, flags, stream) + payload


def build_header(name: str | int, value: str) -> bytes:
    """Build a literal header field without indexing (RFC 7541, 6.2.2); texts under 127 bytes."""
    begin = bytes([name]) if isinstance(name, int) else b"\x00" + _build_text(name)
    return begin + _build_text(value)


def _build_text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def build_message(text: str) -> bytes:
    """Build a gRPC message: not compressed, its length, its bytes. Pure."""
    return struct.pack(">BI", 0, len(text)) + text.encode()


def read_frames(channel: socket.socket) -> Iterator[Frame]:
    """Read frames until the other side ends, answering SETTINGS and PING."""
    while head := _read_exactly(channel, 9):
        length = int.from_bytes(head[:3], "big")
        type_, flags, stream = struct.unpack(">BBI", head[3:])
        payload = _read_exactly(channel, length)
        if type_ in {SETTINGS, PING} and not flags & ACK:
            channel.sendall(build_frame(type_, ACK, 0, payload if type_ == PING else b""))
        yield Frame(type_, flags, stream, payload)


def _read_exactly(channel: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = channel.recv(size - len(found))
        if not part:
            return b""
        found += part
    return found


def call_grpc(host: str, port: int, text: str) -> dict[str, object]:
    """Make one call; return the message of the answer and the types of the stream's frames."""
    headers = (
        METHOD_POST
        + SCHEME_HTTP
        + build_header(PATH_NAME, "/shop.Prices/Get")
        + build_header(AUTHORITY_NAME, host)
        + build_header("content-type", "application/grpc")
        + build_header("te", "trailers")
    )
    message, types = b"", []
    with socket.create_connection((host, port), TIMEOUT_S) as channel:
        channel.sendall(
            PREFACE
            + build_frame(SETTINGS, 0, 0)
            + build_frame(HEADERS, END_HEADERS, 1, headers)
            + build_frame(DATA, END_STREAM, 1, build_message(text))
        )
        for frame in read_frames(channel):
            if frame.stream != 1:
                continue
            types.append(frame.type)
            if frame.type == DATA:
                message += frame.payload
            if frame.type in {DATA, HEADERS} and frame.flags & END_STREAM:
                break
    return {"message": message[5:].decode(), "types": types}


def main() -> None:
    """Make the call as the given user."""
    host, port, user, text = sys.argv[1:]
    os.setgroups([])
    os.setresgid(int(user), int(user), int(user))
    os.setresuid(int(user), int(user), int(user))
    try:
        result = call_grpc(host, int(port), text)
    except OSError as error:
        result = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(result))  # noqa: T201 - what it is for


if __name__ == "__main__":
    main()
