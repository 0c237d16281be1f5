"""Estimate records as a pricing service finds them, each part to be changed."""

import json
from typing import Any

NOW_MS = 1_730_000_000_000
KEY = b"c|s||conversion"


def estimate_record(**changes: Any) -> dict[str, Any]:
    record = {
        "schema_version": 1,
        "key": {"chain_id": "c", "store_id": "s", "arm": None},
        "metric": "conversion",
        "model": "beta_binomial",
        "version": {"epoch": 1, "seq": 1},
        "estimate": 0.35,
        "sd": 0.05,
        "interval": {"lo": 0.25, "hi": 0.45, "level": 0.95, "kind": "equal_tailed"},
        "raw": 0.4,
        "pooled": 0.2,
        "n_eff": 101.0,
        "n_kish": 99.0,
        "shrinkage_weight": 0.25,
        "hyper": {
            "version": 57,
            "fitted_at_ms": NOW_MS - 100,
            "params": {"mean": 0.2, "concentration": "inf"},
            "groups": 8,
            "converged": True,
        },
        "watermark_ms": NOW_MS - 600_000,
        "as_of_ms": NOW_MS,
        "staleness_ms": 600_000,
        "offsets": {"visits-3": 1042},
        "half_life_s": None,
        "currency": None,
        "flags": [],
    }
    return {**record, **changes}


def message(store: str = "s", epoch: int = 1, seq: int = 1, **changes: Any) -> tuple[bytes, bytes]:
    """Return key and value of a record."""
    key = {"chain_id": "c", "store_id": store, "arm": None}
    version = {"epoch": epoch, "seq": seq}
    record = estimate_record(key=key, version=version, **changes)
    return f"c|{store}||{record['metric']}".encode(), json.dumps(record).encode()
