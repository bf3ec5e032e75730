/* LocalStack: push, pop and top.

   The piles are pile.h's; whether one may be changed in place is asked of holder.h. Unlike a
   namespace, a pile may be part of another one in every strategy: so outside Contexts too it is
   changed only where its owner has the only reference. */

#ifndef CTXLOCAL_STACK_H
#define CTXLOCAL_STACK_H

#include "local.h"
#include "pile.h"

typedef struct {
    HOLDER_HEAD
} LocalStack;

/* Whether `found`, to which the caller has one reference, may be changed in place: then the
   owner has the only other one. A Context's was looked at before it was found (stack_push). */
static Pile *
stack_writable(LocalStack *self, Leaf *found)
{
    return self->kind != CONTEXT && found != NULL && found->home == (Holder *)self &&
            Py_REFCNT(found) == 2
        ? (Pile *)found
        : NULL;
}

/* Put a new pile in the place of `found`, which it may stand on. */
static int
stack_replace(LocalStack *self, Pile *made)
{
    return holder_replace((Holder *)self, made == NULL ? Py_None : (PyObject *)made);
}

static int
stack_push_list(LocalStack *self, PyObject *obj)
{
    PyObject *values = local_var_values((Local *)self);
    int is_filled = values == NULL ? -1 : PyObject_IsTrue(values);
    PyObject *list = is_filled < 0 ? NULL : is_filled ? PySequence_List(values) : PyList_New(0);
    PyObject *token = list == NULL || PyList_Append(list, obj) < 0
        ? NULL
        : holder_set_var((Holder *)self, list);
    Py_XDECREF(values);
    Py_XDECREF(list);
    Py_XDECREF(token);
    return token == NULL ? -1 : 0;
}

NEVER_INLINE int
stack_push_slowly(LocalStack *self, PyObject *obj)
{
    if (holder_bind((Holder *)self) < 0) {
        return -1;
    }
    if (self->kind == VAR) {
        return stack_push_list(self, obj);
    }
    Leaf *found;
    if (holder_find((Holder *)self, &found) < 0) {
        return -1;
    }
    Pile *pile = stack_writable(self, found);
    int result;
    if (pile != NULL) {
        result = pile_push(pile, obj);
    } else {
        pile = pile_new(self->state, (Holder *)self);
        result = pile == NULL ? -1 : 0;
        if (result == 0) {
            if (found != NULL) {
                pile_stand_on(pile, (Pile *)found, ((Pile *)found)->count);
            }
            result = pile_push(pile, obj);
        }
        if (result == 0) {
            result = stack_replace(self, pile);
        }
        Py_XDECREF(pile);
    }
    Py_XDECREF(found);
    return result;
}

