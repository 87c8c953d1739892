#!/usr/bin/env bash
# openai-python 3.3.1's own tests of its resources, against an address: `suite.sh URL [PYTEST-ARGUMENT…]`.
# `mock.sh` is what they expect to find there; SLUICE_KEY, where it is set, is shown instead of the suite's own key.
set -euo pipefail
root="$(cd "$(dirname "$0")/../.." && pwd)"
url="${1:?the address of the API}"
shift
[ "$#" -gt 0 ] || set -- tests/api_resources
cd "$root/.tools/openai-sdk/openai-3.3.1"
export TEST_API_BASE_URL="$url" PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$root/tests/clients/suite"
exec "$root/.tools/venv-openai331/bin/python" -m pytest -p no:cacheprovider -p sluice_key -n 2 -q "$@"
