"""``ctxlocal sessions``: what an operator asks of a session store, and may end in it.

A session is named by its handle, which stays the same when its id is renewed, and of which
no id can be had. Values are shown only when asked for; ids are nowhere in the store.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..lab.stores import StoreProblem, opened
from .output import new_console
from .session_check import show as show_check

if TYPE_CHECKING:
    from ..sessions.in_store.sessions import SessionInfo
    from ..sessions.stores.protocol import Record, Stats, Store

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R")
SHORT = 12  # characters of a handle that a table shows
NARROW = 56  # columns that the table needs for all but the user
FEWEST = 6  # that have to be given
_STORE_HELP = "The store's URL; or the environment variable CTXLOCAL_STORE."
_is_handle = re.compile(rf"[0-9a-f]{{{FEWEST},64}}|[0-9a-f]{{32}}_[0-9a-f]*").fullmatch


@click.group()
def sessions() -> None:
    """Look into a session store, and end sessions in it.

    STORE is sqlite:///file.db, redis://host:6379/0, redis+cluster://a,b,
    redis+sentinel://a,b/service, postgresql+psycopg://user@host/db or another URL of SQLAlchemy's;
    ?prefix=, ?table= and others may follow. Give it in the environment variable CTXLOCAL_STORE if
    it holds a password: a command line is visible to others.

    A session is named by its handle, which is not what its cookie holds.

    Exit status: 0 done, 1 no such session or a warning of `check`, 2 wrong usage or a store that
    cannot be asked.
    """


def _with_store(command: F) -> F:
    return click.option(
        "--store",
        "url",
        callback=_given,
        envvar="CTXLOCAL_STORE",
        metavar="STORE",
        help=_STORE_HELP,
    )(command)


def _given(_: click.Context, __: click.Parameter, url: str | None) -> str:
    if not url:
        raise click.UsageError(
            "no store is given: use --store STORE, or the environment variable CTXLOCAL_STORE"
        )
    return url


def _utf8(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        raise click.BadParameter("it is no UTF-8") from None
    return value


_with_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_with_handle = click.argument("handle")


@sessions.command("list")
@_with_store
@click.option("--user", callback=_utf8, help="Only the sessions of this user.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1))
@_with_json
def list_(url: str, user: str | None, limit: int, as_json: bool) -> None:
    """List live sessions: handle, user, and their times.

    When they began, were last seen and expire, and how many keys they hold.
    Those of one user come the last used first, others in no order.
    """

    def found(store: Store) -> list[SessionInfo]:
        from ..sessions.in_store.sessions import session_info

        records: Iterable[tuple[str, Record]]
        records = store.scan() if user is None else reversed(store.list(user))
        return [session_info(*each) for each in islice(records, limit + 1)]

    infos = _ask(url, found)
    is_more, infos = len(infos) > limit, infos[:limit]
    if as_json:
        _print_json([_as_dict(info) for info in infos])
    else:
        _print_table(infos)
    if is_more:
        click.echo(f"These are the first {limit}; --limit shows more.", err=True)


@sessions.command()
@_with_store
@_with_handle
@click.option("--values", "with_values", is_flag=True, help="Show the values too.")
@_with_json
def show(url: str, handle: str, with_values: bool, as_json: bool) -> None:
    """Show one session: its times, its keys and their types.

    HANDLE is what `list` shows, or as much of it as is unique.
    """

    def found(store: Store) -> SessionInfo:
        from ..sessions.in_store.sessions import session_info

        return session_info(*_find(store, handle))

    info = _ask(url, found)
    if as_json:
        _print_json(_as_dict(info, with_values=with_values))
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for title, text in (
        ("handle", info.handle),
        ("user", info.user or "-"),
        ("began", f"{_when(info.began)} UTC"),
        ("last seen", f"{_when(info.last_seen)} UTC"),
        ("expires", f"{_when(info.expires)} UTC"),
    ):
        table.add_row(title, _harmless(text))
    for key, value in info.values.items():
        shown = repr(value) if with_values else type(value).__name__
        table.add_row(_harmless(f"[{key}]"), _harmless(shown))
    _console().print(table)


@sessions.command()
@_with_store
@_with_handle
@_with_json
def revoke(url: str, handle: str, as_json: bool) -> None:
    """End one session.

    HANDLE is what `list` shows, or as much of it as is unique.
    """
    _ask(url, lambda store: _end(store, handle))
    _print_count(1, "ended", as_json)


@sessions.command("revoke-all")
@_with_store
@click.option("--user", callback=_utf8, help="End the sessions of this user.")
@click.option("--everyone", is_flag=True, help="End the sessions of all users and visitors.")
@_with_json
def revoke_all(url: str, user: str | None, everyone: bool, as_json: bool) -> None:
    """End all sessions of a user, or of everyone."""
    if (user is None) is not everyone:
        raise click.UsageError("say whose: either --user NAME or --everyone")
    ended = _ask(url, lambda s: s.revoke_everyone() if user is None else s.revoke(user))
    _print_count(ended, "ended", as_json)


@sessions.command()
@_with_store
@_with_json
def purge(url: str, as_json: bool) -> None:
    """Remove the expired sessions that a store still holds.

    Redis removes them itself; there the number is that of entries in its users' indexes,
    whose sessions have expired.
    """
    _print_count(_ask(url, lambda store: store.purge()), "removed", as_json)


@sessions.command()
@_with_store
@_with_json
def stats(url: str, as_json: bool) -> None:
    """Count live sessions, their users and their bytes.

    Warns of a Redis that drops keys when it is full, and so sessions.
    """

    def counted(store: Store) -> tuple[Stats, list[str]]:
        return store.stats(), list(_warnings(store))

    found, warnings = _ask(url, counted)
    for warning in warnings:
        click.echo(f"Warning: {_harmless(warning)}", err=True)
    if as_json:
        _print_json(found._asdict())
        return
    counts = (_plural(found.sessions, "session"), _plural(found.users, "user"))
    click.echo(", ".join([*counts, _plural(found.bytes, "byte")]))


@sessions.command()
@click.argument("named", metavar="[STORE]", required=False)
@click.option("--store", "url", envvar="CTXLOCAL_STORE", metavar="STORE", help=_STORE_HELP)
@_with_json
@click.pass_context
def check(context: click.Context, named: str | None, url: str | None, as_json: bool) -> None:
    """Try a store, time it, and judge its server's settings.

    Some sessions of nobody live and end there, about 65 calls; nothing of them is left, and no
    other is touched. Then the server is asked for what endangers sessions: eviction, persistence,
    replication, isolation, limits. Of what it does not tell this user "not known" is said.

    Exit status: 0 nothing endangers sessions, 1 there are warnings, 2 wrong usage or a store that
    cannot be asked.
    """
    from ..lab.check.report import check as try_out

    place = _given(context, context.command.params[0], named or url)
    found = _ask(place, lambda store: try_out(store, place))
    if as_json:
        _print_json(found.as_dict())
    else:
        show_check(found, _console())
    sys.exit(0 if found.is_healthy else 1)


def _ask(url: str, question: Callable[[Store], R]) -> R:
    """Open the store, ask, close it. Nothing is made that is not there."""
    try:
        with opened(url, must_exist=True) as store:
            return question(store)
    except StoreProblem as problem:
        _fail(str(problem), 2)


def _warnings(store: Store) -> Iterator[str]:
    """Yield what in a store's server endangers sessions."""
    if not hasattr(store, "eviction_policies"):
        return
    from ..lab.check.redis import eviction

    for policy in sorted(store.eviction_policies()):
        what = f"{store.name} {eviction(policy)} (maxmemory-policy {policy})"
        yield f"{what}; set it to noeviction"


