# MLflow with the driver of PostgreSQL, which its own image lacks.
FROM python:3.11-slim-bookworm
RUN python -m pip install --no-cache-dir mlflow==3.17.2 psycopg2-binary==2.9.10 \
 && useradd --uid 10001 --no-create-home --home-dir /tmp mlflow \
 && install --directory --owner mlflow /artifacts
ENV HOME=/tmp
USER 10001
EXPOSE 5000
ENTRYPOINT ["mlflow", "server", "--host=0.0.0.0", "--port=5000", "--serve-artifacts", "--artifacts-destination=/artifacts"]
