/* Resolver: how a proxy finds its object. It is what `proxy._get_current_object` is, too, so
   that taking that attribute makes nothing and refers to no proxy.

   `resolve` gives the object as a new reference. Where nothing is bound it returns NULL with
   UnboundError, or, where `is_quiet`, without an error: bool, repr, dir and is_bound need
   none. The texts come from unbound.py, which both twins share; they are not needed often. */

#ifndef CTXLOCAL_RESOLVER_H
#define CTXLOCAL_RESOLVER_H

#include "stack.h"

typedef enum { FROM_LOCAL, FROM_STACK, FROM_VAR, FROM_CALLABLE } Origin;

typedef struct {
    PyObject_HEAD
    State *state;
    vectorcallfunc vectorcall;
    Origin origin;
    int is_plain;      /* FROM_LOCAL: a Local of this module, and a name without dots */
    PyObject *source;  /* the Local, LocalStack, ContextVar or callable */
    PyObject *name;    /* NULL: none */
    PyObject *getter;  /* attrgetter(name), NULL without a name */
    PyObject *message; /* unbound_message, or None */
} Resolver;

/* Raise what a helper returns for these arguments; the last one may be NULL. */
static PyObject *
raise_made(PyObject *helper, PyObject *a, PyObject *b, PyObject *c, PyObject *d)
{
    if (helper == NULL) {
        return NULL;
    }
    Py_INCREF(helper);
    PyObject *error = PyObject_CallFunctionObjArgs(helper, a, b, c, d, NULL);
    Py_DECREF(helper);
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
}

NEVER_INLINE PyObject *
resolver_unbound(Resolver *self)
{
    State *state = self->state;
    PyObject *name = self->name == NULL ? Py_None : self->name;
    if (self->origin == FROM_VAR) {
        return raise_made(HELPER(state, unbound_var), self->source, name, self->message, NULL);
    }
    PyObject *remedy = self->origin == FROM_LOCAL
        ? PyUnicode_FromFormat("Set its attribute %R", name)
        : PyUnicode_FromString("Push an object on it");
    PyObject *slot = remedy == NULL ? NULL
        : PyObject_GetAttrString(self->source,
                                 self->origin == FROM_LOCAL ? "_ctxlocal_slot" : "_slot");
    if (slot != NULL) {
        raise_made(HELPER(state, unbound), slot, name, self->message, remedy);
    }
    Py_XDECREF(slot);
    Py_XDECREF(remedy);
    return NULL;
}

/* `found` (stolen) has not the attribute: AttributeError is raised. */
static PyObject *
resolver_lacks(Resolver *self, PyObject *found)
{
    PyObject *error = error_fetch();
    PyObject *helper = HELPER(self->state, unbound_named);
    PyObject *made = NULL;
    if (helper != NULL) {
        Py_INCREF(helper);
        made = PyObject_CallFunctionObjArgs(helper, self->name, found, self->message, NULL);
        Py_DECREF(helper);
    }
    Py_DECREF(found);
    if (made == NULL) {
        Py_DECREF(error);
        return NULL;
    }
    PyObject *cause = Py_NewRef(error);
    error_replace(made, error, cause);
    Py_DECREF(cause);
    return NULL;
}

static PyObject *
resolver_get_named(Resolver *self, PyObject *found)
{
    if (found == NULL || self->getter == NULL) {
        return found;
    }
    PyObject *target = PyObject_CallOneArg(self->getter, found);
    if (target == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return resolver_lacks(self, found);
    }
    Py_DECREF(found);
    return target;
}

/* A callable raised AttributeError, or another proxy's on the way did. */
static PyObject *
resolver_failed(Resolver *self)
{
    PyObject *error = error_fetch();
    PyObject *helper = HELPER(self->state, resolver_failed);
    PyObject *made = NULL;
    if (helper != NULL) {
        Py_INCREF(helper);
        made = PyObject_CallFunctionObjArgs(helper, self->source, error, NULL);
        Py_DECREF(helper);
    }
    if (made == NULL) {
        Py_DECREF(error);
        return NULL;
    }
    PyObject *cause = Py_NewRef(error);
    error_replace(made, error, cause);
    Py_DECREF(cause);
    return NULL;
}

