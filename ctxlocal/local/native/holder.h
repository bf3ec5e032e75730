/* Holder: what a Local and a LocalStack have in common, and how they find their value.

   A holder has at most one value for each owner: a Namespace (a Local's attributes) or a Pile
   (a stack's objects), here called a *leaf*. Where leaves are kept is decided by the slot's
   storage, which is Python code that both twins share (storage.py): in a ContextVar, in
   the thread state, in the record of a greenlet or task. The owner has the only lasting
   reference to its leaf. What is here is the way past that Python code:

       kind       leaf is found by
       CONTEXT    the ContextVar's own cache, or PyContextVar_Get (layout.h)
       THREAD     `cached`, valid while thread state and epoch are the same
       GREENLET   `cached`, valid while the context version is the same too
       OTHER      asking the storage each time: a task's identity, or a callable's, can
                  change without any sign
       VAR        (a ContextVar of the user's) never: it holds a dict or list, not a leaf

   One test serves: (thread state's id, its context version, epoch). CPython changes the
   context version at every switch of Context, greenlet at every switch of greenlet; ids of
   thread states are never reused. Neither sees an exchange of carried values (a Frame's or
   snapshot's step), so each exchange begins an epoch (flow/ calls `exchanged`).

   Invariants:
   - `cached` is borrowed. A leaf that dies, or that the holder lets go, takes itself out of
     it (`leaf_unlink`), so it never dangles.
   - A leaf is in the list of its holder (`home`) until either of them ends; a dropped holder
     empties all its leaves, wherever they are (`holder_let_go`): so a value dies with its
     Local even in Contexts that live on, where the variable itself stays.
   - A leaf that dies may wait: where deallocations are nested deeply, CPython puts an object
     aside, with a count of 0, until the others have unwound (its trashcan), and other code
     runs meanwhile. So a leaf leaves the list before it may be put aside; and since 3.14,
     where that happens before our deallocator is called, what finds a leaf by `first` or
     `cached` looks whether it lives (`leaf_lives`). A reference to one that does not would
     have it deallocated twice.
   - A value found in a Context may be anything, because foreign code can set any variable
     of ours to anything. `leaf_is_ours` looks before it is used.
   - `changes` counts what makes a leaf that was looked up by Python code no longer the
     current one: a lookup caches what it found only if the count is the same as before. */

#ifndef CTXLOCAL_HOLDER_H
#define CTXLOCAL_HOLDER_H

#include "depth.h"
#include "layout.h"

typedef struct Holder Holder;

#define LEAF_HEAD             \
    PyObject_HEAD             \
    State *state;             \
    Holder *home; /* borrowed; NULL once the holder has let it go */ \
    struct Leaf *previous;    \
    struct Leaf *next;

typedef struct Leaf {
    LEAF_HEAD
} Leaf;

typedef enum { NO_SLOT, UNBOUND, CONTEXT, THREAD, GREENLET, OTHER, VAR } Kind;

#define HOLDER_HEAD                                                              \
    PyObject_HEAD                                                                \
    State *state;                                                                \
    Kind kind;                                                                   \
    uint32_t hash;      /* of `var`, as a HAMT places it */                      \
    PyObject *var;      /* CONTEXT and VAR: the ContextVar */                    \
    Leaf *cached;       /* THREAD and GREENLET */                                \
    uint64_t cached_tsid;                                                        \
    uint64_t cached_tsver;                                                       \
    Epoch cached_epoch;                                                          \
    uint64_t changes;                                                            \
    Leaf *first;                                                                 \
    PyTypeObject *leaf_type; /* borrowed from the state */                       \
    PyObject *slot;                                                              \
    PyObject *storage;                                                           \
    PyObject *raw;      /* THREAD, GREENLET: the thread's values, or NULL */     \
    PyObject *ident_key; /* GREENLET: where the record is in a greenlet's dict */ \
    PyObject *map_name; /* GREENLET: "fixed" or "carried" */                     \
    PyObject *map_key;                                                           \
    PyObject *weakrefs;

struct Holder {
    HOLDER_HEAD
};

/* Leaves */

