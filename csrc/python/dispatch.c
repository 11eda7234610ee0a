/* dispatch.c - a call of a module: binds the arguments and selects the function that computes it. */
#include "dispatch.h"
#include "arguments.h"
#include "calls.h"

static const struct signature *signature_of(const struct callee *callee)
{
    const struct module_state *const state = callee->self->state;
    if (callee->flags & MODULE_SEQUENCE) return &state->forward_sequence;
    return callee->kind->states ? &state->forward : &state->forward_linear;
}

static PyObject *call_bound(const struct callee *callee, PyObject *const *values)
{
    if (callee->flags & MODULE_SEQUENCE) return call_sequence(callee, values);
    return callee->kind->states ? call_cell(callee, values) : call_linear(callee, values);
}

PyObject *module_forward(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct callee callee;
    PyObject *result = NULL, *values[MAX_PARAMETERS];
    if (callee_borrow((struct module_object *)self, &callee) < 0) return NULL;
    if (arguments_bind(signature_of(&callee), callee.self, args, nargs, kwnames, values) == 0)
        result = call_bound(&callee, values);
    callee_return(&callee);
    return result;
}

/* Before Python 3.12, a class that gets a __call__ later keeps the vectorcall, so this checks for one.
 */
PyObject *module_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
#if PY_VERSION_HEX < 0x030C0000
    if (Py_TYPE(self)->tp_call != module_tp_call)
        return _PyObject_MakeTpCall(PyThreadState_Get(), self, args, PyVectorcall_NARGS(nargsf), kwnames);
#endif
    return module_forward(self, args, PyVectorcall_NARGS(nargsf), kwnames);
}

PyObject *module_tp_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    struct callee callee;
    PyObject *result = NULL, *values[MAX_PARAMETERS];
    if (callee_borrow((struct module_object *)self, &callee) < 0) return NULL;
    if (arguments_bind_call(signature_of(&callee), callee.self, args, kwargs, values) == 0)
        result = call_bound(&callee, values);
    callee_return(&callee);
    return result;
}

PyObject *module_forward_layers(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct callee callee;
    PyObject *result = NULL, *values[MAX_PARAMETERS];
    if (callee_borrow((struct module_object *)self, &callee) < 0) return NULL;
    if (!(callee.flags & MODULE_SEQUENCE))
        PyErr_SetString(PyExc_TypeError, "_forward_layers: expected a sequence");
    else if (arguments_bind(&callee.self->state->forward_sequence, callee.self, args, nargs, kwnames, values) == 0)
        result = call_sequence_layers(&callee, values);
    callee_return(&callee);
    return result;
}
