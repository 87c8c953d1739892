#!/usr/bin/env bash
# Installs what building and testing need and is not there yet. Quick when nothing is missing.
# Debian and Ubuntu packages need root or passwordless sudo; Python packages go into .tools/venv of this folder.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
could_not=()

need() { # need COMMAND PACKAGE
    command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}

have_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return 0
    compgen -G "/usr/lib/llvm-*/lib/libclang*.so*" >/dev/null || compgen -G "/usr/lib/*/libclang*.so*" >/dev/null ||
        compgen -G ".tools/venv/lib/python3*/site-packages/clang/native/libclang.so" >/dev/null
}

have_postgres() {
    command -v postgres >/dev/null 2>&1 || compgen -G "/usr/lib/postgresql/*/bin/postgres" >/dev/null
}

need cc gcc
need make make
need pkg-config pkg-config
need curl curl
need psql postgresql-client
need pgbouncer pgbouncer
command -v pgbench >/dev/null 2>&1 || compgen -G "/usr/lib/postgresql/*/bin/pgbench" >/dev/null || missing+=(postgresql-contrib)
have_postgres || missing+=(postgresql)
have_libclang || missing+=(libclang-dev)
need python3 python3
python3 -c 'import venv, ensurepip' >/dev/null 2>&1 || missing+=(python3-venv)

if [ "${#missing[@]}" -gt 0 ]; then
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        if sudo -n true >/dev/null 2>&1; then as_root=(sudo -n); else as_root=(false); fi
    fi
    if ! command -v apt-get >/dev/null 2>&1; then
        could_not+=("${missing[*]} (no apt-get: install them with your system's package manager)")
    elif [ "${as_root[0]:-}" = false ]; then
        could_not+=("${missing[*]} (needs root: sudo apt-get install ${missing[*]})")
    else
        echo "setup: installing ${missing[*]}"
        log="$(mktemp)"
        # A cluster of Debian's own is not wanted: every test starts a throw-away server.
        "${as_root[@]}" mkdir -p /etc/postgresql-common
        [ -e /etc/postgresql-common/createcluster.conf ] ||
            echo 'create_main_cluster = false' | "${as_root[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null
        if ! { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update &&
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } \
            </dev/null >"$log" 2>&1; then
            tail -5 "$log" >&2
            could_not+=("${missing[*]} (apt-get failed, see above)")
        fi
        rm -f "$log"
    fi
fi

if ! command -v cargo >/dev/null 2>&1; then
    if [ -x "$HOME/.cargo/bin/cargo" ]; then
        :
    elif command -v rustup-init >/dev/null 2>&1; then
        rustup-init -y --profile minimal --component clippy --component rustfmt </dev/null
    else
        could_not+=("Rust (install it with rustup; the version is in rust-version of Cargo.toml)")
    fi
fi

# Python drivers, for the end-to-end tests with real clients.
python_ready() { .tools/venv/bin/python -c 'import psycopg, psycopg2, asyncpg' >/dev/null 2>&1; }
if ! python_ready; then
    echo "setup: installing Python drivers into .tools/venv"
    log="$(mktemp)"
    if ! { python3 -m venv .tools/venv &&
        .tools/venv/bin/pip install --quiet --disable-pip-version-check 'psycopg[binary]' psycopg2-binary asyncpg; } \
        </dev/null >"$log" 2>&1; then
        tail -3 "$log" >&2
        could_not+=("psycopg, psycopg2, asyncpg (pip failed, see above)")
    fi
    rm -f "$log"
fi

# Without a system libclang the one from PyPI will do; `make` finds it through LIBCLANG_PATH.
if ! have_libclang && [ -x .tools/venv/bin/pip ]; then
    .tools/venv/bin/pip install --quiet --disable-pip-version-check libclang </dev/null >/dev/null 2>&1 ||
        could_not+=("libclang (neither apt-get nor pip)")
fi

if [ "${#could_not[@]}" -gt 0 ]; then
    printf 'setup: could not install: %s\n' "${could_not[@]}" >&2
    # Only a compiler, libclang and Rust are needed to build; the rest narrows what can be tested or shown.
    command -v cc >/dev/null 2>&1 && have_libclang || exit 1
    PATH="$PATH:$HOME/.cargo/bin" command -v cargo >/dev/null 2>&1 || exit 1
fi
