#!/usr/bin/env bash
# Adds tonight's figures to the file `history.txt` of the branch `benchmarks`.
set -euo pipefail
repository=repos/$GITHUB_REPOSITORY
gh api "$repository/git/refs" -f ref=refs/heads/benchmarks -f sha="$GITHUB_SHA" >/dev/null 2>&1 || true
# Of a file that is not there yet, gh prints the refusal where the answer would be.
old=$(gh api "$repository/contents/history.txt?ref=benchmarks" --jq .sha 2>/dev/null) || old=
: >build/history.txt
if [ -n "$old" ]; then
  gh api "$repository/git/blobs/$old" --jq .content | base64 --decode >build/history.txt
fi
{
  echo "$(date --utc +%FT%TZ) $GITHUB_SHA"
  sed 's/^/  /' build/bench.txt
} >>build/history.txt
base64 --wrap=0 build/history.txt >build/history.base64
gh api --method PUT "$repository/contents/history.txt" -f branch=benchmarks -f message='Measure' \
  -F content=@build/history.base64 ${old:+-f sha="$old"} >/dev/null
