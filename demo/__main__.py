"""`python -m demo [--once] [--all] [--verbose]`: play the demo, then stay until Ctrl-C."""

import argparse
import sys

from demo.stop import Stop


def main() -> int:
    """Play the demo. 0: everything came out as it must; 1: something did not; 128 + a signal."""
    stop = Stop()
    stop.handle()
    try:
        return _play(stop)
    except BaseException:
        # Cleaning up may have raised something else.
        if not stop.code:
            raise
        stop.tell()
        return stop.code


def _play(stop: Stop) -> int:
    """Show the first part before the second one is imported, which takes seconds the first time."""
    options = _read_options()
    from demo.preview import play_preview  # noqa: PLC0415 - a signal may come while it is imported
    from demo.show import Show  # noqa: PLC0415 - same

    show = Show(verbose=options.verbose)
    play_preview(show, everything=options.all)
    from demo.run import run  # noqa: PLC0415 - same

    return run(show, options, stop)


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo", description="Play the demo.")
    parser.add_argument("--once", action="store_true", help="end after the last scene")
    parser.add_argument("--all", action="store_true", help="show every sample in full")
    parser.add_argument("--verbose", action="store_true", help="show every object with its name")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
