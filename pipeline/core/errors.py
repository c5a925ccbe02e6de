"""Every error fusewatch raises on purpose, in one tree.

::

    FusewatchError
    ├── ConfigError              the deployment file is wrong: file:line, path, what to write
    ├── PluginError              a kind that does not exist or does not keep its contract
    ├── DependencyMissing        an extra is not installed: which, and how to install it
    ├── SourceError
    │   ├── SourceUnavailable    cannot be opened or was lost: retried with backoff
    │   ├── SourceEnded          a finite source has nothing more to give (not a fault)
    │   └── BadReading           one reading was unusable: counted, the source goes on
    ├── TransportError
    │   ├── ProtocolError        a peer sent what the protocol forbids: answered, counted
    │   ├── AuthenticationError  a key is unknown, revoked or does not fit its node
    │   ├── CodecError           bytes that are not a valid header or payload
    │   └── SpoolVersionError    a spool that another version of fusewatch wrote
    ├── AlignmentError           samples that cannot be put on the scene's timeline
    ├── RecordingError           a recording that cannot be read or written
    ├── ModelError
    │   └── ModelFileError       not a model of ours, damaged, or of another version
    ├── StoreError               the event store cannot be opened, read or written
    │   ├── StoreVersionError    it, or a state in it, is of a version that is not read
    │   └── NoSuchAnswer         no answer of that number stands: it was never, or is taken back
    ├── AlreadyRunning           another process of the same name works on this data folder
    ├── ClusterError             the machines of a cluster cannot be reached or used
    └── SinkError
        ├── SinkUnavailable      the receiver is down: retried for as long as it takes
        └── SinkRejected         the receiver refuses this event: set aside, listed

Each message says what, where (stream, node, ``file:line``) and what to do about it.
``where`` is attached by whoever knows it on the way out, see `FusewatchError.at`.
"""

from __future__ import annotations

from typing import Self


class FusewatchError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: What went wrong.
        where: Stream, node, file or ``file:line`` concerned.
        fix: What the reader can do about it.
    """

    exit_code = 70

    def __init__(self, message: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.fix = fix

    def at(self, where: str) -> Self:
        """Attach where it happened, unless something nearer to the fault did already."""
        if not self.where:
            self.where = where
        return self

    def __str__(self) -> str:
        prefix = f"{self.where}: " if self.where else ""
        suffix = f" ({self.fix})" if self.fix else ""
        return f"{prefix}{self.message}{suffix}"


class ConfigError(FusewatchError):
    """The deployment is wrong. ``problems`` lists every fault found, one line each."""

    exit_code = 78

    def __init__(
        self, message: str, *, where: str = "", fix: str = "", problems: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, where=where, fix=fix)
        self.problems = problems


class PluginError(FusewatchError):
    """A kind that does not exist or does not keep its family's contract."""

    exit_code = 78


class DependencyMissing(FusewatchError):
    """A part needs an extra that is not installed."""

    exit_code = 69


class SourceError(FusewatchError):
    """A source cannot do its work."""

    exit_code = 69


class SourceUnavailable(SourceError):
    """The source cannot be opened or was lost; it is opened again with backoff."""


class SourceEnded(SourceError):
    """A finite source has given everything it had. Not a fault."""


class BadReading(SourceError):
    """One reading could not be used. It is counted and the source goes on."""


class TransportError(FusewatchError):
    """Something between two nodes went wrong."""

    exit_code = 69


class ProtocolError(TransportError):
    """A peer sent something the protocol does not allow."""


class AuthenticationError(TransportError):
    """A key is unknown, revoked, or belongs to another node or role."""


class CodecError(TransportError):
    """Bytes that are not a valid header or payload."""


class SpoolVersionError(TransportError):
    """A spool is of a version that is not read. Starting again does not mend it."""

    exit_code = 78


class AlignmentError(FusewatchError):
    """Samples cannot be put on the scene's timeline."""


class RecordingError(FusewatchError):
    """A recording cannot be read or written."""

    exit_code = 69


class ModelError(FusewatchError):
    """A model cannot be built, trained or used."""


class ModelFileError(ModelError):
    """The file is not a fusewatch model, is damaged, or of a version we cannot read."""

    exit_code = 78


class StoreError(FusewatchError):
    """The event store cannot be opened, read or written."""

    exit_code = 69


class StoreVersionError(StoreError):
    """A store, or a state in it, is of a version that is not read: starting again mends nothing."""

    exit_code = 78


class NoSuchAnswer(StoreError):
    """No answer of that number stands: there never was one, or it was taken back."""


class LeaseLost(StoreError):
    """Another fusion node took this one's scenes over: it must write nothing more."""


class AlreadyRunning(FusewatchError):
    """Another process does this already: on this data folder, or for this scene."""

    exit_code = 69


class ClusterError(FusewatchError):
    """The machines of a cluster cannot be reached or used."""

    exit_code = 69


class SinkError(FusewatchError):
    """An event could not be delivered."""


class SinkUnavailable(SinkError):
    """The receiver is down or busy; the delivery is retried for as long as it takes.

    ``retry_after_s`` is how long the receiver asked to be left alone, None if it did not.
    """

    def __init__(
        self, message: str, *, where: str = "", fix: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, where=where, fix=fix)
        self.retry_after_s = retry_after_s


class SinkRejected(SinkError):
    """The receiver refuses this very event; retrying cannot help."""
