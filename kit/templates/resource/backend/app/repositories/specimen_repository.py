"""Database access to speci mens."""

from sqlmodel import delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models.specimen import Specimen
from app.repositories.pages import Page, Rows, read_page


class SpecimenRepository:
    """Works in the given session, and never commits. With ``owner`` it finds only that
    owner's rows."""

    def __init__(self, session: AsyncSession, owner: str | None = None) -> None:
        self._session = session
        self._owner = {} if owner is None else {"owner": owner}

    async def add(self, specimen: Specimen) -> Specimen:
        """Store a new or a changed row, and read back what the database set."""
        self._session.add(specimen)
        await self._session.flush()
        await self._session.refresh(specimen)
        return specimen

    async def get(self, specimen_id: int, *, lock: bool = False) -> Specimen | None:
        """The row with that id, or None. With ``lock``, nobody else changes or deletes
        it until this transaction ends."""
        query = select(Specimen).filter_by(id=specimen_id, **self._owner)
        if lock:
            query = query.with_for_update()
        return (await self._session.exec(query)).one_or_none()

    async def get_page(self, page: Page) -> Rows[Specimen]:
        """Newest first."""
        return await read_page(self._session, Specimen, page, self._owner)

    async def delete(self, specimen_id: int) -> bool:
        """Delete the row with that id; False if there is none."""
        query = delete(Specimen).filter_by(id=specimen_id, **self._owner)
        return (await self._session.exec(query)).rowcount > 0
