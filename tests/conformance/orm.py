"""Works with SQLAlchemy, its ORM included, through three drivers; prints what came of each step as one JSON document."""

import asyncio
import decimal
import json
import os

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "authors"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50), unique=True)
    extra: Mapped[dict] = mapped_column(JSONB, default=dict)
    books: Mapped[list["Book"]] = relationship(back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "books"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    price: Mapped[decimal.Decimal] = mapped_column(sa.Numeric(10, 2))
    tags: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    kind: Mapped[str] = mapped_column(sa.Enum("paper", "sound", name="kind"))
    author_id: Mapped[int] = mapped_column(sa.ForeignKey("authors.id"))
    author: Mapped[Author] = relationship(back_populates="books")


def filled(session):
    for n in range(1, 21):
        books = [
            Book(title=f"t{n}-{i}", price=decimal.Decimal(n * i) / 4, tags=["a", f"n{n}"], kind="paper")
            for i in range(1, 4)
        ]
        session.add(Author(name=f"author {n}", extra={"rank": n, "nested": {"odd": n % 2 == 1}}, books=books))
    session.commit()
    return session.scalar(sa.select(sa.func.count()).select_from(Book))


def loaded(session):
    authors = session.scalars(sa.select(Author).options(selectinload(Author.books)).order_by(Author.id).limit(5))
    return [[author.name, [str(book.price) for book in author.books]] for author in authors]


def aggregated(session):
    total = sa.func.sum(Book.price).label("total")
    rank = sa.func.rank().over(order_by=total.desc())
    query = sa.select(Author.name, total, rank).join(Book).group_by(Author.id).order_by(total.desc()).limit(3)
    return [[name, str(price), place] for name, price, place in session.execute(query)]


def documents(session):
    query = sa.select(Author.id).where(Author.extra["nested"]["odd"].as_boolean()).order_by(Author.id)
    return list(session.scalars(query))


def upserted(session):
    row = insert(Author).values(name="author 1", extra={"rank": 100})
    row = row.on_conflict_do_update(index_elements=[Author.name], set_={"extra": row.excluded.extra})
    changed = session.execute(row.returning(Author.extra)).scalar_one()
    session.rollback()
    return changed


def nested(session):
    with session.begin():
        session.add(Author(name="kept", extra={}))
        try:
            with session.begin_nested():
                session.add(Author(name="author 1", extra={}))
                session.flush()
        except sa.exc.IntegrityError as error:
            seen = error.orig.__class__.__name__
    return [seen, session.scalar(sa.select(sa.func.count()).where(Author.name == "kept"))]


def streamed(session):
    rows = session.execute(sa.select(Book.id).order_by(Book.id).execution_options(yield_per=7))
    seen = [len(part) for part in rows.partitions()]
    session.rollback()
    return seen


def deleted(session):
    session.delete(session.scalars(sa.select(Author).where(Author.name == "author 2")).one())
    session.commit()
    return session.scalar(sa.select(sa.func.count()).select_from(Book))


def reflected(engine):
    inspector = sa.inspect(engine)
    tables = {}
    for table in sorted(inspector.get_table_names()):
        columns = [[column["name"], str(column["type"])] for column in inspector.get_columns(table)]
        keys = [key["referred_table"] for key in inspector.get_foreign_keys(table)]
        unique = [constraint["column_names"] for constraint in inspector.get_unique_constraints(table)]
        tables[table] = [columns, keys, unique, inspector.get_pk_constraint(table)["constrained_columns"]]
    return [tables, [enum["name"] for enum in inspector.get_enums()], inspector.get_schema_names()]


STEPS = [filled, loaded, aggregated, documents, upserted, nested, streamed, deleted]


def worked(driver, url, arguments):
    engine = sa.create_engine(url.set(drivername=f"postgresql+{driver}"), connect_args=arguments)
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    for step in STEPS:
        with Session(engine) as session:
            yield f"{driver} {step.__name__}", attempt(step, session)
    yield f"{driver} reflected", attempt(reflected, engine)
    Base.metadata.drop_all(engine)
    engine.dispose()


async def worked_async(url):
    engine = create_async_engine(url.set(drivername="postgresql+asyncpg"))
    seen = {}
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    for step in STEPS:
        async with AsyncSession(engine) as session:
            seen[f"asyncpg {step.__name__}"] = await session.run_sync(lambda inner, step=step: attempt(step, inner))
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()
    return seen


def attempt(step, subject):
    try:
        return {"ok": step(subject)}
    except Exception as error:  # What fails is part of what is compared.
        return {"failed": f"{type(error).__name__}: {error}"}


def main():
    url = sa.URL.create(
        "postgresql",
        username=os.environ["PGUSER"],
        password=os.environ.get("PGPASSWORD"),
        database=os.environ["PGDATABASE"],
    )
    seen = {}
    for driver in ["psycopg2", "psycopg"]:
        seen.update(worked(driver, url, {}))
    seen.update(asyncio.run(worked_async(url)))
    print(json.dumps(seen))


main()
