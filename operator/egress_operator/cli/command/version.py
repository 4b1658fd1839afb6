"""`egressctl version`."""

import platform

import click

from egress_operator import __version__
from egress_operator.cli.option import add_output
from egress_operator.cli.output import write_data


@click.command()
@add_output(("text", "json"), "Output format.")
def command(form: str) -> None:
    """Print the version of this program."""
    if form == "text":
        write_data(f"egressctl {__version__}\n")
        return
    from egress_operator.cli.text import format_json  # noqa: PLC0415  lazy: yaml
    from egress_operator.istio.object import POLICY_API_VERSION  # noqa: PLC0415  lazy: orjson

    record = {
        "version": __version__,
        "apiVersion": POLICY_API_VERSION,
        "python": platform.python_version(),
    }
    write_data(format_json(record))
