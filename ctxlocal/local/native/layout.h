/* In-place mutation: when a value that a Context holds may be changed where it stands.

   PEP 567 keeps Contexts apart because nothing that a Context refers to ever changes: a
   set makes a new map (a HAMT), and `copy_context` shares the old one. A leaf of ours is
   the value of one variable in that map. To change the leaf instead of setting another
   costs a tenth; it is right exactly when nobody but the current Context can reach it.

   Who could? Everybody who does holds a reference to some object on the way from the
   Context to the leaf:

       Context -> HAMT -> node -> ... -> node -> leaf

   a copied Context to the HAMT; a Context that has set something since, to the nodes that
   the two maps still share, or to the leaf itself; a Token, an iterator's user or other
   Python code, to the leaf; an iterator to the HAMT. So the rule is: **every** object below
   the Context has a reference count of 1. The Context itself may have any number: whoever
   refers to it is to see the change. Each of the three checks is needed:
   after copy_context() alone only the HAMT is shared; after a set of another variable
   in either Context, only nodes; where those were copied because they lay on the path
   of that other variable, only the leaf. tests/local/test_native_model.py drops each check in
   turn and sees the model of context semantics fail.

   An owner check (by thread, by task, by Context object) would be cheaper and is unsound.

   Since 3.14 the interpreter does not count every reference (pycore_stackref.h), so a count
   of 1 has to be read with care:

   - LOAD_FAST_BORROW puts a local variable's object on the evaluation stack without counting
     it, and a function that is called with it may have it uncounted as its argument. So
     whoever is *given* an object with a count of 1 must not conclude that nobody else has it:
     the one reference may be the caller's variable (the reason for
     PyUnstable_Object_IsUniqueReferencedTemporary). We are given nothing. We come by the
     HAMT, whose reference is counted and is the 1. And an uncounted reference rests on a
     counted one, of a variable that outlives it: the compiler borrows only where the stack is
     done with the object before the variable is set or deleted (flowgraph.c,
     optimize_load_fast); what somebody overwrites through `frame.f_locals` the frame keeps
     (f_overwritten_fast_locals); what is returned or yielded, or moves with its frame into a
     generator or a frame object, is counted first (PyStackRef_MakeHeapSafe). So an object on
     the way that anybody holds, in whatever manner, has a count of at least 2. The JIT leaves
     out more counting, of references of which it knows the same.
   - An immortal object has a count that is never 1. Leaves, nodes and maps are mortal; one
     that somebody makes immortal (PyUnstable_SetImmortal, 3.15) is copied at each write.
   - Deferred counts, of objects whose references on stacks only the collector finds, are
     those of free-threaded builds, which have no native twin.

   tests/local/test_native_borrowed.py holds leaves, maps and nodes in each of these manners
   while they are written.

   The layouts are private. They are copied here from the headers of the versions below
   (Include/internal/pycore_context.h and pycore_hamt.h, since 3.14 pycore_structs.h;
   Python/hamt.c), which are the same in all of them, are used on no other version, and are
   tried out at import: `layout_test` builds Contexts of many sizes and looks whether what it
   finds is what it put in, and follows no pointer before it has seen that it is one. Where
   any of this fails, or CTXLOCAL_NO_INPLACE is set, leaves are copied for each write and read
   through PyContextVar_Get.

   Reading (`context_peek`) takes the leaf from the variable's own cache, which
   ContextVar.set and reset maintain and which every switch of Context or greenlet
   invalidates. A cache of our own would miss sets by foreign code. */

#ifndef CTXLOCAL_LAYOUT_H
#define CTXLOCAL_LAYOUT_H

#include "state.h"

#if PY_VERSION_HEX >= 0x030a0000 && PY_VERSION_HEX < 0x03100000 && SIZEOF_PY_HASH_T == 8
#define HAS_LAYOUTS 1
#else
#define HAS_LAYOUTS 0
#endif

typedef struct {
    PyObject_HEAD
    PyObject *prev;
    PyObject *vars; /* a Hamt */
    PyObject *weakreflist;
    int entered;
} ContextLayout;

