"""Makes the programs: lists of steps, each an expression or a statement that sets ``_``.

Everything comes from a ``random.Random``, so that a seed names its programs.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

Program = list[str]

TARGETS = (
    *("0", "5", "-1", "True", "2.5", "1 + 2j", "10**4"),
    *("''", "'ab'", "'%s'", "b''", "b'ab'", "bytearray(b'ab')"),
    *("[]", "[3, 1, 2]", "(1, 2)", "{}", "{'a': 1}", "{1, 2}", "frozenset({1})", "range(3)"),
    *("(n for n in (1, 2, 3))", "iter([1, 2])", "zip('ab', 'cd')", "len", "function"),
    *("Thing", "Thing()", "Thing(2).method", "Slotted()", "Dynamic()", "Refusing()", "Willing()"),
    *("Manager()", "Judge", "Descriptor()", "Data()", "Point()", "Point", "Color.RED", "Legacy()"),
    *("None", "NotImplemented", "...", "int", "dict", "type", "list[int]", "int | str"),
    *("ValueError('x')", "ValueError", "coroutine()", "functools.partial(function, 1)"),
    *("decimal.Decimal('1.5')", "fractions.Fraction(1, 3)", "datetime.date(2020, 1, 2)"),
    *("pathlib.PurePosixPath('a')", "deque([1, 2])", "OrderedDict(a=1)", "math", "slice(1, 2)"),
)
OPERANDS = (
    *("0", "1", "3", "-2", "True", "2.5", "1j", "'a'", "'ab'", "b'ab'", "[1]", "(1,)", "{'a': 2}"),
    *("{1}", "None", "Thing()", "Refusing()", "Willing()", "int", "slice(0, 2)", "NotImplemented"),
    *(
        "range(2)",
        "decimal.Decimal(2)",
        "datetime.timedelta(1)",
        "ValueError",
        "function",
        "p",
        "q",
    ),
)
WAYS = (
    "LocalProxy(lambda: t)",
    "(setattr(local := Local(), 'x', t), local('x'))[1]",
    "(setattr(local := Local(), 'x', types.SimpleNamespace(y=t)), local('x.y'))[1]",
    "((stack := LocalStack()).push(t), stack())[1]",
    "((stack := LocalStack()).push(types.SimpleNamespace(y=t)), stack('y'))[1]",
    "((var := ContextVar('var')).set(t), LocalProxy(var))[1]",
    "LocalProxy(lambda: types.SimpleNamespace(y=t), 'y')",
    "LocalProxy(lambda: LocalProxy(lambda: t))",
    "LocalProxy[int](lambda: t)",
    "Sub(lambda: t)",
    "Rich(lambda: t)",
)
UNBOUND = (
    "Local()('x')",
    "LocalStack()()",
    "LocalProxy(ContextVar('var'))",
    "LocalProxy(lambda: types.SimpleNamespace(), 'y')",
    "LocalProxy(lambda: (_ for _ in ()).throw(RuntimeError('no')))",
    "LocalProxy(lambda: (_ for _ in ()).throw(AttributeError('no')))",
    "LocalProxy(lambda: 1 / 0)",
    "LocalProxy(LocalStack()())",
    "Local()('x', unbound_message='nothing')",
    "Sub(ContextVar('var'))",
)
CLASSES = (
    "class Sub(LocalProxy): pass",
    "class Rich(LocalProxy):\n"
    "    own = 'own'\n"
    "    def __init__(self, *args):\n"
    "        super().__init__(*args)\n"
    "    def told(self): return 'told', self.own\n"
    "    def __len__(self): return 42\n",
)

UNARY = (
    *("abs(p)", "-p", "+p", "~p", "not p", "all(p)", "any(p)", "ascii(p)", "bin(p)", "bool(p)"),
    *("bytearray(p)", "bytes(p)", "callable(p)", "chr(p)", "complex(p)", "dict(p)", "dict(**p)"),
    *("[n for n in dir(p) if n[0] != '_']", "list(enumerate(p))", "eval(p)", "list(filter(None, p))", "list(filter(p, [0, 1]))"),
    *("float(p)", "format(p)", "format(p, '>9')", "format('x', p)", "frozenset(p)", "hash(p) == hash(t)"),
    *("hex(p)", "int(p)", "int(p, 16)", "int('7', p)", "iter(p)", "len(p)", "list(p)", "tuple(p)"),
    *("list(map(p, [1, 2]))", "list(map(str, p))", "max(p)", "min(p)", "max(p, 1)", "memoryview(p)"),
    *("next(p)", "next(p, 'end')", "next(iter(p))", "oct(p)", "ord(p)", "range(p)"),
    *("list(range(p))", "repr(p)", "str(p)", "list(reversed(p))", "round(p)", "round(p, 1)", "round(2.345, p)"),
    *("round(p, None)", "set(p)", "sorted(p)", "sorted([2, 1], key=p)", "sum(p)", "sum([1], p)", "vars(p)"),
    *("list(zip(p, p))", "str(p, 'ascii')", "bytes(p, 'ascii')", "isinstance(p, type(t))", "type(p)(lambda: 3)"),
    *("isinstance(1, p)", "issubclass(int, p)", "issubclass(p, object)", "isinstance(p, (int, LocalProxy))"),
    *("p.__class__ is type(t)", "p.__doc__ == t.__doc__", "type(p).__name__", "p._get_current_object() is t"),
    *("[*p]", "(*p,)", "{*p}", "{**p}", "function(*p)", "function(**p)", "f'{p}'", "f'{p!r}'", "f'{p:>9}'"),
    *("'%s' % p", "'%d' % p", "'%(a)s' % p", "'{0}'.format(p)", "'{a}'.format_map(p)", "''.join(p)", "''.join([p])"),
    *("[1, 2, 3][p]", "[1, 2, 3][p:]", "[1, 2, 3][:p]", "'abc'[p]", "{5: 'five', 'ab': 'text'}.get(p)"),
    *("{p: 1}", "{p, t}", "p in {5, 'ab', (1, 2)}", "{t: 1}[p]", "p in [t]", "[t].index(p)", "p is t", "(p == t, p != t)"),
    *("p()", "p(1)", "p(1, *[2], k=3, **{'l': 4})", "p(self=1)", "p.method(1, k=2)", "p.x", "p.double", "p.kind", "p.missing"),
    *("p.x.missing", "p.__dict__", "p.__len__()", "p.__add__(1)", "p.__name__", "p.__module__", "p.__qualname__", "p.__wrapped__"),
    *("getattr(p, 'x')", "getattr(p, 'missing', 'default')", "hasattr(p, 'x')", "hasattr(p, '__len__')", "getattr(p, 5)"),
    *("setattr(p, 'x', 2), t.x", "delattr(p, 'x')", "setattr(p, 'kind', 2), t.kind", "setattr(p, '__class__', Point), type(t)"),
    *("setattr(p, 'double', 2)", "p.real", "p.append(1), t", "p.items()", "p.upper()", "setattr(p, 5, 1)", "delattr(p, '__doc__')"),
    *("copy.copy(p)", "copy.deepcopy(p)", "copy.copy(p) is t", "pickle.loads(pickle.dumps(p))", "json.dumps(p)", "copy.deepcopy([p])"),
    *("json.dumps({'p': unwrap(p)})", "math.floor(p)", "math.ceil(p)", "math.trunc(p)", "math.sqrt(p)", "math.gcd(p, 4)", "math.isnan(p)"),
    *("operator.index(p)", "operator.length_hint(p)", "operator.length_hint(p, 9)", "operator.neg(p)", "operator.truth(p)", "operator.not_(p)"),
    *("operator.call(p, 1)", "operator.attrgetter('x')(p)", "operator.itemgetter(0)(p)", "operator.methodcaller('method')(p)"),
    *("operator.countOf(p, 1)", "operator.indexOf(p, 1)", "decimal.Decimal(p)", "fractions.Fraction(p)", "pathlib.PurePosixPath(p)"),
    *("datetime.timedelta(p)", "datetime.date(2021, p, 5)", "'x' * p", "p * 'x'", "[0] * p", "p * [0]", "(0,) * p", "b'x' * p"),
    *("'ab' in p", "1 in p", "p[0]", "p['a']", "p[0:1]", "p[-1]", "p[...]", "p[0, 1]", "p[5:]", "p[q]", "p[p]"),
    *("divmod(p, 2)", "divmod(7, p)", "pow(p, 2)", "pow(2, p)", "pow(p, 2, 7)", "pow(7, p, 5)", "pow(7, 3, p) if type(t) is not decimal.Decimal else 0", "pow(p, p, p)"),
    *("pow(p, q, 7)", "pow(q, 2, p) if type(t) is not decimal.Decimal else 'CPython 3.13 dies of it'", "pow(2, q, p)", "drive(coroutine())", "types.SimpleNamespace(p=p).p is p", "functools.reduce(p, [1, 2])"),
    *("functools.partial(p, 1)(2)", "functools.cmp_to_key(p)", "type('T', (p,), {})", "type(p, (), {})", "super(p, p)", "property(p)"),
    *("staticmethod(p)", "Thing.method(p)", "Thing.double.__get__(p)", "types.MethodType(p, 1)()", "type(t)(p)", "isinstance(p, Judge)"),
    *("slice(p).indices(9)", "b'%b' % p", "b'ab'.join([p])", "b'ab' + p", "bytes([p])", "bytearray([p])", "[1] + p", "p + [1]"),
    *("'ab' + p", "p + 'ab'", "(1,) + p", "p + (1,)", "{1: 1} | p", "p | {1: 1}", "'ab'.replace('a', p)", "'a,b'.split(p)", "'ab'.startswith(p)"),
    *("datetime.date(2020, 1, 1) + p", "p - datetime.date(2020, 1, 1)", "__import__(p)", "exec(p)", "compile(p, '', 'eval')"),
    *("object.__repr__(p)[:2]", "is_proxy(p)", "is_proxy(p + 0)", "p.__eq__(t)", "type(p).__len__(p)", "type(p).__add__(p, 1)", "type(p).__iter__(p)"),
    *("object.__getattribute__(p, '__class__').__name__", "object.__getattribute__(p, 'missing')", "type(p).__getattribute__(p, 'x')"),
    *("object.__setattr__(p, 'new', 1)", "object.__delattr__(p, 'new')", "type(p).__setattr__(p, 'x', 5), t.x", "type(p).__hash__(p) == hash(t)"),
    *("p.__init__", "p.told()", "p.own", "p.__slots__", "p.__weakref__", "p.__reduce__()[0]", "p.__reduce_ex__(2)", "p.__copy__()", "p.__deepcopy__({})"),
    *("p.__sizeof__() > 0", "p.__dir__() == dir(t)", "p.__format__('')", "p.__init_subclass__()", "p.__subclasshook__(int)", "p.__hash__() == hash(t)", "p.__bool__()"),
    *("p.__class_getitem__(int)", "p.__enter__()", "p.__iter__()", "p.__next__()", "p.__call__(1)", "p.__getattribute__('x')", "p.__str__()", "p.__repr__()"),
)  # fmt: skip
OPERATORS = (
    *("+", "-", "*", "@", "/", "//", "%", "**", "<<", ">>", "&", "^", "|"),
    *("==", "!=", "<", "<=", ">", ">=", "in", "not in", "is", "and", "or"),
)
FUNCTIONS = (
    *("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow", "lshift", "rshift"),
    *("and_", "xor", "or_", "eq", "ne", "lt", "le", "gt", "ge", "concat", "contains", "getitem"),
    *("iadd", "isub", "imul", "imatmul", "itruediv", "ifloordiv", "imod", "ipow", "ilshift"),
    *("irshift", "iand", "ixor", "ior", "iconcat", "is_", "delitem"),
)
STATEMENTS = (
    "for _ in p: break",
    "for _ in p: pass",
    "_ = [each for each in p]",
    "_ = {each: 1 for each in p}",
    "_ = [each async for each in p]",
    "a, *_ = p",
    "a, b = p; _ = [a, b]",
    "with p as _: pass",
    "with p as _: raise ValueError('inside')",
    "with p as _: raise KeyError('inside')",
    "async def f():\n    async with p as got: return got\n_ = drive(f())",
    "async def f():\n    async with p: raise ValueError('inside')\n_ = drive(f())",
    "async def f():\n    return [each async for each in p]\n_ = drive(f())",
    "async def f():\n    return await p\n_ = drive(f())",
    "async def f():\n    return await anext(aiter(p))\n_ = drive(f())",
    "def f():\n    _ = yield from p\n    return _\n_ = list(f())",
    "raise p",
    "raise p from None",
    "raise KeyError(1) from p",
    "try: raise ValueError('x')\nexcept p as error: _ = 'caught'",
    "try: raise ValueError('x')\nexcept (KeyError, p): _ = 'caught'",
    "assert p",
    "assert not p, p",
    "del p.x; _ = vars(t)",
    "del p['a']; _ = t",
    "del p[0]; _ = t",
    "del p[0:1]; _ = t",
    "p.x = 5; _ = t.x",
    "p.x += 1; _ = t.x",
    "p['a'] = 5; _ = t",
    "p[0] = 5; _ = t",
    "p[0:1] = [7, 8]; _ = t",
    "p['a'] += 1; _ = t",
    "p[q] = 1; _ = unwrap(q) in t",
    "x = [0, 1]; x[p] = 7; _ = x",
    "x = {}; x[p] = 7; _ = t in x",
    "x = [1]; x += p; _ = x",
    "x = 3; x += p; _ = x",
    "x = 'a'; x *= p; _ = x",
    "x = {1}; x |= p; _ = x",
    "x = types.SimpleNamespace(y=p); x.y += 1; _ = x.y, t",
    "x = [p]; x[0] += 1; _ = x, t",
    "match p:\n    case int(): _ = 'int'\n    case str(): _ = 'str'\n    case Point(x=1): _ = 'point'\n"
    "    case Thing(x=1): _ = 'thing'\n    case None: _ = 'none'\n    case _: _ = 'other'",
    "match p:\n    case 5: _ = 'five'\n    case 'ab': _ = 'text'\n    case Color.RED: _ = 'red'\n"
    "    case _: _ = 'other'",
    "match p:\n    case Point(1, 2): _ = 'by position'\n    case _: _ = 'other'",
    "class C(p): pass\n_ = C.__mro__[1].__name__",
    "class C: p = p\n_ = C.p is p, C().p is p",
    "class C:\n    def f(self): return p\n_ = C().f()",
    "@p\ndef f(): return 1\n_ = f",
    "lambda_ = lambda x=p: x; _ = lambda_()",
    "global_ = p\ndef f():\n    global global_\n    global_ += 1\nf(); _ = global_, t",
    "while p:\n    _ = 'once'\n    break",
    "_ = 'yes' if p else 'no'",
    "_ = p and 1, p or 2",
    "_ = 0 < p < 9",
    "_ = [i for i in [1, 2] if p]",
    "import collections.abc as abc; _ = isinstance(p, abc.Mapping), isinstance(p, abc.Sequence)",
    "x = dict(a=1); x.update(p); _ = x",
    "x = [1]; x.extend(p); _ = x",
    "x = {1}; x.update(p); _ = x",
    "x = sorted([3, p]) if isinstance(t, int) else 0; _ = x",
    "import io; print(p, end=p, file=(f := io.StringIO())); _ = f.getvalue()",
    "@functools.singledispatch\ndef f(x): return 'object'\nf.register(int)(lambda x: 'int')\n_ = f(p)",
)  # fmt: skip
IN_PLACE = ("+=", "-=", "*=", "@=", "/=", "//=", "%=", "**=", "<<=", ">>=", "&=", "^=", "|=")

MUTATIONS = (
    "setattr({c}, '{n}', 'late')",
    "setattr({c}, '{n}', property(lambda self: 'property'))",
    "setattr({c}, '{n}', late)",
    "setattr({c}, '{n}', classmethod(lambda cls, *args: (cls.__name__, args)))",
    "setattr({c}, '{n}', staticmethod(lambda *args: args))",
    "setattr({c}, '{n}', Descriptor())",
    "setattr({c}, '{n}', Data())",
    "setattr({c}, '{n}', None)",
    "delattr({c}, '{n}')",
)
ATTRIBUTES = ("x", "own", "told", "kind", "method", "_private", "__private", "missing", "double")
SPECIALS = (
    *("__len__", "__add__", "__radd__", "__iadd__", "__call__", "__repr__", "__str__", "__bool__"),
    *("__getitem__", "__setitem__", "__contains__", "__iter__", "__next__", "__hash__", "__eq__"),
    *("__enter__", "__exit__", "__class__", "__int__", "__index__", "__bytes__", "__format__"),
    *("__getattr__", "__dir__", "__doc__", "__pow__", "__neg__", "__copy__"),
)
USES = (
    *("p.{n}", "p.{n}()", "getattr(p, '{n}', 'default')", "hasattr(p, '{n}')", "type(p).{n}"),
    *(
        "setattr(p, '{n}', 9)",
        "delattr(p, '{n}')",
        "setattr(p, '{n}', 9), p.{n}",
        "vars(t).get('{n}')",
    ),
    *("object.__getattribute__(p, '{n}')", "object.__setattr__(p, '{n}', 3)", "p.{n}"),
)
SPECIAL_USES = (
    *("len(p)", "p + 1", "1 + p", "p()", "repr(p)", "str(p)", "bool(p)", "p[0]", "1 in p", "list(p)"),
    *("next(p)", "hash(p) == hash(t)", "p == t", "p == 1", "isinstance(p, int)", "int(p)", "bytes(p)"),
    *("format(p)", "p.missing", "[n for n in dir(p) if n[0] != '_']", "pow(p, 2)", "-p", "copy.copy(p)", "p.__len__()", "p.__class__.__name__"),
    *("isinstance(p, Thing)", "(p.__doc__ or '').split()", "p.__add__(1)", "q + p", "p + q", "q == p", "p < q"),
)  # fmt: skip
BODIES = (
    "class K({b}): pass",
    "class K({b}):\n    __slots__ = ()",
    "class K({b}):\n    __slots__ = ('own', '_private')",
    "class K({b}):\n    own = 'own'\n    def told(self, *args): return 'told', args",
    "class K({b}):\n    @property\n    def own(self): return 'property'\n"
    "    @classmethod\n    def told(cls): return cls.__name__\n    @staticmethod\n    def kind(): return 2",
    "class K({b}):\n    def __getattr__(self, name): return 'any ' + name",
    "class K({b}):\n    def __getattribute__(self, name):\n"
    "        return 'mine' if name == 'own' else super().__getattribute__(name)",
    "class K({b}):\n    def __setattr__(self, name, value): super().__setattr__(name, [value])",
    "class K({b}):\n    def __delattr__(self, name): super().__delattr__(name)",
    "class K({b}):\n    '''Documented.'''\n    __class__ = property(lambda self: dict)",
    "class K({b}):\n    def __init__(self, *args): super().__init__(*args)\n    own = 1",
    "class K({b}):\n    def __new__(cls, *args):\n        self = super().__new__(cls)\n"
    "        self.__init__(*args)\n        return self",
    "class K({b}):\n    def __new__(cls, *args): return super().__new__(cls)\n"
    "    def __init__(self, *args): super().__init__(*args)",
    "class K({b}):\n    def __new__(cls, *args):\n        self = super().__new__(cls)\n"
    "        self.__init__(*args)\n        return self\n    def __init__(self, *args):\n        super().__init__(*args)",
    "class M:\n    own = 'mixin'\n    def told(self): return 'mixin'\nclass K({b}, M): pass",
    "class M:\n    own = 'mixin'\n    def __len__(self): return 13\nclass K(M, {b}): pass",
    "class J({b}):\n    own = 'base'\nclass K(J):\n    def told(self): return 'told', super().own",
    "class K({b}):\n    own = Descriptor()\n    kind = Data()",
    "class K({b}):\n    def __eq__(self, other): return True\n    def __bool__(self): return False",
    "class K({b}):\n    def __add__(self, other): return 'sum'\n    def __call__(self, *args): return args",
    "class K({b}[int]): pass",
)  # fmt: skip
LOCAL_BODIES = (
    "class K({b}):\n    x = 'default'\n    def __init__(self): self.kind = 'init'",
    "class K({b}):\n    def __init__(self, *args): self.x = args",
    "class K({b}):\n    def __new__(cls, *args):\n        self = super().__new__(cls)\n"
    "        self.x = 'new'\n        return self",
    "class K({b}):\n    kind = 'default'\n    method = None",
)  # fmt: skip
LOCAL_USES = (
    *("p.{n}", "p.{n} ", "setattr(p, '{n}', {v})", "setattr(p, '{n}', {v})", "setattr(p, '{n}', {v}), p.{n}"),
    *("delattr(p, '{n}')", "hasattr(p, '{n}')", "getattr(p, '{n}', 'default')", "p.{n}()", "K.{n}"),
    *("p.__dict__", "sorted(vars(p).items())", "p.__dict__.get('{n}')", "p.__dict__.update({n}={v})", "p.__dict__.pop('{n}', None)"),
    *("'{n}' in dir(p)", "p.__class__.__name__", "isinstance(p, K)", "p.__dict__.setdefault('{n}', {v})", "p.__dict__.clear()"),
    *("setattr(p, '__dict__', {{}})", "delattr(p, '__dict__')", "(p.__doc__ or '').split()", "p.__module__", "hash(p) == hash(p)", "p == p", "p != p"),
    *("bool(p)", "len(p)", "object.__getattribute__(p, '{n}')", "object.__setattr__(p, '{n}', {v})", "object.__delattr__(p, '{n}')"),
    *("super(K, p).__getattribute__('{n}')", "super(K, p).__setattr__('{n}', {v})", "type(p).__setattr__(p, '{n}', {v})", "p.__getattribute__('{n}')"),
    *("p.__setattr__('{n}', {v})", "p.__delattr__('{n}')", "setattr(p, 5, 1)", "getattr(p, 5)", "hasattr(p, '__weakref__')", "hasattr(p, '__slots__')"),
    *("setattr(p, '__class__', K2)", "setattr(p, '__class__', int)", "setattr(p, '__class__', 5)", "copy.copy(p).{n}", "p.__class__ is K"),
    *("K.__name__", "(K.__doc__ or '').split()", "list(K.__bases__)", "p.__sizeof__() > 0", "p.__reduce_ex__(2)", "p.__init_subclass__()", "p.__str__() == repr(p)"),
    *("pickle.dumps(p)", "copy.deepcopy(p)", "p.__eq__(p)", "p.__hash__() == hash(p)", "p.__ne__(1)", "p.__format__('')[0]", "p.__repr__()[:2]"),
)  # fmt: skip
LOCAL_ALONE = (
    *("sorted(p)", "list(p)", "release_local(p)", "p('{n}')", "p('{n}').x", "repr(p('{n}'))", "bool(p('{n}'))"),
    *("p.__init__()", "p.__release_local__()", "p({n}=1)", "iter(p)", "list(copy.copy(p))", "dict(p)", "callable(p)", "p.__call__('{n}')"),
    *("(r := p('{n}')), r.__class__", "unwrap(p('{n}'))", "p('{n}')._get_current_object()", "p('{n}') == {v}"),
    *("contextvars_run(lambda: setattr(p, '{n}', 'other'))", "p('{n}', unbound_message='none')()"),
)  # fmt: skip
VALUES = ("1", "'v'", "None", "[1]", "Thing()", "property(len)", "Descriptor()", "Data()", "len")
STACK_USES = (
    *("p.push({v}), p.top", "p.push({v}), p.top", "p.pop()", "p.top", "bool(p)", "p()", "p('x')", "p() == {v}", "p().x"),
    *("release_local(p)", "p.__release_local__()", "copy.copy(p).top", "copy.copy(p).pop()", "p.missing", "setattr(p, 'top', 1)"),
    *("delattr(p, 'top')", "setattr(p, 'x', 1)", "p.x", "p.__class__.__name__", "isinstance(p, K)", "len(p)", "hash(p) == hash(p)"),
    *("p == p", "hasattr(p, '__dict__')", "hasattr(p, '__slots__')", "hasattr(p, '__weakref__')", "object.__setattr__(p, 'x', 1), p.x"),
    *("object.__getattribute__(p, 'top')", "p.push()", "p.push(1, 2)", "p.push(obj=1)", "p.pop(1)", "p(1, 2)", "p(bad=1)", "pickle.dumps(p)"),
    *("bool(p())", "repr(p())", "p()._get_current_object()", "type(p)()", "p.__init__()", "vars(p)", "unwrap(p())", "p('real') + 1"),
    *("super(K, p).top", "super(K, p).pop()", "(p.__doc__ or '').split()", "p.__module__", "[n for n in dir(p) if n[0] != '_']", "copy.deepcopy(p)", "p.__call__()"),
)  # fmt: skip


def sweep() -> Iterator[Program]:
    """Every use of one object, on every target; each binary operator on every pair."""
    for target in TARGETS:
        start = [*CLASSES, f"t = {target}; p = LocalProxy(lambda: t); q = LocalProxy(lambda: 2)"]
        again = start[-1]
        for use in (*UNARY, *STATEMENTS):
            yield [*start, use]
        for operator in (*OPERATORS, *IN_PLACE):
            steps = []
            for operand in OPERANDS:
                if operator in IN_PLACE:
                    steps += [again, f"p {operator} {operand}; _ = p, t"]
                    steps += [again, f"x = {operand}; x {operator} p; _ = x"]
                else:
                    steps += [again, f"p {operator} {operand}", again, f"{operand} {operator} p"]
            yield [*start, *steps]
        for function in FUNCTIONS:
            steps = []
            for operand in OPERANDS:
                steps += [again, f"operator.{function}(p, {operand})"]
                steps += [again, f"operator.{function}({operand}, p)"]
            yield [*start, *steps]
    for unbound in UNBOUND:
        start = [*CLASSES, f"t = None; p = {unbound}; q = LocalProxy(ContextVar('q'))"]
        for use in (*UNARY, *STATEMENTS):
            yield [*start, use]
        for operator in OPERATORS:
            yield [
                *start,
                f"p {operator} 1",
                f"1 {operator} p",
                f"p {operator} q",
                f"q {operator} p",
            ]
        for operator in IN_PLACE:
            yield [*start, f"p {operator} 1", f"p {operator} q", f"q {operator} p"]
        for function in FUNCTIONS:
            yield [*start, *(f"operator.{function}({a})" for a in ("p, 1", "1, p", "p, q", "q, p"))]


def proxy_program(rng: random.Random) -> Program:
    """Use one object in several ways, one after the other."""
    target, way, other = rng.choice(TARGETS), rng.choice(WAYS), rng.choice(TARGETS)
    if rng.random() < 0.1:
        way = rng.choice(UNBOUND)
    steps = [*CLASSES, f"t = {target}; p = {way}", f"u = {other}; q = LocalProxy(lambda: u)"]
    for _ in range(rng.randint(1, 8)):
        operand = rng.choice(OPERANDS)
        draw = rng.random()
        if draw < 0.4:
            steps.append(rng.choice(UNARY))
        elif draw < 0.6:
            steps.append(rng.choice(STATEMENTS))
        elif draw < 0.75:
            sides = ("p", operand) if rng.random() < 0.5 else (operand, "p")
            steps.append(f" {rng.choice(OPERATORS)} ".join(sides))
        elif draw < 0.9:
            steps.append(f"p {rng.choice(IN_PLACE)} {operand}; _ = p, t")
        else:
            sides = ("p", operand) if rng.random() < 0.5 else (operand, "p")
            steps.append(f"operator.{rng.choice(FUNCTIONS)}({', '.join(sides)})")
    return steps


def proxy_class_program(rng: random.Random) -> Program:
    """Change a proxy's class while its instances are used."""
    body = rng.choice(BODIES).replace("{b}", "LocalProxy")
    target = rng.choice(("Thing()", "Thing()", "Thing()", *TARGETS))
    way = rng.choice(("K(lambda: t)", "K(lambda: t)", "K(LocalStack())", "K.__new__(K)"))
    steps = [body, f"t = {target}; p = {way}", "q = LocalProxy(lambda: 2)"]
    for _ in range(rng.randint(2, 10)):
        steps.append(_class_step(rng, "K"))
    return steps


