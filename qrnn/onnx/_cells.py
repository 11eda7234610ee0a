"""Finds LSTM, GRU and RNN cells that an exporter wrote as single operations, by their equations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .._foreign import Direction
from ._affine import Affine, Forms, identity
from ._scope import Op, Scope

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Cell", "with_cells"]


class Cell(NamedTuple):
    """A cell of ``qrnn.nn``: its family, its parameters, and the GRU's option."""

    family: str
    weights: Direction
    reset_after: bool = True


def with_cells(scope: Scope) -> list[Op]:
    """The operations of a scope, with an operation of kind ``"cell"`` for those that compute a step of a cell.

    Operations that only the cell needed remain, but nothing uses their results.
    """
    forms = Forms(scope, scope.ops)
    cells: dict[int, Op] = {}
    replaced = set[int]()
    for found in _found(forms):
        op, places = found
        if not replaced & set(places):
            cells[min(places)] = op
            replaced |= set(places)
    if not cells:
        return scope.ops
    _agree(forms, cells.values())
    return [cells.get(i, op) for i, op in enumerate(scope.ops) if i in cells or i not in replaced]


def _agree(forms: Forms, cells: Iterable[Op]) -> None:
    """Tell input and state apart in first steps, where both come from outside and have one size, by later steps."""
    ops = [op for op in cells if len(op.inputs) == 3]
    keys = {id(op): tuple(map(identity, op.options["cell"].weights[:2])) for op in ops}
    sure = {keys[id(op)] for op in ops if forms.op(op.inputs[1]) is not None}
    for op in ops:
        if keys[id(op)] not in sure and keys[id(op)][::-1] in sure:
            x, h, c = op.inputs
            cell: Cell = op.options["cell"]
            weights = cell.weights._replace(weight_ih=cell.weights.weight_hh, weight_hh=cell.weights.weight_ih)
            op.inputs, op.options["cell"] = [h, x, c], cell._replace(weights=weights)


def _found(forms: Forms) -> Iterator[tuple[Op, list[int]]]:
    """Cells, with the places of the operations that compute their results."""
    for i, op in enumerate(forms.ops):
        if op.kind == "module" and type(op.options["module"]).__name__ == "Tanh":
            cell = _lstm(forms, op)
        elif op.kind == "add":
            cell = _gru(forms, op, i)
        else:
            continue
        if cell is not None:
            yield cell
    yield from _rnns(forms)


def _either(pair: tuple[str, str]) -> tuple[tuple[str, str], tuple[str, str]]:
    return pair, pair[::-1]


# ---- LSTM: c' = f c + i g, h' = o tanh(c')


def _lstm(forms: Forms, tanh: Op) -> tuple[Op, list[int]] | None:
    """The cell in which `tanh` is applied to the new c."""
    new_c = tanh.inputs[0]
    pair = forms.pair(new_c, "add")
    found = None if pair is None else _cell_state(forms, pair)
    if found is None:
        return None
    c, gates = found
    for place in forms.users.get(tanh.outputs[0], []):
        product = forms.ops[place]
        if product.kind != "mul" or len(product.inputs) != 2:
            continue
        for o, other in _either((product.inputs[0], product.inputs[1])):
            inner = forms.is_module(o, "Sigmoid")
            form = None if inner is None or other != tanh.outputs[0] else forms.affine(inner)
            if form is None:
                continue
            made = _lstm_op(forms, [*gates, form], c, product.outputs[0], new_c, product.name)
            if made is not None:
                return made, [forms.index[new_c], place]
    return None


def _cell_state(forms: Forms, pair: tuple[str, str]) -> tuple[str, list[Affine]] | None:
    """From ``f c + i g``, the value c and the forms of i, f and g."""
    for kept, new in _either(pair):
        first, second = forms.pair(kept, "mul"), forms.pair(new, "mul")
        if first is None or second is None:
            return None
        for f, c in _either(first):
            for i, g in _either(second):
                names = forms.is_module(i, "Sigmoid"), forms.is_module(f, "Sigmoid"), forms.is_module(g, "Tanh")
                if None in names or forms.is_module(c, "Tanh") is not None:
                    continue
                gates = [forms.affine(name) for name in names if name is not None]
                if all(each is not None for each in gates):
                    return c, [each for each in gates if each is not None]
    return None


def _lstm_op(forms: Forms, gates: list[Affine], c: str, new_h: str, new_c: str, name: str) -> Op | None:
    stacked = _stacked(forms, gates)
    if stacked is None:
        return None
    hidden = gates[0].rows
    states = [each for each in stacked.parts if stacked.parts[each].shape[1] == hidden]
    if len(stacked.parts) == 1:
        (only,) = stacked.parts
        return _joined(forms, stacked, only, hidden, c, new_h, new_c, name)
    if len(stacked.parts) != 2 or not states or not _flat(forms, *stacked.parts, c):
        return None
    h = next((each for each in states if _is_state(forms, each, c)), states[-1])
    (x,) = (each for each in stacked.parts if each != h)
    weights = Direction(stacked.parts[x], stacked.parts[h], *_biases(stacked))
    return Op("cell", [x, h, c], [new_h, new_c], {"cell": Cell("LSTM", weights)}, name)


