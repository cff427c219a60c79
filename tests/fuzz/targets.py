"""All fuzz targets by name: each takes outside bytes and raises when something about them is wrong."""

from collections.abc import Callable

from tests.fuzz import http_targets, publish_targets, socket_targets, text_targets

Target = Callable[[bytes], None]

TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        http_targets.request_reader,
        http_targets.request_head,
        http_targets.chunked_body,
        http_targets.origin_response,
        http_targets.zhttp_packet,
        http_targets.zhttp_socket_packet,
        http_targets.jsonp_request,
        publish_targets.publish_json,
        publish_targets.publish_frame,
        publish_targets.tnetstring,
        publish_targets.control_request,
        publish_targets.command_request,
        publish_targets.json_patch,
        publish_targets.filters,
        socket_targets.websocket_frames,
        socket_targets.websocket_extensions,
        socket_targets.websocket_events,
        text_targets.instruct_headers,
        text_targets.instruct_json,
        text_targets.header_params,
        text_targets.grip_sig,
        text_targets.routes,
        text_targets.config_ini,
    )
}
