/* checks.c - raises what a call or a new module would raise, without computing or packing anything. */
#include "functions.h"
#include "errors.h"
#include "lengths.h"
#include "shapes.h"
#include "spec.h"
#include "states.h"

/* --- engines and instruction sets --- */

static PyObject *check_engine(PyObject *Py_UNUSED(module), PyObject *args)
{
    const char *name, *engine;
    Py_ssize_t proj_size;
    PyObject *options = Py_None;
    qrnn_kind kind;
    if (!PyArg_ParseTuple(args, "sns|O:check_engine", &name, &proj_size, &engine, &options)) return NULL;
    if (spec_find_kind(name, &kind) < 0) return NULL;
    const struct error_context context = {
        .engine = engine, .projects = proj_size > 0, .option = spec_first_option(options)};
    const qrnn_engine_info *const has = qrnn_engine_by_name(engine);
    if (!has) return error_from_status(QRNN_ERR_ENGINE, &context);
    if ((proj_size > 0 && !has->projects) || (qrnn_kind_get(kind)->resets_before && !has->resets_before)
        || (options != Py_None && !has->options))
        return error_from_status(QRNN_ERR_UNSUPPORTED, &context);
    Py_RETURN_NONE;
}

static PyObject *check_name(PyObject *args, const char *format, int (*check)(PyObject *, const char *),
                            const char *argument)
{
    PyObject *name;
    if (!PyArg_ParseTuple(args, format, &name, &argument) || check(name, argument) < 0) return NULL;
    return Py_NewRef(name);
}

static PyObject *check_engine_name(PyObject *Py_UNUSED(module), PyObject *args)
{
    return check_name(args, "O|s:check_engine_name", error_check_engine_name, "engine");
}

static PyObject *check_isa(PyObject *Py_UNUSED(module), PyObject *args)
{
    return check_name(args, "O|s:check_isa", error_check_isa, "isa");
}

/* --- calls --- */

/* Reads the sizes in a tuple; `dims` has room for MAX_DIMS. */
static int take_shape(PyObject *object, const char *name, npy_intp *dims, struct shape *shape)
{
    if (!PyTuple_Check(object) || PyTuple_GET_SIZE(object) > MAX_DIMS) {
        PyErr_Format(PyExc_TypeError, "%s: expected a tuple of at most %d sizes, got %R", name, MAX_DIMS, object);
        return -1;
    }
    *shape = (struct shape){(int)PyTuple_GET_SIZE(object), dims};
    for (int i = 0; i < shape->ndim; i++) {
        dims[i] = PyNumber_AsSsize_t(PyTuple_GET_ITEM(object, i), PyExc_OverflowError);
        if (dims[i] == -1 && PyErr_Occurred()) return -1;
    }
    return 0;
}

/* The arguments of the call to check. */
struct given {
    npy_intp dims[3][MAX_DIMS];
    struct shape x, h, c;
    struct lengths lengths;
    const char *engine;
};

static int take_shapes(const struct callee *callee, PyObject *input, PyObject *states, struct given *given)
{
    const Py_ssize_t expected = (Py_ssize_t)callee->kind->states;
    given->h.ndim = given->c.ndim = NOT_GIVEN;
    if (take_shape(input, "input_shape", given->dims[0], &given->x) < 0) return -1;
    if (states == Py_None) return 0;
    if (expected == 0 || !PyTuple_Check(states) || PyTuple_GET_SIZE(states) != expected) {
        PyErr_Format(PyExc_TypeError,
                     "state_shapes: expected None or a tuple of as many shapes as there are states, "
                     "%zd, got %R",
                     expected, states);
        return -1;
    }
    if (take_shape(PyTuple_GET_ITEM(states, 0), "state_shapes[0]", given->dims[1], &given->h) < 0) return -1;
    return expected < 2 ? 0 : take_shape(PyTuple_GET_ITEM(states, 1), "state_shapes[1]", given->dims[2], &given->c);
}

static PyObject *lengths_list(const struct lengths *lengths)
{
    PyObject *list = PyList_New(lengths->count);
    for (Py_ssize_t i = 0; list && i < lengths->count; i++) {
        PyObject *const item = PyLong_FromSize_t(lengths->values[i]);
        if (item)
            PyList_SET_ITEM(list, i, item);
        else
            Py_CLEAR(list);
    }
    return list;
}

