"""Bring a schema to the newest form: numbered SQL files, each run once, never edited afterwards."""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import asyncpg

from tidemill.errors import Misconfigured, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

OWN = "tidemill_common.postgres.sql"
_NUMBERED = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,50}")
_TIMEOUT_SECONDS = 60.0
_LOCK = 0x7469_6465  # "tide": the first of the two keys of the advisory lock
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file; `source` is the package it ships in."""

    source: str
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Return what the file's content is known by."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def label(self) -> str:
        """Name the migration for people."""
        return f"{self.source}/{self.number:04d}_{self.name}"


def queries(package: str) -> Mapping[str, str]:
    """Return the statements of a package of `<name>.sql` files by their names."""
    return {
        file.name.removesuffix(".sql"): file.read_text()
        for file in resources.files(package).iterdir()
        if file.name.endswith(".sql")
    }


def found(package: str) -> list[Migration]:
    """Return the migrations of a package, in order; Misconfigured if a number is twice."""
    migrations = [
        Migration(package, int(match[1]), match[2], file.read_text())
        for file in resources.files(package).iterdir()
        if (match := _NUMBERED.fullmatch(file.name))
    ]
    migrations.sort(key=lambda migration: migration.number)
    numbers = [migration.number for migration in migrations]
    if len(set(numbers)) != len(numbers):
        raise Misconfigured(f"{package} has two migrations of one number")
    return migrations


async def migrate(dsn: str, *, schema: str, package: str = OWN) -> list[str]:
    """Make the schema and run what it lacks of our own files and of `package`; a repeat is a no-op.

    One migrator a schema at a time, by advisory lock; each file is one transaction. Returns the
    labels of what ran. Misconfigured if a file that ran before was edited or is gone.
    """
    if not _NAME.fullmatch(schema):
        raise Misconfigured(f"{schema!r} is no schema name")
    try:
        connection = await asyncpg.connect(str(dsn), timeout=3, command_timeout=_TIMEOUT_SECONDS)
    except (TimeoutError, OSError, asyncpg.PostgresError) as error:
        raise Unavailable(f"the database is away ({type(error).__name__})") from error
    try:
        await connection.execute("SELECT pg_advisory_lock($1, hashtext($2))", _LOCK, schema)
        await _make_schema(connection, schema)
        known = {
            (row["source"], row["number"]): row["checksum"]
            for row in await connection.fetch("SELECT source, number, checksum FROM migration")
        }
        wanted = [each for source in dict.fromkeys((OWN, package)) for each in found(source)]
        _check(known, wanted, schema)
        ran = []
        for migration in wanted:
            if (migration.source, migration.number) not in known:
                await _run(connection, migration)
                ran.append(migration.label)
    finally:
        await connection.close(timeout=5)
    if ran:
        logger.info("schema.migrated", extra={"schema": schema, "migrations": ran})
    return ran


async def _make_schema(connection: asyncpg.Connection[asyncpg.Record], schema: str) -> None:
    """Make the schema and the table of what has run, and see only this schema from here on."""
    await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
    await connection.execute("SELECT set_config('search_path', $1, false)", schema)
    await connection.execute(
        """
        CREATE TABLE IF NOT EXISTS migration (
            source text NOT NULL, number integer NOT NULL, name text NOT NULL,
            checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (source, number))
        """
    )


def _check(known: Mapping[tuple[str, int], str], wanted: list[Migration], schema: str) -> None:
    """Refuse to go on when the past is not what the files say."""
    ours = {(migration.source, migration.number): migration for migration in wanted}
    for key, checksum in known.items():
        if key not in ours:
            raise Misconfigured(
                f"schema {schema} has run {key[0]}/{key[1]:04d}, which this version does not have",
                hint="start the version that made it, or a newer one",
            )
        if ours[key].checksum != checksum:
            raise Misconfigured(
                f"{ours[key].label} was edited after it ran in schema {schema}",
                hint="restore the file and write a new one",
            )


async def _run(connection: asyncpg.Connection[asyncpg.Record], migration: Migration) -> None:
    """Run one file and write that it ran, or neither."""
    async with connection.transaction():
        await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO migration (source, number, name, checksum) VALUES ($1, $2, $3, $4)",
            migration.source,
            migration.number,
            migration.name,
            migration.checksum,
        )
