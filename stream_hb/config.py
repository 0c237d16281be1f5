"""The configuration: one YAML file, overridden by the environment, checked as a whole.

``STREAM_HB__REFIT__EVERY_SECONDS=2`` overrides ``refit.every_seconds``: the prefix ``STREAM_HB__``,
then the key's path with ``__`` between its parts; lists and mappings are given as JSON, ``null``
is null. The environment wins over the file. ``config/reference.yaml`` lists every key.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_origin

import yaml
from pydantic import (
    BaseModel,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from stream_hb.config_experiments import Experiments
from stream_hb.config_feeds import Calibration, Drift, NotNegative, Positive, Ticks
from stream_hb.config_kafka import Kafka, Topics
from stream_hb.config_metrics import Metrics, ProblemsError, Section
from stream_hb.config_sender import AlertSender
from stream_hb.errors import ConfigError, nearest

ENVIRONMENT_PREFIX = "STREAM_HB__"

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Share = Annotated[float, Field(ge=0, le=1)]


class Stores(Section):
    """What is known of the stores before their first event."""

    path: str | None = None
    """A CSV file: ``store_id``, and as they are known ``chain_id``, ``region``, ``time_zone``,
    ``opened``, ``retired`` (dates) and covariates. Relative paths: beside the configuration.
    null: stores are known from their events alone."""


class Refit(Section):
    """When the hyperparameters are fitted again."""

    every_seconds: Positive | None = None
    """Seconds between refits: wall time in ``run``, event time in ``replay``. null: 5 in ``run``,
    3600 in ``replay``."""

    min_change: Share = 0.01
    """Share of a pool's data that must be new before it is fitted again, in [0, 1]."""


class Emission(Section):
    """Which changes are worth a record."""

    changed_sd: NotNegative = 0.1
    """Emit when the estimate moved by more than this many posterior standard deviations."""

    changed_width: NotNegative = 0.05
    """Emit when the interval's width changed by more than this share."""

    heartbeat_seconds: Positive | None = 60.0
    """Emit an unchanged estimate again after this many seconds of wall time (never in ``replay``);
    null: never."""

    everything_touched: bool = False
    """Emit every group that a batch touched, whatever changed: for measurements."""


class Interval(Section):
    """The credible intervals."""

    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Posterior probability inside the equal-tailed interval, in (0, 1)."""


class Time(Section):
    """Event time."""

    lateness_seconds: NotNegative = 600.0
    """How far behind the latest event time of its partition an event may come and still be in
    time: the watermark stays so far behind."""

    horizon_seconds: Annotated[float, Field(ge=3600, le=4_000_000, allow_inf_nan=False)] = 604_800.0
    """How far behind the watermark an event still counts, and visits, orders and refunds are
    remembered; older events are rejected (``too_late``). At most 46 days."""


class Money(Section):
    """The currency of order values."""

    currency: Currency | None = None
    """The currency of all stores (ISO 4217); null: a store's earliest order by event time says it.
    Orders in others are rejected (``mixed_currency``); where an earlier one comes late, the store's
    currency turns and its orders count in that one."""

    rates_path: str | None = None
    """A CSV file ``date,currency,rate``: units of ``currency`` for one of the other, from that
    date on; orders in currencies that it has are converted at their own date, their refunds at
    that of the order. Relative paths: beside the configuration. null: nothing is converted."""

    @model_validator(mode="after")
    def _rates_have_a_target(self) -> Self:
        if self.rates_path is not None and self.currency is None:
            raise ValueError("rates_path needs currency: what are amounts converted into?")
        return self


class Bots(Section):
    """Who is not a customer."""

    visits_per_hour: Annotated[int, Field(ge=1)] = 60
    """A visitor with more visits in a store and hour is a bot: its visits and orders are counted
    apart, as are those of events that say ``is_bot``."""


class Limits(Section):
    """Bounds on what one worker keeps."""

    groups: Annotated[int, Field(ge=1)] = 100_000
    """Groups (store and arm) that one worker keeps; events of further ones are rejected."""

    batch_events: Annotated[int, Field(ge=1, le=1_000_000)] = 40_000
    """Most events taken in one batch, while a worker is behind; a live one takes what came. Fewer
    where they would be of more than 64 MiB or take a third of a transaction's timeout."""


