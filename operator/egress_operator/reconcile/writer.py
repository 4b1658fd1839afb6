"""One write to the API server, its answer taken over into the cache at once.

Creation is a POST: it costs less than an apply, and a 409 reveals somebody else's object instead of
overwriting it. What is ours is replaced by a JSON patch that first tests the uid. The reasons and
the measurements are in docs/design/writes.md.
"""

from collections.abc import Callable, Iterable
from http import HTTPStatus

from egress_operator.engine.failure import ApiError
from egress_operator.engine.ready import Share
from egress_operator.engine.slots import Slots
from egress_operator.engine.transport import JsonObject, PatchType, Transport
from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.kinds import KINDS
from egress_operator.istio.manifest import build_json_patch, build_manifest
from egress_operator.istio.object import Desired, Observed
from egress_operator.reconcile.objects import ObjectCache
from egress_operator.reconcile.resource import RESOURCES
from egress_operator.rollout.write import Create, Delete, Replace, Write

PERMANENT = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
"""Answers that will stay the same for this content: said in status at once, tried again slowly."""


class BlockedError(Exception):
    """The API server, or a webhook, refuses this content: a new try needs other content or time."""

    code = "EG301"

    def __init__(self, key: ObjectKey, words: str) -> None:
        self.key = key
        self.words = words
        super().__init__(f"{key} is refused: {words}")


class HeldError(BlockedError):
    """An object is being deleted and waits for somebody's finalizers."""

    def __init__(self, key: ObjectKey, finalizers: Iterable[str]) -> None:
        super().__init__(key, f"its deletion waits for the finalizers {', '.join(finalizers)}")


class StaleError(Exception):
    """Another object stands under the name than the cache knows: the watch is about to show it."""

    def __init__(self, key: ObjectKey) -> None:
        super().__init__(f"{key} is another object than was seen last")


class MissingKindError(Exception):
    """The API server does not serve the kind: Istio's CRDs are not installed."""

    code = "EG302"

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        super().__init__(
            f"the cluster serves no {kind} in {KINDS[kind].api_version}: install Istio's CRDs; the "
            "objects follow by themselves"
        )


