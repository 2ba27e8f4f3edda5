"""Speci mens in a real database."""

import asyncio

import pytest
from sqlalchemy import text

from app.core.database import Database
from app.core.exceptions import NotFound
from app.models.specimen import Specimen, SpecimenContent
from app.repositories.pages import Page
from app.repositories.specimen_repository import SpecimenRepository
from app.services.specimen_service import SpecimenService
from chassis.context import current_principal

WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted")


async def test_rows_are_stored_changed_paged_and_deleted(database: Database) -> None:
    async with database.session() as session:
        repository = SpecimenRepository(session)
        ids = [(await repository.add(Specimen(title=t))).id or 0 for t in "abc"]
        await session.commit()
    async with database.session() as session:
        repository = SpecimenRepository(session)
        page = await repository.get_page(Page(limit=2))
        assert [row.id for row in page] == ids[:0:-1]
        older = await repository.get_page(Page(limit=10, before=ids[1]))
        assert ids[0] in [row.id for row in older]
        first = await repository.get(ids[0])
        assert first is not None and first.created_at == first.updated_at
        first.title = "changed"
        await repository.add(first)
        await session.commit()
    async with database.session() as session:
        repository = SpecimenRepository(session)
        first = await repository.get(ids[0])
        assert first is not None and first.title == "changed"
        assert first.created_at and first.updated_at
        assert first.updated_at > first.created_at
        assert [await repository.delete(each) for each in ids] == [True] * 3
        assert not await repository.delete(ids[0])
        await session.commit()


async def test_a_change_waits_for_a_deletion_and_finds_none(database: Database) -> None:
    async with database.session() as session, database.session() as other:
        row = await SpecimenRepository(session).add(Specimen(title="a"))
        await session.commit()
        repository, content = SpecimenRepository(other), SpecimenContent(title="b")
        assert row.id and await SpecimenRepository(session).delete(row.id)
        change = asyncio.create_task(
            SpecimenService(repository).replace(row.id, content)
        )
        async with asyncio.timeout(10):
            while not (await session.scalar(WAITING) or change.done()):
                await asyncio.sleep(0.02)
        await session.commit()
        with pytest.raises(NotFound):
            await change


async def test_nobody_finds_the_rows_of_others(database: Database) -> None:
    async with database.session() as session:
        current_principal.set("alice")
        made = await SpecimenRepository(session).add(Specimen(title="a"))
        assert made.id and made.owner == "alice"
        for stranger in ("bob", ""):
            others = SpecimenRepository(session, stranger)
            assert await others.get(made.id) is None
            found = await others.get_page(Page(limit=100))
            assert made.id not in {each.id for each in found}
            assert not await others.delete(made.id)
        own = SpecimenRepository(session, "alice")
        assert await own.get(made.id) and await own.get_page(Page(limit=100))
        assert await own.delete(made.id)
