/* An object of Values: its slots, how it is made, and how it ends.

   The slots are those of the pure twin, and hold whatever is put into them; so that class's methods
   work on these objects. */

#ifndef CTXLOCAL_VALUES_VALUES_H
#define CTXLOCAL_VALUES_VALUES_H

#include "state.h"

#define SLOTS(X)                                                                           \
    X(accessed) X(added) X(assigned) X(begun) X(closed) X(cookies) X(destroyed) X(dropped) \
    X(failure) X(indexed) X(is_cleared) X(is_plain) X(member_names) X(ops) X(regenerate)   \
    X(renew) X(sessions)

typedef struct {
    PyObject_HEAD
    State *state;
    PyObject *weakrefs;
#define X(name) PyObject *name;
    SLOTS(X)
#undef X
} Values;

static void
set(PyObject **slot, PyObject *value)
{
    Py_INCREF(value);
    Py_XSETREF(*slot, value);
}

static int
values_traverse(Values *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    if (self->state != NULL) {
        Py_VISIT(self->state->module);
    }
#define X(name) Py_VISIT(self->name);
    SLOTS(X)
#undef X
    return 0;
}

static int
values_clear(Values *self)
{
#define X(name) Py_CLEAR(self->name);
    SLOTS(X)
#undef X
    return 0;
}

static void
values_dealloc(Values *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    values_clear(self);
    if (self->state != NULL) {
        Py_DECREF(self->state->module);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

/* What `object.__new__` does, which refuses an abstract class, whatever the arguments are. */
static PyObject *
values_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyTypeObject *ours = type;
    while (ours->tp_dealloc != (destructor)values_dealloc) {
        ours = ours->tp_base;
    }
    State *state = PyType_GetModuleState(ours);
    Values *self = (Values *)PyBaseObject_Type.tp_new(type, state->no_arguments, NULL);
    if (self != NULL) {
        self->state = state;
        Py_INCREF(state->module);
    }
    return (PyObject *)self;
}

static int
values_init_purely(Values *self, PyObject *args, PyObject *kwargs)
{
    PyObject *init = PyMethod_New(self->state->pure.__init__, (PyObject *)self);
    PyObject *done = init == NULL ? NULL : PyObject_Call(init, args, kwargs);
    Py_XDECREF(init);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static int
values_init(Values *self, PyObject *args, PyObject *kwargs)
{
    if (kwargs != NULL || PyTuple_GET_SIZE(args) != 2) {
        return values_init_purely(self, args, kwargs);
    }
    PyObject *begun = PyList_New(0);
    if (begun == NULL) {
        return -1;
    }
    State *state = self->state;
    set(&self->begun, begun);
    Py_DECREF(begun);
    set(&self->sessions, PyTuple_GET_ITEM(args, 0));
    set(&self->cookies, PyTuple_GET_ITEM(args, 1));
    PyObject **slots_of_false[] = {&self->accessed, &self->closed, &self->renew,
                                   &self->destroyed, &self->is_cleared};
    for (size_t i = 0; i < Py_ARRAY_LENGTH(slots_of_false); i++) {
        set(slots_of_false[i], Py_False);
    }
    set(&self->is_plain, Py_True);
    set(&self->failure, Py_None);
    set(&self->indexed, Py_None);
    set(&self->regenerate, Py_None);
    set(&self->assigned, state->NOTHING);
    set(&self->added, state->NOTHING);
    set(&self->ops, state->NOTHING);
    set(&self->dropped, state->NO_NAMES);
    return 0;
}

#endif
