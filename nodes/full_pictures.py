"""Full pictures for the evidence of events, fetched back from the capture nodes that keep them.

Ties what evidence wants (`pipeline.detection.full_evidence`) to what the link can fetch
(`pipeline.transport.fetches`). Nothing of it is an arrival: recordings, windows, scores and events
know nothing of full pictures.
"""

from __future__ import annotations

from collections.abc import Mapping

from nodes.places import evidence_folder
from nodes.small_streams import kept_streams
from pipeline.config.deployment import Deployment
from pipeline.detection.evidence_files import EvidenceFiles
from pipeline.detection.full_evidence import FullEvidence
from pipeline.transport.fetches import FullArrived
from pipeline.transport.receiver import Receiver

SECOND_NS = 1_000_000_000
LEAST_NS = 10 * SECOND_NS
"""A request stays open for at least so long: while its event stands, a clip has time."""


class FullPictures:
    """See the module.

    Args:
        deployment: Says which streams are sent small, and by which node.
        files: Writes the evidence; closed by whoever made it, after this.

    Attributes:
        writer: Evidence is to be written through it.
    """

    def __init__(self, deployment: Deployment, files: EvidenceFiles) -> None:
        self._nodes = kept_streams(deployment)
        wait_ns = round(deployment.fusion.full_wait_s * SECOND_NS)
        self._open_ns = max(wait_ns, LEAST_NS)
        limit_mb, folder = deployment.fusion.evidence_mb, evidence_folder(deployment)
        self.writer = FullEvidence(files, folder, self._nodes, wait_ns, limit_mb)
        self._fetched: Mapping[str, int] = {}

    @property
    def counters(self) -> dict[str, int]:
        """What became of requests, of pictures and of clips, by name."""
        return {**self._fetched, **self.writer.counters}

    def look(self, receiver: Receiver, now_ns: int) -> None:
        """Take what came, ask for what is wanted, let clips be made that wait no longer."""
        if not self._nodes:
            return
        fetches = receiver.fetches
        for news in fetches.came():
            if isinstance(news, FullArrived):
                self.writer.take(news.event, news.sample)
            else:
                self.writer.over(news.event, news.why)
        until_ns = now_ns + self._open_ns
        for one in self.writer.wanted(now_ns):
            span = (one.from_ns, one.to_ns)
            fetches.ask(self._nodes[one.stream], one.stream, one.event, span, until_ns, now_ns)
        self.writer.look(now_ns)
        self._fetched = fetches.counters

    def close(self) -> None:
        """Let clips be made of what there is."""
        self.writer.close()
