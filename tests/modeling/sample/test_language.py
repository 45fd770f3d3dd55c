"""Formulas are data: what they may say, and that they run nothing else."""

import builtins

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import llmdemand as ld
from llmdemand.errors import DesignError, LLMDemandError
from llmdemand.modeling.sample.formula import evaluate, part, split, variables
from llmdemand.modeling.sample.language import read, verify


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(4)
    n = 300
    price = rng.choice(np.arange(30, 46), n)
    return pd.DataFrame(
        {
            "price": price,
            "cost": rng.uniform(1, 3, n).round(2),
            "unit price": price * 2.0,
            "arm": rng.choice(["north", "south", "west"], n),
            "y": (rng.random(n) < 1 / (1 + np.exp(0.2 * (price - 37)))).astype(int),
        }
    )


RUN = [
    "I(__import__('os').system('touch {file}'))",
    "I(open('{file}', 'w'))",
    "I(price.to_csv('{file}'))",
    "I(price.__class__.__mro__)",
    "np.savetxt('{file}', price)",
    "I(np.lib.npyio.savetxt('{file}', price))",
    "I((lambda: open('{file}', 'w'))())",
    "I([open('{file}', 'w') for _ in [1]])",
    "C(price, open('{file}', 'w'))",
    "C(arm, contr.__init__('{file}'))",
    "bs(price, df=open('{file}', 'w'))",
    "price + `__import__`('os').system('touch {file}')",
    "I(`open`('{file}', 'w'))",
    'I(f\'{{open("{file}", "w")}}\')',
    "I('`' + open('{file}', 'w').name + '`')",
    "{{open('{file}', 'w')}}",
    "I(exec('x'))",
    "I(__FORMULAIC_CONTEXT__)",
    "I(price, _context=1)",
    "I(price if open('{file}', 'w') else price)",
    "I((p := open('{file}', 'w')))",
    "I(*open('{file}', 'w'))",
    "log(price, **{{'out': 1}})",
    "np.log(price, price)",
    "np.add(price, price, price)",
]


@pytest.mark.parametrize("term", RUN)
def test_nothing_is_run(data, tmp_path, term):
    file = tmp_path / "made"
    text, before = term.format(file=file), data.copy()
    for formula in (f"y ~ price + {text}", f"y ~ {text}", f"{text} ~ price"):
        with pytest.raises(DesignError):
            ld.logit(formula, data)
    with pytest.raises(LLMDemandError):
        ld.logit("y ~ price", data).score_test(text, data)
    assert not file.exists()
    pd.testing.assert_frame_equal(data, before)


def test_the_command_line_runs_nothing(tmp_path):
    from typer.testing import CliRunner

    from llmdemand.cli.app import app

    file, panel = tmp_path / "made", tmp_path / "panel.parquet"
    ld.simulate(ld.load_study("pampers"), "synthetic", runs=4, seed=1).write(panel)
    run = CliRunner().invoke
    assert run(app, ["fit", str(panel), "--formula", "log(price)"]).exit_code == 0
    found = run(app, ["fit", str(panel), "--formula", f"price + I(open('{file}', 'w'))"])
    assert found.exit_code != 0 and isinstance(found.exception, DesignError | SystemExit)
    assert not file.exists()


def test_what_formulaic_made_is_checked_again():
    verify("log(`unit price`) + np.pi", "t")
    with pytest.raises(DesignError, match="__import__ is not among the functions"):
        verify("`__import__`('os')", "t")
    with pytest.raises(DesignError, match="not of the language"):
        verify("price.values", "t")


