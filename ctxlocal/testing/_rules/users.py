"""The rules of a store's protocol on users, their lists, and handles."""

from __future__ import annotations

from ...sessions.stores.protocol import HANDLE, USER, Clear
from .._trial import TTL, Trial
from .rule import REVOKED, committed, rule


@rule()
def a_user_has_a_list(trial: Trial) -> None:
    """``list`` gives the keys and records of one user, the one touched longest ago first."""
    keys = [trial.key(f"K{number}") for number in range(5)]
    for key, user in zip(keys, (b"ann", b"bob", b"ann", b"ann", None), strict=True):
        trial.create(key, {"a": b"1"} if user is None else {USER: user, "a": b"1"})
    found = list(trial.call("list", "ann"))
    trial.equal({key for key, _ in found}, {keys[0], keys[2], keys[3]})
    touched = [record.touched for _, record in found]
    trial.equal(touched, sorted(touched))
    trial.equal(dict(found[0][1].values), {USER: b"ann", "a": b"1"})
    trial.equal([key for key, _ in trial.call("list", "bob")], [keys[1]])
    trial.equal(list(trial.call("list", "an")), [])


@rule(clock=True)
def a_list_is_in_order_of_touch(trial: Trial) -> None:
    """Touch and commit move a record to the end of its user's list."""
    keys = [trial.key(f"K{number}") for number in range(3)]
    for key in keys:
        trial.create(key, {USER: b"ann"})
        trial.advance(0.1)
    trial.equal(trial.call("touch", keys[0], TTL), True)
    trial.advance(0.1)
    trial.equal(trial.commit(keys[1], {"a": b"1"}), committed())
    trial.equal([key for key, _ in trial.call("list", "ann")], [keys[2], keys[0], keys[1]])


@rule()
def a_user_is_any_text(trial: Trial) -> None:
    """A user's id is any text, compared exactly."""
    users = ["Ann", "ann", "", "*", "a:b", "%", "é\u2028\U0001f36a", "a\0b", "a", "'\"", "u" * 300]
    for number, user in enumerate(users):
        trial.create(trial.key(f"K{number}"), {USER: user.encode()})
    for number, user in enumerate(users):
        trial.equal([key for key, _ in trial.call("list", user)], [trial.key(f"K{number}")])


@rule()
def the_user_follows_a_move(trial: Trial) -> None:
    """A move may set the user; the record is then that user's, under the new key alone."""
    old, new, newer = trial.key("old"), trial.key("new"), trial.key("newer")
    trial.create(old, {"a": b"1"})
    trial.equal(trial.call("move", old, new, {USER: b"ann"}, TTL, 100.0), True)
    trial.equal([key for key, _ in trial.call("list", "ann")], [new])
    trial.equal(trial.call("move", new, newer, {USER: b"bob"}, TTL, 100.0), True)
    trial.equal(list(trial.call("list", "ann")), [])
    trial.equal([key for key, _ in trial.call("list", "bob")], [newer])
    trial.equal(trial.call("revoke", "ann"), 0)
    trial.equal(trial.call("revoke", "bob"), 1)
    for key in (old, new, newer):
        trial.absent(key)


@rule()
def clear_drops_the_user(trial: Trial) -> None:
    """After a Clear the record is no user's; ``revoke`` leaves it."""
    key = trial.key("K")
    trial.create(key, {USER: b"ann", "a": b"1"})
    trial.equal(trial.commit(key, {"b": b"2"}, ops=(Clear(),)), committed(None))
    trial.equal(list(trial.call("list", "ann")), [])
    trial.equal(trial.call("revoke", "ann"), 0)
    trial.values(key, {"b": b"2"})


@rule()
def a_deleted_record_leaves_the_list(trial: Trial) -> None:
    """A deleted record is not in its user's list."""
    keys = [trial.key("K"), trial.key("L")]
    for key in keys:
        trial.create(key, {USER: b"ann"})
    trial.equal(trial.call("delete", keys[0]), True)
    trial.equal([key for key, _ in trial.call("list", "ann")], [keys[1]])


@rule()
def revoke_removes_a_users_records(trial: Trial) -> None:
    """``revoke`` removes all of a user's records but that of ``except_key``; it counts them."""
    keys = [trial.key(f"K{number}") for number in range(4)]
    for key, user in zip(keys, (b"ann", b"ann", b"ann", b"bob"), strict=True):
        trial.create(key, {USER: user})
    base = trial.load(keys[0])
    trial.equal(trial.call("revoke", "ann", keys[1]), 2)
    trial.absent(keys[0])
    trial.absent(keys[2])
    trial.equal(trial.commit(keys[0], {"a": b"1"}, base=base), REVOKED)
    trial.values(keys[1], {USER: b"ann"})
    trial.values(keys[3], {USER: b"bob"})
    trial.equal(trial.call("revoke", "ann", keys[3]), 1)
    trial.absent(keys[1])
    trial.values(keys[3], {USER: b"bob"})
    trial.equal(trial.call("revoke", "ann"), 0)


