"""Access to speci mens."""

from sqlmodel import col, delete
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models.specimen import Specimen
from app.repositories.pages import Page, Rows, read_page


class SpecimenRepository:
    """Works in the session that it is given, and never commits."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, specimen: Specimen) -> Specimen:
        """Store a new one, or what has changed; its columns are those of the table."""
        self._session.add(specimen)
        await self._session.flush()
        await self._session.refresh(specimen)
        return specimen

    async def get(self, specimen_id: int) -> Specimen | None:
        """The one of that id, if there is one."""
        return await self._session.get(Specimen, specimen_id)

    async def get_page(self, page: Page) -> Rows[Specimen]:
        """Newest first."""
        return await read_page(self._session, Specimen, page)

    async def delete(self, specimen_id: int) -> bool:
        """False if there was none of that id."""
        query = delete(Specimen).where(col(Specimen.id) == specimen_id)
        return (await self._session.exec(query)).rowcount > 0
