# docker build -t llmdemand . && docker run --rm -v "$PWD:/work" llmdemand
FROM python:3.11-slim
WORKDIR /source
COPY . .
RUN pip install --no-cache-dir ".[local]" && llmdemand model get
WORKDIR /work
ENTRYPOINT ["llmdemand"]
CMD ["replicate", "pampers"]
