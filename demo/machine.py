"""What this machine allows: a demo with a mesh, one without, or none while another mesh is up."""

from testbed import network
from testbed.sweep import BusyError, Lock

__all__ = ["BusyError", "find_lack"]


def find_lack() -> str:
    """Return why there can be no mesh here; "" when there can. Raises BusyError when one is up."""
    if lacks := network.find_missing():
        return lacks[0]
    lock = Lock()
    lock.acquire(timeout_s=0)
    lock.release()
    return ""
