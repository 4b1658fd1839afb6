"""How many random histories the properties of rollouts try."""

from hypothesis import HealthCheck, settings

FEW = settings(
    deadline=None,
    max_examples=100,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
"""In the gate."""
MANY = settings(FEW, max_examples=300)
"""In the long-running tests."""
