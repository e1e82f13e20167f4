"""The request by which a static member leaves its group; aiokafka has that of others only."""

from __future__ import annotations

from typing import Any

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Int16, Int32, Schema, String

LEAVE_GROUP = 13
STATIC_MEMBERS = 3
"""The first version of the request that names members by their instance."""


class LeaveReply(Response):  # type: ignore[misc]
    """What became of each member."""

    API_KEY = LEAVE_GROUP
    API_VERSION = STATIC_MEMBERS
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "members",
            Array(
                ("member_id", String("utf-8")),
                ("group_instance_id", String("utf-8")),
                ("error_code", Int16),
            ),
        ),
    )


class LeaveStruct(RequestStruct):  # type: ignore[misc]
    """The request as it goes over the wire."""

    API_KEY = LEAVE_GROUP
    API_VERSION = STATIC_MEMBERS
    RESPONSE_TYPE = LeaveReply
    SCHEMA = Schema(
        ("group", String("utf-8")),
        (
            "members",
            Array(("member_id", String("utf-8")), ("group_instance_id", String("utf-8"))),
        ),
    )


class LeaveGroup(Request[LeaveStruct]):  # type: ignore[misc]
    """Let the static member of this instance leave; whoever asks need not be it."""

    API_KEY = LEAVE_GROUP

    def __init__(self, group: str, instance: str) -> None:
        """Name the group and the member's `group.instance.id`."""
        self._group = group
        self._instance = instance

    def build(self, request_struct_class: type[LeaveStruct]) -> Any:
        """Return the request; without a member id the broker goes by the instance."""
        return request_struct_class(self._group, [("", self._instance)])
