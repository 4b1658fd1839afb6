"""Writes into etcd behind the API server's back: nothing is checked, and watches tell of it."""

import base64
import json
from collections.abc import Callable
from typing import Any

import urllib3

from testbed.client import Object

TIMEOUT_S = 10.0


class Etcd:
    """The objects of custom kinds, which are stored as JSON."""

    def __init__(self, url: str) -> None:
        self._url = url

    def edit(self, path: str, change: Callable[[Object], None]) -> bool:
        """Change the object at GROUP/PLURAL/NAMESPACE/NAME; False when it is not there.

        A write in between is not lost: then the object is read again.
        """
        key = base64.b64encode(f"/registry/{path}".encode()).decode()
        while True:
            found = self._call("range", {"key": key}).get("kvs")
            if not found:
                return False
            item = json.loads(base64.b64decode(found[0]["value"]))
            change(item)
            value = base64.b64encode(json.dumps(item).encode()).decode()
            same = {"key": key, "target": "MOD", "mod_revision": found[0]["mod_revision"]}
            put = {"request_put": {"key": key, "value": value}}
            if self._call("txn", {"compare": [same], "success": [put]}).get("succeeded"):
                return True

    def _call(self, method: str, body: object) -> dict[str, Any]:
        with urllib3.PoolManager(retries=False, timeout=TIMEOUT_S) as pool:
            response = pool.request("POST", f"{self._url}/v3/kv/{method}", body=json.dumps(body))
            answer: dict[str, Any] = json.loads(response.data)
        assert response.status == 200, answer
        return answer