static void
leaf_link(Leaf *leaf, State *state, Holder *home)
{
    leaf->state = state;
    leaf->home = home;
    leaf->previous = NULL;
    leaf->next = home->first;
    if (home->first != NULL) {
        home->first->previous = leaf;
    }
    home->first = leaf;
}

/* Make a new object a leaf, in the list of `home`; nobody's where that is NULL. */
static void
leaf_init(Leaf *leaf, State *state, Holder *home)
{
    leaf->home = NULL;
    leaf->previous = leaf->next = NULL;
    leaf->state = state;
    state_hold(state);
    if (home != NULL) {
        leaf_link(leaf, state, home);
    }
}

static void
leaf_unlink(Leaf *leaf)
{
    Holder *home = leaf->home;
    if (home == NULL) {
        return;
    }
    if (home->cached == leaf) {
        home->cached = NULL;
    }
    if (home->kind == CONTEXT) {
        context_forget(home->state, home->var, (PyObject *)leaf);
    }
    if (leaf->previous != NULL) {
        leaf->previous->next = leaf->next;
    } else {
        assert(home->first == leaf);
        home->first = leaf->next;
    }
    if (leaf->next != NULL) {
        leaf->next->previous = leaf->previous;
    }
    leaf->home = NULL;
    leaf->previous = leaf->next = NULL;
}

/* Whether a leaf that is not found by a reference is more than a leaf that waits for its end. */
ALWAYS_INLINE int
leaf_lives(Leaf *leaf)
{
#if PY_VERSION_HEX >= 0x030e0000
    return LIKELY(Py_REFCNT(leaf) > 0);
#else
    assert(Py_REFCNT(leaf) > 0);
    return 1;
#endif
}

ALWAYS_INLINE int
leaf_is_ours(Holder *self, PyObject *value)
{
    return LIKELY(Py_TYPE(value) == self->leaf_type) && LIKELY(((Leaf *)value)->home == self);
}

/* The way to a leaf that runs no Python code */

/* The current owner's leaf, borrowed; NULL where there is none or Python code has to find it. */
ALWAYS_INLINE Leaf *
holder_peek(Holder *self)
{
    PyThreadState *thread = THREAD_STATE();
    if (self->kind == CONTEXT) {
        PyObject *value = context_peek(self->state, thread, self->var);
        if (UNLIKELY(value == NULL)) {
            PyErr_Clear();
            return NULL;
        }
        return leaf_is_ours(self, value) ? (Leaf *)value : NULL;
    }
    if (LIKELY(self->cached != NULL) && LIKELY(self->cached_tsid == thread->id) &&
        LIKELY(self->cached_epoch == EPOCH()) &&
        (self->kind == THREAD || LIKELY(self->cached_tsver == thread->context_ver)) &&
        leaf_lives(self->cached)) {
        return self->cached;
    }
    return NULL;
}

/* The current owner's leaf if it may be changed in place, borrowed; else NULL. `is_versioned`:
   the leaf may also be part of another one, or of a scope's memory, outside Contexts too. */
ALWAYS_INLINE Leaf *
holder_peek_writable(Holder *self, int is_versioned)
{
    if (self->kind == CONTEXT) {
        State *state = self->state;
        if (UNLIKELY(!state->can_mutate)) {
            return NULL;
        }
        PyObject *value = context_exclusive(state, THREAD_STATE(), self->var, self->hash);
        return value != NULL && leaf_is_ours(self, value) ? (Leaf *)value : NULL;
    }
    Leaf *leaf = holder_peek(self);
    return leaf != NULL && is_versioned && Py_REFCNT(leaf) != 1 ? NULL : leaf;
}

/* greenlet, through its C API and without its header, which does not change (greenlet.h) */

struct greenlet_api {
    void *type;
    void *error;
    void *exit;
    PyObject *(*create)(PyObject *run, PyObject *parent);
    PyObject *(*getcurrent)(void);
    PyObject *(*throw_)(PyObject *, PyObject *, PyObject *, PyObject *);
    PyObject *(*switch_)(PyObject *, PyObject *, PyObject *);
};

static PyObject *
greenlet_read_version(PyObject *module, PyObject *ignored)
{
    return PyLong_FromUnsignedLongLong(THREAD_STATE()->context_ver);
}

