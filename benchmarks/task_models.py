"""The models of benchmarks/tasks.py: each written once, for `qrnn.nn` and `torch.nn`, and what libraries make of it."""

import io
import logging
import warnings

import numpy as np
import torch

import qrnn

torch_quantization = torch.ao.quantization


def reader(kind, inputs, units, outputs, *, layers=1, both=False, every=False, before=None, after=None, cell=False):
    """A function of `qrnn.nn` or `torch.nn` that makes a model: a recurrent layer and a Linear.

    It reads [steps, 1, inputs] and answers from the last state, or with `every` at each step. `before` and `after` name
    what stands around the Linear. With `cell` an RNNCell goes from step to step, for who has no layer.
    """

    def make(nn):
        class Reader(nn.Module):
            def __init__(self):
                super().__init__()
                if cell:
                    self.rnn = nn.RNNCell(inputs, units)
                else:
                    self.rnn = getattr(nn, kind)(inputs, units, layers, bidirectional=both)
                self.before = nn.Identity() if before is None else getattr(nn, before)()
                self.head = nn.Linear((1 + both) * units, outputs)
                self.after = nn.Identity() if after is None else getattr(nn, after)()

            def answer(self, output, state):
                """The scores, of what the recurrent layer gives."""
                if every:
                    return self.after(self.head(self.before(output)))
                h = state[0] if isinstance(state, tuple) else state
                return self.after(self.head(self.before(h[-1 - both :].reshape(1, (1 + both) * units))))

            def forward(self, x):
                if not cell:
                    return self.answer(*self.rnn(x))
                h = self.rnn(x[0])
                for step in x[1:]:
                    h = self.rnn(step, h)
                return self.after(self.head(self.before(h)))

        return Reader()

    return make


def speller(letters, phonemes, width, units):
    """The same of g2p_en: one GRU reads letters, another one says phonemes, each after the one before."""

    def make(nn):
        class Speller(nn.Module):
            def __init__(self):
                super().__init__()
                self.enc_emb, self.dec_emb = nn.Embedding(letters, width), nn.Embedding(phonemes, width)
                self.encoder, self.decoder = nn.GRU(width, units), nn.GRU(width, units)
                self.head = nn.Linear(units, phonemes)

            def forward(self, word, said):
                _, h = self.encoder(self.enc_emb(word))
                output, _ = self.decoder(self.dec_emb(said), h)
                return self.head(output)

        return Speller()

    return make


class Session:
    """A model of ONNX Runtime, on one thread, that is called with arrays."""

    def __init__(self, model):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.nbytes = len(model)
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.names = [each.name for each in self.session.get_inputs()]

    def __call__(self, *arrays):
        return self.session.run(None, dict(zip(self.names, arrays, strict=True)))[0]


class LiteRT:
    """The recurrent layers of a `reader` as hybrid operators of LiteRT, one after the other; its head is that of qrnn.

    LiteRT fixes the number of steps in a model: here is one for each that comes.
    """

    def __init__(self, model):
        from peers import litert_

        self.model, self.build, self.interpreter = model, getattr(litert_, type(model.rnn).__name__.lower()), litert_
        state = {name: np.asarray(value) for name, value in model.rnn.state_dict().items()}
        self.layers = [
            {name.removesuffix(f"_l{layer}"): value for name, value in state.items() if name.endswith(f"_l{layer}")}
            for layer in range(model.rnn.num_layers)
        ]
        self.made = {}
        self.nbytes = sum(len(self.content(each, 1)) for each in self.layers) + model.head.nbytes

    def content(self, weights, steps):
        return self.build(weights, steps, 1, int8=True, asymmetric=True)

    def interpreters(self, steps):
        if steps not in self.made:
            contents = [self.content(each, steps) for each in self.layers]
            made = [self.interpreter.Interpreter(model_content=each, num_threads=1) for each in contents]
            for each in made:
                each.allocate_tensors()
            ends = [(each.get_input_details()[0]["index"], each.get_output_details()[0]["index"]) for each in made]
            self.made[steps] = list(zip(made, ends, strict=True))
        return self.made[steps]

    def __call__(self, x):
        for interpreter, (given, made) in self.interpreters(len(x)):
            interpreter.reset_all_variables()
            interpreter.set_tensor(given, x)
            interpreter.invoke()
            x = interpreter.get_tensor(made)
        return self.model.answer(x, x[-1:])


