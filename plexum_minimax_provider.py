#!/usr/bin/env python3
"""Serve MiniMax models to a Plexum gateway, over JSON lines.

This file is the whole product: copy it anywhere that has Python 3.8 or newer and
``requests``.  The gateway (the *host*) starts it as a subprocess and writes one JSON
object per line to its stdin; one JSON object per line comes back on its stdout.

    host -> plugin   turn (a TurnRequest), cancel, ping, describe
    plugin -> host   (warning | retry | heartbeat)*
                     [ turn_start (block_start | *_delta | block_end | ...)* ]
                     (turn_end | error)
                     and, outside of turns: pong, manifest, error without id

Every turn ends in exactly one ``turn_end`` or ``error``.  Blocks are Messages API
blocks, verbatim in both directions, so that what MiniMax sent can go back to it
unchanged.  The README has the whole contract; ``--schema`` prints it as JSON Schema.

For a person at a terminal there are commands: say, check, models, quota, replay, demo.

As a library, stable for those who vendor the file: ``MiniMaxProvider``,
``ProviderError``, the events they yield, and the other names in ``__all__``.

    with MiniMaxProvider(api_key="...") as provider:
        for text in provider.text({"messages": [{"role": "user", "content": "hi"}]}):
            print(text, end="")

Licence: the same as Plexum's.  The file travels alone; keep this paragraph.
"""

# ruff: noqa: BLE001, PYI034, S110, SIM102, UP006, UP017, UP035, UP036
# A plugin outlives whatever fails in it, this one runs on Python 3.8, and its tables
# hold long texts.

from __future__ import annotations

import sys

if sys.version_info < (3, 8):
    if __name__ != "__main__":
        raise ImportError("plexum-minimax-provider needs Python 3.8 or newer")
    sys.stderr.write("plexum-minimax-provider needs Python 3.8 or newer.\n")
    raise SystemExit(3)
if __name__ == "__main__":
    # The script's own directory goes last, so that a stray json.py cannot shadow the
    # standard library.
    sys.path.append(sys.path.pop(0))

import json
import os
import re
import threading
import time
from collections import OrderedDict, deque, namedtuple

# Everything else is imported where it is first needed: `describe` and `--version`
# answer at once, and also where `requests` is missing.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import (
        Any,
        Callable,
        Dict,
        Generator,
        Iterable,
        Iterator,
        List,
        NoReturn,
    )

    JSON = Dict[str, Any]
    Warn = Callable[[str, str], None]
    Batch = List[JSON]

__version__ = "1.1.0"
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
# 2. Facts, errors, SSE, request and events do no I/O: no clock, no environment, no
#    files.  What they need of those comes as an argument.
# 3. Only the HTTP section touches `requests`, and it alone turns its exceptions into
#    ours.  It yields bytes and is unaware of events.
# 4. Only a capture writes files, and no failure of it reaches the turn.
# 5. Only the plugin loop reads input and writes the wire, through callables handed in;
#    only the process section knows which descriptors they are.
# 6. Only the command line reads argv, and only commands print.


# ---------------------------------------------------------------------------
# Facts: what is known, as rows
# ---------------------------------------------------------------------------

NAME = "plexum-minimax-provider"
PROTOCOL = 1
MIB = 1 << 20

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
# Paths below the base URL; the quota is below the host (users' reports, 2026-11).
MESSAGES_PATH, MODELS_PATH = "/v1/messages", "/v1/models"
QUOTA_PATH = "/v1/token_plan/remains"
# Response headers that identify a request; the first one present wins (2026-11).
REQUEST_ID_HEADERS = ("minimax-request-id", "trace-id", "request-id", "x-request-id")

# What the first characters of a key say about the wallet it spends.  A hint, never a
# reason to refuse: the server decides (token-plan FAQ, 2026-11).
PLAN_KEY, PAYG_KEY = "plan key (sk-cp-)", "pay-as-you-go key (sk-api-)"
# Prefix, kind, wallet, the kind that spends the other wallet.
KEY_KINDS = (
    ("sk-cp-", PLAN_KEY, "the quota of your Token, Coding or M Plan", PAYG_KEY),
    ("sk-api-", PAYG_KEY, "the balance of your account", PLAN_KEY),
    ("eyJ", "OAuth or older key (eyJ)", "the wallet it was issued for", PLAN_KEY),
    ("", "key of unknown kind", "the wallet it was issued for", PLAN_KEY),
)


def key_kind(key: str) -> tuple[str, str, str, str]:
    """The row of KEY_KINDS for `key`."""
    return next(row for row in KEY_KINDS if key.startswith(row[0]))


# How the models whose ids begin with `prefix` take thinking and effort: what is sent
# when a turn asks for thinking on or off (None: nothing), the id whose limits hold for
# ids outside the table, and the kinds of input.
Family = namedtuple(
    "Family", "prefix newest thinking_on thinking_off always_thinks has_effort input"
)
EFFORTS = ("low", "medium", "high", "xhigh", "max")
ADAPTIVE, DISABLED = {"type": "adaptive"}, {"type": "disabled"}
# The first prefix that fits decides.  M3.1 takes an effort, and one left out means max,
# about ten times the tokens of low: one is always sent.  (2026-11)
FAMILIES = (
    Family(
        *("minimax-m3.1", "MiniMax-M3.1-Flash", None, None, True, True),
        ["text", "image", "video"],
    ),
    Family(
        *("minimax-m3", "MiniMax-M3", ADAPTIVE, DISABLED, False, False),
        ["text", "image", "video"],
    ),
    Family("minimax-m2", "MiniMax-M2.7", None, None, True, False, ["text"]),
)


def family_of(id: str) -> Any:
    """The row of FAMILIES for `id`, None for an id of no known family."""
    return next((row for row in FAMILIES if id.lower().startswith(row.prefix)), None)


# Tokens of context (input and output together) and of output, kinds of input, USD per
# million tokens by PRICES (None: unknown), current, legacy or retired, and the day of
# retirement or None.
Model = namedtuple(
    "Model",
    "id family context_window max_output_tokens input prices status retired",
)
PRICES = ("input", "output", "cache_read", "cache_write")


def _model(id: str, context: int, output: int, prices: Any, status: str) -> Model:
    """A row of MODELS; `status` is a date if the model is or will be retired then."""
    family = family_of(id)
    ends = ("retired", status) if status[0].isdigit() else (status, None)
    costs = dict(zip(PRICES, prices or (None, None, None, None)))
    return Model(id, family, context, output, family.input, costs, *ends)


# Model and price pages, users' reports (2026-11).  Of M3's output 131,072 tokens are
# advised.
MODELS = {
    row[0]: _model(*row)
    for row in (
        ("MiniMax-M3.1-Flash", 10**6, 524288, (0.15, 0.6, 0.015, None), "current"),
        ("MiniMax-M3", 10**6, 524288, (0.3, 1.2, 0.06, None), "current"),
        ("MiniMax-M2.7", 204800, 131072, (0.3, 1.2, 0.06, 0.375), "2026-11-18"),
        (
            "MiniMax-M2.7-highspeed",
            204800,
            131072,
            (0.6, 2.4, 0.06, 0.375),
            "2026-11-18",
        ),
        ("MiniMax-M2.5", 204800, 131072, (0.3, 1.2, 0.03, 0.375), "2026-11-18"),
        ("MiniMax-M2.5-highspeed", 204800, 131072, None, "2026-11-18"),
        ("MiniMax-M2.1", 204800, 131072, (0.3, 1.2, 0.03, 0.375), "legacy"),
        ("MiniMax-M2.1-highspeed", 204800, 131072, None, "legacy"),
        ("MiniMax-M2", 204800, 128000, (0.3, 1.2, 0.03, 0.375), "legacy"),
    )
}
CURRENT_MODELS = [model.id for model in MODELS.values() if model.status == "current"]
# Prices of requests with more input tokens than the first number.
PRICES_ABOVE = {"MiniMax-M3": (512000, dict(zip(PRICES, (0.60, 2.40, 0.12, None))))}


def canonical_model(name: str) -> str:
    """The id to send for `name`: no `minimax/` prefix, the spelling of the table."""
    if name.lower().startswith("minimax/"):
        name = name[len("minimax/") :] or name
    return next((id for id in MODELS if id.lower() == name.lower()), name)


def model_facts(name: str) -> Any:
    """The model whose limits hold for `name`, None for an id of no known family.

    The form of the id decides, since servers decorate ids: `org/` before it, `-Preview`
    or `[1m]` after it (users' reports, 2026-11).
    """
    name = canonical_model(name)
    form = name.rpartition("/")[2].lower()
    family = family_of(form)
    return family and MODELS.get(name, MODELS[family.newest])


# The price that each count of `usage` is charged at.  As in the Messages API,
# input_tokens leaves the other two inputs out: one answer had 236 beside 38,308 cache
# reads.
CHARGES = {
    "input_tokens": "input",
    "cache_read_input_tokens": "cache_read",
    "cache_creation_input_tokens": "cache_write",
    "output_tokens": "output",
}


def cost_usd(model: str | None, usage: JSON, max_count: int = 10**12) -> float | None:
    """What `usage` costs at the prices of `model`, the one that answered, in USD.

    None if the model, a price that is needed or a count is unknown, or if there was
    no input at all.  A count above `max_count` is no count.  Rounded to 1e-9, which is
    exact for the prices of the table.
    """
    name = canonical_model(model or "")
    counts = {field: usage[field] for field in CHARGES if usage.get(field) is not None}
    if name not in MODELS or not {"input_tokens", "output_tokens"} <= set(counts):
        return None
    if not all(type(n) is int and 0 <= n <= max_count for n in counts.values()):
        return None
    context = sum(n for field, n in counts.items() if field != "output_tokens")
    least, above = PRICES_ABOVE.get(name, (context, {}))
    prices = above if context > least else MODELS[name].prices
    charged = [(n, prices[CHARGES[field]]) for field, n in counts.items() if n]
    if context == 0 or any(price is None for _, price in charged):
        return None
    micros: float = sum(n * (price or 0) for n, price in charged)
    return round(micros / 1e6, 9)


# Every error code of the contract and the one thing to do.  `explain()` fills the
# braces; nothing else is ever a template.
_HINTS = {
    "invalid_json": "Send one JSON object per line, UTF-8, ended by LF.",
    "invalid_request": "Correct the field that the message names.",
    "line_too_long": "Send less, or raise max_line_bytes in the config.",
    "duplicate_id": "Use an id again only after its turn has ended.",
    "busy": "Wait for a turn to end, or raise max_queued_turns.",
    "shutting_down": "Send the turn to a new process.",
    "config": "Correct the setting; the next turn reads it again.",
    "auth": "Wrong key or wrong region: {host} (region {region}) did not accept the "
    '{key_kind}. Run "{command} check", which finds out, or set region to '
    "{other_region} ({other_host}).",
    "permission": "{host} accepts the {key_kind} but does not let it use {model}: try "
    "another model ({models}).",
    "insufficient_balance": "The {key_kind} spends {wallet} at {host}, and it is "
    "empty: top it up, or use a {other_key_kind}, which spends another wallet.",
    "quota_exhausted": "The {key_kind} spends {wallet}, and its 5-hour or weekly "
    "window is used up: wait for the reset, or use a pay-as-you-go key (sk-api-). A "
    "quota of 0/0 means that the plan does not include {model}.",
    "model_unavailable": "{host} does not serve {model} to the {key_kind}: use "
    "{models}. Base plans do not include -highspeed models.",
    "not_found": "There is no Messages API at {url}: remove base_url to use that of "
    "the region, {base}.",
    "context_too_long": "Input and max_tokens together must fit the {context} tokens "
    "of {model}: compact the history, or lower max_tokens.",
    "content_filtered": "MiniMax's content filter stopped the input or the output: "
    "rephrase it.",
    "rejected": "{host} refused the request for {model}: correct what the message "
    "names. The same request gets the same answer.",
    "rate_limited": "{host} limits requests per account and minute: send fewer turns "
    "at a time (max_concurrent_turns).",
    "overloaded": "{host} is overloaded: try again in a minute.",
    "upstream": "{host} failed, not the request: try again later.",
    "network": "Check that this machine reaches {host}: DNS, firewall, "
    "proxy.{environment}",
    "timeout": "{host} was too slow for {model}: raise the limit that the message "
    "names, or check the network.{environment}",
    "stream_cut": "Something between here and {host} ended the answer early: try "
    "again; nothing of it was taken as complete.{environment}",
    "empty_response": "{host} sent an empty answer: try again.",
    "protocol": "{url} did not answer in the form of the Messages API: if that goes "
    "on, check base_url and what stands in between.{environment}",
    "internal": "This is a defect of the plugin: report its stderr.",
}
# These may succeed when the same turn is sent again.
_RETRYABLE = (
    *("busy", "shutting_down", "rate_limited", "overloaded", "upstream"),
    *("network", "timeout", "stream_cut", "empty_response", "protocol"),
)
ERRORS = {code: (code in _RETRYABLE, hint) for code, hint in _HINTS.items()}
# Hints for special cases of these codes, by the `advice` of an error.
ADVICE = {
    "auth_elsewhere": "{host} did not accept the {key_kind}: check base_url and the "
    "key.",
    "certificate": "Certificates are always verified: if a proxy or a private CA signs "
    "for {host}, name the file of its certificate in SSL_CERT_FILE.{environment}",
    "ca_file": "Let the variable name a file of PEM certificates, and restart the "
    "process.{environment}",
    "proxy": "Correct the variable, and restart the process.{environment}",
    "proxy_login": "Put the proxy's login into its variable: "
    "http://USER:PASSWORD@HOST:PORT.{environment}",
    "socks": "Install PySocks for this Python, or unset the variable.{environment}",
    "redirect": "Set base_url to the URL that answers without a redirect, or remove it "
    "to use that of the region, {base}.",
    "no_key": "Set MINIMAX_API_KEY, or run ./install.sh --api-key-stdin.",
    "query": "Check that this machine reaches {host}: DNS, firewall, "
    "proxy.{environment}",
}
# How many times slower than usual these are tried again (users' reports, 2026-11).
PACES = {"rate_limited": 4, "overloaded": 2}

# MiniMax's own codes (errorcode page and reports, 2026-11).
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
# HTTP statuses, where no code of MiniMax's decides; then their hundreds.  All others
# are the upstream's own failures.
HTTP_STATUSES = {
    401: "auth",
    402: "insufficient_balance",
    403: "permission",
    **dict.fromkeys((408, 409), "upstream"),
    429: "rate_limited",
    529: "overloaded",
}
HTTP_CLASSES = {1: "protocol", 2: "protocol", 3: "rejected", 4: "rejected"}
# Error types of both families, for errors in mid-stream, which have no status.
ERROR_TYPES = {
    **dict.fromkeys(("authentication_error", "authorized_error"), "auth"),
    "permission_error": "permission",
    "insufficient_balance_error": "insufficient_balance",
    "billing_error": "insufficient_balance",
    "rate_limit_error": "rate_limited",
    "overloaded_error": "overloaded",
    **dict.fromkeys(("api_error", "server_error", "timeout_error"), "upstream"),
    **dict.fromkeys(("not_found_error", "invalid_request_error"), "rejected"),
    **dict.fromkeys(("bad_request_error", "request_too_large"), "rejected"),
}
# 2013 has about 15 meanings, told apart by text only; so have errors without a code and
# with one of these statuses.  Each group needs one of its words in the text.
TELLING_STATUSES = (None, 400, 413, 422)
ERROR_TEXTS: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    ("context_too_long", (("context window", "maximum context length"),)),
    ("context_too_long", (("prompt is too long", "input length and `max_tokens`"),)),
    ("context_too_long", (("exceed context limit", "exceeds context limit"),)),
    ("context_too_long", (("上下文",), ("长度", "窗口", "超"))),
    ("context_too_long", (("输入",), ("过长",))),
    ("model_unavailable", (("unknown model", "not support model", "(0/0 used)"),)),
)

# The types of a turn's lines on the wire; those of other lines are the loop's own.
TURN_START, TURN_END, ERROR = "turn_start", "turn_end", "error"
BLOCK_START, BLOCK_END = "block_start", "block_end"
TEXT_DELTA, THINKING_DELTA, INPUT_DELTA = "text_delta", "thinking_delta", "input_delta"
WARNING, RETRY, HEARTBEAT = "warning", "retry", "heartbeat"
TERMINAL = (TURN_END, ERROR)
CANCELLED = "cancelled"  # the stop reason that is ours
WARNINGS = (
    *("unknown_field", "ignored_field", "system_role_moved", "max_tokens_lowered"),
    *("history_repaired", "image_replaced", "thinking_mapped", "effort_ignored"),
    *("retired_model", "model_differs", "thinking_used_all_tokens", "no_text"),
    *("no_tool_call", "tool_markup_in_text", "unknown_delta", "invalid_unicode"),
    "late_error",
)
# Texts that leak out of the model's own format (users' reports, 2026-11).
END_MARKER = "[e~["
TOOL_MARKUP = (
    *("<minimax:tool_call>", "</minimax:tool_call>", "]<]minimax[>["),
    *("[TOOL_CALL]", "[/TOOL_CALL]", "<invoke name="),
)

MAX_DEPTH = 500  # of nested JSON: well below every Python's recursion limit
MAX_UPSTREAM_DEPTH = 480  # so that an answer still fits into the next request
MAX_ERROR_BODY = 64 * 1024  # bytes: an error body that is longer says nothing more


# ---------------------------------------------------------------------------
# JSON, text and errors
# ---------------------------------------------------------------------------


def _finite(text: str) -> float:
    value = float(text)
    if not abs(value) < float("inf"):
        raise ValueError("a number is too large, or NaN")
    return value


def _exact_int(text: str, max_digits: int = 4300) -> int:
    """Parse an integer of up to as many digits as Python itself reads since 3.11."""
    if len(text.lstrip("-")) > max_digits:
        raise ValueError(f"an integer has more than {max_digits} digits")
    return int(text)


_NUMBERS: Any = {"parse_int": _exact_int, "parse_float": _finite}
_NUMBERS["parse_constant"] = _finite  # of NaN and Infinity
_STRICT, _LAX = (
    json.JSONDecoder(strict=strict, **_NUMBERS) for strict in (True, False)
)
# ASCII and compact; raises ValueError for what JSON has no form for.
dump_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def load_json(
    text: str, max_depth: int = MAX_DEPTH, control_characters: bool = False
) -> Any:
    """Parse one JSON value that every Python can also write again.

    Refuses NaN, infinities, integers of over 4,300 digits and nesting of over
    `max_depth` levels; `control_characters` admits raw ones inside strings.  Raises
    ValueError, and nothing else, with a reason that quotes none of the text.
    """
    decoder: Any = _LAX if control_characters else _STRICT
    try:
        try:
            # decode() alone would look for white space first: as long as the parse.
            value, end = decoder.scan_once(text, 0)
        except StopIteration:
            end = -1
        if end != len(text):
            value = decoder.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise ValueError(f"{error.msg} at {where}character {error.colno}") from None
    except RecursionError:
        raise ValueError(f"nested deeper than {max_depth} levels") from None
    if len(text) > max_depth and text.count("[") + text.count("{") > max_depth:
        if _is_deep(value, max_depth):
            raise ValueError(f"nested deeper than {max_depth} levels")
    return value


def _is_deep(value: Any, max_depth: int) -> bool:
    level = [value]
    for _ in range(max_depth):
        containers = [v for v in level if isinstance(v, (dict, list))]
        inner = (v.values() if isinstance(v, dict) else v for v in containers)
        level = [child for children in inner for child in children]
    return any(isinstance(child, (dict, list)) for child in level)


def parsed(text: str) -> Any:
    """The JSON value that `text` is, None if it is none."""
    try:
        return load_json(text)
    except ValueError:
        return None


def map_strings(value: Any, function: Callable[[str], str]) -> Any:
    """`value` with `function` applied to all strings in it, keys of objects included.

    Objects and lists are copied, not changed.
    """
    top = [value]
    work: list[tuple[Any, Any]] = [(top, 0)]
    while work:  # and not by recursion: values may be as deep as Python allows
        parent, place = work.pop()
        value = parent[place]
        if isinstance(value, str):
            parent[place] = function(value)
        elif isinstance(value, dict):
            parent[place] = copy = {function(str(k)): v for k, v in value.items()}
            work += [(copy, name) for name in copy]
        elif isinstance(value, list):
            parent[place] = items = value[:]
            work += [(items, n) for n in range(len(items))]
    return top[0]


def well_formed(text: str, errors: str = "replace") -> str:
    """`text` with surrogate halves joined to pairs, and U+FFFD for those left alone.

    With `errors` "surrogatepass" those left alone stay.
    """
    try:
        text.encode("utf-8")
        return text
    except UnicodeEncodeError:
        data = text.encode("utf-16-le", "surrogatepass")
        return data.decode("utf-16-le", errors)


def printable(text: str, limit: int = 600) -> str:
    """`text` of unknown origin as one printable line of at most `limit` characters.

    Everything that is neither ours nor the model's content goes through here.
    """
    head = text[: 20 * limit]
    line = " ".join("".join(c if c.isprintable() else " " for c in head).split())
    return line if len(line) <= limit else line[:limit] + "..."


# --- types of fields and settings


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# What a value must be: the check, and the words for people.
TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "string": (lambda value: isinstance(value, str), "a string"),
    "integer": (_is_integer, "an integer"),
    "number": (lambda v: isinstance(v, float) or _is_integer(v), "a number"),
    "boolean": (lambda value: isinstance(value, bool), "true or false"),
    "object": (lambda value: isinstance(value, dict), "an object"),
    "list": (lambda value: isinstance(value, list), "a list"),
}


def describe_value(value: Any) -> str:
    """The type and length of a wrong value, for messages: never the value itself."""
    words = next((words for is_kind, words in TYPES.values() if is_kind(value)), "null")
    if isinstance(value, str):
        return f"{words} of {len(value)} characters"
    return f"{words} of {len(value)}" if isinstance(value, (dict, list)) else words


# --- errors


