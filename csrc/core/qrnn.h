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

/* A call that can fail returns one of these; status.def lists them with their texts. No call crashes because an
 * argument is NULL. */
typedef enum qrnn_status {
#define QRNN_STATUS(name, text) name,
#include "status.def"
#undef QRNN_STATUS
    QRNN_STATUSES
} qrnn_status;

/* The text of a status, in English. Any other number has a text too. */
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

/* A function with its parameters. A function that takes fewer than two does not read the others. */
typedef struct qrnn_activation {
    qrnn_activation_function function;
    float alpha, beta;
} qrnn_activation;

/* The public part of a row of activations.def. alpha and beta are the defaults; NaN: a parameter without a default. */
typedef struct qrnn_activation_info {
    const char *name;         /* "hard_sigmoid" */
    int parameters;           /* how many parameters it takes: 0, 1 (alpha) or 2 */
    float alpha, beta;
} qrnn_activation_info;

/* NULL past the end. */
const qrnn_activation_info *qrnn_activation_get(size_t i);

/* The most activations that a kind has. */
enum { QRNN_MOST_PLACES = 3 };

/* The public part of a row of kinds.def. */
typedef struct qrnn_kind_info {
    const char *name;         /* "lstm" */
    const char *family;       /* "LSTM": the class of torch.nn */
    const char *cell;         /* "LSTMCell": the class of a single step; a linear's is "Linear" too */
    size_t gates;             /* ih and hh have gates * hidden_size rows */
    size_t states;            /* 0: none; 1: h; 2: h and c */
    int projects;             /* may have a projection matrix hr */
    int resets_before;        /* a gate acts on h before the product; not every engine supports this */
    size_t places;            /* how many activations it has, in the order of ONNX: gates, candidate, c' */
    qrnn_activation_function activations[QRNN_MOST_PLACES]; /* their defaults */
} qrnn_kind_info;

/* NULL if there is no such kind. */
const qrnn_kind_info *qrnn_kind_get(qrnn_kind kind);

/* The most inputs of a product for which its int32 sum is exact: 255 * 128 * 65793 < 2^31. */
#define QRNN_MAX_DEPTH 65793
/* The most layers of a module. */
#define QRNN_MAX_LAYERS 65536

/* One weight matrix with its bias, given as float `values` or as `codes` and `scale`. A float32 module takes values
 * only. A quantized module may take values for some of its matrices; their products are then computed in float32. */
typedef struct qrnn_weight {
    const float *values;      /* [rows][cols], or NULL */
    const int8_t *codes;      /* [rows][cols], or NULL */
    const float *scale;       /* [n_scale]; weight = code * scale */
    size_t n_scale;           /* 1 (per tensor) or rows (per channel) */
    const float *bias;        /* [rows], or NULL: none */
    const char *format;       /* how it is stored: a name from qrnn_weights_name; NULL: int8 for codes, float32 for
                                 values */
    const char *activations;  /* what it multiplies: a name from qrnn_activations_name; NULL: the engine's format for
                                 codes, float32 for values */
} qrnn_weight;

/* Options by which a recurrent module departs from its kind, on engines that support them; csrc/README.md has the
 * equations. The members are zero by default, except `activations`, which always have to be set: start from
 * qrnn_options_init. */
typedef struct qrnn_options {
    qrnn_activation activations[2][QRNN_MOST_PLACES]; /* of each direction */
    float clip;               /* gates and candidate are clipped to -clip..clip before their activations; 0: no
                                 clipping */
    float cell_clip, proj_clip; /* the same for an LSTM's c', and for its h after a projection; 0: no clipping */
    float layer_norm;         /* an LSTM's gates are normalized with this epsilon; 0: no normalization */
    int peepholes;            /* an LSTM's gates see c: weights [3][hidden_size] of i, f and o */
    int input_forget;         /* an LSTM's f is 1 - i: its rows of the matrices are not used */
    int reverse;              /* a sequence of one direction reads from the end */
    int initial_states;       /* a sequence has learned states, for calls that give none */
} qrnn_options;

