#!/usr/bin/env python3
"""Serve MiniMax models to a Plexum gateway, over JSON lines.

This file is the whole product: copy it anywhere with Python 3.8 or newer and
``requests``.  The gateway (the *host*) starts it as a subprocess and writes one JSON
object per line to its stdin; one JSON object per line comes back on its stdout.

    host -> plugin   turn (a TurnRequest), cancel, ping, describe
    plugin -> host   (warning | retry | heartbeat)*
                     [ turn_start (block_start | *_delta | block_end | ...)* ]
                     (turn_end | error)
                     and, for no turn: pong, manifest, error without id

Every turn ends in exactly one ``turn_end`` or ``error``.  Blocks are Messages API
blocks, verbatim in both directions, so that what MiniMax sent can go back to it
unchanged.  The README has the whole contract, `--schema` prints it as JSON Schema.

For a person at a terminal there are commands: say, check, models, quota, replay, demo.

As a library, stable for those who vendor the file: ``MiniMaxProvider``,
``ProviderError``, the events they yield, and the names in ``__all__``.

    with MiniMaxProvider(api_key="...") as provider:
        for event in provider.turn({"messages": [{"role": "user", "content": "hi"}]}):
            ...

Terms: the same licence as Plexum's.  This file travels alone; keep this paragraph.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 8):
    if __name__ != "__main__":
        raise ImportError("plexum-minimax-provider needs Python 3.8 or newer")
    sys.stderr.write("plexum-minimax-provider needs Python 3.8 or newer.\n")
    raise SystemExit(3)
if __name__ == "__main__":
    # The script's own directory goes last: a json.py lying about must not win.
    sys.path.append(sys.path.pop(0))

import json
import os
import re
import threading
import time
from collections import deque

# Everything else is imported where it is first needed: `describe` and `--version`
# answer before `requests` could even be found, and also where it is missing.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any, Callable, Dict, Iterable, Iterator, NoReturn, Tuple

    JSON = Dict[str, Any]
    Warn = Callable[[str, str], None]
    Message = Tuple[str, str, Any]  # path, role, content

__version__ = "1.0.0"
__all__ = [
    "MODELS",
    "OPTIONS",
    "EventTranslator",
    "MiniMaxProvider",
    "ProviderError",
    "SSEDecoder",
    "ServerSentEvent",
    "build_request",
]

# How the file keeps its shape:
# 1. A section uses only sections above it.
# 2. Tables, errors, SSE and both translators do no I/O: no clock, no environment, no
#    files.  What they need of those comes as an argument.
# 3. Only the HTTP client touches `requests`, and it alone turns its exceptions into
#    ours.  It yields bytes and knows no event names.
# 4. Only a capture writes files, and no failure of it reaches the turn.
# 5. Only the plugin loop reads input and writes the wire, through callables handed in;
#    only the process section knows which descriptors they are.
# 6. Only the command line reads argv, and only commands print.


# ---------------------------------------------------------------------------
# Tables: what is known, as data
# ---------------------------------------------------------------------------

NAME = "plexum-minimax-provider"
PROTOCOL = 1

# Hosts by region (MiniMax's text-anthropic-api page, 2026-11).
REGIONS = {
    "global": "https://api.minimax.io/anthropic",
    "cn": "https://api.minimaxi.com/anthropic",
}
HOSTS = {
    "api.minimax.io": "global",
    "api.minimaxi.com": "cn",
    "api.minimax.cn": "cn",  # newer documents prefer it; the same deployment
}
API_VERSION = "2023-06-01"
# Below the base; the last one is below the host (users' reports, 2026-11).
MESSAGES_PATH, MODELS_PATH = "/v1/messages", "/v1/models"
QUOTA_PATH = "/v1/token_plan/remains"
# Response headers that identify a request, the first one present wins (2026-11).
REQUEST_ID_HEADERS = ("minimax-request-id", "trace-id", "request-id", "x-request-id")

# What a key's first characters say of the wallet it spends.  A hint, never a reason
# to refuse: the server decides (token-plan FAQ, 2026-11).
_PLAN, _PAYG = "plan key (sk-cp-)", "pay-as-you-go key (sk-api-)"
_ANY_WALLET = "whatever wallet it was issued for"
# Prefix, kind, wallet, the kind that spends the other wallet.
KEY_KINDS = (
    ("sk-cp-", _PLAN, "the quota of your Token, Coding or M Plan", _PAYG),
    ("sk-api-", _PAYG, "the balance of your account", _PLAN),
    ("eyJ", "OAuth or older key (eyJ)", _ANY_WALLET, _PLAN),
    ("", "key of unknown kind", _ANY_WALLET, _PLAN),
)


def key_kind(key: str) -> tuple[str, str, str, str]:
    """The row of KEY_KINDS for `key`."""
    return next(row for row in KEY_KINDS if key.startswith(row[0]))


EFFORTS = ("low", "medium", "high", "xhigh", "max")

# How a family of models takes `thinking`: what is sent when a turn asks for it on or
# off (None: nothing), why "off" cannot be had, and whether it takes an effort.  Models
# outside the table are sent what the turn says.  (2026-11)
_ADAPTIVE, _DISABLED = {"type": "adaptive"}, {"type": "disabled"}
_THINKING = {
    **dict.fromkeys((True, "enabled", "adaptive"), "on"),
    **dict.fromkeys((False, "disabled"), "off"),
}
FAMILIES: dict[str, JSON] = {
    "M2": {"on": None, "off": None, "always": True, "effort": False},
    "M3": {"on": _ADAPTIVE, "off": _DISABLED, "always": False, "effort": False},
    # An effort left out means max, about ten times the tokens: one is always sent.
    "M3.1": {"on": None, "off": None, "always": True, "effort": True},
}

# USD per million tokens: input, output, cache read, cache write; None: unknown.
_PRICES = ("input", "output", "cache_read", "cache_write")
_M31, _M3 = (0.15, 0.60, 0.015, None), (0.30, 1.20, 0.06, None)
_M27, _M27H = (0.30, 1.20, 0.06, 0.375), (0.60, 2.40, 0.06, 0.375)
_M2, _NONE = (0.30, 1.20, 0.03, 0.375), (None, None, None, None)
_M3_ABOVE = (0.60, 2.40, 0.12, None)
_MEDIA, _GONE = "text image video", "2026-11-18"
# Tokens of context (input and output together) and of output, kinds of input, prices,
# standing, day of retirement.  (Model and price pages, users' reports, 2026-11)
_MODEL_ROWS: tuple[tuple[Any, ...], ...] = (
    ("MiniMax-M3.1-Flash", "M3.1", 1000000, 524288, _MEDIA, _M31, "current", None),
    # 131,072 tokens of output are advised.
    ("MiniMax-M3", "M3", 1000000, 524288, _MEDIA, _M3, "current", None),
    ("MiniMax-M2.7", "M2", 204800, 131072, "text", _M27, "retired", _GONE),
    ("MiniMax-M2.7-highspeed", "M2", 204800, 131072, "text", _M27H, "retired", _GONE),
    ("MiniMax-M2.5", "M2", 204800, 131072, "text", _M2, "retired", _GONE),
    ("MiniMax-M2.5-highspeed", "M2", 204800, 131072, "text", _NONE, "retired", _GONE),
    ("MiniMax-M2.1", "M2", 204800, 131072, "text", _M2, "legacy", None),
    ("MiniMax-M2.1-highspeed", "M2", 204800, 131072, "text", _NONE, "legacy", None),
    ("MiniMax-M2", "M2", 204800, 128000, "text", _M2, "legacy", None),
)
MODELS: dict[str, JSON] = {
    name: {
        "family": family,
        "context_window": context,
        "max_output_tokens": output,
        "input": kinds.split(),
        "prices": dict(zip(_PRICES, prices)),
        "status": status,
        "retired": retired,
    }
    for name, family, context, output, kinds, prices, status, retired in _MODEL_ROWS
}
# Requests with more input tokens than this cost more.
PRICES_ABOVE = {"MiniMax-M3": (512000, dict(zip(_PRICES, _M3_ABOVE)))}
_CANONICAL = {name.lower(): name for name in MODELS}
_CURRENT = [name for name, row in MODELS.items() if row["status"] == "current"]


def canonical_model(name: str) -> str:
    """The id to send for `name`: no `minimax/` prefix, the table's spelling."""
    if name.lower().startswith("minimax/"):
        name = name[len("minimax/") :] or name
    return _CANONICAL.get(name.lower(), name)


# Which price each count of `usage` is charged at.  As in the Messages API, input_tokens
# does not hold the other two inputs: one answer had 236 beside 38,308 cache reads.
_CHARGES = {
    "input_tokens": "input",
    "cache_read_input_tokens": "cache_read",
    "cache_creation_input_tokens": "cache_write",
    "output_tokens": "output",
}
_MAX_COUNT = 10**12  # of tokens; a larger number is no count


def cost_usd(model: str | None, usage: JSON) -> float | None:
    """What `usage` costs at the prices of `model`, the one that answered, in USD.

    None if the model, a price that is needed or a count is unknown, or if there was
    no input at all.  Rounded to 1e-9, which is exact for the prices of the table.
    """
    model = canonical_model(model or "")
    prices = MODELS.get(model, {"prices": {}})["prices"]
    given = {name: usage[name] for name in _CHARGES if usage.get(name) is not None}
    if not all(type(n) is int and 0 <= n <= _MAX_COUNT for n in given.values()):
        return None
    context = sum(n for name, n in given.items() if name != "output_tokens")
    least, above = PRICES_ABOVE.get(model, (context, prices))
    prices = above if context > least else prices
    charged = [(n, prices.get(_CHARGES[name])) for name, n in given.items() if n]
    is_known = context > 0 and {"input_tokens", "output_tokens"} <= set(given)
    if not is_known or any(price is None for _, price in charged):
        return None
    micros: float = sum(n * price for n, price in charged)
    return round(micros / 1e6, 9)


# Every error code of the contract: may the same turn succeed later, and what the person
# in front of it can do.  The braces are filled by `_Turn._facts`.
_RETRY, _FINAL = True, False
ERRORS = {
    "invalid_json": (_FINAL, "Send one JSON object per line, UTF-8, ended by LF."),
    "invalid_request": (_FINAL, "Correct the field that the message names."),
    "line_too_long": (_FINAL, "Send less, or raise max_line_bytes in the config."),
    "duplicate_id": (_FINAL, "Use an id again only after its turn has ended."),
    "busy": (_RETRY, "Wait for a turn to end, or raise max_queued_turns."),
    "shutting_down": (_RETRY, "Send the turn to a new process."),
    "config": (_FINAL, "Correct the setting; the next turn reads it again."),
    "auth": (
        _FINAL,
        "{host} (region {region}) did not accept the {key_kind}. Keys do not cross "
        'regions: if yours was issued by the other platform, set "region" to '
        '"{other_region}" ({other_host}) and leave "base_url" empty; otherwise copy '
        "the key again into api_key. MINIMAX_API_KEY, MINIMAX_REGION and "
        "MINIMAX_BASE_URL, where they are set, win over these.",
    ),
    "permission": (
        _FINAL,
        "{host} knows the {key_kind} but does not let it use {model}: check what "
        "the key may do on the platform, or try another model ({models}).",
    ),
    "insufficient_balance": (
        _FINAL,
        "The {key_kind} spends {wallet} at {host}, and it is empty. Plan quota and "
        "account balance are separate wallets: top up this one, or set api_key (or "
        "MINIMAX_API_KEY, which wins) to a key of the other ({other_key_kind}).",
    ),
    "quota_exhausted": (
        _FINAL,
        "The {key_kind} spends {wallet}; its 5-hour or weekly window is used up. "
        "Wait for the reset, choose a bigger plan, or set api_key (or MINIMAX_API_KEY, "
        "which wins) to a pay-as-you-go key (sk-api-). A quota of 0/0 means that the "
        "plan does not include {model}.",
    ),
    "model_unavailable": (
        _FINAL,
        "{host} does not serve {model} to the {key_kind}. Use {models}; -highspeed "
        "models are not part of the base plans.",
    ),
    "not_found": (
        _FINAL,
        "There is no Messages API at {url}. base_url normally is {base} (region "
        "global) or {base_cn} (region cn); leave it empty to use the region's.",
    ),
    "context_too_long": (
        _FINAL,
        "Input and max_tokens together must fit the {context} tokens of {model}: "
        "shorten or compact the history, or lower max_tokens.",
    ),
    "content_filtered": (
        _FINAL,
        "MiniMax's content filter stopped the input or the output: rephrase it.",
    ),
    "rejected": (
        _FINAL,
        "{host} refused the request for {model} as it stands: correct what the "
        "message names. Sending it again unchanged gives the same answer.",
    ),
    "rate_limited": (
        _RETRY,
        "The limit of {host} counts per account and minute: send fewer turns at a "
        "time (max_concurrent_turns) or space them out.",
    ),
    "overloaded": (_RETRY, "{host} is overloaded: try again in a minute."),
    "upstream": (_RETRY, "{host} failed, not the request: try again later."),
    "network": (
        _RETRY,
        "Check that this machine reaches {host}: DNS, firewall, proxy.{environment}",
    ),
    "timeout": (
        _RETRY,
        "{host} was too slow for {model}: raise the limit that the message names, "
        "in the config, or check the network.{environment}",
    ),
    "stream_cut": (
        _RETRY,
        "Something between here and {host} ended the answer early; nothing of it "
        "was taken as complete.{environment}",
    ),
    "empty_response": (_RETRY, "{host} sent an empty answer: try again."),
    "protocol": (
        _RETRY,
        "{url} did not answer in the form of the Messages API; if it keeps doing "
        "so, check base_url and what stands in between.{environment}",
    ),
    "internal": (_FINAL, "A defect of the plugin: the traceback is on its stderr."),
}
# How many times slower than usual these are tried again (users' reports, 2026-11).
PACES = {"rate_limited": 4, "overloaded": 2}

# MiniMax's own codes (errorcode page and reports, 2026-11) -> ours.  The last number
# in parentheses that stands here is the code: token counts stand in parentheses too.
MINIMAX_CODES = {
    **dict.fromkeys((1000, 1001, 1013, 1024, 1033), "upstream"),
    **dict.fromkeys((1002, 2045, 1041), "rate_limited"),
    **dict.fromkeys((1004, 2049), "auth"),
    **dict.fromkeys((1026, 1027), "content_filtered"),
    **dict.fromkeys((1042, 2013), "rejected"),
    1008: "insufficient_balance",
    1039: "context_too_long",
    2056: "quota_exhausted",
    2061: "model_unavailable",
    2064: "overloaded",
}
# HTTP statuses, where no code of MiniMax's decides.
HTTP_STATUSES = {
    401: "auth",
    402: "insufficient_balance",
    403: "permission",
    408: "upstream",
    409: "upstream",
    429: "rate_limited",
    529: "overloaded",
}
# The same by the hundreds; all others are the upstream's own failures.
HTTP_CLASSES = {1: "protocol", 2: "protocol", 3: "rejected", 4: "rejected"}
# Error types of both families, for errors in mid-stream, which have no status.
ERROR_TYPES = {
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
}
# 2013 has about 15 meanings, told apart by text only; so have errors without a code.
ERROR_TEXTS = (
    ("context window", "context_too_long"),
    ("unknown model", "model_unavailable"),
    ("plan not support model", "model_unavailable"),
    ("(0/0 used)", "model_unavailable"),
)

# The types of lines on the wire: here and nowhere else.
TURN, CANCEL, PING, DESCRIBE = "turn", "cancel", "ping", "describe"
PONG, MANIFEST = "pong", "manifest"
TURN_START, TURN_END, ERROR = "turn_start", "turn_end", "error"
BLOCK_START, BLOCK_END = "block_start", "block_end"
TEXT_DELTA, THINKING_DELTA, INPUT_DELTA = "text_delta", "thinking_delta", "input_delta"
WARNING, RETRY, HEARTBEAT = "warning", "retry", "heartbeat"
TERMINAL = (TURN_END, ERROR)
CANCELLED = "cancelled"  # the stop reason that is ours
WARNINGS = frozenset(
    "unknown_field ignored_field system_role_moved max_tokens_lowered history_repaired "
    "image_replaced thinking_mapped effort_ignored retired_model model_differs "
    "thinking_used_all_tokens tool_markup_in_text unknown_delta".split()
)

# The fields of lines and of what they hold, written like TypeScript's: `name?` may be
# left out, `a|b` is either, `a[]` a list of it, `a+` one that is not empty, 'a' that
# string; the words are names of SHAPES, UNIONS and KINDS.  What comes in is checked by
# these tables, what goes out is written by them, and `schema` gives them to hosts.


def _fields(text: str) -> dict[str, str]:
    return dict(field.split(":") for field in text.split())


# What the host sends, besides `type`.
HOST_LINES = {
    TURN: _fields(
        """
        id?:id|null model?:string|null messages:input_message+
        system?:string|text_block[]|null tools?:tool[]|null
        tool_choice?:'auto'|'any'|'none'|choice|''|null max_tokens?:count|null
        temperature?:number|null top_p?:number|null top_k?:integer|null
        stop_sequences?:string[]|null metadata?:object|null service_tier?:string|null
        thinking?:boolean|object|null effort?:effort|''|null extra_body?:object|null
        stream?:any
        """
    ),
    CANCEL: _fields("id:id"),
    PING: _fields("id?:id|null"),
    DESCRIBE: _fields("id?:id|null"),
}
# What a turn is answered with, besides `type` and the turn's `id`.
TURN_LINES = {
    TURN_START: _fields("model:string|null message_id:string|null"),
    BLOCK_START: _fields("index:count block:block|any_block"),
    TEXT_DELTA: _fields("index:count text:string"),
    THINKING_DELTA: _fields("index:count text:string"),
    INPUT_DELTA: _fields("index:count json:string"),
    BLOCK_END: _fields(
        "index:count block:block|any_block incomplete?:true input_json?:string"
    ),
    TURN_END: _fields(
        """
        stop_reason:string message:message|null model:string|null
        message_id:string|null usage:object|null cost_usd?:number
        request_id:string|null timing:timing
        """
    ),
    ERROR: _fields(
        """
        error:error_object model:string|null usage:object|null cost_usd?:number
        partial:message|null timing:timing
        """
    ),
    RETRY: _fields("attempt:count max_attempts:count delay:number error:error_object"),
    WARNING: _fields("code:warning_code text:string"),
    HEARTBEAT: {},
}
# The lines that belong to no turn, besides `type`.
LOOSE_LINES = {
    PONG: _fields("id?:id"),
    MANIFEST: _fields(
        f"""
        id?:id name:'{NAME}' version:string protocol:count kind:'provider'
        executable:string activation:'lazy' provider:model_ids models:model[]
        config:setting[] capabilities:string[]
        """
    ),
    ERROR: _fields("error:error_object line:count ref_id?:string|number|boolean"),
}
SHAPES = {
    **{kind: {"type": f"'{kind}'", **row} for kind, row in HOST_LINES.items()},
    TURN: {"type?": f"'{TURN}'", **HOST_LINES[TURN]},
    **{
        kind: {"type": f"'{kind}'", "id": "id", **row}
        for kind, row in TURN_LINES.items()
    },
    PONG: {"type": f"'{PONG}'", **LOOSE_LINES[PONG]},
    MANIFEST: {"type": f"'{MANIFEST}'", **LOOSE_LINES[MANIFEST]},
    "line_error": {"type": f"'{ERROR}'", **LOOSE_LINES[ERROR]},
    "error_object": _fields(
        """
        code:error_code message:string hint:string retryable:boolean
        retry_after?:number reset_at?:string http_status?:integer
        provider_code?:integer request_id?:string
        """
    ),
    "timing": _fields("first_event_ms:count|null total_ms:count attempts:count"),
    "message": _fields("role:'assistant' content:block+"),
    "user_message": _fields("role:'user' content?:string|input_block[]|null"),
    "assistant_message": _fields("role:'assistant' content?:string|block[]|null"),
    "system_message": _fields("role:'system' content?:string|text_block[]|null"),
    # A block whose kind is known may still lack fields while it streams.
    "any_block": _fields("type:string"),
    "other_block": _fields("type:other_kind"),
    "other_input_block": _fields("type:other_input_kind"),
    "text_block": _fields("type:'text' text:string"),
    "thinking_block": _fields(
        "type:'thinking' thinking?:string signature?:string|null"
    ),
    "redacted_thinking_block": _fields("type:'redacted_thinking' data?:string"),
    "tool_use_block": _fields(
        "type:'tool_use' id:string name:string input?:object|null"
    ),
    "tool_result_block": _fields(
        """
        type:'tool_result' tool_use_id:string content?:string|input_block[]|null
        is_error?:boolean|null
        """
    ),
    "image_block": _fields(
        """
        type:'image' source?:object|null url?:name|null data_base64?:name|null
        path?:name|null media_type?:string|null
        """
    ),
    "tool": _fields("name:name description?:string|null input_schema?:object|null"),
    "choice": _fields("type:string name?:string"),
    "model_ids": _fields("models:string[]"),
    "model": _fields(
        """
        id:model_id context_window:count max_output_tokens:count input:string[]
        thinking:'always'|'adaptive' effort:effort[] prices:prices retired:string|null
        """
    ),
    "prices": dict.fromkeys(_PRICES, "number|null"),
    "setting": _fields("name:string type:string default:any help:string"),
}


def _one_of(names: Iterable[str], form: str = "'%s'") -> str:
    return "|".join(form % name for name in names)


_BLOCKS = ("text", "thinking", "redacted_thinking", "tool_use")
_INPUT_BLOCKS = ("text", "tool_use", "tool_result", "image")  # in a user's message
UNIONS = {
    "host_line": "|".join(HOST_LINES),
    "plugin_line": "|".join([*TURN_LINES, "line_error", PONG, MANIFEST]),
    "id": "name|integer",
    "input_message": "user_message|assistant_message|system_message",
    "block": _one_of((*_BLOCKS, "other"), "%s_block"),
    "input_block": _one_of((*_INPUT_BLOCKS, "other_input"), "%s_block"),
    "error_code": _one_of(ERRORS),
    "warning_code": _one_of(sorted(WARNINGS)),
    "effort": _one_of(EFFORTS),
    "model_id": _one_of(MODELS),
}

# Texts that leak out of the model's own format (users' reports, 2026-11).
END_MARKER = "[e~["
TOOL_MARKUP = ("<minimax:tool_call>", "]<]minimax[>[")

MIB = 1 << 20
# Limits that no setting changes, each with its reason.
MAX_EVENT_BYTES = 16 * MIB  # one SSE event: eight times a whole maximal answer
MAX_STREAM_BYTES = 512 * MIB  # one response: memory must end somewhere
MAX_ERROR_BODY = 64 * 1024  # an error body that is longer says nothing more
MAX_IMAGE_BYTES = 10 * MIB  # MiniMax refuses larger ones (2026-11)
MAX_KEY = 8192  # characters of a key: more fits no header
MAX_DIGITS = 4300  # of an integer: what Python itself reads since 3.11
MAX_DEPTH = 500  # of nested JSON: well below every Python's recursion limit
MAX_UPSTREAM_DEPTH = 480  # so that an answer still fits into the next request
MAX_UNREAD = 1000  # pongs and line errors kept for a host that does not read
MAX_TEXT = 600  # characters of an upstream text in a message for people
MAX_ANSWER_BYTES = 4 * MIB  # of JSON that is no stream: a list of models is small
QUERY_SECONDS = 30.0  # for each step of a question that spends no token
ERROR_BODY_SECONDS = 10.0  # an error is worth no longer wait
LAST_EVENT_SECONDS = 5.0  # after a stop reason, for message_stop to come
DRAIN_SECONDS = 0.3  # after message_stop, for the body to end
MAX_INTERIM = 20  # answers of status 1xx before the one that counts
STALE_SECONDS = 1.0  # a kept connection that has died says so within a round trip
MAX_IDLE_SECONDS = 30.0  # a connection idle for longer may have died unseen
STOP_AGAIN_SECONDS = 0.05  # until a connection that is being made can be shut down
CANCEL_POLL_SECONDS = 0.1  # how often a caller's threading.Event is looked at
HEARTBEAT_SECONDS = 5.0
MAX_BACKOFF_SECONDS = 60.0
MAX_RETRY_AFTER = 1e9  # a longer Retry-After, in seconds, is told as this
EXIT_SECONDS = 1.0  # after SIGTERM, for the turns to say how they ended
MAX_CAPTURE_FILE = 32 * MIB  # one captured turn: what a bug report can bear
MAX_CAPTURE_BYTES = 512 * MIB  # all of a directory's, before the oldest go
MAX_CAPTURES = 500  # likewise, in number


# ---------------------------------------------------------------------------
# JSON and errors
# ---------------------------------------------------------------------------


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:20]}... is too large")
    return value


def _short_int(text: str) -> int:
    if len(text.lstrip("-")) > MAX_DIGITS:
        raise ValueError("an integer has more than %d digits" % MAX_DIGITS)
    return int(text)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_HOOKS: dict[str, Any] = {"parse_float": _finite, "parse_constant": _no_constant}
_LONG_HOOKS = {**_HOOKS, "parse_int": _short_int}
_DECODER: Any = json.JSONDecoder(**_HOOKS)
_LONG_DECODER: Any = json.JSONDecoder(**_LONG_HOOKS)
_RAW_DECODER: Any = json.JSONDecoder(**_LONG_HOOKS, strict=False)
# ASCII and compact; raises ValueError for what JSON cannot say.
dump_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def load_json(
    text: str, max_depth: int = MAX_DEPTH, control_characters: bool = False
) -> Any:
    """Parse one JSON value that every Python can also write again.

    Refuses NaN, infinities, integers of over MAX_DIGITS digits and nesting of over
    `max_depth` levels; `control_characters` admits raw ones inside strings.  Raises
    ValueError, and nothing else, with a reason that quotes none of the text.
    """
    # Only a text of that length can hold an integer of that many digits.
    decoder = _DECODER if len(text) <= MAX_DIGITS else _LONG_DECODER
    if control_characters:
        decoder = _RAW_DECODER
    try:
        try:
            # decode() alone would look for white space first: as long as the parse.
            value, end = decoder.scan_once(text, 0)
        except StopIteration:
            end = -1
        if end != len(text):
            value = decoder.decode(text)
    except json.JSONDecodeError as error:
        where = "line %d, " % error.lineno if error.lineno > 1 else ""
        where += "character %d" % error.colno
        raise ValueError(f"{error.msg} at {where}") from None
    except RecursionError:
        raise ValueError(f"nested deeper than {max_depth} levels") from None
    if len(text) <= max_depth:
        return value
    if text.count("[") + text.count("{") > max_depth and _is_deep(value, max_depth):
        raise ValueError(f"nested deeper than {max_depth} levels")
    return value


def _is_deep(value: Any, max_depth: int) -> bool:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(max_depth):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


# --- values, by the notation of the tables


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or _is_integer(value)


def _but(kinds: tuple[str, ...]) -> tuple[Callable[[Any], bool], str, JSON]:
    text = "a string other than " + ", ".join(kinds)
    schema = {"type": "string", "not": {"enum": list(kinds)}}
    return lambda value: _is_text(value) and value not in kinds, text, schema


_NAME = {"type": "string", "minLength": 1}
_COUNT = {"type": "integer", "minimum": 0}
# The simple kinds: the check, what people are told one is, and its JSON Schema.
KINDS: dict[str, tuple[Callable[[Any], bool], str, JSON]] = {
    "any": (lambda value: True, "anything", {}),
    "null": (lambda value: value is None, "null", {"type": "null"}),
    "true": (lambda value: value is True, "true", {"const": True}),
    "boolean": (lambda v: isinstance(v, bool), "true or false", {"type": "boolean"}),
    "string": (_is_text, "a string", {"type": "string"}),
    "name": (lambda v: _is_text(v) and v != "", "a non-empty string", _NAME),
    "integer": (_is_integer, "an integer", {"type": "integer"}),
    "count": (lambda v: _is_integer(v) and v >= 0, "an integer, 0 or above", _COUNT),
    "number": (_is_number, "a number", {"type": "number"}),
    "object": (lambda v: isinstance(v, dict), "an object", {"type": "object"}),
    "other_kind": _but(_BLOCKS),
    "other_input_kind": _but(_INPUT_BLOCKS),
}


def fits(value: Any, kinds: str) -> bool:
    """Whether `value` is one of `kinds`."""
    return any(_is_kind(value, kind) for kind in kinds.split("|"))


def _is_kind(value: Any, kind: str) -> bool:
    if kind.endswith(_LIST):
        is_list = isinstance(value, list) and (value or kind[-1] != "+")
        return bool(is_list) and all(_is_kind(v, kind.rstrip("[]+")) for v in value)
    if kind in UNIONS:
        return fits(value, UNIONS[kind])
    if kind in SHAPES:
        fields = SHAPES[kind].items()
        return isinstance(value, dict) and all(_has(value, *field) for field in fields)
    return value == kind[1:-1] if _is_literal(kind) else KINDS[kind][0](value)


def _is_literal(kind: str) -> bool:
    return kind.startswith("'")


def _has(given: JSON, name: str, kinds: str) -> bool:
    field = name.rstrip("?")
    return fits(given[field], kinds) if field in given else field != name


def in_words(kinds: str) -> str:
    """What a value must be that `fits`, for people."""
    *others, last = [_word(kind) for kind in kinds.split("|") if kind not in _ABSENT]
    return " or ".join([", ".join(others), last] if others else [last])


def _word(kind: str) -> str:
    if kind.endswith(_LIST):
        return f"a list of {_word(kind.rstrip('[]+')).split()[-1]}s"
    if kind in SHAPES:
        return "an object with a " + " and a ".join(_required(SHAPES[kind]))
    if kind in UNIONS:
        return in_words(UNIONS[kind])
    return '"%s"' % kind[1:-1] if _is_literal(kind) else KINDS[kind][1]


_LIST = ("[]", "+")
_ABSENT = ("null", "''")  # stand for a field that is not given


def _required(fields: Iterable[str]) -> list[str]:
    return [name for name in fields if not name.endswith("?")]


def shaped(fields: dict[str, str], values: JSON) -> JSON:
    """`values` as an object of `fields`: in their order, and no others."""
    names = [name for name in fields if name.rstrip("?") in values]
    if len(names) != len(values) or not set(_required(fields)) <= set(names):
        raise KeyError(sorted(values))
    return {name.rstrip("?"): values[name.rstrip("?")] for name in names}


def turn_line(kind: str, values: JSON) -> JSON:
    """A line of a turn but for its id, see TURN_LINES."""
    return {"type": kind, **shaped(TURN_LINES[kind], values)}


