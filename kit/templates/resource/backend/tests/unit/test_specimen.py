"""The rules of speci mens alone, with a repository in memory."""

from typing import cast

import pytest

from app.core.exceptions import NotFound
from app.models.specimen import Specimen, SpecimenContent
from app.repositories.specimen_repository import SpecimenRepository
from app.services.specimen_service import SpecimenService


class Memory:
    """Replaces the repository."""

    def __init__(self) -> None:
        self.rows: dict[int, Specimen] = {}

    async def add(self, specimen: Specimen) -> Specimen:
        specimen.id = specimen.id or len(self.rows) + 1
        self.rows[specimen.id] = specimen
        return specimen

    async def get(self, specimen_id: int, *, lock: bool = False) -> Specimen | None:
        return self.rows.get(specimen_id)

    async def delete(self, specimen_id: int) -> bool:
        return self.rows.pop(specimen_id, None) is not None


@pytest.fixture
def service() -> SpecimenService:
    return SpecimenService(cast(SpecimenRepository, Memory()))


async def test_content_is_replaced_as_a_whole(service: SpecimenService) -> None:
    created = await service.create(SpecimenContent(title="a", note="n"))
    assert created.id == 1
    replaced = await service.replace(1, SpecimenContent(title="b"))
    assert (replaced.id, replaced.title, replaced.note) == (1, "b", None)


async def test_what_is_not_there_is_not_found(service: SpecimenService) -> None:
    with pytest.raises(NotFound, match="7"):
        await service.get(7)
    with pytest.raises(NotFound):
        await service.replace(7, SpecimenContent(title="b"))
    with pytest.raises(NotFound):
        await service.delete(7)
