"""The durable queue: one short DBOS workflow per act, `service#n`, that performs it and starts `service#n+1`.

The journal is the truth; `.landbridge/engine.db` only says what was in hand. Every trap of DBOS 3.4 that we know of is
taken care of here: JSON instead of pickle, SQLite in WAL mode, a pinned application version, no limit of recoveries.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from landbridge.clock import Clock, DeadlineError, wait_for
from landbridge.errors import LandbridgeError
from landbridge.model.service import ServiceId

if TYPE_CHECKING:  # loading it takes seconds, see `prepare`
    from dbos import WorkflowStatus

VERSION = "acts-1"
"""The pinned application version: a newer landbridge goes on with what an older one began."""
QUEUE = "acts"
POLL = 0.1
"""Seconds between two looks into the queue; each costs three milliseconds."""
WRITTEN = 2.0
"""Seconds that a process which ends gives DBOS to write down what has ended; it takes milliseconds."""
_LIVE = ["PENDING", "ENQUEUED", "DELAYED"]


class EngineError(LandbridgeError):
    """The engine cannot keep what is in hand; the run ends, and resumes from the journal."""


class Turn(Protocol):
    """What one workflow does, in three recorded steps; all values are JSON."""

    closing: bool
    """Set when the process ends in order: what waits stops, nothing new begins."""

    async def decide(self, service: str, n: int, state: dict[str, Any]) -> dict[str, Any]:
        """Read plan and commands and say what to do; an empty answer ends the workflow."""
        ...

    async def perform(self, service: str, n: int, decision: dict[str, Any]) -> dict[str, Any]:
        """Do it, idempotently: after a crash it is asked for again."""
        ...

    async def record(self, service: str, n: int, decision: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
        """Write the journal; the answer is the state of `n + 1`, empty when nothing is to follow at once."""
        ...


class Engine:
    """DBOS behind six functions, so that the journal could take its place."""

    def __init__(self, folder: Path, turn: Turn, clock: Clock, *, concurrency: int) -> None:
        self.path = folder / "engine.db"
        self.clock = clock
        self.turn = turn
        self.concurrency = concurrency
        self.active: dict[str, int] = {}
        """Services with a workflow queued or running, and its number."""
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Set to the error that must end the process."""
        self.changed = asyncio.Event()
        """Set whenever a workflow ends."""
        self._closing = False
        self._left: set[str] = set()
        """Workflows whose body has ended here, though DBOS may not have written that down yet."""

    @staticmethod
    async def prepare() -> None:
        """Load the library beside the event loop: it takes seconds on a busy machine, and leases have to be kept."""
        await asyncio.to_thread(import_module, "dbos")

    async def launch(self) -> None:
        """Open the database, take up what was in hand, start the queue."""
        global _engine  # noqa: PLW0603 - DBOS itself is one per process, and finds workflows by module-level name
        from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer

        try:
            _set_wal(self.path)
            config: DBOSConfig = {
                "name": "landbridge",
                "system_database_url": f"sqlite:///{self.path}",
                "application_version": VERSION,
                "executor_id": "runner",  # one per engine.db: the runner holds a lock on the folder
                "serializer": DBOSPortableJSONSerializer(),
                "log_level": "CRITICAL",
                "scheduler_polling_interval_sec": 3600.0,
            }
            _engine = self
            DBOS(config=config)
            _register()
            DBOS.launch()
            await DBOS.register_queue_async(QUEUE, worker_concurrency=self.concurrency, polling_interval_sec=POLL)
            for status in await _live():
                service, n = parse_id(status.workflow_id)
                self.active[service] = max(n, self.active.get(service, 0))
        except Exception as error:  # noqa: BLE001 - whatever DBOS or SQLAlchemy raises here has one meaning
            raise _told(self.path, error) from None

    async def start(self, service: ServiceId, n: int, state: dict[str, Any]) -> None:
        """Queue the workflow of number `n`; one that is there already and alive is left alone."""
        from dbos import DBOS, SetWorkflowID
        from sqlalchemy.exc import SQLAlchemyError

        if self._closing:
            return
        try:
            for again in range(1000):
                name = workflow_id(str(service), n, again)
                status = await DBOS.get_workflow_status_async(name)
                if status is not None and status.status in _LIVE:
                    if name not in self._left:
                        self.active[str(service)] = n
                    return  # else its end is being written: the next round finds it
                if status is None:
                    self.active[str(service)] = n
                    with SetWorkflowID(name):
                        await DBOS.enqueue_workflow_async(QUEUE, _registered["act"], str(service), n, state)
                    return
        except SQLAlchemyError as error:
            self.fail(_told(self.path, error))

    async def close(self) -> None:
        """Stop taking up work and close the database; workflows in hand are taken up by the next launch."""
        global _engine  # noqa: PLW0603
        from dbos import DBOS
        from sqlalchemy.exc import SQLAlchemyError

        self._closing = True
        with suppress(DeadlineError, SQLAlchemyError):
            await wait_for(self._ends_are_written, what="ends are written", within=WRITTEN, clock=self.clock)
        # DBOS made its own pool the loop's default one and shuts it down: give the loop another, for those after us
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(thread_name_prefix="landbridge"))
        await asyncio.to_thread(DBOS.destroy)
        _engine = None

    async def _ends_are_written(self) -> bool:
        """What has ended here and is not written down would be taken up by the next launch, in vain."""
        return not self._left & {status.workflow_id for status in await _live()}

    def leave(self, service: str, n: int) -> None:
        """The body of a workflow has ended."""
        from dbos import DBOS

        self._left.add(DBOS.workflow_id or "")
        if self.active.get(service) == n:
            del self.active[service]
        self.changed.set()

    def fail(self, error: LandbridgeError) -> None:
        """The process has to end: see to it that the runner learns why."""
        if not self.failed.done():
            self.failed.set_exception(error)
            self.changed.set()


