"""What a user can mend, told so that they can mend it."""

from __future__ import annotations


class InputError(Exception):
    """Something the user gave cannot be used; shown as one message, without a traceback.

    Parameters
    ----------
    place : str
        Where it stands: a file with its line, a column, a command's option.
    found : str
        What was given.
    accepted : str
        What would have been accepted.
    do : str
        The next step out.
    """

    def __init__(self, place: str, found: str, accepted: str = "", do: str = "") -> None:
        self.place, self.found, self.accepted, self.do = place, found, accepted, do
        super().__init__(str(self))

    def __str__(self) -> str:
        parts = [f"{self.place}: {self.found}"]
        parts += [f"  accepted: {self.accepted}"] if self.accepted else []
        parts += [f"  what to do: {self.do}"] if self.do else []
        return "\n".join(parts)


class NoModelError(InputError):
    """No model serves this journey yet."""


class SuppressedError(InputError):
    """The customer opted out or is held out, and a contact was told without saying that this is known."""


class UnknownCustomerError(InputError):
    """The store holds no score of this customer."""


class ErasedError(InputError):
    """The customer was erased and is kept out."""


class TakenError(InputError):
    """The event's id belongs to an event of another customer."""


class KeyReusedError(InputError):
    """The idempotency key belongs to another request."""
