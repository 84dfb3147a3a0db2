# One image for the backup service and every Batch job: the command tells which.
FROM python:3.12-slim AS build
RUN pip install --no-cache-dir uv==0.13.8
WORKDIR /app
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-default-groups --no-install-project --no-cache --python-preference only-system

FROM python:3.12-slim
# Fargate gives a mounted volume the owner that VOLUME finds here.
RUN useradd --system --uid 10001 millpond && mkdir /spool && chown millpond /spool
WORKDIR /app
COPY --from=build /app/.venv .venv
COPY millpond millpond
COPY backup_consumer backup_consumer
COPY batch_jobs batch_jobs
# The root file system is read-only in the service: temporary files go where the spool is.
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TMPDIR=/spool
USER millpond
VOLUME /spool
CMD ["python", "-m", "backup_consumer"]
