"""Calibration: rounding weights by the data that a prepared model was called with.

Between `prepare` and `convert`, calls of the model are observed; `convert` rounds by what they
showed. See docs/calibration.md.
"""

from __future__ import annotations

import sys
from typing import Any, TypeVar

from ._belongs import belongs
from ._model_calls import calls_of
from ._module import Module
from ._preparation import Preparation

__all__ = ["disable_observer", "enable_observer", "merge_statistics"]

M = TypeVar("M")


def enable_observer(mod: Any) -> None:
    """Make a prepared module observe its inputs again: ``model.apply(enable_observer)``.

    Parameters
    ----------
    mod : Module or torch.nn.Module
        One that is not prepared is left alone.

    Examples
    --------
    >>> import qrnn
    >>> model = qrnn.prepare(qrnn.nn.Sequential(qrnn.nn.Linear(3, 2)), qconfig={})
    >>> model = model.apply(qrnn.quantization.enable_observer)
    """
    _observe(mod, True)


def disable_observer(mod: Any) -> None:
    """Make a prepared module stop observing, but keep what it saw: ``model.apply(disable_observer)``.

    Use it for training between `prepare` and `convert`, and for data that calibration should not see.

    Parameters
    ----------
    mod : Module or torch.nn.Module
        One that is not prepared is left alone.

    Examples
    --------
    >>> import qrnn
    >>> model = qrnn.prepare(qrnn.nn.Sequential(qrnn.nn.Linear(3, 2)), qconfig={})
    >>> model = model.apply(qrnn.quantization.disable_observer)
    """
    _observe(mod, False)


def _observe(mod: Any, enabled: bool) -> None:
    preparation = _preparation_of(mod)
    if preparation is not None:
        preparation.statistics.enabled = enabled


def _preparation_of(mod: Any) -> Preparation | None:
    """The preparation that a prepared module of either package keeps; None for any other module."""
    found = vars(mod).get("_prepared") if hasattr(mod, "__dict__") else None
    return found if isinstance(found, Preparation) else None


def merge_statistics(model: M, *others: M) -> M:
    """Add to a prepared model what copies of it have observed, each on its own data.

    Parameters
    ----------
    model : Module or torch.nn.Module
        Prepared; its statistics are changed.
    *others : Module or torch.nn.Module
        Copies of it (``copy.deepcopy``, or pickled from another process), made before they were called.
        What a model had observed before it was copied would count twice.

    Returns
    -------
    Module
        `model`.

    Raises
    ------
    TypeError
        If an argument is no Module.
    ValueError
        If one does not have the same prepared modules under the same names. Then nothing has changed.

    Examples
    --------
    >>> import copy, numpy as np, qrnn
    >>> model = qrnn.prepare(qrnn.nn.Linear(3, 2), qconfig={})
    >>> other = copy.deepcopy(model)
    >>> x = np.random.default_rng(0).standard_normal((10, 3), dtype=np.float32)
    >>> y, z = model(x[:5]), other(x[5:])
    >>> new = qrnn.convert(qrnn.quantization.merge_statistics(model, other))
    >>> qrnn.quantization.calibration_report(new)[0].samples
    8
    """
    own = _prepared(model, "model")
    pairs = []
    for place, other in enumerate(others):
        theirs = _prepared(other, f"others[{place}]")
        for name in own.keys() | theirs.keys():
            if name not in own or name not in theirs or _summable(own[name]) != _summable(theirs[name]):
                raise ValueError(
                    f"others[{place}]: expected the same prepared modules as in model, but "
                    f"{name or 'the model'} differs"
                )
            pairs.append((own[name], theirs[name]))
    for mine, its in pairs:
        mine._prepared.statistics.merge(its._prepared.statistics)
    calls = [found for each in (model, *others) if (found := calls_of(each)) is not None]
    for its_calls in calls[1:] if calls_of(model) is not None else ():
        calls[0].merge(its_calls)
    return model


def _prepared(model: Any, argument: str) -> dict[str, Any]:
    torch = sys.modules.get("torch")
    if not isinstance(model, Module) and (torch is None or not isinstance(model, torch.nn.Module)):
        raise TypeError(f"{argument}: expected a qrnn.nn.Module, got {type(model).__name__}{belongs(model)}")
    found = {name: each for name, each in model.named_modules() if _preparation_of(each) is not None}
    if not found:
        raise ValueError(f"{argument}: expected a prepared model, got one without prepared modules")
    return found


def _summable(layer: Any) -> tuple[Any, ...]:
    """What has to be equal in two layers for their statistics to be added."""
    statistics = layer._prepared.statistics
    return layer._spec._replace(bias=True, dropout=0.0), statistics.engine, statistics.engines