class Writer:
    """Sends the writes of a step. Keeps what a server or webhook made of a spec."""

    def __init__(
        self,
        transport: Transport,
        objects: ObjectCache,
        slots: Slots,
        *,
        is_missing: Callable[[Kind], bool],
        on_not_found: Callable[[Kind], None],
        on_not_created: Callable[[Desired], None],
    ) -> None:
        """`on_not_found` is called when an answer says that an object of a kind is not there.

        `on_not_created` is called when what was being created has failed.
        """
        self._transport = transport
        self._slots = slots
        self._objects = objects
        self._is_missing = is_missing
        self._on_not_found = on_not_found
        self._on_not_created = on_not_created
        self._answers: dict[ObjectKey, tuple[bytes, bytes]] = {}

    def forget(self, key: ObjectKey) -> None:
        """Forget the answers about an object that is gone."""
        self._answers.pop(key, None)

    def translate(self, observed: Observed) -> bytes:
        """Return the digest to compare with what we want.

        A server that fills in defaults, or a mutating webhook, answers with another spec than the
        one that was sent. While the object is as it was answered, it counts as what was sent: else
        it would be written again for ever.
        """
        sent, answered = self._answers.get(observed.key, (b"", b""))
        return sent if sent and observed.spec_digest == answered else observed.spec_digest

    async def send(
        self, write: Write, share: Share, is_wanted: Callable[[], bool] = lambda: True
    ) -> bool:
        """Send one write; return when it is acknowledged, or the object is known to be gone.

        It waits its turn among the writes of all lanes. Return False if it is not wanted any more
        by then, and nothing is sent.

        Raises StaleError when something else stands there than the cache knows, BlockedError (also
        for a deletion that waits for a finalizer), MissingKindError, and ApiError for anything that
        may pass by itself.
        """
        async with self._slots.take(share.lane, urgent=share.urgent):
            if not is_wanted():
                return False
            match write:
                case Create():
                    await self._create(write)
                case Replace():
                    await self._replace(write)
                case Delete():
                    await self._delete(write)
            return True

    async def read(self, key: ObjectKey, lane: str) -> None:
        """Take over how an object stands, as if its watch had told. Raises ApiError.

        It waits its turn among the writes of all lanes.
        """
        async with self._slots.take(lane):
            page = await self._transport.list_page(
                RESOURCES[key.kind], namespace=key.namespace, name=key.name, limit=1
            )
        for item in page["items"]:
            self._objects.observe(item)
        if not page["items"]:
            self._objects.observe_absence(key, page["metadata"]["resourceVersion"])

    async def _create(self, write: Create) -> None:
        key = write.key
        if self._is_missing(key.kind):
            raise MissingKindError(key.kind)
        try:
            with self._objects.note_creation(write.desired):
                answer = await self._transport.create(
                    RESOURCES[key.kind], key.namespace, build_manifest(write.desired, write.owners)
                )
        except ApiError as error:
            self._on_not_created(write.desired)
            if error.status == HTTPStatus.CONFLICT:
                raise StaleError(key) from error
            raise _judge_creation(key, error) from error
        self._take(write, answer)

    async def _replace(self, write: Replace) -> None:
        key = write.key
        patch = build_json_patch(write.desired, write.owners, write.uid, write.maps, write.strays)
        try:
            answer = await self._transport.patch(
                RESOURCES[key.kind], key.namespace, key.name, patch, patch_type=PatchType.JSON
            )
        except ApiError as error:
            if error.denies(RESOURCES[key.kind], key.name):
                self._miss(write)
                return
            if error.is_failed_test or error.status == HTTPStatus.CONFLICT:
                raise StaleError(key) from error
            raise _judge(key, error) from error
        self._take(write, answer)

    async def _delete(self, write: Delete) -> None:
        key = write.key
        try:
            answer = await self._transport.delete(
                RESOURCES[key.kind], key.namespace, key.name, uid=write.uid
            )
        except ApiError as error:
            if error.denies(RESOURCES[key.kind], key.name):
                self._miss(write)
                return
            if error.status == HTTPStatus.CONFLICT:
                raise StaleError(key) from error
            raise _judge(key, error) from error
        self._answers.pop(key, None)
        if answer is None:
            self._objects.drop(key, write.uid)
        elif finalizers := answer["metadata"].get("finalizers"):
            raise HeldError(key, finalizers)

    def _miss(self, write: Replace | Delete) -> None:
        """Believe that an object is gone, until a list shows it."""
        self.forget(write.key)
        self._objects.miss(write.key, write.uid)
        self._on_not_found(write.key.kind)

    def _take(self, write: Create | Replace, answer: JsonObject) -> None:
        observed = self._objects.store(answer)
        sent = write.desired.spec_digest
        if observed.spec_digest == sent:
            self._answers.pop(observed.key, None)
        else:
            self._answers[observed.key] = (sent, observed.spec_digest)


def _judge(key: ObjectKey, error: ApiError) -> Exception:
    if error.status in PERMANENT and error.retry_after is None:
        return BlockedError(key, str(error))
    # etcd's own limit arrives as a 500.
    if error.status == HTTPStatus.INTERNAL_SERVER_ERROR and "too large" in error.message:
        return BlockedError(key, str(error))
    return error


def _judge_creation(key: ObjectKey, error: ApiError) -> Exception:
    """Tell a kind that is not served from all else; of a PATCH or DELETE the object was there."""
    # A 404 to a POST that does not name a namespace; a 405 while the CRD is being deleted.
    is_missing = error.status == HTTPStatus.METHOD_NOT_ALLOWED or (
        error.status == HTTPStatus.NOT_FOUND and "namespaces" not in error.message
    )
    if is_missing and not error.is_of_webhook:
        return MissingKindError(key.kind)
    return _judge(key, error)
