"""What the tests of this package find, apart from failures of their own set-up."""

from collections.abc import Callable

import pytest

from testbed.deadline import DeadlineError, wait_until


class ViolationError(AssertionError):
    """The product breaks a promise. A set-up that fails raises something else."""


def require(kept: object, message: str) -> None:
    """Raise ViolationError with this message unless the promise is kept."""
    if not kept:
        raise ViolationError(message)


def missing(reason: str, *, strict: bool = True) -> pytest.MarkDecorator:
    """Mark a case that the product does not fulfil yet; only a ViolationError counts as that.

    Not `strict`: it may also pass, by chance.
    """
    return pytest.mark.xfail(strict=strict, raises=ViolationError, reason=reason)


def require_soon(check: Callable[[], object], timeout_s: float, message: str) -> None:
    """Wait until `check` is truthy; raise ViolationError when that takes longer.

    A ViolationError that `check` raises is shown at the end. What else it raises passes through.
    """
    try:
        wait_until(check, timeout_s, message)
    except DeadlineError as error:
        raise ViolationError(str(error)) from error
