"""Tidemill for its users: clients, project files, the command line and the generated messages.

import tidemill

with tidemill.connect() as client:          # asyncio: async with tidemill.aio.connect()
reply = client.publish([tidemill.Event("clicks", {"user": "u1", "price": 9.5})])
client.get_features("user_clicks", [{"user": "u1"}], token=reply.token)
"""

from tidemill import aio, errors
from tidemill.addresses import Addresses
from tidemill.client import Client, connect
from tidemill.events import Event, merge, token_text

__all__ = ["Addresses", "Client", "Event", "aio", "connect", "errors", "merge", "token_text"]
