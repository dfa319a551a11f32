# fd as an image: the packages are installed in one stage, with npm and its cache; the other holds only what runs.
FROM node:24.21.0-bookworm-slim AS packages
WORKDIR /fd
COPY package.json package-lock.json ./
# npm ci compiles the tree kernel, with a compiler that is not needed after.
COPY configs/user-error.ts ./configs/
COPY training/kernel/build.ts training/kernel/*.as ./training/kernel/
# onnxruntime-node's own script would download a GPU runtime; the CPU one is inside the package.
ENV ONNXRUNTIME_NODE_INSTALL=skip
RUN npm ci --no-audit --no-fund && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:24.21.0-bookworm-slim
WORKDIR /fd
# Files belong to root, so that the program cannot change itself; what it writes goes to FD_HOME, a volume.
COPY --from=packages /fd/node_modules ./node_modules
COPY package.json ./
COPY configs ./configs
COPY datasets ./datasets
COPY features ./features
COPY registry ./registry
COPY training ./training
COPY --from=packages /fd/training/kernel/kernel.wasm ./training/kernel/
COPY serving ./serving
COPY pipelines ./pipelines
RUN install -d -o node -g node /home/node/.fd
USER node
ENV FD_HOME=/home/node/.fd NODE_ENV=production
VOLUME /home/node/.fd
ENTRYPOINT ["node", "--disable-warning=ExperimentalWarning", "pipelines/fd.ts"]
CMD ["--help"]
