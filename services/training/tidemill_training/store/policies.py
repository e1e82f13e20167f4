"""What policies remember, in one transaction with the offsets they have consumed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tidemill_common.ids import new_id
from tidemill_common.postgres import inbox, queries
from tidemill_training import signals
from tidemill_training.signals import Alert, AlertState, Kind, State
from tidemill_training.trigger import Traffic

if TYPE_CHECKING:
    import asyncpg

    from tidemill_common.postgres import Connection
    from tidemill_training.signals import Signals

SQL: Final = queries("tidemill_training.sql.queries")
CONSUMER: Final = "policies"


@dataclass(frozen=True, slots=True)
class Memory:
    """The tables of the policies within one transaction."""

    connection: Connection

    async def is_new(self, topic: str, partition: int, offset: int) -> bool:
        """Move past a record; False when it was handled before."""
        return await inbox.advance(self.connection, CONSUMER, topic, partition, offset)

    async def lock(self, model: str) -> State:
        """Return what is remembered of a model, locked until the transaction ends."""
        return signals.from_dict(await self.connection.fetchval(SQL["lock_state"], model))

    async def save(self, model: str, state: State) -> None:
        """Remember."""
        await self.connection.execute(SQL["save_state"], model, signals.to_dict(state))

    async def alerts(self, model: str) -> tuple[Alert, ...]:
        """Return the model's alerts that are not over, and every data alert there has been."""
        rows = await self.connection.fetch(SQL["alerts_of"], model)
        return tuple(_alert(row) for row in rows)

    async def save_alert(self, alert: Alert) -> bool:
        """Keep a change of an alert; False when it is no news."""
        saved = await self.connection.fetchval(
            SQL["save_alert"],
            alert.alert_id,
            alert.model,
            alert.kind.value,
            alert.state.value,
            alert.subject,
            alert.version,
            alert.effect,
            alert.bad_from_us,
            alert.bad_to_us,
            alert.changed_us,
            alert.fired,
        )
        return saved is not None

    async def save_version(self, model: str, number: int, run_id: str, data_us: int) -> None:
        """Keep what a champion's age will be counted from."""
        await self.connection.execute(SQL["save_version"], model, number, run_id, data_us)

    async def data_time(self, model: str, number: int) -> int:
        """Return the newest time that a version has seen; 0 when it is not known."""
        return await self.connection.fetchval(SQL["version_data"], model, number) or 0

    async def traffic(self, model: str, since_us: int) -> Traffic:
        """Return whether a run is open, and how many were opened since a moment."""
        row = await self.connection.fetchrow(SQL["runs_since"], model, since_us)
        return Traffic(row["run_open"], row["runs_today"]) if row else Traffic()

    async def decide(
        self,
        model: str,
        *,
        verdict: str,
        reason: str,
        known: Signals,
        stream_us: int,
        cause: str,
        policy_digest: str,
    ) -> str | None:
        """Store a decision and return its id; None when (policy, cause) has one already."""
        stored: str | None = await self.connection.fetchval(
            SQL["insert_decision"],
            new_id(),
            model,
            verdict,
            reason,
            known,
            stream_us,
            cause,
            policy_digest,
        )
        return stored

    async def link(self, decision_id: str, run_id: str) -> None:
        """Say which run a decision has led to."""
        await self.connection.execute(SQL["link_decision"], decision_id, run_id)


def _alert(row: asyncpg.Record) -> Alert:
    return Alert(
        alert_id=row["alert_id"],
        model=row["model"],
        kind=Kind(row["kind"]),
        state=AlertState(row["state"]),
        subject=row["subject"],
        version=row["version"],
        effect=row["effect"],
        bad_from_us=row["bad_from_us"],
        bad_to_us=row["bad_to_us"],
        changed_us=row["changed_us"],
        fired=row["fired"],
    )
