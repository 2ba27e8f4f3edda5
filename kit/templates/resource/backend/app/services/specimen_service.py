"""The business rules of speci mens: your code belongs here."""

from app.core.exceptions import NotFound
from app.models.specimen import Specimen, SpecimenContent
from app.repositories.pages import Page, Rows
from app.repositories.specimen_repository import SpecimenRepository


class SpecimenService:
    """One instance per request, with that request's session. The edge commits."""

    def __init__(self, specimens: SpecimenRepository) -> None:
        self._specimens = specimens

    async def create(self, content: SpecimenContent) -> Specimen:
        """Store a new one."""
        return await self._specimens.add(Specimen(**content.model_dump()))

    async def get(self, specimen_id: int, *, lock: bool = False) -> Specimen:
        """The one with that id; ``lock`` it to change it. Raises NotFound if there is
        none."""
        found = await self._specimens.get(specimen_id, lock=lock)
        if found is None:
            raise NotFound(f"No speci men {specimen_id}")
        return found

    async def get_page(self, page: Page) -> Rows[Specimen]:
        """Newest first."""
        return await self._specimens.get_page(page)

    async def replace(self, specimen_id: int, content: SpecimenContent) -> Specimen:
        """Replace its content; raises NotFound if there is none."""
        found = await self.get(specimen_id, lock=True)
        found.sqlmodel_update(content.model_dump())
        return await self._specimens.add(found)

    async def delete(self, specimen_id: int) -> None:
        """Delete it; raises NotFound if there is none."""
        if not await self._specimens.delete(specimen_id):
            raise NotFound(f"No speci men {specimen_id}")
