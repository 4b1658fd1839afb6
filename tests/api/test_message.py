"""The commonest mistakes are answered in the user's words, with the cure."""

from typing import Any

import pytest

from egress_operator.api.check import check_policy, check_spec
from egress_operator.api.policy import API_VERSION, KIND
from egress_operator.diagnostic import Diagnostic

HTTP = [{"number": 80, "protocol": "HTTP"}]


def find(*destinations: object) -> tuple[Diagnostic, ...]:
    return check_spec({"destinations": list(destinations)})[1]


def find_one(destination: object) -> Diagnostic:
    (diagnostic,) = find(destination)
    return diagnostic


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("https://api.example.com/x", ["is a URL", "only the host api.example.com"]),
        ("http://API.example.com:8080", ["is a URL", "only the host api.example.com", "ports"]),
        ("api.example.com:443", ["has a port", "only the host api.example.com", "number: 443"]),
        ("api.example.com/v1", ["has a path", "only the host api.example.com"]),
        ("203.0.113.20", ["is an IP address", "addresses"]),
        ("2001:db8::1", ["is an IP address", "addresses"]),
        ("127.1", ["is an IP address"]),
        ("203.0.113.0/24", ["a CIDR goes into addresses"]),
        ("API.Example.com", ["upper-case", "write api.example.com"]),
        ("api.example.com.", ["dot at the end", "write api.example.com"]),
        ("checkout", ["has no dot", "inside the cluster need no policy"]),
        ("my_api.example.com", ["underscore"]),
        ("bücher.example.com", ["outside ASCII", "A-labels xn--bcher-kva.example.com"]),
        (" api.example.com", ["white space", "write api.example.com"]),
        (f"{'a' * 64}.example.com", ["label longer than 63"]),
        ("api..example.com", ["is not a host name", "lower-case DNS labels"]),
    ],
)
def test_a_bad_host_is_explained(host: str, words: list[str]) -> None:
    diagnostic = find_one({"hosts": ["good.example.com", host]})
    assert diagnostic.code == "EG010"
    assert diagnostic.path == "spec.destinations[0].hosts[1]"
    assert [word for word in words if word not in diagnostic.message] == []


def test_a_wildcard_is_not_supported_yet() -> None:
    diagnostic = find_one({"hosts": ["*.example.com"]})
    assert diagnostic.code == "EG201"
    assert diagnostic.message == (
        "'*.example.com' is a wildcard, which is not supported yet; name each host"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("203.0.113.20/24", "write 203.0.113.0/24"),
        ("203.0.113.0/255.255.255.0", "write 203.0.113.0/24"),
        ("2001:DB8:0::1", "write 2001:db8::1"),
        ("::ffff:203.0.113.20", "write 203.0.113.20"),
        ("db.example.com", "move it to hosts"),
        ("010.0.0.1", "is not an IP address or a CIDR"),
    ],
)
def test_a_bad_address_is_explained(text: str, words: str) -> None:
    diagnostic = find_one({"addresses": [text]})
    assert (diagnostic.code, diagnostic.path) == ("EG012", "spec.destinations[0].addresses[0]")
    assert words in diagnostic.message


def test_http_on_the_default_port_says_what_to_do() -> None:
    diagnostic = find_one({"hosts": ["api.example.com"], "http": {"timeout": "3s"}})
    assert (diagnostic.code, diagnostic.path) == ("EG208", "spec.destinations[0].http")
    assert "port 443 is TLS (the default)" in diagnostic.message
    assert "only encrypted bytes" in diagnostic.message
    assert "use port 80 with protocol HTTP and call http://..." in diagnostic.message


def test_http_on_tcp_does_not_speak_of_encryption() -> None:
    ports = [*HTTP, {"number": 5432, "protocol": "TCP"}]
    diagnostic = find_one({"hosts": ["a.example.com"], "ports": ports, "http": {}})
    assert "port 5432 is TCP" in diagnostic.message
    assert "encrypted" not in diagnostic.message


@pytest.mark.parametrize(
    ("destination", "path", "words"),
    [
        ({"host": ["a.b"], "hosts": ["a.b"]}, "host", "did you mean hosts?"),
        ({"hosts": ["a.b"], "Ports": HTTP}, "Ports", "did you mean ports?"),
        ({"hosts": ["a.b"], "timeout": "3s"}, "timeout", "did you mean http.timeout?"),
        ({"hosts": ["a.b"], "endpoints": []}, "endpoints", "did you mean backends.endpoints?"),
        (
            {"hosts": ["a.b"], "ports": [HTTP[0] | {"location": "External"}]},
            "ports[0].location",
            "it belongs to destinations.location",
        ),
        (
            {"hosts": ["a.b"], "zzz": 1},
            "zzz",
            "the fields here are name, hosts, ports, addresses, location, backends, http",
        ),
    ],
)
def test_an_unknown_field_gets_a_hint(destination: object, path: str, words: str) -> None:
    diagnostic = find_one(destination)
    assert (diagnostic.code, diagnostic.path) == ("EG001", f"spec.destinations[0].{path}")
    assert words in diagnostic.message