static PyMethodDef greenlet_test_def = {
    "context_version", greenlet_read_version, METH_NOARGS, NULL};

/* Whether a switch changes the context version, which is what `cached` relies on. */
static int
greenlet_test(greenlet_api *api)
{
    uint64_t before = THREAD_STATE()->context_ver;
    PyObject *function = PyCFunction_New(&greenlet_test_def, NULL);
    PyObject *greenlet = function == NULL ? NULL : api->create(function, NULL);
    PyObject *seen = greenlet == NULL ? NULL : api->switch_(greenlet, NULL, NULL);
    uint64_t inside = seen == NULL ? before : PyLong_AsUnsignedLongLong(seen);
    Py_XDECREF(function);
    Py_XDECREF(greenlet);
    Py_XDECREF(seen);
    PyErr_Clear();
    return before != inside && inside != THREAD_STATE()->context_ver;
}

/* greenlet's functions; NULL, without an error, where they cannot be used. */
static greenlet_api *
greenlet_functions(State *state)
{
    if (state->greenlet == NULL) {
        PyObject *module = PyImport_ImportModule("greenlet");
        Py_XDECREF(module);
        greenlet_api *api = module == NULL ? NULL : PyCapsule_Import("greenlet._C_API", 0);
        PyErr_Clear();
        if (api == NULL || !greenlet_test(api)) {
            return NULL;
        }
        state->greenlet = api;
    }
    return state->greenlet;
}

/* Binding: from the slot's storage to a kind */

static void
holder_forget_storage(Holder *self)
{
    self->kind = self->slot == NULL ? NO_SLOT : UNBOUND;
    self->cached = NULL;
    PyObject *former[] = {self->storage, self->var, self->raw, self->ident_key,
                          self->map_name, self->map_key};
    self->storage = self->var = self->raw = self->ident_key = NULL;
    self->map_name = self->map_key = NULL;
    for (size_t i = 0; i < Py_ARRAY_LENGTH(former); i++) {
        Py_XDECREF(former[i]);
    }
}

/* Take up a storage; its shortcut() tells how its values are found without it. */
static int
holder_adopt(Holder *self, PyObject *storage)
{
    State *state = self->state;
    PyObject *found = PyObject_CallMethodNoArgs(storage, state->str_shortcut);
    if (found == NULL) {
        return -1;
    }
    const char *kind;
    PyObject *first = NULL, *map_name = NULL, *map_key = NULL;
    if (!PyArg_ParseTuple(found, "s|OOO:shortcut", &kind, &first, &map_name, &map_key)) {
        Py_DECREF(found);
        return -1;
    }
    Kind chosen = OTHER;
    uint32_t hash = 0;
    if (strcmp(kind, "context") == 0 && PyContextVar_CheckExact(first)) {
        chosen = CONTEXT;
        hash = var_hash(first);
    } else if (strcmp(kind, "var") == 0 && PyContextVar_CheckExact(first)) {
        chosen = VAR;
    } else if (strcmp(kind, "thread") == 0) {
        chosen = THREAD;
    } else if (strcmp(kind, "greenlet") == 0 && greenlet_functions(state) != NULL) {
        chosen = GREENLET;
    }
    /* Another thread, or code that ran here, may have been first; or the strategy was taken away
       again, and the slot has another storage by now, or none. */
    PyObject *slot = Py_XNewRef(self->slot);
    PyObject *current = slot == NULL ? NULL : PyObject_GetAttr(slot, state->str_storage);
    Py_XDECREF(slot);
    if (current == NULL) {
        Py_DECREF(found);
        return PyErr_Occurred() ? -1 : 0;
    }
    if (self->kind == UNBOUND && current == storage) {
        self->kind = chosen;
        self->hash = hash;
        self->storage = Py_NewRef(storage);
        self->var = chosen == CONTEXT || chosen == VAR ? Py_NewRef(first) : NULL;
        self->raw = chosen == THREAD ? Py_XNewRef(first) : NULL;
        self->ident_key = chosen == GREENLET ? Py_NewRef(first) : NULL;
        self->map_name = Py_XNewRef(map_name);
        self->map_key = Py_XNewRef(map_key);
    }
    Py_DECREF(current);
    Py_DECREF(found);
    return 0;
}

