// qrnn.js - saved models in WebAssembly: a wrapper of qrnn.h for files of qrnn.save.
//
//     const core = await Core.load(fetch("qrnn.wasm"));
//     const model = core.model(await (await fetch("model.safetensors")).arrayBuffer());
//     const stream = model.layer("rnn").stream();
//     const h = stream.step(frame);                    // Float32Array in, Float32Array out; the state stays in it
//     const scores = model.layer("classifier").apply(h);
//
// Results have the bits of the same calls in Python. Whatever does not fit is an Error that names it.

// The structures of qrnn.h, in its order. All their members have 4 bytes in WebAssembly.
const WEIGHT = ["values", "codes", "scale", "n_scale", "bias", "format", "activations"];
const SPEC = ["kind", "engine", "isa", "input_size", "hidden_size", "proj_size", "layers", "directions", "sequence",
    "options", "weights"];
const RUN = ["steps", "batch", "batch_first", "x", "h", "c", "lengths", "out", "below", "inner", "slopes", "h_out",
    "c_out", "threads", "stop", "context"];
const KIND = ["name", "family", "cell", "gates", "states", "projects", "resets_before"]; // and more, not read
const MATRIX = ["layer", "direction", "rows", "cols", "takes_bias", "multiplies"]; // then two names of 48 bytes
const NAME_BYTES = 48;

const TYPES = {F32: Float32Array, I8: Int8Array, U8: Uint8Array};
// What a file says of a layer, as far as this wrapper reads it. Layers with options (docs/options.md) are refused.
const KNOWN = new Set(["kind", "input_size", "hidden_size", "in_features", "out_features", "bias", "num_layers",
    "batch_first", "bidirectional", "dropout", "proj_size", "reset_after", "nonlinearity", "engine", "precision",
    "version", "calibration", "calibrated", "calibrated_model"]);

/** The tensors of a safetensors file by name, {shape, values}, and what it says of modules, by name. */
export function parse(buffer) {
    const refuse = (text) => { throw new Error(`safetensors: ${text}`); };
    if (buffer.byteLength < 8) refuse(`expected a safetensors file, got ${buffer.byteLength} bytes`);
    const length = Number(new DataView(buffer).getBigUint64(0, true)), start = 8 + length;
    if (start > buffer.byteLength) refuse(`expected a header of ${length} bytes, got ${buffer.byteLength - 8}`);
    const header = JSON.parse(new TextDecoder("utf-8", {fatal: true}).decode(new Uint8Array(buffer, 8, length)));
    const tensors = new Map();
    for (const [name, {dtype, shape, data_offsets: offsets}] of Object.entries(header)) {
        if (name === "__metadata__") continue;
        const [begin, end] = offsets, type = TYPES[dtype]; // others may lie in a file, but are no weights
        const elements = shape.reduce((a, b) => a * b, 1), bytes = type ? elements * type.BYTES_PER_ELEMENT : end - begin;
        if (!(begin >= 0 && bytes >= 0 && end - begin === bytes && start + end <= buffer.byteLength))
            refuse(`${name}: expected ${bytes} bytes of the file, got ${begin} to ${end}`);
        tensors.set(name, {dtype, shape, values: type && new type(buffer.slice(start + begin, start + end))});
    }
    const text = header.__metadata__?.qrnn, modules = new Map();
    for (const [name, entry] of text ? JSON.parse(text).modules : [])
        modules.set(name, entry.same === undefined ? {prefix: name, ...entry} : modules.get(entry.same));
    return {tensors, modules};
}

/** What qrnn.wasm has: its memory and the functions of qrnn.h. */
export class Core {
    /** Of a response, a promise of one, or bytes. */
    static async load(source) {
        const given = await source;
        const bytes = typeof Response !== "undefined" && given instanceof Response ? await given.arrayBuffer() : given;
        const module = await WebAssembly.compile(bytes), imports = {};
        // The C library's files, which the core never opens: no such function (ENOSYS of WASI).
        for (const {module: from, name} of WebAssembly.Module.imports(module)) (imports[from] ??= {})[name] = () => 52;
        return new Core(await WebAssembly.instantiate(module, imports));
    }

    constructor(instance) {
        this.call = instance.exports;
        this.strings = new Map();
    }

    /** Memory of so many bytes, until `free`. */
    take(bytes) {
        return this.call.malloc(Math.max(bytes, 1)) || (() => { throw new Error("qrnn: out of memory"); })();
    }

    free(...addresses) {
        for (const address of addresses) this.call.free(address);
    }

