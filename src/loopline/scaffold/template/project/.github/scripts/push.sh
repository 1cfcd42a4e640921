#!/usr/bin/env bash
# Sends the image TAG to the registry that [tool.loopline.cloud] names; the runner is logged in by workload identity.
set -euo pipefail
tag=$1
address=$(.venv/bin/python -c "
import sys
from loopline.cloud import read_settings
name, _, version = sys.argv[1].partition(':')
print(read_settings().image(name, version))" "$tag")
gcloud auth configure-docker "${address%%/*}" --quiet
docker tag "$tag" "$address"
docker push "$address"