/* Decide the storage, if that is not done: the application's default does, where none was given.
   It holds until Python code runs, here or in another thread: set_default(discard=True) takes it
   away. So whoever uses the storage after that decides again. */
static int
holder_bind(Holder *self)
{
    while (UNLIKELY(self->kind <= UNBOUND)) {
        if (self->kind == NO_SLOT) {
            PyErr_Format(PyExc_AttributeError,
                         "'%.200s' object has no attribute '_ctxlocal_slot'",
                         Py_TYPE(self)->tp_name);
            return -1;
        }
        PyObject *slot = Py_NewRef(self->slot);
        PyObject *storage = PyObject_CallMethodNoArgs(slot, self->state->str_bound);
        Py_DECREF(slot);
        if (storage == NULL) {
            return -1;
        }
        int result = holder_adopt(self, storage);
        Py_DECREF(storage);
        if (result < 0) {
            return -1;
        }
    }
    return 0;
}

/* Take up the slot's storage if somebody else has had it decided. Decides nothing. */
static int
holder_sync(Holder *self)
{
    if (LIKELY(self->kind > UNBOUND)) {
        return 0;
    }
    if (self->kind == NO_SLOT) {
        return holder_bind(self);
    }
    PyObject *slot = Py_NewRef(self->slot);
    PyObject *storage = PyObject_GetAttr(slot, self->state->str_storage);
    Py_DECREF(slot);
    if (storage == NULL) {
        return -1;
    }
    int result = storage == Py_None ? 0 : holder_adopt(self, storage);
    Py_DECREF(storage);
    return result;
}

/* The way to a leaf through Python code */

static PyObject *
holder_ask_storage(Holder *self)
{
    if (UNLIKELY(self->storage == NULL)) { /* it was taken away, with what was in it */
        Py_RETURN_NONE;
    }
    PyObject *storage = Py_NewRef(self->storage);
    PyObject *value = PyObject_CallMethodNoArgs(storage, self->state->str_get);
    Py_DECREF(storage);
    return value;
}

static PyObject *
holder_ask_thread(Holder *self)
{
    if (self->raw == NULL) {
        return holder_ask_storage(self);
    }
    PyObject *raw = Py_NewRef(self->raw);
    PyObject *value = PyObject_GetAttr(raw, self->state->str_value);
    Py_DECREF(raw);
    return value;
}

/* The record of the greenlet that runs; what GreenletIdent.find_record does. */
static PyObject *
holder_ask_greenlet(Holder *self)
{
    State *state = self->state;
    PyObject *value = NULL, *attributes = NULL, *record = NULL, *map = NULL;
    PyObject *ident_key = Py_NewRef(self->ident_key), *map_name = Py_NewRef(self->map_name);
    PyObject *map_key = Py_NewRef(self->map_key);
    PyObject *greenlet = state->greenlet->getcurrent();
    PyObject *parent = greenlet == NULL ? NULL : PyObject_GetAttr(greenlet, state->str_parent);
    if (parent == NULL || parent == Py_None) {
        /* A main greenlet, or the interpreter is ending: the storage knows what that means. */
        PyErr_Clear();
        value = holder_ask_storage(self);
        goto done;
    }
    attributes = PyObject_GetAttr(greenlet, state->str___dict__);
    if (attributes == NULL) {
        goto done;
    }
    if (!PyDict_CheckExact(attributes)) {
        value = holder_ask_storage(self);
        goto done;
    }
    record = Py_XNewRef(PyDict_GetItemWithError(attributes, ident_key));
    map = record == NULL ? NULL : PyObject_GetAttr(record, map_name);
    if (map != NULL && PyDict_Check(map)) {
        value = Py_XNewRef(PyDict_GetItemWithError(map, map_key));
    }
    if (value == NULL && !PyErr_Occurred()) {
        value = Py_NewRef(Py_None);
    }
done:
    Py_XDECREF(map);
    Py_XDECREF(record);
    Py_XDECREF(attributes);
    Py_XDECREF(parent);
    Py_XDECREF(greenlet);
    Py_DECREF(ident_key);
    Py_DECREF(map_name);
    Py_DECREF(map_key);
    return value;
}