@rule()
def revoke_spares_the_record_of_an_old_key(trial: Trial) -> None:
    """``except_key`` may be an old key of the record that stays."""
    keys = [trial.key(f"K{number}") for number in range(4)]
    for key in keys[:2]:
        trial.create(key, {USER: b"ann"})
    trial.equal(trial.call("move", keys[0], keys[2], {}, TTL, 100.0), True)
    trial.equal(trial.call("move", keys[2], keys[3], {}, TTL, 100.0), True)
    trial.equal(trial.call("revoke", "ann", keys[0]), 1)
    trial.absent(keys[1])
    trial.values(keys[3], {USER: b"ann"})
    trial.values(keys[0], {USER: b"ann"})
    trial.equal(trial.call("revoke", "ann"), 1)
    trial.absent(keys[0])


@rule()
def a_handle_names_one_record(trial: Trial) -> None:
    """``revoke`` with a handle removes that user's record whose HANDLE it is, and no other."""
    keys = [trial.key(f"K{number}") for number in range(4)]
    handles = [f"{number:032x}" for number in range(4)]
    for key, user, handle in zip(keys, (b"ann", b"ann", b"bob"), handles, strict=False):
        trial.create(key, {USER: user, HANDLE: handle.encode()})
    trial.create(keys[3], {USER: b"ann"})
    trial.equal(trial.call("revoke", "ann", None, handles[2]), 0)
    trial.equal(trial.call("revoke", "ann", None, handles[3]), 0)
    trial.equal(trial.call("revoke", "ann", keys[0], handles[0]), 0)
    trial.equal(trial.call("revoke", "ann", None, handles[0]), 1)
    trial.equal(trial.call("revoke", "ann", None, handles[0]), 0)
    trial.absent(keys[0])
    trial.values(keys[2], {USER: b"bob", HANDLE: handles[2].encode()})
    trial.equal({key for key, _ in trial.call("list", "ann")}, {keys[1], keys[3]})


@rule()
def a_handle_names_a_record_for_its_life(trial: Trial) -> None:
    """HANDLE goes along with each move; a Clear keeps it if its ``sets`` hold it."""
    keys = [trial.key(f"K{number}") for number in range(5)]
    handle = "0123456789abcdef" * 2
    trial.create(keys[0], {HANDLE: handle.encode(), "a": b"1"})
    answer = trial.commit(keys[0], {HANDLE: handle.encode()}, ops=(Clear(),))
    trial.equal(answer, committed(None))
    trial.equal(trial.call("move", keys[0], keys[1], {USER: b"ann"}, TTL, 0), True)
    trial.equal(trial.call("move", keys[1], keys[2], {}, TTL, 100.0), True)
    trial.equal(trial.commit(keys[1], {"b": b"2"}, generation=2), committed())
    trial.values(keys[2], {USER: b"ann", HANDLE: handle.encode(), "b": b"2"})
    trial.equal(trial.call("revoke", "ann", None, handle), 1)
    for key in keys:
        trial.absent(key)
    trial.create(keys[3], {USER: b"ann", HANDLE: handle.encode()})
    trial.equal(trial.commit(keys[3], ops=(Clear(),)), committed(None))
    trial.equal(trial.call("move", keys[3], keys[4], {USER: b"ann"}, TTL, 0), True)
    trial.equal(trial.call("revoke", "ann", None, handle), 0)
    trial.values(keys[4], {USER: b"ann"})


@rule()
def revoke_everyone_removes_all(trial: Trial) -> None:
    """``revoke_everyone`` removes every record, counts them, and leaves a store that works."""
    keys = [trial.key(f"K{number}") for number in range(3)]
    for key, user in zip(keys, (b"ann", b"bob", None), strict=True):
        trial.create(key, {"a": b"1"} if user is None else {USER: user})
    base = trial.load(keys[0])
    trial.equal(trial.call("revoke_everyone"), 3)
    for key in keys:
        trial.absent(key)
    trial.equal(trial.commit(keys[0], {"a": b"1"}, base=base), REVOKED)
    trial.equal(list(trial.call("list", "ann")), [])
    trial.equal(trial.call("revoke_everyone"), 0)
    trial.create(keys[0], {"b": b"2"})
    trial.values(keys[0], {"b": b"2"})
