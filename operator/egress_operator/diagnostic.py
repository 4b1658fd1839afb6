"""The one table of everything that can be wrong with a policy, and the value that reports it.

Codes are stable: a retired one stays reserved. `EG0xx` is the policy's own text, `EG1xx` conflicts
between policies and objects, `EG2xx` combinations that are not supported, `EG3xx` the cluster
around it. Pure data: every layer may read it, it imports none of them.
"""

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """Who can judge a rule."""

    SHAPE = "Shape"
    """The CRD (schema and CEL) and Python, with the same verdict."""
    EDIT = "Edit"
    """The CRD alone, when an object is edited: it takes the object as it was before."""
    SETTINGS = "Settings"
    """Python alone: it needs the operator's settings. `Accepted=False`."""
    CLUSTER = "Cluster"
    """The controller: it needs other objects of the cluster."""


class Level(StrEnum):
    """What a diagnostic does to the policy."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table. `title` says what is wrong in general, `fix` how to fix it.

    A title may begin with "this": a message puts the value there. CEL holds no value, and says both
    as they stand, so they are short and read well together.
    """

    code: str
    scope: Scope
    level: Level
    reason: str
    """The CamelCase reason that conditions and events carry."""
    title: str
    fix: str


@dataclass(frozen=True, slots=True, order=True)
class Diagnostic:
    """One finding: `path` is the field, such as `spec.destinations[0].hosts[1]`, or empty."""

    code: str
    path: str
    message: str
    """What is wrong with this value and how to fix it, in one line."""


def _shape(code: str, reason: str, title: str, fix: str) -> Rule:
    return Rule(code, Scope.SHAPE, Level.ERROR, reason, title, fix)


