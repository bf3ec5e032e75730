/* Latch: what one at a time may have, and nobody waits for.

   The GIL makes each operation one step. It holds no reference, so that the garbage collector
   has nothing to do with it: every request makes three. */

#ifndef CTXLOCAL_LATCH_H
#define CTXLOCAL_LATCH_H

#include "docs.h"
#include "state.h"

typedef struct {
    PyObject_HEAD
    char is_taken;
} Latch;

/* Latch(): half of what `type` takes to come by the same. There is no class derived from it. */
static PyObject *
latch_new(PyObject *type, PyObject *const *Py_UNUSED(args), size_t count, PyObject *keywords)
{
    if (PyVectorcall_NARGS(count) != 0 || (keywords != NULL && PyTuple_GET_SIZE(keywords) != 0)) {
        PyErr_SetString(PyExc_TypeError, "Latch() takes no arguments");
        return NULL;
    }
    Latch *self = PyObject_New(Latch, (PyTypeObject *)type);
    if (self != NULL) {
        self->is_taken = 0;
    }
    return (PyObject *)self;
}

static PyObject *
latch_take(Latch *self, PyObject *Py_UNUSED(ignored))
{
    if (self->is_taken) {
        Py_RETURN_FALSE;
    }
    self->is_taken = 1;
    Py_RETURN_TRUE;
}

static PyObject *
latch_release(Latch *self, PyObject *Py_UNUSED(ignored))
{
    if (!self->is_taken) {
        Py_RETURN_FALSE;
    }
    self->is_taken = 0;
    Py_RETURN_TRUE;
}

static PyObject *
latch_is_taken(Latch *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->is_taken);
}

static void
latch_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef latch_methods[] = {
    {"take", (PyCFunction)latch_take, METH_NOARGS, DOC_Latch_take},
    {"release", (PyCFunction)latch_release, METH_NOARGS, DOC_Latch_release},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef latch_getset[] = {
    {"is_taken", (getter)latch_is_taken, NULL, DOC_Latch_is_taken, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot latch_slots[] = {
    {Py_tp_doc, (void *)DOC_Latch},
    {Py_tp_dealloc, latch_dealloc},
    {Py_tp_methods, latch_methods},
    {Py_tp_getset, latch_getset},
    {0, NULL},
};

static PyType_Spec latch_spec = {
    .name = "ctxlocal.local.pure.latch.Latch",
    .basicsize = sizeof(Latch),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = latch_slots,
};

#endif
