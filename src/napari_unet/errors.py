"""The error tree: every expected failure, each with one plain sentence.

A message says what went wrong, which value was given, and what to do. The concrete
classes also inherit the standard type that a caller would expect, so that
``except ValueError`` keeps working for people who never heard of this module.
"""

from __future__ import annotations

__all__ = [
    "AnnotationError",
    "CheckpointError",
    "ClusterError",
    "ConfigError",
    "DeviceError",
    "FileError",
    "ImageError",
    "NapariUnetError",
    "OutOfMemoryError",
    "ProjectError",
    "StoreTakenError",
    "TrainingError",
]


class NapariUnetError(Exception):
    """Any failure that napari-unet expects and can explain in one sentence."""


class ConfigError(NapariUnetError, ValueError):
    """A setting is out of range, unknown, or contradicts another."""


class ImageError(NapariUnetError, ValueError):
    """An image (shape, axes, dtype, channels) cannot be used."""


class AnnotationError(NapariUnetError, ValueError):
    """The annotation is empty, has one class only, or does not fit its image."""


class CheckpointError(NapariUnetError, ValueError):
    """A model file is foreign, truncated, hostile, or newer than this program."""


class FileError(NapariUnetError, OSError):
    """A file cannot be read or written (missing, unreadable, disk full)."""


class ClusterError(NapariUnetError, ConnectionError):
    """A cluster cannot be reached, or its workers cannot do their part."""


class StoreTakenError(FileError):
    """A store holds labels of another model or image, and is left as it is."""


class ProjectError(NapariUnetError, OSError):
    """A project folder cannot be opened, written to, or is used by somebody else."""


class DeviceError(NapariUnetError, RuntimeError):
    """The device asked for (cuda, mps) is not there or does not work."""


class OutOfMemoryError(NapariUnetError, MemoryError):
    """Memory ran out even with the smallest batch and tile."""


class TrainingError(NapariUnetError, RuntimeError):
    """Training cannot go on, for example because the loss is not a number."""
