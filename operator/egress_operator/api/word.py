"""Words of Istio and of other APIs: what to write here in their place.

Data alone, for messages about unknown fields and values. A field that the kind has somewhere else
does not stand here: its own place is told.
"""

from collections.abc import Mapping

Words = Mapping[str, str]

END = "write expiresAt beside destinations, with the moment when the policy ends"
NOT_SUPPORTED = "remove it: redirects and answers of the proxy are not supported"
_IN_TRAFFIC = "write its settings into traffic"
_NO_SUBSETS = (
    "remove it: a host has no subsets here; backends with weights share its requests, and settings "
    "of its connections go into traffic"
)
_FAILOVER = "write failover: true, with the backends in their order"
_LIMITS = (
    "write traffic.outlierDetection for endpoints that fail, and traffic.connectionPool for limits "
    "of connections and requests"
)
_CLIENT_FILES = (
    "write certificate and key into originateTLS.files; or name a Secret in "
    "originateTLS.clientCertificateRef, which needs gatewayRef"
)
_CA_FILES = (
    "write ca into originateTLS.files; or name a Secret in originateTLS.caCertificateRef, which "
    "needs gatewayRef"
)
_CALLERS = "write from.workloads.matchLabels beside destinations"
_HOSTS = "write the names into hosts of a destination"
_OWN_NAMESPACE = "remove it: a policy holds for its own namespace"
_EACH_NAMESPACE = f"{_OWN_NAMESPACE}; others that need the hosts have policies of their own"
_NO_DENIAL = (
    "remove it: a policy only allows, and what no policy names is blocked by the mesh's mode "
    "REGISTRY_ONLY"
)
_NO_RATE = (
    "remove it: requests in a time are not limited here; traffic.connectionPool limits how many "
    "are open together"
)
_NO_HEALTH_CHECK = (
    "remove it: Istio makes no health checks; traffic.outlierDetection leaves out endpoints that "
    "fail"
)
_NO_TUNNEL = (
    "remove it: the mesh does not speak CONNECT; name the proxy as a host with protocol TCP, and "
    "tell the application to use it"
)
_NO_CREDENTIALS = (
    "remove it: the application sends its own credentials; a client certificate of the mesh goes "
    "into originateTLS.clientCertificateRef, which needs gatewayRef"
)
_NO_RANGES = "remove it: there are no ranges of ports; write each port as an entry of its own"
_NO_LOG = "remove it: an Istio Telemetry object switches the access log on"
_PROXY_TLS = "remove it: versions and ciphers of TLS are those of Istio's proxies"
_PAUSE = 'remove it: the annotation egress-operator.io/paused: "true" pauses a policy'
_THROUGH = "write gatewayRef beside destinations, with the name of an EgressGateway"
_WHY = "write justification beside destinations"

POLICY_WORDS: Words = {
    # ServiceEntry
    "exportTo": _OWN_NAMESPACE,
    "resolution": "remove it: names are resolved by DNS, unless addresses or backends are given",
    "workloadSelector": _CALLERS,
    # Sidecar, NetworkPolicy
    "egress": "write destinations",
    "to": "write destinations",
    "outboundTrafficPolicy": "remove it: the platform team sets it for the whole mesh, or a "
    "Sidecar for the namespace",
    **dict.fromkeys(("podSelector", "selector"), _CALLERS),
    "namespaceSelector": _OWN_NAMESPACE,
    "ipBlock": "write addresses of a destination",
    "cidr": "write addresses of a destination",
    **dict.fromkeys(("endPort", "portRange", "portRanges"), _NO_RANGES),
    # DestinationRule
    "trafficPolicy": _IN_TRAFFIC,
    "portLevelSettings": "remove it: all ports of a host have the same traffic",
    **dict.fromkeys(("failoverPriority", "localityLbSetting", "priority"), _FAILOVER),
    **dict.fromkeys(("circuitBreaker", "circuitBreakers"), _LIMITS),
    "subsets": _NO_SUBSETS,
    "subset": _NO_SUBSETS,
    "tls": "write originateTLS for TLS that the mesh opens; for TLS that the application opens, "
    "protocol: TLS of the port is enough",
    "sni": "write originateTLS.serverName",
    "credentialName": "write originateTLS.clientCertificateRef for a client certificate, or "
    "originateTLS.caCertificateRef for an authority; both need gatewayRef",
    "caCertificates": _CA_FILES,
    "clientCertificate": _CLIENT_FILES,
    "privateKey": _CLIENT_FILES,
    "serverCertificate": _CLIENT_FILES,
    "insecureSkipVerify": "remove it: the server's certificate is always verified; name the "
    "authority that signed it in originateTLS.caCertificateRef, or in originateTLS.files as ca",
    # VirtualService
    **dict.fromkeys(("gateways", "gateway", "egressGateway", "via", "through"), _THROUGH),
    "match": "write http.allow, with methods, paths and headers",
    "route": "remove it: a destination leads to its own hosts; backends say where they really are",
    "sourceLabels": _CALLERS,
    "sniHosts": _HOSTS,
    "retryOn": "write conditions, such as [connect-failure], and status codes into codes",
    "retriableStatusCodes": "write codes",
    "corsPolicy": NOT_SUPPORTED,
    "delegate": NOT_SUPPORTED,
    "directResponse": NOT_SUPPORTED,
    "mirrors": "write http.mirror, with the name of one of the backends",
    "mirrorPercentage": "write http.mirror.percentage",
    "redirect": NOT_SUPPORTED,
    # Tokens and certificates
    **dict.fromkeys(("validUntil", "notAfter", "expires", "expiration", "schedule"), END),
    "caBundle": _CA_FILES,
    **dict.fromkeys(("minProtocolVersion", "maxProtocolVersion", "cipherSuites"), _PROXY_TLS),
    **dict.fromkeys(("auth", "jwt", "apiKey", "credentials", "secretRef"), _NO_CREDENTIALS),
    # Limits and checks of other proxies
    **dict.fromkeys(("rateLimit", "rateLimits", "localRateLimit", "bandwidth"), _NO_RATE),
    **dict.fromkeys(("healthCheck", "healthChecks", "probe"), _NO_HEALTH_CHECK),
    **dict.fromkeys(("tunnel", "proxy", "httpProxy", "httpsProxy", "forwardProxy"), _NO_TUNNEL),
    **dict.fromkeys(("accessLog", "accessLogging", "logging", "telemetry"), _NO_LOG),
    "maxRetries": "write http.retries.attempts",
    "numRetries": "write http.retries.attempts",
    # Other products' policies
    **dict.fromkeys(("deny", "denyHosts", "block", "blocked", "exclude", "except"), _NO_DENIAL),
    "action": _NO_DENIAL,
    **dict.fromkeys(("namespaces", "clusterWide", "allNamespaces"), _EACH_NAMESPACE),
    **dict.fromkeys(("description", "reason", "comment", "owner"), _WHY),
    **dict.fromkeys(("enabled", "disabled", "paused", "suspend"), _PAUSE),
    **dict.fromkeys(
        ("principal", "principals"),
        "write from.serviceAccounts beside destinations, by plain names",
    ),
    "domains": _HOSTS,
    "hostname": _HOSTS,
    "hostnames": _HOSTS,
    "fqdn": _HOSTS,
    "fqdns": _HOSTS,
    "toFQDNs": _HOSTS,
    "url": _HOSTS,
}
"""Anywhere in the spec of an EgressPolicy."""

