"""`python -m demo [--once] [--all] [--verbose]`: play the demo, then stay until Ctrl-C."""

import argparse
import signal
import sys

from demo.output import OutputClosedError, close_output
from demo.stop import Stop


def main() -> int:
    """Play the demo. 0: everything came out as expected; 1: something did not; 128 + a signal.

    Ctrl-C is the end that is meant, 0, while the demo stays up after its last scene. SIGPIPE's code
    when nobody reads the output any more, as after `make demo | head`.
    """
    stop = Stop()
    stop.handle()
    try:
        return _play(stop)
    except BaseException as error:
        # Cleaning up may have raised something else.
        if stop.is_requested:
            stop.finish()
            return stop.code
        if isinstance(error, OutputClosedError):
            close_output()
            return 128 + signal.SIGPIPE
        raise


def _play(stop: Stop) -> int:
    """Show the first part before the second one is imported, which takes seconds the first time."""
    options = _read_options()
    from demo.machine import BusyError, find_lack  # noqa: PLC0415 - a signal may come while it is imported
    from demo.preview import play_preview  # noqa: PLC0415 - same
    from demo.show import Show  # noqa: PLC0415 - same

    show = Show(verbose=options.verbose)
    try:
        lack = find_lack()
    except BusyError as error:
        show.failure(f"failed: {error}")
        return 1
    if lack:
        show.progress(f"this run has no traffic: {lack}")
    play_preview(show, everything=options.all)
    from demo.run import run  # noqa: PLC0415 - same

    return run(show, options, stop, lack)


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo", description="Play the demo.")
    parser.add_argument("--once", action="store_true", help="end after the last scene")
    parser.add_argument("--all", action="store_true", help="show every sample in full")
    parser.add_argument("--verbose", action="store_true", help="show every object with its name")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
