"""Writes travel-mode.toml, travel-mode.csv and ../humans/travel-mode.csv.

The data are those of 210 travellers between cities in Australia, who went by air, train, bus or car
(Greene & Hensher 1997; `statsmodels.datasets.modechoice`, public domain). Thirty of them, drawn
with a seed, are the workshop: the format of the prompt was chosen on them alone, and the worked
examples in a prompt are of them. The other 180 are the respondents, each shown with the
workshop travellers most like themselves. Run it from this folder: `python make_travel_mode.py`.
"""

import csv
import random
from pathlib import Path
from statistics import mean, pstdev

from statsmodels.datasets import modechoice

MODES = ["air", "train", "bus", "car"]
LABELS = {"air": "Plane", "train": "Train", "bus": "Bus", "car": "Car"}
SEED = 2027
WORKSHOP = 30
EXAMPLES = 4

HEAD = '''\
# Written by make_travel_mode.py. Each of 180 travellers with the prices, waits and travel
# times of their own trip; the examples before it are of other people, the 30 "workshop"
# travellers who are no respondents. What the 180 did is in data/humans/travel-mode.csv.
name = "travel-mode"
title = "Plane, train, bus or car: 180 travellers, each at the prices of their own trip"
description = """
The record of the {examples} most similar of 30 other travellers and what they chose, then the
respondent's own trip, with the four modes in four orders. The model continues it: in-context
demand, how a language model reads a record, to be compared with what these people did."""
unit = "dollars"
label = "in-context demand"
mode = "completion"
focal = "air"
orders = "cross"
runs = 1
personas = "travel-mode.csv"

user = """
Record of trips between two cities. Each traveller could go by plane, train, bus or car.

{{record}}
Traveller: income {{income}} thousand, party of {{party}}. {{offers}}. Chose:"""
offer = "{{label}}: {{price:.0f}} dollars, {{total}} minutes"
separator = "; "
'''
ALTERNATIVE = """
[[alternatives]]
id = "{id}"
label = "{label}"
price = {{ field = "cost_{id}" }}
"""
TAIL = """
[sampling]
temperature = 1.0
max_tokens = 3
top_logprobs = 100
stop = ["\\n"]
"""


def travellers() -> dict[int, dict]:
    """Income, party, choice, and cost, wait and minutes by mode, of every traveller."""
    data = modechoice.load_pandas().data.astype(int)
    found = {}
    for number, rows in data.groupby("individual"):
        rows = rows.sort_values("mode")
        person = {"income": int(rows["hinc"].iloc[0]), "party": int(rows["psize"].iloc[0])}
        person["choice"] = MODES[list(rows["choice"]).index(1)]
        for name, column in (("cost", "invc"), ("wait", "ttme"), ("minutes", "invt")):
            for mode, value in zip(MODES, rows[column], strict=True):
                person[f"{name}_{mode}"] = int(value)
        for mode in MODES:
            person[f"total_{mode}"] = person[f"wait_{mode}"] + person[f"minutes_{mode}"]
        found[int(number)] = person
    return found


def workshop(people: dict[int, dict]) -> list[int]:
    """The travellers on whom the format was chosen, in the order of their examples."""
    drawn = sorted(random.Random(SEED).sample(sorted(people), WORKSHOP))
    random.Random(SEED + 1).shuffle(drawn)
    return drawn


def lines(people: dict[int, dict], shop: list[int]) -> dict[int, str]:
    """The example of each workshop traveller, with the modes in an order of its own."""
    rng, found = random.Random(SEED + 2), {}
    for number in shop:
        p = people[number]
        offers = "; ".join(
            f"{LABELS[m]}: {p[f'cost_{m}']} dollars, {p[f'total_{m}']} minutes"
            for m in rng.sample(MODES, 4)
        )
        found[number] = (
            f"Traveller: income {p['income']} thousand, party of {p['party']}. {offers}. "
            f"Chose: {LABELS[p['choice']]}"
        )
    return found


def nearest(person: dict, people: dict[int, dict], shop: list[int]) -> list[int]:
    """The workshop travellers most like a person, the most similar one last.

    Distance over income, party, cost, wait and minutes, in standard deviations of the workshop.
    """
    names = [k for k in person if k != "choice" and not k.startswith("total_")]
    spread = {k: pstdev([people[t][k] for t in shop]) for k in names}

    def distance(t: int) -> float:
        return sum(((people[t][k] - person[k]) / spread[k]) ** 2 for k in names if spread[k])

    return sorted(shop, key=distance)[:EXAMPLES][::-1]


def main() -> None:
    """Write the three files."""
    people = travellers()
    shop = workshop(people)
    shown = lines(people, shop)
    asked = [t for t in people if t not in shop]
    head = HEAD.format(examples=EXAMPLES)
    alternatives = [ALTERNATIVE.format(id=m, label=LABELS[m]) for m in MODES]
    Path("travel-mode.toml").write_text("".join([head, *alternatives, TAIL]), encoding="utf-8")
    with open("travel-mode.csv", "w", encoding="utf-8", newline="") as file:
        fields = [k for k in people[asked[0]] if k != "choice"]
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["respondent_id", *fields, "record"])
        for t in asked:
            record = "\n".join(shown[other] for other in nearest(people[t], people, shop))
            out.writerow([t, *(people[t][k] for k in fields), record])
    with open("../humans/travel-mode.csv", "w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        names = ["respondent_id", "alternative", "choice", "price", "wait", "minutes"]
        out.writerow([*names, "income", "party"])
        for t in asked:
            p = people[t]
            for m in MODES:
                numbers = (p[f"cost_{m}"], p[f"wait_{m}"], p[f"minutes_{m}"])
                out.writerow([t, m, int(p["choice"] == m), *numbers, p["income"], p["party"]])
    shares = {m: round(mean(people[t]["choice"] == m for t in asked), 3) for m in MODES}
    print(f"{len(asked)} respondents, who chose {shares}")


if __name__ == "__main__":
    main()
