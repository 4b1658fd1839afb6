"""The API server's verdict on a policy or a gateway."""

from dataclasses import dataclass

from api.corpus import Document, find_resource
from egress_operator.api.crd import Resource
from egress_operator.api.policy import API_VERSION
from testbed.client import ApiError, Client

REFUSED = (400, 422)


@dataclass(frozen=True)
class Verdict:
    """Whether a create would pass, and the server's words when it would not."""

    accepted: bool
    message: str = ""


def ask(client: Client, document: Document, resource: Resource | None = None) -> Verdict:
    """Ask with a dry-run create as an object of the kind, by default the document's own.

    Any refusal but 400 and 422 is an error of the test.
    """
    resource = resource or find_resource(document)
    place = "namespaces/default/" if resource.namespaced else ""
    path = f"/apis/{API_VERSION}/{place}{resource.plural}"
    query = {"dryRun": "All", "fieldValidation": "Strict"}
    try:
        client.request("POST", path, query=query, body=document)
    except ApiError as error:
        if error.code not in REFUSED:
            raise
        return Verdict(accepted=False, message=error.message)
    return Verdict(accepted=True)
