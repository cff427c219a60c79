"""A Django site with django-grip and django-eventstream: events with and without storage, holds, a WebSocket.

Run by gunicorn in one process, so that what is forbidden is known to all its threads. GRIP_URL and DATABASE come from
the environment.
"""

import os

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path

settings.configure(
    SECRET_KEY="a-key-of-django-that-nobody-else-has-to-know",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_eventstream"],
    MIDDLEWARE=["django_grip.GripMiddleware"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DATABASE"]}},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    GRIP_URL=os.environ["GRIP_URL"],
    EVENTSTREAM_STORAGE_CLASS="django_eventstream.storage.DjangoModelStorage",
    EVENTSTREAM_CHANNELMANAGER_CLASS=f"{__name__}.ChannelManager",
)
django.setup()

from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django_eventstream import send_event  # noqa: E402
from django_eventstream.channelmanager import DefaultChannelManager  # noqa: E402
from django_eventstream.eventstream import channel_permission_changed  # noqa: E402
from django_grip import publish, set_hold_longpoll, set_hold_stream, websocket_only  # noqa: E402
from gripcontrol import Channel, HttpResponseFormat, HttpStreamFormat, WebSocketMessageFormat  # noqa: E402

forbidden: set[str] = set()


class ChannelManager(DefaultChannelManager):  # type: ignore[misc]
    """Channels named `unstored` keep no events, so that their events have no ids."""

    def can_read_channel(self, user: object, channel: str) -> bool:
        return channel not in forbidden

    def is_channel_reliable(self, channel: str) -> bool:
        return not channel.startswith("unstored")


def hello(request: HttpRequest) -> HttpResponse:
    """Tell what django-grip has found out about the request."""
    grip = request.grip
    return JsonResponse({"is_proxied": grip.proxied, "features": sorted(grip.features)})


def send(request: HttpRequest) -> HttpResponse:
    """Send an event on a channel."""
    send_event(
        request.GET["channel"],
        "message",
        {"text": request.GET["text"]},
        skip_user_ids=request.GET.getlist("skip"),
        async_publish=False,
    )
    return HttpResponse("sent\n")


def forbid(request: HttpRequest) -> HttpResponse:
    """Take the right to a channel away from everybody."""
    channel = request.GET["channel"]
    forbidden.add(channel)
    channel_permission_changed(None, channel)
    return HttpResponse("forbidden\n")


def poll(request: HttpRequest) -> HttpResponse:
    """Wait for one item that follows the id given; asked again, tell what the client missed."""
    last_id = request.grip.last.get(request.GET["channel"])
    if last_id:
        return HttpResponse(f"missed after {last_id}\n")
    set_hold_longpoll(request, Channel(request.GET["channel"], prev_id=request.GET.get("after")), timeout=20)
    return HttpResponse("nothing\n", content_type="text/plain")


def stream(request: HttpRequest) -> HttpResponse:
    """Stream items, with a keep-alive of two lines."""
    set_hold_stream(request, request.GET["channel"], keep_alive_data="k%\n\n", keep_alive_timeout=1)
    return HttpResponse("open\n", content_type="text/plain")


def publish_item(request: HttpRequest) -> HttpResponse:
    """Publish an item to long-polls and streams."""
    text, item_id, prev_id = (request.GET.get(key) for key in ("text", "id", "prev"))
    formats = [HttpResponseFormat(body=f"{text}\n", headers={"X-Id": item_id or "-"}), HttpStreamFormat(f"{text}\n")]
    publish(request.GET["channel"], formats, id=item_id, prev_id=prev_id, blocking=True)
    return HttpResponse("published\n")


@websocket_only  # type: ignore[untyped-decorator]
def echo(request: HttpRequest) -> HttpResponse | None:
    """Echo under the name given at the start, which the proxy keeps: this site remembers nothing of a connection."""
    context = request.wscontext
    if context.is_opening():
        if request.GET["user"] == "stranger":
            return HttpResponse("strangers stay outside\n", status=403, content_type="text/plain")
        context.accept()
        context.subscribe(request.GET["channel"])
        context.meta["User"] = request.GET["user"]
    while context.can_recv():
        message = context.recv()
        if message is None:
            context.close(context.close_code)
            break
        if message == "forget me":
            del context.meta["user"]
            context.send("forgotten")
        elif isinstance(message, bytes):
            context.send_binary(message)
        else:
            context.send(f"{context.meta.get('user', 'nobody')}: {message}")
    return None


def shout(request: HttpRequest) -> HttpResponse:
    """Publish to WebSockets: text, the same as bytes, or a close."""
    text, code = request.GET.get("text"), request.GET.get("code")
    if text is None:
        formats = WebSocketMessageFormat(action="close", code=int(code), reason=request.GET["reason"])
    else:
        formats = WebSocketMessageFormat(text, binary="binary" in request.GET)
    publish(request.GET["channel"], formats, blocking=True)
    return HttpResponse("published\n")


urlpatterns = [
    path("echo", echo),
    path("shout", shout),
    path("hello", hello),
    path("events/", include("django_eventstream.urls")),
    path("send", send),
    path("forbid", forbid),
    path("poll", poll),
    path("stream", stream),
    path("publish", publish_item),
]
call_command("migrate", verbosity=0)
application = get_wsgi_application()
