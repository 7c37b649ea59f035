"""What the browser keeps of its visitor's runs.

The store holds the run on view, the owner's tokens of the visitor's runs, the pictures that were
uploaded last and a name that the browser gave itself. It comes from outside, so it may have been
tampered with.
"""

import re
from typing import Any

import gradio as gr

from ganlab.turns import Visitor
from ganlab.ui.crowds import address_of

MAX_TOKENS = 20
MAX_DELETED = 5  # whose tokens are kept, in case they are brought back
MOST_READ = 100  # tokens, of what a browser sends: two of its windows may have kept some each

QUICK = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# Only a queued event can show a gr.Error: one that skips the queue fails without a word.
ACT = {"show_progress": "hidden", "api_visibility": "private"}


# A browser names itself once, so that two presses of Start are one visitor's.
NEW_VISITOR = """{visitor: Array.from(
  crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, "0")
).join("")}"""
VISITOR_KEY = re.compile(r"[0-9a-f]{32}")


def visitor_of(store: Any, request: gr.Request) -> Visitor:
    """Whom a run is queued for. Anybody can send what they like, so what is no key counts as none,
    and a key says nothing of who may do what."""
    key = store_of(store).get("visitor")
    is_key = isinstance(key, str) and VISITOR_KEY.fullmatch(key)
    return Visitor(key if is_key else "", str(address_of(request) or ""))


def store_of(store: Any) -> dict[str, Any]:
    return store if isinstance(store, dict) else {}


def tokens_of(store: Any) -> dict[str, str]:
    """The owner's tokens, by the runs' ids, oldest first."""
    return _dict_in(store, "tokens")


def deleted_of(store: Any) -> dict[str, str]:
    """The tokens of runs that the visitor has deleted, the last one last."""
    return _dict_in(store, "deleted")


def _dict_in(store: Any, name: str) -> dict[str, str]:
    held = store_of(store).get(name)
    if not isinstance(held, dict):
        return {}
    return held if len(held) <= MOST_READ else dict([*held.items()][-MOST_READ:])


def token_of(store: Any, run_id: Any) -> str | None:
    return tokens_of(store).get(run_id) if isinstance(run_id, str) else None


def any_token_of(store: Any, run_id: Any) -> str | None:
    """Of a run that the visitor may have deleted."""
    deleted = deleted_of(store).get(run_id) if isinstance(run_id, str) else None
    return deleted or token_of(store, run_id)


def with_token(store: Any, run_id: str, token: str) -> dict[str, Any]:
    """The store with one more run, which is now on view."""
    tokens = list({**tokens_of(store), run_id: token}.items())
    return {**store_of(store), "run": run_id, "tokens": dict(tokens[-MAX_TOKENS:])}


def without_run(store: Any, run_id: str) -> dict[str, Any]:
    """The store after a run was deleted, whose token it keeps for an undo."""
    store, tokens = store_of(store), dict(tokens_of(store))
    deleted = list({**deleted_of(store), run_id: tokens.pop(run_id, "")}.items())
    run = "" if store.get("run") == run_id else store.get("run", "")
    return {**store, "run": run, "tokens": tokens, "deleted": dict(deleted[-MAX_DELETED:])}


def with_run_back(store: Any, run_id: str) -> dict[str, Any]:
    """The store after a deleted run was brought back."""
    deleted = dict(deleted_of(store))
    token = any_token_of(store, run_id) or ""  # in the list of runs still, if the server removed it
    deleted.pop(run_id, None)
    tokens = list({**tokens_of(store), run_id: token}.items())
    return {**store_of(store), "tokens": dict(tokens[-MAX_TOKENS:]), "deleted": deleted}
