"""What runs until it is stopped, as a context manager."""

from abc import ABC, abstractmethod
from typing import Self


class Stoppable(ABC):
    """Leaving the `with` block stops it, whatever happened inside."""

    @abstractmethod
    def stop(self) -> object:
        """End it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.stop()
