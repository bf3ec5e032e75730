"""What of a SQLite file, and of where it lies, endangers sessions."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

from ...sessions.stores.sqlite import SQLiteStore
from .finding import Finding, judge

_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre"}
_MEMORY = {"tmpfs", "ramfs"}
_MOUNTS = Path("/proc/self/mountinfo")  # of Linux
_LEAST_FREE = 100 * 2**20


def find(store: SQLiteStore) -> tuple[str, list[Finding]]:
    """Ask the file; return the engine with its version, and what was found.

    :raises StoreUnavailableError: it cannot be opened.
    """
    mode = store._run("check", _journal_mode)
    path = Path(os.path.realpath(store.path))
    found = [_journal(mode), _file_system(path), _access(path), _space(path)]
    return f"SQLite {sqlite3.sqlite_version}", found


def _journal_mode(connection: sqlite3.Connection) -> str:
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return str(mode)


def _journal(mode: str) -> Finding:
    text = (
        "Whoever reads keeps writers waiting. The file was made so, or lies where WAL cannot work. "
        "Move it to a local disk, and set PRAGMA journal_mode = WAL."
    )
    return judge("journal_mode", mode, ("wal",), text)


def _file_system(path: Path) -> Finding:
    name = "file system"
    kind = _kind(path, _MOUNTS)
    if kind is None:
        return Finding(
            name, "", "not known", "Whether the file is on a local disk cannot be told here."
        )
    if kind in _NETWORK or kind.startswith("fuse."):
        text = (
            "SQLite's locks and its shared memory do not reach other machines: the file can be "
            "destroyed. Put it on a local disk, or use another store."
        )
        return Finding(name, kind, "warning", text)
    if kind in _MEMORY:
        text = "It is memory: a restart of the machine ends every session."
        return Finding(name, kind, "note", text)
    if kind == "overlay":
        text = "It is a container's own: where that is replaced every session ends. Mount a volume."
        return Finding(name, kind, "note", text)
    return Finding(name, kind)


def _kind(path: Path, mounts: Path) -> str | None:
    """Return the kind of file system that a file is in; None where it cannot be told."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    kinds: dict[Path, str] = {}
    for line in lines:
        before, _, after = line.partition(" - ")
        point = before.split(" ")[4].replace("\\040", " ")
        kinds[Path(point)] = after.split(" ")[0]  # the last one lies over those before
    return next((kinds[each] for each in path.parents if each in kinds), None)


def _access(path: Path) -> Finding:
    is_writable = all(os.access(each, os.W_OK) for each in (path, path.parent))
    text = "This user may not write the file, or its folder: each change of a session is a 503."
    return judge("writable", "yes" if is_writable else "no", ("yes",), text)


def _space(path: Path) -> Finding:
    free = shutil.disk_usage(path.parent).free
    value = f"{free / 2**30:.1f} GB" if free >= 2**30 else f"{free / 2**20:.0f} MB"
    if free >= _LEAST_FREE:
        return Finding("free space", value)
    text = "Once it is full no change is taken (503). Make room, and run ctxlocal sessions purge."
    return Finding("free space", value, "warning", text)
