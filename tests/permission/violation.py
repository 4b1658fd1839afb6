"""What the tests of this package find, apart from failures of their own set-up."""

import pytest


class ViolationError(AssertionError):
    """The product breaks a promise. A set-up that fails raises something else."""


def require(kept: object, message: str) -> None:
    """Raise ViolationError with this message unless the promise is kept."""
    if not kept:
        raise ViolationError(message)


def missing(reason: str) -> pytest.MarkDecorator:
    """Mark a case that the product does not fulfil yet; only a ViolationError counts as that."""
    return pytest.mark.xfail(strict=True, raises=ViolationError, reason=reason)
