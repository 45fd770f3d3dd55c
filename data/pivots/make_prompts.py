"""Writes prompts.jsonl: fifty questions, a hand-written answer to each, its pivot marked by hand.

In the notation below tokens are divided by ``|`` and the pivot token begins with ``^``. `before`
is what all continuations share; each path is an alternative (or None), its probability and its
tokens. The first path is the recorded answer. `also` are candidates beside the paths' own first
tokens that name nothing. Run from anywhere: python data/pivots/make_prompts.py
"""

import json
import warnings
from pathlib import Path

from llmdemand.core.menu import Alternative, Menu
from llmdemand.lab.cases import Case
from llmdemand.lab.cases import Path as Way

CASES = []


def menu_of(text):
    """'Pampers; Cola=A/Cola; neither*' : labels, forms after =, * for the outside option."""
    made = []
    for part in text.split(";"):
        label, _, forms = part.strip().rstrip("*").partition("=")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            own = Menu.of(label, "zzz").ids[0]
        made.append(
            Alternative(
                own, label, tuple(forms.split("/")) if forms else (), part.strip().endswith("*")
            )
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Menu(tuple(made))


def tokens_of(text):
    """Tokens, and which of them is marked as the pivot."""
    parts = text.split("|") if text else []
    marked = [k for k, p in enumerate(parts) if p.startswith("^")]
    assert len(marked) <= 1, text
    return tuple(p.removeprefix("^") for p in parts), marked[0] if marked else None


def case(domain, feature, prompt, menu, before, *paths, also=None, anchors=(), first=False):
    """Add a question; the notation is explained on top."""
    shared, none = tokens_of(before)
    assert none is None
    ways = []
    for alternative, share, text in paths:
        tokens, pivot = tokens_of(text)
        ways.append(Way(alternative, share, tokens, pivot))
    CASES.append(
        Case(
            f"{len(CASES) + 1:02d}-{domain.replace(' ', '-')}",
            domain,
            feature,
            prompt,
            menu_of(menu),
            shared,
            tuple(ways),
            also or {" the": 0.02, " a": 0.01},
            tuple(anchors),
            first,
        )
    )


# -- brands and groceries ------------------------------------------------------------------------
case(
    "diapers",
    "direct",
    "Pampers cost 33 cents a diaper, Huggies 30. Which do you buy, or neither?",
    "Pampers; Huggies; neither*",
    "I|'d| choose",
    ("huggies", 0.58, "^ Hug|gies|."),
    ("pampers", 0.36, "^ Pam|pers|."),
    ("neither", 0.06, "^ neither|."),
)
case(
    "soft drinks",
    "nested names",
    "A can of Coke, Coke Zero or Pepsi, all at $1. Which one?",
    "Coke; Coke Zero; Pepsi",
    "I|'ll| have| a",
    ("coke_zero", 0.31, " Coke|^ Zero|,| please|."),
    ("coke", 0.44, " Coke|^.| Thanks|."),
    ("pepsi", 0.25, "^ Pepsi|.| Thanks|."),
    also={" cold": 0.03},
)
case(
    "toothpaste",
    "order of mention",
    "Colgate at $3.20 or Crest at $2.90?",
    "Colgate; Crest",
    "Between| Col|gate| and| Crest|,| I|'d| go| with",
    ("crest", 0.55, "^ Crest|,| since| Col|gate| costs| more|."),
    ("colgate", 0.45, "^ Col|gate|,| as| Crest| is| less| known| to| me|."),
)
case(
    "milk",
    "negation",
    "Oat milk at $4 or whole milk at $3?",
    "oat milk; whole milk",
    "Not| oat| milk| at| that| price|,| but",
    ("whole_milk", 0.90, "^ whole| milk|."),
    ("oat_milk", 0.10, "^ oat| milk| on| sale|."),
    also={" perhaps": 0.05},
)
case(
    "cereal",
    "restatement",
    "Cheerios, Corn Flakes or muesli for breakfast?",
    "Cheerios; Corn Flakes; muesli",
    "My| pick|:",
    ("corn_flakes", 0.40, "^ Corn| Flakes|.| To| repeat|:| Corn| Flakes|,| not| Che|erios|."),
    ("cheerios", 0.42, "^ Che|erios|.| To| repeat|:| Che|erios|."),
    ("muesli", 0.18, "^ mu|esli|.| To| repeat|:| mu|esli|,| not| Corn| Flakes|."),
)
case(
    "coffee",
    "scene",
    "Starbucks beans $12, Lavazza beans $10. Which?",
    "Starbucks; Lavazza",
    "Since| Star|bucks| costs| two| dollars| more|,| I| would| take",
    ("lavazza", 0.72, "^ Lav|azza|."),
    ("starbucks", 0.28, "^ Star|bucks| anyway|."),
)
case(
    "detergent",
    "multi-word",
    "Tide Pods at 30 cents a wash, Persil Liquid at 25, or skip it?",
    "Tide Pods; Persil Liquid; skip it=skip it/skip*",
    "**|Answer|:|**",
    ("persil_liquid", 0.5, "^ Pers|il| Liquid"),
    ("tide_pods", 0.44, "^ Tide| Pods"),
    ("skip_it", 0.06, "^ Skip| it"),
)
case(
    "yogurt",
    "brand first then reason",
    "Chobani $1.50 or Fage $1.80?",
    "Chobani; Fage",
    "",
    ("chobani", 0.64, "^Ch|ob|ani|,| because| F|age| is| thirty| cents| more|."),
    ("fage", 0.36, "^F|age|,| because| it| is| thicker| than| Ch|ob|ani|."),
    also={"I": 0.2, "The": 0.02},
)
case(
    "chocolate",
    "complaint first",
    "Lindt at $4 or Milka at $2?",
    "Lindt; Milka",
    "L|indt| is| too| expensive| for| me|.| I|'ll| buy",
    ("milka", 0.93, "^ Mil|ka|."),
    ("lindt", 0.07, "^ L|indt| only| as| a| gift|."),
)
case(
    "pet food",
    "numbers",
    "1. Purina $20  2. Pedigree $17  3. Neither. Reply with a number.",
    "Purina=1/Purina; Pedigree=2/Pedigree; Neither=3/Neither*",
    "",
    ("pedigree", 0.61, "^2|."),
    ("purina", 0.33, "^1|."),
    ("neither", 0.06, "^3|."),
    also={"I": 0.02},
    first=True,
)
case(
    "bottled water",
    "outside option",
    "Evian $2, Volvic $1.80, or tap water for free?",
    "Evian; Volvic; tap water*",
    "Honestly|,| I|'d| just| drink",
    ("tap_water", 0.82, "^ tap| water|,| not| E|vian|."),
    ("volvic", 0.11, "^ Vol|vic|."),
    ("evian", 0.07, "^ E|vian|."),
)
case(
    "tea",
    "same first letters",
    "Twinings or Tetley at the same price?",
    "Twinings; Tetley",
    "I|'d| pick",
    ("tetley", 0.47, " T|^et|ley|."),
    ("twinings", 0.53, " T|^win|ings|."),
)
case(
    "shampoo",
    "quote",
    "Dove at $5 or Pantene at $6?",
    "Dove; Pantene",
    'I| would| say| "',
    ("dove", 0.57, '^D|ove|".|'),
    ("pantene", 0.43, '^P|ant|ene|".|'),
)
case(
    "beer",
    "list then decision",
    "Heineken, Corona or Guinness, all at $6?",
    "Heineken; Corona; Guinness",
    "Among| He|ine|ken|,| Cor|ona| and| Gu|inness|,| my| favourite| is",
    ("guinness", 0.39, "^ Gu|inness|."),
    ("corona", 0.34, "^ Cor|ona|."),
    ("heineken", 0.27, "^ He|ine|ken|."),
)
# -- travel --------------------------------------------------------------------------------------
case(
    "travel mode",
    "direct",
    "Train 90 minutes $40, car 120 minutes $30, bus 150 minutes $15. How do you travel?",
    "train; car; bus",
    "I| would| take| the",
    ("train", 0.52, "^ train|."),
    ("bus", 0.21, "^ bus|."),
    ("car", 0.27, "^ car|."),
    also={" fastest": 0.04, " cheapest": 0.05},
)
case(
    "airlines",
    "letters",
    "(A) Delta $310, (B) United $295, (C) stay home. Answer with the letter.",
    "Delta=A/Delta; United=B/United; stay home=C/stay home*",
    "",
    ("united", 0.55, "^B"),
    ("delta", 0.40, "^A"),
    ("stay_home", 0.05, "^C"),
    also={"(": 0.08, "I": 0.01},
    first=True,
)
case(
    "hotels",
    "multi-word",
    "Holiday Inn at $110 or Best Western at $95 tonight?",
    "Holiday Inn; Best Western",
    "For| one| night|,| I|'d| book| the",
    ("best_western", 0.63, "^ Best| Western|."),
    ("holiday_inn", 0.37, "^ Holiday| Inn|."),
    also={" cheaper": 0.12},
)
case(
    "hotels abroad",
    "nested names",
    "Hilton at $240 or Hilton Garden Inn at $170?",
    "Hilton; Hilton Garden Inn",
    "I|'d| stay| at| the| Hil",
    ("hilton_garden_inn", 0.66, "ton|^ Garden| Inn|."),
    ("hilton", 0.34, "ton|^.| It| is| nicer|."),
    also={},
)
case(
    "seat class",
    "comparison",
    "Economy $400 or premium economy $700?",
    "economy; premium economy",
    "The| price| of| premium| economy| is| hard| to| justify|,| so| I| choose",
    ("economy", 0.88, "^ economy|."),
    ("premium_economy", 0.12, "^ premium| economy|."),
)
case(
    "rental cars",
    "reasons first",
    "Hertz at $60 a day or Avis at $52?",
    "Hertz; Avis",
    "Both| are| fine|,| but| price| matters| on| a| long| trip|.| So|:",
    ("avis", 0.74, "^ Av|is"),
    ("hertz", 0.26, "^ H|ertz"),
)
case(
    "ride hailing",
    "negation after",
    "Uber $14 in 3 minutes or Lyft $12 in 7?",
    "Uber; Lyft",
    "I|'d| call",
    ("lyft", 0.48, "^ Ly|ft|,| not| U|ber|."),
    ("uber", 0.52, "^ U|ber|,| not| Ly|ft|."),
    also={" an": 0.06, " a": 0.04},
)
case(
    "museums",
    "second thoughts",
    "The Louvre at 17 euros or the Orsay at 16?",
    "Louvre; Orsay",
    "The| Lou|vre|...| no|,| actually| the",
    ("orsay", 0.91, "^ Or|say|."),
    ("louvre", 0.09, "^ Lou|vre| after| all|."),
)
case(
    "bikes",
    "price list first",
    "City bike $400 or e-bike $1,500?",
    "city bike; e-bike",
    "City| bike|:| $|400|.| E|-|bike|:| $|1|,|500|.| I| choose| the",
    ("city_bike", 0.69, "^ city| bike|."),
    ("e_bike", 0.31, "^ e|-|bike|."),
)
# -- services ------------------------------------------------------------------------------------
case(
    "streaming",
    "multi-word",
    "Netflix at $15, Disney Plus at $11, or no subscription?",
    "Netflix; Disney Plus; no subscription*",
    "At| these| prices| I|'d| get",
    ("disney_plus", 0.38, "^ Disney| Plus|."),
    ("netflix", 0.49, "^ Net|flix|."),
    ("no_subscription", 0.13, " no|^ subscription|."),
)
case(
    "phones",
    "nested names",
    "iPhone 15 at $700 or iPhone 15 Pro at $950?",
    "iPhone 15; iPhone 15 Pro",
    "I|'d| get| the| iPhone| |15",
    ("iphone_15_pro", 0.42, "^ Pro|."),
    ("iphone_15", 0.58, "^.| The| cheaper| one| is| enough|."),
    also={},
)
case(
    "mobile plans",
    "anchor",
    "Plan S $15 with 5 GB, plan M $25 with 20 GB, plan L $40 with 60 GB. End with 'Answer:'.",
    "Plan S; Plan M; Plan L",
    "Plan| L| is| too| much|,| Plan| S| too| little|.|\n|Answer|:",
    ("plan_m", 0.81, " Plan|^ M"),
    ("plan_s", 0.14, " Plan|^ S"),
    ("plan_l", 0.05, " Plan|^ L"),
    anchors=("Answer:",),
    also={},
)
case(
    "health plans",
    "metals",
    "Bronze at $280, Silver at $390 or Gold at $510 a month?",
    "Bronze; Silver; Gold",
    "Considering| that| Gold| covers| the| most|,| but| I| am| healthy|,| I|'d| settle| for",
    ("silver", 0.46, "^ Silver|."),
    ("bronze", 0.47, "^ Bron|ze|."),
    ("gold", 0.07, "^ Gold|."),
)
case(
    "car insurance",
    "multi-word",
    "State Farm $120 a month, Geico $105, Allstate $131?",
    "State Farm; Geico; Allstate",
    "I|'d| go| with",
    ("geico", 0.62, "^ Ge|ico|.| State| Farm| is| close|,| though|."),
    ("state_farm", 0.29, "^ State| Farm|."),
    ("allstate", 0.09, "^ All|state|."),
)
case(
    "dental plan",
    "yes or no",
    "A dental plan for $22 a month: do you buy it? Yes or no.",
    "Yes; No*",
    "",
    ("no", 0.54, "^No|,| I| would| pay| out| of| pocket|."),
    ("yes", 0.46, "^Yes|,| it| pays| off|."),
    also={"I": 0.05, "Well": 0.02},
    first=True,
)
case(
    "banks",
    "markdown",
    "Chase with a $12 fee or Ally without branches?",
    "Chase; Ally",
    "I| would| choose| **",
    ("ally", 0.7, "^A|lly|**|."),
    ("chase", 0.3, "^Ch|ase|**|."),
)
case(
    "energy tariffs",
    "hedge",
    "Green tariff 34 cents or standard tariff 30 cents per kWh?",
    "green tariff; standard tariff",
    "It| is| a| close| call|,| but| I| lean| towards| the",
    ("green_tariff", 0.44, "^ green| tariff|."),
    ("standard_tariff", 0.56, "^ standard| tariff|."),
)
case(
    "news",
    "none of these",
    "The Times $20, the Post $12, or none of these?",
    "Times; Post; none of these=none of these/none*",
    "I|'d| subscribe| to",
    ("none_of_these", 0.33, "^ none| of| these|."),
    ("times", 0.29, "^ Times| Digital|."),
    ("post", 0.38, "^ Post| Online|."),
    also={" the": 0.4},
)
case(
    "cloud storage",
    "numbers in prose",
    "1) Drive $2, 2) Dropbox $10, 3) iCloud $3. Which option number?",
    "Drive=1/Drive; Dropbox=2/Dropbox; iCloud=3/iCloud",
    "With| only| |2| people| in| the| house|,| option",
    ("drive", 0.68, " |^1|."),
    ("icloud", 0.27, " |^3|."),
    ("dropbox", 0.05, " |^2|."),
    also={},
)
case(
    "gyms",
    "someone else",
    "Planet Fitness at $15 or Equinox at $200?",
    "Planet Fitness; Equinox",
    "My| brother| loves| Equ|inox|.| I| prefer",
    ("planet_fitness", 0.9, "^ Planet| Fitness|."),
    ("equinox", 0.1, "^ Equ|inox| too|."),
)
case(
    "parcel delivery",
    "instead",
    "UPS at $14 or FedEx at $13?",
    "UPS; FedEx",
    "Instead| of| U|PS|,| I|'d| ship| with",
    ("fedex", 0.95, "^ Fed|Ex|."),
    ("ups", 0.05, "^ U|PS| Ground|."),
)
case(
    "rentals",
    "refusal",
    "Flat A at $900 or flat B at $1,000?",
    "Flat A; Flat B",
    "I|'m| sorry|,| but| I| can|'t| make| that| decision| for| you|.",
    (None, 1.0, ""),
)
# -- durables ------------------------------------------------------------------------------------
case(
    "laptops",
    "order of mention",
    "A MacBook at $1,100, a ThinkPad at $1,000 or a Chromebook at $350?",
    "MacBook; ThinkPad; Chromebook",
    "While| the| Think|Pad| is| sturdy| and| the| Chrome|book| cheap|,| I| would| buy| the",
    ("macbook", 0.51, "^ Mac|Book|."),
    ("thinkpad", 0.37, "^ Think|Pad|."),
    ("chromebook", 0.12, "^ Chrome|book|."),
)
case(
    "headphones",
    "typo and case",
    "Bose at $300 or Sony at $280?",
    "Bose; Sony",
    "id| go| for",
    ("sony", 0.6, "^ sony"),
    ("bose", 0.4, "^ bose"),
)
case(
    "cameras",
    "neither nor",
    "Canon at $600, Nikon at $620, or nothing?",
    "Canon; Nikon; nothing*",
    "Neither| Can|on| nor| Nik|on| fits| my| budget|;| I|'d| buy",
    ("nothing", 0.88, "^ nothing|."),
    ("canon", 0.07, "^ Can|on| used|."),
    ("nikon", 0.05, "^ Nik|on| used|."),
)
case(
    "mattresses",
    "rather than",
    "Casper at $1,000 or Purple at $1,300?",
    "Casper; Purple",
    "Rather| than| spend| $|300| more|,| I| take| the",
    ("casper", 0.8, "^ Cas|per|."),
    ("purple", 0.2, "^ Pur|ple| on| credit|."),
)
case(
    "running shoes",
    "recommendation heard",
    "Nike at $120 or Asics at $110?",
    "Nike; Asics",
    "Many| people| recommend| Nike|,| yet| I|'d| buy",
    ("asics", 0.83, "^ As|ics|."),
    ("nike", 0.17, "^ Nike| as| well|."),
)
case(
    "tyres",
    "letter in brackets",
    "(a) Michelin $160, (b) Hankook $110 each?",
    "Michelin=A/Michelin; Hankook=B/Hankook",
    "I| would| choose| option| (",
    ("hankook", 0.56, "^B|)|."),
    ("michelin", 0.44, "^A|)|."),
    also={},
)
case(
    "washing machines",
    "all but one",
    "Bosch $700, LG $650, Samsung $640?",
    "Bosch; LG; Samsung",
    "Not| Sam|sung|,| not| LG|:",
    ("bosch", 0.97, "^ Bos|ch|."),
    ("lg", 0.02, "^ LG| maybe|."),
    ("samsung", 0.01, "^ Sam|sung| maybe|."),
)
case(
    "televisions",
    "thinking",
    "OLED at $1,500 or QLED at $1,000?",
    "OLED; QLED",
    "<think>|OLED| looks| best|,| but| $|500| is| a| lot|.|</think>",
    ("qled", 0.71, "^Q|LED|."),
    ("oled", 0.29, "^O|LED|."),
    also={"I": 0.03, "The": 0.05},
)
# -- food, leisure, other -------------------------------------------------------------------------
case(
    "wine",
    "colour words",
    "A bottle of red, white or rosé at $14?",
    "red; white; rosé=rosé/rose",
    "With| fish| I|'d| pour| the",
    ("white", 0.76, "^ white|."),
    ("ros", 0.15, "^ ros|é|."),
    ("red", 0.09, "^ red|."),
)
case(
    "pizza",
    "conditional",
    "Margherita at $10 or pepperoni at $12?",
    "Margherita; pepperoni",
    "If| pepper|oni| were| the| same| price| I|'d| take| it|,| but| as| it| is|:",
    ("margherita", 0.85, "^ Marg|her|ita|."),
    ("pepperoni", 0.15, "^ pepper|oni|."),
)
case(
    "restaurants",
    "depends",
    "Thai at $18 or Mexican at $16 tonight?",
    "Thai; Mexican",
    "That| depends| on| who| is| coming| along| and| how| hungry| we| are|.",
    (None, 1.0, ""),
)
case(
    "concert tickets",
    "last word wins",
    "Front row at $150 or balcony at $60?",
    "front row; balcony",
    "Front| row| would| be| a| dream|.| For| my| wallet|,| it| has| to| be| the",
    ("balcony", 0.94, "^ balcony|."),
    ("front_row", 0.06, "^ front| row|."),
)
case(
    "video games",
    "politeness",
    "Zelda at $60 or Mario at $50?",
    "Zelda; Mario",
    "Great| question|!| I|'ll| go| ahead| and| get",
    ("zelda", 0.59, "^ Z|elda|."),
    ("mario", 0.41, "^ Mario|."),
)
case(
    "fruit",
    "word in a word",
    "Apples at $2 or pineapples at $3?",
    "apples; pineapples",
    "Let|'s| have",
    ("pineapples", 0.3, "^ pine|apples|."),
    ("apples", 0.7, "^ apples|."),
    also={" some": 0.2},
)


if __name__ == "__main__":
    path = Path(__file__).with_name("prompts.jsonl")
    with path.open("w", encoding="utf-8") as file:
        for one in CASES:
            file.write(json.dumps(one.to_dict(), ensure_ascii=False) + "\n")
    print(f"{len(CASES)} prompts in {path.name}")
