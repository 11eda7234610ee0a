/* call_linear.c - a call of a linear. */
#include "calls.h"
#include "arrays.h"
#include "results.h"
#include "shapes.h"

static int compute(const struct callee *callee, size_t batch, PyArrayObject *x, PyArrayObject *y)
{
    const float *const x_data = PyArray_DATA(x);
    float *const y_data = PyArray_DATA(y);
    if ((double)batch * (double)callee->hidden * (double)callee->columns < THREADS_THRESHOLD)
        return call_end(callee, qrnn_linear(callee->packed, batch, x_data, y_data));
    const size_t threads = module_threads(callee);
    qrnn_status status;
    callee_keep(callee);
    Py_BEGIN_ALLOW_THREADS
    status = qrnn_linear_threads(callee->packed, batch, x_data, y_data, threads);
    Py_END_ALLOW_THREADS
    const int result = call_end(callee, status);
    callee_release(callee);
    return result;
}

static PyObject *linear_plain(const struct callee *callee, PyArrayObject *x, PyObject *out)
{
    struct result_shape shape;
    struct result y;
    if (shapes_check_linear(callee, shape_of(x), &shape) < 0) return NULL;
    if (out && array_check_out(out, "out", NPY_FLOAT32, shape.ndim, shape.dims) < 0) return NULL;
    const int direct = out && !array_overlap((PyArrayObject *)out, x);
    if (result_open(&y, out, direct, shape.ndim, shape.dims) < 0) return NULL;
    if (compute(callee, shape.batch, x, y.array) == 0)
        result_finish(&y);
    else
        Py_CLEAR(y.array);
    return (PyObject *)y.array;
}

/* Conversion may run Python code, which may drop the caller's references, so new ones are held meanwhile. */
PyObject *call_linear(const struct callee *callee, PyObject *const *values)
{
    struct module_state *const state = callee->self->state;
    PyObject *const input = values[0], *const out = values[1];
    if (array_is_plain(input, NPY_FLOAT32)) return linear_plain(callee, (PyArrayObject *)input, out);
    PyObject *result = NULL;
    callee_keep(callee);
    Py_INCREF(input);
    Py_XINCREF(out);
    PyArrayObject *x = array_from(state, input, "input");
    if (x) result = linear_plain(callee, x, out);
    if (result && !out) result = array_like(state, result, input);
    Py_XDECREF(x);
    Py_DECREF(input);
    Py_XDECREF(out);
    callee_release(callee);
    return result;
}
