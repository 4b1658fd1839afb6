"""How Python's garbage collector is set: what lives for long is seldom walked over.

Reference counts free what is in no cycle. The collector finds cycles, such as requests and tasks
leave behind, by walking over all of a generation, and nothing else is done meanwhile. What the
operator knows of the cluster lives for long, so walking over it again and again would find little.
The price: a cycle that has reached the oldest generation is freed late.
"""

import gc

YOUNG = 10_000
"""New objects, less those that were freed, after which the youngest generation is looked at."""
MIDDLE = 10
"""Times that happens before the middle generation is looked at as well."""
OLD = 1000
"""Times that happens before everything is, which takes the longer the more policies there are."""


def set_up_collection() -> None:
    """Set the thresholds, and never look at what is there already: modules live for ever."""
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
