/* LocalProxy: every operation finds the object (resolver.h) and hands itself on.

   Operators are slots of the type, so that one costs a call and the search. Special
   methods that have no slot are method descriptors *of BaseProxy*, which is why they can be
   put into any class derived from it: LocalProxy has all of them, and `proxy(like=T)` makes a
   type with those that T has (`make_class`). The pure twin's proxy.py has the table of what
   is not proxied, and why.

   A slot gets its operands in either order, and either may be a proxy: `is_proxy` tells by the
   deallocator of a base, which needs neither a state nor an isinstance that could run code. */

#ifndef CTXLOCAL_PROXY_H
#define CTXLOCAL_PROXY_H

#include "resolver.h"

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    Resolver *resolver; /* NULL before __init__ */
    State *state;
    PyObject *weakrefs;
} Proxy;

static void proxy_dealloc(PyObject *op);

ALWAYS_INLINE int
is_proxy(PyObject *op)
{
    for (PyTypeObject *type = Py_TYPE(op); type != NULL; type = type->tp_base) {
        if (type->tp_dealloc == proxy_dealloc) {
            return 1;
        }
    }
    return 0;
}

NEVER_INLINE PyObject *
proxy_is_unmade(PyObject *op)
{
    /* in the words of a slot that is empty */
#if PY_VERSION_HEX >= 0x030d0000
    PyErr_Format(PyExc_AttributeError, "'%T' object has no attribute '_get_current_object'", op);
#else
    PyErr_Format(PyExc_AttributeError, "'%.200s' object has no attribute '_get_current_object'",
                 Py_TYPE(op)->tp_name);
#endif
    return NULL;
}

/* The object behind a proxy, as a new reference. Whatever is then done with the object may lead
   back here, without Python code in between: so this is where the depth is looked at. */
ALWAYS_INLINE PyObject *
proxy_target(PyObject *op)
{
    if (UNLIKELY(is_too_deep())) {
        return NULL;
    }
    Resolver *resolver = ((Proxy *)op)->resolver;
    return LIKELY(resolver != NULL) ? resolve(resolver) : proxy_is_unmade(op);
}

/* The object behind an operand that may be a proxy, as a new reference. */
ALWAYS_INLINE PyObject *
operand(PyObject *op)
{
    return is_proxy(op) ? proxy_target(op) : Py_NewRef(op);
}

/* The object behind a proxy, through proxies of proxies, or `op` itself; as a new reference. */
static PyObject *
unwrapped(PyObject *op)
{
    PyObject *obj = Py_NewRef(op);
    for (int steps = 0; obj != NULL && is_proxy(obj); steps++) {
        if (UNLIKELY(steps > 0) && steps >= Py_GetRecursionLimit()) {
            PyObject *error = HELPER(((Proxy *)obj)->state, endless);
            Py_DECREF(obj);
            return raise_made(error, NULL, NULL, NULL, NULL);
        }
        Py_SETREF(obj, proxy_target(obj));
    }
    return obj;
}

/* Whether the error that is raised says that nothing is bound; then it is taken down. */
static int
error_says_unbound(State *state)
{
    if (PyErr_ExceptionMatches(PyExc_RecursionError)) {
        return 0; /* with no stack left for an import */
    }
    PyObject *error = error_fetch(); /* an import must not see it */
    PyObject *unbound = HELPER(state, UnboundError);
    if (unbound == NULL) {
        Py_DECREF(error);
        return 0;
    }
    if ((PyObject *)Py_TYPE(error) == PyExc_RuntimeError ||
        PyErr_GivenExceptionMatches(error, unbound)) {
        Py_DECREF(error);
        return 1;
    }
    error_restore(error);
    return 0;
}

/* Whether the object is there: 1, with a new reference to it; 0; -1 with an error. A plain
   RuntimeError is how resolvers of applications say that it is not. */
static int
proxy_try(PyObject *op, PyObject **target)
{
    Proxy *self = (Proxy *)op;
    *target = is_too_deep()             ? NULL
        : self->resolver == NULL        ? proxy_is_unmade(op)
                                        : resolve_quietly_or_not(self->resolver, 1);
    if (*target != NULL) {
        return 1;
    }
    return !PyErr_Occurred() || error_says_unbound(self->state) ? 0 : -1;
}

/* Attributes */

