/* Names: a Local's table from attribute name to index, for all its owners.

   Two tables. `index` is a dict that knows every name which has an index, by equality;
   `by_index` is its inverse. `slots` is the fast one: open addressing by the address of
   the name, because attribute names in code are interned, one object each. It holds only
   names that the class does not define, for the class attributes and descriptors would
   come into play, and it is right for one version of the class only: CPython gives a class
   another version tag (or none, 0) whenever it or a base of it changes.

   Cost: one load and compare for the version, and about one probe. Names are not forgotten
   before the Local; the first MOST_NAMES get an index, later ones do not, and a namespace that
   gets one of those keeps its values in a dict instead (namespace.h). */

#ifndef CTXLOCAL_NAMES_H
#define CTXLOCAL_NAMES_H

#include "state.h"

typedef struct {
    PyObject *name; /* borrowed from Names.index */
    Py_ssize_t index;
} NameSlot;

typedef struct {
    unsigned int version; /* of the class that `slots` is right for; 0: slots are empty */
    int shift;            /* 32 minus the binary logarithm of the number of slots */
    NameSlot *slots;
    Py_ssize_t used;      /* slots */
    Py_ssize_t count;     /* names with an index */
    Py_ssize_t capacity;  /* of by_index */
    Py_ssize_t most;      /* MOST_NAMES, or what a test wants */
    PyObject **by_index;  /* borrowed from `index` */
    PyObject *index;      /* dict, NULL while there is no name */
} Names;

enum { MOST_NAMES = 1024 };

static const NameSlot empty_slots[2];
#define NO_SLOTS ((NameSlot *)empty_slots) /* of all Locals that have none; never written */

static void
names_init(Names *self, Py_ssize_t most)
{
    memset(self, 0, sizeof(*self));
    self->slots = NO_SLOTS;
    self->shift = 31;
    self->most = most;
}

static void
names_end(Names *self)
{
    if (self->slots != NO_SLOTS) {
        PyMem_Free(self->slots);
    }
    PyMem_Free(self->by_index);
    Py_XDECREF(self->index);
    names_init(self, self->most);
}

ALWAYS_INLINE uint32_t
names_hash(Names *self, PyObject *name)
{
    return ((uint32_t)((uintptr_t)name >> 4) * 2654435761u) >> self->shift;
}

ALWAYS_INLINE uint32_t
names_mask(Names *self)
{
    return ((uint32_t)1 << (32 - self->shift)) - 1;
}

/* The index of a name that the class does not define, or -1: ask the slow way. */
ALWAYS_INLINE Py_ssize_t
names_peek(Names *self, PyTypeObject *type, PyObject *name)
{
    if (UNLIKELY(type->tp_version_tag != self->version)) {
        return -1;
    }
#if PY_VERSION_HEX < 0x030c0000
    if (UNLIKELY(!PyType_HasFeature(type, Py_TPFLAGS_VALID_VERSION_TAG))) {
        return -1;
    }
#endif
    uint32_t at = names_hash(self, name);
    for (;;) {
        NameSlot *slot = &self->slots[at];
        if (LIKELY(slot->name == name)) {
            return slot->index;
        }
        if (slot->name == NULL) {
            return -1;
        }
        at = (at + 1) & names_mask(self);
    }
}

static void
names_forget_slots(Names *self)
{
    if (self->slots != NO_SLOTS) {
        PyMem_Free(self->slots);
    }
    self->slots = NO_SLOTS;
    self->shift = 31;
    self->used = 0;
    self->version = 0;
}

static void
names_put(Names *self, PyObject *name, Py_ssize_t index)
{
    uint32_t at = names_hash(self, name);
    while (self->slots[at].name != NULL) {
        if (self->slots[at].name == name) {
            return;
        }
        at = (at + 1) & names_mask(self);
    }
    self->slots[at].name = name;
    self->slots[at].index = index;
    self->used++;
}

/* Let names_peek find a name from now on, as long as the class stays as it is. The class has
   just been asked for the name and does not define it. Without memory nothing happens. */
static void
names_remember(Names *self, PyTypeObject *type, PyObject *name, Py_ssize_t index)
{
    if (self->version != type->tp_version_tag) {
        names_forget_slots(self);
        self->version = type->tp_version_tag;
    }
    if (self->version == 0) {
        return;
    }
    Py_ssize_t size = self->slots == NO_SLOTS ? 0 : (Py_ssize_t)names_mask(self) + 1;
    if (2 * (self->used + 1) > size) {
        Py_ssize_t larger = size == 0 ? 8 : 2 * size;
        NameSlot *former = self->slots;
        NameSlot *slots = PyMem_Calloc((size_t)larger, sizeof(NameSlot));
        if (slots == NULL) {
            return;
        }
        self->slots = slots;
        self->shift = size == 0 ? 29 : self->shift - 1;
        self->used = 0;
        for (Py_ssize_t i = 0; i < size; i++) {
            if (former[i].name != NULL) {
                names_put(self, former[i].name, former[i].index);
            }
        }
        if (former != NO_SLOTS) {
            PyMem_Free(former);
        }
    }
    names_put(self, name, index);
}

/* The index of `name`, a str of exactly that type, and in *own the object in the table;
   -1: it has none (and *own is NULL); -2 with an error. `create`: give it one if there is room. */
static Py_ssize_t
names_find(Names *self, PyObject *name, int create, PyObject **own)
{
    if (own != NULL) {
        *own = NULL;
    }
    if (self->index == NULL && create) {
        PyObject *made = PyDict_New();
        if (made == NULL) {
            return -2;
        }
        if (self->index == NULL) {
            self->index = made;
        } else {
            Py_DECREF(made); /* a finaliser was here */
        }
    }
    if (self->index != NULL) {
        PyObject *number = PyDict_GetItemWithError(self->index, name);
        if (number != NULL) {
            Py_ssize_t index = PyLong_AsSsize_t(number);
            if (own != NULL) {
                *own = self->by_index[index];
            }
            return index;
        }
        if (PyErr_Occurred()) {
            return -2;
        }
    }
    if (!create || self->count >= self->most) {
        return -1;
    }
    if (self->count == self->capacity) {
        Py_ssize_t larger = self->capacity == 0 ? 8 : 2 * self->capacity;
        PyObject **by_index = PyMem_Realloc(self->by_index, (size_t)larger * sizeof(PyObject *));
        if (by_index == NULL) {
            PyErr_NoMemory();
            return -2;
        }
        self->by_index = by_index;
        self->capacity = larger;
    }
    PyObject *made = interned(name);
    PyObject *number = made == NULL ? NULL : PyLong_FromSsize_t(self->count);
    if (number == NULL || PyDict_SetItem(self->index, made, number) < 0) {
        Py_XDECREF(made);
        Py_XDECREF(number);
        return -2;
    }
    Py_DECREF(number);
    Py_DECREF(made); /* the dict has it */
    self->by_index[self->count] = made;
    if (own != NULL) {
        *own = made;
    }
    return self->count++;
}

#endif
