# The command line in a container; is it ready? `docker run --rm camelid doctor`
FROM python:3.11-slim

# CUDA: --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Extras of pyproject.toml. `flash` does not build here: it needs CUDA's compiler.
ARG EXTRAS=serve,meta,scale,corpus

# HOME is the user's folder, so what Hugging Face downloads is kept, and `--user` may be anybody.
RUN useradd --uid 1000 --home-dir /work --create-home camelid
ENV HOME=/work

# Camelid without its code, for the sake of what it requires: no change of the code downloads torch again.
WORKDIR /opt/camelid
COPY pyproject.toml constraints.txt ./
COPY camelid/__init__.py camelid/
RUN touch README.md LICENSE && \
    pip install --no-cache-dir -c constraints.txt --extra-index-url "$TORCH_INDEX" ".[$EXTRAS]"

COPY . .
RUN pip install --no-cache-dir --no-deps .

USER camelid
WORKDIR /work
ENTRYPOINT ["camelid"]
