#!/usr/bin/env bash
# Tells GitHub that EVENT happened to the bundle whose digest begins with DIGITS: the workflows that wait for it start.
set -euo pipefail
event=$1 digits=$2
bundle=$(basename "$(ls -d workspace/bundles/*-"$digits")")
gh api 'repos/{owner}/{repo}/dispatches' -f event_type="$event" -F "client_payload[bundle]=$bundle"
echo "told GitHub: $event $bundle"
