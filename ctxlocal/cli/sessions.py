"""``ctxlocal sessions``: what an operator asks of a session store, and may end in it.

A session is named by its handle, the store's key: SHA-256 of the id, of which the id
cannot be had. Values are shown only when asked for; ids are nowhere in the store.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
from rich.console import Console
from rich.table import Table

from ..errors import CtxLocalError

if TYPE_CHECKING:
    from ..session.protocol import Record, Store
    from ..session.stored import SessionInfo

F = TypeVar("F", bound=Callable[..., Any])
SHORT = 12  # characters of a handle that a table shows


@click.group()
def sessions() -> None:
    """Look into a session store, and end sessions in it.

    STORE is sqlite:///file.db, redis://host:6379/0, postgresql://user@host/db or another
    URL of SQLAlchemy's. Give it in the environment variable CTXLOCAL_STORE if it holds a
    password: a command line is visible to others.
    """


def _with_store(command: F) -> F:
    return click.option(
        "--store",
        "url",
        required=True,
        envvar="CTXLOCAL_STORE",
        metavar="STORE",
        help="The store's URL; or the environment variable CTXLOCAL_STORE.",
    )(command)


_with_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_with_handle = click.argument("handle")


@sessions.command("list")
@_with_store
@click.option("--user", help="Only the sessions of this user.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1))
@_with_json
def list_(url: str, user: str | None, limit: int, as_json: bool) -> None:
    """List live sessions: handle, user, when they began and were last seen."""
    from ..session.stored import session_info

    def found(store: Store) -> list[SessionInfo]:
        records: Iterable[tuple[str, Record]]
        records = store.scan() if user is None else reversed(store.list(user))
        return [session_info(*each) for each, _ in zip(records, range(limit), strict=False)]

    infos = _ask(url, found)
    if as_json:
        _print_json([_as_dict(info) for info in infos])
        return
    table = Table(box=None, header_style="bold")
    for title in ("handle", "user", "began", "last seen", "expires", "keys"):
        table.add_column(title, no_wrap=title == "handle")
    for info in infos:
        times = (_when(at) for at in (info.began, info.last_seen, info.expires))
        table.add_row(info.handle[:SHORT], info.user or "-", *times, str(len(info.values)))
    Console(highlight=False).print(table)
    if len(infos) == limit:
        click.echo(f"The first {limit}; --limit shows more.")


@sessions.command()
@_with_store
@_with_handle
@click.option("--values", "with_values", is_flag=True, help="Show the values too.")
@_with_json
def show(url: str, handle: str, with_values: bool, as_json: bool) -> None:
    """Show one session: its times, and the keys it holds with their types.

    HANDLE is what `list` shows, or as much of it as is unique.
    """
    from ..session.stored import session_info

    info = _ask(url, lambda store: session_info(*_find(store, handle)))
    if as_json:
        _print_json(_as_dict(info, with_values=with_values))
        return
    table = Table(box=None, show_header=False)
    table.add_row("handle", info.handle)
    table.add_row("user", info.user or "-")
    for title, at in (("began", info.began), ("last seen", info.last_seen)):
        table.add_row(title, _when(at))
    table.add_row("expires", _when(info.expires))
    for key, value in info.values.items():
        table.add_row(f"[{key}]", repr(value) if with_values else type(value).__name__)
    Console(highlight=False, markup=False).print(table)


@sessions.command()
@_with_store
@_with_handle
def revoke(url: str, handle: str) -> None:
    """End one session. HANDLE is what `list` shows, or as much of it as is unique."""

    def end(store: Store) -> bool:
        key, _ = _find(store, handle)
        return store.delete(key)

    click.echo("1 session ended" if _ask(url, end) else "It had ended already")


@sessions.command("revoke-all")
@_with_store
@click.option("--user", help="End the sessions of this user.")
@click.option("--everyone", is_flag=True, help="End the sessions of all users and visitors.")
def revoke_all(url: str, user: str | None, everyone: bool) -> None:
    """End all sessions of a user, or of everyone."""
    if (user is None) is not everyone:
        raise click.UsageError("say whose: either --user NAME or --everyone")
    ended = _ask(url, lambda s: s.revoke_everyone() if user is None else s.revoke(user))
    click.echo(_counted(ended, "ended"))


@sessions.command()
@_with_store
def purge(url: str) -> None:
    """Remove expired sessions, where the store does not do so itself."""
    click.echo(_counted(_ask(url, lambda store: store.purge()), "removed"))


@sessions.command()
@_with_store
@_with_json
def stats(url: str, as_json: bool) -> None:
    """Count live sessions, users and bytes."""
    found = _ask(url, lambda store: store.stats())
    if as_json:
        _print_json(found._asdict())
        return
    click.echo(f"{found.sessions} sessions, {found.users} users, {found.bytes} bytes")


R = TypeVar("R")


def _ask(url: str, question: Callable[[Store], R]) -> R:
    """Open the store, ask, close it; what goes wrong is one line and exit status 2."""
    try:
        from ..session.stores.url import open_store

        store = open_store(url)
        try:
            return question(store)
        finally:
            store.close()
    except CtxLocalError as error:
        _fail(error)


def _fail(error: CtxLocalError) -> NoReturn:
    click.echo(f"Error: {error}", err=True)
    if error.__cause__ is not None:
        click.echo(f"  {type(error.__cause__).__name__}", err=True)
    sys.exit(2)


def _find(store: Store, handle: str) -> tuple[str, Record]:
    """Return the one live session whose handle begins so. O(1) for a whole handle, else O(all)."""
    if len(handle) == 64 and (record := store.load(handle)) is not None:
        return handle, record
    if len(handle) < 6:
        raise click.BadParameter(f"{handle!r} is too short: give 6 characters or more")
    found = [each for each in store.scan() if each[0].startswith(handle)]
    if len(found) != 1:
        many = "no live session" if not found else f"{len(found)} live sessions"
        raise click.BadParameter(f"{many} in {store.name} with a handle that begins {handle!r}")
    return found[0]


def _as_dict(info: SessionInfo, *, with_values: bool = False) -> dict[str, Any]:
    shown: dict[str, Any] = info._asdict()
    del shown["is_current"], shown["values"]
    shown["keys"] = {key: type(value).__name__ for key, value in info.values.items()}
    if with_values:
        shown["values"] = info.values
    return shown


def _print_json(data: Any) -> None:
    click.echo(json.dumps(data, indent=1, default=_plain))


def _plain(value: Any) -> Any:
    return sorted(value, key=repr) if isinstance(value, frozenset) else repr(value)


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")


def _counted(number: int, what: str) -> str:
    return f"{number} session{'' if number == 1 else 's'} {what}"
