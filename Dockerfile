# For people with Docker: docker build -t mediafleet:dev .   (and --target testbed -t mediafleet-testbed:dev)
# The testbed makes its own images without Docker, from the same lock: testbed/mediafleet_testbed/images.
FROM python:3.11-slim-bookworm@sha256:b18992999dbe963a45a8a4da40ac2b1975be1a776d939d098c647482bcad5cba AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements requirements
RUN python -m venv /venv \
 && /venv/bin/pip install --no-deps --require-hashes --only-binary :all: -r requirements/runtime.txt \
 && /venv/bin/pip install --no-deps --require-hashes --only-binary :all: --target /testbed -r requirements/testbed.txt
COPY pyproject.toml README.md LICENSE ./
COPY common common
COPY operator operator
COPY scheduler scheduler
COPY cli cli
RUN /venv/bin/pip install --no-deps . \
 && /venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /venv/lib \
 && /venv/bin/pip uninstall --yes pip

FROM python:3.11-slim-bookworm@sha256:b18992999dbe963a45a8a4da40ac2b1975be1a776d939d098c647482bcad5cba AS runtime
ENV PATH=/venv/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=build /venv /venv
USER 65532:65532
WORKDIR /
ENTRYPOINT ["mediafleet"]

# The product with the stand-in workers of the tests and the demo.
FROM runtime AS testbed
COPY --from=build /testbed /venv/lib/python3.11/site-packages
COPY testbed/mediafleet_testbed /venv/lib/python3.11/site-packages/mediafleet_testbed
ENTRYPOINT ["python"]

# What `docker build` makes when no target is named.
FROM runtime AS product
