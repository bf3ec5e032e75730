"""Context semantics against a plain-dict model.

A state machine of hypothesis drives several Locals and LocalStacks from two threads and
two greenlets (four threads on a free-threaded Python), each of which enters and leaves Contexts,
snapshots and frames at will.
``Scene`` is the model of one Context: a dict per kind of variable. After every step all
that can be read anywhere is compared with it.

A longer search: ``CTXLOCAL_MODEL_EXAMPLES=20000 CTXLOCAL_MODEL_STEPS=100``.
"""

from __future__ import annotations

import gc
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from contextvars import Context, ContextVar, Token, copy_context
from functools import partial
from queue import SimpleQueue
from types import ModuleType
from typing import Any, ClassVar, Protocol

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ctxlocal.local.pure import attribute, cell

from ..support.free_threaded import FREE_THREADED

EXAMPLES = int(os.environ.get("CTXLOCAL_MODEL_EXAMPLES", "100"))
STEPS = int(os.environ.get("CTXLOCAL_MODEL_STEPS", "50"))

NAMES = ("model_a", "model_b", "model_c", "model_d", "model_e")
FOREIGN: tuple[ContextVar[int], ...] = tuple(ContextVar(f"foreign_{i}") for i in range(60))
INDEX = {var: index for index, var in enumerate(FOREIGN)}


# The model


class Scene:
    """One Context. A key that was never written is absent; one that holds nothing is None."""

    def __init__(self, context: Context, like: Scene | None = None) -> None:
        self.context = context
        self.own: dict[Any, Any] = {} if like is None else dict(like.own)
        self.foreign: dict[int, int] = {} if like is None else dict(like.foreign)
        self.parent = like
        self.version = 0
        self.base = None if like is None else like.version
        self.is_active = False

    def write(self, key: Any, value: Any) -> None:
        self.own[key] = value
        self.version += 1

    def attributes(self, serial: int) -> dict[str, Any]:
        pairs = {
            key[2]: pair
            for key, pair in self.own.items()
            if key[:2] == ("attribute", serial) and pair is not None
        }
        return {name: pairs[name][1] for name in sorted(pairs, key=pairs.__getitem__)}


class Named:
    """A Local or LocalStack under test; a serial number of its own makes its keys."""

    serials = itertools.count()

    def __init__(self, subject: Any, is_given: bool = False) -> None:
        self.subject = subject
        self.is_given = is_given  # over a ContextVar of the user's, which frames leave alone
        self.serial = next(self.serials)


# Who runs the steps


class Actor:
    """Executes steps on command, inside as many nested Contexts as it has entered."""

    def __init__(self) -> None:
        self.scenes: list[Scene] = []

    @property
    def scene(self) -> Scene:
        return self.scenes[-1]

    def start(self) -> None:
        scene = Scene(Context())
        self.begin(lambda: scene.context.run(self.loop))
        self.entered(scene)

    def call(self, function: Callable[[], Any]) -> Any:
        return self.send(("call", function))

    def enter(self, scene: Scene, run: Callable[[Callable[[], None]], None]) -> None:
        self.send(("enter", lambda: run(self.loop)))
        self.entered(scene)

    def entered(self, scene: Scene) -> None:
        scene.is_active = True
        self.scenes.append(scene)

    def leave(self) -> None:
        self.send(("leave", lambda: None))
        self.scenes.pop().is_active = False

    def loop(self) -> None:
        self.reply(None, None)
        while True:
            kind, function = self.receive()
            if kind == "leave":
                return
            try:
                result = function()
            except Exception as error:
                self.reply(None, error)
            else:
                self.reply(result, None)

    def begin(self, function: Callable[[], None]) -> None:
        raise NotImplementedError

    def send(self, command: tuple[str, Callable[[], Any]]) -> Any:
        raise NotImplementedError

    def receive(self) -> tuple[str, Callable[[], Any]]:
        raise NotImplementedError

    def reply(self, result: Any, error: Exception | None) -> None:
        raise NotImplementedError

    def close(self) -> None:
        while len(self.scenes) > 1:
            self.leave()