NEVER_INLINE PyObject *
resolve_local_slowly(Resolver *self, int is_quiet)
{
    PyObject *target;
    if (self->is_plain && Py_TYPE(self->source)->tp_getattro == local_getattro) {
        target = local_get((Local *)self->source, self->name, 1);
        if (target == NULL && PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_AttributeError)) {
            PyErr_Clear();
        }
    } else {
        target = PyObject_CallOneArg(self->getter, self->source);
        if (target == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
            PyErr_Clear();
        }
    }
    if (target != NULL || PyErr_Occurred()) {
        return target;
    }
    return is_quiet ? NULL : resolver_unbound(self);
}

/* Everything but a value of a Local that is found at once. The caller has a reference to self. */
NEVER_INLINE PyObject *
resolve_slowly(Resolver *self, int is_quiet)
{
    PyObject *found;
    if (is_too_deep()) {
        return NULL;
    }
    switch (self->origin) {
    case FROM_LOCAL:
        return resolve_local_slowly(self, is_quiet);
    case FROM_STACK:
        if (Py_IS_TYPE(self->source, self->state->LocalStack)) { /* a subclass may have its own */
            found = stack_find_top((LocalStack *)self->source);
        } else {
            found = PyObject_GetAttrString(self->source, "top");
        }
        if (found == Py_None) {
            Py_DECREF(found);
            found = NULL;
        }
        break;
    case FROM_VAR:
        if (PyContextVar_Get(self->source, NULL, &found) < 0) {
            return NULL;
        }
        break;
    default:
        found = PyObject_CallNoArgs(self->source);
        if (found != NULL && self->getter != NULL) {
            Py_SETREF(found, PyObject_CallOneArg(self->getter, found));
        }
        if (found == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return resolver_failed(self);
        }
        return found;
    }
    if (found == NULL) {
        return PyErr_Occurred() || is_quiet ? NULL : resolver_unbound(self);
    }
    return resolver_get_named(self, found);
}

ALWAYS_INLINE PyObject *
resolve_quietly_or_not(Resolver *self, int is_quiet)
{
    if (LIKELY(self->is_plain)) {
        Local *local = (Local *)self->source;
        Py_ssize_t index = names_peek(&local->names, Py_TYPE(local), self->name);
        if (LIKELY(index >= 0)) {
            Namespace *namespace = (Namespace *)holder_peek((Holder *)local);
            if (LIKELY(namespace != NULL) && LIKELY(index < namespace->size)) {
                PyObject *value = namespace->entries[index].value;
                if (LIKELY(value != NULL)) {
                    return Py_NewRef(value);
                }
            }
        }
    } else if (self->origin == FROM_VAR && self->getter == NULL) {
        PyObject *value;
        if (LIKELY(PyContextVar_Get(self->source, NULL, &value) == 0) && LIKELY(value != NULL)) {
            return value;
        }
    }
    Py_INCREF(self); /* the proxy may be dropped by what runs now */
    PyObject *target = resolve_slowly(self, is_quiet);
    Py_DECREF(self);
    return target;
}

/* The object as a new reference; NULL with an error. */
ALWAYS_INLINE PyObject *
resolve(Resolver *self)
{
    return resolve_quietly_or_not(self, 0);
}

static PyObject *
resolver_vectorcall(PyObject *op, PyObject *const *args, size_t flagged, PyObject *keywords)
{
    Py_ssize_t count = PyVectorcall_NARGS(flagged);
    if (count != 0 || (keywords != NULL && PyTuple_GET_SIZE(keywords) != 0)) {
        refuse_arguments("resolve", NULL, args, count, keywords);
        return NULL;
    }
    return resolve((Resolver *)op);
}