def _class_step(rng: random.Random, cls: str) -> str:
    name = rng.choice(ATTRIBUTES)
    draw = rng.random()
    if draw < 0.3:
        return rng.choice(MUTATIONS).format(c=cls, n=name)
    if draw < 0.65:
        return rng.choice(USES).format(n=name)
    if draw < 0.8:
        return rng.choice(MUTATIONS).format(c=cls, n=rng.choice(SPECIALS))
    return rng.choice(SPECIAL_USES)


def local_program(rng: random.Random) -> Program:
    """Use a Local, or one of a subclass, which changes meanwhile."""
    return _of_local(rng, "Local", (*LOCAL_USES, *LOCAL_ALONE))


def thread_local_program(rng: random.Random) -> Program:
    """Use a Local as a threading.local is used."""
    return _of_local(rng, "Base", LOCAL_USES)


def _of_local(rng: random.Random, base: str, uses: tuple[str, ...]) -> Program:
    bodies = [each for each in (*BODIES, *LOCAL_BODIES) if "[int]" not in each]
    body = rng.choice(bodies).replace("{b}", base)
    made = rng.choice(("K()", "K()", "K()", base + "()" if base != "Base" else "ThreadLocal()"))
    steps = [body, f"class K2({base}): own = 'second'", f"p = {made}"]
    for _ in range(rng.randint(2, 12)):
        name, value = rng.choice(ATTRIBUTES), rng.choice(VALUES)
        if rng.random() < 0.2:
            steps.append(rng.choice(MUTATIONS).format(c="K", n=name))
        elif rng.random() < 0.1:
            steps.append(rng.choice(MUTATIONS).format(c="K", n=rng.choice(SPECIALS)))
        elif rng.random() < 0.1:
            steps.append(rng.choice(SPECIAL_USES))
        else:
            steps.append(rng.choice(uses).format(n=name, v=value))
    return steps


def stack_program(rng: random.Random) -> Program:
    """Use a LocalStack, or one of a subclass, which changes meanwhile."""
    body = rng.choice(BODIES).replace("{b}", "LocalStack")
    made = rng.choice(("K()", "K()", "LocalStack()", "LocalStack(ContextVar('list'))"))
    steps = [body, f"t = Thing(); p = {made}", "q = LocalStack()"]
    for _ in range(rng.randint(2, 12)):
        if rng.random() < 0.3:
            steps.append(_class_step(rng, "K"))
        else:
            steps.append(rng.choice(STACK_USES).format(v=rng.choice(VALUES)))
    return steps


KINDS = (proxy_program, proxy_class_program, local_program, thread_local_program, stack_program)


def programs(seed: int, count: int) -> Iterator[tuple[str, Program]]:
    """Yield (kind, program), the same ones for the same seed."""
    rng = random.Random(seed)
    for number in range(count):
        make = KINDS[number % len(KINDS)]
        yield make.__name__, make(rng)
