ARG PYTHON=3.11
FROM python:${PYTHON}-slim-bookworm AS base
