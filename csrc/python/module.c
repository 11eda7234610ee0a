/* module.c - the extension module qrnn._core: how it is made, and its state. */
#include "functions.h"
#include "type.h"

/* The parameters of all functions that take keywords. */
static int init_signatures(struct module_state *state)
{
    static const char *const forward[] = {"input", "hx", "out", NULL};
    static const char *const forward_linear[] = {"input", "out", NULL};
    static const char *const forward_sequence[] = {"input", "hx", "lengths", "out", NULL};
    static const char *const apply[] = {"name", "x", "isa", "out", NULL};
    static const char *const gates[] = {"module", "x", "hx", NULL};
    static const char *const quantize[] = {"engine", "v", "isa", NULL};
    static const char *const add_moments[] = {"engine", "v", "sums", "isa", "weights", NULL};
    if (signature_init(&state->forward, "forward", forward, 2, 1) < 0) return -1;
    if (signature_init(&state->forward_linear, "forward", forward_linear, 1, 1) < 0) return -1;
    if (signature_init(&state->forward_sequence, "forward", forward_sequence, 2, 1) < 0) return -1;
    if (signature_init(&state->apply, "apply", apply, 4, 2) < 0) return -1;
    if (signature_init(&state->gates, "_gates", gates, 3, 2) < 0) return -1;
    if (signature_init(&state->quantize, "quantize", quantize, 3, 2) < 0) return -1;
    if (signature_init(&state->fake_quantize, "fake_quantize", quantize, 3, 2) < 0) return -1;
    return signature_init(&state->add_moments, "add_moments", add_moments, 5, 3);
}

#if defined(__clang__)
#define BUILT_BY "clang " __clang_version__
#elif defined(__GNUC__)
#define BUILT_BY "gcc " __VERSION__
#else
#define BUILT_BY "unknown"
#endif

static int exec(PyObject *module)
{
    struct module_state *const state = PyModule_GetState(module);
    if (numpy_api_import() < 0) return -1;
    if (init_signatures(state) < 0) return -1;
    atomic_init(&state->threads, 1);
    atomic_init(&state->main_thread, 0);
    atomic_init(&state->main_of, 0);
    if (type_init(module, state) < 0) return -1;
    PyMethodDef *const functions[] = {table_functions, check_functions, probe_functions, extra_functions};
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if (PyModule_AddFunctions(module, functions[i]) < 0) return -1;
    if (PyModule_AddIntConstant(module, "MAX_LAYERS", QRNN_MAX_LAYERS) < 0) return -1;
    if (PyModule_AddStringConstant(module, "VERSION", QRNN_VERSION) < 0) return -1;
    if (PyModule_AddStringConstant(module, "COMPILER", BUILT_BY) < 0) return -1;
    return PyModule_AddType(module, state->module_type);
}

/* Python calls none of the next three functions before the state exists. */
static int traverse(PyObject *module, visitproc visit, void *arg)
{
    struct module_state *const state = PyModule_GetState(module);
    Py_VISIT(state->module_type);
    Py_VISIT(atomic_load(&state->to_float32));
    Py_VISIT(atomic_load(&state->like));
    return 0;
}

static int clear(PyObject *module)
{
    struct module_state *const state = PyModule_GetState(module);
    Py_CLEAR(state->module_type);
    Py_XDECREF(atomic_exchange(&state->to_float32, NULL));
    Py_XDECREF(atomic_exchange(&state->like, NULL));
    signature_clear(&state->forward);
    signature_clear(&state->forward_linear);
    signature_clear(&state->forward_sequence);
    signature_clear(&state->apply);
    signature_clear(&state->gates);
    signature_clear(&state->quantize);
    signature_clear(&state->fake_quantize);
    signature_clear(&state->add_moments);
    return 0;
}

static void release(void *module)
{
    clear(module);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, exec},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED}, /* NumPy does not support them either */
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED}, /* packed modules are immutable */
#endif
    {0, NULL},
};

PyDoc_STRVAR(doc,
             "The computing core of qrnn: packed modules that can be called, and functions for tests and calibration.");

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "qrnn._core", .m_doc = doc,     .m_size = sizeof(struct module_state),
    .m_slots = slots,      .m_traverse = traverse, .m_clear = clear, .m_free = release,
};

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
