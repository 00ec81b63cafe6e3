"""What to do about a failure, in plain words."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import UserError


@dataclass(frozen=True)
class Advice:
    """What the panel says of a failure.

    Attributes:
        title: What is the matter, in a few words.
        text: What to do.
        tab: The tab where that is done; empty for none.
        known: Whether the failure was expected; of others the details are shown at once.
    """

    title: str
    text: str
    tab: str = ""
    known: bool = True


_KNOWN: tuple[tuple[str, str, str, str], ...] = (
    (
        r"'(.*)' does not hold .*(?:moedsr_core|fastapi|uvicorn)",
        "That Python does not hold the part that computes",
        "'{0}' is no Python, or lacks moedsr's core. Name another one under Settings, or leave the "
        "field empty to have one found; Install there makes one.",
        "settings",
    ),
    (
        r"no Python that holds moedsr|no core",
        "The part that computes is not installed",
        "Predictions are made by moedsr's core, which is installed by a click, or by a server, "
        "which is named under Settings. The plugin itself computes nothing.",
        "install",
    ),
    (
        r"there is no Python at",
        "That Python is not there",
        "Name another one under Settings, or leave the field empty to have one found.",
        "settings",
    ),
    (
        r"does not accept (our|this) token|wants a token",
        "The server wants another token",
        "Ask whoever keeps the server for a token, save it to a file, and name the file under "
        "Settings.",
        "settings",
    ),
    (
        r"the token cannot be read|first line of .* must be a token|other users can read",
        "The token's file cannot be used",
        "It must hold the token in its first line, and be readable by you alone.",
        "settings",
    ),
    (
        r"certificate",
        "The server's certificate is not trusted",
        "Ask whoever keeps the server for its certificate file, and name it under Settings.",
        "settings",
    ),
    (
        r"is not encrypted|does not speak TLS|speaks TLS",
        "The address begins wrongly",
        "A server elsewhere is written https://host:port.",
        "settings",
    ),
    (
        r"an address is written|holds no user and password",
        "That is no address",
        "An address is written https://host:port.",
        "settings",
    ),
    (
        r"is not a moedsr server|with no list|without naming it",
        "Something else answers there",
        "Check the address and the port under Settings; a web server or another program listens "
        "there.",
        "settings",
    ),
    (
        r"sends us on to",
        "The address leads elsewhere",
        "If you trust the address that is named below, use that one.",
        "settings",
    ),
    (
        r"speaks protocol|does not say which protocol|needs .* or later, below",
        "The versions do not fit",
        "Plugin and server must be of the same time: update the one that is named below.",
        "settings",
    ),
    (
        r"nobody listens|cannot be reached|stopped answering|no way to|no computer named|"
        r"broke off|is not ready|proxy|cannot be asked|no encrypted connection",
        "The server is away",
        "Check your network or VPN. A job that was sent goes on there; load it under Jobs when "
        "the server is back.",
        "jobs",
    ),
    (
        r"is busy",
        "The server is busy",
        "Try again in a while, or compute on this computer.",
        "",
    ),
    (
        r"disk .*full|no space left|No space",
        "A disk is full",
        "Delete earlier jobs, here or on the server, then try again.",
        "jobs",
    ),
    (
        r"cannot be written|cannot be kept in",
        "A file cannot be written",
        "Choose another folder, or make space.",
        "",
    ),
    (
        r"polymer atoms, at most|no request of this size|takes at most",
        "The molecule is too large",
        "Select fewer chains: type a selection such as '1abc and chain A'.",
        "predict",
    ),
    (
        r"no protein or nucleic acid",
        "There is no protein in it",
        "Choose a molecule with protein or nucleic acid; water, ligands and ions have no surface "
        "here.",
        "predict",
    ),
    (
        r"'(.*)' holds no atoms",
        "No atom is chosen",
        "Nothing that is loaded is '{0}'. Choose another molecule or selection, or type one, such "
        "as resi 38+42.",
        "",
    ),
    (
        r"neither an object nor a selection|is no selection|choose a molecule|word of PyMOL's "
        r"selection language",
        "No such molecule",
        "Choose one from the list, or type a selection such as '1ubq and chain A'.",
        "predict",
    ),
    (
        r"spans \d+ objects",
        "Choose one molecule",
        "A surface follows one object. Type a selection within one of them.",
        "predict",
    ),
    (
        r"ended in mid-job|memory",
        "The computation ended by itself",
        "It may have run out of memory: choose a coarser mesh or fewer chains, or compute on a "
        "server.",
        "predict",
    ),
    (
        r"backend did not start|could not be started",
        "The part that computes did not start",
        "The details below are its last words. Installing it again under Settings mends most of "
        "this.",
        "settings",
    ),
    (
        r"holds no values for colour",
        "This surface does not have that",
        "Surfaces that were fetched know no residues, and a surface that does not move has no "
        "motion. Choose another colour.",
        "look",
    ),
    (
        r"was stopped",
        "The computation was stopped",
        "Load the job under Jobs to go on with it.",
        "jobs",
    ),
    (
        r"there is no such job|there is no job",
        "That job is gone",
        "Finished jobs are kept for some days. Press Refresh under Jobs to see those that are "
        "there.",
        "jobs",
    ),
)


def advise(error: BaseException) -> Advice:
    """What to say of a failure; an unexpected one is shown with its details."""
    said = str(error)
    if isinstance(error, UserError):
        for pattern, title, text, tab in _KNOWN:
            found = re.search(pattern, said, re.IGNORECASE)
            if found:
                return Advice(title, text.format(*found.groups()), tab)
        return Advice("That did not work", sentence(said))
    return Advice(
        "Something unexpected happened",
        "Nothing of yours is lost. The details help whoever is to mend it.",
        known=False,
    )


def sentence(text: str) -> str:
    """A message with a capital at its beginning and a stop at its end."""
    text = text.strip()
    if not text:
        return text
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")
