# Python 3.12; the graphics card's driver comes from the machine, the libraries that engines link against from here.
FROM nvidia/cuda:12.9.1-cudnn-runtime-ubuntu24.04 AS base
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
