/* Reading and setting a key, and what is to be stored of it, as most requests do that.

   A function looks at all it needs before it does anything but load the session. Where one thing is
   otherwise it calls the pure twin's. */

#ifndef CTXLOCAL_VALUES_ITEMS_H
#define CTXLOCAL_VALUES_ITEMS_H

#include "scalar.h"
#include "values.h"

static int
is_dict(PyObject *slot)
{
    return slot != NULL && PyDict_CheckExact(slot);
}

static int
is_empty_dict(PyObject *slot)
{
    return is_dict(slot) && PyDict_GET_SIZE(slot) == 0;
}

/* What the session began with, in its list, as pure.py says. */
enum { FIELDS, REFUSAL, VALUES, BASELINES, MORE };

static int
is_list(PyObject *slot)
{
    return slot != NULL && PyList_CheckExact(slot);
}

/* Borrowed; NULL without an error where the session is not loaded. */
static PyObject *
begun(Values *self, Py_ssize_t place)
{
    return is_list(self->begun) && PyList_GET_SIZE(self->begun) >= MORE
        ? PyList_GET_ITEM(self->begun, place)
        : NULL;
}

static int
is_ascii(PyObject *text)
{
    return PyUnicode_CheckExact(text) && PyUnicode_IS_COMPACT_ASCII(text);
}

/* Whether it is a key that may hold an application's value; the empty one is left out too. */
static int
is_plain_key(PyObject *key)
{
    return is_ascii(key) && PyUnicode_1BYTE_DATA(key)[0] != '\0';
}

/* A new reference; NULL without an error where there is none. */
static PyObject *
find(PyObject *dict, PyObject *key)
{
    Py_INCREF(dict); /* comparing keys may run code that lets go of it */
    PyObject *found = Py_XNewRef(PyDict_GetItemWithError(dict, key));
    Py_DECREF(dict);
    return found;
}

/* 1 where the object's own function is the codec's; -1 with an error. */
static int
has(Values *self, PyObject *name, PyObject *function)
{
    PyObject *own = PyObject_GetAttr((PyObject *)self, name);
    Py_XDECREF(own);
    return own == NULL ? -1 : own == function;
}

/* Decodes what was not asked for before; NULL without an error: that is for the pure twin. */
static PyObject *
load(Values *self, PyObject *values, PyObject *key)
{
    State *state = self->state;
    PyObject *raw = NULL, *value = NULL, *first = NULL;
    if (self->dropped == state->NO_NAMES && is_plain_key(key) && is_dict(begun(self, FIELDS))) {
        raw = find(begun(self, FIELDS), key);
    }
    if (raw != NULL && PyBytes_CheckExact(raw) &&
        has(self, state->names._decode, state->decode) > 0) {
        value = decode_scalar(raw);
    }
    if (value != NULL) { /* one object, also when threads ask at once */
        first = Py_XNewRef(PyDict_SetDefault(values, key, value));
    }
    Py_XDECREF(raw);
    Py_XDECREF(value);
    return first;
}

static PyObject *
values_getitem(Values *self, PyObject *key)
{
    PyObject *me = (PyObject *)self, *value = NULL;
    if (is_list(self->begun) &&
        (PyList_GET_SIZE(self->begun) == 0 || self->accessed == Py_False)) {
        PyObject *fields = PyObject_CallMethodNoArgs(me, self->state->names._read);
        if (fields == NULL) {
            return NULL;
        }
        Py_DECREF(fields);
    }
    if (self->accessed == Py_True && is_dict(begun(self, FIELDS)) &&
        is_dict(begun(self, VALUES))) {
        PyObject *values = Py_NewRef(begun(self, VALUES));
        value = find(values, key);
        if (value == NULL && !PyErr_Occurred()) {
            value = load(self, values, key);
        }
        Py_DECREF(values);
    }
    if (value == NULL && !PyErr_Occurred()) {
        PyObject *arguments[] = {me, key};
        value = PyObject_Vectorcall(self->state->pure.__getitem__, arguments, 2, NULL);
    }
    return value;
}