/* Whether isinstance() says so, also for the target of a proxy. */
static int
is_instance(PyObject *obj, PyTypeObject *type)
{
    return PyObject_TypeCheck(obj, type) ? 1 : PyObject_IsInstance(obj, (PyObject *)type);
}

static int
resolver_choose_origin(Resolver *self)
{
    State *state = self->state;
    int found = is_instance(self->source, state->Local);
    if (found > 0) {
        self->origin = FROM_LOCAL;
        if (self->name == NULL) {
            PyErr_SetString(PyExc_TypeError, "'name' is required when proxying a 'Local' object.");
            return -1;
        }
        self->is_plain = PyObject_TypeCheck(self->source, state->Local) &&
            PyUnicode_FindChar(self->name, '.', 0, PyUnicode_GET_LENGTH(self->name), 1) == -1;
        return 0;
    }
    if (found == 0 && (found = is_instance(self->source, state->LocalStack)) > 0) {
        self->origin = FROM_STACK;
        return 0;
    }
    if (found < 0) {
        return -1;
    }
    if (PyContextVar_CheckExact(self->source)) {
        self->origin = FROM_VAR;
        return 0;
    }
    if (PyCallable_Check(self->source)) {
        self->origin = FROM_CALLABLE;
        return 0;
    }
    PyErr_Format(PyExc_TypeError,
                 "Don't know how to proxy %R: a Local and a name, a LocalStack, a ContextVar or a "
                 "callable without arguments is expected.", self->source);
    return -1;
}

/* `name` and `message` may be NULL or None. */
static Resolver *
resolver_new(State *state, PyObject *source, PyObject *name, PyObject *message)
{
    Resolver *self = PyObject_GC_New(Resolver, state->Resolver);
    if (self == NULL) {
        return NULL;
    }
    self->state = state;
    state_hold(state);
    self->vectorcall = resolver_vectorcall;
    self->is_plain = 0;
    self->source = Py_NewRef(source);
    self->name = self->getter = NULL;
    self->message = Py_NewRef(message == NULL ? Py_None : message);
    PyObject_GC_Track(self);
    if (name != NULL && name != Py_None) {
        PyObject *attrgetter = HELPER(state, attrgetter);
        self->name = interned(name);
        if (attrgetter == NULL || self->name == NULL) {
            goto failed;
        }
        Py_INCREF(attrgetter);
        self->getter = PyObject_CallOneArg(attrgetter, self->name);
        Py_DECREF(attrgetter);
        if (self->getter == NULL) {
            goto failed;
        }
    }
    if (resolver_choose_origin(self) == 0) {
        return self;
    }
failed:
    Py_DECREF(self);
    return NULL;
}

static int
resolver_traverse(Resolver *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->state->module);
    Py_VISIT(self->source);
    Py_VISIT(self->getter);
    Py_VISIT(self->message);
    return 0;
}

static void
resolver_dealloc(Resolver *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, resolver_dealloc)
    PyObject *module = self->state->module;
    Py_XDECREF(self->source);
    Py_XDECREF(self->name);
    Py_XDECREF(self->getter);
    Py_XDECREF(self->message);
    PyObject_GC_Del(self);
    Py_DECREF(type);
    Py_DECREF(module);
    Py_TRASHCAN_END
}

static PyMemberDef resolver_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Resolver, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

/* It has no tp_clear: it never changes. A cycle is broken at the Local or proxy in it. */
static PyType_Slot resolver_slots[] = {
    {Py_tp_doc, "Finds the object behind a proxy."},
    {Py_tp_dealloc, resolver_dealloc},
    {Py_tp_traverse, resolver_traverse},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, resolver_members},
    {0, NULL},
};

static PyType_Spec resolver_spec = {
    .name = "ctxlocal.local._native.resolve",
    .basicsize = sizeof(Resolver),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
        Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = resolver_slots,
};

#endif
