"""`python -m demo [--once]`: play the demo, then stay until Ctrl-C, or end with `--once`."""

import argparse
import signal
import sys
import time

from demo.scene import play_deletion, play_drift, play_gateway, play_metrics, play_sample
from demo.show import Show
from demo.stage import Stage, open_stage
from testbed.client import ApiError
from testbed.process import ProcessError
from testbed.program import MissingProgramError
from testbed.sample import SAMPLES
from testbed.sweep import BusyError


def main() -> int:
    """Play the demo. 0: everything came out as it must."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the last scene")
    once: bool = parser.parse_args().once
    show = Show()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        start = time.monotonic()
        show.progress("starting an API server, istiod, Envoys and the operator (about 15 s)")
        with open_stage() as stage:
            play(stage, show, time.monotonic() - start)
            show.progress(f"all scenes played in {time.monotonic() - start:.0f} s")
            if not once:
                stay(stage, show)
    except KeyboardInterrupt:
        show.progress("stopped")
    except (
        AssertionError,
        TimeoutError,
        ApiError,
        BusyError,
        ProcessError,
        MissingProgramError,
    ) as error:
        print(f"demo: failed: {error}", file=sys.stderr)
        return 1
    return 0


def play(stage: Stage, show: Show, seconds: float) -> None:
    """Play all scenes."""
    show.title("egress-operator: one short policy for each outside host")
    if stage.mesh is None:
        show.text(f"Traffic is left out: {'; '.join(stage.missing)}.")
    else:
        show.text(
            "A real API server, a real istiod, and two workloads with real Envoy sidecars: "
            "shop/checkout and pay/app. The mesh blocks undeclared hosts (REGISTRY_ONLY). The "
            "outside servers tell which address they saw."
        )
    show.line("ready", f"after {seconds:.0f} s")
    for number, sample in enumerate(SAMPLES, start=1):
        if sample.is_for_gateway and not stage.has_gateway:
            play_gateway(stage, show)
        play_sample(stage, show, number, sample)
    play_drift(stage, show)
    play_deletion(stage, show)
    play_metrics(stage, show)


def stay(stage: Stage, show: Show) -> None:
    """Wait for Ctrl-C, with the means to look around."""
    show.title("It stays up; Ctrl-C ends it and leaves nothing behind")
    show.text(f"kubectl --kubeconfig {stage.plane.admin_kubeconfig} -n shop get egresspolicies")
    show.text(f"operator's log: {stage.operator.log}")
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
