/* qrnn.h - dynamically quantized recurrent networks: the public C interface.
 *
 * The only header an embedder includes: C99 and C++ clean, no Python, no intrinsics.
 *
 * A module is weights packed for one instruction set and one engine. It never changes after
 * qrnn_module_new and is reference counted, so any number of threads may compute with it at once.
 * Nothing here reads the environment, prints or exits; nothing is global.
 *
 * To build: compile core/ and kernels/ with no flag but -std=c11 (csrc/README.md), and link with -lm -lpthread.
 *
 * Arrays are row-major float32 without padding. Sizes are in elements.
 */
#ifndef QRNN_H
#define QRNN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version, as in qrnn/_version.py. */
#define QRNN_VERSION "0.1.0"
#define QRNN_VERSION_MAJOR 0
#define QRNN_VERSION_MINOR 1
#define QRNN_VERSION_PATCH 0

/* Calls that can fail return one; status.def has them, each with its text. None of them faults for a NULL. */
typedef enum qrnn_status {
#define QRNN_STATUS(name, text) name,
#include "status.def"
#undef QRNN_STATUS
    QRNN_STATUSES
} qrnn_status;

/* What a status says, in English; of any other number too. */
const char *qrnn_status_text(qrnn_status status);

/* What a module computes; kinds.def has the equations. */
typedef enum qrnn_kind {
#define QRNN_KIND(NAME, ...) QRNN_##NAME,
#include "kinds.def"
#undef QRNN_KIND
    QRNN_KINDS
} qrnn_kind;

/* Activation functions; activations.def has their equations. */
typedef enum qrnn_activation_function {
#define QRNN_ACTIVATION(NAME, ...) QRNN_ACTIVATION_##NAME,
#include "activations.def"
#undef QRNN_ACTIVATION
    QRNN_ACTIVATION_FUNCTIONS
} qrnn_activation_function;

/* A function with its parameters; of one that takes fewer the rest is not read. */
typedef struct qrnn_activation {
    qrnn_activation_function function;
    float alpha, beta;
} qrnn_activation;

/* A row of that table, as far as it concerns a caller; alpha and beta are what they are where none are given, or NaN. */
typedef struct qrnn_activation_info {
    const char *name;         /* "hard_sigmoid" */
    int parameters;           /* how many of alpha and beta it takes */
    float alpha, beta;
} qrnn_activation_info;

/* NULL past the end. */
const qrnn_activation_info *qrnn_activation_get(size_t i);

/* A kind has at most so many activations. */
enum { QRNN_MOST_PLACES = 3 };

/* A kind's row of that table, as far as it concerns a caller. */
typedef struct qrnn_kind_info {
    const char *name;         /* "lstm" */
    const char *family;       /* "LSTM": the class of torch.nn */
    const char *cell;         /* "LSTMCell": that of a single step; a linear has but one class */
    size_t gates;             /* rows of ih and hh, in hidden sizes */
    size_t states;            /* 0: none; 1: h; 2: h and c */
    int projects;             /* may have an hr */
    int resets_before;        /* a gate acts on h before the product: not every engine has that */
    size_t places;            /* its activations in the order of ONNX: of the gates, of the candidate, of c' */
    qrnn_activation_function activations[QRNN_MOST_PLACES]; /* and what they are by default */
} qrnn_kind_info;

/* NULL of what is no kind. */
const qrnn_kind_info *qrnn_kind_get(qrnn_kind kind);

/* Inputs of one product that an exact int32 sum allows: 255 * 128 * 65793 < 2^31. */
#define QRNN_MAX_DEPTH 65793
/* Layers of a module. */
#define QRNN_MAX_LAYERS 65536

/* One weight matrix with its bias: float `values`, or `codes` and `scale`. A float32 module has values alone, a
 * quantized one may have them for some of its matrices, whose products are then float32. */
typedef struct qrnn_weight {
    const float *values;      /* [rows][cols], or NULL */
    const int8_t *codes;      /* [rows][cols], or NULL */
    const float *scale;       /* [n_scale]; weight = code * scale */
    size_t n_scale;           /* 1 (per tensor) or rows (per channel) */
    const float *bias;        /* [rows], or NULL: none */
    const char *format;       /* how it is stored: a name from qrnn_weights_name; NULL: int8 codes, float32 values */
    const char *activations;  /* what it multiplies: a name from qrnn_activations_name; NULL: the engine's with codes,
                                 float32 with values */
} qrnn_weight;