class ProviderError(Exception):
    """A turn, or a line, that failed.

    `code` is one of ERRORS; `message` says what happened, `hint` what to do about it.
    `details` holds what is known of retry_after (seconds), reset_at (ISO 8601),
    http_status, provider_code and request_id.
    """

    cause = ""  # the exception underneath, for the log

    def __init__(
        self,
        code: str,
        message: str,
        hint: str = "",
        retryable: bool | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.retryable = ERRORS[code][0] if retryable is None else retryable
        self.details = {k: v for k, v in details.items() if v is not None}

    def to_dict(self) -> JSON:
        """The `error` object of the contract."""
        known = {
            "code": self.code,
            "message": self.message,
            "hint": self.hint or ERRORS[self.code][1],
            "retryable": self.retryable,
            **self.details,
        }
        return shaped(SHAPES["error_object"], known)


class _Cancelled(Exception):
    """The host, or the process's end, wants no more of this turn."""


def warning(code: str, text: str) -> JSON:
    """The event of a warning."""
    if code not in WARNINGS:
        raise KeyError(code)
    return turn_line(WARNING, {"code": code, "text": plain_text(text)})


def _wrong(path: str, problem: str) -> NoReturn:
    raise ProviderError("invalid_request", f"{path} {problem}")


def _broken(problem: str) -> NoReturn:
    raise ProviderError("protocol", problem)


def plain_text(text: str, limit: int = MAX_TEXT) -> str:
    """`text` of unknown origin as one printable line of at most `limit` characters."""
    head = text[: 20 * limit]
    line = " ".join("".join(c if c.isprintable() else " " for c in head).split())
    return line if len(line) <= limit else line[:limit] + "..."


class Redactor:
    """Masks keys wherever eight or more of their characters stand in a row."""

    SPAN = 8
    REACH = 13  # what of a piece can stand before its last character

    def __init__(self) -> None:
        self._pieces: set[str] = set()

    def add(self, key: str) -> None:
        """Mask `key` from now on; its public prefix stays readable."""
        secret = key[len(key_kind(key)[0]) :]
        spans = range(len(secret) - self.SPAN + 1)
        pieces = {secret[i : i + self.SPAN] for i in spans}
        if not spans and len(key) > 3:  # too short to be real: masked as a whole
            pieces = {key}
        self._pieces = self._pieces | pieces  # another thread may go through the old

    def text(self, text: str) -> str:
        """`text` with every trace of the keys replaced by asterisks."""
        if not any(piece in text for piece in self._pieces):
            return text
        masked = list(text)
        for piece in self._pieces:
            start = text.find(piece)
            while start >= 0:
                masked[start : start + len(piece)] = "*" * len(piece)
                start = text.find(piece, start + 1)
        return "".join(masked)

    def value(self, value: Any) -> Any:
        """`value` with all strings in it, keys of objects included, masked."""
        top = [value]
        work: list[tuple[Any, Any]] = [(top, 0)]
        while work:  # and not by recursion: values may be as deep as Python allows
            parent, place = work.pop()
            value = parent[place]
            if isinstance(value, str):
                parent[place] = self.text(value)
            elif isinstance(value, dict):
                masked = {self.text(str(k)): v for k, v in value.items()}
                parent[place] = masked
                work += [(masked, name) for name in masked]
            elif isinstance(value, list):
                parent[place] = items = value[:]
                work += [(items, n) for n in range(len(items))]
        return top[0]


# Every key this process has loaded: the one place that redacts.
SECRETS = Redactor()

# Fields and events that hold the model's own content, which is never masked.
CONTENT_FIELDS = ("message", "partial")
_CONTENT_EVENTS = (BLOCK_START, TEXT_DELTA, THINKING_DELTA, INPUT_DELTA, BLOCK_END)


def redact_event(event: JSON) -> JSON:
    """`event` as it may leave: no key in anything but the model's own content."""
    if event["type"] in _CONTENT_EVENTS:
        return event
    masked = SECRETS.value
    return {k: v if k in CONTENT_FIELDS else masked(v) for k, v in event.items()}


def redact_error(error: ProviderError) -> ProviderError:
    """`error` as it may leave: no key in what it says."""
    return ProviderError(**SECRETS.value(error.to_dict()))


# The number in parentheses, and a moment with its zone, of an upstream's text.  (Here
# and below patterns are compiled at first use: at start they would take 3 ms.)
_CODE = r"\((\d{4})\)"
_MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)"


def is_error_payload(payload: Any) -> bool:
    """Whether an upstream's JSON is one of the known error envelopes."""
    if not isinstance(payload, dict):
        return False
    kind, base = payload.get("type"), payload.get("base_resp")
    return (
        bool(payload.get("error"))
        or (isinstance(kind, str) and (kind == "error" or kind.endswith("_error")))
        or (isinstance(base, dict) and str(base.get("status_code", 0)) != "0")
    )


def upstream_error(payload: Any, status: int | None, text: str) -> ProviderError:
    """The error that an upstream reported, by MiniMax's code first, then the status.

    `payload` is the parsed body or None, `status` the HTTP status or None in
    mid-stream, `text` the body for people.  The hint is left to the caller.
    """
    body = payload if isinstance(payload, dict) else {}
    inner = body.get("error", body)
    inner = inner if isinstance(inner, dict) else {"message": inner}
    base = body.get("base_resp")
    base = base if isinstance(base, dict) else {}
    known = (inner.get("message"), base.get("status_msg"), body.get("message"))
    said = next((said for said in known if isinstance(said, str) and said), text)
    said = plain_text(said[:MAX_ERROR_BODY], MAX_ERROR_BODY)  # the code may stand last
    number = _minimax_code(said, base.get("status_code"), inner.get("code"))
    if status is None:
        named = _number(inner.get("http_code"))
        status = named if named in range(400, 600) else None
    code = _error_code(number, status, body, said)
    moment = re.search(_MOMENT, said) if code == "quota_exhausted" else None
    shown = "" if status is None else f"HTTP {status}: "
    request_id = body.get("request_id")
    return ProviderError(
        code,
        shown + (plain_text(said) or "no further text"),
        http_status=status,
        provider_code=number,
        reset_at=moment and moment.group(),
        request_id=request_id if isinstance(request_id, str) else None,
    )


def _number(value: Any) -> int | None:
    return int(value) if re.match(r"\d{1,9}$", str(value), re.ASCII) else None


def _minimax_code(said: str, *stated: Any) -> int | None:
    numbers = [_number(value) for value in stated]
    numbers += [int(text) for text in reversed(re.findall(_CODE, said))]
    return next((n for n in numbers if n in MINIMAX_CODES), None)