class ProviderError(Exception):
    """A turn, or a line, that failed.

    `code` is one of ERRORS; `message` says what happened, `hint` what to do.
    `details` may hold retry_after (seconds), reset_at (ISO 8601), http_status,
    provider_code and request_id.
    """

    def __init__(
        self,
        code: str,
        message: str,
        hint: str = "",
        retryable: bool | None = None,
        advice: str = "",
        cause: str = "",
        **details: Any,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.retryable = ERRORS[code][0] if retryable is None else retryable
        self.advice = advice  # the row of ADVICE, if not that of ERRORS
        self.cause = cause  # the exception underneath, for the log
        self.details = {k: v for k, v in details.items() if v is not None}

    def explain(self, facts: JSON) -> None:
        """Fill the hint in: `facts` are the words for the braces of ERRORS."""
        self.hint = self.hint or self._template().format_map(facts)

    def _template(self) -> str:
        return ADVICE.get(self.advice) or ERRORS[self.code][1]

    def to_dict(self) -> JSON:
        """The `error` object of the contract."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint or self._template(),
            "retryable": self.retryable,
            **self.details,
        }


class Cancelled(Exception):
    """The host, the caller or the end of the process ended this turn."""


def wrong_field(path: str, problem: str) -> NoReturn:
    raise ProviderError("invalid_request", f"{path} {problem}")


def warning(code: str, text: str) -> JSON:
    """The event of a warning."""
    return {"type": WARNING, "code": code, "text": printable(text)}


class Redactor:
    """Masks keys wherever eight or more of their characters stand in a row.

    It also masks them JSON-escaped, percent-encoded and in base64.  The work is linear
    in the text, whatever the number and the length of the keys.
    """

    SPAN, STEM, STRIDE = 8, 5, 4  # of any SPAN characters in a row, the STEM at a
    # multiple of STRIDE are whole
    MAX_CHARACTERS = 65536  # of the keys kept: a token renewed hourly must not add up

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._keys: list[str] = []  # the latest last
        self._size = 0  # characters in them
        self._spans: set[str] = set()
        self._stems: set[str] = set()
        self._short: set[str] = set()  # too short to be real: masked as a whole

    def add(self, key: str) -> None:
        """Mask `key` from now on; its public prefix stays readable."""
        if key in self._keys or len(key) < self.STRIDE:
            return
        if self._keys and self._size + len(key) > self.MAX_CHARACTERS:
            latest = self._keys[len(self._keys) // 2 + 1 :]
            self._forget()
            for kept in latest:
                self.add(kept)
        self._keys.append(key)
        self._size += len(key)
        secret = key[len(key_kind(key)[0]) :]
        if len(secret) < self.SPAN:
            self._short.add(key)
        for form in self._forms(secret):
            for start in range(len(form) - self.SPAN + 1):
                span = form[start : start + self.SPAN]
                self._spans.add(span)
                self._stems |= {span[i : i + self.STEM] for i in range(self.STRIDE)}

    @staticmethod
    def _forms(secret: str) -> set[str]:
        """`secret` as it may be echoed; of base64, for each place it may begin at."""
        from binascii import b2a_base64
        from urllib.parse import quote

        forms = {secret, dump_json(secret)[1:-1], quote(secret, safe="")}
        for lead in range(3):
            # The first and the last characters also hold bits of what stands around.
            data = b"\0" * lead + secret.encode("utf-8")
            text = b2a_base64(data, newline=False).decode("ascii")
            forms.add(text[(lead * 4 + 2) // 3 : len(text) - 4])
        return forms

    def text(self, text: str) -> str:
        """`text` with every trace of the keys replaced by asterisks."""
        for key in list(self._short):
            text = text.replace(key, "*" * len(key))
        stems, size = self._stems, self.STEM
        places = range(0, len(text), self.STRIDE)
        found = [at for at in places if text[at : at + size] in stems]
        masked = list(text) if found else []
        for at in found:
            for start in range(max(at - self.STRIDE + 1, 0), at + 1):
                if text[start : start + self.SPAN] in self._spans:
                    masked[start : start + self.SPAN] = "*" * self.SPAN
        return "".join(masked) if found else text

    def value(self, value: Any) -> Any:
        """`value` with all strings in it, keys of objects included, masked."""
        return map_strings(value, self.text)


# Every key this process uses: the one place that redacts.
SECRETS = Redactor()


def outgoing(event: JSON) -> JSON:
    """`event` as it may leave: valid Unicode, and no key outside the model's content."""
    kind = event["type"]
    if kind in (TEXT_DELTA, THINKING_DELTA):  # nearly all events, and nearly all ASCII
        text = event["text"]
        return event if text.isascii() else {**event, "text": well_formed(text)}
    if kind in (BLOCK_START, BLOCK_END, INPUT_DELTA):
        return dict(map_strings(event, well_formed))
    content = {name: event[name] for name in ("message", "partial") if name in event}
    masked = map_strings(
        {**event, **dict.fromkeys(content)},  # so that the order of the fields stays
        lambda text: SECRETS.text(well_formed(text)),
    )
    return {**masked, **map_strings(content, well_formed)}


def redacted(error: ProviderError) -> ProviderError:
    """`error` as it may leave: no key in what it says."""
    return ProviderError(**SECRETS.value(error.to_dict()))


# --- errors of the upstream


def is_error_payload(payload: Any) -> bool:
    """Whether an upstream's JSON is one of the known error envelopes."""
    if not isinstance(payload, dict):
        return False
    kind, base = str(payload.get("type")), payload.get("base_resp")
    is_refusal = isinstance(base, dict) and str(base.get("status_code", 0)) != "0"
    is_error = kind == "error" or kind.endswith("_error")
    return bool(payload.get("error")) or is_error or is_refusal


def upstream_error(payload: Any, status: int | None, text: str) -> ProviderError:
    """The error that an upstream reported: by MiniMax's code first, then the status.

    `payload` is the parsed body or None, `status` the HTTP status or None in
    mid-stream, `text` the body for people.
    """
    body = payload if isinstance(payload, dict) else {}
    inner, base = body.get("error", body), body.get("base_resp")
    inner = inner if isinstance(inner, dict) else {"message": inner}
    base = base if isinstance(base, dict) else {}
    texts = (inner.get("message"), base.get("status_msg"), body.get("message"))
    message = next((t for t in texts if isinstance(t, str) and t), text)
    message = printable(message[:MAX_ERROR_BODY], MAX_ERROR_BODY)
    number = _minimax_code(message, base.get("status_code"), inner.get("code"))
    if status is None:
        status = _number(inner.get("http_code"))
        status = status if status in range(400, 600) else None
    code = _error_code(number, status, body, message.lower())
    details: JSON = {"http_status": status, "provider_code": number}
    if isinstance(body.get("request_id"), str):
        details["request_id"] = printable(body["request_id"], 200)
    if code == "quota_exhausted":
        day, clock = r"\d{4}-\d\d-\d\d", r"\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?"
        moment = re.search(rf"{day}T{clock}(?:Z|[+-]\d\d:?\d\d)", message)
        details["reset_at"] = moment and moment.group()
    words = printable(message) or "no further text"
    words = words if status is None else f"HTTP {status}: {words}"
    return ProviderError(code, words, **details)


def _number(value: Any) -> int | None:
    return int(value) if re.match(r"\d{1,9}$", str(value), re.ASCII) else None


def _minimax_code(message: str, *fields: Any) -> int | None:
    """MiniMax's code: in a field, or the last one in parentheses, since counts of
    tokens stand in parentheses too."""
    numbers = [_number(value) for value in fields]
    numbers += [int(text) for text in reversed(re.findall(r"\((\d{4})\)", message))]
    return next((n for n in numbers if n in MINIMAX_CODES), None)


def _error_code(number: int | None, status: int | None, body: JSON, text: str) -> str:
    """The code by MiniMax's number, a telling text, the status, the error's type."""
    if number == 2013 or (number is None and status in TELLING_STATUSES):
        for code, groups in ERROR_TEXTS:
            if all(any(word in text for word in group) for group in groups):
                return code
    if number is not None:
        return MINIMAX_CODES[number]
    error = body.get("error", body)
    kind = str(error.get("type")) if isinstance(error, dict) else ""
    if status == 404 and not (is_error_payload(body) and kind):
        return "not_found"
    if status == 404:
        return "model_unavailable" if "model" in text else "rejected"
    if status is None:
        return ERROR_TYPES.get(kind, "upstream")
    return HTTP_STATUSES.get(status) or HTTP_CLASSES.get(status // 100, "upstream")


# ---------------------------------------------------------------------------
# SSE: bytes in, events out
# ---------------------------------------------------------------------------


# One event of a stream: its name ("message" by default) and its data.  `bare` is true
# for text that stands in no SSE field and opens with a brace: MiniMax was seen to send
# errors so.
ServerSentEvent = namedtuple("ServerSentEvent", "event data bare", defaults=(False,))


class SSEDecoder:
    """Incremental decoder of `text/event-stream` (WHATWG HTML, section 9.2.6).

    `feed(chunk)` takes bytes cut anywhere and returns the events they complete;
    `close()` returns what a body held that ended without its last blank line, which
    the specification would drop and MiniMax's servers need.  `id` and `retry` are
    ignored: nothing here reconnects.  Raises ValueError when an event exceeds
    `max_event_bytes`, and from then on.
    """

    # The default is eight times a whole maximal answer.
    def __init__(self, max_event_bytes: int = 16 * MIB) -> None:
        self._limit = max_event_bytes
        self._pieces: list[bytes] = []  # of the event that is not ended yet
        self._size = 0  # bytes in them
        self._one_line = True  # and no line of it has ended
        self._line_ended = True  # the last byte was LF
        self._after_cr = False  # the last byte was CR: an LF may be part of it
        self._first = True  # the stream may open with a byte order mark
        self._failed = False

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        if self._failed:
            raise self._too_large()
        if self._after_cr and chunk[:1] == b"\n":
            chunk = chunk[1:]
            self._after_cr = False
        if not chunk:
            return []
        self._after_cr = chunk[-1:] == b"\r"
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        end = chunk.rfind(b"\n\n") + 2
        if end < 2:
            end = int(self._line_ended and chunk[:1] == b"\n")
        if not end and self._is_bare_line(chunk):
            end = len(chunk)
        self._line_ended = chunk[-1:] == b"\n"
        events = self._take(chunk[:end]) if end else []
        rest = chunk[end:]
        if rest:
            self._pieces.append(rest)
            self._size += len(rest)
            self._one_line = self._one_line and b"\n" not in rest
        self._failed = self._failed or self._size > self._limit
        if self._failed and not events:
            raise self._too_large()
        return events

    def close(self) -> list[ServerSentEvent]:
        return self._take(b"\n\n")

    def _is_bare_line(self, chunk: bytes) -> bool:
        """Whether `chunk` ends a line of JSON that no blank line may ever follow."""
        opening = self._pieces[0] if self._pieces else chunk
        is_line = self._one_line and chunk.find(b"\n") == len(chunk) - 1
        return is_line and chunk[-2:] == b"}\n" and opening[:1] == b"{"

    def _too_large(self) -> ValueError:
        return ValueError(f"one event holds over {self._limit} bytes")

    def _take(self, last: bytes) -> list[ServerSentEvent]:
        """The events in what has come, of which `last` is the end."""
        data = b"".join([*self._pieces, last])
        self._pieces, self._size, self._one_line = [], 0, True
        if self._first:
            self._first = False
            data = data[3:] if data.startswith(b"\xef\xbb\xbf") else data
        events: list[ServerSentEvent] = []
        for frame in data.decode("utf-8", "replace").split("\n\n"):
            if len(frame) > self._limit:
                self._failed = True
                break
            if frame:
                self._read(frame, events)
        return events

    def _read(self, frame: str, events: list[ServerSentEvent]) -> None:
        """Read the lines of one event."""
        name = "message"
        data: list[str] = []
        bare: list[list[str]] = []
        is_open = False  # the last of them may go on
        for line in frame.split("\n"):
            field, _, value = line.partition(":")
            value = value[1:] if value[:1] == " " else value
            if field == "data":
                data.append(value)
            elif field == "event":
                name = value or "message"
            elif line.lstrip()[:1] == "{" and (line[0] == "{" or not is_open):
                bare.append([line])
                is_open = line.rstrip()[-1] != "}"
            elif is_open and line:
                bare[-1].append(line)  # of JSON on several lines
        for lines in bare:
            events.append(ServerSentEvent("message", "\n".join(lines), bare=True))
        if data:
            events.append(ServerSentEvent(name, "\n".join(data)))


# ---------------------------------------------------------------------------
# Request: TurnRequest -> body of POST /v1/messages
# ---------------------------------------------------------------------------

# Sent as given; those that MiniMax ignores (text-anthropic-api page, 2026-11).
_AS_GIVEN = {
    "temperature": "number",
    "top_p": "number",
    "top_k": "integer",
    "stop_sequences": "list",
    "metadata": "object",
    "service_tier": "string",
}
_IGNORED = ("top_k", "stop_sequences")
# Fields that have one type.
_FIELDS = {
    "model": "string",
    "max_tokens": "integer",
    "effort": "string",
    "tools": "list",
    "extra_body": "object",
    **_AS_GIVEN,
}
TURN_FIELDS = (
    *("type", "id", "messages", "system", "tool_choice", "thinking", "stream"),
    *_FIELDS,
)
MAX_BODY = 64 * MIB  # MiniMax refuses larger ones (2026-11)
MAX_IMAGE_BYTES = 10 * MIB  # likewise


def _is_absent(value: Any) -> bool:
    """Whether a field is not set: a Go host may send its zero values for that."""
    return value is None or value == "" or value == []


def _without_nulls(fields: JSON) -> JSON:
    return {key: value for key, value in fields.items() if value is not None}


def fold(key: str) -> str:
    """A name in the one spelling that all hosts' spellings share."""
    return key.replace("_", "").lower()


def fold_keys(
    line: JSON, fields: Iterable[str], path: str = ""
) -> tuple[JSON, list[str]]:
    """The known fields of `line` by their own names, and the paths of the others.

    MaxTokens, maxTokens and max_tokens are one field.  Two spellings with different
    values raise ProviderError.
    """
    names = {fold(field): field for field in fields}
    values: JSON = {}
    unknown = []
    for key, value in line.items():
        field = names.get(fold(str(key)))
        if field is None:
            unknown.append(path + str(key))
            continue
        first = values.setdefault(field, value)
        if type(first) is not type(value) or first != value:  # 1 equals true
            problem = "is given twice, in two spellings with two values"
            wrong_field(path + field, problem)
    return values, unknown


def require(kind: str, value: Any, path: str) -> None:
    """Raise ProviderError unless `value` is of a kind of TYPES."""
    is_kind, words = TYPES[kind]
    if not is_kind(value):
        wrong_field(path, f"must be {words}")


def no_images(path: str) -> JSON:
    """The reader of image files where there is none."""
    raise ValueError("image files are not read here")


class _Request:
    """A turn's fields, and what the parts of its translation share."""

    def __init__(self, turn: JSON, model: str, read: Callable[[str], JSON]) -> None:
        self.warnings: list[JSON] = []
        require("object", turn, "the turn")
        valid = map_strings(turn, well_formed)
        if valid != turn:
            text = "there was half of a surrogate pair in a text: U+FFFD is sent"
            self.warn("invalid_unicode", text)
        fields, self.unknown = fold_keys(valid, TURN_FIELDS)
        self.fields = {name: v for name, v in fields.items() if not _is_absent(v)}
        for name, kind in _FIELDS.items():
            if name in self.fields:
                require(kind, fields[name], name)
        self.model = canonical_model(self.fields.get("model", model))
        self.facts: Model | None = model_facts(self.model)
        self.read_image = read
        self.read_size = 0  # of all image files together, as they are sent

    def warn(self, code: str, text: str) -> None:
        self.warnings.append(warning(code, text))

    def repaired(self, path: str, text: str) -> None:
        self.warn("history_repaired", f"{path}: {text}")


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
    request = _Request(turn, model, read_image)
    messages, system = _messages(request)
    tools = _tools(request)
    body = {
        "model": request.model,
        "max_tokens": _max_tokens(max_tokens, request),
        "messages": messages,
        "system": system or None,
        "tools": tools or None,
        "tool_choice": _tool_choice(tools, request),
        **_as_given(request),
        **_thinking(effort, request),
        "stream": True,
    }
    body = {**_without_nulls(body), **_extra_body(request)}
    if request.unknown:
        text = "unknown and not sent: " + ", ".join(request.unknown)
        request.warn("unknown_field", text)
    facts = request.facts
    if facts and facts.retired and facts.id == request.model:
        text = f"{facts.id} was retired on {facts.retired}; use "
        request.warn("retired_model", text + " or ".join(CURRENT_MODELS))
    return body, request.warnings


def _max_tokens(default: int, request: _Request) -> int:
    """The limit of output tokens, which MiniMax refuses above the model's own."""
    wanted: int = request.fields.get("max_tokens") or default
    if wanted < 0:
        wrong_field("max_tokens", "must be an integer, 0 or above")
    limit: int = request.facts.max_output_tokens if request.facts else wanted
    if wanted > limit:
        number = wanted if wanted < 10**12 else "asked for"
        text = f"max_tokens {number} is above the limit of {request.model}, {limit}"
        request.warn("max_tokens_lowered", text)
    return min(wanted, limit)


def _as_given(request: _Request) -> JSON:
    """The fields that go upstream as they came."""
    fields = {k: v for k, v in request.fields.items() if k in _AS_GIVEN}
    if not all(isinstance(text, str) for text in fields.get("stop_sequences", ())):
        wrong_field("stop_sequences", "must be a list of strings")
    for name in _IGNORED:
        if name in fields:
            request.warn("ignored_field", f"{name} is sent, but MiniMax ignores it")
    return fields


def _extra_body(request: _Request) -> JSON:
    """Fields of the body that override ours, but for those all reading depends on."""
    extra: JSON = request.fields.get("extra_body", {})
    for key in extra:
        if str(key).lower() in ("messages", "stream"):
            wrong_field(f"extra_body.{key}", "cannot be set by extra_body")
    return extra


def _thinking(default_effort: str, request: _Request) -> JSON:
    """The `thinking` and `output_config` of the model's family."""
    wanted = request.fields.get("thinking")
    if isinstance(wanted, bool):
        wanted = ADAPTIVE if wanted else DISABLED
    if not isinstance(wanted, (dict, type(None))):
        wrong_field("thinking", "must be true, false or an object")
    effort = request.fields.get("effort", "").lower()
    if effort and effort not in EFFORTS:
        wrong_field("effort", "must be one of " + ", ".join(EFFORTS))
    family = request.facts and request.facts.family
    if family and wanted:
        if wanted.get("type") not in ("enabled", "adaptive", "disabled"):
            wrong_field("thinking.type", "must be enabled, adaptive or disabled")
        is_off = wanted["type"] == "disabled"
        if is_off and family.always_thinks:
            text = f"{request.model} always thinks; thinking stays on"
            request.warn("thinking_mapped", text)
        wanted = family.thinking_off if is_off else family.thinking_on
    if family and family.has_effort:
        effort = effort or default_effort
    elif family and effort:
        text = f"{request.model} does not support effort; ignored"
        request.warn("effort_ignored", text)
        effort = ""
    output = {"effort": effort} if effort else None
    return {"thinking": wanted or None, "output_config": output}


# --- tools


def _tools(request: _Request) -> list[JSON]:
    """The tools to send: all but those that another vendor's server runs."""
    sent: dict[str, JSON] = {}
    for n, tool in enumerate(request.fields.get("tools", ())):
        path = f"tools[{n}]"
        require("object", tool, path)
        # Anthropic's have a date at the end of their type: web_search_20250305.
        if re.search(r"[_-]\d{4}[-_]?\d\d[-_]?\d\d$", str(tool.get("type"))):
            text = f"{path} is a tool that another vendor's server runs; not sent"
            request.warn("ignored_field", text)
            continue
        tool = _tool(tool, path)
        name = tool.get("name")
        if not isinstance(name, str) or not name:
            wrong_field(path + ".name", "must be a non-empty string")
        if name in sent:
            wrong_field(path + ".name", "is also the name of an earlier tool")
        sent[name] = tool
    return list(sent.values())


def _tool(tool: JSON, path: str) -> JSON:
    """`tool` in the form of the Messages API, whichever API's form it has."""
    tool = _without_nulls(tool)
    names = ("input_schema", "inputSchema", "parameters")  # ours, MCP's, OpenAI's
    function = tool.pop("function", None)  # OpenAI's form may be mixed with another
    function = _without_nulls(function) if isinstance(function, dict) else {}
    schemas = [part[n] for part in (tool, function) for n in names if n in part] or [{}]
    schema = schemas[0]
    tool = {**function, **tool}
    if tool.get("type") in ("function", ""):
        del tool["type"]
    if any(other != schema for other in schemas):
        wrong_field(path, "has two schemas that differ")
    path += ".input_schema"
    require("object", schema, path)
    # MiniMax requires the schema of an object.
    schema = _without_nulls(schema) or {"type": "object", "properties": {}}
    if schema.setdefault("type", "object") != "object":
        wrong_field(path + ".type", 'must be "object"')
    tool = {key: value for key, value in tool.items() if key not in names[1:]}
    return {**tool, "input_schema": schema}


def _tool_choice(tools: list[JSON], request: _Request) -> JSON | None:
    """The choice in the form of the Messages API, None if its tool is not sent."""
    choice = request.fields.get("tool_choice")
    if choice is None:
        return None
    if isinstance(choice, str):
        if choice not in ("auto", "any", "none", "required"):
            wrong_field("tool_choice", "must be auto, any, none or an object")
        choice = {"type": choice}
    require("object", choice, "tool_choice")
    choice = _without_nulls(choice)
    require("string", choice.get("type"), "tool_choice.type")
    if choice["type"] == "required":
        choice["type"] = "any"
    if choice["type"] == "function":  # OpenAI's, which names it in one of two places
        function = choice.get("function")
        inner = function if isinstance(function, dict) else {}
        choice = {"type": "tool", "name": choice.get("name") or inner.get("name")}
    names = [tool["name"] for tool in tools]
    if tools and (choice["type"] != "tool" or choice.get("name") in names):
        return dict(choice)
    reason = "the tool that it names is not sent" if tools else "no tool is sent"
    request.warn("ignored_field", f"tool_choice is not sent, because {reason}")
    return None


# --- messages and their blocks

# A message on its way: `content` as it came, `blocks` as they are to be sent.
_Message = namedtuple("_Message", "path role content blocks")


def _messages(request: _Request) -> tuple[list[JSON], str | list[JSON]]:
    """The messages and the system prompt to send."""
    given = request.fields.get("messages")
    if not isinstance(given, list) or not given:
        wrong_field("messages", "must be a list of at least one message")
    system = _content(request.fields.get("system"), "system", "system", request)
    messages: list[_Message] = []
    reminders: list[JSON] = []  # system messages in mid-conversation, held for the next
    for n, message in enumerate(given):
        path = f"messages[{n}]"
        require("object", message, path)
        values, others = fold_keys(message, ("role", "content"), path + ".")
        request.unknown += others
        role = "system" if values.get("role") == "developer" else values.get("role")
        if role not in ("user", "assistant", "system"):
            wrong_field(path + ".role", "must be user or assistant")
        content = _content(values.get("content"), path + ".content", role, request)
        blocks = as_blocks(content)
        if role == "system":
            request.warn("system_role_moved", f"{path} has the role {values['role']}")
            if messages:
                reminders += _reminder(blocks)
            else:
                system = as_blocks(system) + blocks
            continue
        if role == "user" and not blocks and n == len(given) - 1:
            wrong_field(path + ".content", "is blank: there is nothing to answer")
        if role == "user":  # the results that open its message come first
            is_result = [block["type"] == "tool_result" for block in blocks]
            count = [*is_result, False].index(False)
            blocks[count:count] = reminders
        elif reminders:
            messages.append(_Message(path, "user", [], reminders))
        reminders = []
        messages.append(_Message(path, role, content, blocks))
    if reminders:
        messages.append(_Message("messages", "user", [], reminders))
    sent = _History(request).repair(messages)
    if not sent:
        wrong_field("messages", "hold nothing that could be sent")
    return sent, system if as_blocks(system) else []


def _reminder(blocks: list[JSON]) -> list[JSON]:
    """The text of a system message that keeps its place in the conversation, so that
    the prefix which caches know stays as it was."""
    text = "\n\n".join(block["text"] for block in blocks)
    marks = {k: v for block in blocks for k, v in block.items() if k == "cache_control"}
    return [{**_text_block(f"<system>{text}</system>"), **marks}] if blocks else []


def as_blocks(content: Any) -> list[JSON]:
    """A message's content as a list of blocks; a blank string has none."""
    if isinstance(content, str):
        return [_text_block(content)] if content.strip() else []
    return list(content)


def _text_block(text: str) -> JSON:
    return {"type": "text", "text": text}


def _content(content: Any, path: str, role: Any, request: _Request) -> Any:
    """`content` as it is to be sent: fields that are null and blank texts left out,
    images and tool results resolved.  Those of the assistant are the upstream's own."""
    if isinstance(content, str):
        return content
    if content is None:
        return []
    if not isinstance(content, list):
        wrong_field(path, "must be a string or a list of blocks")
    sent: list[JSON] = []
    for n, block in enumerate(content):
        where = f"{path}[{n}]"
        require("object", block, where)
        kind = block.get("type")
        require("string", kind, where + ".type")
        if role == "system" and kind != "text":
            wrong_field(where + ".type", "must be text")
        if (role, kind) == ("assistant", "tool_result"):
            text = "a tool_result of the assistant is sent as text"
            request.repaired(where, text)
            sent += _result_text(block)
            continue
        if kind in _BLOCKS and (role, kind) != ("assistant", "image"):
            required, convert = _BLOCKS[kind]
            block = _without_nulls(block)
            for field in required:
                require("string", block.get(field), f"{where}.{field}")
            block = convert(block, where, request) if convert else block
        if (role, kind) == ("user", "tool_use"):
            request.repaired(where, "a tool_use of the user is sent as text")
            block = _text_block(dump_json(block))
        if kind != "text" or block["text"].strip():
            sent.append(block)
    return sent


def _tool_use(block: JSON, path: str, request: _Request) -> JSON:
    """A call with an object as its input: MiniMax refuses all others with 2013."""
    value = block.get("input")
    if isinstance(value, dict):
        return block
    if _is_absent(value):
        request.repaired(path, "the input was missing; {} is sent")
        return {**block, "input": {}}
    value = parsed(value) if isinstance(value, str) else None
    require("object", value, path + ".input")
    request.repaired(path, "the input was a string; the JSON object in it is sent")
    return {**block, "input": value}


def _tool_result(block: JSON, path: str, request: _Request) -> JSON:
    """A result with a content that is not blank, which MiniMax would refuse."""
    content = block.get("content")
    is_content = content is None or isinstance(content, (str, list))
    items = content if is_content else [content]
    if isinstance(items, list):
        items = [_result_item(item) for item in items]
    if items != content:
        text = "the content is not a string or a list of blocks; sent as one"
        request.repaired(path, text)
    items = _content(items, path + ".content", "user", request)
    if not as_blocks(items):
        request.repaired(path, "the content was blank; a placeholder is sent")
        items = "(no output)"
    return {**block, "content": items}


def _result_item(item: Any) -> JSON:
    """An item of a result's content as a block: tools also return strings and data."""
    if isinstance(item, dict) and isinstance(item.get("type"), str):
        return item
    return _text_block(item if isinstance(item, str) else dump_json(item))


def _result_text(result: JSON) -> list[JSON]:
    """The content of a result that has no call."""
    content = result.get("content")
    items = as_blocks(content) if isinstance(content, (str, list)) else []
    return [_result_item(item) for item in items]


def _image(block: JSON, path: str, request: _Request) -> JSON:
    """The block to send for an image, or a text in its place."""
    try:
        if request.facts and "image" not in request.facts.input:
            raise ValueError(f"{request.model} takes no images")
        return _with_source(block, path, request)
    except ValueError as error:
        request.warn("image_replaced", f"{path} is replaced by a text: {error}")
        reason = "it cannot be used" if "path" in block else str(error)
        return _text_block(f"[image left out: {reason}]")


def _with_source(block: JSON, path: str, request: _Request) -> JSON:
    """An image with a clean source: verbatim if it was, all other forms resolved."""
    forms = ("source", "url", "data_base64", "data", "path")  # `data` is MCP's
    places = [name for name in forms if name in block]
    if len(places) != 1:
        wrong_field(path, "must have one of " + ", ".join(forms))
    place = places[0]
    source: JSON = {}
    used: tuple[str, ...] = (place, "media_type", "mimeType")
    value, label = block[place], block.get("media_type", block.get("mimeType"))
    if place == "source":
        require("object", value, path + ".source")
        source, used, label = value, (), value.get("media_type")
        place = "data" if source.get("type") == "base64" else "url"
        value = source.get(place)
        if not isinstance(value, str):
            return block  # of a type of its own, such as an uploaded file
    require("string", value or None, f"{path}.{place}")
    require("string", label or "", path + ".media_type")
    if place == "path":
        source = request.read_image(value)
        request.read_size += len(source.get("data", ""))
        if request.read_size > MAX_BODY:
            wrong_field(path, f"makes the request larger than {MAX_BODY // MIB} MB")
    elif place == "url" and not is_data_uri(value):
        source = source or {"type": "url", "url": value}
    else:
        rest = {key: v for key, v in source.items() if key != "url"}
        source = {**rest, **image_source(value, label)}
    return {**{k: v for k, v in block.items() if k not in used}, "source": source}


# Known kinds of block: the fields that must be strings, and what makes a block of a
# message one to send.  A block of another kind is sent as it is.
_BLOCKS: dict[str, tuple[tuple[str, ...], Callable[[JSON, str, _Request], JSON] | None]]
_BLOCKS = {
    "text": (("text",), None),
    "thinking": ((), None),
    "redacted_thinking": ((), None),
    "tool_use": (("id", "name"), _tool_use),
    "tool_result": (("tool_use_id",), _tool_result),
    "image": ((), _image),
}


def is_data_uri(text: str) -> bool:
    return text[:5].lower() == "data:"


def image_source(text: str, label: str | None) -> JSON:
    """The source of an image in base64, or in a `data:` URI.

    The first bytes decide the type where they are known, then `label`.  Raises
    ValueError, with a reason fit for a warning.
    """
    from binascii import a2b_base64
    from urllib.parse import unquote

    if is_data_uri(text):
        head, _, text = text.partition(",")
        kind, *flags = head[5:].split(";")
        if "base64" not in [flag.strip().lower() for flag in flags]:
            raise ValueError("its data: URI is not base64")
        label = kind or label
        text = unquote(text)
    data = "".join(text.split()).replace("-", "+").replace("_", "/")
    data += "=" * (-len(data) % 4)
    if len(data) // 4 * 3 > MAX_IMAGE_BYTES + 2:
        raise ValueError(f"it is larger than {MAX_IMAGE_BYTES // MIB} MB")
    if len(data) < 4 or not re.match(r"[A-Za-z0-9+/]+={0,2}$", data):
        raise ValueError("it is not base64")
    kind = image_type(a2b_base64(data[:32])) or label or ""
    if not kind:
        raise ValueError("it is not a PNG, JPEG, GIF or WebP, and has no media_type")
    return {"type": "base64", "media_type": kind, "data": data}


def image_type(head: bytes) -> str:
    """The media type of the image that begins with `head`, "" if it is unknown."""
    rows = (
        (rb"\x89PNG\r\n\x1a\n", "image/png"),
        (rb"\xff\xd8\xff", "image/jpeg"),
        (rb"GIF8", "image/gif"),
        (rb"RIFF....WEBP", "image/webp"),  # with a size in between
    )
    kinds = [kind for magic, kind in rows if re.match(magic, head, re.DOTALL)]
    return kinds[0] if kinds else ""


# --- history repair: each tool_use has exactly one adjacent tool_result

# A call of the history: `sent_id` is unlike the id of any other call of its turn, `run`
# is the number of the user's turn that has to open with its result.
_Call = namedtuple("_Call", "id sent_id run")


class _History:
    """Pairs tool calls and results, because one unpaired call fails every later turn.

    Messages in a row of the same role count as one turn, a run, as upstream reads them.
    Nothing is lost: what has no place as a result becomes text.  The n-th call with an
    id gets the n-th result with it: first of the run right after the call, then of any
    later one.
    """

    def __init__(self, request: _Request) -> None:
        self._repaired = request.repaired
        self._runs: list[list[_Message]] = []
        self._fronts: list[list[JSON]] = []  # the results that open each run
        self._waiting: dict[str, deque[_Call]] = {}  # calls of the run before, by id
        self._unanswered: dict[str, deque[_Call]] = {}  # of earlier ones

    def repair(self, messages: list[_Message]) -> list[JSON]:
        """The messages to send."""
        runs = self._runs
        for message in messages:
            if message.blocks:
                if not runs or runs[-1][0].role != message.role:
                    runs.append([])
                runs[-1].append(message)
        if runs and runs[-1][0].role == "assistant":
            runs.append([_Message("messages", "user", [], [])])  # for results to come
        self._fronts = [[] for _ in runs]
        for n, run in enumerate(runs):
            if run[0].role == "assistant":
                self._assistant_run(n, run)
            else:
                self._user_run(n, run)
        for call in [call for queue in self._unanswered.values() for call in queue]:
            text = "No result: the call was interrupted."
            result = {"type": "tool_result", "content": text, "is_error": True}
            self._answer(call, result, "made up")
        sent = []
        for run, front in zip(runs, self._fronts):
            run[0] = run[0]._replace(blocks=front + run[0].blocks)
            for _, role, content, blocks in run:
                if blocks:
                    content = content if as_blocks(content) == blocks else blocks
                    sent.append({"role": role, "content": content})
        return sent

    def _assistant_run(self, n: int, run: list[_Message]) -> None:
        """Give each call of a run an id of its own."""
        blocks = [block for message in run for block in message.blocks]
        taken = {block["id"] for block in blocks if block["type"] == "tool_use"}
        path = run[0].path
        if any(b["type"] == "tool_use" for message in run[:-1] for b in message.blocks):
            self._repaired(path, "joined with what follows, because it makes calls")
            run[:] = [_Message(path, "assistant", [], blocks)]
        numbers: dict[str, int] = {}  # of the latest call with an id
        self._waiting = {}
        for blocks in [message.blocks for message in run]:
            for place, block in enumerate(blocks):
                if block["type"] != "tool_use":
                    continue
                name = sent_id = block["id"]
                number = numbers[name] = numbers.get(name, 0) + 1
                if number > 1:  # name-2, name-3, ...: the same on every request
                    while f"{name}-{number}" in taken:
                        number += 1
                    numbers[name], sent_id = number, f"{name}-{number}"
                    blocks[place] = {**block, "id": sent_id}
                    text = f"a second tool_use {printable(name, 80)} gets a new id"
                    self._repaired(path, text)
                call = _Call(name, sent_id, n + 1)
                self._waiting.setdefault(name, deque()).append(call)

    def _user_run(self, n: int, run: list[_Message]) -> None:
        """Take the results out of a run, each to its call."""
        waiting = self._waiting
        late = []
        for place, message in enumerate(run):
            is_front = place == 0
            blocks: list[JSON] = []
            for block in message.blocks:
                name = block.get("tool_use_id")
                if block["type"] != "tool_result":
                    blocks.append(block)
                elif waiting.get(name):
                    moved = "" if is_front and not blocks else "moved to the front"
                    self._answer(waiting[name].popleft(), block, moved)
                elif self._unanswered.get(name):
                    late.append((self._unanswered[name].popleft(), block))
                else:
                    text = f"the result {printable(name, 80)} has no call; sent as text"
                    self._repaired(message.path, text)
                    blocks += _result_text(block)
            run[place] = message._replace(blocks=blocks)
        is_last = n == len(self._runs) - 1
        is_empty = not self._fronts[n] and not any(message.blocks for message in run)
        for call, block in late:
            if is_last and is_empty:  # without them: they stay, as text
                self._repaired(run[0].path, "a late result is sent as text")
                run[0].blocks.extend(_result_text(block))
                waiting.setdefault(call.id, deque()).append(call)
            else:
                self._answer(call, block, "moved here")
        for name, queue in waiting.items():
            self._unanswered.setdefault(name, deque()).extend(queue)

    def _answer(self, call: _Call, result: JSON, deed: str) -> None:
        """Let the run after a call open with its result."""
        self._fronts[call.run].append({**result, "tool_use_id": call.sent_id})
        if deed:
            text = f"the result of {printable(call.id, 80)} is {deed}"
            self._repaired(self._runs[call.run][0].path, text)


# ---------------------------------------------------------------------------
# Events: upstream events -> TurnEvents
# ---------------------------------------------------------------------------

# Deltas by their type: where the fragment stands, the field of the block it belongs to,
# the kind of block that takes it, and the event that carries it (None: only the
# finished block does).  A delta with an event is content and opens a block of its kind
# where none is open; the others need one.  A block of unknown kind takes every delta.
_DELTAS: dict[str, tuple[str, str, str, tuple[str, str] | None]] = {
    "text_delta": ("text", "text", "text", (TEXT_DELTA, "text")),
    "thinking_delta": ("thinking", "thinking", "thinking", (THINKING_DELTA, "text")),
    "input_json_delta": ("partial_json", "input", "tool_use", (INPUT_DELTA, "json")),
    "signature_delta": ("signature", "signature", "thinking", None),
    "citations_delta": ("citation", "citations", "text", None),
}
_FIELD_EVENTS = {field: event for _, field, _, event in _DELTAS.values()}
# Known kinds of block as they open.  Texts that `content_block_start` already holds
# follow as if a delta had brought them.
_EMPTY: dict[str, JSON] = {
    "text": {"text": ""},
    "thinking": {"thinking": ""},
    "tool_use": {"input": {}},
    "redacted_thinking": {},
}
_BLOCK_DELTA = "content_block_delta"


class Block:
    """A block on its way: how it opened, and the fragments that have come since."""

    def __init__(self, at: int, index: int, kind: str, opened: JSON) -> None:
        self.at = at  # upstream's index, which may be used again
        self.index = index  # ours, in order of start
        self.kind = kind
        self.input: Any = None  # of a call that came whole
        self.parts: dict[str, list[Any]] = {}  # fragments by the field they belong to
        self.held: dict[str, str] = {}  # ends of texts that wait for the next fragment
        self.is_stopped = False  # upstream closed it, but its end marker waits
        if kind == "tool_use" or isinstance(opened.get("input"), dict):
            self.input = opened.get("input")
            self.parts["input"] = []
            opened = {**opened, "input": {}}
        self.opened = opened

    def add(self, field: str, fragment: Any) -> list[JSON]:
        """The events of a fragment."""
        self.parts.setdefault(field, []).append(fragment)
        event = _FIELD_EVENTS[field]
        if event is None:
            return []
        return [{"type": event[0], "index": self.index, event[1]: fragment}]

    def release(self) -> list[JSON]:
        """The events of what was held back."""
        held, self.held = self.held, {}
        return [event for field in held for event in self.add(field, held[field])]

    def hold_back(self, field: str, text: str, may_be_last: bool) -> str:
        """`text`, after what was held back before, without the end that has to wait:
        half of a surrogate pair, or what could become the end marker."""
        held = self.held.pop(field, "")
        if held:
            text = well_formed(held + text, "surrogatepass")
        size = 1 if "\ud800" <= text[-1] <= "\udbff" else 0
        if may_be_last and field == "text" and text[-1] in END_MARKER:
            sizes = range(len(END_MARKER), 0, -1)
            size = next((n for n in sizes if text.endswith(END_MARKER[:n])), 0)
        if size:
            self.held[field] = text[-size:]
        return text[: len(text) - size]

    def finished(self) -> JSON:
        """The block with all its fragments, but for the input of a call."""
        block = dict(self.opened)
        for field, parts in self.parts.items():
            if field != "input":
                whole: Any = parts if field == "citations" else "".join(parts)
                if block.get(field) and type(block[field]) is type(whole):
                    whole = block[field] + whole
                block[field] = whole
        return block


class EventTranslator:
    """Translate the upstream events of one message into TurnEvents.

    `translate(payload)` yields the events that one upstream payload gives;
    `conclude()` those that end a message which ended well; `close()` the `block_end`s
    of a message which did not.  Raises ProviderError (`protocol`, `empty_response`, or
    what an upstream `error` event says), and is of no further use after that but for
    `close()`, `message()` and its attributes.
    """

    def __init__(self, asked_model: str = "") -> None:
        self.asked_model = asked_model
        self.model: str | None = None  # the one that answers
        self.message_id: str | None = None
        self.usage: JSON = {}  # the last value of each field that was not null
        self.is_charged = False  # the final count of output tokens is in it
        self.stop_reason: str | None = None
        self.stopped = False  # message_stop came: nothing more is expected
        self.complete = False  # a stop reason came and no block was open: a success
        self._begun: Any = None  # the id in message_start, in a tuple
        self._has_started = False  # turn_start was sent
        self._open: dict[int, dict[str, Block]] = {}  # by upstream index and kind
        self._unstopped = 0  # how many of them upstream has not closed
        self._content: dict[int, JSON] = {}  # blocks that may go back, by our index
        self._latest: Block | None = None  # the block started last
        self._kinds: set[str] = set()  # of the blocks started
        self._bad_call = ""  # why a tool call cannot be used
        self._unknown: set[str] = set()  # kinds of deltas already warned of
        self._has_markup = False  # a warning of tool markup was sent

    # What a caller asks

    @property
    def any_block(self) -> bool:
        """A block has started: nothing may be replayed any more."""
        return self._latest is not None

    def message(self) -> JSON | None:
        """The assistant message that may be sent back, None if it has no content."""
        content = [self._content[index] for index in sorted(self._content)]
        return {"role": "assistant", "content": content} if content else None

    # What a caller does

    def translate(self, payload: JSON) -> Iterator[JSON]:
        kind = payload.get("type")
        handler = _ON.get(kind) if isinstance(kind, str) else None
        if (handler is None or "base_resp" in payload) and is_error_payload(payload):
            handler = EventTranslator._on_error
        self._use(payload.get("usage"))
        if handler is not None:  # else an event of a later version
            yield from handler(self, payload)
            self.complete |= self.stop_reason is not None and not self._unstopped

    def conclude(self) -> Iterator[JSON]:
        yield from self.close()
        if self._latest is None and self.stop_reason is None:
            raise ProviderError("empty_response", "the answer ended without content")
        has_call = "tool_use" in self._kinds
        if self.stop_reason is None:
            self.stop_reason = "tool_use" if has_call else "end_turn"
        is_for_call = self.stop_reason == "tool_use"
        if is_for_call and self._latest is None:
            raise _broken("the answer stopped for tool use and has no content")
        if is_for_call and self._bad_call:
            raise _broken(self._bad_call)
        yield from self._start()
        if is_for_call and not has_call:
            text = "the answer stopped for tool use, but holds no tool call"
            yield warning("no_tool_call", text)
        texts = (b["text"] for b in self._content.values() if b["type"] == "text")
        has_text = any(text.strip() for text in texts)
        others = self._kinds - {"text", "thinking", "redacted_thinking"}
        if has_text or others or self.stop_reason == "refusal":
            return
        if self.stop_reason == "max_tokens" and self._kinds - {"text"}:
            text = "max_tokens ran out while the model was thinking: raise it, since "
            text += "thinking counts toward it, or lower the effort"
            yield warning("thinking_used_all_tokens", text)
        else:
            yield warning("no_text", "the answer has neither text nor a tool call")

    def close(self) -> Iterator[JSON]:
        blocks = [block for kinds in self._open.values() for block in kinds.values()]
        for block in sorted(blocks, key=lambda block: block.index):
            yield from self._end(block)

    # Handlers, one per upstream event

    def _on_message_start(self, payload: JSON) -> Iterator[JSON]:
        message = _required(payload, "message", "object")
        begun = (message.get("id"),)
        if self._begun == begun:
            return
        if self._begun:
            raise _broken("a second message began inside the first")
        self._begun = begun
        self.message_id, self.model = _label(begun[0]), _label(message.get("model"))
        self._use(message.get("usage"))
        asked = self.asked_model
        if self.model and asked and self.model.lower() != asked.lower():
            text = f"asked for {asked}, answered by {self.model}"
            yield warning("model_differs", text)
        content = message.get("content")
        for index, block in enumerate(content if isinstance(content, list) else ()):
            start = {"type": "message_start", "index": index, "content_block": block}
            yield from self._on_block_start(start)
            yield from self._on_block_stop(start)

    def _on_whole_message(self, payload: JSON) -> Iterator[JSON]:
        """A message that was not streamed, as if it had been."""
        if isinstance(payload.get("content"), list):
            yield from self._on_message_start({**payload, "message": payload})
            yield from self._on_message_stop({**payload, "delta": payload})

    def _on_block_start(self, payload: JSON) -> Iterator[JSON]:
        at = _required(payload, "index", "integer")
        opened = _required(payload, "content_block", "object")
        kind = opened.get("type")
        if not isinstance(kind, str):
            raise _broken("a block began that has no type")
        before = self._open.get(at, {}).get(kind)
        if before is not None:  # it was never closed, but another takes its place
            yield from self._end(before, is_last=False)
        yield from self._start()
        yield from self._settle(is_last=False)
        fields = ("text", "thinking")  # both are named like their kind of block
        texts = {f: opened[f] for f in fields if isinstance(opened.get(f), str)}
        if kind in fields and texts.setdefault(kind, "") != (opened.get(kind) or ""):
            raise _broken(f"the {kind} of a {kind} block is not a string")
        number = 0 if self._latest is None else self._latest.index + 1
        block = Block(at, number, kind, {**opened, **dict.fromkeys(texts, "")})
        self._open.setdefault(at, {})[kind] = self._latest = block
        self._unstopped += 1
        self._kinds.add(kind)
        yield {"type": BLOCK_START, "index": block.index, "block": block.opened}
        for field, text in texts.items():
            yield from self._add(block, field, text)

    def _on_block_delta(self, payload: JSON) -> Iterator[JSON]:
        at = _required(payload, "index", "integer")
        delta = _required(payload, "delta", "object")
        kind: Any = delta.get("type")
        row = _DELTAS.get(kind) if isinstance(kind, str) else None
        block = self._taker(at, row[2]) if row else None
        if row is None or (block is None and row[3] is None):
            kind = printable(str(kind), 40)
            if kind not in self._unknown and len(self._unknown) < 100:  # no flood
                self._unknown.add(kind)
                text = f"a delta of the unknown or misplaced kind {kind} was dropped"
                yield warning("unknown_delta", text)
            return
        source, field, opens, _ = row
        fragment = delta.get(source)
        if fragment is None:
            return
        if not isinstance(fragment, str) and field != "citations":
            raise _broken(f"the {source} of a {kind} is not a string")
        if block is None and fragment:
            start = {"index": at, "content_block": {"type": opens}}
            yield from self._on_block_start(start)
            block = self._open[at][opens]
        if block is not None:
            yield from self._add(block, field, fragment)

    def _taker(self, at: int, kind: str) -> Block | None:
        """The open block at `at` that takes deltas of `kind`."""
        blocks = self._open.get(at, {})
        unknown = (blocks[other] for other in blocks if other not in _EMPTY)
        block = blocks.get(kind) or next(unknown, None)
        return None if block is None or block.is_stopped else block

    def _on_block_stop(self, payload: JSON) -> Iterator[JSON]:
        at = _required(payload, "index", "integer")
        for block in list(self._open.get(at, {}).values()):
            self._unstopped -= not block.is_stopped
            block.is_stopped = True
            # A whole end marker waits: only what comes next shows whether it is the end.
            if block.held.get("text") != END_MARKER:
                yield from self._end(block)

    def _on_message_delta(self, payload: JSON) -> Iterator[JSON]:
        usage, delta = payload.get("usage"), payload.get("delta")
        if isinstance(usage, dict) and usage.get("output_tokens") is not None:
            self.is_charged = True
        reason = delta.get("stop_reason") if isinstance(delta, dict) else None
        if isinstance(reason, str) and reason:
            self.stop_reason = _label(reason)
            yield from self._settle(is_last=True)

    def _on_message_stop(self, payload: JSON) -> Iterator[JSON]:
        yield from self._on_message_delta(payload)
        self.stopped = True

    def _on_ping(self, payload: JSON) -> Iterator[JSON]:
        yield {"type": HEARTBEAT}

    def _on_error(self, payload: JSON) -> Iterator[JSON]:
        error = upstream_error(payload, None, dump_json(payload))
        if not self.complete:
            raise error
        self.stopped = True
        text = f"after the whole answer came an error: {error.message}"
        yield warning("late_error", text)

    # Blocks

    def _start(self) -> Iterator[JSON]:
        if not self._has_started:
            self._has_started = True
            ids = {"model": self.model, "message_id": self.message_id}
            yield {"type": TURN_START, **ids}

    def _add(self, block: Block, field: str, fragment: Any) -> list[JSON]:
        """The events of a fragment, but for an end of it that must wait."""
        if isinstance(fragment, str) and fragment:
            may_be_last = block is self._latest and block.kind == "text"
            fragment = block.hold_back(field, fragment, may_be_last)
        return block.add(field, fragment) if fragment != "" else []

    def _settle(self, is_last: bool) -> Iterator[JSON]:
        """Release what the latest block holds, now that it is known to be the last one
        or not."""
        block = self._latest
        if block is None or self._open.get(block.at, {}).get(block.kind) is not block:
            return
        if block.is_stopped:
            yield from self._end(block, is_last)
        elif not is_last and block.held.get("text", "")[:1] == END_MARKER[0]:
            yield from block.release()

    def _end(self, block: Block, is_last: bool = True) -> Iterator[JSON]:
        """End a block; `is_last`: as far as is known, it is the message's last one."""
        del self._open[block.at][block.kind]
        if not self._open[block.at]:
            del self._open[block.at]
        self._unstopped -= not block.is_stopped
        if is_last and block is self._latest and block.held.get("text") == END_MARKER:
            del block.held["text"]
        yield from block.release()
        finished = block.finished()
        end = {"type": BLOCK_END, "index": block.index, "block": finished}
        if "input" in block.parts:
            yield from self._finish_input(block, end)
        elif not block.is_stopped:
            end["incomplete"] = True
        text = finished[block.kind] if block.kind in ("text", "thinking") else ""
        if not self._has_markup and any(mark in text for mark in TOOL_MARKUP):
            self._has_markup = True
            problem = (
                f"the {block.kind} holds the markup of a tool call that is not one"
            )
            yield warning("tool_markup_in_text", problem)
        yield end
        if "incomplete" not in end or (block.kind == "text" and text):
            self._content[block.index] = finished

    def _finish_input(self, block: Block, end: JSON) -> Iterator[JSON]:
        """Parse a call's input once it is whole: never a prefix, never a guess."""
        whole, finished = block.input, end["block"]
        if not block.parts["input"] and whole not in (None, "", {}):
            text = whole if isinstance(whole, str) else dump_json(whole)
            yield from block.add("input", text)
        raw = "".join(block.parts["input"])
        value = _tool_input(raw)
        is_call = block.kind == "tool_use"
        names = (finished.get("id"), finished.get("name"))
        if not block.is_stopped:
            problem = "was never finished"
        elif value is None:
            problem = "has an input that is not one JSON object"
        elif is_call and not all(isinstance(name, str) and name for name in names):
            problem = "has no id or no name"
        else:
            finished["input"] = value
            return
        del finished["input"]
        end.update(incomplete=True, input_json=raw)
        if is_call:
            self._bad_call = f"the tool call {printable(str(names[1]), 80)} {problem}"

    def _use(self, usage: Any) -> None:
        if isinstance(usage, dict):
            fields = {k: v for k, v in usage.items() if v is not None}
            self.usage.update(map_strings(fields, lambda text: printable(text, 200)))


_ON: dict[str, Callable[[EventTranslator, JSON], Iterator[JSON]]] = {
    "message_start": EventTranslator._on_message_start,
    "content_block_start": EventTranslator._on_block_start,
    _BLOCK_DELTA: EventTranslator._on_block_delta,
    "content_block_stop": EventTranslator._on_block_stop,
    "message_delta": EventTranslator._on_message_delta,
    "message_stop": EventTranslator._on_message_stop,
    "message": EventTranslator._on_whole_message,
    "ping": EventTranslator._on_ping,
    "error": EventTranslator._on_error,
}


def merge_deltas(payloads: Iterable[JSON]) -> Iterator[JSON]:
    """`payloads`, with deltas in a row that continue the same text made one.

    What one read of the network brought is translated, and written, once: of a fast
    stream that is a tenth of the work.
    """
    from itertools import groupby

    for place, group in groupby(payloads, _place_of_text):
        if place is None:
            yield from group
            continue
        index, kind, source = place
        text = "".join(payload["delta"][source] for payload in group)
        delta = {"type": kind, source: well_formed(text, "surrogatepass")}
        yield {"type": _BLOCK_DELTA, "index": index, "delta": delta}


def _place_of_text(payload: JSON) -> tuple[int, str, str] | None:
    """The index, kind and field of a delta's text, None for all other payloads."""
    try:
        delta, index = payload["delta"], payload["index"]
        kind = delta["type"]
        source = _DELTAS[kind][0]
        is_text = type(delta[source]) is str and type(index) is int
    except (KeyError, TypeError):
        return None
    is_delta = is_text and payload["type"] == _BLOCK_DELTA
    return (index, kind, source) if is_delta else None


def _broken(problem: str) -> ProviderError:
    return ProviderError("protocol", problem)


def _label(value: Any) -> str | None:
    """A name from upstream that is not content: printable, and cut."""
    return printable(value, 200) or None if isinstance(value, str) else None


def _required(payload: JSON, field: str, kind: str) -> Any:
    value = payload.get(field)
    is_kind, words = TYPES[kind]
    if not is_kind(value):
        raise _broken(f"the {field} of a {payload['type']} is not {words}")
    return value


def _tool_input(raw: str) -> JSON | None:
    """The object that `raw` is, None if it is anything else; no text is no input."""
    for control_characters in (False, True):
        try:
            value = load_json(raw or "{}", MAX_UPSTREAM_DEPTH, control_characters)
            return value if isinstance(value, dict) else None
        except ValueError:
            pass
    return None


# ---------------------------------------------------------------------------
# Settings: configuration file, environment, log
# ---------------------------------------------------------------------------

# Each level of the log holds what those before it do, and more.
LEVELS = ("error", "warning", "info")

# A setting: `low` and `high` bound a number, `choices` a string, and the variable `env`
# wins over the file.
Option = namedtuple(
    "Option", "type default help low high choices env", defaults=(None, None, (), "")
)


def _text(default: str, help: str, env: str = "", choices: Any = ()) -> Option:
    return Option("string", default, help, choices=tuple(choices), env=env)


def _count(default: int, help: str, low: int, high: int) -> Option:
    return Option("integer", default, help, low, high)


def _seconds(default: int, help: str, low: float = 0.001, days: int = 1) -> Option:
    return Option("number", default, "seconds " + help, low, days * 86400)


# Every setting, once: the checks, `help settings`, the manifest and the keywords of
# MiniMaxProvider come from here.
OPTIONS: dict[str, Option] = {
    "api_key": _text("", "MiniMax API key, sk-cp-... or sk-api-...", "MINIMAX_API_KEY"),
    "api_key_file": _text("", "file that holds only the API key"),
    "region": _text("global", "platform the key is for", "MINIMAX_REGION", REGIONS),
    "base_url": _text(
        "", "URL before /v1/messages, instead of the region's", "MINIMAX_BASE_URL"
    ),
    "model": _text("MiniMax-M3", "default model"),
    "max_tokens_default": _count(4096, "default limit of output tokens", 1, 10**7),
    "effort": _text("medium", "default effort, if the model supports it", "", EFFORTS),
    "connect_timeout": _seconds(10, "for DNS, TCP, TLS and proxy together"),
    "first_event_timeout": _seconds(300, "from connection to first event, pings aside"),
    "idle_timeout": _seconds(300, "between events, pings aside"),
    "turn_timeout": _seconds(3600, "for a whole turn", days=30),
    "max_retries": _count(3, "further attempts while no content has come", 0, 100),
    "retry_base_delay": _seconds(1, "before the first retry; doubles each time", 0),
    "retry_after_max": _seconds(60, "to wait at most for a Retry-After", 0),
    "max_concurrent_turns": _count(16, "turns at a time; further ones wait", 1, 10000),
    "max_queued_turns": _count(256, "turns that may wait; more are busy", 0, 10**6),
    "max_line_bytes": _count(64 * MIB, "longest line read from stdin", 1, 1024 * MIB),
    "allow_image_paths": Option("boolean", True, "whether images may be file paths"),
    "log_level": _text("warning", "what is logged to stderr", "", LEVELS),
    "capture_dir": _text("", "directory to write each turn into, for replay"),
}
# What holds for the process; all else is read again by each turn.
PROCESS_OPTIONS = ("max_concurrent_turns", "max_queued_turns", "max_line_bytes")
# What a host's settings are: the value of each option by name, where each that is set
# comes from (a variable, a path, "the command line"), every problem as (option or "",
# ProviderError), the file's path and mode (0: no file), and names in it that are none.
Settings = namedtuple("Settings", "values origins problems path mode unknown")


def default_values() -> JSON:
    """The value of every option when nothing is configured."""
    return {name: option.default for name, option in OPTIONS.items()}


def check_value(name: str, value: Any, where: str = "", hint: str = "") -> Any:
    """The value to use for option `name`, which `where` sets.

    Raises ProviderError (`config`) that names both and quotes nothing of the value.
    """
    option = OPTIONS[name]
    if value is None or (value == "" and option.type == "string"):
        return option.default
    is_kind, words = TYPES[option.type]
    problem = ""
    if not is_kind(value):
        problem = f"must be {words}, not {describe_value(value)}"
    elif option.choices and value not in option.choices:
        choices = ", ".join(option.choices)
        problem = f"must be one of {choices}, not {describe_value(value)}"
    elif option.low is not None and not option.low <= value <= option.high:
        problem = f"must be from {option.low:g} to {option.high:g}"
    elif name in _RULES:
        value, problem = _RULES[name](value.strip())
    if problem:
        raise ProviderError("config", f"{where}: {name} {problem}", hint)
    return value


# What a pasted key must not hold, and what that usually is.
_KEY_MISTAKES = (
    (r"(?i)bearer\b", 'begins with "Bearer": paste the key alone'),
    (r"[A-Z][A-Z0-9_]*=", "begins with the name of a variable: paste the key alone"),
    (r"\$|%\w+%$|[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$", "is the name of a variable"),
    (r"[<{\[(]", "is a placeholder in brackets"),
    (r"['\"`]", "begins with a quotation mark"),
    (r"(sk-(cp-|api-)?)?([.*\u2026]+|[xX]{3,})$", "is a placeholder"),
    (r"(?i)(sk-)?((cp|api|your|my|minimax|key|here)[-_ ]?)+$", "is a placeholder"),
    (r".*\s", "holds white space"),
    (r".*['\"<>${},]", "ends in, or holds, one of '\"<>${}, which no key has"),
    (r".*[^!-~]", "holds a character that no key has"),
    (r".*\.\.\.$", "is cut off by three dots"),
)


def check_key(value: str, max_length: int = 8192) -> tuple[str, str]:
    """The key as it is sent and what is wrong with it; a longer one fits no header."""
    for pattern, problem in _KEY_MISTAKES:
        if re.match(pattern, value[:max_length], re.DOTALL):
            return "", f"{problem} ({describe_value(value)})"
    if len(value) > max_length:
        return "", f"is too long ({describe_value(value)})"
    SECRETS.add(value)
    return value, ""


def _check_base_url(value: str) -> tuple[str, str]:
    """The base without the endings people paste along, and what is wrong with it."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "", "is not a URL"
    if any(not "!" <= c <= "~" or c == "\\" for c in value) or not host:
        return "", "is not a URL with a host"
    if "@" in parts.netloc:
        return "", "must not hold credentials: the key has a setting of its own"
    if parts.scheme not in ("http", "https"):
        return "", "must begin with https://"
    if parts.scheme == "http" and not is_loopback(host):
        return "", "must begin with https://: plain http would show the key to others"
    if parts.query or parts.fragment:
        return "", "must not have a query or a fragment"
    path = re.sub(f"/*({MESSAGES_PATH}|/v1)?/*$", "", parts.path)
    return f"{parts.scheme}://{parts.netloc}{path}", ""


def _check_path(value: str) -> tuple[str, str]:
    path = os.path.expanduser(value)
    return path, "is not a path" if "\0" in path else ""


_RULES: dict[str, Callable[[str], tuple[str, str]]] = {
    "api_key": check_key,
    "api_key_file": _check_path,
    "base_url": _check_base_url,
    "capture_dir": _check_path,
}


def is_loopback(host: str) -> bool:
    """Whether `host` can only be this machine."""
    from ipaddress import ip_address

    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False  # a name, such as 127.0.0.999


def host_of(url: str) -> str:
    """Host and port of a URL that was checked."""
    return url.split("//", 1)[1].split("/", 1)[0]


def root_of(url: str) -> str:
    """Scheme, host and port of a URL that was checked."""
    return url.split("//", 1)[0] + "//" + host_of(url)


def base_url_of(values: JSON) -> str:
    """The URL that every path of the API is below."""
    return str(values["base_url"] or REGIONS[values["region"]])


def config_path(environ: Any) -> str:
    """Where the configuration file is, whether it exists or not."""
    if environ.get("PLEXUM_MINIMAX_CONFIG"):
        return str(environ["PLEXUM_MINIMAX_CONFIG"])
    root = environ.get("PLEXUM_PROFILE_ROOT") or os.path.expanduser("~/.plexum")
    return os.path.join(root, "plugins", NAME, "config.json")


def load_settings(
    path: str | None = None,
    environ: Any = None,
    overrides: JSON | None = None,
    names: Iterable[str] = tuple(OPTIONS),
) -> Settings:
    """Read the settings `names` of file and environment; `overrides` win over both.

    Never raises: what is wrong is in `problems`, and the default in its place.
    """
    environ = os.environ if environ is None else environ
    path, overrides = path or config_path(environ), overrides or {}
    values, origins = default_values(), {}
    problems: list[tuple[str, ProviderError]] = []
    file, mode = _read_config(path, problems)
    for name in names:
        value, where, variable = file.get(name), path, OPTIONS[name].env
        hint = f"Correct {name} in {path}; the next turn reads it again."
        if variable and environ.get(variable, "").strip():
            value, where = environ[variable].strip(), variable
            hint = f"Correct {variable} and restart the process."
        if name in overrides:
            value, where, hint = overrides[name], "the command line", ""
        try:
            values[name] = check_value(name, value, where, hint)
        except ProviderError as error:
            problems.append((name, error))
        if not _is_absent(value):
            origins[name] = where
    unknown = sorted(name for name in file if name not in OPTIONS)
    settings = Settings(values, origins, problems, path, mode, unknown)
    has_problem = any(name.startswith("api_key") for name, _ in problems)
    if "api_key_file" in names and not has_problem:
        _load_key_file(settings, environ)
    return settings


def _read_config(path: str, problems: Any, is_retry: bool = False) -> tuple[JSON, int]:
    """What the file holds, and its mode, 0 if there is none or it is one of `problems`."""
    try:
        data, mode = read_file(path, MIB)
        text = data.decode("utf-8-sig")
        file = load_json(text) if text.strip() or not is_retry else {}
        if isinstance(file, dict):
            return file, mode
        raise ValueError(f"it must be a JSON object, not {describe_value(file)}")
    except FileNotFoundError:
        return {}, 0
    except (OSError, ValueError) as error:
        is_content = isinstance(error, ValueError)
        if is_content and not is_retry:
            time.sleep(0.05)  # it may be rewritten in place just now
            return _read_config(path, problems, is_retry=True)
        hint = "It must be one JSON object, with names and texts in double quotes."
        text = f"{path} cannot be used: {file_problem(error)}"
        problem = ProviderError("config", text, hint if is_content else "")
        problems.append(("", problem))
        return {}, 0


def _load_key_file(settings: Settings, environ: Any) -> None:
    """Take the key from a file of its own, if nothing else has one."""
    named = settings.values["api_key_file"]
    folder, name = os.path.dirname(settings.path), named
    if not named:  # systemd's LoadCredential=, which need not be there
        folder, name = environ.get("CREDENTIALS_DIRECTORY") or "", "minimax-api-key"
    path = os.path.join(folder, name)
    is_there = named or (folder and os.path.exists(path))
    if settings.values["api_key"] or not is_there:
        return
    try:
        data, _ = read_file(path, 8192 + 100)
        key, problem = check_key(data.decode("utf-8-sig").strip())
        if not key:
            problem = f"the key in it {problem}" if problem else "it holds no key"
            raise ValueError(problem)
        settings.values["api_key"], settings.origins["api_key"] = key, path
    except (OSError, ValueError) as error:
        where = path
        if key_kind(os.path.basename(named))[0]:  # a misplaced key
            where = "the file that api_key_file names"
            SECRETS.add(named)
        text = f"{where} cannot be used: {file_problem(error)}"
        hint = "Let the file hold the API key and nothing else."
        settings.problems.append(("api_key", ProviderError("config", text, hint)))


def setting_name(name: str) -> str:
    """The name of an unknown setting, for messages, unless it could be a key."""
    if re.match(r"[A-Za-z][A-Za-z0-9_ -]{0,39}$", name) and not key_kind(name)[0]:
        return name
    return f"a name of {len(name)} characters"


def nearest(name: str, names: Iterable[str], least: float = 0.6) -> str:
    """Which of `names` was probably meant, "" if none is near."""
    import difflib

    by_fold = {fold(known): known for known in names}
    near = difflib.get_close_matches(fold(name), by_fold, 1, least)
    return by_fold[near[0]] if near else ""


def name_unknown(name: str) -> str:
    """An unknown setting, with the one that was probably meant."""
    near = nearest(name, OPTIONS)
    return setting_name(name) + (f" (did you mean {near}?)" if near else "")


_shared: set[tuple[str, int]] = set()  # files already warned of, with their modes


def log_oddities(settings: Settings) -> None:
    """Log what is odd about the file, but no problem."""
    level = settings.values["log_level"]
    path = settings.origins.get("api_key", "")
    if os.name == "posix" and os.path.isfile(path):  # it holds a key
        mode = os.stat(path).st_mode
        if mode & 0o077 and (path, mode) not in _shared:
            _shared.add((path, mode))
            log(f"{path} can be read by others: run chmod 600 on it", "warning", level)
    if settings.unknown:
        names = ", ".join(map(name_unknown, settings.unknown))
        log(f"{settings.path}: unknown settings are ignored: {names}", "warning", level)


# --- the log, and files that settings or turns name


def log(text: str, level: str = "error", threshold: str = "warning") -> None:
    """Write one line for the operator to stderr, if it can take it at once.

    Printable, without keys, cut at 2,000 characters; nothing, if `level` is beyond
    `threshold`.  A host that does not drain stderr costs lines of log, never a turn.
    """
    if LEVELS.index(level) > LEVELS.index(threshold):
        return
    line = f"{NAME}: {printable(SECRETS.text(text), 2000)}"
    data = line.encode("ascii", "backslashreplace")[:4000] + b"\n"
    try:
        if is_ready(2, reading=False):
            os.write(2, data)
    except (OSError, ValueError):
        pass


def internal_error(error: BaseException) -> ProviderError:
    """Our error for one that is a defect; its traceback is logged."""
    import traceback

    lines = traceback.format_exception(type(error), error, error.__traceback__)
    for line in "".join(lines).splitlines():
        log(line)
    return ProviderError("internal", type(error).__name__)


def is_ready(fd: int, reading: bool, seconds: float | None = 0) -> bool:
    """Wait up to `seconds` (None: for ever) until `fd` can be read or written.

    Where the system cannot tell, it is ready.
    """
    import select

    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(fd, select.POLLIN if reading else select.POLLOUT)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


def read_file(path: str, limit: int) -> tuple[bytes, int]:
    """The bytes of the regular file at `path`, at most `limit`, and its mode.

    Raises OSError, or ValueError with a reason if it is no such file.
    """
    import stat

    # Look before opening: a FIFO's writer would see its reader come and go.
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        raise ValueError("it is not a regular file")
    extra = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)  # if it is by now
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | extra)) as f:
        data = f.read(limit + 1)
    if data is None:  # /proc has files that are regular and have to be waited for
        raise ValueError("it cannot be read at once")
    if len(data) > limit:
        size = f"{limit // MIB} MB" if limit >= MIB else f"{limit} bytes"
        raise ValueError(f"it is larger than {size}")
    return data, mode


def file_problem(error: Exception) -> str:
    """Why `read_file()`, or decoding what it returned, failed."""
    if isinstance(error, UnicodeError):
        return "it is not UTF-8"
    return str(getattr(error, "strerror", error))


def read_image_file(path: str) -> JSON:
    """The source of an image block for the file at `path`.

    Raises ValueError, with a reason fit for a warning, unless it is a regular file of
    up to MAX_IMAGE_BYTES that is a PNG, JPEG, GIF or WebP by its first bytes.
    """
    from binascii import b2a_base64

    try:
        data, _ = read_file(path, MAX_IMAGE_BYTES)
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from None
    kind = image_type(data[:16])
    if not kind:
        raise ValueError("it is not a PNG, JPEG, GIF or WebP")
    text = b2a_base64(data, newline=False).decode("ascii")
    return {"type": "base64", "media_type": kind, "data": text}


# ---------------------------------------------------------------------------
# HTTP: a request, and its body as it arrives
# ---------------------------------------------------------------------------

_NEVER = float("inf")
_TICK = 0.1  # seconds between two looks at the turns that read
FILE_SECONDS = 10.0  # for files that settings name: their file system may hang
# What a turn may wait for: the setting that limits it, and how messages name it.
_STEPS = {
    "files": ("the fixed limit", "reading the configuration"),
    "connect": ("connect_timeout", "connecting to {host}"),
    "first": ("first_event_timeout", "waiting for the first event from {host}"),
    "idle": ("idle_timeout", "waiting for the next event from {host}"),
    "turn": ("turn_timeout", "the whole turn"),
}


class Scope:
    """The limits of one turn, its cancel, and the one place where it waits.

    `arm(step, seconds)` starts a limit; `pause()` stops it while the host reads.
    `call(work)` waits for another thread; the client's ticker watches the reads of a
    body.  Any thread may call `cancel()`.
    """

    def __init__(self, cancel: Any = None) -> None:
        self.accepted = time.monotonic()
        self.host = ""
        self.exchange: Exchange | None = None  # the attempt under way
        self.late: Exception | None = None  # why the ticker ended the read under way
        self.news = threading.Event()  # ends a wait
        self._is_cancelled = False
        self._caller = cancel  # an event of the caller; our host calls `cancel()`
        self._step, self._seconds, self._due = "turn", 0.0, _NEVER
        self._left = _NEVER  # of this limit, while it is paused
        self._turn_seconds, self._turn_due = 0.0, _NEVER

    def start(self, turn_timeout: float) -> None:
        self._turn_seconds = turn_timeout
        self._turn_due = time.monotonic() + turn_timeout

    def arm(self, step: str, seconds: float) -> None:
        self._step, self._seconds = step, seconds
        self._due = time.monotonic() + seconds
        self.late = None

    def pause(self) -> None:
        self._left = self._due - time.monotonic()
        self._due = _NEVER

    def resume(self) -> None:
        self._due = time.monotonic() + self._left

    @property
    def turn_seconds_left(self) -> float:
        return self._turn_due - time.monotonic()

    def cancel(self) -> None:
        self._is_cancelled = True
        self.look()
        self.news.set()

    def check(self) -> None:
        """Raise Cancelled if the turn was cancelled."""
        if self._is_cancelled or (self._caller is not None and self._caller.is_set()):
            raise Cancelled

    def overdue(self) -> ProviderError | None:
        """The error of the limit that is over, None if none is."""
        now = time.monotonic()
        due, step, seconds = min(
            (self._due, self._step, self._seconds),
            (self._turn_due, "turn", self._turn_seconds),
        )
        if now < due:
            return None
        if now - due > 5 * _TICK:
            # The process was stopped, or it would have noticed before.  What it waits
            # for may have arrived meanwhile.
            self._due = max(self._due, now + 1)
            self._turn_due = max(self._turn_due, now + 1)
            return None
        setting, words = _STEPS[step]
        words = f"{words.format(host=self.host)} took longer than {seconds:g} s"
        return ProviderError("timeout", f"{words} ({setting})")

    def look(self) -> None:
        """End the read under way if it has to end.  The ticker calls this."""
        try:
            self.check()
            self.late = self.late or self.overdue()
        except Exception as error:  # the caller's event may raise anything
            self.late = error
        exchange = self.exchange
        if self.late is not None and exchange is not None:
            shut_down(exchange.line)

    def sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._wait(until)

    def call(self, work: Callable[[], Any]) -> Any:
        """What `work()` returns or raises; it may also return an error to be raised.

        It runs in a thread of its own, since nothing can interrupt it.  A limit or a
        cancel ends the wait and leaves that thread behind.
        """
        outcome: list[Any] = []

        def run() -> None:
            try:
                outcome.append(work())
            except Exception as error:
                outcome.append(error)
            self.news.set()

        spawn(run)
        while not outcome:
            self._wait(min(self._due, self._turn_due))
            late = self.overdue()
            if late is not None and not outcome:
                raise late
        result = outcome.pop()
        if isinstance(result, Exception):
            raise result
        return result

    def _wait(self, until: float) -> None:
        """Wait until then, or until there is news.  Raises Cancelled."""
        # A caller's event wakes nobody; some systems cannot wait for much longer.
        longest = 3600.0 if self._caller is None else _TICK
        self.news.wait(min(max(until - time.monotonic(), 0), longest))
        self.news.clear()
        self.check()


def spawn(work: Callable[..., object], *args: Any) -> None:
    """Start a thread that the process does not wait for."""
    try:
        threading.Thread(target=work, args=args, daemon=True).start()
    except RuntimeError as error:
        raise ProviderError("busy", f"cannot start a thread: {error}") from None


# --- connections

# urllib3 takes no argument for it, so the exchange that a thread opens travels here.
_LOCAL = threading.local()


class WatchedConnection:
    """What our connection classes add to those of urllib3."""

    MAX_IDLE_SECONDS = 30.0  # a connection idle for longer may have died unseen
    idle_since = 0.0
    line: Any = None  # a duplicate of the socket, while no turn uses it

    def connect(self: Any) -> None:
        self.take()
        self.__dict__.pop("response_class", None)  # a proxy's answer is not the turn's
        super().connect()  # type: ignore[misc]
        _LOCAL.exchange.connected(self)

    def request(self: Any, *args: Any, **kwargs: Any) -> None:
        exchange: Exchange = _LOCAL.exchange
        self.take()
        if self.sock is not None and exchange.connection is None:
            exchange.connected(self, is_kept=True)
        try:
            super().request(*args, **kwargs)  # type: ignore[misc]
        except OSError:
            # A server may refuse a request that it has not read to the end: its answer
            # counts.  If there is none, reading it fails, too.
            if exchange.connection is None:
                raise
        self.response_class = exchange.new_body

    def take(self) -> None:
        _LOCAL.exchange.client.unwatch(self)
        if self.line is not None:
            self.line.close()

    def end_if_old(self: Any) -> bool:
        """Shut it down if it has been idle for too long; whether it has ended.

        The pool, which may be looking at it, sees that and closes it.
        """
        is_old = time.monotonic() - self.idle_since > self.MAX_IDLE_SECONDS
        if is_old or self.sock is None:
            shut_down(self.line)
            self.line.close()
        return is_old or self.sock is None


def shut_down(line: Any) -> None:
    """End every call that blocks on a connection, in any thread."""
    try:
        if line is not None:
            line.shutdown(2)
    except OSError:
        pass  # the server was faster, or the line is closed


def watch_pool(pool: Any) -> None:
    """Make a pool of urllib3 open connections that report to the exchange."""
    base = type(pool).ConnectionCls  # at each request: recorders replace it for a while
    if getattr(base, "__module__", "").partition(".")[0] != "urllib3":
        pool.ConnectionCls = base  # another program's, whose insides may be different
        _LOCAL.exchange.connected(None)
    elif getattr(pool.ConnectionCls, "base", None) is not base:
        name, bases = "Connection", (WatchedConnection, base)
        pool.ConnectionCls = type(name, bases, {"base": base})


def import_requests() -> Any:
    """The `requests` module.  Raises ProviderError (`config`) if it is missing."""
    from importlib import import_module

    try:
        # By name, so that mypy is satisfied without stubs of requests, too.
        return import_module("requests")
    except (Exception, SystemExit) as error:  # a broken one may raise anything
        for name in list(sys.modules):  # a half-imported one would fail for ever
            if name.partition(".")[0] in ("requests", "urllib3"):
                del sys.modules[name]
        raise ProviderError(
            "config",
            f"{sys.executable} cannot import requests: {error or type(error).__name__}",
            f"Run {sys.executable} -m pip install requests, or ./install.sh, which "
            "installs it privately.",
        ) from None


class Client:
    """The connections of one provider in one process, and the ticker.

    A child process makes its own: it must share no connection, thread or lock.
    """

    def __init__(self, size: int) -> None:
        self._size = size  # connections that may be kept
        self._opening = threading.Lock()  # of the session: an import may hang in it
        self._session: Any = None
        self._lock = threading.Lock()  # of what follows
        self._watched: set[Any] = set()  # scopes that read, connections that are idle
        self._is_ticking = False

    def session(self) -> Any:
        """A requests.Session that follows nothing, keeps no cookie, and ignores the
        environment and ~/.netrc."""
        with self._opening:
            if self._session is None:
                requests = import_requests()
                from http.cookiejar import DefaultCookiePolicy

                adapter = requests.adapters.HTTPAdapter(4, self._size)
                cert_verify = adapter.cert_verify

                def prepare_pool(pool: Any, *args: Any) -> None:
                    watch_pool(pool)
                    cert_verify(pool, *args)

                # requests calls it with each pool, however it got it, before its use.
                adapter.cert_verify = prepare_pool
                session = requests.Session()
                session.trust_env = False
                session.stream = True
                session.headers = {
                    "Accept-Encoding": "identity",
                    "User-Agent": f"{NAME}/{__version__}",
                    "anthropic-version": "2023-06-01",
                }
                session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
                # allow_redirects=False would still read the whole body of a redirect.
                session.get_redirect_target = lambda response: None
                session.mount("https://", adapter)
                session.mount("http://", adapter)
                self._session = session
            return self._session

    def close(self) -> None:
        """Close the connections that are kept; later turns open new ones."""
        if self._session is not None:
            self._session.close()

    def watch(self, target: Any) -> None:
        """Have the ticker look at a scope, or at a connection, until `unwatch()`."""
        with self._lock:
            if not self._is_ticking:
                spawn(self._tick)
                self._is_ticking = True
            self._watched.add(target)

    def unwatch(self, target: Any) -> None:
        with self._lock:
            self._watched.discard(target)

    def _tick(self) -> None:
        while True:
            with self._lock:  # so that no turn takes a connection meanwhile
                scopes = [each for each in self._watched if isinstance(each, Scope)]
                idle = self._watched.difference(scopes)
                self._watched -= {each for each in idle if each.end_if_old()}
                self._is_ticking = bool(self._watched)
                if not self._is_ticking:
                    return
            for scope in scopes:
                scope.look()
            time.sleep(_TICK)


# --- an attempt


class Exchange:
    """One attempt on the wire: a thread of its own opens it, the turn's thread reads it.

    Once it is open it has `status`, `headers` (their names in any case) and `arrived`
    (seconds since the epoch).  `read()` returns bytes, b"" at the body's end, or raises
    ProviderError or Cancelled.

    `close()` takes it from its scope.  A thread that was left behind opening it checks
    that once it has connected, and at its end, and closes what it has opened.
    """

    STALE_SECONDS = 1.0  # a kept connection that has died shows it within a round trip
    MAX_BYTES = 512 * MIB  # of one body: memory must end somewhere

    def __init__(self, client: Client, scope: Scope, values: JSON) -> None:
        self.connection: Any = None  # once it is connected
        self.is_kept = False  # that connection has served an earlier turn
        self.is_whole = False  # the body's end has arrived, though it may be unread
        self.ended = False  # the body's end was read
        self.client, self._scope, self._values = client, scope, values
        self.line: Any = None  # a duplicate of its socket, once there is one
        self._connected_at = 0.0
        self._response: Any = None
        self._body: Any = None  # http.client's response, None if another class has it
        self._chunks: Iterator[bytes] = iter(())
        self._size = 0

    def open(self, url: str, key: str, body: bytes | None) -> None:
        """POST `body`, or GET if it is None; return when the headers have arrived."""
        scope = self._scope
        scope.exchange = self
        scope.arm("connect", self._values["connect_timeout"])
        scope.call(lambda: self._request(url, key, body))
        self.status = int(self._response.status_code)
        self.headers = self._response.headers
        self.arrived = time.time()
        self._chunks = self._read_body()
        self.client.watch(scope)

    def _request(self, url: str, key: str, body: bytes | None) -> Exception | None:
        """The part of `open()` that nothing can interrupt.

        It returns its error: a raised one that nobody waits for any more would keep the
        request in memory.
        """
        _LOCAL.exchange = self
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Accept"] = "text/event-stream"
            headers["Content-Type"] = "application/json"
        if key:
            headers["Authorization"] = "Bearer " + key
        # The scope's limits are shorter: these end a thread that was left behind.
        names = ("connect_timeout", "first_event_timeout")
        failure: Exception | None = None
        try:
            session = self.client.session()
            failure = proxy_failure(url)
            if failure is None:
                self._response = session.request(
                    "GET" if body is None else "POST",
                    url,
                    data=body,
                    headers=headers,
                    timeout=tuple(self._values[name] + 1 for name in names),
                    verify=ca_file(url) or True,
                    proxies={"all": proxy_of(url)},
                )
        except Exception as error:
            failure = http_failure(error, self._scope.host)
            if failure is not error:
                forget(error)
        if self._scope.exchange is not self:
            self.close()
        return failure

    def connected(self, connection: Any, is_kept: bool = False) -> None:
        """Limit the wait for the answer.  The connection calls this; None stands for
        one of another program's class, which calls nothing else."""
        scope = self._scope
        if connection is not None:
            import socket

            connection.sock.settimeout(None)  # that was for connecting
            # Not os.dup(), which cannot duplicate sockets on Windows.
            self.line = socket.socket(fileno=socket.dup(connection.sock.fileno()))
            self.connection, self.is_kept = connection, is_kept
            self._connected_at = time.monotonic()
        if scope.exchange is self:
            scope.arm("first", self._values["first_event_timeout"])
            scope.news.set()
        else:
            shut_down(self.line)

    def new_body(self, sock: Any, *args: Any, **kwargs: Any) -> Any:
        """Make http.client's response.  The connection calls this to read the answer."""
        from http.client import HTTPResponse

        sock.settimeout(None)  # the scope limits the reads
        body = HTTPResponse(sock, *args, **kwargs)
        if body.fp.peek(1):  # a byte of the answer has arrived
            self._body = body
        return body

    def has_died_idle(self, failure: Exception) -> bool:
        """Whether a kept connection was lost before a byte of the answer arrived."""
        is_network = getattr(failure, "code", "") == "network"
        is_soon = time.monotonic() - self._connected_at < self.STALE_SECONDS
        return is_network and self.is_kept and is_soon and self._body is None

    def header(self, *names: str) -> str:
        """The first of these headers that is not empty, "" if all are."""
        values = (self.headers.get(name) for name in names)
        return next((str(value) for value in values if value), "")

    def read(self) -> bytes:
        if self.ended:
            return b""
        chunk, failure = b"", None
        try:
            chunk = next(self._chunks, b"")
        except Exception as error:
            failure = http_failure(error, self._scope.host, in_body=True)
        self._scope.check()
        # A body without a length just ends when the ticker shuts it down.
        failure = self._scope.late or failure
        if failure is not None:
            raise failure
        self._size += len(chunk)
        if self._size > self.MAX_BYTES:
            size = self.MAX_BYTES // MIB
            raise ProviderError("protocol", f"the response is larger than {size} MB")
        self.ended = not chunk
        return chunk

    def _read_body(self) -> Iterator[bytes]:
        """The content, as it arrives."""
        body = self._body
        if body is None:  # slow, but it works with every class and can be left behind
            pieces = self._response.iter_content(1)
            yield from iter(lambda: self._scope.call(lambda: next(pieces, b"")), b"")
            return
        if body.chunked:
            yield from dechunk(self._read_framed)
        else:
            left = _NEVER if body.length is None else body.length
            while left > 0:
                data = body.fp.read1(min(65536, left))
                if not data and left < _NEVER:
                    raise EOFError("the body is shorter than its Content-Length")
                left = left - len(data) if data else 0
                self.is_whole = left == 0
                yield data
        body.close()

    def _read_framed(self) -> bytes:
        data: bytes = self._body.fp.read1(65536)
        self.is_whole = data.endswith(b"\n0\r\n\r\n")  # if not, the end may wait
        return data

    def read_rest(self, limit: int, seconds: float) -> bytes:
        """The part of the body that arrives within `limit` bytes and `seconds`."""
        chunks, size = [], 0
        self._scope.arm("idle", seconds)
        try:
            while size < limit and not self.ended:
                chunks.append(self.read())
                size += len(chunks[-1])
        except ProviderError:
            pass  # the part that arrived has to do
        return b"".join(chunks)[:limit]

    def drain(self, seconds: float = 0.3) -> None:
        """Read the body's end if it comes soon: the connection can serve again."""
        try:
            if self._body is not None:  # else nothing could end the read
                self.read_rest(1, seconds)
        except Exception:
            pass  # a cancel, for example: the message is complete

    def has_data(self) -> bool:
        """Whether unread bytes wait in the socket."""
        return self.line is not None and is_ready(self.line.fileno(), True)

    def close(self) -> None:
        """Keep the connection if the body's end was read, otherwise drop it."""
        client, scope = self.client, self._scope
        if scope.exchange is self:
            client.unwatch(scope)
            scope.exchange = None
        connection, line = self.connection, self.line
        response, body = self._response, self._body
        is_read = self.ended and body is not None and body.isclosed()
        can_serve = is_read and self.status >= 200
        # Whoever still holds this exchange does not hold the request, too.
        self.connection = self.line = self._response = self._body = None
        self._chunks = iter(())
        if can_serve:
            try:
                connection.idle_since, connection.line = time.monotonic(), line.dup()
                # From here on, a late cancel of this turn cannot shut down a connection
                # that serves another one.
                line.close()
                client.watch(connection)
                response.raw.release_conn()
                return
            except Exception:
                pass  # no descriptor, no thread, or a urllib3 with other insides
        if line is not None:
            shut_down(line)
            line.close()
        if response is not None and body is None:
            spawn(close_quietly, response)  # a thread left behind may be reading it
        elif response is not None:
            close_quietly(response)


def close_quietly(target: Any) -> None:
    try:
        target.close()
    except Exception:  # a socket that was shut down closes in many ways
        pass


def send(
    client: Client, scope: Scope, url: str, key: str, body: bytes | None, values: JSON
) -> Exchange:
    """POST `body`, or GET if it is None; an empty `key` is not sent.

    Raises ProviderError (`network`, `timeout`, `protocol`, `config`) or Cancelled.
    """
    for _ in range(2):
        exchange = Exchange(client, scope, values)
        try:
            exchange.open(url, key, body)
            return exchange
        except Exception as error:
            failure, has_died_idle = error, exchange.has_died_idle(error)
            exchange.close()
        if not has_died_idle:
            break
        client.close()  # what died while idle costs nothing: once more, on a new one
    raise failure


def dechunk(read: Callable[[], bytes], max_line: int = 4096) -> Iterator[bytes]:
    """Yield the content of a chunked body (RFC 9112, section 7.1), a piece for a read.

    http.client returns one chunk a read, and a stream of small events has one chunk for
    each.  Raises ValueError for broken framing, after all content before it, and
    EOFError if the body ends early.
    """
    data, at = b"", 0  # what was read, and how far it is parsed
    left = trailers = 0  # bytes left of the chunk, bytes of trailers
    line_is = "size"  # what the next line is: also "end" of a chunk, "trailer"
    content: list[bytes] = []
    problem = ""
    while not problem:
        if left:
            content.append(data[at : at + left])
            at, left = at + len(content[-1]), left - len(content[-1])
        end = -1 if left else data.find(b"\n", at)
        if end < 0:
            if content:
                yield b"".join(content)
                content = []
            if not left and len(data) - at > max_line:
                raise ValueError("the line with a chunk's size is too long")
            more = read()
            if not more:
                raise EOFError("the body ended before its last chunk")
            data, at = data[at:] + more, 0
            continue
        line, at = data[at : end + 1], end + 1
        if line_is == "size":
            left = _chunk_size(line)
            line_is = "end" if left else "trailer"
            problem = "a chunk has no valid size" if left < 0 else ""
        elif line_is == "end":
            line_is = "size"
            problem = "" if line == b"\r\n" else "a chunk is longer than its size"
        elif line.strip():
            trailers += len(line)
            problem = "" if trailers < MAX_ERROR_BODY else "the trailers are too long"
        else:
            break
    if content:
        yield b"".join(content)
    if problem:
        raise ValueError(problem)


def _chunk_size(line: bytes) -> int:
    """The size of a chunk, -1 if the line has none."""
    digits = line.split(b";")[0].strip()
    # int() alone would take -5, 0x10 and 1_0.
    is_hex = digits and not digits.strip(b"0123456789abcdefABCDEF")
    return int(digits, 16) if is_hex and len(digits) <= 16 else -1


# --- certificates, proxies, faults

# Variables that name a file, or a directory, of CA certificates; the first that is set
# counts.  Programs with OpenSSL read the last one, but requests does not.
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def routes() -> list[str]:
    """The variables in effect that change the way to the host; their values stay out of
    messages."""
    upper = ("HTTPS_PROXY", "ALL_PROXY", "HTTP_PROXY")
    names = [form for name in upper for form in (name, name.lower())]
    ca = [name for name in _CA_VARIABLES if os.environ.get(name)]
    return [name for name in names if os.environ.get(name)] + ca[:1]


def ca_file(url: str) -> str:
    """The path of the CA certificates that a variable names, "" if none does.

    Raises ProviderError (`config`) for a file that cannot be read.
    """
    names = [name for name in _CA_VARIABLES if os.environ.get(name)]
    if not names or not url.startswith("https:"):
        return ""
    path = os.environ[names[0]]
    if not os.access(path, os.R_OK):
        text = f"{names[0]} names a CA certificate file that cannot be read"
        raise ProviderError("config", text, advice="ca_file")
    return path


def proxy_of(url: str) -> str:
    """The proxy on the way to `url`, "" if there is none.  Raises ValueError."""
    if url.startswith("http:"):
        return ""  # it only leads to this machine, and a proxy would see the key
    utils = import_requests().utils
    return str(utils.select_proxy(url, utils.get_environ_proxies(url)) or "")


def proxy_failure(url: str) -> ProviderError | None:
    """The error of a proxy on the way to `url` whose own URL is not valid, else None.

    requests and urllib3 report that in many ways, and some show the password.
    """
    from urllib.parse import urlsplit

    try:
        proxy = proxy_of(url)
        proxy = proxy if not proxy or "//" in proxy else "http://" + proxy
        parts = urlsplit(proxy)
        is_valid = re.match(r"(?i)(https?|socks(4a?|5h?))://\S+$", proxy)
        if not proxy or (is_valid and parts.hostname and parts.port != 0):
            return None
    except ValueError:
        pass
    return ProviderError("config", "the proxy URL is not valid", advice="proxy")


def library_versions() -> dict[str, str | None]:
    """The versions of the libraries that are loaded, by name."""
    names = ("requests", "urllib3")
    return {n: getattr(sys.modules.get(n), "__version__", None) for n in names}


def _causes(error: BaseException, in_context: bool) -> list[BaseException]:
    """`error` and everything it was raised from or wraps, outermost first.

    `in_context`: also what was being handled when it was raised.  In the thread of the
    caller, that may be an error that is no concern of ours.
    """
    causes: list[BaseException] = []
    queue: list[Any] = [error]
    for item in queue:  # which grows meanwhile
        if isinstance(item, BaseException) and item not in causes:
            causes.append(item)
            queue += [item.__cause__, getattr(item, "reason", None), *item.args]
            queue += [item.__context__] if in_context else []
    return causes


def forget(error: BaseException) -> None:
    """Clear the frames that `error` passed through.

    The error and its frames form cycles, which would keep the request and the answer
    until the next garbage collection, and those are rare.
    """
    for cause in _causes(error, in_context=False):
        trace, cause.__traceback__ = cause.__traceback__, None
        while trace is not None:
            try:
                trace.tb_frame.clear()
            except RuntimeError:
                pass  # this one still runs
            trace = trace.tb_next


_BAD_CERTIFICATE = "SSLCertVerificationError CertificateError"
_BAD_URL = "the URL is not valid: {reason}"
_SOCKS = "requests cannot use the SOCKS proxy: {reason}"
_BAD_PROXY = "the proxy to {host} failed: {reason}"
_BROKEN_HTTP = "{host} sent invalid HTTP: {reason}"
_LOST = "the connection to {host} failed: {reason}"
# What the exceptions of requests, urllib3, http.client and ssl mean, by the names of
# their classes (so that none has to be imported) and a text in them: code, message,
# advice.  The first row that fits any cause counts.  The top row is for bodies alone,
# which end where TLS ends.
_FAULTS: tuple[tuple[str, str, str, str, str], ...] = (
    ("SSLEOFError", "", "stream_cut", "the connection ended inside the body", ""),
    (_BAD_CERTIFICATE, "", "network", "{host}: {reason}", "certificate"),
    ("SSLError", "X509", "config", "the CA certificates: {reason}", "ca_file"),
    ("InvalidSchema", "SOCKS", "config", _SOCKS, "socks"),
    ("InvalidSchema InvalidURL LocationParseError", "", "config", _BAD_URL, ""),
    ("OSError", "failed: 407", "network", _BAD_PROXY, "proxy_login"),
    ("OSError", "Tunnel connection failed", "network", _BAD_PROXY, ""),
    ("ProxyError", "", "network", _BAD_PROXY, ""),
    ("EOFError IncompleteRead", "", "stream_cut", "{reason}", ""),
    ("gaierror", "", "network", "the address of {host} cannot be found: {reason}", ""),
    ("RemoteDisconnected", "", "network", "{host} hung up without an answer", ""),
    ("SSLError", "", "network", "TLS with {host} failed: {reason}", ""),
    ("HTTPException InvalidHeader", "", "protocol", _BROKEN_HTTP, ""),
    ("OSError HTTPError", "", "network", _LOST, ""),
    ("ValueError", "", "protocol", _BROKEN_HTTP, ""),
)


def http_failure(error: Exception, host: str, in_body: bool = False) -> Exception:
    """Our error for one of `requests`, or of a read of a body; `error` itself if it is
    ours, or a defect."""
    if isinstance(error, (ProviderError, Cancelled)):
        return error
    causes = _causes(error, in_context=not in_body)
    systems = [c for c in causes if isinstance(c, OSError) and c.errno]
    for names, needle, code, text, advice in _FAULTS if in_body else _FAULTS[1:]:
        for cause in reversed(causes):
            kinds = [kind.__name__ for kind in type(cause).__mro__]
            if not set(kinds).intersection(names.split()) or needle not in str(cause):
                continue
            reason = str(cause) or kinds[0]
            if systems and "object at 0x" in reason:
                reason = str(systems[-1].strerror)  # the others only wrap it
            reason = re.sub(r"//[^/\s]*@", "//...@", printable(reason, 200))
            # For the log: of a text only the system's own, others may quote content.
            deepest = f"{type(systems[-1]).__name__}: {systems[-1]}" if systems else ""
            return ProviderError(
                code,
                text.format(host=host, reason=reason),
                # Neither a certificate nor a login changes with a retry.
                retryable=False if advice in ("certificate", "proxy_login") else None,
                advice=advice,
                cause=deepest or kinds[0],
            )
    return error


# ---------------------------------------------------------------------------
# Turn: attempts, retries, capture, replay
# ---------------------------------------------------------------------------


class Capture:
    """One turn's file of JSON lines: without keys, for its owner only.

    It wraps `post` and `read_image` of a turn and writes the request, then for each
    attempt what was sent and received, and how the turn ended.  A failure of any kind
    ends it with a line in the log; it never harms the turn.
    """

    VERSION = 2
    MAX_FILE = 32 * MIB  # one turn: what a bug report can bear
    MAX_DIRECTORY = 512 * MIB  # before the oldest captures go
    MAX_COUNT = 500  # likewise
    PRIVATE = ("api_key", "api_key_file", "capture_dir")  # settings that stay out
    END_SIZE = 64 * 1024  # of a file, kept for how the turn ended
    # What a replay looks at and a bug report needs, none of them a credential.
    HEADERS = (
        *("Content-Type", "Content-Encoding", "Location", "Retry-After"),
        *("Date", "Server", "Via", *REQUEST_ID_HEADERS),
    )

    def __init__(self, values: JSON, request: Any, routes: list[str]) -> None:
        self.path = values["capture_dir"]  # of the file, as soon as there is one
        self._level = values["log_level"]
        self._began = time.monotonic()
        self._fd = -1
        self._size = 0
        self._is_full = False
        self._held = 0  # bytes of an answer that wait to be written
        self._has_body = False  # the body of the request was written
        try:
            self._create(self.path)
        except Exception as error:
            self._give_up(error)
        self.write(
            "turn",
            capture=self.VERSION,
            plugin=__version__,
            python=sys.version.split()[0],
            system=sys.platform,
            at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            key=key_kind(values["api_key"])[0],
            environment=routes,
            settings={k: v for k, v in values.items() if k not in self.PRIVATE},
            request=request,
        )

    def _create(self, folder: str) -> None:
        os.makedirs(folder, 0o700, exist_ok=True)
        self._make_room(folder)
        now = time.time_ns() // 1000
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now // 10**6))
        # No two threads that live at the same time have the same number.
        thread = threading.get_ident()
        name = f"{stamp}.{now % 10**6:06d}Z-{os.getpid()}-{thread}.jsonl"
        path = os.path.join(folder, name)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
        self._fd = os.open(path, flags, 0o600)
        self.path = path

    def _make_room(self, folder: str) -> None:
        """Remove the oldest captures until there is room for one more."""
        pattern = r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[0-9]+-[0-9]+\.jsonl$"
        files = []
        for name in filter(re.compile(pattern).match, os.listdir(folder)):
            path = os.path.join(folder, name)
            try:
                state = os.lstat(path)
            except FileNotFoundError:
                continue  # another process was faster
            if os.path.isfile(path) and not os.path.islink(path):
                files.append((path, state))
        files.sort(key=lambda file: file[1].st_mtime_ns, reverse=True)
        total = sum(state.st_size for _, state in files)
        limit = self.MAX_DIRECTORY - self.MAX_FILE
        while files and (len(files) >= self.MAX_COUNT or total > limit):
            path, state = files.pop()
            total -= state.st_size
            try:
                os.unlink(path)
            except OSError:
                pass  # likewise, or it is another user's

    def post(self, post: Callable[..., Exchange]) -> Callable[..., Exchange]:
        """`post`, with what it sends and receives written down."""

        def recorded(url: str, body: bytes, *args: Any) -> Exchange:
            sent: JSON = {"url": url}
            if not self._has_body:
                sent["body"] = parsed(body.decode("ascii"))
                self._has_body = True
            self.write("attempt", **sent)
            try:
                exchange = post(url, body, *args)
            except Exception as error:
                self.write("failure", **describe_error(error))
                raise
            values = {name: exchange.header(name) for name in self.HEADERS}
            headers = {name: value for name, value in values.items() if value}
            status, at = exchange.status, exchange.arrived
            self.write("response", status=status, at=at, headers=headers)
            self._tap(exchange)
            return exchange

        return recorded

    def _tap(self, exchange: Any) -> None:
        """Write what `exchange` reads as soon as it is closed."""
        read, close = exchange.read, exchange.close
        reads: list[tuple[float, bytes]] = []  # the last one is empty: the body's end
        failures: list[JSON] = []

        def tapped_read() -> bytes:
            try:
                data: bytes = read()
            except Exception as error:
                failures.append(describe_error(error))
                raise
            if self._held <= self.MAX_FILE:  # of one that is larger, "full" is written
                self._held += len(data)
                reads.append((time.monotonic() - self._began, data))
            return data

        def tapped_close() -> None:
            self._write_reads(reads)
            for failure in failures:
                self.write("failure", **failure)
            reads.clear()
            failures.clear()
            close()

        self._held = 0
        exchange.read, exchange.close = tapped_read, tapped_close

    def read_image(self, read: Callable[[str], JSON]) -> Callable[[str], JSON]:
        """`read`, with what it returns written down."""

        def recorded(path: str) -> JSON:
            try:
                source = read(path)
            except ValueError as error:
                self.write("image", problem=str(error))
                raise
            self.write("image", source=source)
            return source

        return recorded

    def end(self, event: JSON) -> None:
        """Write how the turn ended, if it did; nothing follows."""
        if event.get("type") in TERMINAL:
            self.write("end", event=event, libraries=library_versions())
        self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _write_reads(self, reads: list[tuple[float, bytes]]) -> None:
        """Write the pieces of a body: masked as a whole, then cut where they were."""
        whole = b"".join(data for _, data in reads)
        masked = SECRETS.text(whole.decode("latin-1")).encode("latin-1")
        at = 0
        for moment, data in reads:
            # Bytes that are not UTF-8 become lone surrogates, which JSON has a form for.
            piece = masked[at : at + len(data)].decode("utf-8", "surrogateescape")
            self.write("read", moment, data=piece)
            at += len(data)

    def write(self, kind: str, moment: float | None = None, **fields: Any) -> None:
        """Write a row; `moment` is in seconds since the turn began."""
        moment = time.monotonic() - self._began if moment is None else moment
        row: JSON = {"t": round(moment, 6), "kind": kind}
        try:
            row.update(fields if kind == "read" else SECRETS.value(fields))
            room = self.MAX_FILE - self.END_SIZE
            if not self._is_full and not self._append(row, room):
                self._append({"t": row["t"], "kind": "full"}, self.MAX_FILE)
                self._is_full = True
            if self._is_full and kind == "end":
                content = ("message", "partial")
                event = {k: v for k, v in row["event"].items() if k not in content}
                self._append({**row, "event": event}, self.MAX_FILE)
        except Exception as error:
            self._give_up(error)

    def _append(self, row: JSON, limit: int) -> bool:
        """Write `row` if the file stays within `limit` bytes."""
        text = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
        data = text.encode("utf-8", "backslashreplace") + b"\n"
        if self._size + len(data) > limit:
            return False
        view = memoryview(data)
        while view and self._fd >= 0:
            view = view[os.write(self._fd, view) :]
        self._size += len(data)
        return True

    def _give_up(self, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or type(error).__name__
        text = f"{self.path}: the capture of this turn ends here: {reason}"
        log(text, "warning", self._level)
        try:
            os.ftruncate(self._fd, self._size)  # no half line stays
        except OSError:
            pass  # it was never open
        self._close()


def describe_error(error: Exception) -> JSON:
    """An error as a row of a capture holds it, to be raised again by a replay."""
    if isinstance(error, Cancelled):
        return {"code": CANCELLED}
    if not isinstance(error, ProviderError):
        error = ProviderError("internal", type(error).__name__)
    names = ("code", "message", "hint", "retryable", "advice", "cause")
    return {name: getattr(error, name) for name in names}


# --- a turn


def hint_facts(values: JSON, url: str, model: str, used: list[str], start: str) -> JSON:
    """What hints may name: never the key itself, nor the values of variables."""
    host = host_of(url) if url else ""
    region = HOSTS.get(host, values["region"])
    other = "cn" if region == "global" else "global"
    _, kind, wallet, other_kind = key_kind(values["api_key"])
    model = canonical_model(model or values["model"])
    facts = model_facts(model)
    return {
        "host": host,
        "url": url,
        "region": region,
        "other_region": other,
        "other_host": host_of(REGIONS[other]),
        "base": REGIONS[values["region"]],
        "key_kind": kind,
        "other_key_kind": other_kind,
        "wallet": wallet,
        "model": model,
        "models": " or ".join(name for name in CURRENT_MODELS if name != model),
        "context": facts.context_window if facts else "available",
        "environment": f" In effect: {', '.join(used)}." if used else "",
        "command": start,
    }


class Turn:
    """One TurnRequest on its way: its attempts, and what is known of it.

    The world outside comes as arguments, so that a replay can take its place: `load()`
    returns the Settings, `post(url, body, values)` an open Exchange, `read_image(path)`
    the source of an image; `now()` and `sleep(seconds)` are the clock.
    """

    LAST_EVENT_SECONDS = 5.0  # after a stop reason, for message_stop to come
    ERROR_BODY_SECONDS = 10.0  # an error is worth no longer wait
    HEARTBEAT_SECONDS = 5.0

    def __init__(
        self,
        request: Any,
        scope: Scope,
        load: Callable[[], Settings],
        post: Callable[[str, bytes, JSON], Exchange],
        read_image: Callable[[str], JSON],
        used: list[str],
        command: str = "",
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self.failure: ProviderError | None = None
        self.capture: Capture | None = None
        self._request = request
        self._scope = scope
        self._load = load
        self._post = post
        self._read_image = read_image
        self._used = used  # variables that change the way to the host
        self._command = command
        self._now = now
        self._sleep = sleep or scope.sleep
        self._values = default_values()
        self._url = ""
        self._asked = ""
        self._translator = EventTranslator()
        self._attempts = 0
        self._first_event: float | None = None
        self._request_id: str | None = None
        self._last_heartbeat = -_NEVER
        self._exchange: Exchange | None = None  # of the attempt under way
        self._began = 0.0  # when it began, 0 if it is in the log already

    def batches(self) -> Generator[Batch, None, None]:
        """The events, in lists of what one read of the network gave."""
        try:
            yield from self._serve()
            return
        except Cancelled as error:
            forget(error)
            self._translator.stop_reason = CANCELLED
        except ProviderError as error:
            forget(error)
            self.failure = error
        except Exception as error:
            self.failure = internal_error(error)
            forget(error)
        events = list(self._translator.close())  # what it holds goes into the end
        yield [*events, self._end()]

    def _serve(self) -> Iterator[Batch]:
        self._scope.check()
        settings = self._load()
        self._values = values = settings.values
        base = base_url_of(values)
        self._url = base + MESSAGES_PATH
        self._scope.host = host_of(base)
        self._scope.start(values["turn_timeout"])
        if settings.problems:
            raise settings.problems[0][1]
        if not values["api_key"]:
            raise no_key(settings)
        if values["capture_dir"]:
            self._start_capture()
        data, warnings = self._body()
        if warnings:
            yield warnings
        while True:
            self._attempts += 1
            try:
                yield from self._attempt(data)
                return
            except ProviderError as error:
                forget(error)
                failure = error
            delay = self._delay(failure)
            yield [self._retry(failure, delay)]
            self._sleep(delay)

    def _start_capture(self) -> None:
        """Record what leads out of here, unless the directory hangs."""
        self._scope.arm("files", 0.5)  # seconds: the turn must not wait for long
        values, request, used = self._values, self._request, self._used
        try:
            capture = self._scope.call(lambda: Capture(values, request, used))
        except ProviderError as error:
            path, why = values["capture_dir"], error.message
            text = f"{path}: this turn is not captured: {why}"
            log(text, "warning", values["log_level"])
            return
        self.capture = capture
        self._post = capture.post(self._post)
        self._read_image = capture.read_image(self._read_image)

    def _body(self) -> tuple[bytes, list[JSON]]:
        names = ("model", "max_tokens_default", "effort")
        model, tokens, effort = (self._values[name] for name in names)
        request = self._request
        body, warnings = build_request(request, model, tokens, effort, self._image)
        try:
            data = dump_json(body).encode("ascii")
        except (ValueError, TypeError, RecursionError) as error:
            raise ProviderError("invalid_request", f"not JSON: {error}") from None
        if len(data) > MAX_BODY:
            text = f"the request is larger than {MAX_BODY // MIB} MB"
            raise ProviderError("invalid_request", text)
        asked = body["model"]
        asked = asked if isinstance(asked, str) else self._values["model"]
        self._asked = printable(asked, 200)
        return data, warnings

    def _image(self, path: str) -> JSON:
        if not self._values["allow_image_paths"]:
            raise ValueError("allow_image_paths is off")
        return self._read_image(path)

    # Attempts

    def _attempt(self, data: bytes) -> Iterator[Batch]:
        self._request_id = self._first_event = self._exchange = None
        self._translator = EventTranslator(self._asked)
        self._size = self._events_seen = 0
        self._last_event = ""
        self._began = self._opened = self._now()
        exchange = self._post(self._url, data, self._values)
        try:
            self._exchange, self._opened = exchange, self._now()
            request_id = exchange.header(*REQUEST_ID_HEADERS)
            self._request_id = printable(request_id, 200) or None
            try:
                yield from self._stream(exchange)
            except ProviderError:  # whatever comes after a whole message
                if not self._translator.complete:
                    raise
            yield from self._batch(self._translator.conclude())
            # The host's next turn may come at once: if possible, it finds the
            # connection free.
            if exchange.is_whole or exchange.has_data():
                exchange.drain()
            if exchange.ended:
                exchange.close()
            yield [self._end()]
            exchange.drain()
        finally:
            exchange.close()

    def _stream(self, exchange: Exchange) -> Iterator[Batch]:
        """The events of the body, until the message is complete."""
        translator, decoder = self._translator, SSEDecoder()
        chunk, message = self._opening(exchange)
        if message is not None:
            yield from self._batch(self._events([message], None))
            return
        opening = chunk
        while chunk:
            self._size += len(chunk)
            yield from self._batch(self._events(*read_payloads(decoder, chunk)))
            if translator.stopped:
                return
            chunk = exchange.read()
        yield from self._batch(self._events(*read_payloads(decoder, b"")))
        if translator.stopped or translator.complete:
            return
        if self._first_event is None and not opens_stream(opening):
            text = printable(opening.decode("utf-8", "replace"), 200)
            raise ProviderError("protocol", f"not an event stream but {text}")
        has_reason = translator.stop_reason is not None
        place = "inside a block" if has_reason else "before its stop reason"
        raise ProviderError("stream_cut", f"the answer ended {place}")

    def _batch(self, source: Iterator[JSON]) -> Iterator[Batch]:
        """All that `source` yields as one batch, also when it fails on the way."""
        events: list[JSON] = []
        failure = None
        try:
            events.extend(source)
        except ProviderError as error:
            failure = error
        if events:
            self._scope.pause()  # the host has the word
            yield events
            self._scope.resume()
        self._scope.check()
        if failure is not None:
            raise failure

    def _events(
        self, payloads: list[JSON], failure: ProviderError | None
    ) -> Iterator[JSON]:
        """The TurnEvents of what one read brought, up to its failure."""
        translator, seconds = self._translator, self._values["idle_timeout"]
        is_news = False
        for payload in payloads if len(payloads) == 1 else merge_deltas(payloads):
            was_complete = translator.complete
            self._last_event = payload["type"]
            self._events_seen += 1
            if payload["type"] != "ping" and not was_complete:
                is_news = True
                if self._first_event is None:
                    self._first_event = self._now()
            for event in translator.translate(payload):
                if event["type"] != HEARTBEAT or self._is_heartbeat_due():
                    yield event
            if translator.stopped:
                return
            is_news = is_news or translator.complete != was_complete
        if is_news:
            if translator.complete:
                seconds = min(seconds, self.LAST_EVENT_SECONDS)
            self._scope.arm("idle", seconds)
        if failure is not None:
            raise failure

    def _is_heartbeat_due(self) -> bool:
        now = self._now()
        is_due = now - self._last_heartbeat >= self.HEARTBEAT_SECONDS
        self._last_heartbeat = now if is_due else self._last_heartbeat
        return is_due

    def _opening(self, exchange: Exchange) -> tuple[bytes, JSON | None]:
        """The first bytes of an event stream, or a whole message that was not streamed;
        raises what another answer means."""
        kind = exchange.header("Content-Type").lower()
        is_announced = not kind or "event-stream" in kind
        opening, is_decided = b"", False
        while exchange.status == 200 and not encoding_of(exchange) and not is_decided:
            chunk = exchange.read()
            opening = (opening + chunk).lstrip(b"\r\n")
            head = opening.lstrip(_BLANK)
            is_other = head[:1] in (b"{", b"<")  # JSON, or a page
            is_decided = is_other or not chunk or len(opening) > 64
            is_stream = is_announced and not is_other and (head or is_decided)
            if is_stream or head.startswith(_SSE_OPENINGS):
                return opening, None
        limit = 16 * MIB if exchange.status == 200 else MAX_ERROR_BODY
        body = opening + exchange.read_rest(limit, self.ERROR_BODY_SECONDS)
        payload = parsed(body.lstrip(_BLANK).decode("utf-8", "replace"))
        is_message = isinstance(payload, dict) and payload.get("type") == "message"
        has_content = is_message and isinstance(payload.get("content"), list)
        if exchange.status == 200 and has_content:
            return b"", payload
        raise refusal(exchange, body, self._url, "an event stream")

    def _delay(self, error: ProviderError, max_backoff: float = 60.0) -> float:
        """Seconds before the next attempt; raises `error` if there is to be none."""
        values, after = self._values, error.details.get("retry_after")
        is_final = not error.retryable or self._translator.any_block
        is_late = (after or 0) > values["retry_after_max"]
        if is_final or is_late or self._attempts > values["max_retries"]:
            raise error
        pace = PACES.get(error.code, 1) * 2 ** (self._attempts - 1)
        jitter = 0.5 + int.from_bytes(os.urandom(2), "big") / 131072
        backoff = min(values["retry_base_delay"] * pace, max_backoff) * jitter
        delay = float(round(after or backoff, 3))
        if delay >= self._scope.turn_seconds_left:
            raise error
        return delay

    # Events that are ours

    def _retry(self, error: ProviderError, delay: float) -> JSON:
        self._explain(error)
        self._log_attempt(error)
        return {
            "type": RETRY,
            "attempt": self._attempts,
            "max_attempts": self._values["max_retries"] + 1,
            "delay": delay,
            "error": error.to_dict(),
        }

    def _end(self) -> JSON:
        """The last event: `turn_end`, or `error` if there is a failure."""
        translator, failure = self._translator, self.failure
        message, accepted = translator.message(), self._scope.accepted
        usage: JSON = {"usage": dict(translator.usage) or None}
        cost = cost_usd(translator.model, translator.usage)
        if cost is not None and translator.is_charged:
            usage["cost_usd"] = cost
        first = self._first_event
        timing = {
            "first_event_ms": None if first is None else int((first - accepted) * 1000),
            "total_ms": int((self._now() - accepted) * 1000),
            "attempts": self._attempts,
        }
        if failure is None:
            event = {
                "type": TURN_END,
                "stop_reason": translator.stop_reason,
                "message": message,
                "model": translator.model,
                "message_id": translator.message_id,
                **usage,
                "request_id": self._request_id,
                "timing": timing,
            }
        else:
            self._explain(failure)
            model, error = translator.model or self._asked or None, failure.to_dict()
            event = {"type": ERROR, "error": error, "model": model, **usage}
            event.update(partial=message, timing=timing)
        self._log_attempt(failure)
        self._log_turn(event)
        return event

    def _explain(self, error: ProviderError) -> None:
        """Fill in the hint, for this host, model and key."""
        if self._request_id is not None:
            error.details.setdefault("request_id", self._request_id)
        is_ours = not self._url or host_of(self._url) in HOSTS
        if error.code == "auth" and not is_ours and not error.advice:
            error.advice = "auth_elsewhere"
        facts = (self._values, self._url, self._asked, self._used, self._command)
        error.explain(hint_facts(*facts))

    # The log

    def _log_attempt(self, error: ProviderError | None) -> None:
        if self._values["log_level"] != "info" or not self._began:
            return
        # Errors whose message is all ours may stand in the log.
        own = ("network", "timeout", "stream_cut", "empty_response", "config")
        cause = error and (error.cause or (error.code in own and error.message))
        exchange, first = self._exchange, self._first_event
        self._log_line(
            "attempt",
            outcome=error.code if error else self._translator.stop_reason,
            status=exchange and exchange.status,
            new_connection=exchange and not exchange.is_kept,
            headers_ms=exchange and int((self._opened - self._began) * 1000),
            first_event_ms=first and int((first - self._began) * 1000),
            end_ms=int((self._now() - self._began) * 1000),
            bytes=self._size,
            events=self._events_seen,
            last_event=printable(self._last_event, 40) or None,
            cause=cause or None,
        )
        self._began = 0.0

    def _log_turn(self, event: JSON) -> None:
        error, usage = event.get("error") or {}, event["usage"] or {}
        counts = ("input_tokens", "cache_read_input_tokens", "output_tokens")
        self._log_line(
            "turn",
            outcome=error.get("code") or event.get("stop_reason"),
            http_status=error.get("http_status"),
            provider_code=error.get("provider_code"),
            model=event["model"],
            **event["timing"],
            **{name: usage.get(name) for name in counts},
            cost_usd=event.get("cost_usd"),
            request_id=event.get("request_id") or error.get("request_id"),
            capture=self.capture and self.capture.path,
        )

    def _log_line(self, what: str, **facts: Any) -> None:
        name = self._request.get("id") if isinstance(self._request, dict) else None
        name = None if name is None else printable(str(name), 80)
        text = key_values({"id": name, **facts})
        log(f"{what} {text}", "info", self._values["log_level"])


def key_values(facts: JSON) -> str:
    """`facts` that are not None as key=value, in quotes where it is not one word."""
    pairs = []
    for name, value in facts.items():
        is_word = isinstance(value, str) and re.match(r"[\w.,:/+-]+$", value, re.ASCII)
        if value is not None:
            pairs.append(f"{name}={value if is_word else dump_json(value)}")
    return " ".join(pairs)


def no_key(settings: Settings) -> ProviderError:
    """The error of a turn that has no key to send."""
    text = "No API key."
    if settings.unknown:
        names = ", ".join(map(name_unknown, settings.unknown))
        text = f"No API key; {settings.path} has the unknown settings {names}."
    return ProviderError("config", text, advice="no_key")


# --- answers, and what they mean

# How an event stream may open that its Content-Type does not announce, and what may
# stand before that: a byte order mark, too.
_SSE_OPENINGS = (b"event:", b"data:", b"id:", b"retry:", b":")
_BLANK = b"\xef\xbb\xbf \t\r\n"


def opens_stream(opening: bytes) -> bool:
    """Whether `opening` could be the beginning of an event stream, or is nothing."""
    head = opening.lstrip(_BLANK)
    return any(o.startswith(head[: len(o)]) for o in _SSE_OPENINGS)


def encoding_of(exchange: Exchange) -> str:
    """The Content-Encoding of an answer that has one, though none was asked for."""
    encoding = printable(exchange.header("Content-Encoding"), 40)
    return "" if encoding.lower() == "identity" else encoding


def read_payloads(
    decoder: SSEDecoder, chunk: bytes
) -> tuple[list[JSON], ProviderError | None]:
    """The upstream payloads that `chunk` completes (b"": that the end completes), up to
    the first that is none, and the error of that."""
    payloads: list[JSON] = []
    try:
        for sse in decoder.feed(chunk) if chunk else decoder.close():
            payload = read_payload(sse, is_last=not chunk)
            if payload is not None:
                payloads.append(payload)
    except ProviderError as error:
        return payloads, error
    except ValueError as error:
        return payloads, ProviderError("protocol", str(error))
    return payloads, None


def read_payload(sse: ServerSentEvent, is_last: bool) -> JSON | None:
    """The JSON of an event, None if there is nothing in it for us.

    `is_last`: the body ended without the event's last line, so it may be half of one.
    """
    if sse.event == "ping":
        ping = parsed(sse.data)
        return {**(ping if isinstance(ping, dict) else {}), "type": "ping"}
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
    is_event = isinstance(kind, str) and (kind in _ON or sse.event != "error")
    if not isinstance(kind, str) or not (is_event or is_error_payload(payload)):
        is_error = is_error_payload(payload)
        payload["type"] = "error" if is_error else sse.event
    return payload


def refusal(exchange: Exchange, body: bytes, url: str, wanted: str) -> ProviderError:
    """The error that an answer other than the one wanted stands for."""
    text = body.lstrip(_BLANK).decode("utf-8", "replace")
    if encoding_of(exchange):
        text = f"the body is encoded ({encoding_of(exchange)}), which was not asked for"
    payload = parsed(text)
    if payload is None:  # it may be framed as a stream all the same, or precede one
        data = text[:MAX_ERROR_BODY].encode("utf-8", "replace") + b"\n\n"
        events = SSEDecoder().feed(data)
        payloads = (parsed(event.data) for event in events)
        payload = next(filter(is_error_payload, payloads), None)
    if payload is None:
        text = strip_html(text[:8192])
    is_good = exchange.status == 200
    error = upstream_error(payload, None if is_good else exchange.status, text)
    if is_good and not is_error_payload(payload):
        kind = exchange.header("Content-Type") or "no content type"
        text = printable(f"{kind}: {text}", 200)
        error = ProviderError("protocol", f"not {wanted} but {text}")
    elif exchange.status // 100 == 3:
        where = printable(exchange.header("Location") or "nowhere", 200)
        error.message += f"; a redirect to {where}, which is not followed"
        error.advice = "redirect"
    elif error.code == "not_found":
        error.message = f"HTTP 404 from {url}: {printable(text, 200)}"
    after = retry_after(exchange.header("Retry-After"), exchange.arrived)
    if after is not None:
        error.details["retry_after"] = after
    return error


def strip_html(text: str) -> str:
    """The text of a page that a proxy or a web server sent."""
    text = re.sub(r"(?s)<(script|style)\b.*?(?:</\1>|$)", " ", text)
    return re.sub(r"<[^<>]*>", " ", text)


def retry_after(value: str, now: float, longest: float = 1e9) -> float | None:
    """Seconds to wait by a Retry-After header (RFC 9110, 10.2.3), None if it has none.

    `now` is the time of day in seconds since the epoch; fractions are understood.
    """
    value = value.strip()
    if re.match(r"\d+(\.\d+)?$", value, re.ASCII):
        return min(float(value), longest)
    from datetime import timezone
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(value)  # without a zone, it is GMT
        moment = moment.replace(tzinfo=moment.tzinfo or timezone.utc)
        seconds = moment.timestamp() - now
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return round(min(max(seconds, 0.0), longest), 3)


# --- the provider


class MiniMaxProvider:
    """MiniMax's models: TurnRequests in, TurnEvents out.

    The keywords are the keys of OPTIONS; a wrong one raises ProviderError (`config`).
    Reads no configuration file, and of the environment the proxy and CA variables only;
    `from_config()` reads both.  Any number of threads may run turns on one provider,
    and a forked child may go on with it.
    """

    command = "plexum-minimax"  # what starts this program at a prompt, for hints

    def __init__(self, **options: Any) -> None:
        unknown = sorted(set(options) - set(OPTIONS))
        if unknown:
            names = ", ".join(map(setting_name, unknown))
            raise ProviderError("config", f"unknown options: {names}")
        self._values = default_values()
        for name, value in options.items():
            self._values[name] = check_value(name, value, "MiniMaxProvider")
        self._file: tuple[str | None, JSON] | None = None  # path and overrides
        self._clients: dict[int, Client] = {}  # one, by the process that made it

    @classmethod
    def from_config(cls, path: str | None = None, **overrides: Any) -> MiniMaxProvider:
        """A provider set by the configuration file and the environment.

        Each turn reads them again; what is wrong with them is the error of that turn.
        `overrides` are options that win over both.
        """
        provider = cls()
        provider._file = (path, overrides)
        return provider

    def __enter__(self) -> MiniMaxProvider:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections kept for further turns."""
        self._client().close()

    def turn(
        self, request: JSON, cancel: Any = None, raise_errors: bool = False
    ) -> Iterator[JSON]:
        """Yield the events of one turn, the same as on the wire.

        `request` is a TurnRequest: {"messages": [{"role": "user", "content": "hi"}]},
        and what else the README lists.  The events are {"type": "turn_start", "model",
        "message_id"}, {"type": "block_start", "index", "block"}, {"type": "text_delta"
        or "thinking_delta", "index", "text"}, {"type": "input_delta", "index", "json"},
        {"type": "block_end", "index", "block"}, {"type": "warning", "code", "text"},
        {"type": "retry", "attempt", "max_attempts", "delay", "error"}, {"type":
        "heartbeat"}, and at the end {"type": "turn_end", "stop_reason", "message",
        "model", "message_id", "usage", "request_id", "timing"} or {"type": "error",
        "error": {"code", "message", "hint", "retryable", ...}, "model", "usage",
        "partial", "timing"}.

        Setting the event `cancel` ends the turn within a second; closing the iterator
        drops the connection.  With `raise_errors` a failed turn raises its
        ProviderError instead of yielding the `error` event.
        """
        name = request.get("id") if isinstance(request, dict) else None
        for batch in self.batches(request, Scope(cancel), raise_errors):
            for event in batch:
                yield event if name is None else {"id": name, **event}

    def complete(self, request: JSON, cancel: Any = None) -> JSON:
        """Run one turn and return its `turn_end` event: {"stop_reason", "message",
        "usage", ...}, see `turn()`.  Raises the ProviderError of a turn that failed."""
        event: JSON = {}
        for event in self.turn(request, cancel, raise_errors=True):
            pass
        return event

    def text(self, request: JSON, cancel: Any = None) -> Iterator[str]:
        """Yield the text of one turn as it comes, without thinking or tool calls.
        Raises the ProviderError of a turn that failed."""
        for event in self.turn(request, cancel, raise_errors=True):
            if event["type"] == TEXT_DELTA:
                yield event["text"]

    def batches(
        self, request: JSON, scope: Scope, raise_errors: bool = False
    ) -> Iterator[Batch]:
        """The events of one turn, in lists of what one read of the network gave."""

        def read_image(path: str) -> JSON:
            scope.arm("files", FILE_SECONDS)
            return dict(scope.call(lambda: read_image_file(path)))

        turn = Turn(
            request,
            scope,
            load=lambda: self._settings_for(scope),
            post=lambda url, body, values: send(
                self._client(), scope, url, values["api_key"], body, values
            ),
            read_image=read_image,
            used=routes(),
            command=self.command,
        )
        batches = turn.batches()
        last: JSON = {}
        try:
            for batch in batches:
                batch = [outgoing(event) for event in batch]
                last = batch[-1]
                if raise_errors and turn.failure is not None:
                    yield batch[:-1]
                    raise redacted(turn.failure) from None
                yield batch
        finally:
            batches.close()  # now, so that the attempt is written before the end
            if turn.capture is not None:
                turn.capture.end(last)

    def load(self) -> Settings:
        """The settings that the next turn will have, with their problems."""
        if self._file is not None:
            path, overrides = self._file
            return load_settings(path, overrides=overrides)
        settings = Settings(dict(self._values), {}, [], "", 0, [])
        _load_key_file(settings, {})
        return settings

    def settings(self) -> JSON:
        """The values that the next turn will have.  Raises ProviderError (`config`) for
        the first problem, or without a key."""
        settings = self.load()
        if settings.problems:
            raise settings.problems[0][1]
        if not settings.values["api_key"]:
            error = no_key(settings)
            error.explain({"command": self.command})
            raise error
        return dict(settings.values)

    def get(self, url: str, values: JSON, seconds: float = 30.0) -> JSON:
        """The JSON object at `url`, with the key in `values` if there is one.

        Each step may take `seconds`.  Raises ProviderError with its hint filled in.
        """
        limits = ("connect_timeout", "first_event_timeout")
        values = {**values, **{name: min(values[name], seconds) for name in limits}}
        scope = Scope()
        scope.host = host_of(url)
        scope.start(2 * seconds)
        try:
            exchange = send(self._client(), scope, url, values["api_key"], None, values)
            try:
                body = exchange.read_rest(4 * MIB, seconds)
                payload = parsed(body.decode("utf-8", "replace"))
                is_answer = isinstance(payload, dict) and not is_error_payload(payload)
                if exchange.status == 200 and is_answer:
                    return dict(SECRETS.value(payload))
                raise refusal(exchange, body, url, "JSON")
            finally:
                exchange.close()
        except ProviderError as error:
            if error.code == "timeout":  # the limits need not be those of the settings
                error.message = error.message.rpartition(" (")[0]
                error.advice = "query"
            if error.code == "auth" and scope.host not in HOSTS:
                error.advice = "auth_elsewhere"
            error.explain(hint_facts(values, url, "", routes(), self.command))
            raise redacted(error) from None

    def _settings_for(self, scope: Scope) -> Settings:
        """The settings for a turn, whose files may hang."""
        if self._file is None and not self._values["api_key_file"]:
            return self.load()
        scope.arm("files", FILE_SECONDS)
        settings: Settings = scope.call(self.load)
        log_oddities(settings)
        return settings

    def _client(self) -> Client:
        """The connections of this process: a fork must not share its parent's."""
        pid, clients = os.getpid(), self._clients
        if pid not in clients:
            clients.setdefault(pid, Client(self._values["max_concurrent_turns"]))
            for parent in [other for other in clients if other != pid]:
                del clients[parent]
        return clients[pid]


# --- replay: a captured turn again, without network

# The rows of a capture, and the types of what each must have for a replay.
_ROWS: dict[str, dict[str, str]] = {
    "turn": {"settings": "object", "request": "object", "environment": "list"},
    "image": {},
    "attempt": {"url": "string"},
    "response": {"status": "integer", "headers": "object", "at": "number"},
    "read": {"data": "string"},
    "failure": {"code": "string"},
    "full": {},
    "end": {"event": "object"},
}


class Recording(Exchange):
    """The rows of a capture in place of the network, the files and the clock.

    It is also the Exchange of the attempt that `post()` has returned last.
    """

    is_whole = True  # no socket is asked for more
    _body = None  # likewise

    def __init__(self, rows: list[JSON], scope: Scope) -> None:
        self.seconds = 0.0  # the clock of the recording
        self.differences: list[str] = []
        self._scope = scope
        self._rows = deque(rows[1:-1])
        self._is_cancelled = rows[-1]["event"].get("stop_reason") == CANCELLED

    def take(self, *kinds: str) -> JSON:
        """The next row, which has to be of one of `kinds`."""
        if not self._rows or self._rows[0]["kind"] not in kinds:
            text = f"the recording has no {' or '.join(kinds)} here"
            self.differences.append(text)
            raise Cancelled
        row = self._rows.popleft()
        self.seconds = row["t"]
        if row["kind"] == "failure":
            raise recorded_error(row)
        return row

    def post(self, url: str, body: bytes, values: JSON) -> Exchange:
        while self._rows and self._rows[0]["kind"] != "attempt":
            self._rows.popleft()  # of the attempt before, and not looked at any more
        row, sent = self.take("attempt"), {"url": url, "body": parsed(body.decode())}
        recorded = {name: row.get(name, sent[name]) for name in sent}
        self.differences.append(difference(recorded, sent))
        row = self.take("response", "failure")
        self.status, self.headers, self.arrived = (
            row["status"],
            row["headers"],
            row["at"],
        )
        self.ended = False
        return self

    def read(self) -> bytes:
        if self.ended:
            return b""
        text = str(self.take("read", "failure")["data"])
        self.ended = not text
        return text.encode("utf-8", "surrogateescape")

    def close(self) -> None:
        pass

    def read_image(self, path: str) -> JSON:
        row = self.take("image")
        if isinstance(row.get("source"), dict):
            return dict(row["source"])
        raise ValueError(printable(str(row.get("problem"))))

    def now(self) -> float:
        return self._scope.accepted + self.seconds

    def sleep(self, seconds: float) -> None:
        if not self._rows and self._is_cancelled:
            raise Cancelled


def replay(path: str, emit: Callable[[float, JSON], object]) -> str:
    """Run a captured turn again; `emit` takes the seconds since its start and events.

    Returns how the outcome differs from the recording, "" if it is the same.  Raises
    ValueError that names the line, or OSError.
    """
    rows = read_capture(path)
    head, scope = rows[0], Scope()
    recording = Recording(rows, scope)
    turn = Turn(
        head["request"],
        scope,
        load=lambda: recorded_settings(head),
        post=recording.post,
        read_image=recording.read_image,
        used=[printable(str(name), 40) for name in head["environment"]],
        now=recording.now,
        sleep=recording.sleep,
    )
    event: JSON = {}
    for batch in turn.batches():
        for event in map(outgoing, batch):
            emit(recording.seconds, event)
    outcomes = map(comparable, (rows[-1]["event"], event))
    return "; ".join(filter(None, [*recording.differences, difference(*outcomes)]))


def read_capture(path: str) -> list[JSON]:
    """The rows of a capture, checked.  Raises ValueError or OSError."""
    data, _ = read_file(path, Capture.MAX_FILE)
    *lines, rest = data.split(b"\n")
    rows: list[JSON] = []
    for number, line in enumerate(lines, 1):
        try:
            row = load_json(line.decode("utf-8"), MAX_DEPTH + 20)  # of a turn's values
            problem = _row_problem(row, number)
        except ValueError as error:
            problem = f"it cannot be read: {error}"
        if problem:
            raise ValueError(f"line {number}: {problem}")
        rows.append(row)
    if not rows or rows[-1]["kind"] != "end":
        number = len(rows) + bool(rest)
        raise ValueError(f"line {number}: the capture stops before the turn's end")
    return rows


def _row_problem(row: Any, number: int) -> str:
    """What is wrong with a row of a capture, "" if nothing is."""
    at = row.get("t", -1) if isinstance(row, dict) else -1
    if not TYPES["number"][0](at) or not 0 <= at <= 1e9:  # seconds, some 30 years
        return "it is not a row of a capture"
    kind = row.get("kind")
    fields = _ROWS.get(kind) if isinstance(kind, str) else None
    if fields is None or (kind == "turn") is not (number == 1):
        return f"a row of kind {printable(str(kind), 40)} cannot stand here"
    if kind == "turn" and row.get("capture") != Capture.VERSION:
        return f"this program reads version {Capture.VERSION} of the format"
    if kind == "full":
        return f"the file reached its limit of {Capture.MAX_FILE // MIB} MiB here"
    if kind == "failure" and row["code"] not in (*ERRORS, CANCELLED):
        return "its code is unknown"
    wrong = [name for name in fields if not TYPES[fields[name]][0](row.get(name))]
    return f"its {wrong[0]} is missing or wrong" if wrong else ""


def recorded_settings(head: JSON) -> Settings:
    """The settings of a capture; a replay has no key, and writes nothing."""
    values = default_values()
    for name, value in head["settings"].items():
        if name in OPTIONS and name not in Capture.PRIVATE:
            values[name] = check_value(name, value, "the capture")
    values["api_key"] = key_kind(str(head.get("key", "")))[0] + "***"
    values["log_level"] = "error"
    return Settings(values, {}, [], "", 0, [])


def recorded_error(row: JSON) -> Exception:
    """The error of a row; nothing in it is taken as a template.

    It has no details: those come from answers, which are replayed themselves.
    """
    if row["code"] == CANCELLED:
        return Cancelled()
    message, hint, advice = (str(row.get(n)) for n in ("message", "hint", "advice"))
    advice = advice if advice in ADVICE else ""
    return ProviderError(row["code"], message, hint, bool(row.get("retryable")), advice)


def comparable(event: JSON) -> JSON:
    """A last line without what is never the same twice."""
    timing = event.get("timing")
    attempts = timing.get("attempts") if isinstance(timing, dict) else None
    return {**event, "timing": {"attempts": attempts}}


def difference(before: Any, now: Any) -> str:
    """The first place where two JSON values differ, masked keys aside, or ""."""
    if _is_alike(before, now):
        return ""
    names: list[str] = []
    while True:
        keys: Any = ()
        if isinstance(before, dict) and isinstance(now, dict):
            keys = before if list(before) == list(now) else ()
        elif isinstance(before, list) and isinstance(now, list):
            keys = range(len(before) if len(before) == len(now) else 0)
        name = next((k for k in keys if not _is_alike(before[k], now[k])), None)
        if name is None:
            texts = [printable(dump_json(value)[:200], 60) for value in (before, now)]
            return f"{printable('.'.join(names))} was {texts[0]} and is {texts[1]}"
        names.append(str(name))
        before, now = before[name], now[name]


def _is_alike(before: Any, now: Any) -> bool:
    """Whether two values are the same JSON, but for what a capture masks."""
    one, other = dump_json(before), dump_json(now)
    if one == other or "****" not in one:
        return one == other
    return len(one) == len(other) and all(a in ("*", b) for a, b in zip(one, other))


# ---------------------------------------------------------------------------
# Plugin loop: JSON lines in, JSON lines out
# ---------------------------------------------------------------------------


def manifest() -> JSON:
    """What the plugin is and can do, for `describe`, --manifest and manifest.json."""
    return {
        "name": NAME,
        "version": __version__,
        "protocol": PROTOCOL,
        "kind": "provider",
        "executable": NAME + "-plugin",
        "activation": "lazy",
        "provider": {"models": list(MODELS)},
        "models": [
            {
                "id": model.id,
                "context_window": model.context_window,
                "max_output_tokens": model.max_output_tokens,
                "input": model.input,
                "thinking": "always" if model.family.always_thinks else "adaptive",
                "effort": list(EFFORTS) if model.family.has_effort else [],
                "prices": model.prices,
                "retired": model.retired,
            }
            for model in MODELS.values()
        ],
        "config": [
            {"name": name, "type": o.type, "default": o.default, "help": o.help}
            for name, o in OPTIONS.items()
        ],
        "capabilities": [
            *("streaming", "thinking", "tools", "images", "cancel", "concurrency")
        ],
    }


# The lines, and what they hold, by their own names; that a host may spell its fields in
# other ways, JSON Schema has no form for.  Later versions may send further fields.
# "#Name" is short for a reference to the shape of that name.
_SCHEMA = """
{
"Id": {"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer"}]},
"MaybeId": {"anyOf": ["#Id", {"type": "null"}]},
"Text": {"type": ["string", "null"]},
"Count": {"type": "integer", "minimum": 0},
"Unset": {"enum": [null, "", []]},
"Block": {"type": "object", "required": ["type"], "properties": {
  "type": {"type": "string"}},
  "allOf": [
    {"if": {"properties": {"type": {"const": "text"}}},
     "then": {"required": ["text"], "properties": {"text": {"type": "string"}}}},
    {"if": {"properties": {"type": {"const": "tool_use"}}},
     "then": {"required": ["id", "name"], "properties": {
       "id": {"type": "string"}, "name": {"type": "string"}}}},
    {"if": {"properties": {"type": {"const": "tool_result"}}},
     "then": {"required": ["tool_use_id"], "properties": {
       "tool_use_id": {"type": "string"}}}}]},
"Content": {"anyOf": ["#Text", {"type": "array", "items": "#Block"}]},
"TextBlocks": {"anyOf": ["#Text", {"type": "array", "items": {
  "type": "object", "required": ["type", "text"], "properties": {
    "type": {"const": "text"}, "text": {"type": "string"}}}}]},
"InputMessage": {"type": "object", "required": ["role"], "properties": {
  "role": {"enum": ["user", "assistant", "system", "developer"]}},
  "if": {"properties": {"role": {"enum": ["system", "developer"]}}},
  "then": {"properties": {"content": "#TextBlocks"}},
  "else": {"properties": {"content": "#Content"}}},
"Turn": {"type": "object", "required": ["messages"], "properties": {
  "type": {"const": "turn"}, "id": "#MaybeId", "model": "#Text",
  "messages": {"type": "array", "minItems": 1, "items": "#InputMessage"},
  "system": "#TextBlocks",
  "tools": {"anyOf": ["#Unset", {"type": "array", "items": {"type": "object"}}]},
  "tool_choice": {"anyOf": ["#Unset", {"enum": ["auto", "any", "none", "required"]},
    {"type": "object", "required": ["type"], "properties": {
      "type": {"type": "string"}}}]},
  "max_tokens": {"anyOf": ["#Unset", "#Count"]},
  "temperature": {"anyOf": ["#Unset", {"type": "number"}]},
  "top_p": {"anyOf": ["#Unset", {"type": "number"}]},
  "top_k": {"anyOf": ["#Unset", {"type": "integer"}]},
  "stop_sequences": {"anyOf": ["#Unset", {"type": "array",
    "items": {"type": "string"}}]},
  "metadata": {"anyOf": ["#Unset", {"type": "object"}]},
  "service_tier": {"anyOf": ["#Unset", {"type": "string"}]},
  "thinking": {"anyOf": [{"type": ["boolean", "object", "null"]}, {"const": ""}]},
  "effort": {"anyOf": ["#Unset", {"type": "string"}]},
  "extra_body": {"anyOf": ["#Unset", {"type": "object"}]}}},
"Cancel": {"type": "object", "required": ["type", "id"], "properties": {
  "type": {"const": "cancel"}, "id": "#Id"}},
"Ping": {"type": "object", "required": ["type"], "properties": {
  "type": {"const": "ping"}, "id": "#MaybeId"}},
"Describe": {"type": "object", "required": ["type"], "properties": {
  "type": {"const": "describe"}, "id": "#MaybeId"}},
"Message": {"type": ["object", "null"], "required": ["role", "content"],
  "properties": {"role": {"const": "assistant"}, "content": {
    "type": "array", "minItems": 1, "items": "#Block"}}},
"Timing": {"type": "object",
  "required": ["first_event_ms", "total_ms", "attempts"], "properties": {
    "first_event_ms": {"anyOf": ["#Count", {"type": "null"}]},
    "total_ms": "#Count", "attempts": "#Count"}},
"ErrorObject": {"type": "object",
  "required": ["code", "message", "hint", "retryable"], "properties": {
    "code": {}, "message": {"type": "string"}, "hint": {"type": "string"},
    "retryable": {"type": "boolean"}, "retry_after": {"type": "number"},
    "reset_at": {"type": "string"}, "http_status": {"type": "integer"},
    "provider_code": {"type": "integer"}, "request_id": {"type": "string"}}},
"TurnStart": {"id": "#Id", "model": "#Text", "message_id": "#Text"},
"BlockStart": {"id": "#Id", "index": "#Count", "block": {
  "type": "object", "required": ["type"]}},
"TextDelta": {"id": "#Id", "index": "#Count", "text": {"type": "string"}},
"ThinkingDelta": {"id": "#Id", "index": "#Count", "text": {"type": "string"}},
"InputDelta": {"id": "#Id", "index": "#Count", "json": {"type": "string"}},
"BlockEnd": {"id": "#Id", "index": "#Count", "block": {
  "type": "object", "required": ["type"]}, "incomplete?": {"const": true},
  "input_json?": {"type": "string"}},
"TurnEnd": {"id": "#Id", "stop_reason": {"type": "string"}, "message": "#Message",
  "model": "#Text", "message_id": "#Text", "usage": {"type": ["object", "null"]},
  "cost_usd?": {"type": "number"}, "request_id": "#Text", "timing": "#Timing"},
"Error": {"id": "#Id", "error": "#ErrorObject", "model": "#Text",
  "usage": {"type": ["object", "null"]}, "cost_usd?": {"type": "number"},
  "partial": "#Message", "timing": "#Timing"},
"Retry": {"id": "#Id", "attempt": "#Count", "max_attempts": "#Count",
  "delay": {"type": "number"}, "error": "#ErrorObject"},
"Warning": {"id": "#Id", "code": {}, "text": {"type": "string"}},
"Heartbeat": {"id": "#Id"},
"LineError": {"error": "#ErrorObject", "line": "#Count",
  "ref_id?": {"not": {"type": ["object", "array"]}}},
"Pong": {"id?": "#Id"},
"Manifest": {"id?": "#Id", "name": {"type": "string"},
  "version": {"type": "string"}, "protocol": {"const": 1},
  "kind": {"const": "provider"}, "executable": {"type": "string"},
  "activation": {"const": "lazy"}, "provider": {"type": "object",
    "required": ["models"]}, "models": {"type": "array", "items": {"type": "object",
    "required": ["id", "context_window", "max_output_tokens", "input", "thinking",
      "effort", "prices", "retired"]}},
  "config": {"type": "array", "items": {"type": "object",
    "required": ["name", "type", "default", "help"]}},
  "capabilities": {"type": "array", "items": {"type": "string"}}}
}
"""


def schema() -> JSON:
    """JSON Schema (draft 2020-12) of all lines and of config.json."""
    reference = r'{"$ref": "#/$defs/\1"}'
    shapes: JSON = json.loads(re.sub('"#([A-Za-z]+)"', reference, _SCHEMA))
    shapes["ErrorObject"]["properties"]["code"] = {"enum": list(ERRORS)}
    shapes["Warning"]["code"] = {"enum": list(WARNINGS)}
    host = ("Turn", "Cancel", "Ping", "Describe")
    plugin = (
        *("TurnStart", "BlockStart", "TextDelta", "ThinkingDelta", "InputDelta"),
        *("BlockEnd", "TurnEnd", "Error", "Retry", "Warning", "Heartbeat"),
        *("LineError", "Pong", "Manifest"),
    )
    for name in plugin:  # written as their fields; "?" marks those that may be absent
        words = re.findall("[A-Z][a-z]+", name)
        kind = ERROR if name == "LineError" else "_".join(words).lower()
        fields = {key.rstrip("?"): value for key, value in shapes[name].items()}
        required = ["type", *(key for key in shapes[name] if key[-1] != "?")]
        fields["type"] = {"const": kind}
        shapes[name] = {"type": "object", "properties": fields, "required": required}
    shapes["LineError"]["not"] = {"required": ["id"]}
    options: JSON = {}
    for name, option in OPTIONS.items():
        options[name] = {"type": [option.type, "null"], "description": option.help}
        if option.choices:
            options[name]["enum"] = [*option.choices, "", None]
        if option.low is not None:
            options[name].update(minimum=option.low, maximum=option.high)
    shapes["Config"] = {"type": "object", "properties": options}
    for union, names in (("HostLine", host), ("PluginLine", plugin)):
        shapes[union] = {"oneOf": [{"$ref": f"#/$defs/{name}"} for name in names]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{NAME}:{PROTOCOL}",
        "title": f"A line between a host and {NAME} {__version__}",
        "oneOf": [{"$ref": "#/$defs/HostLine"}, {"$ref": "#/$defs/PluginLine"}],
        "$defs": shapes,
    }


# --- the loop


class PluginLoop:
    """Serve turns that come as lines and leave as lines.

    `read()` returns some bytes of input, b"" at its end; `write(data)` writes all of
    `data` or raises OSError; `run(request, scope)` yields the events of a turn in
    batches.  `limits` are settings: max_concurrent_turns, max_queued_turns,
    max_line_bytes.  `notify(word)` is called, from any thread, with "done" when all is
    said after the end of the input or `stop()`, with "closed" when the host has gone
    and with "failed" when its lines cannot be written.
    """

    MAX_UNREAD = 1000  # pongs and line errors kept for a host that does not read

    def __init__(
        self,
        read: Callable[[], bytes],
        write: Callable[[bytes], None],
        run: Callable[[JSON, Scope], Iterable[Batch]],
        limits: JSON,
        notify: Callable[[str], None],
    ) -> None:
        self._read = read
        self._write = write
        self._run = run
        self._limits = limits
        self._notify = notify
        self._wire = threading.Lock()  # one batch of whole lines at a time
        self._state = threading.Condition(threading.RLock())  # guards what follows
        self._scopes: dict[Any, Scope] = {}  # of the turns that have not ended, by id
        # The requests that wait, by id, with the order of their arrival: of turns that
        # have an id of their own, and of those that run one after another.
        self._waiting: dict[bool, OrderedDict[Any, tuple[int, JSON]]]
        self._waiting = {True: OrderedDict(), False: OrderedDict()}
        self._arrivals = 0
        # Whether a turn that runs has an id of its own, by the order of arrival: its id
        # may be another turn's before its thread has ended.
        self._running: dict[int, bool] = {}
        self._named_turns = 0  # how many names turn-1, turn-2, ... were given
        self._answers: list[tuple[bytes, Any]] = []  # lines, and the turns they end
        self._unread = 0  # how many of them are not written yet
        self._is_writing = False  # a thread is there that writes them
        self._input_ended = self._is_stopping = self._is_lost = False
        self._lines = 0  # lines that are not blank
        self._is_anonymous = True  # no line had an id
        self._has_failed = False  # something ended in an error

    # Life

    def start(self) -> None:
        spawn(self._read_lines)

    def stop(self) -> None:
        """Cancel every turn; "done" is notified when all have said how they ended."""
        with self._state:
            self._is_stopping = True
            scopes = list(self._scopes.items())
        for name, scope in scopes:
            self._cancel(name, scope)
        self._notify_if_done()

    def lose(self) -> None:
        """The host has gone: end all work, and write nothing more."""
        self._is_lost = True
        self.stop()

    @property
    def failed_alone(self) -> bool:
        """The input was one line, without an id, and it ended in an error."""
        return self._lines == 1 and self._is_anonymous and self._has_failed

    def _notify_if_done(self) -> None:
        with self._state:
            over = self._input_ended or self._is_stopping
            is_done = over and not (self._scopes or self._running or self._unread)
        if is_done:
            self._notify("done")

    # Input

    def _read_lines(self) -> None:
        try:
            for number, line in enumerate(self._split(), 1):
                self._on_line(number, line)
        except Exception as error:
            internal_error(error)
        with self._state:
            self._input_ended = True
        self._notify_if_done()

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
            if size > limit:
                pieces = []
            elif rest:
                pieces.append(rest)

    def _on_line(self, number: int, line: bytes | None) -> None:
        name = None
        try:
            if line is None:
                self._lines += 1
                text = f"the line has over {self._limits['max_line_bytes']} bytes, "
                raise ProviderError("line_too_long", text + "or more than memory holds")
            if number == 1 and line.startswith(b"\xef\xbb\xbf"):
                line = line[3:]
            if not line.strip():
                return
            self._lines += 1
            message = _parse_line(line)
            name = next((v for k, v in message.items() if fold(k) == "id"), None)
            self._is_anonymous = self._is_anonymous and name is None
            self._dispatch(message)
        except Exception as error:
            if not isinstance(error, ProviderError):
                error = internal_error(error)
            self._has_failed = True
            fields: JSON = {"error": error.to_dict(), "line": number}
            is_text = isinstance(name, str) and well_formed(name) is name
            if is_text or isinstance(name, (int, float)):
                fields["ref_id"] = name
            self._answer(outgoing({"type": ERROR, **fields}))

    def _dispatch(self, message: JSON) -> None:
        fields, _ = fold_keys(message, ("type", "id"))
        kind, name = fields.get("type"), fields.get("id")
        if kind is None and any(fold(str(key)) == "messages" for key in message):
            kind = "turn"
        handler = _LINES.get(kind) if isinstance(kind, str) else None
        if handler is None:
            wrong_field("type", "must be one of " + ", ".join(_LINES))
        is_text = isinstance(name, str) and name != "" and well_formed(name) is name
        if name is not None and not (is_text or TYPES["integer"][0](name)):
            wrong_field(
                "id", "must be a non-empty string of valid Unicode or an integer"
            )
        handler(self, name, message)

    def _on_turn(self, name: Any, request: JSON) -> None:
        refusal = None
        with self._state:
            if name is not None and name in self._scopes:
                text = "the turn with this id has not ended yet"
                raise ProviderError("duplicate_id", text)
            own = self._new_name() if name is None else name
            waiting = sum(map(len, self._waiting.values()))
            is_full = waiting >= self._limits["max_queued_turns"]
            if self._is_stopping:
                refusal = ProviderError("shutting_down", "the process is ending")
            elif is_full and not self._may_run(name is not None):
                text = f"{len(self._running)} turns run and {waiting} wait: no more can"
                refusal = ProviderError("busy", text)
            else:
                request = {k: v for k, v in request.items() if fold(k) != "id"}
                self._arrivals += 1
                turn = (self._arrivals, {"id": own, **request})
                self._waiting[name is not None][own] = turn
            self._scopes[own] = Scope()
        if refusal is not None:
            self._refuse(own, refusal)
        self._start_turns()

    def _on_cancel(self, name: Any, _: JSON) -> None:
        if name is None:
            wrong_field("id", "must be a non-empty string or an integer")
        with self._state:
            scope = self._scopes.get(name)
        if scope is not None:
            self._cancel(name, scope)

    def _on_ping(self, name: Any, _: JSON) -> None:
        self._answer({"type": "pong", **({} if name is None else {"id": name})})

    def _on_describe(self, name: Any, _: JSON) -> None:
        known = {} if name is None else {"id": name}
        self._answer({"type": "manifest", **known, **manifest()})

    # Turns

    def _new_name(self) -> str:
        while True:
            self._named_turns += 1
            name = f"turn-{self._named_turns}"
            if name not in self._scopes:
                return name

    def _may_run(self, is_named: bool) -> bool:
        """Whether a further turn may run: those without an id run one after another."""
        has_room = len(self._running) < self._limits["max_concurrent_turns"]
        return has_room and (is_named or False not in self._running.values())

    def _next_turn(self) -> tuple[Any, int, JSON] | None:
        """Take the first waiting turn that may run now."""
        with self._state:
            heads = [
                (*next(iter(queue.items())), is_named)
                for is_named, queue in self._waiting.items()
                if queue and self._may_run(is_named)
            ]
            if not heads:
                return None
            name, turn, is_named = min(heads, key=lambda head: head[1][0])
            del self._waiting[is_named][name]
            self._running[turn[0]] = is_named
            return (name, *turn)

    def _start_turns(self) -> None:
        """Start the waiting turns that may run now, in order."""
        for name, arrival, request in iter(self._next_turn, None):
            try:
                spawn(self._serve_turn, name, arrival, request)
            except ProviderError as error:
                with self._state:
                    del self._running[arrival]
                self._refuse(name, error)

    def _serve_turn(self, name: Any, arrival: int, request: JSON) -> None:
        has_ended = False
        try:
            for batch in self._run(request, self._scopes[name]):
                has_ended = batch[-1]["type"] in TERMINAL
                if has_ended:
                    self._has_failed = self._has_failed or batch[-1]["type"] == ERROR
                self._put(encode(name, batch), [name] if has_ended else [])
        except Exception as error:
            failure = internal_error(error)
            if not has_ended:
                self._refuse(name, failure)
        with self._state:
            del self._running[arrival]
        self._start_turns()
        self._notify_if_done()

    def _cancel(self, name: Any, scope: Scope) -> None:
        scope.cancel()
        with self._state:
            queues = self._waiting.values()
            was_waiting = any(queue.pop(name, None) for queue in queues)
        if was_waiting:
            nothing = dict.fromkeys(("message", "message_id", "request_id"))
            self._end_unserved(name, TURN_END, stop_reason=CANCELLED, **nothing)

    def _refuse(self, name: Any, error: ProviderError) -> None:
        """Answer a turn that will not be served."""
        self._has_failed = True
        self._end_unserved(name, ERROR, error=error.to_dict(), partial=None)

    def _end_unserved(self, name: Any, kind: str, **fields: Any) -> None:
        """Write the last line of a turn of which no attempt was made."""
        timing = {"first_event_ms": None, "total_ms": 0, "attempts": 0}
        end = {"model": None, "usage": None, "timing": timing}
        self._answer({"id": name, "type": kind, **fields, **end}, name)

    # Output

    def _put(self, data: bytes, ended: list[Any]) -> None:
        """Write whole lines; the ids of turns that end with them are free again."""
        try:
            with self._wire:
                with self._state:
                    for name in ended:
                        self._scopes.pop(name, None)
                if not self._is_lost:
                    self._write(data)
        except OSError as error:
            has_gone = isinstance(error, (BrokenPipeError, ConnectionResetError))
            if not has_gone:
                log(f"stdout cannot be written: {error.strerror}")
            self._is_lost = True
            self._notify("closed" if has_gone else "failed")

    def _answer(self, line: JSON, turn: Any = None) -> None:
        """Have a line written by another thread than the reader's, which must not wait.

        It is the end of the turn with that id, or one that is dropped if too many wait.
        """
        data = dump_json(line).encode("ascii") + b"\n"
        with self._state:
            if turn is None and self._unread >= self.MAX_UNREAD:
                return
            self._answers.append((data, turn))
            self._unread += 1
            needs_writer = not self._is_writing
            self._is_writing = True
            self._state.notify()
        if needs_writer:
            try:
                spawn(self._write_answers)
            except ProviderError:
                self._write_answers(stays=False)  # the reader's own thread has to do

    def _write_answers(self, stays: bool = True) -> None:
        while True:
            with self._state:
                while not self._answers and stays:
                    self._state.wait()
                answers, self._answers = self._answers, []
                if not answers:
                    self._is_writing = False
                    return
            self._put(b"".join(line for line, _ in answers), [t for _, t in answers])
            with self._state:
                self._unread -= len(answers)
            self._notify_if_done()


_LINES: dict[str, Callable[[PluginLoop, Any, JSON], None]] = {
    "turn": PluginLoop._on_turn,
    "cancel": PluginLoop._on_cancel,
    "ping": PluginLoop._on_ping,
    "describe": PluginLoop._on_describe,
}


def encode(name: Any, events: Iterable[JSON]) -> bytes:
    """The events of a turn as lines of the wire."""
    lines = [dump_json({"id": name, **event}).encode("ascii") for event in events]
    return b"\n".join([*lines, b""])  # of a large one no more copies than these two


def _join(pieces: list[bytes]) -> bytes | None:
    try:
        return b"".join(pieces)
    except MemoryError:
        return None


def _parse_line(line: bytes) -> JSON:
    try:
        message = load_json(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        text = f"the line is not UTF-8: byte {error.start + 1}"
        raise ProviderError("invalid_json", text) from None
    except ValueError as error:
        raise ProviderError("invalid_json", f"the line is not JSON: {error}") from None
    if not isinstance(message, dict):
        raise ProviderError("invalid_request", "the line is not a JSON object")
    return message


# ---------------------------------------------------------------------------
# Process: descriptors and signals
# ---------------------------------------------------------------------------

EXIT_OK, EXIT_ERROR, EXIT_USAGE, EXIT_FATAL = 0, 1, 2, 3
EXIT_INTERRUPTED, EXIT_CLOSED = 130, 141  # as shells report SIGINT and SIGPIPE


def read_fd(fd: int) -> bytes:
    """Some bytes of `fd`, b"" at its end.  (A thread parked in sys.stdin.buffer would
    abort the interpreter at its exit.)"""
    while True:
        try:
            return os.read(fd, 65536)
        except BlockingIOError:  # another process made it non-blocking
            is_ready(fd, True, None)
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
            is_ready(fd, False, None)


def private_stdout() -> int:
    """A descriptor for the wire alone: whatever else is printed goes to stderr.

    Standard descriptors that are closed are opened on the null device first, so that
    no socket takes their numbers.  Raises OSError if stdout was closed.
    """
    fd, was_closed = -1, False
    while fd <= 2:
        fd = os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
        was_closed = was_closed or fd == 1
    os.close(fd)
    if was_closed:
        raise OSError("stdout is closed")
    wire = os.dup(1)
    os.dup2(2, 1)
    return wire


def ignore_warnings() -> None:
    """Show no Python warnings, whatever PYTHONWARNINGS says: it is not meant for us.

    requests warns of versions of urllib3 that it was not tried with.
    """
    sys.warnoptions[:] = ["ignore"]  # read when `warnings` is imported, if it is
    if "warnings" in sys.modules:
        sys.modules["warnings"].simplefilter("ignore")


def _set_interpreter() -> None:
    """Tune an interpreter that serves nothing but turns."""
    import gc

    ignore_warnings()
    # Next to nothing here is cyclic garbage, but by default collections interrupt the
    # import of requests and the first stream: a tenth of the time to a first event.
    gc.set_threshold(20000, 20, 20)
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(4300)  # whatever the environment says


def _receive_signals(
    writer: int, on_sigterm: Callable[..., None]
) -> Callable[[], None]:
    """Call `on_sigterm` at SIGTERM and ignore SIGINT; returns what undoes that.

    Python calls it when the main thread is not waiting.  A signal may arrive just
    before a wait begins, so each also writes its number, which ends the wait, to
    `writer`.
    """
    import signal

    try:
        terminate = signal.signal(signal.SIGTERM, on_sigterm)
    except ValueError:  # not in the main thread: signals belong to the host program
        return lambda: None
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    wakeup = -1
    if hasattr(os, "set_blocking"):  # Windows has it since 3.12
        os.set_blocking(writer, False)
        wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def undo() -> None:
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGTERM, terminate)
        signal.signal(signal.SIGINT, interrupt)

    return undo


def run_plugin(overrides: JSON | None = None, owns_process: bool = True) -> int:
    """Serve the host on stdin and stdout; returns the process's exit code.

    `overrides` are settings that win over file and environment.  Another program that
    runs this gets its descriptors and signals back.
    """
    try:
        wire = private_stdout()  # before all else that opens a descriptor
    except OSError as error:
        log(f"stdout cannot be written: {error.strerror or error}")
        return EXIT_FATAL
    reader, writer = os.pipe()  # signals, and the first letters of words

    def notify(word: str) -> None:
        try:
            os.write(writer, word[:1].encode())
        except OSError:
            pass  # full of words that say enough

    undo = _receive_signals(writer, lambda *_: notify("terminate"))
    if owns_process:
        _set_interpreter()
    loop = PluginLoop(
        read=lambda: read_fd(0),
        write=lambda data: write_fd(wire, data),
        run=MiniMaxProvider.from_config(**(overrides or {})).batches,
        limits=_process_limits(overrides),
        notify=notify,
    )
    try:
        loop.start()
        return _wait_for_end(loop, reader, wire, owns_process)
    except ProviderError as error:
        log(error.message)
        return EXIT_FATAL
    finally:
        if not owns_process:
            undo()
            os.dup2(wire, 1)
            os.close(wire)


def _process_limits(overrides: JSON | None) -> JSON:
    """The settings of PROCESS_OPTIONS, or their defaults if the file hangs or is wrong:
    each turn reads it again and reports that."""
    scope = Scope()
    scope.arm("files", 1.0)
    try:
        values: JSON = scope.call(
            lambda: load_settings(overrides=overrides, names=PROCESS_OPTIONS).values
        )
    except ProviderError:
        return default_values()
    return values


def _wait_for_end(loop: PluginLoop, reader: int, wire: int, owns_process: bool) -> int:
    """Wait for the end of all work, SIGTERM, or the host's leaving; the exit code."""
    import select

    poll = select.poll() if hasattr(select, "poll") else None
    if poll is not None:
        poll.register(reader, select.POLLIN)
        poll.register(wire, 0)  # reports when its reader goes away
    until = None  # when a process that was terminated has to end
    while True:
        left = None if until is None else max(until - time.monotonic(), 0) * 1000
        ready = {reader: 0} if poll is None else dict(poll.poll(left))
        if not ready:
            return EXIT_OK
        words = os.read(reader, 4096) if reader in ready else b""
        if poll is not None and wire in ready:
            poll.unregister(wire)
            words += b"" if ready[wire] & select.POLLNVAL else b"c"
        for word in words.decode("latin-1"):  # or the number of a signal
            if word == "t":
                if until is not None and owns_process:
                    os._exit(EXIT_OK)  # a second SIGTERM
                until = time.monotonic() + 1.0  # for the turns to report their end
                loop.stop()
            elif word == "d":  # done
                failed = until is None and loop.failed_alone
                return EXIT_ERROR if failed else EXIT_OK
            elif word in "cf":  # closed, or failed
                loop.lose()
                return EXIT_FATAL if word == "f" else EXIT_OK


# ---------------------------------------------------------------------------
# Command line
# ---------------------------------------------------------------------------

# --- output: one function, and what shapes its text

# stdout is the answer: a text, a table, JSON.  stderr is for the person beside it: what
# is waited for, warnings, errors, figures.  Both are written as the wire is, so that a
# pipe that is slow, closed or non-blocking, and a full disk, behave in the same way.

OK, PROBLEM, SKIPPED = "ok", "problem", "skipped"  # beside WARNING, results of `check`
_COLORS = {"bold": 1, "dim": 2, "code": 36, PROBLEM: 31, OK: 32, WARNING: 33}
# Characters of a model's that could command a terminal, turn its text around, or hide:
# controls, directions, zero-width ones, variation selectors, tags.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u180e\u200b-\u200f\u2028-\u202e"
    r"\u2060-\u206f\ufe00-\ufe0e\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
# The commands that say more about errors.
_NEXT_COMMANDS = {
    **dict.fromkeys(("auth", "permission", "insufficient_balance"), "check"),
    **dict.fromkeys(("network", "timeout", "not_found", "stream_cut"), "check"),
    "protocol": "check",
    "quota_exhausted": "quota",
    "model_unavailable": "models --live",
}


def out(text: str, fd: int = 1) -> None:
    """Write `text` to stdout or stderr, as UTF-8 whatever the locale.

    A failure of stderr is ignored: it is not worth the answer.  Raises SystemExit, which `main` turns into its exit code, when nobody reads stdout
    any more or the disk is full.
    """
    try:
        write_fd(fd, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        if fd == 1 and isinstance(error, BrokenPipeError):
            raise SystemExit(EXIT_CLOSED) from None
        if fd == 1:
            out(f"error: stdout cannot be written: {error.strerror}\n", 2)
            raise SystemExit(EXIT_FATAL) from None


def out_json(value: Any) -> int:
    out(json.dumps(value, indent=2) + "\n")
    return EXIT_OK


def is_screen(fd: int) -> bool:
    """Whether `fd` is a terminal that understands more than rows of text."""
    return os.isatty(fd) and os.environ.get("TERM", "dumb") != "dumb"


def paint(text: str, style: str, fd: int = 1) -> str:
    """`text` in a colour, if `fd` shows colours and NO_COLOR is not set."""
    if style not in _COLORS or not is_screen(fd) or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{_COLORS[style]}m{text}\x1b[0m"


def width() -> int:
    """Columns to fill: longer rows are hard to read."""
    import shutil

    return max(min(shutil.get_terminal_size().columns, 80), 20)


def wrap(text: str, indent: int = 0) -> str:
    """`text` wrapped by words, for a row that begins with `indent` other characters."""
    import textwrap

    room = max(width() - indent, 20)
    rows = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
    return ("\n" + " " * indent).join(rows)


def note(head: str, text: str, style: str = WARNING) -> None:
    """A paragraph on stderr that begins with `head`."""
    out(paint(head, style, 2) + wrap(text, len(head)) + "\n", 2)


def visible(text: str) -> str:
    """A model's text for a terminal: what cannot be seen is escaped."""
    return _UNSEEN.sub(lambda m: ascii(m.group())[1:-1], text.replace("\r\n", "\n"))


def count_seconds(words: Callable[[], str]) -> Callable[[], None]:
    """Show on stderr, if it is a terminal, what is waited for and for how long.

    `words()` is asked each time.  Returns what ends it and erases the row, and does
    nothing the second time.
    """
    lock, ended, began = threading.Lock(), threading.Event(), time.monotonic()

    def show() -> None:
        while not ended.wait(0.25):
            row = f"\r{words()} {time.monotonic() - began:.0f} s"
            with lock:  # so that no row comes after the erasing
                out("" if ended.is_set() else paint(row, "dim", 2), 2)

    def stop() -> None:
        with lock:
            if is_screen(2) and not ended.is_set():
                out("\r" + " " * 20 + "\r", 2)
            ended.set()

    if is_screen(2):
        spawn(show)
    return stop


def print_error(error: JSON) -> None:
    """What happened, one thing to do, and the command that says more.

    `error` is the object of the contract, without keys.
    """
    code, hint = error["code"], error["hint"]
    # A wrong setting is named by the message; other codes are explained in the README.
    text = error["message"] if code == "config" else f"{code}: {error['message']}"
    if text.endswith(".") and len(f"error: {text} {hint}") <= width():
        text, hint = f"{text} {hint}", ""
    note("error: ", text, PROBLEM)
    if hint:
        note("  ", hint)
    if "reset_at" in error:
        note("  ", f"The quota resets at {error['reset_at']}.")
    command = f"{MiniMaxProvider.command} {_NEXT_COMMANDS.get(code)}"
    if code in _NEXT_COMMANDS and command not in hint:
        gap = " " if len(command) + 21 <= width() else "\n    "  # it is to be copied
        out(f"  To find out more:{gap}{command}\n", 2)


def local_time(moment: float) -> str:
    """A moment in seconds since the epoch: local time, and how far off it is."""
    try:
        text = time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
    except (ValueError, OverflowError, OSError):
        return "at an unknown time"
    minutes = int(moment - time.time()) // 60
    hours, days = minutes // 60, minutes // 1440
    span = f"{days} d {hours % 24} h" if days else f"{hours} h {minutes % 60} min"
    return text + (" (now past)" if minutes < 0 else f" (in {span})")


def overrides_of(options: Any) -> JSON:
    """The settings among the options of a command: they win over all others."""
    values = {name: getattr(options, name) for name in ("capture_dir", "log_level")}
    return {name: value for name, value in values.items() if value is not None}


# --- demo

# Somebody who has no key yet sees a whole tool loop; the installer ends with it, and
# `check --offline` runs it silently.  What comes back must be what was sent, as MiniMax
# demands of thinking and its signature.

# What the server answers first, and wants back unchanged; then its second answer.
_DEMO_CALL: list[JSON] = [
    {"type": "thinking", "thinking": "I call the tool.", "signature": "9f2c61d0" * 8},
    {"type": "text", "text": "Let me look that up."},
    {"type": "tool_use", "id": "1", "name": "get_weather", "input": {"city": "Lisbon"}},
]
_DEMO_ANSWER = [{"type": "text", "text": "It is 21 C and sunny in Lisbon."}]


def demo_events(blocks: list[JSON], stop_reason: str) -> Iterator[JSON]:
    """A message of MiniMax's as it streams."""
    deltas = {row[2]: (name, *row[:2]) for name, row in _DELTAS.items() if row[3]}
    yield {"type": "message_start", "message": {"id": "demo", "model": "MiniMax-M3"}}
    for index, block in enumerate(blocks):
        name, source, field = deltas[block["type"]]
        # The signature is there from the start, the rest follows in deltas.
        opened = {**block, **_EMPTY[block["type"]]}
        yield {"type": "content_block_start", "index": index, "content_block": opened}
        whole = block[field] if field != "input" else dump_json(block[field])
        for piece in re.findall(".{1,12}", whole):
            delta = {"type": name, source: piece}
            yield {"type": _BLOCK_DELTA, "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {"type": "message_delta", "delta": {"stop_reason": stop_reason}}
    yield {"type": "message_stop"}


def start_demo_server(pace: float) -> Any:
    """A server on loopback that speaks MiniMax's stream, `pace` seconds an event.

    It answers a question with a tool call, and the tool's result with a text if the
    call came back unchanged, thinking and signature included; else with a 400.
    """
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            _, *more = json.loads(body)["messages"]
            is_unchanged = not more or more[0]["content"] == _DEMO_CALL
            self.send_response(200 if is_unchanged else 400)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            turn = (_DEMO_ANSWER, "end_turn") if more else (_DEMO_CALL, "tool_use")
            for event in demo_events(*turn) if is_unchanged else ():
                self.wfile.write(f"data: {dump_json(event)}\n\n".encode("ascii"))
                time.sleep(pace)

        def log_message(self, *_: Any) -> None:
            """By default each request is logged to stderr."""

    try:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    except OSError as error:
        text = f"no server can listen on 127.0.0.1: {error.strerror}"
        raise ProviderError("network", text, "Allow connections on loopback.") from None
    spawn(server.serve_forever, 0.01)
    return server


def demo(pace: float, write: Callable[[str], object]) -> None:
    """Two turns through the whole plugin against a server of its own.

    The host's end of the wire are two queues; `write` takes what a person sees.  Raises the ProviderError of a turn that failed.
    """
    from queue import Queue

    server = start_demo_server(pace)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    provider = MiniMaxProvider(api_key="sk-api-demo", base_url=url, max_retries=0)
    lines: Any = Queue()
    answers: Any = Queue()
    wire = (lines.get, answers.put, provider.batches, default_values())
    PluginLoop(*wire, notify=lambda word: None).start()
    write("No key and no network: a server on loopback speaks MiniMax's stream.\n\n")
    question, weather = "What is the weather in Lisbon?", "21 C, sunny"
    write(f"user      > {question}\n")
    result = {"type": "tool_result", "tool_use_id": "1", "content": weather}
    messages: list[JSON] = [{"role": "user", "content": question}]
    event: JSON = {}
    count = 0
    for turn in ("tool_use", "end_turn"):
        request = {"id": turn, "messages": messages, "tools": [{"name": "get_weather"}]}
        lines.put(dump_json(request).encode("ascii") + b"\n")
        while event.get("id") != turn or event["type"] not in TERMINAL:
            for line in answers.get().splitlines():
                event = load_json(line.decode("ascii"))
                count += 1
                write(demo_text(event))
        if event["type"] == ERROR:
            raise ProviderError(**event["error"])
        if turn == "tool_use":
            write(f"tool      > {weather}\n")
            messages += [event["message"], {"role": "user", "content": [result]}]
    lines.put(b"")
    server.shutdown()
    server.server_close()
    write(f"\nIt works: 2 turns, {count} events, ")
    write("thinking and signature returned unchanged.\n")


def demo_text(event: JSON) -> str:
    """What the demo shows of an event."""
    if event["type"] == BLOCK_START:
        labels = {"thinking": "thinking", "text": "assistant", "tool_use": "tool call"}
        return f"{labels[event['block']['type']]:<9} > {event['block'].get('name', '')}"
    is_end = event["type"] == BLOCK_END
    return "\n" if is_end else str(event.get("text") or event.get("json") or "")


def _demo(options: Any) -> int:
    demo(0.05, out)
    return EXIT_OK


# --- say: how a turn looks

_STOP_NOTES = {
    "max_tokens": "the answer was cut at max_tokens: raise --max-tokens",
    "refusal": "the model refused to answer",
    CANCELLED: "cancelled",
}
# The pieces of a row of thinking: a break, spaces, a wide character, (part of) a word.
_PIECES = re.compile(
    r"\n|[^\S\n]+|[\u2e80-\ud7ff\uf900-\uffef]|[^\s\u2e80-\ud7ff\uf900-\uffef]{1,30}"
)
# Marks of Markdown: of a row (fence, heading, list), in it (bold, code), and its end;
# and what may yet become one of them.
_MARKS = re.compile(
    r"(?m)^[^\S\n]*```.*|^#{1,6} |^[^\S\n]*[-*+] (?=\S)|\*\*(?=\S)|(?<=\S)\*\*|`|\n"
)
_HALF_MARK = re.compile(r"(?m)(^[^\S\n]*(```.*|[-*+#]*[^\S\n]?)|[*`]+)\Z")


class Screen:
    """A turn as a person reads it: the answer on stdout, the rest on stderr.

    At a terminal thinking is shown, in rows with a bar, and Markdown is painted; what a
    terminal would obey is escaped.  Another program gets the text as it is, and
    nothing else.  `turn(events)` shows one turn; a conversation uses one screen.
    """

    def __init__(self, options: Any) -> None:
        self.options = options
        self.at_terminal = os.isatty(1)
        self.stop_counter: Callable[[], None] = lambda: None
        self.doing = "waiting"  # for the counter
        self.in_row = False  # what was printed last has not ended its row
        self.kind = ""  # of the block under way, if it is shown
        self.held = ""  # of its text: what follows decides how it looks
        self.before = "\n"  # the character before that
        self.column = -1  # of a row of thinking; -1: its bar is to come
        self.style = ""  # of Markdown, in effect: bold, code or fence

    def turn(self, events: Iterable[JSON]) -> JSON:
        """Show `events` as they come; returns the last one."""
        self.began, self.first, self.is_first = time.monotonic(), 0.0, True
        self.doing, event = "waiting", {}
        self.stop_counter = count_seconds(lambda: self.doing)
        try:
            for event in events:
                self.show(event)
        finally:
            self.stop_counter()
        return event

    def show(self, event: JSON) -> None:
        """Show one event; raises ProviderError for a retry that is of no use here."""
        kind, error = event["type"], event.get("error", {})
        if event.get("stop_reason") == CANCELLED and self.at_terminal:
            self.in_row = True  # the terminal has echoed ^C
        if kind in (BLOCK_END, WARNING, RETRY, ERROR, TURN_END):
            self.write("", is_last=True)
            self.end_row()
        if kind == BLOCK_START:
            self.begin(event["block"]["type"])
        elif kind in (TEXT_DELTA, THINKING_DELTA):
            self.first = self.first or time.monotonic()
            self.write(event["text"])
        elif kind == BLOCK_END and event["block"]["type"] == "tool_use":
            call = event["block"]
            fields = event.get("input_json") or dump_json(call.get("input"))
            text = f"tool call: {call.get('name') or '(no name)'} {fields}\n"
            out(visible(text), 1 if self.at_terminal else 2)
        elif kind == WARNING:
            note("warning: ", event["text"])
        elif kind == RETRY and error["code"] == "network":
            raise ProviderError(**error)  # a person need not wait for the same again
        elif kind == RETRY:
            again = "again in {delay:g} s (attempt {attempt} of {max_attempts})"
            text = f"{error['code']}: {error['message']}; {again.format(**event)}"
            note("retry: ", text)
            self.stop_counter = count_seconds(lambda: self.doing)
        elif kind == ERROR:
            print_error(error)
        elif kind == TURN_END:
            self.conclude(event)

    def put(self, text: str) -> None:
        """Write a piece of the answer, and know whether its row has ended."""
        if text:
            self.stop_counter()
            self.in_row = not re.search(r"\n(\x1b\[\d*m)*$", text)
            out(text)

    def end_row(self) -> None:
        self.stop_counter()
        self.put("\n" * self.in_row)

    def begin(self, kind: str) -> None:
        """Begin a block, with a blank row between it and the one before."""
        has_thinking = self.at_terminal and not self.options.hide_thinking
        is_shown = kind == "text" or (kind == "thinking" and has_thinking)
        self.kind = kind if is_shown else ""
        self.doing = "thinking" if kind == "thinking" else "writing"
        if is_shown:
            self.put("\n" * (self.at_terminal and not self.is_first))
            self.is_first, self.column, self.before = False, -1, "\n"

    def write(self, text: str, is_last: bool = False) -> None:
        """Show what has come of a block; with `is_last`, also what was held back."""
        if not self.at_terminal:
            self.put(text if self.kind else "")
            return
        text, self.held = self.held + visible(text), ""
        if self.kind == "thinking":
            text = self.in_rows(text, is_last)
        elif not self.options.raw and paint("", "bold"):
            text = self.painted(text, is_last)
        self.put(text if self.kind else "")

    def in_rows(self, text: str, is_last: bool, bar: str = "| ") -> str:
        """Thinking wrapped by words, each row with a bar.

        Chinese and Japanese are broken anywhere; their characters take two columns.
        """
        room = width() - len(bar)
        pieces, rows = _PIECES.findall(text), ""
        if pieces and not is_last and not pieces[-1].isspace():
            self.held = pieces.pop()  # the word may go on
        for piece in pieces:
            size = 2 if piece >= "\u2e80" else len(piece)
            if piece == "\n" or self.column + size >= room:
                rows += "\n" if self.column >= 0 else bar.rstrip() + "\n"
                self.column, piece = -1, piece.lstrip()
            if piece:
                rows += piece if self.column >= 0 else bar + piece
                self.column = max(self.column, 0) + size
        return paint(rows, "dim") if rows else ""

    def painted(self, text: str, is_last: bool) -> str:
        """Text with light Markdown as colours, as it streams.

        Only a mark whose end may still be to come is held back, so that a paragraph,
        which is one row, does not come all at once.
        """
        text = self.before + text
        half = None if is_last else _HALF_MARK.search(text, 1)
        if half is not None and len(half.group()) < 200:
            text, self.held = text[: half.start()], half.group()
        self.before = text[-1]
        styled = _MARKS.sub(self.mark, text)[1:]
        if is_last and self.style:
            styled, self.style = styled + "\x1b[0m", ""
        return styled

    def mark(self, match: Any) -> str:
        """What stands for a mark: a change of colour, mostly.

        A style ends with its row at the latest: a lone `**` or backtick does no harm.
        """
        mark: str = match.group()
        kind = {"`": "code", "\n": ""}.get(mark, "bold")
        if match.start() == 0 or (self.style == "fence" and "```" not in mark):
            return mark  # the end of the row before; code
        if "```" in mark:
            self.style = "" if self.style else "fence"
            return paint(mark, "dim") + f"\x1b[{_COLORS['code']}m" * bool(self.style)
        if mark.strip() in ("-", "*", "+"):
            return mark.replace(mark.strip(), "\u2022")
        if kind and self.style not in ("", kind):
            return mark  # bold in code, or code in bold
        had_style, self.style = bool(self.style), "" if self.style else kind
        if self.style:
            return f"\x1b[{_COLORS[kind]}m"
        return "\x1b[0m" * had_style + "\n" * (mark == "\n")

    def conclude(self, event: JSON) -> None:
        """A note about an answer that is not whole, and the figures.

        Those are for a person: without -v or -q, only if stderr is a terminal.
        """
        if event["stop_reason"] in _STOP_NOTES:
            note("note: ", _STOP_NOTES[event["stop_reason"]])
        if self.options.verbose or (os.isatty(2) and not self.options.quiet):
            model = printable(event["model"] or "unknown model", 60)
            # A figure stays in one row.
            figures = [figure.replace(" ", "\0") for figure in self.figures(event)]
            text = wrap(f"{model}: {'; '.join(figures)}").replace("\0", " ")
            out(paint(text, "dim", 2) + "\n", 2)

    def figures(self, event: JSON) -> Iterator[str]:
        """Tokens, cost and speed, as far as they are known."""
        usage, names = event["usage"] or {}, ("in", "cached", "written to cache", "out")
        counts: JSON = {k: usage.get(field) for k, field in zip(names, CHARGES)}
        # Larger ones overflow as soon as they are divided.
        counts = {k: n for k, n in counts.items() if type(n) is int and 0 < n < 10**12}
        texts = [f"{count:,} {name}" for name, count in counts.items()]
        yield ", ".join(texts) or "token count unknown"
        if "cost_usd" in event:
            cost = event["cost_usd"]
            yield f"${cost:.{2 if cost >= 1 else 4 if cost >= 0.01 else 6}f}"
        if self.first:
            yield f"first token {self.first - self.began:.1f} s"
            seconds = time.monotonic() - self.first
            if "out" in counts and seconds > 0.001:
                yield f"{counts['out'] / seconds:.0f} tokens/s"


# --- say: a turn, or a conversation


def watch_interrupts() -> tuple[Any, Callable[[], None]]:
    """An event that Ctrl-C sets, and what undoes that.  A second one ends the command."""
    import signal
    from types import SimpleNamespace

    presses: list[bool] = []

    def on_interrupt(*_: Any) -> None:
        presses.append(True)
        if len(presses) > 1:
            raise KeyboardInterrupt

    # A job in the background ignores it; another program may have a use of its own.
    is_ours = signal.getsignal(signal.SIGINT) == signal.default_int_handler
    if not is_ours or threading.current_thread() is not threading.main_thread():
        return threading.Event(), lambda: None
    signal.signal(signal.SIGINT, on_interrupt)
    # A handler waits for the main thread, which may have just begun to wait for the
    # network.  A byte in the pipe is there at once, and the ticker looks for it.
    pipe: tuple[int, ...] = os.pipe() if os.name == "posix" else ()
    if pipe:
        os.set_blocking(pipe[1], False)
        signal.set_wakeup_fd(pipe[1], warn_on_full_buffer=False)

    def undo() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if pipe:
            signal.set_wakeup_fd(-1)
        for fd in pipe:
            os.close(fd)

    def is_set() -> bool:
        return bool(presses) or (bool(pipe) and is_ready(pipe[0], reading=True))

    return SimpleNamespace(is_set=is_set), undo


def say_turn(provider: MiniMaxProvider, turn: JSON, screen: Screen | None) -> JSON:
    """Run a turn, shown on `screen` or as JSON lines; returns its last event.

    Ctrl-C cancels the turn, so that what has come stays in the conversation.
    """
    cancel, undo = watch_interrupts()
    try:
        events, event = provider.turn(turn, cancel), {}
        if screen is not None:
            return screen.turn(events)
        for event in events:
            out(dump_json(event) + "\n")
        return event
    except ProviderError as error:
        print_error(error.to_dict())
        return {"type": ERROR}
    finally:
        undo()


def _say(options: Any) -> int:
    reads = not options.chat and ("-" in options.text or not os.isatty(0))
    if options.chat and options.json:
        options.parser.error("--json goes with a single turn, not with --chat")
    with MiniMaxProvider.from_config(**overrides_of(options)) as provider:
        if options.chat or reads or options.text:
            provider.settings()  # what is wrong is better known before typing
        texts = [" ".join(word for word in options.text if word != "-")]
        texts += [read_stdin()] if reads else []
        first: Any = "\n\n".join(text for text in texts if text.strip())
        if options.image:
            blocks = [{"type": "text", "text": first}] if first else []
            first = [*map(image_block, options.image), *blocks]
        if not first and not options.chat:
            text = "nothing to send: give a TEXT, pipe one in, or use --chat"
            options.parser.error(text)
        names = ("system", "max_tokens", "thinking", "effort", "temperature", "top_p")
        turn: JSON = {name: getattr(options, name) for name in names}
        turn["model"] = model_named(options.model)
        messages = load_history(options.history)
        screen = None if options.json else Screen(options)
        end: JSON = {"type": TURN_END}
        for content in prompts(first) if options.chat else [first]:
            turn["messages"] = [*messages, {"role": "user", "content": content}]
            end = say_turn(provider, turn, screen)
            if end.get("message"):  # a failed turn is dropped from the conversation
                messages = [*turn["messages"], end["message"]]
                save_history(options.history, messages)
    if end.get("stop_reason") == CANCELLED and not options.chat:
        return EXIT_INTERRUPTED
    return EXIT_ERROR if end["type"] == ERROR else EXIT_OK


def model_named(name: str | None) -> str | None:
    """The model to ask for.  Raises ProviderError for what can only be a slip.

    An id of a known family, or one that is like none, is sent as it is: servers know
    more models than this file does.
    """
    short = {"m3": "MiniMax-M3", "flash": "MiniMax-M3.1-Flash"}
    if not name or name in short or model_facts(name) or "/" in name:
        return short.get(name or "", name)
    near = short.get(name.lower()) or nearest(name, MODELS, 0.75)
    near = near or nearest("minimax-" + name, MODELS, 0.85)
    if not near:
        return name
    text = f'there is no model {printable(name, 60)}; did you mean "{near}"?'
    raise ProviderError("config", text, f"Use --model {near}.")


def image_block(name: str) -> JSON:
    """The block for a file or a URL."""
    if re.match(r"(?i)https?://|data:", name):
        return {"type": "image", "url": name}
    try:
        return {"type": "image", "source": read_image_file(name)}
    except ValueError as error:
        text = f"--image {printable(name, 200)}: {error}"
        raise ProviderError("invalid_request", text, "Name another file.") from None


def load_history(path: str | None) -> list[JSON]:
    """The messages of a conversation that was kept: {"messages": [...]} in a file.

    Raises ProviderError also where no file can be made: before tokens are spent.
    """
    if not path:
        return []
    try:
        folder = os.path.dirname(os.path.abspath(path))
        if not os.path.lexists(path) and os.access(folder, os.W_OK):
            return []
        data, _ = read_file(path, 256 * MIB)
        messages: list[JSON] = load_json(data.decode("utf-8"))["messages"]
        return [] + messages  # which only a list can be added to
    except (OSError, ValueError, LookupError, TypeError) as error:
        reason = getattr(error, "strerror", None) or "it holds no conversation"
    text = f"--history {printable(path, 200)}: {reason}"
    raise ProviderError("config", text, "Name another file, or a new one.")


def save_history(path: str | None, messages: list[JSON]) -> None:
    """Keep a conversation in a file for its owner only; it is never half-written."""
    if path:
        path = os.path.realpath(path)
        fresh = f"{path}.{os.getpid()}"
        fd = os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        with open(fd, "w", encoding="ascii") as file:
            json.dump({"messages": messages}, file, indent=1)
        os.replace(fresh, path)


def read_stdin(patience: float = 1.0) -> str:
    """All of stdin; after `patience` seconds without any a person learns of the wait."""
    if not is_ready(0, True, patience):
        out("reading stdin first (if nothing is to come from there: </dev/null)\n", 2)
    data = b"".join(iter(lambda: read_fd(0), b""))
    return data.decode("utf-8", "replace").strip("\r\n")


_CHAT_HELP = '''\
/quit  leave; so do /exit, exit, quit and Ctrl-D    /help  this list
Ctrl-C  stop an answer                  """  begin a text of several lines, or end it
'''


def prompts(first: Any) -> Iterator[Any]:
    """What the person says, until they leave or the input ends.

    A line is a turn, unless it begins a block in triple quotes, or was pasted together
    with others.  Lines that look like commands are answered here.
    """
    prepare_stdin()
    at_terminal, is_open = os.isatty(0), False
    lines: list[str] = []
    out("/help lists the commands, /quit leaves.\n" * at_terminal, 2)
    if first:
        yield first
    while True:
        try:
            line = read_line(". " if is_open else "> ")
        except KeyboardInterrupt:
            if not at_terminal:
                raise
            out("\n", 2)
            lines, is_open = [], False
            continue
        except (EOFError, RuntimeError):  # RuntimeError: stdin was closed at the start
            out("\n" * at_terminal, 2)
            if lines:
                yield "\n".join(lines)
            return
        if not is_open and line.startswith('"""'):
            is_open, line = True, line[3:]
        is_ended = is_open and line.rstrip().endswith('"""')
        lines.append(line.rstrip()[:-3] if is_ended else line)
        if is_open and not is_ended:
            continue
        # A block, between quotes or pasted, is no command and keeps its indentation.
        text = "\n".join(lines).strip("\n").rstrip()
        is_block, lines, is_open = is_open or "\n" in text, [], False
        command = "" if is_block else text.strip()
        if command.strip("/") in ("exit", "quit"):
            return
        if re.match(r"/\w+(\s|$)", command):
            answer_command(command.split()[0])
        elif text.strip():
            yield command or text


def answer_command(word: str) -> None:
    """Answer a line of a conversation that is for us; it costs nothing."""
    near = nearest(word, ("/help", "/quit", "/exit")) or "/help"
    text = f'error: there is no command {word}; did you mean "{near}"?\n'
    out(_CHAT_HELP if word == "/help" else text, 2)


def prepare_stdin() -> None:
    """Have `input()` take every letter, and a pasted block as one text.

    With GNU readline, that is; without it, a pasted line is a turn of its own.
    """
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    try:
        import readline
    except ImportError:
        return
    settings = ("input-meta on", "output-meta on", "convert-meta off")
    for setting in (*settings, "enable-bracketed-paste on"):
        readline.parse_and_bind("set " + setting)


def read_line(prompt: str) -> str:
    """A line of stdin, edited if that is possible.  Raises EOFError at its end."""
    if os.isatty(0) and os.isatty(1):
        return input(prompt)
    out(prompt * os.isatty(0), 2)  # on stdout it would be a part of the answer
    try:
        return input()
    except OSError as error:
        log(f"stdin cannot be read: {error.strerror}")
        raise EOFError from None


# --- models and quota


def listed_models(provider: MiniMaxProvider, values: JSON) -> list[str]:
    """The ids that the endpoint lists for the key."""
    from urllib.parse import quote

    names: list[str] = []
    before, after = None, ""
    while after != before and len(names) < 5000:  # some servers repeat their only page
        answer = provider.get(base_url_of(values) + MODELS_PATH + after, values)
        rows = answer.get("data")
        rows = rows if isinstance(rows, list) else []
        ids = [row["id"] for row in rows if isinstance(row, dict) and "id" in row]
        names += [printable(str(name), 100) for name in ids]
        if not ids or not answer.get("has_more"):
            break
        before, after = after, "?after_id=" + quote(str(answer.get("last_id")), safe="")
    return list(dict.fromkeys(names))


def _models(options: Any) -> int:
    listed: list[str] = []
    if options.live:
        with MiniMaxProvider.from_config(**overrides_of(options)) as provider:
            listed = listed_models(provider, provider.settings())
    result: JSON = {"models": manifest()["models"]}
    for row in result["models"]:
        least, above = PRICES_ABOVE.get(row["id"], (None, None))
        row["status"] = MODELS[row["id"]].status
        row["prices_above"] = above and {"input_tokens": least, **above}
        row.update({"listed": row["id"] in listed} if options.live else {})
    others = [name for name in listed if name not in MODELS]
    if options.json:
        return out_json({**result, "others": others} if options.live else result)
    heads = [name.replace("cache_", "") for name in PRICES]
    last = "live" if options.live else "status"
    table = [["model", "context", "output", *heads, last]]
    for row in result["models"]:
        sizes = [f"{row[name]:,}" for name in ("context_window", "max_output_tokens")]
        last = {True: "listed", False: "not listed"}.get(
            row.get("listed"), row["status"]
        )
        table.append([row["id"], *sizes, *price_cells(row["prices"]), last])
        if row["prices_above"]:
            name = f"  above {row['prices_above']['input_tokens']:,} in"
            table.append([name, "", "", *price_cells(row["prices_above"]), ""])
    table += [[name, *[""] * 6, "listed"] for name in others]
    for name, context, *cells, last in table:
        text = f"{name:<22}{context:>10} " + "".join(f"{cell:>7}" for cell in cells)
        out(paint(f"{text}  {last}".rstrip(), "bold" * (name == "model")) + "\n")
    text = "Prices are USD per million tokens; read and write are of the cache, and "
    text += "thinking is output. Context counts input and output together."
    out("\n" + wrap(text) + "\n")
    return EXIT_OK


def price_cells(prices: JSON) -> list[str]:
    return ["-" if prices[name] is None else f"{prices[name]:g}" for name in PRICES]


def quota_windows(payload: JSON) -> list[JSON]:
    """The windows of a plan, from the answer of QUOTA_PATH in any of its shapes.

    Each is {model, window, percent_left, unlimited, included, resets_at (epoch
    seconds), count, total}, with None for what is unknown.  What `count` counts is not
    documented.
    """
    data = payload.get("data")
    inner = data.get("model_remains") if isinstance(data, dict) else data
    rows = payload.get("model_remains", inner)
    windows: list[JSON] = []
    for row in rows if isinstance(rows, list) else [rows]:
        row = row if isinstance(row, dict) else {}
        pair = [quota_window(row, "5 hours", "current_interval", "end_time")]
        pair.append(quota_window(row, "week", "current_weekly", "weekly_end_time"))
        # Of a model outside the plan, all of nothing is left, without limits.
        nothing = {"percent_left": 100, "unlimited": True, "total": 0}
        is_out = all({**window, **nothing} == window for window in pair)
        for window in pair:
            window.update(included=not is_out, total=window["total"] or None)
            window.update({"unlimited": False, "percent_left": None} if is_out else {})
            windows += [window] if window.pop("is_there") else []
    return windows


def quota_window(row: JSON, name: str, field: str, reset: str) -> JSON:
    """One window of a row; `is_there` is whether it says anything of it."""

    def figure(key: str) -> float | None:
        """The number in a field that may be a string, None if there is none."""
        match = re.match(r"\s*(\d{1,15}(\.\d+)?)\s*%?\s*$", str(row.get(key)), re.ASCII)
        return float(match.group(1)) if match else None

    percent, total = (
        figure(field + "_remaining_percent"),
        figure(field + "_total_count"),
    )
    most, moment = 100.0, figure(reset) or 0
    if name == "week":
        most = max(most, (figure("weekly_boost_permille") or 0) / 10)
    return {
        "model": printable(str(row.get("model_name") or "all models"), 60),
        "window": name,
        "percent_left": None if percent is None else min(percent, most),
        "unlimited": figure(field + "_status") == 3,
        # Milliseconds; a number so small that it must be seconds is taken for them.
        "resets_at": (moment / 1000 if moment > 1e11 else moment) or None,
        "count": figure(field + "_usage_count") if total else None,
        "total": total,
        "is_there": any(str(key).startswith(field) for key in row),
    }


def quota_text(window: JSON) -> tuple[str, str]:
    """The status of a window, and what is left of it until when."""
    left = window["percent_left"]
    if not window["included"]:
        return OK, "not in your plan"
    text = "unknown" if left is None else f"{left:g} % left"
    text = "unlimited" if window["unlimited"] else text
    if window["total"] and window["count"] is not None:
        text += f", count {window['count']:g} of {window['total']:g}"
    if window["resets_at"]:
        text += f", resets {local_time(window['resets_at'])}"
    is_enough = window["unlimited"] or left is None or left >= 10
    return OK if is_enough else WARNING if left else PROBLEM, text


def read_quota(provider: MiniMaxProvider, values: JSON) -> list[JSON]:
    return quota_windows(
        provider.get(root_of(base_url_of(values)) + QUOTA_PATH, values)
    )


def _quota(options: Any) -> int:
    with MiniMaxProvider.from_config(**overrides_of(options)) as provider:
        values = provider.settings()
        _, kind, wallet, _ = key_kind(values["api_key"])
        try:
            windows = read_quota(provider, values)
        except ProviderError as error:
            if kind != PLAN_KEY:
                error.hint = f"Only plans have a quota; a {kind} spends {wallet}."
            raise
    if options.json:
        return out_json({"key": kind, "quota": windows})
    for window in windows:
        status, text = quota_text(window)
        head = f"{window['model']:<20} {window['window']:<8} "
        out(head + paint(wrap(text, len(head)), status) + "\n")
    if not windows:
        out(
            wrap(f"There is no plan quota for this key; a {kind} spends {wallet}.")
            + "\n"
        )
    return EXIT_OK


# --- check: everything that can be known without spending a token

# A result is {"check", "status", "text", "remedy"}, with "value" and "origin" for a
# setting and, where another setting works, "settings" {name: value}, which install.sh
# stores.  No value of a key is among them, and SECRETS masks what quotes one.


class Checkup:
    """The checks: each adds results, and may leave something for the next.

    A check that raises ProviderError has failed with its message and hint.
    """

    def __init__(self, provider: MiniMaxProvider, overrides: JSON) -> None:
        self.provider = provider
        self.settings = load_settings(overrides=overrides)
        self.values, self.origins = self.settings.values, self.settings.origins
        self.base = base_url_of(self.values)
        self.host = host_of(self.base)
        self.results: list[JSON] = []
        self.failed: set[str] = set()  # checks and settings that cannot be relied on
        self.listed: list[str] = []  # ids that the endpoint lists

    def add(
        self, status: str, check: str, text: str, hint: str = "", **more: Any
    ) -> None:
        row = {"check": check, "status": status, "text": text, "remedy": hint, **more}
        self.results.append(SECRETS.value(row))
        self.failed |= {check} if status in (PROBLEM, SKIPPED) else set()

    def run(self, is_offline: bool) -> None:
        """Do the checks in order; what needs one that failed is skipped."""
        steps: list[tuple[str, str, Callable[[], object]]] = [
            ("requests", "", self.libraries),
            ("config", "", self.config),
            ("settings", "config", self.each_setting),
            ("network", "requests config region base_url", self.network),
            ("key", "network api_key", self.key),
            ("plan", "key", self.plan),
            ("demo", "requests", self.demo),
            ("model used", "config model", self.model),
        ]
        for name, needs, step in steps:
            if name in (("network", "key", "plan") if is_offline else ("demo",)):
                continue
            missing = [need for need in needs.split() if need in self.failed]
            if missing:
                self.add(SKIPPED, name, "needs " + ", ".join(missing))
                continue
            try:
                step()
            except ProviderError as error:
                self.add(PROBLEM, name, error.message, error.to_dict()["hint"])
            except Exception as error:  # the last resort
                text = f"{type(error).__name__}: {printable(str(error), 200)}"
                self.add(
                    PROBLEM, name, text, "This is a defect of the plugin: report it."
                )

    def remedy(self, name: str, value: str) -> str:
        """How to give a setting the value, where it is set now."""
        origin = self.origins.get(name, self.settings.path)
        if origin == self.settings.path:
            return f'Set "{name}" to "{value}" in {origin}'
        return f"Set {origin} to {value} and restart the process"

    def libraries(self) -> None:
        self.add(OK, "python", f"{sys.version.split()[0]} at {sys.executable}")
        self.add(OK, "plugin", f"{__version__} at {os.path.abspath(__file__)}")
        import_requests()
        for name, version in library_versions().items():
            self.add(OK, name, str(version))

    def demo(self) -> None:
        demo(0, lambda text: None)
        self.add(OK, "demo", "2 turns with a server of its own")

    def config(self) -> None:
        path, mode = self.settings.path, self.settings.mode
        for name, error in self.settings.problems:
            self.add(PROBLEM, name or "config", error.message, error.to_dict()["hint"])
        text = f"{path}, mode {mode & 0o7777:04o}" if mode else f"{path} not found"
        if "config" not in self.failed:
            self.add(OK, "config", text)
        key_path = self.origins.get("api_key", "")
        is_file = os.name == "posix" and os.path.isfile(key_path)
        if is_file and os.stat(key_path).st_mode & 0o077:
            text = f"others can read the key in {key_path}"
            self.add(WARNING, "config", text, f"Run chmod 600 {key_path}")
        for name in self.settings.unknown:
            text = f"unknown setting: {name_unknown(name)}"
            self.add(WARNING, "config", text, f"Correct or remove it in {path}.")

    def each_setting(self) -> None:
        """A result for each setting that matters or is set, and one for all defaults.

        Where each comes from is half of what support asks for.
        """
        in_file = load_settings(self.settings.path, {}).origins
        defaults: JSON = {}
        for name, value in self.values.items():
            origin = self.origins.get(name, "default")
            if origin == self.settings.path:
                origin = "config file"
            elif name in in_file and name in self.origins:
                origin += ", which wins over the config file"
            if name == "api_key" and name not in self.failed:
                self.api_key(origin)
            elif name in self.origins or name in ("region", "model"):
                if name not in self.failed:
                    text = f"{json.dumps(value)} ({origin})"
                    self.add(OK, name, text, value=value, origin=origin)
            else:
                defaults[name] = value
        region = HOSTS.get(self.host, self.values["region"])
        if region != self.values["region"] and "region" in self.origins:
            text = f"base_url is a host of region {region}, not {self.values['region']}"
            self.add(WARNING, "base_url", text, "Remove the one that is wrong.")
        texts = [f"{name} {json.dumps(value)}" for name, value in defaults.items()]
        self.add(OK, "defaults", ", ".join(texts), values=defaults)

    def api_key(self, origin: str) -> None:
        """The kind of the key and its length, never a character of it."""
        key = self.values["api_key"]
        prefix, kind, _, _ = key_kind(key)
        status, text, hint = OK, f"{kind}, {len(key)} characters ({origin})", ""
        if not key:
            error = no_key(self.settings).to_dict()
            status, text, hint = PROBLEM, error["message"], error["hint"]
        elif not prefix or len(key) < 20:
            status, text = WARNING, text + ": unlike MiniMax's keys"
            hint = "Copy it again, whole, if it is not accepted."
        self.add(status, "api_key", text, hint, origin=origin)

    def network(self) -> None:
        """Any HTTP answer, to a question without the key, shows that the way is open;
        else the message tells DNS, TCP and TLS apart."""
        used, failure = ", ".join(routes()), proxy_failure(self.base)
        if failure is not None:
            failure.hint = f"Correct the variable ({used}) and restart the process."
            raise failure
        # Without a login.
        proxy = proxy_of(self.base).split("//")[-1].rpartition("@")[2].partition("/")[0]
        self.add(OK, "proxy", (proxy or "none") + (f" (set: {used})" if used else ""))
        began = time.monotonic()
        try:
            self.provider.get(self.base + MODELS_PATH, {**self.values, "api_key": ""})
        except ProviderError as error:
            status = error.details.get("http_status")
            codes = ("network", "timeout", "config", "stream_cut")
            if status == 407 or (not status and error.code in codes):
                raise
        seconds = time.monotonic() - began
        how = "certificate verified" if self.base.startswith("https") else "plain http"
        self.add(OK, "network", f"{self.host} answers after {seconds:.1f} s, {how}")

    def key(self) -> None:
        """List the models, with the key; if that is refused, find out what works."""
        try:
            self.listed = listed_models(self.provider, self.values)
        except ProviderError as error:
            self.find_settings(error)
            return
        region = f" (region {HOSTS[self.host]})" if self.host in HOSTS else ""
        text = f"accepted by {self.host}{region}, models listed: {len(self.listed)}"
        self.add(OK, "key", text)

    def find_settings(self, error: ProviderError) -> None:
        """Report the region or the base URL with which the models are listed.

        Only a host of MiniMax's is a reason to show the key to another of them.
        """
        changes: list[tuple[str, str]] = []
        root, hint = root_of(self.base), error.hint
        if error.code == "auth":
            changes = [("region", r) for r in REGIONS if r != HOSTS.get(self.host, r)]
            origin = self.origins.get("api_key", self.settings.path)
            hint = f"Copy the key again, whole, to {origin}."
        if error.code == "not_found":
            forms = (root + "/anthropic", self.base + "/anthropic", root)
            changes = [("base_url", form) for form in forms]
        for name, value in changes:
            code = ""
            try:
                listed_models(
                    self.provider, {**self.values, "base_url": "", name: value}
                )
            except ProviderError as other:
                code = other.code
            if not code or (code == "auth" and name == "base_url"):
                text = f"{error.message}; it works with {name} {value}"
                has_both = name == "region" and "base_url" in self.origins
                hint = self.remedy(name, value) + ", and remove base_url" * has_both
                self.add(PROBLEM, "key", text, hint + ".", settings={name: value})
                return
        self.add(PROBLEM, "key", f"{self.host}: {error.message}", hint)

    def plan(self) -> None:
        """What is left of the quota, for keys that may have one."""
        _, kind, wallet, _ = key_kind(self.values["api_key"])
        windows: list[JSON] = []
        try:
            windows = [] if kind == PAYG_KEY else read_quota(self.provider, self.values)
        except ProviderError as error:
            if kind == PLAN_KEY:
                hint = "Look at the platform's page of your plan."
                text = f"the quota cannot be read: {error.message}"
                self.add(WARNING, "plan", text, hint)
                return
        self.add(OK, "plan", "a plan" if windows else f"spends {wallet}")
        for window in windows:
            status, text = quota_text(window)
            text = f"{window['model']}, {window['window']}: {text}"
            hint = "" if status == OK else f"Wait for the reset, or use a {PAYG_KEY}."
            self.add(status, "quota", text, hint)

    def model(self) -> None:
        """Whether the default model is served, as far as a list of models shows it."""
        name = canonical_model(self.values["model"])
        facts, is_listed = MODELS.get(name), name in self.listed
        near = "" if facts else nearest(name, [*MODELS, *self.listed])
        hint = self.remedy("model", near or CURRENT_MODELS[0])
        hint += f" (current: {', '.join(CURRENT_MODELS)})."
        status, text = WARNING, f"{name} is not part of the base plans"
        is_plan = key_kind(self.values["api_key"])[1] == PLAN_KEY
        if facts and facts.retired:
            status = WARNING if is_listed else PROBLEM
            text = (
                f"{name} was retired on {facts.retired}" + ", but is listed" * is_listed
            )
        elif self.listed and not is_listed:
            status = WARNING if facts else PROBLEM
            text = f"{self.host} does not list {name} for this key"
        elif not facts and not is_listed:
            text = f"{name} is not in the table of models"
        elif not (is_plan and name.endswith("-highspeed")):
            status, text, hint = (
                OK,
                f"{name}: {facts.status if facts else 'listed'}",
                "",
            )
        self.add(status, "model used", text, hint)


def _check(options: Any) -> int:
    stop = count_seconds(lambda: "checking")
    try:
        with MiniMaxProvider.from_config(**overrides_of(options)) as provider:
            checkup = Checkup(provider, overrides_of(options))
            checkup.run(options.offline)
    finally:
        stop()
    statuses = [result["status"] for result in checkup.results]
    counts = {status: statuses.count(status) for status in (PROBLEM, WARNING)}
    code = EXIT_ERROR if counts[PROBLEM] else EXIT_OK
    if options.json:
        out_json({"ok": code == EXIT_OK, **counts, "checks": checkup.results})
        return code
    for status in (PROBLEM, WARNING, *((OK, SKIPPED) if options.verbose else ())):
        for result in checkup.results:
            if result["status"] == status:
                print_result(result)
    more = "" if options.verbose else "; check -v shows everything"
    text = f"problems: {counts[PROBLEM]}, warnings: {counts[WARNING]}{more}"
    if not any(counts.values()):
        model = canonical_model(checkup.values["model"])
        text = f"All is well: {checkup.host} accepts the key, and the model is {model}."
        text = "All is well, as far as it shows offline." if options.offline else text
    out(text + "\n")
    return code


def print_result(result: JSON) -> None:
    """A result, and what to do about it, with `~` for the home directory."""
    home = os.path.expanduser("~") + os.sep
    text, hint = result["text"], result["remedy"]
    text, hint = (visible(t).replace(home, "~" + os.sep) for t in (text, hint))
    indent, label = 23, f"{result['check']:<14}"
    if width() < 60:
        indent, label = 2, result["check"] + "\n  "
    head = paint(f"{result['status']:<9}", result["status"])
    out(head + label + wrap(text, indent) + "\n")
    if hint:
        hint = paint(wrap(hint, indent + 3), "bold")
        out(" " * indent + f"-> {hint}\n")


# --- replay


def _replay(options: Any) -> int:
    hidden = ("type", "timing", "error", "message", "partial", "block")

    def show(seconds: float, event: JSON) -> None:
        if options.json:
            name = head["request"].get("id")
            out(dump_json(event if name is None else {"id": name, **event}) + "\n")
            return
        facts = {k: v for k, v in event.items() if k not in hidden}
        error = event.get("error", {})
        facts.update({k: error[k] for k in ("code", "message") if k in error})
        text = printable(key_values(facts), 50)
        out(f"{seconds:9.3f}  {event['type']:<14} {text}".rstrip() + "\n")

    try:
        head = read_capture(options.file)[0]
        facts = [str(head.get(name)) for name in ("at", "plugin", "python", "system")]
        if not options.json:
            text = "captured {} by version {}, Python {}, {}".format(*facts)
            out(printable(text, 200) + "\n")
        unlike = replay(options.file, show)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        note("error: ", printable(f"{options.file}: {reason}"), PROBLEM)
        return EXIT_USAGE
    verdict = f"different: {unlike}" if unlike else "same result as the recording"
    out(verdict + "\n", 2 if options.json else 1)
    return EXIT_ERROR if unlike else EXIT_OK


# --- the commands and their options

_EXAMPLES = """\
examples:
  {0} say "Say hello in Portuguese."
  git diff | {0} say --thinking "Review this."
  {0} say --chat --history talk.json
"""


def program_name() -> str:
    """What starts this program, to be typed again: a command on PATH by its name."""
    path = sys.argv[0]
    folder, name = os.path.split(path)
    if name in ("", "-", "-c", "-m"):
        path = name = "plexum_minimax_provider.py"
    is_file = name.endswith((".py", ".pyz", ".zip"))
    if not is_file and folder in os.environ.get("PATH", "").split(os.pathsep):
        path = name
    if not re.match(r"[\w@%+=:,./~-]+$", path):
        import shlex

        path = shlex.quote(path)
    return "python3 " * is_file + path


def make_parsers() -> dict[str, Any]:
    """The parser of each command by name, and under "" the whole command line's."""
    import argparse

    start, name = re.findall("(python3 )?(.*)", MiniMaxProvider.command)[0]
    name = os.path.basename(name.strip("'"))
    text = "Serve MiniMax models to a Plexum gateway, and try them at a terminal."
    usage, examples = "%(prog)s [options] COMMAND ...", _EXAMPLES.format(start + name)
    look: JSON = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    look["allow_abbrev"] = False
    root: Any = argparse.ArgumentParser(name, usage, text, examples, **look)
    parsers = {"": root}
    commands = root.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    for command, (_, usage, text) in COMMANDS.items():
        words = {"prog": f"{name} {command}", "help": text, "description": text}
        words["usage"] = f"%(prog)s {usage}"
        parsers[command] = commands.add_parser(command, **words, **look)
    for command, parser in parsers.items():
        parser.set_defaults(parser=parser)
        parser.print_help = lambda file=None, parser=parser: out(parser.format_help())
        add_options(parser.add_argument, command, argparse.SUPPRESS)
        # The options that may also stand after the command are listed before it only.
        unseen = {"help": argparse.SUPPRESS, "default": argparse.SUPPRESS}
        words = {"metavar": "DIR", "help": "write each turn into DIR, for replay"}
        words.update(unseen if command else {})
        parser.add_argument("--capture", dest="capture_dir", **words)
        words.update(metavar="L", help="what is logged to stderr: " + ", ".join(LEVELS))
        words.update(unseen if command else {})
        parser.add_argument("--log-level", choices=LEVELS, **words)
    return parsers


def add_options(add: Callable[..., Any], command: str, unseen: str) -> None:
    """Add the options of a command; "" is the program itself."""
    on: JSON = {"action": "store_true"}
    if command == "":
        flag = {"action": "version", "version": f"{NAME} {__version__}"}
        add("--version", **flag, help="print it and exit; so do --manifest, --schema")
    if command == "say":
        add_say_options(add, on, unseen)
    if command in ("check", "models", "quota", "replay"):
        add("--json", **on, help="print JSON, for scripts")
    if command == "check":
        add("--offline", **on, help="only what needs no network, and a demo")
        add("-v", "--verbose", **on, help="show everything")
    if command == "models":
        add("--live", **on, help="also ask the endpoint which ones it lists")
    if command == "replay":
        add("file", metavar="FILE", help="a file that --capture wrote")
    if command == "help":
        add("topic", nargs="?", metavar="TOPIC", help='"settings", or a command')


def add_say_options(add: Callable[..., Any], on: JSON, unseen: str) -> None:
    add("-m", "--model", metavar="M", help="id of the model, or m3 or flash, for short")
    add("--system", metavar="TEXT", help="the system prompt")
    add("--max-tokens", type=int, metavar="N", help="limit of the answer")
    add("--thinking", **on, default=None, help="let the model think first")
    off = {"action": "store_false", "dest": "thinking"}
    add("--no-thinking", **off, help="turn thinking off, if the model allows it")
    add("--effort", choices=EFFORTS, metavar="E", help=", ".join(EFFORTS))
    add("--temperature", type=float, metavar="T", help="randomness, from 0 to 2")
    add("--top-p", type=float, metavar="P", help="share of likely tokens, up to 1")
    add("--image", action="append", metavar="FILE", help="a picture; may be a URL")
    add("--chat", **on, help="have a conversation at a prompt; /quit leaves")
    add("--history", metavar="FILE", help="keep the conversation there, and go on")
    add("--hide-thinking", **on, help="do not show thinking")
    add("--raw", **on, help="show Markdown as it is")
    add("--json", **on, help="print the events as JSON lines, for scripts")
    add("-q", "--quiet", **on, help="leave out tokens, cost and speed")
    add("-v", "--verbose", **on, help="show them also if stderr is no terminal")
    add("text", nargs="*", metavar="TEXT", help=unseen)  # the usage line names it


def _help(options: Any) -> int:
    parsers = make_parsers()
    if options.topic != "settings":
        if (options.topic or "") not in parsers:
            options.parser.error("there is no help for that")
        parsers[options.topic or ""].print_help()
        return EXIT_OK
    out(f"settings, in {config_path(os.environ)}:\n\n")
    for name, option in OPTIONS.items():
        text = f"{option.help} ({json.dumps(option.default)}"
        text += f"; {option.env} wins over it)" if option.env else ")"
        out(f"  {name:<22}{wrap(text, 24)}\n")
    return EXIT_OK


# What runs with the parsed options and returns the exit code, its usage, what it does.
COMMANDS: dict[str, tuple[Callable[[Any], int], str, str]] = {
    "say": (_say, "[options] [TEXT ...] [-]", "ask a model; --chat for a conversation"),
    "check": (_check, "[--offline] [-v] [--json]", "find out if it works, or why not"),
    "models": (_models, "[--live] [--json]", "list the models with limits and prices"),
    "quota": (_quota, "[--json]", "show what is left of a plan"),
    "replay": (_replay, "[--json] FILE", "run a captured turn again, and compare"),
    "demo": (_demo, "", "stream two turns from a built-in server, no key"),
    "help": (_help, "[settings | COMMAND]", "help settings: list the settings"),
}
# What prints one thing.
_PRINT_FLAGS: dict[str, Callable[[], str]] = {
    "--version": lambda: f"{NAME} {__version__}",
    "--manifest": lambda: json.dumps(manifest(), indent=2),
    "--schema": lambda: json.dumps(schema(), indent=2),
}


def run_command(arguments: list[str], owns_process: bool) -> int:
    """Do what the command line asks for; returns the exit code."""
    if arguments and arguments[0] in _PRINT_FLAGS:  # no need to import argparse
        out(_PRINT_FLAGS[arguments[0]]() + "\n")
        return EXIT_OK
    if not arguments and not os.isatty(0):
        return run_plugin({}, owns_process)
    root = make_parsers()[""]
    options, rest = root.parse_known_args(arguments)
    if options.command == "say" and not any(word.startswith("-") for word in rest):
        options.text += rest  # argparse takes TEXT from one place only
    elif rest:
        options.parser.error(f"unknown: {printable(' '.join(rest), 200)}")
    if options.command is None and not os.isatty(0):
        return run_plugin(overrides_of(options), owns_process)
    if options.command is None:
        root.print_help()
        return EXIT_OK
    if owns_process:
        ignore_warnings()
    return COMMANDS[options.command][0](options)


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` and return the exit code.

    Without `argv` it takes the process's own, and the process ends.  With it, the
    process is another program's: its signals, warnings and descriptors stay as they are.
    """
    owns_process = argv is None
    try:
        if owns_process:
            MiniMaxProvider.command = program_name()
            # Only for what it does to descriptors that are closed.
            wire = private_stdout()
            os.dup2(wire, 1)
            os.close(wire)
        code = run_command(sys.argv[1:] if argv is None else list(argv), owns_process)
    except ProviderError as error:
        print_error(redacted(error).to_dict())
        code = EXIT_ERROR
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else EXIT_OK
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except OSError as error:
        place = printable(str(error.filename or "stdout"), 200)
        log(f"{place} cannot be written: {error.strerror or error}")
        code = EXIT_ERROR if error.filename else EXIT_FATAL
    if owns_process:
        for stream in (sys.stdout, sys.stderr):
            try:
                if stream is not None:
                    stream.flush()  # of argparse: before 3.9 stderr is buffered, too
            except (OSError, ValueError):
                pass
        # Threads may be parked in system calls: nothing waits for them, nor for the
        # interpreter to take itself apart, a tenth of the time of --version.
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
