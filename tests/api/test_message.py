"""The commonest mistakes are answered in the user's words, with the fix."""

from collections.abc import Callable
from typing import Any

import pytest

from egress_operator.api.check import (
    MOST_HINTS,
    check_gateway,
    check_gateway_spec,
    check_policy,
    check_spec,
)
from egress_operator.api.destination import DEFAULT_ORIGINATE_PORTS, DEFAULT_PORTS
from egress_operator.api.gateway import EgressGatewaySpec
from egress_operator.api.hint import explain_unknown_field, find_meant, get_fields
from egress_operator.api.model import Model
from egress_operator.api.policy import API_VERSION, KIND, EgressPolicySpec
from egress_operator.api.port import Port
from egress_operator.api.scalar import PROXY_PORTS, Protocol
from egress_operator.api.word import PROTOCOL_WORDS
from egress_operator.diagnostic import Diagnostic, find_rule

HTTP = [{"number": 80, "protocol": "HTTP"}]
HOST = {"hosts": ["a.example.com"]}
GATEWAY = {
    "namespace": "istio-egress",
    "selector": {"istio": "egressgateway"},
    "service": {"name": "istio-egressgateway", "port": 443},
    "authorization": "Managed",
}


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
        ("127.1", ["ends with a number", "an IP address goes into addresses"]),
        ("1.2.3", ["the last part of a host name begins with a letter"]),
        ("api.example.443", ["ends with a number"]),
        (
            "a.example.com, B.example.com",
            ["holds 2 hosts", "an entry of its own: a.example.com, b.example.com"],
        ),
        (
            "p\u0430yp\u0430l.example.com",
            ["holds U+0430 CYRILLIC SMALL LETTER A;", "or write the name as A-labels xn--"],
        ),
        (
            "\uff41\uff50\uff49.example\u3002com",
            ["in another form, such as full-width; write api.example.com"],
        ),
        ("203.0.113.0/24", ["a CIDR goes into addresses"]),
        ("API.Example.com", ["upper-case", "write api.example.com"]),
        ("api.example.com.", ["dot at the end", "write api.example.com"]),
        ("checkout", ["has no dot", "Services in the cluster need no policy"]),
        ("my_api.example.com", ["underscore"]),
        ("bücher.example.com", ["outside ASCII", "A-labels xn--bcher-kva.example.com"]),
        ("api.example.com\u200b", ["U+200B ZERO WIDTH SPACE", "remove it: write api.example.com"]),
        (
            "\u201capi.example.com\u201d",
            [
                "U+201C LEFT DOUBLE QUOTATION MARK and U+201D RIGHT DOUBLE QUOTATION MARK",
                "remove them: write api.example.com",
            ],
        ),
        ("\ufeffAPI.example.com", ["U+FEFF ZERO WIDTH NO-BREAK SPACE", "write api.example.com"]),
        ("api.exa\u00admple.com", ["U+00AD SOFT HYPHEN", "remove it: write api.example.com"]),
        ("api.exam\ufe0fple.com", ["U+FE0F VARIATION SELECTOR-16", "write api.example.com"]),
        ("my\u2011api.example.com", ["NON-BREAKING HYPHEN", "in its place: write my-api.example"]),
        ("b\u00fc\u200bcher.example.com", ["U+200B", "write xn--bcher-kva.example.com"]),
        ("\u65e5\u672c\u3002jp", ["outside ASCII", "A-labels xn--wgv71a.jp"]),
        ("paral\u00b7lel.cat", ["outside ASCII", "A-labels xn--paral"]),
        (" api.example.com", ["white space", "write api.example.com"]),
        ("API.example.com\n", ["white space", "write api.example.com"]),
        ("a\x1b[31m.example.com\n", ["white space around it; write lower-case DNS labels"]),
        (f"{'a' * 64}.example.com", ["label longer than 63"]),
        ("api..example.com", ["is not a host name", "lower-case DNS labels"]),
        (
            ".example.com",
            ["begins with a dot; write example.com, or *.example.com for all names below it"],
        ),
    ],
)
def test_a_bad_host_is_explained(host: str, words: list[str]) -> None:
    diagnostic = find_one({"hosts": ["good.example.com", host]})
    assert diagnostic.code == "EG010"
    assert diagnostic.path == "spec.destinations[0].hosts[1]"
    assert [word for word in words if word not in diagnostic.message] == []


@pytest.mark.parametrize(
    ("destination", "fix"),
    [
        ({"hosts": ["API.example.com"]}, "write api.example.com"),
        ({"host": ["a.example.com"], "hosts": ["a.example.com"]}, "did you mean hosts?"),
        ({"hosts": ["a.b"], "ports": []}, "give at least 1 entry"),
        ({"hosts": ["a.b", "a.b"]}, ""),
    ],
)
def test_a_fix_that_knows_more_than_the_rule_is_told_by_itself(
    destination: object, fix: str
) -> None:
    diagnostic = find_one(destination)
    assert diagnostic.fix == fix
    assert diagnostic.message.endswith(f"; {fix or find_rule(diagnostic.code).fix}")


@pytest.mark.parametrize(
    ("host", "command"),
    [
        ("mongodb+srv://a.example.net", " (dig +short SRV _mongodb._tcp.a.example.net)"),
        (
            "mongodb+srv://me:pw@a.example.net/db?x=y",
            " (dig +short SRV _mongodb._tcp.a.example.net)",
        ),
        ("_mongodb._tcp.a.example.net", " (dig +short SRV _mongodb._tcp.a.example.net)"),
        ("_ldap._tcp.dc._msdcs.example.net", ""),
    ],
)
def test_a_record_that_lists_hosts_is_no_host(host: str, command: str) -> None:
    diagnostic = find_one({"hosts": [host]})
    assert diagnostic.code == "EG010"
    assert diagnostic.message.endswith(
        f"; look up the SRV record{command} and name the hosts that it lists"
    )


