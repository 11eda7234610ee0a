"""The modules that loading can make from a file's description: two tables with a row for each class.

Layers that the core computes are not in them: these have rows in ``_rows.py``, and their specs describe them.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from . import nn
from ._module import Module

__all__ = ["MODULES", "READERS", "ModuleRow", "ReaderRow", "reader_kind", "reader_type"]

Options = Mapping[str, Any]


class ModuleRow(NamedTuple):
    """A class, and the arguments of its constructor.

    Attributes
    ----------
    cls : type
        PyTorch's class of the same name has the same attributes.
    options : tuple of str
        Arguments of the constructor that change results, by the names of the attributes that keep them.
    idle : tuple of str
        The same for arguments that change no results.
    largest : callable, optional
        Computes, from the options, name and shape of the largest array that the constructor makes, if it makes any.
    computes : bool
        Whether its calls compute something that those of no other row do.
    """

    cls: type[Module]
    options: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    largest: Callable[[Options], tuple[str, tuple[int, ...]] | None] | None = None
    computes: bool = True


def _embedding(of: Options) -> tuple[str, tuple[int, ...]]:
    return "weight", (of["num_embeddings"], of["embedding_dim"])


def _layer_norm(of: Options) -> tuple[str, tuple[int, ...]] | None:
    return ("weight", tuple(of["normalized_shape"])) if of["elementwise_affine"] else None


def _batch_norm(of: Options) -> tuple[str, tuple[int, ...]]:
    return "running_mean", (of["num_features"],)


def _conv(of: Options) -> tuple[str, tuple[int, ...]]:
    return "weight", (of["out_channels"], of["in_channels"] // of["groups"], math.prod(of["kernel_size"]))


_CONV = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias")
_EMBEDDING = ("padding_idx", "max_norm", "norm_type", "scale_grad_by_freq", "sparse")

_ROWS = (
    ModuleRow(nn.Sequential, computes=False),
    ModuleRow(nn.ModuleList, computes=False),
    ModuleRow(nn.ModuleDict, computes=False),
    ModuleRow(nn.Identity, computes=False),
    ModuleRow(nn.Dropout, idle=("p", "inplace"), computes=False),
    ModuleRow(nn.Flatten, ("start_dim", "end_dim")),
    ModuleRow(nn.ReLU, idle=("inplace",)),
    ModuleRow(nn.Tanh),
    ModuleRow(nn.Sigmoid),
    ModuleRow(nn.Softsign),
    ModuleRow(nn.Softplus, ("beta", "threshold")),
    ModuleRow(nn.ELU, ("alpha",), ("inplace",)),
    ModuleRow(nn.LeakyReLU, ("negative_slope",), ("inplace",)),
    ModuleRow(nn.Hardsigmoid, idle=("inplace",)),
    ModuleRow(nn.Hardtanh, ("min_val", "max_val"), ("inplace",)),
    ModuleRow(nn.Softmax, ("dim",)),
    ModuleRow(nn.LogSoftmax, ("dim",)),
    ModuleRow(nn.Embedding, ("num_embeddings", "embedding_dim"), _EMBEDDING, _embedding),
    ModuleRow(nn.LayerNorm, ("normalized_shape", "eps", "elementwise_affine", "bias"), (), _layer_norm),
    ModuleRow(
        nn.BatchNorm1d, ("num_features", "eps", "affine", "bias"), ("momentum", "track_running_stats"), _batch_norm
    ),
    ModuleRow(nn.Conv1d, _CONV, ("padding_mode",), _conv),
)

#: The rows by the names of their classes.
MODULES: Mapping[str, ModuleRow] = {row.cls.__name__: row for row in _ROWS}


class ReaderRow(NamedTuple):
    """A class of the packages that read other frameworks' models. It is imported if a file has one.

    Loading makes its children first, and then calls it with everything that the file has for it as keyword arguments:
    ``cls(**options, **children, **arrays)``, with children by their names in it, and arrays by the names of its own
    parameters and buffers. If these names are not known in advance, loading calls ``cls._from_parts(options, children,
    arrays)`` instead. Both raise TypeError, ValueError or KeyError if something does not fit: a file may hold anything.

    Attributes
    ----------
    options : tuple of str
        Arguments of the constructor that change results, by the names of the attributes that keep them: plain values,
        or lists, tuples and dicts of these, which loading makes as lists and dicts.
    idle : tuple of str
        The same for arguments that change no results.
    computes : bool
        As in `ModuleRow`.
    """

    options: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    computes: bool = True


#: The rows by the public names of the classes, below this package. Loading looks for no other names.
READERS: Mapping[str, ReaderRow] = {
    "_graph.Choice": ReaderRow(),
    "_graph.Graph": ReaderRow(("inputs", "outputs", "steps")),
    "keras.Activation": ReaderRow(("function", "numbers")),
    "keras.Convolution": ReaderRow(("padding",)),
    "keras.Embedding": ReaderRow(("mask_zero",)),
    "keras.GlobalPooling": ReaderRow(("function", "keepdims")),
    "keras.MaskedSoftmax": ReaderRow(("axis",)),
    "keras.Masking": ReaderRow(("mask_value",)),
    "keras.Model": ReaderRow(),
    "keras.Normalization": ReaderRow(("axis",)),
    "keras.Permute": ReaderRow(("dims",)),
    "keras.Pooling": ReaderRow(("function", "pool_size", "strides", "padding")),
    "keras.RecurrentLayer": ReaderRow(
        ("return_sequences", "return_state", "stateful", "zero_output_for_mask", "merge_mode")
    ),
    "keras.Repeat": ReaderRow(("n",)),
    "keras.Reshape": ReaderRow(("target_shape",)),
    "keras.TimeDistributed": ReaderRow(),
    "onnx.RecurrentNode": ReaderRow(("layout",), ("inputs", "outputs")),
}


def reader_kind(cls: type) -> str | None:
    """The name in that table of a class; None if it has no row."""
    kind = f"{cls.__module__}.{cls.__name__}".removeprefix(f"{__package__}.")
    return kind if kind in READERS and reader_type(kind) is cls else None


def reader_type(kind: str) -> type[Module]:
    """The class of a row of that table."""
    module, _, name = kind.rpartition(".")
    cls: type[Module] = getattr(importlib.import_module(f".{module}", __package__), name)
    return cls
