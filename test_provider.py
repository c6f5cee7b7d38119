"""Tests of the MiniMax provider, in the order of the source file.

Nearly all of them are black boxes: bytes into the stdin of the real process,
lines out of its stdout, and on the other side a raw-socket server that can
misbehave in any way a network can.  The whole output of every process is put
through ``check_grammar``, which knows the wire contract and nothing else.

To test a vendored copy, edit the one import below.  Run with ``pytest``.
"""

# ruff: noqa: B023, PIE800, PLW1510, RUF007, SIM905, UP006, UP007, UP035
# The tests run on Python 3.8, too, and their tables are spread from shorter ones.

from __future__ import annotations

import base64
import contextlib
import copy
import fcntl
import functools
import gc
import gzip
import importlib.metadata
import io
import itertools
import json
import multiprocessing
import os
import platform
import pty
import random
import re
import select
import shlex
import shutil
import signal
import socket
import ssl
import string
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import tracemalloc
import types
import urllib.parse
import zipfile
from collections import defaultdict, deque
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, NamedTuple, Sequence, Union
from typing import ContextManager as Managed
from xml.etree import ElementTree

import pytest
import requests
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

Obj = Dict[str, Any]
Env = Dict[str, Union[str, None]]
PROPERTY = settings(deadline=None, derandomize=True, database=None, max_examples=60)
PROPERTY = settings(PROPERTY, suppress_health_check=list(HealthCheck))

HAS_PROC, IS_LINUX = os.path.isdir("/proc/self/fd"), sys.platform.startswith("linux")
needs_proc = pytest.mark.skipif(not HAS_PROC, reason="needs Linux's /proc")
needs_linux = pytest.mark.skipif(not IS_LINUX, reason="relies on Linux's TCP or pipes")


# ===== Harness: the grammar of the output =============================================

_NEVER = """invalid_json invalid_request line_too_long duplicate_id config auth
    permission insufficient_balance quota_exhausted not_found model_unavailable
    context_too_long content_filtered rejected internal"""
_LATER = """busy shutting_down rate_limited overloaded upstream timeout stream_cut
    empty_response protocol"""
# code: may it be tried again (None: depends)
ERROR_CODES: dict[str, bool | None] = {"network": None}
ERROR_CODES.update(dict.fromkeys(_NEVER.split(), False))
ERROR_CODES.update(dict.fromkeys(_LATER.split(), True))
LINE_ERRORS = {"invalid_json", "invalid_request", "line_too_long", "duplicate_id"}
_WARNINGS = """unknown_field ignored_field system_role_moved max_tokens_lowered
    history_repaired image_replaced thinking_mapped effort_ignored retired_model
    model_differs thinking_used_all_tokens no_text no_tool_call tool_markup_in_text
    unknown_delta invalid_unicode late_error"""
WARNING_CODES = set(_WARNINGS.split())
_END = "stop_reason message model message_id usage request_id timing"
TURN_FIELDS = {
    "turn_start": {"model", "message_id"},
    "block_start": {"index", "block"},
    "text_delta": {"index", "text"},
    "thinking_delta": {"index", "text"},
    "input_delta": {"index", "json"},
    "block_end": {"index", "block"},
    "turn_end": set(_END.split()),
    "error": {"error", "model", "usage", "partial", "timing"},
    "retry": {"attempt", "max_attempts", "delay", "error"},
    "warning": {"code", "text"},
    "heartbeat": set(),
}
MAY_HAVE = {"turn_end": {"cost_usd"}, "error": {"cost_usd"}}
MAY_HAVE["block_end"] = {"incomplete", "input_json"}
ERROR_FIELDS = {"code", "message", "hint", "retryable"}
ERROR_MAY_HAVE = {*"retry_after reset_at http_status provider_code request_id".split()}
_MANIFEST = "name version protocol kind executable activation provider models config"
MANIFEST_FIELDS = {*_MANIFEST.split(), "capabilities"}
TERMINAL = ("turn_end", "error")


def dump(value: object) -> str:
    """The JSON text of `value`: tells 1 from 1.0 and True, and sees key order."""
    return json.dumps(value)


def same(left: object, right: object) -> bool:
    return dump(left) == dump(right)


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def parse_line(raw: bytes) -> Obj:
    """One outbound line: compact ASCII JSON of an object, and nothing but JSON."""
    line = json.loads(raw.decode("ascii"))
    again = json.dumps(line, separators=(",", ":"), allow_nan=False)
    assert again.encode() == raw, raw[:200]
    assert isinstance(line, dict) and isinstance(line.get("type"), str), raw[:200]
    if b"\\ud" in raw:  # half of a surrogate pair: other readers refuse the line
        json.dumps(line, ensure_ascii=False).encode("utf-8")
    return line


def well_formed(value: Any) -> Any:
    """`value` with U+FFFD for each half of a surrogate pair that stands alone."""
    data = json.dumps(value, ensure_ascii=False).encode("utf-16-le", "surrogatepass")
    return json.loads(data.decode("utf-16-le", "replace"))


def check_printable(*values: object, limit: int = 2000) -> None:
    """What is neither ours nor the model's content is one printable line."""
    for value in values:
        if isinstance(value, str):
            assert value.isprintable() and len(value) <= limit, value[:limit]


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
    assert is_number(error.get("retry_after", 0)), error
    for words in (error["message"], error["hint"]):
        assert isinstance(words, str) and words.strip(), error
        assert not re.search(r"\{[a-z_]+\}", words), f"a blank was not filled: {words}"
    check_printable(*error.values())


def check_block(first: Obj, *lines: Obj) -> Obj | None:
    """The lines of one block; give the block, if the message is to hold it."""
    *deltas, end = lines
    old, block, partial = first["block"], end["block"], "incomplete" in end
    joined = {"text": "", "thinking": "", "input": ""}
    for line in deltas:
        joined[line["type"][:-6]] += line["json" if "json" in line else "text"]
    assert end["type"] == "block_end", f"never closed: {end!r}"
    assert isinstance(old["type"], str) and block["type"] == old["type"], end
    assert end.get("incomplete", True) is True, end
    for name in ("text", "thinking"):
        assert old.get(name, "") == "" or not isinstance(old[name], str), first
        value = block.get(name)
        assert joined[name] == (value if isinstance(value, str) else ""), end
    raw, is_call = joined["input"], block["type"] == "tool_use"
    assert not is_call or old["input"] == {}, first
    if is_call and partial:
        assert "input" not in block and end["input_json"] == raw, end
        return None
    assert partial or "input_json" not in end, end
    if is_call or (raw and not partial):
        parsed = json.loads(raw, strict=False) if raw.strip() else {}
        assert isinstance(block["input"], dict), end
        assert same(well_formed(parsed), block["input"]), end
    assert not is_call or (block["id"] and block["name"]), end
    return None if partial and not (is_text(block) and block["text"]) else block


def is_text(block: Obj) -> bool:
    return bool(block["type"] == "text")


def check_end(line: Obj, content: list[Obj]) -> None:
    """The last line of a turn whose message is to hold `content`."""
    message = {"role": "assistant", "content": content} if content else None
    timing = line["timing"]
    assert set(timing) == {"first_event_ms", "total_ms", "attempts"}, timing
    for value in timing.values():
        assert value is None or (is_number(value) and value >= 0), timing
    if "cost_usd" in line:  # of something: of tokens, in billionths of a dollar
        cost, usage = line["cost_usd"], line["usage"]
        assert type(cost) is float and round(cost, 9) == cost > 0, line
        assert usage["input_tokens"] >= 0 and usage["output_tokens"] >= 0, line
    if line["type"] == "error":
        check_error(line["error"])
        assert same(line["partial"], message), (line, message)
        return
    assert same(line["message"], message), (line, message)
    assert isinstance(line["stop_reason"], str) and line["stop_reason"], line
    for name in ("stop_reason", "model", "message_id", "request_id"):
        check_printable(line[name])


def check_success(line: Obj, ends: list[Obj], late: set[int], codes: set[str]) -> None:
    """Nothing is hidden in a success.

    `late` are the blocks before which the message may have been complete.
    """
    calls = [end for end in ends if end["block"]["type"] == "tool_use"]
    calls = [c for c in calls if "incomplete" not in c or c["index"] not in late]
    if line["stop_reason"] == "tool_use":
        assert ends, "a tool_use of nothing"
        assert not any("incomplete" in end for end in calls), line
        assert calls or "no_tool_call" in codes, line
    content = line["message"]["content"] if line["message"] else []
    has_text = any(is_text(block) and block["text"].strip() for block in content)
    silent = {"text", "thinking", "redacted_thinking"}
    others = {end["block"]["type"] for end in ends} - silent
    if not (has_text or others or line["stop_reason"] == "refusal"):
        assert codes & {"no_text", "thinking_used_all_tokens"}, line


def check_turn(lines: list[Obj]) -> None:
    """The lines of one id, up to the turn's end or to that of a killed process."""
    blocks: list[list[Obj]] = []
    late: set[int] = set()
    warnings, started = set(), False
    for line in lines:
        kind = line["type"]
        check_keys(line, TURN_FIELDS[kind], MAY_HAVE.get(kind, ()))
        if kind == "retry":
            assert not started, f"a retry after turn_start: {line!r}"
            check_error(line["error"])
            assert 1 <= line["attempt"] < line["max_attempts"], line
            assert is_number(line["delay"]) and line["delay"] >= 0, line
        elif kind == "turn_start":
            assert not started, line
            started = True
            check_printable(line["model"], line["message_id"])
        elif kind == "warning":
            assert line["code"] in WARNING_CODES, line
            warnings.add(line["code"])
            assert isinstance(line["text"], str) and line["text"], line
            check_printable(line["text"])
        elif "index" in line:
            assert started, line
            if kind == "block_start":
                assert line["index"] == len(blocks), line
                if blocks and all(b[-1]["type"] == "block_end" for b in blocks):
                    late.add(len(blocks))
                blocks.append([])
            block = blocks[line["index"]]
            assert not block or block[-1]["type"] != "block_end", f"closed: {line!r}"
            block.append(line)
    end, has_ended = lines[-1], lines[-1]["type"] in TERMINAL
    whole = [b for b in blocks if has_ended or b[-1]["type"] == "block_end"]
    content = [check_block(*block) for block in whole]
    if has_ended:
        check_end(end, [block for block in content if block is not None])
    if end.get("stop_reason", "cancelled") != "cancelled":
        assert started, f"turn_end without turn_start: {end!r}"
        check_success(end, [block[-1] for block in blocks], late, warnings)


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
    turns: dict[str, list[Obj]] = defaultdict(list)
    lines = [parse_line(raw) for raw in output.split(b"\n")[:-1]]
    for line in lines:
        if line["type"] in ("pong", "manifest") or "id" not in line:
            check_loose(line)
            continue
        assert type(line["id"]) in (str, int) and line["type"] in TURN_FIELDS, line
        turns[dump(line["id"])].append(line)
        if line["type"] in TERMINAL:
            check_turn(turns.pop(dump(line["id"])))
    assert not (finished and turns), f"turns without a terminal line: {list(turns)}"
    for begun in turns.values():
        check_turn(begun)
    return lines


def check_secret(*texts: bytes) -> None:
    """No eight characters in a row of the key, its public prefix aside."""
    secret = KEY[len("sk-cp-") :].encode()
    for text in texts:
        for start in range(len(secret) - 7):
            assert secret[start : start + 8] not in text


# ===== Harness: the upstream ==========================================================


class Done(Exception):
    """The script is at its end: the connection closes."""


class Request:
    """One request as it came in, how it fared, and what a step answers through."""

    def __init__(self, emulator: Emulator, sock: socket.socket, head: bytes) -> None:
        first, *rest = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = first.split(" ", 2)
        pairs = [field.partition(":") for field in rest if field]
        self.fields = [(key.strip().lower(), value.strip()) for key, _, value in pairs]
        self.emulator, self.sock, self.head = emulator, sock, head
        self.body = b""
        self.connection = 0  # the number of its connection
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

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)


Step = Union[bytes, Callable[[Request], object]]
Script = Sequence[Step]


def close(request: Request) -> None:
    """Close cleanly (FIN)."""
    raise Done


def reset(request: Request) -> None:
    """Close rudely (RST)."""
    linger = struct.pack("ii", 1, 0)
    request.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    raise Done


def hold(request: Request) -> None:
    """Say nothing more until the plugin has closed or reset the connection."""
    with contextlib.suppress(OSError):
        while request.sock.recv(65536):
            pass
    raise Done


def wait(event: threading.Event) -> Step:
    def step(request: Request) -> None:
        wait_until(lambda: event.wait(0.05) or request.emulator.stopping.is_set())

    return step


def meet(barrier: threading.Barrier) -> Step:
    return lambda request: barrier.wait(DEADLINE)


def drip(data: bytes, gap: float = 0.02) -> Step:
    """Send `data` over and over, a little apart, until the plugin goes away."""

    def step(request: Request) -> None:
        while not request.emulator.stopping.wait(gap):
            request.send(data)
        raise Done

    return step


class Emulator(Managed["Emulator"]):
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
        self.tls, self.greeting = tls, greeting
        self.routes: dict[str, Script] = {}
        self.queue: deque[Script] = deque()
        self.answer: Callable[[Request], Script] | None = None
        self.requests: list[Request] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._changed = threading.Condition()
        self._socks: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server((host, 0), backlog=256)
        self.port = int(self._listener.getsockname()[1])
        scheme = "https" if self.tls else "http"
        self.base_url = f"{scheme}://{host}:{self.port}/anthropic"
        self._start(self._accept)

    def reset(self) -> None:
        """Forget scripts and requests, so that a shared emulator starts fresh."""
        with self._changed:
            self.routes, self.answer = {}, None
            self.queue.clear()
            self.requests.clear()

    def wait_request(self, count: int = 1) -> Request:
        """The `count`-th request, as soon as it is there."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.requests) >= count, DEADLINE)
            assert len(self.requests) >= count, f"only {len(self.requests)} came"
            return self.requests[count - 1]

    def close(self) -> None:
        self.stopping.set()
        with self._changed:
            socks = [self._listener, *self._socks]
        for sock in socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive(), "an emulator thread hangs"

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self.stopping.is_set():
                sock, _ = self._listener.accept()
                with self._changed:
                    self.connections += 1
                    self._socks.append(sock)
                self._start(self._serve, sock, self.connections)

    def _serve(self, sock: socket.socket, number: int) -> None:
        request: Request | None = None
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.greeting is not None:
                self.greeting(sock)
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True)
                with self._changed:
                    self._socks.append(sock)
            with contextlib.closing(sock.makefile("rb")) as reader:
                while True:
                    request = self._read(reader, sock, number)
                    for step in self._script(request):
                        if isinstance(step, bytes):
                            request.send(step)
                        else:
                            step(request)
        except (OSError, Done):
            pass
        finally:
            if request is not None:
                request.gone.set()
            with self._changed:
                self._socks.remove(sock)
            sock.close()

    def _read(self, reader: Any, sock: socket.socket, number: int) -> Request:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = reader.readline()
            if not line:
                raise Done
            head += line
        request = Request(self, sock, head[:-4])
        request.connection = number
        lengths = request.header("content-length")
        request.body = reader.read(int(lengths[0])) if lengths else b""
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
        return request

    def _script(self, request: Request) -> Script:
        with self._changed:
            if self.answer is not None:
                return self.answer(request)
            if request.text in self.routes:
                return self.routes[request.text]
            return self.queue.popleft() if self.queue else respond(OK)


# --- what an upstream says ------------------------------------------------
def frame(payload: object, name: str | None = None) -> bytes:
    """One server-sent event; a dict goes under the name of its type."""
    text = payload if isinstance(payload, str) else json.dumps(payload)
    if name is None and isinstance(payload, dict):
        name = payload.get("type")
    return (f"event: {name}\n" * bool(name) + f"data: {text}\n\n").encode()


def sse(*payloads: Obj | bytes) -> bytes:
    return b"".join(p if isinstance(p, bytes) else frame(p) for p in payloads)


def started(model: str = "MiniMax-M3", ident: str = f"{1:032}", **fields: Any) -> Obj:
    message: Obj = {"id": ident, "type": "message", "role": "assistant"}
    message.update(content=[], model=model, stop_reason=None)
    message.update(usage={"input_tokens": 0, "output_tokens": 0})
    return {"type": "message_start", "message": {**message, **fields}}


PING: Obj = {"type": "ping"}
STOP: Obj = {"type": "message_stop"}


def begun(index: int, block: Any) -> Obj:
    return {"type": "content_block_start", "index": index, "content_block": block}


def opened(index: int, kind: str = "text", **fields: Any) -> Obj:
    block: Obj = {"type": kind}
    if kind in ("text", "thinking"):
        block[kind] = ""
    if kind == "tool_use":
        block.update(id=f"call_function_{index}", name="glob", input={})
    return begun(index, {**block, **fields})


def delta(index: int, kind: str, **fields: Any) -> Obj:
    change = {"type": kind, **fields}
    return {"type": "content_block_delta", "index": index, "delta": change}


def deltas_of(kind: str, field: str) -> Callable[[int, str], Obj]:
    return lambda index, value: delta(index, kind, **{field: value})


text = deltas_of("text_delta", "text")
thinking = deltas_of("thinking_delta", "thinking")
signature = deltas_of("signature_delta", "signature")
partial_json = deltas_of("input_json_delta", "partial_json")


def closed(index: int) -> Obj:
    return {"type": "content_block_stop", "index": index}


def stopping(reason: str | None = "end_turn", **fields: Any) -> Obj:
    change = {"stop_reason": reason, "stop_sequence": None}
    usage = {"input_tokens": 11, "output_tokens": 7}
    return {"type": "message_delta", "delta": change, "usage": usage, **fields}


def block_text(string: str) -> Obj:
    return {"type": "text", "text": string}


def a_thought(words: str, sign: str = "") -> Obj:
    thought = {"type": "thinking", "thinking": words}
    return {**thought, "signature": sign} if sign else thought


def a_call(index: int, value: Obj) -> Obj:
    """The tool call that `opened(index, "tool_use")` begins."""
    ident = f"call_function_{index}"
    return {"type": "tool_use", "id": ident, "name": "glob", "input": value}


def new_kind(**fields: Any) -> Obj:
    return {"type": "new_kind", **fields}


A_TEXT = block_text("Hello")


def a_block(index: int, *deltas: str, kind: str = "text", **fields: Any) -> list[Obj]:
    """The events of a whole block, its deltas of its kind, with its `sign` if given."""
    make = {"thinking": thinking, "tool_use": partial_json}.get(kind, text)
    middle = [make(index, piece) for piece in deltas]
    middle += [signature(index, fields.pop("sign"))] if "sign" in fields else []
    return [opened(index, kind, **fields), *middle, closed(index)]


def whole(*events: Any, reason: str | None = "end_turn", **fields: Any) -> bytes:
    """A stream that is complete around `events`, blocks of them as lists."""
    flat: list[Obj | bytes] = []
    for event in events:
        flat.extend(event if isinstance(event, list) else [event])
    return sse(started(**fields), *flat, stopping(reason), STOP)


def words(string: str, model: str = "MiniMax-M3") -> bytes:
    """A good stream of one text block."""
    return whole(a_block(0, string), model=model)


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


def respond(*pieces: Step, framing: str = "chunked", headers: Any = ()) -> list[Step]:
    """A 200 whose body is `pieces`, each sent on its own, whole to the end."""
    if framing == "chunked":
        head = response_head(200, "Transfer-Encoding: chunked", *headers)
        body = [chunk(p) if isinstance(p, bytes) else p for p in pieces]
        return [head, *body, LAST_CHUNK]
    if framing == "length":
        size = sum(len(p) for p in pieces if isinstance(p, bytes))
        return [response_head(200, f"Content-Length: {size}", *headers), *pieces]
    return [response_head(200, "Connection: close", *headers), *pieces, close]


def at_once(script: Script) -> bytes:
    return b"".join(step for step in script if isinstance(step, bytes))


def kept(data: bytes) -> list[Step]:
    """A 200 sent at once with its end, after which the connection is used again."""
    return [at_once(respond(data))]


def unfinished(*pieces: Step) -> list[Step]:
    """A 200 that goes wherever the last step takes it, without a body's end."""
    return respond(*pieces)[:-1]


def refuse(status: int, body: str | Obj, *headers: str) -> Script:
    """An error response."""
    kind = "text/html" if isinstance(body, str) else "application/json"
    data = (body if isinstance(body, str) else json.dumps(body)).encode()
    fields = f"Content-Type: {kind}", f"Content-Length: {len(data)}"
    return [response_head(status, *fields, *headers) + data]


def api_error(message: str, kind: str = "api_error", **fields: Any) -> Obj:
    error = {"type": kind, "message": message, **fields}
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


ALL_CUTS = [("whole", 0), ("bytes", 0), *(("random", seed) for seed in range(5))]


def utf8_frame(payload: Obj) -> bytes:
    """With UTF-8 on the wire, not escapes."""
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return frame(text, payload["type"])


_EVENTS = [
    *[started(), PING, *a_block(0, "Où? ", kind="thinking", sign="5e" * 4)],
    *a_block(1, "Grüße, 世界 ", "😀!"),
    *a_block(2, "", '{"amount": 100', '0, "to": "東京"}', kind="tool_use"),
    *[*a_block(3, '{"pattern"', ': "*"}', kind="tool_use"), stopping("tool_use")],
]
_RICH = b"".join(map(utf8_frame, _EVENTS))
_BLOCKS: list[Obj] = [a_thought("Où? ", "5e" * 4), block_text("Grüße, 世界 😀!")]
_BLOCKS += [a_call(2, {"amount": 1000, "to": "東京"}), a_call(3, {"pattern": "*"})]
# Thinking with signature, text, two tool calls and multi-byte text: the stream, the
# message it makes, and where it is decided: there the stop reason's event is complete.
RICH: Any = types.SimpleNamespace(data=_RICH + utf8_frame(STOP), content=_BLOCKS)
RICH.decided = len(_RICH.rstrip())


# ===== Harness: the process ===========================================================


def write_config(path: Path, config: Obj | str) -> None:
    """Put a configuration in place in one step, readable by its owner only."""
    fresh = path.with_name("fresh.json")
    text = config if isinstance(config, str) else json.dumps(config)
    with open(os.open(str(fresh), os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))
    os.replace(str(fresh), str(path))


def environment(
    home: str, base_url: str | None = None, config: Any = None, env: Env | None = None
) -> dict[str, str]:
    """A minimal environment; None in `env` removes a variable."""
    path = Path(home) / "config.json"
    write_config(path, {} if config is None else config)
    result: Env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": home}
    result.update(MINIMAX_API_KEY=KEY, MINIMAX_BASE_URL=base_url)
    result.update({"PLEXUM_MINIMAX_CONFIG": str(path), **(env or {})})
    return {name: value for name, value in result.items() if value is not None}


def ask(words: str = "hi", **fields: Any) -> Obj:
    return dict({"messages": [{"role": "user", "content": words}]}, **fields)


class Answer:
    """The lines of one turn."""

    def __init__(self, lines: list[Obj]) -> None:
        self.lines = lines
        self.end = lines[-1]
        self.warnings = [line["code"] for line in self.of("warning")]

    def __repr__(self) -> str:
        return "\n".join(json.dumps(line) for line in self.lines)[-4000:]

    def of(self, *kinds: str) -> list[Obj]:
        return [line for line in self.lines if line["type"] in kinds]

    @property
    def content(self) -> list[Obj]:
        assert self.end["type"] == "turn_end", self
        return list((self.end["message"] or {"content": []})["content"])

    @property
    def text(self) -> str:
        return "".join(b.get("text", "") for b in self.content if is_text(b))

    @property
    def error(self) -> Obj:
        assert self.end["type"] == "error", self
        return dict(self.end["error"])

    @property
    def code(self) -> str:
        return str(self.error["code"])

    def says(self, *phrases: str) -> None:
        """Each phrase is in the error's message or hint, in any case."""
        told = "{message}\n{hint}".format(**self.error)
        for phrase in phrases:
            assert re.search(phrase, told, re.IGNORECASE), (phrase, told)


class Plugin(Managed["Plugin"]):
    """The real process, its three pipes, and every line it has written."""

    def __init__(
        self, url: str | None = None, config: Any = None, env: Any = None, **how: Any
    ) -> None:
        """How: `cwd`, `program`, not `reading` at first, whether to `check_key`."""
        self.home = tempfile.TemporaryDirectory()
        self.config_path = Path(self.home.name) / "config.json"
        self.check_key, reading = how.pop("check_key", True), how.pop("reading", True)
        command = [sys.executable, *how.pop("program", [SOURCE])]
        self.output = bytearray()
        self.errors = b""
        self.lines: list[Obj] = []
        self._turns: dict[str, list[Obj]] = defaultdict(list)
        self._changed = threading.Condition()
        self._names = itertools.count(1)
        options: Any = dict.fromkeys(["stdin", "stdout", "stderr"], subprocess.PIPE)
        options.update({"bufsize": 0, "cwd": self.home.name, **how})
        options["env"] = environment(self.home.name, url, config, env)
        self.process: Any = subprocess.Popen(command, **options)
        assert self.process.stdin and self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        os.set_blocking(self.stdin.fileno(), False)
        self._threads: list[threading.Thread] = []
        self._start(self._read_errors)
        if reading:
            self.start_reading()

    def start_reading(self) -> None:
        self._start(self._read_lines)

    def _start(self, target: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=target, daemon=True))
        self._threads[-1].start()

    def _read_errors(self) -> None:
        self.errors = self.process.stderr.read()

    def _read_lines(self) -> None:
        rest = b""
        for piece in iter(lambda: self.stdout.read(262144), b""):
            self.output += piece
            *whole, rest = (rest + piece).split(b"\n")
            with self._changed:
                for raw in whole:
                    self._note(raw)
                self._changed.notify_all()

    def _note(self, raw: bytes) -> None:
        try:
            line = json.loads(raw)
            ident, kind = line.get("id"), line["type"]
        except (ValueError, LookupError, AttributeError):
            return  # check_grammar will say it
        self.lines.append(line)
        if ident is not None and kind not in ("pong", "manifest"):
            self._turns[dump(ident)].append(line)

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
        self.send({"id": ident, **turn})
        return ident

    def turn(self, turn: Obj) -> Answer:
        return self.answer(self.submit(turn))

    def cancel(self, ident: object) -> None:
        self.send({"type": "cancel", "id": ident})

    def stop(self, ident: object) -> Answer:
        """Cancel a turn, and give its answer, which says so."""
        self.cancel(ident)
        check_cancelled(self.answer(ident))
        return self.answer(ident)

    def wait_for(self, test: Callable[[], bool], what: str = "a line") -> None:
        with self._changed:
            if not self._changed.wait_for(test, DEADLINE):
                tail = "\n".join(dump(line)[:300] for line in self.lines[-12:])
                raise AssertionError(f"{what} never came; last lines:\n{tail}")

    def answer(self, ident: object) -> Answer:
        """All lines of a turn, once it has ended (ids are used once here)."""
        lines = self._turns[dump(ident)]
        end = f"the end of {ident!r}"
        self.wait_for(lambda: any(li["type"] in TERMINAL for li in lines[-1:]), end)
        return Answer(list(lines))

    def wait_line(self, kind: str, ident: object = None, count: int = 1) -> Obj:
        """The `count`-th line of a type (and, unless None, of an id)."""
        lines = self.lines if ident is None else self._turns[dump(ident)]

        def found() -> list[Obj]:
            return [line for line in lines if line["type"] == kind]

        self.wait_for(lambda: len(found()) >= count, f"{kind} of {ident!r}")
        return found()[count - 1]

    def loose(self) -> list[Obj]:
        return [li for li in self.lines if li["type"] == "error" and "id" not in li]

    def ping(self) -> None:
        """A round trip: everything sent before has been read."""
        ping = {"type": "ping", "id": f"ping-{next(self._names)}"}
        self.send(ping)
        self.wait_for(lambda: {**ping, "type": "pong"} in self.lines, "pong")

    def wait_exit(self) -> int:
        try:
            return int(self.process.wait(DEADLINE))
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
        check_grammar(bytes(self.output))
        if self.check_key:
            check_secret(bytes(self.output), self.errors)
        assert b"Traceback" not in self.errors, self.errors[-4000:].decode()

    def _release(self) -> None:
        self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join(DEADLINE)
        for pipe in (self.stdin, self.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                pipe.close()
        self.home.cleanup()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self.process.poll() is None:
            self.close()
        else:
            self._release()


def launch(*argv: str, stdin: bytes = b"", shell: Any = None, **session: Any) -> Any:
    """Run the program to its end; `shell` is a command for sh, its "$@" the program."""
    command = [sys.executable, *session.pop("program", [SOURCE]), *argv]
    if shell is not None:
        command = ["sh", "-c", shell, "sh", *command]
    with tempfile.TemporaryDirectory() as home:
        options: Any = {"input": stdin, "capture_output": True, "timeout": DEADLINE}
        options["cwd"] = session.pop("cwd", home)
        done = subprocess.run(command, env=environment(home, **session), **options)
    check_secret(done.stdout, done.stderr)
    return done


def run(stdin: bytes, base_url: str | None = None, *argv: str, **options: Any) -> Any:
    """One whole session: exit code, lines, stderr."""
    done = launch(*argv, stdin=stdin, base_url=base_url, **options)
    return done.returncode, check_grammar(done.stdout), done.stderr


class Bench(NamedTuple):
    """A plugin and its upstream, shared by the tests, which configure it by its file."""

    emulator: Emulator
    plugin: Plugin

    def configure(self, config: Obj | str) -> None:
        """Put a file in place: one that serves turns but for `config`, or that text."""
        good: Obj = {"api_key": KEY, "base_url": self.emulator.base_url}
        good.update(max_retries=0, retry_base_delay=0.01, max_concurrent_turns=64)
        text = config if isinstance(config, str) else {**good, **config}
        write_config(self.plugin.config_path, text)

    def ask(self, turn: Obj, *script: Step) -> Answer:
        """One turn, answered by the given script (or a good stream)."""
        if script:
            self.emulator.queue.append(script)
        return self.plugin.turn(turn)

    def stream(self, *pieces: Step, **options: Any) -> Answer:
        return self.ask(ask(), *respond(*pieces, **options))

    def afresh(self) -> None:
        """Make the next turn connect anew: an idle connection's death is no fault."""
        before = -1
        while self.emulator.connections != before + 1:  # it found an idle one
            before = self.emulator.connections
            assert self.stream(OK, framing="close").text == "ok"
        self.emulator.reset()

    def upstream(self, turn: Obj) -> tuple[Obj, Answer]:
        """What the turn became upstream, and its lines; the answer names its model."""
        model = provider.canonical_model(turn.get("model") or "MiniMax-M3")
        seen = len(self.emulator.requests)
        answer = self.ask(turn, *respond(words("ok", model)))
        assert answer.end["type"] == "turn_end", answer
        assert len(self.emulator.requests) == seen + 1
        return self.emulator.requests[-1].json, answer


@pytest.fixture(scope="module")
def long_bench() -> Iterator[Bench]:
    # Dates are of GMT, wherever the process is.
    env: Env = {"MINIMAX_API_KEY": None, "TZ": "Asia/Shanghai"}
    config = {"max_concurrent_turns": 64}
    with Emulator() as emulator, Plugin(None, config, env) as plugin:
        yield Bench(emulator, plugin)


@pytest.fixture
def bench(long_bench: Bench) -> Bench:
    """No retries, unless it is configured; one process for the whole module."""
    long_bench.emulator.reset()
    long_bench.configure({})
    return long_bench


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as made:
        yield made


# ===== The checker itself: a grammar that accepts everything would prove nothing ======


def lines_of(*events: Obj) -> bytes:
    lines = [{"type": "", "id": "a", **event} for event in events]
    texts = [json.dumps(line, separators=(",", ":")) + "\n" for line in lines]
    return "".join(texts).encode()


def turn_end(content: list[Obj] | None, reason: str = "end_turn") -> Obj:
    message = None if content is None else {"role": "assistant", "content": content}
    line: Obj = {"type": "turn_end", "stop_reason": reason, "message": message}
    line.update(model="m", message_id="1", usage={}, request_id=None, timing=NO_TIME)
    return line


NO_TIME: Obj = {"first_event_ms": None, "total_ms": 1, "attempts": 1}
START: Obj = {"type": "turn_start", "model": "m", "message_id": "1"}
TEXT: Obj = {"type": "text", "text": ""}
CALL: Obj = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
BEGIN: Obj = {"type": "block_start", "index": 0, "block": TEXT}
BEGIN_CALL: Obj = {"type": "block_start", "index": 0, "block": CALL}
SAY: Obj = {"type": "text_delta", "index": 0, "text": "x"}
END: Obj = {"type": "block_end", "index": 0, "block": dict(TEXT, text="x")}
GOOD = (START, BEGIN, SAY, END, turn_end([END["block"]]))
BLANK: Obj = {"type": "block_end", "index": 0, "block": TEXT}
HALF_CALL = {k: v for k, v in CALL.items() if k != "input"}
END_HALF = {**BLANK, "block": HALF_CALL, "incomplete": True, "input_json": ""}
NO_TEXT: Obj = {"type": "warning", "code": "no_text", "text": "x"}
NO_CALL: Obj = {**NO_TEXT, "code": "no_tool_call"}
PROBLEM = {"code": "config", "message": "m", "hint": "h", "retryable": False}
FAILURE: Obj = {"type": "error", "error": PROBLEM, "model": "m", "partial": None}
FAILURE.update(usage={}, timing=NO_TIME)
NAMELESS = [{**line, "block": {**CALL, "name": ""}} for line in (BEGIN, BLANK)]
GRAMMATICAL: dict[str, Sequence[Obj]] = {
    "good": GOOD,
    "cancelled": (turn_end(None, "cancelled"),),
    "nothing": (START, NO_TEXT, turn_end(None)),
    "blank": (START, BEGIN, BLANK, NO_TEXT, turn_end([TEXT])),
    "a call": (START, BEGIN_CALL, {**BLANK, "block": CALL}, turn_end([CALL])),
    "refusal": (START, turn_end(None, "refusal")),
    "no call": (*GOOD[:-1], NO_CALL, turn_end([END["block"]], "tool_use")),
    "failure": (FAILURE,),
}
UNGRAMMATICAL: dict[str, Sequence[Obj]] = {
    **{f"without line {n}": GOOD[:n] + GOOD[n + 1 :] for n in range(len(GOOD))},
    **{f"line {n} twice": GOOD[: n + 1] + GOOD[n:] for n in range(len(GOOD))},
    "other delta": (START, BEGIN, {**SAY, "type": "thinking_delta"}, *GOOD[2:]),
    "half of a surrogate pair": (START, BEGIN, {**SAY, "text": "\ud83d"}, *GOOD[2:]),
    "index does not start at 0": (START, {**BEGIN, "index": 1}),
    "message misses a block": (START, BEGIN, SAY, END, NO_TEXT, turn_end(None)),
    "message is not null": (START, NO_TEXT, turn_end([])),
    "success without turn_start": (NO_TEXT, turn_end(None)),
    "unknown key": ({**START, "extra": 1}, *GOOD[1:]),
    "unknown type": ({"type": "surprise"}, *GOOD),
    "unknown warning": ({**NO_TEXT, "code": "surprise"}, *GOOD),
    "escape in a warning": ({**NO_TEXT, "text": "\x1b[2J"}, *GOOD),
    "escape in an error": ({**FAILURE, "error": {**PROBLEM, "hint": "\x1b"}},),
    "broken call": (START, BEGIN_CALL, END_HALF, turn_end(None, "tool_use")),
    "half a call in the message": (START, BEGIN_CALL, END_HALF, turn_end([HALF_CALL])),
    "tool_use of nothing": (START, NO_CALL, turn_end(None, "tool_use")),
    "tool_use without a call": (*GOOD[:-1], turn_end([END["block"]], "tool_use")),
    "nothing, and no warning": (START, turn_end(None)),
    "blank, and no warning": (START, BEGIN, BLANK, turn_end([TEXT])),
    "no name": (START, *NAMELESS, turn_end([NAMELESS[1]["block"]], "tool_use")),
}
# No LF, not compact, not ASCII, no object or no JSON at all.
NO_LINES = [
    *('{"type":"pong"}', '{"type": "pong"}\n', '{"type":"pong","id":NaN}\n', "[]\n"),
    *('{"type":"pong","id":1e999}\n', '{"type":"pong","id":"é"}\n', "x\n", "\n"),
]


def test_grammar_takes_what_is_right_and_nothing_else() -> None:
    for lines in GRAMMATICAL.values():
        assert len(check_grammar(lines_of(*lines))) == len(lines)
    wrong = {name: lines_of(*lines) for name, lines in UNGRAMMATICAL.items()}
    wrong.update((line, line.encode()) for line in NO_LINES)
    for name, raw in wrong.items():
        with pytest.raises((AssertionError, LookupError, ValueError)):
            check_grammar(raw)
            pytest.fail(f"{name} is taken")


# ===== Work, counted instead of timed =================================================


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
        costs.append(executed_lines(functools.partial(job, n)) + Compared.times)
    assert costs[1] < 6 * costs[0], costs


def test_work_is_measured() -> None:
    check_linear(lambda n: [str(i) for i in range(n)])
    many = [Compared(i) for i in range(1600)]
    with pytest.raises(AssertionError):
        check_linear(lambda n: [Compared(i) in many[:n] for i in range(n)])


def a_loop(read: Callable[[], bytes], run: Any = None) -> Any:
    limits = {**provider.default_values(), "max_concurrent_turns": 1}
    limits["max_queued_turns"] = 100000
    ignore: Any = lambda *_: None
    return provider.PluginLoop(bool, read, ignore, run, limits)


def test_lines_queues_and_comparisons_are_linear_work() -> None:
    def split(n: int) -> None:
        [line, _] = a_loop(iter([*[b"x"] * n, b"\n", b""]).__next__)._split()
        assert line == b"x" * n

    def queue(n: int) -> None:
        go = threading.Event()
        loop = a_loop(bytes, lambda *_: go.wait(DEADLINE) and [])
        for number in range(n):
            loop._on_line(1, b'{"id":%d,"messages":[]}' % number)
            loop._on_line(1, b'{"messages":[]}')
        for number in range(n):
            loop._on_line(1, b'{"id":%d,"type":"cancel"}' % number)
            loop._on_line(1, b'{"id":"turn-%d","type":"cancel"}' % number)
        go.set()

    def compare(n: int) -> None:
        deep: Any = "x"
        for _ in range(n // 4):
            deep = [deep, {"a": 1}]
        assert provider.difference(deep, copy.deepcopy(deep)) == ""

    for job in (split, queue, compare):
        check_linear(job)


def test_turns_can_report_while_stop_cancels_others(monkeypatch: Patch) -> None:
    loop, locked = a_loop(bytes, lambda *_: []), []
    loop._on_line(1, b'{"id":1,"messages":[]}')
    cancel: Any = lambda _: locked.append(loop._state._is_owned())  # by this thread
    monkeypatch.setattr(provider.Scope, "cancel", cancel)
    loop.stop()
    assert locked == [False]


# What `plugin.run_plugin` costs, in lines and calls of all threads, on stderr.
COUNTED = """
import http.cookiejar, itertools, os, requests, threading
events = itertools.count()
def trace(frame, event, argument):
    next(events)
    return trace
threading.settrace(trace)
threading.setprofile(trace)
code = plugin.run_plugin({})
os.write(2, b"%d" % next(events))
os._exit(code)
"""


def work_of_a_turn(emulator: Emulator, reads: int, together: int) -> int:
    """Lines and calls in all threads for a turn of so many reads of so many deltas."""
    with Plugin(emulator.base_url, program=as_library(COUNTED)) as plugin:

        def until(mark: str) -> Step:  # so that it becomes a read of its own
            return lambda _: plugin.wait_for(lambda: mark in dump(plugin.lines[-1:]))

        pieces: list[Step] = [sse(started(), opened(0), text(0, "<>")), until("<>")]
        for number in range(reads):
            many = [text(0, f" word {i}") for i in range(1, together)]
            pieces += [sse(*many, text(0, f"<{number}>")), until(f"<{number}>")]
        emulator.queue.append(respond(*pieces, sse(*TAIL)))
        assert plugin.turn(ask()).text.endswith(f"<{reads - 1}>")
    return int(plugin.errors)


def test_work_for_a_delta_is_the_same_in_a_longer_turn(emulator: Emulator) -> None:
    for reads, together in ((50, 1), (20, 20)):
        costs = [work_of_a_turn(emulator, n * reads, together) for n in (1, 2, 4)]
        assert 0 < costs[2] - costs[1] < 1.05 * 2 * (costs[1] - costs[0]), costs


# ===== Tables =========================================================================


def manifest() -> Obj:
    done = launch("--manifest")
    assert done.returncode == 0
    return dict(json.loads(done.stdout))


M3_ROW = {"context_window": 10**6, "max_output_tokens": 524288, "retired": None}
MODEL_FACTS: dict[str, Obj] = {
    "MiniMax-M3": {**M3_ROW, "input": ["text", "image", "video"]},
    "MiniMax-M2.7": {"retired": "2026-11-18", "input": ["text"]},
    "MiniMax-M2": {"max_output_tokens": 128000, "context_window": 204800},
}
# The deepest inputs that are accepted, as JSON, and one that is too deep.
DEEPEST, TOO_DEEP = ['{"a": ' + "[" * n + "0" + "]" * n + "}" for n in (479, 480)]
EXACT_NUMBERS = [2**53 + 1, -(10**400), 1.0, -0.0, 1e308, 5e-324, 0.1, -int("7" * 4300)]
NESTED = ["[" * 500 + "]" * 500, '{"a":[' * 250 + "]}" * 250, json.dumps("[{" * 1000)]
NO_JSON = [
    *["7" * 4301, "[" * 501 + "]" * 501, '{"a":[' * 250 + "{}" + "]}" * 250],
    *["[" * 10**6, '{"a": NaN}', "-Infinity", "1e999", "1 2", "", '"a\nb"', "\ufeff1"],
]
TEXTS = {
    "plain words, 世界 é": "plain words, 世界 é",
    " two\r\n\tlines\0 ": "two lines",
    "\x1b]52;c;aGk=\x07\x9b2J": "]52;c;aGk= 2J",
    "a\u202eb\u2066c\u200e\u200bd\U000e0041\ufeff": "a b c d",
    "\u2028\ud83d": "",
}
ESCAPED_KEY = "sk-cp-q\\/+=%&?Zq8Rw3/Lk7+Vt1Xb5Nc9"  # such that each form of it differs
KEY_FORMS: list[Callable[[str], str]] = [
    *(str, json.dumps, lambda key: urllib.parse.quote(key, safe="")),
    *(
        lambda key, around=around: base64.b64encode((around % key).encode()).decode()
        for around in ("%s", "user:%s:", "a:%s")
    ),
]


def test_manifest_describes_models_configuration_and_plugin() -> None:
    described = manifest()
    assert set(described) == MANIFEST_FIELDS
    fixed = {"name": "plexum-minimax-provider", "kind": "provider", "protocol": 1}
    fixed.update(executable="plexum-minimax-provider-plugin", activation="lazy")
    assert {**described, **fixed, "version": provider.__version__} == described
    models = {model["id"]: model for model in described["models"]}
    assert described["provider"]["models"] == list(models)
    for name, facts in MODEL_FACTS.items():
        assert {**models[name], **facts} == models[name]
    for model in models.values():
        assert set(model["prices"]) == {"input", "output", "cache_read", "cache_write"}
        assert {"thinking", "effort", "retired"} <= set(model)
    assert models["MiniMax-M3"]["prices"]["output"] == 1.2
    assert models["MiniMax-M2.7-highspeed"]["prices"]["input"] == 0.6
    rows = {row["name"]: row for row in described["config"]}
    # A test of the README pins the settings and their defaults.
    defaults = {name: row["default"] for name, row in rows.items()}
    assert defaults == provider.default_values()
    for row in rows.values():
        assert set(row) == {"name", "type", "default", "help"} and row["help"]
    pages = [launch("help", "settings"), launch("--help")]
    printed = b"".join(page.stdout for page in pages).decode()
    assert [name for name in rows if name not in printed] == []


def test_load_json_takes_what_every_python_can_write() -> None:
    for text in [json.dumps(EXACT_NUMBERS), *NESTED]:
        value = provider.load_json(f" \r\n\t{text} \n")
        assert same(value, json.loads(text)) and provider.dump_json(value)
    for text in NO_JSON:
        with pytest.raises(ValueError) as caught:
            provider.load_json(text)
        assert len(str(caught.value)) < 200
    for nest in ("[[{}],0]", '{"a":[[]]}', '"[{"', "[" * 9 + "]" * 9):
        check_linear(lambda n: provider.load_json(f"[{f'{nest},' * n}0]"))


def test_unknown_text_becomes_one_printable_line() -> None:
    for text, expected in TEXTS.items():
        assert provider.printable(text) == expected
    costs = []
    for n in (10**4, 10**6):
        assert len(provider.printable("\nx" * n, 40)) < 50
        costs.append(executed_lines(lambda: provider.printable("\nx" * n, 40)))
    assert costs[0] == costs[1]


@pytest.mark.parametrize("form", KEY_FORMS)
@pytest.mark.parametrize("key", [KEY, ESCAPED_KEY, "eyJ" + "Zq8Rw3" * 30])
def test_key_is_masked_in_every_form(key: str, form: Callable[[str], str]) -> None:
    redactor = provider.Redactor()
    redactor.add(key)
    echo = form(key)
    secret = echo[12:-12] if "/" not in form("/") else form(key[6:])
    for lead in ("", "x", "xy", "xyz"):
        masked = redactor.text(f"{lead}{echo}{lead}")
        pieces = {secret[i : i + 8] for i in range(len(secret) - 7)}
        assert not [piece for piece in pieces if piece in masked], masked
    part = key[10:18]
    assert redactor.value({part: [part, 1]}) == {"********": ["********", 1]}
    assert redactor.text("words that have no key") == "words that have no key"


def test_work_of_masking_is_that_of_the_text_whatever_the_keys() -> None:
    few, many = provider.Redactor(), provider.Redactor()
    for number in range(12):
        letters = random.Random(number).choices(string.ascii_letters, k=1500)
        for redactor in [few, many] if number == 0 else [many]:
            redactor.add("eyJ" + "".join(letters))
    text = "The quick brown fox. " * 500
    costs = [executed_lines(functools.partial(r.text, text)) for r in (few, many)]
    assert costs[1] < 1.1 * costs[0], costs
    few.add(KEY)
    check_linear(lambda n: few.text(KEY[:13] * n))
    check_linear(lambda n: few.text(KEY * n))


# ===== Server-sent events =============================================================

NO_ENDS = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg"
# Data is written as it comes; another event name stands before it, in brackets; text
# that stands in no field is marked with an exclamation mark.
SSE_CASES: dict[str, tuple[bytes, list[str]]] = {
    "CR": (b"data: a\r\rdata: b\r\r", ["a", "b"]),
    "CRLF": (b"data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]),
    "mixed": (b"data: a\r\n\ndata: b\n\rdata: c\r\r\n", ["a", "b", "c"]),
    "CRLF is one line end": (b"data: a\r\ndata: b\r\n\r\n", ["a\nb"]),
    "name after data": (b"data: a\nevent: x\n\n", ["[x]a"]),
    "last name wins": (b"event: x\nevent: y\ndata: a\n\n", ["[y]a"]),
    "name is forgotten": (b"event: x\ndata: a\n\ndata: b\n\n", ["[x]a", "b"]),
    "name without data": (b"event: x\n\ndata: b\n\n", ["b"]),
    "no space after colon": (b"data:a\n\n", ["a"]),
    "one space is dropped": (b"data:  a \n\n", [" a "]),
    "tab is kept": (b"data:\ta\n\n", ["\ta"]),
    "colon in value": (b"data: a:b\n\n", ["a:b"]),
    "lines are joined": (b"data: a\ndata:\ndata: b\n\n", ["a\n\nb"]),
    "comment": (b": hello\ndata: a\n:\n: data: no\n\n", ["a"]),
    "unknown fields": (b"id: 1\nretry: 5\nfoo: x\ndata: a\nbar\n\n", ["a"]),
    "field names in another case": (b"Data: a\nDATA: b\ndata: c\n\n", ["c"]),
    "space before the name": (b" data: a\ndata: c\n\n", ["c"]),
    "space before the colon": (b"data : a\ndata: c\n\n", ["c"]),
    "BOM": (b"\xef\xbb\xbfdata: a\n\n", ["a"]),
    "BOM twice": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\ndata: b\n\n", ["b"]),
    "BOM later": (b"data: \xef\xbb\xbfa\n\n\xef\xbb\xbfdata: b\n\n", ["\ufeffa"]),
    "leading blank lines": (b"\n\r\n\rdata: a\n\n", ["a"]),
    "multi-byte": ("data: é世😀\n\n".encode(), ["é世😀"]),
    "bad bytes": (b"data: a\xff\xc3(\n\n", ["a\ufffd\ufffd("]),
    "cut character": (b"data: \xf0\x9f\x98\n\n", ["\ufffd"]),
    "no line ends": (f"data: {NO_ENDS}\n\n".encode(), [NO_ENDS]),
    "NUL": (b"data: a\0b\n\n", ["a\0b"]),
    "no last line end": (b"data: a\n\nevent: x\ndata: b", ["a", "[x]b"]),
    "nothing": (b"", []),
    "bare JSON": (b'{"a": 1}\n\ndata: b\n\n{"c": 2}', ['!{"a": 1}', "b", '!{"c": 2}']),
    "bare JSON on many lines": (b'{\n "a": 1\n}\n', ['!{\n "a": 1\n}']),
    "bare JSON, not indented": (b'{\n"a": [\n{\n}\n]\n}', ['!{\n"a": [\n{\n}\n]\n}']),
    "bare JSON after an event line": (b'event: x\n{"a": 1}\n\n', ['!{"a": 1}']),
}
BITS = b"data|event|:| |\r|\n|a|\xc3|\xa9|\xef\xbb\xbf".split(b"|")
BITS += [b"event: a\ndata: b\n\n", b"data:c\n\n", b'{"d": 1}\n']  # regular ones
# Bits that repeat until the end of the stream.
REPEATED = b"data:|data: x\n|data: x\r|: comment\n|event: x\n|{\n|\n\r\n\r|data: x\n\n"
# What is fine, and what is too much after it.
TOO_MUCH: list[tuple[list[bytes], bytes]] = [
    *[([], b"data: " + b"x" * 100), ([b"data: abcd"], b"e" * 100)],
    *[([b"data: abcd\n"] * 2, b"data: a\n" * 20), ([b"data: abcd\n\n"], b": 9" * 40)],
    ([b"data: abcdefghi\n\n"] * 9 + [b"data: abcd"], b"e" * 100),
    ([b"data: abcd\n\n"], b"data: " + b"x" * 100 + b"\n\n"),
]


def decode(pieces: Iterable[bytes]) -> list[str]:
    decoder = provider.SSEDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    events += decoder.close()
    names = [f"[{e.event}]" if e.event not in ("", "message") else "" for e in events]
    return ["!" * e.bare + name + e.data for e, name in zip(events, names)]


@pytest.mark.parametrize("name", SSE_CASES)
def test_sse_decoder_gives(name: str) -> None:
    data, expected = SSE_CASES[name]
    for how in ALL_CUTS:
        assert decode(cut(data, *how)) == expected, how


@settings(PROPERTY, max_examples=200)
@given(parts=st.lists(st.sampled_from(BITS), max_size=30), seed=st.integers(0, 9))
def test_sse_events_do_not_depend_on_the_cuts(parts: list[bytes], seed: int) -> None:
    data = b"".join(parts)
    whole = decode([data])
    assert decode(cut(data, "bytes")) == whole
    assert decode(cut(data, "random", seed)) == whole


@pytest.mark.parametrize("bit", [*REPEATED.split(b"|"), b'{"a": 1}\n'])
def test_decoder_is_linear_in_lines_and_pieces(bit: bytes) -> None:
    """Quadratic work would take hours here, not seconds."""
    for times, size in ((20000, 1), (150000, 65536)):
        data = bit * times + b"\n\ndata: x\n\n"
        whole = decode([data])
        assert whole
        assert decode(data[i : i + size] for i in range(0, len(data), size)) == whole


@pytest.mark.parametrize("fine, more", TOO_MUCH)
def test_event_over_the_limit_is_refused(fine: list[bytes], more: bytes) -> None:
    for pieces in ([more], cut(more, "bytes")):
        decoder = provider.SSEDecoder(max_event_bytes=40)
        for piece in fine:
            decoder.feed(piece)
        with pytest.raises(ValueError, match="over 40 bytes"):
            for piece in [*pieces, b"\n\n"]:
                decoder.feed(piece)
        with pytest.raises(ValueError, match="over 40 bytes"):  # and so it remains
            decoder.feed(b"\n\n")


# ===== The request ====================================================================


def as_blocks(content: Any) -> list[Obj]:
    return [block_text(content)] if isinstance(content, str) else list(content)


def call(ident: str, value: object = None) -> Obj:
    value = {"N": 1.0} if value is None else value
    return {"type": "tool_use", "id": ident, "name": "f", "input": value}


def result(ident: str, content: object = "done") -> Obj:
    return {"type": "tool_result", "tool_use_id": ident, "content": content}


def a_message(role: str, *content: Obj) -> Obj:
    return {"role": role, "content": list(content)}


def history(line: str) -> list[Obj]:
    """Messages in short, for example "U hi | A a c1 | U r1".

    U, A, S and D are the roles; c1 is a call, r1 a result of it with the content R1
    (r1=x: with the content x), x1 a made-up result, #a a reminder, a name that of a
    block of NAMED, all else a text.
    """
    roles = {"U": "user", "A": "assistant", "S": "system", "D": "developer"}
    kinds: dict[str, Callable[[str, str], Obj]] = {
        "c": lambda ident, _: call(ident),
        "r": lambda ident, words: result(ident, words or "R" + ident),
        "x": lambda ident, _: {**result(ident, "*"), "is_error": True},
    }
    messages = []
    for role, *tokens in map(str.split, line.split("|")):
        blocks = []
        for token in tokens:
            found = re.fullmatch(r"([crx])(\d+)=?(\w*)", token)
            token = re.sub(r"#(\w+)", r"<system>\1</system>", token)
            block = kinds[found[1]](found[2], found[3]) if found else block_text(token)
            blocks.append(NAMED.get(token, block))
        messages.append(a_message(roles[role], *blocks))
    return messages


def said(content: object, role: str = "user") -> Obj:
    return {"role": role, "content": content}


def both(words: str) -> list[Obj]:
    """Contents that are strings, of either role, and a last message."""
    return [said(words), said(words, "assistant"), *USER]


USER = [{"role": "user", "content": "hi"}]
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(20)
PNG64 = base64.b64encode(PNG).decode()
IMAGES = {
    "image/png": PNG,
    "image/jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01" + bytes(20),
    "image/gif": b"GIF89a" + bytes(20),
    "image/webp": b"RIFF\x1a\x00\x00\x00WEBPVP8 " + bytes(20),
}
SCHEMA = {"type": "object", "properties": {"Max_Tokens": {"type": "string"}}}
F: Obj = {"name": "f", "input_schema": {"type": "object", "properties": {}}}
G = {**F, "name": "g"}
DATED: Obj = {"type": "web_search_20250305", "name": "web_search", "max_uses": 1}
MARK = {"type": "ephemeral"}
assistant = functools.partial(a_message, "assistant")
user = functools.partial(a_message, "user")
HALF, FIXED = "cut \ud83d", "cut \ufffd"
NULLS = dict.fromkeys(["cache_control", "is_error", "signature", "z"])
A, NULL_A = block_text("a"), {**block_text("a"), **NULLS}
PICTURE = {"type": "base64", "media_type": "image/png", "data": PNG64, "x": 1.0}
DEEP = call("1", {"a": None, "b": {"c": None}})
# Blocks of the histories below that are neither texts nor usual calls and results.
NAMED: dict[str, Obj] = {
    "image": {"type": "image", "source": PICTURE, "cache_control": MARK},
    "new": {"type": "new", "a": [1.0, None], "b": None, "is_error": None},
    **{"redacted": {"type": "redacted_thinking"}, "text": {**A, "Text": "MaxTokens"}},
    **{"t": a_thought("t", "s"), "t0": a_thought(""), "blank": block_text(" \n")},
    **{"deep": DEEP, "deep-null": {**DEEP, **NULLS}, "null": NULL_A},
    "t-null": {"type": "thinking", "thinking": "t", **NULLS, "signature": "s"},
    **{"r1b": result("1", [A]), "r1-null": {**result("1", [NULL_A]), **NULLS}},
    **{"r1-strings": result("1", ["a"]), "r1-block": result("1", A)},
    "c-deepest": call("1", json.loads(DEEPEST)),
    "new-deepest": new_kind(a=json.loads(DEEPEST)["a"][0]),
    "numbers": call("1", {"n": EXACT_NUMBERS, "": None, "\0": True}),
    **{"half": block_text(HALF), "fixed": block_text(FIXED)},
    **{"c-half": call("1", {HALF: [HALF]}), "c-fixed": call("1", {FIXED: [FIXED]})},
    **{"c-string": call("1", '{"a": 1.0}'), "c-object": call("1", {"a": 1.0})},
    **{"c-null": {**call("1"), "input": None}, "c-empty": call("1", {})},
    "image0": {"type": "image"},
}
NAMED["r1-image"] = result("1", [NAMED["image"]])
# Models as they are asked for, and as they are sent; others are sent as they are.
MODEL_IDS = {"minimax-m3": "MiniMax-M3", "minimax/Abc": "Abc"}
MODEL_IDS["minimax/MINIMAX-M2.1-HighSpeed"] = "MiniMax-M2.1-highspeed"
SAME_IDS = "MiniMax-M2.1 abab-7.5 minimax/ MiniMaxAI/minimax-m3 minimax-m3[1m]"
# (model, max_tokens, what is sent)
TOKEN_LIMITS: list[tuple[str, int | None, int]] = [
    *[("MiniMax-M3", 7, 7), ("MiniMax-M3", 0, 4096), ("MiniMax-M3", None, 4096)],
    *[("MiniMax-M3", 524288, 524288), ("MiniMax-M3", 524289, 524288)],
    *[("MiniMax-M2", 131072, 128000), ("x/MiniMax-M2.9", 10**30, 131072)],
    *[("other", 9999999, 9999999), ("m3/minimax-m3[1m]", 999999, 524288)],
]
MAX, M31_ID = {"max_tokens": 7}, "m3.1/minimax-m3.1[1m]"
M31_SENT: Obj = {"model": M31_ID, "output_config": {"effort": "medium"}}
M31_SENT["max_tokens"] = 524288
REMINDED = history("S kind | U a | A c1 | S be | U r1 b | A c2 | S brief | U r2 c")
REMINDERS = {"messages": history("U a | A c1 | U r1 #be b | A c2 | U r2 #brief c")}
REMINDERS["system"] = [block_text("first"), block_text("kind")]
# (fields, what they become upstream: None is absent, ... as given; warnings)
FIELD_CASES: list[tuple[Obj, Any, str]] = [
    ({}, {"model": "MiniMax-M3", "max_tokens": 4096, "stream": True}, ""),
    (dict.fromkeys(["model", "system", "tools", "effort", "top_p"]), {}, ""),
    ({"model": "MiniMax-M2.5"}, ..., "retired_model"),
    ({"model": "x/MiniMax-M2.5"}, ..., ""),
    *[({"messages": both("a")}, ..., ""), ({"messages": both(" ")}, {}, "")],
    ({"system": "be kind"}, ..., ""),
    ({"system": [dict(block_text("a"), cache_control=MARK)]}, ..., ""),
    ({"system": [NAMED["null"], NAMED["blank"]]}, {"system": [block_text("a")]}, ""),
    *[({"MaxTokens": 7}, MAX, ""), ({"maxTokens": 7, "max_tokens": 7}, MAX, "")],
    ({"TopP": 0.5, "Tools": [F]}, {"top_p": 0.5, "tools": [F]}, ""),
    ({"temperature": 1.0, "top_p": 1, "metadata": {"maxTokens": 1.0}}, ..., ""),
    ({"service_tier": "auto"}, ..., ""),
    ({"stream": False}, {"stream": True}, ""),
    ({"top_k": 5}, ..., "ignored_field"),
    ({"stop_sequences": ["a"]}, ..., "ignored_field"),
    ({"base_url": "http://x", "api_key": KEY, KEY: 1}, {}, "unknown_field"),
    ({"model": M31_ID, "max_tokens": 999999}, M31_SENT, "max_tokens_lowered"),
    ({"extra_body": {"max_tokens": 3}, "max_tokens": 9}, {"max_tokens": 3}, ""),
    ({"extra_body": {"new": {"Deep": [1, 1.0]}}}, {"new": {"Deep": [1, 1.0]}}, ""),
    ({"thinking": True, "extra_body": {"thinking": 5}}, {"thinking": 5}, ""),
    # reminders stay where they are, so that caches know what is before them
    ({"system": "first", "messages": REMINDED}, REMINDERS, "system_role_moved " * 3),
    # half of a surrogate pair
    ({"system": HALF}, {"system": FIXED}, "invalid_unicode"),
    ({"messages": both(HALF)}, {"messages": both(FIXED)}, "invalid_unicode"),
    ({"metadata": {HALF: [HALF]}}, {"metadata": {FIXED: [FIXED]}}, "invalid_unicode"),
    ({"extra_body": {"x": {HALF: HALF}}}, {"x": {FIXED: FIXED}}, "invalid_unicode"),
    ({"tools": [{**F, "x": HALF}]}, {"tools": [{**F, "x": FIXED}]}, "invalid_unicode"),
]


def test_warning_names_what_it_is_about(bench: Bench) -> None:
    _, answer = bench.upstream(ask("hi", colour=1, flavour=2, model="MiniMax-M2.5"))
    first, second = sorted(answer.of("warning"), key=lambda line: -len(line["code"]))
    assert "colour" in first["text"] and "flavour" in first["text"]
    assert "MiniMax-M3" in second["text"]
    [warning] = bench.stream(words("ok", "MiniMax-M3.1-Flash")).of("warning")
    assert warning["code"] == "model_differs" and "M3.1-Flash" in warning["text"]
    for line, says in (
        ("0:thinking 0~a 0. =max_tokens !", "max_tokens"),
        ("0:text 0+a 0. =end_turn error", "boom"),
        ("0:text 0+a 0. 0#s ;", "signature_delta"),
    ):
        [warning] = bench.stream(stream(line)).of("warning")
        assert says in warning["text"]


def test_names_of_a_line_are_known_in_any_spelling(bench: Bench) -> None:
    message = {"Role": "user", "CONTENT": "hi"}
    bench.plugin.send({"Type": "turn", "ID": "spelt", "MESSAGES": [message]})
    assert bench.plugin.answer("spelt").text == "ok"
    for twice in ({"max_tokens": 5, "MaxTokens": 6}, {**ask(), "Messages": []}):
        answer = bench.plugin.turn({**ask(), **twice})  # the line itself is good
        assert answer.code == "invalid_request"
        answer.says(next(iter(twice)))


# --- tools, in the spellings of three APIs
WHOLE_F = {"name": "f", "description": "d", "input_schema": SCHEMA}
BARE_F = {"name": "f", "description": "d"}
FUNCTIONS = [{**BARE_F, name: SCHEMA} for name in ("input_schema", "inputSchema")]
FUNCTIONS += [{**BARE_F, "parameters": SCHEMA}]
MARKED = {"cache_control": MARK}
TYPED_LAST = {"name": "f", "input_schema": {"properties": {}, "type": "object"}}
# (the tool, what is sent: ... as given, None nothing, with `ignored_field`)
TOOL_CASES: list[tuple[Obj, Any]] = [
    ({**WHOLE_F, "x": {"a": None}}, ...),
    ({"name": "f", "x": {"MaxTokens": 1}, **F}, ...),
    *[({"type": kind, **F}, ...) for kind in ("custom", "mine_v2", "web_search")],
    *[(DATED, None), ({"type": "bash_20250124", "name": "bash"}, None)],
    *[({"name": "f"}, F), ({**F, "input_schema": {}}, F)],
    ({"name": "f", "input_schema": None, "parameters": None}, F),
    ({"name": "f", "parameters": {"properties": {}}}, TYPED_LAST),
    ({**WHOLE_F, "inputSchema": SCHEMA, "parameters": None}, WHOLE_F),
    *[({"type": kind, **WHOLE_F}, WHOLE_F) for kind in ("function", "", None)],
    *[(tool, WHOLE_F) for tool in FUNCTIONS],
    ({**BARE_F, "function": {"parameters": SCHEMA}}, WHOLE_F),
    *[({"type": "function", "function": tool}, WHOLE_F) for tool in FUNCTIONS],
    ({"function": {"name": "f"}, **MARKED}, {"name": "f", **MARKED, **F}),
    ({**WHOLE_F, "cache_control": None, "x": None}, WHOLE_F),
    ({**F, "description": None}, F),
    ({**WHOLE_F, "input_schema": {**SCHEMA, "required": None}}, WHOLE_F),
    ({**F, "input_schema": {**SCHEMA, "default": {"a": None}}}, ...),
]
for _asked in [*MODEL_IDS, *SAME_IDS.split()]:
    _sent = {"model": MODEL_IDS.get(_asked, _asked)}
    FIELD_CASES.append(({"model": _asked}, _sent, ""))
for _model, _wanted, _limit in TOKEN_LIMITS:
    _codes = "max_tokens_lowered" if (_wanted or 0) > _limit else ""
    _pair = {"model": _model, "max_tokens": _wanted}
    FIELD_CASES.append((_pair, {**_pair, "max_tokens": _limit}, _codes))
for _tool, _sent in TOOL_CASES:
    _tools = [] if _sent is None else [_tool if _sent is ... else _sent]
    _codes = "ignored_field" if _sent is None else ""
    FIELD_CASES.append(({"tools": [_tool, G]}, {"tools": [*_tools, G]}, _codes))
TOOL_F = {"type": "tool", "name": "f"}
WEB: Obj = {"type": "tool", "name": "web_search"}
# (tools, tool_choice, what is sent, how many warnings of `ignored_field`)
CHOICES: list[tuple[list[Obj], Any, Any, int]] = [
    *[([F], word, {"type": word}, 0) for word in ("auto", "any", "none")],
    *[([F], "required", {"type": "any"}, 0), ([F], TOOL_F, TOOL_F, 0)],
    ([F], {"type": "required", "name": None}, {"type": "any"}, 0),
    ([F], {"type": "function", "function": None, "name": "f"}, TOOL_F, 0),
    ([F], {"type": "auto", "x": 1.0}, {"type": "auto", "x": 1.0}, 0),
    ([F], {"type": "function", "function": {"name": "f"}}, TOOL_F, 0),
    *[([F], {**TOOL_F, "name": "h"}, None, 1), ([], "auto", None, 1)],
    *[([DATED], "any", None, 2), ([DATED], WEB, None, 2)],
    *[([DATED, F], WEB, None, 2), ([DATED, F], TOOL_F, TOOL_F, 1)],
]
for _tools, _choice, _sent, _count in CHOICES:
    _fields = {"tools": _tools, "tool_choice": _choice}
    _sends = {"tools": [t for t in _tools if t is not DATED], "tool_choice": _sent}
    _sends = {name: value for name, value in _sends.items() if value}
    FIELD_CASES.append((_fields, _sends, "ignored_field " * _count))


@pytest.mark.parametrize("fields, sent, codes", FIELD_CASES)
def test_field_goes_upstream(bench: Bench, fields: Obj, sent: Any, codes: str) -> None:
    body, answer = bench.upstream(ask("hi", **fields))
    check_secret(dump(answer.lines).encode())
    sent = {"messages": USER, **(fields if sent is ... else sent)}
    assert set(body) == {"model", "max_tokens", "stream", *sent}
    assert all(same(body[field], value) for field, value in sent.items()), body
    assert answer.warnings == codes.split(), answer


# --- thinking and effort: by the form of the id
FAMILIES = {
    "M2.x": """MiniMax-M2 MiniMax-M2.1 MiniMax-M2.5-highspeed minimax/minimax-m2.9
        MiniMaxAI/MiniMax-M2.7-Preview""",
    "M3": "MiniMax-M3 MiniMaxAI/MiniMax-M3 minimax-m3[1m] a/b/MINIMAX-M3-turbo",
    "M3.1": """MiniMax-M3.1-Flash MiniMax-M3.1-Flash-Preview minimax-m3.1-flash[1m]
        MiniMaxAI/MiniMax-M3.1-Flash MiniMax-M3.1""",
    "other": "somebody-else MiniMax-M4 minimax-m3/x my-MiniMax-M3.1-Flash MiniMax-Text",
}
ENABLED = {"type": "enabled", "budget_tokens": 1024}
ADAPTIVE, DISABLED = {"type": "adaptive"}, {"type": "disabled"}
# thinking that is asked for: what M3 and what other ids are sent
THINKING: list[tuple[object, Obj | None, Obj | None]] = [
    *[(None, None, None), ({}, None, None)],
    *[(True, ADAPTIVE, ADAPTIVE), (False, DISABLED, DISABLED)],
    *[(ADAPTIVE, ADAPTIVE, ADAPTIVE), (DISABLED, DISABLED, DISABLED)],
    (ENABLED, ADAPTIVE, ENABLED),
]
OTHER_ROLES: list[Any] = [{"role": "tool"}, {"role": 5}, {"role": None}, {"Role": "A"}]
ODD_CALLS = [assistant(call("1", odd)) for odd in ([1], 5, "x", "[1]", '{"a": 1')]
ODD_BLOCKS: list[Any] = ["x", None, {"text": "x"}]
ODD_BLOCKS += [{"type": kind} for kind in (5, "image", "tool_result")]
ODD_BLOCKS += [{"type": "text", "text": odd} for odd in (5, None)]
ODD_BLOCKS += [{"type": "image", "url": odd} for odd in (5, None)]
PARAMETERS = {"parameters": {"type": "object"}}
ODD_TOOLS: list[Any] = [{**WHOLE_F, **PARAMETERS}, {**F, "input_schema": "x"}]
ODD_TOOLS += [5, {"description": "d"}, {**F, "name": 5}, {**F, "name": None}]
ODD_TOOLS += [{"name": "f", "parameters": {"type": "array"}}]
ODD_TOOLS.append({**FUNCTIONS[1], "function": PARAMETERS})
EMPTY_SECOND = ["U a | A", "U a | A blank", "U a | U blank | S blank", "U a | A | S"]
EMPTY_THIRD = ["U a | S be | U blank", "U a | A b | U blank", "U a | U b | U"]
ODD_CONTENTS: list[Any] = [5, " ", None, {}, []]
ODD_SECOND = [said(5, "system"), said(" ", "assistant")]
# The path that the message names: values of its first field.
WRONG_VALUES: list[tuple[str, Any]] = [
    ("messages", ([], "hi", None, {}, history("S a"))),
    ("messages[0]", [[5]]),
    ("messages[0].role", ([{**USER[0], **other}] for other in OTHER_ROLES)),
    ("messages[0].content", [[said(odd)] for odd in ODD_CONTENTS]),
    ("messages[0].content", ([{"role": role}] for role in ("user", "assistant"))),
    ("messages[0].content", map(history, ["A", "A blank"])),
    ("messages[1].content", ([*USER, odd] for odd in ODD_SECOND)),
    ("messages[1].content", map(history, EMPTY_SECOND)),
    ("messages[2].content", map(history, EMPTY_THIRD)),
    ("messages[0].content[0]", ([said([odd])] for odd in ODD_BLOCKS)),
    ("messages[0].content[0]", [[said([{"type": "image"}], "system"), *USER]]),
    ("messages[1].content[0]", ([*USER, odd] for odd in ODD_CALLS)),
    ("max_tokens", (-1, "10", 1.5, True)),
    *[("model", [5]), ("system", (5, {})), ("system[0]", [["x"], [NAMED["image0"]]])],
    *[("tools", ({}, "f")), ("tools[0]", ([odd] for odd in ODD_TOOLS))],
    ("tools[1]", ([F, F], [F, {"function": {"name": "f"}}])),
    *[("tool_choice", ("perhaps", 5, KEY)), ("effort", ("ultra", 5, KEY))],
    ("thinking", (5, "on", [1], {"type": "perhaps"})),
    *[("extra_body", [5]), ("extra_body.messages", [{"messages": USER}])],
    ("extra_body.stream", [{"stream": False}]),
]
WRONG_ROWS = [(path, value) for path, row in WRONG_VALUES for value in row]


@pytest.mark.parametrize("family", FAMILIES)
def test_thinking_and_effort_are_those_of_the_family(bench: Bench, family: str) -> None:
    models = FAMILIES[family].split()
    for model, row in itertools.product(models, THINKING):
        asked, sent = row[0], {"M3": row[1], "other": row[2]}.get(family)
        body, answer = bench.upstream(ask("hi", model=model, thinking=asked))
        assert same(body.get("thinking"), sent), (model, body)
        if asked in (False, DISABLED) or family == "other" or not asked:
            warned = asked in (False, DISABLED) and sent is None
            assert ("thinking_mapped" in answer.warnings) is warned, answer
    efforts = [None, "", "low", "medium", "HIGH", "xhigh", "Max"]
    for model, effort in itertools.product(models, efforts):
        level = (effort or "").lower() or None
        expected = {"M3.1": level or "medium", "other": level}.get(family)
        body, answer = bench.upstream(ask("hi", model=model, effort=effort))
        assert body.get("output_config") == (expected and {"effort": expected}), body
        warned = bool(effort) and family in ("M2.x", "M3")
        assert ("effort_ignored" in answer.warnings) is warned, answer


@pytest.mark.parametrize("path, value", WRONG_ROWS)
def test_wrong_field_is_named_by_its_path(bench: Bench, path: str, value: Any) -> None:
    field = re.findall(r"\w+", path)[0]
    answer = bench.plugin.turn({"type": "turn", **ask(tools=[F]), field: value})
    check_secret(dump(answer.lines).encode())
    assert answer.code == "invalid_request"
    # The path is the first word; its last fields may be left out of the table.
    last = r"(?:\.(?:type|text|url|name|input|input_schema|tool_use_id))*"
    assert re.match(f"{re.escape(path)}{last} ", answer.error["message"]), answer
    assert len(answer.lines) == 1 and bench.emulator.requests == []


# --- what may be sent: runs of a role, as upstream reads them
def is_blank(block: Obj) -> bool:
    return block["type"] == "text" and not str(block["text"]).strip()


def runs(messages: list[Obj]) -> list[Obj]:
    """`messages`, those in a row of one role as one; made-up contents as asterisks."""
    joined: list[Obj] = []
    for message in messages:
        if not joined or joined[-1]["role"] != message["role"]:
            joined.append({"role": message["role"], "content": []})
        for block in as_blocks(message["content"]):
            made_up = {"content": "*"} if block.get("is_error") else {}
            joined[-1]["content"].append({**block, **made_up})
    return joined


def check_sendable(messages: list[Obj]) -> None:
    """The rules whose breach the upstream answers with a 400."""
    assert messages
    for message in messages:
        assert message["role"] in ("user", "assistant"), message
        assert as_blocks(message["content"]), message
        assert not any(map(is_blank, as_blocks(message["content"]))), message
    calls: list[str] = []
    for run in runs(messages):
        blocks = run["content"]
        results = [b for b in blocks if b["type"] == "tool_result"]
        assert blocks[: len(results)] == results, "results come first"
        assert sorted(b["tool_use_id"] for b in results) == sorted(calls), run
        for inner in [as_blocks(b["content"]) for b in results]:
            assert inner and not any(map(is_blank, inner)), run
        calls = [b["id"] for b in blocks if b["type"] == "tool_use"]
        assert len(calls) == len(set(calls)), run
        assert not calls or run["role"] == "assistant", run
    assert not calls, "calls without results at the end"


# --- images
def image_turn(block: Obj, model: str = "MiniMax-M3") -> Obj:
    messages = [user(block_text("look"), block), assistant(call("c"))]
    return {"model": model, "messages": [*messages, user(result("c", [block]))]}


def source(kind: str = "image/png", data: str = PNG64) -> Obj:
    return {"type": "base64", "media_type": kind, "data": data}


URL = {"type": "url", "url": "https://example.com/a.png"}
FILE = {"type": "file", "file_id": "x"}
ODD64 = base64.b64encode(b"\xff\xfb\xef of no known kind").decode()
WEB64 = ODD64.replace("+", "-").replace("/", "_")
SPLIT64 = "\r\n ".join(PNG64[i : i + 20] for i in range(0, len(PNG64), 20))
GIF64 = base64.b64encode(IMAGES["image/gif"]).decode()
DATA_URI = f"data:image/png;base64,{PNG64}"
ODD, GIF = source("image/x", ODD64), source("image/gif", GIF64)
# (the fields of the block, its source upstream)
IMAGE_CASES: list[tuple[Obj, Obj]] = [
    *[({"data_base64": data}, source()) for data in (PNG64, SPLIT64, DATA_URI)],
    *[({"source": source(data=data)}, source()) for data in (SPLIT64, DATA_URI)],
    *[({"source": given}, given) for given in (ODD, URL, FILE)],
    ({"source": {**URL, "x": None}}, URL),
    *[({"url": URL["url"]}, URL), ({"url": DATA_URI}, source())],
    ({"url": URL["url"], "source": None, "path": None, "data": None}, URL),
    ({"data": PNG64, "mimeType": "image/png"}, source()),
    *[({"url": f"\n {DATA_URI}"}, source()), ({"path": DATA_URI}, source())],
    ({"url": "", "path": "", "dataBase64": PNG64, "mime_type": ""}, source()),
    ({"data_base64": PNG64, "media_type": "image/jpeg"}, source()),
    ({"data": GIF64, "mimeType": "image/jpg"}, GIF),
    ({"data_base64": ODD64, "media_type": "image/x"}, ODD),
    ({"data": WEB64, "mimeType": "image/x"}, ODD),
    ({"url": f"DATA:image/png;charset=x;BASE64,{GIF64}"}, GIF),
    ({"source": source("image/webp")}, source()),
    ({"source": {"type": "url", "url": DATA_URI}}, source()),
]
BAD_DATA: list[Obj] = [
    {"data_base64": "", "media_type": "image/png"},
    *[{"data_base64": ODD64}, {"data_base64": PNG64[:32] + "A" * (14 << 20)}],
    *[{"data": "no base64!", "mimeType": "image/png"}, {"data": "\xff~~~"}],
    *[{"url": "data:image/png,%89PNG"}, {"url": "data:image/png;base64,???"}],
    {"source": source(data="no base64!")},
    *[{"url": "a", "model": model} for model in ("MiniMax-M2.1", "x/MiniMax-M2.9")],
    *({"model": "MiniMax-M2", **f} for f in ({"source": source()}, {"data": PNG64})),
]


@pytest.mark.parametrize("fields, sent", IMAGE_CASES)
def test_image_becomes_a_source(bench: Bench, fields: Obj, sent: Obj) -> None:
    turn = image_turn({"type": "image", **fields, "cache_control": MARK})
    body, answer = bench.upstream(turn)
    expected = {"type": "image", "source": sent, "cache_control": MARK}
    assert body["messages"] == image_turn(expected)["messages"]
    assert answer.warnings == []


@pytest.mark.parametrize("kind", IMAGES)
def test_image_at_a_path_is_sent(bench: Bench, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "with a space.dat"
    path.write_bytes(IMAGES[kind])
    turn = image_turn({"type": "image", "path": str(path)})
    body, answer = bench.upstream(turn)
    data = base64.b64encode(IMAGES[kind]).decode()
    assert body["messages"][0]["content"][1]["source"] == source(kind, data)
    assert answer.warnings == []
    bench.configure({"allow_image_paths": False})
    body, answer = bench.upstream(turn)
    assert answer.warnings == ["image_replaced"] * 2 and data not in dump(body)


def placeholder(bench: Bench, model: str = "MiniMax-M3", **fields: Any) -> list[str]:
    """The text that stands for an image, and that of the warning."""
    body, answer = bench.upstream(image_turn({"type": "image", **fields}, model))
    first, second = body["messages"][0], body["messages"][2]["content"][0]
    assert [first["content"][1]] == second["content"]
    [text] = second["content"]
    assert set(text) == {"type", "text"} and text["text"].strip()
    assert answer.warnings == ["image_replaced"] * 2
    return [text["text"], answer.of("warning")[0]["text"]]


def test_image_that_cannot_be_sent_becomes_a_placeholder(bench: Bench) -> None:
    for fields in BAD_DATA:
        placeholder(bench, **fields)


def test_bad_path_becomes_the_same_placeholder(bench: Bench, tmp_path: Path) -> None:
    """What the model reads says nothing about files; what the host reads does."""
    for name, data in (("text", b"not an image"), ("empty", b""), ("big", PNG)):
        (tmp_path / name).write_bytes(data)
    os.truncate(str(tmp_path / "big"), (10 << 20) + 1)
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    writer = subprocess.Popen(["sh", "-c", 'echo whole >"$1"', "sh", pipe])
    os.symlink("loop", str(tmp_path / "loop"))
    names = "text big pipe missing empty loop a\0b".split(" ")
    paths = [str(tmp_path / name) for name in names]
    paths += [str(tmp_path), "/dev/zero", "/proc/kmsg", "/" + "x" * 5000]
    pairs = [placeholder(bench, path=path) for path in paths]
    assert len({text for text, _ in pairs}) == 1, pairs
    assert len({reason for _, reason in pairs[:4]}) == 4, pairs
    with open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        assert writer.wait(DEADLINE) == 0  # nobody has opened the pipe
        assert reader.read() == b"whole\n"


def test_request_over_64_mb_is_refused_before_it_is_built(emulator: Emulator) -> None:
    with Plugin(emulator.base_url, {"max_line_bytes": 80 << 20}) as plugin:
        answer = plugin.turn(ask("x" * (65 << 20)))
    assert answer.code == "invalid_request" and emulator.requests == []
    answer.says("64 MB")
    paths: list[str] = []

    def read(path: str) -> Obj:
        paths.append(path)
        return source(data="A" * (14 << 20))

    turn = {"messages": [user(*[{"type": "image", "path": "x"}] * 40)]}
    with pytest.raises(provider.ProviderError, match="64 MB"):
        provider.build_request(turn, read_image=read)
    assert len(paths) == 5


# --- histories
CODES = {"h": "history_repaired", "s": "system_role_moved", "u": "invalid_unicode"}
# (a history, what is sent: ... as given; warnings: h+ for one or more)
HISTORIES: list[tuple[str, Any, str]] = [
    # nothing is wrong
    ("U hi | U hi | A a | U hi | A a b | A c | U d", ..., ""),
    ("U a | A c1 | U r1 | A c1 | U r1=x", ..., ""),  # an id again, in another turn
    ("U a | A t t0 deep | U r1b | A redacted new image0 | U image text", ..., ""),
    ("U a | A numbers new | U r1 | A c1 c2 | U r2 r1 a", ..., ""),
    ("U a | A c-deepest new-deepest | U r1", ..., ""),
    ("U null | A t-null deep-null | U r1-null", "U a | A t deep | U r1b", ""),
    ("U blank a blank | A blank b | U c", "U a | A b | U c", ""),
    ("U a | A blank | U b | A c", "U a | U b | A c", ""),
    ("U a | A c1 | U blank | A | U r1", "U a | A c1 | U r1", ""),
    ("U half | A c-half | U r1=half", "U fixed | A c-fixed | U r1=half", "u"),
    # system messages
    *[("S be | U a", "S be | U a", "s"), ("D be | U a", "S be | U a", "s")],
    ("S be | D brief | U a", "S be brief | U a", "ss"),
    ("U a | A b | D be | U c", "U a | A b | U #be c", "s"),
    ("U a | S be | A b | U c", "U a #be | A b | U c", "s"),
    ("U a | A b | S be | A c | U d", "U a | A b | U #be | A c | U d", "s"),
    ("U a | A b | S be | S brief", "U a | A b | U #be #brief", "ss"),
    ("S kind | U a | A c1 | S be | U r1 b", "S kind | U a | A c1 | U r1 #be b", "ss"),
    ("U a | A c1 c2 | S be | U r1 r2", "U a | A c1 c2 | U r1 r2 #be", "s"),
    # inputs and contents in other forms
    ("U a | A c-string | U r1", "U a | A c-object | U r1", "h"),
    ("U a | A c-null | U r1", "U a | A c-empty | U r1", "h"),
    ("U a | A c1 | U r1-strings", "U a | A c1 | U r1b", "h"),
    ("U a | A c1 | U r1-block", "U a | A c1 | U r1b", "h"),
    # a call without a result anywhere
    *[("U a | A c1", "U a | A c1 | U x1", "h"), ("A c1 c2", "A c1 c2 | U x1 x2", "hh")],
    ("U a | A c1 c2 | U r1 b", "U a | A c1 c2 | U r1 x2 b", "h"),
    ("U a | A c1 | A b | U c", "U a | A c1 b | U x1 c", "h+"),
    # a result that comes later; as text, if nothing else would be left at the end
    ("A c1 | U b | A a | U r1 | A d | U c", "A c1 | U r1 b | A a d | U c", "h"),
    ("A c1 | U b | A a | U r1", "A c1 | U x1 b | A a | U R1", "hh"),
    ("A c1 | U b | A a | U c | U r1", "A c1 | U r1 b | A a | U c", "h"),
    ("A c1 c2 | U r1 | A a | U r2 c", "A c1 c2 | U r1 r2 | A a | U c", "h"),
    ("A c1 c2 | U b | A a | U r2 r1 c", "A c1 c2 | U r2 r1 b | A a | U c", "hh"),
    ("A c1 | U b | A c2 | U r1 r2", "A c1 | U r1 b | A c2 | U r2", "h"),
    # a result whose call is nowhere, or comes after it
    ("A a | U r9", "A a | U R9", "h"),
    ("U a | A c1 | U r9 r1 b", "U a | A c1 | U r1 R9 b", "h+"),
    *[("U b r1-null", "U b a", "h"), ("U b r1-image", "U b image", "h")],
    ("U r1=early b | A c1 | U r1", "U early b | A c1 | U r1", "h"),
    ("U r1 | A c1 | U b", "U R1 | A c1 | U x1 b", "hh"),
    # two results for one call
    ("U a | A c1 | U r1 r1=again b", "U a | A c1 | U r1 again b", "h"),
    ("U a | A c1 | U r1 | A b | U r1=again", "U a | A c1 | U r1 | A b | U again", "h"),
    # results after other content, or in several messages
    ("U a | A c1 | U b r1", "U a | A c1 | U r1 b", "h"),
    ("U a | A c1 c2 | U r1 b | U r2 c", "U a | A c1 c2 | U r1 r2 b c", "h"),
    # a result of the assistant's
    *[("A a r9 | U b", "A a R9 | U b", "h"), ("A c1 r1", "A c1 R1 | U x1", "hh")],
]
JSON_RESULTS: list[Any] = [{"n": 41.5}, 41.5, [{"n": 41.5}], ["x", 41.5]]
JSON_RESULTS.append({"type": "Point", "n": 41.5})
BLANKS: list[Any] = ["", "  ", [], [block_text(" ")], None, ...]
SOME_BLOCKS = st.lists(st.sampled_from("c1 c2 c3 r1 r2 r3 r4 b".split())).map(" ".join)
A_MESSAGE = st.builds("{} {}".format, st.sampled_from("UA"), SOME_BLOCKS)


@pytest.mark.parametrize("given, sent, codes", HISTORIES)
def test_history_goes_upstream(bench: Bench, given: str, sent: Any, codes: str) -> None:
    body, answer = bench.upstream({"Messages": history(given)})
    check_sendable(body["messages"])
    if sent is ...:
        assert same(body["messages"], history(given))
    else:
        first = {"role": "system", "content": body.get("system")}
        messages = [*([first] if first["content"] else []), *body["messages"]]
        assert runs(messages) == runs(history(sent))
    check_codes(answer, codes)


def check_codes(answer: Answer, codes: str) -> None:
    expected = [CODES[letter] for letter in codes.rstrip("+")]
    assert answer.warnings == expected * (len(answer.warnings) if "+" in codes else 1)
    assert bool(answer.warnings) is bool(codes)


def test_block_of_the_other_roles_is_sent_as_text(bench: Bench) -> None:
    opening = begun(0, {"type": "tool_result"})
    answer = bench.stream(whole([opening, closed(0)], a_block(1, "Hello")))
    assert answer.content == [{"type": "tool_result"}, A_TEXT]
    messages = [*USER, answer.end["message"], user(call("7", {"path": "x.py"}))]
    body, answer = bench.upstream({"messages": messages})
    assert body["messages"][1]["content"] == [A_TEXT]
    [block] = body["messages"][2]["content"]
    assert block["type"] == "text" and re.search(r"path.*x\.py", block["text"])
    check_codes(answer, "hh")


@pytest.mark.parametrize("content", [*JSON_RESULTS, *BLANKS])
def test_result_of_any_json_or_of_nothing_is_sent(bench: Bench, content: Any) -> None:
    block = result("1", content)
    if content is ...:
        del block["content"]
    messages = [*USER, assistant(call("1")), user(block)]
    body, answer = bench.upstream({"messages": messages})
    check_sendable(body["messages"])
    sent = body["messages"][2]["content"][0]
    assert {**sent, "content": 0} == result("1", 0)
    if content in JSON_RESULTS:
        assert "41.5" in dump(sent)
        check_codes(answer, "h")


def test_second_call_of_an_id_gets_the_same_new_id(bench: Bench) -> None:
    calls = [call("c", {"n": n}) for n in range(3)]
    results = [result("c", f"R{n}") for n in range(3)]
    messages = [*USER, assistant(*calls), user(*results)]
    body, answer = bench.upstream({"messages": messages})
    check_sendable(body["messages"])
    made, results = [message["content"] for message in body["messages"][1:]]
    ids = [block["id"] for block in made]
    assert ids[0] == "c" and [b["tool_use_id"] for b in results] == ids
    assert [block["input"]["n"] for block in made] == [0, 1, 2]
    assert [block["content"] for block in results] == ["R0", "R1", "R2"]
    check_codes(answer, "h+")
    longer = [*messages, *history("A a | U b"), *messages]
    body2, _ = bench.upstream({"messages": longer})
    assert same(body2["messages"][:3], body["messages"])
    taken = [*USER, assistant(*calls, *map(call, ids[1:])), *USER]
    body, _ = bench.upstream({"messages": taken})
    check_sendable(body["messages"])
    assert [b["id"] for b in body["messages"][1]["content"]][3:] == ids[1:]


@settings(PROPERTY, max_examples=300)
@given(lines=st.lists(A_MESSAGE, max_size=6))
def test_any_history_is_sent_and_loses_nothing(bench: Bench, lines: list[str]) -> None:
    messages = history(" | ".join(["U a", *lines]))
    fields = {"tool_use": "input", "tool_result": "content"}
    bench.emulator.reset()
    marks: list[str] = []
    for block in [block for message in messages for block in message["content"]]:
        marks.append(f"mark {len(marks)}.")  # a content of its own
        field = fields.get(block["type"], "text")
        block[field] = {"n": marks[-1]} if field == "input" else marks[-1]
    if not messages[-1]["content"]:
        assert bench.ask({"messages": messages}).code == "invalid_request"
        return
    body, answer = bench.upstream({"messages": messages})
    check_sendable(body["messages"])
    assert [mark for mark in marks if mark not in dump(body["messages"])] == []
    if "history_repaired" not in answer.warnings:
        assert same(body["messages"], [m for m in messages if m["content"]])
    again, answer = bench.upstream({"messages": body["messages"]})
    assert same(again["messages"], body["messages"]) and answer.warnings == []


def test_history_of_many_calls_is_paired_in_linear_work() -> None:
    def pair(same_id: bool, late: bool, count: int) -> None:
        calls = [call(Compared("c" if same_id else n)) for n in range(count)]
        results = [result(Compared("c" if same_id else n)) for n in range(0, count, 2)]
        between = history("U b | A a") if late else []
        messages = [*USER, assistant(*calls), *between, user(*results), *USER]
        provider.build_request({"messages": messages})

    for same_id, late in itertools.product((False, True), repeat=2):
        check_linear(functools.partial(pair, same_id, late))


# ===== Events =========================================================================


def tool_stream(*fragments: str, reason: str = "tool_use") -> bytes:
    return whole(a_block(0, *fragments, kind="tool_use"), reason=reason)


def stream(line: str) -> bytes:
    """A stream in short, for example "0:text 0+Hello 0. ;".

    0:text starts a block, 0+ is a delta of text, 0~ of thinking, 0# of a signature, 0=
    of a call's input; 0. ends the block, =end_turn is a stop reason, ! message_stop.
    It begins with message_start, unless its first word is a dash; a semicolon is
    short for "=end_turn !".
    """
    makers: dict[str, Callable[[int, str], Obj]] = {
        **{":": opened, "+": text, "~": thinking, "#": signature, "=": partial_json},
        ".": lambda index, _: closed(index),
    }
    simple: dict[str, Obj | bytes] = {
        **{"!": STOP, "ping": PING, "start": started(), "error": BOOM, "-": b""},
        **{"other": started(ident="f" * 32), "junk": b"data: {oops\n\n"},
        **{"list": b"data: [1]\n\n", ";": sse(stopping(), STOP)},
    }
    events: list[Obj | bytes] = [] if line[0] == "-" else [started()]
    for token in shlex.split(line):
        found = re.fullmatch(r"(\d+)([:+~#=.])(.*)", token, re.DOTALL)
        if found:
            events.append(makers[found[2]](int(found[1]), found[3]))
        else:
            events.append(stopping(token[1:]) if token[0] == "=" else simple[token])
    return sse(*events)


class Outcome(NamedTuple):
    """How a stream ends; in short for example "~hm +Hello 1={} =tool_use ?no_text".

    ~hm#s is a thinking block with a signature, ?no_text a warning (a part of its code
    is enough); "!stream_cut +Hel" is a failure with what is partial.
    """

    content: list[Obj]
    stop: str = "end_turn"
    warnings: Sequence[str] = ()
    code: str = ""


def outcome(line: str) -> Outcome:
    content: list[Obj] = []
    stop, code, warnings = "", "", []
    for token in shlex.split(line):
        rest = token[1:]
        if token[0] == "+":
            content.append(block_text(rest))
        elif token[0] == "~":
            content.append(a_thought(*rest.split("#")))
        elif token[0].isdigit():
            content.append(a_call(int(token[0]), json.loads(token[2:])))
        elif token[0] == "?":
            warnings += [code for code in WARNING_CODES if rest in code]
        else:
            stop, code = (rest, code) if token[0] == "=" else (stop, rest)
    has_call = any(block["type"] == "tool_use" for block in content)
    usual = "tool_use" if has_call else "end_turn"
    return Outcome(content, stop or usual, sorted(warnings), code)


TAIL = (closed(0), stopping(), STOP)
BIG = 2**70 + 1
BOOM = api_error("boom (1000)")
# A name, a stream, how it ends.
EVENTS = """
no stop reason, a call: 0:tool_use 0. ! -> 0={}
empty stop reason, text: 0:text 0+Hello 0. = ! -> +Hello
new stop reason: 0:text 0+Hello 0. =paused ! -> +Hello =paused
start, ping, stop: ping ! -> !empty_response
empty stop reason, nothing: = ! -> !empty_response
signature in deltas: 0:thinking 0~H 0#ab 0#cd 0#ef 0. 1:text 1+a 1. ; -> ~H#abcdef +a
mixed: 0:text 1:tool_use 0+a '1={"a"' 0+b 1=:1} 1. 0. =tool_use ! -> +ab '1={"a":1}'
falling indexes: 5:text 5+Hello 5. 2:text 2+! 2. ; -> +Hello +!
index used again: 0:text 0+Hello 0. 0:text 0+! 0. ; -> +Hello +!
stop of no block: 4. 0:text 0+Hello 0. ; -> +Hello
no block stop: 0:text 0+Hello ; -> +Hello
message_start twice: 0:text 0+Hel start 0+lo 0. ; -> +Hello
message_start of another: 0:text 0+Hel other 0+lo 0. ; -> !protocol +Hel
a call to the limit: 0:text 0+a 0. 1:tool_use 1={ 1. =max_tokens ! -> +a =max_tokens
# deltas reach a block of their kind
text before its block: 0+Hel 0+lo 0. ; -> +Hello
thinking before its block: 0~H 0#s 0. 1+Hello 1. ; -> ~H#s +Hello
text in thinking: 0:thinking 0~hm '0+Answer 42' 0. ; -> ~hm '+Answer 42'
text in a call: 0:tool_use '0={"a":' 0+T 0=1} 0. =tool_use ! -> '0={"a":1}' +T
thinking in a text: 0:text 0+a 0~hm 0+b 0. ; -> +ab ~hm
by turns: 0:thinking 0~a 0+b 0~c 0+d 0#s 0. ; -> ~ac#s +bd
one stop ends both: 0:thinking 0~a 0+b 0. =end_turn -> ~a +b
input in a text: 0:text 0+a 0={} 0. ; -> +a
input in a text, for a call: 0:text 0+a 0={} 0. =tool_use ! -> !protocol +a
after the end: 0:text 0+Hello 0. 0+more 0. ; -> +Hello +more
after the stop reason: 0:text 0+a 0. =end_turn 0+b 0. ! -> +a +b
after the stop reason, cut: 0:text 0+a 0. =end_turn 0+b -> +a +b
after message_stop: 0:text 0+a 0. ; 0+b 0. -> +a
before message_start: - 0+a start 0+b 0. ; -> +ab
signature of no thinking: 0:text 0+a 0#s 0. ; -> +a ?unknown_delta
signature after the end: 0:thinking 0~a 0. 0#s 1:text 1+b 1. ; -> ~a +b ?unknown_delta
kind after kind at an index: 0:thinking 0~a 0:text 0+b 0. ; -> ~a +b
# nothing is hidden in a success
nothing: ; -> ?no_text
nothing, to the limit: =max_tokens ! -> =max_tokens ?no_text
nothing, refused: =refusal ! -> =refusal
nothing, for a call: =tool_use ! -> !protocol
text for a call: 0:text 0+a 0. =tool_use ! -> +a =tool_use ?no_tool_call
thought for a call: 0:thinking 0~a 0. =tool_use ! -> ~a =tool_use ?no_text ?no_tool_call
a call, end_turn: 0:tool_use 0. ; -> 0={} =end_turn
thinking alone: 0:thinking 0~a 0. ; -> ~a ?no_text
thinking, blank text: 0:thinking 0~a 0. 1:text '1+\t' 1. ; -> ~a '+\t' ?no_text
thinking to the limit: 0:thinking 0~a 0. =max_tokens ! -> ~a =max_tokens ?all_tokens
a broken call alone: 0:tool_use 0={ 0. ; -> ?no_text
thinking, a broken call: 0:thinking 0~a 0. 1:tool_use 1={ =max_tokens ! -> ~a =max_tokens
    ?no_text
late error: 0:text 0+a 0. =end_turn error -> +a ?late_error
late call, cut: 0:tool_use 0. =tool_use 1:tool_use 1={ -> 0={}
late call, bad: 0:text 0+a 0. =tool_use 1={ 1. ! -> +a =tool_use ?no_tool_call
late call of nothing: =tool_use 0:tool_use 0={ ! -> !protocol
late error, after message_stop: 0:text 0+a 0. ; error -> +a
error before the block's end: 0:text 0+a =end_turn error -> !upstream +a
# halves of surrogate pairs
pair cut in two: 0:text 0+Hello\ud83d 0+\ude00! 0. ; -> +Hello😀!
halves: 0:text 0+\ude00a\ud83d 0+b\ud83d 0. ; -> +\ufffda\ufffdb\ufffd
pair cut in thinking: 0:thinking 0~\ud83d 0~\ude00 0. 1+a 1. ; -> ~😀 +a
pair cut by a block: 0+a\ud83d 1+b 0+\ude00 0. 1. ; -> +a😀 +b
half in an input: 0:tool_use '0={"a":"\\ud83d"}' 0. =tool_use ! -> '0={"a":"\ufffd"}'
pair in input: 0:tool_use '0={"a":"\ud83d' '0=\ude00"}' 0. =tool_use ! -> '0={"a":"😀"}'
half at the end: 0:text 0+Hello\ud83d -> !stream_cut +Hello\ufffd
# the end marker
end marker in bits: 0:text 0+Hel 0+lo 0+[ 0+e 0+~ 0+[ 0. ; -> +Hello
end marker, no block stop: 0:text 0+Hello[e 0+~[ ; -> +Hello
end marker, then a ping: 0:text 0+Hello[e~[ ping 0. ping =end_turn ping ! -> +Hello
end marker alone: 0:text 0+[e~[ 0. ; -> + ?no_text
half an end marker: 0:text 0+Hello[e 0+~ 0. ; -> +Hello[e~
end marker in the middle: 0:text 0+a[e~[ 0+b 0. ; -> +a[e~[b
brackets before the end marker: 0:text 0+a[[e~[e~[e~[ 0. ; -> +a[[e~[e~
end marker before a call: 0:text 0+a[e~[ 0. 1:tool_use 1. =tool_use ! -> +a[e~[ 1={}
end marker cut by a call: 0:text 1:tool_use 0+a[e 1. 0+~[ 0. =tool_use ! -> +a[e~[ 1={}
end marker before thinking: 0:text 0+a[e~[ 0~hm 0. ; -> +a[e~[ ~hm
end marker, then cut: 0:text 0+a[e~ -> !stream_cut +a[e~
end marker in thinking: 0:thinking 0~a[e~[ 0. 1+b 1. ; -> ~a[e~[ +b
# markup of calls
markup bits: 0:text '0+<minimax:tool' '0+_call>' 0. ; -> '+<minimax:tool_call>' ?markup
closing form alone: 0+</minimax:tool_call> 0. ; -> +</minimax:tool_call> ?markup
in brackets: 0+[TOOL_CALL]{}[/TOOL_CALL] 0. ; -> +[TOOL_CALL]{}[/TOOL_CALL] ?markup
closing brackets alone: 0+[/TOOL_CALL] 0. ; -> +[/TOOL_CALL] ?markup
invoke: '0+<invoke name="read">' 0. ; -> '+<invoke name="read">' ?markup
closing invoke alone: 0+</invoke> 0. ; -> +</invoke> ?markup
markup in lower case: 0+[tool_call] 0. ; -> +[tool_call] ?markup
markup, odd brackets: '0+a ]<]mini' '0+max[>[ b' 0. ; -> '+a ]<]minimax[>[ b' ?markup
markup twice: 0+[TOOL_CALL] 0. 1+[TOOL_CALL] 1. ; -> +[TOOL_CALL] +[TOOL_CALL] ?markup
markup in thinking: 0~[TOOL_CALL] 0. 1+a 1. ; -> ~[TOOL_CALL] +a ?markup
# the stream ends too early
only pings: - ping ping -> !stream_cut
ends inside text, after the stop reason: 0:text 0+Hello =end_turn -> !stream_cut +Hello
bad call after a text: 0:text 0+a 0. 1:tool_use 1={ 1. =tool_use ! -> !protocol +a
call never closed: 0:tool_use '0={"a":1' =tool_use ! -> !protocol
two calls at one index: 0:tool_use 0={} 0:tool_use 0={} 0. =tool_use ! -> !protocol 0={}
data that is not JSON: 0:text 0+Hello junk 0. ; -> !protocol +Hello
data that is no object: 0:text 0+Hello list 0. ; -> !protocol +Hello
"""
# Blocks that come whole.
UNCHANGED: list[Obj] = [
    *[new_kind(input=v) for v in (["x", 1], "x", "", 5, 1.0, None, True, {"q": [BIG]})],
    {"type": "redacted_thinking", "data": "x" * 50, "n": BIG},
    {"type": "web_search_tool_result", "content": [{"n": BIG, "b": None, "A": 1.0}]},
    {"type": "image"},
    {"type": "image", "url": "a", "x": 1.0},
    NAMED["new-deepest"],
    *[{**A_TEXT, "cache": {"A": 1.0}}, a_call(0, {"a": 1.0, "b": BIG})],
]
# A block at its start, deltas, and what it becomes.
GROWN: list[tuple[Obj, list[Obj], Obj]] = [
    *[(block, [], block) for block in UNCHANGED],
    (block_text("Hel"), [text(0, "lo")], A_TEXT),
    ({"type": "text", "text": None}, [], block_text("")),
    ({"type": "text"}, [delta(0, "text_delta"), text(0, "")], block_text("")),
    (a_thought("a", "s"), [thinking(0, "b"), signature(0, "t")], a_thought("ab", "st")),
    (new_kind(text="a"), [text(0, "b")], new_kind(text="ab")),
    (new_kind(input={}), [partial_json(0, '{"x":1.0}')], new_kind(input={"x": 1.0})),
    (new_kind(x={"\ud83d": ["\ude00"]}), [], new_kind(x={"\ufffd": ["\ufffd"]})),
]
for _old in ([{"n": 1.0}], [], None):
    _grown = {**A_TEXT, "citations": [*(_old or []), 5]}
    _cited = delta(0, "citations_delta", citation=5)
    GROWN.append(({**A_TEXT, "citations": _old}, [_cited], _grown))
NOT_FINITE = """data: {"type":"content_block_start","index":0,
data: "content_block":{"type":"new","x":%s}}\n\n"""
NO_PROTOCOL: list[Obj | bytes | list[Obj]] = [
    *[{**text(0, "a"), "index": None}, delta(0, "text_delta", text=5)],
    *(begun(0, block) for block in (5, {"text": "a"}, {**TEXT, "text": 5})),
    *((NOT_FINITE % word).encode() for word in ("NaN", "1e999")),
    begun(0, new_kind(a=json.loads(TOO_DEEP)["a"][0])),
    b"data: " + b"[" * 10**5 + b"\n\n",
]
NO_CALLS: list[Obj] = [{"name": ""}, {"name": None}, {"id": ""}, {"id": 5}]
INPUTS: list[tuple[Sequence[str], Obj]] = [
    ('{"a": "\\u00e9\\ud83d\\ude00", "b": -0.0}', {"a": "é😀", "b": -0.0}),
    ([' \n{\t"a"', ":\r1}\r\n "], {"a": 1}),
    (['{"a": "\n\t', '\x01"}'], {"a": "\n\t\x01"}),
    (DEEPEST, json.loads(DEEPEST)),
    (['{"a": ' + "7" * 4300 + "}"], {"a": int("7" * 4300)}),
]
HELLO = words("Hello")
HELLOS = [
    re.sub(rb"event: \w+\n", b"", HELLO),  # no event lines
    HELLO.replace(b"\n", b"\r\n"),
    b": a\n" + HELLO.replace(b"\n\n", b"\n\n: a\n\n"),
    HELLO.rstrip(),
    HELLO[: -len(sse(STOP)) - 2],  # the last frame is the stop reason
    HELLO + b"data: [DONE]\n\n",
    whole(a_block(0, "Hello"), reason=None),
    whole({"type": "new"}, a_block(0, "Hello")),
]
EVENT_CASES: dict[str, tuple[bytes, Outcome]] = {
    "rich": (RICH.data, Outcome(RICH.content, "tool_use")),
    "nothing at all": (b"", outcome("!empty_response|stream_cut|protocol")),
}
# How other streams end.
ENDINGS = {
    "+Hello ?unknown_delta": whole(delta(0, "new_delta"), a_block(0, "Hello")),
    "+Hello ?late_error": HELLO[: -len(sse(STOP))] + json.dumps(BOOM).encode(),
    "+a[e~[ +b": whole(content=[block_text("a[e~["), block_text("b[e~[")]),
    "+a +Hello": sse(text(0, "a"), started(content=[A_TEXT]), stopping(), STOP),
}
HTML = "<html><head><title>%s</title></head><body>nginx</body></html>"
LOAD = api_error("The server cluster is currently under high load (2064)")
LOAD_JSON = json.dumps(LOAD)
BEGUN = sse(started(), opened(0), text(0, "Hello"))
ODD_TYPES = "", ', "type": "overloaded"', ', "type": ["x"]'
MIDSTREAM: dict[str, list[bytes]] = {
    "overloaded": [
        *[frame(LOAD), frame(LOAD_JSON)],
        *(raw + LOAD_JSON.encode() for raw in (b"", b" ", b'{"a":"b\n', b"{}\n")),
        json.dumps(LOAD, indent=1).encode() + b"\n",
        frame({"type": "overloaded_error", "message": "a"}),
        *(frame(f'{{"message": "a (2064)"{more}}}', "error") for more in ODD_TYPES),
    ],
    "quota_exhausted": [frame(api_error("limit (2056)"))],
    "context_too_long": [frame(api_error("prompt is too long"))],
    "rate_limited": [frame(api_error("a", "odd", http_code="429"))],
    "upstream": [frame(api_error("a", http_code="200"))],
    "content_filtered": [frame({**stopping(None), **base_resp(1027, "")})],
}
ERROR_TYPES = """auth authentication_error authorized_error
permission permission_error
insufficient_balance insufficient_balance_error billing_error
rate_limited rate_limit_error
upstream api_error server_error timeout_error error_of_tomorrow
rejected not_found_error invalid_request_error bad_request_error request_too_large"""
for _code, *_types in map(str.split, ERROR_TYPES.splitlines()):
    _frames = [frame(api_error("no", kind)) for kind in _types]
    MIDSTREAM.setdefault(_code, []).extend(_frames)
for _row in re.split(r"\n(?! )", re.sub("(?m)^# .*\n", "", EVENTS).strip()):
    _name, _line, _end = re.split(r": | +-> |\n +-> ", _row)
    EVENT_CASES[_name] = (stream(_line), outcome(_end))
_UNNAMED = [(data, outcome(end)) for end, data in ENDINGS.items()]
_UNNAMED += [(data, outcome("+Hello")) for data in HELLOS]
_UNNAMED += [(whole(event), outcome("!protocol")) for event in NO_PROTOCOL]
for _fields in NO_CALLS:
    _bad = whole(a_block(0, kind="tool_use", **_fields), reason="tool_use")
    _UNNAMED.append((_bad, outcome("!protocol")))
for _pieces, _input in INPUTS:
    _UNNAMED.append((tool_stream(*_pieces), Outcome([a_call(0, _input)], "tool_use")))
for _block, _deltas, _grown in GROWN:
    _stop = "tool_use" if _grown["type"] == "tool_use" else "end_turn"
    _events = [begun(0, _block), *_deltas, closed(0), *a_block(1, "Hello")]
    _UNNAMED.append((whole(*_events, reason=_stop), Outcome([_grown, A_TEXT], _stop)))
EVENT_CASES.update((f"case {n}", row) for n, row in enumerate(_UNNAMED))
for _code, _errors in MIDSTREAM.items():
    for _number, _data in enumerate(_errors):
        for _head, _part in ((b"", ""), (sse(started()), ""), (BEGUN, " +Hello")):
            _name = f"{_code} {_number} after {len(_head)} bytes"
            EVENT_CASES[_name] = (_head + _data, outcome(f"!{_code}{_part}"))
FIRST_USAGE, LAST_USAGE = {"input_tokens": 5, "output_tokens": 1}, {"output_tokens": 9}
BOTH_USAGES = {**FIRST_USAGE, **LAST_USAGE}
DEEP_USAGE = {**FIRST_USAGE, "x": {"y": 1.0}}
# What events hold: the first, the last, message_stop; the last that is not null.
USAGES: list[tuple[Any, Any, Any, Obj]] = [
    ({**FIRST_USAGE, "n": None}, LAST_USAGE, None, BOTH_USAGES),
    (None, FIRST_USAGE, LAST_USAGE, BOTH_USAGES),
    (FIRST_USAGE, {"output_tokens": None}, None, FIRST_USAGE),
    *[(FIRST_USAGE, None, None, FIRST_USAGE), (None, None, FIRST_USAGE, FIRST_USAGE)],
    *[(FIRST_USAGE, 5, [], FIRST_USAGE), (FIRST_USAGE, [], LAST_USAGE, BOTH_USAGES)],
    (DEEP_USAGE, {"z": 0}, None, {**DEEP_USAGE, "z": 0}),
]
# What a whole message holds that comes instead of a stream, and the error that it is.
WHOLE: list[tuple[Obj, str]] = [
    ({"content": RICH.content, "stop_reason": "tool_use"}, ""),
    ({"content": RICH.content, "stop_reason": None, "x": 1}, ""),
    ({"content": []}, "empty_response"),
    ({"type": "list"}, "protocol"),
    ({"content": [A_TEXT], **base_resp(1008, "no")}, "insufficient_balance"),
    ({"content": [a_call(0, {}), {"type": "tool_use", "input": 5}]}, "protocol"),
]
WAITING = {
    **{"0:text 0+a[e~[": ["a"], "0:text 0+a[ 0+b": ["a", "[b"]},
    **{"0:text 0+a\ud83d": ["a"], "0:text 0+a~": ["a~"]},
    **{"0:thinking 0~a[e~[": ["a[e~["], "0:text 1:text 0+a[e~[": ["a[e~["]},
    **{"0:text 0+a[e 1:text": ["a", "[e"], "0:new_kind 0+a[e~[": ["a[e~["]},
}
BAD_INPUTS = [
    *['{"amount": 100', '{"a": "b', '{"a": tru', '{"a": 1,', '{"a": 1.}', '{"a": 01}'],
    *['{"a": 1} x', '{"a": 1}{"b": 2}', "{'a': 1}", '{"a": 1,}', '{"a": 1 /* b */}'],
    *["{a: 1}", '{"a": None}', '{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}'],
    *["[1]", "null", '"x"', "5", '{"a": %s}' % ("9" * 5000), '{"a": ' * 100000],
    *['{"a": "\n"} x', '\ufeff{"a": 1}', '\xa0{"a": 1}', '{"a": \uff11}'],
    *['{"a": "\\x41"}', TOO_DEEP],
]


@pytest.mark.parametrize("how", ["whole", "bytes", "random"])
@pytest.mark.parametrize("name", EVENT_CASES)
def test_stream_becomes_events(bench: Bench, name: str, how: str) -> None:
    data, expected = EVENT_CASES[name]
    if len(data) > 50000 and how == "bytes":
        how = "random"
    answer = bench.stream(*cut(data, how))
    if expected.code:
        assert re.fullmatch(expected.code, answer.code), answer
        partial = answer.end["partial"] or {"content": []}
        assert same(partial["content"], expected.content), answer
        return
    assert same(answer.content, expected.content), answer
    assert answer.end["stop_reason"] == expected.stop, answer
    assert sorted(answer.warnings) == sorted(expected.warnings), answer


def test_ids_model_usage_and_times_are_reported(bench: Bench) -> None:
    answer = bench.stream(OK, headers=["minimax-request-id: req-77"])
    [start] = answer.of("turn_start")
    for line in (start, answer.end):
        assert (line["model"], line["message_id"]) == ("MiniMax-M3", f"{1:032}")
    assert answer.end["request_id"] == "req-77"
    timing = answer.end["timing"]
    assert timing["attempts"] == 1
    assert 0 <= timing["first_event_ms"] <= timing["total_ms"]
    begun = sse(started(usage={"input_tokens": 5}), opened(0), text(0, "Hello"))
    answer = bench.stream(begun, sse(LOAD))
    end, timing = answer.end, answer.end["timing"]
    assert (end["model"], end["usage"]) == ("MiniMax-M3", {"input_tokens": 5})
    assert timing["attempts"] == 1 and is_number(timing["first_event_ms"])
    ids = answer.error["request_id"], answer.error["provider_code"]
    assert ids == ("req_0123", 2064) and "http_status" not in answer.error


def test_upstream_pings_are_heartbeats_but_not_each(bench: Bench) -> None:
    begun = time.monotonic()
    answer = bench.stream(sse(started()) + sse(PING) * 500, OK.split(b"\n\n", 1)[1])
    most = 2 + (time.monotonic() - begun) / 5
    assert 1 <= len(answer.of("heartbeat")) <= most


def test_usage_is_the_last_value_of_each_field(bench: Bench) -> None:
    others = PING, {"type": "new_event"}  # whichever event carries it, and wherever
    for (first, last, stop, usage), other in itertools.product(USAGES, others):
        late, change = {"usage": stop}, {"stop_reason": "end_turn", "usage": last}
        beside = [stopping(usage=last), {**STOP, **late}]
        inside = [stopping(usage=None, delta=change), {**STOP, "message": late}]
        middle = [*a_block(0, "Hello"), {**other, "usage": first}]
        starts = [[started(usage=first)], [started(usage=None), *middle]]
        for begin, ends in itertools.product(starts, (beside, inside)):
            answer = bench.stream(sse(*begin, *a_block(1, "Hello"), *ends))
            sent = answer.end["usage"] or {}
            assert {k: v for k, v in sent.items() if v is not None} == usage, answer


def test_whole_message_is_read_like_a_stream(bench: Bench) -> None:
    for fields, code in WHOLE:
        answer = bench.ask(ask(), *refuse(200, {**started()["message"], **fields}))
        if code:
            assert answer.code == code, answer
            continue
        assert same(answer.content, RICH.content), answer
        assert answer.end["stop_reason"] == "tool_use" and answer.warnings == []
        assert len(answer.of("text_delta")) == len(answer.of("thinking_delta")) == 1


def test_only_what_could_be_an_end_marker_or_half_a_pair_waits() -> None:
    for line, texts in WAITING.items():
        translator = provider.EventTranslator()
        frames = provider.SSEDecoder().feed(stream(line))
        payloads = [json.loads(frame.data) for frame in frames]
        events = [event for p in payloads for event in translator.translate(p)]
        assert [event["text"] for event in events if "text" in event] == texts, line


def test_many_open_blocks_are_linear_work() -> None:
    def stream(count: int) -> None:
        translator = provider.EventTranslator()
        payloads = [started(), *map(opened, range(count)), stopping(), STOP]
        events = [event for p in payloads for event in translator.translate(p)]
        assert len(events) == 1 + count
        *ends, warning = translator.conclude()
        assert len(ends) == count and warning["code"] == "no_text"

    check_linear(stream, 100)


@pytest.mark.parametrize("raw", BAD_INPUTS, ids=lambda raw: raw[:20])
def test_bad_tool_input_is_no_call(bench: Bench, raw: str) -> None:
    answer = bench.stream(tool_stream(raw[: len(raw) // 2], raw[len(raw) // 2 :]))
    assert answer.code == "protocol" and answer.end["partial"] is None
    [end] = answer.of("block_end")
    assert end["incomplete"] is True and end["input_json"] == raw
    assert "input" not in end["block"] and end["block"]["name"] == "glob"
    answer = bench.stream(tool_stream(raw, reason="max_tokens"))
    assert answer.end["stop_reason"] == "max_tokens" and answer.content == []


# --- whatever comes, the grammar holds --------------------------------------
ODD_EVENTS: list[Obj] = [
    *({"type": kind} for kind in ("content_block_delta", "message_start", None)),
    *[begun(0, None), begun(0, {"type": 5})],
    *[{**opened(0), "index": "0"}, {**text(0, "x"), "index": None}],
    *[{}, delta(0, "text_delta"), {"type": "error"}, {"type": "error", "error": "x"}],
    {"type": "message_start", "message": {"id": 5, "model": None, "usage": []}},
    {"type": "message_delta", "delta": None, "usage": 5},
    {"type": "message_delta", "delta": {"stop_reason": 5}},
]
USUAL_EVENTS = """0:text 0:thinking 0:tool_use 1:new_kind 1:text 2:tool_use 0. 1. 2.
    0+a 0+[e~[ 1+\ud83d 1+\ude00 2+{ 0~a 1~a 0#a 2#a 0= '0={"a":1}' 2={ 2=} 1={"""
RARE_EVENTS = map("- {}".format, "start ping = =tool_use ; !".split())
ANY_EVENT = st.one_of(
    *[st.sampled_from(shlex.split(USUAL_EVENTS)).map(lambda t: stream(f"- '{t}'"))] * 3,
    st.sampled_from([*map(stream, RARE_EVENTS), *map(sse, ODD_EVENTS)]),
)
ANY_STREAM = st.one_of(
    st.lists(ANY_EVENT, max_size=16).map(b"".join),
    st.lists(ANY_EVENT, max_size=16).map(lambda some: sse(started()) + b"".join(some)),
    st.builds(
        lambda place, junk, drop: RICH.data[:place] + junk + RICH.data[place + drop :],
        *(st.integers(0, len(RICH.data)), st.binary(max_size=6), st.integers(0, 40)),
    ),
)


@settings(PROPERTY, max_examples=300)
@given(data=ANY_STREAM, seed=st.integers(0, 9))
def test_any_stream_keeps_the_grammar(bench: Bench, data: bytes, seed: int) -> None:
    bench.emulator.reset()
    answer = bench.stream(*cut(data, "random", seed))
    check_grammar(lines_of(*answer.lines))
    if answer.end["type"] == "turn_end":
        assert b"message_delta" in data or b"message_stop" in data
    else:
        assert answer.code != "internal", answer


# --- what came may be sent back ----------------------------------------------
ODD_WORDS = "\ud800 a\udfffb \ud83d\ude00 \u2028\x85 \0 [e~[ type id MaxTokens url"
ODD_STRINGS = st.text(max_size=8) | st.sampled_from(["", *ODD_WORDS.split(" ")])
NUMBERS_OF_JSON = st.integers(-(10**40), 10**40) | st.floats(-1e308, 1e308)
objects = functools.partial(st.dictionaries, ODD_STRINGS, max_size=3)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS_OF_JSON | ODD_STRINGS,
    lambda inner: st.lists(inner, max_size=3) | objects(inner),
    max_leaves=8,
)
A_BLOCK_OF_ANY_KIND = st.builds(
    lambda block, more: {**block, **more},
    st.one_of(
        ODD_STRINGS.map(block_text),
        st.builds(a_thought, ODD_STRINGS, st.text("0123456789abcdef", max_size=20)),
        objects(VALUES).map(lambda value: call("", value)),
        VALUES.map(lambda value: new_kind(payload=value)),
    ),
    st.dictionaries(st.sampled_from(["cache_control", "citations", "Zed"]), VALUES),
)
DELTA_MAKERS = {"thinking": thinking, "text": text}
DELTA_MAKERS.update(signature=signature, input=partial_json)


def in_small_deltas(index: int, block: Obj) -> list[Obj]:
    """The events of a block, its texts and input in pieces of three characters."""
    start, deltas = dict(block), []
    for field in [field for field in DELTA_MAKERS if field in block]:
        value, start[field] = block[field], ""
        if field == "input":
            value, start[field] = json.dumps(value, ensure_ascii=False), {}
        pieces = [value[i : i + 3] for i in range(0, len(value), 3)]
        deltas += [DELTA_MAKERS[field](index, piece) for piece in pieces]
    return [begun(index, start), *deltas, closed(index)]


@settings(PROPERTY, max_examples=150)
@given(st.lists(A_BLOCK_OF_ANY_KIND, min_size=1, max_size=4), st.integers())
def test_message_sent_back_is_the_same(bench: Bench, blocks: Any, seed: int) -> None:
    bench.emulator.reset()
    calls = [block for block in blocks if block["type"] == "tool_use"]
    for number, block in enumerate(calls):
        block["id"] = f"call_{number}"
    events = [in_small_deltas(*pair) for pair in enumerate(blocks)]
    data = whole(*events, reason="tool_use" if calls else "end_turn")
    answer = bench.stream(*cut(data, "random", seed))
    if blocks[-1].get("text", "").endswith("[e~["):
        blocks[-1]["text"] = blocks[-1]["text"][:-4]
    blocks = well_formed(blocks)
    assert same(answer.content, blocks), answer
    results = [result(block["id"]) for block in calls]
    messages = [*USER, answer.end["message"], user(*results, block_text("go on"))]
    body, back = bench.upstream({"messages": messages})
    sent = []
    for block in blocks:
        known = block["type"] != "new_kind"
        row = {k: v for k, v in block.items() if v is not None or not known}
        sent += [] if is_blank(block) else [row]
    assert not sent or same(body["messages"][1]["content"], sent)
    assert back.warnings == []


# ===== Settings =======================================================================

Patch = pytest.MonkeyPatch
OTHER_KEY = "sk-api-" + "w" * 24
NO_VARIABLES: Env = {"MINIMAX_API_KEY": None, "MINIMAX_BASE_URL": None}
WRONG_SETTINGS = r"""
connect_timeout -1 | idle_timeout 0 | first_event_timeout "soon" | turn_timeout true
max_retries -1 | max_retries 1.5 | retry_base_delay -1 | retry_after_max -1
max_tokens_default 0 | effort "ultra" | region "pluto" | model 5 | log_level "loud"
allow_image_paths "yes" | api_key 5 | api_key "key-0000\n0000" | api_key "key-000é世"
api_key "key-0000\u0001" | base_url "https://a b/" | base_url "https://u:p@127.0.0.1"
"""
WRONG_URLS = """
ftp://127.0.0.1/ 127.0.0.1:80 https:// https://127.0.0.1:99999 https://127.0.0.1/?a=b
http://192.0.2.1/anthropic http://127.0.0.1.example.com/ http://127.0.0.999/
"""
# A file, and what the message names.
BAD_CONFIGS: dict[str, tuple[Obj | str, str]] = {
    "too large": (f'{{"api_key": "{KEY}"}}' + " " * 2**20, "1 MB"),
    "not JSON": ("{oops", "character 2"),
    "cut off": ('{"api_key": "sk', "string at character 13"),
    "no quotes": ('{\n "model": M3}', "line 2, character 11"),
    "not an object": ("[]", "object"),
    "not UTF-8": ('{"model": "\udcff"}', "UTF-8"),
    "endless timeout": ('{"turn_timeout": 1e999}', "."),
}
for _row in re.split(r"\n| \| ", WRONG_SETTINGS.strip()):
    _name, _value = _row.split(" ", 1)
    BAD_CONFIGS[_row] = ({_name: json.loads(_value)}, _name)
BAD_CONFIGS.update((url, ({"base_url": url}, "base_url")) for url in WRONG_URLS.split())
# What the message calls the mistake, and keys as they are pasted.
PASTED_KEYS = {
    "quot": [f'"{KEY}"', f"'{KEY}"],
    "comma": [f"{KEY},", f"{KEY};"],
    "shortened|beginning": [f"{KEY[:9]}...{KEY[-4:]}", "sk-"],
    "space": [f"{KEY[:20]} {KEY[20:]}"],
    "bracket|[<{]": [f"<{KEY}>", f"{{{KEY}}}"],
    "Bearer": [f"Bearer {KEY}", f"bearer {KEY}"],
    "variable": ["${MINIMAX_API_KEY}", "$MINIMAX_API_KEY", "process.env.MY_KEY"],
    "placeholder": ["<your key>", *"sk-... sk-api- sk-xxxx-xxxx replace_me".split()],
}
PASTED = [(key, mistake) for mistake, keys in PASTED_KEYS.items() for key in keys]
# Where a key lands by mistake; the redactor has never seen it.
MISPLACED = ["api_key_file", "region", "effort", "log_level", "max_retries", "base_url"]
MISPLACED_KEYS: list[Obj] = [{name: KEY} for name in MISPLACED]
MISPLACED_KEYS += [{"api_key": [KEY]}, {"api_key": {"key": KEY}}, {KEY: 1}]
MISPLACED_KEYS += [{"idle_timeout": [KEY]}, {"base_url": f"https://127.0.0.1:{KEY}/?"}]
REGION_HOSTS = {"global": "api.minimax.io", "cn": "api.minimaxi.com"}
URL_VARIABLES = ["MINIMAX_BASE_URL", "HTTPS_PROXY"]
CA_VARIABLES = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"]
# A stderr that nobody reads: the lines of the log fill it.
FULL = """
import fcntl, os
_, full = os.%s()
if not os.isatty(full):
    fcntl.fcntl(full, 1031, 4096)  # F_SETPIPE_SZ
os.dup2(full, 2)
raise SystemExit(plugin.run_plugin({}))
"""


def planted(folder: Path, **modules: str) -> Env:
    """Variables with which a process imports these modules before any other."""
    for name, source in modules.items():
        (folder / (name + ".py")).write_text(source)
    return {"PYTHONPATH": str(folder)}


def as_library(source: str) -> Sequence[str]:
    """What a Python runs that has imported the file as `plugin`, and has `ask`."""
    folder, name = os.path.split(SOURCE)
    start = f"import sys; sys.path.append({folder!r}); import {name[:-3]} as plugin\n"
    start += "ask = lambda words: dict(messages=[dict(role='user', content=words)])\n"
    return "-W", "ignore", "-c", start + source


def one_turn(url: Any, config: Any = None, env: Any = None, turn: Any = None) -> Answer:
    """The answer of a process that serves one turn."""
    with Plugin(url, config, env) as plugin:
        return plugin.turn(turn or ask())


def check_unquoted(answer: Answer, value: object) -> None:
    """No word of a setting's value is in the error, but for very short ones."""
    words = value.split() if isinstance(value, str) else []
    assert not [w for w in words if len(w) > 3 and w in dump(answer.error)], answer


@pytest.mark.parametrize("name", BAD_CONFIGS)
def test_bad_config_is_an_error_of_each_turn(bench: Bench, name: str) -> None:
    config, pattern = BAD_CONFIGS[name]
    bench.configure(config)
    answer = bench.plugin.turn(ask())
    assert answer.code == "config", answer
    answer.says(pattern, r"config\.json")
    if isinstance(config, dict):
        check_unquoted(answer, next(iter(config.values())))
    assert bench.plugin.turn(ask()).code == "config"
    bench.configure({})
    assert bench.plugin.turn(ask()).text == "ok"


@pytest.mark.parametrize("pasted, mistake", PASTED)
def test_bad_paste_of_a_key_is_no_key(bench: Bench, pasted: str, mistake: str) -> None:
    bench.configure({"api_key": pasted})
    answer = bench.plugin.turn(ask())
    assert answer.code == "config" and bench.emulator.requests == []
    assert re.search(mistake, answer.error["message"]), answer
    assert pasted not in answer.error["message"]
    with pytest.raises(provider.ProviderError, match="api_key") as caught:
        provider.MiniMaxProvider(api_key=pasted)
    assert caught.value.code == "config"
    check_secret(str(caught.value).encode())


def test_misplaced_key_is_never_quoted(emulator: Emulator) -> None:
    with Plugin(None, {}, NO_VARIABLES) as plugin:
        for config in MISPLACED_KEYS:
            key = "" if "api_key_file" in config else OTHER_KEY
            good = {"api_key": key, "base_url": emulator.base_url}
            write_config(plugin.config_path, {**good, **config})
            answer = plugin.turn(ask())
            check_secret(dump(answer.lines).encode())
            if KEY in config:
                assert answer.text == "ok"
            else:
                assert answer.code == "config", (config, answer)


def test_file_is_read_again_by_each_turn(bench: Bench) -> None:
    for value in ("", "  ", None):
        bench.configure({"api_key": value})
        answer = bench.plugin.turn(ask())
        assert answer.code == "config" and bench.emulator.requests == []
        answer.says("MINIMAX_API_KEY")
    bench.plugin.config_path.unlink()
    assert bench.plugin.turn(ask()).code == "config"
    for key in ("first-key-Bq4x8", "other-key-Wn2v7"):
        model = {"model": "MiniMax-M3.1-Flash", "effort": "low"}
        bench.configure({"api_key": key, "max_tokens_default": 99, **model})
        body, _ = bench.upstream(ask())
        assert (body["model"], body["max_tokens"]) == (model["model"], 99)
        assert body["output_config"] == {"effort": "low"}
        assert bench.emulator.requests[-1].header("authorization") == ["Bearer " + key]


def test_base_url_is_taken_in_common_forms(bench: Bench) -> None:
    url = bench.emulator.base_url.replace("127.0.0.1", "localhost")
    for suffix in ("", "/", "/v1", "/v1/", "/v1/messages"):
        bench.configure({"base_url": url + suffix})
        assert bench.plugin.turn(ask()).text == "ok"
        assert bench.emulator.requests[-1].target == "/anthropic/v1/messages"


def test_unreadable_config_does_not_stick(bench: Bench, monkeypatch: Patch) -> None:
    real, trouble = provider.read_file, [""]

    def read_file(path: Any, limit: int) -> tuple[bytes, int]:
        data, mode = real(path, limit)
        this, trouble[0] = trouble[0], ""
        if this == "failed":
            raise OSError(24, "Too many open files")
        return data[: len(data) // 2] if this else data, mode

    monkeypatch.delenv("MINIMAX_API_KEY", raising=False)
    monkeypatch.setattr(provider, "read_file", read_file)
    path = str(bench.plugin.config_path)
    with provider.MiniMaxProvider.from_config(path) as client:
        trouble[0] = "failed"
        [event] = client.turn(ask())
        assert event["error"]["code"] == "config"
        assert "Too many open files" in event["error"]["message"]
        for this in ("", "half"):  # while it is rewritten in place: it is read again
            trouble[0] = this
            assert client.complete(ask())["type"] == "turn_end"


@needs_linux
@pytest.mark.parametrize("make", ["pipe", "openpty"])
def test_full_stderr_stops_no_turn(emulator: Emulator, make: str) -> None:
    program, config = as_library(FULL % make), {"log_level": "info"}
    with Plugin(emulator.base_url, config, program=program) as plugin:
        for _ in range(60):
            assert plugin.turn(ask()).text == "ok"


def test_config_of_a_profile(emulator: Emulator, tmp_path: Path) -> None:
    for root in (None, tmp_path / "a profile"):
        folder = (root or tmp_path / ".plexum") / "plugins/plexum-minimax-provider"
        folder.mkdir(parents=True)
        write_config(folder / "config.json", {"max_tokens_default": 77})
        env: Env = {"HOME": str(tmp_path), "PLEXUM_MINIMAX_CONFIG": None}
        env["PLEXUM_PROFILE_ROOT"] = str(root) if root else None
        assert one_turn(emulator.base_url, env=env).text == "ok"
        assert emulator.requests[-1].json["max_tokens"] == 77


def test_region_decides_the_host_and_a_proxy_sees_no_key(emulator: Emulator) -> None:
    emulator.answer = lambda request: refuse(407, "no")
    for region in REGION_HOSTS:
        env: Env = {"MINIMAX_REGION": region, "HTTPS_PROXY": emulator.base_url}
        answer = one_turn(None, {}, env)
        assert answer.code == "network" and not answer.error["retryable"]
        answer.says("proxy", "407", "USER:PASSWORD@HOST", "HTTPS_PROXY")
    hosts = [request.target for request in emulator.requests]  # and no retry
    assert hosts == [host + ":443" for host in REGION_HOSTS.values()]
    check_secret(*(request.head + request.body for request in emulator.requests))


@pytest.mark.parametrize("name", ["MINIMAX_REGION", *URL_VARIABLES, *CA_VARIABLES])
def test_useless_variable_is_named(emulator: Emulator, name: str) -> None:
    url = emulator.base_url.replace("http:", "https:")
    for value in [SOURCE, "/no/ca.pem"] if name in CA_VARIABLES else ["ftp://pluto:9/"]:
        answer = one_turn(url, ONCE, {name: value})
        assert answer.code == "config" and "config.json" not in dump(answer.error)
        is_url = name == "MINIMAX_BASE_URL"
        assert ("base_url" in answer.error["message"]) is is_url, answer
        answer.says(name, "restart")
        check_unquoted(answer, value)


def test_plain_loopback_and_no_proxy_go_through_none(emulator: Emulator) -> None:
    """A proxy would see the key of a plain request."""
    with Emulator() as proxy:
        names = "HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy"
        env: Env = dict.fromkeys(names.split(), proxy.base_url)
        for host in ("127.0.0.1", "localhost"):
            url = emulator.base_url.replace("127.0.0.1", host)
            assert one_turn(url, env=env).text == "ok"
        env.update(NO_PROXY="nowhere.invalid", no_proxy="nowhere.invalid")
        answer = one_turn("https://nowhere.invalid", ONCE, env)
        assert answer.code == "network" and proxy.connections == 0


# ===== HTTP ===========================================================================

ONCE: Obj = {"max_retries": 0}
CHUNKED = response_head(200, "Transfer-Encoding: chunked")
MIDDLE = RICH.data.index(b"event: content_block_stop")
KINDS = ["TEXT/Event-Stream", "text/event-stream;charset=latin-1", ""]
A_BLOCK = [opened(0), text(0, "Hello[e~["), closed(0)]
ENDS: list[Step] = [hold, reset, close, b"data: {oops\n\n", frame("[]"), frame(LOAD)]
ENDS += [frame(started(ident="2")), drip(chunk(frame({"type": "new_event"})))]
ENDS += [drip(b"zz\r\n")]  # bad framing


def test_request_line_and_headers(bench: Bench) -> None:
    bench.upstream(ask("hi"))
    request = bench.emulator.requests[0]
    assert (request.method, request.target) == ("POST", "/anthropic/v1/messages")
    fields = {"authorization": "Bearer " + KEY, "accept-encoding": "identity"}
    fields["content-type"] = "application/json"
    fields["anthropic-version"] = "2023-06-01"
    fields["host"] = f"127.0.0.1:{bench.emulator.port}"
    fields["content-length"] = str(len(request.body))
    assert [name for name in fields if request.header(name) != [fields[name]]] == []
    assert request.header("x-api-key") + request.header("cookie") == []


@pytest.mark.parametrize("framing", ("chunked", "length", "close"))
def test_text_arrives_while_the_body_is_still_open(bench: Bench, framing: str) -> None:
    heard = threading.Event()
    rest = cut(RICH.data[MIDDLE:], "random")
    script = respond(RICH.data[:MIDDLE], wait(heard), *rest, framing=framing)
    bench.emulator.queue.append(script)
    ident = bench.plugin.submit(ask())
    assert bench.plugin.wait_line("thinking_delta", ident)["text"] == "Où? "
    heard.set()
    assert same(bench.plugin.answer(ident).content, RICH.content)


@pytest.mark.parametrize("kind", KINDS)
def test_stream_is_utf8_whatever_head_and_opening(bench: Bench, kind: str) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    head = f"content-type: {kind}" if kind else "No-Content-Type: at all"
    for opening in (b"", b": hi\n\n", b"\xef\xbb\xbf\n", b"\r\n" * 100000):
        script = respond(opening, RICH.data, framing="close", headers=[head])
        assert same(bench.ask(ask(), interim * 2, *script).content, RICH.content)


def test_whatever_follows_the_stop_reason_it_is_a_success(bench: Bench) -> None:
    bench.configure({"idle_timeout": 0.3})
    for payloads, last in itertools.product(([], A_BLOCK), ([], [STOP])):
        data = sse(started(), *payloads, stopping(), *last)
        scripts = [(end, unfinished(data, end)) for end in ENDS]
        by_length = [response_head(200, "Content-Length: 5000"), data]
        scripts += [(end, [*by_length, end]) for end in (close, reset)]
        for end, script in scripts:
            answer = bench.ask(ask(), *script)
            assert answer.end["type"] == "turn_end", answer
            assert same(answer.content, [A_TEXT] if payloads else [])
            if end is hold:
                assert bench.emulator.requests[-1].gone.wait(DEADLINE)


def test_redirects_are_not_followed_nor_cookies_kept(bench: Bench) -> None:
    with Emulator() as other:
        fields = f"Location: {other.base_url}/v1/messages", "Set-Cookie: a=b; Path=/"
        for status in (301, 302, 303, 307, 308):
            answer = bench.ask(ask(), *refuse(status, "moved", *fields))
            assert (answer.code, answer.error["http_status"]) == ("rejected", status)
        assert bench.stream(OK, headers=fields).text == "ok"
        assert other.connections == 0
    bench.upstream(ask())
    assert [r.header("cookie") for r in bench.emulator.requests] == [[]] * 7


def test_our_environment_alone_wins(emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    env: Env = {"HOME": str(tmp_path), "NETRC": str(tmp_path / ".netrc")}
    env.update(ANTHROPIC_BASE_URL="http://127.0.0.1:9", OPENAI_BASE_URL="http://x")
    env.update(ANTHROPIC_API_KEY="sk-0", OPENAI_API_KEY="sk-0", MINIMAX_REGION=" ")
    config = {"api_key": OTHER_KEY, "base_url": "http://127.0.0.1:9/no"}
    for key in (f" {KEY}\n", " "):  # a blank one is none
        env["MINIMAX_API_KEY"] = key
        assert one_turn(emulator.base_url, config, env).text == "ok"
    sent = [request.header("authorization") for request in emulator.requests]
    assert sent == [["Bearer " + KEY], ["Bearer " + OTHER_KEY]]
    assert one_turn(emulator.base_url, {}, env).code == "config"
    assert emulator.connections == 2


# --- TLS, proxies ------------------------------------------------------------
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
# What stands in for PySocks: port 1 never answers, any other leads to the host.
SOCKS = """
import socket
PROXY_TYPE_SOCKS4, PROXY_TYPE_SOCKS5 = 1, 2
class ProxyError(OSError):
    socket_err = None
def create_connection(address, timeout=None, source_address=None, **proxy):
    if proxy["proxy_port"] != 1:
        return socket.create_connection(address, timeout)
    ours, its = socket.socketpair()
    with ours, its:
        ours.settimeout(timeout)
        ours.recv(1)
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


@needs_linux
@pytest.mark.parametrize("name", ["PATH", *CA_VARIABLES])
def test_bad_certificate(tls_emulator: Emulator, certificate: Path, name: str) -> None:
    """A variable that is set, but empty, does not switch that off."""
    folder = certificate.with_name("captures")
    answer = one_turn(tls_emulator.base_url, {"capture_dir": str(folder)}, {name: ""})
    check_replay(next(folder.iterdir()), answer.lines)
    assert answer.of("retry") == [] and tls_emulator.requests == []
    answer.says("certificate", "REQUESTS_CA_BUNDLE|SSL_CERT_FILE")
    with Emulator(tls_emulator.tls, host="127.0.0.2") as other:  # not its name
        named = one_turn(other.base_url, env={"SSL_CERT_FILE": str(certificate)})
        assert other.requests == []
    for error in (answer.error, named.error):
        assert error["code"] == "network" and error["retryable"] is False


def test_named_certificates_are_used(tls_emulator: Emulator, certificate: Path) -> None:
    for number, name in enumerate(CA_VARIABLES, 1):
        env: Env = {name: str(certificate)}
        if name == "REQUESTS_CA_BUNDLE":  # it wins over the one for all programs
            env["SSL_CERT_FILE"] = "/nonexistent/ca.pem"
        tls_emulator.queue.append(respond(*cut(RICH.data, "random")))
        with Plugin(tls_emulator.base_url, env=env) as plugin:
            assert same(plugin.turn(ask()).content, RICH.content)
            assert plugin.turn(ask()).text == "ok"
        assert tls_emulator.connections == number


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_bytes_after_a_body_answer_nothing(
    emulator: Emulator, tls_emulator: Emulator, certificate: Path, framing: str
) -> None:
    extra = [at_once(respond(body, framing="length")) for body in (OK, words("extra"))]
    first = extra[0] if framing == "length" else at_once(respond(OK))
    env: Env = {"SSL_CERT_FILE": str(certificate)}
    for server in (emulator, tls_emulator):
        server.queue.extend([[first + extra[1]]] * 3)
        server.queue.append([b"HTTP/1.1 101 Switching Protocols\r\n\r\n"])
        with Plugin(server.base_url, ONCE, env) as plugin:
            assert [plugin.turn(ask()).text for _ in range(3)] == ["ok"] * 3
            assert plugin.turn(ask()).code == "protocol"
            assert plugin.turn(ask()).text == "ok"
        assert len(server.requests) == 5


def relay(client: socket.socket, upstream: Emulator, size: int = 65536) -> None:
    """Carry bytes both ways, those for the client in pieces of this size."""
    with socket.create_connection(("127.0.0.1", upstream.port)) as server:
        pair, data = [client, server], b"."
        while data:
            for ready in select.select(pair, [], [])[0]:
                data = ready.recv(size if ready is server else 65536)
                pair[1 - pair.index(ready)].sendall(data)
                upstream.stopping.wait(0.002)
    raise Done


def test_tls_record_in_pieces_is_read(
    tls_emulator: Emulator, certificate: Path, monkeypatch: Patch
) -> None:
    """Waits end in the middle of a record, and the next ones go on there."""
    monkeypatch.setattr(provider, "_TICK", 0.0005)
    monkeypatch.setenv(CA_VARIABLES[0], str(certificate))
    with Emulator(greeting=lambda sock: relay(sock, tls_emulator, 20)) as slow:
        tls_emulator.queue.append([*respond(RICH.data), close])
        with python_client(slow, base_url=f"https://127.0.0.1:{slow.port}") as client:
            assert same(client.complete(ask())["message"]["content"], RICH.content)


def by_socks(folder: Path, port: int) -> Env:
    return {**planted(folder, socks=SOCKS), "all_proxy": f"socks5://127.0.0.1:{port}"}


def test_socks_turns_have_limits(tls_emulator: Emulator, certificate: Path) -> None:
    env = {**by_socks(certificate.parent, 2), "SSL_CERT_FILE": str(certificate)}
    tls_emulator.routes = {"held": [hold], "begun": unfinished(BEGUN, hold)}
    with Plugin(tls_emulator.base_url, {**ONCE, "idle_timeout": 0.5}, env) as plugin:
        assert [plugin.turn(ask()).text for _ in range(2)] == ["ok", "ok"]
        assert tls_emulator.connections == 1  # they share it
        plugin.turn(ask("begun")).says("idle_timeout")
        ident = plugin.submit(ask("held"))
        request = tls_emulator.wait_request(4)
        plugin.stop(ident)
        assert request.gone.wait(DEADLINE)


@needs_proc
def test_socks_proxy_that_hangs_leaves_nothing_behind(tmp_path: Path) -> None:
    config = {"connect_timeout": 0.1, "max_retries": 4, "retry_base_delay": 0.01}
    with Plugin("https://nowhere.invalid", config, by_socks(tmp_path, 1)) as plugin:
        plugin.ping()
        plugin.ping()
        files, threads, _ = resources(plugin)
        answer = plugin.turn(ask())
        assert answer.code == "timeout" and len(answer.of("retry")) == 4
        answer.says("connect_timeout")
        wait_until(lambda: resources(plugin)[1] <= threads + 1)
        wait_until(lambda: resources(plugin)[0] <= files + 2)


def test_refusal_in_mid_upload(tls_emulator: Emulator, certificate: Path) -> None:
    def greet(sock: socket.socket) -> None:
        """Read the head alone, refuse, and close."""
        with tls.wrap_socket(sock, server_side=True) if tls else sock as conn:
            head = b""
            while b"\r\n\r\n" not in head:
                head += conn.recv(1000)
            conn.sendall(at_once(refuse(413, HTML % "413 Request Entity Too Large")))
        raise Done

    for tls in (tls_emulator.tls, None):
        with Emulator(greeting=greet) as server:
            url = server.base_url.replace("http:", "https:" if tls else "http:")
            with Plugin(url, env={"SSL_CERT_FILE": str(certificate)}) as plugin:
                answer = plugin.turn(ask("x" * 20000000))
            assert (answer.code, answer.error["http_status"]) == ("rejected", 413)
            assert answer.of("retry") == [] and server.connections == 1


# --- errors ------------------------------------------------------------------
LENGTH, ENDED = "Content-Length: ", "stream_cut|protocol"
IN_BR = ("Content-Encoding: br", LENGTH + "9")
HOST = r"127\.0\.0\.1"
# MiniMax's numbers decide, whatever the status and the words beside them.
NUMBERS = """auth 1004 2049, insufficient_balance 1008, quota_exhausted 2056,
    model_unavailable 2061, context_too_long 1039, content_filtered 1026 1027,
    rejected 1042 2013, rate_limited 1002 2045 1041, overloaded 2064,
    upstream 1000 1001 1013 1024 1033"""
STATUSES = dict.fromkeys((408, 409, 500, 502, 503, 504), "upstream")
STATUSES.update(dict.fromkeys((400, 413, 418, 422), "rejected"))
STATUSES.update({401: "auth", 402: "insufficient_balance", 403: "permission"})
STATUSES.update({429: "rate_limited", 529: "overloaded"})
UNTELLING: list[str | Obj] = [
    *("", "no", HTML % "nginx", '{"type": "err', "[1, 2]", "[" * 60000),
    *({"error": "broken"}, api_error("no", "invalid_request_error")),
]
# Status, code, and a message that decides, if it does.
MESSAGES = """
400 model_unavailable invalid params, unknown model 'abc' (2013)
400 model_unavailable Unknown model: abc
400 model_unavailable model MiniMax-M2.5 has been retired
404 model_unavailable 模型不存在
400 context_too_long input exceeded the context limit
404 model_unavailable model: abc
404 rejected nothing here
401 auth invalid api key, unknown model
529 overloaded load; your context window is fine
429 quota_exhausted limit, resets at 2026-05-15T15:00:00Z (2056)
400 context_too_long invalid params, context window exceeds limit (2013)
400 context_too_long prompt is too long: 200001 tokens > 200000 maximum
400 context_too_long input length and `max_tokens` exceed context limit: 1 + 2 > 3
413 context_too_long prompt is too long
422 context_too_long 上下文长度超过限制
400 context_too_long 上下文窗口不足
400 context_too_long 输入内容过长
400 rejected invalid params, tokens (204800) over (196608) (2013)
400 rejected invalid params, this model requires adaptive thinking (2013)
400 rejected invalid params, does not support max tokens > 524288 (2013)
"""
NOT_FOUND: list[str | Obj] = [HTML % "404", "404 page not found", '["model"]']
NOT_FOUND += [{"error": "Not Found"}, {"detail": "Not Found"}]
NO_STREAM: list[str | Obj] = [HTML % "Sign in", "404 page not found", {"hello": 1}]
# Status, body, the error's code, and MiniMax's number if there is one.
ERROR_CASES: list[tuple[int, str | Obj, str, int | None]] = [
    *((404, body, "not_found", None) for body in NOT_FOUND),
    *((200, body, "protocol", None) for body in [*NO_STREAM, base_resp(0, "ok")]),
    *((status, "", "protocol|empty_response", None) for status in (200, 204)),
    (200, {"error": {"message": "high load (2064)"}}, "overloaded", 2064),
    (200, {"type": "overloaded_error", "message": "busy"}, "overloaded", None),
    (404, {"error": "model 'x' not found"}, "model_unavailable", None),
    (400, api_error("用完（2056）"), "quota_exhausted", 2056),
]
PLAN, BALANCE, OLD = "sk-cp-" + "a" * 30, "sk-api-" + "a" * 30, "eyJ" + "a" * 30
# Key, status, message, model, and what the hint names.
HINTS: list[tuple[str, int, str, str | None, str]] = [
    (PLAN, 403, "no", "MiniMax-M2", "MiniMax-M2 MiniMax-M3.1-Flash"),
    (PLAN, 402, "no", "MiniMax-M3", "sk-cp- quota sk-api-"),
    (BALANCE, 402, "no", "MiniMax-M3", "sk-api- balance sk-cp-"),
    (PLAN, 429, "no (2056)", "my-1", "sk-cp- sk-api- 0/0 my-1"),
    (PLAN, 500, "no (2061)", "MiniMax-M2", "sk-cp- MiniMax-M3.1-Flash -highspeed"),
    (PLAN, 404, "", "MiniMax-M3", rf"{HOST}:\d+/anthropic/v1/messages base_url"),
    (PLAN, 400, "no (1039)", "minimax-m2.1", "204,?800 MiniMax-M2.1"),
    (PLAN, 400, "no (1039)", "other-1", "other-1"),
    # This host is not MiniMax's: another region is no help.
    (PLAN, 401, "no", "MiniMax-M3", rf"{HOST} sk-cp- base_url (?!.*region)"),
    ("a" * 30, 401, "no", "MiniMax-M3", f"{HOST} unknown"),
    # Nor has `extra_body` left a model that could be named.
    *((PLAN, status, "no (2061)", None, "(?!.*None)") for status in (400, 403, 529)),
]
for _code, *_numbers in map(str.split, NUMBERS.split(",")):
    for _n in map(int, _numbers):
        _telling = "" if _n == 2013 else "unknown model, context window exceeded, "
        _message = f"{_telling}(204800) tokens, was (1024), now ({_n}) of (99999)"
        _in_text = api_error("long " * 500 + _message)
        _in_field = base_resp(_n, "余额不足")
        _odd = {"type": "odd", "message": _message, "http_code": "500"}
        _bodies: list[tuple[int, str | Obj]] = [
            *((status, _in_text) for status in (400, 401, 404, 429, 500, 529)),
            *((status, _in_field) for status in (200, 402, 500)),
            (429, {"error": _odd}),
            (200, {"base_resp": {"status_code": str(_n), "status_msg": "no"}}),
            (500, "\ufeff" + json.dumps(_in_field)),
            (200, json.dumps(_in_field, indent=1).replace("\n", "\n\n")),
            (500, sse(PING, _in_field).decode()),
        ]
        ERROR_CASES += [(status, body, _code, _n) for status, body in _bodies]
for _status, _code in STATUSES.items():
    ERROR_CASES += [(_status, body, _code, None) for body in UNTELLING]
    if _status not in (400, 413, 422):
        _body = api_error("context window exceeds limit")
        ERROR_CASES.append((_status, _body, _code, None))
for _line in MESSAGES.strip().split("\n"):
    _word, _code, _message = _line.split(" ", 2)
    _found = re.search(r"\((\d{4})\)$", _message)
    _given = int(_found[1]) if _found else None
    ERROR_CASES.append((int(_word), api_error(_message), _code, _given))
LOAD_LINE = cut(LOAD_JSON.encode() + b"\n", "bytes")
BROKEN_HTTP: dict[str, tuple[Script, str]] = {
    "an error, then silence": (unfinished(BEGUN, *LOAD_LINE, hold), "overloaded"),
    "not HTTP": ([b"SSH-2.0-OpenSSH_9.6\r\n\r\n", close], "protocol"),
    "head cut": ([b"HTTP/1.1 200 OK\r\nTy", close], "(protocol|network|stream_cut) "),
    "bad status": ([b"HTTP/1.1 abc OK\r\n\r\n", close], "protocol"),
    "endless header": ([drip(b"X-A: " + b"a" * 9000, 0.0)], "protocol"),
    "endless head": ([b"HTTP/1.1 200 OK\r\n", drip(b"A: a\r\n" * 999, 0)], "protocol"),
    "compressed in secret": (respond(gzip.compress(OK)), "protocol"),
    "unknown encoding": ([response_head(200, *IN_BR), bytes(9)], r"protocol.*\bbr\b"),
    "in an error": ([response_head(500, *IN_BR), bytes(9)], r"upstream.*\bbr\b"),
    "endless size": ([CHUNKED, drip(b"0" * 9999, 0.0)], "protocol"),
    "negative size": ([CHUNKED, chunk(BEGUN), b"-5\r\nabcde\r\n", close], "protocol"),
    "huge chunk": ([CHUNKED, b"7fffffffffffffff\r\n", BEGUN, close], f"({ENDED}) "),
    "chunk cut": ([CHUNKED, b"fff\r\n" + BEGUN, close], "stream_cut"),
    "length cut": ([response_head(200, LENGTH + "5000"), BEGUN, close], "stream_cut"),
    "huge": ([response_head(200, LENGTH + "9" * 18), BEGUN, close], f"({ENDED}) "),
    "reset inside text": (unfinished(BEGUN, reset), "(stream_cut|network) "),
}


@pytest.mark.parametrize("code", sorted({row[2] for row in ERROR_CASES}))
def test_refusal_is_an_error_of_its_code(bench: Bench, code: str) -> None:
    """MiniMax's number decides, then the status, with some of them a message."""
    for status, body, _, number in [row for row in ERROR_CASES if row[2] == code]:
        answer = bench.ask(ask(), *refuse(status, body))
        error, words = answer.error, dump(body)
        assert re.fullmatch(code, error["code"]), (status, words, answer)
        assert error.get("provider_code") == number, (status, words)
        assert status < 300 or error["http_status"] == status
        assert answer.end["partial"] is None and answer.of("turn_start") == []
        assert answer.end["model"] == "MiniMax-M3"
        moment = re.search(r"2026-\S+Z", words)
        assert error.get("reset_at") == (moment and moment[0])
        if isinstance(body, dict) and "request_id" in body:
            assert error["request_id"] == "req_0123"
            told = body["error"]["message"]
            assert told.startswith("long") or told in error["message"]
        if (status, body) == (200, "404 page not found"):
            assert body in error["message"]


def test_hint_names_what_is_involved(bench: Bench) -> None:
    for key, status, message, model, names in HINTS:
        bench.configure({"api_key": key})
        script = refuse(status, api_error(message) if message else "404")
        fields: Obj = {"model": model} if model else {"extra_body": {"model": None}}
        error = bench.ask(ask(**fields), *script).error
        for name in names.split():
            assert re.search(name.replace("(?!", "^(?!"), error["hint"]), error
        assert model or "None" not in error["message"]


@pytest.mark.parametrize("region", REGION_HOSTS)
def test_hint_of_a_refused_key_names_both_regions(region: str) -> None:
    values = {**provider.default_values(), "api_key": PLAN, "region": region}
    url = f"https://{REGION_HOSTS[region]}/anthropic/v1/messages"
    error = provider.ProviderError("auth", "invalid api key")
    words = {"environment": "", "command": "plexum-minimax"}
    provider.explain(error, values, url, "", words)
    named = ["sk-cp-", "plexum-minimax check", *REGION_HOSTS, *REGION_HOSTS.values()]
    assert [word for word in named if word not in error.hint] == []


def test_request_id_is_the_bodys_or_the_first_headers(bench: Bench) -> None:
    names = ["minimax-request-id", "trace-id", "request-id", "x-request-id"]
    for first, name in enumerate(names):
        fields = [f"{name}: from {name}" for name in reversed(names[first:])]
        for body, ident in (("no", f"from {name}"), (api_error("no"), "req_0123")):
            answer = bench.ask(ask(), *refuse(500, body, *fields))
            assert answer.error["request_id"] == ident


def test_unreachable_host_is_a_network_error(bench: Bench) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # and nobody listens
        for host in (f"127.0.0.1:{sock.getsockname()[1]}", "nowhere.invalid"):
            bench.configure({"base_url": "https://" + host})
            answer = bench.plugin.turn(ask())
            assert answer.code == "network" and answer.error["retryable"] is True
            answer.says(re.escape(host))


@pytest.mark.parametrize("name", BROKEN_HTTP)
def test_broken_http_ends_the_turn_alone(bench: Bench, name: str) -> None:
    bench.afresh()
    script, code = BROKEN_HTTP[name]
    answer = bench.ask(ask(), *script)
    assert re.match(code, answer.code + " " + answer.error["message"]), answer
    assert answer.error["retryable"] is True
    assert bench.ask(ask()).text == "ok"


# --- connections ---------------------------------------------------------------
# How a server loses it, how much later it may be, and the error.
LOST: list[tuple[Script, float, str]] = [
    *[([close], 1e9, ""), ([reset], 1e9, "")],
    ([close], -1.0, "network"),  # so late it may have been served already
    ([b"HTTP/1.1 200 O", reset], 1e9, "network"),
    ([b"HTTP/1.1 100 Continue\r\n\r\n", reset], 1e9, "network"),
]
# A body in chunks, and its content (None: no such framing).
CHUNK_CASES: dict[str, tuple[bytes, bytes | None]] = {
    "several": (b"3\r\n012\r\n00B\r\nabcdefghijk\r\n0\r\n\r\n", b"012abcdefghijk"),
    "line ends in the content": (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
    "space around the size": (b" 2 \r\nab\r\n0\r\n\r\n", b"ab"),
    "trailers": (b"1\r\na\r\n0\r\nA: 1\r\nB: 2\r\n\r\n", b"a"),
    "a size line that ends in LF": (b"1\na\r\n0\n\n", b"a"),
    "bytes after the end": (b"1\r\na\r\n0\r\n\r\n5\r\nHTTP/", b"a"),
    "no size": (b"\r\nabc", None),
    "negative": (b"-3\r\nabc\r\n", None),
    "underscore": (b"1_0\r\nabc\r\n", None),
    "too many digits": (b"1" * 17 + b"\r\nabc\r\n", None),
    "a chunk longer than its size": (b"2\r\nabc\r\n0\r\n\r\n", None),
    "a chunk that ends in LF alone": (b"2\r\nab\n0\r\n\r\n", None),
    "an endless size": (b"0" * 70000, None),
}


def test_connection_is_used_again_or_lost_at_no_cost(emulator: Emulator) -> None:
    emulator.queue.extend([kept(OK)] * 20)
    with Plugin(emulator.base_url, ONCE) as plugin:
        for _ in range(20):
            assert plugin.turn(ask()).text == "ok"
        # The next turn may come before the last one has put its connection back.
        assert emulator.connections < 10
        for end in (close, reset, close):
            emulator.queue.append([*respond(OK), end])
            answer = plugin.turn(ask())
            assert answer.text == "ok" and answer.of("retry", "error") == []
            assert answer.end["timing"]["attempts"] == 1
            assert emulator.requests[-1].gone.wait(DEADLINE)
        assert plugin.turn(ask()).text == "ok"


def test_request_lost_is_sent_again(emulator: Emulator, monkeypatch: Patch) -> None:
    """Once, if a kept connection loses it without a byte of an answer."""
    for script, within, code in LOST:
        emulator.reset()
        before = emulator.connections
        monkeypatch.setattr(provider.Exchange, "STALE_SECONDS", within)
        emulator.queue.extend([kept(OK), script, kept(OK)])
        with python_client(emulator) as client:
            _, last = [list(client.turn(ask()))[-1] for _ in range(2)]
        assert last.get("error", {"code": ""})["code"] == code
        used = [request.connection - before for request in emulator.requests]
        assert used == ([1, 1] if code else [1, 1, 2])


@needs_linux
def test_idle_connections_close(emulator: Emulator, monkeypatch: Patch) -> None:
    monkeypatch.setattr(provider.Client, "MAX_IDLE_SECONDS", 0.0)
    emulator.queue.extend([kept(OK), [*kept(OK), close], kept(OK)])
    end = f" 0100007F:{emulator.port:04X} "  # and then its state

    def has_ended() -> bool:
        table = Path("/proc/net/tcp").read_text()
        return not any(end + state in table for state in ("01 ", "08 "))

    with python_client(emulator) as client:
        for _ in range(3):
            assert client.complete(ask())["type"] == "turn_end"
            wait_until(has_ended)
    assert [request.connection for request in emulator.requests] == [1, 2, 3]


def test_turn_gets_no_closed_connection(bench: Bench, monkeypatch: Patch) -> None:
    """urllib3 would open it again, but in 2.x without the proxy's tunnel."""
    pools: Any = urllib3.connectionpool
    is_dropped, found = pools.is_connection_dropped, [False]

    def close_late(connection: Any) -> Any:
        dropped = is_dropped(connection)
        client.close()
        found.append(connection.sock is not None)
        return dropped

    emulator, path = bench.emulator, str(bench.plugin.config_path)
    emulator.queue.extend([kept(OK)] * 2)
    bench.configure({"max_concurrent_turns": 99})
    with provider.MiniMaxProvider.from_config(path) as client:
        client.complete(ask())
        adapter = client._client()._session.get_adapter(emulator.base_url)
        assert adapter._pool_maxsize == 99  # so that each turn finds one again
        monkeypatch.setattr(pools, "is_connection_dropped", close_late)
        assert "retry" not in [event["type"] for event in client.turn(ask())]
    assert found[1] and len({r.connection for r in emulator.requests}) == 2


def dechunked(pieces: Iterable[bytes]) -> list[bytes]:
    reads = iter(pieces)
    return list(provider.dechunk(lambda: next(reads, b"")))


@pytest.mark.parametrize("name", CHUNK_CASES)
def test_chunked_framing_gives(name: str) -> None:
    data, expected = CHUNK_CASES[name]
    for how in ALL_CUTS:
        if expected is None:
            with pytest.raises(ValueError):
                dechunked(cut(data, *how))
        else:
            pieces = dechunked(cut(data, *how))
            # An empty piece would end the answer.
            assert b"".join(pieces) == expected and all(pieces), how


def test_chunks_are_linear_work_and_one_read_is_one_piece() -> None:
    check_linear(lambda n: dechunked([chunk(b"x") * n + LAST_CHUNK]))
    check_linear(lambda n: dechunked([b"%x\r\n" % n, *[b"y"] * n, b"\r\n0\r\n\r\n"]))
    check_linear(lambda n: dechunked([b"1;", *[b"x"] * n, b"\r\nz\r\n0\r\n\r\n"]))
    assert dechunked([chunk(b"ab") * 3, chunk(b"c") + LAST_CHUNK]) == [b"ababab", b"c"]


class Recorded:
    """A connection class as a recorder puts it in: another's, around a real one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.real = urllib3.connection.HTTPConnection(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["real"], name)


def double_send(*args: Any, **kwargs: Any) -> requests.Response:
    """Requests' send, as a test double patches it in: a response of its own."""
    response = requests.Response()
    response.status_code = 200
    response.headers["Content-Type"] = "text/event-stream"
    body = io.BytesIO(RICH.data)
    response.raw = urllib3.HTTPResponse(body, preload_content=False, status=200)
    return response


def test_classes_of_others_serve_turns(emulator: Emulator, monkeypatch: Patch) -> None:
    pool, heard = urllib3.connectionpool.HTTPConnectionPool, threading.Event()
    script = respond(RICH.data[:MIDDLE], wait(heard), RICH.data[MIDDLE:])
    emulator.queue.extend([script, unfinished(BEGUN, hold)])
    monkeypatch.setattr(pool, "ConnectionCls", Recorded)
    with python_client(emulator, idle_timeout=0.5) as client:
        for event in client.turn(ask()):
            if event["type"] == "thinking_delta":
                heard.set()
        assert same(event["message"]["content"], RICH.content)
        assert list(client.turn(ask()))[-1]["error"]["code"] == "timeout"
    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", double_send)
    with python_client(emulator) as client:
        assert same(client.complete(ask())["message"]["content"], RICH.content)


def test_deltas_of_one_read_leave_as_one_line_for_each_text(bench: Bench) -> None:
    deltas = [text(0, "a"), text(0, "b"), PING, text(0, "c"), text(0, "\ud83d")]
    more = [text(1, "x"), text(0, "\ude00"), text(1, "y"), text(1, "z")]
    body = sse(started(), opened(0), *deltas, opened(1), *more, closed(1), *TAIL)
    answer = bench.ask(ask(), *kept(body))
    lines = [(event["index"], event["text"]) for event in answer.of("text_delta")]
    assert lines == [(0, "ab"), (0, "c"), (1, "x"), (0, "\U0001f600"), (1, "yz")]
    assert [b["text"] for b in answer.content] == ["abc\U0001f600", "xyz"]


# ===== A turn: retries, deadlines, cancelling =========================================


def a_date(seconds: int, form: str = "%a, %d %b %Y %H:%M:%S GMT") -> str:
    return time.strftime(form, time.gmtime(time.time() + seconds))


QUICK = {"max_retries": 3, "retry_base_delay": 0.01}
BUSY = refuse(529, LOAD)
RETRIED: dict[str, tuple[Script, str]] = {
    "overloaded": (BUSY, "overloaded"),
    "rate limited": (refuse(429, api_error("slow (1002)")), "rate_limited"),
    "upstream": (refuse(502, HTML % "502"), "upstream"),
    "no response": ([close], "network"),
    "reset": ([reset], "network"),
    "empty": (respond(sse(started(), PING, STOP)), "empty_response"),
    "cut before any block": (respond(sse(started(), PING)), "stream_cut"),
    "error event before any block": (respond(sse(started(), LOAD)), "overloaded"),
    "not a stream": (refuse(200, HTML % "Wait"), "protocol"),
}
BLOCK_BEGUN = sse(started(), opened(0))
NOT_RETRIED: list[Script] = [
    *(refuse(500, base_resp(n, "no")) for n in (1004, 1008, 2061, 2056, 2013, 1026)),
    *(respond(BLOCK_BEGUN + end) for end in (b"", sse(LOAD), b"data: {oops\n\n")),
    refuse(429, "slow", "Retry-After: 600"),  # beyond the turn's end
]
# What it makes of the delay: at least so long, reported at once if over 60, ignored.
RETRY_AFTER: dict[str, float | None] = {
    **{"20": 20, "20.5": 20.5, a_date(3000): 2000, "60": 60, "61": 61, "86400": 86400},
    **{a_date(3000, "%A, %d-%b-%y %H:%M:%S GMT"): 2000, a_date(3000, "%c"): 2000},
    **{a_date(3000, "%a, %d %b %Y %H:%M:%S -0000"): 2000, "9" * 30: 61},
    **dict.fromkeys(("-5", "soon", "", "nan", "1,5", "0x20"), None),
}


@pytest.mark.parametrize("name", RETRIED)
def test_trouble_before_content_is_retried(bench: Bench, name: str) -> None:
    bench.afresh()
    bench.configure(QUICK)
    script, code = RETRIED[name]
    bench.emulator.queue.extend([script, script])
    answer = bench.ask(ask(), *respond(words("ok").replace(b"0001", b"000f")))
    assert answer.text == "ok", answer
    retries = answer.of("retry")
    counts = [(retry["attempt"], retry["max_attempts"]) for retry in retries]
    assert counts == [(1, 4), (2, 4)]
    assert {retry["error"]["code"] for retry in retries} == {code}
    assert answer.end["timing"]["attempts"] == 3
    [start] = answer.of("turn_start")
    assert start["message_id"] == answer.end["message_id"] == "0" * 31 + "f"
    bodies = [request.json for request in bench.emulator.requests]
    assert len(bodies) == 3 and bodies[0] == bodies[1] == bodies[2]


def test_back_off_doubles(bench: Bench) -> None:
    bench.configure(QUICK)
    for status, pace in ((500, 1), (529, 2), (429, 4)):
        bench.emulator.queue.extend([refuse(status, "later")] * 4)
        answer = bench.plugin.turn(ask())
        assert answer.error["http_status"] == status
        assert answer.end["timing"]["attempts"] == 4 and not bench.emulator.queue
        delays = [retry["delay"] for retry in answer.of("retry")]
        assert len(delays) == 3
        for number, delay in enumerate(delays):
            most = QUICK["retry_base_delay"] * pace * 2**number
            assert most / 2 <= delay <= most + 0.0005, delays


def test_final_error_or_begun_answer_is_not_tried_again(bench: Bench) -> None:
    bench.configure({**QUICK, "turn_timeout": 500, "retry_after_max": 1000})
    for number, script in enumerate(NOT_RETRIED):
        answer = bench.ask(ask(), *script)
        assert answer.error["retryable"] is (number > 5) and answer.of("retry") == []
        assert len(bench.emulator.requests) == number + 1
    assert (answer.code, answer.error["retry_after"]) == ("rate_limited", 600)


@pytest.mark.parametrize("value", RETRY_AFTER)
def test_retry_after_is_honoured_up_to_a_limit(bench: Bench, value: str) -> None:
    bench.configure(QUICK)
    least, plugin = RETRY_AFTER[value], bench.plugin
    slow = refuse(429, api_error("slow (1002)"), "Retry-After: " + value)
    bench.emulator.queue.append(slow)
    ident = plugin.submit(ask())
    if least is not None and least > 60:
        assert plugin.answer(ident).error["retry_after"] >= least
        assert plugin.answer(ident).of("retry") == []
        return
    delay = plugin.wait_line("retry", ident)["delay"]
    if least is None:
        assert delay < 5 and plugin.answer(ident).text == "ok"
        return
    assert least <= delay <= least + 1
    plugin.stop(ident)  # in the delay
    assert len(bench.emulator.requests) == 1


# --- limits: each case a turn of its own, all at the same time --------------------
FIRST, IDLE, WHOLE_TURN = "first_event_timeout", "idle_timeout", "turn_timeout"
TEXT_BEGUN, DRIPPING = CHUNKED + chunk(BEGUN), drip(chunk(b"a"))
# A script, the limit that the message names, and what is partial then.
LIMITS: dict[str, tuple[Script, str]] = {
    "silence instead of headers": ([hold], FIRST),
    "dripping head": ([b"HTTP/1.1 200 OK\r\nX-A: ", drip(b"a")], FIRST),
    "dripping 100 Continue": ([drip(b"HTTP/1.1 100 Continue\r\n\r\n")], FIRST),
    "silence instead of a body": ([CHUNKED, hold], FIRST),
    "silence until it closes": ([response_head(200, "Connection: close"), hold], FIRST),
    "dripping pings first": ([CHUNKED, drip(chunk(sse(PING)))], FIRST),
    "dripping line": ([CHUNKED, chunk(b"data: "), DRIPPING], FIRST),
    "dripping chunk size": ([CHUNKED, drip(b"0")], FIRST),
    "silence after message_start": ([CHUNKED, chunk(sse(started(), PING)), hold], IDLE),
    "silence after text": ([TEXT_BEGUN, hold], IDLE),
    "dripping comments": ([TEXT_BEGUN, drip(chunk(b": x\n\n"))], IDLE),
    "dripping line after text": ([TEXT_BEGUN, chunk(b"data: "), DRIPPING], IDLE),
    "dripping chunk extension": ([TEXT_BEGUN, b"5;", drip(b"a")], IDLE),
    "endless progress": ([TEXT_BEGUN, drip(chunk(sse(text(0, "a"))), 0.1)], WHOLE_TURN),
    "empty progress": ([TEXT_BEGUN, drip(chunk(sse(text(0, ""))), 0.1)], WHOLE_TURN),
}
LIMIT_CONFIG: Obj = {**ONCE, FIRST: 1.5, IDLE: 1.5, WHOLE_TURN: 3}
SLOW_ERROR = [response_head(500, "Transfer-Encoding: chunked"), DRIPPING]
# Bytes that come faster than they can be read; each is no event.
FLOODS = {"pings": sse(PING) * 3000, "comments": b": x\n" * 15000}
FLOODS.update({"blank lines": b"\n" * 60000, "empty data": b"data:\n\n" * 8000})
FLOODS.update({"spaces": b" " * 60000, "byte order marks": b"\xef\xbb\xbf" * 20000})
NO_ANSWER = "import threading\nthreading.Event().wait()"
NO_NAMES = """
import socket, threading
real = socket.getaddrinfo
def hanging(host, *args, **kwargs):
    if host == "nowhere.invalid":
        threading.Event().wait()
    return real(host, *args, **kwargs)
socket.getaddrinfo = hanging
"""
_SILENT = [n for n in LIMITS if re.match("silence(?! after text)|dripping head", n)]
CANCEL_PHASES = {name: LIMITS[name][0] for name in _SILENT}
CANCEL_PHASES["inside an error body"] = SLOW_ERROR


def test_limit_is_named(emulator: Emulator) -> None:
    with Plugin(emulator.base_url, LIMIT_CONFIG) as plugin:
        emulator.routes = {name: row[0] for name, row in LIMITS.items()}
        emulator.routes["dripping error body"] = SLOW_ERROR
        for name in emulator.routes:
            plugin.submit(ask(name, id=name))
        for name, (script, limit) in LIMITS.items():
            answer = plugin.answer(name)
            assert answer.code == "timeout", answer
            seconds = re.escape(str(LIMIT_CONFIG[limit]))
            for words in (limit, rf"\b{seconds}\b"):
                assert re.search(words, answer.error["message"]), answer
            assert (answer.end["partial"] is not None) is (script[0] is TEXT_BEGUN)
        answer = plugin.answer("dripping error body")
        assert answer.code in ("timeout", "upstream")
        for request in emulator.requests:
            assert request.gone.wait(DEADLINE), request.text


def test_flood_cannot_outrun_the_time_limit(bench: Bench) -> None:
    for limit, (name, flood) in itertools.product((FIRST, IDLE), FLOODS.items()):
        bench.configure({limit: 0.3})
        begun = TEXT_BEGUN if limit == IDLE else CHUNKED
        answer = bench.ask(ask(), begun, drip(chunk(flood), 0.0))
        # What can never become an event may be told from a stream before.
        if name not in ("comments", "spaces", "byte order marks"):
            assert answer.code == "timeout", (name, answer)
        assert limit in answer.error["message"] or answer.code == "protocol"


@contextlib.contextmanager
def stuck_in(phase: str, folder: Path) -> Iterator[tuple[str, Env]]:
    """A base URL and an environment with which no turn gets beyond a phase."""
    nowhere = "https://nowhere.invalid"
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0 if phase == "tcp" else 16)
        for _ in range(4 if phase == "tcp" else 0):  # then there is no room for more
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(server.getsockname())
        url = f"://127.0.0.1:{server.getsockname()[1]}"
        if phase in ("dns", "socks"):
            no_names = planted(folder, sitecustomize=NO_NAMES) if phase == "dns" else {}
            yield nowhere, no_names or by_socks(folder, 1)
        elif phase == "proxy":
            yield nowhere, {"HTTPS_PROXY": "http" + url}
        else:
            no_import = planted(folder, requests=NO_ANSWER) if phase == "import" else {}
            yield ("https" if phase == "tls" else "http") + url, no_import


@needs_linux
@pytest.mark.parametrize("phase", "dns tcp tls proxy socks import upload".split())
def test_every_phase_has_its_limit_and_cancel(tmp_path: Path, phase: str) -> None:
    turn = ask("x" * (20000000 if phase == "upload" else 1))
    limit = FIRST if phase == "upload" else "connect_timeout"
    with stuck_in(phase, tmp_path) as (url, env):
        answer = one_turn(url, {**ONCE, limit: 0.2}, env, turn)
        assert answer.code == "timeout" and limit in answer.error["message"], answer
        with Plugin(url, {"connect_timeout": 10 * DEADLINE}, env) as plugin:
            ident = plugin.submit(turn)
            plugin.ping()
            plugin.stop(ident)


def check_cancelled(answer: Answer) -> None:
    assert answer.end["type"] == "turn_end", answer
    assert answer.end["stop_reason"] == "cancelled", answer


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("name", CANCEL_PHASES)
def test_cancel_drops_the_connection(bench: Bench, name: str, used: bool) -> None:
    bench.afresh()
    if used:
        assert bench.ask(ask(), *kept(OK)).text == "ok"
    bench.emulator.queue.append(CANCEL_PHASES[name])
    ident = bench.plugin.submit(ask())
    request = bench.emulator.wait_request(1 + used)
    bench.plugin.cancel(ident)
    assert bench.plugin.stop(ident).end["message"] is None
    assert request.connection == bench.emulator.requests[0].connection
    assert request.gone.wait(DEADLINE)
    seen = len(bench.plugin.lines)
    for other in (ident, "nobody", 17):  # of what has ended, or of no turn
        bench.plugin.cancel(other)
    bench.plugin.ping()
    assert [line["type"] for line in bench.plugin.lines[seen:]] == ["pong"]


def test_cancel_inside_a_block_keeps_the_text_so_far(bench: Bench) -> None:
    pieces = [opened(0, "thinking"), thinking(0, "H"), opened(1), text(1, "Hello")]
    pieces += [opened(2, "tool_use"), partial_json(2, '{"a": 1}')]
    bench.emulator.queue.append(unfinished(sse(started(), *pieces), hold))
    ident = bench.plugin.submit(ask())
    bench.plugin.wait_line("input_delta", ident)
    assert same(bench.plugin.stop(ident).content, [A_TEXT])
    assert bench.emulator.wait_request().gone.wait(DEADLINE)


@pytest.mark.parametrize("begun", [False, True])
def test_stopped_process_reads_what_waits(emulator: Emulator, begun: bool) -> None:
    go, sent = threading.Event(), threading.Event()
    head, rest = CHUNKED + chunk(BEGUN), chunk(sse(*TAIL)) + LAST_CHUNK
    steps = [head, wait(go), rest] if begun else [wait(go), head + rest]
    emulator.queue.append([*steps, lambda _: sent.set()])
    with Plugin(emulator.base_url, {FIRST: 0.5, IDLE: 0.5, "max_retries": 0}) as plugin:
        ident = plugin.submit(ask())
        if begun:
            plugin.wait_line("text_delta", ident)
        emulator.wait_request()
        plugin.process.send_signal(signal.SIGSTOP)
        os.waitpid(plugin.process.pid, os.WUNTRACED)
        go.set()
        assert sent.wait(DEADLINE)
        emulator.stopping.wait(0.6)  # no speed is measured: only the limit is outlived
        plugin.process.send_signal(signal.SIGCONT)
        assert plugin.answer(ident).text == "Hello"


def test_process_that_is_stopped_often_obeys_its_limits(monkeypatch: Patch) -> None:
    now = 0.0
    monkeypatch.setattr(provider, "time", types.SimpleNamespace(monotonic=lambda: now))
    scope = provider.Scope()
    scope.arm("idle", 2)
    with pytest.raises(provider.ProviderError, match="idle_timeout"):
        while now < 9:
            now += 0.7
            scope.look()
    assert 2 < now < 4


# ===== Used from Python ===============================================================


def python_client(emulator: Emulator, **options: Any) -> Any:
    fields: Obj = {"api_key": KEY, "base_url": emulator.base_url, "max_retries": 0}
    return provider.MiniMaxProvider(**{**fields, **options})


def timeless(line: Obj) -> Obj:
    """A line without what differs from run to run."""
    rest = {k: v for k, v in line.items() if k not in ("delay", "timing", "id")}
    return {**rest, "attempts": line.get("timing", {}).get("attempts")}


def test_python_events_equal_the_wires(bench: Bench) -> None:
    bench.emulator.answer = lambda request: respond(RICH.data)
    wire = bench.plugin.turn(ask())
    with python_client(bench.emulator) as client:
        events = list(client.turn(ask()))
    assert same([*map(timeless, events)], [*map(timeless, wire.lines)])
    assert all("id" not in event for event in events)


def test_python_complete_and_text(emulator: Emulator) -> None:
    emulator.routes["rich"] = respond(*cut(RICH.data, "random"))
    emulator.routes["poor"] = refuse(402, api_error("no balance (1008)"))
    emulator.routes["cut"] = respond(BEGUN)
    with python_client(emulator) as client:
        raising = functools.partial(client.turn, raise_errors=True)
        end = client.complete(ask("rich"))
        assert end["type"] == "turn_end" and end["stop_reason"] == "tool_use"
        assert same(end["message"]["content"], RICH.content)
        assert "".join(client.text(ask("rich"))) == RICH.content[1]["text"]
        last = list(client.turn(ask("poor")))[-1]
        for make in (client.complete, client.text, raising):
            with pytest.raises(provider.ProviderError) as caught:
                list(make(ask("poor")))
            assert caught.value.to_dict() == last["error"]
            assert str(caught.value).endswith("\n" + last["error"]["hint"])
        with pytest.raises(provider.ProviderError):
            list(client.text(ask("cut")))
        stopped = threading.Event()
        stopped.set()
        assert client.complete(ask(), cancel=stopped)["stop_reason"] == "cancelled"


def test_python_turn_does_not_change_its_input(emulator: Emulator) -> None:
    blocks = [block_text("x"), result("9"), {"type": "image", "url": "http://x"}]
    messages = [{"role": "system", "content": "be brief"}, user(block_text("hi"))]
    messages += [assistant(call("1"), block_text("")), user(*blocks)]
    turn = {"Messages": messages, "tools": [{"name": "f"}], "extra_body": {"a": {}}}
    before = copy.deepcopy(turn)
    with python_client(emulator) as client:
        assert client.complete(turn)["type"] == "turn_end" and same(turn, before)


def test_python_cancel_and_a_bad_one(emulator: Emulator) -> None:
    emulator.answer = lambda request: unfinished(BEGUN, hold)

    def fail() -> None:  # where the answer is read, it could pass for the network's
        if threading.current_thread() is not threading.main_thread():
            raise OSError

    bad = [lambda: 1 // 0, sys.exit, fail]
    with python_client(emulator, idle_timeout=0.3) as client:
        for is_set in bad:
            with contextlib.suppress(ZeroDivisionError, SystemExit):
                end = list(client.turn(ask(), types.SimpleNamespace(is_set=is_set)))[-1]
                assert end["error"]["code"] == "internal"
        assert list(client.turn(ask()))[-1]["error"]["code"] == "timeout"
    rows = (BEGUN, "text_delta", "cancelled"), (HELLO, "turn_end", "end_turn")
    for data, moment, reason in rows:
        emulator.answer = lambda request: unfinished(data, hold)
        cancel, events = threading.Event(), []
        with python_client(emulator) as client:
            for event in client.turn(ask(), cancel=cancel):
                events.append(event)
                if event["type"] == moment:
                    cancel.set()
        [end] = [event for event in events if event["type"] == "turn_end"]
        assert end is event and end["stop_reason"] == reason
        assert end["message"]["content"] == [A_TEXT]


def test_from_config(emulator: Emulator, monkeypatch: Patch, tmp_path: Path) -> None:
    """It alone reads the environment."""
    monkeypatch.setenv("MINIMAX_API_KEY", OTHER_KEY)
    monkeypatch.setenv("MINIMAX_BASE_URL", "http://127.0.0.1:9")
    with python_client(emulator) as client:
        assert client.complete(ask())["type"] == "turn_end"
    monkeypatch.setenv("MINIMAX_BASE_URL", emulator.base_url)
    write_config(tmp_path / "c.json", {"max_tokens_default": 55, "model": "x"})
    made = provider.MiniMaxProvider.from_config(str(tmp_path / "c.json"), model="y")
    with made as client:
        assert client.complete(ask())["type"] == "turn_end"
    keys = [request.header("authorization") for request in emulator.requests]
    assert keys == [["Bearer " + KEY], ["Bearer " + OTHER_KEY]]
    body = emulator.requests[1].json
    assert (body["max_tokens"], body["model"]) == (55, "y")


def test_python_options_that_are_wrong_say_what_they_must_be() -> None:
    rows = ("idle_timeout", 0, "0.001.*86400"), ("effort", KEY, "low")
    for name, value, says in rows:
        with pytest.raises(provider.ProviderError, match=f"{name} .*{says}") as caught:
            provider.MiniMaxProvider(**{name: value})
        assert caught.value.code == "config"
        check_secret(caught.value.message.encode())
    with pytest.raises((provider.ProviderError, TypeError)):
        provider.MiniMaxProvider(api_key=KEY, nonsense=1)
    with provider.MiniMaxProvider() as client:
        [event] = client.turn(ask())
    assert event["error"]["code"] == "config"


def test_python_value_that_is_no_json_is_an_invalid_request(emulator: Emulator) -> None:
    endless = ask()
    endless["extra_body"] = endless
    with python_client(emulator) as client:
        for value in ({1, 2}, object(), float("nan"), b"x", endless):
            for turn in (ask("hi", metadata={"x": value}), value):
                [error] = client.turn(turn)
                assert error["error"]["code"] == "invalid_request"
    assert emulator.requests == []


def test_callers_own_error_is_no_cause_of_the_turns(emulator: Emulator) -> None:
    emulator.answer = lambda request: [close]
    with python_client(emulator) as client:
        try:
            raise ssl.SSLCertVerificationError("the caller's own")
        except ssl.SSLCertVerificationError:
            error = list(client.turn(ask()))[-1]["error"]
    assert (error["code"], error["retryable"]) == ("network", True)
    assert "certificate" not in error["message"] + error["hint"]


# --- programs: import, fork, main ------------------------------------------------
FORKING = """
import multiprocessing, os, threading
url, when = sys.argv[1:]
options = dict(api_key="k" * 20, base_url=url, max_retries=0)
client = plugin.MiniMaxProvider(idle_timeout=2, **options)
def answers(words):
    assert "".join(client.text(ask(words))) == words
def cancelled(cancel, begun):
    for event in client.turn(ask("dripping"), cancel):
        begun.set()
    assert event["stop_reason"] == "cancelled", event
    print("cancelled", flush=True)
def child(number):
    answers("child %d" % number)
    if when == "during":
        assert list(client.turn(ask("held")))[-1]["error"]["code"] == "timeout"
    cancel = threading.Event()
    cancelled(cancel, cancel)
    answers("child %d" % number)
answers("parent")
events = threading.Event(), threading.Event()
thread = threading.Thread(target=cancelled, args=events)
if when == "during":
    thread.start()
    events[1].wait()
context = multiprocessing.get_context("fork")
children = [context.Process(target=child, args=(number,)) for number in range(2)]
any(process.start() for process in children)
any(process.join() for process in children)
assert [process.exitcode for process in children] == [0, 0]
if when == "during":
    events[0].set()
    thread.join()
answers("parent")
print("done", flush=True)
os._exit(0)
"""
# The child ends the turn that its parent is in the middle of.
FORKING_INSIDE = """
import os
with plugin.MiniMaxProvider(api_key="abcdefgh", base_url=sys.argv[1]) as client:
    turn = client.turn(ask("held"))
    for event in turn:
        if event["type"] == "text_delta":
            child = os.fork()
            if child == 0:
                turn.close()
                os._exit(0)
            os.waitpid(child, 0)
            client.complete(ask("go"))
    print(event.get("stop_reason"), event.get("error"))
"""
HALF_IMPORTED = """
import sys
class Finder:
    def find_spec(self, name, *rest):
        if name == sys.argv[2]:
            sys.meta_path.remove(self)
            raise {error}
sys.meta_path.insert(0, Finder())
with plugin.MiniMaxProvider(api_key="k" * 20, base_url=sys.argv[1]) as client:
    for _ in range(2):
        last = list(client.turn(ask("hi")))[-1]
        print(*last.get("error", {{"code": "ok"}}).values())
"""


def test_main_ends_no_program() -> None:
    source = """
for argv in ([], ["--version"], ["--wrong"], ["nonsense"]):
    print("returned", plugin.main(argv), flush=True)
"""
    done = launch(program=as_library(source))
    codes = re.findall(rb"returned (\d+)", done.stdout)
    assert codes == [b"0", b"0", b"2", b"2"], done.stderr.decode()


@pytest.mark.parametrize("module, error", [
    ("requests.adapters", "OSError(24, 'Too many files')"),
    ("urllib3.util.ssl_", "OSError(24, 'Too many files')"),
    ("ssl", "MemoryError"), ("requests", "SystemExit(3)"),
    ("requests", "AttributeError('old')"),
])  # fmt: skip
def test_half_import_is_retried(emulator: Emulator, module: str, error: str) -> None:
    source = HALF_IMPORTED.format(error=error)
    done = launch(emulator.base_url, module, program=as_library(source))
    config, ok = done.stdout.decode().splitlines()
    assert ok == "ok" and re.match("config .*requests.*python", config), done


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("when", ["during", "before"])
def test_forked_child_has_the_settings_and_nothing_else(
    emulator: Emulator, tls_emulator: Emulator, certificate: Path, when: str
) -> None:
    server = emulator if when == "during" else tls_emulator
    together = threading.Barrier(2)
    firsts: list[int] = []  # the connections of the children's first requests

    def script(request: Request) -> Script:
        if request.text.startswith("child") and len(firsts) < 2:
            firsts.append(request.connection)
            return [meet(together), *kept(words(request.text))]
        return kept(words(request.text))

    server.answer = lambda request: server.routes.get(request.text) or script(request)
    more = drip(chunk(sse(text(0, "x"))))
    server.routes["held"] = unfinished(BEGUN, hold)
    server.routes["dripping"] = unfinished(BEGUN, more)
    env: Env = {"SSL_CERT_FILE": str(certificate)}
    done = launch(server.base_url, when, program=as_library(FORKING), env=env)
    assert done.stdout.split()[-1:] == [b"done"], done.stderr.decode()
    assert done.stdout.count(b"cancelled") == 2 + (when == "during")
    assert len({*firsts, server.requests[0].connection}) == 3


@needs_linux
def test_child_forked_inside_a_turn_leaves_it_whole(emulator: Emulator) -> None:
    go = threading.Event()
    emulator.routes["held"] = respond(BEGUN, wait(go), sse(*TAIL))
    emulator.routes["go"] = [lambda _: go.set(), *respond(OK)]
    done = launch(emulator.base_url, program=as_library(FORKING_INSIDE))
    assert done.stdout.split() == [b"end_turn", b"None"], done.stderr.decode()


# ===== The plugin loop ================================================================


def test_one_line_without_id_is_a_complete_session(emulator: Emulator) -> None:
    line = b'{"model":"MiniMax-M3","messages":[{"role":"user","content":"hi"}]}'
    for stdin in (line, b"\xef\xbb\xbf" + line + b"\n"):
        code, lines, _ = run(stdin, emulator.base_url)
        assert code == 0 and lines[-1]["type"] == "turn_end"
        assert {event["id"] for event in lines} == {"turn-1"}
    for stdin in (b"", b"\n\r\n  \n"):  # it never speaks first
        assert run(stdin)[:2] == (0, [])


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


def test_turns_without_id_run_in_order(emulator: Emulator) -> None:
    go = threading.Event()
    emulator.routes.update(held=[hold], one=respond(wait(go), words("first")))
    with Plugin(emulator.base_url) as plugin:
        plugin.send(ask("held", id="turn-2"))
        emulator.wait_request()
        plugin.send(ask("one"), ask("two", id=None), ask("held"))
        emulator.wait_request(2)
        plugin.ping()
        assert [request.text for request in emulator.requests] == ["held", "one"]
        go.set()
        assert plugin.answer("turn-1").text == "first"
        assert plugin.answer("turn-3").text == "ok"
        for name in ("turn-4", "turn-2"):
            plugin.stop(name)
    assert [request.text for request in emulator.requests][:3] == ["held", "one", "two"]


def test_id_is_refused_while_in_flight_and_free_afterwards(bench: Bench) -> None:
    before = len(bench.plugin.loose())
    for count in (1, 2):
        go = threading.Event()
        bench.emulator.queue.append(respond(wait(go), OK))
        bench.plugin.send(ask("hi", id="twin"))
        bench.emulator.wait_request(count)
        bench.plugin.send(ask("hi", id="twin"))
        bench.plugin.ping()
        [line] = bench.plugin.loose()[before + count - 1 :]
        assert (line["error"]["code"], line["ref_id"]) == ("duplicate_id", "twin")
        go.set()
        bench.plugin.wait_line("turn_end", "twin", count)
    assert len(bench.emulator.requests) == 2


def test_queue_is_served_to_its_end_and_busy_if_full(emulator: Emulator) -> None:
    config = {"max_concurrent_turns": 1, "max_queued_turns": 3}
    go = threading.Event()
    emulator.answer = lambda request: respond(wait(go), words(request.text))
    with Plugin(emulator.base_url, config) as plugin:
        plugin.send(ask("a", id="a"))
        emulator.wait_request()
        plugin.send(ask("b", id="b"), ask("c"), *[ask(name, id=name) for name in "de"])
        assert plugin.answer("e").code == "busy"
        plugin.stdin.close()  # those that run and those that wait finish
        go.set()
        assert plugin.wait_exit() == 0
        plugin.check()
    texts = [plugin.answer(name).text for name in ("a", "b", "turn-1", "d")]
    assert texts == [request.text for request in emulator.requests] == list("abcd")


@needs_proc
@pytest.mark.parametrize("queued", [0, 8000])
def test_slow_host_loses_no_end(emulator: Emulator, queued: int) -> None:
    """Turns refused, or cancelled in the queue, and more pongs than a pipe holds."""
    config = {"max_concurrent_turns": 1, "max_queued_turns": queued}
    emulator.routes["held"] = [hold]
    with Plugin(emulator.base_url, config, reading=False) as plugin:
        held = plugin.submit(ask("held"))
        emulator.wait_request()
        count, size = (8000, 50000) if queued else (100, 4000000)
        plugin.write(b'{"type":"ping"}\n' * 20000)
        for number in range(count):
            plugin.send({**ask("x" * size), "id": number})
            if queued:
                plugin.cancel(number)
        plugin.cancel(held)
        assert emulator.requests[0].gone.wait(DEADLINE)
        plugin.start_reading()
        for number in range(count):
            answer = plugin.answer(number)
            assert queued or answer.code == "busy"
        check_cancelled(plugin.answer(held))
        pongs = [line for line in plugin.lines if line["type"] == "pong"]
        assert 1000 <= len(pongs) < 20000
        assert peak_memory(plugin) < ENOUGH_MEMORY


NO_THREADS = """
import os, threading
start = threading.Thread.start
def refused(self):
    if os.path.exists({flag!r}):
        raise RuntimeError("can't start new thread")
    start(self)
threading.Thread.start = refused
"""


def test_turns_without_a_thread_are_busy(emulator: Emulator, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    env = planted(tmp_path, sitecustomize=NO_THREADS.format(flag=str(flag)))
    emulator.routes.update(held=[hold])
    with Plugin(emulator.base_url, {**ONCE, "max_concurrent_turns": 1}, env) as plugin:
        plugin.send(ask("held", id="a"))
        emulator.wait_request()
        plugin.send(*[ask(id=name) for name in "bc"], ask())
        plugin.ping()
        flag.touch()
        plugin.stop("a")
        for ident in ("b", "c", "turn-1"):
            assert plugin.answer(ident).code == "busy"
        assert plugin.turn(ask()).code == "busy"
        flag.unlink()
        assert plugin.turn(ask()).text == "ok"
        assert plugin.close() == 0


def test_ping_and_describe_are_answered_while_a_turn_runs(bench: Bench) -> None:
    bench.emulator.queue.append(unfinished(BEGUN, hold))
    ident = bench.plugin.submit(ask())
    bench.plugin.wait_line("text_delta", ident)
    seen = len(bench.plugin.lines)
    bench.plugin.send({"type": "ping", "id": 5}, {"type": "ping"})
    bench.plugin.send({"type": "describe", "id": "d"}, {"type": "describe"})
    bench.plugin.ping()
    ping, nameless, described, plain, _ = bench.plugin.lines[seen:]
    assert ping == {"type": "pong", "id": 5} and nameless == {"type": "pong"}
    fields = manifest()
    assert same(described, {"type": "manifest", "id": "d", **fields})
    assert same(plain, {"type": "manifest", **fields})
    bench.plugin.stop(ident)


# Lines that are one error line each, and its code.
BAD_LINES: list[tuple[bytes, str]] = [
    (b"hello", "invalid_json"),
    (b'{"type":"ping"}{"type":"ping"}', "invalid_json"),
    (b'{"type":"ping","id":"\xff"}', "invalid_json"),
    (b'{"type":"turn","messages":[],"x":NaN}', "invalid_json"),
    (b'{"type":"turn","messages":[],"x":1e999}', "invalid_json"),
    (b"[" * 100000, "invalid_json"),
    (b"[" * 100000 + b"]" * 100000, "invalid_json|invalid_request"),
    (b'{"type":"pi\x01ng"}', "invalid_json"),
    (b"[1]", "invalid_json|invalid_request"),
    (b"{}", "invalid_request"),
    (b'{"type":"dance"}', "invalid_request"),
    (b'{"type":5,"messages":[]}', "invalid_request"),
    (b'{"type":"ping","Type":"turn"}', "invalid_request"),
    (b'{"type":"ping","id":"a","ID":"b"}', "invalid_request"),
    (b'{"type":"ping","id":{}}', "invalid_request"),
    (b'{"type":"cancel"}', "invalid_request"),
    (b'{"type":"ping","id":"\\ud83d"}', "invalid_request"),
]
for _id in (b'""', b"1.0", b"1.5", b"true", b"false", b"[]", b"{}", b'["a"]'):
    _line = b'{"messages":[{"role":"user","content":"hi"}],"id":' + _id + b"}"
    BAD_LINES.append((_line, "invalid_request"))


@pytest.mark.parametrize("number", range(len(BAD_LINES)))
def test_bad_line_is_one_error_line_and_nothing_else(bench: Bench, number: int) -> None:
    raw, code = BAD_LINES[number]
    before, total = len(bench.plugin.loose()), len(bench.plugin.lines)
    bench.plugin.write(raw + b"\n")
    bench.plugin.ping()
    [line] = bench.plugin.loose()[before:]
    assert re.fullmatch(code, line["error"]["code"]), line
    assert len(bench.plugin.lines) == total + 2
    assert bench.emulator.requests == []


def test_line_errors_say_which_line_and_which_id() -> None:
    code, lines, _ = run(b'\n{"type":"ping"}\r\noops\n{"type":"dance","id":"x"}\n')
    assert code == 0
    assert [line["type"] for line in lines] == ["pong", "error", "error"]
    assert [line["line"] for line in lines[1:]] == [3, 4]
    assert lines[2]["ref_id"] == "x" and "ref_id" not in lines[1]


def test_line_ends_and_single_bytes(bench: Bench) -> None:
    for join in (b"\n", b"\r\n", b"\n\n\r\n", b" \n \t"):
        before = len(bench.plugin.lines)
        bench.plugin.write(join.join([b'{"type":"ping"}'] * 3) + b"\n")
        bench.plugin.ping()
        assert [li["type"] for li in bench.plugin.lines[before:]] == ["pong"] * 4
    line = json.dumps(ask("é😀", id="slow"), ensure_ascii=False).encode() + b"\n"
    for byte in cut(line, "bytes"):
        bench.plugin.write(byte)
    assert bench.plugin.answer("slow").text == "ok"
    assert bench.emulator.requests[0].text == "é😀"


def test_line_too_long_is_skipped_though_another_setting_is_wrong() -> None:
    with Plugin("", {"max_line_bytes": 2000, "region": "pluto"}) as plugin:
        for size in (2001, 100000, 5000000):
            before = len(plugin.loose())
            plugin.write(b'{"id":"' + b"x" * size + b'"}\n')
            plugin.ping()
            [line] = plugin.loose()[before:]
            assert line["error"]["code"] == "line_too_long"
        assert plugin.turn(ask("x" * 1000)).code == "config"
        assert len(plugin.loose()) == 3


# ===== Process rules ==================================================================

A_LINE = dump(ask()).encode()
SESSIONS = {A_LINE: 1, A_LINE + b"\n\n": 1, b"oops\n": 1, b'{"type":"ping"}': 0}
# More than a pipe holds, and less than the buffers of a socket.
MUCH = respond(whole(a_block(0, *["x" * 10000] * 50)))
SESSIONS.update({A_LINE + b'\n{"type":"ping"}\n': 0, dump(ask(id="a")).encode(): 0})


def test_exit_code_is_1_only_for_a_failed_line_alone(emulator: Emulator) -> None:
    emulator.answer = lambda request: refuse(402, api_error("no balance (1008)"))
    for stdin, code in SESSIONS.items():
        assert run(stdin, emulator.base_url)[0] == code, stdin


def test_describe_needs_nothing_heavy_and_leaves_no_thread() -> None:
    """One that watches stdout would keep it open when the calling program closes it."""
    source = """
import threading
loaded = set(sys.modules)  # by start-up files
code = plugin.main([])
for thread in set(threading.enumerate()) - {threading.main_thread()}:
    thread.join()
sys.stderr.write(" ".join([*(set(sys.modules) - loaded), "code:%d" % code]))
"""
    stdin = b'{"type":"describe"}\n{"type":"ping"}\n'
    done = launch(program=as_library(source), stdin=stdin)
    lines = [json.loads(line)["type"] for line in done.stdout.splitlines()]
    assert lines == ["manifest", "pong"] and done.returncode == 0
    loaded = done.stderr.decode().split()
    heavy = "argparse asyncio dataclasses http logging requests socket ssl urllib"
    assert "code:0" in loaded and set(heavy.split()).isdisjoint(loaded), loaded


def test_internal_error_and_stray_output(emulator: Emulator, tmp_path: Path) -> None:
    """They land on stderr, and the process goes on."""
    env = planted(tmp_path, sitecustomize=BROKEN_ONCE)
    with Plugin(emulator.base_url, ONCE, env) as plugin:
        assert plugin.turn(ask()).code == "internal"
        assert plugin.turn(ask()).text == "ok"
        plugin.stdin.close()
        assert plugin.wait_exit() == 0
    for stray in (b"stray print", b"stray write", b"stray child", b"Traceback"):
        assert stray in plugin.errors and stray not in plugin.output
    assert b"planted" in plugin.errors
    check_grammar(bytes(plugin.output))
    check_secret(bytes(plugin.output), plugin.errors)


@pytest.mark.parametrize("closed", [0, 2])
def test_call_by_a_program_that_closed_it(emulator: Emulator, closed: int) -> None:
    """The wire does not get its number, and with it what is read or logged there."""
    program = as_library(f"import os; os.close({closed}); plugin.main([])")
    url = emulator.base_url
    code, lines, _ = run(A_LINE, url, config={"apikey": 1}, program=program)
    assert code == 0 and bool(lines) == bool(closed)


def test_internal_error_without_a_traceback(monkeypatch: Patch, capfd: Any) -> None:
    monkeypatch.setitem(sys.modules, "traceback", None)  # no descriptor to import it
    assert provider.our_error(ValueError("planted")).code == "internal"
    assert "ValueError('planted')" in capfd.readouterr().err


LIMITED = "umask 077; ulimit -f 0; ulimit -n 32; ulimit -c 0; ulimit -l 0;"
NO_CONFIG: Env = {"PLEXUM_MINIMAX_CONFIG": None}
# Variables, and how sh starts the plugin.
SURROUNDINGS: dict[str, tuple[Env, str | None]] = {
    "C locale": ({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, None),
    "odd encoding": ({"PYTHONIOENCODING": "utf-16"}, None),
    "optimised": ({"PYTHONOPTIMIZE": "2", "PYTHONUNBUFFERED": "1"}, None),
    "strict warnings": ({"PYTHONWARNINGS": "error", "PYTHONDEVMODE": "1"}, None),
    "small digit limit": ({"PYTHONINTMAXSTRDIGITS": "640"}, None),
    "nothing": ({"HOME": None, "PATH": None, **NO_CONFIG}, None),
    "empty proxies": ({"HTTP_PROXY": "", "HTTPS_PROXY": "", "NO_PROXY": "*"}, None),
    "no such home": ({"HOME": "/none", **NO_CONFIG}, None),
    "few resources": ({"TMPDIR": "/nonexistent"}, LIMITED + 'exec "$@"'),
    "no stderr": ({}, 'exec "$@" 2>&-'),
    "no directory": ({}, 'mkdir d && cd d && rmdir "$PWD" && exec "$@"'),
}  # fmt: skip
BROKEN_ONCE = """
import os, socket, subprocess
real = socket.getaddrinfo
def broken(*args, **kwargs):
    socket.getaddrinfo = real
    print("stray print", flush=True)
    os.write(1, b"stray write\\n")
    subprocess.call(["sh", "-c", "echo stray child"])
    raise ZeroDivisionError("planted")
socket.getaddrinfo = broken
"""


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_surroundings_change_nothing(emulator: Emulator, name: str) -> None:
    env, shell = SURROUNDINGS[name]
    if shell is not None:
        trial = launch("-c", "import requests", env=env, shell=shell, program=())
        if trial.returncode != 0:
            pytest.skip(f"cannot do that here: {trial.stderr.decode()}")
    digits = "3" * 4300
    emulator.routes["é😀"] = respond(*cut(RICH.data, "random"))
    emulator.routes["call"] = respond(tool_stream(f'{{"n": {digits}}}'))
    turns = [ask("é😀", id="rich"), ask("call", id="call")]
    stdin = b"oops\n" + b"".join(dump(turn).encode() + b"\n" for turn in turns)
    code, lines, errors = run(stdin, emulator.base_url, env=env, shell=shell)
    ends = {line["id"]: line for line in lines if line["type"] == "turn_end"}
    assert code == 0 and b"Traceback" not in errors, errors.decode()
    assert errors == b"" or "PYTHONDEVMODE" in env
    assert same(ends["rich"]["message"]["content"], RICH.content)
    assert str(ends["call"]["message"]["content"][0]["input"]["n"]) == digits


def test_modules_beside_it_are_not_imported(emulator: Emulator, tmp_path: Path) -> None:
    for name in ("json", "requests", "ssl", "queue", "typing"):
        planted(tmp_path, **{name: "raise SystemExit('planted')"})
    code, lines, _ = run(A_LINE, emulator.base_url, cwd=str(tmp_path))
    assert code == 0 and lines[-1]["type"] == "turn_end"


def test_closed_stdin_is_an_empty_session(tmp_path: Path) -> None:
    """Else the wire would take its number, and be read."""
    (tmp_path / "wire").write_bytes(b'{"type":"ping"}\n')
    for shell in ('exec "$@" <&-', 'exec "$@" <&- 1<>wire'):
        assert run(b"", shell=shell, cwd=str(tmp_path))[:2] == (0, [])
    assert (tmp_path / "wire").read_bytes() == b'{"type":"ping"}\n'


@pytest.mark.parametrize("closing", [">&-", "<&- >&-", ">&- 2>&-", ">/dev/full"])
def test_unwritable_stdout_is_exit_3(emulator: Emulator, closing: str) -> None:
    if closing == ">/dev/full" and not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    for stdin in (b'{"type":"ping"}\n', A_LINE):
        code, lines, _ = run(stdin, emulator.base_url, shell='exec "$@" ' + closing)
        assert (code, lines) == (3, [])
    for request in emulator.requests:  # nothing of the protocol went to a socket
        assert request.method == "POST" and b"turn_start" not in request.body


@needs_linux
@pytest.mark.parametrize("writing", [True, False])
def test_closed_pipe_is_exit_0(emulator: Emulator, writing: bool) -> None:
    more = drip(chunk(sse(text(0, "x"))))
    emulator.queue.append([CHUNKED, chunk(BEGUN), more] if writing else [hold])
    with Plugin(emulator.base_url, reading=False) as plugin:
        plugin.submit(ask())
        request = emulator.wait_request()
        plugin.stdout.close()
        assert plugin.wait_exit() == 0
        assert request.gone.wait(DEADLINE)


def test_sigint_is_ignored_and_sigterm_reports_turns(emulator: Emulator) -> None:
    emulator.routes.update(text=unfinished(BEGUN, hold), silent=[hold])
    with Plugin(emulator.base_url, {"max_concurrent_turns": 2}) as plugin:
        streaming = plugin.submit(ask("text"))
        others = [plugin.submit(ask("silent")), plugin.submit(ask("queued"))]
        plugin.wait_line("text_delta", streaming)
        emulator.wait_request(2)
        plugin.process.send_signal(signal.SIGINT)  # stdin is no terminal
        plugin.ping()
        plugin.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(BrokenPipeError):
            others += [plugin.submit(ask()) for _ in range(50)]
        assert plugin.wait_exit() == 0
        plugin.check()
    assert same(plugin.answer(streaming).content, [A_TEXT])
    ends = [line for line in plugin.lines if line["type"] in ("turn_end", "error")]
    assert len(ends) >= 3
    for end in ends:
        code = end.get("error", {}).get("code")
        assert end.get("stop_reason") == "cancelled" or code == "shutting_down", end
    for request in emulator.requests:
        assert request.gone.wait(DEADLINE)


def test_sigterm_when_idle_and_twice(emulator: Emulator) -> None:
    ends = {signal.SIGTERM: ((), ("x", "x" * 50000)), signal.SIGALRM: ((), ("x",))}
    for number, words in [(n, words) for n, rows in ends.items() for words in rows]:
        with Plugin(emulator.base_url) as plugin:
            plugin.ping()
            turns = [plugin.submit(ask(text)) for text in words]
            plugin.process.send_signal(number)  # what came before it is answered
            assert plugin.wait_exit() == 0
        assert all(plugin.answer(ident) for ident in turns)
    emulator.answer = lambda request: [hold]
    with Plugin(emulator.base_url, reading=False) as plugin:
        plugin.submit(ask())
        emulator.wait_request()
        for _ in range(2):
            plugin.process.send_signal(signal.SIGTERM)
        plugin.process.wait(DEADLINE)


def test_sigterm_of_a_full_pipe_is_exit_0(emulator: Emulator) -> None:
    sent = threading.Semaphore(0)
    emulator.answer = lambda request: [*MUCH, lambda exchange: sent.release()]
    with Plugin(emulator.base_url, reading=False) as plugin:
        plugin.send(*[ask(id=number) for number in range(16)])
        assert all(sent.acquire(timeout=DEADLINE) for _ in range(16))
        plugin.process.send_signal(signal.SIGTERM)
        assert plugin.process.wait(DEADLINE) == 0
        output = plugin.stdout.read()  # the last line may be cut
        check_grammar(output[: output.rfind(b"\n") + 1], finished=False)
        check_secret(plugin.errors)


@pytest.mark.parametrize("limit", ["idle_timeout", "turn_timeout"])
def test_unread_time_counts_for_the_turn_alone(emulator: Emulator, limit: str) -> None:
    sent = threading.Event()
    emulator.queue.append([*MUCH, lambda _: sent.set()])
    with Plugin(emulator.base_url, {limit: 0.5, **ONCE}, reading=False) as plugin:
        ident = plugin.submit(ask())
        assert sent.wait(DEADLINE)
        emulator.stopping.wait(0.8)  # no speed is measured: only the limit is outlived
        plugin.start_reading()
        answer = plugin.answer(ident)
    if limit == "idle_timeout":
        assert answer.text == "x" * 500000
    else:
        assert answer.code == "timeout"
        answer.says("turn_timeout")


@needs_linux
def test_pipes_that_do_not_block_change_nothing(emulator: Emulator) -> None:
    emulator.answer = lambda request: MUCH
    start = "import os; [os.set_blocking(fd, False) for fd in (0, 1)]; plugin.main([])"
    stdin = b"".join(dump(ask(id=number)).encode() + b"\n" for number in range(3))
    code, lines, _ = run(stdin, emulator.base_url, program=as_library(start))
    ends = [line for line in lines if line["type"] == "turn_end"]
    sizes = [len(line["message"]["content"][0]["text"]) for line in ends]
    assert sizes == [500000] * 3 and code == 0


# ===== Faults: cuts, volume, secrets, load ============================================


@pytest.mark.parametrize("mode", ["end", "reset", "length", "close"])
def test_cut_stream_is_never_whole(emulator: Emulator, mode: str) -> None:
    # Steps that have no factor in common, so that the modes share few places.
    step = {"end": 3, "reset": 7, "length": 8, "close": 11}[mode]
    places = [*range(0, len(RICH.data), step), len(RICH.data)]
    head = response_head(200, f"Content-Length: {len(RICH.data) + 1}")

    def script(request: Request) -> Script:
        data = RICH.data[: int(request.text)]
        if mode == "reset":
            return unfinished(data, reset)
        if mode == "length":
            return [head, data, close]
        return respond(data, framing="close" if mode == "close" else "chunked")

    emulator.answer = script
    with Plugin(emulator.base_url, {**ONCE, "max_queued_turns": 20000}) as plugin:
        plugin.send(*[ask(str(place), id=place) for place in places])
        answers = [(place, plugin.answer(place)) for place in places]
    is_clean = mode in ("end", "close")
    for place, answer in answers:
        decided = place >= RICH.decided
        if answer.end["type"] == "turn_end":
            assert decided and answer.end["stop_reason"] == "tool_use", (place, answer)
            assert same(answer.content, RICH.content), (place, answer)
            continue
        codes = {"stream_cut"} if is_clean else {"stream_cut", "network"}
        if not answer.of("block_start"):
            codes |= {"empty_response", "protocol"}
        assert answer.code in codes, (place, answer)
        assert not (is_clean and decided), (place, answer)
        partial = (answer.end["partial"] or {"content": []})["content"]
        for got, whole in zip(partial, RICH.content):
            is_begun = got["type"] == "text" and whole["text"].startswith(got["text"])
            assert is_begun or same(got, whole), (place, answer)


# --- volume ---------------------------------------------------------------------
def proc_status(process: Any, name: str) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split(name + ":")[1].split()[0])


def peak_memory(plugin: Plugin) -> int:
    """The most memory the process ever had, in bytes."""
    return proc_status(plugin.process, "VmHWM") * 1024


def resources(plugin: Plugin) -> tuple[int, int, int]:
    """Descriptors, threads and resident bytes of the process."""
    files = len(os.listdir(f"/proc/{plugin.process.pid}/fd"))
    threads, kilobytes = (proc_status(plugin.process, n) for n in ("Threads", "VmRSS"))
    return files, threads, kilobytes * 1024


def wait_until(test: Callable[[], bool]) -> None:
    """Wait for what nothing announces."""
    end = time.monotonic() + DEADLINE
    while not test():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.01)


MEGABYTE = 1024 * 1024
ENOUGH_MEMORY = 320 * MEGABYTE
HTML_HEAD = ("Content-Type: text/html", "Transfer-Encoding: chunked")
PAGES = drip(chunk(b"<p>" * 300000), 0)
BOMB = gzip.compress(b"data: " + bytes(300 * MEGABYTE), 1)
GZIP = ["Content-Encoding: gzip"]
ENDLESS: dict[str, tuple[Script, str]] = {
    "line": ([CHUNKED, chunk(b"data: "), drip(chunk(b"a" * MEGABYTE), 0)], "protocol"),
    "event": ([CHUNKED, drip(chunk(b"data: aaaaaaaaaaaaaa\n" * 50000), 0)], "protocol"),
    "html page": ([response_head(200, *HTML_HEAD), PAGES], "protocol"),
    "error body": ([response_head(500, *HTML_HEAD), PAGES], "upstream"),
    "compressed": (respond(BOMB, framing="length", headers=GZIP), "protocol"),
}


@needs_proc
@pytest.mark.parametrize("name", ENDLESS)
def test_endless_body_is_an_error(emulator: Emulator, name: str) -> None:
    script, code = ENDLESS[name]
    emulator.queue.append(script)
    with Plugin(emulator.base_url, ONCE) as plugin:
        answer = plugin.turn(ask())
        assert answer.code == code, answer
        assert name == "compressed" or emulator.requests[0].gone.wait(DEADLINE)
        assert peak_memory(plugin) < ENOUGH_MEMORY
        assert plugin.turn(ask()).text == "ok"


# --- the key ----------------------------------------------------------------------
ECHOES: dict[str, Callable[[str], Script]] = {
    "error message": lambda key: refuse(401, api_error("invalid api key " + key)),
    "type": lambda key: refuse(400, api_error("no", key)),
    "html": lambda key: refuse(502, HTML % key),
    "404": lambda key: refuse(404, "no page for " + key),
    "base_resp": lambda key: refuse(200, base_resp(1004, "key " + key)),
    "not a stream": lambda key: refuse(200, "hello " + key),
    "request id": lambda key: refuse(500, "x", "minimax-request-id: " + key),
    "status line": lambda key: [f"HTTP/1.1 500 {key}\r\n\r\n".encode(), close],
    "redirect": lambda key: refuse(302, "", "Location: http://127.0.0.1/" + key),
    "midstream": lambda key: respond(BEGUN, sse(api_error("key " + key))),
    "bad JSON": lambda key: respond(BEGUN, b"data: {oops " + key.encode() + b"\n\n"),
    "bad chunk size": lambda key: [CHUNKED, key.encode() + b"\r\n", close],
    "bad status line": lambda key: [key.encode() + b"\r\n\r\n", close],
}
QUOTES = [KEY, "Bearer " + KEY, KEY[-12:], KEY[12:20], f'"{KEY}" "{KEY}"']
EVIL = "\x1b[2J\x07\x9b31m\x00\x1b]52;c;aGk=\x07\u202eevil\u2066\u200f" + "x" * 60000
EVIL_ERROR: Obj = {**api_error(EVIL, EVIL, code=EVIL), "request_id": EVIL}
EVIL_SCRIPTS: list[Script] = [
    refuse(500, EVIL_ERROR),
    refuse(302, EVIL, "Location: /\x1b[2J"),
    refuse(500, "no", "trace-id: \x1b]52;c;aGk=\x07\x9b" + "y" * 5000),
    respond(b"data: {oops " + EVIL.encode() + b"\n\n"),
    respond(sse(started(), EVIL_ERROR)),
    respond(BEGUN, frame({"type": EVIL}), sse(delta(0, EVIL), *TAIL)),
    respond(sse(started(EVIL, EVIL), *A_BLOCK, stopping(EVIL), STOP)),
    [EVIL[:50].encode() + b"\r\n\r\n", close],
]


@pytest.mark.parametrize("name", ECHOES)
def test_quoted_key_is_starred_out(bench: Bench, name: str) -> None:
    for quote in QUOTES:
        answer = bench.ask(ask(), *ECHOES[name](quote))
        assert answer.end["type"] == "error"
        check_secret(dump(answer.lines).encode())
        if name == "error message" and quote == KEY:
            assert re.search(r"key .*\*{8}", answer.error["message"])


def test_key_is_masked_but_for_its_public_prefix() -> None:
    shown = {p + "12345678": p + "*" * 8 for p in ("sk-cp-", "sk-api-", "eyJ")}
    for key in ("k" * 4, "sk-cp-12345", "123456789"):  # short: masked as a whole
        shown[key] = "*" * len(key)
    for key, masked in shown.items():
        redactor = provider.Redactor()
        redactor.add(key)
        assert redactor.text(f"<{key}>") == f"<{masked}>"


def test_upstream_words_command_no_terminal(emulator: Emulator) -> None:
    """Whatever is not the model's content is printable and short."""
    with Plugin(emulator.base_url, {**ONCE, "log_level": "info"}) as plugin:
        for script in EVIL_SCRIPTS:
            emulator.queue.append(script)
            for line in plugin.turn(ask()).lines:
                fields = {**line, **line.get("error", {})}
                fields.pop("hint", None)  # in lines
                if line["type"] not in ("block_end", "text_delta"):
                    check_printable(*fields.values())
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f-\xff]", plugin.errors)
    assert max(map(len, plugin.errors.split(b"\n"))) < 5000


# --- load ---------------------------------------------------------------------------
SOAK: tuple[Script, ...] = (
    *(respond(RICH.data), respond(OK), refuse(500, api_error("oops (1000)"))),
    *(respond(*cut(RICH.data, "random"), framing="close"), unfinished(close)),
    *(respond(RICH.data, framing="length"), respond(OK, framing="length")),
    *(unfinished(RICH.data[: len(RICH.data) // 2], reset), unfinished(OK, hold)),
    *(respond(b"data: {oops\n\n"), respond(OK), [*respond(OK), close]),
)


@needs_proc
def test_hundreds_of_turns_good_and_bad_leak_nothing(emulator: Emulator) -> None:
    with Plugin(emulator.base_url, ONCE) as plugin:
        seen = []
        for count in (12, 45):
            for first in range(count):
                scripts = [SOAK[(first * 8 + i) % len(SOAK)] for i in range(8)]
                emulator.queue.extend(scripts)
                for ident in [plugin.submit(ask()) for _ in range(8)]:
                    plugin.answer(ident)
            emulator.queue.clear()
            assert plugin.turn(ask()).text == "ok"
            seen.append(resources(plugin))
        # What turns have left behind goes within a moment.
        wait_until(lambda: resources(plugin)[0] <= 30 and resources(plugin)[1] <= 4)
    assert seen[1][2] <= seen[0][2] + 16 * MEGABYTE


# --- keys that are files
def key_sent(emulator: Emulator) -> str:
    [header] = emulator.requests[-1].header("authorization")
    return header[len("Bearer ") :]


def test_first_source_that_has_a_key_wins(emulator: Emulator, tmp_path: Path) -> None:
    keys = ["sk-api-" + letter * 24 for letter in "abcd"]
    for name, key in zip(("a key", "minimax-api-key"), keys[2:]):
        write_config(tmp_path / name, key)
    path = str(tmp_path / "a key")
    with python_client(emulator, api_key="", api_key_file=path) as client:
        assert client.complete(ask()) and key_sent(emulator) == keys[2]
    env: Env = {"MINIMAX_API_KEY": keys[0], "CREDENTIALS_DIRECTORY": str(tmp_path)}
    env["PLEXUM_MINIMAX_CONFIG"] = str(tmp_path / "config.json")
    config = {"api_key": keys[1], "api_key_file": "a key"}  # beside the file
    for key, source in zip(keys, ["MINIMAX_API_KEY", "api_key", "api_key_file", ""]):
        write_config(tmp_path / "config.json", config)
        with Plugin(emulator.base_url, {}, env, check_key=False) as plugin:
            assert plugin.turn(ask()).text == "ok" and key_sent(emulator) == key
        assert plugin.errors == b""
        env[source] = None
        config.pop(source, "")


BAD_KEYS: list[tuple[Any, str]] = [  # what the file holds, or makes something else
    (b" \n", "holds no key"),
    (KEY[:20].encode() + b"\n" + KEY[20:].encode(), "white space"),
    (b'{"api_key": "%s"}' % KEY.encode(), "a string of 53 characters"),
    (KEY.encode() + b"\xff", "not UTF-8"),
    (b"k" * 2000000, "larger than"),
    *[(os.mkdir, ""), (os.mkfifo, "")],
]


@pytest.mark.parametrize("name", ["a key", "minimax-api-key"])
def test_key_file_is_not_quoted(emulator: Emulator, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    env: Env = {"MINIMAX_API_KEY": None, "CREDENTIALS_DIRECTORY": str(tmp_path)}
    config = {"api_key_file": str(path)} if name == "a key" else {}
    with Plugin(emulator.base_url, config, env) as plugin:
        for form in ("{}1\n", "{}2\r\n", " {}3 \n\n", "\ufeff{}4"):
            path.write_bytes(form.format(OTHER_KEY).encode())
            assert plugin.turn(ask()).text == "ok"
            assert key_sent(emulator) == OTHER_KEY + form.strip("{} \r\n\ufeff")
        for data, problem in BAD_KEYS:
            if isinstance(data, bytes):
                path.write_bytes(data)
            else:
                path.rename(tmp_path / ("before " + data.__name__))
                data(str(path))
            answer = plugin.turn(ask())
            assert answer.code == "config", data
            answer.says(rf"{name} cannot be used: .*{problem}")


# ===== Wherever it is copied ==========================================================


def test_any_way_to_start_works(emulator: Emulator, tmp_path: Path) -> None:
    copy, link = (str(tmp_path / name) for name in ("some cop'y", "some link"))
    shutil.copyfile(SOURCE, copy)
    os.symlink(SOURCE, link)
    options: Obj = {"base_url": emulator.base_url, "cwd": os.path.dirname(SOURCE)}
    for start in ([copy], [link], ["-m", Path(SOURCE).stem]):
        code, lines, errors = run(A_LINE, program=start, **options)
        assert (code, errors) == (0, b"") and lines[-1]["type"] == "turn_end", start
    done = person("quota", program=[copy], env=NOBODY)
    assert shlex.split(done.err.rpartition("more: ")[2]) == [copy, "check"]


def test_python_3_7_ends_with_one_sentence_that_it_is_too_old() -> None:
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    pythons = [*root.glob("3.7.*/bin/python")] or pytest.skip("needs Python 3.7")
    done = subprocess.run([pythons[0], SOURCE], input=b"", capture_output=True)
    assert done.returncode == 3 and done.stdout == b""
    [line] = done.stderr.decode().splitlines()
    assert "needs Python 3.8 or newer" in line


# --- proxies
def test_proxy_gets_its_login_only(tls_emulator: Emulator, certificate: Path) -> None:
    begin = b"HTTP/1.1 200 Connection established\r\n\r\n"
    with Emulator() as proxy:
        proxy.answer = lambda _: [begin, lambda asked: relay(asked.sock, tls_emulator)]
        env: Env = {"HTTPS_PROXY": f"http://user:pass%20word@127.0.0.1:{proxy.port}"}
        env["SSL_CERT_FILE"] = str(certificate)
        with Plugin(tls_emulator.base_url, env=env) as plugin:
            assert plugin.turn(ask()).text == plugin.turn(ask()).text == "ok"
    [asked] = proxy.requests  # the second turn shares the tunnel
    assert asked.head.startswith(b"CONNECT 127.0.0.1:%d HTTP/1." % tls_emulator.port)
    word = base64.b64encode(b"user:pass word").decode()
    assert asked.header("proxy-authorization") == ["Basic " + word]
    check_secret(asked.head)
    for request in tls_emulator.requests:
        assert request.header("authorization") == ["Bearer " + KEY]
        assert request.header("proxy-authorization") == []


def test_proxy_that_never_ends_its_answer_is_left() -> None:
    with Emulator() as proxy:
        proxy.queue.append([b"HTTP/1.1 200 Connection established\r\n", drip(b"x")])
        config, env = {**ONCE, "connect_timeout": 0.2}, {"HTTPS_PROXY": proxy.base_url}
        with Plugin("https://nowhere.invalid", config, env) as plugin:
            plugin.turn(ask()).says("connect_timeout")
            assert proxy.wait_request().gone.wait(DEADLINE)


def test_proxy_that_cannot_be_used_is_named_without_its_password() -> None:
    hosts = ["[bad", "127.0.0.1:99999", "", "bad host:1", NO_PORT]
    proxies = [f"http://user:secret-word@{host}" for host in hosts]
    proxies += ["ftp://user:secret-word@127.0.0.1:9", "http://:secret-word@/"]
    for proxy in proxies:
        answer = one_turn("https://nowhere.invalid", ONCE, {"HTTPS_PROXY": proxy})
        code = "network" if proxy == proxies[4] else "config"
        assert answer.code == code and "secret" not in repr(answer), (proxy, answer)
        answer.says("HTTPS_PROXY")


# --- install.sh
INSTALLER = Path(SOURCE).with_name("install.sh")
LAUNCHER = "plexum-minimax-provider-plugin"
INSTALLED = {"plexum_minimax_provider.py", "manifest.json", "config.json", LAUNCHER}
TOOLS = "cat chmod cp dirname env ln mkdir mv readlink rm rmdir sed sh".split()
# A plugin that is quick to import, and takes any key.
STUB = """
import sys

def main():
    if "check" in sys.argv:
        print('{"checks": [{"check": "api_key", "text": "good", "status": "ok"}]}')
    else:
        print("It works" if "demo" in sys.argv else "stub VERSION")

if __name__ == "__main__":
    main()
"""
HAS_PIP = any(map(importlib.util.find_spec, ("pip", "ensurepip")))
NO_PIP = "for word; do case $word in -mpip | */pip) exit 1 ;; esac; done"
FULL_DISK = "case $* in *' download '*) echo 'No space left on device'; exit 1 ;; esac"
NO_INDEX = FULL_DISK.replace("No space left on device", "connection broken by an oak")
OLD_VERSION = "import sys; sys.version_info = (%s); exec(sys.argv.pop(1))"
STOPPER = """#!/bin/sh
read -r n <"$STEPS"
echo $((n + 1)) >"$STEPS"
[ "$n" -ne "$STOP_AT" ] || kill -KILL 0
exec '{}' "$@"
"""


def bare_python(folder: Path, sh: str = "", line: str = "", name: str = "py") -> str:
    """A Python that has neither requests nor pip.

    When it starts, `sh` sees its arguments, and `line` runs (from a .pth file, since a
    distribution's sitecustomize comes before others).
    """
    place = Path(tempfile.mkdtemp(dir=str(folder)))
    making = [sys.executable, "-m", "venv", "--without-pip", str(place)]
    subprocess.run(making, check=True)
    script, real = str(place / name), str(place / "bin" / "python")
    [site] = place.glob("lib/python*/site-packages")
    start_up = f"import sys; sys.executable = {script!r}; {line}\n"
    (site / "start_up.pth").write_text(start_up)
    Path(script).write_text(f'#!/bin/sh\nreal={real}\n{sh}\nexec $real "$@"\n')
    os.chmod(script, 0o755)
    return script


class Installer:
    """A checkout in an odd place with the stub in it, a home, and a profile root."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.shell = folder, folder / "home", "sh"
        self.checkout, self.root = folder / "a check'out é $x", folder / 'a "root" ü\\'
        self.target = self.root / "plugins" / "plexum-minimax-provider"
        self.config = self.target / "config.json"
        self.link = self.home / ".local" / "bin" / "plexum-minimax"
        self.checkout.mkdir()
        self.home.mkdir()
        shutil.copy(str(INSTALLER), str(self.checkout))
        self.write_plugin(STUB.replace("VERSION", "0.9"))
        self.env = {"HOME": str(self.home), "PATH": os.environ["PATH"]}
        self.env["PLEXUM_PROFILE_ROOT"] = str(self.root)
        self.env["PYTHON"] = bare_python(folder, line="print('noise')")
        [site] = folder.glob("*/lib/python*/site-packages")
        (site / "requests.py").touch()

    def write_plugin(self, source: str) -> None:
        path = self.checkout / "plexum_minimax_provider.py"
        path.write_text(source, encoding="utf-8")

    def run(self, options: str, code: Any = 0, stdin: str = "", **env: str) -> str:
        """Returns what it printed on both streams; without a `code`, any will do."""
        script = str(self.checkout / "install.sh")
        command = [*self.shell.split(), script, *shlex.split(options)]
        how: Obj = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        how.update(cwd=str(self.folder), env={**self.env, **env}, timeout=DEADLINE)
        how.update(input=stdin.encode(), start_new_session=True)
        done: Any = subprocess.run(command, **how)
        check_secret(done.stdout)
        self.code = done.returncode
        assert code in (None, self.code), done
        return str(done.stdout, "utf-8")

    def version(self) -> str:
        """What the installed plugin answers, with nothing in its environment."""
        command = [str(self.target / LAUNCHER), "--version"]
        return subprocess.check_output(command, cwd="/", env={}).decode()

    def names(self) -> set[str]:
        names = {path.name for path in self.target.iterdir()} - {"__pycache__"}
        return {re.sub(r"^lib-3\.\d+$", "lib", name) for name in names}


@pytest.fixture
def installer(tmp_path: Path) -> Installer:
    if not INSTALLER.is_file() or Path(SOURCE).name != "plexum_minimax_provider.py":
        pytest.skip("a vendored copy has no install.sh")
    return Installer(tmp_path)


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox sh", "zsh --emulate sh"])
def test_install_to_uninstall_in_every_shell(installer: Installer, shell: str) -> None:
    """With no tools but those it needs; from and to odd paths."""
    shutil.which(shell.split()[0]) or pytest.skip("there is no " + shell)
    installer.shell = shell
    tools = installer.folder / "tools"
    tools.mkdir()
    for tool in [*TOOLS, shell.split()[0]]:
        real = shutil.which("busybox" if "busybox" in shell else tool)
        (tools / tool).symlink_to(str(real))
    installer.env["PATH"] = f"{tools}:{installer.link.parent}"
    output = installer.run("--offline --region cn --allow")
    assert "installed  stub 0.9," in output and "It works\n" in output
    assert "noise" not in output and len(output.splitlines()) <= 15
    assert installer.names() == INSTALLED and os.access(str(installer.link), os.X_OK)
    modes = {n: (installer.target / n).stat().st_mode & 0o777 for n in INSTALLED}
    assert modes.pop("config.json") == 0o600 and modes.pop(LAUNCHER) == 0o755
    assert set(modes.values()) == {0o644}
    allowed = installer.root / "plexum.json"
    assert '"allow": [\n      "plexum-minimax-provider"\n' in allowed.read_text()
    installer.write_plugin(STUB.replace("VERSION", "1.0"))
    options = "--upgrade --offline --no-demo --api-key-stdin"
    output = installer.run(options, stdin=f"\ufeff{KEY}\r\n")
    assert "stub 1.0, was 0.9" in output and "stored: good\n" in output
    assert '  2. plexum-minimax say "hello"\n' in output and "--allow" not in output
    assert json.loads(installer.config.read_text()) == {"api_key": KEY, "region": "cn"}
    assert installer.version() == "stub 1.0\n"
    assert "'/\n" not in (installer.target / LAUNCHER).read_text()  # no path to it
    installer.run("--uninstall")
    assert installer.names() == {"config.json"} and not installer.link.is_symlink()
    assert '"allow": []\n' in allowed.read_text()


def make_wheel(folder: Path) -> str:
    """A wheel of an empty requests, in a directory of its own."""
    folder.mkdir()
    metadata = "Metadata-Version: 2.1\nName: requests\nVersion: 9.0\n"
    with zipfile.ZipFile(str(folder / "requests-9.0-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("requests/__init__.py", "")
        wheel.writestr("requests-9.0.dist-info/METADATA", metadata)
        wheel.writestr("requests-9.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
    return str(folder)


def test_pip_obeys_no_setting_that_leads_elsewhere(installer: Installer) -> None:
    HAS_PIP or pytest.skip("there is no pip")
    wheels, bad = make_wheel(installer.folder / "wheels"), str(installer.folder / "bad")
    config = installer.folder / "pip.conf"
    paths, switches = "prefix root target", "user require-virtualenv dry-run"
    rows = [f"{n} = {bad}" for n in paths.split()] + [f"find-links = {wheels}"]
    rows += [f"{n} = true" for n in switches.split()]
    config.write_text("\n".join(["[global]", *rows]))
    env: Any = {f"PIP_{n}": bad for n in ("PREFIX", "ROOT", "TARGET", "CONSTRAINT")}
    env.update({f"PIP_{n}": "1" for n in ("DRY_RUN", "USER", "REQUIRE_VIRTUALENV")})
    env.update(PIP_NO_BINARY=":all:", PIP_NO_INDEX="1", PIP_CONFIG_FILE=str(config))
    installer.run("", **env, PYTHON=bare_python(installer.folder))
    assert installer.names() == INSTALLED | {"lib"} and not os.path.exists(bad)
    assert list(installer.home.rglob("site-packages")) == []


def test_allow_keeps_what_is_there_and_a_backup(installer: Installer) -> None:
    installer.root.mkdir()
    name, add = "plexum-minimax-provider", "--offline --no-demo --allow"
    plexum, real = installer.root / "plexum.json", installer.folder / "real.json"
    plexum.symlink_to(real)  # it stays a link
    for broken in ("{oops", "[]", '{"plugins": []}', '{"plugins": {"allow": {}}}'):
        real.write_text(broken)
        output = installer.run(add, code=1)
        assert f"{plexum} was left alone: " in output and " --allow\n" in output
        assert real.read_text() == broken
    odd = (real, os.mkfifo, os.unlink), (installer.config, os.mkdir, os.rmdir)
    for path, make, remove in odd:
        path.unlink()
        make(str(path))
        assert "json was left alone: it is not a regular" in installer.run(add, code=1)
        remove(str(path))
    for nothing in ('{"plugins": null}', '{"plugins": {"allow": null}}'):
        real.write_text(nothing)
        installer.run(add)
        assert json.loads(real.read_text())["plugins"]["allow"] == [name]
    before = '{"é": [1.5, null], "plugins": {"allow": ["other"], "x": {}}}'
    after = before.replace('"other"', f'"other", "{name}"')
    real.write_text(before, encoding="utf-8")
    real.chmod(0o640)
    for options, said, text, backups in (
        (add, "allowed    in ", after, 1),
        (add, "allowed    already in ", after, 0),
        ("--uninstall", "removed from plugins.allow in ", before, 1),
    ):
        for path in installer.folder.glob("real.json.bak-*"):
            path.unlink()
        old = [real.read_text(encoding="utf-8")] * backups
        assert f"\n{said}{plexum}\n" in installer.run(options)
        assert json.loads(real.read_text(encoding="utf-8")) == json.loads(text)
        assert real.stat().st_mode & 0o777 == 0o640 and plexum.is_symlink()
        kept = installer.folder.glob("real.json.bak-*")
        assert [path.read_text(encoding="utf-8") for path in kept] == old


def test_link_replaces_nothing_of_others(installer: Installer) -> None:
    installer.run("--offline --no-demo --no-link")
    assert not installer.link.parent.exists()
    assert "bin is not on PATH; add it: " in installer.run("--offline --no-demo")
    installer.link.unlink()
    installer.link.write_text("another program")
    output = installer.run("--offline --no-demo")
    assert f"{installer.link} is not a link to the plugin; it was left alone" in output
    installer.run("--uninstall")
    assert installer.link.read_text() == "another program"


def test_dry_run_writes_nothing(installer: Installer) -> None:
    def files() -> list[tuple[object, ...]]:  # without the time when they were read
        paths = sorted(installer.folder.rglob("*"))
        return [(str(path), *path.lstat()[:7], path.lstat().st_mtime) for path in paths]

    for options in ("--allow --region cn --api-key-stdin", "--uninstall"):
        before = files()
        assert "would " in installer.run("--dry-run " + options)
        assert files() == before
        installer.run("--offline --no-demo --allow")


def test_wrong_options_and_pythons_are_one_sentence(installer: Installer) -> None:
    for options in ("--nothing", "--region eu", "--region", "--wheels no", "-- -k"):
        assert installer.run(options, code=2).count("\n") == 1
    useless = [str(shutil.which("true")), "none"]
    for version, name in (("2, 7", "python2.7"), ("3, 6", "python3.6")):
        sh = f"shift 4; exec $real -c '{OLD_VERSION % version}' \"$@\""
        useless.append(bare_python(installer.folder, sh, name=name))
    for python in useless:
        output = installer.run("--offline", code=3, PYTHON=python)
        assert f"no Python 3.8 or newer at {python};" in output, output
        assert output.count("\n") == 1
    for home, root in (("", ""), ("", "a\nb"), ("a\n", "")):
        output = installer.run("", code=1, HOME=home, PLEXUM_PROFILE_ROOT=root)
        assert "set " in output and output.count("\n") == 1
    assert max(map(len, installer.run("--help").splitlines())) <= 80
    assert not installer.root.exists()


def test_failed_download_is_one_sentence_and_a_log(installer: Installer) -> None:
    place = installer.folder / "temporary"
    place.mkdir()
    for sh, said, kept in (
        (FULL_DISK, "no space is left on the disk of ", 0),
        (NO_INDEX, "the package index cannot be reached", 1),
        (NO_PIP, f"the whole output is in {place}", 1),
    ):
        if HAS_PIP or sh == NO_PIP:
            python = bare_python(installer.folder, sh)
            output = installer.run("", code=3, PYTHON=python, TMPDIR=str(place))
            assert said in output and "Errno" not in output
            logs = list(place.glob("tmp.*"))
            assert len(logs) == kept
            for log in logs:
                log.unlink()
    assert "neither pip nor ensurepip" in output and "install.sh: run a" in output
    assert not installer.root.exists()


@needs_linux
def test_interrupted_upgrade_leaves_a_plugin_that_runs(installer: Installer) -> None:
    """It and all that it has started are killed, at each of its commands in turn."""
    installer.run("--offline --no-demo")
    installer.config.write_text('{"api_key": "kept"}')
    installer.write_plugin(STUB.replace("VERSION", "1.0"))
    make_wheel(installer.folder / "a wheel")  # now it brings a requests
    tools, steps = installer.folder / "tools", installer.folder / "steps"
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).write_text(STOPPER.format(shutil.which(tool)))
        (tools / tool).chmod(0o755)
    env: Any = {"PATH": str(tools), "STEPS": str(steps)}
    installer.env["PYTHON"] = bare_python(installer.folder, NO_PIP)
    installer.shell, installer.code, count = str(shutil.which("sh")), -9, 0
    while installer.code == -9:
        count += 1
        steps.write_text("0\n")
        installer.run("--wheels 'a wheel'", None, **env, STOP_AT=str(count))
        assert installer.version() in ("stub 0.9\n", "stub 1.0\n")
        assert installer.config.read_text() == '{"api_key": "kept"}'
    assert installer.code == 0 and count > 15
    assert installer.names() == INSTALLED | {"lib"}
    assert installer.version() == "stub 1.0\n"
    assert "It works" in installer.run("--offline")  # it finds that requests again


def at_terminal(installer: Installer, options: str, *keys: str, code: int = 0) -> str:
    """What it prints at a terminal, where each prompt gets the next key."""
    script = f"cd {shlex.quote(str(installer.checkout))} && exec ./install.sh {options}"
    env: Env = {**NO_VARIABLES, "PLEXUM_MINIMAX_CONFIG": None, **installer.env}
    with AtTerminal("-c", script, program=["/bin/sh"], env=env) as terminal:
        for key in keys:
            terminal.expect(" to skip): ")
            terminal.type(key + "\n")
        assert terminal.end()[0] == code, terminal.output
        assert termios.tcgetattr(terminal._master)[3] & termios.ECHO
    output = terminal.output.decode().replace("\r", "")
    assert not re.search(r"(?m)^(?=  (\d\.|   )).{81}", output)  # of 80 columns
    return output


def test_at_a_terminal_it_ends_in_a_working_chat(installer: Installer) -> None:
    """It asks for the key until one is good, and finds the region that accepts it."""
    with Emulator() as first, Emulator() as second:
        first.answer, right = minimax(models=WRONG_KEY), minimax()
        wrong = iter([WRONG_KEY])  # the first time, then it accepts the key
        second.answer = lambda request: next(wrong, None) or right(request)
        source = Path(SOURCE).read_text(encoding="utf-8")
        for base, server in zip(provider.REGIONS.values(), (first, second)):
            for form in (str, provider.host_of):
                source = source.replace(f'"{form(base)}"', f'"{form(server.base_url)}"')
        installer.write_plugin(source)
        installer.env["PYTHON"] = sys.executable
        installer.env["PATH"] = f"{installer.link.parent}:{os.environ['PATH']}"
        ready = "\nReady. Type this:  plexum-minimax say --chat\n"
        keys = f"{KEY} x", "sk-...", KEY, KEY
        output = at_terminal(installer, "--region global", *keys)
        assert output.count("; try again\n") == 2 and "placeholder" in output
        assert output.count("stored: plan key (sk-cp-), 38 characters\n") == 2
        assert "stored: region cn\n" in output and output.endswith(ready)
        assert "Plexum):\n  3. ./install.sh --allow\n" in output
        assert "It works: " in output
        stored = json.loads(installer.config.read_text())
        assert stored == {"api_key": KEY, "region": "cn"}
        assert at_terminal(installer, "--no-demo").endswith(ready)  # nothing to ask
        again = at_terminal(installer, "--no-demo --api-key-stdin", KEY)
        assert again.endswith(ready)
        second.answer = minimax(models=BUSY)
        output = at_terminal(installer, "--no-demo")  # the key is not at fault
        assert "in a minute.\nNext steps" in output and "  2. plexum-minimax" in output
        bad = installer.run("--api-key-stdin", stdin="sk-...", code=1)
        assert "install.sh: the key is a placeholder" in bad
        assert "  1. export " in bad and " --api-key-stdin <FILE\n" in bad
        assert json.loads(installer.config.read_text()) == stored
        installer.config.unlink()
        for nothing in ("", "\x04"):  # Enter, Ctrl-D
            output = at_terminal(installer, "--no-demo", nothing)
            assert "  1. export MINIMAX_API_KEY=sk-...  # or ./install.sh\n" in output
            assert "(hidden; Enter to skip): \nNext steps" in output
            assert "Ready." not in output
        output = at_terminal(installer, "--no-demo", "\x03", code=130)  # Ctrl-C
        assert output.count("\nNo key was stored. Run install.sh again, or ") == 1


# --- into another program
# A program with a life of its own, which finds nothing changed around it.
HOST_PROGRAM = """
import io, logging, os, signal, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
seen = []
sys.stdout = own_stdout = io.StringIO()
logging.basicConfig(stream=io.StringIO(), level=logging.CRITICAL)
for number in (15, 2, 1):
    signal.signal(number, lambda *_: seen.append("signal"))
threading.excepthook = seen.append
def world():
    handlers = [signal.getsignal(s) for s in (15, 2, 1)], signal.set_wakeup_fd(-1)
    limits = os.getcwd(), sys.getrecursionlimit(), sys.getswitchinterval()
    paths = list(sys.path), dict(os.environ), sys.stdout is own_stdout
    return handlers, limits, paths, logging.root.handlers[:], logging.root.level
before, threads, modules = world(), threading.active_count(), set(sys.modules)
from app.vendor import another, minimax
assert world() == before and threading.active_count() == threads
new = {name.split(".")[0] for name in set(sys.modules) - modules}
heavy = {"requests", "urllib3", "argparse", "typing", "dataclasses", "socket", "ssl"}
assert not new & heavy - set(modules), new
def work(module, number):
    words = "%s %d" % (module.__name__, number)
    turn = {"id": number, "messages": [{"role": "user", "content": words}]}
    options = dict(api_key="sk-%s-00000000" % module.__name__[-3:], base_url=sys.argv[1])
    with module.MiniMaxProvider(**options) as client:
        events = list(client.turn(turn, raise_errors=True))
        assert all(event["id"] == number for event in events)
        assert events[-1]["message"]["content"][0]["text"] == words
        try:
            client.complete({"messages": 5})
        except (another.ProviderError, minimax.ProviderError) as error:
            return type(error) is module.ProviderError
with ThreadPoolExecutor(16) as pool:
    results = list(pool.map(work, [another, minimax] * 8, range(16)))
while threading.active_count() > threads:
    time.sleep(0.001)  # what closes idle connections ends by itself
assert world() == before and not seen and own_stdout.getvalue() == "", (world(), before)
assert results == [True] * 16, results
sys.__stdout__.write("nothing has changed\\n")
"""
# What the system may lack: some of it is missing on Windows, which is not tested.
LESS = """
import os, select, sys
del select.poll, os.set_blocking, os.O_NONBLOCK, os.O_NOCTTY
sys.modules["fcntl"] = sys.modules["termios"] = sys.modules["pwd"] = None
"""


def test_two_vendored_copies_change_nothing(emulator: Emulator, tmp_path: Path) -> None:
    package = tmp_path / "app" / "vendor"  # under other names, in another package
    package.mkdir(parents=True)
    for name in ("minimax.py", "another.py"):
        shutil.copy(SOURCE, str(package / name))
    emulator.answer = lambda request: respond(words(request.text))
    program = ["-W", "error", "-c", HOST_PROGRAM]
    done = launch(emulator.base_url, program=program, cwd=str(tmp_path))
    assert done.returncode == 0 and done.stderr == b"", done.stderr.decode()
    assert done.stdout == b"nothing has changed\n"
    sent = {request.header("authorization")[0] for request in emulator.requests}
    assert sent == {"Bearer sk-max-00000000", "Bearer sk-her-00000000"}


def test_system_that_has_less_serves_turns(emulator: Emulator, tmp_path: Path) -> None:
    emulator.routes = {"held": unfinished(BEGUN, hold)}
    emulator.queue.append(respond(*cut(RICH.data, "random")))
    env = planted(tmp_path, sitecustomize=LESS)
    with Plugin(emulator.base_url, {"api_key": KEY}, env) as plugin:
        assert same(plugin.turn(ask()).content, RICH.content)
        held = [plugin.submit(ask("held")) for _ in range(2)]
        for ident in held:
            plugin.wait_line("text_delta", ident)
        plugin.stop(held[0])
        plugin.process.terminate()
        assert plugin.wait_exit() == 0
        check_cancelled(plugin.answer(held[1]))
    plugin.check()


# ===== The schema: what goes in and comes out is as it says ===========================


def is_valid(line: object, name: str) -> bool:
    """Whether a line is as the schema of that name says."""
    jsonschema = pytest.importorskip("jsonschema")
    one = {"$ref": f"#/$defs/{name}", "$defs": provider.schema()["$defs"]}
    return bool(jsonschema.Draft202012Validator(one).is_valid(line))


def test_schema_refuses_the_lines_that_are_refused(bench: Bench) -> None:
    """But for what it cannot say: two spellings of a field, half a pair, 1.0."""
    for raw, code in BAD_LINES:
        if code == "invalid_request" and not re.search(b"Type|ID|ud83d|1.0", raw):
            assert not is_valid(json.loads(raw), "HostLine"), raw
    pings: list[Obj] = [{"type": "ping", "id": ident} for ident in (None, 0, "a")]
    pings += [{"type": "describe"}, {"type": "describe", "id": "d"}]
    pings += [{"type": "cancel", "id": "nobody"}, {"type": "ping", "more": 1}]
    before = len(bench.plugin.loose())
    bench.plugin.send(*pings)
    bench.plugin.ping()
    assert len(bench.plugin.loose()) == before
    assert all(is_valid(line, "HostLine") for line in pings)


def test_lines_of_the_tables_are_as_the_schema_says(bench: Bench) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    both = jsonschema.Draft202012Validator(provider.schema())
    turns = [ask("hi", **case[0]) for case in FIELD_CASES]
    turns += [ask("hi", tools=[tool]) for tool, _ in TOOL_CASES]
    turns += [ask("hi", tools=row[0], tool_choice=row[1]) for row in CHOICES]
    turns += [ask("hi", thinking=row[0]) for row in THINKING]
    turns += [{"messages": history(row[0])} for row in HISTORIES]
    turns += [image_turn({"type": "image", **fields}) for fields, _ in IMAGE_CASES]
    for turn in turns:
        if set(turn) <= set(provider.TURN_FIELDS) | {"base_url"}:
            assert both.is_valid(turn), turn
        for line in bench.ask(turn).lines:
            both.validate(line)
    for data, _ in EVENT_CASES.values():
        for line in bench.stream(data).lines:
            both.validate(line)


def test_schema_refuses_wrong_lines_and_allows_fields_of_a_later_version() -> None:
    wrong: list[Obj] = [
        {"type": "warning", "id": "a", "code": "surprise", "text": "x"},
        {"type": "text_delta", "id": "a", "index": -1, "text": "x"},
        {"type": "text_delta", "index": 0, "text": "x"},
        {**START, "id": "a", "message_id": 5},
        {**END, "id": "a", "incomplete": False},
        {**turn_end([{"type": "text"}]), "id": "a"},
        {"type": "error", "error": {"code": "config", "message": "m", "hint": "h"}},
        {"type": "surprise", "id": "a"},
    ]
    assert [line for line in wrong if is_valid(line, "PluginLine")] == []
    for event in GOOD:
        assert is_valid({**event, "id": "a", "surprise": 1}, "PluginLine"), event


def test_schema_names_every_code_and_field() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    root = json.loads(launch("--schema").stdout)
    assert root == provider.schema() and "additionalProperties" not in json.dumps(root)
    jsonschema.Draft202012Validator.check_schema(root)
    shapes = root["$defs"]
    assert shapes["ErrorObject"]["properties"]["code"]["enum"] == list(provider.ERRORS)
    assert set(shapes["Warning"]["properties"]["code"]["enum"]) == WARNING_CODES
    assert set(provider.ERRORS) == set(ERROR_CODES)
    assert set(shapes["Turn"]["properties"]) <= set(provider.TURN_FIELDS)
    for kind, fields in TURN_FIELDS.items():
        row = shapes[kind.replace("_", " ").title().replace(" ", "")]
        fields = fields | MAY_HAVE.get(kind, set()) | {"type", "id"}
        assert set(row["properties"]) == fields, kind


# ===== Commands, as a person runs them ================================================

NO_KEY: Env = {"MINIMAX_API_KEY": None}
WRONG_KEY = refuse(401, api_error("login fail: Please carry the API secret key"))
NO_PORT = "127.0.0.1:9"  # the discard service, which nobody runs


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    def says(self, *phrases: str) -> None:
        """Each phrase is printed, if rows are joined that were only wrapped."""
        flat = re.sub(r"\s+", " ", self.out + "\n" + self.err)
        for phrase in phrases:
            assert phrase in flat, (phrase, self.out, self.err)

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def bad(self) -> dict[str, str]:
        """What is not well: check, worst status."""
        order = ["ok", "skipped", "warning", "problem"]
        rows = sorted(self.json["checks"], key=lambda row: order.index(row["status"]))
        worst = {row["check"]: row["status"] for row in rows}
        return {check: status for check, status in worst.items() if status != "ok"}

    def remedy(self, name: str) -> str:
        rows = [row for row in self.json["checks"] if row["check"] == name]
        [row] = [row for row in rows if row["status"] != "ok"]
        return "{text} -> {remedy}".format(**row)


def person(*argv: str, **options: Any) -> Ran:
    """Run a command with pipes all round, as a script does."""
    done = launch(*argv, **options)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    assert b"\x1b" not in done.stderr
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def here(*argv: str, regions: dict[str, str] | None = None, **options: Any) -> Ran:
    """What `person` does, in this process: for speed, or with hosts of the regions."""
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory())
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(2)]
        patch = stack.enter_context(Patch.context())
        patch.setattr(os, "environ", environment(home, **{"base_url": None, **options}))
        for region, base in (regions or {}).items():
            patch.setitem(provider.REGIONS, region, base)
            patch.setitem(provider.HOSTS, provider.host_of(base), region)
        saved = [os.dup(1), os.dup(2)]
        try:
            os.dup2(files[0].fileno(), 1)
            os.dup2(files[1].fileno(), 2)
            code = provider.main(list(argv))
        finally:
            for fd in (1, 2):
                os.dup2(saved[fd - 1], fd)
                os.close(saved[fd - 1])
        texts = [(file.seek(0), file.read())[1] for file in files]
    check_secret(*texts)
    assert b"Traceback" not in texts[1], texts[1].decode()
    return Ran(code, *[text_.decode() for text_ in texts])


def listing(*names: str, **fields: Any) -> Script:
    rows = [{"id": name, "type": "model"} for name in names]
    return refuse(200, {"data": rows, "has_more": False, **fields})


PERCENT, WEEK = "current_interval_remaining_percent", "current_weekly_remaining_percent"


def remains(row: Obj, **fields: Any) -> Obj:
    window: Obj = {"model_name": "MiniMax-M*", PERCENT: 63, WEEK: 20, **row}
    return {**base_resp(0, "success"), "model_remains": [window], **fields}


def minimax(**scripts: Script) -> Callable[[Request], Script]:
    """An emulator's `answer` that knows the three paths of MiniMax's."""

    def answer(request: Request) -> Script:
        if request.target == "/v1/token_plan/remains":
            return scripts.get("quota") or refuse(200, remains({}))
        if request.target.startswith("/anthropic/v1/models"):
            return scripts.get("models") or listing(M31, M3)
        if request.target == "/anthropic/v1/messages":
            return scripts.get("turn") or respond(words("ok", request.json["model"]))
        return refuse(404, "404 page not found")

    return answer


@pytest.fixture
def site(emulator: Emulator) -> Emulator:
    """MiniMax's platform, all well."""
    emulator.answer = minimax()
    return emulator


# --- say: what is sent, and what is printed
HM = a_block(0, "Hm.\nWell.", kind="thinking", sign="5e")
ALOUD = whole(HM, a_block(1, "It is ", "21 C.\x1b[2J\n", "**Fine**."))
A_CALL = a_block(1, '{"city": "Lis', 'bon"}', kind="tool_use", name="get_weather")
CALLED = whole(a_block(0, "Let me see."), A_CALL, reason="tool_use")
HUGE = OK.replace(b'11, "output_tokens": 7', b'null, "output_tokens": 1' + b"0" * 400)
M3, M31 = "MiniMax-M3", "MiniMax-M3.1-Flash"
PICTURE_URL = "https://a.example/b.png"
PICTURES = [{"type": "image", "source": {"type": "url", "url": PICTURE_URL}}]
PICTURES.append({"type": "image", "source": source()})
# arguments, stdin; the text of the last message, or fields of the body
SENT: list[tuple[str, str, Obj | str]] = [
    ("hello there", "", "hello there"),
    ("", "piped\n", "piped"),
    ("review", "a\n+x\n", "review\n\na\n+x"),
    ("-- -v is what?", "", "-v is what?"),
    ("", "\u00e9\U0001f600 \udcff\n", "\u00e9\U0001f600 \ufffd"),
    ("x", "", {"model": M3, "max_tokens": 4096}),
    ("-m m3 x", "", {"model": M3}),
    ("-m M3 x", "", {"model": M3}),
    ("--model minimax/minimax-m3.1-flash x", "", {"model": M31}),
    ("--system brief x", "", {"system": "brief"}),
    ("--max-tokens 77 x", "", {"max_tokens": 77}),
    ("--thinking x", "", {"thinking": {"type": "adaptive"}}),
    ("--no-thinking x", "", {"thinking": {"type": "disabled"}}),
    ("-m flash --effort low x", "", {"output_config": {"effort": "low"}}),
    ("--temperature 0.5 --top-p 0.9 x", "", {"temperature": 0.5, "top_p": 0.9}),
    (f"--image {PICTURE_URL} --image 'a b.png' x", "",
     {"messages": [{"role": "user", "content": [*PICTURES, block_text("x")]}]}),
    ("--chat", "one\n\n two \n", "two"),
    ("--chat", "one\nexit\nno\n", "one"),
    ("--chat", '"""\n  def f():\n    pass\n"""\n', "  def f():\n    pass"),
    ("--chat", "/usr/bin is what?\n", "/usr/bin is what?"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(SENT)))
def test_say_sends(site: Emulator, tmp_path: Path, number: int) -> None:
    argv, stdin, sent = SENT[number]
    (tmp_path / "a b.png").write_bytes(PNG)
    options: Obj = {"base_url": site.base_url, "cwd": str(tmp_path)}
    options["stdin"] = stdin.encode("utf-8", "surrogateescape")
    done = person("say", *shlex.split(argv), **options)
    assert (done.code, done.out) == (0, "ok\n" * len(site.requests)), done
    assert done.err == "" and site.requests
    if isinstance(sent, str):
        assert site.requests[-1].text == sent
    else:
        assert {key: site.requests[-1].json.get(key) for key in sent} == sent


ONE_ROW = "No API key. Set MINIMAX_API_KEY, or run ./install.sh --api-key-stdin."
NOBODY: Env = {"MINIMAX_BASE_URL": "http://" + NO_PORT}
NO_SUCH_HOST: Env = {"MINIMAX_BASE_URL": "https://nowhere.invalid"}
PLATFORM: Env = {"MINIMAX_BASE_URL": "https://api.minimax.io/anthropic"}
NO_PROXY_THERE: Env = {**PLATFORM, "HTTPS_PROXY": f"http://user:{KEY}@{NO_PORT}"}
PAID: Env = {"MINIMAX_API_KEY": "sk-api-" + "w" * 30}
RESET = refuse(429, api_error("limit, resets at 2040-05-15T15:00:00Z (2056)"))
NO_MODEL = refuse(400, api_error("invalid params, unknown model 'x' (2013)"))
ODD_ID = refuse(400, {**api_error("no\x1b[2J"), "request_id": "\x1b]52;c;eA\x07"})
BROKEN_IN = whole([opened(0), text(0, "o"), delta(0, "odd"), text(0, "k"), closed(0)])
FULL_LENGTH = whole(a_block(0, "ok"), reason="max_tokens")
STORY = "Once upon a time\n"
CUT = unfinished(words(STORY[:-1])[:-150], close)
RETIRED = "warning: MiniMax-M2.7 was retired on 2026-11-18"
# Arguments, variables, the answer (None: nothing may be asked); exit code, stdout (None:
# anything), what is printed.
PRINTED: list[tuple[str, Env, Script | None, int, str | None, str]] = [
    ("say x", {}, respond(ALOUD), 0, "It is 21 C.\x1b[2J\n**Fine**.\n", ""),
    ("say -v x", {}, respond(ALOUD), 0, None,
     "MiniMax-M3: 11 in, 7 out; $0.000012; first token "),
    ("say -v x", {}, respond(HUGE), 0, "ok\n",
     "MiniMax-M3: token count unknown; first token"),
    ("say x", {}, respond(CALLED), 0, "Let me see.\n",
     'tool call: get_weather {"city":"Lisbon"}'),
    ("say x", {}, respond(FULL_LENGTH), 0, "ok\n", "raise --max-tokens"),
    ("say x", {}, respond(whole(HM)), 0, "", "warning: "),
    ("say x", {}, respond(BROKEN_IN), 0, "ok\n", "warning: "),
    ("say -m MiniMax-M2.7 x", {}, respond(OK), 0, "ok\n", RETIRED),
    ("say --temperature 5 x", {}, None, 2, "", "--temperature must be from 0 to 2|usage"),
    ("say --top-p nan x", {}, None, 2, "", "--top-p must be from 0 to 1|usage: "),
    ("say --max-tokens 0 x", {}, None, 2, "", "--max-tokens must be from 1 to 10,000,000"),
    ("say --chat /foo", {}, respond(OK), 0, "ok\n", ""),
    ("say x", NO_KEY, None, 1, "", f"error: {ONE_ROW}"),
    ("say --chat", NO_KEY, None, 1, "", f"error: {ONE_ROW}"),
    ("say --raw --history /no/x.json x", {}, None, 1, "",
     "--history /no/x.json: No such"),
    ("say x", {"MINIMAX_REGION": "europe"}, None, 1, "", "MINIMAX_REGION|restart"),
    ("say x", NOBODY, None, 1, "", "error: network: |refused|check"),
    ("say x", NO_SUCH_HOST, None, 1, "", "error: network: |nowhere.invalid|check"),
    ("say x", NO_PROXY_THERE, None, 1, "", "error: network: |proxy|HTTPS_PROXY"),
    ("say -m minimax-m3.1 x", {}, None, 1, "", f'did you mean "{M31}"?'),
    ("say -m MiniMax-M4 x", {}, respond(OK), 0, "ok\n", "asked for MiniMax-M4"),
    ("say --image no.png x", {}, None, 1, "",
     "no.png: it cannot be read: No such file"),
    ("say --image . x", {}, None, 1, "", "error: --image .: it is not a regular file"),
    ("say", {}, None, 2, "", "usage: | say [options]|nothing to send"),
    ("say --modle", {}, None, 2, "", 'no option --modle; did you mean "--model"?|say [o'),
    ("say x", {}, WRONG_KEY, 1, "", "error: auth: HTTP 401: login fail|check"),
    ("chek", {}, None, 2, "", 'no command chek; did you mean "check"?|usage: '),
    ("check all", {}, None, 2, "", "error: unexpected argument all| check [--offline]"),
    ("demo --json", {}, None, 2, "", "no option --json; --help lists|usage: "),
    ("--capture d say x", {}, None, 2, "", "command comes first|COMMAND [options]"),
    ("say x", {}, refuse(402, base_resp(1008, "no balance")), 1, "",
     "error: insufficient_balance: |top it up|pay-as-you-go key|check"),
    ("say x", {}, RESET, 1, "", "error: quota_exhausted: |wait for|2040-05-15| quota"),
    ("say x", {}, NO_MODEL, 1, "", f"error: model_unavailable: |{M31}|models --live"),
    ("say x", {}, ODD_ID, 1, "", "error: rejected: HTTP 400: no [2J"),
    ("say x", {}, CUT, 1, STORY, "error: stream_cut: |check"),
    ("quota", {}, refuse(200, base_resp(1004, "no cookie")), 1, "", "error: auth:|check"),
    ("quota", PAID, None, 0, None, "no plan quota; your pay-as-you-go key"),
    ("quota", NOBODY, None, 1, "", "network|Check DNS|find out more: "),
    ("models --live", {}, refuse(302, "", "Location: http://127.0.0.1:9/x"), 1, "",
     "error: rejected: "),
    ("models --live", {}, unfinished(b'{"data": [', close), 1, "", "error: protocol: "),
    ("--log-level loud", {}, None, 2, "", "usage: |--log-level"),
    *((key, {}, None, 2, "", "usage: ") for key in (KEY, f"say --api-key={KEY}")),
    (f"--log-level {KEY}", {}, None, 2, "", "usage: "),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(PRINTED)))
def test_command_prints(site: Emulator, number: int) -> None:
    argv, env, answer, code, output, phrases = PRINTED[number]
    site.answer = lambda request: answer or respond(OK)
    env = {"HTTPS_PROXY": None, **env}
    done = person(*shlex.split(argv), base_url=site.base_url, env=env)
    assert (done.code, len(site.requests)) == (code, answer is not None), done
    assert output is None or done.out == output
    assert phrases or done.err == ""
    done.says(*phrases.split("|"))
    assert "retry: " not in done.err
    assert not re.search(f"more: .* {argv.partition(' ')[0]}\\b", done.err)
    wide = [row for row in done.err.splitlines() if len(row) > 80]
    assert all(SOURCE in row for row in wide), wide


def test_overload_is_tried_again_and_named(site: Emulator) -> None:
    site.answer = None
    site.queue.append(BUSY)
    done = person("say", "hi", base_url=site.base_url, config=QUICK)
    assert (done.code, done.out) == (0, "ok\n")
    done.says("retry: overloaded: HTTP 529: ", "high load (2064); again in 0.", "of 4)")


def test_events_as_json_are_those_of_the_wire(site: Emulator) -> None:
    site.answer = minimax(turn=respond(ALOUD))
    done = person("say", "--json", "hi", base_url=site.base_url)
    lines = [{"id": "a", **parse_line(raw)} for raw in done.out.encode().splitlines()]
    check_grammar(lines_of(*lines))
    assert lines[-1]["type"] == "turn_end" and (done.code, done.err) == (0, "")
    site.answer = minimax(turn=WRONG_KEY)
    done = person("say", "--json", "hi", base_url=site.base_url)
    assert done.json["error"]["code"] == "auth" and (done.code, done.err) == (1, "")


def test_conversation_goes_on_from_its_file(site: Emulator, tmp_path: Path) -> None:
    file = tmp_path / "talk.json"
    site.answer = None
    site.queue.extend([respond(RICH.data), WRONG_KEY, respond(words("two"))])
    argv = ("say", "--history", str(file))
    say = functools.partial(person, *argv, base_url=site.base_url)
    file.touch()
    assert say("one").code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    assert say("lost").code == 1 and file.read_bytes() == before
    assert say("--chat", stdin=b"three\nfour\n").code == 0
    talk = json.loads(file.read_text())
    assert list(talk) == ["messages"] and list(tmp_path.iterdir()) == [file]
    texts = [m["content"] for m in talk["messages"] if m["role"] == "user"]
    assert texts == ["one", "three", "four"]
    assert same(talk["messages"][1], {"role": "assistant", "content": RICH.content})
    assert site.requests[-1].json["messages"][0]["content"] == "one"
    for content in (b"[]", b"{oops", b'{"messages": 7}', b"\xff"):
        file.write_bytes(content)
        say("five").says("error: --history", "it holds no conversation")


def test_conversation_outlives_a_full_disk(site: Emulator, tmp_path: Path) -> None:
    site.answer = minimax(turn=respond(OK))
    name = "n" * 252  # no room for the end of a temporary name
    argv = ("say", "--chat", "--history", str(tmp_path / name))
    done = person(*argv, stdin=b"one\ntwo\n", base_url=site.base_url)
    assert (done.code, done.out) == (0, "ok\nok\n")
    done.says("was not saved: File name too long")
    assert len(site.requests[1].json["messages"]) == 3


# --- standard streams that are odd, Ctrl-C
@contextlib.contextmanager
def running(*argv: str, base_url: str | None = None, **pipes: Any) -> Iterator[Any]:
    """A command that runs, and what waits for its exit code and stderr."""
    streams: Obj = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    streams.update({"stdin": subprocess.DEVNULL, **pipes})
    process: Any
    with tempfile.TemporaryDirectory() as home:
        streams["env"] = environment(home, base_url)
        with subprocess.Popen([sys.executable, SOURCE, *argv], **streams) as process:
            try:
                yield process, lambda: (process.wait(DEADLINE), process.stderr.read())
            finally:
                process.kill()


@pytest.mark.parametrize("argv", [["demo"], ["models"], ["--help"], ["--manifest"]])
def test_command_whose_reader_has_gone_ends_quietly(argv: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with running(*argv, stdout=writer) as (_, ending):
        os.close(writer)
        assert ending() == (141, b"")


@pytest.mark.parametrize("history", [[], ["--history", "talk.json"]])
def test_say_to_nobody(site: Emulator, tmp_path: Path, history: list[str]) -> None:
    """A reader that goes away drops the turn, unless a file is to get it."""
    left = threading.Event()
    begun = sse(started(), opened(0), text(0, "a\n"))
    rest = chunk(sse(text(0, "b\n")))
    last = rest + chunk(sse(*TAIL)) + LAST_CHUNK if history else drip(rest)
    site.answer = minimax(turn=unfinished(begun, wait(left), last))
    options: Obj = {"base_url": site.base_url, "cwd": str(tmp_path)}
    with running("say", *history, "hi", **options) as (process, ending):
        assert process.stdout.readline() == b"a\n"
        process.stdout.close()
        left.set()
        assert ending() == (141, b"")
        assert history or site.requests[0].gone.wait(DEADLINE)
    for file in history[1:]:
        messages = json.loads((tmp_path / file).read_text())["messages"]
        assert messages[1]["content"] == [block_text("a\nb\n")]


@pytest.mark.parametrize("name", ["say hi", "check", "quota", "models --live"])
def test_ctrl_c_ends_a_command(site: Emulator, name: str) -> None:
    is_say = name == "say hi"
    site.answer = lambda request: unfinished(BEGUN, hold) if is_say else [hold]
    with running(*name.split(), base_url=site.base_url) as (process, ending):
        request = site.wait_request()
        assert not is_say or process.stdout.read(5) == b"Hello"
        process.send_signal(signal.SIGINT)
        assert ending() == (130, b"note: cancelled\n" if is_say else b"")
        assert process.stdout.read() == (b"\n" if is_say else b"")
        assert request.gone.wait(DEADLINE)


# Arguments, the shell; exit code, what the file `answer`, or else stderr, holds.
ODD_STREAMS: list[tuple[str, str, int, str]] = [
    ("say hi", 'exec "$@" <&- >answer', 0, "ok\n"),
    ("say hi", 'exec "$@" 2>&- >answer', 0, "ok\n"),
    ("say hi", 'exec "$@" >&-', 3, ""),
    ("say -v hi", 'exec "$@" 2>/dev/full >answer', 0, "ok\n"),
    ("say -v hi", '{ "$@" 2>&1 >answer; } | true', 0, "ok\n"),
    ("say --chat", 'exec "$@" 0>/dev/null', 0, "stdin cannot be read"),
    ("say x", 'exec "$@" >/dev/full', 3, "stdout cannot be written"),
]


@needs_linux
@pytest.mark.parametrize("number", range(len(ODD_STREAMS)))
def test_odd_standard_streams(site: Emulator, tmp_path: Path, number: int) -> None:
    argv, shell, code, output = ODD_STREAMS[number]
    options: Obj = {"base_url": site.base_url, "shell": shell, "cwd": str(tmp_path)}
    done = launch(*argv.split(), **options)
    assert done.returncode == code and b"Traceback" not in done.stderr, done.stderr
    if "answer" in shell:
        assert (tmp_path / "answer").read_text() == output
    assert "answer" in shell or output in done.stderr.decode()


def test_stdin_that_is_waited_for_is_named(site: Emulator) -> None:
    url, pipe = site.base_url, subprocess.PIPE
    with running("say", "hi", base_url=url, stdin=pipe) as (process, _):
        assert process.stderr.readline().startswith(b"reading stdin first (")
        assert not site.requests
        assert process.communicate(b"there")[0] == b"ok\n"
    assert site.requests[0].text == "hi\n\nthere"


# --- at a terminal
AT_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class AtTerminal(Managed["AtTerminal"]):
    """A command at a pseudo-terminal, and a person who types."""

    def __init__(self, *argv: str, **session: Any) -> None:
        """Session: `columns`, whether stdout is `piped`, and what `launch` takes."""
        self.home = tempfile.TemporaryDirectory()
        self.output = b""
        self._seen = 0  # where to look for what is expected next
        self._master, terminal = pty.openpty()
        size = struct.pack("HHHH", 24, session.pop("columns", 80), 0, 0)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)
        session["env"] = {"TERM": "xterm", **session.get("env", {})}
        program = session.pop("program", (sys.executable, SOURCE))
        command = [sys.executable, "-c", AT_TERMINAL, *program, *argv]
        how: Obj = dict.fromkeys(("stdin", "stdout", "stderr"), terminal)
        how["stdout"] = subprocess.PIPE if session.pop("piped", False) else terminal
        how["env"] = environment(self.home.name, **session)
        self.process: Any = subprocess.Popen(command, start_new_session=True, **how)
        os.close(terminal)

    def type(self, keys: str, *phrases: str) -> None:
        """Type, and wait until each of `phrases` is shown."""
        os.write(self._master, keys.encode())
        for phrase in phrases:
            self.expect(phrase)

    def _read(self, seconds: float) -> bool:
        piece = b""
        if select.select([self._master], [], [], seconds)[0]:
            with contextlib.suppress(OSError):  # so Linux says that it is closed
                piece = os.read(self._master, 65536)
        self.output += piece
        return piece != b""

    def expect(self, phrase: str, again: str = "") -> None:
        """Wait until `phrase` is shown, after what was expected before.

        Type `again` every three seconds: readline misses a Ctrl-C between two reads.
        """
        wanted = phrase.encode()
        while wanted not in self.output[self._seen :]:
            if not self._read(3.0 if again else DEADLINE):
                assert again, (phrase, self.output)
                self.type(again)
        self._seen = self.output.index(wanted, self._seen) + len(wanted)

    def end(self) -> tuple[int, list[str]]:
        """The exit code and the rows of the screen, without colours."""
        while self._read(DEADLINE):
            pass
        check_secret(self.output)
        assert b"Traceback" not in self.output, self.output.decode()
        shown = re.sub(rb"\x1b\[[0-?]*[ -/]*[@-~]", b"", self.output).decode()
        rows = [row.rsplit("\r", 1)[-1] for row in shown.split("\r\n")]
        return self.process.wait(DEADLINE), [row.rstrip() for row in rows]

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        with self.process:
            os.close(self._master)
        self.home.cleanup()


LONG_THOUGHT = "the quick brown fox jumps over the lazy dog " * 4 + "世界" * 45
MARKDOWN = (
    "# Title\n\nSome **bold *text*** and `co**de`.\n\n- one\n  * two\n\n"
    "```py\nx = **y**  # no `mark`\n- z\n```\nafter 2 ** 3, a * b - c\n"
)
UNSEEN = "a\u200b\u200e\u202eb\U000e0041\x9b\ufeff"
LIST = ["Title", "", "Some bold *text* and co**de.", "", "\u2022 one", "  \u2022 two", "",
        "```py", "x = **y**  # no `mark`", "- z", "```", "after 2 ** 3, a * b - c"]  # fmt: skip
SPOKEN = ["| Hm.", "| Well.", "", "It is 21 C.\\x1b[2J", "Fine.", "MiniMax-M3: 11 in"]
PLAIN = [*SPOKEN[:4], "**Fine**.", ""]
ESCAPED = "a\\u200b\\u200e\\u202eb\\U000e0041\\x9b\\ufeff"
WEATHER = ["Let me see.", 'tool call: get_weather {"city":"Lisbon"}']
# Option, the answer, variables; how the rows of the screen begin.
TERMINAL_CASES: dict[str, tuple[str, bytes, Env, list[str]]] = {
    "thinking": ("", ALOUD, {}, SPOKEN),
    "hidden thinking": ("--hide-thinking", ALOUD, {}, SPOKEN[3:4]),
    "no colours": ("-q", ALOUD, {"NO_COLOR": "1"}, PLAIN),
    "a dumb terminal": ("-q", ALOUD, {"TERM": "dumb"}, PLAIN),
    "Markdown": ("-q", whole(a_block(0, *MARKDOWN)), {}, LIST),
    "raw": ("-q --raw", whole(a_block(0, "# **A**")), {}, ["# **A**"]),
    "unseen characters": ("-q", whole(a_block(0, UNSEEN)), {}, [ESCAPED]),
    "tool call": ("-q", CALLED, {}, WEATHER),
}
STYLED = {
    "thinking": [b"\x1b[2m| Hm.", b"\x1b[1mFine\x1b[0m"],
    "Markdown": [b"\x1b[1mTitle\x1b[0m", b"\x1b[36mco**de\x1b[0m"],
}


@pytest.mark.parametrize("name", TERMINAL_CASES)
def test_answer_at_a_terminal(site: Emulator, name: str) -> None:
    options, answer, env, rows = TERMINAL_CASES[name]
    site.answer = minimax(turn=respond(answer))
    argv = ["say", *options.split(), "hi"]
    with AtTerminal(*argv, base_url=site.base_url, env=env) as terminal:
        code, screen = terminal.end()
    assert code == 0
    assert [row[: len(wanted)] for row, wanted in zip(screen, rows)] == rows, screen
    # Pieces of one style, which the network cuts anywhere, count as one.
    styled = terminal.output
    for style in re.findall(rb"\x1b\[[1-9]\d?m", styled):
        run = rb"(%b[^\x1b]*)\x1b\[0m%b" % ((re.escape(style),) * 2)
        styled = re.sub(run, rb"\1", styled)
    assert all(piece in styled for piece in STYLED.get(name, []))
    assert b"\x1b[2J" not in terminal.output
    assert b"\x1b[" not in terminal.output or not {"TERM", "NO_COLOR"} & set(env)
    assert ("MiniMax-M3: " in "".join(screen)) is ("-q" not in argv)


@pytest.mark.parametrize("columns, cuts", [(30, 1), (30, 1000), (80, 1)])
def test_thinking_has_a_bar_per_row(site: Emulator, columns: int, cuts: int) -> None:
    pieces = [LONG_THOUGHT[n : n + cuts] for n in range(0, len(LONG_THOUGHT), cuts)]
    site.answer = minimax(turn=respond(whole(a_block(0, *pieces, kind="thinking"))))
    argv = ["say", "-q", "hi"]
    with AtTerminal(*argv, base_url=site.base_url, columns=columns) as terminal:
        _, screen = terminal.end()
    rows = [row[2:] for row in screen if row.startswith("| ")]
    assert len(rows) > 3
    for row in rows:
        assert 2 + len(row) + len(re.findall("[世界]", row)) <= columns, row
        assert set(re.sub("[世界]", "", row).split()) <= set(LONG_THOUGHT.split()), row
    assert "".join("".join(rows).split()) == "".join(LONG_THOUGHT.split())


def test_pipe_gets_the_text_and_the_terminal_the_rest(site: Emulator) -> None:
    seen = threading.Event()
    site.answer = minimax(turn=respond(wait(seen), ALOUD))
    with AtTerminal("say", "--chat", base_url=site.base_url, piped=True) as chat:
        chat.expect("> ")
        chat.type("hi\n", "waiting ", " s")
        seen.set()
        chat.expect("MiniMax-M3: ")
        chat.expect("> ")
        chat.type("/quit\n")
        assert chat.process.stdout.read() == b"It is 21 C.\x1b[2J\n**Fine**.\n"
        assert chat.end()[0] == 0


def test_conversation_at_a_terminal(site: Emulator) -> None:
    site.answer = None
    site.queue.extend([respond(RICH.data), WRONG_KEY, respond(words("two"))])
    env: Env = {"LC_ALL": "C"}
    with AtTerminal("say", "--chat", base_url=site.base_url, env=env) as chat:
        chat.expect("> ")
        for line, answer in (
            ("/help", "/quit"),
            ("/exti", 'did you mean "/exit"?'),
            ("/quit now", 'no command /quit now; did you mean "/quit"?'),
            (" é 日本 ", "tool call: glob"),
            ("lost", "auth: "),
            ('"""\n  a\n\n  b\n"""', "two"),
            ("\x1b[200~/x:\r\tif x:\r\t  exit\x1b[201~", "ok"),  # pasted
        ):
            chat.type(line + "\n", answer, "> ")
        chat.type("quit\n")
        code, screen = chat.end()
    assert code == 0 and "| Où?" in screen and "Grüße, 世界 😀!" in screen
    assert max(len(row) for row in screen if SOURCE not in row) <= 80
    first, _, third, fourth = (request.json["messages"] for request in site.requests)
    assert [message["content"] for message in first] == ["é 日本"]
    assert same(third[1], {"role": "assistant", "content": RICH.content})
    assert third[2]["content"][-1] == block_text("  a\n\n  b")
    assert fourth[-1]["content"] == "/x:\n\tif x:\n\t  exit"


def test_ctrl_c_in_a_conversation_ends_the_answer_only(site: Emulator) -> None:
    begun = sse(started(), opened(0), text(0, "Once upon"))
    site.answer = None
    site.queue.extend([unfinished(begun, hold), [hold], respond(words("here"))])
    with AtTerminal("say", "--chat", "tell", "me", base_url=site.base_url) as chat:
        chat.expect("Once upon")
        chat.type("\x03", "cancelled", "> ")
        assert site.requests[0].gone.wait(DEADLINE)
        chat.type("again\n")
        site.wait_request(2)
        chat.type("\x03", "cancelled", "> ")
        chat.type("half a li", "half a li")
        chat.type("\x03")
        chat.expect("> ", again="\x03")
        chat.type("there?\n", "here", "> ")
        chat.type("\x04")
        code, screen = chat.end()
    assert code == 0 and "note: cancelled" in screen
    assert sum("token" in row for row in screen) == 1  # no figures of what was cut
    messages = site.requests[2].json["messages"]
    contents = [message["content"] for message in messages]
    assert contents == ["tell me", [block_text("Once upon")], "there?"]


# --- check
LATE = 4070908800000  # 2099-01-01T00:00:00Z
BAD_WEEK = refuse(200, remains({WEEK: "0", "weekly_end_time": LATE}))
BAD_PROXY: Env = {**PLATFORM, "HTTPS_PROXY": "http://proxy:port"}
MODEL_USED = "model used"
# What is skipped after a problem.
SKIPPED = {"api_key": ["key", "plan"], "network": ["key", "plan"], "key": ["plan"]}
SKIPPED["region"] = ["network", "key", "plan"]
SKIPPED["config"] = ["settings", "network", "key", "plan", MODEL_USED]


def on(**scripts: Script) -> Obj:
    return {"answer": minimax(**scripts)}


def uses(model: str, *listed: str) -> Obj:
    return {"config": {"model": model}, **on(models=listing(*listed or (M31, M3)))}


# What `check` finds, a problem (!) or a warning (?); what it says of it; the setup:
# config, env, the path of the base URL, answer.
FINDINGS: list[tuple[str, str, Obj]] = [
    ("api_key!", ONE_ROW.partition(". ")[2], {"env": NO_KEY}),
    ("api_key!", "MINIMAX_API_KEY|white space", {"env": {"MINIMAX_API_KEY": "a b" * 9}}),
    ("config!", "config.json|character 2|JSON object", {"config": "{oops"}),
    ("config?", "apikey (did you mean api_key?)", {"config": {"apikey": 1}}),
    ("max_tokens_default!", "integer", {"config": {"max_tokens_default": "1"}}),
    ("max_retries!", "0 to 100", {"config": {"max_retries": 101}}),
    ("region!", "MINIMAX_REGION|global, cn|restart", {"env": {"MINIMAX_REGION": "eu"}}),
    ("network!", "nowhere.invalid|DNS", {"env": NO_SUCH_HOST}),
    ("network!", f"{NO_PORT}|refused|firewall", {"env": NOBODY}),
    ("network!", "proxy|HTTPS_PROXY", {"env": NO_PROXY_THERE}),
    ("network!", "not valid|HTTPS_PROXY|restart", {"env": BAD_PROXY}),
    ("network!", "longer than 0.2 s", {"config": {FIRST: 0.2}, "answer": lambda _: [hold]}),
    ("key!", "127.0.0.1|login fail|check key and base_url", on(models=WRONG_KEY)),
    ("key?", "404|Try say|correct base_url", {"path": "/nowhere"}),
    ("key!", "text/html|Sign in|base_url", on(models=refuse(200, HTML % "Sign in"))),
    ("key!", "529|in a minute", on(models=BUSY)),
    ("quota!", "week: 0 % left|2099-01-01|pay-as-you-go", on(quota=BAD_WEEK)),
    ("quota?", "5 hours: 3 % left", on(quota=refuse(200, remains({PERCENT: 3.0})))),
    ("plan?", "cannot be read|no page", on(quota=refuse(500, api_error("no page")))),
    ("model used!", f'was retired on 2026-11-18|"model" to "{M31}"', uses("minimax-m2.7")),
    ("model used?", "was retired", uses("MiniMax-M2.7", "MiniMax-M2.7")),
    ("model used!", f"does not list MiniMax-M31-flash|{M31}", uses("MiniMax-M31-flash")),
    ("model used?", "does not list MiniMax-M2 ", uses("MiniMax-M2")),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(FINDINGS)))
def test_check_finds_one_thing_and_says_what_to_do(site: Emulator, number: int) -> None:
    check, phrases, setup = FINDINGS[number]
    check, status = check[:-1], {"!": "problem", "?": "warning"}[check[-1]]
    site.answer = setup.get("answer", site.answer)
    path = setup.get("path", "/anthropic")
    options: Obj = {"base_url": f"http://127.0.0.1:{site.port}{path}"}
    options["env"] = {"HTTPS_PROXY": None, **setup.get("env", {})}
    options["config"] = setup.get("config")
    done = here("check", "--json", **options)
    waiting = SKIPPED.get(check, []) if status == "problem" else []
    assert done.bad() == {**dict.fromkeys(waiting, "skipped"), check: status}
    assert done.code == (status == "problem")
    remedy = done.remedy(check)
    assert all(phrase in remedy for phrase in phrases.split("|")), remedy
    shown = here("check", **options).out
    assert shown.startswith(f"{status:<9}{check:<13} ") and "skipped" not in shown
    assert shown.endswith("; check -v shows everything\n") and shown.count("\n") < 12


def test_check_of_a_good_setup(site: Emulator) -> None:
    done = person("check", "--json", base_url=site.base_url)
    assert done.code == 0 and done.json["ok"] is True and done.bad() == {}
    names = "versions config api_key region base_url model defaults network proxy key"
    rows = {row["check"] for row in done.json["checks"]}
    assert rows == {*names.split(), "plan", "quota", MODEL_USED}
    assert {request.method for request in site.requests} == {"GET"}
    asked = [bool(request.header("authorization")) for request in site.requests]
    assert asked[0] is False and all(asked[1:])
    done = person("check", base_url=site.base_url)
    row = f"All is well: 127.0.0.1:{site.port} accepts the key, and the model is "
    assert (done.code, done.out) == (0, row + "MiniMax-M3.\n")


@pytest.mark.parametrize("columns", ["50", "80"])
def test_check_shows_everything_when_asked(site: Emulator, columns: str) -> None:
    site.answer = minimax(quota=refuse(200, remains({"end_time": LATE})))
    config = {"idle_timeout": 5, "region": "cn", "model": "\x1b[31mX\u202e"}
    env: Env = {"COLUMNS": columns, "HOME": os.path.dirname(SOURCE)}
    env["MINIMAX_REGION"] = "global"
    done = person("check", "-v", base_url=site.base_url, env=env, config=config)
    done.says("plan key (sk-cp-), 38 characters (MINIMAX_API_KEY)", "5 (config file)")
    done.says('"global" (MINIMAX_REGION, which wins over the config file)')
    done.says("MiniMax-M*, 5 hours: 63 % left, resets 2099-01-01")
    done.says("~/" + os.path.basename(SOURCE), "\\x1b[31mX")
    rows = [row for row in done.out.splitlines() if "/" not in row]
    assert max(map(len, rows)) <= int(columns)
    assert done.out.startswith("problem  model used" + "\n  " * (columns == "50"))


def test_check_finds_every_wrong_setting(site: Emulator) -> None:
    config = {"effort": "huge", "max_retries": "x", "idle_timeout": -1, "api_key": 7}
    done = person("check", "--json", base_url=site.base_url, config=config, env=NO_KEY)
    bad = {name for name, status in done.bad().items() if status == "problem"}
    assert bad == set(config)


def test_check_warns_of_a_key_others_can_read(site: Emulator, tmp_path: Path) -> None:
    config, key_file = tmp_path / "open.json", tmp_path / "key"
    key_file.write_text(KEY)
    env: Env = {**NO_KEY, "PLEXUM_MINIMAX_CONFIG": str(config)}
    files = {config: {"api_key": KEY}, key_file: {"api_key_file": str(key_file)}}
    for path, content in files.items():
        config.write_text(json.dumps(content))
        path.chmod(0o644)
        done = person("check", "--json", base_url=site.base_url, env=env)
        assert done.code == 0
        assert done.remedy("config").endswith(f"-> Run chmod 600 {path}")


def test_without_requests_all_else_is_checked(site: Emulator, tmp_path: Path) -> None:
    env = planted(tmp_path, requests="raise ImportError('no requests here')")
    done = person("check", "--json", base_url=site.base_url, env=env)
    waiting = dict.fromkeys(("network", "key", "plan"), "skipped")
    assert done.code == 1 and done.bad() == {"requests": "problem", **waiting}
    assert sys.executable in done.remedy("requests")
    done = person("demo", env=env)
    assert done.code == 1 and "requests" in done.err and "requests" not in done.out


def test_system_that_fails_is_one_problem(site: Emulator, monkeypatch: Patch) -> None:
    error: Exception = AttributeError("odd\x1blibrary")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(provider, "library_versions", fail)
    done = here("check", base_url=site.base_url)
    assert (done.code, done.err) == (1, "")
    assert done.out.startswith("problem  requests      AttributeError: odd library\n")
    error = OSError(99, "no such address")
    monkeypatch.setattr(socket, "create_server", fail)
    done = here("demo")
    done.says("error: The demo cannot listen on 127.0.0.1: no such address. The other")
    assert done.code == 1


@pytest.fixture
def regions(emulator: Emulator) -> Iterator[tuple[Emulator, Emulator, dict[str, str]]]:
    """Both regions; a key is good for neither, until a test says so."""
    with Emulator() as other:
        emulator.answer = other.answer = minimax(models=WRONG_KEY)
        yield emulator, other, {"global": emulator.base_url, "cn": other.base_url}


@pytest.mark.parametrize("env, config, remedy", [
    ({}, {}, 'Set "region" to "cn" in '),
    ({"MINIMAX_REGION": "global"}, {}, "Set MINIMAX_REGION to cn and restart"),
    ({"MINIMAX_BASE_URL": "{global}"}, {}, ", and remove base_url."),
])  # fmt: skip
def test_check_finds_region(regions: Any, env: Env, config: Obj, remedy: str) -> None:
    _, other, bases = regions
    other.answer = minimax()
    env = {k: v and v.replace("{global}", bases["global"]) for k, v in env.items()}
    done = here("check", "--json", env=env, config=config, regions=bases)
    assert done.code == 1 and done.bad() == {"key": "problem", "plan": "skipped"}
    assert "it works with region cn" in done.remedy("key")
    assert remedy in done.remedy("key")
    [row] = [row for row in done.json["checks"] if row["check"] == "key"]
    assert row["settings"] == {"region": "cn"}


def test_key_is_shown_to_minimaxs_own_hosts_only(regions: Any) -> None:
    first, other, bases = regions
    done = here("check", "--json", regions=bases)
    refusal = "Neither region accepts this key: HTTP 401: login fail"
    assert done.remedy("key").startswith(refusal) and other.requests
    assert done.remedy("key").endswith("-> Copy the key again to MINIMAX_API_KEY.")
    first.requests.clear()
    other.requests.clear()
    with Emulator() as own:
        own.answer = minimax(models=WRONG_KEY)
        done = here("check", "--json", base_url=own.base_url, regions=bases)
    assert done.bad()["key"] == "problem" and not first.requests + other.requests


@pytest.mark.parametrize("key, is_asked", [("sk-api-", False), ("eyJ", True)])
def test_quota_is_checked_if_possible(site: Emulator, key: str, is_asked: bool) -> None:
    site.answer = minimax(quota=refuse(200, base_resp(1004, "no plan")))
    env: Env = {"MINIMAX_API_KEY": key + "w" * 30}
    done = person("check", "--json", base_url=site.base_url, env=env)
    assert done.code == 0 and done.bad() == {}
    targets = [request.target for request in site.requests]
    assert ("/v1/token_plan/remains" in targets) is is_asked


def test_check_of_certificates(tls_emulator: Emulator, certificate: Path) -> None:
    tls_emulator.answer = minimax()
    done = person("check", "--json", base_url=tls_emulator.base_url)
    assert done.bad() == {"network": "problem", "key": "skipped", "plan": "skipped"}
    assert "SSL_CERT_FILE" in done.remedy("network")
    env: Env = {"SSL_CERT_FILE": str(certificate)}
    done = person("check", "-v", base_url=tls_emulator.base_url, env=env)
    assert done.code == 0
    done.says("certificate verified", "none (set: SSL_CERT_FILE)")


def test_offline_asks_nobody(site: Emulator) -> None:
    env: Env = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY"), "http://" + NO_PORT)
    done = person("check", "--offline", "-v", base_url=site.base_url, env=env)
    assert done.code == 0 and site.connections == 0
    done.says("All is well, as far as can be checked offline.")
    assert not re.search(r"(?m)^\w+ +(network|key|plan) ", done.out)
    done = person("demo", env=env)
    last = "It works: 2 turns; thinking and the tool call came back unchanged.\n"
    assert done.code == 0 and done.out.endswith(last), done.out


# --- models and quota
def test_models_live_marks_what_the_endpoint_lists(site: Emulator) -> None:
    site.answer = minimax(models=listing(M3, "MiniMax-M4\x1b[2J", "MiniMax-M2"))
    done = person("models", "--live", base_url=site.base_url)
    marked = dict(re.findall(r"(?m)^(MiniMax-\S+)\s.*?((?:not )?listed)$", done.out))
    assert marked.pop("MiniMax-M4") == "listed" and set(marked) == set(provider.MODELS)
    listed = {name for name, mark in marked.items() if mark == "listed"}
    assert listed == {"MiniMax-M3", "MiniMax-M2"}
    done.says("above 512,000 in 0.600 2.400 0.120 -")
    live = person("models", "--json", "--live", base_url=site.base_url).json
    rows = {row["id"]: row for row in live["models"]}
    assert set(rows) == set(provider.MODELS) and live["others"] == ["MiniMax-M4 [2J"]
    assert rows["MiniMax-M3"]["listed"] and not rows["MiniMax-M2.1"]["listed"]
    assert rows["MiniMax-M3"]["prices_above"]["input_tokens"] == 512000
    listless = person("models", "--json", "--log-level", "info")
    assert "listed" not in listless.json["models"][0]


OUTSIDE: Obj = {PERCENT: 100, "current_interval_total_count": 0}
OUTSIDE.update({WEEK: "100", "current_weekly_total_count": 0})
OUTSIDE.update(current_interval_status=3, current_weekly_status=3)
NONSENSE: list[Any] = [5, None, {"model_name": [1]}, {"end_time": {}}]
QUOTAS: list[tuple[Obj, str]] = [
    (remains({}), "5 hours 63 % left|week 20 % left"),
    ({"data": remains({PERCENT: "63.5", WEEK: "20"})}, "63.5 % left|20 % left"),
    ({"model_remains": [{PERCENT: 7}]}, "all models|7 % left"),
    (remains({"current_weekly_status": 3}), "week unlimited"),
    (remains(OUTSIDE), "5 hours not in your plan|week not in your plan"),
    (remains({**OUTSIDE, "current_weekly_status": 1}), "unlimited|100 % left"),
    (remains({WEEK: 180}), "week 180 % left"),
    (remains({"end_time": LATE}), "63 % left, resets 2099-01-01| h)"),
    (remains({"end_time": 10**12}), "63 % left, resets 2001-09-09"),
    (remains({WEEK: None}), "63 % left MiniMax-M* week unknown"),
    ({"model_remains": NONSENSE, "data": 5}, "no plan quota"),
    (remains({"end_time": 10**17, "weekly_end_time": {}}), "63 % left"),
    (remains({}, model_remains=[]), "no plan quota|plan key (sk-cp-)"),
]


def test_quota_of_any_shape_is_shown(site: Emulator) -> None:
    for payload, phrases in QUOTAS:
        site.answer = minimax(quota=refuse(200, payload))
        done = here("quota", base_url=site.base_url, env={"COLUMNS": "40"})
        assert done.code == 0 and max(map(len, done.out.splitlines())) <= 40
        done.says(*phrases.split("|"))


def test_quota_is_asked_below_the_host_with_the_key(site: Emulator) -> None:
    site.answer = minimax(quota=refuse(200, remains({"end_time": LATE})))
    done = person("quota", "--json", base_url=site.base_url)
    [request] = site.requests
    assert (request.method, request.target) == ("GET", "/v1/token_plan/remains")
    assert request.header("authorization") == ["Bearer " + KEY]
    assert done.json["quota"][0] == {
        "model": "MiniMax-M*", "window": "5 hours", "percent_left": 63.0,
        "unlimited": False, "included": True, "resets_at": LATE / 1000,
    }  # fmt: skip
    site.answer = minimax(quota=refuse(200, remains(OUTSIDE)))
    done = person("quota", "--json", base_url=site.base_url)
    rows = [json.dumps(window) for window in done.json["quota"]]
    facts = '"percent_left": null, "unlimited": false, "included": false'
    assert len(rows) == 2 and all(facts in row for row in rows)


# --- help
@pytest.mark.parametrize("name", ["", *provider.COMMANDS])
def test_help_fits_a_terminal(name: str) -> None:
    done = person(*f"{name} --help".split())
    rows = done.out.splitlines()
    assert done.code == 0 and max(map(len, rows)) <= 80 and len(rows) <= 24
    assert rows[0].startswith(f"usage: {Path(SOURCE).name} {name}".strip())
    assert person(*f"help {name}".split()) == done
    if not name:
        with AtTerminal() as terminal:  # without a command, it explains itself
            assert terminal.end() == (0, [*rows, ""])
        assert all(f"\n  {command} " in done.out for command in provider.COMMANDS)
        examples = done.out.partition("examples:\n")[2].splitlines()
        assert len(examples) == 3
        assert all("python3 " + Path(SOURCE).name + " say " in row for row in examples)


# ===== Records: cost, log, capture, replay ============================================


def used(fresh: Any, output: Any, read: Any = None, written: Any = None) -> Obj:
    """A `usage`, without the counts that are None."""
    kinds = ("input", "output", "cache_read_input", "cache_creation_input")
    counts = zip(kinds, (fresh, output, read, written))
    return {f"{kind}_tokens": count for kind, count in counts if count is not None}


def priced(final: Any, model: Any = "MiniMax-M3", **begin: Any) -> bytes:
    """A good stream with the usage `final` at its end."""
    begun = [started(model, **begin), opened(0), text(0, "ok"), closed(0)]
    return sse(*begun, stopping(usage=final), STOP)


COSTS: list[tuple[Any, Any, float | None]] = [
    (used(1, 1), M3, 0.0000015),  # no noise of floats
    (used(0, 0, 1), M31, 1.5e-08),  # the least there is
    (used(236, 39, 38308), M3, 0.00241608),
    (used(0, 0, 0, 1000), "MiniMax-M2.7", 0.000375),
    (used(9, 9, 0, 1000), M3, None),  # no price for what was written to the cache
    (used(1000, 0, 0, 0), "minimax-m3", 0.0003),
    *((used(1000, 0), id, None) for id in ("MiniMax-M9", "MiniMax-M3-Preview", None)),
    (used(512000, 1000), M3, 0.1548),
    (used(1, 1000, 512000), M3, 0.0638406),  # the cache counts toward the limit
    (used(512001, 0), M31, 0.07680015),
    *((usage, M3, None) for usage in (None, "much", used(0, 7), {"input_tokens": 5})),
    *((used(odd, 1000), M3, None) for odd in ("1000", True, 1000.0, 10**400, -1)),
]


def test_turn_end_has_the_cost_or_nothing(bench: Bench) -> None:
    for final, model, cost in COSTS:
        end = bench.stream(priced(final, model)).end
        assert end.get("cost_usd") == cost, (final, model)
        assert ("cost_usd" in end) is (cost is not None), (final, model)
    begun = priced({"output_tokens": 1000}, usage=used(1000, 1))
    assert bench.stream(begun).end["cost_usd"] == 0.0015
    # A final count of the output has to come.
    begun = priced({"output_tokens": None}, usage=used(1000, 1000))
    assert "cost_usd" not in bench.stream(begun).end
    # An answer that cannot be used is paid for all the same.
    broken = [started(), opened(0, "tool_use"), partial_json(0, "{"), closed(0)]
    broken += [stopping("tool_use", usage=used(1000, 10)), STOP]
    answer = bench.stream(sse(*broken))
    assert answer.code == "protocol" and answer.end["cost_usd"] == 0.000312


# --- the log
ONE_DELTA = sse(started(), opened(0), text(0, "confidential"))
LOGGED: list[tuple[Script, str, str]] = [
    # script; outcome of both lines, cause
    (respond(priced(used(1000, 10, 5))), "end_turn", ""),
    (refuse(401, api_error("confidential (1004)")), "auth", ""),
    (unfinished(sse(started()), reset), "network", "reset"),
    ([close], "network", "RemoteDisconnected"),
    (unfinished(ONE_DELTA, close), "stream_cut", "."),
    ([b"confidential\r\n\r\n", close], "protocol", "BadStatusLine"),
    (unfinished(ONE_DELTA, hold), "timeout", "idle_timeout"),
]


def test_log_has_attempts_turns_and_no_content(emulator: Emulator) -> None:
    emulator.queue.extend(script for script, *_ in LOGGED)
    config: Obj = {"log_level": "info", "max_retries": 0, "idle_timeout": 0.3}
    question = "a confidential question"
    with Plugin(emulator.base_url, config) as plugin:
        ends = [plugin.turn(ask(question, id=f"t {n}")).end for n in range(len(LOGGED))]
        write_config(plugin.config_path, {**config, **QUICK})
        emulator.queue.append(BUSY)
        assert plugin.turn(ask()).text == "ok"
        assert plugin.turn(ask("")).code == "invalid_request"
    assert b"confidential" not in plugin.errors
    form, lines = "plexum-minimax-provider: (attempt|turn) (.*)", []
    for line in plugin.errors.decode("ascii").splitlines():
        name, rest = re.findall(form, line)[0]
        lines.append((name, dict(re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)', rest))))
    for number, (_, outcome, cause) in enumerate(LOGGED):
        (_, attempt), (_, turn) = lines[2 * number : 2 * number + 2]
        assert attempt["id"] == turn["id"] == f'"t {number}"'
        assert turn["attempts"] == "1"
        assert attempt["outcome"] == turn["outcome"] == outcome
        assert re.search(cause, attempt.get("cause", ""))
        assert ("cause" in attempt) is bool(cause)
    (_, attempt), (_, turn), *_ = lines
    assert attempt["new_connection"] == "true" and attempt["status"] == "200"
    assert attempt["bytes"] == str(len(priced(used(1000, 10, 5))))
    assert turn["cost_usd"] == dump(ends[0]["cost_usd"])
    assert [turn[name] for name in used(0, 0, 0)] == ["1000", "10", "5"]
    (_, first), (_, second), (_, turn), (_, unsent) = lines[2 * len(LOGGED) :]
    assert [first["outcome"], second["outcome"]] == ["overloaded", "end_turn"]
    assert [first["status"], second["new_connection"]] == ["529", "false"]
    assert [turn["attempts"], unsent["attempts"]] == ["2", "0"]


def test_log_level_decides_what_is_logged(emulator: Emulator) -> None:
    unknown = {"conect_timeout": 5, "apikey": "x"}  # is ignored, but named
    cases: list[tuple[Obj, str, int]] = [  # settings, option, lines on stderr
        (unknown, "", 1),
        ({"log_level": "info"}, "", 2),
        ({"log_level": "error"}, "--log-level info", 2),
        (unknown, "--log-level error", 0),
    ]
    for config, option, count in cases:
        stdin, argv = dump(ask(id=1)).encode(), option.split()
        code, _, errors = run(stdin, emulator.base_url, *argv, config=config)
        assert code == 0 and len(errors.splitlines()) == count, errors
        named = set(re.findall(r"\b\w+\b", errors.decode()))
        assert count != 1 or {*unknown, "connect_timeout", "api_key"} <= named


# --- captures, and their replay
def fields_of(path: Path) -> Obj:
    """What a capture holds: one line of JSON, for the owner only, without key."""
    data = path.read_bytes()
    check_secret(data)
    assert path.stat().st_mode & 0o777 == 0o600
    assert data.endswith(b"}\n") and data.count(b"\n") == 1
    fields: Obj = json.loads(data.decode("utf-8"))
    content = "".join(attempt["data"] for attempt in fields["attempts"])
    check_secret(content.encode("utf-8", "replace"))
    names = {"capture", "plugin", "python", "system", "at", "request", "event"}
    assert names <= set(fields)
    return fields


def replayed(path: Path, *options: str) -> tuple[int, list[Obj], str]:
    """What `replay` does with a file: exit code, lines of the wire, all it says."""
    done = here("replay", *options, str(path), env=NO_KEY)
    lines = check_grammar(done.out.encode()) if options else []
    text = done.err if options else done.out + done.err
    return done.code, lines, " ".join(text.split())


def check_replay(path: Path, lines: Iterable[Obj]) -> None:
    """A replay has the same result, and sends what the turn has sent."""
    code, again, verdict = replayed(path, "--json")
    assert code == 0 and verdict.startswith("same"), verdict
    assert [timeless(line) for line in again] == [timeless(line) for line in lines]


HALF_STREAM = RICH.data[: len(RICH.data) // 2]
HELD = unfinished(ONE_DELTA, hold)
EMPTY = respond(sse(started(), PING, STOP))
IN_MIDSTREAM = sse(started(), opened(0), api_error("high load (2064)"))
ODD_BYTES = OK.replace(b"ok", b"\xff\x80\xed\xa0\x80")
SLOW: Obj = {**QUICK, "first_event_timeout": 0.2}
HASTY: Obj = {**ONCE, "idle_timeout": 0.1}
WARNED = ask(top_k=3, surprise=1, model="minimax/MiniMax-M2.5")
WAIT = refuse(429, "later", "Retry-After: 30")
CAPTURED: dict[str, tuple[Obj, Obj, list[Script], str]] = {
    # settings, turn, answers to its attempts, how it ends
    "byte by byte": ({}, ask(), [respond(*cut(RICH.data, "bytes"))], "tool_use"),
    "not UTF-8": ({}, ask(), [respond(ODD_BYTES)], "end_turn"),
    "cut": (ONCE, ask(), [unfinished(HALF_STREAM, close)], "stream_cut"),
    "reset": (ONCE, ask(), [unfinished(HALF_STREAM, reset)], "network"),
    "error in the stream": ({}, ask(), [respond(IN_MIDSTREAM)], "overloaded"),
    "not a stream": (ONCE, ask(), [refuse(200, HTML % "Wait")], "protocol"),
    "broken HTTP": (ONCE, ask(), [[unfinished()[0], b"oops\r\n", hold]], "protocol"),
    "retried": (QUICK, ask(), [BUSY, EMPTY, respond(OK)], "end_turn"),
    "idle": (HASTY, ask(), [unfinished(HALF_STREAM, hold)], "timeout"),
    "slow, retried": (SLOW, ask(), [[hold], respond(OK)], "end_turn"),
    "stopped": ({}, ask(), [HELD], "cancelled at text_delta"),
    "stopped in a wait": ({}, ask(), [WAIT], "cancelled at retry"),
    "never sent": ({}, ask(""), [], "invalid_request"),
    "with warnings": ({}, WARNED, [respond(OK)], "end_turn"),
    "asked with the key": ({}, ask("my key is " + KEY), [respond(OK)], "end_turn"),
    "refused with the key": ({}, ask(), [refuse(403, "no " + KEY)], "permission"),
}


@pytest.mark.parametrize("name", CAPTURED)
def test_turn_is_replayed(emulator: Emulator, tmp_path: Path, name: str) -> None:
    config, turn, scripts, outcome = CAPTURED[name]
    emulator.queue.extend(scripts)
    folder = tmp_path / "new" / "captures"
    with Plugin(emulator.base_url, {**config, "capture_dir": str(folder)}) as plugin:
        ident = plugin.submit(turn)
        outcome, _, moment = outcome.partition(" at ")
        if moment:
            plugin.wait_line(moment, ident)
            plugin.cancel(ident)
        answer = plugin.answer(ident)
    assert plugin.errors == b""
    end = answer.end
    assert outcome in (end.get("stop_reason"), end.get("error", {}).get("code"))
    assert folder.stat().st_mode & 0o777 == 0o700
    [path] = folder.iterdir()
    fields = fields_of(path)
    assert {**fields["event"], "id": "t1"} == end
    assert "key" in name or fields["request"] == {"id": "t1", **turn}
    check_replay(path, answer.lines)


def test_replay_needs_no_image_or_region(emulator: Emulator, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(PNG)
    images = [{"type": "image", "path": str(picture)}, {"type": "image", "path": "/no"}]
    turn = {"messages": [{"role": "user", "content": images}]}
    env: dict[str, str | None] = {"HTTPS_PROXY": "http://127.0.0.1:9"}
    folder = tmp_path / "captures"
    config = {"capture_dir": str(folder), "region": "cn", **ONCE}
    answer = one_turn(None, config, env, turn)
    picture.unlink()
    assert answer.warnings == ["image_replaced"]
    answer.says("HTTPS_PROXY", "api.minimaxi.com")
    [path] = folder.iterdir()
    check_replay(path, answer.lines)


@pytest.mark.parametrize("size", [1, 8, 100])
def test_key_in_pieces_is_masked(emulator: Emulator, tmp_path: Path, size: int) -> None:
    leaked = words("\x80").replace(b"\\u0080", KEY.encode())
    reads = [leaked[at : at + size] for at in range(0, len(leaked), size)]
    deltas = [KEY[at : at + size] for at in range(0, len(KEY), size)]
    emulator.queue.extend([respond(*reads), respond(whole(a_block(0, *deltas)))])
    config = {"capture_dir": str(tmp_path)}
    with Plugin(emulator.base_url, config, check_key=False) as plugin:
        assert plugin.turn(ask()).text == plugin.turn(ask()).text == KEY
    for path in tmp_path.iterdir():
        assert "*" * 30 in fields_of(path)["event"]["message"]["content"][0]["text"]
        assert provider.main(["replay", str(path)]) == 0


# --- captures: trouble, limits, company
@needs_linux
def test_unwritable_capture_is_one_log_line(emulator: Emulator, tmp_path: Path) -> None:
    """A limit of file size is as good as a full disk: the write is short."""
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", "/proc/none"):
        with Plugin(emulator.base_url, {"capture_dir": str(folder)}) as plugin:
            for _ in range(2):
                assert plugin.turn(ask()).text == "ok"
        logged_lines = plugin.errors.decode().splitlines()
        assert [str(folder) in line for line in logged_lines] == [True, True]
    emulator.queue.append(respond(words("lorem ipsum " * 2000)))
    config, shell = {"capture_dir": str(tmp_path / "new")}, 'ulimit -f 16 && exec "$@"'
    code, lines, errors = run(A_LINE, emulator.base_url, config=config, shell=shell)
    assert code == 0 and lines[-1]["type"] == "turn_end"
    [line] = errors.decode().splitlines()
    assert "File too large" in line
    assert not list((tmp_path / "new").iterdir())  # and no half of a file


def test_huge_turn_is_not_captured(emulator: Emulator, tmp_path: Path) -> None:
    emulator.queue.append(respond(words("x" * MEGABYTE)))
    source = "plugin.Capture.MAX_FILE = 1 << 20; plugin.main([])"
    config, program = {"capture_dir": str(tmp_path)}, as_library(source)
    _, lines, errors = run(A_LINE, emulator.base_url, config=config, program=program)
    assert len(lines[-1]["message"]["content"][0]["text"]) == MEGABYTE
    assert b"not captured: it is larger than 1 MiB" in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("case", [(503, 1, 499), (20, 32 << 20, 15)])
def test_oldest_captures_go(emulator: Emulator, tmp_path: Path, case: Any) -> None:
    count, size, kept = case
    names = [f"20260101T000000.{n:06}Z-1-1" for n in range(count)]
    old = [tmp_path / (name + ".jsonl") for name in names]
    foreign, folder = tmp_path / "notes.jsonl", tmp_path / (names[0] + "0.jsonl")
    folder.mkdir()  # has only the name of a capture
    for number, path in enumerate([foreign, *old]):
        path.touch()
        os.truncate(path, size)  # takes no room on disk
        os.utime(path, (10**9 + number, 10**9 + number))
    os.utime(folder, (1, 1))
    with Plugin(emulator.base_url, {"capture_dir": str(tmp_path)}) as plugin:
        plugin.turn(ask())
    assert plugin.errors == b""
    left = set(tmp_path.iterdir())
    assert {foreign, folder} < left and set(old) & left == set(old[-kept:])
    assert len(left) == kept + 3


def test_nothing_is_captured_unless_asked(emulator: Emulator, tmp_path: Path) -> None:
    with Plugin(emulator.base_url, cwd=str(tmp_path)) as plugin:
        assert plugin.turn(ask()).text == "ok"
        assert list(Path(plugin.home.name).iterdir()) == [plugin.config_path]
    with python_client(emulator, api_key="", capture_dir=str(tmp_path)) as client:
        assert list(client.turn(ask()))[-1]["error"]["code"] == "config"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The capture of a good turn after one retry."""
    folder = tmp_path_factory.mktemp("capture")
    with Emulator() as emulator:
        emulator.queue.extend([BUSY, respond(words("good"))])
        with Plugin(emulator.base_url, {**QUICK, "capture_dir": str(folder)}) as plugin:
            assert plugin.turn(ask("Hello?")).text == "good"
    return next(folder.iterdir())


ALTERED: list[tuple[str, str, int, str]] = [
    # what stands in the file, what instead; exit code, and what the verdict names
    (r"good\\", "gold\\", 1, "message.content.0.text"),
    ('"text":"good"', '"text":"gold"', 1, "message.content.0.text"),
    (r'input_tokens\\": 11', 'input_tokens\\": 12', 1, "usage.input_tokens"),
    ('"cost_usd":1.17e-05', '"cost_usd":1.18e-05', 1, "cost_usd"),
    (r"Hello\?", "Hello!", 1, "body.messages.0.content"),
    ('"status":529', '"status":429', 0, ""),  # either is tried again
    ("data: {", "dat8: {", 1, ""),
    ('"max_retries":3', '"max_retries":0', 1, ""),
    ('"ended":', '"endet":', 2, "a value is missing"),
    (r'"ended":[\d.]+', '"ended":1e306', 2, "a time"),
    ('"idle_timeout":', '"idle_timeout":-', 2, "idle_timeout must be"),
    ('"status":', '"status";', 2, "Expecting ':'"),
    (r"\n", "\n\udcff\n", 2, "'utf-8'"),
    (r'"capture":\d+', '"capture":99', 2, "it is not version"),
    (r"(?s).*", "", 2, "Expecting value"),
    (r"...\n\Z", "", 2, "Expecting"),
]


def test_replay_of_an_altered_capture_says_where(capture: Path, tmp_path: Path) -> None:
    original = capture.read_text(encoding="utf-8")
    path = tmp_path / "altered.jsonl"
    for before, after, code, place in ALTERED:
        text_, count = re.subn(before, after.replace("\\", "\\\\"), original, count=1)
        assert count == 1, before
        path.write_text(text_, encoding="utf-8", errors="surrogateescape")
        exit_code, _, verdict = replayed(path)
        assert exit_code == code and place in verdict, (before, verdict)
        assert code or re.search(" retry .* block_start .* turn_end ", verdict), verdict
        assert ("different" in verdict) is (code == 1), (before, verdict)
        assert (str(path) in verdict) is (code == 2), (before, verdict)


def test_left_turn_drops_its_connection(emulator: Emulator, tmp_path: Path) -> None:
    emulator.queue.append(HELD)
    with python_client(emulator, capture_dir=str(tmp_path)) as client:
        events = client.turn(ask())
        while next(events)["type"] != "text_delta":
            pass
        events.close()
        assert emulator.wait_request().gone.wait(DEADLINE)
    [path] = tmp_path.iterdir()
    assert fields_of(path)["event"] is None
    for name in (path, tmp_path, tmp_path / "none"):
        code, _, verdict = replayed(name)
        assert code == 2 and str(name) in verdict


# --- what failed leaves nothing behind
FAILURES: dict[str, Script] = {"refused": refuse(429, api_error("slow down"))}
FAILURES.update(cut=unfinished(BEGUN, close), reset=[reset], cancelled=HELD)
FAILURES["lost"] = []  # by a kept connection, and sent again


@pytest.mark.parametrize("name", FAILURES)
def test_failed_turn_leaves_no_request_behind(emulator: Emulator, name: str) -> None:
    """Not even to the garbage collector, which the plugin seldom calls."""
    if name != "lost":
        emulator.answer = lambda request: FAILURES[name]
    pair: list[Script] = [[close], kept(OK)]
    emulator.queue.extend([kept(OK), *pair * 10])
    with python_client(emulator, max_retries=1, retry_base_delay=0) as client:
        for number in range(11):
            if number == 1:
                gc.collect()
                gc.disable()
                tracemalloc.start()
            cancel = threading.Event()
            for event in client.turn(ask("x" * provider.MIB), cancel):
                if name == "cancelled" and event["type"] == "turn_start":
                    cancel.set()
            expected = {"lost": "end_turn", "cancelled": "cancelled"}.get(name)
            assert event.get("stop_reason") == expected
            emulator.requests.clear()
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        gc.enable()
    assert size < 4 * provider.MIB


# --- files: on a disk that hangs, or that are no files ---------------------------------
# Whatever is asked of a path below such a directory never comes back.
STUCK = """
import builtins, io, os, threading
def stuck(real):
    def call(path, *args, **kwargs):
        if "stuck-disk" in str(path):
            threading.Event().wait()
        return real(path, *args, **kwargs)
    return call
for name in "open stat lstat listdir scandir mkdir makedirs access".split():
    setattr(os, name, stuck(getattr(os, name)))
builtins.open = io.open = stuck(io.open)
"""
HUNG = "/stuck-disk/file"
# What is there: settings and variables.
HUNG_FILES: dict[str, tuple[Obj, Env]] = {
    **{"image": ({}, {}), "config": ({}, {"PLEXUM_MINIMAX_CONFIG": HUNG})},
    "key file": ({"api_key_file": HUNG}, NO_KEY),
    "capture": ({"capture_dir": HUNG}, {}),
}
# What stands in place of any value of a capture, one at a time.
HOSTILE: list[Any] = [10**400, -1, 1e306, [], {}, "", None, "{host:>1572864000}"]


@pytest.mark.parametrize("what", HUNG_FILES)
def test_hung_disk_stops_nothing(emulator: Emulator, tmp_path: Path, what: str) -> None:
    config, env = HUNG_FILES[what]
    env = {**planted(tmp_path, sitecustomize=STUCK), **env}
    config = {"turn_timeout": 1, **ONCE, **config}
    image = {"messages": [user({"type": "image", "path": HUNG})]}
    turn = image if what == "image" else ask()
    with Plugin(emulator.base_url, config, env) as plugin:
        ident = plugin.submit(turn)
        plugin.ping()
        if what == "capture":  # no failure of a capture harms a turn
            assert plugin.answer(ident).text == "ok"
            return
        if what == "image":  # the settings are there, and with them the limits
            plugin.answer(ident).says("turn_timeout")
            assert plugin.answer(ident).code == "timeout"
            ident = plugin.submit(turn)
        plugin.stop(ident)
        assert plugin.close() == 0


def test_hostile_capture_is_safe(capture: Path, tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[2J\nb.jsonl"
    fields = json.loads(capture.read_text(encoding="utf-8"))
    parents: list[Any] = [fields]
    for parent in parents:  # which grow in the meantime
        for name in list(parent) if isinstance(parent, dict) else range(len(parent)):
            before = parent[name]
            parents += [before] if isinstance(before, (dict, list)) else []
            for value in HOSTILE:
                parent[name] = value
                path.write_text(dump(fields) + "\n")
                done = here("replay", str(path))
                assert done.code in (0, 1, 2) and "\x1b" not in done.err + done.out
            parent[name] = before
    assert list(tmp_path.iterdir()) == [path]


# ===== The README: what it shows is what happens ======================================

README = Path(__file__).resolve().with_name("README.md")
DRAWING = README.parent / ".github" / "terminal.svg"


def readme() -> str:
    if not README.is_file():
        pytest.skip("a vendored copy has no README")
    return README.read_text(encoding="utf-8")


def readme_blocks(language: str) -> list[str]:
    """The code blocks in a language, those in lists too."""
    blocks = re.findall(rf"(?ms)^( *)```{language}\n(.*?)^\1```$", readme())
    return [re.sub(rf"(?m)^{indent}", "", block) for indent, block in blocks]


@pytest.fixture
def stage(tmp_path: Path) -> Obj:
    """How `launch` runs examples: `plexum-minimax` is the file, plexum only an echo."""
    source = shutil.copy(SOURCE, str(tmp_path / "plexum_minimax_provider.py"))
    scripts = {"plexum-minimax": f'exec "{sys.executable}" "{source}" "$@"'}
    scripts.update(plexum='echo plexum "$@"', systemctl='echo systemctl "$@"')
    if not shutil.which("jq"):
        scripts["jq"] = "cat"
    for name, line in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    env = {"PYTHON": sys.executable, "PYTHONPATH": str(tmp_path), "TERM": "xterm"}
    env["PATH"] = os.pathsep.join((str(tmp_path), os.environ["PATH"]))
    return {"cwd": str(tmp_path), "env": env}


# What the examples in sh print, in their order.
_OUTPUTS = """It works||ok|1 passed|allowed    in|plexum agent-add --model|systemctl
    |plexum say --agent-id my-agent --session-id plexum new-session|ok|same"""
SHELL_OUTPUTS = _OUTPUTS.split("|")


def test_readme_in_sh(site: Emulator, stage: Obj, tmp_path: Path) -> None:
    """All that is shown, in one session; the installer shows it under its numbers."""
    blocks = readme_blocks("sh")
    shutil.copy(str(INSTALLER), str(tmp_path))
    (tmp_path / "test_provider.py").write_text("def test_stub(): pass\n")
    (tmp_path / "setup.cfg").touch()
    stage["env"].update(PLEXUM_MINIMAX_CONFIG=None, MINIMAX_API_KEY=None)
    shell = "\necho @@@@\n".join(["set -e; PATH=$HOME/.local/bin:$PATH", *blocks])
    done = launch(shell=shell.replace("sk-...", KEY), base_url=site.base_url, **stage)
    assert done.returncode == 0, done
    _, *outputs = done.stdout.decode().split("@@@@\n")
    for block, output, part in zip(blocks, outputs, SHELL_OUTPUTS):
        assert part.strip() in output, (block, output)
    assert len(outputs) == len(SHELL_OUTPUTS)
    steps = re.findall(r"(?m)^  (\d)\. (\S+ \S+)", outputs[0])
    assert [number for number, _ in steps] == list("123456")
    for number, command in steps:
        item = rf"(?ms)^{number}\. (?:(?!^\d\. ).)*^   {re.escape(command)}"
        assert re.search(item, readme()), (number, command)


def test_readme_in_python(site: Emulator, stage: Obj) -> None:
    config = json.loads(readme_blocks("json")[0])
    stage["env"].update(NO_KEY)
    outputs = []
    for block in readme_blocks("python"):
        if "run_tool" in block:
            site.answer = None
            site.queue.append(respond(tool_stream('{"city":', ' "Lisbon"}')))
        program = ["-W", "error", "-c", block]
        done = launch(program=program, base_url=site.base_url, config=config, **stage)
        assert done.returncode == 0, done
        outputs.append(done.stdout.decode())
    library, host, tools = outputs
    events = "turn_start\nblock_start\ntext_delta\nblock_end\nturn_end\n"
    assert library.startswith("ok[{'type': 'text', 'text': 'ok'}] {"), library
    assert library.endswith("}\n" + events), library
    assert host.startswith("ok\n {'id': '1', 'type': 'turn_end', "), host
    assert tools == "[{'type': 'text', 'text': 'ok'}]\n"
    *_, call_message, results = site.requests[-1].json["messages"]
    assert call_message["content"][-1]["input"] == {"city": "Lisbon"}
    assert results["content"][0]["content"] == "21 C, sunny"
    for request in site.requests:
        assert request.header("authorization") == ["Bearer " + config["api_key"]]
        assert request.json["model"] == config["model"]


def test_readme_shows_a_session_as_it_is(site: Emulator, stage: Obj) -> None:
    """Times aside; where a line continues, it is indented."""
    [block] = readme_blocks("console")
    command, _, shown = block.partition("\n")
    begin = started(ident="5d3c1b0e9f8a4c6d8e7f6a5b4c3d2e1f")
    end = stopping(usage={"input_tokens": 12, "output_tokens": 7})
    site.answer = minimax(turn=respond(sse(begin, *a_block(0, "Hello."), end, STOP)))
    done = launch(shell=command[2:], base_url=site.base_url, **stage)
    assert done.returncode == 0, done
    check_grammar(done.stdout)
    times, output = r'_ms":\d+', done.stdout.decode()
    assert re.sub(times, "", output) == re.sub(times, "", shown.replace("\n  ", ""))


def test_readme_is_short_and_names_every_setting_code_event_and_model() -> None:
    names = set(re.findall(r"[\w.-]+", " ".join(re.findall(r"`[^`\n]+`", readme()))))
    events = {*TURN_FIELDS, "pong", "manifest", "turn", "cancel", "ping", "describe"}
    facts = {*provider.OPTIONS, *provider.ERRORS, *provider.MODELS, *provider.__all__}
    assert {*facts, *events, *WARNING_CODES, *ERROR_FIELDS, *ERROR_MAY_HAVE} <= names
    for name, option in provider.OPTIONS.items():
        row = f"| `{name}` | {option.type} | `{json.dumps(option.default)}` | "
        [line] = [line for line in readme().splitlines() if line.startswith(row)]
        assert line.endswith(f"| `{option.env}` |" if option.env else "| |"), line
    for code in provider.ERRORS:
        answer = "yes" if code in provider.RETRYABLE else "no"
        assert f"| `{code}` | {answer}" in readme(), code
    lines = readme().splitlines()
    assert len(lines) <= 600 and lines.index("# Reference") <= 180
    [place] = [n for n, line in enumerate(lines) if 'plexum-minimax say "Say' in line]
    assert place < 40


# --- the picture, which .ci/picture makes
def picture(pause: float = 0.0) -> tuple[str, list[str], bytes]:
    """A command, and what it shows at a terminal: rows, and as it came."""
    usage = {"input_tokens": 17, "output_tokens": 31}
    thought = a_block(0, "17 times 20 is 340, 17 times 3 is 51.", kind="thinking")
    last = [*a_block(1, "17 times 23 is 391."), stopping(usage=usage), STOP]
    question = "What is 17 times 23?"

    def think(request: Request) -> None:
        request.emulator.stopping.wait(pause)

    with Emulator() as site:
        site.queue.append(respond(think, sse(started(), *thought), think, sse(*last)))
        argv = ["say", "--thinking", question]
        with AtTerminal(*argv, base_url=site.base_url) as terminal:
            code, screen = terminal.end()
    assert code == 0
    return f'plexum-minimax say --thinking "{question}"', screen, terminal.output


def test_picture_in_the_readme_shows_what_the_command_prints() -> None:
    if not DRAWING.is_file():
        pytest.skip("a vendored copy has no picture")
    assert "](.github/terminal.svg)" in readme()
    root = ElementTree.fromstring(DRAWING.read_text(encoding="utf-8"))
    shown = ["".join(row.itertext()) for row in root if row.tag.endswith("text")]
    command, rows, _ = picture()
    fresh = ["$ " + command, *rows[:-1]]
    assert max(map(len, fresh)) <= 80
    figures = re.compile(r"; \d+ tokens/s|\d+\.\d(?= s)")
    assert figures.sub("", "\n".join(shown)) == figures.sub("", "\n".join(fresh))


# ===== The benchmark: python3 test_provider.py bench ==================================

# A contender is a process used like the plugin: turns come on stdin, and each delta
# leaves as a JSON line.  The server is another process.  A delta may carry a stamp, the
# server's monotonic clock as it left; the same clock says here when its line was read.

STAMP = re.compile(rb"@(\d{10}\.\d{6})")
# How many deltas, how many a second, in how many turns.
FEEDS = {"throughput": "20000 0 1", "latency": "150 100 1", "turns": "60 20 200"}
barriers: dict[str, threading.Barrier] = {}


def feed(request: Request) -> Script:
    """Stamped deltas as the turn's message says, from when the last turn has come on.

    With 0 a second, they leave in one write, and the first one has the stamp.
    """
    count, rate, turns = map(int, request.text.split())
    before, after = chunk(sse(text(0, f"@{0:017} lorem"))).split(b"0" * 17)
    rest = b"" if rate else chunk(sse(text(0, " lorem"))) * (count - 1)

    def deltas(exchange: Request) -> None:
        # By then the opening is out of the way; no two turns beat time together.
        begin = time.monotonic() + (0.3 + random.random() / rate if rate else 0.03)
        for number in range(count if rate else 1):
            time.sleep(max(begin + number / (rate or 1) - time.monotonic(), 0))
            exchange.send(before + b"%017.6f" % time.monotonic() + after + rest)

    opening = CHUNKED + chunk(sse(started(), opened(0), text(0, "begun ")))
    together = meet(barriers.setdefault(request.text, threading.Barrier(turns)))
    return [opening, together, deltas, together, chunk(sse(*TAIL)) + LAST_CHUNK]


def serve_feeds(pipe: Any) -> None:
    server = Emulator()
    server.answer = feed
    pipe.send(server.base_url)
    signal.pause()


# The floor: a raw socket, plainly written, that knows nothing of errors.
FLOOR = r"""
import json, os, socket, sys, threading
HOST, PORT = os.environ["MINIMAX_BASE_URL"].split("/")[2].split(":")
HEAD = b"POST /anthropic/v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
def serve(turn):
    def say(kind, **fields):
        line = {"type": kind, "id": turn["id"], **fields}
        os.write(1, json.dumps(line).encode() + b"\n")
    body = json.dumps({"model": "MiniMax-M3", "max_tokens": 9, **turn}).encode()
    sock, texts, rest = socket.create_connection((HOST, PORT)), [], b""
    sock.sendall(HEAD % len(body) + body)
    reader = sock.makefile("rb")
    while reader.readline() != b"\r\n":
        pass
    while rest is not None:
        data = reader.read(int(reader.readline(), 16) + 2)
        *events, rest = (rest + data[:-2]).split(b"\n\n")
        for event in events:
            payload = json.loads(event.partition(b"data: ")[2].decode())
            if payload["type"] == "content_block_delta":
                texts.append(payload["delta"]["text"])
                say("text_delta", index=0, text=texts[-1])
            elif payload["type"] == "message_stop":
                rest, block = None, {"type": "text", "text": "".join(texts)}
                say("block_end", index=0, block=block)
                say("turn_end", message={"content": [block]})
for line in sys.stdin:
    threading.Thread(target=serve, args=(json.loads(line),)).start()
"""
BARE = "import sys; print(sys.stdin.readline(), flush=True); sys.stdin.read()"
CONTENDERS = {"floor": FLOOR, "python3": BARE}
CONTENDERS.update({line: line for line in ("pass", "import requests")})


class Race:
    """Measures; `samples[figure, contender]` are milliseconds, or MB."""

    def __init__(self, home: str) -> None:
        gc.freeze()
        gc.disable()  # here and, after the fork, in the server: no pauses
        self.samples: dict[tuple[str, str], list[float]] = defaultdict(list)
        context = multiprocessing.get_context("fork")
        self.server, theirs = context.Pipe()
        context.Process(target=serve_feeds, args=(theirs,), daemon=True).start()
        config = {"max_concurrent_turns": 1000, "max_retries": 0}
        self.env = environment(home, self.server.recv(), config)
        self.commands = {n: [sys.executable, "-c", c] for n, c in CONTENDERS.items()}
        self.commands["ours"] = self.commands["file"] = [sys.executable, SOURCE]
        if INSTALLER.is_file():
            env = dict(self.env, PLEXUM_PROFILE_ROOT=home, PYTHON=sys.executable)
            command = ["sh", str(INSTALLER), "--offline", "--no-demo", "--no-link"]
            subprocess.check_output(command, env=env)
            folder = f"{home}/plugins/plexum-minimax-provider"
            self.commands["ours"] = [f"{folder}/{LAUNCHER}"]

    def racer(self, name: str) -> Any:
        """A contender's process, which ends with its input."""
        pipes: Obj = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
        return subprocess.Popen(self.commands[name], env=self.env, **pipes)

    def play(self, racer: Any, *lines: Obj, end: bytes = b"") -> Any:
        """Reads of its output, with their times, until each line sent has its `end`."""
        racer.stdin.write(b"".join(dump(line).encode() + b"\n" for line in lines))
        reads, ended, data = [], 0, b""
        while ended < len(lines) or not data.endswith(b"\n"):
            tail, data = data[-8:], os.read(racer.stdout.fileno(), 1 << 20)
            reads.append((time.monotonic(), data))
            assert data, "a contender ended early"
            ended += (tail + data).count(end)
        return reads

    def start(self) -> None:
        """New processes: to their first line, else to their end."""
        turn = ask("10 0 1", id="a")
        starts: Any = [("describe", n, {"type": "describe"}) for n in ("ours", "file")]
        starts += [("describe", "pass"), ("first event", "ours", turn)]
        for figure, name, *lines in [*starts, ("first event", "import requests")] * 15:
            began = time.monotonic()
            with self.racer(name) as racer:
                self.play(racer, *lines) if lines else racer.wait()
                self.samples[figure, name].append(1e3 * (time.monotonic() - began))

    def stream(self, part: str) -> None:
        """From a delta's leaving to the reading of its line, or of all of them."""
        words = FEEDS[part]
        turns = [ask(words, id=n) for n in range(int(words.split()[2]))]
        for name in ("ours", "floor") * 5:
            with self.racer(name) as racer:
                self.play(racer, ask("10 0 1", id="a"), end=b'turn_end"')
                reads = self.play(racer, *turns, end=b'turn_end"')
            if part == "throughput":  # one stamp
                reads = [(reads[-1][0], b"".join(data for _, data in reads))]
            for now, data in reads:
                deltas = b"".join(li for li in data.split(b"\n") if b"_delta" in li)
                times = [now - float(stamp) for stamp in STAMP.findall(deltas)]
                self.samples[part, name] += [1e3 * seconds for seconds in times]

    def memory(self) -> None:
        for name in ("ours", "python3"):
            with self.racer(name) as racer:
                self.play(racer, {"type": "describe"})
                time.sleep(0.2)  # for what it does in the background
                self.samples["memory", name].append(proc_status(racer, "VmRSS") / 1024)


# Figure, whose, against what; the limit, so many times that and so much more; quantile.
LIMITS_OF_FIGURES: list[tuple[str, str, str, float, float, float]] = [
    ("describe", "ours", "pass", 2, 0, 0.5),
    ("describe", "file", "pass", 5, 0, 0.5),
    ("first event", "ours", "import requests", 0.85, 0, 0.5),
    ("throughput", "ours", "floor", 0.6, 0, 0.5),
    ("latency", "ours", "floor", 1.5, 0, 0.5),
    ("turns", "ours", "floor", 0, 5, 0.99),
    ("memory", "ours", "python3", 1, 4, 0.5),
]


def figures(samples: Any) -> Iterator[str]:
    """A row for each figure that was measured, and whether it keeps its limit."""
    for figure, name, against, times, plus, share in LIMITS_OF_FIGURES:
        if (figure, name) in samples:
            measured = [sorted(samples[figure, each]) for each in (name, against)]
            value, base = (numbers[int(share * len(numbers))] for numbers in measured)
            limit = base * times + plus
            row = f"{figure}, {name}: {value:.2f}; {against} {base:.2f}, "
            yield row + f"limit {limit:.2f}: " + ("ok" if value <= limit else "OVER")


def main(argv: list[str]) -> None:
    parts = ["start", *FEEDS, "memory"]
    if argv[:1] != ["bench"] or not set(argv[1:]) <= set(parts):
        sys.exit(f"usage: test_provider.py bench [{' | '.join(parts)}] ...")
    with tempfile.TemporaryDirectory() as home:
        race = Race(home)
        for part in argv[1:] or parts:
            print(f"measuring {part} ...", file=sys.stderr)
            race.stream(part) if part in FEEDS else getattr(race, part)()
    print(f"Python {platform.python_version()}, {platform.platform()}; in ms or MB")
    print(*figures(race.samples), sep="\n")


@needs_linux
def test_benchmark_measures_ours_against_the_floor() -> None:
    command = [sys.executable, __file__, "bench", "memory"]
    output = subprocess.check_output(command, timeout=DEADLINE).decode()
    row = r"memory, ours: [1-9][\d.]+; python3 [1-9][\d.]+, limit [\d.]+: (ok|OVER)"
    assert re.fullmatch(row, output.splitlines()[1]), output
    for value, verdict in ((0.1, "ok"), (100.0, "OVER")):
        samples = {(row[0], row[2]): [1.0, 2.0, 3.0] for row in LIMITS_OF_FIGURES}
        samples.update({row[:2]: [value] * 3 for row in LIMITS_OF_FIGURES})
        assert [row.split(": ")[-1] for row in figures(samples)] == [verdict] * 7


if __name__ == "__main__":
    main(sys.argv[1:])
