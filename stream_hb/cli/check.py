"""``stream-hb check``: is the configuration right, and what does it say in the end?"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from stream_hb.config import Config
    from stream_hb.stores import Stores

EXAMPLES = """\b
Examples:
  stream-hb check config/chain.yaml
  STREAM_HB__REFIT__EVERY_SECONDS=2 stream-hb check config/chain.yaml --broker
"""


def check(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file.")],
    broker: Annotated[
        bool, typer.Option("--broker", help="Also ask the broker for the topics.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Validate a configuration, with the files that it names, and print what is in effect."""
    from stream_hb.cli.output import print_json
    from stream_hb.cli.topics import inspected, print_topics, topics_json
    from stream_hb.config import load_config
    from stream_hb.errors import ConfigError
    from stream_hb.runtime.config_parts import part_problems
    from stream_hb.runtime.stores_file import known_stores

    settings = load_config(config, os.environ)
    if problems := part_problems(settings):
        raise ConfigError(str(config), problems)
    stores = known_stores(settings)
    effective = settings.model_dump(mode="json")  # with the secrets masked
    states = inspected(settings) if broker else None
    if as_json:
        print_json({"config": effective, **(topics_json(states) if states else {})})
    else:
        _print_yaml(config, effective)
        if stores:
            _print_stores(settings, stores)
        if states:
            print_topics(states)
    if states:
        from stream_hb.runtime.topics import check_topics

        check_topics(states)


def _print_stores(config: "Config", stores: "Stores") -> None:
    """Print, as comments in the YAML, what the table of stores says."""
    chains = len({chain for chain, _ in stores.keys})
    print(f"# {config.stores.path}: {len(stores.keys)} stores in {chains} chains")
    if config.topics.partitioner == "none":
        print(
            "# Without topics.partitioner a store's partition is known from its first event only:\n"
            "# unless the inputs have one partition, it has no record and no tombstone before that."
        )


def _print_yaml(path: Path, effective: dict[str, Any]) -> None:
    import yaml

    print(f"# {path} is valid; with the defaults and the environment it says")
    print(yaml.safe_dump(effective, sort_keys=False, allow_unicode=True), end="")