/* Of these every class has its own, or a subclass means it for itself: they stay the target's. */
static int
is_of_every_class(PyObject *name)
{
    static const char *const names[] = {
        "__module__", "__doc__", "__dict__", "__weakref__", "__slots__", "__new__",
        "__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__",
        "__orig_bases__", "__parameters__", "__type_params__",
        "__static_attributes__", "__firstlineno__",
        "__init_subclass__", "__class_getitem__", "__abstractmethods__", "__getattribute__",
    };
    for (size_t i = 0; i < Py_ARRAY_LENGTH(names); i++) {
        if (PyUnicode_CompareWithASCIIString(name, names[i]) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Whether a subclass of Python defines the name by now, or object.__setattr__ set it on the
   proxy. Classes of ours are told by their deallocator, which those of Python do not inherit. */
NEVER_INLINE int
subclass_owns(PyObject *op, PyObject *name)
{
    PyTypeObject *type = Py_TYPE(op), *base = type;
    while (base->tp_dealloc != proxy_dealloc) {
        base = base->tp_base;
    }
    if (!PyUnicode_Check(name)) {
        return 0;
    }
    PyObject *found = _PyType_Lookup(type, name);
    if (found != NULL) {
        return found != _PyType_Lookup(base, name) && !is_of_every_class(name);
    }
    PyObject **dict = _PyObject_GetDictPtr(op);
    return dict != NULL && *dict != NULL ? PyDict_Contains(*dict, name) : 0;
}

ALWAYS_INLINE int
proxy_defines(PyObject *op, PyObject *name)
{
    return LIKELY(Py_TYPE(op)->tp_dealloc == proxy_dealloc) ? 0 : subclass_owns(op, name);
}

static int
is_name(PyObject *name, PyObject *constant)
{
    return name == constant || (PyUnicode_Check(name) && PyUnicode_Compare(name, constant) == 0);
}

/* The names that are the proxy's own, also while it is bound. */
ALWAYS_INLINE int
proxy_owns(PyObject *op, PyObject *name)
{
    State *state = ((Proxy *)op)->state;
    if (LIKELY(PyUnicode_CheckExact(name)) && PyUnicode_GET_LENGTH(name) > 0 &&
        UNLIKELY(PyUnicode_READ_CHAR(name, 0) == '_') &&
        (is_name(name, state->str__get_current_object) ||
         is_name(name, state->str___reduce_ex__) || is_name(name, state->str___copy__) ||
         is_name(name, state->str___deepcopy__) || is_name(name, state->str___mro_entries__) ||
         is_name(name, state->str__ctxlocal_origin))) {
        return 1;
    }
    return proxy_defines(op, name);
}

/* The error of an attribute's use where there is no object: RuntimeError is raised. NULL: it
   has been replaced by another error. Else *error is it, and the result is what to raise. */
static PyObject *
proxy_attribute_error(PyObject *op, PyObject *name, PyObject **error)
{
    if (!PyErr_ExceptionMatches(PyExc_RuntimeError) ||
        PyErr_ExceptionMatches(PyExc_RecursionError)) { /* with no stack left for Python code */
        return NULL;
    }
    *error = error_fetch(); /* an import must not see it */
    PyObject *helper = HELPER(((Proxy *)op)->state, unbound_attribute);
    if (helper == NULL) {
        Py_CLEAR(*error);
        return NULL;
    }
    Py_INCREF(helper);
    PyObject *made = PyObject_CallFunctionObjArgs(helper, *error, name, NULL);
    Py_DECREF(helper);
    if (made == NULL) {
        Py_CLEAR(*error);
    }
    return made;
}

static void
proxy_raise_attribute_error(PyObject *op, PyObject *made, PyObject *error)
{
    PyObject *cause = PyException_GetCause(error);
    error_replace(made, error, cause);
    Py_XDECREF(cause);
}

NEVER_INLINE PyObject *
proxy_getattr_unbound(PyObject *op, PyObject *name)
{
    State *state = ((Proxy *)op)->state;
    if (((Proxy *)op)->resolver == NULL) { /* a __new__ may be about to call __init__ */
        PyErr_Clear();
        return PyObject_GenericGetAttr(op, name);
    }
    PyObject *error, *made = proxy_attribute_error(op, name, &error);
    if (made == NULL) {
        return NULL;
    }
    PyObject *answer = NULL;
    if (made != error && PyUnicode_Check(name)) {
        if (is_name(name, state->str___class__) || is_name(name, state->str___doc__) ||
            is_name(name, state->str___repr__) || is_name(name, state->str___bool__) ||
            is_name(name, state->str___dir__)) {
            Py_DECREF(made);
            Py_DECREF(error);
            return PyObject_GenericGetAttr(op, name);
        }
        /* doctest and inspect ask for it; a function they would take for what the proxy is. */
        if (is_name(name, state->str___wrapped__)) {
            PyObject *source = Py_NewRef(((Proxy *)op)->resolver->source);
            PyObject *code = PyObject_GetAttr(source, state->str___code__);
            if (code == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
                PyErr_Clear();
                answer = Py_NewRef(source);
            }
            Py_XDECREF(code);
            Py_DECREF(source);
        }
    }
    if (answer != NULL || PyErr_Occurred()) {
        Py_DECREF(made);
        Py_DECREF(error);
        return answer;
    }
    proxy_raise_attribute_error(op, made, error);
    return NULL;
}

static PyObject *
proxy_getattro(PyObject *op, PyObject *name)
{
    int is_own = proxy_owns(op, name);
    if (UNLIKELY(is_own)) {
        return is_own < 0 ? NULL : PyObject_GenericGetAttr(op, name);
    }
    PyObject *target = proxy_target(op);
    if (UNLIKELY(target == NULL)) {
        return proxy_getattr_unbound(op, name);
    }
    PyObject *value = PyObject_GetAttr(target, name);
    Py_DECREF(target);
    return value;
}

static int
proxy_setattro(PyObject *op, PyObject *name, PyObject *value)
{
    State *state = ((Proxy *)op)->state;
    if (value != NULL && is_name(name, state->str___orig_class__)) {
        PyErr_SetObject(PyExc_AttributeError, name); /* LocalProxy[T](...) would leave it there */
        return -1;
    }
    int is_own = proxy_defines(op, name);
    if (is_own) {
        return is_own < 0 ? -1 : PyObject_GenericSetAttr(op, name, value);
    }
    PyObject *target = proxy_target(op);
    if (target == NULL) {
        PyObject *error, *made = proxy_attribute_error(op, name, &error);
        if (made != NULL) {
            proxy_raise_attribute_error(op, made, error);
        }
        return -1;
    }
    int result = PyObject_SetAttr(target, name, value);
    Py_DECREF(target);
    return result;
}

/* What every object has */

static PyObject *
proxy_repr(PyObject *op)
{
    PyObject *target;
    int is_there = proxy_try(op, &target);
    if (is_there < 0) {
        return NULL;
    }
    if (!is_there) {
        PyObject *kind = PyObject_GetAttrString((PyObject *)Py_TYPE(op), "__name__");
        PyObject *text = kind == NULL ? NULL : PyUnicode_FromFormat("<%S unbound>", kind);
        Py_XDECREF(kind);
        return text;
    }
    PyObject *text = PyObject_Repr(target);
    Py_DECREF(target);
    return text;
}

static int
proxy_bool(PyObject *op)
{
    PyObject *target;
    int is_there = proxy_try(op, &target);
    if (is_there <= 0) {
        return is_there;
    }
    int result = PyObject_IsTrue(target);
    Py_DECREF(target);
    return result;
}

static PyObject *
proxy_dir(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    PyObject *target;
    int is_there = proxy_try(op, &target);
    if (is_there <= 0) {
        return is_there < 0 ? NULL : PyList_New(0);
    }
    PyObject *names = PyObject_Dir(target);
    Py_DECREF(target);
    return names;
}

static PyObject *
proxy_reduce(PyObject *op, PyObject *Py_UNUSED(protocol))
{
    /* The target is pickled by its own rules, and loading it does not need ctxlocal. */
    PyObject *target = proxy_target(op);
    PyObject *getitem = target == NULL ? NULL : HELPER(((Proxy *)op)->state, getitem);
    if (getitem == NULL) {
        Py_XDECREF(target);
        return NULL;
    }
    return Py_BuildValue("O((N)i)", getitem, target, 0);
}

static PyObject *
call_with_target(PyObject *op, PyObject *function, PyObject *second)
{
    Py_XINCREF(function);
    PyObject *target = function == NULL ? NULL : proxy_target(op);
    PyObject *result = target == NULL
        ? NULL
        : PyObject_CallFunctionObjArgs(function, target, second, NULL);
    Py_XDECREF(function);
    Py_XDECREF(target);
    return result;
}

static PyObject *
proxy_copy(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return call_with_target(op, HELPER(((Proxy *)op)->state, copy_copy), NULL);
}

static PyObject *
proxy_deepcopy(PyObject *op, PyObject *memo)
{
    return call_with_target(op, HELPER(((Proxy *)op)->state, copy_deepcopy), memo);
}

static Py_hash_t
proxy_hash(PyObject *op)
{
    PyObject *target = proxy_target(op);
    if (target == NULL) {
        return -1;
    }
    Py_hash_t hash = PyObject_Hash(target);
    Py_DECREF(target);
    return hash;
}

/* What == and != of an unbound proxy come to, which equals itself alone: an error is raised. */
NEVER_INLINE PyObject *
proxy_equals_itself(PyObject *op)
{
    return error_says_unbound(((Proxy *)op)->state) ? Py_NewRef(Py_NotImplemented) : NULL;
}

static PyObject *
proxy_richcompare(PyObject *op, PyObject *other, int how)
{
    PyObject *target = proxy_target(op);
    PyObject *second = target == NULL ? NULL : operand(other);
    PyObject *result = second == NULL ? NULL : PyObject_RichCompare(target, second, how);
    if (UNLIKELY(second == NULL) && (how == Py_EQ || how == Py_NE)) {
        result = proxy_equals_itself(op);
    }
    Py_XDECREF(target);
    Py_XDECREF(second);
    return result;
}

/* Operators */

#define UNARY(name, operation)                                           \
    static PyObject *proxy_##name(PyObject *op)                          \
    {                                                                    \
        PyObject *target = proxy_target(op);                             \
        PyObject *result = target == NULL ? NULL : operation(target);    \
        Py_XDECREF(target);                                              \
        return result;                                                   \
    }

#define UNARY_METHOD(name, operation)                                        \
    static PyObject *proxy_##name(PyObject *op, PyObject *Py_UNUSED(ignored)) \
    {                                                                        \
        PyObject *target = proxy_target(op);                                 \
        PyObject *result = target == NULL ? NULL : operation(target);        \
        Py_XDECREF(target);                                                  \
        return result;                                                       \
    }

#define BINARY(name, operation)                                                          \
    static PyObject *proxy_##name(PyObject *one, PyObject *other)                        \
    {                                                                                    \
        PyObject *first = operand(one);                                                  \
        PyObject *second = first == NULL ? NULL : operand(other);                        \
        PyObject *result = second == NULL ? NULL : operation(first, second);             \
        Py_XDECREF(first);                                                               \
        Py_XDECREF(second);                                                              \
        return result;                                                                   \
    }

/* Store the result of an in-place operation where the operand came from. */
NEVER_INLINE int
proxy_write_back(Proxy *self, PyObject *result)
{
    Resolver *resolver = (Resolver *)Py_NewRef(self->resolver);
    State *state = self->state;
    PyObject *holder = NULL, *parts = NULL, *done = NULL;
    int is_done = -1;
    if (resolver->name != NULL) {
        if (resolver->origin == FROM_LOCAL) {
            holder = Py_NewRef(resolver->source);
        } else {
            Resolver *plain = resolver_new(state, resolver->source, NULL, NULL);
            holder = plain == NULL ? NULL : resolve(plain);
            Py_XDECREF(plain);
        }
        parts = holder == NULL ? NULL : PyUnicode_RPartition(resolver->name, state->str_dot);
        if (parts == NULL) {
            goto end;
        }
        PyObject *path = PyTuple_GET_ITEM(parts, 0);
        if (PyUnicode_GET_LENGTH(path) != 0) {
            PyObject *attrgetter = HELPER(state, attrgetter);
            PyObject *getter = attrgetter == NULL ? NULL : PyObject_CallOneArg(attrgetter, path);
            Py_SETREF(holder, getter == NULL ? NULL : PyObject_CallOneArg(getter, holder));
            Py_XDECREF(getter);
            if (holder == NULL) {
                goto end;
            }
        }
        is_done = PyObject_SetAttr(holder, PyTuple_GET_ITEM(parts, 2), result);
    } else if (resolver->origin == FROM_STACK) {
        done = PyObject_CallMethodNoArgs(resolver->source, state->str_pop);
        if (done != NULL) {
            Py_SETREF(done, PyObject_CallMethodOneArg(resolver->source, state->str_push, result));
        }
        is_done = done == NULL ? -1 : 0;
    } else if (resolver->origin == FROM_VAR) {
        done = context_set(resolver->source, result);
        is_done = done == NULL ? -1 : 0;
    } else {
        raise_made(HELPER(state, no_place), resolver->source, result, NULL, NULL);
    }
end:
    Py_XDECREF(holder);
    Py_XDECREF(parts);
    Py_XDECREF(done);
    Py_DECREF(resolver);
    return is_done;
}

static PyObject *
proxy_in_place(PyObject *op, PyObject *other, PyObject *(*operation)(PyObject *, PyObject *))
{
    PyObject *target = operand(op);
    PyObject *second = target == NULL ? NULL : operand(other);
    PyObject *result = second == NULL ? NULL : operation(target, second);
    int failed = result == NULL || (result != target && is_proxy(op) &&
                                    proxy_write_back((Proxy *)op, result) < 0);
    Py_XDECREF(second);
    Py_XDECREF(target);
    Py_XDECREF(result);
    return failed ? NULL : Py_NewRef(op);
}

#define IN_PLACE(name, operation)                                     \
    static PyObject *proxy_##name(PyObject *op, PyObject *other)      \
    {                                                                 \
        return proxy_in_place(op, other, operation);                  \
    }

BINARY(add, PyNumber_Add)
BINARY(subtract, PyNumber_Subtract)
BINARY(multiply, PyNumber_Multiply)
BINARY(matrix_multiply, PyNumber_MatrixMultiply)
BINARY(true_divide, PyNumber_TrueDivide)
BINARY(floor_divide, PyNumber_FloorDivide)
BINARY(remainder, PyNumber_Remainder)
BINARY(divmod, PyNumber_Divmod)
BINARY(lshift, PyNumber_Lshift)
BINARY(rshift, PyNumber_Rshift)
BINARY(and, PyNumber_And)
BINARY(xor, PyNumber_Xor)
BINARY(or, PyNumber_Or)
BINARY(getitem, PyObject_GetItem)
IN_PLACE(iadd, PyNumber_InPlaceAdd)
IN_PLACE(isubtract, PyNumber_InPlaceSubtract)
IN_PLACE(imultiply, PyNumber_InPlaceMultiply)
IN_PLACE(imatrix_multiply, PyNumber_InPlaceMatrixMultiply)
IN_PLACE(itrue_divide, PyNumber_InPlaceTrueDivide)
IN_PLACE(ifloor_divide, PyNumber_InPlaceFloorDivide)
IN_PLACE(iremainder, PyNumber_InPlaceRemainder)
IN_PLACE(ilshift, PyNumber_InPlaceLshift)
IN_PLACE(irshift, PyNumber_InPlaceRshift)
IN_PLACE(iand, PyNumber_InPlaceAnd)
IN_PLACE(ixor, PyNumber_InPlaceXor)
IN_PLACE(ior, PyNumber_InPlaceOr)
UNARY(negative, PyNumber_Negative)
UNARY(positive, PyNumber_Positive)
UNARY(absolute, PyNumber_Absolute)
UNARY(invert, PyNumber_Invert)
UNARY(int, PyNumber_Long)
UNARY(float, PyNumber_Float)
UNARY(index, PyNumber_Index)
UNARY(str, PyObject_Str)
UNARY(iter, PyObject_GetIter)
UNARY_METHOD(fspath, PyOS_FSPath)

static PyObject *
power_of(PyObject *base, PyObject *exponent)
{
    return PyNumber_InPlacePower(base, exponent, Py_None);
}

static PyObject *
proxy_ipower(PyObject *op, PyObject *other, PyObject *Py_UNUSED(modulus))
{
    return proxy_in_place(op, other, power_of);
}

/* With a modulus, Python asks no class but the base's, from 3.14 on the exponent's too. */
static int
power_is_asked(PyObject *one, PyObject *other)
{
#if PY_VERSION_HEX >= 0x030e0000
    return is_proxy(one) || is_proxy(other);
#else
    return is_proxy(one);
#endif
}

static PyObject *
proxy_power(PyObject *one, PyObject *other, PyObject *modulus)
{
    if (modulus != Py_None && !power_is_asked(one, other)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    PyObject *base = operand(one);
    PyObject *exponent = base == NULL ? NULL : operand(other);
    PyObject *third = exponent == NULL ? NULL : unwrapped(modulus);
    PyObject *result = third == NULL ? NULL : PyNumber_Power(base, exponent, third);
    Py_XDECREF(base);
    Py_XDECREF(exponent);
    Py_XDECREF(third);
    return result;
}

/* Containers and iterators */

static Py_ssize_t
proxy_length(PyObject *op)
{
    PyObject *target = proxy_target(op);
    if (target == NULL) {
        return -1;
    }
    Py_ssize_t length = PyObject_Size(target);
    Py_DECREF(target);
    return length;
}

static PyObject *
proxy_item(PyObject *op, Py_ssize_t index)
{
    PyObject *number = PyLong_FromSsize_t(index);
    PyObject *item = number == NULL ? NULL : proxy_getitem(op, number);
    Py_XDECREF(number);
    return item;
}

static int
proxy_setitem(PyObject *op, PyObject *key, PyObject *value)
{
    PyObject *target = proxy_target(op);
    if (target == NULL) {
        return -1;
    }
    int result = -1;
    if (value != NULL) {
        result = PyObject_SetItem(target, key, value);
    } else {
        PyObject *plain = operand(key);
        result = plain == NULL ? -1 : PyObject_DelItem(target, plain);
        Py_XDECREF(plain);
    }
    Py_DECREF(target);
    return result;
}

static int
proxy_set_index(PyObject *op, Py_ssize_t index, PyObject *value)
{
    PyObject *number = PyLong_FromSsize_t(index);
    int result = number == NULL ? -1 : proxy_setitem(op, number, value);
    Py_XDECREF(number);
    return result;
}

static int
proxy_contains(PyObject *op, PyObject *other)
{
    PyObject *target = proxy_target(op);
    PyObject *member = target == NULL ? NULL : operand(other);
    int result = member == NULL ? -1 : PySequence_Contains(target, member);
    Py_XDECREF(target);
    Py_XDECREF(member);
    return result;
}

static PyObject *
proxy_next(PyObject *op)
{
    PyObject *target = proxy_target(op);
    if (target == NULL) {
        return NULL;
    }
    PyObject *item = NULL;
    if (PyIter_Check(target)) {
        item = Py_TYPE(target)->tp_iternext(target);
    } else {
        PyErr_Format(PyExc_TypeError, "'%.200s' object is not an iterator",
                     Py_TYPE(target)->tp_name);
    }
    Py_DECREF(target);
    return item;
}

static PyObject *
proxy_length_hint(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    PyObject *target = proxy_target(op);
    if (target == NULL) {
        return NULL;
    }
    Py_ssize_t hint = PyObject_LengthHint(target, 0);
    Py_DECREF(target);
    return hint < 0 ? NULL : PyLong_FromSsize_t(hint);
}

static PyObject *
proxy_reversed(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return call_with_target(op, (PyObject *)&PyReversed_Type, NULL);
}

static PyObject *
proxy_bytes(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return call_with_target(op, (PyObject *)&PyBytes_Type, NULL); /* it takes an int, too */
}

static PyObject *
proxy_complex(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return call_with_target(op, (PyObject *)&PyComplex_Type, NULL);
}

static PyObject *
proxy_trunc(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return call_with_target(op, HELPER(((Proxy *)op)->state, math_trunc), NULL);
}

static PyObject *
proxy_floor(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return call_with_target(op, HELPER(((Proxy *)op)->state, math_floor), NULL);
}

static PyObject *
proxy_ceil(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return call_with_target(op, HELPER(((Proxy *)op)->state, math_ceil), NULL);
}

static PyObject *
proxy_format(PyObject *op, PyObject *spec)
{
    PyObject *target = proxy_target(op);
    PyObject *text = target == NULL ? NULL : PyObject_Format(target, spec);
    Py_XDECREF(target);
    return text;
}

static PyObject *
proxy_round(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    if (count > 1) {
        PyErr_Format(PyExc_TypeError, "round() takes at most 2 arguments (%zd given)", count + 1);
        return NULL;
    }
    return call_with_target(op, HELPER(((Proxy *)op)->state, round), count == 0 ? NULL : args[0]);
}

static PyObject *
proxy_instancecheck(PyObject *op, PyObject *other)
{
    PyObject *target = proxy_target(op);
    int result = target == NULL ? -1 : PyObject_IsInstance(other, target);
    Py_XDECREF(target);
    return result < 0 ? NULL : PyBool_FromLong(result);
}

static PyObject *
proxy_subclasscheck(PyObject *op, PyObject *other)
{
    PyObject *target = proxy_target(op);
    int result = target == NULL ? -1 : PyObject_IsSubclass(other, target);
    Py_XDECREF(target);
    return result < 0 ? NULL : PyBool_FromLong(result);
}

static PyObject *
proxy_mro_entries(PyObject *op, PyObject *bases)
{
    PyObject *target = proxy_target(op);
    PyObject *entries = target == NULL ? NULL
        : PyType_Check(target)         ? PyTuple_Pack(1, target)
                                       : PyObject_CallMethodOneArg(
                                     target, ((Proxy *)op)->state->str___mro_entries__, bases);
    Py_XDECREF(target);
    return entries;
}

#if PY_VERSION_HEX >= 0x030c0000
static int
proxy_get_buffer(PyObject *op, Py_buffer *view, int flags)
{
    PyObject *target = proxy_target(op);
    if (target == NULL) {
        view->obj = NULL;
        return -1;
    }
    int result = -1;
    if (PyObject_CheckBuffer(target)) {
        result = PyObject_GetBuffer(target, view, flags); /* the view refers to the target */
    } else {
        PyErr_Format(PyExc_TypeError, "memoryview: a bytes-like object is required, not '%.200s'",
                     Py_TYPE(target)->tp_name);
    }
    Py_DECREF(target);
    return result;
}
#else
static PyObject *
proxy_buffer(PyObject *op, PyObject *Py_UNUSED(flags))
{
    PyObject *target = proxy_target(op);
    PyObject *view = target == NULL ? NULL : PyMemoryView_FromObject(target);
    Py_XDECREF(target);
    return view;
}
#endif

/* Calls */

static PyObject *
proxy_vectorcall(PyObject *op, PyObject *const *args, size_t flagged, PyObject *keywords)
{
    PyObject *target = proxy_target(op);
    if (target == NULL) {
        return NULL;
    }
    /* What PyObject_Vectorcall does, but for the check of the result, which our caller makes. */
    PyTypeObject *type = Py_TYPE(target);
    vectorcallfunc function = NULL;
    if (LIKELY(PyType_HasFeature(type, Py_TPFLAGS_HAVE_VECTORCALL))) {
        memcpy(&function, (char *)target + type->tp_vectorcall_offset, sizeof(function));
    }
    PyObject *result = LIKELY(function != NULL)
        ? function(target, args, flagged, keywords)
        : PyObject_Vectorcall(target, args, flagged, keywords);
    Py_DECREF(target);
    return result;
}

static PyObject *
proxy_call(PyObject *op, PyObject *args, PyObject *kwargs)
{
    PyObject *target = proxy_target(op);
    PyObject *result = target == NULL ? NULL : PyObject_Call(target, args, kwargs);
    Py_XDECREF(target);
    return result;
}

/* Call the target's method by name: there is no function that does it. */
static PyObject *
proxy_call_named(PyObject *op, PyObject *name, PyObject *const *args, Py_ssize_t count,
                 PyObject *keywords)
{
    PyObject *target = proxy_target(op);
    PyObject *method = target == NULL ? NULL : PyObject_GetAttr(target, name);
    PyObject *result = method == NULL
        ? NULL
        : PyObject_Vectorcall(method, args, (size_t)count, keywords);
    Py_XDECREF(target);
    Py_XDECREF(method);
    return result;
}

#define NAMED(name)                                                                          \
    static PyObject *proxy_##name(PyObject *op, PyObject *const *args, Py_ssize_t count,     \
                                  PyObject *keywords)                                        \
    {                                                                                        \
        return proxy_call_named(op, ((Proxy *)op)->state->str_##name, args, count, keywords); \
    }

NAMED(__replace__)
NAMED(__enter__)
NAMED(__exit__)
NAMED(__aenter__)
NAMED(__aexit__)

#define NAMED_SLOT(name)                                                            \
    static PyObject *proxy_##name(PyObject *op)                                     \
    {                                                                               \
        return proxy_call_named(op, ((Proxy *)op)->state->str_##name, NULL, 0, NULL); \
    }

NAMED_SLOT(__await__)
NAMED_SLOT(__aiter__)
NAMED_SLOT(__anext__)

/* The special methods that an object may have or not: those with a slot, ... */

typedef struct {
    const char *name;
    int slot;
    void *function;
} SlotMethod;

#define NUMBER(name, slot, function, in_place)                          \
    {"__" name "__", Py_nb_##slot, proxy_##function},                   \
        {"__r" name "__", Py_nb_##slot, proxy_##function},              \
        {"__i" name "__", Py_nb_inplace_##slot, proxy_##in_place}

static const SlotMethod slot_methods[] = {
    {"__call__", Py_tp_call, proxy_call},
    {"__len__", Py_mp_length, proxy_length},
    {"__len__", Py_sq_length, proxy_length},
    {"__getitem__", Py_mp_subscript, proxy_getitem},
    {"__getitem__", Py_sq_item, proxy_item},
    {"__setitem__", Py_mp_ass_subscript, proxy_setitem},
    {"__setitem__", Py_sq_ass_item, proxy_set_index},
    {"__delitem__", Py_mp_ass_subscript, proxy_setitem},
    {"__delitem__", Py_sq_ass_item, proxy_set_index},
    {"__contains__", Py_sq_contains, proxy_contains},
    {"__iter__", Py_tp_iter, proxy_iter},
    {"__next__", Py_tp_iternext, proxy_next},
    {"__neg__", Py_nb_negative, proxy_negative},
    {"__pos__", Py_nb_positive, proxy_positive},
    {"__abs__", Py_nb_absolute, proxy_absolute},
    {"__invert__", Py_nb_invert, proxy_invert},
    {"__int__", Py_nb_int, proxy_int},
    {"__float__", Py_nb_float, proxy_float},
    {"__index__", Py_nb_index, proxy_index},
    {"__divmod__", Py_nb_divmod, proxy_divmod},
    {"__rdivmod__", Py_nb_divmod, proxy_divmod},
    NUMBER("pow", power, power, ipower),
    NUMBER("add", add, add, iadd),
    NUMBER("sub", subtract, subtract, isubtract),
    NUMBER("mul", multiply, multiply, imultiply),
    NUMBER("matmul", matrix_multiply, matrix_multiply, imatrix_multiply),
    NUMBER("truediv", true_divide, true_divide, itrue_divide),
    NUMBER("floordiv", floor_divide, floor_divide, ifloor_divide),
    NUMBER("mod", remainder, remainder, iremainder),
    NUMBER("lshift", lshift, lshift, ilshift),
    NUMBER("rshift", rshift, rshift, irshift),
    NUMBER("and", and, and, iand),
    NUMBER("xor", xor, xor, ixor),
    NUMBER("or", or, or, ior),
    {"__await__", Py_am_await, proxy___await__},
    {"__aiter__", Py_am_aiter, proxy___aiter__},
    {"__anext__", Py_am_anext, proxy___anext__},
#if PY_VERSION_HEX >= 0x030c0000
    {"__buffer__", Py_bf_getbuffer, proxy_get_buffer},
#endif
};

/* ... and those without. */

#define FAST(function) (PyCFunction)(void (*)(void))function
static PyMethodDef named_methods[] = {
    {"__bytes__", proxy_bytes, METH_NOARGS, NULL},
    {"__fspath__", proxy_fspath, METH_NOARGS, NULL},
#if PY_VERSION_HEX < 0x030c0000
    {"__buffer__", proxy_buffer, METH_O, NULL},
#endif
    {"__instancecheck__", proxy_instancecheck, METH_O, NULL},
    {"__subclasscheck__", proxy_subclasscheck, METH_O, NULL},
    {"__mro_entries__", proxy_mro_entries, METH_O, NULL},
    {"__replace__", FAST(proxy___replace__), METH_FASTCALL | METH_KEYWORDS, NULL},
    {"__length_hint__", proxy_length_hint, METH_NOARGS, NULL},
    {"__reversed__", proxy_reversed, METH_NOARGS, NULL},
    {"__complex__", proxy_complex, METH_NOARGS, NULL},
    {"__round__", FAST(proxy_round), METH_FASTCALL, NULL},
    {"__trunc__", proxy_trunc, METH_NOARGS, NULL},
    {"__floor__", proxy_floor, METH_NOARGS, NULL},
    {"__ceil__", proxy_ceil, METH_NOARGS, NULL},
    {"__enter__", FAST(proxy___enter__), METH_FASTCALL | METH_KEYWORDS, NULL},
    {"__exit__", FAST(proxy___exit__), METH_FASTCALL | METH_KEYWORDS, NULL},
    {"__aenter__", FAST(proxy___aenter__), METH_FASTCALL | METH_KEYWORDS, NULL},
    {"__aexit__", FAST(proxy___aexit__), METH_FASTCALL | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

/* The life of a proxy */

static PyObject *
proxy_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    State *state = state_of_type(type);
    Proxy *self = state == NULL ? NULL : (Proxy *)holder_new(type);
    if (self != NULL) {
        self->vectorcall = proxy_vectorcall;
        self->state = state;
        state_hold(state);
    }
    return (PyObject *)self;
}

static int
proxy_init(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static const Parameter parameters[] = {
        {"local", EITHER_WAY, 1}, {"name", EITHER_WAY, 0}, {"unbound_message", KEYWORD_ONLY, 0}};
    Proxy *self = (Proxy *)op;
    PyObject *given[3];
    PyObject *const *items = ((PyTupleObject *)args)->ob_item;
    if (!parse(parameters, 3, items, PyTuple_GET_SIZE(args), kwargs, given)) {
        refuse_arguments("BaseProxy.__init__", op, items, PyTuple_GET_SIZE(args), kwargs);
        return -1;
    }
    if (given[1] != NULL && given[1] != Py_None && !PyUnicode_Check(given[1])) {
        PyErr_Format(PyExc_TypeError, "A proxy's name has to be a str or None, not %R.", given[1]);
        return -1;
    }
    Resolver *resolver = resolver_new(self->state, given[0], given[1], given[2]);
    if (resolver == NULL) {
        return -1;
    }
    Py_XSETREF(self->resolver, resolver);
    return 0;
}

static PyObject *
proxy_setattr_method(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_Format(PyExc_TypeError, "expected 2 arguments, got %zd", count);
        return NULL;
    }
    return proxy_setattro(op, args[0], args[1]) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
proxy_delattr_method(PyObject *op, PyObject *name)
{
    return proxy_setattro(op, name, NULL) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef setting_methods[] = {
    {"__setattr__", FAST(proxy_setattr_method), METH_FASTCALL, NULL},
    {"__delattr__", proxy_delattr_method, METH_O, NULL},
};

/* CPython refuses object.__setattr__(p, ...) where a class of C has a way of its own to set
   attributes. A subclass may want it, for what is the proxy's own: so from the first subclass
   on the way is by methods, which take some nanoseconds longer. */
static int
set_by_methods(State *state)
{
    for (size_t i = 0; i < Py_ARRAY_LENGTH(setting_methods); i++) {
        PyMethodDef *method = &setting_methods[i];
        PyObject *made = PyDescr_NewMethod(state->BaseProxy, method);
        int failed = made == NULL ||
            PyObject_SetAttrString((PyObject *)state->BaseProxy, method->ml_name, made) < 0;
        Py_XDECREF(made);
        if (failed) {
            return -1;
        }
    }
    return 0;
}

static PyObject *
proxy_init_subclass(PyObject *cls, PyObject *args, PyObject *kwargs)
{
    State *state = state_of_type((PyTypeObject *)cls);
    if (state == NULL) {
        return NULL;
    }
    PyObject *above = PyObject_CallFunctionObjArgs((PyObject *)&PySuper_Type, state->BaseProxy, cls,
                                                   NULL);
    PyObject *method = above == NULL ? NULL : PyObject_GetAttr(above, state->str___init_subclass__);
    PyObject *done = method == NULL ? NULL : PyObject_Call(method, args, kwargs);
    Py_XDECREF(above);
    Py_XDECREF(method);
    if (done != NULL && state->BaseProxy->tp_setattro == proxy_setattro &&
        set_by_methods(state) < 0) {
        Py_CLEAR(done);
    }
    /* A method written in Python does not fill this slot, so one of ours must not. */
    ((PyTypeObject *)cls)->tp_as_sequence->sq_inplace_concat = NULL;
    return done;
}

static PyObject *
proxy_get_resolver(PyObject *op, void *Py_UNUSED(closure))
{
    Resolver *resolver = ((Proxy *)op)->resolver;
    return resolver == NULL ? proxy_is_unmade(op) : Py_NewRef(resolver);
}

static PyObject *
proxy_get_origin(PyObject *op, void *Py_UNUSED(closure))
{
    Resolver *resolver = ((Proxy *)op)->resolver;
    return resolver == NULL
        ? proxy_is_unmade(op)
        : PyTuple_Pack(2, resolver->source, resolver->name == NULL ? Py_None : resolver->name);
}

static PyObject *
proxy_get_weakref(PyObject *op, void *Py_UNUSED(closure))
{
    PyObject *first = ((Proxy *)op)->weakrefs;
    return Py_NewRef(first == NULL ? Py_None : first);
}

static int
proxy_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    if (((Proxy *)op)->state != NULL) {
        Py_VISIT(((Proxy *)op)->state->module);
    }
    Py_VISIT(((Proxy *)op)->resolver);
    return 0;
}

static int
proxy_clear(PyObject *op)
{
    Py_CLEAR(((Proxy *)op)->resolver);
    return 0;
}

static void
proxy_dealloc(PyObject *op)
{
    Proxy *self = (Proxy *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    Py_TRASHCAN_BEGIN(op, proxy_dealloc)
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    PyObject *module = self->state == NULL ? NULL : self->state->module;
    Py_CLEAR(self->resolver);
    type->tp_free(op);
    Py_DECREF(type);
    Py_XDECREF(module);
    Py_TRASHCAN_END
}

static PyMethodDef base_proxy_methods[] = {
    {"__init_subclass__", FAST(proxy_init_subclass), METH_CLASS | METH_VARARGS | METH_KEYWORDS,
     NULL},
    {"__dir__", proxy_dir, METH_NOARGS, NULL},
    {"__reduce_ex__", proxy_reduce, METH_O, NULL},
    {"__copy__", proxy_copy, METH_NOARGS, NULL},
    {"__deepcopy__", proxy_deepcopy, METH_O, NULL},
    {"__format__", proxy_format, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef base_proxy_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Proxy, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef base_proxy_getset[] = {
    {"_get_current_object", proxy_get_resolver, NULL, NULL, NULL},
    {"_ctxlocal_origin", proxy_get_origin, NULL, NULL, NULL},
    {"__weakref__", proxy_get_weakref, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot base_proxy_slots[] = {
    {Py_tp_doc, (void *)DOC_BaseProxy},
    {Py_tp_new, proxy_new},
    {Py_tp_init, proxy_init},
    {Py_tp_dealloc, proxy_dealloc},
    {Py_tp_traverse, proxy_traverse},
    {Py_tp_clear, proxy_clear},
    {Py_tp_getattro, proxy_getattro},
    {Py_tp_setattro, proxy_setattro},
    {Py_tp_repr, proxy_repr},
    {Py_tp_str, proxy_str},
    {Py_tp_hash, proxy_hash},
    {Py_tp_richcompare, proxy_richcompare},
    {Py_nb_bool, proxy_bool},
    {Py_tp_methods, base_proxy_methods},
    {Py_tp_members, base_proxy_members},
    {Py_tp_getset, base_proxy_getset},
    {0, NULL},
};

static PyType_Spec base_proxy_spec = {
    .name = "ctxlocal.local.BaseProxy",
    .basicsize = sizeof(Proxy),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = base_proxy_slots,
};

/* Making proxy classes */

static PyMemberDef call_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Proxy, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef generic_methods[] = {
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

/* Make a class derived from BaseProxy, with the special methods in `wanted` (a set), or with all
   where it is NULL. `name` has to live as long as the process. */
static PyTypeObject *
make_class(State *state, const char *name, const char *doc, PyObject *wanted)
{
    PyType_Slot slots[Py_ARRAY_LENGTH(slot_methods) + 8];
    int count = 0, is_callable = 0;
    for (size_t i = 0; i < Py_ARRAY_LENGTH(slot_methods); i++) {
        const SlotMethod *method = &slot_methods[i];
        if (wanted != NULL) {
            PyObject *key = PyUnicode_FromString(method->name);
            int is_wanted = key == NULL ? -1 : PySet_Contains(wanted, key);
            Py_XDECREF(key);
            if (is_wanted < 0) {
                return NULL;
            }
            if (!is_wanted) {
                continue;
            }
        }
        int is_there = 0;
        for (int j = 0; j < count; j++) {
            is_there |= slots[j].slot == method->slot;
        }
        if (!is_there) {
            slots[count++] = (PyType_Slot){method->slot, method->function};
            is_callable |= method->slot == Py_tp_call;
        }
    }
    slots[count++] = (PyType_Slot){Py_tp_dealloc, proxy_dealloc};
    slots[count++] = (PyType_Slot){Py_tp_traverse, proxy_traverse};
    slots[count++] = (PyType_Slot){Py_tp_clear, proxy_clear};
    if (doc != NULL) {
        slots[count++] = (PyType_Slot){Py_tp_doc, (void *)doc};
    }
    if (is_callable) {
        slots[count++] = (PyType_Slot){Py_tp_members, call_members};
    }
    if (wanted == NULL) {
        slots[count++] = (PyType_Slot){Py_tp_methods, generic_methods};
    }
    slots[count] = (PyType_Slot){0, NULL};
    PyType_Spec spec = {
        .name = name,
        .basicsize = sizeof(Proxy),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC |
            (is_callable ? Py_TPFLAGS_HAVE_VECTORCALL : 0),
        .slots = slots,
    };
    PyObject *bases = PyTuple_Pack(1, state->BaseProxy);
    PyObject *type = bases == NULL ? NULL : PyType_FromModuleAndSpec(state->module, &spec, bases);
    Py_XDECREF(bases);
    if (type == NULL) {
        return NULL;
    }
    PyObject *attributes = ((PyTypeObject *)type)->tp_dict;
    if (is_callable && PyDict_GetItemString(attributes, "__vectorcalloffset__") != NULL &&
        PyObject_DelAttrString(type, "__vectorcalloffset__") < 0) {
        Py_DECREF(type);
        return NULL;
    }
    for (PyMethodDef *method = named_methods; method->ml_name != NULL; method++) {
        PyObject *key = PyUnicode_FromString(method->ml_name);
        int is_wanted = key == NULL ? -1 : wanted == NULL ? 1 : PySet_Contains(wanted, key);
        PyTypeObject *of = wanted == NULL ? (PyTypeObject *)type : state->BaseProxy; /* its name */
        PyObject *descriptor = is_wanted > 0 ? PyDescr_NewMethod(of, method) : NULL;
        int failed = is_wanted < 0 ||
            (is_wanted && (descriptor == NULL || PyObject_SetAttr(type, key, descriptor) < 0));
        Py_XDECREF(key);
        Py_XDECREF(descriptor);
        if (failed) {
            Py_DECREF(type);
            return NULL;
        }
    }
    return (PyTypeObject *)type;
}

/* proxy_class(wanted, namespace): a class with exactly the special methods in `wanted`. */
static PyObject *
native_proxy_class(PyObject *module, PyObject *args)
{
    PyObject *given, *namespace;
    if (!PyArg_ParseTuple(args, "OO!:proxy_class", &given, &PyDict_Type, &namespace)) {
        return NULL;
    }
    State *state = PyModule_GetState(module);
    PyObject *wanted = PySet_New(given);
    PyObject *type = wanted == NULL
        ? NULL
        : (PyObject *)make_class(state, "ctxlocal.Proxy", NULL, wanted);
    PyObject *attributes = type == NULL ? NULL : PyObject_GetAttrString(type, "__dict__");
    int failed = attributes == NULL;
    /* A slot serves both operands; take away what the other operand alone is for. */
    for (size_t i = 0; !failed && i < Py_ARRAY_LENGTH(slot_methods); i++) {
        PyObject *key = PyUnicode_FromString(slot_methods[i].name);
        int is_wanted = key == NULL ? -1 : PySet_Contains(wanted, key);
        int is_there = is_wanted != 0 ? 0 : PySequence_Contains(attributes, key);
        failed = is_wanted < 0 || is_there < 0 || (is_there && PyObject_DelAttr(type, key) < 0);
        Py_XDECREF(key);
    }
    PyObject *name, *value;
    PyObject *items = failed ? NULL : PyDict_Items(namespace);
    failed = items == NULL;
    for (Py_ssize_t i = 0; !failed && i < PyList_GET_SIZE(items); i++) {
        name = PyTuple_GET_ITEM(PyList_GET_ITEM(items, i), 0);
        value = PyTuple_GET_ITEM(PyList_GET_ITEM(items, i), 1);
        failed = PyObject_SetAttr(type, name, value) < 0;
    }
    Py_XDECREF(items);
    Py_XDECREF(attributes);
    Py_XDECREF(wanted);
    if (failed) {
        Py_CLEAR(type);
    }
    return type;
}

/* Functions on proxies */

static PyObject *
native_unwrap(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    static const Parameter parameters[] = {{"obj", EITHER_WAY, 1}};
    PyObject *given[1];
    if (!parse(parameters, 1, args, count, keywords, given)) {
        refuse_arguments("unwrap", NULL, args, count, keywords);
        return NULL;
    }
    return unwrapped(given[0]);
}

static PyObject *
native_is_bound(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count,
                PyObject *keywords)
{
    static const Parameter parameters[] = {{"proxy", EITHER_WAY, 1}};
    PyObject *given[1], *target;
    if (!parse(parameters, 1, args, count, keywords, given)) {
        refuse_arguments("is_bound", NULL, args, count, keywords);
        return NULL;
    }
    if (!is_proxy(given[0])) {
        PyErr_Format(PyExc_TypeError, "is_bound() takes a proxy, not %R.", given[0]);
        return NULL;
    }
    int is_there = proxy_try(given[0], &target);
    if (is_there > 0) {
        Py_DECREF(target);
    }
    return is_there < 0 ? NULL : PyBool_FromLong(is_there);
}

#endif
