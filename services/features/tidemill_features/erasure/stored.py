"""What is stored of erased entities in files: archives, training sets, packages that name them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tidemill.registry.v1 import registry_service_pb2 as pb
from tidemill_common import rpc
from tidemill_common.artifacts import Artifacts
from tidemill_features.erasure import naming
from tidemill_features.erasure.finding import SetFinder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tidemill.definitions.v1 import project_pb2
    from tidemill.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub
    from tidemill_common.erasures import Erased
    from tidemill_features.archiving import Archivers
    from tidemill_features.definitions import Work
    from tidemill_features.erasure.account import Account
    from tidemill_features.erasure.archived import ArchiveLook
    from tidemill_features.erasure.sets import HeldSet

ARCHIVE, SETS, PACKAGE = "archive", "training_sets", "package"
STORE: Final = "artifacts"
VERSIONS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Stored:
    """The archive and the artefact store of one generation."""

    artifacts: str
    archivers: Archivers
    work: Work

    async def name_sets(
        self, erased: Erased, accounts: Iterable[Account], known: Sequence[pb.Version]
    ) -> None:
        """Find each entity's rows, the sets that hold it, and the versions trained on them.

        Whoever dies after rows were removed could not count them any more: what was found is said
        before.
        """
        for name in self.work.streams:
            _note(name, await self.archivers.of(name).look(erased), accounts)
        found = await self._sets(erased)
        for account in accounts:
            for held in found:
                trained = [(one.model, one.number) for one in known if _learned(one, held)]
                if rows := held.rows.get(account.erasure_id):
                    account.name_set(held.digest, rows, trained)
            account.saw(SETS, STORE, len(account.sets))

    async def remove(self, erased: Erased, accounts: Iterable[Account]) -> None:
        """Rewrite every archive without the entities, and remove the named sets."""
        for name in self.work.streams:
            _note(name, await self.archivers.of(name).erase(erased), accounts)
            for account in accounts:
                account.saw(ARCHIVE, name, 0)
        artifacts = Artifacts(self.artifacts)
        for account in accounts:
            for digest in account.sets:
                await asyncio.to_thread(artifacts.delete, digest)
            account.saw(SETS, STORE, 0)

    async def look_for_names(
        self, erased: Erased, accounts: Iterable[Account], known: Iterable[pb.Version]
    ) -> None:
        """Look for packages and profiles that name an entity.

        A version needs its files, so they stay and are waited for; other such blobs are removed.
        """
        artifacts = Artifacts(self.artifacts)
        naming_it = dict(await asyncio.to_thread(lambda: list(naming.look(artifacts, erased))))
        needed = {
            file.sha256: f"{one.model}/{one.number} {file.name}"
            for one in known
            for file in one.artifacts
        }
        for digest in naming_it.keys() - needed.keys():
            await asyncio.to_thread(artifacts.delete, digest)
        for account in accounts:
            found = {
                needed[digest]: digest
                for digest, ids in naming_it.items()
                if digest in needed and account.erasure_id in ids
            }
            before = {name for kind, name in account.places if kind == PACKAGE}
            for name in sorted(before | found.keys()):
                digest = found.get(name, "")
                waiting = f"its version names the entity: retire that, then remove blob {digest}"
                account.saw(PACKAGE, name, int(name in found), waiting=waiting)

    async def look_again(
        self, erased: Erased, accounts: Sequence[Account], known: Iterable[pb.Version]
    ) -> None:
        """Look through rows, files, sets and packages once more."""
        for name in self.work.streams:
            looked = await self.archivers.of(name).look(erased)
            old = await self.archivers.of(name).old_files()
            for account in accounts:
                account.saw(ARCHIVE, name, looked.rows[account.erasure_id] + len(old))
        found = await self._sets(erased)
        for account in accounts:
            account.saw(SETS, STORE, sum(account.erasure_id in held.rows for held in found))
        await self.look_for_names(erased, accounts, known)

    async def _sets(self, erased: Erased) -> list[HeldSet]:
        return await SetFinder(self.artifacts, self.archivers).find(self.work.project, erased)


def _note(stream: str, looked: ArchiveLook, accounts: Iterable[Account]) -> None:
    """Note which rows of an archive are of each entity, and their times."""
    for account in accounts:
        rows = looked.rows[account.erasure_id]
        place = account.saw(ARCHIVE, stream, rows)
        if rows:
            oldest = looked.oldest_us[account.erasure_id]
            newest = looked.newest_us[account.erasure_id]
            if place.HasField("oldest_time"):  # others were removed before
                oldest = min(oldest, place.oldest_time.ToMicroseconds())
                newest = max(newest, place.newest_time.ToMicroseconds())
            place.oldest_time.FromMicroseconds(oldest)
            place.newest_time.FromMicroseconds(newest)


async def versions(
    registry: RegistryServiceAsyncStub, models: Iterable[project_pb2.Model]
) -> list[pb.Version]:
    """Return the newest versions of every model."""
    found: list[pb.Version] = []
    for model in models:
        request = pb.ListVersionsRequest(model=model.name, limit=VERSIONS)
        found.extend((await rpc.call(registry.ListVersions, request)).versions)
    return found


def only_of(erased: Erased, accounts: Iterable[Account]) -> Erased:
    """Return the list with the entities of these accounts alone."""
    ids = {one.erasure_id for one in accounts}
    return erased.only([one for one in erased.keys if one.erasure_id in ids])


def _learned(version: pb.Version, held: HeldSet) -> bool:
    return bool(version.lineage.training_set_digest == held.digest)
