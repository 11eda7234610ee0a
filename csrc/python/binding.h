/* binding.h - what the files of python/ share. With python/, the only place that knows Python.
 *
 *   module.c     the extension module: its state, its functions
 *   spec.c       the specification of a layer from Python's objects
 *   tables.c     kinds, engines, matrices: the core's tables for Python
 *   functions.c  isas, known_isas, engines, apply, threads, _gates, _quantize
 *   call.c       Module.__call__ and forward: whom they reach; a linear
 *   cells.c      a cell: check, allocate, compute
 *   sequences.c  a whole sequence; Ctrl-C meanwhile
 *   type.c       the Module type: life, properties, sharing
 *   shapes.c, lengths.c  checks of a call's arguments, with PyTorch's texts
 *   checks.c     the same without a call: check_engine, check_call
 *   packing.c    Module._pack and _unpack: arrays <-> packed weights
 *   arguments.c  parameters of a call
 *   arrays.c     NumPy arrays in and out
 *   errors.c     exceptions
 */
#ifndef QRNN_BINDING_H
#define QRNN_BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Headers of NumPy >= 2, set to the oldest NumPy that is supported at run time. */
#define NPY_NO_DEPRECATED_API NPY_1_25_API_VERSION
#define NPY_TARGET_VERSION NPY_1_25_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL qrnn_numpy_api
#ifndef QRNN_IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>
#if NPY_ABI_VERSION < 0x02000000
#error "building needs the headers of NumPy 2 or later"
#endif

#include "qrnn.h"

#include <stdatomic.h>

#if PY_VERSION_HEX < 0x030D0000
#define Py_BEGIN_CRITICAL_SECTION(object) {
#define Py_END_CRITICAL_SECTION() }
#endif

/* A function of another signature than PyCFunction's, for a table of methods. */
#define FAST(function) (PyCFunction)(void (*)(void))(function)

enum {
    MAX_PARAMETERS = 4,
    MAX_DIMS = 64 /* of an array in any NumPy; NPY_MAXDIMS says 32 of one before 2 */
};

/* --- arguments.c --- */

/* The parameters of a function: `count` names, of which the first `positional` may be given by
 * position and the first `required` must be given. The rest default to None. */
struct signature {
    const char *function;
    PyObject *names[MAX_PARAMETERS]; /* interned */
    Py_ssize_t count, positional, required;
};

int signature_init(struct signature *signature, const char *function, const char *const *names, Py_ssize_t positional,
                   Py_ssize_t required);
void signature_clear(struct signature *signature);

/* Binds arguments to parameters as Python does: values[count], borrowed, NULL where nothing or an
 * optional None was given. `owner` is the object whose method this is, or NULL. The second form
 * takes the arguments of a tp_call. Return 0, or -1 with TypeError set. */
int arguments_bind(const struct signature *signature, PyObject *owner, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames, PyObject **values);
int arguments_bind_call(const struct signature *signature, PyObject *owner, PyObject *args, PyObject *kwargs,
                        PyObject **values);
/* The UTF-8 of a str, or NULL with TypeError set. */
const char *arguments_text(PyObject *value, const char *name);

/* --- module.c --- */

/* Of one extension module. Its types and instances point to it: they keep the module alive. */
struct state {
    PyTypeObject *module_type;
    struct signature forward, forward_linear, forward_sequence, apply, gates, quantize;
    atomic_size_t threads; /* that a sequence computes with */
    /* threading.main_thread().ident, as it was in the process main_of (0: never asked): a fork makes the
     * thread that forks the main one. */
    atomic_ulong main_thread;
    atomic_long main_of;
    /* qrnn._arrays.to_float32 and like, imported by the first call that needs them. */
    _Atomic(PyObject *) to_float32, like;
};

/* --- type.c --- */

/* What a packed module is called as. */
enum { MODULE_SEQUENCE = 1, MODULE_BATCH_FIRST = 2 };

/* All zero until _pack or _share: `vectorcall` too, which sends a call to tp_call. */
struct module_object {
    PyObject_HEAD vectorcallfunc vectorcall;
    struct state *state;
    /* Change together: */
    qrnn_module *packed;  /* immutable: setters swap in another one */
    PyObject *scale_ndim; /* bytes, one a matrix: 0 (per tensor) or 1 (per channel), as the scale was
                             given; with one row the two are the same number */
    int flags;            /* MODULE_* */
};

extern PyType_Spec module_type_spec;

/* The packed module, with a reference of the caller's; its flags and, by a new reference, its
 * scale_ndim, unless those are NULL. NULL with RuntimeError set before _pack. */
qrnn_module *module_hold(struct module_object *self, int *flags, PyObject **scale_ndim);
/* Puts `packed` in place. Takes over the references to it and to `scale_ndim`. */
void module_swap(struct module_object *self, struct state *state, qrnn_module *packed, int flags, PyObject *scale_ndim);
/* The class name as texts show it: without the module; of what is packed, where the class says nothing. */
const char *module_class_name(PyObject *self);