@pytest.mark.parametrize(
    ("destination", "code", "message"),
    [
        (
            {"hosts": "a.b"},
            "EG003",
            (
                "the text 'a.b' stands here, and a list is expected; write it such as "
                'hosts: ["api.stripe.com", "files.stripe.com"]'
            ),
        ),
        (
            {"hosts": ["a.b"], "ports": [{"number": "80", "protocol": "HTTP"}]},
            "EG003",
            (
                "the text '80' stands here, and a whole number is expected; write it such as "
                "number: 443"
            ),
        ),
        (
            {"hosts": ["a.b"], "ports": [{"number": 80, "protocol": "http"}]},
            "EG005",
            (
                "'http' is not allowed here; did you mean HTTP? Allowed are HTTP, HTTP2, GRPC, "
                "TLS, HTTPS, TCP, MONGO, REDIS, MYSQL"
            ),
        ),
        (
            {"hosts": ["a.b"], "ports": [{"number": 70000, "protocol": "HTTP"}]},
            "EG004",
            "70000 is too large; write 65535 or less",
        ),
        (
            {"hosts": ["a.b"], "ports": [{"number": 80}]},
            "EG002",
            'protocol is missing; add it, such as protocol: "TLS"',
        ),
        (
            {"hosts": ["a.b"], "ports": []},
            "EG004",
            "0 entries, and at least 1 must be there; write at least 1",
        ),
    ],
)
def test_a_wrong_shape_is_explained(destination: object, code: str, message: str) -> None:
    diagnostic = find_one(destination)
    assert (diagnostic.code, diagnostic.message) == (code, message)


def test_all_findings_are_told_at_once() -> None:
    found = find(
        {"hosts": ["API.example.com"], "http": {"retries": {"attempts": 0, "codes": [503]}}},
        {"hosts": ["b.example.com", "c.example.com"], "addresses": ["10.0.0.1/8", "127.0.0.1"]},
        {"hosts": ["d.example.com"], "ports": [{"number": 443, "protocol": "GRPC"}], "x": 1},
        {"hosts": ["b.example.com"], "justification": "x"},
    )
    assert {(item.code, item.path.removeprefix("spec.destinations")) for item in found} == {
        ("EG010", "[0].hosts[0]"),
        ("EG208", "[0].http"),
        ("EG213", "[0].http.retries.attempts"),
        ("EG012", "[1].addresses[0]"),
        ("EG013", "[1].addresses[1]"),
        ("EG203", "[1].addresses"),
        ("EG204", "[1].addresses[0]"),
        ("EG001", "[2].x"),
        ("EG209", "[2].ports[0].protocol"),
        ("EG001", "[3].justification"),
    }
    assert list(found) == sorted(found)


def test_the_second_of_two_equal_destinations_is_named() -> None:
    found = find({"hosts": ["a.b"]}, {"hosts": ["c.d"]}, {"hosts": ["c.d", "a.b"]})
    assert [(item.code, item.path) for item in found] == [
        ("EG023", "spec.destinations[2].hosts[0]"),
        ("EG023", "spec.destinations[2].hosts[1]"),
    ]
    assert found[0].message == ("c.d port 443 stands in destination 1 too; keep it in one of them")


@pytest.mark.parametrize("document", [None, [], "text", 1, {1: 2}, {"spec": {True: 1}}])
def test_anything_at_all_gets_an_answer(document: Any) -> None:  # noqa: ANN401 - that is the point
    policy, diagnostics = check_policy(document)
    assert policy is None
    assert diagnostics
    assert all(item.message for item in diagnostics)


def test_a_long_value_is_cut_in_the_message() -> None:
    diagnostic = find_one({"hosts": ["x" * 250]})
    assert len(diagnostic.message) < 300


def test_the_models_speak_camel_case_outside_and_are_frozen() -> None:
    document = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": "sample"},
        "spec": {
            "destinations": [
                {
                    "hosts": ["a.b"],
                    "ports": [{"number": 80, "protocol": "HTTP", "targetPort": 8080}],
                }
            ]
        },
    }
    policy, _ = check_policy(document)
    assert policy is not None
    (port,) = policy.spec.destinations[0].resolve_ports()
    assert (port.number, port.protocol, port.target_port) == (80, "HTTP", 8080)
    with pytest.raises(ValueError, match="frozen"):
        port.number = 81  # type: ignore[misc]  # the point of the test
