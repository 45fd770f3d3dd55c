"""Text in LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["celled", "escaped", "lined"]

# What pdfLaTeX does not know by itself, each with its command.
_KNOWN = (
    "αalpha βbeta γgamma δdelta εvarepsilon ζzeta ηeta θtheta ιiota κkappa λlambda νnu "  # noqa: RUF001
    "µmu μmu ξxi πpi ρrho σsigma τtau υupsilon φvarphi χchi ψpsi ωomega ΓGamma ΔDelta "  # noqa: RUF001
    "ΘTheta ΛLambda ΞXi ΠPi ΣSigma ΦPhi ΨPsi ΩOmega ×times ≤le ≥ge ≠ne ≈approx "  # noqa: RUF001
    "→to ←leftarrow ∞infty √surd ∑sum ∂partial ∈in"
)
_SIGNS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "−": "$-$",  # noqa: RUF001
    **{c: f"\\{c}" for c in "_%&#${}"},
    **{pair[0]: f"$\\{pair[1:]}$" for pair in _KNOWN.split()},
}
_NUMBER = re.compile(r"(?<![\w.-])(-?inf|-?\d+(?:\.\d+)?e[-+]\d+|-\d+(?:\.\d+)?)(?![\w.-])")


def escaped(text: str) -> str:
    r"""Text in which LaTeX reads no marks, on one line.

    Latin and Greek letters are set by any LaTeX; what lies beyond, such as Chinese, wants
    LuaLaTeX, XeLaTeX or tectonic and a font that has it.

    >>> escaped("a_b & 5 %")
    'a\\_b \\& 5 \\%'
    >>> escaped("new λ--1")
    'new $\\lambda$-{}-1'
    """
    line = re.sub(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\ufeff]+", " ", text).strip()
    # Two hyphens are a dash.
    return re.sub(r"-(?=-)", "-{}", "".join(_SIGNS.get(c, c) for c in line))


def lined(cells: Iterable[str]) -> str:
    r"""A row of a tabular, of cells in LaTeX.

    >>> lined(["[0, 50]", "1"])
    '{}[0, 50] & 1 \\\\'
    """
    row = " & ".join(cells) + r" \\"
    # A bracket or a star at its beginning would belong to the end of the row before.
    return "{}" + row if row.startswith(("[", "*")) else row


def celled(text: str) -> str:
    r"""A cell with negative numbers, powers of ten and infinities as mathematics.

    >>> celled("-0.5 (1.2e-05)")
    '$-0.5$ ($1.2 \\times 10^{-5}$)'
    """

    def shown(found: re.Match[str]) -> str:
        number, _, power = found[0].replace("inf", r"\infty").partition("e")
        return f"${number}" + (rf" \times 10^{{{int(power)}}}" if power else "") + "$"

    return _NUMBER.sub(shown, escaped(text))
