"""Start again what is not finished: on the cluster, or here. Runs go on from their checkpoints."""

import re
from argparse import Namespace
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import cache

from pydantic import ValidationError

from inr.errors import UsageError
from inr.storage.lock import LockHeldError, RunLock
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import IndexEntry
from jobs.launching.plan import launching
from jobs.managing.run_state import ACTIVE, UNFINISHED, State
from jobs.managing.sweep_status import RunStatus, SweepStatus, read_status
from jobs.sweeps.grouping import count_of
from slurm.commands import SlurmUnavailable, ask_slurm
from slurm.journal import list_submissions
from slurm.profile import Profile, load_profile

# Runs that are submitted together, because they ask for the same.
Group = tuple[Profile, list[IndexEntry]]
_MEMORY_LINE = re.compile(r"^#SBATCH --mem=(\S+)$", re.MULTILINE)
_ENOUGH = 2  # failures on a node, after which it is avoided
# How errors of a GPU and of its driver read, and what looks like one and is not.
_OF_NODE = re.compile(
    r"CUDA.*(error|capable|driver)|NVIDIA driver|NVML|HIP error|no GPU", re.IGNORECASE
)
_NOT_OF_NODE = re.compile(
    r"out of memory|device-side assert|illegal memory|without CUDA", re.IGNORECASE
)


def retry(layout: SweepLayout, options: Namespace) -> int:
    """Start runs of a sweep again, chosen by their state. Returns the exit code.

    Raises `UsageError` for a profile or an amount of memory that is wrong or missing, `UserError`
    if the sweep is being launched, or Slurm refuses or does not answer.
    """
    if not (options.local or options.profile or options.memory or list_submissions(layout)):
        print("nothing of it was ever submitted: trained here (--profile NAME submits it)")
        options = Namespace(**vars(options) | {"local": True})
    status = read_status(layout)
    if options.dry_run or not _choose(status, options):
        return _start(status, options, dry_run=True)
    with launching(layout.root):
        return _start(read_status(layout), options)  # anew: now nobody else can change it


def _start(status: SweepStatus, options: Namespace, dry_run: bool = False) -> int:
    """Say what is started again, and unless ``dry_run`` do it. Returns the exit code."""
    from jobs.launching.modes import submit_array, train_here

    layout, total = status.layout, len(status.runs)
    chosen = _choose(status, options)
    print(_describe(status, chosen))
    groups = [] if options.local else _group(status, chosen, options)
    for profile, runs in groups:
        memory = f", {profile.memory} of memory" if profile.memory else ""
        print(f"  profile {profile.source}{memory}: {count_of(len(runs), 'run')}")
    if dry_run:
        return 0
    _set_aside_damaged(status, chosen)
    if options.local and chosen:
        runs = [status.entries[run.name] for run in chosen]
        return train_here(layout, runs, total, options)
    for number, (profile, runs) in enumerate(groups, 1):
        post = options.post and number == len(groups)
        submit_array(layout, runs, profile, preflight=options.preflight, post=post)
    return 0


def _choose(status: SweepStatus, options: Namespace) -> list[RunStatus]:
    """The runs to start again, in the order of the sweep."""
    states = {State(name.replace("-", "_")) for name in options.states or UNFINISHED}
    if options.without_slurm:
        if status.job_map.answers:
            raise UsageError(
                "--without-slurm: Slurm answers, and knows what waits. Take that back with "
                f"`manage.py cancel {status.layout.root}`, then retry"
            )
        states.add(State.WAITING)  # with Slurm silent: what was submitted and shows no life
    return status.in_states(states)


def _set_aside_damaged(status: SweepStatus, chosen: Sequence[RunStatus]) -> None:
    """Move results that cannot be read out of the way: a task would take some for finished."""
    for run in chosen:
        files = status.layout.run(run.name)
        if status.observations[run.name].damage.startswith(f"{files.results}: broken"):
            with suppress(FileNotFoundError, LockHeldError), RunLock(files.lock):
                files.results.replace(files.damaged)


def _describe(status: SweepStatus, chosen: Sequence[RunStatus]) -> str:
    """What is started again, and what is left alone."""
    active = len([run for run in status.in_states(ACTIVE) if run not in chosen])
    rest = f"; {count_of(active, 'run')} under way left alone" if active else ""
    if not status.job_map.answers and status.in_states([State.WAITING]) and rest:
        rest += (
            ". Slurm does not answer: wait for it or, if it is gone for good, train what waits in "
            "it here, with --local --without-slurm"
        )
    if not chosen:
        return f"{status.layout.name}: nothing to start again{rest}"
    states = [run.state for run in chosen]
    counted = [f"{states.count(state)} {state.words}" for state in State if state in states]
    resumed = sum(status.layout.run(run.name).checkpoint.is_file() for run in chosen)
    return (
        f"{status.layout.name}: {count_of(len(chosen), 'run')} to start again "
        f"({', '.join(counted)}), {resumed} of them from a checkpoint{rest}"
    )


