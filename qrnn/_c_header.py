"""The text of a C header that holds a model, made from the parts of its modules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ._c_parts import Making, Part
from ._c_text import array_text, float_text
from ._matrices import Matrix
from ._options import Activation
from ._spec import LayerSpec
from ._version import __version__

__all__ = ["Placed", "header_text"]


class Placed(NamedTuple):
    """A part of a model: its name in the model, its text as a module, and the sizes of its input and output."""

    name: str
    shown: str
    part: Part
    takes: int
    gives: int


def header_text(name: str, file: str, parts: Sequence[Placed]) -> str:
    """The text of the header `file`, in which the names of the model begin with `name`."""
    modules = sum(len(each.part.modules) for each in parts)
    states = sum(state.size for each in parts for state in each.part.states)
    width = max([1, *(each.gives for each in parts)])
    index, first = parts[0].part.by_index, parts[0].takes
    values = {
        "name": name,
        "file": file,
        "NAME": name.upper(),
        "version": __version__,
        "shown": "\n".join(f" *   {each.name or 'model'}: {each.shown}" for each in parts),
        "input": f"#define {name.upper()}_{'TOKENS' if index else 'INPUT'} {first}",
        "x": "int32_t x" if index else "const float *x",
        "takes": f"a number below {name.upper()}_TOKENS" if index else f"{name.upper()}_INPUT numbers",
        "output": parts[-1].gives,
        "modules": max(modules, 1),
        "states": max(states, 1),
        "width": width,
        "constants": "\n\n".join(_constants(name, parts)),
        "makers": "\n\n".join(_makers(name, parts)),
        "init": _init(name, modules),
        "reset": "".join(f"\n{line}" for line in _reset(name, parts)),
        "step": "\n".join(_step(name, parts)),
    }
    return _HEADER.format_map(values)


_HEADER = """\
/* A model for qrnn.h, written by qrnn {version}: frames go through
{shown}
 * In one C or C++ file of a program stands
 *     #define {NAME}_IMPLEMENTATION
 *     #include "{file}"
 * and others include it without that line. docs/embedding.md of qrnn has the rest. */
#ifndef {NAME}_H
#define {NAME}_H

#include <qrnn.h>

#ifdef __cplusplus
extern "C" {{
#endif

{input}
#define {NAME}_OUTPUT {output}

/* The weights, packed for the CPU. It does not change after {name}_init, so that many threads may use one. */
typedef struct {name}_net {{
    qrnn_module *modules[{modules}];
    const char *isa;
}} {name}_net;

/* One stream of frames: plain memory, which may be copied. */
typedef struct {name}_state {{
    float states[2][{states}];
    float work[2][{width}];
    int now; /* which of `states` are those after the last frame */
}} {name}_state;

/* isa: NULL, or a name from qrnn_isa_name, which has to live as long as `net`. On failure there is nothing to free. */
qrnn_status {name}_init({name}_net *net, const char *isa);
void {name}_free({name}_net *net);

/* Begins a stream. */
void {name}_reset({name}_state *state);

/* One frame of a stream: x, {takes}, gives y, {NAME}_OUTPUT numbers,
 * which do not overlap x. On failure neither y nor the stream has changed. */
qrnn_status {name}_step(const {name}_net *net, {name}_state *state, {x}, float *y);

#ifdef __cplusplus
}}
#endif
#endif

#ifdef {NAME}_IMPLEMENTATION
#include <math.h>
#include <string.h>

{constants}

{makers}

{init}

void {name}_free({name}_net *net)
{{
    for (size_t i = 0; i < sizeof net->modules / sizeof net->modules[0]; i++) qrnn_module_unref(net->modules[i]);
    memset(net, 0, sizeof *net);
}}

void {name}_reset({name}_state *state)
{{
    memset(state, 0, sizeof *state);{reset}
}}

qrnn_status {name}_step(const {name}_net *net, {name}_state *state, {x}, float *y)
{{
{step}
}}
#endif
"""


# ---- constants


def _prefix(name: str, index: int) -> str:
    """The beginning of the names of a part's arrays."""
    return f"{name}_{index}"


def _constants(name: str, parts: Sequence[Placed]) -> Iterator[str]:
    for index, placed in enumerate(parts):
        prefix = _prefix(name, index)
        for own, array in placed.part.arrays.items():
            yield array_text(f"{prefix}_{own}", array)
        for number, making in enumerate(placed.part.modules):
            for own, matrix in making.weights:
                for what, array in _arrays_of(matrix).items():
                    yield array_text(f"{prefix}_{number}_{own}{what}", array)
        for number, state in enumerate(placed.part.states):
            if state.start is not None:
                yield array_text(f"{prefix}_start{number}", state.start)


def _arrays_of(matrix: Matrix) -> dict[str, Any]:
    found = {"": matrix.weight, "_scale": matrix.scale, "_bias": matrix.bias}
    return {what: array for what, array in found.items() if array is not None}


# ---- modules of the core


def _makers(name: str, parts: Sequence[Placed]) -> Iterator[str]:
    """A function for each module of the core."""
    count = 0
    for index, placed in enumerate(parts):
        for number, making in enumerate(placed.part.modules):
            head = f"static qrnn_status {name}_make{count}(const char *isa, qrnn_module **out)"
            lines = "\n".join(f"    {line}" for line in _maker(f"{_prefix(name, index)}_{number}", making))
            yield f"{head}\n{{\n{lines}\n}}"
            count += 1