    // Views are made anew each time: memory that grows leaves old ones empty.
    floats(address, length) { return new Float32Array(this.call.memory.buffer, address, length); }
    bytes(address, length) { return new Uint8Array(this.call.memory.buffer, address, length); }
    words(address, length) { return new Uint32Array(this.call.memory.buffer, address, length); }

    /** A copy of a typed array. */
    copied(values) {
        const address = this.take(values.byteLength);
        this.bytes(address, values.byteLength).set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
        return address;
    }

    /** A structure of these members; those that are not given are 0. */
    struct(names, members) {
        for (const name of Object.keys(members)) if (!names.includes(name)) throw new Error(`no member ${name}`);
        return this.copied(Uint32Array.from(names, (name) => members[name] ?? 0));
    }

    members(names, address) {
        const words = this.words(address, names.length);
        return Object.fromEntries(names.map((name, i) => [name, words[i]]));
    }

    /** A string for C, kept as long as the core. */
    string(text) {
        if (!this.strings.has(text)) this.strings.set(text, this.copied(new TextEncoder().encode(`${text}\0`)));
        return this.strings.get(text);
    }

    text(address) {
        const memory = new Uint8Array(this.call.memory.buffer);
        return new TextDecoder().decode(memory.slice(address, memory.indexOf(0, address)));
    }

    check(status, what) {
        if (status !== 0) throw new Error(`${what}: ${this.text(this.call.qrnn_status_text(status))}`);
    }

    /** Instruction sets, slowest first: "wasm" is there if qrnn.wasm has simd128. */
    isas() {
        const names = [];
        for (let i = 0, name; (name = this.call.qrnn_isa_name(i)) !== 0; i++)
            if (this.call.qrnn_isa_supported(i)) names.push(this.text(name));
        return names;
    }

    /** The kind of a layer that a file describes: its row in the core's table. */
    kind(description) {
        for (let i = 0, row; (row = this.call.qrnn_kind_get(i)) !== 0; i++) {
            const kind = this.members(KIND, row);
            const [name, family, cell] = [kind.name, kind.family, kind.cell].map((each) => this.text(each));
            if (description.kind !== family && description.kind !== cell) continue;
            if (description.nonlinearity && name !== `rnn_${description.nonlinearity}`) continue;
            if (description.reset_after !== undefined && description.reset_after !== !kind.resets_before) continue;
            return {...kind, number: i, sequence: kind.states > 0 && description.kind === family};
        }
        throw new Error(`expected a layer that qrnn computes, got ${description.kind ?? description.class}`);
    }

    /** The model in a file, as bytes. */
    model(buffer) {
        return new Model(this, parse(buffer));
    }
}

export class Model {
    constructor(core, {tensors, modules}) {
        Object.assign(this, {core, tensors, modules});
    }

    /** The layer of a dotted name, packed for `isa`, or for the best there is. */
    layer(name, isa = null) {
        const described = this.modules.get(name);
        if (!described) throw new Error(`expected one of ${[...this.modules.keys()].join(", ")}, got ${name}`);
        return new Layer(this.core, described, this.tensors, isa);
    }
}

/** A linear, a cell, or a recurrent layer over sequences. */
export class Layer {
    constructor(core, description, tensors, isa) {
        const unknown = Object.keys(description).filter((key) => key !== "prefix" && !KNOWN.has(key));
        this.name = description.prefix || "the model";
        this.kind = core.kind(description);
        if (unknown.length > 0) throw new Error(`${this.name}: this wrapper has no ${unknown.join(", ")}`);
        this.core = core;
        this.inputSize = description.input_size ?? description.in_features;
        this.hiddenSize = description.hidden_size ?? description.out_features;
        this.stateSize = description.proj_size || this.hiddenSize;
        this.layers = description.num_layers ?? 1;
        this.directions = description.bidirectional ? 2 : 1;
        const given = []; // addresses of what qrnn_module_new reads; the module keeps copies
        const keep = (address) => { given.push(address); return address; };
        try {
            const spec = keep(core.struct(SPEC, {kind: this.kind.number, engine: core.string(description.engine),
                isa: isa === null ? 0 : core.string(isa), input_size: this.inputSize, hidden_size: this.hiddenSize,
                proj_size: description.proj_size ?? 0, layers: this.layers, directions: this.directions,
                sequence: this.kind.sequence ? 1 : 0}));
            const out = keep(core.take(4)), weights = this.#weights(spec, description, tensors, keep);
            core.words(spec, SPEC.length)[SPEC.indexOf("weights")] = weights;
            core.check(core.call.qrnn_module_new(spec, out, 0), this.name);
            this.module = core.words(out, 1)[0];
        } finally {
            core.free(...given);
        }
    }

