/* Pile: the objects of one LocalStack in one owner.

   A pile has an array of its own, the top last, and may stand on another pile:

       pile:  items [x y]      stands on 3 objects of      other:  items [a b c d]

   reads a b c x y. A pile that something else refers to (another Context, another pile, a
   scope that will restore it) never changes; whoever wants to push or pop then makes a new
   one that stands on it. So a push is O(1) at any depth, whether it changes a pile in place
   or not, and Contexts share their lower parts.

   Invariants: where there is a `below`, `below_count` is at least 1 and at most the number of
   its items. A pile is changed only by code that has found it to be exclusive (holder.h).
   What lies above `below_count` in a pile that only we refer to is dropped at a pop.

   A chain of piles may be as long as the stack is deep (where nothing may change in place);
   so it is taken apart in a loop, not by recursion. */

#ifndef CTXLOCAL_PILE_H
#define CTXLOCAL_PILE_H

#include "holder.h"

enum { PILE_INLINE = 3 };

typedef struct Pile {
    LEAF_HEAD
    struct Pile *below;
    Py_ssize_t below_count;
    Py_ssize_t count;
    Py_ssize_t capacity;
    PyObject **items; /* `few`, or allocated */
    PyObject *few[PILE_INLINE];
} Pile;

static Pile *
pile_new(State *state, Holder *home)
{
    Pile *self = PyObject_GC_New(Pile, state->Pile);
    if (self == NULL) {
        return NULL;
    }
    self->below = NULL;
    self->below_count = 0;
    self->count = 0;
    self->capacity = PILE_INLINE;
    self->items = self->few;
    leaf_init((Leaf *)self, state, home);
    PyObject_GC_Track(self);
    return self;
}

/* Let an empty pile stand on the first `count` objects that `other` reads as. */
static void
pile_stand_on(Pile *self, Pile *other, Py_ssize_t count)
{
    assert(self->count == 0 && self->below == NULL);
    if (count == 0) { /* of other's own: it is what other stands on */
        count = other->below_count;
        other = other->below;
    }
    self->below = (Pile *)Py_XNewRef(other);
    self->below_count = other == NULL ? 0 : count;
}

/* Another pile that reads the same. */
static Pile *
pile_copy(Pile *other)
{
    Pile *self = pile_new(other->state, NULL);
    if (self != NULL) {
        if (other->home != NULL) { /* it may have ended while memory was found */
            leaf_link((Leaf *)self, other->state, other->home);
        }
        pile_stand_on(self, other, other->count);
    }
    return self;
}

ALWAYS_INLINE int
pile_is_empty(Pile *self)
{
    return self->count == 0 && self->below == NULL;
}

/* The topmost object, borrowed; NULL where the pile is empty. */
ALWAYS_INLINE PyObject *
pile_top(Pile *self)
{
    if (LIKELY(self->count > 0)) {
        return self->items[self->count - 1];
    }
    return self->below == NULL ? NULL : self->below->items[self->below_count - 1];
}

NEVER_INLINE int
pile_grow(Pile *self)
{
    Py_ssize_t larger = 2 * self->capacity + 2;
    PyObject **items = PyMem_Realloc(self->items == self->few ? NULL : self->items,
                                     (size_t)larger * sizeof(PyObject *));
    if (items == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (self->items == self->few) {
        memcpy(items, self->few, sizeof(self->few));
    }
    self->items = items;
    self->capacity = larger;
    return 0;
}

ALWAYS_INLINE int
pile_push(Pile *self, PyObject *obj)
{
    if (UNLIKELY(self->count == self->capacity) && pile_grow(self) < 0) {
        return -1;
    }
    self->items[self->count++] = Py_NewRef(obj);
    return 0;
}

/* Take the topmost object of a pile that is not empty and has no items of its own. What was to
   be dropped is in *dropped: a former part of the chain. */
NEVER_INLINE PyObject *
pile_pop_below(Pile *self, Pile **dropped)
{
    Pile *below = self->below;
    PyObject *obj = Py_NewRef(below->items[self->below_count - 1]);
    self->below_count--;
    if (self->below_count == 0) {
        self->below = (Pile *)Py_XNewRef(below->below);
        self->below_count = below->below_count;
        *dropped = below;
    } else if (Py_REFCNT(below) == 1) {
        /* Nobody else reads what is above: it must not live on. */
        while (below->count > self->below_count + 1) {
            PyObject *above = below->items[--below->count];
            Py_DECREF(above);
            if (self->below != below || Py_REFCNT(below) != 1) {
                return obj; /* a finaliser was here */
            }
        }
        if (below->count > self->below_count) {
            below->count--;
            Py_DECREF(below->items[below->count]); /* not the last reference: obj is another */
        }
    }
    return obj;
}

/* Take everything out. The objects may run Python code that comes back here. */
static void
pile_empty(Pile *self)
{
    PyObject *few[PILE_INLINE];
    PyObject **items = self->items;
    Py_ssize_t count = self->count;
    Pile *below = self->below;
    if (items == self->few) {
        memcpy(few, self->few, sizeof(few));
    }
    self->items = self->few;
    self->capacity = PILE_INLINE;
    self->count = self->below_count = 0;
    self->below = NULL;
    for (Py_ssize_t i = count - 1; i >= 0; i--) {
        Py_DECREF(items == self->few ? few[i] : items[i]);
    }
    if (items != self->few) {
        PyMem_Free(items);
    }
    while (below != NULL && Py_REFCNT(below) == 1) {
        Pile *next = below->below;
        below->below = NULL;
        below->below_count = 0;
        Py_DECREF(below);
        below = next;
    }
    Py_XDECREF(below);
}

static int
pile_traverse(Pile *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->state->module);
    Py_VISIT(self->below);
    for (Py_ssize_t i = 0; i < self->count; i++) {
        Py_VISIT(self->items[i]);
    }
    return 0;
}

static int
pile_clear(Pile *self)
{
    pile_empty(self);
    return 0;
}

static void
pile_dealloc(Pile *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    leaf_unlink((Leaf *)self); /* first: the trashcan may put it aside (holder.h) */
    Py_TRASHCAN_BEGIN(self, pile_dealloc)
    pile_empty(self);
    PyObject *module = self->state->module;
    PyObject_GC_Del(self);
    Py_DECREF(type);
    Py_DECREF(module);
    Py_TRASHCAN_END
}

static int
pile_bool(Pile *self)
{
    return !pile_is_empty(self);
}

static PyObject *
pile_copy_method(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return (PyObject *)pile_copy((Pile *)self);
}

static PyMethodDef pile_methods[] = {
    {"copy", pile_copy_method, METH_NOARGS,
     "Return another pile of the same stack with the same objects."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot pile_slots[] = {
    {Py_tp_doc, "The objects of one LocalStack in one owner."},
    {Py_tp_dealloc, pile_dealloc},
    {Py_tp_traverse, pile_traverse},
    {Py_tp_clear, pile_clear},
    {Py_nb_bool, pile_bool},
    {Py_tp_methods, pile_methods},
    {0, NULL},
};

static PyType_Spec pile_spec = {
    .name = "ctxlocal.local._native.Pile",
    .basicsize = sizeof(Pile),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = pile_slots,
};

static void
leaf_empty(Leaf *leaf)
{
    if (Py_TYPE(leaf) == leaf->state->Namespace) {
        namespace_empty((Namespace *)leaf);
    } else {
        pile_empty((Pile *)leaf);
    }
}

#endif
