/* Arguments of methods, with the texts of Python functions where they are wrong.

   `parse` only finds out whether arguments fit. Where they do not, a function of Python with
   the same signature is called with them (signature.py) and says what is wrong: so the text
   is the pure twin's, whatever the version of Python makes of it. */

#ifndef CTXLOCAL_ARGUMENTS_H
#define CTXLOCAL_ARGUMENTS_H

#include "state.h"

typedef struct {
    const char *name;
    enum { POSITIONAL_ONLY, EITHER_WAY, KEYWORD_ONLY } kind;
    int is_required;
} Parameter;

static int
parse_keyword(const Parameter *parameters, Py_ssize_t count, PyObject *key, PyObject *value,
              PyObject **out)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        if (parameters[i].kind != POSITIONAL_ONLY && PyUnicode_Check(key) &&
            PyUnicode_CompareWithASCIIString(key, parameters[i].name) == 0) {
            if (out[i] != NULL) {
                return 0;
            }
            out[i] = value;
            return 1;
        }
    }
    return 0;
}

/* Find each parameter's argument: borrowed, NULL where there is none. 1: they fit. 0: they do
   not, without an error. `keywords` is a tuple of names (whose values follow the positional
   arguments), a dict, or NULL. */
static int
parse(const Parameter *parameters, Py_ssize_t count, PyObject *const *args, Py_ssize_t positional,
      PyObject *keywords, PyObject **out)
{
    memset(out, 0, (size_t)count * sizeof(*out));
    for (Py_ssize_t i = 0; i < positional; i++) {
        if (i >= count || parameters[i].kind == KEYWORD_ONLY) {
            return 0;
        }
        out[i] = args[i];
    }
    if (keywords != NULL && PyTuple_Check(keywords)) {
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(keywords); i++) {
            if (!parse_keyword(parameters, count, PyTuple_GET_ITEM(keywords, i),
                               args[positional + i], out)) {
                return 0;
            }
        }
    } else if (keywords != NULL) {
        PyObject *key, *value;
        Py_ssize_t at = 0;
        while (PyDict_Next(keywords, &at, &key, &value)) {
            if (!parse_keyword(parameters, count, key, value, out)) {
                return 0;
            }
        }
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (parameters[i].is_required && out[i] == NULL) {
            return 0;
        }
    }
    return 1;
}

/* Let Python say what is wrong with arguments that do not fit `name` ("Local.__init__"). */
static void
refuse_arguments(const char *name, PyObject *self, PyObject *const *args, Py_ssize_t positional,
                 PyObject *keywords)
{
    PyObject *module = PyImport_ImportModule("ctxlocal.local.signature");
    PyObject *function = module == NULL
        ? NULL
        : PyObject_CallMethod(module, "find_signature", "s", name);
    PyObject *all = NULL, *named = NULL, *done = NULL;
    Py_XDECREF(module);
    if (function != NULL) {
        all = PyTuple_New(positional + (self != NULL));
        named = PyDict_New();
    }
    if (all != NULL && named != NULL) {
        if (self != NULL) {
            PyTuple_SET_ITEM(all, 0, Py_NewRef(self));
        }
        for (Py_ssize_t i = 0; i < positional; i++) {
            PyTuple_SET_ITEM(all, i + (self != NULL), Py_NewRef(args[i]));
        }
        int failed = 0;
        if (keywords != NULL && PyTuple_Check(keywords)) {
            for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(keywords) && !failed; i++) {
                failed = PyDict_SetItem(named, PyTuple_GET_ITEM(keywords, i), args[positional + i]);
            }
        } else if (keywords != NULL) {
            failed = PyDict_Update(named, keywords);
        }
        done = failed ? NULL : PyObject_Call(function, all, named);
    }
    if (done != NULL) {
        Py_DECREF(done);
        PyErr_Format(PyExc_TypeError, "%s() got arguments that do not fit", name);
    }
    Py_XDECREF(function);
    Py_XDECREF(all);
    Py_XDECREF(named);
}

/* What a Local or a LocalStack is made with: borrowed. */
typedef struct {
    PyObject *var;
    PyObject *ident;
    PyObject *name;
    PyObject *carry;
    PyObject *wire; /* NULL where none is given */
} Construction;

/* Find out what is given to `__init__`, called `name`; of a LocalStack, which has no wire, in
   `count` parameters, one less. -1 with an error. */
static int
parse_construction(const char *name, PyObject *self, PyObject *args, PyObject *keywords,
                   Py_ssize_t count, Construction *made_with)
{
    static const Parameter parameters[] = {{"context_var", POSITIONAL_ONLY, 0},
                                           {"ident", KEYWORD_ONLY, 0},
                                           {"name", KEYWORD_ONLY, 0},
                                           {"carry", KEYWORD_ONLY, 0},
                                           {"wire", KEYWORD_ONLY, 0}};
    PyObject *given[5] = {NULL};
    PyObject *const *items = ((PyTupleObject *)args)->ob_item;
    if (!parse(parameters, count, items, PyTuple_GET_SIZE(args), keywords, given)) {
        refuse_arguments(name, self, items, PyTuple_GET_SIZE(args), keywords);
        return -1;
    }
    made_with->var = given[0] != NULL ? given[0] : Py_None;
    made_with->ident = given[1] != NULL ? given[1] : Py_None;
    made_with->name = given[2] != NULL ? given[2] : Py_None;
    made_with->carry = given[3] != NULL ? given[3] : Py_False;
    made_with->wire = given[4];
    return 0;
}

#endif