class Http(Section):
    """Where a worker tells how it is: ``/metrics`` (Prometheus), ``/live``, ``/ready``."""

    host: str = "127.0.0.1"
    """The address to listen at; ``0.0.0.0`` for probes from elsewhere."""

    port: Annotated[int, Field(ge=0, le=65_535)] | None = None
    """The port, one for each worker of a host; 0: a free one, said in the log; null: none."""


class Snapshots(Section):
    """Copies of the state on the local disk: they make a start short (``exactly_once``)."""

    path: str | None = None
    """The folder; workers of a host may share it. It may be lost at any time: the state is in
    ``topics.state``. Relative paths: beside the configuration. null: none are written."""

    every_seconds: Positive | None = 900.0
    """Time between two snapshots of a shard while a worker runs; null: only when it ends."""


class Config(Section):
    """Everything that ``stream-hb run`` and ``replay`` can be told. Immutable, pure data."""

    default_chain: Identifier = "default"
    """The chain of events that name none."""

    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    """``exactly_once``: records, state and read offsets are committed in one transaction.
    ``at_least_once`` is for brokers without transactions: after a restart the state is rebuilt from
    the beginning of the input."""

    kafka: Kafka = Kafka()
    topics: Topics = Topics()
    metrics: Metrics = Metrics()
    stores: Stores = Stores()
    refit: Refit = Refit()
    emission: Emission = Emission()
    interval: Interval = Interval()
    time: Time = Time()
    money: Money = Money()
    bots: Bots = Bots()
    ticks: Ticks = Ticks()
    drift: Drift = Drift()
    alert_sender: AlertSender = AlertSender()
    calibration: Calibration = Calibration()
    experiments: Experiments = Experiments()
    limits: Limits = Limits()
    http: Http = Http()
    snapshots: Snapshots = Snapshots()

    @property
    def sources(self) -> tuple[str, ...]:
        """The topics that workers read: those of events, and where alerts are kept that of control.

        >>> Config().sources
        ('visits', 'purchases')
        """
        control = (self.topics.control,) if self.drift.enabled else ()
        return (*self.topics.inputs, *control)

    @model_validator(mode="after")
    def _what_is_watched_is_kept(self) -> Self:
        kept = self.metrics.kept()
        for section in ("drift", "calibration"):
            for name in getattr(self, section).metrics or ():
                if name not in kept:
                    raise ValueError(f"{section}.metrics: {name} is not kept (metrics.{name})")
        return self

    @model_validator(mode="after")
    def _what_chooses_a_half_life_is_on(self) -> Self:
        scored = self.calibration.metrics
        for name in self.metrics.choosing():
            if not self.calibration.enabled or (scored is not None and name not in scored):
                raise ValueError(
                    f"metrics.{name}.half_life: auto chooses by the scores of calibration: set "
                    f"calibration.enabled, and let calibration.metrics have {name}"
                )
        return self

    @model_validator(mode="after")
    def _experiments_can_be_told(self) -> Self:
        found = [
            *self.experiments.time_problems(self.time.horizon_seconds, self.time.lateness_seconds),
            *self.experiments.metric_problems(self.metrics.inputs()),
        ]
        if found:
            raise ProblemsError(found)
        return self

    @model_validator(mode="after")
    def _stores_are_described(self) -> Self:
        if self.stores.path is None:
            for name, model in self.metrics.models().items():
                if model.covariates or model.nested:
                    key = "covariates" if model.covariates else "nested"
                    raise ValueError(f"metrics.{name}.{key}: needs a table of stores: stores.path")
        return self