/* What a recurrent module may do otherwise than its kind, where its engine has options; csrc/README.md has the equations.
 * All zero but the activations, which are never left out (qrnn_options_init): the kind itself. */
typedef struct qrnn_options {
    qrnn_activation activations[2][QRNN_MOST_PLACES]; /* of each direction */
    float clip;               /* of what activations take of gates and candidate, to -clip..clip; 0: none */
    float cell_clip, proj_clip; /* of an LSTM's c', and of its h after a projection; 0: none */
    float layer_norm;         /* of what an LSTM's gates sum: the epsilon; 0: none */
    int peepholes;            /* an LSTM's gates see c: weights [3][hidden_size] of i, f and o */
    int input_forget;         /* an LSTM's f is 1 - i: its rows of the matrices are not used */
    int reverse;              /* a sequence of one direction reads from the end */
    int initial_states;       /* a sequence has learned states, for calls that give none */
} qrnn_options;

/* The kind's own. */
void qrnn_options_init(qrnn_kind kind, qrnn_options *options);

typedef struct qrnn_spec {
    qrnn_kind kind;
    const char *engine;       /* a name from qrnn_engine_name; "float32" for float weights */
    const char *isa;          /* a name from qrnn_isa_name; NULL: the best this CPU has */
    size_t input_size;        /* columns of the first layer's ih */
    size_t hidden_size;       /* rows of one gate; a linear's out_features. 0: of single calls alone */
    size_t proj_size;         /* rows of hr, less than hidden_size; 0: no projection. LSTM only */
    size_t layers, directions;/* 1 and 1 for a linear and for a single cell; directions 1 or 2 */
    int sequence;             /* parameters are named as those of layers: weight_ih_l0, not weight_ih */
    const qrnn_options *options; /* NULL: the kind's own */
    const qrnn_weight
        *weights; /* [qrnn_spec_matrices]: of each layer, of each direction ih, hh, hr, and what its options
                                 add, in this order: peepholes, gain and shift of the normalization; then the learned h
                                 and c of all layers and directions. What options add is float32 `values` alone */
} qrnn_spec;

/* One matrix of a module. */
typedef struct qrnn_matrix_info {
    size_t layer, direction;
    size_t rows, cols;
    int takes_bias;
    int multiplies;           /* 0: what an option adds, which no product takes: float32 in every engine */
    /* Names of its parameters, as PyTorch's state_dict has them, whether it takes a bias or not; the longest has digits of a
     * size_t. */
    char weight[48], bias[48];
} qrnn_matrix_info;

/* Matrices of a module; 0 of a kind that there is not. Reads kind, proj_size, layers, directions and options. */
size_t qrnn_spec_matrices(const qrnn_spec *spec);
/* The `index`th of them; zeros past the last. Reads no weights. */
void qrnn_spec_matrix(const qrnn_spec *spec, size_t index, qrnn_matrix_info *info);

/* Codes and scales of float weights, as `engine` has them by default: a scale a row, or one for all. values and codes
 * are [rows][cols], `scale` has room for `rows`, and for 1; *n_scale is how many there are. QRNN_ERR_VALUE of a weight
 * that is not finite, QRNN_ERR_ENGINE of one that takes floats. Nothing is written on failure. */
qrnn_status qrnn_quantize_weights(const char *engine, size_t rows, size_t cols, const float *values, int8_t *codes,
                                  float *scale, size_t *n_scale);

typedef struct qrnn_module qrnn_module;

/* Checks, packs, and returns a module with one reference in *out (NULL on failure). On failure
 * *matrix, unless `matrix` is NULL, is the index in spec->weights of the one at fault. The module keeps copies alone:
 * the specification, its weights with all their arrays and its strings may be freed or changed afterwards. */
qrnn_status qrnn_module_new(const qrnn_spec *spec, qrnn_module **out, size_t *matrix);
void qrnn_module_ref(qrnn_module *m); /* of both, */
void qrnn_module_unref(qrnn_module *m); /* NULL is allowed */

