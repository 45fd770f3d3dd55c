"""What EDSL itself makes of exported studies, and surveys of its own: edsl.json.

With llmdemand:          python tests/golden/make_edsl.py export > exported.json
In an environment with   pip install edsl==1.0.9
                         python make_edsl.py exported.json > edsl.json

EDSL (MIT licence) is described at https://docs.expectedparrot.com. No model is asked.
"""

import json
import sys


def exported():
    from dataclasses import replace

    import llmdemand as ld
    from llmdemand.core.exchange.edsl import to_edsl

    packs = ld.load_study("coffee-packs")
    people = replace(
        packs,
        personas=({"id": "ann", "who": "a student"}, {"id": "bob", "who": "a parent"}),
        system="You are {who}.",
        user="{offers}\n\nAs {who}, how many do you buy ({scale})?",
    )
    cents = replace(packs, price_scale=0.01, offer="{label} at ${price:.2f}", unit="cents")
    names = "coffee-packs", "coffee-intention", "pampers"
    studies = {**{n: ld.load_study(n) for n in names}, "people": people, "cents": cents}
    return {name: to_edsl(study).data for name, study in studies.items()}


def own():
    from edsl import (
        Agent,
        AgentList,
        Jobs,
        QuestionFreeText,
        QuestionLikertFive,
        QuestionLinearScale,
        QuestionMultipleChoice,
        QuestionNumerical,
        Scenario,
        ScenarioList,
        Survey,
    )

    brand = QuestionMultipleChoice(
        question_name="brand",
        question_text="Pampers: {{ scenario.price }} cents. Huggies: 30 cents. Which one?",
        question_options=["Pampers", "Huggies", "neither"],
    )
    intent = QuestionLinearScale(
        question_name="intent",
        question_text="Aroma at {{ '%.2f' % scenario.price_aroma }} in {{ scenario.shop }}: buy?",
        question_options=[1, 2, 3, 4, 5],
        option_labels={1: "definitely would not buy", 5: "definitely would buy"},
    )
    likert = QuestionLikertFive(
        question_name="likert", question_text="At {{ price }} I, {{ agent.who }}, would buy it."
    )
    packs = QuestionNumerical(
        question_name="packs",
        question_text="How many at {{ scenario.price }}?",
        min_value=0,
        max_value=5,
    )
    why = QuestionFreeText(question_name="why", question_text="Why?")
    agents = AgentList(
        [
            Agent(name="ann", traits={"age": 30, "who": "a student"}, instruction="Shop."),
            Agent(name="bob", traits={"age": 41.5, "who": "a parent"}, instruction="Shop."),
        ]
    )
    prices = ScenarioList([Scenario({"price": p}) for p in (30, 35, 40)])
    shops = ScenarioList([Scenario({"price_aroma": p, "shop": "town"}) for p in (4.5, 5.25)])
    return {
        "survey": Survey([brand, likert, packs, why]).to_dict(),
        "scenarios": prices.to_dict(),
        "agents": agents.to_dict(),
        "nameless": AgentList([Agent(traits={"age": 30}), Agent(traits={"job": "cook"})]).to_dict(),
        "job": Jobs(Survey([intent])).by(shops).by(agents).to_dict(),
    }


def made_of(exported):
    from edsl import Jobs, Model

    found = {}
    for name, data in exported.items():
        job = Jobs.from_dict(json.loads(json.dumps(data)))
        rows = job.by(Model("test")).prompts().to_dicts()
        found[name] = {
            "job": job.to_dict(),
            "prompts": [[str(r["system_prompt"].text), str(r["user_prompt"].text)] for r in rows],
        }
    return found


if __name__ == "__main__":
    if sys.argv[1] == "export":
        made = exported()
    else:
        import edsl

        with open(sys.argv[1]) as file:
            made = {"edsl": edsl.__version__, "exported": made_of(json.load(file)), "own": own()}
    json.dump(made, sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")