typedef struct {
    PyObject_HEAD
    PyObject *name;
    PyObject *default_value;
    PyObject *cached; /* borrowed, while the next two are the thread's */
    uint64_t cached_tsid;
    uint64_t cached_tsver;
    Py_hash_t hash;
} VarLayout;

typedef struct {
    PyObject_HEAD
    PyObject *root;
    PyObject *weakreflist;
    Py_ssize_t count;
} HamtLayout;

typedef struct {
    PyObject_VAR_HEAD
    uint32_t bitmap;
    PyObject *array[1]; /* key, value, key, value...; a NULL key: the value is a node */
} BitmapLayout;

typedef struct {
    PyObject_HEAD
    PyObject *array[32];
    Py_ssize_t count;
} ArrayLayout;

/* Which check a mutation test has switched off: only in a build with CTXLOCAL_DEBUG. */
enum { CHECK_HAMT = 1, CHECK_NODE = 2, CHECK_LEAF = 4 };
#ifdef CTXLOCAL_DEBUG
static int dropped_checks;
#define IS_SHARED(object, check) (!(dropped_checks & (check)) && Py_REFCNT(object) != 1)
#else
#define IS_SHARED(object, check) (Py_REFCNT(object) != 1)
#endif

/* Written out: compilers call a function of theirs where the processor may have no instruction. */
ALWAYS_INLINE uint32_t
count_bits(uint32_t bits)
{
    bits = bits - ((bits >> 1) & 0x55555555u);
    bits = (bits & 0x33333333u) + ((bits >> 2) & 0x33333333u);
    return (((bits + (bits >> 4)) & 0x0f0f0f0fu) * 0x01010101u) >> 24;
}

/* The hash by which a HAMT places a variable. */
static uint32_t
var_hash(PyObject *var)
{
    Py_hash_t hash = PyObject_Hash(var);
    int32_t folded = (int32_t)(hash & 0xffffffffl) ^ (int32_t)((int64_t)hash >> 32);
    return (uint32_t)(folded == -1 ? -2 : folded);
}

/* The value of `var` in the current Context if nobody else can reach it; borrowed, or NULL.
   `held` is how many references to it the caller has. Runs no Python code. */
ALWAYS_INLINE PyObject *
context_exclusive(State *state, PyThreadState *thread, PyObject *var, uint32_t hash)
{
    ContextLayout *context = (ContextLayout *)thread->context;
    if (UNLIKELY(context == NULL)) {
        return NULL;
    }
    HamtLayout *hamt = (HamtLayout *)context->vars;
    if (IS_SHARED(hamt, CHECK_HAMT)) {
        return NULL;
    }
    PyObject *node = hamt->root;
    for (;;) {
        if (IS_SHARED(node, CHECK_NODE)) {
            return NULL;
        }
        if (LIKELY(Py_TYPE(node) == state->HamtBitmap)) {
            BitmapLayout *bitmap = (BitmapLayout *)node;
            uint32_t bit = (uint32_t)1 << (hash & 31);
            if (UNLIKELY(!(bitmap->bitmap & bit))) {
                return NULL;
            }
            uint32_t index = 2 * count_bits(bitmap->bitmap & (bit - 1));
            PyObject *key = bitmap->array[index];
            node = bitmap->array[index + 1];
            if (key == var) {
                return IS_SHARED(node, CHECK_LEAF) ? NULL : node;
            }
            if (key != NULL) {
                return NULL;
            }
        } else if (LIKELY(Py_TYPE(node) == state->HamtArray)) {
            node = ((ArrayLayout *)node)->array[hash & 31];
            if (UNLIKELY(node == NULL)) {
                return NULL;
            }
        } else { /* a collision */
            return NULL;
        }
        hash >>= 5;
    }
}

/* The value of `var` in the current Context, or its default; borrowed from either. Runs no
   Python code. NULL only where there is neither, or with an error (no memory). */
