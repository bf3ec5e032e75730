"""The twins have the same names, signatures, docstrings, errors and behaviour.

``DIFFERENCES`` lists what may differ, each with its reason; everything else fails here.
"""

# mypy: disable-error-code="func-returns-value, misc, has-type, no-untyped-call"
# (calls in a tuple of lambdas: what they return is nobody's)

from __future__ import annotations

import copy
import inspect
import pickle
import re
import types
import weakref
from collections.abc import Callable
from contextvars import Context, ContextVar
from types import ModuleType
from typing import Any

import pytest

import ctxlocal

from ..support.twins import IMPLEMENTATIONS

pytestmark = pytest.mark.skipif(
    "native" not in IMPLEMENTATIONS, reason="the native twin is not built"
)

PURE: Any = IMPLEMENTATIONS["pure"]
NATIVE: Any = IMPLEMENTATIONS.get("native", PURE)
CLASSES = ("Local", "LocalStack", "LocalProxy")
FUNCTIONS = ("is_bound", "proxy", "release_local", "unwrap", "scoped")

DIFFERENCES = {
    "values of a dropped Local": (
        "In the context strategy the pure twin's live as long as their Contexts, because there "
        "is no finding them without slowing every write; the native twin's die at once."
    ),
    "type(local)": (
        "The pure twin's instances are of a hidden subclass of the same name, which makes "
        "attribute access fast in Python; the native twin's are of the class itself."
    ),
    "a ContextVar of ours": (
        "The pure twin has one for each attribute, the native twin one for each Local; so what "
        "a Token of foreign code restores, or what it copies between Contexts, is by name there "
        "and by Local here."
    ),
    "arity of special methods": (
        "Those in C that take no argument or one get the text of CPython for a wrong number."
    ),
    "errors of descriptors": (
        "A data descriptor that raises AttributeError is asked twice by the pure twin where the "
        "class has an __init__ or the Local a name, because Python keeps no error for __getattr__."
    ),
    "__slots__": "The pure twin's classes name their slots; those in C have none to name.",
}


@pytest.fixture(scope="module", autouse=True)
def _no_mark_of_others() -> None:
    """Take out of the classes what zope.interface notes in each that it was asked of."""
    for impl in IMPLEMENTATIONS.values():
        for cls in impl.LocalProxy.__mro__[:-1]:
            for name in {"__implemented__", "__providedBy__", "__provides__"} & {*vars(cls)}:
                delattr(cls, name)


def public(cls: type) -> set[str]:
    """The names that a class offers, without those of every object and our private ones."""
    hidden = {"__slots__", "__weakref__", "__static_attributes__"}
    hidden |= {"__annotations__", "__annotate_func__", "__annotations_cache__"}
    hidden |= {"__firstlineno__", "__getattr__", "__orig_bases__", "__parameters__"}
    hidden |= {"_slot", "_is_list", "__new__"}
    if cls.__name__ == "Local":
        hidden.add("__dict__")  # of the hidden subclass in the pure twin
    return {n for n in dir(cls) if not n.startswith("_ctxlocal_") and n not in hidden}


@pytest.mark.parametrize("name", CLASSES)
def test_classes_have_the_same_names(name: str) -> None:
    assert public(getattr(NATIVE, name)) == public(getattr(PURE, name))


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("attribute", ["__name__", "__qualname__", "__module__"])
def test_classes_are_named_alike(name: str, attribute: str) -> None:
    native, pure = getattr(NATIVE, name), getattr(PURE, name)
    assert getattr(native, attribute) == getattr(pure, attribute)
    assert getattr(ctxlocal, name) in (native, pure)


@pytest.mark.parametrize("name", [*CLASSES, *FUNCTIONS])
def test_docstrings_are_the_same(name: str) -> None:
    native, pure = getattr(NATIVE, name), getattr(PURE, name)
    assert inspect.getdoc(native) == inspect.getdoc(pure)
    assert native.__module__ == pure.__module__
    if name in FUNCTIONS:
        return
    for attribute in public(pure) - public(object):
        of_pure = inspect.getattr_static(pure, attribute)
        if (written := getattr(of_pure, "__doc__", None)) and not attribute.startswith("__class_g"):
            of_native = getattr(native, attribute)
            assert inspect.getdoc(of_native) == inspect.cleandoc(written), attribute


def shape(function: Any) -> list[tuple[str, Any, Any]]:
    """A signature without annotations."""
    parameters = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default) for p in parameters]