class ThreadActor(Actor):
    def begin(self, function: Callable[[], None]) -> None:
        self.inbox: SimpleQueue[tuple[str, Callable[[], Any]]] = SimpleQueue()
        self.outbox: SimpleQueue[tuple[Any, Exception | None]] = SimpleQueue()
        self.thread = threading.Thread(target=function, daemon=True)
        self.thread.start()
        self.outbox.get()

    def send(self, command: tuple[str, Callable[[], Any]]) -> Any:
        self.inbox.put(command)
        result, error = self.outbox.get()
        if error is not None:
            raise error
        return result

    def receive(self) -> tuple[str, Callable[[], Any]]:
        return self.inbox.get()

    def reply(self, result: Any, error: Exception | None) -> None:
        self.outbox.put((result, error))

    def close(self) -> None:
        super().close()
        self.inbox.put(("leave", lambda: None))
        self.thread.join()


class GreenletActor(Actor):
    def begin(self, function: Callable[[], None]) -> None:
        import greenlet

        self.greenlet = greenlet.greenlet(function)
        self.answer: tuple[Any, Exception | None] = (None, None)
        self.greenlet.switch()

    def send(self, command: tuple[str, Callable[[], Any]]) -> Any:
        self.greenlet.switch(command)
        result, error = self.answer
        if error is not None:
            raise error
        return result

    def receive(self) -> tuple[str, Callable[[], Any]]:
        parent = self.greenlet.parent
        assert parent is not None
        command: tuple[str, Callable[[], Any]] = parent.switch()
        return command

    def reply(self, result: Any, error: Exception | None) -> None:
        self.answer = (result, error)

    def close(self) -> None:
        super().close()
        self.greenlet.switch(("leave", lambda: None))
        assert self.greenlet.dead


ACTORS = (ThreadActor, ThreadActor, *[ThreadActor if FREE_THREADED else GreenletActor] * 2)


# What is tested


class Family(Protocol):
    """The locals of one run."""

    has_flow: bool
    flow: Any

    def locals(self) -> list[Named]: ...
    def stacks(self) -> list[Named]: ...
    def release(self, subject: Any) -> None: ...


class CtxlocalFamily:
    has_flow = True

    def __init__(self, impl: ModuleType) -> None:
        self.flow = impl.flow
        self.release: Callable[[Any], None] = impl.release_local
        self._local: Any = impl.Local
        self._stack: Any = impl.LocalStack

    def locals(self) -> list[Named]:
        # A class of its own has not met the names yet, which a Local learns for its class.
        fresh_class = type("FreshLocal", (self._local,), {})
        return [
            Named(fresh_class()),
            Named(fresh_class(ident="context")),
            Named(self._local(ContextVar("given_local")), is_given=True),
        ]

    def stacks(self) -> list[Named]:
        return [
            Named(self._stack()),
            Named(self._stack(ident="context")),
            Named(self._stack(ContextVar("given_stack")), is_given=True),
        ]


