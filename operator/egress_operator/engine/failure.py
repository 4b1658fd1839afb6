"""What the API server, or the way to it, can answer instead of success.

Exception
├── ApiError          an answer that is not 2xx, or none at all; `retry_after` is the server's wish
└── CredentialError   no usable kubeconfig or service account; the text is one line for the user
"""

from http import HTTPStatus

from egress_operator.engine.resource import Resource


class CredentialError(Exception):
    """There is no usable way to log in. The message says what is missing, where, and the fix."""


class ApiError(Exception):
    """A request that did not succeed.

    `status` is the HTTP code, 0 when no whole answer came (then `reason` is `ConnectionFailed`,
    `Timeout` or `Undecodable`, and a write may or may not have happened). `reason` is the API
    server's word (`AlreadyExists`, `Conflict`, `Invalid`, …) or the HTTP phrase. `message` has at
    most 256 characters, printable, on one line, never a token or a body that we sent.
    `retry_after` is in seconds, None when the server gave no usable one. `subject` is the object
    that the API server names in its answer, as `plural.group/name`; empty when it names none.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str = "",
        retry_after: float | None = None,
        subject: str = "",
    ) -> None:
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.subject = subject
        super().__init__(status, reason, message, retry_after, subject)

    def __str__(self) -> str:
        """`409 AlreadyExists: …`."""
        head = f"{self.status} {self.reason}" if self.status else self.reason
        return f"{head}: {self.message}" if self.message else head

    def denies(self, resource: Resource, name: str) -> bool:
        """Whether the API server says that this very object is not there.

        A 404 of a proxy, or of an API server that does not serve the kind, names no object. That of
        a webhook may name any.
        """
        is_named = self.subject == f"{resource.label}/{name}"
        return self.status == HTTPStatus.NOT_FOUND and is_named and not self.is_of_webhook

    @property
    def may_be_done(self) -> bool:
        """Whether a write may have been made all the same: nobody says that it was not.

        A 504 and some 500 are those of an API server that has had no answer from etcd in time.
        """
        is_unknown = not self.status or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return is_unknown and not self.is_of_webhook

    @property
    def is_of_webhook(self) -> bool:
        """Whether an admission webhook refused the request, with whatever code."""
        return self.message.startswith("admission webhook ")

    @property
    def is_failed_test(self) -> bool:
        """Whether a JSON patch met another uid: 422 as for invalid content, but in these words."""
        return self.status == HTTPStatus.UNPROCESSABLE_ENTITY and self.message.startswith(
            "the server rejected our request due to an error in our request"
        )
