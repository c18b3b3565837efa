"""The demo: from raw events to served, explained predictions."""

from __future__ import annotations

from typing import Annotated

import typer

from commands import models, opened, scores, server
from commands.terminal import out


def demo(
    serving: Annotated[bool, typer.Option("--serve/--no-serve", help="Whether to end in a running server.")] = True,
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
) -> None:
    """From raw events to served, explained predictions on the Complete Journey data.

    Example: journeycast demo --no-serve
    """
    from features.check import check as found_in
    from features.check import report_text
    from serving.show import at_risk_table, explanation, metrics_table

    name = "complete_journey"
    resolved, log = opened.log(name)
    print(report_text(found_in(resolved, log), resolved, log))
    for task, about in models.train_tasks(resolved, log, None):
        out.print(metrics_table(task, about))
    models.promote_tasks(name, "all", None, False)
    del log
    scores.score(name)
    with opened.store() as store:
        worst = store.at_risk(resolved.journey, limit=10).items
        first = store.answer(resolved.journey, worst[0].customer_id)
    out.print(at_risk_table(worst, resolved.currency))
    if first is not None:
        out.print(explanation(first, resolved))
    if serving:
        server.run(name, server.Asked(port=port), worst[0].customer_id)
