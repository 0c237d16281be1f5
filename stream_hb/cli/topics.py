"""``stream-hb topics``: the topics that a configuration needs, and what the broker has."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from stream_hb.config import Config
    from stream_hb.runtime.topics import TopicState

EXAMPLES = """\b
Examples:
  stream-hb topics config/chain.yaml
  stream-hb topics config/chain.yaml --create
"""

_SETTINGS_SHOWN = ("cleanup.policy", "retention.ms", "delete.retention.ms")


def topics(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file.")],
    create: Annotated[
        bool, typer.Option("--create", help="Make the missing ones with the right settings.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show, or create, the topics a configuration needs."""
    from stream_hb.cli.output import print_json
    from stream_hb.config import load_config
    from stream_hb.runtime.topics import check_topics

    settings = load_config(config, os.environ)
    states = inspected(settings)
    if create:
        # Inputs first: what is counted from them gets as many copies as they have.
        for is_input in (True, False):
            _create_missing(settings, states, is_input)
            states = inspected(settings)
    if as_json:
        print_json(topics_json(states))
    else:
        print_topics(states)
    check_topics(states)


def inspected(config: "Config") -> "list[TopicState]":
    """Ask the broker for every topic that ``config`` needs."""
    from stream_hb.runtime import assembly

    return assembly.inspected(config)


def _create_missing(config: "Config", states: "Sequence[TopicState]", is_input: bool) -> None:
    from stream_hb.cli.output import note
    from stream_hb.runtime.topic_admin import create_topics
    from stream_hb.runtime.topics import TopicUse, beside_inputs

    missing = [state.need for state in states if not state.partitions]
    needs = beside_inputs([n for n in missing if (n.use is TopicUse.INPUT) == is_input], states)
    create_topics(config.kafka.bootstrap_servers, needs, config.kafka.revealed_client())
    for need in needs:
        note(f"made {need.name} with {need.partitions} partitions")


def print_topics(states: "Sequence[TopicState]") -> None:
    """Print what the broker has, a line a topic."""
    from stream_hb.cli.output import new_table, print_table

    table = new_table("topic", "used for", "partitions", "cleanup.policy", names=2)
    for state in states:
        policy = state.settings.get("cleanup.policy", "-")
        partitions = str(state.partitions) if state.partitions else "missing"
        table.add_row(state.need.name, state.need.use.value, partitions, policy)
    print_table(table)


def topics_json(states: "Sequence[TopicState]") -> dict[str, Any]:
    """Return what the broker has, and what is wrong with it."""
    from stream_hb.runtime.topics import topic_problems

    return {
        "topics": [
            {
                "name": state.need.name,
                "use": state.need.use.value,
                "partitions": state.partitions,
                "settings": {
                    name: state.settings[name] for name in _SETTINGS_SHOWN if name in state.settings
                },
            }
            for state in states
        ],
        "problems": topic_problems(states),
    }