static PyObject *
stack_push(PyObject *op, PyObject *obj)
{
    LocalStack *self = (LocalStack *)op;
    Pile *pile = (Pile *)holder_peek_writable((Holder *)self, 1);
    if (LIKELY(pile != NULL) ? pile_push(pile, obj) < 0 : stack_push_slowly(self, obj) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
stack_pop_list(LocalStack *self)
{
    PyObject *values = local_var_values((Local *)self);
    int is_filled = values == NULL ? -1 : PyObject_IsTrue(values);
    if (is_filled <= 0) {
        Py_XDECREF(values);
        return is_filled < 0 ? NULL : Py_NewRef(Py_None);
    }
    PyObject *list = PySequence_List(values);
    Py_DECREF(values);
    PyObject *obj = NULL, *token = NULL;
    if (list != NULL && PyList_GET_SIZE(list) == 0) {
        PyErr_SetString(PyExc_ValueError,
                        "not enough values to unpack (expected at least 1, got 0)");
    } else if (list != NULL) {
        Py_ssize_t last = PyList_GET_SIZE(list) - 1;
        obj = Py_NewRef(PyList_GET_ITEM(list, last));
        token = PyList_SetSlice(list, last, last + 1, NULL) < 0 ? NULL
                                                                : context_set(self->var, list);
        if (token == NULL) {
            Py_CLEAR(obj);
        }
    }
    Py_XDECREF(list);
    Py_XDECREF(token);
    return obj;
}

/* Pop from a pile that may be changed. Leaves it empty rather than take it away: but an owner
   known by equality is forgotten with its last value, so there the storage has to know. */
static PyObject *
stack_pop_pile(LocalStack *self, Pile *pile)
{
    if (LIKELY(pile->count > 0)) {
        return pile->items[--pile->count];
    }
    if (pile->below == NULL) {
        Py_RETURN_NONE;
    }
    Pile *dropped = NULL;
    Py_INCREF(pile);
    PyObject *obj = pile_pop_below(pile, &dropped);
    Py_DECREF(pile);
    Py_XDECREF(dropped);
    return obj;
}

NEVER_INLINE PyObject *
stack_pop_slowly(LocalStack *self)
{
    if (holder_sync((Holder *)self) < 0) {
        return NULL;
    }
    if (self->kind == VAR) {
        return stack_pop_list(self);
    }
    Leaf *leaf;
    if (holder_find((Holder *)self, &leaf) < 0) {
        return NULL;
    }
    if (leaf == NULL) {
        Py_RETURN_NONE;
    }
    Pile *found = (Pile *)leaf, *pile = stack_writable(self, leaf);
    PyObject *obj = NULL;
    if (pile_is_empty(found)) {
        obj = Py_NewRef(Py_None);
    } else if (pile != NULL) {
        obj = stack_pop_pile(self, pile);
        if (self->kind == OTHER && pile_is_empty(found) && stack_replace(self, NULL) < 0) {
            Py_CLEAR(obj);
        }
    } else {
        Pile *made = pile_new(self->state, (Holder *)self);
        if (made != NULL && pile_is_empty(found)) { /* a finaliser was here */
            obj = Py_NewRef(Py_None);
            Py_DECREF(made);
        } else if (made != NULL) {
            obj = Py_NewRef(pile_top(found));
            if (found->count > 0) {
                pile_stand_on(made, found, found->count - 1);
            } else {
                pile_stand_on(made, found->below, found->below_count - 1);
            }
            if (stack_replace(self, pile_is_empty(made) ? NULL : made) < 0) {
                Py_CLEAR(obj);
            }
            Py_DECREF(made);
        }
    }
    Py_DECREF(leaf);
    return obj;
}

static PyObject *
stack_pop(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    LocalStack *self = (LocalStack *)op;
    Pile *pile = (Pile *)holder_peek_writable((Holder *)self, 1);
    return LIKELY(pile != NULL) ? stack_pop_pile(self, pile) : stack_pop_slowly(self);
}

/* The topmost object as a new reference; NULL without an error where the stack is empty. */
static PyObject *
stack_find_top(LocalStack *self)
{
    Pile *pile = (Pile *)holder_peek((Holder *)self);
    if (LIKELY(pile != NULL)) {
        return Py_XNewRef(pile_top(pile));
    }
    if (holder_sync((Holder *)self) < 0) {
        return NULL;
    }
    if (self->kind == VAR) {
        PyObject *values = local_var_values((Local *)self);
        int is_filled = values == NULL ? -1 : PyObject_IsTrue(values);
        PyObject *top = is_filled <= 0 ? NULL : PySequence_GetItem(values, -1);
        Py_XDECREF(values);
        return top;
    }
    Leaf *leaf;
    if (holder_find((Holder *)self, &leaf) < 0 || leaf == NULL) {
        return NULL;
    }
    PyObject *top = Py_XNewRef(pile_top((Pile *)leaf));
    Py_DECREF(leaf);
    return top;
}

static PyObject *
stack_top(PyObject *op, void *Py_UNUSED(closure))
{
    PyObject *top = stack_find_top((LocalStack *)op);
    return top != NULL || PyErr_Occurred() ? top : Py_NewRef(Py_None);
}

/* For scopes: what the stack is now, and putting it back. */

static PyObject *
stack_get_all(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    LocalStack *self = (LocalStack *)op;
    if (holder_sync((Holder *)self) < 0) {
        return NULL;
    }
    if (self->kind == VAR) {
        return local_var_values((Local *)self);
    }
    Leaf *leaf;
    if (holder_find((Holder *)self, &leaf) < 0) {
        return NULL;
    }
    int is_empty = leaf == NULL || pile_is_empty((Pile *)leaf);
    PyObject *all = is_empty ? Py_NewRef(Py_None) : (PyObject *)pile_copy((Pile *)leaf);
    Py_XDECREF(leaf);
    return all;
}

static PyObject *
stack_set_all(PyObject *op, PyObject *all)
{
    LocalStack *self = (LocalStack *)op;
    if (holder_bind((Holder *)self) < 0) {
        return NULL;
    }
    int result;
    if (all == Py_None) {
        result = holder_release((Holder *)self);
    } else if (self->kind == VAR) {
        PyObject *token = context_set(self->var, all);
        Py_XDECREF(token);
        result = token == NULL ? -1 : 0;
    } else if (leaf_is_ours((Holder *)self, all)) {
        result = holder_replace((Holder *)self, all);
    } else {
        result = 0; /* the strategy has changed: what was there is gone */
    }
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
stack_pushed(PyObject *op, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    static const Parameter parameters[] = {{"obj", EITHER_WAY, 1}, {"strict", KEYWORD_ONLY, 0}};
    LocalStack *self = (LocalStack *)op;
    PyObject *given[2];
    if (!parse(parameters, 2, args, count, keywords, given)) {
        refuse_arguments("LocalStack.pushed", op, args, count, keywords);
        return NULL;
    }
    if (given[0] == Py_None) {
        PyObject *slot = Py_XNewRef(self->slot);
        PyObject *label = slot == NULL ? NULL : PyObject_GetAttr(slot, self->state->str_label);
        Py_XDECREF(slot);
        if (label != NULL) {
            PyErr_Format(PyExc_TypeError,
                         "%S.pushed() takes any object but None, which an empty stack means.",
                         label);
            Py_DECREF(label);
        } else if (!PyErr_Occurred()) {
            holder_bind((Holder *)self);
        }
        return NULL;
    }
    PyObject *Pushed = HELPER(self->state, Pushed);
    if (Pushed == NULL) {
        return NULL;
    }
    Py_INCREF(Pushed);
    PyObject *made = PyObject_CallFunctionObjArgs(Pushed, op, given[0],
                                                  given[1] == NULL ? Py_False : given[1], NULL);
    Py_DECREF(Pushed);
    return made;
}

static PyObject *
stack_call(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static const Parameter parameters[] = {
        {"name", EITHER_WAY, 0}, {"unbound_message", KEYWORD_ONLY, 0}};
    PyObject *given[2];
    PyObject *const *items = ((PyTupleObject *)args)->ob_item;
    if (!parse(parameters, 2, items, PyTuple_GET_SIZE(args), kwargs, given)) {
        refuse_arguments("LocalStack.__call__", op, items, PyTuple_GET_SIZE(args), kwargs);
        return NULL;
    }
    return make_proxy(((LocalStack *)op)->state, op, given[0], given[1]);
}

static PyObject *
stack_reduce(PyObject *op, PyObject *Py_UNUSED(protocol))
{
    return holder_reduced((Holder *)op, Py_None);
}

/* Fill `other`, an empty pile, with all that `pile` reads as: it is another stack's, and must
   not stand on what ends with this one. O(depth). */
static int
pile_fill(Pile *other, Pile *pile)
{
    Py_ssize_t depth = pile->count;
    Py_ssize_t count = pile->below_count;
    for (Pile *at = pile->below; at != NULL; count = at->below_count, at = at->below) {
        depth += count;
    }
    while (other->capacity < depth) {
        if (pile_grow(other) < 0) {
            return -1;
        }
    }
    other->count = depth;
    count = pile->count;
    for (Pile *at = pile; at != NULL; count = at->below_count, at = at->below) {
        for (Py_ssize_t i = count - 1; i >= 0; i--) {
            other->items[--depth] = Py_NewRef(at->items[i]);
        }
    }
    assert(depth == 0);
    return 0;
}

static PyObject *
stack_copy(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    LocalStack *self = (LocalStack *)op;
    State *state = self->state;
    if (self->slot == NULL) {
        holder_bind((Holder *)self);
        return NULL;
    }
    PyObject *slot = Py_NewRef(self->slot), *twin = NULL, *all = NULL;
    PyObject *kind = Py_NewRef((PyObject *)Py_TYPE(op));
    PyObject *other = PyObject_CallMethodOneArg(kind, state->str___new__, kind);
    if (other != NULL && !PyObject_TypeCheck(other, state->LocalStack)) {
        PyErr_Format(PyExc_TypeError, "%R.__new__ returned no LocalStack", kind);
        Py_CLEAR(other);
    }
    if (other == NULL ||
        (twin = PyObject_CallMethodOneArg(slot, state->str_twin, other)) == NULL ||
        holder_install((Holder *)other, twin) < 0 ||
        (all = stack_get_all(op, NULL)) == NULL) {
        Py_CLEAR(other);
        goto done;
    }
    if (all != Py_None) {
        Holder *holder = (Holder *)other;
        PyObject *mine = all;
        int failed = holder_bind(holder) < 0;
        if (!failed && Py_TYPE(all) == state->Pile) {
            mine = (PyObject *)pile_new(state, holder);
            failed = mine == NULL || pile_fill((Pile *)mine, (Pile *)all) < 0;
        } else if (!failed) { /* a list: the other one keeps its objects in piles */
            Pile *pile = pile_new(state, holder);
            mine = (PyObject *)pile;
            PyObject *list = PySequence_List(all);
            failed = pile == NULL || list == NULL;
            for (Py_ssize_t i = 0; !failed && i < PyList_GET_SIZE(list); i++) {
                failed = pile_push(pile, PyList_GET_ITEM(list, i)) < 0;
            }
            Py_XDECREF(list);
        }
        failed = failed || holder_replace(holder, mine) < 0;
        if (mine != all) {
            Py_XDECREF(mine);
        }
        if (failed) {
            Py_CLEAR(other);
        }
    }
done:
    Py_DECREF(slot);
    Py_XDECREF(twin);
    Py_DECREF(kind);
    Py_XDECREF(all);
    return other;
}

static PyObject *
stack_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    State *state = state_of_type(type);
    PyObject *self = state == NULL ? NULL : holder_new(type);
    if (self != NULL) {
        holder_init((Holder *)self, state, state->Pile);
    }
    return self;
}

static int
stack_init(PyObject *op, PyObject *args, PyObject *kwargs)
{
    Construction with;
    if (parse_construction("LocalStack.__init__", op, args, kwargs, 4, &with) < 0) {
        return -1;
    }
    return holder_make_slot((Holder *)op, with.name, with.var, with.ident, with.carry,
                            &PyList_Type, NULL);
}

static int
stack_traverse(PyObject *op, visitproc visit, void *arg)
{
    return holder_traverse((Holder *)op, visit, arg);
}

static int
stack_clear(PyObject *op)
{
    holder_clear((Holder *)op);
    return 0;
}

static void
stack_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    Py_TRASHCAN_BEGIN(op, stack_dealloc)
    State *state = ((Holder *)op)->state;
    if (state != NULL) {
        PyObject *module = state->module;
        holder_end((Holder *)op);
        type->tp_free(op);
        Py_DECREF(module);
    } else {
        type->tp_free(op);
    }
    Py_DECREF(type);
    Py_TRASHCAN_END
}

static PyMethodDef stack_methods[] = {
    {"push", stack_push, METH_O, DOC_LocalStack_push},
    {"pop", stack_pop, METH_NOARGS, DOC_LocalStack_pop},
    {"pushed", (PyCFunction)(void (*)(void))stack_pushed, METH_FASTCALL | METH_KEYWORDS,
     DOC_LocalStack_pushed},
    {"__call__", (PyCFunction)(void (*)(void))stack_call,
     METH_VARARGS | METH_KEYWORDS | METH_COEXIST, DOC_LocalStack___call__},
    {"__release_local__", holder_release_method, METH_NOARGS, DOC_LocalStack___release_local__},
    {"__copy__", stack_copy, METH_NOARGS, DOC_LocalStack___copy__},
    {"__deepcopy__", holder_deepcopy, METH_O, DOC_LocalStack___deepcopy__},
    {"__reduce_ex__", stack_reduce, METH_O, DOC_LocalStack___reduce_ex__},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {"_ctxlocal_get", stack_get_all, METH_NOARGS, NULL},
    {"_ctxlocal_set", stack_set_all, METH_O, NULL},
    {"_ctxlocal_renew", holder_renew, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef stack_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(LocalStack, weakrefs), READONLY, NULL},
    {"_slot", T_OBJECT_EX, offsetof(LocalStack, slot), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef stack_getset[] = {
    {"top", stack_top, NULL, DOC_LocalStack_top, NULL},
    {"__weakref__", holder_weakref, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot stack_slots[] = {
    {Py_tp_doc, (void *)DOC_LocalStack},
    {Py_tp_new, stack_new},
    {Py_tp_init, stack_init},
    {Py_tp_dealloc, stack_dealloc},
    {Py_tp_traverse, stack_traverse},
    {Py_tp_clear, stack_clear},
    {Py_tp_repr, holder_repr},
    {Py_tp_call, stack_call},
    {Py_tp_methods, stack_methods},
    {Py_tp_members, stack_members},
    {Py_tp_getset, stack_getset},
    {0, NULL},
};

static PyType_Spec stack_spec = {
    .name = "ctxlocal.LocalStack",
    .basicsize = sizeof(LocalStack),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = stack_slots,
};

#endif
