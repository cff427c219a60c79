"""What both servers promise an origin."""

REFERENCE_FEATURES = (
    "status, session, link:next, "
    "filter:skip-self, filter:skip-users, filter:require-sub, filter:build-id, filter:var-subst"
)
FEATURES = (
    "status, link:next, link:gone, "
    "filter:skip-self, filter:skip-users, filter:require-sub, filter:build-id, filter:var-subst, "
    "filter:http-check, filter:http-modify"
)
