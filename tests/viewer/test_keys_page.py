"""The page of keys says what is bound."""

from docs.make_reference import FOLDER, keys_page


def test_the_page_is_what_the_program_says():
    written = (FOLDER / "keys.md").read_text("utf-8")
    assert written == keys_page(), "run: python docs/make_reference.py"
