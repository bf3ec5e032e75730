/* Local: attribute access.

   The rule is threading.local's: data descriptor, value of the current owner, class
   attribute, `__getattr__`. `local_get` and `local_set` state it. In front of them stand
   `local_getattro` and `local_setattro`, which handle what matters for speed and nothing
   else: a name that has an index and that the class does not define (names_peek), in an
   owner whose namespace is found without Python code (holder_peek). No Python code runs before
   they are done with the namespace; so they need no references of their own, and a `__del__` of
   the value that a set replaces finds everything in order.

   Everything else may run Python code at nearly every step: the application's default,
   a strategy's callable, a subclass's `__init__`, descriptors, finalisers. So the slow ways
   hold references to all that they use, and look anew after each such step. */

#ifndef CTXLOCAL_LOCAL_H
#define CTXLOCAL_LOCAL_H

#include "arguments.h"
#include "namespace.h"

/* Raise AttributeError: what the Local is called, `before`, the attribute's name, `after`. */
static PyObject *
local_error(Local *self, const char *before, PyObject *name, const char *after)
{
    PyObject *called;
    int is_named = holder_called((Holder *)self, &called);
    PyObject *text = is_named < 0
        ? NULL
        : PyUnicode_FromFormat(is_named ? "%S %s %R%s" : "%R object %s %R%s", called, before, name,
                               after);
    Py_XDECREF(called);
    PyObject *error = text == NULL ? NULL : PyObject_CallOneArg(PyExc_AttributeError, text);
    Py_XDECREF(text);
    if (error != NULL) {
        PyAttributeErrorObject *fields = (PyAttributeErrorObject *)error;
        Py_XSETREF(fields->name, Py_NewRef(name));
        Py_XSETREF(fields->obj, Py_NewRef(self));
        PyErr_SetObject(PyExc_AttributeError, error);
        Py_DECREF(error);
    }
    return NULL;
}

static PyObject *
local_missing(Local *self, PyObject *name)
{
    return local_error(self, "has no attribute", name, "");
}

static int
local_is_dict_name(Local *self, PyObject *name)
{
    return name == self->state->str___dict__ ||
        (PyUnicode_GET_LENGTH(name) == 8 &&
         PyUnicode_CompareWithASCIIString(name, "__dict__") == 0);
}

/* Whether a class attribute of this name is no default for a value: no value comes before it. */
static int
local_is_hidden_name(PyObject *name)
{
    static const char prefix[] = "_ctxlocal_";
    Py_ssize_t length = PyUnicode_GET_LENGTH(name), i = 0;
    if (length >= 2 && PyUnicode_READ_CHAR(name, 0) == '_' &&
        PyUnicode_READ_CHAR(name, 1) == '_' && PyUnicode_READ_CHAR(name, length - 1) == '_' &&
        PyUnicode_READ_CHAR(name, length - 2) == '_') {
        return 1;
    }
    while (prefix[i] != '\0' && i < length && PyUnicode_READ_CHAR(name, i) == (Py_UCS4)prefix[i]) {
        i++;
    }
    return prefix[i] == '\0';
}

/* A ContextVar of the user's (kind VAR) */

static PyObject *
local_var_values(Local *self)
{
    PyObject *values;
    return PyContextVar_Get(self->var, Py_None, &values) < 0 ? NULL : values;
}

/* 1: found, as a new reference; 0: not there; -1: an error. */
static int
local_var_get(Local *self, PyObject *name, PyObject **value)
{
    PyObject *values = local_var_values(self);
    if (values == NULL) {
        return -1;
    }
    if (values == Py_None) {
        Py_DECREF(values);
        return 0;
    }
    if (PyDict_CheckExact(values)) {
        *value = Py_XNewRef(PyDict_GetItemWithError(values, name));
    } else {
        *value = PyObject_GetItem(values, name);
        if (*value == NULL && PyErr_ExceptionMatches(PyExc_KeyError)) {
            PyErr_Clear();
        }
    }
    Py_DECREF(values);
    return *value != NULL ? 1 : PyErr_Occurred() ? -1 : 0;
}

/* A copy of the values, with `name` set, or taken away where `value` is NULL. */
static int
local_var_put(Local *self, PyObject *name, PyObject *value)
{
    PyObject *values = local_var_values(self);
    if (values == NULL) {
        return -1;
    }
    int is_filled = PyObject_IsTrue(values);
    PyObject *copy = is_filled < 0 ? NULL
        : !is_filled               ? PyDict_New()
                                   : PyObject_CallMethodNoArgs(values, self->state->str_copy);
    Py_DECREF(values);
    if (copy == NULL) {
        return -1;
    }
    int result;
    if (value != NULL) {
        result = PyObject_SetItem(copy, name, value);
    } else {
        PyObject *taken = PyObject_CallMethodObjArgs(copy, self->state->str_pop, name, Py_None,
                                                     NULL);
        Py_XDECREF(taken);
        result = taken == NULL ? -1 : 0;
    }
    if (result == 0) {
        PyObject *token = holder_set_var((Holder *)self, copy);
        Py_XDECREF(token);
        result = token == NULL ? -1 : 0;
    }
    Py_DECREF(copy);
    return result;
}