def _error_code(number: int | None, status: int | None, body: JSON, said: str) -> str:
    """The code of ours, by MiniMax's number, a telling text, status, type."""
    said, error = said.lower(), body.get("error", body)
    kind = str(error.get("type")) if isinstance(error, dict) else ""
    telling = next((code for text, code in ERROR_TEXTS if text in said), None)
    if telling is not None and number in (None, 2013):
        return telling
    if number is not None:
        return MINIMAX_CODES[number]
    if status == 404 and not (is_error_payload(body) and kind):
        return "not_found"
    if status == 404:
        return "model_unavailable" if "model" in said else "rejected"
    if status is None:
        return ERROR_TYPES.get(kind, "upstream")
    return HTTP_STATUSES.get(status) or HTTP_CLASSES.get(status // 100, "upstream")


# ---------------------------------------------------------------------------
# SSE: bytes in, events out
# ---------------------------------------------------------------------------


class ServerSentEvent:
    """One event of a stream: `event` (its name, "message" by default) and `data`.

    `bare` is true for a JSON object that stands in no SSE field: MiniMax was seen to
    send errors so.
    """

    __slots__ = ("event", "data", "bare")

    def __init__(self, event: str, data: str, bare: bool = False) -> None:
        self.event = event
        self.data = data
        self.bare = bare


# An event of one `data` line, as all servers but odd ones write it.
_REGULAR_EVENT = r"(?:event: ?([^\n]*)\n)?data: ?([^\n]*)\n\n"


class SSELimitError(ValueError):
    """An event, or a line, larger than the decoder's limit."""


class _BareJSON:
    """JSON that stands in no SSE field, on one line or on several."""

    _ENDS = 20  # lines at which it may end: the parse of each starts at the beginning

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._size = self._ends = 0

    @property
    def is_too_large(self) -> bool:
        return self._size > MAX_ERROR_BODY

    def feed(self, line: bytes) -> str:
        """The JSON that `line` ends, or is; "" if it may go on."""
        self._lines.append(line)
        self._size += len(line) + 1
        if line.rstrip()[-1:] != b"}":
            return ""
        self._ends += 1
        if self._ends <= self._ENDS:
            text = b"\n".join(self._lines).decode("utf-8", "replace").strip()
            if _parsed(text) is not None:
                return text
        text = line.decode("utf-8", "replace").strip()  # what was before was none
        return text if is_error_payload(_parsed(text)) else ""


def _parsed(text: str) -> Any:
    """The JSON that `text` is, None if it is none."""
    try:
        return load_json(text)
    except ValueError:
        return None


class SSEDecoder:
    """Incremental decoder of `text/event-stream` (WHATWG HTML, section 9.2.6).

    `feed(chunk)` takes bytes cut anywhere and returns the events they complete;
    `close()` returns what a body held that ended without its last blank line, which
    the specification would drop and MiniMax's servers need.  `id` and `retry` are
    read past: nothing here reconnects.  Raises SSELimitError when a line or the data
    of an event exceeds `max_event_bytes`, and from then on.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._limit = max_event_bytes
        self._line: list[bytes] = []  # pieces of the line that is not ended yet
        self._line_size = 0
        self._name = ""
        self._data: list[bytes] = []  # data lines of the event under way
        self._data_size = 0
        self._bare: _BareJSON | None = None  # JSON that is not ended yet
        self._first = True  # the first line may open with a byte order mark
        self._split = re.compile(_REGULAR_EVENT).split
        self._after_cr = False  # the last chunk ended in CR: LF may follow

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        if self._line_size + self._data_size > self._limit:
            raise self._too_large()
        if self._after_cr and chunk:
            chunk = chunk[1:] if chunk[:1] == b"\n" else chunk
            self._after_cr = False
        if not chunk:
            return []
        if b"\r" in chunk:
            self._after_cr = chunk[-1:] == b"\r"
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        events: list[ServerSentEvent] = []
        if self._first or self._line or self._data or self._name or self._bare:
            end = chunk.find(b"\n\n") + 2
            first, chunk = (chunk[:end], chunk[end:]) if end > 1 else (chunk, b"")
            self._read(first, events)
        end = chunk.rfind(b"\n\n") + 2 if chunk else 0
        if end > 1:
            self._read_events(chunk[:end], events)
            chunk = chunk[end:]
        if chunk:
            self._read(chunk, events)
        if self._line_size + self._data_size > self._limit:
            raise self._too_large()
        return events

    def close(self) -> list[ServerSentEvent]:
        events: list[ServerSentEvent] = []
        self._read(b"\n\n" if self._line else b"\n", events)
        return events

    def _read_events(self, data: bytes, events: list[ServerSentEvent]) -> None:
        """Read whole events, at once if all have the form that servers write."""
        # Between the matches, if that is so, there is nothing: split() finds both in
        # one call, which is three times as fast as a look at every line.
        parts = self._split(data.decode("utf-8", "replace"))
        if any(parts[::3]) or len(data) > self._limit:
            self._read(data, events)
            return
        for name, value in zip(parts[1::3], parts[2::3]):
            events.append(ServerSentEvent(name or "message", value))

    def _read(self, data: bytes, events: list[ServerSentEvent]) -> None:
        """Read whatever comes, line by line."""
        *lines, rest = data.split(b"\n")
        if lines and self._line:
            self._line.append(lines[0])
            lines[0] = b"".join(self._line)
            self._line, self._line_size = [], 0
        for line in lines:
            if self._first:
                self._first = False
                line = line[3:] if line.startswith(b"\xef\xbb\xbf") else line
            self._read_line(line, events)
        if rest:
            self._line.append(rest)
            self._line_size += len(rest)

    def _read_line(self, line: bytes, events: list[ServerSentEvent]) -> None:
        if not line:
            if self._data:
                data = b"\n".join(self._data).decode("utf-8", "replace")
                events.append(ServerSentEvent(self._name or "message", data))
                self._data, self._data_size = [], 0
            self._name, self._bare = "", None
            return
        field, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if field == b"data":
            self._data.append(value)
            self._data_size += len(value) + 1
            if self._data_size > self._limit:
                raise self._too_large()
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")
        elif self._bare or line.lstrip()[:1] == b"{":
            self._bare = self._bare or _BareJSON()
            text = self._bare.feed(line)
            if text:
                events.append(ServerSentEvent("message", text, bare=True))
            if text or self._bare.is_too_large:
                self._bare = None

    def _too_large(self) -> SSELimitError:
        return SSELimitError("one event holds over %d bytes" % self._limit)


# ---------------------------------------------------------------------------
# Request translation: TurnRequest -> Messages body
# ---------------------------------------------------------------------------


# Fields that are sent as given; those that MiniMax is known to ignore
# (text-anthropic-api page, 2026-11).
_AS_GIVEN = "temperature top_p top_k stop_sequences metadata service_tier".split()
_IGNORED = ("top_k", "stop_sequences")
LINE_FIELDS = ("type", "id")
TURN_FIELDS = tuple(name.rstrip("?") for name in SHAPES[TURN])
# Where a Go host's zero values stand for "not given".
_ZEROS: tuple[Any, ...] = ("", None, [])


def _fold(key: str) -> str:
    return key.replace("_", "").lower()


def fold_keys(
    line: JSON, fields: Iterable[str], path: str = ""
) -> tuple[JSON, list[str]]:
    """The known fields of `line` by their own names, and the names of the others.

    MaxTokens, maxTokens and max_tokens are one field.  Two spellings with different
    values raise ProviderError.
    """
    names = {_fold(field): field for field in fields}
    known: JSON = {}
    unknown = []
    for key, value in line.items():
        field = names.get(_fold(str(key)))
        if field is None:
            unknown.append(path + str(key))
        elif field in known and not _same(known[field], value):
            _wrong(path + field, "is given twice, in two spellings with two values")
        else:
            known[field] = value
    return known, unknown


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def no_images(path: str) -> JSON:
    """The reader of image files where there is none."""
    raise ValueError("image files are not read here")


def build_request(
    turn: JSON,
    model: str = "MiniMax-M3",
    max_tokens: int = 4096,
    effort: str = "medium",
    read_image: Callable[[str], JSON] = no_images,
) -> tuple[JSON, list[JSON]]:
    """Translate a TurnRequest into the body of POST /v1/messages.

    `model`, `max_tokens` and `effort` are the defaults of the configuration;
    `read_image(path)` returns an image source or raises ValueError.  Returns the body
    and the `warning` events; `turn` is left as it was.  Raises ProviderError
    (`invalid_request`) with the path of the first wrong field.
    """
    warnings: list[JSON] = []

    def warn(code: str, text: str) -> None:
        warnings.append(warning(code, text))

    _must_be("object", turn, "the turn")
    fields, unknown = fold_keys(turn, TURN_FIELDS)
    name = canonical_model(_optional(fields, "model") or model)
    facts = MODELS.get(name, {})
    images = _Images(name, facts, read_image, warn)
    messages, moved = _messages(fields, images, unknown, warn)
    body: JSON = {
        "model": name,
        "max_tokens": _max_tokens(fields, max_tokens, name, facts, warn),
        "messages": messages,
        "system": _system(fields.get("system"), moved),
        "tools": _tools(fields.get("tools"), warn),
        "tool_choice": _tool_choice(_optional(fields, "tool_choice")),
        **_as_given(fields, warn),
        **_thinking(fields, name, facts, effort, warn),
        "stream": True,
    }
    body = {key: value for key, value in body.items() if value is not None}
    body.update(_extra_body(fields))
    _warn_at_last(name, facts, unknown, warn)
    return body, warnings


def _warn_at_last(name: str, facts: JSON, unknown: list[str], warn: Warn) -> None:
    if unknown:
        warn("unknown_field", "not sent, because unknown: " + ", ".join(unknown))
    if facts.get("retired"):
        text = f"{name} was retired on {facts['retired']}; use "
        warn("retired_model", text + " or ".join(_CURRENT))


def _must_be(kinds: str, value: Any, path: str) -> None:
    if not fits(value, kinds):
        _wrong(path, "must be " + in_words(kinds))


def _optional(fields: JSON, name: str) -> Any:
    """A field of a turn, None if it is not given."""
    value = fields.get(name)
    _must_be(HOST_LINES[TURN][name + "?"], value, name)
    return None if value in _ZEROS else value


def _max_tokens(fields: JSON, default: int, name: str, facts: JSON, warn: Warn) -> int:
    wanted = _optional(fields, "max_tokens") or default
    limit = facts.get("max_output_tokens", wanted)
    if wanted > limit:
        text = "max_tokens %d is above the limit of %s: %d is sent"
        warn("max_tokens_lowered", text % (min(wanted, 10**12), name, limit))
    return int(min(wanted, limit))


def _as_given(fields: JSON, warn: Warn) -> JSON:
    given = {name: _optional(fields, name) for name in _AS_GIVEN}
    for name in _IGNORED:
        if given[name] is not None:
            warn("ignored_field", f"{name} is sent, but MiniMax ignores it")
    return given


def _extra_body(fields: JSON) -> JSON:
    extra = _optional(fields, "extra_body") or {}
    for key in extra:
        if str(key).lower() in ("messages", "stream"):
            _wrong("extra_body." + str(key), "is not for extra_body to set")
    return dict(extra)


def _thinking(
    fields: JSON, name: str, facts: JSON, default_effort: str, warn: Warn
) -> JSON:
    """The `thinking` and `output_config` of the model's family."""
    wanted, effort = _optional(fields, "thinking"), _optional(fields, "effort")
    family = FAMILIES.get(facts.get("family", ""))
    if family is None:
        sent: Any = wanted
        if isinstance(wanted, bool):
            sent = _ADAPTIVE if wanted else _DISABLED
        return {"thinking": sent, "output_config": effort and {"effort": effort}}
    kind = wanted.get("type") if isinstance(wanted, dict) else wanted
    switch = _THINKING.get(kind) if isinstance(kind, (bool, str)) else None
    if switch is None and wanted is not None:
        _wrong("thinking.type", "must be enabled, adaptive or disabled")
    if switch == "off" and family["always"]:
        warn("thinking_mapped", f"{name} always thinks: it cannot be switched off")
    if effort is not None and not family["effort"]:
        warn("effort_ignored", f"{name} knows no effort: it is not sent")
    level = (effort or default_effort) if family["effort"] else None
    return {
        "thinking": family[switch] if switch else None,
        "output_config": level and {"effort": level},
    }


def _system(given: Any, moved: Iterable[JSON] = (), path: str = "system") -> Any:
    """`system` as given, then the texts of the system messages."""
    blocks = _blocks(given, path) if isinstance(given, list) else given
    if isinstance(blocks, list):
        for n, block in enumerate(blocks):
            if block["type"] != "text":
                _wrong("%s[%d].type" % (path, n), "must be text")
        blocks = [block for block in blocks if not _is_blank(block)]
    elif blocks is not None and not isinstance(blocks, str):
        _wrong(path, "must be a string or a list of text blocks")
    elif blocks is not None and not blocks.strip():
        blocks = None
    if not moved:
        return blocks or None
    return [*_as_blocks(blocks or ""), *moved]


def _tools(given: Any, warn: Warn) -> list[JSON] | None:
    if given in _ZEROS:
        return None
    if not isinstance(given, list):
        _wrong("tools", "must be a list")
    tools: list[JSON] = []
    names = set()
    for n, tool in enumerate(given):
        path = "tools[%d]" % n
        _must_be("object", tool, path)
        name = tool.get("name")
        _must_be("name", name, path + ".name")
        if name in names:
            _wrong(path + ".name", "is the name of an earlier tool too")
        names.add(name)
        if tool.get("type") in (None, "custom"):
            tools.append({**tool, "input_schema": _schema(tool, path)})
        else:
            text = "%s is a tool that another vendor's server runs: it is not sent"
            warn("ignored_field", text % path)
    return tools or None


def _schema(tool: JSON, path: str) -> JSON:
    """The tool's schema, which MiniMax wants to be that of an object."""
    schema = tool.get("input_schema")
    if not schema and schema is not False:
        return {"type": "object", "properties": {}}
    _must_be("object", schema, path + ".input_schema")
    _must_be("'object'", schema.get("type", "object"), path + ".input_schema.type")
    return schema if "type" in schema else {"type": "object", **schema}


def _tool_choice(given: Any) -> Any:
    return {"type": given} if isinstance(given, str) else given


# --- messages and their blocks


def _messages(
    fields: JSON, images: _Images, unknown: list[str], warn: Warn
) -> tuple[list[JSON], list[JSON]]:
    """The messages to send, and the blocks of the system messages among them."""
    given = fields.get("messages")
    if not isinstance(given, list) or not given:
        _wrong("messages", "must be a list of at least one message")
    messages: list[Message] = []
    moved: list[JSON] = []
    for n, message in enumerate(given):
        path = "messages[%d]" % n
        _must_be("object", message, path)
        known, others = fold_keys(message, ("role", "content"), path + ".")
        unknown.extend(others)
        role, content = known.get("role"), known.get("content")
        if role == "system":
            warn("system_role_moved", path + " is moved to system: MiniMax wants it so")
            moved += _as_blocks(_system(content, path=path + ".content") or "")
        elif role in ("user", "assistant"):
            known_images = images if role == "user" else None  # else verbatim
            messages.append((path, role, _content(content, path, known_images, warn)))
        else:
            _wrong(path + ".role", "must be user or assistant")
    if messages and messages[-1][1] == "user" and _is_empty(messages[-1][2]):
        _wrong(messages[-1][0] + ".content", "is blank: there is nothing to answer")
    # One of an assistant that holds nothing parts no call from its result.
    full = [m for m in messages if m[1] == "user" or not _is_empty(m[2])]
    repaired = _repair_history(full, warn)
    sent = [{"role": r, "content": c} for _, r, c in repaired if not _is_empty(c)]
    if not sent:
        _wrong("messages", "hold nothing that could be sent")
    return sent, moved


def _is_empty(content: Any) -> bool:
    return not (content.strip() if isinstance(content, str) else content)


def _is_blank(block: JSON) -> bool:
    return block["type"] == "text" and not block["text"].strip()


def _blocks(
    content: Any, path: str, kinds: tuple[str, ...] = _INPUT_BLOCKS
) -> list[JSON]:
    """`content` as a list of blocks; those of `kinds` have what they need."""
    if not isinstance(content, list):
        _wrong(path, "must be a string or a list of blocks")
    for n, block in enumerate(content):
        where = "%s[%d]" % (path, n)
        if not isinstance(block, dict):
            _wrong(where, "must be a block, an object with a type")
        kind = block.get("type")
        if not isinstance(kind, str):
            _wrong(where + ".type", "must be a string")
        shape: Iterable[str] = SHAPES[kind + "_block"] if kind in kinds else ("type",)
        for field in _required(shape):
            if not isinstance(block.get(field), str):
                _wrong(f"{where}.{field}", "must be a string")
    return content


def _content(content: Any, path: str, images: _Images | None, warn: Warn) -> Any:
    """`content` as it is to be sent: images resolved, blank texts left out.

    An assistant's, with no `images`, is the upstream's own.
    """
    if isinstance(content, str):
        return content
    if content is None:
        return []
    path += ".content"
    sent = []
    kinds = _INPUT_BLOCKS if images is not None else _BLOCKS
    for n, block in enumerate(_blocks(content, path, kinds)):
        where = "%s[%d]" % (path, n)
        if block["type"] == "image" and images is not None:
            block = images.block(block, where)
        elif block["type"] == "tool_result" and images is not None:
            block = _tool_result(block, where, images, warn)
        elif block["type"] == "tool_use" and not isinstance(block.get("input"), dict):
            _must_be("object|null", block.get("input"), where + ".input")
            warn("history_repaired", where + ".input was missing: {} is sent")
            block = {**block, "input": {}}
        if not _is_blank(block):
            sent.append(block)
    return sent


def _tool_result(block: JSON, path: str, images: _Images, warn: Warn) -> JSON:
    if "content" not in block:
        return block
    content = _content(block["content"], path, images, warn)
    if _is_empty(content):
        warn("history_repaired", path + ".content was blank: a placeholder is sent")
        content = "(no output)"
    return {**block, "content": content}


class _Images:
    """Image blocks for one model: sources verbatim, shorthands resolved."""

    # What a file begins with, what stands at its ninth byte, and its type.
    _MAGIC = (
        (b"\x89PNG\r\n\x1a\n", b"", "image/png"),
        (b"\xff\xd8\xff", b"", "image/jpeg"),
        (b"GIF87a", b"", "image/gif"),
        (b"GIF89a", b"", "image/gif"),
        (b"RIFF", b"WEBP", "image/webp"),
    )

    def __init__(
        self, model: str, facts: JSON, read: Callable[[str], JSON], warn: Warn
    ) -> None:
        self._refusal = ""
        if facts and "image" not in facts["input"]:
            self._refusal = f"{model} takes no images"
        self._read = read
        self._warn = warn

    @classmethod
    def media_type(cls, head: bytes) -> str | None:
        """The type of the image that begins with `head`, None if it is none we know."""
        for first, ninth, kind in cls._MAGIC:
            if head.startswith(first) and head[8:].startswith(ninth):
                return kind
        return None

    def block(self, block: JSON, path: str) -> JSON:
        """The block to send for an image, or a text in its place."""
        try:
            if self._refusal:
                raise ValueError(self._refusal)
            return self._resolved(block, path)
        except ValueError as error:
            self._warn("image_replaced", f"{path} is replaced by a text: {error}")
            return {"type": "text", "text": f"[image left out: {error}]"}

    def _resolved(self, block: JSON, path: str) -> JSON:
        sources: dict[str, Callable[[], JSON]] = {
            "url": lambda: {"type": "url", "url": value},
            "data_base64": lambda: self._from_base64(value, kind),
            "path": lambda: self._read(value),
        }
        optional = ("source", *sources, "media_type")
        block = {k: v for k, v in block.items() if k not in optional or v is not None}
        short = [name for name in sources if name in block]
        if isinstance(block.get("source"), dict) and not short:
            return block
        if len(short) != 1 or "source" in block:
            _wrong(path, "must have one of source, url, data_base64 and path")
        value, kind = block[short[0]], block.get("media_type")
        _must_be("name", value, f"{path}.{short[0]}")
        _must_be("string|null", kind, path + ".media_type")
        used = (short[0], "media_type")
        rest = {k: v for k, v in block.items() if k not in used}
        return {**rest, "source": sources[short[0]]()}

    def _from_base64(self, value: str, kind: str | None) -> JSON:
        import base64

        if len(value) > MAX_IMAGE_BYTES * 4 // 3 + 4:
            raise ValueError("it is larger than %d MB" % (MAX_IMAGE_BYTES // MIB))
        try:
            head = base64.b64decode(value[:32] + "=" * (-len(value[:32]) % 4))
        except ValueError:
            head = b""
        kind = kind or self.media_type(head)
        if kind is None:
            raise ValueError("it is no PNG, JPEG, GIF or WebP, and has no media_type")
        return {"type": "base64", "media_type": kind, "data": value}


# --- history repair: each tool_use has exactly one adjacent tool_result

_NO_RESULT = "No result: the call was interrupted."


def _repair_history(messages: list[Message], warn: Warn) -> list[Message]:
    """Pair tool calls and results, because one unpaired call fails every later turn.

    Messages in a row of the same role count as one turn, as upstream reads them.
    """
    repaired: list[Message] = []
    calls: dict[str, None] = {}  # of the assistant turn just before
    for run in _runs(messages):
        path, role, _ = run[0]
        if role == "assistant":
            run, calls = _calls_of(run, warn)
            repaired += run
            continue
        repaired += _answered(run, calls, warn)
        calls = {}
    if calls:
        repaired += _answered([("messages", "user", [])], calls, warn)
    return repaired


def _runs(messages: list[Message]) -> list[list[Message]]:
    runs: list[list[Message]] = []
    for message in messages:
        if runs and runs[-1][0][1] == message[1]:
            runs[-1].append(message)
        else:
            runs.append([message])
    return runs


def _calls_of(
    run: list[Message], warn: Warn
) -> tuple[list[Message], dict[str, None]]:
    """An assistant turn without stray results and repeated calls, and its call ids."""
    ids: dict[str, None] = {}

    def stray(block: JSON) -> str:
        if block["type"] == "tool_result":
            return f"an assistant's tool_result for {block.get('tool_use_id')}"
        if block["type"] != "tool_use":
            return ""
        if block["id"] in ids:
            return f"a second tool_use for {block['id']}"
        ids[block["id"]] = None
        return ""

    kept = _without(stray, run, warn)
    earlier = [block for message in kept[:-1] for block in _as_blocks(message[2])]
    if any(block["type"] == "tool_use" for block in earlier):
        path = run[0][0]
        warn("history_repaired", path + " and the next are joined: they make calls")
        kept = [(path, "assistant", earlier + _as_blocks(kept[-1][2]))]
    return kept, ids


def _without(
    stray: Callable[[JSON], str], run: list[Message], warn: Warn
) -> list[Message]:
    """`run` without the blocks of which `stray` says what they are."""
    kept: list[Message] = []
    for path, role, content in run:
        found = [(b, stray(b)) for b in content] if isinstance(content, list) else ()
        for what in filter(None, (what for _, what in found)):
            warn("history_repaired", f"{path}: {what} is dropped")
        blocks = [block for block, what in found if not what]
        kept.append((path, role, blocks if isinstance(content, list) else content))
    return kept


def _as_blocks(content: Any) -> list[JSON]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content.strip() else []
    return list(content)


def _answered(
    run: list[Message], calls: dict[str, None], warn: Warn
) -> list[Message]:
    """A user turn that opens with exactly one result for each of `calls`."""
    results: dict[str, JSON] = {}

    def stray(block: JSON) -> str:
        if block["type"] == "tool_use":
            return f"a user's tool_use for {block['id']}"
        if block["type"] != "tool_result":
            return ""
        call = block["tool_use_id"]
        if call not in calls:
            return f"a tool_result without its call for {call}"
        if call in results:
            return f"a second tool_result for {call}"
        results[call] = block
        return ""

    kept = _without(stray, run, warn)
    if not calls:
        return kept
    kept = [m for m in kept if not _is_empty(m[2])] or kept[:1]
    path, found = run[0][0], list(results.values())
    if _as_blocks(kept[0][2])[: len(found)] != found:
        warn("history_repaired", path + ": tool results are moved to the front")
    for call in calls:
        if call not in results:
            warn("history_repaired", f"{path}: a result for {call} is made up")
            made_up = {"tool_use_id": call, "is_error": True, "content": _NO_RESULT}
            found.append({"type": "tool_result", **made_up})
    rest = [(p, r, _without_results(content)) for p, r, content in kept]
    rest[0] = (path, "user", found + _as_blocks(rest[0][2]))
    return rest


def _without_results(content: Any) -> Any:
    if isinstance(content, str):
        return content
    return [block for block in content if block["type"] != "tool_result"]


# ---------------------------------------------------------------------------
# Event translator: upstream events -> TurnEvents
# ---------------------------------------------------------------------------

# Deltas by their type: where the fragment stands, the field of the block it belongs to,
# the kind of block that takes it (and that it opens, if upstream never did), and the
# event that tells of it (None: only the finished block does).  A block of a kind that
# is not here takes every delta.
_DELTAS: dict[str, tuple[str, str, str, tuple[str, str] | None]] = {
    "text_delta": ("text", "text", "text", (TEXT_DELTA, "text")),
    "thinking_delta": ("thinking", "thinking", "thinking", (THINKING_DELTA, "text")),
    "input_json_delta": ("partial_json", "input", "tool_use", (INPUT_DELTA, "json")),
    "signature_delta": ("signature", "signature", "thinking", None),
    "citations_delta": ("citation", "citations", "text", None),
}
_EVENTS = {field: event for _, field, _, event in _DELTAS.values()}
# Where the texts stand that go on from delta to delta; citations are whole.
_TEXTS = {kind: row[0] for kind, row in _DELTAS.items() if kind != "citations_delta"}
# Known kinds of block as they open.  Of what `content_block_start` may hold already,
# the texts are told as if a delta had brought them.
_EMPTY: dict[str, JSON] = {
    "text": {"text": ""},
    "thinking": {"thinking": ""},
    "tool_use": {"input": {}},
    "redacted_thinking": {},
}
_GIVEN = ("text", "thinking")
# A message of these kinds only, with no text in it, was all thinking.
_THOUGHT = ("thinking", "redacted_thinking", "text")


class EventTranslator:
    """Translate the upstream events of one message into TurnEvents.

    `translate(payload)` yields the events that one upstream payload gives;
    `conclude()` those that end a message which ended well; `close()` the `block_end`s
    of a message which did not.  Raises ProviderError (`protocol`, `empty_response`, or
    what an upstream `error` event says), and is of no further use after that but for
    `close()`, `message()` and what it knows of the message.
    """

    def __init__(self, asked_model: str = "") -> None:
        self.asked_model = asked_model
        self.model: str | None = None  # the one that answers
        self.message_id: str | None = None
        self.usage: JSON = {}  # the last value of each field that was not null
        self.is_charged = False  # the output's final count is among them
        self.stop_reason: str | None = None
        self.stopped = False  # message_stop was seen
        self.started = False  # turn_start was sent
        self._begun = False  # message_start was seen
        self._open: dict[int, JSON] = {}  # states of open blocks, by upstream index
        self._ended: set[int] = set()  # upstream indexes of blocks that ended
        self._content: dict[int, JSON] = {}  # blocks that may go back, by our index
        self._count = 0  # blocks started
        self._latest = -1  # upstream index of the block started last
        self._kinds: set[str] = set()  # types of the blocks started
        self._bad_call: str | None = None  # why a tool call cannot be used
        self._unknown: set[str] = set()  # kinds of deltas already warned of
        self._has_markup = False  # and of a tool call's markup in a text

    # What a caller asks

    @property
    def complete(self) -> bool:
        """A stop reason was seen and no block is open: the end may come any time."""
        if self.stop_reason is None or len(self._open) > 1:
            return False  # but for the latest, blocks leave as they are stopped
        return all(state["stopped"] for state in self._open.values())

    @property
    def any_block(self) -> bool:
        """A block has started: nothing may be replayed any more."""
        return self._count > 0

    def message(self) -> JSON | None:
        """The assistant message that may be sent back, None if it has no content."""
        content = [self._content[index] for index in sorted(self._content)]
        return {"role": "assistant", "content": content} if content else None

    # What a caller does

    def translate(self, payload: JSON) -> Iterator[JSON]:
        kind = payload.get("type")
        handler = _ON.get(kind) if isinstance(kind, str) else None
        if (handler is None or "base_resp" in payload) and is_error_payload(payload):
            return self._on_error(payload)
        if handler is None:
            return iter(())  # an event of tomorrow
        return handler(self, payload)

    def conclude(self) -> Iterator[JSON]:
        yield from self.close()
        if not self._count and self.stop_reason is None:
            raise ProviderError("empty_response", "the answer ended without content")
        if self.stop_reason is None:
            used = "tool_use" in self._kinds
            self.stop_reason = "tool_use" if used else "end_turn"
        if self.stop_reason == "tool_use" and self._bad_call is not None:
            _broken(self._bad_call)
        yield from self._start()
        if self.stop_reason == "max_tokens" and self._only_thought():
            text = (
                "max_tokens ran out while the model was thinking: raise it, since "
                "thinking counts toward it, or lower the effort"
            )
            yield warning("thinking_used_all_tokens", text)

    def close(self) -> Iterator[JSON]:
        states = sorted(self._open.items(), key=lambda item: int(item[1]["index"]))
        for index, state in states:
            yield from self._end(index, state, state["stopped"])

    # Handlers, one per upstream event

    def _on_message_start(self, payload: JSON) -> Iterator[JSON]:
        message = _object(payload, "message")
        message_id = message.get("id")
        if self._begun:
            if message_id != self.message_id:
                _broken("a second message began inside the first")
            return
        self._begun = True
        self.message_id = message_id if isinstance(message_id, str) else None
        model = message.get("model")
        self.model = model if isinstance(model, str) and model else None
        self._use(message.get("usage"))
        asked = self.asked_model
        if self.model and asked and self.model.lower() != asked.lower():
            text = f"{asked} was asked for, {plain_text(self.model, 80)} answers"
            yield warning("model_differs", text)
        content = message.get("content")
        for index, block in enumerate(content if isinstance(content, list) else ()):
            if not isinstance(block, dict):
                _broken("message_start holds content that is no block")
            yield from self._begin(index, block)
            yield from self._on_block_stop({**payload, "index": index})

    def _on_block_start(self, payload: JSON) -> Iterator[JSON]:
        index, block = _index(payload), _object(payload, "content_block")
        if index in self._open:  # it was never closed, but another takes its place
            state = self._open[index]
            yield from self._end(index, state, state["stopped"], last=False)
        yield from self._begin(index, block)

    def _on_block_delta(self, payload: JSON) -> Iterator[JSON]:
        index, delta = _index(payload), _object(payload, "delta")
        kind: Any = delta.get("type")
        row = _DELTAS.get(kind) if isinstance(kind, str) else None
        state = self._open.get(index)
        taker = state["block"]["type"] if state is not None else None
        if row is None or (taker in _EMPTY and taker != row[2]):
            yield from self._on_unknown_delta(str(kind))
            return
        source, field, opens, _ = row
        fragment = delta.get(source)
        if fragment is None or fragment == "":
            return
        if not isinstance(fragment, str) and field != "citations":
            _broken(f"the {source} of a {kind} is no string")
        if state is None:
            if index in self._ended:
                _broken("content for block %d came after its end" % index)
            yield from self._begin(index, {"type": opens, **_EMPTY[opens]})
            state = self._open[index]
        if state["stopped"]:
            _broken("content for block %d came after its end" % index)
        yield from self._add(state, field, fragment)

    def _on_unknown_delta(self, kind: str) -> Iterator[JSON]:
        kind = plain_text(kind, 40)
        if kind not in self._unknown and len(self._unknown) < 100:
            self._unknown.add(kind)
            text = f"content of the unknown or misplaced kind {kind} was dropped"
            yield warning("unknown_delta", text)

    def _on_block_stop(self, payload: JSON) -> Iterator[JSON]:
        index = _index(payload)
        state = self._open.get(index)
        if state is None:
            return
        state["stopped"] = True
        # A whole end marker waits: only what comes next tells whether it is the end.
        if state["held"].get("text") != END_MARKER:
            yield from self._end(index, state, True)

    def _on_message_delta(self, payload: JSON) -> Iterator[JSON]:
        usage = payload.get("usage")
        self._use(usage)
        if isinstance(usage, dict) and usage.get("output_tokens") is not None:
            self.is_charged = True
        delta = payload.get("delta")
        reason = delta.get("stop_reason") if isinstance(delta, dict) else None
        if isinstance(reason, str) and reason:
            self.stop_reason = reason
            yield from self._settle(last=True)

    def _on_message_stop(self, payload: JSON) -> Iterator[JSON]:
        self.stopped = True
        return iter(())

    def _on_ping(self, payload: JSON) -> Iterator[JSON]:
        yield {"type": HEARTBEAT}

    def _on_error(self, payload: JSON) -> Iterator[JSON]:
        raise upstream_error(payload, None, dump_json(payload))

    # Blocks

    def _start(self) -> Iterator[JSON]:
        if not self.started:
            self.started = True
            start = {"model": self.model, "message_id": self.message_id}
            yield turn_line(TURN_START, start)

    def _begin(self, index: int, block: JSON) -> Iterator[JSON]:
        yield from self._start()
        yield from self._settle(last=False)
        kind = block.get("type")
        if not isinstance(kind, str):
            _broken("a block began that has no type")
        shown, given = dict(block), {}
        for field in _GIVEN:  # both are named like the kind they belong to
            if isinstance(block.get(field), str):
                given[field], shown[field] = block[field], ""
            elif kind == field:
                if block.get(field) is not None:
                    _broken(f"the {field} of a {kind} block is no string")
                shown[field] = ""
        if kind == "tool_use" or isinstance(block.get("input"), dict):
            given["input"], shown["input"] = block.get("input"), {}
        state = {
            "index": self._count,
            "block": shown,
            "is_call": "input" in given,  # its input is told, and parsed, by itself
            "input": given.pop("input", None),
            "parts": {},  # fragments, by the field they belong to
            "held": {},  # ends of fragments that wait for the next one, likewise
            "stopped": False,  # upstream closed it, but its end marker waits
        }
        self._open[index] = state
        self._latest = index
        self._ended.discard(index)
        self._count += 1
        self._kinds.add(kind)
        yield {"type": BLOCK_START, "index": state["index"], "block": shown}
        for field, text in given.items():
            if text:
                yield from self._add(state, field, text)

    def _add(self, state: JSON, field: str, fragment: Any) -> list[JSON]:
        """Add a fragment to a block, and tell of it but for an end that must wait."""
        if isinstance(fragment, str):
            held = state["held"].pop(field, "")
            if held:
                fragment = _joined(held + fragment)
            keep = self._waiting(state, field, fragment)
            if keep:
                state["held"][field] = fragment[len(fragment) - keep :]
                fragment = fragment[: len(fragment) - keep]
        return self._tell(state, field, fragment) if fragment else []

    def _tell(self, state: JSON, field: str, fragment: Any) -> list[JSON]:
        state["parts"].setdefault(field, []).append(fragment)
        event = _EVENTS[field]
        if event is None:
            return []
        return [{"type": event[0], "index": state["index"], event[1]: fragment}]

    def _waiting(self, state: JSON, field: str, text: str) -> int:
        """How many characters at the end of `text` wait: half a pair, or a marker."""
        end = text[-1]
        if _is_half(end):
            return 1
        if end in END_MARKER and field == "text" and self._may_end(state):
            for size in range(len(END_MARKER), 0, -1):
                if text.endswith(END_MARKER[:size]):
                    return size
        return 0

    def _may_end(self, state: JSON) -> bool:
        is_last = state["index"] == self._count - 1
        return bool(is_last and state["block"].get("type") == "text")

    def _flush(self, state: JSON) -> Iterator[JSON]:
        held, state["held"] = state["held"], {}
        for field, text in held.items():
            yield from self._tell(state, field, text)

    def _settle(self, last: bool) -> Iterator[JSON]:
        """Say what was held of the latest block, now known to be the `last` or not."""
        state = self._open.get(self._latest)
        if state is not None and state["stopped"]:
            yield from self._end(self._latest, state, True, last)
        elif state is not None and not last and _holds_marker(state):
            yield from self._flush(state)

    def _end(
        self, index: int, state: JSON, closed: bool, last: bool = True
    ) -> Iterator[JSON]:
        """End a block; `last`: as far as is known, it is the message's last one."""
        if last and self._may_end(state) and state["held"].get("text") == END_MARKER:
            del state["held"]["text"]
        if not closed:  # half of a surrogate pair is nothing
            held = state["held"]
            state["held"] = {k: v for k, v in held.items() if not _is_half(v)}
        yield from self._flush(state)
        del self._open[index]
        self._ended.add(index)
        block = dict(state["block"])
        for field, parts in state["parts"].items():
            if field != "input":
                whole: Any = parts if field == "citations" else "".join(parts)
                given: Any = block.get(field)
                whole = given + whole if given and type(given) is type(whole) else whole
                block[field] = whole
                state["parts"][field] = ()  # the whole is enough: it may be large
        end = {"type": BLOCK_END, "index": state["index"], "block": block}
        if state["is_call"] or "input" in state["parts"]:
            yield from self._finish_input(state, block, end, closed)
        elif not closed:
            end["incomplete"] = True
        yield from self._markup(block)
        yield end
        if "incomplete" not in end or (block.get("type") == "text" and block["text"]):
            self._content[state["index"]] = block

    def _finish_input(
        self, state: JSON, block: JSON, end: JSON, closed: bool
    ) -> Iterator[JSON]:
        """Parse a call's input once it is whole: never a prefix, never a guess."""
        raw = "".join(state["parts"].get("input", ()))
        given = state["input"]
        if not raw and given not in (None, "", {}):
            raw = given if isinstance(given, str) else dump_json(given)
            yield {"type": INPUT_DELTA, "index": state["index"], "json": raw}
        value = _tool_input(raw)
        named = all(isinstance(block.get(f), str) and block[f] for f in ("id", "name"))
        problem = None
        if not closed:
            problem = "was never finished"
        elif value is None:
            problem = "has an input that is not one JSON object"
        elif block.get("type") == "tool_use" and not named:
            problem = "has no id or no name"
        if problem is None:
            block["input"] = value
            return
        block.pop("input", None)
        end["incomplete"] = True
        end["input_json"] = raw
        name = plain_text(str(block.get("name")), 80)
        self._bad_call = f"the tool call {name} {problem}"

    def _markup(self, block: JSON) -> Iterator[JSON]:
        text = block.get("text")
        if block.get("type") != "text" or self._has_markup:
            return
        if isinstance(text, str) and any(mark in text for mark in TOOL_MARKUP):
            self._has_markup = True
            problem = "the text holds the markup of a tool call that was not made"
            yield warning("tool_markup_in_text", problem)

    def _only_thought(self) -> bool:
        if "thinking" not in self._kinds or self._kinds - set(_THOUGHT):
            return False
        return not any(b.get("text", "").strip() for b in self._content.values())

    def _use(self, usage: Any) -> None:
        if isinstance(usage, dict):
            self.usage.update((k, v) for k, v in usage.items() if v is not None)


_DELTA = "content_block_delta"
_ON: dict[str, Callable[[EventTranslator, JSON], Iterator[JSON]]] = {
    "message_start": EventTranslator._on_message_start,
    "content_block_start": EventTranslator._on_block_start,
    _DELTA: EventTranslator._on_block_delta,
    "content_block_stop": EventTranslator._on_block_stop,
    "message_delta": EventTranslator._on_message_delta,
    "message_stop": EventTranslator._on_message_stop,
    "ping": EventTranslator._on_ping,
    "error": EventTranslator._on_error,
}


def merge_deltas(payloads: Iterable[JSON]) -> Iterator[JSON]:
    """`payloads`, with deltas in a row that go on with the same text made one.

    What one read of the network brought is translated, and written, once: of a fast
    stream that is a tenth of the work.
    """
    run: list[str] = []  # fragments of the run of deltas under way
    like: Any = None  # their index and kind
    for payload in payloads:
        try:
            delta, index = payload["delta"], payload["index"]
            kind = delta["type"]
            fragment = delta[_TEXTS[kind]]
        except (KeyError, TypeError):
            fragment = None
        if type(fragment) is str and type(index) is int and payload["type"] == _DELTA:
            if like == (index, kind):
                run.append(fragment)
                continue
            yield from _merged(run, like)
            run, like = [fragment], (index, kind)
        else:
            yield from _merged(run, like)
            run, like = [], None
            yield payload
    yield from _merged(run, like)


def _merged(run: list[str], like: Any) -> Iterator[JSON]:
    if run:
        index, kind = like
        text = run[0] if len(run) == 1 else _joined("".join(run))
        delta = {"type": kind, _TEXTS[kind]: text}
        yield {"type": _DELTA, "index": index, "delta": delta}


def _object(payload: JSON, field: str) -> JSON:
    value = payload.get(field)
    if not isinstance(value, dict):
        _broken(f"{payload['type']} has no {field} object")
    return value


def _index(payload: JSON) -> int:
    index: Any = payload.get("index")
    if not _is_integer(index):
        _broken(f"{payload['type']} has no index")
    return int(index)


def _holds_marker(state: JSON) -> bool:
    """Whether what a block holds back could be the end marker, or its beginning."""
    return bool(state["held"].get("text", "")[:1] == END_MARKER[0])


def _is_half(character: str) -> bool:
    """Whether `character` is the first half of a surrogate pair."""
    return "\ud800" <= character <= "\udbff"


def _joined(text: str) -> str:
    """`text` with the halves of surrogate pairs that came apart joined again."""
    try:
        text.encode("utf-8")
        return text
    except UnicodeEncodeError:
        data = text.encode("utf-16-le", "surrogatepass")
        return data.decode("utf-16-le", "surrogatepass")


def _tool_input(raw: str) -> JSON | None:
    """The object that `raw` is, None if it is anything else; no text is no input."""
    if not raw:
        return {}
    for control_characters in (False, True):
        try:
            value = load_json(raw, MAX_UPSTREAM_DEPTH, control_characters)
        except ValueError:
            continue
        return value if isinstance(value, dict) else None
    return None


# ---------------------------------------------------------------------------
# Configuration
# ---------------------------------------------------------------------------


# What the log tells: each level what those before it do, and more.
LEVELS = ("error", "warning", "info")

# Every setting, once: validation, --help, the manifest and the keywords of
# MiniMaxProvider come from here.  Name, type, default, range or choices, the variable
# that wins over the file, and what it is.
_DAY = (0.001, 86400)
_OPTION_ROWS: tuple[tuple[str, str, Any, Any, str | None, str], ...] = (
    ("api_key", "string", "", None, "MINIMAX_API_KEY",
     "MiniMax API key, sk-cp-... or sk-api-..."),
    ("api_key_file", "string", "", None, None,
     "file that holds nothing but the API key, if api_key is not set"),
    ("region", "string", "global", tuple(REGIONS), "MINIMAX_REGION",
     "platform that issued the key"),
    ("base_url", "string", "", None, "MINIMAX_BASE_URL",
     "URL before /v1/messages; wins over region"),
    ("model", "string", "MiniMax-M3", None, None,
     "model of turns that name none"),
    ("max_tokens_default", "integer", 4096, (1, 10**7), None,
     "max_tokens of turns that set none"),
    ("effort", "string", "medium", EFFORTS, None,
     "effort of turns that set none, for models that take one"),
    ("connect_timeout", "number", 10, _DAY, None,
     "seconds for DNS, TCP, TLS and proxy together"),
    ("first_event_timeout", "number", 300, _DAY, None,
     "seconds from request sent to first event, pings aside"),
    ("idle_timeout", "number", 300, _DAY, None,
     "seconds between events, pings aside"),
    ("turn_timeout", "number", 3600, (0.001, 30 * 86400), None,
     "seconds for a whole turn"),
    ("max_retries", "integer", 3, (0, 100), None,
     "further attempts while no content has come"),
    ("retry_base_delay", "number", 1, (0, 86400), None,
     "seconds before the first retry; doubles each time"),
    ("retry_after_max", "number", 60, (0, 86400), None,
     "longest Retry-After to wait for, in seconds"),
    ("max_concurrent_turns", "integer", 16, (1, 10000), None,
     "turns served at a time; further ones wait"),
    ("max_queued_turns", "integer", 256, (0, 10**6), None,
     "turns that may wait; further ones are busy"),
    ("max_line_bytes", "integer", 64 * MIB, (1, 1024 * MIB), None,
     "longest line read from stdin"),
    ("allow_image_paths", "boolean", True, None, None,
     "whether image blocks may name a file by path"),
    ("log_level", "string", "warning", LEVELS, None,
     "what is told on stderr"),
    ("capture_dir", "string", "", None, None,
     "directory to write each turn into, for replay"),
)
# Where the API key is looked for; the first that has one wins.
KEY_SOURCES = (
    "MINIMAX_API_KEY",
    "api_key",
    "api_key_file",
    "$CREDENTIALS_DIRECTORY/minimax-api-key",  # systemd's LoadCredential=
)
_NUMBERS = ("integer", "number")
# What holds for a process; all else is read again by each turn.
PROCESS_OPTIONS = ("max_concurrent_turns", "max_queued_turns", "max_line_bytes")
OPTIONS: dict[str, JSON] = {
    name: {
        "type": kind,
        "default": default,
        "choices": span if kind == "string" and span else (),
        **dict(zip(("low", "high"), span if kind in _NUMBERS else (None, None))),
        "env": env,
        "help": text,
    }
    for name, kind, default, span, env, text in _OPTION_ROWS
}


def default_settings() -> JSON:
    """The value of every option when nothing is configured."""
    return {name: row["default"] for name, row in OPTIONS.items()}


def check_setting(name: str, value: Any, where: str) -> Any:
    """The value to use for option `name`, whose origin is `where`.

    Raises ProviderError (`config`) that names both and quotes no secret.
    """
    row = OPTIONS[name]
    if value is None or (value == "" and row["type"] == "string"):
        return row["default"]
    problem = ""
    if not fits(value, row["type"]):
        problem = f"must be {in_words(row['type'])}{_instead_of(value)}"
    elif row["choices"] and value not in row["choices"]:
        problem = "must be one of " + ", ".join(row["choices"]) + _instead_of(value)
    elif row["type"] in _NUMBERS and not row["low"] <= value <= row["high"]:
        limits = (row["low"], row["high"], _instead_of(value))
        problem = "must be at least %g and at most %g%s" % limits
    elif name in _SETTING_RULES:
        value, problem = _SETTING_RULES[name](value)
    if problem:
        raise ProviderError("config", f"{where}: {name} {problem}")
    return value


def _instead_of(value: Any) -> str:
    """ ", not ..." with the wrong value, unless that could be a secret."""
    if isinstance(value, str) and not re.match(r"[\w. ]{1,12}$", value, re.ASCII):
        return ""
    return ", not " + plain_text(json.dumps(value, default=repr), 20)


def _check_key(value: str) -> tuple[str, str]:
    value = value.strip()
    odd = next((n for n, c in enumerate(value) if not "!" <= c <= "~"), None)
    if odd is not None:
        text = "has a space or another character that no key has, at position %d"
        return "", text % (odd + 1)
    if len(value) > MAX_KEY:
        return "", "is too long"
    if value:
        SECRETS.add(value)
    return value, ""


def _check_base_url(value: str) -> tuple[str, str]:
    """The base without the endings people paste along, and what is wrong with it."""
    from urllib.parse import urlsplit

    value = value.strip()
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "", "is not a URL"
    if any(not "!" <= c <= "~" or c == "\\" for c in value) or not host:
        return "", "is not a URL with a host"
    if parts.username is not None or parts.password is not None:
        return "", "must not hold credentials: the key has a setting of its own"
    if parts.scheme not in ("http", "https"):
        return "", "must begin with https://"
    if parts.scheme == "http" and not is_loopback(host):
        return "", "must begin with https://: plain http would show the key to others"
    if parts.query or parts.fragment:
        return "", "must not have a query or a fragment"
    path = parts.path.rstrip("/")
    for ending in (MESSAGES_PATH, "/v1"):
        if path.endswith(ending):
            path = path[: -len(ending)].rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}", ""


def _check_directory(value: str) -> tuple[str, str]:
    path = os.path.expanduser(value)
    return path, "is not a path" if "\0" in path else ""


_SETTING_RULES: dict[str, Callable[[str], tuple[str, str]]] = {
    "api_key": _check_key,
    "base_url": _check_base_url,
    "capture_dir": _check_directory,
}


def is_loopback(host: str) -> bool:
    """Whether `host` can only be this machine."""
    return host in ("localhost", "::1") or bool(
        re.match(r"127(\.\d{1,3}){3}$", host, re.ASCII)
    )


def host_of(url: str) -> str:
    """Host and port of a URL that was checked."""
    return url.split("//", 1)[1].split("/", 1)[0]


def root_of(url: str) -> str:
    """Scheme, host and port of a URL that was checked."""
    return url.split("//", 1)[0] + "//" + host_of(url)


def config_path(environ: Any) -> str:
    """Where the configuration file is, whether it exists or not."""
    if environ.get("PLEXUM_MINIMAX_CONFIG"):
        return str(environ["PLEXUM_MINIMAX_CONFIG"])
    root = environ.get("PLEXUM_PROFILE_ROOT") or os.path.expanduser("~/.plexum")
    return os.path.join(root, "plugins", NAME, "config.json")


class ConfigFile:
    """The settings of the file and the environment, read again when the file changed.

    `load()` returns them or raises ProviderError (`config`); `overrides`, from a
    command line, win over both.  A key that has a file of its own is read each time.
    """

    def __init__(
        self,
        path: str | None = None,
        environ: Any = None,
        overrides: JSON | None = None,
    ) -> None:
        self._environ = os.environ if environ is None else environ
        self._overrides = overrides or {}
        self.path = path or config_path(self._environ)
        self._lock = threading.Lock()
        self._seen: Any = None  # the file's state when it was read
        self._settings: JSON = {}
        self.origins: dict[str, str] = {}  # of each setting that is not a default
        self.unknown = ""  # names in the file that are no settings
        self.tell: Callable[[str], None] | None = None  # what is odd, if not the log

    def load(self, with_key: bool = True) -> JSON:
        with self._lock:
            seen = self._state()
            if seen != self._seen:
                self._settings = self._read()
                self._seen = seen
            if not with_key:
                return self._settings
            folder = os.path.dirname(self.path)
            tell = self.tell or warner(self._settings)
            key, path = file_key(self._settings, self._environ, folder, tell)
            if path:
                self.origins["api_key"] = path
            return {**self._settings, "api_key": key} if path else self._settings

    def _state(self) -> Any:
        try:
            at = os.stat(self.path)
        except (OSError, ValueError):
            return "absent"
        return at.st_mtime_ns, at.st_ctime_ns, at.st_size, at.st_ino, at.st_mode

    def limits(self) -> JSON:
        """The settings of PROCESS_OPTIONS; what is odd is left for a turn to tell."""
        given, _ = self.parse()
        stated = {name: self._stated(name, given) for name in PROCESS_OPTIONS}
        return {name: check_setting(name, *of) for name, of in stated.items()}

    def _stated(self, name: str, given: JSON) -> tuple[Any, str]:
        """The value of an option where it counts, and where that is."""
        if name in self._overrides:
            return self._overrides[name], "the command line"
        variable = OPTIONS[name]["env"] or ""
        value = self._environ.get(variable, "").strip()
        return (value, variable) if value else (given.get(name), self.path)

    def _read(self) -> JSON:
        (given, mode), settings = self.parse(), default_settings()
        self.origins = {}
        for name in OPTIONS:
            value, where = self._stated(name, given)
            settings[name] = check_setting(name, value, where)
            if value not in (None, ""):
                self.origins[name] = where
        self.unknown = ", ".join(sorted(set(given) - set(OPTIONS)))
        tell = self.tell or warner(settings)
        if given.get("api_key"):
            warn_if_shared(self.path, mode, tell)
        if self.unknown:
            tell(f"{self.path}: unknown settings are ignored: {self.unknown}")
        return settings

    def parse(self) -> tuple[JSON, int]:
        """What the file itself holds, and its mode, 0 if it is not there."""
        try:
            data, mode = read_file(self.path, MIB)
            text = data.decode("utf-8-sig")
            given = load_json(text) if text.strip() else {}
        except FileNotFoundError:
            return {}, 0
        except (OSError, ValueError) as error:
            problem = f"{self.path} cannot be used: {_why(error)}"
            hint = "It must be one JSON object, with names and texts in double quotes."
            hint = "" if isinstance(error, OSError) else hint
            raise ProviderError("config", problem, hint) from None
        if not isinstance(given, dict):
            raise ProviderError("config", self.path + " must hold a JSON object")
        return given, mode


def file_key(
    settings: JSON, environ: Any, folder: str, tell: Callable[[str], None]
) -> tuple[str, str]:
    """The key that a file of its own holds, and the file; ("", "") where none does.

    A relative `api_key_file` starts in `folder`.  Raises ProviderError (`config`).
    """
    named = os.path.expanduser(settings["api_key_file"])
    if key_kind(named)[0]:  # a key was put there: the error is not to show it
        SECRETS.add(named)
    if settings["api_key"]:
        return "", ""
    path = os.path.join(folder, named)
    if not named:  # systemd's, which need not be there
        credentials = environ.get("CREDENTIALS_DIRECTORY")
        path = os.path.join(credentials or "", os.path.basename(KEY_SOURCES[-1]))
        if not (credentials and os.path.exists(path)):
            return "", ""
    try:
        data, mode = read_file(path, MAX_KEY + 100)
        key, problem = _check_key(data.decode("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ProviderError("config", f"{path} cannot be used: {_why(error)}") from None
    if problem or not key:
        problem = "the key in it " + problem if problem else "it holds no key"
        hint = "Have the file hold the API key and nothing else."
        raise ProviderError("config", f"{path} cannot be used: {problem}", hint)
    if named:
        warn_if_shared(path, mode, tell)
    return key, path


_shared: set[tuple[str, int]] = set()  # files already warned of, with their modes


def warn_if_shared(path: str, mode: int, tell: Callable[[str], None]) -> None:
    """Tell the operator, once, that others can read a file with a key in it."""
    if mode & 0o077 and os.name == "posix" and (path, mode) not in _shared:
        _shared.add((path, mode))
        tell(f"{path} can be read by others: chmod 600 it")


def _why(error: Exception) -> str:
    """Why a file cannot be read, without any of what is in it."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return str(error.strerror if isinstance(error, OSError) else error)


# --- the log, and files that settings or turns name


def log(text: str, level: str = "error", threshold: str = "warning") -> None:
    """Write one line for the operator to stderr, if it can take it at once.

    Printable, without keys, cut at 2,000 characters; nothing, if `level` is beyond
    `threshold`.  A host that does not drain stderr costs lines of log, never a turn.
    """
    if LEVELS.index(level) > LEVELS.index(threshold):
        return
    line = f"{NAME}: {plain_text(SECRETS.text(text), 2000)}"
    data = line.encode("ascii", "backslashreplace")[:4000] + b"\n"
    try:
        if os.name == "posix":
            import select

            if not select.select([], [2], [], 0)[1]:
                return
        os.write(2, data)
    except (OSError, ValueError):
        pass


def warner(settings: JSON) -> Callable[[str], None]:
    """What logs warnings, if `settings` want them."""
    return lambda text: log(text, "warning", settings["log_level"])


def internal_error(error: Exception) -> ProviderError:
    """Our error for one that is a defect; its traceback, being handled, is logged."""
    import traceback

    for line in traceback.format_exc().splitlines():
        log(line)
    return ProviderError("internal", type(error).__name__)


def read_file(path: str, limit: int) -> tuple[bytes, int]:
    """The bytes of the regular file at `path`, at most `limit`, and its mode.

    Raises OSError, or ValueError with a reason if it is no such file.
    """
    import stat

    # A FIFO must not be waited for, nor a terminal be taken over.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
    fd = os.open(path, flags | getattr(os, "O_BINARY", 0))
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            raise ValueError("it is not a regular file")
        with open(fd, "rb", closefd=False) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            shown = "%d MB" % (limit // MIB) if limit >= MIB else "%d bytes" % limit
            raise ValueError("it is larger than " + shown)
        return data, mode
    finally:
        os.close(fd)


def read_image_file(path: str) -> JSON:
    """The source of an image block for the file at `path`.

    Raises ValueError, with a reason fit for a warning, unless it is a regular file of
    up to MAX_IMAGE_BYTES that is a PNG, JPEG, GIF or WebP by its first bytes.
    """
    import base64

    try:
        data, _ = read_file(path, MAX_IMAGE_BYTES)
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from None
    kind = _Images.media_type(data[:16])
    if kind is None:
        raise ValueError("it is no PNG, JPEG, GIF or WebP")
    text = base64.b64encode(data).decode("ascii")
    return {"type": "base64", "media_type": kind, "data": text}


# ---------------------------------------------------------------------------
# Deadlines and cancel: the one thing that ends a wait
# ---------------------------------------------------------------------------

_NEVER = float("inf")
# What a turn may wait for, by the setting that limits it.
_STEPS = {
    "dns": ("connect_timeout", "looking up the address of {host}"),
    "tcp": ("connect_timeout", "connecting to {host}"),
    "tls": ("connect_timeout", "the proxy or TLS handshake with {host}"),
    "upload": ("first_event_timeout", "sending the request to {host}"),
    "headers": ("first_event_timeout", "the response headers of {host}"),
    "first": ("first_event_timeout", "the first event of {host}"),
    "idle": ("idle_timeout", "the next event of {host}"),
    "body": ("idle_timeout", "the rest of the error of {host}"),
    "end": ("idle_timeout", "the end of the answer of {host}"),
    "turn": ("turn_timeout", "the whole turn"),
}


class Watch:
    """The deadlines of one turn and its cancel.

    The turn's thread says what it waits for: `arm(step, seconds)` begins a budget,
    which `pause()` and `resume()` stop while the host has the word.  When a budget is
    spent, or `stop()` is called from anywhere, the turn's socket is shut down, which
    ends any call that blocks on it, and `check()` raises the reason.
    """

    def __init__(self, cancel: threading.Event | None = None) -> None:
        self.cancel = cancel  # a caller's own; our host calls `stop()`
        self.accepted = time.monotonic()
        self.host = ""
        self.due = _NEVER  # when the clock is to look at this turn
        self.reason: Exception | None = None  # why the wait, or the turn, ended
        self._final = False
        self.connection: Any = None  # the one that serves the attempt
        self.response: Any = None  # and its response, once there is one
        self.fresh = False  # it was opened for this attempt
        self.reused = -_NEVER  # when a kept connection got the request
        self._turn_due, self._turn_seconds = _NEVER, 0.0
        self._step, self._seconds, self._left = "turn", 0.0, _NEVER
        self._since = _NEVER  # when that budget began to run, never while it is stopped
        self._line: socket.socket | None = None
        self._cut = False  # that line was shut down
        self._lock = threading.Lock()
        self._news = threading.Event()

    def start(self, turn_timeout: float) -> None:
        self._turn_seconds = turn_timeout
        self._turn_due = self.due = time.monotonic() + turn_timeout
        CLOCK.add(self)

    def finish(self) -> None:
        CLOCK.remove(self)
        self.detach()

    def arm(self, step: str, seconds: float) -> None:
        """Wait for `step` from now on, for `seconds` at most."""
        self.allow(step, seconds)
        self._run()

    def allow(self, step: str, seconds: float) -> None:
        """The budget that `resume()` is to begin."""
        self._step, self._seconds, self._left = step, seconds, seconds
        self._since = _NEVER

    def step(self, step: str) -> None:
        """What is waited for now, on the budget that already runs."""
        self._step = step

    def pause(self) -> None:
        """Stop the budget: it is the host that is waited for."""
        self._left -= max(time.monotonic() - self._since, 0.0)
        self._since = _NEVER
        self.due = self._turn_due

    def resume(self) -> None:
        self.check()
        if self._since == _NEVER:
            self._run()

    def _run(self) -> None:
        self._since = time.monotonic()
        self.due = min(self._since + self._left, self._turn_due)
        CLOCK.expect(self.due)

    @property
    def remaining(self) -> float:
        return max(self.due - time.monotonic(), 0.001)

    @property
    def turn_remaining(self) -> float:
        return self._turn_due - time.monotonic()

    def check(self) -> None:
        if self.cancel is not None and self.cancel.is_set():
            self.stop(_Cancelled())
        if self.reason is not None:
            raise self.reason

    @property
    def stopped(self) -> Exception | None:
        """Why the turn ended from outside, and not only a wait."""
        return self.reason if self._final else None

    def stop(self, reason: Exception, final: bool = True) -> None:
        """End whatever is waited for; unless `final`, the turn may try once more."""
        with self._lock:
            if self.reason is None or (final and not self._final):
                self.reason, self._final = reason, final
            self._cut_off()
            self._news.set()
        CLOCK.expect(self.due)

    def renew(self) -> None:
        """Forget why the last wait ended, unless it ended the turn."""
        with self._lock:
            if not self._final:
                self.reason = None
        self.due = self._turn_due
        CLOCK.expect(self.due)
        self.check()

    def expire(self, now: float) -> None:
        """Called by the clock: end the wait if its time is over."""
        if self.cancel is not None and self.cancel.is_set():
            self.stop(_Cancelled())
        elif self.due <= now and self.reason is not None:
            self.stop(self.reason, self._final)
        elif self.due <= now:
            is_turn = self._turn_due <= now
            step = "turn" if is_turn else self._step
            seconds = self._turn_seconds if is_turn else self._seconds
            limit, waited_for = _STEPS[step]
            text = "%s took longer than %g s (%s)"
            text %= (waited_for.format(host=self.host), seconds, limit)
            self.stop(ProviderError("timeout", text), final=is_turn)

    def sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._news.wait(max(until - time.monotonic(), 0))
            self._news.clear()
            self.check()

    def wait_for(self, call: Callable[[], Any]) -> Any:
        """What `call()` returns or raises, which nothing can interrupt: if the wait
        ends first, the thread that is in it is left behind, with nothing to say."""
        outcome: list[tuple[bool, Any]] = []

        def run() -> None:
            try:
                outcome.append((True, call()))
            except Exception as error:
                outcome.append((False, error))
            self._news.set()

        _spawn(run)
        while not outcome:
            self._news.wait()
            self._news.clear()
            self.check()
        succeeded, value = outcome[0]
        if not succeeded:
            raise value
        return value

    def attach(self, sock: socket.socket) -> None:
        """Shut `sock` down when the turn is stopped.

        A duplicate is kept: TLS takes the descriptor out of the object it wraps, and
        http.client closes its own before the body is read.
        """
        import socket

        line = socket.socket(fileno=socket.dup(sock.fileno()))  # os.dup: not on Windows
        with self._lock:
            old, self._line, self._cut = self._line, line, False
            if self.reason is not None:
                self._cut_off()
        if old is not None:
            old.close()
        CLOCK.expect(self.due)
        self.check()

    def serve_on(self, connection: Any) -> None:
        with self._lock:
            self.connection = connection

    def give_up(self, connection: Any) -> bool:
        """Let another turn have `connection`; whether this one has shut it down.

        The turn may have gone on to another since, which is not to be touched.
        """
        with self._lock:
            if self.connection is not connection:
                return False
            self._close_line()
            return self._cut

    def detach(self, drop: bool = False) -> None:
        """Have no more to do with the socket; `drop`: nobody else is to use it."""
        with self._lock:
            if drop:
                self._shut_down()
            self._close_line()

    def _close_line(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def _cut_off(self) -> None:
        # A connection that is only about to be made cannot be shut down: again, soon.
        is_done = self._shut_down()
        self.due = _NEVER if is_done else time.monotonic() + STOP_AGAIN_SECONDS

    def _shut_down(self) -> bool:
        """Shut the socket down, if there is one; False if it was not connected."""
        if self._line is None:
            return True
        self._cut = True
        try:
            self._line.shutdown(2)
        except OSError:
            return False
        return True


def _spawn(work: Callable[..., object], *args: Any) -> None:
    """Start a thread that the process does not wait for."""
    try:
        threading.Thread(target=work, args=args, daemon=True).start()
    except RuntimeError as error:
        raise ProviderError("busy", f"no thread can be started: {error}") from None


class _Clock:
    """The thread that looks at every running turn when its time may be over.

    It lives while there are turns.  A budget that is prolonged needs no word to it:
    it wakes, finds nothing due, and sleeps on.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watches: set[Watch] = set()
        self._next = _NEVER  # when it wakes, or never while it looks around
        self._running = False

    def add(self, watch: Watch) -> None:
        with self._changed:
            self._watches.add(watch)
            if not self._running:
                _spawn(self._run)
                self._running = True
            self._changed.notify()

    def remove(self, watch: Watch) -> None:
        with self._changed:
            self._watches.discard(watch)
            if not self._watches:
                self._changed.notify()

    def expect(self, due: float) -> None:
        if due < self._next:
            with self._changed:
                if due < self._next:  # it may have been looking around just now
                    self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while self._watches:
                self._next = _NEVER
                now = time.monotonic()
                wake = _NEVER
                for watch in list(self._watches):
                    watch.expire(now)
                    wake = min(wake, watch.due)
                    if watch.cancel is not None and watch.reason is None:
                        wake = min(wake, now + CANCEL_POLL_SECONDS)
                self._next = wake
                left = None if wake == _NEVER else max(wake - time.monotonic(), 0)
                self._changed.wait(left)
            self._running = False


CLOCK = _Clock()


# ---------------------------------------------------------------------------
# HTTP client: a request, and its body as it arrives
# ---------------------------------------------------------------------------

# Which turn a connection serves: urllib3 tells it nothing but by the calling thread.
_SERVED = threading.local()
_READ_SIZE = 65536
_CHUNK_LINE_SIZE = 4096  # of a chunk's size with its extensions


def resolve(watch: Watch, host: str, port: int) -> list[Any]:
    """The addresses of `host`, as socket.getaddrinfo gives them."""
    import socket

    def look_up(flags: int = 0) -> list[Any]:
        return list(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, flags))

    try:
        return look_up(socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        pass
    watch.step("dns")
    try:
        return list(watch.wait_for(look_up))
    except (OSError, UnicodeError) as error:
        text = "the address of %s cannot be found: %s"
        raise ProviderError("network", text % (host, plain_text(str(error)))) from None


def dial(watch: Watch, host: str, port: int, options: Iterable[Any]) -> socket.socket:
    """A connected socket; each address gets its share of the time that is left."""
    import socket

    addresses = resolve(watch, host, port)
    watch.step("tcp")
    failure: OSError | None = None
    for n, (family, kind, protocol, _, address) in enumerate(addresses):
        sock = None
        try:
            sock = socket.socket(family, kind, protocol)
            for option in options:
                sock.setsockopt(*option)
            if n < len(addresses) - 1:  # the last one has all that is left
                sock.settimeout(watch.remaining / (len(addresses) - n))
            watch.attach(sock)
            sock.connect(address)
            sock.settimeout(None)  # from here on there is but one clock, the watch's
            watch.step("tls")
            return sock
        except Exception as error:
            if sock is not None:
                sock.close()
            watch.detach()
            watch.check()
            if not isinstance(error, OSError):
                raise
            failure = error
    text = "%s port %d cannot be reached: %s"
    reason = plain_text(str(failure or "it has no address"))
    raise ProviderError("network", text % (host, port, reason))


class ChunkDecoder:
    """Incremental decoder of the chunked framing (RFC 9112, section 7.1).

    `feed(data)` takes bytes cut anywhere and returns the content in them; `ended` tells
    that the last chunk and its trailers were read.  Raises ValueError for what is no
    such framing, or keeps it as `fault` if content came before.  http.client gives one
    chunk a read, and takes -5, 0x10 and 1_0 for sizes; a stream of small events has one
    chunk for each.
    """

    def __init__(self) -> None:
        self.ended = False
        self.fault: ValueError | None = None  # in what came after all that was returned
        self._line = b""  # of a line that is not ended yet
        self._need = 0  # bytes of the chunk under way, its CRLF included
        self._trailers: int | None = None  # bytes of trailers; None: not there yet

    def feed(self, data: bytes) -> bytes:
        if self.fault is not None:
            raise self.fault
        content: list[bytes] = []
        try:
            self._decode(data, content)
        except ValueError as error:
            if not content:
                raise
            self.fault = error
        return b"".join(content)

    def _decode(self, data: bytes, content: list[bytes]) -> None:
        at = self._finish_chunk(data, content) if self._need else 0
        if self._line:
            data, at, self._line = self._line + data, 0, b""
        while not self.ended:
            end = data.find(b"\n", at)
            if end < 0:
                self._line = data[at:]
                break
            line, at = data[at:end], end + 1
            if self._trailers is not None:
                self._read_trailer(line)
                continue
            size = _chunk_size(line)
            end = at + size
            if size and data[end : end + 2] == b"\r\n":
                content.append(data[at:end])
                at = end + 2
            elif size:
                self._need = size + 2
                at += self._finish_chunk(data[at:], content)
            else:
                self._trailers = 0
        if len(self._line) > _CHUNK_LINE_SIZE:
            raise ValueError("a chunk has no size")

    def _finish_chunk(self, data: bytes, content: list[bytes]) -> int:
        """Take what is still to come of a chunk; returns how many bytes that were."""
        piece = data[: self._need]
        size = max(self._need - 2, 0)
        content.append(piece[:size])
        ending = b"\r\n"[-min(self._need, 2) :]
        if not ending.startswith(piece[size:]):
            raise ValueError("a chunk is longer than its size")
        self._need -= len(piece)
        return len(piece)

    def _read_trailer(self, line: bytes) -> None:
        self.ended = not line.strip()
        self._trailers = (self._trailers or 0) + len(line)
        if self._trailers > MAX_ERROR_BODY:
            raise ValueError("the trailers are too long")


def _chunk_size(line: bytes) -> int:
    text = line.split(b";")[0].strip() if b";" in line else line.strip()
    # int() alone would take 0x10; isalnum() refuses -5 and 1_0.
    if text.isalnum() and text[1:2] not in (b"x", b"X") and len(text) <= 15:
        try:
            return int(text, 16)
        except ValueError:
            pass
    raise ValueError("a chunk has no size")


def response_class() -> Any:
    """http.client's response, whose body is read as it arrives."""
    from http.client import HTTPResponse, IncompleteRead

    class Response(HTTPResponse):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            _SERVED.watch.response = self
            self.begun = False  # a byte of the answer has come
            self._chunks = ChunkDecoder()

        def begin(self) -> None:
            self.begun = bool(self.fp.peek(1))
            super().begin()
            for _ in range(MAX_INTERIM):
                if self.status // 100 != 1 or self.status == 101:
                    break
                # Of these http.client reads past 100 only, and begins but once.
                self.headers = None  # type: ignore[assignment]
                super().begin()

        def read_some(self) -> bytes:
            """What one read of the socket brings of the body, b"" at its end."""
            if self._chunks.fault is not None:
                raise self._chunks.fault
            while self.fp is not None and not self._chunks.ended and self.length != 0:
                left = _READ_SIZE if self.length is None else self.length
                data = self.fp.read1(min(_READ_SIZE, left))
                if not data and (self.chunked or self.length is not None):
                    raise IncompleteRead(b"", self.length)
                if not data:
                    break
                if self.length is not None:
                    self.length -= len(data)
                content = self._chunks.feed(data) if self.chunked else data
                if content:
                    return content
            self.close()
            return b""

    return Response


class _Guarded:
    """What our connection classes add to urllib3's: they report to the turn's watch."""

    last_used = _NEVER  # until an answer was read to its end
    owner: Watch | None = None  # of the last request

    def _new_conn(self: Any) -> socket.socket:
        # The hook that urllib3's SOCKS connections use, too.  If it ever goes away,
        # `connect` below still reports the socket, only later.
        options = self.socket_options or ()
        host = self.host.strip("[]")
        return dial(_SERVED.watch, host, self.port, options)

    def connect(self: Any) -> None:
        watch: Watch = _SERVED.watch
        watch.fresh = True
        super().connect()  # type: ignore[misc]
        watch.attach(self.sock)
        watch.arm("upload", _SERVED.upload_seconds)

    def request(self: Any, *args: Any, **kwargs: Any) -> Any:
        watch: Watch = _SERVED.watch
        watch.serve_on(self)
        self.owner = watch
        if self.sock is not None and not watch.fresh:
            watch.reused = time.monotonic()
            watch.attach(self.sock)
            watch.arm("upload", _SERVED.upload_seconds)
        sent = super().request(*args, **kwargs)  # type: ignore[misc]
        watch.arm("headers", _SERVED.upload_seconds)
        return sent


class _GuardedBySocks(_Guarded):
    """The same where PySocks connects, which nothing can interrupt."""

    def _new_conn(self: Any) -> socket.socket:
        watch: Watch = _SERVED.watch
        connect = super(_Guarded, self)._new_conn  # type: ignore[misc]
        sock: socket.socket = watch.wait_for(connect)
        watch.attach(sock)
        return sock


class _Pool:
    """What our pools add to urllib3's: no kept connection that may be dead."""

    def _get_conn(self: Any, *args: Any, **kwargs: Any) -> Any:
        conn = super()._get_conn(*args, **kwargs)  # type: ignore[misc]
        # urllib3 2 gives a connection back as soon as the announced end of the body was
        # read, while its last turn may still shut it down: take it away from that one.
        is_dead = conn.owner is not None and conn.owner.give_up(conn)
        is_old = time.monotonic() - conn.last_used > MAX_IDLE_SECONDS
        if is_dead or is_old or _SERVED.wants_new:
            conn.close()  # here and not later: urllib3 asks a proxy for a new tunnel
        return conn


def import_requests() -> Any:
    """The `requests` module.  Raises ProviderError (`config`) where there is none."""
    from importlib import import_module

    try:
        # By name, so that mypy is satisfied without stubs of requests, too.
        return import_module("requests")
    except (Exception, SystemExit) as error:  # whatever a broken one may raise
        reason = str(error) or type(error).__name__
        raise ProviderError(
            "config",
            f"{sys.executable} cannot import requests: {reason}",
            "Install it for that Python (python3 -m pip install requests), or run "
            "install.sh, which makes a private environment.",
        ) from None


# urllib3's classes of connections and of their pools, by the scheme of the host.
_DIRECT = {
    "http": ("connection.HTTPConnection", "connectionpool.HTTPConnectionPool"),
    "https": ("connection.HTTPSConnection", "connectionpool.HTTPSConnectionPool"),
}
_BY_SOCKS = {
    "http": (
        "contrib.socks.SOCKSConnection",
        "contrib.socks.SOCKSHTTPConnectionPool",
    ),
    "https": (
        "contrib.socks.SOCKSHTTPSConnection",
        "contrib.socks.SOCKSHTTPSConnectionPool",
    ),
}


def _pool_classes(
    names: dict[str, tuple[str, str]], guard: type[Any]
) -> dict[str, Any]:
    """Classes of connection pools, by scheme: urllib3's, with what ours add."""
    from importlib import import_module

    def class_of(name: str) -> Any:
        module, _, name = name.rpartition(".")
        return getattr(import_module("urllib3." + module), name)

    live, classes = response_class(), {}
    for scheme, (connection, pool) in names.items():
        bases = guard, class_of(connection)
        kept = type("Connection", bases, {"response_class": live})
        bases = _Pool, class_of(pool)
        classes[scheme] = type("Pool", bases, {"ConnectionCls": kept})
    return classes


def open_session(size: int) -> Any:
    """A requests.Session of up to `size` idle connections that follows nothing."""
    requests = import_requests()
    from http.cookiejar import DefaultCookiePolicy

    pools = _pool_classes(_DIRECT, _Guarded)

    class Adapter(requests.adapters.HTTPAdapter):  # type: ignore[misc,name-defined]
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
            manager = super().proxy_manager_for(*args, **kwargs)
            by_socks = str(args[0]).lower().startswith("socks")
            own = _pool_classes(_BY_SOCKS, _GuardedBySocks) if by_socks else pools
            manager.pool_classes_by_scheme = own
            return manager

    class Session(requests.Session):  # type: ignore[misc,name-defined]
        def get_redirect_target(self, resp: Any) -> None:
            # Without it requests reads the whole body of a redirect, followed or not.
            return None

    session = Session()
    session.headers.clear()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    adapter = Adapter(pool_connections=4, pool_maxsize=size)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


class Reply:
    """A response whose body is read as it arrives.

    `read()` returns bytes, b"" at the body's end, or raises ProviderError.
    """

    def __init__(self, response: Any, watch: Watch) -> None:
        self.status = int(response.status_code)
        self.headers = response.headers
        self.arrived = time.time()  # what a date in Retry-After is compared with
        self.ended = False
        self._response = response
        self._watch = watch
        self._body = watch.response
        self._total = 0

    def header(self, *names: str) -> str:
        """The first of these headers that is there, "" if none is."""
        values = (self.headers.get(name) for name in names)
        return next((str(value) for value in values if value), "")

    def read(self) -> bytes:
        if self.ended:
            return b""
        try:
            chunk = self._body.read_some() if self._body else self._read_foreign()
        except Exception as error:
            failure = http_failure(error, self._watch, _BODY_FAULTS)
            if failure is not error:
                forget(error)
            raise failure from None
        self._watch.check()
        self._total += len(chunk)
        if self._total > MAX_STREAM_BYTES:
            _broken("the response is larger than %d MB" % (MAX_STREAM_BYTES // MIB))
        self.ended = not chunk
        return chunk

    def _read_foreign(self) -> bytes:
        """Read a response of another class than ours, should urllib3 not take it."""
        raw = self._response.raw
        if hasattr(raw, "read1"):
            return bytes(raw.read1(_READ_SIZE, decode_content=False))
        return bytes(raw.read(1, decode_content=False))  # more would wait for more

    def read_rest(self, limit: int, seconds: float) -> bytes:
        """What comes of the body within `limit` bytes and `seconds`."""
        chunks, size = [], 0
        try:
            self._watch.arm("body", seconds)
            while size < limit:
                chunk = self.read()
                if not chunk:
                    break
                chunks.append(chunk)
                size += len(chunk)
        except ProviderError:
            self._watch.renew()  # what came is all there is to know
        return b"".join(chunks)[:limit]

    def drain(self, seconds: float) -> None:
        """Read the body's end if it comes at once: the connection can serve again."""
        try:
            self._watch.arm("end", seconds)
            self.ended = not self.read()
        except (ProviderError, _Cancelled):
            self.ended = False

    def close(self) -> None:
        """Keep the connection if the body's end was read, otherwise drop it."""
        keep = self.ended and (self._body is None or self._body.isclosed())
        keep = keep and self.status >= 200  # after 1xx, the answer is still to come
        self._watch.detach(drop=not keep)
        try:
            if keep:
                self._watch.connection.last_used = time.monotonic()
                self._response.raw.release_conn()
            else:
                self._response.close()
        except Exception:  # a socket that was shut down closes in many ways
            self._response.raw.close()


# What a request says, by its method.
_HEADERS = {
    "GET": {"Accept": "application/json"},
    "POST": {"Accept": "text/event-stream", "Content-Type": "application/json"},
}


def headers_of(method: str) -> dict[str, str]:
    """What a request has for headers, besides the key."""
    return {
        **_HEADERS[method],
        "Accept-Encoding": "identity",
        "User-Agent": f"{NAME}/{__version__}",
        "anthropic-version": API_VERSION,
    }


# No timeout: there is but one clock, the watch's.
_HOW = {"stream": True, "allow_redirects": False, "timeout": None}


def _bearer(key: str) -> Callable[[Any], Any]:
    """How requests is to authorize: given as `auth`, so that ~/.netrc has no say."""

    def authorize(request: Any) -> Any:
        if key:
            request.headers["Authorization"] = "Bearer " + key
        return request

    return authorize


def send(
    session: Any,
    url: str,
    key: str,
    body: bytes | None,
    watch: Watch,
    settings: JSON,
    reply: Callable[[Any, Watch], Reply] = Reply,
) -> Reply:
    """POST `body`, or GET if it is None; return when the headers are there.

    An empty `key` is not sent; `reply` makes what is returned.  Raises ProviderError
    (`network`, `timeout`, `protocol`, `config`).
    """
    method = "GET" if body is None else "POST"
    _SERVED.watch, _SERVED.upload_seconds = watch, settings["first_event_timeout"]
    for is_last in (False, True):
        watch.fresh, watch.reused, _SERVED.wants_new = False, -_NEVER, is_last
        watch.response = None
        watch.arm("tcp", settings["connect_timeout"])
        try:
            response = session.request(
                method,
                url,
                data=body,
                headers=headers_of(method),
                auth=_bearer(key),
                verify=ca_file(url),
                **_HOW,
            )
            return reply(response, watch)
        except Exception as error:
            watch.detach(drop=True)
            failure = http_failure(error, watch)
            if watch.reason is None:
                failure = proxy_failure(url) or failure
            if failure is not error:
                forget(error)
        is_network = isinstance(failure, ProviderError) and failure.code == "network"
        is_stale = time.monotonic() - watch.reused < STALE_SECONDS
        is_stale = is_stale and not getattr(watch.response, "begun", False)
        if is_last or watch.fresh or not (is_stale and is_network):
            break  # otherwise it died while idle, which costs nothing
    raise failure


# Variables that name a file, or a directory, of CA certificates; the first that is set
# counts.  All programs with OpenSSL read the last, but requests does not.
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def ca_variable() -> str:
    """The one of CA_VARIABLES that counts, "" if none is set."""
    return next((name for name in CA_VARIABLES if os.environ.get(name)), "")


def ca_file(url: str) -> str:
    """The certificates that requests is to verify `url` with.

    Raises ProviderError (`config`) for a file that cannot be read.
    """
    name = ca_variable()
    if not name or not url.startswith("https:"):
        # Its own, by name: for True, old versions look at CURL_CA_BUNDLE once more, and
        # verify nothing if that is empty.
        return str(import_requests().certs.where())
    path = os.environ[name]
    if not os.access(path, os.R_OK):
        text = "%s names a file of CA certificates that cannot be read: %s"
        hint = "Correct the variable, and start the process anew."
        raise ProviderError("config", text % (name, plain_text(path, 200)), hint)
    return path


def proxy_failure(url: str) -> ProviderError | None:
    """The error of a turn whose way to `url` is a proxy with a URL that is not valid.

    requests and urllib3 say so in many ways, some of them with its password.
    """
    try:
        host_and_port(proxy_of(url) or "none")
        return None
    except ValueError:
        return ProviderError("config", "the URL of the proxy is not valid", **_VARIABLE)


def host_and_port(url: str) -> tuple[str, int]:
    """Where to connect for `url`, which for a proxy's may lack its scheme.

    Raises ValueError if it is no URL.
    """
    from urllib.parse import urlsplit

    parts = urlsplit(url if "//" in url else "http://" + url)
    if not parts.hostname or parts.port == 0 or re.search(r"\s", url):
        raise ValueError("no URL")
    usual = {"https": 443, "http": 80}.get(parts.scheme, 1080)
    return parts.hostname, parts.port or usual


def library_versions() -> dict[str, str | None]:
    """The versions of the libraries that are loaded, by name."""
    names = ("requests", "urllib3")
    return {n: getattr(sys.modules.get(n), "__version__", None) for n in names}


def proxy_of(url: str) -> str:
    """The proxy on the way to `url`, "" if there is none.  Raises ValueError."""
    try:
        requests = import_requests()
    except ProviderError:  # by what requests asks, too, if not as exactly
        from urllib.request import getproxies, proxy_bypass

        scheme, found = url.split(":", 1)[0], getproxies()
        bypass = proxy_bypass(host_of(url).rsplit(":", 1)[0])
        return "" if bypass else found.get(scheme) or found.get("all", "")
    found = requests.utils.get_environ_proxies(url)
    return str(requests.utils.select_proxy(url, found) or "")


def tls_of(watch: Watch) -> str:
    """The version of TLS on the connection that serves `watch`, "" if not known."""
    version = getattr(getattr(watch.connection, "sock", None), "version", None)
    return str(version() or "") if version else ""


def _causes(error: BaseException, in_context: bool = True) -> list[BaseException]:
    """`error` and everything it was raised from or wraps, outermost first.

    `in_context`: also what was being handled, which may be a caller's.
    """
    found: list[BaseException] = []
    queue: list[Any] = [error]
    while queue and len(found) < 50:
        item = queue.pop(0)
        if isinstance(item, BaseException) and item not in found:
            found.append(item)
            context = item.__context__ if in_context else None
            queue += [item.__cause__, context, getattr(item, "reason", None)]
            queue += list(item.args)
    return found


def forget(error: BaseException) -> None:
    """Let go of what the frames hold that `error` came through.

    The request and the answer would stay, in cycles, until a collection, and those
    are rare where little else is cyclic.
    """
    for cause in _causes(error, in_context=False):
        trace, cause.__traceback__ = cause.__traceback__, None
        while trace is not None:
            try:
                trace.tb_frame.clear()
            except RuntimeError:
                pass  # it still runs
            trace = trace.tb_next


# What the exceptions of requests, urllib3, http.client and ssl mean, by class name (so
# that none has to be imported) and a text in it; the first row that fits any cause.
_UNTRUSTED = {
    "retryable": False,
    "hint": "Certificates are always verified. If a proxy or a private CA signs for "
    "{host}, name the file of its certificate in REQUESTS_CA_BUNDLE or SSL_CERT_FILE; "
    "also check this machine's date.{environment}",
}
_CA_FILE = {"hint": "Have the variable name a file of PEM certificates.{environment}"}
_VARIABLE: JSON = {
    "hint": "Correct the variable, and start the process anew.{environment}",
}
LOGIN_HINT = "Put the proxy's login into its variable: http://USER:PASSWORD@HOST:PORT."
_LOGIN = {"retryable": False, "hint": LOGIN_HINT + "{environment}"}
_ODD_URL = "the URL of the host or of its proxy is not valid: {reason}"
_ODD_PROXY = "the URL of the proxy: {reason}"
_BAD_PROXY = "the proxy to {host} failed: {reason}"
_BROKEN_HTTP = "{host} broke HTTP: {reason}"
_BROKEN_LINE = "the connection to {host} failed: {reason}"
_FAULTS: tuple[tuple[str, str, str, str, JSON], ...] = (
    ("SSLCertVerificationError", "", "network", "{host}: {reason}", _UNTRUSTED),
    ("CertificateError", "", "network", "{host}: {reason}", _UNTRUSTED),
    ("OSError", "CA certificate bundle", "config", "{reason}", _CA_FILE),
    ("SSLError", "X509", "config", "the file of CA certificates: {reason}", _CA_FILE),
    ("ValueError", "proxy scheme", "config", _ODD_PROXY, _VARIABLE),
    ("InvalidProxyURL", "", "config", "the URL of the proxy is not valid", _VARIABLE),
    ("InvalidURL", "Proxy", "config", _ODD_PROXY, _VARIABLE),
    ("InvalidSchema", "", "config", "no way to reach {host}: {reason}", {}),
    ("InvalidURL", "", "config", _ODD_URL, {}),
    ("LocationParseError", "", "config", _ODD_URL, {}),
    ("OSError", "failed: 407", "network", _BAD_PROXY, _LOGIN),
    ("OSError", "Tunnel connection failed", "network", _BAD_PROXY, {}),
    ("ProxyError", "", "network", _BAD_PROXY, {}),
    ("IncompleteRead", "", "stream_cut", "the body ended too early", {}),
    ("RemoteDisconnected", "", "network", "{host} hung up without an answer", {}),
    ("SSLError", "", "network", "TLS with {host} failed: {reason}", {}),
    ("HTTPException", "", "protocol", _BROKEN_HTTP, {}),
    ("InvalidHeader", "", "protocol", _BROKEN_HTTP, {}),
    ("OSError", "", "network", _BROKEN_LINE, {}),
    ("HTTPError", "", "network", _BROKEN_LINE, {}),
    ("ValueError", "", "protocol", _BROKEN_HTTP, {}),
)
# In a body, the end of TLS is the end of the body.
_BODY_FAULTS = (
    ("SSLEOFError", "", "stream_cut", "the connection ended before the body", {}),
    *_FAULTS,
)


def http_failure(error: Exception, watch: Watch, faults: Any = _FAULTS) -> Exception:
    """Ours for an error from `requests`: why the wait ended, or what it means."""
    if watch.reason is not None:
        return watch.reason
    if isinstance(error, ProviderError):
        return error
    causes = _causes(error)
    for name, needle, code, text, details in faults:
        for cause in reversed(causes):
            names = [kind.__name__ for kind in type(cause).__mro__]
            if name in names and needle in str(cause):
                reason = plain_text(str(cause) or type(cause).__name__, 200)
                reason = re.sub(r"//[^/\s]*@", "//...@", reason)  # a proxy's password
                text = text.format(host=watch.host, reason=reason)
                failure = ProviderError(code, text, **details)
                failure.cause = _deepest(causes)
                return failure
    return error


def _deepest(causes: list[BaseException]) -> str:
    """The last cause of a known kind, for the log: with the system's own text only,
    since others may quote content."""
    known = {name for name, *_ in _FAULTS}
    for cause in reversed(causes):  # urllib3 1.25 leaves a TypeError of its own there
        if known & {kind.__name__ for kind in type(cause).__mro__}:
            break
    name, number = type(cause).__name__, getattr(cause, "errno", None)
    return f"{name}: {cause}" if isinstance(cause, OSError) and number else name


# ---------------------------------------------------------------------------
# Records: what one turn leaves in the log and in a capture
# ---------------------------------------------------------------------------

CAPTURE_VERSION = 1
_CAPTURE_NAME = r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[0-9]+-[0-9]+\.jsonl$"
_CAPTURE_END = 64 * 1024  # of a file, kept for how the turn ended
_encode_row = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode
# Response headers worth having, none of them a credential, as they are asked for.
_KEPT_HEADERS = (
    *("Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding"),
    *("Connection", "Date", "Server", "Via", "Location", "Retry-After"),
    *REQUEST_ID_HEADERS,
)
# Errors whose message is all ours, and may stand in the log.
_OWN_MESSAGES = ("network", "timeout", "stream_cut", "empty_response", "config")
_MEASURED = ("status", "new_connection", "headers_ms", "first_event_ms")
_USAGE = ("input_tokens", "cache_read_input_tokens", "output_tokens")
_WORD = r"[A-Za-z0-9_.,:/+-]+$"


def pairs(facts: JSON, encode: Callable[[Any], str] = dump_json) -> str:
    """`facts` that are not None as key=value, in quotes where it is not one word."""
    shown = []
    for name, value in facts.items():
        is_word = isinstance(value, str) and re.match(_WORD, value)
        if value is not None:
            shown.append(f"{name}={value if is_word else encode(value)}")
    return " ".join(shown)


class Capture:
    """One turn's file of JSON lines: whole ones, without keys, for its owner only.

    A failure of any kind ends it, with a line in the log; it never harms the turn.
    """

    def __init__(self, folder: str, level: str) -> None:
        self.path = folder  # of the file, as soon as there is one
        self._level = level
        self._fd = -1
        self._size = 0
        self._is_full = False
        self._before = b""  # the end of the body that was written
        self._held: list[tuple[float, bytes]] = []  # chunks that may end in half a key
        try:
            os.makedirs(folder, 0o700, exist_ok=True)
            _make_room(folder)
            self._create(folder)
        except Exception as error:
            self._give_up(error)

    def _create(self, folder: str) -> None:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
        seconds, rest = divmod(time.time_ns(), 10**9)
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds))
        number = 0
        while self._fd < 0:
            number += 1
            name = "%s.%06dZ-%d-%d.jsonl" % (stamp, rest // 1000, os.getpid(), number)
            try:
                self._fd = os.open(os.path.join(folder, name), flags, 0o600)
            except FileExistsError:
                continue  # another turn began in the same microsecond
            self.path = os.path.join(folder, name)

    def write(self, at: float, kind: str, fields: JSON) -> None:
        """Write a row; `at` is in seconds since the turn was accepted.

        Fields are JSON, or bytes that hold it.
        """
        self._guard(self._write_row, at, kind, fields)

    def chunk(self, at: float, data: bytes) -> None:
        """Write some of the body, exactly; keys are masked also where it is cut."""
        self._guard(self._write_chunks, Redactor.REACH, (at, data))

    def close(self) -> None:
        """Write no more."""
        self._guard(self._write_chunks, 0)
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _guard(self, work: Callable[..., None], *args: Any) -> None:
        try:
            if self._fd >= 0:
                work(*args)
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or type(error).__name__
        text = f"{self.path}: this turn is captured no further: {reason}"
        log(text, "warning", self._level)
        fd, self._fd = self._fd, -1
        if fd >= 0:
            try:
                os.ftruncate(fd, self._size)  # no half line stays
            finally:
                os.close(fd)

    def _write_row(self, at: float, kind: str, fields: JSON) -> None:
        self._write_chunks(0)
        row = {
            k: load_json(v.decode("ascii"), 2 * MAX_DEPTH) if type(v) is bytes else v
            for k, v in fields.items()
        }
        self._put({"t": round(at, 6), "kind": kind, **SECRETS.value(row)})

    def _write_chunks(self, reach: int, *new: tuple[float, bytes]) -> None:
        """Write the chunks held, but for those in the last `reach` bytes."""
        self._held += new
        raw = self._before + b"".join(data for _, data in self._held)
        masked = SECRETS.text(raw.decode("latin-1")).encode("latin-1")
        start = len(self._before)
        while self._held and start + len(self._held[0][1]) <= len(raw) - reach:
            at, data = self._held.pop(0)
            # Bytes that are not UTF-8 become lone surrogates, which JSON can say.
            shown = masked[start : start + len(data)].decode("utf-8", "surrogateescape")
            self._put({"t": round(at, 6), "kind": "chunk", "data": shown})
            start += len(data)
        self._before = raw[max(start - Redactor.REACH, 0) : start]

    def _put(self, row: JSON) -> None:
        """Write `row`, or that it is too much and then only how the turn ended."""
        if not self._is_full and self._append(row, MAX_CAPTURE_FILE - _CAPTURE_END):
            return
        if not self._is_full:
            self._is_full = True
            self._append({"t": row["t"], "kind": "full"}, MAX_CAPTURE_FILE)
        if row["kind"] == "end":
            rest = {k: v for k, v in row["event"].items() if k not in CONTENT_FIELDS}
            self._append({**row, "event": rest}, MAX_CAPTURE_FILE)

    def _append(self, row: JSON, limit: int) -> bool:
        """Write `row` if the file stays within `limit` bytes."""
        data = _encode_row(row).encode("utf-8", "backslashreplace") + b"\n"
        if self._size + len(data) > limit:
            return False
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        self._size += len(data)
        return True


def _make_room(folder: str) -> None:
    """Remove the captures that are the oldest until there is room for one more."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            is_file = entry.is_file(follow_symlinks=False)
            if is_file and re.match(_CAPTURE_NAME, entry.name):
                try:
                    state = entry.stat(follow_symlinks=False)
                    found.append((state.st_mtime_ns, entry.name, state.st_size))
                except FileNotFoundError:
                    pass  # another process was faster
    found.sort(reverse=True)
    total = sum(size for _, _, size in found)
    while len(found) >= MAX_CAPTURES or total > MAX_CAPTURE_BYTES - MAX_CAPTURE_FILE:
        _, name, size = found.pop()
        total -= size
        try:
            os.unlink(os.path.join(folder, name))
        except OSError:
            pass  # likewise, or it is another user's


class Recorder:
    """What is written down of one turn: log lines, and a capture if one is wanted.

    The turn reaches the world outside through it, and `events` is told what leaves.
    """

    def __init__(
        self, outside: MiniMaxProvider, request: Any, settings: JSON, watch: Watch
    ) -> None:
        self._outside = outside
        self._watch = watch
        self._level = settings["log_level"]
        name = request.get("id") if isinstance(request, dict) else None
        self._name = plain_text(str(name), 80) if name is not None else None
        self._facts: JSON = {}  # of the attempt under way, if there is one
        self._cause: str | None = None  # of its failure
        self._begun = self._ended = watch.accepted
        self._decoder = SSEDecoder()
        self._latest: ServerSentEvent | None = None
        self._has_sent = False  # the request's body was captured
        self._capture: Capture | None = None
        # Without a key nothing is sent, and there is nothing to replay.
        if settings["capture_dir"] and settings["api_key"]:
            self._capture = Capture(settings["capture_dir"], self._level)
            self._note("turn", _head(request, settings, outside.routes()))

    def _note(self, kind: str, fields: JSON) -> None:
        if self._capture is not None:
            self._capture.write(time.monotonic() - self._watch.accepted, kind, fields)

    # The world outside, as the turn sees it

    def routes(self) -> list[str]:
        return self._outside.routes()

    def read_image(self, path: str) -> JSON:
        try:
            source = self._outside.read_image(path)
        except ValueError as error:
            self._note("image", {"problem": str(error)})
            raise
        self._note("image", {"source": source})
        return source

    def post(self, url: str, body: bytes, watch: Watch, settings: JSON) -> Reply:
        self._begin(url, body)
        try:
            reply = self._outside.post(url, body, watch, settings, self._tapped)
        except Exception as error:
            self.failed(error)
            raise
        self._ended = time.monotonic()
        facts = {"status": reply.status, "new_connection": watch.fresh}
        self._facts.update(facts, headers_ms=_ms(self._ended - self._begun))
        headers = {n: reply.header(n) for n in _KEPT_HEADERS if n in reply.headers}
        self._note("response", {**facts, "at": reply.arrived, "headers": headers})
        return reply

    def _tapped(self, response: Any, watch: Watch) -> Reply:
        reply = _TappedReply(response, watch)
        reply.recorder = self
        return reply

    def _begin(self, url: str, body: bytes) -> None:
        self._begun = self._ended = time.monotonic()
        self._facts, self._cause = {"bytes": 0, "events": 0}, None
        self._decoder, self._latest = SSEDecoder(), None
        sent: JSON = {"url": url, "headers": headers_of("POST")}
        self._note("attempt", sent if self._has_sent else {**sent, "body": body})
        self._has_sent = True

    def chunk(self, data: bytes) -> None:
        """What a read of the body gave."""
        self._ended = time.monotonic()
        if self._capture is not None and data:
            self._capture.chunk(self._ended - self._watch.accepted, data)
        elif not data:
            self._note("body_end", {})
        if self._level == "info":
            self._count(self._facts, data)

    def _count(self, facts: JSON, data: bytes) -> None:
        facts["bytes"] += len(data)
        try:
            events = self._decoder.feed(data) if data else self._decoder.close()
        except SSELimitError:
            return
        if any(event.event != "ping" for event in events):
            facts.setdefault("first_event_ms", _ms(self._ended - self._begun))
        facts["events"] += len(events)
        self._latest = events[-1] if events else self._latest

    def failed(self, error: Exception) -> None:
        """The way out, or a read of the body, gave `error`."""
        self._ended = time.monotonic()
        self._cause = getattr(error, "cause", None) or None
        self._note("failure", _described(error))

    # What leaves

    def events(self, batch: Iterable[JSON]) -> None:
        for event in batch:
            if event["type"] in (WARNING, RETRY):
                self._note(event["type"], {"event": event})
            if event["type"] == RETRY:
                self._tell_attempt(event["error"])
            elif event["type"] in TERMINAL:
                stopped = self._watch.stopped
                if stopped and event.get("stop_reason") in (None, CANCELLED):
                    self._note("stop", _described(stopped))
                self._note("end", {"event": event, "with": library_versions()})
                self._tell_attempt(event.get("error") or {"code": event["stop_reason"]})
                self._tell_turn(event)

    def close(self) -> None:
        """The turn is over, or nobody wants its events any more."""
        if self._capture is not None:
            self._capture.close()

    def _tell_attempt(self, error: JSON) -> None:
        facts, self._facts = self._facts, {}
        if not facts:
            return
        own = error["message"] if error["code"] in _OWN_MESSAGES else None
        self._tell(
            "attempt",
            outcome=error["code"],
            **{k: facts.get(k) for k in _MEASURED},
            end_ms=_ms(self._ended - self._begun),
            bytes=facts["bytes"],
            events=facts["events"],
            last_event=self._latest and _kind_of(self._latest),
            cause=self._cause or own,
        )

    def _tell_turn(self, event: JSON) -> None:
        error, usage = event.get("error") or {}, event["usage"] or {}
        self._tell(
            "turn",
            outcome=error.get("code") or event["stop_reason"],
            **{k: error.get(k) for k in ("http_status", "provider_code")},
            model=event["model"],
            **event["timing"],
            **{k: usage.get(k) for k in _USAGE},
            cost_usd=event.get("cost_usd"),
            request_id=event.get("request_id") or error.get("request_id"),
            capture=self._capture and self._capture.path,
        )

    def _tell(self, what: str, **facts: Any) -> None:
        log(f"{what} {pairs({'id': self._name, **facts})}", "info", self._level)


class _TappedReply(Reply):
    """A reply that tells of every read."""

    recorder: Recorder

    def read(self) -> bytes:
        if self.ended:
            return b""
        try:
            chunk = super().read()
        except Exception as error:
            self.recorder.failed(error)
            raise
        self.recorder.chunk(chunk)
        return chunk


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _kind_of(sse: ServerSentEvent) -> str:
    """What an upstream event calls itself."""
    try:
        kind = load_json(sse.data)["type"]  # not json: digits may take it hours
    except (ValueError, KeyError, TypeError):
        kind = sse.event
    return plain_text(str(kind), 40)


_UNSAID = ("api_key", "api_key_file", "capture_dir")


def _head(request: Any, settings: JSON, routes: list[str]) -> JSON:
    """The first row of a capture."""
    shown = {k: v for k, v in settings.items() if k not in _UNSAID}
    return {
        "capture": CAPTURE_VERSION,
        "plugin": __version__,
        "python": sys.version.split()[0],
        "system": sys.platform,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "key": key_kind(settings["api_key"])[0],
        "environment": routes,
        "settings": shown,
        "request": request,
    }


def _described(error: Exception) -> JSON:
    """An error as a row holds it, to be raised again by a replay."""
    if isinstance(error, _Cancelled):
        return {"code": CANCELLED}
    if not isinstance(error, ProviderError):
        error = ProviderError("internal", type(error).__name__)
    names = ("code", "message", "hint", "retryable", "details", "cause")
    return {name: getattr(error, name) for name in names}


# ---------------------------------------------------------------------------
# Turn: attempts, retries, and the events of one TurnRequest
# ---------------------------------------------------------------------------

# Environment variables that change the way to the host; their values stay unsaid.
_ROUTE_VARIABLES = (
    "HTTPS_PROXY https_proxy ALL_PROXY all_proxy HTTP_PROXY http_proxy".split()
)


class MiniMaxProvider:
    """MiniMax's models: TurnRequests in, TurnEvents out.

    The keywords are the keys of OPTIONS; a wrong one raises ProviderError (`config`).
    Reads no configuration file, and of the environment the proxy and CA variables only;
    `from_config()` reads both.  Any number of threads may run turns on one provider.
    """

    def __init__(self, **options: Any) -> None:
        unknown = sorted(set(options) - set(OPTIONS))
        if unknown:
            raise ProviderError("config", "unknown options: " + ", ".join(unknown))
        settings = default_settings()
        for name, value in options.items():
            settings[name] = check_setting(name, value, "MiniMaxProvider")
        self._file: ConfigFile | None = None
        self._options = settings
        self._session: Any = None
        self._lock = threading.Lock()

    @classmethod
    def from_config(cls, path: str | None = None, **overrides: Any) -> MiniMaxProvider:
        """A provider set by the configuration file and the environment.

        The file is looked at again at the start of every turn; what is wrong with it
        is the error of that turn.  `overrides` are options that win over both.
        """
        provider = cls()
        provider._file = ConfigFile(path, overrides=overrides)
        return provider

    def __enter__(self) -> MiniMaxProvider:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections kept for further turns."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.close()

    def turn(
        self,
        request: JSON,
        cancel: threading.Event | None = None,
        raise_errors: bool = False,
    ) -> Iterator[JSON]:
        """Yield the events of one turn, the same as on the wire.

        Setting `cancel` ends the turn within a second; closing the iterator drops the
        connection.  With `raise_errors` a failed turn raises its ProviderError instead
        of yielding the `error` event.
        """
        name = request.get("id") if isinstance(request, dict) else None
        for batch in self.batches(request, Watch(cancel), raise_errors):
            for event in batch:
                yield event if name is None else {"id": name, **event}

    def batches(
        self, request: JSON, watch: Watch, raise_errors: bool = False
    ) -> Iterator[list[JSON]]:
        """The events of one turn, in lists of what one read of the network gave."""
        turn = _Turn(self, request, watch)
        try:
            for batch in turn.batches():
                if turn.recorder is not None:
                    turn.recorder.events(batch)
                if raise_errors and turn.failure is not None:
                    yield [redact_event(event) for event in batch[:-1]]
                    raise redact_error(turn.failure) from None
                yield [redact_event(event) for event in batch]
        finally:
            if turn.recorder is not None:
                turn.recorder.close()

    def limits(self) -> JSON:
        """The settings of PROCESS_OPTIONS.  Raises ProviderError (`config`)."""
        return self._options if self._file is None else self._file.limits()

    def settings(self) -> JSON:
        """The settings that the next turn will have."""
        if self._file is not None:
            return self._file.load()
        tell = warner(self._options)
        key = self._options["api_key"] or file_key(self._options, {}, "", tell)[0]
        return {**self._options, "api_key": key}

    def no_key(self) -> ProviderError:
        """The error of a turn that has no key to send."""
        if self._file is None:
            return ProviderError("config", "MiniMaxProvider was given no api_key")
        text = f"{self._file.path}: there is no key in " + ", ".join(KEY_SOURCES)
        if self._file.unknown:
            text += f" (unknown settings: {plain_text(self._file.unknown, 100)})"
        hint = (
            'Put {{"api_key": "sk-..."}} into that file and chmod it 600, or name in '
            "its api_key_file a file that holds the key; the next turn reads it."
        )
        return ProviderError("config", text, hint)

    def get(self, url: str, settings: JSON, watch: Watch | None = None) -> JSON:
        """The JSON object at `url`, without keys in it.

        Raises ProviderError with its hint filled in.
        """
        query = _Query(self, {}, watch or Watch())
        try:
            return dict(SECRETS.value(query.answer(url, settings)))
        except ProviderError as error:
            raise redact_error(error) from None

    # The world outside, as a turn sees it

    def post(
        self,
        url: str,
        body: bytes,
        watch: Watch,
        settings: JSON,
        reply: Callable[[Any, Watch], Reply] = Reply,
    ) -> Reply:
        """POST `body`, with the key, on the session that all turns share."""
        # The import may take long, and cannot be interrupted.
        session = self._session or watch.wait_for(lambda: self.session(settings))
        return send(session, url, settings["api_key"], body, watch, settings, reply)

    def session(self, settings: JSON) -> Any:
        """The session that all turns share; made when the first one needs it."""
        import_requests()  # may take long: before others wait for the lock
        with self._lock:
            if self._session is None:
                self._session = open_session(settings["max_concurrent_turns"])
            return self._session

    def read_image(self, path: str) -> JSON:
        """The source of the image in the file at `path`."""
        return read_image_file(path)

    def routes(self) -> list[str]:
        """The variables in effect that change the way to the host."""
        names = (*_ROUTE_VARIABLES, ca_variable())
        return [name for name in names if os.environ.get(name)]


class _Turn:
    """One TurnRequest on its way: its attempts, and what is known of it."""

    _wanted = "an event stream"

    def __init__(self, provider: Any, request: JSON, watch: Watch) -> None:
        self.failure: ProviderError | None = None
        self.recorder: Recorder | None = None  # if anything is to be written down
        self._provider = provider
        self._outside = provider
        self._request = request
        self._watch = watch
        self._settings: JSON = default_settings()
        self._url = ""
        self._asked: str | None = None
        self._translator = EventTranslator()
        self._attempts = 0
        self._first_event: float | None = None
        self._request_id: str | None = None
        self._last_heartbeat = -_NEVER

    def batches(self) -> Iterator[list[JSON]]:
        try:
            yield from self._serve()
            return
        except _Cancelled as error:
            forget(error)
            self._translator.stop_reason = CANCELLED
            end = self._turn_end
        except ProviderError as error:
            forget(error)
            self.failure = error
            end = self._error
        except Exception as error:
            self.failure = internal_error(error)
            forget(error)
            end = self._error
        finally:
            self._watch.finish()
        events = list(self._translator.close())  # what it holds goes into the end
        yield [*events, end()]

    def _serve(self) -> Iterator[list[JSON]]:
        self._watch.check()
        self._settings = settings = self._provider.settings()
        self._watch.start(settings["turn_timeout"])
        base = base_of(settings)
        self._url = base + MESSAGES_PATH
        self._watch.host = host_of(base)
        if settings["capture_dir"] or settings["log_level"] == "info":
            outside = self._outside
            self.recorder = Recorder(outside, self._request, settings, self._watch)
            self._outside = self.recorder
        if not settings["api_key"]:
            raise self._provider.no_key()
        data, warnings = self._body()
        if warnings:
            yield warnings
        while True:
            self._attempts += 1
            failure = None
            try:
                yield from self._attempt(data)
            except ProviderError as error:
                forget(error)
                failure = error
            if failure is None:
                return
            self._watch.renew()
            delay = self._delay(failure)
            yield [self._retry(failure, delay)]
            self._watch.sleep(delay)

    def _body(self) -> tuple[bytes, list[JSON]]:
        names = ("model", "max_tokens_default", "effort")
        model, max_tokens, effort = (self._settings[name] for name in names)
        body, warnings = build_request(
            self._request, model, max_tokens, effort, self._read_image
        )
        try:
            data = dump_json(body).encode("ascii")
        except (ValueError, TypeError, RecursionError) as error:
            raise ProviderError("invalid_request", f"not JSON: {error}") from None
        self._asked = str(body["model"])
        return data, warnings

    def _read_image(self, path: str) -> JSON:
        if not self._settings["allow_image_paths"]:
            raise ValueError("allow_image_paths is off")
        return dict(self._outside.read_image(path))

    # Attempts

    def _attempt(self, data: bytes) -> Iterator[list[JSON]]:
        settings, watch = self._settings, self._watch
        self._request_id = self._first_event = None
        self._translator = EventTranslator(self._asked or "")
        reply = self._outside.post(self._url, data, watch, settings)
        try:
            self._request_id = _request_id(reply)
            try:
                yield from self._stream(reply)
            except ProviderError:  # whatever comes after a whole message
                if not self._translator.complete:
                    raise
                self._watch.renew()
            yield from self._batch(self._translator.conclude())
            # Before the end is told, for the host's next turn may come at once.
            reply.drain(DRAIN_SECONDS)
        finally:
            reply.close()
        yield [self._turn_end()]

    def _stream(self, reply: Reply) -> Iterator[list[JSON]]:
        """The events of the reply's body, until the message is complete."""
        translator, decoder = self._translator, SSEDecoder()
        self._watch.step("first")
        chunk = opening = self._opening(reply)
        while chunk and not translator.stopped:
            yield from self._batch(self._events(_decoded(decoder, chunk), False))
            if translator.stopped:
                return
            chunk = reply.read()
        yield from self._batch(self._events(decoder.close(), True))
        if not (translator.stopped or translator.complete):
            if self._first_event is None and not _opens_stream(opening):
                shown = plain_text(opening.decode("utf-8", "replace"), 200)
                _broken("not an event stream but " + shown)
            has_reason = translator.stop_reason is not None
            cut = "inside a block" if has_reason else "before its stop reason"
            text = f"the answer ended {cut}"
            raise ProviderError("stream_cut", text)

    def _batch(self, source: Iterator[JSON]) -> Iterator[list[JSON]]:
        """All that `source` yields as one batch, also when it fails on the way."""
        events: list[JSON] = []
        failure = None
        try:
            events.extend(source)
        except ProviderError as error:
            failure = error
        if events:
            self._watch.pause()
            yield events
        self._watch.resume()
        if failure is not None:
            raise failure

    def _events(
        self, received: list[ServerSentEvent], is_last: bool
    ) -> Iterator[JSON]:
        """The TurnEvents of what one read brought."""
        translator, idle = self._translator, self._settings["idle_timeout"]
        payloads, failure = _payloads(received, is_last)
        is_news = False
        for payload in payloads if len(payloads) == 1 else merge_deltas(payloads):
            was_complete = translator.complete
            if payload["type"] != "ping" and not was_complete:
                is_news = True
                if self._first_event is None:
                    self._first_event = time.monotonic()
            yield from filter(self._is_due, translator.translate(payload))
            if translator.stopped:
                return
            is_news = is_news or translator.complete != was_complete
        if is_news:
            seconds = min(idle, LAST_EVENT_SECONDS) if translator.complete else idle
            self._watch.allow("idle", seconds)
        if failure is not None:
            raise failure

    def _is_due(self, event: JSON) -> bool:
        """Whether `event` is to be sent: heartbeats only so often."""
        if event["type"] != HEARTBEAT:
            return True
        now = time.monotonic()
        if now - self._last_heartbeat < HEARTBEAT_SECONDS:
            return False
        self._last_heartbeat = now
        return True

    def _opening(self, reply: Reply) -> bytes:
        """The first bytes of an event stream; raises what another answer means."""
        kind = reply.header("Content-Type")
        is_announced = not kind or "event-stream" in kind.lower()
        opening = b""
        while reply.status == 200 and not _encoding(reply):
            chunk = reply.read()
            opening = (opening + chunk).lstrip(b"\r\n")
            head = opening.lstrip(_BLANK)
            if head[:1] in (b"{", b"<"):
                break
            is_decided = not chunk or len(opening) > _OPENING_SIZE
            if head.startswith(_SSE_OPENINGS):
                return opening
            if is_announced and (head or is_decided):
                return opening
            if is_decided:
                break
        raise self._refusal(reply, opening)

    def _refusal(self, reply: Reply, opening: bytes) -> ProviderError:
        """The error that an answer other than the one wanted stands for."""
        kind = reply.header("Content-Type")
        rest = reply.read_rest(MAX_ERROR_BODY, ERROR_BODY_SECONDS)
        text = (opening + rest).lstrip(_BLANK).decode("utf-8", "replace")
        if _encoding(reply):
            text = f"the body is encoded ({_encoding(reply)}), which was not asked for"
        payload = _error_payload(text)
        if payload is None:
            text = re.sub(_HTML, " ", text[:8192])
        good = reply.status == 200
        error = upstream_error(payload, None if good else reply.status, text)
        if good and not is_error_payload(payload):
            shown = plain_text("{}: {}".format(kind or "no content type", text), 200)
            error = ProviderError("protocol", f"not {self._wanted} but {shown}")
        elif reply.status // 100 == 3:
            where = plain_text(reply.header("Location") or "nowhere", 200)
            error.message += f"; a redirect to {where}, which is not followed"
            error.hint = ERRORS["not_found"][1]
        elif error.code == "not_found":
            error.message = f"HTTP 404 from {self._url}"
        after = _retry_after(reply.header("Retry-After"), reply.arrived)
        if after is not None:
            error.details["retry_after"] = after
        return error

    def _delay(self, error: ProviderError) -> float:
        """Seconds before the next attempt; raises `error` if there is to be none."""
        settings, after = self._settings, error.details.get("retry_after")
        if (
            not error.retryable
            or self._translator.any_block
            or self._attempts > settings["max_retries"]
            or (after or 0) > settings["retry_after_max"]
        ):
            raise error
        pace = PACES.get(error.code, 1) * 2 ** (self._attempts - 1)
        jitter = 0.5 + int.from_bytes(os.urandom(2), "big") / 131072
        backoff = min(settings["retry_base_delay"] * pace, MAX_BACKOFF_SECONDS) * jitter
        delay = float(round(after or backoff, 3))
        if delay >= self._watch.turn_remaining:
            raise error
        return delay

    def _retry(self, error: ProviderError, delay: float) -> JSON:
        self._explain(error)
        fields = {
            "attempt": self._attempts,
            "max_attempts": self._settings["max_retries"] + 1,
            "delay": delay,
            "error": error.to_dict(),
        }
        return turn_line(RETRY, fields)

    # Ends

    def _usage(self) -> JSON:
        """`usage`, and what it costs if that is known."""
        translator = self._translator
        used: JSON = {"usage": dict(translator.usage) or None}
        cost = cost_usd(translator.model, translator.usage)
        if cost is not None and translator.is_charged:
            used["cost_usd"] = cost
        return used

    def _timing(self) -> JSON:
        accepted, now = self._watch.accepted, time.monotonic()
        first = self._first_event
        known = {
            "first_event_ms": None if first is None else _ms(first - accepted),
            "total_ms": _ms(now - accepted),
            "attempts": self._attempts,
        }
        return shaped(SHAPES["timing"], known)

    def _turn_end(self) -> JSON:
        translator = self._translator
        fields = {
            "stop_reason": translator.stop_reason,
            "message": translator.message(),
            "model": translator.model,
            "message_id": translator.message_id,
            **self._usage(),
            "request_id": self._request_id,
            "timing": self._timing(),
        }
        return turn_line(TURN_END, fields)

    def _error(self) -> JSON:
        failure = self.failure
        assert failure is not None
        self._explain(failure)
        fields = {
            "error": failure.to_dict(),
            "model": self._translator.model or self._asked,
            **self._usage(),
            "partial": self._translator.message(),
            "timing": self._timing(),
        }
        return turn_line(ERROR, fields)

    def _explain(self, error: ProviderError) -> None:
        """Fill in the hint, for this host, model and key."""
        if self._request_id is not None:
            error.details.setdefault("request_id", self._request_id)
        hint = error.hint or ERRORS[error.code][1]
        error.hint = hint.format_map(self._facts()) if "{" in hint else hint

    def _facts(self) -> JSON:
        """What hints may name: never the key itself, nor the values of variables."""
        settings = self._settings
        host = self._watch.host
        region = HOSTS.get(host, settings["region"])
        other = "cn" if region == "global" else "global"
        _, kind, wallet, other_kind = key_kind(settings["api_key"])
        model = self._asked or settings["model"]
        used = self._outside.routes()
        return {
            "host": host,
            "url": self._url,
            "region": region,
            "other_region": other,
            "other_host": host_of(REGIONS[other]),
            "base": REGIONS["global"],
            "base_cn": REGIONS["cn"],
            "key_kind": kind,
            "other_key_kind": other_kind,
            "wallet": wallet,
            "model": model,
            "models": " or ".join(n for n in _CURRENT if n != model),
            "context": MODELS.get(model, {}).get("context_window", "available"),
            "environment": " In effect: {}.".format(", ".join(used)) if used else "",
        }


class _Query(_Turn):
    """A question that is answered by one JSON object, with the hints of a turn."""

    _wanted = "JSON"

    def answer(self, url: str, settings: JSON) -> JSON:
        limits = ("connect_timeout", "first_event_timeout")
        short = {name: min(settings[name], QUERY_SECONDS) for name in limits}
        self._settings, self._url = {**settings, **short}, url
        self._watch.host = host_of(url)
        try:
            self._watch.start(4 * QUERY_SECONDS)
            return self._payload()
        except ProviderError as error:
            if error.code == "timeout":  # the limits need not be those of the settings
                error.message = error.message.rsplit(" (", 1)[0]
                error.hint = ERRORS["network"][1]
            self._explain(error)
            raise
        finally:
            self._watch.finish()

    def _payload(self) -> JSON:
        settings, watch = self._settings, self._watch
        session = self._provider.session(settings)
        reply = send(session, self._url, settings["api_key"], None, watch, settings)
        try:
            self._request_id = _request_id(reply)
            body = reply.read_rest(MAX_ANSWER_BYTES, QUERY_SECONDS)
            try:
                payload = load_json(body.decode("utf-8", "replace"))
            except ValueError:
                payload = None
            is_answer = isinstance(payload, dict) and not is_error_payload(payload)
            if reply.status == 200 and is_answer:
                return dict(payload)
            raise self._refusal(reply, body)
        finally:
            reply.close()


def base_of(settings: JSON) -> str:
    """The URL that every path of the API is below."""
    return str(settings["base_url"] or REGIONS[settings["region"]])


def _request_id(reply: Reply) -> str | None:
    return plain_text(reply.header(*REQUEST_ID_HEADERS), 200) or None


# How an event stream may open that its Content-Type does not announce, and the bytes
# that are looked at for it.
_SSE_OPENINGS = (b"event:", b"data:", b"id:", b"retry:", b":")
_OPENING_SIZE = 64
_BLANK = b"\xef\xbb\xbf \t\r\n"  # what may stand before it: a byte order mark, too
_HTML = r"(?s)<(script|style)\b.*?</\1>|<[^<>]*>"


def _opens_stream(opening: bytes) -> bool:
    """Whether `opening` could be the beginning of an event stream, or is nothing."""
    head = opening.lstrip(_BLANK)
    return any(o.startswith(head[: len(o)]) for o in _SSE_OPENINGS)


def _error_payload(text: str) -> Any:
    """The JSON of a body that is none of the streams asked for, None if it has none.

    It may be framed as a stream nevertheless, or be followed by one.
    """
    payload = _parsed(text)
    if payload is None:
        framed = SSEDecoder().feed(text.encode("utf-8") + b"\n\n")
        found = (_parsed(sse.data) for sse in framed)
        payload = next(filter(is_error_payload, found), None)
    return payload


def _encoding(reply: Reply) -> str:
    """The Content-Encoding of a reply that has one, though none was asked for."""
    encoding = plain_text(reply.header("Content-Encoding"), 40)
    return "" if encoding.lower() == "identity" else encoding


def _decoded(decoder: SSEDecoder, chunk: bytes) -> list[ServerSentEvent]:
    try:
        return decoder.feed(chunk)
    except SSELimitError as error:
        raise ProviderError("protocol", str(error)) from None


def _payloads(
    received: list[ServerSentEvent], is_last: bool
) -> tuple[list[JSON], ProviderError | None]:
    """The payloads of what was received, up to one that is none of ours, and why."""
    payloads = []
    try:
        for sse in received:
            payload = _payload(sse, is_last)
            if payload is not None:
                payloads.append(payload)
    except ProviderError as error:
        return payloads, error
    return payloads, None


def _payload(sse: ServerSentEvent, is_last: bool) -> JSON | None:
    """The JSON of an event, None if there is nothing in it for us.

    `is_last`: the body ended without the event's last line, so it may be half of one.
    """
    if sse.event == "ping":
        return {"type": "ping"}
    if not sse.data.strip() or sse.data == "[DONE]":
        return None
    problem = "is not an object"
    try:
        payload = load_json(sse.data, MAX_UPSTREAM_DEPTH)
    except ValueError as error:
        payload, problem = None, f"is not JSON: {error}"
    if not isinstance(payload, dict):
        if is_last or sse.bare:
            return None
        if sse.event == "error":
            raise upstream_error(None, None, sse.data)
        raise ProviderError("protocol", f"the data of an event {problem}")
    if sse.bare and not is_error_payload(payload):
        return None
    kind = payload.get("type")
    is_known = isinstance(kind, str) and (kind in _ON or sse.event != ERROR)
    if not isinstance(kind, str) or not (is_known or is_error_payload(payload)):
        payload["type"] = sse.event
    return payload


def _retry_after(value: str, now: float) -> float | None:
    """Seconds to wait by a Retry-After header (RFC 9110, 10.2.3), None if it says none.

    `now` is the time of day in seconds since the epoch; fractions are understood.
    """
    value = value.strip()
    if re.match(r"\d+(\.\d+)?$", value, re.ASCII):
        return min(float(value), MAX_RETRY_AFTER)
    from datetime import timezone
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(value)  # without a zone, it is GMT
        moment = moment.replace(tzinfo=moment.tzinfo or timezone.utc)
        seconds = moment.timestamp() - now
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return round(min(max(seconds, 0.0), MAX_RETRY_AFTER), 3)


# ---------------------------------------------------------------------------
# Replay: a captured turn again, without network
# ---------------------------------------------------------------------------

_FAILED = _fields(
    f"code:error_code|'{CANCELLED}' message?:string hint?:string retryable?:boolean "
    "details?:object"
)
# The rows of a capture, and what each must have for a replay.
_ROWS = {
    "turn": _fields("settings:object request:object environment:string[]"),
    "image": _fields("source?:object problem?:string"),
    "attempt": _fields("url:string"),
    "response": _fields("status:integer headers:object at:number"),
    "chunk": _fields("data:string"),
    "body_end": {},
    "failure": _FAILED,
    "warning": _fields("event:object"),
    "retry": _fields("event:object"),
    "stop": _FAILED,
    "full": {},
    "end": _fields("event:object"),
}
# Those that only tell; the others are what the turn meets, in this order.
_TOLD = ("turn", "warning", "end")
# Settings that are not those of then: a replay has no key, and writes nothing.
_NOT_REPLAYED = (*_UNSAID, "log_level")
_LATEST = 1e9  # seconds: a row that came later is none
# What may have been masked in a capture, and is not when it is made again.
_MASK = r"\*{4,}"


class _Diverged(BaseException):
    """The turn does what it did not do then."""


class Recording:
    """A captured turn: the world outside as that turn met it, in the same order.

    Reading one raises ValueError that names the line, or OSError.
    """

    def __init__(self, path: str, speed: float | None = None) -> None:
        rows = list(_read_rows(path))
        self.head, self.then = rows[0], rows[-1]["event"]
        self.request: JSON = self.head["request"]
        self.rows = deque(row for row in rows if row["kind"] not in _TOLD)
        self.now = float(self.head["t"])  # by the clock of the capture
        self.unlike = ""  # how a request differs from the one that was sent
        self._speed = speed
        self._started = time.monotonic() - (self.now / speed if speed else 0)

    def take(self, *kinds: str) -> JSON | None:
        """The next row if it is one of `kinds`, at the time when it came."""
        if not self.rows or self.rows[0]["kind"] not in kinds:
            return None
        row = self.rows.popleft()
        self.now = row["t"]
        if self._speed:
            due = self._started + self.now / self._speed
            time.sleep(max(due - time.monotonic(), 0))
        return row

    # The world outside, as a turn sees it

    def settings(self) -> JSON:
        settings = default_settings()
        for name, value in self.head["settings"].items():
            if name in OPTIONS and name not in _NOT_REPLAYED:
                settings[name] = check_setting(name, value, "the capture")
        own = {"api_key": str(self.head.get("key", "")) + "***", "log_level": "error"}
        return {**settings, **own}

    def routes(self) -> list[str]:
        return list(self.head["environment"])

    def read_image(self, path: str) -> JSON:
        row = self.take("image")
        if row is None:
            raise _Diverged("an image is read now that was not read then")
        if "source" not in row:
            raise ValueError(row.get("problem"))
        return dict(row["source"])

    def post(self, url: str, body: bytes, watch: Watch, settings: JSON) -> Reply:
        while self.rows and self.rows[0]["kind"] != "attempt":
            self.rows.popleft()  # what is not looked at any more
        attempt = self.take("attempt")
        if attempt is None:
            raise _Diverged("an attempt is made now that was not made then")
        sent = {"url": url, "body": load_json(body.decode("ascii"), 2 * MAX_DEPTH)}
        was = {name: attempt.get(name, sent[name]) for name in sent}
        self.unlike = self.unlike or difference(was, sent)
        row = self.take("response", "failure")
        if row is None:
            raise _Diverged("an answer is waited for now that did not come then")
        if row["kind"] == "failure":
            raise _recorded_error(row)
        return _RecordedReply(self, row, watch)


class _RecordedReply(Reply):
    """A reply that comes from a recording."""

    def __init__(self, recording: Recording, row: JSON, watch: Watch) -> None:
        self.status = row["status"]
        self.headers = row["headers"]
        self.arrived = row["at"]
        self.ended = False
        self._watch = watch
        self._recording = recording

    def read(self) -> bytes:
        if self.ended:
            return b""
        row = self._recording.take("chunk", "body_end", "failure")
        if row is None:
            raise _Diverged("the answer is read on now where it was not then")
        if row["kind"] == "failure":
            raise _recorded_error(row)
        self.ended = row["kind"] == "body_end"
        return bytes(row.get("data", b""))

    def close(self) -> None:
        pass


class _RecordedWatch(Watch):
    """A watch whose time limits, and whose end, are those of a recording."""

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self._recording = recording
        self._due = _NEVER

    def start(self, turn_timeout: float) -> None:
        self._due = self._recording.now + turn_timeout

    def finish(self) -> None:
        pass

    def arm(self, step: str, seconds: float) -> None:
        pass

    def resume(self) -> None:
        self.check()

    def renew(self) -> None:
        self.check()

    def check(self) -> None:
        row = self._recording.take("stop")
        if row is not None:
            raise _recorded_error(row)

    def sleep(self, seconds: float) -> None:
        self._recording.take("retry")
        self.check()

    @property
    def turn_remaining(self) -> float:
        rows = self._recording.rows
        was_retried = bool(rows) and rows[0]["kind"] == "retry"
        return _NEVER if was_retried else self._due - self._recording.now


def _read_rows(path: str) -> Iterator[JSON]:
    data, _ = read_file(path, MAX_CAPTURE_FILE)
    *lines, rest = data.split(b"\n")
    number, row = 0, {"kind": ""}
    for number, line in enumerate(lines, 1):
        try:
            row = load_json(line.decode("utf-8"), 2 * MAX_DEPTH)
            problem = _problem_of(row, number)
            if not problem and row["kind"] == "chunk":
                row["data"] = row["data"].encode("utf-8", "surrogateescape")
        except ValueError as error:
            problem = f"it cannot be read: {error}"
        if problem:
            raise ValueError("line %d: %s" % (number, problem))
        yield row
    if row["kind"] != "end":
        text = "line %d: the capture stops here, before the turn's end"
        raise ValueError(text % (number + bool(rest)))


def _problem_of(row: Any, number: int) -> str:
    """What is wrong with a row of a capture, "" if nothing is."""
    at = row.get("t", -1) if isinstance(row, dict) else -1
    if not (_is_number(at) and 0 <= at <= _LATEST):
        return "it is no row of a capture"
    kind = row.get("kind")
    fields = _ROWS.get(kind) if isinstance(kind, str) else None
    if fields is None or (kind == "turn") is not (number == 1):
        return f"a row of kind {plain_text(str(kind), 40)} cannot stand here"
    if kind == "turn" and row.get("capture") != CAPTURE_VERSION:
        return "this program reads version %d of the format" % CAPTURE_VERSION
    if kind == "full":
        return "the file reached its limit of %d MiB here" % (MAX_CAPTURE_FILE // MIB)
    wrong = [name for name, kinds in fields.items() if not _has(row, name, kinds)]
    return f"its {wrong[0]} is missing or wrong" if wrong else ""


def _recorded_error(row: JSON) -> Exception:
    if row["code"] == CANCELLED:
        return _Cancelled()
    text, hint = str(row.get("message")), str(row.get("hint", ""))
    known, told = SHAPES["error_object"], row.get("details", {})
    details = {n: told[n] for n in told if fits(told[n], known.get(n + "?", "null"))}
    return ProviderError(row["code"], text, hint, row.get("retryable"), **details)


def replay(recording: Recording, tell: Callable[[JSON], object]) -> str:
    """Run a captured turn again; `tell` takes its events.

    Returns how its outcome differs from what it was, "" if it is the same.
    """
    watch, event = _RecordedWatch(recording), {"type": "nothing"}
    try:
        for batch in _Turn(recording, recording.request, watch).batches():
            for event in map(redact_event, batch):
                tell(event)
    except _Diverged as error:
        return str(error)
    except OSError:  # of `tell`: in a replay there is nothing else outside
        raise
    except Exception as error:  # such as of a hint that names what nobody knows
        return f"the turn cannot be run again: {type(error).__name__}"
    unlike = recording.unlike, difference(_timeless(recording.then), _timeless(event))
    return "; ".join(filter(None, unlike))


def _timeless(event: JSON) -> JSON:
    timing = event.get("timing")
    attempts = timing.get("attempts") if isinstance(timing, dict) else None
    return {**event, "timing": {"attempts": attempts}}


def difference(then: Any, now: Any) -> str:
    """The first place where two JSON values differ, masked keys aside, or ""."""
    path: list[str] = []
    while not _agree(then, now):
        if isinstance(then, list) and isinstance(now, list):
            then, now = dict(enumerate(then)), dict(enumerate(now))
        if not (isinstance(then, dict) and isinstance(now, dict)):
            break
        names = [n for n in {**then, **now} if not _agree(then.get(n), now.get(n))]
        if not names:
            break  # of their order, or an absent one that is null
        path.append(str(names[0]))
        then, now = then.get(names[0]), now.get(names[0])
    else:
        return ""
    was, now_is = (plain_text(dump_json(value), 60) for value in (then, now))
    return plain_text(".".join(path)) + f" was {was} and is {now_is}"


def _agree(then: Any, now: Any) -> bool:
    one, other = dump_json(then), dump_json(now)
    if one == other:
        return True
    for mask in re.finditer(_MASK, one):
        other = other[: mask.start()] + mask.group() + other[mask.end() :]
    return one == other


# ---------------------------------------------------------------------------
# Plugin loop: JSON lines in, JSON lines out
# ---------------------------------------------------------------------------


# --- what the plugin tells of itself


def manifest() -> JSON:
    """What the plugin is and can do, for `describe`, --manifest and manifest.json."""
    models = []
    for name, row in MODELS.items():
        family = FAMILIES[row["family"]]
        models.append(
            {
                "id": name,
                **{k: row[k] for k in ("context_window", "max_output_tokens", "input")},
                "thinking": "always" if family["always"] else "adaptive",
                "effort": list(EFFORTS) if family["effort"] else [],
                "prices": row["prices"],
                "retired": row["retired"],
            }
        )
    shown = ("type", "default", "help")
    options = [{"name": n, **{k: r[k] for k in shown}} for n, r in OPTIONS.items()]
    told = {
        "name": NAME,
        "version": __version__,
        "protocol": PROTOCOL,
        "kind": "provider",
        "executable": NAME + "-plugin",
        "activation": "lazy",
        "provider": {"models": list(MODELS)},
        "models": models,
        "config": options,
        "capabilities": "streaming thinking tools images cancel concurrency".split(),
    }
    return shaped(LOOSE_LINES[MANIFEST], told)


def schema() -> JSON:
    """JSON Schema (draft 2020-12) of all lines and of config.json, from the tables.

    It has the fields by their own names; that lines may spell them in other ways, it
    does not say.  What is sent may have further fields in a later version.
    """
    rows = {name: _kinds_schema(text, "oneOf") for name, text in UNIONS.items()}
    rows.update((name, _shape_schema(row)) for name, row in SHAPES.items())
    options = {name: _option_schema(row) for name, row in OPTIONS.items()}
    rows["config"] = {"type": "object", "properties": options}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{NAME}:{PROTOCOL}",
        "title": "Line",
        "description": f"A line between a host and {NAME} {__version__}",
        **_kinds_schema("host_line|plugin_line", "oneOf"),
        "$defs": {_title(n): {"title": _title(n), **row} for n, row in rows.items()},
    }


def _title(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _shape_schema(row: dict[str, str]) -> JSON:
    properties = {name.rstrip("?"): _kinds_schema(text) for name, text in row.items()}
    return {"type": "object", "properties": properties, "required": _required(row)}


def _kinds_schema(text: str, either: str = "anyOf") -> JSON:
    """The JSON Schema of the tables' notation."""
    literals = [kind[1:-1] for kind in text.split("|") if _is_literal(kind)]
    found = [_kind_schema(kind) for kind in text.split("|") if not _is_literal(kind)]
    if literals:
        words = {"enum": literals} if literals[1:] else {"const": literals[0]}
        found.append({"type": "string", **words})
    if all(list(schema) == ["type"] for schema in found) and found[1:]:
        return {"type": [schema["type"] for schema in found]}
    return {either: found} if found[1:] else found[0]


def _kind_schema(kind: str) -> JSON:
    if kind.endswith(_LIST):
        schema = {"type": "array", "items": _kind_schema(kind.rstrip("[]+"))}
        return {**schema, "minItems": 1} if kind[-1] == "+" else schema
    if kind in SHAPES or kind in UNIONS:
        return {"$ref": "#/$defs/" + _title(kind)}
    return KINDS[kind][2]


def _option_schema(row: JSON) -> JSON:
    """A setting of config.json; null, and "" for a string, stand for the default."""
    limits = {"minimum": row["low"], "maximum": row["high"]}
    schema = {"type": [row["type"], "null"], "default": row["default"]}
    schema.update((k, v) for k, v in limits.items() if v is not None)
    if row["choices"]:
        schema["enum"] = [*row["choices"], "", None]
    return {**schema, "description": row["help"]}


# --- the loop


class _Job:
    """A turn that was accepted."""

    def __init__(self, name: Any, request: JSON, is_named: bool) -> None:
        self.name = name
        self.request = request
        self.is_named = is_named  # by the host; others run one after another
        self.watch = Watch()

    def encode(self, events: Iterable[JSON]) -> bytes:
        """`events` as lines of the wire."""
        lines = []
        for event in events:
            # Of a large one no more copies are made than these two.
            lines.append(dump_json({"id": self.name, **event}).encode("ascii"))
            lines.append(b"\n")
        return b"".join(lines)


class PluginLoop:
    """Serve turns that come as lines and leave as lines.

    `read()` returns some bytes of input, b"" at its end; `write(data)` writes all of
    `data` or raises OSError; `run(request, watch)` yields the events of a turn in
    batches.  `limits` are settings: max_concurrent_turns, max_queued_turns,
    max_line_bytes.
    """

    def __init__(
        self,
        read: Callable[[], bytes],
        write: Callable[[bytes], None],
        run: Callable[[JSON, Watch], Iterable[list[JSON]]],
        limits: JSON,
    ) -> None:
        self._read = read
        self._write = write
        self._run = run
        self._limits = limits
        self._wire = threading.Lock()  # one batch of whole lines at a time
        self._state = threading.RLock()  # guards everything below
        self._changed = threading.Condition(self._state)
        self._ended = threading.Condition(self._state)
        self._endings: deque[str] = deque()  # why it is to end, in order
        self._jobs: dict[Any, _Job] = {}  # turns whose id is taken, by id
        self._waiting: deque[_Job] = deque()
        self._running: set[_Job] = set()
        self._named_turns = 0  # how many names turn-1, turn-2, ... were given
        self._answers: deque[tuple[bytes, _Job | None]] = deque()  # the reader's own
        self._unread = 0  # how many of them are not written yet
        self._input_ended = False
        self._stopping = False
        self._lost = False
        self._lines = 0  # lines that are not blank
        self._anonymous = True  # no line had an id
        self._failed = False  # something ended in an error

    # Life

    def start(self) -> None:
        for work in (self._read_lines, self._write_answers):
            _spawn(work)

    def serve(self) -> str:
        """Start, and return why it ended: "done", "terminated", "closed" (the host is
        gone) or "failed" (its lines cannot be written)."""
        self.start()
        return self.wait()

    def wait(self) -> str:
        ending = self._next_ending(None)
        if ending != "done":
            self._stop_turns()
        until = time.monotonic() + EXIT_SECONDS
        last: str | None = ending
        while last == "terminated":  # until all is told, or the host does not read
            last = self._next_ending(until - time.monotonic())
        return ending or ""

    def terminate(self) -> None:
        """End soon: cancel every turn."""
        self._end("terminated")

    def lose(self, ending: str = "closed") -> None:
        """Nothing can be written any more."""
        self._lost = True
        self._end(ending)

    def _end(self, ending: str) -> None:
        with self._ended:
            self._endings.append(ending)
            self._ended.notify()

    def _next_ending(self, seconds: float | None) -> str | None:
        with self._ended:
            self._ended.wait_for(lambda: self._endings, seconds)
            return self._endings.popleft() if self._endings else None

    @property
    def failed_alone(self) -> bool:
        """The input was one line, without an id, and it ended in an error."""
        return self._lines == 1 and self._anonymous and self._failed

    def _stop_turns(self) -> None:
        with self._state:
            self._stopping = True
            waiting, self._waiting = list(self._waiting), deque()
            running = list(self._running)
        for job in (*running, *waiting):
            job.watch.stop(_Cancelled())
        for job in waiting:
            self._end_unserved(job)
        self._end_if_done()

    def _end_if_done(self) -> None:
        with self._state:
            over = self._input_ended or self._stopping
            if over and not (self._jobs or self._running or self._unread):
                self._end("done")

    # Input

    def _read_lines(self) -> None:
        try:
            for number, line in enumerate(self._split(), 1):
                self._on_line(number, line)
        except Exception as error:
            internal_error(error)
        with self._state:
            self._input_ended = True
        self._end_if_done()

    def _split(self) -> Iterator[bytes | None]:
        """The lines of the input; None for one that is too long."""
        limit = self._limits["max_line_bytes"]
        pieces: list[bytes] = []
        size = 0
        while True:
            try:
                data = self._read()
            except MemoryError:  # what has come of the line is all that memory holds
                if not pieces:
                    raise
                pieces, size = [], limit + 1
                continue
            *ended, rest = data.split(b"\n") if data else [b"", b""]
            for piece in ended:
                size += len(piece)
                pieces.append(piece)
                if data or size:
                    yield None if size > limit else _join(pieces)
                pieces, size = [], 0
            if not data:
                return
            size += len(rest)
            if size <= limit:
                pieces.append(rest)
            else:
                pieces = []

    def _on_line(self, number: int, line: bytes | None) -> None:
        name = None
        try:
            if line is None:
                self._lines += 1
                limit = self._limits["max_line_bytes"]
                text = "the line is longer than %d bytes, or than memory" % limit
                raise ProviderError("line_too_long", text)
            if number == 1 and line.startswith(b"\xef\xbb\xbf"):
                line = line[3:]
            if not line.strip():
                return
            self._lines += 1
            message = _parse_line(line)
            name = next((v for k, v in message.items() if _fold(k) == "id"), None)
            self._anonymous = self._anonymous and name is None
            self._dispatch(message)
        except ProviderError as error:
            self._answer_error(error, number, name)
        except Exception as error:
            self._answer_error(internal_error(error), number, name)

    def _dispatch(self, message: JSON) -> None:
        known, _ = fold_keys(message, LINE_FIELDS)
        kind, name = known.get("type"), known.get("id")
        if kind is None and any(_fold(str(key)) == "messages" for key in message):
            kind = TURN
        handler = _LINES.get(kind) if isinstance(kind, str) else None
        if handler is None:
            _wrong("type", "must be one of " + ", ".join(_LINES))
        _must_be(HOST_LINES[str(kind)].get("id", "id|null"), name, "id")
        handler(self, name, message)

    def _on_turn(self, name: Any, request: JSON) -> None:
        with self._state:
            if name is not None and name in self._jobs:
                text = "the turn with this id has not ended yet"
                raise ProviderError("duplicate_id", text)
            own = self._new_name() if name is None else name
            request = {k: v for k, v in request.items() if _fold(k) != "id"}
            job = _Job(own, {"id": own, **request}, name is not None)
            refusal = None
            if self._stopping:
                refusal = ProviderError("shutting_down", "the process is ending")
            elif self._is_full() and not self._may_run(job):
                counts = len(self._running), len(self._waiting)
                text = "%d turns run and %d wait: no more can" % counts
                refusal = ProviderError("busy", text)
            else:
                self._waiting.append(job)
            self._jobs[job.name] = job
        if refusal is not None:
            self._refuse(job, refusal)
        self._start_turns()

    def _on_cancel(self, name: Any, _: JSON) -> None:
        with self._state:
            job = self._jobs.get(name)
            if job is None:
                return
            was_waiting = job in self._waiting
            if was_waiting:
                self._waiting.remove(job)
        job.watch.stop(_Cancelled())
        if was_waiting:
            self._end_unserved(job)

    def _on_ping(self, name: Any, _: JSON) -> None:
        self._answer_line(PONG, name, {})

    def _on_describe(self, name: Any, _: JSON) -> None:
        self._answer_line(MANIFEST, name, manifest())

    # Turns

    def _new_name(self) -> str:
        while True:
            self._named_turns += 1
            name = "turn-%d" % self._named_turns
            if name not in self._jobs:
                return name

    def _may_run(self, job: _Job) -> bool:
        if len(self._running) >= self._limits["max_concurrent_turns"]:
            return False
        return job.is_named or all(other.is_named for other in self._running)

    def _is_full(self) -> bool:
        return len(self._waiting) >= int(self._limits["max_queued_turns"])

    def _start_turns(self) -> None:
        """Start the waiting turns that may run now, in order."""
        starting = []
        with self._state:
            for job in list(self._waiting) if not self._stopping else ():
                if self._may_run(job):
                    self._waiting.remove(job)
                    self._running.add(job)
                    starting.append(job)
        for job in starting:
            try:
                _spawn(self._serve_turn, job)
            except ProviderError as error:
                with self._state:
                    self._running.discard(job)
                self._refuse(job, error)

    def _refuse(self, job: _Job, refusal: ProviderError) -> None:
        """Answer a turn that will not be served."""
        self._failed = True
        self._answer(job.encode([_unserved(refusal)]), job)

    def _serve_turn(self, job: _Job) -> None:
        ended = False
        try:
            for batch in self._run(job.request, job.watch):
                self._emit(job, batch)
                ended = batch[-1]["type"] in TERMINAL
        except Exception as error:
            failure = internal_error(error)
            if not ended:
                self._emit(job, [_unserved(failure)])
        with self._state:
            self._running.discard(job)
        self._start_turns()
        self._end_if_done()

    def _end_unserved(self, job: _Job) -> None:
        """Answer a turn that was cancelled before it began."""
        for batch in self._run(job.request, job.watch):
            self._answer(job.encode(batch), job)

    # Output

    def _emit(self, job: _Job, batch: list[JSON]) -> None:
        """Write a turn's events; its id is free as soon as the last one is out."""
        data = job.encode(batch)
        is_last = batch[-1]["type"] in TERMINAL
        with self._wire:
            if is_last:
                self._failed = self._failed or batch[-1]["type"] == ERROR
                self._free(job)
            self._put(data)

    def _free(self, job: _Job) -> None:
        with self._state:
            self._jobs.pop(job.name, None)

    def _put(self, data: bytes) -> None:
        if self._lost:
            return
        try:
            self._write(data)
        except OSError as error:
            gone = isinstance(error, (BrokenPipeError, ConnectionResetError))
            if not gone:
                log(f"stdout cannot be written: {error.strerror}")
            self.lose("closed" if gone else "failed")

    def _answer_line(self, kind: str, name: Any, fields: JSON) -> None:
        """Answer with a line that belongs to no turn."""
        known = fields if name is None else {**fields, "id": name}
        line = {"type": kind, **shaped(LOOSE_LINES[kind], known)}
        self._answer(dump_json(line).encode("ascii") + b"\n")

    def _answer_error(self, error: ProviderError, number: int, name: Any) -> None:
        told = {"error": error.to_dict(), "line": number}
        if isinstance(name, (str, int, float)):
            told["ref_id"] = name
        self._failed = True
        self._answer_line(ERROR, None, SECRETS.value(told))

    def _answer(self, line: bytes, job: _Job | None = None) -> None:
        """Have a line written by another thread than the reader's.

        It is the end of `job`, or one that is dropped if too many wait already.
        """
        with self._changed:
            if job is None and self._unread >= MAX_UNREAD:
                return
            self._answers.append((line, job))
            self._unread += 1
            self._changed.notify()

    def _write_answers(self) -> None:
        while True:
            with self._changed:
                while not self._answers:
                    self._changed.wait()
                answers = list(self._answers)
                self._answers.clear()
            with self._wire:
                for _, job in answers:
                    if job is not None:
                        self._free(job)
                self._put(b"".join(line for line, _ in answers))
            with self._state:
                self._unread -= len(answers)
            self._end_if_done()


_LINES: dict[str, Callable[[PluginLoop, Any, JSON], None]] = {
    TURN: PluginLoop._on_turn,
    CANCEL: PluginLoop._on_cancel,
    PING: PluginLoop._on_ping,
    DESCRIBE: PluginLoop._on_describe,
}


def _join(pieces: list[bytes]) -> bytes | None:
    try:
        return b"".join(pieces)
    except MemoryError:
        return None


def _unserved(failure: ProviderError) -> JSON:
    """The end of a turn of which no attempt was made."""
    timing = {"first_event_ms": None, "total_ms": 0, "attempts": 0}
    rest = {"model": None, "usage": None, "partial": None, "timing": timing}
    return turn_line(ERROR, {"error": failure.to_dict(), **rest})


def _parse_line(line: bytes) -> JSON:
    try:
        message = load_json(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        text = "the line is not UTF-8: byte %d" % (error.start + 1)
        raise ProviderError("invalid_json", text) from None
    except ValueError as error:
        text = f"the line is not JSON: {error}"
        raise ProviderError("invalid_json", text) from None
    if not isinstance(message, dict):
        raise ProviderError("invalid_request", "the line is not a JSON object")
    return message


# ---------------------------------------------------------------------------
# The process: descriptors and signals
# ---------------------------------------------------------------------------

EXIT_OK, EXIT_ERROR, EXIT_USAGE, EXIT_FATAL = 0, 1, 2, 3
EXIT_INTERRUPTED, EXIT_CLOSED = 130, 141  # as a shell tells of SIGINT and of SIGPIPE


def _wait_for(fd: int, reading: bool) -> None:
    """Wait until a descriptor that somebody made non-blocking is ready."""
    import select

    if not hasattr(select, "poll"):
        time.sleep(0.01)
        return
    poll = select.poll()
    poll.register(fd, select.POLLIN if reading else select.POLLOUT)
    poll.poll()


def read_fd(fd: int) -> bytes:
    """Some bytes of `fd`, b"" at its end.  (A thread parked in sys.stdin.buffer would
    abort the interpreter at its exit.)"""
    while True:
        try:
            return os.read(fd, _READ_SIZE)
        except BlockingIOError:
            _wait_for(fd, reading=True)
        except OSError as error:
            log(f"stdin cannot be read: {error.strerror}")
            return b""


def write_fd(fd: int, data: bytes) -> None:
    """Write all of `data` to `fd`; raises OSError."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            _wait_for(fd, reading=False)


def watch_process(wire: int, signals: int, loop: PluginLoop) -> None:
    """Tell `loop` when the reader of `wire` goes away, where the system can tell, and
    of SIGTERM, a byte in `signals`; the second one ends the process at once."""
    import select

    if not hasattr(select, "poll"):
        os.read(signals, 1)
        loop.terminate()
        return
    poll = select.poll()
    poll.register(wire, 0)
    poll.register(signals, select.POLLIN)
    terminated = False
    while True:
        for fd, happened in poll.poll():
            if fd == signals:
                os.read(signals, 1)
                if terminated:
                    os._exit(EXIT_OK)
                terminated = True
                loop.terminate()
            else:
                poll.unregister(wire)
                if not happened & select.POLLNVAL:
                    loop.lose()


def private_stdout() -> int:
    """A descriptor for the wire alone: what anybody prints goes to stderr.

    Standard descriptors that are closed are opened on the null device first, so that
    no socket takes their numbers.  Raises OSError if stdout was closed.
    """
    closed = []
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            closed.append(fd)
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    if 1 in closed:
        raise OSError("stdout is closed")
    wire = os.dup(1)
    os.dup2(2, 1)
    return wire


def ignore_warnings() -> None:
    """Show no Python warnings, whatever PYTHONWARNINGS says: it is not meant for us.

    requests warns of versions of urllib3 that it was not tried with.  In the process of
    another program the filters are that program's.
    """
    sys.warnoptions[:] = ["ignore"]  # read when `warnings` is imported, if it is
    if "warnings" in sys.modules:
        sys.modules["warnings"].simplefilter("ignore")


def _set_interpreter() -> None:
    """What suits a process that is all ours."""
    import gc

    ignore_warnings()
    # Next to nothing here is cyclic garbage, but by default collections interrupt the
    # import of requests and the first stream: a tenth of the time to a first event.
    gc.set_threshold(20000, 20, 20)
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(MAX_DIGITS)  # whatever the environment says


def _deliver_sigterm(loop: PluginLoop) -> int:
    """Have SIGTERM end `loop`; the descriptor for `watch_process` to learn of it."""
    import signal

    # A Python handler runs when the main thread comes to it, which may be never if the
    # signal came just before it began to wait; the byte in the pipe is always read.
    signals, wakeup = os.pipe()
    if hasattr(os, "set_blocking"):  # Windows has it since 3.12
        os.set_blocking(wakeup, False)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda *_: None)
    else:
        signal.signal(signal.SIGTERM, lambda *_: loop.terminate())
    return signals


def run_plugin(overrides: JSON | None = None) -> int:
    """Serve the host on stdin and stdout; returns the process's exit code.

    `overrides` are settings that win over file and environment.
    """
    import signal

    signal.signal(signal.SIGTERM, lambda *_: os._exit(EXIT_OK))  # nothing began yet
    try:
        wire = private_stdout()
    except OSError as error:
        log("nothing can be written: %s" % (error.strerror or error))
        return EXIT_FATAL
    _set_interpreter()
    provider = MiniMaxProvider.from_config(**(overrides or {}))
    try:
        limits = provider.limits()
    except ProviderError:
        limits = default_settings()  # each turn will say what is wrong
    loop = PluginLoop(
        lambda: read_fd(0), lambda data: write_fd(wire, data), provider.batches, limits
    )
    signals = _deliver_sigterm(loop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # stdin is no terminal
    try:
        loop.start()  # first, so that a line that is there has its answer soonest
        _spawn(watch_process, wire, signals, loop)
        outcome = loop.wait()
    except ProviderError as error:
        log(error.message)
        return EXIT_FATAL
    if outcome == "failed":
        return EXIT_FATAL
    return EXIT_ERROR if outcome == "done" and loop.failed_alone else EXIT_OK


# ---------------------------------------------------------------------------
# Command line
# ---------------------------------------------------------------------------

# --- a terminal, or what stands in for it

OK, PROBLEM, SKIPPED = "ok", "problem", "skipped"  # and WARNING
_STYLES = {"bold": "1", "dim": "2", SKIPPED: "2", PROBLEM: "31", OK: "32",
           WARNING: "33"}
# What commands a terminal, or turns around what it shows.
_CONTROLS = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]"
_PIECE = 800  # characters that fit the buffer of a stream, however they are encoded


def _escaped(text: str) -> str:
    """A model's text without what could command a terminal."""
    text = text.replace("\r\n", "\n")
    return re.sub(_CONTROLS, _code_of, text)


def _code_of(found: Any) -> str:
    number = ord(found.group())
    return ("\\x%02x" if number < 256 else "\\u%04x") % number


class Terminal:
    """A standard stream as commands write to it: colour and width, if it has them."""

    def __init__(self, stream: Any) -> None:
        import shutil

        self._stream = stream  # None if it was closed at the start
        self.is_terminal = bool(stream and stream.isatty())
        self.can_erase = self.is_terminal and os.environ.get("TERM", "dumb") != "dumb"
        self.has_color = self.can_erase and not os.environ.get("NO_COLOR")
        self.width = max(min(shutil.get_terminal_size().columns, 80), 40)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    def painted(self, text: str, style: str) -> str:
        code = _STYLES.get(style)
        return f"\x1b[{code}m{text}\x1b[0m" if self.has_color and code else text

    def write(self, text: str) -> None:
        try:
            for at in range(0, len(text) if self._stream else 0, _PIECE):
                self._put(text[at : at + _PIECE])
        except OSError:
            if self._stream is not sys.stderr:
                raise
            self._stream = None  # what is told aside is not worth the rest

    def _put(self, piece: str) -> None:
        """Write what fits the stream's buffer, where it waits if the descriptor is one
        that somebody made non-blocking."""
        import io

        if isinstance(getattr(self._stream, "buffer", None), io.RawIOBase):
            # python -u: such a stream drops what does not fit.
            text = piece.replace("\n", os.linesep)
            data = text.encode(self._stream.encoding, "backslashreplace")
            write_fd(self._stream.fileno(), data)
            return
        is_waiting = True
        try:
            self._stream.write(piece)
        except BlockingIOError:
            pass
        while is_waiting:
            try:
                self._stream.flush()
                is_waiting = False
            except BlockingIOError:
                _wait_for(self._stream.fileno(), reading=False)

    def line(self, text: str = "") -> None:
        self.write(text + "\n")

    def hang(self, text: str, indent: int) -> str:
        """`text` wrapped for a line that begins with `indent` other characters."""
        import textwrap

        width = self.width - indent
        lines = textwrap.wrap(
            text, width, break_long_words=False, break_on_hyphens=False
        )
        return ("\n" + " " * indent).join(lines)

    def advise(self, text: str, command: str) -> None:
        """Lines with a command that is whole in one of them: it is to be copied."""
        fits = len(text) + len(command) < self.width
        self.line(text + (" " if fits else "\n    ") + command)

    def note(self, head: str, text: str, style: str) -> None:
        """A line, or more, that says by its `head` what it is."""
        self.line(self.painted(head, style) + self.hang(text, len(head)))


_PYTHON_FILES = (".py", ".pyz", ".zip")


def _program_path() -> str:
    """The launcher or the file that was started."""
    path = sys.argv[0]
    known = os.path.basename(path) not in ("", "-", "-c")
    return path if known else "plexum_minimax_provider.py"


def _program() -> str:
    """What starts this program, to be typed again."""
    import shlex

    path = _program_path()
    return "python3 " * path.endswith(_PYTHON_FILES) + shlex.quote(path)


# The command that tells more of an error.
_LOOKS = {
    **dict.fromkeys(("auth", "permission", "insufficient_balance"), "check"),
    **dict.fromkeys(("config", "network", "timeout", "not_found"), "check"),
    **dict.fromkeys(("stream_cut", "protocol"), "check"),
    "quota_exhausted": "quota",
    "model_unavailable": "models --live",
}


def _tell_error(terminal: Terminal, error: JSON) -> None:
    """Code, message and hint, and where to go on."""
    terminal.note("error: ", "{code}: {message}".format(**error), PROBLEM)
    notes = [error["hint"]]
    if error.get("reset_at"):
        notes.append("The quota is renewed at {}.".format(_local(error["reset_at"])))
    if error.get("request_id"):
        notes.append("MiniMax knows the request as {}.".format(error["request_id"]))
    for note in notes:
        terminal.note("  ", note, "")
    look = _LOOKS.get(error["code"])
    if look:
        terminal.advise("  To find out more:", f"{_program()} {look}")


def _local(moment: str) -> str:
    """An ISO 8601 moment in local time, or as it is if it cannot be read."""
    from datetime import datetime

    iso = re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", moment.replace("Z", "+00:00"))
    try:
        return _when(datetime.fromisoformat(iso).timestamp())
    except (ValueError, OverflowError, OSError):
        return moment


def _when(moment: float) -> str:
    """A moment in seconds since the epoch: local time, and how far off it is."""
    minutes = int(max(moment - time.time(), 0) // 60)
    days, hours = minutes // 1440, minutes // 60 % 24
    parts = ((days, "d"), (hours, "h"), (0 if days else minutes % 60, "min"))
    span = " ".join("%d %s" % part for part in parts if part[0]) or "under a minute"
    shown = time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
    return f"{shown} (in {span})" if moment > time.time() else f"{shown} (now past)"


def _print_json(value: Any) -> int:
    Terminal(sys.stdout).line(json.dumps(value, indent=2))
    return EXIT_OK


def _overrides(options: Any) -> JSON:
    """The settings among the parsed options."""
    given = {name: getattr(options, name) for name, _ in _SETTINGS_FLAGS.values()}
    return {name: value for name, value in given.items() if value is not None}


def _provider(options: Any) -> MiniMaxProvider:
    """The provider of a command: set by its options, the environment and the file."""
    return MiniMaxProvider.from_config(**_overrides(options))


# --- demo

_DEMO_QUESTION = "What is the weather in Lisbon?"
_DEMO_CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
_DEMO_TOOL = {"name": "get_weather", "input_schema": _DEMO_CITY}
_DEMO_RESULT = "21 C, sunny, wind from the north-west"
_DEMO_TEXT = "It is 21 C and sunny in Lisbon, with a north-westerly wind."
_DEMO_ANSWER: list[JSON] = [{"type": "text", "text": _DEMO_TEXT}]
# What the loopback server sends, and is to be sent back.
_DEMO_CALL: list[JSON] = [
    {
        "type": "thinking",
        "thinking": "The user asks about the weather, so I call the tool.",
        "signature": "9f2c61d07ab84e35" * 4,
    },
    {"type": "text", "text": "Let me look that up."},
    {
        "type": "tool_use",
        "id": "call_demo_1",
        "name": "get_weather",
        "input": {"city": "Lisbon"},
    },
]


def _demo_frames(blocks: list[JSON], stop_reason: str) -> Iterator[bytes]:
    """A MiniMax stream, frame by frame."""

    def frame(kind: str, **fields: Any) -> bytes:
        data = dump_json({"type": kind, **fields})
        return (f"event: {kind}\ndata: {data}\n\n").encode("ascii")

    usage = {"input_tokens": 0, "output_tokens": 0}
    message = {"id": "demo", "role": "assistant", "content": [], "usage": usage}
    message["model"] = "MiniMax-M3"
    yield frame("message_start", message=message) + frame("ping")
    for index, block in enumerate(blocks):
        rows = [(k, *row) for k, row in _DELTAS.items() if row[1] in block]
        begun = {k: v for k, v in block.items() if k not in [row[2] for row in rows]}
        begun.update(_EMPTY[block["type"]])
        yield frame("content_block_start", index=index, content_block=begun)
        for kind, source, field, *_ in rows:
            whole = block[field]
            whole = whole if isinstance(whole, str) else json.dumps(whole)
            for piece in re.findall(".{1,12}", whole):
                delta = {"type": kind, source: piece}
                yield frame(_DELTA, index=index, delta=delta)
        yield frame("content_block_stop", index=index)
    usage = {"input_tokens": 236, "output_tokens": 39}
    yield frame("message_delta", delta={"stop_reason": stop_reason}, usage=usage)
    yield frame("message_stop")


class DemoServer:
    """A loopback server that speaks MiniMax's stream, for `demo`.

    It gives a tool call to a request without a tool result and an answer to one that
    returns the call unchanged, signature and all; anything else is a 400.
    """

    def __init__(self, pace: float) -> None:
        import socket

        self._pace = pace  # seconds between frames, for a person to see them come
        try:
            self._listener = socket.create_server(("127.0.0.1", 0))
        except OSError as error:
            text = f"no server can listen on 127.0.0.1: {error.strerror}"
            raise ProviderError("network", text, "The demo needs loopback.") from None
        self.base_url = (
            "http://127.0.0.1:%d/anthropic" % self._listener.getsockname()[1]
        )
        _spawn(self._accept)

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        try:
            while True:
                client, _ = self._listener.accept()
                with client, client.makefile("rwb") as file:
                    while self._serve(file):
                        pass
        except (OSError, ValueError):
            pass  # closed, by us or by the client

    def _serve(self, file: Any) -> bool:
        """Answer one request; whether there was one."""
        lines = list(iter(file.readline, b"\r\n")) if file.peek(1) else []
        if not lines:
            return False
        head = dict(line.decode("latin-1").lower().split(":", 1) for line in lines[1:])
        messages = json.loads(file.read(int(head["content-length"])))["messages"]
        is_first = len(messages) == 1
        if not is_first and messages[1] != {"role": "assistant", "content": _DEMO_CALL}:
            body = b'{"type":"error","error":{"message":"the demo was altered"}}'
            file.write(b"HTTP/1.1 400 Bad Request\r\n")
            file.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
            file.flush()
            return True
        file.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
        file.write(b"Transfer-Encoding: chunked\r\n\r\n")
        answer = (_DEMO_CALL, "tool_use") if is_first else (_DEMO_ANSWER, "end_turn")
        for frame in _demo_frames(*answer):
            file.write(b"%x\r\n%s\r\n" % (len(frame), frame))
            file.flush()
            time.sleep(self._pace)
        file.write(b"0\r\n\r\n")
        file.flush()
        return True


class _Talk:
    """A plugin loop of our own, and what a host does with it."""

    def __init__(self, provider: MiniMaxProvider) -> None:
        from queue import SimpleQueue

        self._input: Any = SimpleQueue()
        self._output: Any = SimpleQueue()
        read, write = self._input.get, self._output.put
        _spawn(PluginLoop(read, write, provider.batches, default_settings()).serve)

    def close(self) -> None:
        self._input.put(b"")  # the end

    def turn(self, request: JSON) -> Iterator[JSON]:
        self._input.put(dump_json(request).encode("ascii") + b"\n")
        event: JSON = {"type": ""}
        while event["type"] not in TERMINAL:
            for line in self._output.get().splitlines():
                event = load_json(line.decode("ascii"))
                yield event


def demo(pace: float, write: Callable[[str], object]) -> None:
    """Two turns through the whole plugin against a server of its own.

    Raises the ProviderError of a turn that failed.
    """
    # A proxy's loopback is not ours.
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1"
    write("No key and no network: a server on loopback speaks MiniMax's stream.\n\n")
    server = DemoServer(pace)
    provider = MiniMaxProvider(
        api_key="sk-api-demo", base_url=server.base_url, max_retries=0
    )
    talk = _Talk(provider)
    messages: list[JSON] = [{"role": "user", "content": _DEMO_QUESTION}]
    write(f"user      > {_DEMO_QUESTION}\n")
    count = 0
    for _ in range(2):
        for event in talk.turn({"messages": messages, "tools": [_DEMO_TOOL]}):
            count += 1
            write(_demo_text(event))
        if event["type"] == ERROR:
            raise ProviderError(**event["error"])
        messages.append(event["message"])
        if event["stop_reason"] == "tool_use":
            write(f"tool      > {_DEMO_RESULT}\n")
            call = event["message"]["content"][-1]["id"]
            result = {"tool_use_id": call, "content": _DEMO_RESULT}
            content = [{"type": "tool_result", **result}]
            messages.append({"role": "user", "content": content})
    talk.close()
    provider.close()
    server.close()
    text = "\nIt works: 2 turns, %d events, thinking and signature returned unchanged."
    write(text % count + "\n")


_LABELS = {
    "thinking": "thinking  > ",
    "text": "assistant > ",
    "tool_use": "tool call > ",
}


def _demo_text(event: JSON) -> str:
    """What the demo shows of an event."""
    kind = event["type"]
    if kind == BLOCK_START:
        block = event["block"]
        name = block["name"] + " " if block["type"] == "tool_use" else ""
        return f"{_LABELS[block['type']]}{name}"
    if kind == BLOCK_END:
        return "\n"
    return str(event.get("text") or event.get("json") or "")


def _run_demo(options: Any) -> int:
    demo(0.05, Terminal(sys.stdout).write)
    return EXIT_OK


# --- say: a turn, or a conversation


class _Counter:
    """Elapsed seconds at a terminal, for as long as there is nothing else to show."""

    _FRAMES = "|/-\\"
    _SECONDS = 0.25

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._shown = 0  # characters that are to be erased
        self.doing = "waiting"

    def start(self) -> None:
        self._ended = threading.Event()
        if self._terminal.can_erase:
            _spawn(self._run, self._ended, time.monotonic())

    def stop(self) -> None:
        with self._lock:
            self._ended.set()
            if self._shown:
                self._terminal.write("\r" + " " * self._shown + "\r")
            self._shown = 0

    def _run(self, ended: threading.Event, since: float) -> None:
        count = 0
        while not ended.wait(self._SECONDS):
            frame = self._FRAMES[count % len(self._FRAMES)]
            count += 1
            text = "%s %s %d s" % (frame, self.doing, time.monotonic() - since)
            with self._lock:
                if not ended.is_set():
                    self._shown = len(text)
                    self._terminal.write("\r" + self._terminal.painted(text, "dim"))


class _Screen:
    """A turn as a person reads it: the answer on stdout, the rest aside.

    Thinking is shown where stdout is a terminal; another program gets the text only.
    """

    _BAR = "| "  # marks thinking off, also without colour

    def __init__(self) -> None:
        self._out, self._err = Terminal(sys.stdout), Terminal(sys.stderr)
        self._counter = _Counter(self._err)
        self._in_line = False  # what was printed last has not ended its line
        self._block = ""  # the kind of the block under way, if it is shown
        self._any = False  # a block was shown
        self._began = 0.0
        self._first: float | None = None  # when the first delta came

    def turn(self, events: Iterable[JSON]) -> JSON:
        """Show `events` as they come; the last one."""
        event: JSON = {}
        self._any, self._first = False, None
        self._began = time.monotonic()
        self._counter.doing = "waiting"
        self._counter.start()
        try:
            for event in events:
                handler = _SHOWN.get(event["type"])
                if handler is not None:
                    handler(self, event)
        finally:
            self._counter.stop()
        return event

    def _print(self, text: str, style: str = "") -> None:
        """Write a piece of the answer."""
        if not text:
            return
        self._counter.stop()
        self._in_line = not text.endswith("\n")
        if self._out.is_terminal:
            text = _escaped(text)
        self._out.write(self._out.painted(text, style))

    def _end_line(self) -> None:
        self._counter.stop()
        if self._in_line:
            self._print("\n")

    def _on_block_start(self, event: JSON) -> None:
        kind = event["block"]["type"]
        shown = ("text", "thinking") if self._out.is_terminal else ("text",)
        self._block = kind if kind in shown else ""
        if kind not in shown:
            if kind != "text" and not self._in_line:
                self._counter.doing = "thinking" if kind == "thinking" else "writing"
            return
        if self._any and self._out.is_terminal:
            self._print("\n")
        self._any = True
        if kind == "thinking":
            self._print(self._BAR, "dim")

    def _on_delta(self, event: JSON) -> None:
        if self._first is None:
            self._first = time.monotonic()
        if self._block == "thinking":
            self._print(event["text"].replace("\n", "\n" + self._BAR), "dim")
        elif self._block:
            self._print(event["text"])

    def _on_block_end(self, event: JSON) -> None:
        self._end_line()
        block = event["block"]
        if block["type"] == "tool_use":
            given = event.get("input_json") or dump_json(block.get("input"))
            text = "tool call: {} {}".format(block.get("name") or "(no name)", given)
            aside = self._out if self._out.is_terminal else self._err
            aside.line(_escaped(text))

    def _on_warning(self, event: JSON) -> None:
        self._note("warning: ", event["text"])

    def _on_retry(self, event: JSON) -> None:
        text = "{error[code]}: {error[message]}; again in {delay:g} s (attempt "
        text += "{attempt} of {max_attempts})"
        self._note("retry: ", text.format(**event))
        self._counter.start()

    def _note(self, head: str, text: str) -> None:
        self._end_line()
        self._err.note(head, text, WARNING)

    def _on_error(self, event: JSON) -> None:
        self._end_line()
        _tell_error(self._err, event["error"])

    def _on_turn_end(self, event: JSON) -> None:
        self._counter.stop()
        blocks = (event.get("message") or {}).get("content", ())
        is_mute = all(block["type"] == "thinking" for block in blocks)
        note = _STOP_NOTES.get(event["stop_reason"], _MUTE if is_mute else "")
        if event["stop_reason"] == CANCELLED and self._err.is_terminal:
            self._err.line()  # ends the line of the ^C, too
            self._in_line = False
        self._end_line()
        if note:
            self._note("note: ", note)
        model = plain_text(event["model"] or "no model", 60)
        whole = [figure.replace(" ", "\0") for figure in self._figures(event)]
        line = self._err.hang(model + ": " + "; ".join(whole), 0).replace("\0", " ")
        self._err.line(self._err.painted(line, "dim"))

    def _figures(self, event: JSON) -> Iterator[str]:
        """Tokens, cost and speed, as far as they are known."""
        usage = {k: v for k, v in (event["usage"] or {}).items() if _is_number(v)}
        counts = [f"{usage[k]:,} {shown}" for k, shown in _COUNTED if usage.get(k)]
        yield ", ".join(counts) or "tokens not told"
        if event.get("cost_usd") is not None:
            yield _dollars(event["cost_usd"])
        if self._first is not None:
            yield "first token %.1f s" % (self._first - self._began)
            seconds = time.monotonic() - self._first
            if usage.get("output_tokens") and seconds > 0.001:
                yield "%.0f tokens/s" % (usage["output_tokens"] / seconds)


_SHOWN: dict[str, Callable[[_Screen, JSON], None]] = {
    BLOCK_START: _Screen._on_block_start,
    TEXT_DELTA: _Screen._on_delta,
    THINKING_DELTA: _Screen._on_delta,
    BLOCK_END: _Screen._on_block_end,
    WARNING: _Screen._on_warning,
    RETRY: _Screen._on_retry,
    ERROR: _Screen._on_error,
    TURN_END: _Screen._on_turn_end,
}
_COUNTED = (
    ("input_tokens", "in"),
    ("cache_read_input_tokens", "cached"),
    ("cache_creation_input_tokens", "written to cache"),
    ("output_tokens", "out"),
)
_MUTE = "the model answered without a text: ask again, or in other words"
_STOP_NOTES = {
    "max_tokens": "the answer was cut at max_tokens: raise --max-tokens",
    "refusal": "the model refused to answer",
    CANCELLED: "cancelled",
}


def _dollars(cost: float) -> str:
    digits = 2 if cost >= 1 else 4 if cost >= 0.01 else 6
    return "$%.*f" % (digits, cost)


class _Interrupt:
    """While it is entered, Ctrl-C sets `cancel`, and a second one ends the program."""

    def __init__(self) -> None:
        self.cancel = threading.Event()

    def __enter__(self) -> threading.Event:
        import signal

        self._before = signal.getsignal(signal.SIGINT)
        if self._before != signal.SIG_IGN:  # as it is for a job in the background
            signal.signal(signal.SIGINT, self._on_signal)
        return self.cancel

    def __exit__(self, *_: Any) -> None:
        import signal

        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _on_signal(self, *_: Any) -> None:
        if self.cancel.is_set():
            raise KeyboardInterrupt
        self.cancel.set()


_STDIN_SECONDS = 1.0  # before it is told that stdin is waited for


def _read_stdin() -> str:
    """What is piped in, "" at a terminal or where stdin is closed."""
    import select

    if sys.stdin is None or _stdin_is_terminal():
        return ""
    if os.name == "posix" and not select.select([0], [], [], _STDIN_SECONDS)[0]:
        text = "reading stdin first (if nothing is to come from there: </dev/null)"
        Terminal(sys.stderr).line(text)
    pieces = list(iter(lambda: read_fd(0), b""))
    return b"".join(pieces).decode("utf-8", "replace").strip("\r\n")


def _say(options: Any) -> int:
    given = " ".join(options.text)
    if not options.chat:
        given = "\n\n".join(part for part in (given, _read_stdin()) if part.strip())
        if not given and not options.image:
            text = "there is nothing to say: give a TEXT, pipe one in, or use --chat"
            return _usage_error(text)
    elif options.json:
        return _usage_error("--json goes with a single turn, not with --chat")
    names = ("model", "system", "max_tokens", "thinking", "effort")
    fields = {name: getattr(options, name) for name in names}
    with _provider(options) as provider:
        first: Any = given
        if options.image:
            first = [*map(_image_block, options.image), *_as_blocks(given)]
        if options.chat:
            return _chat(provider, fields, first)
        fields["messages"] = [{"role": "user", "content": first}]
        end = _say_turn(provider, fields, None if options.json else _Screen())
    cancelled = end.get("stop_reason") == CANCELLED
    return EXIT_INTERRUPTED if cancelled else _SAY_EXITS[end["type"]]


_SAY_EXITS = {TURN_END: EXIT_OK, ERROR: EXIT_ERROR}


def _image_block(path: str) -> JSON:
    try:
        return {"type": "image", "source": read_image_file(path)}
    except ValueError as error:
        raise ProviderError("invalid_request", f"--image {path}: {error}") from None


def _say_turn(provider: MiniMaxProvider, turn: JSON, screen: _Screen | None) -> JSON:
    """Run a turn, shown on `screen` or as JSON lines; its last event."""
    with _Interrupt() as cancel:
        events = provider.turn(turn, cancel)
        if screen is not None:
            return screen.turn(events)
        out = Terminal(sys.stdout)
        for event in events:
            out.line(dump_json(event))
        return event


def _chat(provider: MiniMaxProvider, fields: JSON, first: Any) -> int:
    """A conversation; 1 if its last turn failed."""
    screen = _Screen()
    messages: list[JSON] = []
    code = EXIT_OK
    for content in _prompts(first):
        messages.append({"role": "user", "content": content})
        end = _say_turn(provider, {**fields, "messages": messages}, screen)
        code = _SAY_EXITS[end["type"]]
        if end.get("message") is None:  # as if it had not been asked
            messages.pop()
        else:
            messages.append(end["message"])
    return code


def _prompts(first: Any) -> Iterator[Any]:
    """What the person says, until /quit or the end of input."""
    error, is_terminal = Terminal(sys.stderr), _stdin_is_terminal()
    is_edited = is_terminal and Terminal(sys.stdout).is_terminal
    ahead = bytearray()  # what was read past the line
    if is_terminal:
        error.line("/quit leaves, Ctrl-C stops an answer.")
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="replace")
    if first:
        yield first
    while sys.stdin is not None:
        try:
            if is_terminal and not is_edited:  # the prompt is no part of the answer
                error.write("> ")
            text = _read_edited() if is_edited else _read_line(ahead)
        except KeyboardInterrupt:
            if not is_terminal:
                raise
            error.line()
            continue
        if not text and is_terminal:
            error.line()
        if not text or text.strip() == "/quit":
            return
        if text.strip():
            yield text.strip()


def _read_line(ahead: bytearray) -> str:
    """A line with its end, "" at the end of input."""
    while b"\n" not in ahead:
        data = read_fd(0)
        if not data:
            break
        ahead += data
    size = ahead.find(b"\n") + 1 or len(ahead)
    line = ahead[:size].decode("utf-8", "replace")
    del ahead[:size]
    return line


def _read_edited() -> str:
    """The same, of a terminal."""
    try:
        import readline  # for input(): the line can be edited

        for setting in ("input-meta on", "output-meta on", "convert-meta off"):
            readline.parse_and_bind("set " + setting)  # as where the locale is not C
    except ImportError:
        pass
    try:
        return input("> ") + "\n"
    except EOFError:
        return ""


# --- models and quota


def _models_listed(provider: MiniMaxProvider, settings: JSON) -> list[str]:
    """The ids that the endpoint lists for the key."""
    url = base_of(settings) + MODELS_PATH
    ids: list[str] = []
    after = ""
    for _ in range(20):  # pages
        answer = provider.get(url + after, settings)
        rows = answer.get("data")
        rows = rows if isinstance(rows, list) else []
        ids += [str(row["id"]) for row in rows if isinstance(row, dict) and "id" in row]
        last = answer.get("last_id")
        if not rows or not answer.get("has_more") or not isinstance(last, str):
            break
        from urllib.parse import quote

        before, after = after, "?after_id=" + quote(last, safe="")
        if after == before:  # it knows no pages
            break
    return [plain_text(name, 100) for name in dict.fromkeys(ids)]


def _settings_with_key(provider: MiniMaxProvider) -> JSON:
    settings = provider.settings()
    if settings["api_key"]:
        return settings
    error = provider.no_key()
    raise ProviderError(error.code, error.message, error.hint.format())


def _models(options: Any) -> int:
    listed: list[str] | None = None
    if options.live:
        with _provider(options) as provider:
            listed = _models_listed(provider, _settings_with_key(provider))
    rows = manifest()["models"]
    for row in rows:
        row["status"] = MODELS[row["id"]]["status"]
        least, above = PRICES_ABOVE.get(row["id"], (None, None))
        row["prices_above"] = above and {"input_tokens": least, **above}
        if listed is not None:
            row["listed"] = row["id"] in listed
    others = [name for name in listed or () if name not in MODELS]
    if options.json:
        shown = {"models": rows}
        return _print_json(shown if listed is None else {**shown, "others": others})
    out = Terminal(sys.stdout)
    _print_table(out, _LIMIT_COLUMNS, [_limit_cells(row) for row in rows])
    out.line("\nUSD per million tokens:")
    columns, cells = _PRICE_COLUMNS, [c for row in rows for c in _price_cells(row)]
    if listed is not None:
        columns += ((8, "live"),)
        cells += [[name] + [""] * 4 + ["listed"] for name in others]
    _print_table(out, columns, cells)
    for note in _MODEL_NOTES:
        out.line("\n" + out.hang(note, 0))
    return EXIT_OK


_LIMIT_COLUMNS: tuple[tuple[int, str], ...] = (
    *((-22, "model"), (9, "context"), (7, "output")),
    *((-16, "input"), (-8, "thinking"), (-8, "status")),
)
_PRICE_COLUMNS: tuple[tuple[int, str], ...] = (
    (-22, "model"),
    *((8, name.replace("_", " ").replace("cache ", "")) for name in _PRICES),
)
_GONE_MODELS = [name for name, row in MODELS.items() if row["retired"]]
_MODEL_NOTES = (
    "Context counts input and output together. read and write: of the cache. "
    "Thinking is billed as output.",
    "Retired on {}: {}.".format(_GONE, ", ".join(_GONE_MODELS)),
    "With --effort {}: {}.".format(
        ", ".join(EFFORTS),
        ", ".join(n for n, row in MODELS.items() if FAMILIES[row["family"]]["effort"]),
    ),
)


def _limit_cells(row: JSON) -> list[str]:
    sizes = [f"{row[k]:,}" for k in ("context_window", "max_output_tokens")]
    thinking = "always" if row["thinking"] == "always" else "if asked"
    return [row["id"], *sizes, " ".join(row["input"]), thinking, row["status"]]


def _price_cells(row: JSON) -> Iterator[list[str]]:
    """The prices of a model, and those above a limit, if there is one."""

    def shown(prices: JSON) -> list[str]:
        return ["-" if prices[k] is None else "%g" % prices[k] for k in _PRICES]

    listed = {True: ["yes"], False: ["no"]}.get(row.get("listed", ""), [])
    yield [row["id"], *shown(row["prices"]), *listed]
    above = row["prices_above"]
    if above:
        yield ["  above {input_tokens:,} in".format(**above), *shown(above)]


def _print_table(out: Terminal, columns: Any, rows: Iterable[list[str]]) -> None:
    """Cells under their headings; a negative width is one to the left."""
    heading = out.painted(_table_line(columns, [name for _, name in columns]), "bold")
    out.line(heading)
    for row in rows:
        out.line(_table_line(columns, row))


def _table_line(columns: Any, cells: list[str]) -> str:
    shown = ["%*s" % (width, cell) for (width, _), cell in zip(columns, cells)]
    return "  ".join(shown).rstrip()


# Windows of a plan's quota: name, beginning of the fields, field of the reset.
_WINDOWS = (
    ("5 hours", "current_interval", "end_time"),
    ("week", "current_weekly", "weekly_end_time"),
)
_UNLIMITED = 3  # of the status


def quota_of(payload: JSON) -> list[JSON]:
    """The windows of a plan, from the answer of QUOTA_PATH in any of its shapes.

    Each is {model, window, percent_left, unlimited, resets_at (epoch seconds), count,
    total}, with None for what is not told.  What `count` counts is not documented.
    """
    data = payload.get("data")
    found = payload.get("model_remains")
    if found is None and isinstance(data, dict):
        found = data.get("model_remains")
    found = data if found is None else found
    rows = found if isinstance(found, list) else [found]
    return [
        window
        for row in rows
        if isinstance(row, dict)
        for window in (_window(row, *fields) for fields in _WINDOWS)
        if window is not None
    ]


def _window(row: JSON, name: str, field: str, reset: str) -> JSON | None:
    if not any(str(key).startswith(field) for key in row):
        return None
    percent = _figure(row.get(field + "_remaining_percent"))
    total = _figure(row.get(field + "_total_count")) or None
    reset_at = _figure(row.get(reset)) or None
    return {
        "model": plain_text(str(row.get("model_name") or "all models"), 60),
        "window": name,
        "percent_left": None if percent is None else min(max(percent, 0.0), 100.0),
        "unlimited": _figure(row.get(field + "_status")) == _UNLIMITED,
        # Milliseconds; a number so small that it must be seconds is taken for them.
        "resets_at": reset_at and reset_at / (1000 if reset_at > 1e11 else 1),
        "count": _figure(row.get(field + "_usage_count")) if total else None,
        "total": total,
    }


def _figure(value: Any) -> float | None:
    """The number in a field that may be a string, None if there is none."""
    found = re.match(r"\s*(\d{1,15}(\.\d+)?)\s*%?\s*$", str(value), re.ASCII)
    return float(found.group(1)) if found and not isinstance(value, bool) else None


def _quota_windows(provider: MiniMaxProvider, settings: JSON) -> list[JSON]:
    url = root_of(base_of(settings)) + QUOTA_PATH
    return quota_of(provider.get(url, settings))


def _quota_text(window: JSON) -> str:
    """What is left of a window, and until when."""
    parts = []
    if window["unlimited"]:
        parts.append("unlimited")
    elif window["percent_left"] is not None:
        parts.append("{percent_left:g} % left".format(**window))
    else:
        parts.append("not told")
    if window["total"] and window["count"] is not None:
        parts.append("count {count:g} of {total:g}".format(**window))
    if window["resets_at"]:
        try:
            parts.append("resets {}".format(_when(window["resets_at"])))
        except (ValueError, OverflowError, OSError):
            pass
    return ", ".join(parts)


def _quota(options: Any) -> int:
    with _provider(options) as provider:
        settings = _settings_with_key(provider)
        _, kind, wallet, _ = key_kind(settings["api_key"])
        try:
            windows = _quota_windows(provider, settings)
        except ProviderError as error:
            if kind != _PLAN:
                only = f"Only plans have a quota: a {kind} spends {wallet}."
                error.hint = f"{only} {error.hint}"
            raise
    if options.json:
        return _print_json({"key": kind, "quota": windows})
    out = Terminal(sys.stdout)
    if not windows:
        text = f"No plan quota is told for this key. A {kind} spends {wallet}."
        out.line(out.hang(text, 0))
    model = None
    for window in windows:
        if window["model"] != model:
            model = window["model"]
            out.line(out.painted(model, "bold"))
        full = int((_left(window) or 0) / 10)
        bar = "[%s%s]" % ("#" * full, "-" * (10 - full))
        head = "  %-9s" % window["window"]
        text = out.hang(_quota_text(window), len(head) + len(bar) + 1)
        out.line(head + out.painted(bar, _quota_status(window)) + " " + text)
    return EXIT_OK


def _left(window: JSON) -> float | None:
    """How much of a window is left, in percent, None if it is not told."""
    return 100.0 if window["unlimited"] else window["percent_left"]


def _quota_status(window: JSON) -> str:
    left = _left(window)
    if left is None or left >= _LOW_PERCENT:
        return OK
    return WARNING if left else PROBLEM


_LOW_PERCENT = 10  # of a quota: below it is worth a warning


# --- check: everything that can be known without spending a token


def _result(status: str, text: str, remedy: str = "", subject: str = "") -> JSON:
    return {"check": subject, "status": status, "text": text, "remedy": remedy}


class Checkup:
    """What `check` has found so far; the checks are functions of it."""

    def __init__(self, provider: MiniMaxProvider) -> None:
        self.provider = provider
        self.path = config_path(os.environ)
        self.settings = default_settings()
        self.origins: dict[str, str] = {}
        self.told: list[str] = []  # what reading the settings would have logged
        self.failed: set[str] = set()  # checks and settings that cannot be relied on
        self.listed: list[str] | None = None  # ids that the endpoint lists

    def run(self, offline: bool, tell: Callable[[str, JSON], None]) -> list[JSON]:
        """Do the checks in order; what has to wait for a failed one is skipped."""
        results: list[JSON] = []
        for name, (group, with_network, needs, check) in CHECKS.items():
            if with_network is offline:
                continue
            missing = [need for need in needs if need in self.failed]
            if missing:
                found = iter([_result(SKIPPED, "waits for " + ", ".join(missing))])
            else:
                found = check(self)
            for result in map(SECRETS.value, found):
                result["check"] = result["check"] or name
                if result["status"] in (PROBLEM, SKIPPED):
                    self.failed |= {name, result["check"]}
                results.append(result)
                tell(group, result)
        return results

    def file(self, **overrides: Any) -> ConfigFile:
        """The configuration, silent about what is told here."""
        file = ConfigFile(self.path, overrides=overrides)
        file.tell = self.told.append
        return file

    @property
    def base(self) -> str:
        return base_of(self.settings)

    def remedy(self, name: str, value: str) -> str:
        """How to give setting `name` the value, where it is set now."""
        origin = self.origins.get(name, self.path)
        if origin == self.path:
            return f'Set "{name}" to "{value}" in {origin}'
        return f"Set {origin} to {value}, or unset it and set {name} in {self.path}"

    def removal(self, name: str) -> str:
        """How to have setting `name` no longer set."""
        origin = self.origins.get(name, self.path)
        is_in_file = origin == self.path
        return f"remove {name} from {origin}" if is_in_file else f"unset {origin}"


def _inspect_python(c: Checkup) -> Iterator[JSON]:
    import platform

    yield _result(OK, f"{platform.python_version()} at {sys.executable}")
    where = os.path.abspath(__file__)
    yield _result(OK, f"{__version__} at {where}", subject="plugin")


def _inspect_requests(c: Checkup) -> Iterator[JSON]:
    try:
        import_requests()
    except ProviderError as error:
        yield _result(PROBLEM, error.message, error.hint)
        return
    for name, version in library_versions().items():
        yield _result(OK, str(version), subject=name)


def _inspect_config(c: Checkup) -> Iterator[JSON]:
    try:
        given, mode = c.file().parse()
    except ProviderError as error:
        hint = f"{error.hint} Correct it, or move it away and run install.sh for a "
        yield _result(PROBLEM, error.message, hint.lstrip() + "new one.")
        return
    if not mode:
        yield _result(OK, f"{c.path} is not there: environment and defaults count")
        return
    shown = "%s, mode %04o" % (c.path, mode & 0o7777)
    if mode & 0o077 and os.name == "posix" and "api_key" in given:
        text = shown + ": others can read the key in it"
        yield _result(WARNING, text, f"chmod 600 {c.path}")
    else:
        yield _result(OK, shown)
    for name in sorted(set(given) - set(OPTIONS)):
        near = _nearest(name, OPTIONS)
        remedy = f"Did you mean {near}?" if near else "Remove it."
        text = f"{plain_text(name, 40)} is no setting: it is ignored"
        yield _result(WARNING, text, remedy)


def _nearest(name: str, names: Iterable[str]) -> str:
    """Which of `names` was probably meant, "" if none is near."""
    import difflib

    by_lower = {known.lower(): known for known in names}
    near = difflib.get_close_matches(name.lower(), by_lower, 1, 0.6)
    return by_lower[near[0]] if near else ""


def _inspect_settings(c: Checkup) -> Iterator[JSON]:
    """Each setting as if it were the only one, so that all mistakes are found."""
    (given, _), defaults = c.file().parse(), {}
    for name in OPTIONS:
        others = {other: None for other in OPTIONS if not other.startswith(name)}
        file = c.file(**others)
        try:
            c.settings[name] = file.load(with_key=name == "api_key")[name]
        except ProviderError as error:
            hint = error.hint or ERRORS["config"][1]
            yield _result(PROBLEM, error.message, hint, name)
            continue
        c.origins.update(file.origins)
        where = file.origins.get(name)
        if where is None and name not in _VALUES:
            defaults[name] = c.settings[name]
            continue
        shown = "default" if where is None else where
        if where == c.path:
            shown = "config file"
        elif where is not None and given.get(name):
            shown += ", which wins over the config file"
        is_shared = any(text.startswith(f"{where} can be read") for text in c.told)
        if is_shared and where != c.path:
            remedy = f"chmod 600 {where}"
            yield _result(WARNING, "others can read its file", remedy, name)
        yield {**_VALUES.get(name, _show_value)(c, name, shown), "origin": shown}
    text = ", ".join(f"{name} {json.dumps(v)}" for name, v in defaults.items())
    yield {**_result(OK, text, subject="defaults"), "values": defaults}


def _show_value(c: Checkup, name: str, origin: str) -> JSON:
    value = c.settings[name]
    text = f"{json.dumps(value)} ({origin})"
    return {**_result(OK, text, subject=name), "value": value}


def _show_key(c: Checkup, name: str, origin: str) -> JSON:
    """The kind of the key and its length, never a character of it."""
    key = c.settings["api_key"]
    if not key:
        hint = c.provider.no_key().hint.format()
        return _result(PROBLEM, "is not set", hint, name)
    prefix, kind, _, _ = key_kind(key)
    text = "%s, %d characters (%s)" % (kind, len(key), origin)
    if prefix and len(key) >= 20:
        return _result(OK, text, subject=name)
    odd = "short" if prefix else "unlike any key of MiniMax's"
    remedy = "Copy it again, whole, if it is not accepted."
    return _result(WARNING, f"{text}: it is {odd}", remedy, name)


def _show_base_url(c: Checkup, name: str, origin: str) -> JSON:
    if not c.settings["base_url"]:
        return _result(OK, f"{c.base} (that of the region)", subject=name)
    region, wanted = HOSTS.get(host_of(c.base)), c.settings["region"]
    text = f"{c.base} ({origin})"
    if "region" in c.origins and region not in (None, wanted):
        text += f": a host of region {region}, which wins over region {wanted}"
        return _result(WARNING, text, "Remove the one that is wrong.", name)
    return _result(OK, text, subject=name)


# Settings that are always shown, and how.
_VALUES: dict[str, Callable[[Checkup, str, str], JSON]] = {
    "api_key": _show_key,
    "region": _show_value,
    "base_url": _show_base_url,
    "model": _show_value,
}


def _hop(c: Checkup) -> tuple[str, str, int]:
    """The proxy in effect or "", and the host and port that are connected to.

    Raises ValueError for a proxy that is no URL.
    """
    proxy = proxy_of(c.base)
    return (proxy, *host_and_port(proxy or c.base))


def _inspect_proxy(c: Checkup) -> Iterator[JSON]:
    used = [n for n in _ROUTE_VARIABLES if os.environ.get(n)]
    try:
        proxy, host, port = _hop(c)
    except ValueError:
        text = "the URL of the proxy is not valid"
        yield _result(PROBLEM, text, "Correct it in {}.".format(", ".join(used)))
        return
    told = ", ".join(used) or "the system's settings"
    if proxy:
        yield _result(OK, f"{host} port {port}, from {told}")
    else:
        yield _result(OK, f"none (set: {told})" if used else "none")


def _inspect_dns(c: Checkup) -> Iterator[JSON]:
    def look_up(watch: Watch, host: str, port: int) -> str:
        found = list(dict.fromkeys(row[4][0] for row in resolve(watch, host, port)))
        if found == [host]:
            return host + " is an address"
        more = " and %d more" % (len(found) - 3) if found[3:] else ""
        return "{} is {}{}".format(host, ", ".join(found[:3]), more)

    yield _step(c, look_up, "Check this machine's DNS and network")


def _inspect_tcp(c: Checkup) -> Iterator[JSON]:
    def connect(watch: Watch, host: str, port: int) -> str:
        dial(watch, host, port, ()).close()
        return "%s answers at port %d" % (host, port)

    yield _step(c, connect, "Check the firewall, which must let this out")


def _step(c: Checkup, work: Callable[[Watch, str, int], str], remedy: str) -> JSON:
    """A step of the way to the host, or to its proxy."""
    proxy, host, port = _hop(c)
    watch, begun = Watch(), time.monotonic()
    watch.host = host
    watch.start(2 * QUERY_SECONDS)
    watch.arm("tcp", min(c.settings["connect_timeout"], QUERY_SECONDS))
    try:
        text = work(watch, host, port)
        return _result(OK, "%s, %d ms" % (text, _ms(time.monotonic() - begun)))
    except ProviderError as error:
        remedy += "; if a proxy is needed here, set HTTPS_PROXY."
        if proxy:
            remedy = "This is the proxy, see above: correct its variable, or unset it."
        return _result(PROBLEM, error.message, remedy)
    finally:
        watch.finish()


def _inspect_tls(c: Checkup) -> Iterator[JSON]:
    """Any HTTP answer, to a question without the key, shows that the way is open."""
    watch, begun, status = Watch(), time.monotonic(), 200
    try:
        c.provider.get(c.base + MODELS_PATH, {**c.settings, "api_key": ""}, watch)
    except ProviderError as error:
        status = error.details.get("http_status", 0)
        if status == 407:  # of a proxy that is not tunnelled through
            yield _result(PROBLEM, error.message, LOGIN_HINT)
            return
        if not status and error.code in ("network", "timeout", "config", "stream_cut"):
            yield _result(PROBLEM, error.message, error.hint)
            return
    secure = tls_of(watch) or "certificate verified"
    shown = secure if c.base.startswith("https") else "plain http, on this machine"
    milliseconds = _ms(time.monotonic() - begun)
    yield _result(OK, "%s, answer after %d ms" % (shown, milliseconds))


def _inspect_key(c: Checkup) -> Iterator[JSON]:
    try:
        c.listed = _models_listed(c.provider, c.settings)
    except ProviderError as error:
        text = f"{error.code}: {error.message}"
        trouble = _KEY_TROUBLES.get(error.code)
        yield trouble(c, error) if trouble else _result(PROBLEM, text, error.hint)
        return
    region = HOSTS.get(host_of(c.base))
    where = host_of(c.base) + (f" (region {region})" if region else "")
    yield _result(OK, "accepted by %s, models listed: %d" % (where, len(c.listed)))


def _refused_key(c: Checkup, error: ProviderError) -> JSON:
    """The region that takes the key, if it is not the one that was asked.

    Only a host of MiniMax's is a reason to show the key to another of them.
    """
    asked = [host_of(c.base)]
    own = None if c.settings["base_url"] else c.settings["region"]
    region = HOSTS.get(asked[0], own)
    for other, base in REGIONS.items() if region else ():
        if other == region:
            continue
        settings = {**c.settings, "region": other, "base_url": ""}
        try:
            _models_listed(c.provider, settings)
        except ProviderError as problem:
            if problem.code == "auth":
                asked.append(host_of(base))
            continue
        text = f"{asked[0]} refuses the key: this key belongs to region {other}"
        remedy = c.remedy("region", other)
        if c.settings["base_url"]:
            remedy += ", and " + c.removal("base_url")
        return _result(PROBLEM, text, remedy + ".")
    text = "the key is refused by {}: {}".format(" and ".join(asked), error.message)
    where = c.origins.get("api_key", c.path)
    remedy = f"Copy the key again from the platform that issued it, to {where}."
    if not region:
        remedy += " If {} is not meant, {}.".format(asked[0], c.removal("base_url"))
    return _result(PROBLEM, text, remedy)


def _wrong_path(c: Checkup, error: ProviderError) -> JSON:
    """The form of the base URL, on the same host, that leads to the API."""
    root = root_of(c.base)
    forms = dict.fromkeys((root + "/anthropic", c.base + "/anthropic", root))
    for form in (form for form in forms if form != c.base):
        code = ""
        try:
            _models_listed(c.provider, {**c.settings, "base_url": form})
        except ProviderError as problem:
            code = problem.code
        if code not in ("not_found", "protocol", "rejected"):
            text = f"there is no API at {c.base}, but at {form}"
            return _result(PROBLEM, text, c.remedy("base_url", form) + ".")
    return _result(PROBLEM, error.message, error.hint)


_KEY_TROUBLES = {"auth": _refused_key, "not_found": _wrong_path}


def _inspect_plan(c: Checkup) -> Iterator[JSON]:
    prefix, kind, wallet, _ = key_kind(c.settings["api_key"])
    if kind == _PAYG:
        text = f"pay as you go: spends {wallet}, which only the platform's page shows"
        yield _result(OK, text)
        return
    try:
        windows = _quota_windows(c.provider, c.settings)
    except ProviderError as error:
        if kind == _PLAN:
            text = f"the quota cannot be read: {error.message}"
            yield _result(WARNING, text, "Look at the platform's page of your plan.")
        else:
            yield _result(OK, f"spends {wallet}")
        return
    yield _result(OK, "a plan" if windows else f"no quota told: spends {wallet}")
    for window in windows:
        text = "{model}, {window}: ".format(**window) + _quota_text(window)
        status = _quota_status(window)
        remedy = f"Wait for the reset, choose a bigger plan, or use a {_PAYG}."
        yield _result(status, text, "" if status == OK else remedy, "quota")


def _inspect_model(c: Checkup) -> Iterator[JSON]:
    name = canonical_model(c.settings["model"])
    facts, listed = MODELS.get(name), c.listed or []
    remedy = "{} (current: {}).".format(
        c.remedy("model", _CURRENT[0]), ", ".join(_CURRENT)
    )
    is_plan = key_kind(c.settings["api_key"])[1] == _PLAN
    if facts and facts["retired"]:
        text = "{} was retired on {}".format(name, facts["retired"])
        still = name in listed
        text += ", though the endpoint lists it" if still else ""
        yield _result(WARNING if still else PROBLEM, text, remedy)
    elif facts is None and name not in listed:
        near = _nearest(name, [*MODELS, *listed])
        known = "neither the table nor the endpoint knows"
        text = f"{known if listed else 'the table does not know'} {name}"
        hint = c.remedy("model", near) + ", if that was meant." if near else remedy
        yield _result(PROBLEM if listed else WARNING, text, hint)
    elif listed and name not in listed:
        text = f"the endpoint does not list {name} for this key"
        yield _result(WARNING, text, remedy)
    elif is_plan and name.endswith("-highspeed"):
        text = f"{name}: -highspeed models are not part of the base plans"
        yield _result(WARNING, text, remedy)
    else:
        status = facts["status"] if facts else "listed, but not in the table"
        yield _result(OK, f"{name}: {status}")


def _inspect_demo(c: Checkup) -> Iterator[JSON]:
    try:
        demo(0, lambda text: None)
    except ProviderError as error:
        remedy = f"See what {_program()} demo prints; is loopback firewalled?"
        text = "a turn failed without any network: " + error.message
        yield _result(PROBLEM, text, remedy)
        return
    yield _result(OK, "2 turns with a server of its own")


_ROUTE = ("config", "region", "base_url")
# Name, group, whether with a network only, without one only, or (None) always, what
# must not have failed before, and what yields the results.
CHECKS: dict[str, tuple[str, bool | None, tuple[str, ...], Any]] = {
    "python": ("this machine", None, (), _inspect_python),
    "requests": ("this machine", None, (), _inspect_requests),
    "demo": ("this machine", False, ("requests",), _inspect_demo),
    "config": ("settings", None, (), _inspect_config),
    "settings": ("settings", None, ("config",), _inspect_settings),
    "proxy": ("network", True, _ROUTE, _inspect_proxy),
    "dns": ("network", True, (*_ROUTE, "proxy"), _inspect_dns),
    "tcp": ("network", True, ("dns",), _inspect_tcp),
    "tls": ("network", True, ("requests", "tcp"), _inspect_tls),
    "key": ("key and plan", True, ("config", "api_key", "tls"), _inspect_key),
    "plan": ("key and plan", True, ("key",), _inspect_plan),
    "model used": ("key and plan", None, ("config", "model"), _inspect_model),
}


def _check(options: Any) -> int:
    out, counter = Terminal(sys.stdout), _Counter(Terminal(sys.stderr))
    groups: list[str] = []

    def tell(group: str, result: JSON) -> None:
        if options.json:
            return
        counter.stop()
        if group not in groups:
            out.line(out.painted(group, "bold"))
            groups.append(group)
        _tell_result(out, result)
        counter.start()

    try:
        with _provider(options) as provider:
            results = Checkup(provider).run(options.offline, tell)
    finally:
        counter.stop()
    counts = {s: sum(r["status"] == s for r in results) for s in (PROBLEM, WARNING)}
    code = EXIT_ERROR if counts[PROBLEM] else EXIT_OK
    if options.json:
        _print_json({"ok": code == EXIT_OK, **counts, "checks": results})
        return code
    texts = [f"{n or 'no'} {s}{'' if n == 1 else 's'}" for s, n in counts.items()]
    out.line("\n" + ", ".join(texts))
    return code


def _tell_result(out: Terminal, result: JSON) -> None:
    """A line of what was found, and one of what to do about it."""
    head, name = "  %-9s" % result["status"], "%-21s" % result["check"]
    indent = len(head) + len(name)
    text = name + out.hang(_escaped(result["text"]), indent)
    out.line(out.painted(head, result["status"]) + text)
    if result["remedy"]:
        remedy = out.hang(result["remedy"], indent + 3)
        out.line(" " * indent + "-> " + out.painted(remedy, "bold"))


# --- replay


def _run_replay(options: Any) -> int:
    out, err = Terminal(sys.stdout), Terminal(sys.stderr)
    try:
        recording = Recording(options.file, options.speed)
    except (OSError, ValueError) as error:
        said = plain_text(f"{options.file}: {_why(error)}")
        err.note("error: ", said, PROBLEM)
        return EXIT_USAGE
    told = "captured {at} by version {plugin}, Python {python}, {system}"
    head = {**dict.fromkeys(("at", "plugin", "python", "system")), **recording.head}
    if not options.json:
        out.line(plain_text(told.format(**head)))
    name = recording.request.get("id")

    def tell(event: JSON) -> None:
        if options.json:
            out.line(dump_json(event if name is None else {"id": name, **event}))
            return
        shown = {k: v for k, v in event.items() if k not in _UNSHOWN}
        error = event.get("error", {})
        shown.update((k, error[k]) for k in ("code", "message") if k in error)
        facts = plain_text(pairs(shown, _encode_row), 50)
        out.line(f"{recording.now:9.3f}  {event['type']:<14} {facts}".rstrip())

    unlike = replay(recording, tell)
    verdict = f"different: {unlike}" if unlike else "same: the outcome is that of then"
    (err if options.json else out).line(verdict)
    return EXIT_ERROR if unlike else EXIT_OK


# Of an event, what a line of a replay has no room for.
_UNSHOWN = ("type", "timing", "error", *CONTENT_FIELDS)


# --- the options, and what they start


def _speed(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1e6:
        raise ValueError
    return value


_EPILOG = """\
Without a command this is a gateway's plugin: JSON lines on stdin, events on
stdout.

  echo '{"model":"MiniMax-M3","messages":[{"role":"user","content":"hi"}]}' \\
    | MINIMAX_API_KEY=sk-... %s

settings, in %s:
%s

exit codes: 0 success; 1 the only turn, or the command, failed; 2 wrong command
line; 3 stdout not writable, or Python too old; 130 Ctrl-C; 141 its reader left
"""
_COMMAND_EPILOG = """\
example:
  %s

exit codes: 0 success; 1 %s;
2 wrong command line; 3 stdout not writable; 130 Ctrl-C; 141 its reader left
"""


def _settings_help() -> str:
    rows = []
    for name, row in OPTIONS.items():
        default = json.dumps(row["default"])
        also = "; {} wins over it".format(row["env"]) if row["env"] else ""
        text = "{} ({}{})".format(row["help"], default, also)
        rows.append("  %-22s%s" % (name, Terminal(None).hang(text, 24)))
    return "\n".join(rows)


def _parser() -> Any:
    import argparse

    name = os.path.basename(_program_path())
    start = "python3 " + name if name.endswith(_PYTHON_FILES) else name
    as_it_is = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog=name,
        description="Serve MiniMax models to a Plexum gateway.",
        epilog=_EPILOG % (start, config_path(os.environ), _settings_help()),
        formatter_class=as_it_is,
        allow_abbrev=False,
    )
    for flag, (_, shown) in _SAYS.items():
        parser.add_argument(flag, action="store_true", help=shown)
    for flag, (name, extra) in _SETTINGS_FLAGS.items():
        shown = f"{OPTIONS[name]['help']} (wins over {name})"
        parser.add_argument(flag, dest=name, help=shown, **extra)
    commands = parser.add_subparsers(dest="command", metavar="command")
    for command, (_, shown, arguments, example, failure) in COMMANDS.items():
        own = commands.add_parser(
            command,
            help=shown,
            description=shown[0].upper() + shown[1:] + ".",
            epilog=_COMMAND_EPILOG % (example.replace("%s", start), failure),
            formatter_class=as_it_is,
            allow_abbrev=False,
        )
        for names, options in arguments:
            own.add_argument(*names.split(), **options)
        for flag, (name, extra) in _SETTINGS_FLAGS.items():  # here too
            unseen = {"help": argparse.SUPPRESS, "default": argparse.SUPPRESS}
            own.add_argument(flag, dest=name, **{**extra, **unseen})
    return parser


def _usage_error(text: str) -> int:
    error = Terminal(sys.stderr)
    error.note("error: ", text, PROBLEM)
    error.advise("help:", f"{_program()} --help")
    return EXIT_USAGE


def _stdin_is_terminal() -> bool:
    try:
        return os.isatty(0)
    except OSError:  # it is closed
        return False


# Options that are settings, and win over file and environment.
_SETTINGS_FLAGS: dict[str, tuple[str, JSON]] = {
    "--capture": ("capture_dir", {"metavar": "DIR"}),
    "--log-level": ("log_level", {"choices": LEVELS}),
}
# Options that print one thing: what they print, and what --help says of them.
_SAYS: dict[str, tuple[Callable[[], str], str]] = {
    "--version": (
        lambda: f"{NAME} {__version__}",
        "print name and version and exit",
    ),
    "--manifest": (
        lambda: json.dumps(manifest(), indent=2),
        "print the manifest and exit",
    ),
    "--schema": (
        lambda: json.dumps(schema(), indent=2),
        "print the JSON Schema of all lines and exit",
    ),
}
_FLAG: JSON = {"action": "store_true"}
_JSON_FLAG = ("--json", {**_FLAG, "help": "print JSON, for scripts"})
_LIVE_FLAG = ("--live", {**_FLAG, "help": "also ask the endpoint which ones it lists"})
_OFFLINE_FLAG = (
    "--offline", {**_FLAG, "help": "only what needs no network, and a demo"}
)
_SAY_ARGUMENTS: tuple[tuple[str, JSON], ...] = (
    ("-m --model", {"help": "default: that of the config"}),
    ("--system", {"metavar": "TEXT", "help": "the system prompt"}),
    ("--max-tokens", {"type": int, "metavar": "N", "help": "limit of the answer"}),
    ("--thinking", {**_FLAG, "default": None, "help": "have the model think first"}),
    ("--no-thinking", {"action": "store_false", "dest": "thinking",
                       "help": "have it not think, where that can be had"}),
    ("--effort", {"choices": EFFORTS, "help": "how much to think: " + " ".join(EFFORTS),
                  "metavar": "E"}),
    ("--image", {"action": "append", "metavar": "FILE",
                 "help": "add a picture; may be given again"}),
    ("--chat", {**_FLAG, "help": "go on at a prompt; /quit leaves"}),
    ("--json", {**_FLAG, "help": "print the events as JSON lines, for scripts"}),
    ("text", {"nargs": "*", "metavar": "TEXT",
              "help": "what to say; what is piped in follows it"}),
)
# Commands: what runs with the parsed options and returns the exit code, what --help
# says, the arguments, an example, and what exit code 1 means.
COMMANDS: dict[str, tuple[Callable[[Any], int], str, Any, str, str]] = {
    "say": (
        _say, "have a turn, or a conversation, with a model", _SAY_ARGUMENTS,
        "git diff | %s say --thinking review this", "the turn failed",
    ),
    "check": (
        _check, "find out whether this works, and if not why; spends no token",
        (_OFFLINE_FLAG, _JSON_FLAG), "%s check", "there are problems",
    ),
    "models": (
        _models, "list the models with limits and prices",
        (_LIVE_FLAG, _JSON_FLAG), "%s models --live", "the endpoint could not be asked",
    ),
    "quota": (
        _quota, "show what is left of the plan",
        (_JSON_FLAG,), "%s quota", "it could not be asked for",
    ),
    "replay": (
        _run_replay,
        "run a captured turn again, without network, and compare its outcome",
        (
            ("file", {"metavar": "FILE", "help": "a file that --capture wrote"}),
            ("--speed", {"type": _speed, "metavar": "X",
                         "help": "wait as it was waited then, X times as fast"}),
            ("--json", {**_FLAG, "help": "print the wire's lines, for scripts"}),
        ),
        "%s replay turn.jsonl",
        "the outcome is different (2: FILE is no capture)",
    ),
    "demo": (
        _run_demo, "stream two turns from a built-in server: no key, no network",
        (), "%s demo", "a turn failed",
    ),
}


def _run_command(arguments: list[str]) -> int:
    if len(arguments) == 1 and arguments[0] in _SAYS:  # no need to import argparse
        print(_SAYS[arguments[0]][0]())
        return EXIT_OK
    options = _parser().parse_args(arguments)
    for flag, (say, _) in _SAYS.items():
        if getattr(options, flag[2:]):
            print(say())
            return EXIT_OK
    if options.command is None and not _stdin_is_terminal():
        _exit_with(run_plugin(_overrides(options)))
    if options.command is None:
        _parser().print_help()
        return EXIT_OK
    ignore_warnings()
    try:
        return COMMANDS[options.command][0](options)
    except ProviderError as error:
        _tell_error(Terminal(sys.stderr), redact_error(error).to_dict())
        return EXIT_ERROR


def _quietly(work: Callable[[], int]) -> int:
    """The exit code of `work`, also when it is interrupted or nobody reads on."""
    if sys.stdout is None:
        log("stdout is closed")
        return EXIT_FATAL
    try:
        try:
            return work()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for the flush at the exit
        if isinstance(error, BrokenPipeError):
            return EXIT_CLOSED
        log(f"stdout cannot be written: {error.strerror}")
        return EXIT_FATAL


def _exit_with(code: int) -> NoReturn:
    # Threads may be parked in system calls: nothing waits for them, nor for the
    # interpreter to take itself apart, a tenth of the time of --version.
    os._exit(code)


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` and return the exit code.

    Without `argv` it is that of the process, which ends.
    """
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments and not _stdin_is_terminal():
        _exit_with(run_plugin())
    code = _quietly(lambda: _run_command(arguments))
    if argv is None:
        _exit_with(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