/* --- call.c --- */

/* Multiply-adds from which a call lets other threads run. Giving the GIL up and taking it back
 * costs some 30 ns alone, but among threads that run Python it can cost a switch interval (5 ms):
 * too much for calls of a microsecond or two. 2^18 take 6 to 17 microseconds with AVX2. */
#define THREADS_THRESHOLD 262144.0

PyObject *module_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames);
PyObject *module_tp_call(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *module_forward(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);

struct callee;

/* A result on its way: `array`, a reference, is computed; `out`, borrowed, is where the caller wants
 * it, NULL for anywhere. They differ where computing into `out` at once would go wrong. */
struct result {
    PyArrayObject *array, *out;
};

/* Fills *callee, whose reference the caller then drops; -1 with RuntimeError set before _pack. */
int callee_hold(struct module_object *self, struct callee *callee);

/* The exception of a status other than QRNN_OK; `step` is a sequence's, or NULL. Returns -1. */
int call_raise_status(qrnn_status status, const struct callee *callee, const size_t *step);

/* Makes room for a result, in `out` itself where it is given and `direct` says so. */
int result_open(struct result *r, PyObject *out, int direct, int ndim, const npy_intp *dims);
/* Brings what was computed to `out`. */
void result_finish(struct result *r);
/* A tuple of two, whose references it takes over, NULL among them for a failure. */
PyObject *pair_of(PyObject *first, PyObject *second);
/* Two new references to the items of a tuple or list of two; `what` are their names. */
int pair_split(PyObject *pair, const char *name, const char *what, PyObject **first, PyObject **second);

/* --- cells.c --- */

/* `values` are input, hx, out. */
PyObject *call_cell(const struct callee *callee, PyObject *const *values);

/* The arrays of `hx`, a pair for an LSTM, as new references. */
int states_from(struct state *state, const struct callee *callee, PyObject *hx, PyArrayObject **h, PyArrayObject **c);

/* --- sequences.c --- */

/* `values` are input, hx, lengths, out. */
PyObject *call_sequence(const struct callee *callee, PyObject *const *values);
/* Module._forward_layers. */
PyObject *module_forward_layers(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);

/* --- packing.c --- */

PyObject *module_pack(PyObject *self, PyTypeObject *definer, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames);
PyObject *module_unpack(PyObject *self, PyObject *args);

/* --- tables.c --- */

extern PyMethodDef table_functions[];

/* --- checks.c --- */

extern PyMethodDef check_functions[];

/* --- functions.c --- */

extern PyMethodDef binding_functions[];

/* --- arrays.c --- */

/* Whether an exact ndarray of this type, C-contiguous, aligned and in native byte order. */
static inline int array_is_plain(PyObject *object, int type)
{
    enum { LAYOUT = NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED };
    if (!PyArray_CheckExact(object)) return 0;
    PyArrayObject *const array = (PyArrayObject *)object;
    return PyArray_TYPE(array) == type && (PyArray_FLAGS(array) & LAYOUT) == LAYOUT && PyArray_ISNOTSWAPPED(array);
}

/* A new reference to `object` if it is a plain float32 array, else to what qrnn._arrays.to_float32
 * makes of it. May run Python code. */
PyArrayObject *array_from(struct state *state, PyObject *object, const char *name);
/* `result` in the kind of container that `object`, no exact ndarray, is. Takes over `result`. */
PyObject *array_like(struct state *state, PyObject *result, PyObject *object);
PyArrayObject *array_new(int type, int ndim, const npy_intp *dims);
/* Checks `out`, by that name, for a result of this shape. Returns 0, or -1 with an exception set. */
int array_check_out(PyObject *out, const char *name, int ndim, const npy_intp *dims);
/* Whether two C-contiguous arrays share memory; nothing (NULL) shares none. */
int array_overlap(PyArrayObject *a, PyArrayObject *b);
/* The elements, or NULL of no array. */
static inline void *array_data(PyArrayObject *array)
{
    return array ? PyArray_DATA(array) : NULL;
}

/* --- errors.c --- */

/* What a status is about; each status reads the fields that it needs. */
struct error_context {
    const char *engine, *isa;
    const char *input, *hidden;        /* names of arguments */
    const char *weight, *scale, *bias; /* names of parameters, and what came: */
    size_t depth;
    float bad_scale, bad_bias;
    int projects;                      /* the layer does, so that is what the engine lacks */
    const size_t *step;                /* of a sequence, or NULL */
};

/* The only place where a status of the core becomes an exception. Returns NULL. */
PyObject *error_from_status(qrnn_status status, const struct error_context *context);
/* 0 for the name of a set that this CPU has, or of a quantized engine; else -1 with TypeError or ValueError set,
 * which name the argument. */
int error_check_isa(PyObject *isa, const char *argument);
int error_check_engine_name(PyObject *engine, const char *argument);

#endif