def test_constructors_have_the_same_signatures() -> None:
    for name in CLASSES:
        assert shape(getattr(NATIVE, name)) == shape(getattr(PURE, name).__init__)[1:]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_the_same_signatures(name: str) -> None:
    assert shape(getattr(NATIVE, name)) == shape(getattr(PURE, name))


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        *(("Local", name) for name in ("__init_subclass__", "__release_local__", "__copy__")),
        *(("Local", name) for name in ("__reduce_ex__", "__dir__", "__call__", "__iter__")),
        *(("LocalStack", name) for name in ("push", "pop", "pushed", "__release_local__")),
        *(("LocalStack", name) for name in ("__copy__", "__reduce_ex__", "__call__")),
    ],
)
def test_methods_have_the_same_signatures(cls: str, name: str) -> None:
    native, pure = getattr(getattr(NATIVE, cls), name), getattr(getattr(PURE, cls), name)
    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD

    def loosely(function: Any) -> list[tuple[str, Any, Any]]:
        # self is positional-only in C, and so is the argument of a special method.
        return [
            (n, positional if n in ("self", "protocol") else k, d) for n, k, d in shape(function)
        ]

    assert loosely(native) == loosely(pure)


@pytest.mark.parametrize("name", CLASSES)
def test_methods_are_named_alike(name: str) -> None:
    def names(cls: Any) -> dict[str, Any]:
        return {
            each: (found.__name__, found.__qualname__)
            for each in public(cls) - {"__class__", "__init_subclass__", "__subclasshook__"}
            if callable(found := getattr(cls, each)) and each not in ("__class_getitem__",)
        }

    native, pure = names(getattr(NATIVE, name)), names(getattr(PURE, name))
    assert set(native) == set(pure)
    own = {each for each in pure if not pure[each][1].startswith("object.")}
    different = {each for each in own if native[each] != pure[each]}
    assert not different, [(native[each], pure[each]) for each in sorted(different)]


def test_no_method_of_the_native_types_is_python() -> None:
    for cls in (NATIVE.Local, NATIVE.LocalStack, NATIVE.LocalProxy, NATIVE.LocalProxy.__base__):
        assert cls.__flags__ & (1 << 9)  # a heap type, as several interpreters need
        for name, found in vars(cls).items():
            function = getattr(found, "__func__", found)
            assert not isinstance(function, (types.FunctionType, property)), name
            assert not hasattr(function, "__code__"), name
    for function in (NATIVE.unwrap, NATIVE.is_bound):
        assert isinstance(function, types.BuiltinFunctionType)
    assert type(NATIVE.Local()) is NATIVE.Local


# Behaviour: what each of these does is told in words that do not name the twin


class Plain:
    def __init__(self) -> None:
        self.x = 1


def bound(impl: Any, value: object) -> Any:
    local = impl.Local(name="web")
    local.value = value
    return local("value")


def with_init(impl: Any) -> Any:
    class Conn(impl.Local, ident="thread"):  # type: ignore[call-arg]
        def __init__(self, host: str, **given: object) -> None:
            super().__init__(**given)
            self.host = host

    return Conn


def subclass(impl: Any) -> Any:
    class Sub(impl.Local):
        x = 1

        @property
        def fixed(self) -> int:
            return 2

        def method(self) -> str:
            return "called"

    return Sub(name="web")


def first_uses(impl: Any) -> list[tuple[str, list[str]]]:
    """Which uses start the ``__init__`` of a new owner."""
    calls: list[str] = []

    class Conn(impl.Local, ident="context"):  # type: ignore[call-arg]
        role = "guest"

        def __init__(self) -> None:
            calls.append("init")

        @property
        def fixed(self) -> int:
            return 1

        def method(self) -> None: ...

    conn = Conn()
    uses: dict[str, Callable[[], Any]] = {
        "class attribute": lambda: conn.role,
        "property": lambda: conn.fixed,
        "method": conn.method,
        "missing": lambda: hasattr(conn, "missing"),
        "set": lambda: setattr(conn, "value", 1),
        "repr": lambda: repr(conn),
        "release": lambda: impl.release_local(conn),
        "proxy": lambda: bool(conn("value")),
    }
    found = []
    for name, use in uses.items():
        calls.clear()
        Context().run(use)
        found.append((name, list(calls)))
    return found


VAR: ContextVar[Any] = ContextVar("parity")

