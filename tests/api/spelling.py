"""Spellings of addresses and names that must never be a destination."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

V4 = (
    "0.0.0.0",  # noqa: S104 - nothing is bound: it is refused
    "100.100.100.200",
    "127.0.0.1",
    "127.1.2.3",
    "168.63.129.16",
    "169.254.169.254",
    "192.0.0.192",
    "224.0.0.1",
    "255.255.255.255",
)
V6 = ("::", "::1", "fd00:ec2::254", "fd20:ce::254", "fe80::1", "ff02::1")

OTHER = (
    "",
    " ",
    "*",
    "*.",
    "*.*",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "localhost.localdomain",
    "localhost4",
    "ip6-localhost",
    "ip6-loopback",
    "my.localhost",
    "a.b.localhost",
    "broadcasthost",
    "metadata",
    "metadata.google.internal",
    "METADATA.google.internal",
    "metadata.google.internal.",
    "metadata.goog",
    "metadata.azure.internal",
    "metadata.tencentyun.com",
    "instance-data",
    "instance-data.ec2.internal",
    "kubernetes",
    "127.1",
    "127.0.1",
    "0",
    "00",
    "0x0",
    "0.0",
    "1",
    "127.0.0.1.",
    "127.0.0.1..",
    ".127.0.0.1",
    "127..0.0.1",
    "127.0.0.1/32",
    "127.0.0.0/8",
    "0.0.0.0/0",
    "::/0",
    "::1/128",
    "169.254.0.0/16",
    "127.0.0.256",
    "127.0.0.1.1",
    "127,0,0,1",
    "127 0 0 1",
    "127.0.0.-1",
    "127.0.0.+1",
    "127.0.0.1\x00",
    "127.0.0.1\n",
    "127.0.0.1\t",
    "\u200b127.0.0.1",
    "127\u3002\uff10\uff0e0\uff0e1",
    "\uff11\uff12\uff17.0.0.1",
    "\u0661\u0662\u0667.0.0.1",
    "\u2460\u2461\u2466.0.0.1",
    "loc\u0430lhost",
    "127.0.0.1%25eth0",
    "127.0.0.1%eth0",
    "fe80::1%eth0",
    "fe80::1%25eth0",
    "::1%0",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "http://127.0.0.1",
    "http://[::1]/",
    "https://localhost",
    "//127.0.0.1",
    "user@127.0.0.1",
    "user:secret@localhost",
    "127.0.0.1:15000",
    "localhost:15000",
    "[::1]:15000",
    "127.0.0.1#a.example.com",
    "127.0.0.1?a.example.com",
    "127.0.0.1/a.example.com",
    "127.0.0.1\\a.example.com",
    "a.example.com@127.0.0.1",
    "a.example.com%2f127.0.0.1",
    "$(hostname)",
    "{{ host }}",
    "unix:///var/run/docker.sock",
    "/var/run/docker.sock",
    "0177.0.0.1",
    "0x7f.1",
    "0x7f000001",
    "017700000001",
    "2130706433",
    "2852039166",
    "a9fea9fe",
    "::ffff:a9fe:a9fe",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::7f00:1",
    "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::1",
    "::ffff:0:127.0.0.1",
    "0:0:0:0:0:0:0:1",
    "0000:0000:0000:0000:0000:0000:0000:0001",
    "::0:1",
    "0::1",
    "::00001",
    ":::1",
    "1::1::1",
    "::g",
)

ALLOWED_HOSTS = (
    "127.0.0.1.example.com",
    "localhost.example.com",
    "metadata.example.com",
    "0x7f.0.0.a1",
    "xn--80ak6aa92e.com",
    "mylocalhost.com",
)
ALLOWED_ADDRESSES = (
    "1.1.1.1",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "100.100.100.199",
    "100.100.100.201",
    "192.0.1.0",
    "223.255.255.255",
    "2001:1::1",
    "2003::1",
    "100::1",
    "fd00:ec3::254",
    "fd20:ce::253",
    "fec0::1",
)


def list_spellings() -> list[str]:
    """Every spelling once, in a fixed order."""
    spellings = [*OTHER]
    for text in V4:
        spellings.extend(_spell_v4(IPv4Address(text)))
    for text in V6:
        spellings.extend(_spell_v6(IPv6Address(text)))
    return list(dict.fromkeys(spellings))


def _spell_v4(address: IPv4Address) -> Iterator[str]:
    a, b, c, d = address.packed
    number = int(address)
    yield f"{a}.{b}.{c}.{d}"
    yield f"{a}.{b}.{c}.{d}."
    yield f"{number}"
    yield f"{number:#x}"
    yield f"{number:#X}"
    yield f"0{number:o}"
    yield f"{number:#o}"
    yield f"{number:#b}"
    yield f"{number + 2**32}"
    yield f"{a}.{number & 0xFFFFFF}"
    yield f"{a}.{b}.{number & 0xFFFF}"
    yield f"{a:#x}.{b:#x}.{c:#x}.{d:#x}"
    yield f"{a:#X}.{b}.{c}.{d}"
    yield f"{a:#x}.{number & 0xFFFFFF:#x}"
    yield f"0{a:o}.0{b:o}.0{c:o}.0{d:o}"
    yield f"{a:#o}.{b:#o}.{c:#o}.{d:#o}"
    yield f"{a:03}.{b:03}.{c:03}.{d:03}"
    yield f"0{a}.{b}.{c}.{d}"
    yield f"{a}.{b}.{c}.0{d}"
    yield f"{a + 256}.{b}.{c}.{d}"
    yield f"::ffff:{address}"
    yield f"::FFFF:{address}"
    yield f"::ffff:{a:02x}{b:02x}:{c:02x}{d:02x}"
    yield f"0:0:0:0:0:ffff:{address}"
    yield f"::{address}"
    yield f"64:ff9b::{a:x}{b:02x}:{c:x}{d:02x}"
    yield f"2002:{a:x}{b:02x}:{c:x}{d:02x}::"
    yield f"[{address}]"
    yield f" {address}"
    yield f"{address}\u200b"


def _spell_v6(address: IPv6Address) -> Iterator[str]:
    yield str(address)
    yield address.exploded
    yield address.exploded.upper()
    yield ":".join(f"{int(part, 16):x}" for part in address.exploded.split(":"))
    yield f"[{address}]"
    yield f"{address}%eth0"
    yield f"{address}%1"
    yield f"{address}/128"
    yield f"{address}/64"
    yield f"{address}."
    yield f"{int(address)}"
    yield f"{int(address):#x}"
