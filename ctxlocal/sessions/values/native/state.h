/* The module's state: names, and what is called, or put into slots, of the codec and the pure twin.

   Each interpreter that imports the module has a state of its own. An object reaches it through a
   pointer and holds a reference to the module, whose memory so goes last. */

#ifndef CTXLOCAL_VALUES_STATE_H
#define CTXLOCAL_VALUES_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#ifdef Py_GIL_DISABLED
#error "The native twin relies on the GIL; free-threaded builds use the pure twin."
#endif

#include <stddef.h>
#include <string.h>

/* Where it is taken from. */
#define OF_CODEC(X) X(encode) X(decode)
#define OF_MODULE(X) X(NOTHING) X(NO_NAMES)
#define OF_CLASS(X) X(__init__) X(__getitem__) X(__setitem__) X(_sets)
#define NAMES(X) X(_read) X(_encode) X(_decode)

typedef struct State {
    PyObject *module; /* borrowed: it owns this */
    PyObject *no_arguments;
#define X(name) PyObject *name;
    OF_CODEC(X) OF_MODULE(X)
    struct { OF_CLASS(X) } pure;
    struct { NAMES(X) } names;
#undef X
} State;

static int
state_fill(State *state, PyObject *module)
{
    PyObject *codec = PyImport_ImportModule("ctxlocal.sessions.codec"), *cls = NULL;
    PyObject *pure = PyImport_ImportModule("ctxlocal.sessions.values.pure");
    int failed = codec == NULL || pure == NULL ||
        (cls = PyObject_GetAttrString(pure, "Values")) == NULL ||
        (state->no_arguments = PyTuple_New(0)) == NULL;
#define X(name) failed = failed || (state->name = PyObject_GetAttrString(codec, #name)) == NULL;
    OF_CODEC(X)
#undef X
#define X(name) failed = failed || (state->name = PyObject_GetAttrString(pure, #name)) == NULL;
    OF_MODULE(X)
#undef X
#define X(name) failed = failed || (state->pure.name = PyObject_GetAttrString(cls, #name)) == NULL;
    OF_CLASS(X)
#undef X
#define X(name) failed = failed || (state->names.name = PyUnicode_InternFromString(#name)) == NULL;
    NAMES(X)
#undef X
    state->module = module;
    Py_XDECREF(cls);
    Py_XDECREF(pure);
    Py_XDECREF(codec);
    return failed ? -1 : 0;
}

static int
state_traverse(State *state, visitproc visit, void *arg)
{
#define X(name) Py_VISIT(state->name);
    OF_CODEC(X) OF_MODULE(X)
#undef X
#define X(name) Py_VISIT(state->pure.name);
    OF_CLASS(X)
#undef X
    return 0;
}

static void
state_empty(State *state)
{
    Py_CLEAR(state->no_arguments);
#define X(name) Py_CLEAR(state->name);
    OF_CODEC(X) OF_MODULE(X)
#undef X
#define X(name) Py_CLEAR(state->pure.name);
    OF_CLASS(X)
#undef X
#define X(name) Py_CLEAR(state->names.name);
    NAMES(X)
#undef X
}

#endif
