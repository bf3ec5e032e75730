/* Namespace: the attributes of one Local in one owner.

   An array with an entry for each index that the Local's names have (names.h): so a get
   is two loads, and a copy is one loop. An entry has its value and its rank, a number that
   grows in the order in which attributes are first set; iteration sorts by it.

   A namespace changes into a dict, for good, when it gets a name that has no index (there are
   MOST_NAMES already), and when its `__dict__` is asked for in a strategy that promises a
   real one. Then `dict` is all, `size` is 0, and the fast ways do not find anything.

   Whether a namespace may be changed is its holder's affair (holder.h): in a Context only where
   layout.h finds that nobody else can reach it, elsewhere always. The functions here change.

   The memory of dead namespaces is kept for the next ones, entries and all: a request has a new
   namespace in its Context, and the allocations would be a tenth of what it costs. Not in a debug
   build, where memory checkers are to see each namespace die.

   Cost of a copy: O(highest index set). */

#ifndef CTXLOCAL_NAMESPACE_H
#define CTXLOCAL_NAMESPACE_H

#include "holder.h"
#include "names.h"

typedef struct {
    HOLDER_HEAD
    Names names;
    PyObject *arguments; /* of a subclass that defines __init__: (args, kwargs); else NULL */
} Local;

typedef struct {
    PyObject *value; /* NULL: no such attribute */
    uint64_t rank;
} Entry;

typedef struct {
    LEAF_HEAD
    PyObject *dict;
    Entry *entries;
    Py_ssize_t size;
    Py_ssize_t used;
    uint64_t next_rank;
} Namespace;

#define NAMESPACE_HOME(namespace) ((Local *)(namespace)->home)

