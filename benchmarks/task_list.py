"""The tasks of benchmarks/tasks.py: what is read, by which model, and what counts."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import task_data

import qrnn

DIGITS, VOWELS, TEXT = 445, 370, 20  # calls of a pass: all digits and utterances, and pieces of text
PIECE = 400  # characters
CALIBRATING = 40  # pieces of text, of that length
SPLIT = 15.0  # seconds of the recording: what lies before calibrates
SILERO = "data/silero_vad_16k_op15.onnx"
EVERY = 20  # spectra from one voice print to the next


@dataclass(frozen=True)
class Task:
    """A model, its data, and what counts."""

    name: str
    what: str
    make: Callable  # of qrnn.nn or torch.nn, the model
    state: dict
    data: list  # of tuples of arrays, a call each
    calibration: list
    metric: str
    score: Callable  # of the outputs, as a text
    decisions: Callable  # of the outputs, an array
    unit: str = "step"
    no_litert: str = ""
    for_torch_ao: Callable | None = None
    timed: int = 40  # how many calls of the data, at most


def share(outputs, labels, decide):
    found = decide(outputs)
    return f"{np.mean(found == labels):.2%}"


def last_column(outputs):
    """The decisions of classifiers: one a call, or one a step."""
    return np.concatenate([np.asarray(each).argmax(axis=-1).ravel() for each in outputs])


def sequences(x):
    """Rows of [rows, steps, inputs] as calls of one row each."""
    return [(np.ascontiguousarray(row[:, None]),) for row in x]


def example(name, renamed):
    """The weights of examples/NAME.npz, with names that begin otherwise."""
    import trained

    with np.load(trained.DIRECTORY / f"{name}.npz") as state:
        found = {}
        for key, value in state.items():
            for old, new in renamed.items():
                key = key.replace(old, new)
            found[key] = value
    return found


def digits():
    import digits_data
    import task_models

    training, _, x, y = digits_data.load()
    names = {"rnn_cell.weight_ih": "rnn.weight_ih_l0", "rnn_cell.weight_hh": "rnn.weight_hh_l0"}
    names |= {"rnn_cell.bias_ih": "rnn.bias_ih_l0", "rnn_cell.bias_hh": "rnn.bias_hh_l0", "classifier.": "head."}
    arguments = ("RNN", 8, 128, 10)
    return Task(
        "digits",
        "`examples/digits.npz`, an RNN(8, 128) of tanh that reads handwritten digits, row by row",
        task_models.reader(*arguments),
        example("digits", names),
        sequences(x[:DIGITS]),
        [(training.swapaxes(0, 1)[:, i : i + 1],) for i in range(0, len(training), 4)],
        "accuracy",
        partial(share, labels=y[:DIGITS], decide=last_column),
        last_column,
        for_torch_ao=task_models.reader(*arguments, cell=True),
    )


def vowels(kind, units, both):
    import task_models
    import vowels_data

    (training, lengths, _), (x, held_lengths, y) = vowels_data.load()
    state = example(f"vowels_{kind.lower()}", {"classifier.": "head."})
    return Task(
        f"vowels_{kind.lower()}",
        f"`examples/vowels_{kind.lower()}.npz`, {'a' if kind == 'GRU' else 'an'} {kind}(12, {units}) "
        f"{'in both directions ' if both else ''}that tells speakers apart",
        task_models.reader(kind, vowels_data.CHANNELS, units, vowels_data.SPEAKERS, both=both),
        state,
        [(x[i, :n, None].copy(),) for i, n in enumerate(held_lengths[:VOWELS])],
        [(training[i, :n, None].copy(),) for i, n in enumerate(lengths)],
        "accuracy",
        partial(share, labels=y[:VOWELS], decide=last_column),
        last_column,
        no_litert="it has no GRU" if kind == "GRU" else "",
    )


def bits_a_character(outputs, following):
    scores = np.concatenate([np.asarray(each, np.float64).reshape(-1, np.shape(each)[-1]) for each in outputs])
    scores -= scores.max(axis=1, keepdims=True)
    logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return f"{-np.mean(logs[np.arange(len(following)), following]) / np.log(2):.4f}"


def text(kind):
    import task_models
    import text_data

    training, held_back = text_data.load()
    letters = len(text_data.ALPHABET)
    pieces = [held_back[i * PIECE : (i + 1) * PIECE + 1] for i in range(TEXT)]
    calibration = [training[i : i + PIECE] for i in range(0, len(training) - PIECE, len(training) // CALIBRATING)]
    return Task(
        f"text_{kind.lower()}",
        f"`examples/text_{kind.lower()}.npz`, {'a' if kind == 'GRU' else 'an'} {kind}(96, 128) that says the next "
        "character",
        task_models.reader(kind, letters, 128, letters, every=True),
        example(f"text_{kind.lower()}", {"decoder.": "head."}),
        [(text_data.one_hot(piece[:-1, None]),) for piece in pieces],
        [(text_data.one_hot(piece[:, None]),) for piece in calibration],
        "bits a character",
        partial(bits_a_character, following=np.concatenate([piece[1:] for piece in pieces])),
        last_column,
        timed=5,
        no_litert="it has no GRU" if kind == "GRU" else "",
    )


def silero_weights():
    """The arrays of the package's ONNX file, by name."""
    import onnx

    path = task_data.file_of("silero_vad", SILERO, "silero-vad")
    return {each.name: onnx.numpy_helper.to_array(each) for each in onnx.load(path).graph.initializer}