def _group(status: SweepStatus, chosen: Sequence[RunStatus], options: Namespace) -> list[Group]:
    """Runs that ask for the same profile and memory, together."""
    groups: dict[tuple[str, str | None], list[IndexEntry]] = defaultdict(list)
    load = cache(load_profile)
    on_gpu = 0
    for run in chosen:
        last, had = _asked_before(status, run)
        profile = load(options.profile or last)
        memory = options.memory or (had if not options.profile else None) or profile.memory
        if run.state is State.OUT_OF_MEMORY and not options.memory:
            if "cuda" in run.reason.lower():
                on_gpu += 1
            else:
                memory = _double(memory, profile, run)
        groups[options.profile or last, memory].append(status.entries[run.name])
    if on_gpu:
        print(
            f"note: {count_of(on_gpu, 'run')} had too little GPU memory, which --memory does not "
            "change: choose larger GPUs with --profile"
        )
    bad = [] if options.all_nodes else _bad_nodes(status)
    names = dict.fromkeys(name for name, _ in groups)
    profiles = {name: _avoiding(load(name), bad) for name in names}
    return [(_with_memory(profiles[name], memory), runs) for (name, memory), runs in groups.items()]


def _asked_before(status: SweepStatus, run: RunStatus) -> tuple[str, str | None]:
    """Profile and memory (None: not known) that the run, or else the sweep, last asked for."""
    place, submissions = status.observations[run.name].place, status.job_map.submissions
    if place is None:
        return submissions[-1].profile if submissions else "default", None
    script = status.layout.submitit / f"{place.submission.job_id}_submission.sh"
    found = None
    with suppress(OSError):  # it may have been raised by an earlier retry
        found = _MEMORY_LINE.search(script.read_text(encoding="utf-8"))
    return place.submission.profile, found[1] if found else None


def _double(memory: str | None, profile: Profile, run: RunStatus) -> str:
    parts = re.fullmatch(r"(\d+)(\D*)", memory or "")
    if parts is None:
        raise UsageError(
            f"{run.name} ran out of memory, and profile {profile.source} does not say how much it "
            "had. Give --memory, such as --memory 32GB"
        )
    return f"{2 * int(parts[1])}{parts[2]}"


def _with_memory(profile: Profile, memory: str | None) -> Profile:
    """The profile, asking for so much memory. Raises `UsageError` for one that is no amount."""
    try:
        Profile.model_validate(profile.model_dump() | {"memory": memory})
    except ValidationError:
        allowed = Profile.model_fields["memory"].description
        raise UsageError(f"--memory {memory}: is not allowed: {allowed}") from None
    return profile.model_copy(update={"memory": memory})


def _bad_nodes(status: SweepStatus) -> list[str]:
    """Nodes on which at least two runs of a sweep failed for the node's reasons.

    Slurm says NODE_FAIL, or a run that is not finished failed before its first step, at the GPU.
    """
    nodes = _failed_nodes(status)
    for run in status.in_states(UNFINISHED):
        for attempt in status.observations[run.name].attempts:
            at_start = attempt.status == "failed" and attempt.last_step <= attempt.first_step
            why = attempt.reason
            if at_start and attempt.node and _OF_NODE.search(why) and not _NOT_OF_NODE.search(why):
                nodes.append(attempt.node)
    return sorted(node for node, count in Counter(nodes).items() if count >= _ENOUGH)


def _avoiding(profile: Profile, nodes: Collection[str]) -> Profile:
    """The profile without those of ``nodes`` that it uses. Says so.

    They stay where it insists on nodes, or uses no others: Slurm would refuse the job.
    """
    usable = _nodes_of(profile) if nodes else set()
    bad = [node for node in nodes if node in usable] if usable else list(nodes)
    if not bad:
        return profile
    names = ",".join(bad)
    if profile.nodelist or usable == set(bad):
        print(f"note: runs failed on {names}, but the profile allows no other node")
        return profile
    print(
        f"note: {names} excluded, where at least {_ENOUGH} runs failed for the node's reasons "
        "(--all-nodes submits to it all the same)"
    )
    return profile.model_copy(update={"exclude": ",".join(filter(None, (profile.exclude, names)))})


def _failed_nodes(status: SweepStatus) -> list[str]:
    """The node of every task that ended by the failure of a node; requeued ones too."""
    jobs = sorted({each.job_id for each in status.job_map.submissions if each.job_id})
    if not jobs:
        return []
    what = ("--allocations", "--duplicates", "--noheader", "--parsable2")
    try:
        told = ask_slurm("sacct", *what, "--jobs", ",".join(jobs), "--format", "State,NodeList")
    except SlurmUnavailable:
        return []
    rows = (line.partition("|") for line in told.splitlines())
    return [node for state, _, node in rows if state == "NODE_FAIL"]


def _nodes_of(profile: Profile) -> set[str]:
    """Nodes that jobs of a profile may get; none if Slurm does not say."""
    where = ("--partition", profile.partition) if profile.partition else ()
    try:
        told = ask_slurm("sinfo", "--Node", "--noheader", *where, "--format", "%N %P")
        excluded = ask_slurm("scontrol", "show", "hostnames", profile.exclude or "")
    except SlurmUnavailable:
        return set()
    rows = [row for line in told.splitlines() if len(row := line.split()) == 2]
    nodes = {node for node, partition in rows if profile.partition or partition.endswith("*")}
    return nodes - (set(excluded.split()) if profile.exclude else set())
