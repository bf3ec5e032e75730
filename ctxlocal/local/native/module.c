/* The native twin: Local, LocalStack and LocalProxy of ctxlocal.local.pure in C.

   The pure twin is the specification; tests/local/test_parity.py compares the two. One translation
   unit, so that the compiler sees all of the way from an attribute to its value:

       state.h      the module's state, helpers in Python, errors
       depth.h      how much of the machine stack is left
       layout.h     in-place mutation: when, why it is sound, and CPython's private layouts
       holder.h     finding the current owner's value, for Local and LocalStack
       names.h      a Local's table of names
       namespace.h  the attributes of one owner
       arguments.h  parsing
       local.h      Local
       pile.h       the objects of one owner
       stack.h      LocalStack
       resolver.h   how a proxy finds its object
       proxy.h      LocalProxy, and classes like a given one
       latch.h      Latch
       docs.h       the pure twin's docstrings (make_docs.py) */

#include "docs.h"
#include "latch.h"
#include "proxy.h"

static void *const deallocators[] = {
    (void *)local_dealloc, (void *)stack_dealloc, (void *)proxy_dealloc};

static State *
state_of_type(PyTypeObject *type)
{
    for (; type != NULL; type = type->tp_base) {
        for (size_t i = 0; i < Py_ARRAY_LENGTH(deallocators); i++) {
            if ((void *)type->tp_dealloc == deallocators[i]) {
                return PyType_GetModuleState(type);
            }
        }
    }
    PyErr_SetString(PyExc_TypeError, "a class of ctxlocal is expected");
    return NULL;
}

/* For ctxlocal.flow: carried values have been exchanged. */
static PyObject *
native_exchanged(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    BEGIN_EPOCH();
    Py_RETURN_NONE;
}

/* For tests: how many names of a Local made from now on get an index; returns what it was. */
static PyObject *
native_limit_names(PyObject *module, PyObject *number)
{
    State *state = PyModule_GetState(module);
    Py_ssize_t former = state->most_names, limit = PyLong_AsSsize_t(number);
    if (limit == -1 && PyErr_Occurred()) {
        return NULL;
    }
    state->most_names = limit;
    return PyLong_FromSsize_t(former);
}

static PyMethodDef native_functions[] = {
    {"_items", FAST(view_items), METH_FASTCALL, NULL},
    {"_value", FAST(view_value), METH_FASTCALL, NULL},
    {"_store", FAST(view_store), METH_FASTCALL, NULL},
    {"_remove", FAST(view_remove), METH_FASTCALL, NULL},
    {"_exchanged", native_exchanged, METH_NOARGS, NULL},
    {"_limit_names", native_limit_names, METH_O, NULL},
    {"_proxy_class", native_proxy_class, METH_VARARGS, NULL},
    {"unwrap", FAST(native_unwrap), METH_FASTCALL | METH_KEYWORDS, DOC_unwrap},
    {"is_bound", FAST(native_is_bound), METH_FASTCALL | METH_KEYWORDS, DOC_is_bound},
    {NULL, NULL, 0, NULL},
};

/* Let CPython's messages name a type as they name one of Python: without the module. */
static int
name_type(PyObject *type, const char *name)
{
    PyObject *text = PyUnicode_FromString(name);
    int result = text == NULL ? -1 : PyObject_SetAttrString(type, "__name__", text);
    Py_XDECREF(text);
    return result;
}

/* What a class in Python names its slots by: here it has none but the one for weak references. */
static int
name_slots(PyObject *type, PyObject *slots)
{
    int result = slots == NULL ? -1 : PyObject_SetAttrString(type, "__slots__", slots);
    Py_XDECREF(slots);
    return result;
}

static PyTypeObject *
add_type(PyObject *module, PyType_Spec *spec, const char *name)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type != NULL && name != NULL &&
        (name_type(type, name) < 0 ||
         name_slots(type, Py_BuildValue("(s)", "__weakref__")) < 0 ||
         PyObject_SetAttrString(module, name, type) < 0)) {
        Py_CLEAR(type);
    }
    return (PyTypeObject *)type;
}

/* A type of which nothing here keeps hold. */
static int
add_latch(PyObject *module)
{
    PyTypeObject *type = add_type(module, &latch_spec, NULL);
    if (type != NULL) {
        type->tp_vectorcall = latch_new; /* specs know it since Python 3.14 alone */
    }
    int result = type == NULL ? -1 : PyModule_AddType(module, type);
    Py_XDECREF(type);
    return result;
}

static int
is_set(const char *variable)
{
    const char *value = getenv(variable);
    return value != NULL && value[0] != '\0' && strcmp(value, "0") != 0;
}

