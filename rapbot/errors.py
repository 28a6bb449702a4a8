"""One root error. The text of each is the one clear sentence that the person reads."""

from __future__ import annotations

from collections.abc import Sequence

from rapbot.i18n import _


class RapbotError(Exception):
    """Root of everything that rapbot raises on purpose; `str(error)` is meant for the person."""

    @property
    def sentence(self) -> str:
        return str(self)


class ConfigError(RapbotError):
    """The configuration cannot be used; names the key and the nearest valid one."""


class PhotoError(RapbotError):
    """The picture cannot be used: not an image, truncated, too large, a format that is not read."""


class TextError(RapbotError):
    """The text cannot be used: empty, too long."""


class ConceptError(RapbotError):
    """A rule of concepts is broken: name, length, number."""


class NameTaken(ConceptError):
    def __init__(self, name: str) -> None:
        super().__init__(
            _("You already taught me {name}. Use /edit to change it or /addphoto to show me another picture.").format(
                name=name
            )
        )
        self.name = name


class NameUnknown(ConceptError):
    """No concept of that name; `nearest` holds the most similar known names, best first."""

    def __init__(self, name: str, nearest: Sequence[str] = ()) -> None:
        hint = _("/concepts shows everything I know.")
        if nearest:
            hint = _("Did you mean {names}?").format(names=_(" or ").join(nearest))
        super().__init__(_("I don't know anything called {name}.").format(name=name) + f" {hint}")
        self.name = name
        self.nearest = tuple(nearest)


class NothingToUndo(ConceptError):
    def __init__(self) -> None:
        super().__init__(_("There is nothing to undo."))


class Gone(ConceptError):
    """A concept or picture asked for by its id is not there (any more), or belongs to somebody else."""

    def __init__(self, what: str) -> None:
        super().__init__(_("That {what} is not there any more.").format(what=_(what)))


class StoreError(RapbotError):
    """The database cannot be used."""


class StoreCorrupt(StoreError):
    """The database file is damaged. It is left untouched."""


class DiskFull(StoreError):
    def __init__(self) -> None:
        super().__init__(_("The disk is full, so I could not save that. Nothing was changed."))


class WeightsError(RapbotError):
    """A model file cannot be fetched, verified or read."""


class ExtraMissing(ConfigError):
    """A profile needs optional dependencies that are not installed; says which, and how to install them."""

    def __init__(self, what: str, extra: str, missing: str) -> None:
        super().__init__(
            f"{what} needs the extra {extra}, which is not installed ({missing} is missing): "
            f"pip install -e '.[{extra}]'"
        )


class InferenceError(RapbotError):
    """The model work of one request failed; other requests are not affected."""


class WorkerDied(InferenceError):
    """The worker process died twice on the same job."""


class JobTimeout(InferenceError):
    """A job ran past its deadline."""


class Busy(InferenceError):
    """The queue is full; `position` tells how many wait."""
