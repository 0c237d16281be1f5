"""Prices from the estimates topic: python deploy/examples/prices.py 127.0.0.1:9092 estimates"""

import sys
import time

from confluent_kafka import Consumer

from stream_hb import EstimateTable, StreamHBError

LIST_PRICE, BUYS_TOO_SELDOM = 20.00, 0.15
servers, topic = sys.argv[1:]
settings = {"bootstrap.servers": servers, "group.id": "prices", "enable.auto.commit": False}
# The table is in memory: read everything at every start. Never read what was aborted.
settings |= {"auto.offset.reset": "earliest", "isolation.level": "read_committed"}
consumer = Consumer(settings)
consumer.subscribe([topic])
table = EstimateTable()
while True:
    message = consumer.poll(1.0)
    if message is None or message.error():
        continue
    key = message.key() or b""
    try:
        news = table.feed(key, message.value(), message.offset())
    except StreamHBError as error:
        print(f"skipped: {error}", file=sys.stderr)
        continue
    chain, store, _, metric = key.decode().split("|")
    if news and metric == "conversion":
        now_ms = time.time_ns() // 1_000_000
        advice = table.advise(chain, store, metric, bound="upper", now_ms=now_ms)
        cheaper = advice.value is not None and advice.value < BUYS_TOO_SELDOM  # surely
        print(f"{store} {LIST_PRICE * (0.9 if cheaper else 1):.2f} {advice.reason}", flush=True)