/* Values of the current owner */

/* Run a subclass's __init__ if the current owner is new to the Local. */
static int
local_run_init_in_new_owner(Local *self)
{
    if (LIKELY(self->arguments == NULL)) {
        return 0;
    }
    Leaf *leaf;
    if (holder_bind((Holder *)self) < 0 || holder_find((Holder *)self, &leaf) < 0) {
        return -1;
    }
    if (leaf != NULL) {
        Py_DECREF(leaf);
        return 0;
    }
    PyObject *arguments = Py_NewRef(self->arguments);
    PyObject *init = NULL, *args = NULL, *done = NULL;
    Namespace *mark = namespace_new(self->state, (Holder *)self); /* of a known owner */
    if (mark == NULL || holder_keep((Holder *)self, (Leaf *)mark, &leaf) < 0) {
        goto failed;
    }
    Py_DECREF(leaf);
    init = PyObject_GetAttr((PyObject *)Py_TYPE(self), self->state->str___init__);
    if (init != NULL) {
        PyObject *given = PyTuple_GET_ITEM(arguments, 0);
        Py_ssize_t count = PyTuple_GET_SIZE(given);
        args = PyTuple_New(count + 1);
        if (args != NULL) {
            PyTuple_SET_ITEM(args, 0, Py_NewRef(self));
            for (Py_ssize_t i = 0; i < count; i++) {
                PyTuple_SET_ITEM(args, i + 1, Py_NewRef(PyTuple_GET_ITEM(given, i)));
            }
            done = PyObject_Call(init, args, PyTuple_GET_ITEM(arguments, 1));
        }
    }
    if (done == NULL) { /* so that the next use tries again */
        PyObject *error = error_fetch();
        if (holder_release((Holder *)self) < 0) {
            PyErr_Clear();
        }
        error_restore(error);
    }
failed:
    Py_XDECREF(mark);
    Py_XDECREF(init);
    Py_XDECREF(args);
    Py_DECREF(arguments);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* The value of `name` (exactly a str), in an owner that has begun. 1: found, as a new reference;
   0: not there; -1: an error. *own and *index are what the names know of it. */
static int
local_value(Local *self, PyObject *name, PyObject **value, PyObject **own, Py_ssize_t *index)
{
    *value = *own = NULL;
    *index = -1;
    if (holder_sync((Holder *)self) < 0) {
        return -1;
    }
    if (self->kind == VAR) {
        return local_var_get(self, name, value);
    }
    Leaf *leaf;
    if (holder_find((Holder *)self, &leaf) < 0) {
        return -1;
    }
    if (leaf == NULL) {
        return 0;
    }
    *index = names_find(&self->names, name, 0, own);
    *value = *index == -2 ? NULL : namespace_get((Namespace *)leaf, *index, name);
    Py_DECREF(leaf);
    return *value != NULL ? 1 : PyErr_Occurred() ? -1 : 0;
}

/* Change the namespace of the current Context, or put a changed copy in its place. The garbage
   collector must not run meanwhile: a finaliser could write to the same Context in between.
   What is to be dropped afterwards is left in `garbage`. */
static int
local_write_context(Local *self, Py_ssize_t index, PyObject *name, PyObject *value,
                    PyObject *garbage[2])
{
    Leaf *leaf = holder_peek_writable((Holder *)self, 0);
    if (leaf != NULL) {
        return namespace_put((Namespace *)leaf, index, name, value, &garbage[0]);
    }
    Leaf *current = holder_peek((Holder *)self);
    if (current == NULL && value == NULL) {
        return 0;
    }
    Namespace *made = current != NULL ? namespace_copy((Namespace *)current)
                                      : namespace_new(self->state, (Holder *)self);
    if (made == NULL) {
        return -1;
    }
    int result = namespace_put(made, index, name, value, &garbage[0]);
    if (result == 0) {
        /* Where there is a namespace there is a Context: no new one begins. */
        garbage[1] = current != NULL ? PyContextVar_Set(self->var, (PyObject *)made)
                                     : context_set_held(self->var, (PyObject *)made);
        result = garbage[1] == NULL ? -1 : 0;
    }
    Py_DECREF(made);
    if (result == 0) {
        holder_note_thread((Holder *)self);
    }
    return result;
}

/* Change the namespace of an owner that alone has it. */
static int
local_write_owner(Local *self, Py_ssize_t index, PyObject *name, PyObject *value,
                  PyObject *garbage[2])
{
    for (int turn = 0; turn < 100; turn++) {
        Leaf *leaf;
        if (holder_find((Holder *)self, &leaf) < 0) {
            return -1;
        }
        if (leaf == NULL && value == NULL) {
            return 0;
        }
        if (leaf == NULL) {
            Namespace *made = namespace_new(self->state, (Holder *)self);
            int failed = made == NULL || holder_keep((Holder *)self, (Leaf *)made, &leaf) < 0;
            Py_XDECREF(made);
            if (failed) {
                return -1;
            }
        }
        if (leaf->home == (Holder *)self) {
            int result = namespace_put((Namespace *)leaf, index, name, value, &garbage[0]);
            Py_DECREF(leaf);
            return result;
        }
        Py_DECREF(leaf); /* the strategy was changed meanwhile */
        if (holder_bind((Holder *)self) < 0) {
            return -1;
        }
    }
    PyErr_SetString(PyExc_RuntimeError, "the strategy kept changing while a value was stored");
    return -1;
}

/* Write to the current Context, with the collector held off. */
static int
local_write_in_context(Local *self, Py_ssize_t index, PyObject *name, PyObject *value)
{
    PyObject *garbage[2] = {NULL, NULL};
    int was_enabled = PyGC_Disable();
    int result = local_write_context(self, index, name, value, garbage);
    if (was_enabled) {
        PyGC_Enable();
    }
    Py_XDECREF(garbage[0]);
    Py_XDECREF(garbage[1]);
    return result;
}

/* Set `name` (exactly a str), or take it away where `value` is NULL, past all descriptors. */
static int
local_write(Local *self, PyObject *name, PyObject *value, PyObject **own, Py_ssize_t *index)
{
    *own = NULL;
    *index = -1;
    if (holder_bind((Holder *)self) < 0) {
        return -1;
    }
    if (self->kind == VAR) {
        return local_var_put(self, name, value);
    }
    *index = names_find(&self->names, name, value != NULL, own);
    if (*index == -2) {
        return -1;
    }
    if (self->kind == CONTEXT) {
        return local_write_in_context(self, *index, name, value);
    }
    PyObject *garbage[2] = {NULL, NULL};
    int result = local_write_owner(self, *index, name, value, garbage);
    Py_XDECREF(garbage[0]);
    Py_XDECREF(garbage[1]);
    return result;
}

static PyObject *
local_items(Local *self)
{
    if (local_run_init_in_new_owner(self) < 0 || holder_sync((Holder *)self) < 0) {
        return NULL;
    }
    if (self->kind == VAR) {
        PyObject *values = local_var_values(self);
        int is_filled = values == NULL ? -1 : PyObject_IsTrue(values);
        PyObject *items = is_filled < 0 ? NULL
            : !is_filled                ? PyList_New(0)
                                        : PyMapping_Items(values);
        Py_XDECREF(values);
        return items;
    }
    Leaf *leaf;
    if (holder_find((Holder *)self, &leaf) < 0) {
        return NULL;
    }
    PyObject *items = leaf == NULL ? PyList_New(0) : namespace_items((Namespace *)leaf);
    Py_XDECREF(leaf);
    return items;
}

/* __dict__: a real dict where the values are the owner's alone, else a view */

static PyObject *
local_view(Local *self)
{
    static const char *const functions[] = {"_items", "_value", "_store", "_remove"};
    PyObject *bound[4] = {NULL};
    PyObject *view = NULL;
    PyObject *partial = HELPER(self->state, partial);
    Py_XINCREF(partial);
    for (int i = 0; i < 4; i++) {
        PyObject *function = partial == NULL
            ? NULL
            : PyObject_GetAttrString(self->state->module, functions[i]);
        bound[i] = function == NULL
            ? NULL
            : PyObject_CallFunctionObjArgs(partial, function, self, NULL);
        Py_XDECREF(function);
        if (bound[i] == NULL) {
            goto done;
        }
    }
    PyObject *ValuesView = HELPER(self->state, ValuesView);
    if (ValuesView != NULL) {
        Py_INCREF(ValuesView);
        view = PyObject_Vectorcall(ValuesView, bound, 4, NULL);
        Py_DECREF(ValuesView);
    }
done:
    Py_XDECREF(partial);
    for (int i = 0; i < 4; i++) {
        Py_XDECREF(bound[i]);
    }
    return view;
}

static PyObject *
local_dict(PyObject *op, void *Py_UNUSED(closure))
{
    Local *self = (Local *)op;
    if (holder_bind((Holder *)self) < 0 || local_run_init_in_new_owner(self) < 0 ||
        holder_bind((Holder *)self) < 0) {
        return NULL;
    }
    if (self->kind == CONTEXT || self->kind == VAR) {
        return local_view(self);
    }
    Leaf *leaf;
    if (holder_find((Holder *)self, &leaf) < 0) {
        return NULL;
    }
    if (leaf == NULL) {
        Namespace *made = namespace_new(self->state, (Holder *)self);
        int failed = made == NULL || holder_keep((Holder *)self, (Leaf *)made, &leaf) < 0;
        Py_XDECREF(made);
        if (failed) {
            return NULL;
        }
    }
    PyObject *dict = NULL;
    if (namespace_become_dict((Namespace *)leaf) == 0) {
        dict = Py_NewRef(((Namespace *)leaf)->dict);
    }
    Py_DECREF(leaf);
    return dict;
}

/* The rule */

static int
is_data_descriptor(PyObject *found)
{
    return found != NULL && Py_TYPE(found)->tp_descr_set != NULL;
}

static PyObject *local_getattro(PyObject *op, PyObject *name);

/* Get an attribute by the rule. Where it is missing: NULL, with AttributeError, or without an
   error where `is_quiet`. */
NEVER_INLINE PyObject *
local_get(Local *self, PyObject *name, int is_quiet)
{
    if (!is_str(name) || is_too_deep()) {
        return NULL;
    }
    if (local_is_dict_name(self, name)) {
        return local_dict((PyObject *)self, NULL);
    }
    PyTypeObject *type = (PyTypeObject *)Py_NewRef(Py_TYPE(self));
    PyObject *found = Py_XNewRef(_PyType_Lookup(type, name));
    unsigned int version = type->tp_version_tag;
    PyObject *result = NULL, *value = NULL, *own, *exact = NULL;
    Py_ssize_t index;
    descrgetfunc getter = found == NULL ? NULL : Py_TYPE(found)->tp_descr_get;
    if (found != NULL && local_is_hidden_name(name)) {
        result = getter == NULL ? Py_NewRef(found)
                                : getter(found, (PyObject *)self, (PyObject *)type);
        goto done;
    }
    if (getter != NULL && is_data_descriptor(found)) {
        result = getter(found, (PyObject *)self, (PyObject *)type);
        goto done;
    }
    exact = PyUnicode_FromObject(name);
    if (exact == NULL) {
        goto done;
    }
    /* A class attribute that no value has ever replaced starts no __init__. */
    if (self->arguments != NULL &&
        (found == NULL || names_find(&self->names, exact, 0, NULL) != -1) &&
        local_run_init_in_new_owner(self) < 0) {
        goto done;
    }
    int has_value = local_value(self, exact, &value, &own, &index);
    if (has_value < 0) {
        goto done;
    }
    if (has_value) {
        result = value;
        if (found == NULL && own != NULL && version == type->tp_version_tag &&
            type == Py_TYPE(self) && type->tp_getattro == local_getattro) {
            names_remember(&self->names, type, own, index);
        }
    } else if (found != NULL) {
        result = getter == NULL ? Py_NewRef(found)
                                : getter(found, (PyObject *)self, (PyObject *)type);
    } else if (!is_quiet) {
        local_missing(self, name);
    }
done:
    Py_XDECREF(exact);
    Py_XDECREF(found);
    Py_DECREF(type);
    return result;
}

static PyObject *
local_getattro(PyObject *op, PyObject *name)
{
    Local *self = (Local *)op;
    Py_ssize_t index = names_peek(&self->names, Py_TYPE(self), name);
    if (LIKELY(index >= 0)) {
        Namespace *namespace = (Namespace *)holder_peek((Holder *)self);
        if (LIKELY(namespace != NULL) && LIKELY(index < namespace->size)) {
            PyObject *value = namespace->entries[index].value;
            if (LIKELY(value != NULL)) {
                return Py_NewRef(value);
            }
        }
    }
    return local_get(self, name, 0);
}

/* Set an attribute by the rule, or delete it where `value` is NULL. */
NEVER_INLINE int
local_set(Local *self, PyObject *name, PyObject *value)
{
    if (!is_str(name) || is_too_deep()) {
        return -1;
    }
    if (local_is_dict_name(self, name)) {
        local_error(self, "attribute", self->state->str___dict__, " is read-only");
        return -1;
    }
    PyTypeObject *type = (PyTypeObject *)Py_NewRef(Py_TYPE(self));
    PyObject *found = Py_XNewRef(_PyType_Lookup(type, name));
    unsigned int version = type->tp_version_tag;
    PyObject *exact = NULL, *own, *former = NULL;
    Py_ssize_t index;
    int result = -1;
    if (is_data_descriptor(found)) {
        result = PyObject_GenericSetAttr((PyObject *)self, name, value);
        goto done;
    }
    exact = PyUnicode_FromObject(name);
    if (exact == NULL) {
        goto done;
    }
    if (self->arguments != NULL && local_run_init_in_new_owner(self) < 0) {
        goto done;
    }
    if (value == NULL) {
        int has_value = local_value(self, exact, &former, &own, &index);
        if (has_value <= 0) {
            if (has_value == 0) {
                local_missing(self, name);
            }
            goto done;
        }
    }
    result = local_write(self, exact, value, &own, &index);
    if (result == 0 && value != NULL && found == NULL && own != NULL &&
        version == type->tp_version_tag && type == Py_TYPE(self) &&
        type->tp_getattro == local_getattro) { /* a proxy must not pass a subclass's own */
        names_remember(&self->names, type, own, index);
    }
done:
    Py_XDECREF(former);
    Py_XDECREF(exact);
    Py_XDECREF(found);
    Py_DECREF(type);
    return result;
}

static int
local_setattro(PyObject *op, PyObject *name, PyObject *value)
{
    Local *self = (Local *)op;
    Py_ssize_t index = names_peek(&self->names, Py_TYPE(self), name);
    if (LIKELY(index >= 0) && LIKELY(value != NULL)) {
        Namespace *namespace = (Namespace *)holder_peek_writable((Holder *)self, 0);
        if (LIKELY(namespace != NULL) && LIKELY(index < namespace->size)) {
            Entry *entry = &namespace->entries[index];
            PyObject *former = entry->value;
            entry->value = Py_NewRef(value);
            if (LIKELY(former != NULL)) {
                Py_DECREF(former); /* last of all: it may run anything */
            } else {
                entry->rank = namespace->next_rank++;
                namespace->used++;
            }
            return 0;
        }
        /* The first write in a Context that is new, or was copied. */
        if (self->kind == CONTEXT && self->arguments == NULL) {
            return local_write_in_context(self, index, name, value);
        }
    }
    return local_set(self, name, value);
}

/* The methods */

/* For trace, which puts its own in the place of the two slots: CPython lets nobody call a slot
   that was replaced. */
static PyObject *
local_assign(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_Format(PyExc_TypeError, "__setattr__ takes a name and a value, not %zd arguments",
                     count);
        return NULL;
    }
    if (!is_str(args[0]) || local_setattro(op, args[0], args[1]) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
local_unassign(PyObject *op, PyObject *name)
{
    if (!is_str(name) || local_setattro(op, name, NULL) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
local_dir(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    PyObject *names = NULL, *result = NULL;
    PyObject *of_class = PyObject_GetAttr(op, ((Local *)op)->state->str___class__);
    PyObject *listed = of_class == NULL ? NULL : PyObject_Dir(of_class);
    PyObject *items = listed == NULL ? NULL : local_items((Local *)op);
    if (items != NULL && (names = PySet_New(listed)) != NULL) {
        int failed = 0;
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items) && !failed; i++) {
            PyObject *pair = Py_NewRef(PyList_GET_ITEM(items, i));
            failed = PySet_Add(names, PyTuple_GET_ITEM(pair, 0)) < 0;
            Py_DECREF(pair);
        }
        result = failed ? NULL : PySequence_List(names);
        if (result != NULL && PyList_Sort(result) < 0) {
            Py_CLEAR(result);
        }
    }
    Py_XDECREF(of_class);
    Py_XDECREF(listed);
    Py_XDECREF(items);
    Py_XDECREF(names);
    return result;
}

static PyObject *
local_iter(PyObject *op)
{
    PyObject *items = local_items((Local *)op);
    PyObject *iterator = items == NULL ? NULL : PyObject_GetIter(items);
    Py_XDECREF(items);
    return iterator;
}

static PyObject *
local_iter_method(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return local_iter(op);
}

/* LocalProxy(self, name, unbound_message=message) */
static PyObject *
make_proxy(State *state, PyObject *self, PyObject *name, PyObject *message)
{
    PyObject *arguments[] = {self, name == NULL ? Py_None : name,
                             message == NULL ? Py_None : message};
    PyObject *keywords = PyTuple_Pack(1, state->str_unbound_message);
    if (keywords == NULL) {
        return NULL;
    }
    PyObject *proxy = PyObject_Vectorcall((PyObject *)state->LocalProxy, arguments, 2, keywords);
    Py_DECREF(keywords);
    return proxy;
}

static PyObject *
local_call(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static const Parameter parameters[] = {
        {"name", EITHER_WAY, 1}, {"unbound_message", KEYWORD_ONLY, 0}};
    PyObject *given[2];
    PyObject *const *items = ((PyTupleObject *)args)->ob_item;
    if (!parse(parameters, 2, items, PyTuple_GET_SIZE(args), kwargs, given)) {
        refuse_arguments("Local.__call__", op, items, PyTuple_GET_SIZE(args), kwargs);
        return NULL;
    }
    return make_proxy(((Local *)op)->state, op, given[0], given[1]);
}

static PyObject *
local_reduce(PyObject *op, PyObject *Py_UNUSED(protocol))
{
    Local *self = (Local *)op;
    PyObject *arguments = Py_NewRef(self->arguments == NULL ? Py_None : self->arguments);
    PyObject *result = holder_reduced((Holder *)self, arguments);
    Py_DECREF(arguments);
    return result;
}

static PyObject *
local_copy(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Local *self = (Local *)op;
    State *state = self->state;
    PyObject *items = NULL, *other = NULL;
    PyObject *kind = Py_NewRef((PyObject *)Py_TYPE(op));
    if (self->arguments != NULL) {
        PyObject *arguments = Py_NewRef(self->arguments);
        other = PyObject_Call(kind, PyTuple_GET_ITEM(arguments, 0), PyTuple_GET_ITEM(arguments, 1));
        Py_DECREF(arguments);
    } else if (self->slot == NULL) {
        holder_bind((Holder *)self);
    } else {
        PyObject *slot = Py_NewRef(self->slot);
        other = PyObject_CallMethodOneArg(kind, state->str___new__, kind);
        if (other != NULL && !PyObject_TypeCheck(other, state->Local)) {
            PyErr_Format(PyExc_TypeError, "%R.__new__ returned no Local", kind);
            Py_CLEAR(other);
        }
        PyObject *twin = other == NULL
            ? NULL
            : PyObject_CallMethodOneArg(slot, state->str_twin, other);
        if (twin == NULL || holder_install((Holder *)other, twin) < 0) {
            Py_CLEAR(other);
        }
        Py_DECREF(slot);
        Py_XDECREF(twin);
    }
    Py_DECREF(kind);
    items = other == NULL ? NULL : local_items(self);
    if (items == NULL) {
        Py_XDECREF(other);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items); i++) {
        PyObject *pair = Py_NewRef(PyList_GET_ITEM(items, i));
        int failed = PyObject_SetAttr(other, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1));
        Py_DECREF(pair);
        if (failed) {
            Py_CLEAR(other);
            break;
        }
    }
    Py_DECREF(items);
    return other;
}

