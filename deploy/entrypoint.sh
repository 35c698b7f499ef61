#!/bin/sh
# Where a simulator is at hand and no model was chosen, the simulator writes. Compose says whether one was chosen
# without handing the key to programs that need none.
set -eu
if [ -n "${INKWIRE_SIMULATOR_URL:-}" ] && [ -z "${INKWIRE_MODEL_CHOSEN:-}" ]; then
    export INKWIRE_SIMULATED=true
    export OPENAI_BASE_URL="$INKWIRE_SIMULATOR_URL"
    export OPENAI_API_KEY=simulator-needs-no-key
    export OPENAI_MODEL=inkwire-simulator
    # So that the simulator's vectors are never taken for the model's own.
    [ -z "${INKWIRE_EMBEDDING_MODEL:-}" ] || export INKWIRE_EMBEDDING_MODEL="simulated-$INKWIRE_EMBEDDING_MODEL"
fi
# An empty variable is what compose makes of an unset one; to the programs it is none.
for name in OPENAI_API_KEY OPENAI_API_KEY_FILE OPENAI_BASE_URL OPENAI_MODEL OPENAI_MAX_TOKENS; do
    eval "value=\${$name:-}"
    [ -n "$value" ] || unset "$name"
done
unset INKWIRE_SIMULATOR_URL INKWIRE_MODEL_CHOSEN
exec "$@"
