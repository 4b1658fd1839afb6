"""`python -m demo.call shop/checkout "GET http://stock.example.com/"`: a request in the demo.

The application of the named pod makes it, so it goes through the pod's sidecar. Exit code 0 when
a server answered, 1 when the request was blocked or denied, 2 when there was nobody to make it.
"""

import argparse
import sys
from pathlib import Path

from demo.outcome import describe_hint, describe_request
from demo.state import find_state
from testbed.request import REACHED, call, judge, send

NOBODY = 2


def main() -> int:
    """Make the request and print what came of it."""
    summary, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(prog="demo.call", description=summary, epilog=details)
    parser.add_argument("pod", help="shop/checkout, shop/batch or pay/app")
    parser.add_argument("request", help='such as "GET https://HOST/" or "TCP HOST:5432"')
    arguments = parser.parse_args()
    try:
        order = call(arguments.request)
    except ValueError as error:
        return _refuse(str(error))
    state = find_state()
    if state is None:
        return _refuse(
            "no demo of yours is running: start `make demo` and wait for its last screen"
        )
    if not state.pods:
        return _refuse("the running demo has no mesh, so no pod can make a request")
    pod = state.pods.get(arguments.pod)
    if pod is None:
        return _refuse(
            f"there is no pod {arguments.pod}; there are {', '.join(sorted(state.pods))}"
        )
    outcome = judge(
        send(order, Path(pod.control)), frozenset(pod.addresses), frozenset(state.gateways)
    )
    print(describe_request(arguments.pod, arguments.request, outcome))
    if hint := describe_hint(outcome):
        print(hint)
    return 0 if outcome.verdict in REACHED else 1


def _refuse(text: str) -> int:
    print(f"demo.call: {text}", file=sys.stderr)
    return NOBODY


if __name__ == "__main__":
    sys.exit(main())