/* Sets the options that make a module what its kind says. */
void qrnn_options_init(qrnn_kind kind, qrnn_options *options);

typedef struct qrnn_spec {
    qrnn_kind kind;
    const char *engine;       /* a name from qrnn_engine_name; "float32" for float weights */
    const char *isa;          /* a name from qrnn_isa_name; NULL: the best this CPU has */
    size_t input_size;        /* columns of ih in the first layer */
    size_t hidden_size;       /* rows of one gate; a linear's out_features. 0 is allowed for a linear or a single
                                 cell only */
    size_t proj_size;         /* rows of hr, less than hidden_size; 0: no projection. LSTM only */
    size_t layers, directions;/* 1 and 1 for a linear and for a single cell; directions 1 or 2 */
    int sequence;             /* parameters are named as those of a layer: weight_ih_l0 instead of weight_ih */
    const qrnn_options *options; /* NULL: the defaults of the kind */
    const qrnn_weight
        *weights; /* [qrnn_spec_matrices]: for each layer and direction ih, hh, hr, then what its options add:
                     peepholes, gain and shift of the normalization; at the end the learned h and c of all layers and
                     directions. What options add is float32 `values` without codes */
} qrnn_spec;

/* One matrix of a module. */
typedef struct qrnn_matrix_info {
    size_t layer, direction;
    size_t rows, cols;
    int takes_bias;
    int multiplies;           /* 0: an option adds it and no product uses it; it is float32 in every engine */
    /* The names that PyTorch's state_dict gives its parameters. `bias` is set for hr too, which takes none, and empty
     * if `multiplies` is 0. The size holds the longest name, with all digits of a size_t. */
    char weight[48], bias[48];
} qrnn_matrix_info;

/* How many matrices a module has; 0 for an unknown kind. Reads kind, proj_size, layers, directions and options. */
size_t qrnn_spec_matrices(const qrnn_spec *spec);
/* Describes the matrix at `index`; *info is all zeros past the last one. Does not read the weights. */
void qrnn_spec_matrix(const qrnn_spec *spec, size_t index, qrnn_matrix_info *info);

/* Quantizes float weights as `engine` does by default: with a scale for each row or one for all. values and codes are
 * [rows][cols]; `scale` has room for `rows` of them, at least 1; *n_scale becomes how many there are. QRNN_ERR_VALUE: a
 * weight is not finite; QRNN_ERR_ENGINE: the engine takes floats. Nothing is written on failure. */
qrnn_status qrnn_quantize_weights(const char *engine, size_t rows, size_t cols, const float *values, int8_t *codes,
                                  float *scale, size_t *n_scale);

typedef struct qrnn_module qrnn_module;

/* Checks and packs the weights, and returns a module with one reference in *out (NULL on failure). On failure *matrix,
 * unless `matrix` is NULL, is the index in spec->weights of the matrix at fault. The module copies all it needs: the
 * specification with its arrays and strings may be freed or changed afterwards. */
qrnn_status qrnn_module_new(const qrnn_spec *spec, qrnn_module **out, size_t *matrix);
void qrnn_module_ref(qrnn_module *m); /* `m` may be NULL */
void qrnn_module_unref(qrnn_module *m); /* `m` may be NULL */

/* What a module was made of. The answers come from the data that computes, not from a copy of the specification. */
qrnn_kind qrnn_module_kind(const qrnn_module *m);
const char *qrnn_module_engine(const qrnn_module *m);
const char *qrnn_module_isa(const qrnn_module *m);
size_t qrnn_module_input_size(const qrnn_module *m);
size_t qrnn_module_hidden_size(const qrnn_module *m);
size_t qrnn_module_proj_size(const qrnn_module *m);
size_t qrnn_module_state_size(const qrnn_module *m); /* the size of h: proj_size if it projects, else hidden_size */
size_t qrnn_module_layers(const qrnn_module *m);
size_t qrnn_module_directions(const qrnn_module *m);
size_t qrnn_module_bytes(const qrnn_module *m); /* memory that the module holds */
int qrnn_module_shares_scale(const qrnn_module *m); /* 1: rows share a scale, so a row that is not finite makes a
                                                       call fail */