def test_a_backend_of_copies_alone_has_the_weight_0() -> None:
    backends = [{"name": name, "endpoints": [{"address": "192.0.2.7"}]} for name in ("a", "b")]
    mirrored = HOST | {"ports": HTTP, "backends": backends, "http": {"mirror": {"backend": "b"}}}
    first, second = find(mirrored)
    assert first.code == second.code == "EG231"
    assert first.message.endswith(
        "; write a weight such as 100 for it, and weight: 0 for b, which gets copies alone"
    )
    assert second.message.endswith(
        "; write weight: 0 for it (it gets copies alone), and a weight such as 100 for the other"
    )
    first, second = find(mirrored | {"http": {}})
    assert "add failover: true" in first.message


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("*", ["stands for every host", "name each host"]),
        ("**", ["stands for every host"]),
        ("*.", ["stands for every host"]),
        ("*.com", ["all that ends with .com", "two labels at least", "such as *.example.com"]),
        ("*.localhost", ["all that ends with .localhost", "such as *.example.com"]),
        ("*example.com", ["partial wildcard", "write *.example.com, which covers all names below"]),
        ("**.example.com", ["partial wildcard", "write *.example.com, which covers"]),
        ("*.*.example.com", ["partial wildcard", "write *.example.com, which covers"]),
        ("* .example.com", ["partial wildcard", "write *.example.com, which covers"]),
        (
            "s3-*.amazonaws.com",
            [
                "partial wildcard",
                "; name each host; *.amazonaws.com would stand for all names below amazonaws.com",
            ],
        ),
        ("api.*.example.com", ["partial wildcard", "; name each host; *.example.com would stand"]),
        ("example.*", ["partial wildcard", "; name each host"]),
        ("*.10.0.0.1", ["addresses have none", "write a CIDR such as 203.0.113.0/24"]),
        ("*.Example.com", ["has upper-case letters; write *.example.com"]),
        ("*.example.com.", ["has a dot at the end; write *.example.com"]),
        (" *.example.com", ["has white space around it; write *.example.com"]),
        ("*.example.com:443", ["has a port; write only the host *.example.com, and the port as"]),
        ("https://*.example.com/v1", ["is a URL; write only the host *.example.com"]),
        ("*.example.com/v1", ["has a path", "write only the host *.example.com"]),
        ("*.my_shop.example.com", ["underscore", "; name each host, or write *. and then"]),
        ("*.b\u00fccher.example", ["write the name as A-labels *.xn--bcher-kva.example"]),
        (
            "a.example.com, *.example.com",
            ["holds 2 hosts; write each as an entry of its own: a.example.com, *.example.com"],
        ),
    ],
)
def test_a_bad_wildcard_is_explained(host: str, words: list[str]) -> None:
    diagnostic = find_one({"hosts": [host]})
    assert diagnostic.code == "EG073"
    assert [word for word in words if word not in diagnostic.message] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("203.0.113.20/24", "write 203.0.113.0/24"),
        ("203.0.113.0/255.255.255.0", "write 203.0.113.0/24"),
        ("2001:DB8:0::1", "write 2001:db8::1"),
        ("::ffff:203.0.113.20", "write 203.0.113.20"),
        ("db.example.com", "move it to hosts"),
        ("010.0.0.1", "is not an IP address or a CIDR"),
        ("1.1.1.1:443", "has a port; write only the address 1.1.1.1, and the port as ports: [{num"),
        ("[2001:db8::1]:443", "has a port; write only the address 2001:db8::1, and"),
        (
            "203.0.113.20, 203.0.113.0/24",
            "holds 2 addresses; write each as an entry of its own: 203.0.113.20, 203.0.113.0/24",
        ),
        ("203.0.113.1-203.0.113.20", "is a range; write it as one CIDR or several, such as"),
    ],
)
def test_a_bad_address_is_explained(text: str, words: str) -> None:
    diagnostic = find_one({"addresses": [text]})
    assert (diagnostic.code, diagnostic.path) == ("EG012", "spec.destinations[0].addresses[0]")
    assert words in diagnostic.message


@pytest.mark.parametrize(("text", "widest"), [("10.0.0.0/8", 16), ("2000::/3", 48)])
def test_a_wide_range_is_too_wide_before_it_is_special(text: str, widest: int) -> None:
    diagnostic = find_one({"addresses": [text]})
    assert (diagnostic.code, diagnostic.path) == ("EG014", "spec.destinations[0].addresses[0]")
    assert diagnostic.message == (
        f"'{text}' is a CIDR that is too wide; use /{widest} or narrower; "
        "several narrow ones are allowed"
    )


_ANNOTATION = "traffic.sidecar.istio.io/excludeOutboundIPRanges: "


@pytest.mark.parametrize(
    ("destination", "code", "words"),
    [
        ({"hosts": ["metadata.google.internal"]}, "EG011", f"{_ANNOTATION}169.254.169.254/32"),
        ({"hosts": ["metadata.tencentyun.com"]}, "EG011", f"{_ANNOTATION}169.254.0.23/32"),
        ({"hosts": ["db.localhost"]}, "EG011", "is the machine itself; name a host outside"),
        ({"addresses": ["169.254.169.254"]}, "EG013", f"{_ANNOTATION}169.254.169.254/32"),
        ({"addresses": ["168.63.129.16/32"]}, "EG013", f"{_ANNOTATION}168.63.129.16/32"),
        ({"addresses": ["fd00:ec2::254"]}, "EG013", f"{_ANNOTATION}fd00:ec2::254/128"),
        ({"addresses": ["127.0.0.1"]}, "EG013", "is loopback; use the address of a host outside"),
    ],
)
def test_the_way_to_a_metadata_service_is_told(destination: object, code: str, words: str) -> None:
    diagnostic = find_one(destination)
    assert diagnostic.code == code
    assert words in diagnostic.message