_INPUT: tuple[Rule, ...] = (
    _shape(
        "EG001",
        "UnknownField",
        "this field does not exist",
        "take the name from `kubectl explain --recursive egresspolicies` (or egressgateways), or "
        "remove the field",
    ),
    _shape("EG002", "MissingField", "a required field is missing", "add it"),
    _shape(
        "EG003",
        "WrongType",
        "the value has the wrong type",
        "write it as the example of the field shows",
    ),
    _shape(
        "EG004",
        "OutOfBounds",
        "a number, a length or a count is out of bounds",
        "keep to the bounds of the field",
    ),
    _shape(
        "EG005",
        "UnknownValue",
        "the value is not one of the allowed ones",
        "write one of the allowed values, in the same letters",
    ),
    _shape("EG006", "Duplicate", "the list holds the same entry twice", "remove one of them"),
    _shape(
        "EG007",
        "WrongKind",
        "the apiVersion or the kind is another one",
        "write apiVersion egress-operator.io/v1alpha1 and kind EgressPolicy or EgressGateway",
    ),
    _shape(
        "EG008",
        "InvalidName",
        "this is not a name that Kubernetes allows for the object",
        "use lower-case letters, digits, '-' and '.', at most 253, a letter or digit at both ends",
    ),
    _shape(
        "EG010",
        "InvalidHost",
        "this is not the name of an outside host",
        "write lower-case DNS labels joined by dots, two at least, the last one starting with a "
        "letter, such as api.example.com; no scheme, port, path or dot at the end; an IP address "
        "goes into addresses; an international name is written as A-labels (xn--...)",
    ),
    _shape(
        "EG011",
        "ReservedHost",
        "this leads to the machine itself or to the cloud's metadata service",
        "name a host outside; these are always refused",
    ),
    _shape(
        "EG012",
        "InvalidAddress",
        "this is not an IP address or a CIDR in its usual spelling",
        "write 203.0.113.20, 2001:db8::1, 203.0.113.0/24 or 2001:db8::/48, in lower case, "
        "shortened, without leading zeros and without host bits; a name goes into hosts",
    ),
    _shape(
        "EG013",
        "DangerousAddress",
        "this address is loopback, link-local, unspecified, multicast, reserved, a metadata "
        "service, or an IPv6 address that hides an IPv4 one",
        "use the address of a host outside; these are always refused",
    ),
    _shape(
        "EG014",
        "WideCidr",
        "this is a CIDR that is too wide",
        "use /16 or narrower, for IPv6 /48 or narrower; several narrow ones are allowed",
    ),
    _shape(
        "EG015",
        "InvalidEndpoint",
        "this is neither a host name nor an IP address in its usual spelling",
        "write a name such as db.example.com or an address such as 203.0.113.10; no port, no CIDR",
    ),
    _shape(
        "EG016",
        "ReservedPort",
        "this is one of the ports 15000 to 15099, which belong to the proxy itself",
        "use another port; these are always refused",
    ),
    _shape(
        "EG017",
        "InvalidDuration",
        "this is not a duration",
        "write whole numbers with h, m, s or ms, such as 3s, 500ms or 1m30s; 1ms at least; "
        "leave the field out for no limit",
    ),
    _shape(
        "EG018",
        "InvalidLabel",
        "this is not a DNS label",
        "use lower-case letters, digits and '-', at most 63, a letter or digit at both ends",
    ),
    _shape(
        "EG019",
        "InvalidServiceAccount",
        "this is not the name of a ServiceAccount",
        "write the plain name, without a namespace: lower-case letters, digits, '-' and '.'",
    ),
    _shape(
        "EG020",
        "InvalidLocality",
        "this is not a locality",
        "write region, region/zone or region/zone/subzone, such as eu-west/a",
    ),
    _shape(
        "EG021",
        "TooManyHosts",
        "the policy names more than 64 hosts",
        "split it into several policies",
    ),
    _shape(
        "EG022",
        "Duplicate",
        "two destinations have the same name",
        "give each destination a name of its own, or none",
    ),
    _shape(
        "EG023",
        "Duplicate",
        "two destinations hold the same host and port",
        "keep it in one of them",
    ),
    _shape(
        "EG024",
        "Duplicate",
        "two destinations hold the same address and port",
        "keep it in one of them; only one can listen on an address and port",
    ),
    _shape(
        "EG025",
        "InvalidGatewayName",
        "this is not the name of an EgressGateway",
        "write the plain name, without a namespace: lower-case letters, digits, '-' and '.'",
    ),
    _shape(
        "EG026",
        "InvalidLabelKey",
        "this is not the key of a label",
        "write a name such as app, at most 63 letters, digits, '-', '_' and '.', a letter or digit "
        "at both ends; before it a domain and '/' if needed, such as app.kubernetes.io/name",
    ),
    _shape(
        "EG027",
        "InvalidLabelValue",
        "this is not the value of a label",
        "use letters, digits, '-', '_' and '.', at most 63, a letter or digit at both ends",
    ),
    _shape(
        "EG028",
        "InvalidSelector",
        "the operator and the values of the condition do not fit together",
        "give values for In and NotIn; give none for Exists and DoesNotExist",
    ),
    _shape(
        "EG029",
        "InvalidKeepalive",
        "this is not a number of whole seconds, 32767s at most",
        "write whole seconds, such as 60s or 5m",
    ),
    _shape(
        "EG030",
        "EmptyObject",
        "the object is empty",
        "give one of its fields at least, or remove the object",
    ),
    _shape(
        "EG031",
        "InvalidPath",
        "this is not the absolute path of a file",
        "write a path such as /etc/certs/ca.crt: letters, digits, '-', '_' and '.', no '..'",
    ),
    _shape(
        "EG032",
        "TooManyPorts",
        "the policy names more than 128 pairs of host and port",
        "split it into several policies",
    ),
)

