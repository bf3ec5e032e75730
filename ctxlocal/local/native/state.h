/* The module's state, and what every file needs of it.

   Each interpreter that imports the module has a state of its own. An object of ours
   reaches it through a pointer, not through its type: that costs one load. The pointer
   stays good because each object holds a reference to the module (`state_hold`); so the
   module's memory goes last, in whatever order the interpreter takes things apart, and
   the module has no m_clear: types and constants are there as long as an object is.

   Python code that both twins share (slots, scopes, the texts of errors) is imported at
   its first use, which is also what keeps `import ctxlocal` fast. */

#ifndef CTXLOCAL_STATE_H
#define CTXLOCAL_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#ifdef Py_GIL_DISABLED
#error "The native twin relies on the GIL; free-threaded builds use the pure twin."
#endif

#ifdef CTXLOCAL_DEBUG
#undef NDEBUG
#endif
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) || defined(__clang__)
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define NEVER_INLINE static __attribute__((noinline))
#else
#define LIKELY(x) (x)
#define UNLIKELY(x) (x)
#define ALWAYS_INLINE static __forceinline
#define NEVER_INLINE static
#endif

#if PY_VERSION_HEX >= 0x030d0000
#define THREAD_STATE() PyThreadState_GetUnchecked()
#else
#define THREAD_STATE() _PyThreadState_UncheckedGet()
#endif

typedef struct greenlet_api greenlet_api;

/* Python functions and classes that C code calls, by module and name. */
#define HELPERS(X)                                                       \
    X(make_slot, "ctxlocal.local.slot", "make_slot")                     \
    X(reduced, "ctxlocal.local.reference", "reduced")                    \
    X(refused, "ctxlocal.local.reference", "refused")                    \
    X(ValuesView, "ctxlocal.local.values_view", "ValuesView")                \
    X(Pushed, "ctxlocal.local.scope", "Pushed")                          \
    X(partial, "functools", "partial")                                   \
    X(attrgetter, "_operator", "attrgetter")                             \
    X(UnboundError, "ctxlocal.errors", "UnboundError")                   \
    X(UnboundAttributeError, "ctxlocal.errors", "UnboundAttributeError") \
    X(unbound, "ctxlocal.local.unbound", "unbound")                           \
    X(unbound_var, "ctxlocal.local.unbound", "unbound_var")                   \
    X(unbound_named, "ctxlocal.local.unbound", "unbound_named")               \
    X(unbound_attribute, "ctxlocal.local.unbound", "unbound_attribute")       \
    X(resolver_failed, "ctxlocal.local.unbound", "resolver_failed")           \
    X(endless, "ctxlocal.errors", "endless")                             \
    X(no_place, "ctxlocal.local.unbound", "no_place")                         \
    X(math_trunc, "math", "trunc")                                       \
    X(math_floor, "math", "floor")                                       \
    X(math_ceil, "math", "ceil")                                         \
    X(copy_copy, "copy", "copy")                                         \
    X(copy_deepcopy, "copy", "deepcopy")                                 \
    X(getitem, "_operator", "getitem")                                   \
    X(round, "builtins", "round")                                        \
    X(get_thread_record, "ctxlocal.ident.record", "thread_record")       \
    X(release_context, "ctxlocal.ident.thread_object", "release_context")

enum {
#define X(id, module, name) HELPER_##id,
    HELPERS(X)
#undef X
    HELPER_COUNT
};

#define STRINGS(X)                                                              \
    X(__dict__) X(__init__) X(__init_subclass__) X(__new__) X(__class__)        \
    X(__getattribute__) X(__orig_class__) X(__wrapped__) X(__code__)            \
    X(__doc__) X(__repr__) X(__bool__) X(__dir__) X(__reduce_ex__) X(__copy__)  \
    X(__deepcopy__) X(__mro_entries__) X(__await__) X(__aiter__) X(__anext__)   \
    X(__enter__) X(__exit__) X(__aenter__) X(__aexit__) X(__replace__)          \
    X(__cause__) X(__hash__) X(__module__) X(__name__) X(_get_current_object)   \
    X(_ctxlocal_origin) X(_ctxlocal_options) X(_ctxlocal_slot)                  \
    X(bound) X(storage) X(name) X(label) X(clear) X(get) X(set) X(setdefault) X(twin) \
    X(serve) X(copy) X(items) X(value) X(parent) X(pop) X(push) X(ident)        \
    X(carry) X(shortcut) X(unbound_message)