static int
namespace_reserve(Namespace *self, Py_ssize_t size)
{
    if (size <= self->size) {
        return 0;
    }
    Entry *entries = PyMem_Realloc(self->entries, (size_t)size * sizeof(Entry));
    if (entries == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memset(entries + self->size, 0, (size_t)(size - self->size) * sizeof(Entry));
    self->entries = entries;
    self->size = size;
    return 0;
}

/* Make an empty namespace of `home`, which may be NULL: then it is nobody's. */
static Namespace *
namespace_new(State *state, Holder *home)
{
    Namespace *self = (Namespace *)state->spare_namespaces;
    if (self != NULL) { /* its entries are empty */
        state->spare_namespaces = (PyObject *)self->next;
        state->spare_count--;
        PyObject_Init((PyObject *)self, state->Namespace);
    } else {
        self = PyObject_GC_New(Namespace, state->Namespace);
        if (self == NULL) {
            return NULL;
        }
        self->entries = NULL;
        self->size = 0;
    }
    self->dict = NULL;
    self->used = 0;
    self->next_rank = 0;
    leaf_init((Leaf *)self, state, home);
    PyObject_GC_Track(self);
    return self;
}

/* How many entries a new namespace should have room for: all the names of today, within reason. */
static Py_ssize_t
namespace_room(Local *home, Py_ssize_t index)
{
    Py_ssize_t room = home->names.count < 64 ? home->names.count : 64;
    return index + 1 > room ? index + 1 : room;
}

/* Drop all values. They may run Python code that comes back here. */
static void
namespace_empty(Namespace *self)
{
    Entry *entries = self->entries;
    Py_ssize_t size = self->size;
    PyObject *dict = self->dict;
    self->entries = NULL;
    self->size = self->used = 0;
    self->dict = NULL;
    for (Py_ssize_t i = 0; i < size; i++) {
        Py_XDECREF(entries[i].value);
    }
    PyMem_Free(entries);
    Py_XDECREF(dict);
}

static int
namespace_take_over(Namespace *self, Namespace *other)
{
    if (other->dict != NULL) {
        PyObject *dict = Py_NewRef(other->dict);
        PyObject *copy = PyDict_Copy(dict);
        Py_DECREF(dict);
        namespace_empty(self); /* a reused one has room, in which the fast ways would write */
        self->dict = copy;
        return copy == NULL ? -1 : 0;
    }
    if (namespace_reserve(self, other->size) < 0) { /* a reused namespace may have more room */
        return -1;
    }
    for (Py_ssize_t i = 0; i < other->size; i++) {
        self->entries[i].value = Py_XNewRef(other->entries[i].value);
        self->entries[i].rank = other->entries[i].rank;
    }
    self->used = other->used;
    self->next_rank = other->next_rank;
    return 0;
}

static Namespace *
namespace_copy(Namespace *other)
{
    Namespace *self = namespace_new(other->state, NULL);
    if (self != NULL && other->home != NULL) { /* it may have ended while memory was found */
        leaf_link((Leaf *)self, other->state, other->home);
    }
    if (self != NULL && namespace_take_over(self, other) < 0) {
        Py_CLEAR(self);
    }
    return self;
}

static int
entry_order(const void *one, const void *other)
{
    uint64_t first = (*(Entry *const *)one)->rank, second = (*(Entry *const *)other)->rank;
    return first < second ? -1 : first > second;
}

/* The entries that have values, by rank: `used` pointers, to be freed. */
static Entry **
namespace_sorted(Namespace *self)
{
    Entry **sorted = PyMem_Malloc((size_t)(self->used + 1) * sizeof(Entry *));
    if (sorted == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    Py_ssize_t count = 0;
    for (Py_ssize_t i = 0; i < self->size; i++) {
        if (self->entries[i].value != NULL) {
            sorted[count++] = &self->entries[i];
        }
    }
    assert(count == self->used);
    qsort(sorted, (size_t)count, sizeof(Entry *), entry_order);
    return sorted;
}

/* A new dict of what the array holds when it has been made: making it may run the garbage
   collector, and that anything. */
static PyObject *
namespace_as_dict(Namespace *self)
{
    PyObject *dict = PyDict_New();
    if (dict == NULL || self->used == 0) {
        return dict;
    }
    Entry **sorted = namespace_sorted(self);
    if (sorted == NULL) {
        Py_DECREF(dict);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < self->used; i++) {
        PyObject *name = NAMESPACE_HOME(self)->names.by_index[sorted[i] - self->entries];
        if (PyDict_SetItem(dict, name, sorted[i]->value) < 0) {
            Py_CLEAR(dict);
            break;
        }
    }
    PyMem_Free(sorted);
    return dict;
}

/* Change into a dict. The caller has a reference to the namespace. */
static int
namespace_become_dict(Namespace *self)
{
    if (self->dict != NULL) {
        return 0;
    }
    PyObject *dict = namespace_as_dict(self);
    if (dict == NULL) {
        return -1;
    }
    if (self->dict != NULL) { /* a finaliser was here */
        Py_DECREF(dict);
        return 0;
    }
    namespace_empty(self); /* drops no last reference: the dict has all values */
    self->dict = dict;
    return 0;
}

/* Set (or, where `value` is NULL, remove) an attribute; `former` gets what was there, for the
   caller to drop when all is done. `index` is -1 for a name that has none. */
static int
namespace_put(Namespace *self, Py_ssize_t index, PyObject *name, PyObject *value, PyObject **former)
{
    *former = NULL;
    if (self->dict == NULL && index < 0 && value != NULL && namespace_become_dict(self) < 0) {
        return -1;
    }
    if (self->dict != NULL) {
        /* A real __dict__ may have keys with an __eq__ in Python, which may end this namespace. */
        PyObject *dict = Py_NewRef(self->dict);
        *former = Py_XNewRef(PyDict_GetItemWithError(dict, name));
        int result = *former == NULL && PyErr_Occurred() ? -1
            : value != NULL                               ? PyDict_SetItem(dict, name, value)
            : *former != NULL                             ? PyDict_DelItem(dict, name)
                                                          : 0;
        Py_DECREF(dict);
        return result;
    }
    if (value == NULL) {
        if (index >= 0 && index < self->size && self->entries[index].value != NULL) {
            *former = self->entries[index].value;
            self->entries[index].value = NULL;
            self->used--;
        }
        return 0;
    }
    if (index >= self->size) {
        Py_ssize_t room = namespace_room(NAMESPACE_HOME(self), index);
        if (namespace_reserve(self, room > 2 * self->size ? room : 2 * self->size) < 0) {
            return -1;
        }
    }
    Entry *entry = &self->entries[index];
    *former = entry->value;
    if (entry->value == NULL) {
        entry->rank = self->next_rank++;
        self->used++;
    }
    entry->value = Py_NewRef(value);
    return 0;
}

/* The value of an attribute as a new reference, or NULL, with or without an error. */
static PyObject *
namespace_get(Namespace *self, Py_ssize_t index, PyObject *name)
{
    if (self->dict != NULL) {
        PyObject *dict = Py_NewRef(self->dict);
        PyObject *value = Py_XNewRef(PyDict_GetItemWithError(dict, name));
        Py_DECREF(dict);
        return value;
    }
    return index >= 0 && index < self->size ? Py_XNewRef(self->entries[index].value) : NULL;
}

/* A list of (name, value) pairs, in the order in which the attributes were first set. */
static PyObject *
namespace_items(Namespace *self)
{
    PyObject *dict = self->dict == NULL ? namespace_as_dict(self) : Py_NewRef(self->dict);
    PyObject *items = dict == NULL ? NULL : PyDict_Items(dict);
    Py_XDECREF(dict);
    return items;
}

/* The type */

static int
namespace_traverse(Namespace *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->state->module);
    Py_VISIT(self->dict);
    if (self->dict != NULL && Py_REFCNT(self->dict) == 1 && !PyObject_GC_IsTracked(self->dict)) {
        /* The collector leaves it out of account since a collection in which a greenlet was
           active that is a value: to an only owner its values are the namespace's own. */
        PyObject *name, *value;
        Py_ssize_t at = 0;
        while (PyDict_Next(self->dict, &at, &name, &value)) {
            Py_VISIT(value);
        }
    }
    for (Py_ssize_t i = 0; i < self->size; i++) {
        Py_VISIT(self->entries[i].value);
    }
    return 0;
}

static int
namespace_clear(Namespace *self)
{
    namespace_empty(self);
    return 0;
}

enum { MOST_SPARE_NAMESPACES = 64, MOST_SPARE_ENTRIES = 16 };

/* Drop the values of a namespace that is dead, which nobody reaches; keep the entries of a small
   array if there are not many already (values that are namespaces too may make them a few more). */
static int
namespace_empty_for_reuse(Namespace *self)
{
#ifdef CTXLOCAL_DEBUG
    namespace_empty(self);
    return 0;
#else
    if (self->dict != NULL || self->size > MOST_SPARE_ENTRIES ||
        self->state->spare_count >= MOST_SPARE_NAMESPACES) {
        namespace_empty(self);
        return 0;
    }
    for (Py_ssize_t i = 0; i < self->size; i++) {
        Py_CLEAR(self->entries[i].value);
    }
    return 1;
#endif
}

static void
namespace_dealloc(Namespace *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    leaf_unlink((Leaf *)self); /* first: the trashcan may put it aside (holder.h) */
    Py_TRASHCAN_BEGIN(self, namespace_dealloc)
    State *state = self->state;
    PyObject *module = state->module;
    if (namespace_empty_for_reuse(self)) {
        self->next = (Leaf *)state->spare_namespaces;
        state->spare_namespaces = (PyObject *)self;
        state->spare_count++;
    } else {
        PyMem_Free(self->entries);
        PyObject_GC_Del(self);
    }
    Py_DECREF(type);
    Py_DECREF(module);
    Py_TRASHCAN_END
}

static int
namespace_bool(Namespace *self)
{
    return self->dict != NULL ? PyDict_GET_SIZE(self->dict) != 0 : self->used != 0;
}

static PyObject *
namespace_copy_method(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return (PyObject *)namespace_copy((Namespace *)self);
}

static PyMethodDef namespace_methods[] = {
    {"copy", namespace_copy_method, METH_NOARGS,
     "Return another namespace of the same Local with the same values."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot namespace_slots[] = {
    {Py_tp_doc, "The attributes of one Local in one owner."},
    {Py_tp_dealloc, namespace_dealloc},
    {Py_tp_traverse, namespace_traverse},
    {Py_tp_clear, namespace_clear},
    {Py_nb_bool, namespace_bool},
    {Py_tp_methods, namespace_methods},
    {0, NULL},
};

static PyType_Spec namespace_spec = {
    .name = "ctxlocal.local._native.Namespace",
    .basicsize = sizeof(Namespace),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = namespace_slots,
};

#endif
