"""What the proxy does with HTTP requests: what a policy asks for, and how Istio writes it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RetryIntent:
    """Retries of an HTTP port. `attempts` 0 turns them off; an empty text means Istio's default."""

    attempts: int
    per_try_timeout: str
    conditions: tuple[str, ...]
    codes: tuple[int, ...]

    def build(self) -> dict[str, Any]:
        """Return `retries`. Istio splits `retryOn` at commas without trimming: it has no space."""
        entry: dict[str, Any] = {"attempts": self.attempts}
        if self.per_try_timeout:
            entry["perTryTimeout"] = self.per_try_timeout
        retry_on = ",".join([*self.conditions, *(str(code) for code in self.codes)])
        if retry_on:
            entry["retryOn"] = retry_on
        return entry


@dataclass(frozen=True, slots=True)
class HttpIntent:
    """What the proxy does with the requests of a port. An empty `timeout` means none."""

    timeout: str = ""
    retries: RetryIntent | None = None

    def build(self) -> dict[str, Any]:
        """Return the members of a VirtualService's `http` rule that say so."""
        entry: dict[str, Any] = {}
        if self.timeout:
            entry["timeout"] = self.timeout
        if self.retries is not None:
            entry["retries"] = self.retries.build()
        return entry
