"""Jobs: work that is asked for now and done later, by runners that are processes of their own (UWS 1.1)."""

from archive.jobs.crew import Crew, Sizes
from archive.jobs.desk import Desk, Ending, Pace
from archive.jobs.keeper import Keeper
from archive.jobs.model import (
    CONTROLS,
    MOVES,
    Client,
    Draft,
    Failure,
    Job,
    JobRef,
    Lane,
    Parameter,
    Phase,
    Product,
    Terms,
)
from archive.jobs.runner import Runner, Task
from archive.jobs.store import Jobs

__all__ = [
    "CONTROLS",
    "MOVES",
    "Client",
    "Crew",
    "Desk",
    "Draft",
    "Ending",
    "Failure",
    "Job",
    "JobRef",
    "Jobs",
    "Keeper",
    "Lane",
    "Pace",
    "Parameter",
    "Phase",
    "Product",
    "Runner",
    "Sizes",
    "Task",
    "Terms",
]
