"""The generated signatures of the catalogue are those of the installed Keras."""

from fornada.spec.catalogue import FAMILIES
from fornada.spec.catalogue.signatures import keras_version
from fornada.worker.trainer.model import signatures


def test_the_committed_signatures_are_those_of_the_installed_keras() -> None:
    assert signatures.TARGET.read_text() == signatures.render()


def test_every_class_of_the_catalogue_has_a_signature() -> None:
    generated = signatures.generate()

    assert generated["keras"] == keras_version()
    for name, family in FAMILIES.items():
        assert set(generated["signatures"][name]) == set(family.entries)