/* For scopes: what an attribute is now, as (0, value); None where it is not there. */
static PyObject *
local_now(PyObject *op, PyObject *name)
{
    Local *self = (Local *)op;
    if (!is_str(name)) {
        return NULL;
    }
    PyObject *found = Py_XNewRef(_PyType_Lookup(Py_TYPE(self), name));
    PyObject *value = NULL, *own;
    Py_ssize_t index;
    int has_value;
    if (is_data_descriptor(found)) {
        value = PyObject_GetAttr(op, name);
        if (value == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
            PyErr_Clear();
        }
        has_value = value != NULL ? 1 : PyErr_Occurred() ? -1 : 0;
    } else {
        PyObject *exact = PyUnicode_FromObject(name);
        has_value = exact == NULL || local_run_init_in_new_owner(self) < 0
            ? -1
            : local_value(self, exact, &value, &own, &index);
        Py_XDECREF(exact);
    }
    Py_XDECREF(found);
    if (has_value < 0) {
        return NULL;
    }
    return has_value ? Py_BuildValue("(iN)", 0, value) : Py_NewRef(Py_None);
}

/* What a view of the values calls; see local_view. */

static int
local_check(PyObject *module, PyObject *const *args, Py_ssize_t count, Py_ssize_t expected)
{
    State *state = PyModule_GetState(module);
    if (count == expected && PyObject_TypeCheck(args[0], state->Local) &&
        (expected == 1 || PyUnicode_CheckExact(args[1]))) {
        return 1;
    }
    PyErr_SetString(PyExc_TypeError, "a Local and the exact str of a name are expected");
    return 0;
}