static void
holder_cache(Holder *self, Leaf *leaf)
{
    if (self->kind != THREAD && self->kind != GREENLET) {
        return;
    }
    PyThreadState *thread = THREAD_STATE();
    self->cached = leaf;
    self->cached_tsid = thread->id;
    self->cached_tsver = thread->context_ver;
    self->cached_epoch = EPOCH();
}

/* The current owner's leaf as a new reference, or NULL in *found. -1 with an error. */
static int
holder_find(Holder *self, Leaf **found)
{
    *found = NULL;
    if (is_too_deep() || holder_sync(self) < 0) {
        return -1;
    }
    Leaf *leaf = holder_peek(self);
    if (leaf != NULL) {
        *found = (Leaf *)Py_NewRef(leaf);
        return 0;
    }
    if (self->kind == UNBOUND || self->kind == CONTEXT) {
        return 0; /* CONTEXT: there is none */
    }
    uint64_t changes = self->changes;
    Epoch former = EPOCH();
    PyObject *value = self->kind == THREAD ? holder_ask_thread(self)
        : self->kind == GREENLET          ? holder_ask_greenlet(self)
                                          : holder_ask_storage(self);
    if (value == NULL) {
        return -1;
    }
    if (!leaf_is_ours(self, value)) {
        Py_DECREF(value);
        return 0;
    }
    if (changes == self->changes && former == EPOCH()) {
        holder_cache(self, (Leaf *)value);
    }
    *found = (Leaf *)value;
    return 0;
}

/* The current Context has got a leaf: let the Thread object refer to it no longer
   (ident/thread_object.py), once for each thread, or each time that threads take turns. May run any
   Python code. */
static void
holder_note_thread(Holder *self)
{
#if PY_VERSION_HEX >= 0x030e0000
    State *state = self->state;
    uint64_t thread = THREAD_STATE()->id;
    if (LIKELY(state->noted_thread == thread)) {
        return;
    }
    PyObject *release = HELPER(state, release_context);
    PyObject *done = release == NULL ? NULL : PyObject_CallNoArgs(release);
    if (done == NULL) {
        PyErr_WriteUnraisable((PyObject *)self); /* the value has been set */
        return;
    }
    Py_DECREF(done);
    state->noted_thread = thread;
#else
    (void)self;
#endif
}

/* Set the variable that holds the current Context's leaf; returns the Token. */
static PyObject *
holder_set_var(Holder *self, PyObject *value)
{
    if (UNLIKELY(self->var == NULL)) {
        PyErr_SetString(PyExc_RuntimeError, "the strategy changed while a value was stored");
        return NULL;
    }
    PyObject *var = Py_NewRef(self->var);
    PyObject *token = context_set(var, value);
    Py_DECREF(var);
    if (token != NULL) {
        holder_note_thread(self);
    }
    return token;
}

/* Give the current owner a leaf, if it has none: *kept is the one it has then (a new
   reference), which another thread of the same owner may have brought. Not for VAR. */
static int
holder_keep(Holder *self, Leaf *leaf, Leaf **kept)
{
    *kept = NULL;
    if (holder_bind(self) < 0) {
        return -1;
    }
    if (self->kind == CONTEXT) {
        PyObject *token = holder_set_var(self, (PyObject *)leaf);
        if (token == NULL) {
            return -1;
        }
        *kept = (Leaf *)Py_NewRef(leaf);
        Py_DECREF(token);
        return 0;
    }
    uint64_t changes = self->changes;
    Epoch former = EPOCH();
    PyObject *storage = Py_NewRef(self->storage);
    PyObject *value = PyObject_CallMethodOneArg(storage, self->state->str_setdefault,
                                                (PyObject *)leaf);
    if (value != NULL && !leaf_is_ours(self, value) && ((Leaf *)leaf)->home == self) {
        /* Something of ours that is none of ours: foreign code put it there. */
        Py_DECREF(value);
        value = PyObject_CallMethodOneArg(storage, self->state->str_set, (PyObject *)leaf);
        if (value != NULL) {
            Py_DECREF(value);
            value = Py_NewRef(leaf);
        }
    }
    Py_DECREF(storage);
    if (value == NULL) {
        return -1;
    }
    if (Py_TYPE(value) != self->leaf_type) {
        Py_DECREF(value);
        PyErr_SetString(PyExc_RuntimeError, "the strategy changed while a value was stored");
        return -1;
    }
    if (changes == self->changes && former == EPOCH() && ((Leaf *)value)->home == self) {
        holder_cache(self, (Leaf *)value);
    }
    *kept = (Leaf *)value;
    return 0;
}

