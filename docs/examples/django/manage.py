"""A Django site in one file: a page, a stream of events that gripproxy holds, and a publish, by django-grip."""

import os
import re
import sys
from pathlib import Path

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from gripcontrol import HttpStreamFormat

PAGE = Path(__file__).resolve().parents[1] / "page.html"

settings.configure(
    DEBUG=True,
    SECRET_KEY="only-for-this-example",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django_grip.GripMiddleware"],
    # Several hosts with gripproxy: GRIP_PROXIES = [{"control_uri": "http://10.0.0.1:5561"}, ...]
    GRIP_URL=os.environ.get("GRIP_URL", "http://localhost:5561"),
)

from django_grip import publish, set_hold_stream  # noqa: E402 (it reads the settings)


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(PAGE.read_text())


def events(request: HttpRequest) -> HttpResponse:
    # Look here who asks: what follows subscribes him to the channel.
    set_hold_stream(request, "news", keep_alive_data=":\n\n", keep_alive_timeout=30)
    return HttpResponse(":\n\n", content_type="text/event-stream")


@csrf_exempt  # for an example without cookies
@require_POST
def say(request: HttpRequest) -> HttpResponse:
    lines = re.split(r"\r\n|\r|\n", request.POST.get("text", ""))
    publish("news", HttpStreamFormat("".join(f"data: {line}\n" for line in lines) + "\n"), blocking=True)
    return HttpResponse(status=204)


urlpatterns = [path("", page), path("events", events), path("say", say)]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
