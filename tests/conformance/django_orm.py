"""Works with Django and its ORM over psycopg; prints what came of each step as one JSON document."""

import datetime
import decimal
import io
import json
import os
import pathlib
import sys
import tempfile

# An application of its own, with its migrations in a folder that is thrown away.
place = tempfile.TemporaryDirectory()
library = pathlib.Path(place.name) / "library"
(library / "migrations").mkdir(parents=True)
(library / "__init__.py").touch()
(library / "migrations" / "__init__.py").touch()
(library / "models.py").write_text(
    '''
from django.contrib.postgres.fields import ArrayField
from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=50, unique=True)
    born = models.DateField(null=True)
    extra = models.JSONField(default=dict)


class Book(models.Model):
    title = models.TextField(db_index=True)
    price = models.DecimalField(max_digits=10, decimal_places=2)
    tags = ArrayField(models.TextField(), default=list)
    author = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="books")
    readers = models.ManyToManyField(Author, related_name="read")

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(price__gte=0), name="price_not_negative")]
'''
)
sys.path.insert(0, place.name)

import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.postgres", "library"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["PGDATABASE"],
            "USER": os.environ["PGUSER"],
            "PASSWORD": os.environ.get("PGPASSWORD", ""),
            "HOST": os.environ["PGHOST"],
            "PORT": os.environ["PGPORT"],
        }
    },
)
django.setup()

from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import Avg, Count, F, OuterRef, Prefetch, Q, Subquery, Sum, Window
from django.db.models.functions import Lower, Rank, TruncYear
from library.models import Author, Book


def told(command, *arguments, **options):
    out = io.StringIO()
    call_command(command, *arguments, stdout=out, **options)
    return out.getvalue()


def migrated():
    told("makemigrations", "library", verbosity=0)
    told("migrate", verbosity=0)
    told("migrate", "auth", "zero", verbosity=0)
    told("migrate", verbosity=0)
    return told("showmigrations").splitlines()


def checked():
    return [told("makemigrations", check=True, dry_run=True).strip(), told("sqlsequencereset", "library").splitlines()]


def filled():
    day = datetime.date(1950, 3, 1)
    Author.objects.bulk_create(
        [Author(name=f"author {n}", born=day.replace(year=1950 + n), extra={"odd": n % 2 == 1, "n": n}) for n in range(1, 21)],
        batch_size=7,
    )
    authors = list(Author.objects.order_by("id"))
    Book.objects.bulk_create(
        [
            Book(title=f"T{author.id}-{i}", price=decimal.Decimal(author.id * i) / 4, tags=["a", f"n{i}"], author=author)
            for author in authors
            for i in range(1, 4)
        ]
    )
    for book in Book.objects.filter(author=authors[0]):
        book.readers.set(authors[1:4])
    return [Author.objects.count(), Book.objects.count()]


def upserted():
    rows = [Author(name="author 1", extra={"n": 100}), Author(name="author 21", extra={})]
    Author.objects.bulk_create(rows, update_conflicts=True, unique_fields=["name"], update_fields=["extra"])
    Author.objects.bulk_create([Author(name="author 2")], ignore_conflicts=True)
    changed = list(Book.objects.order_by("id")[:5])
    for book in changed:
        book.price += 1
    count = Book.objects.bulk_update(changed, ["price"])
    return [count, Author.objects.get(name="author 1").extra, Author.objects.count()]


def queried():
    authors = Author.objects.prefetch_related(Prefetch("books", Book.objects.order_by("id"))).order_by("id")[:4]
    loaded = [[author.name, [str(book.price) for book in author.books.all()]] for author in authors]
    joined = list(Book.objects.select_related("author").filter(author__name__icontains="R 1").values_list("title", "author__name").order_by("id")[:6])
    odd = list(Author.objects.filter(extra__odd=True, extra__n__gte=5).values_list("name", flat=True).order_by("id"))
    tagged = Book.objects.filter(Q(tags__contains=["n2"]) | Q(tags__len=3)).exclude(price__lt=2).count()
    years = list(Author.objects.annotate(year=TruncYear("born")).values_list("year", flat=True).order_by("id")[:2])
    return [loaded, joined, odd, tagged, [str(year) for year in years]]


def aggregated():
    latest = Book.objects.filter(author=OuterRef("pk")).order_by("-id").values("title")[:1]
    rows = Author.objects.annotate(total=Sum("books__price"), many=Count("books", distinct=True), last=Subquery(latest))
    rows = rows.annotate(place=Window(Rank(), order_by=F("total").desc(nulls_last=True))).order_by("place", "id")[:4]
    mean = Book.objects.aggregate(mean=Avg("price"), titles=Count(Lower("title"), distinct=True))
    return [[[row.name, str(row.total), row.many, row.last, row.place] for row in rows], str(mean["mean"]), mean["titles"]]


def nested():
    seen = []
    with transaction.atomic():
        Author.objects.create(name="kept")
        for wrong in [lambda: Author.objects.create(name="kept"), lambda: Book.objects.update(price=-1)]:
            try:
                with transaction.atomic():
                    wrong()
            except IntegrityError as error:
                seen.append(str(error))
        locked = Author.objects.select_for_update().get(name="kept")
        Author.objects.filter(pk=locked.pk).update(extra={"locked": True})
    try:
        with transaction.atomic():
            Author.objects.create(name="lost")
            raise ValueError("given up")
    except ValueError:
        pass
    return [seen, Author.objects.filter(name__in=["kept", "lost"]).count()]


def iterated():
    sizes = []
    for chunk in [3, 10, 2000]:
        sizes.append([book.title for book in Book.objects.order_by("id").iterator(chunk_size=chunk)][-1])
    with transaction.atomic():
        names = Author.objects.order_by("id").values_list("name", flat=True).iterator(chunk_size=4)
        first = [next(names) for _ in range(6)]
        names.close()
        after = Author.objects.count()
    return [sizes, first, after, [author.books.count() for author in Author.objects.prefetch_related("books").order_by("id").iterator(chunk_size=5)]]


def raw():
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, extra->>'n' FROM library_author WHERE id < %s ORDER BY id", [4])
        rows = cursor.fetchall()
    return [rows, [book.title for book in Book.objects.raw("SELECT * FROM library_book ORDER BY id LIMIT 2")], Book.objects.filter(price__gt=1).explain().split()[0]]


def deleted():
    count, kinds = Author.objects.filter(name__in=["author 1", "author 2"]).delete()
    return [count, dict(sorted(kinds.items())), Book.objects.count()]


def inspected():
    return told("inspectdb").splitlines()


def undone():
    told("migrate", "library", "zero", verbosity=0)
    return sorted(connection.introspection.table_names())


def attempt(step):
    try:
        return {"ok": step()}
    except Exception as error:  # What fails is part of what is compared.
        return {"failed": f"{type(error).__name__}: {error}"}


def main():
    steps = [migrated, checked, filled, upserted, queried, aggregated, nested, iterated, raw, deleted, inspected, undone]
    seen = {f"Django {step.__name__}": attempt(step) for step in steps}
    print(json.dumps(seen, default=str))


main()
