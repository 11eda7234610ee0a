/* errors.c - a status of the core becomes an exception. */
#include "binding.h"

#include <string.h>

/* "scalar, avx2", those of the names whose `use` says 1; a new reference. */
static PyObject *join_names(const char *(*name)(size_t), int (*use)(size_t))
{
    PyObject *joined = PyUnicode_FromString("");
    for (size_t i = 0; joined && name(i); i++) {
        if (use && !use(i)) continue;
        PyObject *longer = PyUnicode_FromFormat("%U%s%s", joined, PyUnicode_GET_LENGTH(joined) ? ", " : "", name(i));
        Py_SETREF(joined, longer);
    }
    return joined;
}

/* The best set, which NULL stands for, is always there: `isa` is a name. */
static void raise_isa(const char *isa)
{
    PyObject *names = join_names(qrnn_isa_name, qrnn_isa_supported);
    if (!names) return;
    const char *why = "there is no such instruction set";
    for (size_t i = 0; qrnn_isa_name(i); i++)
        if (strcmp(isa, qrnn_isa_name(i)) == 0) why = "this CPU lacks it";
    PyErr_Format(PyExc_ValueError, "isa: expected one of %U, got '%s': %s", names, isa, why);
    Py_DECREF(names);
}

static void raise_engine(const char *engine)
{
    PyObject *names = join_names(qrnn_engine_name, NULL);
    if (!names) return;
    PyErr_Format(PyExc_ValueError, "engine: expected one of %U, got '%s'", names, engine);
    Py_DECREF(names);
}

static void raise_float(const char *name, const char *expected, float value)
{
    PyObject *got = PyFloat_FromDouble((double)value);
    if (!got) return;
    PyErr_Format(PyExc_ValueError, "%s: expected %s, got %R", name, expected, got);
    Py_DECREF(got);
}

static void raise_range(const char *name, const char *engine, const size_t *step)
{
    char where[40] = "";
    if (step) PyOS_snprintf(where, sizeof where, " at time step %zu", *step);
    PyErr_Format(PyExc_ValueError,
                 "%s: engine '%s' has one scale for the whole batch and needs finite values, "
                 "got NaN or infinity%s",
                 name, engine, where);
}

PyObject *error_from_status(qrnn_status status, const struct error_context *context)
{
    switch (status) {
    case QRNN_OK: PyErr_SetString(PyExc_SystemError, "no error"); break;
    case QRNN_ERR_MEMORY: PyErr_NoMemory(); break;
    case QRNN_ERR_SIZE: PyErr_Format(PyExc_ValueError, "%s: this shape is out of range", context->weight); break;
    case QRNN_ERR_DEPTH:
        PyErr_Format(PyExc_ValueError, "%s: expected at most %d columns, as many as an int32 sum holds, got %zu",
                     context->weight, QRNN_MAX_DEPTH, context->depth);
        break;
    case QRNN_ERR_ISA: raise_isa(context->isa); break;
    case QRNN_ERR_ENGINE: raise_engine(context->engine); break;
    case QRNN_ERR_UNSUPPORTED:
        PyErr_Format(PyExc_ValueError,
                     "engine: expected 'qrnn' for a projection or a GRU that resets before the "
                     "product, got '%s', which has neither",
                     context->engine);
        break;
    case QRNN_ERR_SCALE: raise_float(context->scale, "finite, positive scales", context->bad_scale); break;
    case QRNN_ERR_WEIGHT: raise_float(context->bias, "finite values", context->bad_bias); break;
    case QRNN_ERR_INPUT_RANGE: raise_range(context->input, context->engine, context->step); break;
    case QRNN_ERR_HIDDEN_RANGE: raise_range(context->hidden, context->engine, context->step); break;
    case QRNN_ERR_STOPPED: /* by an exception, which is set, or else by a fork */
        if (PyErr_Occurred()) break;
        PyErr_SetString(PyExc_RuntimeError,
                        "a signal's handler forked during a call that computes with several threads: "
                        "the child, which has one, cannot finish it");
        break;
    }
    return NULL;
}