ALWAYS_INLINE PyObject *
context_peek(State *state, PyThreadState *thread, PyObject *var)
{
    VarLayout *layout = (VarLayout *)var;
    if (LIKELY(state->can_peek) && LIKELY(layout->cached != NULL) &&
        LIKELY(thread->context != NULL) && /* in a thread that ends the caches dangle */
        LIKELY(layout->cached_tsver == thread->context_ver) &&
        LIKELY(layout->cached_tsid == thread->id)) {
        return layout->cached;
    }
    PyObject *value;
    if (PyContextVar_Get(var, NULL, &value) < 0 || value == NULL) {
        return NULL;
    }
    Py_DECREF(value); /* the Context or the variable has one */
    return value;
}

/* Let the variable's cache forget a value that dies. At the end of a thread CPython drops its
   Context and leaves the caches as they are; finalisers that run then would find freed memory. */
static void
context_forget(State *state, PyObject *var, PyObject *value)
{
    VarLayout *layout = (VarLayout *)var;
    if (state->can_peek && layout->cached == value) {
        layout->cached = NULL;
    }
}

/* ContextVar.set. In a thread that ends it begins a new Context: what the caches know is of the
   former one. */
ALWAYS_INLINE PyObject *
context_set_held(PyObject *var, PyObject *value)
{
    PyThreadState *thread = THREAD_STATE();
    if (UNLIKELY(thread->context == NULL)) {
        thread->context_ver++;
    }
    return PyContextVar_Set(var, value);
}

/* ContextVar.set with the collector held off, which until 3.12 may run at any allocation: a
   finaliser that sets a variable of the same Context drops the map that is being copied. */
static PyObject *
context_set(PyObject *var, PyObject *value)
{
#if PY_VERSION_HEX >= 0x030c0000
    return context_set_held(var, value);
#else
    int was_enabled = PyGC_Disable();
    PyObject *token = context_set_held(var, value);
    if (was_enabled) {
        PyGC_Enable();
    }
    return token;
#endif
}

#if HAS_LAYOUTS

static int
layout_type_is(PyTypeObject *type, const char *name, size_t size)
{
    return strcmp(type->tp_name, name) == 0 && (size_t)type->tp_basicsize == size;
}

/* How many there are. Looks into none of them: they may be no pointers. */
static Py_ssize_t
layout_count(PyObject **array, Py_ssize_t size)
{
    Py_ssize_t count = 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        count += array[i] != NULL;
    }
    return count;
}

/* Whether the HAMT of a Context that is entered, with `filled` variables, is as we think. */
static int
layout_check_map(ContextLayout *context, Py_ssize_t filled)
{
    if (context == NULL || context->entered != 1 ||
        !(layout_type_is(Py_TYPE(context), "Context", sizeof(ContextLayout)) ||
          layout_type_is(Py_TYPE(context), "_contextvars.Context", sizeof(ContextLayout)))) {
        return 0;
    }
    HamtLayout *hamt = (HamtLayout *)context->vars;
    return hamt != NULL && layout_type_is(Py_TYPE(hamt), "hamt", sizeof(HamtLayout)) &&
        hamt->count == filled && hamt->weakreflist == NULL && hamt->root != NULL;
}

/* Look whether the root of the current Context's HAMT is as we think: a bitmap where it has one
   variable, else an array. 1: it is. */
static int
layout_check_root(State *state, PyThreadState *thread, Py_ssize_t filled)
{
    ContextLayout *context = (ContextLayout *)thread->context;
    if (!layout_check_map(context, filled)) {
        return 0;
    }
    PyObject *root = ((HamtLayout *)context->vars)->root;
    PyTypeObject *type = Py_TYPE(root);
    BitmapLayout *bitmap = (BitmapLayout *)root;
    ArrayLayout *array = (ArrayLayout *)root;
    if (filled == 1 &&
        layout_type_is(type, "hamt_bitmap_node", sizeof(BitmapLayout) - sizeof(PyObject *)) &&
        type->tp_itemsize == sizeof(PyObject *) && Py_SIZE(bitmap) == 2 &&
        count_bits(bitmap->bitmap) == 1 && layout_count(bitmap->array, 2) == 2) {
        state->HamtBitmap = type;
        return 1;
    }
    if (filled > 1 && layout_type_is(type, "hamt_array_node", sizeof(ArrayLayout)) &&
        layout_count(array->array, 32) == array->count) {
        state->HamtArray = type;
        return 1;
    }
    return 0;
}