static int
native_exec(PyObject *module)
{
    State *state = PyModule_GetState(module);
    state->module = module;
    state->most_names = MOST_NAMES;
#define X(name)                                                            \
    if ((state->str_##name = PyUnicode_InternFromString(#name)) == NULL) { \
        return -1;                                                         \
    }
    STRINGS(X)
#undef X
    if ((state->str_dot = PyUnicode_InternFromString(".")) == NULL ||
        (state->Namespace = add_type(module, &namespace_spec, NULL)) == NULL ||
        (state->Pile = add_type(module, &pile_spec, NULL)) == NULL ||
        (state->Resolver = add_type(module, &resolver_spec, NULL)) == NULL ||
        (state->Local = add_type(module, &local_spec, "Local")) == NULL ||
        (state->LocalStack = add_type(module, &stack_spec, "LocalStack")) == NULL ||
        (state->BaseProxy = add_type(module, &base_proxy_spec, "BaseProxy")) == NULL ||
        add_latch(module) < 0) {
        return -1;
    }
    PyObject *options = PyTuple_Pack(2, Py_None, Py_False);
    int failed = options == NULL ||
        PyObject_SetAttr((PyObject *)state->Local, state->str__ctxlocal_options, options) < 0;
    Py_XDECREF(options);
    if (failed) {
        return -1;
    }
    state->LocalProxy = make_class(state, "ctxlocal.LocalProxy", DOC_LocalProxy, NULL);
    if (state->LocalProxy == NULL ||
        name_type((PyObject *)state->LocalProxy, "LocalProxy") < 0 ||
        name_slots((PyObject *)state->LocalProxy, PyTuple_New(0)) < 0 ||
        PyObject_SetAttrString(module, "LocalProxy", (PyObject *)state->LocalProxy) < 0) {
        return -1;
    }
#ifdef CTXLOCAL_DEBUG
    const char *dropped = getenv("CTXLOCAL_DROP_CHECK");
    if (dropped != NULL) {
        dropped_checks = strcmp(dropped, "hamt") == 0 ? CHECK_HAMT
            : strcmp(dropped, "node") == 0            ? CHECK_NODE
            : strcmp(dropped, "leaf") == 0            ? CHECK_LEAF
                                                      : 0;
    }
    int dropped_for_later = dropped_checks;
    dropped_checks = 0; /* the test of the layouts needs them */
#endif
    layout_decide(state, !is_set("CTXLOCAL_NO_INPLACE"));
#ifdef CTXLOCAL_DEBUG
    dropped_checks = dropped_for_later;
#endif
    static const char *const functions[] = {"unwrap", "is_bound"};
    for (size_t i = 0; i < Py_ARRAY_LENGTH(functions); i++) { /* as public functions are named */
        PyObject *name = PyUnicode_FromString("ctxlocal");
        PyObject *function = PyObject_GetAttrString(module, functions[i]);
        failed = name == NULL || function == NULL ||
            PyObject_SetAttr(function, state->str___module__, name) < 0;
        Py_XDECREF(name);
        Py_XDECREF(function);
        if (failed) {
            return -1;
        }
    }
    return PyModule_AddIntConstant(module, "IN_PLACE", state->can_mutate);
}

static int
native_traverse(PyObject *module, visitproc visit, void *arg)
{
    State *state = PyModule_GetState(module);
    Py_VISIT(state->Namespace);
    Py_VISIT(state->Pile);
    Py_VISIT(state->Local);
    Py_VISIT(state->LocalStack);
    Py_VISIT(state->Resolver);
    Py_VISIT(state->BaseProxy);
    Py_VISIT(state->LocalProxy);
    for (int i = 0; i < HELPER_COUNT; i++) {
        Py_VISIT(state->helpers[i]);
    }
    return 0;
}

static void
native_free(void *module)
{
    State *state = PyModule_GetState((PyObject *)module);
    if (state == NULL) {
        return;
    }
    while (state->spare_namespaces != NULL) {
        Namespace *namespace = (Namespace *)state->spare_namespaces;
        state->spare_namespaces = (PyObject *)namespace->next;
        PyMem_Free(namespace->entries);
        PyObject_GC_Del(namespace);
    }
    Py_XDECREF(state->Namespace);
    Py_XDECREF(state->Pile);
    Py_XDECREF(state->Local);
    Py_XDECREF(state->LocalStack);
    Py_XDECREF(state->Resolver);
    Py_XDECREF(state->BaseProxy);
    Py_XDECREF(state->LocalProxy);
    for (int i = 0; i < HELPER_COUNT; i++) {
        Py_XDECREF(state->helpers[i]);
    }
#define X(name) Py_XDECREF(state->str_##name);
    STRINGS(X)
#undef X
    Py_XDECREF(state->str_dot);
}

/* What is static is never written, but for state.h's epochs and a debug build's dropped checks. */
static PyModuleDef_Slot native_module_slots[] = {
    {Py_mod_exec, native_exec},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};

static PyModuleDef native_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "ctxlocal.local._native",
    .m_doc = "The native twin; see ctxlocal.local.",
    .m_size = sizeof(State),
    .m_methods = native_functions,
    .m_slots = native_module_slots,
    .m_traverse = native_traverse,
    .m_free = native_free,
};

/* Only the file's name tells builds apart; renamed, it would misread another Python's objects. */
PyMODINIT_FUNC
PyInit__native(void)
{
    static const char built_for[] =
        Py_STRINGIFY(PY_MAJOR_VERSION) "." Py_STRINGIFY(PY_MINOR_VERSION) ".";
    const char *found = Py_GetVersion();
    if (strncmp(found, built_for, strlen(built_for)) != 0) {
        PyErr_Format(PyExc_ImportError, "it is of Python %sx, and this is %s", built_for, found);
        return NULL;
    }
    return PyModuleDef_Init(&native_module);
}