_COMBINATION: tuple[Rule, ...] = (
    _shape(
        "EG201",
        "WildcardUnsupported",
        "this is a wildcard, which is not supported yet",
        "name each host",
    ),
    _shape(
        "EG202",
        "NothingToReach",
        "the destination names no host and no address",
        "write hosts, or addresses for a range without a name",
    ),
    _shape(
        "EG203",
        "AddressesForManyHosts",
        "addresses belong to exactly one host, or to none",
        "write one destination for each host with its own addresses",
    ),
    _shape(
        "EG204",
        "CidrWithHost",
        "a CIDR cannot be the address of a host",
        "write single IPs (203.0.113.20, not 203.0.113.20/32), or leave hosts out to allow the "
        "range as it is dialled",
    ),
    _shape(
        "EG205",
        "ProtocolWithoutHost",
        "addresses without a host can be TCP or TLS only",
        "write protocol TCP or TLS, or name the host",
    ),
    _shape(
        "EG206",
        "BackendsWithoutHost",
        "backends need a host",
        "name the host, or remove backends: without a host the dialled address is the destination",
    ),
    _shape(
        "EG207",
        "TargetPortWithoutHost",
        "targetPort needs a host",
        "name the host, or remove targetPort: without a host the dialled port is the destination's",
    ),
    _shape(
        "EG208",
        "HttpOnOpaquePort",
        "http needs ports whose protocol is HTTP, HTTP2 or GRPC",
        "on other ports, and on TLS ports (the default is port 443, TLS), Istio cannot read the "
        "traffic; to keep TLS to the server, leave ports out, add originateTLS: {} and call "
        "http://...; for a plain-HTTP server use port 80 with protocol HTTP; or remove http",
    ),
    _shape(
        "EG209",
        "HttpOn443",
        "plain HTTP, HTTP2 or GRPC on port 443 takes the port from all TLS hosts of the namespace",
        "write protocol TLS, which is right when the application calls https://...; to call "
        "http://... and keep TLS to the server, leave ports out and add originateTLS: {}; for a "
        "plain-HTTP server use port 80",
    ),
    _shape(
        "EG210",
        "TlsOn80",
        "TLS on port 80 takes the port from all HTTP hosts of the namespace",
        "write protocol HTTP for http://..., or port 443 for https://...",
    ),
    _shape(
        "EG211",
        "InternalWithoutBackends",
        "location Internal needs backends with endpoints",
        "add backends with the addresses of the machines, or remove location",
    ),
    _shape(
        "EG212",
        "ServiceAccountOutside",
        "serviceAccount is only known for machines inside the mesh",
        "add location: Internal, or remove serviceAccount",
    ),
    _shape(
        "EG213",
        "RetriesOff",
        "attempts 0 turns retries off, so it stands alone",
        "remove perTryTimeout, conditions and codes, or raise attempts",
    ),
    _shape(
        "EG214",
        "TimeoutOrder",
        "perTryTimeout is longer than timeout",
        "make perTryTimeout the shorter one: timeout counts all tries together",
    ),
    _shape(
        "EG215",
        "HostSettingsDiffer",
        "destinations that share a host have unequal addresses, backends or location",
        "write the same in each of them: Istio keeps these per host, not per port",
    ),
    _shape(
        "EG216",
        "ServiceAccountsWithoutGateway",
        "from.serviceAccounts needs gatewayRef",
        "add gatewayRef: only a gateway sees who calls; or select pods by from.workloads",
    ),
    _shape(
        "EG217",
        "OriginateTLSOnOpaquePort",
        "originateTLS needs ports whose protocol is HTTP, HTTP2 or GRPC",
        "on a TLS port the application opens TLS itself; use port 80 with protocol HTTP and "
        "targetPort 443 (which is meant when ports is left out) and call http://..., or remove "
        "originateTLS",
    ),
    _shape(
        "EG218",
        "CertificateRefWithoutGateway",
        "caCertificateRef and clientCertificateRef need gatewayRef",
        "add gatewayRef: only a gateway reads Secrets; or name files of the sidecar in files",
    ),
    _shape(
        "EG219",
        "FilesWithGateway",
        "originateTLS.files has no effect with gatewayRef",
        "name Secrets in caCertificateRef and clientCertificateRef: the gateway opens TLS, not the "
        "sidecar; or remove gatewayRef",
    ),
    _shape(
        "EG220",
        "HalfCertificate",
        "certificate and key belong together",
        "give both for mutual TLS, or neither",
    ),
    _shape(
        "EG221",
        "CertificateNamedAsCA",
        "a clientCertificateRef must not end in -cacert",
        "give the Secret another name: Istio reads only a CA from one that is named so",
    ),
    _shape(
        "EG222",
        "UnrelatedCA",
        "next to clientCertificateRef, caCertificateRef must be its name with -cacert at the end",
        "give the Secret that name, or remove caCertificateRef and put the CA into the client's "
        "Secret as ca.crt: Istio looks nowhere else",
    ),
    _shape(
        "EG223",
        "DialledAddressesNotDirect",
        "a destination without hosts is for every workload, directly",
        "name its host, or move it into a policy without gatewayRef and from",
    ),
    _shape(
        "EG224",
        "InternalThroughGateway",
        "a destination with location Internal cannot go through a gateway",
        "move it into a policy without gatewayRef, or remove location",
    ),
    _shape(
        "EG225",
        "OriginateTLSWithoutHost",
        "originateTLS needs a host",
        "name the host, or remove originateTLS",
    ),
    _shape(
        "EG226",
        "OriginateTLSOnPort80",
        "with originateTLS, port 80 needs a targetPort: TLS would go to the destination's port 80",
        "add targetPort: 443, or leave ports out, which means the same",
    ),
)

