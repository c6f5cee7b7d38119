"""Tests of the MiniMax provider, in the order of the source file.

Nearly all of them are black boxes: bytes into the stdin of the real process,
lines out of its stdout, and on the other side a raw-socket server that can
misbehave in any way a network can.  The whole output of every process is put
through ``check_grammar``, which knows the wire contract and nothing else.

To test a vendored copy, edit the one import below.  Run with ``pytest``.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import copy
import datetime
import email.utils
import functools
import gc
import gzip
import http.client
import importlib.metadata
import importlib.util
import itertools
import json
import math
import multiprocessing
import os
import platform
import random
import re
import select
import shlex
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import defaultdict, deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    NamedTuple,
    NoReturn,
    Sequence,
    Union,
)

import pytest
import urllib3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import plexum_minimax_provider as provider  # <- a vendored copy: edit this line

SOURCE = str(Path(provider.__file__).resolve())

# A guard against hanging, never a measure of speed: nothing here takes as long.
DEADLINE = 60.0

# A shell ignores SIGINT for what it runs in the background, and all that starts from
# there inherits that; a signal that is handled is not inherited.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

KEY = "sk-cp-Zq8Rw3Lk7Vt1Xb5Nc9Md2Ps6Hf4Jg0Ty"
PREFIX = "sk-cp-"

Obj = Dict[str, Any]

PROPERTY = settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=60,
    suppress_health_check=list(HealthCheck),
)

needs_proc = pytest.mark.skipif(
    not os.path.isdir("/proc/self/fd"), reason="needs Linux's /proc"
)
needs_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="relies on Linux's TCP or pipes"
)


# =====================================================================
# Harness: the grammar of the output
# =====================================================================

ERROR_CODES = {  # code: may it be tried again (None: depends)
    "invalid_json": False,
    "invalid_request": False,
    "line_too_long": False,
    "duplicate_id": False,
    "busy": True,
    "shutting_down": True,
    "config": False,
    "auth": False,
    "permission": False,
    "insufficient_balance": False,
    "quota_exhausted": False,
    "model_unavailable": False,
    "not_found": False,
    "context_too_long": False,
    "content_filtered": False,
    "rejected": False,
    "rate_limited": True,
    "overloaded": True,
    "upstream": True,
    "network": None,
    "timeout": True,
    "stream_cut": True,
    "empty_response": True,
    "protocol": True,
    "internal": False,
}

LINE_ERRORS = {"invalid_json", "invalid_request", "line_too_long", "duplicate_id"}

WARNING_CODES = {
    "unknown_field",
    "ignored_field",
    "system_role_moved",
    "max_tokens_lowered",
    "history_repaired",
    "image_replaced",
    "thinking_mapped",
    "effort_ignored",
    "retired_model",
    "model_differs",
    "thinking_used_all_tokens",
    "tool_markup_in_text",
    "unknown_delta",
}

TURN_FIELDS = {
    "turn_start": {"model", "message_id"},
    "block_start": {"index", "block"},
    "text_delta": {"index", "text"},
    "thinking_delta": {"index", "text"},
    "input_delta": {"index", "json"},
    "block_end": {"index", "block"},
    "turn_end": {
        "stop_reason",
        "message",
        "model",
        "message_id",
        "usage",
        "request_id",
        "timing",
    },
    "error": {"error", "model", "usage", "partial", "timing"},
    "retry": {"attempt", "max_attempts", "delay", "error"},
    "warning": {"code", "text"},
    "heartbeat": set(),
}

MAY_HAVE = {
    "block_end": {"incomplete", "input_json"},
    "turn_end": {"cost_usd"},
    "error": {"cost_usd"},
}

ERROR_FIELDS = {"code", "message", "hint", "retryable"}
ERROR_MAY_HAVE = {
    "retry_after",
    "reset_at",
    "http_status",
    "provider_code",
    "request_id",
}

MANIFEST_FIELDS = {
    "name",
    "version",
    "protocol",
    "kind",
    "executable",
    "activation",
    "provider",
    "models",
    "config",
    "capabilities",
}

DELTA_FIELD = {"text_delta": "text", "thinking_delta": "text", "input_delta": "json"}


def dump(value: object) -> str:
    """The JSON text of `value`: tells 1 from 1.0 and True, and sees key order."""
    return json.dumps(value)


def same(left: object, right: object) -> bool:
    return dump(left) == dump(right)


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def parse_line(raw: bytes) -> Obj:
    """One outbound line: compact ASCII JSON of an object, and nothing but JSON."""

    def refuse(word: str) -> NoReturn:
        raise AssertionError(f"{word} is not JSON: {raw[:200]!r}")

    def finite(text: str) -> float:
        assert math.isfinite(float(text)), text
        return float(text)

    line = json.loads(raw.decode("ascii"), parse_constant=refuse, parse_float=finite)
    assert isinstance(line, dict), raw[:200]
    assert json.dumps(line, separators=(",", ":")).encode() == raw, raw[:200]
    assert isinstance(line.get("type"), str), raw[:200]
    return line


def check_keys(line: Obj, required: set[str], optional: Iterable[str] = ()) -> None:
    keys = set(line) - {"type", "id"}
    assert required <= keys, (required - keys, line)
    assert keys <= required | set(optional), (keys - required, line)


def check_error(error: Obj) -> None:
    assert ERROR_FIELDS <= set(error) <= ERROR_FIELDS | ERROR_MAY_HAVE, error
    assert error["code"] in ERROR_CODES, error
    retryable = ERROR_CODES[error["code"]]
    assert isinstance(error["retryable"], bool), error
    assert retryable is None or error["retryable"] is retryable, error
    assert isinstance(error["message"], str) and error["message"].strip(), error
    assert isinstance(error["hint"], str) and error["hint"].strip(), error
    assert is_number(error.get("retry_after", 0)), error
    for told in (error["message"], error["hint"]):
        assert not re.search(r"\{[a-z_]+\}", told), f"a blank was not filled: {told}"


def check_timing(timing: Obj) -> None:
    assert set(timing) == {"first_event_ms", "total_ms", "attempts"}, timing
    for name, value in timing.items():
        assert value is None or (is_number(value) and value >= 0), (name, value)


def check_cost(line: Obj) -> None:
    """A cost is of something: of tokens, in billionths of a dollar."""
    if "cost_usd" in line:
        assert type(line["cost_usd"]) is float and line["cost_usd"] > 0, line
        assert line["cost_usd"] == round(line["cost_usd"], 9), line
        assert line["usage"]["input_tokens"] >= 0, line
        assert line["usage"]["output_tokens"] >= 0, line


FINAL = {"turn_end", "error", "pong", "manifest"}  # one of them answers a line


class OpenBlock:
    """What a host knows of one block while it streams."""

    def __init__(self, block: Obj) -> None:
        assert isinstance(block.get("type"), str), block
        for name in ("text", "thinking"):
            assert not isinstance(block.get(name), str) or block[name] == "", block
        if block["type"] == "tool_use":
            assert block.get("input") == {}, block
        self.kind = block["type"]
        self.joined: dict[str, str] = defaultdict(str)
        self.end: Obj | None = None

    def add(self, kind: str, fragment: object) -> None:
        assert isinstance(fragment, str), fragment
        before = self.joined[kind]
        if before and "\ud800" <= before[-1] <= "\udbff":
            assert not "\udc00" <= fragment[:1] <= "\udfff", "a pair was cut in half"
        self.joined[kind] += fragment

    def close(self, line: Obj) -> None:
        block = line["block"]
        self.end = line
        assert block["type"] == self.kind, line
        assert line.get("incomplete", True) is True, line
        for kind, name in (("text_delta", "text"), ("thinking_delta", "thinking")):
            whole = block.get(name)
            assert self.joined[kind] == (whole if isinstance(whole, str) else ""), line
        self._check_input(line, block)

    def _check_input(self, line: Obj, block: Obj) -> None:
        joined = self.joined["input_delta"]
        if self.kind == "tool_use" and "incomplete" in line:
            assert "input" not in block and line["input_json"] == joined, line
            return
        assert "input_json" not in line or "incomplete" in line, line
        if self.kind == "tool_use" or (joined and "incomplete" not in line):
            parsed = json.loads(joined, strict=False) if joined.strip() else {}
            assert isinstance(block["input"], dict), line
            assert same(parsed, block["input"]), line

    def may_be_kept(self) -> bool:
        assert self.end is not None
        if "incomplete" not in self.end:
            return True
        return self.kind == "text" and bool(self.end["block"]["text"])


Check = Callable[[Any], bool]


class Schema:
    """What `--schema` prints, as functions: a whole process's lines are many.

    It knows the words that are used, and refuses to read any other.
    """

    TYPES: dict[str, Check] = {
        "null": lambda v: v is None,
        "boolean": lambda v: isinstance(v, bool),
        "string": lambda v: isinstance(v, str),
        "integer": lambda v: is_number(v) and v == v // 1,
        "number": is_number,
        "object": lambda v: isinstance(v, dict),
        "array": lambda v: isinstance(v, list),
    }
    SILENT = {"title", "description", "default", "$schema", "$id", "$defs"}

    def __init__(self, root: Obj) -> None:
        self.root = root
        self.definitions: dict[str, Check] = {}
        for name, schema in root["$defs"].items():
            self.definitions[name] = self.check(schema)
        self.host_line = self.definitions["HostLine"]
        self.plugin_line = self.definitions["PluginLine"]

    def check(self, schema: Obj) -> Check:
        checks = [
            getattr(self, "_" + word.lstrip("$").lower())(said, schema)
            for word, said in schema.items()
            if word not in self.SILENT
        ]
        return checks[0] if len(checks) == 1 else lambda v: all(c(v) for c in checks)

    def _type(self, said: Any, _: Obj) -> Check:
        kinds = [self.TYPES[k] for k in ([said] if isinstance(said, str) else said)]
        return kinds[0] if len(kinds) == 1 else lambda v: any(k(v) for k in kinds)

    def _ref(self, said: str, _: Obj) -> Check:
        name = said[len("#/$defs/") :]
        assert name in self.root["$defs"], said
        return lambda v: self.definitions[name](v)

    def _const(self, said: Any, _: Obj) -> Check:
        return lambda v: same(v, said)

    def _enum(self, said: list[Any], _: Obj) -> Check:
        return lambda v: any(same(v, word) for word in said)

    def _not(self, said: Obj, _: Obj) -> Check:
        inner = self.check(said)
        return lambda v: not inner(v)

    def _anyof(self, said: list[Obj], _: Obj) -> Check:
        inner = [self.check(schema) for schema in said]
        return lambda v: any(c(v) for c in inner)

    def _oneof(self, said: list[Obj], _: Obj) -> Check:
        inner = [self.check(schema) for schema in said]
        return lambda v: [c(v) for c in inner].count(True) == 1

    def _minimum(self, said: float, _: Obj) -> Check:
        return lambda v: not is_number(v) or v >= said

    def _maximum(self, said: float, _: Obj) -> Check:
        return lambda v: not is_number(v) or v <= said

    def _minlength(self, said: int, _: Obj) -> Check:
        return lambda v: not isinstance(v, str) or len(v) >= said

    def _minitems(self, said: int, _: Obj) -> Check:
        return lambda v: not isinstance(v, list) or len(v) >= said

    def _items(self, said: Obj, _: Obj) -> Check:
        inner = self.check(said)
        return lambda v: not isinstance(v, list) or all(map(inner, v))

    def _required(self, said: list[str], _: Obj) -> Check:
        return lambda v: not isinstance(v, dict) or all(name in v for name in said)

    def _properties(self, said: dict[str, Obj], _: Obj) -> Check:
        inner = [(name, self.check(schema)) for name, schema in said.items()]
        return lambda v: not isinstance(v, dict) or all(
            c(v[name]) for name, c in inner if name in v
        )


SCHEMA_OF_LINES = Schema(provider.schema())


class TurnGrammar:
    """The lines of one id, checked as they come."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self.idle = True
        self.started = False
        self.blocks: list[OpenBlock] = []

    def feed(self, line: Obj) -> None:
        kind = line["type"]
        self.idle = False
        if kind in ("turn_end", "error"):
            self._finish(line)
            self._reset()
        elif kind == "retry":
            assert not self.started, f"a retry after turn_start: {line!r}"
            check_error(line["error"])
            assert 1 <= line["attempt"] < line["max_attempts"], line
            assert is_number(line["delay"]) and line["delay"] >= 0, line
        elif kind == "turn_start":
            assert not self.started, line
            self.started = True
        elif kind == "warning":
            assert line["code"] in WARNING_CODES, line
            assert isinstance(line["text"], str) and line["text"], line
        elif kind != "heartbeat":
            self._feed_block(kind, line)

    def _feed_block(self, kind: str, line: Obj) -> None:
        assert self.started, line
        if kind == "block_start":
            assert line["index"] == len(self.blocks), line
            self.blocks.append(OpenBlock(line["block"]))
            return
        block = self.blocks[line["index"]]
        assert block.end is None, f"already closed: {line!r}"
        if kind == "block_end":
            block.close(line)
        else:
            block.add(kind, line[DELTA_FIELD[kind]])

    def _finish(self, line: Obj) -> None:
        for block in self.blocks:
            assert block.end is not None, f"never closed before {line!r}"
        check_cost(line)
        kept = [b.end["block"] for b in self.blocks if b.end and b.may_be_kept()]
        expected = {"role": "assistant", "content": kept} if kept else None
        check_timing(line["timing"])
        if line["type"] == "error":
            check_error(line["error"])
            assert same(line["partial"], expected), (line, expected)
            return
        assert same(line["message"], expected), (line, expected)
        assert isinstance(line["stop_reason"], str) and line["stop_reason"], line
        broken = any(
            b.kind == "tool_use" and b.end and "incomplete" in b.end
            for b in self.blocks
        )
        assert not (broken and line["stop_reason"] == "tool_use"), line
        if line["stop_reason"] != "cancelled":
            assert self.started, f"turn_end without turn_start: {line!r}"


def check_loose(line: Obj) -> None:
    """A line that belongs to no turn."""
    if line["type"] == "pong":
        check_keys(line, set())
    elif line["type"] == "manifest":
        check_keys(line, MANIFEST_FIELDS)
    else:
        assert line["type"] == "error", line
        check_keys(line, {"error", "line"}, {"ref_id"})
        check_error(line["error"])
        assert line["error"]["code"] in LINE_ERRORS, line
        assert isinstance(line["line"], int), line


def check_grammar(output: bytes, finished: bool = True) -> list[Obj]:
    """Check a process's whole stdout against the contract; give its lines."""
    if finished:
        assert output == b"" or output.endswith(b"\n"), output[-200:]
    turns: dict[str, TurnGrammar] = {}
    lines = [parse_line(raw) for raw in output.split(b"\n")[:-1]]
    for line in lines:
        assert SCHEMA_OF_LINES.plugin_line(line), f"not as --schema says: {line!r}"
        if line["type"] in ("pong", "manifest") or "id" not in line:
            check_loose(line)
            continue
        assert type(line["id"]) in (str, int), line
        assert line["type"] in TURN_FIELDS, line
        check_keys(line, TURN_FIELDS[line["type"]], MAY_HAVE.get(line["type"], ()))
        turns.setdefault(dump(line["id"]), TurnGrammar()).feed(line)
    if finished:
        for name, turn in turns.items():
            assert turn.idle, f"turn {name} has no terminal line"
    return lines


def check_secret(*texts: bytes) -> None:
    """No eight characters in a row of the key, its public prefix aside."""
    secret = KEY[len(PREFIX) :].encode()
    for text in texts:
        for start in range(len(secret) - 7):
            assert secret[start : start + 8] not in text


# =====================================================================
# Harness: the upstream
# =====================================================================


class Done(Exception):
    """The script is at its end: the connection closes."""


class Request:
    """One request as it came in, and how it fared."""

    def __init__(self, head: bytes, body: bytes, connection: int) -> None:
        first, *rest = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = first.split(" ", 2)
        self.fields = [
            (name.strip().lower(), value.strip())
            for name, _, value in (field.partition(":") for field in rest if field)
        ]
        self.head = head
        self.body = body
        self.connection = connection
        self.gone = threading.Event()  # the plugin dropped the connection

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]

    @property
    def json(self) -> Any:
        return json.loads(self.body.decode("utf-8"))

    @property
    def text(self) -> str:
        """The last message where it is a string: tests name their scripts by it."""
        try:
            content = self.json["messages"][-1]["content"]
        except (ValueError, KeyError, IndexError, TypeError):
            return ""
        return content if isinstance(content, str) else ""


class Exchange:
    """What a step of a script may use."""

    def __init__(
        self, emulator: Emulator, sock: socket.socket, request: Request
    ) -> None:
        self.emulator = emulator
        self.sock = sock
        self.request = request

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def until_gone(self) -> None:
        """Read until the other side has closed or reset the connection."""
        with contextlib.suppress(OSError):
            while self.sock.recv(65536):
                pass
        self.request.gone.set()


Step = Union[bytes, Callable[[Exchange], None]]
Script = Sequence[Step]


def close(exchange: Exchange) -> None:
    """Close cleanly (FIN)."""
    raise Done


def reset(exchange: Exchange) -> None:
    """Close rudely (RST)."""
    exchange.sock.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    raise Done


def hold(exchange: Exchange) -> None:
    """Say nothing more until the plugin goes away."""
    exchange.until_gone()
    raise Done


def wait(event: threading.Event) -> Step:
    def step(exchange: Exchange) -> None:
        for _ in range(int(DEADLINE / 0.05)):
            if event.wait(0.05):
                return
            if exchange.emulator.stopping.is_set():
                raise Done  # the test has failed before it could set its event
        raise AssertionError("the test never set its event")

    return step


def tell(event: threading.Event) -> Step:
    def step(exchange: Exchange) -> None:
        event.set()

    return step


def drip(data: bytes, gap: float = 0.02, limit: int | None = None) -> Step:
    """Send `data` over and over, a little apart, until the plugin goes away."""

    def step(exchange: Exchange) -> None:
        try:
            for _ in itertools.count() if limit is None else range(limit):
                exchange.send(data)
                if exchange.emulator.stopping.wait(gap):
                    raise Done
        except OSError:
            exchange.request.gone.set()
            raise Done from None

    return step


class Emulator:
    """A loopback HTTP server that does what its scripts say, byte by byte.

    A request is answered by the script in `routes` named like its last message,
    else by the next of `queue`, else by a short good stream.  Connections stay
    open between requests unless the script ends in `close`, `reset` or `hold`.
    """

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        greeting: Callable[[socket.socket], None] | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.host = host
        self.tls = tls
        self.greeting = greeting
        self.routes: dict[str, Script] = {}
        self.queue: deque[Script] = deque()
        self.answer: Callable[[Request], Script] | None = None
        self.requests: list[Request] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._changed = threading.Condition()
        self._socks: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket()
        self._listener.bind((host, 0))
        self._listener.listen(256)
        self.port = int(self._listener.getsockname()[1])
        self._start(self._accept)

    @property
    def base_url(self) -> str:
        scheme = "https" if self.tls else "http"
        return f"{scheme}://{self.host}:{self.port}/anthropic"

    def reset(self) -> None:
        """Forget scripts and requests, so that a shared emulator starts fresh."""
        with self._changed:
            self.routes, self.answer = {}, None
            self.queue.clear()
            self.requests.clear()

    def wait_request(self, count: int = 1) -> Request:
        """The `count`-th request, as soon as it is there."""
        with self._changed:
            there = self._changed.wait_for(
                lambda: len(self.requests) >= count, DEADLINE
            )
            assert there, f"only {len(self.requests)} requests came"
            return self.requests[count - 1]

    def close(self) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._changed:
            socks = list(self._socks)
        for sock in socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive(), "an emulator thread hangs"

    def __enter__(self) -> Emulator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads = [t for t in self._threads if t.is_alive()]
        thread.start()
        self._threads.append(thread)

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                self.connections += 1
                number = self.connections
                self._socks.add(sock)
            self._start(self._serve, sock, number)

    def _serve(self, sock: socket.socket, number: int) -> None:
        request: Request | None = None
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.greeting is not None:
                self.greeting(sock)
            if self.tls is not None:
                plain, sock = sock, self.tls.wrap_socket(sock, server_side=True)
                with self._changed:
                    self._socks.discard(plain)
                    self._socks.add(sock)
            with contextlib.closing(sock.makefile("rb")) as reader:
                while True:
                    request = self._read(reader, number)
                    if request is None:
                        return
                    self._run(Exchange(self, sock, request))
        except (OSError, Done):
            pass
        finally:
            if request is not None:
                request.gone.set()
            with self._changed:
                self._socks.discard(sock)
            sock.close()

    def _read(self, reader: Any, number: int) -> Request | None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = reader.readline()
            if not line:
                return None
            head += line
        request = Request(head[:-4], b"", number)
        lengths = request.header("content-length")
        request.body = reader.read(int(lengths[0])) if lengths else b""
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
        return request

    def _run(self, exchange: Exchange) -> None:
        for step in self._script(exchange.request):
            if isinstance(step, bytes):
                exchange.send(step)
            else:
                step(exchange)

    def _script(self, request: Request) -> Script:
        with self._changed:
            if self.answer is not None:
                return self.answer(request)
            if request.text in self.routes:
                return self.routes[request.text]
            if self.queue:
                return self.queue.popleft()
        return respond(OK)


# --- what an upstream says ------------------------------------------------


def frame(payload: object, name: str | None = None) -> bytes:
    """One server-sent event; a dict goes under the name of its type."""
    text = payload if isinstance(payload, str) else json.dumps(payload)
    if name is None and isinstance(payload, dict):
        name = payload.get("type")
    start = b"event: %s\n" % name.encode() if name else b""
    return start + b"data: %s\n\n" % text.encode()


def sse(*payloads: Obj | bytes) -> bytes:
    return b"".join(p if isinstance(p, bytes) else frame(p) for p in payloads)


def started(
    model: str = "MiniMax-M3", ident: str = "0" * 31 + "1", **fields: Any
) -> Obj:
    message: Obj = {
        "id": ident,
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": model,
        "stop_reason": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }
    message.update(fields)
    return {"type": "message_start", "message": message}


PING: Obj = {"type": "ping"}


def opened(index: int, kind: str = "text", **fields: Any) -> Obj:
    block: Obj = {"type": kind}
    if kind in ("text", "thinking"):
        block[kind] = ""
    if kind == "tool_use":
        block.update(id=f"call_function_{index}", name="glob", input={})
    block.update(fields)
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **fields: Any) -> Obj:
    return {
        "type": "content_block_delta",
        "index": index,
        "delta": dict({"type": kind}, **fields),
    }


def text(index: int, words: str) -> Obj:
    return delta(index, "text_delta", text=words)


def thinking(index: int, words: str) -> Obj:
    return delta(index, "thinking_delta", thinking=words)


def signature(index: int, value: str) -> Obj:
    return delta(index, "signature_delta", signature=value)


def partial_json(index: int, fragment: str) -> Obj:
    return delta(index, "input_json_delta", partial_json=fragment)


def closed(index: int) -> Obj:
    return {"type": "content_block_stop", "index": index}


def stopping(reason: str | None = "end_turn", **fields: Any) -> Obj:
    payload: Obj = {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": None},
        "usage": {"input_tokens": 11, "output_tokens": 7},
    }
    payload.update(fields)
    return payload


STOP: Obj = {"type": "message_stop"}


def words(string: str, model: str = "MiniMax-M3") -> bytes:
    """A good stream of one text block."""
    return sse(
        started(model), opened(0), text(0, string), closed(0), stopping(), STOP
    )


OK = words("ok")
LAST_CHUNK = b"0\r\n\r\n"
REASONS = {200: "OK", 302: "Found", 404: "Not Found", 500: "Internal Server Error"}


def response_head(status: int = 200, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Whatever')}"]
    if not any(header.lower().startswith("content-type") for header in headers):
        lines.append("Content-Type: text/event-stream")
    return ("\r\n".join(lines + list(headers)) + "\r\n\r\n").encode("latin-1")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


def respond(
    *pieces: Step, framing: str = "chunked", headers: Sequence[str] = ()
) -> list[Step]:
    """A 200 whose body is `pieces`, each sent on its own, whole to the end."""
    if framing == "chunked":
        head = response_head(200, "Transfer-Encoding: chunked", *headers)
        body = [chunk(p) if isinstance(p, bytes) else p for p in pieces]
        return [head] + body + [LAST_CHUNK]
    if framing == "length":
        size = sum(len(p) for p in pieces if isinstance(p, bytes))
        return [response_head(200, f"Content-Length: {size}", *headers), *pieces]
    return [response_head(200, "Connection: close", *headers), *pieces, close]


def kept(data: bytes) -> list[Step]:
    """A 200 sent at once with its end, after which the connection is used again."""
    return [b"".join(p for p in respond(data) if isinstance(p, bytes))]


def unfinished(*pieces: Step) -> list[Step]:
    """A 200 that goes wherever the last step takes it, without a body's end."""
    return respond(*pieces)[:-1]


def refuse(status: int, body: str | Obj, *headers: str) -> Script:
    """An error response."""
    kind = "Content-Type: text/html" if isinstance(body, str) else "Content-Type: "
    if isinstance(body, dict):
        kind += "application/json"
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    length = f"Content-Length: {len(data)}"
    return [response_head(status, kind, length, *headers) + data]


def api_error(message: str, kind: str = "api_error", **fields: Any) -> Obj:
    error = dict({"type": kind, "message": message}, **fields)
    return {"type": "error", "error": error, "request_id": "req_0123"}


def base_resp(code: int, message: str) -> Obj:
    return {"base_resp": {"status_code": code, "status_msg": message}}


def cut(data: bytes, how: str, seed: int = 0) -> list[bytes]:
    """`data` whole, byte by byte, or cut at random places."""
    if how == "whole" or len(data) < 2:
        return [data]
    if how == "bytes":
        return [data[i : i + 1] for i in range(len(data))]
    rng = random.Random(f"{how}/{seed}")
    places = sorted(rng.sample(range(1, len(data)), min(len(data) - 1, 12)))
    edges = [0, *places, len(data)]
    return [data[a:b] for a, b in zip(edges, edges[1:])]


CUTS = ("whole", "bytes", "random")


class Rich(NamedTuple):
    data: bytes  # the stream
    content: list[Obj]  # the message it makes
    decided: int  # the stop reason's event is complete, if the stream ends here


def rich_stream() -> Rich:
    """Thinking with signature, text, two tool calls and multi-byte text."""
    call = {"type": "tool_use", "id": "call_1", "name": "pay"}
    other = {"type": "tool_use", "id": "call_2", "name": "glob"}

    def raw(payload: Obj) -> bytes:  # UTF-8 on the wire, not escapes
        text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
        return frame(text, payload["type"])

    before = [
        started(),
        PING,
        opened(0, "thinking"),
        thinking(0, "Où? "),
        signature(0, "5e" * 4),
        closed(0),
        opened(1),
        text(1, "Grüße, 世界 "),
        text(1, "😀!"),
        closed(1),
        opened(2, "tool_use", **call),
        partial_json(2, ""),
        partial_json(2, '{"amount": 100'),
        partial_json(2, '0, "to": "東京"}'),
        closed(2),
        opened(3, "tool_use", **other),
        partial_json(3, '{"pattern"'),
        partial_json(3, ': "*"}'),
        closed(3),
    ]
    data = b"".join(raw(payload) for payload in before)
    reason = raw(stopping("tool_use"))
    content: list[Obj] = [
        {"type": "thinking", "thinking": "Où? ", "signature": "5e" * 4},
        {"type": "text", "text": "Grüße, 世界 😀!"},
        dict(call, input={"amount": 1000, "to": "東京"}),
        dict(other, input={"pattern": "*"}),
    ]
    decided = len(data) + len(reason.rstrip(b"\n"))
    return Rich(data + reason + raw(STOP), content, decided)


RICH = rich_stream()


# =====================================================================
# Harness: the process
# =====================================================================


def write_config(path: Path, config: Obj | str) -> None:
    """Put a configuration in place in one step, readable by its owner only."""
    fresh = path.with_name("fresh.json")
    with open(os.open(str(fresh), os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
        file.write(config if isinstance(config, str) else json.dumps(config))
    os.replace(str(fresh), str(path))


def environment(
    home: str,
    base_url: str | None,
    config: Obj | str | None = None,
    env: dict[str, str | None] | None = None,
) -> dict[str, str]:
    """A minimal environment; None in `env` removes a variable."""
    path = Path(home) / "config.json"
    write_config(path, {} if config is None else config)
    result: dict[str, str | None] = {
        "HOME": home,
        "PATH": os.environ.get("PATH", os.defpath),
        "MINIMAX_API_KEY": KEY,
        "MINIMAX_BASE_URL": base_url,
        "PLEXUM_MINIMAX_CONFIG": str(path),
    }
    result.update(env or {})
    return {name: value for name, value in result.items() if value is not None}


def ask(words: str = "hi", **fields: Any) -> Obj:
    return dict({"messages": [{"role": "user", "content": words}]}, **fields)


class Answer:
    """The lines of one turn."""

    def __init__(self, lines: list[Obj]) -> None:
        self.lines = lines
        self.end = lines[-1]

    def __repr__(self) -> str:
        return "\n".join(json.dumps(line) for line in self.lines)[-4000:]

    def of(self, *kinds: str) -> list[Obj]:
        return [line for line in self.lines if line["type"] in kinds]

    @property
    def warnings(self) -> list[str]:
        return [line["code"] for line in self.of("warning")]

    @property
    def content(self) -> list[Obj]:
        assert self.end["type"] == "turn_end", self
        message = self.end["message"]
        return [] if message is None else list(message["content"])

    @property
    def text(self) -> str:
        return "".join(b.get("text", "") for b in self.content if b["type"] == "text")

    @property
    def error(self) -> Obj:
        assert self.end["type"] == "error", self
        found: Obj = self.end["error"]
        return found

    @property
    def code(self) -> str:
        return str(self.error["code"])

    def says(self, *phrases: str) -> None:
        """Each phrase is in the error's message or hint, in any case."""
        told = "{}\n{}".format(self.error["message"], self.error["hint"])
        for phrase in phrases:
            assert re.search(phrase, told, re.IGNORECASE), (phrase, told)


# What a schema cannot say: the paths, as messages of invalid_request name them.
BEYOND_SCHEMA = re.compile(
    r"""(extra_body\.|tools\[\d+\]\.(name\ is\ the\ name|input_schema\.)|thinking\.type|
    .*\ is\ given\ twice|.*\ is\ blank|messages\ hold\ nothing|
    .*\ must\ have\ one\ of\ source)""",
    re.VERBOSE,
)


def check_inbound(turn: Obj, answer: Answer) -> None:
    """What is taken is as `--schema` says, what is refused for its shape is not."""
    names = set(SCHEMA_OF_LINES.root["$defs"]["Turn"]["properties"])
    folded = {name.replace("_", ""): name for name in names}
    for key in turn:
        if folded.get(key.replace("_", "").lower(), key) != key:
            return  # it describes the fields by their own names only
    error = answer.end.get("error", {})
    fits = SCHEMA_OF_LINES.host_line(turn)
    if error.get("code") == "invalid_request":
        assert fits is bool(BEYOND_SCHEMA.match(error["message"])), (turn, error)
    else:
        assert fits, turn


class Plugin:
    """The real process, its three pipes, and every line it has written."""

    def __init__(
        self,
        base_url: str | None = None,
        config: Obj | str | None = None,
        env: dict[str, str | None] | None = None,
        cwd: str | None = None,
        reading: bool = True,
        check_key: bool = True,
        program: Sequence[str] = (SOURCE,),
    ) -> None:
        self.home = tempfile.TemporaryDirectory()
        self.check_key = check_key
        self.output = bytearray()
        self.errors = b""
        self.lines: list[Obj] = []
        self.finished = True  # expect a terminal line for every turn
        self._turns: dict[str, list[Obj]] = defaultdict(list)
        self._ended: set[str] = set()
        self._changed = threading.Condition()
        self._names = itertools.count(1)
        self.process = subprocess.Popen(
            [sys.executable, *program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=cwd or self.home.name,
            env=environment(self.home.name, base_url, config, env),
        )
        assert self.process.stdin and self.process.stdout and self.process.stderr
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self.stderr = self.process.stderr
        os.set_blocking(self.stdin.fileno(), False)
        self._threads = [threading.Thread(target=self._read_errors, daemon=True)]
        self._threads[0].start()
        if reading:
            self.start_reading()

    @property
    def config_path(self) -> Path:
        return Path(self.home.name) / "config.json"

    def start_reading(self) -> None:
        thread = threading.Thread(target=self._read_lines, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _read_errors(self) -> None:
        pieces = []
        while True:
            piece = self.stderr.read(65536)
            if not piece:
                break
            pieces.append(piece)
        self.errors = b"".join(pieces)

    def _read_lines(self) -> None:
        rest = b""
        while True:
            piece = self.stdout.read(262144)
            if not piece:
                break
            self.output += piece
            *whole, rest = (rest + piece).split(b"\n")
            with self._changed:
                for raw in whole:
                    self._note(raw)
                self._changed.notify_all()

    def _note(self, raw: bytes) -> None:
        try:
            line = json.loads(raw)
            ident = line.get("id")
        except (ValueError, AttributeError):
            return  # check_grammar will say it
        self.lines.append(line)
        if ident is not None and line.get("type") not in ("pong", "manifest"):
            self._turns[dump(ident)].append(line)
            if line.get("type") in ("turn_end", "error"):
                self._ended.add(dump(ident))

    # --- talking to it ---

    def write(self, data: bytes) -> None:
        """Write, but never for ever: the reader of stdin must not stop reading."""
        poll = select.poll()
        poll.register(self.stdin.fileno(), select.POLLOUT)
        view = memoryview(data)
        while view:
            assert poll.poll(DEADLINE * 1000), "the plugin does not read its stdin"
            with contextlib.suppress(BlockingIOError):
                view = view[os.write(self.stdin.fileno(), view[:65536]) :]

    def send(self, *objs: object) -> None:
        self.write(b"".join(json.dumps(obj).encode() + b"\n" for obj in objs))

    def submit(self, turn: Obj) -> Any:
        """Send a turn under a new id (or its own); give the id."""
        ident = turn.get("id", f"t{next(self._names)}")
        self.send(dict({"id": ident}, **turn))
        return ident

    def turn(self, turn: Obj) -> Answer:
        answer = self.answer(self.submit(turn))
        check_inbound(turn, answer)
        return answer

    def cancel(self, ident: object) -> None:
        self.send({"type": "cancel", "id": ident})

    # --- listening to it ---

    def wait_for(self, test: Callable[[], bool], what: str = "a line") -> None:
        with self._changed:
            if not self._changed.wait_for(test, DEADLINE):
                tail = "\n".join(dump(line)[:300] for line in self.lines[-12:])
                raise AssertionError(f"{what} never came; last lines:\n{tail}")

    def answer(self, ident: object) -> Answer:
        """All lines of a turn, once it has ended (ids are used once here)."""
        name = dump(ident)
        self.wait_for(lambda: name in self._ended, f"the end of {name}")
        return Answer(list(self._turns[name]))

    def wait_line(self, kind: str, ident: object = None, count: int = 1) -> Obj:
        """The `count`-th line of a type (and, unless None, of an id)."""

        def found() -> list[Obj]:
            lines = self.lines if ident is None else self._turns[dump(ident)]
            return [line for line in lines if line["type"] == kind]

        self.wait_for(lambda: len(found()) >= count, f"{kind} of {ident!r}")
        return found()[count - 1]

    def loose(self) -> list[Obj]:
        return [li for li in self.lines if li["type"] == "error" and "id" not in li]

    def ping(self) -> None:
        """A round trip: everything sent before has been read."""
        ident = f"ping-{next(self._names)}"
        self.send({"type": "ping", "id": ident})
        self.wait_for(
            lambda: any(li.get("id") == ident for li in reversed(self.lines)), "pong"
        )

    # --- ending it ---

    def wait_exit(self) -> int:
        try:
            return self.process.wait(DEADLINE)
        finally:
            self._release()

    def close(self) -> int:
        """End of input: the exit code, after checking everything it wrote."""
        with contextlib.suppress(OSError):
            self.stdin.close()
        code = self.wait_exit()
        self.check()
        return code

    def check(self) -> None:
        check_grammar(bytes(self.output), self.finished)
        if self.check_key:
            check_secret(bytes(self.output), self.errors)
        assert b"Traceback" not in self.errors, self.errors[-4000:].decode()

    def _release(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for thread in self._threads:
            thread.join(DEADLINE)
        for pipe in (self.stdin, self.stdout, self.stderr):
            with contextlib.suppress(OSError):
                pipe.close()
        self.home.cleanup()

    def __enter__(self) -> Plugin:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self.process.poll() is None:
            self.close()
        else:
            self._release()


def run(
    stdin: bytes,
    base_url: str | None = None,
    config: Obj | str | None = None,
    env: dict[str, str | None] | None = None,
    argv: Sequence[str] = (),
    shell: str | None = None,
    cwd: str | None = None,
) -> tuple[int, list[Obj], bytes]:
    """One whole session: exit code, lines, stderr.

    `shell` is a command for sh in which "$@" is the plugin.
    """
    command = [sys.executable, SOURCE, *argv]
    if shell is not None:
        command = ["sh", "-c", shell, "sh", *command]
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            timeout=DEADLINE,
            cwd=cwd or home,
            env=environment(home, base_url, config, env),
        )
    check_secret(done.stdout, done.stderr)
    lines = check_grammar(done.stdout) if not argv else []
    return done.returncode, lines, done.stderr


class Bench:
    """A plugin and its upstream, shared by the cases of a table."""

    def __init__(self, **config: Any) -> None:
        self.emulator = Emulator()
        self.plugin = Plugin(self.emulator.base_url, config)

    def ask(self, turn: Obj, *script: Step) -> Answer:
        """One turn, answered by the given script (or a good stream)."""
        if script:
            self.emulator.queue.append(script)
        return self.plugin.turn(turn)

    def stream(self, *pieces: Step, **options: Any) -> Answer:
        return self.ask(ask(), *respond(*pieces, **options))

    def afresh(self) -> None:
        """Make the next turn connect anew: an idle connection's death is no fault."""
        assert self.stream(OK, framing="close").text == "ok"
        self.emulator.reset()

    def upstream(self, turn: Obj) -> tuple[Obj, Answer]:
        """What the turn became upstream, and its lines."""
        seen = len(self.emulator.requests)
        answer = self.ask(turn)
        assert answer.end["type"] == "turn_end", answer
        assert len(self.emulator.requests) == seen + 1
        body: Obj = self.emulator.requests[-1].json
        return body, answer

    def close(self) -> None:
        try:
            with self.plugin:
                pass
        finally:
            self.emulator.close()


@pytest.fixture(scope="module")
def long_bench() -> Iterator[Bench]:
    made = Bench(max_retries=0, retry_base_delay=0.01, max_concurrent_turns=64)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def bench(long_bench: Bench) -> Iterator[Bench]:
    """No retries; one process for the whole module."""
    long_bench.emulator.reset()
    yield long_bench


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as made:
        yield made


# =====================================================================
# The checker itself: a grammar that accepts everything would prove nothing
# =====================================================================

NO_TIME: Obj = {"first_event_ms": None, "total_ms": 1, "attempts": 1}


def lines_of(*events: Obj) -> bytes:
    return b"".join(
        json.dumps(dict({"type": "", "id": "a"}, **e), separators=(",", ":")).encode()
        + b"\n"
        for e in events
    )


def turn_end(content: list[Obj] | None, reason: str = "end_turn") -> Obj:
    message = None if content is None else {"role": "assistant", "content": content}
    return {
        "type": "turn_end",
        "stop_reason": reason,
        "message": message,
        "model": "m",
        "message_id": "1",
        "usage": {},
        "request_id": None,
        "timing": NO_TIME,
    }


START: Obj = {"type": "turn_start", "model": "m", "message_id": "1"}
TEXT: Obj = {"type": "text", "text": ""}
CALL: Obj = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
BEGIN: Obj = {"type": "block_start", "index": 0, "block": TEXT}
BEGIN_CALL: Obj = {"type": "block_start", "index": 0, "block": CALL}
SAY: Obj = {"type": "text_delta", "index": 0, "text": "x"}
END: Obj = {"type": "block_end", "index": 0, "block": dict(TEXT, text="x")}
GOOD = (START, BEGIN, SAY, END, turn_end([END["block"]]))
HALF_CALL: Obj = {
    "type": "block_end",
    "index": 0,
    "block": {"type": "tool_use", "id": "c", "name": "f"},
    "incomplete": True,
    "input_json": "",
}

UNGRAMMATICAL = {
    "no terminal line": GOOD[:-1],
    "two terminal lines": GOOD + GOOD[-1:],
    "no block_end": (START, BEGIN, SAY, turn_end(None)),
    "no turn_start": GOOD[1:],
    "deltas do not join": (START, BEGIN, END, GOOD[-1]),
    "index does not start at 0": (START, dict(BEGIN, index=1)),
    "message misses a block": (START, BEGIN, SAY, END, turn_end(None)),
    "message is not null": (START, turn_end([])),
    "success without turn_start": (turn_end(None),),
    "unknown key": (dict(START, extra=1),) + GOOD[1:],
    "unknown type": ({"type": "surprise"},) + GOOD,
    "broken call and tool_use": (
        START,
        BEGIN_CALL,
        HALF_CALL,
        turn_end(None, "tool_use"),
    ),
    "half a call in the message": (
        START,
        BEGIN_CALL,
        HALF_CALL,
        turn_end([HALF_CALL["block"]]),
    ),
}


def test_grammar_accepts_a_good_turn() -> None:
    assert len(check_grammar(lines_of(*GOOD))) == 5
    assert len(check_grammar(lines_of(turn_end(None, "cancelled")))) == 1
    assert len(check_grammar(lines_of(START, turn_end(None)))) == 2


@pytest.mark.parametrize("name", UNGRAMMATICAL)
def test_grammar_refuses(name: str) -> None:
    with pytest.raises((AssertionError, IndexError)):
        check_grammar(lines_of(*UNGRAMMATICAL[name]))


@pytest.mark.parametrize(
    "raw",
    [
        b'{"type":"pong"}',  # no LF
        b'{"type": "pong"}\n',  # not compact
        b'{"type":"pong","id":NaN}\n',
        b'{"type":"pong","id":1e999}\n',
        '{"type":"pong","id":"é"}\n'.encode(),
        b"[]\n",
        b"stray\n",
        b"\n",
    ],
)
def test_grammar_refuses_a_line_that_is_not_compact_ascii_json(raw: bytes) -> None:
    with pytest.raises((AssertionError, ValueError)):
        check_grammar(raw)


# =====================================================================
# Work, counted instead of timed
# =====================================================================


def executed_lines(job: Callable[[], object]) -> int:
    """How many lines of Python `job` executes."""
    count = 0

    def trace(frame: Any, event: str, argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        job()
    finally:
        sys.settrace(before)
    return count


class Compared(str):
    """A string that counts how often it is compared."""

    times = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return str.__eq__(self, other)


def check_linear(job: Callable[[int], object], size: int = 400) -> None:
    """Four times the size is four times the work, not sixteen times."""
    costs = []
    for n in (size, 4 * size):
        Compared.times = 0
        lines = executed_lines(lambda n=n: job(n))  # type: ignore[misc]
        costs.append(lines + Compared.times)
    assert costs[1] < 6 * costs[0], costs


def test_work_is_measured() -> None:
    check_linear(lambda n: [str(i) for i in range(n)])
    many = [Compared(i) for i in range(1600)]
    with pytest.raises(AssertionError):
        check_linear(lambda n: [Compared(i) in many[:n] for i in range(n)])


# =====================================================================
# Tables
# =====================================================================


def manifest() -> Obj:
    code, _, _ = run(b"", argv=["--manifest"])
    assert code == 0
    done = subprocess.run(
        [sys.executable, SOURCE, "--manifest"], stdout=subprocess.PIPE, check=True
    )
    loaded: Obj = json.loads(done.stdout)
    return loaded


def test_manifest_describes_models_configuration_and_plugin() -> None:
    told = manifest()
    assert set(told) == MANIFEST_FIELDS
    assert told["name"] == "plexum-minimax-provider"
    assert told["executable"] == "plexum-minimax-provider-plugin"
    assert (told["protocol"], told["kind"]) == (1, "provider")
    assert told["activation"] == "lazy"
    assert told["version"] == provider.__version__
    ids = [model["id"] for model in told["models"]]
    assert told["provider"]["models"] == ids
    models = {model["id"]: model for model in told["models"]}
    for model in models.values():
        assert set(model) >= {"context_window", "max_output_tokens", "input"}
        assert set(model["prices"]) == {"input", "output", "cache_read", "cache_write"}
        assert {"thinking", "effort", "retired"} <= set(model)
    assert models["MiniMax-M3"]["context_window"] == 1000000
    assert models["MiniMax-M3"]["max_output_tokens"] == 524288
    assert models["MiniMax-M3"]["input"] == ["text", "image", "video"]
    assert models["MiniMax-M3"]["prices"]["output"] == 1.2
    assert models["MiniMax-M3"]["retired"] is None
    assert models["MiniMax-M2.7"]["retired"].startswith("2026-11-18")
    assert models["MiniMax-M2.7"]["input"] == ["text"]
    assert models["MiniMax-M2.7-highspeed"]["prices"]["input"] == 0.6
    assert models["MiniMax-M2"]["max_output_tokens"] == 128000


CONFIG_DEFAULTS = {
    "max_tokens_default": 4096,
    "model": "MiniMax-M3",
    "effort": "medium",
    "connect_timeout": 10,
    "first_event_timeout": 300,
    "idle_timeout": 300,
    "turn_timeout": 3600,
    "max_retries": 3,
    "retry_base_delay": 1,
    "retry_after_max": 60,
    "max_concurrent_turns": 16,
    "max_queued_turns": 256,
    "max_line_bytes": 64 * 1024 * 1024,
    "allow_image_paths": True,
    "log_level": "warning",
    "capture_dir": "",
}


def test_manifest_and_help_name_every_configuration_key() -> None:
    rows = {row["name"]: row for row in manifest()["config"]}
    given = {"api_key", "api_key_file", "region", "base_url"}
    assert set(CONFIG_DEFAULTS) | given == set(rows)
    for name, default in CONFIG_DEFAULTS.items():
        assert rows[name]["default"] == default, name
    for row in rows.values():
        assert set(row) == {"name", "type", "default", "help"} and row["help"]
    shown = subprocess.run(
        [sys.executable, SOURCE, "--help"], stdout=subprocess.PIPE, check=True
    ).stdout.decode()
    for name in rows:
        assert name in shown, name


# =====================================================================
# Server-sent events
# =====================================================================

SSE_CASES: dict[str, tuple[bytes, list[tuple[str, str]]]] = {
    "LF": (b"data: a\n\ndata: b\n\n", [("", "a"), ("", "b")]),
    "CR": (b"data: a\r\rdata: b\r\r", [("", "a"), ("", "b")]),
    "CRLF": (b"data: a\r\n\r\ndata: b\r\n\r\n", [("", "a"), ("", "b")]),
    "mixed line ends": (b"data: a\r\n\ndata: b\n\rdata: c\r\r\n", [
        ("", "a"), ("", "b"), ("", "c"),
    ]),
    "CRLF is one line end": (b"data: a\r\ndata: b\r\n\r\n", [("", "a\nb")]),
    "event name": (b"event: x\ndata: a\n\n", [("x", "a")]),
    "name after data": (b"data: a\nevent: x\n\n", [("x", "a")]),
    "last name wins": (b"event: x\nevent: y\ndata: a\n\n", [("y", "a")]),
    "name is forgotten": (b"event: x\ndata: a\n\ndata: b\n\n", [("x", "a"), ("", "b")]),
    "name without data": (b"event: x\n\ndata: b\n\n", [("", "b")]),
    "no space after colon": (b"data:a\n\n", [("", "a")]),
    "one space is dropped": (b"data:  a \n\n", [("", " a ")]),
    "tab is kept": (b"data:\ta\n\n", [("", "\ta")]),
    "colon in value": (b"data: a:b\n\n", [("", "a:b")]),
    "lines are joined": (b"data: a\ndata:\ndata: b\n\n", [("", "a\n\nb")]),
    "comment": (b": hello\ndata: a\n:\n: data: no\n\n", [("", "a")]),
    "comment only": (b": hello\n\n: there\n\n", []),
    "unknown fields": (b"id: 1\nretry: 5\nfoo: x\ndata: a\nbar\n\n", [("", "a")]),
    "field names in another case": (b"Data: a\nDATA: b\ndata: c\n\n", [("", "c")]),
    "space before the name": (b" data: a\ndata: c\n\n", [("", "c")]),
    "space before the colon": (b"data : a\ndata: c\n\n", [("", "c")]),
    "BOM": (b"\xef\xbb\xbfdata: a\n\n", [("", "a")]),
    "BOM twice": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\ndata: b\n\n", [("", "b")]),
    "BOM later": (b"data: \xef\xbb\xbfa\n\n\xef\xbb\xbfdata: b\n\n", [
        ("", "\ufeffa"),
    ]),
    "leading blank lines": (b"\n\r\n\rdata: a\n\n", [("", "a")]),
    "multi-byte": ("data: é世😀\n\n".encode(), [("", "é世😀")]),
    "bad bytes": (b"data: a\xff\xc3(\n\n", [("", "a\ufffd\ufffd(")]),
    "cut character": (b"data: \xf0\x9f\x98\n\n", [("", "\ufffd")]),
    "other line separators": (
        "data: a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\n\n".encode(),
        [("", "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg")],
    ),
    "NUL": (b"data: a\0b\n\n", [("", "a\0b")]),
    "no last blank line": (b"data: a\n\ndata: b\n", [("", "a"), ("", "b")]),
    "no last line end": (b"data: a\n\ndata: b", [("", "a"), ("", "b")]),
    "no last line end, named": (b"event: x\ndata: b", [("x", "b")]),
    "nothing": (b"", []),
    "JSON that is no field": (b'{"a": 1}\n\ndata: b\n\n{"c": 2}', [
        ("", '{"a": 1}'), ("", "b"), ("", '{"c": 2}'),
    ]),
}


def decode(pieces: Iterable[bytes]) -> list[tuple[str, str]]:
    decoder = provider.SSEDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    events.extend(decoder.close())
    return [
        ("" if event.event in (None, "message") else event.event, event.data)
        for event in events
    ]


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("name", SSE_CASES)
def test_sse_decoder_gives(name: str, how: str) -> None:
    data, expected = SSE_CASES[name]
    for seed in range(5 if how == "random" else 1):
        assert decode(cut(data, how, seed)) == expected


def test_every_two_cuts_of_a_stream_of_line_ends_give_the_same_events() -> None:
    data = b"\xef\xbb\xbfdata: \xc3\xa9\r\ndata: b\r\r\n\nevent:x\rdata\n\r\ndata: c"
    whole = decode([data])
    for first in range(len(data)):
        for second in range(first, len(data)):
            pieces = [data[:first], data[first:second], data[second:]]
            assert decode(pieces) == whole, pieces


@PROPERTY
@given(
    st.lists(
        st.sampled_from(
            [b"data", b"event", b":", b" ", b"\r", b"\n", b"a", b"\xc3", b"\xa9"]
            + [b"event: a\ndata: b\n\n", b"data:c\n\n", b'{"d": 1}\n']  # regular ones
        ),
        max_size=30,
    ),
    st.integers(0, 9),
)
def test_sse_events_do_not_depend_on_the_cuts(parts: list[bytes], seed: int) -> None:
    data = b"".join(parts)
    whole = decode([data])
    assert decode(cut(data, "bytes")) == whole
    assert decode(cut(data, "random", seed)) == whole


def test_decoder_is_linear_in_lines_and_pieces() -> None:
    """Quadratic work would take hours here, not seconds."""
    assert decode([b"data: x\n" * 200000 + b"\n"]) == [("", "\n".join("x" * 200000))]
    one_line = b"data: " + b"y" * 1000000
    assert decode(cut(one_line, "bytes") + [b"\n\n"]) == [("", "y" * 1000000)]


@pytest.mark.parametrize("fine, more", [
    ([b"data: abcd"], b"e"),  # an open line counts as it stands
    ([b"data: abcdefghi\n"], b"data:\n"),  # a data line counts with its line end
    ([b"data: abcd\n", b"data:"], b" "),
    ([b"data: abcdefghi\n\n", b"data: abcd"], b"e"),
    ([b"data: abcd", b"\n\n", b": 90123456"], b"7"),
])
def test_event_over_the_limit_is_refused_from_then_on(
    fine: list[bytes], more: bytes
) -> None:
    decoder = provider.SSEDecoder(max_event_bytes=10)
    for piece in fine:
        decoder.feed(piece)
    for piece in (more, b"\n\n", b"data: x\n\n"):
        with pytest.raises(ValueError, match="over 10 bytes"):
            decoder.feed(piece)


# =====================================================================
# The request
# =====================================================================

USER = [{"role": "user", "content": "hi"}]
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
    "awAAAABJRU5ErkJggg=="
)
PNG64 = base64.b64encode(PNG).decode()
IMAGES = {
    "image/png": PNG,
    "image/jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01" + bytes(20),
    "image/gif": b"GIF89a" + bytes(20),
    "image/webp": b"RIFF\x1a\x00\x00\x00WEBPVP8 " + bytes(20),
}
SCHEMA = {"type": "object", "properties": {"Max_Tokens": {"type": "string"}}}

# (fields of the turn, what they become upstream: None is absent, warnings)
FIELD_CASES: dict[str, tuple[Obj, Obj, list[str]]] = {
    "nothing": ({}, {"model": "MiniMax-M3", "max_tokens": 4096, "stream": True}, []),
    "only defaults": ({}, dict.fromkeys(["system", "tools", "thinking"]), []),
    "null fields": (
        {"system": None, "tools": None, "max_tokens": None, "model": None},
        {"model": "MiniMax-M3", "max_tokens": 4096},
        [],
    ),
    "model": ({"model": "MiniMax-M2.1"}, {"model": "MiniMax-M2.1"}, []),
    "model, other case": ({"model": "minimax-m3"}, {"model": "MiniMax-M3"}, []),
    "model, prefix": ({"model": "minimax/MiniMax-M3"}, {"model": "MiniMax-M3"}, []),
    "model, both": (
        {"model": "minimax/MINIMAX-M2.1-HighSpeed"},
        {"model": "MiniMax-M2.1-highspeed"},
        [],
    ),
    "model, unknown": ({"model": "abab-7.5"}, {"model": "abab-7.5"}, []),
    "model, prefix alone": ({"model": "minimax/"}, {"model": "minimax/"}, []),
    "model, unknown with prefix": ({"model": "minimax/Abc"}, {"model": "Abc"}, []),
    "model, retired": (
        {"model": "MiniMax-M2.5"}, {"model": "MiniMax-M2.5"}, ["retired_model"],
    ),
    "model, retired and declared": (
        {"model": "MiniMax-M2.7-highspeed"},
        {"model": "MiniMax-M2.7-highspeed"},
        ["retired_model"],
    ),
    "system string": ({"system": "be kind"}, {"system": "be kind"}, []),
    "system blocks": (
        {"system": [{"type": "text", "text": "a", "cache_control": {"type": "x"}}]},
        {"system": [{"type": "text", "text": "a", "cache_control": {"type": "x"}}]},
        [],
    ),
    "max_tokens": ({"max_tokens": 7}, {"max_tokens": 7}, []),
    "max_tokens 0": ({"max_tokens": 0}, {"max_tokens": 4096}, []),
    "max_tokens at the limit": ({"max_tokens": 524288}, {"max_tokens": 524288}, []),
    "max_tokens above M3's": (
        {"max_tokens": 524289}, {"max_tokens": 524288}, ["max_tokens_lowered"],
    ),
    "max_tokens above M2's": (
        {"model": "MiniMax-M2", "max_tokens": 131072},
        {"max_tokens": 128000},
        ["max_tokens_lowered"],
    ),
    "max_tokens of an unknown model": (
        {"model": "other", "max_tokens": 9999999}, {"max_tokens": 9999999}, [],
    ),
    "MaxTokens": ({"MaxTokens": 7}, {"max_tokens": 7}, []),
    "maxTokens": ({"maxTokens": 7}, {"max_tokens": 7}, []),
    "MAX_TOKENS": ({"MAX_TOKENS": 7}, {"max_tokens": 7}, []),
    "two spellings that agree": (
        {"maxTokens": 7, "max_tokens": 7}, {"max_tokens": 7}, [],
    ),
    "TopP and ToolChoice": (
        {"TopP": 0.5, "ToolChoice": "auto", "Tools": [{"name": "f"}]},
        {"top_p": 0.5, "tool_choice": {"type": "auto"}},
        [],
    ),
    "sampling": (
        {"temperature": 1.0, "top_p": 1, "metadata": {"user_id": "u", "N": 1.0}},
        {"temperature": 1.0, "top_p": 1, "metadata": {"user_id": "u", "N": 1.0}},
        [],
    ),
    "service_tier": ({"service_tier": "auto"}, {"service_tier": "auto"}, []),
    "top_k": ({"top_k": 5}, {"top_k": 5}, ["ignored_field"]),
    "stop_sequences": (
        {"stop_sequences": ["a"]}, {"stop_sequences": ["a"]}, ["ignored_field"],
    ),
    "stream": ({"stream": False}, {"stream": True}, []),
    "unknown fields": (
        {"base_url": "http://x", "headers": {"a": "b"}, "api_key": "no"},
        {"base_url": None, "headers": None, "api_key": None},
        ["unknown_field"],
    ),
    "tool_choice auto": (
        {"tools": [{"name": "f"}], "tool_choice": "auto"},
        {"tool_choice": {"type": "auto"}},
        [],
    ),
    "tool_choice any": (
        {"tools": [{"name": "f"}], "tool_choice": "any"},
        {"tool_choice": {"type": "any"}},
        [],
    ),
    "tool_choice none": (
        {"tools": [{"name": "f"}], "tool_choice": "none"},
        {"tool_choice": {"type": "none"}},
        [],
    ),
    "tool_choice object": (
        {"tools": [{"name": "f"}], "tool_choice": {"type": "tool", "name": "f"}},
        {"tool_choice": {"type": "tool", "name": "f"}},
        [],
    ),
    "tool": (
        {"tools": [{"name": "f", "description": "d", "input_schema": SCHEMA, "x": 1}]},
        {"tools": [{"name": "f", "description": "d", "input_schema": SCHEMA, "x": 1}]},
        [],
    ),
    "extra_body": (
        {"extra_body": {"max_tokens": 3, "new": {"Deep": [1, 1.0]}}, "max_tokens": 9},
        {"max_tokens": 3, "new": {"Deep": [1, 1.0]}},
        [],
    ),
    "extra_body last": (
        {"model": "MiniMax-M3", "extra_body": {"thinking": {"type": "new"}}},
        {"thinking": {"type": "new"}},
        [],
    ),
}


@pytest.mark.parametrize("name", FIELD_CASES)
def test_field_goes_upstream(bench: Bench, name: str) -> None:
    fields, expected, warnings = FIELD_CASES[name]
    model = expected.get("model") or fields.get("model") or "MiniMax-M3"
    bench.emulator.queue.append(respond(words("ok", model)))
    body, answer = bench.upstream(ask("hi", **fields))
    assert same(body["messages"], USER)
    for field, value in expected.items():
        assert same(body.get(field), value), (field, body)
    assert answer.warnings == warnings, answer


def test_body_holds_nothing_that_was_not_asked_for(bench: Bench) -> None:
    body, _ = bench.upstream(ask("hi"))
    assert set(body) == {"model", "messages", "max_tokens", "stream"}


def test_unknown_fields_are_named_in_one_warning(bench: Bench) -> None:
    _, answer = bench.upstream(ask("hi", colour=1, flavour=2))
    [warning] = answer.of("warning")
    assert "colour" in warning["text"] and "flavour" in warning["text"]


def test_retired_model_warning_names_a_model_to_use(bench: Bench) -> None:
    bench.emulator.queue.append(respond(words("ok", "MiniMax-M2.5")))
    _, answer = bench.upstream(ask("hi", model="MiniMax-M2.5"))
    [warning] = answer.of("warning")
    assert "MiniMax-M3" in warning["text"]


def test_served_model_that_differs_is_a_warning(bench: Bench) -> None:
    answer = bench.stream(words("ok", "MiniMax-M3.1-Flash"))
    assert answer.warnings == ["model_differs"]
    assert answer.end["model"] == "MiniMax-M3.1-Flash"


@pytest.mark.parametrize("tool", [{"name": "f"}, {"name": "f", "input_schema": None}])
def test_missing_schema_becomes_an_empty_object_schema(
    bench: Bench, tool: Obj
) -> None:
    body, _ = bench.upstream(ask("hi", tools=[tool]))
    [sent] = body["tools"]
    assert sent["name"] == "f" and sent["input_schema"]["type"] == "object"
    assert sent["input_schema"].get("properties", {}) == {}


def test_tool_that_another_vendors_server_runs_is_not_sent(bench: Bench) -> None:
    foreign = {"type": "web_search_20250305", "name": "web_search", "max_uses": 1}
    answer = bench.ask(ask("hi", tools=[foreign, {"name": "f"}]))
    if answer.end["type"] == "error":
        assert answer.code == "invalid_request"
        answer.says(r"tools\[0\]")
    else:
        sent = bench.emulator.requests[-1].json["tools"]
        assert [tool["name"] for tool in sent] == ["f"]
        assert len(answer.warnings) == 1


def test_keys_inside_tools_and_blocks_are_never_renamed(bench: Bench) -> None:
    tool = {"name": "f", "MaxTokens": 1, "input_schema": SCHEMA}
    block = {"type": "text", "text": "a", "Text": "b", "MaxTokens": 1}
    turn = {
        "Messages": [{"Role": "user", "Content": [block]}],
        "tools": [tool],
        "metadata": {"maxTokens": 1, "max_tokens": 2},
    }
    body, answer = bench.upstream(turn)
    assert same(body["tools"], [tool]) and same(body["metadata"], turn["metadata"])
    assert same(body["messages"], [{"role": "user", "content": [block]}])
    assert answer.warnings == []


def test_type_and_id_are_known_in_any_spelling(bench: Bench) -> None:
    bench.plugin.send({"Type": "turn", "ID": "spelt", "MESSAGES": USER})
    assert bench.plugin.answer("spelt").text == "ok"


# --- thinking and effort -------------------------------------------------

FAMILIES = {
    "M2.x": ["MiniMax-M2", "MiniMax-M2.1", "MiniMax-M2.7", "MiniMax-M2.5-highspeed"],
    "M3": ["MiniMax-M3"],
    "M3.1": ["MiniMax-M3.1-Flash"],
    "other": ["somebody-else"],
}
ENABLED = {"type": "enabled", "budget_tokens": 1024}
ADAPTIVE = {"type": "adaptive"}
DISABLED = {"type": "disabled"}

THINKING_CASES: list[tuple[str, object, Obj | None, bool | None]] = [
    # family, thinking, sent, a warning (None: as the author likes)
    ("M2.x", None, None, False),
    ("M2.x", True, None, None),
    ("M2.x", ENABLED, None, None),
    ("M2.x", ADAPTIVE, None, None),
    ("M2.x", False, None, True),
    ("M2.x", DISABLED, None, True),
    ("M3", None, None, False),
    ("M3", True, ADAPTIVE, False),
    ("M3", ENABLED, ADAPTIVE, None),
    ("M3", ADAPTIVE, ADAPTIVE, False),
    ("M3", False, DISABLED, False),
    ("M3", DISABLED, DISABLED, False),
    ("M3.1", None, None, False),
    ("M3.1", True, None, None),
    ("M3.1", ENABLED, None, None),
    ("M3.1", ADAPTIVE, None, None),
    ("M3.1", False, None, True),
    ("M3.1", DISABLED, None, True),
    ("other", None, None, False),
    ("other", True, ADAPTIVE, False),
    ("other", ENABLED, ENABLED, False),
    ("other", ADAPTIVE, ADAPTIVE, False),
    ("other", False, DISABLED, False),
    ("other", DISABLED, DISABLED, False),
]


@pytest.mark.parametrize("family, asked, sent, warned", THINKING_CASES)
def test_thinking_is_mapped_per_family(
    bench: Bench, family: str, asked: object, sent: Obj | None, warned: bool | None
) -> None:
    for model in FAMILIES[family]:
        turn = ask("hi", model=model)
        if asked is not None:
            turn["thinking"] = asked
        body, answer = bench.upstream(turn)
        assert same(body.get("thinking"), sent), (model, body)
        if warned is not None:
            assert ("thinking_mapped" in answer.warnings) is warned, answer


EFFORT_CASES: list[tuple[str, str | None, str | None, bool]] = [
    ("M2.x", None, None, False),
    ("M2.x", "low", None, True),
    ("M3", None, None, False),
    ("M3", "max", None, True),
    ("M3.1", None, "medium", False),
    ("M3.1", "low", "low", False),
    ("M3.1", "medium", "medium", False),
    ("M3.1", "high", "high", False),
    ("M3.1", "xhigh", "xhigh", False),
    ("M3.1", "max", "max", False),
    ("other", None, None, False),
    ("other", "high", "high", False),
]


@pytest.mark.parametrize("family, asked, sent, warned", EFFORT_CASES)
def test_effort_is_sent_where_the_family_has_it(
    bench: Bench, family: str, asked: str | None, sent: str | None, warned: bool
) -> None:
    for model in FAMILIES[family]:
        fields = {} if asked is None else {"effort": asked}
        body, answer = bench.upstream(ask("hi", model=model, **fields))
        expected = None if sent is None else {"effort": sent}
        assert same(body.get("output_config"), expected), (model, body)
        assert ("effort_ignored" in answer.warnings) is warned, answer


# --- wrong fields ---------------------------------------------------------

WRONG_FIELDS: list[tuple[Obj, str]] = [
    ({"messages": []}, "messages"),
    ({"messages": "hi"}, "messages"),
    ({"messages": None}, "messages"),
    ({"messages": [5]}, r"messages\[0\]"),
    ({"messages": [{"content": "hi"}]}, r"messages\[0\]\.role"),
    ({"messages": [{"role": "tool", "content": "hi"}]}, r"messages\[0\]\.role"),
    ({"messages": [{"role": 5, "content": "hi"}]}, r"messages\[0\]\.role"),
    ({"messages": [{"role": "user"}]}, r"messages\[0\]\.content"),
    ({"messages": [{"role": "user", "content": 5}]}, r"messages\[0\]\.content"),
    (
        {"messages": USER + [{"role": "user", "content": ["x"]}]},
        r"messages\[1\]\.content\[0\]",
    ),
    (
        {"messages": [{"role": "user", "content": [{"text": "x"}]}]},
        r"messages\[0\]\.content\[0\]",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": 5}]}]},
        r"messages\[0\]\.content\[0\]",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]},
        r"messages\[0\]\.content\[0\]",
    ),
    ({"messages": [{"role": "user", "Role": "assistant", "content": ""}]},
     r"messages\[0\]\.role"),
    (
        {"messages": [*USER, {"role": "system", "content": 5}]},
        r"messages\[1\]\.content",
    ),
    (
        {"messages": [{"role": "system", "content": [{"type": "image"}]}, *USER]},
        r"messages\[0\]\.content\[0\]\.type",
    ),
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_tokens": "10"}, "max_tokens"),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"max_tokens": True}, "max_tokens"),
    ({"max_tokens": 5, "MaxTokens": 6}, "max_?tokens"),
    ({"model": 5}, "model"),
    ({"system": 5}, "system"),
    ({"system": ["x"]}, r"system\[0\]"),
    ({"system": [{"type": "image", "url": "https://x/"}]}, r"system\[0\]"),
    ({"messages": [{"role": "user", "content": " "}]}, r"messages\[0\]\.content"),
    ({"messages": [{"role": "assistant", "content": []}]}, "messages"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
        r"messages\[0\]\.content\[0\]",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image", "url": 5}]}]},
        r"messages\[0\]\.content\[0\]",
    ),
    ({"tools": {}}, "tools"),
    ({"tools": [5]}, r"tools\[0\]"),
    ({"tools": [{"description": "d"}]}, r"tools\[0\]"),
    ({"tools": [{"name": 5}]}, r"tools\[0\]"),
    ({"tools": [{"name": "f", "input_schema": "x"}]}, r"tools\[0\]"),
    ({"tools": [{"name": "f", "input_schema": {"type": "array"}}]}, r"tools\[0\]"),
    ({"tools": [{"name": "f"}, {"name": "f"}]}, r"tools\[1\]"),
    ({"tools": [{"name": "f"}], "tool_choice": "perhaps"}, "tool_choice"),
    ({"tools": [{"name": "f"}], "tool_choice": 5}, "tool_choice"),
    ({"thinking": 5}, "thinking"),
    ({"thinking": "on"}, "thinking"),
    ({"thinking": {}}, "thinking"),
    ({"thinking": {"type": "perhaps"}, "model": "MiniMax-M3"}, "thinking"),
    ({"effort": "ultra"}, "effort"),
    ({"effort": 5}, "effort"),
    ({"extra_body": 5}, "extra_body"),
    ({"extra_body": {"messages": USER}}, r"extra_body.*messages"),
    ({"extra_body": {"stream": False}}, r"extra_body.*stream"),
]


@pytest.mark.parametrize("fields, path", WRONG_FIELDS)
def test_wrong_field_is_an_invalid_request_that_names_its_path(
    bench: Bench, fields: Obj, path: str
) -> None:
    whole = dict({"type": "turn"}, **dict(ask("hi"), **fields))
    answer = bench.plugin.turn(whole)
    assert answer.code == "invalid_request"
    # The path is the first word; the pattern may leave out its last fields.
    last = r"(?:\.(?:type|text|url|name|input_schema))*"
    assert re.match(f"(?:{path}){last} ", answer.error["message"]), answer
    assert len(answer.lines) == 1 and bench.emulator.requests == []


def test_turn_without_messages_is_an_invalid_request(bench: Bench) -> None:
    answer = bench.plugin.turn({"type": "turn"})
    assert answer.code == "invalid_request"
    answer.says("messages")


# --- the system role, blanks, images ---------------------------------------


def test_system_role_is_moved_to_system_with_a_warning(bench: Bench) -> None:
    messages = [{"role": "system", "content": "be brief"}, *USER]
    body, answer = bench.upstream({"messages": messages, "system": "be kind"})
    assert same(body["messages"], USER)
    assert "be kind" in dump(body["system"]) and "be brief" in dump(body["system"])
    assert answer.warnings == ["system_role_moved"]


def test_system_role_of_blocks_is_moved_too(bench: Bench) -> None:
    content = [{"type": "text", "text": "be brief"}]
    messages = [*USER, {"role": "system", "content": content}]
    body, answer = bench.upstream({"messages": messages})
    assert same(body["messages"], USER) and "be brief" in dump(body["system"])
    assert answer.warnings == ["system_role_moved"]


def is_blank(block: object) -> bool:
    return (
        isinstance(block, dict)
        and block.get("type") == "text"
        and not str(block["text"]).strip()
    )


def check_sendable(messages: list[Obj]) -> None:
    """The rules whose breach the upstream answers with a 400."""
    assert messages
    calls: list[str] = []
    for message in messages:
        assert set(message) >= {"role", "content"}, message
        assert message["role"] in ("user", "assistant"), message
        content = message["content"]
        if isinstance(content, str):
            assert content.strip(), message
            assert not calls, "results must follow their calls"
            continue
        assert content, message
        assert not any(is_blank(block) for block in content), message
        results = [b for b in content if b["type"] == "tool_result"]
        assert content[: len(results)] == results, "results come first"
        ids = [b["tool_use_id"] for b in results]
        assert set(ids) == set(calls) and len(ids) == len(set(ids)), (ids, calls)
        for result in results:
            inner = result.get("content", "x")
            assert inner and not (isinstance(inner, str) and not inner.strip())
            assert isinstance(inner, str) or not any(is_blank(b) for b in inner)
        calls = [b["id"] for b in content if b["type"] == "tool_use"]
        assert not calls or message["role"] == "assistant"
    assert not calls, "calls without results at the end"


def block_text(string: str) -> Obj:
    return {"type": "text", "text": string}


def call(ident: str) -> Obj:
    return {"type": "tool_use", "id": ident, "name": "f", "input": {"N": 1.0}}


def result(ident: str, content: object = "done") -> Obj:
    return {"type": "tool_result", "tool_use_id": ident, "content": content}


def assistant(*content: Obj) -> Obj:
    return {"role": "assistant", "content": list(content)}


def user(*content: Obj) -> Obj:
    return {"role": "user", "content": list(content)}


def test_blank_text_blocks_are_left_out(bench: Bench) -> None:
    messages = [
        user(block_text("hi"), block_text(" \n")),
        assistant(block_text(""), block_text("there")),
        user(block_text("\t"), block_text("go on")),
    ]
    body, _ = bench.upstream({"messages": messages})
    assert same(
        body["messages"],
        [
            user(block_text("hi")),
            assistant(block_text("there")),
            user(block_text("go on")),
        ],
    )


@pytest.mark.parametrize(
    "blank",
    [assistant(block_text(" ")), assistant(), {"role": "assistant", "content": ""}],
)
def test_message_of_nothing_is_not_sent(bench: Bench, blank: Obj) -> None:
    body, _ = bench.upstream({"messages": [*USER, blank, user(block_text("more"))]})
    check_sendable(body["messages"])
    assert "more" in dump(body["messages"])


def image_turn(block: Obj, model: str = "MiniMax-M3") -> Obj:
    return {"model": model, "messages": [user(block_text("look"), block)]}


IMAGE_CASES: dict[str, tuple[Obj, Obj]] = {
    "url": (
        {"type": "image", "url": "https://example.com/a.png"},
        {"type": "url", "url": "https://example.com/a.png"},
    ),
    "url beside null": (
        {"type": "image", "source": None, "path": None, "url": "http://example.com/"},
        {"type": "url", "url": "http://example.com/"},
    ),
    "source beside null": (
        {"type": "image", "source": {"x": 1}, "url": None, "path": None,
         "data_base64": None, "media_type": None},
        {"x": 1},
    ),
    "data with type": (
        {"type": "image", "data_base64": PNG64, "media_type": "image/png"},
        {"type": "base64", "media_type": "image/png", "data": PNG64},
    ),
    "data without type": (
        {"type": "image", "data_base64": PNG64},
        {"type": "base64", "media_type": "image/png", "data": PNG64},
    ),
}


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "data_base64": base64.b64encode(b"not an image").decode()},
        {"type": "image", "data_base64": PNG64[:32] + "A" * (14 * 1024 * 1024)},
        {"type": "image", "data_base64": "\xff~~~"},
    ],
    ids=["unknown kind", "too large", "not base64"],
)
def test_image_data_that_cannot_be_sent_becomes_a_placeholder(
    bench: Bench, block: Obj
) -> None:
    body, answer = bench.upstream(image_turn(block))
    sent = body["messages"][0]["content"][1]
    assert sent["type"] == "text" and sent["text"].strip()
    assert answer.warnings == ["image_replaced"]


@pytest.mark.parametrize("name", IMAGE_CASES)
def test_image_shorthand_becomes_a_source(bench: Bench, name: str) -> None:
    block, source = IMAGE_CASES[name]
    body, answer = bench.upstream(image_turn(block))
    sent = body["messages"][0]["content"][1]
    assert sent == {"type": "image", "source": source}
    assert answer.warnings == []


@pytest.mark.parametrize("kind", IMAGES)
def test_image_path_is_read_and_its_kind_found_by_its_bytes(
    bench: Bench, kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "with a space.dat"
    path.write_bytes(IMAGES[kind])
    body, answer = bench.upstream(image_turn({"type": "image", "path": str(path)}))
    data = base64.b64encode(IMAGES[kind]).decode()
    sent = body["messages"][0]["content"][1]
    assert sent["source"] == {"type": "base64", "media_type": kind, "data": data}
    assert answer.warnings == []


def test_image_block_of_the_messages_api_goes_verbatim(bench: Bench) -> None:
    source = {"media_type": "image/png", "data": PNG64, "type": "base64", "x": 1.0}
    turn = image_turn({"type": "image", "source": source, "cache_control": {"a": 1}})
    body, answer = bench.upstream(turn)
    assert same(body["messages"], turn["messages"]) and answer.warnings == []


def bad_images(root: Path) -> dict[str, Path]:
    text, big, pipe = root / "text.png", root / "big.png", root / "pipe.png"
    text.write_text("not an image")
    with open(str(big), "wb") as file:
        file.write(PNG)
        file.truncate(10 * 1024 * 1024 + 1)
    os.mkfifo(str(pipe))
    (root / "empty.png").write_bytes(b"")
    return {
        "missing": root / "missing.png",
        "directory": root,
        "text": text,
        "too big": big,
        "pipe": pipe,
        "device": Path("/dev/zero"),
        "empty": root / "empty.png",
        "NUL": Path(str(root) + "/a\0b.png"),
    }


@pytest.mark.parametrize("name", [
    "missing", "directory", "text", "too big", "pipe", "device", "empty", "NUL",
])
def test_bad_image_path_becomes_a_visible_placeholder(
    bench: Bench, name: str, tmp_path: Path
) -> None:
    path = str(bad_images(tmp_path)[name])
    body, answer = bench.upstream(image_turn({"type": "image", "path": path}))
    sent = body["messages"][0]["content"][1]
    assert sent["type"] == "text" and sent["text"].strip()
    assert answer.warnings == ["image_replaced"]


def test_image_paths_that_are_not_allowed_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    with Emulator() as emulator, Plugin(
        emulator.base_url, {"allow_image_paths": False}
    ) as plugin:
        answer = plugin.turn(image_turn({"type": "image", "path": str(path)}))
        assert answer.warnings == ["image_replaced"]
        assert PNG64 not in dump(emulator.requests[0].json)


@pytest.mark.parametrize("block", [
    {"type": "image", "source": {"type": "base64", "media_type": "a", "data": "b"}},
    {"type": "image", "url": "https://example.com/a.png"},
])
def test_text_only_model_gets_a_placeholder_for_an_image(
    bench: Bench, block: Obj
) -> None:
    turn = image_turn(block, "MiniMax-M2.1")
    turn["messages"] += [assistant(call("c")), user(result("c", [block]))]
    bench.emulator.queue.append(respond(words("ok", "MiniMax-M2.1")))
    body, answer = bench.upstream(turn)
    assert '"image"' not in dump(body["messages"])
    assert body["messages"][0]["content"][1]["type"] == "text"
    assert body["messages"][2]["content"][0]["content"][0]["type"] == "text"
    assert set(answer.warnings) == {"image_replaced"}


# --- history repair ---------------------------------------------------------

SOUND_HISTORIES = {
    "strings": [*USER, {"role": "assistant", "content": "a"}, *USER],
    "one call": [*USER, assistant(call("1")), user(result("1"))],
    "two calls": [
        *USER, assistant(call("1"), call("2")), user(result("1"), result("2")),
    ],
    "results in another order": [
        *USER, assistant(call("1"), call("2")), user(result("2"), result("1")),
    ],
    "text after results": [
        *USER, assistant(call("1")), user(result("1"), block_text("and?")),
    ],
    "blocks everywhere": [
        *USER,
        assistant(
            {"type": "thinking", "thinking": "", "signature": "s"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "new_kind", "Deep": {"a": [1, 1.0, None]}},
            call("1"),
        ),
        user(dict(result("1", [block_text("x")]), is_error=True, extra=2 ** 70)),
    ],
    "thinking kept in a loop": [
        *USER,
        assistant({"type": "thinking", "thinking": "t", "signature": "s"}, call("1")),
        user(result("1")),
        assistant({"type": "thinking", "thinking": "u", "signature": "v"}, call("2")),
        user(result("2")),
    ],
    "same speaker twice": [*USER, *USER, assistant(block_text("a")), *USER],
    "result without content": [
        *USER, assistant(call("1")), user({"type": "tool_result", "tool_use_id": "1"}),
    ],
}


@pytest.mark.parametrize("name", SOUND_HISTORIES)
def test_sound_history_goes_out_as_it_came_in(bench: Bench, name: str) -> None:
    messages = SOUND_HISTORIES[name]
    body, answer = bench.upstream({"messages": messages})
    assert same(body["messages"], messages)
    assert answer.warnings == []


def test_blank_message_parts_no_call_from_its_result(bench: Bench) -> None:
    before, after = [*USER, assistant(call("1"))], [user(result("1"))]
    blank = [{"role": role, "content": " "} for role in ("user", "assistant")]
    body, answer = bench.upstream({"messages": [*before, *blank, *after]})
    assert same(body["messages"], before + after)
    assert answer.warnings == []


class Repair(NamedTuple):
    messages: list[Obj]
    present: Sequence[Obj] = ()
    absent: Sequence[str] = ()
    repairs: int = 1


REPAIRS: dict[str, Repair] = {
    "missing result": Repair(
        [*USER, assistant(call("1")), user(block_text("well?"))], [block_text("well?")]
    ),
    "missing result, string follows": Repair([*USER, assistant(call("1")), *USER]),
    "missing result at the end": Repair([*USER, assistant(call("1"))]),
    "one of two missing": Repair(
        [*USER, assistant(call("1"), call("2")), user(result("2"))], [result("2")]
    ),
    "both missing": Repair([*USER, assistant(call("1"), call("2")), *USER], repairs=2),
    "assistant follows at once": Repair(
        [*USER, assistant(call("1")), assistant(block_text("a")), *USER], repairs=2
    ),
    "orphan result": Repair(
        [
            *USER,
            assistant(block_text("a")),
            user(result("9", "ORPHAN"), block_text("b")),
        ],
        [block_text("b")],
        ["ORPHAN"],
    ),
    "orphan beside a good one": Repair(
        [*USER, assistant(call("1")), user(result("9", "ORPHAN"), result("1"))],
        [result("1")],
        ["ORPHAN"],
    ),
    "duplicate result": Repair(
        [*USER, assistant(call("1")), user(result("1"), result("1"))], [result("1")]
    ),
    "result after text": Repair(
        [*USER, assistant(call("1")), user(block_text("b"), result("1"))],
        [result("1"), block_text("b")],
    ),
    "results in messages of their own": Repair(
        [*USER, assistant(call("1"), call("2")), user(result("1")), user(result("2"))],
        [result("1"), result("2")],
    ),
    "result from the assistant": Repair(
        [*USER, assistant(block_text("a"), result("9", "ORPHAN")), *USER],
        [block_text("a")],
        ["ORPHAN"],
    ),
    "call from the user": Repair(
        [*USER, assistant(block_text("a")), user(call("ORPHAN"), block_text("b"))],
        [block_text("b")],
        ["ORPHAN"],
    ),
    "call without input": Repair(
        [
            *USER,
            assistant({"type": "tool_use", "id": "1", "name": "f"}),
            user(result("1")),
        ],
        [result("1")],
    ),
    "history that starts with a result": Repair(
        [
            user(result("1", "ORPHAN"), block_text("b")),
            assistant(block_text("a")),
            *USER,
        ],
        [block_text("b")],
        ["ORPHAN"],
    ),
}


@pytest.mark.parametrize("name", REPAIRS)
def test_broken_history_is_repaired_with_a_warning_each(
    bench: Bench, name: str
) -> None:
    repair = REPAIRS[name]
    body, answer = bench.upstream({"messages": repair.messages})
    check_sendable(body["messages"])
    assert answer.warnings == ["history_repaired"] * repair.repairs, answer
    sent = dump(body["messages"])
    for block in repair.present:
        assert dump(block) in sent, block
    for marker in repair.absent:
        assert marker not in sent


def test_synthesised_result_is_flagged_as_an_error(bench: Bench) -> None:
    body, _ = bench.upstream({"messages": [*USER, assistant(call("1")), *USER]})
    first = body["messages"][2]["content"][0]
    assert (first["type"], first["tool_use_id"]) == ("tool_result", "1")
    assert first["is_error"] is True


@pytest.mark.parametrize("content", ["", "  ", [], [block_text(" ")], None])
def test_blank_tool_result_is_never_sent(bench: Bench, content: object) -> None:
    messages = [*USER, assistant(call("1")), user(result("1", content))]
    body, _ = bench.upstream({"messages": messages})
    check_sendable(body["messages"])


@pytest.mark.parametrize("value", ["x", [1], 5])
def test_tool_input_that_is_no_object_is_never_sent(
    bench: Bench, value: object
) -> None:
    bad = dict(call("1"), input=value)
    answer = bench.ask({"messages": [*USER, assistant(bad), user(result("1"))]})
    if answer.end["type"] == "error":
        assert answer.code == "invalid_request"
        answer.says(r"messages\[1\]\.content\[0\]")
    else:
        sent = bench.emulator.requests[-1].json["messages"]
        assert all(
            isinstance(block["input"], dict)
            for message in sent
            if isinstance(message["content"], list)
            for block in message["content"]
            if block["type"] == "tool_use"
        )


def histories() -> st.SearchStrategy[list[Obj]]:
    ids = st.sampled_from(["1", "2", "3", "4"])
    said = st.sampled_from(["a", "b", " ", ""]).map(block_text)
    calls = st.lists(st.one_of(said, ids.map(call)), max_size=4)
    results = st.lists(st.one_of(said, ids.map(result)), max_size=4)
    message = st.one_of(
        calls.map(lambda blocks: assistant(*blocks)),
        results.map(lambda blocks: user(*blocks)),
        st.just(USER[0]),
    )
    return st.lists(message, max_size=6).map(lambda tail: [*USER, *tail])


@PROPERTY
@given(messages=histories())
def test_whatever_the_history_the_request_is_sendable(
    long_bench: Bench, messages: list[Obj]
) -> None:
    bench = long_bench
    bench.emulator.reset()
    answer = bench.ask({"messages": messages})
    if answer.end["type"] == "error":
        assert answer.code == "invalid_request"
        return
    sent = bench.emulator.requests[-1].json["messages"]
    check_sendable(sent)
    if "history_repaired" not in answer.warnings:
        blanks_out = [
            dict(m, content=[b for b in m["content"] if not is_blank(b)])
            if isinstance(m["content"], list)
            else m
            for m in messages
        ]
        assert same(sent, [m for m in blanks_out if m["content"]])


def test_history_of_many_calls_is_paired_in_linear_work() -> None:
    def pair(count: int) -> None:
        calls = [call(Compared(n)) for n in range(count)]
        results = [result(Compared(n)) for n in range(0, count, 2)]
        messages = [*USER, assistant(*calls), user(*results), *USER]
        _, warnings = provider.build_request({"messages": messages})
        assert len(warnings) == count // 2

    check_linear(pair)


def test_history_repaired_once_needs_no_second_repair(bench: Bench) -> None:
    for repair in REPAIRS.values():
        body, _ = bench.upstream({"messages": repair.messages})
        again, answer = bench.upstream({"messages": body["messages"]})
        assert same(again["messages"], body["messages"])
        assert answer.warnings == []


# --- numbers and depths -----------------------------------------------------


def test_numbers_of_any_kind_go_upstream_unchanged(bench: Bench) -> None:
    numbers = [2**53 + 1, -(10**400), 1.0, -0.0, 1e308, 5e-324, 0.1, 10**4299]
    block = dict(call("1"), input={"n": numbers, "": None, "\0": True})
    messages = [*USER, assistant(block), user(result("1"))]
    body, _ = bench.upstream({"messages": messages})
    assert same(body["messages"], messages)


@pytest.mark.parametrize("number", ["1" * 4301, "-" + "1" * 5000])
def test_integer_of_too_many_digits_is_refused(bench: Bench, number: str) -> None:
    bench.plugin.write(
        b'{"id":"big","messages":[{"role":"user","content":"hi"}],'
        b'"metadata":{"n":%s}}\n' % number.encode()
    )
    bench.plugin.ping()
    named = [li for li in bench.plugin.lines if li.get("id") == "big"]
    lines = named or bench.plugin.loose()
    assert lines[-1]["error"]["code"] in ("invalid_json", "invalid_request")
    assert bench.emulator.requests == []


@pytest.mark.parametrize("depth, is_fine", [(480, True), (481, False)])
def test_nesting_that_is_accepted_can_be_posted_back(
    bench: Bench, depth: int, is_fine: bool
) -> None:
    """Of a call's input, and of a whole event."""
    deep = {"a": json.loads("[" * (depth - 1) + "0" + "]" * (depth - 1))}
    shallow = {"a": json.loads("[" * (depth - 2) + "0" + "]" * (depth - 2))}
    call_ = tool_stream(json.dumps(deep))
    block = sse(started(), opened(0, "new_kind", **shallow), *TAIL)
    for data, content in (
        (call_, dict(A_CALL, input=deep)),
        (block, dict({"type": "new_kind"}, **shallow)),
    ):
        answer = bench.stream(data)
        if not is_fine:
            assert answer.code == "protocol"
            continue
        assert same(answer.content, [content])
        results = [result("call_function_0")] if "id" in content else []
        turn = [*USER, answer.end["message"], user(*results, block_text("on"))]
        body, back = bench.upstream({"messages": turn})
        assert same(body["messages"], turn) and back.warnings == []


# =====================================================================
# Events
# =====================================================================


class Ends(NamedTuple):
    """How a stream that succeeds ends."""

    content: list[Obj]
    stop: str = "end_turn"
    warnings: Sequence[str] = ()
    usage: Obj | None = None


class Fails(NamedTuple):
    """How a stream that does not succeed ends."""

    code: str
    partial: list[Obj] | None = None


A_TEXT = block_text("Hello")
A_CALL = {"type": "tool_use", "id": "call_function_0", "name": "glob"}
TAIL = (closed(0), stopping(), STOP)
BIG = 2**70 + 1


def tool_stream(*fragments: str, reason: str = "tool_use") -> bytes:
    pieces = [partial_json(0, fragment) for fragment in fragments]
    head = (started(), opened(0, "tool_use"))
    return sse(*head, *pieces, closed(0), stopping(reason), STOP)


def a_text(*deltas: str) -> bytes:
    return sse(started(), opened(0), *[text(0, d) for d in deltas], *TAIL)


ODD_INPUTS: list[Any] = [["x", 1], "x", "", 5, 1.0, None, True]

TRANSLATOR_CASES: dict[str, tuple[bytes, Ends | Fails]] = {
    "rich": (RICH.data, Ends(RICH.content, "tool_use")),
    "pings and unknown events": (
        sse(PING, started(), PING, {"type": "new_event", "x": 1}, opened(0), PING,
            text(0, "Hello"), PING, *TAIL, PING),
        Ends([A_TEXT]),
    ),
    "no event lines": (
        b"".join(
            frame(json.dumps(p))
            for p in (started(), opened(0), text(0, "Hello"), *TAIL)
        ),
        Ends([A_TEXT]),
    ),
    "CRLF": (words("Hello").replace(b"\n", b"\r\n"), Ends([A_TEXT])),
    "comments": (b": hi\n" + words("Hello").replace(b"\n\n", b"\n\n: hi\n\n"),
                 Ends([A_TEXT])),
    "last frame without newline": (words("Hello").rstrip(b"\n"), Ends([A_TEXT])),
    "stop reason is the last frame, without newline": (
        sse(started(), opened(0), text(0, "Hello"), closed(0),
            sse(stopping()).rstrip(b"\n")),
        Ends([A_TEXT]),
    ),
    "no message_stop": (
        sse(started(), opened(0), text(0, "Hello"), closed(0), stopping()),
        Ends([A_TEXT]),
    ),
    "no stop reason, text": (
        sse(started(), opened(0), text(0, "Hello"), closed(0), STOP), Ends([A_TEXT]),
    ),
    "empty stop reason, text": (
        sse(started(), opened(0), text(0, "Hello"), closed(0), stopping(""), STOP),
        Ends([A_TEXT]),
    ),
    "null stop reason, tool": (
        sse(started(), opened(0, "tool_use"), closed(0), stopping(None), STOP),
        Ends([dict(A_CALL, input={})], "tool_use"),
    ),
    "empty stop reason, tool": (
        tool_stream('{"a": 1}', reason=""),
        Ends([dict(A_CALL, input={"a": 1})], "tool_use"),
    ),
    "new stop reason": (
        sse(started(), opened(0), text(0, "Hello"), closed(0), stopping("paused"),
            STOP),
        Ends([A_TEXT], "paused"),
    ),
    "stop reason and no content": (
        sse(started(), stopping("end_turn"), STOP), Ends([], "end_turn"),
    ),
    "refusal without content": (
        sse(started(), stopping("refusal"), STOP), Ends([], "refusal"),
    ),
    "start, ping, stop": (sse(started(), PING, STOP), Fails("empty_response")),
    "empty stop reason and no content": (
        sse(started(), stopping(""), STOP), Fails("empty_response"),
    ),
    "text at block start": (
        sse(started(), opened(0, text="Hel"), text(0, "lo"), *TAIL), Ends([A_TEXT]),
    ),
    "text block without text": (
        sse(started(), opened(0, text=None), closed(0),
            {"type": "content_block_start", "index": 1,
             "content_block": {"type": "text"}}, closed(1), stopping(), STOP),
        Ends([block_text(""), block_text("")]),
    ),
    "thinking at block start": (
        sse(started(), opened(0, "thinking", thinking="Hm", signature="ab"),
            thinking(0, "m"), signature(0, "cd"), *TAIL),
        Ends([{"type": "thinking", "thinking": "Hmm", "signature": "abcd"}]),
    ),
    "signature in several deltas": (
        sse(started(), opened(0, "thinking"), thinking(0, "H"), signature(0, "ab"),
            signature(0, "cd"), signature(0, "ef"), *TAIL),
        Ends([{"type": "thinking", "thinking": "H", "signature": "abcdef"}]),
    ),
    "signature missing": (
        sse(started(), opened(0, "thinking"), thinking(0, "H"), closed(0), opened(1),
            text(1, "Hello"), closed(1), stopping(), STOP),
        Ends([{"type": "thinking", "thinking": "H"}, A_TEXT]),
    ),
    "redacted thinking": (
        sse(started(), opened(0, "redacted_thinking", data="x" * 50, n=BIG), *TAIL),
        Ends([{"type": "redacted_thinking", "data": "x" * 50, "n": BIG}]),
    ),
    "unknown kind": (
        sse(started(), opened(0, "new_kind", z={"b": [1.0, None], "a": BIG}), *TAIL),
        Ends([{"type": "new_kind", "z": {"b": [1.0, None], "a": BIG}}]),
    ),
    "unknown kind with known deltas": (
        sse(started(), opened(0, "new_kind", text="a", input={}), text(0, "b"),
            partial_json(0, '{"x": 1.0}'), *TAIL),
        Ends([{"type": "new_kind", "text": "ab", "input": {"x": 1.0}}]),
    ),
    "citations": (
        sse(started(), opened(0, citations=[{"n": 1.0}]), text(0, "Hello"),
            delta(0, "citations_delta", citation={"n": 2}),
            delta(0, "citations_delta", citation="3"), *TAIL),
        Ends([dict(A_TEXT, citations=[{"n": 1.0}, {"n": 2}, "3"])]),
    ),
    "citations of a block that had none": (
        sse(started(), opened(0, citations=None), text(0, "Hello"),
            delta(0, "citations_delta", citation={"n": 2}), *TAIL),
        Ends([dict(A_TEXT, citations=[{"n": 2}])]),
    ),
    "server tool with input at start": (
        sse(started(), opened(0, "server_tool_use", id="s", input={"q": [BIG]}), *TAIL),
        Ends([{"type": "server_tool_use", "id": "s", "input": {"q": [BIG]}}]),
    ),
    "unknown kinds with an input that is no object": (
        sse(started(), *[
            event
            for n, value in enumerate(ODD_INPUTS)
            for event in (opened(n, "new_kind", input=value), closed(n))
        ], stopping(), STOP),
        Ends([{"type": "new_kind", "input": value} for value in ODD_INPUTS]),
    ),
    "unknown delta": (
        sse(started(), opened(0), text(0, "Hel"), delta(0, "new_delta", x=1),
            text(0, "lo"), *TAIL),
        Ends([A_TEXT], warnings=["unknown_delta"]),
    ),
    "extra fields in blocks": (
        sse(started(), opened(0, cache={"A": 1.0}), text(0, "Hello"), *TAIL),
        Ends([{"type": "text", "text": "Hello", "cache": {"A": 1.0}}]),
    ),
    "tool input at block start": (
        sse(started(), opened(0, "tool_use", input={"a": 1.0, "b": BIG}), closed(0),
            stopping("tool_use"), STOP),
        Ends([dict(A_CALL, input={"a": 1.0, "b": BIG})], "tool_use"),
    ),
    "tool without any input": (
        tool_stream(""), Ends([dict(A_CALL, input={})], "tool_use"),
    ),
    "tool input in bits": (
        tool_stream(*'{"a": "\\u00e9\\ud83d\\ude00", "b": [1e3, -0.0]}'),
        Ends([dict(A_CALL, input={"a": "é😀", "b": [1000.0, -0.0]})], "tool_use"),
    ),
    "white space around tool input": (
        tool_stream(" \n{", '"a": 1}\r\n '),
        Ends([dict(A_CALL, input={"a": 1})], "tool_use"),
    ),
    "raw control characters in tool input": (
        tool_stream('{"a": "x\ny\tz', '\x01"}'),
        Ends([dict(A_CALL, input={"a": "x\ny\tz\x01"})], "tool_use"),
    ),
    "control characters between tokens are no fault": (
        tool_stream('{\n\t"a":\r1}'),
        Ends([dict(A_CALL, input={"a": 1})], "tool_use"),
    ),
    "interleaved blocks": (
        sse(started(), opened(0), opened(1, "tool_use"), text(0, "Hel"),
            partial_json(1, '{"a"'), text(0, "lo"), partial_json(1, ": 1}"), closed(1),
            closed(0), stopping("tool_use"), STOP),
        Ends([A_TEXT, dict(A_CALL, id="call_function_1", input={"a": 1})], "tool_use"),
    ),
    "gapped indexes": (
        sse(started(), opened(3), text(3, "Hello"), closed(3), opened(7), text(7, "!"),
            closed(7), stopping(), STOP),
        Ends([A_TEXT, block_text("!")]),
    ),
    "indexes that fall": (
        sse(started(), opened(5), text(5, "Hello"), closed(5), opened(2), text(2, "!"),
            closed(2), stopping(), STOP),
        Ends([A_TEXT, block_text("!")]),
    ),
    "content in message_start": (
        sse(started(content=[A_TEXT]), stopping(), STOP), Ends([A_TEXT]),
    ),
    "index used again": (
        sse(started(), opened(0), text(0, "Hello"), closed(0), opened(0), text(0, "!"),
            *TAIL),
        Ends([A_TEXT, block_text("!")]),
    ),
    "stop of a block that never was": (
        sse(started(), closed(4), opened(0), text(0, "Hello"), *TAIL), Ends([A_TEXT]),
    ),
    "end of the OpenAI kind": (words("Hello") + b"data: [DONE]\n\n", Ends([A_TEXT])),
    "delta that does not fit its block": (
        sse(started(), opened(0), text(0, "Hello"), partial_json(0, "{}"), *TAIL),
        Ends([A_TEXT], warnings=["unknown_delta"]),
    ),
    "delta without content": (
        sse(started(), opened(0), delta(0, "text_delta"), text(0, "Hello"), *TAIL),
        Ends([A_TEXT]),
    ),
    "text before its block": (
        sse(started(), text(0, "Hel"), text(0, "lo"), *TAIL), Ends([A_TEXT]),
    ),
    "thinking before its block": (
        sse(started(), thinking(0, "H"), signature(0, "s"), closed(0), text(1, "Hello"),
            closed(1), stopping(), STOP),
        Ends([{"type": "thinking", "thinking": "H", "signature": "s"}, A_TEXT]),
    ),
    "text without content_block_stop": (
        sse(started(), opened(0), text(0, "Hello"), stopping(), STOP), Ends([A_TEXT]),
    ),
    "second message_start of the same message": (
        sse(started(), opened(0), text(0, "Hel"), started(), text(0, "lo"), *TAIL),
        Ends([A_TEXT]),
    ),
    "second message_start of another": (
        sse(started(), opened(0), text(0, "Hel"), started(ident="f" * 32),
            text(0, "lo"), *TAIL),
        Fails("protocol", [block_text("Hel")]),
    ),
    "blank text is kept for the host": (
        a_text(" \n"), Ends([block_text(" \n")]),
    ),
    "surrogate pair cut in two": (
        a_text("Hello\ud83d", "\ude00!"), Ends([block_text("Hello😀!")]),
    ),
    "lone surrogates": (
        a_text("\ude00a\ud83d", "b\ud83d"), Ends([block_text("\ude00a\ud83db\ud83d")]),
    ),
    "surrogate pair cut in thinking": (
        sse(started(), opened(0, "thinking"), thinking(0, "\ud83d"),
            thinking(0, "\ude00"), *TAIL),
        Ends([{"type": "thinking", "thinking": "😀"}]),
    ),
    # the end marker
    "end marker": (a_text("Hello[e~["), Ends([A_TEXT])),
    "end marker in bits": (a_text("Hel", "lo", "[", "e", "~", "["), Ends([A_TEXT])),
    "end marker, no block stop": (
        sse(started(), opened(0), text(0, "Hello[e"), text(0, "~["), stopping(), STOP),
        Ends([A_TEXT]),
    ),
    "end marker at block start": (
        sse(started(), opened(0, text="Hello[e~["), *TAIL), Ends([A_TEXT]),
    ),
    "half an end marker": (a_text("Hello[e", "~"), Ends([block_text("Hello[e~")])),
    "end marker in the middle": (
        a_text("a[e~[", "b"), Ends([block_text("a[e~[b")]),
    ),
    "brackets before the end marker": (
        a_text("a[[e~[e~[e~["), Ends([block_text("a[[e~[e~")]),
    ),
    "end marker of a text that is not the last block": (
        sse(started(), opened(0), text(0, "a[e~["), closed(0), opened(1, "tool_use"),
            closed(1), stopping("tool_use"), STOP),
        Ends([block_text("a[e~["), dict(A_CALL, id="call_function_1", input={})],
             "tool_use"),
    ),
    "end marker in the first of two texts": (
        sse(started(), opened(0), text(0, "a[e~["), closed(0), opened(1),
            text(1, "b[e~["), closed(1), stopping(), STOP),
        Ends([block_text("a[e~["), block_text("b")]),
    ),
    "end marker, then a ping": (
        sse(started(), opened(0), text(0, "Hello[e~["), PING, closed(0), PING,
            stopping(), PING, STOP),
        Ends([A_TEXT]),
    ),
    "end marker alone": (a_text("[e~["), Ends([block_text("")])),
    "half an end marker before a call": (
        sse(started(), opened(0), text(0, "a[e~"), closed(0), opened(1, "tool_use"),
            closed(1), stopping("tool_use"), STOP),
        Ends([block_text("a[e~"), dict(A_CALL, id="call_function_1", input={})],
             "tool_use"),
    ),
    "end marker cut in two by a call": (
        sse(started(), opened(0), opened(1, "tool_use"), text(0, "a[e"), closed(1),
            text(0, "~["), closed(0), stopping("tool_use"), STOP),
        Ends([block_text("a[e~["), dict(A_CALL, id="call_function_1", input={})],
             "tool_use"),
    ),
    "end marker, then the stream is cut": (
        sse(started(), opened(0), text(0, "a[e~")),
        Fails("stream_cut", [block_text("a[e~")]),
    ),
    "end marker in thinking": (
        sse(started(), opened(0, "thinking"), thinking(0, "a[e~["), *TAIL),
        Ends([{"type": "thinking", "thinking": "a[e~["}]),
    ),
    # what is worth a warning
    "tool markup": (
        a_text("<minimax:tool", "_call>x</minimax:tool_call>"),
        Ends([block_text("<minimax:tool_call>x</minimax:tool_call>")],
             warnings=["tool_markup_in_text"]),
    ),
    "tool markup twice": (
        sse(started(), opened(0), text(0, "<minimax:tool_call>"), closed(0), opened(1),
            text(1, "<minimax:tool_call>"), closed(1), stopping(), STOP),
        Ends([block_text("<minimax:tool_call>")] * 2,
             warnings=["tool_markup_in_text"]),
    ),
    "tool markup in thinking": (
        sse(started(), opened(0, "thinking"), thinking(0, "<minimax:tool_call>"),
            *TAIL),
        Ends([{"type": "thinking", "thinking": "<minimax:tool_call>"}]),
    ),
    "other tool markup": (
        a_text("a ]<]mini", "max[>[ b"),
        Ends([block_text("a ]<]minimax[>[ b")], warnings=["tool_markup_in_text"]),
    ),
    "thinking used all tokens": (
        sse(started(), opened(0, "thinking"), thinking(0, "H"), closed(0),
            stopping("max_tokens"), STOP),
        Ends([{"type": "thinking", "thinking": "H"}], "max_tokens",
             ["thinking_used_all_tokens"]),
    ),
    "max_tokens with text is no surprise": (
        sse(started(), opened(0), text(0, "Hello"), closed(0), stopping("max_tokens"),
            STOP),
        Ends([A_TEXT], "max_tokens"),
    ),
    "max_tokens inside a tool call": (
        sse(started(), opened(0), text(0, "Hello"), closed(0), opened(1, "tool_use"),
            partial_json(1, '{"a": 10'), closed(1), stopping("max_tokens"), STOP),
        Ends([A_TEXT], "max_tokens"),
    ),
    # usage: the last value of each field that is not null
    "usage": (
        sse(
            started(
                usage={"input_tokens": 5, "output_tokens": 1, "cache": 3, "n": None}
            ),
            opened(0), text(0, "Hello"), closed(0),
            stopping(usage={"input_tokens": None, "output_tokens": 9, "extra": 1.0}),
            STOP,
        ),
        Ends([A_TEXT], usage={"input_tokens": 5, "output_tokens": 9, "cache": 3,
                              "extra": 1.0}),
    ),
    "usage only at the start": (
        sse(started(usage={"input_tokens": 5, "output_tokens": 1}), opened(0),
            text(0, "Hello"), closed(0),
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, STOP),
        Ends([A_TEXT], usage={"input_tokens": 5, "output_tokens": 1}),
    ),
    "usage null": (
        sse(started(usage=None), opened(0), text(0, "Hello"), closed(0),
            stopping(usage=None), STOP),
        Ends([A_TEXT]),
    ),
    "usage twice": (
        sse(started(usage={"input_tokens": 5}), opened(0), text(0, "Hello"), closed(0),
            stopping(None, usage={"input_tokens": 7, "output_tokens": 2}),
            stopping(usage={"output_tokens": 4}), STOP),
        Ends([A_TEXT], usage={"input_tokens": 7, "output_tokens": 4}),
    ),
    # the stream ends too early, or breaks the order
    "nothing at all": (b"", Fails("empty_response|stream_cut|protocol")),
    "only pings": (sse(PING, PING), Fails("empty_response|stream_cut")),
    "ends after start": (sse(started()), Fails("stream_cut")),
    "ends inside text": (
        sse(started(), opened(0), text(0, "Hello")), Fails("stream_cut", [A_TEXT]),
    ),
    "ends inside a surrogate pair": (
        sse(started(), opened(0), text(0, "Hello\ud83d")),
        Fails("stream_cut", [A_TEXT]),
    ),
    "ends inside the first character": (
        sse(started(), opened(0), text(0, "\ud83d")), Fails("stream_cut"),
    ),
    "ends after a whole block": (
        sse(started(), opened(0), text(0, "Hello"), closed(0)),
        Fails("stream_cut", [A_TEXT]),
    ),
    "ends inside tool input": (
        sse(started(), opened(0), text(0, "Hello"), closed(0), opened(1, "tool_use"),
            partial_json(1, '{"amount": 100}')),
        Fails("stream_cut", [A_TEXT]),
    ),
    "ends inside thinking": (
        sse(started(), opened(0, "thinking"), thinking(0, "Hello")),
        Fails("stream_cut"),
    ),
    "tool never closed, reason tool_use": (
        sse(started(), opened(0, "tool_use"), partial_json(0, '{"a": 1'),
            stopping("tool_use"), STOP),
        Fails("protocol"),
    ),
    "data that is not JSON": (
        sse(started(), opened(0), text(0, "Hello"), b"data: {oops\n\n", *TAIL),
        Fails("protocol", [A_TEXT]),
    ),
    "data that is no object": (
        sse(started(), opened(0), text(0, "Hello"), b"data: [1]\n\n", *TAIL),
        Fails("protocol", [A_TEXT]),
    ),
    "NaN in a known block": (
        sse(started(), b'data: {"type":"content_block_start","index":0,'
            b'"content_block":{"type":"new","x":NaN}}\n\n', *TAIL),
        Fails("protocol"),
    ),
    "infinity in a known block": (
        sse(started(), b'data: {"type":"content_block_start","index":0,'
            b'"content_block":{"type":"new","x":1e999}}\n\n', *TAIL),
        Fails("protocol"),
    ),
    "content after the end of its block": (
        sse(started(), opened(0), text(0, "Hello"), closed(0), text(0, "!"), *TAIL),
        Fails("protocol", [A_TEXT]),
    ),
    "text that is no string": (
        sse(started(), opened(0, text=5), *TAIL), Fails("protocol"),
    ),
    "delta that is no string": (
        sse(started(), opened(0), text(0, "Hello"), delta(0, "text_delta", text=5),
            *TAIL),
        Fails("protocol", [A_TEXT]),
    ),
    "delta without index": (
        sse(started(), opened(0), {"type": "content_block_delta", "delta": {
            "type": "text_delta", "text": "a"}}, *TAIL),
        Fails("protocol"),
    ),
    "block without type": (
        sse(started(), {"type": "content_block_start", "index": 0,
                        "content_block": {"text": "a"}}, *TAIL),
        Fails("protocol"),
    ),
    "call without a name": (
        sse(started(), opened(0, "tool_use", name=""), closed(0), stopping("tool_use"),
            STOP),
        Fails("protocol"),
    ),
    "nesting beyond any parser": (
        sse(started(), b"data: " + b"[" * 100000 + b"\n\n", *TAIL), Fails("protocol"),
    ),
}


def check_outcome(answer: Answer, expected: Ends | Fails) -> None:
    if isinstance(expected, Fails):
        assert re.fullmatch(expected.code, answer.code), answer
        partial = answer.end["partial"]
        assert same(partial and partial["content"], expected.partial), answer
        return
    assert same(answer.content, expected.content), answer
    assert answer.end["stop_reason"] == expected.stop, answer
    assert answer.warnings == list(expected.warnings), answer
    if expected.usage is not None:
        usage = {k: v for k, v in answer.end["usage"].items() if v is not None}
        assert usage == expected.usage, answer


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("name", TRANSLATOR_CASES)
def test_stream_becomes_events(bench: Bench, name: str, how: str) -> None:
    data, expected = TRANSLATOR_CASES[name]
    if len(data) > 50000 and how == "bytes":
        how = "random"
    check_outcome(bench.stream(*cut(data, how)), expected)


def test_message_id_model_and_request_id_are_reported(bench: Bench) -> None:
    answer = bench.stream(OK, headers=["minimax-request-id: req-77"])
    assert answer.end["message_id"] == "0" * 31 + "1"
    assert answer.end["model"] == "MiniMax-M3"
    assert answer.end["request_id"] == "req-77"
    timing = answer.end["timing"]
    assert timing["attempts"] == 1
    assert 0 <= timing["first_event_ms"] <= timing["total_ms"]
    [start] = answer.of("turn_start")
    assert (start["model"], start["message_id"]) == ("MiniMax-M3", "0" * 31 + "1")


def test_upstream_pings_are_heartbeats_but_not_each(bench: Bench) -> None:
    begun = time.monotonic()
    answer = bench.stream(sse(started()) + sse(PING) * 500, OK.split(b"\n\n", 1)[1])
    most = 2 + (time.monotonic() - begun) / 5
    assert 1 <= len(answer.of("heartbeat")) <= most


def test_max_tokens_warning_gives_the_remedy(bench: Bench) -> None:
    data, _ = TRANSLATOR_CASES["thinking used all tokens"]
    [warning] = bench.stream(data).of("warning")
    assert "max_tokens" in warning["text"]


def test_half_a_pair_at_a_cut_is_told_nowhere(bench: Bench) -> None:
    answer = bench.stream(sse(started(), opened(0), text(0, "Hello\ud83d")))
    assert [line["text"] for line in answer.of("text_delta")] == ["Hello"]


@pytest.mark.parametrize("payloads, told", [
    ([opened(0), text(0, "a[e~[")], ["a"]),
    ([opened(0), text(0, "a["), text(0, "b")], ["a", "[b"]),
    ([opened(0), text(0, "a\ud83d")], ["a"]),
    ([opened(0), text(0, "a~")], ["a~"]),
    ([opened(0, "thinking"), thinking(0, "a[e~[")], ["a[e~["]),
    ([opened(0), opened(1), text(0, "a[e~[")], ["a[e~["]),
    ([opened(0), text(0, "a[e"), opened(1)], ["a", "[e"]),
    ([opened(0, "new_kind"), text(0, "a[e~[")], ["a[e~["]),
])
def test_only_what_could_be_an_end_marker_or_half_a_pair_waits(
    payloads: list[Obj], told: list[str]
) -> None:
    translator = provider.EventTranslator()
    events = [e for p in (started(), *payloads) for e in translator.translate(p)]
    assert [event["text"] for event in events if "text" in event] == told


def test_end_marker_stays_in_a_block_that_is_not_the_last(bench: Bench) -> None:
    given = [block_text("a[e~["), block_text("b[e~[")]
    begun = started()
    begun["message"]["content"] = given
    answer = bench.stream(sse(begun, stopping(), STOP))
    assert same(answer.content, [block_text("a[e~["), block_text("b")])


def test_many_open_blocks_are_linear_work() -> None:
    def stream(count: int) -> None:
        translator = provider.EventTranslator()
        payloads = [started(), *map(opened, range(count)), stopping(), STOP]
        events = [event for p in payloads for event in translator.translate(p)]
        assert len(events) == 1 + count
        assert len(list(translator.conclude())) == count

    check_linear(stream, 100)


BAD_INPUTS = {
    "cut in a number": '{"amount": 100',
    "cut in a string": '{"a": "b',
    "cut in a literal": '{"a": tru',
    "cut after a comma": '{"a": 1,',
    "unfinished number": '{"a": 1.}',
    "leading zero": '{"a": 01}',
    "garbage after": '{"a": 1} x',
    "two objects": '{"a": 1}{"b": 2}',
    "single quotes": "{'a': 1}",
    "trailing comma": '{"a": 1,}',
    "comment": '{"a": 1 /* b */}',
    "unquoted key": "{a: 1}",
    "python literals": '{"a": None}',
    "NaN": '{"a": NaN}',
    "infinity": '{"a": -Infinity}',
    "overflow": '{"a": 1e999}',
    "array": "[1]",
    "null": "null",
    "string": '"x"',
    "number": "5",
    "too many digits": '{"a": %s}' % ("9" * 5000),
    "too deep": '{"a": ' * 100000,
    "raw control character and garbage": '{"a": "\n"} x',
    "BOM": '\ufeff{"a": 1}',
    "no-break space": '\xa0{"a": 1}',
    "fullwidth digits": '{"a": \uff11}',
    "bad escape": '{"a": "\\x41"}',
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_tool_input_is_a_protocol_error_and_no_call(
    bench: Bench, name: str
) -> None:
    raw = BAD_INPUTS[name]
    answer = bench.stream(tool_stream(raw[: len(raw) // 2], raw[len(raw) // 2 :]))
    assert answer.code == "protocol" and answer.end["partial"] is None
    [end] = answer.of("block_end")
    assert end["incomplete"] is True and end["input_json"] == raw
    assert "input" not in end["block"] and end["block"]["name"] == "glob"


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_tool_input_at_another_stop_reason_is_left_out(
    bench: Bench, name: str
) -> None:
    answer = bench.stream(tool_stream(BAD_INPUTS[name], reason="max_tokens"))
    assert answer.end["stop_reason"] == "max_tokens" and answer.content == []


def test_integer_of_4300_digits_in_tool_input_is_exact(bench: Bench) -> None:
    digits = "7" * 4300
    answer = bench.stream(tool_stream(f'{{"a": {digits}, "b": -{digits}}}'))
    assert str(answer.content[0]["input"]["a"]) == digits
    assert str(answer.content[0]["input"]["b"]) == "-" + digits


# --- whatever comes, the grammar holds --------------------------------------


def payloads() -> st.SearchStrategy[list[Obj]]:
    index = st.integers(0, 3)
    kinds = st.sampled_from(["text", "thinking", "tool_use", "new_kind"])
    said = st.sampled_from(["", "a", "[e~[", "{", "}", '{"a":1}', "\ud83d", "\ude00"])
    reason = st.sampled_from(["end_turn", "tool_use", "", None])
    odd = st.sampled_from([
        {"type": "message_delta"},
        {"type": "content_block_delta"},
        {"type": "content_block_start", "index": "0"},
        {"type": "content_block_start", "index": 0, "content_block": None},
        {"type": "content_block_start", "index": 1, "content_block": {"type": 5}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta"}},
        {"type": "content_block_delta", "index": None, "delta": {"text": "x"}},
        {"type": "message_start"},
        {"type": "message_start", "message": {"id": 5, "model": None, "usage": []}},
        {"type": "message_delta", "delta": None, "usage": 5},
        {"type": "message_delta", "delta": {"stop_reason": 5}},
        {"type": "error"},
        {"type": "error", "error": "x"},
        {"type": None},
        {},
    ])
    known = st.one_of(
        st.just(started()),
        st.just(PING),
        st.builds(opened, index, kinds),
        st.builds(text, index, said),
        st.builds(thinking, index, said),
        st.builds(partial_json, index, said),
        st.builds(signature, index, said),
        st.builds(closed, index),
    )
    rare = st.one_of(st.builds(stopping, reason), st.just(STOP), odd)
    some = st.lists(st.one_of(known, known, known, rare), max_size=14)
    last = st.lists(rare, max_size=2)
    return st.builds(lambda head, tail: [*head, *tail], some, last)


@settings(PROPERTY, max_examples=250)
@given(stream=payloads(), start=st.booleans(), seed=st.integers(0, 9))
def test_whatever_events_come_the_grammar_holds(
    long_bench: Bench, stream: list[Obj], start: bool, seed: int
) -> None:
    long_bench.emulator.reset()
    head = [started()] if start else []
    answer = long_bench.stream(*cut(sse(*head, *stream), "random", seed))
    check_grammar(lines_of(*answer.lines))
    if answer.end["type"] == "turn_end":
        assert any(p.get("type") in ("message_delta", "message_stop") for p in stream)
    else:
        assert answer.code != "internal", answer


@PROPERTY
@given(
    place=st.integers(0, len(RICH.data) - 1),
    junk=st.binary(max_size=6),
    drop=st.integers(0, 40),
)
def test_whatever_bytes_come_the_grammar_holds(
    long_bench: Bench, place: int, junk: bytes, drop: int
) -> None:
    long_bench.emulator.reset()
    data = RICH.data[:place] + junk + RICH.data[place + drop :]
    answer = long_bench.stream(data)
    check_grammar(lines_of(*answer.lines))
    assert answer.end["type"] == "turn_end" or answer.code != "internal", answer


# --- what came may be sent back ----------------------------------------------

ODD_STRINGS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["\ud800", "a\udfffb", "\ud83d\ude00", "\u2028\x85", "\0", "[e~["]),
)
ODD_KEYS = st.one_of(
    st.text(max_size=4),
    st.sampled_from(["", "type", "id", "MaxTokens", "max_tokens", "url", "\ud800"]),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**40), 10**40),
    st.floats(allow_nan=False, allow_infinity=False),
    ODD_STRINGS,
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(ODD_KEYS, inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(ODD_KEYS, VALUES, max_size=4)


def block_strategy() -> st.SearchStrategy[Obj]:
    extra = st.dictionaries(
        st.sampled_from(["cache_control", "citations", "Zed", ""]), VALUES, max_size=2
    )
    kinds = st.one_of(
        ODD_STRINGS.map(block_text),
        st.builds(
            lambda words, sign: {
                "type": "thinking", "thinking": words, "signature": sign,
            },
            ODD_STRINGS,
            st.text("0123456789abcdef", min_size=1, max_size=20),
        ),
        st.text(max_size=9).map(lambda s: {"type": "redacted_thinking", "data": s}),
        OBJECTS.map(lambda v: {"type": "tool_use", "id": "", "name": "f", "input": v}),
        st.builds(lambda value: {"type": "new_kind", "payload": value}, VALUES),
    )
    return st.builds(lambda block, more: dict(block, **more), kinds, extra)


def stream_of(blocks: list[Obj], rng: random.Random) -> bytes:
    """A stream that makes `blocks`, whole at the start or in deltas."""
    events: list[Obj | bytes] = [started()]
    for index, block in enumerate(blocks):
        start = copy.deepcopy(block)
        deltas: list[Obj] = []
        for field, make in (
            ("signature", signature),
            ("input", partial_json),
            ("thinking", thinking),
            ("text", text),
        ):
            if field in block and block["type"] != "new_kind" and rng.random() < 0.8:
                value, start[field] = block[field], {} if field == "input" else ""
                if field == "input":
                    value = json.dumps(value, ensure_ascii=rng.random() < 0.5)
                pieces = [value[i : i + 3] for i in range(0, len(value), 3)]
                deltas[:0] = [make(index, piece) for piece in pieces]
        opening = dict(opened(index), content_block=start)
        events += [opening, *deltas, closed(index)]
    calls = any(block["type"] == "tool_use" for block in blocks)
    return sse(*events, stopping("tool_use" if calls else "end_turn"), STOP)


@settings(PROPERTY, max_examples=150)
@given(blocks=st.lists(block_strategy(), min_size=1, max_size=4), seed=st.integers())
def test_message_sent_back_is_the_same_json_upstream(
    long_bench: Bench, blocks: list[Obj], seed: int
) -> None:
    bench, rng = long_bench, random.Random(seed)
    bench.emulator.reset()
    for number, block in enumerate(blocks):
        if block["type"] == "tool_use":
            block["id"] = f"call_{number}"
    data = stream_of(blocks, rng)
    answer = bench.stream(*cut(data, "random", seed))
    received = answer.content
    if blocks[-1]["type"] == "text" and blocks[-1]["text"].endswith("[e~["):
        assert received[-1]["text"] == blocks[-1]["text"][:-4]
        blocks = [*blocks[:-1], received[-1]]
    assert same(received, blocks), answer
    results = [result(b["id"]) for b in blocks if b["type"] == "tool_use"]
    history = [
        *USER, answer.end["message"], user(*results, block_text("go on")),
    ]
    body, back = bench.upstream({"messages": history})
    sendable = [block for block in blocks if not is_blank(block)]
    if sendable:
        assert same(body["messages"][1]["content"], sendable)
    assert back.warnings == []


@pytest.mark.parametrize("block, warnings", [
    ({"type": "image", "url": "https://example.com/", "x": 1.0}, []),
    ({"type": "image"}, []),
    ({"type": "tool_result"}, ["history_repaired"]),
    ({"type": "tool_result", "tool_use_id": "9"}, ["history_repaired"]),
])
def test_message_with_blocks_of_a_users_kinds_can_be_sent_back(
    bench: Bench, block: Obj, warnings: list[str]
) -> None:
    opening = {"type": "content_block_start", "index": 0, "content_block": block}
    stream = sse(started(), opening, closed(0), opened(1), text(1, "Hello"), closed(1),
                 stopping(), STOP)
    answer = bench.stream(stream)
    assert same(answer.content, [block, A_TEXT])
    body, back = bench.upstream({"messages": [*USER, answer.end["message"], *USER]})
    kept = [A_TEXT] if warnings else [block, A_TEXT]
    assert same(body["messages"][1]["content"], kept) and back.warnings == warnings


# =====================================================================
# Configuration
# =====================================================================

# (configuration file, a pattern for the key that the message names)
BAD_CONFIGS: dict[str, tuple[Obj | str, str]] = {
    "too large": ('{"api_key": "%s"}' % KEY + " " * provider.MIB, "larger than 1 MB"),
    "not JSON": ("{oops", r"at character 2\n.*must be one JSON object"),
    "no quotes": ('{\n "model": M3}', r"at line 2, character 11\n.*double quotes"),
    "not an object": ("[]", "object"),
    "not UTF-8": ('{"model": "\udcff"}', "."),
    "negative timeout": ({"connect_timeout": -1}, "connect_timeout"),
    "timeout of zero": ({"idle_timeout": 0}, "idle_timeout"),
    "timeout as text": ({"first_event_timeout": "soon"}, "first_event_timeout"),
    "timeout as boolean": ({"turn_timeout": True}, "turn_timeout"),
    "endless timeout": ('{"turn_timeout": 1e999}', "."),
    "negative retries": ({"max_retries": -1}, "max_retries"),
    "fractional retries": ({"max_retries": 1.5}, "max_retries"),
    "negative delay": ({"retry_base_delay": -1}, "retry_base_delay"),
    "negative cap": ({"retry_after_max": -1}, "retry_after_max"),
    "no tokens": ({"max_tokens_default": 0}, "max_tokens_default"),
    "unknown effort": ({"effort": "ultra"}, "effort"),
    "unknown region": ({"region": "mars"}, "region"),
    "model as number": ({"model": 5}, "model"),
    "image paths as text": ({"allow_image_paths": "yes"}, "allow_image_paths"),
    "key as number": ({"api_key": 5}, "api_key"),
    "key with a line break": ({"api_key": KEY[:20] + "\n" + KEY[20:]}, "api_key"),
    "key that is no header": ({"api_key": KEY + "é世"}, "api_key"),
    "key with a control character": ({"api_key": KEY + "\x01"}, "api_key"),
    "url with credentials": ({"base_url": f"https://u:{KEY}@127.0.0.1"}, "base_url"),
    "url of another scheme": ({"base_url": "ftp://127.0.0.1/"}, "base_url"),
    "url without scheme": ({"base_url": "127.0.0.1:80"}, "base_url"),
    "url without host": ({"base_url": "https://"}, "base_url"),
    "url with a bad port": ({"base_url": "https://127.0.0.1:99999"}, "base_url"),
    "url with white space": ({"base_url": "https://a b/"}, "base_url"),
    "url with a query": ({"base_url": "https://127.0.0.1/?a=b"}, "base_url"),
    "plain http elsewhere": ({"base_url": "http://192.0.2.1/anthropic"}, "base_url"),
    "plain http, loopback lookalike": (
        {"base_url": "http://127.0.0.1.example.com/"}, "base_url",
    ),
}


@pytest.fixture(scope="module")
def settings_bench() -> Iterator[Bench]:
    made = Bench()
    made.plugin.close()
    unset = {"MINIMAX_API_KEY": None, "MINIMAX_BASE_URL": None}
    made.plugin = Plugin(None, "{}", dict(unset))
    try:
        yield made
    finally:
        made.close()


def configure(bench: Bench, config: Obj | str) -> None:
    bench.emulator.reset()
    if isinstance(config, dict):
        good = {"api_key": KEY, "base_url": bench.emulator.base_url}
        config = dict(good, **config)
    path = bench.plugin.config_path
    path.unlink()
    if isinstance(config, str):
        path.write_bytes(config.encode("utf-8", "surrogateescape"))
        path.chmod(0o600)
    else:
        write_config(path, config)


@pytest.mark.parametrize("name", BAD_CONFIGS)
def test_bad_config_is_an_error_in_each_turn_and_the_process_lives(
    settings_bench: Bench, name: str
) -> None:
    config, key = BAD_CONFIGS[name]
    configure(settings_bench, config)
    answer = settings_bench.plugin.turn(ask())
    assert answer.code == "config", answer
    answer.says(key, r"config\.json")
    assert settings_bench.plugin.turn(ask()).code == "config"
    configure(settings_bench, {})
    assert settings_bench.plugin.turn(ask()).text == "ok"


def test_new_key_in_the_file_needs_no_restart(settings_bench: Bench) -> None:
    for key in ("first-key-00000000", "other-key-00000000"):
        configure(settings_bench, {"api_key": key})
        assert settings_bench.plugin.turn(ask()).text == "ok"
        [request] = settings_bench.emulator.requests
        assert request.header("authorization") == ["Bearer " + key]


def test_missing_key_is_a_config_error_and_ping_still_works(
    settings_bench: Bench,
) -> None:
    bench = settings_bench
    for config in ({"api_key": ""}, {"api_key": "  "}, {"api_key": None}):
        configure(bench, dict(config))
        answer = bench.plugin.turn(ask())
        assert answer.code == "config" and bench.emulator.requests == []
        answer.says("api_key|MINIMAX_API_KEY")
    bench.plugin.ping()


def test_config_file_that_is_gone_is_a_config_error(settings_bench: Bench) -> None:
    settings_bench.plugin.config_path.unlink()
    assert settings_bench.plugin.turn(ask()).code == "config"
    write_config(settings_bench.plugin.config_path, {})


def test_max_tokens_default_model_and_effort_come_from_the_file(
    settings_bench: Bench,
) -> None:
    bench = settings_bench
    configure(
        bench,
        {"model": "MiniMax-M3.1-Flash", "effort": "low", "max_tokens_default": 99},
    )
    body, _ = bench.upstream(ask())
    assert body["model"] == "MiniMax-M3.1-Flash" and body["max_tokens"] == 99
    assert body["output_config"] == {"effort": "low"}


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/", "/v1/messages"])
def test_base_url_in_any_common_form_gives_the_right_path(
    settings_bench: Bench, suffix: str
) -> None:
    bench = settings_bench
    configure(bench, {"base_url": bench.emulator.base_url + suffix})
    assert bench.plugin.turn(ask()).text == "ok"
    assert bench.emulator.requests[0].target == "/anthropic/v1/messages"


def test_localhost_is_loopback_and_every_address_of_it_is_tried(
    settings_bench: Bench,
) -> None:
    bench = settings_bench
    url = bench.emulator.base_url.replace("127.0.0.1", "localhost")
    configure(bench, {"base_url": url})
    assert bench.plugin.turn(ask()).text == "ok"


def test_passing_failure_to_read_the_config_does_not_stick(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = os.open

    def failing(path: Any, *args: Any, **kwargs: Any) -> int:
        if str(path).endswith("c.json"):
            raise OSError(24, "Too many open files")
        return real(path, *args, **kwargs)

    config = {"api_key": KEY, "base_url": emulator.base_url}
    write_config(tmp_path / "c.json", config)
    monkeypatch.delenv("MINIMAX_API_KEY", raising=False)
    with provider.MiniMaxProvider.from_config(str(tmp_path / "c.json")) as client:
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", failing)
            [error] = client.turn(ask())
        assert error["error"]["code"] == "config"
        assert "Too many open files" in error["error"]["message"]
        assert list(client.turn(ask()))[-1]["type"] == "turn_end"


def test_unknown_setting_is_named_on_stderr_and_ignored(emulator: Emulator) -> None:
    with Plugin(emulator.base_url, {"conect_timeout": 5}) as plugin:
        assert plugin.turn(ask()).text == "ok"
    assert b"conect_timeout" in plugin.errors


def test_environment_wins_over_the_file(emulator: Emulator) -> None:
    config = {"api_key": "file-key-000000000", "base_url": "http://127.0.0.1:9/no"}
    env: dict[str, str | None] = {"MINIMAX_REGION": "cn"}
    with Plugin(emulator.base_url, config, env) as plugin:
        assert plugin.turn(ask()).text == "ok"
        assert emulator.requests[0].header("authorization") == ["Bearer " + KEY]


def test_white_space_around_the_key_is_stripped(emulator: Emulator) -> None:
    with Plugin(emulator.base_url, env={"MINIMAX_API_KEY": f" {KEY}\n"}) as plugin:
        assert plugin.turn(ask()).text == "ok"
        assert emulator.requests[0].header("authorization") == ["Bearer " + KEY]


@pytest.mark.parametrize("root", [None, "a profile"])
def test_config_is_found_in_the_profile(
    emulator: Emulator, tmp_path: Path, root: str | None
) -> None:
    base = tmp_path / (root or ".plexum")
    folder = base / "plugins" / "plexum-minimax-provider"
    folder.mkdir(parents=True)
    write_config(folder / "config.json", {"max_tokens_default": 77})
    env = {
        "HOME": str(tmp_path),
        "PLEXUM_MINIMAX_CONFIG": None,
        "PLEXUM_PROFILE_ROOT": str(base) if root else None,
    }
    with Plugin(emulator.base_url, env=env) as plugin:
        assert plugin.turn(ask()).text == "ok"
        assert emulator.requests[0].json["max_tokens"] == 77


@pytest.mark.parametrize("mode, warned", [(0o644, True), (0o600, False)])
def test_config_that_others_can_read_is_a_warning_on_stderr(
    emulator: Emulator, mode: int, warned: bool
) -> None:
    with Plugin(emulator.base_url, {"api_key": KEY}) as plugin:
        plugin.config_path.chmod(mode)
        path = str(plugin.config_path).encode()
        assert plugin.turn(ask()).text == "ok"
    assert (path in plugin.errors) is warned


@pytest.mark.parametrize(
    "region, hosts",
    [
        ("global", ["api.minimax.io"]),
        ("cn", ["api.minimaxi.com", "api.minimax.cn"]),
    ],
)
def test_region_decides_the_host_and_the_proxy_sees_no_key(
    emulator: Emulator, region: str, hosts: list[str]
) -> None:
    emulator.answer = lambda request: refuse(407, "no")
    env: dict[str, str | None] = {
        "MINIMAX_BASE_URL": None,
        "MINIMAX_REGION": region,
        "HTTPS_PROXY": f"http://127.0.0.1:{emulator.port}",
    }
    with Plugin(None, {}, env) as plugin:
        answer = plugin.turn(ask())
        assert answer.code == "network" and not answer.error["retryable"]
        answer.says("proxy to .* failed: Tunnel connection failed: 407")
        answer.says("USER:PASSWORD@HOST.*HTTPS_PROXY")
        [request] = emulator.requests  # no retry
        assert request.method == "CONNECT"
        assert request.target.split(":")[0] in hosts
        check_secret(request.head, request.body)


@pytest.mark.parametrize("name, value", [
    ("HTTPS_PROXY", "ftp://127.0.0.1:9"),
    ("REQUESTS_CA_BUNDLE", SOURCE),
    ("REQUESTS_CA_BUNDLE", "/nonexistent/ca.pem"),
    ("CURL_CA_BUNDLE", "/nonexistent/ca.pem"),
    ("SSL_CERT_FILE", SOURCE),
    ("SSL_CERT_FILE", "/nonexistent/ca.pem"),
])
def test_proxy_or_certificates_that_cannot_be_used_are_a_config_error(
    emulator: Emulator, name: str, value: str
) -> None:
    env: dict[str, str | None] = {name: value}
    url = emulator.base_url.replace("http:", "https:")
    if name == "HTTPS_PROXY":
        url = "https://nowhere.invalid"
    with Plugin(url, {"max_retries": 0}, env) as plugin:
        answer = plugin.turn(ask())
    assert answer.code == "config" and answer.error["retryable"] is False
    assert "base_url" not in answer.error["message"]
    answer.says("proxy|certificate")
    answer.says("ftp" if name == "HTTPS_PROXY" else name)


def test_no_proxy_is_honoured(emulator: Emulator) -> None:
    env: dict[str, str | None] = {
        "HTTPS_PROXY": emulator.base_url, "NO_PROXY": "nowhere.invalid",
    }
    with Plugin("https://nowhere.invalid", {"max_retries": 0}, env) as plugin:
        assert plugin.turn(ask()).code == "network"
    assert emulator.connections == 0


# =====================================================================
# HTTP
# =====================================================================


def test_request_line_and_headers(bench: Bench) -> None:
    bench.upstream(ask("hi"))
    request = bench.emulator.requests[0]
    assert (request.method, request.target) == ("POST", "/anthropic/v1/messages")
    assert request.header("authorization") == ["Bearer " + KEY]
    assert request.header("x-api-key") == [] and request.header("cookie") == []
    assert request.header("accept-encoding") == ["identity"]
    assert request.header("anthropic-version") == ["2023-06-01"]
    assert request.header("host") == [f"127.0.0.1:{bench.emulator.port}"]
    [kind] = request.header("content-type")
    assert kind.startswith("application/json")
    assert len(request.header("content-length")) == 1


FRAMINGS = ("chunked", "length", "close")


@pytest.mark.parametrize("framing", FRAMINGS)
def test_text_arrives_while_the_body_is_still_open(bench: Bench, framing: str) -> None:
    heard = threading.Event()
    first = sse(started(), opened(0), text(0, "first"))
    rest = sse(closed(0), stopping(), STOP)
    bench.emulator.queue.append(respond(first, wait(heard), rest, framing=framing))
    ident = bench.plugin.submit(ask())
    assert bench.plugin.wait_line("text_delta", ident)["text"] == "first"
    heard.set()
    assert bench.plugin.answer(ident).text == "first"


@pytest.mark.parametrize("framing", FRAMINGS)
def test_stream_is_whole_in_every_framing(bench: Bench, framing: str) -> None:
    answer = bench.stream(*cut(RICH.data, "random"), framing=framing)
    assert same(answer.content, RICH.content)


@pytest.mark.parametrize(
    "kind", ["text/event-stream;charset=latin-1", "TEXT/Event-Stream"]
)
def test_stream_is_utf8_whatever_the_header_says(bench: Bench, kind: str) -> None:
    head = response_head(200, "Content-Type: " + kind, "Connection: close")
    script: Script = [head, RICH.data, close]
    assert same(bench.ask(ask(), *script).content, RICH.content)


def test_turn_ends_at_message_stop_though_the_socket_stays_open(bench: Bench) -> None:
    bench.emulator.queue.append(unfinished(OK, hold))
    ident = bench.plugin.submit(ask())
    assert bench.plugin.answer(ident).text == "ok"
    assert bench.emulator.wait_request().gone.wait(DEADLINE)


def test_stream_without_a_content_type_is_a_stream(bench: Bench) -> None:
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    for data in (RICH.data, b": hi\n\n" + RICH.data, b"\xef\xbb\xbf\n" + RICH.data):
        assert same(bench.ask(ask(), head, data, close).content, RICH.content)


def test_interim_100_continue_is_skipped(bench: Bench) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert bench.ask(ask(), interim * 2, *respond(OK)).text == "ok"


def test_chunk_extensions_and_trailers_are_no_content(bench: Bench) -> None:
    head = response_head(200, "Transfer-Encoding: chunked")
    body = b"%x;x=y\r\n%s\r\n0\r\nX-Trailer: z\r\n\r\n" % (len(OK), OK)
    assert bench.ask(ask(), head + body).text == "ok"


@pytest.mark.parametrize("kind", [None, "text/event-stream"])
def test_blank_opening_of_any_length_is_no_content(
    bench: Bench, kind: str | None
) -> None:
    head = response_head(200, f"Content-Type: {kind}", "Connection: close")
    if kind is None:
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    blank = b"\r\n" * 100000
    assert same(bench.ask(ask(), head, blank, RICH.data, close).content, RICH.content)


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_encoding_that_nobody_asked_for_is_named(
    bench: Bench, status: int, encoding: str
) -> None:
    body = gzip.compress(OK)
    fields = f"Content-Encoding: {encoding}", f"Content-Length: {len(body)}"
    answer = bench.ask(ask(), response_head(status, *fields), body)
    assert answer.code == ("protocol" if status == 200 else "upstream")
    answer.says(encoding)


def test_encoding_that_is_not_even_announced_is_a_protocol_error(bench: Bench) -> None:
    assert bench.stream(gzip.compress(OK)).code == "protocol"


def test_encoding_identity_is_none(bench: Bench) -> None:
    assert bench.stream(OK, headers=["Content-Encoding: identity"]).text == "ok"


def test_announced_stream_that_holds_no_field_is_a_protocol_error(
    bench: Bench,
) -> None:
    said = b"404 page not found\n"
    answer = bench.stream(said, framing="length")
    assert answer.code == "protocol"
    answer.says("404 page not found")


REDIRECTS = (301, 302, 303, 307, 308)


@pytest.mark.parametrize("status", REDIRECTS)
def test_redirect_is_rejected_and_not_followed(bench: Bench, status: int) -> None:
    with Emulator() as other:
        script = refuse(status, "moved", f"Location: {other.base_url}/v1/messages")
        answer = bench.ask(ask(), *script)
        assert (answer.code, answer.error["http_status"]) == ("rejected", status)
        assert other.connections == 0 and len(bench.emulator.requests) == 1


def test_cookies_are_not_sent_back(bench: Bench) -> None:
    bench.stream(OK, headers=["Set-Cookie: a=b; Path=/"])
    bench.ask(ask(), *refuse(529, api_error("busy"), "Set-Cookie: c=d; Path=/"))
    bench.upstream(ask())
    assert [r.header("cookie") for r in bench.emulator.requests] == [[], [], []]


def test_netrc_does_not_replace_the_key(emulator: Emulator, tmp_path: Path) -> None:
    line = "machine 127.0.0.1 login somebody password something\n"
    (tmp_path / ".netrc").write_text(line)
    (tmp_path / ".netrc").chmod(0o600)
    env: dict[str, str | None] = {
        "HOME": str(tmp_path), "NETRC": str(tmp_path / ".netrc"),
    }
    with Plugin(emulator.base_url, env=env) as plugin:
        assert plugin.turn(ask()).text == "ok"
        assert emulator.requests[0].header("authorization") == ["Bearer " + KEY]


def test_variables_of_other_vendors_are_not_read(emulator: Emulator) -> None:
    env: dict[str, str | None] = {
        "MINIMAX_API_KEY": None,
        "ANTHROPIC_API_KEY": "sk-ant-0000",
        "ANTHROPIC_AUTH_TOKEN": "0000",
        "OPENAI_API_KEY": "sk-0000",
    }
    with Plugin(emulator.base_url, env=env) as plugin:
        assert plugin.turn(ask()).code == "config"
        assert emulator.connections == 0
    env = {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9", "OPENAI_BASE_URL": "http://x"}
    with Plugin(emulator.base_url, env=env) as plugin:
        assert plugin.turn(ask()).text == "ok"


# --- TLS ---------------------------------------------------------------------

# A throw-away authority for 127.0.0.1, made for these tests only.
TEST_SECRET = """
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgTj3ECysVMrO/OR0Z
O97a8rtuCub59m7v7WWJmTuRhJehRANCAASg1w3/NzfsE+Ejmk15ACCvHC9/LXZM
iTF45+VmIhHnbJWCPPEzoLVJ4z2/HuAfu4JwIXYO/XqcDORPdg6gC63D
"""
TEST_CERTIFICATE = """
MIIBkjCCATmgAwIBAgIBATAKBggqhkjOPQQDAjAiMSAwHgYDVQQDDBdsb29wYmFj
ayB0ZXN0IGF1dGhvcml0eTAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAw
MFowIjEgMB4GA1UEAwwXbG9vcGJhY2sgdGVzdCBhdXRob3JpdHkwWTATBgcqhkjO
PQIBBggqhkjOPQMBBwNCAASg1w3/NzfsE+Ejmk15ACCvHC9/LXZMiTF45+VmIhHn
bJWCPPEzoLVJ4z2/HuAfu4JwIXYO/XqcDORPdg6gC63Do14wXDAPBgNVHRMBAf8E
BTADAQH/MA4GA1UdDwEB/wQEAwIChDAdBgNVHQ4EFgQUfbSFiAv+ZEYuZjSvHxNH
tcbXa4MwGgYDVR0RBBMwEYcEfwAAAYIJbG9jYWxob3N0MAoGCCqGSM49BAMCA0cA
MEQCIC//+R4dV0YyjiYjUzqK2Hxnpm469rEsuRdnLnXNcivgAiAKyLYEn1kcNOLG
0k/Jscmvdzk+/6cGNIgW7NUynC7zEg==
"""


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    def pem(label: str, body: str) -> str:
        return f"-----BEGIN {label}-----{body}-----END {label}-----\n"

    (tmp_path / "key.pem").write_text(pem("PRIVATE " + "KEY", TEST_SECRET))
    (tmp_path / "cert.pem").write_text(pem("CERTIFICATE", TEST_CERTIFICATE))
    return tmp_path / "cert.pem"


@pytest.fixture
def tls_emulator(certificate: Path) -> Iterator[Emulator]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(certificate), str(certificate.with_name("key.pem")))
    with Emulator(tls=context) as made:
        yield made


# What stands in for PySocks: port 1 never answers, any other leads to the host.
SOCKS = """
import socket, threading
PROXY_TYPE_SOCKS4, PROXY_TYPE_SOCKS5 = 1, 2
class ProxyError(OSError):
    socket_err = None
def create_connection(address, timeout=None, source_address=None, **proxy):
    if proxy["proxy_port"] == 1:
        threading.Event().wait()
    return socket.create_connection(address)
"""


def by_socks(folder: Path, port: int) -> dict[str, str | None]:
    return {**planted(folder, socks=SOCKS), "all_proxy": f"socks5://127.0.0.1:{port}"}


def test_turns_through_socks_share_a_connection(
    emulator: Emulator, tmp_path: Path
) -> None:
    with Plugin(emulator.base_url, env=by_socks(tmp_path, 2)) as plugin:
        emulator.queue.append(respond(*cut(RICH.data, "random")))
        assert same(plugin.turn(ask()).content, RICH.content)
        assert plugin.turn(ask()).text == "ok"
    assert emulator.connections == 1


def test_turn_through_socks_over_tls(
    tls_emulator: Emulator, certificate: Path, tmp_path: Path
) -> None:
    env = {**by_socks(tmp_path, 2), "SSL_CERT_FILE": str(certificate)}
    with Plugin(tls_emulator.base_url, env=env) as plugin:
        assert plugin.turn(ask()).text == "ok"


@pytest.mark.parametrize("begun", [False, True])
def test_turn_through_socks_has_its_deadlines_and_its_cancel(
    emulator: Emulator, tmp_path: Path, begun: bool
) -> None:
    script = unfinished(BEGUN, hold) if begun else [hold]
    config = {"first_event_timeout": 0.3, "idle_timeout": 0.3, "max_retries": 0}
    env = by_socks(tmp_path, 2)
    emulator.answer = lambda request: script
    with Plugin(emulator.base_url, config, env) as plugin:
        assert plugin.turn(ask()).code == "timeout"
    with Plugin(emulator.base_url, env=env) as plugin:
        ident = plugin.submit(ask())
        emulator.wait_request(2)
        plugin.cancel(ident)
        assert plugin.answer(ident).end["stop_reason"] == "cancelled"


def test_socks_proxy_that_never_answers_has_its_deadline_and_its_cancel(
    tmp_path: Path,
) -> None:
    config = {"connect_timeout": 0.3, "max_retries": 0}
    with Plugin("http://127.0.0.1:9", config, by_socks(tmp_path, 1)) as plugin:
        answer = plugin.turn(ask())
        assert answer.code == "timeout"
        answer.says("connect_timeout")
    with Plugin("http://127.0.0.1:9", env=by_socks(tmp_path, 1)) as plugin:
        ident = plugin.submit(ask())
        plugin.cancel(ident)
        check_cancelled(plugin.answer(ident))


def test_unknown_certificate_is_refused_and_explained(tls_emulator: Emulator) -> None:
    with Plugin(tls_emulator.base_url) as plugin:
        answer = plugin.turn(ask())
        assert answer.code == "network" and answer.error["retryable"] is False
        assert answer.of("retry") == [] and tls_emulator.requests == []
        answer.says("certificate", "REQUESTS_CA_BUNDLE|SSL_CERT_FILE")


@pytest.mark.parametrize("variable", provider.CA_VARIABLES)
def test_certificates_named_in_the_environment_are_honoured(
    tls_emulator: Emulator, certificate: Path, variable: str
) -> None:
    with Plugin(tls_emulator.base_url, env={variable: str(certificate)}) as plugin:
        tls_emulator.queue.append(respond(*cut(RICH.data, "random")))
        assert same(plugin.turn(ask()).content, RICH.content)
        assert plugin.turn(ask()).text == "ok"


@pytest.mark.parametrize("variable", provider.CA_VARIABLES)
def test_empty_variable_does_not_switch_verification_off(
    tls_emulator: Emulator, variable: str
) -> None:
    with Plugin(tls_emulator.base_url, env={variable: ""}) as plugin:
        assert plugin.turn(ask()).code == "network"
    assert tls_emulator.requests == []


def test_certificates_for_requests_win_over_those_for_all(
    tls_emulator: Emulator, certificate: Path
) -> None:
    env: dict[str, str | None] = {
        "REQUESTS_CA_BUNDLE": str(certificate), "SSL_CERT_FILE": "/nonexistent/ca.pem",
    }
    with Plugin(tls_emulator.base_url, env=env) as plugin:
        assert plugin.turn(ask()).text == "ok"


@needs_linux
def test_certificate_of_another_name_is_refused(
    tls_emulator: Emulator, certificate: Path
) -> None:
    env: dict[str, str | None] = {"REQUESTS_CA_BUNDLE": str(certificate)}
    with Emulator(tls_emulator.tls, host="127.0.0.2") as other:
        with Plugin(other.base_url, {"max_retries": 0}, env) as plugin:
            answer = plugin.turn(ask())
        assert answer.code == "network" and answer.error["retryable"] is False
        assert other.requests == []


# --- errors ------------------------------------------------------------------


class Trouble(NamedTuple):
    """An error response, and what becomes of it."""

    status: int
    body: str | Obj
    code: str
    says: Sequence[str] = ()
    provider_code: int | None = None


HTML = "<html><head><title>%s</title></head><body>nginx</body></html>"
INVALID = "invalid_request_error"
HOST = r"127\.0\.0\.1"

ERROR_CASES: dict[str, Trouble] = {
    # the key
    "1004": Trouble(401, api_error(
        "login fail: Please carry the API secret key in the 'Authorization' field of "
        "the request header (1004)", "authorized_error"), "auth", [HOST, "region|cn"]),
    "2049": Trouble(401, api_error("invalid api key (2049)"), "auth", [HOST], 2049),
    "401 without code": Trouble(401, api_error(
        "invalid api key", "authentication_error"), "auth", [HOST, "region|cn", "key"]),
    "401 of text": Trouble(401, "no", "auth"),
    "1004 with 200": Trouble(200, base_resp(1004, "login fail"), "auth", [], 1004),
    "code as text": Trouble(200, {"base_resp": {
        "status_code": "1004", "status_msg": "login fail"}}, "auth"),
    "403": Trouble(403, api_error("forbidden", "permission_error"), "permission"),
    "403 of html": Trouble(403, HTML % "403 Forbidden", "permission"),
    # money and plans
    "402": Trouble(402, api_error("pay"), "insufficient_balance", ["plan|balance"]),
    "1008 as 500": Trouble(500, api_error(
        "insufficient balance (1008)", "insufficient_balance_error"),
        "insufficient_balance", ["plan|pay|balance"], 1008),
    "1008 with 200": Trouble(
        200, base_resp(1008, "insufficient balance"), "insufficient_balance"),
    "1008 in Chinese": Trouble(
        402, api_error("余额不足 (1008)"), "insufficient_balance"),
    "2056": Trouble(429, api_error(
        "usage limit exceeded, 5-hour window used (1500/1500 used) (2056)"),
        "quota_exhausted", [], 2056),
    "2056 in Chinese": Trouble(
        429, api_error("已达到 Token Plan 用量上限 (2056)"), "quota_exhausted"),
    "2061 as 500": Trouble(500, api_error(
        "your current token plan not support model, MiniMax-M2.7-highspeed (2061)"),
        "model_unavailable", ["MiniMax-M3"], 2061),
    "2061 after a long text": Trouble(500, api_error(
        "invalid " * 500 + "your current token plan not support model (2061)"),
        "model_unavailable", ["invalid"], 2061),
    "2061 in a stream": Trouble(500, "event: error\n" + frame(
        base_resp(2061, "no such")).decode(), "model_unavailable", ["no such"], 2061),
    "2061 in a stream after a ping": Trouble(500, sse(
        PING, base_resp(2061, "no such")).decode(), "model_unavailable", [], 2061),
    "1008 after a byte order mark": Trouble(
        500, "\ufeff" + json.dumps(base_resp(1008, "no")), "insufficient_balance"),
    "1008 over lines with 200": Trouble(
        200, json.dumps(base_resp(1008, "no"), indent=1).replace("\n", "\n\n"),
        "insufficient_balance"),
    "2061 with 200": Trouble(
        200, base_resp(2061, "not support"), "model_unavailable"),
    "unknown model": Trouble(400, api_error(
        "invalid params, unknown model 'abc' (2013)", INVALID),
        "model_unavailable", ["MiniMax-M3"]),
    "unknown model without code": Trouble(
        400, api_error("Unknown model: abc", INVALID), "model_unavailable"),
    "plan without the model": Trouble(
        429, api_error("Token Plan Starter (0/0 used)"), "model_unavailable"),
    "plan without the model, no code": Trouble(
        500, api_error("your current token plan not support model"),
        "model_unavailable"),
    # the request
    "context": Trouble(400, api_error(
        "invalid params, context window exceeds limit (2013)", INVALID),
        "context_too_long", [], 2013),
    "1039": Trouble(400, api_error("token limit (1039)"), "context_too_long"),
    "context without code": Trouble(
        400, api_error("context window exceeds limit"), "context_too_long"),
    "code decides before the text": Trouble(
        429, api_error("unknown model (1002)"), "rate_limited"),
    "1026": Trouble(422, api_error("input new_sensitive (1026)"), "content_filtered"),
    "1027": Trouble(422, api_error("output new_sensitive (1027)"), "content_filtered"),
    "1042": Trouble(
        400, api_error("invisible characters (1042)"), "rejected", [], 1042),
    "400 without code": Trouble(400, api_error("no", INVALID), "rejected"),
    "413": Trouble(413, HTML % "413 Request Entity Too Large", "rejected"),
    "422 without code": Trouble(422, api_error("no"), "rejected"),
    "404 of html": Trouble(404, HTML % "404 Not Found", "not_found", [
        r"http://127\.0\.0\.1:\d+/anthropic/v1/messages"]),
    "404 of text": Trouble(404, "404 page not found", "not_found", [
        r"HTTP 404 from http://127\.0\.0\.1:\d+/anthropic/v1/messages"]),
    "404 of the API": Trouble(
        404, api_error("nothing here", "not_found_error"), "rejected", ["nothing"]),
    "404 of the API, naming a model": Trouble(
        404, api_error("model: abc", "not_found_error"), "model_unavailable", ["abc"]),
    "404 of JSON that is no API error": Trouble(
        404, {"detail": "Not Found"}, "not_found", ["anthropic/v1/messages"]),
    "404 with an error in one word": Trouble(
        404, {"error": "Not Found"}, "not_found", ["anthropic/v1/messages"]),
    "404 of a list": Trouble(404, '["model"]', "not_found"),
    # load
    "1002": Trouble(429, api_error("rate limit (1002)"), "rate_limited", [], 1002),
    "2045": Trouble(429, api_error("rate growth (2045)"), "rate_limited"),
    "1041": Trouble(429, api_error("connections (1041)"), "rate_limited"),
    "429 without code": Trouble(429, "slow down", "rate_limited"),
    "2064": Trouble(529, api_error(
        "The server cluster is currently under high load (2064)"),
        "overloaded", [], 2064),
    "529 without code": Trouble(529, "", "overloaded"),
    "2064 as 500": Trouble(500, api_error("high load (2064)"), "overloaded"),
    # their fault
    "1000": Trouble(500, api_error("unknown error, 999 (1000)"), "upstream", [], 1000),
    "1001": Trouble(500, api_error("timeout (1001)"), "upstream"),
    "1013": Trouble(500, api_error("internal (1013)"), "upstream"),
    "1024": Trouble(500, api_error("internal (1024)"), "upstream"),
    "1033": Trouble(500, api_error("mysql (1033)"), "upstream"),
    "500 of html": Trouble(500, HTML % "500", "upstream"),
    "502": Trouble(502, HTML % "502 Bad Gateway", "upstream"),
    "503": Trouble(503, "", "upstream"),
    "504": Trouble(504, HTML % "504", "upstream"),
    "408": Trouble(408, "", "upstream"),
    "409": Trouble(409, "", "upstream"),
    # reading the code
    "code decides before the status": Trouble(
        400, api_error("rate limit (1002)"), "rate_limited"),
    "token counts in parentheses": Trouble(400, api_error(
        "invalid params, tokens (204800) over (196608) (2013)"), "rejected", [], 2013),
    "last known code": Trouble(
        429, api_error("was (2013) then (1002), of (99999)"), "rate_limited", [], 1002),
    "openai envelope": Trouble(429, {"error": {
        "type": "rate_limit_error", "message": "slow (1002)", "http_code": "429"}},
        "rate_limited", [], 1002),
    "error as text": Trouble(500, {"error": "broken"}, "upstream"),
    "JSON that is no object": Trouble(500, "[1, 2]", "upstream"),
    "body of broken JSON": Trouble(529, '{"type": "err', "overloaded"),
    "deep JSON": Trouble(529, "[" * 60000, "overloaded"),
    # a 200 that is no stream
    "200 of html": Trouble(200, HTML % "Sign in", "protocol"),
    "200 of text": Trouble(200, "hello there, please sign in first", "protocol"),
    "200 of JSON": Trouble(200, {"hello": 1}, "protocol"),
    "200 of a message": Trouble(200, {"type": "message"}, "protocol"),
    "200 of an error without type": Trouble(
        200, {"error": {"message": "load (2064)"}}, "overloaded", [], 2064),
    "200 of an error by its type": Trouble(
        200, {"type": "overloaded_error", "message": "busy"}, "overloaded"),
    "200 of a status that is good": Trouble(200, base_resp(0, "ok"), "protocol"),
    "204": Trouble(204, "", "protocol|empty_response|stream_cut"),
}
for _text in (
    "tool result's tool id(call_1) not found",
    "tool call result does not follow tool call",
    "tool call id is invalid",
    "invalid function arguments json string",
    "function parameters is empty",
    "messages must not be empty",
    "chat content is empty",
    "chat content has invalid message role: system",
    'invalid thinking.type: "enabled" (allowed: adaptive, disabled)',
    "this model requires adaptive thinking",
    "does not support max tokens > 524288",
    "invalid chat setting",
    "media exceeds size limit",
):
    ERROR_CASES[_text] = Trouble(
        400,
        api_error(f"invalid params, {_text} (2013)", INVALID),
        "rejected",
        [re.escape(_text)],
        2013,
    )


@pytest.mark.parametrize("name", ERROR_CASES)
def test_error_response_becomes(bench: Bench, name: str) -> None:
    trouble = ERROR_CASES[name]
    answer = bench.ask(ask(), *refuse(trouble.status, trouble.body))
    assert re.fullmatch(trouble.code, answer.code), answer
    answer.says(*trouble.says)
    assert answer.end["partial"] is None and answer.of("turn_start") == []
    assert answer.end["model"] == "MiniMax-M3"
    if trouble.status != 200:
        assert answer.error["http_status"] == trouble.status
    if trouble.provider_code is not None:
        assert int(answer.error["provider_code"]) == trouble.provider_code
    if isinstance(trouble.body, dict) and "request_id" in trouble.body:
        assert answer.error["request_id"] == "req_0123"


def test_every_error_and_warning_code_is_tested_somewhere() -> None:
    own = Path(__file__).read_text("utf-8").split("# Server-sent events", 1)[1]
    for code in [*ERROR_CODES, *WARNING_CODES]:
        assert f'"{code}' in own or f"|{code}" in own, code


@pytest.mark.parametrize("words_, moment", [
    ("usage limit exceeded, resets at 2026-05-15T15:00:00Z (2056)", "2026-05-15T15:00"),
    ("weekly limit, resets at 2026-05-18T00:00:00Z (2056)", "2026-05-18T00:00"),
])
def test_quota_error_has_its_reset_time(bench: Bench, words_: str, moment: str) -> None:
    answer = bench.ask(ask(), *refuse(429, api_error(words_)))
    assert answer.code == "quota_exhausted"
    assert answer.error["reset_at"].startswith(moment)


def test_quota_error_without_a_time_has_no_reset_at(bench: Bench) -> None:
    answer = bench.ask(ask(), *refuse(429, api_error("limit (2056)")))
    assert answer.error.get("reset_at") is None


@pytest.mark.parametrize("key, kind", [
    ("sk-cp-" + "a" * 30, "plan"),
    ("sk-api-" + "a" * 30, "pay.as.you.go|balance"),
])
@pytest.mark.parametrize("status, body", [
    (401, api_error("invalid api key")), (402, api_error("no balance (1008)")),
])
def test_hint_names_the_kind_of_key(
    settings_bench: Bench, key: str, kind: str, status: int, body: Obj
) -> None:
    configure(settings_bench, {"api_key": key})
    answer = settings_bench.ask(ask(), *refuse(status, body))
    answer.says(kind)


class Hint(NamedTuple):
    """An error response to a key and a model, and what its hint says."""

    key: str
    status: int
    message: str
    model: str
    says: Sequence[str]


PLAN, BALANCE = "sk-cp-" + "a" * 30, "sk-api-" + "a" * 30
MODEL = "MiniMax-M3"
HINTS: dict[str, Hint] = {
    "plan key refused": Hint(PLAN, 401, "no", MODEL, [
        r"region global\) did not accept the plan key \(sk-cp-\)", 'to "cn"',
        "MINIMAX_API_KEY.* win over these",
        r"\(api\.minimaxi\.com\)",
    ]),
    "balance key refused": Hint(BALANCE, 401, "no", MODEL, [r"key \(sk-api-\)"]),
    "older key refused": Hint("eyJ" + "a" * 30, 401, "no", MODEL, [r"\(eyJ\)"]),
    "unknown key refused": Hint("a" * 30, 401, "no", MODEL, ["key of unknown kind"]),
    "not permitted": Hint(PLAN, 403, "no", "MiniMax-M2", [
        "use MiniMax-M2:", "MiniMax-M3.1-Flash or MiniMax-M3",
    ]),
    "plan is used up": Hint(PLAN, 402, "no", MODEL, [
        "spends the quota of your Token", r"key of the other \(pay-as-you-go key",
    ]),
    "balance is used up": Hint(BALANCE, 402, "no", MODEL, [
        "spends the balance of your account", r"key of the other \(plan key",
    ]),
    "quota": Hint(PLAN, 429, "no (2056)", "other-1", [
        "spends the quota", "does not include other-1",
    ]),
    "not in the plan": Hint(PLAN, 500, "no (2061)", "MiniMax-M2.1-highspeed", [
        "does not serve MiniMax-M2.1-highspeed to the plan key",
        "Use MiniMax-M3.1-Flash or MiniMax-M3;",
    ]),
    "wrong path": Hint(PLAN, 404, "no", MODEL, [
        r"no Messages API at http://127\.0\.0\.1:\d+/anthropic/v1/messages",
        r"https://api\.minimax\.io/anthropic \(region global\)",
        r"https://api\.minimaxi\.com/anthropic \(region cn\)",
    ]),
    "too long": Hint(PLAN, 400, "no (1039)", "minimax-m2.1", [
        r"the 204800 tokens of MiniMax-M2\.1",
    ]),
    "too long for an unknown model": Hint(PLAN, 400, "no (1039)", "other-1", [
        "the available tokens of other-1",
    ]),
    "rejected": Hint(PLAN, 400, "no", MODEL, ["refused the request for MiniMax-M3"]),
}


@pytest.mark.parametrize("name", HINTS)
def test_hint_names_what_is_involved(settings_bench: Bench, name: str) -> None:
    case = HINTS[name]
    configure(settings_bench, {"api_key": case.key})
    body = "no" if case.message == "no" else api_error(case.message)
    answer = settings_bench.ask(
        ask(model=case.model), *refuse(case.status, body)
    )
    for phrase in case.says:
        assert re.search(phrase, answer.error["hint"]), answer.error["hint"]


def test_hint_of_the_other_region_names_the_global_host(settings_bench: Bench) -> None:
    configure(settings_bench, {"region": "cn"})
    answer = settings_bench.ask(ask(), *refuse(401, "no"))
    for phrase in ("(region cn)", 'to "global" (api.minimax.io)'):
        assert phrase in answer.error["hint"]


@pytest.mark.parametrize("name", [
    "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy",
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
])
def test_hint_names_the_variables_that_change_the_way(
    emulator: Emulator, name: str
) -> None:
    emulator.queue.append([close])
    env: dict[str, str | None] = {name: "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    with Plugin(emulator.base_url, {"max_retries": 0}, env) as plugin:
        hint = plugin.turn(ask()).error["hint"]
    assert hint.endswith(f"proxy. In effect: {name}.") and ":9" not in hint


MIDSTREAM: dict[str, tuple[bytes, str]] = {
    "event": (frame(api_error("high load (2064)", "overloaded_error")), "overloaded"),
    "bare data": (
        frame(json.dumps(api_error("unknown (1000)", http_code="500"))), "upstream",
    ),
    "flat": (
        frame(json.dumps({
            "type": "overloaded_error", "message": "high load (2064) (529)",
        })),
        "overloaded",
    ),
    "raw JSON": (
        json.dumps(api_error("output new_sensitive (1027)")).encode(),
        "content_filtered",
    ),
    "raw JSON with a line end": (
        json.dumps(api_error("output new_sensitive (1027)")).encode() + b"\n",
        "content_filtered",
    ),
    "filter": (frame(api_error("output new_sensitive (1027)")), "content_filtered"),
    "quota": (frame(api_error("limit (2056)")), "quota_exhausted"),
    "by type: overloaded": (frame(api_error("busy", "overloaded_error")), "overloaded"),
    "by type: rate": (frame(api_error("slow", "rate_limit_error")), "rate_limited"),
    "by type: internal": (frame(api_error("oops", "api_error")), "upstream"),
    "by http_code": (
        frame(api_error("slow", "strange", http_code="429")), "rate_limited",
    ),
    "by type, not by http_code 200": (
        frame(api_error("busy", "overloaded_error", http_code="200")), "overloaded",
    ),
    "no type": (
        frame(json.dumps({"error": {"message": "load (2064)"}})), "overloaded",
    ),
    "type of its own": (
        frame({"type": "overloaded", "message": "load (2064)"}, "error"), "overloaded",
    ),
    "type that is no text": (
        frame(json.dumps({"type": ["x"], "message": "load (2064)"}), "error"),
        "overloaded",
    ),
    "raw JSON after half of one": (
        b'{"type":"error","err\n' + json.dumps(api_error("load (2064)")).encode(),
        "overloaded",
    ),
    "raw JSON after an empty one": (
        b"{}\n" + json.dumps(api_error("load (2064)")).encode(), "overloaded",
    ),
    "in an event": (
        frame({**stopping(None), **base_resp(1027, "filtered")}), "content_filtered",
    ),
    "after a long text": (frame(api_error("no " * 500 + "(1027)")), "content_filtered"),
    "raw JSON after a space": (
        b" " + json.dumps(api_error("load (2064)")).encode(), "overloaded",
    ),
    "raw JSON over lines": (
        json.dumps(api_error("load (2064)"), indent=1).encode() + b"\n", "overloaded",
    ),
    "event name only": (
        frame({"error": {"message": "load (2064)"}}, "error"), "overloaded",
    ),
}


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("name", MIDSTREAM)
def test_error_in_midstream_is_the_turns_error(
    bench: Bench, name: str, how: str
) -> None:
    data, code = MIDSTREAM[name]
    before = sse(started(), opened(0), text(0, "Hello"))
    for head, partial in ((b"", None), (sse(started()), None), (before, [A_TEXT])):
        answer = bench.stream(*cut(head + data, how))
        assert answer.code == code, answer
        got = answer.end["partial"]
        assert same(got and got["content"], partial), answer


def test_json_that_never_ends_is_read_in_linear_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []
    load = provider.load_json

    def counted(text: str) -> Any:
        sizes.append(len(text))
        return load(text)

    monkeypatch.setattr(provider, "load_json", counted)
    data = b'{"a":[{}\n' + b",{}\n" * 20000
    assert provider.SSEDecoder().feed(data) == []
    assert 0 < sum(sizes) < 2 * len(data)


ERROR_KINDS = {
    "authentication_error": "auth",
    "authorized_error": "auth",
    "permission_error": "permission",
    "insufficient_balance_error": "insufficient_balance",
    "billing_error": "insufficient_balance",
    "rate_limit_error": "rate_limited",
    "overloaded_error": "overloaded",
    "api_error": "upstream",
    "server_error": "upstream",
    "timeout_error": "upstream",
    "not_found_error": "rejected",
    "invalid_request_error": "rejected",
    "bad_request_error": "rejected",
    "request_too_large": "rejected",
    "error_of_tomorrow": "upstream",
}


@pytest.mark.parametrize("kind", ERROR_KINDS)
def test_error_in_midstream_without_a_code_goes_by_its_type(
    bench: Bench, kind: str
) -> None:
    answer = bench.stream(frame(api_error("no", kind)))
    assert answer.code == ERROR_KINDS[kind] and "http_status" not in answer.error
    assert answer.error["message"] == "no" and "provider_code" not in answer.error


def test_error_after_content_tells_model_usage_and_attempts(bench: Bench) -> None:
    begun = sse(started(usage={"input_tokens": 5}), opened(0), text(0, "Hello"))
    answer = bench.stream(begun, sse(api_error("unknown (1000)")))
    assert answer.end["model"] == "MiniMax-M3"
    assert answer.end["usage"] == {"input_tokens": 5}
    assert answer.end["timing"]["attempts"] == 1
    assert is_number(answer.end["timing"]["first_event_ms"])


def test_midstream_error_keeps_request_id_and_provider_code(bench: Bench) -> None:
    answer = bench.stream(MIDSTREAM["event"][0])
    assert answer.error["request_id"] == "req_0123"
    assert int(answer.error["provider_code"]) == 2064


IDS = ["minimax-request-id", "trace-id", "request-id", "x-request-id"]


@pytest.mark.parametrize("first", range(len(IDS)))
def test_request_id_of_an_error_is_the_bodys_or_the_first_headers(
    bench: Bench, first: int
) -> None:
    fields = [f"{name}: from {name}" for name in reversed(IDS[first:])]
    answer = bench.ask(ask(), *refuse(500, "no", *fields))
    assert answer.error["request_id"] == f"from {IDS[first]}"
    answer = bench.ask(ask(), *refuse(500, api_error("no"), *fields))
    assert answer.error["request_id"] == "req_0123"


def test_error_body_of_an_error_response_may_be_close_delimited(bench: Bench) -> None:
    head = response_head(529, "Content-Type: application/json", "Connection: close")
    body = json.dumps(api_error("high load (2064)")).encode()
    assert bench.ask(ask(), head, *cut(body, "bytes"), close).code == "overloaded"


def test_refused_connection_is_a_network_error(settings_bench: Bench) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        configure(settings_bench, {
            "base_url": f"http://127.0.0.1:{port}", "max_retries": 0,
        })
        answer = settings_bench.plugin.turn(ask())
    assert answer.code == "network" and answer.error["retryable"] is True
    answer.says(HOST)


def test_unknown_host_is_a_network_error(settings_bench: Bench) -> None:
    configure(settings_bench, {"base_url": "https://nowhere.invalid", "max_retries": 0})
    answer = settings_bench.plugin.turn(ask())
    assert answer.code == "network" and answer.error["retryable"] is True
    answer.says(r"nowhere\.invalid")


BROKEN_HTTP: dict[str, tuple[Script, str]] = {
    "no response": ([close], "network"),
    "reset before the response": ([reset], "network"),
    "not HTTP": ([b"SSH-2.0-OpenSSH_9.6\r\n\r\n", close], "protocol|network"),
    "head cut": (
        [b"HTTP/1.1 200 OK\r\nContent-Ty", close], "protocol|network|stream_cut",
    ),
    "head reset": ([b"HTTP/1.1 200 OK\r\n", reset], "network"),
    "bad status": ([b"HTTP/1.1 abc OK\r\n\r\n", close], "protocol|network"),
    "endless header": ([drip(b"X-A: " + b"a" * 9000, 0.0)], "protocol|network"),
    "endless headers": (
        [b"HTTP/1.1 200 OK\r\n", drip(b"X-A: a\r\n" * 999, 0.0)], "protocol|network",
    ),
    "chunk size that is none": (
        [response_head(200, "Transfer-Encoding: chunked"), b"zz\r\n", close],
        "protocol|network",
    ),
    "endless chunk size": (
        [response_head(200, "Transfer-Encoding: chunked"), drip(b"0" * 9999, 0.0)],
        "protocol|network",
    ),
    "negative chunk size": (
        [response_head(200, "Transfer-Encoding: chunked"), b"-5\r\nabcde\r\n", close],
        "protocol",
    ),
    "huge chunk announced": (
        [response_head(200, "Transfer-Encoding: chunked"), b"7fffffffffffffff\r\n",
         sse(started()), close],
        "stream_cut|protocol|network",
    ),
    "huge length announced": (
        [response_head(200, "Content-Length: 9" + "0" * 17), sse(started()), close],
        "stream_cut|protocol|network",
    ),
    "length cut": (
        [response_head(200, "Content-Length: 5000"),
         sse(started(), opened(0), text(0, "Hello")), close],
        "stream_cut|network",
    ),
    "chunk cut": (
        [response_head(200, "Transfer-Encoding: chunked"),
         b"fff\r\n" + sse(started(), opened(0), text(0, "Hello")), close],
        "stream_cut|network",
    ),
    "reset inside text": (
        unfinished(sse(started(), opened(0), text(0, "Hello")), reset),
        "stream_cut|network",
    ),
}


@pytest.mark.parametrize("name", BROKEN_HTTP)
def test_broken_http_is_an_error_and_the_next_turn_is_served(
    bench: Bench, name: str
) -> None:
    bench.afresh()
    script, code = BROKEN_HTTP[name]
    answer = bench.ask(ask(), *script)
    assert re.fullmatch(code, answer.code), answer
    assert answer.error["retryable"] is True
    assert bench.ask(ask()).text == "ok"


def test_body_cut_after_message_stop_is_a_success(bench: Bench) -> None:
    for end in (close, reset):
        assert bench.ask(ask(), *unfinished(OK, end)).text == "ok"
        head = response_head(200, "Content-Length: 5000")
        assert bench.ask(ask(), head, OK, end).text == "ok"


# --- connections ---------------------------------------------------------------


def test_connection_is_used_again_when_the_body_was_read_to_its_end(
    emulator: Emulator,
) -> None:
    whole = b"".join(piece for piece in respond(OK) if isinstance(piece, bytes))
    emulator.answer = lambda request: [whole]
    with Plugin(emulator.base_url) as plugin:
        for _ in range(20):
            assert plugin.turn(ask()).text == "ok"
    # The next turn may come before the last one has put its connection back.
    assert emulator.connections < 10


def test_idle_connection_that_died_costs_nothing(emulator: Emulator) -> None:
    with Plugin(emulator.base_url, {"max_retries": 0}) as plugin:
        for end in (close, reset, close):
            emulator.queue.append([*respond(OK), end])
            ident = plugin.submit(ask())
            answer = plugin.answer(ident)
            assert answer.text == "ok" and answer.of("retry", "error") == []
            assert answer.end["timing"]["attempts"] == 1
            assert emulator.requests[-1].gone.wait(DEADLINE)
        assert plugin.turn(ask()).text == "ok"


@pytest.mark.parametrize("leave", [True, False], ids=["left", "cut"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_turn_that_ends_badly_lets_the_next_one_on_its_connection_alone(
    emulator: Emulator, framing: str, leave: bool
) -> None:
    """urllib3 2 gives the connection back when a body was read to its length."""
    go = threading.Event()
    emulator.queue.append(respond(BEGUN, framing=framing))
    emulator.queue.append(unfinished(BEGUN, wait(go), sse(*TAIL)))
    with python_client(emulator) as client:
        bad, good = client.turn(ask()), client.turn(ask())
        for turn in (bad, good):
            assert any(event["type"] == "text_delta" for event in turn)
        if leave:
            bad.close()
        else:
            assert list(bad)[-1]["error"]["code"] == "stream_cut"
        go.set()
        assert list(good)[-1]["type"] == "turn_end"


def test_bytes_after_a_response_never_answer_another_turn(emulator: Emulator) -> None:
    poison = b"".join(p for p in respond(words("POISON")) if isinstance(p, bytes))
    good = b"".join(p for p in respond(OK) if isinstance(p, bytes))
    with Plugin(emulator.base_url, {"max_retries": 0}) as plugin:
        for _ in range(10):
            emulator.queue.append([good + poison])
            assert plugin.turn(ask()).text == "ok"
    assert len(emulator.requests) == 10


@pytest.mark.parametrize("end", [close, reset])
@pytest.mark.parametrize("within, code", [(1e9, None), (-1.0, "network")])
def test_request_that_a_kept_connection_loses_at_once_is_sent_again(
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    end: Step,
    within: float,
    code: str | None,
) -> None:
    """What is lost later may have been served already."""
    monkeypatch.setattr(provider, "STALE_SECONDS", within)
    emulator.queue.extend([kept(OK), [end], kept(OK)])
    with python_client(emulator) as client:
        assert list(client.turn(ask()))[-1]["type"] == "turn_end"
        last = list(client.turn(ask()))[-1]
    assert last.get("error", {}).get("code") == code
    assert [r.connection for r in emulator.requests] == [1, 1, 2][: 2 + (code is None)]


@pytest.mark.parametrize("begun", [
    b"HTTP/1.1 200 OK\r\nContent-Type: text/ev", b"HTTP/1.1 100 Continue\r\n\r\n",
])
def test_request_whose_answer_has_begun_is_not_sent_again(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(provider, "STALE_SECONDS", 1e9)
    emulator.queue.extend([kept(OK), [begun, reset]])
    with python_client(emulator) as client:
        first, last = [list(client.turn(ask()))[-1] for _ in range(2)]
    assert (first["type"], last["error"]["code"]) == ("turn_end", "network")
    assert [r.connection for r in emulator.requests] == [1, 1]


def test_connection_that_was_idle_for_long_is_not_used_again(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "MAX_IDLE_SECONDS", -1.0)
    emulator.answer = lambda request: kept(OK)
    with python_client(emulator) as client:
        for _ in range(2):
            assert list(client.turn(ask()))[-1]["type"] == "turn_end"
    assert [r.connection for r in emulator.requests] == [1, 2]


def test_bytes_after_message_stop_are_no_content(bench: Bench) -> None:
    for tail in (words("MORE"), b"data: {oops\n\n", frame(api_error("x (1000)"))):
        answer = bench.stream(OK + tail)
        assert answer.text == "ok"


def test_connection_whose_body_did_not_end_is_not_used_again(
    emulator: Emulator,
) -> None:
    with Plugin(emulator.base_url, {"max_retries": 0}) as plugin:
        emulator.queue.append(unfinished(OK, hold))
        assert plugin.turn(ask()).text == "ok"
        assert plugin.turn(ask()).text == "ok"
    assert [r.connection for r in emulator.requests] == [1, 2]


# --- framing, and the ways of reading ---------------------------------------------

# A body in chunks, and its content (None: no such framing).
CHUNK_CASES: dict[str, tuple[bytes, bytes | None]] = {
    "one": (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
    "several, in hex of any case": (
        b"a\r\n0123456789\r\n00B\r\n0123456789a\r\n0\r\n\r\n",
        b"01234567890123456789a",
    ),
    "line ends in the content": (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
    "extensions": (b'2;a=1;b="x"\r\nab\r\n0;c\r\n\r\n', b"ab"),
    "space around the size": (b" 2 \r\nab\r\n0\r\n\r\n", b"ab"),
    "trailers": (b"1\r\na\r\n0\r\nA: 1\r\nB: 2\r\n\r\n", b"a"),
    "a size line that ends in LF": (b"1\na\r\n0\n\n", b"a"),
    "bytes after the end": (b"1\r\na\r\n0\r\n\r\n5\r\nHTTP/", b"a"),
    "no size": (b"\r\nabc", None),
    "a word": (b"xyz\r\nabc", None),
    "negative": (b"-3\r\nabc\r\n", None),
    "0x": (b"0x3\r\nabc\r\n", None),
    "underscore": (b"1_0\r\nabc\r\n", None),
    "too many digits": (b"1" * 16 + b"\r\nabc\r\n", None),
    "a chunk longer than its size": (b"2\r\nabc\r\n0\r\n\r\n", None),
    "a chunk that ends in LF alone": (b"2\r\nab\n0\r\n\r\n", None),
    "an endless size": (b"0" * 70000, None),
    "endless trailers": (b"0\r\n" + b"A: 1\r\n" * 20000, None),
}


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("name", CHUNK_CASES)
def test_chunked_framing_gives(name: str, how: str) -> None:
    data, expected = CHUNK_CASES[name]
    for seed in range(5 if how == "random" else 1):
        decoder, content = provider.ChunkDecoder(), b""
        try:
            for piece in cut(data, how, seed):
                content += decoder.feed(piece)
            if decoder.fault:
                decoder.feed(b"")
        except ValueError:
            assert expected is None
        else:
            assert content == expected and decoder.ended


@pytest.mark.parametrize("data", [OK, OK[: OK.rindex(b"event: message_stop")]])
def test_fault_of_the_framing_after_a_whole_message_undoes_nothing(
    emulator: Emulator, data: bytes
) -> None:
    emulator.queue.append([CHUNKED + chunk(data) + b"zz\r\n"])
    emulator.queue.append([CHUNKED + b"zz\r\n"])
    with Plugin(emulator.base_url, ONCE) as plugin:
        assert plugin.turn(ask()).text == "ok"
        answer = plugin.turn(ask())
    assert answer.code == "protocol"
    answer.says(r"a chunk has no size\n")


@PROPERTY
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.integers(0, 9))
def test_chunks_do_not_depend_on_the_cuts(parts: list[bytes], seed: int) -> None:
    data = b"".join(map(chunk, parts)) + LAST_CHUNK
    for how in CUTS:
        decoder = provider.ChunkDecoder()
        content = b"".join(decoder.feed(piece) for piece in cut(data, how, seed))
        assert content == b"".join(parts) and decoder.ended


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("way", ["ours", "foreign", "foreign without read1"])
def test_bytes_arrive_at_once_whoever_reads_the_response(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, way: str, framing: str
) -> None:
    """A connection that is not ours, as through SOCKS, has another response."""
    if way != "ours":
        plain = lambda: http.client.HTTPResponse  # noqa: E731
        monkeypatch.setattr(provider, "response_class", plain)
    if way == "foreign without read1":
        for base in urllib3.response.HTTPResponse.__mro__:
            if "read1" in vars(base) and base.__module__.startswith("urllib3"):
                monkeypatch.delattr(base, "read1")
    heard = threading.Event()
    at = RICH.data.index(b"event: content_block_stop")
    pieces = [RICH.data[:at], wait(heard), *cut(RICH.data[at:], "random")]
    emulator.queue.append(respond(*pieces, framing=framing))
    with provider.MiniMaxProvider(api_key=KEY, base_url=emulator.base_url) as client:
        for event in client.turn(ask()):
            if event["type"] == "thinking_delta":
                heard.set()
    assert heard.is_set() and same(event["message"]["content"], RICH.content)


def test_deltas_of_one_read_leave_as_one_line_for_each_text(bench: Bench) -> None:
    body = sse(
        started(),
        opened(0), text(0, "a"), text(0, "b"), PING, text(0, "c"), text(0, "\ud83d"),
        opened(1), text(1, "x"), text(0, "\ude00"), text(1, "y"), text(1, "z"),
        closed(1), closed(0), stopping(), STOP,
    )  # fmt: skip
    bench.emulator.queue.append(kept(body))
    answer = bench.plugin.turn(ask())
    told = [(event["index"], event["text"]) for event in answer.of("text_delta")]
    assert told == [(0, "ab"), (0, "c"), (1, "x"), (0, "\U0001f600"), (1, "yz")]
    assert [b["text"] for b in answer.content] == ["abc\U0001f600", "xyz"]


@PROPERTY
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from(["text_delta", "input_json_delta", "signature_delta"]),
            st.text(alphabet="ab\ud83d\ude00", max_size=3),
        ),
        max_size=12,
    )
)
def test_merged_deltas_are_as_few_as_can_be_and_hold_the_same(
    deltas: list[tuple[int, str, str]],
) -> None:
    field = {"text_delta": "text", "input_json_delta": "partial_json"}
    payloads = [
        delta(index, kind, **{field.get(kind, "signature"): fragment})
        for index, kind, fragment in deltas
    ]
    merged = list(provider.merge_deltas(payloads))
    runs = [(m["index"], m["delta"]["type"]) for m in merged]
    assert all(one != other for one, other in zip(runs, runs[1:]))

    def whole(payloads: Iterable[Obj]) -> list[tuple[object, str]]:
        texts: dict[object, str] = {}
        for p in payloads:
            kind = p["delta"]["type"]
            key = p["index"], kind
            more = p["delta"][field.get(kind, "signature")]
            texts[key] = texts.get(key, "") + more
        return [(key, json.dumps(value)) for key, value in sorted(texts.items())]

    assert whole(merged) == whole(payloads)


# =====================================================================
# A turn: retries, deadlines, cancelling
# =====================================================================

QUICK = {"max_retries": 3, "retry_base_delay": 0.01}
BUSY = refuse(529, api_error("high load (2064)"))


@pytest.fixture(scope="module")
def long_retrying() -> Iterator[Bench]:
    made = Bench(**QUICK)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def retrying(long_retrying: Bench) -> Iterator[Bench]:
    long_retrying.emulator.reset()
    yield long_retrying


RETRIED: dict[str, tuple[Script, str]] = {
    "overloaded": (BUSY, "overloaded"),
    "rate limited": (refuse(429, api_error("slow (1002)")), "rate_limited"),
    "upstream": (refuse(502, HTML % "502"), "upstream"),
    "no response": ([close], "network"),
    "reset": ([reset], "network"),
    "empty": (respond(sse(started(), PING, STOP)), "empty_response"),
    "cut before any block": (respond(sse(started(), PING)), "stream_cut"),
    "error event before any block": (
        respond(sse(started(), api_error("high load (2064)"))), "overloaded",
    ),
    "not a stream": (refuse(200, HTML % "Wait"), "protocol"),
}


@pytest.mark.parametrize("name", RETRIED)
def test_trouble_before_any_content_is_retried_and_announced(
    retrying: Bench, name: str
) -> None:
    retrying.afresh()
    script, code = RETRIED[name]
    retrying.emulator.queue.extend([script, script])
    retrying.emulator.queue.append(respond(words("ok").replace(b"0001", b"000f")))
    answer = retrying.plugin.turn(ask())
    assert answer.text == "ok", answer
    retries = answer.of("retry")
    assert [retry["attempt"] for retry in retries] == [1, 2]
    assert {retry["max_attempts"] for retry in retries} == {4}
    assert {retry["error"]["code"] for retry in retries} == {code}
    assert answer.end["timing"]["attempts"] == 3
    [start] = answer.of("turn_start")
    assert start["message_id"] == answer.end["message_id"] == "0" * 31 + "f"
    bodies = [request.json for request in retrying.emulator.requests]
    assert len(bodies) == 3 and bodies[0] == bodies[1] == bodies[2]


def test_retries_end_with_the_last_error(retrying: Bench) -> None:
    retrying.emulator.answer = lambda request: BUSY
    answer = retrying.plugin.turn(ask())
    assert answer.code == "overloaded" and len(answer.of("retry")) == 3
    assert len(retrying.emulator.requests) == 4
    assert answer.end["timing"]["attempts"] == 4


@pytest.mark.parametrize("status, pace", [(500, 1), (529, 2), (429, 4)])
def test_back_off_doubles_and_is_jittered(
    retrying: Bench, status: int, pace: int
) -> None:
    retrying.emulator.answer = lambda request: refuse(status, "later")
    delays = [retry["delay"] for retry in retrying.plugin.turn(ask()).of("retry")]
    assert len(delays) == 3
    for number, delay in enumerate(delays):
        most = QUICK["retry_base_delay"] * pace * 2**number
        assert most / 2 <= delay <= most + 0.0005, delays


@pytest.mark.parametrize("status, message", [
    (401, "invalid (1004)"), (402, "balance (1008)"), (500, "plan (2061)"),
    (429, "quota (2056)"), (400, "invalid params (2013)"), (422, "filter (1026)"),
    (403, "no"), (500, "balance (1008)"),
])
def test_error_that_would_come_again_is_not_retried(
    retrying: Bench, status: int, message: str
) -> None:
    answer = retrying.ask(ask(), *refuse(status, api_error(message)))
    assert answer.error["retryable"] is False and answer.of("retry") == []
    assert len(retrying.emulator.requests) == 1


@pytest.mark.parametrize("ending", [
    sse(), sse(api_error("high load (2064)")), b"data: {oops\n\n",
])
def test_trouble_after_a_block_has_started_is_never_replayed(
    retrying: Bench, ending: bytes
) -> None:
    answer = retrying.stream(sse(started(), opened(0)) + ending)
    assert answer.end["type"] == "error" and answer.error["retryable"] is True
    assert answer.of("retry") == [] and len(retrying.emulator.requests) == 1


def in_seconds(seconds: int) -> str:
    now = datetime.datetime.now(datetime.timezone.utc)
    return email.utils.format_datetime(
        now + datetime.timedelta(seconds=seconds), usegmt=True
    )


# (the header; the least and the most of the delay announced; None: no claim)
RETRY_AFTER: dict[str, tuple[Callable[[], str], float, float]] = {
    "seconds": (lambda: "20", 20, 60),
    "fraction": (lambda: "20.5", 20.5, 60),
    "date": (lambda: in_seconds(30), 1, 60),
    "at the cap": (lambda: "60", 60, 61),
}


@pytest.mark.parametrize("name", RETRY_AFTER)
def test_retry_after_is_honoured_and_back_off_can_be_cancelled(
    retrying: Bench, name: str
) -> None:
    make, least, most = RETRY_AFTER[name]
    retrying.emulator.queue.append(
        refuse(429, api_error("slow (1002)"), "Retry-After: " + make())
    )
    ident = retrying.plugin.submit(ask())
    retry = retrying.plugin.wait_line("retry", ident)
    assert least <= retry["delay"] <= most
    retrying.plugin.cancel(ident)
    answer = retrying.plugin.answer(ident)
    assert answer.end["stop_reason"] == "cancelled" and answer.content == []
    assert len(retrying.emulator.requests) == 1


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="no time zones to choose")
@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Shanghai"])
@pytest.mark.parametrize("date", [
    "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:37 -0000",
])
def test_retry_after_is_a_date_of_gmt_in_every_zone(
    monkeypatch: pytest.MonkeyPatch, zone: str, date: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        assert provider._retry_after(date, 784111767.0) == 10
    time.tzset()


@pytest.mark.parametrize("value", ["-5", "soon", "", "nan", "1,5", "0x20", "\xb2"])
def test_retry_after_that_makes_no_sense_is_ignored(
    retrying: Bench, value: str
) -> None:
    busy = refuse(529, api_error("load (2064)"), "Retry-After: " + value)
    answer = retrying.ask(ask(), *busy)
    assert answer.text == "ok"
    [retry] = answer.of("retry")
    assert retry["delay"] < 5


@pytest.mark.parametrize("value", ["86400", "61", "9" * 30, "1e9"])
def test_retry_after_beyond_the_cap_is_reported_at_once(
    retrying: Bench, value: str
) -> None:
    busy = refuse(529, api_error("load (2064)"), "Retry-After: " + value)
    answer = retrying.ask(ask(), *busy)
    if value == "1e9" and answer.end["type"] == "turn_end":
        return  # not a form of the RFC: it may be taken for words
    assert answer.code == "overloaded" and answer.of("retry") == []
    assert answer.error["retry_after"] >= 61


def test_retry_after_beyond_the_turns_end_is_reported_at_once(
    emulator: Emulator,
) -> None:
    emulator.queue.append(refuse(429, "slow", "Retry-After: 600"))
    config = {"turn_timeout": 500, "retry_after_max": 1000}
    with Plugin(emulator.base_url, config) as plugin:
        answer = plugin.turn(ask())
    assert (answer.code, answer.error["retry_after"]) == ("rate_limited", 600)
    assert answer.of("retry") == []


def test_retry_after_date_beyond_the_cap_is_reported_at_once(retrying: Bench) -> None:
    busy = refuse(429, api_error("(1002)"), "Retry-After: " + in_seconds(86400))
    answer = retrying.ask(ask(), *busy)
    assert answer.code == "rate_limited"
    assert 80000 < answer.error["retry_after"] < 90000


# --- limits: each case a turn of its own, all at the same time --------------------


class Limit(NamedTuple):
    script: Script
    says: str
    partial: bool = False


CHUNKED = response_head(200, "Transfer-Encoding: chunked")
BEGUN = sse(started(), opened(0), text(0, "Hello"))

LIMITS: dict[str, Limit] = {
    "silence instead of headers": Limit([hold], "first.event"),
    "dripping head": Limit([b"HTTP/1.1 200 OK\r\nX-A: ", drip(b"a")], "first.event"),
    "dripping headers": Limit(
        [b"HTTP/1.1 200 OK\r\n", drip(b"X-A: a\r\n", 0.1)], "first.event"
    ),
    "dripping 100 Continue": Limit(
        [drip(b"HTTP/1.1 100 Continue\r\n\r\n")], "first.event"
    ),
    "silence instead of a body": Limit([CHUNKED, hold], "first.event"),
    "dripping pings first": Limit([CHUNKED, drip(chunk(sse(PING)))], "first.event"),
    "dripping comments first": Limit([CHUNKED, drip(chunk(b": x\n\n"))], "first.event"),
    "dripping blank lines first": Limit([CHUNKED, drip(chunk(b"\n"))], "first.event"),
    "dripping line first": Limit(
        [CHUNKED, chunk(b"data: "), drip(chunk(b"a"))], "first.event"
    ),
    "dripping chunk size": Limit([CHUNKED, drip(b"0", 0.02)], "first.event"),
    "silence after text": Limit([CHUNKED, chunk(BEGUN), hold], "idle", True),
    "dripping pings": Limit(
        [CHUNKED, chunk(BEGUN), drip(chunk(sse(PING)))], "idle", True
    ),
    "dripping comments": Limit(
        [CHUNKED, chunk(BEGUN), drip(chunk(b": x\n\n"))], "idle", True
    ),
    "dripping line": Limit(
        [CHUNKED, chunk(BEGUN + b"data: "), drip(chunk(b"a"))], "idle", True
    ),
    "dripping chunk extension": Limit(
        [CHUNKED, chunk(BEGUN), b"5;", drip(b"a")], "idle", True
    ),
    "dripping trailers": Limit(
        [CHUNKED, chunk(BEGUN), b"0\r\n", drip(b"X-A: a\r\n")], "idle|cut|ended", True
    ),
    "endless progress": Limit(
        [CHUNKED, chunk(BEGUN), drip(chunk(sse(text(0, "Hello"))), 0.1)], "turn", True
    ),
    "endless empty progress": Limit(
        [CHUNKED, chunk(BEGUN), drip(chunk(sse(text(0, ""))), 0.1)], "turn", True
    ),
    "dripping error body": Limit(
        [response_head(500, "Transfer-Encoding: chunked"), drip(chunk(b"a"))], "."
    ),
}
LIMIT_CONFIG = {
    "connect_timeout": 1,
    "first_event_timeout": 1.5,
    "idle_timeout": 1.5,
    "turn_timeout": 5,
    "max_retries": 0,
    "max_concurrent_turns": 64,
}


@pytest.fixture(scope="module")
def limited() -> Iterator[dict[str, Answer]]:
    with Emulator() as emulator, Plugin(emulator.base_url, LIMIT_CONFIG) as plugin:
        emulator.routes.update((name, limit.script) for name, limit in LIMITS.items())
        for name in LIMITS:
            plugin.submit(ask(name, id=name))
        yield {name: plugin.answer(name) for name in LIMITS}
        for request in emulator.requests:
            assert request.gone.wait(DEADLINE), request.text


@pytest.mark.parametrize("name", LIMITS)
def test_limit_ends_the_turn_and_is_named(
    limited: dict[str, Answer], name: str
) -> None:
    answer, limit = limited[name], LIMITS[name]
    codes = {"dripping error body": "timeout|upstream", "dripping trailers": "."}
    assert re.match(codes.get(name, "timeout"), answer.code), answer
    answer.says(limit.says)
    assert (answer.end["partial"] is not None) is limit.partial


def test_limit_error_says_how_long_it_was(limited: dict[str, Answer]) -> None:
    limited["silence instead of headers"].says(r"1\.5")
    limited["silence after text"].says(r"1\.5")
    limited["endless progress"].says(r"\b5")


# Bytes that come faster than they can be read; each is no event.
FLOODS = {
    "pings": sse(PING) * 3000,
    "comments": b": x\n" * 15000,
    "blank lines": b"\n" * 60000,
    "empty data": b"data:\n\n" * 8000,
    "spaces": b" " * 60000,
    "byte order marks": b"\xef\xbb\xbf" * 20000,
}


def test_budget_is_stopped_by_the_host_alone_and_begun_by_news_alone() -> None:
    watch = provider.Watch()
    watch.start(10000.0)
    try:
        watch.arm("first", 100.0)
        due = watch.due
        watch.resume()  # after a read that brought nothing
        assert watch.due == due
        watch.pause()
        assert watch.due > due + 1000
        watch.resume()
        assert due <= watch.due < due + 50
        watch.allow("idle", 300.0)
        watch.resume()
        assert watch.due > due + 150
    finally:
        watch.finish()


@pytest.mark.parametrize("limit", ["first_event_timeout", "idle_timeout"])
@pytest.mark.parametrize("name", FLOODS)
def test_flood_cannot_outrun_the_time_limit(name: str, limit: str) -> None:
    begun = chunk(BEGUN) if limit == "idle_timeout" else b""
    script: Script = [CHUNKED, begun, drip(chunk(FLOODS[name]), 0.0)]
    config = {limit: 0.3, "max_retries": 0}
    with Emulator() as emulator, Plugin(emulator.base_url, config) as plugin:
        emulator.queue.append(script)
        answer = plugin.turn(ask())
    # What can never become an event may be told from a stream before the time is up.
    is_line = name in ("spaces", "byte order marks")
    assert answer.code == "timeout" or (is_line and answer.code == "protocol"), answer
    assert answer.code == "protocol" or limit in answer.error["message"]


def test_unknown_events_after_the_stop_reason_do_not_prolong_the_turn(
    emulator: Emulator,
) -> None:
    unknown = chunk(frame({"type": "new_event"}))
    whole = chunk(BEGUN + sse(closed(0), stopping()))
    emulator.queue.append([CHUNKED, whole, drip(unknown)])
    with Plugin(emulator.base_url, {"idle_timeout": 0.3}) as plugin:
        assert plugin.turn(ask()).text == "Hello"


def test_block_that_opens_after_the_stop_reason_has_all_the_time() -> None:
    turn = provider._Turn(provider.MiniMaxProvider(), {}, provider.Watch())

    def seconds(*payloads: Obj) -> float:
        data = [provider.ServerSentEvent("message", json.dumps(p)) for p in payloads]
        list(turn._events(data, False))
        return turn._watch._seconds

    idle = provider.OPTIONS["idle_timeout"]["default"]
    assert seconds(started(), opened(0), text(0, "a")) == idle
    assert seconds(closed(0), stopping()) == provider.LAST_EVENT_SECONDS
    assert seconds(opened(1)) == idle
    assert seconds(text(1, "b"), closed(1)) == provider.LAST_EVENT_SECONDS


@pytest.mark.parametrize("end", [
    hold, reset, close, b"data: {oops\n\n", frame("[]"), frame(started(ident="2")),
    frame(api_error("busy (2064)", "overloaded_error")),
])
@pytest.mark.parametrize("payloads, message", [
    ([], None),
    ([opened(0), text(0, "Hello[e~["), closed(0)], [A_TEXT]),
])
def test_whatever_follows_the_stop_reason_the_turn_has_succeeded(
    emulator: Emulator, payloads: list[Obj], message: list[Obj] | None, end: Step
) -> None:
    emulator.queue.append(unfinished(sse(started(), *payloads, stopping()), end))
    config = {"idle_timeout": 0.3, "max_retries": 0}
    with Plugin(emulator.base_url, config) as plugin:
        answer = plugin.turn(ask())
    assert answer.end["type"] == "turn_end", answer
    assert same(answer.content or None, message)


@contextlib.contextmanager
def deaf_listener() -> Iterator[int]:
    """A port whose connections never come about: its queue is full."""
    socks = []
    try:
        listener = socket.socket()
        socks.append(listener)
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
            socks.append(sock)
        yield int(listener.getsockname()[1])
    finally:
        for sock in socks:
            sock.close()


@contextlib.contextmanager
def silent_listener() -> Iterator[int]:
    """A port that takes connections and never says anything."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield int(listener.getsockname()[1])


@needs_linux
def test_connection_that_never_comes_about_is_a_connect_timeout() -> None:
    with deaf_listener() as port, Plugin(
        f"http://127.0.0.1:{port}", LIMIT_CONFIG
    ) as plugin:
        answer = plugin.turn(ask())
    assert answer.code == "timeout"
    answer.says("connect")


def test_tls_handshake_never_answered_is_a_connect_timeout() -> None:
    with silent_listener() as port, Plugin(
        f"https://127.0.0.1:{port}", LIMIT_CONFIG
    ) as plugin:
        answer = plugin.turn(ask())
    assert answer.code == "timeout"
    answer.says("connect|TLS|handshake")


def test_tls_handshake_that_drips_is_a_connect_timeout() -> None:
    def greeting(sock: socket.socket) -> None:
        # A handshake record announced, and then one byte of it at a time.
        sock.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03")
        while not server.stopping.wait(0.05):
            sock.sendall(b"\x00")

    with Emulator(greeting=greeting) as server:
        url = server.base_url.replace("http:", "https:")
        with Plugin(url, LIMIT_CONFIG) as plugin:
            answer = plugin.turn(ask())
    assert answer.code == "timeout"
    answer.says("connect|TLS|handshake")


def test_proxy_that_never_answers_is_a_connect_timeout() -> None:
    with silent_listener() as port:
        env: dict[str, str | None] = {"HTTPS_PROXY": f"http://127.0.0.1:{port}"}
        with Plugin("https://nowhere.invalid", LIMIT_CONFIG, env) as plugin:
            answer = plugin.turn(ask())
    assert answer.code == "timeout"
    answer.says("connect|proxy")


def test_upload_that_is_never_read_is_a_timeout() -> None:
    with silent_listener() as port, Plugin(
        f"http://127.0.0.1:{port}", LIMIT_CONFIG
    ) as plugin:
        answer = plugin.turn(ask("x" * 20000000))
    assert answer.code == "timeout"


# --- cancelling in every phase ----------------------------------------------------


def check_cancelled(answer: Answer) -> None:
    assert answer.end["type"] == "turn_end", answer
    assert answer.end["stop_reason"] == "cancelled", answer


CANCEL_PHASES: dict[str, Script] = {
    "before headers": [hold],
    "inside headers": [b"HTTP/1.1 200 OK\r\nX-A: ", hold],
    "before the first event": [CHUNKED, hold],
    "after message_start": [CHUNKED, chunk(sse(started(), PING)), hold],
    "inside an error body": [response_head(500, "Content-Length: 100"), b"x", hold],
}


@pytest.mark.parametrize("name", CANCEL_PHASES)
def test_cancel_while_waiting_drops_the_connection(bench: Bench, name: str) -> None:
    bench.emulator.queue.append(CANCEL_PHASES[name])
    ident = bench.plugin.submit(ask())
    request = bench.emulator.wait_request()
    bench.plugin.cancel(ident)
    answer = bench.plugin.answer(ident)
    check_cancelled(answer)
    assert answer.end["message"] is None
    assert request.gone.wait(DEADLINE)


def test_cancel_drops_a_connection_that_was_used_before(bench: Bench) -> None:
    bench.afresh()
    assert bench.ask(ask(), *kept(OK)).text == "ok"
    bench.emulator.queue.append([hold])
    ident = bench.plugin.submit(ask())
    request = bench.emulator.wait_request(2)
    assert request.connection == bench.emulator.requests[0].connection
    bench.plugin.cancel(ident)
    check_cancelled(bench.plugin.answer(ident))
    assert request.gone.wait(DEADLINE)


def test_cancel_inside_a_block_keeps_the_text_so_far(bench: Bench) -> None:
    pieces = sse(started(), opened(0, "thinking"), thinking(0, "H"), opened(1),
                 text(1, "Hello"), opened(2, "tool_use"), partial_json(2, '{"a": 1}'))
    bench.emulator.queue.append(unfinished(pieces, hold))
    ident = bench.plugin.submit(ask())
    bench.plugin.wait_line("input_delta", ident)
    bench.plugin.cancel(ident)
    answer = bench.plugin.answer(ident)
    check_cancelled(answer)
    assert same(answer.content, [A_TEXT])
    assert bench.emulator.wait_request().gone.wait(DEADLINE)


def test_cancel_of_a_flood_is_heard(bench: Bench) -> None:
    flood = drip(chunk(sse(text(0, "x" * 50)) * 50), 0.0)
    bench.emulator.queue.append([CHUNKED, chunk(BEGUN), flood])
    ident = bench.plugin.submit(ask())
    bench.plugin.wait_line("text_delta", ident)
    bench.plugin.cancel(ident)
    check_cancelled(bench.plugin.answer(ident))


@needs_linux
def test_cancel_while_connecting_ends_the_turn(bench: Bench) -> None:
    url, config = "http://127.0.0.1:%d", {"connect_timeout": 10 * DEADLINE}
    with deaf_listener() as port, Plugin(url % port, config) as plugin:
        ident = plugin.submit(ask())
        plugin.ping()
        plugin.cancel(ident)
        check_cancelled(plugin.answer(ident))


def test_cancel_inside_the_tls_handshake_ends_the_turn() -> None:
    spoken = threading.Event()

    def greeting(sock: socket.socket) -> None:
        sock.recv(1)
        spoken.set()
        server.stopping.wait(DEADLINE)

    with Emulator(greeting=greeting) as server:
        url = server.base_url.replace("http:", "https:")
        with Plugin(url) as plugin:
            ident = plugin.submit(ask())
            assert spoken.wait(DEADLINE)
            plugin.cancel(ident)
            check_cancelled(plugin.answer(ident))


def test_cancel_in_the_queue_ends_the_turn_without_a_request(
    emulator: Emulator,
) -> None:
    with Plugin(emulator.base_url, {"max_concurrent_turns": 1}) as plugin:
        emulator.routes["first"] = [hold]
        first = plugin.submit(ask("first"))
        emulator.wait_request()
        second = plugin.submit(ask("second"))
        plugin.cancel(second)
        check_cancelled(plugin.answer(second))
        plugin.cancel(first)
        check_cancelled(plugin.answer(first))
    assert len(emulator.requests) == 1


def test_cancel_after_the_end_or_of_nobody_changes_nothing(bench: Bench) -> None:
    ident = bench.plugin.submit(ask())
    answer = bench.plugin.answer(ident)
    seen = len(bench.plugin.lines)
    bench.plugin.cancel(ident)
    bench.plugin.cancel("nobody")
    bench.plugin.cancel(17)
    bench.plugin.ping()
    new = [line for line in bench.plugin.lines[seen:] if line["type"] != "pong"]
    assert new == [] and answer.text == "ok"


def test_cancel_twice_ends_the_turn_once(bench: Bench) -> None:
    bench.emulator.queue.append([hold])
    ident = bench.plugin.submit(ask())
    bench.emulator.wait_request()
    bench.plugin.cancel(ident)
    bench.plugin.cancel(ident)
    check_cancelled(bench.plugin.answer(ident))
    bench.plugin.ping()
    assert len(bench.plugin.answer(ident).of("turn_end", "error")) == 1


# =====================================================================
# Used from Python
# =====================================================================


def python_client(emulator: Emulator, **options: Any) -> Any:
    given: Obj = {"api_key": KEY, "base_url": emulator.base_url, "max_retries": 0}
    return provider.MiniMaxProvider(**dict(given, **options))


def without_time(events: Iterable[Obj]) -> list[Obj]:
    return [
        {key: value for key, value in event.items() if key not in ("timing", "id")}
        for event in events
    ]


def test_python_events_equal_the_wires(bench: Bench) -> None:
    bench.emulator.answer = lambda request: respond(RICH.data)
    wire = bench.plugin.turn(ask())
    with python_client(bench.emulator) as client:
        events = list(client.turn(ask()))
    assert same(without_time(events), without_time(wire.lines))
    assert all("id" not in event for event in events)


def test_bad_field_of_a_turn_without_a_type_is_told_with_its_id(bench: Bench) -> None:
    turn = {"id": "two", "messages": USER, "Messages": []}
    bench.plugin.send(turn)
    answer = bench.plugin.answer("two")
    assert answer.code == "invalid_request"
    answer.says("messages is given twice")


def test_blank_variable_counts_as_unset(emulator: Emulator) -> None:
    env: dict[str, str | None] = {"MINIMAX_API_KEY": " ", "MINIMAX_REGION": " "}
    config = {"api_key": KEY, "region": "cn"}
    with Plugin(emulator.base_url, config, env) as plugin:
        assert plugin.turn(ask()).text == "ok"
    [request] = emulator.requests
    assert request.header("authorization") == ["Bearer " + KEY]


def test_python_cancel_is_seen_at_every_step(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "CANCEL_POLL_SECONDS", 1e9)
    go, cancel = threading.Event(), threading.Event()
    emulator.queue.append(respond(BEGUN, wait(go), sse(*TAIL)))
    with python_client(emulator) as client:
        for event in client.turn(ask(), cancel):
            if event["type"] == "text_delta":
                cancel.set()
                go.set()
    assert event["stop_reason"] == "cancelled"


@needs_linux
def test_provider_is_closed_while_requests_is_imported(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    gate = str(tmp_path / "gate")
    env = planted(tmp_path, requests=f"open({gate!r}).read()")
    script = f"""
import plexum_minimax_provider as plugin
url = "http://127.0.0.1:9"
with plugin.MiniMaxProvider(api_key="k", base_url=url, turn_timeout=0.2) as provider:
    for _ in range(2):
        [end] = provider.turn({ask()!r})
        print(end["error"]["code"])
print("closed")
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        timeout=DEADLINE,
        cwd=os.path.dirname(SOURCE),
        env={**os.environ, **{k: str(v) for k, v in env.items()}},
    )
    assert done.stdout.split() == [b"timeout", b"timeout", b"closed"], done.stderr


@pytest.mark.parametrize("error", ["SystemExit(3)", "AttributeError('old')"])
def test_broken_requests_is_a_config_error(tmp_path: Path, error: str) -> None:
    env = planted(tmp_path, requests=f"raise {error}")
    with Plugin("http://127.0.0.1:9", env=env) as plugin:
        for _ in range(2):
            answer = plugin.turn(ask())
            assert answer.code == "config"
            answer.says(r"cannot import requests: (3|old)\n")


@needs_linux
def test_cancel_does_not_wait_for_the_import_of_requests(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    gate = str(tmp_path / "gate")
    env = planted(tmp_path, requests=f"open({gate!r}).read()")
    with Plugin("http://127.0.0.1:9", env=env) as plugin:
        ident = plugin.submit(ask())
        with open(gate, "w"):  # the import has begun
            plugin.cancel(ident)
            check_cancelled(plugin.answer(ident))


def test_python_turn_does_not_change_its_input(emulator: Emulator) -> None:
    turn = {
        "Messages": [
            {"role": "system", "content": "be brief"},
            user(block_text(" "), block_text("hi")),
            assistant(call("1"), block_text("")),
            user(block_text("x"), result("9"), {"type": "image", "url": "http://x"}),
        ],
        "tools": [{"name": "f"}],
        "model": "minimax/minimax-m2.1",
        "extra_body": {"a": {"b": 1}},
    }
    before = copy.deepcopy(turn)
    with python_client(emulator) as client:
        events = list(client.turn(turn))
    assert events[-1]["type"] == "turn_end" and same(turn, before)


def test_python_turn_raises_when_asked_to(emulator: Emulator) -> None:
    emulator.answer = lambda request: refuse(402, api_error("no balance (1008)"))
    with python_client(emulator) as client:
        last = list(client.turn(ask()))[-1]
        assert last["type"] == "error"
        with pytest.raises(provider.ProviderError) as caught:
            list(client.turn(ask(), raise_errors=True))
    assert caught.value.code == last["error"]["code"] == "insufficient_balance"
    assert caught.value.message == last["error"]["message"]
    assert caught.value.hint == last["error"]["hint"]
    assert caught.value.retryable is False


def test_python_turn_is_cancelled_by_its_event(emulator: Emulator) -> None:
    emulator.queue.append(unfinished(BEGUN, hold))
    cancel = threading.Event()
    with python_client(emulator) as client:
        events = []
        for event in client.turn(ask(), cancel=cancel):
            events.append(event)
            if event["type"] == "text_delta":
                cancel.set()
    assert events[-1]["stop_reason"] == "cancelled"
    assert events[-1]["message"]["content"] == [A_TEXT]


def test_python_turn_that_is_left_drops_the_connection(emulator: Emulator) -> None:
    emulator.queue.append(unfinished(BEGUN, hold))
    with python_client(emulator) as client:
        events = client.turn(ask())
        while next(events)["type"] != "text_delta":
            pass
        events.close()
        assert emulator.wait_request().gone.wait(DEADLINE)


def test_python_turns_leave_no_thread_behind(emulator: Emulator) -> None:
    before = set(threading.enumerate())
    for script in (respond(OK), refuse(500, "no"), [close]):
        emulator.queue.append(script)
        with python_client(emulator) as client:
            list(client.turn(ask()))
    emulator.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(DEADLINE)
        assert not thread.is_alive(), thread


def test_python_client_reads_no_environment(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIMAX_API_KEY", "environment-key-0000")
    monkeypatch.setenv("MINIMAX_BASE_URL", "http://127.0.0.1:9")
    with python_client(emulator) as client:
        assert list(client.turn(ask()))[-1]["type"] == "turn_end"
    assert emulator.requests[0].header("authorization") == ["Bearer " + KEY]


def test_python_client_from_config_reads_file_and_environment(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_config(tmp_path / "c.json", {"api_key": KEY, "max_tokens_default": 55})
    monkeypatch.delenv("MINIMAX_API_KEY", raising=False)
    monkeypatch.setenv("MINIMAX_BASE_URL", emulator.base_url)
    with provider.MiniMaxProvider.from_config(str(tmp_path / "c.json")) as client:
        assert list(client.turn(ask()))[-1]["type"] == "turn_end"
    assert emulator.requests[0].json["max_tokens"] == 55


def test_python_client_without_key_or_with_unknown_options_says_so(
    emulator: Emulator,
) -> None:
    with pytest.raises((provider.ProviderError, TypeError)):
        provider.MiniMaxProvider(api_key=KEY, nonsense=1)
    with provider.MiniMaxProvider(base_url=emulator.base_url) as client:
        [error] = list(client.turn(ask()))
    assert error["error"]["code"] == "config" and emulator.connections == 0


@pytest.mark.parametrize("name, value, says", [
    ("idle_timeout", 0, "must be at least 0.001 and at most 86400, not 0"),
    ("max_retries", 1.5, "must be an integer, not 1.5"),
    ("region", "mars", "must be one of global, cn"),
    ("effort", "e" * 30, "must be one of low, medium, high, xhigh, max"),
    ("api_key", KEY + "\n" + KEY, r"has .* at position 39\b"),
    ("api_key", "k" * 9000, "is too long"),
])
def test_python_option_that_is_wrong_says_what_it_must_be(
    name: str, value: object, says: str
) -> None:
    with pytest.raises(provider.ProviderError) as caught:
        provider.MiniMaxProvider(**{name: value})
    assert caught.value.code == "config"
    assert re.match(f"MiniMaxProvider: {name} {says}", caught.value.message), caught


@pytest.mark.parametrize("value", [{1, 2}, object(), float("nan"), b"x"])
def test_python_values_that_are_no_json_are_an_invalid_request(
    emulator: Emulator, value: object
) -> None:
    with python_client(emulator) as client:
        last = list(client.turn(ask("hi", metadata={"x": value})))[-1]
    assert last["error"]["code"] == "invalid_request"
    assert emulator.requests == []


@pytest.mark.parametrize("turn", [[1], "hi", 5, None])
def test_python_turn_that_is_no_object_is_an_invalid_request(
    emulator: Emulator, turn: Any
) -> None:
    with python_client(emulator) as client:
        [error] = client.turn(turn)
    assert error["error"]["code"] == "invalid_request"
    assert "object" in error["error"]["message"] and emulator.requests == []


def test_public_names_are_there() -> None:
    for name in provider.__all__:
        assert hasattr(provider, name), name
    assert {"MiniMaxProvider", "ProviderError"} <= set(provider.__all__)
    assert re.match(r"\d+\.\d+", provider.__version__)


# =====================================================================
# The plugin loop
# =====================================================================


def test_one_line_without_id_is_a_complete_session(emulator: Emulator) -> None:
    line = b'{"model":"MiniMax-M3","messages":[{"role":"user","content":"hi"}]}'
    for stdin in (line, line + b"\n", b"\n\xef\xbb\xbf" + line):
        code, lines, _ = run(stdin.lstrip(b"\n"), emulator.base_url)
        assert code == 0 and lines[-1]["type"] == "turn_end"
        assert {event["id"] for event in lines} == {"turn-1"}


def test_plugin_never_speaks_first_and_end_of_input_is_exit_0() -> None:
    assert run(b"")[:2] == (0, [])
    assert run(b"\n\r\n  \n")[:2] == (0, [])


def test_ids_are_echoed_verbatim_and_7_is_not_seven_in_quotes(bench: Bench) -> None:
    go = threading.Event()
    bench.emulator.answer = lambda request: respond(wait(go), words(request.text))
    ids: list[Any] = [7, "7", 0, -(10**30), " ", "é😀\n\0", "x" * 5000, 10**18]
    for number, ident in enumerate(ids):
        bench.plugin.send(ask(f"said {number}", id=ident))
    bench.emulator.wait_request(len(ids))
    go.set()
    for number, ident in enumerate(ids):
        answer = bench.plugin.answer(ident)
        assert answer.text == f"said {number}"
        assert all(same(line["id"], ident) for line in answer.lines)


@pytest.mark.parametrize("ident", ["", 1.0, 1.5, True, False, [], {}, ["a"]])
def test_unusable_id_is_a_line_error(bench: Bench, ident: object) -> None:
    before = len(bench.plugin.loose())
    bench.plugin.send(ask("hi", id=ident))
    bench.plugin.ping()
    [line] = bench.plugin.loose()[before:]
    assert line["error"]["code"] == "invalid_request" and bench.emulator.requests == []


def test_turns_without_id_run_in_order_one_after_another(emulator: Emulator) -> None:
    go = threading.Event()
    emulator.routes["one"] = respond(wait(go), words("first"))
    with Plugin(emulator.base_url) as plugin:
        plugin.send(ask("one"), ask("two", id=None), ask("three"))
        emulator.wait_request()
        plugin.ping()
        assert [request.text for request in emulator.requests] == ["one"]
        go.set()
        assert plugin.answer("turn-1").text == "first"
        assert plugin.answer("turn-2").text == plugin.answer("turn-3").text == "ok"
    assert [request.text for request in emulator.requests] == ["one", "two", "three"]
    names = [li["id"] for li in plugin.lines if li["type"] in ("turn_end", "error")]
    assert names == ["turn-1", "turn-2", "turn-3"]


def test_turn_without_id_skips_names_in_use_and_can_be_cancelled(
    emulator: Emulator,
) -> None:
    emulator.routes["held"] = [hold]
    with Plugin(emulator.base_url) as plugin:
        plugin.send(ask("held", id="turn-1"))
        emulator.wait_request()
        plugin.send(ask("held"))
        emulator.wait_request(2)
        plugin.cancel("turn-2")
        check_cancelled(plugin.answer("turn-2"))
        plugin.cancel("turn-1")
        check_cancelled(plugin.answer("turn-1"))


def test_id_may_be_used_again_after_its_turn(bench: Bench) -> None:
    for count in range(1, 4):
        bench.plugin.send(ask("hi", id="again"))
        bench.plugin.wait_line("turn_end", "again", count)
    assert len(bench.emulator.requests) == 3


def test_id_in_flight_is_refused_and_its_turn_goes_on(bench: Bench) -> None:
    go = threading.Event()
    bench.emulator.queue.append(respond(wait(go), OK))
    before = len(bench.plugin.loose())
    bench.plugin.send(ask("hi", id="twin"))
    bench.emulator.wait_request()
    bench.plugin.send(ask("hi", id="twin"))
    bench.plugin.ping()
    [line] = bench.plugin.loose()[before:]
    assert line["error"]["code"] == "duplicate_id" and line["ref_id"] == "twin"
    go.set()
    assert bench.plugin.answer("twin").text == "ok"
    assert len(bench.emulator.requests) == 1


def test_full_queue_is_busy_and_the_queue_is_served_in_order(
    emulator: Emulator,
) -> None:
    config = {"max_concurrent_turns": 1, "max_queued_turns": 2}
    go = threading.Event()
    emulator.routes["a"] = respond(wait(go), OK)
    with Plugin(emulator.base_url, config) as plugin:
        plugin.send(ask("a", id="a"))
        emulator.wait_request()
        plugin.send(*[ask(name, id=name) for name in "bcd"])
        assert plugin.answer("d").code == "busy"
        plugin.ping()
        go.set()
        for name in "abc":
            assert plugin.answer(name).text == "ok"
        assert plugin.turn(ask("e")).text == "ok"
    assert [request.text for request in emulator.requests] == list("abce")


def test_id_of_a_cancelled_turn_is_free_when_its_end_was_written(
    emulator: Emulator,
) -> None:
    emulator.routes["held"] = [hold]
    config = {"max_concurrent_turns": 1}
    with Plugin(emulator.base_url, config, reading=False) as plugin:
        held = plugin.submit(ask("held"))
        emulator.wait_request()
        for _ in range(100):  # more than any pipe holds: nothing is written after it
            plugin.send({"type": "ping", "id": "x" * 5000})
        for _ in range(2):
            plugin.send(ask("queued", id="queued"))
            plugin.cancel("queued")
        plugin.start_reading()
        check_cancelled(plugin.answer("queued"))
        plugin.cancel(held)
        check_cancelled(plugin.answer(held))
        [line] = plugin.loose()
        assert (line["error"]["code"], line["ref_id"]) == ("duplicate_id", "queued")
        plugin.send(ask("queued", id="queued"))
        plugin.wait_line("turn_end", "queued", 2)


@pytest.mark.parametrize("why", ["busy", "shutting_down"])
def test_ends_of_turns_are_never_dropped_though_pongs_are(why: str) -> None:
    count = 1500
    stopped, gate, whole = (threading.Event() for _ in range(3))
    written: list[bytes] = []

    def read() -> Iterator[bytes]:
        """What the host sends; asked on, all before was dealt with."""
        yield json.dumps(ask(id="held")).encode() + b"\n"
        if why == "shutting_down":
            loop.terminate()
            assert stopped.wait(DEADLINE)
        yield b'{"type":"ping"}\n' * 3000
        yield b"".join(json.dumps(ask(id=n)).encode() + b"\n" for n in range(count))
        yield b'{"type":"ping"}\n' * 10
        gate.set()
        yield b'{"type":"cancel","id":"held"}\n'
        yield b""

    def write(data: bytes) -> None:
        assert gate.wait(DEADLINE)
        written.append(data)
        if b"".join(written).count(b'"timing"') == count + 1:
            whole.set()

    def run_turn(request: Obj, watch: Any) -> Iterator[list[Obj]]:
        with contextlib.suppress(Exception):
            watch.sleep(DEADLINE)
        stopped.set()
        yield [turn_end(None, "cancelled")]

    limits = dict(provider.default_settings(), max_concurrent_turns=1)
    limits["max_queued_turns"] = 0
    pieces = read()
    loop = provider.PluginLoop(lambda: next(pieces), write, run_turn, limits)
    ending = loop.serve()
    assert whole.wait(DEADLINE)
    assert ending == ("done" if why == "busy" else "terminated")
    lines = check_grammar(b"".join(written))
    errors = [line for line in lines if line["type"] == "error"]
    assert sorted(line["id"] for line in errors) == list(range(count))
    assert {line["error"]["code"] for line in errors} == {why}
    assert [line["type"] for line in lines].count("pong") == 1000


def no_thread(self: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_turn_that_gets_no_thread_is_busy(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []

    def read() -> Iterator[bytes]:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            yield json.dumps(ask(id="a")).encode() + b"\n"
        yield b""

    pieces = read()
    with python_client(emulator) as client:
        loop = provider.PluginLoop(
            lambda: next(pieces), written.append, client.batches, client.settings()
        )
        assert loop.serve() == "done"
        with monkeypatch.context() as patch:  # the same where the clock gets none
            patch.setattr(threading.Thread, "start", no_thread)
            [error] = client.turn(ask())
        assert error["error"]["code"] == "busy"
        assert list(client.turn(ask()))[-1]["type"] == "turn_end"
    [line] = check_grammar(b"".join(written))
    assert (line["id"], line["error"]["code"]) == ("a", "busy")


def test_ping_and_describe_are_answered_while_a_turn_runs(bench: Bench) -> None:
    bench.emulator.queue.append(unfinished(BEGUN, hold))
    ident = bench.plugin.submit(ask())
    bench.plugin.wait_line("text_delta", ident)
    bench.plugin.send({"type": "ping", "id": 5}, {"type": "ping"})
    bench.plugin.send({"type": "describe", "id": "d"}, {"type": "describe"})
    bench.plugin.ping()
    lines = [li for li in bench.plugin.lines if li["type"] in ("pong", "manifest")][-5:]
    assert [(li["type"], li.get("id")) for li in lines[:4]] == [
        ("pong", 5), ("pong", None), ("manifest", "d"), ("manifest", None),
    ]
    assert "id" not in lines[1] and "id" not in lines[3]
    told = {k: v for k, v in lines[2].items() if k not in ("type", "id")}
    assert same(told, manifest())
    bench.plugin.cancel(ident)
    check_cancelled(bench.plugin.answer(ident))


BAD_LINES: dict[str, tuple[bytes, str]] = {
    "word": (b"hello", "invalid_json"),
    "half an object": (b'{"type":"turn"', "invalid_json"),
    "two objects": (b'{"type":"ping"}{"type":"ping"}', "invalid_json"),
    "single quotes": (b"{'type':'ping'}", "invalid_json"),
    "not UTF-8": (b'{"type":"ping","id":"\xff"}', "invalid_json"),
    "UTF-16": ('{"type":"ping"}'.encode("utf-16-le"), "invalid_json"),
    "NaN": (b'{"type":"turn","messages":[],"x":NaN}', "invalid_json"),
    "infinity": (b'{"type":"turn","messages":[],"x":-Infinity}', "invalid_json"),
    "overflow": (b'{"type":"turn","messages":[],"x":1e999}', "invalid_json"),
    "deep lists": (b"[" * 100000, "invalid_json"),
    "deep objects": (b'{"a":' * 100000, "invalid_json"),
    "deep and closed": (b"[" * 100000 + b"]" * 100000, "invalid_json|invalid_request"),
    "NUL bytes": (b"\0\0\0", "invalid_json"),
    "control character in a string": (b'{"type":"pi\x01ng"}', "invalid_json"),
    "list": (b"[1]", "invalid_json|invalid_request"),
    "string": (b'"ping"', "invalid_json|invalid_request"),
    "number": (b"5", "invalid_json|invalid_request"),
    "null": (b"null", "invalid_json|invalid_request"),
    "empty object": (b"{}", "invalid_request"),
    "unknown type": (b'{"type":"dance"}', "invalid_request"),
    "type as number": (b'{"type":5,"messages":[]}', "invalid_request"),
    "types that differ": (b'{"type":"ping","Type":"turn"}', "invalid_request"),
    "ids that differ": (b'{"type":"ping","id":"a","ID":"b"}', "invalid_request"),
    "ping with a bad id": (b'{"type":"ping","id":{}}', "invalid_request"),
    "cancel without id": (b'{"type":"cancel"}', "invalid_request"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_bad_line_is_one_error_line_and_nothing_else(bench: Bench, name: str) -> None:
    raw, code = BAD_LINES[name]
    before, total = len(bench.plugin.loose()), len(bench.plugin.lines)
    bench.plugin.write(raw + b"\n")
    bench.plugin.ping()
    new = bench.plugin.loose()[before:]
    [line] = new
    assert re.fullmatch(code, line["error"]["code"]), line
    assert len(bench.plugin.lines) == total + 2
    assert bench.emulator.requests == []


def test_line_errors_say_which_line_and_which_id(emulator: Emulator) -> None:
    stdin = b'\n{"type":"ping"}\r\noops\n{"type":"dance","id":"x"}\n'
    code, lines, _ = run(stdin, emulator.base_url)
    assert code == 0
    assert [line["type"] for line in lines] == ["pong", "error", "error"]
    assert [line["line"] for line in lines[1:]] == [3, 4]
    assert lines[2]["ref_id"] == "x" and "ref_id" not in lines[1]


@pytest.mark.parametrize("join", [b"\n", b"\r\n", b"\n\n\r\n", b" \n \t"])
def test_line_ends_and_blank_lines_are_all_understood(
    bench: Bench, join: bytes
) -> None:
    before = len([li for li in bench.plugin.lines if li["type"] == "pong"])
    bench.plugin.write(join.join([b'{"type":"ping"}'] * 3) + b"\n")
    bench.plugin.ping()
    pongs = [li for li in bench.plugin.lines if li["type"] == "pong"]
    assert len(pongs) == before + 4


def test_line_that_comes_byte_by_byte_is_one_line(bench: Bench) -> None:
    line = json.dumps(ask("é😀", id="slow"), ensure_ascii=False).encode() + b"\n"
    for byte in cut(line, "bytes"):
        bench.plugin.write(byte)
    assert bench.plugin.answer("slow").text == "ok"
    assert bench.emulator.requests[0].text == "é😀"


def test_line_too_long_is_skipped_and_the_next_is_read(emulator: Emulator) -> None:
    with Plugin(emulator.base_url, {"max_line_bytes": 2000}) as plugin:
        for size in (2001, 100000, 5000000):
            before = len(plugin.loose())
            plugin.write(b'{"id":"' + b"x" * size + b'"}\n')
            plugin.ping()
            [line] = plugin.loose()[before:]
            assert line["error"]["code"] == "line_too_long"
        assert plugin.turn(ask("x" * 1000)).text == "ok"
        assert len(plugin.loose()) == 3


def test_limit_holds_though_another_setting_is_wrong() -> None:
    config = {"max_line_bytes": 1000, "region": "mars"}
    with Plugin("", config) as plugin:
        plugin.send(ask("x" * 1000))
        plugin.ping()
        [line] = plugin.loose()
        assert line["error"]["code"] == "line_too_long"
        plugin.turn(ask()).says("mars")


def test_turn_that_came_just_before_the_end_of_input_is_finished(
    emulator: Emulator,
) -> None:
    go = threading.Event()
    emulator.answer = lambda request: respond(wait(go), words(request.text))
    config = {"max_concurrent_turns": 2}
    with Plugin(emulator.base_url, config) as plugin:
        for name in ("a", "b", "c"):
            plugin.send(ask(name, id=name))
        plugin.send(ask("d"))
        emulator.wait_request(2)
        plugin.stdin.close()
        go.set()
        assert plugin.wait_exit() == 0
        plugin.check()
    assert [plugin.answer(name).text for name in ("a", "b", "c")] == ["a", "b", "c"]
    assert plugin.answer("turn-1").text == "d"


JSON_LINES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from([
                "type", "id", "messages", "role", "content", "model", "tools", "Type",
                "max_tokens", "system", "text", "source", "input", "x",
            ]),
            st.one_of(inner, st.sampled_from(["user", "cancel", "describe", "text"])),
            max_size=5,
        ),
    ),
    max_leaves=12,
)


@settings(PROPERTY, max_examples=20)
@given(
    lines=st.lists(
        st.one_of(
            JSON_LINES.map(lambda value: json.dumps(value).encode()),
            st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b" ")),
            st.lists(JSON_LINES, max_size=3).map(
                lambda messages: json.dumps({"messages": messages}).encode()
            ),
        ),
        max_size=60,
    )
)
def test_whatever_the_lines_each_costs_one_answer_at_most(
    long_bench: Bench, lines: list[bytes]
) -> None:
    long_bench.emulator.reset()
    _, output, _ = run(b"\n".join(lines), long_bench.emulator.base_url)
    answers = [li for li in output if li["type"] in FINAL]
    assert len(answers) <= sum(1 for line in lines if line.strip())
    assert all(li["error"]["code"] != "internal" for li in output if "error" in li)


# =====================================================================
# Process rules
# =====================================================================


@pytest.mark.parametrize("stdin, code", [
    (json.dumps(ask()).encode(), 1),
    (json.dumps(ask()).encode() + b"\n\n", 1),
    (b"oops\n", 1),
    (json.dumps(ask(id="a")).encode() + b"\n", 0),
    (json.dumps(ask()).encode() + b'\n{"type":"ping"}\n', 0),
    (b'{"type":"ping"}', 0),
])
def test_exit_code_is_1_only_for_a_single_line_that_failed(
    emulator: Emulator, stdin: bytes, code: int
) -> None:
    emulator.answer = lambda request: refuse(402, api_error("no balance (1008)"))
    assert run(stdin, emulator.base_url)[0] == code


@pytest.mark.parametrize("argv", [["--wrong"], ["nonsense"], ["demo", "--wrong"]])
def test_wrong_command_line_is_exit_2(argv: list[str]) -> None:
    code, _, errors = run(b"", argv=argv)
    assert code == 2 and errors.strip()


def test_version_is_told() -> None:
    done = subprocess.run(
        [sys.executable, SOURCE, "--version"], stdout=subprocess.PIPE, check=True
    )
    assert provider.__version__ in done.stdout.decode()


def test_demo_runs_without_key_network_or_configuration(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "PATH": os.environ.get("PATH", os.defpath)}
    done = subprocess.run(
        [sys.executable, SOURCE, "demo"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE,
        cwd=str(tmp_path),
        env=dict(env, HTTPS_PROXY="http://127.0.0.1:9", HTTP_PROXY="http://127.0.0.1:9"),
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) > 10 and b"Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def planted(folder: Path, **modules: str) -> dict[str, str | None]:
    for name, source in modules.items():
        (folder / (name + ".py")).write_text(source)
    return {"PYTHONPATH": str(folder)}


def test_without_requests_a_turn_is_a_config_error_and_describe_works(
    tmp_path: Path,
) -> None:
    env = planted(tmp_path, requests="raise ImportError('no requests here')")
    with Plugin("http://127.0.0.1:9", env=env) as plugin:
        plugin.ping()
        plugin.send({"type": "describe"})
        plugin.wait_line("manifest")
        for _ in range(2):
            answer = plugin.turn(ask())
            assert answer.code == "config"
            answer.says("requests")


def test_describe_needs_nothing_heavy(tmp_path: Path) -> None:
    script = """
import os, sys
loaded = set(sys.modules)  # by start-up files
import plexum_minimax_provider as plugin
def leave(code):
    os.write(2, " ".join(set(sys.modules) - loaded).encode())
    end(code)
end, os._exit = os._exit, leave
sys.argv[1:] = []
plugin.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=b'{"type":"describe"}\n{"type":"ping"}\n',
        capture_output=True,
        timeout=DEADLINE,
        cwd=os.path.dirname(SOURCE),
        env=environment(str(tmp_path), "http://127.0.0.1:9"),
    )
    lines = [json.loads(line)["type"] for line in done.stdout.splitlines()]
    assert (done.returncode, lines) == (0, ["manifest", "pong"])
    heavy = "argparse asyncio dataclasses http logging requests socket ssl urllib"
    assert b"plexum_minimax_provider" in done.stderr
    assert set(heavy.split()).isdisjoint(done.stderr.decode().split())


def test_stray_prints_and_writes_to_fd_1_land_on_stderr(
    emulator: Emulator, tmp_path: Path
) -> None:
    source = """
import os, socket, subprocess, sys
real = socket.getaddrinfo
def noisy(*args, **kwargs):
    print("stray print")
    sys.stdout.flush()
    os.write(1, b"stray write\\n")
    subprocess.call(["sh", "-c", "echo stray child"])
    return real(*args, **kwargs)
socket.getaddrinfo = noisy
"""
    env = planted(tmp_path, sitecustomize=source)
    with Plugin(emulator.base_url, env=env) as plugin:
        assert plugin.turn(ask()).text == "ok"
    for stray in (b"stray print", b"stray write", b"stray child"):
        assert stray in plugin.errors and stray not in plugin.output


def test_internal_error_is_reported_and_the_process_lives(
    emulator: Emulator, tmp_path: Path
) -> None:
    source = """
import http.client
real = http.client.HTTPConnection.request
count = []
def broken(self, *args, **kwargs):
    count.append(1)
    if len(count) == 1:
        raise ZeroDivisionError("planted")
    return real(self, *args, **kwargs)
http.client.HTTPConnection.request = broken
import http.client as c
real_put = c.HTTPConnection.putrequest
def broken_put(self, *args, **kwargs):
    if len(count) == 0:
        count.append(1)
        raise ZeroDivisionError("planted")
    return real_put(self, *args, **kwargs)
c.HTTPConnection.putrequest = broken_put
"""
    env = planted(tmp_path, sitecustomize=source)
    with Plugin(emulator.base_url, env=env) as plugin:
        assert plugin.turn(ask()).code == "internal"
        assert plugin.turn(ask()).text == "ok"
        plugin.stdin.close()
        assert plugin.wait_exit() == 0
    assert b"Traceback" in plugin.errors and b"planted" in plugin.errors
    check_grammar(bytes(plugin.output))
    check_secret(bytes(plugin.output), plugin.errors)


ENVIRONMENTS: dict[str, dict[str, str | None]] = {
    "C locale": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "no such locale": {"LC_ALL": "xx_YY.ISO-8859-15"},
    "odd encoding": {"PYTHONIOENCODING": "utf-16"},
    "optimised": {"PYTHONOPTIMIZE": "2"},
    "warnings are errors": {"PYTHONWARNINGS": "error"},
    "unbuffered": {"PYTHONUNBUFFERED": "1"},
    "development mode": {"PYTHONDEVMODE": "1"},
    "fault handler": {"PYTHONFAULTHANDLER": "1", "PYTHONTRACEMALLOC": "1"},
    "interactive afterwards": {"PYTHONINSPECT": "1"},
    "startup file": {"PYTHONSTARTUP": "/nonexistent"},
    "small digit limit": {"PYTHONINTMAXSTRDIGITS": "640"},
    "no digit limit": {"PYTHONINTMAXSTRDIGITS": "0"},
    "no home": {"HOME": None},
    "no path": {"PATH": None},
    "empty proxies": {"HTTP_PROXY": "", "HTTPS_PROXY": "", "NO_PROXY": "*"},
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environment_changes_nothing(emulator: Emulator, name: str) -> None:
    digits = "3" * 4300
    emulator.queue.append(respond(*cut(RICH.data, "random")))
    emulator.queue.append(respond(tool_stream(f'{{"n": {digits}}}')))
    with Plugin(emulator.base_url, env=ENVIRONMENTS[name]) as plugin:
        assert same(plugin.turn(ask("é😀")).content, RICH.content)
        assert str(plugin.turn(ask()).content[0]["input"]["n"]) == digits
        assert emulator.requests[0].text == "é😀"
        plugin.write(b"oops\n")
        assert plugin.close() == 0


def test_process_that_gets_no_thread_at_all_is_exit_3(tmp_path: Path) -> None:
    source = """
import threading
def start(self):
    raise RuntimeError("can't start new thread")
threading.Thread.start = start
"""
    code, lines, errors = run(b"", env=planted(tmp_path, sitecustomize=source))
    assert (code, lines) == (3, [])
    assert b"thread" in errors and b"Traceback" not in errors


def test_modules_in_the_working_directory_are_not_imported(
    emulator: Emulator, tmp_path: Path
) -> None:
    for name in ("json", "requests", "ssl", "queue", "threading", "typing"):
        (tmp_path / (name + ".py")).write_text("raise SystemExit('planted')")
    line = json.dumps(ask()).encode()
    assert run(line, emulator.base_url, cwd=str(tmp_path))[0] == 0


def test_deleted_working_directory_changes_nothing(
    emulator: Emulator, tmp_path: Path
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    shell = 'rmdir "$PWD" && exec "$@"'
    stdin = json.dumps(ask()).encode()
    code, lines, _ = run(stdin, emulator.base_url, shell=shell, cwd=str(folder))
    assert code == 0 and lines[-1]["type"] == "turn_end"


def test_closed_stdin_is_an_empty_session(emulator: Emulator) -> None:
    code, lines, _ = run(b"", emulator.base_url, shell='exec "$@" <&-')
    assert (code, lines) == (0, [])


def test_closed_stdin_is_no_other_descriptor(tmp_path: Path) -> None:
    """Else the wire would take its number, and be read."""
    (tmp_path / "wire").write_bytes(b'{"type":"ping"}\n')
    shell = 'exec "$@" <&- 1<>wire'
    assert run(b"", shell=shell, cwd=str(tmp_path))[:2] == (0, [])
    assert (tmp_path / "wire").read_bytes() == b'{"type":"ping"}\n'


def test_closed_stderr_changes_nothing(emulator: Emulator) -> None:
    stdin = json.dumps(ask()).encode() + b"\noops\n"
    code, lines, _ = run(stdin, emulator.base_url, shell='exec "$@" 2>&-')
    assert code == 0 and lines[-1]["type"] in ("turn_end", "error")
    assert [li["type"] for li in lines].count("turn_end") == 1


@pytest.mark.parametrize("closing", [">&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_stdout_ends_the_process_without_harm(
    emulator: Emulator, closing: str
) -> None:
    stdin = json.dumps(ask()).encode()
    code, lines, _ = run(stdin, emulator.base_url, shell='exec "$@" ' + closing)
    assert (code, lines) == (3, [])
    for request in emulator.requests:  # nothing of the protocol went to a socket
        assert request.method == "POST" and b"turn_start" not in request.body


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("stdin", [b'{"type":"ping"}\n', json.dumps(ask()).encode()])
def test_full_disk_behind_stdout_is_exit_3(emulator: Emulator, stdin: bytes) -> None:
    code, lines, _ = run(stdin, emulator.base_url, shell='exec "$@" >/dev/full')
    assert (code, lines) == (3, [])


def test_stdout_closed_by_the_host_stops_the_work_and_exits_0(
    emulator: Emulator,
) -> None:
    emulator.queue.append([CHUNKED, chunk(BEGUN), drip(chunk(sse(text(0, "x"))))])
    with Plugin(emulator.base_url, reading=False) as plugin:
        plugin.submit(ask())
        request = emulator.wait_request()
        plugin.stdout.close()
        assert plugin.wait_exit() == 0
        assert request.gone.wait(DEADLINE)


@needs_linux
def test_stdout_closed_by_the_host_is_noticed_while_nothing_is_written(
    emulator: Emulator,
) -> None:
    emulator.queue.append([hold])
    with Plugin(emulator.base_url, reading=False) as plugin:
        plugin.submit(ask())
        request = emulator.wait_request()
        plugin.stdout.close()
        assert request.gone.wait(DEADLINE)
        assert plugin.wait_exit() == 0


def test_sigterm_cancels_and_reports_every_turn(emulator: Emulator) -> None:
    emulator.routes["text"] = unfinished(BEGUN, hold)
    emulator.routes["silent"] = [hold]
    with Plugin(emulator.base_url, {"max_concurrent_turns": 2}) as plugin:
        streaming = plugin.submit(ask("text"))
        silent = plugin.submit(ask("silent"))
        queued = plugin.submit(ask("queued"))
        plugin.wait_line("text_delta", streaming)
        emulator.wait_request(2)
        plugin.ping()
        plugin.process.send_signal(signal.SIGTERM)
        assert plugin.wait_exit() == 0
        plugin.check()
    for ident in (streaming, silent, queued):
        end = plugin.answer(ident).end
        code = end.get("error", {}).get("code")
        assert end.get("stop_reason") == "cancelled" or code == "shutting_down", end
    assert same(plugin.answer(streaming).content, [A_TEXT])
    for request in emulator.requests:
        assert request.gone.wait(DEADLINE)


def test_turns_that_come_with_the_sigterm_end_or_are_refused(
    emulator: Emulator,
) -> None:
    emulator.answer = lambda request: [hold]
    with Plugin(emulator.base_url) as plugin:
        plugin.submit(ask())
        emulator.wait_request()
        plugin.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(BrokenPipeError):
            for _ in range(50):
                plugin.submit(ask())
        assert plugin.wait_exit() == 0
        plugin.check()
    for line in plugin.lines:
        if line["type"] == "error":
            assert line["error"]["code"] == "shutting_down"
        else:
            assert line.get("stop_reason", "cancelled") == "cancelled"


def test_second_sigterm_ends_the_process(emulator: Emulator) -> None:
    emulator.answer = lambda request: [hold]
    with Plugin(emulator.base_url, reading=False) as plugin:
        plugin.submit(ask())
        emulator.wait_request()
        for _ in range(2):
            plugin.process.send_signal(signal.SIGTERM)
        plugin.process.wait(DEADLINE)


def test_sigterm_without_turns_is_exit_0() -> None:
    with Plugin() as plugin:
        plugin.ping()
        plugin.process.send_signal(signal.SIGTERM)
        assert plugin.wait_exit() == 0
        plugin.check()


def test_sigint_is_ignored_when_stdin_is_no_terminal(emulator: Emulator) -> None:
    go = threading.Event()
    emulator.queue.append(respond(wait(go), OK))
    with Plugin(emulator.base_url) as plugin:
        ident = plugin.submit(ask())
        emulator.wait_request()
        plugin.process.send_signal(signal.SIGINT)
        plugin.ping()
        go.set()
        assert plugin.answer(ident).text == "ok"
        assert plugin.close() == 0


def whole_lines(output: bytes) -> list[Obj]:
    """The lines of a process that was not read to its end; the last may be cut."""
    return check_grammar(output[: output.rfind(b"\n") + 1], finished=False)


def test_sigterm_with_16_turns_streaming_and_a_host_not_reading(
    emulator: Emulator,
) -> None:
    flood = chunk(sse(text(0, "x" * 1000)) * 20)
    blocked = threading.Semaphore(0)

    def full(exchange: Exchange) -> None:
        exchange.sock.settimeout(0.5)
        with contextlib.suppress(OSError):
            while True:
                exchange.send(flood)
        blocked.release()  # nobody takes any more: the whole way is full
        exchange.sock.settimeout(None)
        exchange.until_gone()
        raise Done

    emulator.answer = lambda request: [CHUNKED, chunk(BEGUN), full]
    with Plugin(emulator.base_url, reading=False) as plugin:
        for _ in range(16):
            plugin.submit(ask())
        for _ in range(16):
            assert blocked.acquire(timeout=DEADLINE)
        plugin.process.send_signal(signal.SIGTERM)
        assert plugin.process.wait(DEADLINE) == 0
        whole_lines(plugin.stdout.read())
        check_secret(plugin.errors)


def test_host_that_reads_late_gets_everything(emulator: Emulator) -> None:
    many = 3000
    data = sse(started(), opened(0), *[text(0, f"{i:05}") for i in range(many)], *TAIL)
    emulator.answer = lambda request: respond(data)
    with Plugin(emulator.base_url, reading=False) as plugin:
        idents = [plugin.submit(ask()) for _ in range(4)]
        emulator.wait_request(4)
        plugin.start_reading()
        for ident in idents:
            expected = "".join(f"{i:05}" for i in range(many))
            assert plugin.answer(ident).text == expected


def test_time_in_which_the_host_does_not_read_is_not_idle_time(
    emulator: Emulator,
) -> None:
    big = ["x" * 10000] * 50  # more than a pipe holds, less than a socket
    sent = threading.Event()
    emulator.queue.append([*respond(a_text(*big)), tell(sent)])
    with Plugin(emulator.base_url, {"idle_timeout": 0.5}, reading=False) as plugin:
        ident = plugin.submit(ask())
        assert sent.wait(DEADLINE)
        emulator.stopping.wait(1)  # no speed is measured: only the limit is outlived
        plugin.start_reading()
        assert plugin.answer(ident).text == "".join(big)


def test_host_that_does_not_read_is_still_heard(emulator: Emulator) -> None:
    """Far more pongs than any pipe holds; then the cancel must get through."""
    emulator.queue.append([hold])
    with Plugin(emulator.base_url, reading=False) as plugin:
        ident = plugin.submit(ask())
        request = emulator.wait_request()
        count = 60000
        for _ in range(count // 1000):
            plugin.write(b'{"type":"ping"}\n' * 1000)
        plugin.cancel(ident)
        assert request.gone.wait(DEADLINE)
        plugin.start_reading()
        check_cancelled(plugin.answer(ident))
        plugin.ping()
        pongs = [line for line in plugin.lines if line["type"] == "pong"]
        assert 1000 <= len(pongs) < count


@needs_linux
def test_pipes_that_do_not_block_change_nothing(emulator: Emulator) -> None:
    data = sse(started(), opened(0), *[text(0, "x" * 2000)] * 500, *TAIL)
    emulator.answer = lambda request: respond(data)
    stdin_end, host_in = os.pipe()
    host_out, stdout_end = os.pipe()
    for end in (stdin_end, stdout_end):
        os.set_blocking(end, False)
    with tempfile.TemporaryDirectory() as home:
        process = subprocess.Popen(
            [sys.executable, SOURCE],
            stdin=stdin_end,
            stdout=stdout_end,
            env=environment(home, emulator.base_url),
        )
        os.close(stdin_end)
        os.close(stdout_end)
        with open(host_in, "wb") as writer, open(host_out, "rb") as reader:
            for number in range(3):
                writer.write(json.dumps(ask(id=number)).encode() + b"\n")
                writer.flush()
            emulator.wait_request(3)
            writer.close()
            output = reader.read()
        assert process.wait(DEADLINE) == 0
    lines = check_grammar(output)
    ends = [line for line in lines if line["type"] == "turn_end"]
    assert len(ends) == 3
    assert all(len(li["message"]["content"][0]["text"]) == 1000000 for li in ends)


# =====================================================================
# Faults: cuts, volume, secrets, load
# =====================================================================


def check_cut(answer: Answer, place: int, mode: str) -> None:
    """What a stream cut at `place` may become."""
    label = f"cut at {place} ({mode}): {answer!r}"
    decided = place >= RICH.decided
    if answer.end["type"] == "turn_end":
        assert decided, "a false end, " + label
        assert answer.end["stop_reason"] == "tool_use", label
        assert same(answer.content, RICH.content), label
        return
    codes = {"end": {"stream_cut"}, "reset": {"stream_cut", "network"}}[mode]
    if not answer.of("block_start"):
        codes |= {"empty_response", "protocol"}
    assert answer.code in codes, label
    assert mode == "reset" or not decided, label
    partial = (answer.end["partial"] or {"content": []})["content"]
    for got, whole in zip(partial, RICH.content):
        if got["type"] == "text":
            assert whole["text"].startswith(got["text"]), label
        else:
            assert same(got, whole), label


CUT_PLACES = range(len(RICH.data) + 1)
CUT_CONFIG = {"max_retries": 0, "max_concurrent_turns": 16, "max_queued_turns": 20000}


@pytest.mark.parametrize("mode", ["end", "reset"])
def test_stream_cut_at_every_byte_is_never_taken_for_whole(
    emulator: Emulator, mode: str
) -> None:
    def script(request: Request) -> Script:
        data = RICH.data[: int(request.text)]
        return respond(data) if mode == "end" else unfinished(data, reset)

    emulator.answer = script
    with Plugin(emulator.base_url, CUT_CONFIG) as plugin:
        plugin.send(*[ask(str(place), id=place) for place in CUT_PLACES])
        for place in CUT_PLACES:
            check_cut(plugin.answer(place), place, mode)


@pytest.mark.parametrize("framing", ["length", "close"])
def test_stream_cut_in_other_framings_is_never_taken_for_whole(
    emulator: Emulator, framing: str
) -> None:
    def script(request: Request) -> Script:
        data = RICH.data[: int(request.text)]
        if framing == "close":
            return respond(data, framing="close")
        size = f"Content-Length: {len(RICH.data) + 1}"
        return [response_head(200, size), data, close]

    emulator.answer = script
    places = CUT_PLACES[::7]
    with Plugin(emulator.base_url, CUT_CONFIG) as plugin:
        plugin.send(*[ask(str(place), id=place) for place in places])
        for place in places:
            mode = "end" if framing == "close" else "reset"
            check_cut(plugin.answer(place), place, mode)


def test_eof_inside_tool_input_is_stream_cut(bench: Bench) -> None:
    pieces = sse(started(), opened(0, "tool_use"), partial_json(0, '{"amount": 100'))
    answer = bench.stream(pieces)
    assert answer.code == "stream_cut" and answer.end["partial"] is None
    [end] = answer.of("block_end")
    assert end["incomplete"] is True and end["input_json"] == '{"amount": 100'


def test_eof_after_a_byte_order_mark_and_half_an_event_is_stream_cut(
    bench: Bench,
) -> None:
    answer = bench.stream(b"\xef\xbb\xbf" + sse(started())[:40])
    assert answer.code == "stream_cut"


# --- volume ---------------------------------------------------------------------


def peak_memory(plugin: Plugin) -> int:
    """The most memory the process ever had, in bytes."""
    status = Path(f"/proc/{plugin.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found.group(1)) * 1024


MEGABYTE = 1024 * 1024
ENOUGH_MEMORY = 320 * MEGABYTE


ENDLESS: dict[str, Callable[[], Script]] = {
    "line": lambda: [CHUNKED, chunk(b"data: "), drip(chunk(b"a" * MEGABYTE), 0.0)],
    "event of many lines": lambda: [
        CHUNKED, drip(chunk(b"data: aaaaaaaaaaaaaa\n" * 50000), 0.0),
    ],
    "raw text": lambda: [CHUNKED, drip(chunk(b"a" * MEGABYTE), 0.0)],
    "html page": lambda: [
        response_head(200, "Content-Type: text/html", "Transfer-Encoding: chunked"),
        drip(chunk(b"<p>" * 300000), 0.0),
    ],
    "error body": lambda: [
        response_head(500, "Content-Type: text/html", "Transfer-Encoding: chunked"),
        drip(chunk(b"<p>" * 300000), 0.0),
    ],
    "close-delimited error body": lambda: [
        response_head(429, "Connection: close"), drip(b"x" * MEGABYTE, 0.0),
    ],
}


@needs_proc
@pytest.mark.parametrize("name", ENDLESS)
def test_endless_body_is_an_error_in_bounded_memory(
    emulator: Emulator, name: str
) -> None:
    emulator.queue.append(ENDLESS[name]())
    with Plugin(emulator.base_url, {"max_retries": 0}) as plugin:
        answer = plugin.turn(ask())
        by_status = {
            "error body": "upstream", "close-delimited error body": "rate_limited",
        }
        assert answer.code == by_status.get(name, "protocol"), answer
        assert emulator.requests[0].gone.wait(DEADLINE)
        assert peak_memory(plugin) < ENOUGH_MEMORY
        assert plugin.turn(ask()).text == "ok"


@needs_proc
def test_compressed_bomb_is_no_danger(emulator: Emulator) -> None:
    bomb = gzip.compress(b"data: " + bytes(300 * MEGABYTE), 1)
    head = response_head(200, "Content-Encoding: gzip", f"Content-Length: {len(bomb)}")
    emulator.queue.append([head + bomb])
    with Plugin(emulator.base_url, {"max_retries": 0}) as plugin:
        assert plugin.turn(ask()).code in ("protocol", "stream_cut", "empty_response")
        assert peak_memory(plugin) < ENOUGH_MEMORY
        assert plugin.turn(ask()).text == "ok"


@needs_proc
def test_line_of_100_megabytes_on_stdin_is_too_long_in_bounded_memory() -> None:
    with Plugin() as plugin:
        piece = b"x" * MEGABYTE
        for _ in range(100):
            plugin.write(piece)
        plugin.write(b"\n")
        plugin.ping()
        [line] = plugin.loose()
        assert line["error"]["code"] == "line_too_long"
        assert peak_memory(plugin) < ENOUGH_MEMORY


@needs_linux
def test_line_that_memory_cannot_hold_is_an_error_and_the_next_is_read() -> None:
    config = {"max_line_bytes": 2**30}
    stdin = b" " * (400 * MEGABYTE) + b'\n{"type":"ping","id":"after"}\n'
    code, lines, _ = run(stdin, config=config, shell='ulimit -v 600000; exec "$@"')
    assert code == 0 and lines[-1] == {"type": "pong", "id": "after"}
    codes = [line["error"]["code"] for line in lines[:-1]]
    assert codes in (["line_too_long"], ["internal"])


def test_hundred_thousand_tiny_deltas_are_one_tool_input(bench: Bench) -> None:
    """Quadratic work would run into the deadline many times over."""
    body = "y" * 100000
    pieces = [partial_json(0, '{"a": "')] + [partial_json(0, c) for c in body]
    head = (started(), opened(0, "tool_use"))
    end = (partial_json(0, '"}'), closed(0), stopping("tool_use"), STOP)
    data = sse(*head, *pieces, *end)
    answer = bench.stream(data)
    assert answer.content[0]["input"] == {"a": body}


def test_two_hundred_thousand_data_lines_are_one_event(bench: Bench) -> None:
    many = json.dumps(text(0, "Hello"), indent=0).replace("\n", "\n\n")
    padded = "\n".join(
        "data: " + line for line in many.replace("\n\n", "\n" * 30000).split("\n")
    )
    data = sse(started(), opened(0), padded.encode() + b"\n\n", *TAIL)
    assert data.count(b"data:") > 100000
    assert same(bench.stream(data).content, [A_TEXT])


def test_large_text_in_one_event_is_whole(bench: Bench) -> None:
    big = "é😀x" * 700000
    assert bench.stream(a_text(big)).text == big


# --- the key ----------------------------------------------------------------------

ECHOES: dict[str, Callable[[str], Script]] = {
    "error message": lambda said: refuse(401, api_error("invalid api key " + said)),
    "type": lambda said: refuse(400, api_error("no", said)),
    "html": lambda said: refuse(502, HTML % said),
    "404": lambda said: refuse(404, "no page for " + said),
    "base_resp": lambda said: refuse(200, base_resp(1004, "key " + said)),
    "not a stream": lambda said: refuse(200, "hello " + said),
    "request id": lambda said: refuse(
        500, api_error("x"), "minimax-request-id: " + said
    ),
    "status line": lambda said: [
        (f"HTTP/1.1 500 {said}\r\nContent-Length: 0\r\n\r\n").encode()
    ],
    "redirect": lambda said: refuse(302, "", "Location: http://127.0.0.1/" + said),
    "midstream": lambda said: respond(sse(started(), api_error("key " + said))),
    "midstream, after text": lambda said: respond(BEGUN, sse(api_error("key " + said))),
    "bad JSON": lambda said: respond(BEGUN, b"data: {oops " + said.encode() + b"\n\n"),
    "bad chunk size": lambda said: [CHUNKED, said.encode() + b"\r\n", close],
    "bad status line": lambda said: [said.encode() + b"\r\n\r\n", close],
    "retry": lambda said: respond(sse(api_error("load (2064) " + said))),
}
QUOTES = {
    "whole": KEY,
    "bearer": "Bearer " + KEY,
    "last twelve": KEY[-12:],
    "eight in the middle": KEY[12:20],
    "between quotes": f'"{KEY}"',
    "twice": KEY + " " + KEY,
}


@pytest.mark.parametrize("quote", QUOTES)
@pytest.mark.parametrize("name", ECHOES)
def test_key_quoted_by_the_upstream_is_starred_out(
    bench: Bench, name: str, quote: str
) -> None:
    answer = bench.ask(ask(), *ECHOES[name](QUOTES[quote]))
    assert answer.end["type"] == "error"
    check_secret(json.dumps(answer.lines).encode())


@pytest.mark.parametrize("key, shown", [
    ("k" * 4, "*" * 4),  # too short to be one: masked as a whole
    ("sk-cp-12345", "*" * 11),
    ("sk-cp-12345678", "sk-cp-" + "*" * 8),
    ("sk-api-12345678", "sk-api-" + "*" * 8),
    ("eyJ12345678", "eyJ" + "*" * 8),
    ("123456789", "*" * 9),
    ("sk-cp-123456789", "sk-cp-" + "*" * 9),
])
def test_key_is_masked_but_for_its_public_prefix(key: str, shown: str) -> None:
    redactor = provider.Redactor()
    redactor.add(key)
    assert redactor.text(f"<{key}>") == f"<{shown}>"
    assert redactor.value({key: [key, 1, None]}) == {shown: [shown, 1, None]}
    assert redactor.text("1234567 is no key") == "1234567 is no key"


def test_redacted_message_still_says_what_happened(bench: Bench) -> None:
    answer = bench.ask(ask(), *refuse(401, api_error(f"key {KEY} is bad (1004)")))
    assert "is bad" in answer.error["message"] and "**" in answer.error["message"]


def test_key_in_the_models_own_text_is_not_altered(emulator: Emulator) -> None:
    with Plugin(emulator.base_url, check_key=False) as plugin:
        emulator.queue.append(respond(words(KEY)))
        assert plugin.turn(ask()).text == KEY


def test_key_in_request_fields_is_not_quoted_back(bench: Bench) -> None:
    for fields in (
        {"model": 5, "api_key": KEY}, {KEY: 1}, {"effort": KEY}, {"tool_choice": KEY},
    ):
        answer = bench.ask(ask("hi", **fields))
        check_secret(json.dumps(answer.lines).encode())


def test_control_characters_of_the_upstream_reach_stderr_escaped(
    emulator: Emulator,
) -> None:
    evil = "\x1b[2J\x07\x9b31m\x00"
    scripts: list[Script] = [
        refuse(500, api_error(evil)),
        refuse(404, evil),
        refuse(302, evil, "Location: /\x1b[2J"),
        respond(b"data: {oops " + evil.encode() + b"\n\n"),
        [evil.encode() + b"\r\n\r\n", close],
    ]
    with Plugin(emulator.base_url, {"max_retries": 0}) as plugin:
        for script in scripts:
            emulator.queue.append(script)
            assert plugin.turn(ask()).end["type"] == "error"
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]", plugin.errors)


# --- load ---------------------------------------------------------------------------


def test_sixty_four_turns_at_once_do_not_mix(bench: Bench) -> None:
    count, together = 64, threading.Event()
    arrived = itertools.count(1)

    def script(request: Request) -> Script:
        name = request.text
        if next(arrived) == count:
            together.set()  # all of them are in flight
        said = [sse(text(0, name)) for _ in range(50)]
        head = sse(started(ident=name), opened(0))
        return respond(wait(together), head, *said, sse(*TAIL))

    bench.emulator.answer = script
    names = [f"turn {number} of many" for number in range(count)]
    for name in names:
        bench.plugin.send(ask(name, id=name))
    for name in names:
        answer = bench.plugin.answer(name)
        assert answer.text == name * 50 and answer.end["message_id"] == name


SOAK: list[Script] = [
    respond(RICH.data),
    respond(OK),
    refuse(500, api_error("oops (1000)")),
    respond(*cut(RICH.data, "random"), framing="close"),
    [close],
    respond(RICH.data, framing="length"),
    unfinished(RICH.data[: len(RICH.data) // 2], reset),
    respond(OK, framing="length"),
    unfinished(OK, hold),
    respond(b"data: {oops\n\n"),
    respond(OK),
    [*respond(OK), close],
]


def resources(plugin: Plugin) -> tuple[int, int, int]:
    """Descriptors, threads and resident bytes of the process."""
    root = f"/proc/{plugin.process.pid}/"
    status = Path(root + "status").read_text()

    def field(name: str) -> int:
        found = re.search(name + r":\s+(\d+)", status)
        assert found
        return int(found.group(1))

    return len(os.listdir(root + "fd")), field("Threads"), field("VmRSS") * 1024


@needs_proc
def test_hundreds_of_turns_good_and_bad_leak_nothing(emulator: Emulator) -> None:
    with Plugin(emulator.base_url, {"max_retries": 0}) as plugin:
        seen = []
        for count in (8 * len(SOAK), 30 * len(SOAK)):
            for _ in range(count // 8):
                emulator.queue.extend(
                    SOAK[(len(emulator.requests) + i) % len(SOAK)] for i in range(8)
                )
                for ident in [plugin.submit(ask()) for _ in range(8)]:
                    plugin.answer(ident)
            plugin.ping()
            seen.append(resources(plugin))
    (files, threads, memory), (files_after, threads_after, memory_after) = seen
    assert files_after <= files + 8
    assert threads_after <= threads + 8
    assert memory_after <= memory + 16 * MEGABYTE


def test_plugin_serves_after_every_kind_of_trouble(emulator: Emulator) -> None:
    with Plugin(emulator.base_url, {"max_retries": 0}) as plugin:
        for script in SOAK:
            emulator.queue.append(script)
            plugin.turn(ask())
            emulator.queue.clear()
            assert plugin.turn(ask()).text == "ok"


# =====================================================================
# Wherever it is copied: keys that are files
# =====================================================================

KEYS = {  # a source, and the key that the tests put there
    source: f"sk-api-{'abcd'[n] * 24}" for n, source in enumerate(provider.KEY_SOURCES)
}


class KeyFiles:
    """A plugin whose key may be in any of the sources, and its upstream."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench = bench
        self.config: Obj = {"api_key": ""}
        self.file = folder / "a key"
        self.env: dict[str, str | None] = {
            "MINIMAX_API_KEY": None, "CREDENTIALS_DIRECTORY": str(folder),
        }

    def put(self, source: str, text: str | bytes | None = None) -> None:
        key = KEYS[source] if text is None else text
        if source == "MINIMAX_API_KEY":
            self.env[source] = str(key)
        elif source == "api_key":
            self.config[source] = key
        else:
            path = self.file
            if source == "api_key_file":
                self.config[source] = str(path)
            else:
                path = path.with_name("minimax-api-key")
            path.write_bytes(key if isinstance(key, bytes) else str(key).encode())
            path.chmod(0o600)

    def plugin(self) -> Plugin:
        url = self.bench.emulator.base_url
        return Plugin(url, self.config, self.env, check_key=False)

    def used(self, plugin: Plugin) -> str:
        assert plugin.turn(ask()).text == "ok"
        [sent] = self.bench.emulator.requests[-1].header("authorization")
        return sent[len("Bearer ") :]


@pytest.fixture
def key_files(bench: Bench, tmp_path: Path) -> KeyFiles:
    return KeyFiles(bench, tmp_path)


@pytest.mark.parametrize("first", range(len(KEYS)))
def test_first_source_that_has_a_key_wins(key_files: KeyFiles, first: int) -> None:
    for source in list(KEYS)[first:]:
        key_files.put(source)
    with key_files.plugin() as plugin:
        assert key_files.used(plugin) == list(KEYS.values())[first]
    assert plugin.errors == b""


@pytest.mark.parametrize("source", list(KEYS)[2:])
def test_white_space_around_the_key_in_a_file_is_fine(
    key_files: KeyFiles, source: str
) -> None:
    key_files.put(source)
    with key_files.plugin() as plugin:
        for n, text in enumerate(["{}\n", "{}\r\n", " {} \n\n", "\ufeff{}"]):
            key_files.put(source, text.format(KEYS[source] + str(n)))
            assert key_files.used(plugin) == KEYS[source] + str(n)


BAD_KEY_FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "holds no key"),
    "blank": (b" \n", "holds no key"),
    "two lines": (KEY[:20].encode() + b"\n" + KEY[20:].encode(), "at position 21"),
    "a setting": (b'{"api_key": "%s"}' % KEY.encode(), "at position 12"),
    "not UTF-8": (KEY.encode() + b"\xff", "not UTF-8"),
    "too long": (b"k" * 8250, "too long"),
    "huge": (b"k" * 2000000, "larger than"),
}


@pytest.mark.parametrize("source", list(KEYS)[2:])
def test_bad_key_file_is_an_error_that_quotes_nothing_and_the_next_one_counts(
    key_files: KeyFiles, source: str
) -> None:
    path = "a key" if source == "api_key_file" else "minimax-api-key"
    key_files.put(source)
    with key_files.plugin() as plugin:
        for text, problem in BAD_KEY_FILES.values():
            key_files.put(source, text)
            answer = plugin.turn(ask())
            assert answer.code == "config", text
            answer.says(rf"{path} cannot be used: .*{problem}")
            key_files.put(source)  # the next turn reads it
            assert key_files.used(plugin) == KEYS[source]
    check_secret(bytes(plugin.output), plugin.errors)


@pytest.mark.parametrize("kind", ["gone", "directory", "fifo"])
def test_key_file_that_is_no_file_is_an_error_that_names_it(
    key_files: KeyFiles, kind: str
) -> None:
    key_files.put("api_key_file")
    key_files.file.unlink()
    make = {"gone": None, "directory": os.mkdir, "fifo": os.mkfifo}[kind]
    if make is not None:
        make(str(key_files.file))
    with key_files.plugin() as plugin:
        answer = plugin.turn(ask())
        assert answer.code == "config"
        answer.says(re.escape(str(key_files.file)) + " cannot be used: ")


def test_key_file_that_is_named_like_a_key_is_masked(key_files: KeyFiles) -> None:
    key_files.config["api_key_file"] = KEY
    with key_files.plugin() as plugin:
        answer = plugin.turn(ask())
        assert answer.code == "config"
        answer.says(PREFIX + r"\*{%d} cannot be used" % (len(KEY) - len(PREFIX)))
    check_secret(bytes(plugin.output), plugin.errors)


@pytest.mark.parametrize("source", list(KEYS)[2:])
def test_key_of_a_file_is_read_again_when_it_was_replaced(
    key_files: KeyFiles, source: str
) -> None:
    key_files.put(source)
    with key_files.plugin() as plugin:
        for key in (KEYS[source], "new-key-00000000", "other-key-000000"):
            key_files.put(source, key)
            assert key_files.used(plugin) == key


def test_relative_key_file_is_beside_the_configuration(key_files: KeyFiles) -> None:
    key_files.config["api_key_file"] = "key"
    with key_files.plugin() as plugin:
        plugin.config_path.with_name("key").write_text(KEYS["api_key_file"])
        assert key_files.used(plugin) == KEYS["api_key_file"]


def test_missing_key_error_names_every_source(key_files: KeyFiles) -> None:
    with key_files.plugin() as plugin:
        answer = plugin.turn(ask())
    assert answer.code == "config"
    answer.says(*map(re.escape, provider.KEY_SOURCES))


def test_missing_key_file_leaves_the_limits_of_the_process_alone(
    key_files: KeyFiles,
) -> None:
    key_files.config.update(api_key_file="gone", max_line_bytes=100)
    with key_files.plugin() as plugin:
        plugin.send({"type": "ping", "more": "x" * 100})
        plugin.wait_line("error")
        assert plugin.loose()[0]["error"]["code"] == "line_too_long"


def test_key_file_that_others_can_read_is_told_once(key_files: KeyFiles) -> None:
    key_files.put("api_key_file")
    key_files.file.chmod(0o644)
    with key_files.plugin() as plugin:
        for _ in range(3):
            assert key_files.used(plugin) == KEYS["api_key_file"]
    assert plugin.errors.count(str(key_files.file).encode()) == 1


def test_origin_of_the_key_is_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MINIMAX_API_KEY", raising=False)
    (tmp_path / "key").write_text(KEY)
    write_config(tmp_path / "c.json", {"api_key_file": "key"})
    file = provider.ConfigFile(str(tmp_path / "c.json"))
    assert file.load()["api_key"] == KEY
    assert file.origins["api_key"] == str(tmp_path / "key")


def test_python_client_reads_the_file_of_its_key(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "minimax-api-key").write_text("not asked for")
    (tmp_path / "key").write_text(KEY + "\n")
    with python_client(emulator, api_key="", api_key_file=str(tmp_path / "key")) as one:
        assert list(one.turn(ask()))[-1]["type"] == "turn_end"
    with python_client(emulator, api_key="") as other:
        assert list(other.turn(ask()))[-1]["error"]["code"] == "config"
    assert emulator.requests[-1].header("authorization") == ["Bearer " + KEY]


# =====================================================================
# Wherever it is copied: hosts in other languages, as the README's checklist says
# =====================================================================

# Each runs the same session: a ping; t1, whose text is longer than any buffer; t2, to
# be cancelled as its first text comes; t3, which sends the message of t1 back; t4, at
# whose first text stdin is closed, and after a grace comes SIGTERM.  Each prints the
# lines that it reads and ends with the exit code of the plugin.
NODE_HOST = r"""
const [kind, grace, ...command] = process.argv.slice(1);
const plugin = require("child_process").spawn(command[0], command.slice(1));
plugin.stderr.resume();
const send = (line) => plugin.stdin.write(JSON.stringify(line) + "\n");
const ask = (id, text, before) => send({
  type: "turn", id, messages: [...(before || []), {role: "user", content: text}],
});
const waiting = new Set(["p1", "t1", "t2"]);
const messages = {};
const done = (id) => {
  if (waiting.delete(id) && waiting.size === 0)
    ask("t3", "again", [{role: "user", content: "long"}, messages.t1]);
};
const on = {
  pong: (line) => done(line.id),
  text_delta: (line) => {
    if (line.id === "t2") send({type: "cancel", id: "t2"});
    if (line.id === "t4") {
      plugin.stdin.end();
      setTimeout(() => plugin.kill("SIGTERM"), grace);
    }
  },
  turn_end: (line) => {
    messages[line.id] = line.message;
    done(line.id);
    if (line.id === "t3") ask("t4", "held");
  },
};
const take = (text) => {
  process.stdout.write(text + "\n");
  const line = JSON.parse(text);
  (on[line.type] || (() => {}))(line);
};
if (kind === "lines") {
  require("readline").createInterface({input: plugin.stdout}).on("line", take);
} else {
  let bytes = [];
  plugin.stdout.on("data", (data) => {
    for (const byte of data)
      if (byte !== 10) bytes.push(byte);
      else {
        take(Buffer.from(bytes).toString());
        bytes = [];
      }
  });
}
plugin.on("close", (code) => { process.exitCode = code; });
send({type: "ping", id: "p1"});
ask("t1", "long");
ask("t2", "held");
"""
PYTHON_HOST = r"""
import json, subprocess, sys, threading
kind, grace, *command = sys.argv[1:]
options = {"text": {"encoding": "utf-8", "bufsize": 1}, "bytes": {"bufsize": 0}}[kind]
pipe = subprocess.PIPE
plugin = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, **options)
threading.Thread(target=plugin.stderr.read).start()

def send(line):
    text = json.dumps(line) + "\n"
    plugin.stdin.write(text if kind == "text" else text.encode())

def ask(name, text, before=()):
    messages = [*before, {"role": "user", "content": text}]
    send({"type": "turn", "id": name, "messages": messages})

send({"type": "ping", "id": "p1"})
ask("t1", "long")
ask("t2", "held")
waiting = {"p1", "t1", "t2"}
for text in plugin.stdout:
    line = json.loads(text)
    sys.stdout.write(text if kind == "text" else text.decode())
    if line["type"] == "text_delta" and line["id"] == "t2":
        send({"type": "cancel", "id": "t2"})
    elif line["type"] == "text_delta" and line["id"] == "t4":
        plugin.stdin.close()
        threading.Timer(float(grace) / 1000, plugin.terminate).start()
    elif line["type"] in ("turn_end", "pong"):
        if line["id"] == "t1":
            message = line["message"]
        elif line["id"] == "t3":
            ask("t4", "held")
        waiting.discard(line["id"])
        if not waiting:
            waiting = {"nothing more"}
            ask("t3", "again", [{"role": "user", "content": "long"}, message])
sys.exit(plugin.wait())
"""
SHELL_HOST = r"""
kind=$1 grace=$2
shift 2
mkfifo in out
"$@" <in >out 2>/dev/null &
plugin=$!
exec 3>in 4<out
send() { printf '%s\n' "$1" >&3; }
ask() {
    last='{"role":"user","content":"'$2'"}'
    send '{"type":"turn","id":"'"$1"'","messages":['"$3$last]}"
}
send '{"type":"ping","id":"p1"}'
ask t1 long
ask t2 held
waiting=3
while IFS= read -r line <&4; do
    printf '%s\n' "$line"
    case $line in
        '{"id":"t2","type":"text_delta",'*) send '{"type":"cancel","id":"t2"}' ;;
        '{"id":"t4","type":"text_delta",'*)
            exec 3>&-
            (sleep "0.$grace" && kill "$plugin") &
            ;;
        '{"id":"t3","type":"turn_end",'*) ask t4 held ;;
        '{"id":"t1","type":"turn_end",'*)
            message=${line#*'"message":'} message=${message%',"model":'*}
            waiting=$((waiting - 1))
            ;;
        '{"id":"t2","type":"turn_end",'* | '{"type":"pong"'*)
            waiting=$((waiting - 1))
            ;;
    esac
    if [ "$waiting" -eq 0 ]; then
        waiting=-1
        ask t3 again '{"role":"user","content":"long"},'"$message",
    fi
done
wait "$plugin"
"""
HOSTS = {
    "node by lines": ["node", "-e", NODE_HOST, "--", "lines"],
    "node by bytes": ["node", "-e", NODE_HOST, "--", "bytes"],
    "python text": [sys.executable, "-c", PYTHON_HOST, "text"],
    "python bytes": [sys.executable, "-c", PYTHON_HOST, "bytes"],
    "shell": ["sh", "-c", SHELL_HOST, "sh", "lines"],
    "busybox shell": ["busybox", "sh", "-c", SHELL_HOST, "sh", "lines"],
}
# What the README tells hosts to do, and what of the session would fail otherwise.
CHECKLIST = {
    "Read lines without a length limit": "t1",
    "Decode `type` first": "heartbeat",
    "Drain stderr all the time": "noise",
    "Give every turn an id": "t2",
    "Show deltas, but keep": "t3",
    "Close stdin to stop the plugin": "t4",
}


def needs_tool(name: str) -> None:
    if not any(
        os.access(os.path.join(folder, name), os.X_OK)
        for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)
    ):
        pytest.skip(f"needs {name}")


@pytest.mark.parametrize("name", HOSTS)
def test_small_host_in_another_language_runs_a_session(
    emulator: Emulator, tmp_path: Path, name: str
) -> None:
    command = HOSTS[name]
    if not os.path.isabs(command[0]):
        needs_tool(command[0])
    long = "é" * 30000
    stream = sse(started(), PING, opened(0), text(0, long), closed(0), stopping(), STOP)
    emulator.routes = {"long": respond(stream), "held": unfinished(BEGUN, hold)}
    noise = "import sys; sys.stderr.write('noise ' * 50000)"  # before the first line
    planted(tmp_path, sitecustomize=noise)
    plugin = tmp_path / "plugin"
    start = f"PYTHONPATH='{tmp_path}' exec '{sys.executable}' '{SOURCE}'"
    plugin.write_text(f"#!/bin/sh\n{start}\n")
    plugin.chmod(0o755)
    done = subprocess.run(
        [*command, "100", str(plugin)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE,
        cwd=str(tmp_path),
        env=environment(str(tmp_path), emulator.base_url),
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    ends = {li["id"]: li for li in check_grammar(done.stdout) if li["type"] in FINAL}
    assert set(ends) == {"p1", "t1", "t2", "t3", "t4"}
    assert ends["t1"]["message"]["content"] == [block_text(long)]
    assert [ends[n]["stop_reason"] for n in ("t2", "t4")] == ["cancelled"] * 2
    [back] = [r.json["messages"] for r in emulator.requests if r.text == "again"]
    assert same(back[1], ends["t1"]["message"])
    check_secret(done.stdout)


def test_checklist_for_hosts_is_what_the_small_hosts_do() -> None:
    items = re.findall(r"(?m)^- (.*)$", readme_part("### 7. Checklist for hosts"))
    assert len(items) == len(CHECKLIST)
    for item, start in zip(items, CHECKLIST):
        assert item.startswith(start)


# =====================================================================
# Wherever it is copied: ways to start it, and hosts that allow little
# =====================================================================

REQUESTS_AT = str(Path(urllib3.__file__).resolve().parent.parent)
ALONE = "import sys; sys.path += [{!r}, {!r}]; import {} as plugin; "
ALONE += "sys.argv[1:] = sys.argv[2:]; sys.exit(plugin.main())"


def ways_to_start(folder: Path) -> dict[str, list[str]]:
    """Commands that all start the plugin; `folder` gets what they need."""
    source = Path(SOURCE)
    copied = folder / "other name.py"
    copied.write_bytes(source.read_bytes())
    link = folder / "link"
    link.symlink_to(source)
    with zipfile.ZipFile(str(folder / "plugin.zip"), "w") as archive:
        archive.write(SOURCE, "__main__.py")
    alone = ALONE.format(REQUESTS_AT, str(source.parent), source.stem)
    return {
        "other name": [str(copied)],
        "link": [str(link)],
        "zip": [str(folder / "plugin.zip")],
        "module": ["-m", source.stem],
        "isolated": ["-I", "-S", "-c", alone, "--"],
    }


@pytest.mark.parametrize(
    "name", ["other name", "link", "zip", "module", "isolated"]
)
def test_way_to_start_it_makes_no_difference(
    emulator: Emulator, tmp_path: Path, name: str
) -> None:
    command = [sys.executable, *ways_to_start(tmp_path)[name]]
    cwd = str(Path(SOURCE).parent if name == "module" else tmp_path)
    env = environment(str(tmp_path), emulator.base_url)
    for arguments, stdin in (([], json.dumps(ask()).encode()), (["--version"], b"")):
        done = subprocess.run(
            command + arguments, input=stdin, capture_output=True, timeout=DEADLINE,
            cwd=cwd, env=env,
        )
        assert done.returncode == 0 and done.stderr == b"", done.stderr.decode()
        if stdin:
            assert check_grammar(done.stdout)[-1]["type"] == "turn_end"
    assert done.stdout.decode().split()[-1] == provider.__version__


def test_version_is_told_by_a_program_that_comes_on_stdin(tmp_path: Path) -> None:
    with open(SOURCE, "rb") as program:
        done = subprocess.run(
            [sys.executable, "-", "--version"], stdin=program, capture_output=True,
            cwd=str(tmp_path), check=True,
        )
    assert done.stdout.decode().split()[-1] == provider.__version__
    assert done.stderr == b""


def old_pythons() -> dict[str, str]:
    """Pythons below 3.8, where there are any, by their version."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = [*root.glob("2.7.*/bin/python"), *root.glob("3.[67].*/bin/python")]
    return {path.parent.parent.name.rpartition(".")[0]: str(path) for path in found}


def test_python_3_7_is_told_in_one_sentence_that_it_is_too_old() -> None:
    python = old_pythons().get("3.7") or pytest.skip("needs Python 3.7")
    done = subprocess.run(
        [python, SOURCE], stdin=subprocess.DEVNULL, capture_output=True
    )
    assert done.returncode == 3 and done.stdout == b""
    [line] = done.stderr.decode().splitlines()
    assert "needs Python 3.8 or newer" in line


AS_NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups"
# (what must work for it to be tried, how the plugin is started, variables)
LOCKED_DOWN: dict[str, tuple[str, str, dict[str, str | None]]] = {
    "no home": ("true", 'exec "$@"', {"HOME": None}),
    "home that is not there": ("true", 'exec "$@"', {"HOME": "/nonexistent"}),
    "umask 077": ("true", 'umask 077; exec "$@"', {}),
    "umask 000": ("true", 'umask 000; exec "$@"', {}),
    "no file can be written": ("true", 'ulimit -f 0; exec "$@"', {}),
    "no TMPDIR": ("true", 'exec "$@"', {"TMPDIR": "/nonexistent"}),
    "few descriptors": ("true", 'ulimit -n 32; exec "$@"', {}),
    "no core, no locked memory": ("true", 'ulimit -c 0; ulimit -l 0; exec "$@"', {}),
    "no new privileges": (
        "setpriv --no-new-privs true", 'exec setpriv --no-new-privs "$@"', {},
    ),
    "nobody, with a read-only home": (
        AS_NOBODY + ' "$0" -c "import requests"',
        f'chmod 755 . && exec {AS_NOBODY} "$@"', {},
    ),
    "read-only file system": (
        "unshare -m mount -o remount,ro,bind /",
        "exec unshare -m sh -c "
        """'mount -o remount,ro,bind / && ! (: >x) 2>&- && exec "$@"' sh "$@" """,
        {},
    ),
    "no locale": ("true", 'unset LANG LC_ALL; exec "$@"', {"LC_CTYPE": None}),
    "C locale": ("true", 'exec "$@"', {"LC_ALL": "C", "PYTHONUTF8": "0"}),
}


@needs_linux
@pytest.mark.parametrize("name", LOCKED_DOWN)
def test_host_that_allows_little_allows_a_turn(
    emulator: Emulator, name: str
) -> None:
    needed, shell, env = LOCKED_DOWN[name]
    trial = ["sh", "-c", needed, sys.executable]
    if subprocess.call(trial, stderr=subprocess.DEVNULL) != 0:
        pytest.skip(f"cannot do {needed.split()[0]} here")
    if "home" in name:  # then the configuration is not there to be read
        env = {"PLEXUM_MINIMAX_CONFIG": None, **env}
    emulator.queue.append(respond(*cut(RICH.data, "random")))
    stdin = json.dumps(ask("é😀")).encode()
    code, lines, errors = run(stdin, emulator.base_url, env=env, shell=shell)
    assert code == 0 and errors == b"", errors.decode()
    assert same(lines[-1]["message"]["content"], RICH.content)


@needs_linux
def test_no_network_is_a_network_error_that_may_pass() -> None:
    if subprocess.call(["unshare", "-n", "true"], stderr=subprocess.DEVNULL) != 0:
        pytest.skip("cannot take the network away here")
    stdin = json.dumps(ask()).encode()
    shell = 'exec unshare -n "$@"'
    for url in ("http://127.0.0.1:9", None):
        code, lines, _ = run(stdin, url, {"max_retries": 0}, shell=shell)
        assert code == 1 and lines[-1]["error"]["code"] == "network"
        assert lines[-1]["error"]["retryable"] is True


@needs_proc
def test_turn_over_tls_takes_less_than_a_unit_of_64_megabytes(
    tls_emulator: Emulator, certificate: Path
) -> None:
    env: dict[str, str | None] = {"SSL_CERT_FILE": str(certificate)}
    with Plugin(tls_emulator.base_url, env=env) as plugin:
        for _ in range(3):
            tls_emulator.queue.append(respond(*cut(RICH.data, "random")))
            assert same(plugin.turn(ask()).content, RICH.content)
        assert peak_memory(plugin) < 56 * MEGABYTE


# --- proxies


class Tunnel:
    """An HTTP proxy that knows CONNECT, and keeps what it was sent in the clear."""

    def __init__(self, target: Emulator) -> None:
        self.target = target
        self.heads: list[bytes] = []
        self.emulator = Emulator(greeting=self._serve)

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        self.heads.append(head)
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with socket.create_connection(("127.0.0.1", self.target.port)) as server:
            pair = [client, server]
            while True:
                for ready in select.select(pair, [], [])[0]:
                    data = ready.recv(65536)
                    pair[1 - pair.index(ready)].sendall(data)
                    if not data:
                        raise Done


@pytest.mark.parametrize("login", ["", "user:pass%20word@"])
def test_proxy_gets_its_own_credentials_and_no_key(
    tls_emulator: Emulator, certificate: Path, login: str
) -> None:
    tunnel = Tunnel(tls_emulator)
    env: dict[str, str | None] = {
        "HTTPS_PROXY": f"http://{login}127.0.0.1:{tunnel.emulator.port}",
        "SSL_CERT_FILE": str(certificate),
    }
    with tunnel.emulator, Plugin(tls_emulator.base_url, env=env) as plugin:
        assert plugin.turn(ask()).text == "ok"
        assert plugin.turn(ask()).text == "ok"
    [head] = tunnel.heads  # both turns went through one tunnel
    first, *fields = head.decode().split("\r\n")
    assert first[:-1] == f"CONNECT 127.0.0.1:{tls_emulator.port} HTTP/1."
    given = [f for f in fields if f.lower().startswith("proxy-authorization:")]
    word = base64.b64encode(b"user:pass word").decode()
    assert given == ([f"Proxy-Authorization: Basic {word}"] if login else [])
    check_secret(head)
    for request in tls_emulator.requests:
        assert request.header("authorization") == ["Bearer " + KEY]
        assert request.header("proxy-authorization") == []


# URLs of proxies that cannot be used, each with a password in it.
ODD_PROXIES = [
    "http://user:{}@[bad", "http://user:{}@bad host:1", "http://user:{}@127.0.0.1:99999",
    "http://user:{}@127.0.0.1:x", "http://user:{}@", "ftp://user:{}@127.0.0.1:9",
    "http://user:{}@127.0.0.1:9", "http://user:{}@nowhere.invalid:9", "http://:{}@/",
    "http://user:{}@127.0.0.1:0", "user:{}@bad host",
]


@pytest.mark.parametrize("proxy", ODD_PROXIES)
def test_proxy_that_cannot_be_used_is_told_without_its_password(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.format("secret-word"))
    for name in ("https_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    options = {"api_key": KEY, "max_retries": 0}
    with provider.MiniMaxProvider(**options) as client:
        [told] = client.turn(ask())
    is_valid = re.match(r"http:.*(?:1|d):9$", proxy)
    assert told["error"]["code"] == ("network" if is_valid else "config"), told
    assert "secret" not in json.dumps(told) and "HTTPS_PROXY" in told["error"]["hint"]


# =====================================================================
# Wherever it is copied: install.sh
# =====================================================================

INSTALLER = Path(SOURCE).with_name("install.sh")
LAUNCHER = "plexum-minimax-provider-plugin"
NEEDED_TOOLS = "cat chmod cp dirname env grep ln mkdir mv rm rmdir sed sh".split()
needs_installer = pytest.mark.skipif(
    not INSTALLER.is_file() or Path(SOURCE).name != "plexum_minimax_provider.py",
    reason="a vendored copy has no install.sh",
)


class Installer:
    """A checkout in an odd place, and a profile root in another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkout = folder / "a check'out \"é\" $x"
        self.root = folder / "a root ü\\"
        self.target = self.root / "plugins" / "plexum-minimax-provider"
        self.launcher = self.target / LAUNCHER
        self.config = self.target / "config.json"
        self.source = self.checkout / Path(SOURCE).name
        self.checkout.mkdir()
        (folder / "home").mkdir()
        for path in (INSTALLER, Path(SOURCE)):
            shutil.copy(str(path), str(self.checkout))
        self.env: dict[str, str] = {
            "HOME": str(folder / "home"),
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHON": sys.executable,
            "PLEXUM_PROFILE_ROOT": str(self.root),
        }

    def run(
        self,
        *options: str,
        shell: Sequence[str] = ("sh",),
        stdin: bytes = b"",
        code: int = 0,
        env: dict[str, str | None] | None = None,
    ) -> str:
        """Run it in `folder`; what it said on both streams."""
        given = {**self.env, **(env or {})}
        done = subprocess.run(
            [*shell, str(self.checkout / "install.sh"), *options],
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DEADLINE,
            cwd=str(self.folder),
            env={name: value for name, value in given.items() if value is not None},
        )
        told = done.stdout.decode()
        assert done.returncode == code, told
        check_secret(done.stdout)
        return told

    def answer(self, *options: str, launcher: Path | None = None) -> str:
        """What the installed plugin says; it must succeed."""
        done = subprocess.run(
            [str(launcher or self.launcher), *options], input=b'{"type":"describe"}',
            capture_output=True, timeout=DEADLINE, cwd="/", env={},
        )
        assert done.returncode == 0 and done.stderr == b"", done.stderr.decode()
        return done.stdout.decode()

    def left(self) -> set[str]:
        names = {path.name for path in self.target.iterdir()} - {"__pycache__"}
        return {re.sub(r"^lib\..*", "lib", name) for name in names}

    def tools(self, *names: str) -> str:
        """A directory, as PATH, with nothing in it but these commands."""
        folder = self.folder / "tools"
        folder.mkdir()
        for name in names:
            needs_tool(name)
            (folder / name).symlink_to(str(shutil.which(name)))
        return str(folder)


INSTALLED = {"plexum_minimax_provider.py", "manifest.json", "config.json", LAUNCHER}


def bare_python(folder: Path) -> str:
    """A Python with neither requests nor pip, and that can make no environment."""
    making = [sys.executable, "-m", "venv", "--without-pip", str(folder / "bare")]
    subprocess.run(making, check=True)
    [site] = (folder / "bare").glob("lib/python*/site-packages")
    hiding = "import sys; sys.modules['ensurepip'] = sys.modules['venv'] = None\n"
    (site / "sitecustomize.py").write_text(hiding)
    return str(folder / "bare" / "bin" / "python")


@pytest.fixture(scope="module")
def quick_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python whose requests is there, and empty."""
    python = bare_python(tmp_path_factory.mktemp("quick"))
    [site] = Path(python).parent.parent.glob("lib/python*/site-packages")
    (site / "requests.py").touch()
    return python


STUB = """
def main():
    print("{}")

if __name__ == "__main__":
    main()
"""


@pytest.fixture
def installer(tmp_path: Path) -> Installer:
    return Installer(tmp_path)


@pytest.fixture
def quick(tmp_path: Path, quick_python: str) -> Installer:
    """Installs something that is quick to compile and to import."""
    made = Installer(tmp_path)
    made.env["PYTHON"] = quick_python
    made.source.write_text(STUB.format("0.9"))
    return made


SHELLS = {
    "dash": ["dash"],
    "bash": ["bash"],
    "busybox": ["busybox", "sh"],
    "zsh": ["zsh", "--emulate", "sh"],
}


@needs_installer
@pytest.mark.parametrize("name", SHELLS)
def test_installer_works_in_every_shell_from_and_to_odd_paths(
    quick: Installer, name: str
) -> None:
    shell = SHELLS[name]
    needs_tool(shell[0])
    if name == "busybox":
        tools = Path(quick.tools("busybox"))
        for tool in NEEDED_TOOLS:
            (tools / tool).symlink_to("busybox")
        quick.env["PATH"] = str(tools)
    # From the folder it runs in:
    relative: dict[str, str | None] = {"PLEXUM_PROFILE_ROOT": quick.root.name}
    options = ["--offline", "--no-demo", "--region", "cn", "--allow"]
    told = quick.run(*options, shell=shell, env=relative)
    assert "0.9" in told and quick.left() == INSTALLED
    assert json.loads(quick.config.read_text())["region"] == "cn"
    assert json.loads((quick.root / "plexum.json").read_text()) == {
        "plugins": {"allow": ["plexum-minimax-provider"]}
    }
    link = quick.folder / "link"
    link.symlink_to(quick.launcher)
    assert quick.answer(launcher=link) == "0.9\n"
    told = quick.run("--no-demo", "--api-key-stdin", stdin=KEY.encode())
    assert "there was: " in told
    assert json.loads(quick.config.read_text()) == {"api_key": KEY, "region": "cn"}
    quick.run("--uninstall", shell=shell, env=relative)
    assert quick.left() == {"config.json"}


@needs_installer
@pytest.mark.parametrize("umask", ["077", "000"])
def test_installed_files_have_their_modes_whatever_the_umask(
    quick: Installer, umask: str
) -> None:
    shell = ["sh", "-c", f'umask {umask}; exec sh "$@"', "sh"]
    quick.run("--offline", "--no-demo", shell=shell)
    paths = {name: quick.target / name for name in INSTALLED}
    modes = {name: path.stat().st_mode & 0o777 for name, path in paths.items()}
    assert modes.pop("config.json") == 0o600 and modes.pop(LAUNCHER) == 0o755
    assert set(modes.values()) == {0o644}
    assert quick.target.stat().st_mode & 0o777 == 0o700


@needs_installer
def test_installer_needs_only_the_commands_it_names(quick: Installer) -> None:
    """No sudo, git, curl, wget, pip or venv is on this PATH."""
    quick.env["PATH"] = quick.tools(*NEEDED_TOOLS)
    quick.run("--offline", "--no-demo")
    assert quick.answer() == "0.9\n" and quick.left() == INSTALLED
    (quick.folder / "tools" / "sed").unlink()
    told = quick.run("--offline", code=1)
    assert told == "install.sh: the command sed is needed and not on PATH\n"


def make_wheels(folder: Path) -> str:
    """Wheels of what requests consists of here: what of it is Python."""
    folder.mkdir()
    for name in "requests urllib3 idna certifi charset_normalizer chardet".split():
        package = Path(REQUESTS_AT) / name
        if package.is_dir():
            wheel = zipfile.ZipFile(str(folder / f"{name}-1.0-py3-none-any.whl"), "w")
            with wheel:
                for path in package.rglob("*"):
                    if path.suffix in (".py", ".pem"):
                        wheel.write(str(path), str(path.relative_to(REQUESTS_AT)))
    return str(folder)


@needs_installer
def test_without_requests_pip_and_venv_wheels_are_enough(installer: Installer) -> None:
    installer.env["PYTHON"] = bare_python(installer.folder)
    told = installer.run("--offline", code=3)
    assert "has neither pip nor venv" in told and "apt install python3-requests" in told
    assert not installer.root.exists()
    told = installer.run("--offline", "--dry-run", code=3)
    assert "apt install python3-requests" in told and "would" not in told
    broken: dict[str, str | None] = {"PLEXUM_PROFILE_ROOT": "a line\nbreak"}
    told = installer.run("--wheels", ".", code=3, env=broken)
    assert told == "install.sh: requests cannot go below a path with a line break\n"
    for empty in (["--wheels="], ["--region="], ["--wheels", ""], ["--region", ""]):
        told = installer.run(*empty, code=2)
        assert told.startswith(f"install.sh: {empty[0]} needs a value; ")
    installer.root.mkdir()
    installer.run("--offline", code=3)
    assert list(installer.root.iterdir()) == []  # but it stays: it was there
    wheels = make_wheels(installer.folder / "the wheels")
    for _ in range(2):  # the second time the packages are found again
        installer.run("--wheels", wheels, "--no-demo")
        assert installer.left() == INSTALLED | {"lib"}
    assert "It works: " in installer.answer("demo")


@needs_installer
def test_python_below_3_8_is_one_sentence_and_exit_3(installer: Installer) -> None:
    found = old_pythons()
    if not found:
        pytest.skip("needs a Python below 3.8")
    installer.run("--offline", "--no-demo")
    good = installer.launcher.read_text(encoding="utf-8")
    for version, old in found.items():
        told = installer.run("--offline", code=3, env={"PYTHON": old})
        assert told == (
            f"install.sh: PYTHON={old} is not a working Python 3.8 or newer\n"
        )
        replaced = re.sub(r"(?m)^python=.*$", f"python='{old}'", good)
        installer.launcher.write_text(replaced, encoding="utf-8")
        done = subprocess.run([str(installer.launcher)], input=b"", capture_output=True)
        assert done.returncode == 3 and done.stdout == b""
        [line] = done.stderr.decode().splitlines()
        assert f"needs Python 3.8 or newer and {old} is {version}" in line


@needs_installer
def test_python_that_prints_at_its_start_is_taken_and_one_that_only_prints_is_not(
    quick: Installer,
) -> None:
    python = Path(bare_python(quick.folder))
    [site] = python.parent.parent.glob("lib/python*/site-packages")
    (site / "requests.py").touch()
    (site / "sitecustomize.py").write_text("print('noise')")
    parrot = quick.folder / "parrot" / "python3"
    parrot.parent.mkdir()
    parrot.write_text("#!/bin/sh\necho noise\n")
    parrot.chmod(0o755)
    path = f"{quick.tools(*NEEDED_TOOLS)}:{parrot.parent}:{python.parent}"
    told = quick.run("--offline", "--no-demo", env={"PYTHON": None, "PATH": path})
    assert told.startswith("0.9 is in ") and f" at {python.parent}/python" in told
    assert quick.left() == INSTALLED and quick.answer() == "0.9\n"
    written = [path for path in quick.target.iterdir() if path.is_file()]
    assert not [path for path in written if b"noise" in path.read_bytes()]
    for useless in (str(parrot), str(shutil.which("true"))):
        told = quick.run("--offline", code=3, env={"PYTHON": useless})
        assert told == (
            f"install.sh: PYTHON={useless} is not a working Python 3.8 or newer\n"
        )


@needs_installer
def test_target_that_cannot_be_written_is_one_sentence() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # pytest's own are for nobody else
        installer = Installer(Path(folder))
        shell = [*AS_NOBODY.split(), "sh"] if os.geteuid() == 0 else ["sh"]
        if subprocess.call([*shell, "-c", "true"], stderr=subprocess.DEVNULL) != 0:
            pytest.skip("cannot be nobody here")
        for blocked in (installer.root, installer.target):
            blocked.mkdir(parents=True)
            blocked.chmod(0o555)
            told = installer.run("--offline", shell=shell, code=1, env={"HOME": None})
            advice = "set PLEXUM_PROFILE_ROOT=/a/directory"
            assert told == f"install.sh: {blocked} cannot be written; {advice}\n"
            assert list(blocked.iterdir()) == []
            blocked.chmod(0o755)


@needs_installer
def test_file_in_the_way_and_missing_home_are_one_sentence(
    installer: Installer,
) -> None:
    installer.root.mkdir()
    (installer.root / "plugins").write_text("")
    told = installer.run("--offline", code=1)
    assert told.endswith("plugins is in the way: it is not a directory\n")
    (installer.root / "plugins").unlink()
    for name in INSTALLED:
        (installer.target / name).mkdir(parents=True)
        told = installer.run("--offline", code=1)
        assert told.endswith(f"/{name} is in the way: it is a directory\n")
        assert [path.name for path in installer.target.iterdir()] == [name]
        (installer.target / name).rmdir()
    nowhere: dict[str, str | None] = {"PLEXUM_PROFILE_ROOT": None, "HOME": None}
    told = installer.run(code=1, env=nowhere)
    assert told.startswith("install.sh: HOME is not set; ") and told.count("\n") == 1
    told = installer.run(code=1, env={**nowhere, "HOME": "/nonexistent"})
    assert told.startswith("install.sh: there is no home directory /nonexistent; ")


@needs_installer
def test_bytecode_that_cannot_be_kept_is_not_worth_a_word(quick: Installer) -> None:
    quick.target.mkdir(parents=True)
    (quick.target / "__pycache__").touch()
    assert quick.run("--offline", "--no-demo").startswith("0.9 is in ")


@needs_installer
def test_plugin_directory_that_is_noexec_is_told(installer: Installer) -> None:
    installer.target.mkdir(parents=True)
    mount = 'mount -t tmpfs -o noexec,mode=755 none "$0" && exec sh "$@"'
    shell = ["unshare", "-m", "sh", "-c", mount, str(installer.target)]
    if subprocess.call([*shell, "-c", "true"], stderr=subprocess.DEVNULL) != 0:
        pytest.skip("cannot mount anything here")
    told = installer.run("--offline", shell=shell)
    assert "no program can be started from" in told and "noexec?" in told
    assert "It works: " in told  # by sh and by Python it still does


@needs_installer
def test_other_settings_in_plexum_json_stay_and_a_backup_is_kept(
    quick: Installer,
) -> None:
    quick.root.mkdir()
    plexum = quick.root / "plexum.json"
    numbers = "1.10,\n\t\t1E5,\n\t\t-0,\n\t\t1e999,\n\t\t123456789.123456789123"
    before = f"""{{
\t"é": [
\t\t{numbers}
\t],
\t"\\ud800": "1.0",
\t"plugins": {{
\t\t"allow": [
\t\t\t"other"
\t\t],
\t\t"x": {{}}
\t}}
}}"""
    plexum.write_text(before, encoding="utf-8")
    for _ in range(2):  # the second time there is nothing to do
        quick.run("--offline", "--no-demo", "--allow")
    allowed = '"other",\n\t\t\t"plexum-minimax-provider"'
    after = before.replace('"other"', allowed)
    assert plexum.read_text(encoding="utf-8") == after
    [backup] = quick.root.glob("plexum.json.bak-*")
    assert backup.read_text(encoding="utf-8") == before


@needs_installer
def test_plexum_json_that_would_lose_something_is_left_alone(quick: Installer) -> None:
    quick.root.mkdir()
    plexum = quick.root / "plexum.json"
    for text, problem in {
        '{"plugins": {"allow": ["a"]}, "plugins": {}}': '"plugins" is there twice',
        '{"a": [-Infinity]}': "-Infinity is no number",
        "{oops": "line 1 column 2",
        "[]": "does not hold a JSON object",
    }.items():
        plexum.write_text(text)
        told = quick.run("--offline", "--no-demo", "--allow", code=1)
        assert f"{plexum} is left alone because " in told and problem in told
        assert plexum.read_text() == text
    plexum.unlink()
    os.mkfifo(str(plexum))  # nobody writes into it
    told = quick.run("--offline", "--no-demo", "--allow", code=1)
    assert f"{plexum} is left alone because it is not a regular file\n" in told
    assert [path.name for path in quick.root.iterdir() if path != plexum] == ["plugins"]


@needs_installer
def test_key_on_stdin_is_a_key_or_one_sentence(quick: Installer) -> None:
    options = ["--offline", "--no-demo", "--api-key-stdin"]
    quick.run(*options, stdin=b"\xef\xbb\xbf" + KEY.encode() + b"\r\n")
    before = quick.config.read_text()
    assert json.loads(before)["api_key"] == KEY
    for stdin, problem in {
        b"\n": "standard input held no API key",
        b"two words": "must be one line of plain characters",
        b"k" * 8193: "has more than 8192 characters",
    }.items():
        told = quick.run(*options, stdin=stdin, code=1)
        assert problem in told and "Traceback" not in told
    write_only = ["sh", "-c", 'exec sh "$@" 0>/dev/null', "sh"]
    told = quick.run(*options, shell=write_only, code=1)
    assert "standard input cannot be read" in told and "Traceback" not in told
    assert quick.config.read_text() == before
    quick.run(*options, stdin=b"k" * 8192)
    assert json.loads(quick.config.read_text())["api_key"] == "k" * 8192


@needs_installer
def test_what_did_not_work_is_named_in_the_last_line(quick: Installer) -> None:
    quick.target.mkdir(parents=True)
    (quick.root / "plexum.json").write_text("[]")
    for broken in ("{broken", "[]"):
        quick.config.write_text(broken)
        told = quick.run("--offline", "--no-demo")
        assert "  correct or remove '" in told and "api-key-stdin" not in told
        options = ["--offline", "--no-demo", "--region", "cn", "--allow"]
        assert quick.run(*options, code=1).endswith(
            "\ninstall.sh: it is installed, but this did not work: "
            "storing what was given, --allow; see above\n"
        )
        assert quick.config.read_text() == broken
    quick.config.write_text("")  # as good as none
    assert "put the API key into" in quick.run("--offline", "--no-demo")


@needs_linux
@needs_installer
@pytest.mark.parametrize("name", SHELLS)
@pytest.mark.parametrize("stdout", [">/dev/full", ">&-", "| true"])
def test_installer_that_nobody_listens_to_does_all_the_same(
    quick: Installer, name: str, stdout: str
) -> None:
    needs_tool(SHELLS[name][0])
    command = shlex.join(SHELLS[name])
    alone = '(trap "" PIPE; while printf x; do :; done) 2>/dev/null'  # nobody listens
    shell = ["sh", "-c", f'{{ {alone}; exec {command} "$@"; }} {stdout}', "sh"]
    options = ["--offline", "--no-demo", "--allow", "--api-key-stdin"]
    assert quick.run(*options, shell=shell, stdin=KEY.encode()) == ""
    assert json.loads(quick.config.read_text())["api_key"] == KEY
    assert (quick.root / "plexum.json").exists() and quick.left() == INSTALLED


@needs_installer
def test_two_installs_at_once_leave_one_that_works(quick: Installer) -> None:
    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(quick.run, "--offline", "--no-demo") for _ in range(3)]
        for one in runs:
            one.result()
    assert quick.answer() == "0.9\n"
    assert quick.left() == INSTALLED


@needs_installer
def test_half_finished_install_is_swept_away(quick: Installer) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    for name in (f".stage.1.{dead.pid}", f"lib.1.{dead.pid}"):
        (quick.target / name / "requests").mkdir(parents=True)
    (quick.target / "plexum_minimax_provider.py").write_text("half of it (")
    quick.run("--offline", "--no-demo")
    assert quick.left() == INSTALLED
    assert quick.answer() == "0.9\n"


STOPPER = """#!/bin/sh
read -r n <"$STEPS"
n=$((n + 1))
echo "$n" >"$STEPS"
[ "$n" -ne "$STOP_AT" ] || kill -"$SIGNAL" 0
exec '{}' "$@"
"""


class Interrupted:
    """An installer that is killed, with all it has started, at its n-th command."""

    def __init__(self, quick: Installer) -> None:
        self.installer = quick
        # The plugin in place has its requests elsewhere, the new one brings its own.
        wheels = quick.folder / "wheels"
        wheels.mkdir()
        wheel = str(wheels / "requests-1.0-py3-none-any.whl")
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("requests/__init__.py", "")
        self.options = ["--wheels", str(wheels), "--no-demo"]
        tools = self.installer.tools()
        for name in NEEDED_TOOLS:
            path = Path(tools) / name
            path.write_text(STOPPER.format(shutil.which(name)))
            path.chmod(0o755)
        self.installer.env["PATH"] = tools
        self.steps = quick.folder / "steps"
        self.installer.run("--offline", "--no-demo", env={**self.stop_at(0)})
        quick.source.write_text(STUB.format("1.0"))
        quick.env["PYTHON"] = bare_python(quick.folder)
        self.installer.config.write_text('{"api_key": "kept"}')

    def stop_at(self, step: int, signal_: str = "KILL") -> dict[str, str]:
        self.steps.write_text("0\n")
        return {"STEPS": str(self.steps), "STOP_AT": str(step), "SIGNAL": signal_}

    def run(self, step: int, signal_: str = "KILL") -> int:
        """Returns the exit code; the plugin must run, be it the old or the new one."""
        installer = self.installer
        script = str(installer.checkout / "install.sh")
        shell = str(shutil.which("sh"))
        done = subprocess.run(
            [shell, script, *self.options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=DEADLINE,
            env={**installer.env, **self.stop_at(step, signal_)},
            start_new_session=True,
        )
        assert installer.answer().strip() in ("0.9", "1.0")
        assert installer.config.read_text() == '{"api_key": "kept"}'
        return done.returncode


@needs_linux
@needs_installer
@pytest.mark.parametrize("signal_, code", [("KILL", -9), ("TERM", 143), ("INT", 130)])
def test_installer_that_is_interrupted_leaves_a_plugin_that_runs(
    quick: Installer, signal_: str, code: int
) -> None:
    interrupted = Interrupted(quick)
    codes = [code]
    # Up to the fourth command nothing is written.
    steps = itertools.count(4, 1 if signal_ == "KILL" else 6)
    while codes[-1] == code:
        codes.append(interrupted.run(next(steps), signal_))
        if signal_ != "KILL":
            assert not list(interrupted.installer.target.glob(".stage.*"))
    assert codes[-1] == 0 and len(codes) > (15 if signal_ == "KILL" else 4)
    assert interrupted.installer.left() == INSTALLED | {"lib"}
    assert interrupted.installer.answer().strip() == "1.0"


# =====================================================================
# Wherever it is copied: into another program, and where the system has less
# =====================================================================


def vendored(folder: Path) -> Path:
    """Two copies of the file, under other names, in another package."""
    package = folder / "app" / "vendor"
    package.mkdir(parents=True)
    (folder / "app" / "__init__.py").touch()
    (package / "__init__.py").touch()
    for name in ("minimax.py", "another.py"):
        shutil.copy(SOURCE, str(package / name))
    return package


# A program with a life of its own: prints what has changed around it, which is nothing.
HOST_PROGRAM = """
import io, logging, os, signal, sys, threading, warnings, json, time, re

seen = []
sys.stdout = own_stdout = io.StringIO()
logging.basicConfig(stream=io.StringIO(), level=logging.CRITICAL)
for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(name, lambda *_: seen.append("signal"))
threading.excepthook = lambda *args: seen.append(args)

def world():
    return {
        "stdout": sys.stdout is own_stdout,
        "handlers": [list(logging.getLogger().handlers), logging.root.level],
        "signals": [signal.getsignal(s) for s in (15, 2, 1)],
        "wakeup": signal.set_wakeup_fd(-1),
        "path": list(sys.path),
        "environment": dict(os.environ),
        "filters": [f for f in warnings.filters if not re.match(  # but for their own
            "requests|urllib3", f[2].__module__)],
        "directory": os.getcwd(),
        "umask": (os.umask(0o22), os.umask(0o22))[0],
        "limits": [sys.getrecursionlimit(), sys.getswitchinterval()],
    }

before, threads, modules = world(), threading.active_count(), set(sys.modules)
from app.vendor import another, minimax
assert world() == before and threading.active_count() == threads
new = {name.split(".")[0] for name in set(sys.modules) - modules} - {"app"}
heavy = {"requests", "urllib3", "argparse", "typing", "dataclasses", "socket", "ssl"}
assert not new & heavy - set(modules), new
assert another.MiniMaxProvider is not minimax.MiniMaxProvider

results = []
def work(module, number):
    words = "%s %d" % (module.__name__, number)
    turn = {"id": number, "messages": [{"role": "user", "content": words}]}
    client = clients[module]
    events = list(client.turn(turn, raise_errors=True))
    assert all(event["id"] == number for event in events)
    results.append((events[-1]["message"]["content"][0]["text"], words))

url = sys.argv[1]
with another.MiniMaxProvider(api_key="sk-one-00000000", base_url=url) as one:
    with minimax.MiniMaxProvider(api_key="sk-two-00000000", base_url=url) as two:
        clients = {another: one, minimax: two}
        pool = [
            threading.Thread(target=work, args=(module, number))
            for module in clients for number in range(8)
        ]
        for thread in pool:
            thread.start()
        for thread in pool:
            thread.join()
        try:
            list(one.turn({"messages": 5}, raise_errors=True))
        except another.ProviderError as error:
            assert error.code == "invalid_request"
            assert not isinstance(error, minimax.ProviderError)
while threading.active_count() > threads:
    time.sleep(0.001)  # the clock's threads end by themselves
after = world()
changed = {n: (before[n], after[n]) for n in before if before[n] != after[n]}
assert not changed and not seen and own_stdout.getvalue() == "", (changed, seen)
assert len(results) == 16 and all(told == words for told, words in results), results
sys.__stdout__.write("nothing has changed\\n")
"""


def test_two_vendored_copies_serve_a_program_and_change_nothing_in_it(
    emulator: Emulator, tmp_path: Path
) -> None:
    vendored(tmp_path)
    emulator.answer = lambda request: respond(words(request.text))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", HOST_PROGRAM, emulator.base_url],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE,
        cwd=str(tmp_path),
        env={"PATH": os.environ.get("PATH", os.defpath), "MINIMAX_API_KEY": KEY},
    )
    assert done.returncode == 0 and done.stderr == b"", done.stderr.decode()
    assert done.stdout == b"nothing has changed\n"
    sent = {request.header("authorization")[0] for request in emulator.requests}
    assert sent == {"Bearer sk-one-00000000", "Bearer sk-two-00000000"}


def test_vendored_copy_passes_its_tests_after_an_edit_of_one_line(
    tmp_path: Path,
) -> None:
    vendored(tmp_path)
    text = Path(__file__).read_text(encoding="utf-8")
    [line] = re.findall(r"(?m)^import .* as provider\b.*$", text)
    edited = text.replace(line, "import app.vendor.minimax as provider")
    (tmp_path / "test_copy.py").write_text(edited, encoding="utf-8")
    chosen = "one_line_without_id or python_events or readme_links"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
        + ["-k", chosen, "test_copy.py"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=str(tmp_path),
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    told = done.stdout.decode()
    assert done.returncode == 0 and " passed" in told, told[-3000:]


TYPED_USER = """
import threading
from typing import Any, Dict, Iterator

from app.vendor.minimax import MODELS, OPTIONS, EventTranslator, MiniMaxProvider
from app.vendor.minimax import ProviderError, SSEDecoder, build_request


def answers(key: str, stop: threading.Event) -> Iterator[str]:
    with MiniMaxProvider(api_key=key, max_retries=1) as client:
        turn: Dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
        try:
            for event in client.turn(turn, cancel=stop, raise_errors=True):
                yield str(event["type"])
        except ProviderError as error:
            problem: str = error.code + error.message + error.hint
            yield problem if error.retryable else str(error.details["http_status"])


def replay(recorded: bytes) -> Iterator[Dict[str, Any]]:
    body, warnings = build_request({"messages": []}, model=next(iter(MODELS)))
    translator = EventTranslator(str(body["model"]))
    for sse in SSEDecoder().feed(recorded):
        yield from translator.translate({"type": sse.event, "n": len(OPTIONS)})
    number: int = translator.message()  # an error, which shows that it is typed
"""


def test_user_of_a_vendored_copy_has_types(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    vendored(tmp_path)
    (tmp_path / "user.py").write_text(TYPED_USER)
    bare = Path(bare_python(tmp_path))  # one that knows no stubs of requests
    for python in (sys.executable, str(bare)):
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", "--python-executable", python]
            + ["user.py"],
            stdout=subprocess.PIPE,
            cwd=str(tmp_path),
        )
        told = done.stdout.decode().splitlines()
        problem = r"user\.py:\d+: error: Incompatible types .*\[assignment\]"
        assert len(told) == 2 and re.match(problem, told[0]), told


# What the system may lack: some of it is missing on Windows, which is not tested.
LESS = """
import os, select, signal, socket, sys
for module, name in (
    (select, "poll"), (select, "epoll"), (os, "set_blocking"), (os, "O_NONBLOCK"),
    (os, "O_NOCTTY"), (os, "fork"), (signal, "pthread_sigmask"), (socket, "AF_UNIX"),
):
    if hasattr(module, name):
        delattr(module, name)
sys.modules["fcntl"] = sys.modules["termios"] = sys.modules["pwd"] = None
"""


def test_system_that_has_less_serves_turns(emulator: Emulator, tmp_path: Path) -> None:
    emulator.routes = {"held": unfinished(BEGUN, hold)}
    emulator.queue.append(respond(*cut(RICH.data, "random")))
    env = planted(tmp_path, sitecustomize=LESS)
    with Plugin(emulator.base_url, {"api_key": KEY}, env) as plugin:
        assert same(plugin.turn(ask()).content, RICH.content)
        ident = plugin.submit(ask("held"))
        plugin.wait_line("text_delta", ident)
        plugin.cancel(ident)
        check_cancelled(plugin.answer(ident))
        held = plugin.submit(ask("held"))
        plugin.wait_line("text_delta", held)
        plugin.process.terminate()
        assert plugin.wait_exit() == 0
        check_cancelled(plugin.answer(held))
    plugin.check()


# =====================================================================
# The schema: every line above was checked against it, in both directions
# =====================================================================

# (a line of the host, whether it is taken); turns are in FIELD_CASES and WRONG_FIELDS.
HOST_LINES: dict[str, tuple[Obj, bool]] = {
    "ping": ({"type": "ping"}, True),
    "ping with id": ({"type": "ping", "id": 0}, True),
    "ping with null": ({"type": "ping", "id": None}, True),
    "ping with more": ({"type": "ping", "more": 1}, True),
    "ping with empty id": ({"type": "ping", "id": ""}, False),
    "ping with number": ({"type": "ping", "id": 1.5}, False),
    "ping with boolean": ({"type": "ping", "id": True}, False),
    "ping with list": ({"type": "ping", "id": ["a"]}, False),
    "cancel": ({"type": "cancel", "id": "nobody"}, True),
    "cancel without id": ({"type": "cancel"}, False),
    "cancel with null": ({"type": "cancel", "id": None}, False),
    "describe": ({"type": "describe"}, True),
    "describe with id": ({"type": "describe", "id": "d"}, True),
    "nothing": ({}, False),
    "unknown type": ({"type": "dance"}, False),
    "type of ours": ({"type": "pong"}, False),
    "type as number": ({"type": 1, "messages": USER}, False),
    "type as list": ({"type": ["ping"]}, False),
}


@pytest.mark.parametrize("name", HOST_LINES)
def test_line_of_the_host_is_taken_if_the_schema_allows_it(
    bench: Bench, name: str
) -> None:
    line, taken = HOST_LINES[name]
    before = len(bench.plugin.loose())
    bench.plugin.send(line)
    bench.plugin.ping()
    assert len(bench.plugin.loose()) - before == (0 if taken else 1)
    assert SCHEMA_OF_LINES.host_line(line) is taken


def test_schema_option_prints_the_schema() -> None:
    done = subprocess.run(
        [sys.executable, SOURCE, "--schema"], stdout=subprocess.PIPE, check=True
    )
    assert json.loads(done.stdout) == SCHEMA_OF_LINES.root


def test_schema_is_valid_and_another_reader_understands_it_the_same() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    root = SCHEMA_OF_LINES.root
    jsonschema.Draft202012Validator.check_schema(root)
    other = jsonschema.Draft202012Validator(root)
    host = [line for line, _ in HOST_LINES.values()]
    host += [ask("hi", **fields) for fields, _, _ in FIELD_CASES.values()]
    host += [dict(ask("hi"), **fields) for fields, _ in WRONG_FIELDS]
    for line in [*host, *SCHEMA_LINES]:
        ours = SCHEMA_OF_LINES.host_line(line) or SCHEMA_OF_LINES.plugin_line(line)
        assert other.is_valid(line) is ours, line


# Lines of ours that are wrong in one way each.
SCHEMA_LINES: list[Obj] = [
    {"type": "pong", "id": {}},
    {"type": "warning", "id": "a", "code": "surprise", "text": "x"},
    {"type": "text_delta", "id": "a", "index": -1, "text": "x"},
    {"type": "text_delta", "id": "a", "index": 0, "text": None},
    {"type": "text_delta", "index": 0, "text": "x"},
    dict(START, id="a", message_id=5),
    dict(END, id="a", incomplete=False),
    dict(turn_end([]), id="a"),
    dict(turn_end([{"type": "text"}]), id="a"),
    dict(turn_end([{"type": "tool_use", "id": "c", "input": {}}]), id="a"),
    dict(turn_end([TEXT]), id="a", timing=None),
    {"type": "error", "error": {"code": "config", "message": "m", "hint": "h"}},
    {"type": "surprise", "id": "a"},
]


@pytest.mark.parametrize("line", SCHEMA_LINES)
def test_schema_refuses_a_wrong_line_of_the_plugin(line: Obj) -> None:
    assert not SCHEMA_OF_LINES.plugin_line(line)


def test_schema_allows_the_fields_of_a_later_version() -> None:
    for event in GOOD:
        assert SCHEMA_OF_LINES.plugin_line(dict(event, id="a", surprise=1)), event
    assert "additionalProperties" not in json.dumps(SCHEMA_OF_LINES.root)


def test_schema_names_every_code_setting_and_model() -> None:
    root = SCHEMA_OF_LINES.root["$defs"]
    assert set(root["ErrorCode"]["enum"]) == set(ERROR_CODES)
    assert set(root["WarningCode"]["enum"]) == WARNING_CODES
    assert root["ModelId"]["enum"] == list(provider.MODELS)
    assert set(root["Turn"]["properties"]) == set(provider.TURN_FIELDS)
    events = {name: row.get("properties") for name, row in root.items()}
    for kind, fields in TURN_FIELDS.items():
        title = kind.replace("_", " ").title().replace(" ", "")
        assert set(events[title]) == fields | MAY_HAVE.get(kind, set()) | {"type", "id"}
        assert events[title]["type"] == {"type": "string", "const": kind}
    for name, row in root["Config"]["properties"].items():
        option = provider.OPTIONS[name]
        assert row["default"] == option["default"] and row["description"], name
        assert SCHEMA_OF_LINES.check(row)(None), name
    assert set(root["Config"]["properties"]) == set(provider.OPTIONS)


@pytest.mark.parametrize("name", BAD_CONFIGS)
def test_schema_of_the_configuration_refuses_what_a_turn_refuses(name: str) -> None:
    config, _ = BAD_CONFIGS[name]
    check = SCHEMA_OF_LINES.definitions["Config"]
    by_text = isinstance(config, str) or re.match("url|key with|key that|plain", name)
    if not by_text:
        assert not check(config)
    elif isinstance(config, dict):
        assert check(config)  # that is for the code to see
    assert check({}) and check(CONFIG_DEFAULTS)


# --- work, counted instead of timed, of whole turns --------------------------------


COUNTED = """
import importlib, itertools, os, sys, threading
import http.cookiejar, requests
sys.path.insert(0, {directory!r})
provider = importlib.import_module({module!r})
events = itertools.count()
def trace(frame, event, argument):
    next(events)
    return trace
threading.settrace(trace)
threading.setprofile(trace)
code = provider.run_plugin()
os.write(2, b"%d" % next(events))
os._exit(code)
"""


def work_of_a_turn(emulator: Emulator, reads: int, together: int) -> int:
    """Lines and calls in all threads for a turn of so many reads of so many deltas."""
    directory, module = str(Path(SOURCE).parent), Path(SOURCE).stem
    program = COUNTED.format(directory=directory, module=module)
    with Plugin(emulator.base_url, program=["-c", program]) as plugin:

        def until(mark: str) -> Step:  # so that it becomes a read of its own
            def is_told() -> bool:
                return any(mark in li.get("text", "") for li in plugin.lines[-1:])

            return lambda exchange: plugin.wait_for(is_told, mark)

        pieces: list[Step] = [sse(started(), opened(0), text(0, "<>")), until("<>")]
        for number in range(reads):
            many = [text(0, f" word {i}") for i in range(1, together)]
            pieces += [sse(*many, text(0, f"<{number}>")), until(f"<{number}>")]
        emulator.queue.append(respond(*pieces, sse(closed(0), stopping(), STOP)))
        assert plugin.turn(ask()).text.endswith(f"<{reads - 1}>")
    return int(plugin.errors)


@pytest.mark.parametrize("reads, together", [(50, 1), (20, 20)])
def test_work_for_each_delta_stays_the_same_as_the_turn_grows(
    emulator: Emulator, reads: int, together: int
) -> None:
    costs = [work_of_a_turn(emulator, n * reads, together) for n in (1, 2, 4)]
    assert 0 < costs[2] - costs[1] < 1.05 * 2 * (costs[1] - costs[0]), costs


# =====================================================================
# Commands, as a person runs them
# =====================================================================

# The file with other hosts for the regions, which no setting can give it.
DRIVEN = """
import json, sys
sys.path.append(sys.argv[1])
plugin = __import__(sys.argv[2])
plugin.REGIONS.update(json.loads(sys.argv[3]))
plugin.HOSTS.update({plugin.host_of(url): r for r, url in plugin.REGIONS.items()})
del sys.argv[1:4]
sys.exit(plugin.main())
"""


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def told(self) -> str:
        """All that was said, with the lines joined that were only wrapped."""
        return re.sub(r"\s+", " ", self.out + "\n" + self.err)

    def says(self, *phrases: str) -> None:
        for phrase in phrases:
            assert phrase in self.told, (phrase, self.out, self.err)

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def command_line(argv: Sequence[str], regions: dict[str, str] | None) -> list[str]:
    if regions is None:
        return [sys.executable, SOURCE, *argv]
    where = Path(SOURCE)
    known = [str(where.parent), where.stem, json.dumps(regions)]
    return [sys.executable, "-c", DRIVEN, *known, *argv]


def person(
    *argv: str,
    base_url: str | None = None,
    config: Obj | str | None = None,
    env: dict[str, str | None] | None = None,
    stdin: bytes = b"",
    regions: dict[str, str] | None = None,
) -> Ran:
    """Run a command with pipes all round, as a script does."""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            command_line(argv, regions),
            input=stdin,
            capture_output=True,
            timeout=DEADLINE,
            cwd=home,
            env=environment(home, base_url, config, env),
        )
    check_secret(done.stdout, done.stderr)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    assert b"\x1b" not in done.stdout + done.stderr
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


PLATFORM_MODELS = ["MiniMax-M3.1-Flash", "MiniMax-M3"]
WRONG_KEY = refuse(401, api_error("login fail: Please carry the API secret key"))


def listing(*names: str, **fields: Any) -> Script:
    rows = [{"id": name, "type": "model"} for name in names]
    return refuse(200, {"data": rows, "has_more": False, **fields})


def minimax(
    models: Script | None = None,
    quota: Script | None = None,
    turn: Script | None = None,
) -> Callable[[Request], Script]:
    """An emulator's `answer` that knows the three paths of MiniMax's."""

    def answer(request: Request) -> Script:
        if request.target == "/v1/token_plan/remains":
            return quota or refuse(200, remains({}))
        if request.target.startswith("/anthropic/v1/models"):
            return models or listing(*PLATFORM_MODELS)
        if request.target == "/anthropic/v1/messages":
            return turn or respond(OK)
        return refuse(404, "404 page not found")

    return answer


def remains(row: Obj, **fields: Any) -> Obj:
    window: Obj = {
        "model_name": "MiniMax-M*",
        "current_interval_remaining_percent": 63,
        "current_weekly_remaining_percent": 20,
    }
    base: Obj = {"base_resp": {"status_code": 0, "status_msg": "success"}}
    return {**base, "model_remains": [{**window, **row}], **fields}


@pytest.fixture
def site(emulator: Emulator) -> Emulator:
    """MiniMax's platform, all well."""
    emulator.answer = minimax()
    return emulator


# --- say ------------------------------------------------------------------------


@pytest.mark.parametrize("argv, stdin, sent", [
    (["hello", "there"], b"", "hello there"),
    ([], b"piped\n", "piped"),
    (["review this"], b"diff --git a b\n+x\n", "review this\n\ndiff --git a b\n+x"),
    (["review"], b"  \n", "review"),
    (["--", "-v is what?"], b"", "-v is what?"),
    ([], "é😀".encode() + b" \xff\n", "é😀 \ufffd"),
])
def test_say_sends_its_words_and_what_is_piped_in(
    site: Emulator, argv: list[str], stdin: bytes, sent: str
) -> None:
    done = person("say", *argv, base_url=site.base_url, stdin=stdin)
    assert (done.code, done.out) == (0, "ok\n")
    assert site.requests[0].text == sent


def test_say_tells_that_it_waits_for_what_is_piped_in(site: Emulator) -> None:
    with tempfile.TemporaryDirectory() as home:
        process = subprocess.Popen(
            [sys.executable, SOURCE, "say", "hi"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(home, site.base_url),
        )
        with process:
            assert process.stderr and process.stdin
            assert process.stderr.readline().startswith(b"reading stdin first (")
            assert not site.requests
            assert process.communicate(b"there")[0] == b"ok\n"
    assert site.requests[0].text == "hi\n\nthere"


SAY_OPTIONS: dict[str, tuple[list[str], Obj]] = {
    "none": ([], {"model": "MiniMax-M3", "max_tokens": 4096}),
    "model": (["-m", "minimax/minimax-m3.1-flash"], {"model": "MiniMax-M3.1-Flash"}),
    "system": (["--system", "Be brief."], {"system": "Be brief."}),
    "limit": (["--max-tokens", "77"], {"max_tokens": 77}),
    "thinking": (["--thinking"], {"thinking": {"type": "adaptive"}}),
    "no thinking": (["--no-thinking"], {"thinking": {"type": "disabled"}}),
    "effort": (
        ["--model", "MiniMax-M3.1-Flash", "--effort", "low"],
        {"output_config": {"effort": "low"}},
    ),
}


@pytest.mark.parametrize("name", SAY_OPTIONS)
def test_say_option_goes_upstream(site: Emulator, name: str) -> None:
    argv, fields = SAY_OPTIONS[name]
    assert person("say", *argv, "hi", base_url=site.base_url).code == 0
    body = site.requests[0].json
    assert {key: body[key] for key in fields} == fields
    assert ("thinking" in body) is (name in ("thinking", "no thinking"))


def test_say_sends_pictures_before_the_words(site: Emulator, tmp_path: Path) -> None:
    picture = tmp_path / "a b.png"
    picture.write_bytes(PNG)
    argv = ["--image", str(picture), "--image", str(picture), "what is this?"]
    assert person("say", *argv, base_url=site.base_url).code == 0
    *images, words_ = site.requests[0].json["messages"][0]["content"]
    assert words_ == {"type": "text", "text": "what is this?"}
    assert [base64.b64decode(i["source"]["data"]) for i in images] == [PNG, PNG]


@pytest.mark.parametrize("name, reason", [("no.png", "No such file"), ("x", "no PNG")])
def test_say_with_a_picture_that_is_none_is_an_error_and_no_request(
    site: Emulator, tmp_path: Path, name: str, reason: str
) -> None:
    (tmp_path / "x").write_bytes(b"text")
    done = person("say", "--image", str(tmp_path / name), base_url=site.base_url)
    assert (done.code, done.out) == (1, "") and not site.requests
    done.says(name, reason)


@pytest.mark.parametrize("argv", [
    [], ["  "], ["--chat", "--json"], ["--effort", "huge", "x"], ["--max-tokens", "x"],
])
def test_say_without_sense_is_exit_2(argv: list[str]) -> None:
    done = person("say", *argv)
    assert (done.code, done.out) == (2, "") and done.err.strip()


ALOUD = sse(
    started(),
    opened(0, "thinking"), thinking(0, "Hm.\nWell."), signature(0, "5e" * 4), closed(0),
    opened(1), text(1, "It is "), text(1, "21 C.\x1b[2J\n"), text(1, "Fine."),
    closed(1),
    stopping(usage={"input_tokens": 236, "output_tokens": 1039,
                    "cache_read_input_tokens": 38308}),
    STOP,
)  # fmt: skip
CALLED = sse(
    started(),
    opened(0), text(0, "Let me see."), closed(0),
    opened(1, "tool_use", name="get_weather", id="call_1"),
    partial_json(1, '{"city": "Lis'), partial_json(1, 'bon"}'), closed(1),
    stopping("tool_use"), STOP,
)  # fmt: skip


def test_say_gives_another_program_the_text_and_a_person_the_figures(
    site: Emulator,
) -> None:
    site.answer = minimax(turn=respond(ALOUD))
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, SOURCE, "say", "hi"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DEADLINE,
            env=environment(home, site.base_url),
        )
    assert done.stdout == b"It is 21 C.\x1b[2J\nFine.\n"  # as it came
    first, *rest = done.stderr.decode().splitlines()
    assert first.startswith("MiniMax-M3: 236 in, 38,308 cached, 1,039 out; ")
    assert re.search(r"first token \d\.\d s(;|$)", first) and len(first) <= 80
    assert all(re.match(r"[\d,]+ tokens/s$", line) for line in rest)


def test_say_counts_tokens_per_second_and_cost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Cost, where the event tells it; no time passes in the first of these."""
    done: Obj = {
        "type": "turn_end", "stop_reason": "max_tokens", "model": "MiniMax-M3",
        "usage": {"input_tokens": 5, "output_tokens": 700}, "cost_usd": 0.000846,
    }  # fmt: skip
    block: Obj = {"index": 0, "block": {"type": "text", "text": ""}}
    begun: list[Obj] = [
        {"type": "block_start", **block},
        {"type": "text_delta", "index": 0, "text": "x"},
    ]  # fmt: skip

    def events() -> Iterator[Obj]:
        yield from begun
        wait_for_clock = time.monotonic() + 0.002
        while time.monotonic() < wait_for_clock:
            pass
        yield from ({"type": "block_end", **block}, done)

    assert provider._Screen().turn(events()) == done
    told = capsys.readouterr()
    assert told.out == "x\n"
    assert "note: the answer was cut at max_tokens" in told.err
    figures = told.err.splitlines()[-1]
    assert figures.startswith("MiniMax-M3: 5 in, 700 out; $0.000846; first token 0.0")
    assert re.search(r"\d+ tokens/s$", figures)


@pytest.mark.parametrize("path", ["/p/plugin", "/p/" + "long/" * 15 + "plugin"])
def test_a_command_to_copy_is_whole_in_its_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    monkeypatch.setattr(sys, "argv", [path])
    error = provider.ProviderError("model_unavailable", "no")
    provider._tell_error(provider.Terminal(sys.stdout), error.to_dict())
    assert capsys.readouterr().out.splitlines()[-1].endswith(path + " models --live")


@pytest.mark.parametrize("blocks", [
    [], [opened(0, "thinking"), thinking(0, "Hm."), signature(0, "5e" * 4), closed(0)],
])
def test_say_tells_that_an_answer_has_no_text(site: Emulator, blocks: Any) -> None:
    site.answer = minimax(turn=respond(sse(started(), *blocks, stopping(), STOP)))
    done = person("say", "hi", base_url=site.base_url)
    assert (done.code, done.out) == (0, "")
    done.says("note: the model answered without a text")


@pytest.mark.parametrize("cost, shown", [
    (4e-7, "$0.000000"), (0.00123, "$0.001230"), (0.0123, "$0.0123"), (12, "$12.00"),
])
def test_dollars_have_as_many_digits_as_are_of_use(cost: float, shown: str) -> None:
    assert provider._dollars(cost) == shown


def test_say_shows_a_tool_call_aside(site: Emulator) -> None:
    site.answer = minimax(turn=respond(CALLED))
    done = person("say", "hi", base_url=site.base_url)
    assert done.out == "Let me see.\n"
    assert done.err.startswith('tool call: get_weather {"city":"Lisbon"}\n')


def test_say_json_prints_the_events_of_the_wire(site: Emulator) -> None:
    site.answer = minimax(turn=respond(ALOUD))
    done = person("say", "--json", "hi", base_url=site.base_url)
    lines = [{"id": "a", **parse_line(raw)} for raw in done.out.encode().splitlines()]
    check_grammar(lines_of(*lines))
    assert lines[-1]["type"] == "turn_end" and (done.code, done.err) == (0, "")
    site.answer = minimax(turn=WRONG_KEY)
    done = person("say", "--json", "hi", base_url=site.base_url)
    assert done.json["error"]["code"] == "auth" and (done.code, done.err) == (1, "")


def test_say_warns_and_tells_of_retries(site: Emulator) -> None:
    scripts = iter([refuse(529, api_error("high load (2064)")), respond(OK)])
    site.answer = lambda request: next(scripts)
    config = {"retry_base_delay": 0.001}
    argv = ["say", "-m", "MiniMax-M2.7", "hi"]
    done = person(*argv, base_url=site.base_url, config=config)
    assert (done.code, done.out) == (0, "ok\n")
    done.says("warning: MiniMax-M2.7 was retired on 2026-11-18; use MiniMax-M3.1-Flash")
    done.says("retry: overloaded: HTTP 529: high load (2064); again in 0", "of 4)")


SAY_ERRORS: dict[str, tuple[Script, list[str]]] = {
    "wrong key": (
        WRONG_KEY, ["error: auth:", '"region" to "cn"', "copy the key", "check"],
    ),
    "empty wallet": (
        refuse(402, base_resp(1008, "insufficient balance")),
        ["error: insufficient_balance:", "top up", "pay-as-you-go key", "check"],
    ),
    "used-up plan": (
        refuse(429, api_error("limit, resets at 2040-05-15T15:00:00Z (2056)")),
        ["error: quota_exhausted:", "Wait for the reset", "2040-05-1", " d ", "quota"],
    ),
    "retired model": (
        refuse(400, api_error("invalid params, unknown model 'MiniMax-M2.7' (2013)")),
        ["error: model_unavailable:", "MiniMax-M3.1-Flash", "models --live"],
    ),
    "cut": (
        unfinished(words("Once upon a time")[:-150], close),
        ["error: stream_cut:", "Something between here and", "check"],
    ),
    "wrong path": (refuse(404, "404 page not found"), ["error: not_found", "base_url"]),
    "a proxy's page": (refuse(200, "<html>Please log in</html>"), ["Please log in"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SAY_ERRORS)
def test_say_prints_error_and_remedy_and_exits_1(site: Emulator, name: str) -> None:
    script, phrases = SAY_ERRORS[name]
    site.answer = lambda request: script
    done = person("say", "hi", base_url=site.base_url, config={"max_retries": 0})
    assert done.code == 1
    assert done.out == ("Once upon a time\n" if name == "cut" else "")
    done.says(*phrases)
    assert done.err.startswith("error: ")
    assert all(len(line) <= 80 or SOURCE in line for line in done.err.splitlines())


def test_say_without_a_key_says_where_to_put_it(site: Emulator) -> None:
    done = person("say", "hi", base_url=site.base_url, env={"MINIMAX_API_KEY": None})
    assert done.code == 1 and not site.requests
    done.says("error: config:", 'Put {"api_key": "sk-..."} into that file')


# --- pipes that close, Ctrl-C, and a disk that is full --------------------------------


class Running:
    """A command that runs, its stdout in our hands."""

    def __init__(self, *argv: str, base_url: str | None = None) -> None:
        self.home = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            [sys.executable, SOURCE, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(self.home.name, base_url),
        )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.home.cleanup()

    def end(self) -> tuple[int, bytes]:
        """Exit code and stderr, whether or not stdout was closed."""
        assert self.process.stderr
        code = self.process.wait(DEADLINE)
        return code, self.process.stderr.read()


@pytest.mark.parametrize("argv", [["demo"], ["models"], ["--help"], ["--manifest"]])
def test_command_whose_reader_has_gone_ends_quietly(argv: list[str]) -> None:
    with Running(*argv) as running:
        assert running.process.stdout
        running.process.stdout.close()
        assert running.end() == (141, b"")


def test_say_whose_reader_goes_away_drops_the_turn_quietly(site: Emulator) -> None:
    closed_, read_one = threading.Event(), [sse(started(), opened(0), text(0, "a\n"))]
    rest = [drip(chunk(sse(text(0, "b\n"))))]
    site.answer = minimax(turn=unfinished(*read_one, wait(closed_), *rest))
    with Running("say", "hi", base_url=site.base_url) as running:
        assert running.process.stdout
        assert running.process.stdout.readline() == b"a\n"
        running.process.stdout.close()
        closed_.set()
        assert running.end() == (141, b"")
        assert site.requests[0].gone.wait(DEADLINE)


def test_ctrl_c_cancels_the_turn_of_a_plain_say(site: Emulator) -> None:
    begun = sse(started(), opened(0), text(0, "Once upon"))
    site.answer = minimax(turn=unfinished(begun, hold))
    with Running("say", "hi", base_url=site.base_url) as running:
        assert running.process.stdout
        assert running.process.stdout.read(9) == b"Once upon"
        running.process.send_signal(signal.SIGINT)
        code, errors = running.end()
        assert (code, running.process.stdout.read()) == (130, b"\n")
        assert errors.startswith(b"note: cancelled\n")
        assert site.requests[0].gone.wait(DEADLINE)


@pytest.mark.parametrize("name", ["check", "quota", "models --live"])
def test_ctrl_c_ends_a_command_that_waits(site: Emulator, name: str) -> None:
    site.answer = lambda request: [hold]
    with Running(*name.split(), base_url=site.base_url) as running:
        site.wait_request()
        running.process.send_signal(signal.SIGINT)
        assert running.end() == (130, b"")


@pytest.mark.parametrize("shut, code, out", [
    ("<&-", 0, b"ok\n"), ("2>&-", 0, b"ok\n"), (">&-", 3, b""),
])
@pytest.mark.parametrize("argv", [["say", "hi"], ["say", "--chat", "hi"]])
def test_command_with_a_closed_standard_stream(
    site: Emulator, argv: list[str], shut: str, code: int, out: bytes
) -> None:
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            ["sh", "-c", f'exec "$@" {shut}', "sh", sys.executable, SOURCE, *argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DEADLINE,
            env=environment(home, site.base_url),
        )
    assert (done.returncode, done.stdout) == (code, out)
    assert b"Traceback" not in done.stderr
    assert len(site.requests) == (code == 0)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("argv", [["models"], ["--version"], ["demo"], ["say", "x"]])
def test_full_disk_behind_a_commands_stdout_is_exit_3(
    site: Emulator, argv: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as home, open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, SOURCE, *argv],
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=DEADLINE,
            env=environment(home, site.base_url),
        )
    assert done.returncode == 3
    assert b"stdout cannot be written" in done.stderr
    assert b"Traceback" not in done.stderr and b"Exception" not in done.stderr


# --- at a terminal ------------------------------------------------------------------

AT_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def cells_of(output: bytes) -> list[list[tuple[str, str]]]:
    """The characters on the screen, line by line, each with its colour's number."""
    lines: list[list[tuple[str, str]]] = [[]]
    column, style = 0, ""
    told = output.decode("utf-8", "replace")
    for code, letter, other, character in re.findall(
        r"\x1b\[([0-?]*)[ -/]*(?:(m)|([@-~]))|([^\x1b])", told
    ):
        if letter:
            style = "" if code in ("", "0") else code
        elif other or not character:
            continue
        elif character == "\r":
            column = 0
        elif character == "\n":
            lines.append([])
            column = 0
        elif character >= " ":
            line = lines[-1]
            line += [(" ", "")] * (column - len(line))
            line[column : column + 1] = [(character, style)]
            column += 1
    return lines


def rendered(output: bytes) -> list[str]:
    """The lines that stand on the screen, without colours."""
    lines = ("".join(cell[0] for cell in line) for line in cells_of(output))
    return [line.rstrip() for line in lines]


class AtTerminal:
    """A command at a pseudo-terminal of 80 columns, and a person who types."""

    def __init__(
        self,
        *argv: str,
        base_url: str | None = None,
        config: Obj | None = None,
        env: dict[str, str | None] | None = None,
        piped: bool = False,
        shell: str = "",
        stage: Stage | None = None,
    ) -> None:
        import fcntl
        import pty
        import termios

        self.home = tempfile.TemporaryDirectory()
        self.output = b""
        self._changed = threading.Condition()
        self._seen = 0  # where to look for what is expected next
        self._master, terminal = pty.openpty()
        size = struct.pack("HHHH", 24, 80, 0, 0)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)
        env = {"TERM": "xterm", **(env or {})}
        environ = environment(self.home.name, base_url, config, env)
        command = command_line(argv, None)
        if stage is not None:
            environ = {"TERM": "xterm", **stage.environ}
            command = ["/bin/sh", "-c", shell]
        self.process = subprocess.Popen(
            [sys.executable, "-c", AT_TERMINAL, *command],
            stdin=terminal,
            stdout=subprocess.PIPE if piped else terminal,
            stderr=terminal,
            start_new_session=True,
            cwd=stage.home if stage else None,
            env=environ,
        )
        os.close(terminal)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._master, 65536)
            except OSError:  # so Linux says that the other side is closed
                piece = b""
            with self._changed:
                self.output += piece
                self._changed.notify_all()
            if not piece:
                return

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def expect(self, phrase: str) -> None:
        """Wait until `phrase` is shown, after what was expected before."""
        wanted = phrase.encode()
        with self._changed:
            there = self._changed.wait_for(
                lambda: wanted in self.output[self._seen :], DEADLINE
            )
            assert there, (phrase, self.output)
            self._seen = self.output.index(wanted, self._seen) + len(wanted)

    def interrupt(self, phrase: str) -> None:
        """Ctrl-C until `phrase` is shown: readline misses one between two reads."""
        for _ in range(int(DEADLINE)):
            self.type("\x03")
            with self._changed:
                if self._changed.wait_for(
                    lambda: phrase.encode() in self.output[self._seen :], 1.0
                ):
                    break
        self.expect(phrase)

    def end(self) -> tuple[int, list[str]]:
        """The exit code and the screen."""
        code = self.process.wait(DEADLINE)
        self._thread.join(DEADLINE)
        check_secret(self.output)
        assert b"Traceback" not in self.output, self.output.decode()
        return code, rendered(self.output)

    def __enter__(self) -> AtTerminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._thread.join(DEADLINE)
        os.close(self._master)
        if self.process.stdout:
            self.process.stdout.close()
        self.home.cleanup()


COLOR = b"\x1b["


@pytest.mark.parametrize("env, colored", [
    ({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False),
    ({"TERM": "dumb"}, False), ({"TERM": None}, False),
])
def test_say_marks_thinking_off_with_colour_where_it_may(
    site: Emulator, env: dict[str, str | None], colored: bool
) -> None:
    site.answer = minimax(turn=respond(ALOUD))
    argv = ["say", "--thinking", "hi"]
    with AtTerminal(*argv, base_url=site.base_url, env=env) as terminal:
        code, screen = terminal.end()
    assert code == 0
    assert screen[:5] == ["| Hm.", "| Well.", "", "It is 21 C.\\x1b[2J", "Fine."]
    assert screen[5].startswith("MiniMax-M3: 236 in")
    assert (COLOR in terminal.output) is colored
    assert b"\x1b[2J" not in terminal.output  # the model does not command the terminal


@pytest.mark.parametrize("argv", [["say", "hi"], ["say", "--json", "hi"]])
@pytest.mark.parametrize("unbuffered", [None, "1"])
def test_non_blocking_stdout_gets_all(
    site: Emulator, argv: list[str], unbuffered: str | None
) -> None:
    text = "x" * 300000
    site.answer = minimax(turn=respond(words(text)))
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with tempfile.TemporaryDirectory() as home:
        process = subprocess.Popen(
            command_line(argv, None),
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.DEVNULL,
            env=environment(home, site.base_url, env={"PYTHONUNBUFFERED": unbuffered}),
        )
        os.close(writing)
        with open(reading, "rb") as output:
            assert text in output.read().decode().replace("\n", "")
        assert process.wait(DEADLINE) == 0


@needs_linux
@pytest.mark.parametrize("argv, said", [
    (["say", "hi"], ["ok"]), (["say", "--chat"], ["ok", "ok"]),
])
@pytest.mark.parametrize("shell", [
    '"$@" 2>/dev/full >answer; echo $? >>answer',
    '{ "$@" 2>&1 >answer; echo $? >>answer; } | true',
])
def test_stderr_that_cannot_be_written_changes_nothing(
    site: Emulator, tmp_path: Path, shell: str, argv: list[str], said: list[str]
) -> None:
    site.answer = minimax(turn=respond(OK))
    run(b"hi\n" * 2, site.base_url, argv=argv, shell=shell, cwd=str(tmp_path))
    assert (tmp_path / "answer").read_text().split() == [*said, "0"]


@needs_linux
def test_chat_whose_stdin_cannot_be_read_says_so(site: Emulator) -> None:
    argv = ["say", "--chat"]
    code, _, errors = run(b"", site.base_url, argv=argv, shell='exec "$@" 0>/dev/null')
    assert code == 0 and b"stdin cannot be read" in errors


@needs_linux
def test_replay_whose_output_fails_judges_nothing(
    site: Emulator, tmp_path: Path
) -> None:
    line, folder = json.dumps(ask()).encode(), str(tmp_path)
    assert run(line, site.base_url, argv=["--capture", folder])[0] == 0
    [file] = tmp_path.iterdir()
    argv = ["replay", "--json", str(file)]
    code, _, errors = run(b"", argv=argv, shell='"$@" >/dev/full')
    assert code == 3 and b"cannot be written" in errors and b"different" not in errors


def test_demo_tells_its_error_aside(tmp_path: Path) -> None:
    env = planted(tmp_path, requests="raise ImportError('no requests here')")
    done = person("demo", env=env)
    assert done.code == 1 and "requests" in done.err and "requests" not in done.out


def test_demo_without_loopback_says_so(tmp_path: Path) -> None:
    source = """
import errno, socket
def refuse(*args, **kwargs):
    raise OSError(errno.EADDRNOTAVAIL, "no such address")
socket.create_server = refuse
"""
    env = planted(tmp_path, sitecustomize=source)
    done = person("demo", env=env)
    assert done.code == 1 and "127.0.0.1: no such address" in done.err
    done = person("check", "--offline", env=env)
    assert done.code == 1
    done.says("problem demo a turn failed", "127.0.0.1: no such address")


def test_counter_runs_while_there_is_silence_and_is_gone_when_text_comes(
    site: Emulator,
) -> None:
    seen = threading.Event()
    site.answer = minimax(turn=respond(sse(started()), wait(seen), words("ok")))
    with AtTerminal("say", "hi", base_url=site.base_url) as terminal:
        terminal.expect("waiting 0 s")
        seen.set()
        code, screen = terminal.end()
    assert (code, screen[0]) == (0, "ok")


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {}])
def test_counter_is_only_at_a_terminal(
    site: Emulator, env: dict[str, str | None]
) -> None:
    """Of its output: stderr is what it is shown on."""
    begun = sse(started(), opened(0, "thinking"), thinking(0, "Hm."))
    ready = threading.Event()
    site.answer = minimax(turn=respond(begun, wait(ready), ALOUD[len(begun) :]))
    with AtTerminal("say", "hi", base_url=site.base_url, env=env, piped=True) as there:
        if env:
            site.wait_request()
        else:
            there.expect("thinking")
        ready.set()
        assert there.process.stdout
        told = there.process.stdout.read()
        code, screen = there.end()
    assert (code, told) == (0, b"It is 21 C.\x1b[2J\nFine.\n")
    assert screen[0].startswith("MiniMax-M3: ")
    assert (b"thinking" in there.output) is (not env)


def test_conversation_is_carried_losslessly_until_quit(site: Emulator) -> None:
    turns = iter([respond(RICH.data), respond(words("two"))])
    site.answer = lambda request: next(turns)
    with AtTerminal("say", "--chat", base_url=site.base_url) as chat:
        chat.expect("> ")
        chat.type("first\n")
        chat.expect("tool call: glob")
        chat.expect("> ")
        chat.type("\n  second \n")
        chat.expect("two")
        chat.expect("> ")
        chat.type("/quit\n")
        code, screen = chat.end()
    assert code == 0 and "| Où?" in screen and "Grüße, 世界 😀!" in screen
    first, second = (request.json["messages"] for request in site.requests)
    assert first == [{"role": "user", "content": "first"}]
    assert same(second[1], {"role": "assistant", "content": RICH.content})
    assert second[2]["content"][-1] == {"type": "text", "text": "second"}


@pytest.mark.parametrize("payloads", [
    [{"type": "content_block_start", "index": 0,
      "content_block": {"type": "tool_use", "id": "c1", "input": {}}}, closed(0)],
    [partial_json(0, '{"a":1}')],
])
def test_say_survives_a_tool_call_without_a_name(
    site: Emulator, payloads: list[Obj]
) -> None:
    site.answer = minimax(turn=respond(sse(started(), *payloads, stopping(), STOP)))
    done = person("say", "--chat", base_url=site.base_url, stdin=b"hi\nhi\n")
    assert done.code == 0 and done.err.count("tool call: (no name)") == 2


def test_conversation_takes_every_letter_in_the_locale_c(site: Emulator) -> None:
    site.answer = minimax(turn=respond(OK))
    env: dict[str, str | None] = {"LC_ALL": "C"}
    with AtTerminal("say", "--chat", base_url=site.base_url, env=env) as chat:
        for count, said in enumerate(("é b", "日本"), 1):
            chat.expect("> ")
            chat.type(said + "\n")
            assert site.wait_request(count).json["messages"][-1]["content"] == said
        chat.expect("> ")
        chat.type("/quit\n")
        assert chat.end()[0] == 0


def test_ctrl_c_in_a_conversation_cancels_the_turn_and_not_the_program(
    site: Emulator,
) -> None:
    begun = sse(started(), opened(0), text(0, "Once upon"))
    turns: Iterator[Script]
    turns = iter([unfinished(begun, hold), [hold], respond(words("here"))])
    site.answer = lambda request: next(turns)
    with AtTerminal("say", "--chat", "tell", "me", base_url=site.base_url) as chat:
        chat.expect("Once upon")
        chat.type("\x03")
        chat.expect("cancelled")
        chat.expect("> ")
        assert site.requests[0].gone.wait(DEADLINE)
        chat.type("again\n")
        site.wait_request(2)
        chat.type("\x03")
        chat.expect("cancelled")
        chat.expect("> ")
        chat.type("half a li")
        chat.expect("half a li")
        chat.interrupt("> ")
        chat.type("there?\n")
        chat.expect("here")
        chat.expect("> ")
        chat.type("\x04")
        code, _ = chat.end()
    assert code == 0
    told = [message["content"] for message in site.requests[2].json["messages"]]
    assert told == ["tell me", [{"type": "text", "text": "Once upon"}], "there?"]


def test_error_in_a_conversation_leaves_it_as_it_was(site: Emulator) -> None:
    turns = iter([WRONG_KEY, respond(OK), respond(OK)])
    site.answer = lambda request: next(turns)
    stdin = b"one\ntwo\nthree"
    done = person("say", "--chat", base_url=site.base_url, stdin=stdin)
    assert (done.code, done.out) == (0, "ok\nok\n")
    done.says("error: auth:")
    told = [message["content"] for message in site.requests[2].json["messages"]]
    assert told == ["two", [{"type": "text", "text": "ok"}], "three"]


def test_conversation_whose_last_turn_failed_is_exit_1(site: Emulator) -> None:
    site.answer = minimax(turn=WRONG_KEY)
    assert person("say", "--chat", base_url=site.base_url, stdin=b"x\n").code == 1


def test_prompt_is_no_part_of_an_answer_that_goes_elsewhere(site: Emulator) -> None:
    with AtTerminal("say", "--chat", base_url=site.base_url, piped=True) as chat:
        chat.expect("> ")
        chat.type("hi\n")
        chat.expect("MiniMax-M3: ")
        chat.expect("> ")
        chat.type("/quit\n")
        assert chat.process.stdout and chat.process.stdout.read() == b"ok\n"
        assert chat.end()[0] == 0


def test_without_a_command_at_a_terminal_it_explains_itself(tmp_path: Path) -> None:
    with AtTerminal() as terminal:
        code, screen = terminal.end()
    assert code == 0 and screen[0].startswith("usage: " + Path(SOURCE).name)


# --- check --------------------------------------------------------------------------


def statuses(done: Ran) -> dict[str, str]:
    """The worst status of each check."""
    found: dict[str, str] = {}
    for row in done.json["checks"]:
        order = ["ok", "skipped", "warning", "problem"]
        worse = max(found.get(row["check"], "ok"), row["status"], key=order.index)
        found[row["check"]] = worse
    return found


def remedy_of(done: Ran, name: str) -> str:
    [row] = [
        r for r in done.json["checks"] if r["check"] == name and r["status"] != "ok"
    ]
    return "{text} -> {remedy}".format(**row)


def test_check_of_a_good_setup_finds_nothing_and_spends_nothing(site: Emulator) -> None:
    done = person("check", "--json", base_url=site.base_url)
    assert done.code == 0 and done.json["ok"] is True
    assert set(statuses(done).values()) == {"ok"}
    assert set(statuses(done)) >= {
        "python", "plugin", "requests", "urllib3", "config", "api_key", "region",
        "base_url", "model", "defaults", "proxy", "dns", "tcp", "tls", "key", "plan",
        "quota", "model used",
    }  # fmt: skip
    assert {request.method for request in site.requests} == {"GET"}
    asked = [bool(request.header("authorization")) for request in site.requests]
    assert asked[0] is False and all(asked[1:])


def test_check_for_a_person_fits_80_columns(site: Emulator) -> None:
    quota = refuse(200, remains({"end_time": 4070908800000}))
    site.answer = minimax(quota=quota)
    done = person("check", base_url=site.base_url)
    assert done.code == 0 and done.out.endswith("\n\nno problems, no warnings\n")
    long = [line for line in done.out.splitlines() if len(line) > 80]
    assert all(SOURCE in line or sys.executable in line for line in long)
    done.says(
        "api_key plan key (sk-cp-), 38 characters (MINIMAX_API_KEY)",
        'region "global" (default)',
        "MiniMax-M*, 5 hours: 63 % left, resets 2099-01-01",
    )


def test_check_tells_where_each_value_comes_from(site: Emulator) -> None:
    config = {"api_key": "sk-api-other", "idle_timeout": 5, "region": "cn"}
    env: dict[str, str | None] = {"MINIMAX_REGION": "global"}
    done = person("check", "--json", base_url=site.base_url, config=config, env=env)
    rows = {row["check"]: row for row in done.json["checks"]}
    wins = ", which wins over the config file"
    assert rows["api_key"]["origin"] == "MINIMAX_API_KEY" + wins
    assert rows["region"]["origin"] == "MINIMAX_REGION" + wins
    assert rows["idle_timeout"]["origin"] == "config file"
    assert rows["idle_timeout"]["value"] == 5
    assert rows["model"]["origin"] == "default"
    shown = {**rows["defaults"]["values"], **rows}
    assert set(provider.OPTIONS) <= set(shown)


class Finding(NamedTuple):
    """A setup, what `check` says of it, and which checks then wait."""

    check: str
    phrases: list[str]
    status: str = "problem"
    skipped: Sequence[str] = ()
    config: Obj | str | None = None
    env: dict[str, str | None] = {}
    answer: Callable[[Request], Script] = minimax()
    base_url: str | None = "site"


NO_PORT = "127.0.0.1:9"  # the discard service, which nobody runs
AFTER_TCP = ("tls", "key", "plan")
FINDINGS: dict[str, Finding] = {
    "no key": Finding(
        "api_key", ["is not set", 'Put {"api_key": "sk-..."}'],
        skipped=("key", "plan"), env={"MINIMAX_API_KEY": None},
    ),
    "key with a space": Finding(
        "api_key", ["MINIMAX_API_KEY", "position 7"],
        skipped=("key", "plan"), env={"MINIMAX_API_KEY": "sk-cp- "  + "x" * 40},
    ),
    "key cut short": Finding(
        "api_key", ["it is short", "whole"], "warning",
        env={"MINIMAX_API_KEY": "sk-cp-abc"},
    ),
    "foreign key": Finding(
        "api_key", ["unlike any key"], "warning",
        env={"MINIMAX_API_KEY": "ghp_" + "x" * 40},
    ),
    "config is no JSON": Finding(
        "config", ["config.json", "character 2", "install.sh"], config="{oops",
        skipped=("settings", "proxy", "dns", "tcp", *AFTER_TCP, "model used"),
    ),
    "unknown setting": Finding(
        "config", ["apikey is no setting", "api_key?"], "warning", config={"apikey": 1},
    ),
    "wrong setting": Finding(
        "max_retries", ["at most 100, not 101"], config={"max_retries": 101},
    ),
    "wrong region": Finding(
        "region", ["must be one of global, cn"], env={"MINIMAX_REGION": "europe"},
        skipped=("proxy", "dns", "tcp", *AFTER_TCP),
    ),
    "no such host": Finding(
        "dns", ["nowhere.invalid", "DNS", "HTTPS_PROXY"],
        base_url="https://nowhere.invalid", skipped=("tcp", *AFTER_TCP),
    ),
    "nobody listens": Finding(
        "tcp", ["port 9", "refused", "firewall"],
        base_url="http://" + NO_PORT, skipped=AFTER_TCP,
    ),
    "proxy is not there": Finding(
        "tcp", ["port 9", "This is the proxy", "unset it"],
        base_url="https://api.minimax.io/anthropic", skipped=AFTER_TCP,
        env={"HTTPS_PROXY": f"http://user:{KEY}@{NO_PORT}"},
    ),
    "proxy is no URL": Finding(
        "proxy", ["not valid", "HTTPS_PROXY"],
        base_url="https://api.minimax.io/anthropic", skipped=("dns", "tcp", *AFTER_TCP),
        env={"HTTPS_PROXY": "http://proxy:port"},
    ),
    "no answer": Finding(
        "tls", ["took longer than 0.2 s -> Check that this machine reaches"],
        answer=lambda request: [hold], skipped=AFTER_TCP[1:],
        config={"first_event_timeout": 0.2},
    ),
    "hang-up": Finding(
        "tls", ["hung up"], answer=lambda request: [close], skipped=AFTER_TCP[1:],
    ),
    "wrong key": Finding(
        "key", ["refused by 127.0.0.1", "login fail", "Copy the key", "unset MINI"],
        answer=minimax(models=WRONG_KEY), skipped=["plan"],
    ),
    "wrong path": Finding(
        "key", ["no API at", "but at", "Set MINIMAX_BASE_URL to http", "/anthropic"],
        base_url="site/nowhere", skipped=["plan"],
    ),
    "no path": Finding(
        "key", ["no API at", "but at", "/anthropic"],
        base_url="site/", skipped=["plan"],
    ),
    "a proxy's page": Finding(
        "key", ["protocol: not JSON but text/html: Please log in", "base_url"],
        answer=lambda request: refuse(200, "<html>Please log in</html>"),
        skipped=["plan"],
    ),
    "overloaded": Finding(
        "key", ["overloaded", "in a minute"], skipped=["plan"],
        answer=minimax(models=refuse(529, api_error("high load (2064)"))),
    ),
    "used-up plan": Finding(
        "quota", ["week: 0 % left", "resets 2099-01-01", "Wait", "pay-as-you-go"],
        answer=minimax(quota=refuse(200, remains({
            "current_weekly_remaining_percent": "0", "weekly_end_time": 4070908800000,
        }))),
    ),
    "plan at its end": Finding(
        "quota", ["5 hours: 3 % left"], "warning",
        answer=minimax(quota=refuse(200, remains(
            {"current_interval_remaining_percent": 3.0}
        ))),
    ),
    "quota that is not told": Finding(
        "plan", ["cannot be read", "no such page"], "warning",
        answer=minimax(quota=refuse(500, api_error("no such page"))),
    ),
    "retired model": Finding(
        "model used",
        ["MiniMax-M2.7 was retired on 2026-11-18", '"model" to "MiniMax-M3.1-Flash"'],
        config={"model": "minimax-m2.7"},
    ),
    "retired model that is served": Finding(
        "model used", ["though the endpoint lists it"], "warning",
        config={"model": "MiniMax-M2.7"},
        answer=minimax(models=listing("MiniMax-M2.7", "MiniMax-M3")),
    ),
    "misspelt model": Finding(
        "model used", ["neither", "MiniMax-M31-flash", 'to "MiniMax-M3.1-Flash"'],
        config={"model": "MiniMax-M31-flash"},
    ),
    "model that is not listed": Finding(
        "model used", ["does not list MiniMax-M2 for this key"], "warning",
        config={"model": "MiniMax-M2"},
    ),
    "model that is not in the plan": Finding(
        "model used", ["not part of the base plans"], "warning",
        config={"model": "MiniMax-M2.1-highspeed"},
        answer=minimax(models=listing("MiniMax-M2.1-highspeed")),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FINDINGS)
def test_check_finds_one_thing_and_says_what_to_do(
    site: Emulator, name: str
) -> None:
    finding = FINDINGS[name]
    site.answer = finding.answer
    base_url = finding.base_url
    if base_url is not None:
        base_url = base_url.replace("site/", f"http://127.0.0.1:{site.port}/")
        base_url = base_url.replace("site", site.base_url)
    env = {"HTTPS_PROXY": None, **finding.env}
    done = person(
        "check", "--json", base_url=base_url, config=finding.config, env=env
    )
    found = statuses(done)
    bad = {check: status for check, status in found.items() if status != "ok"}
    expected = dict.fromkeys(finding.skipped, "skipped")
    assert bad == {**expected, finding.check: finding.status}, done.out
    assert done.code == (finding.status == "problem")
    told = remedy_of(done, finding.check)
    assert all(phrase in told for phrase in finding.phrases), told


def test_check_finds_every_wrong_setting(site: Emulator) -> None:
    config = {"effort": "huge", "max_retries": "x", "idle_timeout": -1, "api_key": 7}
    env: dict[str, str | None] = {"MINIMAX_API_KEY": None}
    done = person("check", "--json", base_url=site.base_url, config=config, env=env)
    bad = {check for check, status in statuses(done).items() if status == "problem"}
    assert bad == set(config)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_check_warns_of_a_config_that_others_can_read(
    site: Emulator, tmp_path: Path
) -> None:
    path = tmp_path / "open.json"
    path.write_text(json.dumps({"api_key": KEY}))
    path.chmod(0o644)
    env: dict[str, str | None] = {"PLEXUM_MINIMAX_CONFIG": str(path)}
    done = person("check", "--json", base_url=site.base_url, env=env)
    assert done.code == 0 and done.err == ""
    assert remedy_of(done, "config").endswith(f"-> chmod 600 {path}")


def test_check_knows_a_key_that_has_a_file_of_its_own(
    site: Emulator, tmp_path: Path
) -> None:
    path = tmp_path / "key"
    path.write_text(KEY)
    path.chmod(0o644)
    config = {"api_key_file": str(path)}
    env: dict[str, str | None] = {"MINIMAX_API_KEY": None}

    def look() -> Ran:
        return person(
            "check", "--json", base_url=site.base_url, config=config, env=env
        )

    done = look()
    rows = [row for row in done.json["checks"] if row["check"] == "api_key"]
    assert [row["status"] for row in rows] == ["warning", "ok"] and done.err == ""
    assert rows[0]["remedy"] == f"chmod 600 {path}" and rows[1]["origin"] == str(path)
    path.unlink()
    done = look()
    bad = {name for name, status in statuses(done).items() if status == "problem"}
    assert bad == {"api_key"} and f"{path} cannot be used" in remedy_of(done, "api_key")


def test_check_without_requests_still_says_everything_else(
    site: Emulator, tmp_path: Path
) -> None:
    env = planted(tmp_path, requests="raise ImportError('no requests here')")
    done = person("check", "--json", base_url=site.base_url, env=env)
    found = statuses(done)
    assert done.code == 1 and found["requests"] == "problem"
    assert [found[name] for name in ("dns", "tcp", "api_key")] == ["ok"] * 3
    assert [found[name] for name in AFTER_TCP] == ["skipped"] * 3
    assert "pip install requests" in remedy_of(done, "requests")


@pytest.fixture
def regions(emulator: Emulator) -> Iterator[tuple[Emulator, Emulator, dict[str, str]]]:
    """Both regions; a key is good for neither, until a test says so."""
    with Emulator() as other:
        emulator.answer = other.answer = minimax(models=WRONG_KEY)
        yield emulator, other, {"global": emulator.base_url, "cn": other.base_url}


@pytest.mark.parametrize("env, config, remedy", [
    ({}, {}, 'Set "region" to "cn" in {home}'),
    ({}, {"region": "global"}, 'Set "region" to "cn" in {home}'),
    ({"MINIMAX_REGION": "global"}, {}, "Set MINIMAX_REGION to cn, or unset it"),
    ({"MINIMAX_BASE_URL": "{global}"}, {}, "and unset MINIMAX_BASE_URL"),
])
def test_check_finds_the_region_of_a_key(
    regions: tuple[Emulator, Emulator, dict[str, str]],
    env: dict[str, str | None],
    config: Obj,
    remedy: str,
) -> None:
    _, other, bases = regions
    other.answer = minimax()
    env = {k: v and v.replace("{global}", bases["global"]) for k, v in env.items()}
    done = person("check", "--json", env=env, config=config, regions=bases)
    assert done.code == 1 and statuses(done)["plan"] == "skipped"
    told = remedy_of(done, "key")
    assert "this key belongs to region cn" in told
    assert remedy.split(" in {")[0] in told


def test_check_of_a_key_that_no_region_takes_says_so(
    regions: tuple[Emulator, Emulator, dict[str, str]],
) -> None:
    done = person("check", "--json", regions=regions[2])
    told = remedy_of(done, "key")
    hosts = [provider.host_of(base) for base in regions[2].values()]
    assert "refused by {} and {}: HTTP 401".format(*hosts) in told
    assert "Copy the key again" in told and "MINIMAX_API_KEY" in told


def test_key_of_another_host_is_not_shown_to_minimax(
    regions: tuple[Emulator, Emulator, dict[str, str]],
) -> None:
    _, other, bases = regions
    with Emulator() as own:
        own.answer = minimax(models=WRONG_KEY)
        done = person("check", "--json", base_url=own.base_url, regions=bases)
    assert statuses(done)["key"] == "problem"
    assert not other.requests and not regions[0].requests


@pytest.mark.parametrize("key, asked", [
    ("sk-api-" + "x" * 30, False), ("eyJ" + "x" * 30, True),
])
def test_check_asks_for_a_quota_only_where_there_may_be_one(
    site: Emulator, key: str, asked: bool
) -> None:
    site.answer = minimax(quota=refuse(200, base_resp(1004, "no plan")))
    env: dict[str, str | None] = {"MINIMAX_API_KEY": key}
    done = person("check", "--json", base_url=site.base_url, env=env)
    assert done.code == 0 and set(statuses(done).values()) == {"ok"}
    targets = [request.target for request in site.requests]
    assert ("/v1/token_plan/remains" in targets) is asked


def test_check_of_a_certificate_that_nobody_trusts(tls_emulator: Emulator) -> None:
    tls_emulator.answer = minimax()
    done = person("check", "--json", base_url=tls_emulator.base_url)
    assert statuses(done)["tls"] == "problem" and statuses(done)["key"] == "skipped"
    assert "REQUESTS_CA_BUNDLE" in remedy_of(done, "tls")


def test_check_through_tls_names_its_version(
    tls_emulator: Emulator, certificate: Path
) -> None:
    tls_emulator.answer = minimax()
    env: dict[str, str | None] = {"REQUESTS_CA_BUNDLE": str(certificate)}
    done = person("check", base_url=tls_emulator.base_url, env=env)
    assert done.code == 0
    assert re.search(r"tls +(TLSv1\.[23]|certificate verified), answer after", done.out)


def test_check_of_a_proxy_that_wants_a_login(emulator: Emulator) -> None:
    def refuse_tunnel(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

    with Emulator(greeting=refuse_tunnel) as proxy:
        env: dict[str, str | None] = {"HTTPS_PROXY": f"127.0.0.1:{proxy.port}"}
        base_url = "https://api.minimax.io/anthropic"
        done = person("check", "--json", base_url=base_url, env=env)
    found = statuses(done)
    assert [found[name] for name in ("proxy", "dns", "tcp")] == ["ok"] * 3
    assert found["tls"] == "problem"
    assert "USER:PASSWORD" in remedy_of(done, "tls")


def test_check_offline_asks_nobody_and_runs_the_demo(site: Emulator) -> None:
    env: dict[str, str | None] = {"HTTPS_PROXY": "http://" + NO_PORT}
    done = person("check", "--offline", base_url=site.base_url, env=env)
    assert done.code == 0 and site.connections == 0
    done.says("demo 2 turns with a server of its own")
    assert not re.search(r"(?m)^  \w+ +(dns|tcp|tls|key|plan) ", done.out)
    assert "thinking  >" not in done.out  # silently


def test_check_shows_no_control_characters_of_a_setting() -> None:
    """`person` looks for them."""
    done = person("check", "--offline", config={"model": "\x1b[31mX\u202e"})
    done.says("\\x1b[31mX\\u202e")


# --- models and quota -----------------------------------------------------------------


def test_models_lists_the_table_in_80_columns() -> None:
    done = person("models")
    assert done.code == 0
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    for name, facts in provider.MODELS.items():
        limits, prices = (li.split() for li in lines if li.split()[:1] == [name])
        assert limits[1] == "{:,}".format(facts["context_window"])
        assert limits[2] == "{:,}".format(facts["max_output_tokens"])
        assert " ".join(limits[3:-1]).startswith(" ".join(facts["input"]))
        assert limits[-1] == facts["status"]
        told = [None if p == "-" else float(p) for p in prices[1:]]
        assert told == list(facts["prices"].values()), name
    done.says("above 512,000 in 0.6 2.4 0.12 -", "Retired on 2026-11-18: MiniMax-M2.7,")


def test_models_live_marks_what_the_endpoint_lists(site: Emulator) -> None:
    pages = iter([
        listing("MiniMax-M3", has_more=True, last_id="MiniMax-M3"),
        listing("MiniMax-M4\x1b[2J", "MiniMax-M2"),
    ])
    site.answer = lambda request: next(pages)
    done = person("models", "--live", base_url=site.base_url)
    assert [request.target.split("?")[-1] for request in site.requests] == [
        "/anthropic/v1/models", "after_id=MiniMax-M3",
    ]  # fmt: skip
    marked = dict(re.findall(r"(?m)^(MiniMax-\S+)\s.*\s(yes|no|listed)$", done.out))
    assert marked.pop("MiniMax-M4") == "listed"
    assert {name for name, mark in marked.items() if mark == "yes"} == {
        "MiniMax-M3", "MiniMax-M2",
    }  # fmt: skip
    assert set(marked) == set(provider.MODELS)


def test_models_live_of_a_server_without_pages_are_listed_once(site: Emulator) -> None:
    same_page = listing("MiniMax-M3", "M4", has_more=True, last_id="M4")
    site.answer = lambda request: same_page
    done = person("models", "--live", "--json", base_url=site.base_url)
    assert done.json["others"] == ["M4"] and len(site.requests) == 2


def test_models_json_has_every_fact(site: Emulator) -> None:
    done = person("models", "--json", "--live", base_url=site.base_url)
    rows = {row["id"]: row for row in done.json["models"]}
    assert set(rows) == set(provider.MODELS) and done.json["others"] == []
    assert rows["MiniMax-M3"]["listed"] is True
    assert rows["MiniMax-M2"]["listed"] is False
    assert rows["MiniMax-M3"]["prices_above"]["input_tokens"] == 512000
    assert "listed" not in person("models", "--json").json["models"][0]


LATE = 4070908800000  # 2099-01-01T00:00:00Z
QUOTAS: dict[str, tuple[Obj, list[str]]] = {
    "percents": (remains({}), ["[######----] 63 % left", "[##--------] 20 % left"]),
    "strings, under data": (
        {"base_resp": {"status_code": "0"},
         "data": remains({"current_interval_remaining_percent": "63.5",
                          "current_weekly_remaining_percent": "20%"})},
        ["63.5 % left", "20 % left"],
    ),
    "a list under data": ({"data": remains({})["model_remains"]}, ["63 % left"]),
    "one object": ({"model_remains": remains({})["model_remains"][0]}, ["63 % left"]),
    "nothing of the week": (
        {"model_remains": [{"current_interval_remaining_percent": 7}]},
        ["all models", "[----------] 7 % left"],
    ),
    "unlimited": (
        remains({"current_weekly_status": 3}), ["week [##########] unlimited"],
    ),
    "limited": (remains({"current_weekly_status": "1"}), ["20 % left"]),
    "reset": (remains({"end_time": LATE}), ["63 % left, resets 2099-01-01", "(in "]),
    "reset in seconds": (remains({"end_time": str(LATE // 1000)}), ["2099-01-01"]),
    "reset that has passed": (remains({"end_time": 10**12}), ["2001-09-09", "past"]),
    "counts": (
        remains({"current_interval_total_count": 1500,
                 "current_interval_usage_count": "945"}),
        ["63 % left, count 945 of 1500"],
    ),
    "counts of nothing": (
        remains({"current_interval_total_count": 0, "current_interval_usage_count": 0}),
        ["63 % left\n"],
    ),
    "no percent": (
        {"model_remains": [{"current_weekly_total_count": 5}]}, ["week", "not told"],
    ),
    "beyond the ends": (
        remains({"current_interval_remaining_percent": 250,
                 "current_weekly_remaining_percent": None}),
        ["[##########] 100 % left", "not told"],
    ),
    "nonsense": (
        {"model_remains": [5, None, {"model_name": [1]}, {"end_time": {}}], "data": 5},
        ["No plan quota is told"],
    ),
    "a reset out of this world": (
        remains({"end_time": 99999999999999999, "weekly_end_time": {}}), ["63 % left"],
    ),
    "no rows": (remains({}, model_remains=[]), ["No plan quota", "plan key (sk-cp-)"]),
    "nothing": ({}, ["No plan quota is told"]),
}  # fmt: skip


@pytest.mark.parametrize("name", QUOTAS)
def test_quota_of_any_shape_is_shown(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, for speed: what the endpoint answered is handed in."""
    payload, phrases = QUOTAS[name]

    class Stub:
        def settings(self) -> Obj:
            return {**provider.default_settings(), "api_key": KEY}

        def get(self, url: str, settings: Obj) -> Obj:
            assert url == "https://api.minimax.io/v1/token_plan/remains"
            return payload

        def __enter__(self) -> Stub:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    class Options:
        json = False

    monkeypatch.setattr(provider, "_provider", lambda options: Stub())
    assert provider._quota(Options()) == 0
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 80
    flat = re.sub(r" +", " ", told)
    assert all(phrase in flat for phrase in phrases), told


def test_quota_asks_below_the_host_with_the_key(site: Emulator) -> None:
    quota = refuse(200, remains({"end_time": LATE}))
    site.answer = minimax(quota=quota)
    done = person("quota", base_url=site.base_url)
    [request] = site.requests
    assert (request.method, request.target) == ("GET", "/v1/token_plan/remains")
    assert request.header("authorization") == ["Bearer " + KEY]
    assert done.code == 0 and done.out.startswith("MiniMax-M*\n  5 hours  [######----]")
    done = person("quota", "--json", base_url=site.base_url)
    assert done.json["quota"][0] == {
        "model": "MiniMax-M*", "window": "5 hours", "percent_left": 63.0,
        "unlimited": False, "resets_at": LATE / 1000, "count": None, "total": None,
    }  # fmt: skip


@pytest.mark.parametrize("key, phrases", [
    (KEY, ["error: auth:", '"region" to "cn"']),
    ("sk-api-" + "x" * 30, ["error: auth:", "missing Only plans have a quota"]),
])
def test_quota_that_is_refused_is_exit_1(
    site: Emulator, key: str, phrases: list[str]
) -> None:
    site.answer = minimax(quota=refuse(200, base_resp(1004, "cookie is missing")))
    done = person("quota", base_url=site.base_url, env={"MINIMAX_API_KEY": key})
    assert (done.code, done.out) == (1, "")
    done.says(*phrases)


@pytest.mark.parametrize("argv", [["quota"], ["models", "--live"]])
def test_question_without_a_key_is_not_asked(site: Emulator, argv: list[str]) -> None:
    done = person(*argv, base_url=site.base_url, env={"MINIMAX_API_KEY": None})
    assert done.code == 1 and not site.requests
    done.says("error: config:", 'Put {"api_key": "sk-..."}')


@pytest.mark.parametrize("script, code", [
    (refuse(302, "", "Location: http://127.0.0.1:9/x"), "rejected"),
    ([close], "network"),
    (unfinished(b'{"data": [', close), "protocol"),
    (refuse(200, "[]"), "protocol"),
    (refuse(503, api_error("down")), "upstream"),
])
def test_question_that_is_not_answered_is_an_error(
    site: Emulator, script: Script, code: str
) -> None:
    site.answer = lambda request: script
    done = person("models", "--live", base_url=site.base_url)
    assert (done.code, done.out) == (1, "") and f"error: {code}: " in done.err


# --- help ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", provider.COMMANDS)
def test_help_of_a_command_has_an_example_and_the_exit_codes(name: str) -> None:
    done = person(name, "--help")
    assert done.code == 0 and max(map(len, done.out.splitlines())) <= 80
    assert f"usage: {Path(SOURCE).name} {name}" in done.out
    example = done.out.split("example:\n")[1].splitlines()[0]
    assert f" {name}" in example and "exit codes: 0 success; 1 " in done.out


def test_help_through_a_launcher_names_the_launcher(tmp_path: Path) -> None:
    launcher = tmp_path / "plexum-minimax-provider-plugin"
    start = "import sys; sys.path.append(sys.argv[2]); sys.argv[:3] = [sys.argv[1]];"
    start += f"import {Path(SOURCE).stem} as p; sys.exit(p.main())"
    folder = Path(SOURCE).parent
    launcher.write_text(
        f"#!/bin/sh\nexec '{sys.executable}' -c '{start}' \"$0\" '{folder}' \"$@\"\n"
    )
    launcher.chmod(0o755)
    for argv in ([], ["say"]):
        shown = subprocess.run(
            [str(launcher), *argv, "--help"], stdout=subprocess.PIPE, check=True
        ).stdout.decode()
        assert shown.startswith("usage: plexum-minimax-provider-plugin")
        assert Path(SOURCE).name not in shown


# =====================================================================
# Records: cost, log, capture, replay
# =====================================================================


def used(
    fresh: Any, output: Any, read: Any = None, written: Any = None, **more: Any
) -> Obj:
    """A `usage`, without the counts that are None."""
    counts = {
        "input_tokens": fresh,
        "output_tokens": output,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        **more,
    }
    return {name: count for name, count in counts.items() if count is not None}


def priced(final: Any, model: Any = "MiniMax-M3", **begin: Any) -> bytes:
    """A good stream with the usage `final` at its end."""
    return sse(
        started(model, **begin), opened(0), text(0, "ok"), closed(0),
        stopping(usage=final), STOP,
    )  # fmt: skip


COSTS: dict[str, tuple[bytes, float | None]] = {
    "input and output": (priced(used(1000, 1000)), 0.0015),
    "no noise of floats": (priced(used(1, 1)), 0.0000015),
    "one token, the least": (priced(used(0, 0, 1), "MiniMax-M3.1-Flash"), 1.5e-08),
    "cache read": (priced(used(236, 39, 38308)), 0.00241608),
    "cache written": (priced(used(0, 0, 0, 1000), "MiniMax-M2.7"), 0.000375),
    "cache written, price unknown": (priced(used(9, 9, 0, 1000)), None),
    "nothing written, price unknown": (priced(used(1000, 0, 0, 0)), 0.0003),
    "model in another case": (priced(used(1000, 0), "minimax-m3"), 0.0003),
    "model that differs": (priced(used(1000, 0), "MiniMax-M3.1-Flash"), 0.00015),
    "model not in the table": (priced(used(1000, 0), "MiniMax-M9"), None),
    "model not told": (priced(used(1000, 0), None), None),
    "prices not known": (priced(used(1000, 0), "MiniMax-M2.5-highspeed"), None),
    "at the limit": (priced(used(512000, 1000)), 0.1548),
    "above the limit": (priced(used(512001, 1000)), 0.3096006),
    "above it with the cache": (priced(used(1, 1000, 512000)), 0.0638406),
    "above it, no second price": (
        priced(used(512001, 0), "MiniMax-M3.1-Flash"), 0.07680015,
    ),
    "input told at the start only": (
        priced({"output_tokens": 1000}, usage=used(1000, 1)), 0.0015,
    ),
    "output told at the start only": (
        priced({"output_tokens": None}, usage=used(1000, 1000)), None,
    ),
    "no usage": (priced(None), None),
    "usage no object": (priced("much"), None),
    "nothing counted": (priced(used(0, 0)), None),
    "no input counted": (priced(used(0, 7)), None),
    "no output": (priced({"input_tokens": 5}), None),
    "a count is text": (priced(used("1000", 1000)), None),
    "a count is true": (priced(used(True, 1000)), None),
    "a count has a fraction": (priced(used(1000.0, 1000)), None),
    "a count is negative": (priced(used(1000, -1)), None),
    "a count of the cache is odd": (priced(used(1000, 1000, [])), None),
    "a count is huge": (priced(used(10**400, 1000)), None),
    "other counts are odd": (
        priced(used(1000, 1000, server_tool_use={"n": -1})), 0.0015,
    ),
}


@pytest.mark.parametrize("name", COSTS)
def test_turn_end_tells_the_cost_or_nothing(bench: Bench, name: str) -> None:
    stream, cost = COSTS[name]
    answer = bench.stream(stream)
    assert answer.text == "ok"
    assert answer.end.get("cost_usd") == cost
    assert ("cost_usd" in answer.end) is (cost is not None)


def test_cost_is_told_of_a_failed_answer_that_was_paid_for(bench: Bench) -> None:
    broken = sse(started(), opened(0, "tool_use"), partial_json(0, "{"), closed(0))
    broken += sse(stopping("tool_use", usage=used(1000, 10)), STOP)
    answer = bench.stream(broken)
    assert answer.code == "protocol" and answer.end["cost_usd"] == 0.000312
    answer = bench.stream(sse(started(usage=used(1000, 10)), opened(0), text(0, "x")))
    assert answer.code == "stream_cut" and "cost_usd" not in answer.end


# --- the log


INFO: Obj = {"log_level": "info", "max_retries": 0}


def told(plugin: Plugin) -> list[tuple[str, dict[str, str]]]:
    """The lines of the log about attempts and turns, once the process has ended."""
    lines = []
    for line in plugin.errors.decode("ascii").splitlines():
        found = re.match(r"plexum-minimax-provider: (attempt|turn) (.*)$", line)
        assert found, line
        fields = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)(?: |$)', found.group(2))
        assert " ".join("=".join(field) for field in fields) == found.group(2), line
        lines.append((found.group(1), dict(fields)))
    return lines


def one_logged(config: Obj, *script: Step) -> tuple[dict[str, str], dict[str, str]]:
    """What the log tells of the one attempt, and of the turn that `script` answers."""
    with Emulator() as emulator:
        emulator.queue.append(script)
        plugin = Plugin(emulator.base_url, {**INFO, **config})
        with plugin:
            plugin.turn(ask("a confidential question", id="t 1"))
    assert b"confidential" not in plugin.errors
    [(_, attempt), (_, turn)] = told(plugin)
    assert attempt["id"] == turn["id"] == '"t 1"'
    return attempt, turn


LOGGED: dict[str, tuple[Obj, Script, str, str, str, str]] = {
    # settings, script; outcome of both lines, last event, cause, bytes
    "good": ({}, respond(OK), "end_turn", "message_stop", "", str(len(OK))),
    "refused": (
        {}, refuse(401, api_error("confidential (1004)")), "auth", "error", "", "*",
    ),
    "not a stream": ({}, refuse(200, HTML % "confidential"), "protocol", "", "", "*"),
    "no answer": ({}, [close], "network", "", "RemoteDisconnected", "0"),
    "reset": (
        {}, unfinished(sse(started()), reset), "network", "message_start",
        "ConnectionResetError: .*reset by peer", str(len(sse(started()))),
    ),
    "cut in a block": (
        {}, unfinished(sse(started(), opened(0), text(0, "confidential")), close),
        "stream_cut", "content_block_delta", "IncompleteRead", "*",
    ),
    "cut between blocks": (
        {}, respond(sse(started(), opened(0), closed(0))),
        "stream_cut", "content_block_stop", "before its stop reason", "*",
    ),
    "garbage for a status": (
        {}, [b"confidential\r\n\r\n", close], "protocol", "", "BadStatusLine", "0",
    ),
    "too slow": (
        {"idle_timeout": 0.05}, unfinished(sse(started(), opened(0)), hold), "timeout",
        "content_block_start", "idle_timeout", "*",
    ),
}


def test_log_names_the_deepest_cause_that_the_system_gives() -> None:
    proxy: dict[str, str | None] = {"HTTPS_PROXY": "http://127.0.0.1:9"}
    for url, env in (("http://127.0.0.1:9", None), (None, proxy)):
        with Plugin(url, INFO, env) as plugin:
            assert plugin.turn(ask()).code == "network"
        [(_, attempt), _] = told(plugin)
        assert "[Errno" in attempt["cause"] and "refused" in attempt["cause"]
        assert "status" not in attempt and "headers_ms" not in attempt


@pytest.mark.parametrize("name", LOGGED)
def test_log_tells_of_attempt_and_turn_and_never_the_content(name: str) -> None:
    config, script, outcome, last, cause, size = LOGGED[name]
    attempt, turn = one_logged(config, *script)
    assert turn["outcome"] == outcome and turn["attempts"] == "1"
    assert attempt["outcome"] == outcome
    assert attempt.get("last_event", "") == last
    assert re.search(cause, attempt.get("cause", ""))
    assert ("cause" in attempt) is bool(cause)
    assert size in (attempt["bytes"], "*")
    if "headers_ms" in attempt:
        assert attempt["new_connection"] == "true" and attempt["status"].isdigit()
        assert int(attempt["headers_ms"]) <= int(attempt["end_ms"])
    if last:
        assert int(attempt["first_event_ms"]) <= int(attempt["end_ms"])
        assert attempt["events"] == str(OK.count(b"\n\n")) or outcome != "end_turn"


def test_log_tells_of_every_attempt_and_of_tokens_and_cost(emulator: Emulator) -> None:
    emulator.queue.extend([BUSY, respond(priced(used(1000, 10, 5)))])
    with Plugin(emulator.base_url, {**QUICK, "log_level": "info"}) as plugin:
        cost = plugin.turn(ask()).end["cost_usd"]
        plugin.send(ask())
        plugin.answer("turn-1")
    (_, first), (_, second), (_, turn), *_, (_, unnamed) = told(plugin)
    assert [first["outcome"], second["outcome"]] == ["overloaded", "end_turn"]
    assert [first["status"], second["new_connection"]] == ["529", "false"]
    assert turn["attempts"] == "2" and turn["cost_usd"] == dump(cost)
    counts = {k: v for k, v in turn.items() if k.endswith("_tokens")}
    assert counts == {
        "input_tokens": "1000", "cache_read_input_tokens": "5", "output_tokens": "10",
    }  # fmt: skip
    assert unnamed["id"] == "turn-1"


def test_log_tells_of_a_cancelled_turn_and_of_one_that_was_not_sent() -> None:
    with Emulator() as emulator:
        emulator.queue.append(unfinished(sse(started(), opened(0)), hold))
        with Plugin(emulator.base_url, INFO) as plugin:
            ident = plugin.submit(ask())
            plugin.wait_line("block_start", ident)
            plugin.cancel(ident)
            plugin.answer(ident)
            assert plugin.turn(ask("")).code == "invalid_request"
    (_, attempt), (_, turn), (what, unsent) = told(plugin)
    assert attempt["outcome"] == turn["outcome"] == "cancelled"
    assert what == "turn" and unsent["attempts"] == "0"


LOG_LEVELS: dict[str, tuple[Obj, list[str], int]] = {
    # settings, options; the lines there are on stderr
    "default": ({"surprise": 1}, [], 1),
    "warning": ({"surprise": 1, "log_level": "warning"}, [], 1),
    "error": ({"surprise": 1, "log_level": "error"}, [], 0),
    "info": ({"log_level": "info"}, [], 2),
    "option over config": ({"log_level": "error"}, ["--log-level", "info"], 2),
    "option": ({"surprise": 1}, ["--log-level", "error"], 0),
}


@pytest.mark.parametrize("name", LOG_LEVELS)
def test_log_level_decides_what_is_told(emulator: Emulator, name: str) -> None:
    config, options, count = LOG_LEVELS[name]
    stdin = dump(ask(id="a")).encode()
    code, _, errors = run(stdin, emulator.base_url, config, argv=options)
    assert code == 0 and len(errors.splitlines()) == count, errors
    assert len(emulator.requests) == 1


def test_log_level_that_is_none_is_refused(emulator: Emulator) -> None:
    assert run(b"", argv=["--log-level", "loud"])[0] == 2
    stdin = dump(ask(id="a")).encode()
    _, [end], _ = run(stdin, emulator.base_url, {"log_level": "debug"})
    assert end["error"]["code"] == "config"


# --- captures, and their replay


def rows_of(path: Path) -> list[Obj]:
    """The rows of a capture: whole lines of JSON, for the owner only, without key."""
    data = path.read_bytes()
    check_secret(data)
    assert path.stat().st_mode & 0o777 == 0o600
    assert data.endswith(b"\n")
    rows = [json.loads(line) for line in data.decode("utf-8").split("\n")[:-1]]
    assert all(a["t"] <= b["t"] for a, b in zip(rows, rows[1:]))
    assert rows[0]["kind"] == "turn" and rows[0]["capture"] == 1
    body = "".join(row["data"] for row in rows if row["kind"] == "chunk")
    check_secret(body.encode("utf-8", "surrogateescape"))
    return rows


def captures_of(folder: Path) -> list[list[Obj]]:
    return [rows_of(path) for path in sorted(folder.iterdir())]


def body_of(rows: list[Obj]) -> bytes:
    pieces = [row["data"] for row in rows if row["kind"] == "chunk"]
    return b"".join(piece.encode("utf-8", "surrogateescape") for piece in pieces)


def replayed(path: Path, *options: str) -> tuple[int, str, str]:
    """What `replay` does with a file: exit code, stdout, stderr."""
    done = subprocess.run(
        [sys.executable, SOURCE, "replay", *options, str(path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE,
        env={"PATH": os.defpath, "HOME": "/nowhere", "LC_ALL": "C"},
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def replayed_here(
    capsys: pytest.CaptureFixture[str], path: Path
) -> tuple[int, str, str]:
    """The same without a process of its own, for tables."""
    code = provider.main(["replay", str(path)])
    return code, *capsys.readouterr()


def timeless(line: Obj) -> Obj:
    """A line without what differs from run to run."""
    rest = {k: v for k, v in line.items() if k not in ("delay", "timing")}
    return {**rest, "attempts": line.get("timing", {}).get("attempts")}


def check_replay(path: Path, lines: Iterable[Obj]) -> None:
    """A replay has the same outcome, and says all that the turn has said."""
    code, output, verdict = replayed(path, "--json")
    assert (code, verdict) == (0, "same: the outcome is that of then\n"), verdict
    again = check_grammar(output.encode())
    assert [timeless(line) for line in again] == [timeless(line) for line in lines]


HALF = RICH.data[: len(RICH.data) // 2]
ONCE: Obj = {"max_retries": 0}
MUCH_LATER = email.utils.format_datetime(
    datetime.datetime(2099, 1, 1, tzinfo=datetime.timezone.utc), usegmt=True
)
EMPTY = respond(sse(started(), PING, STOP))
NO_STOP = sse(started(), opened(0), text(0, "ok"), closed(0), stopping())
LEAKED = words("\x80").replace(b"\\u0080", KEY.encode())

CAPTURED: dict[str, tuple[Obj, Obj, list[Script], str]] = {
    # settings, turn, answers to its attempts, how it ends
    "good": ({}, ask(), [respond(RICH.data)], "tool_use"),
    "byte by byte": ({}, ask(), [respond(*cut(RICH.data, "bytes"))], "tool_use"),
    "of known length": ({}, ask(), [respond(OK, framing="length")], "end_turn"),
    "not UTF-8": (
        {}, ask(), [respond(OK.replace(b"ok", b"\xff\x80\xed\xa0\x80"))], "end_turn",
    ),
    "no message_stop": ({}, ask(), [respond(NO_STOP)], "end_turn"),
    "open after the stop reason": (
        {"idle_timeout": 0.1}, ask(), [unfinished(NO_STOP, hold)], "end_turn",
    ),
    "cut": (ONCE, ask(), [unfinished(HALF, close)], "stream_cut"),
    "reset": (ONCE, ask(), [unfinished(HALF, reset)], "network"),
    "error in the stream": (
        {}, ask(), [respond(sse(started(), opened(0), api_error("high load (2064)")))],
        "overloaded",
    ),
    "refused": ({}, ask(), [refuse(401, api_error("login fail (1004)"))], "auth"),
    "redirect": ({}, ask(), [refuse(302, "", "Location: /x")], "rejected"),
    "not a stream": (ONCE, ask(), [refuse(200, HTML % "Wait")], "protocol"),
    "encoded": (
        ONCE, ask(), [respond(OK, headers=["Content-Encoding: br"])], "protocol",
    ),
    "broken HTTP": (
        ONCE, ask(), [[unfinished()[0], b"oops\r\n", hold]], "protocol",
    ),
    "retried": (QUICK, ask(), [BUSY, EMPTY, respond(OK)], "end_turn"),
    "retried in vain": ({**QUICK, "max_retries": 1}, ask(), [BUSY, BUSY], "overloaded"),
    "told to wait too long": (
        {}, ask(), [refuse(429, "later", f"Retry-After: {MUCH_LATER}")], "rate_limited",
    ),
    "no time to retry": (
        {"turn_timeout": 20}, ask(), [refuse(429, "later", "Retry-After: 30")],
        "rate_limited",
    ),
    "too slow": ({**ONCE, "idle_timeout": 0.1}, ask(), [unfinished(HALF, hold)],
                 "timeout"),
    "too slow, retried": (
        {**QUICK, "first_event_timeout": 0.2}, ask(), [[hold], respond(OK)], "end_turn",
    ),
    "the whole turn too slow": (
        {**QUICK, "turn_timeout": 0.4}, ask(), [unfinished(sse(started()), hold)],
        "timeout",
    ),
    "never sent": ({}, ask(""), [], "invalid_request"),
    "with warnings": (
        {}, ask(top_k=3, surprise=1, model="minimax/MiniMax-M2.5"), [respond(OK)],
        "end_turn",
    ),
    "asked with the key": ({}, ask("my key is " + KEY), [respond(OK)], "end_turn"),
    "answered with the key": ({}, ask(), [respond(*cut(LEAKED, "bytes"))], "end_turn"),
    "refused with the key": (
        {}, ask(), [refuse(403, "no " + KEY, f"Server: {KEY}")], "permission",
    ),
}


@pytest.mark.parametrize("name", CAPTURED)
def test_captured_turn_is_replayed_as_it_was(
    emulator: Emulator, tmp_path: Path, name: str
) -> None:
    config, turn, scripts, outcome = CAPTURED[name]
    emulator.queue.extend(scripts)
    folder = tmp_path / "new" / "captures"
    config = {**config, "capture_dir": str(folder)}
    # What the model says is the host's, also where it is the key.
    says_key = name == "answered with the key"
    with Plugin(emulator.base_url, config, check_key=not says_key) as plugin:
        answer = plugin.turn(turn)
    assert plugin.errors == b""
    end = answer.end
    assert outcome in (end.get("stop_reason"), end.get("error", {}).get("code"))
    assert folder.stat().st_mode & 0o777 == 0o700
    [path] = folder.iterdir()
    rows = rows_of(path)
    assert len([row for row in rows if row["kind"] == "attempt"]) >= len(scripts)
    assert rows[-1]["kind"] == "end"
    if "key" not in name:
        assert {**rows[-1]["event"], "id": "t1"} == end
        check_replay(path, answer.lines)
    else:
        assert replayed(path)[0] == 0


def test_capture_holds_what_was_said_and_decided(
    emulator: Emulator, tmp_path: Path
) -> None:
    folder = tmp_path / "captures"
    noise = OK.replace(b"ok", b"\xff\xfe")
    emulator.queue.extend([
        BUSY,
        respond(noise, headers=["Trace-Id: t-9", "Set-Cookie: a=confidential"]),
    ])
    config = {**QUICK, "capture_dir": str(folder)}
    with Plugin(emulator.base_url, config) as plugin:
        answer = plugin.turn(ask(surprise=1, id="a"))
    [rows] = captures_of(folder)
    kinds = [row["kind"] for row in rows]
    assert list(dict.fromkeys(kinds)) == [
        "turn", "warning", "attempt", "response", "chunk", "body_end", "retry", "end",
    ]  # fmt: skip
    assert rows[0]["request"] == ask(surprise=1, id="a")
    assert rows[0]["key"] == PREFIX and "api_key" not in rows[0]["settings"]
    first, second = [row for row in rows if row["kind"] == "attempt"]
    assert first["url"] == emulator.base_url + "/v1/messages"
    assert first["body"] == emulator.requests[0].json
    sent = {name.lower(): value for name, value in first["headers"].items()}
    assert sent.items() <= dict(emulator.requests[0].fields).items()
    assert "authorization" not in sent
    [_, response] = [row for row in rows if row["kind"] == "response"]
    assert response["status"] == 200 and response["headers"]["trace-id"] == "t-9"
    assert b"confidential" not in next(folder.iterdir()).read_bytes()
    assert body_of(rows).endswith(noise)
    [retry] = answer.of("retry")
    events = {row["kind"]: row["event"] for row in rows if "event" in row}
    assert {**events["retry"], "id": "a"} == retry


def cancelled(plugin: Plugin, wait_for: str) -> Answer:
    ident = plugin.submit(ask())
    plugin.wait_line(wait_for, ident)
    plugin.cancel(ident)
    return plugin.answer(ident)


@pytest.mark.parametrize("script, moment", [
    (unfinished(sse(started(), opened(0), text(0, "x")), hold), "text_delta"),
    (refuse(503, "later", "Retry-After: 30"), "retry"),
])
def test_captured_turn_that_was_cancelled_is_replayed(
    emulator: Emulator, tmp_path: Path, script: Script, moment: str
) -> None:
    emulator.queue.append(script)
    with Plugin(emulator.base_url, {"capture_dir": str(tmp_path)}) as plugin:
        answer = cancelled(plugin, moment)
    assert answer.end["stop_reason"] == "cancelled"
    [path] = tmp_path.iterdir()
    check_replay(path, answer.lines)


def test_captured_turn_with_an_image_is_replayed_without_the_file(
    emulator: Emulator, tmp_path: Path
) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    images = [{"type": "image", "path": str(picture)}, {"type": "image", "path": "/no"}]
    turn = {"messages": [{"role": "user", "content": images}]}
    folder = tmp_path / "captures"
    with Plugin(emulator.base_url, {"capture_dir": str(folder)}) as plugin:
        answer = plugin.turn(turn)
    picture.unlink()
    assert answer.warnings == ["image_replaced"]
    [path] = folder.iterdir()
    check_replay(path, answer.lines)


def test_replay_keeps_the_proxy_and_region_of_then(
    emulator: Emulator, tmp_path: Path
) -> None:
    env = {"HTTPS_PROXY": "http://127.0.0.1:9", "MINIMAX_BASE_URL": None}
    config = {"capture_dir": str(tmp_path), "region": "cn", "max_retries": 0}
    with Plugin(None, config, env) as plugin:
        answer = plugin.turn(ask())
    answer.says("HTTPS_PROXY", "api.minimaxi.com")
    [path] = tmp_path.iterdir()
    check_replay(path, answer.lines)


def test_key_in_small_pieces_of_an_answer_is_in_no_capture_whole(
    emulator: Emulator, tmp_path: Path
) -> None:
    pieces = [text(0, KEY[at : at + 5]) for at in range(0, len(KEY), 5)]
    stream = sse(started(), opened(0), *pieces, closed(0), stopping(), STOP)
    emulator.queue.append(respond(stream))
    config = {"capture_dir": str(tmp_path)}
    with Plugin(emulator.base_url, config, check_key=False) as plugin:
        assert plugin.turn(ask()).text == KEY
    [path] = tmp_path.iterdir()
    rows = rows_of(path)
    assert "*" * 30 in rows[-1]["event"]["message"]["content"][0]["text"]
    assert replayed(path)[0] == 0


@pytest.mark.parametrize("key", ["null", "text", "10000000", "short-1"])
def test_key_that_is_no_real_one_breaks_no_capture(
    emulator: Emulator, tmp_path: Path, key: str
) -> None:
    config = {"capture_dir": str(tmp_path)}
    env: dict[str, str | None] = {"MINIMAX_API_KEY": key}
    with Plugin(emulator.base_url, config, env) as plugin:
        assert plugin.turn(ask(key, metadata={"n": 10000000})).text == "ok"
    [rows] = captures_of(tmp_path)
    assert rows[-1]["kind"] == "end" and key not in rows[0]["request"]["messages"][0]


def test_deepest_request_is_captured(emulator: Emulator, tmp_path: Path) -> None:
    deep: Any = 10**4299
    for _ in range(490):
        deep = {"a": deep}
    emulator.queue.append(respond(tool_stream('{"a":' * 470 + "1" + "}" * 470)))
    with Plugin(emulator.base_url, {"capture_dir": str(tmp_path)}) as plugin:
        answer = plugin.turn(ask(metadata=deep))
        assert answer.end["stop_reason"] == "tool_use"
    [path] = tmp_path.iterdir()
    assert same(rows_of(path)[0]["request"]["metadata"], deep)
    check_replay(path, answer.lines)


# --- captures: trouble, limits, company


def test_capture_that_cannot_be_written_costs_one_line_of_log(
    emulator: Emulator, tmp_path: Path
) -> None:
    """Tests run as root, too, so that a mode forbids nothing."""
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", "/proc/none"):
        with Plugin(emulator.base_url, {"capture_dir": str(folder)}) as plugin:
            for _ in range(2):
                assert plugin.turn(ask()).text == "ok"
        lines = plugin.errors.decode().splitlines()
        assert len(lines) == 2 and all(str(folder) in line for line in lines), lines
    with Plugin(emulator.base_url, {"capture_dir": "a\0b"}) as plugin:
        assert plugin.turn(ask()).code == "config"


@needs_linux
def test_capture_stops_at_a_whole_line_when_the_disk_is_full(
    emulator: Emulator, tmp_path: Path
) -> None:
    """A limit of file size is as good as a full disk: the write is short."""
    pieces = [text(0, "lorem ipsum " * 20) for _ in range(100)]
    emulator.queue.append(respond(
        *(sse(p) for p in [started(), opened(0), *pieces, closed(0), stopping(), STOP])
    ))
    stdin = dump(ask()).encode()
    config = {"capture_dir": str(tmp_path)}
    shell = 'ulimit -f 16 && exec "$@"'
    code, lines, errors = run(stdin, emulator.base_url, config, shell=shell)
    assert code == 0 and lines[-1]["type"] == "turn_end"
    [line] = errors.decode().splitlines()
    assert "File too large" in line
    [path] = tmp_path.iterdir()
    assert path.stat().st_size <= 16 * 1024
    assert rows_of(path)[-1]["kind"] in ("response", "chunk")
    assert replayed(path)[0] == 2


def test_capture_of_a_huge_turn_says_that_it_is_not_whole(
    emulator: Emulator, tmp_path: Path
) -> None:
    most = provider.MAX_CAPTURE_FILE
    big = sse(text(0, "x" * (MEGABYTE * 8)))
    emulator.queue.append(respond(
        sse(started(), opened(0)), *[big] * 5, sse(closed(0), stopping(), STOP)
    ))
    with provider.MiniMaxProvider(
        api_key=KEY, base_url=emulator.base_url, capture_dir=str(tmp_path)
    ) as client:
        *_, end = client.turn(ask())
    assert len(end["message"]["content"][0]["text"]) == 5 * 8 * MEGABYTE
    [path] = tmp_path.iterdir()
    assert most // 2 < path.stat().st_size <= most
    *_, full, last = rows_of(path)
    assert full["kind"] == "full" and last["event"]["usage"] == end["usage"]
    code, _, errors = replayed(path)
    assert code == 2 and "32 MiB" in errors


def old_captures(folder: Path, count: int, size: int) -> list[Path]:
    """Files that look like captures, the oldest first, that take no room on disk."""
    made = []
    for number in range(count):
        path = folder / f"20260101T000000.{number:06}Z-1-1.jsonl"
        with open(path, "wb") as file:
            file.truncate(size)
        os.utime(path, (10**9 + number, 10**9 + number))
        made.append(path)
    return made


@pytest.mark.parametrize("count, size, kept", [
    (provider.MAX_CAPTURES + 3, 1, provider.MAX_CAPTURES - 1),
    (
        20, provider.MAX_CAPTURE_FILE,
        (provider.MAX_CAPTURE_BYTES - 1) // provider.MAX_CAPTURE_FILE,
    ),
])  # fmt: skip
def test_oldest_captures_make_room_for_new_ones(
    emulator: Emulator, tmp_path: Path, count: int, size: int, kept: int
) -> None:
    old = old_captures(tmp_path, count, size)
    foreign = tmp_path / "notes.jsonl"
    foreign.write_bytes(b"")
    os.utime(foreign, (1, 1))
    with Plugin(emulator.base_url, {"capture_dir": str(tmp_path)}) as plugin:
        plugin.turn(ask())
    left = set(tmp_path.iterdir())
    assert foreign in left
    assert set(old) & left == set(old[-kept:])
    assert len(left) == kept + 2


def test_what_only_has_the_name_of_a_capture_stops_none(
    emulator: Emulator, tmp_path: Path
) -> None:
    for path in old_captures(tmp_path, provider.MAX_CAPTURES, 1):
        path.unlink()
        path.mkdir()
    with Plugin(emulator.base_url, {"capture_dir": str(tmp_path)}) as plugin:
        assert plugin.turn(ask()).text == "ok"
    assert plugin.errors == b""
    [rows] = [rows_of(path) for path in tmp_path.iterdir() if path.is_file()]
    assert rows[-1]["kind"] == "end"


def test_many_turns_of_several_processes_share_a_directory(
    emulator: Emulator, tmp_path: Path
) -> None:
    emulator.answer = lambda request: respond(words(request.text))
    config = {"capture_dir": str(tmp_path), "max_concurrent_turns": 8}
    with contextlib.ExitStack() as stack:
        plugins = [
            stack.enter_context(Plugin(emulator.base_url, config)) for _ in range(3)
        ]
        names = [[f"{p} {n}" for n in range(20)] for p in range(len(plugins))]
        for plugin, own in zip(plugins, names):
            plugin.send(*[ask(name, id=name) for name in own])
        for plugin, own in zip(plugins, names):
            for name in own:
                assert plugin.answer(name).text == name
    found = captures_of(tmp_path)
    assert sorted(rows[0]["request"]["id"] for rows in found) == sorted(sum(names, []))
    for rows in found:
        [block] = rows[-1]["event"]["message"]["content"]
        assert block["text"] == rows[0]["request"]["id"]


def test_capture_option_wins_over_config_and_serves_as_the_plugin(
    emulator: Emulator, tmp_path: Path
) -> None:
    config = {"capture_dir": str(tmp_path / "not")}
    stdin = dump(ask(id=7)).encode() + b'\n{"type":"ping","id":"p"}\n'
    argv = ["--capture", str(tmp_path / "this"), "--log-level", "info"]
    code, _, errors = run(stdin, emulator.base_url, config, argv=argv)
    assert code == 0 and [path.name for path in tmp_path.iterdir()] == ["this"]
    [rows] = captures_of(tmp_path / "this")
    assert rows[0]["request"]["id"] == 7
    assert f"capture={tmp_path}/this/" in errors.decode()


@pytest.mark.parametrize("argv", [
    ["--capture", "this", "--log-level", "info", "say", "hi"],
    ["--capture", "this", "say", "--log-level", "info", "hi"],
    ["--log-level", "error", "say", "hi", "--log-level", "info", "--capture", "this"],
])
def test_capture_and_log_options_count_before_a_command_and_after(
    site: Emulator, argv: list[str]
) -> None:
    done = person(*argv, base_url=site.base_url)
    assert done.code == 0 and re.search("capture=.*this/", done.err)


def test_python_client_that_drops_a_turn_leaves_a_capture_without_end(
    emulator: Emulator, tmp_path: Path
) -> None:
    emulator.queue.append(unfinished(sse(started(), opened(0), text(0, "x")), hold))
    with provider.MiniMaxProvider(
        api_key=KEY, base_url=emulator.base_url, capture_dir=str(tmp_path)
    ) as client:
        for event in client.turn(ask(id="mine")):
            if event["type"] == "text_delta":
                break
    del event
    [path] = tmp_path.iterdir()
    assert [row["kind"] for row in rows_of(path)][-1] == "chunk"
    code, _, errors = replayed(path)
    assert code == 2 and "stops here" in errors


def test_nothing_is_captured_unless_asked_for(
    emulator: Emulator, tmp_path: Path
) -> None:
    with Plugin(emulator.base_url, cwd=str(tmp_path)) as plugin:
        assert plugin.turn(ask()).text == "ok"
        [config_file] = Path(plugin.home.name).iterdir()
        assert config_file == plugin.config_path
    assert list(tmp_path.iterdir()) == []
    config = {"capture_dir": str(tmp_path)}
    env: dict[str, str | None] = {"MINIMAX_API_KEY": None}
    with Plugin(emulator.base_url, config, env) as plugin:  # without a key, no request
        assert plugin.turn(ask()).code == "config"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The capture of a good turn after one retry."""
    folder = tmp_path_factory.mktemp("capture")
    with Emulator() as emulator:
        emulator.queue.extend([BUSY, respond(words("good"))])
        config = {**QUICK, "capture_dir": str(folder)}
        with Plugin(emulator.base_url, config) as plugin:
            assert plugin.turn(ask("Hello?")).text == "good"
    return next(folder.iterdir())


ALTERED: dict[str, tuple[str, str, str]] = {
    # what stands in the file, what instead, and what the verdict names
    "the answer": ("good\\", "gold\\", "message.content.0.text"),
    "the outcome": ('"text":"good"', '"text":"gold"', "message.content.0.text"),
    "a count": ('input_tokens\\": 11', 'input_tokens\\": 12', "usage.input_tokens"),
    "its cost": ('"cost_usd":1.17e-05', '"cost_usd":1.18e-05', "cost_usd"),
    "the question": ("Hello?", "Hello!", "body.messages.0.content"),
    "the status": ('"status":529', '"status":429', ""),
    "framing": ("data: {", "dat8: {", "model was"),
    "no retry": ('"max_retries":3', '"max_retries":0', "type was"),
    "another end": ('"t":', '"u":', "line 1"),
    "no JSON": ('"kind":"retry",', '"kind":"retry";', "line 6: it cannot be read"),
    "another version": ('"capture":1', '"capture":2', "line 1: this program"),
    "another kind": ('"kind":"body_end"', '"kind":"body_eND"', "line 5: "),
    "half a character": ('"data":"', '"data":"\\ud800', "line 4: it cannot be read"),
    "a data that is none": ('"data":"', '"dada":"', "line 4: its data"),
}


@pytest.mark.parametrize("name", ALTERED)
def test_replay_of_an_altered_capture_says_what_is_different(
    capsys: pytest.CaptureFixture[str], capture: Path, tmp_path: Path, name: str
) -> None:
    was, now, place = ALTERED[name]
    told = capture.read_text(encoding="utf-8")
    assert was in told
    path = tmp_path / "altered.jsonl"
    path.write_text(told.replace(was, now, 1), encoding="utf-8")
    code, output, errors = replayed_here(capsys, path)
    if name == "the status":  # overloaded or rate_limited: tried again in either case
        assert code == 0
    elif "line" in place:
        assert code == 2 and place in errors and str(path) in errors
    else:
        assert code == 1 and output.splitlines()[-1].startswith("different: ")
        assert place in output.splitlines()[-1]


def test_replay_of_what_is_no_whole_capture_is_exit_2(
    capsys: pytest.CaptureFixture[str], capture: Path, tmp_path: Path
) -> None:
    lines = capture.read_bytes().splitlines(keepends=True)
    for data, place in (
        (b"", "line 0"),
        (b"".join(lines[:-1]), f"line {len(lines) - 1}: the capture stops"),
        (b"".join(lines)[:-3], f"line {len(lines)}: the capture stops"),
        (b"".join(lines[1:]), "line 1: a row of kind attempt cannot stand here"),
        (lines[0] + b"\xff\n", "line 2: it cannot be read"),
        (lines[0] + b'{"t":1,"kind":"full"}\n', "line 2: the file reached its limit"),
    ):
        path = tmp_path / "part.jsonl"
        path.write_bytes(data)
        code, output, errors = replayed_here(capsys, path)
        said = " ".join(errors.split())  # wherever the lines were broken
        assert (code, output) == (2, "") and place in said, (place, errors)
    for path in (tmp_path, tmp_path / "none"):
        code, _, errors = replayed_here(capsys, path)
        assert code == 2 and errors.count("error: ") == 1 and str(path) in errors


def test_replay_shows_people_one_line_for_each_event(capture: Path) -> None:
    code, output, errors = replayed(capture)
    first, *lines, verdict = output.splitlines()
    assert code == 0 and errors == "" and "Python" in first
    assert verdict == "same: the outcome is that of then"
    assert [line.split()[1] for line in lines] == [
        "retry", "turn_start", "block_start", "text_delta", "block_end", "turn_end",
    ]  # fmt: skip
    assert all(len(line) < 80 for line in output.splitlines())


def test_replay_waits_only_if_it_is_told_how_fast(
    capture: Path, tmp_path: Path
) -> None:
    """Two hours of waiting in the file; at that speed they are a second."""
    rows = rows_of(capture)
    for number, row in enumerate(rows, 1):
        row["t"] = 7200 * number / len(rows)
    path = tmp_path / "slow.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert replayed(path)[0] == 0
    begun = time.monotonic()
    assert replayed(path, "--speed", "7200")[0] == 0
    assert time.monotonic() - begun >= 0.5  # the last row only tells
    assert replayed(path, "--speed", "0")[0] == 2


# =====================================================================
# What failed leaves nothing behind, and hostile files and answers do nothing
# =====================================================================

FAILURES: dict[str, Script] = {
    "refused": refuse(429, api_error("slow down")),
    "cut": [*unfinished(sse(started(), opened(0), text(0, "a"))), close],
    "reset": [reset],
    "broken": respond(b"data: no JSON\n\n"),
    "no event stream": respond(b"<p>", headers=["Content-Type: text/html"]),
    "cancelled": [*unfinished(sse(started(), opened(0))), hold],
}


@pytest.mark.parametrize("name", FAILURES)
def test_failed_turn_leaves_no_request_behind(emulator: Emulator, name: str) -> None:
    """Not even to the garbage collector, which the plugin seldom calls."""
    import tracemalloc

    emulator.answer = lambda request: FAILURES[name]
    settings = {"max_retries": 1, "retry_base_delay": 0.0}

    def fail() -> str:
        watch = provider.Watch()
        code = ""
        for batch in client.batches(ask("x" * provider.MIB), watch):
            if name == "cancelled" and batch[0]["type"] == "turn_start":
                watch.stop(provider._Cancelled())
            code = str(batch[-1].get("stop_reason") or batch[-1]["type"])
        emulator.requests.clear()
        return code

    options = {"api_key": KEY, "base_url": emulator.base_url, **settings}
    with provider.MiniMaxProvider(**options) as client:
        fail()
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            codes = {fail() for _ in range(10)}
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            gc.enable()
    assert codes == {"cancelled" if name == "cancelled" else "error"}
    assert kept < 4 * provider.MIB

HOSTILE_ROWS: dict[str, tuple[int, Obj]] = {
    # a row of the capture, and what it holds instead
    "a setting of a wrong type": (0, {"settings": {"max_retries": []}}),
    "a time that is no time": (1, {"t": 10**400}),
    "an answer's time": (-2, {"t": 10**400}),
    "no details": (2, {"kind": "failure", "code": "network", "details": []}),
    "odd details": (
        2, {"kind": "failure", "code": "network", "details": {"code": 1, "x": 2}},
    ),
    "a hint that nobody can fill in": (
        2,
        {"kind": "failure", "code": "auth", "hint": "{nobody}", "retryable": False},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_ROWS)
def test_replay_of_a_hostile_row_is_a_sentence(
    capfd: pytest.CaptureFixture[str], capture: Path, tmp_path: Path, name: str
) -> None:
    number, fields = HOSTILE_ROWS[name]
    rows = rows_of(capture)
    rows[number].update(fields)
    path = tmp_path / "hostile.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert provider.main(["replay", str(path)]) in (0, 1, 2)
    assert "Traceback" not in capfd.readouterr().err


def test_replay_writes_nothing_where_a_capture_says(
    capsys: pytest.CaptureFixture[str], capture: Path, tmp_path: Path
) -> None:
    rows = rows_of(capture)
    rows[0]["settings"]["capture_dir"] = str(tmp_path / "planted")
    path = tmp_path / "hostile.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert replayed_here(capsys, path)[0] == 0
    assert list(tmp_path.iterdir()) == [path]


def test_replay_shows_the_name_of_a_file_without_control_characters(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, _, errors = replayed_here(capsys, tmp_path / "a\x1b[2J\nb")
    assert code == 2 and "[2J b:" in errors and "\x1b" not in errors


def test_last_event_is_named_without_reading_a_number_for_hours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A Python without a limit of its own takes quadratic time for digits."""
    monkeypatch.setattr(json, "loads", lambda text: {"type": "huge"})
    data = '{"type":"huge","n":%s}' % ("9" * 5000)
    assert provider._kind_of(provider.ServerSentEvent("named", data)) == "named"
    data = '{"type":"small","n":1}'
    assert provider._kind_of(provider.ServerSentEvent("named", data)) == "small"


def test_check_masks_a_key_in_the_base_url(emulator: Emulator) -> None:
    """`run` looks for the key in all that was written."""
    url = emulator.base_url.replace("/anthropic", "/" + KEY)
    for option in ("--json", "--offline"):
        code, _, errors = run(b"", url, argv=["check", option])
        assert code in (0, 1) and errors == b""


def test_answers_before_the_answer_are_read_past(emulator: Emulator) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    interim = [b"HTTP/1.1 100 Continue\r\n\r\n", hints, hints]
    emulator.queue.extend([[*interim, *respond(OK)], [b"".join(interim), *respond(OK)]])
    emulator.queue.append([hints * 1000])
    with Plugin(emulator.base_url, ONCE) as plugin:
        for _ in range(2):
            assert plugin.turn(ask()).text == "ok"
        assert plugin.turn(ask()).code == "protocol"


def test_answer_that_is_still_to_come_is_not_the_next_turns(
    emulator: Emulator,
) -> None:
    """http.client takes an informational answer for the answer."""
    late = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
    emulator.queue.extend([[late], respond(words("second"))])
    with Plugin(emulator.base_url, ONCE) as plugin:
        assert plugin.turn(ask()).code == "protocol"
        assert plugin.turn(ask()).text == "second"
    first, second = emulator.requests
    assert first.connection != second.connection


# =====================================================================
# The README: what it shows is what happens
# =====================================================================

README = Path(SOURCE).with_name("README.md")
if not README.is_file():  # a vendored copy
    README = Path(__file__).resolve().with_name("README.md")


def readme() -> str:
    if not README.is_file():
        pytest.skip("a vendored copy has no README")
    return README.read_text(encoding="utf-8")


def readme_part(heading: str) -> str:
    """The text from a heading to the next one of its level or above."""
    told = readme()
    level = heading.split(" ")[0]
    assert told.count(f"\n{heading}\n") == 1, heading
    rest = told.split(f"\n{heading}\n")[1]
    return re.split(rf"(?m)^#{{1,{len(level)}}} ", rest)[0]


def readme_blocks(language: str) -> list[str]:
    told = readme()
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", told)


def readme_rows(part: str) -> list[list[str]]:
    """The rows of the tables in a part that begin with a name in backticks."""
    rows = []
    for line in part.splitlines():
        if line.startswith("| `"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def readme_names(heading: str) -> set[str]:
    """Whatever stands in backticks in the first column of the tables of a part."""
    rows = readme_rows(readme_part(heading))
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row[0])}


def readme_models(columns: int) -> dict[str, list[list[str]]]:
    """The rows that tell of a model, of the one table with so many columns."""
    found: dict[str, list[list[str]]] = defaultdict(list)
    for row in readme_rows(readme_part("## Keys and models")):
        for name in re.findall(r"`(MiniMax-[^`]+)`", row[0]):
            if len(row) == columns:
                found[name].append(row[1:])
    return found


def test_readme_has_every_setting_with_default_and_variable() -> None:
    rows = readme_rows(readme_part("## Configuration"))
    told = {
        row[0]: (row[1], row[2], row[4].strip("`") or None)
        for row in rows
        if len(row) == 5
    }
    assert told == {
        f"`{name}`": (
            row["type"],
            "`{}`".format(json.dumps(row["default"])),
            row["env"],
        )
        for name, row in provider.OPTIONS.items()
    }


def test_readme_tells_where_a_key_is_looked_for_in_order() -> None:
    part = readme_part("### Where the key comes from")
    told = re.findall(r"(?m)^\d\. `([^`]+)`", part)
    assert tuple(told) == provider.KEY_SOURCES


def test_readme_names_the_variables_of_certificates_in_order() -> None:
    part = readme_part("### Proxies and certificates").split("\n\n")[1]
    named = re.findall(r"`([A-Z_]+_(?:BUNDLE|FILE))`", part)
    assert tuple(dict.fromkeys(named)) == provider.CA_VARIABLES


def test_readme_tells_the_ranges_and_choices_of_settings() -> None:
    rows = readme_rows(readme_part("## Configuration"))
    meanings = {row[0].strip("`"): row[3] for row in rows}
    for name, option in provider.OPTIONS.items():
        meaning = meanings[name]
        for choice in option["choices"]:
            assert f"`{choice}`" in meaning, (name, choice)
        if option["type"] == "integer":
            limits = "{low:,} to {high:,}".format(**option)
            assert meaning.endswith("; " + limits), (name, limits)


def test_readme_explains_exactly_the_codes_there_are() -> None:
    errors = readme_part("### 4. Errors, and lines that belong to no turn")
    told = {row[0].strip("`"): row[1] for row in readme_rows(errors)}
    assert set(told) == set(provider.ERRORS)
    for code, (retryable, *_) in provider.ERRORS.items():
        assert told[code].split(";")[0] == ("yes" if retryable else "no"), code
    symptoms = readme_names("## Troubleshooting by error code")
    assert symptoms == set(provider.ERRORS)
    numbers = set(re.findall(r"\b[12]\d{3}\b", errors))
    assert numbers == {str(number) for number in provider.MINIMAX_CODES}


def test_readme_explains_exactly_the_events_warnings_and_fields_there_are() -> None:
    told = readme_names("### 3. What the plugin sends for a turn")
    error_fields = ERROR_FIELDS | ERROR_MAY_HAVE
    assert told == set(TURN_FIELDS) | WARNING_CODES | error_fields
    events = readme_part("### 3. What the plugin sends for a turn")
    rows = {row[0].strip("`"): row[1] for row in readme_rows(events)}
    for kind, fields in TURN_FIELDS.items():
        for field in fields | MAY_HAVE.get(kind, set()):
            assert f"`{field}`" in rows[kind], (kind, field)
    lines = readme_names("### 2. What the host sends")
    assert {"turn", "cancel", "ping", "describe"} <= lines
    turn_fields = set(provider.TURN_FIELDS) - set(provider.LINE_FIELDS)
    assert turn_fields <= lines
    assert readme_names("### 5. Manifest") >= MANIFEST_FIELDS


def test_readme_names_exactly_what_is_stable() -> None:
    told = readme_names("## Use from Python, and vendoring")
    names = {name for name in told if re.match(r"\w+$", name)}
    assert names == set(provider.__all__)


def test_readme_has_every_model_with_its_limits() -> None:
    rows = readme_models(6)
    assert list(rows) == list(provider.MODELS)
    for name, facts in provider.MODELS.items():
        family = provider.FAMILIES[facts["family"]]
        [[context, output, kinds, thought, status]] = rows[name]
        assert context == "{:,}".format(facts["context_window"]), name
        assert output == "{:,}".format(facts["max_output_tokens"]), name
        assert kinds == ", ".join(facts["input"]), name
        assert thought.startswith("always" if family["always"] else "off"), name
        assert ("effort" in thought) is family["effort"], name
        assert status.startswith(facts["status"]), name
        assert (facts["retired"] or "") in status, name


def test_readme_has_every_models_prices() -> None:
    shown = readme_models(5)
    assert set(shown) == set(provider.MODELS)
    for name, facts in provider.MODELS.items():
        expected = [list(facts["prices"].values())]
        if name in provider.PRICES_ABOVE:
            least, above = provider.PRICES_ABOVE[name]
            expected.append(list(above.values()))
            assert f"{least:,} tokens" in readme_part("## Keys and models")
        for row, prices in zip(shown[name], expected):
            assert [None if p == "unknown" else float(p) for p in row] == prices
        assert len(shown[name]) == len(expected), name


def test_readme_shows_the_demo_as_it_is(tmp_path: Path) -> None:
    command, _, shown = readme_blocks("console")[0].partition("\n")
    assert command == "$ python3 plexum_minimax_provider.py demo"
    done = subprocess.run(
        [sys.executable, SOURCE, "demo"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=DEADLINE,
        cwd=str(tmp_path),
        env={"HOME": str(tmp_path), "PATH": os.environ.get("PATH", os.defpath)},
        check=True,
    )
    assert done.stdout.decode() == shown


def run_readme_shell(command: str, base_url: str) -> tuple[int, bytes, bytes]:
    """Run a command of the README where the file is, with `python3` being ours."""
    with tempfile.TemporaryDirectory() as home:
        python = Path(home) / "python3"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
        (Path(home) / Path(SOURCE).name).write_bytes(Path(SOURCE).read_bytes())
        path = os.pathsep.join((home, os.environ.get("PATH", os.defpath)))
        done = subprocess.run(
            ["sh", "-c", command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DEADLINE,
            cwd=home,
            env=environment(home, base_url, env={"PATH": path}),
        )
    return done.returncode, done.stdout, done.stderr


def test_readme_shell_example_is_a_complete_session(emulator: Emulator) -> None:
    examples = [block for block in readme_blocks("sh") if block.startswith("echo ")]
    assert len(examples) == 1
    code, output, errors = run_readme_shell(examples[0], emulator.base_url)
    assert code == 0, errors
    assert check_grammar(output)[-1]["type"] == "turn_end"
    assert emulator.requests[0].json["messages"] == ask()["messages"]


def test_readme_shows_a_session_as_it_is(emulator: Emulator) -> None:
    """Times aside; where a line continues, it is indented."""
    block = readme_blocks("console")[1]
    command, brace, shown = block.partition("\n{")
    wanted = (brace + shown).strip("\n").replace("\n  ", "").encode() + b"\n"
    emulator.queue.append(respond(sse(
        started(ident="5d3c1b0e9f8a4c6d8e7f6a5b4c3d2e1f"),
        PING,
        opened(0), text(0, "Ol\u00e1"), text(0, " from MiniMax."), closed(0),
        stopping(usage={"input_tokens": 12, "output_tokens": 7}),
        STOP,
    )))  # fmt: skip
    code, output, errors = run_readme_shell(command[2:], emulator.base_url)
    assert code == 0, errors

    def timeless(told: bytes) -> list[Obj]:
        lines = check_grammar(re.sub(rb'(_ms":)\d+', rb"\g<1>1", told))
        return sorted(lines, key=lambda line: str(line["id"]))  # pongs come any time

    assert timeless(output) == timeless(wanted)


# --- its commands, executed

DIFF = "diff --git a/x.py b/x.py\n+print('hello')\n"


class Stage:
    """Where the README's commands run: a home with the file, and a platform.

    `python3` is this Python and the file's table of regions names loopback servers;
    git, plexum and systemctl only say what they were asked.
    """

    def __init__(self, site: Emulator, other: Emulator) -> None:
        self.site, self.other = site, other
        self.folder = tempfile.TemporaryDirectory()
        self.home = self.folder.name
        source = Path(SOURCE).read_text(encoding="utf-8")
        for region, server in (("global", site), ("cn", other)):
            base = provider.REGIONS[region]
            assert source.count(f'"{base}"') == 1
            source = source.replace(f'"{base}"', f'"{server.base_url}"')
            here = provider.host_of(server.base_url)
            source = source.replace(f'"{provider.host_of(base)}":', f'"{here}":')
        self.write("plexum_minimax_provider.py", source)
        self.write("python3", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        self.write("git", f"#!/bin/sh\nprintf '%s' \"{DIFF}\"\n")
        for name in ("plexum", "systemctl"):
            self.write(name, f'#!/bin/sh\necho {name} "$@" >>asked\n')
        self.environ = environment(self.home, None, {"api_key": KEY})
        del self.environ["MINIMAX_API_KEY"]
        self.environ["PATH"] = os.pathsep.join((self.home, self.environ["PATH"]))

    def write(self, name: str, content: str) -> None:
        path = Path(self.home, name)
        path.write_text(content, encoding="utf-8")
        path.chmod(0o755)

    def run(self, command: str) -> tuple[int, str]:
        """Exit code and all output of a command with an empty stdin."""
        done = subprocess.run(
            ["sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DEADLINE,
            cwd=self.home,
            env=self.environ,
        )
        check_secret(done.stdout)
        return done.returncode, self.shortened(done.stdout.decode())

    def shortened(self, told: str) -> str:
        """`told` without the paths of this machine."""
        return told.replace(self.home, "~").replace(sys.executable, "/usr/bin/python3")


class Scene(NamedTuple):
    turns: list[Script] = []
    models: Script = listing(*PLATFORM_MODELS)
    code: int = 0


def said(words_: str) -> Script:
    usage = {"input_tokens": 12, "output_tokens": 7}
    return respond(sse(
        started(), opened(0), text(0, words_), closed(0), stopping(usage=usage), STOP,
    ))  # fmt: skip


COMMAND = "python3 plexum_minimax_provider.py "
README_SCENES = {
    COMMAND + 'say "Say hello in Portuguese."': Scene([said("Olá from MiniMax.")]),
    COMMAND + "say --chat": Scene([said("Hello, Ada."), said("Your name is Ada.")]),
    COMMAND + "check": Scene(models=WRONG_KEY, code=1),
    COMMAND + "models | head -4": Scene(),
    COMMAND + "quota": Scene(),
    f'git diff | {COMMAND}say "Review this." >review.txt': Scene([said("Good.")]),
    COMMAND + "check --offline": Scene(),
    COMMAND + "--schema >schema.json": Scene(),
    COMMAND + "models --live": Scene(),
    COMMAND + "models --json": Scene(),
    COMMAND + "quota --json": Scene(),
}


@contextlib.contextmanager
def on_stage(scene: Scene) -> Iterator[Stage]:
    now = time.time()
    soon, later = now + 2.5 * 3600 + 30, now + 4.5 * 86400 + 30  # half a unit to spare
    row = {"end_time": int(soon * 1000), "weekly_end_time": int(later * 1000)}
    turns = iter(scene.turns)
    with Emulator() as site, Emulator() as other:
        quota = refuse(200, remains(row))
        other.answer = minimax(quota=quota)

        def answer(request: Request) -> Script:
            turn = next(turns) if request.method == "POST" else None
            return minimax(scene.models, quota, turn)(request)

        site.answer = answer
        stage = Stage(site, other)
        with stage.folder:
            yield stage


def essence(told: str) -> str:
    """What does not depend on the moment, the machine and where lines are wrapped.

    The list of defaults grows with the settings, which have a table of their own.
    """
    told = re.sub(r"\s+", " ", told)
    told = re.sub(r"; \d+ tokens/s|; \$[\d.]+|(?<=defaults).*?(?= network)", "", told)
    return re.sub(r"\d+", "0", told).strip()


def readme_sessions() -> dict[str, str]:
    """The sessions of the commands: what was typed, and what then is on the screen."""
    found = {}
    for block in readme_blocks("console")[2:]:
        command, _, shown = block.partition("\n")
        found[command[2:]] = shown
    return found


@pytest.mark.parametrize("command", README_SCENES)
def test_readme_command_does_what_is_shown(command: str) -> None:
    scene, shown = README_SCENES[command], readme_sessions().get(command)
    with on_stage(scene) as stage:
        if command.endswith("--chat"):
            assert shown is not None
            with AtTerminal(shell=command, stage=stage) as terminal:
                for line in re.findall(r"(?m)^> (.*)$", shown):
                    terminal.expect("> ")
                    terminal.type(line + "\n")
                code, screen = terminal.end()
            told = "\n".join(screen)
        else:
            code, told = stage.run(command)
        assert code == scene.code, told
        assert shown is None or essence(told) == essence(shown)
        review = Path(stage.home, "review.txt")
        assert not review.exists() or review.read_text() == "Good.\n"


def readme_command_lines() -> list[str]:
    """All that the README has a person type, continued lines joined."""
    lines = []
    for block in readme_blocks("sh") + re.findall(
        r"(?ms)^   ```sh\n(.*?)^   ```$", README.read_text(encoding="utf-8")
    ):
        joined = re.sub(r"(\\|\|)\n\s+", lambda m: "| " if m[1] == "|" else "", block)
        lines += [line.strip() for line in joined.splitlines()]
    return lines + list(readme_sessions())


# Executed by the test that is named, or, with a stub for the tests, by the next one.
README_ELSEWHERE = {
    "echo '{\"model\"": "test_readme_shell_example_is_a_complete_session",
    "python3 test_provider.py bench": "test_benchmark_runs_and_counts_connections",
    "echo '{\"id\"": "test_readme_shows_log_capture_and_replay_as_they_are",
}
README_INSTALLER = {
    "./install.sh": "say hello   # or say --chat",
    "./install.sh --test": "1 passed",
    "./install.sh --test -- -k sse": "1 deselected",
    "./install.sh --test --matrix": "urllib3   result",
}
README_GATEWAY = {
    "plexum agent-add --model MiniMax-M3 my-agent",
    "systemctl --user restart plexum",
    "plexum say --agent-id my-agent --session-id "
    '$(plexum new-session --agent-id my-agent) "hello"',
}


def test_readme_has_no_command_line_that_is_not_executed() -> None:
    executed = {*README_SCENES, *README_INSTALLER, *README_GATEWAY}
    left = set(readme_command_lines()) - executed
    assert [line for line in left if not line.startswith(tuple(README_ELSEWHERE))] == []
    assert set(README_SCENES) | README_GATEWAY <= set(readme_command_lines())


def test_readme_remedies_are_commands_that_there_are() -> None:
    rows = re.findall(r"(?m)^\|.*\|$", readme_part("### What is wrong?"))[2:]
    commands = [re.findall(r"`([^`]+)`", row.split(" | ")[1])[0] for row in rows]
    assert len(commands) > 10
    for command in commands:
        words_ = provider._parser().parse_args(shlex.split(command))
        assert words_.command in provider.COMMANDS, command


@pytest.mark.parametrize("command", sorted(README_GATEWAY))
def test_readme_command_of_the_gateway_is_sound_shell(command: str) -> None:
    with on_stage(Scene()) as stage:
        assert stage.run(command) == (0, "")
        asked = Path(stage.home, "asked").read_text().splitlines()
    assert command.split(" $(")[0] in asked[-1]


def own_installer() -> Path:
    script = Path(SOURCE).with_name("install.sh")
    if not script.is_file():
        pytest.skip("a vendored copy has no install.sh")
    return script


@contextlib.contextmanager
def checkout() -> Iterator[Stage]:
    """A stage with the installer, and a test that takes the place of this file."""
    with on_stage(Scene()) as stage:
        stage.write("install.sh", own_installer().read_text(encoding="utf-8"))
        stage.write("test_provider.py", "def test_stub() -> None:\n    pass\n")
        stage.write("setup.cfg", "")
        stage.environ["PYTHON"] = sys.executable
        stage.environ["PYENV_ROOT"] = stage.home
        yield stage


@pytest.mark.parametrize("command", README_INSTALLER)
def test_readme_command_of_the_installer_works(command: str) -> None:
    with checkout() as stage:
        if command.endswith("--matrix"):  # with its environments already made
            stage.environ["PATH"] = f"{stage.home}:/usr/bin:/bin"
            for found in ("oldest", "newest"):
                for minor in range(8, 20):
                    folder = f".venv-matrix/3.{minor}-{found}/bin"
                    Path(stage.home, folder).mkdir(parents=True)
                    script = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
                    stage.write(folder + "/python", script)
        code, told = stage.run(command)
    wanted = 5 if "-k sse" in command else 0  # pytest's, when nothing is left to run
    assert code == wanted, told
    assert README_INSTALLER[command] in told


# --- the installer at a terminal


def test_installer_asks_for_the_key_unseen_and_names_the_next_commands() -> None:
    with checkout() as stage:
        del stage.environ["PLEXUM_MINIMAX_CONFIG"]
        plugin = f"{stage.home}/.plexum/plugins/plexum-minimax-provider"
        command = "./install.sh --region cn --no-demo"
        with AtTerminal(shell=command, stage=stage) as terminal:
            terminal.expect("not shown")
            terminal.type(KEY + "\n")
            code, screen = terminal.end()
        assert code == 0, screen
        config = Path(plugin, "config.json")
        assert json.loads(config.read_text()) == {"api_key": KEY, "region": "cn"}
        assert config.stat().st_mode & 0o777 == 0o600
        launcher = plugin + "/plexum-minimax-provider-plugin"
        for command in ("check", "say hello", "models"):
            assert f"{launcher} {command}" in terminal.output.decode()
        assert stage.run(f"{launcher} say hello")[1].startswith("ok\n")

        code, told = stage.run("./install.sh --upgrade --no-demo")
        assert code == 0 and told.count(provider.__version__) == 2  # old and new
        assert json.loads(config.read_text()) == {"api_key": KEY, "region": "cn"}


@pytest.mark.parametrize("option", ["", " --api-key-stdin"])
def test_installer_hands_the_typed_key_to_no_command(option: str) -> None:
    with checkout() as stage:
        del stage.environ["PLEXUM_MINIMAX_CONFIG"]
        config = Path(stage.home, ".plexum/plugins/plexum-minimax-provider/config.json")
        if option:  # then it is asked for even if there is one
            config.parent.mkdir(parents=True)
            config.write_text('{"api_key": "old"}')
        stage.environ["key"] = "a variable of somebody else"
        recording = f'env >>environments\nexec {shutil.which("stty")} "$@"\n'
        stage.write("stty", f"#!/bin/sh\n{recording}")
        command = f"./install.sh --no-demo{option}"
        with AtTerminal(shell=command, stage=stage) as terminal:
            terminal.expect("not shown")
            terminal.type(KEY + "\n")
            code, screen = terminal.end()
        assert code == 0, screen
        assert json.loads(config.read_text())["api_key"] == KEY
        seen = Path(stage.home, "environments").read_bytes()
        assert b"\nPATH=" in seen
        check_secret(seen)


# --- the picture


PICTURE_COMMANDS = [
    COMMAND + "check",
    "export MINIMAX_REGION=cn",
    COMMAND + 'say --thinking "What is 17 times 23?"',
]
PICTURE_COLORS = {
    "": "#d8dee9", "1": "#ffffff", "2": "#8b95a7", "31": "#ff7b85",
    "32": "#98c379", "33": "#e5c07b", "36": "#61afef",
}  # fmt: skip
CELL, LINE = 8.0, 18  # pixels of a character and of a line


def picture() -> str:
    """An SVG of what the commands print at a terminal of 80 columns."""
    thought = "17 times 20 is 340, 17 times 3 is 51."
    turn = respond(sse(
        started(), opened(0, "thinking"), thinking(0, thought), closed(0),
        opened(1), text(1, "17 times 23 is 391."), closed(1),
        stopping(usage={"input_tokens": 17, "output_tokens": 31}), STOP,
    ))  # fmt: skip
    output = b""
    with on_stage(Scene(models=WRONG_KEY)) as stage:
        stage.other.answer = minimax(turn=turn, quota=refuse(200, remains({})))
        for command in PICTURE_COMMANDS:
            output += b"\x1b[36m$\x1b[0m " + command.encode() + b"\r\n"
            if command.startswith("export "):
                name, _, value = command[7:].partition("=")
                stage.environ[name] = value
                continue
            with AtTerminal(shell=command, stage=stage) as terminal:
                terminal.end()
            output += stage.shortened(terminal.output.decode()).encode() + b"\r\n"
    return svg_of(cells_of(output.rstrip()))


def svg_of(lines: list[list[tuple[str, str]]]) -> str:
    width, height = 82 * CELL, (len(lines) + 1) * LINE
    rows = []
    for number, line in enumerate(lines):
        spans = []
        for style, run_ in itertools.groupby(line, key=lambda cell: cell[1]):
            words_ = "".join(character for character, _ in run_)
            words_ = words_.replace("&", "&amp;").replace("<", "&lt;")
            spans.append(f'<tspan fill="{PICTURE_COLORS[style]}">{words_}</tspan>')
        if line:
            place = f'x="{CELL:g}" y="{(number + 1) * LINE}"'
            length = f'textLength="{len(line) * CELL:g}"'
            rows.append(f"<text {place} {length}>{''.join(spans)}</text>")
    return "\n".join([
        '<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" '
        f'viewBox="0 0 {width:g} {height}" width="{width:g}" height="{height}">',
        "<style>text{white-space:pre;font:13px ui-monospace,Menlo,Consolas,"
        "'DejaVu Sans Mono',monospace}</style>",
        f'<rect width="{width:g}" height="{height}" rx="8" fill="#1c2128" '
        'stroke="#444c56"/>',
        *rows,
        "</svg>\n",
    ])  # fmt: skip


def words_of_picture(svg: str) -> str:
    import html

    lines = re.findall(r"<text[^>]*>(.*?)</text>", svg)
    return html.unescape("\n".join(re.sub(r"<[^>]*>", "", line) for line in lines))


def test_picture_in_the_readme_is_what_the_commands_print() -> None:
    import xml.dom.minidom

    path = README.parent / ".github" / "terminal.svg"
    if not path.is_file():
        pytest.skip("a vendored copy has no picture")
    assert "](.github/terminal.svg)" in README.read_text(encoding="utf-8")
    shown = path.read_text(encoding="utf-8")
    assert len(shown.encode()) < 60000
    assert xml.dom.minidom.parseString(shown).getElementsByTagName("svg")
    fresh = words_of_picture(picture())
    assert max(map(len, fresh.splitlines())) <= 80
    told = "to renew it: python3 test_provider.py picture"
    assert essence(words_of_picture(shown)) == essence(fresh), told


def draw(arguments: list[str]) -> int:
    """Make the README's picture: .github/terminal.svg."""
    path = README.parent / ".github" / "terminal.svg"
    path.write_text(picture(), encoding="utf-8")
    print(f"{path}: {path.stat().st_size} bytes")
    return 0


def test_readme_shows_log_capture_and_replay_as_they_are(emulator: Emulator) -> None:
    """Numbers aside, which are times, ports and versions."""
    [block] = [block for block in readme_blocks("console") if " replay " in block]
    commands = re.findall(r"(?m)^\$ ((?:.*\|\n)?.*\n)", block)
    for command in commands:
        block = block.replace(f"$ {command}", "")
    emulator.queue.extend([
        refuse(500, api_error("internal error (1000)")),
        respond(sse(
            started(ident="5d3c1b0e9f8a4c6d8e7f6a5b4c3d2e1f"),
            PING,
            opened(0), text(0, "Ol\u00e1"), text(0, " from MiniMax."), closed(0),
            stopping(usage={"input_tokens": 12, "output_tokens": 7}),
            STOP,
        )),
    ])  # fmt: skip
    script = "exec 2>&1\n" + "".join(commands)
    code, output, _ = run_readme_shell(script, emulator.base_url)
    assert code == 0, output
    wanted = re.sub(r"\n {2}(?! )", " ", block)

    def numberless(told: str) -> list[str]:
        # Where a line is cut depends on its numbers.
        told = re.sub(r"(?m)^( +\S+ +\S+ +\S+ \S+).*\.\.\.$", r"\1", told)
        return re.sub(r" *[0-9]+(\.[0-9]+)*", "#", told).splitlines()

    assert numberless(output.decode()) == numberless(wanted)


def test_readme_names_every_row_of_a_capture_and_key_of_the_log() -> None:
    part = readme_part("## Log, capture and replay")
    tables: dict[int, set[str]] = defaultdict(set)
    for row in readme_rows(part):
        tables[len(row)] |= set(re.findall(r"`([^`]+)`", row[0]))
    assert tables[2] >= set(provider._ROWS)
    assert tables[2] <= set(provider._ROWS) | {"--speed X", "--json"}
    shown = set(re.findall(r"(\w+)=", " ".join(readme_blocks("console"))))
    keys = {"status", "cause", "http_status", "provider_code", "request_id"}
    assert tables[3] >= keys | (shown & {"id", "bytes", "events", "capture", "model"})
    for limit in (
        f"{provider.MAX_CAPTURE_FILE >> 20} MiB",
        f"| {provider.MAX_CAPTURES} |",
        f"| {provider.MAX_CAPTURE_BYTES >> 20} MiB |",
    ):
        assert limit in part, limit


PYTHON_EXAMPLES = {  # a name in the example: what it has printed at its end
    "from_config": "ok\n end_turn",
    "Timer": "end_turn {'role': 'assistant'",
    "run_tool": "[{'type': 'text', 'text': 'ok'}]",
    "SSEDecoder": "'content': [{'type': 'text', 'text': 'Hello'}]}",
}


@pytest.mark.parametrize("number, name", list(enumerate(PYTHON_EXAMPLES)))
def test_readme_python_example_runs(
    emulator: Emulator, number: int, name: str
) -> None:
    blocks = readme_blocks("python")
    assert len(blocks) == len(PYTHON_EXAMPLES)
    assert name in blocks[number]
    if name == "run_tool":
        emulator.queue.append(respond(tool_stream('{"city":', ' "Lisbon"}')))
    with tempfile.TemporaryDirectory() as home:
        env = environment(home, emulator.base_url)
        env["PYTHONPATH"] = str(Path(SOURCE).parent)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", blocks[number]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DEADLINE,
            cwd=home,
            env=env,
        )
    assert done.returncode == 0 and done.stderr == b"", done.stderr.decode()
    assert PYTHON_EXAMPLES[name] in done.stdout.decode()
    if name == "run_tool":
        _, second = emulator.requests
        *_, call_message, result_message = second.json["messages"]
        assert call_message["content"][-1]["input"] == {"city": "Lisbon"}
        assert result_message["content"][0]["content"] == "21 C, sunny"


def test_readme_names_every_limit_that_cannot_be_set() -> None:
    part = readme_part("### Limits that cannot be set")
    for limit in (
        f"{provider.MAX_EVENT_BYTES >> 20} MiB",
        f"{provider.MAX_STREAM_BYTES >> 20} MiB",
        f"{provider.MAX_DEPTH} levels",
        f"{provider.MAX_DIGITS:,}",
        f"{provider.MAX_IMAGE_BYTES:,} bytes",
        f"{provider.MAX_ERROR_BODY >> 10} KiB",
        f"read for {provider.ERROR_BODY_SECONDS:g} s |",
        f"{provider.MAX_TEXT} characters",
        f"| {provider.MAX_BACKOFF_SECONDS:g} s |",
        f"| {provider.LAST_EVENT_SECONDS:g} s |",
        f"| {provider.DRAIN_SECONDS:g} s |",
        f"| {provider.MAX_IDLE_SECONDS:g} s |",
        f"| {provider.MAX_UNREAD:,} |",
        f"{provider.MAX_UPSTREAM_DEPTH} levels",
        f"| {provider.EXIT_SECONDS:g} s |",
    ):
        assert limit in part, limit


def test_readme_names_the_definitions_of_the_schema() -> None:
    told = readme_names("### 8. JSON Schema")
    assert told <= set(SCHEMA_OF_LINES.root["$defs"]) and "HostLine" in told


def test_readme_links_lead_somewhere() -> None:
    told = readme()
    headings = re.findall(r"(?m)^#+ (.*)$", re.sub(r"(?ms)^```.*?^```$", "", told))
    anchors = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
    links = re.findall(r"\]\(#([^)]*)\)", told)
    assert links and set(links) <= anchors


def test_readme_gives_the_two_commands() -> None:
    blocks = readme_blocks("sh")
    assert "./install.sh\n" in blocks and "./install.sh --test\n" in blocks


def test_readme_has_what_install_sh_can_do() -> None:
    script = Path(SOURCE).with_name("install.sh")
    if not script.is_file():
        pytest.skip("a vendored copy has no install.sh")
    known = set(re.findall(r"--[a-z][a-z-]*", readme_part("## The two commands")))
    known |= set(re.findall(r"--[a-z][a-z-]*", readme_part("## Tests")))
    accepted = set(re.findall(r"--[a-z][a-z-]*", script.read_text(encoding="utf-8")))
    assert known <= accepted
    help_text = script.read_text(encoding="utf-8").split("\nset -eu")[0]
    offered = set(re.findall(r"(?m)^#   (--[a-z-]+)", help_text))
    assert offered - known <= {"--upgrade"}


def test_help_names_every_setting_with_its_variable() -> None:
    shown = subprocess.run(
        [sys.executable, SOURCE, "--help"], stdout=subprocess.PIPE, check=True
    ).stdout.decode()
    narrow = [line for line in shown.splitlines() if "settings, in " not in line]
    assert max(map(len, narrow)) <= 80
    for name, row in provider.OPTIONS.items():
        found = re.search(rf"(?m)^  {name} .*(\n {{24}}.*)*", shown)
        assert found, name
        assert json.dumps(row["default"]) in found.group(), name
        assert (row["env"] or "") in found.group(), name


# =====================================================================
# The benchmark: python3 test_provider.py bench
# =====================================================================
#
# A contender is a process used like the plugin: turns come on stdin, and each delta
# leaves as a JSON line.  The server is another process.  A delta may carry a stamp, the
# server's monotonic clock as it left; the same clock tells here when its line was read.

STAMP = re.compile(rb"@(\d{10}\.\d{6})")
NO_STAMP = b"%017.6f" % 0


class Feed(NamedTuple):
    """What the server is to send.  It stands in the turn's only message."""

    framing: str = "chunked"  # or length, or close
    events: int = 1  # deltas
    size: int = 6  # characters of each, where there is no rate
    rate: int = 0  # deltas a second, all of them stamped; 0: as fast as they are taken
    together: int = 1  # streams that begin when the last of them was asked for
    run: int = 0  # no two are the same

    @property
    def words(self) -> str:
        return " ".join(["feed", *map(str, self)])

    @classmethod
    def parse(cls, body: bytes) -> Feed:
        found = re.search(rb"feed (\w+)" + rb" (\d+)" * 5, body)
        assert found is not None, body[:500]
        framing, *numbers = found.groups()
        return cls(framing.decode(), *map(int, numbers))

    def cell(self, *payloads: Obj) -> bytes:
        return chunk(sse(*payloads)) if self.framing == "chunked" else sse(*payloads)

    @functools.lru_cache(maxsize=4)  # noqa: B019
    def burst(self) -> bytes:
        """All deltas but the first."""
        filler = "lorem ipsum dolor " * (self.size // 18 + 1)
        cells = [self.cell(text(0, f" {i} {filler}"[: self.size])) for i in range(64)]
        return b"".join(cells[i % 64] for i in range(self.events - 1))


class FeedServer(Emulator):
    """Sends what it has encoded before, with one write or in step with the clock."""

    together: dict[Feed, tuple[list[socket.socket], threading.Event]] = {}

    def _script(self, request: Request) -> Script:
        feed = Feed.parse(request.body)
        count = f"#{self.connections} "
        opening = feed.cell(started(), opened(0), text(0, count))
        stamped = feed.cell(text(0, "@%s " % NO_STAMP.decode()))
        burst = b"" if feed.rate else feed._replace(run=0).burst()
        ending = feed.cell(closed(0), stopping(), STOP)
        ending += LAST_CHUNK if feed.framing == "chunked" else b""
        size = len(stamped) * (feed.events if feed.rate else 1)
        size += len(opening + ending) + len(burst)
        framing = {
            "chunked": "Transfer-Encoding: chunked",
            "length": f"Content-Length: {size}",
            "close": "Connection: close",
        }[feed.framing]
        last = [close] if feed.framing == "close" else []

        def deltas(exchange: Exchange) -> None:
            if feed.rate:
                self._pace(feed, exchange.sock, stamped.split(NO_STAMP))
                return
            time.sleep(0.03)  # the opening is out of the way
            stamp = b"%017.6f" % time.monotonic()
            exchange.send(stamped.replace(NO_STAMP, stamp) + burst)

        return [response_head(200, framing) + opening, deltas, ending, *last]

    def _pace(self, feed: Feed, sock: socket.socket, stamped: list[bytes]) -> None:
        """Wait for the feed's other streams; the last one serves all of them."""
        with self._changed:
            socks, done = self.together.setdefault(feed, ([], threading.Event()))
            socks.append(sock)
            is_last = len(socks) == feed.together
        if not is_last:
            done.wait(DEADLINE)
            return
        del self.together[feed]
        begin, rate = time.monotonic() + 0.05, feed.rate * feed.together
        for number in range(feed.events * feed.together):
            time.sleep(max(begin + number / rate - time.monotonic(), 0))
            stamp = b"%017.6f" % time.monotonic()
            socks[number % feed.together].sendall(stamp.join(stamped))
        done.set()


def serve_feeds(pipe: Any) -> None:
    pipe.send(FeedServer().base_url)
    signal.pause()


# --- contenders -----------------------------------------------------------------


class Contender(NamedTuple):
    program: str  # all before AFTER: `texts(turn)`, or `serve(turn)` instead
    needs: str = ""  # modules
    parts: str = "start throughput latency memory turns"  # that it takes part in


BEFORE = """
import json, os, sys, threading
URL = os.environ["MINIMAX_BASE_URL"] + "/v1/messages"
def asked(turn, **fields):
    body = {"model": "MiniMax-M3", "max_tokens": 9, "messages": turn["messages"]}
    return {**body, **fields}
def say(event):
    os.write(1, json.dumps(event).encode() + b"\\n")
def end(turn, told):
    block = {"type": "text", "text": "".join(told)}
    say({"type": "block_end", "id": turn["id"], "index": 0, "block": block})
    message = {"role": "assistant", "content": [block]}
    say({"type": "turn_end", "id": turn["id"], "message": message})
def serve(turn):
    told = []
    for text in texts(turn):
        told.append(text)
        say({"type": "text_delta", "id": turn["id"], "index": 0, "text": text})
    end(turn, told)
"""

AFTER = """
for line in sys.stdin:
    turn = json.loads(line)
    if turn["type"] == "describe":
        say({"type": "manifest"})
    else:
        threading.Thread(target=serve, args=(turn,)).start()
"""

RAW = BEFORE + r"""
import socket
HOST, PORT = URL.split("/")[2].split(":")
HEAD = b"POST /anthropic/v1/messages HTTP/1.1\r\nHost: a\r\n"
def connected(turn):
    sock = socket.create_connection((HOST, PORT))
    body = json.dumps(asked(turn)).encode()
    sock.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    return sock
def received(turn):
    sock, data = connected(turn), b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(65536)
    head, _, data = data.partition(b"\r\n\r\n")
    while b"chunked" not in head:
        yield data
        data = sock.recv(65536)
    while True:
        pieces, at, begin = [], 0, data.find(b"\r\n") + 2
        while begin > 1:
            stop = begin + int(data[at:begin], 16)
            if stop + 2 > len(data):
                break
            pieces.append(data[begin:stop])
            at = stop + 2
            begin = data.find(b"\r\n", at) + 2
        yield b"".join(pieces)
        data = data[at:] + sock.recv(65536)
"""

ANTHROPIC = BEFORE + """
import anthropic
BASE = os.environ["MINIMAX_BASE_URL"]
client = anthropic.Anthropic(api_key="none", base_url=BASE, max_retries=0)
"""

LITELLM = BEFORE + """
import litellm
KEYS = {"api_base": os.environ["MINIMAX_BASE_URL"], "api_key": "none"}
KEYS["model"] = "anthropic/MiniMax-M3"
"""

REQUESTS = BEFORE + """
import requests
session = requests.Session()
def posted(turn):
    return session.post(URL, json=asked(turn, stream=True), stream=True)
"""

CONTENDERS = {
    "python3": Contender(parts="memory", program="""
import sys
print(sys.stdin.readline(), flush=True)
sys.stdin.read()
"""),
    "floor": Contender(RAW + r"""
def texts(turn):
    rest = b""
    for piece in received(turn):
        *events, rest = (rest + piece).split(b"\n\n")
        for event in events:
            payload = json.loads(event.partition(b"data: ")[2].decode())
            if payload["type"] == "content_block_delta":
                yield payload["delta"]["text"]
            elif payload["type"] == "message_stop":
                return
"""),
    "one write per read": Contender(RAW + r"""
import re
find, encode = re.compile("data: (.*)").findall, json.JSONEncoder().encode
def serve(turn):
    rest, told, payloads = b"", [], []
    for piece in received(turn):
        piece, _, rest = (rest + piece).rpartition(b"\n\n")
        payloads = json.loads("[%s]" % ",".join(find(piece.decode())))
        new = [p["delta"]["text"] for p in payloads if "delta" in p and "index" in p]
        event, lines = {"type": "text_delta", "id": turn["id"], "index": 0}, []
        for event["text"] in new:
            lines.append(encode(event) + "\n")
        os.write(1, "".join(lines).encode())
        told += new
        if payloads and payloads[-1]["type"] == "message_stop":
            return end(turn, told)
"""),
    "recv alone": Contender(parts="throughput latency", program=RAW + """
def texts(turn):
    sock, data = connected(turn), b""
    while b"message_stop" not in data:
        data = data[-20:] + sock.recv(65536)
        if b"@" in data:
            yield data[data.find(b"@") :][:18].decode()
"""),
    "anthropic, raw events": Contender(needs="anthropic", program=ANTHROPIC + """
def texts(turn):
    for event in client.messages.create(**asked(turn, stream=True)):
        if event.type == "content_block_delta":
            yield event.delta.text
"""),
    "anthropic, messages.stream": Contender(needs="anthropic", program=ANTHROPIC + """
def texts(turn):
    with client.messages.stream(**asked(turn)) as stream:
        for event in stream:
            if event.type == "text":
                yield event.text
"""),
    "httpx + httpx-sse": Contender(needs="httpx httpx_sse", program=BEFORE + """
import httpx, httpx_sse
client = httpx.Client(timeout=None, limits=httpx.Limits(max_connections=None))
def texts(turn):
    body = asked(turn, stream=True)
    with httpx_sse.connect_sse(client, "POST", URL, json=body) as source:
        for event in source.iter_sse():
            payload = json.loads(event.data)
            if payload["type"] == "content_block_delta":
                yield payload["delta"]["text"]
"""),
    "requests + sseclient-py": Contender(needs="sseclient", program=REQUESTS + """
import sseclient
def texts(turn):
    for event in sseclient.SSEClient(posted(turn)).events():
        payload = json.loads(event.data)
        if payload["type"] == "content_block_delta":
            yield payload["delta"]["text"]
"""),
    "requests, iter_lines": Contender(needs="requests", program=REQUESTS + """
def texts(turn):
    for line in posted(turn).iter_lines():
        if line.startswith(b"data: "):
            payload = json.loads(line[6:])
            if payload["type"] == "content_block_delta":
                yield payload["delta"]["text"]
"""),
    "litellm": Contender(LITELLM + """
def texts(turn):
    for event in litellm.completion(**asked(turn, stream=True, **KEYS)):
        if event.choices[0].delta.content:
            yield event.choices[0].delta.content
""", "litellm", "start throughput memory"),
}  # fmt: skip


WARM = Feed(events=10)


class Failed(Exception):
    """A contender did not do its part."""


class Racer:
    """A contender's process."""

    runs = itertools.count(1)

    def __init__(self, command: Sequence[str], env: dict[str, str]) -> None:
        self.errors, pipe = tempfile.TemporaryFile(), subprocess.PIPE
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=self.errors, bufsize=0, env=env
        )
        assert self.process.stdin and self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self.alarm = threading.Timer(2 * DEADLINE, self.process.kill)
        self.alarm.start()

    def __enter__(self) -> Racer:
        return self

    def __exit__(self, *_: object) -> None:
        self.alarm.cancel()
        self.process.kill()
        self.process.wait()
        for file in (self.stdin, self.stdout, self.errors):
            file.close()

    def send(self, *lines: Obj) -> None:
        self.stdin.write(b"".join(dump(line).encode() + b"\n" for line in lines))

    def read(self) -> tuple[float, bytes]:
        """What there is of its output, and when it was read."""
        data = os.read(self.stdout.fileno(), 1 << 20)
        now = time.monotonic()
        if not data:
            self.errors.seek(0)
            told = self.errors.read().decode("utf-8", "replace").strip()
            raise Failed(told.split("\n")[-1] or "it ended without a word")
        return now, data

    def warm(self) -> Racer:
        for _ in self.play(WARM):
            pass
        return self

    def play(self, feed: Feed) -> Iterator[tuple[float, bytes]]:
        """What it writes until all turns of a feed have ended."""
        feed = feed._replace(run=next(self.runs))
        names = [f"{feed.run}.{number}" for number in range(feed.together)]
        self.send(*(ask(feed.words, id=name, type="turn") for name in names))
        ended, data = 0, b""
        while ended < feed.together or not data.endswith(b"\n"):
            tail = data[-8:]
            now, data = self.read()
            ended += (tail + data).count(b'turn_end"')
            yield now, data

    def status(self, field: str) -> int:
        """A number of Linux's /proc/PID/status."""
        told = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(told.split(field + ":")[1].split()[0])

    def mb(self, field: str) -> float:
        return self.status(field) / 1024

    def cpu(self) -> float:
        """Seconds of CPU it has used: Linux has such a clock for each process."""
        return time.clock_gettime((~self.process.pid << 3) | 2)


# --- what is measured -------------------------------------------------------------


def burst(racer: Racer, feed: Feed) -> Iterator[list[float]]:
    """Microseconds for each delta, from the first one's leaving to the last line."""
    found = None
    for now, data in racer.warm().play(feed):
        found = found or STAMP.search(data)
        ended = now
    assert found is not None
    yield [1e6 * (ended - float(found.group(1))) / feed.events]


def idle(racer: Racer, feed: Feed) -> Iterator[list[float]]:
    """MB after `describe` alone."""
    racer.send({"type": "describe"})
    racer.read()
    time.sleep(0.5)  # for what it does in the background
    yield [racer.mb("VmRSS")]


def reuse(racer: Racer, feed: Feed) -> Iterator[list[float]]:
    """Connections opened for turns that follow as many."""
    counts = [0]
    for _ in range(2):
        output = b"".join(data for _, data in racer.play(feed))
        counts.append(max(map(int, re.findall(rb"#(\d+)", output))))
    yield [counts[2] - counts[1]]


def volume(racer: Racer, feed: Feed) -> Iterator[list[float]]:
    """MB at the peak; MB more than before when the turn is over."""
    before = racer.warm().mb("VmRSS")
    for _ in racer.play(feed):
        pass
    time.sleep(0.2)  # for its last steps
    yield [racer.mb("VmHWM")]
    yield [racer.mb("VmRSS") - before]


def streams(racer: Racer, feed: Feed) -> Iterator[list[float]]:
    """Microseconds from a delta's leaving to the reading of its line; microseconds of
    CPU for each delta; threads; KB for each stream beside an idle process."""
    reads: list[tuple[float, bytes]] = []
    idle, seen, begun, at_begin = racer.warm().mb("VmRSS"), 0, 0, 0.0
    figures: list[list[float]] = []
    for now, data in racer.play(feed):
        reads.append((now, data))
        seen += data.count(b"@")
        if seen and not begun:  # all have started
            begun, at_begin = seen, racer.cpu()
        if not figures and seen >= (feed.events - 2) * feed.together:  # none has ended
            used, grown = racer.cpu() - at_begin, racer.mb("VmRSS") - idle
            figures.append([1e6 * used / max(seen - begun, 1)])
            figures += [[racer.status("Threads")], [1024 * grown / feed.together]]
    yield [
        1e6 * (now - float(stamp))
        for now, data in reads
        for line in data.split(b"\n")
        if b"text_delta" in line
        for stamp in STAMP.findall(line)
    ]
    yield from figures


# --- the cases ----------------------------------------------------------------------


class Case(NamedTuple):
    part: str
    name: str
    feed: Feed
    job: Callable[[Racer, Feed], Iterator[list[float]]]
    tables: str  # where the job's numbers go
    rounds: int
    others: int = 0  # rounds of contenders beside ours and the floor


CASES = [
    Case("throughput", "20,000", Feed(events=20000), burst, "throughput", 7, 3),
    *(
        Case("throughput", f"{n:,}", Feed(events=n), burst, "throughput", rounds)
        for n, rounds in ((2000, 7), (100000, 3), (500000, 3))
    ),
    *(
        Case("throughput", f"{n} MB", Feed(events=1000 * n, size=1000), burst,
             "throughput", 3)
        for n in (1, 10, 50)
    ),
    *(
        Case("latency", f"{framing}, {rate:,}/s", Feed(framing, n, 0, rate), streams,
             "latency", 4, others)
        for framing in ("chunked", "length", "close")
        for rate, n, others in ((100, 150, 1), (1000, 500, 0))
    ),
    Case("memory", "after describe", WARM, idle, "idle", 1, 1),
    *(
        Case("memory", f"{n} MB", Feed(events=1000 * n, size=1000), volume,
             "peak kept", 1)
        for n in (10, 50)
    ),
    *(
        Case("turns", f"{n} at once", Feed("chunked", 60, 0, 20, n), streams,
             "turns cpu threads kb", 2, n == 200)
        for n in (1, 8, 64, 200)
    ),
    *(
        Case("connections", f"{n} after {n}", Feed("chunked", 3, 0, 20, n), reuse,
             "connections", 1)
        for n in (1, 64)
    ),
]  # fmt: skip

FIRST = "first event"
STARTS: dict[str, tuple[list[str], Obj | None]] = {  # arguments, a line for stdin
    "describe": ([], {"type": "describe"}),
    "ping": ([], {"type": "ping"}),
    "--version": (["--version"], None),
    "--manifest": (["--manifest"], None),
    FIRST: ([], ask(WARM.words, type="turn", id="first")),
}
PASS, IMPORT = "python3 -c pass", "python3 -c 'import requests'"


class Benchmark:
    """`samples[table][case][contender]` are numbers; `missing` says who did not run."""

    def __init__(self, plugin: Path, quick: bool, home: str) -> None:
        gc.freeze()
        gc.disable()  # here and, after the fork, in the server: no pauses
        self.quick = quick
        self.samples: Obj = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
        self.missing: dict[str, str] = {}
        context = multiprocessing.get_context("fork")
        self.server, theirs = context.Pipe()
        context.Process(target=serve_feeds, args=(theirs,), daemon=True).start()
        config = {"max_concurrent_turns": 1000, "max_retries": 0}
        self.env = environment(home, self.server.recv(), config)
        self.file = [sys.executable, str(plugin)]
        self.commands = {"ours": self.install(plugin, home)}
        for name, contender in CONTENDERS.items():
            if all(importlib.util.find_spec(need) for need in contender.needs.split()):
                program = contender.program + AFTER
                self.commands[name] = [sys.executable, "-c", program]
            else:
                self.missing[name] = "skipped, for it cannot be imported"

    def install(self, plugin: Path, home: str) -> list[str]:
        """Have install.sh put the plugin into `home`, if it is there."""
        script, name = plugin.with_name("install.sh"), "plexum-minimax-provider"
        if not script.is_file():
            return self.file
        env = dict(self.env, PLEXUM_PROFILE_ROOT=home, PYTHON=sys.executable)
        command = ["sh", str(script), "--offline", "--no-demo"]
        subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=True)
        return [f"{home}/plugins/{name}/{name}-plugin"]

    def rounds(self, part: str, count: int, others: int) -> Iterator[str]:
        """Whose turn it is: ours and the floor always, others in the first rounds."""
        for number in range(min(count, 2) if self.quick else count):
            for name in self.commands:
                is_main = name in ("ours", "floor")
                takes_part = is_main or part in CONTENDERS[name].parts
                most = count if is_main else others
                if number < most and takes_part and name not in self.missing:
                    yield name

    def run(self, case: Case) -> None:
        for name in self.rounds(case.part, case.rounds, case.others):
            try:
                with Racer(self.commands[name], self.env) as racer:
                    results = zip(case.tables.split(), case.job(racer, case.feed))
                    for table, numbers in results:
                        self.samples[table][case.name][name] += numbers
            except Failed as failure:
                self.missing[name] = f"failed: {failure}"

    def start(self) -> None:
        for name in self.rounds("start", 15, 3):
            commands = {name: self.commands[name]}
            if name == "ours":
                commands["ours, the file itself"] = self.file
                _, imported = self.session([sys.executable, "-c", "import requests"])
                self.samples["event"][FIRST][IMPORT].append(imported)
            for case, (arguments, line) in STARTS.items():
                answer, end = self.samples["answer"][case], self.samples["exit"][case]
                if name == "ours" and case != FIRST:
                    _, whole = self.session([sys.executable, "-c", "pass"])
                    answer[PASS].append(whole)
                    end[PASS].append(whole)
                elif case not in ("describe", FIRST):
                    continue
                for row, command in commands.items():
                    first, whole = self.session(command + arguments, line)
                    if math.isnan(first):
                        self.missing[row] = f"failed: no line after {case}"
                    elif case == FIRST:
                        self.samples["event"][case][row].append(first)
                    else:
                        answer[row].append(first)
                        end[row].append(whole)

    def session(
        self, command: list[str], line: Obj | None = None
    ) -> tuple[float, float]:
        """Milliseconds to the first line, and to the exit, of a new process."""
        first = math.nan
        with Racer(command, self.env) as racer:
            if line is not None:
                racer.send(line)
            racer.stdin.close()
            with contextlib.suppress(Failed):
                first, _ = racer.read()
                while racer.read():
                    pass
            racer.process.wait()
            return 1e3 * (first - racer.began), 1e3 * (time.monotonic() - racer.began)


# --- what is told -----------------------------------------------------------------


class Table(NamedTuple):
    title: str
    samples: str
    digits: int = 0
    # The row that ratios are to; "": the same row in the first column; None: no ratios.
    against: str | None = "floor"
    share: float = 0.5  # which quantile


TABLES = {
    "answer": Table("First line of a new process, ms", "answer", 1, PASS),
    "exit": Table("Exit of a new process, ms", "exit", 1, PASS),
    "event": Table("First event of a new process, ms", "event", 1, IMPORT),
    "throughput": Table("Deltas as fast as they are taken, µs each", "throughput", 2),
    "latency p50": Table("Latency of lone deltas, µs, p50", "latency"),
    "latency p99": Table("Latency of lone deltas, µs, p99", "latency", share=0.99),
    "idle": Table("Resident memory, MB", "idle", 1, "python3"),
    "peak": Table("Peak of resident memory during a turn of so much text, MB", "peak"),
    "kept": Table("Resident memory kept after it, MB", "kept", 1, None),
    "turns p50": Table("Latency in turns of 20 deltas a second, µs, p50", "turns"),
    "turns p99": Table("Latency in them, µs, p99", "turns", share=0.99),
    "cpu": Table("CPU time for each of their deltas, µs", "cpu", 0, ""),
    "threads": Table("Threads", "threads", 0, None),
    "kb": Table("Resident memory for each turn, KB", "kb"),
    "connections": Table("Connections opened for turns", "connections", 0, None),
}


def quantile(numbers: Sequence[float], share: float) -> float:
    ranked = sorted(numbers)
    place = share * (len(ranked) - 1)
    low, high = ranked[math.floor(place)], ranked[math.ceil(place)]
    return low + (high - low) * (place % 1)


def figures(samples: Obj, table: Table) -> Obj:
    """The figures of a table, by case and contender."""
    found: Obj = defaultdict(dict)
    cases = samples.get(table.samples, {})
    for case, rows in cases.items():
        for name, numbers in rows.items():
            value, base = quantile(numbers, table.share), rows.get(table.against)
            if table.against == "":
                base = next(iter(cases.values())).get(name)
            quarters = quantile(numbers, 0.75) - quantile(numbers, 0.25)
            found[case][name] = {
                "value": value,
                "ratio": value / quantile(base, table.share) if base else None,
                "spread": quarters / (quantile(numbers, 0.5) or 1),
                "samples": len(numbers),
            }
    return found


def machine() -> Obj:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "processor": model.group(1) if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("requests", "urllib3")},
        "load after": os.getloadavg()[0],
    }


def shown(told: Obj) -> Iterator[str]:
    """The report as text."""
    yield ", ".join(f"{name} {value}" for name, value in told["machine"].items())
    yield from (f"{name}: {why}" for name, why in told["missing"].items())
    for key, cases in told["tables"].items():
        table = TABLES[key]
        if not any(cases.values()):
            continue
        base = table.against or "the first column"
        to = "" if table.against is None else f"; ratio to {base}"
        yield f"\n{table.title}{to}"
        yield " " * 28 + "".join(f"{case:>18}" for case in cases)
        for name in dict.fromkeys(name for rows in cases.values() for name in rows):
            line = f"{name:28}"
            for figure in (rows.get(name) for rows in cases.values()):
                value = "" if figure is None else f"{figure['value']:,.{table.digits}f}"
                ratio = figure and figure["ratio"]
                line += f"{value:>10}{'' if ratio is None else f' {ratio:7.2f}':8}"
            yield line.rstrip()
    yield ""
    for name, spread in told["noise"].items():
        yield f"noise: {name} varied by {spread:.0%} (interquartile range / median)"
    if told["server"] is not None:
        yield "the server: recv alone took {server:.0%} of our time".format(**told)


README_ROWS = (PASS, IMPORT, "ours", *CONTENDERS)
README_COLUMNS = {  # table, case, factor, digits
    "`describe`, ms": ("answer", "describe", 1, 0),
    "first event, ms": ("event", FIRST, 1, 0),
    "20,000 deltas, ms": ("throughput", "20,000", 20, 0),
    "lone delta, µs": ("latency p50", "chunked, 100/s", 1, 0),
    "200 turns, p99, ms": ("turns p99", "200 at once", 0.001, 1),
    "idle, MB": ("idle", "after describe", 1, 1),
}


def readme_table(tables: Obj) -> Iterator[str]:
    """What the README shows, from the figures of all tables."""
    yield "| | " + " | ".join(README_COLUMNS) + " |"
    yield "|---" * (len(README_COLUMNS) + 1) + "|"
    for name in README_ROWS:
        cells = []
        for table, case, factor, digits in README_COLUMNS.values():
            figure = tables[table].get(case, {}).get(name)
            cells.append(f"{figure['value'] * factor:,.{digits}f}" if figure else "")
        if any(cells):
            yield f"| {name} | " + " | ".join(cells) + " |"


def outcome(bench: Benchmark, load: float) -> Obj:
    """All that was found."""
    tables = {name: figures(bench.samples, table) for name, table in TABLES.items()}
    runs, answers = tables["throughput"]["20,000"], tables["answer"]["describe"]
    noise = {"floor": runs.get("floor"), PASS: answers.get(PASS)}
    ours, least = runs.get("ours"), runs.get("recv alone")
    return {
        "machine": {**machine(), "load before": load},
        "missing": bench.missing,
        "tables": tables,
        "noise": {name: row["spread"] for name, row in noise.items() if row},
        "server": least["value"] / ours["value"] if ours and least else None,
    }


def run_benchmark(argv: list[str]) -> int:
    parts = ["start", *dict.fromkeys(case.part for case in CASES)]
    parser = argparse.ArgumentParser(
        prog="test_provider.py bench",
        description="Measure the plugin beside a plain raw socket, the floor, and what "
        "else this Python can import. It needs Linux, and five minutes.",
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    parser.add_argument("--json", action="store_true", help="everything, as one object")
    parser.add_argument("--readme", action="store_true", help="the README's table")
    parser.add_argument("--quick", action="store_true", help="less, in two minutes")
    parser.add_argument("--plugin", type=Path, default=Path(SOURCE), help="its file")
    options = parser.parse_args(argv)
    if not set(options.parts) <= set(parts):
        parser.error("the parts are {}".format(", ".join(parts)))
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as home:
        bench = Benchmark(options.plugin.resolve(), options.quick, home)
        for part in options.parts or parts:
            print(f"measuring {part} ...", file=sys.stderr)
            if part == "start":
                bench.start()
            for case in CASES:
                is_large = case.feed.events > 20000
                if part == case.part and not (options.quick and is_large):
                    bench.run(case)
    told = outcome(bench, load)
    lines = readme_table(told["tables"]) if options.readme else shown(told)
    print(json.dumps(told, indent=1) if options.json else "\n".join(lines))
    return 0


# --- tests of it -----------------------------------------------------------------


@needs_linux
def test_benchmark_runs_and_counts_connections() -> None:
    command = [sys.executable, __file__, "bench", "--quick", "--json", "connections"]
    done = subprocess.run(command, capture_output=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    for case, of_floor in (("1 after 1", 1), ("64 after 64", 64)):
        rows = told["tables"]["connections"][case]
        assert rows["ours"]["value"] == 0, rows
        assert rows["floor"]["value"] == of_floor, rows


def test_readme_shows_what_the_benchmark_finds() -> None:
    part = readme_part("## Performance")
    assert "python3 test_provider.py bench --readme\n" in part
    head, rule = readme_table(defaultdict(dict))
    assert f"\n{head}\n{rule}\n| {PASS} | " in part
    told = re.findall(r"(?m)^\| ([^|]+) \| .*\d", part)
    assert {"ours", "floor"} < set(told)
    assert told == [name for name in README_ROWS if name in told]
    assert set(README_ROWS) - set(told) <= {"litellm"}


# =====================================================================
# python3 test_provider.py ...
# =====================================================================

SUBCOMMANDS: dict[str, Callable[[list[str]], int]] = {
    "bench": run_benchmark,
    "picture": draw,
}


def main(argv: list[str]) -> int:
    if not argv or argv[0] not in SUBCOMMANDS:
        known = "|".join(SUBCOMMANDS)
        print(f"usage: test_provider.py {known} [--help]; the tests run with pytest")
        return 2
    return SUBCOMMANDS[argv[0]](argv[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
