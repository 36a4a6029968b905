"""What a model that is handed on says of itself."""

from __future__ import annotations

from pydantic import Field

from napari_unet.config._base import Settings

__all__ = ["ModelCard"]


class ModelCard(Settings):
    """Name, authors and licence of an exported model; nothing is made up."""

    name: str = Field(
        "napari-unet model",
        pattern=r"^[A-Za-z0-9_+\- ()]{5,128}$",
        title="Name",
        description="What it segments in which images, such as 'Nuclei in fluorescence "
        "images': 5 to 128 letters, digits, spaces, and _ + - ( ).",
    )
    description: str = Field(
        "",
        max_length=1024,
        title="Description",
        description="A sentence or two for those who look for a model. Empty: made "
        "from its classes.",
    )
    authors: tuple[str, ...] = Field(
        (),
        title="Authors",
        description="Who trained it, and answers questions. Empty: nobody is named, "
        "which the BioImage Model Zoo does not take.",
    )
    licence: str = Field(
        "",
        pattern=r"^[A-Za-z0-9.+\-]{0,64}$",
        title="Licence",
        description="An SPDX identifier, such as CC-BY-4.0. Empty: none is given, and "
        "so others may not use it.",
    )