@pytest.mark.parametrize(
    "text",
    [
        "I(10**10**10)",
        "I(price**999999999)",
        "I(price**(10**10))",
        "I(9**9**9**9)",
        "bs(price, df=10**9)",
        "bs(price, df=1000000000)",
        "bs(price, 1000000000)",
        "poly(price, 100000)",
        "poly(price, degree=10**5)",
        "cr(price, df=99999)",
        "I('a' * 10**9)",
        "I(price << 10**9)",
        "C(price, levels=list(range(10**9)))",
        "(a + b + c + d + e + f + g + h)**9999999",
        "(a + b + c + d + e + f + g + h + price + cost)**10",
        "a*b*c*d*e*f*g*h*i*j*k*l*m*n*o*p*q*r*s*t*u*v*w*x*z",
        "-" * 5000 + "price",
        "(" * 5000 + "price" + ")" * 5000,
        "I(" * 500 + "price" + ")" * 500,
        "price + " * 5000 + "price",
        "I(" + "9" * 5000 + " * price)",
    ],
)
def test_no_formula_takes_the_machine_down(data, text):
    wide = data.assign(**{c: data["cost"] for c in "abcdefghijklmnopqrstuvwxz"})
    with pytest.raises(DesignError):
        ld.logit(f"y ~ {text}", wide)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("y ~ 0", "no regressors are left"),
        ("y ~ y", "outcome 'y' among the regressors"),
        ("y ~ price + log(y + 1)", "outcome 'y' among the regressors"),
        ("y ~ price**2", r"write I\(price \*\* 2\)"),
        ("y ~ price^2", r"write I\(price \*\* 2\)"),
        ("y ~ log(price)**2", r"write I\(log\(price\) \*\* 2\)"),
        ("y ~ `unit price`**2", r"write I\(`unit price` \*\* 2\)"),
        ("y ~ (price + cost)**cost", "interactions of terms"),
        ("y ~ price - cost", r"write I\(price - cost\)"),
        ("y ~ price / cost", r"write I\(price / cost\)"),
        ("y / 10 ~ price", r"write I\(y / 10\)"),
        ("1 ~ price", "names no column"),
        ("offset(y) ~ price", "an offset belongs to the right of ~"),
        ("y ~ 2 * price", r"write I\(2 \* price\)"),
        ("y ~ price + 5", "5 stands for a term"),
        ("y ~ -price", r"write I\(-price\)"),
        ("y ~ price > 35", r"write it inside I\(\)"),
        ("y ~ I(price^2)", r"write \*\*"),
        ("y ~ I(30 < price < 40)", r"write \(a < b\) & \(b < c\)"),
        ("y ~ I(price > 35 and cost > 2)", "write & or |"),
        ("y ~ I(not price)", "write ~"),
        ("y ~ np.sort(price)", "np.sort is not among the functions"),
        ("y ~ np.lgo(price)", "did you mean 'log'"),
        ("y ~ lgo(price)", "did you mean 'log'"),
        ("y ~ lag(price)", "lag is not among the functions"),
        ("y ~ price.diff()", "make it a column of the data"),
        ("y ~ class", "in backticks"),
        ("y ~ log(arm)", "computes with 'arm', which is text"),
        ("y ~ I(arm + 1)", "computes with 'arm', which is text"),
        ("y ~ price # of money", "'#' is no sign of formulas"),
        ("arm ~ price", "outcome 'arm' holds text"),
        ("y ~ prise", "did you mean 'price'"),
        ("y ~ price ~ cost", "write outcome ~ regressors"),
    ],
)
def test_what_was_meant_is_said(data, formula, message):
    with pytest.raises(DesignError, match=message):
        ld.logit(formula, data)


def test_text_that_is_numbers(data):
    for written in ("{:.2f}", "${:.2f}", "{:.2f} €", "USD {:.0f}", "1,{:03.0f}", " {:g}"):
        told = data.assign(price=[written.format(p) for p in data["price"]])
        with pytest.raises(DesignError, match=r"price is text .*make it numbers .*C\(price\)"):
            ld.logit("y ~ price", told)
        with pytest.raises(DesignError, match="price is text"):
            ld.logit("y ~ price:cost + arm", told)
        assert len(ld.logit("y ~ C(price)", told).params) == 16
    # Categories are left alone, and so are numbers that were made a category on purpose.
    assert len(ld.logit("y ~ arm", data).params) == 3
    assert (
        len(ld.logit("y ~ price", data.assign(price=data["price"].astype("category"))).params) == 16
    )
    many = data.assign(name=[f"person {k}" for k in range(len(data))])
    with pytest.raises(DesignError, match="300 levels"):
        ld.logit("y ~ name", many)


def test_a_column_with_the_name_of_the_constant(data):
    for name in ("const", "Intercept"):
        with pytest.raises(DesignError, match="has the name of the constant"):
            ld.logit(f"y ~ {name}", data.rename(columns={"cost": name}))


