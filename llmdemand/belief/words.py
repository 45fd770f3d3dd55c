"""The English words and the punctuation that change what a mention means."""

from __future__ import annotations

# Words on their own: letters that also begin a longer form do not decide for it.
ORDINARY = frozenset(
    "a an and are as at be but by can do for from go had has have he her his how i if in is it "
    "its me my no nor not of off on one or our out she so than that the their them then there "
    "these they this to too up us was we well what when who will with would yes you your".split()
)

# A mention after one of these, in the same clause, does not decide.
NEGATIONS = frozenset(
    "not never neither none without avoid avoiding skip skipping cannot than nor don't won't "
    "can't wouldn't isn't doesn't didn't couldn't shouldn't aren't wasn't".split()
)

# Clauses that set a scene: nothing in them decides.
SCENE = frozenset(
    "because since although though while whereas if unless given considering comparing "
    "compared despite when".split()
)
SCENE_FIRST = frozenset({"with", "as"})  # "With Pampers at 35, ...", but not "go with Pampers"
LISTS = frozenset({"between", "both", "either", "among", "versus", "vs"})  # may hold commas
# Completed by the next word: "instead of", "price of"; "no Pampers".
PAIRS = {"instead": 1, "price": 2, "prices": 2, "cost": 2, "costs": 2, "no": 3}

# What ends a negation or a scene before its clause does.
TURNS = frozenset("but so then however therefore thus i'd i'll we'd we'll".split())
SUBJECTS = frozenset({"i", "we"})  # end a negation ("not X and I pick Y"), not a scene

# A letter right after one of these is a label.
POINTERS = frozenset({"option", "choice", "answer", "alternative", "brand", "product", "label"})
# A number right after one of these is a label too, and no price or count.
PICKS = frozenset(
    "pick picks picked picking choose chooses chose choosing select selects selected selecting "
    "number".split()
)
# The same where every alternative is a number.
COUNTED = frozenset(
    "buy buys buying purchase purchasing get order ordering take taking want need rate rating "
    "score answer say maybe perhaps probably just only about around roughly".split()
)
# "4 out of 5", "from 1 to 5": the numbers after these are those of the scale.
APART = frozenset("of from to between than".split())
CURRENCY = frozenset("$\u20ac\u00a3\u00a5\uffe5\u20b9\u20a9\u00a2")
# A number before one of these is a price or a share.
UNITS = frozenset("%\u00b0") | CURRENCY
# Fields of a JSON answer that do not say the choice.
REMARKS = frozenset(
    "reason reasons reasoning rationale explanation explain justification thought thoughts "
    "thinking analysis why because comment comments note notes consideration considerations "
    "chain_of_thought step steps step_by_step confidence probability price prices cost costs "
    "budget pros cons scratchpad evidence context question options alternatives brands products "
    "choices rejected not_chosen comparison summary persona".split()
)
OPENERS = frozenset("([{*_`\"'<:=")
CLOSERS = frozenset(")]}.,:;*_`\"'!?\n>")
CLAUSE_END = frozenset(",;:!?\n\u2013\u2014")

# Common Chinese words whose last character begins no name ("hello", "best", "preference").
JOINED = frozenset(
    "你好 您好 最好 更好 很好 较好 正好 只好 良好 不好 还好 友好 爱好 偏好 喜好 也好".split()
)

KNOWN = frozenset().union(
    NEGATIONS,
    SCENE,
    SCENE_FIRST,
    LISTS,
    TURNS,
    SUBJECTS,
    PAIRS,
    POINTERS,
    PICKS,
    {"of", "and", "or"},
)