GATEWAY_WORDS: Words = {
    "workloadSelector": "write selector, with the labels of the gateway's pods",
    "exportTo": "remove it: namespaces tells who may use the gateway",
    "allowedRoutes": "write namespaces",
    "namespaceSelector": "write namespaces",
    "tls": "remove it: a policy says whether TLS is opened for a host, in originateTLS",
    "trafficPolicy": _IN_TRAFFIC,
}
"""Anywhere in the spec of an EgressGateway."""

_PLAIN = (
    "write TCP, because {} begins in plain text; TCP needs addresses, or proxies that resolve "
    "names through Istio"
)
_EITHER = "write TLS if the client opens TLS itself, TCP if {} is in plain text"
_TLS = "write TLS, because the application opens TLS itself"
_HTTP = "write HTTP for http://..., or TLS for https://..."
_NO_TCP = (
    "remove the port: Istio's proxies carry only TCP, so {} needs no policy; a NetworkPolicy "
    "allows or blocks it"
)
_NO_UDP = (
    "remove the port: {} runs over UDP, and Istio's proxies carry only TCP, so it needs no policy; "
    "a NetworkPolicy allows or blocks it"
)

PROTOCOL_WORDS: Words = {
    **dict.fromkeys(
        ("SSH", "SFTP", "GIT", "SMTP", "IMAP", "POP3", "LDAP", "POSTGRES", "POSTGRESQL", "PGSQL"),
        _PLAIN,
    ),
    **dict.fromkeys(("MSSQL", "SQLSERVER", "TDS", "MARIADB", "RDP"), _PLAIN),
    "FTP": "write TCP, for port 21 and for each port of the data connections",
    **dict.fromkeys(
        ("KAFKA", "AMQP", "MQTT", "NATS", "MONGODB", "CASSANDRA", "MEMCACHED", "ORACLE", "STOMP"),
        _EITHER,
    ),
    **dict.fromkeys(("SSL", "SMTPS", "IMAPS", "POP3S", "LDAPS", "AMQPS", "MQTTS", "FTPS"), _TLS),
    **dict.fromkeys(("WSS", "REDISS", "MTLS", "MUTUAL"), _TLS),
    **dict.fromkeys(("WS", "WEBSOCKET", "GRPC-WEB", "HTTP1", "HTTP/1.1", "REST", "SOAP"), _HTTP),
    **dict.fromkeys(("HTTP/2", "H2", "H2C"), "write HTTP2 in plain text, or TLS for https://..."),
    **dict.fromkeys(("GRPCS", "HTTP2S"), _TLS),
    "UDP": "remove the port: Istio's proxies carry only TCP, so UDP needs no policy; a "
    "NetworkPolicy allows or blocks it",
    **dict.fromkeys(("DNS", "NTP", "QUIC", "HTTP3", "HTTP/3", "DTLS", "SNMP", "TFTP"), _NO_UDP),
    **dict.fromkeys(("ICMP", "SCTP"), _NO_TCP),
}
"""What to do in place of a protocol that is none of ours; `{}` stands for its name."""
