# An image for CUDA hosts:
#   docker build -t bioclinical . && docker run --gpus all -v "$PWD:/notes" bioclinical bioclinical-finetune --help
# torch's wheel brings CUDA's libraries; the host needs NVIDIA's driver and container toolkit, nothing else.
FROM python:3.11-slim-bookworm
ARG UV_VERSION=0.13.8
ENV HF_HOME=/notes/.cache/huggingface PYTHONUNBUFFERED=1
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN pip install --no-cache-dir "uv==${UV_VERSION}"
WORKDIR /opt/bioclinical
# The dependencies first: they change rarely and are 7 GB.
COPY pyproject.toml ./
RUN uv pip install --system --no-cache --compile-bytecode -r pyproject.toml
COPY . .
RUN uv pip install --system --no-cache --no-deps -e . && bioclinical-finetune --help > /dev/null
# Data, models and results are the host's folder.
WORKDIR /notes
CMD ["python", "-m", "bioclinical.doctor"]