/* Whether reading a cache and walking a HAMT find `value`, and sharing is seen. */
static int
layout_check_var(State *state, PyThreadState *thread, PyObject *var, PyObject *value)
{
    VarLayout *layout = (VarLayout *)var;
    uint32_t hash = var_hash(var);
    if (layout->cached != value || layout->cached_tsid != thread->id ||
        layout->cached_tsver != thread->context_ver) {
        return 0;
    }
    /* The HAMT has one reference to the value, and the caller another. */
    if (context_exclusive(state, thread, var, hash) != NULL) {
        return 0;
    }
    Py_DECREF(value);
    PyObject *found = context_exclusive(state, thread, var, hash);
    Py_INCREF(value);
    if (found != value) {
        return 0;
    }
    PyObject *copy = PyContext_CopyCurrent();
    if (copy == NULL) {
        return 0;
    }
    Py_DECREF(value);
    found = context_exclusive(state, thread, var, hash);
    Py_INCREF(value);
    Py_DECREF(copy);
    return found == NULL;
}

/* So many that the root is an array node, but in one process of millions. */
enum { TEST_VARS = 64 };

/* Fill the current Context, which is new, with variables; 1: all was as we think. */
static int
layout_fill_and_check(State *state, PyThreadState *thread)
{
    PyObject *vars[TEST_VARS] = {NULL};
    int good = 1;
    for (int i = 0; good && i < TEST_VARS; i++) {
        vars[i] = PyContextVar_New("ctxlocal.layout", NULL);
        PyObject *value = vars[i] == NULL ? NULL : PyList_New(0);
        PyObject *token = value == NULL ? NULL : PyContextVar_Set(vars[i], value);
        good = token != NULL;
        Py_XDECREF(token);
        if (good && (i == 0 || i == TEST_VARS - 1)) {
            good = layout_check_root(state, thread, i + 1);
        }
        /* Until the array's layout is known, only small maps can be walked. */
        if (good && (i < 8 || i == TEST_VARS - 1)) {
            good = layout_check_var(state, thread, vars[i], value);
        }
        Py_XDECREF(value);
    }
    for (int i = 0; i < TEST_VARS; i++) {
        Py_XDECREF(vars[i]);
    }
    return good;
}

/* Whether this interpreter's private layouts are those above. Leaves no error. */
static int
layout_test(State *state)
{
    PyThreadState *thread = THREAD_STATE();
    PyObject *probe = PyContextVar_New("ctxlocal.layout", NULL);
    PyObject *context = probe == NULL ? NULL : PyContext_New();
    int good = context != NULL &&
        (layout_type_is(Py_TYPE(probe), "ContextVar", sizeof(VarLayout)) ||
         layout_type_is(Py_TYPE(probe), "_contextvars.ContextVar", sizeof(VarLayout)));
    if (good) {
        uint64_t former = thread->context_ver;
        good = PyContext_Enter(context) == 0;
        if (good) {
            good = thread->context == context && thread->context_ver != former &&
                layout_fill_and_check(state, thread);
            good = PyContext_Exit(context) == 0 && good;
        }
    }
    Py_XDECREF(context);
    Py_XDECREF(probe);
    PyErr_Clear();
    return good;
}
#endif

/* Find out what may be done on this interpreter. `is_allowed`: CTXLOCAL_NO_INPLACE is not set. */
static void
layout_decide(State *state, int is_allowed)
{
    state->can_peek = state->can_mutate = 0;
#if HAS_LAYOUTS
    if (is_allowed && layout_test(state)) {
        state->can_peek = state->can_mutate = 1;
    }
#else
    (void)is_allowed;
#endif
}

#endif