def _fail(problem: str, status: int) -> NoReturn:
    click.echo(f"Error: {_harmless(problem)}", err=True)
    sys.exit(status)


def _find(store: Store, handle: str) -> tuple[str, Record]:
    """Return the session whose handle begins so, with its key. O(sessions), or those of a user."""
    from ..sessions.handle import handle_of, read_handle

    handle = handle.lower()
    if _is_handle(handle) is None:
        # Without saying what was given: it may be a cookie's value.
        _fail(f"HANDLE has to be {FEWEST} or more hexadecimal digits, as `list` shows them", 2)
    named = read_handle(handle)
    records = store.scan() if named is None else store.list(named.user)
    found = [each for each in records if handle in (each[0], handle_of(*each)[: len(handle)])]
    if len(found) > 1:
        _fail(f"{len(found)} sessions in {store.name} have a handle that begins so; say more", 2)
    return (
        found[0] if found else _fail(f"No session in {store.name} has a handle that begins so", 1)
    )


def _end(store: Store, handle: str) -> None:
    """End the session, also if its id is being renewed."""
    from ..sessions.handle import handle_of, read_handle

    is_ended = False
    while not is_ended:
        key, record = _find(store, handle)  # until it is gone, which ends this command
        named = read_handle(handle_of(key, record))
        if named is None:
            is_ended = store.delete(key)
        else:
            is_ended = store.revoke(named.user, None, named.name) > 0


def _as_dict(info: SessionInfo, *, with_values: bool = False) -> dict[str, Any]:
    shown: dict[str, Any] = info._asdict()
    del shown["is_current"], shown["values"]
    shown["keys"] = {key: type(value).__name__ for key, value in info.values.items()}
    if with_values:
        shown["values"] = info.values
    return shown


def _print_json(data: Any) -> None:
    """Print what any reader of JSON takes: NaN as null, bytes as base64, times as ISO 8601."""
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(data, enc_hook=repr), indent=1)
    click.echo(text.decode())


def _print_table(infos: list[SessionInfo]) -> None:
    if not infos:
        click.echo("No live sessions")
        return
    console = _console()
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("handle", no_wrap=True)
    table.add_column("user", overflow="fold", max_width=max(4, console.width - NARROW))
    for title in ("began (UTC)", "last seen (UTC)", "expires (UTC)"):
        table.add_column(title, min_width=len("2026-11-22"))
    table.add_column("keys", justify="right", no_wrap=True, min_width=len("keys"))
    for info in infos:
        times = (_when(at, "minutes") for at in (info.began, info.last_seen, info.expires))
        user = _harmless(info.user or "-")
        table.add_row(info.handle[:SHORT], user, *times, str(len(info.values)))
    console.print(table)


def _console() -> Console:
    """Return a console; where no terminal sets a width, lines are as long as they have to be."""
    is_free = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return new_console(10_000 if is_free else None)


def _harmless(text: str) -> Text:
    """Return a text as it is, without what would command the terminal."""
    return Text("".join(c if c.isprintable() else repr(c)[1:-1] for c in text))


def _when(at: float, to: str = "seconds") -> str:
    try:
        moment = datetime.fromtimestamp(at, timezone.utc).replace(tzinfo=None)
    except (ValueError, OverflowError, OSError):  # a record of somebody else's making
        return "?"
    return moment.isoformat(" ", to)


def _print_count(number: int, what: str, as_json: bool) -> None:
    if as_json:
        _print_json({what: number})
    else:
        click.echo(f"{_plural(number, 'session')} {what}")


def _plural(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
