/* errors.c - turns a status of the core into an exception. No other file does. */
#include "errors.h"

/* The names in a table's order, as in "scalar, avx2", without those that `wanted` refuses; a new reference. */
static PyObject *join_names(const char *(*name)(size_t), int (*wanted)(size_t))
{
    PyObject *joined = PyUnicode_FromString("");
    for (size_t i = 0; joined && name(i); i++) {
        if (wanted && !wanted(i)) continue;
        PyObject *longer = PyUnicode_FromFormat("%U%s%s", joined, PyUnicode_GET_LENGTH(joined) ? ", " : "", name(i));
        Py_SETREF(joined, longer);
    }
    return joined;
}

/* Whether a str is one of those names. */
static int is_name(PyObject *text, const char *(*name)(size_t), int (*wanted)(size_t))
{
    for (size_t i = 0; name(i); i++)
        if ((!wanted || wanted(i)) && PyUnicode_CompareWithASCIIString(text, name(i)) == 0) return 1;
    return 0;
}

static int engine_quantizes(size_t i)
{
    return qrnn_engine_get(i)->quantized;
}

static void raise_name(const char *argument, PyObject *got, PyObject *expected, const char *why)
{
    if (got && expected)
        PyErr_Format(PyExc_ValueError, "%s: expected one of %U, got %R%s", argument, expected, got, why);
    Py_XDECREF(got);
    Py_XDECREF(expected);
}

/* Takes over the reference to `isa`. */
static void raise_isa(const char *argument, PyObject *isa)
{
    const int known = isa && is_name(isa, qrnn_isa_name, NULL);
    raise_name(argument, isa, join_names(qrnn_isa_name, qrnn_isa_supported),
               known ? ": this CPU lacks it" : ": there is no such instruction set");
}

int error_check_isa(PyObject *isa, const char *argument)
{
    if (!PyUnicode_Check(isa))
        PyErr_Format(PyExc_TypeError, "%s: expected an instruction set's name (str), got %s", argument,
                     Py_TYPE(isa)->tp_name);
    else if (is_name(isa, qrnn_isa_name, qrnn_isa_supported))
        return 0;
    else
        raise_isa(argument, Py_NewRef(isa));
    return -1;
}

int error_check_engine_name(PyObject *engine, const char *argument)
{
    if (!PyUnicode_Check(engine))
        PyErr_Format(PyExc_TypeError, "%s: expected an engine's name (str), got %s", argument,
                     Py_TYPE(engine)->tp_name);
    else if (is_name(engine, qrnn_engine_name, engine_quantizes))
        return 0;
    else
        raise_name(argument, Py_NewRef(engine), join_names(qrnn_engine_name, engine_quantizes), "");
    return -1;
}

/* Names the default engine, which supports everything. */
static void raise_unsupported(const struct error_context *context)
{
    char expected[64];
    if (context->projects || !context->option)
        PyOS_snprintf(expected, sizeof expected, "%s",
                      context->projects ? "proj_size: expected 0" : "reset_after: expected True");
    else
        PyOS_snprintf(expected, sizeof expected, "%s: expected its default", context->option);
    PyErr_Format(PyExc_ValueError, "%s with engine '%s', which has only PyTorch's arithmetic: use engine '%s'",
                 expected, context->engine, qrnn_engine_name(0));
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
    case QRNN_OK:
    case QRNN_ERR_NULL:
    case QRNN_ERR_KIND:
    case QRNN_ERR_VALUE:
    case QRNN_STATUSES: PyErr_SetString(PyExc_SystemError, qrnn_status_text(status)); break;
    case QRNN_ERR_MEMORY: PyErr_NoMemory(); break;
    case QRNN_ERR_SIZE: PyErr_Format(PyExc_ValueError, "%s: this shape is out of range", context->weight); break;
    case QRNN_ERR_DEPTH:
        PyErr_Format(PyExc_ValueError, "%s: expected at most %d columns, as many as an int32 sum holds, got %zu",
                     context->weight, QRNN_MAX_DEPTH, context->depth);
        break;
    case QRNN_ERR_ISA: raise_isa("isa", PyUnicode_FromString(context->isa)); break;
    case QRNN_ERR_ENGINE:
        raise_name("engine", PyUnicode_FromString(context->engine), join_names(qrnn_engine_name, NULL), "");
        break;
    case QRNN_ERR_UNSUPPORTED: raise_unsupported(context); break;
    case QRNN_ERR_OPTIONS: PyErr_Format(PyExc_ValueError, "options: %s", qrnn_status_text(status)); break;
    case QRNN_ERR_FORMAT:
        PyErr_Format(PyExc_ValueError, "%s: no kernel multiplies weights and activations of these formats",
                     context->weight);
        break;
    case QRNN_ERR_SCALE: raise_float(context->scale, "finite, positive scales", context->bad_scale); break;
    case QRNN_ERR_WEIGHT: raise_float(context->bias, "finite values", context->bad_bias); break;
    case QRNN_ERR_INPUT_RANGE: raise_range(context->input, context->engine, context->step); break;
    case QRNN_ERR_HIDDEN_RANGE: raise_range(context->hidden, context->engine, context->step); break;
    case QRNN_ERR_STOPPED: /* stopped by an exception, which is set, or else by a fork */
        if (PyErr_Occurred()) break;
        PyErr_SetString(PyExc_RuntimeError,
                        "a signal's handler forked during a call that computes with several threads: "
                        "the child, which has one, cannot finish it");
        break;
    }
    return NULL;
}
