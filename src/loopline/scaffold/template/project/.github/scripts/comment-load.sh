#!/usr/bin/env bash
# Comments what locust measured on the commit that runs.
set -euo pipefail
{
  echo '### Load'
  echo
  echo '```'
  cut -d , -f 2,3,4,5,6,10,16,18 build/load_stats.csv
  echo '```'
} >build/load.md
cat build/load.md >>"$GITHUB_STEP_SUMMARY"
gh api "repos/$GITHUB_REPOSITORY/commits/$GITHUB_SHA/comments" -F body=@build/load.md >/dev/null
