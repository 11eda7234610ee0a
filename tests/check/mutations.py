"""Small changes of a source text, each of which a test should see: of Python by its syntax tree, of C by its tokens."""

from __future__ import annotations

import ast
import re
from typing import NamedTuple


class Mutation(NamedTuple):
    """A part of a text, in bytes, and what takes its place."""

    start: int
    end: int
    new: bytes
    line: int
    what: str  # "`<` to `<=`"

    def applied(self, text: bytes) -> bytes:
        return text[: self.start] + self.new + text[self.end :]


SWAPS = {
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
    "==": "!=",
    "!=": "==",
    "+": "-",
    "-": "+",
    "+=": "-=",
    "-=": "+=",
    "%": "*",
    "&": "|",
    "|": "&",
    "<<": ">>",
    ">>": "<<",
}
C_SWAPS = {**SWAPS, "*": "+", "/": "*", "&&": "||", "||": "&&"}
PYTHON_SWAPS = {
    **SWAPS,
    "*": "//",
    "//": "*",
    "/": "*",
    "@": "*",
    "and": "or",
    "or": "and",
    "is": "is not",
    "is not": "is",
    "in": "not in",
    "not in": "in",
}

# ---------------------------------------------------------------------------------------------------
# Python
# ---------------------------------------------------------------------------------------------------
OPERATORS = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.MatMult: "@",
    ast.And: "and",
    ast.Or: "or",
}


class _Python(ast.NodeVisitor):
    """Collects the mutations of a module: of what runs, not of annotations and docstrings."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.lines = [0]
        for line in text.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))
        self.found: list[Mutation] = []

    def span(self, node):
        return (
            self.lines[node.lineno - 1] + node.col_offset,
            self.lines[node.end_lineno - 1] + node.end_col_offset,
        )

    def add(self, node, start, end, new, what):
        self.found.append(Mutation(start, end, new.encode(), node.lineno, what))

    def swap(self, node, left, right, operator):
        old = OPERATORS.get(type(operator))
        if old not in PYTHON_SWAPS:
            return
        start, end = self.span(left)[1], self.span(right)[0]
        at = re.search(rb"(?<!\w)" + re.escape(old.encode()) + rb"(?!\w)", self.text[start:end])
        if at:
            new = PYTHON_SWAPS[old]
            self.add(node, start + at.start(), start + at.end(), new, f"`{old}` to `{new}`")

    def replace(self, node, new, what):
        self.add(node, *self.span(node), new, what)

    def visit_Compare(self, node):
        operands = [node.left, *node.comparators]
        for left, right, operator in zip(operands, operands[1:], node.ops, strict=False):
            self.swap(node, left, right, operator)
        self.generic_visit(node)

    def visit_BinOp(self, node):
        self.swap(node, node.left, node.right, node.op)
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        for left, right in zip(node.values, node.values[1:], strict=False):
            self.swap(node, left, right, node.op)
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        if isinstance(node.op, ast.Not):
            start = self.span(node)[0]
            self.add(node, start, start + len("not"), "", "`not` dropped")
        self.generic_visit(node)

    def visit_Constant(self, node):
        if isinstance(node.value, bool):
            self.replace(node, str(not node.value), f"`{node.value}` to `{not node.value}`")
        elif isinstance(node.value, int):
            self.replace(node, str(node.value + 1), f"`{node.value}` to `{node.value + 1}`")

    def visit_If(self, node):
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        start, end = self.span(node.test)
        condition = self.text[start:end].decode()
        self.add(node, start, end, f"(not ({condition}))", "the condition turned")
        self.generic_visit(node)

    def visit_Return(self, node):
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self.replace(node, "return None", "returns None")
        self.generic_visit(node)

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Call):
            self.replace(node, "pass", "the call dropped")
        self.generic_visit(node)

    def visit_Raise(self, node):
        self.replace(node, "pass", "`raise` dropped")

    def visit_AugAssign(self, node):
        self.replace(node, "pass", "the statement dropped")
        self.generic_visit(node)

    def visit_Assign(self, node):
        if any(isinstance(target, (ast.Attribute, ast.Subscript)) for target in node.targets):
            self.replace(node, "pass", "the statement dropped")
        if not any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets):
            self.visit(node.value)

    def visit_AnnAssign(self, node):
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node):
        for each in (*node.args.defaults, *filter(None, node.args.kw_defaults), *node.body):
            self.visit(each)

    def visit_ClassDef(self, node):
        for each in node.body:
            self.visit(each)


def of_python(text: bytes) -> list[Mutation]:
    visitor = _Python(text)
    visitor.visit(ast.parse(text))
    return visitor.found


# ---------------------------------------------------------------------------------------------------
# C
# ---------------------------------------------------------------------------------------------------
LITERALS = rb"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
DIRECTIVES = rb"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*"
OPERATOR = re.compile(rb"(?<= )(<=|>=|==|!=|&&|\|\||\+=|-=|<<|>>|[-<>+*/%&|])(?= )")
NUMBER = re.compile(rb"(?<![\w.])(\d+)(?=u?\b)(?![\w]*\.|x|\w*f)")
NOT = re.compile(rb"!(?=[\w(])")
CALL = re.compile(rb"^[ ]+((?:if \([^;]*\) )?)([a-z_][\w>.\-]*\([^;{}]*\);)$", re.MULTILINE)
ASSIGNMENT = re.compile(rb"^[ ]+((?:if \([^;]*\) )?)(\*?[a-z_][\w>.\-\[\]]* [-+|&]?= [^;{}]*;)$", re.MULTILINE)


def blanked(text: bytes) -> bytes:
    """The text with spaces in place of comments, literals and directives; lines stay where they are."""

    def blank(match):
        return re.sub(rb"[^\n]", b" ", match.group())

    text = re.sub(LITERALS, blank, text, flags=re.DOTALL)
    return re.sub(DIRECTIVES, blank, text, flags=re.MULTILINE)


def of_c(text: bytes) -> list[Mutation]:
    code, found = blanked(text), []

    def add(start, end, new, what):
        found.append(Mutation(start, end, new, text.count(b"\n", 0, start) + 1, what))

    for match in OPERATOR.finditer(code):
        old = match.group(1).decode()
        add(*match.span(1), C_SWAPS[old].encode(), f"`{old}` to `{C_SWAPS[old]}`")
    for match in NUMBER.finditer(code):
        new = int(match.group(1)) + 1
        add(*match.span(1), str(new).encode(), f"`{new - 1}` to `{new}`")
    for match in NOT.finditer(code):
        add(*match.span(), b"", "`!` dropped")
    for pattern, what in ((CALL, "the call dropped"), (ASSIGNMENT, "the statement dropped")):
        for match in pattern.finditer(code):
            if not match.group(2).startswith((b"return", b"sizeof")):
                add(*match.span(2), b";", what)
    return sorted(found)
