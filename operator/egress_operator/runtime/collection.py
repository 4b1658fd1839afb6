"""How Python's garbage collector is set: what lives for long is seldom walked over.

Most memory is freed without it. It frees cycles: requests and tasks leave some behind, which are
garbage a moment later, so that the two young generations find nearly all of them.
"""

import gc

YOUNG = 10_000
"""New objects after which the youngest generation is looked at, a few milliseconds each time."""
MIDDLE = 10
"""Times that happens before the middle generation is looked at as well."""
OLD = 1000
"""Times that happens before everything is: it takes a tenth of a second with some thousand
policies, and nothing else is done then."""


def set_up_collection() -> None:
    """Set the thresholds, and never look at what is there already: modules live for ever."""
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
