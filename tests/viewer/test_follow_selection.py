"""The dock works on the image that a person has selected, for that is what she sees."""

import numpy as np


def test_the_selected_image_is_the_one_worked_on(open_dock):
    case = open_dock()
    first = case.viewer.add_image(np.zeros((60, 80), np.uint8), name="first")
    book = case.state.book
    assert book.current.image == first
    second = case.viewer.add_image(np.ones((50, 40), np.uint8), name="second")
    assert book.current.image == second
    annotation = book.new_annotation()
    assert annotation.data.shape == (50, 40)
    case.viewer.layers.selection.active = first
    assert book.current.image == first
    case.viewer.layers.selection.active = annotation
    assert book.current.image == second


def test_a_second_annotation_says_what_becomes_of_the_first(open_dock):
    case = open_dock()
    case.viewer.add_image(np.zeros((60, 80), np.uint8), name="cells")
    book, said = case.state.book, []
    book.refused.connect(said.append)
    layer = book.new_annotation()
    book.new_annotation()
    assert not said  # nothing was painted
    book.annotate_in(layer)
    layer.data_setitem((np.array([3]), np.array([4])), 1)
    book.new_annotation()
    assert len(said) == 1
    assert layer.name in said[0]