class ContextModel(RuleBasedStateMachine):
    """The state machine. ``family`` is set in a subclass."""

    family: ClassVar[Any]

    def __init__(self) -> None:
        super().__init__()
        self.locals: list[Named] = self.family.locals()
        self.stacks: list[Named] = self.family.stacks()
        self.fresh = itertools.count(1)
        self.actors: list[Actor] = [kind() for kind in ACTORS]
        for actor in self.actors:
            actor.start()
        self.scenes = [actor.scene for actor in self.actors]
        self.foreign_tokens: list[tuple[Scene, list[tuple[int, Token[int], int | None]]]] = []
        self.own_tokens: list[tuple[Scene, list[tuple[Any, Token[Any]]], dict[Any, Any]]] = []
        self.scopes: list[tuple[Any, Named, dict[Any, Any]]] = []
        self.snapshots: list[tuple[Any, Scene]] = []
        self.frames: list[tuple[Any, Scene]] = []

    def teardown(self) -> None:
        for actor in self.actors:
            actor.close()

    # Attributes

    @rule(
        who=st.integers(0, 3),
        which=st.integers(0, 2),
        name=st.sampled_from(NAMES),
        how=st.sampled_from(["set", "set", "set", "delete"]),
        through_dict=st.booleans(),
    )
    def change_attribute(
        self, who: int, which: int, name: str, how: str, through_dict: bool
    ) -> None:
        actor, local = self.actors[who], _pick(self.locals, which)
        if how == "set":
            value = next(self.fresh)
            self.model_set(actor.scene, local, name, value)
            if through_dict:
                actor.call(lambda: local.subject.__dict__.__setitem__(name, value))
            else:
                actor.call(lambda: setattr(local.subject, name, value))
            return
        is_there = name in actor.scene.attributes(local.serial)
        if is_there:
            actor.scene.write(("attribute", local.serial, name), None)
        if through_dict:
            done = actor.call(lambda: _succeeds(local.subject.__dict__.__delitem__, name))
        else:
            done = actor.call(lambda: _succeeds(delattr, local.subject, name))
        assert done is is_there

    def model_set(self, scene: Scene, local: Named, name: str, value: Any) -> None:
        key = ("attribute", local.serial, name)
        former = scene.own.get(key)
        rank = next(self.fresh) if former is None else former[0]
        scene.write(key, (rank, value))

    @rule(who=st.integers(0, 3), which=st.integers(0, 5))
    def release(self, who: int, which: int) -> None:
        actor, named = self.actors[who], _pick([*self.locals, *self.stacks], which)
        actor.call(lambda: self.family.release(named.subject))
        for key in list(actor.scene.own):
            if key[0] in ("attribute", "stack") and key[1] == named.serial:
                actor.scene.write(key, None)
        actor.scene.version += 1

    @rule(which=st.integers(0, 2))
    def replace_local(self, which: int) -> None:
        self.locals[which % len(self.locals)] = self.family.locals()[which % len(self.locals)]

    # Stacks

    @precondition(lambda self: self.stacks)
    @rule(who=st.integers(0, 3), which=st.integers(0, 2), push=st.booleans())
    def change_stack(self, who: int, which: int, push: bool) -> None:
        actor, stack = self.actors[who], _pick(self.stacks, which)
        key = ("stack", stack.serial)
        held: tuple[Any, ...] = actor.scene.own.get(key) or ()
        if push:
            value = next(self.fresh)
            assert actor.call(lambda: stack.subject.push(value)) is None
            actor.scene.write(key, (*held, value))
        else:
            expected = held[-1] if held else None
            assert actor.call(stack.subject.pop) == expected
            if held:
                actor.scene.write(key, held[:-1])

    # Foreign variables and tokens

    @rule(who=st.integers(0, 3), first=st.integers(0, 59), count=st.sampled_from([1, 2, 17, 60]))
    def set_foreign(self, who: int, first: int, count: int) -> None:
        actor = self.actors[who]
        value = next(self.fresh)
        chosen = range(first, min(first + count, 60))

        def step() -> list[tuple[int, Token[int], int | None]]:
            return [(i, FOREIGN[i].set(value), actor.scene.foreign.get(i)) for i in chosen]

        self.foreign_tokens.append((actor.scene, actor.call(step)))
        actor.scene.foreign.update(dict.fromkeys(chosen, value))
        actor.scene.version += 1

    @rule(who=st.integers(0, 3))
    def reset_foreign(self, who: int) -> None:
        actor = self.actors[who]
        found = _take_last(self.foreign_tokens, lambda entry: entry[0] is actor.scene)
        if found is None:
            return
        for index, token, former in found[1]:
            actor.call(partial(FOREIGN[index].reset, token))
            if former is None:
                actor.scene.foreign.pop(index, None)
            else:
                actor.scene.foreign[index] = former
        actor.scene.version += 1

    @rule(who=st.integers(0, 3))
    def take_own_tokens(self, who: int) -> None:
        """Set each variable of ours to what it holds; resetting the tokens restores that."""
        actor = self.actors[who]

        def step() -> list[tuple[Any, Token[Any]]]:
            return [(v, v.set(value)) for v, value in copy_context().items() if v not in INDEX]

        self.own_tokens.append((actor.scene, actor.call(step), dict(actor.scene.own)))

    @rule(who=st.integers(0, 3))
    def reset_own_tokens(self, who: int) -> None:
        actor = self.actors[who]
        # How attributes share variables is the implementation's own affair, so what a reset
        # does to a key that is younger than the token is undefined.
        found = _take_last(
            self.own_tokens,
            lambda entry: entry[0] is actor.scene and entry[2].keys() == entry[0].own.keys(),
        )
        if found is None:
            return
        for var, token in found[1]:
            actor.call(partial(var.reset, token))
        actor.scene.own = dict(found[2])
        actor.scene.version += 1

    # Contexts

    @rule(who=st.integers(0, 3))
    def copy_current(self, who: int) -> None:
        actor = self.actors[who]
        self.scenes.append(Scene(actor.call(copy_context), actor.scene))

    @rule(which=st.integers(0, 99))
    def copy_other(self, which: int) -> None:
        origin = _pick(self.scenes, which)
        self.scenes.append(Scene(origin.context.copy(), origin))

    @rule()
    def new_context(self) -> None:
        self.scenes.append(Scene(Context()))

    @rule(who=st.integers(0, 3), which=st.integers(0, 99))
    def enter_context(self, who: int, which: int) -> None:
        idle = [scene for scene in self.scenes if not scene.is_active]
        if idle:
            scene = _pick(idle, which)
            self.actors[who].enter(scene, scene.context.run)

    @rule(who=st.integers(0, 3))
    def leave(self, who: int) -> None:
        if len(self.actors[who].scenes) > 1:
            self.actors[who].leave()

    @rule(who=st.integers(0, 3), which=st.integers(0, 99))
    def copy_back(self, who: int, which: int) -> None:
        """Set what a child has changed in its parent, as asgiref does when the child is done.

        The parent has waited: what becomes of a change of its own meanwhile is undefined.
        """
        actor = self.actors[who]
        parent = actor.scene
        children = [s for s in self.scenes if s.parent is parent and s.base == parent.version]
        if not children:
            return
        child = _pick(children, which)

        def step() -> None:
            for var in child.context:
                value = child.context[var]
                try:
                    if var.get() != value:
                        var.set(value)
                except LookupError:
                    var.set(value)

        actor.call(step)
        parent.own = dict(child.own)
        parent.foreign.update(child.foreign)
        parent.version += 1
        child.base = parent.version

    # Scopes

    @precondition(lambda self: self.family.has_flow)
    @rule(
        who=st.integers(0, 3),
        which=st.integers(0, 2),
        names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True),
    )
    def enter_scoped(self, who: int, which: int, names: list[str]) -> None:
        actor, local = self.actors[who], _pick(self.locals, which)
        values = {name: next(self.fresh) for name in names}
        scope = self.family.flow.scoped(local.subject, **values)
        actor.call(scope.__enter__)
        keys = [("attribute", local.serial, name) for name in names]
        former = {key: actor.scene.own.get(key) for key in keys}
        for name, value in values.items():
            self.model_set(actor.scene, local, name, value)
        self.entered_scope(actor, scope, local, former)

    @precondition(lambda self: self.stacks and self.family.has_flow)
    @rule(who=st.integers(0, 3), which=st.integers(0, 2))
    def enter_pushed(self, who: int, which: int) -> None:
        actor, stack = self.actors[who], _pick(self.stacks, which)
        value = next(self.fresh)
        scope = stack.subject.pushed(value)
        assert actor.call(scope.__enter__) == value
        key = ("stack", stack.serial)
        former = {key: actor.scene.own.get(key)}
        actor.scene.write(key, (*(former[key] or ()), value))
        self.entered_scope(actor, scope, stack, former)

    def entered_scope(self, actor: Actor, scope: Any, named: Named, former: dict[Any, Any]) -> None:
        mark = ("mark", named.serial)
        actor.scene.write(mark, (*(actor.scene.own.get(mark) or ()), scope))
        self.scopes.append((scope, named, former))

    @precondition(lambda self: self.scopes)
    @rule(who=st.integers(0, 3), which=st.integers(0, 99))
    def leave_scope(self, who: int, which: int) -> None:
        actor = self.actors[who]
        scope, named, former = self.scopes.pop(-1 - which % len(self.scopes))
        actor.call(lambda: scope.__exit__(None, None, None))
        mark = ("mark", named.serial)
        marks: tuple[Any, ...] = actor.scene.own.get(mark) or ()
        if scope not in marks:
            return
        actor.scene.write(mark, marks[: marks.index(scope)])
        for key, value in former.items():
            if key[0] == "stack":
                actor.scene.write(key, value)
            elif value is not None:
                self.model_set(actor.scene, named, key[2], value[1])
            elif actor.scene.own.get(key) is not None:
                actor.scene.write(key, None)

    # Snapshots and frames

    @precondition(lambda self: self.family.has_flow)
    @rule(who=st.integers(0, 3))
    def take_snapshot(self, who: int) -> None:
        actor = self.actors[who]
        captured = Scene(Context(), actor.scene)  # the model alone; its Context is not used
        self.snapshots.append((actor.call(self.family.flow.snapshot), captured))

    @precondition(lambda self: self.snapshots)
    @rule(who=st.integers(0, 3), which=st.integers(0, 99))
    def enter_snapshot(self, who: int, which: int) -> None:
        actor = self.actors[who]
        snapshot, captured = _pick(self.snapshots, which)
        scene = Scene(Context(), captured)
        actor.enter(scene, snapshot.run)

    @precondition(lambda self: self.snapshots)
    @rule(which=st.integers(0, 99))
    def make_frame_of_snapshot(self, which: int) -> None:
        snapshot, captured = _pick(self.snapshots, which)
        self.frames.append((snapshot.frame(), Scene(Context(), captured)))

    @precondition(lambda self: self.family.has_flow)
    @rule(who=st.integers(0, 3))
    def make_frame(self, who: int) -> None:
        actor = self.actors[who]
        scene = Scene(Context(), actor.scene)
        given = {named.serial for named in [*self.locals, *self.stacks] if named.is_given}
        for key in scene.own:
            if key[0] == "mark" or key[1] not in given:
                scene.own[key] = None
        self.frames.append((actor.call(self.family.flow.Frame), scene))

    @precondition(lambda self: self.frames)
    @rule(who=st.integers(0, 3), which=st.integers(0, 99))
    def enter_frame(self, who: int, which: int) -> None:
        frame, scene = _pick(self.frames, which)
        if not scene.is_active:
            self.actors[who].enter(scene, frame.run)

    # Reads

    @invariant()
    def everything_reads_as_in_the_model(self) -> None:
        for actor in self.actors:
            actor.call(partial(self.compare, actor.scene))
        for scene in self.scenes:
            if not scene.is_active:
                scene.context.run(self.compare, scene)
        for frame, scene in self.frames:
            if not scene.is_active:
                frame.run(self.compare, scene)

    def compare(self, scene: Scene) -> None:
        for local in self.locals:
            expected = scene.attributes(local.serial)
            assert {n: getattr(local.subject, n) for n in NAMES if hasattr(local.subject, n)} == (
                expected
            )
            assert list(local.subject) == list(expected.items())
            assert list(local.subject.__dict__.items()) == list(expected.items())
        for stack in self.stacks:
            held = scene.own.get(("stack", stack.serial)) or ()
            assert stack.subject.top == (held[-1] if held else None)
            assert copy_context().run(_pop_all, stack.subject) == [*reversed(held)]
        assert {i: value for i, v in enumerate(FOREIGN) if (value := v.get(None))} == scene.foreign