/* Checks the arguments; returns a sequence's lengths, or None. */
static PyObject *check_given(const struct callee *callee, struct extent *extent, const struct given *given)
{
    struct result_shape shape;
    if (callee->flags & MODULE_SEQUENCE) {
        if (shapes_check_sequence(callee, given->x, given->h, given->c, extent) < 0) return NULL;
        if (!given->lengths.values) Py_RETURN_NONE;
        const qrnn_engine_info *const engine = qrnn_engine_by_name(given->engine);
        if (!engine) return error_from_status(QRNN_ERR_ENGINE, &(struct error_context){.engine = given->engine});
        return lengths_check(&given->lengths, extent, engine->per_row) < 0 ? NULL : lengths_list(&given->lengths);
    }
    if (callee->kind->states) {
        if (shapes_check_cell(callee, given->x, given->h, given->c, &shape) < 0) return NULL;
    } else if (shapes_check_linear(callee, given->x, &shape) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *check_call(PyObject *Py_UNUSED(module), PyObject *args)
{
    const char *kind;
    PyObject *sequence, *input, *states = Py_None, *lengths = Py_None, *result = NULL;
    Py_ssize_t input_size, hidden_size, proj_size;
    qrnn_spec spec = {0};
    struct callee callee = {0};
    struct given given = {.engine = qrnn_engine_name(0)};
    if (!PyArg_ParseTuple(args, "snnnOO|OOs:check_call", &kind, &input_size, &hidden_size, &proj_size, &sequence,
                          &input, &states, &lengths, &given.engine)
        || spec_take(kind, input_size, hidden_size, proj_size, sequence, &spec, &callee.flags) < 0)
        return NULL;
    callee.kind = qrnn_kind_get(spec.kind);
    callee.columns = input_size;
    callee.hidden = hidden_size;
    callee.state = proj_size ? proj_size : hidden_size;
    struct extent extent = {.layers = (npy_intp)spec.layers, .directions = (npy_intp)spec.directions};
    if (take_shapes(&callee, input, states, &given) == 0
        && (lengths == Py_None || lengths_take(lengths, &given.lengths) == 0))
        result = check_given(&callee, &extent, &given);
    PyMem_Free(given.lengths.values);
    return result;
}

static PyObject *split_state(PyObject *Py_UNUSED(module), PyObject *args)
{
    const char *name;
    PyObject *hx, *h, *c;
    qrnn_kind kind;
    if (!PyArg_ParseTuple(args, "sO:split_state", &name, &hx) || spec_find_kind(name, &kind) < 0) return NULL;
    if (states_split(qrnn_kind_get(kind), hx, &h, &c) < 0) return NULL;
    if (c) return pair_of(h, c);
    PyObject *const single = PyTuple_Pack(1, h);
    Py_DECREF(h);
    return single;
}

/* --- the table --- */

PyDoc_STRVAR(check_engine_doc, "check_engine($module, kind, proj_size, engine, options=None, /)\n--\n\n"
                               "Raise ValueError, as packing would, if `engine` does not support such a layer.");

PyDoc_STRVAR(check_engine_name_doc,
             "check_engine_name($module, engine, argument='engine', /)\n--\n\n"
             "Return `engine` if it names a quantized engine; else raise TypeError or ValueError about `argument`.");

PyDoc_STRVAR(check_isa_doc,
             "check_isa($module, isa, argument='isa', /)\n--\n\n"
             "Return `isa` if it names an instruction set that this CPU has; else raise TypeError or ValueError\n"
             "about `argument`.");

PyDoc_STRVAR(check_call_doc,
             "check_call($module, kind, input_size, hidden_size, proj_size, sequence, input_shape,\n"
             "           state_shapes=None, lengths=None, engine='qrnn', /)\n--\n\n"
             "Raise what a call of that layer raises for arguments of these shapes.\n\n"
             "Shapes are tuples; `state_shapes` has one for each state: (h,), or (h, c) for an LSTM. `lengths` is\n"
             "what a call takes; `engine` decides whether it may hold 0. Returns the lengths as a list of int, or\n"
             "None if there are none.");

PyDoc_STRVAR(split_state_doc,
             "split_state($module, kind, hx, /)\n--\n\n"
             "The states in `hx` as a tuple: (hx,), or the pair (h, c) of an LSTM. If it has to be a pair and is\n"
             "not, this raises what a call raises.");

PyMethodDef check_functions[] = {
    {"check_engine", check_engine, METH_VARARGS, check_engine_doc},
    {"check_engine_name", check_engine_name, METH_VARARGS, check_engine_name_doc},
    {"check_isa", check_isa, METH_VARARGS, check_isa_doc},
    {"check_call", check_call, METH_VARARGS, check_call_doc},
    {"split_state", split_state, METH_VARARGS, split_state_doc},
    {NULL, NULL, 0, NULL},
};
