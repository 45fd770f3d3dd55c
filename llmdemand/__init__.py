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
    from llmdemand.belief.audit import audit
    from llmdemand.belief.branching.compared import compare_branching
    from llmdemand.belief.equivalence import check_equivalence
    from llmdemand.belief.extract import Extractor, extract
    from llmdemand.belief.files import extract_file, extract_files, read_answers
    from llmdemand.belief.measures.anchors import Anchors
    from llmdemand.belief.measures.coherence import check_coherence
    from llmdemand.belief.measures.similarity import by_similarity
    from llmdemand.belief.measures.stated import read_stated
    from llmdemand.belief.pivot.found import Belief
    from llmdemand.belief.readers import read_response
    from llmdemand.belief.rows import extract_panel
    from llmdemand.belief.tokens import Response, Token
    from llmdemand.belief.tree import tree
    from llmdemand.calibration.calibrated import CalibratedDemand
    from llmdemand.calibration.carried.transport import transport
    from llmdemand.calibration.choosing.chosen import choose_sample
    from llmdemand.calibration.choosing.sequence import looks
    from llmdemand.calibration.debias import debias
    from llmdemand.calibration.discrepancy import discrepancy
    from llmdemand.calibration.fidelity.multiverse import multiverse
    from llmdemand.calibration.fitted.debiased import debias_fit
    from llmdemand.calibration.paired import paired_panel
    from llmdemand.calibration.power import effective_n
    from llmdemand.calibration.ppi import CalibrationWarning, calibrate
    from llmdemand.calibration.recalibrate import recalibrated
    from llmdemand.calibration.sample_plan import plan_sample
    from llmdemand.calibration.samples.raking import rake
    from llmdemand.core.glossary import explain
    from llmdemand.core.menu import Alternative, Menu
    from llmdemand.core.panel import Panel
    from llmdemand.core.panels import load_panel
    from llmdemand.core.people.humans import load_humans
    from llmdemand.core.questionnaire.checking.prices import PriceWarning
    from llmdemand.core.questionnaire.prompts import Variant
    from llmdemand.core.shards.merged import merge_panels
    from llmdemand.core.shards.shards import PanelShards, read_panel
    from llmdemand.core.starter import new_study
    from llmdemand.core.study import Study, load_study, studies
    from llmdemand.core.tables.files import read_table
    from llmdemand.errors import LLMDemandError
    from llmdemand.modeling.batch.batch import fit_batch
    from llmdemand.modeling.estimation.estimate import SeparationWarning, VarianceWarning
    from llmdemand.modeling.inference.hypotheses import lr_test
    from llmdemand.modeling.inference.round_numbers import round_number_test
    from llmdemand.modeling.models.conjoint import conjoint
    from llmdemand.modeling.models.demand import Demand, fit_demand
    from llmdemand.modeling.models.latent import lclogit
    from llmdemand.modeling.models.logit import fraclogit, logit
    from llmdemand.modeling.models.mixed import mixlogit
    from llmdemand.modeling.models.multinomial import clogit, mnlogit
    from llmdemand.modeling.models.nested import nlogit
    from llmdemand.modeling.models.numbers import number_precision, ologit, quantity_demand
    from llmdemand.modeling.models.results import LogitResults
    from llmdemand.modeling.models.tastes import tastes
    from llmdemand.modeling.numbers.quantity import QuantityDemand
    from llmdemand.modeling.numbers.rating import RatingDemand
    from llmdemand.modeling.partworths.result import PartWorths
    from llmdemand.modeling.quantities.quantity import Quantity
    from llmdemand.modeling.scoring.classes import class_numbers
    from llmdemand.modeling.scoring.validation import cross_validate
    from llmdemand.modeling.tables.comparison import compare_models
    from llmdemand.modeling.tables.etable import etable
    from llmdemand.modeling.tastes.result import Tastes
    from llmdemand.reporting.compare import Report, compare
    from llmdemand.reporting.heterogeneity.needed import SpreadNeeded, spread_needed
    from llmdemand.reporting.measures.needed import runs_needed
    from llmdemand.reporting.measures.plan import plan
    from llmdemand.reporting.measures.precision import Precision, precision
    from llmdemand.reporting.measures.prediction import prediction
    from llmdemand.reporting.measures.variance import variance
    from llmdemand.reporting.own.report import DemandReport, demand_report
    from llmdemand.reporting.page.market import market_page
    from llmdemand.reporting.truth import known_truth
    from llmdemand.simulation.backends.choice_only import ChoiceOnlyBackend
    from llmdemand.simulation.backends.local import LocalBackend
    from llmdemand.simulation.backends.openai import OpenAIBackend
    from llmdemand.simulation.backends.recorded import RecordedBackend, stored_answers
    from llmdemand.simulation.backends.synthetic import SyntheticBackend
    from llmdemand.simulation.batch import read_batch, write_batch
    from llmdemand.simulation.cost import Budget, Prices
    from llmdemand.simulation.doctor import doctor
    from llmdemand.simulation.embeddings import LocalEmbedder, ServerEmbedder
    from llmdemand.simulation.run import estimate, simulate
    from llmdemand.simulation.storing.store import Store