def test_a_name_that_two_standards_read_differently_gets_no_suggestion() -> None:
    diagnostic = find_one({"hosts": ["stra\u00dfe.example"]})
    assert diagnostic.message.endswith("has letters outside ASCII; write the name as A-labels")


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
        ({"hosts": ["a.b"], "headers": {}}, "headers", "did you mean http.headers?"),
        (
            HOST | {"ports": HTTP, "http": {"rewrite": {"percentage": 1, "host": "a.b"}}},
            "http.rewrite.percentage",
            "there is no field percentage; the fields here are host, pathPrefix",
        ),
        (
            HOST | {"ports": HTTP, "traffic": {"timeout": "3s"}},
            "traffic.timeout",
            "outlierDetection; timeout is a field of destinations.http",
        ),
        (
            {"hosts": ["a.b"], "ports": [HTTP[0] | {"location": "External"}]},
            "ports[0].location",
            "it belongs to destinations.location",
        ),
        (
            {"hosts": ["a.b"], "exportTo": ["."]},
            "exportTo",
            "remove it: a policy holds for its own namespace",
        ),
        (
            {"hosts": ["a.b"], "zzz": 1},
            "zzz",
            (
                "the fields here are name, hosts, ports, addresses, location, backends, failover, "
                "originateTLS, http"
            ),
        ),
    ],
)
def test_an_unknown_field_gets_a_hint(destination: object, path: str, words: str) -> None:
    diagnostic = find_one(destination)
    assert (diagnostic.code, diagnostic.path) == ("EG001", f"spec.destinations[0].{path}")
    assert words in diagnostic.message


@pytest.mark.parametrize(
    ("place", "word", "fix"),
    [
        ("", "workloadSelector", "write from.workloads.matchLabels beside destinations"),
        ("", "selector", "write from.workloads.matchLabels beside destinations"),
        ("", "egress", "write destinations"),
        ("", "outboundTrafficPolicy", "for the whole mesh, or a Sidecar for the namespace"),
        ("", "gateways", "write gatewayRef beside destinations"),
        ("destinations", "resolution", "remove it: names are resolved by DNS"),
        ("destinations", "tls", "write originateTLS for TLS that the mesh opens;"),
        ("destinations", "trafficPolicy", "write its settings into traffic"),
        ("destinations", "subsets", "remove it: a host has no subsets here"),
        ("destinations", "portLevelSettings", "remove it: all ports of a host have the same"),
        ("destinations", "match", "write http.allow, with methods, paths and headers"),
        ("destinations", "route", "remove it: a destination leads to its own hosts"),
        ("destinations.originateTLS", "mode", "remove it: originateTLS: {} is simple TLS"),
        ("destinations.originateTLS", "sni", "write originateTLS.serverName"),
        ("destinations.originateTLS", "credentialName", "clientCertificateRef for a client"),
        ("destinations.originateTLS", "caCertificates", "write ca into originateTLS.files; or"),
        ("destinations.originateTLS", "clientCertificate", "write certificate and key into"),
        ("destinations.originateTLS", "privateKey", "write certificate and key into"),
        ("destinations.originateTLS", "insecureSkipVerify", "is always verified"),
        ("destinations.http", "redirect", "remove it: redirects and answers"),
        ("destinations.http", "mirrors", "write http.mirror"),
        ("destinations.http.mirror", "host", "write backend, with the name of one of the backends"),
        ("destinations.http.mirror", "subset", "write backend, with the name of one of the"),
        ("destinations.http.headers.request.set", "valueFrom", "let the application send it"),
        ("from", "labels", "write workloads.matchLabels"),
        ("", "ttl", "write expiresAt beside destinations"),
        ("destinations", "ttl", "write expiresAt beside destinations"),
        ("", "validUntil", "write expiresAt beside destinations"),
        (
            "destinations",
            "circuitBreaker",
            "write traffic.outlierDetection for endpoints that fail",
        ),
        ("destinations.traffic", "localityLbSetting", "write failover: true"),
        ("destinations.backends", "priority", "write failover: true"),
        ("destinations", "subsets", "backends with weights share its requests"),
        ("destinations.http.retries", "retryOn", "write conditions, such as [connect-failure]"),
        ("destinations.ports", "name", "remove it: ports need no names"),
        ("destinations.ports", "port", "write number"),
        ("destinations.ports", "endPort", "there are no ranges of ports"),
        ("destinations.backends.endpoints", "weight", "it belongs to destinations.backends.weight"),
        ("destinations.backends.endpoints", "ports", "write targetPort for the port"),
        ("destinations.backends.endpoints", "host", "write address, with a host name or an IP"),
        ("destinations.backends", "host", "write endpoints, with the address of each server"),
        ("destinations.backends", "hosts", "write endpoints, with the address of each server"),
        ("destinations.backends", "address", "write endpoints, with the address of each server"),
        ("destinations.backends", "port", "write targetPort for the port, in ports"),
        ("destinations.ports", "portRange", "there are no ranges of ports"),
        ("destinations.http", "rateLimit", "remove it: requests in a time are not limited here"),
        ("destinations.backends", "healthCheck", "remove it: Istio makes no health checks"),
        ("destinations", "tunnel", "remove it: the mesh does not speak CONNECT"),
        ("destinations", "hostname", "write the names into hosts of a destination"),
        ("destinations.http.rewrite", "uri", "write pathPrefix, which is put before each path"),
        ("destinations.http.rewrite", "authority", "write host"),
        ("destinations.originateTLS", "minProtocolVersion", "are those of Istio's proxies"),
        ("destinations.http", "apiKey", "remove it: the application sends its own credentials"),
        ("", "deny", "remove it: a policy only allows"),
        ("", "namespaces", "others that need the hosts have policies of their own"),
        ("", "description", "write justification beside destinations"),
        ("", "suspend", 'remove it: the annotation egress-operator.io/paused: "true" pauses'),
        ("", "accessLog", "remove it: an Istio Telemetry object switches the access log on"),
        ("from", "principals", "write from.serviceAccounts beside destinations"),
    ],
)
def test_a_word_of_another_api_is_told_what_to_write(place: str, word: str, fix: str) -> None:
    loc: tuple[str, ...] = (*(place.split(".") if place else ()), word)
    finding = explain_unknown_field(EgressPolicySpec, loc)
    assert finding.what == f"there is no field {word} here"
    assert fix in finding.fix
    assert find_meant(EgressPolicySpec, loc) is None