/* About the matrix at an index in spec->weights: its sizes, whether it has codes and scales, how many scales, whether
 * it has a bias. 0 or NULL past the last matrix. */
size_t qrnn_module_rows(const qrnn_module *m, size_t matrix);
size_t qrnn_module_cols(const qrnn_module *m, size_t matrix);
int qrnn_module_is_coded(const qrnn_module *m, size_t matrix);
size_t qrnn_module_n_scale(const qrnn_module *m, size_t matrix);
int qrnn_module_has_bias(const qrnn_module *m, size_t matrix);
const char *qrnn_module_activations(const qrnn_module *m, size_t matrix); /* a name from qrnn_activations_name */
const qrnn_options *qrnn_module_options(const qrnn_module *m); /* NULL: made without options */
/* Unpacks a matrix into arrays of these sizes. Pass NULL for what is not wanted. */
void qrnn_module_unpack(const qrnn_module *m, size_t matrix, float *values, int8_t *codes, float *scale, float *bias);

/* y[batch][hidden_size] = W x + b. y may not overlap x. QRNN_ERR_KIND: the module is no linear. */
qrnn_status qrnn_linear(const qrnn_module *m, size_t batch, const float *x, float *y);

/* One time step of a module with one layer and one direction. h and c are the states before it, [batch][state_size] and
 * [batch][hidden_size]; NULL means zeros. c and c_out are for an LSTM; pass NULL for other kinds. h_out may be h itself
 * and c_out may be c itself; nothing else may overlap. QRNN_ERR_KIND: the module is a linear; QRNN_ERR_SIZE: it has
 * more layers or directions; QRNN_ERR_NULL: x, h_out or an LSTM's c_out is missing. A call that fails has written
 * nothing. */
qrnn_status qrnn_step(const qrnn_module *m, size_t batch, const float *x, const float *h, const float *c, float *h_out,
                      float *c_out);

/* The same calls on up to `threads` threads, if they are long enough to pay for these. Each thread computes some of the
 * rows; the results are the same, bit for bit. */
qrnn_status qrnn_linear_threads(const qrnn_module *m, size_t batch, const float *x, float *y, size_t threads);
qrnn_status qrnn_step_threads(const qrnn_module *m, size_t batch, const float *x, const float *h, const float *c,
                              float *h_out, float *c_out, size_t threads);

/* A whole sequence through all layers and directions. */
typedef struct qrnn_run {
    size_t steps, batch;
    int batch_first; /* x and out are [batch][steps][...] instead of [steps][batch][...] */
    const float *x; /* [steps][batch][input_size] */
    const float *h, *c; /* [layers * directions][batch][state_size], [..][hidden_size]; NULL: zeros */
    const size_t *lengths; /* [batch], each at most `steps`; NULL: all of them are `steps`. At least 1 where rows
                              share a scale; elsewhere a row of length 0 keeps its states */
    float *out; /* [steps][batch][directions * state_size]; zeros past a row's length. NULL: not wanted; a module of
                   one layer then needs no memory for the output of all steps */
    float *below; /* outputs of the layers below the last, lowest first, each laid out like `out`; NULL: not wanted */
    float *inner; /* the float32 values that are multiplied inside a step, r * h or an LSTM's h before its
                     projection: [layers * directions][steps][batch][hidden_size], in the order of out; not written
                     past a row's length. NULL: not wanted */
    float *slopes; /* for each step, the mean over hidden units of the sum over their gates of (dh' / da)^2, where a
                      is the sum that the gate's activation takes and h' is an LSTM's h before its projection; r is
                      left out in a GRU that resets before the product. [layers * directions][steps][batch], in the
                      order of out; NaN past a row's length. NULL: not wanted */
    float *h_out, *c_out; /* final states; may be h and c themselves. No other arrays may overlap */
    size_t threads; /* how many to compute with; 0 counts as 1. The result has the same bits with any number */
    int (*stop)(void *context); /* called often, between steps; if it returns anything but 0, the call gives up.
                                   NULL: never */
    void *context;
} qrnn_run;

