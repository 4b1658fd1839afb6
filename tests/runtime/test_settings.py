"""The table of options, and what is refused."""

import pytest

from egress_operator.runtime.settings import (
    OPTIONS,
    OptionType,
    Settings,
    SettingsError,
    build_settings,
    find_unknown,
)


def test_the_defaults_of_the_table_are_those_of_the_class() -> None:
    assert build_settings({}) == Settings()


def test_a_flag_wins_over_the_environment_and_that_over_the_default() -> None:
    environment = {"EGRESS_SETTLE": "1.5", "EGRESS_IN_FLIGHT": "4"}
    settings = build_settings(environment, {"settle": "0.5", "workers": None})
    assert (settings.settle, settings.in_flight, settings.workers) == (0.5, 4, 32)


@pytest.mark.parametrize(
    "text", ["10.0.0.0/8,fd00::/8", "10.0.0.0/8, fd00::/8", "10.0.0.0/8 fd00::/8"]
)
def test_a_list_is_split_at_commas_and_spaces(text: str) -> None:
    settings = build_settings({"EGRESS_ALLOWED_CIDRS": text})
    assert settings.allowed_cidrs == ("10.0.0.0/8", "fd00::/8")


def test_a_repeated_flag_makes_a_list_without_doubles() -> None:
    settings = build_settings({}, {"namespaces": ("shop,pay", "shop")})
    assert settings.namespaces == ("shop", "pay")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"EGRESS_SETTLE": "soon"}, "EGRESS_SETTLE: 'soon' is not a number of seconds"),
        ({"EGRESS_SETTLE": "-1"}, "EGRESS_SETTLE: -1 is not between 0 and 300"),
        ({"EGRESS_SETTLE": "nan"}, "EGRESS_SETTLE: nan is not between 0 and 300"),
        ({"EGRESS_WORKERS": "1.5"}, "EGRESS_WORKERS: '1.5' is not a whole number"),
        ({"EGRESS_METRICS_PORT": "70000"}, "EGRESS_METRICS_PORT: 70000 is not between"),
        ({"EGRESS_DNS_CAPTURE": "yes"}, "EGRESS_DNS_CAPTURE: 'yes' is not one of auto, on, off"),
        ({"EGRESS_ALLOWED_CIDRS": "10.0.0.1/8"}, "has host bits; write 10.0.0.0/8"),
        ({"EGRESS_ALLOWED_CIDRS": "10.0.0.0"}, "has no prefix length; for this address alone,"),
        ({"EGRESS_CLUSTER_CIDRS": "fd00::"}, "write fd00::/128"),
        ({"EGRESS_NAMESPACES": "Shop"}, "EGRESS_NAMESPACES: 'Shop' is not a namespace"),
        ({"EGRESS_CLUSTER_DOMAIN": "cluster.local."}, "EGRESS_CLUSTER_DOMAIN"),
        ({"EGRESS_BIND": "localhost"}, "EGRESS_BIND: 'localhost' is not an IP address"),
        ({"EGRESS_HEALTH_PORT": "9090"}, "--health-port: 9090 is also --metrics-port"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_used_is_said_in_one_line(environment: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        build_settings(environment)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_error_in_a_flag_names_the_flag() -> None:
    with pytest.raises(SettingsError, match="--settle: 'soon'"):
        build_settings({}, {"settle": "soon"})


def test_misspelt_variables_are_found_and_service_links_are_not() -> None:
    environment = {
        "EGRESS_SETTEL": "1",
        "EGRESS_SETTLE": "1",
        "EGRESS_GATEWAY_SERVICE_HOST": "10.0.0.1",
        "EGRESS_GATEWAY_SERVICE_PORT_HTTP": "80",
        "EGRESS_GATEWAY_PORT": "tcp://10.0.0.1:80",
        "EGRESS_GATEWAY_PORT_80_TCP_ADDR": "10.0.0.1",
        "PATH": "/bin",
    }
    assert find_unknown(environment) == ("EGRESS_SETTEL",)


def test_every_option_explains_itself() -> None:
    for option in OPTIONS:
        assert option.meaning.endswith(".")
        assert option.env == "EGRESS_" + option.name.upper().replace("-", "_")
        assert bool(option.choices) == (option.type is OptionType.CHOICE)
        bounded = option.minimum is not None and option.maximum is not None
        assert bounded == (option.type in {OptionType.INTEGER, OptionType.SECONDS})