def _maker(prefix: str, making: Making) -> Iterator[str]:
    spec = making.spec
    yield f"qrnn_weight weights[{len(making.weights)}];"
    if spec.variant is not None:
        yield "qrnn_options options;"
    yield "qrnn_spec spec;"
    yield "memset(weights, 0, sizeof weights);"
    yield "memset(&spec, 0, sizeof spec);"
    for index, (own, matrix) in enumerate(making.weights):
        yield f"weights[{index}].{'values' if matrix.scale is None else 'codes'} = {prefix}_{own};"
        if matrix.scale is not None:
            yield f"weights[{index}].scale = {prefix}_{own}_scale;"
            yield f"weights[{index}].n_scale = {matrix.scale.size};"
        if matrix.bias is not None:
            yield f"weights[{index}].bias = {prefix}_{own}_bias;"
        if matrix.activations is not None:
            yield f'weights[{index}].activations = "{matrix.activations}";'
    yield from _options(spec)
    yield f"spec.kind = QRNN_{spec.kind.upper()};"
    yield f'spec.engine = "{making.engine}";'
    yield "spec.isa = isa;"
    yield f"spec.input_size = {spec.input_size};"
    yield f"spec.hidden_size = {spec.hidden_size};"
    yield f"spec.proj_size = {spec.proj_size};"
    yield "spec.layers = spec.directions = 1;"
    yield "spec.weights = weights;"
    yield "return qrnn_module_new(&spec, out, NULL);"


def _options(spec: LayerSpec) -> Iterator[str]:
    given = spec.variant
    if given is None:
        return
    yield f"qrnn_options_init(QRNN_{spec.kind.upper()}, &options);"
    for place, activation in enumerate((given.activations or ())[: len(spec.row.activations)]):
        yield from _activation(f"options.activations[0][{place}]", activation)
    for own in ("clip", "cell_clip", "proj_clip", "layer_norm"):
        if getattr(given, own):
            yield f"options.{own} = {float_text(getattr(given, own))};"
    for own in ("peepholes", "input_forget"):
        if getattr(given, own):
            yield f"options.{own} = 1;"
    yield "spec.options = &options;"


def _activation(place: str, activation: Activation) -> Iterator[str]:
    yield f"{place}.function = QRNN_ACTIVATION_{activation.name.upper()};"
    yield f"{place}.alpha = {float_text(activation.alpha)};"
    yield f"{place}.beta = {float_text(activation.beta)};"


def _init(name: str, modules: int) -> str:
    head = f"qrnn_status {name}_init({name}_net *net, const char *isa)\n{{\n"
    begin = "    memset(net, 0, sizeof *net);\n    net->isa = isa;\n"
    if not modules:
        return f"{head}{begin}    return QRNN_OK;\n}}"
    made = "".join(f"        {name}_make{i},\n" for i in range(modules))
    return f"""{head}    qrnn_status (*const make[])(const char *, qrnn_module **) = {{
{made}    }};
{begin}    for (size_t i = 0; i < {modules}; i++) {{
        const qrnn_status status = make[i](isa, &net->modules[i]);
        if (status != QRNN_OK) {{
            {name}_free(net);
            return status;
        }}
    }}
    return QRNN_OK;
}}"""


# ---- streams


def _reset(name: str, parts: Sequence[Placed]) -> Iterator[str]:
    place = 0
    for index, placed in enumerate(parts):
        for number, state in enumerate(placed.part.states):
            if state.start is not None:
                start = f"{_prefix(name, index)}_start{number}"
                yield f"    memcpy(state->states[0] + {place}, {start}, sizeof {start});"
            place += state.size


def _step(name: str, parts: Sequence[Placed]) -> Iterator[str]:
    """The statements of a step: each part reads what the one before it wrote, the last writes y."""
    states = [sum(state.size for state in each.part.states) for each in parts]
    modules = [len(each.part.modules) for each in parts]
    called = any("status =" in line for each in parts for line in each.part.lines)
    if called:
        yield "    qrnn_status status;"
    if any(states):
        yield "    const float *const before = state->states[state->now];"
        yield "    float *const after = state->states[1 - state->now];"
    if not any(modules):
        yield "    (void)net;"
    here, written, last = "x", 0, max((i for i, each in enumerate(parts) if each.part.lines), default=-1)
    for index, placed in enumerate(parts):
        part = placed.part
        if not part.lines:
            continue
        where = "y" if index == last else f"state->work[{written % 2}]"
        written += 1
        values = {
            **{"x": here, "y": where, "n": placed.takes, "name": _prefix(name, index)},
            "module": range(sum(modules[:index]), sum(modules) + 1),
            "state": range(sum(states[:index]), sum(states) + 1),
        }
        yield f"    /* {placed.name or 'the model'} */"
        yield from (f"    {line.format_map(values)}" for line in part.lines)
        here = where if part.result is None else part.result.format_map(values)
    if here != "y":
        yield f"    memcpy(y, {here}, {parts[-1].gives} * sizeof(float));"
    yield "    state->now = 1 - state->now;" if any(states) else "    (void)state;"
    yield "    return QRNN_OK;"