/* With 0 steps the final states are the initial ones. Errors before the first write: QRNN_ERR_KIND for a linear,
 * QRNN_ERR_SIZE for a length out of range, QRNN_ERR_NULL without x, h_out or an LSTM's c_out, QRNN_ERR_MEMORY. After
 * QRNN_ERR_INPUT_RANGE, QRNN_ERR_HIDDEN_RANGE and QRNN_ERR_STOPPED the contents of out, h_out and c_out are undefined,
 * and *step, unless `step` is NULL, is the time step at which the call failed. */
qrnn_status qrnn_sequence(const qrnn_module *m, const qrnn_run *run, size_t *step);

/* The probe computes a step by the code of qrnn_step and shows its products. acc_ih and acc_hh are the exact integer
 * products sum (q - zp) * w; with 13-bit codes and more than 4,096 columns they are modulo 2^32. Pass NULL for a
 * float32 module, and for acc_hh of a linear. `pre` is what the last product leaves: the pre-activations of linear, rnn
 * and lstm, and of r and z of gru_reset_before; W_hh h + b_hh for gru; W_hn (r * h) + b_hn for n of gru_reset_before.
 * Each is [batch][rows of ih]. */
qrnn_status qrnn_gates(const qrnn_module *m, size_t batch, const float *x, const float *h, const float *c,
                       int32_t *acc_ih, int32_t *acc_hh, float *pre);

/* Activation codes as `engine` makes them: codes [batch][n], scale and zero_point [batch]. QRNN_ERR_INPUT_RANGE as in a
 * call. An engine that quantizes each row by itself gives a row that is not finite the scale NaN. */
qrnn_status qrnn_quantize(const char *engine, const char *isa, size_t batch, size_t n, const float *v, int16_t *codes,
                          float *scale, int32_t *zero_point);

/* The values that those codes stand for, [batch][n]: the v that the products of `engine` compute with. */
qrnn_status qrnn_seen(const char *engine, const char *isa, size_t batch, size_t n, const float *v, float *seen);

/* Adds the rows of v, [batch][n], to running sums in double, one row after the other: sum[i] += w v[i], outer[i][j] +=
 * w v[i] v[j] for i <= j (outer is undefined for i > j), weight[0] += w, weight[1] += w^2. w is the square of the
 * float32 root of the row's entry in `weights`, [batch], or 1 if that is NULL. Rows that are not finite, and rows whose
 * weight is negative or not finite, are left out; *count becomes how many rows were added. An engine that quantizes
 * each row by itself adds the values that the codes stand for, "float32" the rows as they are; any other engine gives
 * QRNN_ERR_ENGINE. */
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
    int quantized; /* takes int8 weights; 0: float32 */
    int per_row; /* quantizes each row of a batch by itself; 0: all rows by one scale */
    int scale_per_row; /* weights have a scale for each output row by default; 0: one for the matrix */
    int projects, resets_before; /* supports kinds that do so */
    int options; /* supports qrnn_options */
} qrnn_engine_info;

/* The rows of the tables, in order; NULL past the end. The first engine is the default. */
const qrnn_engine_info *qrnn_engine_get(size_t i);
const qrnn_engine_info *qrnn_engine_by_name(const char *name); /* NULL if there is no such engine */
const char *qrnn_engine_name(size_t i);
const char *qrnn_engine_activations(size_t i); /* the format of its activations: a name from qrnn_activations_name */
const char *qrnn_weights_name(size_t i); /* formats of weights */
const char *qrnn_activations_name(size_t i); /* formats of activations */
const char *qrnn_isa_name(size_t i);
int qrnn_isa_supported(size_t i); /* whether this CPU has it */

#ifdef __cplusplus
}
#endif
#endif
