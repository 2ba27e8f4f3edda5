"""All results of one run."""

from dataclasses import dataclass, field
from itertools import chain

from bench import event_log, relay, rpc, tasks, tracing, whole_path
from bench.figures import Sample


@dataclass
class Results:
    """The results by part; a part that was not run is empty."""

    machine: dict[str, str]
    calls: rpc.Results = field(default_factory=dict)
    requests: dict[str, whole_path.Result] = field(default_factory=dict)
    work: tasks.Results = field(default_factory=dict)
    traced: tracing.Results = field(default_factory=dict)
    logged: list[event_log.Pair] = field(default_factory=list)
    relayed: relay.Result | None = None

    @property
    def failed(self) -> int:
        """The number of requests without a successful answer."""
        samples: list[Sample] = []
        for request in self.requests.values():
            samples += chain.from_iterable(request.rounds.values())
        for one in self.work.values():
            samples += one.accepted
        return int(sum(sample.failed for sample in samples))