def loaded(model, state):
    """The model in eval mode, with arrays as weights."""
    if isinstance(model, torch.nn.Module):
        state = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
        model.requires_grad_(False)
    model.load_state_dict(state)
    return model.eval()


def of_cell(state):
    """The state of a `reader` under the names that it has with `cell`."""
    return {name.removesuffix("_l0"): value for name, value in state.items()}


def by_torch_ao(model):
    """What `quantize_dynamic` makes of all layers that it can."""
    nn = torch.nn
    with warnings.catch_warnings():  # torch.ao announces its removal
        warnings.simplefilter("ignore")
        kinds = {nn.RNNCell, nn.LSTM, nn.GRU, nn.Linear}
        return torch_quantization.quantize_dynamic(model, kinds)


def by_onnxruntime(content):
    """(the int8 model as bytes, operators that stayed float) of what ONNX Runtime's own tool makes, a scale a row."""
    import onnx
    from onnxruntime import quantization

    made = io.BytesIO()
    options = {"per_channel": True, "weight_type": quantization.QuantType.QInt8}
    logging.disable(logging.WARNING)  # that the model was not simplified before
    quantization.quantize_dynamic(onnx.load_from_string(content), made, **options)
    logging.disable(logging.NOTSET)
    model = onnx.load_from_string(made.getvalue())
    return made.getvalue(), sorted({node.op_type for node in model.graph.node} & {"RNN", "LSTM", "GRU"})


def contenders(task):
    """({name: model}, {name: what is to be said of it}); the first is the reference."""
    theirs = loaded(task.make(torch.nn), task.state)
    ours = loaded(task.make(qrnn.nn), task.state)
    prepared = qrnn.prepare(ours, qconfig={}, inplace=False)
    for each in task.calibration:
        prepared(*each)
    with warnings.catch_warnings():  # that a matrix should be float32: what a user would see first is measured
        warnings.simplefilter("ignore")
        calibrated = qrnn.convert(prepared)
    models = {
        "PyTorch float32": theirs,
        "qrnn float32": ours,
        "qrnn 8 bits": qrnn.quantize_dynamic(ours),
        "qrnn 8 bits, calibrated": calibrated,
        "qrnn 13 bits": qrnn.quantize_dynamic(ours, engine="qrnn13"),
    }
    notes = {}
    if task.for_torch_ao is None:
        models["torch.ao int8"] = by_torch_ao(theirs)
    else:
        models["torch.ao int8"] = by_torch_ao(loaded(task.for_torch_ao(torch.nn), of_cell(task.state)))
        notes["torch.ao int8"] = "a loop over its cell: it has no quantized RNN"
    for add in add_onnxruntime, add_litert:
        try:
            add(task, ours, models, notes)
        except ModuleNotFoundError as error:
            notes[add.__name__.removeprefix("add_")] = f"not run: {error}"
    return models, notes


def add_onnxruntime(task, ours, models, notes):
    import qrnn.onnx

    content = qrnn.onnx.export(ours, task.data[0]).SerializeToString()
    models["ONNX Runtime float32"] = Session(content)
    content, left = by_onnxruntime(content)
    models["ONNX Runtime int8"] = Session(content)
    if left:
        notes["ONNX Runtime int8"] = f"its tool leaves {', '.join(left)} in float32"


def add_litert(task, ours, models, notes):
    if task.no_litert:
        notes["LiteRT int8"] = f"not run: {task.no_litert}"
        return
    models["LiteRT int8"] = LiteRT(ours)
    notes["LiteRT int8"] = "its layers, hybrid; the Linear behind them is qrnn's in float32"