    /** The address of an array of qrnn_weight for the matrices of the layer. */
    #weights(spec, {prefix, precision = {}}, tensors, keep) {
        const {core} = this, count = core.call.qrnn_spec_matrices(spec), rows = [];
        const info = keep(core.take(4 * MATRIX.length + 2 * NAME_BYTES));
        const find = (name) => tensors.get(prefix ? `${prefix}.${name}` : name);
        for (let i = 0; i < count; i++) {
            core.call.qrnn_spec_matrix(spec, i, info);
            const matrix = core.members(MATRIX, info);
            const [name, biasName] = [0, 1].map((j) => core.text(info + 4 * MATRIX.length + j * NAME_BYTES));
            const weight = find(name), scale = find(`${name}_scale`), bias = find(biasName), row = {};
            const put = (member, tensor, type, length) => {
                if (!(tensor?.values instanceof type) || tensor.values.length !== length)
                    throw new Error(`${this.name}: ${name}: expected ${length} numbers as its ${member}, a ${type.name}, ` +
                        `got ${tensor ? `${tensor.dtype} of shape [${tensor.shape}]` : "none"}`);
                row[member] = keep(core.copied(tensor.values));
            };
            put(scale ? "codes" : "values", weight, scale ? Int8Array : Float32Array, matrix.rows * matrix.cols);
            if (scale) {
                row.n_scale = scale.shape.length ? matrix.rows : 1;
                put("scale", scale, Float32Array, row.n_scale);
            }
            if (bias && matrix.takes_bias) put("bias", bias, Float32Array, matrix.rows);
            if (precision[name]) row.activations = core.string(precision[name]);
            rows.push(...WEIGHT.map((member) => row[member] ?? 0));
        }
        return keep(core.copied(Uint32Array.from(rows)));
    }

    /** y = W x + b of a linear; x is [inputSize], or some rows of it one behind the other. */
    apply(x) {
        const {core} = this, batch = this.rowsOf(x);
        const given = core.copied(Float32Array.from(x)), y = core.take(4 * batch * this.hiddenSize);
        const status = core.call.qrnn_linear(this.module, batch, given, y);
        const result = core.floats(y, batch * this.hiddenSize).slice();
        core.free(given, y);
        core.check(status, this.name);
        return result;
    }

    /** A stream of frames through a cell, or through the layers of one that reads forward. */
    stream() {
        return new Stream(this);
    }

    rowsOf(x) {
        if (x.length === 0 || x.length % this.inputSize !== 0)
            throw new Error(`${this.name}: expected rows of ${this.inputSize}, got ${x.length} values`);
        return x.length / this.inputSize;
    }

    free() {
        this.core.call.qrnn_module_unref(this.module);
        this.module = 0;
    }
}

/** A state, and room for a frame and its output: a step takes no more of the core's memory. */
export class Stream {
    constructor(layer) {
        const {core, kind, layers, hiddenSize, stateSize} = layer;
        if (kind.states === 0) throw new Error(`${layer.name}: expected a recurrent layer`);
        if (layer.directions !== 1) throw new Error(`${layer.name}: expected one direction, as no frame is the last`);
        this.layer = layer;
        this.sizes = {x: layer.inputSize, h: layers * stateSize, c: kind.states > 1 ? layers * hiddenSize : 0,
            out: stateSize};
        for (const [name, size] of Object.entries(this.sizes)) this[name] = size ? core.take(4 * size) : 0;
        const {x, h, c, out} = this;
        this.run = core.struct(RUN, {steps: 1, batch: 1, x, h, c, out, h_out: h, c_out: c});
        this.reset();
    }

    /** The state becomes zeros. */
    reset() {
        for (const name of ["h", "c"]) if (this[name]) this.layer.core.floats(this[name], this.sizes[name]).fill(0);
    }

    /** One frame; what comes out of the last layer. */
    step(frame) {
        const {layer, sizes, x, h, c, out} = this, {core, kind, module} = layer;
        if (frame.length !== sizes.x)
            throw new Error(`${layer.name}: expected a frame of ${sizes.x} values, got ${frame.length}`);
        core.floats(x, sizes.x).set(frame);
        core.check(kind.sequence ? core.call.qrnn_sequence(module, this.run, 0)
            : core.call.qrnn_step(module, 1, x, h, c, h, c), layer.name);
        return core.floats(kind.sequence ? out : h, sizes.out).slice();
    }

    free() {
        this.layer.core.free(...["x", "h", "c", "out", "run"].map((name) => this[name]).filter((each) => each));
    }
}