/* What a module was made of, read back from what runs. */
qrnn_kind qrnn_module_kind(const qrnn_module *m);
const char *qrnn_module_engine(const qrnn_module *m);
const char *qrnn_module_isa(const qrnn_module *m);
size_t qrnn_module_input_size(const qrnn_module *m);
size_t qrnn_module_hidden_size(const qrnn_module *m);
size_t qrnn_module_proj_size(const qrnn_module *m);
size_t qrnn_module_state_size(const qrnn_module *m); /* of h: proj_size, or hidden_size */
size_t qrnn_module_layers(const qrnn_module *m);
size_t qrnn_module_directions(const qrnn_module *m);
size_t qrnn_module_bytes(const qrnn_module *m); /* memory held by the module */
int qrnn_module_shares_scale(const qrnn_module *m); /* rows are quantized by one scale: a call may fail for one */
/* Of a matrix by its index in spec->weights: sizes, whether it is codes with scales, how many, whether it has a bias.
 * 0 or NULL past the last. */
size_t qrnn_module_rows(const qrnn_module *m, size_t matrix);
size_t qrnn_module_cols(const qrnn_module *m, size_t matrix);
int qrnn_module_is_coded(const qrnn_module *m, size_t matrix);
size_t qrnn_module_n_scale(const qrnn_module *m, size_t matrix);
int qrnn_module_has_bias(const qrnn_module *m, size_t matrix);
const char *qrnn_module_activations(const qrnn_module *m, size_t matrix); /* a name from qrnn_activations_name */
const qrnn_options *qrnn_module_options(const qrnn_module *m); /* NULL: the kind's own */
/* Unpacks into arrays of the sizes above; a NULL destination is passed over. */
void qrnn_module_unpack(const qrnn_module *m, size_t matrix, float *values, int8_t *codes, float *scale, float *bias);

/* y[batch][hidden_size] = W x + b. y may not overlap x. QRNN_ERR_KIND of a module that is no linear. */
qrnn_status qrnn_linear(const qrnn_module *m, size_t batch, const float *x, float *y);

/* One time step of a module of one layer and direction. h and c are states, [batch][state_size] and
 * [batch][hidden_size], NULL for zeros; c and c_out belong to an LSTM and are NULL without. h_out may
 * be h itself and c_out c itself, but results may overlap in no other way. QRNN_ERR_KIND of a linear, QRNN_ERR_SIZE of
 * more layers or directions, QRNN_ERR_NULL without x, h_out or an LSTM's c_out. Fails only before its first write. */
qrnn_status qrnn_step(const qrnn_module *m, size_t batch, const float *x, const float *h, const float *c, float *h_out,
                      float *c_out);

/* A whole sequence through all layers and directions. */
typedef struct qrnn_run {
    size_t steps, batch;
    int batch_first; /* x and out are [batch][steps][...] instead of [steps][batch][...] */
    const float *x; /* [steps][batch][input_size] */
    const float *h, *c; /* [layers * directions][batch][state_size], [..][hidden_size]; NULL: zeros */
    const size_t *lengths; /* [batch], each up to steps, and where rows share a scale at least 1: in 0 steps a row's
                                 states stay what they are. NULL: all of them are `steps` */
    float *out; /* [steps][batch][directions * state_size]; zeros past a row's length. NULL: not wanted,
                                 which saves, of one layer, the memory of all steps */
    float *below; /* outputs of the layers below the last, first to last, each laid out as out is; NULL:
                                 not wanted */
    float *inner; /* what is multiplied inside a step, r * h or an LSTM's h before its projection, float32:
                                 [layers * directions][steps][batch][hidden_size], in the order of out; past a row's
                                 length it is not written. NULL: not wanted */
    float *slopes; /* of each step the mean over the hidden units of the sum over their gates of (dh' / d a)^2, a
                                 what the gate sums, and h' an LSTM's before its projection; of a GRU that resets
                                 before the product without r: [layers * directions][steps][batch], in the order of
                                 out; NaN past a row's length. NULL: not wanted */
    float *h_out, *c_out; /* final states; may be h and c themselves. Else nothing may overlap */
    size_t threads; /* to compute with; 0 counts as 1. Changes no bit */
    int (*stop)(void *context); /* asked between steps, often; not 0: give up. NULL: never */
    void *context;
} qrnn_run;

