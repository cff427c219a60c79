"""A FastAPI application: a page, a stream of events that gripproxy holds, and a publish, by gripcontrol."""

import os
import re
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Form, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from gripcontrol import Channel, GripPubControl, create_grip_channel_header, parse_grip_uri

PAGE = Path(__file__).resolve().parents[1] / "page.html"

app = FastAPI()
# Several hosts with gripproxy: GripPubControl([{"control_uri": "http://10.0.0.1:5561"}, ...])
publisher = GripPubControl(parse_grip_uri(os.environ.get("GRIP_URL", "http://localhost:5561")))


@app.get("/")
def page() -> FileResponse:
    return FileResponse(PAGE)


@app.get("/events")
def events() -> Response:
    # Look here who asks: what follows subscribes him to the channel.
    instruct = {
        "Grip-Hold": "stream",
        "Grip-Channel": create_grip_channel_header([Channel("news")]),
        "Grip-Keep-Alive": r":\n\n; format=cstring; timeout=30",
    }
    return Response(":\n\n", media_type="text/event-stream", headers=instruct)


@app.post("/say", status_code=204)
async def say(text: Annotated[str, Form()]) -> None:
    event = "".join(f"data: {line}\n" for line in re.split(r"\r\n|\r|\n", text)) + "\n"
    await run_in_threadpool(publisher.publish_http_stream, "news", event, blocking=True)