_SETTINGS: tuple[Rule, ...] = (
    Rule(
        "EG050",
        Scope.SETTINGS,
        Level.ERROR,
        "InsideCluster",
        "this is a name inside the cluster",
        "remove it: no policy is needed to reach what is inside the cluster",
    ),
    Rule(
        "EG051",
        Scope.SETTINGS,
        Level.ERROR,
        "ReservedHost",
        "this is under a domain that the operator uses itself",
        "name the outside host",
    ),
    Rule(
        "EG053",
        Scope.SETTINGS,
        Level.ERROR,
        "AddressNotAllowed",
        "this is not a public address, and not in the setting allowed-cidrs",
        "ask the platform team to add its range to allowed-cidrs, or use a public address",
    ),
    Rule(
        "EG054",
        Scope.SETTINGS,
        Level.ERROR,
        "InsideCluster",
        "this is in a range of the cluster's own pods or services",
        "remove it: no policy is needed to reach what is inside the cluster",
    ),
    Rule(
        "EG055",
        Scope.SETTINGS,
        Level.ERROR,
        "AddressesNeeded",
        "a TCP port without addresses would catch every destination on that port",
        "write addresses with the IPs that clients dial; or, if the client speaks TLS from the "
        "first byte (MongoDB Atlas, Kafka, Redis over TLS; not PostgreSQL, MySQL or SMTP on 587), "
        "write protocol: TLS; or ask the platform team for proxies that resolve names through "
        "Istio (setting dns-capture)",
    ),
    Rule(
        "EG056",
        Scope.SETTINGS,
        Level.ERROR,
        "LimitExceeded",
        "with this policy the namespace would have more hosts than the setting "
        "max-hosts-per-namespace allows; the youngest policies are refused first",
        "remove hosts, or ask the platform team to raise the setting max-hosts-per-namespace",
    ),
)

_CONFLICT: tuple[Rule, ...] = (
    Rule(
        "EG101",
        Scope.CLUSTER,
        Level.ERROR,
        "Conflicted",
        "an older policy of the namespace claims the host with other addresses, backends or "
        "location",
        "make them equal, or remove the host in one of the two places",
    ),
    Rule(
        "EG102",
        Scope.CLUSTER,
        Level.ERROR,
        "Conflicted",
        "an older policy of the namespace claims the port of the host with other settings",
        "make them equal, or remove the port in one of the two places",
    ),
    Rule(
        "EG103",
        Scope.CLUSTER,
        Level.ERROR,
        "Conflicted",
        "an older policy of the namespace claims the address and port for another host",
        "give each host addresses of its own, or remove one",
    ),
    Rule(
        "EG104",
        Scope.CLUSTER,
        Level.ERROR,
        "Squatted",
        "an object that is not the operator's has the name of one that it would write",
        "rename or delete that object: it is never touched",
    ),
    Rule(
        "EG105",
        Scope.CLUSTER,
        Level.WARNING,
        "Shadowed",
        "a hand-written Istio object names the same host",
        "remove it, or the host from the policy",
    ),
    Rule(
        "EG106",
        Scope.CLUSTER,
        Level.WARNING,
        "RestrictionLifted",
        "one policy restricts a host to some workloads, and another one opens it to all",
        "give the open policy a from, or remove the host from it",
    ),
)

