# SPDX-License-Identifier: MIT
"""The tree a body ends with: errors, cancellations, groups of them; as exceptions."""

import trio


class UserError(Exception):
    def __init__(self, number):
        self.number = number


class Timeout(Exception):
    pass


class Abandoned(BaseException):
    """Ends the tasks of a run that is over before they are."""


class ErrorGroup(BaseExceptionGroup):
    """A node of the tree; the message is the group's name."""

    def derive(self, members):
        return ErrorGroup(self.message, members)


def text_of(error):
    """The canonical text, None where the tree holds cancellations only."""
    if isinstance(error, trio.Cancelled):
        return None
    if isinstance(error, UserError):
        return f"e{error.number}"
    if isinstance(error, Timeout):
        return "timeout"
    if not isinstance(error, ErrorGroup):
        raise error  # the oracle's own
    members = sorted(filter(None, map(text_of, error.exceptions)))
    return f"{error.message}[{' '.join(members)}]" if members else None


def split(error, matches):
    """What of the tree matches and what does not, each None where there is nothing."""
    if isinstance(error, ErrorGroup):
        return error.split(matches)
    return (error, None) if matches(error) else (None, error)


def is_cancelled(error):
    return isinstance(error, trio.Cancelled)
