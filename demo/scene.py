"""The scenes of the samples: apply one, and show what becomes possible and what does not."""

from demo.act import GATEWAY_TITLE, Act
from demo.describe import describe_condition, describe_count, describe_items, find_condition
from demo.playground import Playground
from demo.show import Show
from demo.text import NO_BREAK
from demo.traffic import CLIENT, NEIGHBOUR, STRANGER
from testbed.client import Object
from testbed.sample import GATEWAY_FILE


def play_act(playground: Playground, show: Show, act: Act) -> None:
    """Show every step of a sample in a line: request, objects, status, request."""
    sample, traffic = act.sample, playground.traffic
    show.heading(f"{act.title}: samples/{sample.file}")
    if traffic is not None:
        for call in sample.calls:
            show.line("before", traffic.block(call))
    policy, seconds = _apply(playground, act)
    for text in describe_items(*playground.find_objects(policy), verbose=show.verbose):
        show.line("made", text)
    show.line("status", describe_status(policy, seconds))
    if traffic is None:
        return
    for call in sample.calls:
        show.line("after", traffic.reach(call, sample, by_gateway=sample.is_for_gateway))
    for call in sample.neighbours[:1]:
        show.line("other host", traffic.refuse(CLIENT, call))
    for call in sample.denied[:1]:
        show.line("other pod", traffic.refuse(NEIGHBOUR, call))
    show.line("other team", traffic.refuse(STRANGER, sample.calls[0]))


def play_briefly(playground: Playground, show: Show, act: Act) -> None:
    """Play the same in two lines, one where there is no traffic; and one for a pod that is denied.

    It tells that the policy is not for every pod of the namespace.
    """
    sample, traffic = act.sample, playground.traffic
    if traffic is not None:
        for call in sample.calls:
            traffic.block(call)
    policy, seconds = _apply(playground, act)
    made = describe_count(*playground.find_objects(policy))
    name = policy["metadata"]["name"]
    show.line("made", f"{act.title} ({name}): {made} {format_time(seconds)}")
    if traffic is None:
        return
    reached = [
        traffic.reach(call, sample, by_gateway=sample.is_for_gateway) for call in sample.calls
    ]
    # Both lines are about the last call.
    show.line("after", reached[-1])
    for call in sample.denied[-1:]:
        show.line("other pod", traffic.refuse(NEIGHBOUR, call))
    for call in sample.neighbours[:1]:
        traffic.refuse(CLIENT, call)
    traffic.refuse(STRANGER, sample.calls[0])


def _apply(playground: Playground, act: Act) -> tuple[Object, float]:
    policy = act.sample.policy
    playground.tally.policies += 1
    for destination in policy["spec"]["destinations"]:
        playground.tally.hosts.update(destination["hosts"])
    return playground.apply(policy)


def format_time(seconds: float) -> str:
    """Write `[45 ms]`, which no line break parts."""
    return f"[{seconds * 1000:.0f}{NO_BREAK}ms]"


def describe_status(item: Object, seconds: float) -> str:
    """Tell Ready, or Programmed where nothing can be Ready, and how long it took."""
    types = ("Ready", "Programmed")
    conditions = [find_condition(item, type_) for type_ in types]
    shown = next((entry for entry in conditions if entry.get("status") == "True"), conditions[0])
    return f"{describe_condition(shown)} {format_time(seconds)}"


def play_gateway(playground: Playground, show: Show) -> None:
    """Open the gateway that the samples after it go through."""
    show.heading(f"{GATEWAY_TITLE}: samples/{GATEWAY_FILE.name}")
    if playground.mesh is None:
        show.text(
            "No gateway pod runs without a mesh, so neither the gateway nor a policy that uses it "
            "becomes Ready. Their objects are written all the same (Programmed=True)."
        )
    gateway = playground.open_gateway()
    wanted = ("Isolated",) if playground.mesh is None else ("Ready", "Isolated")
    gateway = playground.wait_condition(gateway, *wanted)
    for type_ in ("Ready", "Isolated"):
        show.line("status", describe_condition(find_condition(gateway, type_)))