def test_a_selector_beside_spec_is_told_its_place() -> None:
    document = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "sample"}}
    (found,) = check_policy(document | {"spec": {"destinations": [HOST]}, "selector": {}})[1]
    assert (found.code, found.path) == ("EG001", "selector")
    assert found.message == (
        "there is no field selector here; write spec.from.workloads.matchLabels"
    )


def list_names(model: type[Model]) -> set[str]:
    held = get_fields(model)
    return set(held).union(*(list_names(inner) for inner in held.values() if inner))


def test_a_boolean_is_shown_as_yaml_writes_it() -> None:
    (found,) = check_gateway_spec(GATEWAY | {"wildcards": True})[1]
    assert (found.code, found.path) == ("EG005", "spec.wildcards")
    assert found.message == "true is not allowed here; write one of Disabled, HTTP, HTTPAndTLS"


@pytest.mark.parametrize("model", [EgressPolicySpec, EgressGatewaySpec])
def test_words_of_other_apis_are_no_fields_of_ours(model: type[Model]) -> None:
    assert model.words
    assert not model.words.keys() & list_names(model)


def test_a_field_beside_it_comes_before_the_same_name_elsewhere() -> None:
    spec = {"from": {"serviceAccount": "checkout"}, "destinations": [HOST]}
    (found,) = check_spec(spec)[1]
    assert (found.code, found.path) == ("EG001", "spec.from.serviceAccount")
    assert found.message == "there is no field serviceAccount; did you mean serviceAccounts?"


def test_an_unknown_field_that_is_similar_to_none_was_not_meant_as_one() -> None:
    assert find_meant(EgressPolicySpec, ("zzz",)) is None
    assert find_meant(EgressPolicySpec, ("destination",)) == ("destinations",)


def test_a_field_that_is_indented_by_something_else_than_spaces_is_told() -> None:
    (found,) = check_spec({"\u00a0\u00a0destinations": [HOST]})[1]
    assert (found.code, found.path) == ("EG001", 'spec["\u00a0\u00a0destinations"]')
    assert "holds U+00A0 NO-BREAK SPACE; remove it, and indent with spaces" in found.message


def test_a_gateway_has_no_namespace() -> None:
    _, (found,) = check_spec(
        {"gatewayRef": {"name": "shared", "namespace": "x"}, "destinations": [HOST]}
    )
    assert (found.code, found.path) == ("EG001", "spec.gatewayRef.namespace")
    assert found.message == (
        "there is no field namespace here; remove it: EgressGateways are cluster-scoped, the name "
        "is enough"
    )


def test_a_misspelt_required_field_is_one_finding() -> None:
    found = find(HOST | {"ports": [{"number": 80, "Protocol": "HTTP"}]})
    assert [(one.code, one.path) for one in found] == [
        ("EG001", "spec.destinations[0].ports[0].Protocol")
    ]
    (one,) = check_spec({"destination": [HOST]})[1]
    assert one.message == "there is no field destination; did you mean destinations?"


@pytest.mark.parametrize(
    ("destination", "code", "message"),
    [
        (
            {"hosts": "a.b"},
            "EG003",
            ("expected a list, got the text 'a.b'; write it such as hosts: [\"a.b\"]"),
        ),
        (
            {"hosts": "a.b, c.d"},
            "EG003",
            ('expected a list, got the text \'a.b, c.d\'; write it such as hosts: ["a.b", "c.d"]'),
        ),
        (
            HOST | {"ports": HTTP[0]},
            "EG003",
            (
                "expected a list, got an object; write it such as "
                'ports: [{"number": 80, "protocol": "HTTP"}]'
            ),
        ),
        (
            HOST | {"ports": 80},
            "EG003",
            (
                "expected a list, got the number 80; write it such as "
                'ports: [{"number": 443, "protocol": "TLS"}]'
            ),
        ),
        (
            {"hosts": "https://a.b"},
            "EG003",
            (
                "expected a list, got the text 'https://a.b'; write it such as "
                'hosts: ["api.stripe.com"]'
            ),
        ),
        (
            HOST | {"ports": HTTP, "http": {"headers": {"request": {"set": {"x-api-key": "abc"}}}}},
            "EG003",
            (
                "expected a list, got an object; write it such as "
                'set: [{"name": "x-team", "value": "shop"}]'
            ),
        ),
        (
            HOST | {"originateTLS": True},
            "EG003",
            "expected an object, got the boolean true; write it such as originateTLS: {}",
        ),
        (
            {"hosts": ["a.b"], "ports": [{"number": "80", "protocol": "HTTP"}]},
            "EG003",
            ("expected a whole number, got the text '80'; write it without quotes: number: 80"),
        ),
        (
            HOST | {"ports": HTTP, "http": {"retries": {"attempts": 2, "codes": ["503"]}}},
            "EG003",
            "expected a whole number, got the text '503'; write it without quotes: 503",
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
            "protocol is missing; add it, such as protocol: HTTP",
        ),
        (
            {"hosts": ["a.b"], "ports": []},
            "EG004",
            "is empty; give at least 1 entry",
        ),
        (
            {"hosts": [f"h{number}.example.com" for number in range(17)]},
            "EG004",
            "has 17 entries, too many; give at most 16, and put the rest into another destination",
        ),
        (
            HOST | {"ports": [{"number": number, "protocol": "TLS"} for number in range(1, 18)]},
            "EG004",
            (
                "has 17 entries, too many; give at most 16, and put the rest into another "
                "destination with the same hosts"
            ),
        ),
    ],
)
def test_a_wrong_shape_is_explained(destination: object, code: str, message: str) -> None:
    diagnostic = find_one(destination)
    assert (diagnostic.code, diagnostic.message) == (code, message)


