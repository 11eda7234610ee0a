/* arguments.c - binds arguments to parameters as Python does, with its error texts. */
#include "arguments.h"

/* "RNNCell.forward" or "apply", a new reference. */
static PyObject *qualified(const struct signature *signature, struct module_object *self)
{
    if (!self) return PyUnicode_FromString(signature->function);
    return PyUnicode_FromFormat("%s.%s", module_class_name(self), signature->function);
}

/* Every function here takes at least two arguments, counting a method's object, so the text is in the plural. */
static void raise_too_many(const struct signature *signature, struct module_object *self, Py_ssize_t given)
{
    const Py_ssize_t implied = self ? 1 : 0;
    const Py_ssize_t most = signature->positional + implied, least = signature->required + implied;
    PyObject *function = qualified(signature, self);
    if (!function) return;
    if (least < most)
        PyErr_Format(PyExc_TypeError, "%U() takes from %zd to %zd positional arguments but %zd were given", function,
                     least, most, given + implied);
    else
        PyErr_Format(PyExc_TypeError, "%U() takes %zd positional arguments but %zd were given", function, most,
                     given + implied);
    Py_DECREF(function);
}

/* Every function here requires one argument or two. */
static void raise_missing(const struct signature *signature, struct module_object *self, PyObject *const *values)
{
    PyObject *missing[2] = {NULL, NULL};
    int count = 0;
    for (Py_ssize_t i = 0; i < signature->required; i++)
        if (!values[i]) missing[count++] = signature->names[i];
    PyObject *function = qualified(signature, self);
    if (!function) return;
    if (count == 1)
        PyErr_Format(PyExc_TypeError, "%U() missing 1 required positional argument: '%U'", function, missing[0]);
    else
        PyErr_Format(PyExc_TypeError, "%U() missing 2 required positional arguments: '%U' and '%U'", function,
                     missing[0], missing[1]);
    Py_DECREF(function);
}

static void raise_keyword(const struct signature *signature, struct module_object *self, PyObject *key,
                          const char *format)
{
    PyObject *function = qualified(signature, self);
    if (!function) return;
    PyErr_Format(PyExc_TypeError, format, function, key);
    Py_DECREF(function);
}

/* The index of the parameter that `key` names, or -1. Keywords in source code are interned, so comparing pointers finds
 * them. */
static Py_ssize_t find_name(const struct signature *signature, PyObject *key)
{
    for (Py_ssize_t i = 0; i < signature->count; i++)
        if (signature->names[i] == key) return i;
    if (!PyUnicode_Check(key)) return -1;
    for (Py_ssize_t i = 0; i < signature->count; i++)
        if (PyUnicode_Compare(signature->names[i], key) == 0) return i;
    return -1;
}

static int bind_keyword(const struct signature *signature, struct module_object *self, PyObject *key, PyObject *value,
                        PyObject **values)
{
    const Py_ssize_t index = find_name(signature, key);
    if (index < 0) {
        raise_keyword(signature, self, key, "%U() got an unexpected keyword argument '%S'");
        return -1;
    }
    if (values[index]) {
        raise_keyword(signature, self, key, "%U() got multiple values for argument '%S'");
        return -1;
    }
    values[index] = value;
    return 0;
}

static void bind_positional(const struct signature *signature, PyObject *const *args, Py_ssize_t nargs,
                            PyObject **values)
{
    const Py_ssize_t taken = nargs < signature->positional ? nargs : signature->positional;
    for (Py_ssize_t i = 0; i < signature->count; i++) values[i] = i < taken ? args[i] : NULL;
}

/* The last checks, in Python's order. Then None in an optional parameter becomes NULL, as if it were not given. */
static int bind_finish(const struct signature *signature, struct module_object *self, Py_ssize_t nargs,
                       PyObject **values)
{
    if (nargs > signature->positional) {
        raise_too_many(signature, self, nargs);
        return -1;
    }
    for (Py_ssize_t i = 0; i < signature->required; i++)
        if (!values[i]) {
            raise_missing(signature, self, values);
            return -1;
        }
    for (Py_ssize_t i = signature->required; i < signature->count; i++)
        if (values[i] == Py_None) values[i] = NULL;
    return 0;
}

/* Binds positional arguments of an allowed number: nothing can be wrong with them. */
static int bind_plainly(const struct signature *signature, PyObject *const *args, Py_ssize_t nargs, PyObject **values)
{
    for (Py_ssize_t i = 0; i < signature->count; i++) {
        PyObject *const value = i < nargs ? args[i] : NULL;
        values[i] = value == Py_None && i >= signature->required ? NULL : value;
    }
    return 0;
}

static int bind_keywords(const struct signature *signature, struct module_object *self, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames, PyObject **values)
{
    bind_positional(signature, args, nargs, values);
    const Py_ssize_t keywords = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    for (Py_ssize_t i = 0; i < keywords; i++)
        if (bind_keyword(signature, self, PyTuple_GET_ITEM(kwnames, i), args[nargs + i], values) < 0) return -1;
    return bind_finish(signature, self, nargs, values);
}

int arguments_bind(const struct signature *signature, struct module_object *self, PyObject *const *args,
                   Py_ssize_t nargs, PyObject *kwnames, PyObject **values)
{
    if (!kwnames && nargs >= signature->required && nargs <= signature->positional)
        return bind_plainly(signature, args, nargs, values);
    return bind_keywords(signature, self, args, nargs, kwnames, values);
}

int arguments_bind_call(const struct signature *signature, struct module_object *self, PyObject *args, PyObject *kwargs,
                        PyObject **values)
{
    PyObject *key, *value;
    Py_ssize_t position = 0;
    const Py_ssize_t nargs = PyTuple_GET_SIZE(args);
    bind_positional(signature, &PyTuple_GET_ITEM(args, 0), nargs, values);
    while (kwargs && PyDict_Next(kwargs, &position, &key, &value))
        if (bind_keyword(signature, self, key, value, values) < 0) return -1;
    return bind_finish(signature, self, nargs, values);
}

const char *arguments_text(PyObject *value, const char *name)
{
    if (PyUnicode_Check(value)) return PyUnicode_AsUTF8(value);
    PyErr_Format(PyExc_TypeError, "%s: expected a str, got %s", name, Py_TYPE(value)->tp_name);
    return NULL;
}
