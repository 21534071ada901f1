#!/usr/bin/env bash
# Programs for the recorder, each asked to read a file: `front_ends.sh NAME PROGRAM`, where PROGRAM is
# the path of its binary. BASE, KEY and MODEL are the recorder's; whatever calls home is switched off.
set -euo pipefail
name=$1 program=$2
question="Read the file note.txt and tell me what it says."
export DISABLE_TELEMETRY=1 DO_NOT_TRACK=1 CI=true
case "$name" in
claude-code)
  export ANTHROPIC_BASE_URL=$BASE ANTHROPIC_AUTH_TOKEN=$KEY ANTHROPIC_MODEL=$MODEL
  export CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 DISABLE_AUTOUPDATER=1
  "$program" -p "$question" --allowedTools Read
  ;;
opencode)
  export OPENCODE_DISABLE_AUTOUPDATE=1 OPENCODE_DISABLE_MODELS_FETCH=1
  export OPENCODE_DISABLE_LSP_DOWNLOAD=1 OPENCODE_DISABLE_DEFAULT_PLUGINS=1
  cat > opencode.json <<END
{"autoupdate": false, "share": "disabled", "permission": {"*": "allow"}, "provider": {"here": {
  "npm": "@ai-sdk/openai-compatible", "options": {"baseURL": "$BASE/v1", "apiKey": "$KEY"},
  "models": {"$MODEL": {"name": "$MODEL"}}}}}
END
  "$program" run -m "here/$MODEL" "$question"
  ;;
aider)
  export OPENAI_API_BASE=$BASE/v1 OPENAI_API_KEY=$KEY
  "$program" --model "openai/$MODEL" --no-check-update --analytics-disable --no-git --yes-always \
    --no-show-model-warnings --no-pretty --message "$question"
  ;;
llm)
  export LLM_USER_PATH=$HOME
  printf -- '- model_id: here\n  model_name: %s\n  api_base: %s/v1\n  supports_tools: true\n' \
    "$MODEL" "$BASE" > extra-openai-models.yaml
  "$program" -m here --key "$KEY" "$question"
  "$program" -m here --key "$KEY" --functions 'def read_file(path: str) -> str: return "42"' "$question"
  ;;
qwen-code)
  export OPENAI_BASE_URL=$BASE/v1 OPENAI_API_KEY=$KEY OPENAI_MODEL=$MODEL
  "$program" --auth-type openai -y -p "$question"
  ;;
cline)
  "$program" auth --provider openai --apikey "$KEY" --modelid "$MODEL" --baseurl "$BASE/v1"
  "$program" -P openai -m "$MODEL" --json -t 60 "$question"
  ;;
continue)
  cat > config.yaml <<END
name: here
version: 1.0.0
schema: v1
models:
  - {name: here, provider: openai, model: $MODEL, apiBase: "$BASE/v1", apiKey: $KEY, roles: [chat], capabilities: [tool_use]}
END
  "$program" --config config.yaml --auto -p "$question"
  ;;
esac