@pytest.mark.parametrize(
    ("protocol", "fix"),
    [
        ("POSTGRES", "write TCP, because POSTGRES begins in plain text; {needs}"),
        ("ssh", "write TCP, because SSH begins in plain text; {needs}"),
        ("SMTP", "write TCP, because SMTP begins in plain text; {needs}"),
        ("LDAP", "write TCP, because LDAP begins in plain text; {needs}"),
        ("MSSQL", "write TCP, because MSSQL begins in plain text; {needs}"),
        ("FTP", "write TCP, for port 21 and for each port of the data connections"),
        ("Kafka", "write TLS if the client opens TLS itself, TCP if KAFKA is in plain text"),
        ("AMQP", "write TLS if the client opens TLS itself, TCP if AMQP is in plain text"),
        ("SMTPS", "write TLS, because the application opens TLS itself"),
        ("LDAPS", "write TLS, because the application opens TLS itself"),
        ("AMQPS", "write TLS, because the application opens TLS itself"),
        ("SSL", "write TLS, because the application opens TLS itself"),
        ("WSS", "write TLS, because the application opens TLS itself"),
        ("WS", "write HTTP for http://..., or TLS for https://..."),
        ("GRPC-WEB", "write HTTP for http://..., or TLS for https://..."),
        (
            "UDP",
            (
                "remove the port: Istio's proxies carry only TCP, so UDP needs no policy; a "
                "NetworkPolicy allows or blocks it"
            ),
        ),
        (
            "HTTP3",
            (
                "remove the port: HTTP3 runs over UDP, and Istio's proxies carry only TCP, so it "
                "needs no policy; a NetworkPolicy allows or blocks it"
            ),
        ),
    ],
)
def test_a_known_protocol_is_told_which_one_to_take(protocol: str, fix: str) -> None:
    diagnostic = find_one(HOST | {"ports": [{"number": 80, "protocol": protocol}]})
    assert diagnostic.code == "EG005"
    fix = fix.format(needs="TCP needs addresses, or proxies that resolve names through Istio")
    assert diagnostic.message == f"'{protocol}' is not allowed here; {fix}"


def test_protocols_of_ours_have_no_other_word() -> None:
    assert not set(Protocol) & PROTOCOL_WORDS.keys()
    assert all(name == name.upper() for name in PROTOCOL_WORDS)


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        ("30000-30100", "ranges of ports are not supported; write each port as an entry of its"),
        ("1024:", "ranges of ports are not supported; write each port as an entry of its own"),
        ("*", "in another destination with the same hosts"),
        ("any", "ranges of ports are not supported"),
        (
            "80,443",
            (
                "write each port as an entry of its own: ports: [{number: 80, protocol: ...}, "
                "{number: 443, protocol: ...}]"
            ),
        ),
        (
            [80, 443, 8443],
            "{number: 80, protocol: ...}, {number: 443, protocol: ...}, {number: 8443",
        ),
        ("https", "write it such as number: 443"),
    ],
)
def test_several_ports_in_one_number_are_told_how_to_be_written(number: object, fix: str) -> None:
    diagnostic = find_one(HOST | {"ports": [{"number": number, "protocol": "TCP"}]})
    assert (diagnostic.code, diagnostic.path) == ("EG003", "spec.destinations[0].ports[0].number")
    assert fix in diagnostic.message


@pytest.mark.parametrize("protocol", ["PROXY", "IPSEC", "X"])
def test_an_unknown_protocol_is_told_what_there_is(protocol: str) -> None:
    diagnostic = find_one(HOST | {"ports": [{"number": 80, "protocol": protocol}]})
    assert diagnostic.code == "EG005"
    for words in ("TCP for all else", "TLS when the application", "UDP needs a Network"):
        assert words in diagnostic.message


@pytest.mark.parametrize(
    ("ports", "words"),
    [
        (
            [{"number": 443, "protocol": "TLS"}],
            [
                "port 443 is TLS, so the application opens TLS itself",
                "leave ports out (port 80, HTTP; the mesh opens TLS to port 443)",
                "call http://...",
            ],
        ),
        (
            [{"number": 3306, "protocol": "MYSQL"}],
            [
                "port 3306 is MYSQL, which begins in plain text and changes to TLS later",
                "remove originateTLS, and switch TLS on in the client of the database",
            ],
        ),
    ],
)
def test_originate_tls_on_an_opaque_port_says_what_to_do(ports: Any, words: list[str]) -> None:  # noqa: ANN401 - JSON
    diagnostic = find_one(HOST | {"ports": ports, "originateTLS": {}})
    assert (diagnostic.code, diagnostic.path) == ("EG217", "spec.destinations[0].originateTLS")
    assert [word for word in words if word not in diagnostic.message] == []


def test_tls_by_the_mesh_and_by_the_application_go_into_two_destinations() -> None:
    both = [*HTTP, {"number": 443, "protocol": "HTTPS"}]
    found = find(HOST | {"ports": both, "originateTLS": {}, "http": {"timeout": "3s"}})
    assert [(one.code, one.message.partition("; ")[2]) for one in found] == [
        (
            "EG208",
            "move port 443 into a destination of its own with the same host, without http",
        ),
        (
            "EG217",
            "move port 443 into a destination of its own with the same host, without originateTLS",
        ),
        (
            "EG226",
            (
                "add targetPort: 443; ports with TLS go into another destination with the same "
                "host, without originateTLS"
            ),
        ),
    ]
    ports = [HTTP[0] | {"targetPort": 443}]
    mended = {"ports": ports, "originateTLS": {}, "http": {"timeout": "3s"}}
    assert find(HOST | mended, HOST | {"ports": both[1:]}) == ()