def test_columns_with_names_of_functions(data):
    """A column named like a function does not hide the function."""
    hidden = data.rename(columns={"cost": "log"}).assign(C=1.0, I=2.0, np=3.0)
    plain = ld.logit("y ~ log(price) + C(arm) + I(price**2)", data).params
    pd.testing.assert_series_equal(
        ld.logit("y ~ log(price) + C(arm) + I(price**2)", hidden).params, plain
    )


def test_what_is_allowed(data):
    x = data["price"].to_numpy(float)
    frame = data.assign(q=1.0)
    for text, values in (
        ("I(price**2)", x**2),
        ("np.log1p(price)", np.log1p(x)),
        ("np.maximum(price - 37, 0)", np.maximum(x - 37, 0)),
        ("np.where(price > 37, 1.5, 0)", np.where(x > 37, 1.5, 0)),
        ("np.clip(price, 33, 40)", np.clip(x, 33, 40)),
        ("I(price * np.pi)", x * np.pi),
        ("I(price**0.5 + price**-1)", x**0.5 + 1 / x),
        ("I(price**(1/3))", x ** (1 / 3)),
        ("I(2**(price - 40))", 2 ** (x - 40)),
        ("I((price > 37) * 1.0)", (x > 37) * 1.0),
        ("I(((price > 37) & ~(arm == 'north')) * 1.0)",
         ((x > 37) & (data["arm"] != "north")) * 1.0),
        ("log10(price)", np.log10(x)),
        ('Q("unit price")', 2 * x),
        ("sqrt(Q('unit price'))", np.sqrt(2 * x)),
        ("center(price)", x - x.mean()),
    ):  # fmt: skip
        made = part(f"0 + {text}", frame).matrix(frame)[:, 0]
        np.testing.assert_allclose(made, values, rtol=1e-12)
    np.testing.assert_allclose(evaluate("I(price / 100)", frame), x / 100)
    np.testing.assert_allclose(evaluate("I((arm == 'north') | (arm == 'west'))", frame),
                               data["arm"] != "south")  # fmt: skip


def test_interactions_and_parts():
    assert set(read("(a + b)**2").names) == {"a", "b"}
    assert split("y ~ I((a == 1) | (b == 2)) | c")[1] == ["I((a == 1) | (b == 2))", "c"]
    assert variables("a*b - a:b + `c d` + Q('e f')", ["a", "b", "c d", "e f"]) == [
        "a", "b", "c d", "e f"]  # fmt: skip
    lines = "y ~ a\n  + b"
    assert variables(split(lines)[1][0], ["a", "b"]) == ["a", "b"]


WORDS = [
    *"price cost arm y `unit_price` Q('a') np.log np I C bs offset log contr.sum open eval".split(),
    *"__import__ os lambda for if in 1 0 2 1e9 99999999 'a' \" ' ` + - * ** / : ^".split(),
    *"[ ] { } , = == < % . @ # \\ ; ~ | & ( ) df=3 levels=['a'] _state=1 := é \x00".split(" "),
    *(" ", "\n", "`unit price`", "Q('unit price')"),
]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(WORDS), max_size=12).map("".join) | st.text(max_size=20))
@example("price + I('''`''' + open('x', 'w') + '''`''')")
@example("`a`b`")
@example("I(`price`)")
@example("C(price)[T.a]")
@example("offset(1)")
@example("1e400")
def test_any_text_is_a_formula_or_refused(text):
    """Random formulas open nothing, import nothing and raise nothing of their own."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"price": rng.uniform(1, 2, 9), "cost": rng.uniform(1, 2, 9), "unit price": np.arange(9.0),
         "arm": list("abcabcabc"), "y": np.tile([0.2, 0.5, 0.9], 3)}
    )  # fmt: skip
    touched = []
    kept = {name: getattr(builtins, name) for name in ("open", "eval")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtins, "open", lambda *a, **k: touched.append(a) or kept["open"](*a, **k))
        try:
            made = part(text, frame).made(frame)[0]
            assert len(made) == 9 and np.isfinite(made).all()
            evaluate(text, frame)
        except LLMDemandError:
            pass
    assert not [a for a in touched if "x" in str(a[:1]) and "w" in a[1:]]
