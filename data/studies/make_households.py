"""Writes pampers-households.toml: eight households with a record of past purchases.

Each household buys Pampers whenever a diaper costs less than its reservation price,
and Huggies (always 30 cents) otherwise; its record shows 12 such trips, six on either
side of the reservation price, in random order, with either brand named first on half
of them. Run it from this folder: `python make_households.py`.
"""

import random
from pathlib import Path

RESERVATION = [31.5, 33.5, 35.5, 37.5, 39.5, 41.5, 43.5, 45.5]
SEED = 2026

HEAD = '''\
# Written by make_households.py. The 16 prices of the study "pampers", asked as the next
# line of a household's purchase record: the embedded model reacts to prices only in
# context, so what is measured is in-context demand, not what the model knows of brands.
name = "pampers-households"
title = "Pampers against Huggies, 16 prices, 8 households with a purchase record"
description = """
Eight synthetic households, each with a reservation price of its own and a record of 12
past shopping trips that follows it. The model continues the record at a new price of
Pampers, with either brand named first."""
unit = "cents per diaper"
label = "in-context demand"
mode = "completion"
focal = "pampers"
cluster = "persona_id"
orders = "cross"
runs = 5

user = """
Purchase record of one household. Each line is a shopping trip: shelf prices per diaper, \\
then the brand bought.

{record}
Trip 13: {offers}. Bought:"""
offer = "{label} {price:.0f} cents"
separator = ", "

[[alternatives]]
id = "pampers"
label = "Pampers"
price = { start = 30, stop = 45, step = 1 }

[[alternatives]]
id = "huggies"
label = "Huggies"
price = 30

[sampling]
temperature = 1.0
max_tokens = 4
top_logprobs = 100
stop = ["\\n"]
'''


def record(household: int) -> str:
    """Twelve trips of one household."""
    rng = random.Random(SEED * 100 + household)
    limit = RESERVATION[household]
    prices = rng.sample([p for p in range(24, 53) if p < limit], 6)
    prices += rng.sample([p for p in range(24, 53) if p > limit], 6)
    rng.shuffle(prices)
    pampers_first = [True, False] * 6
    rng.shuffle(pampers_first)
    lines = []
    for trip, (price, first) in enumerate(zip(prices, pampers_first, strict=True), 1):
        offers = [f"Pampers {price} cents", "Huggies 30 cents"]
        bought = "Pampers" if price < limit else "Huggies"
        lines.append(
            f"Trip {trip}: {', '.join(offers if first else offers[::-1])}. Bought: {bought}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    parts = [HEAD]
    for h, limit in enumerate(RESERVATION):
        parts.append(
            f'[[personas]]\nid = "household-{h + 1}"\nreservation_price = "{limit}"\n'
            f'record = """\n{record(h)}"""\n'
        )
    Path("pampers-households.toml").write_text("\n".join(parts), encoding="utf-8")