def test_tls_to_port_80_says_what_was_meant() -> None:
    diagnostic = find_one(HOST | {"ports": HTTP, "originateTLS": {}})
    assert (diagnostic.code, diagnostic.path) == ("EG226", "spec.destinations[0].ports[0]")
    assert diagnostic.message == (
        "with originateTLS, port 80 needs a targetPort: TLS would go to the destination's port 80; "
        "add targetPort: 443, or leave ports out, which means the same"
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("*.example.com", ["is a wildcard", "this is one name", "api.example.com"]),
        ("203.0.113.10", ["is an IP address", "the server's certificate"]),
        ("https://api.example.com", ["is a URL", "only the host api.example.com"]),
        ("API.example.com", ["upper-case", "write api.example.com"]),
    ],
)
@pytest.mark.parametrize("field", ["serverName", "subjectAltNames"])
def test_a_bad_name_in_tls_is_explained(field: str, name: str, words: list[str]) -> None:
    value = name if field == "serverName" else ["good.example.com", name]
    diagnostic = find_one(HOST | {"originateTLS": {field: value}})
    place = field if field == "serverName" else f"{field}[1]"
    assert diagnostic.code == "EG010"
    assert diagnostic.path == f"spec.destinations[0].originateTLS.{place}"
    assert [word for word in words if word not in diagnostic.message] == []


@pytest.mark.parametrize(
    ("spec", "code", "path", "message"),
    [
        (
            {"from": {"serviceAccounts": ["checkout"]}, "destinations": [HOST]},
            "EG216",
            "from.serviceAccounts",
            (
                "from.serviceAccounts needs gatewayRef; add gatewayRef, because only a gateway "
                "sees who calls; or write from.workloads in its place, to choose pods by their "
                "labels"
            ),
        ),
        (
            {"destinations": [HOST | {"originateTLS": {"caCertificateRef": {"name": "ca"}}}]},
            "EG218",
            "destinations[0].originateTLS.caCertificateRef",
            (
                "caCertificateRef needs gatewayRef; add gatewayRef: only a "
                "gateway reads Secrets; or name files of the sidecar in files"
            ),
        ),
        (
            {
                "gatewayRef": {"name": "shared"},
                "destinations": [HOST | {"originateTLS": {"files": {"ca": "/ca.crt"}}}],
            },
            "EG219",
            "destinations[0].originateTLS.files",
            (
                "originateTLS.files has no effect with gatewayRef; name Secrets in "
                "caCertificateRef and clientCertificateRef: the gateway opens TLS, not the "
                "sidecar; or remove gatewayRef"
            ),
        ),
        (
            {
                "gatewayRef": {"name": "shared"},
                "destinations": [
                    HOST
                    | {
                        "originateTLS": {
                            "clientCertificateRef": {"name": "client"},
                            "caCertificateRef": {"name": "ca"},
                        }
                    }
                ],
            },
            "EG222",
            "destinations[0].originateTLS.caCertificateRef.name",
            (
                "Istio does not look for the CA of client in ca; name it client-cacert, or remove "
                "caCertificateRef and put the CA into client as ca.crt"
            ),
        ),
        (
            {"destinations": [HOST | {"originateTLS": {"files": {"key": "/tls.key"}}}]},
            "EG220",
            "destinations[0].originateTLS.files.key",
            "key is given without certificate; add certificate",
        ),
        (
            {
                "gatewayRef": {"name": "shared"},
                "from": {"workloads": {"matchLabels": {"app": "checkout"}}},
                "destinations": [HOST, {"addresses": ["203.0.113.0/24"]}],
            },
            "EG223",
            "destinations[1]",
            (
                "the destination names no host, so gatewayRef and from.workloads cannot hold for "
                "it; name its host, or move it into a policy without gatewayRef and from"
            ),
        ),
        (
            {"from": {}, "destinations": [HOST]},
            "EG030",
            "from",
            (
                "the object is empty; give workloads or serviceAccounts; or remove it, with all "
                "around it that is empty then"
            ),
        ),
        (
            {"from": {"workloads": {"matchLabels": {"app": 1}}}, "destinations": [HOST]},
            "EG003",
            "from.workloads.matchLabels.app",
            'expected text, got the number 1; write it in quotes: "1"',
        ),
    ],
)
def test_a_wrong_route_is_explained(spec: object, code: str, path: str, message: str) -> None:
    (diagnostic,) = check_spec(spec)[1]
    assert (diagnostic.code, diagnostic.path) == (code, f"spec.{path}")
    assert diagnostic.message == message


def test_the_key_of_a_label_with_dots_is_quoted_in_the_path() -> None:
    labels = {"app": "a b", "app.kubernetes.io/name": "c d"}
    found = check_gateway_spec(GATEWAY | {"selector": labels})[1]
    assert [item.path for item in found] == [
        "spec.selector.app",
        'spec.selector["app.kubernetes.io/name"]',
    ]