def _pick(choices: list[Any], which: int) -> Any:
    return choices[which % len(choices)]


def _take_last(entries: list[Any], fits: Callable[[Any], bool]) -> Any:
    for index in range(len(entries) - 1, -1, -1):
        if fits(entries[index]):
            return entries.pop(index)
    return None


def _succeeds(function: Callable[..., object], *args: Any) -> bool:
    try:
        function(*args)
    except (AttributeError, KeyError):
        return False
    return True


def _pop_all(stack: Any) -> list[Any]:
    return list(iter(stack.pop, None))


def _run(
    family: Family,
    examples: int,
    *,
    find_only: bool = False,
    machine: type[ContextModel] = ContextModel,
) -> None:
    run_state_machine_as_test(
        type("Machine", (machine,), {"family": family}),
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            print_blob=not find_only,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate] if find_only else [Phase.generate, Phase.shrink],
        ),
    )


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_locals_behave_as_the_model_says(impl: ModuleType) -> None:
    gc.collect()  # locals of other tests, in other strategies, would have frames exchange more
    _run(CtxlocalFamily(impl), EXAMPLES)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_the_many_names_of_one_local_behave_as_the_model_says(
    impl: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for two names only, the others take the paths meant for thousands."""
    gc.collect()
    monkeypatch.setattr(cell, "MOST_CELLS", 2)
    monkeypatch.setattr(attribute, "_MOST_PROPERTIES", 1)
    if impl.IMPLEMENTATION == "native":
        from ctxlocal.local import _native  # type: ignore[attr-defined,unused-ignore]

        former = _native._limit_names(2)
    try:
        _run(CtxlocalFamily(impl), EXAMPLES // 2)
    finally:
        if impl.IMPLEMENTATION == "native":
            _native._limit_names(former)


# The machine is able to fail


class SimpleLocal:
    """A right and slow Local; the wrong ones below each change one thing."""

    def __init__(self) -> None:
        object.__setattr__(self, "_var", ContextVar("simple", default=()))

    def _load(self) -> dict[str, Any]:
        return dict(self._var.get())

    def _store(self, values: dict[str, Any]) -> None:
        self._var.set(tuple(values.items()))

    def __getattribute__(self, name: str) -> Any:
        if name == "__dict__":
            return _Values(self)
        return object.__getattribute__(self, name)

    def __getattr__(self, name: str) -> Any:
        try:
            return self._load()[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self._store({**self._load(), name: value})

    def __delattr__(self, name: str) -> None:
        values = self._load()
        if name not in values:
            raise AttributeError(name)
        self._store({n: v for n, v in values.items() if n != name})

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(list(self._load().items()))

    def release(self) -> None:
        self._store({})


class _Values:
    def __init__(self, local: SimpleLocal) -> None:
        self._local = local

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self._local, name, value)

    def __delitem__(self, name: str) -> None:
        delattr(self._local, name)

    def items(self) -> list[tuple[str, Any]]:
        return list(self._local)


class MutatingLocal(SimpleLocal):
    """Changes a dict in place that copied Contexts share."""

    def _load(self) -> dict[str, Any]:
        return self._var.get() or {}

    def _store(self, values: dict[str, Any]) -> None:
        held = self._var.get()
        if not held:
            self._var.set(values)
            return
        held.update(values)
        for name in held.keys() - values.keys():
            del held[name]


class ThreadOwnedLocal(MutatingLocal):
    """Changes in place what its own thread has stored: unsound."""

    def _load(self) -> dict[str, Any]:
        held = self._var.get()
        return held[1] if held else {}

    def _store(self, values: dict[str, Any]) -> None:
        held = self._var.get()
        me = threading.current_thread()
        if not held or held[0] is not me:
            self._var.set((me, dict(values)))
            return
        held[1].update(values)
        for name in held[1].keys() - values.keys():
            del held[1][name]


class ThreadKeyedLocal(SimpleLocal):
    """Keeps its values by thread ident."""

    def __init__(self) -> None:
        object.__setattr__(self, "_by_thread", {})

    def _load(self) -> dict[str, Any]:
        return dict(self._by_thread.get(threading.get_ident(), {}))

    def _store(self, values: dict[str, Any]) -> None:
        self._by_thread[threading.get_ident()] = values


class SimpleFamily:
    has_flow = False
    flow = None

    def __init__(self, local_class: type[SimpleLocal]) -> None:
        self._local_class = local_class

    def locals(self) -> list[Named]:
        return [Named(self._local_class()), Named(self._local_class())]

    def stacks(self) -> list[Named]:
        return []

    def release(self, subject: Any) -> None:
        subject.release()


@pytest.mark.timeout(0)
def test_the_machine_accepts_another_right_local() -> None:
    _run(SimpleFamily(SimpleLocal), 20)


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("wrong", [MutatingLocal, ThreadOwnedLocal, ThreadKeyedLocal])
def test_the_machine_finds_a_wrong_local(wrong: type[SimpleLocal]) -> None:
    with pytest.raises(AssertionError):  # after 45 examples in the mean, and it stops there
        _run(SimpleFamily(wrong), 2_000, find_only=True)
