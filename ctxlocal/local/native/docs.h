/* Made from the pure twin's docstrings by make_docs.py; do not edit. */

#ifndef CTXLOCAL_DOCS_H
#define CTXLOCAL_DOCS_H

static const char DOC_Local[] =
    "Local(context_var=None, /, *, ident=None, name=None, carry=False, wire=())\n"
    "--\n"
    "\n"
    "A namespace with values of its own for each owner.\n"
    "\n"
    "Drop-in for ``werkzeug.local.Local``; with ``ident=\"thread\"`` for\n"
    ":class:`threading.local`, with ``ident=\"greenlet\"`` for ``gevent.local.local``.\n"
    "\n"
    ":param context_var: a :class:`~contextvars.ContextVar` that holds the values as\n"
    "    a dict; it is copied for each write. Not together with ``ident``.\n"
    ":param ident: a strategy, as in :func:`ctxlocal.ident.resolve`. None, the\n"
    "    default, follows the application's: leave it so in a library.\n"
    ":param name: names the Local in messages, also that of a missing attribute.\n"
    ":param carry: with an ``ident``: the values go along with snapshots and frames\n"
    "    all the same. Those of a Local that follows the default always do.\n"
    ":param wire: names of attributes that may leave the process, by\n"
    "    :func:`ctxlocal.flow.export`; all others never do. It takes a ``name``, by\n"
    "    which another process knows the Local; a copy has no wire.\n"
    ":raises UnknownIdentError: no such strategy.\n"
    ":raises MissingDependencyError: the strategy's package is not installed.\n"
    ":raises TypeError: a ContextVar and an ident, or a wire of something else than names.\n"
    ":raises ValueError: a wire without a name, with what is no attribute's name, or of\n"
    "    values that do not go along with frames.\n"
    "\n"
    "A subclass that defines ``__init__`` owns all arguments, and ``__init__`` runs\n"
    "anew with them in each new owner. Its strategy is a class keyword then:\n"
    "``class Conn(Local, ident=\"thread\")``.\n"
    "\n"
    "Getting is O(1); setting is O(1), in a Context amortised (small namespaces are\n"
    "copied). Safe to use from any thread, greenlet and task at the same time. One that is a\n"
    "global of a module is pickled by reference, without its values.";

static const char DOC_Local___init_subclass__[] =
    "__init_subclass__($type, *, ident=None, carry=False, **keywords)\n"
    "--\n"
    "\n"
    "";

static const char DOC_Local___iter__[] =
    "__iter__($self)\n"
    "--\n"
    "\n"
    "Iterate over (name, value) pairs of the current owner, as of now.";

static const char DOC_Local___call__[] =
    "__call__($self, name, *, unbound_message=None)\n"
    "--\n"
    "\n"
    "Return a LocalProxy for the attribute ``name``.";

static const char DOC_Local___dir__[] =
    "__dir__($self)\n"
    "--\n"
    "\n"
    "";

static const char DOC_Local___release_local__[] =
    "__release_local__($self)\n"
    "--\n"
    "\n"
    "";

static const char DOC_Local___copy__[] =
    "__copy__($self)\n"
    "--\n"
    "\n"
    "Return another Local of the same strategy with the current owner's values.";

static const char DOC_Local___deepcopy__[] =
    "__deepcopy__($self, memo, /)\n"
    "--\n"
    "\n"
    "";

static const char DOC_Local___reduce_ex__[] =
    "__reduce_ex__($self, protocol)\n"
    "--\n"
    "\n"
    "";

static const char DOC_LocalStack[] =
    "LocalStack(context_var=None, /, *, ident=None, name=None, carry=False)\n"
    "--\n"
    "\n"
    "A stack of its own for each owner.\n"
    "\n"
    "Drop-in for ``werkzeug.local.LocalStack``, but that ``push`` returns None, so that\n"
    "it is O(1) at any depth. The parameters are those of :class:`~ctxlocal.Local`; a given\n"
    "``context_var`` holds a list, which is copied for each change as werkzeug does; there is no\n"
    "``wire``. One that is a global of a module is pickled by reference, without its objects.\n"
    "\n"
    "Safe to use from any thread, greenlet and task at the same time. Only an owner that\n"
    "several threads have in common (a callable strategy may name one) needs a lock of\n"
    "yours around ``push`` and ``pop``.";

static const char DOC_LocalStack_push[] =
    "push($self, obj, /)\n"
    "--\n"
    "\n"
    "Put ``obj`` on top.";

static const char DOC_LocalStack_pop[] =
    "pop($self)\n"
    "--\n"
    "\n"
    "Take the topmost object away and return it; None where the stack is empty.";

