"""Demand estimation with language models, from what they say and how sure they were.

>>> import llmdemand as ld
>>> study = ld.load_study("pampers")
>>> panel = ld.simulate(study, "synthetic", runs=20, seed=1)
>>> belief = ld.fit_demand(panel, "belief")
>>> bool(belief.price_sensitivity < 0)
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from llmdemand.belief.audit import audit, check_equivalence
    from llmdemand.belief.extract import Belief, Extractor, extract
    from llmdemand.belief.readers import read_answers, read_response
    from llmdemand.belief.rows import extract_panel
    from llmdemand.belief.tokens import Response, Token
    from llmdemand.belief.tree import tree
    from llmdemand.core.menu import Alternative, Menu
    from llmdemand.core.panel import Panel
    from llmdemand.core.study import Study, load_study, studies
    from llmdemand.errors import LLMDemandError
    from llmdemand.modeling.demand import Demand, fit_demand
    from llmdemand.modeling.logit import fraclogit, logit
    from llmdemand.modeling.results import LogitResults
    from llmdemand.reporting.compare import Report, compare
    from llmdemand.simulation.run import simulate

# Loaded when first used, so that importing the package costs little.
_HOMES = {
    "Alternative": "core.menu",
    "Belief": "belief.extract",
    "Demand": "modeling.demand",
    "Extractor": "belief.extract",
    "LLMDemandError": "errors",
    "LogitResults": "modeling.results",
    "Menu": "core.menu",
    "Panel": "core.panel",
    "Report": "reporting.compare",
    "Response": "belief.tokens",
    "Study": "core.study",
    "Token": "belief.tokens",
    "audit": "belief.audit",
    "check_equivalence": "belief.audit",
    "compare": "reporting.compare",
    "extract": "belief.extract",
    "extract_panel": "belief.rows",
    "fit_demand": "modeling.demand",
    "fraclogit": "modeling.logit",
    "load_study": "core.study",
    "logit": "modeling.logit",
    "read_answers": "belief.readers",
    "read_response": "belief.readers",
    "simulate": "simulation.run",
    "studies": "core.study",
    "tree": "belief.tree",
}

__all__ = [
    "Alternative",
    "Belief",
    "Demand",
    "Extractor",
    "LLMDemandError",
    "LogitResults",
    "Menu",
    "Panel",
    "Report",
    "Response",
    "Study",
    "Token",
    "audit",
    "check_equivalence",
    "compare",
    "extract",
    "extract_panel",
    "fit_demand",
    "fraclogit",
    "load_study",
    "logit",
    "read_answers",
    "read_response",
    "simulate",
    "studies",
    "tree",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'llmdemand' has no attribute {name!r}")
    return getattr(import_module(f"llmdemand.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