def silero_features(arrays, samples):
    """What the convolutions of silero-vad give for each frame, [frames, 128]."""
    frames = task_data.speech_frames(samples)
    x = np.pad(frames, ((0, 0), (0, task_data.PAD)), mode="reflect")[:, None]
    layers = [(arrays["model.stft.forward_basis_buffer"], None, task_data.FRAME // 4)]
    for i, stride in enumerate((1, 2, 2, 1)):
        layers.append((*(arrays[f"model.encoder.{i}.reparam_conv.{kind}"] for kind in ("weight", "bias")), stride))
    for weight, bias, stride in layers:
        conv = qrnn.nn.Conv1d(
            *weight.shape[1::-1], weight.shape[2], stride, int(bias is not None), bias=bias is not None
        )
        conv.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}))
        x = conv(x)
        if bias is None:  # the spectrum: real and imaginary parts
            real, imaginary = np.split(x, 2, axis=1)
            x = np.sqrt(real**2 + imaginary**2)
        else:
            x = np.maximum(x, 0)
    return x[:, :, 0]


def check_silero(probabilities, samples):
    """SystemExit unless they are those of the file of silero-vad that ONNX Runtime computes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(task_data.file_of("silero_vad", SILERO)))
    state, worst = np.zeros((2, 1, 128), np.float32), 0.0
    for frame, probability in zip(task_data.speech_frames(samples), probabilities, strict=True):
        given = {"input": frame[None], "state": state, "sr": np.array(task_data.RATE, np.int64)}
        wanted, state = session.run(None, given)
        worst = max(worst, abs(float(wanted.ravel()[0]) - probability))
    if not worst < 1e-3:
        raise SystemExit(f"silero_vad: the model here is {worst:.3g} from ONNX Runtime's")


def silero_vad():
    import task_models

    samples, turns = task_data.recording()
    arrays, of_cell = silero_weights(), "model.decoder.rnn."
    state = {f"rnn.{k.removeprefix(of_cell)}_l0": v for k, v in arrays.items() if k.startswith(of_cell)}
    state["head.weight"] = arrays["model.decoder.decoder.2.weight"][:, :, 0]
    state["head.bias"] = arrays["model.decoder.decoder.2.bias"]
    make = task_models.reader("LSTM", 128, 128, 1, every=True, before="ReLU", after="Sigmoid")
    x = silero_features(arrays, samples)[:, None]
    check_silero(task_models.loaded(make(qrnn.nn), state)(x)[:, 0, 0], samples)
    labels, split = task_data.is_speech(turns, len(x)), int(SPLIT * task_data.RATE / task_data.FRAME)

    def spoken(outputs):
        return np.asarray(outputs[0])[split:, 0, 0] > 0.5

    return Task(
        "silero_vad",
        "the package silero-vad, an LSTM(128, 128) that hears speech in frames of 32 ms, on the features that its "
        "convolutions give; half a minute of two speakers from pyannote.audio",
        make,
        state,
        [(x,)],
        [(x[:split],)],
        "frames right",
        partial(share, labels=labels[split:], decide=spoken),
        spoken,
    )


def nearest_voice(outputs, labels, starts):
    """Of each voice print the speaker to whose others, which share no sound with it, it is most alike."""
    prints = np.concatenate([np.asarray(each, np.float64) for each in outputs])
    prints /= np.linalg.norm(prints, axis=1, keepdims=True)
    alike, names = prints @ prints.T, np.unique(labels)
    apart = np.abs(np.subtract.outer(starts, starts)) >= task_data.PARTIAL
    others = [apart & (labels == name) for name in names]
    return names[np.argmax([(alike * each).sum(axis=1) / each.sum(axis=1) for each in others], axis=0)]


def resemblyzer():
    import task_models
    import torch

    samples, turns = task_data.recording()
    path = task_data.file_of("resemblyzer", "pretrained.pt")
    state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
    names = {"lstm.": "rnn.", "linear.": "head."}
    state = {n + k.removeprefix(o): v.numpy() for k, v in state.items() for o, n in names.items() if k.startswith(o)}
    x = task_data.voice_spectra(samples)
    starts = np.arange(0, len(x) - task_data.PARTIAL, EVERY)
    speakers = task_data.speakers_of(turns, starts)
    late = starts * task_data.HOP / task_data.RATE >= SPLIT
    scored, labels = starts[late & (speakers != "")], speakers[late & (speakers != "")]
    early = starts[(starts + task_data.PARTIAL) * task_data.HOP / task_data.RATE < SPLIT]
    decide = partial(nearest_voice, labels=labels, starts=scored)
    return Task(
        "resemblyzer",
        "the package Resemblyzer, an LSTM(40, 256) of three layers that makes a voice print of 1.6 s; the same "
        "recording",
        task_models.reader("LSTM", 40, 256, 256, layers=3, after="ReLU"),
        state,
        [(x[at : at + task_data.PARTIAL, None].copy(),) for at in scored],
        [(x[at : at + task_data.PARTIAL, None].copy(),) for at in early],
        "speakers right",
        partial(share, labels=labels, decide=decide),
        decide,
        timed=4,
    )


def g2p_en():
    import task_models

    with np.load(task_data.file_of("g2p_en", "checkpoint20.npz", "g2p-en")) as arrays:
        state = {"enc_emb.weight": arrays["enc_emb"], "dec_emb.weight": arrays["dec_emb"]}
        for name, short in (("encoder", "enc"), ("decoder", "dec")):
            for kind, long in (("w", "weight"), ("b", "bias")):
                state |= {f"{name}.{long}_{side}_l0": arrays[f"{short}_{kind}_{side}"] for side in ("ih", "hh")}
        state |= {"head.weight": arrays["fc_w"], "head.bias": arrays["fc_b"]}
    start, end = (task_data.PHONEMES.index(each) for each in ("<s>", "</s>"))

    def calls(part):
        return [(word[:, None], np.array([[start], *said[:, None]])) for word, said in task_data.words(part)]

    targets = [np.array([*said, end]) for _, said in task_data.words(0)]

    def words_right(outputs):
        """The word is spelt right if each phoneme is, after the right ones before it."""
        found = [
            np.array_equal(np.asarray(each)[:, 0].argmax(axis=1), t) for each, t in zip(outputs, targets, strict=True)
        ]
        return f"{np.mean(found):.2%}"

    return Task(
        "g2p_en",
        "the package g2p_en, a GRU(256, 256) that reads the letters of an English word and one that says its phonemes; "
        "words of cmudict, with which it was trained",
        task_models.speller(len(task_data.LETTERS), *state["dec_emb.weight"].shape, state["head.weight"].shape[1]),
        state,
        calls(0),
        calls(1),
        "words right",
        words_right,
        last_column,
        unit="word",
        no_litert="it has no GRU",
    )


TASKS = {
    "digits": digits,
    "vowels_lstm": partial(vowels, "LSTM", 64, False),
    "vowels_gru": partial(vowels, "GRU", 48, True),
    "text_lstm": partial(text, "LSTM"),
    "text_gru": partial(text, "GRU"),
    "silero_vad": silero_vad,
    "resemblyzer": resemblyzer,
    "g2p_en": g2p_en,
}