def _joined(
    forms: Forms, stacked: Affine, only: str, hidden: int, c: str, new_h: str, new_c: str, name: str
) -> Op | None:
    """A cell whose input and state were joined before one product, as in TensorFlow."""
    pieces = _pieces(forms, only)
    if pieces is None or not _flat(forms, *pieces, c):
        return None
    weight, (x, h) = stacked.parts[only], pieces
    columns = weight.shape[1] - hidden
    if columns < 1:
        return None
    weights = Direction(weight[:, :columns], weight[:, columns:], *_biases(stacked))
    return Op("cell", [x, h, c], [new_h, new_c], {"cell": Cell("LSTM", weights)}, name)


def _pieces(forms: Forms, name: str) -> tuple[str, str] | None:
    """Both values, if two were joined along the last axis."""
    op = forms.op(name)
    if op is None or op.kind != "concat" or len(op.inputs) != 2 or op.options.get("axis") not in (1, -1):
        return None
    return op.inputs[0], op.inputs[1]


def _is_state(forms: Forms, h: str, c: str) -> bool:
    """Whether h and c belong together: the step before returned both, or both come from outside."""
    first, second = forms.op(h), forms.op(c)
    if first is None or second is None:
        return first is second
    tanhs = [forms.is_module(each, "Tanh") for each in first.inputs if isinstance(each, str)]
    return c in tanhs


# ---- GRU: h' = (1 - z) n + z h


def _gru(forms: Forms, op: Op, place: int) -> tuple[Op, list[int]] | None:
    for z, n, h in _gru_parts(forms, op):
        update, inner = forms.is_module(z, "Sigmoid"), forms.is_module(n, "Tanh")
        if update is None or inner is None:
            continue
        form = forms.affine(update)
        made = None if form is None else _gru_op(forms, form, inner, h, op)
        if made is not None:
            return made, [place]
    return None


def _gru_parts(forms: Forms, op: Op) -> Iterator[tuple[str, str, str]]:
    """The possible values of z, n and h."""
    for first, second in _either((op.inputs[0], op.inputs[1])):
        left, right = forms.pair(first, "mul"), forms.pair(second, "mul")
        if left is None:
            continue
        for z, other in _either(left):
            if right is None:  # n + z (h - n)
                difference = forms.pair(other, "sub")
                if difference is not None and difference[1] == second:
                    yield z, second, difference[0]
                continue
            for rest, n in _either(right):  # z h + (1 - z) n
                difference = forms.pair(rest, "sub")
                if difference is not None and difference[1] == z and _is_one(forms, difference[0]):
                    yield z, n, other


def _is_one(forms: Forms, name: str) -> bool:
    value = forms.scope.find(name)
    return value is not None and bool((value == 1).all())


def _gru_op(forms: Forms, update: Affine, inner: str, h: str, op: Op) -> Op | None:
    """The cell, from the form of z and the input of the tanh."""
    for reset_after, x_part, h_part, reset in _candidates(forms, inner, h):
        gates = [reset, update]
        stacked = _stacked(forms, gates)
        if stacked is None:
            continue
        if len(stacked.parts) == 1:
            stacked = _split_joined(forms, stacked, h, update.rows)
        sources = set() if stacked is None else set(stacked.parts)
        (x,) = set(x_part.parts) if len(x_part.parts) == 1 else {""}
        if stacked is None or sources != {x, h} or x == h or not _flat(forms, x, h):
            continue
        own = next(iter(h_part.parts.values()))
        if own.shape[1] != stacked.parts[h].shape[1] or x_part.parts[x].shape[1] != stacked.parts[x].shape[1]:
            continue
        weight_ih = forms.joined(stacked.parts[x], x_part.parts[x])
        weight_hh = forms.joined(stacked.parts[h], own)
        if weight_hh.shape != (3 * update.rows, update.rows):
            continue
        zeros, none = forms.zeros(update.rows), forms.zeros(2 * update.rows)
        gate = none if stacked.bias is None else stacked.bias
        bias_ih = forms.joined(gate, zeros if x_part.bias is None else x_part.bias)
        bias_hh = forms.joined(none, zeros if h_part.bias is None else h_part.bias)
        cell = Cell("GRU", Direction(weight_ih, weight_hh, bias_ih, bias_hh), reset_after)
        return Op("cell", [x, h], [op.outputs[0]], {"cell": cell}, op.name)
    return None