# Loaded when first used, so that importing the package costs little.
_HOMES = {
    "Alternative": "core.menu",
    "Anchors": "belief.measures.anchors",
    "Belief": "belief.pivot.found",
    "Budget": "simulation.cost",
    "CalibratedDemand": "calibration.calibrated",
    "CalibrationWarning": "calibration.ppi",
    "ChoiceOnlyBackend": "simulation.backends.choice_only",
    "Demand": "modeling.models.demand",
    "DemandReport": "reporting.own.report",
    "Extractor": "belief.extract",
    "LLMDemandError": "errors",
    "LocalBackend": "simulation.backends.local",
    "LocalEmbedder": "simulation.embeddings",
    "LogitResults": "modeling.models.results",
    "Menu": "core.menu",
    "OpenAIBackend": "simulation.backends.openai",
    "Panel": "core.panel",
    "PartWorths": "modeling.partworths.result",
    "Precision": "reporting.measures.precision",
    "PriceWarning": "core.questionnaire.checking.prices",
    "Prices": "simulation.cost",
    "Quantity": "modeling.quantities.quantity",
    "QuantityDemand": "modeling.numbers.quantity",
    "RatingDemand": "modeling.numbers.rating",
    "RecordedBackend": "simulation.backends.recorded",
    "Report": "reporting.compare",
    "Response": "belief.tokens",
    "SeparationWarning": "modeling.estimation.estimate",
    "ServerEmbedder": "simulation.embeddings",
    "SpreadNeeded": "reporting.heterogeneity.needed",
    "Store": "simulation.storing.store",
    "Study": "core.study",
    "SyntheticBackend": "simulation.backends.synthetic",
    "Tastes": "modeling.tastes.result",
    "Token": "belief.tokens",
    "VarianceWarning": "modeling.estimation.estimate",
    "Variant": "core.questionnaire.prompts",
    "audit": "belief.audit",
    "by_similarity": "belief.measures.similarity",
    "calibrate": "calibration.ppi",
    "check_coherence": "belief.measures.coherence",
    "check_equivalence": "belief.equivalence",
    "choose_sample": "calibration.choosing.chosen",
    "class_numbers": "modeling.scoring.classes",
    "clogit": "modeling.models.multinomial",
    "compare": "reporting.compare",
    "compare_branching": "belief.branching.compared",
    "compare_models": "modeling.tables.comparison",
    "conjoint": "modeling.models.conjoint",
    "cross_validate": "modeling.scoring.validation",
    "debias": "calibration.debias",
    "debias_fit": "calibration.fitted.debiased",
    "demand_report": "reporting.own.report",
    "discrepancy": "calibration.discrepancy",
    "doctor": "simulation.doctor",
    "effective_n": "calibration.power",
    "estimate": "simulation.run",
    "etable": "modeling.tables.etable",
    "explain": "core.glossary",
    "extract": "belief.extract",
    "extract_file": "belief.files",
    "extract_files": "belief.files",
    "extract_panel": "belief.rows",
    "fit_batch": "modeling.batch.batch",
    "fit_demand": "modeling.models.demand",
    "fraclogit": "modeling.models.logit",
    "known_truth": "reporting.truth",
    "lclogit": "modeling.models.latent",
    "load_humans": "core.people.humans",
    "load_panel": "core.panels",
    "PanelShards": "core.shards.shards",
    "read_panel": "core.shards.shards",
    "load_study": "core.study",
    "logit": "modeling.models.logit",
    "looks": "calibration.choosing.sequence",
    "lr_test": "modeling.inference.hypotheses",
    "market_page": "reporting.page.market",
    "mixlogit": "modeling.models.mixed",
    "mnlogit": "modeling.models.multinomial",
    "multiverse": "calibration.fidelity.multiverse",
    "new_study": "core.starter",
    "merge_panels": "core.shards.merged",
    "nlogit": "modeling.models.nested",
    "number_precision": "modeling.models.numbers",
    "ologit": "modeling.models.numbers",
    "paired_panel": "calibration.paired",
    "plan": "reporting.measures.plan",
    "plan_sample": "calibration.sample_plan",
    "precision": "reporting.measures.precision",
    "prediction": "reporting.measures.prediction",
    "quantity_demand": "modeling.models.numbers",
    "rake": "calibration.samples.raking",
    "read_answers": "belief.files",
    "read_batch": "simulation.batch",
    "read_response": "belief.readers",
    "read_stated": "belief.measures.stated",
    "read_table": "core.tables.files",
    "recalibrated": "calibration.recalibrate",
    "round_number_test": "modeling.inference.round_numbers",
    "runs_needed": "reporting.measures.needed",
    "simulate": "simulation.run",
    "spread_needed": "reporting.heterogeneity.needed",
    "stored_answers": "simulation.backends.recorded",
    "studies": "core.study",
    "tastes": "modeling.models.tastes",
    "transport": "calibration.carried.transport",
    "tree": "belief.tree",
    "variance": "reporting.measures.variance",
    "write_batch": "simulation.batch",
}

