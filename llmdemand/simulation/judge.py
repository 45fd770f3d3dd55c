"""A language model as the reader of whole answers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from llmdemand.belief.final.entered import entered
from llmdemand.belief.final.reading import FinalChoice, Setting
from llmdemand.core.menu import Alternative, Menu
from llmdemand.core.panel import JUDGED, Panel
from llmdemand.core.sampling import Sampling
from llmdemand.core.study import Study
from llmdemand.errors import UsageError
from llmdemand.simulation.backend import Backend
from llmdemand.simulation.cost import Estimate
from llmdemand.simulation.run import estimate, simulate

__all__ = ["Judge", "Judgement", "judged", "judging", "texts_of"]

# The judge's word for an answer that chooses nothing, several, or that it cannot read.
UNREAD = "unread"
ORDERS = ("rotate", "fixed")
_SYSTEM = (
    "You read answers to a question about a purchase and say which option each answer chooses in "
    "the end. What it only compares, praises, rules out or would choose under other conditions "
    "does not count."
)
_USER = """The options:
{offers}

The answer:
<answer>
{answer}
</answer>

Which option does this answer choose in the end? Reply with the name of the option alone, as it \
is written above."""

# For models that continue a text: what is wanted is shown, not said.
_CONTINUED = """The options:
- tea
- coffee
- water
- unclear (it chooses none of them or several, or you cannot tell)
The answer: Tea is the better one, but today I'd have coffee.
Chosen option: coffee

The options:
{offers}
The answer: I would drink one of these, it depends on the day.
Chosen option: unclear

The options:
{offers}
The answer: {answer}
Chosen option:"""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a judge makes of one text.

    Attributes
    ----------
    choice : str or None
        The alternative that the judge believes most, or says where its belief is unknown;
        None if that is ``unread``.
    belief : tuple of float
        Its belief in each alternative of the menu and, last, in ``unread``; NaN if unknown.
    said : str
        Its own words.
    order : tuple of str
        The order in which it was shown the options; empty where it was not asked.
    """

    choice: str | None
    belief: tuple[float, ...]
    said: str
    order: tuple[str, ...] = ()


class Judge:
    """Any backend as a reader: asked for the choice of a text, the name first.

    The judge's belief at its own pivot is kept, and the alternative that it believes most is
    the final choice: a function of the text and of the order in which the options are shown,
    without the noise of a draw. Texts that come again are asked once; answers are stored,
    resumed and budgeted as those of a study.

    A judge that likes what stands first would read every text towards the same alternative,
    were the order always the same. The order is therefore drawn for each text, from the text
    and `seed` alone, with equal probability of m orders (a Williams design, see
    `Questionnaire.option_orders`): other texts change nothing. ``unclear`` is last, as are
    outside options unless the study moves them. Orders are balanced on average over different
    texts, not over runs: a text that is most of a panel has one order in all of its runs.

    Parameters
    ----------
    backend : Backend
        Who judges; preferably another model than the one that answered.
    seed : int
        Of its answers and of the options' orders.
    mode : str
        ``chat``, or ``completion`` for models that continue a text.
    orders : str
        ``rotate``; or ``fixed``, the menu's order for every text, as it was before orders
        were drawn: it finds all that was stored then (``rotate`` finds the texts whose order
        is the menu's).
    **options
        Those of `llmdemand.simulate`: ``store``, ``budget``, ``concurrency``, ...

    Examples
    --------
    >>> from llmdemand import ChoiceOnlyBackend, Menu
    >>> judge = Judge(ChoiceOnlyBackend(lambda system, user: "Huggies", "parrot"))
    >>> judge.read("Huggies it is.", Menu.of("Pampers", "Huggies"), Setting()).choice
    'huggies'
    """

    name = "judge"

    def __init__(
        self,
        backend: Backend,
        *,
        seed: int = 1,
        mode: str = "chat",
        orders: str = "rotate",
        **options: Any,
    ) -> None:
        if orders not in ORDERS:
            raise UsageError(f"orders={orders!r}: use one of {', '.join(ORDERS)}")
        if seed < 0:
            raise UsageError(f"seed={seed}: give a number that is not negative")
        self.backend, self.seed, self.orders = backend, seed, orders
        self._mode, self._options = mode, options

    def read(self, text: str, menu: Menu, setting: Setting) -> FinalChoice:
        """The choice of one answer; `judgements` asks for many at a time.

        Orders of texts that are read one by one are balanced on average only.
        """
        found = self.judgements([text], menu)[text]
        return FinalChoice(found.choice, "judge", found.said)

    def judgements(
        self, texts: Iterable[str], menu: Menu, *, outside_last: bool = True
    ) -> dict[str, Judgement]:
        """What the judge makes of each text; empty ones are unread without asking.

        Parameters
        ----------
        texts : iterable of str
            Their places decide which order of the options each is shown.
        menu : Menu
            The choice set.
        outside_last : bool
            Whether outside options stand last in every order, as in `Study`.

        Raises
        ------
        BackendError, BudgetReached, StoreError
            As `llmdemand.simulate`; what was answered before is in the store.
        """
        unknown = (math.nan,) * (len(menu) + 1)
        found = {text: Judgement(None, unknown, "") for text in texts}
        asked = [text for text in found if text.strip()]
        if not asked:
            return found
        study = self._study(asked, menu, outside_last)
        panel = simulate(study, self.backend, runs=1, seed=self.seed, **self._options)
        for row in panel.frame.to_dict("records"):
            text = asked[int(row["cell"])]
            belief = tuple(float(row[f"belief_{a}"]) for a in study.menu.ids)
            said = row["choice"] if isinstance(row["choice"], str) else UNREAD
            if row["status"] == "ok":
                said = study.menu.ids[max(range(len(belief)), key=belief.__getitem__)]
            choice = None if said == UNREAD else said
            order = tuple(str(row["order"]).split(">"))
            found[text] = Judgement(choice, belief, str(row["text"] or "").strip(), order)
        return found

    def estimate(self, texts: Iterable[str], menu: Menu, *, outside_last: bool = True) -> Estimate:
        """What `judgements` would ask for and what that would cost; asks nothing."""
        asked = [text for text in dict.fromkeys(texts) if text.strip()]
        if not asked:
            return Estimate(0, 0, (0.0, 0.0), (0.0, 0.0), None)
        known = {k: self._options[k] for k in ("store", "prices") if k in self._options}
        study = self._study(asked, menu, outside_last)
        return estimate(study, self.backend, runs=1, seed=self.seed, **known)

    def _study(self, asked: list[str], menu: Menu, outside_last: bool) -> Study:
        return judging(asked, menu, self._mode, self.orders, outside_last, self.seed)


