/* The native twin of a session's values: class Values of ctxlocal/sessions/values/pure.py in C.

   The pure twin is the specification; tests/sessions/values/test_parity.py compares the two. One
   translation unit:

       state.h   the module's state: names, and what is taken from the codec and the pure twin
       scalar.h  the commonest values as bytes, and back
       values.h  the object: its slots, how it is made, and how it ends
       items.h   reading and setting a key */

#include "items.h"

#define METHOD(function) (PyCFunction)(void (*)(void))(function)

static PyMethodDef values_methods[] = {
    {"_sets", METHOD(values_sets), METH_NOARGS,
     "_sets($self, /)\n--\n\n"
     "Return what to store of what was set, or changed within. O(values handed out)."},
    /* As a slot it would be __delitem__ too, which is not of this class. */
    {"__setitem__", METHOD(values_setitem), METH_FASTCALL,
     "__setitem__($self, key, value, /)\n--\n\nSet self[key] to value."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef values_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Values, weakrefs), READONLY, NULL},
#define X(name) {"_" #name, T_OBJECT_EX, offsetof(Values, name), 0, NULL},
    SLOTS(X)
#undef X
    {NULL, 0, 0, 0, NULL},
};

#define DOC                                                                             \
    "Values(sessions=None, cookies='')\n--\n\n"                                          \
    "Values by key, decoded when first asked for, and what was done to them since.\n\n" \
    "The rest of what a session's mapping needs is in :class:`~ctxlocal.sessions.fields.Fields`."

static PyType_Slot values_slots[] = {
    {Py_tp_doc, (void *)DOC},
    {Py_tp_new, values_new},
    {Py_tp_init, values_init},
    {Py_tp_dealloc, values_dealloc},
    {Py_tp_traverse, values_traverse},
    {Py_tp_clear, values_clear},
    {Py_tp_methods, values_methods},
    {Py_tp_members, values_members},
    {Py_mp_subscript, values_getitem},
    {0, NULL},
};

static PyType_Spec values_spec = {
    .name = "ctxlocal.sessions.values.pure.Values",
    .basicsize = sizeof(Values),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = values_slots,
};

static int
native_exec(PyObject *module)
{
    if (state_fill(PyModule_GetState(module), module) < 0) {
        return -1;
    }
    PyObject *type = PyType_FromModuleAndSpec(module, &values_spec, NULL);
    int result = type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    Py_XDECREF(type);
    return result;
}

static int
native_traverse(PyObject *module, visitproc visit, void *arg)
{
    return state_traverse(PyModule_GetState(module), visit, arg);
}

static void
native_free(void *module)
{
    State *state = PyModule_GetState(module);
    if (state != NULL) {
        state_empty(state);
    }
}

static PyModuleDef_Slot native_slots[] = {
    {Py_mod_exec, native_exec},
    {0, NULL},
};

static PyModuleDef native_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "ctxlocal.sessions.values._native",
    .m_doc = "The native twin; see ctxlocal.sessions.values.",
    .m_size = sizeof(State),
    .m_slots = native_slots,
    .m_traverse = native_traverse,
    .m_free = native_free,
};

PyMODINIT_FUNC
PyInit__native(void)
{
    return PyModuleDef_Init(&native_module);
}