/* Whether a field may be a member of a set: its name begins with NUL and "m". The pure twin looks
   for these two in all names joined, so any that has them elsewhere is for it to judge. */
static int
may_have_members(PyObject *fields)
{
    PyObject *name, *raw;
    Py_ssize_t i = 0;
    while (PyDict_Next(fields, &i, &name, &raw)) {
        if (!is_ascii(name)) {
            return 1;
        }
        const char *text = (const char *)PyUnicode_1BYTE_DATA(name);
        Py_ssize_t size = PyUnicode_GET_LENGTH(name);
        int is_ours = size > 0 && text[0] == '\0';
        if ((is_ours && (size == 1 || text[1] == 'm')) ||
            memchr(text + is_ours, '\0', (size_t)(size - is_ours)) != NULL) {
            return 1;
        }
    }
    return 0;
}

/* Whether a key can be set, and nothing has to be forgotten for it. */
static int
is_ready_to_set(Values *self)
{
    PyObject *nothing = self->state->NOTHING;
    return self->accessed == Py_True && self->closed == Py_False &&
        begun(self, REFUSAL) == Py_None && self->ops == nothing && self->added == nothing &&
        is_empty_dict(begun(self, BASELINES)) && is_dict(begun(self, VALUES)) &&
        (self->assigned == nothing || is_dict(self->assigned)) &&
        is_dict(begun(self, FIELDS)) && !may_have_members(begun(self, FIELDS));
}

/* 1 where the value was set, 0 where it is not for this to do, -1 with an error. */
static int
set_scalar(Values *self, PyObject *key, PyObject *value)
{
    if (!is_plain_key(key) || !is_ready_to_set(self)) {
        return 0;
    }
    State *state = self->state;
    PyObject *values = Py_NewRef(begun(self, VALUES)), *raw = NULL;
    PyObject *assigned = is_dict(self->assigned) ? Py_NewRef(self->assigned) : PyDict_New();
    int result = assigned == NULL ? -1 : has(self, state->names._encode, state->encode);
    if (result > 0 && (raw = encode_scalar(value)) == NULL) {
        result = PyErr_Occurred() ? -1 : 0;
    }
    if (result > 0) {
        result = PyDict_SetItem(values, key, value) < 0 || PyDict_SetItem(assigned, key, raw) < 0
            ? -1
            : 1;
    }
    if (result > 0) {
        set(&self->assigned, assigned);
    }
    Py_XDECREF(raw);
    Py_XDECREF(assigned);
    Py_DECREF(values);
    return result;
}

static PyObject *
values_setitem(Values *self, PyObject *const *args, Py_ssize_t count)
{
    int result = count == 2 ? set_scalar(self, args[0], args[1]) : 0;
    if (result != 0) {
        return result < 0 ? NULL : Py_NewRef(Py_None);
    }
    PyObject *method = PyMethod_New(self->state->pure.__setitem__, (PyObject *)self);
    PyObject *done = method == NULL ? NULL : PyObject_Vectorcall(method, args, count, NULL);
    Py_XDECREF(method);
    return done;
}

static int
is_all_encoded(PyObject *assigned)
{
    PyObject *key, *raw;
    Py_ssize_t i = 0;
    while (PyDict_Next(assigned, &i, &key, &raw)) {
        if (raw == Py_None) {
            return 0;
        }
    }
    return 1;
}

static PyObject *
values_sets(Values *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *nothing = self->state->NOTHING, *assigned = self->assigned;
    if (self->added == nothing && is_empty_dict(begun(self, BASELINES))) {
        if (assigned == nothing) {
            return PyDict_New();
        }
        if (is_dict(assigned) && is_all_encoded(assigned)) {
            Py_INCREF(assigned);
            PyObject *sets = PyDict_Copy(assigned);
            Py_DECREF(assigned);
            return sets;
        }
    }
    return PyObject_CallOneArg(self->state->pure._sets, (PyObject *)self);
}

#endif
