"""The API server's verdict on a policy."""

from dataclasses import dataclass

from api.corpus import Document
from egress_operator.api.policy import API_VERSION, PLURAL
from testbed.client import ApiError, Client

REFUSED = (400, 422)


@dataclass(frozen=True)
class Verdict:
    """Whether a create would pass, and the server's words when it would not."""

    accepted: bool
    message: str = ""


def ask(client: Client, document: Document, *, validation: str = "Strict") -> Verdict:
    """Ask with a dry-run create. Any refusal but 400 and 422 is an error of the test."""
    path = f"/apis/{API_VERSION}/namespaces/default/{PLURAL}"
    query = {"dryRun": "All", "fieldValidation": validation}
    try:
        client.request("POST", path, query=query, body=document)
    except ApiError as error:
        if error.code not in REFUSED:
            raise
        return Verdict(accepted=False, message=error.message)
    return Verdict(accepted=True)