/* Put another leaf (or None) in the place of what the current owner has. Not for VAR. */
static int
holder_replace(Holder *self, PyObject *leaf)
{
    if (holder_bind(self) < 0) {
        return -1;
    }
    PyObject *done;
    self->cached = NULL;
    self->changes++;
    if (self->kind == CONTEXT) {
        done = holder_set_var(self, leaf);
    } else {
        PyObject *storage = Py_NewRef(self->storage);
        done = PyObject_CallMethodOneArg(storage, self->state->str_set, leaf);
        Py_DECREF(storage);
    }
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Take the current owner's value away. */
static int
holder_release(Holder *self)
{
    if (holder_sync(self) < 0) {
        return -1;
    }
    self->cached = NULL;
    self->changes++;
    if (self->kind == CONTEXT) {
        PyObject *value = context_peek(self->state, THREAD_STATE(), self->var);
        if (value == NULL) {
            return PyErr_Occurred() ? -1 : 0;
        }
        if (value == Py_None) {
            return 0;
        }
        return holder_replace(self, Py_None);
    }
    PyObject *slot = Py_NewRef(self->slot);
    PyObject *done = PyObject_CallMethodNoArgs(slot, self->state->str_clear);
    Py_DECREF(slot);
    self->cached = NULL;
    self->changes++;
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static void leaf_empty(Leaf *leaf);

/* Empty all leaves there are, in whatever owner, and know none of them any more. */
static void
holder_let_go(Holder *self)
{
    self->cached = NULL;
    self->changes++;
    /* First take all out of the list: dying values may put new leaves into it, which stay. */
    Leaf *chain = NULL;
    while (self->first != NULL) {
        Leaf *leaf = self->first;
        leaf_unlink(leaf);
        if (leaf_lives(leaf)) {
            Py_INCREF(leaf);
            leaf->next = chain;
            chain = leaf;
        }
    }
    while (chain != NULL) {
        Leaf *leaf = chain;
        chain = leaf->next;
        leaf->next = NULL;
        leaf_empty(leaf);
        Py_DECREF(leaf);
    }
}

/* The life of a holder */

static void
holder_init(Holder *self, State *state, PyTypeObject *leaf_type)
{
    self->state = state;
    self->leaf_type = leaf_type;
    self->kind = NO_SLOT;
    state_hold(state);
}

/* Get a slot for the arguments that a Local or LocalStack has; -1 with an error. */
static int
holder_install(Holder *self, PyObject *slot)
{
    PyObject *former = self->slot;
    self->slot = Py_NewRef(slot);
    holder_forget_storage(self);
    holder_let_go(self);
    Py_XDECREF(former);
    PyObject *done = PyObject_CallMethodOneArg(slot, self->state->str_serve, (PyObject *)self);
    if (done == NULL) {
        return -1;
    }
    Py_DECREF(done);
    return holder_sync(self);
}

/* What a message calls a Local or LocalStack. 1: by its label, as it has a name; 0: by its class's
   name, as Python does; -1: an error. */
static int
holder_called(Holder *self, PyObject **called)
{
    if (self->slot != NULL) {
        PyObject *slot = Py_NewRef(self->slot);
        PyObject *name = PyObject_GetAttr(slot, self->state->str_name);
        int is_named = name != Py_None;
        *called = name == NULL || !is_named ? NULL : PyObject_GetAttr(slot, self->state->str_label);
        Py_DECREF(slot);
        Py_XDECREF(name);
        if (is_named) {
            return *called == NULL ? -1 : 1;
        }
    }
    *called = PyObject_GetAttr((PyObject *)Py_TYPE(self), self->state->str___name__);
    return *called == NULL ? -1 : 0;
}

/* Let Python say what pickle keeps; `arguments` are those of an `__init__` for each owner. */
static PyObject *
holder_reduced(Holder *self, PyObject *arguments)
{
    PyObject *reduced = HELPER(self->state, reduced);
    if (reduced == NULL) {
        return NULL;
    }
    Py_INCREF(reduced);
    PyObject *slot = Py_NewRef(self->slot == NULL ? Py_None : self->slot);
    PyObject *result = PyObject_CallFunctionObjArgs(reduced, self, slot, arguments, NULL);
    Py_DECREF(reduced);
    Py_DECREF(slot);
    return result;
}

/* __deepcopy__: there is no copy of the values of all owners. */
static PyObject *
holder_deepcopy(PyObject *op, PyObject *Py_UNUSED(memo))
{
    Holder *self = (Holder *)op;
    PyObject *refused = HELPER(self->state, refused);
    if (refused == NULL) {
        return NULL;
    }
    Py_INCREF(refused);
    PyObject *slot = Py_NewRef(self->slot == NULL ? Py_None : self->slot);
    PyObject *error = PyObject_CallFunctionObjArgs(refused, self, slot, NULL);
    Py_DECREF(refused);
    Py_DECREF(slot);
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
}

/* make_slot(holder, name, var, ident, carry, empty, wire); `name` and `wire` may be NULL. */
static int
holder_make_slot(Holder *self, PyObject *name, PyObject *var, PyObject *ident, PyObject *carry,
                 PyTypeObject *empty, PyObject *wire)
{
    PyObject *make_slot = HELPER(self->state, make_slot);
    if (make_slot == NULL) {
        return -1;
    }
    Py_INCREF(make_slot);
    PyObject *slot = PyObject_CallFunctionObjArgs(make_slot, self, name == NULL ? Py_None : name,
                                                  var, ident, carry, empty, wire, NULL);
    Py_DECREF(make_slot);
    if (slot == NULL) {
        return -1;
    }
    int result = holder_install(self, slot);
    Py_DECREF(slot);
    return result;
}

/* Called by the slot when the strategy is no longer decided. */
static PyObject *
holder_renew(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Holder *self = (Holder *)op;
    holder_forget_storage(self);
    holder_let_go(self);
    Py_RETURN_NONE;
}

static PyObject *
holder_repr(PyObject *op)
{
    Holder *self = (Holder *)op;
    if (self->slot == NULL) {
        holder_bind(self);
        return NULL;
    }
    PyObject *slot = Py_NewRef(self->slot);
    PyObject *label = PyObject_GetAttr(slot, self->state->str_label);
    Py_DECREF(slot);
    if (label == NULL) {
        return NULL;
    }
    PyObject *text = PyUnicode_FromFormat("<%S>", label);
    Py_DECREF(label);
    return text;
}

/* What Python gives every class that can be referred to weakly. */
static PyObject *
holder_weakref(PyObject *op, void *Py_UNUSED(closure))
{
    PyObject *first = ((Holder *)op)->weakrefs;
    return Py_NewRef(first == NULL ? Py_None : first);
}

static PyObject *
holder_release_method(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    if (holder_release((Holder *)op) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static int
holder_traverse(Holder *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    if (self->state == NULL) {
        return 0;
    }
    Py_VISIT(self->state->module);
    Py_VISIT(self->slot);
    Py_VISIT(self->storage);
    Py_VISIT(self->var);
    Py_VISIT(self->raw);
    return 0;
}

static void
holder_clear(Holder *self)
{
    PyObject *slot = self->slot;
    self->slot = NULL;
    holder_forget_storage(self);
    Py_XDECREF(slot);
}

/* Everything but the memory itself. */
static void
holder_end(Holder *self)
{
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    holder_let_go(self);
    holder_clear(self);
    assert(self->first == NULL);
}

/* Does what `object.__new__` does, and refuses an abstract class as that does. */
static PyObject *
holder_new(PyTypeObject *type)
{
    PyObject *empty = PyTuple_New(0);
    if (empty == NULL) {
        return NULL;
    }
    PyObject *self = PyBaseObject_Type.tp_new(type, empty, NULL);
    Py_DECREF(empty);
    return self;
}

/* The state, from a class of ours or one derived from it. */
static State *state_of_type(PyTypeObject *type);

#endif
