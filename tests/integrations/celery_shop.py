"""A Celery application for the tests' workers; as a program, it gives them work and looks on."""

from __future__ import annotations

import os
import sys
from typing import Any

from celery import Celery, chord, group

from ctxlocal import Local
from ctxlocal.errors import WireError
from ctxlocal.integrations.celery import install

PATIENCE_S = 60

visitor = Local(name="visitor", wire=("request_id", "tenant"))
app = Celery("shop", broker=os.environ["SHOP_REDIS"], backend=os.environ["SHOP_REDIS"])
app.conf.task_default_queue = os.environ.get("SHOP_QUEUE", "nobody's")
app.conf.worker_prefetch_multiplier = 1
install(app, carry=[visitor])


@app.task(name="look")  # type: ignore[untyped-decorator]
def look(*_: Any) -> dict[str, Any]:
    """Tell what is bound, and leave something behind."""
    seen = dict(visitor)
    visitor.left = "behind"
    return seen


@app.task(name="change")  # type: ignore[untyped-decorator]
def change(*_: Any) -> None:
    """Set what goes along with the next task of a chain."""
    visitor.tenant = "changed"


@app.task(name="fail")  # type: ignore[untyped-decorator]
def fail() -> None:
    """Leave something behind, by an exception."""
    visitor.left = "behind"
    raise KeyError("left")


@app.task(name="spoil")  # type: ignore[untyped-decorator]
def spoil(*_: Any) -> None:
    """Set what cannot go along with the next task of a chain."""
    visitor.tenant = b"no JSON"


@app.task(name="again", bind=True)  # type: ignore[untyped-decorator]
def again(self: Any) -> dict[str, Any]:
    """Fail at first."""
    seen = look()
    if not self.request.retries:
        raise self.retry(countdown=0)
    return {**seen, "retries": self.request.retries}


SENT: dict[str, Any] = {"request_id": "4f1c", "tenant": "acme"}
WORK: dict[str, tuple[Any, Any]] = {
    "each": (lambda: group(look.s() for _ in range(6)), [SENT] * 6),
    "chain": (lambda: change.s() | look.s(), {**SENT, "tenant": "changed"}),
    "chord": (lambda: chord([look.s(), look.s()], look.s()), SENT),
    "retry": (again.s, {**SENT, "retries": 1}),
}
FORGED = ('{"visitor":{"is_admin":1}}', "x" * 5000)


def main(queues: list[str]) -> None:
    """Give work to the workers of all queues, and compare what they have seen."""
    visitor.request_id, visitor.tenant, visitor.password = "4f1c", "acme", "secret"
    results: dict[tuple[str, str], tuple[Any, Any]] = {}
    failures: dict[tuple[str, str], tuple[Any, type[Exception]]] = {}
    for queue in queues:
        for name, (make, expected) in WORK.items():
            results[queue, name] = make().apply_async(queue=queue), expected
        failures[queue, "fail"] = fail.apply_async(queue=queue), KeyError
        spoilt = (spoil.s() | look.s()).apply_async(queue=queue)
        failures[queue, "spoil"] = spoilt.parent, WireError
    del app.send_task  # as whoever can write to the broker
    for queue in queues:
        for number, header in enumerate(FORGED):
            forged = look.apply_async(queue=queue, headers={"ctxlocal": header})
            results[queue, f"forged {number}"] = forged, {}
        results[queue, "none"] = look.apply_async(queue=queue), {}
    for place, (result, expected) in results.items():
        assert (seen := result.get(timeout=PATIENCE_S)) == expected, (place, seen)
    for place, (result, expected) in failures.items():
        error = result.get(timeout=PATIENCE_S, propagate=False)
        assert isinstance(error, expected), (place, error)
    print("all as it should be")


if __name__ == "__main__":
    main(sys.argv[1:])