def judging(
    texts: list[str],
    menu: Menu,
    mode: str = "chat",
    orders: str = "rotate",
    outside_last: bool = True,
    seed: int = 1,
) -> Study:
    """The study by which a judge is asked: a cell per text, the name of its choice first.

    Parameters
    ----------
    texts : list of str
        What is read.
    menu : Menu
        Its choice set.
    mode, orders : str
        As of `Judge`.
    outside_last : bool
        Whether the menu's outside options stand last, above ``unclear``, where orders rotate.
    seed : int
        Draws the orders.

    Raises
    ------
    UsageError
        If the menu has an alternative with the judge's own word for an unread answer.

    Examples
    --------
    >>> study = judging(["Tea.", "Coffee."], Menu.of("Tea", "Coffee", outside="nothing"))
    >>> sorted(study.order(cell, 0) for cell in study.cells())[0]
    ('coffee', 'tea', 'nothing', 'unread')
    """
    if UNREAD in menu.ids:
        raise UsageError(f"an alternative has the id {UNREAD!r}, the judge's own word: rename it")
    # The options have no prices here; a study needs one, of the option that is the judge's own.
    options = tuple(replace(a, outside=True) for a in menu)
    own = Alternative(UNREAD, "unclear")
    # The fixed order is the menu's: so was it asked, and stored, before orders were drawn.
    last = [a.id for a in menu if a.outside and outside_last and orders != "fixed"]
    return Study(
        "judge",
        Menu((*options, own)),
        {UNREAD: (0.0,)},
        UNREAD,
        _CONTINUED if mode == "completion" else _USER,
        "- {label}{price!s:.0} (it chooses none of them or several, or you cannot tell)",
        system="" if mode == "completion" else _SYSTEM,
        outside_offer="- {label}",
        orders=orders,
        outside_last=False,
        pinned=(*last, UNREAD),
        design_seed=seed,
        answer_first=True,
        mode=mode,
        runs=1,
        sampling=Sampling(max_tokens=12),
        personas=tuple({"id": _digest(text), "answer": _shown(text, mode)} for text in texts),
    )


def _shown(text: str, mode: str) -> str:
    """A text to be continued is shown in one line, as the examples before it."""
    return " ".join(text.split()) if mode == "completion" else text


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def texts_of(panel: Panel) -> list[str]:
    """The different texts of a panel's whole answers.

    Those of early replicates come first, so that a panel that grows by runs keeps the
    places, and with them the stored judgements, of the texts that it had.
    """
    whole = panel.frame[panel.frame["final_status"] != "stopped"]
    ordered = whole.sort_values(["replicate", "cell"], kind="stable")["text"]
    return list(dict.fromkeys(ordered.fillna("").astype(str)))


def judged(panel: Panel, judge: Judge) -> Panel:
    """A panel whose final choices are a judge's.

    Parameters
    ----------
    panel : Panel
        Its whole answers are judged; those stopped at their pivot are left.
    judge : Judge
        Who reads them.

    Returns
    -------
    Panel
        With ``final_choice``, ``final_status`` and ``mismatch`` anew and the judge's beliefs
        as columns ``judge_<alternative>`` and ``judge_unread``, and in ``judged_order`` the
        order in which it was shown the options. `llmdemand.audit` says how far its choices
        follow that order.
    """
    ids = (*panel.study.menu.ids, UNREAD)
    found = judge.judgements(
        texts_of(panel), panel.study.menu, outside_last=panel.study.outside_last
    )
    nothing = Judgement(None, (math.nan,) * len(ids), "")
    rows = [
        found.get(text, nothing) if status != "stopped" else nothing
        for text, status in zip(
            panel.frame["text"].fillna("").astype(str), panel.frame["final_status"], strict=True
        )
    ]
    choices = {str(run): r.choice for run, r in zip(panel.frame["run_id"], rows, strict=True)}
    about = {
        "backend": judge.backend.name,
        "model": judge.backend.model,
        "seed": judge.seed,
        "orders": judge.orders,
    }
    changed = entered(panel, choices, judge.name, judge=about)
    columns: dict[str, Any] = {f"judge_{a}": [r.belief[k] for r in rows] for k, a in enumerate(ids)}
    columns[JUDGED] = [">".join(r.order) or None for r in rows]
    return replace(changed, frame=changed.frame.assign(**columns))