async def _live() -> list[WorkflowStatus]:
    from dbos import DBOS

    return await DBOS.list_workflows_async(status=_LIVE, load_input=False, load_output=False)


async def _act(service: str, n: int, state: dict[str, Any]) -> None:
    """The workflow. Its recorded steps may change between versions: one that no longer fits is begun again."""
    engine = _engine
    assert engine is not None
    try:
        await _steps(engine, service, n, state)
    finally:
        engine.leave(service, n)


async def _steps(engine: Engine, service: str, n: int, state: dict[str, Any]) -> None:
    """Decide, perform, record, start the next."""
    decision = await _step(engine, "decide", engine.turn.decide, service, n, state)
    if not decision:
        return
    result = await _step(engine, "perform", engine.turn.perform, service, n, decision)
    following = await _step(engine, "record", engine.turn.record, service, n, decision, result)
    if following:
        await engine.start(ServiceId.parse(service), n + 1, following)


async def _step(
    engine: Engine, name: str, function: Callable[..., Awaitable[dict[str, Any]]], *args: Any
) -> dict[str, Any]:
    """One recorded step. After a failed write nothing more is recorded: the process ends, the step is done again."""
    from dbos import DBOS
    from sqlalchemy.exc import SQLAlchemyError

    async def body() -> dict[str, Any]:
        try:
            return await function(*args)
        except LandbridgeError as error:
            return await _never(engine, error)

    try:
        return await DBOS.run_step_async({"name": name}, body)
    except SQLAlchemyError as error:
        return await _never(engine, _told(engine.path, error))


async def _never(engine: Engine, error: LandbridgeError) -> dict[str, Any]:
    """Report what must end the process, and do not come back."""
    engine.fail(error)
    never: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    return await never


_engine: Engine | None = None
_registered: dict[str, Any] = {}


def _register() -> None:
    """Make the workflow known to DBOS, once a process."""
    from dbos import DBOS

    if not _registered:
        _registered["act"] = DBOS.workflow(name="act", max_recovery_attempts=None)(_act)


def workflow_id(service: str, n: int, again: int = 0) -> str:
    """`shop/web#7`; a further try of the same number, after one that failed or only waited, is `shop/web#7~2`."""
    return f"{service}#{n}" + (f"~{again + 1}" if again else "")


def parse_id(text: str) -> tuple[str, int]:
    """Service and number of a workflow's id."""
    service, _, number = text.rpartition("#")
    return service, int(number.partition("~")[0])


def _set_wal(path: Path) -> None:
    database = sqlite3.connect(path)
    try:
        database.execute("PRAGMA journal_mode=WAL")
    finally:
        database.close()
    path.chmod(0o600)


def _told(path: Path, error: Exception) -> EngineError:
    return EngineError(
        f"the engine cannot keep what is in hand: {error}".splitlines()[0],
        where=str(path),
        advice="make room on the disk, or delete engine.db: the run goes on from the journal",
    )
