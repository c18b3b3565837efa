"""Commands of who may do what with the server, and who did: keys, audit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from commands import opened
from commands.options import JourneyArgument
from commands.settings import current
from commands.terminal import out
from features.errors import InputError

if TYPE_CHECKING:
    from serving.store import Store

keys = typer.Typer(help="Keys of the API: create, list and revoke them.", no_args_is_help=True, rich_markup_mode=None)


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is, in your words.")],
    scope: Annotated[list[str] | None, typer.Option(help="read, ingest or admin; repeatable.")] = None,
    expires: Annotated[str | None, typer.Option(help="When it ends: 90d, or an instant; default: never.")] = None,
) -> None:
    """Make a key and show its secret, once.

    A key is replaced without an outage: create the new one, give it to the client, then revoke the old one.

    Example: journeycast keys create crm --scope read --scope ingest --expires 365d
    """
    from serving import keys as made
    from serving import typed

    end = None if expires is None else typed.end("--expires", expires)
    with opened.store() as store:
        key, secret = made.create(store, name, scope or ["read"], end)
        _note(store, "*", f"keys create {key.id}")
    print(f"{secret}\n\nkey {key.id} ({', '.join(key.scopes)}) for {name}: keep the secret, it is not shown again")


@keys.command(name="list")
def listed() -> None:
    """List the keys, without their secrets.

    Example: journeycast keys list
    """
    from serving import keys as made
    from serving.show_access import keys_table

    with opened.store() as store:
        out.print(keys_table(made.listed(store)))


@keys.command()
def revoke(key: Annotated[str, typer.Argument(help="The key's id.")]) -> None:
    """End a key; servers refuse it within seconds, and answer nobody without a key even after the last.

    Example: journeycast keys revoke 3f9a1c20
    """
    from serving import keys as made
    from serving.clock import now

    with opened.store() as store:
        ended = made.revoke(store, key)
        _note(store, "*", f"keys revoke {ended.id}")
        valid = any(key.valid(now()) for key in made.listed(store))
    left = "" if valid else "; it was the last that is valid, and servers still ask for one: create another"
    print(f"key {ended.id} ({ended.name}) is revoked{left}")


def audit(
    journey: JourneyArgument,
    *,
    customer: Annotated[str | None, typer.Option(help="Only what was asked or changed of this customer.")] = None,
    who: Annotated[str | None, typer.Option(help="Only what this key did: its id.")] = None,
    since: Annotated[str | None, typer.Option(help="Only from this instant on.")] = None,
    limit: Annotated[int, typer.Option(help="How many, the newest first.", min=1)] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each.")] = False,
) -> None:
    """List who read or changed what over HTTP.

    Example: journeycast audit complete_journey --customer 700
    """
    from features.schema import to_text
    from serving import typed
    from serving.audit import newest
    from serving.show_access import audit_table

    definition, _ = opened.journey(journey)
    begin = 0 if since is None else typed.at("--since", since)
    with opened.store() as store:
        found = newest(store, definition.journey, limit, customer_id=customer, who=who, since=begin)
    if as_json:
        for entry in found:
            print(json.dumps({**entry._asdict(), "at": to_text(entry.at)}, ensure_ascii=False))
    else:
        out.print(audit_table(found))


def erase(
    journey: JourneyArgument,
    customer: Annotated[str, typer.Argument(help="The customer's id.")],
    allow: Annotated[bool, typer.Option("--allow", help="Let an erased customer in again instead.")] = False,
) -> None:
    """Delete all that is stored of a customer and keep them out from now on; print a receipt.

    The customer is left out of the journey's own files too. What a model learned stays in it until the next training.

    Example: journeycast erase complete_journey 700
    """
    from serving import erasure, scratch, uploads

    definition, _ = opened.journey(journey)
    with opened.store() as store:
        _note(store, definition.journey, "erase --allow" if allow else "erase")
        if not allow:
            receipt = erasure.erase(store, definition.journey, customer)
            uploads.tidy(current().uploads(definition.journey), 0)  # they may tell of the customer
            scratch.sweep(current().parts)
            print(json.dumps(receipt._asdict(), indent=2))
        elif erasure.allow(store, definition.journey, customer):
            print(f"the customer is allowed in {definition.journey} again; what was deleted does not come back")
        else:
            raise InputError("customer", "was not kept out", "one who was erased", "check the id")


def _note(store: Store, journey: str, what: str) -> None:
    """Enter what the command line did into the audit log."""
    from serving.audit import COMMAND_LINE, Entry, write
    from serving.clock import now

    with store.transaction(writes=True) as connection:
        write(connection, [Entry(now(), COMMAND_LINE, "RUN", what, journey, None, 0)])
