#!/usr/bin/env bash
# A mock of OpenAI's whole API, made of its description: `mock.sh PORT`. It answers `/_x-steady/health` once it is
# ready. The options are those of openai-python's own test suite (`scripts/mock` of its source package).
set -euo pipefail
root="$(cd "$(dirname "$0")/../.." && pwd)"
port="${1:?a port}"
case "$(uname -m)" in
    x86_64) machine=x64 ;;
    aarch64) machine=arm64 ;;
    *) machine="$(uname -m)" ;;
esac
# The program itself, not the script that would start it: a signal to this process must end it.
exec "$root/.tools/node/node_modules/@stdy/cli-linux-$machine/bin/steady" --host 127.0.0.1 --port "$port" \
    --validator-query-array-format=brackets --validator-form-array-format=brackets \
    --validator-query-object-format=brackets --validator-form-object-format=brackets \
    --quiet --no-color <(gzip -dc "$root/fixtures/http/openai-openapi-3.3.1.yml.gz")