_GATEWAY: tuple[Rule, ...] = (
    Rule(
        "EG070",
        Scope.EDIT,
        Level.ERROR,
        "Invalid",
        "authorization changes together with namespace, selector or service",
        "edit authorization alone, and the place of the gateway once it is Ready again, so that no "
        "request is denied in between",
    ),
    Rule(
        "EG060",
        Scope.SETTINGS,
        Level.ERROR,
        "RootNamespace",
        "the gateway runs in the mesh's root namespace",
        "run it in a namespace of its own: an AuthorizationPolicy in the root namespace selects "
        "pods of every namespace",
    ),
    Rule(
        "EG110",
        Scope.CLUSTER,
        Level.ERROR,
        "Conflicted",
        "an older EgressGateway selects the same pods",
        "remove one of the two, or give one label of their selectors two values",
    ),
    Rule(
        "EG111",
        Scope.CLUSTER,
        Level.ERROR,
        "GatewayNotFound",
        "there is no EgressGateway of this name",
        "take the name of one that is there (kubectl get egressgateways)",
    ),
    Rule(
        "EG112",
        Scope.CLUSTER,
        Level.ERROR,
        "GatewayNotAccepted",
        "the EgressGateway itself is not accepted",
        "ask the platform team to fix it: its status says what is wrong",
    ),
    Rule(
        "EG113",
        Scope.CLUSTER,
        Level.ERROR,
        "NotEnforced",
        "the EgressGateway does not check service accounts: every workload of the namespace can "
        "call what was set up before",
        "ask the platform team for authorization: Managed, or remove serviceAccounts",
    ),
    Rule(
        "EG114",
        Scope.CLUSTER,
        Level.ERROR,
        "NamespaceNotAllowed",
        "the EgressGateway is not open to this namespace",
        "ask the platform team to select the namespace in the EgressGateway's spec.namespaces",
    ),
    Rule(
        "EG115",
        Scope.CLUSTER,
        Level.WARNING,
        "GatewayNotReady",
        "the EgressGateway cannot carry traffic now",
        "ask the platform team: its status says why; nothing goes out directly until then",
    ),
    Rule(
        "EG116",
        Scope.CLUSTER,
        Level.ERROR,
        "LimitExceeded",
        "with this policy the namespace would have more hosts or servers at the EgressGateway than "
        "its spec.limits allow; the youngest policies are refused first",
        "remove hosts or ports, or ask the platform team to raise spec.limits of the EgressGateway",
    ),
)

_CLUSTER: tuple[Rule, ...] = (
    Rule(
        "EG301",
        Scope.CLUSTER,
        Level.ERROR,
        "ApplyFailed",
        "the API server or Istio's webhook refuses an object, or cannot be reached",
        "read the message; the operator tries again",
    ),
    Rule(
        "EG302",
        Scope.CLUSTER,
        Level.ERROR,
        "IstioMissing",
        "the API server does not serve a kind of Istio",
        "install Istio's CRDs (networking.istio.io/v1); the operator goes on by itself",
    ),
)

_ROWS: tuple[Rule, ...] = (*_INPUT, *_SETTINGS, *_CONFLICT, *_GATEWAY, *_COMBINATION, *_CLUSTER)

RETIRED = frozenset({"EG052"})
"""Codes of rules that are gone. No other rule gets them: people's alerts and scripts hold codes."""

RULES: dict[str, Rule] = {rule.code: rule for rule in _ROWS}
"""Every rule by its code."""


def build_message(code: str, what: str = "", fix: str = "", subject: str = "this") -> str:
    """Say what is wrong and how to fix it, in one line: in the words of the rule, or better ones.

    `what` and `fix` know more than the rule; `subject` is what its title calls "this". Pure.
    """
    rule = RULES[code]
    return f"{what or rule.title.replace('this', subject, 1)}; {fix or rule.fix}"


def build_diagnostic(
    code: str, path: str, what: str = "", fix: str = "", subject: str = "this"
) -> Diagnostic:
    """Build the finding whose message is that of `build_message`. Pure."""
    return Diagnostic(code, path, build_message(code, what, fix, subject))
