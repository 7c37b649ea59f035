# ganlab for a server of your own:
#
#     docker build -t ganlab .
#     docker run -p 7860:7860 -v ganlab:/data ganlab
#
# On Linux, the package index has PyTorch with all that an NVIDIA card needs: gigabytes, of which a
# CPU uses nothing. docs/hosting.md has the sizes, and how to name PyTorch's own index for CPUs, which
# pip reads from this argument.
FROM python:3.11-slim
ARG PIP_EXTRA_INDEX_URL

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

RUN useradd --create-home ganlab && install --directory --owner=ganlab /data
WORKDIR /app

# What changes rarely comes first, so that a new version of ganlab is one small layer.
COPY requirements.txt .
RUN pip install -r requirements.txt
COPY . .
RUN python -m compileall -q app.py ganlab

ENV GANLAB_HOME=/data GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=7860
VOLUME /data
EXPOSE 7860
USER ganlab
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s CMD ["python", "-m", "ganlab.healthy"]
CMD ["python", "app.py"]