static PyObject *
view_items(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    return local_check(module, args, count, 1) ? local_items((Local *)args[0]) : NULL;
}

static PyObject *
view_value(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    PyObject *value, *own;
    Py_ssize_t index;
    if (count == 2 && !PyUnicode_CheckExact(args[1])) {
        PyErr_SetObject(PyExc_KeyError, args[1]);
        return NULL;
    }
    if (!local_check(module, args, count, 2)) {
        return NULL;
    }
    if (local_run_init_in_new_owner((Local *)args[0]) < 0) {
        return NULL;
    }
    if (local_value((Local *)args[0], args[1], &value, &own, &index) == 0) {
        PyErr_SetObject(PyExc_KeyError, args[1]);
    }
    return value;
}

static PyObject *
view_store(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    PyObject *own;
    Py_ssize_t index;
    if (!local_check(module, args, count, 3) || local_run_init_in_new_owner((Local *)args[0]) < 0 ||
        local_write((Local *)args[0], args[1], args[2], &own, &index) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
view_remove(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    PyObject *own;
    Py_ssize_t index;
    if (!local_check(module, args, count, 2) ||
        local_write((Local *)args[0], args[1], NULL, &own, &index) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* The life of a Local */

static PyObject *
local_options(State *state, PyTypeObject *type)
{
    PyObject *options = PyObject_GetAttr((PyObject *)type, state->str__ctxlocal_options);
    if (options != NULL && !(PyTuple_Check(options) && PyTuple_GET_SIZE(options) == 2)) {
        PyErr_SetString(PyExc_TypeError, "_ctxlocal_options has to be (ident, carry)");
        Py_CLEAR(options);
    }
    return options;
}

/* Get a slot by the class keywords. */
static int
local_make_slot(Local *self, PyObject *options)
{
    return holder_make_slot((Holder *)self, NULL, Py_None, PyTuple_GET_ITEM(options, 0),
                            PyTuple_GET_ITEM(options, 1), &PyDict_Type, NULL);
}

static int local_init(PyObject *op, PyObject *args, PyObject *kwargs);

static PyObject *
local_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    State *state = state_of_type(type);
    Local *self = state == NULL ? NULL : (Local *)holder_new(type);
    if (self == NULL) {
        return NULL;
    }
    holder_init((Holder *)self, state, state->Namespace);
    names_init(&self->names, state->most_names);
    if (type->tp_init == local_init && type->tp_new == local_new) {
        return (PyObject *)self;
    }
    PyObject *options = local_options(state, type);
    if (type->tp_init == local_init) { /* a subclass's __new__ may set attributes at once */
        if (options == NULL || local_make_slot(self, options) < 0) {
            Py_CLEAR(self);
        }
        Py_XDECREF(options);
        return (PyObject *)self;
    }
    /* A subclass's __init__ owns the arguments, and is about to run here. */
    PyObject *keywords = kwargs == NULL ? PyDict_New() : PyDict_Copy(kwargs);
    Leaf *leaf = NULL;
    Namespace *mark = NULL;
    if (keywords == NULL || options == NULL || local_make_slot(self, options) < 0 ||
        (self->arguments = PyTuple_Pack(2, args, keywords)) == NULL ||
        holder_bind((Holder *)self) < 0 ||
        (mark = namespace_new(state, (Holder *)self)) == NULL ||
        holder_keep((Holder *)self, (Leaf *)mark, &leaf) < 0) {
        Py_CLEAR(self);
    }
    Py_XDECREF(leaf);
    Py_XDECREF(mark);
    Py_XDECREF(options);
    Py_XDECREF(keywords);
    return (PyObject *)self;
}

static int
local_init(PyObject *op, PyObject *args, PyObject *kwargs)
{
    Local *self = (Local *)op;
    PyTypeObject *type = Py_TYPE(self);
    Construction with;
    if (parse_construction("Local.__init__", op, args, kwargs, 5, &with) < 0) {
        return -1;
    }
    int is_plain = with.var == Py_None && with.ident == Py_None && with.name == Py_None &&
        (with.wire == NULL || (PyTuple_Check(with.wire) && PyTuple_GET_SIZE(with.wire) == 0));
    if (self->slot != NULL && self->arguments == NULL && type->tp_new != local_new && is_plain &&
        with.carry == Py_False) {
        return 0; /* its __new__ is done, and may have set attributes */
    }
    if (self->arguments != NULL) {
        int is_false = PyObject_RichCompareBool(with.carry, Py_False, Py_EQ);
        if (is_false < 0) {
            return -1;
        }
        if (is_plain && is_false) {
            return 0;
        }
        PyObject *kind = PyObject_GetAttrString((PyObject *)type, "__name__");
        if (kind != NULL) {
            PyErr_Format(PyExc_TypeError,
                         "%S defines __init__, which runs anew in each owner, so its strategy "
                         "cannot be an argument. Write: class %S(Local, ident=\"...\")",
                         kind, kind);
            Py_DECREF(kind);
        }
        return -1;
    }
    PyObject *options = NULL;
    if (with.var == Py_None && with.ident == Py_None) {
        options = local_options(self->state, type);
        int carries = options == NULL ? -1 : PyObject_IsTrue(with.carry);
        if (carries < 0) {
            Py_XDECREF(options);
            return -1;
        }
        with.ident = PyTuple_GET_ITEM(options, 0);
        with.carry = carries ? with.carry : PyTuple_GET_ITEM(options, 1);
    }
    int result = holder_make_slot((Holder *)self, with.name, with.var, with.ident, with.carry,
                                  &PyDict_Type, with.wire);
    Py_XDECREF(options);
    return result;
}

static PyObject *
local_init_subclass(PyObject *cls, PyObject *args, PyObject *kwargs)
{
    State *state = state_of_type((PyTypeObject *)cls);
    if (state == NULL) {
        return NULL;
    }
    if (PyTuple_GET_SIZE(args) != 0) {
        refuse_arguments("Local.__init_subclass__", cls, ((PyTupleObject *)args)->ob_item,
                         PyTuple_GET_SIZE(args), kwargs);
        return NULL;
    }
    PyObject *keywords = kwargs == NULL ? PyDict_New() : PyDict_Copy(kwargs);
    PyObject *above = keywords == NULL
        ? NULL
        : PyObject_CallFunctionObjArgs((PyObject *)&PySuper_Type, state->Local, cls, NULL);
    PyObject *method = above == NULL ? NULL : PyObject_GetAttr(above, state->str___init_subclass__);
    PyObject *options = NULL, *done = NULL;
    if (method != NULL) {
        PyObject *ident = Py_XNewRef(PyDict_GetItemWithError(keywords, state->str_ident));
        PyObject *carry = Py_XNewRef(PyDict_GetItemWithError(keywords, state->str_carry));
        if ((ident == NULL || PyDict_DelItem(keywords, state->str_ident) == 0) &&
            (carry == NULL || PyDict_DelItem(keywords, state->str_carry) == 0)) {
            PyObject *empty = PyTuple_New(0);
            done = empty == NULL ? NULL : PyObject_Call(method, empty, keywords);
            Py_XDECREF(empty);
        }
        if (done != NULL && ident != NULL && ident != Py_None) {
            options = PyTuple_Pack(2, ident, carry == NULL ? Py_False : carry);
            if (options == NULL ||
                PyObject_SetAttr(cls, state->str__ctxlocal_options, options) < 0) {
                Py_CLEAR(done);
            }
        }
        Py_XDECREF(ident);
        Py_XDECREF(carry);
    }
    Py_XDECREF(keywords);
    Py_XDECREF(above);
    Py_XDECREF(method);
    Py_XDECREF(options);
    return done;
}

static int
local_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(((Local *)op)->arguments);
    return holder_traverse((Holder *)op, visit, arg);
}

static int
local_clear(PyObject *op)
{
    holder_clear((Holder *)op);
    Py_CLEAR(((Local *)op)->arguments);
    return 0;
}

static void
local_dealloc(PyObject *op)
{
    Local *self = (Local *)op;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, local_dealloc)
    if (self->state != NULL) {
        PyObject *module = self->state->module;
        holder_end((Holder *)self);
        Py_CLEAR(self->arguments);
        names_end(&self->names);
        type->tp_free(op);
        Py_DECREF(module);
    } else {
        type->tp_free(op);
    }
    Py_DECREF(type);
    Py_TRASHCAN_END
}

static PyMethodDef local_methods[] = {
    {"__init_subclass__", (PyCFunction)(void (*)(void))local_init_subclass,
     METH_CLASS | METH_VARARGS | METH_KEYWORDS, DOC_Local___init_subclass__},
    /* Of the slots these are the ones with a word to say; METH_COEXIST lets them. */
    {"__iter__", local_iter_method, METH_NOARGS | METH_COEXIST, DOC_Local___iter__},
    {"__call__", (PyCFunction)(void (*)(void))local_call,
     METH_VARARGS | METH_KEYWORDS | METH_COEXIST, DOC_Local___call__},
    {"__dir__", local_dir, METH_NOARGS, DOC_Local___dir__},
    {"__release_local__", holder_release_method, METH_NOARGS, DOC_Local___release_local__},
    {"__copy__", local_copy, METH_NOARGS, DOC_Local___copy__},
    {"__deepcopy__", holder_deepcopy, METH_O, DOC_Local___deepcopy__},
    {"__reduce_ex__", local_reduce, METH_O, DOC_Local___reduce_ex__},
    {"_ctxlocal_assign", (PyCFunction)(void (*)(void))local_assign, METH_FASTCALL, NULL},
    {"_ctxlocal_unassign", local_unassign, METH_O, NULL},
    {"_ctxlocal_now", local_now, METH_O, NULL},
    {"_ctxlocal_renew", holder_renew, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef local_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Local, weakrefs), READONLY, NULL},
    {"_ctxlocal_slot", T_OBJECT_EX, offsetof(Local, slot), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef local_getset[] = {
    {"__dict__", local_dict, NULL, NULL, NULL},
    {"__weakref__", holder_weakref, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot local_slots[] = {
    {Py_tp_doc, (void *)DOC_Local},
    {Py_tp_new, local_new},
    {Py_tp_init, local_init},
    {Py_tp_dealloc, local_dealloc},
    {Py_tp_traverse, local_traverse},
    {Py_tp_clear, local_clear},
    {Py_tp_getattro, local_getattro},
    {Py_tp_setattro, local_setattro},
    {Py_tp_repr, holder_repr},
    {Py_tp_iter, local_iter},
    {Py_tp_call, local_call},
    {Py_tp_methods, local_methods},
    {Py_tp_members, local_members},
    {Py_tp_getset, local_getset},
    {0, NULL},
};

static PyType_Spec local_spec = {
    .name = "ctxlocal.Local",
    .basicsize = sizeof(Local),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = local_slots,
};

#endif
