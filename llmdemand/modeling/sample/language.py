"""What may stand in a formula: it is data that colleagues hand on, and runs nothing else."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import lru_cache

from llmdemand.errors import DesignError, nearest
from llmdemand.modeling.sample.tokens import two_ways
from llmdemand.modeling.sample.vocabulary import (
    ARITHMETIC,
    COMPARISONS,
    CONTRASTS,
    FUNCTIONS,
    NUMPY,
    REGISTERED,
    constant,
    is_number,
    is_whole,
    names_in,
    owner,
)

__all__ = ["Reading", "read", "verify"]

_LONGEST = 20_000  # characters
_MOST_TERMS = 1_000
_MOST_COLUMNS = 100  # of one spline or polynomial
_LARGEST_POWER = 100
_NAMES = {
    ast.Lambda: "a lambda",
    ast.Subscript: "a subscript",
    ast.JoinedStr: "an f-string",
    ast.NamedExpr: "an assignment",
    ast.IfExp: "'if'",
    ast.BoolOp: "'and' or 'or' (write & or |)",
    ast.Starred: "a star",
    ast.Dict: "a dict",
    ast.Set: "braces",
    ast.Tuple: "a comma",
    ast.List: "a list",
}
_COLUMN = "make it a column of the data, and name that"


@dataclass(frozen=True)
class Reading:
    """A part of a formula, read and found to be of the language.

    Attributes
    ----------
    text : str
        As formulaic takes it.
    names : tuple of str
        The columns that it names.
    fitted : tuple of str
        Those that are named outside of offsets.
    bare : tuple of str
        Those that are terms by themselves.
    computed : tuple of str
        Those that arithmetic or a function needs as numbers.
    offsets : tuple of str
        The offset terms, as formulaic names them.
    """

    text: str
    names: tuple[str, ...]
    fitted: tuple[str, ...]
    bare: tuple[str, ...]
    computed: tuple[str, ...]
    offsets: tuple[str, ...]


@lru_cache(maxsize=512)
def read(text: str) -> Reading:
    """Read one part of a formula.

    Raises
    ------
    DesignError
        For what is not of the language, by name.
    """
    if len(text) > _LONGEST:
        raise DesignError(f"formula of {len(text)} characters: at most {_LONGEST} are read")
    plain, python, quoted = two_ways(text)
    tree = _tree(python, text)
    reader = _Reader(text, quoted)
    try:
        terms = reader.term(tree, addend=True)
    except RecursionError:
        raise DesignError(f"formula {text[:60]!r}...: brackets lie too deep: {_COLUMN}") from None
    if terms > _MOST_TERMS:
        raise DesignError(
            f"formula {text!r} asks for {terms} terms, at most {_MOST_TERMS} are made: leave out "
            "interactions"
        )
    twice = [one for one in reader.offsets if reader.offsets.count(one) > 1]
    if twice:
        raise DesignError(f"formula {text!r}: {twice[0]} is there twice: write one offset of both")
    names, fitted, bare, computed = (
        tuple(dict.fromkeys(found))
        for found in (reader.names, reader.fitted, reader.bare, reader.computed)
    )
    return Reading(plain, names, fitted, bare, computed, tuple(reader.offsets))


def verify(expression: str, text: str) -> None:
    """Check a piece of Python that formulaic made of a formula, right before it is run.

    Raises
    ------
    DesignError
        For what is not of the language.
    """
    from formulaic.utils.code import sanitize_variable_names

    tree = _tree(sanitize_variable_names(expression, {}, {}), text)
    reader = _Reader(text, {})
    reader.alone = True
    reader.value(tree, False)


def _tree(python: str, text: str) -> ast.expr:
    try:
        return ast.parse(python, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise DesignError(
            f"formula {text!r} cannot be read: write terms with +, as in 'price + C(persona)', and "
            "names that hold spaces or signs, or are words of Python, in backticks"
        ) from None


class _Reader:
    """Walks a tree and refuses what is not of the language."""

    def __init__(self, text: str, quoted: dict[str, str]) -> None:
        self.text, self.quoted = text, quoted
        self.names: list[str] = []
        self.fitted: list[str] = []
        self.bare: list[str] = []
        self.computed: list[str] = []
        self.offsets: list[str] = []
        self.alone = False  # whether the next call is a term of its own
        self._in_offset = False

    def refuse(self, what: str, todo: str = _COLUMN) -> DesignError:
        return DesignError(f"formula {self.text!r}: {what}: {todo}")

    def strange(self, node: ast.AST) -> DesignError:
        shown = _NAMES.get(type(node))
        what = shown or f"{ast.unparse(node)[:60]!r}"
        return self.refuse(f"{what} is not of the language of formulas")

    def column(self, node: ast.Name) -> str:
        name = self.quoted.get(node.id, node.id)
        self.names.append(name)
        if not self._in_offset:
            self.fitted.append(name)
        return name

    def term(self, node: ast.expr, *, addend: bool = False) -> int:
        """Check a sum of terms; how many terms it makes."""
        # Sums are long: they are walked along, not down.
        later: list[ast.BinOp] = []
        while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
            later.append(node)
            node = node.left
        made = self._one(node, addend)
        for sum_ in reversed(later):
            if isinstance(sum_.op, ast.Add):
                made += self.term(sum_.right, addend=addend)
                continue
            there = set(self.names)
            self.term(sum_.right)
            if not set(names_in(sum_.right, self.quoted)) <= there:
                raise self.refuse(
                    f"{self.shown(sum_.right)} is to be left out but is not there",
                    f"for the difference write I({self.shown(sum_)})",
                )
        return made

    def _one(self, node: ast.expr, addend: bool) -> int:
        if isinstance(node, ast.BinOp):
            return self._product(node)
        if isinstance(node, ast.Name):
            self.bare.append(self.column(node))
            return 1
        if isinstance(node, ast.Constant):
            if node.value not in (0, 1) or isinstance(node.value, bool | float | complex):
                raise self.refuse(
                    f"{node.value!r} stands for a term", "numbers and text go inside I()"
                )
            return 1
        if isinstance(node, ast.UnaryOp):
            if isinstance(node.op, ast.UAdd):
                return self.term(node.operand, addend=addend)
            if isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
                return self.term(node.operand)
            raise self.refuse(
                f"{self.shown(node)} takes a term out of nothing", f"write I({self.shown(node)})"
            )
        if isinstance(node, ast.Call):
            offset = isinstance(node.func, ast.Name) and node.func.id == "offset"
            if offset and not addend:
                raise self.refuse("an offset inside another term", "add it to the terms with +")
            self._in_offset, self.alone = offset, True
            self.value(node, False)
            self._in_offset = False
            if offset:
                self.offsets.append(self.shown(node))
            return 1
        if isinstance(node, ast.Compare):
            raise self.refuse(f"{self.shown(node)} is a comparison", "write it inside I()")
        raise self.strange(node)

    def _product(self, node: ast.BinOp) -> int:
        shown, right = self.shown(node), node.right
        if isinstance(node.op, ast.Pow):
            if not isinstance(node.left, ast.BinOp) or not is_whole(right, 2, 10):
                raise self.refuse(
                    f"{shown} stands for interactions of terms, not for a power",
                    f"write I({shown})",
                )
            made = self.term(node.left)
            return int(min(made ** int(ast.unparse(right)), 10 * _MOST_TERMS))
        if isinstance(node.op, ast.Mult | ast.MatMult):
            for side in (node.left, right):
                if isinstance(side, ast.Constant | ast.UnaryOp):
                    raise self.refuse(f"{shown} is no interaction", f"write I({shown})")
            made, more = self.term(node.left), self.term(right)
            both = made * more
            return both if isinstance(node.op, ast.MatMult) else both + made + more
        if isinstance(node.op, ast.Div):
            raise self.refuse(
                f"{shown} would be nested terms", f"write I({shown}) for the quotient, or a + a:b"
            )
        raise self.refuse(f"{shown} is no term", f"write I({shown})")

    def value(self, node: ast.expr, computed: bool) -> None:
        """Check an expression inside a call; `computed` where it has to be a number."""
        if isinstance(node, ast.Name):
            name = self.column(node)
            if computed:
                self.computed.append(name)
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, bytes | complex) or node.value is ...:
                raise self.strange(node)
            if computed and isinstance(node.value, str):
                raise self.refuse(f"text {node.value!r} in arithmetic", "compare it with ==")
        elif isinstance(node, ast.BinOp):
            if isinstance(node.op, ast.BitXor):
                raise self.refuse("^ inside brackets is no power", "write **")
            if isinstance(node.op, ast.Pow):
                self._power(node)
            elif not isinstance(node.op, ARITHMETIC):
                raise self.strange(node)
            self.value(node.left, True)
            self.value(node.right, True)
        elif isinstance(node, ast.UnaryOp):
            if isinstance(node.op, ast.Not):
                raise self.refuse("'not'", "write ~")
            self.value(node.operand, True)
        elif isinstance(node, ast.Compare):
            if len(node.ops) > 1:
                raise self.refuse(f"{self.shown(node)} compares twice", "write (a < b) & (b < c)")
            if not isinstance(node.ops[0], COMPARISONS):
                raise self.strange(node)
            self.value(node.left, False)
            self.value(node.comparators[0], False)
        elif isinstance(node, ast.Call):
            self._call(node)
        elif not is_number(node):
            raise self.strange(node)

    def _power(self, node: ast.BinOp) -> None:
        """Powers of columns by moderate numbers: others would be computed for ever."""
        if not any(isinstance(n, ast.Name) for n in ast.walk(node)):
            raise self.refuse(f"{self.shown(node)} is a power of numbers", "write the number")
        exponent = constant(node.right)
        known = any(isinstance(n, ast.Name) for n in ast.walk(node.right))
        if not known and (exponent is None or abs(exponent) > _LARGEST_POWER):
            raise self.refuse(
                f"the power in {self.shown(node)[:60]} is not a number up to {_LARGEST_POWER}",
                "write such a number",
            )

    def _call(self, node: ast.Call) -> None:
        function, alone = node.func, self.alone
        self.alone = False
        if any(isinstance(a, ast.Starred) for a in node.args):
            raise self.refuse("a star", "write the arguments")
        if isinstance(function, ast.Attribute) and owner(function) == "np":
            least, most = NUMPY.get(function.attr, (0, 0))
            if not most:
                hint = nearest(function.attr, list(NUMPY))
                raise self.refuse(f"np.{function.attr} is not among the functions{hint}")
            if not least <= len(node.args) <= most or node.keywords:
                raise self.refuse(f"np.{function.attr} takes {most} arguments without names")
            for argument in node.args:
                self.value(argument, function.attr not in ("where", "equal", "not_equal"))
            return
        if not isinstance(function, ast.Name):
            raise self.strange(node)
        name = function.id
        if name not in FUNCTIONS:
            hint = nearest(name, list(FUNCTIONS))
            raise self.refuse(f"{self.quoted.get(name, name)} is not among the functions{hint}")
        if name == "offset" and not alone:
            raise self.refuse("an offset inside another term", "add it to the terms with +")
        options = FUNCTIONS[name]
        if not node.args or len(node.args) > 1 + len(options):
            raise self.refuse(f"{name}() takes an expression and {len(options)} options at most")
        self.value(node.args[0], name not in ("C", "I"))
        for argument in node.args[1:]:
            self._option(name, argument)
        for keyword in node.keywords:
            if keyword.arg not in options:
                raise self.refuse(f"{name}() has no option {keyword.arg!r}", "leave it out")
            self._option(name, keyword.value, bounded=keyword.arg in ("df", "degree"))

    def _option(self, name: str, node: ast.expr, bounded: bool = True) -> None:
        """Options are numbers, text, lists of them, and contrasts."""
        listed = node.elts if isinstance(node, ast.List | ast.Tuple) else [node]
        if name == "C" and isinstance(node, ast.Call | ast.Name | ast.Attribute):
            contrast = node.func if isinstance(node, ast.Call) else node
            named = isinstance(contrast, ast.Name) and contrast.id in CONTRASTS
            if isinstance(contrast, ast.Attribute):
                named = owner(contrast) == "contr" and contrast.attr in REGISTERED
            if not named:
                raise self.strange(contrast)
            listed = []
            if isinstance(node, ast.Call):
                listed = [*node.args, *(k.value for k in node.keywords)]
                if any(k.arg not in ("base", "reference", "backward") for k in node.keywords):
                    raise self.strange(node)
        for one in listed:
            if isinstance(one, ast.Constant) and isinstance(one.value, str | bool | None):
                continue
            found = constant(one)
            if found is None:
                raise self.refuse(
                    f"{ast.unparse(one)[:60]!r} as an option of {name}()", "write a number"
                )
            whole = bounded and not isinstance(node, ast.List | ast.Tuple)
            if whole and name not in ("C", "round") and abs(found) > _MOST_COLUMNS:
                raise self.refuse(
                    f"{name}() with {found:g} columns", f"at most {_MOST_COLUMNS} are made"
                )

    def shown(self, node: ast.expr) -> str:
        """The expression as the caller wrote it, but for spaces."""
        text = ast.unparse(node).replace(" @ ", ":")
        for stand, name in self.quoted.items():
            text = text.replace(stand, f"`{name}`")
        return text