__all__ = [
    "Alternative",
    "Anchors",
    "Belief",
    "Budget",
    "CalibratedDemand",
    "CalibrationWarning",
    "ChoiceOnlyBackend",
    "Demand",
    "DemandReport",
    "Extractor",
    "LLMDemandError",
    "LocalBackend",
    "LocalEmbedder",
    "LogitResults",
    "Menu",
    "OpenAIBackend",
    "Panel",
    "PanelShards",
    "PartWorths",
    "Precision",
    "PriceWarning",
    "Prices",
    "Quantity",
    "QuantityDemand",
    "RatingDemand",
    "RecordedBackend",
    "Report",
    "Response",
    "SeparationWarning",
    "ServerEmbedder",
    "SpreadNeeded",
    "Store",
    "Study",
    "SyntheticBackend",
    "Tastes",
    "Token",
    "VarianceWarning",
    "Variant",
    "audit",
    "by_similarity",
    "calibrate",
    "check_coherence",
    "check_equivalence",
    "choose_sample",
    "class_numbers",
    "clogit",
    "compare",
    "compare_branching",
    "compare_models",
    "conjoint",
    "cross_validate",
    "debias",
    "debias_fit",
    "demand_report",
    "discrepancy",
    "doctor",
    "effective_n",
    "estimate",
    "etable",
    "explain",
    "extract",
    "extract_file",
    "extract_files",
    "extract_panel",
    "fit_batch",
    "fit_demand",
    "fraclogit",
    "known_truth",
    "lclogit",
    "load_humans",
    "load_panel",
    "load_study",
    "logit",
    "looks",
    "lr_test",
    "market_page",
    "merge_panels",
    "mixlogit",
    "mnlogit",
    "multiverse",
    "new_study",
    "nlogit",
    "number_precision",
    "ologit",
    "paired_panel",
    "plan",
    "plan_sample",
    "precision",
    "prediction",
    "quantity_demand",
    "rake",
    "read_answers",
    "read_batch",
    "read_panel",
    "read_response",
    "read_stated",
    "read_table",
    "recalibrated",
    "round_number_test",
    "runs_needed",
    "simulate",
    "spread_needed",
    "stored_answers",
    "studies",
    "tastes",
    "transport",
    "tree",
    "variance",
    "write_batch",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'llmdemand' has no attribute {name!r}")
    return getattr(import_module(f"llmdemand.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