/* Without steps, the final states are the initial ones. Before the first write: QRNN_ERR_KIND of a linear,
 * QRNN_ERR_SIZE of a length out of range, QRNN_ERR_NULL without x, h_out or an LSTM's c_out, QRNN_ERR_MEMORY.
 * QRNN_ERR_INPUT_RANGE, _HIDDEN_RANGE and _STOPPED leave out, h_out and c_out undefined, and *step, unless NULL, is
 * the time step of the fault. */
qrnn_status qrnn_sequence(const qrnn_module *m, const qrnn_run *run, size_t *step);

/* The probe: the same code path as a step, whose products are shown. acc_* are the exact integer
 * products sum (q - zp) * w, of more than 4,096 columns of 13-bit codes modulo 2^32 (quantized modules only, else NULL); acc_hh is NULL for a linear. `pre` is
 * what the last product left: the pre-activations of linear, rnn and lstm and of r and z of
 * gru_reset_before; W_hh h + b_hh of gru; W_hn (r * h) + b_hn of gru_reset_before's n. Each is
 * [batch][rows of ih]. */
qrnn_status qrnn_gates(const qrnn_module *m, size_t batch, const float *x, const float *h, const float *c,
                       int32_t *acc_ih, int32_t *acc_hh, float *pre);

/* Activation codes as `engine` makes them: codes [batch][n], scale and zero_point [batch]. QRNN_ERR_INPUT_RANGE as in
 * a call; engines that quantize each row by itself mark one that is not finite by scale NaN. */
qrnn_status qrnn_quantize(const char *engine, const char *isa, size_t batch, size_t n, const float *v, int16_t *codes,
                          float *scale, int32_t *zero_point);

/* The values that those codes stand for, [batch][n]: what the products of `engine` see of v. */
qrnn_status qrnn_seen(const char *engine, const char *isa, size_t batch, size_t n, const float *v, float *seen);

/* Running sums over those rows of v, [batch][n], that are finite, in double, one row after the other: sum[i] += w v[i]
 * and, for i <= j, outer[i][j] += w v[i] v[j]; weight[0] += w, weight[1] += w^2. w is the row's of `weights`, [batch],
 * to the last bits of its root in float32, or, of NULL, 1; a row whose weight is negative or not finite is left out
 * too. For i > j `outer` is undefined. An engine that quantizes each row by itself sums the values that the codes stand
 * for, "float32" the rows as they are; of others QRNN_ERR_ENGINE. *count: how many rows were summed. */
qrnn_status qrnn_moments(const char *engine, const char *isa, size_t batch, size_t n, const float *v,
                         const float *weights, double *weight, double *sum, double *outer, size_t *count);

typedef enum qrnn_function {
    QRNN_TANH = 0, /* within 2 ulp */
    QRNN_TANH_EXACT, /* correctly rounded */
    QRNN_SIGMOID, /* within 2 ulp */
    QRNN_RELU,
    QRNN_FUNCTIONS
} qrnn_function;

/* y[i] = f(x[i]); y may be x. A NaN gives 0x7FC00000. */
qrnn_status qrnn_apply(qrnn_function f, const char *isa, size_t n, const float *x, float *y);

/* An engine: the name of an arithmetic. */
typedef struct qrnn_engine_info {
    const char *name;
    int quantized; /* takes int8 weights; else float32 */
    int per_row; /* each batch row is quantized by itself; else all rows by one scale */
    int scale_per_row; /* weights have a scale an output row by default; else one in all */
    int projects, resets_before; /* has kinds that do so */
    int options; /* has qrnn_options */
} qrnn_engine_info;

/* Tables, in order; NULL past the end. The default engine is the first. */
const qrnn_engine_info *qrnn_engine_get(size_t i);
const qrnn_engine_info *qrnn_engine_by_name(const char *name); /* NULL of no engine */
const char *qrnn_engine_name(size_t i);
const char *qrnn_engine_activations(size_t i); /* what its codes multiply: a name from qrnn_activations_name */
const char *qrnn_weights_name(size_t i); /* formats of weights, */
const char *qrnn_activations_name(size_t i); /* and of activations */
const char *qrnn_isa_name(size_t i);
int qrnn_isa_supported(size_t i); /* by the CPU this runs on */

#ifdef __cplusplus
}
#endif
#endif