class _Environment(BaseSettings, Config):
    """How the environment names the keys; never made, only asked."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter="__", env_parse_none_str="null"
    )


def load_config(path: Path | str, environ: Mapping[str, str]) -> Config:
    """Read a configuration file and the overrides in ``environ``, which win.

    Raises
    ------
    ConfigError
        With every problem found, each under the path of its key.
    """
    problems: list[str] = []
    folder = Path(path).parent
    file = _read_client_files(_read_yaml(path), folder, problems)
    overrides = _read_client_files(_read_environment(environ, problems), folder, problems)
    try:
        config = Config(**_beside(folder, _merged(file, overrides)))
    except ValidationError as error:
        # from None: the validation error holds the values, secrets among them
        problems += [line for detail in error.errors() for line in _explained(detail, environ)]
        raise ConfigError(str(path), problems) from None
    if problems:
        raise ConfigError(str(path), problems)
    return config


def key_paths(model: type[BaseModel] = Config) -> Iterator[str]:
    """Yield the dotted path of every key.

    >>> {"default_chain", "bots.visits_per_hour"} <= set(key_paths())
    True
    """
    for name, section in model.model_fields.items():
        inner = _section_model(section.annotation)
        yield from [name] if inner is None else (f"{name}.{key}" for key in key_paths(inner))


def _read_yaml(path: Path | str) -> dict[str, Any]:
    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), [f"is not UTF-8 text: byte {error.start}"]) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(str(path), [_explain_yaml(error)]) from None
    if content is None:
        raise ConfigError(str(path), ["is empty; start from config/chain.yaml"])
    if not isinstance(content, dict):
        raise ConfigError(str(path), ["should be a mapping of keys, like 'kafka: …'"])
    # A section whose keys are all commented out is null in YAML: its defaults hold.
    return {str(name): section for name, section in content.items() if section is not None}


class _Loader(yaml.SafeLoader):
    """Safe YAML that does not let the second of two equal keys win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Construct a mapping whose keys all differ."""
        seen: set[str] = set()
        names = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in names:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem="the same key a second time", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _explain_yaml(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    # What follows a quotation mark is the user's text, which may be a password.
    problem = re.sub("'.*", "…", getattr(error, "problem", None) or "it cannot be parsed")
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"is not valid YAML: {where}{problem}"


def _read_environment(environ: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    ours = {name.lower(): value for name, value in environ.items() if _is_ours(name)}
    sections = Config.model_fields
    for name in ours:
        section = name.removeprefix(ENVIRONMENT_PREFIX.lower()).split("__")[0]
        if section not in sections:
            problems.append(f"{name.upper()}: no such section; {nearest(section, sections)}")
    problems += (f"{name}: did you mean {_meant(name)}?" for name in environ if _meant(name))
    source = EnvSettingsSource(_Environment)
    # the variables we were given, not the ones of this process
    source.env_vars = ours
    try:
        return source()
    except SettingsError as error:
        # pydantic names the section only; the cause holds the text that could not be read
        text = getattr(error.__cause__, "doc", None)
        named = [name.upper() for name, value in ours.items() if value == text]
        where = " or ".join(named) or "the environment"
        problems.append(f"{where}: lists and mappings are given as JSON")
        return {}


def _is_ours(name: str) -> bool:
    return name.upper().startswith(ENVIRONMENT_PREFIX)


def _meant(name: str) -> str | None:
    """Return the variable that was meant, where an underline is missing after the prefix.

    >>> _meant("STREAM_HB_REFIT__EVERY_SECONDS"), _meant("STREAM_HB_SLOT")
    ('STREAM_HB__REFIT__EVERY_SECONDS', None)
    """
    path = name.upper().removeprefix(ENVIRONMENT_PREFIX[:-1])
    is_ours = path.partition("__")[0].lower() in Config.model_fields and "__" in path
    return ENVIRONMENT_PREFIX + path if is_ours and not _is_ours(name) else None


def _read_client_files(raw: dict[str, Any], folder: Path, problems: list[str]) -> dict[str, Any]:
    """Return ``raw`` with ``kafka.client`` under librdkafka's names and its files read."""
    kafka = raw.get("kafka")
    if not isinstance(kafka, dict) or not isinstance(kafka.get("client"), dict):
        return raw  # absent, or a type error that the model will tell
    settings: dict[str, Any] = {}
    for key, value in kafka["client"].items():
        name = str(key).removesuffix("_file").replace("_", ".")
        if name in settings:
            problems.append(f"kafka.client: {name} is given twice")
        if str(key).endswith("_file"):
            value = _read_secret(folder / str(value), f"kafka.client.{key}", problems)
        settings[name] = value
    return {**raw, "kafka": {**kafka, "client": settings}}