typedef struct State {
    PyObject *module; /* borrowed: it owns this */
    PyTypeObject *Namespace;
    PyTypeObject *Pile;
    PyTypeObject *Local;
    PyTypeObject *LocalStack;
    PyTypeObject *Resolver;
    PyTypeObject *BaseProxy;
    PyTypeObject *LocalProxy;
    int can_peek;        /* the ContextVar's own cache may be read; see layout.h */
    int can_mutate;      /* a leaf may be changed in place; see layout.h */
    PyTypeObject *HamtBitmap;
    PyTypeObject *HamtArray;
    PyObject *spare_namespaces; /* memory of dead ones; see namespace.h */
    int spare_count;
    Py_ssize_t most_names; /* of a Local that is made now; a test makes it smaller */
    uint64_t noted_thread; /* the last that stored something in a Context; see holder.h */
    greenlet_api *greenlet; /* NULL before the first use, and where it is unusable */
    PyObject *helpers[HELPER_COUNT];
#define X(name) PyObject *str_##name;
    STRINGS(X)
#undef X
    PyObject *str_dot;
} State;

/* Counts the exchanges of carried values (holder.h), in all interpreters: an exchange in another
   one costs a lookup here, and a load less at each access. Interpreters that have a GIL each
   count at the same time, so it is changed atomically, and is one machine word; nothing is
   ordered by it, for what an exchange concerns is in one interpreter. */
typedef size_t Epoch;
static Epoch epochs;

#if defined(__GNUC__) || defined(__clang__)
#define EPOCH() __atomic_load_n(&epochs, __ATOMIC_RELAXED)
#define BEGIN_EPOCH() (void)__atomic_fetch_add(&epochs, 1, __ATOMIC_RELAXED)
#else /* MSVC */
#include <intrin.h>
#define EPOCH() (*(volatile Epoch *)&epochs)
#ifdef _WIN64
#define BEGIN_EPOCH() (void)_InterlockedIncrement64((volatile __int64 *)&epochs)
#else
#define BEGIN_EPOCH() (void)_InterlockedIncrement((volatile long *)&epochs)
#endif
#endif

ALWAYS_INLINE void
state_hold(State *state)
{
    Py_INCREF(state->module);
}

/* A Python function or class; borrowed, kept by the state. NULL with an error. */
NEVER_INLINE PyObject *
helper_import(State *state, int which)
{
    static const char *const where[][2] = {
#define X(id, module, name) {module, name},
        HELPERS(X)
#undef X
    };
    PyObject *module = PyImport_ImportModule(where[which][0]);
    if (module == NULL) {
        return NULL;
    }
    PyObject *found = PyObject_GetAttrString(module, where[which][1]);
    Py_DECREF(module);
    if (found == NULL) {
        return NULL;
    }
    PyObject *former = state->helpers[which]; /* importing ran code that may have been here */
    state->helpers[which] = found;
    Py_XDECREF(former);
    return found;
}

#define HELPER(state, id)                                                      \
    (LIKELY((state)->helpers[HELPER_##id] != NULL) ? (state)->helpers[HELPER_##id] \
                                                   : helper_import((state), HELPER_##id))

/* The exception that is being raised, taken down; NULL where there is none. */
static PyObject *
error_fetch(void)
{
#if PY_VERSION_HEX >= 0x030c0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (type == NULL) {
        return NULL;
    }
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
        Py_DECREF(traceback);
    }
    Py_DECREF(type);
    return value;
#endif
}

/* Raise an exception object. Steals the reference. */
static void
error_restore(PyObject *error)
{
#if PY_VERSION_HEX >= 0x030c0000
    PyErr_SetRaisedException(error);
#else
    PyObject *type = (PyObject *)Py_TYPE(error);
    Py_INCREF(type);
    PyErr_Restore(type, error, PyException_GetTraceback(error));
#endif
}

/* Raise what a helper made of `error`, as `raise made from cause` does while `error` is
   being handled. Steals `made` and `error`, borrows `cause` (which may be NULL). */
static void
error_replace(PyObject *made, PyObject *error, PyObject *cause)
{
    if (made == error) {
        Py_DECREF(error);
    } else {
        PyException_SetContext(made, error);
    }
    Py_XINCREF(cause);
    PyException_SetCause(made, cause);
    error_restore(made);
}

/* `names` is a str of exactly that type, in Python's table of names. */
static PyObject *
interned(PyObject *name)
{
    PyObject *exact = PyUnicode_FromObject(name);
    if (exact != NULL) {
        PyUnicode_InternInPlace(&exact);
    }
    return exact;
}

static int
is_str(PyObject *name)
{
    if (LIKELY(PyUnicode_Check(name))) {
        return 1;
    }
    PyErr_Format(PyExc_TypeError, "attribute name must be string, not '%.200s'",
                 Py_TYPE(name)->tp_name);
    return 0;
}

#endif
