/* What codec.py's encode and decode do of the commonest values.

   NULL without an error is the answer for all else: what is to be done then the codec knows. */

#ifndef CTXLOCAL_VALUES_SCALAR_H
#define CTXLOCAL_VALUES_SCALAR_H

#include "state.h"

/* First bytes of msgpack. FIXSTR has the length added, after STR8 comes a byte with it. */
enum { NIL = 0xc0, FALSE_ = 0xc2, TRUE_ = 0xc3, FIXSTR = 0xa0, STR8 = 0xd9 };
enum { MOST_FIXSTR = 31, MOST_STR8 = 255, MOST_DIGITS = 18 };

static PyObject *
decode_digits(const char *text, Py_ssize_t size)
{
    long long number = 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        if (size > MOST_DIGITS || text[i] < '0' || text[i] > '9') {
            return NULL;
        }
        number = number * 10 + (text[i] - '0');
    }
    return PyLong_FromLongLong(number);
}

static PyObject *
decode_text(const char *text, Py_ssize_t size)
{
    PyObject *value = PyUnicode_DecodeUTF8(text, size, NULL);
    if (value == NULL) {
        PyErr_Clear(); /* the codec has an error of its own */
    }
    return value;
}

static PyObject *
decode_scalar(PyObject *raw)
{
    const char *bytes = PyBytes_AS_STRING(raw);
    Py_ssize_t size = PyBytes_GET_SIZE(raw);
    int first = (unsigned char)bytes[0]; /* of none: the NUL that ends it */
    if (first >= '0' && first <= '9') {
        return decode_digits(bytes, size);
    }
    if (first >= FIXSTR && first <= FIXSTR + MOST_FIXSTR && size == 1 + first - FIXSTR) {
        return decode_text(bytes + 1, size - 1);
    }
    if (first == STR8 && size > 1 && size == 2 + (unsigned char)bytes[1]) {
        return decode_text(bytes + 2, size - 2);
    }
    PyObject *constant = size != 1 ? NULL
        : first == NIL             ? Py_None
        : first == FALSE_          ? Py_False
        : first == TRUE_           ? Py_True
                                   : NULL;
    Py_XINCREF(constant);
    return constant;
}

static PyObject *
encode_int(PyObject *value)
{
    char digits[20], *end = digits + sizeof(digits), *start = end;
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (number < 0) { /* which an overflow is too */
        return NULL;
    }
    do {
        *--start = (char)('0' + number % 10);
    } while (number /= 10);
    return PyBytes_FromStringAndSize(start, end - start);
}

static PyObject *
encode_ascii(PyObject *value)
{
    Py_ssize_t size = PyUnicode_GET_LENGTH(value), head = size > MOST_FIXSTR ? 2 : 1;
    PyObject *raw = size > MOST_STR8 ? NULL : PyBytes_FromStringAndSize(NULL, head + size);
    if (raw != NULL) {
        char *bytes = PyBytes_AS_STRING(raw);
        if (head == 1) {
            bytes[0] = (char)(FIXSTR + size);
        } else {
            bytes[0] = (char)STR8;
            bytes[1] = (char)size;
        }
        memcpy(bytes + head, PyUnicode_1BYTE_DATA(value), (size_t)size);
    }
    return raw;
}

static PyObject *
encode_scalar(PyObject *value)
{
    if (PyLong_CheckExact(value)) {
        return encode_int(value);
    }
    if (PyUnicode_CheckExact(value) && PyUnicode_IS_COMPACT_ASCII(value)) {
        return encode_ascii(value);
    }
    int first = value == Py_None ? NIL : value == Py_False ? FALSE_ : value == Py_True ? TRUE_ : 0;
    char byte = (char)first;
    return first == 0 ? NULL : PyBytes_FromStringAndSize(&byte, 1);
}

#endif
