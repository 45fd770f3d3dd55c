import pytest

from llmdemand.core.menu import Alternative, Menu, MenuWarning
from llmdemand.errors import MenuError


def test_forms_default_to_the_label():
    assert Alternative("a", "Pull-Ups").forms == ("Pull-Ups",)


@pytest.mark.parametrize("id", ["", "A", "9a", "a-b", "a b"])
def test_an_id_must_name_a_column(id):
    with pytest.raises(MenuError, match="not a column name"):
        Alternative(id, "x")


@pytest.mark.parametrize("form", ["", " a", "a ", "--"])
def test_forms_without_letters_or_with_outer_space_are_refused(form):
    with pytest.raises(MenuError, match="letter or digit"):
        Alternative("a", "x", forms=(form,))


def test_one_form_for_two_alternatives_is_refused_whatever_its_case():
    with pytest.raises(MenuError, match="'coke' stands for both 'a' and 'b'"):
        Menu((Alternative("a", "Coke"), Alternative("b", "coke")))


def test_single_letters_keep_their_case():
    menu = Menu((Alternative("upper", "A"), Alternative("lower", "a")))
    assert len(menu) == 2


def test_duplicate_ids_and_short_menus_are_refused():
    with pytest.raises(MenuError, match="used twice"):
        Menu((Alternative("a", "x"), Alternative("a", "y")))
    with pytest.raises(MenuError, match="at least two"):
        Menu((Alternative("a", "x"),))


def test_forms_that_begin_alike_warn_and_name_the_pair():
    with pytest.warns(MenuWarning, match="'coke' and 'coke zero'"):
        Menu.of("Coke", "Coke Zero")
    with pytest.warns(MenuWarning, match="'pampers' and 'pull-ups'"):
        Menu.of("Pampers", "Pull-Ups")


def test_an_unknown_alternative_suggests_the_nearest():
    with pytest.raises(MenuError, match="did you mean 'pampers'"):
        Menu.of("Pampers", "Huggies").index("pamper")
