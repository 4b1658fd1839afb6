"""The API server's verdict on a policy or a gateway."""

import re
from dataclasses import dataclass

from api.corpus import Document, Pair, check, find_resource
from egress_operator.api.policy import API_VERSION
from testbed.client import ApiError, Client
from tools.crd import Resource

REFUSED = (400, 422)
REPORTED_BY_SERVER = {f"EG00{digit}" for digit in range(1, 9)}
"""Rules that the schema or the server itself refuses, in its own words: the field is asserted.
All others are CEL and name themselves."""

REPORTED_WITHOUT_FIELD = {"EG007"}
"""The server cannot read a foreign kind or version at all, so it names no field of ours."""


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


def assert_named(pair: Pair, verdict: Verdict) -> None:
    """Assert that the server refused the pair's invalid object, and named its rule or its field."""
    assert not verdict.accepted
    if pair.code not in REPORTED_BY_SERVER:
        assert set(re.findall(r"EG\d{3}(?=: )", verdict.message)) == {pair.code}, verdict.message
    elif pair.code not in REPORTED_WITHOUT_FIELD:
        _, diagnostics = check(pair.invalid, pair.resource)
        assert diagnostics[0].path in verdict.message, verdict.message
