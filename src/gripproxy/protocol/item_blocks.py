"""How many blocks of content an item has: what `message_block_size` makes of its size. Seen with Pushpin 1.36."""

from gripproxy.protocol.publish_item import PublishItem

RESPONSE, STREAM, MESSAGE = "http-response", "http-stream", "ws-message"  # a format's name is its transport's


def blocks_by_transport(item: PublishItem, block_bytes: int) -> dict[str, int]:
    """Count each format's begun blocks. The item's own ``size``, if it says one, counts for every format."""
    contents: list[tuple[str, bytes]] = []
    if item.http_response is not None:
        contents.append((RESPONSE, item.http_response.body))
    if item.http_stream is not None:
        contents.append((STREAM, item.http_stream.content))
    if item.ws_message is not None:
        contents.append((MESSAGE, item.ws_message.content))
    return {
        transport: count_blocks(len(content) if item.size is None else item.size, block_bytes)
        for transport, content in contents
    }


def count_blocks(size_bytes: int, block_bytes: int) -> int:
    return -(-size_bytes // block_bytes)