_PATHS = (
    ("stores", "path"),
    ("money", "rates_path"),
    ("snapshots", "path"),
    ("alert_sender", "authorization_file"),
    ("alert_sender", "ca_file"),
)


def _beside(folder: Path, raw: dict[str, Any]) -> dict[str, Any]:
    """Return ``raw`` with its paths made absolute."""
    for section, key in _PATHS:
        values = raw.get(section)
        if isinstance(values, dict) and isinstance(values.get(key), str):
            raw = {**raw, section: {**values, key: str((folder / values[key]).resolve())}}
    return raw


def _read_secret(path: Path, key: str, problems: list[str]) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        problems.append(f"{key}: {path} cannot be read: {reason}")
        return ""
    if not text:
        problems.append(f"{key}: {path} is empty")
    return text


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the leaves of ``over`` put over it.

    >>> _merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    merged = dict(base)
    for name, value in over.items():
        old = merged.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            value = _merged(old, value)
        merged[name] = value
    return merged


def _explained(detail: ErrorDetails, environ: Mapping[str, str]) -> list[str]:
    error = detail.get("ctx", {}).get("error")
    if not isinstance(error, ProblemsError):
        return [_explain(detail, environ)]
    path = ".".join(str(part) for part in detail["loc"])
    return [f"{path}.{problem}".removeprefix(".") for problem in error.problems]


_SECRETS = {"url", "authorization"}
"""Keys whose values are not shown, even where they are wrong."""

_WORDS = {
    **dict.fromkeys(("bool_parsing", "bool_type"), "should be true or false"),
    **dict.fromkeys(("float_parsing", "float_type"), "should be a number"),
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "should be a whole number"),
    "string_type": "should be a text, in quotes where it looks like something else",
    "tuple_type": "should be a list, like [a, b]",
}
"""What pydantic says by the names of Python's types."""


_PYTHON = re.compile("^(Input|String|Tuple) | after validation")
"""Parts of its other messages that say nothing to whoever writes YAML."""


def _explain(detail: ErrorDetails, environ: Mapping[str, str]) -> str:
    location = [str(part) for part in detail["loc"]]
    path = ".".join(location)
    variable = ENVIRONMENT_PREFIX + "__".join(location).upper()
    if variable in {name.upper() for name in environ}:
        path += f" (from {variable})"
    if detail["type"] == "extra_forbidden":
        return f"{path}: no such key; {_nearest_key(location)}"
    if detail["type"] in {"model_type", "model_attributes_type"}:
        return f"{path}: should be a mapping of keys"
    if detail["type"] == "value_error":  # ours: it says everything
        return f"{path}: {detail['ctx']['error']}".removeprefix(": ")
    message = _WORDS.get(detail["type"]) or _PYTHON.sub("", detail["msg"])
    if isinstance(detail["input"], str | int | float) and location[-1] not in _SECRETS:
        message += f", not {detail['input']!r:.60}"
    return f"{path}: {message}"


def _nearest_key(location: Sequence[str]) -> str:
    *sections, key = location
    model: type[BaseModel] = Config
    for section in sections:
        if not section.isdigit():  # a place in a list
            model = _item_model(model.model_fields[section].annotation) or model
    elsewhere = [path for path in key_paths() if path.rpartition(".")[2] == key]
    if elsewhere and not get_close_matches(key, model.model_fields, n=1):
        return f"did you mean {elsewhere[0]!r}?"
    return nearest(key, model.model_fields)


def _section_model(annotation: Any) -> type[BaseModel] | None:
    """Return the model of a section (``X`` or ``X | None``), None for a plain value or a list."""
    return None if get_origin(annotation) is tuple else _item_model(annotation)


def _item_model(annotation: Any) -> type[BaseModel] | None:
    """Return the model of a section, or of the sections in a list."""
    for kind in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None
