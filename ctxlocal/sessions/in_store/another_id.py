"""How a session goes on under another id: a renewal, a login, a clear that ends the record (R3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import events
from ..fields import Changes
from ..session import Results
from ..stores.protocol import RESERVED, USER, Clear, Incr
from .ending import end
from .loading import look_again
from .moving import move
from .same_key import expectations, settle
from .settings import log
from .token import log_name
from .user_limit import evict, refuse_when_full

if TYPE_CHECKING:
    from .held import Held
    from .saving import Saving


async def replace(saving: Saving, held: Held, changes: Changes) -> Results:
    """End the record, and begin another with what was set since it was cleared."""
    session, store = saving.session, saving.store
    await refuse_when_full(saving.sessions, store, held, changes.sets)
    removed = await end(store, held.key, held.record.values)
    session._held = None
    session._withdraw_id()
    if removed and events.destroyed.receivers:
        events.destroyed.send(saving.sessions, session=session)
    return await saving.create(changes)


async def change_id(saving: Saving, held: Held, grace: float) -> None:
    """Renew the id; with a grace, of two requests that do so the second goes on by the old."""
    if await _move(saving, held, {}, grace):
        return
    if grace and await look_again(saving.sessions, saving.store, held.key) is not None:
        session = saving.session
        session._regenerate = session._send = None  # the new id is for its own request to send
        return
    saving.session._lose("revoked", True)


async def log_in(saving: Saving, held: Held, changes: Changes) -> Results:
    """Change the id and the user in one step; where the record is gone, begin another."""
    session = saving.session
    is_quick = saving.sessions.same_key == "last-wins"
    is_disputed = not is_quick or any(isinstance(op, Incr) for op in changes.ops)
    if is_disputed and held.move is None:
        agreed = await _agree(saving, held, changes)
        if agreed is None:
            return await _begin_anew(saving, held, changes)
        changes = agreed
    at_once = is_quick and not changes.deletes and not changes.ops
    sets = {k: v for k, v in changes.sets.items() if at_once or k[:1] == RESERVED}
    if USER in sets:
        await refuse_when_full(saving.sessions, saving.store, held, sets)
    stored = await _move(saving, held, sets, 0.0)
    if stored is None:
        return await _begin_anew(saving, held, changes)
    if at_once:
        session._settle(session._all_fields(), changes)
    else:
        session._keep_unstored(stored)
    if USER in sets:
        await evict(saving.sessions, saving.store, held, session.user)
    sets = {k: v for k, v in changes.sets.items() if stored.get(k) != v}
    rest = Changes(sets, changes.deletes, changes.ops)
    return await saving.commit(held, rest, not saving.is_last, True) if rest else Results()


async def _agree(saving: Saving, held: Held, changes: Changes) -> Changes | None:
    """Settle disputes while the old id is good: an error after the move would lose both."""
    sessions = saving.sessions
    theirs = await look_again(sessions, saving.store, held.key)
    if theirs is None:
        return None
    if theirs.generation == held.record.generation:  # else nothing is left to dispute
        expects = expectations(sessions, held.record, changes)
        changes, _ = settle(saving.session, changes, expects, theirs)
    held.record = theirs
    return changes


async def _move(
    saving: Saving, held: Held, sets: dict[str, bytes], grace: float
) -> dict[str, bytes] | None:
    session = saving.session
    stored = await move(saving.sessions, saving.store, held, sets, grace)
    if stored is not None:
        session._send, session._regenerate = held.id, None
        if events.regenerated.receivers:
            events.regenerated.send(saving.sessions, session=session)
    return stored


async def _begin_anew(saving: Saving, held: Held, changes: Changes) -> Results:
    """Log in though the record was revoked: with what this request set, and nothing of it."""
    session = saving.session
    if USER not in changes.sets:  # nothing else tells who that is
        session._lose("revoked", True)
    log.info("session %s was revoked: the login begins another", log_name(held.key))
    session._keep_own()
    session._held = session._regenerate = None
    await saving.create(session._changes())
    return Results(
        session._values[op.field] if isinstance(op, Incr) else None
        for op in changes.ops
        if not isinstance(op, Clear)
    )