@pytest.mark.parametrize(
    ("change", "code", "path", "message"),
    [
        (
            {"authorization": None},
            "EG002",
            "authorization",
            'authorization is missing; add it, such as authorization: "Managed"',
        ),
        (
            {"authorization": "dry-run"},
            "EG005",
            "authorization",
            "'dry-run' is not allowed here; did you mean DryRun? Allowed are Managed, DryRun, None",
        ),
        (
            {"selector": {"matchLabels": {"istio": "egressgateway"}}},
            "EG003",
            "selector.matchLabels",
            (
                "expected text, got an object; write the labels directly into selector, such as "
                'selector: {"istio": "egressgateway"}'
            ),
        ),
        (
            {"service": {"name": "gw", "namespace": "istio-egress", "port": 443}},
            "EG001",
            "service.namespace",
            (
                "there is no field namespace here; remove it: the Service is in the namespace of "
                "the gateway's pods"
            ),
        ),
        (
            {"workloadSelector": {"labels": {}}},
            "EG001",
            "workloadSelector",
            (
                "there is no field workloadSelector here; write selector, with the labels of the "
                "gateway's pods"
            ),
        ),
        (
            {"traffic": {"connectionPool": {"maxConnections": 1, "tcp": {}}}},
            "EG001",
            "traffic.connectionPool.tcp",
            "there is no field tcp here; write its fields into connectionPool itself",
        ),
        (
            {"idleTimeout": "60s"},
            "EG001",
            "idleTimeout",
            "there is no field idleTimeout here; did you mean traffic.connectionPool.idleTimeout?",
        ),
        (
            {"namespaces": {"matchExpressions": [{"key": "team", "operator": "In"}]}},
            "EG028",
            "namespaces.matchExpressions[0].operator",
            (
                "operator In needs values; give values for In and NotIn; give none for Exists and "
                "DoesNotExist"
            ),
        ),
        (
            {"traffic": {"connectionPool": {"tcpKeepalive": {"time": "500ms"}}}},
            "EG029",
            "traffic.connectionPool.tcpKeepalive.time",
            (
                "'500ms' is not a number of whole seconds, 32767s at most; write whole seconds, "
                "such as 60s or 5m"
            ),
        ),
    ],
)
def test_a_wrong_gateway_is_explained(
    change: dict[str, Any], code: str, path: str, message: str
) -> None:
    (diagnostic,) = check_gateway_spec(GATEWAY | change)[1]
    assert (diagnostic.code, diagnostic.path) == (code, f"spec.{path}")
    assert diagnostic.message == message


def test_a_wrong_kind_names_the_right_one() -> None:
    document = {"apiVersion": API_VERSION, "kind": "Gateway", "metadata": {"name": "shared"}}
    assert [item.message for item in check_gateway(document | {"spec": GATEWAY})[1]] == [
        "kind is 'Gateway'; write EgressGateway"
    ]
    spec = {"destinations": [HOST]}
    assert [item.message for item in check_policy(document | {"spec": spec})[1]] == [
        "kind is 'Gateway'; write EgressPolicy"
    ]


def test_faults_of_a_gateway_are_told_at_once() -> None:
    traffic = {
        "connectionPool": {"idleTimeout": "1.5s", "tcpKeepalive": {}},
        "outlierDetection": {"interval": "10s", "x": 1},
    }
    found = check_gateway_spec(GATEWAY | {"namespace": "Istio", "traffic": traffic})[1]
    assert {(item.code, item.path.removeprefix("spec.")) for item in found} == {
        ("EG018", "namespace"),
        ("EG017", "traffic.connectionPool.idleTimeout"),
        ("EG030", "traffic.connectionPool.tcpKeepalive"),
        ("EG001", "traffic.outlierDetection.x"),
    }


def test_all_findings_are_told_at_once() -> None:
    found = find(
        {"hosts": ["API.example.com"], "http": {"retries": {"attempts": 0, "codes": [503]}}},
        {"hosts": ["b.example.com", "c.example.com"], "addresses": ["10.0.0.1/8", "127.0.0.1"]},
        {"hosts": ["d.example.com"], "ports": [{"number": 443, "protocol": "GRPC"}]},
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


@pytest.mark.parametrize("check", [check_policy, check_gateway])
@pytest.mark.parametrize(
    "document",
    [None, [], "text", 1, {1: 2}, {"spec": {True: 1}}, {"spec": {"selector": {1: 2, "a": "x"}}}],
)
def test_anything_at_all_gets_an_answer(
    check: Callable[[Any], tuple[object, tuple[Diagnostic, ...]]],
    document: Any,  # noqa: ANN401 - that is the point
) -> None:
    found, diagnostics = check(document)
    assert found is None
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


def test_without_ports_tls_goes_to_port_443() -> None:
    destination = HOST | {"originateTLS": {"serverName": "edge.example.com"}}
    spec, _ = check_spec({"destinations": [HOST, destination]})
    assert spec is not None
    assert spec.from_ is None
    plain, originated = spec.destinations
    (port,) = plain.resolve_ports()
    assert (port.number, port.protocol, port.target_port) == (443, "TLS", None)
    (port,) = originated.resolve_ports()
    assert (port.number, port.protocol, port.target_port) == (80, "HTTP", 443)
    assert originated.originate_tls is not None
    assert originated.originate_tls.server_name == "edge.example.com"


@pytest.mark.parametrize("ports", [DEFAULT_PORTS, DEFAULT_ORIGINATE_PORTS])
def test_the_default_ports_obey_the_rules_of_written_ones(ports: tuple[Port, ...]) -> None:
    for port in ports:
        assert Port.model_validate(port.model_dump(by_alias=True, exclude_none=True)) == port
        assert port.target_port not in PROXY_PORTS


def test_the_first_unknown_fields_are_told_what_was_meant() -> None:
    fields = {f"gatewayRef{number}": 1 for number in range(MOST_HINTS + 2)}
    _, found = check_spec({"destinations": [HOST], **fields})
    messages = {item.path: item.message for item in found}
    assert {item.code for item in found} == {"EG001"}
    assert [*messages] == sorted(f"spec.{name}" for name in fields)
    hinted = [path for path, message in messages.items() if "did you mean gatewayRef?" in message]
    assert set(hinted) == {f"spec.{name}" for name in list(fields)[:MOST_HINTS]}
    last = f"gatewayRef{MOST_HINTS + 1}"
    assert messages[f"spec.{last}"] == f"there is no field {last}; remove it"


@pytest.mark.parametrize("field", ["names", "matchNames"])
def test_namespaces_are_named_by_their_label(field: str) -> None:
    _, (found,) = check_gateway_spec({**GATEWAY, "namespaces": {field: ["shop"]}})
    assert (found.code, found.path) == ("EG001", f"spec.namespaces.{field}")
    assert "matchLabels: {kubernetes.io/metadata.name: NAME}" in found.message


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("shop.bank-client", "write bank-client: the policy's namespace is put before it"),
        ("a.b.c", "use lower-case letters"),
        ("shop.", "use lower-case letters"),
        ("Bank", "use lower-case letters"),
    ],
)
def test_secrets_are_named_without_the_namespace(name: str, words: str) -> None:
    destination = {**HOST, "originateTLS": {"clientCertificateRef": {"name": name}}}
    _, (found,) = check_spec({"gatewayRef": {"name": "shared"}, "destinations": [destination]})
    assert found.code == "EG018"
    assert words in found.message


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("uri", "EG041", "Istio takes uri for a part of the request and not for a header, and"),
        ("uri", "EG041", "; write paths of the same entry of allow"),
        ("method", "EG041", "; write methods of the same entry of allow"),
        ("authority", "EG041", "; leave it out: hosts of the destination are what is called"),
        ("scheme", "EG041", "; leave it out: the protocol of the port says it"),
        (":path", "EG035", "is a part of the request, and no header; leave it out: paths of http."),
        (":authority", "EG035", "; leave it out: hosts of the destination are what is called"),
        ("X-Team", "EG035", "is not spelled in lower case; write x-team"),
        ("Host", "EG035", "belongs to the connection or to the proxies; leave it out; http.rewr"),
        ("host", "EG037", "the header host belongs to the connection or to the proxies; leave it"),
    ],
)
def test_the_name_of_a_header_says_what_to_write(name: str, code: str, words: str) -> None:
    allow = [{"headers": [{"name": name, "value": "x"}]}]
    diagnostic = find_one(HOST | {"originateTLS": {}, "http": {"allow": allow}})
    assert diagnostic.code == code
    assert words in diagnostic.message


