"""The header route: one request goes where its caller says, whatever the weights are, if the caller is trusted.

Who the caller is cannot be read from a header (X-Forwarded-For is anybody's to write). A listener leaves the address of
the connection's peer in its filter state, and the route table asks for it there: Envoy's route table matches on headers
and filter states and on nothing else, and only on a whole value, so callers are trusted by address and not by network.

The header is taken off all requests of all listeners by the route table as a whole. What was sent by it is counted
apart and never judged: whoever chooses a side by hand is no random sample. It goes to the side that was named and to
nobody else; with no endpoint there, the answer is 503.
"""

from __future__ import annotations

from collections.abc import Sequence

from landbridge.envoy.http import ASKED, SIDE_HEADER, header, is_of
from landbridge.envoy.names import METADATA, Json, side_name, typed
from landbridge.envoy.state import Listener
from landbridge.model.service import Side

PEER = f"{METADATA}.peer"
"""The filter state in which a listener leaves the address of its caller, whatever headers say."""
PEER_ADDRESS = "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"
FILTER_STATE_INPUT = "envoy.extensions.matching.common_inputs.network.v3.FilterStateInput"


def leave(*states: tuple[str, str]) -> Json:
    """The first filter of a listener: leaves values, by name, where the route table finds them."""
    values = [
        {
            "object_key": name,
            "factory_key": "envoy.string",
            "format_string": {"text_format_source": {"inline_string": value}},
        }
        for name, value in states
    ]
    kind = "envoy.extensions.filters.network.set_filter_state.v3.Config"
    return {"name": "envoy.filters.network.set_filter_state", "typed_config": typed(kind, on_new_connection=values)}


def on_match(item: Listener, routes: Sequence[Json]) -> Json:
    """What is done with a request of this listener: its routes in their order, with the header's before for some."""
    plain = action(item.key, routes)
    if item.header is None or not item.header.trusted:
        return plain
    asked = action(item.key, [*_asked(item, routes[-1]), *routes])
    by = {"name": "peer", "typed_config": typed(FILTER_STATE_INPUT, key=PEER)}
    known = {"map": dict.fromkeys(sorted(item.header.trusted), asked)}
    return {"matcher": {"matcher_tree": {"input": by, "exact_match_map": known}, "on_no_match": plain}}


def action(name: str, routes: Sequence[Json]) -> Json:
    """A route, or the first that fits of several."""
    if len(routes) == 1:
        return {"action": {"name": "route", "typed_config": routes[0]}}
    bare = [{key: value for key, value in route.items() if key != "@type"} for route in routes]
    return {"action": {"name": name, "typed_config": typed("envoy.config.route.v3.RouteList", routes=bare)}}


def _asked(item: Listener, like: Json) -> list[Json]:
    """A route to each side alone; the answer says which side it was."""
    assert item.header is not None
    made = []
    for side, service in ((Side.SOURCE, item.header.source), (Side.TARGET, item.header.target)):
        named = {"name": SIDE_HEADER, "string_match": {"exact": side.value}}
        route = {key: value for key, value in like["route"].items() if key != "weighted_clusters"}
        (entry,) = [e for e in like["route"]["weighted_clusters"]["clusters"] if e["name"].split("|")[1] == service]
        made.append(
            like
            | {
                "match": {"prefix": "", "headers": [named]},
                "metadata": is_of(ASKED),
                "route": route | {"cluster": side_name(item.key, service)},
                "request_headers_to_add": like["request_headers_to_add"] + entry.get("request_headers_to_add", []),
                "response_headers_to_add": [header(SIDE_HEADER, side.value)],
            }
        )
    return made
