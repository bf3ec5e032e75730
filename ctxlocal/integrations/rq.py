"""RQ: a job has the values of who enqueued it, in a Frame of its own.

::

    class ShopJob(Job):
        carry = (request,)

    queue = Queue(connection=redis, job_class=ShopJob)

and ``rq worker --job-class shop.ShopJob``. ``request`` is a Local that says by ``wire=`` what may
leave the process. The values are a text in the job's ``meta``. For RQ from 2.0 on.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any, ClassVar

import rq.job

from ..local import Local
from ._wire import HEADER, Carried


class Job(rq.job.Job):
    """A job that carries values: derive from it, and give the class to queues and workers.

    It runs in a Frame: Locals begin with what the job carries, and nothing that it sets is seen by
    the next, also where one process works for all. What could not have been enqueued so is
    refused: a warning is logged, and the job finds nothing bound. Callbacks run outside.
    """

    carry: ClassVar[Sequence[Local]] = ()  #: the Locals whose values are carried, with a ``wire``
    _carried: ClassVar[Carried]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._carried = Carried(cls.carry)

    @classmethod
    def create(cls, *args: Any, **kwargs: Any) -> Any:
        """Make a job, as RQ's queues do.

        :raises WireError: a value cannot cross.
        """
        header = cls._carried.header()
        job = super().create(*args, **kwargs)
        if header is not None:
            job.meta = {**job.meta, HEADER: header}
        return job

    def perform(self) -> Any:
        """Do the job, as RQ's workers do."""
        with closing(self._carried.frame(self.meta.get(HEADER), f"job {self.id!r}")) as frame:
            return frame.run(super().perform)
