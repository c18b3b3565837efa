"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

JourneyArgument = Annotated[str, typer.Argument(metavar="JOURNEY", help="A shipped name or the path of a YAML file.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="The file to write.")]
FormatOption = Annotated[
    str | None, typer.Option(help="hubspot, salesforce, klaviyo ...; default: by the file's name.")
]
CampaignArgument = Annotated[int, typer.Argument(metavar="CAMPAIGN", help="The campaign's id.", min=1, max=2**31 - 1)]
TaskOption = Annotated[list[str] | None, typer.Option("--task", help="churn, next_stage or cltv; repeatable.")]
RiskOption = Annotated[str | None, typer.Option(help="low, medium or high.")]
StageOption = Annotated[str | None, typer.Option(help="Only this stage.")]
MinimumOption = Annotated[float | None, typer.Option(help="Only customers worth at least this.")]
ReasonOption = Annotated[str | None, typer.Option(help="Only those whose churn this code raises most.")]
SegmentOption = Annotated[list[str] | None, typer.Option(help="NAME:VALUE, such as age:65+; repeatable.")]
StatusOption = Annotated[str | None, typer.Option(help="open, assigned, snoozed, contacted, won or lost.")]
ChangedOption = Annotated[str | None, typer.Option(help="Risk band changed since an instant, or the `previous` run.")]
ContactOption = Annotated[float | None, typer.Option(help="What a contact costs; default: as the journey says.")]
IncentiveOption = Annotated[float | None, typer.Option(help="What the incentive costs.")]
AcceptOption = Annotated[float | None, typer.Option(help="How many who would leave take it and stay.")]
RestOption = Annotated[float | None, typer.Option(help="Leave alone who was contacted within so many days.")]
