# One image for the backup service and every Batch job: the command tells which.
# The full image has the C compiler that the last step needs; Debian and Python are those of the slim one.
FROM python:3.12 AS build
RUN pip install --no-cache-dir uv==0.13.8
WORKDIR /app
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-default-groups --no-install-project --no-cache --python-preference only-system
COPY native native
COPY millpond/archive millpond/archive
RUN python native/compiling.py --required

FROM python:3.12-slim
# Fargate gives a mounted volume the owner that VOLUME finds here.
RUN useradd --system --uid 10001 millpond && mkdir /spool && chown millpond /spool
WORKDIR /app
COPY --from=build /app/.venv .venv
COPY millpond millpond
COPY --from=build /app/millpond/archive/_codec.*.so millpond/archive/
COPY backup_consumer backup_consumer
COPY batch_jobs batch_jobs
# The root file system is read-only in the service: temporary files go where the spool is.
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TMPDIR=/spool
USER millpond
VOLUME /spool
CMD ["python", "-m", "backup_consumer"]
