#!/usr/bin/env bash
# Comments build/diff/diff.md on pull request NUMBER; its picture goes to the branch `pictures`, which comments point at.
set -euo pipefail
number=$1
repository=repos/$GITHUB_REPOSITORY
report=build/diff/diff.md
if [ -f build/diff/diff.png ]; then
  gh api "$repository/git/refs" -f ref=refs/heads/pictures -f sha="$(git rev-parse HEAD)" >/dev/null 2>&1 || true
  name=$number-$(sha256sum build/diff/diff.png | cut -c 1-12).png
  base64 --wrap=0 build/diff/diff.png >build/picture.base64
  gh api --method PUT "$repository/contents/$name" -f branch=pictures -f message="What changed in #$number" \
    -F content=@build/picture.base64 >/dev/null || echo "The picture is there already."
  sed -i "s|(diff.png)|($GITHUB_SERVER_URL/$GITHUB_REPOSITORY/blob/pictures/$name?raw=true)|" "$report"
fi
gh pr comment "$number" --body-file "$report"