CASES: dict[str, Callable[[Any], Any]] = {
    # wrong arguments
    "unknown keyword": lambda m: m.Local(idnet="thread"),
    "two positional": lambda m: m.Local(None, None),
    "keyword for positional-only": lambda m: m.Local(context_var=None),
    "stack, unknown keyword": lambda m: m.LocalStack(idnet="thread"),
    "proxy without arguments": lambda m: m.LocalProxy(),
    "proxy, name twice": lambda m: m.LocalProxy(len, "a", name="b"),
    "proxy, unknown keyword": lambda m: m.LocalProxy(len, like=int),
    "call without a name": lambda m: m.Local()(),
    "call with too much": lambda m: m.Local()("a", "b"),
    "stack call with too much": lambda m: m.LocalStack()("a", "b"),
    "pushed nothing": lambda m: m.LocalStack().pushed(),
    "pushed too much": lambda m: m.LocalStack().pushed(1, True),
    "pushed None": lambda m: m.LocalStack(name="s").pushed(None),
    "unwrap nothing": lambda m: m.unwrap(),
    "unwrap two": lambda m: m.unwrap(1, 2),
    "is_bound, unknown keyword": lambda m: m.is_bound(obj=1),
    "is_bound of no proxy": lambda m: m.is_bound(5),
    "proxy() without like": lambda m: m.proxy(m.Local(), "x"),
    "proxy() like no class": lambda m: m.proxy(m.Local(), "x", like=5),
    "resolve with arguments": lambda m: bound(m, 1)._get_current_object(1),
    "subclass keyword": lambda m: type("Sub", (m.Local,), {}, idnet="thread"),
    "init with a strategy": lambda m: with_init(m)("host", ident="thread"),
    "init with too little": lambda m: with_init(m)(),
    # refused
    "var and ident": lambda m: m.Local(VAR, ident="thread", name="web"),
    "no var": lambda m: m.Local(5, name="web"),
    "stack, no var": lambda m: m.LocalStack(5, name="web"),
    "unknown strategy": lambda m: m.Local(ident="gevnt"),
    "no proxy for a number": lambda m: m.LocalProxy(5),
    "no name": lambda m: m.LocalProxy(m.Local()),
    "name of a number": lambda m: m.LocalProxy(m.Local(), 5),
    "unusable owner": lambda m: setattr(m.Local(ident=list), "x", 1),
    # attributes
    "missing": lambda m: m.Local().x,
    "missing in a subclass": lambda m: subclass(m).y,
    "delete missing": lambda m: delattr(m.Local(), "x"),
    "missing, named": lambda m: m.Local(name="web").x,
    "delete missing, named": lambda m: delattr(m.Local(name="web"), "x"),
    "missing, named by no str": lambda m: m.Local(name=5).x,
    "missing in a nameless subclass": lambda m: type("Sub", (m.Local,), {})().y,
    "missing in a named copy": lambda m: copy.copy(m.Local(name="web")).x,
    "refused before __init__": lambda m: m.Local.__new__(m.Local).__delattr__("__dict__"),
    "set __dict__, named": lambda m: setattr(m.Local(name="web"), "__dict__", {}),
    "view, missing, named": lambda m: m.Local(name="web").__dict__["x"],
    "pickle, named": lambda m: pickle.dumps(m.Local(name="web")),
    "pickle a stack, named": lambda m: pickle.dumps(m.LocalStack(name="web")),
    "copies": lambda m: [repr(copy.copy(c(name="a"))) for c in (m.Local, m.LocalStack)],
    "delete a class attribute": lambda m: delattr(subclass(m), "x"),
    "set a property": lambda m: setattr(subclass(m), "fixed", 1),
    "delete a property": lambda m: delattr(subclass(m), "fixed"),
    "set __dict__": lambda m: setattr(m.Local(), "__dict__", {}),
    "set a number": lambda m: setattr(m.Local(), 5, 1),  # type: ignore[arg-type]
    "view with a number": lambda m: m.Local().__dict__.__setitem__(5, 1),
    "view, missing": lambda m: m.Local().__dict__["x"],
    "view, delete missing": lambda m: m.Local().__dict__.__delitem__("x"),
    "thread's dict": lambda m: type(m.Local(ident="thread").__dict__),
    "context's dict": lambda m: type(m.Local(ident="context").__dict__),
    "class attribute": lambda m: (subclass(m).x, subclass(m).fixed, subclass(m).method()),
    "set top": lambda m: setattr(m.LocalStack(), "top", 1),
    "attribute on a stack": lambda m: setattr(m.LocalStack(), "x", 1),
    "unmade local": lambda m: type(m.Local.__new__(m.Local)).__name__,
    "repr": lambda m: (repr(m.Local(name="a")), repr(m.LocalStack(name=""))),
    "not a context manager": lambda m: m.Local().__enter__,
    "no length": lambda m: len(m.Local()),
    "hash and equality": lambda m: (hash(m.Local()) is None, m.Local() == m.Local()),
    # pickling and copying
    **{
        f"pickle a {name}, {protocol}": lambda m, n=name, p=protocol: pickle.dumps(
            getattr(m, n)(), p
        )
        for name in ("Local", "LocalStack")
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
    "deep copy": lambda m: copy.deepcopy(m.Local()),
    "copy": lambda m: list(copy.copy(subclass(m))),
    "pickle a proxy": lambda m: pickle.dumps(bound(m, [1])),
    "copy a proxy": lambda m: (copy.copy(bound(m, [1])), copy.deepcopy(bound(m, [1]))),
    # proxies
    "unbound": lambda m: m.Local(name="web", ident="thread")("x")._get_current_object(),
    "unbound attribute": lambda m: m.Local(name="web", ident="thread")("x").y,
    "unbound item": lambda m: m.Local(name="web", ident="thread")("x")[0],
    "unbound call": lambda m: m.LocalStack(name="web", ident="thread")()(),
    "unbound var": lambda m: m.LocalProxy(ContextVar("v"))._get_current_object(),
    "unbound name": lambda m: m.LocalProxy(lambda: 5, "x")._get_current_object(),
    "unbound name of a stack": lambda m: [
        s := m.LocalStack(name="s"),
        s.push(1),
        s("x")._get_current_object(),
    ],
    "unbound name of a Local on a stack": lambda m: [
        s := m.LocalStack(name="s"),
        s.push(m.Local(name="web")),
        s("x")._get_current_object(),
    ],
    "unbound repr, dir, bool": lambda m: [f(m.Local()("x")) for f in (repr, dir, bool)],
    "resolver fails": lambda m: m.LocalProxy(fails)._get_current_object(),
    "no place": lambda m: m.LocalProxy(one).__iadd__(1),
    "not callable": lambda m: bound(m, 5)(),
    "not iterable": lambda m: list(bound(m, 5)),
    "not subscriptable": lambda m: bound(m, 5)["x"],
    "not an iterator": lambda m: next(bound(m, 5)),
    "no sum": lambda m: bound(m, 5) + None,
    "no reflected sum": lambda m: None + bound(m, 5),
    "no sum in place": lambda m: bound(m, 5).__iadd__(None),
    "power": lambda m: (pow(bound(m, 2), 3, 5), 2 ** bound(m, 3)),
    "wrong format": lambda m: format(bound(m, 5), "zz"),
    **{
        f"like {like.__name__}": lambda m, t=like: sorted(
            public(type(m.proxy(m.Local(), "x", like=t)))
        )
        for like in (int, float, str, bytes, list, dict, set, type, object, types.CoroutineType)
    },
    "names of a like class": lambda m: [
        (c.__name__, c.__qualname__, c.__module__, c.__doc__ == int.__doc__)
        for c in [type(m.proxy(m.Local(), "x", like=int))]
    ],
    "class attribute of a new owner": first_uses,
    "generic": lambda m: (m.LocalProxy[int].__args__, m.LocalStack[int].__args__),
    "weak": lambda m: weakref.ref(bound(m, 5))() is None,
    "value of __class__": lambda m: (bound(m, 5).__class__, m.Local()("x").__class__.__name__),
    "set on the target": lambda m: [p := bound(m, Plain()), setattr(p, "y", 2), p.__dict__],
    "bytes, int, float, complex": lambda m: [
        f(bound(m, v)) for f, v in ((bytes, b"x"), (int, 1.5), (float, 2), (complex, 3))
    ],
    "module of a pickled class": lambda m: pickle.dumps(m.LocalProxy.__name__),
}


def fails() -> None:
    raise AttributeError("inside")


def one() -> int:
    return 1


def outcome(case: Callable[[Any], Any], impl: ModuleType) -> tuple[Any, ...]:
    """What comes of it; an error with its classes, text, data and causes."""
    try:
        return "result", in_words(case(impl))
    except Exception as error:
        return "error", *describe(error)


def in_words(found: Any) -> Any:
    if isinstance(found, (list, tuple)):
        return [in_words(each) for each in found]
    if found is None or isinstance(found, (str, int, bytes, float, complex, dict, type)):
        return found
    return type(found).__name__


def describe(error: BaseException) -> list[Any]:
    data = {n: in_words(v) for n, v in vars(error).items() if n != "obj"}
    cause = error.__cause__
    text = ADDRESS.sub("0x0", str(error))
    return [type(error), text, data, None if cause is None else describe(cause)]


ADDRESS = re.compile(r"0x[0-9a-f]+")
SAME_BUT_FOR_THE_TEXT = {
    "resolve with arguments": "The resolver of a proxy has no name of its own in the docs.",
    "set top": "CPython names a property, and an attribute in C, in words of its own.",
}


@pytest.mark.parametrize("name", CASES)
def test_both_do_the_same(name: str) -> None:
    native = Context().run(outcome, CASES[name], NATIVE)
    pure = Context().run(outcome, CASES[name], PURE)
    if name in SAME_BUT_FOR_THE_TEXT:
        assert native[:2] == pure[:2]
        return
    assert native == pure
