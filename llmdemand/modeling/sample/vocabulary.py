"""The words of formulas: functions, their options, and signs."""

from __future__ import annotations

import ast
from collections.abc import Iterator

__all__ = [
    "ARITHMETIC",
    "COMPARISONS",
    "CONTRASTS",
    "FUNCTIONS",
    "NUMBERS",
    "NUMPY",
    "REGISTERED",
    "constant",
    "is_number",
    "is_whole",
    "names_in",
    "owner",
]

# The names of arguments beside the first, which is an expression; all others are constants.
_BASIS = ("df", "knots", "degree", "include_intercept", "lower_bound", "upper_bound")
_CUBIC = ("df", "knots", "lower_bound", "upper_bound", "constraints", "extrapolation")
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "C": ("contrasts", "levels", "spans_intercept"),
    "bs": (*_BASIS, "extrapolation"),
    "center": (),
    "poly": ("degree", "raw"),
    "round": ("step",),
    "scale": ("center", "scale", "ddof"),
    "standardize": ("center", "rescale", "ddof"),
    **dict.fromkeys(("cr", "cs", "cc"), _CUBIC),
    **dict.fromkeys(("I", "abs", "exp", "log", "log1p", "log2", "log10", "offset", "sqrt"), ()),
}
CONTRASTS = ("Treatment", "Sum", "Helmert", "Diff", "Poly")
# numpy's element-wise functions by the number of their arguments: one more would be written to.
NUMPY = {
    **dict.fromkeys(
        "abs absolute arctan cbrt ceil cos cosh exp exp2 expm1 fabs floor isfinite log log10 "
        "log1p log2 logical_not negative reciprocal rint sign sin sinh sqrt square tan tanh "
        "trunc".split(),
        (1, 1),
    ),
    **dict.fromkeys(
        "arctan2 equal floor_divide fmax fmin greater greater_equal hypot less less_equal "
        "logaddexp logical_and logical_or logical_xor maximum minimum mod not_equal power "
        "remainder".split(),
        (2, 2),
    ),
    "clip": (3, 3),
    "round": (1, 2),
    "where": (3, 3),
}
NUMBERS = ("pi", "e")
ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.BitAnd, ast.BitOr)
COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
REGISTERED = ("treatment", "SAS", "sum", "helmert", "diff", "poly")


def owner(node: ast.Attribute) -> str | None:
    """Whose attribute it is, where that is a name."""
    return node.value.id if isinstance(node.value, ast.Name) else None


def is_number(node: ast.expr) -> bool:
    """Whether it is one of numpy's constants."""
    return isinstance(node, ast.Attribute) and owner(node) == "np" and node.attr in NUMBERS


def constant(node: ast.expr) -> float | None:
    """The value of a number, a negative one, or a quotient of two."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        found = constant(node.operand)
        return None if found is None else -found
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        above, below = constant(node.left), constant(node.right)
        return above / below if above is not None and below else None
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        try:
            return float(node.value)  # type: ignore[arg-type]
        except OverflowError:
            return float("inf")
    return None


def is_whole(node: ast.expr, low: int, high: int) -> bool:
    """Whether it is a whole number in a range."""
    return isinstance(node, ast.Constant) and type(node.value) is int and low <= node.value <= high


def names_in(node: ast.expr, quoted: dict[str, str]) -> Iterator[str]:
    """The columns that an expression names; `quoted` has those in backticks."""
    called = {id(n) for c in ast.walk(node) if isinstance(c, ast.Call) for n in ast.walk(c.func)}
    for n in ast.walk(node):
        if isinstance(n, ast.Name) and id(n) not in called:
            yield quoted.get(n.id, n.id)
