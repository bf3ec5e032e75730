"""A visitor: one browser with one session and several connections at once, none of them polite.

Four habits run side by side, so that requests of one session overlap. In the end the session
is asked what it holds, and that is compared with what the server said it had saved.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .client import Answer, Connection, Unanswered, connect
from .conversation import PIECE, PIECES
from .ledger import EXAMPLES
from .plan import ROUNDS

POST_BYTES = 150_000
PIPELINED = 3


@dataclass
class ClientFindings:
    """What the clients of one run saw."""

    requests: int = 0
    foreign_reads: int = 0
    lost_updates: int = 0
    errors: int = 0
    unanswered: int = 0
    unavailable: int = 0  # answers that say so: the session store is down
    examples: deque[str] = field(default_factory=lambda: deque(maxlen=EXAMPLES))

    def wrong(self, kind: str, example: str) -> None:
        """Count something that must not happen."""
        setattr(self, kind, getattr(self, kind) + 1)
        self.examples.append(example)


@dataclass(frozen=True)
class Request:
    """One request, and what is expected of it."""

    number: str
    secret: str
    name: str  # of the conversation
    is_app: bool

    @property
    def target(self) -> str:
        """Its path and query."""
        path = f"/app/{self.name}" if self.is_app else f"/{self.name}"
        return f"{path}?n={self.number}&secret={self.secret}&session=1"

    @property
    def body(self) -> bytes | None:
        """What is POSTed."""
        return bytes(POST_BYTES) if self.name == "post" else None

    @property
    def is_answered(self) -> bool:
        """Whether the view returns; else the answer is an error of status 500."""
        return self.name != "fail"

    def expected(self) -> bytes:
        """Return the body of a complete answer."""
        if self.name == "post":
            return f"{self.secret} {POST_BYTES}".encode()
        if self.name in ("stream", "break-off"):
            return self.secret.encode().ljust(PIECE) * PIECES
        return self.secret.encode()


class Visitor:
    """One session, from its first request to its audit.

    :param name: begins the numbers of its requests.
    :param answered: called after each request.
    :param saves_failures: whether the application saves the session of a view that raised.
    """

    def __init__(
        self,
        name: str,
        port: int,
        findings: ClientFindings,
        answered: Callable[[], object],
        *,
        saves_failures: bool = False,
    ) -> None:
        self._name = name
        self._port = port
        self._findings = findings
        self._answered = answered
        self._saves_failures = saves_failures
        self._count = 0
        self._random = random.Random(name)  # which requests come is the same in each run
        self._cookie: str | None = None
        self._saved: dict[str, str] = {}  # the server said so
        self._perhaps: dict[str, str] = {}  # it said nothing
        self._never: dict[str, str] = {}  # it refused

    async def run(self) -> None:
        """Make a session, use it, and audit it."""
        await self._alone(self._request("plain"))
        if self._cookie is None:
            return self._findings.wrong("errors", f"{self._name}: no cookie came for the session")
        await asyncio.gather(
            self._keep_alive(), self._one_by_one(), self._pipeline(), self._be_rude()
        )
        await self._audit()

    def _request(self, *names: str) -> Request:
        self._count += 1
        name = self._random.choice(names)
        number = f"{self._name}-{self._count}"
        # An audit is the middleware's; all else may go to the App too.
        return Request(number, secrets.token_hex(8), name, self._random.random() < 0.5)

    # Habits

    async def _keep_alive(self) -> None:
        """Use one connection as long as the server does."""
        connection: Connection | None = None
        for _ in range(ROUNDS):
            request = self._request("plain", "plain", "post", "spawn", "fail", "stream")
            connection = await self._on(connection, request)
        if connection is not None:
            connection.hang_up()

    async def _one_by_one(self) -> None:
        """Open a connection for each request."""
        for _ in range(ROUNDS):
            await self._alone(self._request("plain", "post", "spawn", "stream"))

    async def _pipeline(self) -> None:
        """Send several requests before the first answer comes."""
        left = ROUNDS
        while left > 0:
            requests = [self._request("plain") for _ in range(min(PIPELINED, left))]
            left -= len(requests)
            with await connect(self._port) as connection:
                for request in requests:
                    connection.send(request.target, self._cookie)
                is_over = False
                for request in requests:
                    if is_over:
                        self._went_unanswered(request)
                    else:
                        answer = await self._heard(request, connection.answer())
                        is_over = answer is None or answer.is_last

    async def _be_rude(self) -> None:
        """Hang up in the middle, read slowly, ask for what breaks off."""
        for _ in range(ROUNDS):
            request = self._request("stream", "break-off")
            slowly = self._random.random() < 0.5
            with await connect(self._port, small_buffer=slowly) as connection:
                connection.send(request.target, self._cookie)
                answer = connection.answer(slowly=slowly, most=None if slowly else PIECE)
                await self._heard(request, answer, is_partial=not slowly)

    async def _alone(self, request: Request) -> None:
        connection = await self._on(None, request)
        if connection is not None:
            connection.hang_up()

    async def _on(self, connection: Connection | None, request: Request) -> Connection | None:
        """Send a request on a connection, or a new one; return what can be used again."""
        is_used = connection is not None
        connection = connection or await connect(self._port)
        connection.send(request.target, self._cookie, request.body)
        try:
            answer = await self._heard(request, connection.answer(), may_be_closed=is_used)
        except BaseException:
            connection.hang_up()
            raise
        if answer is None or answer.is_last:
            connection.hang_up()
            return None
        return connection

    # What came of it

    async def _heard(
        self,
        request: Request,
        answer: Awaitable[Answer],
        *,
        is_partial: bool = False,
        may_be_closed: bool = True,
    ) -> Answer | None:
        """Judge an answer and return it; None where none came."""
        try:
            heard = await answer
        except Unanswered as error:
            self._went_unanswered(request)
            if not may_be_closed:
                self._findings.wrong("errors", f"{request.number} {request.name}: {error}")
            return None
        except asyncio.TimeoutError:
            self._went_unanswered(request)
            self._findings.wrong("errors", f"{request.number} {request.name}: no answer in time")
            return None
        self._findings.requests += 1
        self._answered()
        self._judge(request, heard, is_partial)
        return heard

    def _went_unanswered(self, request: Request) -> None:
        self._findings.unanswered += 1
        self._answered()
        is_saved = request.is_answered or self._saves_failures
        (self._perhaps if is_saved else self._never)[request.number] = request.secret

    def _judge(self, request: Request, heard: Answer, is_partial: bool) -> None:
        if heard.status != (200 if request.is_answered else 500):
            self._perhaps[request.number] = request.secret
            text = f"{request.number} {request.name}: status {heard.status}"
            self._findings.unavailable += heard.status == 503
            return self._findings.wrong("errors", text)
        self._cookie = heard.cookie or self._cookie
        if not request.is_answered:
            kept = self._saved if self._saves_failures else self._never
            kept[request.number] = request.secret
            return None
        self._saved[request.number] = request.secret
        expected = request.expected()
        may_end = is_partial or request.name == "break-off"
        is_right = expected.startswith(heard.body) if may_end else heard.body == expected
        if not is_right:
            is_foreign = heard.is_complete and request.secret.encode() not in heard.body
            kind = "foreign_reads" if is_foreign else "errors"
            text = f"{request.number} {request.name}: a body of {len(heard.body)} bytes"
            self._findings.wrong(kind, f"{text}, {heard.body[:16]!r} for {request.secret!r}")
        return None

    # The session

    async def _audit(self) -> None:
        """Ask what the session holds: what was saved, what may be, and nothing else."""
        request = Request(f"{self._name}-audit", "audit", "audit", is_app=False)
        connection = await connect(self._port)
        connection.send(request.target, self._cookie)
        try:
            answer = await connection.answer()
            told = json.loads(answer.body)
        except (Unanswered, asyncio.TimeoutError, ValueError):
            return self._findings.wrong("errors", f"{self._name}: the session could not be audited")
        finally:
            connection.hang_up()
        self._findings.requests += 1
        self._answered()
        for problem in self._problems(**told):
            self._findings.wrong("lost_updates", f"{self._name}: {problem}")
        return None

    def _problems(
        self, values: dict[str, Any], hits: int | None, flashes: list[str]
    ) -> Iterator[str]:
        held = {key.removeprefix("k"): value for key, value in values.items()}
        for number, secret in self._saved.items():
            if held.get(number) != secret:
                yield f"the key of {number} is missing"
            if number not in flashes:
                yield f"the message of {number} is missing"
        for number in self._never:
            if number in held:
                yield f"{number} failed, and was saved"
        most = len(self._saved) + len(self._perhaps)
        if hits is not None and not len(self._saved) <= hits <= most:
            yield f"{hits} hits were counted, of {len(self._saved)} to {most}"