static const char DOC_LocalStack_pushed[] =
    "pushed($self, obj, *, strict=False)\n"
    "--\n"
    "\n"
    "Push ``obj`` for the length of a ``with`` block; then the stack is as it was before.\n"
    "\n"
    "Leaving the block in another owner than it was entered in restores nothing there\n"
    "and raises no token error; see :func:`ctxlocal.flow.set_lost_scope_hook`.\n"
    "\n"
    ":param obj: any object but None, which an empty stack means.\n"
    ":param strict: raise :class:`~ctxlocal.errors.ScopeLostError` in that case.\n"
    ":raises TypeError: ``obj`` is None.";

static const char DOC_LocalStack___call__[] =
    "__call__($self, name=None, *, unbound_message=None)\n"
    "--\n"
    "\n"
    "Return a LocalProxy for the topmost object, or for its attribute ``name``.";

static const char DOC_LocalStack_top[] =
    "The topmost object; None where the stack is empty.";

static const char DOC_LocalStack___release_local__[] =
    "__release_local__($self)\n"
    "--\n"
    "\n"
    "";

static const char DOC_LocalStack___copy__[] =
    "__copy__($self)\n"
    "--\n"
    "\n"
    "Return another stack of the same strategy with the current owner's objects.";

static const char DOC_LocalStack___deepcopy__[] =
    "__deepcopy__($self, memo, /)\n"
    "--\n"
    "\n"
    "";

static const char DOC_LocalStack___reduce_ex__[] =
    "__reduce_ex__($self, protocol)\n"
    "--\n"
    "\n"
    "";

static const char DOC_BaseProxy[] =
    "BaseProxy(local, name=None, *, unbound_message=None)\n"
    "--\n"
    "\n"
    "The base of all proxies: attributes, and the special methods that every object has.\n"
    "\n"
    "``issubclass(type(x), BaseProxy)`` tells whether ``x`` is a proxy.";

static const char DOC_LocalProxy[] =
    "LocalProxy(local, name=None, *, unbound_message=None)\n"
    "--\n"
    "\n"
    "A proxy for the object that the current owner has bound, found anew at each use.\n"
    "\n"
    "Drop-in for ``werkzeug.local.LocalProxy``.\n"
    "\n"
    ":param local: a Local (then ``name`` is required), a LocalStack (its top), a\n"
    "    ContextVar, or a callable without arguments that returns the object, or raises\n"
    "    a plain RuntimeError where there is none.\n"
    ":param name: the attribute of what ``local`` leads to; dots lead further.\n"
    ":param unbound_message: the text of the error where nothing is bound.\n"
    ":raises TypeError: none of these, or a Local without a name.\n"
    "\n"
    "Unbound, it is falsy, has an empty ``dir()`` and the repr ``<LocalProxy unbound>``;\n"
    "an attribute raises :class:`~ctxlocal.errors.UnboundAttributeError`, all else\n"
    ":class:`~ctxlocal.errors.UnboundError`. ``p += x`` stores a new object where the old\n"
    "one came from; the name stays the proxy's. Copying and pickling act on the target.\n"
    "\n"
    "It claims every protocol (``callable(p)`` is true whatever the target); :func:`proxy`\n"
    "makes proxies that do not. ``p is None`` and C code that asks for an exact type see the\n"
    "proxy: hand them ``p._get_current_object()``.";

static const char DOC_Latch[] =
    "Latch()\n"
    "--\n"
    "\n"
    "A place for one: of all who take it while it is free, one gets it.\n"
    "\n"
    "Of all who release it while it is taken, one frees it. Nobody waits, and no lock is held\n"
    "that a finaliser or a signal handler could find held by the code it interrupts. So it is\n"
    "safe from threads, greenlets, tasks, signal handlers and finalisers at once, whatever is\n"
    "monkey-patched. Taken when the process forks, it stays taken in the child. O(1).";

static const char DOC_Latch_take[] =
    "take($self)\n"
    "--\n"
    "\n"
    "Take the latch; return whether it was free.";

static const char DOC_Latch_release[] =
    "release($self)\n"
    "--\n"
    "\n"
    "Free the latch, whoever took it; return whether it was taken.";

static const char DOC_Latch_is_taken[] =
    "Whether somebody has the latch.";

static const char DOC_unwrap[] =
    "unwrap($module, obj)\n"
    "--\n"
    "\n"
    "Return the object behind a proxy, through proxies of proxies; anything else as it is.\n"
    "\n"
    ":raises UnboundError: nothing is bound.\n"
    ":raises RecursionError: the proxies lead back to one another.";

static const char DOC_is_bound[] =
    "is_bound($module, proxy)\n"
    "--\n"
    "\n"
    "Whether a use of ``proxy`` would find an object.\n"
    "\n"
    ":raises TypeError: it is no proxy.";

#endif
