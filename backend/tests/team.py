"""Endpoints as a team writes them: plain types, no limits of their own."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Body, FastAPI, File, Form, Header, Request, UploadFile
from pydantic import BaseModel
from sqlalchemy import BigInteger, String, cast, func
from sqlmodel import select

from app.api import v1
from app.api.dependencies import SessionDep
from app.application import create_app
from app.core.config import Settings

PREFIX = f"{v1.PREFIX}/team"
LARGE = 3 * 1024 * 1024

router = APIRouter(prefix="/team", tags=["team"])


class Note(BaseModel):
    """Anything."""

    title: str
    extra: Any = None


@router.get("/echo/{name}")
async def read_echo(name: str, word: str = "", number: int = 0) -> dict[str, Any]:
    """What the client sent."""
    return {"name": name, "word": word, "number": number}


@router.post("/notes")
async def create_note(note: Note) -> Note:
    """A model."""
    return note


@router.put("/raw")
async def put_raw(request: Request) -> int:
    """The bytes of a body."""
    return len(await request.body())


@router.post("/raw-json")
async def post_raw_json(request: Request) -> Any:
    """A body that the endpoint itself reads as JSON."""
    return json.loads(await request.body() or b"null")


@router.post("/own-json")
async def post_own_json(request: Request) -> Any:
    """The same with Starlette's own method."""
    return await request.json()


@router.post("/broken-json")
async def post_broken_json() -> Any:
    """Another text that is not JSON."""
    return json.loads("")


@router.post("/stream")
async def count_stream(request: Request) -> int:
    """The number of bytes in a streamed body."""
    return sum([len(chunk) async for chunk in request.stream()])


@router.post("/form")
async def post_form(title: Annotated[str, Form()]) -> str:
    """A form."""
    return title


@router.post("/rows")
async def post_rows(rows: Annotated[str, Body(media_type="text/csv")]) -> str:
    """Text of a kind of its own."""
    return rows


@router.post("/uploads")
async def post_upload(file: UploadFile) -> dict[str, Any]:
    """An upload."""
    return {"name": file.filename, "size": file.size}


@router.post("/large-uploads", max_body_size=LARGE)
async def post_large_upload(file: Annotated[bytes, File()]) -> int:
    """An upload larger than other bodies may be."""
    return len(file)


@router.get("/stored")
async def read_stored(
    session: SessionDep, word: str = "", big: int = 0, limit: int = 1, offset: int = 0
) -> list[str]:
    """Pass the query's values to PostgreSQL."""
    query = (
        select(func.concat(cast(word, String), cast(big, BigInteger)))
        .select_from(func.generate_series(1, 3))
        .limit(limit)
        .offset(offset)
    )
    return list(await session.exec(query))


@router.post("/stored")
async def store_form(
    session: SessionDep,
    title: Annotated[str, Form()],
    x_note: Annotated[str, Header()] = "",
) -> str:
    """Pass a form field and a header to PostgreSQL."""
    query = select(func.concat(cast(title, String), cast(x_note, String)))
    return str((await session.exec(query)).one())


def create_team_app(settings: Settings | None = None) -> FastAPI:
    """The API with these endpoints."""
    app = create_app(settings or Settings())
    app.openapi_tags = [*(app.openapi_tags or []), {"name": "team"}]
    app.include_router(router, prefix=v1.PREFIX)
    return app