def test_parts_of_a_request_are_names_of_headers_elsewhere() -> None:
    headers = {"request": {"set": [{"name": "uri", "value": "x"}]}}
    assert find(HOST | {"originateTLS": {}, "http": {"headers": headers}}) == ()


def test_words_of_the_api_stand_in_messages_as_they_are_written() -> None:
    retries = {"attempts": 2, "conditions": ["reset", "reset"]}
    diagnostic = find_one(HOST | {"originateTLS": {}, "http": {"retries": retries}})
    assert diagnostic.message == "'reset' stands in this list twice; remove one of them"


def test_an_address_with_a_zone_gets_one_without() -> None:
    spec = {"addresses": ["2001:db8::1%eth0"], "ports": [{"number": 443, "protocol": "TCP"}]}
    assert find_one(spec).message.endswith("; write 2001:db8::1")


@pytest.mark.parametrize(
    ("timeout", "fix"),
    [
        ("1.5s", "write 1500ms"),
        ("0.5 min", "write 30s"),
        ("1d", "write 24h"),
        ("2 hours", "write 2h"),
        ("3S", "write 3s"),
        ("250 milliseconds", "write 250ms"),
        ("0.0001s", "write whole numbers"),
        ("100000s", "write 27h46m40s"),
        ("99999999 ms", "write 27h46m39s999ms"),
        ("100000h", "write whole numbers with h, m, s or ms, at most five digits in each number"),
        ("3", "write whole numbers"),
        ("3 weeks", "write whole numbers"),
        (10, 'write it with its unit, such as timeout: "10s"'),
        (100000, 'write it with its unit, such as timeout: "27h46m40s"'),
        (0, 'write it such as timeout: "3s"'),
    ],
)
def test_a_duration_is_suggested(timeout: object, fix: str) -> None:
    diagnostic = find_one(HOST | {"originateTLS": {}, "http": {"timeout": timeout}})
    assert diagnostic.code == ("EG017" if isinstance(timeout, str) else "EG003")
    assert diagnostic.message.partition("; ")[2].startswith(fix)


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("Istio-EgressGateway", "write istio-egressgateway"),
        ("istio_egressgateway", "write istio-egressgateway"),
        ("istio-egress/istio-egressgateway", "write istio-egressgateway"),
        ("istio-egressgateway.istio-egress.svc.cluster.local", "write istio-egressgateway"),
        ("istio-egressgateway.istio-egress", "use lower-case letters"),
        ("-", "use lower-case letters"),
    ],
)
def test_a_name_is_suggested(name: str, fix: str) -> None:
    service = {"name": name, "port": 443}
    (diagnostic,) = check_gateway_spec(GATEWAY | {"service": service})[1]
    assert (diagnostic.code, diagnostic.path) == ("EG018", "spec.service.name")
    assert diagnostic.message.partition("; ")[2].startswith(fix)


@pytest.mark.parametrize(("cidr", "widest"), [("0.0.0.0/0", 16), ("::/0", 48)])
def test_every_address_is_no_range(cidr: str, widest: int) -> None:
    spec = {"addresses": [cidr], "ports": [{"number": 443, "protocol": "TCP"}]}
    (diagnostic,) = [found for found in find(spec) if found.code == "EG014"]
    assert diagnostic.message == (
        f"'{cidr}' is every address, and a policy names those that are called; write the ranges "
        f"that you know, each /{widest} or narrower"
    )


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (80, "add it, such as protocol: HTTP"),
        (443, "add it, such as protocol: TLS"),
        (5432, "add it: TLS when the application opens TLS itself"),
        ([], "add it: TLS when the application opens TLS itself"),
    ],
)
def test_the_usual_protocol_of_a_port_is_suggested(number: object, fix: str) -> None:
    found = {one.code: one.message for one in find(HOST | {"ports": [{"number": number}]})}
    assert found["EG002"].startswith(f"protocol is missing; {fix}")


def test_http_to_an_address_says_which_name_to_give_it() -> None:
    diagnostic = find_one({"addresses": ["203.0.113.20"], "ports": HTTP})
    assert diagnostic.code == "EG205"
    assert "a single address a name in hosts: one of a domain of yours" in diagnostic.message
    assert find(HOST | {"addresses": ["203.0.113.20"], "ports": HTTP}) == ()