def _candidates(forms: Forms, inner: str, h: str) -> Iterator[tuple[bool, Affine, Affine, Affine]]:
    """Ways to read the input of the tanh: reset_after, its form of x, its form of h, and the form of r."""
    pair = forms.pair(inner, "add")
    for first, second in _either(pair) if pair is not None else ():
        product = forms.pair(second, "mul")  # W x + r (R h)
        for r, other in _either(product) if product is not None else ():
            name = forms.is_module(r, "Sigmoid")
            x_part, h_part, reset = (forms.affine(each) for each in (first, other, name or ""))
            if x_part is not None and h_part is not None and reset is not None and set(h_part.parts) == {h}:
                yield True, x_part, h_part, reset
    whole = forms.affine(inner)
    if whole is not None and len(whole.parts) == 1:
        whole = _split_joined(forms, whole, None, whole.rows)
    for name in whole.parts if whole is not None and len(whole.parts) == 2 else ():
        product = forms.pair(name, "mul")  # W x + R (r h)
        for r, other in _either(product) if product is not None else ():
            sigmoid = forms.is_module(r, "Sigmoid")
            reset = None if sigmoid is None or other != h else forms.affine(sigmoid)
            if whole is not None and reset is not None:
                x_part = Affine(
                    {each: weight for each, weight in whole.parts.items() if each != name}, whole.bias, whole.rows
                )
                yield False, x_part, Affine({h: whole.parts[name]}, None, whole.rows), reset


def _split_joined(forms: Forms, form: Affine, h: str | None, hidden: int) -> Affine | None:
    """The form of two values that were joined before the product; the second is the state."""
    ((only, weight),) = form.parts.items()
    pieces = _pieces(forms, only)
    columns = weight.shape[1] - hidden
    if pieces is None or columns < 1 or (h is not None and pieces[1] != h):
        return None
    return Affine({pieces[0]: weight[:, :columns], pieces[1]: weight[:, columns:]}, form.bias, form.rows)


# ---- RNN: h' = tanh(W x + R h + b)


def _rnns(forms: Forms) -> Iterator[tuple[Op, list[int]]]:
    """RNN cells whose state the step before computed with the same weights, or a loop's body takes and returns.

    The equation alone would fit any two values in a tanh.
    """
    tanhs: dict[str, tuple[int, Affine]] = {}
    for place, op in enumerate(forms.ops):
        inner = forms.is_module(op.outputs[0], "Tanh") if op.outputs else None
        form = None if inner is None else forms.affine(inner)
        if form is not None and len(form.parts) == 1:
            form = _split_joined(forms, form, None, form.rows)
        if form is not None and len(form.parts) == 2:
            tanhs[op.outputs[0]] = place, form
    for name, h in _states_of(forms, tanhs).items():
        place, form = tanhs[name]
        (x,) = (each for each in form.parts if each != h)
        if _flat(forms, x, h):
            weights = Direction(form.parts[x], form.parts[h], *_biases(form))
            yield Op("cell", [x, h], [name], {"cell": Cell("RNN", weights)}, forms.ops[place].name), [place]


def _states_of(forms: Forms, tanhs: Mapping[str, tuple[int, Affine]]) -> dict[str, str]:
    """The value that is the state of each step, by the value that the step computes."""
    found: dict[str, str] = {}
    for name, (_, form) in tanhs.items():
        for h in form.parts:
            before = _state_before(form, h, tanhs[h][1]) if h in tanhs else None
            if before is not None:
                found[name] = h
                found.setdefault(h, before)
    if forms.scope.parent is not None:
        for name in set(forms.scope.outputs()) & tanhs.keys() - found.keys():
            _, form = tanhs[name]
            taken = [each.name for each in forms.scope.graph.input if each.name in form.parts]
            own = [each for each in taken if form.parts[each].shape == (form.rows, form.rows)]
            found.update({name: own[0]} if own else {})
    return found


def _state_before(form: Affine, h: str, before: Affine) -> str | None:
    """The state of the step that computed h, if that step has the weights of this one."""
    if form.parts[h].shape != (form.rows, form.rows):
        return None
    (x,) = (each for each in form.parts if each != h)
    first, second = before.parts
    for state, other in _either((first, second)):
        if identity(before.parts[state]) == identity(form.parts[h]):
            return state if identity(before.parts[other]) == identity(form.parts[x]) else None
    return None


# ---- common parts


def _stacked(forms: Forms, gates: Sequence[Affine]) -> Affine | None:
    """Forms of the same values with equal numbers of rows, stacked."""
    first = gates[0]
    if any(each.rows != first.rows or set(each.parts) != set(first.parts) for each in gates):
        return None
    parts: dict[str, Any] = {}
    for name in first.parts:
        weights = [each.parts[name] for each in gates]
        if len({each.shape[1] for each in weights}) != 1:
            return None
        parts[name] = forms.joined(*weights)
    bias, zeros = None, forms.zeros(first.rows)
    if any(each.bias is not None for each in gates):
        bias = forms.joined(*(zeros if each.bias is None else each.bias for each in gates))
    return Affine(parts, bias, first.rows * len(gates))


def _biases(form: Affine) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    return form.bias, None


def _flat(forms: Forms, *names: str) -> bool:
    """Whether values are rows of a batch, as far as is known."""
    ranks = [forms.scope.known_dims(name) for name in names]
    return all(dims is None or len(dims) == 2 for dims in ranks)
