"""The way to the level Strict: warn first, as docs/operate/admission.md has it."""

from collections.abc import Iterator

import pytest
import urllib3

from delivery.admission import TENANT_EXPORTS, TENANT_USER, TIMEOUT_S, Object, find_refusal
from delivery.attack import ISTIO, build_object, build_service_entry
from testbed.client import Client
from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.identity import request_token

ADMISSION = "admissionregistration.k8s.io/v1"
PUBLIC = build_object(ISTIO, "ServiceEntry", build_service_entry(exportTo=["*"]))
BINDING = (ADMISSION, "ValidatingAdmissionPolicyBinding", TENANT_EXPORTS)


@pytest.fixture
def warning(strict: ControlPlane, strict_tenant: Client) -> Iterator[None]:
    """Let the policy of the level warn, with the patch of the docs."""
    binding = strict.admin.get(*BINDING)
    strict.admin.merge_patch(binding, {"spec": {"validationActions": ["Warn", "Audit"]}})
    wait_until(lambda: not find_refusal(strict_tenant, PUBLIC), TIMEOUT_S, "it warns only")
    yield
    strict.admin.merge_patch(binding, {"spec": {"validationActions": ["Deny"]}})
    wait_until(lambda: find_refusal(strict_tenant, PUBLIC), TIMEOUT_S, "it denies again")


@pytest.mark.usefixtures("warning")
def test_what_will_be_refused_is_written_and_warned_of(strict: ControlPlane) -> None:
    words = create_and_read_warning(strict, PUBLIC)
    assert TENANT_EXPORTS in words
    assert 'set exportTo: ["."]' in words.replace("\\", "")


def create_and_read_warning(plane: ControlPlane, item: Object) -> str:
    """Create an object as the tenant in a dry run; return the warning beside the answer."""
    token = request_token(plane.admin, TENANT_USER.namespace, TENANT_USER.name)
    pool = urllib3.PoolManager(ca_certs=str(plane.ca_file), retries=False)
    path = plane.admin.path_of(item, named=False)
    answer = pool.request(
        "POST",
        f"{plane.url}{path}?dryRun=All",
        json=item,
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.status == 201, answer.data
    return str(answer.headers.get("Warning", ""))
