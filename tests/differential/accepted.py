"""Where the implementations may differ, each with its reason; an entry that nothing uses fails."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Accepted:
    """A difference between the pure twin and another implementation.

    :param other: which other one.
    :param reason: why it may stay.
    :param step: what the step looks like, as a regular expression.
    :param theirs: what the outcome of the other looks like, as a regular expression.
    :param kind: the programs that it is about.
    :param since: the Python on which it begins.
    :param is_end: what follows such a step is not compared, whatever came of it.
    """

    other: str
    reason: str
    step: str = ""
    ours: str = ""
    theirs: str = ""
    kind: str = ""
    since: tuple[int, int] = (3, 10)
    is_end: bool = False

    def covers(self, kind: str, program: list[str], at: int, ours: Any, theirs: Any) -> bool:
        """Whether this is what the step at ``at`` shows."""
        pairs = (
            (self.kind, kind),
            (self.step, program[at]),
            (self.ours, str(ours)),
            (self.theirs, str(theirs)),
        )
        return all(re.search(pattern, text) for pattern, text in pairs)


LOCALS = "local"
PROXIES = "sweep|proxy"
SPECIAL = r"__(?!class|dict|doc|orig_class)\w+__"
ACCEPTED = (
    # The twins
    Accepted(
        "native",
        "CPython lets object.__setattr__ pass no __setattr__ of C, as threading.local's; to ask a "
        "method instead would double the price of a set",
        kind=LOCALS,
        step=r"object\.__(set|del)attr__",
        is_end=True,
    ),
    Accepted(
        "native",
        "object.__getattribute__ looks in the class and the instance; the pure twin's values "
        "stand there as properties, mostly, those of a C class never (threading.local's neither)",
        kind=LOCALS,
        step=r"__getattribute__\(",
    ),
    Accepted(
        "native",
        "CPython words the wrong number of arguments of a method in C",
        kind="stack",
        step=r"p\.(push|pop)\(",
        theirs=r"takes (exactly one|no keyword|no) argument",
    ),
    Accepted(
        "native",
        "CPython words an attribute in C that cannot be set",
        kind="stack",
        step=r"attr\(p, 'top'",
        theirs="not writable",
    ),
    # werkzeug
    Accepted(
        "werkzeug",
        "the result of an in-place operation is stored, or refused where there is no place; "
        "werkzeug drops it",
        step=r"[-+*/%@&|^<>]=|operator\.i|__i\w+__|global_",
    ),
    Accepted(
        "werkzeug",
        "the other operand is unwrapped where it is a proxy; in werkzeug the target sees a proxy",
        step=r"\b[pq]\b.*\b[pq]\b",
    ),
    Accepted(
        "werkzeug",
        "a special method that is taken as an attribute is the target's, and missing where it "
        "has none; werkzeug's is a partial of the operation",
        step=r"\._*\w*__\w+__|'__\w+__'|vars\(p\)",
    ),
    Accepted("werkzeug", "pickling acts on the target", step="pickle"),
    Accepted(
        "werkzeug",
        "where nothing is bound, or finding it fails, that error is raised, and it is an "
        "AttributeError too where Python asks for an attribute, so that hasattr works; "
        "werkzeug's special methods swallow it",
        ours="RuntimeError|ZeroDivisionError|is not callable",
    ),
    Accepted(
        "werkzeug",
        "the same: Python asks for an attribute, and goes on without it",
        theirs="'RuntimeError'|'no'",
    ),
    Accepted(
        "werkzeug",
        "before its __init__ a proxy says what is missing; werkzeug recurses, or is falsy",
        kind="class",
        ours="_get_current_object",
    ),
    Accepted(
        "werkzeug",
        "slips: a class is not formatted, self is no keyword, PurePosixPath takes no str, a "
        "class patched with | calls a function with one argument",
        theirs=r"copy\(\) missing|__format__|r_op\(\) missing|values for argument 'self'|PathLike",
    ),
    Accepted(
        "werkzeug",
        "what a subclass of LocalProxy defines is set and deleted on the proxy; in werkzeug it "
        "is read from the proxy and set on the target",
        kind="proxy",
        step=r"(set|del)attr\(p",
    ),
    Accepted(
        "werkzeug",
        "the __getattr__ of a subclass is asked for what the target lacks, and leaves the "
        "target's attributes alone",
        kind="proxy_class",
        step=r"\bp\.|attr\(p|isinstance",
        theirs="any |property|late|callable|got",
    ),
    Accepted(
        "werkzeug",
        "LocalProxy[T](...) leaves no __orig_class__ on the target",
        theirs="orig_class",
    ),
    Accepted(
        "werkzeug",
        "on 3.12 and later a plain LocalProxy has the buffer protocol: what takes bytes takes it, "
        "and bytearray() asks for it before it iterates",
        theirs="can't concat|bytes-like|string, bytes|bytearray|memoryview",
        since=(3, 12),
    ),
    Accepted(
        "werkzeug",
        "from 3.14 on pow() asks the exponent's __rpow__ too, with the modulus",
        step=r"pow\(.*, p, ",
        theirs=r"r_op\(\) takes 2",
        since=(3, 14),
    ),
    Accepted(
        "werkzeug",
        "LocalStack.push returns None",
        kind="stack",
        step=r"push\(",
    ),
    Accepted(
        "werkzeug",
        "a LocalStack has no attributes but its own, can be referred to weakly, is copied with "
        "its objects, and keeps clear of a subclass's __setattr__",
        kind="stack",
    ),
    # threading.local
    Accepted(
        "threading",
        "a Local has the methods of werkzeug's: it can be called, iterated, and copied",
        step=r"copy|list\(|1 in p|p\(\)|bytes\(",
    ),
    Accepted(
        "threading",
        "a Local has a name, a class and a text of its own",
        step=r"(repr|str|format)\(p\)|__(class|module|doc|repr|format|slots|weakref|str)__",
    ),
    Accepted(
        "threading",
        "the pure twin is a Python class, which object's methods serve",
        step=r"object\.__|__getattribute__\(",
        is_end=True,
    ),
)
